//! Errors of the statement that runs.
//!
//! Owns the call of the server's service for them, which takes a C `va_list`. It must never be used where no statement runs,
//! and never cut a text in the middle of a character.

use super::abi;
use super::registry::{self, Registry};
use std::ffi::{CString, c_int, c_void};

/// `ER_UDF_ERROR`: "%s UDF failed; %s", with the function's name and a free text.
const OF_A_FUNCTION: c_int = 3200;
/// Longest text in bytes: the server cuts the whole message at 512.
const MAX_TEXT: usize = 440;

/// A `va_list` of pointers, of which none came in a register (System V AMD64 psABI, section 3.5.7).
#[cfg(target_arch = "x86_64")]
#[repr(C)]
struct List {
    /// Beyond the six registers for integers.
    general_offset: u32,
    /// Beyond the eight registers for floating point.
    floating_offset: u32,
    on_the_stack: *const *const c_void,
    in_registers: *const c_void,
}

#[cfg(target_arch = "x86_64")]
impl List {
    fn of(arguments: &[*const c_void]) -> Option<List> {
        Some(List {
            general_offset: 48,
            floating_offset: 176,
            on_the_stack: arguments.as_ptr(),
            in_registers: std::ptr::null(),
        })
    }
}

/// The same (Procedure Call Standard for the Arm 64-bit Architecture, appendix B). It is larger than two registers, so a function
/// gets the address of one, as on x86-64.
#[cfg(target_arch = "aarch64")]
#[repr(C)]
struct List {
    on_the_stack: *const *const c_void,
    general_top: *const c_void,
    vector_top: *const c_void,
    /// 0: no register is left.
    general_offset: i32,
    vector_offset: i32,
}

#[cfg(target_arch = "aarch64")]
impl List {
    fn of(arguments: &[*const c_void]) -> Option<List> {
        Some(List {
            on_the_stack: arguments.as_ptr(),
            general_top: std::ptr::null(),
            vector_top: std::ptr::null(),
            general_offset: 0,
            vector_offset: 0,
        })
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
struct List;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
impl List {
    /// How its list of arguments looks is not known.
    fn of(_: &[*const c_void]) -> Option<List> {
        None
    }
}

/// Whether errors can be told here at all. Where they can't, no function may be begun that would answer NULL instead.
pub(super) fn can_be_told() -> bool {
    let has = |registry: Registry<'_>| registry.service::<abi::kw_runtime_error>().is_some();
    List::of(&[]).is_some() && registry::with(has) == Some(true)
}

/// Makes an error of the statement that the calling thread runs. `false`: the server does not take it.
pub(super) fn tell(function: &str, text: &str) -> bool {
    let end = text.floor_char_boundary(MAX_TEXT);
    let terminated = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
    let (function, text) = (terminated(function), terminated(&text[..end]));
    let arguments: [*const c_void; 2] = [function.as_ptr().cast(), text.as_ptr().cast()];
    let Some(mut list) = List::of(&arguments) else {
        return false;
    };
    let told = registry::with(|registry| {
        let errors = registry.service::<abi::kw_runtime_error>()?;
        // SAFETY: the server reads the two texts that its message for this number has, from a list of this machine's form; both
        // end with a NUL, and all of it lives through the call.
        unsafe { errors.emit?(OF_A_FUNCTION, 0, (&raw mut list).cast()) };
        Some(())
    });
    told.flatten().is_some()
}
