//! A data key for one public key: HPKE (RFC 9180) for X25519 and ssh-ed25519, RSA-OAEP (RFC 8017) for ssh-rsa.
//!
//! Owns what is bound to it: our use, its version and the type of the key by HPKE's info (OAEP: the label), the file by the
//! associated data (OAEP: the label again). It must never do arithmetic of its own, and never panic on what others made.

use super::hpke::{self, TAG, is_of_a_secret};
pub(super) use super::hpke::{POINT, public as x25519_public};
use crate::envelope::{FILE_ID, KEY};
use crate::error::Result;
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use std::ops::RangeInclusive;

/// A type of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// `age1…`
    X25519,
    /// `ssh-ed25519`
    SshEd25519,
    /// `ssh-rsa`
    SshRsa,
}

impl KeyType {
    /// The same key in two types gives two secrets.
    fn info(self) -> &'static [u8] {
        match self {
            KeyType::X25519 => b"keyring-ward/1 age X25519",
            KeyType::SshEd25519 => b"keyring-ward/1 age ssh-ed25519",
            KeyType::SshRsa => b"keyring-ward/1 age ssh-rsa",
        }
    }

    /// How many bytes a data key has that was sealed for it.
    pub(super) fn sealed(self) -> RangeInclusive<usize> {
        match self {
            KeyType::X25519 | KeyType::SshEd25519 => POINT + KEY + TAG..=POINT + KEY + TAG,
            KeyType::SshRsa => 256..=512,
        }
    }
}

/// A public key.
#[derive(Clone)]
pub(super) enum PublicKey {
    /// On the curve, in the form of X25519.
    Curve(KeyType, [u8; POINT]),
    Rsa(PublicEncryptingKey),
}

impl PublicKey {
    /// A key of X25519. `None`: it is no secret's, or not in its one spelling, under which alone its identity is looked for.
    pub(super) fn of_x25519(key: [u8; POINT]) -> Option<PublicKey> {
        hpke::is_usable(&key).then_some(PublicKey::Curve(KeyType::X25519, key))
    }

    /// The key of X25519 that belongs to a key of Ed25519 (RFC 7748, section 4.1). `None`: it is no point of the curve, or no
    /// secret's. Points with a second spelling (y below 19) are none.
    pub(super) fn of_ed25519(key: [u8; POINT]) -> Option<PublicKey> {
        let point = CompressedEdwardsY(key).decompress()?;
        is_of_a_secret(&point)
            .then(|| PublicKey::Curve(KeyType::SshEd25519, point.to_montgomery().0))
    }

    /// The data key, sealed. `None`: this key is no use, as a point of low order is none.
    pub(super) fn seal(&self, file_id: &[u8; FILE_ID], key: &[u8]) -> Option<Vec<u8>> {
        let sealed = match self {
            PublicKey::Curve(of, point) => hpke::seal(of.info(), file_id, key, point),
            PublicKey::Rsa(public) => {
                let public = OaepPublicEncryptingKey::new(public.clone()).ok()?;
                let mut sealed = vec![0; public.ciphertext_size()];
                let label = label(file_id);
                let done = public.encrypt(&OAEP_SHA256_MGF1SHA256, key, &mut sealed, Some(&label));
                let whole = done.is_ok_and(|done| done.len() == public.ciphertext_size());
                whole.then_some(sealed)
            }
        };
        wipe_stack();
        sealed
    }
}

/// A secret key.
pub(super) enum SecretKey {
    /// A scalar. X25519 clamps it at each use.
    Curve(KeyType, SecretBytes),
    Rsa(OaepPrivateDecryptingKey),
}

impl SecretKey {
    /// `None`: RSA's library refuses the key.
    pub(super) fn of_rsa(pkcs8: &[u8]) -> Option<SecretKey> {
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8).ok()?;
        OaepPrivateDecryptingKey::new(key).ok().map(SecretKey::Rsa)
    }

    /// The data key. `None`: it was sealed for another key or another file, was changed, or is something else.
    ///
    /// # Errors
    /// The system has no memory to give.
    pub(super) fn open(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        sealed: &[u8],
    ) -> Result<Option<SecretBytes>> {
        let opened = match self {
            SecretKey::Curve(of, scalar) => hpke::open(pool, of.info(), file_id, sealed, scalar)?,
            SecretKey::Rsa(secret) => {
                let mut room = pool.zeroed(secret.min_output_size())?;
                let label = label(file_id);
                let done = secret.decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut room, Some(&label));
                let length = done.map(|key| key.len()).ok();
                length.map(|length| {
                    room.truncate(length);
                    room
                })
            }
        };
        wipe_stack();
        Ok(opened.filter(|key| key.len() == KEY))
    }
}

/// OAEP knows no associated data: its label, of which it takes the hash, holds both. The file id has one length.
fn label(file_id: &[u8; FILE_ID]) -> Vec<u8> {
    [KeyType::SshRsa.info(), file_id].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::from_hex;

    fn hex(text: &str) -> Vec<u8> {
        from_hex(text, 64).unwrap()
    }

    /// All seven encodings of the curve's points of low order (RFC 7748, section 6.1): the secret would be zero.
    #[test]
    fn a_point_of_low_order_seals_nothing() {
        let points = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        let pool = SecretPool::new();
        for point in points.map(hex) {
            let key = PublicKey::Curve(KeyType::X25519, point[..].try_into().unwrap());
            assert_eq!(key.seal(&[7; FILE_ID], &[9; KEY]), None);
            // And what somebody sealed with such a point opens nothing.
            let secret = SecretKey::Curve(KeyType::X25519, pool.copy(&[5; POINT]).unwrap());
            let sealed = [&point[..], &[0; KEY + TAG]].concat();
            assert!(
                secret
                    .open(&pool, &[7; FILE_ID], &sealed)
                    .unwrap()
                    .is_none()
            );
        }
    }

    #[test]
    fn what_is_no_key_of_ed25519_is_none() {
        let bad = [
            // The neutral point, the point of order 2, a point of order 4: of low order.
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            // The base point, and the point of order 2 added: no secret has it.
            "9599999999999999999999999999999999999999999999999999999999999999",
            // y = 2: no point of the curve.
            "0200000000000000000000000000000000000000000000000000000000000000",
        ];
        for key in bad {
            let key = hex(key)[..].try_into().unwrap();
            assert!(PublicKey::of_ed25519(key).is_none());
        }
        // All second spellings there are: y below 19 as p + y, with either sign.
        for (low, sign) in (0xED..=0xFF).flat_map(|low| [(low, 0x7F), (low, 0xFF)]) {
            let mut key = [0xFF; POINT];
            (key[0], key[POINT - 1]) = (low, sign);
            assert!(PublicKey::of_ed25519(key).is_none(), "{low} {sign}");
        }
        let mut base = [0x66; POINT];
        base[0] = 0x58;
        assert!(PublicKey::of_ed25519(base).is_some());
    }

    #[test]
    fn a_key_in_two_types_is_kept_apart() {
        let pool = SecretPool::new();
        let scalar = [5; POINT];
        let point = x25519_public(&scalar).unwrap();
        for (sealing, opening, opens) in [
            (KeyType::X25519, KeyType::X25519, true),
            (KeyType::SshEd25519, KeyType::SshEd25519, true),
            (KeyType::X25519, KeyType::SshEd25519, false),
            (KeyType::SshEd25519, KeyType::X25519, false),
        ] {
            let public = PublicKey::Curve(sealing, point);
            let sealed = public.seal(&[7; FILE_ID], &[9; KEY]).unwrap();
            assert!(sealing.sealed().contains(&sealed.len()));
            let secret = SecretKey::Curve(opening, pool.copy(&scalar).unwrap());
            let opened = secret.open(&pool, &[7; FILE_ID], &sealed).unwrap();
            assert_eq!(opened.is_some(), opens, "{sealing:?} {opening:?}");
            let other = secret.open(&pool, &[8; FILE_ID], &sealed).unwrap();
            assert!(other.is_none(), "another file");
        }
    }
}
