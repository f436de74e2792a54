//! The one thing that root does for another account: making folders that are missing below root's own, and taking them
//! away again.
//!
//! Everything is done on descriptors that were opened without following somebody else's link, never on a path again. It
//! must never touch a folder that exists, nor make one where somebody else than root could put something in the way.

use super::MAX_LINKS;
use super::identity::Account;
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

const OP: &str = "make the folder";
/// What `owner` gets, and what stays root's on the way to it: it must be able to pass.
const MODE: u32 = 0o750;
const MODE_ON_THE_WAY: u32 = 0o755;
/// What the child that may remove the folders is told.
const KEEP: u8 = b'k';
const REMOVE: u8 = b'r';

/// Folders that were made. Unless they are kept they go again when this is dropped, as far as they are empty then: by a
/// child that still has root's rights and does nothing else.
pub struct Made {
    folder: PathBuf,
    pipe: File,
    pid: libc::pid_t,
}

impl Made {
    /// They stay; gives the folder.
    pub fn keep(mut self) -> PathBuf {
        let _ = self.pipe.write_all(&[KEEP]);
        std::mem::take(&mut self.folder)
    }

    fn new(folder: &Path, folders: &[(File, OsString)]) -> io::Result<Made> {
        let (reader, writer) = super::child::pipe()?;
        // SAFETY: the child reads a byte, removes folders and ends by _exit; the tool has one thread here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                drop(writer);
                let mut said = [REMOVE];
                // The end of the pipe is the end of the command, whatever became of it.
                let _ = (&reader).read(&mut said);
                if said[0] != KEEP {
                    folders.iter().rev().for_each(|(at, name)| remove(at, name));
                }
                // SAFETY: ends this process.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Made {
                folder: folder.to_path_buf(),
                pipe: writer,
                pid,
            }),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = self.pipe.write_all(&[REMOVE]);
        // SAFETY: our own child, which ends as soon as it was told; its status does not matter.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

fn remove(at: &File, name: &OsStr) {
    let Ok(name) = CString::new(name.as_bytes()) else {
        return;
    };
    // SAFETY: a NUL-terminated name. Only an empty folder goes.
    unsafe { libc::unlinkat(at.as_raw_fd(), name.as_ptr(), libc::AT_REMOVEDIR) };
}

/// Makes `folder` and what is missing above it, and gives `folder` to `owner`. `None`: it is there, or a folder on the way
/// is not root's alone, so that the owner has to make it by itself.
///
/// # Errors
/// The system's.
pub fn make_missing(folder: &Path, owner: &Account) -> Result<Option<Made>> {
    let fail = |e| Error::io(OP, format!("'{}'", folder.display()), e);
    let plain = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
    if !folder.is_absolute() || !folder.components().all(plain) {
        return Ok(None);
    }
    let Some((mut at, missing)) = go_where_root_is_alone(folder).map_err(fail)? else {
        return Ok(None);
    };
    let mut made = Vec::new();
    let mut names = missing.into_iter().peekable();
    let all = loop {
        let Some(name) = names.next() else {
            break Made::new(folder, &made);
        };
        let (mode, of) = match names.peek() {
            None => (MODE, Some(owner)),
            Some(_) => (MODE_ON_THE_WAY, None),
        };
        match make(&at, &name, mode, of) {
            Ok(next) => made.push((std::mem::replace(&mut at, next), name)),
            Err(e) => break Err(e),
        }
    };
    all.map(Some).map_err(|e| {
        made.iter().rev().for_each(|(at, name)| remove(at, name));
        fail(e)
    })
}

/// The last folder on the way to `folder` that exists, and the names that are missing in it. `None`: none is missing, or
/// somebody else than root can write a folder on the way. A symbolic link in a folder of root's alone is root's, too,
/// and is followed.
fn go_where_root_is_alone(folder: &Path) -> io::Result<Option<(File, Vec<OsString>)>> {
    let names = |path: &Path| -> VecDeque<OsString> {
        let names = path.components().filter(|c| *c != Component::RootDir);
        names.map(|c| c.as_os_str().to_os_string()).collect()
    };
    let (mut at, mut rest, mut links) = (File::open("/")?, names(folder), 0);
    loop {
        let meta = at.metadata()?;
        if meta.uid() != 0 || meta.mode() & 0o022 != 0 {
            return Ok(None);
        }
        let Some(name) = rest.pop_front() else {
            return Ok(None);
        };
        match open(&at, &name) {
            Ok(next) => at = next,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                rest.push_front(name);
                return Ok(Some((at, rest.into())));
            }
            Err(e) => {
                let Some(target) = link(&at, &name).filter(|_| links < MAX_LINKS) else {
                    return Err(e);
                };
                links += 1;
                if target.is_absolute() {
                    at = File::open("/")?;
                }
                for name in names(&target).into_iter().rev() {
                    rest.push_front(name);
                }
            }
        }
    }
}

/// Where a symbolic link leads; `None`: it is none.
fn link(at: &File, name: &OsStr) -> Option<PathBuf> {
    let name = CString::new(name.as_bytes()).ok()?;
    let mut target = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: a NUL-terminated name, and room for as many bytes as are named.
    let n = unsafe {
        libc::readlinkat(
            at.as_raw_fd(),
            name.as_ptr(),
            target.as_mut_ptr().cast(),
            target.len(),
        )
    };
    let n = usize::try_from(n).ok().filter(|n| *n < target.len())?;
    target.truncate(n);
    Some(PathBuf::from(OsString::from_vec(target)))
}

fn open(at: &File, name: &OsStr) -> io::Result<File> {
    let name = CString::new(name.as_bytes())?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the name is a NUL-terminated text; the new descriptor is owned by nobody else.
    unsafe {
        match libc::openat(at.as_raw_fd(), name.as_ptr(), flags) {
            fd if fd < 0 => Err(io::Error::last_os_error()),
            fd => Ok(File::from_raw_fd(fd)),
        }
    }
}

fn make(at: &File, name: &OsStr, mode: u32, owner: Option<&Account>) -> io::Result<File> {
    let text = CString::new(name.as_bytes())?;
    // SAFETY: the name is a NUL-terminated text that lives until the call returns.
    if unsafe { libc::mkdirat(at.as_raw_fd(), text.as_ptr(), 0o700) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let finish = || {
        let made = open(at, name)?;
        if let Some(owner) = owner {
            fchown(&made, Some(owner.uid), Some(owner.gid))?;
        }
        made.set_permissions(PermissionsExt::from_mode(mode))?;
        at.sync_all()?;
        Ok(made)
    };
    finish().inspect_err(|_| remove(at, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> bool {
        super::super::identity::is_root()
    }

    #[test]
    fn what_is_made_can_be_passed_by_its_owner() {
        if !root() {
            println!("not root: only root makes folders for somebody else");
            return;
        }
        let base = PathBuf::from(format!("/kw-folders-{}", std::process::id()));
        let folder = base.join("upper/leaf");
        let owner = Account::unnamed(12345, 12346);
        drop(make_missing(&folder, &owner).unwrap());
        assert!(!base.exists(), "what is not kept goes");
        let make_missing = |folder: &Path, owner: &Account| {
            super::make_missing(folder, owner).map(|made| made.map(Made::keep))
        };
        assert_eq!(
            make_missing(&folder, &owner).unwrap().as_deref(),
            Some(&*folder)
        );
        let seen = |path: &Path| {
            let m = path.metadata().unwrap();
            (m.uid(), m.gid(), m.mode() & 0o7777)
        };
        let all = [seen(&base), seen(&base.join("upper")), seen(&folder)];
        let again = make_missing(&folder, &owner).unwrap();
        // A folder of the account's on the way: the account makes what is below by itself.
        let below = make_missing(&folder.join("more"), &owner).unwrap();
        // A link of root's is followed, one of the account's is not, wherever it leads.
        std::os::unix::fs::symlink("upper", base.join("link")).unwrap();
        let through = base.join("link/more");
        let link = make_missing(&through, &owner).unwrap();
        std::os::unix::fs::symlink(&base, folder.join("away")).unwrap();
        let away = make_missing(&folder.join("away/new"), &owner).unwrap();
        let seen_more = seen(&base.join("upper/more"));
        let escaped = base.join("new").exists();
        std::fs::remove_dir_all(&base).unwrap();
        assert_eq!(all, [(0, 0, 0o755), (0, 0, 0o755), (12345, 12346, 0o750)]);
        assert_eq!((again, below, away), (None, None, None));
        assert_eq!((link, seen_more), (Some(through), (12345, 12346, 0o750)));
        assert!(!escaped);
    }

    #[test]
    fn where_others_can_write_nothing_is_made() {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let owner = Account::unnamed(12345, 12345);
        let folder = dir.path().join("new");
        assert!(make_missing(&folder, &owner).unwrap().is_none());
        assert!(!folder.exists());
    }
}
