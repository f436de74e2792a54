//! `init`: the folder, the KEK's material and an empty keyring file.
//!
//! It must never change what exists, and never leave a part of what it makes.

use crate::caller::Caller;
use crate::config::{Config, KekList, NamedKek};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::keyring::{By, Environment, Keyring};
use crate::os::signals;
use crate::os::undo::Undo;
use crate::secret::SecretPool;
use crate::secret_source::SecretRef;
use crate::store::lock::Lock;
use crate::text::hex;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OP: &str = "set the keyring up";

/// What `init` did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The keyring's folder was made.
    pub made_folder: Option<PathBuf>,
    /// The KEK was made: full sentences about it.
    pub made: Option<String>,
    /// The new DEK's fingerprint.
    pub fingerprint: String,
    /// What could be better: full sentences.
    pub warnings: Vec<String>,
}

/// Makes what is missing and then the keyring file. Nothing that exists is changed, and whatever was made is gone again
/// where it fails.
///
/// It belongs to the account of this process, who makes it. `generate`: the secret file or the key on the token is made,
/// too. `folder_is_new`: the caller has made the keyring's folder for that.
///
/// # Errors
/// AlreadyExists: there is a keyring file, or what `generate` should make. All errors of opening a keyring.
pub fn init(config: &Config, generate: bool, folder_is_new: bool) -> Result<Outcome> {
    if std::fs::symlink_metadata(&config.path).is_ok() {
        return Err(exists(config));
    }
    let mut outcome = Outcome::default();
    let mut undo = Undo::new();
    let folder = config.path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        make_folders(folder, &mut undo)?;
        outcome.made_folder = Some(folder.to_path_buf());
    }
    let lock = Lock::path_for(&config.path);
    if folder_is_new || outcome.made_folder.is_some() || std::fs::symlink_metadata(&lock).is_err() {
        // The folder goes only when it is empty.
        undo.other(move || Lock::remove_free(&lock));
    }
    if generate {
        let made = make(&config.keks, config.patience.call, &mut undo)?;
        outcome.made = Some(made);
    }
    let environment = Environment {
        data_dir: None,
        look_only: false,
        starting: false,
        making: true,
        snapshot_if_locked: false,
        audit: None,
    };
    let mut config = config.clone();
    config.read_only = false;
    let generatable = |e| or_generate(e, &config.keks);
    let keyring = Keyring::open(&config, &environment, &SecretPool::new()).map_err(generatable)?;
    signals::check(OP)?;
    keyring.check_new_secret()?;
    // No record is written that could say who did it.
    create(&keyring.by(&Caller::Unknown), &config)?;
    undo.keep();
    outcome.warnings = keyring.take_warnings();
    outcome.warnings.extend(in_data_directories(&config));
    outcome.warnings.extend(config.keks.remarks());
    outcome.fingerprint = keyring
        .status()
        .store
        .fingerprint
        .map(|f| hex(&f))
        .unwrap_or_default();
    Ok(outcome)
}

/// No data directory is named here; one that is above is known by the server's own dictionary in it.
fn in_data_directories(config: &Config) -> Vec<String> {
    let keys = config.keks.all_keys();
    let secrets = keys
        .flat_map(|key| key.secrets())
        .filter_map(|secret| match secret {
            SecretRef::File(path) => Some(path),
            SecretRef::Credential(_) | SecretRef::Held(_) => None,
        });
    let mut folders: Vec<&Path> = [&config.path]
        .into_iter()
        .chain(secrets)
        .flat_map(|path| path.ancestors().skip(1))
        .filter(|folder| folder.join("mysql.ibd").exists())
        .collect();
    folders.sort_unstable();
    folders.dedup();
    folders
        .into_iter()
        .flat_map(|folder| crate::keyring::lies_in(folder, config))
        .collect()
}

/// Makes the empty keyring, or leaves none.
pub(super) fn create(keyring: &By<'_>, config: &Config) -> Result<()> {
    keyring.create_empty().inspect_err(|_| {
        // It is in place where only the folder's sync failed. It holds no key, and this process its lock.
        if keyring.status().store.exists && config.token_storage().is_none() {
            let _ = std::fs::remove_file(&config.path);
        }
    })
}

fn make_folders(folder: &Path, undo: &mut Undo) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|f| !f.exists()).collect();
    for folder in missing.into_iter().rev() {
        let fail = |e| Error::io(OP, format!("the folder '{}'", folder.display()), e);
        std::fs::DirBuilder::new()
            .mode(0o750)
            .create(folder)
            .map_err(fail)?;
        undo.folder(folder);
    }
    Ok(())
}

/// Whether [`init`] would have to fail, as far as that shows without making anything.
///
/// # Errors
/// As [`init`].
pub fn would_init(config: &Config, generate: bool) -> Result<()> {
    if std::fs::symlink_metadata(&config.path).is_ok() {
        return Err(exists(config));
    }
    let to_make = match generate {
        true => to_make(&config.keks)?,
        false => Vec::new(),
    };
    let pool = SecretPool::new();
    let mut there = config.keks.iter().filter(|kek| !to_make.contains(kek));
    there.try_for_each(|kek| {
        let (new, deadline) = (kek.kek(), Deadline::after(config.patience.call));
        let tried = new.check_new(&pool);
        tried
            .and_then(|()| new.probe(&pool, deadline))
            .map_err(|e| or_generate(e, &config.keks))
    })
}

/// The KEKs that `--generate` makes: the only one; of a list those that this tool can make and that are not there.
///
/// # Errors
/// None can be made: what keeps the first one from it.
pub(super) fn to_make(keks: &KekList) -> Result<Vec<&NamedKek>> {
    let mut first = None;
    let mut found = Vec::new();
    for kek in keks.iter() {
        match kek.check_makeable() {
            Ok(()) => found.push(kek),
            Err(e) => first = first.or(Some(e)),
        }
    }
    match (found.is_empty(), first) {
        (true, Some(e)) => Err(e),
        _ => Ok(found),
    }
}

/// Makes them; the sentences about it.
///
/// # Errors
/// As [`to_make`]; what keeps one from being made.
pub(super) fn make(keks: &KekList, patience: Duration, undo: &mut Undo) -> Result<String> {
    let made: Result<Vec<String>> = (to_make(keks)?.into_iter())
        .map(|kek| kek.make(patience, undo))
        .collect();
    Ok(made?.join("\n"))
}

/// The error about a new KEK, with what makes a secret that is not there.
pub(super) fn or_generate(e: Error, keks: &KekList) -> Error {
    let missing =
        |kek: &NamedKek| matches!(kek.own_secret(), Some(SecretRef::File(path)) if !path.exists());
    match e.kind() == Kind::NotFound && keks.iter().any(missing) {
        true => {
            e.hint("Add --generate to make one, or name one that is there. Nothing was changed.")
        }
        false => e,
    }
}

fn exists(config: &Config) -> Error {
    Error::new(
        Kind::AlreadyExists,
        OP,
        format!("'{}' exists already", config.path.display()),
    )
    .hint("It is not touched. Use keyring-ward status to look at it.")
}
