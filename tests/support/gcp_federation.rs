//! Logging in to Google by workload identity federation: how many requests it costs, and each way to be wrong. Part of
//! tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::google::jwt::{public_key, sign};
use super::clouds::google::{ACCOUNT_FILE, AUDIENCE, ISSUER, SUBJECT};
use super::clouds::value;
use super::{EXCHANGE, IMPERSONATE, Place, call, not_opened, opens, refused, wrap, write_secret};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use data_encoding::BASE64;
use keyring_ward::error::Kind;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Who signs subject tokens.
static ISSUER_KEY: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

fn unix_now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// A subject token that the pool's provider trusts, with changes to its claims.
pub fn subject_token(place: &Place, changes: Value) -> String {
    place
        .fake
        .set("issuer_key", &BASE64.encode(&public_key(&ISSUER_KEY)));
    let audience = format!("https:{AUDIENCE}");
    let mut claims = json!({"iss": ISSUER, "aud": audience, "sub": SUBJECT, "iat": unix_now(), "exp": unix_now() + 600});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    sign(&ISSUER_KEY, &json!({"alg": "RS256", "typ": "JWT"}), &claims)
}

/// The credentials file of the pool, as gcloud writes it, with changes.
pub fn external(place: &Place, impersonated: bool, changes: Value) -> Value {
    let url = place.fake.url();
    let mut file = json!({
        "universe_domain": "googleapis.com", "type": "external_account", "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": format!("{url}/v1/token"),
    });
    if impersonated {
        let account = format!(
            "{url}/v1/projects/-/serviceAccounts/keyring@test-only.iam.gserviceaccount.com:generateAccessToken"
        );
        file["service_account_impersonation_url"] = account.into();
    }
    for (name, value) in changes.as_object().unwrap() {
        file[name] = value.clone();
    }
    file
}

/// The options of federation with the credentials file `external.json`.
pub fn federation(place: &Place) -> Value {
    json!({"auth": "federation", "metadata_url": null, "credentials_file": place.path("external.json")})
}

#[test]
fn a_federated_identity_logs_in_with_two_requests_or_three() {
    let place = Place::new();
    let token = place.secret(
        "subject",
        &format!("{}\n", subject_token(&place, json!({}))),
    );
    let source = json!({"credential_source": {"file": token, "format": {"type": "text"}}});
    std::fs::write(
        place.path("external.json"),
        external(&place, false, source.clone()).to_string(),
    )
    .unwrap();
    let kek = place.kek(federation(&place));
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(place.fake.take_calls(), [EXCHANGE, &call("encrypt")]);
    opens(&*kek, &stanza);
    assert_eq!(place.fake.take_calls(), [EXCHANGE, &call("decrypt")]);
    // The service account that the pool may be; the subject token is a member of JSON, readable for all, and renewed.
    let renewed =
        json!({"other": 1, "id_token": subject_token(&place, json!({"iat": unix_now() - 9}))});
    std::fs::write(place.path("subject.json"), renewed.to_string()).unwrap();
    let format = json!({"type": "json", "subject_token_field_name": "id_token"});
    let source =
        json!({"credential_source": {"file": place.path("subject.json"), "format": format}});
    std::fs::write(
        place.path("external.json"),
        external(&place, true, source).to_string(),
    )
    .unwrap();
    opens(&*kek, &stanza);
    assert_eq!(
        place.fake.take_calls(),
        [EXCHANGE, IMPERSONATE, &call("decrypt")]
    );
    // What the federated identity gets for that is good for IAM and nothing else.
    let seen = place.seen.lock().unwrap();
    let mut exchanges = seen.iter().filter(|request| request.path == "/v1/token");
    let form = exchanges.next_back().unwrap().form();
    assert_eq!(value(&form, "scope"), "https://www.googleapis.com/auth/iam");
    drop(seen);
    // What may be without the account may be too much with it, and the other way round.
    place.fake.set("deny", "impersonate");
    not_opened(
        "federation: the account may not be impersonated",
        &*kek,
        &stanza,
        Kind::Denied,
        "roles/iam.workloadIdentityUser",
    );
    place.fake.set("deny", "");
    let elsewhere =
        external(&place, true, json!({"credential_source": {"file": token}})).to_string();
    let elsewhere = elsewhere.replace("keyring@test-only", "nobody@test-only");
    std::fs::write(place.path("external.json"), elsewhere).unwrap();
    not_opened(
        "federation: the account is not there",
        &*kek,
        &stanza,
        Kind::NotFound,
        "nobody@test-only",
    );
}

#[test]
fn a_subject_token_that_google_does_not_take_is_refused_and_not_shown() {
    let place = Place::new();
    let subject = place.secret("subject", &subject_token(&place, json!({})));
    let file = external(
        &place,
        false,
        json!({"credential_source": {"file": subject}}),
    );
    std::fs::write(place.path("external.json"), file.to_string()).unwrap();
    let kek = place.kek(federation(&place));
    let stanza = wrap(&*kek).unwrap();
    let (now, other) = (unix_now(), KeyPair::generate(KeySize::Rsa2048).unwrap());
    for (what, token, kind, words) in [
        (
            "another issuer",
            subject_token(&place, json!({"iss": "https://x"})),
            Kind::Denied,
            "The issuer in ID Token",
        ),
        (
            "another audience",
            subject_token(&place, json!({"aud": "https://x"})),
            Kind::Denied,
            "The audience in ID Token",
        ),
        (
            "expired",
            subject_token(&place, json!({"iat": now - 7200, "exp": now - 3600})),
            Kind::Denied,
            "stale to sign-in",
        ),
        (
            "issued a day ago",
            subject_token(&place, json!({"iat": now - 90_000})),
            Kind::Denied,
            "stale to sign-in",
        ),
        (
            "of the future",
            subject_token(&place, json!({"iat": now + 900, "exp": now + 1800})),
            Kind::Denied,
            "too early",
        ),
        (
            "another subject",
            subject_token(&place, json!({"sub": "x"})),
            Kind::Denied,
            "attribute condition",
        ),
        (
            "another key",
            sign(&other, &json!({"alg": "RS256"}), &json!({"iss": ISSUER})),
            Kind::Denied,
            "signature",
        ),
        (
            "another algorithm",
            sign(
                &ISSUER_KEY,
                &json!({"alg": "none"}),
                &json!({"iss": ISSUER}),
            ),
            Kind::Denied,
            "RS256",
        ),
        ("no JWT", "HIDDEN".into(), Kind::Denied, "no JWT"),
        ("blanks", "HIDDEN x".into(), Kind::Config, "holds no token"),
        (
            "two lines",
            "HIDDEN\nx\n".into(),
            Kind::Config,
            "more than one line",
        ),
    ] {
        write_secret(&subject, &token);
        let said = not_opened(&format!("federation: {what}"), &*kek, &stanza, kind, words);
        let signature = token.rsplit('.').next().unwrap();
        assert!(
            !said.contains("HIDDEN") && !said.contains(signature),
            "{said}"
        );
    }
    write_secret(&subject, &subject_token(&place, json!({})));
    for (pool, kind, words) in [
        ("gone", Kind::Denied, "pool or provider"),
        ("condition", Kind::Denied, "attribute condition"),
        ("away", Kind::Unreachable, "does not reach the issuer"),
    ] {
        place.fake.set("pool", pool);
        not_opened(
            &format!("federation: the pool is '{pool}'"),
            &*kek,
            &stanza,
            kind,
            words,
        );
    }
    place.fake.set("pool", "");
    opens(&*kek, &stanza);
    std::fs::remove_file(&subject).unwrap();
    not_opened(
        "federation: no file of the subject token",
        &*kek,
        &stanza,
        Kind::NotFound,
        "subject",
    );
}

#[test]
fn a_credentials_file_that_leads_elsewhere_sends_nothing() {
    let place = Place::new();
    let subject = place.secret("subject", &subject_token(&place, json!({})));
    let kek = place.kek(federation(&place));
    place.fake.take_calls();
    let file = |changes: Value| external(&place, true, changes).to_string();
    for (text, kind, words) in [
        (
            file(
                json!({"credential_source": {"file": subject}, "token_url": "https://sts.example.org/v1/token"}),
            ),
            Kind::Config,
            "another token_url than Google's",
        ),
        (
            file(
                json!({"credential_source": {"file": subject}, "service_account_impersonation_url": "http://192.0.2.1/x:generateAccessToken"}),
            ),
            Kind::Config,
            "another service_account_impersonation_url",
        ),
        (
            file(json!({"credential_source": {"executable": {"command": "/bin/true"}}})),
            Kind::Config,
            "has a program print the subject token",
        ),
        (
            file(json!({"credential_source": {"url": place.fake.url()}})),
            Kind::Config,
            "come from a URL",
        ),
        (
            ACCOUNT_FILE.to_string(),
            Kind::Config,
            "Set auth to service_account",
        ),
        ("{".into(), Kind::Config, "is no JSON"),
        ("[]".into(), Kind::Config, "no JSON object"),
        (" ".repeat(70_000), Kind::Io, "larger than"),
    ] {
        std::fs::write(place.path("external.json"), text).unwrap();
        let said = refused(
            &format!("the credentials file: {words}"),
            &*kek,
            kind,
            words,
        );
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
    assert!(place.fake.take_calls().is_empty(), "something was sent");
    // This machine counts as Google only where Cloud KMS is this machine: a subject token goes nowhere else.
    let good = file(json!({"credential_source": {"file": subject}}));
    std::fs::write(place.path("external.json"), good).unwrap();
    let mut changes = federation(&place);
    changes["endpoint"] = "https://localhost:1".into();
    refused(
        "the credentials file names this machine",
        &*place.kek(changes),
        Kind::Config,
        "another token_url",
    );
    std::fs::set_permissions(
        place.path("external.json"),
        std::os::unix::fs::PermissionsExt::from_mode(0o666),
    )
    .unwrap();
    refused(
        "others may write the credentials file",
        &*kek,
        Kind::Permission,
        "everybody can write it",
    );
    std::fs::remove_file(place.path("external.json")).unwrap();
    refused(
        "no credentials file",
        &*kek,
        Kind::NotFound,
        "external.json",
    );
    assert!(place.fake.take_calls().is_empty(), "something was sent");
}
