//! The configuration: one typed model ([`Config`]), three readers (JSON, option files, plugin variables).
//!
//! Owns the model, and in its files the options ([`OPTIONS`]), the layers of values ([`Layer`]), and their checks. What a
//! provider's section means its driver says ([`crate::kek::drivers`]). It must never hold a secret: secrets are
//! referenced.

pub mod arguments;
mod check;
pub mod discover;
pub mod json;
mod layer;
mod lesser;
pub mod locate;
pub mod manifest;
pub mod option_file;
mod options;
pub mod server;
pub mod written;

pub use crate::kek::KekConfig;
pub use crate::options::{OptionSpec, ValueKind};
pub use layer::Layer;
pub use options::{GENERAL, OPTIONS, find_option, place_of};

use crate::kek::pkcs11::Pkcs11Config;
use crate::key::limits::FINGERPRINT;
use crate::secret_source::SecretRef;
use std::path::PathBuf;
use std::time::Duration;

const OP: &str = "read the configuration";

/// How long a KEK that is not on this machine may keep a call waiting, attempts and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `start_timeout`: while the server starts.
    pub start: Duration,
    /// `timeout`: at any other time. Readers of the server wait as long during a RELOAD.
    pub call: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            start: Duration::from_secs(60),
            call: Duration::from_secs(10),
        }
    }
}

/// How much a keyring takes, in bytes of records. What is there already stays, whatever the limits have become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max_size`: all keys together, before a key that has an owner is refused.
    pub total: u64,
    /// `max_owner_size`: the keys of one account.
    pub per_owner: u64,
    /// What the server's own keys may take beyond `total`.
    pub reserve: u64,
    /// The longest file that a server reads, removed keys and all; writing stays below it. No option.
    pub file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            total: 256 << 20,
            per_owner: 16 << 20,
            reserve: 16 << 20,
            file: 4 << 30,
        }
    }
}

/// A complete, checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The keyring file, absolute.
    pub path: PathBuf,
    /// No write is accepted and nothing on disk is touched.
    pub read_only: bool,
    /// The DEK that the file must have: one of these, where any is pinned.
    pub fingerprint: Vec<[u8; FINGERPRINT]>,
    /// The KEKs: the first one wraps, any of them opens.
    pub keks: Vec<KekConfig>,
    /// How long KEKs may take.
    pub patience: Patience,
    /// How much it takes.
    pub limits: Limits,
    /// Where this configuration was found, for messages.
    pub origin: String,
}

impl Config {
    /// The backend's name: that of the driver whose the KEKs are; empty without a KEK.
    pub fn backend(&self) -> &'static str {
        self.keks.first().map_or("", |kek| kek.driver().name)
    }

    /// A KEK with which anybody could have wrapped a DEK, so that only a pinned fingerprint says which is ours.
    pub fn needs_fingerprint(&self) -> bool {
        self.keks.iter().any(|kek| kek.needs_fingerprint())
    }

    /// The token that holds the keys themselves, if one does, and whether they are kept in memory too.
    pub fn token_storage(&self) -> Option<(&Pkcs11Config, bool)> {
        self.keks.first().and_then(token_storage)
    }

    /// Every secret that opening the keyring reads on this machine.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.keks.iter().flat_map(|kek| kek.secrets()).collect()
    }
}

/// The token that would hold the keys under this KEK, see [`Config::token_storage`].
pub fn token_storage(kek: &KekConfig) -> Option<(&Pkcs11Config, bool)> {
    kek.settings_of::<Pkcs11Config>()?.token_storage()
}
