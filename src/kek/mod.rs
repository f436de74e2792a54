//! KEKs: what wraps the DEK.
//!
//! Owns the trait [`Kek`], the [`Stanza`] that a KEK writes and reads, the table of providers ([`drivers`]), and the KEKs of
//! one keyring ([`Keks`]): who opens it (`rounds`, `search`), and who holds which part (`share`). A provider must never
//! write a retry, a timeout or a lock of its own, and never take a reference (endpoint, module, key) from the file: only
//! KEKs that the configuration names are tried.

pub(crate) mod adapter;
pub mod age;
pub mod alibaba_kms;
pub mod answers;
mod auth;
pub(crate) mod away;
pub mod aws_kms;
pub mod azure_key_vault;
mod cloud;
pub mod completing;
mod data_key;
mod drawing;
pub mod drivers;
pub mod file;
pub mod gcp_kms;
pub mod keks;
pub mod kmip;
mod local;
mod make;
pub mod member;
pub mod oci_vault;
pub mod pkcs11;
pub mod randomness;
mod rounds;
mod search;
pub mod settings;
mod share;
mod token_file;
#[cfg(feature = "toy-provider")]
#[path = "../../tests/support/toy/mod.rs"]
mod toy;
pub mod vault;
mod web;
mod wrapping;

pub use keks::{Keks, Used};
pub use rounds::{Opened, Proof};
pub use search::open_dek;
pub use settings::KekConfig;

use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source;

/// Most bytes that a KEK's generator is asked for at once: as many as every service gives in one call.
pub const MOST_RANDOM: usize = 1024;

/// What became of a stanza.
pub enum Unwrapped {
    /// The stanza belongs to another provider.
    NotMine,
    /// This provider's stanza, but this KEK did not wrap it, or it was changed.
    WrongKey,
    /// The part of the DEK.
    Opened(SecretBytes),
}

/// What is known of a KEK that is not on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// Attempts, successful or not.
    pub calls: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// When it answered last, in seconds since 1970.
    pub last_success: Option<i64>,
    /// What was wrong last.
    pub last_error: Option<String>,
}

impl Contact {
    /// Counts an attempt and how it ended.
    pub fn note(&mut self, error: Option<&Error>) {
        self.calls += 1;
        match error {
            None => self.last_success = Some(crate::os::unix_seconds()),
            Some(e) => {
                self.errors += 1;
                self.last_error = Some(e.to_string());
            }
        }
    }
}

/// A key-encryption key: wrap, unwrap, probe. Nothing else belongs into a provider.
///
/// What may pass by itself is reported as [`Kind::Unreachable`]: the adapter tries that again.
pub trait Kek: Send + Sync {
    /// For people: provider and where its key comes from; no secret.
    fn describe(&self) -> String;

    /// Wraps a part of exactly 32 bytes for the file `file_id`. The stanza names the part's holder ([`Stanza::begin`]).
    ///
    /// # Errors
    /// The KEK can't be read or reached.
    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza>;

    /// The stanza is of this provider.
    fn is_mine(&self, stanza: &Stanza) -> bool;

    /// The stanza looks like one that this KEK would make now. It decides where nobody can ask: a KEK whose secret is kept
    /// elsewhere.
    fn could_have_made(&self, stanza: &Stanza) -> bool {
        self.is_mine(stanza)
    }

    /// Tries to unwrap a stanza. `budget` bounds what all stanzas of a file may cost together, in
    /// memory and in time.
    ///
    /// # Errors
    /// The KEK can't be read or reached, or the stanza's parameters are out of bounds.
    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped>;

    /// Checks that the KEK is there, without touching a keyring file.
    ///
    /// # Errors
    /// It is not.
    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()>;

    /// Whether its secret is good enough for a keyring that is made now, or comes under this KEK now. What a keyring
    /// is under already is opened whatever it is.
    ///
    /// # Errors
    /// InvalidInput: it is too weak. The KEK can't be read.
    fn check_new(&self, _pool: &SecretPool) -> Result<()> {
        Ok(())
    }

    /// It has a random generator of its own.
    fn has_generator(&self) -> bool {
        false
    }

    /// `length` bytes of its generator, 1 to [`MOST_RANDOM`]. They are never used alone.
    ///
    /// # Errors
    /// Config: it has none. It can't be reached.
    fn random(
        &self,
        _pool: &SecretPool,
        _length: usize,
        _deadline: Deadline,
    ) -> Result<SecretBytes> {
        Err(no_generator(&self.describe()))
    }

    /// It can unwrap here what it has wrapped. One that wraps for a public key whose secret is kept elsewhere can't: it is
    /// proved where the secret is.
    fn opens_here(&self) -> bool {
        true
    }

    /// The last contact, for KEKs that are not on this machine.
    fn contact(&self) -> Option<Contact> {
        None
    }

    /// Sentences for the log that came up since the last call.
    fn take_warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The KEK that is described so has no generator.
fn no_generator(kek: &str) -> Error {
    let why = format!("the {kek} has no random generator");
    Error::new(Kind::Config, "get random bytes of a KEK", why)
        .hint("Take random=kek out, or name a KEK that has one (docs/guide/randomness.md).")
}

/// What the stanzas of one file may cost together in memory × passes of Argon2id: a crafted file
/// must not hold the server's start.
pub struct Budget {
    kib_passes: u64,
    deadline: Deadline,
    once: bool,
}

impl Budget {
    /// 4 GiB times one pass, which is twenty times what a stanza of ours costs, until `deadline`.
    pub fn new(deadline: Deadline) -> Budget {
        Budget {
            kib_passes: 4 << 20,
            deadline,
            once: false,
        }
    }

    /// From here on each KEK is asked once, until `deadline`: who calls tries again. What was spent stays spent.
    pub(crate) fn ask_once_until(&mut self, deadline: Deadline) {
        (self.once, self.deadline) = (true, deadline);
    }

    /// A KEK is asked once only, see [`Budget::ask_once_until`].
    pub(crate) fn is_for_one_attempt(&self) -> bool {
        self.once
    }

    /// When all of it has to be over.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn spend(&mut self, kib: u32, passes: u32) -> Result<()> {
        let cost = u64::from(kib) * u64::from(passes);
        match self.kib_passes.checked_sub(cost) {
            Some(rest) => {
                self.kib_passes = rest;
                Ok(())
            }
            None => Err(Error::new(
                Kind::Tampered,
                "derive the key from the passphrase",
                "the passphrase stanzas of the file ask for more memory and time than is allowed",
            )
            .hint("This is not a file that Keyring Ward wrote; restore it from a backup.")),
        }
    }
}

/// Both KEKs are made of the same secret of this machine, whatever kind of KEK it is used as.
///
/// # Errors
/// The second one can't be read.
pub fn same_secret(pool: &SecretPool, old: &KekConfig, new: &KekConfig) -> Result<bool> {
    const OP: &str = "compare the secrets";
    let (Some(old), Some(new)) = (old.own_secret(), new.own_secret()) else {
        return Ok(false);
    };
    // The old one was read to open the keyring; where it has gone since, it is not the new one.
    let Ok(old) = secret_source::read(pool, OP, old) else {
        return Ok(false);
    };
    let new = secret_source::read(pool, OP, new)?;
    Ok(equal(line(&old), line(&new)))
}

/// A passphrase file's line without its end.
fn line(secret: &[u8]) -> &[u8] {
    let line = secret.strip_suffix(b"\n").unwrap_or(secret);
    line.strip_suffix(b"\r").unwrap_or(line)
}
