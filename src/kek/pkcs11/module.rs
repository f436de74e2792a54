//! Loading a PKCS#11 module and the span between C_Initialize and C_Finalize.
//!
//! Owns the checks on the file: a module runs inside mysqld, so nobody but root may be able to change it. It must never load a file that fails them.

use super::{errors, process};
use crate::error::{Error, Kind, Result};
use crate::os::file;
use crate::os::identity::{effective_uid, has_given_up_root};
use cryptoki::context::Pkcs11;
use cryptoki::error::RvError;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const OP: &str = "load the PKCS#11 module";

/// Libraries, by their own description, that don't work any more after C_Finalize and a second C_Initialize.
/// Measured with opencryptoki 3.27: every login answers CKR_CANT_LOCK until the library is loaded anew, and
/// unloading it ends mysqld sooner or later, because a thread of it lives on.
const ONCE_ONLY: [&str; 1] = ["openCryptoki"];

/// A module between C_Initialize and C_Finalize. Ended on every path, by `Drop`.
pub(super) struct Initialized {
    /// The module's functions.
    pub(super) context: Pkcs11,
    /// Somebody else in this process has initialised it: not ours to end.
    pub(super) borrowed: bool,
    /// It can be initialised once only, so it is never ended.
    stays: bool,
    path: PathBuf,
}

impl Initialized {
    /// Checks, loads and initialises the module.
    pub(super) fn new(path: &Path, args: Option<&str>) -> Result<Initialized> {
        let resolved = check(path)?;
        let context = process::module(&resolved, || {
            Pkcs11::new(&resolved)
                .map_err(|e| errors::error(OP, &e).context(format!("'{}'", path.display())))
        })?;
        let borrowed = match crate::os::pkcs11::initialize(&context, args) {
            Ok(()) => false,
            Err(e) if errors::code(&e) == Some(RvError::CryptokiAlreadyInitialized) => {
                !process::note_unfinished(&resolved, false)
            }
            Err(e) => {
                return Err(errors::error("initialise the PKCS#11 module", &e)
                    .context(format!("'{}'", path.display())));
            }
        };
        let stays = context.get_library_info().is_ok_and(|info| {
            ONCE_ONLY
                .iter()
                .any(|name| info.library_description().contains(name))
        });
        Ok(Initialized {
            context,
            borrowed,
            stays,
            path: resolved,
        })
    }
}

impl Drop for Initialized {
    fn drop(&mut self) {
        if !self.borrowed {
            // Where it stays initialised, the next use finds it so, and ends it for us.
            let stays = self.stays || self.context.clone().finalize().is_err();
            process::note_unfinished(&self.path, stays);
        }
    }
}

/// The module's real path, after the checks.
pub(super) fn check(path: &Path) -> Result<PathBuf> {
    let io = |e| {
        Error::io(OP, format!("'{}'", path.display()), e)
            .hint("Set pkcs11_module to the PKCS#11 library that the HSM's vendor documents.")
    };
    let resolved = path.canonicalize().map_err(io)?;
    // The file and every folder above it: who can write one of them can exchange the module.
    for place in resolved.ancestors() {
        let meta = std::fs::metadata(place).map_err(io)?;
        let writable = meta.mode() & 0o022 != 0;
        // A process that is not root, and never was, is allowed what it can change itself anyway. One that was root has
        // root's terminal and environment.
        let own = !has_given_up_root() && effective_uid() != 0 && meta.uid() == effective_uid();
        let trusted = meta.uid() == 0 || own;
        if writable || !trusted {
            let why = if writable {
                format!(
                    "has mode {:04o}: others than its owner can change it",
                    meta.mode() & 0o7777
                )
            } else {
                format!("belongs to user {}, not to root", meta.uid())
            };
            return Err(Error::new(
                Kind::Permission,
                OP,
                format!("'{}' {why}", place.display()),
            )
            .hint("A module runs inside mysqld: it and every folder above it must belong to root and be writable by nobody else."));
        }
    }
    let (mut file, _) = file::open_following(&resolved).map_err(io)?;
    let mut head = [0; 20];
    let read = file.read(&mut head).map_err(io)?;
    check_elf(&head[..read]).map_err(|why| {
        Error::new(Kind::Config, OP, format!("'{}' {why}", path.display()))
            .hint("Set pkcs11_module to the library for this machine's architecture.")
    })?;
    Ok(resolved)
}

/// The first bytes of a shared library for this machine (ELF: class, byte order, type, machine).
fn check_elf(head: &[u8]) -> std::result::Result<(), &'static str> {
    const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    const SHARED: u16 = 3;
    if head.len() < 20 || head[..4] != *b"\x7fELF" {
        return Err("is not a shared library");
    }
    let half = |i: usize| u16::from_le_bytes([head[i], head[i + 1]]);
    if head[4] != 2 || head[5] != 1 || half(18) != MACHINE {
        return Err("is a library for another architecture");
    }
    if half(16) != SHARED {
        return Err("is a program, not a library");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_what_nobody_else_can_change_is_loaded() {
        // /tmp is writable by everybody: every file below it is refused, whoever owns it.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let file = dir.path().join("m.so");
        std::fs::write(&file, b"x").unwrap();
        let e = check(&file).unwrap_err();
        assert_eq!(e.kind(), Kind::Permission);
        assert!(e.to_string().contains("'/tmp'"), "{e}");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        let e = check(&file).unwrap_err();
        assert!(e.to_string().contains("0666"), "{e}");
        let e = check(&dir.path().join("absent.so")).unwrap_err();
        assert_eq!(e.kind(), Kind::NotFound);
    }

    #[test]
    fn the_wrong_kind_of_file_has_its_sentence() {
        assert_eq!(check_elf(b"#!/bin/sh"), Err("is not a shared library"));
        let own = std::fs::read("/proc/self/exe").unwrap();
        let mut head: [u8; 20] = own[..20].try_into().unwrap();
        head[16] = 3;
        assert_eq!(check_elf(&head), Ok(()));
        head[16] = 2;
        assert_eq!(check_elf(&head), Err("is a program, not a library"));
        head[18] = 3;
        assert_eq!(
            check_elf(&head),
            Err("is a library for another architecture")
        );
        head[4] = 1;
        assert_eq!(
            check_elf(&head),
            Err("is a library for another architecture")
        );
        // A file of root's that is no library at all, in a folder of root's.
        let e = check(Path::new("/etc/passwd")).unwrap_err();
        assert!(e.to_string().contains("not a shared library"), "{e}");
    }
}
