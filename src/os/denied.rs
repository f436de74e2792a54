//! Why this account can't come to a file: which file or folder is in the way, whose it is, and what opens it.
//!
//! Owns the sentence. A file that is there and can't be read must never be taken for one that is absent.

use crate::error::{Error, Kind};
use std::fs::Metadata;
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

impl Blocked {
    fn new(place: &Path, is_folder: bool, meta: Option<&Metadata>) -> Blocked {
        let (owner, mode) = match meta {
            Some(meta) => (
                format!("user {}", meta.uid()),
                format!("mode {:04o}", meta.mode() & 0o7777),
            ),
            None => ("somebody else".into(), "unknown mode".into()),
        };
        let may = match is_folder {
            true => "pass",
            false => "read",
        };
        Blocked {
            place: place.to_path_buf(),
            is_folder,
            detail: format!(
                "'{}' belongs to {owner}, {mode}: the account of mysqld (User= in its unit) can't {may} it",
                place.display()
            ),
        }
    }

    /// The folder `place` can't be passed.
    pub(super) fn folder(place: &Path, meta: &Metadata) -> Blocked {
        Blocked::new(place, true, Some(meta))
    }

    /// What opens the way to `file`, which this is or lies below.
    pub fn remedy(&self, file: &Path) -> String {
        let remedy = match self.is_folder {
            true => super::reach::remedy(&self.place, file, None),
            false => format!("Run: chmod 644 '{}', or chown it.", self.place.display()),
        };
        format!("{remedy} Only the account's own rights count, also where root starts mysqld.")
    }
}

/// What keeps this account from reading a file that is there; `None`: nothing does.
pub fn blocked(file: &Path) -> Option<Blocked> {
    let denied = |e: &std::io::Error| e.kind() == ErrorKind::PermissionDenied;
    folder(file).or_else(|| {
        crate::os::file::open_following(file)
            .is_err_and(|e| denied(&e))
            .then(|| Blocked::new(file, false, file.metadata().ok().as_ref()))
    })
}

/// The first folder above a file that this account can't pass.
fn folder(file: &Path) -> Option<Blocked> {
    let mut folders: Vec<&Path> = file.ancestors().skip(1).collect();
    folders.reverse();
    let closed = folders.into_iter().find(|folder| {
        std::fs::metadata(folder.join(".")).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
    })?;
    Some(Blocked::new(closed, true, closed.metadata().ok().as_ref()))
}

/// The error for a file that could not be opened: of the folder that is in the way, or else what `otherwise` says.
pub fn folder_or(
    op: &'static str,
    file: &Path,
    source: std::io::Error,
    otherwise: impl FnOnce(std::io::Error) -> Error,
) -> Error {
    let denied = source.kind() == ErrorKind::PermissionDenied;
    match denied.then(|| folder(file)).flatten() {
        Some(blocked) => {
            let why = format!("'{}': {}", file.display(), blocked.detail);
            Error::new(Kind::Permission, op, why).hint(blocked.remedy(file))
        }
        None => otherwise(source),
    }
}

/// The error for a file that this account may not read, and that is no secret.
pub fn error(op: &'static str, file: &Path, source: std::io::Error) -> Error {
    match blocked(file) {
        Some(blocked) => {
            let remedy = blocked.remedy(file);
            Error::new(Kind::Permission, op, blocked.detail).hint(remedy)
        }
        None => Error::io(op, format!("'{}'", file.display()), source),
    }
}
