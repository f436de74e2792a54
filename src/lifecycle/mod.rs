//! The life of a keyring in a process that serves it: load, reload, unload, and what is told of them.
//!
//! Owns the keyring that serves (swapped whole on a reload) and the reason why there is none. It knows nothing of MySQL: what it needs of its process is a [`Host`]. It
//! must never hold a lock while a disk is waited for, except the reload's own, which only other reloads wait for, and
//! never write when it unloads.

pub mod counters;
pub mod environment;
pub mod last_error;
pub mod lease;
mod load;
pub mod logging;
pub mod policing;
mod refilling;
mod telling;
mod watching;

use crate::audit::entry::Entry;
use crate::audit::event::Event;
use crate::caller::Caller;
use crate::config::Config;
use crate::config::discover::CommandLine;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::key::id::{KeyId, list_short_first};
use crate::key::record::{KeyRecord, KnownKey};
use crate::keyring::{By, Keyring};
use crate::panics;
use crate::store::StoreInfo;
use arc_swap::{ArcSwapOption, Guard};
use counters::Counters;
use last_error::{LastError, LastErrors};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which role the keyring was opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Through the manifest and `keyring_load`.
    Component,
    /// As a keyring plugin.
    Plugin,
}

/// Whom a line of the log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something that needs an operator.
    Error,
    /// Something that an operator should know.
    Warning,
    /// Something for those who look closely.
    Note,
}

/// What a lifecycle needs of the process that it lives in.
pub trait Host: Sync {
    /// Writes a line into the log: full sentences.
    fn log(&self, severity: Severity, text: &str);

    /// How the process was started.
    fn command_line(&self) -> &CommandLine;

    /// Finds out whose rights a keyring of this configuration needs, and does `work` with them. No thread that `work` has
    /// started exists when it returns.
    ///
    /// # Errors
    /// There is no such account, or its rights can't be taken on. Those of `work`.
    fn load<T: Send>(
        &self,
        instance_dir: Option<&Path>,
        config: &(dyn Fn() -> Result<Config> + Send + Sync),
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T>;

    /// Does `work` with the rights that the keyring was loaded with.
    ///
    /// # Errors
    /// They can't be taken on. Those of `work`.
    fn go_on<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T>;

    /// The process is what it will be: neither a fork nor a change of its user is to come, so that a thread may live in it.
    fn is_settled(&self) -> bool;

    /// Runs `f` with whose statement it is that made the process act, where it is known.
    fn with_caller(&self, f: &mut dyn FnMut(&Caller<'_>)) {
        f(&Caller::Server(None));
    }

    /// Tells the process to end in an orderly way.
    fn shut_down(&self);
}

/// Something has to be done at the next call: pages are locked anew after a fork, the thread of a lease is begun, random
/// bytes are fetched, the audit log is written.
pub const FORKED: u8 = 1;
const LEASE: u8 = 2;
const RANDOM: u8 = 4;
const AUDIT: u8 = 8;

/// A keyring's life in one process.
pub struct Lifecycle<H> {
    /// The process that it lives in.
    pub host: H,
    /// Numbers and times of calls. They lie here as long as the lifecycle does: a server may read them by their address.
    pub counters: Counters,
    /// What is to be done at the next call ([`Lifecycle::tend`]). A handler of a signal or a fork may set it.
    pub chores: AtomicU8,
    lease: watching::Control,
    audit: logging::Control,
    /// A thread fetches random bytes.
    refilling: AtomicBool,
    /// Readers neither lock nor count: each fetch of each connection comes by here.
    keyring: ArcSwapOption<Keyring>,
    /// Which role opened it: only that one closes it.
    opened_by: Mutex<Option<Role>>,
    /// Why there is no keyring, or what went wrong last.
    last_errors: LastErrors,
    /// The configuration that was last tried, for the status of a disabled keyring.
    last_config: Mutex<Option<Config>>,
    reloading: Mutex<()>,
    /// A load was tried before.
    tried: AtomicBool,
    last_load: Mutex<Option<load::LastLoad>>,
    policing: policing::Policing,
}

/// The mutex's content, whatever happened to a thread that held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keyring as it is now; a reload meanwhile does not take it away.
pub struct Current(Guard<Option<Arc<Keyring>>>);

impl std::ops::Deref for Current {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        // `keyring` makes a Current only where there is one.
        self.0.as_ref().expect("there is a keyring")
    }
}

/// How long a change runs after keyrings that reloads replace.
const LONGEST_CHASE: Duration = Duration::from_secs(10);

impl<H: Host> Lifecycle<H> {
    /// Nothing is loaded yet.
    pub const fn new(host: H) -> Lifecycle<H> {
        Lifecycle {
            host,
            counters: Counters::new(),
            chores: AtomicU8::new(0),
            lease: watching::Control::new(),
            audit: logging::Control::new(),
            refilling: AtomicBool::new(false),
            keyring: ArcSwapOption::const_empty(),
            opened_by: Mutex::new(None),
            last_errors: LastErrors::new(),
            last_config: Mutex::new(None),
            reloading: Mutex::new(()),
            tried: AtomicBool::new(false),
            last_load: Mutex::new(None),
            policing: policing::Policing::new(),
        }
    }

    /// The keyring that serves.
    ///
    /// # Errors
    /// There is none; the reason is in the error.
    #[inline]
    pub fn keyring(&self) -> Result<Current> {
        let current = self.keyring.load();
        match current.is_some() {
            true => Ok(Current(current)),
            false => Err(self.disabled()),
        }
    }

    #[cold]
    fn disabled(&self) -> Error {
        let reason = self.last_errors.text();
        let reason = reason.as_deref().unwrap_or("it was not loaded");
        let why = format!("the keyring is disabled: {}", reason.trim_end_matches('.'));
        Error::new(Kind::Config, "serve the call", why)
    }

    /// The keyring is loaded.
    pub fn is_active(&self) -> bool {
        self.keyring.load().is_some()
    }

    /// Finds a key: see [`Keyring::fetch`].
    ///
    /// # Errors
    /// There is no keyring, and those of fetching.
    #[inline]
    pub fn fetch(&self, name: &[u8], owner: &[u8]) -> Result<Option<Arc<KeyRecord>>> {
        let keyring = self.keyring()?;
        let current: &Keyring = &keyring;
        self.host.go_on(|| current.fetch(name, owner))
    }

    /// All keys for the server's list of names, in an order in which none hides another one. A migration tool fetches each of
    /// them, ends at the first that fails, and hands it to a keyring that knows no states: it hears of those only that are
    /// served, and the log of the others.
    ///
    /// # Errors
    /// As [`Lifecycle::keyring`].
    pub fn names(&self) -> Result<Vec<KnownKey>> {
        let keyring = self.keyring()?;
        let mut keys = match environment::is_in_server(self.host.command_line()) {
            true => keyring.list(),
            false => {
                let (served, kept_back) = keyring.list_served();
                if let Some(text) = not_handed_over(&kept_back) {
                    self.host.log(Severity::Warning, &text);
                }
                served
            }
        };
        list_short_first(&mut keys, |key| &key.id);
        Ok(keys)
    }

    /// Runs and counts a change that `caller` makes to the keyring, and logs what came up.
    ///
    /// # Errors
    /// There is no keyring, and those of `f`.
    pub fn write(
        &self,
        caller: &Caller<'_>,
        f: impl Fn(&By<'_>) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        self.counters
            .writes
            .run(|| {
                self.change(caller, |keyring| {
                    let result = f(keyring);
                    let keys = keyring.len() as u64;
                    self.counters.keys.store(keys, Ordering::Relaxed);
                    result
                })
            })
            .inspect(|()| self.ask_for_random())
    }

    /// Runs a change that `caller` makes on the keyring that serves, and logs what came up. One that a reload has replaced meanwhile refuses it
    /// untouched; it is done on the new one then.
    ///
    /// # Errors
    /// There is no keyring, and those of `f`.
    pub fn change<T: Send>(
        &self,
        caller: &Caller<'_>,
        f: impl Fn(&By<'_>) -> Result<T> + Send + Sync,
    ) -> Result<T> {
        let deadline = Deadline::after(LONGEST_CHASE);
        loop {
            let keyring = self.keyring()?;
            let current: &Keyring = &keyring;
            let by = current.by(caller);
            match self.host.go_on(|| f(&by)) {
                Err(e)
                    if e.kind() == Kind::ReadOnly && keyring.is_retired() && !deadline.passed() =>
                {
                    // The new one is there in a moment.
                    if self.is_current(&keyring) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                result => {
                    self.log_warnings(current);
                    return result;
                }
            }
        }
    }

    fn is_current(&self, keyring: &Keyring) -> bool {
        let current = self.keyring.load();
        let current = current.as_ref();
        current.is_some_and(|c| std::ptr::eq(&raw const **c, keyring))
    }

    /// Brings the counters to what the keyring is now.
    fn count_keys(&self) {
        let keyring = self.keyring.load();
        let (active, keys) = keyring.as_ref().map_or((0, 0), |k| (1, k.len() as u64));
        self.counters.active.store(active, Ordering::Relaxed);
        self.counters.keys.store(keys, Ordering::Relaxed);
        let store = keyring.as_ref().map(|k| k.store_info());
        let health = store
            .as_ref()
            .map(StoreInfo::kek_health)
            .unwrap_or_default();
        let set = |counter: &AtomicU64, n: u64| counter.store(n, Ordering::Relaxed);
        set(&self.counters.keks, health.configured as u64);
        set(&self.counters.keks_answered, health.answered as u64);
        set(&self.counters.degraded, health.degraded.is_some().into());
    }

    /// Asks every KEK to open its stanza, each for `timeout` at the longest, and brings the counters to what came of it.
    ///
    /// # Errors
    /// There is no keyring; the rights that it was loaded with can't be taken on.
    pub fn test_keks(&self) -> Result<()> {
        let keyring = self.keyring()?;
        let current: &Keyring = &keyring;
        self.host.go_on(|| current.test_keks())?;
        self.count_keys();
        let health = keyring.store_info().kek_health();
        let what = format!("{} of {} opened", health.answered, health.configured);
        self.tell_server_event(Entry::new(Event::KekAsked).saying(&what));
        Ok(())
    }

    /// Something is to be done before the next call. It costs one look at an atomic.
    #[inline]
    pub fn has_chores(&self) -> bool {
        self.chores.load(Ordering::Acquire) != 0
    }

    /// Does what is to be done before a call.
    pub fn tend(&'static self) {
        if self.has_chores() {
            self.do_chores();
        }
    }

    #[cold]
    fn do_chores(&'static self) {
        let mut chores = self.chores.swap(0, Ordering::AcqRel);
        if chores & FORKED != 0 {
            // Neither locked pages nor threads are inherited.
            if let Some(keyring) = self.keyring.load_full() {
                keyring.pool().relock();
            }
            self.lease.is_lost();
            self.audit.is_lost();
            self.refilling.store(false, Ordering::Release);
            chores |= LEASE | AUDIT;
        }
        if chores & LEASE != 0 && !self.begin_watching() {
            self.chores.fetch_or(LEASE, Ordering::AcqRel);
        }
        if chores & AUDIT != 0 && !self.begin_logging() {
            self.chores.fetch_or(AUDIT, Ordering::AcqRel);
        }
        if chores & RANDOM != 0 && !self.begin_refilling() {
            self.chores.fetch_or(RANDOM, Ordering::AcqRel);
        }
    }

    /// A load was tried before, successful or not.
    pub fn was_loaded(&self) -> bool {
        self.tried.load(Ordering::Acquire)
    }

    /// Runs `body`; a panic in it becomes an error, which the status tells whatever else is there.
    ///
    /// # Errors
    /// Those of `body`; Internal: it panicked.
    pub fn caught<T>(&self, name: &'static str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        panics::try_caught(name, body).unwrap_or_else(|panic| {
            let error = panic.hint(
                "The call failed, the server goes on. Please report this with the lines around it in the error log.",
            );
            let remember = || self.last_errors.remember_defect(&error);
            let _ = catch_unwind(AssertUnwindSafe(remember));
            Err(error)
        })
    }

    /// Keeps an error of a call for the status.
    pub fn remember_error(&self, error: &Error) {
        self.counters.errors.fetch_add(1, Ordering::Relaxed);
        // "The keyring is disabled: <reason>" must not wrap itself again and again.
        if self.is_active() {
            self.last_errors.remember_error(error);
        }
    }

    /// Keeps a request of an account that was refused for the status.
    pub fn remember_refusal(&self, error: &Error) {
        if self.is_active() {
            self.last_errors.remember_refusal(error);
        }
    }

    /// What went wrong last, the most important first: a caught panic, then the last error; where there is neither, the
    /// last request that was refused.
    pub fn last_errors(&self) -> Vec<LastError> {
        self.last_errors.list()
    }

    /// Logs what came up since the last call.
    pub fn log_warnings(&self, keyring: &Keyring) {
        for sentence in keyring.take_warnings() {
            self.host.log(Severity::Warning, &sentence);
        }
    }
}

/// What is said of keys that a migration leaves out; `None`: there are none.
fn not_handed_over(kept_back: &[KeyId]) -> Option<String> {
    const NAMED: usize = 10;
    let named: Vec<String> = kept_back.iter().take(NAMED).map(KeyId::to_string).collect();
    let more = match kept_back.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!named.is_empty()).then(|| {
        format!(
            "Versions that are compromised, whose time is over, or whose rotation was broken off, and private halves of key pairs are \
             served to nobody and not handed over: {}{more}. All other keys are. These stay in this keyring; keyring-ward export writes \
             them out with their material, but for key pairs, which keyring-ward import alone brings into another keyring.",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
