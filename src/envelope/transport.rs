//! What seals a key on its way from one keyring to another, under a transport key that both hold.
//!
//! Owns the keys that a transport key gives, the cipher of one message and the two MACs. It must never use one message key for
//! two texts, and never return plaintext that was not authenticated. Layouts: `docs/reference/transport.md`.

use super::{KEY, MAC, NONCE, TAG, equal, hkdf, hmac_parts};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use zeroize::Zeroize;

/// Length of a transport key's id in bytes.
pub const TRANSPORT_ID: usize = 16;
/// Length of a message's salt in bytes.
pub const MESSAGE_SALT: usize = 32;

/// What stands around the text of a message, beside its associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Makes the message's own keys.
    pub salt: [u8; MESSAGE_SALT],
    /// Commits to the message's key, which AES-GCM alone does not.
    pub commitment: [u8; KEY],
    /// The tag.
    pub tag: [u8; TAG],
}

/// The keys that a transport key gives.
pub struct TransportKeys {
    id: [u8; TRANSPORT_ID],
    root: SecretBytes,
    salt: SecretBytes,
    digest: SecretBytes,
    receipt: SecretBytes,
}

impl TransportKeys {
    /// HKDF-SHA256 without a salt; one expansion per key.
    ///
    /// # Errors
    /// The transport key has another length than 32 bytes, or there is no secret memory.
    pub fn derive(pool: &SecretPool, key: &[u8]) -> Result<TransportKeys> {
        if key.len() != KEY {
            let why = format!("it has {} bytes, not {KEY}", key.len());
            return Err(
                Error::new(Kind::InvalidInput, "use the transport key", why).hint(
                    "Another key has its place. Remove it, and hand a transport key over again.",
                ),
            );
        }
        let derive = |info: &[u8]| {
            let mut out = pool.zeroed(KEY)?;
            hkdf(key, b"", info, &mut out)?;
            Ok(out)
        };
        let mut id = [0; TRANSPORT_ID];
        hkdf(key, b"", b"keyring-ward/1 transport id", &mut id)?;
        let keys = TransportKeys {
            id,
            root: pool.copy(key)?,
            salt: derive(b"keyring-ward/1 transport salt")?,
            digest: derive(b"keyring-ward/1 transport digest")?,
            receipt: derive(b"keyring-ward/1 transport receipt")?,
        };
        wipe_stack();
        Ok(keys)
    }

    /// The name that the key gives itself. It reveals nothing of the key, and no other key has it.
    pub fn id(&self) -> [u8; TRANSPORT_ID] {
        self.id
    }

    /// Encrypts `text` in place under keys of this message alone.
    ///
    /// The salt is hedged: it depends on fresh randomness *and* on the text and what is bound to it, so that a cloned machine
    /// repeats none for different texts.
    ///
    /// # Errors
    /// The system's generator fails, or there is no secret memory.
    pub fn seal(&self, pool: &SecretPool, aad: &[u8], text: &mut [u8]) -> Result<Envelope> {
        let mut random = [0; MESSAGE_SALT];
        fill_random(&mut random)?;
        let length = (aad.len() as u64).to_le_bytes();
        let salt = hmac_parts(&self.salt, &[&random, &length, aad, text]);
        random.zeroize();
        let message = Message::derive(pool, &self.root, &salt)?;
        let tag = message
            .aead()
            .encrypt_inout_detached(&message.nonce(), aad, text.into())
            .map_err(|_| Error::new(Kind::Internal, "seal a key", "the cipher refused it"))?;
        wipe_stack();
        Ok(Envelope {
            salt,
            commitment: message.commitment(),
            tag: tag.into(),
        })
    }

    /// Decrypts `text` in place. `false`: not authentic, and `text` is of no use.
    ///
    /// # Errors
    /// There is no secret memory.
    pub fn open(
        &self,
        pool: &SecretPool,
        aad: &[u8],
        envelope: &Envelope,
        text: &mut [u8],
    ) -> Result<bool> {
        let message = Message::derive(pool, &self.root, &envelope.salt)?;
        if !equal(&message.commitment(), &envelope.commitment) {
            return Ok(false);
        }
        let tag = Tag::from(envelope.tag);
        let opened =
            message
                .aead()
                .decrypt_inout_detached(&message.nonce(), aad, text.into(), &tag);
        wipe_stack();
        Ok(opened.is_ok())
    }

    /// A name of `material` in one place. Who lacks the transport key can't try materials against it.
    pub fn digest(&self, place: &[u8], material: &[u8]) -> [u8; MAC] {
        let length = (place.len() as u64).to_le_bytes();
        let digest = hmac_parts(&self.digest, &[&length, place, material]);
        wipe_stack();
        digest
    }

    /// The MAC of a receipt.
    pub fn receipt_mac(&self, receipt: &[u8]) -> [u8; MAC] {
        hmac_parts(&self.receipt, &[receipt])
    }
}

/// 76 bytes: the cipher's key, its nonce, the commitment.
struct Message(SecretBytes);

impl Message {
    fn derive(pool: &SecretPool, root: &[u8], salt: &[u8; MESSAGE_SALT]) -> Result<Message> {
        let mut out = pool.zeroed(KEY + NONCE + KEY)?;
        hkdf(root, salt, b"keyring-ward/1 transport message", &mut out)?;
        Ok(Message(out))
    }

    fn aead(&self) -> Aes256Gcm {
        Aes256Gcm::new_from_slice(&self.0[..KEY]).expect("the key has 32 bytes")
    }

    fn nonce(&self) -> Nonce<aes_gcm::aead::consts::U12> {
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&self.0[KEY..KEY + NONCE]);
        Nonce::from(nonce)
    }

    fn commitment(&self) -> [u8; KEY] {
        let mut out = [0; KEY];
        out.copy_from_slice(&self.0[KEY + NONCE..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(fill: u8) -> (SecretPool, TransportKeys) {
        let pool = SecretPool::new();
        let keys = TransportKeys::derive(&pool, &[fill; KEY]).unwrap();
        (pool, keys)
    }

    #[test]
    fn a_message_opens_under_its_key_and_in_its_place_only() {
        let (pool, ours) = keys(1);
        let (_, theirs) = keys(2);
        let mut sealed = *b"material";
        let envelope = ours.seal(&pool, b"place", &mut sealed).unwrap();
        assert_ne!(&sealed, b"material");
        let open = |keys: &TransportKeys, aad: &[u8], envelope: &Envelope, mut text: [u8; 8]| {
            let opened = keys.open(&pool, aad, envelope, &mut text).unwrap();
            opened.then_some(text)
        };
        assert_eq!(open(&ours, b"place", &envelope, sealed), Some(*b"material"));
        assert_eq!(open(&theirs, b"place", &envelope, sealed), None);
        assert_eq!(open(&ours, b"other", &envelope, sealed), None);
        for change in [
            |e: &mut Envelope| e.salt[31] ^= 1,
            |e: &mut Envelope| e.commitment[0] ^= 1,
            |e: &mut Envelope| e.tag[15] ^= 1,
        ] {
            let mut changed = envelope;
            change(&mut changed);
            assert_eq!(open(&ours, b"place", &changed, sealed), None);
        }
        sealed[3] ^= 1;
        assert_eq!(open(&ours, b"place", &envelope, sealed), None);
    }

    #[test]
    fn no_two_messages_share_a_salt_and_no_two_uses_a_key() {
        let (pool, keys) = keys(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let envelope = keys.seal(&pool, b"", &mut [0; 4]).unwrap();
            assert!(seen.insert(envelope.salt) && seen.insert(envelope.commitment));
        }
        let all = [&keys.root, &keys.salt, &keys.digest, &keys.receipt];
        let all: std::collections::HashSet<&[u8]> = all.iter().map(|k| &k[..]).collect();
        assert_eq!(all.len(), 4);
        assert_ne!(keys.digest(b"a", b"bc"), keys.digest(b"ab", b"c"));
        assert_ne!(keys.receipt_mac(b"a"), keys.receipt_mac(b"b"));
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for length in [0, 31, 33] {
            let key = vec![1; length];
            let said = TransportKeys::derive(&SecretPool::new(), &key).map(drop);
            assert_eq!(said.unwrap_err().kind(), Kind::InvalidInput);
        }
    }
}
