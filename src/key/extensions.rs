//! Extensions: what a record says beside its fixed fields, as tags and bytes.
//!
//! Owns what a list may hold. A tag below [`FIRST_RESTRICTING`] that this program
//! does not know is kept as it is; from there on a tag restricts what may be done with a key, so a list with one that
//! this program does not know must never be made. Nothing in a list is secret: it lies in ordinary memory.

use super::logical::VersionOf;
use super::retired::Retired;
pub use super::tags::*;
use crate::error::{Error, Kind, Result};

/// Longest list in bytes, as it stands in a record.
pub const MAX_EXTENSIONS: usize = 16_384;
/// Bytes of an extension beside its own: tag and length.
pub const OVERHEAD: usize = 1 + 2;

/// Extensions, sorted by tag, each tag once.
///
/// Sorted, so that there is one way to write a list, and a tag can't be said twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<(u8, Box<[u8]>)>);

/// A list without entries.
pub static NONE: Extensions = Extensions(Vec::new());

impl Extensions {
    /// A list of tags and their bytes, in any order.
    ///
    /// # Errors
    /// InvalidInput: a tag stands twice or is not assigned although it restricts, bytes don't fit their tag, or all together
    /// are longer than [`MAX_EXTENSIONS`].
    pub fn new(entries: impl IntoIterator<Item = (u8, Vec<u8>)>) -> Result<Extensions> {
        let mut list: Vec<_> = (entries.into_iter())
            .map(|(tag, bytes)| (tag, bytes.into_boxed_slice()))
            .collect();
        list.sort_by_key(|(tag, _)| *tag);
        Extensions::sorted(list).map_err(|flaw| {
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

    /// A list whose entries stand in order, as a record has them.
    ///
    /// # Errors
    /// What is wrong with it; what breaks the rules comes before what is newer.
    pub fn sorted(list: Vec<(u8, Box<[u8]>)>) -> std::result::Result<Extensions, Flaw> {
        if !list.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(Flaw::Rules(
                "the tags are not in order, or one stands twice",
            ));
        }
        let list = Extensions(list);
        if list.length() > MAX_EXTENSIONS {
            return Err(Flaw::Rules("they are longer than 16,384 bytes together"));
        }
        let is_actor = |text: &[u8]| {
            (1..=MAX_ACTOR).contains(&text.len()) && std::str::from_utf8(text).is_ok()
        };
        if !list.get(ACTOR).is_none_or(is_actor) {
            return Err(Flaw::Rules(
                "the actor is empty, longer than 255 bytes, or not UTF-8",
            ));
        }
        let restricting = list.0.partition_point(|(tag, _)| *tag < FIRST_RESTRICTING);
        let mut found = Ok(());
        for (tag, bytes) in &list.0[restricting..] {
            match check_restricting(*tag, bytes) {
                Err(Flaw::Rules(why)) => return Err(Flaw::Rules(why)),
                newer => found = found.and(newer),
            }
        }
        found.map(|()| list)
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

    /// Tags and their bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|(tag, bytes)| (*tag, &**bytes))
    }

    /// The bytes of a tag.
    pub fn get(&self, tag: u8) -> Option<&[u8]> {
        let at = self.0.binary_search_by_key(&tag, |(tag, _)| *tag).ok()?;
        Some(&self.0[at].1)
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing is said beside who asked for the change: as attributes, such a list removes those that there are.
    pub fn says_nothing(&self) -> bool {
        self.iter().all(|(tag, _)| tag == ACTOR)
    }

    /// The length of all entries in bytes, as they stand in a record.
    pub fn length(&self) -> usize {
        self.iter().map(|(_, bytes)| OVERHEAD + bytes.len()).sum()
    }
}

/// What is wrong with an entry whose tag restricts.
fn check_restricting(tag: u8, bytes: &[u8]) -> std::result::Result<(), Flaw> {
    match tag {
        VERSION => VersionOf::from_bytes(bytes).map(drop),
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
        _ => Err(Flaw::Newer(tag)),
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
            vec![(PAIR + 1, vec![])],
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
    fn a_list_as_a_record_has_it_is_in_order_already() {
        let of =
            |tags: &[u8]| Extensions::sorted(tags.iter().map(|t| (*t, Box::default())).collect());
        assert!(of(&[2, 3, 127]).is_ok());
        assert!(matches!(of(&[3, 2]), Err(Flaw::Rules(_))));
        assert!(matches!(of(&[3, 3]), Err(Flaw::Rules(_))));
        assert_eq!(of(&[3, 134, 135]), Err(Flaw::Newer(134)));
        assert!(
            matches!(of(&[135, 134]), Err(Flaw::Rules(_))),
            "what is not a list is damage, whatever its tags"
        );
        assert!(
            matches!(of(&[RETIRED, 134]), Err(Flaw::Rules(_))),
            "and so is what breaks the rules of a tag that is known"
        );
    }
}
