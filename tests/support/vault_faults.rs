//! What no Vault does on demand, by a proxy before a real one: hanging, lying, other certificates. Part of
//! tests/contract_vault.rs.

#![allow(clippy::unwrap_used)]

use super::bao::write_secret;
use super::kms_proxy::{Proxy, Tls};
use super::ports;
use super::{BAO, FILE, Place, opens, plain, refused, soon, told, unwrap, unwrap_until, wrap};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use keyring_ward::secret::SecretPool;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn what_no_server_gives_on_demand_ends_within_the_deadline() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let proxy = Proxy::start(bao.plain);
    let kek = place.kek(&proxy.url(), json!({}));
    let stanza = wrap(&*kek).unwrap();
    let short = "\"data\":{\"plaintext\":\"AAAAAAAAAAAAAAAAAAAAAA==\"}";
    for (fault, kind, words) in [
        ("hang", Kind::Unreachable, "did not answer"),
        ("reset", Kind::Unreachable, "attempts in"),
        ("truncate 20", Kind::Unreachable, "reading a body"),
        ("status 500", Kind::Unreachable, "HTTP status 500"),
        ("status 502", Kind::Unreachable, "HTTP status 502"),
        (
            "answer 412 {\"errors\":[\"required index state not present\"]}",
            Kind::Unreachable,
            "required index",
        ),
        (
            "answer 472 {\"errors\":[]}",
            Kind::Unreachable,
            "name the primary",
        ),
        (
            "answer 473 {\"errors\":[]}",
            Kind::Unreachable,
            "HTTP status 473",
        ),
        ("claim 1073741824", Kind::Config, "more than 1 MiB"),
        ("endless", Kind::Config, "more than 1 MiB"),
        ("html", Kind::Config, "not that of Vault"),
        ("garbage", Kind::Config, "not that of Vault"),
        ("redirect", Kind::Config, "Redirects are not followed"),
        (
            "answer 307 {}",
            Kind::Unreachable,
            "Redirects are not followed",
        ),
        ("answer 403 <html>", Kind::Denied, "Something before Vault"),
        ("answer 404 <html>", Kind::Config, "not that of Vault"),
        ("answer 200 {}", Kind::Config, "no data"),
        ("answer 200 []", Kind::Config, "not that of Vault"),
        ("answer 200 {\"data\":[]}", Kind::Config, "no data"),
        ("answer 200 {\"data\":{}}", Kind::Config, "32 bytes"),
        (
            "answer 200 {\"data\":{\"plaintext\":\"HIDD!N\"}}",
            Kind::Config,
            "32 bytes",
        ),
        (
            "answer 200 {\"data\":{},\"data\":{}}",
            Kind::Config,
            "not that of Vault",
        ),
        (
            &*format!("answer 200 {{{short}}}"),
            Kind::Config,
            "32 bytes",
        ),
        (
            "answer 418 {\"errors\":[\"x\"]}",
            Kind::Config,
            "transit engine",
        ),
        (
            &*format!("answer 400 {{\"errors\":[\"{}\"]}}", bao.root),
            Kind::Config,
            "a secret is in them",
        ),
    ] {
        proxy.set_fault(fault);
        let begin = Instant::now();
        let e = unwrap(&*kek, &stanza).map(drop).unwrap_err();
        let what = format!("a proxy's {}", fault.replace(&bao.root, "TOKEN"));
        told(&what, &e, begin);
        assert_eq!(e.kind(), kind, "{fault}: {e}");
        assert!(e.to_string().contains(words), "{fault}: {e}");
        assert!(
            !e.to_string().contains(&bao.root) && !e.to_string().contains("HIDD"),
            "{e}"
        );
        assert!(
            begin.elapsed() < Duration::from_secs(6),
            "{fault}: {:?}",
            begin.elapsed()
        );
    }
    for fault in [
        "times 2 status 500",
        "times 1 reset",
        "times 1 answer 429 {\"errors\":[\"x\"]}",
        "delay 300",
    ] {
        proxy.set_fault(fault);
        opens(&*kek, &stanza);
    }
    // What encrypt may not answer.
    proxy.set_fault(
        "answer 200 {\"warnings\":[\"Endpoint ignored these unrecognized parameters: [associated_data]\"],\"data\":{\"ciphertext\":\"vault:v1:AAAA\"}}",
    );
    refused(
        "encrypt ignores associated_data",
        &*kek,
        Kind::Config,
        "it ignored associated_data",
    );
    for ciphertext in ["", "x", "vault:v0:AAAA", "vault:v1:AAAA\\n", "vault:v1:!"] {
        proxy.set_fault(&format!(
            "answer 200 {{\"data\":{{\"ciphertext\":\"{ciphertext}\"}}}}"
        ));
        let what = format!("encrypt answers with the ciphertext '{ciphertext}'");
        refused(
            &what,
            &*kek,
            Kind::Config,
            "something else than a ciphertext",
        );
    }
    proxy.set_fault(&format!(
        "answer 200 {{\"data\":{{\"ciphertext\":\"vault:v1:{}\"}}}}",
        "A".repeat(8000)
    ));
    refused(
        "encrypt answers with 8,000 characters",
        &*kek,
        Kind::Config,
        "something else than a ciphertext",
    );
}

#[test]
fn an_answer_that_ends_at_any_byte_opens_nothing() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let proxy = Proxy::start(bao.plain);
    let kek = place.kek(&proxy.url(), json!({}));
    let stanza = wrap(&*kek).unwrap();
    // The answer has about 230 bytes. Each is tried once: the time is not enough for a second attempt.
    for bytes in 0..200 {
        proxy.set_fault(&format!("truncate {bytes}"));
        let e = unwrap_until(
            &*kek,
            &FILE,
            &stanza,
            Deadline::after(Duration::from_millis(40)),
        );
        let e = e.map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Unreachable, "{bytes}: {e}");
    }
    proxy.set_fault("");
    opens(&*kek, &stanza);
}

/// A server that stops within its answer and keeps the connection, at each byte; and one that never stops, slowly.
#[test]
fn an_answer_that_stops_at_any_byte_is_waited_for_no_longer_than_is_said() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let stanza = wrap(&*place.kek(&plain(bao), json!({}))).unwrap();
    let ask = |fault: &str, end: Duration| {
        let proxy = Proxy::start(bao.plain);
        proxy.set_fault(fault);
        let kek = place.kek(&proxy.url(), json!({}));
        let begin = Instant::now();
        let opened = unwrap_until(&*kek, &FILE, &stanza, Deadline::after(end));
        (opened, begin)
    };
    // Head and body have more than 400 bytes, and less than 1,000.
    let (short, long) = (Duration::from_millis(200), Duration::from_secs(4));
    let sweep = |from: usize| {
        for bytes in (from..1000).step_by(40) {
            let (opened, begin) = ask(&format!("stop {bytes}"), short);
            let took = begin.elapsed();
            assert!(took < 2 * long, "{bytes}: {took:?}");
            match opened {
                Ok(_) => assert!(bytes > 400, "opened by {bytes} bytes"),
                Err(e) => assert_eq!(e.kind(), Kind::Unreachable, "{bytes}: {e}"),
            }
        }
    };
    let whole = |fault: &str| {
        let (opened, begin) = ask(fault, long);
        let e = opened.map(drop).unwrap_err();
        told(&format!("a proxy's {fault}"), &e, begin);
        assert_eq!(e.kind(), Kind::Unreachable, "{fault}: {e}");
        assert!(e.to_string().contains("did not answer"), "{fault}: {e}");
    };
    std::thread::scope(|scope| {
        for fault in ["stop 0", "stop 9", "stop 90", "stop 200", "drip 40"] {
            scope.spawn(move || whole(fault));
        }
        for from in 0..40 {
            scope.spawn(move || sweep(from));
        }
    });
    assert!(ask("stop 1000", 5 * long).0.unwrap().is_some());
}

#[test]
fn a_login_that_answers_oddly_is_refused() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token("unused");
    write_secret(&place.path("secret"), "HIDDEN-SECRET");
    let proxy = Proxy::start(bao.plain);
    let kek = place.kek(&proxy.url(), json!({
        "auth": "approle", "token_file": null, "role_id": "r", "secret_id_file": place.path("secret"),
    }));
    for (answer, kind, words) in [
        ("200 {}", Kind::Config, "no token"),
        ("200 {\"auth\":null}", Kind::Config, "no token"),
        (
            "200 {\"auth\":{\"client_token\":7}}",
            Kind::Config,
            "no token",
        ),
        (
            "200 {\"auth\":{\"client_token\":\"a\\r\\nb\"}}",
            Kind::Config,
            "no token",
        ),
        (
            "200 {\"auth\":{\"client_token\":\"\",\"mfa_requirement\":{}}}",
            Kind::Denied,
            "second factor",
        ),
        (
            "500 {\"errors\":[\"local node not active but active cluster node not found\"]}",
            Kind::Unreachable,
            "no leader",
        ),
        (
            "400 {\"errors\":[\"wrong: HIDDEN-SECRET\"]}",
            Kind::Denied,
            "a secret is in them",
        ),
        (
            "200 {\"auth\":{\"client_token\":\"HIDDEN-TOKEN\"}}",
            Kind::Denied,
            "permission denied",
        ),
    ] {
        proxy.set_fault(&format!("on auth/approle/login answer {answer}"));
        let said = refused(&format!("the login answers {answer}"), &*kek, kind, words);
        assert!(!said.contains("HIDDEN"), "{said}");
    }
}

#[test]
fn the_network_and_certificates_have_their_errors() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let closed = ports::closed();
    let kek = place.kek(&format!("http://{closed}"), json!({}));
    refused("nothing listens", &*kek, Kind::Unreachable, "refused");
    refused(
        "a name that does not resolve",
        &*place.kek("https://vault.invalid", json!({})),
        Kind::Unreachable,
        "",
    );
    let trusting = || json!({"ca_file": bao.ca_file()});
    wrap(&*place.kek(&bao.url(), trusting())).unwrap();
    refused(
        "a certificate of an unknown authority",
        &*place.kek(&bao.url(), json!({})),
        Kind::Config,
        "ca_file",
    );
    // TLS where none is spoken, and the other way round.
    refused(
        "TLS where none is spoken",
        &*place.kek(
            &format!("https://localhost:{}", bao.plain.port()),
            trusting(),
        ),
        Kind::Config,
        "TLS",
    );
    refused(
        "no TLS where it is spoken",
        &*place.kek(&format!("http://{}", bao.address), json!({})),
        Kind::Config,
        "not that of Vault",
    );
    let tls = Tls::new();
    let ca = place.path("ca.pem");
    std::fs::write(&ca, &tls.ca_pem).unwrap();
    for (what, name, old, words) in [
        ("an expired certificate", "localhost", true, "xpired"),
        (
            "a certificate of another name",
            "vault.example.org",
            false,
            "vault.example.org",
        ),
    ] {
        let proxy = Proxy::start_with(bao.plain, tls.acceptor(name, old));
        let url = format!("https://localhost:{}", proxy.address.port());
        refused(
            what,
            &*place.kek(&url, json!({"ca_file": ca})),
            Kind::Config,
            words,
        );
        assert!(proxy.take_requests().is_empty(), "a request was sent");
    }
    // A proxy that the configuration names, which is there and which is not.
    let proxy = Proxy::start(bao.plain);
    wrap(&*place.kek(&plain(bao), json!({"proxy": proxy.url()}))).unwrap();
    assert_eq!(proxy.take_requests().len(), 1);
    refused(
        "a proxy that is away",
        &*place.kek(&bao.url(), json!({"proxy": format!("http://{closed}")})),
        Kind::Unreachable,
        "proxy",
    );
    let e = place
        .kek(&plain(bao), json!({}))
        .probe(&SecretPool::new(), soon());
    assert!(e.is_ok());
}
