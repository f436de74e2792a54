//! The KEK provider `gcp_kms`: a symmetric key in Google Cloud KMS, and one call for each opening of a keyring.
//!
//! A data key that is made here wraps the DEK on this machine; Cloud KMS encrypts it, bound to the file by additional
//! authenticated data, and what it gives goes into the stanza; it decrypts it again (it has no call that makes data keys).
//! It must never take endpoint or key from the keyring file, only from the configuration, never keep a token between two
//! operations, and never send the DEK anywhere.

mod answer;
mod client;
mod config;
mod errors;
mod external;
mod federation;
mod key;
mod metadata;
mod names;
mod options;
mod service_account;
mod settings;
mod token;
pub mod trial;

pub use config::{DRIVER, GcpKmsConfig};
pub use errors::Step;
pub use key::KeyName;

use super::cloud::Question;
use super::data_key::{self, DataKey, DataKeys, KeyService};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::kek::web;
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::Warnings;
use crate::text::{clean, hex};
use answer::Members;
use client::Client;
use crc32c::crc32c;
use data_encoding::BASE64;

/// The fewest random bytes that one call gives (Cloud KMS, generateRandomBytes).
const LEAST_RANDOM: usize = 8;

/// A KEK in Google Cloud KMS.
pub struct GcpKmsKek {
    config: GcpKmsConfig,
    warnings: Warnings,
}

impl GcpKmsKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: GcpKmsConfig) -> GcpKmsKek {
        GcpKmsKek {
            config,
            warnings: Warnings::default(),
        }
    }

    fn question(&self, op: &'static str, call: &'static str) -> Question<'_> {
        Question {
            op,
            call,
            key: self.config.key.as_str(),
            place: &self.config.endpoint,
            service: "Google Cloud KMS",
            options: "endpoint and proxy",
        }
    }

    /// One operation: a token, one call, done. `named` is the resource and what it shall do, `body` what with, and what of
    /// that must not be shown.
    fn call(
        &self,
        asked: &Question<'_>,
        step: Step,
        pool: &SecretPool,
        (named, body): (String, (Vec<u8>, &[&str])),
        deadline: Deadline,
    ) -> Result<Members> {
        let end = Deadline::after(self.config.attempt_timeout.min(deadline.remaining()));
        let client = Client::new(&self.config, end)?;
        let token = token::get(&client, pool, &self.warnings)?;
        let url = format!("{}/v1/{named}", self.config.endpoint);
        client.post_json(asked, step, &url, &token, body)
    }
}

/// What Cloud KMS binds the data key to.
fn associated_data(file_id: &[u8; FILE_ID]) -> String {
    format!("product=keyring-ward,file-id={}", hex(file_id))
}

/// A checksum as JSON has it.
fn checksum(bytes: &[u8]) -> String {
    crc32c(bytes).to_string()
}

impl DataKeys for GcpKmsKek {
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
        let asked = self.question(
            "have Google Cloud KMS encrypt a data key",
            "cryptoKeys.encrypt",
        );
        let key = &self.config.key;
        let plaintext = pool.random(KEY)?;
        let text = data_key::to_base64(pool, &plaintext)?;
        let text = std::str::from_utf8(&text).unwrap_or_default();
        let bound = associated_data(file_id);
        let body = web::object(&[
            ("plaintext", text),
            ("plaintextCrc32c", &checksum(&plaintext)),
            (
                "additionalAuthenticatedData",
                &BASE64.encode(bound.as_bytes()),
            ),
            (
                "additionalAuthenticatedDataCrc32c",
                &checksum(bound.as_bytes()),
            ),
        ]);
        let what = (format!("{key}:encrypt"), (body, &[text][..]));
        let answer = self.call(&asked, Step::Encrypt, pool, what, deadline)?;
        Ok(DataKey {
            plaintext,
            ciphertext: answer::ciphertext(&asked, key, &answer)?,
            key_ref: key.as_str().into(),
        })
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        const OP: &str = "open the keyring file";
        let (theirs, ours) = (KeyName::parse(&stanza.key_ref), &self.config.key);
        // A project has an id and a number: only what stands behind it says that it is another key.
        if !theirs.is_some_and(|theirs| ours.may_be(&theirs)) {
            return Err(Error::new(
                Kind::WrongKek,
                OP,
                format!(
                    "its DEK is wrapped by '{}', the configuration names '{ours}'",
                    clean(&stanza.key_ref)
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
        let asked = self.question(
            "have Google Cloud KMS decrypt the data key",
            "cryptoKeys.decrypt",
        );
        let key = &self.config.key;
        let bound = associated_data(file_id);
        let body = web::object(&[
            ("ciphertext", &BASE64.encode(ciphertext)),
            ("ciphertextCrc32c", &checksum(ciphertext)),
            (
                "additionalAuthenticatedData",
                &BASE64.encode(bound.as_bytes()),
            ),
            (
                "additionalAuthenticatedDataCrc32c",
                &checksum(bound.as_bytes()),
            ),
        ]);
        let what = (format!("{key}:decrypt"), (body, &[][..]));
        let answer = self.call(&asked, Step::Decrypt, pool, what, deadline);
        let answer = answer.map_err(|e| match e.kind() {
            Kind::WrongKek if stanza.key_ref != key.as_str() => e.context(format!(
                "the DEK was wrapped by '{}'",
                clean(&stanza.key_ref)
            )),
            _ => e,
        })?;
        answer::data_key(&asked, pool, &answer)
    }
}

impl KeyService for GcpKmsKek {
    fn describe(&self) -> String {
        format!(
            "Google Cloud KMS key '{}' ({})",
            self.config.key, self.config.endpoint
        )
    }

    fn has_generator(&self) -> bool {
        true
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        let asked = self.question(
            "get random bytes of Google Cloud KMS",
            "locations.generateRandomBytes",
        );
        let whole = length.max(LEAST_RANDOM);
        let body = serde_json::json!({"lengthBytes": whole, "protectionLevel": "HSM"});
        let named = format!("{}:generateRandomBytes", self.config.key.place());
        let what = (named, (body.to_string().into(), &[][..]));
        let answer = self.call(&asked, Step::Random, pool, what, deadline)?;
        let mut bytes = answer::random(&asked, pool, &answer, whole)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}
