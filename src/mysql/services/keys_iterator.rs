//! `keyring_keys_metadata_iterator`: the names behind `performance_schema.keyring_keys`.

use crate::keyring::record::KeyRecord;
use crate::mysql::{abi, ptr, ptr::Handle, state};
use std::ffi::{c_char, c_int};
use std::sync::Arc;

/// The service's table.
pub static TABLE: abi::kw_keys_iterator = abi::kw_keys_iterator {
    init: Some(init),
    deinit: Some(deinit),
    is_valid: Some(is_valid),
    next: Some(next),
    get_length: Some(get_length),
    get: Some(get),
};

struct Keys {
    keys: Vec<Arc<KeyRecord>>,
    at: usize,
}
impl Handle for Keys {}

impl Keys {
    fn current(&self) -> crate::error::Result<&KeyRecord> {
        self.keys.get(self.at).map(|k| &**k).ok_or_else(|| {
            crate::error::Error::new(
                crate::error::Kind::NotFound,
                "read the list of keys",
                "the iterator is past its end",
            )
        })
    }
}

guarded_fn! {
    fn init(out: *mut abi::kw_handle) -> c_int, failure = 1; {
        let keys = Keys { keys: state::keyring()?.list(), at: 0 };
        // SAFETY: the server passes a writable handle.
        unsafe { ptr::write(out, std::ptr::null_mut(), "place for the handle")? };
        let handle = keys.into_raw();
        // SAFETY: as above; it was not NULL a moment ago.
        unsafe { ptr::write(out, handle, "place for the handle")? };
        Ok(0)
    }
}

guarded_fn! {
    fn deinit(iterator: abi::kw_handle) -> c_int, failure = 1; {
        // SAFETY: a handle of ours, given back once.
        unsafe { Keys::drop_raw(iterator) };
        Ok(0)
    }
}

guarded_fn! {
    /// 1: there is a current key; 0: past the end.
    fn is_valid(iterator: abi::kw_handle) -> c_int, failure = 0; {
        // SAFETY: a handle of ours, used by one thread at a time.
        let keys = unsafe { Keys::borrow(iterator)? };
        Ok(c_int::from(keys.at < keys.keys.len()))
    }
}

guarded_fn! {
    /// 1 where the iterator is past the end already.
    fn next(iterator: abi::kw_handle) -> c_int, failure = 1; {
        // SAFETY: a handle of ours, used by one thread at a time.
        let keys = unsafe { Keys::borrow(iterator)? };
        if keys.at >= keys.keys.len() {
            return Ok(1);
        }
        keys.at += 1;
        Ok(0)
    }
}

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
