//! SQL functions: administration of a running keyring.
//!
//! `CREATE FUNCTION keyring_ward_status RETURNS STRING SONAME 'component_keyring_ward.so'` and so on
//! (share/install.sql). Each checks the server's privilege ENCRYPTION_KEY_ADMIN before anything else, and answers with
//! JSON. They must never show key material, and never touch the server's own keyring lock.

use super::registry::{self, Registry};
use super::state::LIFECYCLE;
use super::{abi, guard, ptr};
use crate::admin::keks::{self, Synced};
use crate::admin::{inspect, rekey};
use crate::error::{Error, Kind, Result};
use crate::status::Status;
use crate::status::fields::View;
use serde_json::{Value, json};
use std::ffi::{CStr, c_char, c_ulong};

/// The privilege that each function needs; the same one as for ALTER INSTANCE RELOAD KEYRING.
const PRIVILEGE: &CStr = c"ENCRYPTION_KEY_ADMIN";
/// The place for an error message of an init function.
const MESSAGE: usize = 512;
/// What the server calls an argument that is text (Item_result).
const TEXT: i32 = 0;
/// Longest name of a KEK that is looked at, in bytes.
const MAX_NAME: usize = 255;
/// What the server calls the decimals of a text: the init function is told nothing else of the return type.
const DECIMALS_OF_TEXT: u32 = 31;

/// The caller has the privilege, itself or by an active role.
fn may_administer() -> bool {
    registry::with(has_privilege).flatten() == Some(true)
}

/// `None` where the server does not tell.
fn has_privilege(registry: Registry<'_>) -> Option<bool> {
    let threads = registry.service::<abi::kw_thread_reader>()?;
    let security = registry.service::<abi::kw_thread_security>()?;
    let grants = registry.service::<abi::kw_global_grants>()?;
    let (mut thread, mut context) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: an SQL function is called by a connection's thread, which these services ask for. The places are
    // writable, the context is the thread's own and lives through the call, and the name has its length beside it.
    unsafe {
        let failed =
            threads.get?(&raw mut thread) != 0 || security.get?(thread, &raw mut context) != 0;
        if failed || context.is_null() {
            return None;
        }
        let length = PRIVILEGE.to_bytes().len();
        Some(grants.has_global_grant?(context, PRIVILEGE.as_ptr(), length) == 1)
    }
}

/// Says that the result is text in UTF-8; without that clients take it for bytes.
fn result_is_text(init: *mut abi::kw_udf_init) {
    registry::with(|registry| {
        let metadata = registry.service::<abi::kw_udf_metadata>()?;
        let value = c"utf8mb4".as_ptr().cast_mut().cast();
        // SAFETY: the server's own structure; it copies the character set's name.
        Some(unsafe { metadata.result_set?(init, c"charset".as_ptr(), value) })
    });
}

/// What a function takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// The name of a KEK.
    Name,
}

/// Before the first row: the privilege, and the arguments. Gives `true` for an error.
fn prepare(
    init: *mut abi::kw_udf_init,
    args: *mut abi::kw_udf_args,
    message: *mut c_char,
    takes: Takes,
) -> Result<bool> {
    let refuse = |text: &str| {
        let mut bytes = text.as_bytes()[..text.len().min(MESSAGE - 1)].to_vec();
        bytes.push(0);
        // SAFETY: the server gives a place of 512 bytes for the message.
        unsafe { ptr::fill(message.cast(), MESSAGE, &bytes, false, "the message")? };
        Ok(true)
    };
    // SAFETY: the server hands over its own structures, which live through the call.
    let arguments = unsafe { args.as_ref() }.map_or(0, |a| a.arg_count);
    if !may_administer() {
        return refuse(
            "Access denied; you need the ENCRYPTION_KEY_ADMIN privilege for this operation",
        );
    }
    match takes {
        Takes::Nothing if arguments != 0 => {
            return refuse("this keyring_ward function takes no arguments");
        }
        Takes::Name if arguments != 1 => {
            return refuse("this keyring_ward function takes one argument, the name of a KEK");
        }
        Takes::Nothing => {}
        // SAFETY: the server gives a place for the type of each argument; what is written there is the type that it
        // brings the argument to.
        Takes::Name => unsafe {
            let types = args.as_ref().map_or(std::ptr::null_mut(), |a| a.arg_type);
            ptr::write(types, TEXT, "place for the argument's type")?;
        },
    }
    // SAFETY: as above; ptr is ours until deinit.
    unsafe {
        if let Some(init) = init.as_mut() {
            // The server would hand over places for another type, which a text does not fit into.
            if init.decimals != DECIMALS_OF_TEXT {
                return refuse(&format!(
                    "keyring_ward functions return text: DROP FUNCTION, then CREATE FUNCTION ... RETURNS STRING (decimals {}, length {})",
                    init.decimals, init.max_length
                ));
            }
            init.maybe_null = true;
            // JSON of a few hundred bytes, a long error message at most.
            init.max_length = 16_384;
            init.const_item = false;
            init.ptr = std::ptr::null_mut();
        }
    }
    result_is_text(init);
    Ok(false)
}

/// One row: the answer is kept in `init.ptr` until the next one.
fn answer(
    init: *mut abi::kw_udf_init,
    length: *mut c_ulong,
    work: impl FnOnce() -> Result<Value>,
) -> Result<*mut c_char> {
    // A panic is answered as an error as well: NULL would say nothing.
    let value = match LIFECYCLE.caught("answer a SQL function", work) {
        Ok(Value::Object(mut members)) => {
            members.insert("ok".into(), true.into());
            Value::Object(members)
        }
        Ok(other) => other,
        Err(e) => {
            guard::report(&e);
            json!({ "ok": false, "error": e.to_json() })
        }
    };
    if init.is_null() {
        return Err(Error::new(
            Kind::Internal,
            "answer in SQL",
            "the server gave no place for the answer",
        ));
    }
    forget(init);
    let text = Box::new(value.to_string());
    // SAFETY: the server gives a place for the length.
    unsafe { ptr::write(length, text.len() as c_ulong, "place for the length")? };
    let start = text.as_ptr().cast_mut().cast();
    // SAFETY: the server's structure lives through the call; the box is taken back by `forget`.
    if let Some(init) = unsafe { init.as_mut() } {
        init.ptr = Box::into_raw(text).cast();
    }
    Ok(start)
}

/// The argument of a function that takes the name of a KEK.
fn name_of_kek(args: *mut abi::kw_udf_args) -> Result<String> {
    let none = || Error::new(Kind::InvalidInput, "answer in SQL", "no KEK is named");
    // SAFETY: the server hands over its own structure, which lives through the call, with a place for each argument and
    // for its length; a text that is not NULL has so many bytes.
    let name = unsafe {
        let args = args
            .as_ref()
            .filter(|a| a.arg_count == 1)
            .ok_or_else(none)?;
        let text = args.args.as_ref().ok_or_else(none)?;
        let length = args.lengths.as_ref().ok_or_else(none)?;
        ptr::slice(
            text.cast::<u8>(),
            *length as usize,
            MAX_NAME,
            "the name of a KEK",
        )?
    };
    match name.is_empty() {
        true => Err(none()
            .hint("Give its name in the configuration as text: keyring_ward_keks() shows all.")),
        false => Ok(String::from_utf8_lossy(name).into_owned()),
    }
}

/// Frees the last answer.
fn forget(init: *mut abi::kw_udf_init) {
    // SAFETY: ptr is NULL or what `answer` put there, and is taken once.
    unsafe {
        if let Some(init) = init.as_mut()
            && !init.ptr.is_null()
        {
            drop(Box::from_raw(init.ptr.cast::<String>()));
            init.ptr = std::ptr::null_mut();
        }
    }
}

/// One SQL function: its three symbols and what it does.
macro_rules! sql_function {
    ($(#[$doc:meta])* $init:ident, $call:ident, $deinit:ident, $work:expr) => {
        sql_function! { @make Takes::Nothing, |_| $work(), $(#[$doc])* $init, $call, $deinit }
    };
    ($(#[$doc:meta])* $init:ident, $call:ident, $deinit:ident, name: $work:expr) => {
        sql_function! { @make Takes::Name, |args| $work(&name_of_kek(args)?), $(#[$doc])* $init, $call, $deinit }
    };
    (@make $takes:expr, |$args:pat_param| $work:expr, $(#[$doc:meta])* $init:ident, $call:ident, $deinit:ident) => {
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $init(init: *mut abi::kw_udf_init, args: *mut abi::kw_udf_args, message: *mut c_char) -> bool, failure = true; {
                prepare(init, args, message, $takes)
            }
        }
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $call(
                init: *mut abi::kw_udf_init, args: *mut abi::kw_udf_args, _result: *mut c_char,
                length: *mut c_ulong, _is_null: *mut u8, _error: *mut u8
            ) -> *mut c_char, failure = std::ptr::null_mut(); {
                let $args = args;
                answer(init, length, || $work)
            }
        }
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $deinit(init: *mut abi::kw_udf_init) -> (), failure = (); {
                forget(init);
                Ok(())
            }
        }
    };
}

sql_function! {
    /// What the keyring is, how it is opened and how it fares.
    keyring_ward_status_init, keyring_ward_status, keyring_ward_status_deinit, status
}
sql_function! {
    /// Reads the file from the disk and authenticates every record.
    keyring_ward_verify_init, keyring_ward_verify, keyring_ward_verify_deinit, verify
}
sql_function! {
    /// Reads configuration and keyring anew: what ALTER INSTANCE RELOAD KEYRING does, for the plugin role too.
    keyring_ward_reload_init, keyring_ward_reload, keyring_ward_reload_deinit, reload
}
sql_function! {
    /// Writes the file anew under a new DEK and the same KEK.
    keyring_ward_reseal_init, keyring_ward_reseal, keyring_ward_reseal_deinit, reseal
}
sql_function! {
    /// Writes the file anew under the KEK that the configuration names now.
    keyring_ward_rekey_init, keyring_ward_rekey, keyring_ward_rekey_deinit, rekey
}

sql_function! {
    /// The KEKs, each by itself.
    keyring_ward_keks_init, keyring_ward_keks, keyring_ward_keks_deinit, all_keks
}
sql_function! {
    /// Wraps the DEK for every KEK of the configuration, as it is now, that has no valid wrap.
    keyring_ward_kek_sync_init, keyring_ward_kek_sync, keyring_ward_kek_sync_deinit, sync
}
sql_function! {
    /// Wraps the DEK for one more KEK, which the configuration names now.
    keyring_ward_kek_add_init, keyring_ward_kek_add, keyring_ward_kek_add_deinit, name: add
}
sql_function! {
    /// Takes a KEK out: the file is written anew under the others, with a new DEK.
    keyring_ward_kek_remove_init, keyring_ward_kek_remove, keyring_ward_kek_remove_deinit, name: take_out
}

fn status() -> Result<Value> {
    Ok(Status::of_lifecycle(&LIFECYCLE).json(View::Sql).into())
}

fn verify() -> Result<Value> {
    let keyring = LIFECYCLE.keyring()?;
    let report = inspect::inspect(keyring.config())?;
    Ok(json!({
        "authentic": true, "complete": report.torn == 0, "torn_bytes": report.torn,
        "keys": report.keys, "warnings": report.status.warnings,
    }))
}

fn reload() -> Result<Value> {
    LIFECYCLE.load_again()?;
    Ok(json!({ "keys": LIFECYCLE.keyring()?.len() }))
}

fn reseal() -> Result<Value> {
    LIFECYCLE
        .change(|keyring| rekey::reseal_serving(keyring, &LIFECYCLE.configuration()?))
        .map(done)
}

fn rekey() -> Result<Value> {
    LIFECYCLE.change(|keyring| rekey::rekey_serving(keyring, &LIFECYCLE.configuration()?))?;
    LIFECYCLE.load_again()?;
    Ok(done(rekey::Outcome::of(&*LIFECYCLE.keyring()?)))
}

fn done(outcome: rekey::Outcome) -> Value {
    json!({
        "keys": outcome.keys, "generation": outcome.generation,
        "opened_by": outcome.opened_by, "fingerprint": outcome.fingerprint,
    })
}

fn all_keks() -> Result<Value> {
    // What each answered last: asking them here would keep writers waiting.
    let mut status = Status::of_lifecycle(&LIFECYCLE).json(View::Sql);
    let mut told = |name: &str| status.remove(name).unwrap_or_default();
    Ok(
        json!({ "threshold": told("threshold"), "degraded": told("degraded"), "keks": told("keks") }),
    )
}

fn sync() -> Result<Value> {
    let done =
        LIFECYCLE.change(|keyring| keks::sync_serving(keyring, &LIFECYCLE.configuration()?))?;
    LIFECYCLE.load_again()?;
    Ok(synced(&done))
}

fn add(name: &str) -> Result<Value> {
    let done = LIFECYCLE
        .change(|keyring| keks::add_serving(keyring, &LIFECYCLE.configuration()?, name))?;
    LIFECYCLE.load_again()?;
    Ok(synced(&done))
}

fn take_out(name: &str) -> Result<Value> {
    LIFECYCLE.change(|keyring| keks::remove_serving(keyring, &LIFECYCLE.configuration()?, name))?;
    LIFECYCLE.load_again()?;
    Ok(done(rekey::Outcome::of(&*LIFECYCLE.keyring()?)))
}

/// What became of each KEK.
fn synced(all: &[Synced]) -> Value {
    json!({ "keks": all.iter().map(keks::told).collect::<Vec<_>>() })
}
