//! Loading a shared library to see whether it can be loaded.
//!
//! Owns that one trial. It must run in a child made for it: loading runs the library's code.

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, c_char};
use std::path::Path;

/// What a library that can be loaded says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    /// It has the function that a server looks for in a component.
    pub is_component: bool,
    /// The version that Keyring Ward's library names.
    pub version: Option<String>,
}

/// Loads the library as a server does, and never unloads it.
///
/// # Errors
/// The loader's sentence.
pub fn load(path: &Path) -> Result<Loaded, String> {
    // SAFETY: the library's constructors run; this process was made for that and does nothing else. The version is
    // read only where our own symbol is there, which is a NUL-terminated text in the library's memory.
    unsafe {
        let library =
            Library::open(Some(path), RTLD_NOW | RTLD_LOCAL).map_err(|e| e.to_string())?;
        let has = |name: &[u8]| library.get::<*const c_char>(name).is_ok();
        let is_component = has(b"list_components\0");
        let version = library
            .get::<*const c_char>(b"keyring_ward_version\0")
            .ok()
            .map(|symbol| symbol.into_raw().cast::<c_char>().cast_const())
            .map(|text| CStr::from_ptr(text).to_string_lossy().into_owned());
        std::mem::forget(library);
        Ok(Loaded {
            is_component,
            version,
        })
    }
}
