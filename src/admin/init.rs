//! `init`: the folder, the KEK's material and an empty keyring file.

use crate::config::{Config, KekConfig, Patience, SecretRef, hex};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::pkcs11::survey;
use crate::keyring::{Environment, Keyring};
use crate::secret::SecretPool;
use crate::sys::{self, Access, Identity};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, chown, fchown};
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
}

/// What was made for a KEK.
#[derive(Debug)]
pub enum Made {
    /// A passphrase file or key file.
    Secret(PathBuf),
    /// A key on a token, described.
    Key(String),
}

/// Makes what is missing and then the keyring file. Nothing that exists is changed.
///
/// `owner` (user and group id) gets what is made; `generate` allows making the secret file or the key on
/// the token.
///
/// # Errors
/// AlreadyExists: there is a keyring file. All errors of opening a keyring.
pub fn init(config: &Config, owner: Option<(u32, u32)>, generate: bool) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    if std::fs::symlink_metadata(&config.path).is_ok() {
        return Err(exists(config));
    }
    let folder = config.path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        let fail = |e| Error::io(OP, format!("the folder '{}'", folder.display()), e);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(folder)
            .map_err(fail)?;
        if let Some((uid, gid)) = owner {
            chown(folder, Some(uid), Some(gid)).map_err(fail)?;
        }
        outcome.made_folder = Some(folder.to_path_buf());
    }
    let identity = Identity::owner_of(folder);
    if generate {
        let owner = owner.or_else(|| folder_owner(folder));
        outcome.made = make_kek(&config.keks[0], owner, config.patience, &identity)?;
    }
    let environment = Environment {
        data_dir: None,
        identity,
        look_only: false,
        starting: false,
        making: true,
        snapshot_if_locked: false,
    };
    let mut config = config.clone();
    config.read_only = false;
    let keyring = Keyring::open(&config, &environment, &SecretPool::new())?;
    keyring.create_empty()?;
    outcome.fingerprint = keyring
        .status()
        .store
        .fingerprint
        .map(|f| hex(&f))
        .unwrap_or_default();
    Ok(outcome)
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
        Some(kek) if !generate => {
            let _guard = super::environment(config, true).identity.enter()?;
            crate::kek::from_config(kek)
                .probe(&SecretPool::new(), Deadline::after(config.patience.call))
        }
        _ => Ok(()),
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

/// Makes the secret file of a local KEK or the key on the token, where it is missing.
pub(super) fn make_kek(
    kek: &KekConfig,
    owner: Option<(u32, u32)>,
    patience: Patience,
    identity: &Identity,
) -> Result<Option<Made>> {
    match kek {
        KekConfig::Passphrase(source) | KekConfig::KeyFile(source) => {
            let SecretRef::File(path) = source else {
                return Ok(None);
            };
            if std::fs::symlink_metadata(path).is_ok() {
                return Ok(None);
            }
            make_secret(path, matches!(kek, KekConfig::Passphrase(_)), owner)?;
            Ok(Some(Made::Secret(path.clone())))
        }
        KekConfig::Pkcs11(config) => {
            let _guard = identity.enter()?;
            let made = survey::make_key(config, Deadline::after(patience.call))?;
            Ok(made.map(Made::Key))
        }
        KekConfig::AwsKms(_) => Err(Error::new(
            Kind::InvalidInput,
            OP,
            "a key in AWS KMS can't be made by this tool",
        )
        .hint("Make it where its policy is kept: aws kms create-key. Then leave --generate out.")),
    }
}

pub(super) fn folder_owner(folder: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(folder).ok().map(|m| (m.uid(), m.gid()))
}

fn make_secret(path: &Path, as_text: bool, owner: Option<(u32, u32)>) -> Result<()> {
    let fail = |e| Error::io("make the secret file", format!("'{}'", path.display()), e);
    let secret = SecretPool::new().random(32)?;
    let (mut file, _) = sys::open(path, Access::CreateNew).map_err(fail)?;
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
    if let (Some((uid, gid)), 0) = (owner, sys::effective_uid()) {
        fchown(&file, Some(uid), Some(gid)).map_err(fail)?;
    }
    sys::sync_folder(path.parent().unwrap_or(Path::new("/"))).map_err(fail)
}
