//! The thread of a lease: it asks the KEKs every third of it, and takes the keyring away when the rule says so.
//!
//! Owns the thread's life: begun with the first call of a server that has become what it will be (never while it loads),
//! told of every keyring that comes and goes, ended when the keyring is unloaded. It must never hold a keyring between two
//! checks, and never act upon what was said of one that a reload has replaced meanwhile.

use super::lease::{Cause, Outcome, State, Watch};
use super::{Host, Lifecycle, Severity, lock};
use crate::audit::entry::Entry;
use crate::audit::event::Event;
use crate::caller::Caller;
use crate::config::{Lease, OnRevocation};
use crate::error::{Error, Kind};
use crate::kek::answers::Answers;
use crate::os;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long an unload waits for a check that is under way. It touches nothing afterwards.
const LONGEST_END: Duration = Duration::from_secs(2);

/// What the thread and the others share. No lock: a fork may come at any time.
pub(super) struct Control {
    /// Counts the keyrings that came and went.
    epoch: AtomicU64,
    running: AtomicBool,
    ending: AtomicBool,
    thread: ArcSwapOption<Thread>,
    state: ArcSwapOption<State>,
}

impl Control {
    pub(super) const fn new() -> Control {
        Control {
            epoch: AtomicU64::new(0),
            running: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            thread: ArcSwapOption::const_empty(),
            state: ArcSwapOption::const_empty(),
        }
    }

    fn state(&self) -> State {
        self.state.load().as_deref().copied().unwrap_or_default()
    }

    fn wake(&self) {
        if let Some(thread) = &*self.thread.load() {
            thread.unpark();
        }
    }

    /// The thread is not in this process any more: it was forked.
    pub(super) fn is_lost(&self) {
        self.running.store(false, Ordering::Release);
    }
}

impl<H: Host> Lifecycle<H> {
    /// How the lease of the keyring is, and when that changes by itself, in seconds since 1970.
    pub fn lease(&self) -> (State, Option<i64>) {
        let state = self.lease.state();
        let until = state.until().map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            crate::os::unix_seconds() + left.as_secs() as i64
        });
        (state, until)
    }

    /// The lease of the keyring that serves, in a process that serves others.
    fn leased(&self) -> Option<Lease> {
        let lease = self.keyring().ok()?.config().lease?;
        let command_line = self.host.command_line();
        let serves = super::environment::is_in_server(command_line);
        (serves && !command_line.is_initialize_run()).then_some(lease)
    }

    /// Another keyring serves, or none.
    pub(super) fn lease_changed(&self) {
        let leased = self.leased().is_some();
        let state = match leased {
            false => State::Off,
            true => State::NotStarted,
        };
        self.put_lease_state(state);
        self.lease.epoch.fetch_add(1, Ordering::AcqRel);
        if leased {
            self.chores.fetch_or(super::LEASE, Ordering::AcqRel);
        }
        self.lease.wake();
    }

    fn put_lease_state(&self, state: State) {
        self.lease.state.store(Some(Arc::new(state)));
        let number = state.number().into();
        self.counters.lease.store(number, Ordering::Relaxed);
    }

    /// Begins the thread where one is wanted and none runs; false: it is too early, ask again.
    pub(super) fn begin_watching(&'static self) -> bool {
        if self.leased().is_none() {
            return true;
        }
        if !self.host.is_settled() {
            return false;
        }
        // One that waited for a KEK while the keyring was unloaded, and still does, watches the next one: else nobody would.
        self.lease.ending.store(false, Ordering::Release);
        if self.lease.running.swap(true, Ordering::AcqRel) {
            return true;
        }
        if let Err(e) = os::thread::begin("kw-lease", || self.keep_watching()) {
            self.lease.running.store(false, Ordering::Release);
            let e = Error::io("watch the lease", "no thread could be started", e)
                .hint("Nobody asks the KEKs, so that a refusal has no effect. Give mysqld more threads (TasksMax, ulimit -u), and reload the keyring.");
            self.host.log(Severity::Error, &e.to_string());
            self.remember_error(&e);
        }
        true
    }

    /// Ends the thread. One that is in the middle of a check is left alone after a moment: it ends by itself, and touches
    /// nothing then.
    pub(super) fn end_watching(&self) {
        self.lease.ending.store(true, Ordering::Release);
        self.chores.fetch_and(!super::LEASE, Ordering::AcqRel);
        self.lease.wake();
        let end = Instant::now() + LONGEST_END;
        while self.lease.running.load(Ordering::Acquire) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn keep_watching(&'static self) {
        // Before it looks whether it is over: who says so afterwards wakes it.
        let own = Arc::new(std::thread::current());
        self.lease.thread.store(Some(own));
        // What it does with a keyring is caught by itself; beyond that nothing is to panic.
        let _ = self.caught("watch the lease", || {
            self.watch();
            Ok(())
        });
        self.lease.running.store(false, Ordering::Release);
        // A keyring that came at the last moment wants a new thread.
        if !self.lease.ending.load(Ordering::Acquire) && self.leased().is_some() {
            self.chores.fetch_or(super::LEASE, Ordering::AcqRel);
        }
    }

    fn watch(&self) {
        let control = &self.lease;
        let is_ending = || control.ending.load(Ordering::Acquire);
        while !is_ending() {
            let epoch = control.epoch.load(Ordering::Acquire);
            let Some(lease) = self.leased() else { return };
            let is_over = || is_ending() || control.epoch.load(Ordering::Acquire) != epoch;
            let mut due = Instant::now();
            let mut watch = Watch::new(lease, due);
            self.put_state_of(epoch, watch.begun());
            while !is_over() {
                due = (due + watch.pause()).max(Instant::now());
                while !is_over() && Instant::now() < due {
                    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                }
                if is_over() {
                    break;
                }
                let answers = self.ask_keks(is_over);
                if is_over() {
                    break;
                }
                let Some(answers) = answers else {
                    self.put_state_of(epoch, watch.has_nothing(due));
                    continue;
                };
                match watch.take(due, &answers) {
                    Outcome::Serves(state) => self.tell_lease(epoch, state, &answers, lease),
                    Outcome::Revoke(cause) => self.revoke(epoch, cause, &answers, lease),
                }
            }
        }
    }

    /// What the KEKs say; `None`: there is nothing yet to ask them about. `is_over`: nobody wants to know any more.
    fn ask_keks(&self, is_over: impl Fn() -> bool) -> Option<Answers> {
        let asked = self.caught("ask the KEKs", || {
            let keyring = self.keyring()?;
            let current: &crate::keyring::Keyring = &keyring;
            let answers = self.host.go_on(|| current.ask_keks());
            if !is_over() {
                self.log_warnings(current);
            }
            answers
        });
        if is_over() {
            return None;
        }
        self.count_keys();
        // That it is so is told when the state changes.
        asked.unwrap_or_else(|e| Some(Answers::of_nobody(&e)))
    }

    /// The keyring of this epoch is still the one that serves, and stays it until the guard is dropped.
    fn hold(&self, epoch: u64) -> Option<MutexGuard<'_, ()>> {
        let no_reload = lock(&self.reloading);
        (self.lease.epoch.load(Ordering::Acquire) == epoch).then_some(no_reload)
    }

    /// Puts the state of the keyring that was watched; false: a reload has put another one since, which stays.
    fn put_state_of(&self, epoch: u64, state: State) -> bool {
        let held = self.hold(epoch);
        if held.is_some() {
            self.put_lease_state(state);
        }
        held.is_some()
    }

    /// Logs what has changed.
    fn tell_lease(&self, epoch: u64, state: State, answers: &Answers, lease: Lease) {
        let before = self.lease.state();
        let is_put = self.put_state_of(epoch, state);
        if !is_put || std::mem::discriminant(&before) == std::mem::discriminant(&state) {
            return;
        }
        let sentence = match state {
            State::Refused { .. } => format!(
                "KEKs of the keyring refuse their use, and the others could not open it. Unless that ends, the keyring is taken out of \
                 service in {} s (lease): {}",
                lease.length.as_secs(),
                answers.refusals()
            ),
            State::Away { .. } => format!(
                "Too few KEKs of the keyring can be asked whether they would still open it. It serves on{}: {}",
                match lease.grace {
                    Some(grace) => format!(", for {} s (grace)", grace.as_secs()),
                    None => String::new(),
                },
                answers.troubles()
            ),
            State::Valid { .. } => {
                "The KEKs would open the keyring again: its lease is valid.".into()
            }
            State::Off | State::NotStarted | State::Revoked => return,
        };
        self.host.log(Severity::Warning, &sentence);
    }

    /// Takes the keyring away, if it is still the one that was asked about.
    fn revoke(&self, epoch: u64, cause: Cause, answers: &Answers, lease: Lease) {
        let Some(_no_reload) = self.hold(epoch) else {
            return;
        };
        let why = match cause {
            Cause::Refusal => format!(
                "it was taken out of service, because for a whole lease ({} s) so many KEKs refused that the others could not open it: {}",
                lease.length.as_secs(),
                answers.refusals()
            ),
            Cause::Grace => format!(
                "it was taken out of service, because for {} s (grace) too few KEKs answered: {}",
                lease.grace.unwrap_or_default().as_secs(),
                answers.troubles()
            ),
        };
        let error = Error::new(Kind::Denied, "keep the keyring", why).hint(
            "Let the KEKs open again, then run ALTER INSTANCE RELOAD KEYRING (SELECT keyring_ward_reload() with the plugin): that \
             ends it. Until then encrypted tables that the server has not opened yet can't be read, and no key is given out.",
        );
        self.last_errors.remember_error(&error);
        let entry = Entry::new(Event::Revoked).saying(&error.to_string());
        self.tell_event(&Caller::Server(None), entry);
        drop(self.keyring.swap(None));
        self.put_lease_state(State::Revoked);
        self.lease.epoch.fetch_add(1, Ordering::AcqRel);
        self.count_keys();
        self.host.log(Severity::Error, &error.to_string());
        if lease.on_revocation == OnRevocation::Shutdown {
            self.host.log(
                Severity::Error,
                "The server is told to shut down (on_revocation=shutdown).",
            );
            self.host.shut_down();
        }
    }
}

#[cfg(test)]
#[path = "watching_tests.rs"]
mod tests;
