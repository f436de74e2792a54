//! The SQL functions.
//!
//! Owns registering them and taking them away. Functions of an earlier CREATE FUNCTION stand in the way: those are left as they are.
//! It must never take away a function that it has not registered.

use crate::control::text;
use crate::guard::Result;
use crate::{log, registry};
use keyring_ward_boundary::abi;
use std::ffi::c_int;
use std::sync::{Mutex, PoisonError};

/// A function of the keyring library's: its name is a constant there.
struct Registered(&'static abi::kw_sql_function);
// SAFETY: a row of constants, which nobody writes.
unsafe impl Send for Registered {}

/// Those that this component has registered.
static OURS: Mutex<Vec<Registered>> = Mutex::new(Vec::new());

/// As many names as one line of the log holds.
const NAMES_A_LINE: usize = 30;

/// Registers them.
///
/// # Errors
/// The server has no such service.
pub(crate) fn register(functions: &'static [abi::kw_sql_function]) -> Result<()> {
    let service = registry::get().and_then(|r| r.service::<abi::kw_udf_registration>());
    let register = service.as_ref().and_then(|s| s.udf_register);
    let register = register.ok_or("component_keyring_ward_sql can't be installed: this server registers no functions of components.")?;
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut in_the_way = Vec::new();
    for f in functions {
        // SAFETY: a row that the keyring library has made for this: function, init and deinit are what the server calls them as.
        let rc = unsafe { register(f.name, f.returns, f.function, f.init, f.deinit) };
        match rc {
            0 => ours.push(Registered(f)),
            _ => in_the_way.push(text(f.name)),
        }
    }
    for names in in_the_way.chunks(NAMES_A_LINE) {
        log::warning(&told(names));
    }
    Ok(())
}

/// What an operator is told of functions that are there already.
fn told(names: &[String]) -> String {
    format!(
        "{} functions are there already, by CREATE FUNCTION, and stay as they are. So that they are the component's: DROP FUNCTION {}; then \
         UNINSTALL COMPONENT and INSTALL COMPONENT again.",
        names.len(),
        names.join("; DROP FUNCTION ")
    )
}

/// Takes away those that were registered. A statement that is using one goes on: the function lives in the keyring's library,
/// and the server forgets the name with the statement's end.
pub(crate) fn unregister() {
    let service = registry::get().and_then(|r| r.service::<abi::kw_udf_registration>());
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(unregister) = service.as_ref().and_then(|s| s.udf_unregister) else {
        return;
    };
    for Registered(f) in ours.drain(..) {
        let mut was_present: c_int = 0;
        // SAFETY: a name with its NUL, and a writable place.
        unsafe { unregister(f.name, &raw mut was_present) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_as_statements_that_fit_into_a_line() {
        let names = vec!["keyring_ward_signature_verify".to_string(); NAMES_A_LINE];
        let said = told(&names);
        assert!(said.len() < 2048, "{}", said.len());
        assert!(said.contains("; DROP FUNCTION keyring_ward_signature_verify; then"));
    }
}
