//! `rekey`: the keyring file under another KEK, with a new DEK.

use super::init::{Made, make_kek};
use crate::config::{Config, KekConfig, hex};
use crate::error::Result;

/// What `rekey` did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The new KEK was made.
    pub made: Option<Made>,
    /// How many keys the file holds.
    pub keys: usize,
    /// The file's generation now.
    pub generation: u64,
    /// The DEK's fingerprint now.
    pub fingerprint: String,
    /// The configuration pins a fingerprint that is not the DEK's any more.
    pub pin_is_stale: bool,
}

/// Whether [`rekey`] would have to fail, as far as that shows without writing; gives the number of keys.
///
/// # Errors
/// As [`rekey`].
pub fn could_rekey(config: &Config, kek: &KekConfig, generate: bool) -> Result<usize> {
    let keys = super::edit::could_change(config)?;
    if !generate {
        let _guard = super::environment(config, true).identity.enter()?;
        crate::kek::from_config(kek).probe(
            &crate::secret::SecretPool::new(),
            crate::deadline::Deadline::after(config.patience.call),
        )?;
    }
    Ok(keys)
}

/// Writes the file of `config` anew under `kek`. Until the last step the old file is in force, from
/// then on the new one: a crash never leaves neither. `generate` allows making the secret file or the key on the
/// token.
///
/// # Errors
/// Locked: a server holds the file. All errors of opening and writing a keyring.
pub fn rekey(config: &Config, kek: &KekConfig, keep_dek: bool, generate: bool) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    // Locked and opened before anything is made.
    let keyring = super::open_alone(config)?;
    if generate {
        let owner = config.path.parent().and_then(super::init::folder_owner);
        outcome.made = make_kek(
            kek,
            owner,
            config.patience,
            &super::environment(config, false).identity,
        )?;
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
