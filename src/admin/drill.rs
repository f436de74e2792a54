//! `kek drill`: the keyring, or a copy of it, is opened by some of its KEKs alone, as after a disaster.
//!
//! Owns the question whether a recovery would work. It must never change anything, and never take another KEK's help: a
//! drill that another KEK passed proves nothing.

use super::{Target, environment};
use crate::error::Result;
use crate::keyring::{Environment, Keyring};
use crate::secret::SecretPool;
use crate::text::hex;

/// What a drill found.
#[derive(Debug)]
pub struct Drilled {
    /// How many keys there are; each record is authentic.
    pub keys: usize,
    /// The DEK's fingerprint.
    pub fingerprint: String,
    /// The configuration pins it; else a person has to compare it.
    pub pinned: bool,
    /// Bytes of an incomplete record at its end.
    pub torn: u64,
    /// The KEKs that opened it, for people.
    pub opened_by: String,
}

/// Opens the keyring of `target` with the KEKs `names` alone, those for recovery too, without lock, marker and data
/// directory, as on a machine that has nothing but the file. A fingerprint need not be pinned: nothing depends on what is found.
///
/// # Errors
/// NotFound: the configuration names no such KEK. All errors of opening a keyring.
pub fn drill<'a>(target: impl Into<Target<'a>>, names: &[String]) -> Result<Drilled> {
    let target = target.into();
    let mut config = target.config.clone();
    config.keks = config.keks.only(names)?;
    let alone = Environment {
        making: true,
        ..environment(true)
    };
    let keyring = Keyring::open(&config, &alone, &SecretPool::new())?;
    // What an opening warns of (KEKs that are not among these, for one) is not what was asked.
    let status = keyring.status();
    Ok(Drilled {
        keys: status.keys,
        fingerprint: status
            .store
            .fingerprint
            .map(|f| hex(&f))
            .unwrap_or_default(),
        torn: status.store.torn,
        pinned: !config.fingerprint.is_empty(),
        opened_by: status.store.opened_by,
    })
}
