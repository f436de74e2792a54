//! The library as a component, loaded and unloaded as a server does it.
//!
//! Owns the order of that (required services, init, load, calls, deinit, release) and the rules of the loader. It must never call
//! a service that the component does not provide by name.

use crate::server::{Host, lock};
use crate::services::{Fetched, Services};
use crate::versions::{self, Way};
use keyring_ward::mysql::abi;
use libloading::os::unix::Library;
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null;

/// A component that is loaded.
pub struct Component {
    host: &'static Host,
    component: &'static abi::kw_component,
    pub services: Services,
    required: Vec<*mut c_void>,
}

impl Component {
    /// From the entry symbol to `init`.
    pub fn begin(host: &'static Host, library: &Library) -> Component {
        type Entry = unsafe extern "C" fn() -> *const abi::kw_component;
        // SAFETY: the entry symbol has this type, and the library stays loaded.
        let component = unsafe {
            let entry = library
                .get::<Entry>(b"list_components")
                .expect("the entry symbol");
            entry().as_ref().expect("a component")
        };
        provides(host, component, c"component_keyring_ward");
        let required = require(host, component);
        // SAFETY: the placeholders are filled.
        let rc = unsafe { component.init.expect("init")() };
        assert_eq!(rc, 0, "init");
        own_service(host, component, true);
        Component {
            host,
            component,
            // SAFETY: loaded just now, and the names were looked at.
            services: unsafe { Services::of(component) },
            required,
        }
    }

    /// `keyring_load`, as for the server's start and for RELOAD KEYRING.
    pub fn load(&self) -> c_int {
        let with_slash =
            |dir: &std::path::Path| crate::services::c(format!("{}/", dir.display()).as_bytes());
        let order = &self.host.order;
        let (component, instance) = (with_slash(&order.plugin_dir), with_slash(&order.data_dir));
        let load = self.services.load.load.expect("load");
        // SAFETY: two strings that live through the call.
        unsafe { load(component.as_ptr(), instance.as_ptr()) }
    }

    /// From `deinit` to the release of what was required.
    pub fn end(self) {
        own_service(self.host, self.component, false);
        let deinit = self.component.deinit.expect("deinit");
        // SAFETY: `init` succeeded, and this is done once.
        let rc = unsafe { deinit() };
        assert_eq!(rc, 0, "deinit");
        for handle in self.required {
            self.host.release(handle);
        }
        assert_eq!(self.services.active(), 0, "is_initialized after deinit");
    }
}

/// What the component provides is known, and no slot of it is empty.
pub fn provides(host: &Host, component: &abi::kw_component, called: &CStr) {
    // SAFETY: the lists end with NULL names; strings are NUL-terminated; the tables are those of the facts.
    unsafe {
        assert_eq!(CStr::from_ptr(component.name), called);
        let mut metadata = component.metadata;
        while !(*metadata).key.is_null() {
            host.check(!(*metadata).value.is_null(), "metadata without a value");
            metadata = metadata.add(1);
        }
        let mut entry = component.provides;
        while !(*entry).name.is_null() {
            let name = CStr::from_ptr((*entry).name).to_str().expect("a name");
            let (service, implementation) = name.split_once('.').expect("service.implementation");
            host.check(
                Ok(implementation) == called.to_str(),
                "an implementation that is not called as the file is",
            );
            let given = |way: Way| matches!(way, Way::Provided | Way::Own);
            let known = versions::service(service).filter(|(_, s)| given(s.way));
            // A registry takes a service that no version of it asks for.
            let row = known.map(|(_, s)| s.rows[host.order.version].slots.unwrap_or_default());
            match row {
                None => host.problem(format!("{service} is provided, and versions.rs has no row")),
                Some(slots) => {
                    let table = (*entry).implementation.cast::<usize>();
                    for (i, slot) in slots.iter().enumerate() {
                        host.check(*table.add(i) != 0, &format!("{service}.{slot} is NULL"));
                    }
                }
            }
            entry = entry.add(1);
        }
    }
}

/// The service for the companion is there, or is not any more.
fn own_service(host: &Host, component: &abi::kw_component, given: bool) {
    let mut entry = component.provides;
    // SAFETY: the list ends with a NULL name; names are NUL-terminated.
    unsafe {
        while !(*entry).name.is_null() {
            let name = CStr::from_ptr((*entry).name).to_str().expect("a name");
            let service = name.split('.').next().and_then(versions::service);
            if service.is_some_and(|(_, s)| s.way == Way::Own) {
                host.give(name, (*entry).implementation, given);
            }
            entry = entry.add(1);
        }
    }
}

/// Fills the placeholders as the loader does: NULL first, then the service.
pub fn require(host: &Host, component: &abi::kw_component) -> Vec<*mut c_void> {
    let mut required = Vec::new();
    let mut entry = component.requires_;
    // SAFETY: the list ends with a NULL name; names are NUL-terminated; placeholders are writable.
    unsafe {
        while !(*entry).name.is_null() {
            let name = CStr::from_ptr((*entry).name).to_str().expect("a name");
            (*entry).placeholder.write(std::ptr::null_mut());
            let handle = host.acquire(name);
            assert!(
                !handle.is_null(),
                "the component requires {name}, which {} does not have: it would not be loaded",
                host.version().name
            );
            (*entry).placeholder.write(handle);
            required.push(handle);
            entry = entry.add(1);
        }
    }
    required
}

/// What InnoDB and accounts do with a keyring.
pub fn exercise(host: &Host, component: &Component) {
    let s = &component.services;
    let innodb = c"INNODBKey-11111111-2222-3333-4444-555555555555-1";
    assert_eq!(s.fetch(innodb, null()), Fetched::Absent);
    assert_eq!(s.generate(innodb.to_bytes(), null(), c"AES", 32), 0);
    let Fetched::Found(key, kind) = s.fetch(innodb, null()) else {
        panic!("the generated key is not there")
    };
    assert_eq!((key.len(), &kind[..]), (32, &b"AES"[..]));
    let user = c"root@localhost".as_ptr();
    assert_eq!(s.store(b"secret", user, c"SECRET", b"text"), 0);
    assert_eq!(
        s.store(b"secret", user, c"SECRET", b"other"),
        1,
        "it exists"
    );
    let found = Fetched::Found(b"text".to_vec(), b"SECRET".to_vec());
    assert_eq!(s.fetch(c"secret", user), found);
    assert_eq!(s.names().map(|n| n.len()), Some(2));
    aes(s, innodb);
    assert_eq!(s.row("Component_status"), "Active");
    assert_eq!(s.row("Keys"), "2");
    assert_eq!(s.remove(c"secret", user), 0);
    assert_eq!(s.fetch(c"secret", user), Fetched::Absent);
    // RELOAD with a configuration that is broken keeps what works.
    let config = host.order.plugin_dir.join("component_keyring_ward.cnf");
    let good = std::fs::read(&config).expect("the configuration");
    std::fs::write(&config, b"{").expect("written");
    assert_eq!(component.load(), 1);
    std::fs::write(&config, good).expect("written");
    assert_eq!((s.active(), component.load(), s.active()), (1, 0, 1));
    assert_eq!(s.fetch(innodb, null()), Fetched::Found(key, kind));
}

fn aes(s: &Services, id: &CStr) {
    let text = b"Quick brown fox";
    let mut room = 0;
    // SAFETY: strings, places and buffers of the stated lengths.
    unsafe {
        let get_size = s.aes.get_size.expect("get_size");
        assert_eq!(get_size(text.len(), c"cbc".as_ptr(), 256, &mut room), 0);
        let (mut sealed, mut opened, mut n, mut m) = (vec![0; room], vec![0; room], 0, 0);
        let (mode, iv) = (c"cbc".as_ptr(), [7u8; 16]);
        let (encrypt, decrypt) = (
            s.aes.encrypt.expect("encrypt"),
            s.aes.decrypt.expect("decrypt"),
        );
        let rc = encrypt(
            id.as_ptr(),
            null(),
            mode,
            256,
            iv.as_ptr(),
            1,
            text.as_ptr(),
            text.len(),
            sealed.as_mut_ptr(),
            room,
            &mut n,
        );
        assert_eq!((rc, n), (0, room));
        let rc = decrypt(
            id.as_ptr(),
            null(),
            mode,
            256,
            iv.as_ptr(),
            1,
            sealed.as_ptr(),
            n,
            opened.as_mut_ptr(),
            room,
            &mut m,
        );
        assert_eq!((rc, &opened[..m]), (0, &text[..]));
    }
}

/// The whole life of a component.
pub fn run(host: &'static Host, library: &Library) {
    let component = Component::begin(host, library);
    assert_eq!(component.services.active(), 0, "is_initialized before load");
    assert_eq!(component.services.fetch(c"k", null()), Fetched::Failed);
    start(host, &component);
    exercise(host, &component);
    crate::sql::run(host, library);
    component.end();
}

/// The first load, and what a server rests on after it.
pub fn start(host: &Host, component: &Component) {
    assert_eq!(component.load(), 0, "load; {:?}", lock(&host.log));
    assert_eq!(component.services.active(), 1, "is_initialized after load");
    let threads = std::fs::read_dir("/proc/self/task").expect("/proc").count();
    assert_eq!(threads, 1, "threads after load: --daemonize forks now");
    let shown = !lock(&host.status).is_empty();
    let can_show = host.table("status_variable_registration").is_some();
    host.check(shown == can_show, "the status variables");
}
