//! The KEK provider `age`: the DEK is wrapped for public keys of age or SSH, whose secret keys are kept elsewhere.
//!
//! Owns the way through recipients: a data key of its own is sealed for each of them (`seal`), and seals the DEK with the
//! stanza as associated data (`data_key`). It must never need a secret to wrap, and never be the only thing that says which
//! keyring is ours: whoever knows a public key can wrap a DEK of his own for it, so that a keyring which is opened with an
//! identity wants a pinned fingerprint, as under `rsa-oaep-sha256`.

mod config;
pub mod hpke;
pub mod identity;
pub mod recipient;
pub mod seal;
mod ssh;
pub mod wrapped;

pub use config::{AgeConfig, DRIVER};

use super::data_key::{self, DataKey, DataKeys};
use super::{Budget, Kek, Unwrapped};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::Warnings;
use crate::text::clean;
use identity::Identity;
use recipient::Recipient;
use wrapped::{Unread, Wrapped};

const NAME: &str = "age";
const OPEN: &str = "open the keyring file";

/// A KEK of recipients.
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
            return Err(Error::new(Kind::Config, OPEN, why).hint(
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
        file_id: &[u8; FILE_ID],
        _deadline: Deadline,
    ) -> Result<DataKey> {
        let plaintext = pool.random(KEY)?;
        let ciphertext = seal(&self.config.recipients, file_id, &plaintext)?;
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
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        ciphertext: &[u8],
        _deadline: Deadline,
    ) -> Result<SecretBytes> {
        let identities = self.identities(pool)?;
        match open(pool, &identities, file_id, ciphertext)? {
            Found::Key(key) => Ok(key),
            Found::Others => Err(others(&identities, stanza)),
            Found::Changed => {
                let why = "the stanza was changed, or is another file's";
                Err(Error::new(Kind::Tampered, OPEN, why))
            }
        }
    }
}

/// What secret keys find in a stanza.
enum Found {
    Key(SecretBytes),
    /// It is for others.
    Others,
    /// It is for one of them, and was changed or is for another file; or it is something else.
    Changed,
}

/// The stanza is for others: who holds one of several secret keys must see which one is wanted. Nothing has authenticated
/// the stanza's names.
fn others(identities: &[Identity], stanza: &Stanza) -> Error {
    let of = identities.iter().take(wrapped::MAX_RECIPIENTS);
    let of: Vec<String> = of.map(|identity| identity.recipient.name()).collect();
    let why = format!(
        "the DEK is wrapped for {}, the secret key that is named is of {}",
        clean(&stanza.key_ref),
        of.join(", ")
    );
    Error::new(Kind::WrongKek, OPEN, why).hint(
        "Name the file of a secret key that belongs to one of the former: age-keygen -y FILE and ssh-keygen -l -f FILE show which \
         it is. Nothing was changed.",
    )
}

/// The data key for all of `recipients`.
///
/// # Errors
/// Internal: one that was tried when it was read is refused now.
fn seal(recipients: &[Recipient], file_id: &[u8; FILE_ID], key: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        sealed.push(recipient.key().seal(file_id, key).ok_or_else(|| {
            Error::new(Kind::Internal, "wrap the DEK", "a recipient was refused")
        })?);
    }
    let each = recipients.iter().zip(&sealed);
    Ok(wrapped::write(each.map(|(recipient, sealed)| Wrapped {
        of: recipient.of(),
        id: recipient.id(),
        sealed,
    })))
}

/// The data key back.
///
/// # Errors
/// UnsupportedVersion: a newer version wrapped it.
fn open(
    pool: &SecretPool,
    identities: &[Identity],
    file_id: &[u8; FILE_ID],
    bytes: &[u8],
) -> Result<Found> {
    let each = match wrapped::read(bytes) {
        Ok(each) => each,
        Err(Unread::Broken) => return Ok(Found::Changed),
        Err(Unread::Version(version)) => {
            let why = format!(
                "its stanza of the provider age has version {version}, which this program does not know"
            );
            return Err(Error::new(Kind::UnsupportedVersion, OPEN, why)
                .hint("It was written by a newer Keyring Ward. Install that version; nothing was changed."));
        }
    };
    let mut found = Found::Others;
    for one in &each {
        // HPKE binds the public key, so that no other secret key could open it.
        let named = |identity: &&Identity| {
            (identity.recipient.of(), identity.recipient.id()) == (one.of, one.id)
        };
        if let Some(identity) = identities.iter().find(named) {
            match identity.key.open(pool, file_id, one.sealed)? {
                Some(key) => return Ok(Found::Key(key)),
                None => found = Found::Changed,
            }
        }
    }
    Ok(found)
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
            // Anybody can wrap for the recipient: a stanza that was changed, or is another file's, is no sign of an attack on
            // this one.
            Err(e) if e.kind() == Kind::Tampered => Ok(Unwrapped::WrongKey),
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
