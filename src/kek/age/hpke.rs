//! HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//!
//! Owns which points are taken, and what is done with a scalar. It must never do arithmetic of its own, and never seal for a
//! point that no secret has: anybody could, and nobody would open it.

use crate::error::Result;
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use aws_lc_rs::agreement;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::montgomery::MontgomeryPoint;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

/// Length of a key on the curve in bytes.
pub const POINT: usize = 32;
/// Length of the authentication tag in bytes.
pub const TAG: usize = 16;

/// The suite, over the same library as TLS.
fn suite() -> &'static dyn Hpke {
    DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305
}

/// Whether a secret key can have this public key: a multiple of the base point. For another point anybody could wrap, and
/// nobody could open.
pub(super) fn is_of_a_secret(point: &EdwardsPoint) -> bool {
    point.is_torsion_free() && !point.is_small_order()
}

/// A point of X25519 that a secret has, in its one spelling, under which alone its secret is looked for.
pub fn is_usable(key: &[u8; POINT]) -> bool {
    let point = MontgomeryPoint(*key).to_edwards(0);
    point.is_some_and(|point| is_of_a_secret(&point) && point.to_montgomery().0 == *key)
}

/// The public key of a scalar. `None`: the library refuses it.
pub fn public(scalar: &[u8]) -> Option<[u8; POINT]> {
    let key = agreement::PrivateKey::from_private_key(&agreement::X25519, scalar).ok()?;
    let public = key.compute_public_key().ok()?;
    public.as_ref().try_into().ok()
}

/// What only the secret of `point` opens: the ephemeral key, the sealed bytes, the tag. `None`: this point is no use, as one of
/// low order is none.
pub fn seal(info: &[u8], aad: &[u8], text: &[u8], point: &[u8; POINT]) -> Option<Vec<u8>> {
    let public = HpkePublicKey(point.to_vec());
    let sealed = suite().seal(info, aad, text, &public).ok();
    wipe_stack();
    sealed.map(|(enc, sealed)| [enc.0, sealed].concat())
}

/// What [`seal`] sealed. `None`: it was sealed for another key, another use or another place, was changed, or is something else.
///
/// # Errors
/// The system has no memory to give.
pub fn open(
    pool: &SecretPool,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
    scalar: &[u8],
) -> Result<Option<SecretBytes>> {
    let Some((enc, sealed)) = sealed.split_at_checked(POINT) else {
        return Ok(None);
    };
    let enc = EncapsulatedSecret(enc.to_vec());
    let secret = HpkePrivateKey::from(scalar.to_vec());
    let opened = match suite().open(&enc, info, aad, sealed, &secret) {
        Ok(text) => Some(pool.copy(&Zeroizing::new(text))?),
        Err(_) => None,
    };
    wipe_stack();
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::from_hex;

    fn hex(text: &str) -> Vec<u8> {
        from_hex(text, 64).unwrap()
    }

    /// RFC 9180, appendix A.2.1, the first message.
    #[test]
    fn the_suite_is_that_of_the_rfc() {
        let secret = hex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let enc = hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let sealed = hex(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        let (info, aad) = (b"Ode on a Grecian Urn", b"Count-0");
        let whole = [enc, sealed].concat();
        let opened = open(&SecretPool::new(), info, aad, &whole, &secret);
        assert_eq!(
            &opened.unwrap().unwrap()[..],
            b"Beauty is truth, truth beauty"
        );
        assert_eq!(
            public(&secret).unwrap()[..],
            hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")[..]
        );
    }

    #[test]
    fn only_a_point_of_a_secret_is_usable() {
        let good = public(&[5; POINT]).unwrap();
        assert!(is_usable(&good));
        // Zero, one, and the base point in a second spelling (p + 9).
        let mut second = [0xff; POINT];
        (second[0], second[POINT - 1]) = (0xf6, 0x7f);
        let mut one = [0; POINT];
        one[0] = 1;
        let mut high = good;
        high[POINT - 1] |= 0x80;
        for bad in [[0; POINT], one, second, high] {
            assert!(!is_usable(&bad), "{bad:?}");
        }
    }
}
