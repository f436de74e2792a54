//! A service account's own key: it signs the token that Cloud KMS gets, and nobody else is asked.
//!
//! Owns the reading of the key's file (JSON, as gcloud iam service-accounts keys create writes it) and what is signed
//! (RFC 7523; Google's "Service account authorization without OAuth"). The file is a secret that does not end: it is read
//! for each operation, straight into secret memory, and it must never be shown.

use super::names::{SCOPE, is_name};
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::{RsaKey, jwt};
use crate::os::unix_seconds;
use crate::secret::SecretPool;
use crate::secret_source::{self, SecretRef, Warnings};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

const OP: &str = "sign a token with the service account's key";
/// How long Google lets a token be, in seconds. This operation is over sooner, but the clocks may differ.
const LIFETIME: i64 = 3600;

/// A token, signed with the key in `source`.
pub(super) fn token(
    pool: &SecretPool,
    source: &SecretRef,
    warnings: &Warnings,
) -> Result<Zeroizing<String>> {
    let mut told = Vec::new();
    let file = secret_source::read_warned(pool, OP, source, &mut told)?;
    warnings.add(told);
    let fault = |why: &str, hint: &str| {
        Error::new(Kind::Config, OP, format!("{source} {why}")).hint(hint.to_string())
    };
    // What is parsed is wiped when it is freed, as all memory is.
    match crate::json::parse(&file) {
        Ok(Value::Object(members)) => sign(members, &source.to_string(), unix_seconds(), fault),
        Ok(_) => Err(fault("holds no JSON object", MAKE_ONE)),
        Err(e) => Err(fault(&format!("is no JSON: {e}"), MAKE_ONE)),
    }
}

const MAKE_ONE: &str = "It must be the file that gcloud iam service-accounts keys create wrote.";

fn sign(
    mut members: Map<String, Value>,
    place: &str,
    now: i64,
    fault: impl Fn(&str, &str) -> Error,
) -> Result<Zeroizing<String>> {
    match members.get("type").and_then(Value::as_str) {
        Some("service_account") => {}
        Some("external_account") => {
            return Err(fault(
                "is an external account, not the key of a service account",
                "Set auth to federation.",
            ));
        }
        _ => return Err(fault("is not the key of a service account", MAKE_ONE)),
    }
    let domain = members.get("universe_domain").and_then(Value::as_str);
    if domain.is_some_and(|domain| domain != "googleapis.com") {
        return Err(fault(
            "is for another universe_domain than googleapis.com",
            "Other universes are not supported.",
        ));
    }
    let private_key = match members.remove("private_key") {
        Some(Value::String(pem)) => Zeroizing::new(pem),
        _ => return Err(fault("has no private_key", MAKE_ONE)),
    };
    let name = |member| {
        members
            .get(member)
            .and_then(Value::as_str)
            .filter(|n| is_name(n))
    };
    let (Some(email), Some(id)) = (name("client_email"), name("private_key_id")) else {
        return Err(fault("has no client_email or no private_key_id", MAKE_ONE));
    };
    let key = RsaKey::from_pem(private_key.as_bytes(), OP, place)?;
    let claims = json!({
        "iss": email, "sub": email, "scope": SCOPE, "iat": now, "exp": now + LIFETIME,
    });
    jwt(&key, &json!({"kid": id}), &claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret_source::Held;
    use data_encoding::BASE64URL_NOPAD;

    /// A key for tests only.
    const FILE: &str = include_str!("../../../tests/support/clouds/google/account.json");

    fn of(text: &str) -> Result<Zeroizing<String>> {
        let pool = SecretPool::new();
        let source = SecretRef::Held(Held::new(pool.copy(text.as_bytes()).unwrap()));
        token(&pool, &source, &Warnings::default())
    }

    #[test]
    fn the_token_says_who_asks_for_what_and_how_long() {
        let token = of(FILE).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let part = |at: usize| -> Value {
            serde_json::from_slice(&BASE64URL_NOPAD.decode(parts[at].as_bytes()).unwrap()).unwrap()
        };
        let file: Value = serde_json::from_str(FILE).unwrap();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]});
        assert_eq!(part(0), header);
        let claims = part(1);
        let now = unix_seconds();
        let iat = claims["iat"].as_i64().unwrap();
        assert!((now - 5..=now).contains(&iat), "{iat}");
        let email = &file["client_email"];
        let expected =
            json!({"iss": email, "sub": email, "scope": SCOPE, "iat": iat, "exp": iat + LIFETIME});
        assert_eq!(claims, expected);
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        let with = |name: &str, value: Value| {
            let mut file: Value = serde_json::from_str(FILE).unwrap();
            file[name] = value;
            file.to_string()
        };
        for (text, words) in [
            ("", "is no JSON"),
            ("HIDDEN", "is no JSON"),
            ("[\"HIDDEN\"]", "no JSON object"),
            (
                "{\"private_key\":\"HIDDEN\",\"private_key\":\"HIDDEN\"}",
                "is no JSON",
            ),
            (
                &with("type", json!("external_account")),
                "auth to federation",
            ),
            (
                &with("type", json!("HIDDEN")),
                "not the key of a service account",
            ),
            (&with("universe_domain", json!("HIDDEN")), "universe_domain"),
            (&with("private_key", json!(7)), "no private_key"),
            (
                &with(
                    "private_key",
                    json!("-----BEGIN PRIVATE KEY-----\nHIDDEN\n-----END PRIVATE KEY-----"),
                ),
                "no RSA key",
            ),
            (&with("client_email", json!("HIDDEN\n")), "no client_email"),
            (&with("private_key_id", json!(null)), "no private_key_id"),
        ] {
            let e = of(text).unwrap_err().to_string();
            assert!(e.contains(words), "{words}: {e}");
            assert!(!e.contains("HIDDEN") && !e.contains("MII"), "{e}");
        }
    }
}
