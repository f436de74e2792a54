//! A key with its material, and a change to the keyring.
//!
//! Only what is a [`KeyRecord`] has material, and only a [`KeyRecord`] can be stored: that a key's material is not here is
//! a type of its own ([`KeyInfo`]), never an empty key, which MySQL allows. It must never give material a `Debug`.

use super::document::Document;
use super::extensions::Extensions;
use super::id::{KeyId, check_length};
use super::info::{KeyInfo, KeyType};
use super::retired::Retired;
use crate::error::Result;
use crate::secret::{SecretBytes, SecretPool};
use std::ops::Deref;
use std::sync::Arc;

/// A key's secret itself: 0 to 16,384 bytes.
pub struct Material(SecretBytes);

impl Material {
    /// Material after its length is checked.
    ///
    /// # Errors
    /// InvalidInput: more than 16,384 bytes.
    pub fn new(bytes: SecretBytes) -> Result<Material> {
        check_length(bytes.len())?;
        Ok(Material(bytes))
    }
}

impl Deref for Material {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// One key: what is known of it, and its material. No `Debug`: it holds a secret.
pub struct KeyRecord {
    info: KeyInfo,
    material: Material,
}

impl Deref for KeyRecord {
    type Target = KeyInfo;

    fn deref(&self) -> &KeyInfo {
        &self.info
    }
}

impl KeyRecord {
    /// A record after its type and length are checked.
    ///
    /// # Errors
    /// InvalidInput: unknown type, or more than 16,384 bytes.
    pub fn new(
        id: KeyId,
        key_type: &[u8],
        material: SecretBytes,
        created_at: i64,
        generation: u64,
    ) -> Result<KeyRecord> {
        let material = Material::new(material)?;
        let key_type = KeyType::new(key_type)?;
        // Material: at most 16,384.
        let length = material.len() as u16;
        Ok(KeyRecord {
            info: KeyInfo::new(id, key_type, length, created_at, generation),
            material,
        })
    }

    /// The secret itself.
    pub fn material(&self) -> &[u8] {
        &self.material
    }

    /// The same with these extensions in its record.
    pub fn with_extensions(self, extensions: Extensions) -> KeyRecord {
        KeyRecord {
            info: self.info.with_extensions(extensions),
            ..self
        }
    }

    /// The same with these attributes; a list that says nothing removes them.
    pub fn with_attributes(self, attributes: Extensions) -> KeyRecord {
        KeyRecord {
            info: self.info.with_attributes(attributes),
            ..self
        }
    }

    /// The same key under another name or owner, with all else that is known of it.
    ///
    /// # Errors
    /// No secret memory.
    pub fn renamed(&self, id: KeyId, pool: &SecretPool) -> Result<KeyRecord> {
        Ok(KeyRecord {
            info: self.info.renamed(id),
            material: Material(pool.copy(&self.material)?),
        })
    }

    /// What is known of it; the secret is wiped.
    pub fn into_info(self) -> KeyInfo {
        self.info
    }
}

/// A key as memory knows it: with its material, or without it where the keyring keeps none in memory.
#[derive(Clone)]
pub enum KnownKey {
    /// Its material is here.
    Whole(Arc<KeyRecord>),
    /// Its material is only where the keys live.
    Info(Arc<KeyInfo>),
}

impl Deref for KnownKey {
    type Target = KeyInfo;

    fn deref(&self) -> &KeyInfo {
        match self {
            KnownKey::Whole(record) => record,
            KnownKey::Info(info) => info,
        }
    }
}

impl KnownKey {
    /// The secret itself; `None`: it is not in memory.
    pub fn material(&self) -> Option<&[u8]> {
        match self {
            KnownKey::Whole(record) => Some(record.material()),
            KnownKey::Info(_) => None,
        }
    }
}

/// One change to the keys, which every store can keep.
pub enum Change<'a> {
    /// A new key.
    Put(&'a KeyRecord),
    /// A key goes; its name and owner are written, and this list where there is room for it.
    Remove(&'a KeyInfo, &'a Extensions),
    /// A key as it is from now on, in the place of the one with its name and owner, which comes second: only where each record
    /// stands for itself. A journal has attributes.
    Replace(&'a KeyRecord, &'a KeyInfo),
}

/// A change as it was read back.
pub enum ReadChange {
    /// A new key.
    Put(KeyRecord),
    /// A key is gone, with its attributes.
    Remove(KeyId),
    /// A key is gone from everybody's sight and kept as a retired one, with its attributes.
    Retire(KeyId, Retired),
    /// A retired key; its extensions say which removal it was.
    Kept(KeyRecord, Retired),
    /// A retired key is gone.
    Purge(KeyId, Retired),
    /// What is said of a retired key from now on: why it is held, if it is.
    OfRetired(KeyId, Retired, Extensions),
    /// All attributes that a key has from now on.
    Attributes(KeyId, Extensions),
    /// A document of our own, in place of the one that had its name.
    Document(Document),
}

impl ReadChange {
    /// A rewrite keeps its record, unless a later change takes its place.
    pub fn is_kept(&self) -> bool {
        match self {
            ReadChange::Put(_) | ReadChange::Kept(..) => true,
            ReadChange::Remove(_) | ReadChange::Retire(..) | ReadChange::Purge(..) => false,
            // The next rewrite writes the retired key with it.
            ReadChange::OfRetired(..) => false,
            ReadChange::Attributes(_, list) => !list.says_nothing(),
            ReadChange::Document(document) => !document.is_removal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_memory_is_small() {
        // A million of them have to fit beside everything else.
        assert!(size_of::<KeyRecord>() <= 72, "{}", size_of::<KeyRecord>());
    }
}
