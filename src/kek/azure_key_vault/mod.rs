//! The KEK provider `azure_key_vault`: a key in Azure Key Vault or a Managed HSM, and one call for each opening of a keyring.
//!
//! A data key that is made here wraps the DEK on this machine; `wrapkey` gives its copy under the current version of the
//! key, which goes into the stanza with that version; `unwrapkey` gives it back. A disabled key goes on wrapping, so that a
//! wrap is proved by unwrapping it at once. It must never take vault or key from the keyring file, only from the
//! configuration, never keep a token between two operations, and never send the DEK anywhere.

mod answer;
mod certificate;
mod client;
mod config;
mod environment;
mod errors;
mod login;
mod names;
mod options;
mod rights;
mod settings;
pub mod trial;

pub use config::{AzureKeyVaultConfig, DRIVER};
pub use errors::Step;

use super::data_key::{self, DataKey, DataKeys, KeyService};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY, equal};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::Warnings;
use crate::text::{clean, hex};
use answer::Wrapped;
use client::Session;
use config::Algorithm;
use data_encoding::BASE64URL_NOPAD;
use errors::about_the_key;
use names::VERSION;

const OPEN: &str = "open the keyring file";

/// A KEK in Azure Key Vault or a Managed HSM.
pub struct AzureKeyVaultKek {
    config: AzureKeyVaultConfig,
    warnings: Warnings,
}

impl AzureKeyVaultKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: AzureKeyVaultConfig) -> AzureKeyVaultKek {
        AzureKeyVaultKek {
            config,
            warnings: Warnings::default(),
        }
    }

    /// Begins an operation: a token, which ends with it.
    fn session(&self, pool: &SecretPool, deadline: Deadline) -> Result<Session<'_>> {
        let end = Deadline::after(self.config.attempt_timeout.min(deadline.remaining()));
        Session::begin(&self.config, pool, &self.warnings, end)
    }

    fn wrap_data_key(
        &self,
        session: &Session<'_>,
        pool: &SecretPool,
        plaintext: &[u8],
    ) -> Result<Wrapped> {
        let asked = about_the_key(&self.config, Step::Wrap);
        let text = data_key::to_base64url(pool, plaintext)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let version = self.config.key_version.as_ref();
        let answer = session.call(&asked, Step::Wrap, version, text)?;
        answer::wrapped(&asked, &self.config, &answer)
    }

    fn unwrap_data_key(
        &self,
        session: &Session<'_>,
        pool: &SecretPool,
        (version, value): (&[u8; VERSION], &[u8]),
    ) -> Result<SecretBytes> {
        let asked = about_the_key(&self.config, Step::Unwrap);
        let text = BASE64URL_NOPAD.encode(value);
        let answer = session
            .call(&asked, Step::Unwrap, Some(version), &text)
            .map_err(|e| e.context(format!("version {}", hex(version))))?;
        answer::data_key(&asked, pool, &answer)
    }
}

/// What stands in a stanza's parameters.
fn version_of(stanza: &Stanza) -> Option<[u8; VERSION]> {
    stanza.params.as_slice().try_into().ok()
}

/// What is in the file is none of what this provider writes.
fn changed(why: &str) -> Error {
    Error::new(Kind::Tampered, OPEN, why)
        .hint("Restore the file from a backup. Nothing was changed.")
}

impl DataKeys for AzureKeyVaultKek {
    fn provider(&self) -> &'static str {
        options::NAME
    }

    /// The version that wrapped, which the reference ends with.
    fn params_of(&self, key: &DataKey) -> Vec<u8> {
        let version = key.key_ref.rsplit('/').next().and_then(names::version);
        version.map(Vec::from).unwrap_or_default()
    }

    fn new_data_key(
        &self,
        pool: &SecretPool,
        _: &[u8; FILE_ID],
        deadline: Deadline,
    ) -> Result<DataKey> {
        let session = self.session(pool, deadline)?;
        let plaintext = pool.random(KEY)?;
        let wrapped = self.wrap_data_key(&session, pool, &plaintext)?;
        let back = self.unwrap_data_key(&session, pool, (&wrapped.version, &wrapped.value))?;
        if !equal(&back, &plaintext) {
            let asked = about_the_key(&self.config, Step::Unwrap);
            return Err(asked.odd_answer("another data key than it had wrapped"));
        }
        Ok(DataKey {
            plaintext,
            ciphertext: wrapped.value,
            key_ref: self.config.identifier(&wrapped.version),
        })
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        // The same key may be reached by another host, or be restored into another vault; its name stays.
        let name = stanza.key_ref.rsplit('/').nth(1).unwrap_or_default();
        if !name.eq_ignore_ascii_case(&self.config.key) {
            return Err(Error::new(
                Kind::WrongKek,
                OPEN,
                format!(
                    "its DEK is wrapped by '{}', the configuration names '{}/keys/{}'",
                    clean(&stanza.key_ref),
                    self.config.vault_url,
                    self.config.key
                ),
            )
            .hint("Name that key, or put back the keyring file that belongs to the configured key; keyring-ward rekey goes from one key to another. Nothing was changed."));
        }
        match version_of(stanza) {
            Some(_) => Ok(()),
            None => Err(changed(
                "its stanza has parameters that this provider never writes",
            )),
        }
    }

    fn open_data_key(
        &self,
        pool: &SecretPool,
        _: &[u8; FILE_ID],
        stanza: &Stanza,
        ciphertext: &[u8],
        deadline: Deadline,
    ) -> Result<SecretBytes> {
        const NONE: &str = "the wrapped data key in the keyring file is none that Azure gives";
        let version = version_of(stanza).ok_or_else(|| changed(NONE))?;
        if !self.config.algorithm.gives(ciphertext.len()) {
            return Err(self
                .of_another_algorithm(ciphertext)
                .unwrap_or_else(|| changed(NONE)));
        }
        let session = self.session(pool, deadline)?;
        let opened = self.unwrap_data_key(&session, pool, (&version, ciphertext));
        opened.map_err(|e| match e.kind() {
            Kind::NotFound if stanza.key_ref != self.config.identifier(&version) => e.context(
                format!("the DEK was wrapped by '{}'", clean(&stanza.key_ref)),
            ),
            _ => e,
        })
    }
}

impl AzureKeyVaultKek {
    /// The error for a wrapped data key that has the length of the other algorithm's; `None`: it has not.
    fn of_another_algorithm(&self, ciphertext: &[u8]) -> Option<Error> {
        let other = [Algorithm::RsaOaep256, Algorithm::A256Kw]
            .into_iter()
            .find(|other| other.gives(ciphertext.len()))?;
        let why = format!(
            "its DEK is wrapped by {}, the configuration says {}",
            other.name(),
            self.config.algorithm.name()
        );
        Some(Error::new(Kind::WrongKek, OPEN, why).hint(
            "Put algorithm back, with the key that it was for; keyring-ward rekey goes from one key to another. Nothing was changed.",
        ))
    }
}

impl KeyService for AzureKeyVaultKek {
    fn describe(&self) -> String {
        let kind = match self.config.resource.hsm {
            true => "Azure Managed HSM",
            false => "Azure Key Vault",
        };
        format!(
            "{kind} key '{}' ({})",
            self.config.key, self.config.vault_url
        )
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
