//! `reset-marker`: tell a data directory that it starts with another keyring.

use crate::error::{Error, Kind, Result};
use crate::store::file::marker;
use std::path::{Path, PathBuf};

/// Removes the marker of a data directory; gives its path.
///
/// # Errors
/// NotFound: there is none.
pub fn reset(data_dir: &Path) -> Result<PathBuf> {
    let path = marker::path_in(data_dir);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(path),
        Err(e) => {
            let e = Error::io("remove the marker", format!("'{}'", path.display()), e);
            let hint = match e.kind() {
                Kind::NotFound => "There is nothing to reset.",
                _ => "Run this as root or as the account that runs mysqld.",
            };
            Err(e.hint(hint))
        }
    }
}
