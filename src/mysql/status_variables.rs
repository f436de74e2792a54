//! The global status variables that show some of the lifecycle's counters.
//!
//! Owns their names and their table. The server reads the numbers by their address, so they must lie where they lie as
//! long as the process lives.

use super::abi;
use super::registry::Registry;
use super::state::LIFECYCLE;
use std::ffi::CStr;
use std::sync::atomic::AtomicU64;

/// A status variable's type: a pointer to 64 bits.
const LONGLONG: i32 = 4;
/// A status variable's scope: global.
const GLOBAL: i32 = 1;

const fn variable(name: &'static CStr, value: &'static AtomicU64) -> abi::kw_show_var {
    abi::kw_show_var {
        name: name.as_ptr(),
        value: std::ptr::from_ref(value).cast_mut().cast(),
        type_: LONGLONG,
        scope: GLOBAL,
    }
}

/// The status variables, ended by a row without a name. The server reads the 64 bits as they are.
static mut VARIABLES: [abi::kw_show_var; 13] = [
    variable(c"Keyring_ward_active", &LIFECYCLE.counters.active),
    variable(c"Keyring_ward_errors", &LIFECYCLE.counters.errors),
    variable(c"Keyring_ward_degraded", &LIFECYCLE.counters.degraded),
    variable(c"Keyring_ward_keks", &LIFECYCLE.counters.keks),
    variable(
        c"Keyring_ward_keks_answered",
        &LIFECYCLE.counters.keks_answered,
    ),
    variable(c"Keyring_ward_keys", &LIFECYCLE.counters.keys),
    variable(c"Keyring_ward_lease", &LIFECYCLE.counters.lease),
    variable(c"Keyring_ward_loads", &LIFECYCLE.counters.loads.calls),
    variable(c"Keyring_ward_writes", &LIFECYCLE.counters.writes.calls),
    variable(
        c"Keyring_ward_writes_failed",
        &LIFECYCLE.counters.writes.failed,
    ),
    variable(
        c"Keyring_ward_write_longest_us",
        &LIFECYCLE.counters.writes.longest,
    ),
    variable(
        c"Keyring_ward_write_total_us",
        &LIFECYCLE.counters.writes.total,
    ),
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
