//! What no Azure does on demand: hanging, lying, answering of another shape, at each of the three that are asked. Part of
//! tests/contract_azure_key_vault.rs.

#![allow(clippy::unwrap_used)]

use super::azure_logins::application;
use super::clouds::azure::CLIENT_SECRET;
use super::{DEK, FILE, Place, in_a_moment, opens, refused, told, unwrap_until, wrap};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use keyring_ward::format::stanza::Stanza;
use keyring_ward::kek::Kek;
use serde_json::json;
use std::time::{Duration, Instant};

/// Who is asked, by a part of the request.
const ASKED: [(&str, &str); 3] = [
    ("the metadata service", "/metadata/"),
    ("Entra", "/oauth2/v2.0/"),
    ("the vault", "/unwrapkey"),
];

/// A KEK that asks there, with a wrapped stanza; from now on the faults are for this request.
fn begin(place: &Place, on: &str, attempt: u32) -> (Box<dyn Kek>, Stanza) {
    let options = match on {
        "/oauth2/v2.0/" => {
            let secret = place.write("secret", CLIENT_SECRET);
            application(
                place,
                "secret",
                json!({"client_secret_file": secret, "attempt_timeout": attempt}),
            )
        }
        _ => json!({"attempt_timeout": attempt}),
    };
    let kek = place.kek(options);
    let stanza = wrap(&*kek).unwrap();
    place.fake.set("fault_on", on);
    (kek, stanza)
}

#[test]
fn what_no_server_gives_on_demand_ends_within_the_deadline() {
    std::thread::scope(|scope| {
        for (who, on) in ASKED {
            scope.spawn(move || each_fault(who, on));
        }
    });
}

fn each_fault(who: &str, on: &str) {
    let place = Place::new();
    let (kek, stanza) = begin(&place, on, 30);
    for (fault, kind, words) in [
        ("hang", Kind::Unreachable, "did not answer"),
        ("reset", Kind::Unreachable, "attempts in"),
        ("empty", Kind::Unreachable, "attempts in"),
        ("garbage", Kind::Unreachable, "attempts in"),
        ("html", Kind::Config, "This is not"),
        ("huge", Kind::Config, "more than 65536 bytes"),
        ("redirect", Kind::Config, "Redirects are not followed"),
        ("answer 500 ", Kind::Unreachable, "HTTP status 500"),
        ("answer 502 <html>", Kind::Unreachable, "HTTP status 502"),
        ("answer 503 {}", Kind::Unreachable, "HTTP status 503"),
        ("answer 504 {}", Kind::Unreachable, "HTTP status 504"),
        ("answer 408 {}", Kind::Unreachable, "HTTP status 408"),
        (
            "answer 429 {\"error\":{\"code\":\"Throttled\",\"message\":\"Request was not processed because too many requests were received.\"}}",
            Kind::Unreachable,
            "Throttled",
        ),
        ("answer 403 <html>", Kind::Denied, "Something before"),
        ("answer 404 <html>", Kind::Config, "This is not"),
        ("answer 200 []", Kind::Config, "This is not"),
        ("answer 200 {}", Kind::Config, "it answered with"),
        (
            "answer 200 {\"access_token\":7,\"value\":7}",
            Kind::Config,
            "it answered with",
        ),
        (
            "answer 200 {\"access_token\":\"HID DEN\",\"value\":\"HIDD!N\"}",
            Kind::Config,
            "it answered with",
        ),
        (
            "answer 200 {\"value\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"access_token\":\"a\",\"access_token\":\"b\"}",
            Kind::Config,
            "This is not",
        ),
    ] {
        place.fake.set("fault", fault);
        place.fake.take_calls();
        let begin = Instant::now();
        let e = unwrap_until(&*kek, &FILE, &stanza, in_a_moment())
            .map(drop)
            .unwrap_err();
        told(&format!("{who}: {fault}"), &e, begin);
        assert_eq!(e.kind(), kind, "{who}: {fault}: {e}");
        assert!(e.to_string().contains(words), "{who}: {fault}: {e}");
        assert!(!e.to_string().contains("HID"), "{e}");
        assert!(!e.is_withdrawn(), "{e}");
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{who}: {fault}: {:?}",
            begin.elapsed()
        );
        let calls = place.fake.take_calls();
        assert!(
            !calls.iter().any(|call| call.contains("stolen")),
            "{calls:?}"
        );
    }
    place.fake.set("fault", "");
    opens(&*kek, &stanza);
}

#[test]
fn what_is_slow_is_waited_for() {
    std::thread::scope(|scope| {
        for (_, on) in ASKED {
            scope.spawn(move || {
                let place = Place::new();
                let (kek, stanza) = begin(&place, on, 30);
                place.fake.set("fault", "slow");
                let begin = Instant::now();
                let late = Deadline::after(Duration::from_secs(20));
                let opened = unwrap_until(&*kek, &FILE, &stanza, late);
                assert_eq!(opened.unwrap(), Some(DEK.to_vec()));
                assert!(begin.elapsed() >= Duration::from_secs(2));
            });
        }
    });
}

#[test]
fn an_attempt_has_a_time_of_its_own() {
    std::thread::scope(|scope| {
        for (_, on) in ASKED {
            scope.spawn(move || {
                let place = Place::new();
                let (kek, stanza) = begin(&place, on, 1);
                place.fake.set("fault", "hang");
                place.fake.take_calls();
                let end = Deadline::after(Duration::from_secs(5));
                let e = unwrap_until(&*kek, &FILE, &stanza, end).map(drop);
                let e = e.unwrap_err().to_string();
                assert!(e.contains("attempts in 5 s"), "{e}");
                let calls = place.fake.take_calls();
                let asked = calls.iter().filter(|call| call.contains(on));
                assert!((2..=5).contains(&asked.count()), "{calls:?}");
            });
        }
    });
}

#[test]
fn the_metadata_service_is_waited_for_while_it_is_updated() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    place.fake.set("fault_on", "/metadata/");
    for (fault, kind, words) in [
        (
            "answer 404 {\"error\":\"not_found\",\"error_description\":\"x\"}",
            Kind::Unreachable,
            "is not ready",
        ),
        ("answer 410 ", Kind::Unreachable, "is not ready"),
        (
            "answer 401 {\"error\":\"unknown_source\",\"error_description\":\"Unknown Source x\"}",
            Kind::Denied,
            "unknown_source",
        ),
    ] {
        place.fake.set("fault", fault);
        refused(
            &format!("the metadata service: {fault}"),
            &*kek,
            kind,
            words,
        );
    }
}

#[test]
fn words_that_repeat_what_was_sent_are_not_shown() {
    let place = Place::new();
    let secret = place.write("secret", CLIENT_SECRET);
    let kek = place.kek(application(
        &place,
        "secret",
        json!({"client_secret_file": secret}),
    ));
    place.fake.set("fault_on", "/oauth2/");
    let said = json!({"error": "invalid_client", "error_description": format!("AADSTS7000215: wrong: {CLIENT_SECRET}")});
    place.fake.set("fault", &format!("answer 401 {said}"));
    let said = refused(
        "Entra repeats the secret",
        &*kek,
        Kind::Denied,
        "a secret is in them",
    );
    assert!(!said.contains("HIDDEN"), "{said}");
    // A vault that repeats the token, which the fake gives as it is told to.
    let token = "HIDDEN.token.0123456789";
    place.fake.set(
        "fault",
        &format!("answer 200 {{\"access_token\":\"{token}\"}}"),
    );
    refused("a token that is none", &*kek, Kind::Denied, "AKV10046");
}

#[test]
fn a_vault_that_lies_at_a_wrap_gets_no_keyring() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let good = wrap(&*kek).unwrap();
    let version = data_encoding::HEXLOWER.encode(&good.params);
    let value = data_encoding::BASE64URL_NOPAD.encode(&good.blob[super::LOCAL..]);
    let host = place.fake.url().replace("http://", "https://");
    let of = |host: &str, name: &str, version: &str, value: &str| {
        json!({"kid": format!("{host}/keys/{name}/{version}"), "value": value}).to_string()
    };
    place.fake.set("fault_on", "/wrapkey");
    for (what, answer, words) in [
        (
            "of another host",
            of("https://kv2.example.org", "mysql", &version, &value),
            "the name of another key",
        ),
        (
            "of another name",
            of(&host, "other", &version, &value),
            "the name of another key",
        ),
        (
            "of no version",
            of(&host, "mysql", "", &value),
            "the name of another key",
        ),
        (
            "of a version of another shape",
            of(&host, "mysql", "../secrets/x", &value),
            "the name of another key",
        ),
        (
            "without a name",
            json!({"value": value}).to_string(),
            "the name of another key",
        ),
        (
            "that is short",
            of(&host, "mysql", &version, &value[..300]),
            "data key under RSA-OAEP-256",
        ),
        (
            "that is long",
            of(&host, "mysql", &version, &"A".repeat(9000)),
            "data key under RSA-OAEP-256",
        ),
        // It opens, but to another data key than was to be wrapped.
        (
            "of before",
            of(&host, "mysql", &version, &value),
            "another data key than it had wrapped",
        ),
    ] {
        place.fake.set("fault", &format!("answer 200 {answer}"));
        refused(
            &format!("wrapkey answers with a data key {what}"),
            &*kek,
            Kind::Config,
            words,
        );
    }
    place.fake.set("fault_on", "/unwrapkey");
    for (value, words) in [
        (
            data_encoding::BASE64URL_NOPAD.encode(&[7; 31]),
            "a data key of 32 bytes",
        ),
        (
            data_encoding::BASE64URL_NOPAD.encode(&[7; 32]),
            "another data key than it had wrapped",
        ),
    ] {
        place
            .fake
            .set("fault", &format!("answer 200 {{\"value\":\"{value}\"}}"));
        refused(
            &format!("unwrapkey answers with {words}"),
            &*kek,
            Kind::Config,
            words,
        );
    }
}

#[test]
fn the_network_has_its_errors() {
    let place = Place::new();
    let kek = |changes| place.kek(changes);
    let closed = format!("http://{}", super::ports::closed());
    refused(
        "nothing listens where the vault should be",
        &*kek(json!({"vault_url": closed})),
        Kind::Unreachable,
        "refused",
    );
    refused(
        "nothing listens where the metadata service should be",
        &*kek(json!({"metadata_url": closed})),
        Kind::Unreachable,
        "only on a machine of that cloud",
    );
    refused(
        "a vault whose name does not resolve",
        &*kek(json!({"vault_url": "https://vault.invalid"})),
        Kind::Unreachable,
        "vault.invalid",
    );
    // TLS where none is spoken.
    let tls = place.fake.url().replace("http://", "https://");
    refused(
        "TLS where none is spoken",
        &*kek(json!({"vault_url": tls})),
        Kind::Unreachable,
        "tls handshake",
    );
}
