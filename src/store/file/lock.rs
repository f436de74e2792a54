//! The writer's lock: `flock` on `<path>.lock`, a permanent file of its own.
//!
//! Not on the keyring file: a rewrite renames that one. The lock is closed, never unlocked: after
//! `--daemonize` launcher and child share it, and an unlock by one would release the other's.

use crate::error::{Error, Kind, Result};
use crate::os::denied;
use crate::sys::{self, Access};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const OP: &str = "lock the keyring file";

/// A held lock.
pub struct Lock {
    file: File,
    path: PathBuf,
    inode: (u64, u64),
    pid: AtomicU32,
}

impl Lock {
    /// The lock file that belongs to a keyring file.
    pub fn path_for(keyring: &Path) -> PathBuf {
        sys::beside(keyring, ".lock")
    }

    /// Takes the lock without waiting.
    ///
    /// # Errors
    /// Locked: somebody else holds it. Permission, ReadOnly, Io: the lock file can't be made.
    pub fn acquire(keyring: &Path) -> Result<Lock> {
        let path = Lock::path_for(keyring);
        let (mut file, meta) = sys::open(&path, Access::Create).map_err(|e| {
            denied::folder_or(OP, &path, e, |e| {
                Error::io(OP, format!("'{}'", path.display()), e).hint(
                    "The account that runs mysqld must be able to write the keyring's folder; on a \
                     read-only file system set read_only.",
                )
            })
        })?;
        take(&mut file, &path)?;
        let lock = Lock {
            file,
            path,
            inode: (meta.dev(), meta.ino()),
            pid: AtomicU32::new(0),
        };
        lock.refresh_pid();
        Ok(lock)
    }

    /// Takes the lock if its file is there, and writes nothing, not even who holds it. `None`: it is not there, so nobody
    /// holds it.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn acquire_existing(keyring: &Path) -> Result<Option<Lock>> {
        let path = Lock::path_for(keyring);
        let (mut file, meta) = match sys::open(&path, Access::ReadWrite) {
            Ok(opened) => opened,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(Error::io(OP, format!("'{}'", path.display()), e)
                    .hint("The account of mysqld must own it, mode 0600."));
            }
        };
        take(&mut file, &path)?;
        Ok(Some(Lock {
            file,
            path,
            inode: (meta.dev(), meta.ino()),
            pid: AtomicU32::new(std::process::id()),
        }))
    }

    /// Who holds the lock, as the kernel's list of locks tells; `None`: nobody that this process can see. Nothing
    /// is locked for the question: a server that starts just then must not meet it.
    ///
    /// # Errors
    /// The lock file is there and can't be opened.
    pub fn is_held(keyring: &Path) -> Result<Option<String>> {
        let path = Lock::path_for(keyring);
        let (mut file, meta) = match sys::open(&path, Access::Read) {
            Ok(opened) => opened,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(denied::folder_or(OP, &path, e, |e| {
                    Error::io(OP, format!("'{}'", path.display()), e)
                        .hint("The account of mysqld must own it, mode 0600.")
                }));
            }
        };
        // "1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF" (proc_locks(5)). The device is not compared: a
        // layered file system shows another one to stat.
        let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let inode = format!(":{}", meta.ino());
        let by = locks.lines().find_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let is_flock = fields.next() == Some("FLOCK");
            let pid = fields.nth(2)?;
            (is_flock && fields.next()?.ends_with(&inode)).then(|| pid.to_string())
        });
        // The kernel names who took the lock, which may be a launcher that is gone; the file names who has it, if
        // that was one of ours.
        Ok(by.map(|pid| match Path::new("/proc").join(&pid).exists() {
            true => format!("process {pid}"),
            false => holder(&mut file),
        }))
    }

    /// Notes this process as the holder, for the messages of others. Called again after a fork.
    pub fn refresh_pid(&self) {
        let pid = std::process::id();
        if self.pid.swap(pid, Ordering::Relaxed) != pid {
            // For people only, so a failure is of no consequence.
            let mut file = &self.file;
            let _ = file.rewind();
            let _ = file.write_all(format!("{pid:<10}\n").as_bytes());
        }
    }

    /// The path still leads to the locked file: nobody removed or replaced it.
    pub fn still_there(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.inode)
    }

    /// The keyring file that this lock is for.
    pub fn is_for(&self, keyring: &Path) -> bool {
        Lock::path_for(keyring) == self.path
    }
}

/// Locks an open lock file without waiting.
fn take(file: &mut File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let who = holder(file);
            Err(Error::new(
                    Kind::Locked,
                    OP,
                    format!("'{}' is held by {who}", path.display()),
                )
                .hint(
                    "Stop the other server or tool, or give each server a keyring file of its own. What a running server can do itself is one SQL function: keyring_ward_rekey(), keyring_ward_reseal() (share/install.sql).",
                ))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(OP, format!("'{}'", path.display()), e)
            .hint("The file system must support flock().")),
    }
}

/// The holder as its file names it.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.take(20).read_to_string(&mut text);
    let pid: String = text.chars().filter(char::is_ascii_digit).collect();
    match pid.is_empty() {
        true => "another process".into(),
        false => format!("process {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_its_pid_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = dir.path().join("k");
        let lock = Lock::acquire(&keyring).unwrap();
        let e = Lock::acquire(&keyring).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Locked);
        assert!(
            e.to_string()
                .contains(&format!("process {}", std::process::id())),
            "{e}"
        );
        assert_eq!(
            Lock::is_held(&keyring).unwrap(),
            Some(format!("process {}", std::process::id()))
        );
        assert!(lock.still_there() && lock.is_for(&keyring));
        assert!(!lock.is_for(&dir.path().join("other")));
        drop(lock);
        assert_eq!(Lock::is_held(&keyring).unwrap(), None);
        assert_eq!(Lock::is_held(&dir.path().join("other")).unwrap(), None);
        let lock = Lock::acquire(&keyring).unwrap();
        std::fs::remove_file(Lock::path_for(&keyring)).unwrap();
        assert!(!lock.still_there());
    }
}
