//! `keyring_writer`: store and remove.

use crate::key::id::MAX_MATERIAL;
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, gate, identity, ptr};
use crate::policy::operation::Operation;
use std::ffi::{c_char, c_int, c_uchar};

/// The service's table.
pub static TABLE: abi::kw_writer = abi::kw_writer {
    store: Some(store),
    remove: Some(remove),
};

guarded_fn! {
    /// Fails where the key exists.
    fn store(
        data_id: *const c_char,
        auth_id: *const c_char,
        data: *const c_uchar,
        data_size: usize,
        data_type: *const c_char,
    ) -> c_int, failure = 1; {
        // SAFETY: the server passes NULL or NUL-terminated strings, and data of the stated size.
        let (id, owner, key_type, material) = unsafe {
            let material = ptr::slice(data, data_size, MAX_MATERIAL, "key material");
            (ptr::bytes(data_id), ptr::bytes(auth_id), ptr::bytes(data_type), material)
        };
        let material = material?;
        identity::with_owner(owner, |caller| {
            gate::check_by(Operation::Store, id, owner, caller)?;
            LIFECYCLE.write(caller, |keyring| keyring.store_key(id, owner, key_type, material))
        })
        .map(|()| 0)
    }
}

guarded_fn! {
    /// Fails where there is no such key, as the reference implementation does.
    fn remove(data_id: *const c_char, auth_id: *const c_char) -> c_int, failure = 1; {
        // SAFETY: the server passes NULL or NUL-terminated strings.
        let (id, owner) = unsafe { (ptr::bytes(data_id), ptr::bytes(auth_id)) };
        identity::with_owner(owner, |caller| {
            gate::check_by(Operation::Remove, id, owner, caller)?;
            LIFECYCLE.write(caller, |keyring| keyring.remove(id, owner))
        })
        .map(|()| 0)
    }
}
