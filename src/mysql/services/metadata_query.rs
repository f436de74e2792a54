//! `keyring_component_metadata_query`: the rows of `performance_schema.keyring_component_status`.
//! Answers while the keyring is disabled, too: that is when they are needed.

use crate::kek::Contact;
use crate::lifecycle::last_error;
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, cursor::Cursor, ptr, ptr::Handle};
use crate::store::Mode;
use std::ffi::{c_char, c_int};

/// The service's table.
pub static TABLE: abi::kw_metadata_query = abi::kw_metadata_query {
    init: Some(init),
    deinit: Some(deinit),
    is_valid: Some(is_valid),
    next: Some(next),
    get_length: Some(get_length),
    get: Some(get),
};

/// The column's width, in characters.
const MAX_VALUE: usize = 1024;

/// A row: name and value, without NUL characters.
type Row = (&'static str, String);

/// The rows as they are now.
pub fn rows() -> Vec<Row> {
    const NONE: &str = "None";
    let none = || NONE.to_string();
    let keyring = LIFECYCLE.keyring().ok();
    let status = keyring.as_ref().map(|k| k.status());
    let config = keyring
        .as_ref()
        .map(|k| k.config().clone())
        .or_else(|| LIFECYCLE.last_config());
    let info = status.as_ref().map(|s| &s.store).filter(|s| s.exists);
    let mode = match status.as_ref().map(|s| s.mode) {
        Some(Mode::ReadWrite) => "No",
        Some(Mode::ReadOnly | Mode::Snapshot | Mode::DryRun) => "Yes",
        None => match config.as_ref().map(|c| c.read_only) {
            Some(true) => "Yes",
            Some(false) => "No",
            None => NONE,
        },
    };
    let refusing = status.as_ref().and_then(|s| s.store.refusing.clone());
    let error = refusing.map(|why| format!("KW-0004 ReadOnly: Writes are refused: {why}."));
    vec![
        ("Component_name", crate::COMPONENT.into()),
        ("Author", "Keyring Ward".into()),
        ("License", "Apache-2.0 OR MIT".into()),
        ("Implementation_name", crate::COMPONENT.into()),
        ("Version", crate::VERSION.into()),
        (
            "Component_status",
            if keyring.is_some() {
                "Active"
            } else {
                "Disabled"
            }
            .into(),
        ),
        (
            "Backend",
            config
                .as_ref()
                .map_or_else(none, |c| c.backend.name().into()),
        ),
        (
            "Data_file",
            config
                .as_ref()
                .map_or_else(none, |c| c.path.display().to_string()),
        ),
        ("Read_only", mode.into()),
        (
            "Generation",
            info.map_or_else(none, |i| i.generation.to_string()),
        ),
        (
            "Keys",
            status.as_ref().map_or_else(none, |s| s.keys.to_string()),
        ),
        (
            "Opened_by",
            status
                .as_ref()
                .map_or_else(none, |s| s.store.opened_by.clone()),
        ),
        (
            "KEK_mechanism",
            info.map_or_else(none, |i| i.mechanism.clone()),
        ),
        (
            "KEK_last_contact",
            status
                .as_ref()
                .and_then(|s| s.store.contact.as_ref())
                .map_or_else(none, contact),
        ),
        (
            "Last_error",
            error
                .or_else(|| last_error::text(&LIFECYCLE.last_errors()))
                .unwrap_or_else(none),
        ),
    ]
}

/// The last contact to a KEK that is not on this machine.
fn contact(contact: &Contact) -> String {
    let when = contact.last_success.map_or("never".to_string(), |at| {
        format!("{} s ago", (crate::os::unix_seconds() - at).max(0))
    });
    format!("{when}, {} calls, {} failed", contact.calls, contact.errors)
}

fn printable(value: &str) -> Vec<u8> {
    let mut out: Vec<u8> = value
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(MAX_VALUE)
        .collect::<String>()
        .into_bytes();
    out.push(0);
    out
}

/// A row as the server copies it: name and value with their NULs.
type CRow = (Vec<u8>, Vec<u8>);
type Rows = Cursor<CRow>;

guarded_fn! {
    fn init(out: *mut abi::kw_handle) -> c_int, failure = 1; {
        let c_rows = || Ok(rows().into_iter().map(|(k, v)| (printable(k), printable(&v))).collect());
        // SAFETY: the server passes a writable handle.
        unsafe { Rows::begin(out, c_rows)? };
        Ok(0)
    }
}

cursor_fns!(CRow);

guarded_fn! {
    /// Lengths with NUL, unlike those of the key iterator.
    fn get_length(iterator: abi::kw_handle, key_length: *mut usize, value_length: *mut usize) -> c_int,
    failure = 1; {
        // SAFETY: a handle of ours, used by one thread at a time, and two writable sizes.
        unsafe {
            let (key, value) = Rows::borrow(iterator)?.current()?;
            ptr::write(key_length, key.len(), "place for the length")?;
            ptr::write(value_length, value.len(), "place for the length")?;
        }
        Ok(0)
    }
}

guarded_fn! {
    fn get(
        iterator: abi::kw_handle,
        key: *mut c_char,
        key_capacity: usize,
        value: *mut c_char,
        value_capacity: usize,
    ) -> c_int, failure = 1; {
        // SAFETY: a handle of ours, used by one thread at a time, and buffers of the stated
        // capacities. The NUL is part of what is copied.
        unsafe {
            let (k, v) = Rows::borrow(iterator)?.current()?;
            ptr::fill(key.cast(), key_capacity, k, false, "the row's name")?;
            ptr::fill(value.cast(), value_capacity, v, false, "the row's value")?;
        }
        Ok(0)
    }
}
