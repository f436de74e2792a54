//! The library's SQL functions, as a server calls them on a connection.
//!
//! Owns the structures that a server hands over, each in a fence. It must never call a function that the library was
//! not asked for by name.

use crate::memory::Fence;
use crate::server::Host;
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
    }
}

/// An argument of a call.
enum Argument {
    Null,
    Text(&'static str),
    Number(i64),
}
use Argument::{Null, Number, Text};

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

/// One call; the message of the init function where that refused.
fn call(library: &Library, name: &str, given: &[Argument]) -> Result<Value, String> {
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
        (*init).decimals = versions::DECIMALS_OF_TEXT;
        (*args).arg_count = given.len() as u32;
        (*args).arg_type = types.start().cast();
        (*args).args = places.start().cast();
        (*args).lengths = lengths.start().cast();
        for (i, (argument, text)) in given.iter().zip(&texts).enumerate() {
            let (kind, place, length) = match argument {
                Null => (0, std::ptr::null_mut(), 0),
                Text(value) => {
                    text.start().copy_from(value.as_ptr(), value.len());
                    (0, text.start(), value.len())
                }
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
        let length = Fence::new(size_of::<c_ulong>());
        let function = library.get::<Call>(&find("")).expect("the function");
        let answer = function(
            init,
            args,
            result.start().cast(),
            length.start().cast(),
            small.start(),
            small.start().add(1),
        );
        assert!(!answer.is_null(), "{name} gave NULL");
        let length = length.start().cast::<c_ulong>().read() as usize;
        let bytes = std::slice::from_raw_parts(answer.cast::<u8>(), length);
        let json = serde_json::from_slice(bytes).map_err(|e| e.to_string());
        library
            .get::<Deinit>(&find("_deinit"))
            .expect("a deinit function")(init);
        json
    }
}
