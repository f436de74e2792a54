//! Lines in the server's error log.
//!
//! The service is acquired for each line: there are few, and nothing is left that would have to be released.

use crate::registry;
use keyring_ward_boundary::{abi, log};

fn write(severity: std::ffi::c_int, text: &str) {
    let service = registry::get().and_then(|r| r.service::<abi::kw_simple_error_log>());
    log::write(service.as_deref(), severity, text);
}

/// Something that needs an operator.
pub(crate) fn error(text: &str) {
    write(log::ERROR, text);
}

/// Something that an operator should know.
pub(crate) fn warning(text: &str) {
    write(log::WARNING, text);
}
