//! Key pairs as logical keys: each version is a pair, whose private half is its key.
//!
//! Owns which version signs and which ones verify. It must never let anybody wait for the store while a pair is made.

use super::logical::{New, Wanted};
use super::sealing::Opens;
use super::*;
use crate::key::extensions::PAIR;
use crate::key::info::KeyType;
use crate::key::logical::State;
use crate::key_pair::{Algorithm, KeyPair};

const USE: &str = "use the key pair";

impl By<'_> {
    /// Makes a logical key with version 1, which is current, of a new key pair.
    ///
    /// # Errors
    /// AlreadyExists: the name, or one that ends in @ and a number, is taken. As [`By::generate`].
    pub fn create_pair(&self, id: &KeyId, algorithm: Algorithm, wanted: &Wanted) -> Result<()> {
        if wanted.follow {
            let why = "the private half of a key pair is given to nobody";
            let error = Error::new(Kind::InvalidInput, "make the key pair", why);
            return Err(error.hint("Leave follow out. Nothing was changed."));
        }
        // Nobody makes pairs for nothing, nor while writers wait.
        self.check_absent(id)?;
        let new = self.new_pair(algorithm)?;
        self.create_of(id, wanted, || Ok(new))
    }

    /// A new pair for the next version of a logical key of pairs; `None`: it has none.
    pub(super) fn next_pair(&self, id: &KeyId) -> Result<Option<New>> {
        let newest = self.with_family(id, |family| family.keys.newest().clone())?;
        let Some(tag) = pair_tag(&newest) else {
            return Ok(None);
        };
        let algorithm = KeyPair::read(tag, self.whole(newest)?.material())?.algorithm()?;
        self.new_pair(algorithm).map(Some)
    }

    fn new_pair(&self, algorithm: Algorithm) -> Result<New> {
        Ok(New {
            key_type: KeyType::new(algorithm.key_type().as_bytes())?,
            material: algorithm.generate(&self.pool)?,
            pair: Some(algorithm.tag()),
            random: None,
        })
    }
}

impl Keyring {
    /// A version's pair, with its number; `None`: of the current one, which signs.
    ///
    /// # Errors
    /// NotFound: there is no such logical key or version. KeyState: none is current, or it is compromised or destroyed, or its time is
    /// over. InvalidInput: its keys are no pairs.
    pub fn pair(&self, id: &KeyId, number: Option<u32>) -> Result<(u32, KeyPair)> {
        let chosen = match number {
            None => self.current_version(id, USE)?,
            Some(number) => self.opening_version(id, USE, number, Opens::Sound)?,
        };
        let pair = self.read_pair(id, chosen.number, chosen.key)?;
        Ok((chosen.number, pair))
    }

    /// Whether a signature is one of `data` by any version that is or was current, and is not compromised.
    ///
    /// # Errors
    /// As [`Keyring::pair`].
    pub fn verify_by_pair(&self, id: &KeyId, data: &[u8], signature: &[u8]) -> Result<bool> {
        let versions = self.choose(id, USE, |family| {
            let counts = |number: &u32| {
                let state = family.logical().version(*number).map(|v| v.state);
                matches!(state, Some(State::Active | State::Deactivated))
            };
            Ok(family
                .keys
                .iter()
                .map(|(n, _)| n)
                .filter(counts)
                .rev()
                .collect())
        })?;
        for version in versions {
            let pair = self.read_pair(id, version.number, version.key)?;
            if pair.verifies(data, signature) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn read_pair(&self, id: &KeyId, number: u32, key: KnownKey) -> Result<KeyPair> {
        let Some(tag) = pair_tag(&key) else {
            let why = format!("version {number} of {id} is no key pair");
            let error = Error::new(Kind::InvalidInput, USE, why);
            return Err(error.hint("keyring_ward_keypair_generate() makes one."));
        };
        KeyPair::read(tag, self.whole(key)?.material()).map_err(|e| e.context(id))
    }
}

/// What a key's extension says of the pair that it is half of.
fn pair_tag(key: &KeyInfo) -> Option<u8> {
    key.said(PAIR)?.first().copied()
}
