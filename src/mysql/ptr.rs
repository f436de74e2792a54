//! Every conversion of a C pointer, in one place.
//!
//! Each function checks for NULL and bounds lengths; what can't be checked (that a non-NULL
//! pointer is valid for its length) is the server's contract, stated per function.

use crate::error::{Error, Kind, Result};
use crate::key::record::KeyRecord;
use std::ffi::c_char;
use std::sync::Arc;

/// Longest C string that is looked at before it counts as broken.
const MAX_CSTR: usize = 4096;

fn null(what: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        "serve a call",
        format!("the server passed no {what}"),
    )
}

/// The bytes of a C string; empty for NULL. Strings beyond 4,096 bytes are cut there, which is
/// beyond every limit that is checked afterwards.
///
/// # Safety
/// `p` is NULL or points to a NUL-terminated string that lives for `'a`.
pub unsafe fn bytes<'a>(p: *const c_char) -> &'a [u8] {
    if p.is_null() {
        return &[];
    }
    // SAFETY: reads up to and including the NUL, within the caller's contract; strnlen stops at
    // the NUL.
    unsafe {
        let len = libc::strnlen(p, MAX_CSTR);
        std::slice::from_raw_parts(p.cast::<u8>(), len)
    }
}

/// `len` bytes at `p`.
///
/// # Errors
/// NULL with a length, or a length beyond `limit`.
///
/// # Safety
/// A non-NULL `p` is valid for reading `len` bytes for `'a`.
pub unsafe fn slice<'a>(p: *const u8, len: usize, limit: usize, what: &str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if p.is_null() {
        return Err(null(what));
    }
    if len > limit {
        return Err(Error::new(
            Kind::InvalidInput,
            "serve a call",
            format!("{what} has {len} bytes, the limit is {limit}"),
        ));
    }
    // SAFETY: not NULL, and valid for `len` bytes by the caller's contract.
    Ok(unsafe { std::slice::from_raw_parts(p, len) })
}

/// Writes `value` to an out parameter.
///
/// # Errors
/// The pointer is NULL.
///
/// # Safety
/// A non-NULL `p` is valid for writing a `T`.
pub unsafe fn write<T>(p: *mut T, value: T, what: &str) -> Result<()> {
    if p.is_null() {
        return Err(null(what));
    }
    // SAFETY: not NULL, and writable by the caller's contract.
    unsafe { p.write(value) };
    Ok(())
}

/// Copies `from` to a buffer of `capacity` bytes; with `terminate` a NUL follows, for which there
/// must be room.
///
/// # Errors
/// NULL, or too little room.
///
/// # Safety
/// A non-NULL `p` is valid for writing `capacity` bytes and does not overlap `from`.
pub unsafe fn fill(
    p: *mut u8,
    capacity: usize,
    from: &[u8],
    terminate: bool,
    what: &str,
) -> Result<()> {
    if p.is_null() {
        return Err(null(what));
    }
    let needed = from.len() + usize::from(terminate);
    if needed > capacity {
        return Err(Error::new(
            Kind::InvalidInput,
            "serve a call",
            format!("the server's buffer for {what} has {capacity} bytes, {needed} are needed"),
        ));
    }
    // SAFETY: not NULL, and `from` (with its NUL) fits into the capacity that the caller vouches
    // for.
    unsafe {
        std::ptr::copy_nonoverlapping(from.as_ptr(), p, from.len());
        if terminate {
            p.add(from.len()).write(0);
        }
    }
    Ok(())
}

/// A handle that the server carries: a boxed value behind an opaque pointer.
pub trait Handle: Sized {
    /// Gives the value out of our hands.
    fn into_raw(self) -> *mut super::abi::kw_opaque {
        Box::into_raw(Box::new(self)).cast()
    }

    /// Looks at a value that is out of our hands.
    ///
    /// # Errors
    /// NULL.
    ///
    /// # Safety
    /// `p` is NULL or came from `into_raw` of the same type and was not taken back; no other
    /// call uses it while the reference lives.
    unsafe fn borrow<'a>(p: *mut super::abi::kw_opaque) -> Result<&'a mut Self> {
        // SAFETY: by the caller's contract.
        unsafe { p.cast::<Self>().as_mut() }.ok_or_else(|| null("handle"))
    }

    /// Takes the value back and drops it. NULL is nothing to do.
    ///
    /// # Safety
    /// As [`Handle::borrow`]; the pointer is not used afterwards.
    unsafe fn drop_raw(p: *mut super::abi::kw_opaque) {
        if !p.is_null() {
            // SAFETY: by the caller's contract.
            drop(unsafe { Box::from_raw(p.cast::<Self>()) });
        }
    }
}

/// A fetched key as a handle: one reference count, no allocation.
pub fn key_into_raw(key: Arc<KeyRecord>) -> *mut super::abi::kw_opaque {
    Arc::into_raw(key).cast_mut().cast()
}

/// Looks at a fetched key.
///
/// # Errors
/// NULL.
///
/// # Safety
/// `p` is NULL or came from [`key_into_raw`] and was not taken back.
pub unsafe fn key_borrow<'a>(p: *mut super::abi::kw_opaque) -> Result<&'a KeyRecord> {
    // SAFETY: by the caller's contract.
    unsafe { p.cast::<KeyRecord>().as_ref() }.ok_or_else(|| null("handle"))
}

/// Takes a fetched key back.
///
/// # Safety
/// As [`key_borrow`]; the pointer is not used afterwards.
pub unsafe fn key_drop(p: *mut super::abi::kw_opaque) {
    if !p.is_null() {
        // SAFETY: by the caller's contract.
        drop(unsafe { Arc::from_raw(p.cast::<KeyRecord>().cast_const()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_never_followed() {
        // SAFETY: NULL is within every contract; the buffer is as long as is said.
        unsafe {
            assert_eq!(bytes(std::ptr::null()), b"");
            assert!(slice(std::ptr::null(), 1, 10, "x").is_err());
            assert!(slice(std::ptr::null(), 0, 10, "x").unwrap().is_empty());
            assert!(write(std::ptr::null_mut::<usize>(), 1, "x").is_err());
            assert!(fill(std::ptr::null_mut(), 10, b"x", false, "x").is_err());
            assert!(key_borrow(std::ptr::null_mut()).is_err());
            key_drop(std::ptr::null_mut());
            let mut buffer = [9u8; 3];
            assert!(fill(buffer.as_mut_ptr(), 3, b"abc", true, "x").is_err());
            fill(buffer.as_mut_ptr(), 3, b"abc", false, "x").unwrap();
            assert_eq!(&buffer, b"abc");
            assert!(slice(buffer.as_ptr(), 3, 2, "x").is_err());
        }
    }
}
