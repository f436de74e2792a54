//! The C interface as a server uses it: through `list_components()` and the service tables, with
//! a registry that has nothing else to offer (as in the migration tool).
//!
//! One test, since the library has one state per process; its sections build on each other.
#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use common::Place;
use common::services::{Fetched, Services, c};
use keyring_ward::mysql::abi;
use keyring_ward::mysql::component::list_components;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

unsafe extern "C" fn nothing(_: *const c_char, out: *mut abi::kw_handle) -> c_int {
    // SAFETY: the library passes a writable handle.
    unsafe { *out = null_mut() };
    1
}
unsafe extern "C" fn nothing_related(
    _: *const c_char,
    _: abi::kw_handle,
    out: *mut abi::kw_handle,
) -> c_int {
    // SAFETY: the library passes a writable handle.
    unsafe { *out = null_mut() };
    1
}
unsafe extern "C" fn release(_: abi::kw_handle) -> c_int {
    0
}

fn configure(dir: &std::path::Path, place: &Place) {
    std::fs::write(
        dir.join("component_keyring_ward.cnf"),
        format!(
            r#"{{"backend":"file","path":"{}","file":{{"key_file":"{}"}}}}"#,
            place.keyring_file().display(),
            place.key_file().display()
        ),
    )
    .unwrap();
}

#[test]
fn the_component_as_a_server_uses_it() {
    // SAFETY: the tables are used as the server's loader uses them.
    let (component, s) = unsafe {
        let component = &*list_components();
        assert_eq!(CStr::from_ptr(component.name), c"component_keyring_ward");
        let requires = component.requires_;
        assert_eq!(CStr::from_ptr((*requires).name), c"registry");
        assert!(
            (*requires.add(1)).name.is_null(),
            "nothing but the registry is required"
        );
        let registry = Box::leak(Box::new(abi::kw_registry {
            acquire: Some(nothing),
            acquire_related: Some(nothing_related),
            release: Some(release),
        }));
        *(*requires).placeholder = (registry as *mut abi::kw_registry).cast::<c_void>();
        let services = Services::of(component);
        assert_eq!(component.init.unwrap()(), 0);
        (component, services)
    };

    disabled(&s);
    let place = Place::new();
    let dir = place.data_dir();
    std::fs::write(dir.join("component_keyring_ward.cnf"), b"{").unwrap();
    assert_eq!(s.load(&dir), 1);
    disabled(&s);
    assert!(
        s.row("Last_error").starts_with("KW-0005 Config: "),
        "{}",
        s.row("Last_error")
    );

    configure(&dir, &place);
    assert_eq!(s.load(&dir), 0);
    assert_eq!(
        (s.active(), s.row("Component_status").as_str()),
        (1, "Active")
    );
    keys(&s);
    limits(&s);
    aes(&s);
    hostile(&s);

    // A failed reload keeps what works; the reason is in the status rows.
    let before = s.names().unwrap();
    std::fs::write(dir.join("component_keyring_ward.cnf"), b"{}").unwrap();
    assert_eq!(s.load(&dir), 1);
    assert_eq!((s.active(), s.names().unwrap()), (1, before.clone()));
    assert!(s.row("Last_error").contains("nothing is configured"));
    configure(&dir, &place);
    assert_eq!(s.load(&dir), 0);
    assert_eq!(
        (s.row("Last_error").as_str(), s.names().unwrap()),
        ("None", before)
    );

    writers_and_reloads(&s, &dir);
    threads(&s, &dir);

    // Handles stay valid over a reload and an unload.
    let mut handle: abi::kw_handle = null_mut();
    // SAFETY: valid places; the handle is given back once.
    unsafe {
        assert_eq!(
            s.reader.init.unwrap()(c"k".as_ptr(), null(), &mut handle),
            0
        );
        assert_eq!(s.load(&dir), 0);
        assert_eq!(component.deinit.unwrap()(), 0);
        let (mut a, mut b) = (0, 0);
        assert_eq!(s.reader.fetch_length.unwrap()(handle, &mut a, &mut b), 0);
        assert_eq!((a, b), (32, 3));
        assert_eq!(s.reader.deinit.unwrap()(handle), 0);
    }
    disabled(&s);
}

/// What each service answers while there is no keyring: failure, never absence.
fn disabled(s: &Services) {
    assert_eq!(s.active(), 0);
    assert_eq!(s.fetch(c"k", null()), Fetched::Failed);
    assert_eq!(s.generate(b"k", null(), c"AES", 32), 1);
    assert_eq!(s.store(b"k", null(), c"AES", b"x"), 1);
    assert_eq!(s.remove(c"k", null()), 1);
    assert_eq!(s.names(), None);
    assert_eq!(s.row("Component_status"), "Disabled");
    assert_eq!(s.row("Keys"), "None");
}

fn keys(s: &Services) {
    assert_eq!(s.fetch(c"k", null()), Fetched::Absent);
    assert_eq!(s.generate(b"k", null(), c"AES", 32), 0);
    let Fetched::Found(bytes, kind) = s.fetch(c"k", null()) else {
        panic!("not found")
    };
    assert_eq!((bytes.len(), &kind[..]), (32, &b"AES"[..]));
    // NULL and "" are the same owner; another owner is another key.
    assert_eq!(
        s.fetch(c"k", c"".as_ptr()),
        Fetched::Found(bytes.clone(), kind.clone())
    );
    assert_eq!(s.fetch(c"k", c"u@h".as_ptr()), Fetched::Absent);
    assert_eq!(s.store(b"k", c"u@h".as_ptr(), c"secret", b"text"), 0);
    assert_eq!(
        s.fetch(c"k", c"u@h".as_ptr()),
        Fetched::Found(b"text".to_vec(), b"secret".to_vec())
    );
    // Twice is a failure, and changes nothing.
    assert_eq!(s.generate(b"k", null(), c"AES", 16), 1);
    assert_eq!(s.store(b"k", null(), c"AES", b"x"), 1);
    assert_eq!(s.fetch(c"k", null()), Fetched::Found(bytes, kind));
    assert_eq!(
        s.names().unwrap(),
        [
            (b"k".to_vec(), b"".to_vec()),
            (b"k".to_vec(), b"u@h".to_vec())
        ]
    );
    assert_eq!(s.remove(c"k", c"u@h".as_ptr()), 0);
    assert_eq!(s.remove(c"k", c"u@h".as_ptr()), 1, "a missing key");
    assert_eq!(s.row("Keys"), "1");
    assert_eq!(s.row("Read_only"), "No");
    assert_eq!(s.row("Backend"), "file");
}

fn limits(s: &Services) {
    let (n255, n256) = (vec![0xFFu8; 255], vec![b'n'; 256]);
    let longest = "🔑".repeat(255).into_bytes();
    let more = "é".repeat(256).into_bytes();
    assert_eq!(s.generate(&longest, c(&longest).as_ptr(), c"AES", 32), 0);
    assert!(matches!(
        s.fetch(&c(&longest), c(&longest).as_ptr()),
        Fetched::Found(..)
    ));
    for (name, owner) in [(&more, &n255), (&n255, &more)] {
        assert_eq!(s.generate(name, c(owner).as_ptr(), c"AES", 32), 1);
        assert_eq!(s.fetch(&c(name), c(owner).as_ptr()), Fetched::Absent);
    }
    // It does not fit into the buffers of the server's list, so it comes behind all others.
    for i in 0..40 {
        let name = format!("short{i}").into_bytes();
        assert_eq!(s.generate(&name, null(), c"AES", 16), 0);
    }
    let names = s.names_as_listed().unwrap();
    assert_eq!(names.last(), Some(&(longest.clone(), longest.clone())));
    for i in 0..40 {
        assert_eq!(s.remove(&c(format!("short{i}").as_bytes()), null()), 0);
    }
    assert_eq!(s.remove(&c(&longest), c(&longest).as_ptr()), 0);
    assert_eq!(s.generate(b"", null(), c"AES", 32), 1);
    assert_eq!(s.fetch(c"", null()), Fetched::Absent);
    assert_eq!(s.generate(&n256, null(), c"AES", 32), 1);
    assert_eq!(s.fetch(&c(&n256), null()), Fetched::Absent);
    assert_eq!(s.generate(b"x", c(&n256).as_ptr(), c"AES", 32), 1);
    assert_eq!(s.generate(&n255, c(&n255).as_ptr(), c"AES", 32), 0);
    assert!(matches!(
        s.fetch(&c(&n255), c(&n255).as_ptr()),
        Fetched::Found(..)
    ));
    assert_eq!(s.remove(&c(&n255), c(&n255).as_ptr()), 0);
    for len in [0, 16_385, usize::MAX] {
        assert_eq!(s.generate(b"x", null(), c"AES", len), 1, "{len}");
    }
    assert_eq!(s.store(b"x", null(), c"AES", &[1; 16_385]), 1);
    for kind in [c"", c"AES256", c"aes ", c"X"] {
        assert_eq!(s.generate(b"x", null(), kind, 32), 1, "{kind:?}");
        assert_eq!(s.store(b"x", null(), kind, b"x"), 1, "{kind:?}");
    }
    assert_eq!(s.fetch(c"x", null()), Fetched::Absent);
    assert_eq!(s.store(b"big", null(), c"SECRET", &[7; 16_384]), 0);
    assert_eq!(
        s.fetch(c"big", null()),
        Fetched::Found(vec![7; 16_384], b"SECRET".to_vec())
    );
    assert_eq!(s.remove(c"big", null()), 0);
    // Longer than any string that is looked at.
    assert_eq!(s.generate(&vec![b'l'; 100_000], null(), c"AES", 32), 1);
}

fn aes(s: &Services) {
    assert_eq!(s.store(b"text", null(), c"SECRET", b"x"), 0);
    let text = b"Quick brown fox jumped over the lazy dog.";
    let call = |encrypt: bool, id: &CStr, mode: &CStr, bits, input: &[u8], capacity: usize| {
        let mut out = vec![0u8; capacity];
        let mut len = 0;
        let f = if encrypt {
            s.aes.encrypt
        } else {
            s.aes.decrypt
        }
        .unwrap();
        // SAFETY: valid strings and buffers of the stated lengths.
        let rc = unsafe {
            f(
                id.as_ptr(),
                null(),
                mode.as_ptr(),
                bits,
                [7u8; 16].as_ptr(),
                1,
                input.as_ptr(),
                input.len(),
                out.as_mut_ptr(),
                capacity,
                &mut len,
            )
        };
        out.truncate(len);
        (rc == 0).then_some(out)
    };
    for (mode, size) in [
        (c"cbc", 48),
        (c"cfb1", 41),
        (c"cfb8", 41),
        (c"cfb128", 41),
        (c"ofb", 41),
    ] {
        let mut room = 0;
        // SAFETY: a valid string and place.
        let rc = unsafe { s.aes.get_size.unwrap()(text.len(), mode.as_ptr(), 256, &mut room) };
        assert_eq!(rc, 0);
        assert_eq!(room, size, "{mode:?}");
        let sealed = call(true, c"k", mode, 256, text, room).unwrap();
        assert_eq!(call(false, c"k", mode, 256, &sealed, room).unwrap(), text);
        assert!(
            call(true, c"k", mode, 256, text, room - 1).is_none(),
            "too small a buffer"
        );
    }
    assert!(call(true, c"absent", c"cbc", 256, text, 48).is_none());
    assert!(
        call(true, c"text", c"cbc", 256, text, 48).is_none(),
        "not of type AES"
    );
    assert!(call(true, c"k", c"ecb", 256, text, 48).is_none());
    assert!(call(true, c"k", c"cbc", 128, text, 48).is_none());
    assert!(
        call(false, c"k", c"cbc", 256, text, 48).is_none(),
        "not whole blocks"
    );
    assert_eq!(s.remove(c"text", null()), 0);
}

/// NULL wherever a pointer goes: a failure each time, never a crash.
fn hostile(s: &Services) {
    let n = null_mut();
    let mut size = 0;
    // SAFETY: NULL is what is tested.
    unsafe {
        assert_eq!(s.reader.init.unwrap()(null(), null(), null_mut()), 1);
        let mut handle: abi::kw_handle = null_mut();
        assert_eq!(
            s.reader.init.unwrap()(null(), null(), &mut handle),
            0,
            "no name: no such key"
        );
        assert!(handle.is_null());
        assert_eq!(s.reader.deinit.unwrap()(n), 0);
        assert_eq!(s.reader.fetch_length.unwrap()(n, &mut size, &mut size), 1);
        assert_eq!(
            s.reader.fetch.unwrap()(n, null_mut(), 0, null_mut(), null_mut(), 0, null_mut()),
            1
        );
        assert_eq!(
            s.writer.store.unwrap()(null(), null(), null(), 5, null()),
            1
        );
        assert_eq!(
            s.writer.store.unwrap()(c"x".as_ptr(), null(), null(), 5, c"AES".as_ptr()),
            1
        );
        assert_eq!(s.writer.remove.unwrap()(null(), null()), 1);
        assert_eq!(s.generator.generate.unwrap()(null(), null(), null(), 32), 1);
        assert_eq!(s.keys.init.unwrap()(null_mut()), 1);
        assert_eq!(s.keys.is_valid.unwrap()(n), 0);
        assert_eq!(s.keys.next.unwrap()(n), 1);
        assert_eq!(s.keys.get.unwrap()(n, null_mut(), 9, null_mut(), 9), 1);
        assert_eq!(s.keys.deinit.unwrap()(n), 0);
        assert_eq!(s.rows.init.unwrap()(null_mut()), 1);
        assert_eq!(s.rows.is_valid.unwrap()(n), 0);
        assert_eq!(s.rows.get.unwrap()(n, null_mut(), 9, null_mut(), 9), 1);
        assert_eq!(s.rows.deinit.unwrap()(n), 0);
        assert_eq!(s.aes.get_size.unwrap()(9, null(), 256, &mut size), 1);
        assert_eq!(
            s.aes.get_size.unwrap()(usize::MAX, c"cbc".as_ptr(), 256, &mut size),
            1
        );
        assert_eq!(
            s.aes.encrypt.unwrap()(
                c"k".as_ptr(),
                null(),
                c"cbc".as_ptr(),
                256,
                null(),
                1,
                null(),
                9,
                null_mut(),
                9,
                &mut size
            ),
            1
        );
    }
}

/// Writers that meet reloads: each change is done, on the old keyring or on the new one (S7).
fn writers_and_reloads(s: &Services, dir: &std::path::Path) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    const WRITERS: usize = 4;
    let (working, reloads) = (AtomicUsize::new(WRITERS), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (working, reloads) = (&working, &reloads);
            scope.spawn(move || {
                let mut failed = 0;
                // Until enough reloads came in between.
                for i in 0.. {
                    let name = format!("w{writer}-{i}");
                    failed += s.generate(name.as_bytes(), null(), c"AES", 16);
                    failed += s.remove(&c(name.as_bytes()), null());
                    if i >= 50 && reloads.load(Ordering::Relaxed) >= 50 {
                        break;
                    }
                }
                working.fetch_sub(1, Ordering::Relaxed);
                assert_eq!(failed, 0, "changes that failed in a reload");
            });
        }
        let mut failed = 0;
        while working.load(Ordering::Relaxed) > 0 {
            failed += s.load(dir);
            reloads.fetch_add(1, Ordering::Relaxed);
        }
        assert_eq!(failed, 0, "reloads");
    });
}

/// Readers, a writer and reloads at once.
fn threads(s: &Services, dir: &std::path::Path) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stopped() {
                    assert!(matches!(s.fetch(c"k", null()), Fetched::Found(..)));
                    assert!(!s.names().unwrap().is_empty());
                }
            });
        }
        for i in 0..200 {
            let name = format!("t{i}");
            assert_eq!(s.generate(name.as_bytes(), null(), c"AES", 32), 0);
            if i % 20 == 0 {
                assert_eq!(s.load(dir), 0);
            }
            if i % 2 == 0 {
                assert_eq!(s.remove(&c(name.as_bytes()), null()), 0);
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(s.names().unwrap().len(), 101);
}
