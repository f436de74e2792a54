//! `keyring_reader_with_status`: fetch. Found, absent and failed stay three outcomes.

use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, gate, ptr};
use crate::policy::operation::Operation;
use std::ffi::{c_char, c_int, c_uchar};

/// The service's table.
pub static TABLE: abi::kw_reader = abi::kw_reader {
    init: Some(init),
    deinit: Some(deinit),
    fetch_length: Some(fetch_length),
    fetch: Some(fetch),
};

guarded_fn! {
    /// 0 with a handle: found. 0 with NULL: there is no such key. 1: the keyring failed.
    fn init(data_id: *const c_char, auth_id: *const c_char, out: *mut abi::kw_handle) -> c_int,
    failure = 1; {
        // SAFETY: the server passes NULL or NUL-terminated strings and a writable handle.
        unsafe {
            ptr::write(out, std::ptr::null_mut(), "place for the handle")?;
            LIFECYCLE.counters.fetched();
            let (name, owner) = (ptr::bytes(data_id), ptr::bytes(auth_id));
            let key = gate::fetch(Operation::Fetch, name, owner)?;
            if let Some(key) = key {
                ptr::write(out, ptr::key_into_raw(key), "place for the handle")?;
            }
        }
        Ok(0)
    }
}

guarded_fn! {
    fn deinit(reader: abi::kw_handle) -> c_int, failure = 1; {
        // SAFETY: a handle of ours, given back once.
        unsafe { ptr::key_drop(reader) };
        Ok(0)
    }
}

guarded_fn! {
    fn fetch_length(reader: abi::kw_handle, data_size: *mut usize, type_size: *mut usize) -> c_int,
    failure = 1; {
        // SAFETY: a handle of ours and two writable sizes.
        unsafe {
            let key = ptr::key_borrow(reader)?;
            ptr::write(data_size, key.length(), "place for the length")?;
            ptr::write(type_size, key.key_type.len(), "place for the length")?;
        }
        Ok(0)
    }
}

guarded_fn! {
    fn fetch(
        reader: abi::kw_handle,
        data: *mut c_uchar,
        data_capacity: usize,
        data_size: *mut usize,
        key_type: *mut c_char,
        type_capacity: usize,
        type_size: *mut usize,
    ) -> c_int, failure = 1; {
        // SAFETY: a handle of ours; buffers of the stated capacities; writable sizes. The type
        // gets no NUL: the server's buffer has no room for one.
        unsafe {
            let key = ptr::key_borrow(reader)?;
            ptr::fill(data, data_capacity, key.material(), false, "key material")?;
            ptr::fill(key_type.cast(), type_capacity, key.key_type.as_bytes(), false, "the key type")?;
            ptr::write(data_size, key.length(), "place for the length")?;
            ptr::write(type_size, key.key_type.len(), "place for the length")?;
        }
        Ok(0)
    }
}
