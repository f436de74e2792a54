//! The KEK provider `kmip`: an AES key on a KMIP server, and one call for each opening of a keyring.
//!
//! A data key is made here, and the server encrypts it; Decrypt gives it back. It must never take an address, a mode or a
//! key from the keyring file, only from the configuration, never keep a connection between two operations, and never send
//! the DEK anywhere.

mod client;
mod config;
mod errors;
pub mod message;
mod options;
pub mod ttlv;

pub use config::{Address, DRIVER, KmipConfig};

use super::data_key::{self, DataKey, DataKeys};
use super::{Budget, Kek, Unwrapped};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use crate::secret_source::Warnings;
use crate::text::clean;
use errors::Question;
use message::{Asking, Mode, NoAnswer, Operation, Sealed};

/// The provider's name in stanzas.
pub const PROVIDER: &str = "kmip";

/// A KEK on KMIP servers.
pub struct KmipKek {
    config: KmipConfig,
    warnings: Warnings,
}

impl KmipKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: KmipConfig) -> KmipKek {
        KmipKek {
            config,
            warnings: Warnings::default(),
        }
    }

    fn question(&self, operation: Operation) -> Question<'_> {
        Question {
            op: match operation {
                Operation::Encrypt => "have the KMIP server encrypt a data key",
                Operation::Decrypt => "have the KMIP server decrypt the data key",
                Operation::RngRetrieve => "get random bytes of the KMIP server",
            },
            operation,
            key: &self.config.key,
            place: self.config.place(),
        }
    }

    fn ask<T>(
        &self,
        question: &Question<'_>,
        request: &[u8],
        deadline: Deadline,
        read: impl Fn(&[u8]) -> std::result::Result<T, NoAnswer>,
    ) -> Result<std::result::Result<T, NoAnswer>> {
        client::ask(
            &self.config,
            question,
            request,
            deadline,
            &self.warnings,
            read,
        )
    }

    fn asking<'a>(&'a self, additional: &'a [u8]) -> Asking<'a> {
        Asking {
            version: self.config.version,
            key: &self.config.key,
            mode: self.config.mode,
            additional,
        }
    }
}

/// What GCM binds a data key to at the server.
fn additional(file_id: &[u8; FILE_ID]) -> Vec<u8> {
    [b"keyring-ward/1 kmip", &file_id[..]].concat()
}

impl DataKeys for KmipKek {
    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn params(&self) -> Vec<u8> {
        vec![self.config.mode as u8]
    }

    fn new_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        deadline: Deadline,
    ) -> Result<DataKey> {
        let question = self.question(Operation::Encrypt);
        let plaintext = pool.random(message::KEY)?;
        let mut iv = vec![0; self.config.mode.iv()];
        fill_random(&mut iv)?;
        let additional = additional(file_id);
        let asking = self.asking(&additional);
        let request = asking.encrypt(&iv, &plaintext);
        let read = |answer: &[u8]| asking.encrypted(answer, &iv);
        let sealed = self.ask(&question, &request, deadline, read)?;
        let sealed = sealed.map_err(|no| question.without(no))?;
        Ok(DataKey {
            plaintext,
            ciphertext: sealed.to_bytes(),
            key_ref: self.config.key.clone(),
        })
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        const OP: &str = "open the keyring file";
        if stanza.key_ref != self.config.key {
            let why = format!(
                "its DEK is wrapped by the KMIP key '{}', the configuration names '{}'",
                clean(&stanza.key_ref),
                clean(&self.config.key)
            );
            return Err(Error::new(Kind::WrongKek, OP, why).hint(
                "Add that key to previous_key_ids, or put back the keyring file that belongs to the configured key. Nothing was changed.",
            ));
        }
        if stanza.params != self.params() {
            let why = "its DEK is wrapped with another mode of the KMIP server than the configuration says";
            return Err(Error::new(Kind::WrongKek, OP, why).hint(
                "Put mode back, or use keyring-ward rekey to wrap the DEK with another one. Nothing was changed.",
            ));
        }
        Ok(())
    }

    fn open_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        _: &Stanza,
        ciphertext: &[u8],
        deadline: Deadline,
    ) -> Result<SecretBytes> {
        let question = self.question(Operation::Decrypt);
        let sealed = Sealed::from_bytes(ciphertext, self.config.mode);
        let sealed = sealed.ok_or_else(|| errors::changed(&question))?;
        let additional = additional(file_id);
        let asking = self.asking(&additional);
        let request = asking.decrypt(&sealed);
        let read = |answer: &[u8]| asking.decrypted(answer).map(|key| pool.copy(key));
        let key = match self.ask(&question, &request, deadline, read)? {
            Ok(key) => key,
            // What was changed may end in a padding of another length.
            Err(NoAnswer::Length(_)) if self.config.mode == Mode::Cbc => {
                Err(errors::changed(&question))
            }
            Err(no) => Err(question.without(no)),
        };
        wipe_stack();
        key
    }
}

impl Kek for KmipKek {
    fn describe(&self) -> String {
        let key = clean(&self.config.key);
        format!("KMIP key '{key}' ({})", self.config.place())
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
        stanza.provider == PROVIDER
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        let opened = data_key::unwrap(self, pool, file_id, stanza, budget.deadline());
        opened.map_err(|e| match (e.kind(), self.config.mode) {
            (Kind::Tampered, Mode::Cbc) => errors::changed(&self.question(Operation::Decrypt)),
            _ => e,
        })
    }

    /// What the first write and the next start will need: the key may be allowed to do one of them only. The data key is
    /// thrown away.
    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        let stanza = self.wrap(pool, &[0; FILE_ID], &Part::whole(&[0; KEY]), deadline)?;
        let mut budget = Budget::new(deadline);
        self.unwrap(pool, &[0; FILE_ID], &stanza, &mut budget)
            .map(drop)
    }

    fn has_generator(&self) -> bool {
        true
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        let question = self.question(Operation::RngRetrieve);
        let asking = self.asking(&[]);
        let wanted = i32::try_from(length).unwrap_or(i32::MAX);
        let request = asking.random(wanted);
        let read = |answer: &[u8]| asking.drawn(answer, length).map(|bytes| pool.copy(bytes));
        let bytes = self.ask(&question, &request, deadline, read)?;
        bytes.map_err(|no| question.without(no))?
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
