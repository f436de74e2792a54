//! Key pairs: RSA and Ed25519, of which the private half is a key of the keyring.
//!
//! Owns how a pair is made, how its halves are written and what a signature is. It must never give the private half to anybody but
//! the keyring.

use crate::error::{Error, Kind, Result};
use crate::key::extensions::{PAIR_ED25519, PAIR_RSA};
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair as _, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};
use data_encoding::BASE64;

const MAKE: &str = "make the key pair";
const USE: &str = "use the key pair";
/// Letters in a line of PEM (RFC 7468).
const LINE: usize = 64;

/// What a pair is for, and how strong it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with a modulus of 2,048 bits.
    Rsa2048,
    /// RSA with a modulus of 3,072 bits.
    Rsa3072,
    /// RSA with a modulus of 4,096 bits.
    Rsa4096,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 4] = [
        Algorithm::Rsa2048,
        Algorithm::Rsa3072,
        Algorithm::Rsa4096,
        Algorithm::Ed25519,
    ];

    /// The name, as it is written in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Rsa2048 => "RSA-2048",
            Algorithm::Rsa3072 => "RSA-3072",
            Algorithm::Rsa4096 => "RSA-4096",
            Algorithm::Ed25519 => "ED25519",
        }
    }

    /// How long its key is: the modulus of RSA, the secret of Ed25519.
    pub fn bits(self) -> usize {
        match self {
            Algorithm::Rsa2048 => 2048,
            Algorithm::Rsa3072 => 3072,
            Algorithm::Rsa4096 => 4096,
            Algorithm::Ed25519 => 256,
        }
    }

    /// An algorithm by its name, in whatever case.
    ///
    /// # Errors
    /// InvalidInput: there is none of that name.
    pub fn parse(name: &str) -> Result<Algorithm> {
        let found = Algorithm::ALL
            .iter()
            .find(|a| a.name().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| {
            let why = format!("there is no type {name:?} of key pairs");
            let names = Algorithm::ALL.map(Algorithm::name).join(", ");
            Error::new(Kind::InvalidInput, MAKE, why).hint(format!("The types are {names}."))
        })
    }

    /// The type of its key: the server knows no more of them.
    pub fn key_type(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "SECRET",
            _ => "RSA",
        }
    }

    /// What the key's extension says.
    pub fn tag(self) -> u8 {
        match self {
            Algorithm::Ed25519 => PAIR_ED25519,
            _ => PAIR_RSA,
        }
    }

    /// Makes a pair, which takes up to seconds: its private half, as PKCS #8.
    ///
    /// # Errors
    /// Internal: the library has no memory or no random bytes.
    pub fn generate(self, pool: &SecretPool) -> Result<SecretBytes> {
        let failed = |_| Error::new(Kind::Internal, MAKE, "the library could not");
        let size = match self {
            Algorithm::Rsa2048 => KeySize::Rsa2048,
            Algorithm::Rsa3072 => KeySize::Rsa3072,
            Algorithm::Rsa4096 => KeySize::Rsa4096,
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                return private(pool, &der);
            }
        };
        let pair = RsaKeyPair::generate(size).map_err(failed)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        private(pool, &der)
    }
}

/// The library wipes its own copies.
fn private(pool: &SecretPool, der: &Pkcs8V1Der<'_>) -> Result<SecretBytes> {
    let copy = pool.copy(der.as_ref())?;
    wipe_stack();
    Ok(copy)
}

/// A pair in use. The library wipes it.
pub enum KeyPair {
    /// RSA.
    Rsa(Box<RsaKeyPair>),
    /// Ed25519.
    Ed25519(Box<Ed25519KeyPair>),
}

impl KeyPair {
    /// Reads a private half.
    ///
    /// # Errors
    /// Internal: it is none, or of a size that no pair of ours has.
    pub fn read(tag: u8, pkcs8: &[u8]) -> Result<KeyPair> {
        let broken = |e| Error::new(Kind::Internal, USE, format!("its key can't be read: {e}"));
        let pair = match tag {
            PAIR_ED25519 => {
                KeyPair::Ed25519(Box::new(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(broken)?))
            }
            _ => KeyPair::Rsa(Box::new(RsaKeyPair::from_pkcs8(pkcs8).map_err(broken)?)),
        };
        wipe_stack();
        Ok(pair)
    }

    /// What it is for, and how strong it is.
    ///
    /// # Errors
    /// Internal: it has a size that no pair of ours has.
    pub fn algorithm(&self) -> Result<Algorithm> {
        match self {
            KeyPair::Ed25519(_) => Ok(Algorithm::Ed25519),
            KeyPair::Rsa(pair) => match pair.public_modulus_len() {
                256 => Ok(Algorithm::Rsa2048),
                384 => Ok(Algorithm::Rsa3072),
                512 => Ok(Algorithm::Rsa4096),
                bytes => {
                    let why = format!("its modulus has {bytes} bytes");
                    Err(Error::new(Kind::Internal, USE, why))
                }
            },
        }
    }

    /// The public half: a SubjectPublicKeyInfo in PEM (RFC 7468, section 13).
    ///
    /// # Errors
    /// Internal: the library has no memory.
    pub fn public_pem(&self) -> Result<String> {
        let der: PublicKeyX509Der<'_> = match self {
            KeyPair::Rsa(pair) => pair.public_key().as_der(),
            KeyPair::Ed25519(pair) => pair.public_key().as_der(),
        }
        .map_err(|_| failed())?;
        let text = BASE64.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in text.as_bytes().chunks(LINE) {
            pem.extend(line.iter().map(|letter| char::from(*letter)));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        Ok(pem)
    }

    /// Signs `data` into `out`: RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes (RFC 8017), or Ed25519.
    ///
    /// # Errors
    /// Internal: the library has no memory or no random bytes.
    pub fn sign(&self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        match self {
            KeyPair::Rsa(pair) => {
                out.resize(pair.public_modulus_len(), 0);
                let signed = pair.sign(&RSA_PSS_SHA256, &SystemRandom::new(), data, out);
                signed.map_err(|_| failed())?;
            }
            KeyPair::Ed25519(pair) => {
                let signature = pair.try_sign(data).map_err(|_| failed())?;
                out.extend_from_slice(signature.as_ref());
            }
        }
        wipe_stack();
        Ok(())
    }

    /// Whether a signature is one of `data` by this pair.
    pub fn verifies(&self, data: &[u8], signature: &[u8]) -> bool {
        match self {
            KeyPair::Rsa(pair) => {
                let public = pair.public_key().as_ref();
                UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public).verify(data, signature)
            }
            KeyPair::Ed25519(pair) => {
                UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()).verify(data, signature)
            }
        }
        .is_ok()
    }
}

fn failed() -> Error {
    Error::new(Kind::Internal, USE, "the library could not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_signs_and_verifies_and_nothing_else_does() {
        let pool = SecretPool::new();
        for algorithm in [Algorithm::Rsa2048, Algorithm::Ed25519] {
            let read = |private: &[u8]| KeyPair::read(algorithm.tag(), private).unwrap();
            let pair = read(&algorithm.generate(&pool).unwrap());
            let other = read(&algorithm.generate(&pool).unwrap());
            assert_eq!(pair.algorithm().unwrap(), algorithm);
            let mut signature = b"what was there".to_vec();
            pair.sign(b"data", &mut signature).unwrap();
            assert!(pair.verifies(b"data", &signature));
            assert!(!pair.verifies(b"datb", &signature) && !other.verifies(b"data", &signature));
            for at in [0, signature.len() / 2, signature.len() - 1] {
                let mut flipped = signature.clone();
                flipped[at] ^= 1;
                assert!(
                    !pair.verifies(b"data", &flipped) && !pair.verifies(b"data", &signature[..at])
                );
            }
            assert!(!pair.verifies(b"data", b""));
            let pem = pair.public_pem().unwrap();
            assert!(
                pem.starts_with("-----BEGIN PUBLIC KEY-----\nM") && pem.ends_with("KEY-----\n")
            );
            assert!(pem.lines().all(|line| line.len() <= LINE));
            assert_ne!(pem, other.public_pem().unwrap());
        }
        assert!(KeyPair::read(PAIR_RSA, b"no key").is_err());
    }

    #[test]
    fn names_are_found_in_whatever_case() {
        for algorithm in Algorithm::ALL {
            let name = algorithm.name();
            assert_eq!(Algorithm::parse(name).unwrap(), algorithm);
            assert_eq!(Algorithm::parse(&name.to_lowercase()).unwrap(), algorithm);
        }
        let said = Algorithm::parse("RSA-1024").unwrap_err().to_string();
        assert!(
            said.contains("RSA-2048, RSA-3072, RSA-4096, ED25519"),
            "{said}"
        );
    }
}
