//! The one call to a PKCS#11 module that `cryptoki` has no safe function for.
//!
//! It must never hand a module memory that does not outlive the call.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use std::ffi::{CString, c_void};
use std::ptr::NonNull;

/// C_Initialize with the operating system's locks and, for the modules that want one (NSS), a text as the
/// reserved argument.
///
/// # Errors
/// What the module answers; a text with a NUL character.
pub fn initialize(module: &Pkcs11, args: Option<&str>) -> cryptoki::error::Result<()> {
    let flags = CInitializeFlags::OS_LOCKING_OK;
    let Some(args) = args else {
        return module.initialize(CInitializeArgs::new(flags));
    };
    let text = CString::new(args).map_err(cryptoki::error::Error::NulError)?;
    let Some(text_at) = NonNull::new(text.as_ptr().cast_mut().cast::<c_void>()) else {
        return Err(cryptoki::error::Error::InvalidValue);
    };
    // SAFETY: a NUL-terminated text that lives until C_Initialize returns, which is how the modules that
    // document such an argument read it; the administrator has configured it for this module.
    let args = unsafe { CInitializeArgs::new_with_reserved(flags, text_at) };
    module.initialize(args)
}
