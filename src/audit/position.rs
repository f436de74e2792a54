//! The place of a change in its journal, by which the log and the journal know it as the same.
//!
//! Owns its bytes and its text. It must never be the same for two changes of one journal.

use crate::text::hex;

/// Where a change is in its journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The record's number.
    pub sequence: u64,
    /// Which of several changes that became durable with it.
    pub part: u32,
    /// The beginning of the record's tag, which no other one with this number has.
    pub tag: [u8; 8],
}

impl Position {
    const LENGTH: usize = 8 + 4 + 8;

    /// As it is carried.
    pub fn to_bytes(self) -> [u8; Position::LENGTH] {
        let mut bytes = [0; Position::LENGTH];
        bytes[..8].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.part.to_le_bytes());
        bytes[12..].copy_from_slice(&self.tag);
        bytes
    }

    /// Takes one from the beginning of `bytes`.
    pub fn take(bytes: &mut &[u8]) -> Option<Position> {
        let (own, rest) = bytes.split_first_chunk::<{ Position::LENGTH }>()?;
        *bytes = rest;
        let mut position = Position::default();
        let (sequence, part) = (own[..8].try_into().ok()?, own[8..12].try_into().ok()?);
        position.sequence = u64::from_le_bytes(sequence);
        position.part = u32::from_le_bytes(part);
        position.tag.copy_from_slice(&own[12..]);
        Some(position)
    }

    /// Its order, whatever its tag.
    pub fn place(self) -> (u64, u32) {
        (self.sequence, self.part)
    }

    /// As it stands in a line.
    pub fn text(self) -> String {
        format!("{}.{}.{}", self.sequence, self.part, hex(&self.tag))
    }

    /// Reads what [`Position::text`] wrote.
    pub fn parse(text: &str) -> Option<Position> {
        let mut parts = text.split('.');
        let (sequence, part, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let tag: [u8; 8] = crate::text::from_hex(tag, 8)?.try_into().ok()?;
        let position = Position {
            sequence: sequence.parse().ok()?,
            part: part.parse().ok()?,
            tag,
        };
        (parts.next().is_none() && position.text() == text).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_one_text() {
        let position = Position {
            sequence: 12,
            part: 3,
            tag: [0xab; 8],
        };
        assert_eq!(Position::parse(&position.text()), Some(position));
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.ab",
            "01.2.abababababababab",
            "1.2.ABABABABABABABAB",
            "1.2.abababababababab.",
        ] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
    }
}
