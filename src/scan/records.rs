//! Records of the redo log that hold encryption information.
//!
//! Recovery opens each that was written since the last checkpoint, and the server does not start where one does not open: the
//! header of a tablespace may still name the key of before. A record is found by its form, not by reading the whole log:
//! bytes of a table that look like one are taken for one.

use super::bytes::be16;
use super::info::{self, FileKey, Found, Info};
use super::need::Unread;
use super::page::Page;
use super::redo::{self, BLOCK, Header};
use super::source::Source;
use memchr::memmem;

/// Before the information: the page (always the first), its place there and its length.
const BEFORE: usize = 5;
const LENGTHS: std::ops::RangeInclusive<u16> = 111..=info::LENGTH as u16;

/// The end of what was read of a log: a record may go on in the next file.
#[derive(Default)]
pub struct Tail {
    /// The place in the log where it ends.
    at: u64,
    bytes: Vec<u8>,
}

/// How far the records were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// To the end of what the file has of the log.
    All,
    /// They are encrypted, and the key is not known.
    Sealed,
    /// It was told to end before.
    Stopped,
}

/// Gives every encryption information in the records of a file from a place in the log on; `tail` is of the file before. A
/// block that does not check is the end of the log, as it is for the server.
///
/// # Errors
/// The system's.
pub fn named(
    source: &(impl Source + ?Sized),
    header: &Header,
    from: u64,
    key: Option<&FileKey>,
    tail: &mut Tail,
    go_on: &mut dyn FnMut() -> bool,
    each: &mut dyn FnMut(Info),
) -> Result<Read, Unread> {
    const PIECE: usize = 1 << 20;
    let Some(start) = header.start else {
        return Ok(Read::All);
    };
    let mut offset = redo::place(start, from);
    let mut piece = vec![0; PIECE];
    if tail.at != redo::place_of(start, offset) {
        tail.bytes.clear();
    }
    loop {
        if !go_on() {
            return Ok(Read::Stopped);
        }
        let filled = source.read_at(offset, &mut piece)?;
        let (mut read, mut end) = (0, None);
        for block in piece[..filled].chunks_exact_mut(BLOCK) {
            if !redo::is_of_now(block, start, offset + read) {
                end = Some(Read::All);
                break;
            }
            if redo::is_encrypted(block) && key.is_none() {
                end = Some(Read::Sealed);
                break;
            }
            let Some(data) = opened(block, key) else {
                end = Some(Read::All);
                break;
            };
            tail.bytes.extend_from_slice(data);
            read += BLOCK as u64;
        }
        find(&tail.bytes, each);
        // The beginning of one that goes on behind.
        let keep = tail.bytes.len().saturating_sub(BEFORE + info::LENGTH);
        tail.bytes.drain(..keep);
        offset += read;
        tail.at = redo::place_of(start, offset);
        if filled < PIECE || end.is_some() {
            return Ok(end.unwrap_or(Read::All));
        }
    }
}

/// The records in a block; `None`: it is not whole.
fn opened<'a>(block: &'a mut [u8], key: Option<&FileKey>) -> Option<&'a [u8]> {
    let whole = match key {
        Some(key) if redo::is_encrypted(block) => redo::check(block, key) == Page::Good,
        _ => redo::is_whole(block),
    };
    let used = usize::from(be16(block, 4)?).min(redo::TRAILER_AT);
    block.get(redo::RECORDS_AT..used).filter(|_| whole)
}

fn find(payload: &[u8], each: &mut dyn FnMut(Info)) {
    for at in memmem::find_iter(payload, b"lCC") {
        let before = at
            .checked_sub(BEFORE)
            .and_then(|from| payload.get(from..at));
        let is_record = before.is_some_and(|before| {
            before[0] == 0 && be16(before, 3).is_some_and(|length| LENGTHS.contains(&length))
        });
        let rest = &payload[at..];
        if is_record && let Found::Info(info) = info::read(&rest[..rest.len().min(info::LENGTH)]) {
            each(info);
        }
    }
}
