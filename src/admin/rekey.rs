//! `rekey`: the keyring file under another KEK, with a new DEK.

use crate::config::{Config, KekConfig, SecretRef, hex};
use crate::error::Result;
use crate::keyring::{Environment, Keyring};
use crate::secret::SecretPool;
use crate::sys::Identity;
use std::path::PathBuf;

/// What `rekey` did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The secret file of the new KEK was made.
    pub made_secret: Option<PathBuf>,
    /// How many keys the file holds.
    pub keys: usize,
    /// The file's generation now.
    pub generation: u64,
    /// The DEK's fingerprint now.
    pub fingerprint: String,
    /// The configuration pins a fingerprint that is not the DEK's any more.
    pub pin_is_stale: bool,
}

/// Writes the file of `config` anew under `kek`. Until the last step the old file is in force, from
/// then on the new one: a crash never leaves neither. `generate` allows making the secret file.
///
/// # Errors
/// Locked: a server holds the file. All errors of opening and writing a keyring.
pub fn rekey(config: &Config, kek: &KekConfig, keep_dek: bool, generate: bool) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let identity = config
        .path
        .parent()
        .map_or_else(Identity::own, Identity::owner_of);
    let environment = Environment {
        data_dir: None,
        identity,
        look_only: false,
        snapshot_if_locked: false,
    };
    let mut config = config.clone();
    config.read_only = false;
    // Locked and opened before anything is made.
    let keyring = Keyring::open(&config, &environment, &SecretPool::new())?;
    let (KekConfig::Passphrase(source) | KekConfig::KeyFile(source)) = kek;
    if let (SecretRef::File(path), true) = (source, generate)
        && std::fs::symlink_metadata(path).is_err()
    {
        let owner = config.path.parent().and_then(super::init::folder_owner);
        super::init::make_secret(path, matches!(kek, KekConfig::Passphrase(_)), owner)?;
        outcome.made_secret = Some(path.clone());
    }
    keyring.rekey(std::slice::from_ref(kek), keep_dek)?;
    let status = keyring.status();
    let fingerprint = status.store.fingerprint;
    outcome.keys = status.keys;
    outcome.generation = status.store.generation;
    outcome.fingerprint = fingerprint.map(|f| hex(&f)).unwrap_or_default();
    outcome.pin_is_stale = config.fingerprint.is_some() && config.fingerprint != fingerprint;
    Ok(outcome)
}
