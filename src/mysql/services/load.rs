//! `keyring_load`: open the keyring at start, open it anew for ALTER INSTANCE RELOAD KEYRING.

use crate::mysql::{abi, component, ptr};
use std::ffi::{c_char, c_int};

/// The service's table.
pub static TABLE: abi::kw_load = abi::kw_load { load: Some(load) };

guarded_fn! {
    /// 0: the keyring serves (or this run needs none).
    fn load(component_path: *const c_char, instance_path: *const c_char) -> c_int, failure = 1; {
        // SAFETY: the server passes NULL or NUL-terminated strings.
        let (component_dir, instance_dir) =
            unsafe { (ptr::bytes(component_path), ptr::bytes(instance_path)) };
        // state::load has logged and kept the error.
        Ok(c_int::from(component::load(component_dir, instance_dir).is_err()))
    }
}
