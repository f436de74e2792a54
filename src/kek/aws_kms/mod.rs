//! The KEK provider `aws_kms`: a key in AWS KMS, and one call for each opening of a keyring.
//!
//! GenerateDataKey gives a key that wraps the DEK on this machine, and its copy under the KMS key, which goes
//! into the stanza; Decrypt gives it back. It must never take endpoint, region or key from the keyring file, only
//! from the configuration, never keep credentials between two operations, and never send the DEK anywhere.

mod answer;
mod client;
mod config;
mod context;
mod credentials;
mod endpoint;
mod errors;
mod http;
mod key;
mod metadata;
mod names;
mod options;
mod process;
mod profile;
mod shared;
mod sign;
mod source;
mod sts;
pub mod trial;

pub use config::{AwsKmsConfig, DRIVER};
pub use key::KmsKey;

use super::data_key::{self, DataKey, DataKeys, KeyService, MAX_CIPHERTEXT};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};
use client::Session;
use data_encoding::BASE64;
use errors::Question;
use serde_json::{Map, Value, json};

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
    fn call(
        &self,
        asked: &Question<'_>,
        action: &str,
        arguments: &Value,
        deadline: Deadline,
    ) -> Result<Map<String, Value>> {
        let end = Deadline::after(self.config.attempt_timeout.min(deadline.remaining()));
        Session::begin(&self.config, end)?.call(asked, action, arguments)
    }

    fn question(&self, op: &'static str, action: &'static str) -> Question<'_> {
        Question {
            op,
            action,
            key: self.config.key.as_str(),
            place: self.config.place(),
            service: "AWS KMS",
            of_key: true,
        }
    }

    /// The new data key of an answer.
    fn take_data_key(
        &self,
        asked: &Question<'_>,
        pool: &SecretPool,
        answer: &Map<String, Value>,
    ) -> Result<DataKey> {
        let plaintext = take_key(asked, pool, answer)?;
        let ciphertext = text(answer, "CiphertextBlob");
        let ciphertext = ciphertext
            .and_then(|c| BASE64.decode(c.as_bytes()).ok())
            .filter(|c| (1..=MAX_CIPHERTEXT).contains(&c.len()))
            .ok_or_else(|| asked.odd_answer("a ciphertext of an impossible length"))?;
        // An emulator may answer with the id alone.
        let key_ref = text(answer, "KeyId").unwrap_or_default().to_string();
        if key_ref.len() > 2048 || !self.config.key.may_be(&key_ref) {
            return Err(asked.odd_answer("the name of another key"));
        }
        Ok(DataKey {
            plaintext,
            ciphertext,
            key_ref,
        })
    }

    /// What the wrapped data key is bound to; KMS checks it and CloudTrail shows it.
    fn context(&self, file_id: &[u8; FILE_ID]) -> Value {
        let pairs = self.config.context.iter();
        let mut context: Map<_, _> = pairs.map(|(n, v)| (n.clone(), json!(v))).collect();
        context.insert("product".into(), json!("keyring-ward"));
        context.insert("file-id".into(), json!(crate::text::hex(file_id)));
        Value::Object(context)
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
        let arguments = json!({
            "KeyId": self.config.key.as_str(),
            "KeySpec": "AES_256",
            "EncryptionContext": self.context(file_id),
        });
        let answer = self.call(&asked, "GenerateDataKey", &arguments, deadline)?;
        self.take_data_key(&asked, pool, &answer)
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
        let arguments = json!({
            "KeyId": self.config.key.as_str(),
            "CiphertextBlob": BASE64.encode(ciphertext),
            "EncryptionContext": self.context(file_id),
        });
        let answer = self.call(&asked, "Decrypt", &arguments, deadline);
        let data_key = answer.and_then(|answer| take_key(&asked, pool, &answer));
        data_key.map_err(|e| match e.kind() {
            Kind::WrongKek if self.config.key.id().is_none() => e.context(format!(
                "the alias points to another key now than when the DEK was wrapped ('{}')",
                errors::clean(&stanza.key_ref)
            )),
            _ => e,
        })
    }
}

impl KeyService for AwsKmsKek {
    fn describe(&self) -> String {
        format!(
            "AWS KMS key '{}' ({})",
            self.config.key,
            self.config.place()
        )
    }

    fn has_generator(&self) -> bool {
        true
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        let asked = self.question("get random bytes of AWS KMS", "kms:GenerateRandom");
        let arguments = json!({"NumberOfBytes": length});
        let answer = self.call(&asked, "GenerateRandom", &arguments, deadline)?;
        decode_secret(pool, &answer)?
            .filter(|bytes| bytes.len() == length)
            .ok_or_else(|| asked.odd_answer("random bytes of another number"))
    }
}

fn text<'a>(answer: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    answer.get(name).and_then(Value::as_str)
}

/// The plaintext of an answer.
fn decode_secret(pool: &SecretPool, answer: &Map<String, Value>) -> Result<Option<SecretBytes>> {
    data_key::from_base64(pool, text(answer, "Plaintext").unwrap_or_default())
}

/// The data key of an answer.
fn take_key(
    asked: &Question<'_>,
    pool: &SecretPool,
    answer: &Map<String, Value>,
) -> Result<SecretBytes> {
    match decode_secret(pool, answer)? {
        Some(key) if key.len() == KEY => Ok(key),
        Some(key) if !key.is_empty() => Err(asked.odd_answer(&format!(
            "a data key of {} bytes instead of {KEY}",
            key.len()
        ))),
        _ => Err(asked.odd_answer("no data key")),
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
    fn only_base64_of_the_right_length_is_a_data_key() {
        let config = Question {
            op: "ask",
            action: "kms:Decrypt",
            key: "k",
            place: "here".into(),
            service: "AWS KMS",
            of_key: true,
        };
        let pool = SecretPool::new();
        let of = |value: Value| {
            let answer = Map::from_iter([("Plaintext".to_string(), value)]);
            take_key(&config, &pool, &answer)
        };
        assert_eq!(*of(json!(BASE64.encode(&[7; KEY]))).unwrap(), [7; KEY]);
        for (bad, words) in [
            (json!(BASE64.encode(&[7; 16])), "16 bytes instead of 32"),
            (json!(BASE64.encode(&[7; 33])), "33 bytes instead of 32"),
            (json!(""), "no data key"),
            (json!("HIDDEN"), "no data key"),
            (json!("HIDD!N=="), "no data key"),
            (json!(7), "no data key"),
        ] {
            let e = of(bad).err().unwrap();
            assert_eq!(e.kind(), Kind::Config);
            assert!(
                e.to_string().contains(words) && !e.to_string().contains("HIDD"),
                "{e}"
            );
        }
    }

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
