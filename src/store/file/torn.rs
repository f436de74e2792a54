//! The end of a journal that is not whole: torn by a crash, or tampered with?
//!
//! Owns that one decision (design rule 6). A change is synced before the next one is begun, so a crash leaves at
//! most the last one frame incomplete, and only beyond what was acknowledged. It must never call torn what may be
//! more than one frame, or what the marker knows; it reads no file and needs no key.

use crate::format::frame::{self, FRAME_HEADER, FRAME_MARK, MAX_FRAME, MIN_FRAME};

/// Disks write whole sectors; file systems write whole multiples of them.
pub const SECTOR: u64 = 512;
/// Where file systems end a file of which they have not allocated the next block yet.
const BLOCK: u64 = 4096;

/// What is known to have been acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Up to this record, nothing is torn.
    pub sequence: u64,
    /// The marker is this boot's, and so knows everything that a server acknowledged.
    pub exact: bool,
}

/// The bytes behind the last record that is whole.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    /// Where they begin in the file.
    pub offset: u64,
    /// They themselves; of more than [`MAX_FRAME`] bytes at least that many.
    pub bytes: &'a [u8],
    /// The file's length.
    pub file_end: u64,
    /// The last whole record's number.
    pub last: u64,
}

/// What a tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The last frame of the file, which a crash left incomplete.
    Torn,
    /// Not that. In addition to what the reader found wrong: why, where that is not plain.
    Tampered(Option<&'static str>),
}

/// Judges a tail that does not begin with a whole and authentic frame.
pub fn judge(tail: &Tail<'_>, bound: &Bound) -> Verdict {
    let length = tail.file_end.saturating_sub(tail.offset);
    if tail.last < bound.sequence {
        return Verdict::Tampered(Some(
            "this record was saved and acknowledged, so no crash has left it so",
        ));
    }
    if length > MAX_FRAME as u64 || length > tail.bytes.len() as u64 {
        return Verdict::Tampered(None);
    }
    let bytes = &tail.bytes[..length as usize];
    match frame::parse_frame_header(bytes) {
        Some(header) => {
            let ours = tail.last.checked_add(1) == Some(header.sequence);
            let claimed = header.frame_length();
            let short = claimed > bytes.len();
            let last = claimed == bytes.len();
            // A whole frame that is the last one: some of it must never have been written.
            torn_if(ours && (short || last && has_unwritten_share(tail.offset, bytes)))
        }
        None if bytes.len() < FRAME_HEADER => {
            let begun = bytes.iter().zip(FRAME_MARK).all(|(a, b)| *a == b);
            torn_if(begun || has_unwritten_share(tail.offset, bytes))
        }
        None => torn_if(start_is_unwritten(tail.offset, bytes) && is_one_frame(tail, bytes)),
    }
}

fn torn_if(torn: bool) -> Verdict {
    match torn {
        true => Verdict::Torn,
        false => Verdict::Tampered(None),
    }
}

/// Bytes whose beginning was never written are one frame, not several.
///
/// The number of bytes tells the number of frames (`frame::padded`): for sure where they are fewer than 1,105
/// (17 of the shortest), with a chance of 1 in 512 to err beyond. So zeroes alone are believed up to a block: more
/// than that no crash was seen to leave. And a file may end with a block: where the next one was not allocated yet,
/// ext4 leaves the file so, with zeroes in place of the frame's first part.
fn is_one_frame(tail: &Tail<'_>, bytes: &[u8]) -> bool {
    let zero = is_zero(bytes);
    let short = bytes.len() as u64 <= BLOCK;
    let whole = frame::padded(bytes.len()) == bytes.len() && (short || !zero);
    let part = zero && (bytes.len() < MIN_FRAME || short && tail.file_end.is_multiple_of(BLOCK));
    (whole || part) && !holds_a_frame(bytes)
}

/// The start of a frame lies within `bytes`, behind their own start.
fn holds_a_frame(bytes: &[u8]) -> bool {
    (1..bytes.len().saturating_sub(FRAME_HEADER - 1))
        .any(|i| frame::parse_frame_header(&bytes[i..]).is_some())
}

/// The sectors' shares of `bytes`, which begin at `offset` of the file.
fn shares(offset: u64, bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = (SECTOR - offset % SECTOR) as usize;
    let (head, rest) = bytes.split_at(first.min(bytes.len()));
    std::iter::once(head).chain(rest.chunks(SECTOR as usize))
}

fn is_zero(share: &[u8]) -> bool {
    share.iter().all(|b| *b == 0)
}

/// At least one sector's share is all zeroes. Marks at both ends of a frame are free of zeroes, so a share is never
/// zero by chance.
fn has_unwritten_share(offset: u64, bytes: &[u8]) -> bool {
    shares(offset, bytes).any(is_zero)
}

/// A share that holds a part of the frame's start is all zeroes.
fn start_is_unwritten(offset: u64, bytes: &[u8]) -> bool {
    let mut begin = 0;
    shares(offset, bytes).any(|share| {
        let holds_start = begin < FRAME_HEADER;
        begin += share.len();
        holds_start && is_zero(share)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::TAG;

    /// A frame of `length` bytes with the number `sequence`, free of zeroes in its text.
    fn frame(sequence: u64, length: usize) -> Vec<u8> {
        assert_eq!(frame::padded(length), length);
        let mut out = Vec::new();
        let text = vec![9; length - frame::FRAME_OVERHEAD];
        frame::write_frame(&mut out, sequence, &[7; 12], &text, &[8; TAG]);
        out
    }

    fn verdict(offset: u64, bytes: &[u8], bound: u64) -> Verdict {
        let tail = Tail {
            offset,
            bytes: &bytes[..bytes.len().min(MAX_FRAME + 1)],
            file_end: offset + bytes.len() as u64,
            last: 4,
        };
        judge(
            &tail,
            &Bound {
                sequence: bound,
                exact: true,
            },
        )
    }
    fn torn(offset: u64, bytes: &[u8]) -> bool {
        verdict(offset, bytes, 4) == Verdict::Torn
    }

    #[test]
    fn nothing_is_torn_that_was_acknowledged() {
        let whole = frame(5, 145);
        for bytes in [&whole[..100], &whole[..10], &[0; 145]] {
            assert!(torn(700, bytes));
            assert_eq!(verdict(700, bytes, 0), Verdict::Torn);
            let Verdict::Tampered(Some(why)) = verdict(700, bytes, 5) else {
                panic!("record 5 was acknowledged");
            };
            assert!(why.contains("acknowledged"));
        }
    }

    #[test]
    fn every_cut_of_the_next_frame_is_torn_and_of_another_one_not() {
        let whole = frame(5, 1537);
        for cut in 1..whole.len() {
            assert!(torn(700, &whole[..cut]), "cut at {cut}");
        }
        assert!(!torn(700, &whole), "whole, and yet not authentic");
        let other = frame(6, 1537);
        assert!((FRAME_HEADER..1537).all(|cut| !torn(700, &other[..cut])));
        // Less than a frame's start, and not the start of one.
        assert!(!torn(700, b"KWG"));
        assert!(!torn(700, &[1; FRAME_HEADER - 1]));
        assert!(torn(700, &[0; 5]));
    }

    #[test]
    fn unwritten_sectors_of_the_last_frame() {
        let whole = frame(5, 2049);
        for offset in [0, 511, 512, 700, 1020] {
            for sector in offset / SECTOR..=(offset + 2048) / SECTOR {
                let mut bytes = whole.clone();
                let from = (sector * SECTOR).saturating_sub(offset) as usize;
                let to = ((sector + 1) * SECTOR - offset).min(2049) as usize;
                bytes[from..to].fill(0);
                assert!(torn(offset, &bytes), "sector {sector} from {offset}");
                bytes[(from + to) / 2] = 1;
                assert!(!torn(offset, &bytes), "not the whole sector {sector}");
                // Another frame follows: not the last one.
                bytes[(from + to) / 2] = 0;
                bytes.extend_from_slice(&frame(6, 145));
                assert!(!torn(offset, &bytes), "sector {sector}, not the last");
            }
        }
    }

    /// What was never written may hide several frames: its length tells.
    #[test]
    fn a_tail_of_zeroes_is_one_frame_or_tampered() {
        for length in [65, 81, 145, 161, 1025, 1537, 2049] {
            assert!(torn(700, &vec![0; length]), "{length}");
        }
        // Every number of frames of every length; 50 of 145 bytes are fault S6.
        for each in (MIN_FRAME..MAX_FRAME).filter(|n| frame::padded(*n) == *n) {
            // From 702 on: from 700 four of 849 bytes end with a block, see below.
            for frames in 2..=MAX_FRAME / each {
                let tail = vec![0; frames * each];
                assert!(!torn(702, &tail), "{frames} of {each}");
            }
        }
        // Of any lengths, while they are fewer than 1,105 bytes.
        for mixed in [[65, 81, 97], [129, 145, 65], [545, 65, 65], [97, 97, 145]] {
            assert!(!torn(700, &vec![0; mixed.iter().sum()]), "{mixed:?}");
        }
        assert!(!torn(700, &vec![0; MAX_FRAME]), "more than a block");
        // A file that ends with a block: seen on ext4, where the next block was not allocated yet.
        assert!(torn(4000, &[0; 96]));
        assert!(!torn(4000, &[0; 98]));
        assert!(torn(4000, &[0; 40]), "shorter than any frame");
    }

    #[test]
    fn an_unwritten_start_before_what_was_written() {
        // The first share of a frame at 700 is bytes 0..324.
        let mut bytes = frame(5, 2049);
        bytes[..324].fill(0);
        assert!(torn(700, &bytes));
        let swallowed = [&bytes[..], &frame(6, 65)[..]].concat();
        assert!(!torn(700, &swallowed), "a later frame");
        bytes[323] = 1;
        assert!(!torn(700, &bytes), "the start was written, and is damaged");
        // At 1020 four bytes of the start are in one sector, the rest is in the next.
        let mut bytes = frame(5, 2049);
        bytes[4..516].fill(0);
        assert!(torn(1020, &bytes));
        bytes[515] = 1;
        assert!(!torn(1020, &bytes), "not the whole sector");
        // The whole start was written, and is damaged.
        let mut bytes = frame(5, 2049);
        bytes[0] = 1;
        bytes[FRAME_HEADER..].fill(0);
        assert!(!torn(SECTOR - FRAME_HEADER as u64, &bytes));
        bytes[FRAME_HEADER - 1] = 0;
        assert!(
            torn(SECTOR - FRAME_HEADER as u64 + 1, &bytes),
            "its last byte is in the next sector"
        );
    }

    #[test]
    fn garbage_is_tampered() {
        for length in [1, 31, 32, 65, 145, 5000, MAX_FRAME, MAX_FRAME + 1] {
            assert!(!torn(700, &vec![1; length]), "{length}");
        }
    }
}
