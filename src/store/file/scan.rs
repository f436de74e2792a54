//! Reading a journal: from the bytes of a file to a sequence of changes.
//!
//! Owns the decision between "torn" and "tampered" (design rule 6): torn is only a last frame that
//! the file ends within, or of which whole aligned sectors are zero. It must never skip a frame,
//! and touches nothing on disk.

use super::layout::{self, END_MARK, FRAME_HEADER, FrameHeader, MAX_FRAME, damaged};
use super::window::{LOOK, Window};
use crate::envelope::{FileKeys, MAC, Position, TAG};
use crate::error::{Error, Result};
use crate::keyring::record::{MAX_PLAINTEXT, ReadChange};
use crate::secret::SecretPool;

/// Disks write whole sectors; file systems write whole multiples of them.
const SECTOR: usize = 512;

/// Where a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The offset behind the last whole record.
    pub offset: u64,
    /// The last record's sequence number.
    pub sequence: u64,
    /// What the next record is chained to.
    pub chain: [u8; MAC],
    /// Bytes of a torn record behind `offset`.
    pub torn: u64,
}

/// A sequence number and the chain value there: "the journal must contain this record".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waypoint {
    /// The generation in which it was seen.
    pub generation: u64,
    /// The sequence number.
    pub sequence: u64,
    /// The chain value behind that record.
    pub chain: [u8; MAC],
}

/// Reads all records of `journal`, which begins behind the header, and gives each change to `sink`.
///
/// `waypoint`: a record that must be passed, if the generation is the same. `Ok((end, passed))`.
///
/// # Errors
/// Tampered: a record is damaged, out of sequence or not authentic. Io: the file can't be read. What `sink` returns.
pub fn scan(
    pool: &SecretPool,
    journal: &mut Window<'_>,
    header: &layout::ParsedHeader,
    keys: &FileKeys,
    waypoint: Option<Waypoint>,
    sink: &mut dyn FnMut(ReadChange) -> Result<()>,
) -> Result<(End, bool)> {
    let cipher = keys.cipher();
    let mut scratch = pool.zeroed(MAX_PLAINTEXT)?;
    let h = &header.header;
    let mut end = End {
        offset: header.length as u64,
        sequence: h.base_sequence,
        chain: header.mac,
        torn: 0,
    };
    let passes = |end: &End| {
        waypoint.is_some_and(|w| {
            w.generation == h.generation && w.sequence == end.sequence && w.chain == end.chain
        })
    };
    let mut passed = passes(&end);
    let io = |e| Error::io("read the keyring file", "its records", e);
    loop {
        let (at, left) = (end.offset as usize, journal.left());
        let rest = journal.bytes().map_err(io)?;
        if rest.is_empty() {
            break;
        }
        // Beyond this no frame reaches: enough to judge one.
        let rest = &rest[..rest.len().min(LOOK)];
        let frame = match read_frame(rest) {
            Frame::Whole(frame) => frame,
            Frame::Short => {
                end.torn = left;
                break;
            }
            Frame::Bad(length, why) => {
                if has_unwritten_sector(at, rest, length) {
                    end.torn = left;
                    break;
                }
                return Err(damaged(at as u64, why));
            }
        };
        let (Some(expected), length) = (end.sequence.checked_add(1), frame.header.frame_length())
        else {
            return Err(damaged(at as u64, "the sequence number overflows"));
        };
        if frame.header.sequence != expected {
            return Err(damaged(
                at as u64,
                format!(
                    "record {expected} is expected, record {} is there",
                    frame.header.sequence
                ),
            ));
        }
        let position = Position {
            file_id: h.file_id,
            generation: h.generation,
            sequence: expected,
            previous: end.chain,
        };
        let text = &mut scratch[..frame.header.body];
        text.copy_from_slice(frame.body);
        if !cipher.open(&position, &frame.header.nonce, &frame.tag, text) {
            if has_unwritten_sector(at, rest, Some(length)) {
                end.torn = left;
                break;
            }
            return Err(damaged(
                at as u64,
                "the record is not authentic: it was changed",
            ));
        }
        let change = layout::read_plaintext(pool, text)?
            .ok_or_else(|| damaged(at as u64, "the record's content breaks the format's rules"))?;
        sink(change)?;
        end.offset += length as u64;
        end.sequence = expected;
        end.chain = chain_value(&frame.tag);
        journal.advance(length);
        passed = passed || passes(&end);
    }
    Ok((end, passed))
}

/// The chain value behind a record: its tag, padded with zeroes.
pub fn chain_value(tag: &[u8; TAG]) -> [u8; MAC] {
    let mut chain = [0; MAC];
    chain[..TAG].copy_from_slice(tag);
    chain
}

struct WholeFrame<'a> {
    header: FrameHeader,
    body: &'a [u8],
    tag: [u8; TAG],
}

enum Frame<'a> {
    Whole(WholeFrame<'a>),
    /// The file ends before the frame does.
    Short,
    /// Not a frame; its length if its header is readable.
    Bad(Option<usize>, &'static str),
}

fn read_frame(rest: &[u8]) -> Frame<'_> {
    if rest.len() < FRAME_HEADER {
        return Frame::Short;
    }
    let Some(header) = layout::parse_frame_header(rest) else {
        return Frame::Bad(None, "the start of a record is damaged (checksum)");
    };
    let length = header.frame_length();
    let Some(frame) = rest.get(..length) else {
        return Frame::Short;
    };
    let (body, tail) = frame[FRAME_HEADER..].split_at(header.body);
    let (tag, mark) = tail.split_at(TAG);
    if mark != END_MARK {
        return Frame::Bad(Some(length), "the end of a record is damaged");
    }
    let mut whole = WholeFrame {
        header,
        body,
        tag: [0; TAG],
    };
    whole.tag.copy_from_slice(tag);
    Frame::Whole(whole)
}

/// `rest`, which starts at offset `at` and holds a broken frame, is the last frame of the file and
/// at least one aligned sector's share of it is all zeroes: the power went before the disk wrote
/// that sector. Marks at both ends of a frame are free of zeroes, so a share is never zero by
/// chance.
fn has_unwritten_sector(at: usize, rest: &[u8], length: Option<usize>) -> bool {
    match length {
        // The frame ends before the file does: it is not the last one.
        Some(length) if length != rest.len() => return false,
        Some(_) => {}
        None => {
            let later_frame = || {
                (1..rest.len().saturating_sub(FRAME_HEADER - 1))
                    .any(|i| layout::parse_frame_header(&rest[i..]).is_some())
            };
            // The frame's own start must be among what was not written.
            let first_share = (SECTOR - at % SECTOR).min(rest.len());
            let start_missing = rest[..first_share].iter().all(|b| *b == 0)
                || (first_share < FRAME_HEADER
                    && rest[first_share..(first_share + SECTOR).min(rest.len())]
                        .iter()
                        .all(|b| *b == 0));
            if rest.len() > MAX_FRAME || !start_missing || later_frame() {
                return false;
            }
        }
    }
    let mut from = 0;
    while from < rest.len() {
        let to = (from + SECTOR - (at + from) % SECTOR).min(rest.len());
        if rest[from..to].iter().all(|b| *b == 0) {
            return true;
        }
        from = to;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame whose start can't be read is torn only if that start is what was not written.
    #[test]
    fn a_start_that_was_not_written() {
        let torn = |at, rest: &[u8]| has_unwritten_sector(at, rest, None);
        // The first share of a frame at 700 is bytes 0..324.
        let mut rest = vec![1u8; 2000];
        rest[..324].fill(0);
        assert!(torn(700, &rest));
        rest[323] = 1;
        rest[324..].fill(0);
        assert!(!torn(700, &rest), "the start was written, and is damaged");
        rest[323] = 0;
        assert!(torn(700, &rest));
        // At 1020 four bytes of the frame's start are in one sector, the rest is in the next, 4..516.
        let mut rest = vec![1u8; 2000];
        rest[4..516].fill(0);
        assert!(torn(1020, &rest));
        rest[515] = 1;
        assert!(!torn(1020, &rest), "not the whole sector");
        rest[515] = 0;
        rest[516..].fill(0);
        assert!(torn(1020, &rest));
        // A frame that ends within that sector.
        assert!(torn(1020, &rest[..40]));
        // The whole start is in the first sector, which was written.
        let mut rest = vec![1u8; 2000];
        rest[FRAME_HEADER..].fill(0);
        assert!(!torn(SECTOR - FRAME_HEADER, &rest));
        rest[FRAME_HEADER - 1] = 0;
        assert!(
            torn(SECTOR - FRAME_HEADER + 1, &rest[..]),
            "its last byte is in the next sector"
        );
        assert!(torn(0, &[0; MAX_FRAME]), "as long as a frame can be");
    }

    /// What a whole frame follows is not the last one.
    #[test]
    fn a_later_frame_makes_it_damage() {
        let mut frame = Vec::new();
        layout::write_frame(&mut frame, 5, &[7; 12], &[9; 60], &[8; TAG]);
        let header = &frame[..FRAME_HEADER];
        for at in [512, 700, 2000 - FRAME_HEADER] {
            let mut rest = vec![0u8; 2000];
            rest[at..at + FRAME_HEADER].copy_from_slice(header);
            assert!(!has_unwritten_sector(0, &rest, None), "a frame at {at}");
            rest[at] ^= 1;
            assert!(has_unwritten_sector(0, &rest, None), "no frame at {at}");
        }
    }

    #[test]
    fn garbage_as_long_as_a_frame_header_is_damage() {
        assert!(matches!(
            read_frame(&[1; FRAME_HEADER]),
            Frame::Bad(None, _)
        ));
        assert!(matches!(read_frame(&[1; FRAME_HEADER - 1]), Frame::Short));
    }

    #[test]
    fn unwritten_sectors() {
        let mut frame = vec![1u8; 2000];
        assert!(!has_unwritten_sector(700, &frame, Some(2000)));
        // The share of the sector 1024..1536 is bytes 324..836 of a frame at 700.
        frame[324..836].fill(0);
        assert!(has_unwritten_sector(700, &frame, Some(2000)));
        frame[500] = 1;
        assert!(
            !has_unwritten_sector(700, &frame, Some(2000)),
            "not the whole sector"
        );
        assert!(
            !has_unwritten_sector(700, &[0; 2000], Some(1999)),
            "not the last frame"
        );
        assert!(
            has_unwritten_sector(700, &[0; 2000], None),
            "nothing of it was written"
        );
        assert!(
            !has_unwritten_sector(700, &vec![0; MAX_FRAME + 1], None),
            "too long for one frame"
        );
    }
}
