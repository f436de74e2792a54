//! The file never outgrows what a server reads: whatever was acknowledged opens again.
//!
//! Owns the bound on the file's length. How many bytes of keys there may be is decided above (`keyring::sizes`); here
//! live and dead records count together, because a rewrite that fails (a full disk, a file that is mounted by itself)
//! leaves the dead ones where they are. The rule: whatever is added leaves room for the removals of all that there is,
//! which are no longer than what they remove (`format::record`). So a removal always fits. It must never refuse one below the bound.

use super::*;

/// Rewrites that don't help may take one part in so many of the time.
const SHARE: u32 = 20;

impl FileStore {
    fn fits(&self, change: &Operation<'_>, length: u64) -> bool {
        let limits = &self.limits;
        if !change.is_kept() {
            return length + change.frame_length() <= limits.file;
        }
        let adds = change.frame_length() + self.owing.longer();
        // What accounts leave free is for keys of the server.
        let free = match change.owner() {
            [] => 0,
            // A hold, a plan, a destruction: to be possible where no new key is.
            _ if change.describes_a_version() => limits.reserve,
            _ => 2 * limits.reserve,
        };
        length + self.live_bytes + 2 * adds + free <= limits.file
    }

    /// The change does not fit, and without the dead records it would.
    pub(super) fn is_crowded_for(&self, change: &Operation<'_>) -> bool {
        let Some(journal) = &self.journal else {
            return false;
        };
        let length = journal.end.offset;
        if self.fits(change, length) || !self.fits(change, length.saturating_sub(self.dead_bytes)) {
            return false;
        }
        self.last_rewrite
            .is_none_or(|(end, took)| end.elapsed() >= took * SHARE)
    }

    /// Refuses a change that would make the file longer than a server reads.
    pub(super) fn check_room(&self, change: &Operation<'_>) -> Result<()> {
        let length = self.journal.as_ref().map_or(0, |j| j.end.offset);
        if self.fits(change, length) {
            return Ok(());
        }
        Err(Error::new(
            Kind::ReadOnly,
            "write the keyring file",
            format!(
                "'{}' has {length} bytes, {} of them of removed keys, and could not be compacted: with another \
                 record it could grow beyond the {} bytes that a server reads",
                self.path.display(),
                self.dead_bytes,
                self.limits.file
            ),
        )
        .hint(
            "Nothing was changed, keys are served. See the warnings about compaction in the error log; make room on \
             the disk, or mount the folder instead of the single file, then run ALTER INSTANCE RELOAD KEYRING.",
        ))
    }
}
