//! Faults at each place that is asked: the metadata server, the security token service, IAM, Cloud KMS. Part of
//! tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::gcp_federation::{external, federation, subject_token};
use super::kms_proxy::{Proxy, Tls};
use super::{Place, TOKEN, call, not_opened, opens, refused, unwrap, wrap};
use keyring_ward::error::Kind;
use serde_json::json;
use std::time::{Duration, Instant};

/// What happens, and what becomes of it.
const FAULTS: [(&str, Kind); 7] = [
    ("hang", Kind::Unreachable),
    ("reset", Kind::Unreachable),
    ("empty", Kind::Unreachable),
    ("garbage", Kind::Unreachable),
    ("html", Kind::Config),
    ("huge", Kind::Config),
    ("redirect", Kind::Config),
];

#[test]
fn faults_end_within_the_deadline_wherever_they_are() {
    let place = Place::new();
    let subject = place.secret("subject", &subject_token(&place, json!({})));
    let file = external(
        &place,
        true,
        json!({"credential_source": {"file": subject}}),
    );
    std::fs::write(place.path("external.json"), file.to_string()).unwrap();
    let (metadata, federated) = (place.kek(json!({})), place.kek(federation(&place)));
    let stanza = wrap(&*metadata).unwrap();
    for (at, kek) in [
        ("/token", &metadata),
        ("/v1/token", &federated),
        (":generateAccessToken", &federated),
        (":decrypt", &federated),
    ] {
        place.fake.set("fault_on", at);
        for (fault, kind) in FAULTS {
            place.fake.set("fault", fault);
            let begin = Instant::now();
            let said = not_opened(&format!("{fault} at {at}"), &**kek, &stanza, kind, "");
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(6), "{fault} at {at}: {took:?}");
            assert!(!said.contains("ya29") && !said.contains("eyJ"), "{said}");
            // No redirect is followed: the token would go with it.
            let calls = place.fake.take_calls();
            assert!(!calls.iter().any(|c| c.contains("stolen")), "{calls:?}");
        }
        place.fake.set("fault", "answer 503 {}");
        not_opened(
            &format!("503 at {at}"),
            &**kek,
            &stanza,
            Kind::Unreachable,
            "HTTP status 503",
        );
        place.fake.set("fault", "");
        opens(&**kek, &stanza);
    }
}

#[test]
fn what_passes_is_waited_for() {
    let place = Place::new();
    // An attempt has more time than the answer needs.
    let kek = place.kek(json!({"attempt_timeout": 3}));
    let stanza = wrap(&*kek).unwrap();
    place.fake.set("fault_on", ":decrypt");
    place.fake.set("fault", "slow");
    let begin = Instant::now();
    opens(&*kek, &stanza);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    // A token is asked for anew with each attempt.
    place.fake.set("fault", "answer 503 {}");
    place.fake.take_calls();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| unwrap(&*kek, &stanza));
        let begin = Instant::now();
        let mut calls = Vec::new();
        while calls.len() < 4 {
            calls.extend(place.fake.take_calls());
            assert!(begin.elapsed() < Duration::from_secs(4), "{calls:?}");
        }
        place.fake.set("fault", "");
        assert!(waiting.join().unwrap().unwrap().is_some());
        assert_eq!(
            calls[..2],
            [TOKEN, &call("decrypt").replace(" 200", " 503")]
        );
        assert_eq!(calls[2], TOKEN);
    });
}

#[test]
fn the_network_has_its_errors() {
    let place = Place::new();
    let closed = format!("http://{}", super::ports::closed());
    refused(
        "no metadata server",
        &*place.kek(json!({"metadata_url": closed})),
        Kind::Unreachable,
        "choose another auth",
    );
    refused(
        "nothing listens at the endpoint",
        &*place.kek(json!({"endpoint": closed})),
        Kind::Unreachable,
        "Nothing listens there",
    );
    refused(
        "a name that does not resolve",
        &*place.kek(json!({"endpoint": "https://cloudkms.invalid"})),
        Kind::Unreachable,
        "",
    );
    // The metadata server is asked without the proxy, Cloud KMS by it.
    place.fake.take_calls();
    refused(
        "a proxy that is away",
        &*place.kek(json!({"proxy": closed})),
        Kind::Unreachable,
        "proxy",
    );
    let calls = place.fake.take_calls();
    assert!(
        !calls.is_empty() && calls.iter().all(|c| c == TOKEN),
        "{calls:?}"
    );
}

#[test]
fn only_googles_certificate_is_taken() {
    let place = Place::new();
    let tls = Tls::new();
    let ca = place.path("ca.pem");
    std::fs::write(&ca, &tls.ca_pem).unwrap();
    let good = Proxy::start_with(place.fake.address, tls.acceptor("localhost", false));
    let url = |proxy: &Proxy| format!("https://localhost:{}", proxy.address.port());
    wrap(&*place.kek(json!({"endpoint": url(&good), "ca_file": ca}))).unwrap();
    assert_eq!(good.take_requests().len(), 1);
    let unknown = place.kek(json!({"endpoint": url(&good)}));
    refused(
        "a certificate of an unknown authority",
        &*unknown,
        Kind::Config,
        "certificate is not accepted",
    );
    assert!(good.take_requests().is_empty(), "a request was sent");
    for (what, name, old) in [
        ("an expired certificate", "localhost", true),
        (
            "a certificate of another name",
            "cloudkms.example.org",
            false,
        ),
    ] {
        let proxy = Proxy::start_with(place.fake.address, tls.acceptor(name, old));
        let kek = place.kek(json!({"endpoint": url(&proxy), "ca_file": ca}));
        refused(what, &*kek, Kind::Config, "certificate is not accepted");
        assert!(proxy.take_requests().is_empty(), "a request was sent");
    }
}
