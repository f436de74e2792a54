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

/// One key: identity, type, material and when it came to be. No `Debug`: it holds a secret.
pub struct KeyRecord {
    /// Name and owner.
    pub id: KeyId,
    /// The type as it was given, e.g. `AES`.
    pub key_type: Box<str>,
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
        check_type(key_type)?;
        check_length(material.len())?;
        // check_type admits ASCII only.
        let key_type = String::from_utf8_lossy(key_type)
            .into_owned()
            .into_boxed_str();
        Ok(KeyRecord {
            id,
            key_type,
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
                format!("that of {:?} is not in memory, only on the token", self.id),
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
            key_type: key_type.clone(),
            material,
            created_at: *created_at,
            generation: *generation,
        })
    }

    /// The record without its secret, which stays on the token.
    pub(super) fn on_token(self) -> KeyRecord {
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
