//! What is known of a key without its material: identity, type, age, length, extensions and attributes.
//!
//! Owns the form in which a million keys fit into memory. It must never hold material: that there is none here can't be
//! mistaken for an empty key, because nothing here could say so.

use super::extensions::{self, Extensions};
use super::id::{KeyId, check_type};
use crate::error::Result;

/// A key's type as it was given, e.g. `AES` or `aes`. A million keys need no memory of its own for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyType([u8; LONGEST_TYPE]);

/// Length of the longest name in [`super::id::TYPES`].
const LONGEST_TYPE: usize = 6;

impl KeyType {
    /// A type after it is checked.
    ///
    /// # Errors
    /// InvalidInput: not one of [`super::id::TYPES`].
    pub fn new(key_type: &[u8]) -> Result<KeyType> {
        check_type(key_type)?;
        let mut text = [0; LONGEST_TYPE];
        text[..key_type.len()].copy_from_slice(key_type);
        Ok(KeyType(text))
    }
}

impl std::ops::Deref for KeyType {
    type Target = str;

    fn deref(&self) -> &str {
        // check_type admits ASCII letters only, so the first zero is behind the end.
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(LONGEST_TYPE);
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// What few keys have.
#[derive(Clone, Default)]
struct More {
    extensions: Extensions,
    attributes: Extensions,
}

/// What is known of a key, wherever its material is.
#[derive(Clone)]
pub struct KeyInfo {
    /// Name and owner.
    pub id: KeyId,
    /// Seconds since 1970, UTC.
    pub created_at: i64,
    /// The generation of the keyring file in which the key was stored first.
    pub generation: u64,
    more: Option<Box<More>>,
    /// Bytes of material.
    length: u16,
    /// The type as it was given, e.g. `AES`.
    pub key_type: KeyType,
}

impl KeyInfo {
    /// What is known of a key with `length` bytes of material, which the caller has bounded.
    pub(super) fn new(
        id: KeyId,
        key_type: KeyType,
        length: u16,
        created_at: i64,
        generation: u64,
    ) -> KeyInfo {
        KeyInfo {
            id,
            created_at,
            generation,
            more: None,
            length,
            key_type,
        }
    }

    /// Length of the material in bytes.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// What the key's record says beside its fixed fields.
    pub fn extensions(&self) -> &Extensions {
        match &self.more {
            Some(more) => &more.extensions,
            None => &extensions::NONE,
        }
    }

    /// The key's attributes; empty: it has none.
    pub fn attributes(&self) -> &Extensions {
        match &self.more {
            Some(more) => &more.attributes,
            None => &extensions::NONE,
        }
    }

    /// The list that says which version of which logical key it is; `None`: it is a plain key.
    pub fn version_list(&self) -> Option<&Extensions> {
        let more = self.more.as_ref()?;
        let says = |list: &&Extensions| list.get(extensions::VERSION).is_some();
        [&more.attributes, &more.extensions].into_iter().find(says)
    }

    /// The bytes in that list.
    pub fn version_bytes(&self) -> Option<&[u8]> {
        self.version_list()?.get(extensions::VERSION)
    }

    /// What a tag says, as an attribute or else as an extension.
    pub fn said(&self, tag: u8) -> Option<&[u8]> {
        let more = self.more.as_ref()?;
        more.attributes
            .get(tag)
            .or_else(|| more.extensions.get(tag))
    }

    /// The same with these extensions.
    pub(super) fn with_extensions(self, extensions: Extensions) -> KeyInfo {
        if self.more.is_none() && extensions.is_empty() {
            return self;
        }
        let attributes = self.attributes().clone();
        self.with_more(extensions, attributes)
    }

    /// The same with these attributes; a list that says nothing removes them.
    pub fn with_attributes(self, attributes: Extensions) -> KeyInfo {
        let extensions = self.extensions().clone();
        let attributes = match attributes.says_nothing() {
            true => Extensions::default(),
            false => attributes,
        };
        self.with_more(extensions, attributes)
    }

    fn with_more(self, extensions: Extensions, attributes: Extensions) -> KeyInfo {
        let any = !extensions.is_empty() || !attributes.is_empty();
        let more = any.then(|| {
            Box::new(More {
                extensions,
                attributes,
            })
        });
        KeyInfo { more, ..self }
    }

    /// The same under another name or owner.
    pub(super) fn renamed(&self, id: KeyId) -> KeyInfo {
        KeyInfo { id, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::TYPES;
    use super::*;

    #[test]
    fn every_type_fits_as_it_was_written() {
        for name in TYPES {
            for text in [name.to_string(), name.to_ascii_lowercase()] {
                assert_eq!(&*KeyType::new(text.as_bytes()).unwrap(), text);
            }
        }
        assert!(KeyType::new(b"SECRETS").is_err() && KeyType::new(b"").is_err());
    }

    #[test]
    fn what_a_key_has_not_takes_no_memory() {
        let id = KeyId::new(b"k", b"").unwrap();
        let info = KeyInfo::new(id, KeyType::new(b"AES").unwrap(), 32, 1, 2);
        let some = Extensions::new([(7, vec![1])]).unwrap();
        let actor = Extensions::new([(extensions::ACTOR, b"a".to_vec())]).unwrap();
        let with = info
            .with_extensions(some.clone())
            .with_attributes(some.clone());
        assert_eq!((with.extensions(), with.attributes()), (&some, &some));
        let with = with.with_attributes(actor);
        assert_eq!(
            (with.extensions(), with.attributes()),
            (&some, &extensions::NONE)
        );
        assert!(with.with_extensions(Extensions::default()).more.is_none());
    }
}
