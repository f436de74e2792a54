//! What a keyring tells of itself: one struct, from which everything that shows it is made.
//!
//! Owns what is told and under which name: the rows of `performance_schema.keyring_component_status`, the JSON of
//! `keyring_ward_status()` and of the tool, the tool's rows ([`fields`], [`keks`]) and the metrics ([`metrics`]). It must never hold key
//! material, and it prints nothing.

pub mod fields;
pub mod keks;
pub mod metrics;

use crate::config::Config;
use crate::error::{Error, Kind};
use crate::keyring::{self, KeyCounts, Keyring};
use crate::lifecycle::counters::{Counters, Times};
use crate::lifecycle::last_error::LastError;
use crate::lifecycle::lease::State;
use crate::lifecycle::logging;
use crate::lifecycle::{Host, Lifecycle};
use crate::store::{Mode, StoreInfo};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// What a keyring tells of itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What is configured; `None`: no configuration was found.
    pub configured: Option<Configured>,
    /// The open keyring; `None`: it is disabled.
    pub open: Option<keyring::Status>,
    /// The numbers of the process that serves it; `None`: it was opened for a look.
    pub served: Option<Served>,
    /// How the lease is, and when that changes by itself, in seconds since 1970; `None`: nobody serves here.
    pub lease: Option<(State, Option<i64>)>,
    /// How the audit log is; `None`: nobody serves here.
    pub audit: Option<logging::Info>,
    /// What went wrong last, the most important first.
    pub last_errors: Vec<LastError>,
    /// What is worth a warning: full sentences.
    pub warnings: Vec<String>,
}

/// What the configuration says of a keyring.
#[derive(Clone, Debug)]
pub struct Configured {
    /// The backend's name.
    pub backend: &'static str,
    /// The keyring file.
    pub path: PathBuf,
    /// Nothing may be written.
    pub read_only: bool,
}

/// What a process that serves a keyring counts, since it was started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Served {
    /// Fetches of keys.
    pub fetches: u64,
    /// Generates, stores and removes.
    pub writes: Times,
    /// Loads and reloads.
    pub loads: Times,
    /// Errors that an operator should know of.
    pub errors: u64,
    /// Calls that were refused to accounts.
    pub denials: u64,
}

impl Served {
    fn now(counters: &Counters) -> Served {
        Served {
            fetches: counters.fetches(),
            writes: counters.writes.now(),
            loads: counters.loads.now(),
            errors: counters.errors.load(Ordering::Relaxed),
            denials: counters.denials.load(Ordering::Relaxed),
        }
    }
}

impl Configured {
    fn of(config: &Config) -> Configured {
        Configured {
            backend: config.backend(),
            path: config.path.clone(),
            read_only: config.read_only,
        }
    }
}

/// The store, where the keyring was created already.
fn created(open: &keyring::Status) -> Option<&StoreInfo> {
    Some(&open.store).filter(|store| store.exists)
}

impl Status {
    /// A keyring that was opened for a look. Takes its warnings.
    pub fn of_keyring(keyring: &Keyring) -> Status {
        Status {
            configured: Some(Configured::of(keyring.config())),
            open: Some(keyring.status()),
            warnings: keyring.take_warnings(),
            ..Status::default()
        }
    }

    /// The keyring of a process that serves it, or why there is none.
    pub fn of_lifecycle<H: Host>(lifecycle: &Lifecycle<H>) -> Status {
        let keyring = lifecycle.keyring().ok();
        let last_config = || lifecycle.last_config().as_ref().map(Configured::of);
        Status {
            configured: match &keyring {
                Some(keyring) => Some(Configured::of(keyring.config())),
                None => last_config(),
            },
            open: keyring.as_ref().map(|keyring| keyring.status()),
            served: Some(Served::now(&lifecycle.counters)),
            lease: Some(lifecycle.lease()),
            audit: Some(lifecycle.audit_info()),
            last_errors: lifecycle.last_errors(),
            warnings: Vec::new(),
        }
    }

    /// A keyring that can't be opened for a look.
    pub fn of_failure(error: &Error) -> Status {
        Status {
            last_errors: vec![LastError::now(error)],
            ..Status::default()
        }
    }

    fn store(&self) -> Option<&StoreInfo> {
        self.open.as_ref().map(|open| &open.store)
    }

    fn counts(&self) -> Option<KeyCounts> {
        self.open.as_ref().map(|open| open.counts)
    }

    fn created(&self) -> Option<&StoreInfo> {
        self.open.as_ref().and_then(created)
    }

    /// Nothing can be written, whatever the reason: what the configuration says where no keyring is open.
    fn is_read_only(&self) -> Option<bool> {
        match &self.open {
            Some(open) => Some(open.mode != Mode::ReadWrite),
            None => self.configured.as_ref().map(|c| c.read_only),
        }
    }

    /// That writes are refused, as an error would tell it.
    fn refusing(&self) -> Option<String> {
        let why = self.store()?.refusing.as_deref()?;
        let kind = Kind::ReadOnly;
        Some(format!(
            "KW-{:04} {}: Writes are refused: {why}.",
            kind.number(),
            kind.name()
        ))
    }
}

#[cfg(test)]
mod tests;
