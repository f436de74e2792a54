//! Connections that end, or begin anew for somebody else: what the keyring component must hear of, so that nothing of one is left to the next.
//!
//! Every command of every connection comes by here, so that one that is none of ours costs a comparison. Owns that filter, and telling
//! that it is at work: on a server that calls nothing here, nobody may rely on it. It must never fail a command.

use crate::control;
use keyring_ward_boundary::abi;
use std::ffi::{c_int, c_ulong};
use std::sync::atomic::{AtomicBool, Ordering};

/// The table of the service for commands.
pub(crate) static COMMANDS: abi::kw_event_tracking_command = abi::kw_event_tracking_command {
    notify: Some(command),
};
/// The table of the service for connections.
pub(crate) static CONNECTIONS: abi::kw_event_tracking_connection =
    abi::kw_event_tracking_connection {
        notify: Some(connection),
    };

/// A command begins.
const BEGINS: u64 = 1;
/// A connection has ended; it has changed its account.
const OVER: u64 = 2 | 4;
/// What the server calls the command by which pools give a connection to the next one.
const RESET: &[u8] = b"Reset Connection";

/// The server calls: the keyring component was told so.
static TOLD: AtomicBool = AtomicBool::new(false);

guarded_fn! {
    /// 0: the command goes on.
    fn command(event: *const abi::kw_command_event) -> c_int, failure = 0; {
        // SAFETY: NULL, or the server's event, which lives through the call.
        let Some(event) = (unsafe { event.as_ref() }) else {
            return Ok(0);
        };
        if !TOLD.load(Ordering::Acquire) {
            watch(true);
        }
        if event.subclass == BEGINS && event.command_length == RESET.len() && !event.command.is_null() {
            // SAFETY: not NULL, and of that length.
            let name = unsafe { std::slice::from_raw_parts(event.command.cast::<u8>(), RESET.len()) };
            if name.eq_ignore_ascii_case(RESET) {
                over(event.connection);
            }
        }
        Ok(0)
    }
}

guarded_fn! {
    /// 0: the connection goes on, or ends as it would.
    fn connection(event: *const abi::kw_connection_event) -> c_int, failure = 0; {
        // SAFETY: NULL, or the server's event, which lives through the call and begins like this.
        if let Some(event) = (unsafe { event.as_ref() }) && event.subclass & OVER != 0 {
            over(event.connection);
        }
        Ok(0)
    }
}

#[cold]
fn over(connection: c_ulong) {
    // At a shutdown there is none any more.
    let control = control::service();
    if let Some(over) = control.as_ref().and_then(|c| c.connection_over) {
        // SAFETY: a number.
        unsafe { over(connection) };
    }
}

/// Tells the keyring component that it hears of connections, or will not any more.
#[cold]
pub(crate) fn watch(watched: bool) {
    let control = control::service();
    if let Some(watch) = control.as_ref().and_then(|c| c.connections_watched) {
        // SAFETY: a flag.
        unsafe { watch(watched) };
        TOLD.store(watched, Ordering::Release);
    }
}
