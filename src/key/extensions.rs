//! Extensions: what a record says beside its fixed fields, as tags and bytes.
//!
//! Owns what a list may hold. A tag below [`FIRST_RESTRICTING`] that this program
//! does not know is kept as it is; from there on a tag restricts what may be done with a key, so a list with one that
//! this program does not know must never be made. Nothing in a list is secret: it lies in ordinary memory.

use super::logical::{VersionOf, is_reason};
use super::retired::Retired;
pub use super::tags::*;
use crate::error::{Error, Kind, Result};
use std::sync::Arc;

/// Longest list in bytes, as it stands in a record.
pub const MAX_EXTENSIONS: usize = 16_384;
/// Bytes of an extension beside its own: tag and length.
pub const OVERHEAD: usize = 1 + 2;

/// Extensions, sorted by tag, each tag once.
///
/// Sorted, so that there is one way to write a list, and a tag can't be said twice. They are kept as they stand in a record,
/// and all copies of a list share its bytes. `None`: there is no entry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extensions(Option<Arc<[u8]>>);

/// A list without entries.
pub static NONE: Extensions = Extensions(None);

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Extensions {
    /// A list of tags and their bytes, in any order.
    ///
    /// # Errors
    /// InvalidInput: a tag stands twice or is not assigned although it restricts, bytes don't fit their tag, or all together
    /// are longer than [`MAX_EXTENSIONS`].
    pub fn new(entries: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Result<Extensions> {
        let mut list: Vec<_> = entries.into_iter().collect();
        list.sort_by_key(|(tag, _)| *tag);
        let mut bytes = Vec::new();
        for (tag, entry) in list {
            write_entry(&mut bytes, tag, &entry);
        }
        Extensions::read(&bytes).map_err(|flaw| {
            let why = match flaw {
                Flaw::Rules(why) => why.to_string(),
                Flaw::Newer(tag) => {
                    format!("the tag {tag} is not assigned, and would restrict the key")
                }
            };
            Error::new(
                Kind::InvalidInput,
                "note something of a key or a document",
                why,
            )
            .hint("Nothing was changed.")
        })
    }

    /// A list as it stands in a record.
    ///
    /// # Errors
    /// What is wrong with it; what breaks the rules comes before what is newer.
    pub fn read(bytes: &[u8]) -> std::result::Result<Extensions, Flaw> {
        if bytes.len() > MAX_EXTENSIONS {
            return Err(Flaw::Rules("they are longer than 16,384 bytes together"));
        }
        let mut entries = Entries(bytes);
        let (mut last, mut newer) = (None, Ok(()));
        for (tag, entry) in entries.by_ref() {
            if last.replace(tag).is_some_and(|last| last >= tag) {
                return Err(Flaw::Rules(
                    "the tags are not in order, or one stands twice",
                ));
            }
            match check_entry(tag, entry) {
                Err(Flaw::Rules(why)) => return Err(Flaw::Rules(why)),
                checked => newer = newer.and(checked),
            }
        }
        if !entries.0.is_empty() {
            return Err(Flaw::Rules("an entry ends behind the end of the list"));
        }
        newer.map(|()| Extensions((!bytes.is_empty()).then(|| bytes.into())))
    }

    /// The same list with `bytes` in the place of what a tag has; `None`: without the tag.
    ///
    /// # Errors
    /// As [`Extensions::new`].
    pub fn with(&self, tag: u8, bytes: Option<Vec<u8>>) -> Result<Extensions> {
        let others = self.iter().filter(|(other, _)| *other != tag);
        let others = others.map(|(tag, bytes)| (tag, bytes.to_vec()));
        Extensions::new(others.chain(bytes.map(|bytes| (tag, bytes))))
    }

    /// The same list with what these tags have now.
    ///
    /// # Errors
    /// As [`Extensions::new`].
    pub fn with_all(&self, said: Vec<(u8, Vec<u8>)>) -> Result<Extensions> {
        let others = (self.iter()).filter(|(tag, _)| said.iter().all(|(other, _)| tag != other));
        let others: Vec<_> = others.map(|(tag, bytes)| (tag, bytes.to_vec())).collect();
        Extensions::new(others.into_iter().chain(said))
    }

    /// The same list without some tags.
    pub fn without(&self, tags: &[u8]) -> Extensions {
        let mut list = Vec::with_capacity(self.length());
        for (tag, bytes) in self.iter().filter(|(tag, _)| !tags.contains(tag)) {
            write_entry(&mut list, tag, bytes);
        }
        Extensions((!list.is_empty()).then(|| list.into()))
    }

    /// Tags and their bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        Entries(self.as_bytes())
    }

    /// All of it as it stands in a record.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The bytes of a tag.
    pub fn get(&self, tag: u8) -> Option<&[u8]> {
        let mut found = self.iter().skip_while(|(other, _)| *other < tag);
        found
            .next()
            .filter(|(other, _)| *other == tag)
            .map(|(_, bytes)| bytes)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Nothing is said beside who asked for the change: as attributes, such a list removes those that there are.
    pub fn says_nothing(&self) -> bool {
        self.iter().all(|(tag, _)| tag == ACTOR)
    }

    /// The length of all entries in bytes, as they stand in a record.
    pub fn length(&self) -> usize {
        self.as_bytes().len()
    }
}

fn write_entry(list: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    // A longer entry is too long for a list, whatever its length says.
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    list.push(tag);
    list.extend_from_slice(&length.to_le_bytes());
    list.extend_from_slice(bytes);
}

/// Takes entries from the beginning of a list; what is left when it ends is none.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let ([tag, low, high], rest) = self.0.split_first_chunk::<OVERHEAD>()?;
        let length = u16::from_le_bytes([*low, *high]);
        let (bytes, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some((*tag, bytes))
    }
}

/// What is wrong with an entry.
fn check_entry(tag: u8, bytes: &[u8]) -> std::result::Result<(), Flaw> {
    match tag {
        ACTOR => match (1..=MAX_ACTOR).contains(&bytes.len()) && std::str::from_utf8(bytes).is_ok()
        {
            true => Ok(()),
            false => Err(Flaw::Rules(
                "the actor is empty, longer than 255 bytes, or not UTF-8",
            )),
        },
        OWED if bytes.len() == OWED_LENGTH => Ok(()),
        OWED => Err(Flaw::Rules(
            "what is owed to the audit log has another length",
        )),
        VERSION => VersionOf::check_bytes(bytes),
        RETAINED | RETIRED | PURGED => Retired::from_bytes(bytes)
            .map(drop)
            .ok_or(Flaw::Rules("the time of a removal breaks its rules")),
        INDEX if bytes.len() == INDEX_LENGTH => Ok(()),
        INDEX => Err(Flaw::Rules(
            "the secret of a blind index has another length",
        )),
        PAIR if matches!(bytes, [PAIR_RSA | PAIR_ED25519]) => Ok(()),
        PAIR if bytes.len() == 1 => Err(Flaw::Newer(tag)),
        PAIR => Err(Flaw::Rules("the kind of a key pair has one byte")),
        HOLD => match std::str::from_utf8(bytes).is_ok_and(is_reason) {
            true => Ok(()),
            false => Err(Flaw::Rules(
                "the reason of a hold is empty, longer than 255 bytes, or not one line of UTF-8",
            )),
        },
        _ if tag >= FIRST_RESTRICTING => Err(Flaw::Newer(tag)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_order_and_its_bounds() {
        let list = Extensions::new([(127, vec![7]), (0, vec![]), (ACTOR, b"root@%".to_vec())]);
        let list = list.unwrap();
        let tags: Vec<u8> = list.iter().map(|(tag, _)| tag).collect();
        assert_eq!((tags, list.length()), (vec![0, ACTOR, 127], 3 * 3 + 7));
        assert_eq!(
            (list.get(127), list.get(2), list.get(0)),
            (Some(&[7][..]), None, Some(&[][..]))
        );
        assert!(!list.says_nothing() && NONE.says_nothing());
        assert!(
            Extensions::new([(ACTOR, b"a".to_vec())])
                .unwrap()
                .says_nothing()
        );
        assert!(Extensions::new([(5, vec![0; MAX_EXTENSIONS - OVERHEAD])]).is_ok());
        for refused in [
            vec![(5, vec![0; MAX_EXTENSIONS - OVERHEAD + 1])],
            vec![(5, vec![1]), (5, vec![1])],
            vec![(VERSION, vec![])],
            vec![(RETIRED, vec![0; 11])],
            vec![(INDEX, vec![0; 109])],
            vec![(PAIR, vec![])],
            vec![(PAIR, vec![3])],
            vec![(HOLD, vec![])],
            vec![(HOLD, b"two\nlines".to_vec())],
            vec![(HOLD, vec![b'a'; 256])],
            vec![(HOLD + 1, vec![])],
            vec![(255, vec![])],
            vec![(ACTOR, vec![])],
            vec![(ACTOR, vec![b'a'; 256])],
            vec![(ACTOR, vec![0xff])],
        ] {
            let e = Extensions::new(refused.clone()).unwrap_err();
            assert_eq!(e.kind(), Kind::InvalidInput, "{refused:?}");
        }
    }

    #[test]
    fn a_list_ends_where_its_last_entry_does() {
        let whole = [5, 2, 0, 8, 9, 7, 0, 0];
        let list = Extensions::read(&whole).unwrap();
        assert_eq!(
            (list.get(5), list.get(7)),
            (Some(&[8, 9][..]), Some(&[][..]))
        );
        assert_eq!(list.as_bytes(), whole);
        for end in (1..whole.len()).filter(|end| *end != 5) {
            let read = Extensions::read(&whole[..end]);
            assert!(matches!(read, Err(Flaw::Rules(_))), "{end}");
        }
        assert!(Extensions::read(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_list_as_a_record_has_it_is_in_order_already() {
        let of = |tags: &[u8]| {
            let entries: Vec<u8> = tags.iter().flat_map(|tag| [*tag, 0, 0]).collect();
            Extensions::read(&entries)
        };
        assert!(of(&[2, 4, 127]).is_ok());
        assert!(matches!(of(&[4, 2]), Err(Flaw::Rules(_))));
        assert!(matches!(of(&[4, 4]), Err(Flaw::Rules(_))));
        assert_eq!(of(&[4, 135, 136]), Err(Flaw::Newer(135)));
        assert!(
            matches!(of(&[136, 135]), Err(Flaw::Rules(_))),
            "what is not a list is damage, whatever its tags"
        );
        assert!(
            matches!(of(&[RETIRED, 135]), Err(Flaw::Rules(_))),
            "and so is what breaks the rules of a tag that is known"
        );
    }
}
