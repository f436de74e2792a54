//! The way to the server's component registry.
//!
//! Owns the place into which the component loader puts it. It must never be used before that.

use keyring_ward_boundary::abi;
use keyring_ward_boundary::registry::Registry;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The loader writes the acquired registry into this before `init`.
pub(crate) static PLACE: AtomicPtr<abi::kw_registry> = AtomicPtr::new(null_mut());

/// The registry; `None`: nobody has loaded us.
pub(crate) fn get() -> Option<Registry<'static>> {
    let table = PLACE.load(Ordering::Acquire);
    // SAFETY: the loader put the registry service there before init. It is the server's own table, which is there as long as the
    // process is: a thread that still returns from us after deinit may use it.
    unsafe { Registry::new(table) }
}
