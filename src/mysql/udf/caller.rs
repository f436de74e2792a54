//! Who calls a SQL function: whether it may, and which account it is.
//!
//! Owns the questions to the server about the calling connection. It must never answer for a thread of the server's own as if
//! it were an account.

use crate::mysql::registry::{self, Registry};
use crate::mysql::{abi, ptr};
use std::ffi::CStr;

/// What the server calls itself where no account asks.
const NOBODY: &[u8] = b"skip-grants user";
/// Longest part of an account's name that is looked at; more than any account has.
const MAX_PART: usize = 1024;

/// The caller has one of these privileges, itself or by an active role. Nobody has where the server does not tell.
pub(super) fn has_any(privileges: &[&CStr]) -> bool {
    registry::with(|registry| asked(registry, privileges)).flatten() == Some(true)
}

/// `None` where the server does not tell.
fn asked(registry: Registry<'_>, privileges: &[&CStr]) -> Option<bool> {
    let grants = registry.service::<abi::kw_global_grants>()?;
    let has = grants.has_global_grant?;
    let context = context(registry)?;
    // SAFETY: the thread's own context, which lives through the call; the name has its length beside it.
    let one = |name: &&CStr| unsafe { has(context, name.as_ptr(), name.count_bytes()) } == 1;
    Some(privileges.iter().any(one))
}

/// The security context of the calling connection.
fn context(registry: Registry<'_>) -> Option<abi::kw_handle> {
    let security = registry.service::<abi::kw_thread_security>()?;
    let (thread, mut context) = (thread(registry)?, std::ptr::null_mut());
    // SAFETY: the calling connection's own thread. The place is writable.
    let failed = unsafe { security.get?(thread, &raw mut context) != 0 };
    (!failed && !context.is_null()).then_some(context)
}

/// The calling connection.
pub(super) fn thread(registry: Registry<'_>) -> Option<abi::kw_handle> {
    let threads = registry.service::<abi::kw_thread_reader>()?;
    let mut thread = std::ptr::null_mut();
    // SAFETY: an SQL function is called by a connection's thread, which this service asks for. The place is writable.
    let failed = unsafe { threads.get?(&raw mut thread) != 0 };
    (!failed && !thread.is_null()).then_some(thread)
}

/// What performance_schema knows of a thread, and room for more: a server whose names are longer writes more.
#[repr(C)]
struct Place {
    attributes: abi::kw_thread_attributes,
    beyond: [u8; 2048],
}

/// It is a thread of the server's own that calls: an event's, or a replication applier's. `None`: performance_schema is off.
pub(super) fn is_system_thread() -> Option<bool> {
    registry::with(is_system).flatten()
}

fn is_system(registry: Registry<'_>) -> Option<bool> {
    let groups = registry.service::<abi::kw_resource_group>()?;
    // SAFETY: numbers, bytes and a pointer that nobody follows: all zeroes are a value of each.
    let mut place: Place = unsafe { std::mem::zeroed() };
    // SAFETY: the place is larger than what the server writes.
    let failed = unsafe { groups.get_thread_system_attrs?((&raw mut place).cast()) != 0 };
    // What another layout would have there may be no bool.
    // SAFETY: within the place, which was zeroed.
    let flag = unsafe {
        (&raw const place.attributes.system_thread)
            .cast::<u8>()
            .read()
    };
    (!failed).then_some(flag == 1)
}

/// The calling account as the server's own keyring functions write it: the owner of keys that it makes with them. `None`: the
/// server does not tell, or it is no account that calls.
pub(in crate::mysql) fn account() -> Option<Vec<u8>> {
    registry::with(own_account).flatten()
}

fn own_account(registry: Registry<'_>) -> Option<Vec<u8>> {
    let options = registry.service::<abi::kw_security_options>()?;
    let context = context(registry)?;
    let part = |name: &CStr| {
        let mut text = abi::kw_lex_string {
            text: std::ptr::null(),
            length: 0,
        };
        // SAFETY: the thread's own context; the server writes pointer and length of a text that lives as long as it.
        unsafe {
            let failed = options.get?(context, name.as_ptr(), (&raw mut text).cast()) != 0;
            let bytes = ptr::slice(text.text.cast(), text.length, MAX_PART, "account").ok()?;
            (!failed).then(|| bytes.to_vec())
        }
    };
    let (mut account, host) = (part(c"priv_user")?, part(c"priv_host")?);
    if account == NOBODY {
        return None;
    }
    account.push(b'@');
    account.extend_from_slice(&host);
    Some(account)
}
