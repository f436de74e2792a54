//! The dynamic privileges.
//!
//! Owns registering their names, so that GRANT takes them, and taking them away. What was granted stays granted: that is the
//! server's, and survives us.

use crate::control::text;
use crate::{log, registry};
use keyring_ward_boundary::abi;
use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

/// A name: a constant of the keyring library's, which is never unmapped.
struct Name(*const c_char);
// SAFETY: as above, and nobody writes it.
unsafe impl Send for Name {}

/// Those that this component has registered.
static OURS: Mutex<Vec<Name>> = Mutex::new(Vec::new());

/// Registers the names. A server without the service refuses GRANT; nothing else is different.
pub(crate) fn register(names: &[*const c_char]) {
    let service = registry::get().and_then(|r| r.service::<abi::kw_privileges>());
    let Some(register) = service.as_ref().and_then(|s| s.register_privilege) else {
        return;
    };
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    for name in names {
        let shown = text(*name);
        // SAFETY: a name with its NUL; its length is beside it.
        match unsafe { register(*name, shown.len()) } {
            0 => ours.push(Name(*name)),
            _ => log::warning(&format!(
                "The privilege {shown} could not be registered: GRANT {shown} will fail."
            )),
        }
    }
}

/// Takes the names away.
pub(crate) fn unregister() {
    let service = registry::get().and_then(|r| r.service::<abi::kw_privileges>());
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(unregister) = service.as_ref().and_then(|s| s.unregister_privilege) else {
        return;
    };
    for Name(name) in ours.drain(..) {
        // SAFETY: as in `register`.
        unsafe { unregister(name, text(name).len()) };
    }
}
