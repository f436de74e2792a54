//! What the server's own variables do to keys.
//!
//! Owns the reading of the few that matter and the sentences about them. It must never be asked under a lock of ours: the
//! server takes one of its own to answer.

use crate::mysql::registry::{self, Registry};
use crate::mysql::{abi, identity};
use std::ffi::{CStr, c_int, c_void};

/// Longest value that is looked at, in bytes; those that matter are words.
const MAX_VALUE: usize = 64;

/// The place for a variable's value, and the place for its length: what the place has, then what is in it.
type Place = (*mut *mut c_void, *mut usize);

/// What `get` writes into a place of [`MAX_VALUE`] bytes, with room for a NUL behind it; `None` where it gives none or not 0.
fn told(get: impl FnOnce(Registry<'_>, Place) -> Option<c_int>) -> Option<String> {
    let mut room = [0u8; MAX_VALUE];
    let mut length = room.len() - 1;
    let mut place: *mut c_void = room.as_mut_ptr().cast();
    let failed = registry::with(|registry| get(registry, (&raw mut place, &raw mut length)));
    match failed.flatten() {
        Some(0) => Some(String::from_utf8_lossy(room.get(..length)?).into_owned()),
        _ => None,
    }
}

/// The global value of one of the server's variables; `None` where the server does not tell.
fn variable(name: &CStr) -> Option<String> {
    told(|registry, (place, length)| {
        let variables = registry.service::<abi::kw_system_variables>()?;
        let get = variables.get_variable?;
        let of_server = c"mysql_server".as_ptr();
        // SAFETY: both names end with a NUL; the place has more bytes than are told, and lives through the call.
        Some(unsafe { get(of_server, name.as_ptr(), place, length) })
    })
}

/// The calling session's value of one of the server's variables; `None` where the server does not tell (before 9.0).
fn of_session(name: &CStr) -> Option<String> {
    told(|registry, (place, length)| {
        let thread = identity::thread(registry)?;
        let variables = registry.service::<abi::kw_variable_reader>()?;
        let get = variables.get?;
        let (kind, of_server) = (c"SESSION".as_ptr(), c"mysql_server".as_ptr());
        // SAFETY: the calling thread's own session; the names end with a NUL; the place has more bytes than are told, and lives
        // through the call.
        Some(unsafe { get(thread, kind, of_server, name.as_ptr(), place, length) })
    })
}

/// What makes statements of the calling session get into the binary log as they are written, with what they hold, and what ends
/// that; `None`: nothing does. Where the server does not tell of the session, the global value counts.
pub(super) fn logs_statements() -> Option<(&'static str, &'static str)> {
    let of_session = |name| of_session(name).or_else(|| variable(name));
    if !leaks(variable(c"log_bin"), of_session(c"binlog_format")).is_empty() {
        return Some(("binlog_format is STATEMENT", "binlog_format = 'ROW'"));
    }
    // Rows get there with the statement that they come from beside them.
    let notes = of_session(c"binlog_rows_query_log_events");
    (is_on(variable(c"log_bin")) && is_on(notes)).then_some((
        "binlog_rows_query_log_events is ON",
        "binlog_rows_query_log_events = OFF",
    ))
}

/// A switch, as a server tells it as a global value or as a session's.
fn is_on(value: Option<String>) -> bool {
    value.is_some_and(|v| v.eq_ignore_ascii_case("ON") || v == "1")
}

/// It is a replication applier that calls. An event is a thread of the server's own as well, and acts for its definer; what only an
/// applier has is a transaction that another server has named. Where the server does not tell (before 9.0), an applier is known by
/// its account alone. Where performance_schema is off, who names a transaction is taken for one: an applier may have an account
/// (PRIVILEGE_CHECKS_USER).
pub(super) fn is_applier() -> bool {
    identity::is_system_thread() != Some(false)
        && of_session(c"gtid_next").is_some_and(|named| named != "AUTOMATIC")
}

/// The server's own uuid.
pub(super) fn uuid() -> Option<String> {
    variable(c"server_uuid")
}

/// What gives keys away on this server, whatever they are.
pub(super) fn warnings() -> Vec<String> {
    leaks(variable(c"log_bin"), variable(c"binlog_format"))
}

/// What AES_ENCRYPT makes of a key of so many bits.
pub(super) fn warnings_of_aes(bits: u64) -> Option<String> {
    folded(bits, &variable(c"block_encryption_mode")?)
}

fn leaks(log_bin: Option<String>, format: Option<String>) -> Vec<String> {
    let is = |value: Option<String>, word| value.is_some_and(|v| v.eq_ignore_ascii_case(word));
    match is(log_bin, "ON") && is(format, "STATEMENT") {
        true => vec![crate::config::server::STATEMENTS.into()],
        false => Vec::new(),
    }
}

fn folded(bits: u64, mode: &str) -> Option<String> {
    let mut parts = mode.split('-');
    let taken = parts.nth(1)?.parse::<u64>().ok()?;
    let is_ecb = parts.next()?.eq_ignore_ascii_case("ecb");
    let fewer = (taken < bits).then(|| format!("AES_ENCRYPT folds this key to {taken} bits"));
    let ecb = is_ecb.then(|| "in ECB equal blocks stay equal".to_string());
    let why: Vec<_> = fewer.into_iter().chain(ecb).collect();
    (!why.is_empty()).then(|| {
        let why = why.join(", and ");
        format!(
            "block_encryption_mode is {mode} where a session does not say otherwise: {why}. SET PERSIST block_encryption_mode = \
             'aes-256-cbc', and give AES_ENCRYPT a new random initialisation vector each time."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_gives_keys_away_is_told() {
        let said = |log: &str, format: &str| leaks(Some(log.into()), Some(format.into())).len();
        assert_eq!(said("ON", "STATEMENT"), 1);
        assert_eq!(
            said("OFF", "STATEMENT") + said("ON", "ROW") + said("ON", "MIXED"),
            0
        );
        assert!(leaks(None, None).is_empty());
        let both = folded(256, "aes-128-ecb").unwrap();
        assert!(both.contains("to 128 bits, and in ECB"), "{both}");
        assert!(!folded(256, "aes-192-cbc").unwrap().contains("ECB"));
        assert!(!folded(256, "aes-256-ecb").unwrap().contains("folds"));
        assert_eq!(folded(256, "aes-256-cbc"), None);
        assert_eq!(folded(128, "aes-128-cbc"), None);
        assert_eq!(folded(128, "something else"), None);
    }
}
