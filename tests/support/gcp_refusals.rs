//! What Google refuses, each by its body. Part of tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::google::KEY;
use super::gcp_federation::{external, federation, subject_token};
use super::{Place, TOKEN, not_opened, opens, refused, soon, told, unwrap, wrap};
use keyring_ward::error::Kind;
use keyring_ward::kek::MOST_RANDOM;
use keyring_ward::secret::SecretPool;
use serde_json::json;

#[test]
fn each_refusal_has_its_kind_and_says_what_to_do() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let version = format!("{KEY}/cryptoKeyVersions/1");
    for (name, value, kind, words) in [
        (
            "state",
            "DISABLED",
            Kind::Denied,
            &*format!("{version} is not enabled, current state is: DISABLED"),
        ),
        (
            "state",
            "DISABLED",
            Kind::Denied,
            &*format!("gcloud kms keys versions enable {KEY}/cryptoKeyVersions/N"),
        ),
        (
            "state",
            "DESTROY_SCHEDULED",
            Kind::Denied,
            &*format!(
                "NOW, before its date, restore the version that the sentence names, at the end N: gcloud kms keys versions restore {KEY}/cryptoKeyVersions/N"
            ),
        ),
        (
            "state",
            "DESTROYED",
            Kind::Denied,
            "can't be opened by it any more",
        ),
        (
            "state",
            "PENDING_GENERATION",
            Kind::Unreachable,
            "PENDING_GENERATION",
        ),
        (
            "deny",
            "decrypt",
            Kind::Denied,
            "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied",
        ),
        (
            "deny",
            "decrypt",
            Kind::Denied,
            "--role roles/cloudkms.cryptoKeyEncrypterDecrypter",
        ),
        (
            "api",
            "disabled",
            Kind::Denied,
            "gcloud services enable cloudkms.googleapis.com",
        ),
        ("api", "unpaid", Kind::Denied, "no billing account"),
        ("api", "perimeter", Kind::Denied, "service perimeter"),
        ("quota", "used", Kind::Unreachable, "Quota exceeded"),
        (
            "purpose",
            "ASYMMETRIC_DECRYPT",
            Kind::Config,
            "purpose ENCRYPT_DECRYPT",
        ),
        (
            "checksums",
            "request",
            Kind::Unreachable,
            "changed on its way to Google",
        ),
        (
            "checksums",
            "answer",
            Kind::Unreachable,
            "does not fit its checksum",
        ),
        (
            "answers",
            "short",
            Kind::Config,
            "something else than a data key of 32 bytes",
        ),
    ] {
        place.fake.set(name, value);
        not_opened(&format!("{name} is '{value}'"), &*kek, &stanza, kind, words);
        place.fake.set(name, "");
    }
    for (name, value, kind, words) in [
        ("state", "DISABLED", Kind::Denied, "versions enable"),
        ("deny", "encrypt", Kind::Denied, "useToEncrypt"),
        (
            "checksums",
            "unseen",
            Kind::Unreachable,
            "did not get the checksums",
        ),
        (
            "checksums",
            "answer",
            Kind::Unreachable,
            "does not fit its checksum",
        ),
        ("answers", "name", Kind::Config, "the name of another key"),
    ] {
        place.fake.set(name, value);
        refused(
            &format!("at encrypt, {name} is '{value}'"),
            &*kek,
            kind,
            words,
        );
        place.fake.set(name, "");
    }
    opens(&*kek, &stanza);
    // Who may only decrypt opens.
    place.fake.set("deny", "encrypt");
    opens(&*kek, &stanza);
    place.fake.set("deny", "");
    let absent = place.kek(json!({"key": format!("{KEY}2")}));
    refused(
        "a key that is not there",
        &*absent,
        Kind::NotFound,
        "gcloud kms keys list",
    );
    place.fake.set("hidden", "yes");
    refused(
        "a key that is not there, asked by who may not look",
        &*absent,
        Kind::Denied,
        "A key that is not there gets the same answer",
    );
}

#[test]
fn bodies_that_the_fake_does_not_give_have_their_kinds() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let google = |code: u16, status: &str, message: &str| {
        let body = json!({"error": {"code": code, "message": message, "status": status}});
        format!("answer {code} {body}")
    };
    place.fake.set("fault_on", ":decrypt");
    for (fault, kind, words) in [
        (
            google(500, "INTERNAL", "Internal error encountered."),
            Kind::Unreachable,
            "Internal error",
        ),
        (
            google(503, "UNAVAILABLE", "The service is currently unavailable."),
            Kind::Unreachable,
            "currently unavailable",
        ),
        (
            google(504, "DEADLINE_EXCEEDED", "Deadline exceeded."),
            Kind::Unreachable,
            "Deadline",
        ),
        (
            google(499, "CANCELLED", "The operation was cancelled."),
            Kind::Unreachable,
            "cancelled",
        ),
        (
            google(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
            ),
            Kind::Denied,
            "clock",
        ),
        (
            google(400, "FAILED_PRECONDITION", "Something new."),
            Kind::Denied,
            "keys describe",
        ),
        (
            google(
                400,
                "INVALID_ARGUMENT",
                "Decryption failed: the ciphertext is invalid.",
            ),
            Kind::WrongKek,
            "was changed",
        ),
        (google(404, "NOT_FOUND", "x"), Kind::NotFound, "keys list"),
        (
            "answer 403 <html>".into(),
            Kind::Denied,
            "Something before Google Cloud KMS",
        ),
        (
            "answer 404 <html>".into(),
            Kind::Config,
            "This is not Google Cloud KMS",
        ),
        (
            "answer 204 ".into(),
            Kind::Config,
            "This is not Google Cloud KMS",
        ),
        ("answer 200 {}".into(), Kind::Config, "data key of 32 bytes"),
        (
            "answer 200 []".into(),
            Kind::Config,
            "This is not Google Cloud KMS",
        ),
        (
            "answer 200 {\"plaintext\":\"HIDD!N\"}".into(),
            Kind::Config,
            "data key of 32 bytes",
        ),
        (
            "answer 200 {\"plaintext\":\"\",\"plaintext\":\"\"}".into(),
            Kind::Config,
            "This is not Google Cloud KMS",
        ),
    ] {
        place.fake.set("fault", &fault);
        let said = not_opened(
            &format!("decrypt answers: {}", &fault[7..]),
            &*kek,
            &stanza,
            kind,
            words,
        );
        assert!(!said.contains("HIDD") && !said.contains("ya29"), "{said}");
    }
    place.fake.set("fault", "");
    opens(&*kek, &stanza);
}

#[test]
fn words_that_repeat_what_was_sent_are_not_shown() {
    let place = Place::new();
    let subject = place.secret("subject", &subject_token(&place, json!({})));
    let file = external(
        &place,
        true,
        json!({"credential_source": {"file": subject}}),
    );
    std::fs::write(place.path("external.json"), file.to_string()).unwrap();
    let kek = place.kek(federation(&place));
    let stanza = wrap(&*kek).unwrap();
    for (at, kind) in [
        ("/v1/token", Kind::Denied),
        (":generateAccessToken", Kind::Config),
        (":encrypt", Kind::Config),
        (":decrypt", Kind::Config),
    ] {
        place.fake.set("echo", at);
        let (what, words) = (format!("{at} repeats what was sent"), "a secret is in them");
        let said = match at {
            ":encrypt" => refused(&what, &*kek, kind, words),
            _ => not_opened(&what, &*kek, &stanza, kind, words),
        };
        let sent = place.last();
        let token = sent.header("authorization").unwrap_or_default();
        assert!(token.is_empty() == (at == "/v1/token"), "{at}");
        let token = token.strip_prefix("Bearer ").unwrap_or("eyJ");
        assert!(
            !said.contains(token) && !said.contains("plaintext"),
            "{said}"
        );
    }
}

#[test]
fn random_bytes_come_of_googles_hsms() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    assert!(kek.has_generator());
    let pool = SecretPool::new();
    let random = "POST /v1/projects/test-only/locations/europe-west3:generateRandomBytes 200";
    // One call gives 8 to 1,024 bytes.
    for length in [1, 7, 8, 32, MOST_RANDOM] {
        place.fake.take_calls();
        let bytes = kek.random(&pool, length, soon()).unwrap();
        assert_eq!(bytes.len(), length);
        assert_eq!(place.fake.take_calls(), [TOKEN, random], "{length}");
        let zeroes = bytes.iter().filter(|b| **b == 0).count();
        assert!(length < 8 || zeroes < length / 2, "{length}: {zeroes}");
    }
    for (name, value, kind, words) in [
        ("deny", "random", Kind::Denied, "generateRandomBytes"),
        (
            "checksums",
            "answer",
            Kind::Unreachable,
            "does not fit its checksum",
        ),
        (
            "answers",
            "short",
            Kind::Config,
            "random bytes of another number",
        ),
    ] {
        place.fake.set(name, value);
        let what = format!("random bytes, {name} is '{value}'");
        told(&what, || kek.random(&pool, 32, soon()), kind, words);
        place.fake.set(name, "");
    }
    let global = place.kek(json!({"key": KEY.replace("europe-west3", "global")}));
    let failed = || global.random(&pool, 32, soon());
    told(
        "random bytes in a location without HSMs",
        failed,
        Kind::Config,
        "HSMs only",
    );
}

/// The lease asks no more of an error: what Google says of the key itself, after it has accepted who asks.
#[test]
fn the_use_of_the_key_is_withdrawn_only_by_what_is_said_of_it() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    for (name, value, withdrawn) in [
        ("state", "DISABLED", true),
        ("state", "DESTROY_SCHEDULED", true),
        ("state", "DESTROYED", true),
        ("deny", "decrypt", true),
        ("api", "disabled", false),
        ("api", "unpaid", false),
        ("scopes", "https://www.googleapis.com/auth/pubsub", false),
        ("token_seconds", "0", false),
        ("account", "none", false),
        ("quota", "used", false),
    ] {
        place.fake.set(name, value);
        let e = unwrap(&*kek, &stanza).map(drop).unwrap_err();
        assert_eq!(e.is_withdrawn(), withdrawn, "{name} is '{value}': {e}");
        place.fake.set(name, "");
    }
}
