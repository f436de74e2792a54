//! Counters and times of a server's calls.
//!
//! They live as long as the process, whatever is reloaded. A fetch counts on a line of memory of its thread's
//! own: connections must not meet here.

use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

const STRIPES: usize = 16;

/// How often something was done, and how long it took, in microseconds.
pub struct Timed {
    /// Calls, failed ones too.
    pub calls: AtomicU64,
    /// Of these, failed.
    pub failed: AtomicU64,
    /// All of them together.
    pub total: AtomicU64,
    /// The longest.
    pub longest: AtomicU64,
}

impl Timed {
    const fn new() -> Timed {
        Timed {
            calls: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            total: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }
    }

    /// Runs and counts `f`.
    pub fn run<T, E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let begin = Instant::now();
        let result = f();
        let took = begin.elapsed().as_micros() as u64;
        self.calls.fetch_add(1, Relaxed);
        self.total.fetch_add(took, Relaxed);
        self.longest.fetch_max(took, Relaxed);
        if result.is_err() {
            self.failed.fetch_add(1, Relaxed);
        }
        result
    }

    /// The numbers as they are now.
    pub fn now(&self) -> Times {
        Times {
            calls: self.calls.load(Relaxed),
            failed: self.failed.load(Relaxed),
            total: self.total.load(Relaxed),
            longest: self.longest.load(Relaxed),
        }
    }
}

/// Numbers of a [`Timed`] at one moment, with its units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Calls, failed ones too.
    pub calls: u64,
    /// Of these, failed.
    pub failed: u64,
    /// Microseconds of all of them together.
    pub total: u64,
    /// Microseconds of the longest.
    pub longest: u64,
}

/// The counters.
pub struct Counters {
    /// Generates, stores and removes.
    pub writes: Timed,
    /// Loads and reloads.
    pub loads: Timed,
    /// Errors that an operator should know of.
    pub errors: AtomicU64,
    /// 1 while there is a keyring.
    pub active: AtomicU64,
    /// How many keys it holds.
    pub keys: AtomicU64,
    /// How many KEKs are tried at a start.
    pub keks: AtomicU64,
    /// How many of them opened it when they were asked last.
    pub keks_answered: AtomicU64,
    /// 1 while it serves and one of them failed, or has no stanza.
    pub degraded: AtomicU64,
    /// How the lease is: 0 there is none, 1 valid, 2 not started, 3 the KEKs are away, 4 they refuse, 5 the keyring is revoked.
    pub lease: AtomicU64,
    /// How the audit log is: 0 there is none, 1 it is written, 2 it was not begun yet, 3 it can't be written.
    pub audit: AtomicU64,
    /// The number of its last line on the disk.
    pub audit_lines: AtomicU64,
    /// Events that found no room in it.
    pub audit_dropped: AtomicU64,
    /// Calls that were refused to accounts.
    pub denials: AtomicU64,
    fetches: [CachePadded<AtomicU64>; STRIPES],
}

/// The next thread that counts.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Counters {
    pub(super) const fn new() -> Counters {
        Counters {
            writes: Timed::new(),
            loads: Timed::new(),
            errors: AtomicU64::new(0),
            active: AtomicU64::new(0),
            keys: AtomicU64::new(0),
            keks: AtomicU64::new(0),
            keks_answered: AtomicU64::new(0),
            degraded: AtomicU64::new(0),
            lease: AtomicU64::new(0),
            audit: AtomicU64::new(0),
            audit_lines: AtomicU64::new(0),
            audit_dropped: AtomicU64::new(0),
            denials: AtomicU64::new(0),
            fetches: [const { CachePadded::new(AtomicU64::new(0)) }; STRIPES],
        }
    }

    /// Counts a fetch.
    pub fn fetched(&self) {
        let stripe = STRIPE.try_with(|stripe| {
            if stripe.get() == usize::MAX {
                stripe.set(NEXT.fetch_add(1, Relaxed) % STRIPES);
            }
            stripe.get()
        });
        // A thread that is ending has none any more.
        self.fetches[stripe.unwrap_or(0)].fetch_add(1, Relaxed);
    }

    /// How many fetches there were.
    pub fn fetches(&self) -> u64 {
        self.fetches.iter().map(|f| f.load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_timed() {
        let timed = Timed::new();
        assert_eq!(timed.run(|| Ok::<_, ()>(1)), Ok(1));
        assert_eq!(timed.run(|| Err::<(), _>(2)), Err(2));
        let times = timed.now();
        assert_eq!((times.calls, times.failed), (2, 1));
        assert!(times.longest <= times.total);
        let counters = Counters::new();
        (0..100).for_each(|_| counters.fetched());
        assert_eq!(counters.fetches(), 100);
    }
}
