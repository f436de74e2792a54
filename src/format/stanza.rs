//! A stanza: one part of the DEK under one KEK.
//!
//! Owns its fields, their limits, and what of them a wrap authenticates. It must never hold a part that is not wrapped.

use super::reader::Reader;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};

/// Longest name of a provider in bytes.
pub const MAX_PROVIDER: usize = 32;
/// Longest name of a mechanism in bytes.
pub const MAX_MECHANISM: usize = 64;
/// Longest reference to a key in bytes.
pub const MAX_KEY_REF: usize = 2048;
/// Longest parameters of a mechanism in bytes.
pub const MAX_PARAMS: usize = 1024;
/// Longest wrapped part in bytes.
pub const MAX_BLOB: usize = 8192;

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

    /// Appends the stanza to `out` as a header has it, behind its length.
    ///
    /// # Errors
    /// A field exceeds its limit.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut body = vec![self.group, self.index, self.threshold];
        for (field, limit) in [
            (self.provider.as_bytes(), MAX_PROVIDER),
            (self.mechanism.as_bytes(), MAX_MECHANISM),
            (self.key_ref.as_bytes(), MAX_KEY_REF),
            (&self.params, MAX_PARAMS),
            (&self.commitment, KEY),
            (&self.blob, MAX_BLOB),
        ] {
            if field.len() > limit {
                return Err(Error::new(
                    Kind::Internal,
                    "write the header",
                    "a stanza is too long",
                ));
            }
            body.extend_from_slice(&(field.len() as u16).to_le_bytes());
            body.extend_from_slice(field);
        }
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Reads a stanza. `None`: it exceeds the limits.
    pub(super) fn read(r: &mut Reader<'_>) -> Option<Stanza> {
        let length = r.u32()? as usize;
        let mut s = Reader::new(r.take(length)?, 0);
        let (group, index, threshold) = (s.u8()?, s.u8()?, s.u8()?);
        // Version 1 knows whole DEKs only, no shares.
        if (group, index, threshold) != (0, 0, 1) {
            return None;
        }
        let stanza = Stanza {
            provider: s.text16(MAX_PROVIDER)?,
            mechanism: s.text16(MAX_MECHANISM)?,
            key_ref: s.text16(MAX_KEY_REF)?,
            group,
            index,
            threshold,
            params: s.field16(MAX_PARAMS)?.to_vec(),
            commitment: s.field16(KEY)?.try_into().ok()?,
            blob: s.field16(MAX_BLOB)?.to_vec(),
        };
        s.done().then_some(stanza)
    }
}
