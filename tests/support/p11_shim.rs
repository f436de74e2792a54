//! A PKCS#11 module that puts itself before a real one, counts the calls and injects faults that a real
//! token does not give on demand.
//!
//! `P11_SHIM_MODULE` names the real module, `P11_SHIM_LOG` a file that gets the name of each call,
//! `P11_SHIM_CONTROL` a file that is read at each call:
//!
//! ```text
//! NAME CODE          every call of C_NAME answers CODE (hexadecimal) without reaching the module
//! NAME CODE N        only the Nth call since the file's content changed; NAME may be * for any
//! NAME CODE N on     the Nth call and all behind it
//! NAME after          the call reaches the module, and answers CKR_DEVICE_ERROR all the same
//! NAME hang SECONDS  the call waits before it goes on
//! NAME thread        the call starts a thread that never ends
//! NAME crash         the call ends the process
//! ```
//! It must never be part of what is installed.
#![allow(unsafe_code, non_snake_case, clippy::missing_safety_doc)]

use cryptoki_sys::*;
use std::collections::HashMap;
use std::ffi::c_void;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

struct Real {
    _library: libloading::Library,
    list: CK_FUNCTION_LIST,
}
// SAFETY: function pointers and a version; never changed.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Option<Real>> = OnceLock::new();

struct List(CK_FUNCTION_LIST);
// SAFETY: as for Real.
unsafe impl Send for List {}
// SAFETY: as for Real.
unsafe impl Sync for List {}
static LIST: OnceLock<List> = OnceLock::new();

#[derive(Default)]
struct Control {
    content: String,
    calls: HashMap<String, u32>,
    all: u32,
}
static CONTROL: OnceLock<Mutex<Control>> = OnceLock::new();

fn load() -> Option<Real> {
    let path = std::env::var_os("P11_SHIM_MODULE")?;
    // SAFETY: a PKCS#11 module; C_GetFunctionList has this type (PKCS#11 2.40, section 4.4).
    unsafe {
        let library = libloading::Library::new(path).ok()?;
        let get: libloading::Symbol<'_, unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV> =
            library.get(b"C_GetFunctionList").ok()?;
        let mut list: *mut CK_FUNCTION_LIST = std::ptr::null_mut();
        if get(&raw mut list) != CKR_OK || list.is_null() {
            return None;
        }
        let list = *list;
        Some(Real {
            _library: library,
            list,
        })
    }
}

fn real() -> Option<&'static CK_FUNCTION_LIST> {
    REAL.get_or_init(load).as_ref().map(|r| &r.list)
}

/// How a call fails.
enum Told {
    /// With this code, and it does not reach the module.
    Instead(CK_RV),
    /// When the module has done it.
    After,
}

/// Counts a call, and tells how it must fail.
fn enter(name: &str) -> Option<Told> {
    if let Some(log) = std::env::var_os("P11_SHIM_LOG")
        && let Ok(mut file) = std::fs::File::options().append(true).create(true).open(log)
    {
        let _ = file.write_all(format!("{name}\n").as_bytes());
    }
    let content = std::env::var_os("P11_SHIM_CONTROL")
        .and_then(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    let (mut answer, mut wait) = (None, None);
    {
        let mut control = CONTROL
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if control.content != content {
            *control = Control {
                content: content.clone(),
                ..Control::default()
            };
        }
        control.all += 1;
        *control.calls.entry(name.into()).or_default() += 1;
        for line in content.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (&[which, what, ref rest @ ..], short) = (&words[..], &name[2..]) else {
                continue;
            };
            if which != "*" && which != short && which != name {
                continue;
            }
            let number = rest.first().and_then(|n| n.parse::<u32>().ok());
            if what == "hang" {
                wait = number;
                continue;
            }
            if what == "after" {
                answer = Some(Told::After);
                continue;
            }
            if what == "crash" {
                // SAFETY: it is not: that is what is wanted.
                unsafe { std::ptr::null_mut::<u8>().write_volatile(1) };
            }
            if what == "thread" {
                let _ = std::thread::Builder::new()
                    .name("p11-shim".into())
                    .spawn(|| {
                        loop {
                            std::thread::park();
                        }
                    });
                continue;
            }
            let now = match which {
                "*" => control.all,
                _ => control.calls[name],
            };
            let on = rest.get(1) == Some(&"on");
            if number.is_none_or(|n| n == now || (on && n < now)) {
                let code = CK_RV::from_str_radix(what.trim_start_matches("0x"), 16);
                answer = code.ok().map(Told::Instead);
            }
        }
    }
    if let Some(seconds) = wait {
        std::thread::sleep(Duration::from_secs(seconds.into()));
    }
    answer
}

macro_rules! shim {
    ($($name:ident ( $($arg:ident : $type:ty),* );)*) => {
        $(unsafe extern "C" fn $name($($arg: $type),*) -> CK_RV {
            let told = enter(stringify!($name));
            if let Some(Told::Instead(code)) = told {
                return code;
            }
            let answer = match real().and_then(|list| list.$name) {
                // SAFETY: the caller's arguments, handed on as they are.
                Some(f) => unsafe { f($($arg),*) },
                None => CKR_FUNCTION_NOT_SUPPORTED,
            };
            match told {
                None => answer,
                Some(_) => CKR_DEVICE_ERROR,
            }
        })*
        fn replace(list: &mut CK_FUNCTION_LIST) {
            $(list.$name = Some($name);)*
        }
    };
}

shim! {
    C_Initialize(args: *mut c_void);
    C_Finalize(reserved: *mut c_void);
    C_GetInfo(info: *mut CK_INFO);
    C_GetSlotList(present: CK_BBOOL, slots: *mut CK_SLOT_ID, count: *mut CK_ULONG);
    C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO);
    C_GetMechanismList(slot: CK_SLOT_ID, list: *mut CK_MECHANISM_TYPE, count: *mut CK_ULONG);
    C_GetMechanismInfo(slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, application: *mut c_void, notify: CK_NOTIFY, session: *mut CK_SESSION_HANDLE);
    C_CloseSession(session: CK_SESSION_HANDLE);
    C_Login(session: CK_SESSION_HANDLE, user: CK_USER_TYPE, pin: *mut CK_UTF8CHAR, length: CK_ULONG);
    C_Logout(session: CK_SESSION_HANDLE);
    C_FindObjectsInit(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    C_FindObjects(session: CK_SESSION_HANDLE, objects: *mut CK_OBJECT_HANDLE, most: CK_ULONG, count: *mut CK_ULONG);
    C_FindObjectsFinal(session: CK_SESSION_HANDLE);
    C_GetAttributeValue(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG);
    C_EncryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    C_Encrypt(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, length: CK_ULONG, out: *mut CK_BYTE, out_length: *mut CK_ULONG);
    C_DecryptInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    C_Decrypt(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, length: CK_ULONG, out: *mut CK_BYTE, out_length: *mut CK_ULONG);
    C_SignInit(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, key: CK_OBJECT_HANDLE);
    C_Sign(session: CK_SESSION_HANDLE, data: *mut CK_BYTE, length: CK_ULONG, out: *mut CK_BYTE, out_length: *mut CK_ULONG);
    C_WrapKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, with: CK_OBJECT_HANDLE, key: CK_OBJECT_HANDLE, out: *mut CK_BYTE, out_length: *mut CK_ULONG);
    C_UnwrapKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, with: CK_OBJECT_HANDLE, wrapped: *mut CK_BYTE, length: CK_ULONG, template: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut CK_OBJECT_HANDLE);
    C_GenerateKey(session: CK_SESSION_HANDLE, mechanism: *mut CK_MECHANISM, template: *mut CK_ATTRIBUTE, count: CK_ULONG, key: *mut CK_OBJECT_HANDLE);
    C_CreateObject(session: CK_SESSION_HANDLE, template: *mut CK_ATTRIBUTE, count: CK_ULONG, object: *mut CK_OBJECT_HANDLE);
    C_DestroyObject(session: CK_SESSION_HANDLE, object: CK_OBJECT_HANDLE);
    C_GenerateRandom(session: CK_SESSION_HANDLE, out: *mut CK_BYTE, length: CK_ULONG);
}

/// The real module's functions, with those above before them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    let Some(real) = real() else {
        return CKR_GENERAL_ERROR;
    };
    let ours = LIST.get_or_init(|| {
        let mut list = *real;
        replace(&mut list);
        List(list)
    });
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: the caller's pointer to one pointer; the table lives as long as the process and callers only
    // read it.
    unsafe { *list = (&raw const ours.0).cast_mut() };
    CKR_OK
}
