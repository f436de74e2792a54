//! One line of the server's error log.
//!
//! Owns how a line looks when it gets there: one line, bounded, as a free text. It must never write to standard output, which
//! belongs to the migration tool.

use crate::abi;
use std::ffi::{CString, c_int};

/// Something that is told however little the log is to tell.
pub const SYSTEM: c_int = 0;
/// Something that needs an operator.
pub const ERROR: c_int = 1;
/// Something that an operator should know.
pub const WARNING: c_int = 2;
/// Something for those who look closely.
pub const NOTE: c_int = 3;

/// `ER_LOG_PRINTF_MSG`: a free text.
const FREE_TEXT: c_int = 11_071;
/// Longest line in bytes.
const MAX_LINE: usize = 2048;

/// Writes a line: to the server's log, where there is none to standard error. What is longer than 2,048 bytes is cut.
pub fn write(service: Option<&abi::kw_simple_error_log>, severity: c_int, text: &str) {
    let mut end = text.len().min(MAX_LINE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let line: String = text[..end]
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let emit = service.and_then(|service| service.emit);
    let (Some(emit), Ok(line_c)) = (emit, CString::new(line.as_str())) else {
        eprintln!("[keyring_ward] {line}");
        return;
    };
    let name = c"keyring_ward".as_ptr();
    // SAFETY: a table of the server's, which the caller has acquired. The format belongs to the message number: "%s", for our
    // one argument. All strings are NUL-terminated.
    unsafe { emit(name, name, 1, severity, FREE_TEXT, line_c.as_ptr()) };
}
