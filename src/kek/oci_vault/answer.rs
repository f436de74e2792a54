//! OCI's answers: JSON that was bounded while it was read, and what it may hold.
//!
//! Owns what is taken for a token and for a data key. It must never show an answer: tokens and data keys are in it.

use super::errors::{By, Step, known, withdraws};
use super::names::{is_ocid, is_token};
use crate::envelope::KEY;
use crate::error::{Kind, Result};
use crate::kek::cloud::{Question, Refusal, json_object};
use crate::kek::data_key::{MAX_CIPHERTEXT, from_base64};
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};
use data_encoding::BASE64;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The members of an answer.
pub(super) type Members = Map<String, Value>;

/// The members of an answer that is no refusal. `secret`: what of the request must not be shown.
pub(super) fn read(
    asked: &Question<'_>,
    (step, by): (Step, By),
    answer: &Answer,
    secret: &str,
) -> Result<Members> {
    let members = json_object(answer.body());
    match members {
        Some(members) if (200..300).contains(&answer.status()) => Ok(members),
        members => {
            let text = |name: &str| members.as_ref()?.get(name)?.as_str();
            let message = text("message").map(|said| with_request_id(answer, said));
            let table = |refusal: &Refusal<'_>| known(step, by, refusal);
            let withdraws = |refusal: &Refusal<'_>| withdraws(step, refusal);
            let said = (text("code"), message.as_deref());
            Err(asked.refused_or_withdrawn(answer, said, table, withdraws, &[secret]))
        }
    }
}

/// What OCI says, and the number of the request, which its support asks for.
fn with_request_id(answer: &Answer, said: &str) -> String {
    let id = answer.header("opc-request-id").unwrap_or_default();
    let fits = (1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    match fits {
        // What is shown of a text is bounded: the number is to be in it.
        true => format!("{} (opc-request-id {id})", shortened(said)),
        false => said.into(),
    }
}

fn shortened(said: &str) -> &str {
    said.char_indices()
        .nth(350)
        .map_or(said, |(at, _)| &said[..at])
}

/// The token of a login's answer.
pub(super) fn token(asked: &Question<'_>, mut answer: Members) -> Result<Zeroizing<String>> {
    let token = match answer.get_mut("token").map(Value::take) {
        Some(Value::String(token)) => Zeroizing::new(token),
        _ => Zeroizing::default(),
    };
    match is_token(&token) {
        true => Ok(token),
        false => Err(asked.odd_answer("no token")),
    }
}

/// The data key's copy under the key in the vault.
pub(super) fn ciphertext(asked: &Question<'_>, answer: &Members) -> Result<Vec<u8>> {
    let text = answer.get("ciphertext").and_then(Value::as_str);
    let bytes = text.and_then(|text| BASE64.decode(text.as_bytes()).ok());
    bytes
        .filter(|bytes| (1..=MAX_CIPHERTEXT).contains(&bytes.len()))
        .ok_or_else(|| asked.odd_answer("something else than a ciphertext"))
}

/// The data key, if it fits its checksum (CRC-32, in decimal).
pub(super) fn data_key(
    asked: &Question<'_>,
    pool: &SecretPool,
    answer: &Members,
) -> Result<SecretBytes> {
    let text = answer.get("plaintext").and_then(Value::as_str);
    let key = from_base64(pool, text.unwrap_or_default())?
        .filter(|key| key.len() == KEY)
        .ok_or_else(|| asked.odd_answer("something else than a data key of 32 bytes"))?;
    let fits = match answer.get("plaintextChecksum") {
        None | Some(Value::Null) => true,
        Some(sum) => sum.as_str() == Some(&crc32fast::hash(&key).to_string()),
    };
    match fits {
        true => Ok(key),
        false => Err(asked
            .error(
                Kind::Unreachable,
                "the data key does not fit its checksum: it was changed on its way",
            )
            .hint("It is tried again while there is time. If it stays, check crypto_endpoint and proxy: something between changes its answers.")),
    }
}

/// Refuses what was decrypted under another key than the configured one. OCI does not always name the key.
pub(super) fn check_key(asked: &Question<'_>, answer: &Members) -> Result<()> {
    let key = match answer.get("keyId") {
        None | Some(Value::Null) => return Ok(()),
        // Whatever else stands there is not shown: a data key is in the answer, too.
        Some(key) => key.as_str().filter(|key| is_ocid(key, "key")),
    };
    match key {
        None => Err(asked.odd_answer("something else than the name of a key")),
        Some(key) if key == asked.key => Ok(()),
        Some(key) => Err(asked
            .error(
                Kind::WrongKek,
                format!("the key that it used is '{key}', another one than key_ocid names"),
            )
            .hint("Correct key_ocid, or put back the keyring file that belongs to the configured key. Nothing was changed.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ASKED: Question<'_> = Question {
        op: "ask",
        call: "Decrypt",
        key: "ocid1.key.oc1.a.b.c",
        place: "https://h",
        service: "OCI Vault",
        options: "crypto_endpoint and proxy",
    };
    const SENT: &str = "ST$0123456789SECRET0123456789";

    fn answer(status: u16, body: &[u8]) -> Answer {
        let id = ("opc-request-id".to_string(), "ABC/DEF".to_string());
        Answer::new(status, vec![id], Zeroizing::new(body.to_vec()))
    }

    fn members(value: Value) -> Members {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_data_key_fits_its_checksum() {
        let pool = SecretPool::new();
        let key: Vec<u8> = (0..32).collect();
        let text = BASE64.encode(&key);
        // By another program: zlib.crc32(bytes(range(32))).
        for sum in [json!("2435219082"), Value::Null] {
            let answer = members(json!({"plaintext": text, "plaintextChecksum": sum}));
            assert_eq!(*data_key(&ASKED, &pool, &answer).unwrap(), key[..]);
        }
        let answer = members(json!({ "plaintext": text }));
        assert_eq!(*data_key(&ASKED, &pool, &answer).unwrap(), key[..]);
        for sum in [json!("2435219083"), json!(""), json!(2_435_219_082_u32)] {
            let answer = members(json!({"plaintext": text, "plaintextChecksum": sum}));
            let e = data_key(&ASKED, &pool, &answer).err().unwrap();
            assert_eq!(e.kind(), Kind::Unreachable);
            assert!(e.to_string().contains("does not fit its checksum"), "{e}");
        }
        for bad in [
            json!({}),
            json!({"plaintext": 7}),
            json!({"plaintext": "HIDD!N"}),
            json!({"plaintext": BASE64.encode(&key[1..])}),
        ] {
            let e = data_key(&ASKED, &pool, &members(bad)).err().unwrap();
            assert_eq!(e.kind(), Kind::Config);
            assert!(!e.to_string().contains("HIDD"), "{e}");
        }
    }

    /// A published answer of the real service (CLI, 2021): the checksum is that of the bytes, and the key is not named.
    #[test]
    fn the_checksum_is_that_of_the_bytes() {
        let plaintext = BASE64.decode(b"SEVMTE8gV09STEQ=").unwrap();
        assert_eq!(crc32fast::hash(&plaintext).to_string(), "2279966299");
    }

    #[test]
    fn another_key_is_refused() {
        for good in [
            json!({}),
            json!({"keyId": null}),
            json!({"keyId": ASKED.key}),
        ] {
            assert!(check_key(&ASKED, &members(good)).is_ok());
        }
        for (bad, kind) in [
            (json!("ocid1.key.oc1.a.b.d"), Kind::WrongKek),
            (json!("HIDDEN"), Kind::Config),
            (json!(""), Kind::Config),
            (json!(7), Kind::Config),
        ] {
            let e = check_key(&ASKED, &members(json!({"keyId": bad}))).unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            assert!(!e.to_string().contains("HIDDEN"), "{e}");
        }
    }

    #[test]
    fn only_base64_of_a_length_that_fits_is_a_ciphertext() {
        let of = |value: Value| ciphertext(&ASKED, &members(json!({"ciphertext": value})));
        assert_eq!(of(json!("AAEC")).unwrap(), [0, 1, 2]);
        for bad in [
            json!(""),
            json!(null),
            json!("AAE"),
            json!("AB=="),
            json!("AAEC\n"),
            json!("A".repeat(8196)),
        ] {
            let e = of(bad).unwrap_err();
            assert!(e.to_string().contains("than a ciphertext"), "{e}");
        }
    }

    #[test]
    fn the_number_of_a_request_is_told() {
        let said = json!({"code": "X", "message": "a".repeat(900)}).to_string();
        let step = (Step::Decrypt, By::User);
        let e = read(&ASKED, step, &answer(429, said.as_bytes()), "").unwrap_err();
        assert!(e.to_string().contains("aa (opc-request-id ABC/DEF)"), "{e}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("NotAuthorizedOrNotFound".to_string()),
            Just("InvalidParameter".to_string()),
            Just("0123456789SECRET0123456789".to_string()),
            "\\PC{0,20}",
            ".{0,20}"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 30, 5, |inner| {
            let name = prop::sample::select(vec![
                "code",
                "message",
                "token",
                "ciphertext",
                "plaintext",
                "plaintextChecksum",
                "keyId",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..7).prop_map(|members| {
                    let members = members.into_iter().map(|(n, v)| (n.to_string(), v));
                    Value::Object(members.collect())
                }),
            ]
        })
    }

    /// Nothing of an answer makes a panic, shows what was sent, or is taken for more than it is.
    fn is_harmless(status: u16, body: &[u8]) {
        let (pool, answer) = (SecretPool::new(), answer(status, body));
        for (step, by) in [
            (Step::Login, By::Instance),
            (Step::Generate, By::User),
            (Step::Decrypt, By::Instance),
        ] {
            let result = read(&ASKED, (step, by), &answer, SENT).and_then(|members| match step {
                Step::Login => token(&ASKED, members).map(|token| assert!(is_token(&token))),
                Step::Generate => {
                    ciphertext(&ASKED, &members)?;
                    data_key(&ASKED, &pool, &members).map(|key| assert_eq!(key.len(), KEY))
                }
                Step::Decrypt => {
                    check_key(&ASKED, &members)?;
                    data_key(&ASKED, &pool, &members).map(|key| assert_eq!(key.len(), KEY))
                }
            });
            match result {
                Ok(()) => assert!((200..300).contains(&status)),
                Err(e) => {
                    let said = e.to_string();
                    assert!(said.len() < 3000 && !said.contains("SECRET"), "{said}");
                    assert!(!said.contains(char::is_control), "{said:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
            is_harmless(status, &body);
        }

        #[test]
        fn any_json_is_harmless(status in prop::sample::select(vec![200u16, 302, 400, 401, 404, 409, 429, 500, 503]), value in any_json()) {
            is_harmless(status, value.to_string().as_bytes());
        }
    }
}
