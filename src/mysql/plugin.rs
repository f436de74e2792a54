//! The plugin role: the keyring plugin's descriptor, its my.cnf variables and its functions.
//!
//! Symbols and structures that the server writes into are `static mut`: the loader fills the
//! service pointers, the option parser the variables. Key memory that is handed out comes from the
//! server's allocator, because the server frees it. While the component serves, this plugin stays
//! passive: it opens nothing, and its functions answer from the component's keyring.

use super::log::{self, LOG};
use super::ptr::Handle;
use super::registry::{self, SERVICE_VERSION, with_plugins};
use super::state::{self, LIFECYCLE};
use super::{abi, gate, identity, ptr, status_variables};
use crate::config::discover::plugin_layer;
use crate::config::{Config, Layer, OPTIONS, ValueKind, place_of};
use crate::error::{Error, Kind, Result};
use crate::kek::drivers::UNDER;
use crate::key::id::{MAX_MATERIAL, MAX_NAME_BYTES};
use crate::key::record::KnownKey;
use crate::lifecycle::Role;
use crate::policy::operation::Operation;
use crate::text::{joined, total};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

const KEYRING_PLUGIN: c_int = 10;
const KEYRING_INTERFACE: c_int = 0x0101;
/// The server knows three licences: proprietary, GPL and BSD. Ours are permissive as the last is.
const LICENSE_BSD: c_int = 2;
/// Every plugin of a library that early-plugin-load names must carry this.
const ALLOW_EARLY: u64 = 4;

const VAR_BOOL: c_int = 1;
const VAR_STR: c_int = 5;
/// Read-only, and never persistable: SQL can't change a keyring's configuration.
const VAR_FIXED: c_int = 0x200 | 0x10000;

/// The version of the plugin interface.
#[unsafe(export_name = "_mysql_plugin_interface_version_")]
pub static mut INTERFACE_VERSION: c_int = 0x010B;
/// The size of a descriptor.
#[unsafe(export_name = "_mysql_sizeof_struct_st_plugin_")]
pub static mut DESCRIPTOR_SIZE: c_int = size_of::<abi::kw_plugin>() as c_int;
/// Filled by the server: its allocator.
#[unsafe(export_name = "mysql_malloc_service")]
pub static mut MALLOC_SERVICE: *const abi::kw_malloc_service = SERVICE_VERSION as *const _;

const ABOUT: [&str; 3] = ["An encrypted keyring under ", UNDER, "\0"];
static DESCRIPTION: [u8; total(&ABOUT)] = joined(&ABOUT);

/// The plugins of this library.
#[unsafe(export_name = "_mysql_plugin_declarations_")]
pub static mut DECLARATIONS: [abi::kw_plugin; 2] = [
    abi::kw_plugin {
        type_: KEYRING_PLUGIN,
        info: (&raw mut KEYRING).cast(),
        name: c"keyring_ward".as_ptr(),
        author: c"Keyring Ward".as_ptr(),
        descr: (&raw const DESCRIPTION).cast(),
        license: LICENSE_BSD,
        init: Some(init),
        check_uninstall: None,
        deinit: Some(deinit),
        version: 0x0001,
        status_vars: null_mut(),
        system_vars: (&raw mut VARIABLES).cast(),
        reserved: null_mut(),
        flags: ALLOW_EARLY,
    },
    abi::kw_plugin {
        type_: 0,
        info: null_mut(),
        name: null(),
        author: null(),
        descr: null(),
        license: 0,
        init: None,
        check_uninstall: None,
        deinit: None,
        version: 0,
        status_vars: null_mut(),
        system_vars: null_mut(),
        reserved: null_mut(),
        flags: 0,
    },
];

static mut KEYRING: abi::kw_plugin_keyring = abi::kw_plugin_keyring {
    interface_version: KEYRING_INTERFACE,
    store: Some(store),
    fetch: Some(fetch),
    remove: Some(remove),
    generate: Some(generate),
    iterator_init: Some(iterator_init),
    iterator_deinit: Some(iterator_deinit),
    iterator_get_key: Some(iterator_get_key),
};

/// The place of `read_only`, the one variable that is not text (to the server numbers are text, and so are booleans whose
/// default is not false; we check them), in `config::OPTIONS`.
const READ_ONLY_PLACE: usize = place_of("read_only");
const TEXTS: usize = OPTIONS.len() - 1;

/// Name and comment of each variable, each with the NUL that C wants behind it.
const WORDS: [&str; 4 * OPTIONS.len()] = {
    let mut words = ["\0"; 4 * OPTIONS.len()];
    let mut i = 0;
    while i < OPTIONS.len() {
        words[4 * i] = OPTIONS[i].name;
        words[4 * i + 2] = OPTIONS[i].help;
        i += 1;
    }
    words
};
static C_WORDS: [u8; total(&WORDS)] = joined(&WORDS);

/// The word of this place in [`WORDS`] as C has it.
const fn c_word(place: usize) -> *const c_char {
    let (before, _) = WORDS.split_at(place);
    (&raw const C_WORDS)
        .cast::<c_char>()
        .wrapping_add(total(before))
}

/// The head of an option's variable.
const fn head(option: usize, kind: c_int) -> abi::kw_sysvar_head {
    abi::kw_sysvar_head {
        flags: kind | VAR_FIXED,
        name: c_word(4 * option),
        comment: c_word(4 * option + 2),
        check: null_mut(),
        update: null_mut(),
    }
}

/// Where the server puts the text variables' values.
static mut TEXT_VALUES: [*mut c_char; TEXTS] = [null_mut(); TEXTS];

/// The text variables' structures, writable, each with its place in [`TEXT_VALUES`].
static mut TEXT_VARIABLES: [abi::kw_sysvar_str; TEXTS] = {
    let mut variables = [const { text_variable(0) }; TEXTS];
    let mut i = 1;
    while i < TEXTS {
        variables[i] = text_variable(i);
        i += 1;
    }
    variables
};

const fn text_variable(i: usize) -> abi::kw_sysvar_str {
    let option = if i < READ_ONLY_PLACE { i } else { i + 1 };
    abi::kw_sysvar_str {
        head: head(option, VAR_STR),
        value: (&raw mut TEXT_VALUES).cast::<*mut c_char>().wrapping_add(i),
        def: null_mut(),
    }
}

static mut READ_ONLY_VALUE: bool = false;
static mut READ_ONLY: abi::kw_sysvar_bool = abi::kw_sysvar_bool {
    head: head(READ_ONLY_PLACE, VAR_BOOL),
    value: &raw mut READ_ONLY_VALUE,
    def: false,
};

/// In the order of `config::OPTIONS` (a test compares), ended by NULL.
static mut VARIABLES: [*mut c_void; OPTIONS.len() + 1] = {
    let texts = (&raw mut TEXT_VARIABLES).cast::<abi::kw_sysvar_str>();
    let mut table: [*mut c_void; OPTIONS.len() + 1] = [null_mut(); OPTIONS.len() + 1];
    let mut i = 0;
    while i < OPTIONS.len() {
        table[i] = if i == READ_ONLY_PLACE {
            (&raw mut READ_ONLY).cast()
        } else {
            texts.wrapping_add(text_place(i)).cast()
        };
        i += 1;
    }
    table
};

/// Where the option of this place is among the text variables.
const fn text_place(option: usize) -> usize {
    if option < READ_ONLY_PLACE {
        option
    } else {
        option - 1
    }
}

/// This role has registered the status variables.
static SHOWN: AtomicBool = AtomicBool::new(false);

guarded_fn! {
    /// Never fails: a plugin that is not installed could not say that the keyring is disabled.
    fn init(_plugin: *mut c_void) -> c_int, failure = 0; {
        state::learn_about_process();
        with_plugins(|registry| LOG.connect(registry, Role::Plugin));
        if registry::component_is_loaded() {
            log::warning(
                "The plugin keyring_ward stays passive: the component component_keyring_ward \
                 serves the keys. Remove one of the two from the configuration.",
            );
            return Ok(0);
        }
        with_plugins(|registry| status_variables::show(registry, true));
        SHOWN.store(true, Ordering::Release);
        // Plugins are initialised with the data directory as working directory.
        let data_dir = std::env::current_dir().ok();
        let loaded = LIFECYCLE.load(Role::Plugin, data_dir.as_deref(), configuration);
        if innodb_is_running() && loaded.is_ok() {
            log::warning(
                "The plugin keyring_ward was loaded after InnoDB: after a crash the server could \
                 not recover encrypted tables and would not start. Load it by \
                 early-plugin-load=keyring_ward.so, or use the component.",
            );
        }
        Ok(0)
    }
}

guarded_fn! {
    fn deinit(_plugin: *mut c_void) -> c_int, failure = 1; {
        LIFECYCLE.unload(Role::Plugin);
        with_plugins(|registry| {
            if SHOWN.swap(false, Ordering::AcqRel) {
                status_variables::show(registry, false);
            }
            identity::forget(registry, Role::Plugin);
            LOG.disconnect(registry, Role::Plugin);
        });
        Ok(0)
    }
}

/// InnoDB's threads exist: the moment at which it could have recovered is over.
fn innodb_is_running() -> bool {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return false;
    };
    tasks.filter_map(|t| t.ok()).any(|task| {
        std::fs::read(task.path().join("comm")).is_ok_and(|comm| comm.starts_with(b"ib_"))
    })
}

/// The configuration in the plugin's variables.
fn configuration() -> Result<Config> {
    let mut layer = Layer::from_origin("the variables keyring_ward_*");
    // SAFETY: the server writes the values before init; they are read-only afterwards. Text
    // values are NULL or NUL-terminated.
    unsafe {
        let text = |value: *mut c_char| {
            let bytes = ptr::bytes(value);
            (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
        };
        let values = (&raw const TEXT_VALUES).cast::<*mut c_char>();
        for index in 0..OPTIONS.len() {
            if index == READ_ONLY_PLACE {
                let read_only = READ_ONLY_VALUE;
                layer.set(index, read_only.to_string());
            } else if let Some(value) = text(*values.add(text_place(index))) {
                layer.set(index, value);
            }
        }
    }
    plugin_layer(layer)?.finish()
}

/// Memory of the server's allocator with `from` in it and a NUL behind.
fn server_memory(from: &[u8]) -> Result<*mut u8> {
    let no_memory = || {
        Error::new(
            Kind::Internal,
            "hand out a key",
            "the server's allocator gave no memory",
        )
    };
    // SAFETY: the server fills the pointer before init; until then it holds the version number.
    // The memory is one byte longer than `from`.
    unsafe {
        let service = MALLOC_SERVICE;
        if service as usize == SERVICE_VERSION || service.is_null() {
            return Err(no_memory());
        }
        let Some(malloc) = (*service).malloc else {
            return Err(no_memory());
        };
        let memory = malloc(0, from.len() + 1, 0).cast::<u8>();
        ptr::fill(memory, from.len() + 1, from, true, "the key").map_err(|_| no_memory())?;
        Ok(memory)
    }
}

guarded_fn! {
    /// `false`: stored.
    fn store(
        key_id: *const c_char,
        key_type: *const c_char,
        user_id: *const c_char,
        key: *const c_void,
        key_len: usize,
    ) -> bool, failure = true; {
        // SAFETY: the server passes NULL or NUL-terminated strings, and a key of that length.
        let (id, owner, key_type, material) = unsafe {
            let material = ptr::slice(key.cast(), key_len, MAX_MATERIAL, "key material");
            (ptr::bytes(key_id), ptr::bytes(user_id), ptr::bytes(key_type), material)
        };
        let material = material?;
        identity::with_owner(owner, |caller| {
            gate::check_by(Operation::Store, id, owner, caller)?;
            LIFECYCLE.write(caller, |keyring| keyring.store_key(id, owner, key_type, material))
        })
        .map(|()| false)
    }
}

guarded_fn! {
    /// `false` with NULL: there is no such key. `true`: the keyring failed.
    fn fetch(
        key_id: *const c_char,
        key_type: *mut *mut c_char,
        user_id: *const c_char,
        key: *mut *mut c_void,
        key_len: *mut usize,
    ) -> bool, failure = true; {
        // SAFETY: the server passes NULL or NUL-terminated strings and writable places.
        unsafe {
            ptr::write(key_type, null_mut(), "place for the key type")?;
            ptr::write(key, null_mut(), "place for the key")?;
            ptr::write(key_len, 0, "place for the length")?;
            LIFECYCLE.counters.fetched();
            let (name, owner) = (ptr::bytes(key_id), ptr::bytes(user_id));
            let found = gate::fetch(Operation::Fetch, name, owner)?;
            if let Some(record) = found {
                // The type first: if memory runs out for the key, nothing secret is left behind.
                let type_memory = server_memory(record.key_type.as_bytes())?;
                ptr::write(key_type, type_memory.cast(), "place for the key type")?;
                let memory = server_memory(record.material())?;
                ptr::write(key, memory.cast(), "place for the key")?;
                ptr::write(key_len, record.length(), "place for the length")?;
            }
        }
        Ok(false)
    }
}

guarded_fn! {
    fn remove(key_id: *const c_char, user_id: *const c_char) -> bool, failure = true; {
        // SAFETY: the server passes NULL or NUL-terminated strings.
        let (id, owner) = unsafe { (ptr::bytes(key_id), ptr::bytes(user_id)) };
        identity::with_owner(owner, |caller| {
            gate::check_by(Operation::Remove, id, owner, caller)?;
            LIFECYCLE.write(caller, |keyring| keyring.remove(id, owner))
        })
        .map(|()| false)
    }
}

guarded_fn! {
    fn generate(
        key_id: *const c_char,
        key_type: *const c_char,
        user_id: *const c_char,
        key_len: usize,
    ) -> bool, failure = true; {
        // SAFETY: the server passes NULL or NUL-terminated strings.
        let (id, owner, key_type) =
            unsafe { (ptr::bytes(key_id), ptr::bytes(user_id), ptr::bytes(key_type)) };
        identity::with_owner(owner, |caller| {
            gate::check_by(Operation::Generate, id, owner, caller)?;
            LIFECYCLE.write(caller, |keyring| keyring.generate(id, owner, key_type, key_len))
        })
        .map(|()| false)
    }
}

/// An iteration over the keys' names.
struct Names {
    keys: std::vec::IntoIter<KnownKey>,
}
impl Handle for Names {}

guarded_fn! {
    /// Can't report a failure: a disabled keyring is an empty iteration and an error in the log.
    fn iterator_init(iterator: *mut *mut c_void) -> (), failure = (); {
        // SAFETY: the server passes a writable place.
        unsafe { ptr::write(iterator, null_mut(), "place for the iterator")? };
        let mut names = LIFECYCLE.names()?;
        gate::keep_listed(&mut names);
        let names = Names { keys: names.into_iter() };
        // SAFETY: as above.
        unsafe { ptr::write(iterator, names.into_raw().cast(), "place for the iterator") }
    }
}

guarded_fn! {
    fn iterator_deinit(iterator: *mut c_void) -> (), failure = (); {
        // SAFETY: an iterator of ours or NULL, given back once.
        unsafe { Names::drop_raw(iterator.cast()) };
        Ok(())
    }
}

/// Room of the server's buffers for names, with NUL: more than the longest name has.
const NAME_BUFFER: usize = 1025;
const _: () = assert!(MAX_NAME_BYTES < NAME_BUFFER);

guarded_fn! {
    /// Gives the current key and advances; `true` at the end.
    fn iterator_get_key(iterator: *mut c_void, key_id: *mut c_char, user_id: *mut c_char) -> bool,
    failure = true; {
        if iterator.is_null() {
            return Ok(true);
        }
        // SAFETY: an iterator of ours, used by one thread; the server's buffers have 1,025 bytes.
        unsafe {
            let Some(key) = Names::borrow(iterator.cast())?.keys.next() else { return Ok(true) };
            if !key_id.is_null() {
                ptr::fill(key_id.cast(), NAME_BUFFER, key.id.name(), true, "the key's name")?;
            }
            if !user_id.is_null() {
                ptr::fill(user_id.cast(), NAME_BUFFER, key.id.owner(), true, "the key's owner")?;
            }
        }
        Ok(false)
    }
}

/// The variables as the server sees them: name, comment and whether it is a boolean.
#[doc(hidden)]
pub fn variables() -> Vec<(String, String, ValueKind)> {
    // SAFETY: the table ends with NULL and points to structures that start with the common head.
    unsafe {
        let table = &raw const VARIABLES;
        (*table)
            .iter()
            .take_while(|v| !v.is_null())
            .map(|v| {
                let head = &*v.cast::<abi::kw_sysvar_head>();
                let text = |p| CStr::from_ptr(p).to_string_lossy().into_owned();
                let kind = if head.flags & 0xF == VAR_BOOL {
                    ValueKind::Bool
                } else {
                    ValueKind::Text
                };
                (text(head.name), text(head.comment), kind)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_are_the_options() {
        let expected: Vec<_> = OPTIONS
            .iter()
            .map(|o| {
                let kind = match (o.name, o.kind) {
                    ("read_only", ValueKind::Bool) => ValueKind::Bool,
                    _ => ValueKind::Text,
                };
                (o.name.to_string(), o.help.to_string(), kind)
            })
            .collect();
        assert_eq!(variables(), expected);
    }

    #[test]
    fn the_description_names_what_a_keyring_is_under() {
        let text = CStr::from_bytes_with_nul(&DESCRIPTION).unwrap();
        let text = text.to_str().unwrap();
        let of_old = "An encrypted keyring under a passphrase, a key file, an HSM";
        assert!(
            text.starts_with(of_old) && text.contains("AWS KMS"),
            "{text}"
        );
    }

    #[test]
    fn the_descriptor_has_the_size_that_the_server_expects() {
        assert_eq!(size_of::<abi::kw_plugin>(), 112);
    }

    #[test]
    fn innodb_does_not_run_here() {
        assert!(!innodb_is_running());
    }
}
