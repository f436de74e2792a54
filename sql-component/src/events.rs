//! Statements ALTER INSTANCE: which of them have ended, and how.
//!
//! Every statement of the server comes by here, so that one that is none of ours costs a comparison. Owns that filter. It must never
//! keep or pass on another statement, and never fail one.

use crate::control;
use keyring_ward_boundary::abi;
use std::ffi::{CStr, c_int};

/// The service's table.
pub(crate) static TABLE: abi::kw_event_tracking_query = abi::kw_event_tracking_query {
    notify: Some(notify),
};

/// A statement has ended; one inside of a routine.
const ENDED: u64 = 4 | 8;
/// What the server calls the statement.
const ALTER_INSTANCE: &CStr = c"alter_instance";

guarded_fn! {
    /// 0: the statement goes on. It is never held up.
    fn notify(event: *const abi::kw_query_event) -> c_int, failure = 0; {
        // SAFETY: NULL, or the server's event, which lives through the call.
        let Some(event) = (unsafe { event.as_ref() }) else {
            return Ok(0);
        };
        if event.subclass & ENDED == 0 || event.sql_command.is_null() {
            return Ok(0);
        }
        // SAFETY: not NULL, so one of the server's words with its NUL.
        if unsafe { CStr::from_ptr(event.sql_command) } == ALTER_INSTANCE {
            pass_on(event);
        }
        Ok(0)
    }
}

#[cold]
fn pass_on(event: &abi::kw_query_event) {
    // At a shutdown there is none any more.
    let control = control::service();
    if let Some(altered) = control.as_ref().and_then(|c| c.instance_altered) {
        // SAFETY: the statement's text and its length, as the server gave them.
        unsafe { altered(event.query, event.query_length, event.status) };
    }
}
