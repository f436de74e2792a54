//! The policy that is in force.
//!
//! Owns when one is read: with the keyring, at a load and at each RELOAD. A bad one never takes the server down: at a RELOAD the one that was
//! in force stays, at the start only the server's own keys are served. It must never be asked about a call without owner.

use super::{Host, Lifecycle, Severity};
use crate::error::{Error, Kind, Result};
use crate::policy::Policy;
use crate::policy::source::{self, Loaded};
use arc_swap::ArcSwapOption;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is in force.
#[derive(Debug)]
pub struct InForce {
    /// Its file.
    pub file: PathBuf,
    /// When it was read, in seconds since 1970.
    pub read_at: i64,
    /// The policy; or why there is none that could be read: then no account gets a key.
    pub policy: std::result::Result<Arc<Policy>, String>,
    /// Why the one that is in the file now is not in force, where that was tried later.
    pub refused: Option<String>,
    /// Full sentences about what could be better.
    pub warnings: Vec<String>,
}

/// The place of what is in force.
pub(super) struct Policing {
    /// There is something: looked at before anything else.
    is_on: AtomicBool,
    in_force: ArcSwapOption<InForce>,
}

impl Policing {
    pub(super) const fn new() -> Policing {
        Policing {
            is_on: AtomicBool::new(false),
            in_force: ArcSwapOption::const_empty(),
        }
    }
}

/// What was read with a configuration; `None`: it names no policy.
pub(super) type Read = Option<(PathBuf, Result<Loaded>)>;

/// Reads the policy that a configuration names.
pub(super) fn read(file: Option<&Path>) -> Read {
    file.map(|file| (file.to_path_buf(), source::load(file)))
}

impl<H: Host> Lifecycle<H> {
    /// There is a policy. It costs one look at an atomic.
    #[inline]
    pub fn is_policed(&self) -> bool {
        self.policing.is_on.load(Ordering::Acquire)
    }

    /// What is in force; `None`: there is no policy.
    #[inline]
    pub fn in_force(&self) -> Option<arc_swap::Guard<Option<Arc<InForce>>>> {
        self.is_policed().then(|| self.policing.in_force.load())
    }

    /// The same, to be kept.
    pub fn in_force_to_keep(&self) -> Option<Arc<InForce>> {
        self.policing.in_force.load_full()
    }

    /// Puts what was read into force, before the keyring that was opened with it serves. `first`: nothing was in force because nothing was
    /// loaded. Gives why what was read is not in force.
    #[must_use]
    pub(super) fn enforce(&self, read: Read, first: bool) -> Option<Error> {
        let Some((file, read)) = read else {
            if self.policing.in_force.swap(None).is_some() {
                let text =
                    "There is no policy any more: each account has its own keys, as MySQL has it.";
                self.host.log(Severity::Warning, text);
            }
            self.policing.is_on.store(false, Ordering::Release);
            return None;
        };
        let now = crate::os::unix_seconds();
        let before = self.policing.in_force.load_full();
        let (next, why) = match (read, before) {
            (Ok(Loaded { policy, warnings }), _) => {
                for warning in &warnings {
                    self.host.log(Severity::Warning, warning);
                }
                let text = format!(
                    "The policy '{}' is in force: {} rules.",
                    file.display(),
                    policy.rules().len()
                );
                self.host.log(Severity::Note, &text);
                let next = InForce {
                    file,
                    read_at: now,
                    policy: Ok(Arc::new(policy)),
                    refused: None,
                    warnings,
                };
                (next, None)
            }
            (Err(error), None) if !first => {
                self.host.log(Severity::Error, &error.to_string());
                let text = "There was no policy, and this one is not in force: each account has its own keys, as MySQL has it.";
                self.host.log(Severity::Error, text);
                return Some(error);
            }
            (Err(error), None) => {
                self.host.log(Severity::Error, &error.to_string());
                let text = "Without its policy the keyring serves the server's own keys only: encrypted tables and logs can be read, \
                            and no account gets a key. Mend the policy, then ALTER INSTANCE RELOAD KEYRING (as plugin: keyring_ward_reload()).";
                self.host.log(Severity::Error, text);
                let next = InForce {
                    file,
                    read_at: now,
                    policy: Err(error.to_string()),
                    refused: None,
                    warnings: Vec::new(),
                };
                (next, Some(error))
            }
            (Err(error), Some(before)) => {
                self.host.log(Severity::Error, &error.to_string());
                let what = match &before.policy {
                    Ok(_) => "The policy that was in force before stays in force.",
                    Err(_) => "No account gets a key until the policy can be read.",
                };
                self.host.log(Severity::Error, what);
                let next = InForce {
                    file: before.file.clone(),
                    read_at: before.read_at,
                    policy: before.policy.clone(),
                    refused: Some(error.to_string()),
                    warnings: before.warnings.clone(),
                };
                (next, Some(error))
            }
        };
        self.policing.in_force.store(Some(Arc::new(next)));
        self.policing.is_on.store(true, Ordering::Release);
        why
    }

    /// Nothing is loaded any more.
    pub(super) fn end_policing(&self) {
        self.policing.is_on.store(false, Ordering::Release);
        self.policing.in_force.store(None);
    }
}

/// The error of every call for an account while the policy could not be read.
#[cold]
pub fn unreadable(why: &str) -> Error {
    let why = format!(
        "only the server's own keys are served, because its policy is not in order: {}",
        why.trim_end_matches('.')
    );
    let error = Error::new(Kind::Denied, "use the keyring", why).refused();
    error.hint("The administrator mends the file and loads the keyring anew.")
}
