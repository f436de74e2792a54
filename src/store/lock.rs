//! The writer's locks: `flock` on `<path>.lock`, a permanent file of its own, and on the keyring file itself.
//!
//! The first one belongs to a path: a rewrite renames the keyring file, and there may be none yet. The second one
//! belongs to an inode: one file that is mounted into two folders has two paths, and a lock file can be removed. Both
//! are closed, never unlocked: after `--daemonize` launcher and child share them, and an unlock by one would release
//! the other's. Readers take none.

use crate::error::{Error, Kind, Result};
use crate::os::denied;
use crate::os::file::{self, Access};
use crate::store::Mode;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const OP: &str = "lock the keyring file";
const STOP_THE_OTHER: &str = "Stop the other server or tool, or give each server a keyring file of its own. What a \
    running server can do itself is one SQL function: keyring_ward_rekey(), keyring_ward_reseal() (share/install.sql).";

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
        file::beside(keyring, ".lock")
    }

    /// Takes the lock without waiting.
    ///
    /// # Errors
    /// Locked: somebody else holds it. Permission, ReadOnly, Io: the lock file can't be made.
    pub fn acquire(keyring: &Path) -> Result<Lock> {
        let path = Lock::path_for(keyring);
        let (file, meta) = file::open(&path, Access::Create).map_err(|e| {
            denied::folder_or(OP, &path, e, |e| {
                let hint = refused(&path, &e);
                Error::io(OP, format!("'{}'", path.display()), e).hint(hint)
            })
        })?;
        take(&file, &path)?;
        let lock = Lock {
            file,
            path,
            inode: (meta.dev(), meta.ino()),
            pid: AtomicU32::new(0),
        };
        lock.refresh_pid();
        Ok(lock)
    }

    /// The lock that opening a keyring in this mode needs: the one that is handed over, if it is of this keyring and still
    /// there, else a new one.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn for_mode(
        keyring: &Path,
        mode: Mode,
        inherited: Option<Arc<Lock>>,
    ) -> Result<Option<Arc<Lock>>> {
        let usable = |lock: &Arc<Lock>| lock.is_for(keyring) && lock.still_there();
        match mode {
            Mode::ReadWrite => match inherited.filter(usable) {
                Some(lock) => Ok(Some(lock)),
                None => Lock::acquire(keyring).map(|lock| Some(Arc::new(lock))),
            },
            Mode::DryRun => Ok(Lock::acquire_existing(keyring)?.map(Arc::new)),
            Mode::ReadOnly | Mode::Snapshot => Ok(None),
        }
    }

    /// Removes a lock file that was made for nothing. One that somebody holds stays, and nobody can take it meanwhile.
    pub fn remove_free(path: &Path) {
        if let Ok((file, _)) = file::open(path, Access::ReadWrite)
            && file.try_lock().is_ok()
        {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Takes the lock if its file is there, and writes nothing, not even who holds it. `None`: it is not there, so nobody
    /// holds it.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn acquire_existing(keyring: &Path) -> Result<Option<Lock>> {
        let path = Lock::path_for(keyring);
        let (file, meta) = match file::open(&path, Access::ReadWrite) {
            Ok(opened) => opened,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => {
                return Err(Error::io(OP, format!("'{}'", path.display()), e)
                    .hint("The account of mysqld must own it, mode 0600."));
            }
        };
        take(&file, &path)?;
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
        match file::open(&path, Access::Read) {
            Ok((file, meta)) => {
                if let Some(taker) = taker(meta.ino()) {
                    return Ok(Some(taker.unwrap_or_else(|| holder(&file))));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                return Err(denied::folder_or(OP, &path, e, |e| {
                    Error::io(OP, format!("'{}'", path.display()), e)
                        .hint("The account of mysqld must own it, mode 0600.")
                }));
            }
        }
        // The file itself, by a process that has it under another path.
        let there = std::fs::symlink_metadata(keyring).ok();
        Ok(there
            .and_then(|meta| taker(meta.ino()))
            .map(|who| who.unwrap_or_else(another)))
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

    /// Checks that the lock is in the folder that the path leads to now: a volume may have been mounted over it since it was
    /// taken, and then it is where no other server looks. A start tries again.
    ///
    /// # Errors
    /// Locked: it is not.
    pub fn check_there(&self) -> Result<()> {
        if self.still_there() {
            return Ok(());
        }
        let why = format!(
            "the folder of '{}' was exchanged while the keyring was opened, or the lock file was removed",
            self.path.display()
        );
        Err(Error::new(Kind::Locked, OP, why)
            .hint("A volume was mounted there perhaps. Try again."))
    }

    /// The keyring file that this lock is for.
    pub fn is_for(&self, keyring: &Path) -> bool {
        Lock::path_for(keyring) == self.path
    }
}

/// Locks an open lock file without waiting.
fn take(file: &File, path: &Path) -> Result<()> {
    take_or_say(file, path, || format!("is held by {}", holder(file)))
}

/// Locks an open file without waiting; `why` says who has it.
fn take_or_say(file: &File, path: &Path, why: impl FnOnce() -> String) -> Result<()> {
    let shown = path.display();
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let why = format!("'{shown}' {}", why());
            Err(Error::new(Kind::Locked, OP, why).hint(STOP_THE_OTHER))
        }
        Err(TryLockError::Error(e)) => {
            Err(Error::io(OP, format!("'{shown}'"), e)
                .hint("The file system must support flock()."))
        }
    }
}

/// A held keyring file, whatever path leads to it.
pub struct Hold {
    /// The open file that was locked; whoever shares it (a fork, a store that a RELOAD replaces) shares the lock.
    _file: File,
    inode: (u64, u64),
}

impl Hold {
    /// Locks an open keyring file without waiting. `path` is for messages.
    ///
    /// # Errors
    /// Locked: somebody else holds it. Io: its file system has no locks.
    pub(super) fn take(path: &Path, file: &File) -> Result<Hold> {
        let fail = |e| Error::io(OP, format!("'{}'", path.display()), e);
        let meta = file.metadata().map_err(fail)?;
        take_or_say(file, path, || {
            let who = taker(meta.ino()).flatten().unwrap_or_else(another);
            format!(
                "itself is held by {who}, though its lock file is not: it is mounted under another path as well, or its lock \
                 file was removed"
            )
        })?;
        Ok(Hold {
            _file: file.try_clone().map_err(fail)?,
            inode: (meta.dev(), meta.ino()),
        })
    }

    /// Device and inode of the file that is held.
    pub(super) fn inode(&self) -> (u64, u64) {
        self.inode
    }
}

fn another() -> String {
    "another process".into()
}

/// Whether somebody holds a `flock` on this inode by the kernel's list, and who took it, where that process is alive: it
/// may have been a launcher.
fn taker(inode: u64) -> Option<Option<String>> {
    // "1: FLOCK  ADVISORY  WRITE 1234 08:01:131090 0 EOF" (proc_locks(5)). The device is not compared: a layered
    // file system shows another one to stat.
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = format!(":{inode}");
    let pid = locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_flock = fields.next() == Some("FLOCK");
        let pid = fields.nth(2)?;
        (is_flock && fields.next()?.ends_with(&inode)).then_some(pid)
    })?;
    let alive = Path::new("/proc").join(pid).exists();
    Some(alive.then(|| format!("process {pid}")))
}

/// What to do about a lock file that can't be opened.
fn refused(path: &Path, e: &std::io::Error) -> String {
    match path.symlink_metadata() {
        Ok(meta) if e.kind() == std::io::ErrorKind::PermissionDenied => format!(
            "The lock file belongs to user {}. While no server runs, run: rm '{}'",
            meta.uid(),
            path.display()
        ),
        _ => "The account that runs mysqld must be able to write the keyring's folder; on a read-only file system set \
              read_only."
            .into(),
    }
}

/// The holder as its file names it.
fn holder(file: &File) -> String {
    let mut text = String::new();
    let _ = file.take(20).read_to_string(&mut text);
    let pid: String = text.chars().filter(char::is_ascii_digit).collect();
    match pid.is_empty() {
        true => another(),
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

    #[test]
    fn a_folder_that_is_exchanged_below_the_lock_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        std::fs::create_dir(&volume).unwrap();
        let lock = Lock::acquire(&volume.join("k.ward")).unwrap();
        lock.check_there().unwrap();
        std::fs::rename(&volume, dir.path().join("below")).unwrap();
        std::fs::create_dir(&volume).unwrap();
        assert_eq!(lock.check_there().unwrap_err().kind(), Kind::Locked);
        Lock::acquire(&volume.join("k.ward")).unwrap();
        assert_eq!(lock.check_there().unwrap_err().kind(), Kind::Locked);
    }

    #[test]
    fn a_file_has_one_holder_whatever_path_leads_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = dir.path().join("k");
        let open = || file::open(&keyring, Access::Create).unwrap().0;
        let first = open();
        let hold = Hold::take(&keyring, &first).unwrap();
        let me = format!("process {}", std::process::id());
        let e = Hold::take(&keyring, &open()).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Locked);
        assert!(e.to_string().contains(&me), "{e}");
        assert_eq!(Lock::is_held(&keyring).unwrap(), Some(me));
        // It lasts as long as anybody has the open file, and no longer.
        drop(first);
        assert!(Hold::take(&keyring, &open()).is_err());
        drop(hold);
        assert_eq!(Lock::is_held(&keyring).unwrap(), None);
        Hold::take(&keyring, &open()).unwrap();
    }
}
