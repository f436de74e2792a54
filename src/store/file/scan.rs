//! Reading a journal: from the bytes of a file to a sequence of changes.
//!
//! It must never skip a frame, and touches nothing on disk. What an end that is not whole means is decided in
//! `torn`, whether a remembered record was met in `waypoint`.

use super::torn::{self, Bound, Tail, Verdict};
use super::waypoint::Watch;
use super::window::{LOOK, Window};
use crate::envelope::{FileKeys, MAC, Position, TAG};
use crate::error::{Error, Result};
use crate::format::damage::damaged;
use crate::format::frame::{END_MARK, FRAME_HEADER, FrameHeader, MAX_BODY, parse_frame_header};
use crate::format::header::ParsedHeader;
use crate::format::record::{OwedRecord, read_record};
use crate::key::record::ReadChange;
use crate::secret::SecretPool;

/// A record that was read.
pub struct Scanned {
    /// What it does.
    pub change: ReadChange,
    /// What it owes to the audit log.
    pub owed: Option<OwedRecord>,
    /// Its number.
    pub sequence: u64,
    /// Its tag.
    pub tag: [u8; TAG],
    /// Its frame's length in bytes.
    pub length: u64,
}

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

/// What almost every body fits into. Room for the longest is a mapping of its own, which is locked and unmapped again.
const USUAL_BODY: usize = 1024;

/// Reads all records of `journal`, which begins behind the header, and gives each to `sink`.
///
/// `watches` see each record that is passed; nothing up to `bound` is taken for torn.
///
/// # Errors
/// Tampered: a record is damaged, out of sequence or not authentic. UnsupportedVersion: an authentic one says what this
/// program does not know. Io: the file can't be read. What `sink` returns.
pub fn scan(
    pool: &SecretPool,
    journal: &mut Window<'_>,
    header: &ParsedHeader,
    keys: &FileKeys,
    watches: &mut [Watch],
    bound: &Bound,
    sink: &mut dyn FnMut(Scanned) -> Result<()>,
) -> Result<End> {
    let cipher = keys.cipher();
    let mut scratch = pool.zeroed(USUAL_BODY)?;
    let h = &header.header;
    let mut end = End {
        offset: header.length as u64,
        sequence: h.base_sequence,
        chain: header.mac,
        torn: 0,
    };
    watches.iter_mut().for_each(|w| w.pass(h.generation, &end));
    let bound = Bound {
        sequence: bound.sequence.max(h.whole_to),
        ..*bound
    };
    let io = |e| Error::io("read the keyring file", "its records", e);
    loop {
        let (at, left) = (end.offset, journal.left());
        let rest = journal.bytes().map_err(io)?;
        if rest.is_empty() {
            break;
        }
        // Beyond this no frame reaches: enough to judge one.
        let rest = &rest[..rest.len().min(LOOK)];
        let frame = match read_frame(rest) {
            Ok(frame) => frame,
            Err(why) => return torn_end(end, rest, left, &bound, why),
        };
        let (Some(expected), length) = (end.sequence.checked_add(1), frame.header.frame_length())
        else {
            return Err(damaged(at, "the sequence number overflows"));
        };
        if frame.header.sequence != expected {
            return Err(damaged(
                at,
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
        if frame.header.body > scratch.len() {
            scratch = pool.zeroed(MAX_BODY)?;
        }
        let text = &mut scratch[..frame.header.body];
        text.copy_from_slice(frame.body);
        if !cipher.open(&position, &frame.header.nonce, &frame.tag, text) {
            let why = "the record is not authentic: it was changed";
            return torn_end(end, rest, left, &bound, why);
        }
        let (change, owed) = read_record(pool, text)
            .map_err(|e| e.context(format!("record {expected} at byte {at}")))?
            .ok_or_else(|| damaged(at, "the record's content breaks the format's rules"))?;
        sink(Scanned {
            change,
            owed,
            sequence: expected,
            tag: frame.tag,
            length: length as u64,
        })?;
        end.offset += length as u64;
        end.sequence = expected;
        end.chain = chain_value(&frame.tag);
        journal.advance(length);
        watches.iter_mut().for_each(|w| w.pass(h.generation, &end));
    }
    if end.sequence < h.whole_to {
        let why = format!(
            "the file ends with record {}, but was put in place with record {}",
            end.sequence, h.whole_to
        );
        return Err(damaged(end.offset, why));
    }
    Ok(end)
}

/// The journal behind `end` does not begin with a good frame: the last frame that a crash left incomplete is its
/// end, everything else is an error. `rest`: what lies there, or as much of it as a frame can have and more.
fn torn_end(mut end: End, rest: &[u8], left: u64, bound: &Bound, why: &'static str) -> Result<End> {
    let tail = Tail {
        offset: end.offset,
        bytes: rest,
        file_end: end.offset + left,
        last: end.sequence,
    };
    match torn::judge(&tail, bound) {
        Verdict::Torn => {
            end.torn = left;
            Ok(end)
        }
        Verdict::Tampered(None) => Err(damaged(end.offset, why)),
        Verdict::Tampered(Some(more)) => {
            let record = end.sequence.saturating_add(1);
            let why = format!("{why} (record {record}): {more}");
            Err(damaged(end.offset, why))
        }
    }
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

/// The frame at the start of `rest`, or why there is none.
fn read_frame(rest: &[u8]) -> std::result::Result<WholeFrame<'_>, &'static str> {
    const SHORT: &str = "the file ends within a record";
    if rest.len() < FRAME_HEADER {
        return Err(SHORT);
    }
    let header = parse_frame_header(rest).ok_or("the start of a record is damaged (checksum)")?;
    let frame = rest.get(..header.frame_length()).ok_or(SHORT)?;
    let (body, tail) = frame[FRAME_HEADER..].split_at(header.body);
    let (tag, mark) = tail.split_at(TAG);
    if mark != END_MARK {
        return Err("the end of a record is damaged");
    }
    let mut whole = WholeFrame {
        header,
        body,
        tag: [0; TAG],
    };
    whole.tag.copy_from_slice(tag);
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_as_long_as_a_frame_header_is_damage() {
        let why = |rest: &[u8]| read_frame(rest).map(drop).unwrap_err();
        assert!(why(&[1; FRAME_HEADER]).contains("damaged"));
        assert!(why(&[1; FRAME_HEADER - 1]).contains("ends within"));
    }
}
