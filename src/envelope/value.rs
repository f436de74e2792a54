//! The keys of sealed values, and their AEAD.
//!
//! Owns the derivation from a version's material (ADR 21, `docs/reference/sealed-values.md`), the hedged nonce, the commitment, and
//! the keys of a blind index. It must never use a nonce that does not depend on the plaintext, and never return plaintext whose
//! commitment was not compared.

use super::{KEY, MAC, TAG, hmac_parts};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBox, SecretBytes, SecretPool, wipe_stack};
use aes_gcm::KeyInit;
use aes_gcm::aead::AeadInOut;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use xaes_256_gcm::{Nonce, Tag, Xaes256Gcm};
use zeroize::Zeroize;

/// Length of a value's nonce in bytes (192 bits): of 2^48 values of a version two meet with a probability of 2^-97.
pub const VALUE_NONCE: usize = 24;
/// Zero bytes before each plaintext: they commit to the key. A value that opens under two keys costs 2^128 attempts.
pub const COMMITMENT: usize = 32;
/// Random bytes that go into a nonce.
pub const VALUE_RANDOM: usize = 16;
/// Shortest material of which a value's keys are made, in bytes.
pub const LEAST_MATERIAL: usize = 16;
/// Length of a logical key's id in bytes.
const ID: usize = crate::key::logical::ID;

/// What is sealed. Each has keys that have nothing to do with the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A value of a table.
    Value,
    /// The secret of a blind index, which travels with a version.
    IndexSecret,
}

impl Purpose {
    /// Of one length, so that no part of the salt can be taken for another.
    fn label(self) -> &'static [u8; 28] {
        match self {
            Purpose::Value => b"keyring-ward/1 sealed value\0",
            Purpose::IndexSecret => b"keyring-ward/1 index secret\0",
        }
    }
}

/// What seals and opens the values of one version.
pub struct ValueKeys {
    /// The key that HKDF has extracted; behind it, of the last context, the key of XAES-256-GCM and the one that hedges nonces.
    secret: SecretBytes,
    /// Of that context.
    last: Option<Last>,
    pool: SecretPool,
}

/// What is kept from value to value, as long as the context stays the same.
struct Last {
    context: Vec<u8>,
    /// XAES-256-GCM (C2SP) with the context's key. It wipes its key schedule when dropped.
    cipher: SecretBox<Xaes256Gcm>,
}

impl Last {
    fn is_of(&self, context: &[u8]) -> bool {
        // Two empty ones are not compared byte by byte: they lie at no address, and where the processor has AVX-512, memcmp
        // of nothing there takes 200 ns, half of what a short value costs.
        let length = self.context.len();
        length == context.len() && (length == 0 || self.context == context)
    }
}

/// What stands beside the ciphertext of a value.
pub struct Parts {
    /// Another one for each value.
    pub nonce: [u8; VALUE_NONCE],
    /// Of AES-256-GCM.
    pub tag: [u8; TAG],
}

impl ValueKeys {
    /// HKDF-SHA256, extraction from the material; label, logical key and version as its salt.
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
            return Err(Error::new(Kind::InvalidInput, DERIVE, why));
        }
        let mut salt = [0; 28 + ID + 4];
        salt[..28].copy_from_slice(purpose.label());
        salt[28..28 + ID].copy_from_slice(id);
        salt[28 + ID..].copy_from_slice(&version.to_le_bytes());
        let mut secret = pool.zeroed(3 * KEY)?;
        let (mut extracted, hkdf) = Hkdf::<Sha256>::extract(Some(&salt), material);
        secret[..KEY].copy_from_slice(&extracted);
        extracted.as_mut_slice().zeroize();
        drop(hkdf);
        wipe_stack();
        Ok(ValueKeys {
            secret,
            last: None,
            pool: pool.clone(),
        })
    }

    /// Encrypts `text` in place, whose first [`COMMITMENT`] bytes are taken for the commitment, and authenticates `head`. The nonce depends on `random` *and* on
    /// the plaintext: a machine that was cloned between its random bytes and their use repeats no nonce for another plaintext.
    ///
    /// What it leaves on the stack is for the caller to wipe, once for many values.
    ///
    /// # Errors
    /// Internal: `text` is shorter than the commitment.
    pub fn seal(
        &mut self,
        random: &[u8; VALUE_RANDOM],
        context: &[u8],
        head: &[u8],
        text: &mut [u8],
    ) -> Result<Parts> {
        let (zeroes, plaintext) = text.split_at_mut_checked(COMMITMENT).ok_or_else(wrong)?;
        zeroes.fill(0);
        self.turn_to(context)?;
        let hedged = (Sha256::new_with_prefix(&self.secret[2 * KEY..]))
            .chain_update(random)
            .chain_update(plaintext);
        let mut hash = hedged.finalize();
        let mut nonce = [0; VALUE_NONCE];
        nonce.copy_from_slice(&hash[..VALUE_NONCE]);
        hash.as_mut_slice().zeroize();
        let sealed = (self.cipher()?).encrypt_inout_detached(&nonce.into(), head, text.into());
        let tag = sealed.map_err(|_| wrong())?.into();
        Ok(Parts { nonce, tag })
    }

    /// Decrypts `text` in place; its first [`COMMITMENT`] bytes are the commitment, and zero then. `false`: key, version, context and
    /// value don't belong together, and `text` is of no use.
    ///
    /// What it leaves on the stack is for the caller to wipe, once for many values.
    ///
    /// # Errors
    /// None in practice.
    pub fn open(
        &mut self,
        parts: &Parts,
        context: &[u8],
        head: &[u8],
        text: &mut [u8],
    ) -> Result<bool> {
        self.turn_to(context)?;
        let (nonce, tag) = (Nonce::from(parts.nonce), Tag::from(parts.tag));
        let opened = (self.cipher()?).decrypt_inout_detached(&nonce, head, text.into(), &tag);
        // All of them, whatever the first ones are.
        let committed = text.get(..COMMITMENT);
        let committed = committed.map(|c| c.iter().fold(0, |all, byte| all | byte));
        Ok(opened.is_ok() && committed == Some(0))
    }

    /// HKDF-SHA256, expansion by the context, unless it is that of the value before.
    fn turn_to(&mut self, context: &[u8]) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| last.is_of(context)) {
            return Ok(());
        }
        let last = self.last.take();
        let (extracted, made) = self.secret.split_at_mut(KEY);
        let hkdf = Hkdf::<Sha256>::from_prk(extracted).map_err(|_| wrong())?;
        hkdf.expand(context, made).map_err(|_| wrong())?;
        let cipher = Xaes256Gcm::new_from_slice(&made[..KEY]).map_err(|_| wrong())?;
        self.last = Some(match last {
            None => Last {
                context: context.to_vec(),
                cipher: SecretBox::new(&self.pool, cipher)?,
            },
            Some(mut last) => {
                *last.cipher = cipher;
                last.context.clear();
                last.context.extend_from_slice(context);
                last
            }
        });
        Ok(())
    }

    /// The cipher of the last context.
    fn cipher(&self) -> Result<&Xaes256Gcm> {
        let last = self.last.as_ref().ok_or_else(wrong)?;
        Ok(&last.cipher)
    }
}

const DERIVE: &str = "derive a value's key";

fn wrong() -> Error {
    Error::new(Kind::Internal, DERIVE, "a length is wrong")
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The library's cipher is the one of the specification: https://c2sp.org/XAES-256-GCM, test vectors.
    #[test]
    fn xaes_is_that_of_c2sp() {
        let nonce = Nonce::from(*b"ABCDEFGHIJKLMNOPQRSTUVWX");
        for (key, data, sealed) in [
            (
                1,
                &b""[..],
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
            ),
            (
                3,
                b"c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let mut text = *b"XAES-256-GCM";
            let cipher = Xaes256Gcm::new_from_slice(&[key; 32]).unwrap();
            let tag = cipher.encrypt_inout_detached(&nonce, data, (&mut text[..]).into());
            let both = [&text[..], &tag.unwrap()].concat();
            assert_eq!(crate::text::hex(&both), sealed);
        }
    }

    /// A value that authenticates under a key and does not commit to it, as who knows two keys could make one.
    #[test]
    fn what_does_not_commit_is_not_opened() {
        let pool = SecretPool::new();
        let mut keys = ValueKeys::derive(&pool, Purpose::Value, &[1; ID], 1, &[2; 32]).unwrap();
        keys.turn_to(b"").unwrap();
        for at in [0, COMMITMENT - 1, COMMITMENT] {
            let mut text = [0; COMMITMENT + 1];
            text[at] = 1;
            let nonce = [5; VALUE_NONCE];
            let cipher = keys.cipher().unwrap();
            let tag = cipher.encrypt_inout_detached(&nonce.into(), b"", (&mut text[..]).into());
            let parts = Parts {
                nonce,
                tag: tag.unwrap().into(),
            };
            let opened = keys.open(&parts, b"", b"", &mut text).unwrap();
            assert_eq!(opened, at == COMMITMENT, "byte {at}");
        }
    }
}
