//! The ways to the server's component registry.
//!
//! Owns the two places into which the server puts the way to it, one for each role. It must never use one before the server has
//! filled it, or after it is gone.

use keyring_ward_boundary::abi;
pub(super) use keyring_ward_boundary::registry::{Registry, Service};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// The server's component loader writes the acquired registry into this before the component's `init`.
pub(super) static OF_COMPONENT: AtomicPtr<abi::kw_registry> = AtomicPtr::new(std::ptr::null_mut());
/// The component is loaded: [`OF_COMPONENT`] may be used, the component serves and the plugin stays passive.
static COMPONENT_IS_LOADED: AtomicBool = AtomicBool::new(false);

/// Value of a plugin's service pointer before the server has put the service there.
pub(super) const SERVICE_VERSION: usize = 0x0100;
/// Filled by the server for the plugin: the way to the component registry.
#[unsafe(export_name = "plugin_registry_service")]
pub static mut OF_PLUGIN: *const abi::kw_registry_service = SERVICE_VERSION as *const _;

/// The component says that it is loaded, or about to go.
pub(super) fn set_component_is_loaded(loaded: bool) {
    COMPONENT_IS_LOADED.store(loaded, Ordering::Release);
}

/// The component is loaded.
pub(super) fn component_is_loaded() -> bool {
    COMPONENT_IS_LOADED.load(Ordering::Acquire)
}

/// The component's registry, while the component is loaded.
pub(super) fn of_component() -> Option<Registry<'static>> {
    let registry = OF_COMPONENT.load(Ordering::Acquire);
    // SAFETY: the loader put the registry service there before init, and keeps it until after deinit.
    component_is_loaded().then(|| unsafe { Registry::new(registry) })?
}

/// Runs `f` with the registry by the plugin's way to it; `None` where the server has not given us that.
pub(super) fn with_plugins<R>(f: impl FnOnce(Registry<'_>) -> R) -> Option<R> {
    // SAFETY: the server fills the pointer before init and leaves it until after deinit; until
    // then it holds the version number, which is no address. The registry is used before its release.
    unsafe {
        let service = OF_PLUGIN;
        if service as usize == SERVICE_VERSION {
            return None;
        }
        let service = service.as_ref()?;
        let (acquire, release) = (service.acquire?, service.release?);
        let table = acquire();
        let result = Registry::new(table).map(f);
        if !table.is_null() {
            release(table);
        }
        result
    }
}

/// Runs `f` with the registry, by whichever role is loaded; `None` where none is.
pub(super) fn with<R>(f: impl FnOnce(Registry<'_>) -> R) -> Option<R> {
    match of_component() {
        Some(registry) => Some(f(registry)),
        None => with_plugins(f),
    }
}
