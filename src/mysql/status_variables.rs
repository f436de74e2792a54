//! The global status variables: some of the lifecycle's counters, and when the next rotation is due.
//!
//! Owns their names and their table. The server reads the numbers by their address, so they must lie where they lie as
//! long as the process lives.

use super::registry::Registry;
use super::state::LIFECYCLE;
use super::{abi, ptr};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::AtomicU64;

/// A status variable's type: a pointer to 64 bits.
const LONGLONG: i32 = 4;
/// Its type: a text that ends with a NUL.
const CHAR: i32 = 5;
/// Its type: a function that says what it is now.
const FUNC: i32 = 8;
/// Bytes of the place for a text that such a function is given.
const ROOM: usize = 1024;
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

guarded_fn! {
    /// In how many days the next rotation of a logical key is due; empty: none is planned, or there is no keyring.
    fn rotation_due_in_days(
        _thread: *mut c_void,
        variable: *mut abi::kw_show_var,
        room: *mut c_char,
    ) -> c_int, failure = 1; {
        let days = LIFECYCLE.keyring().ok().and_then(|k| k.key_counts().rotation_due_in_days);
        let text = days.map(|days| days.to_string()).unwrap_or_default();
        // SAFETY: the server gives a copy of the variable and a place of 1,024 bytes.
        unsafe {
            ptr::fill(room.cast(), ROOM, text.as_bytes(), true, "a status variable")?;
            if let Some(variable) = variable.as_mut() {
                (variable.type_, variable.value) = (CHAR, room.cast());
            }
        }
        Ok(0)
    }
}

/// The status variables, ended by a row without a name. The server reads the 64 bits as they are.
static mut VARIABLES: [abi::kw_show_var; 18] = [
    variable(c"Keyring_ward_active", &LIFECYCLE.counters.active),
    variable(c"Keyring_ward_audit", &LIFECYCLE.counters.audit),
    variable(
        c"Keyring_ward_audit_dropped",
        &LIFECYCLE.counters.audit_dropped,
    ),
    variable(c"Keyring_ward_audit_lines", &LIFECYCLE.counters.audit_lines),
    variable(c"Keyring_ward_denials", &LIFECYCLE.counters.denials),
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
    abi::kw_show_var {
        name: c"Keyring_ward_rotation_due_in_days".as_ptr(),
        value: rotation_due_in_days as *const () as *mut c_void,
        type_: FUNC,
        scope: GLOBAL,
    },
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
