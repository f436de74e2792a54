//! The keyring services of a loaded component, called as a server calls them. Not a test by itself.
//!
//! Owns the buffers of those calls and what must hold for each of them (no byte behind a buffer, no NUL where the
//! server has no room). It must never decide what a keyring answers: that is its users'.
#![allow(unsafe_code, dead_code, missing_docs, clippy::unwrap_used)]

use keyring_ward::mysql::abi;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;

/// The tables that a component provides.
pub struct Services {
    pub reader: &'static abi::kw_reader,
    pub writer: &'static abi::kw_writer,
    pub generator: &'static abi::kw_generator,
    pub keys: &'static abi::kw_keys_iterator,
    pub status: &'static abi::kw_component_status,
    pub rows: &'static abi::kw_metadata_query,
    pub load: &'static abi::kw_load,
    pub aes: &'static abi::kw_aes,
}

/// What a fetch can be: the three outcomes.
#[derive(Debug, PartialEq)]
pub enum Fetched {
    Found(Vec<u8>, Vec<u8>),
    Absent,
    Failed,
}

/// A string as C has it.
pub fn c(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap()
}

impl Services {
    /// The tables of a component.
    ///
    /// # Safety
    /// The component is loaded, stays so, and its tables are those of `abi`.
    pub unsafe fn of(component: &abi::kw_component) -> Services {
        // SAFETY: by the caller's contract; the list ends with a NULL name.
        unsafe {
            Services {
                reader: &*provided(component, "keyring_reader_with_status").cast(),
                writer: &*provided(component, "keyring_writer").cast(),
                generator: &*provided(component, "keyring_generator").cast(),
                keys: &*provided(component, "keyring_keys_metadata_iterator").cast(),
                status: &*provided(component, "keyring_component_status").cast(),
                rows: &*provided(component, "keyring_component_metadata_query").cast(),
                load: &*provided(component, "keyring_load").cast(),
                aes: &*provided(component, "keyring_aes").cast(),
            }
        }
    }

    pub fn fetch(&self, id: &CStr, auth: *const c_char) -> Fetched {
        let mut handle: abi::kw_handle = 8 as *mut _;
        // SAFETY: valid strings and places, as the server passes them.
        unsafe {
            if self.reader.init.unwrap()(id.as_ptr(), auth, &mut handle) != 0 {
                assert!(handle.is_null(), "a failed init leaves no handle");
                return Fetched::Failed;
            }
            if handle.is_null() {
                return Fetched::Absent;
            }
            let (mut data_size, mut type_size) = (0, 0);
            assert_eq!(
                self.reader.fetch_length.unwrap()(handle, &mut data_size, &mut type_size),
                0
            );
            // The server's buffers are exactly as long; what lies behind must stay as it is.
            let mut data = vec![0xEE; data_size + 1];
            let mut kind = vec![0xEEu8; type_size + 1];
            let (mut d, mut t) = (0, 0);
            let fetch = self.reader.fetch.unwrap();
            if data_size > 0 {
                assert_eq!(
                    fetch(
                        handle,
                        data.as_mut_ptr(),
                        data_size - 1,
                        &mut d,
                        kind.as_mut_ptr().cast(),
                        type_size,
                        &mut t
                    ),
                    1
                );
                assert!(
                    data.iter().all(|b| *b == 0xEE),
                    "too small a buffer is not touched"
                );
            }
            assert_eq!(
                fetch(
                    handle,
                    data.as_mut_ptr(),
                    data_size,
                    &mut d,
                    kind.as_mut_ptr().cast(),
                    type_size,
                    &mut t
                ),
                0
            );
            assert_eq!((d, t), (data_size, type_size));
            assert_eq!(
                (data.pop(), kind.pop()),
                (Some(0xEE), Some(0xEE)),
                "no NUL behind"
            );
            assert_eq!(self.reader.deinit.unwrap()(handle), 0);
            Fetched::Found(data, kind)
        }
    }

    pub fn generate(&self, id: &[u8], auth: *const c_char, kind: &CStr, len: usize) -> c_int {
        // SAFETY: valid strings.
        unsafe { self.generator.generate.unwrap()(c(id).as_ptr(), auth, kind.as_ptr(), len) }
    }

    pub fn store(&self, id: &[u8], auth: *const c_char, kind: &CStr, data: &[u8]) -> c_int {
        // SAFETY: valid strings and data.
        unsafe {
            self.writer.store.unwrap()(
                c(id).as_ptr(),
                auth,
                data.as_ptr(),
                data.len(),
                kind.as_ptr(),
            )
        }
    }

    pub fn remove(&self, id: &CStr, auth: *const c_char) -> c_int {
        // SAFETY: valid strings.
        unsafe { self.writer.remove.unwrap()(id.as_ptr(), auth) }
    }

    pub fn load(&self, dir: &std::path::Path) -> c_int {
        let dir = c(format!("{}/", dir.display()).as_bytes());
        // SAFETY: valid strings.
        unsafe { self.load.load.unwrap()(dir.as_ptr(), dir.as_ptr()) }
    }

    pub fn active(&self) -> c_int {
        // SAFETY: no arguments.
        unsafe { self.status.is_initialized.unwrap()() }
    }

    pub fn names(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut names = self.names_as_listed()?;
        names.sort();
        Some(names)
    }

    pub fn names_as_listed(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut names = Vec::new();
        let mut it: abi::kw_handle = null_mut();
        // SAFETY: valid places; buffers as long as is said.
        unsafe {
            if self.keys.init.unwrap()(&mut it) != 0 {
                return None;
            }
            while self.keys.is_valid.unwrap()(it) == 1 {
                let (mut a, mut b) = (0, 0);
                assert_eq!(self.keys.get_length.unwrap()(it, &mut a, &mut b), 0);
                let (mut id, mut auth) = (vec![0u8; a + 1], vec![0u8; b + 1]);
                let get = self.keys.get.unwrap();
                assert_eq!(
                    get(
                        it,
                        id.as_mut_ptr().cast(),
                        a,
                        auth.as_mut_ptr().cast(),
                        b + 1
                    ),
                    1,
                    "no room for NUL"
                );
                assert_eq!(
                    get(
                        it,
                        id.as_mut_ptr().cast(),
                        a + 1,
                        auth.as_mut_ptr().cast(),
                        b + 1
                    ),
                    0
                );
                assert_eq!((id.pop(), auth.pop()), (Some(0), Some(0)));
                names.push((id, auth));
                assert_eq!(self.keys.next.unwrap()(it), 0);
            }
            assert_eq!(self.keys.next.unwrap()(it), 1, "past the end");
            let mut n = 0;
            assert_eq!(
                self.keys.get_length.unwrap()(it, &mut n, &mut n),
                1,
                "past the end"
            );
            assert_eq!(self.keys.deinit.unwrap()(it), 0);
        }
        Some(names)
    }

    pub fn row(&self, name: &str) -> String {
        let rows = self.all_rows();
        assert_eq!(rows[0].0, "Component_name");
        rows.into_iter().find(|r| r.0 == name).unwrap().1
    }

    pub fn all_rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut it: abi::kw_handle = null_mut();
        // SAFETY: valid places; buffers as long as is said.
        unsafe {
            assert_eq!(self.rows.init.unwrap()(&mut it), 0);
            while self.rows.is_valid.unwrap()(it) == 1 {
                let (mut a, mut b) = (0, 0);
                assert_eq!(self.rows.get_length.unwrap()(it, &mut a, &mut b), 0);
                let (mut key, mut value) = (vec![0u8; a], vec![0u8; b]);
                assert_eq!(
                    self.rows.get.unwrap()(
                        it,
                        key.as_mut_ptr().cast(),
                        a,
                        value.as_mut_ptr().cast(),
                        b
                    ),
                    0
                );
                let text = |v: Vec<u8>| {
                    CStr::from_bytes_with_nul(&v)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_string()
                };
                assert!(b <= 1024 * 4 + 1);
                rows.push((text(key), text(value)));
                assert_eq!(self.rows.next.unwrap()(it), 0);
            }
            assert_eq!(self.rows.next.unwrap()(it), 1);
            assert_eq!(self.rows.deinit.unwrap()(it), 0);
        }
        rows
    }
}

/// What a component provides for a service.
///
/// # Safety
/// The component is loaded, and its list of services ends with a NULL name.
unsafe fn provided(component: &abi::kw_component, service: &str) -> *const c_void {
    let full = format!("{service}.component_keyring_ward");
    let mut p = component.provides;
    loop {
        // SAFETY: by the caller's contract, and the end was not reached yet.
        let entry = unsafe { &*p };
        assert!(!entry.name.is_null(), "{full} is not provided");
        // SAFETY: names are NUL-terminated.
        if unsafe { CStr::from_ptr(entry.name) }.to_bytes() == full.as_bytes() {
            return entry.implementation;
        }
        // SAFETY: the list goes on, for this was not its end.
        p = unsafe { p.add(1) };
    }
}
