//! The KEK provider `vault`: a key of a transit engine in HashiCorp Vault or OpenBao, and one call for each opening of a
//! keyring.
//!
//! A data key that is made here wraps the DEK on this machine; `encrypt` gives its copy under Vault's key, bound to the
//! file by associated data, which goes into the stanza; `decrypt` gives it back. Vault's own `datakey` is not used: in
//! HashiCorp's it knows no associated data. It must never take address, mount or key from the keyring file, only from the
//! configuration, never keep a token between two operations, and never send the DEK anywhere.

mod answer;
mod client;
mod config;
mod errors;
mod names;
mod options;
mod policy;
mod settings;
pub mod trial;

pub use config::{DRIVER, Login, VaultConfig};
pub use errors::Step;

use super::data_key::{self, DataKey, DataKeys, KeyService};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::Warnings;
use crate::text::{clean, hex};
use client::Session;
use data_encoding::BASE64;
use errors::Question;
use serde_json::{Map, Value};

/// A KEK in Vault.
pub struct VaultKek {
    config: VaultConfig,
    warnings: Warnings,
}

impl VaultKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: VaultConfig) -> VaultKek {
        VaultKek {
            config,
            warnings: Warnings::default(),
        }
    }

    fn question(&self, op: &'static str, step: Step) -> Question<'_> {
        Question {
            op,
            step,
            config: &self.config,
        }
    }

    fn session(&self, pool: &SecretPool, deadline: Deadline) -> Result<Session<'_>> {
        let end = Deadline::after(self.config.attempt_timeout.min(deadline.remaining()));
        Session::begin(&self.config, pool, &self.warnings, end)
    }

    /// One operation: a token, one call, done. `given` is what Vault shall work upon.
    fn call(
        &self,
        asked: &Question<'_>,
        pool: &SecretPool,
        given: (&str, &str),
        file_id: &[u8; FILE_ID],
        deadline: Deadline,
    ) -> Result<Map<String, Value>> {
        let session = self.session(pool, deadline)?;
        let bound = BASE64.encode(associated_data(file_id).as_bytes());
        let answer = session.call(asked, &[given, ("associated_data", &bound)]);
        self.warnings.add(session.finish());
        answer
    }
}

/// What Vault binds the data key to.
fn associated_data(file_id: &[u8; FILE_ID]) -> String {
    format!("product=keyring-ward,file-id={}", hex(file_id))
}

impl DataKeys for VaultKek {
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
        let asked = self.question("have Vault encrypt a data key", Step::Encrypt);
        let plaintext = pool.random(KEY)?;
        let text = data_key::to_base64(pool, &plaintext)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let answer = self.call(&asked, pool, ("plaintext", text), file_id, deadline)?;
        Ok(DataKey {
            plaintext,
            ciphertext: answer::ciphertext(&asked, &answer)?.into(),
            key_ref: self.config.key_path(),
        })
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        const OP: &str = "open the keyring file";
        // Mounts and namespaces can be moved, a key can't: only its name says that it is another one.
        let name = stanza.key_ref.rsplit('/').next();
        if name != Some(self.config.key.as_str()) {
            return Err(Error::new(
                Kind::WrongKek,
                OP,
                format!(
                    "its DEK is wrapped by '{}', the configuration names '{}'",
                    clean(&stanza.key_ref),
                    self.config.key_path()
                ),
            )
            .hint("Name that key, or put back the keyring file that belongs to the configured key; keyring-ward rekey goes from one key to another. Nothing was changed."));
        }
        if !stanza.params.is_empty() {
            let why = "its stanza has parameters that this provider never writes";
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
        let asked = self.question("have Vault decrypt the data key", Step::Decrypt);
        let text = std::str::from_utf8(ciphertext).ok();
        let Some(text) = text.filter(|text| names::is_ciphertext(text)) else {
            let why = "the wrapped data key in the keyring file is none that Vault gives";
            return Err(Error::new(Kind::Tampered, asked.op, why)
                .hint("Restore the file from a backup. Nothing was changed."));
        };
        let answer = self.call(&asked, pool, ("ciphertext", text), file_id, deadline);
        let answer = answer.map_err(|e| match e.kind() {
            Kind::WrongKek if stanza.key_ref != self.config.key_path() => e.context(format!(
                "the DEK was wrapped by '{}'",
                clean(&stanza.key_ref)
            )),
            _ => e,
        })?;
        answer::data_key(&asked, pool, &answer)
    }
}

impl KeyService for VaultKek {
    fn describe(&self) -> String {
        format!(
            "Vault key '{}' ({})",
            self.config.key_path(),
            self.config.address
        )
    }

    fn has_generator(&self) -> bool {
        true
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        let asked = self.question("get random bytes of Vault", Step::Random);
        let session = self.session(pool, deadline)?;
        let number = length.to_string();
        let answer = session.call(&asked, &[("bytes", &number), ("format", "base64")]);
        self.warnings.add(session.finish());
        answer::random(&asked, pool, &answer?, length)
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
