//! What of the file is known to be on the disk.
//!
//! Owns the sync at opening (design rule 7), and when it may be left out. It must never take a file for synced that
//! anybody may have written to since, nor believe a sync of a file of which one has failed: the page cache lies then.

use super::*;
use std::io;

/// What the system says of a file that we have synced: while it says the same, nobody has written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    length: u64,
    /// When its content and when anything of it was changed last, in seconds and nanoseconds.
    times: [(i64, i64); 2],
}

impl Stamp {
    pub(super) fn of(meta: &Metadata) -> Stamp {
        Stamp {
            inode: (meta.dev(), meta.ino()),
            length: meta.len(),
            times: [
                (meta.mtime(), meta.mtime_nsec()),
                (meta.ctime(), meta.ctime_nsec()),
            ],
        }
    }

    /// The same of a file that was synced just now; `None` where the system does not tell.
    pub(super) fn now(file: &File) -> Option<Stamp> {
        file.metadata().ok().map(|meta| Stamp::of(&meta))
    }
}

impl FileStore {
    /// Rule 7: a killed predecessor may have left a complete record that only the page cache
    /// holds. Nothing that was read is published before it is on disk. `failed`: a sync of this file has failed in this
    /// process, so another one that succeeds means nothing.
    pub(super) fn make_durable(&self, file: &File, failed: bool) -> Result<()> {
        const OP: &str = "bring the keyring file to the disk";
        let path = format!("'{}'", self.path.display());
        let reader = match self.mode {
            // Serves nobody but who looks.
            Mode::Snapshot | Mode::DryRun => return Ok(()),
            Mode::ReadOnly => true,
            Mode::ReadWrite => false,
        };
        if failed {
            let why =
                format!("{path}: a sync of it has failed, so it is unknown what the disk holds");
            return Err(Error::new(Kind::Io, OP, why).hint(
                "Set read_only to false and run ALTER INSTANCE RELOAD KEYRING, which writes the whole keyring anew \
                 from memory.",
            ));
        }
        // Where nothing can be written there is nothing to sync, and a reader can't help a folder that it may not list.
        let pass = |codes: &'static [i32]| {
            move |e: io::Error| match e.raw_os_error() {
                Some(code) if reader && codes.contains(&code) => Ok(()),
                _ => Err(e),
            }
        };
        file.sync_data()
            .or_else(pass(&[libc::EROFS, libc::EINVAL]))
            .and_then(|()| {
                file::sync_folder(&self.folder)
                    .or_else(pass(&[libc::EROFS, libc::EINVAL, libc::EACCES]))
            })
            .map_err(|e| {
                Error::io(OP, path, e).hint(
                    "The disk or its file system reports an error. Copy the file away and check the disk.",
                )
            })
    }
}
