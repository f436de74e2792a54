//! Files: how they are opened, made, replaced and synced, and what of it Rust has no safe wrapper for.
//!
//! Owns the checks on every file that is opened (no symbolic link, regular, one link). It must never follow a
//! symbolic link in the last path component. Whose rights are used is [`super::identity`]'s.

use crate::error::{Error, Kind, Result};
use crate::os::denied;
use std::ffi::CString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Renames `from` to `to` unless `to` exists (EEXIST). File systems that can't do this in one
/// step (EINVAL, ENOSYS) get a check and a plain rename: callers hold the keyring's lock.
pub fn rename_noreplace(from: &Path, to: &Path) -> io::Result<()> {
    let c = |p: &Path| CString::new(p.as_os_str().as_bytes()).map_err(io::Error::other);
    let (cfrom, cto) = (c(from)?, c(to)?);
    // SAFETY: both pointers are NUL-terminated strings that live until the call returns.
    let rc = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            cfrom.as_ptr(),
            libc::AT_FDCWD,
            cto.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if rc == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS) => match std::fs::symlink_metadata(to) {
            Ok(_) => Err(io::Error::from_raw_os_error(libc::EEXIST)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
            Err(e) => Err(e),
        },
        _ => Err(error),
    }
}

/// Bytes that an account without privileges may still write to the file system of a folder.
///
/// # Errors
/// The system's.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let path = std::ffi::CString::new(std::os::unix::ffi::OsStrExt::as_bytes(folder.as_os_str()))?;
    // SAFETY: all-zero bytes are a valid statvfs, which is a struct of integers.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with NUL, and stat is a place for the answer.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether a file could be made in a folder, without making one.
///
/// # Errors
/// The system's: its rights, a file system that is read-only.
pub fn could_create_in(folder: &Path) -> io::Result<()> {
    let unnamed = OpenOptions::new()
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_TMPFILE | libc::O_CLOEXEC)
        .open(folder);
    match unnamed {
        Ok(_) => return Ok(()),
        // A file system without nameless files.
        Err(e)
            if matches!(
                e.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
            ) => {}
        Err(e) => return Err(e),
    }
    let path = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: the path ends with NUL.
    let rc = unsafe {
        libc::faccessat(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::W_OK | libc::X_OK,
            libc::AT_EACCESS,
        )
    };
    match rc {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The path of a file that belongs to `path` and lies beside it.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

/// Most files of one suffix beside a path.
pub const MOST_BESIDE: u32 = 99;

/// A file beside `path` under a name that nothing has: with the suffix, else with `.2` to `.99` behind it. `make` makes the file, which fails with AlreadyExists where there is one.
///
/// # Errors
/// The system's; AlreadyExists: all of them are there.
pub fn make_beside<T>(
    path: &Path,
    suffix: &str,
    mut make: impl FnMut(&Path) -> io::Result<T>,
) -> io::Result<(PathBuf, T)> {
    for n in 1..=MOST_BESIDE {
        let name = match n {
            1 => beside(path, suffix),
            n => beside(path, &format!("{suffix}.{n}")),
        };
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// How [`open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For reading.
    Read,
    /// For reading, whatever other names the file has.
    ReadLinked,
    /// For reading and writing; the file must exist.
    ReadWrite,
    /// For reading and writing; created with mode 0600 where it is missing.
    Create,
    /// For reading and writing; must not exist; mode 0600.
    CreateNew,
}

/// What an open file is, if it is a regular one.
pub(super) fn regular(file: &File) -> io::Result<Metadata> {
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::Error::other("it is a folder, not a file"));
    }
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(meta)
}

/// Opens a regular file for reading, through symbolic links: for files in folders that only
/// administrators can write. Never blocks on a FIFO.
pub fn open_following(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK)
        .open(path)?;
    let meta = regular(&file)?;
    Ok((file, meta))
}

/// Opens for reading what `path` leads to from the folder `at`, without a symbolic link on the whole way and as `resolve` says
/// beside that; waits for no FIFO.
pub(super) fn open_resolved(at: RawFd, path: &Path, resolve: u64) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all-zero bytes are a valid open_how, which is a struct of integers.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as u64;
    how.resolve = libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS | resolve;
    // SAFETY: the path ends with NUL, and the call is told the size of the struct that it reads.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            at,
            path.as_ptr(),
            &raw const how,
            size_of::<libc::open_how>(),
        )
    };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Opens a regular file with one link for reading, and no symbolic link on the whole way to it: what an absolute or
/// relative path says is what is opened, whoever may write to the folders on the way (openat2(2), Linux 5.6).
pub fn open_without_links(path: &Path) -> io::Result<File> {
    let file = open_resolved(libc::AT_FDCWD, path, 0)?;
    match regular(&file)?.nlink() {
        1 => Ok(file),
        n => Err(io::Error::other(format!(
            "it has {n} hard links instead of one"
        ))),
    }
}

/// Opens a file without following a symbolic link in the last component and checks that it is a
/// regular file with one link. Never blocks on a FIFO.
pub fn open(path: &Path, access: Access) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK);
    match access {
        Access::Read | Access::ReadLinked => {}
        Access::ReadWrite => {
            options.write(true);
        }
        Access::Create => {
            options.write(true).create(true).truncate(false);
        }
        Access::CreateNew => {
            options.write(true).create_new(true);
        }
    }
    let file = options.open(path).map_err(|e| match e.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a symbolic link, which is not followed"),
        Some(libc::EISDIR) => io::Error::other("it is a folder, not a file"),
        _ => e,
    })?;
    let meta = regular(&file)?;
    if meta.nlink() != 1 && access != Access::ReadLinked {
        return Err(io::Error::other(format!(
            "it has {} hard links instead of one",
            meta.nlink()
        )));
    }
    Ok((file, meta))
}

/// Reads a whole small file of at most `limit` bytes; more is an error.
pub fn read_bounded(file: &mut File, limit: u64) -> io::Result<Vec<u8>> {
    // The size is a guess only (a file in /proc has none), but growing step by step copies it all.
    let size = file.metadata().map_or(0, |m| m.len().min(limit));
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size as usize + 1)?;
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// fsyncs a folder, so that creations and renames in it are on disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a small file so that a crash leaves either the old content or the new one: temporary
/// file beside it, fsync, rename, fsync of the folder. Mode 0600.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::other("the path has no folder"))?;
    let temporary = beside(path, ".tmp");
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let result = (|| {
        let (mut file, _) = open(&temporary, Access::CreateNew)?;
        io::Write::write_all(&mut file, content)?;
        file.sync_all()?;
        // Opened before the rename: behind it nothing may fail but the sync itself.
        let folder = File::open(folder)?;
        std::fs::rename(&temporary, path)?;
        Ok(folder)
    })();
    match result {
        Ok(folder) => folder.sync_all(),
        Err(e) => {
            let _ = std::fs::remove_file(&temporary);
            Err(e)
        }
    }
}

/// An absolute path that names a file in a folder that exists: the folder with symbolic links
/// resolved, and the path of the file in it.
pub fn resolve(path: &Path, op: &'static str) -> Result<(PathBuf, PathBuf)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(
            Kind::Config,
            op,
            format!("'{}' does not name a file", path.display()),
        ));
    };
    if !path.is_absolute() {
        return Err(Error::new(
            Kind::Config,
            op,
            format!("the path '{}' is not absolute", path.display()),
        )
        .hint("Give the path from the root on: the server changes its working directory."));
    }
    let folder = folder.canonicalize().map_err(|e| {
        denied::folder_or(op, folder, e, |e| {
            Error::io(op, format!("the folder '{}'", folder.display()), e).hint(
                "Create the folder, owned by the account that runs mysqld and with mode 0750, or mount \
                 the volume that holds it.",
            )
        })
    })?;
    let file = folder.join(name);
    Ok((folder, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_way_may_be_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("d")).unwrap();
        std::fs::write(top.join("d/f"), b"x").unwrap();
        std::os::unix::fs::symlink("d", top.join("way")).unwrap();
        std::os::unix::fs::symlink("d/f", top.join("last")).unwrap();
        assert!(open_without_links(&top.join("d/f")).is_ok());
        assert!(open_without_links(&top.join("way/f")).is_err());
        assert!(open_without_links(&top.join("last")).is_err());
        assert!(open_without_links(&top.join("d")).is_err());
        assert!(open_without_links(&top.join("absent")).is_err());
        std::fs::hard_link(top.join("d/f"), top.join("second")).unwrap();
        assert!(open_without_links(&top.join("d/f")).is_err());
    }

    #[test]
    fn open_refuses_links_folders_and_second_links() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, b"x").unwrap();
        let link = dir.path().join("l");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(
            open(&link, Access::Read)
                .unwrap_err()
                .to_string()
                .contains("symbolic link")
        );
        assert!(
            open(dir.path(), Access::Read)
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        assert!(
            open(dir.path(), Access::ReadWrite)
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        std::fs::hard_link(&file, dir.path().join("h")).unwrap();
        assert!(
            open(&file, Access::Read)
                .unwrap_err()
                .to_string()
                .contains("2 hard links")
        );
    }

    #[test]
    fn rename_noreplace_keeps_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, b"a").unwrap();
        std::fs::write(&b, b"b").unwrap();
        assert_eq!(
            rename_noreplace(&a, &b).unwrap_err().raw_os_error(),
            Some(libc::EEXIST)
        );
        assert_eq!(std::fs::read(&b).unwrap(), b"b");
        std::fs::remove_file(&b).unwrap();
        rename_noreplace(&a, &b).unwrap();
        assert_eq!(std::fs::read(&b).unwrap(), b"a");
    }

    #[test]
    fn read_bounded_refuses_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [7u8; 10]).unwrap();
        assert_eq!(
            read_bounded(&mut File::open(&path).unwrap(), 10)
                .unwrap()
                .len(),
            10
        );
        assert!(read_bounded(&mut File::open(&path).unwrap(), 9).is_err());
    }
}
