//! What no server does on demand: hanging, lying, other certificates, at each of the three services that are asked. Part
//! of tests/contract_oci_vault.rs.

#![allow(clippy::unwrap_used)]

use super::kms_proxy::{Proxy, Tls};
use super::ports;
use super::{FILE, Place, not_opened, opens, refused, told, unwrap_until, wrap};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use keyring_ward::kek::Kek;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FAULTS: [(&str, Kind, &str); 8] = [
    ("hang", Kind::Unreachable, ""),
    ("reset", Kind::Unreachable, ""),
    ("empty", Kind::Unreachable, ""),
    ("garbage", Kind::Unreachable, "invalid HTTP version"),
    ("html", Kind::Config, ""),
    ("huge", Kind::Config, "bytes"),
    ("redirect", Kind::Config, "Redirects are not followed"),
    ("slow", Kind::Unreachable, ""),
];

/// Each fault at what `on` names, and what must be told of it. Nobody waits longer than the deadline and a moment.
fn at(place: &Place, kek: &dyn Kek, what: &str, on: &str, words: &[(&str, &str)]) {
    let stanza = wrap(&*place.as_user()).unwrap();
    place.fake.set("fault_on", on);
    for (fault, kind, said) in FAULTS {
        place.fake.set("fault", fault);
        let begin = Instant::now();
        let end = Deadline::after(Duration::from_secs(4));
        let e = unwrap_until(kek, &FILE, &stanza, end)
            .map(drop)
            .unwrap_err();
        told(&format!("{what}: {fault}"), &e, begin);
        assert_eq!(e.kind(), kind, "{what} {fault}: {e}");
        let words = words.iter().find(|(of, _)| *of == fault);
        for words in [said, words.map_or("", |(_, words)| words)] {
            assert!(e.to_string().contains(words), "{what} {fault}: {e}");
        }
        assert!(begin.elapsed() < Duration::from_secs(7), "{what} {fault}");
    }
    // It passes while there is time.
    place.fake.set("fault", "answer 503 {}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| opens(kek, &stanza));
        place.fake.set("fault", "");
        waiting.join().unwrap();
    });
}

#[test]
fn faults_of_the_key_call_end_within_the_deadline() {
    let place = Place::new();
    // Slow is slower than an attempt may take.
    let kek = place.kek(json!({"attempt_timeout": 1}));
    let not_oci = [
        ("html", "This is not OCI Vault"),
        ("hang", "did not answer"),
    ];
    at(&place, &*kek, "the key call", "/20180608/", &not_oci);
}

#[test]
fn faults_of_the_login_end_within_the_deadline() {
    let place = Place::new();
    let mut options = place.instance();
    options["attempt_timeout"] = 2.into();
    let kek = place.kek(options);
    let not_oci = [
        ("html", "This is not OCI's login"),
        ("hang", "did not answer"),
    ];
    at(&place, &*kek, "the login", "/v1/x509", &not_oci);
}

#[test]
fn faults_of_the_metadata_service_end_within_the_deadline() {
    let place = Place::new();
    let mut options = place.instance();
    // Three seconds are its own limit, and slow is two.
    options["attempt_timeout"] = 1.into();
    let kek = place.kek(options);
    let pem = [
        ("html", "certificates in PEM"),
        ("hang", "only on a machine of that cloud"),
    ];
    at(&place, &*kek, "the metadata service", "/opc/v2/", &pem);
}

#[test]
fn answers_that_are_not_ocis_are_refused() {
    let place = Place::new();
    let kek = place.as_user();
    let stanza = wrap(&*kek).unwrap();
    place.fake.set("fault_on", "/20180608/");
    for (body, words) in [
        ("200 []", "This is not OCI Vault"),
        (
            "200 {\"plaintext\":\"A\",\"plaintext\":\"A\"}",
            "This is not OCI Vault",
        ),
        ("200 {}", "32 bytes"),
        ("200 {\"plaintext\":\"HIDD!N\"}", "32 bytes"),
        (
            "200 {\"plaintext\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}",
            "32 bytes",
        ),
        ("404 <html>", "This is not OCI Vault"),
        (
            "302 {\"code\":\"X\",\"message\":\"m\"}",
            "Redirects are not followed",
        ),
    ] {
        place.fake.set("fault", &format!("answer {body}"));
        let what = format!("the key call answers {body}");
        let said = not_opened(&what, &*kek, &stanza, Kind::Config, words);
        assert!(!said.contains("HIDD"), "{said}");
    }
    place.fake.set("fault", "answer 403 <html>");
    let what = "the key call answers 403 <html>";
    not_opened(
        what,
        &*kek,
        &stanza,
        Kind::Denied,
        "Something before OCI Vault",
    );
    // Another data key, with its checksum: the DEK's wrap tells.
    let zeroes = json!({
        "plaintext": data_encoding::BASE64.encode(&[0; 32]),
        "plaintextChecksum": crc32fast::hash(&[0; 32]).to_string(),
    });
    place.fake.set("fault", &format!("answer 200 {zeroes}"));
    let opened = super::unwrap(&*kek, &stanza);
    assert!(!matches!(opened, Ok(Some(_))), "another data key opens");
    // What generateDataEncryptionKey may not answer.
    for ciphertext in ["", "!", "AAE", &"A".repeat(9000)] {
        let mut answer = zeroes.clone();
        answer["ciphertext"] = ciphertext.into();
        place.fake.set("fault", &format!("answer 200 {answer}"));
        let what = format!("a ciphertext of {} characters", ciphertext.len());
        refused(
            &what,
            &*kek,
            Kind::Config,
            "something else than a ciphertext",
        );
    }
}

#[test]
fn the_network_and_certificates_have_their_errors() {
    let place = Place::new();
    let closed = format!("http://{}", ports::closed());
    let at = |endpoint: &str, more: Value| {
        let mut changes = more;
        changes["crypto_endpoint"] = endpoint.into();
        place.kek(changes)
    };
    let what = "nothing listens at the endpoint";
    refused(what, &*at(&closed, json!({})), Kind::Unreachable, "refused");
    let what = "a name that does not resolve";
    refused(
        what,
        &*at("https://x.invalid", json!({})),
        Kind::Unreachable,
        "",
    );
    let mut options = place.instance();
    options["federation_endpoint"] = closed.clone().into();
    let what = "nothing listens at the login";
    refused(what, &*place.kek(options), Kind::Unreachable, "refused");
    let mut options = place.instance();
    options["metadata_url"] = closed.into();
    let what = "there is no metadata service";
    let words = "only on a machine of that cloud";
    refused(what, &*place.kek(options), Kind::Unreachable, words);
    // TLS, by a proxy before the fake: the signature holds for the name that was asked.
    let tls = Tls::new();
    let ca = place.path("ca.pem");
    std::fs::write(&ca, &tls.ca_pem).unwrap();
    let secure = |name: &str, old: bool| {
        let proxy = Proxy::start_with(place.fake.address, tls.acceptor(name, old));
        (format!("https://localhost:{}", proxy.address.port()), proxy)
    };
    let (url, _proxy) = secure("localhost", false);
    let kek = at(&url, json!({"ca_file": ca}));
    opens(&*kek, &wrap(&*kek).unwrap());
    let what = "a certificate of an unknown authority";
    refused(what, &*at(&url, json!({})), Kind::Config, "ca_file");
    let mut both = place.instance();
    both["federation_endpoint"] = url.clone().into();
    both["ca_file"] = ca.to_str().into();
    let kek = at(&url, both);
    opens(&*kek, &wrap(&*kek).unwrap());
    for (what, name, old, words) in [
        ("an expired certificate", "localhost", true, "xpired"),
        (
            "a certificate of another name",
            "kms.example.org",
            false,
            "kms.example.org",
        ),
    ] {
        let (url, proxy) = secure(name, old);
        refused(
            what,
            &*at(&url, json!({"ca_file": ca})),
            Kind::Config,
            words,
        );
        assert!(proxy.take_requests().is_empty(), "a request was sent");
    }
    // A proxy that the configuration names.
    let proxy = Proxy::start(place.fake.address);
    let kek = place.kek(json!({"proxy": proxy.url()}));
    wrap(&*kek).unwrap();
    assert_eq!(proxy.take_requests().len(), 1);
}
