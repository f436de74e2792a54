//! The KEK provider `aws_kms`: a key in AWS KMS, and one call for each opening of a keyring.
//!
//! GenerateDataKey gives a key that wraps the DEK on this machine, and its copy under the KMS key, which goes
//! into the stanza; Decrypt gives it back. It must never take endpoint, region or key from the keyring file, only
//! from the configuration, never keep credentials between two operations, and never send the DEK anywhere.

mod answer;
mod client;
mod errors;
mod metadata;
mod process;
mod profile;
mod shared;
mod source;
mod sts;
mod token_file;

use super::data_key::{self, DataKey, DataKeys, MAX_CIPHERTEXT};
use super::{Budget, Kek, Unwrapped};
use crate::config::AwsKmsConfig;
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::net;
use crate::secret::{SecretBytes, SecretPool};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use client::Session;
use errors::{Question, Step};
use std::collections::HashMap;

/// The provider's name in stanzas.
pub const PROVIDER: &str = "aws_kms";
/// A KEK in AWS KMS.
pub struct AwsKmsKek {
    config: AwsKmsConfig,
}

impl AwsKmsKek {
    /// A KEK that is asked for each time it is needed.
    pub fn new(config: AwsKmsConfig) -> AwsKmsKek {
        AwsKmsKek { config }
    }

    /// One operation: credentials, one call, done.
    fn ask<T>(
        &self,
        op: &'static str,
        deadline: Deadline,
        work: impl AsyncFnOnce(&Session) -> Result<T>,
    ) -> Result<T> {
        let step = Step::new(format!("AWS KMS ({})", self.config.place()));
        let attempt = self.config.attempt_timeout;
        let end = Deadline::after(attempt.min(deadline.remaining()));
        net::run(op, || step.whom(), deadline, attempt, async {
            work(&Session::begin(&self.config, end, &step).await?).await
        })
    }

    fn question(&self, op: &'static str, action: &'static str) -> Question<'_> {
        Question {
            op,
            action,
            key: self.config.key.as_str(),
            place: self.config.place(),
        }
    }

    /// What the wrapped data key is bound to; KMS checks it and CloudTrail shows it.
    fn context(&self, file_id: &[u8; FILE_ID]) -> HashMap<String, String> {
        let mut context: HashMap<_, _> = self.config.context.iter().cloned().collect();
        context.insert("product".into(), "keyring-ward".into());
        context.insert("file-id".into(), crate::text::hex(file_id));
        context
    }
}

impl DataKeys for AwsKmsKek {
    fn provider(&self) -> &'static str {
        PROVIDER
    }

    fn params(&self) -> Vec<u8> {
        encode(&self.config.context)
    }

    fn new_data_key(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        deadline: Deadline,
    ) -> Result<DataKey> {
        const OP: &str = "get a data key from AWS KMS";
        let asked = self.question(OP, "kms:GenerateDataKey");
        let (plaintext, ciphertext, key_ref) = self.ask(OP, deadline, async |session| {
            let answer = session
                .kms
                .generate_data_key()
                .key_id(self.config.key.as_str())
                .key_spec(DataKeySpec::Aes256)
                .set_encryption_context(Some(self.context(file_id)))
                .send()
                .await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(e) => return Err(session.explain(&asked, e).await),
            };
            let data_key = take_key(&asked, pool, answer.plaintext())?;
            let ciphertext = answer.ciphertext_blob().map(|b| b.as_ref().to_vec());
            let ciphertext = ciphertext
                .filter(|c| (1..=MAX_CIPHERTEXT).contains(&c.len()))
                .ok_or_else(|| asked.odd_answer("a ciphertext of an impossible length"))?;
            // An emulator may answer with the id alone.
            let arn = answer.key_id().unwrap_or_default().to_string();
            Ok((data_key, ciphertext, arn))
        })?;
        if key_ref.len() > 2048 || !self.config.key.may_be(&key_ref) {
            return Err(asked.odd_answer("the name of another key"));
        }
        Ok(DataKey {
            plaintext,
            ciphertext,
            key_ref,
        })
    }

    fn check(&self, stanza: &Stanza) -> Result<()> {
        const OP: &str = "open the keyring file";
        let arn = errors::clean(&stanza.key_ref);
        if !self.config.key.may_be(&stanza.key_ref) {
            return Err(Error::new(
                Kind::WrongKek,
                OP,
                format!("its DEK is wrapped by '{arn}', the configuration names '{}'", self.config.key),
            )
            .hint("Add that key to previous_key_ids, or put back the keyring file that belongs to the configured key. Nothing was changed."));
        }
        if stanza.params != encode(&self.config.context) {
            return Err(Error::new(
                Kind::WrongKek,
                OP,
                format!(
                    "its DEK is wrapped with the encryption context '{}', the configuration says '{}'",
                    errors::clean(&shown(&decode(&stanza.params))),
                    shown(&self.config.context)
                ),
            )
            .hint("Put encryption_context back, or use keyring-ward rekey to wrap the DEK with another one. Nothing was changed."));
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
        const OP: &str = "have AWS KMS decrypt the data key";
        let asked = self.question(OP, "kms:Decrypt");
        let data_key = self.ask(OP, deadline, async |session| {
            let answer = session
                .kms
                .decrypt()
                .key_id(self.config.key.as_str())
                .ciphertext_blob(Blob::new(ciphertext))
                .set_encryption_context(Some(self.context(file_id)))
                .send()
                .await;
            match answer {
                Ok(answer) => take_key(&asked, pool, answer.plaintext()),
                Err(e) => Err(session.explain(&asked, e).await),
            }
        });
        data_key.map_err(|e| match e.kind() {
            Kind::WrongKek if self.config.key.id().is_none() => e.context(format!(
                "the alias points to another key now than when the DEK was wrapped ('{}')",
                errors::clean(&stanza.key_ref)
            )),
            _ => e,
        })
    }
}

impl Kek for AwsKmsKek {
    fn describe(&self) -> String {
        format!(
            "AWS KMS key '{}' ({})",
            self.config.key,
            self.config.place()
        )
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &[u8],
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
        data_key::unwrap(self, pool, file_id, stanza, budget.deadline())
    }

    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        // What the first write will need, without a trace: the data key is thrown away.
        self.wrap(pool, &[0; FILE_ID], &[0; KEY], deadline)
            .map(drop)
    }

    fn mix_random(&self, bytes: &mut [u8], deadline: Deadline) -> Result<()> {
        const OP: &str = "get random bytes of AWS KMS";
        /// GenerateRandom gives up to 1,024 bytes.
        const MOST: usize = 1024;
        if !self.config.kms_random {
            return Ok(());
        }
        let asked = self.question(OP, "kms:GenerateRandom");
        for part in bytes.chunks_mut(MOST) {
            self.ask(OP, deadline, async |session| {
                let answer = session
                    .kms
                    .generate_random()
                    .number_of_bytes(part.len() as i32)
                    .send()
                    .await;
                let answer = match answer {
                    Ok(answer) => answer,
                    Err(e) => return Err(session.explain(&asked, e).await),
                };
                match answer.plaintext().map(AsRef::as_ref) {
                    Some(more) if more.len() == part.len() => {
                        part.iter_mut().zip(more).for_each(|(a, b)| *a ^= b);
                        Ok(())
                    }
                    _ => Err(asked.odd_answer("random bytes of another number")),
                }
            })?;
        }
        Ok(())
    }

    fn supplies_material(&self) -> bool {
        self.config.kms_random
    }
}

/// A data key straight into secret memory; the answer's buffer is wiped when it is freed.
fn take_key(asked: &Question<'_>, pool: &SecretPool, key: Option<&Blob>) -> Result<SecretBytes> {
    match key.map(AsRef::as_ref) {
        Some(key) if key.len() == KEY => pool.copy(key),
        Some(key) => Err(asked.odd_answer(&format!(
            "a data key of {} bytes instead of {KEY}",
            key.len()
        ))),
        None => Err(asked.odd_answer("no data key")),
    }
}

/// The added pairs as they stand in a stanza: each text with its length before it (u16, little endian).
fn encode(pairs: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend_from_slice(&(text.len() as u16).to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The pairs of a stanza, for messages; what can't be read is left out.
fn decode(mut params: &[u8]) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = params.split_first_chunk::<2>() {
        let Some((text, rest)) = rest.split_at_checked(u16::from_le_bytes(*length).into()) else {
            break;
        };
        texts.push(String::from_utf8_lossy(text).into_owned());
        params = rest;
    }
    let pairs = texts.chunks_exact(2);
    pairs.map(|p| (p[0].clone(), p[1].clone())).collect()
}

fn shown(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_stanza_and_bad_ones_do_no_harm() {
        let pairs = [
            ("env".to_string(), "prod".to_string()),
            ("x".into(), "ä".into()),
        ];
        let bytes = encode(&pairs);
        assert_eq!(decode(&bytes), pairs);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).len() <= 1);
        }
        assert!(decode(&[255; 9]).is_empty());
        assert_eq!(shown(&pairs[..1]), "env=prod");
    }
}
