//! Names of keys, and their limits.

use crate::error::{Error, Kind, Result};
use smallvec::SmallVec;

const OP: &str = "use the key name";

/// Longest key name and longest owner, in characters: the server's own bound for them. What is not
/// UTF-8 has no characters; there each byte counts as one.
pub const MAX_NAME: usize = 255;
/// The same in bytes: a character of UTF-8 has at most four.
pub const MAX_NAME_BYTES: usize = 4 * MAX_NAME;
/// Longest name or owner that fits into the server's buffer when it fills
/// `performance_schema.keyring_keys`, in bytes. It stops listing at the first key that does not fit:
/// see [`list_short_first`].
pub const MAX_LISTED: usize = 255;
/// Longest key material, in bytes: the limit of MySQL's keyring functions and migration tool.
pub const MAX_MATERIAL: usize = 16_384;
/// Longest type name, in bytes.
pub const MAX_TYPE: usize = 16;
/// The key types of MySQL's keyring. Compared without case, kept as given.
pub const TYPES: [&str; 4] = ["AES", "RSA", "DSA", "SECRET"];

/// The identity of a key: its name and its owner (`user@host`, empty for the server's own keys).
/// Names are bytes, not text: the server passes whatever the client's character set holds.
///
/// Kept as one byte string (length of the name in two bytes, name, owner), so that a lookup needs
/// no allocation: see [`KeyIdBuf`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<[u8]>);

impl KeyId {
    /// A key's identity.
    ///
    /// # Errors
    /// InvalidInput: the name is empty, or one of the two is longer than [`MAX_NAME`].
    pub fn new(name: &[u8], owner: &[u8]) -> Result<KeyId> {
        check(name, owner)?;
        Ok(KeyId([&prefix(name), name, owner].concat().into()))
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.0[PREFIX..self.owner_starts()]
    }

    /// The owner; empty for the server's own keys.
    pub fn owner(&self) -> &[u8] {
        &self.0[self.owner_starts()..]
    }

    fn owner_starts(&self) -> usize {
        PREFIX + usize::from(u16::from_le_bytes([self.0[0], self.0[1]]))
    }

    /// The composite form that maps are keyed by.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A key as `owner/name`, by which one names a key of another account: the owner ends at the first / behind its first @. A / or a
/// backslash that belongs to the owner is written with a backslash before. `None`: it is the name of a key alone.
pub fn split_owner(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut owner, mut bytes, mut is_account) = (Vec::new(), text.iter().enumerate(), false);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => owner.push(*bytes.next()?.1),
            b'/' if is_account => {
                let name = &text[at + 1..];
                return (!name.is_empty()).then_some((owner, name));
            }
            byte => {
                is_account |= *byte == b'@';
                owner.push(*byte);
            }
        }
    }
    None
}

/// Equal and hashed as its composite form.
impl std::borrow::Borrow<[u8]> for KeyId {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// For messages: see [`printable`].
impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&printable(self.name(), self.owner()))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Bytes of the name's length in the composite form.
const PREFIX: usize = 2;

/// What stands before a name that was checked: at most [`MAX_NAME_BYTES`].
fn prefix(name: &[u8]) -> [u8; PREFIX] {
    (name.len() as u16).to_le_bytes()
}

fn check(name: &[u8], owner: &[u8]) -> Result<()> {
    if name.is_empty() {
        return Err(Error::new(Kind::InvalidInput, OP, "the name is empty"));
    }
    check_name("name", name)?;
    check_name("owner", owner)
}

/// The composite form of a [`KeyId`]: on the stack, unless it is longer than any name that the
/// server itself makes.
pub struct KeyIdBuf(SmallVec<[u8; 128]>);

impl KeyIdBuf {
    /// As [`KeyId::new`], without an allocation where name and owner have at most 126 bytes.
    ///
    /// # Errors
    /// As [`KeyId::new`].
    pub fn new(name: &[u8], owner: &[u8]) -> Result<KeyIdBuf> {
        check(name, owner)?;
        let mut bytes = SmallVec::with_capacity(PREFIX + name.len() + owner.len());
        bytes.extend_from_slice(&prefix(name));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(owner);
        Ok(KeyIdBuf(bytes))
    }

    /// The composite form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn check_name(what: &str, value: &[u8]) -> Result<()> {
    if value.len() <= MAX_NAME {
        return Ok(());
    }
    // Longer ones are not even counted.
    let text = value.get(..MAX_NAME_BYTES + 1).unwrap_or(value);
    let why = match std::str::from_utf8(text) {
        Ok(text) if text.chars().count() <= MAX_NAME => return Ok(()),
        Ok(text) if text.len() == value.len() => {
            format!("{} characters", text.chars().count())
        }
        Err(_) if value.len() <= MAX_NAME_BYTES => {
            format!("{} bytes and is not UTF-8", value.len())
        }
        _ => format!("{} bytes", value.len()),
    };
    Err(Error::new(
        Kind::InvalidInput,
        OP,
        format!("the {what} has {why}; the limit is {MAX_NAME} characters"),
    )
    .hint("Choose a shorter one."))
}

/// Brings the keys whose name or owner does not fit into the server's buffer for its list behind
/// all others: the server ends the list at the first of them, so they must hide nobody else.
pub fn list_short_first<T>(keys: &mut [T], id: impl Fn(&T) -> &KeyId) {
    keys.sort_by_key(|key| {
        let id = id(key);
        id.name().len().max(id.owner().len()) > MAX_LISTED
    });
}

/// A key's identity for messages: control and non-ASCII bytes escaped.
pub fn printable(name: &[u8], owner: &[u8]) -> String {
    if owner.is_empty() {
        format!("'{}'", crate::text::name(name))
    } else {
        format!(
            "'{}' of '{}'",
            crate::text::name(name),
            crate::text::name(owner)
        )
    }
}

/// Checks a key type.
///
/// # Errors
/// InvalidInput: not one of [`TYPES`].
pub fn check_type(key_type: &[u8]) -> Result<()> {
    if TYPES
        .iter()
        .any(|t| t.as_bytes().eq_ignore_ascii_case(key_type))
    {
        return Ok(());
    }
    let shown = &key_type[..key_type.len().min(MAX_TYPE)];
    Err(Error::new(
        Kind::InvalidInput,
        "use the key type",
        format!("'{}' is not a type of key", shown.escape_ascii()),
    )
    .hint("The types are AES, RSA, DSA and SECRET."))
}

/// Checks the length of key material that is stored. An empty key is allowed, as in the stock
/// keyring (MySQL's own tests store one); the server treats it as absent. None is generated.
///
/// # Errors
/// InvalidInput: more than [`MAX_MATERIAL`].
pub fn check_length(len: usize) -> Result<()> {
    if len <= MAX_MATERIAL {
        return Ok(());
    }
    bad_length(len)
}

/// Checks the length of key material that is generated.
///
/// # Errors
/// InvalidInput: 0, or more than [`MAX_MATERIAL`].
pub fn check_generated_length(len: usize) -> Result<()> {
    if (1..=MAX_MATERIAL).contains(&len) {
        return Ok(());
    }
    bad_length(len)
}

fn bad_length(len: usize) -> Result<()> {
    Err(Error::new(
        Kind::InvalidInput,
        "use the key material",
        format!("its length is {len} bytes"),
    )
    .hint(format!("Keys have 1 to {MAX_MATERIAL} bytes.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_account_is_named_with_its_owner() {
        let split = |text: &str| {
            split_owner(text.as_bytes()).map(|(owner, name)| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(&owner), text(name))
            })
        };
        let some = |owner: &str, name: &str| Some((owner.to_string(), name.to_string()));
        assert_eq!(split("app@%/ssn"), some("app@%", "ssn"));
        assert_eq!(split("@localhost/a/b@2"), some("@localhost", "a/b@2"));
        assert_eq!(split("a/b@h/n"), some("a/b@h", "n"));
        assert_eq!(
            split("x@10.0.0.0\\/255.0.0.0/n"),
            some("x@10.0.0.0/255.0.0.0", "n")
        );
        for name in ["ssn", "a/b", "a/b/c", "n@2", "app@%", "app@%/", "", "a\\"] {
            assert_eq!(split(name), None, "{name}");
        }
    }

    #[test]
    fn parts_survive_and_do_not_run_together() {
        let id = KeyId::new(b"ab", b"c").unwrap();
        assert_eq!((id.name(), id.owner()), (&b"ab"[..], &b"c"[..]));
        assert_ne!(id, KeyId::new(b"a", b"bc").unwrap());
        assert_eq!(
            KeyId::new(&[b'x'; 255], &[0xFF; 255])
                .unwrap()
                .owner()
                .len(),
            255
        );
    }

    #[test]
    fn names_have_characters_not_bytes() {
        for character in ["k", "é", "钥", "🔑"] {
            let longest = character.repeat(255);
            let id = KeyId::new(longest.as_bytes(), longest.as_bytes()).unwrap();
            assert_eq!(id.name(), longest.as_bytes());
            assert_eq!(id.owner(), longest.as_bytes());
            let more = character.repeat(256);
            for (name, owner) in [(&*more, "o"), ("k", &*more)] {
                let e = KeyId::new(name.as_bytes(), owner.as_bytes()).unwrap_err();
                assert_eq!(e.kind(), Kind::InvalidInput);
                assert!(e.to_string().contains("the limit is 255 characters"), "{e}");
            }
        }
        // What is not UTF-8 has no characters: its bytes count. One bad byte is enough.
        let mut broken = "钥".repeat(85).into_bytes();
        broken[100] = 0xFF;
        assert!(KeyId::new(&broken, &broken).is_ok());
        broken.push(b'x');
        let e = KeyId::new(&broken, b"").unwrap_err().to_string();
        assert!(e.contains("256 bytes and is not UTF-8"), "{e}");
        // A character that is cut by the longest length in bytes, and far longer ones.
        let long = "🔑".repeat(300);
        assert!(KeyId::new(&long.as_bytes()[..1021], b"").is_err());
        assert!(KeyId::new(&vec![b'x'; 1 << 20], b"").is_err());
    }

    #[test]
    fn what_the_servers_list_has_no_room_for_comes_last() {
        let id = |n: usize, o: usize| {
            let (name, owner) = ("é".repeat(n.div_ceil(2)), "é".repeat(o / 2));
            KeyId::new(&name.as_bytes()[..n - n % 2], owner.as_bytes()).unwrap()
        };
        let mut keys = vec![
            id(256, 0),
            id(254, 254),
            id(10, 256),
            id(2, 0),
            id(510, 510),
        ];
        list_short_first(&mut keys, |id| id);
        let lengths: Vec<_> = keys
            .iter()
            .map(|id| (id.name().len(), id.owner().len()))
            .collect();
        assert_eq!(
            lengths,
            [(254, 254), (2, 0), (256, 0), (10, 256), (510, 510)]
        );
    }

    #[test]
    fn limits() {
        assert!(KeyId::new(b"", b"o").is_err());
        assert!(KeyId::new(&[b'x'; 256], b"").is_err());
        assert!(KeyId::new(b"x", &[b'x'; 256]).is_err());
        assert!(check_type(b"aes").is_ok() && check_type(b"Secret").is_ok());
        assert!(check_type(b"AES256").is_err() && check_type(b"").is_err());
        assert!(check_generated_length(0).is_err() && check_length(16_385).is_err());
        assert!(check_length(0).is_ok() && check_generated_length(16_385).is_err());
        assert!(check_length(1).is_ok() && check_length(16_384).is_ok());
    }
}
