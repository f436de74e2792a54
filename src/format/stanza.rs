//! A stanza: one part of the DEK under one KEK.
//!
//! Owns its fields and what of them a wrap authenticates. It must never hold a part that is not wrapped.

use crate::envelope::{FILE_ID, KEY};

/// One part of the DEK, wrapped by one KEK; with one KEK the part is the whole.
/// `docs/reference/format.md` specifies the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// The provider that made it, e.g. `passphrase`.
    pub provider: String,
    /// How it wraps, e.g. `argon2id+aes-256-gcm`.
    pub mechanism: String,
    /// Which key of the provider; empty for local KEKs. For information only.
    pub key_ref: String,
    /// Group, index and threshold for several KEKs; 0, 0 and 1 with one.
    pub group: u8,
    /// See `group`.
    pub index: u8,
    /// See `group`.
    pub threshold: u8,
    /// The mechanism's public parameters.
    pub params: Vec<u8>,
    /// The commitment to the wrapping key; zeroes where the mechanism has none.
    pub commitment: [u8; KEY],
    /// The wrapped part.
    pub blob: Vec<u8>,
}

impl Stanza {
    /// What the wrap authenticates: the file and every field but commitment and blob.
    pub fn associated_data(&self, file_id: &[u8; FILE_ID]) -> Vec<u8> {
        let mut data = b"keyring-ward/1 stanza".to_vec();
        data.extend_from_slice(file_id);
        let fields = [
            self.provider.as_bytes(),
            self.mechanism.as_bytes(),
            self.key_ref.as_bytes(),
            &[self.group, self.index, self.threshold],
            &self.params,
        ];
        for field in fields {
            data.extend_from_slice(&(field.len() as u32).to_le_bytes());
            data.extend_from_slice(field);
        }
        data
    }
}
