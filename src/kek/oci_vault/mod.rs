//! The KEK provider `oci_vault`: a key in Oracle Cloud Infrastructure's Vault (KMS), and one call for each opening of a
//! keyring.
//!
//! `generateDataEncryptionKey` gives a key that wraps the DEK on this machine, and its copy under the key in the vault,
//! bound to the file by associated data, which goes into the stanza; `decrypt` gives it back. It must never take an
//! endpoint, a region or a key from the keyring file or from an answer, only from the configuration, never keep a token
//! between two operations, and never send the DEK anywhere.

mod answer;
mod client;
mod config;
mod der;
mod errors;
mod names;
mod options;
mod principal;
mod settings;
mod sign;
pub mod trial;

pub use config::{Auth, DRIVER, InstancePrincipal, OciVaultConfig};
pub use errors::Step;

use super::data_key::{DataKey, DataKeys, KeyService};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::Warnings;
use crate::text::{clean, hex};
use answer::Members;
use client::Session;
use data_encoding::BASE64;
use errors::about_the_key;
use serde_json::{Value, json};

/// A KEK in OCI Vault.
pub struct OciVaultKek {
    config: OciVaultConfig,
    warnings: Warnings,
}

impl OciVaultKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: OciVaultConfig) -> OciVaultKek {
        OciVaultKek {
            config,
            warnings: Warnings::default(),
        }
    }

    /// One operation: a signer, one call, done.
    fn call(
        &self,
        pool: &SecretPool,
        step: Step,
        path: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Members> {
        let end = Deadline::after(self.config.attempt_timeout.min(deadline.remaining()));
        let session = Session::begin(&self.config, pool, &self.warnings, end)?;
        session.call(&about_the_key(&self.config, step), step, path, arguments)
    }
}

/// What OCI binds the data key to.
fn associated_data(file_id: &[u8; FILE_ID]) -> Value {
    json!({"product": "keyring-ward", "file-id": hex(file_id)})
}

impl DataKeys for OciVaultKek {
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
        let arguments = json!({
            "keyId": self.config.key_ocid,
            "includePlaintextKey": true,
            "keyShape": {"algorithm": "AES", "length": KEY},
            "associatedData": associated_data(file_id),
        });
        const PATH: &str = "/20180608/generateDataEncryptionKey";
        let answer = self.call(pool, Step::Generate, PATH, &arguments, deadline)?;
        let asked = about_the_key(&self.config, Step::Generate);
        Ok(DataKey {
            plaintext: answer::data_key(&asked, pool, &answer)?,
            ciphertext: answer::ciphertext(&asked, &answer)?,
            key_ref: self.config.key_ocid.clone(),
        })
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        // A key that was restored from a backup may have another OCID: only OCI knows whether it is another key.
        match stanza.params.is_empty() {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Tampered,
                "open the keyring file",
                "its stanza has parameters that this provider never writes",
            )
            .hint("Restore the file from a backup. Nothing was changed.")),
        }
    }

    fn open_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        ciphertext: &[u8],
        deadline: Deadline,
    ) -> Result<SecretBytes> {
        let arguments = json!({
            "keyId": self.config.key_ocid,
            "ciphertext": BASE64.encode(ciphertext),
            "associatedData": associated_data(file_id),
        });
        const PATH: &str = "/20180608/decrypt";
        let asked = about_the_key(&self.config, Step::Decrypt);
        let answer = self.call(pool, Step::Decrypt, PATH, &arguments, deadline);
        let answer = answer.and_then(|answer| {
            answer::check_key(&asked, &answer)?;
            Ok(answer)
        });
        let answer = answer.map_err(|e| match e.kind() {
            Kind::WrongKek if stanza.key_ref != self.config.key_ocid => e.context(format!(
                "the DEK was wrapped by '{}'",
                clean(&stanza.key_ref)
            )),
            _ => e,
        })?;
        answer::data_key(&asked, pool, &answer)
    }
}

impl KeyService for OciVaultKek {
    fn describe(&self) -> String {
        format!(
            "OCI Vault key '{}' ({})",
            self.config.key_ocid, self.config.crypto_endpoint
        )
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
