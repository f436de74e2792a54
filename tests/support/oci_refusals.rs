//! Each refusal of OCI has its kind and says what to do, for both ways to ask. Part of tests/contract_oci_vault.rs.

#![allow(clippy::unwrap_used)]

use super::bao::write_secret;
use super::clouds::oci::{KEY, USER_KEY};
use super::{Place, later, not_opened, opens, refused, unwrap_until, wrap};
use keyring_ward::error::Kind;
use keyring_ward::kek::Kek;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_key_that_is_disabled_deleted_or_not_allowed_is_told() {
    let place = Place::new();
    let (kek, set) = (place.as_user(), |name, value| place.fake.set(name, value));
    let stanza = wrap(&*kek).unwrap();
    for (state, kind, words) in [
        ("DISABLED", Kind::Denied, "oci kms management key enable"),
        (
            "PENDING_DELETION",
            Kind::Denied,
            "cancel that NOW: oci kms management key cancel-deletion",
        ),
        (
            "DELETED",
            Kind::Denied,
            "the same answer for what is not there",
        ),
    ] {
        set("state", state);
        let said = not_opened(
            &format!("a key that is {state}"),
            &*kek,
            &stanza,
            kind,
            words,
        );
        assert!(
            said.contains(KEY) && said.contains("(opc-request-id FAKE/"),
            "{said}"
        );
        refused(
            &format!("a key that is {state}, at a wrap"),
            &*kek,
            kind,
            words,
        );
    }
    set("state", "ENABLED");
    // Who may only decrypt opens and makes nothing.
    set("policy", "decrypt");
    opens(&*kek, &stanza);
    refused(
        "the policy allows no encrypt",
        &*kek,
        Kind::Denied,
        "use keys",
    );
    set("policy", "none");
    not_opened(
        "the policy allows nothing",
        &*kek,
        &stanza,
        Kind::Denied,
        "use keys",
    );
    set("policy", "all");
    set("algorithm", "RSA");
    refused("a key for RSA", &*kek, Kind::Config, "a key for AES");
    set("algorithm", "");
    let elsewhere = place.kek(json!({"key_ocid": "ocid1.key.oc1.eu-frankfurt-1.b.c"}));
    let what = "a key that is not there";
    refused(
        what,
        &*elsewhere,
        Kind::Denied,
        "the same answer for what is not there",
    );
    let what = "a stanza whose ciphertext is cut";
    let mut short = stanza.clone();
    short.blob.truncate(short.blob.len() - 20);
    not_opened(
        what,
        &*kek,
        &short,
        Kind::WrongKek,
        "the keyring file was changed",
    );
    opens(&*kek, &stanza);
}

#[test]
fn each_code_of_oci_has_its_kind() {
    let place = Place::new();
    let (kek, set) = (place.as_user(), |name, value: &str| {
        place.fake.set(name, value)
    });
    let stanza = wrap(&*kek).unwrap();
    set("fault_on", "/20180608/");
    for (status, code, kind, words) in [
        (
            400,
            "InvalidParameter",
            Kind::WrongKek,
            "another key wrapped the DEK",
        ),
        (400, "CannotParseRequest", Kind::Config, "a key for AES"),
        (400, "MissingParameter", Kind::Config, "a key for AES"),
        (400, "LimitExceeded", Kind::Denied, "limit or quota"),
        (400, "QuotaExceeded", Kind::Denied, "limit or quota"),
        (
            400,
            "RelatedResourceNotAuthorizedOrNotFound",
            Kind::Denied,
            "use keys",
        ),
        (
            401,
            "NotAuthenticated",
            Kind::Denied,
            "oci iam user api-key list",
        ),
        (402, "SignUpRequired", Kind::Denied, "use keys"),
        (403, "NotAuthorized", Kind::Denied, "use keys"),
        (404, "NotAuthorizedOrNotFound", Kind::Denied, "use keys"),
        (
            404,
            "NotFound",
            Kind::Config,
            "management endpoint is another one",
        ),
        (
            405,
            "MethodNotAllowed",
            Kind::Config,
            "There is no such call",
        ),
        (409, "IncorrectState", Kind::Denied, "cancel-deletion"),
        (409, "LockConflict", Kind::Unreachable, "tried again"),
        (
            409,
            "ExternalServerIncorrectState",
            Kind::Unreachable,
            "outside of OCI",
        ),
        (429, "TooManyRequests", Kind::Unreachable, "tried again"),
        (500, "InternalServerError", Kind::Unreachable, "tried again"),
        (
            501,
            "MethodNotImplemented",
            Kind::Config,
            "There is no such call",
        ),
        (502, "BadGateway", Kind::Unreachable, "tried again"),
        (503, "ServiceUnavailable", Kind::Unreachable, "tried again"),
        (504, "GatewayTimeout", Kind::Unreachable, "tried again"),
    ] {
        let body = json!({"code": code, "message": "It said so."});
        set("fault", &format!("answer {status} {body}"));
        let what = format!("{status} {code}");
        let said = not_opened(&what, &*kek, &stanza, kind, words);
        assert!(said.contains(&format!("{code}: It said so.")), "{said}");
    }
    set("fault", "");
    opens(&*kek, &stanza);
}

#[test]
fn a_user_that_oci_does_not_know_is_denied() {
    let place = Place::new();
    let stanza = wrap(&*place.as_user()).unwrap();
    let told = "oci iam user api-key list";
    for (what, changes) in [
        (
            "another user",
            json!({"user_ocid": "ocid1.user.oc1..stranger"}),
        ),
        (
            "another tenancy",
            json!({"tenancy_ocid": "ocid1.tenancy.oc1..other"}),
        ),
        (
            "another fingerprint",
            json!({"fingerprint": "00:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34"}),
        ),
    ] {
        not_opened(what, &*place.kek(changes), &stanza, Kind::Denied, told);
    }
    // The file of the key.
    let (kek, file) = (place.as_user(), place.path("key.pem"));
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    write_secret(&file, &other.serialize_pem());
    not_opened(
        "another key in the file",
        &*kek,
        &stanza,
        Kind::Denied,
        told,
    );
    // As the console gives it: with a line behind the key.
    write_secret(&file, &format!("{USER_KEY}OCI_API_KEY\n"));
    opens(&*kek, &stanza);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nSElEREVO\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (what, text) in [
        ("an encrypted key in the file", encrypted),
        ("a key that is not RSA in the file", &ec),
        ("no key in the file", "HIDDEN"),
        ("an empty file of the key", ""),
    ] {
        write_secret(&file, text);
        let said = not_opened(what, &*kek, &stanza, Kind::Config, "must not be encrypted");
        assert!(!said.contains("HIDDEN") && !said.contains("SElE"), "{said}");
    }
    write_secret(&file, USER_KEY);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let what = "others may read the file of the key";
    not_opened(what, &*kek, &stanza, Kind::Permission, "chmod 600");
    std::fs::remove_file(&file).unwrap();
    let what = "the file of the key is not there";
    not_opened(what, &*kek, &stanza, Kind::NotFound, "key.pem");
    let calls = place.fake.take_calls();
    assert_eq!(
        calls.iter().filter(|call| call.ends_with("401")).count(),
        4,
        "{calls:?}"
    );
}

#[test]
fn an_instance_that_is_not_let_in_is_told() {
    let place = Place::new();
    let (kek, set) = (place.as_instance(), |name, value| {
        place.fake.set(name, value)
    });
    let stanza = wrap(&*kek).unwrap();
    set("dynamic_group", "no");
    let what = "the instance is in no dynamic group";
    not_opened(
        what,
        &*kek,
        &stanza,
        Kind::Denied,
        "is in that dynamic group",
    );
    set("dynamic_group", "");
    set("token_seconds", "0");
    let what = "the token has run out between login and call";
    not_opened(what, &*kek, &stanza, Kind::Denied, "it has run out");
    set("token_seconds", "1200");
    set("fault_on", "/v1/x509");
    let token = "eyJhbGciOiJub25lIn0.e30";
    let odd = format!("answer 200 {{\"token\":\"{token}\\\"\"}}");
    for (fault, kind, words) in [
        (
            "answer 401 {\"code\":\"NotAuthenticated\",\"message\":\"m\"}",
            Kind::Denied,
            "certificate",
        ),
        (
            "answer 404 {\"code\":\"NotFound\",\"message\":\"m\"}",
            Kind::Config,
            "federation_endpoint",
        ),
        (
            "answer 429 {\"code\":\"TooManyRequests\",\"message\":\"m\"}",
            Kind::Unreachable,
            "tried again",
        ),
        ("answer 503 {}", Kind::Unreachable, "tried again"),
        ("answer 200 {}", Kind::Config, "no token"),
        ("answer 200 {\"token\":7}", Kind::Config, "no token"),
        (&odd, Kind::Config, "no token"),
    ] {
        set("fault", fault);
        let what = format!("the login: {}", fault.replace(token, "TOKEN"));
        let said = not_opened(&what, &*kek, &stanza, kind, words);
        assert!(!said.contains(token), "{said}");
    }
    set("fault", "");
    opens(&*kek, &stanza);
}

#[test]
fn words_that_repeat_the_token_are_not_shown() {
    let place = Place::new();
    let stanza = wrap(&*place.as_user()).unwrap();
    place.fake.set("answers", "repeating");
    let (kind, hidden) = (Kind::WrongKek, "a secret is in them");
    let what = "an answer that repeats the token";
    let said = not_opened(what, &*place.as_instance(), &stanza, kind, hidden);
    assert!(
        !said.contains("ST$") && !said.contains("signature=") && !said.contains("eyJ"),
        "{said}"
    );
    // With a user's key nothing that was sent is a secret.
    let what = "an answer that repeats a user's signature";
    not_opened(what, &*place.as_user(), &stanza, kind, "rsa-sha256");
}

#[test]
fn the_metadata_service_is_read_with_care() {
    let place = Place::new();
    let (kek, set) = (place.as_instance(), |name, value: &str| {
        place.fake.set(name, value)
    });
    let stanza = wrap(&*kek).unwrap();
    set("identity", "absent");
    let what = "the metadata service has no certificate";
    not_opened(what, &*kek, &stanza, Kind::Unreachable, "just been started");
    // It has it while a start waits; and key and certificate are renewed between two questions.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| unwrap_until(&*kek, &super::FILE, &stanza, later()));
        set("identity", "");
        assert!(waiting.join().unwrap().unwrap().is_some());
    });
    set("identity", "renewing 1");
    opens(&*kek, &stanza);
    set("identity", "renewing 999999");
    let what = "the key of another certificate";
    not_opened(
        what,
        &*kek,
        &stanza,
        Kind::Unreachable,
        "renewed in this moment",
    );
    set("identity", "");
    for (file, body, words) in [
        ("cert.pem", "HIDDEN", "certificates in PEM"),
        ("cert.pem", USER_KEY, "certificates in PEM"),
        ("intermediate.pem", "", "certificates in PEM"),
        ("key.pem", "HIDDEN", "holds no RSA key"),
    ] {
        set("fault_on", &format!("/identity/{file}"));
        set("fault", &format!("answer 200 {body}"));
        let what = format!("the metadata service: {file} is none");
        let said = not_opened(&what, &*kek, &stanza, Kind::Config, words);
        assert!(!said.contains("HIDDEN") && !said.contains("MIIE"), "{said}");
    }
    set("fault_on", "/identity/");
    for (status, kind, words) in [
        (401, Kind::Denied, "metadata_url"),
        (403, Kind::Denied, "metadata_url"),
        (400, Kind::Config, "metadata_url"),
        (429, Kind::Unreachable, "tried again"),
        (500, Kind::Unreachable, "tried again"),
    ] {
        set("fault", &format!("answer {status} <html>"));
        let what = format!("the metadata service: status {status}");
        not_opened(&what, &*kek, &stanza, kind, words);
    }
    // It is asked without a proxy, wherever it is.
    set("fault", "");
    let mut through = place.instance();
    through["proxy"] = "http://127.0.0.1:9".into();
    place.fake.take_calls();
    let kek = place.kek(through);
    let what = "a proxy that is away";
    not_opened(what, &*kek, &stanza, Kind::Unreachable, "proxy");
    let calls = place.fake.take_calls();
    assert!(
        calls.iter().all(|call| call.starts_with("GET /opc/v2/")),
        "{calls:?}"
    );
}

#[test]
fn a_clock_that_is_off_is_told() {
    let place = Place::new();
    let (user, instance) = (place.as_user(), place.as_instance());
    let stanza = wrap(&*user).unwrap();
    let told = |kek: &dyn Kek, who: &str, seconds: i64| {
        place.fake.set("clock", &seconds.to_string());
        let what = format!("the clock is {} s off, {who}", -seconds);
        let said = not_opened(
            &what,
            kek,
            &stanza,
            Kind::Denied,
            "The clock of this machine",
        );
        let off = said
            .split("by ")
            .nth(1)
            .unwrap()
            .split(" s")
            .next()
            .unwrap();
        let off: i64 = off.parse().unwrap();
        assert!((off + seconds).abs() < 5, "{said}");
    };
    told(&*user, "a user", 600);
    told(&*user, "a user", -600);
    told(&*instance, "an instance", 600);
    place.fake.set("clock", "200");
    opens(&*user, &stanza);
    let begin = std::time::Instant::now();
    opens(&*instance, &stanza);
    assert!(begin.elapsed() < Duration::from_secs(20));
}
