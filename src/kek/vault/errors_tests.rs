//! Each answer of Vault has its kind, and no message shows a secret.

use super::*;

#[test]
fn only_what_may_pass_is_unreachable() {
    let (login, key) = (Step::Login, Step::Decrypt);
    for (step, status, said, kind) in [
        (key, 503, Some("Vault is sealed"), Kind::Unreachable),
        (
            login,
            500,
            Some("local node not active but active cluster node not found"),
            Kind::Unreachable,
        ),
        (key, 502, None, Kind::Unreachable),
        (
            key,
            429,
            Some("request path \"x\": rate limit quota exceeded"),
            Kind::Unreachable,
        ),
        (
            key,
            412,
            Some("required index state not present"),
            Kind::Unreachable,
        ),
        (key, 472, None, Kind::Unreachable),
        (key, 473, None, Kind::Unreachable),
        (key, 307, None, Kind::Unreachable),
        (login, 307, None, Kind::Unreachable),
        (key, 302, None, Kind::Config),
        (
            login,
            400,
            Some(
                "error validating token: error verifying token signature: fetching keys oidc: get keys failed Get \"http://h/jwks\": dial tcp: connect: connection refused",
            ),
            Kind::Unreachable,
        ),
        (
            login,
            400,
            Some(
                "error configuring token validator: keyset configuration error: Get \"http://h/.well-known/openid-configuration\": connection refused",
            ),
            Kind::Unreachable,
        ),
        (
            login,
            400,
            Some(
                "error validating token: error verifying token signature: failed to verify id token signature",
            ),
            Kind::Denied,
        ),
        (key, 403, Some("permission denied"), Kind::Denied),
        (key, 403, None, Kind::Denied),
        (login, 403, Some("permission denied"), Kind::Denied),
        (login, 400, Some("invalid role or secret ID"), Kind::Denied),
        (key, 404, Some("namespace not found"), Kind::NotFound),
        (key, 404, Some(""), Kind::NotFound),
        (key, 404, None, Kind::Config),
        (key, 400, None, Kind::Config),
        (key, 405, Some("unsupported operation"), Kind::Config),
        (key, 400, Some("encryption key not found"), Kind::NotFound),
        (
            key,
            400,
            Some("refusing to use soft-deleted key"),
            Kind::Denied,
        ),
        (
            key,
            400,
            Some("ciphertext or signature version is disallowed by policy (too old)"),
            Kind::Denied,
        ),
        (
            key,
            400,
            Some("cipher: message authentication failed"),
            Kind::WrongKek,
        ),
        (
            key,
            400,
            Some("invalid ciphertext: version is too new"),
            Kind::Tampered,
        ),
        (key, 400, Some("invalid ciphertext length"), Kind::Tampered),
        (
            key,
            400,
            Some("'[0].associated_data' provided for non-AEAD cipher suite rsa-2048"),
            Kind::Config,
        ),
        (key, 400, Some("something new"), Kind::Config),
    ] {
        let e = from_answer(&Question::of_tests(step), status, said, &[]);
        assert_eq!(e.kind(), kind, "{status} {said:?}: {e}");
        assert!(!e.to_string().contains("MOUNT"), "{e}");
    }
}

#[test]
fn a_message_names_the_place_and_no_secret() {
    let asked = Question::of_tests(Step::Login);
    assert_eq!(
        asked.shown(),
        "auth/jwt/login (https://h:8200, namespace 'team1')"
    );
    let said = "role \"x\": bad token eyJhHIDDEN";
    let e = from_answer(&asked, 400, Some(said), &["eyJhHIDDEN"]);
    assert!(!e.to_string().contains("HIDDEN"), "{e}");
}

#[test]
fn a_secret_that_is_cut_is_not_shown_either() {
    let asked = Question::of_tests(Step::Login);
    let jwt: String = (0..300).map(|i| format!("<{i}>")).collect();
    let value = serde_json::json!({"errors": [format!("error validating token: {jwt}")]});
    let said = said(value.as_object()).unwrap();
    assert!(!said.contains(&jwt), "it is not cut");
    let e = from_answer(&asked, 400, Some(&said), &[&jwt]).to_string();
    assert!(
        e.contains("a secret is in them") && !e.contains("<5>"),
        "{e}"
    );
    for (secret, repeated) in [("", false), ("short", true), ("other", false)] {
        assert_eq!(repeats("a short text", &[secret]), repeated, "{secret}");
    }
}

#[test]
fn what_vault_says_is_one_harmless_line() {
    let of = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        said(value.as_object())
    };
    let long = format!("{{\"errors\":[\"{}\"]}}", "x".repeat(100_000));
    assert!(of(&long).unwrap().len() <= 600);
    assert_eq!(
        of(r#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#).unwrap(),
        "permission denied"
    );
    assert_eq!(
        of(r#"{"errors":["a\u001b[2J", 7, "b"]}"#).unwrap(),
        "a [2J; b"
    );
    assert_eq!(of(r#"{"errors":[]}"#).unwrap(), "");
    for none in ["{}", r#"{"errors":"x"}"#, r#"{"errors":null}"#] {
        assert_eq!(of(none), None);
    }
}
