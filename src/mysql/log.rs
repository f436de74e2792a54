//! Lines in the server's error log.
//!
//! Uses `mysql_simple_error_log` where the server has it (its one method is the same in all
//! versions), else standard error: never standard output, which belongs to the migration tool.

use super::abi;
use super::registry::{Registry, Service};
use crate::lifecycle::{Role, lock};
use keyring_ward_boundary::log as line;
use std::collections::VecDeque;
use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

/// The same line is not repeated within this time.
const REPEAT: Duration = Duration::from_secs(10);

/// How many different lines are remembered for that.
const RECENT: usize = 16;
/// Refused requests that are told within [`REPEAT`]: an account must not be able to fill the disk with them.
const REFUSALS: u64 = 10;

/// The log service.
#[derive(Default)]
pub(super) struct Log {
    service: AtomicPtr<abi::kw_simple_error_log>,
    /// Which role acquired the service, to be released by it.
    connected_by: Mutex<Option<Role>>,
    /// What was said lately, so that alternating lines are not repeated either.
    recent: Mutex<VecDeque<(String, Instant)>>,
    /// Since when refused requests are counted, and how many there were.
    refusals: Mutex<Option<(Instant, u64)>>,
}

impl Log {
    /// An unconnected log.
    const fn new() -> Log {
        Log {
            service: AtomicPtr::new(null_mut()),
            connected_by: Mutex::new(None),
            recent: Mutex::new(VecDeque::new()),
            refusals: Mutex::new(None),
        }
    }

    /// Connects the server's log, unless the other role has done so.
    pub(super) fn connect(&self, registry: Registry<'_>, role: Role) {
        let mut connected_by = lock(&self.connected_by);
        if connected_by.is_none()
            && let Some(service) = registry.service::<abi::kw_simple_error_log>()
        {
            *connected_by = Some(role);
            self.service
                .store(service.keep().as_ptr(), Ordering::Release);
        }
    }

    /// Disconnects the log that `role` connected, and releases it.
    pub(super) fn disconnect(&self, registry: Registry<'_>, role: Role) {
        let mut connected_by = lock(&self.connected_by);
        if *connected_by != Some(role) {
            return;
        }
        *connected_by = None;
        if let Some(service) = NonNull::new(self.service.swap(null_mut(), Ordering::AcqRel)) {
            // SAFETY: `connect` kept it, and it was taken out just now.
            drop(unsafe { Service::kept(service, registry) });
        }
    }

    fn is_repetition(&self, text: &str) -> bool {
        let mut recent = lock(&self.recent);
        recent.retain(|(_, at)| at.elapsed() < REPEAT);
        if recent.iter().any(|(t, _)| t == text) {
            return true;
        }
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back((text.to_string(), Instant::now()));
        false
    }

    /// Whether one more refused request is told, and how many before it were not.
    fn admit_refusal(&self) -> (bool, u64) {
        let mut refusals = lock(&self.refusals);
        let (since, count) = refusals.unwrap_or((Instant::now(), 0));
        if since.elapsed() < REPEAT {
            *refusals = Some((since, count + 1));
            return (count < REFUSALS, 0);
        }
        *refusals = Some((Instant::now(), 1));
        (true, count.saturating_sub(REFUSALS))
    }

    fn emit(&self, severity: c_int, text: &str) {
        let service = self.service.load(Ordering::Acquire);
        // SAFETY: the service was acquired from the registry and is disconnected before it is released.
        line::write(unsafe { service.as_ref() }, severity, text);
    }
}

/// The log of this process: the server has one.
pub(super) static LOG: Log = Log::new();

/// Something that is told however little the log is to tell.
pub fn event(text: &str) {
    LOG.emit(line::SYSTEM, text);
}

/// Something that needs an operator.
pub fn error(text: &str) {
    LOG.emit(line::ERROR, text);
}

/// As [`error`], but the same line at most every ten seconds.
pub fn error_limited(text: &str) {
    if !LOG.is_repetition(text) {
        error(text);
    }
}

/// Something that an operator should know.
pub fn warning(text: &str) {
    if !LOG.is_repetition(text) {
        LOG.emit(line::WARNING, text);
    }
}

/// A request of an account that was refused. Not each of very many is told, but that there were more is.
pub fn refusal(text: &str) {
    if LOG.is_repetition(text) {
        return;
    }
    let (told, untold) = LOG.admit_refusal();
    if untold > 0 {
        let more = format!("{untold} more requests were refused and are not in this log.");
        LOG.emit(line::WARNING, &more);
    }
    if told {
        LOG.emit(line::WARNING, text);
    }
}

/// Something for those who look closely.
pub fn note(text: &str) {
    LOG.emit(line::NOTE, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_can_not_fill_the_log() {
        let log = Log::new();
        let told = (0..1000).filter(|_| log.admit_refusal().0).count();
        assert_eq!(told as u64, REFUSALS);
        // Later: told again, and how many were not.
        let earlier = Instant::now().checked_sub(REPEAT * 2).unwrap();
        *log.refusals.lock().unwrap() = Some((earlier, 1000));
        assert_eq!(log.admit_refusal(), (true, 1000 - REFUSALS));
        assert_eq!(log.admit_refusal(), (true, 0));
    }

    #[test]
    fn alternating_lines_are_said_once() {
        let log = Log::new();
        for round in 0..100 {
            for text in ["one", "two"] {
                assert_eq!(log.is_repetition(text), round > 0);
            }
        }
        // Many different lines push the oldest out; the memory stays small.
        for i in 0..1000 {
            assert!(!log.is_repetition(&format!("line {i}")));
        }
        assert_eq!(log.recent.lock().unwrap().len(), RECENT);
    }
}
