//! Sealing and opening: the only place that touches an AEAD.
//!
//! Owns the derivation of all keys from the DEK, the hedged nonce, the associated data of
//! records, the wrapping of a DEK part under a local key, the keys of sealed values, and the sealing of keys that travel. It must
//! never use a nonce that was not derived from the plaintext and its position, or a key twice that has one nonce, and never return
//! plaintext that was not authenticated. The layouts are specified in `docs/reference/format.md`, `sealed-values.md` and
//! `transport.md` beside it.

mod local_wrap;
mod transport;
mod value;

pub use local_wrap::{LOCAL_BLOB, WrapKeys, unwrap_local, wrap_local};
pub use transport::{Envelope, MESSAGE_SALT, TRANSPORT_ID, TransportKeys};
pub use value::{
    COMMITMENT, IndexKey, LEAST_MATERIAL, Parts, Purpose, VALUE_NONCE, VALUE_RANDOM, ValueKeys,
};

use crate::error::{Error, Kind, Result};
use crate::key::limits::FINGERPRINT;
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Length of a DEK, and of every key derived from it, in bytes.
pub const KEY: usize = 32;
/// Length of a record's nonce in bytes (96 bits).
pub const NONCE: usize = 12;
/// Length of an AES-GCM tag in bytes.
pub const TAG: usize = 16;
/// Length of a header's salt in bytes.
pub const SALT: usize = 32;
/// Length of HMAC-SHA256 in bytes.
pub const MAC: usize = 32;
/// Length of a file id in bytes.
pub const FILE_ID: usize = 16;

/// The keys of one generation of a keyring file, derived from the DEK and the header's salt.
pub struct FileKeys {
    record: SecretBytes,
    nonce: SecretBytes,
    header: SecretBytes,
    label: SecretBytes,
}

impl FileKeys {
    /// HKDF-SHA256 with the header's salt; one expansion per key.
    ///
    /// # Errors
    /// No secret memory.
    pub fn derive(pool: &SecretPool, dek: &[u8], salt: &[u8; SALT]) -> Result<FileKeys> {
        let derive = |info: &[u8]| {
            let mut key = pool.zeroed(KEY)?;
            hkdf(dek, salt, info, &mut key)?;
            Ok(key)
        };
        let keys = FileKeys {
            record: derive(b"keyring-ward/1 record")?,
            nonce: derive(b"keyring-ward/1 nonce")?,
            header: derive(b"keyring-ward/1 header")?,
            label: derive(b"keyring-ward/1 label")?,
        };
        wipe_stack();
        Ok(keys)
    }

    /// HMAC-SHA256 over the header's bytes.
    pub fn header_mac(&self, header: &[u8]) -> [u8; MAC] {
        hmac_parts(&self.header, &[header])
    }

    /// HMAC-SHA256 over a key's identity: the label of its object on a token.
    pub fn label_mac(&self, id: &[u8]) -> [u8; MAC] {
        hmac_parts(&self.label, &[id])
    }

    /// The cipher of this generation's records. It wipes its key schedule when dropped.
    pub fn cipher(&self) -> RecordCipher<'_> {
        let aead = Aes256Gcm::new_from_slice(&self.record).expect("the key has 32 bytes");
        RecordCipher { keys: self, aead }
    }
}

/// HKDF-SHA256 (RFC 5869) of `ikm` into `out`.
///
/// # Errors
/// `out` is longer than HKDF can give (8,160 bytes).
fn hkdf(ikm: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> Result<()> {
    Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand(info, out)
        .map_err(|_| Error::new(Kind::Internal, "derive a key", "too many bytes asked for"))
}

fn hmac_parts(key: &[u8], parts: &[&[u8]]) -> [u8; MAC] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Authenticates a text between two programs that have the same key, which is for other work otherwise: it is derived from.
///
/// # Errors
/// No secret memory.
pub fn ticket_mac(pool: &SecretPool, key: &[u8], text: &str) -> Result<[u8; MAC]> {
    let mut derived = pool.zeroed(KEY)?;
    hkdf(key, &[], b"keyring-ward/1 ticket", &mut derived)?;
    let mac = hmac_parts(&derived, &[text.as_bytes()]);
    wipe_stack();
    Ok(mac)
}

/// A short public name of a DEK, to be pinned in a configuration. It reveals nothing of the DEK.
///
/// # Errors
/// None in practice.
pub fn fingerprint(dek: &[u8]) -> Result<[u8; FINGERPRINT]> {
    let mut out = [0; FINGERPRINT];
    hkdf(dek, b"", b"keyring-ward/1 fingerprint", &mut out)?;
    Ok(out)
}

/// Compares secrets or MACs in constant time.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    bool::from(a.ct_eq(b))
}

/// Where a record stands: everything that its associated data binds.
#[derive(Clone, Copy)]
pub struct Position {
    /// The file.
    pub file_id: [u8; FILE_ID],
    /// The generation of the file.
    pub generation: u64,
    /// The record's sequence number.
    pub sequence: u64,
    /// What stands before: the header's MAC for the first record, else the tag of the record
    /// before it, padded with zeroes.
    pub previous: [u8; MAC],
}

impl Position {
    fn associated_data(&self) -> [u8; 21 + FILE_ID + 8 + 8 + MAC] {
        let mut data = [0; 21 + FILE_ID + 8 + 8 + MAC];
        let (label, rest) = data.split_at_mut(21);
        label.copy_from_slice(b"keyring-ward/1 record");
        rest[..16].copy_from_slice(&self.file_id);
        rest[16..24].copy_from_slice(&self.generation.to_le_bytes());
        rest[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        rest[32..].copy_from_slice(&self.previous);
        data
    }
}

/// Seals and opens the records of one generation.
pub struct RecordCipher<'a> {
    keys: &'a FileKeys,
    aead: Aes256Gcm,
}

impl RecordCipher<'_> {
    /// Encrypts `text` in place; gives the nonce and the tag.
    ///
    /// The nonce is hedged: it depends on fresh randomness *and* on plaintext and position, so a
    /// cloned machine or a twice-restored backup repeats none for different plaintexts.
    ///
    /// # Errors
    /// The system's generator fails.
    pub fn seal(&self, at: &Position, text: &mut [u8]) -> Result<([u8; NONCE], [u8; TAG])> {
        let mut random = [0u8; 32];
        fill_random(&mut random)?;
        let mut mac = hmac_parts(
            &self.keys.nonce,
            &[&random, &at.sequence.to_le_bytes(), &at.previous, text],
        );
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&mac[..NONCE]);
        mac.zeroize();
        random.zeroize();
        let tag = self
            .aead
            .encrypt_inout_detached(&Nonce::from(nonce), &at.associated_data(), text.into())
            .map_err(|_| Error::new(Kind::Internal, "seal a record", "the cipher refused it"))?;
        Ok((nonce, tag.into()))
    }

    /// Decrypts `text` in place. `false`: not authentic, and `text` is of no use.
    #[must_use]
    pub fn open(
        &self,
        at: &Position,
        nonce: &[u8; NONCE],
        tag: &[u8; TAG],
        text: &mut [u8],
    ) -> bool {
        self.aead
            .decrypt_inout_detached(
                &Nonce::from(*nonce),
                &at.associated_data(),
                text.into(),
                &Tag::from(*tag),
            )
            .is_ok()
    }
}

impl Drop for RecordCipher<'_> {
    fn drop(&mut self) {
        // The AEAD wipes its own schedule; copies made while it was built lie below us.
        wipe_stack();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> Position {
        Position {
            file_id: [1; 16],
            generation: 2,
            sequence: 3,
            previous: [4; 32],
        }
    }

    #[test]
    fn opens_only_at_its_own_position() {
        let pool = SecretPool::new();
        let keys = FileKeys::derive(&pool, &[7; 32], &[8; 32]).unwrap();
        let cipher = keys.cipher();
        let mut text = *b"material";
        let (nonce, tag) = cipher.seal(&position(), &mut text).unwrap();
        assert_ne!(&text, b"material");
        let sealed = text;
        let moves: [fn(&mut Position); 4] = [
            |p| p.file_id[0] ^= 1,
            |p| p.generation += 1,
            |p| p.sequence += 1,
            |p| p.previous[31] ^= 1,
        ];
        for change in moves {
            let mut elsewhere = position();
            change(&mut elsewhere);
            let mut copy = sealed;
            assert!(!cipher.open(&elsewhere, &nonce, &tag, &mut copy));
        }
        assert!(cipher.open(&position(), &nonce, &tag, &mut text));
        assert_eq!(&text, b"material");
    }

    #[test]
    fn nonces_differ_each_time() {
        let pool = SecretPool::new();
        let keys = FileKeys::derive(&pool, &[7; 32], &[8; 32]).unwrap();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(keys.cipher().seal(&position(), &mut [0; 4]).unwrap().0));
        }
    }

    #[test]
    fn generations_have_keys_of_their_own() {
        let pool = SecretPool::new();
        let a = FileKeys::derive(&pool, &[7; 32], &[8; 32]).unwrap();
        let b = FileKeys::derive(&pool, &[7; 32], &[9; 32]).unwrap();
        assert_ne!(&a.record[..], &b.record[..]);
        assert_ne!(&a.record[..], &a.nonce[..]);
        assert_ne!(a.header_mac(b"x"), b.header_mac(b"x"));
    }

    #[test]
    fn hkdf_is_rfc_5869() {
        // Test case 1 of RFC 5869, appendix A.
        let mut okm = [0; 42];
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        hkdf(&[0x0b; 22], &salt, &info, &mut okm).unwrap();
        assert_eq!(okm[..8], [0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a]);
    }
}
