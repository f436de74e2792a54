//! The keyring component's control service: what there is to register, and rows.
//!
//! Owns asking for it and reading what it gives. It is acquired when it is needed and released at once: a service that
//! were held, or stood in `requires`, would keep the keyring component from being unloaded in peace. It must never be used
//! where the other library has another interface.

use crate::guard::Result;
use crate::registry;
use keyring_ward_boundary::abi;
use keyring_ward_boundary::registry::Service;
use std::ffi::{CStr, c_char};

/// What there is to register. It is the keyring library's, which is never unmapped.
pub(crate) struct Objects {
    pub(crate) functions: &'static [abi::kw_sql_function],
    pub(crate) tables: &'static [abi::kw_sql_table],
    pub(crate) privileges: &'static [*const c_char],
}

/// The service; `None`: the keyring component is not loaded.
pub(crate) fn service() -> Option<Service<'static, abi::kw_control>> {
    registry::get()?.service()
}

/// Asks what there is.
///
/// # Errors
/// The keyring component is not loaded, or is of another release: a sentence that says what to do.
pub(crate) fn objects() -> Result<Objects> {
    let control = service().ok_or(
        "component_keyring_ward_sql can't be installed: the keyring component component_keyring_ward is not loaded. Name it in the \
         manifest (mysqld.my) and start the server again. Where Keyring Ward is loaded as a plugin, the functions come by CREATE \
         FUNCTION: share/install.sql.",
    )?;
    let (mut found, mut version) = (std::ptr::null(), std::ptr::null());
    let Some(ask) = control.objects else {
        return Err(other_release("another one"));
    };
    // SAFETY: two writable places; the first slot is the same in each interface.
    let failed = unsafe { ask(abi::KW_CONTROL_INTERFACE, &raw mut found, &raw mut version) } != 0;
    // SAFETY: NULL, or what the keyring library has made for this, which lives as long as the process does.
    let found: Option<&'static abi::kw_sql_objects> = unsafe { found.as_ref() };
    match found.filter(|_| !failed) {
        // SAFETY: each list is as long as the number beside it says.
        Some(objects) => Ok(unsafe {
            Objects {
                functions: list(objects.functions, objects.function_count),
                tables: list(objects.tables, objects.table_count),
                privileges: list(objects.privileges, objects.privilege_count),
            }
        }),
        None => Err(other_release(&text(version))),
    }
}

fn other_release(version: &str) -> String {
    format!(
        "component_keyring_ward_sql can't be installed: it is of release {}, and the keyring component that this server has loaded is \
         of release {version}. Install both libraries of one release (scripts/install.sh), start the server again, then INSTALL COMPONENT.",
        env!("CARGO_PKG_VERSION"),
    )
}

/// The list at `start`.
///
/// # Safety
/// `start` is NULL, or leads to `count` values that live as long as the process does.
unsafe fn list<T>(start: *const T, count: usize) -> &'static [T] {
    match start.is_null() || count == 0 {
        true => &[],
        // SAFETY: by the caller's contract.
        false => unsafe { std::slice::from_raw_parts(start, count) },
    }
}

/// A name of the keyring library's, or of one that it gave.
pub(crate) fn text(name: *const c_char) -> String {
    match name.is_null() {
        true => String::new(),
        // SAFETY: not NULL, so a constant of the keyring library with its NUL.
        false => unsafe { CStr::from_ptr(name) }
            .to_string_lossy()
            .into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_server_there_is_nothing_and_a_sentence() {
        let said = objects().err().unwrap();
        assert!(
            said.contains("is not loaded") && said.contains("install.sql"),
            "{said}"
        );
        assert!(other_release("9.9.9").contains("release 9.9.9"));
        // SAFETY: NULL is within the contract.
        assert!(unsafe { list::<u8>(std::ptr::null(), 7) }.is_empty());
        assert_eq!(text(std::ptr::null()), "");
    }
}
