//! Files of the redo log.
//!
//! Owns the layout of their header and blocks. A file that was written before the redo log was encrypted has no encryption
//! information; one from after it was switched off keeps it until the file is used anew, and the server reads it.

use super::bytes::{be16, be32, be64};
use super::info::{self, FileKey, Found, Info};
use super::need::{Seen, Unread};
use super::page::{Counted, Page};
use super::source::{Source, in_pieces};
use super::tablespace;

/// The header's length.
const HEADER: usize = 2_048;
pub(super) const BLOCK: usize = 512;
/// Where the records of a block begin, and where they end.
pub(super) const RECORDS_AT: usize = 12;
pub(super) const TRAILER_AT: usize = BLOCK - 4;
/// Where the places of the last checkpoints stand.
const CHECKPOINTS: [usize; 2] = [512, 1_536];
const INFO_AT: usize = 1_072;
/// Formats since encryption exists.
const FORMATS: std::ops::RangeInclusive<u32> = 1..=6;
/// The first format with a place in the log in this field.
const FORMAT_WITH_START: u32 = 6;
const ENCRYPTED: u16 = 0x8000;

/// The header of a file.
pub struct Header {
    /// How it is encrypted.
    pub info: Option<Info>,
    /// The place in the log that the file begins with; `None`: its format is older, and its records are not read.
    pub start: Option<u64>,
    /// The place of the last checkpoint that this file knows: what was written before is in the tablespaces.
    pub checkpoint: Option<u64>,
}

/// Reads the header.
///
/// # Errors
/// See [`Unread`].
pub fn header(source: &(impl Source + ?Sized)) -> Result<Header, Unread> {
    let mut bytes = [0; HEADER];
    if source.read_at(0, &mut bytes)? < HEADER {
        return Err(Unread::Short);
    }
    let format = be32(&bytes, 0).unwrap_or_default();
    if !FORMATS.contains(&format) {
        return Err(Unread::Damaged("its header is not that of a redo log"));
    }
    if !is_whole(&bytes[..BLOCK]) {
        return Err(Unread::Damaged("the checksum of its header is wrong"));
    }
    let info = match info::read(&bytes[INFO_AT..INFO_AT + info::LENGTH]) {
        Found::Info(info) => Some(info),
        Found::Nothing => None,
        Found::TooOld | Found::Damaged => {
            return Err(Unread::Damaged(
                "its encryption information is not readable",
            ));
        }
    };
    let start = be64(&bytes, 8).filter(|_| format >= FORMAT_WITH_START);
    let checkpoints = CHECKPOINTS.iter().filter_map(|at| {
        let block = bytes.get(*at..at + BLOCK)?;
        be64(block, 8).filter(|place| *place != 0 && is_whole(block))
    });
    let checkpoint = checkpoints.max();
    Ok(Header {
        info,
        start,
        checkpoint,
    })
}

/// What a file of the redo log needs.
///
/// # Errors
/// See [`Unread`].
pub fn look(source: &(impl Source + ?Sized)) -> Result<Seen, Unread> {
    let header = header(source)?;
    Ok(tablespace::seen(header.info, true))
}

/// Opens a block in place and checks it.
pub fn check(block: &mut [u8], key: &FileKey) -> Page {
    let Some(length) = be16(block, 4).filter(|_| block.len() == BLOCK) else {
        return Page::Bad;
    };
    if !is_encrypted(block) {
        return Page::Plain;
    }
    if key.open(&mut block[RECORDS_AT..]).is_none() {
        return Page::Bad;
    }
    block[4..6].copy_from_slice(&(length & !ENCRYPTED).to_be_bytes());
    match is_whole(block) {
        true => Page::Good,
        false => Page::Bad,
    }
}

/// A block in the clear has the checksum that it says.
pub(super) fn is_whole(block: &[u8]) -> bool {
    let (data, _) = block.split_at(TRAILER_AT.min(block.len()));
    be32(block, TRAILER_AT) == Some(crc32c::crc32c(data))
}

/// A block is encrypted.
pub(super) fn is_encrypted(block: &[u8]) -> bool {
    be16(block, 4).is_some_and(|length| length & ENCRYPTED != 0)
}

/// Where in a file that begins with `start` the block of a place in the log is; of a place before the file: its first block.
pub(super) fn place(start: u64, of: u64) -> u64 {
    let blocks = of.saturating_sub(start) / BLOCK as u64;
    blocks
        .saturating_mul(BLOCK as u64)
        .saturating_add(HEADER as u64)
}

/// The place in the log of what is at an offset of a file that begins with `start`.
pub(super) fn place_of(start: u64, offset: u64) -> u64 {
    start.wrapping_add(offset.wrapping_sub(HEADER as u64))
}

/// Goes through all blocks. Those that are left from an earlier use of the file are not looked at.
///
/// # Errors
/// The system's.
pub fn count(
    source: &(impl Source + ?Sized),
    header: &Header,
    key: &FileKey,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Counted, Unread> {
    let mut counted = Counted::default();
    in_pieces(source, HEADER as u64, BLOCK, go_on, |at, block| {
        let is_left = |start| !is_of_now(block, start, at);
        if !header.start.is_some_and(is_left) {
            counted.add(at / BLOCK as u64, check(block, key));
        }
        Ok::<_, Unread>(())
    })?;
    Ok(counted)
}

/// A block's number is that of its place in the log.
pub(super) fn is_of_now(block: &[u8], start: u64, at: u64) -> bool {
    let place = place_of(start, at);
    // Cut to 30 bits by the format.
    let number = ((place / BLOCK as u64) & 0x3FFF_FFFF) as u32 + 1;
    be32(block, 0) == Some(number)
}
