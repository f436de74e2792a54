//! The KEK provider `key_file`: a file of at least 32 random bytes, always through HKDF-SHA256.
//!
//! It must never use the file's bytes as a key directly, and never accept a short file.

use super::{Budget, Kek, Unwrapped, local};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, WrapKeys};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool, fill_random};
use crate::secret_source::SecretRef;
use crate::secret_source::{self, Warnings};

/// The provider's name in stanzas.
pub const PROVIDER: &str = "key_file";
const MECHANISM: &str = "hkdf-sha256+aes-256-gcm";
const SALT: usize = 32;
/// Shortest key file in bytes.
pub const MIN_KEY_FILE: usize = 32;
const OP: &str = "read the key file";

/// A key file, or a systemd credential used as one.
pub struct KeyFile {
    source: SecretRef,
    warnings: Warnings,
}

impl KeyFile {
    /// A key file that is read anew each time it is needed.
    pub fn new(source: SecretRef) -> KeyFile {
        KeyFile {
            source,
            warnings: Warnings::default(),
        }
    }

    fn read(&self, pool: &SecretPool) -> Result<SecretBytes> {
        let mut warnings = Vec::new();
        let bytes = secret_source::read_warned(pool, OP, &self.source, &mut warnings)?;
        self.warnings.add(warnings);
        if bytes.len() < MIN_KEY_FILE {
            return Err(Error::new(
                Kind::InvalidInput,
                OP,
                format!("{} has {} bytes, at least {MIN_KEY_FILE} are needed", self.source, bytes.len()),
            )
            .hint(
                "For a keyring that is there, restore the copy of its key file: a new one can't open it. For a new keyring, \
                 keyring-ward init --key-file PATH --generate makes one. Nothing was changed.",
            ));
        }
        Ok(bytes)
    }

    fn derive(&self, pool: &SecretPool, salt: &[u8]) -> Result<WrapKeys> {
        let ikm = self.read(pool)?;
        WrapKeys::derive(pool, &ikm, salt, PROVIDER)
    }
}

impl Kek for KeyFile {
    fn describe(&self) -> String {
        format!("key file {}", self.source)
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        _deadline: Deadline,
    ) -> Result<Stanza> {
        let mut salt = [0; SALT];
        fill_random(&mut salt)?;
        let keys = self.derive(pool, &salt)?;
        local::wrap(&keys, (PROVIDER, MECHANISM), salt.to_vec(), file_id, part)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == PROVIDER && stanza.mechanism == MECHANISM
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        _budget: &mut Budget,
    ) -> Result<Unwrapped> {
        if !self.is_mine(stanza) {
            return Ok(Unwrapped::NotMine);
        }
        if stanza.params.len() != SALT {
            return Err(Error::new(
                Kind::Tampered,
                "read the key file stanza",
                "its parameters have a wrong length",
            )
            .hint("This is not a file that Keyring Ward wrote; restore it from a backup."));
        }
        let keys = self.derive(pool, &stanza.params)?;
        local::unwrap(pool, &keys, file_id, stanza)
    }

    fn probe(&self, pool: &SecretPool, _deadline: Deadline) -> Result<()> {
        self.read(pool).map(drop)
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
