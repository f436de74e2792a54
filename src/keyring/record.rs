//! A key in memory, and a change to the keyring.

use super::id::{KeyId, MAX_MATERIAL, MAX_TYPE, check_length, check_type};
use crate::error::Result;
use crate::secret::SecretBytes;

/// One key: identity, type, material and when it came to be. No `Debug`: it holds a secret.
pub struct KeyRecord {
    /// Name and owner.
    pub id: KeyId,
    /// The type as it was given, e.g. `AES`.
    pub key_type: Box<str>,
    /// The secret itself, at most 16,384 bytes.
    pub material: SecretBytes,
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
            material,
            created_at,
            generation,
        })
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
pub const MAX_PLAINTEXT: usize = 1 + 8 + 8 + 3 * 2 + 2 * 255 + MAX_TYPE + 2 + MAX_MATERIAL;
