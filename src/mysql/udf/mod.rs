//! SQL functions: administration of a running keyring, and values that are sealed in SQL.
//!
//! The companion component registers them all (`all`); without it they are `CREATE FUNCTION keyring_ward_status RETURNS
//! STRING SONAME 'component_keyring_ward.so'` and so on (share/install.sql). Those of administration check what their caller needs
//! before anything else, and answer with JSON; the others serve the calling account's own keys, and fail with an error. They must
//! never show key material, and never touch the server's own keyring lock.

use super::registry::{self, Registry};
use super::state::LIFECYCLE;
use super::{abi, guard, identity, ptr};
use crate::audit::entry::Entry;
use crate::audit::event::{Event, Outcome};
use crate::error::{Error, Kind, Result};
use access::Access;
use arguments::Takes;
use permit::Permit;
use serde_json::{Value, json};
use std::ffi::{CStr, c_char, c_ulong};

/// The place for an error message of an init function.
const MESSAGE: usize = 512;
/// What the server calls the decimals of a text: the init function is told nothing else of the return type.
const DECIMALS_OF_TEXT: u32 = 31;
/// Longest answer: a list, and what stands around it. A server cuts longer ones where it keeps them in a temporary table.
const MAX_ANSWER: c_ulong = (keys::MAX_LIST + (64 << 10)) as c_ulong;

/// What a function takes: `needed; optional`.
macro_rules! takes {
    ($($needed:expr),* $(; $($optional:expr),*)?) => {
        $crate::mysql::udf::arguments::Takes { needed: &[$($needed),*], optional: &[$($($optional),*)?] }
    };
}

/// One SQL function of administration: its three symbols, what it takes, and what it does with that. It answers with JSON.
macro_rules! sql_function {
    ($(#[$doc:meta])* $init:ident, $call:ident, $deinit:ident, ($($takes:tt)*), $work:expr) => {
        sql_function_around! {
            $(#[$doc])* $init, $call, $deinit, takes!($($takes)*), $crate::mysql::abi::KW_SQL_TEXT,
            $crate::mysql::udf::prepare, <$call as $crate::mysql::udf::Guarded>::ACCESS, $crate::mysql::udf::forget
        }
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $call(
                init: *mut $crate::mysql::abi::kw_udf_init, args: *mut $crate::mysql::abi::kw_udf_args,
                _result: *mut std::ffi::c_char, length: *mut std::ffi::c_ulong, _is_null: *mut u8, _error: *mut u8
            ) -> *mut std::ffi::c_char, failure = std::ptr::null_mut(); {
                const TAKES: $crate::mysql::udf::arguments::Takes = takes!($($takes)*);
                $crate::mysql::udf::answer(init, length, |permit| {
                    // SAFETY: the server hands over its own structure, which lives through the call.
                    let arguments = unsafe { TAKES.read(args)? };
                    ($work)(&arguments.of(permit))
                })
            }
        }
    };
}

/// One SQL function that gives a value of its own, `bytes` or a `number`, and fails with an error of the statement: its three
/// symbols, what it takes, what it needs, what it gives, and what it does for a row.
macro_rules! value_function {
    ($(#[$doc:meta])* $init:ident, $call:ident, $deinit:ident, ($($takes:tt)*), $kind:ident $needs:expr, $gives:expr, $work:expr) => {
        sql_function_around! {
            $(#[$doc])* $init, $call, $deinit, takes!($($takes)*), value_function!(@returns $kind),
            $crate::mysql::udf::statement::prepare, ($needs, $gives), $crate::mysql::udf::statement::end
        }
        value_function! { @$kind $(#[$doc])* $call, $work, takes!($($takes)*) }
    };
    (@returns bytes) => { $crate::mysql::abi::KW_SQL_TEXT };
    (@returns number) => { $crate::mysql::abi::KW_SQL_INTEGER };
    (@bytes $(#[$doc:meta])* $call:ident, $work:expr, $takes:expr) => {
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $call(
                init: *mut $crate::mysql::abi::kw_udf_init, args: *mut $crate::mysql::abi::kw_udf_args,
                _result: *mut std::ffi::c_char, length: *mut std::ffi::c_ulong, is_null: *mut u8, error: *mut u8
            ) -> *mut std::ffi::c_char, failure = std::ptr::null_mut(); {
                const TAKES: $crate::mysql::udf::arguments::Takes = $takes;
                let places = $crate::mysql::udf::statement::Places { length, is_null, error };
                $crate::mysql::udf::statement::bytes(init, args, places, stringify!($call), (&TAKES, $work))
            }
        }
    };
    (@number $(#[$doc:meta])* $call:ident, $work:expr, $takes:expr) => {
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $call(
                init: *mut $crate::mysql::abi::kw_udf_init, args: *mut $crate::mysql::abi::kw_udf_args,
                is_null: *mut u8, error: *mut u8
            ) -> i64, failure = 0; {
                const TAKES: $crate::mysql::udf::arguments::Takes = $takes;
                let places = $crate::mysql::udf::statement::Places { length: std::ptr::null_mut(), is_null, error };
                $crate::mysql::udf::statement::number(init, args, places, stringify!($call), (&TAKES, $work))
            }
        }
    };
}

/// What stands around the rows of every function: before the first (`prepare`, with what is particular), behind the last (`end`),
/// and how it is registered.
macro_rules! sql_function_around {
    ($(#[$doc:meta])* $init:ident, $call:ident, $deinit:ident, $takes:expr, $returns:expr, $prepare:expr, $particular:expr, $end:expr) => {
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $init(
                init: *mut $crate::mysql::abi::kw_udf_init, args: *mut $crate::mysql::abi::kw_udf_args,
                message: *mut std::ffi::c_char
            ) -> bool, failure = true; {
                const TAKES: $crate::mysql::udf::arguments::Takes = $takes;
                $prepare(init, args, message, stringify!($call), &TAKES, $particular)
            }
        }
        guarded_fn! {
            $(#[$doc])*
            #[unsafe(no_mangle)]
            pub fn $deinit(init: *mut $crate::mysql::abi::kw_udf_init) -> (), failure = (); {
                $end(init);
                Ok(())
            }
        }
        sql_function_row!($init, $call, $deinit, $returns);
    };
}

/// How a function is registered: a type with the function's name, which the list of all functions names.
macro_rules! sql_function_row {
    ($init:ident, $call:ident, $deinit:ident, $returns:expr) => {
        #[allow(non_camel_case_types)]
        pub(super) enum $call {}
        impl $crate::mysql::udf::Described for $call {
            const ROW: $crate::mysql::abi::kw_sql_function = $crate::mysql::abi::kw_sql_function {
                name: concat!(stringify!($call), "\0").as_ptr().cast(),
                returns: $returns as std::ffi::c_int,
                // SAFETY: the server calls it as the type that `returns` stands for, which is what it is.
                function: Some(unsafe {
                    std::mem::transmute::<*const (), unsafe extern "C" fn()>($call as *const ())
                }),
                init: Some($init),
                deinit: Some($deinit),
            };
        }
    };
}

/// A function as the server registers it.
trait Described {
    const ROW: abi::kw_sql_function;
}

/// Who may call a function.
trait Guarded {
    const ACCESS: Access;
}

pub(super) mod access;
pub(super) mod all;
mod arguments;
mod audit;
mod caller;
mod keks;
mod keyring;
mod keys;
mod options;
mod pairs;
pub(super) mod permit;
mod policy;
mod server;
mod session;
mod statement;
mod transport;
mod values;

/// Says what character set the result has; without that clients take all for bytes, and a server may convert it. `false`: the
/// server does not take it, because the function was installed as one that gives no text.
fn result_is(init: *mut abi::kw_udf_init, charset: &CStr) -> bool {
    let failed = registry::with(|registry| {
        let metadata = registry.service::<abi::kw_udf_metadata>()?;
        let value = charset.as_ptr().cast_mut().cast();
        // SAFETY: the server's own structure; it copies the character set's name.
        Some(unsafe { metadata.result_set?(init, c"charset".as_ptr(), value) })
    });
    failed.flatten().unwrap_or(0) == 0
}

/// What is wrong with the arguments that a function is called with; `None`: nothing.
fn wrong_arguments(
    args: *mut abi::kw_udf_args,
    function: &str,
    takes: &Takes,
) -> Result<Option<String>> {
    // SAFETY: the server hands over its own structure, which lives through the call.
    let check = |registry: Option<Registry<'_>>| unsafe { takes.check(function, args, registry) };
    registry::with(|registry| check(Some(registry))).unwrap_or_else(|| check(None))
}

/// Tells the server why the init function fails.
fn refuse(message: *mut c_char, text: &str) -> Result<bool> {
    let mut bytes = text.as_bytes()[..text.floor_char_boundary(MESSAGE - 1)].to_vec();
    bytes.push(0);
    // SAFETY: the server gives a place of 512 bytes for the message.
    unsafe { ptr::fill(message.cast(), MESSAGE, &bytes, false, "the message")? };
    Ok(true)
}

/// Before the first row: the caller, and the arguments. Gives `true` for an error.
fn prepare(
    init: *mut abi::kw_udf_init,
    args: *mut abi::kw_udf_args,
    message: *mut c_char,
    function: &'static str,
    takes: &Takes,
    access: Access,
) -> Result<bool> {
    if !access.is_granted() {
        let why = format!("{function}: {}", access.refusal());
        identity::with_current(|caller| LIFECYCLE.tell_denial(caller, b"", b"", &why));
        return refuse(message, &access.refusal());
    }
    // It may have every privilege, which says nothing.
    let applier = server::is_applier();
    if applier && !permit::allows_appliers() {
        let why = statement::of_an_applier("administer keys").to_string();
        identity::with_current(|caller| LIFECYCLE.tell_denial(caller, b"", b"", &why));
        return refuse(message, &why);
    }
    if let Some(wrong) = wrong_arguments(args, function, takes)? {
        return refuse(message, &wrong);
    }
    // SAFETY: the server's own structure, which lives through the call; ptr is ours until deinit.
    unsafe {
        if let Some(init) = init.as_mut() {
            // The server would hand over places for another type, which a text does not fit into.
            if init.decimals != DECIMALS_OF_TEXT {
                return refuse(
                    message,
                    &format!(
                        "keyring_ward functions return text: DROP FUNCTION, then CREATE FUNCTION ... RETURNS STRING (decimals {}, length {})",
                        init.decimals, init.max_length
                    ),
                );
            }
            init.maybe_null = true;
            init.max_length = MAX_ANSWER;
            init.const_item = false;
            init.ptr = Box::into_raw(Box::new(Kept {
                permit: Permit::ask(applier),
                answer: String::new(),
                told: access.changes().then_some(function),
            }))
            .cast();
        }
    }
    result_is(init, c"utf8mb4");
    Ok(false)
}

/// What a function keeps from its init to its deinit, in `init.ptr`.
struct Kept {
    permit: Permit,
    /// The last answer, which the server reads until the next row.
    answer: String,
    /// The function's name, where the audit log tells of its calls.
    told: Option<&'static str>,
}

/// Tells the audit log of a call of administration.
fn tell(function: &str, value: &Value) {
    let failed = value.get("ok") == Some(&Value::Bool(false));
    let why = value.pointer("/error/message").and_then(Value::as_str);
    let what = match why.filter(|_| failed) {
        Some(why) => format!("{function}: {why}"),
        None => function.to_string(),
    };
    let entry = Entry::new(Event::Administered).saying(&what);
    let entry = entry.came_to(if failed {
        Outcome::Failed
    } else {
        Outcome::Done
    });
    identity::with_current(|caller| LIFECYCLE.tell_event(caller, entry));
}

/// One row.
fn answer(
    init: *mut abi::kw_udf_init,
    length: *mut c_ulong,
    work: impl FnOnce(&Permit) -> Result<Value>,
) -> Result<*mut c_char> {
    // SAFETY: ptr is what `prepare` put there; a statement's rows come one after the other.
    let kept = unsafe { init.as_ref().and_then(|i| i.ptr.cast::<Kept>().as_mut()) };
    let Some(kept) = kept else {
        return Err(Error::new(
            Kind::Internal,
            "answer in SQL",
            "the server gave back nothing of what the function keeps",
        ));
    };
    let work = || {
        if kept.told.is_some() {
            LIFECYCLE.check_audit()?;
        }
        work(&kept.permit)
    };
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
    if let Some(function) = kept.told {
        tell(function, &value);
    }
    kept.answer = value.to_string();
    // SAFETY: the server gives a place for the length.
    unsafe { ptr::write(length, kept.answer.len() as c_ulong, "place for the length")? };
    Ok(kept.answer.as_ptr().cast_mut().cast())
}

/// The statement is over.
fn forget(init: *mut abi::kw_udf_init) {
    // SAFETY: ptr is NULL or what `prepare` put there, and is taken once.
    unsafe {
        if let Some(init) = init.as_mut()
            && !init.ptr.is_null()
        {
            drop(Box::from_raw(init.ptr.cast::<Kept>()));
            init.ptr = std::ptr::null_mut();
        }
    }
}
