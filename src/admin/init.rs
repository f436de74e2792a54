//! `init`: the folder, the KEK's material and an empty keyring file.
//!
//! It must never change what exists, and never leave a part of what it makes.

use super::undo::Undo;
use crate::config::{Config, KekConfig, Patience};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::pkcs11::survey;
use crate::keyring::{Environment, Keyring};
use crate::os::file::{self, Access};
use crate::os::signals;
use crate::secret::SecretPool;
use crate::secret_source::SecretRef;
use crate::store::lock::Lock;
use crate::text::hex;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const OP: &str = "set the keyring up";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What `init` did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The keyring's folder was made.
    pub made_folder: Option<PathBuf>,
    /// The KEK was made.
    pub made: Option<Made>,
    /// The new DEK's fingerprint.
    pub fingerprint: String,
    /// What could be better: full sentences.
    pub warnings: Vec<String>,
}

/// What was made for a KEK.
#[derive(Debug)]
pub enum Made {
    /// A passphrase file or key file.
    Secret(PathBuf),
    /// A key on a token, described.
    Key(String),
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
        let made = make_kek(&config.keks[0], config.patience, &mut undo)?;
        outcome.made = Some(made);
    }
    let environment = Environment {
        data_dir: None,
        look_only: false,
        starting: false,
        making: true,
        snapshot_if_locked: false,
    };
    let mut config = config.clone();
    config.read_only = false;
    let generatable = |e| or_generate(e, &config.keks[0]);
    let keyring = Keyring::open(&config, &environment, &SecretPool::new()).map_err(generatable)?;
    signals::check(OP)?;
    keyring.check_new_secret()?;
    create(&keyring, &config)?;
    undo.keep();
    outcome.warnings = keyring.take_warnings();
    outcome.warnings.extend(in_data_directories(&config));
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
    let secrets = config
        .secrets()
        .into_iter()
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
pub(super) fn create(keyring: &Keyring, config: &Config) -> Result<()> {
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
    match config.keks.first() {
        Some(kek) if generate => check_makeable(kek),
        Some(kek) => {
            let (new, pool) = (crate::kek::from_config(kek), SecretPool::new());
            let deadline = Deadline::after(config.patience.call);
            let tried = new.check_new(&pool);
            tried
                .and_then(|()| new.probe(&pool, deadline))
                .map_err(|e| or_generate(e, kek))
        }
        None => Ok(()),
    }
}

/// The error about a new KEK, with what makes a secret that is not there.
pub(super) fn or_generate(e: Error, kek: &KekConfig) -> Error {
    match kek {
        KekConfig::Passphrase(SecretRef::File(path))
        | KekConfig::KeyFile(SecretRef::File(path))
            if e.kind() == Kind::NotFound && !path.exists() =>
        {
            e.hint("Add --generate to make one, or name one that is there. Nothing was changed.")
        }
        _ => e,
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

/// Whether [`make_kek`] could make this KEK, as far as that shows without a token.
///
/// # Errors
/// As [`make_kek`].
pub(super) fn check_makeable(kek: &KekConfig) -> Result<()> {
    let no = |what: &str, hint: &str| Err(Error::new(Kind::InvalidInput, OP, what).hint(hint));
    match kek {
        KekConfig::Passphrase(source) | KekConfig::KeyFile(source) => match source {
            SecretRef::File(path) if std::fs::symlink_metadata(path).is_ok() => {
                Err(exists_already(format!("the secret '{}'", path.display())))
            }
            SecretRef::File(_) => Ok(()),
            SecretRef::Credential(name) => no(
                &format!("the credential '{name}' can't be made by this tool"),
                "systemd-creds encrypt makes one. Then leave --generate out.",
            ),
            SecretRef::Held(_) => no(
                "a passphrase that is given can't be made",
                "Leave --generate out, or name a file.",
            ),
        },
        KekConfig::Pkcs11(_) => Ok(()),
        KekConfig::AwsKms(_) => no(
            "a key in AWS KMS can't be made by this tool",
            "Make it where its policy is kept: aws kms create-key. Then leave --generate out.",
        ),
    }
}

/// What shall be made is there. It is never taken instead: it may be the one that was disclosed, or be another keyring's.
fn exists_already(what: String) -> Error {
    Error::new(Kind::AlreadyExists, OP, format!("{what} exists already")).hint(
        "--generate makes a new one and never takes one that is there. Name another one, or leave --generate out to use it.",
    )
}

/// Makes the secret file of a local KEK or the key on the token. It must not exist.
pub(super) fn make_kek(kek: &KekConfig, patience: Patience, undo: &mut Undo) -> Result<Made> {
    check_makeable(kek)?;
    match kek {
        KekConfig::Passphrase(SecretRef::File(path)) => make_secret(path, true, undo),
        KekConfig::KeyFile(SecretRef::File(path)) => make_secret(path, false, undo),
        KekConfig::Pkcs11(config) => {
            let Some(made) = survey::make_key(config, Deadline::after(patience.call))? else {
                return Err(exists_already(format!(
                    "the key {} on the token",
                    config.key
                )));
            };
            let config = config.clone();
            undo.other(move || {
                let _ = survey::remove_key(&config, &made.id, Deadline::after(patience.call));
            });
            Ok(Made::Key(made.line))
        }
        // check_makeable has said so.
        _ => Err(Error::new(Kind::Internal, OP, "such a KEK can't be made")),
    }
}

fn make_secret(path: &Path, as_text: bool, undo: &mut Undo) -> Result<Made> {
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            exists_already(format!("the secret '{}'", path.display()))
        }
        _ => Error::io("make the secret file", format!("'{}'", path.display()), e),
    };
    let secret = SecretPool::new().random(32)?;
    let (mut file, _) = file::open(path, Access::CreateNew).map_err(fail)?;
    undo.file(path, &file);
    let written = if as_text {
        let mut text = SecretPool::new().zeroed(2 * secret.len() + 1)?;
        for (byte, digits) in secret.iter().zip(text.chunks_exact_mut(2)) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        text[2 * secret.len()] = b'\n';
        file.write_all(&text)
    } else {
        file.write_all(&secret)
    };
    written.and_then(|()| file.sync_all()).map_err(fail)?;
    file::sync_folder(path.parent().unwrap_or(Path::new("/"))).map_err(fail)?;
    Ok(Made::Secret(path.to_path_buf()))
}
