//! The ways to the server's component registry.
//!
//! Owns the two places into which the server puts the way to it, one for each role, and what is kept of it beyond a call. It must
//! never use one before the server has filled it, or after it is gone.

use crate::lifecycle::{Role, lock};
use keyring_ward_boundary::abi;
use keyring_ward_boundary::registry::Table;
pub(super) use keyring_ward_boundary::registry::{Registry, Service};
use std::ptr::{NonNull, null_mut};
use std::sync::Mutex;
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

/// A service that is acquired once, when it is needed first, and kept.
pub(super) struct Kept<T: Table> {
    service: AtomicPtr<T>,
    /// The server has none: it is not asked again and again.
    is_absent: AtomicBool,
    /// Which role acquired it, to be released by it.
    kept_by: Mutex<Option<Role>>,
}

impl<T: Table> Kept<T> {
    /// Not acquired yet.
    pub(super) const fn new() -> Kept<T> {
        Kept {
            service: AtomicPtr::new(null_mut()),
            is_absent: AtomicBool::new(false),
            kept_by: Mutex::new(None),
        }
    }

    /// The service; `None`: no role is loaded, or the server has none of that name.
    #[inline]
    pub(super) fn get(&self) -> Option<&T> {
        let mut service = self.service.load(Ordering::Acquire);
        if service.is_null() {
            service = self.acquire()?;
        }
        // SAFETY: it was acquired, and is released when the role that acquired it goes, after which the server calls nothing of ours.
        unsafe { service.as_ref() }
    }

    #[cold]
    fn acquire(&self) -> Option<*mut T> {
        if self.is_absent.load(Ordering::Acquire) {
            return None;
        }
        let mut kept_by = lock(&self.kept_by);
        let service = self.service.load(Ordering::Acquire);
        if !service.is_null() {
            return Some(service);
        }
        let role = match component_is_loaded() {
            true => Role::Component,
            false => Role::Plugin,
        };
        // Without a registry nothing was asked.
        let service = with(|registry| registry.service::<T>().map(|s| s.keep().as_ptr()))?;
        match service {
            Some(service) => {
                *kept_by = Some(role);
                self.service.store(service, Ordering::Release);
            }
            None => self.is_absent.store(true, Ordering::Release),
        }
        service
    }

    /// Gives back what `role` acquired.
    pub(super) fn release(&self, registry: Registry<'_>, role: Role) {
        let mut kept_by = lock(&self.kept_by);
        self.is_absent.store(false, Ordering::Release);
        if *kept_by != Some(role) {
            return;
        }
        *kept_by = None;
        if let Some(service) = NonNull::new(self.service.swap(null_mut(), Ordering::AcqRel)) {
            // SAFETY: `acquire` kept it, and it was taken out just now.
            drop(unsafe { Service::kept(service, registry) });
        }
    }
}
