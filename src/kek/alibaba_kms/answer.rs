//! What KMS, STS and the metadata service answer: JSON that was bounded while it was read, and what it may hold.
//!
//! Owns what is taken for credentials, for a key's id and for a data key. It must never show an answer: secrets are in it.

use super::credentials::Credentials;
use super::key::is_id;
use crate::envelope::KEY;
use crate::error::Result;
use crate::kek::cloud::{Known, Question, Refusal, json_object};
use crate::kek::data_key::{MAX_CIPHERTEXT, from_base64};
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};
use data_encoding::BASE64;
use serde_json::{Map, Value};

/// The members of an answer.
pub(super) type Members = Map<String, Value>;

/// The members of an answer that refuses nothing. `sent`: secrets that the question carried.
pub(super) fn members(
    asked: &Question<'_>,
    answer: &Answer,
    table: impl Fn(&Refusal<'_>) -> Known,
    withdraws: impl Fn(&Refusal<'_>) -> bool,
    sent: &[&str],
) -> Result<Members> {
    match json_object(answer.body()) {
        Some(members) if (200..300).contains(&answer.status()) => Ok(members),
        members => {
            let members = members.unwrap_or_default();
            let said = (text(&members, "Code"), text(&members, "Message"));
            Err(asked.refused_or_withdrawn(answer, said, table, withdraws, sent))
        }
    }
}

/// A member that is a text.
pub(super) fn text<'a>(members: &'a Members, name: &str) -> Option<&'a str> {
    members.get(name).and_then(Value::as_str)
}

/// Temporary credentials, as STS and the metadata service write them.
pub(super) fn credentials(asked: &Question<'_>, members: &Members) -> Result<Credentials> {
    let parts = (
        text(members, "AccessKeyId"),
        text(members, "AccessKeySecret"),
        text(members, "SecurityToken"),
    );
    let (Some(id), Some(secret), Some(token)) = parts else {
        return Err(asked.odd_answer("no credentials"));
    };
    let whose = format!("the credentials that {} gave", asked.service);
    Credentials::new(id, secret, Some(token), &whose)
}

/// The id of the key that was used.
pub(super) fn key_id<'a>(asked: &Question<'_>, members: &'a Members) -> Result<&'a str> {
    let id = text(members, "KeyId").filter(|id| is_id(id));
    id.ok_or_else(|| asked.odd_answer("no id of a key"))
}

/// The wrapped data key.
pub(super) fn ciphertext(asked: &Question<'_>, members: &Members) -> Result<Vec<u8>> {
    let encoded = text(members, "CiphertextBlob").unwrap_or_default();
    let decoded = BASE64.decode(encoded.as_bytes()).ok();
    decoded
        .filter(|bytes| (1..=MAX_CIPHERTEXT).contains(&bytes.len()))
        .ok_or_else(|| asked.odd_answer("no ciphertext, or one of an impossible length"))
}

/// The data key.
pub(super) fn data_key(
    asked: &Question<'_>,
    pool: &SecretPool,
    members: &Members,
) -> Result<SecretBytes> {
    let encoded = text(members, "Plaintext").unwrap_or_default();
    let key = from_base64(pool, encoded)?;
    key.filter(|key| key.len() == KEY)
        .ok_or_else(|| asked.odd_answer("something else than a data key of 32 bytes"))
}
