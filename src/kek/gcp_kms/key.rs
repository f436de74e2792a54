//! The name of a key: `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
//!
//! Owns what a name may look like, as it goes into URLs. It must never accept a name that leads elsewhere than its parts
//! say.

use std::fmt;
use std::ops::Range;

/// The words of a name, each before one of its parts.
const WORDS: [&str; 4] = ["projects", "locations", "keyRings", "cryptoKeys"];
/// The word before a version's number.
const VERSIONS: &str = "cryptoKeyVersions";
/// Longest part in bytes. Ids have 63; a project of a domain has its domain before it.
const MAX_PART: usize = 128;

/// A key's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    text: String,
    /// Where each part stands.
    parts: [Range<usize>; 4],
}

impl KeyName {
    /// A name, if it is one.
    pub fn parse(text: &str) -> Option<KeyName> {
        let mut pieces = text.split('/');
        let mut parts = [const { 0..0 }; 4];
        let mut at = 0;
        for (word, part) in WORDS.iter().zip(&mut parts) {
            let (found, id) = (pieces.next()?, pieces.next()?);
            if found != *word || !is_id(id, *word == WORDS[0]) {
                return None;
            }
            let begin = at + word.len() + 1;
            *part = begin..begin + id.len();
            at = part.end + 1;
        }
        pieces.next().is_none().then(|| KeyName {
            text: text.into(),
            parts,
        })
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The project: its id or its number.
    pub(super) fn project(&self) -> &str {
        &self.text[self.parts[0].clone()]
    }

    /// The location's id.
    pub(super) fn location(&self) -> &str {
        &self.text[self.parts[1].clone()]
    }

    /// The key ring's id.
    pub(super) fn ring(&self) -> &str {
        &self.text[self.parts[2].clone()]
    }

    /// The key's own id.
    pub(super) fn id(&self) -> &str {
        &self.text[self.parts[3].clone()]
    }

    /// The name of the location, where random bytes are made.
    pub(super) fn place(&self) -> &str {
        &self.text[..self.parts[1].end]
    }

    /// Whether both can be the same key: a project has an id and a number, so that only what stands behind it tells.
    pub(super) fn may_be(&self, other: &KeyName) -> bool {
        self.inside_project() == other.inside_project()
    }

    /// Whether `name` can be that of a version of this key.
    pub(super) fn may_have_version(&self, name: &str) -> bool {
        let Some((key, version)) = name.rsplit_once('/') else {
            return false;
        };
        let key = key.strip_suffix(VERSIONS).and_then(|k| k.strip_suffix('/'));
        let digits =
            (1..=20).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_digit());
        digits
            && key
                .and_then(KeyName::parse)
                .is_some_and(|key| self.may_be(&key))
    }

    fn inside_project(&self) -> &str {
        &self.text[self.parts[0].end..]
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with a text that should be a key's name.
pub(super) fn fault(text: &str) -> Option<(String, &'static str)> {
    if KeyName::parse(text).is_some() {
        return None;
    }
    let of_version = text.rsplit_once(&format!("/{VERSIONS}/"));
    Some(match of_version.and_then(|(key, _)| KeyName::parse(key)) {
        Some(_) => (
            "names a version of a key".into(),
            "Leave the version out: Google encrypts with the primary one, and finds by itself which one decrypts.",
        ),
        None => (
            "is not the name of a key".into(),
            "Use projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, as gcloud kms keys list --keyring RING --location LOCATION shows it.",
        ),
    })
}

/// An id as it stands between two slashes. A project of a domain has a colon and dots in its own: `example.com:db`.
fn is_id(text: &str, of_project: bool) -> bool {
    let fits = |b: u8| match b {
        b'.' | b':' => of_project,
        b'_' => !of_project,
        b => b.is_ascii_alphanumeric() || b == b'-',
    };
    let dots = text.bytes().all(|b| b == b'.');
    (1..=MAX_PART).contains(&text.len()) && !dots && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "projects/db-prod/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring_1";

    #[test]
    fn a_name_has_four_parts_that_stay_within_their_slashes() {
        let key = KeyName::parse(KEY).unwrap();
        assert_eq!(
            (key.project(), key.location(), key.ring(), key.id()),
            ("db-prod", "europe-west3", "mysql", "keyring_1")
        );
        assert_eq!(key.place(), "projects/db-prod/locations/europe-west3");
        assert_eq!((key.as_str(), &*key.to_string()), (KEY, KEY));
        for good in [
            "projects/example.com:db/locations/global/keyRings/r/cryptoKeys/k",
            "projects/123456789012/locations/eu/keyRings/R-1/cryptoKeys/K_2",
        ] {
            assert!(fault(good).is_none(), "{good}");
        }
        for bad in [
            "",
            "mysql",
            "/projects/p/locations/l/keyRings/r/cryptoKeys/k",
            "projects/p/locations/l/keyRings/r/cryptoKeys/",
            "projects/p/locations/l/keyRings/r/cryptoKeys/k/",
            "projects/p/locations/l/keyRings/r/cryptoKeys",
            "projects/../locations/l/keyRings/r/cryptoKeys/k",
            "projects/./locations/l/keyRings/r/cryptoKeys/k",
            "projects/p/locations/l/keyRings/r/cryptoKeys/..",
            "projects/p/locations/l/keyRings/r/cryptoKeys/k:decrypt",
            "projects/p/locations/l/keyRings/r/cryptoKeys/k?x",
            "projects/p/locations/l/keyRings/r/cryptoKeys/k%2e",
            "projects/p/locations/l/keyRings/r/cryptoKeys/k ",
            "projects/p/locations/l/keyRings/r/cryptoKeys/k\n",
            "projects/p/locations/l/keyRings/r/cryptoKeys/ä",
            "projects/p@q/locations/l/keyRings/r/cryptoKeys/k",
            "projects/p/locations/l/keyrings/r/cryptoKeys/k",
            "locations/l/projects/p/keyRings/r/cryptoKeys/k",
        ] {
            let (fault, _) = fault(bad).unwrap();
            assert!(fault.contains("not the name of a key"), "{bad:?}");
        }
        let long = KEY.replace("mysql", &"x".repeat(MAX_PART + 1));
        assert!(KeyName::parse(&long).is_none());
        let (fault, _) = fault(&format!("{KEY}/cryptoKeyVersions/3")).unwrap();
        assert!(fault.contains("a version"), "{fault}");
    }

    #[test]
    fn only_a_version_of_the_key_is_its_version() {
        let key = KeyName::parse(KEY).unwrap();
        for good in [
            format!("{KEY}/cryptoKeyVersions/1"),
            // A project has a number as well.
            format!(
                "{}/cryptoKeyVersions/42",
                KEY.replace("db-prod", "123456789012")
            ),
        ] {
            assert!(key.may_have_version(&good), "{good}");
        }
        for bad in [
            "",
            "1",
            KEY,
            &format!("{KEY}/cryptoKeyVersions/"),
            &format!("{KEY}/cryptoKeyVersions/x"),
            &format!("{KEY}/cryptoKeyVersions/1/"),
            &format!("{KEY}/cryptoKeyVersions/{}", "1".repeat(21)),
            &format!("{KEY}cryptoKeyVersions/1"),
            &format!("{KEY}/1"),
            &format!("{KEY}2/cryptoKeyVersions/1"),
            &format!(
                "{}/cryptoKeyVersions/1",
                KEY.replace("europe-west3", "global")
            ),
            &format!("{}/cryptoKeyVersions/1", KEY.replace("/mysql/", "/other/")),
        ] {
            assert!(!key.may_have_version(bad), "{bad}");
        }
    }
}
