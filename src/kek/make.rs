//! What `--generate` makes on this machine: a file with a new secret.
//!
//! It must never take a file that is there, and never leave one that is not whole.

use crate::error::{Error, Kind, Result};
use crate::os::file::{self, Access};
use crate::os::undo::Undo;
use crate::secret::SecretPool;
use crate::secret_source::SecretRef;
use std::io::Write;
use std::path::Path;

pub(super) const OP: &str = "set the keyring up";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What shall be made is there. It is never taken instead: it may be the one that was disclosed, or be another keyring's.
pub(super) fn exists_already(what: String) -> Error {
    Error::new(Kind::AlreadyExists, OP, format!("{what} exists already")).hint(
        "--generate makes a new one and never takes one that is there. Name another one, or leave --generate out to use it.",
    )
}

/// The file that a secret shall be made in.
///
/// # Errors
/// AlreadyExists: it is there. InvalidInput: it is no file.
pub(super) fn secret_path(source: &SecretRef) -> Result<&Path> {
    let no = |what: &str, hint: &str| Err(Error::new(Kind::InvalidInput, OP, what).hint(hint));
    match source {
        SecretRef::File(path) if std::fs::symlink_metadata(path).is_ok() => {
            Err(exists_already(format!("the secret '{}'", path.display())))
        }
        SecretRef::File(path) => Ok(path),
        SecretRef::Credential(name) => no(
            &format!("the credential '{name}' can't be made by this tool"),
            "systemd-creds encrypt makes one. Then leave --generate out.",
        ),
        SecretRef::Held(_) => no(
            "a passphrase that is given can't be made",
            "Leave --generate out, or name a file.",
        ),
    }
}

/// Makes a file of 32 random bytes, `as_text` as a line of 64 hexadecimal digits; gives the sentences about it.
///
/// # Errors
/// As [`secret_path`]; Io, Permission: what is wrong with the place.
pub(super) fn secret_file(source: &SecretRef, as_text: bool, undo: &mut Undo) -> Result<String> {
    let path = secret_path(source)?;
    let fail = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            exists_already(format!("the secret '{}'", path.display()))
        }
        _ => Error::io("make the secret file", format!("'{}'", path.display()), e),
    };
    let secret = SecretPool::new().random(32)?;
    let (mut file, _) = file::open(path, Access::CreateNew).map_err(fail)?;
    undo.file(path, &file);
    let written = if as_text {
        let mut text = SecretPool::new().zeroed(2 * secret.len() + 1)?;
        for (byte, digits) in secret.iter().zip(text.chunks_exact_mut(2)) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        text[2 * secret.len()] = b'\n';
        file.write_all(&text)
    } else {
        file.write_all(&secret)
    };
    written.and_then(|()| file.sync_all()).map_err(fail)?;
    file::sync_folder(path.parent().unwrap_or(Path::new("/"))).map_err(fail)?;
    Ok(format!(
        "Made the secret '{}'. Keep a copy of it apart from the database's backups: without it the keyring can't be opened.",
        path.display()
    ))
}
