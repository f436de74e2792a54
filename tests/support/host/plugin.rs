//! The library as a keyring plugin, loaded and unloaded as a server does it.
//!
//! Owns the server's rules for that: versions, the pointers that are overwritten, the variables that are written into,
//! memory that is the server's. It must never be kinder than a server: what one refuses is a failure here.

use crate::component::{self, Component};
use crate::memory::Fence;
use crate::server::{Host, lock};
use crate::services::Fetched;
use crate::versions::{self, Way, plugin as facts};
use keyring_ward::mysql::abi;
use libloading::os::unix::Library;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null;

/// A plugin that is loaded and initialised.
struct Plugin {
    host: &'static Host,
    descriptor: *mut abi::kw_plugin,
    keyring: &'static abi::kw_plugin_keyring,
    /// The variables' values: the server's memory.
    _values: Vec<CString>,
}

/// A data symbol of the library.
fn symbol<T>(library: &Library, name: &str) -> *mut T {
    // SAFETY: only the address is taken.
    let found = unsafe { library.get::<*mut T>(name.as_bytes()) };
    found
        .unwrap_or_else(|e| panic!("{name}: {e}"))
        .into_raw()
        .cast()
}

impl Plugin {
    fn begin(host: &'static Host, library: &Library) -> Plugin {
        let version = symbol::<c_int>(library, "_mysql_plugin_interface_version_");
        let size = symbol::<c_int>(library, "_mysql_sizeof_struct_st_plugin_");
        let declarations = symbol::<abi::kw_plugin>(library, "_mysql_plugin_declarations_");
        // SAFETY: integers by their names.
        let (version, size) = unsafe { (*version, *size) };
        assert!(
            version >= facts::LOWEST_INTERFACE && version >> 8 <= facts::INTERFACE >> 8,
            "the plugin interface {version:#x}: the server would not load it"
        );
        assert_eq!(size as usize, size_of::<abi::kw_plugin>());
        give_services(host, library);
        let descriptor = keyring_plugin(host, declarations);
        // SAFETY: the server writes into the variables, reads the table and calls init, in this order.
        unsafe {
            let values = fill_variables(host, (*descriptor).system_vars);
            let keyring = (*descriptor).info.cast::<abi::kw_plugin_keyring>();
            let rc = (*descriptor).init.expect("init")(descriptor.cast());
            assert_eq!(rc, 0, "init");
            Plugin {
                host,
                descriptor,
                keyring: &*keyring,
                _values: values,
            }
        }
    }

    /// The memory that the library hands out is the server's, and is given back.
    fn fetch(&self, id: &CStr, user: *const c_char) -> Fetched {
        let (mut kind, mut key, mut length) = (8 as *mut c_char, 8 as *mut c_void, 7);
        let fetch = self.keyring.fetch.expect("fetch");
        // SAFETY: a string and three places.
        if unsafe { fetch(id.as_ptr(), &mut kind, user, &mut key, &mut length) } {
            return Fetched::Failed;
        }
        if key.is_null() {
            assert!(kind.is_null() && length == 0, "no key, and yet something");
            return Fetched::Absent;
        }
        // SAFETY: the server takes the length of the type by its NUL.
        let kind_bytes = unsafe { CStr::from_ptr(kind) }.to_bytes().to_vec();
        let mut memory = self.host.take(key).expect("a key in the server's memory");
        assert!(length <= memory.len());
        memory.truncate(length);
        let kind_memory = self.host.take(kind.cast());
        assert!(kind_memory.is_some(), "a type in the server's memory");
        Fetched::Found(memory, kind_bytes)
    }

    fn names(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut names = Vec::new();
        let mut iterator = std::ptr::null_mut();
        let (id, user) = (
            Fence::new(facts::NAME_BUFFER),
            Fence::new(facts::NAME_BUFFER),
        );
        let text = |fence: &Fence| {
            CStr::from_bytes_until_nul(fence.bytes()).map(|t| t.to_bytes().to_vec())
        };
        // SAFETY: buffers of the length that the server has, and an iterator that is given back once.
        unsafe {
            self.keyring.iterator_init.expect("init")(&mut iterator);
            let get = self.keyring.iterator_get_key.expect("get");
            while !get(iterator, id.start().cast(), user.start().cast()) {
                names.push((text(&id).expect("a NUL"), text(&user).expect("a NUL")));
            }
            self.keyring.iterator_deinit.expect("deinit")(iterator);
        }
        names.sort();
        names
    }

    fn end(self) {
        // SAFETY: init was called, and this is done once.
        let rc = unsafe { (*self.descriptor).deinit.expect("deinit")(self.descriptor.cast()) };
        assert_eq!(rc, 0, "deinit");
    }
}

/// Puts the server's services where the library exports a pointer for them.
fn give_services(host: &Host, library: &Library) {
    for service in versions::SERVICES.iter().filter(|s| s.way == Way::Exported) {
        let table = host.table(service.name).expect("a service of each server");
        let pointer = symbol::<usize>(library, service.name);
        // SAFETY: an exported pointer, which holds a version until the server puts its service there.
        unsafe {
            let wanted = *pointer;
            assert!(
                wanted <= facts::SERVICE && wanted >> 8 == facts::SERVICE >> 8,
                "{} in version {wanted:#x}: the server would not load the plugin",
                service.name
            );
            *pointer = table.address() as usize;
        }
        // In use as long as the plugin is loaded.
        table.acquire();
    }
}

fn take_services(host: &Host) {
    for service in versions::SERVICES.iter().filter(|s| s.way == Way::Exported) {
        host.table(service.name).map(|t| t.release());
    }
}

/// The one keyring plugin, by the server's rules for each plugin of the library.
fn keyring_plugin(host: &Host, declarations: *mut abi::kw_plugin) -> *mut abi::kw_plugin {
    let mut found = None;
    let mut at = declarations;
    // SAFETY: the list ends with a plugin without info; info points to an integer first.
    unsafe {
        while !(*at).info.is_null() {
            let plugin = &*at;
            let interface = *plugin.info.cast::<c_int>();
            host.check(
                plugin.flags & facts::ALLOW_EARLY != 0,
                "a plugin that early-plugin-load refuses",
            );
            match plugin.type_ {
                facts::KEYRING => {
                    let good = interface >= facts::KEYRING_INTERFACE
                        && interface >> 8 <= facts::KEYRING_INTERFACE >> 8;
                    host.check(good, "another version of the keyring interface");
                    found = found.or(Some(at));
                }
                facts::DAEMON => host.check(
                    interface == (host.version().id << 8) as c_int,
                    "a DAEMON plugin must have the version of the very server",
                ),
                _ => host.problem(format!("a plugin of type {}", plugin.type_)),
            }
            at = at.add(1);
        }
    }
    found.expect("a keyring plugin")
}

/// A place in the server's code, for pointers that it writes into the variables.
const SERVER_CODE: *mut c_void = 0x5E4E_4000 as *mut c_void;

/// As the server's option parser: defaults first, then what my.cnf says; check and update functions of its own.
///
/// # Safety
/// `variables` is the library's table, ended by NULL.
unsafe fn fill_variables(host: &Host, variables: *mut *mut c_void) -> Vec<CString> {
    let mut wanted: BTreeMap<_, _> = host.order.variables.clone();
    let mut values = Vec::new();
    let mut at = variables;
    // SAFETY: by the caller's contract; each entry begins with the common head, and goes on as its kind says.
    unsafe {
        while !(*at).is_null() {
            let head = (*at).cast::<abi::kw_sysvar_head>();
            let name = CStr::from_ptr((*head).name).to_str().expect("a name");
            let kind = (*head).flags & facts::VAR_KINDS;
            let unknown = (*head).flags & !(facts::VAR_KINDS | facts::VAR_FLAGS);
            host.check(unknown == 0, &format!("{name} has flags {unknown:#x}"));
            for function in [&raw mut (*head).check, &raw mut (*head).update] {
                if (*function).is_null() {
                    *function = SERVER_CODE;
                }
            }
            let value = wanted.remove(name);
            match kind {
                facts::VAR_STR => {
                    let variable = (*at).cast::<abi::kw_sysvar_str>();
                    *(*variable).value = (*variable).def;
                    if let Some(value) = value {
                        values.push(CString::new(value).expect("no NUL"));
                        *(*variable).value = values[values.len() - 1].as_ptr().cast_mut();
                    }
                }
                facts::VAR_BOOL => {
                    let variable = (*at).cast::<abi::kw_sysvar_bool>();
                    *(*variable).value = value.map_or((*variable).def, |v| v == "ON");
                }
                _ => host.problem(format!(
                    "{name} is of kind {kind}, which the host can't fill"
                )),
            }
            at = at.add(1);
        }
    }
    host.check(wanted.is_empty(), &format!("no such variables: {wanted:?}"));
    values
}

/// What the built-in proxy and accounts do with a keyring plugin.
fn exercise(plugin: &Plugin) {
    let probe = c"dummy_daemon_proxy_keyring_id";
    assert_eq!(
        plugin.fetch(probe, null()),
        Fetched::Absent,
        "the server's probe"
    );
    let (id, user) = (
        c"INNODBKey-11111111-2222-3333-4444-555555555555-1",
        c"root@localhost",
    );
    let keyring = plugin.keyring;
    let before = plugin.names().len();
    // SAFETY: strings and data of the stated length.
    unsafe {
        let generate = keyring.generate.expect("generate");
        assert!(!generate(id.as_ptr(), c"AES".as_ptr(), null(), 32));
        assert!(
            generate(id.as_ptr(), c"AES".as_ptr(), null(), 32),
            "it exists"
        );
        let store = keyring.store.expect("store");
        let (secret, text) = (c"secret".as_ptr(), b"text".as_ptr());
        assert!(!store(
            secret,
            c"SECRET".as_ptr(),
            user.as_ptr(),
            text.cast(),
            4
        ));
    }
    let Fetched::Found(key, kind) = plugin.fetch(id, null()) else {
        panic!("the generated key is not there")
    };
    assert_eq!((key.len(), &kind[..]), (32, &b"AES"[..]));
    let secret = Fetched::Found(b"text".to_vec(), b"SECRET".to_vec());
    assert_eq!(plugin.fetch(c"secret", user.as_ptr()), secret);
    assert_eq!(plugin.names().len(), before + 2);
    // SAFETY: strings.
    unsafe {
        let remove = keyring.remove.expect("remove");
        assert!(!remove(c"secret".as_ptr(), user.as_ptr()));
        assert!(remove(c"secret".as_ptr(), user.as_ptr()), "it is gone");
    }
    assert_eq!(plugin.fetch(c"secret", user.as_ptr()), Fetched::Absent);
    assert_eq!(plugin.fetch(id, null()), Fetched::Found(key, kind));
}

/// The whole life of the plugin.
pub fn run(host: &'static Host, library: &Library) {
    std::env::set_current_dir(&host.order.data_dir).expect("the data directory");
    let plugin = Plugin::begin(host, library);
    exercise(&plugin);
    crate::sql::run(host, library);
    plugin.end();
    take_services(host);
}

/// Both at once: the component serves, the plugin answers from it.
pub fn run_beside_component(host: &'static Host, library: &Library) {
    let component = Component::begin(host, library);
    component::start(host, &component);
    std::env::set_current_dir(&host.order.data_dir).expect("the data directory");
    let plugin = Plugin::begin(host, library);
    if host.table("mysql_simple_error_log").is_some() {
        let said = lock(&host.log)
            .iter()
            .any(|(_, l)| l.contains("stays passive"));
        host.check(said, "the plugin did not say that it stays passive");
    }
    assert_eq!(
        component.services.generate(b"shared", null(), c"AES", 16),
        0
    );
    let shared = plugin.fetch(c"shared", null());
    assert!(matches!(shared, Fetched::Found(key, _) if key.len() == 16));
    exercise(&plugin);
    crate::sql::run(host, library);
    plugin.end();
    take_services(host);
    assert_eq!(component.services.active(), 1, "the component serves on");
    component.end();
}
