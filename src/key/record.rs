//! A key in memory, and a change to the keyring.

use super::id::{KeyId, MAX_MATERIAL, MAX_NAME_BYTES, MAX_TYPE, check_length, check_type};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool};

/// Where a key's material is. That there is none here must never pass for an empty key, which MySQL allows.
pub enum Material {
    /// In memory.
    Here(SecretBytes),
    /// Only on the token that holds the key; so many bytes.
    OnToken {
        /// The length in bytes.
        length: u16,
    },
}

/// A key's type as it was given, e.g. `AES` or `aes`. A million keys need no memory of its own for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyType {
    length: u8,
    text: [u8; LONGEST_TYPE],
}

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
        Ok(KeyType {
            // check_type: at most LONGEST_TYPE.
            length: key_type.len() as u8,
            text,
        })
    }
}

impl std::ops::Deref for KeyType {
    type Target = str;

    fn deref(&self) -> &str {
        // check_type admits ASCII only.
        std::str::from_utf8(&self.text[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl std::fmt::Display for KeyType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// One key: identity, type, material and when it came to be. No `Debug`: it holds a secret.
pub struct KeyRecord {
    /// Name and owner.
    pub id: KeyId,
    /// The type as it was given, e.g. `AES`.
    pub key_type: KeyType,
    /// The secret itself, at most 16,384 bytes, or where it is.
    material: Material,
    /// Seconds since 1970, UTC.
    pub created_at: i64,
    /// The generation of the keyring file in which the key was stored first.
    pub generation: u64,
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
        check_length(material.len())?;
        Ok(KeyRecord {
            id,
            key_type: KeyType::new(key_type)?,
            material: Material::Here(material),
            created_at,
            generation,
        })
    }

    /// The secret itself.
    ///
    /// # Errors
    /// Internal: it is on the token only. [`super::Keyring::fetch`] and [`super::Keyring::list_with_material`] give
    /// records that have it.
    pub fn material(&self) -> Result<&[u8]> {
        match &self.material {
            Material::Here(bytes) => Ok(bytes),
            Material::OnToken { .. } => Err(Error::new(
                Kind::Internal,
                "use the key's material",
                format!("that of {} is not in memory, only on the token", self.id),
            )
            .hint("Please report this.")),
        }
    }

    /// Length of the secret in bytes, wherever it is.
    pub fn length(&self) -> usize {
        match &self.material {
            Material::Here(bytes) => bytes.len(),
            Material::OnToken { length } => usize::from(*length),
        }
    }

    /// The same key under another name or owner, with all else that is known of it.
    ///
    /// # Errors
    /// As [`KeyRecord::material`]; no secret memory.
    pub fn renamed(&self, id: KeyId, pool: &SecretPool) -> Result<KeyRecord> {
        let material = Material::Here(pool.copy(self.material()?)?);
        // Every field by name: one that is added later must not be forgotten here.
        let KeyRecord {
            id: _,
            key_type,
            material: _,
            created_at,
            generation,
        } = self;
        Ok(KeyRecord {
            id,
            key_type: *key_type,
            material,
            created_at: *created_at,
            generation: *generation,
        })
    }

    /// The record without its secret, which stays on the token.
    pub(crate) fn on_token(self) -> KeyRecord {
        KeyRecord {
            material: Material::OnToken {
                // check_length: at most 16,384.
                length: self.length() as u16,
            },
            ..self
        }
    }
}

/// One change to the keyring, as the journal keeps it.
pub enum Change<'a> {
    /// A new key.
    Put(&'a KeyRecord),
    /// A key goes; its name and owner are written.
    Remove(&'a KeyRecord),
}

/// The same, as read back.
pub enum ReadChange {
    /// A new key.
    Put(KeyRecord),
    /// A key is gone.
    Remove(KeyId),
}

/// Largest plaintext of one record: fixed part, name, owner, type and material.
pub const MAX_PLAINTEXT: usize =
    1 + 8 + 8 + 3 * 2 + 2 * MAX_NAME_BYTES + MAX_TYPE + 2 + MAX_MATERIAL;

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
    fn a_key_in_memory_is_small() {
        // A million of them have to fit beside everything else.
        assert!(size_of::<KeyRecord>() <= 72, "{}", size_of::<KeyRecord>());
    }
}
