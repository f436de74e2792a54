//! One thing that is to be told, before it is a line.
//!
//! Owns how it lies in the ring and in a record's carried list: fields with their lengths before them. It must never hold a secret.

use super::event::{Event, Outcome};
use super::position::Position;
use crate::text;
use sha2::{Digest, Sha256};

/// Longest actor, name or owner in bytes, as the keyring has them.
const MAX_FIELD: usize = 1024;
/// Longest detail in bytes.
pub const MAX_DETAIL: usize = 255;

/// Microseconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

/// One thing that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// What.
    pub event: Event,
    /// What came of it.
    pub outcome: Outcome,
    /// Who: the actor's text; empty: nobody knows.
    pub actor: String,
    /// The key's name, or the document's; empty: it is about none.
    pub name: Vec<u8>,
    /// The key's owner.
    pub owner: Vec<u8>,
    /// Why, or what beside that.
    pub detail: String,
    /// How often.
    pub count: u64,
    /// The place of its record in the journal.
    pub change: Option<Position>,
    /// It was made again from the journal after a crash.
    pub recovered: bool,
}

impl Entry {
    /// Something that happened now, once, and went well.
    pub fn new(event: Event) -> Entry {
        Entry {
            at: now(),
            event,
            outcome: Outcome::Done,
            actor: String::new(),
            name: Vec::new(),
            owner: Vec::new(),
            detail: String::new(),
            count: 1,
            change: None,
            recovered: false,
        }
    }

    /// The same by this actor.
    pub fn by(mut self, actor: impl Into<String>) -> Entry {
        self.actor = actor.into();
        self
    }

    /// The same about this key.
    pub fn of(mut self, name: &[u8], owner: &[u8]) -> Entry {
        self.name = name.to_vec();
        self.owner = owner.to_vec();
        self
    }

    /// The same with this outcome.
    pub fn came_to(mut self, outcome: Outcome) -> Entry {
        self.outcome = outcome;
        self
    }

    /// The same with a sentence.
    pub fn saying(mut self, detail: &str) -> Entry {
        let detail = text::clean(detail);
        self.detail = detail[..detail.floor_char_boundary(MAX_DETAIL)].to_string();
        self
    }

    /// Appends it to `out`. Its position is not part of it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        Borrowed::from(self).encode(out);
    }

    /// Reads what [`Entry::encode`] wrote, and takes it from the beginning of `bytes`; `None`: it is none.
    pub fn decode(bytes: &mut &[u8]) -> Option<Entry> {
        let (head, rest) = bytes.split_first_chunk::<18>()?;
        *bytes = rest;
        let number = |range: std::ops::Range<usize>| <[u8; 8]>::try_from(&head[range]).ok();
        let (at, count) = (number(0..8)?, number(8..16)?);
        let mut field = || {
            let (length, rest) = bytes.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_le_bytes(*length));
            let (field, rest) = rest.split_at_checked(length)?;
            *bytes = rest;
            (length <= MAX_FIELD).then(|| field.to_vec())
        };
        Some(Entry {
            at: i64::from_le_bytes(at),
            event: Event::of_number(head[16])?,
            outcome: Outcome::of_number(head[17])?,
            actor: String::from_utf8(field()?).ok()?,
            name: field()?,
            owner: field()?,
            detail: String::from_utf8(field()?).ok()?,
            count: u64::from_le_bytes(count),
            change: None,
            recovered: false,
        })
    }
}

/// An entry whose texts are somebody else's: the ring takes it without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct Borrowed<'a> {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// How often.
    pub count: u64,
    /// What.
    pub event: Event,
    /// What came of it.
    pub outcome: Outcome,
    /// Who.
    pub actor: &'a str,
    /// The key's name.
    pub name: &'a [u8],
    /// The key's owner.
    pub owner: &'a [u8],
    /// Why.
    pub detail: &'a str,
}

impl<'a> From<&'a Entry> for Borrowed<'a> {
    fn from(entry: &'a Entry) -> Self {
        Borrowed {
            at: entry.at,
            count: entry.count,
            event: entry.event,
            outcome: entry.outcome,
            actor: &entry.actor,
            name: &entry.name,
            owner: &entry.owner,
            detail: &entry.detail,
        }
    }
}

/// What takes bytes one behind the other, and says how many it has room for.
pub trait Sink {
    /// Takes bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// As much of a name as there is room for at the least: its beginning, and its hash.
const SHORTEST_NAME: usize = 31;
/// Bytes beside those of the texts.
const OVERHEAD: usize = 18 + 4 * 2;

impl Borrowed<'_> {
    /// How many bytes it takes.
    pub fn length(&self) -> usize {
        OVERHEAD + self.actor.len() + self.name.len() + self.owner.len() + self.detail.len()
    }

    /// Writes it.
    pub fn encode(&self, out: &mut impl Sink) {
        out.put(&self.at.to_le_bytes());
        out.put(&self.count.to_le_bytes());
        out.put(&[self.event.number(), self.outcome.number()]);
        for field in [
            self.actor.as_bytes(),
            self.name,
            self.owner,
            self.detail.as_bytes(),
        ] {
            let field = &field[..field.len().min(MAX_FIELD)];
            out.put(&(field.len() as u16).to_le_bytes());
            out.put(field);
        }
    }

    /// The same in at most `most` bytes: `f` is called with it. What is too long of a name is replaced by its hash.
    pub fn within<T>(&self, most: usize, f: impl FnOnce(&Borrowed<'_>) -> T) -> T {
        if self.length() <= most {
            return f(self);
        }
        let detail = &self.detail[..self.detail.floor_char_boundary(32)];
        let left = most.saturating_sub(OVERHEAD + detail.len());
        // Whoever reads can choose a long name: it must not push out who he is.
        let actor = left.saturating_sub(2 * SHORTEST_NAME);
        let actor = &self.actor[..self.actor.floor_char_boundary(actor)];
        let left = left.saturating_sub(actor.len());
        let name = left.saturating_sub(self.owner.len()).max(left / 2);
        let name = Cut::new(self.name, name);
        let owner = Cut::new(self.owner, left.saturating_sub(name.length));
        f(&Borrowed {
            detail,
            actor,
            name: name.bytes(),
            owner: owner.bytes(),
            ..*self
        })
    }
}

/// A name's beginning and its hash, or the name.
struct Cut {
    bytes: [u8; 256],
    length: usize,
}

impl Cut {
    fn new(name: &[u8], most: usize) -> Cut {
        let most = most.min(256);
        let mut cut = Cut {
            bytes: [0; 256],
            length: name.len().min(most),
        };
        cut.bytes[..cut.length].copy_from_slice(&name[..cut.length]);
        if name.len() > most {
            let hash = Sha256::digest(name);
            let at = most.saturating_sub(20);
            cut.bytes[at..at + 4].copy_from_slice(b"...#");
            for (i, byte) in hash.iter().take(8).enumerate() {
                let digits = b"0123456789abcdef";
                cut.bytes[at + 4 + 2 * i] = digits[usize::from(byte >> 4)];
                cut.bytes[at + 5 + 2 * i] = digits[usize::from(byte & 15)];
            }
            cut.length = at + 20;
        }
        cut
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let entry = Entry::new(Event::KeyRead)
            .by("app@% #4")
            .of(b"ssn", b"app@%")
            .came_to(Outcome::Failed)
            .saying("why\nnot");
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(bytes.len(), Borrowed::from(&entry).length());
        for end in 0..bytes.len() {
            assert_eq!(Entry::decode(&mut &bytes[..end]), None, "{end}");
        }
        bytes.push(7);
        let mut rest = &bytes[..];
        assert_eq!(Entry::decode(&mut rest), Some(entry));
        assert_eq!(rest, [7]);
    }

    #[test]
    fn what_is_too_long_keeps_a_hash_of_its_name() {
        let long = |end: u8| {
            let name = [vec![b'n'; 1000], vec![end]].concat();
            let entry = Entry::new(Event::KeyRead)
                .by("a".repeat(255))
                .of(&name, &name);
            let mut bytes = Vec::new();
            Borrowed::from(&entry).within(376, |cut| cut.encode(&mut bytes));
            assert!(bytes.len() <= 376, "{}", bytes.len());
            Entry::decode(&mut &bytes[..]).unwrap()
        };
        let (a, b) = (long(1), long(2));
        assert!(a.name != b.name && a.owner != b.owner);
        assert_eq!(a.name[..10], b.name[..10]);
        assert_eq!(
            a.actor.len(),
            255,
            "who it was stands there whatever he reads"
        );
    }
}
