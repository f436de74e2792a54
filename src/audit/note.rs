//! What the keyring's journal says of the log: how far it was on the disk, and what is owed to it.
//!
//! Owns these bytes: the extension of a record ([`Owed`]) and the document that a rewrite carries what is not in the log yet in
//! ([`carry`]). Both are public facts of an encrypted file. It must never lose what is owed.

use super::entry::Entry;
use super::position::Position;
use crate::key::extensions::OWED_LENGTH;
use crate::text::hex;

/// A hash of a line.
pub const HASH: usize = 32;
/// Length of a [`Synced`] in bytes.
const SYNCED: usize = 8 + HASH + 12;
/// The layout is that of the extension.
const _: () = assert!(OWED_LENGTH == 8 + SYNCED);

/// The last line of the log that is known to be on the disk.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Synced {
    /// Its number; 0: none.
    pub line: u64,
    /// Its hash.
    pub hash: [u8; HASH],
    /// The last change that is told up to there: its record, and which part of it.
    pub change: (u64, u32),
}

impl std::fmt::Debug for Synced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "line {} ({}), change {:?}",
            self.line,
            hex(&self.hash),
            self.change
        )
    }
}

impl Synced {
    fn to_bytes(self) -> [u8; SYNCED] {
        let mut bytes = [0; SYNCED];
        bytes[..8].copy_from_slice(&self.line.to_le_bytes());
        bytes[8..8 + HASH].copy_from_slice(&self.hash);
        bytes[8 + HASH..16 + HASH].copy_from_slice(&self.change.0.to_le_bytes());
        bytes[16 + HASH..].copy_from_slice(&self.change.1.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Synced> {
        let (line, rest) = bytes.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<HASH>()?;
        let (sequence, part) = rest.split_first_chunk::<8>()?;
        Some(Synced {
            line: u64::from_le_bytes(*line),
            hash: *hash,
            change: (
                u64::from_le_bytes(*sequence),
                u32::from_le_bytes(part.try_into().ok()?),
            ),
        })
    }
}

/// What a record says that is owed to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed {
    /// When it was made, in microseconds since 1970.
    pub at: i64,
    /// How far the log was then.
    pub synced: Synced,
}

impl Owed {
    /// As it stands in the record.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.at.to_le_bytes()[..], &self.synced.to_bytes()].concat()
    }

    /// What stands in a record; `None`: it breaks the rules.
    pub fn from_bytes(bytes: &[u8]) -> Option<Owed> {
        let (at, synced) = bytes.split_first_chunk::<8>()?;
        (bytes.len() == OWED_LENGTH).then_some(())?;
        Some(Owed {
            at: i64::from_le_bytes(*at),
            synced: Synced::from_bytes(synced)?,
        })
    }
}

/// How the names of documents begin that carry what is owed.
pub const CARRIED: &str = "audit.owed.";
/// The layout of such a document.
const LAYOUT: u8 = 1;
/// Bytes of entries in one document; less than a document holds.
const PIECE: usize = 48 << 10;

/// What a rewrite carries, as contents of documents: always one, which says how far the log was.
pub fn carry(synced: Synced, owed: &[Entry]) -> Vec<Vec<u8>> {
    let begin = || [&[LAYOUT][..], &synced.to_bytes()].concat();
    let mut pieces = vec![begin()];
    for entry in owed {
        let Some(place) = entry.change else { continue };
        let mut one = place.to_bytes().to_vec();
        entry.encode(&mut one);
        if pieces.last().is_some_and(|p| p.len() + one.len() > PIECE) {
            pieces.push(begin());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.extend_from_slice(&one);
        }
    }
    pieces
}

/// What such a document says; `None`: it breaks the rules.
pub fn carried(content: &[u8]) -> Option<(Synced, Vec<Entry>)> {
    let (layout, rest) = content.split_first()?;
    (*layout == LAYOUT).then_some(())?;
    let (synced, mut rest) = rest.split_at_checked(SYNCED)?;
    let synced = Synced::from_bytes(synced)?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let place = Position::take(&mut rest)?;
        let entry = Entry::decode(&mut rest)?;
        entries.push(Entry {
            change: Some(place),
            ..entry
        });
    }
    Some((synced, entries))
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    fn entry(n: u64) -> Entry {
        Entry {
            change: Some(Position {
                sequence: n,
                part: 3,
                tag: [7; 8],
            }),
            ..Entry::new(Event::KeyAdded)
                .by("root@localhost #1")
                .of(b"name", b"o@%")
        }
    }

    #[test]
    fn a_record_says_how_far_the_log_was() {
        let synced = Synced {
            line: 9,
            hash: [3; HASH],
            change: (5, 1),
        };
        let owed = Owed { at: -1, synced };
        let bytes = owed.to_bytes();
        assert_eq!(bytes.len(), OWED_LENGTH);
        assert_eq!(Owed::from_bytes(&bytes), Some(owed));
        assert_eq!(Owed::from_bytes(&bytes[1..]), None);
        assert_eq!(Owed::from_bytes(&[bytes, vec![0]].concat()), None);
    }

    #[test]
    fn a_rewrite_carries_any_number() {
        let synced = Synced {
            line: 9,
            hash: [3; HASH],
            change: (5, 1),
        };
        for many in [0, 1, 2_000] {
            let owed: Vec<_> = (0..many).map(entry).collect();
            let pieces = carry(synced, &owed);
            let mut all = Vec::new();
            for piece in &pieces {
                assert!(piece.len() <= crate::key::document::MAX_DOCUMENT);
                let (said, entries) = carried(piece).unwrap();
                assert_eq!(said, synced);
                all.extend(entries);
                for end in [0, 1, 50, piece.len() - 1] {
                    let cut = carried(&piece[..end]);
                    assert!(cut.is_none() || end == SYNCED + 1, "{end}");
                }
            }
            assert_eq!(all, owed);
        }
    }
}
