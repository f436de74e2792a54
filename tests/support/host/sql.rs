//! The library's SQL functions, as a server calls them on a connection.
//!
//! Owns the structures that a server hands over, each in a fence. It must never call a function that the library was
//! not asked for by name.

use crate::memory::Fence;
use crate::server::{Host, lock};
use crate::versions;
use keyring_ward::mysql::abi;
use libloading::os::unix::Library;
use serde_json::Value;
use std::ffi::{CStr, c_char, c_ulong};
use std::sync::atomic::Ordering;

type Init = unsafe extern "C" fn(*mut abi::kw_udf_init, *mut abi::kw_udf_args, *mut c_char) -> bool;
type Call = unsafe extern "C" fn(
    *mut abi::kw_udf_init,
    *mut abi::kw_udf_args,
    *mut c_char,
    *mut c_ulong,
    *mut u8,
    *mut u8,
) -> *mut c_char;
type CallWhole =
    unsafe extern "C" fn(*mut abi::kw_udf_init, *mut abi::kw_udf_args, *mut u8, *mut u8) -> i64;
type Deinit = unsafe extern "C" fn(*mut abi::kw_udf_init);

/// The services without which nobody's privileges can be asked.
const PRIVILEGES: [&str; 3] = [
    "mysql_current_thread_reader",
    "mysql_thd_security_context",
    "global_grants_check",
];

/// Calls the functions, without the privilege and with it.
pub fn run(host: &Host, library: &Library) {
    let ask = |granted: bool, name: &str| {
        host.granted.store(granted, Ordering::SeqCst);
        call(library, name, &[])
    };
    let refused = |answer: Result<Value, String>| {
        answer.is_err_and(|message| message.contains("ENCRYPTION_KEY_ADMIN"))
    };
    host.check(
        refused(ask(false, "keyring_ward_status")),
        "a function served an account without the privilege",
    );
    let can_ask = PRIVILEGES.iter().all(|name| host.table(name).is_some());
    for name in [
        "status",
        "verify",
        "reload",
        "reseal",
        "keks",
        "kek_sync",
        "keys",
        "retired_keys",
    ] {
        let answer = ask(true, &format!("keyring_ward_{name}"));
        if can_ask {
            let good = answer.as_ref().is_ok_and(|json| json["ok"] == true);
            host.check(good, &format!("keyring_ward_{name}() answered {answer:?}"));
        } else {
            host.check(
                refused(answer),
                "a function served where no privileges can be asked",
            );
        }
    }
    if can_ask {
        with_arguments(host, library);
        operates(host, library);
        values(host, library);
    }
}

/// An argument of a call.
enum Argument {
    Null,
    Text(&'static str),
    Bytes(Vec<u8>),
    Number(i64),
}
use Argument::{Bytes, Null, Number, Text};

/// Functions that take something: right and wrong arguments.
fn with_arguments(host: &Host, library: &Library) {
    let ask = |name: &str, args: &[Argument]| call(library, &format!("keyring_ward_{name}"), args);
    let good = |answer: Result<Value, String>, what: &str| {
        let is_good = answer.as_ref().is_ok_and(|json| json["ok"] == true);
        host.check(is_good, &format!("{what}: {answer:?}"));
    };
    // Another name in each host that shares the keyring's folder: that it is there already is an answer, too.
    let made = ask(
        "key_create",
        &[Text("k"), Text("app@%"), Text("AES"), Number(32)],
    );
    let fits = |json: &Value| json["ok"] == true || json["error"]["kind"] == "AlreadyExists";
    host.check(
        made.as_ref().is_ok_and(fits),
        &format!("key_create: {made:?}"),
    );
    let options = Text("{\"description\": \"of the host\"}");
    good(
        ask("key_set", &[Text("k"), Text("app@%"), options]),
        "key_set",
    );
    good(ask("key_check", &[Text("k"), Text("app@%")]), "key_check");
    good(ask("key_rotate", &[Text("k"), Text("app@%")]), "key_rotate");
    // NULL is nobody; the sentence names the calling account, as far as the server tells.
    let whose = ask("key_check", &[Text("k"), Null]);
    let has_told = host.table("mysql_security_context_options").is_some();
    let fits = |json: &Value| {
        let hint = json["error"]["hint"].as_str().unwrap_or_default();
        json["error"]["kind"] == "InvalidInput" && hint.contains("CURRENT_USER() is") == has_told
    };
    host.check(
        whose.as_ref().is_ok_and(fits),
        &format!("NULL as owner: {whose:?}"),
    );
    for wrong in [&[Text("k")][..], &[Text("k"), Number(1)]] {
        let answer = ask("key_check", wrong);
        let said = answer
            .as_ref()
            .is_err_and(|e| e.contains("keyring_ward_key_check(name, owner) takes 2"));
        host.check(said, &format!("wrong arguments: {answer:?}"));
    }
}

/// An operator takes versions in, and no transport key: whoever knows one reads all that is sealed under it.
fn operates(host: &Host, library: &Library) {
    host.granted.store(false, Ordering::SeqCst);
    host.operates.store(true, Ordering::SeqCst);
    for (args, kind) in [
        (&[Text("no message")][..], "InvalidInput"),
        (&[Text("no message"), Text("fingerprint")], "Denied"),
    ] {
        let answer = call(library, "keyring_ward_transport_accept", args);
        let said = answer
            .as_ref()
            .is_ok_and(|json| json["error"]["kind"] == kind);
        host.check(
            said,
            &format!("an operator accepts, not {kind}: {answer:?}"),
        );
    }
    host.operates.store(false, Ordering::SeqCst);
    host.granted.store(true, Ordering::SeqCst);
}

/// What a function gave for one row.
enum Given {
    Null,
    Error,
    Bytes(Vec<u8>),
    Whole(i64),
}

/// One call; the message of the init function where that refused.
fn call(library: &Library, name: &str, given: &[Argument]) -> Result<Value, String> {
    match call_raw(library, name, given, false)? {
        Given::Bytes(bytes) => serde_json::from_slice(&bytes).map_err(|e| e.to_string()),
        _ => Err(format!("{name} gave NULL")),
    }
}

/// The same of a function that gives a value of its own; `whole`: a whole number.
fn call_raw(
    library: &Library,
    name: &str,
    given: &[Argument],
    whole: bool,
) -> Result<Given, String> {
    let words = |bytes: usize| Fence::new(bytes.max(1));
    let (types, places, lengths) = (
        words(given.len() * size_of::<i32>()),
        words(given.len() * size_of::<*mut c_char>()),
        words(given.len() * size_of::<c_ulong>()),
    );
    // A text ends where its fence does: there is no NUL behind it.
    let texts: Vec<Fence> = (given.iter())
        .map(|argument| match argument {
            Text(text) => words(text.len()),
            Bytes(bytes) => words(bytes.len()),
            Null | Number(_) => words(size_of::<i64>()),
        })
        .collect();
    let (init_place, args_place, message) = (
        Fence::new(size_of::<abi::kw_udf_init>()),
        Fence::new(size_of::<abi::kw_udf_args>()),
        Fence::new(512),
    );
    let init: *mut abi::kw_udf_init = init_place.start().cast();
    let args: *mut abi::kw_udf_args = args_place.start().cast();
    let find = |end: &str| format!("{name}{end}").into_bytes();
    // SAFETY: the functions have these types; the structures are zeroed, as large as the server's, and live through
    // the calls; a result is read before the function is called again.
    unsafe {
        (*init).decimals = if whole { 0 } else { versions::DECIMALS_OF_TEXT };
        (*args).arg_count = given.len() as u32;
        (*args).arg_type = types.start().cast();
        (*args).args = places.start().cast();
        (*args).lengths = lengths.start().cast();
        for (i, (argument, text)) in given.iter().zip(&texts).enumerate() {
            let bytes = match argument {
                Text(value) => value.as_bytes(),
                Bytes(value) => value,
                Null | Number(_) => &[],
            };
            text.start().copy_from(bytes.as_ptr(), bytes.len());
            let (kind, place, length) = match argument {
                Null => (0, std::ptr::null_mut(), 0),
                Text(_) | Bytes(_) => (0, text.start(), bytes.len()),
                Number(value) => {
                    text.start().cast::<i64>().write(*value);
                    (2, text.start(), 0)
                }
            };
            (*args).arg_type.add(i).write(kind);
            (*args).args.add(i).write(place.cast());
            (*args).lengths.add(i).write(length as c_ulong);
        }
        let begin = library
            .get::<Init>(&find("_init"))
            .expect("an init function");
        if begin(init, args, message.start().cast()) {
            let text = CStr::from_bytes_until_nul(message.bytes()).expect("a NUL");
            return Err(text.to_string_lossy().into_owned());
        }
        let (result, small) = (Fence::new(255), Fence::new(2));
        let (is_null, error) = (small.start(), small.start().add(1));
        let length = Fence::new(size_of::<c_ulong>());
        let answer = match whole {
            true => {
                let function = library.get::<CallWhole>(&find("")).expect("the function");
                Given::Whole(function(init, args, is_null, error))
            }
            false => {
                let function = library.get::<Call>(&find("")).expect("the function");
                let (result, places) = (result.start().cast(), length.start().cast());
                let answer = function(init, args, result, places, is_null, error);
                let length = length.start().cast::<c_ulong>().read() as usize;
                match answer.is_null() {
                    true => Given::Null,
                    false => Given::Bytes(
                        std::slice::from_raw_parts(answer.cast::<u8>(), length).to_vec(),
                    ),
                }
            }
        };
        let answer = match (error.read(), is_null.read()) {
            (0, 0) => answer,
            (0, _) => Given::Null,
            _ => Given::Error,
        };
        library
            .get::<Deinit>(&find("_deinit"))
            .expect("a deinit function")(init);
        Ok(answer)
    }
}

/// The functions that use an account's keys.
fn values(host: &Host, library: &Library) {
    let name = |name: &str| format!("keyring_ward_{name}");
    let ask = |f: &str, args: &[Argument]| call_raw(library, &name(f), args, false);
    let sealed = ask("encrypt", &[Text("k"), Text("text"), Text("context")]);
    let told = host.table("mysql_runtime_error").is_some();
    let known = host.table("mysql_security_context_options").is_some();
    let sealed = match (sealed, told && known) {
        (Ok(Given::Bytes(sealed)), true) => sealed,
        (Err(said), false) => {
            let why = match told {
                true => "no account calls",
                false => "does not take errors of functions",
            };
            return host.check(said.contains(why), &format!("encrypt was refused: {said}"));
        }
        _ => return host.check(false, "encrypt answered, or failed"),
    };
    let value = || Bytes(sealed.clone());
    let opened = ask("decrypt", &[Text("k"), value(), Text("context")]);
    let good = matches!(&opened, Ok(Given::Bytes(text)) if text == b"text");
    host.check(good, "decrypt gave something else");
    let other = ask("decrypt", &[Text("k"), value()]);
    let said = lock(&host.last_error).take().unwrap_or_default();
    let good = matches!(other, Ok(Given::Error)) && said.starts_with("KW-0009 Tampered");
    host.check(good, &format!("another context: {said}"));
    let null = ask("decrypt", &[Text("k"), Null, Text("context")]);
    host.check(matches!(null, Ok(Given::Null)), "NULL is not NULL");
    let version = call_raw(library, &name("sealed_version"), &[value()], true);
    host.check(matches!(version, Ok(Given::Whole(1..))), "the version");
    let wrong = call_raw(library, &name("sealed_version"), &[value()], false);
    host.check(wrong.is_err(), "a whole number was installed as text");
    host.system_thread.store(true, Ordering::SeqCst);
    let refused = ask("hmac", &[Text("k"), Text("data")]);
    host.system_thread.store(false, Ordering::SeqCst);
    let knows = host.table("pfs_resource_group_v3").is_some()
        && host.table("mysql_system_variable_reader").is_some();
    let good = refused.is_err_and(|said| said.contains("a replication applier")) == knows;
    host.check(good, "a replication applier was served");
    host.statements.store(true, Ordering::SeqCst);
    let refused = ask("hmac", &[Text("k"), Text("data")]);
    host.statements.store(false, Ordering::SeqCst);
    let knows = host.table("mysql_system_variable_reader").is_some()
        && host.table("component_sys_variable_register").is_some();
    let good = refused.is_err_and(|said| said.contains("binlog_format is STATEMENT")) == knows;
    host.check(good, "statements are logged, and a key was used");
}
