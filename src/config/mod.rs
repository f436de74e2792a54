//! The configuration: one typed model ([`Config`]), three readers (JSON, option files, plugin variables).
//!
//! Owns the model, and in its files the options ([`OPTIONS`]), the layers of values ([`Layer`]), and their checks. What a
//! provider's section means its driver says ([`crate::kek::drivers`]). It must never hold a secret: secrets are
//! referenced.

pub mod arguments;
mod audited;
mod check;
pub mod discover;
pub mod json;
pub mod keks;
mod layer;
mod lesser;
pub mod locate;
pub mod manifest;
pub mod option_file;
mod options;
mod read_keks;
pub mod server;
pub mod written;

pub use crate::kek::KekConfig;
pub use crate::options::{OptionSpec, ValueKind};
pub use keks::{KekList, NamedKek};
pub use layer::Layer;
pub use options::{GENERAL, OPTIONS, find_option, place_of};

use crate::audit;
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

/// How much a keyring takes, in bytes of records, and how long it keeps what is removed. What is there already stays, whatever the limits have become.
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
    /// `retain_removed`: days for which removed keys that files may still need are kept; 0: they go at once.
    pub retain_removed: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            total: 256 << 20,
            per_owner: 16 << 20,
            reserve: 16 << 20,
            file: 4 << 30,
            retain_removed: 30,
        }
    }
}

/// What a keyring does whose lease has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRevocation {
    /// It is taken out of service: calls fail until a RELOAD opens it.
    #[default]
    Disable,
    /// The same, and the server is told to shut down (SIGTERM).
    Shutdown,
}

/// How long a keyring serves that its KEKs would not open any more (docs/guide/lease.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `lease`: so long after they began to refuse.
    pub length: Duration,
    /// `grace`: so long after they were heard of last; `None`: an outage ends nothing.
    pub grace: Option<Duration>,
    /// `on_revocation`: what happens then.
    pub on_revocation: OnRevocation,
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
    /// The KEKs.
    pub keks: KekList,
    /// How long KEKs may take.
    pub patience: Patience,
    /// How much it takes.
    pub limits: Limits,
    /// Whether its KEKs can end its service.
    pub lease: Option<Lease>,
    /// `policy_file`: who may do what with keys; `None`: each account has its own.
    pub policy_file: Option<PathBuf>,
    /// Where it is told who uses and changes keys.
    pub audit: Option<audit::Settings>,
    /// Where this configuration was found, for messages.
    pub origin: String,
}

impl Config {
    /// The backend's name: that of the only KEK's driver; `keks` for a list of KEKs; empty without a KEK.
    pub fn backend(&self) -> &'static str {
        match self.keks.first() {
            Some(_) if self.keks.listed => "keks",
            Some(kek) => kek.driver().name,
            None => "",
        }
    }

    /// A KEK with which anybody could have wrapped a DEK, so that only a pinned fingerprint says which is ours.
    pub fn needs_fingerprint(&self) -> bool {
        let mut keys = self.keks.tried().flat_map(NamedKek::keys);
        keys.any(|key| key.needs_fingerprint())
    }

    /// The token that holds the keys themselves, if one does, and whether they are kept in memory too.
    pub fn token_storage(&self) -> Option<(&Pkcs11Config, bool)> {
        let kek = self.keks.first().filter(|_| !self.keks.listed);
        kek.and_then(|kek| token_storage(kek))
    }

    /// Every secret that opening the keyring reads on this machine.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        self.keks.secrets()
    }
}

/// The token that would hold the keys under this KEK, see [`Config::token_storage`].
pub fn token_storage(kek: &KekConfig) -> Option<(&Pkcs11Config, bool)> {
    kek.settings_of::<Pkcs11Config>()?.token_storage()
}
