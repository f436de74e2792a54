//! The C interface as a server drives it, through `list_components()` and a registry that has nothing
//! to offer: sequences of calls with odd names, lengths, buffers and NULLs, compared with a map.
//!
//! What the server's contract rules out (a length beyond its buffer, a string without NUL, a handle
//! used twice) is not done: it would be the caller's fault. Everything else is. Oracle: the map, and
//! bytes around each buffer that must stay as they are.
#![no_main]

use arbitrary::Arbitrary;
use keyring_ward::mysql::abi;
use keyring_ward::mysql::component::list_components;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};
use std::sync::{LazyLock, Mutex};

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

struct Services {
    reader: &'static abi::kw_reader,
    writer: &'static abi::kw_writer,
    generator: &'static abi::kw_generator,
    keys: &'static abi::kw_keys_iterator,
    status: &'static abi::kw_component_status,
    rows: &'static abi::kw_metadata_query,
    load: &'static abi::kw_load,
    aes: &'static abi::kw_aes,
}

struct Fixture {
    services: Services,
    folder: PathBuf,
    model: BTreeMap<Id, (Vec<u8>, Vec<u8>)>,
}
type Id = (Vec<u8>, Vec<u8>);

static FIXTURE: LazyLock<Mutex<Fixture>> = LazyLock::new(|| {
    let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let folder = PathBuf::from(format!("{base}/kw-fuzz-c-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let kek = folder.join("kek");
    std::fs::write(&kek, [7; 32]).expect("the key file");
    std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).expect("its mode");
    // SAFETY: the tables are used as the server's loader uses them.
    let services = unsafe {
        let component = &*list_components();
        let registry = Box::leak(Box::new(abi::kw_registry {
            acquire: Some(nothing),
            acquire_related: Some(nothing_related),
            release: Some(release),
        }));
        *(*component.requires_).placeholder = (registry as *mut abi::kw_registry).cast::<c_void>();
        let find = |service: &str| {
            let full = format!("{service}.component_keyring_ward");
            let mut p = component.provides;
            while CStr::from_ptr((*p).name).to_bytes() != full.as_bytes() {
                p = p.add(1);
            }
            (*p).implementation
        };
        assert_eq!(component.init.expect("init")(), 0);
        Services {
            reader: &*find("keyring_reader_with_status").cast(),
            writer: &*find("keyring_writer").cast(),
            generator: &*find("keyring_generator").cast(),
            keys: &*find("keyring_keys_metadata_iterator").cast(),
            status: &*find("keyring_component_status").cast(),
            rows: &*find("keyring_component_metadata_query").cast(),
            load: &*find("keyring_load").cast(),
            aes: &*find("keyring_aes").cast(),
        }
    };
    let fixture = Fixture { services, folder, model: BTreeMap::new() };
    fixture.configure(true);
    assert_eq!(fixture.load(), 0, "the first load");
    Mutex::new(fixture)
});

#[derive(Arbitrary, Debug)]
enum Name {
    Null,
    Small(u8),
    Bytes(Vec<u8>),
    Long { length: u16, fill: u8 },
}

impl Name {
    /// The string as C passes it: up to the first NUL.
    fn c(&self) -> Option<CString> {
        let mut bytes = match self {
            Name::Null => return None,
            Name::Small(n) => vec![b'a' + n % 8],
            Name::Bytes(b) => b.clone(),
            Name::Long { length, fill } => vec![*fill; usize::from(*length) % 5000],
        };
        bytes.truncate(bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len()));
        CString::new(bytes).ok()
    }
}

fn pointer(s: &Option<CString>) -> *const c_char {
    s.as_ref().map_or(null(), |s| s.as_ptr())
}
fn bytes(s: &Option<CString>) -> Vec<u8> {
    s.as_ref().map(|s| s.to_bytes().to_vec()).unwrap_or_default()
}

#[derive(Arbitrary, Debug)]
enum Call {
    Fetch { id: Name, auth: Name, data_room: i8, type_room: i8, nulls: u8 },
    Store { id: Name, auth: Name, kind: Name, data: Vec<u8>, long: bool, null_data: bool },
    Generate { id: Name, auth: Name, kind: Name, size: u32 },
    Remove { id: Name, auth: Name },
    List { room: i8, nulls: u8 },
    Rows { room: i8 },
    Reload { good: bool },
    Aes { id: Name, auth: Name, mode: Name, bits: u16, iv: Option<[u8; 16]>, padding: i8, input: Vec<u8>, room: u16, encrypt: bool },
    Status,
}

/// A buffer of exactly `length` bytes with guards around it.
struct Guarded(Vec<u8>);
impl Guarded {
    fn new(length: usize) -> Guarded {
        Guarded(vec![0xEE; length + 16])
    }
    fn at(&mut self) -> *mut u8 {
        self.0[8..].as_mut_ptr()
    }
    fn inner(&self) -> &[u8] {
        &self.0[8..self.0.len() - 8]
    }
    fn check(&self) {
        let n = self.0.len();
        assert!(self.0[..8].iter().chain(&self.0[n - 8..]).all(|b| *b == 0xEE), "a guard");
    }
}

/// A size a little below or above the true one.
fn about(size: usize, by: i8) -> usize {
    size.saturating_add_signed(isize::from(by))
}

fn valid_kind(kind: &[u8]) -> bool {
    [&b"AES"[..], b"RSA", b"DSA", b"SECRET"].iter().any(|k| k.eq_ignore_ascii_case(kind))
}

impl Fixture {
    fn configure(&self, good: bool) {
        let f = self.folder.display();
        let text = if good {
            format!(r#"{{"backend":"file","path":"{f}/k.ward","file":{{"key_file":"{f}/kek"}}}}"#)
        } else {
            "{".to_string()
        };
        std::fs::write(self.folder.join("component_keyring_ward.cnf"), text).expect("written");
    }

    fn load(&self) -> c_int {
        let dir = CString::new(format!("{}/", self.folder.display())).expect("no NUL");
        // SAFETY: valid strings.
        unsafe { self.services.load.load.expect("load")(dir.as_ptr(), dir.as_ptr()) }
    }

    fn valid_id(id: &Id) -> bool {
        let fits = |name: &[u8]| match std::str::from_utf8(name) {
            Ok(text) => text.chars().count() <= 255,
            Err(_) => name.len() <= 255,
        };
        !id.0.is_empty() && fits(&id.0) && fits(&id.1)
    }

    fn call(&mut self, call: Call) {
        let s = &self.services;
        // SAFETY (the whole match): every pointer is NULL or valid for the length that is passed;
        // every handle is used once after the other and given back once.
        match call {
            Call::Fetch { id, auth, data_room, type_room, nulls } => unsafe {
                let (id, auth) = (id.c(), auth.c());
                let mut handle: abi::kw_handle = 8 as *mut _;
                let out = if nulls & 1 != 0 { null_mut() } else { &raw mut handle };
                let rc = s.reader.init.expect("f")(pointer(&id), pointer(&auth), out);
                if out.is_null() {
                    assert_eq!(rc, 1);
                    return;
                }
                assert_eq!(rc, 0, "the keyring serves");
                let known = self.model.get(&(bytes(&id), bytes(&auth)));
                assert_eq!(handle.is_null(), known.is_none());
                let Some((material, kind)) = known else { return };
                let (mut a, mut b) = (0, 0);
                let lengths = s.reader.fetch_length.expect("f");
                assert_eq!(lengths(handle, null_mut(), &mut b), 1);
                assert_eq!(lengths(handle, &mut a, &mut b), 0);
                assert_eq!((a, b), (material.len(), kind.len()));
                let (da, ta) = (about(a, data_room), about(b, type_room));
                let (mut data, mut text) = (Guarded::new(da), Guarded::new(ta));
                let (mut d, mut t) = (0, 0);
                let rc = s.reader.fetch.expect("f")(
                    handle,
                    if nulls & 2 != 0 { null_mut() } else { data.at() },
                    da,
                    &mut d,
                    if nulls & 4 != 0 { null_mut() } else { text.at().cast() },
                    ta,
                    if nulls & 8 != 0 { null_mut() } else { &raw mut t },
                );
                data.check();
                text.check();
                assert_eq!(rc == 0, nulls & 14 == 0 && da >= a && ta >= b);
                if rc == 0 {
                    assert_eq!((&data.inner()[..d], &text.inner()[..t]), (&material[..], &kind[..]));
                }
                assert_eq!(s.reader.deinit.expect("f")(handle), 0);
            },
            Call::Store { id, auth, kind, mut data, long, null_data } => unsafe {
                if long {
                    data.resize(data.len() + 16_380, 1);
                }
                let (id, auth, kind) = (id.c(), auth.c(), kind.c());
                let at = if null_data { null() } else { data.as_ptr() };
                let rc = s.writer.store.expect("f")(pointer(&id), pointer(&auth), at, data.len(), pointer(&kind));
                let key = (bytes(&id), bytes(&auth));
                let good = Self::valid_id(&key)
                    && valid_kind(&bytes(&kind))
                    && data.len() <= 16_384
                    && (!null_data || data.is_empty())
                    && !self.model.contains_key(&key);
                assert_eq!(rc == 0, good, "{key:?}");
                if good {
                    self.model.insert(key, (data, bytes(&kind)));
                }
            },
            Call::Generate { id, auth, kind, size } => unsafe {
                let (id, auth, kind) = (id.c(), auth.c(), kind.c());
                let size = if size & 1 == 0 { size as usize % 20_000 } else { size as usize };
                let rc = s.generator.generate.expect("f")(pointer(&id), pointer(&auth), pointer(&kind), size);
                let key = (bytes(&id), bytes(&auth));
                let good = Self::valid_id(&key)
                    && valid_kind(&bytes(&kind))
                    && (1..=16_384).contains(&size)
                    && !self.model.contains_key(&key);
                assert_eq!(rc == 0, good, "{key:?} {size}");
                if good {
                    let mut handle: abi::kw_handle = null_mut();
                    assert_eq!(s.reader.init.expect("f")(pointer(&id), pointer(&auth), &mut handle), 0);
                    let (mut data, mut text) = (vec![0u8; size], vec![0u8; 16]);
                    let (mut d, mut t) = (0, 0);
                    let fetch = s.reader.fetch.expect("f");
                    assert_eq!(fetch(handle, data.as_mut_ptr(), size, &mut d, text.as_mut_ptr().cast(), 16, &mut t), 0);
                    assert_eq!(d, size);
                    assert!(size < 16 || data.iter().any(|b| *b != 0), "random bytes");
                    assert_eq!(s.reader.deinit.expect("f")(handle), 0);
                    self.model.insert(key, (data, bytes(&kind)));
                }
            },
            Call::Remove { id, auth } => unsafe {
                let (id, auth) = (id.c(), auth.c());
                let rc = s.writer.remove.expect("f")(pointer(&id), pointer(&auth));
                let known = self.model.remove(&(bytes(&id), bytes(&auth)));
                assert_eq!(rc == 0, known.is_some());
            },
            Call::List { room, nulls } => unsafe {
                let mut it: abi::kw_handle = null_mut();
                assert_eq!(s.keys.init.expect("f")(null_mut()), 1);
                assert_eq!(s.keys.init.expect("f")(&mut it), 0);
                let mut names = Vec::new();
                while s.keys.is_valid.expect("f")(it) == 1 {
                    let (mut a, mut b) = (0, 0);
                    assert_eq!(s.keys.get_length.expect("f")(it, &mut a, &mut b), 0);
                    let (ra, rb) = (about(a + 1, room), b + 1);
                    let (mut id, mut auth) = (Guarded::new(ra), Guarded::new(rb));
                    let at = if nulls & 1 != 0 { null_mut() } else { id.at().cast() };
                    let rc = s.keys.get.expect("f")(it, at, ra, auth.at().cast(), rb);
                    id.check();
                    auth.check();
                    assert_eq!(rc == 0, ra > a && nulls & 1 == 0);
                    if rc == 0 {
                        names.push((id.inner()[..a].to_vec(), auth.inner()[..b].to_vec()));
                    }
                    assert_eq!(s.keys.next.expect("f")(it), 0);
                }
                assert_eq!(s.keys.next.expect("f")(it), 1);
                if nulls & 1 == 0 && room >= 0 {
                    names.sort();
                    assert!(names.iter().eq(self.model.keys()), "the list is the map");
                }
                assert_eq!(s.keys.deinit.expect("f")(it), 0);
                assert_eq!(s.keys.is_valid.expect("f")(null_mut()), 0);
            },
            Call::Rows { room } => unsafe {
                let mut it: abi::kw_handle = null_mut();
                assert_eq!(s.rows.init.expect("f")(&mut it), 0);
                while s.rows.is_valid.expect("f")(it) == 1 {
                    let (mut a, mut b) = (0, 0);
                    assert_eq!(s.rows.get_length.expect("f")(it, &mut a, &mut b), 0);
                    let (ra, rb) = (about(a, room), b);
                    let (mut key, mut value) = (Guarded::new(ra), Guarded::new(rb));
                    let rc = s.rows.get.expect("f")(it, key.at().cast(), ra, value.at().cast(), rb);
                    key.check();
                    value.check();
                    assert_eq!(rc == 0, ra >= a);
                    assert_eq!(s.rows.next.expect("f")(it), 0);
                }
                assert_eq!(s.rows.deinit.expect("f")(it), 0);
            },
            Call::Reload { good } => {
                self.configure(good);
                assert_eq!(self.load() == 0, good);
                self.configure(true);
            }
            Call::Aes { id, auth, mode, bits, iv, padding, input, room, encrypt } => unsafe {
                let (id, auth, mode) = (id.c(), auth.c(), mode.c());
                let mode = match bits % 8 {
                    0 => Some(c"cbc".to_owned()),
                    1 => Some(c"ecb".to_owned()),
                    2 => Some(c"cfb1".to_owned()),
                    3 => Some(c"cfb8".to_owned()),
                    4 => Some(c"cfb128".to_owned()),
                    5 => Some(c"ofb".to_owned()),
                    _ => mode,
                };
                let bits = [128, 192, 256, usize::from(bits)][usize::from(bits >> 8) % 4];
                let mut size = 0;
                let sized = s.aes.get_size.expect("f")(input.len(), pointer(&mode), bits, &mut size);
                let room = if room % 2 == 0 { size } else { usize::from(room) };
                let mut out = Guarded::new(room);
                let f = if encrypt { s.aes.encrypt } else { s.aes.decrypt }.expect("f");
                let mut length = 0;
                let rc = f(
                    pointer(&id),
                    pointer(&auth),
                    pointer(&mode),
                    bits,
                    iv.as_ref().map_or(null(), |iv| iv.as_ptr()),
                    c_int::from(padding),
                    input.as_ptr(),
                    input.len(),
                    out.at(),
                    room,
                    &mut length,
                );
                out.check();
                if rc == 0 {
                    assert!(sized == 0 && length <= room);
                    assert!(self.model.contains_key(&(bytes(&id), bytes(&auth))));
                }
            },
            // SAFETY: no arguments.
            Call::Status => unsafe { assert_eq!(s.status.is_initialized.expect("f")(), 1) },
        }
    }
}

fuzz_target!(|calls: Vec<Call>| {
    let mut fixture = FIXTURE.lock().expect("an earlier input failed");
    for call in calls.into_iter().take(64) {
        fixture.call(call);
    }
    // A new keyring now and then, so that inputs stay independent enough to be repeated.
    if fixture.model.len() > 200 {
        let ids: Vec<Id> = fixture.model.keys().cloned().collect();
        for (name, owner) in ids {
            let call = Call::Remove { id: Name::Bytes(name), auth: Name::Bytes(owner) };
            fixture.call(call);
        }
    }
});
