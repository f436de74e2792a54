//! Files below a folder, and only there.
//!
//! Owns how a file of a folder that somebody else fills is opened: no symbolic link on the way, none of `..`, and nothing
//! but regular files. It must never wait for a FIFO or wake a device.

use super::file::{open_resolved, regular};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
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
        let file = open_resolved(self.0.as_raw_fd(), inside, libc::RESOLVE_BENEATH)?;
        let meta = regular(&file)?;
        Ok((file, meta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
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
