//! The KEK provider `alibaba_kms`: a key in Alibaba Cloud KMS, and one key call for each opening of a keyring.
//!
//! GenerateDataKey gives a key that wraps the DEK on this machine, and its copy under the KMS key, bound to the file by
//! the encryption context, which goes into the stanza; Decrypt gives it back. It must never take endpoint, region or key
//! from the keyring file, only from the configuration, never keep credentials between two operations, and never send the
//! DEK anywhere.

mod access_key;
mod answer;
mod client;
mod config;
mod credentials;
mod ecs;
mod environment;
mod errors;
mod key;
mod names;
mod options;
mod policy;
mod settings;
mod sign;
mod sts;
pub mod trial;

pub use config::{AlibabaKmsConfig, DRIVER};

use super::cloud::Question;
use super::data_key::{DataKey, DataKeys, KeyService};
use crate::deadline::Deadline;
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::Warnings;
use crate::text::{clean, hex};
use answer::Members;
use client::Session;
use data_encoding::BASE64;
use errors::Action;

/// A KEK in Alibaba Cloud KMS.
pub struct AlibabaKmsKek {
    config: AlibabaKmsConfig,
    warnings: Warnings,
}

impl AlibabaKmsKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: AlibabaKmsConfig) -> AlibabaKmsKek {
        AlibabaKmsKek {
            config,
            warnings: Warnings::default(),
        }
    }

    fn question<'a>(&'a self, op: &'static str, action: Action, key: &'a str) -> Question<'a> {
        Question {
            op,
            call: action.permission(),
            key,
            place: &self.config.endpoint,
            service: "Alibaba Cloud KMS",
            options: "region, endpoint and proxy",
        }
    }

    /// One operation: credentials, one call, done.
    fn call(
        &self,
        asked: &Question<'_>,
        pool: &SecretPool,
        action: Action,
        parameters: &[(&str, &str)],
        deadline: Deadline,
    ) -> Result<Members> {
        let end = Deadline::after(self.config.attempt_timeout.min(deadline.remaining()));
        let session = Session::begin(&self.config, pool, &self.warnings, end)?;
        session.call(asked, action, parameters)
    }

    /// The new data key of an answer.
    fn take_new(
        &self,
        asked: &Question<'_>,
        pool: &SecretPool,
        answer: &Members,
    ) -> Result<DataKey> {
        let key_ref = answer::key_id(asked, answer)?;
        if self.config.key.id().is_some_and(|id| id != key_ref) {
            return Err(asked.odd_answer("the id of another key"));
        }
        Ok(DataKey {
            plaintext: answer::data_key(asked, pool, answer)?,
            ciphertext: answer::ciphertext(asked, answer)?,
            key_ref: key_ref.into(),
        })
    }

    /// The data key of an answer that must come from the key `key_ref`. Decrypt is told no key: the ciphertext names it,
    /// and so could name any that this identity may use.
    fn take_back(
        &self,
        asked: &Question<'_>,
        pool: &SecretPool,
        answer: &Members,
        key_ref: &str,
    ) -> Result<SecretBytes> {
        let used = answer::key_id(asked, answer)?;
        if used != key_ref {
            let why = format!("the wrapped data key is under another key, '{used}'");
            return Err(asked.error(Kind::Tampered, why).hint(
                "The keyring file was changed: restore it from a backup. Nothing was changed.",
            ));
        }
        answer::data_key(asked, pool, answer)
    }

    /// The key that must have wrapped the DEK: the configured one. An alias does not say which that is: then the stanza's.
    fn key_of<'a>(&'a self, stanza: &'a Stanza) -> &'a str {
        self.config.key.id().unwrap_or(&stanza.key_ref)
    }
}

/// What the data key is bound to at KMS; ActionTrail shows it.
fn encryption_context(file_id: &[u8; FILE_ID]) -> String {
    format!(
        r#"{{"product":"keyring-ward","file-id":"{}"}}"#,
        hex(file_id)
    )
}

impl DataKeys for AlibabaKmsKek {
    fn provider(&self) -> &'static str {
        options::NAME
    }

    fn params(&self) -> Vec<u8> {
        Vec::new()
    }

    fn new_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        deadline: Deadline,
    ) -> Result<DataKey> {
        const OP: &str = "get a data key from Alibaba Cloud KMS";
        let action = Action::GenerateDataKey;
        let key = self.config.key.as_str();
        let asked = self.question(OP, action, key);
        let context = encryption_context(file_id);
        let parameters = [
            ("KeyId", key),
            ("KeySpec", "AES_256"),
            ("EncryptionContext", &context),
        ];
        let answer = self.call(&asked, pool, action, &parameters, deadline)?;
        self.take_new(&asked, pool, &answer)
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        const OP: &str = "open the keyring file";
        // A key's id never changes, so another one is another key.
        if self.key_of(stanza) != stanza.key_ref {
            let why = format!(
                "its DEK is wrapped by '{}', the configuration names '{}'",
                clean(&stanza.key_ref),
                self.config.key
            );
            return Err(Error::new(Kind::WrongKek, OP, why).hint("Name that key in key_id, or put back the keyring file that belongs to the configured key; keyring-ward rekey goes from one key to another. Nothing was changed."));
        }
        if !stanza.params.is_empty() || !key::is_id(&stanza.key_ref) {
            let why = "its stanza has parameters or a key that this provider never writes";
            return Err(Error::new(Kind::Tampered, OP, why)
                .hint("Restore the file from a backup. Nothing was changed."));
        }
        Ok(())
    }

    fn open_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        ciphertext: &[u8],
        deadline: Deadline,
    ) -> Result<SecretBytes> {
        const OP: &str = "have Alibaba Cloud KMS decrypt the data key";
        let action = Action::Decrypt;
        let key = self.key_of(stanza);
        let asked = self.question(OP, action, key);
        let (ciphertext, context) = (BASE64.encode(ciphertext), encryption_context(file_id));
        let parameters = [
            ("CiphertextBlob", &*ciphertext),
            ("EncryptionContext", &context),
        ];
        let answer = self.call(&asked, pool, action, &parameters, deadline)?;
        self.take_back(&asked, pool, &answer, key)
    }
}

impl KeyService for AlibabaKmsKek {
    fn describe(&self) -> String {
        let (key, endpoint) = (&self.config.key, &self.config.endpoint);
        format!("Alibaba Cloud KMS key '{key}' ({endpoint})")
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
