//! Whether the file at the path is still ours: asked before every write, every cut and every rewrite.
//!
//! Owns the answer (design rules 12 and 15): path, inode, length, the bytes at the end, and both locks. It must never be
//! content with what the system says about a file: `cp` keeps the inode, and as records are padded, equal lengths are
//! nothing rare. It changes nothing but what a failed write has left behind the end.

use super::*;
use crate::envelope::{MAC, TAG};
use crate::format::frame::END_MARK;
use std::io;

const WRITE: &str = "write the keyring file";
/// What to do about a file that is not ours.
const PUT_BACK: &str = "Nothing was written; keys are served from memory. Put the server's own file back, then run \
    ALTER INSTANCE RELOAD KEYRING. If it is lost, remove what is in its place: RELOAD KEYRING then writes the keyring \
    anew from memory.";

/// How far the file may have gone on since we know its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Not at all: that was a write which succeeded.
    OurLastWrite,
    /// By what the last append may have left, which failed, or whose sync did; and a disk that can't be read is no reason to leave keys in
    /// memory alone.
    AFailedWrite,
}

impl Journal {
    /// Behind the last record stand its tag and the end mark, or the header's MAC and checksum where no record follows
    /// the header: no other file has that there.
    fn ends_as_we_left_it(&self) -> io::Result<bool> {
        let bare = self.end.sequence == self.header.base_sequence;
        let value = &self.end.chain[..if bare { MAC } else { TAG }];
        let mut bytes = [0; MAC + END_MARK.len()];
        let bytes = &mut bytes[..value.len() + END_MARK.len()];
        let at = self.end.offset.saturating_sub(bytes.len() as u64);
        match self.file.read_exact_at(bytes, at) {
            Ok(()) => {
                let (there, mark) = bytes.split_at(value.len());
                Ok(there == value && (bare || mark == END_MARK))
            }
            // It was cut just now.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn refuse(why: String) -> Error {
    Error::new(Kind::ReadOnly, WRITE, why).hint(PUT_BACK)
}

impl FileStore {
    /// There is no file at the path.
    pub(super) fn is_missing(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
    }

    /// Rules 12 and 15: the path leads to the file that is open, which is as we left it, and the lock is ours.
    pub(super) fn check_path(&self, journal: &Journal, since: Since) -> Result<()> {
        self.check_file(journal, since)?;
        self.check_lock()
    }

    /// The same of where a rewrite goes: over our file, or where there is none.
    pub(super) fn check_place(&self, replace: Option<Since>) -> Result<()> {
        match (replace, &self.journal) {
            (Some(since), Some(journal)) => self.check_path(journal, since),
            _ => self.check_lock(),
        }
    }

    fn check_file(&self, journal: &Journal, since: Since) -> Result<()> {
        let (path, end) = (self.path.display(), journal.end.offset);
        let meta = std::fs::symlink_metadata(&self.path)
            .map_err(|e| refuse(format!("'{path}' is gone under the running server ({e})")))?;
        if (meta.dev(), meta.ino()) != journal.inode {
            return Err(refuse(format!(
                "'{path}' was replaced under the running server"
            )));
        }
        let more = match since {
            Since::OurLastWrite => 0,
            Since::AFailedWrite => self.tried,
        };
        if !(end..=end + more).contains(&meta.len()) {
            return Err(refuse(format!(
                "'{path}' has {} bytes instead of the {end} that this server left: somebody else wrote to it",
                meta.len(),
            )));
        }
        match journal.ends_as_we_left_it() {
            Ok(true) => Ok(()),
            Ok(false) => Err(refuse(format!(
                "'{path}' was replaced under the running server: another file's bytes were written over it"
            ))),
            Err(_) if since == Since::AFailedWrite => Ok(()),
            Err(e) => Err(Error::io(WRITE, format!("the end of '{path}'"), e)
                .hint("Nothing was written; keys are served from memory. Check the disk.")),
        }
    }

    fn check_lock(&self) -> Result<()> {
        match self.has_lock() {
            true => Ok(()),
            false => Err(refuse(format!(
                "the lock file of '{}' was removed under the running server",
                self.path.display()
            ))),
        }
    }

    fn has_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.still_there())
    }

    /// Before keys are saved that may be in memory alone: the lock is taken anew where its file was removed. Who has it
    /// by now keeps it. The file itself, where there is one, was ours all the time (`hold`).
    pub(super) fn regain_lock(&mut self) -> Result<()> {
        if !self.has_lock() {
            self.lock = Some(Arc::new(Lock::acquire(&self.path)?));
        }
        Ok(())
    }

    /// Locks the keyring file itself, unless the store that this one replaces has it; gives what it is from then on.
    pub(super) fn hold(
        &mut self,
        file: &File,
        meta: Metadata,
        predecessor: Option<&Held>,
    ) -> Result<Metadata> {
        // A reader takes no lock, nor does who may not write.
        if self.mode != Mode::ReadWrite || self.refusing.is_some() {
            return Ok(meta);
        }
        let inode = (meta.dev(), meta.ino());
        let inherited = predecessor.and_then(|p| p.hold.clone());
        self.held = Some(match inherited.filter(|held| held.inode() == inode) {
            Some(held) => held,
            None => Arc::new(Hold::take(&self.path, file)?),
        });
        // Who had it before may have written until now.
        file.metadata()
            .map_err(|e| Error::io(OP, format!("'{}'", self.path.display()), e))
    }

    /// Cuts off again what a failed write left, if that is what writes are refused for.
    pub(super) fn cut_again(&mut self) -> Result<()> {
        if let (Some(Refusing::Uncut(_)), Some(journal)) = (&self.refusing, &self.journal) {
            self.check_path(journal, Since::AFailedWrite)?;
            if journal.file.set_len(journal.end.offset).is_ok() {
                self.refusing = None;
            }
        }
        Ok(())
    }
}
