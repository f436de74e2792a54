//! What no cloud does on demand: hanging, lying, redirecting, at each of the three services; the network; certificates.
//! Part of tests/contract_alibaba_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::alibaba::KEY;
use super::kms_proxy::{Proxy, Tls};
use super::ports;
use super::{Place, not_opened, opens, refused, told, unwrap, wrap};
use data_encoding::BASE64;
use keyring_ward::error::Kind;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A service at which a fault may be.
struct At {
    name: &'static str,
    /// The options with which it is asked.
    options: fn(&Place) -> Value,
    /// What its first request has in it.
    on: &'static str,
    /// What messages call it.
    whom: &'static str,
}

const METADATA: &str = "the instance metadata service";
const SERVICES: [At; 5] = [
    At {
        name: "metadata token",
        options: Place::instance,
        on: "PUT /latest/api/token",
        whom: METADATA,
    },
    At {
        name: "metadata role",
        options: Place::instance,
        on: "GET /latest/meta-data/ram/security-credentials/",
        whom: METADATA,
    },
    At {
        name: "metadata credentials",
        options: Place::instance,
        on: "security-credentials/keyring-ward",
        whom: METADATA,
    },
    At {
        name: "STS",
        options: Place::pod,
        // The first one is its.
        on: "POST /",
        whom: "Alibaba Cloud STS",
    },
    At {
        name: "KMS",
        options: |_| json!({}),
        on: "POST /",
        whom: "Alibaba Cloud KMS",
    },
];

/// Those that may pass are waited for, so all services are tried at once.
#[test]
fn every_fault_at_every_service_ends_within_the_deadline() {
    std::thread::scope(|scope| {
        for at in &SERVICES {
            scope.spawn(move || every_fault(at));
        }
    });
}

fn every_fault(at: &At) {
    let place = Place::new();
    let stanza = wrap(&*place.kek(json!({}))).unwrap();
    let kek = place.kek((at.options)(&place));
    place.fake.set("fault_on", at.on);
    for (fault, kind, words) in [
        ("hang", Kind::Unreachable, "did not answer"),
        ("slow", Kind::Unreachable, "did not answer"),
        ("reset", Kind::Unreachable, "attempts in"),
        ("empty", Kind::Unreachable, "attempts in"),
        ("garbage", Kind::Unreachable, "invalid HTTP version"),
        ("html", Kind::Config, at.whom),
        ("huge", Kind::Config, "it answered with more than"),
        ("redirect", Kind::Config, "Redirects are not followed"),
        ("answer 500 {}", Kind::Unreachable, "HTTP status 500"),
        ("answer 503 <html>", Kind::Unreachable, "HTTP status 503"),
        ("answer 429 {}", Kind::Unreachable, "HTTP status 429"),
        ("answer 400 {}", Kind::Config, at.whom),
        ("answer 200 {}", Kind::Config, at.whom),
        ("answer 200 {\"a\":1,\"a\":1}", Kind::Config, at.whom),
    ] {
        // Any text may be a token: the next answer tells.
        if fault.starts_with("answer 200") && at.name == "metadata token" {
            continue;
        }
        place.fake.set("fault", fault);
        let begin = Instant::now();
        let e = unwrap(&*kek, &stanza).map(drop).unwrap_err();
        let what = format!("{}: {fault}", at.name);
        told(&what, &e, begin, kind, words);
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(8), "{what}: {took:?}");
        let calls = place.fake.take_calls();
        let stolen = calls.iter().any(|call| call.contains("stolen"));
        assert!(!stolen, "{what}: {calls:?}");
    }
    place.fake.set("fault", "");
    opens(&*kek, &stanza);
}

#[test]
fn an_answer_of_kms_that_does_not_fit_is_refused() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let answer = |changes: Value| {
        let mut answer =
            json!({"KeyId": KEY, "Plaintext": BASE64.encode(&[7; 32]), "CiphertextBlob": "AAAA"});
        for (name, value) in changes.as_object().unwrap() {
            answer[name] = value.clone();
        }
        format!("answer 200 {answer}")
    };
    let short = BASE64.encode(&[7; 16]);
    for (changes, words) in [
        (json!({"Plaintext": short}), "a data key of 32 bytes"),
        (json!({"Plaintext": "HIDD!N"}), "a data key of 32 bytes"),
        (json!({"Plaintext": null}), "a data key of 32 bytes"),
        (json!({"KeyId": null}), "no id of a key"),
        (json!({"KeyId": "alias/mysql"}), "no id of a key"),
        (json!({"KeyId": ""}), "no id of a key"),
    ] {
        place.fake.set("fault", &answer(changes.clone()));
        not_opened(
            &format!("Decrypt answers {changes}"),
            &*kek,
            &stanza,
            Kind::Config,
            words,
        );
        refused(
            &format!("GenerateDataKey answers {changes}"),
            &*kek,
            Kind::Config,
            words,
        );
    }
    for (changes, words) in [
        (json!({"CiphertextBlob": ""}), "no ciphertext"),
        (json!({"CiphertextBlob": "A!"}), "no ciphertext"),
        (
            json!({"CiphertextBlob": BASE64.encode(&[0; 6145])}),
            "no ciphertext",
        ),
        (json!({"KeyId": "key-another"}), "the id of another key"),
    ] {
        place.fake.set("fault", &answer(changes.clone()));
        let what = format!("GenerateDataKey answers {}…", &changes.to_string()[..20]);
        refused(&what, &*kek, Kind::Config, words);
    }
    // Another data key than the one that wrapped.
    place.fake.set("fault", &answer(json!({})));
    not_opened(
        "Decrypt gives another data key",
        &*kek,
        &stanza,
        Kind::Tampered,
        "was changed",
    );
    for (code, status, kind) in [
        ("Throttling.User", 400, Kind::Unreachable),
        ("Rejected.Throttling", 429, Kind::Unreachable),
        ("ServiceUnavailableTemporary", 503, Kind::Unreachable),
        ("InternalFailure", 500, Kind::Unreachable),
        ("SignatureNonceUsed", 400, Kind::Unreachable),
        ("Something.New", 400, Kind::Denied),
        ("UnsupportedOperation", 400, Kind::Tampered),
        ("Forbidden.InDebt", 403, Kind::Denied),
    ] {
        let body = json!({"Code": code, "Message": "m", "RequestId": "r"});
        place.fake.set("fault", &format!("answer {status} {body}"));
        not_opened(&format!("{code} ({status})"), &*kek, &stanza, kind, code);
    }
}

/// The real KMS tells what it has signed where a signature is wrong, and the security token is in it.
#[test]
fn words_that_repeat_a_secret_are_not_shown() {
    let place = Place::new();
    let stanza = wrap(&*place.kek(json!({}))).unwrap();
    let kek = place.kek(place.instance());
    place.fake.set("signature", "refused");
    let what = "a wrong signature, with a security token";
    not_opened(what, &*kek, &stanza, Kind::Denied, "a secret is in them");
    // Without one its words are shown.
    let kek = place.kek(json!({}));
    let what = "a wrong signature";
    not_opened(what, &*kek, &stanza, Kind::Denied, "server StringToSign is");
}

#[test]
fn the_network_and_certificates_have_their_errors() {
    let place = Place::new();
    let closed = ports::closed();
    let of = |endpoint: &str| place.kek(json!({"endpoint": endpoint}));
    let kek = of(&format!("http://{closed}"));
    refused(
        "nothing listens",
        &*kek,
        Kind::Unreachable,
        "Nothing listens there",
    );
    let kek = of("https://kms.invalid");
    refused("a name that does not resolve", &*kek, Kind::Unreachable, "");
    let tls = Tls::new();
    let ca = place.path("ca.pem");
    std::fs::write(&ca, &tls.ca_pem).unwrap();
    for (what, name, old, trusted, words) in [
        (
            "a certificate of an unknown authority",
            "localhost",
            false,
            false,
            "ca_file",
        ),
        ("an expired certificate", "localhost", true, true, "xpired"),
        (
            "a certificate of another name",
            "kms.example.org",
            false,
            true,
            "kms.example.org",
        ),
    ] {
        let proxy = Proxy::start_with(place.fake.address, tls.acceptor(name, old));
        let url = format!("https://localhost:{}", proxy.address.port());
        let ca = trusted.then_some(&ca);
        let kek = place.kek(json!({"endpoint": url, "ca_file": ca}));
        refused(what, &*kek, Kind::Config, words);
        assert!(proxy.take_requests().is_empty(), "a request was sent");
    }
    let proxy = Proxy::start_with(place.fake.address, tls.acceptor("localhost", false));
    let url = format!("https://localhost:{}", proxy.address.port());
    wrap(&*place.kek(json!({"endpoint": url, "ca_file": ca}))).unwrap();
    let kek =
        place.kek(json!({"endpoint": url, "ca_file": ca, "proxy": format!("http://{closed}")}));
    refused("a proxy that is away", &*kek, Kind::Unreachable, "proxy");
}

/// Neither a secret nor a data key is in a URL or goes through a proxy to the metadata service.
#[test]
fn what_is_secret_is_in_bodies_and_the_metadata_service_has_no_proxy() {
    let place = Place::new();
    for options in [place.instance(), place.pod()] {
        let proxy = Proxy::start(place.fake.address);
        let mut options = options;
        options["proxy"] = proxy.url().into();
        let kek = place.kek(options);
        opens(&*kek, &wrap(&*kek).unwrap());
        let requests = proxy.take_requests();
        let lines: Vec<&str> = requests.iter().map(|r| r.line.as_str()).collect();
        assert!(!lines.is_empty());
        for line in lines {
            assert!(line.starts_with("POST http://127.0.0.1:"), "{line}");
            for secret in ["Token", "Plaintext", "Ciphertext", "Context"] {
                assert!(!line.contains(secret), "{line}");
            }
        }
    }
}
