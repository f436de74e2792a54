//! The KEK provider `age`: the DEK is wrapped for public keys (age-encryption.org/v1) whose secret keys are kept elsewhere.
//!
//! Owns the way through age: a data key of its own goes into an age file, and seals the DEK with the stanza as associated
//! data (`data_key`), because age has none. It must never need a secret to wrap, and never be the only thing that says which
//! keyring is ours: whoever knows a public key can wrap a DEK of his own for it, so that a keyring which is opened with an
//! identity wants a pinned fingerprint, as under `rsa-oaep-sha256`.

mod config;
mod identity;
mod recipient;

pub use config::{AgeConfig, DRIVER};

use super::data_key::{self, DataKey, DataKeys};
use super::{Budget, Kek, Unwrapped};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use crate::secret_source::Warnings;
use identity::Identity;
use recipient::Recipient;
use std::io::{Read, Write};

const NAME: &str = "age";

/// A KEK of age's.
struct AgeKek {
    config: AgeConfig,
    warnings: Warnings,
}

impl AgeKek {
    fn new(config: AgeConfig) -> AgeKek {
        AgeKek {
            config,
            warnings: Warnings::default(),
        }
    }

    /// The names of the recipients, for people and for the stanza.
    fn names(&self) -> String {
        let names: Vec<String> = self.config.recipients.iter().map(Recipient::name).collect();
        names.join(", ")
    }

    /// The secret keys, which are read anew each time.
    ///
    /// # Errors
    /// Config: none is named. As [`identity::read`].
    fn identities(&self, pool: &SecretPool) -> Result<Vec<Identity>> {
        let Some(source) = &self.config.identity else {
            let why = format!(
                "the secret key of {} is not on this machine",
                self.describe()
            );
            return Err(Error::new(Kind::Config, "open the keyring file", why).hint(
                "Bring it, name it by --kek-option KEK.identity_file=FILE (short form: --option age_identity_file=FILE), and take it away again. \
                 Nothing was changed.",
            ));
        };
        let mut warnings = Vec::new();
        let found = identity::read(pool, source, &mut warnings);
        self.warnings.add(warnings);
        found
    }
}

impl DataKeys for AgeKek {
    fn provider(&self) -> &'static str {
        NAME
    }

    fn params(&self) -> Vec<u8> {
        Vec::new()
    }

    fn new_data_key(
        &self,
        pool: &SecretPool,
        _file_id: &[u8; FILE_ID],
        _deadline: Deadline,
    ) -> Result<DataKey> {
        let plaintext = pool.random(KEY)?;
        let ciphertext = seal(&self.config.recipients, &plaintext)?;
        Ok(DataKey {
            plaintext,
            ciphertext,
            key_ref: self.names(),
        })
    }

    fn check(&self, _stanza: &Stanza) -> Result<()> {
        // The recipients may have changed since: the secret keys that are named decide.
        Ok(())
    }

    fn open_data_key(
        &self,
        pool: &SecretPool,
        _file_id: &[u8; FILE_ID],
        _stanza: &Stanza,
        ciphertext: &[u8],
        _deadline: Deadline,
    ) -> Result<SecretBytes> {
        let identities = self.identities(pool)?;
        open(pool, &identities, ciphertext)?.ok_or_else(|| {
            let why = "no identity that is named opens the stanza";
            Error::new(Kind::WrongKek, "open the keyring file", why)
        })
    }
}

/// An age file for `recipients` with a data key in it.
///
/// # Errors
/// Internal: age refused a recipient that was read well, or wrote nothing.
fn seal(recipients: &[Recipient], key: &[u8]) -> Result<Vec<u8>> {
    // Not age's own sentence: it would bring its translations.
    let refused = || Error::new(Kind::Internal, "wrap the DEK", "age refused a recipient");
    let recipients = recipients.iter().map(Recipient::as_age);
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|_| refused())?;
    let mut file = Vec::with_capacity(data_key::MAX_CIPHERTEXT);
    let mut writer = encryptor.wrap_output(&mut file).map_err(|_| refused())?;
    writer.write_all(key).map_err(|_| refused())?;
    writer.finish().map_err(|_| refused())?;
    wipe_stack();
    Ok(file)
}

/// The data key in an age file. `None`: it is for others, was changed, or holds something else.
fn open(pool: &SecretPool, identities: &[Identity], file: &[u8]) -> Result<Option<SecretBytes>> {
    let identities = identities.iter().map(|identity| &*identity.key);
    let reader = age::Decryptor::new_buffered(file).and_then(|file| file.decrypt(identities));
    let Ok(mut reader) = reader else {
        return Ok(None);
    };
    // One byte more, to see the end: it is what the last authentication is for.
    let mut key = pool.zeroed(KEY + 1)?;
    let mut filled = 0;
    let whole = loop {
        match reader.read(&mut key[filled..]) {
            Ok(0) => break filled == KEY,
            Ok(n) => filled += n,
            Err(_) => break false,
        }
        if filled > KEY {
            break false;
        }
    };
    wipe_stack();
    key.truncate(KEY);
    Ok(whole.then_some(key))
}

impl Kek for AgeKek {
    fn describe(&self) -> String {
        match self.config.recipients.len() {
            1 => format!("age recipient {}", self.names()),
            _ => format!("age recipients {}", self.names()),
        }
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        data_key::wrap(self, pool, file_id, part, deadline)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == NAME
    }

    /// For the same recipients, in whatever order.
    fn could_have_made(&self, stanza: &Stanza) -> bool {
        let names = self.names();
        let sorted = |names: &str| {
            let mut each: Vec<String> = names.split(", ").map(String::from).collect();
            each.sort_unstable();
            each
        };
        self.is_mine(stanza) && sorted(&stanza.key_ref) == sorted(&names)
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        match data_key::unwrap(self, pool, file_id, stanza, budget.deadline()) {
            // Anybody can write an age file for the recipient: one in a stanza that was changed, or is another file's, says
            // no more than one for somebody else.
            Err(e) if matches!(e.kind(), Kind::WrongKek | Kind::Tampered) => {
                Ok(Unwrapped::WrongKey)
            }
            other => other,
        }
    }

    fn probe(&self, pool: &SecretPool, _deadline: Deadline) -> Result<()> {
        let Some(source) = &self.config.identity else {
            return Ok(());
        };
        let identities = self.identities(pool)?;
        let fits = |identity: &Identity| self.config.recipients.contains(&identity.recipient);
        if identities.iter().any(fits) {
            return Ok(());
        }
        let why = format!("{source} has no secret key of {}", self.describe());
        Err(Error::new(Kind::InvalidInput, "read the age identity", why).hint(
            "Name the file whose public key is the recipient: age-keygen -y FILE, or ssh-keygen -y -f FILE, shows it.",
        ))
    }

    fn opens_here(&self) -> bool {
        self.config.identity.is_some()
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}

#[cfg(test)]
mod tests;
