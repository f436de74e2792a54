//! The server's component registry: the way to services of others.
//!
//! Owns acquiring and releasing services. It must never hand out a service whose table is not known, and never let one
//! be used after its release: a `Service` borrows the registry and gives itself back.

use crate::abi;
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

/// A service that we use: its table of functions and the name under which it is registered.
///
/// # Safety
/// What is registered under this name begins with this table.
pub unsafe trait Table {
    /// The service's name: without an implementation's, where the default one is meant.
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
    kw_udf_registration = c"udf_registration",
    kw_privileges = c"dynamic_privilege_register",
    kw_pfs_tables = c"pfs_plugin_table_v1",
    kw_pfs_string = c"pfs_plugin_column_string_v2",
    kw_pfs_bigint = c"pfs_plugin_column_bigint_v1",
    kw_pfs_datetime = c"pfs_plugin_column_datetime_v1",
    kw_control = c"keyring_ward_control.component_keyring_ward",
}

/// The registry, for as long as the server keeps it.
#[derive(Clone, Copy)]
pub struct Registry<'a>(&'a abi::kw_registry);

impl<'a> Registry<'a> {
    /// `None` for NULL.
    ///
    /// # Safety
    /// `table` is NULL, or the registry service, acquired and not released during `'a`.
    pub unsafe fn new(table: *const abi::kw_registry) -> Option<Registry<'a>> {
        // SAFETY: by the caller's contract.
        unsafe { table.as_ref() }.map(Registry)
    }

    /// Acquires a service; `None` where the program has none of that name (migration tools have almost nothing).
    pub fn service<T: Table>(self) -> Option<Service<'a, T>> {
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
pub struct Service<'a, T: Table> {
    table: NonNull<T>,
    registry: Registry<'a>,
}

impl<T: Table> Service<'_, T> {
    /// Keeps the service beyond this value; [`Service::kept`] takes it back.
    pub fn keep(self) -> NonNull<T> {
        ManuallyDrop::new(self).table
    }
}

impl<'a, T: Table> Service<'a, T> {
    /// A service that was kept, to be released with this value.
    ///
    /// # Safety
    /// `table` comes from [`Service::keep`], of this server's registry, and this is done once.
    pub unsafe fn kept(table: NonNull<T>, registry: Registry<'a>) -> Service<'a, T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::{c_char, c_int};
    use std::sync::atomic::{AtomicI32, Ordering};

    static HELD: AtomicI32 = AtomicI32::new(0);
    static LOG: abi::kw_simple_error_log = abi::kw_simple_error_log { emit: None };

    fn run<T>(_: &'static str, failure: T, body: impl FnOnce() -> Result<T, ()>) -> T {
        body().unwrap_or(failure)
    }
    crate::extern_fn! {
        run;
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
    crate::extern_fn! {
        run;
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
