//! The tables that `list_components()` hands to the server, and the order of coming and going.
//!
//! Requires the registry only. The keyring component is asked at run time: at a shutdown it goes first, and one that stood in
//! `requires` could not.

use crate::guard::Result;
use crate::{connections, control, events, functions, privileges, registry, tables};
use keyring_ward_boundary::{abi, panics};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::null;

/// A table of pointers that only the server's loader reads.
#[repr(transparent)]
struct Table<T>(T);
// SAFETY: the tables hold pointers to other constants and functions and are never written.
unsafe impl<T> Sync for Table<T> {}

static PROVIDES: Table<[abi::kw_component_provides; 4]> = Table([
    abi::kw_component_provides {
        name: c"event_tracking_query.component_keyring_ward_sql".as_ptr(),
        implementation: (&raw const events::TABLE).cast(),
    },
    abi::kw_component_provides {
        name: c"event_tracking_command.component_keyring_ward_sql".as_ptr(),
        implementation: (&raw const connections::COMMANDS).cast(),
    },
    abi::kw_component_provides {
        name: c"event_tracking_connection.component_keyring_ward_sql".as_ptr(),
        implementation: (&raw const connections::CONNECTIONS).cast(),
    },
    abi::kw_component_provides {
        name: null(),
        implementation: null(),
    },
]);

static REQUIRES: Table<[abi::kw_component_requires; 2]> = Table([
    abi::kw_component_requires {
        name: c"registry".as_ptr(),
        placeholder: (&raw const registry::PLACE)
            .cast_mut()
            .cast::<*mut c_void>(),
    },
    abi::kw_component_requires {
        name: null(),
        placeholder: std::ptr::null_mut(),
    },
]);

const fn metadata(key: &'static CStr, value: &'static CStr) -> abi::kw_component_metadata {
    abi::kw_component_metadata {
        key: key.as_ptr(),
        value: value.as_ptr(),
    }
}

static METADATA: Table<[abi::kw_component_metadata; 4]> = Table([
    metadata(c"mysql.author", c"Keyring Ward"),
    metadata(c"mysql.license", c"Apache-2.0 OR MIT"),
    metadata(c"mysql.dev", c"Keyring Ward"),
    abi::kw_component_metadata {
        key: null(),
        value: null(),
    },
]);

static COMPONENT: Table<abi::kw_component> = Table(abi::kw_component {
    name: c"component_keyring_ward_sql".as_ptr(),
    provides: PROVIDES.0.as_ptr(),
    requires_: REQUIRES.0.as_ptr(),
    metadata: METADATA.0.as_ptr(),
    init: Some(init),
    deinit: Some(deinit),
});

guarded_fn! {
    /// The one symbol that the server's component loader looks up.
    #[unsafe(no_mangle)]
    pub fn list_components() -> *const abi::kw_component, failure = null(); {
        Ok(&raw const COMPONENT.0)
    }
}

guarded_fn! {
    /// INSTALL COMPONENT, and each start of the server afterwards.
    fn init() -> c_int, failure = 1; {
        panics::be_silent();
        come().map(|()| 0)
    }
}

fn come() -> Result<()> {
    let objects = control::objects()?;
    functions::register(objects.functions)?;
    privileges::register(objects.privileges);
    tables::add(objects.tables);
    Ok(())
}

guarded_fn! {
    /// UNINSTALL COMPONENT, and each shutdown. The keyring component may be gone by then.
    fn deinit() -> c_int, failure = 1; {
        connections::watch(false);
        tables::delete();
        functions::unregister();
        privileges::unregister();
        Ok(0)
    }
}
