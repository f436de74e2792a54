//! `keyring_keys_metadata_iterator`: the names behind `performance_schema.keyring_keys`.

use crate::error::Result;
use crate::key::record::KnownKey;
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, cursor::Cursor, gate, ptr, ptr::Handle};
use std::ffi::{c_char, c_int};

/// The service's table.
pub static TABLE: abi::kw_keys_iterator = abi::kw_keys_iterator {
    init: Some(init),
    deinit: Some(deinit),
    is_valid: Some(is_valid),
    next: Some(next),
    get_length: Some(get_length),
    get: Some(get),
};

type Keys = Cursor<KnownKey>;

/// The keys that the caller may see.
fn listed() -> Result<Vec<KnownKey>> {
    let mut keys = LIFECYCLE.names()?;
    gate::keep_listed(&mut keys);
    Ok(keys)
}

guarded_fn! {
    fn init(out: *mut abi::kw_handle) -> c_int, failure = 1; {
        // SAFETY: the server passes a writable handle.
        unsafe { Keys::begin(out, listed)? };
        Ok(0)
    }
}

cursor_fns!(KnownKey);

guarded_fn! {
    /// Lengths without NUL.
    fn get_length(iterator: abi::kw_handle, id_length: *mut usize, auth_length: *mut usize) -> c_int,
    failure = 1; {
        // SAFETY: a handle of ours, used by one thread at a time, and two writable sizes.
        unsafe {
            let key = Keys::borrow(iterator)?.current()?;
            ptr::write(id_length, key.id.name().len(), "place for the length")?;
            ptr::write(auth_length, key.id.owner().len(), "place for the length")?;
        }
        Ok(0)
    }
}

guarded_fn! {
    fn get(
        iterator: abi::kw_handle,
        id: *mut c_char,
        id_capacity: usize,
        auth: *mut c_char,
        auth_capacity: usize,
    ) -> c_int, failure = 1; {
        // SAFETY: a handle of ours, used by one thread at a time, and buffers of the stated
        // capacities.
        unsafe {
            let key = Keys::borrow(iterator)?.current()?;
            ptr::fill(id.cast(), id_capacity, key.id.name(), true, "the key's name")?;
            ptr::fill(auth.cast(), auth_capacity, key.id.owner(), true, "the key's owner")?;
        }
        Ok(0)
    }
}
