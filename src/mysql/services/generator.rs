//! `keyring_generator`: make a key of random bytes.

use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, gate, identity, ptr};
use crate::policy::operation::Operation;
use std::ffi::{c_char, c_int};

/// The service's table.
pub static TABLE: abi::kw_generator = abi::kw_generator {
    generate: Some(generate),
};

guarded_fn! {
    /// Fails where the key exists. Does not return the bytes.
    fn generate(
        data_id: *const c_char,
        auth_id: *const c_char,
        data_type: *const c_char,
        data_size: usize,
    ) -> c_int, failure = 1; {
        // SAFETY: the server passes NULL or NUL-terminated strings.
        let (id, owner, key_type) =
            unsafe { (ptr::bytes(data_id), ptr::bytes(auth_id), ptr::bytes(data_type)) };
        identity::with_owner(owner, |caller| {
            gate::check_by(Operation::Generate, id, owner, caller)?;
            LIFECYCLE.write(caller, |keyring| keyring.generate(id, owner, key_type, data_size))
        })
        .map(|()| 0)
    }
}
