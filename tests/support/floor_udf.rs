//! The disk's floor under the server's own conditions: a loadable SQL function that appends 150 bytes
//! to a file and fdatasyncs it, so that `scripts/bench.sh` can time it in turn with `generate`, in the same
//! thread of the same server. A program beside the server meets the disk in another mood.
//!
//! Owns one file handle. It must never be part of what is installed.
//!
//! ```sql
//! CREATE FUNCTION kw_floor RETURNS INTEGER SONAME 'libfloor_udf.so';   -- then: DO kw_floor()
//! ```
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_longlong, c_void};
use std::fs::File;
use std::io::Write;
use std::sync::OnceLock;

static FLOOR: OnceLock<Option<File>> = OnceLock::new();

/// Opens the file on first use; `true` is an error (MySQL manual, "Loadable Function Arguments").
#[unsafe(no_mangle)]
pub extern "C" fn kw_floor_init(
    _init: *mut c_void,
    _args: *mut c_void,
    _message: *mut c_char,
) -> bool {
    let open = || {
        File::options()
            .append(true)
            .create(true)
            .open("/var/lib/mysql-keyring/floor")
            .ok()
    };
    FLOOR.get_or_init(open).is_none()
}

/// One append, one fdatasync: 1, or 0 where either failed.
#[unsafe(no_mangle)]
pub extern "C" fn kw_floor(
    _init: *mut c_void,
    _args: *mut c_void,
    _is_null: *mut c_int,
    _error: *mut c_int,
) -> c_longlong {
    let done = FLOOR
        .get()
        .and_then(Option::as_ref)
        .is_some_and(|mut file| {
            file.write_all(&[7; 150])
                .and_then(|()| file.sync_data())
                .is_ok()
        });
    c_longlong::from(done)
}
