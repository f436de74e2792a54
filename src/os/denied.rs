//! Why this account can't come to a file: which file or folder is in the way, whose it is, and what opens it.
//!
//! Owns the sentence. A file that is there and can't be read must never be taken for one that is absent.

use crate::error::{Error, Kind};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is in the way.
pub struct Blocked {
    /// The file itself, or a folder above it.
    pub place: PathBuf,
    /// It is a folder that this account can't pass.
    pub is_folder: bool,
    /// A sentence without its end: whose it is, and its mode.
    pub detail: String,
}

/// What keeps this account from reading a file that is there; `None`: nothing does.
pub fn blocked(file: &Path) -> Option<Blocked> {
    let mut folders: Vec<&Path> = file.ancestors().skip(1).collect();
    folders.reverse();
    let denied = |e: &std::io::Error| e.kind() == ErrorKind::PermissionDenied;
    let closed = folders
        .into_iter()
        .find(|folder| std::fs::metadata(folder.join(".")).is_err_and(|e| denied(&e)));
    let (place, may) = match closed {
        Some(folder) => (folder, "pass"),
        None if crate::sys::open_following(file).is_err_and(|e| denied(&e)) => (file, "read"),
        None => return None,
    };
    let (owner, mode) = match place.metadata() {
        Ok(meta) => (
            format!("user {}", meta.uid()),
            format!("mode {:04o}", meta.mode() & 0o7777),
        ),
        Err(_) => ("somebody else".into(), "unknown mode".into()),
    };
    Some(Blocked {
        place: place.to_path_buf(),
        is_folder: may == "pass",
        detail: format!(
            "'{}' belongs to {owner}, {mode}: the account of mysqld (User= in its unit) can't {may} it",
            place.display()
        ),
    })
}

/// The error for a file that this account may not read, and that is no secret.
pub fn error(op: &'static str, file: &Path, source: std::io::Error) -> Error {
    match blocked(file) {
        Some(Blocked {
            place,
            is_folder,
            detail,
        }) => {
            let remedy = match is_folder {
                true => super::reach::remedy(&place, file, None),
                false => format!("Run: chmod 644 '{}', or chown it.", place.display()),
            };
            Error::new(Kind::Permission, op, detail).hint(format!(
                "{remedy} Only the account's own rights count, also where root starts mysqld."
            ))
        }
        None => Error::io(op, format!("'{}'", file.display()), source),
    }
}
