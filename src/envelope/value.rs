//! The keys of sealed values, and their AEAD.
//!
//! Owns the derivation from a version's material (ADR 21, `docs/reference/sealed-values.md`): a key and a commitment for each
//! value, the hedged salt, the keys of a blind index. It must never seal two texts under one key, and never decrypt before the
//! commitment was compared.

use super::{KEY, MAC, TAG, equal, hmac_parts};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use aes::Aes256Enc;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use aes_gcm::{AesGcm, KeyInit, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

/// Length of a value's salt in bytes (192 bits): 2^48 values of a version meet with a probability of 2^-97.
pub const VALUE_SALT: usize = 24;
/// Length of a value's commitment to its key, its context and its salt in bytes.
pub const COMMITMENT: usize = 32;
/// Random bytes that go into a salt.
pub const VALUE_RANDOM: usize = 32;
/// Length of a logical key's id in bytes.
const ID: usize = crate::key::logical::ID;
/// Shortest material of which a value's keys are made, in bytes.
pub const LEAST_MATERIAL: usize = 16;

/// AES-256-GCM without the key schedule for decrypting blocks, which GCM does not use.
type Cipher = AesGcm<Aes256Enc, U12>;

/// What is sealed. Each has keys that have nothing to do with the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A value of a table.
    Value,
    /// The secret of a blind index, which travels with a version.
    IndexSecret,
}

impl Purpose {
    /// Both labels have one length: the salt of HKDF is as long as its parts always.
    fn label(self) -> &'static [u8; 28] {
        match self {
            Purpose::Value => b"keyring-ward/1 sealed value\0",
            Purpose::IndexSecret => b"keyring-ward/1 index secret\0",
        }
    }
}

/// What seals and opens the values of one version: 32 bytes of which values' keys are made, and 32 that hedge their salts.
pub struct ValueKeys(SecretBytes);

/// What stands beside the ciphertext of a value.
pub struct Parts {
    /// Chosen anew for each value.
    pub salt: [u8; VALUE_SALT],
    /// What the key, the context and the salt were.
    pub commitment: [u8; COMMITMENT],
    /// Of AES-256-GCM.
    pub tag: [u8; TAG],
}

impl ValueKeys {
    /// HKDF-SHA256: extraction from the material; label, logical key and version as its salt.
    ///
    /// # Errors
    /// InvalidInput: the material is shorter than [`LEAST_MATERIAL`]. No secret memory.
    pub fn derive(
        pool: &SecretPool,
        purpose: Purpose,
        id: &[u8; ID],
        version: u32,
        material: &[u8],
    ) -> Result<ValueKeys> {
        if material.len() < LEAST_MATERIAL {
            let why = format!(
                "the key has {} bytes, and {LEAST_MATERIAL} is the least",
                material.len()
            );
            return Err(Error::new(Kind::InvalidInput, "derive a value's key", why));
        }
        let mut salt = [0; 28 + ID + 4];
        salt[..28].copy_from_slice(purpose.label());
        salt[28..28 + ID].copy_from_slice(id);
        salt[28 + ID..].copy_from_slice(&version.to_le_bytes());
        let mut keys = pool.zeroed(2 * KEY)?;
        let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(Some(&salt), material);
        keys[..KEY].copy_from_slice(&extracted);
        extracted.as_mut_slice().zeroize();
        // No value's info is that short.
        let expanded = hkdf.expand(b"salt", &mut keys[KEY..]);
        expanded.map_err(|_| too_long())?;
        drop(hkdf);
        wipe_stack();
        Ok(ValueKeys(keys))
    }

    /// Encrypts `text` in place. The salt depends on `random` *and* on context and text: a machine that was cloned between
    /// its random bytes and their use makes no key twice for two texts.
    ///
    /// What it leaves on the stack is for the caller to wipe, once for many values.
    ///
    /// # Errors
    /// None in practice.
    pub fn seal(
        &self,
        random: &[u8; VALUE_RANDOM],
        context: &[u8],
        text: &mut [u8],
    ) -> Result<Parts> {
        let length = (context.len() as u64).to_le_bytes();
        let mut mac = hmac_parts(&self.0[KEY..], &[random, &length, context, text]);
        let mut salt = [0; VALUE_SALT];
        salt.copy_from_slice(&mac[..VALUE_SALT]);
        mac.zeroize();
        let (cipher, commitment) = self.of_value(&salt, context)?;
        let tag = cipher
            .encrypt_inout_detached(&NONCE_OF_ALL.into(), b"", text.into())
            .map_err(|_| Error::new(Kind::Internal, "seal a value", "the cipher refused it"))?;
        Ok(Parts {
            salt,
            commitment,
            tag: tag.into(),
        })
    }

    /// Decrypts `text` in place. `false`: key, version, context or value are not those that belong together, and `text` is as
    /// it was or of no use.
    ///
    /// What it leaves on the stack is for the caller to wipe, once for many values.
    ///
    /// # Errors
    /// None in practice.
    pub fn open(&self, parts: &Parts, context: &[u8], text: &mut [u8]) -> Result<bool> {
        let (cipher, commitment) = self.of_value(&parts.salt, context)?;
        if !equal(&commitment, &parts.commitment) {
            return Ok(false);
        }
        let tag = Tag::from(parts.tag);
        let nonce = NONCE_OF_ALL.into();
        let opened = cipher.decrypt_inout_detached(&nonce, b"", text.into(), &tag);
        Ok(opened.is_ok())
    }

    /// HKDF-SHA256: expansion by the value's salt and its context, which comes last and needs no length.
    fn of_value(
        &self,
        salt: &[u8; VALUE_SALT],
        context: &[u8],
    ) -> Result<(Cipher, [u8; COMMITMENT])> {
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0[..KEY]).map_err(|_| too_long())?;
        let mut made = [0; KEY + COMMITMENT];
        hkdf.expand_multi_info(&[salt, context], &mut made)
            .map_err(|_| too_long())?;
        let mut commitment = [0; COMMITMENT];
        commitment.copy_from_slice(&made[KEY..]);
        let cipher = Cipher::new_from_slice(&made[..KEY]).map_err(|_| too_long())?;
        made.zeroize();
        Ok((cipher, commitment))
    }
}

/// Each key seals one value.
const NONCE_OF_ALL: [u8; super::NONCE] = [0; super::NONCE];

fn too_long() -> Error {
    Error::new(Kind::Internal, "derive a value's key", "a length is wrong")
}

/// The key of a blind index.
pub struct IndexKey(SecretBytes);

impl IndexKey {
    /// HKDF-SHA256 from the index's secret.
    ///
    /// # Errors
    /// No secret memory.
    pub fn derive(pool: &SecretPool, id: &[u8; ID], secret: &[u8]) -> Result<IndexKey> {
        let mut key = pool.zeroed(KEY)?;
        super::hkdf(secret, id, b"keyring-ward/1 blind index", &mut key)?;
        wipe_stack();
        Ok(IndexKey(key))
    }

    /// HMAC-SHA256.
    pub fn mac(&self, data: &[u8]) -> [u8; MAC] {
        hmac_parts(&self.0, &[data])
    }
}
