//! The public half of a request: for whom a transport key is to be sealed.
//!
//! Owns its text, whose checksum finds a mistyped character. It must never take a point that no secret has.

use super::fingerprint;
use crate::error::{Error, Kind, Result};
use crate::kek::age::hpke::{self, POINT};
use crate::text::shorten;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use sha2::{Digest, Sha256};

/// What the text begins with, before a 1. Not that of age: a key has one role.
const HRP: &str = "kwtransport";
/// Longest text that is looked at.
const MAX_TEXT: usize = 128;

/// A public key of X25519 that a secret has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public([u8; POINT]);

impl Public {
    /// `None`: no secret has it, or it is written in a second way.
    pub fn new(key: [u8; POINT]) -> Option<Public> {
        hpke::is_usable(&key).then_some(Public(key))
    }

    /// The public half of a secret; `None`: the library refuses it.
    pub fn of_secret(scalar: &[u8]) -> Option<Public> {
        Public::new(hpke::public(scalar)?)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; POINT] {
        &self.0
    }

    /// What people compare.
    pub fn fingerprint(&self) -> String {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        let mut short = [0; 16];
        short.copy_from_slice(&hash[..16]);
        fingerprint(&short)
    }

    /// Reads `kwtransport1…`.
    ///
    /// # Errors
    /// InvalidInput: it is something else, or a key that nobody can have.
    pub fn parse(text: &str) -> Result<Public> {
        let bad = |why: &str| {
            let why = format!("'{}' {why}", shorten(text));
            Error::new(Kind::InvalidInput, "read the public key", why).hint(
                "Nothing was changed. Copy what keyring_ward_transport_request() or keyring-ward transport request shows.",
            )
        };
        let short = Some(text).filter(|text| text.len() <= MAX_TEXT);
        let read = short.and_then(|text| CheckedHrpstring::new::<Bech32>(text).ok());
        let none = || bad("is no public key of a request: a character is wrong or missing");
        let read = read.ok_or_else(none)?;
        let key: Vec<u8> = read.byte_iter().take(POINT + 1).collect();
        let key: [u8; POINT] = key.try_into().map_err(|_| none())?;
        let public = Public::new(key).ok_or_else(|| {
            bad("is a key that nobody can have: whoever made it made it wrong, or on purpose so")
        })?;
        // One spelling, in small letters, and of this kind.
        match public.to_string() == text {
            true => Ok(public),
            false => Err(none()),
        }
    }
}

impl std::fmt::Display for Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hrp = Hrp::parse(HRP).map_err(|_| std::fmt::Error)?;
        let text = bech32::encode_lower::<Bech32>(hrp, &self.0).map_err(|_| std::fmt::Error)?;
        f.write_str(&text)
    }
}
