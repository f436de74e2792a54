//! Counters and times of the server's calls, and the global status variables that show some of them.
//!
//! They live as long as the process, whatever is reloaded. A fetch counts on a line of memory of its thread's
//! own: connections must not meet here.

use super::abi;
use super::registry::Registry;
use crossbeam_utils::CachePadded;
use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

const STRIPES: usize = 16;
/// A status variable's type: a pointer to 64 bits.
const LONGLONG: i32 = 4;
/// A status variable's scope: global.
const GLOBAL: i32 = 1;

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

    /// For people and programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "calls": self.calls.load(Relaxed), "failed": self.failed.load(Relaxed),
            "microseconds": self.total.load(Relaxed), "longest": self.longest.load(Relaxed),
        })
    }
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
    fetches: [CachePadded<AtomicU64>; STRIPES],
}

/// The counters of this process.
pub static COUNTERS: Counters = Counters {
    writes: Timed::new(),
    loads: Timed::new(),
    errors: AtomicU64::new(0),
    active: AtomicU64::new(0),
    keys: AtomicU64::new(0),
    fetches: [const { CachePadded::new(AtomicU64::new(0)) }; STRIPES],
};

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
}

impl Counters {
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

const fn variable(name: &'static CStr, value: &'static AtomicU64) -> abi::kw_show_var {
    abi::kw_show_var {
        name: name.as_ptr(),
        value: std::ptr::from_ref(value).cast_mut().cast(),
        type_: LONGLONG,
        scope: GLOBAL,
    }
}

/// The status variables, ended by a row without a name. The server reads the 64 bits as they are.
static mut VARIABLES: [abi::kw_show_var; 9] = [
    variable(c"Keyring_ward_active", &COUNTERS.active),
    variable(c"Keyring_ward_errors", &COUNTERS.errors),
    variable(c"Keyring_ward_keys", &COUNTERS.keys),
    variable(c"Keyring_ward_loads", &COUNTERS.loads.calls),
    variable(c"Keyring_ward_writes", &COUNTERS.writes.calls),
    variable(c"Keyring_ward_writes_failed", &COUNTERS.writes.failed),
    variable(c"Keyring_ward_write_longest_us", &COUNTERS.writes.longest),
    variable(c"Keyring_ward_write_total_us", &COUNTERS.writes.total),
    abi::kw_show_var {
        name: std::ptr::null(),
        value: std::ptr::null_mut(),
        type_: 0,
        scope: 0,
    },
];

/// Shows the variables, or takes them away. Failures are of no consequence.
pub(super) fn show(registry: Registry<'_>, shown: bool) {
    let Some(service) = registry.service::<abi::kw_status_variables>() else {
        return;
    };
    let call = match shown {
        true => service.register_variable,
        false => service.unregister_variable,
    };
    if let Some(call) = call {
        // SAFETY: the table is ended by a row without a name and lives as long as the process.
        unsafe { call((&raw mut VARIABLES).cast()) };
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
        let json = timed.json();
        assert_eq!(
            (json["calls"].as_u64(), json["failed"].as_u64()),
            (Some(2), Some(1))
        );
        let before = COUNTERS.fetches();
        (0..100).for_each(|_| COUNTERS.fetched());
        assert!(COUNTERS.fetches() >= before + 100);
    }
}
