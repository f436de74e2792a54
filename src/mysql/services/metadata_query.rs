//! `keyring_component_metadata_query`: the rows of `performance_schema.keyring_component_status`.
//! Answers while the keyring is disabled, too: that is when they are needed.

use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, cursor::Cursor, ptr, ptr::Handle};
use crate::status::Status;
use crate::status::fields::View;
use std::borrow::Cow;
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

/// The rows as they are now.
fn rows() -> Vec<(Cow<'static, str>, String)> {
    Status::of_lifecycle(&LIFECYCLE).rows(View::Rows, "None")
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
        let c_rows = || Ok(rows().into_iter().map(|(k, v)| (printable(&k), printable(&v))).collect());
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
