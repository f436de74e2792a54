//! Google's answers: JSON that was bounded while it was read, and what it may hold.
//!
//! Owns what is taken for a token, a ciphertext, a data key and random bytes. Checksums go both ways (Cloud KMS, "Verifying
//! end-to-end data integrity"): what they show to be changed on the way is Unreachable, for it is another time perhaps
//! not. It must never show an answer: tokens and data keys are in it.

use super::errors::{self, Step};
use super::key::KeyName;
use super::names::is_token;
use crate::envelope::KEY;
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::{Question, Refusal, json_object};
use crate::kek::data_key::{MAX_CIPHERTEXT, from_base64};
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};
use crc32c::crc32c;
use data_encoding::BASE64;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The members of an answer.
pub(super) type Members = Map<String, Value>;

/// The members of an answer that refuses nothing. `sent`: what of the question must not be shown.
pub(super) fn read(
    asked: &Question<'_>,
    step: Step,
    answer: &Answer,
    sent: &[&str],
) -> Result<Members> {
    let members = json_object(answer.body());
    match members {
        Some(members) if answer.status() == 200 => Ok(members),
        members => {
            let said = members.as_ref().map(errors::said).unwrap_or_default();
            let (code, message) = (said.code.as_deref(), said.message.as_deref());
            let table = |refusal: &Refusal<'_>| errors::explain(step, refusal);
            let withdraws = |refusal: &Refusal<'_>| errors::withdraws(step, refusal);
            Err(asked.refused_or_withdrawn(answer, (code, message), table, withdraws, sent))
        }
    }
}

/// The token in the member `member`.
pub(super) fn token(
    asked: &Question<'_>,
    mut answer: Members,
    member: &str,
) -> Result<Zeroizing<String>> {
    match answer.remove(member) {
        Some(Value::String(token)) if is_token(&token) => Ok(Zeroizing::new(token)),
        _ => Err(asked.odd_answer("no token")),
    }
}

/// The data key under `key`, if Google got what was sent and we got what it gave.
pub(super) fn ciphertext(asked: &Question<'_>, key: &KeyName, answer: &Members) -> Result<Vec<u8>> {
    for sent in [
        "verifiedPlaintextCrc32c",
        "verifiedAdditionalAuthenticatedDataCrc32c",
    ] {
        // What is false is left out.
        if answer.get(sent) != Some(&Value::Bool(true)) {
            return Err(changed(
                asked,
                "it did not get the checksums that were sent",
            ));
        }
    }
    if !text(answer, "name").is_some_and(|name| key.may_have_version(name)) {
        return Err(asked.odd_answer("the name of another key"));
    }
    let ciphertext = text(answer, "ciphertext").unwrap_or_default();
    let ciphertext = BASE64.decode(ciphertext.as_bytes()).ok();
    let ciphertext = ciphertext
        .filter(|c| (1..=MAX_CIPHERTEXT).contains(&c.len()))
        .ok_or_else(|| asked.odd_answer("a ciphertext of an impossible length"))?;
    check(asked, answer, "ciphertextCrc32c", &ciphertext)?;
    Ok(ciphertext)
}

/// The data key of an answer.
pub(super) fn data_key(
    asked: &Question<'_>,
    pool: &SecretPool,
    answer: &Members,
) -> Result<SecretBytes> {
    let key = from_base64(pool, text(answer, "plaintext").unwrap_or_default())?;
    let key = key.filter(|key| key.len() == KEY);
    let key = key.ok_or_else(|| asked.odd_answer("something else than a data key of 32 bytes"))?;
    check(asked, answer, "plaintextCrc32c", &key)?;
    Ok(key)
}

/// As many random bytes as were asked for.
pub(super) fn random(
    asked: &Question<'_>,
    pool: &SecretPool,
    answer: &Members,
    length: usize,
) -> Result<SecretBytes> {
    let bytes = from_base64(pool, text(answer, "data").unwrap_or_default())?;
    let bytes = bytes.filter(|bytes| bytes.len() == length);
    let bytes = bytes.ok_or_else(|| asked.odd_answer("random bytes of another number"))?;
    check(asked, answer, "dataCrc32c", &bytes)?;
    Ok(bytes)
}

/// Compares what came with its checksum, an int64 of Protocol Buffers: a text of digits.
fn check(asked: &Question<'_>, answer: &Members, member: &str, bytes: &[u8]) -> Result<()> {
    let theirs = text(answer, member).and_then(|digits| digits.parse::<u32>().ok());
    match theirs == Some(crc32c(bytes)) {
        true => Ok(()),
        false => Err(changed(asked, "the answer does not fit its checksum")),
    }
}

fn changed(asked: &Question<'_>, why: &str) -> Error {
    asked.error(Kind::Unreachable, why).hint(
        "Something was changed on the way. It is tried again while there is time; if it stays, look for what stands between, and whether endpoint is Google's.",
    )
}

fn text<'a>(answer: &'a Members, name: &str) -> Option<&'a str> {
    answer.get(name).and_then(Value::as_str)
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
