//! Frames: the checked start and the end of a sealed record.
//!
//! Owns their lengths. The length of every frame tells how many frames some bytes are, which `torn` builds on. It must
//! never give a frame's start whose checksum or length is wrong.

use super::limits::{MAX_PLAINTEXT, SHORTEST};
use super::reader::Reader;
use crate::envelope::{NONCE, TAG};

/// First bytes of a frame; none is zero.
pub const FRAME_MARK: [u8; 4] = *b"KWF\x01";
/// Last bytes of a frame; none is zero.
pub const END_MARK: [u8; 4] = *b"\xffEND";
/// Mark, body length, sequence, nonce, CRC.
pub const FRAME_HEADER: usize = 4 + 4 + 8 + NONCE + 4;
/// What a frame adds to its ciphertext.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER + TAG + END_MARK.len();
/// Longest frame in bytes.
pub const MAX_FRAME: usize = padded(FRAME_OVERHEAD + MAX_PLAINTEXT);
/// Longest ciphertext in bytes.
pub const MAX_BODY: usize = MAX_FRAME - FRAME_OVERHEAD;
/// Shortest frame in bytes: the removal of a key with a name of one byte.
pub const MIN_FRAME: usize = padded(FRAME_OVERHEAD + SHORTEST);
/// The length of every frame is 1 more than a multiple of this: the length of some frames tells
/// how many they are, even when nothing else of them is readable (`torn`).
pub const GRAIN: usize = 16;
/// Frames beyond this are 1 more than a multiple of `COARSE_GRAIN`.
const FINE_UP_TO: usize = 1025;
const COARSE_GRAIN: usize = 512;

/// The length of a frame that needs `length` bytes: the next one that a frame may have.
pub const fn padded(length: usize) -> usize {
    let grain = if length <= FINE_UP_TO {
        GRAIN
    } else {
        COARSE_GRAIN
    };
    (length - 1).next_multiple_of(grain) + 1
}

/// The checked start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Length of the ciphertext without its tag.
    pub body: usize,
    /// The record's sequence number.
    pub sequence: u64,
    /// Its nonce.
    pub nonce: [u8; NONCE],
}

impl FrameHeader {
    /// The length of the whole frame.
    pub fn frame_length(&self) -> usize {
        FRAME_OVERHEAD + self.body
    }
}

/// Parses a frame's start. `None`: this is not one.
pub fn parse_frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    let bytes = bytes.get(..FRAME_HEADER)?;
    let (covered, crc) = bytes.split_at(FRAME_HEADER - 4);
    if bytes[..4] != FRAME_MARK || crc != crc32fast::hash(covered).to_le_bytes() {
        return None;
    }
    let mut r = Reader::new(covered, FRAME_MARK.len());
    let header = FrameHeader {
        body: r.u32()? as usize,
        sequence: r.u64()?,
        nonce: r.array()?,
    };
    let possible = (1..=MAX_BODY).contains(&header.body)
        && header.frame_length() == padded(header.frame_length());
    possible.then_some(header)
}

/// Appends a frame to `out`.
pub fn write_frame(
    out: &mut Vec<u8>,
    sequence: u64,
    nonce: &[u8; NONCE],
    text: &[u8],
    tag: &[u8; TAG],
) {
    let start = out.len();
    out.extend_from_slice(&FRAME_MARK);
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(nonce);
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(tag);
    out.extend_from_slice(&END_MARK);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of several frames' lengths is not the length of one.
    #[test]
    fn lengths_of_frames_count_them() {
        assert_eq!((MIN_FRAME, padded(65), padded(66)), (65, 65, 81));
        assert_eq!(
            (padded(1025), padded(1026), MAX_FRAME),
            (1025, 1537, 82_433)
        );
        for n in 1..=MAX_FRAME {
            let p = padded(n);
            assert!(p >= n && p % GRAIN == 1 && padded(p) == p);
        }
        let lengths: Vec<usize> = (MIN_FRAME..1105).filter(|n| padded(*n) == *n).collect();
        for a in &lengths {
            for b in &lengths {
                for c in [0, 65, 81, 97, 145] {
                    let sum = a + b + c;
                    assert!(sum >= (GRAIN + 1) * MIN_FRAME || padded(sum) != sum);
                }
            }
        }
    }
}
