//! Azure's answers: JSON that was bounded while it was read, and what it may hold.
//!
//! Owns what is taken for a token, a wrapped data key and a data key, and where a refusal has its code and its sentence. It
//! must never show an answer: tokens and data keys are in it.

use super::config::AzureKeyVaultConfig;
use super::errors::Step;
use super::names::{KeyId, VERSION, is_token};
use crate::envelope::KEY;
use crate::error::Result;
use crate::kek::cloud::{Question, Refusal, json_object};
use crate::kek::data_key::from_base64url;
use crate::net::{Answer, host};
use crate::secret::{SecretBytes, SecretPool};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Largest answer in bytes.
pub(super) const MOST: usize = 64 * 1024;

/// The members of an answer.
pub(super) type Members = Map<String, Value>;

/// A data key under a version of the vault's key.
pub(super) struct Wrapped {
    pub(super) version: [u8; VERSION],
    pub(super) value: Vec<u8>,
}

/// The members of an answer that is no refusal. `sent`: secrets of the question.
pub(super) fn read(
    asked: &Question<'_>,
    step: Step,
    answer: &Answer,
    sent: &[&str],
) -> Result<Members> {
    let members = json_object(answer.body());
    match members {
        Some(members) if (200..300).contains(&answer.status()) => Ok(members),
        members => {
            let (code, message) = members.as_ref().map_or((None, None), said);
            // The metadata service says no more while it is updated.
            let code = code.or((answer.status() == 410).then_some("Gone"));
            let message = message.map(|text| {
                let words: Vec<&str> = text.split_whitespace().collect();
                words.join(" ")
            });
            let table = |refusal: &Refusal<'_>| step.table(refusal);
            let withdraws = |refusal: &Refusal<'_>| step.withdraws(refusal);
            let said = (code, message.as_deref());
            Err(asked.refused_or_withdrawn(answer, said, table, withdraws, sent))
        }
    }
}

/// Code and sentence of a refusal: Key Vault's `{"error":{"code","message","innererror":{"code"}}}`, OAuth's
/// `{"error","error_description"}`, or an app's `{"statusCode","message"}`.
fn said(members: &Members) -> (Option<&str>, Option<&str>) {
    fn text<'m>(members: &'m Members, name: &str) -> Option<&'m str> {
        members.get(name).and_then(Value::as_str)
    }
    match members.get("error") {
        Some(Value::Object(error)) => {
            // Both spellings are in use.
            let inner = error.get("innererror").or_else(|| error.get("innerError"));
            let inner = inner.and_then(|inner| inner.get("code")?.as_str());
            (inner.or(text(error, "code")), text(error, "message"))
        }
        Some(Value::String(code)) => (Some(code.as_str()), text(members, "error_description")),
        _ => (None, text(members, "message")),
    }
}

/// The token of an answer.
pub(super) fn token(asked: &Question<'_>, mut answer: Members) -> Result<Zeroizing<String>> {
    let text = match answer.get_mut("access_token").map(Value::take) {
        Some(Value::String(text)) => Zeroizing::new(text),
        _ => Zeroizing::default(),
    };
    match is_token(text.as_bytes()) {
        true => Ok(text),
        false => Err(asked.odd_answer("no token")),
    }
}

/// The wrapped data key of an answer, by the configured key and no other.
pub(super) fn wrapped(
    asked: &Question<'_>,
    config: &AzureKeyVaultConfig,
    answer: &Members,
) -> Result<Wrapped> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let id = text("kid").and_then(KeyId::parse);
    let id = id.filter(|id| is_the_configured(config, id));
    let Some(id) = id else {
        return Err(asked.odd_answer("the name of another key"));
    };
    let value = text("value").and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    match value.filter(|value| config.algorithm.gives(value.len())) {
        Some(value) => Ok(Wrapped {
            version: id.version,
            value,
        }),
        None => Err(asked.odd_answer(&format!(
            "something else than a data key under {}",
            config.algorithm.name()
        ))),
    }
}

/// Azure spells names without regard to case.
fn is_the_configured(config: &AzureKeyVaultConfig, id: &KeyId<'_>) -> bool {
    let asked = host(&config.vault_url).unwrap_or_default();
    let same_host =
        id.host.eq_ignore_ascii_case(asked) || (config.renamed && config.resource.has(id.host));
    same_host
        && id.name.eq_ignore_ascii_case(&config.key)
        && config
            .key_version
            .is_none_or(|version| version == id.version)
}

/// The data key of an answer.
pub(super) fn data_key(
    asked: &Question<'_>,
    pool: &SecretPool,
    answer: &Members,
) -> Result<SecretBytes> {
    let text = answer.get("value").and_then(Value::as_str);
    let key = from_base64url(pool, text.unwrap_or_default())?;
    key.filter(|key| key.len() == KEY)
        .ok_or_else(|| asked.odd_answer("something else than a data key of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::errors::{about_the_key, for_a_token};
    use super::*;
    use crate::error::Kind;
    use proptest::prelude::*;
    use serde_json::json;

    const SENT: &str = "0123456789-SENT-SECRET";
    const DIGITS: &str = "0123456789abcdef0123456789abcdef";

    fn answer(status: u16, body: &[u8]) -> Answer {
        Answer::new(status, Vec::new(), Zeroizing::new(body.to_vec()))
    }

    fn refused(status: u16, body: &Value) -> (Kind, String) {
        let config = AzureKeyVaultConfig::of_tests();
        let asked = about_the_key(&config, Step::Unwrap);
        let answer = answer(status, body.to_string().as_bytes());
        let e = read(&asked, Step::Unwrap, &answer, &[SENT]).unwrap_err();
        (e.kind(), e.to_string())
    }

    #[test]
    fn a_refusal_is_told_by_its_innermost_code() {
        for (body, words) in [
            (
                json!({"error": {"code": "Forbidden", "message": "a\r\nb", "innererror": {"code": "ForbiddenByRbac"}}}),
                "ForbiddenByRbac: a b (HTTP status 403)",
            ),
            (
                json!({"error": {"code": "Forbidden", "message": "m", "innerError": {"code": "KeyDisabled"}}}),
                "KeyDisabled: m (HTTP status 403)",
            ),
            (
                json!({"error": {"code": "Forbidden", "message": "m"}}),
                "Forbidden: m (HTTP status 403)",
            ),
            (
                json!({"error": "invalid_client", "error_description": "AADSTS1: x"}),
                "invalid_client: AADSTS1: x (HTTP status 403)",
            ),
            (
                json!({"statusCode": 403, "message": "m"}),
                "m (HTTP status 403)",
            ),
            (json!({}), "without a word of Azure Key Vault"),
        ] {
            let (kind, said) = refused(403, &body);
            assert_eq!(kind, Kind::Denied, "{said}");
            assert!(said.contains(words), "{said}");
        }
        let config = AzureKeyVaultConfig::of_tests();
        let asked = for_a_token(Step::Identity, "the machine", "http://169.254.169.254");
        let e = read(&asked, Step::Identity, &answer(410, b""), &[]).unwrap_err();
        assert_eq!(e.kind(), Kind::Unreachable, "{e}");
        let e = read(&asked, Step::Identity, &answer(404, b"<html>"), &[]).unwrap_err();
        assert_eq!(e.kind(), Kind::Config, "{e}");
        drop(config);
    }

    #[test]
    fn only_the_configured_key_wraps() {
        let mut config = AzureKeyVaultConfig::of_tests();
        let value = BASE64URL_NOPAD.encode(&[7; 256]);
        let of = |config: &AzureKeyVaultConfig, kid: &str, value: &str| {
            let members = json!({"kid": kid, "value": value});
            wrapped(
                &about_the_key(config, Step::Wrap),
                config,
                members.as_object().unwrap(),
            )
            .map(|wrapped| (crate::text::hex(&wrapped.version), wrapped.value.len()))
            .map_err(|e| e.to_string())
        };
        let good = format!("https://KV1.vault.azure.net:443/keys/MySQL/{DIGITS}");
        assert_eq!(of(&config, &good, &value), Ok((DIGITS.into(), 256)));
        for bad in [
            "",
            "mysql",
            &good.replace("KV1", "kv2"),
            &good.replace("MySQL", "other"),
            &good.replace("azure.net", "azure.net.evil.org"),
            &good[..good.len() - 1],
        ] {
            let e = of(&config, bad, &value).unwrap_err();
            assert!(e.contains("the name of another key"), "{bad}: {e}");
        }
        for bad in [
            "",
            "!",
            &value[..100],
            &format!("{value}=="),
            &BASE64URL_NOPAD.encode(&[7; 40]),
            &BASE64URL_NOPAD.encode(&[7; 257]),
        ] {
            let e = of(&config, &good, bad).unwrap_err();
            assert!(e.contains("under RSA-OAEP-256"), "{bad}: {e}");
        }
        config.key_version = Some([1; VERSION]);
        assert!(of(&config, &good, &value).is_err());
        config.key_version = None;
        // A private endpoint under another name answers with Azure's.
        config.vault_url = "https://kv.internal".into();
        assert!(of(&config, &good, &value).is_err());
        config.renamed = true;
        assert!(of(&config, &good, &value).is_ok());
        assert!(
            of(
                &config,
                &good.replace("vault.azure.net", "example.org"),
                &value
            )
            .is_err()
        );
    }

    #[test]
    fn a_data_key_has_32_bytes() {
        let config = AzureKeyVaultConfig::of_tests();
        let asked = about_the_key(&config, Step::Unwrap);
        let pool = SecretPool::new();
        let of = |value: Value| {
            let members = Map::from_iter([("value".to_string(), value)]);
            data_key(&asked, &pool, &members)
        };
        let text = BASE64URL_NOPAD.encode(&[0xfb; KEY]);
        assert!(text.contains('-'));
        assert_eq!(*of(json!(text)).unwrap(), [0xfb; KEY]);
        for bad in [
            json!(""),
            json!(7),
            json!("HIDD!N"),
            json!(&text[..22]),
            json!(text + "="),
        ] {
            let e = of(bad).map(drop).unwrap_err().to_string();
            assert!(
                e.contains("data key of 32 bytes") && !e.contains("HIDD"),
                "{e}"
            );
        }
    }

    /// JSON of the members that are looked for, with values of any shape.
    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("KeyDisabled".to_string()),
            Just(format!("https://kv1.vault.azure.net/keys/mysql/{DIGITS}")),
            Just(BASE64URL_NOPAD.encode(&[7; 256])),
            Just(BASE64URL_NOPAD.encode(&[7; KEY])),
            Just(format!("AADSTS7000215: {SENT}")),
            "\\PC{0,20}",
            ".{0,20}"
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let name = prop::sample::select(vec![
                "error",
                "code",
                "message",
                "innererror",
                "innerError",
                "error_description",
                "statusCode",
                "access_token",
                "kid",
                "value",
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
        let (pool, config) = (SecretPool::new(), AzureKeyVaultConfig::of_tests());
        let answer = answer(status, body);
        let good = (200..300).contains(&status);
        let about = |step| match step {
            Step::Wrap | Step::Unwrap => about_the_key(&config, step),
            _ => for_a_token(step, "app", "https://login.microsoftonline.com"),
        };
        for step in [Step::Identity, Step::Login, Step::Wrap, Step::Unwrap] {
            let asked = about(step);
            let members = read(&asked, step, &answer, &[SENT]);
            let result =
                members.and_then(|members| match step {
                    Step::Wrap => wrapped(&asked, &config, &members)
                        .map(|wrapped| assert!(good && wrapped.value.len() == 256)),
                    Step::Unwrap => data_key(&asked, &pool, &members)
                        .map(|key| assert!(good && key.len() == KEY)),
                    _ => token(&asked, members)
                        .map(|token| assert!(good && is_token(token.as_bytes()))),
                });
            if let Err(e) = result {
                let said = e.to_string();
                assert!(said.len() < 2500 && !said.contains(SENT), "{said}");
                assert!(!said.contains(char::is_control), "{said:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_harmless(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
            is_harmless(status, &body);
        }

        #[test]
        fn any_json_is_harmless(status in prop::sample::select(vec![200u16, 204, 302, 400, 401, 403, 404, 410, 429, 500, 503]), value in any_json()) {
            is_harmless(status, value.to_string().as_bytes());
            let said = json!({"error": {"code": value, "message": format!("{SENT}\n"), "innererror": value}});
            is_harmless(status, said.to_string().as_bytes());
        }
    }
}
