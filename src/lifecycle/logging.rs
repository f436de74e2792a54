//! The thread of the audit log: it writes what calls have told, and nobody waits for it.
//!
//! Owns the thread's life, as `watching` does that of a lease: begun with the first call of a server that has become what it will be, told
//! of every keyring that comes and goes, ended when the keyring is unloaded. What a call does here are looks at atomics and entries for a
//! ring; it must never wait for the thread, nor take a lock that the thread holds while it waits for a disk.

use super::{Host, Lifecycle, Severity};
use crate::audit::entry::{Entry, now};
use crate::audit::event::Event;
use crate::audit::feed::Feed;
use crate::audit::outbox::Outbox;
use crate::audit::settings::{Reads, Settings};
use crate::audit::writer::Writer;
use crate::error::{Error, Result};
use crate::os;
use arc_swap::ArcSwapOption;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long an unload waits for the last lines.
const LONGEST_END: Duration = Duration::from_secs(2);
/// How often the thread looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it waits after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A thread that has not come by for so long hangs: microseconds.
pub(super) const LONGEST_SILENCE: i64 = 10_000_000;

/// How the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// None is configured, or there is no keyring.
    #[default]
    Off,
    /// It is written.
    Writing,
    /// It was not begun yet: nobody has called, or there is no keyring file that could hold its key.
    Waiting,
    /// It can't be written.
    Failing,
}

impl State {
    const ALL: [State; 4] = [State::Off, State::Writing, State::Waiting, State::Failing];

    /// A word for the status.
    pub fn name(self) -> &'static str {
        match self {
            State::Off => "off",
            State::Writing => "writing",
            State::Waiting => "waiting",
            State::Failing => "failing",
        }
    }
}

/// What the status tells of the log.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// How it is.
    pub state: State,
    /// Why it can't be written.
    pub why: Option<String>,
    /// The last line on the disk.
    pub line: u64,
    /// When that was, in seconds since 1970.
    pub synced_at: Option<i64>,
    /// Events that found no room since the keyring was loaded.
    pub dropped: u64,
    /// Changes that are not in the log yet.
    pub owed: u64,
}

/// What the thread and the others share. No lock that the thread holds while it works: a fork may come at any time.
pub(super) struct Control {
    pub(super) outbox: OnceLock<Arc<Outbox>>,
    pub(super) feed: ArcSwapOption<Feed>,
    settings: ArcSwapOption<Settings>,
    /// Whether calls look for the feed at all.
    pub(super) wanted: AtomicBool,
    pub(super) required: AtomicBool,
    /// Whether reads are told.
    pub(super) tells_reads: AtomicBool,
    epoch: AtomicU64,
    running: AtomicBool,
    ending: AtomicBool,
    thread: ArcSwapOption<Thread>,
    state: AtomicU8,
    pub(super) why: ArcSwapOption<String>,
    /// When the thread came by last, in microseconds since 1970; 0: it was not begun.
    pub(super) beat: AtomicI64,
    pub(super) line: AtomicU64,
    pub(super) synced_at: AtomicI64,
}

impl Control {
    pub(super) const fn new() -> Control {
        Control {
            outbox: OnceLock::new(),
            feed: ArcSwapOption::const_empty(),
            settings: ArcSwapOption::const_empty(),
            wanted: AtomicBool::new(false),
            required: AtomicBool::new(false),
            tells_reads: AtomicBool::new(false),
            epoch: AtomicU64::new(0),
            running: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            thread: ArcSwapOption::const_empty(),
            state: AtomicU8::new(0),
            why: ArcSwapOption::const_empty(),
            beat: AtomicI64::new(0),
            line: AtomicU64::new(0),
            synced_at: AtomicI64::new(0),
        }
    }

    /// The thread is not in this process any more: it was forked.
    pub(super) fn is_lost(&self) {
        self.running.store(false, Ordering::Release);
    }

    fn wake(&self) {
        if let Some(thread) = &*self.thread.load() {
            thread.unpark();
        }
    }

    pub(super) fn state(&self) -> State {
        let number = usize::from(self.state.load(Ordering::Acquire));
        State::ALL.get(number).copied().unwrap_or_default()
    }
}

impl<H: Host> Lifecycle<H> {
    /// Where changes wait, in a process that serves others.
    pub(super) fn outbox_of_server(&self) -> Option<Arc<Outbox>> {
        let serves = super::environment::is_in_server(self.host.command_line());
        serves.then(|| self.audit.outbox.get_or_init(Arc::default).clone())
    }

    fn put_audit(&self, state: State, why: Option<String>) {
        self.audit.why.store(why.map(Arc::new));
        self.audit.state.store(state as u8, Ordering::Release);
        self.counters.audit.store(state as u64, Ordering::Relaxed);
    }

    /// What is configured of the log of the keyring that serves, in a process that serves others.
    fn audited(&self) -> Option<Settings> {
        let keyring = self.keyring().ok()?;
        let settings = keyring.config().audit.clone()?;
        let command_line = self.host.command_line();
        let serves = super::environment::is_in_server(command_line);
        (serves && !command_line.is_initialize_run()).then_some(settings)
    }

    /// Another keyring serves, or none.
    pub(super) fn audit_changed(&self) {
        let control = &self.audit;
        let settings = self.audited();
        let wanted = settings.is_some();
        let required = settings.as_ref().is_some_and(|s| s.required);
        match &settings {
            None => {
                control.feed.store(None);
                self.put_audit(State::Off, None);
            }
            Some(settings) => {
                let same = |feed: &Arc<Feed>| feed.told == settings.reads;
                if !self.feed().as_ref().is_some_and(same) {
                    let outbox = control.outbox.get_or_init(Arc::default).clone();
                    control
                        .feed
                        .store(Some(Arc::new(Feed::new(settings.reads, outbox))));
                }
                if control.state() == State::Off {
                    self.put_audit(State::Waiting, None);
                }
            }
        }
        let reads = settings.as_ref().is_some_and(|s| s.reads != Reads::None);
        control.settings.store(settings.map(Arc::new));
        control.tells_reads.store(reads, Ordering::Relaxed);
        control.required.store(required, Ordering::Relaxed);
        control.wanted.store(wanted, Ordering::Relaxed);
        control.epoch.fetch_add(1, Ordering::AcqRel);
        if wanted {
            self.chores.fetch_or(super::AUDIT, Ordering::AcqRel);
        }
        control.wake();
    }

    /// Begins the thread where one is wanted and none runs; false: it is too early, ask again.
    pub(super) fn begin_logging(&'static self) -> bool {
        if self.audit.settings.load().is_none() {
            return true;
        }
        if !self.host.is_settled() {
            return false;
        }
        // One that waited for its disk while the keyring was unloaded, and still does, goes on with the next one.
        self.audit.ending.store(false, Ordering::Release);
        if self.audit.running.swap(true, Ordering::AcqRel) {
            return true;
        }
        self.audit.beat.store(now(), Ordering::Release);
        if let Err(e) = os::thread::begin("kw-audit", || self.keep_logging()) {
            self.audit.running.store(false, Ordering::Release);
            let e = Error::io("write the audit log", "no thread could be started", e)
                .hint("Give mysqld more threads (TasksMax, ulimit -u), and reload the keyring. Changes wait in the keyring meanwhile.");
            self.fail_logging(&e);
        }
        true
    }

    /// Ends the thread once it has written the last lines. One that waits for a disk is left alone after a moment.
    pub(super) fn end_logging(&self) {
        self.audit.ending.store(true, Ordering::Release);
        self.chores.fetch_and(!super::AUDIT, Ordering::AcqRel);
        self.audit.wake();
        let end = Instant::now() + LONGEST_END;
        while self.audit.running.load(Ordering::Acquire) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn keep_logging(&'static self) {
        self.audit
            .thread
            .store(Some(Arc::new(std::thread::current())));
        let caught = self.caught("write the audit log", || {
            self.log_until_over();
            Ok(())
        });
        if let Err(e) = caught {
            self.fail_logging(&e);
        }
        self.audit.running.store(false, Ordering::Release);
        // A keyring that came at the last moment wants a new thread.
        if !self.audit.ending.load(Ordering::Acquire) && self.is_audited() {
            self.chores.fetch_or(super::AUDIT, Ordering::AcqRel);
        }
    }

    fn log_until_over(&self) {
        let control = &self.audit;
        let is_ending = || control.ending.load(Ordering::Acquire);
        // This server said in the keyring that it has no log.
        let mut noted = false;
        loop {
            // Once more at the end: what was told while there was no log yet, or none that could be written, has no other chance.
            let is_last = is_ending();
            let Some(settings) = control.settings.load_full() else {
                return;
            };
            let Some(feed) = self.feed().as_ref().cloned() else {
                return;
            };
            match self.open_log(&settings, &feed) {
                Ok(Some(writer)) => {
                    self.tell_unlogged(&feed, noted);
                    noted = false;
                    self.write_log(writer, &settings, &feed);
                    if is_ending() {
                        return;
                    }
                    continue;
                }
                Ok(None) => {
                    let why = "There is no keyring file yet that could hold its key.";
                    self.put_audit(State::Waiting, Some(why.into()));
                }
                Err(e) => {
                    self.fail_logging(&e);
                    noted = noted || self.note_unlogged(true).is_ok();
                }
            }
            control.beat.store(now(), Ordering::Release);
            if is_last {
                return;
            }
            if !is_ending() {
                std::thread::park_timeout(PAUSE_AFTER_FAILURE);
            }
        }
    }

    /// Says in the keyring whether this server has no log: if it ends so, nothing else tells that reads are missing.
    fn note_unlogged(&self, is_so: bool) -> Result<()> {
        let keyring = self.keyring()?;
        let current: &crate::keyring::Keyring = &keyring;
        self.host.go_on(|| current.set_unlogged(is_so))
    }

    /// Tells of a server that had no log. `here`: it is this one, whose ring has what was told, and counts what was not.
    fn tell_unlogged(&self, feed: &Feed, here: bool) {
        let is_unlogged = self.keyring().is_ok_and(|keyring| keyring.is_unlogged());
        if is_unlogged && !here {
            let why = "a server served that could not write the log: reads and refusals of that time are missing; changes are told from the keyring";
            feed.tell(&Entry::new(Event::Gap).saying(why));
        }
        if let Err(e) = self.note_unlogged(false) {
            self.host.log(Severity::Warning, &e.to_string());
        }
    }

    /// Opens the log of the keyring that serves. `None`: its file is still to come, and nothing was acknowledged that the log would lack.
    fn open_log(&self, settings: &Settings, feed: &Feed) -> Result<Option<Writer>> {
        // Both of the same keyring: a reload may put another one in its place meanwhile.
        let (opened, _) = feed.outbox.journal();
        let signer = {
            let keyring = self.keyring()?;
            if keyring.store_info().file_id != Some(opened.file_id) {
                return Ok(None);
            }
            let current: &crate::keyring::Keyring = &keyring;
            self.host.go_on(|| current.audit_signer())?
        };
        Writer::open(settings, signer, &feed.outbox, &opened).map(Some)
    }

    /// Writes until another keyring serves or the end has come.
    fn write_log(&self, mut writer: Writer, settings: &Arc<Settings>, feed: &Arc<Feed>) {
        let control = &self.audit;
        let epoch = control.epoch.load(Ordering::Acquire);
        let keyring = writer.keyring();
        let is_over = || {
            let changed = control.epoch.load(Ordering::Acquire) != epoch;
            control.ending.load(Ordering::Acquire)
                || (changed && !self.goes_on(settings, feed, &keyring))
        };
        self.put_audit(State::Writing, None);
        while !is_over() {
            let turned = writer.turn(feed, false);
            let pause = match &turned {
                Ok(()) => {
                    self.count_log(&writer);
                    PAUSE
                }
                Err(e) => {
                    self.fail_logging(e);
                    PAUSE_AFTER_FAILURE
                }
            };
            control.beat.store(now(), Ordering::Release);
            if !is_over() {
                std::thread::park_timeout(pause);
            }
        }
        if let Err(e) = writer.close(feed) {
            self.fail_logging(&e);
        }
    }

    /// The keyring that came is the same one, told in the same way.
    fn goes_on(&self, settings: &Arc<Settings>, feed: &Arc<Feed>, keyring: &[u8; 16]) -> bool {
        let same_settings = self
            .audit
            .settings
            .load()
            .as_ref()
            .is_some_and(|s| s == settings);
        let same_feed = self.feed().as_ref().is_some_and(|f| Arc::ptr_eq(f, feed));
        same_settings && same_feed && feed.outbox.journal().0.file_id == *keyring
    }

    fn count_log(&self, writer: &Writer) {
        let control = &self.audit;
        let line = writer.tail().line;
        self.counters.audit_lines.store(line, Ordering::Relaxed);
        let dropped = self.feed().as_ref().map_or(0, |feed| feed.dropped());
        self.counters
            .audit_dropped
            .store(dropped, Ordering::Relaxed);
        if control.line.swap(line, Ordering::Relaxed) != line {
            control.synced_at.store(now(), Ordering::Relaxed);
        }
        if control.state() != State::Writing {
            self.put_audit(State::Writing, None);
            self.host
                .log(Severity::Warning, "The audit log is written again.");
        }
    }

    /// The log can't be written: said once for each reason.
    fn fail_logging(&self, error: &Error) {
        let why = error.to_string();
        let is_new =
            self.audit.state() != State::Failing || self.audit.why.load().as_deref() != Some(&why);
        self.put_audit(State::Failing, Some(why.clone()));
        if is_new {
            self.host.log(Severity::Error, &why);
            self.remember_error(error);
        }
    }
}

#[cfg(test)]
#[path = "logging_tests.rs"]
mod tests;
