//! The component role: the tables that `list_components()` hands to the server.
//!
//! Requires the registry only; everything else is acquired at run time and done without where it
//! is missing (migration tools have almost nothing).

use super::log::LOG;
use super::state::{self, LIFECYCLE};
use super::{abi, identity, registry, services, status_variables};
use crate::lifecycle::Role;
use std::ffi::{CStr, c_int, c_void};

/// A table of pointers that only the server's loader reads.
#[repr(transparent)]
struct Table<T>(T);
// SAFETY: the tables hold pointers to other constants and functions and are never written.
unsafe impl<T> Sync for Table<T> {}

const fn provides<T>(name: &'static CStr, table: &'static T) -> abi::kw_component_provides {
    abi::kw_component_provides {
        name: name.as_ptr(),
        implementation: (table as *const T).cast(),
    }
}

static PROVIDES: Table<[abi::kw_component_provides; 10]> = Table([
    provides(
        c"keyring_reader_with_status.component_keyring_ward",
        &services::reader::TABLE,
    ),
    provides(
        c"keyring_writer.component_keyring_ward",
        &services::writer::TABLE,
    ),
    provides(
        c"keyring_generator.component_keyring_ward",
        &services::generator::TABLE,
    ),
    provides(
        c"keyring_keys_metadata_iterator.component_keyring_ward",
        &services::keys_iterator::TABLE,
    ),
    provides(
        c"keyring_component_status.component_keyring_ward",
        &services::component_status::TABLE,
    ),
    provides(
        c"keyring_component_metadata_query.component_keyring_ward",
        &services::metadata_query::TABLE,
    ),
    provides(
        c"keyring_load.component_keyring_ward",
        &services::load::TABLE,
    ),
    provides(c"keyring_aes.component_keyring_ward", &services::aes::TABLE),
    provides(
        c"keyring_ward_control.component_keyring_ward",
        &services::control::TABLE,
    ),
    abi::kw_component_provides {
        name: std::ptr::null(),
        implementation: std::ptr::null(),
    },
]);

static REQUIRES: Table<[abi::kw_component_requires; 2]> = Table([
    abi::kw_component_requires {
        name: c"registry".as_ptr(),
        placeholder: (&raw const registry::OF_COMPONENT)
            .cast_mut()
            .cast::<*mut c_void>(),
    },
    abi::kw_component_requires {
        name: std::ptr::null(),
        placeholder: std::ptr::null_mut(),
    },
]);

const fn metadata(key: &'static CStr, value: &'static CStr) -> abi::kw_component_metadata {
    abi::kw_component_metadata {
        key: key.as_ptr(),
        value: value.as_ptr(),
    }
}

static METADATA: Table<[abi::kw_component_metadata; 5]> = Table([
    metadata(c"mysql.author", c"Keyring Ward"),
    metadata(c"mysql.license", c"Apache-2.0 OR MIT"),
    metadata(c"mysql.dev", c"Keyring Ward"),
    metadata(c"component_keyring_ward_service", c"1"),
    abi::kw_component_metadata {
        key: std::ptr::null(),
        value: std::ptr::null(),
    },
]);

/// The version as a text that the tool reads out of an installed library.
#[unsafe(export_name = "keyring_ward_version")]
pub static VERSION_TEXT: [u8; crate::VERSION.len() + 1] = {
    let mut text = [0; crate::VERSION.len() + 1];
    let mut i = 0;
    while i < crate::VERSION.len() {
        text[i] = crate::VERSION.as_bytes()[i];
        i += 1;
    }
    text
};

static COMPONENT: Table<abi::kw_component> = Table(abi::kw_component {
    name: c"component_keyring_ward".as_ptr(),
    provides: PROVIDES.0.as_ptr(),
    requires_: REQUIRES.0.as_ptr(),
    metadata: METADATA.0.as_ptr(),
    init: Some(init),
    deinit: Some(deinit),
});

guarded_fn! {
    /// The one symbol that the server's component loader looks up.
    #[unsafe(no_mangle)]
    pub fn list_components() -> *const abi::kw_component, failure = std::ptr::null(); {
        Ok(&raw const COMPONENT.0)
    }
}

guarded_fn! {
    fn init() -> c_int, failure = 1; {
        state::learn_about_process();
        registry::set_component_is_loaded(true);
        if let Some(registry) = registry::of_component() {
            LOG.connect(registry, Role::Component);
            status_variables::show(registry, true);
        }
        Ok(0)
    }
}

guarded_fn! {
    fn deinit() -> c_int, failure = 1; {
        let registry = registry::of_component();
        registry::set_component_is_loaded(false);
        LIFECYCLE.unload(Role::Component);
        if let Some(registry) = registry {
            status_variables::show(registry, false);
            identity::forget(registry, Role::Component);
            LOG.disconnect(registry, Role::Component);
        }
        Ok(0)
    }
}
