//! Files below a folder, and only there.
//!
//! Owns how a file of a folder that somebody else fills is opened: no symbolic link on the way, none of `..`, and nothing
//! but regular files. It must never wait for a FIFO or wake a device.

use super::file::regular;
use std::ffi::CString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A folder whose files are opened. Its own path may lead through links: somebody with authority named it.
pub struct Folder(File);

impl Folder {
    /// Opens the folder itself.
    ///
    /// # Errors
    /// The system's; it is not a folder.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
            .open(path)?;
        Ok(Folder(file))
    }

    /// Opens a regular file for reading, whatever other names it has; `inside` is relative to the folder (openat2(2),
    /// Linux 5.6).
    ///
    /// # Errors
    /// The system's: ELOOP where a link is on the way, EXDEV where the path leads out.
    pub fn file(&self, inside: &Path) -> io::Result<(File, Metadata)> {
        let path = CString::new(inside.as_os_str().as_bytes())?;
        // SAFETY: all-zero bytes are a valid open_how, which is a struct of integers.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY) as u64;
        how.resolve =
            libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
        // SAFETY: the path ends with NUL, and the call is told the size of the struct that it reads.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                self.0.as_raw_fd(),
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
        let file = unsafe { File::from_raw_fd(fd) };
        let meta = regular(&file)?;
        Ok((file, meta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("d")).unwrap();
        std::fs::write(dir.path().join("outside"), b"x").unwrap();
        std::fs::write(top.join("d/f"), b"x").unwrap();
        std::fs::hard_link(top.join("d/f"), top.join("d/second")).unwrap();
        symlink("f", top.join("d/link")).unwrap();
        symlink("d", top.join("way")).unwrap();
        symlink("../outside", top.join("out")).unwrap();
        let folder = Folder::open(&top).unwrap();
        for good in ["d/f", "d/second"] {
            assert!(folder.file(Path::new(good)).is_ok(), "{good}");
        }
        let fifo = CString::new(top.join("fifo").as_os_str().as_bytes()).unwrap();
        // SAFETY: the path ends with NUL.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        for bad in [
            "d/link",
            "way/f",
            "out",
            "../outside",
            "/etc/passwd",
            "d",
            "fifo",
            "none",
        ] {
            assert!(folder.file(Path::new(bad)).is_err(), "{bad}");
        }
        assert!(Folder::open(&top.join("d/f")).is_err());
    }
}
