//! Wrapping a DEK part under a key that was derived here from a passphrase or a key file.
//!
//! 64 derived bytes: 32 for AES-256-GCM, 32 as a commitment that is stored and compared before
//! anything is decrypted. AES-GCM alone does not commit to its key: without the commitment one
//! crafted blob could be opened by many passphrases.

use super::{KEY, NONCE, TAG, equal, hkdf};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};

/// Length of a blob: nonce, wrapped part, tag.
pub const LOCAL_BLOB: usize = NONCE + KEY + TAG;

/// 64 bytes derived from a passphrase or a key file.
pub struct WrapKeys(SecretBytes);

impl WrapKeys {
    /// Takes 64 derived bytes.
    ///
    /// # Errors
    /// Another length.
    pub fn new(derived: SecretBytes) -> Result<WrapKeys> {
        if derived.len() != 2 * KEY {
            return Err(Error::new(
                Kind::Internal,
                "derive a wrapping key",
                "not 64 bytes",
            ));
        }
        Ok(WrapKeys(derived))
    }

    /// The keys that a provider's secret gives: HKDF-SHA256 (RFC 5869) with the provider's name in its info, so that no
    /// two providers derive the same keys from the same bytes. The secret must be random: this is no hash for passphrases.
    ///
    /// # Errors
    /// No secret memory.
    pub fn derive(
        pool: &SecretPool,
        secret: &[u8],
        salt: &[u8],
        provider: &str,
    ) -> Result<WrapKeys> {
        let mut out = pool.zeroed(2 * KEY)?;
        let info = format!("keyring-ward/1 {provider}");
        hkdf(secret, salt, info.as_bytes(), &mut out)?;
        wipe_stack();
        WrapKeys::new(out)
    }

    fn aead(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(&self.0[..KEY]).expect("the key has 32 bytes")
    }

    /// The commitment to these keys: public, stored in the stanza.
    pub fn commitment(&self) -> [u8; KEY] {
        let mut out = [0; KEY];
        out.copy_from_slice(&self.0[KEY..]);
        out
    }
}

/// Wraps a part of exactly 32 bytes.
///
/// # Errors
/// The part has another length, or the system's generator fails.
pub fn wrap_local(keys: &WrapKeys, aad: &[u8], part: &[u8]) -> Result<Vec<u8>> {
    const OP: &str = "wrap the DEK";
    if part.len() != KEY {
        return Err(Error::new(Kind::Internal, OP, "the DEK has not 32 bytes"));
    }
    let mut blob = vec![0; LOCAL_BLOB];
    let (nonce, body) = blob.split_at_mut(NONCE);
    fill_random(nonce)?;
    let (text, tag) = body.split_at_mut(KEY);
    let mut n = [0; NONCE];
    n.copy_from_slice(nonce);
    // Encrypted in place, so the plain part is in `blob` for a moment only.
    text.copy_from_slice(part);
    let sealed = keys
        .aead()
        .encrypt_inout_detached(&Nonce::from(n), aad, text.into())
        .map_err(|_| Error::new(Kind::Internal, OP, "the cipher refused it"))?;
    tag.copy_from_slice(&sealed);
    wipe_stack();
    Ok(blob)
}

/// Unwraps a part. `None`: these are other keys than the ones that wrapped it, or the blob was
/// changed.
///
/// # Errors
/// No secret memory.
pub fn unwrap_local(
    pool: &SecretPool,
    keys: &WrapKeys,
    aad: &[u8],
    commitment: &[u8],
    blob: &[u8],
) -> Result<Option<SecretBytes>> {
    if blob.len() != LOCAL_BLOB || !equal(commitment, &keys.commitment()) {
        return Ok(None);
    }
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&blob[..NONCE]);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&blob[NONCE + KEY..]);
    let mut part = pool.copy(&blob[NONCE..NONCE + KEY])?;
    let opened = keys
        .aead()
        .decrypt_inout_detached(
            &Nonce::from(nonce),
            aad,
            (&mut part[..]).into(),
            &Tag::from(tag),
        )
        .is_ok();
    wipe_stack();
    Ok(opened.then_some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(pool: &SecretPool, fill: u8) -> WrapKeys {
        WrapKeys::new(pool.copy(&[fill; 64]).unwrap()).unwrap()
    }

    #[test]
    fn round_trip_and_refusals() {
        let pool = SecretPool::new();
        let k = keys(&pool, 1);
        let blob = wrap_local(&k, b"aad", &[9; 32]).unwrap();
        let c = k.commitment();
        let open = |keys: &WrapKeys, aad: &[u8], c: &[u8], blob: &[u8]| {
            unwrap_local(&pool, keys, aad, c, blob)
                .unwrap()
                .map(|p| p.to_vec())
        };
        assert_eq!(open(&k, b"aad", &c, &blob), Some(vec![9; 32]));
        assert_eq!(open(&keys(&pool, 2), b"aad", &c, &blob), None, "other keys");
        assert_eq!(open(&k, b"dad", &c, &blob), None, "other associated data");
        assert_eq!(open(&k, b"aad", &[0; 32], &blob), None, "other commitment");
        assert_eq!(open(&k, b"aad", &c, &blob[1..]), None, "other length");
        for i in 0..blob.len() {
            let mut bad = blob.clone();
            bad[i] ^= 0x10;
            assert_eq!(open(&k, b"aad", &c, &bad), None, "byte {i} changed");
        }
    }
}
