//! Names of keys, and their limits.

use crate::error::{Error, Kind, Result};

/// Longest key name and longest owner, in bytes. `performance_schema.keyring_keys` stops listing
/// at the first key that is longer.
pub const MAX_NAME: usize = 255;
/// Longest key material, in bytes: the limit of MySQL's keyring functions and migration tool.
pub const MAX_MATERIAL: usize = 16_384;
/// Longest type name, in bytes.
pub const MAX_TYPE: usize = 16;
/// The key types of MySQL's keyring. Compared without case, kept as given.
pub const TYPES: [&str; 4] = ["AES", "RSA", "DSA", "SECRET"];

/// The identity of a key: its name and its owner (`user@host`, empty for the server's own keys).
/// Names are bytes, not text: the server passes whatever the client's character set holds.
///
/// Kept as one byte string (length of the name, name, owner), so that a lookup needs no
/// allocation: see [`KeyIdBuf`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Box<[u8]>);

impl KeyId {
    /// A key's identity.
    ///
    /// # Errors
    /// InvalidInput: the name is empty, or one of the two is longer than [`MAX_NAME`].
    pub fn new(name: &[u8], owner: &[u8]) -> Result<KeyId> {
        Ok(KeyId(KeyIdBuf::new(name, owner)?.as_bytes().into()))
    }

    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.0[1..=usize::from(self.0[0])]
    }

    /// The owner; empty for the server's own keys.
    pub fn owner(&self) -> &[u8] {
        &self.0[usize::from(self.0[0]) + 1..]
    }

    /// The composite form that maps are keyed by.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&printable(self.name(), self.owner()))
    }
}

/// The composite form of a [`KeyId`] on the stack.
pub struct KeyIdBuf {
    bytes: [u8; 1 + 2 * MAX_NAME],
    len: usize,
}

impl KeyIdBuf {
    /// As [`KeyId::new`], without an allocation.
    ///
    /// # Errors
    /// As [`KeyId::new`].
    pub fn new(name: &[u8], owner: &[u8]) -> Result<KeyIdBuf> {
        const OP: &str = "use the key name";
        if name.is_empty() {
            return Err(Error::new(Kind::InvalidInput, OP, "the name is empty"));
        }
        for (what, value) in [("name", name), ("owner", owner)] {
            if value.len() > MAX_NAME {
                return Err(Error::new(
                    Kind::InvalidInput,
                    OP,
                    format!(
                        "the {what} has {} bytes, the limit is {MAX_NAME}",
                        value.len()
                    ),
                )
                .hint("Choose a shorter one."));
            }
        }
        let mut bytes = [0; 1 + 2 * MAX_NAME];
        bytes[0] = name.len() as u8; // at most MAX_NAME = 255, checked above
        bytes[1..=name.len()].copy_from_slice(name);
        let len = 1 + name.len() + owner.len();
        bytes[1 + name.len()..len].copy_from_slice(owner);
        Ok(KeyIdBuf { bytes, len })
    }

    /// The composite form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A key's identity for messages: control and non-ASCII bytes escaped.
pub fn printable(name: &[u8], owner: &[u8]) -> String {
    if owner.is_empty() {
        format!("'{}'", name.escape_ascii())
    } else {
        format!("'{}' of '{}'", name.escape_ascii(), owner.escape_ascii())
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
