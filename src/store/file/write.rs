//! Writing: appends, the first write, and the rewrite of the whole file.
//!
//! Owns the order of the system calls that "durable" rests on (design rules 10 to 14). It must never write, cut or
//! rename before `ours` has said that the file is still ours.

use super::*;
use crate::deadline::Deadline;
use crate::envelope::{Position, RecordCipher};
use crate::format::frame::{FRAME_OVERHEAD, write_frame};
use crate::format::header::finish_header;
use crate::key::extensions::Extensions;
use crate::secret::fill_random;
use crate::store::header::new_dek;
use ours::Since;
use scan::chain_value;
use std::io;
use std::io::Write;

pub(super) const WRITE: &str = "write the keyring file";
/// Dead bytes below which no rewrite pays.
pub(super) const MIN_DEAD: u64 = 1 << 20;
/// How much of a rewrite is held in memory at once, in bytes.
const PIECE: usize = 256 * 1024;
/// Far below the 2^32 records that one AES-GCM key may seal.
const MAX_RECORDS: u64 = 1 << 30;

impl FileStore {
    pub(super) fn wants(&self) -> bool {
        self.journal.as_ref().is_some_and(|j| {
            (self.dead_bytes > self.live_bytes && self.dead_bytes > self.rewrite_from)
                || j.end.sequence - j.header.base_sequence > MAX_RECORDS
        })
    }

    pub(super) fn check_writes(&self) -> Result<()> {
        let path = self.path.display();
        if self.mode != Mode::ReadWrite {
            return Err(Error::new(
                Kind::ReadOnly,
                WRITE,
                format!("'{path}' is opened read-only"),
            )
            .hint("Set read_only to false and run ALTER INSTANCE RELOAD KEYRING."));
        }
        match &self.refusing {
            None => Ok(()),
            Some(Refusing::Retired) => {
                Err(Error::new(Kind::ReadOnly, WRITE, format!("'{path}' was reloaded meanwhile"))
                    .hint("Try again."))
            }
            Some(Refusing::Unsynced(why)) => Err(Error::new(Kind::ReadOnly, WRITE, why.clone())
                .hint(
                    "Keys are served from memory. Check the disk, then run ALTER INSTANCE RELOAD \
                     KEYRING, which writes the whole keyring anew.",
                )),
            Some(Refusing::Uncut(why)) => Err(Error::new(Kind::ReadOnly, WRITE, why.clone())
                .hint("Keys are served from memory. Make room; the next write tries again.")),
            Some(Refusing::NotWritable(why)) => Err(Error::new(Kind::ReadOnly, WRITE, why.clone())
                .hint("Keys are served. Mend the rights, then run ALTER INSTANCE RELOAD KEYRING.")),
            Some(Refusing::TornNotSaved(why)) => Err(Error::new(Kind::ReadOnly, WRITE, why.clone())
                .hint("Make room or mend the rights of the folder, then run ALTER INSTANCE RELOAD KEYRING.")),
        }
    }

    /// Makes one change durable; see [`Journal::append_any`].
    pub(super) fn append_change(&mut self, change: &Operation<'_>, died: Died) -> Result<()> {
        self.cut_again()?;
        self.check_writes()?;
        self.check_room(change)?;
        if let Some(lock) = &self.lock {
            lock.refresh_pid();
        }
        let Some(journal) = &self.journal else {
            return self.create(&first(change)?);
        };
        self.check_path(journal, Since::OurLastWrite)?;
        let mut frame = Vec::new();
        let now = Owing::now();
        // A removal must always fit.
        let fits = |list: &Extensions| {
            let longest =
                journal.end.offset + (FRAME_OVERHEAD + change.plaintext_length_with(list)) as u64;
            change.is_kept() || longest <= self.limits.file
        };
        let list = self.owing.list(change, now, fits);
        let (length, tag) = seal(
            &self.pool,
            &journal.keys.cipher(),
            &journal.header,
            &journal.end,
            (change, &list),
            &mut frame,
        )?;
        let at = journal.end.offset;
        let path = self.path.display();
        self.tried = length;
        if let Err(e) = journal.file.write_all_at(&frame, at) {
            // It never reached fdatasync: what was written of it can be cut off again.
            if let Err(cut) = journal.file.set_len(at) {
                self.refusing = Some(Refusing::Uncut(format!(
                    "a write to '{path}' failed ({e}), and its bytes could not be cut off again ({cut})"
                )));
            }
            return Err(Error::io(WRITE, format!("'{path}'"), e).hint(
                "The key was not stored, nothing else changed. Make room on the disk or check it.",
            ));
        }
        if let Err(e) = journal.file.sync_data() {
            let why =
                format!("fdatasync of '{path}' failed ({e}), so it is unknown what the disk holds");
            self.refusing = Some(Refusing::Unsynced(why));
            return self.check_writes().map_err(|e| e.with_kind(Kind::Io));
        }
        crate::fault::point("append");
        if let Some(journal) = &mut self.journal {
            journal.end.offset += length;
            journal.end.sequence += 1;
            journal.end.chain = chain_value(&tag);
            journal.synced = Stamp::now(&journal.file);
            self.owing.tell(change, now, &journal.end);
        }
        self.mark(Survives::Kill);
        match change.is_kept() {
            true => self.live_bytes += length,
            false => self.dead_bytes += length,
        }
        self.live_bytes = self.live_bytes.saturating_add_signed(-died);
        self.dead_bytes = self.dead_bytes.saturating_add_signed(died);
        Ok(())
    }

    /// The first write: a new file with a new DEK and the first record in it (none for `init`).
    fn create(&mut self, first: &Live<'_>) -> Result<()> {
        let mut file_id = [0; FILE_ID];
        fill_random(&mut file_id)?;
        let deadline = Deadline::after(self.kek_patience);
        let dek = new_dek(&self.pool, &self.keks, deadline)?;
        let stanzas = self.keks.wrap(&self.pool, &file_id, &dek, deadline);
        self.collect_kek_warnings();
        self.used.clear();
        self.write_whole(Header::first(file_id, stanzas?), dek, first, None)
    }

    pub(super) fn rewrite_all(&mut self, live: &Live<'_>) -> Result<()> {
        let Some((header, replace)) = self.next_generation()? else {
            return self.create(live);
        };
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let dek = self.pool.copy(&journal.dek)?;
        // If this fails, the next attempt waits for as much dead weight again.
        self.rewrite_from = self.dead_bytes.saturating_mul(2).max(MIN_DEAD);
        let begin = Instant::now();
        let written = self.write_whole(header, dek, live, replace);
        self.last_rewrite = Some((Instant::now(), begin.elapsed()));
        written?;
        self.rewrite_from = MIN_DEAD;
        Ok(())
    }

    /// The header of a rewrite, and what it replaces, if anything; `None`: there is no keyring yet.
    pub(super) fn next_generation(&mut self) -> Result<Option<(Header, Option<Since>)>> {
        let missing = self.is_missing();
        let rescue = match &self.refusing {
            None => missing,
            Some(Refusing::Unsynced(_) | Refusing::Uncut(_)) => true,
            // What was wrong was wrong with a file that is gone: memory alone has the keys.
            Some(Refusing::TornNotSaved(_) | Refusing::NotWritable(_)) => missing,
            Some(Refusing::Retired) => false,
        };
        if !rescue || self.mode != Mode::ReadWrite || self.journal.is_none() {
            self.check_writes()?;
        }
        let Some(journal) = &self.journal else {
            return Ok(None);
        };
        let replace = match (missing, rescue) {
            (true, _) => None,
            (false, true) => Some(Since::AFailedWrite),
            (false, false) => Some(Since::OurLastWrite),
        };
        let mut header = journal.header.clone();
        header.generation += 1;
        // One beyond the last: a record whose sync failed may have carried that number.
        header.base_sequence = journal.end.sequence + 1;
        header.lineage.push(journal.ancestor());
        if rescue {
            self.regain_lock()?;
        }
        self.check_place(replace)?;
        Ok(Some((header, replace)))
    }

    /// Rule 13: writes a complete file beside the path, syncs it, puts it in place, syncs the
    /// folder, and goes on with it.
    pub(super) fn write_whole(
        &mut self,
        mut header: Header,
        dek: SecretBytes,
        live: &Live<'_>,
        replace: Option<Since>,
    ) -> Result<()> {
        // A KEK may have taken its time since this was asked.
        self.check_place(replace)?;
        fill_random(&mut header.salt)?;
        let told = self.owing.rewritten(&header, live);
        let carried = self.owing.carried(&told, &self.pool)?;
        let live = &live.with_carried(&carried);
        header.written_at = crate::os::unix_seconds();
        header.whole_to = header.base_sequence + live.operations().count() as u64;
        let keys = FileKeys::derive(&self.pool, &dek, &header.salt)?;
        self.sweep();
        let temporary = self.temporary();
        let fail = |e| cannot_write(&temporary, e);
        // The folder is opened first: behind the rename nothing may fail but its sync.
        let folder = File::open(&self.folder).map_err(fail)?;
        let new = self.fill(&temporary, &keys, &header, live)?;
        let put = self
            .check_place(replace)
            .and_then(|()| self.put_in_place(&temporary, replace).map_err(fail));
        if let Err(e) = put {
            let _ = std::fs::remove_file(&temporary);
            return Err(e);
        }
        let synced = folder.sync_all();
        // What is carried counts as alive: to drop it alone no rewrite is worth it.
        self.live_bytes = new.records;
        self.dead_bytes = 0;
        let is_new = self.journal.is_none().then_some(header.file_id);
        self.journal = Some(Journal {
            inode: new.hold.inode(),
            synced: Stamp::now(&new.file),
            file: new.file,
            header,
            mac: new.mac,
            dek,
            keys,
            end: new.end,
        });
        self.held = Some(Arc::new(new.hold));
        if let Err(e) = synced {
            let why = format!(
                "fsync of the folder of '{}' failed ({e}), so it is unknown what the disk holds",
                self.path.display()
            );
            self.refusing = Some(Refusing::Unsynced(why));
            return self.check_writes().map_err(|e| e.with_kind(Kind::Io));
        }
        self.refusing = None;
        if let Some(journal) = &self.journal {
            self.owing.put_in_place(is_new, &journal.end, told);
        }
        self.mark(Survives::PowerCut);
        Ok(())
    }

    /// Makes the temporary file with all of the keyring, and brings it to the disk; none is left where that fails.
    fn fill(
        &self,
        temporary: &Path,
        keys: &FileKeys,
        header: &Header,
        live: &Live<'_>,
    ) -> Result<Whole> {
        let (mut file, _) =
            file::open(temporary, Access::CreateNew).map_err(|e| in_the_way(temporary, e))?;
        let fail = |e| cannot_write(temporary, e);
        // Held before it has the keyring's name: whoever opens it by that finds it locked.
        let made = Hold::take(temporary, &file).and_then(|hold| {
            let (mac, end, records) = self.write_records(&mut file, keys, header, live, &fail)?;
            self.keep_owner(&file).map_err(fail)?;
            file.sync_all().map_err(fail)?;
            Ok((hold, mac, end, records))
        });
        match made {
            Ok((hold, mac, end, records)) => Ok(Whole {
                file,
                hold,
                mac,
                end,
                records,
            }),
            Err(e) => {
                let _ = std::fs::remove_file(temporary);
                Err(e)
            }
        }
    }

    /// Writes the header and the live records, in pieces: where they end, and how many bytes the records have.
    fn write_records(
        &self,
        file: &mut File,
        keys: &FileKeys,
        header: &Header,
        live: &Live<'_>,
        fail: &dyn Fn(io::Error) -> Error,
    ) -> Result<([u8; MAC], End, u64)> {
        let authenticated = header.authenticated_bytes()?;
        let mac = keys.header_mac(&authenticated);
        let mut bytes = finish_header(authenticated, &mac);
        let start = bytes.len() as u64;
        let mut end = End {
            offset: start,
            sequence: header.base_sequence,
            chain: mac,
            torn: 0,
        };
        let cipher = keys.cipher();
        for record in live.operations() {
            let record = (&record, record.list());
            let (length, tag) = seal(&self.pool, &cipher, header, &end, record, &mut bytes)?;
            end.offset += length;
            end.sequence += 1;
            end.chain = chain_value(&tag);
            if bytes.len() >= PIECE {
                file.write_all(&bytes).map_err(fail)?;
                bytes.clear();
            }
        }
        file.write_all(&bytes).map_err(fail)?;
        Ok((mac, end, end.offset - start))
    }

    /// A rewrite belongs to whom the file belonged.
    fn keep_owner(&self, file: &File) -> io::Result<()> {
        if let Some(journal) = &self.journal {
            let (old, new) = (journal.file.metadata()?, file.metadata()?);
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                // Fails where we may not; then the file is ours, which can be read as well.
                let _ = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
            }
        }
        Ok(())
    }

    fn put_in_place(&self, temporary: &Path, replace: Option<Since>) -> io::Result<()> {
        match replace {
            Some(_) => std::fs::rename(temporary, &self.path),
            None => file::rename_noreplace(temporary, &self.path),
        }
    }
}

/// What a keyring holds that begins with a change.
fn first<'a>(change: &Operation<'a>) -> Result<Live<'a>> {
    let mut live = Live {
        told: vec![owing::of_operation(change)],
        ..Live::default()
    };
    match *change {
        Operation::Put(key) => live.keys.push(key),
        Operation::Document(document) if change.is_kept() => live.documents.push(document),
        _ => {
            return Err(Error::new(
                Kind::Internal,
                WRITE,
                "a change to what a keyring without file does not hold",
            ));
        }
    }
    Ok(live)
}

/// A complete new file, on the disk and not in place yet.
struct Whole {
    file: File,
    hold: Hold,
    /// Of its header.
    mac: [u8; MAC],
    end: End,
    /// Bytes of records.
    records: u64,
}

/// A new file could not be written, or not be put in place.
fn cannot_write(temporary: &Path, e: io::Error) -> Error {
    let hint = match e.raw_os_error() {
        Some(libc::EBUSY) => {
            "The file is mounted by itself (a bind mount of a single file) and can't be \
             replaced. Mount the folder that holds it instead."
        }
        Some(libc::EEXIST) => {
            "A file appeared in its place. It was not touched. Run ALTER INSTANCE RELOAD KEYRING."
        }
        _ => "Nothing was changed. Make room on the disk, check it and the folder's rights.",
    };
    Error::io(WRITE, format!("'{}'", temporary.display()), e).hint(hint)
}

/// The temporary file could not be made.
fn in_the_way(temporary: &Path, e: io::Error) -> Error {
    if e.raw_os_error() != Some(libc::EEXIST) {
        return cannot_write(temporary, e);
    }
    let shown = format!("'{}'", temporary.display());
    let hint = format!(
        "Nothing was changed. {shown} is needed for a moment, and what has that name could not be removed: it may be a \
         folder, or belong to another account. Move it away."
    );
    Error::io(WRITE, shown, e).hint(hint)
}

/// Seals one change behind `end` and appends its frame to `out`: the frame's length and its tag.
fn seal(
    pool: &SecretPool,
    cipher: &RecordCipher<'_>,
    header: &Header,
    end: &End,
    (change, list): (&Operation<'_>, &Extensions),
    out: &mut Vec<u8>,
) -> Result<(u64, [u8; crate::envelope::TAG])> {
    let sequence = end
        .sequence
        .checked_add(1)
        .ok_or_else(|| Error::new(Kind::Internal, WRITE, "the sequence numbers are used up"))?;
    let at = Position {
        file_id: header.file_id,
        generation: header.generation,
        sequence,
        previous: end.chain,
    };
    let mut text = pool.zeroed(change.plaintext_length_with(list))?;
    change.write_with(list, &mut text);
    let (nonce, tag) = cipher.seal(&at, &mut text)?;
    out.reserve(FRAME_OVERHEAD + text.len());
    write_frame(out, sequence, &nonce, &text, &tag);
    Ok(((FRAME_OVERHEAD + text.len()) as u64, tag))
}
