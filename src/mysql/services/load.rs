//! `keyring_load`: open the keyring at start, open it anew for ALTER INSTANCE RELOAD KEYRING.

use crate::config::discover;
use crate::error::Result;
use crate::lifecycle::{Host, Role};
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, log, ptr};
use std::ffi::{OsStr, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The service's table.
pub static TABLE: abi::kw_load = abi::kw_load { load: Some(load) };

guarded_fn! {
    /// 0: the keyring serves (or this run needs none).
    fn load(component_path: *const c_char, instance_path: *const c_char) -> c_int, failure = 1; {
        // SAFETY: the server passes NULL or NUL-terminated strings.
        let (component_dir, instance_dir) =
            unsafe { (ptr::bytes(component_path), ptr::bytes(instance_path)) };
        // The lifecycle has logged and kept the error.
        Ok(c_int::from(load_from(component_dir, instance_dir).is_err()))
    }
}

/// Loads the component's configuration and keyring, or loads them anew.
fn load_from(component_dir: &[u8], instance_dir: &[u8]) -> Result<()> {
    let component_dir = directory(component_dir).unwrap_or_else(|| ".".into());
    let instance_dir = directory(instance_dir);
    let command_line = LIFECYCLE.host.command_line();
    let instance = instance_dir.clone();
    let again = LIFECYCLE.was_loaded();
    LIFECYCLE
        .load(Role::Component, instance_dir.as_deref(), move || {
            discover::component_config(&component_dir, instance.as_deref(), command_line)
        })
        .inspect(|()| {
            if again {
                // After the first load the server may fork yet.
                LIFECYCLE.tend();
            }
            if command_line.is_help_run() {
                log::note(
                    "Keyring Ward stays idle: this run only prints help or validates options.",
                );
            }
        })
}

/// The directory argument of a load call as a path.
fn directory(bytes: &[u8]) -> Option<PathBuf> {
    (!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(bytes)))
}
