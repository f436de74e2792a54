//! Vault's answers: JSON that was bounded while it was read, and what it may hold.
//!
//! Owns what is taken for a token and for data. It must never show an answer: tokens and data keys are in it.

use super::errors::{Question, Step, from_answer, said};
use super::names::{is_ciphertext, is_token};
use crate::envelope::KEY;
use crate::error::{Kind, Result};
use crate::kek::data_key::{MAX_CIPHERTEXT, from_base64};
use crate::secret::{SecretBytes, SecretPool};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The members of an answer.
pub(super) type Members = Map<String, Value>;

/// A token.
pub(super) struct Token {
    pub(super) text: Zeroizing<String>,
    /// It was made for this operation, and Vault keeps it until it is revoked or ends.
    pub(super) kept: bool,
    /// How long it lives by itself, in seconds.
    pub(super) lease: u64,
}

/// The members of an answer that is no refusal; none of one without a body (a revocation's). `secrets`: what of the
/// request must not be shown.
pub(super) fn read(
    asked: &Question<'_>,
    status: u16,
    body: &[u8],
    secrets: &[&str],
) -> Result<Members> {
    let members = match crate::json::parse(body) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    };
    match members {
        Some(members) if (200..300).contains(&status) => Ok(members),
        None if status == 204 && body.is_empty() => Ok(Map::new()),
        members => {
            let said = said(members.as_ref());
            Err(from_answer(asked, status, said.as_deref(), secrets))
        }
    }
}

/// The token of a login's answer.
pub(super) fn token(asked: &Question<'_>, mut answer: Members) -> Result<Token> {
    let Some(Value::Object(auth)) = answer.get_mut("auth") else {
        return Err(asked.odd_answer("no token"));
    };
    let text = match auth.get_mut("client_token").map(Value::take) {
        Some(Value::String(text)) => Zeroizing::new(text),
        _ => Zeroizing::default(),
    };
    if text.is_empty() && auth.get("mfa_requirement").is_some_and(|m| !m.is_null()) {
        return Err(asked
            .error(Kind::Denied, "the login wants a second factor")
            .hint("A server can't give one: take this role out of the MFA enforcement."));
    }
    if !is_token(text.as_bytes()) {
        return Err(asked.odd_answer("no token"));
    }
    let number = |name: &str| auth.get(name).and_then(Value::as_u64).unwrap_or(0);
    let batch = auth.get("token_type").and_then(Value::as_str) == Some("batch");
    Ok(Token {
        text,
        // A token with one use ends with it.
        kept: !batch && number("num_uses") != 1,
        lease: number("lease_duration"),
    })
}

/// What is in `data`, if `encrypt` made use of every field of the request.
pub(super) fn data(
    asked: &Question<'_>,
    mut answer: Members,
    fields: &[(&str, &str)],
) -> Result<Members> {
    // What decrypt gave is checked by the stanza's commitment: no warning may keep a keyring closed.
    if asked.step == Step::Encrypt
        && let Some(ignored) = ignored(&answer, fields)
    {
        return Err(asked
            .error(Kind::Config, format!("it ignored {ignored}"))
            .hint("This Vault is too old: its transit engine does not bind a data key to its file. Use one that knows associated_data in transit's encrypt."));
    }
    match answer.remove("data") {
        Some(Value::Object(data)) => Ok(data),
        _ => Err(asked.odd_answer("no data")),
    }
}

/// The wrapped data key of an `encrypt`'s data.
pub(super) fn ciphertext(asked: &Question<'_>, data: &Members) -> Result<String> {
    let text = data.get("ciphertext").and_then(Value::as_str);
    let text = text.filter(|text| text.len() <= MAX_CIPHERTEXT && is_ciphertext(text));
    text.map(String::from)
        .ok_or_else(|| asked.odd_answer("something else than a ciphertext"))
}

/// The data key of a `decrypt`'s data.
pub(super) fn data_key(
    asked: &Question<'_>,
    pool: &SecretPool,
    data: &Members,
) -> Result<SecretBytes> {
    let text = data.get("plaintext").and_then(Value::as_str);
    let key = from_base64(pool, text.unwrap_or_default())?;
    key.filter(|key| key.len() == KEY)
        .ok_or_else(|| asked.odd_answer("something else than a data key of 32 bytes"))
}

/// The random bytes of a `random`'s data.
pub(super) fn random(
    asked: &Question<'_>,
    pool: &SecretPool,
    data: &Members,
    length: usize,
) -> Result<SecretBytes> {
    let text = data.get("random_bytes").and_then(Value::as_str);
    let bytes = from_base64(pool, text.unwrap_or_default())?;
    bytes
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| asked.odd_answer("random bytes of another number"))
}

/// The name of a field that Vault says it ignored.
fn ignored<'f>(answer: &Members, fields: &[(&'f str, &str)]) -> Option<&'f str> {
    let warnings = answer.get("warnings")?.as_array()?;
    let mut texts = warnings.iter().filter_map(Value::as_str);
    texts.find_map(|text| {
        let named = fields.iter().find(|(name, _)| text.contains(name));
        named.map(|(name, _)| *name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn an_ignored_field_is_noticed() {
        let of = |warnings: Value| {
            let answer = Map::from_iter([("warnings".to_string(), warnings)]);
            ignored(&answer, &[("plaintext", "x"), ("associated_data", "y")])
        };
        let said = "Endpoint ignored these unrecognized parameters: [associated_data]";
        assert_eq!(of(json!(["other", said])), Some("associated_data"));
        for none in [
            json!(null),
            json!([]),
            json!(["other", 7]),
            json!("associated_data"),
        ] {
            assert_eq!(of(none), None);
        }
    }

    #[test]
    fn a_warning_keeps_nothing_closed() {
        let said = "Endpoint ignored these unrecognized parameters: [associated_data]";
        let answer = || {
            let answer = json!({"data": {"plaintext": "x"}, "warnings": [said]});
            answer.as_object().unwrap().clone()
        };
        let of = |step| {
            data(
                &Question::of_tests(step),
                answer(),
                &[("associated_data", "y")],
            )
        };
        assert_eq!(of(Step::Decrypt).unwrap()["plaintext"], "x");
        let e = of(Step::Encrypt).unwrap_err().to_string();
        assert!(e.contains("it ignored associated_data"), "{e}");
    }

    #[test]
    fn only_a_token_that_vault_keeps_is_revoked() {
        for (auth, kept) in [
            (json!({"client_token": "t", "token_type": "batch"}), false),
            (
                json!({"client_token": "t", "token_type": "service", "num_uses": 1}),
                false,
            ),
            (
                json!({"client_token": "t", "token_type": "service", "num_uses": 2}),
                true,
            ),
            (json!({"client_token": "t"}), true),
        ] {
            let answer = Map::from_iter([("auth".to_string(), auth)]);
            let token = token(&Question::of_tests(Step::Login), answer);
            assert_eq!(token.unwrap().kept, kept);
        }
    }

    /// JSON of the members that are looked for, with values of any shape.
    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("batch".to_string()),
            Just("associated_data".to_string()),
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
        leaf.prop_recursive(4, 40, 5, |inner| {
            let name = prop::sample::select(vec![
                "auth",
                "data",
                "errors",
                "warnings",
                "client_token",
                "token_type",
                "num_uses",
                "lease_duration",
                "mfa_requirement",
                "ciphertext",
                "plaintext",
            ]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                    let members = members.into_iter().map(|(n, v)| (n.to_string(), v));
                    Value::Object(members.collect())
                }),
            ]
        })
    }

    /// Nothing of an answer makes a panic, shows what was sent, or is taken for more than it is.
    fn is_harmless(status: u16, body: &[u8]) {
        const SENT: &str = "SENT-SECRET";
        let asked = &Question::of_tests(Step::Decrypt);
        let results = [
            read(asked, status, body, &[SENT])
                .and_then(|m| token(asked, m))
                .map(|token| {
                    assert!(is_token(token.text.as_bytes()) && (200..300).contains(&status));
                }),
            read(asked, status, body, &[SENT])
                .and_then(|m| data(asked, m, &[("associated_data", SENT)]))
                .map(|_| assert!((200..300).contains(&status))),
        ];
        for e in results.into_iter().filter_map(|result| result.err()) {
            let said = e.to_string();
            assert!(said.len() < 2500 && !said.contains(SENT), "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
            is_harmless(status, &body);
        }

        #[test]
        fn any_json_is_harmless(status in prop::sample::select(vec![200u16, 204, 307, 400, 403, 404, 429, 500, 503]), value in any_json()) {
            is_harmless(status, value.to_string().as_bytes());
            let said = json!({"errors": [value, "SENT-SECRET", "a\nb"]});
            is_harmless(status, said.to_string().as_bytes());
        }
    }
}
