//! The server's component registry: the way to services of others.
//!
//! Owns the two places into which the server puts the way to it, one for each role, and acquiring and releasing
//! services. It must never hand out a service whose table is not known, and never let one
//! be used after its release: a `Service` borrows the registry and gives itself back.

use super::abi;
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// A service that we use: its table of functions and the name under which the server registers it.
///
/// # Safety
/// What the server registers under this name begins with this table.
pub(super) unsafe trait Table {
    /// The service's name, without an implementation's: the default one is meant.
    const NAME: &'static CStr;
}

macro_rules! tables {
    ($($table:ident = $name:literal),* $(,)?) => {
        // SAFETY: the declarations in abi.h were written from the server's documentation of these services, a real
        // server is asked for each of them by the tests, and each has its rows in tests/support/host/versions.rs.
        $(unsafe impl Table for abi::$table { const NAME: &'static CStr = $name; })*

        /// The name and the size of each of them, for the test that compares them with what each version of MySQL has.
        #[doc(hidden)]
        pub const USED: &[(&CStr, usize)] = &[$(($name, size_of::<abi::$table>())),*];
    };
}
tables! {
    kw_simple_error_log = c"mysql_simple_error_log",
    kw_status_variables = c"status_variable_registration",
    kw_thread_reader = c"mysql_current_thread_reader",
    kw_thread_security = c"mysql_thd_security_context",
    kw_security_options = c"mysql_security_context_options",
    kw_system_variables = c"component_sys_variable_register",
    kw_global_grants = c"global_grants_check",
    kw_udf_metadata = c"mysql_udf_metadata",
    kw_variable_reader = c"mysql_system_variable_reader",
    kw_runtime_error = c"mysql_runtime_error",
    kw_resource_group = c"pfs_resource_group_v3",
}

/// The registry, for as long as the server keeps it.
#[derive(Clone, Copy)]
pub(super) struct Registry<'a>(&'a abi::kw_registry);

impl<'a> Registry<'a> {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `table` is NULL, or the registry service, acquired and not released during `'a`.
    pub(super) unsafe fn new(table: *const abi::kw_registry) -> Option<Registry<'a>> {
        // SAFETY: by the caller's contract.
        unsafe { table.as_ref() }.map(Registry)
    }

    /// Acquires a service; `None` where the program has none of that name (migration tools have almost nothing).
    pub(super) fn service<T: Table>(self) -> Option<Service<'a, T>> {
        let mut handle = std::ptr::null_mut();
        let acquire = self.0.acquire?;
        // SAFETY: the registry lives; the name is NUL-terminated and the handle is writable.
        let failed = unsafe { acquire(T::NAME.as_ptr(), &raw mut handle) } != 0;
        let table = NonNull::new(handle.cast()).filter(|_| !failed)?;
        Some(Service {
            table,
            registry: self,
        })
    }
}

/// A service in use; released when dropped.
pub(super) struct Service<'a, T: Table> {
    table: NonNull<T>,
    registry: Registry<'a>,
}

impl<T: Table> Service<'_, T> {
    /// Keeps the service beyond this value; [`Service::kept`] takes it back.
    pub(super) fn keep(self) -> NonNull<T> {
        ManuallyDrop::new(self).table
    }
}

impl<'a, T: Table> Service<'a, T> {
    /// A service that was kept, to be released with this value.
    ///
    /// # Safety
    /// `table` comes from [`Service::keep`], of this server's registry, and this is done once.
    pub(super) unsafe fn kept(table: NonNull<T>, registry: Registry<'a>) -> Service<'a, T> {
        Service { table, registry }
    }
}

impl<T: Table> Deref for Service<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the server's table of this name, acquired and not yet released.
        unsafe { self.table.as_ref() }
    }
}

impl<T: Table> Drop for Service<'_, T> {
    fn drop(&mut self) {
        if let Some(release) = self.registry.0.release {
            // SAFETY: the handle came from this registry, and nobody uses it any more.
            unsafe { release(self.table.as_ptr().cast()) };
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{c_char, c_int};
    use std::sync::atomic::AtomicI32;

    static HELD: AtomicI32 = AtomicI32::new(0);
    static LOG: abi::kw_simple_error_log = abi::kw_simple_error_log { emit: None };

    guarded_fn! {
        fn acquire(name: *const c_char, out: *mut abi::kw_handle) -> c_int, failure = 1; {
            // SAFETY: the registry passes a name.
            let known = unsafe { CStr::from_ptr(name) } == abi::kw_simple_error_log::NAME;
            let handle = match known {
                true => (&raw const LOG).cast_mut().cast(),
                // What must not be taken for a service: a handle beside a failure.
                false => 8 as abi::kw_handle,
            };
            // SAFETY: the registry passes a place.
            unsafe { out.write(handle) };
            HELD.fetch_add(c_int::from(known), Ordering::SeqCst);
            Ok(c_int::from(!known))
        }
    }
    guarded_fn! {
        fn release(_service: abi::kw_handle) -> c_int, failure = 1; {
            HELD.fetch_sub(1, Ordering::SeqCst);
            Ok(0)
        }
    }

    #[test]
    fn each_service_is_released_once_and_a_failure_is_none() {
        let table = abi::kw_registry {
            acquire: Some(acquire),
            acquire_related: None,
            release: Some(release),
        };
        let held = || HELD.load(Ordering::SeqCst);
        // SAFETY: the table outlives its use.
        let registry = unsafe { Registry::new(&raw const table) }.unwrap();
        let service = registry.service::<abi::kw_simple_error_log>().unwrap();
        assert_eq!(held(), 1);
        let kept = service.keep();
        assert_eq!(held(), 1);
        // SAFETY: kept just now.
        drop(unsafe { Service::kept(kept, registry) });
        assert_eq!(held(), 0);
        assert!(registry.service::<abi::kw_status_variables>().is_none());
        assert_eq!(held(), 0);
        // SAFETY: NULL is within the contract.
        assert!(unsafe { Registry::new(std::ptr::null()) }.is_none());
    }
}
