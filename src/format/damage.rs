//! Errors about a keyring's bytes: damaged, or written by a newer version.
//!
//! Owns the advice that goes with each. It must never advise to write to the file that is at fault.

use crate::error::{Error, Kind};

const READ: &str = "read the keyring file";
/// How a damaged file is mended.
pub const RESTORE: &str = "Nothing was changed. Restore the file from a backup.";
/// What to do about a keyring of a newer version.
const NEWER: &str = "It was written by a newer Keyring Ward. Install that version; nothing was changed. If no newer version has written it, \
     restore the file from a backup.";

/// A file is damaged at byte `at`.
pub fn damaged(at: u64, why: impl std::fmt::Display) -> Error {
    let context = format!("at byte {at}: {why}");
    Error::new(Kind::Tampered, READ, context).hint(RESTORE)
}

/// A keyring says something that only a newer version understands.
pub fn newer(why: impl std::fmt::Display) -> Error {
    Error::new(Kind::UnsupportedVersion, READ, why.to_string()).hint(NEWER)
}
