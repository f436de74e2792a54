//! `keyring_component_status`: is the keyring usable? The sense is inverted: 1 means yes.

use crate::mysql::abi;
use crate::mysql::state::LIFECYCLE;
use std::ffi::c_int;

/// The service's table.
pub static TABLE: abi::kw_component_status = abi::kw_component_status {
    is_initialized: Some(is_initialized),
};

guarded_fn! {
    fn is_initialized() -> c_int, failure = 0; {
        Ok(c_int::from(LIFECYCLE.is_active()))
    }
}
