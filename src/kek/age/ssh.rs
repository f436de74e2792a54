//! Keys as SSH writes them: public keys (RFC 4253, section 6.6), and the private keys of ssh-keygen (openssh-key-v1, and PEM
//! for RSA).
//!
//! Owns these formats and the bounds on RSA. It must never keep a part of a private key outside secret memory that is not
//! wiped, and never take a private key whose parts do not belong together.

use super::seal::{KeyType, POINT, PublicKey, SecretKey};
use crate::error::{Error, Result};
use crate::kek::data_key;
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use aws_lc_rs::encoding::{AsBigEndian, AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::{Digest, Sha512};
use subtle::{Choice, ConditionallySelectable};
use zeroize::Zeroize;

/// The names of the types that are taken.
const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
/// How openssh-key-v1 begins.
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Most bytes of padding: PuTTY fills a last block of 16 with at least one.
const MAX_PADDING: u8 = 16;
/// Longest name of a type that is repeated in a message.
const MAX_NAME: usize = 64;

/// Why a key is refused.
pub(super) enum Refused {
    /// It is cut off, has bytes too many, or its parts do not belong together.
    NotWhole,
    /// RSA with fewer than 2,048 bits.
    TooSmall,
    /// RSA with more than 4,096 bits.
    TooLarge,
    /// It is of this type.
    Type(String),
    /// A passphrase encrypts it.
    Encrypted,
    /// It could not be looked at.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(e: Error) -> Refused {
        Refused::Failed(e)
    }
}

/// A private key, and the public key's bytes that belong to it.
pub(super) struct Private {
    pub(super) public: Vec<u8>,
    pub(super) key: SecretKey,
}

/// The parts of a public key.
#[derive(PartialEq)]
enum Parts<'a> {
    Ed25519(&'a [u8; POINT]),
    /// Without leading zeroes.
    Rsa {
        n: &'a [u8],
        e: &'a [u8],
    },
}

/// The type's name, and the key, of a public key's bytes.
///
/// # Errors
/// It is another type, not whole, or RSA of a length that is not taken.
pub(super) fn public(
    bytes: &[u8],
) -> std::result::Result<(&'static str, KeyType, PublicKey), Refused> {
    match parts(bytes)? {
        Parts::Ed25519(point) => {
            let key = PublicKey::of_ed25519(*point).ok_or(Refused::NotWhole)?;
            Ok((ED25519, KeyType::SshEd25519, key))
        }
        Parts::Rsa { n, e } => {
            let key = PublicKeyComponents { n, e }.try_into();
            let key = PublicKey::Rsa(key.map_err(|_| Refused::NotWhole)?);
            Ok((RSA, KeyType::SshRsa, key))
        }
    }
}

fn parts(bytes: &[u8]) -> std::result::Result<Parts<'_>, Refused> {
    let mut rest = bytes;
    let name = string(&mut rest).ok_or(Refused::NotWhole)?;
    let parts = if name == ED25519.as_bytes() {
        let point = string(&mut rest).and_then(|point| point.try_into().ok());
        point.map(Parts::Ed25519)
    } else if name == RSA.as_bytes() {
        let e = mpint(&mut rest);
        e.zip(mpint(&mut rest)).map(|(e, n)| Parts::Rsa { n, e })
    } else {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        return Err(Refused::Type(String::from_utf8_lossy(name).into_owned()));
    };
    let parts = parts.filter(|_| rest.is_empty()).ok_or(Refused::NotWhole)?;
    if let Parts::Rsa { n, .. } = parts {
        let zeroes = n.first().map_or(0, |first| first.leading_zeros() as usize);
        match n.len() * 8 - zeroes {
            0..2048 => return Err(Refused::TooSmall),
            2048..=4096 => {}
            _ => return Err(Refused::TooLarge),
        }
    }
    Ok(parts)
}

/// The private key in a file of ssh-keygen.
///
/// # Errors
/// It holds none, or one that is not taken.
pub(super) fn private(pool: &SecretPool, text: &str) -> std::result::Result<Private, Refused> {
    let (label, body) = pem(text).ok_or(Refused::NotWhole)?;
    // PKCS #8, and the head that OpenSSL's old format has (RFC 1421); base64 has no colon.
    if label == "ENCRYPTED PRIVATE KEY" || body.contains("Proc-Type:") {
        return Err(Refused::Encrypted);
    }
    let bytes = || decode(pool, body)?.ok_or(Refused::NotWhole);
    match label {
        "OPENSSH PRIVATE KEY" => openssh(pool, &bytes()?),
        "RSA PRIVATE KEY" => rsa(KeyPair::from_der(&bytes()?).ok()),
        // PKCS #8 names the algorithm inside; what is neither is refused with what is broken.
        "PRIVATE KEY" => pkcs8(pool, &bytes()?),
        _ => Err(Refused::Type(label.chars().take(MAX_NAME).collect())),
    }
}

/// The first block of PEM (RFC 7468) in a text: its label, and what is in it.
fn pem(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, end) = rest.split_once("-----END ")?;
    let whole = end.strip_prefix(label)?.starts_with("-----");
    whole.then_some((label, body))
}

/// What the base64 in lines stands for.
fn decode(pool: &SecretPool, lines: &str) -> Result<Option<SecretBytes>> {
    let mut text = pool.zeroed(lines.len())?;
    let mut length = 0;
    for byte in lines.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        text[length] = byte;
        length += 1;
    }
    match std::str::from_utf8(&text[..length]) {
        Ok(text) => data_key::from_base64(pool, text),
        Err(_) => Ok(None),
    }
}

/// A key in OpenSSH's format (PROTOCOL.key of OpenSSH): one key, not encrypted.
fn openssh(pool: &SecretPool, bytes: &[u8]) -> std::result::Result<Private, Refused> {
    let broken = || Refused::NotWhole;
    let mut rest = bytes.strip_prefix(MAGIC).ok_or_else(broken)?;
    let cipher = string(&mut rest).ok_or_else(broken)?;
    let _kdf = string(&mut rest).ok_or_else(broken)?;
    let _options = string(&mut rest).ok_or_else(broken)?;
    if cipher != b"none" {
        return Err(Refused::Encrypted);
    }
    let (count, behind) = rest.split_first_chunk().ok_or_else(broken)?;
    rest = behind;
    let public = string(&mut rest).ok_or_else(broken)?;
    let secret = string(&mut rest).ok_or_else(broken)?;
    if u32::from_be_bytes(*count) != 1 || !rest.is_empty() {
        return Err(broken());
    }
    let parts = parts(public)?;
    Ok(Private {
        public: public.to_vec(),
        key: openssh_secret(pool, &parts, secret)?.ok_or_else(broken)?,
    })
}

/// The secret half. `None`: it is not whole, or not that of the public half.
fn openssh_secret(
    pool: &SecretPool,
    public: &Parts<'_>,
    mut rest: &[u8],
) -> Result<Option<SecretKey>> {
    let Some(name) = checked(&mut rest) else {
        return Ok(None);
    };
    match public {
        Parts::Ed25519(point) if name == ED25519.as_bytes() => match ed25519_fields(rest) {
            Some((first, seed, second)) if first == *point && second == *point => {
                ed25519(pool, seed, point)
            }
            _ => Ok(None),
        },
        Parts::Rsa { n, e } if name == RSA.as_bytes() => match rsa_fields(rest) {
            Some([also_n, also_e, d, iqmp, p, q]) if also_n == *n && also_e == *e => {
                Ok(rsa_pair(pool, (n, e), d, (p, q), iqmp)?.and_then(|pair| rsa_secret(&pair)))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Takes the two equal numbers and the type's name off the front.
fn checked<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (check, behind) = rest.split_first_chunk::<8>()?;
    let (first, second) = check.split_at(4);
    *rest = behind;
    if first == second { string(rest) } else { None }
}

/// Point, seed, and the point again.
fn ed25519_fields(mut rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = string(&mut rest)?;
    let (seed, second) = string(&mut rest)?.split_at_checked(POINT)?;
    ended(rest)?;
    Some((first, seed, second))
}

/// n, e, d, iqmp, p and q; none longer than n.
fn rsa_fields(mut rest: &[u8]) -> Option<[&[u8]; 6]> {
    let mut fields = [&[][..]; 6];
    for field in &mut fields {
        *field = mpint(&mut rest)?;
    }
    ended(rest)?;
    let bounded = fields.iter().all(|field| field.len() <= fields[0].len());
    bounded.then_some(fields)
}

/// The comment, and 1, 2, 3, … up to a multiple of the block's length: 8 as OpenSSH writes it, 16 as PuTTY does. OpenSSH
/// reads padding of any length.
fn ended(mut rest: &[u8]) -> Option<()> {
    string(&mut rest)?;
    let mut numbered = rest.iter().zip(1u8..=MAX_PADDING);
    let padding = rest.len() <= MAX_PADDING.into() && numbered.all(|(byte, n)| *byte == n);
    padding.then_some(())
}

fn ed25519(pool: &SecretPool, seed: &[u8], point: &[u8; POINT]) -> Result<Option<SecretKey>> {
    if Ed25519KeyPair::from_seed_and_public_key(seed, point).is_err() {
        return Ok(None);
    }
    // RFC 8032, section 5.1.5: the first half of the hash is the scalar, which X25519 clamps as Ed25519 does.
    let mut hash = Sha512::digest(seed);
    let scalar = pool.copy(&hash[..POINT]);
    hash.as_mut_slice().zeroize();
    wipe_stack();
    Ok(Some(SecretKey::Curve(KeyType::SshEd25519, scalar?)))
}

/// OpenSSH leaves the exponents of the primes out, which aws-lc wants and checks.
fn rsa_pair(
    pool: &SecretPool,
    (n, e): (&[u8], &[u8]),
    d: &[u8],
    (p, q): (&[u8], &[u8]),
    iqmp: &[u8],
) -> Result<Option<KeyPair>> {
    let d_p = exponent(pool, d, p)?;
    let d_q = exponent(pool, d, q)?;
    let pair = KeyPair::from_components(&KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        d,
        p,
        q,
        dP: &d_p[..],
        dQ: &d_q[..],
        qInv: iqmp,
    });
    wipe_stack();
    Ok(pair.ok())
}

/// `d` modulo `prime` - 1, bit by bit: whatever the bits are, the same is done.
fn exponent(pool: &SecretPool, d: &[u8], prime: &[u8]) -> Result<SecretBytes> {
    let mut modulus = pool.copy(prime)?;
    // A prime is odd. aws-lc refuses what comes of one that is not.
    if let Some(last) = modulus.last_mut() {
        *last &= 0xFE;
    }
    let mut rest = pool.zeroed(prime.len())?;
    let mut less = pool.zeroed(prime.len())?;
    for bit in d
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1))
    {
        // rest = 2 * rest + bit, with the bit that falls out in `carry`; less = rest - modulus.
        let (mut carry, mut borrow) = (bit, 0);
        for i in (0..rest.len()).rev() {
            let top = rest[i] >> 7;
            rest[i] = rest[i] << 1 | carry;
            carry = top;
            let difference = i16::from(rest[i]) - i16::from(modulus[i]) - borrow;
            less[i] = difference as u8;
            borrow = difference >> 8 & 1;
        }
        let take = Choice::from(carry | (1 - borrow as u8));
        for (rest, less) in rest.iter_mut().zip(less.iter()) {
            rest.conditional_assign(less, take);
        }
    }
    Ok(rest)
}

/// RSA, or Ed25519 as ssh-keygen (9.6 and later) and OpenSSL write it.
fn pkcs8(pool: &SecretPool, bytes: &[u8]) -> std::result::Result<Private, Refused> {
    let Ok(pair) = Ed25519KeyPair::from_pkcs8(bytes) else {
        return rsa(KeyPair::from_pkcs8(bytes).ok());
    };
    let point = pair.public_key().as_ref();
    let point: &[u8; POINT] = point.try_into().map_err(|_| Refused::NotWhole)?;
    let seed = pair.seed().and_then(|seed| seed.as_be_bytes());
    let seed = seed.map_err(|_| Refused::NotWhole)?;
    let key = ed25519(pool, seed.as_ref(), point)?.ok_or(Refused::NotWhole)?;
    let public = wire(&[ED25519.as_bytes(), point]).ok_or(Refused::NotWhole)?;
    Ok(Private { public, key })
}

/// A key that was read from PEM; its public half is written as SSH does.
fn rsa(pair: Option<KeyPair>) -> std::result::Result<Private, Refused> {
    let pair = pair.ok_or(Refused::NotWhole)?;
    let key = rsa_secret(&pair).ok_or(Refused::NotWhole)?;
    let public = rsa_public(pair.public_key().as_ref()).ok_or(Refused::NotWhole)?;
    Ok(Private { public, key })
}

fn rsa_secret(pair: &KeyPair) -> Option<SecretKey> {
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    let key = SecretKey::of_rsa(pkcs8.as_ref());
    wipe_stack();
    key
}

/// The bytes of a public key, of what aws-lc writes (RFC 8017, appendix A.1.1): a number of DER has the bytes of one of SSH.
fn rsa_public(der: &[u8]) -> Option<Vec<u8>> {
    let mut rest = der;
    let mut numbers = tagged(&mut rest, 0x30)?;
    let n = tagged(&mut numbers, 0x02)?;
    let e = tagged(&mut numbers, 0x02)?;
    wire(&[RSA.as_bytes(), e, n])
}

/// Strings of the wire format, one after the other.
fn wire(fields: &[&[u8]]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(&u32::try_from(field.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    Some(bytes)
}

/// Takes the value with this tag of DER off the front.
fn tagged<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&[found, first], mut behind) = rest.split_first_chunk()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (bytes, after) = behind.split_at_checked(length & 0x7F)?;
        if bytes.len() > 2 {
            return None;
        }
        length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        behind = after;
    }
    let (value, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    (found == tag).then_some(value)
}

/// Takes a string of the wire format (RFC 4251, section 5) off the front.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

/// Takes a number that is above zero, in its one spelling, off the front; without the zero before a first bit.
fn mpint<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    match string(rest)? {
        [0, number @ ..] => number
            .first()
            .is_some_and(|first| *first >= 0x80)
            .then_some(number),
        number => number
            .first()
            .is_some_and(|first| *first < 0x80)
            .then_some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_of_a_prime() {
        let pool = SecretPool::new();
        // By another program: pow and % of Python.
        for (d, prime, wanted) in [
            (&[0x03, 0xE8][..], &[0x0D][..], &[4][..]),
            (&[0xFF, 0xFF, 0xFF, 0xFF], &[0xFF, 0xF1], &[0x00, 0xFF]),
            (&[5], &[0x80, 0x01], &[0, 5]),
            (&[0x80, 0x00], &[0x80, 0x01], &[0, 0]),
            (&[], &[7], &[0]),
        ] {
            assert_eq!(
                *exponent(&pool, d, prime).unwrap(),
                *wanted,
                "{d:?} {prime:?}"
            );
        }
    }

    #[test]
    fn numbers_have_one_spelling() {
        let of = |bytes: &[u8]| {
            let length = (bytes.len() as u32).to_be_bytes();
            let bytes = [&length[..], bytes].concat();
            mpint(&mut &bytes[..]).map(<[u8]>::to_vec)
        };
        assert_eq!(of(&[1]), Some(vec![1]));
        assert_eq!(of(&[0x7F, 0]), Some(vec![0x7F, 0]));
        assert_eq!(of(&[0, 0x80]), Some(vec![0x80]));
        for bad in [&[][..], &[0], &[0, 1], &[0x80], &[0, 0, 0x80]] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn values_of_der() {
        let long = [&[0x30, 0x82, 1, 0][..], &[7; 256]].concat();
        for (bytes, wanted) in [
            (&[0x30, 2, 5, 6, 9][..], Some(vec![5, 6])),
            (&[0x30, 0x81, 2, 5, 6], Some(vec![5, 6])),
            (&long, Some(vec![7; 256])),
            (&long[..259], None),
            (&[0x02, 1, 5], None),
            (&[0x30, 3, 5, 6], None),
            (&[0x30, 0x83, 0, 0, 1, 5], None),
            (&[0x30, 0xFF, 0, 0, 1, 5], None),
            (&[0x30], None),
        ] {
            assert_eq!(tagged(&mut &bytes[..], 0x30).map(<[u8]>::to_vec), wanted);
        }
    }
}
