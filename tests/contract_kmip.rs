//! The backend `kmip` over PyKMIP, which is a real KMIP server, and over a stand of ours that does what no server does on
//! demand. What PyKMIP stores is read back by other code than ours, as docs/reference/format.md has it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/bao.rs"]
mod bao;
mod common;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/kmip_stand.rs"]
mod kmip_stand;
#[path = "support/ports.rs"]
mod ports;

use bao::Bao;
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Stanza};
use keyring_ward::kek::kmip::message::tag;
use keyring_ward::kek::kmip::ttlv::read;
use keyring_ward::kek::kmip::{KmipConfig, KmipKek};
use keyring_ward::kek::{Budget, Kek, Unwrapped};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use kmip_stand::{AUTHORITY, Authority, Does, REAL, Real, Stand};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];
const SECOND: Duration = Duration::from_secs(1);

fn hex(bytes: &[u8]) -> String {
    keyring_ward::text::hex(bytes)
}

// ---- configurations --------------------------------------------------------------------------

/// A configuration for the client `one` of the authority in `folder`; a member that is null is left out.
fn try_config(folder: &Path, path: &Path, ports: &[u16], key: &str, more: Value) -> Result<Config> {
    let addresses: Vec<String> = ports.iter().map(|p| format!("localhost:{p}")).collect();
    let mut options = json!({
        "addresses": addresses, "key_id": key, "ca_file": folder.join("ca.pem"),
        "client_certificate": folder.join("one.pem"), "client_key_file": folder.join("one.key"),
        "attempt_timeout": 2, "connect_timeout": 1,
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    let text = json!({
        "backend": "kmip", "path": path, "timeout": 4, "start_timeout": 6, "kmip": options,
    });
    json::parse(text.to_string().as_bytes(), "test")?
        .layer
        .finish()
}

fn config(folder: &Path, ports: &[u16], key: &str, more: Value) -> Config {
    try_config(folder, Path::new("/k/f"), ports, key, more).unwrap()
}

/// A KEK without the adapter: one attempt.
fn once(config: &Config) -> KmipKek {
    KmipKek::new(config.keks[0].settings_of::<KmipConfig>().unwrap().clone())
}

/// A KEK of the stand's.
fn at(stand: &Stand, more: Value) -> KmipKek {
    once(&config(&AUTHORITY.folder, &[stand.port()], "k", more))
}

/// A KEK on the real server.
fn on(real: &Real, key: &str, more: Value) -> KmipKek {
    once(&config(&real.folder, &[real.port], key, more))
}

fn within(seconds: u64) -> Deadline {
    Deadline::after(Duration::from_secs(seconds))
}

fn wrap(kek: &dyn Kek) -> Result<Stanza> {
    kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), within(10))
}

fn unwrap_for(kek: &dyn Kek, file: &[u8; 16], stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    let mut budget = Budget::new(within(10));
    let opened = kek.unwrap(&SecretPool::new(), file, stanza, &mut budget)?;
    Ok(match opened {
        Unwrapped::Opened(part) => Some(part.to_vec()),
        _ => None,
    })
}

fn unwrap(kek: &dyn Kek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    unwrap_for(kek, &FILE, stanza)
}

/// The error has this kind, and says this.
#[track_caller]
fn is(e: &Error, kind: Kind, words: &str) {
    assert_eq!(e.kind(), kind, "{e}");
    assert!(e.to_string().contains(words), "no '{words}': {e}");
}

/// A port on which nobody listens.
fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

// ---- the real server -------------------------------------------------------------------------

#[test]
fn the_contract_holds_in_every_version_and_mode_of_the_server() {
    let Some(real) = &*REAL else { return };
    let key = real.key();
    for (version, mode) in [
        ("1.4", "gcm"),
        ("2.0", "gcm"),
        ("1.2", "cbc"),
        ("1.3", "cbc"),
        ("1.4", "cbc"),
        ("2.0", "cbc"),
    ] {
        let kek = on(real, &key, json!({"version": version, "mode": mode}));
        kek.probe(&SecretPool::new(), within(10)).unwrap();
        let stanza = wrap(&kek).unwrap();
        assert_eq!(stanza.key_ref, key);
        assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()));
        let again = wrap(&kek).unwrap();
        assert_ne!(
            (&again.blob, again.commitment),
            (&stanza.blob, stanza.commitment)
        );
        // Another implementation opens it, with the key itself.
        let read = format!(
            "open {key} {} {} {} {}",
            hex(&FILE),
            hex(&stanza.params),
            hex(&stanza.commitment),
            hex(&stanza.blob)
        );
        assert_eq!(real.admin(&read), hex(&DEK), "{version} {mode}");
        // Another file's, and every part of the stanza.
        let begin = Instant::now();
        let e = unwrap_for(&kek, &[6; 16], &stanza).unwrap_err();
        let what = format!("another file's stanza, {version} {mode}");
        fault_rows::told("kmip, PyKMIP", &what, &e, begin.elapsed());
        assert_eq!(e.kind(), Kind::Tampered, "another file: {e}");
        for i in (0..stanza.blob.len()).step_by(9) {
            let mut bad = stanza.clone();
            bad.blob[i] ^= 1;
            let begin = Instant::now();
            let e = unwrap(&kek, &bad).unwrap_err();
            if i == 81 {
                let what = format!("a changed byte of the wrapped data key, {version} {mode}");
                fault_rows::told("kmip, PyKMIP", &what, &e, begin.elapsed());
            }
            assert_eq!(e.kind(), Kind::Tampered, "byte {i}: {e}");
        }
        let changes: [fn(&mut Stanza); 7] = [
            |s| s.commitment = [1; 32],
            |s| s.blob.truncate(60),
            |s| s.blob.clear(),
            |s| s.blob.push(0),
            |s| s.params[0] ^= 8,
            |s| {
                s.holder = Some(Holder {
                    kek: "a".into(),
                    share: None,
                });
            },
            |s| s.mechanism.push('x'),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut bad = stanza.clone();
            change(&mut bad);
            assert!(!matches!(unwrap(&kek, &bad), Ok(Some(_))), "change {i}");
        }
        println!("{version} {mode}: good");
    }
}

#[test]
fn what_the_server_refuses_is_told_as_what_it_is() {
    let Some(real) = &*REAL else { return };
    let key = real.key();
    let stanza = wrap(&on(real, &key, json!({}))).unwrap();
    let told = |what: &str, e: &Error, begin: Instant| {
        fault_rows::told("kmip, PyKMIP", what, e, begin.elapsed());
        assert!(begin.elapsed() < 3 * SECOND, "{what}");
    };
    let fails = |what: &str, kek: &KmipKek, kind: Kind, words: &str| {
        let begin = Instant::now();
        let e = wrap(kek).unwrap_err();
        told(what, &e, begin);
        is(&e, kind, words);
    };
    fails(
        "a key that is not there",
        &on(real, "no-such-key", json!({})),
        Kind::NotFound,
        "Item Not Found",
    );
    let new = real.admin("create");
    fails(
        "a key that is not active yet",
        &on(real, &new, json!({})),
        Kind::Denied,
        "must be in the Active state",
    );
    let only = real.admin("create ENCRYPT");
    real.admin(&format!("activate {only}"));
    let kek = on(real, &only, json!({}));
    wrap(&kek).unwrap();
    let begin = Instant::now();
    let e = kek.probe(&SecretPool::new(), within(10)).unwrap_err();
    told("a key that may not decrypt, at init", &e, begin);
    is(&e, Kind::Denied, "Decrypt bit must be set");
    fails(
        "another client's key",
        &on(
            real,
            &key,
            json!({"client_certificate": real.folder.join("two.pem"),
                "client_key_file": real.folder.join("two.key")}),
        ),
        Kind::Denied,
        "Could not locate object",
    );
    fails(
        "a version that the server does not have",
        &on(real, &key, json!({"version": "2.1"})),
        Kind::Config,
        "check version",
    );
    fails(
        "a certificate of another authority",
        &on(
            real,
            &key,
            json!({"client_certificate": AUTHORITY.folder.join("one.pem"),
                "client_key_file": AUTHORITY.folder.join("one.key")}),
        ),
        Kind::Denied,
        "client_certificate",
    );
    fails(
        "a certificate that is not a client's",
        &on(
            real,
            &key,
            json!({"client_certificate": real.folder.join("server.pem"),
                "client_key_file": real.folder.join("server.key")}),
        ),
        Kind::Denied,
        "client authentication",
    );
    fails(
        "a server of another authority",
        &on(
            real,
            &key,
            json!({"ca_file": AUTHORITY.folder.join("ca.pem")}),
        ),
        Kind::Config,
        "The server's certificate is not accepted",
    );
    fails(
        "a server of another name",
        &on(real, &key, json!({"server_name": "kmip.example.org"})),
        Kind::Config,
        "not valid for name",
    );
    // What becomes of the key afterwards.
    let kek = on(real, &key, json!({}));
    for (what, command, kind, words) in [
        ("a revoked key", "revoke", Kind::Denied, "Active state"),
        ("a destroyed key", "destroy", Kind::NotFound, "destroyed"),
    ] {
        assert_eq!(real.admin(&format!("{command} {key}")), "ok");
        let begin = Instant::now();
        let e = unwrap(&kek, &stanza).unwrap_err();
        told(what, &e, begin);
        is(&e, kind, words);
    }
}

#[test]
fn a_keyring_lives_under_a_key_of_the_server_and_changes_keys() {
    let Some(real) = &*REAL else { return };
    let place = common::Place::new();
    let (old, new) = (real.key(), real.key());
    let with = |key: &str, more: Value| {
        let path = place.keyring_file();
        try_config(&real.folder, &path, &[real.port], key, more).unwrap()
    };
    let open = |config: &Config| Keyring::open(config, &place.server(), &SecretPool::new());
    let made = open(&with(&old, json!({}))).unwrap();
    made.by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let content = common::content(&made);
    drop(made);
    assert_eq!(
        common::content(&open(&with(&old, json!({}))).unwrap()),
        content
    );
    let e = open(&with(&new, json!({}))).map(drop).unwrap_err();
    is(&e, Kind::WrongKek, "previous_key_ids");
    let e = open(&with(&old, json!({"mode": "cbc"}))).map(drop);
    is(&e.unwrap_err(), Kind::WrongKek, "another mode");
    // The new key takes over, and then opens by itself.
    let both = open(&with(&new, json!({"previous_key_ids": [old]}))).unwrap();
    assert_eq!(common::content(&both), content);
    drop(both);
    assert_eq!(
        common::content(&open(&with(&new, json!({}))).unwrap()),
        content
    );
}

// ---- the stand -------------------------------------------------------------------------------

fn vector() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/good-kmip.ward")
}

/// Under the stand's key, which every version must open.
#[test]
fn the_vector_opens() {
    let (place, stand) = (common::Place::new(), Stand::start(Does::Good));
    place.write(&std::fs::read(vector()).unwrap());
    let config = try_config(
        &AUTHORITY.folder,
        &place.keyring_file(),
        &[stand.port()],
        "kek-1",
        json!({}),
    );
    let mut environment = place.server();
    environment.look_only = true;
    let keyring = Keyring::open(&config.unwrap(), &environment, &SecretPool::new()).unwrap();
    assert_eq!(keyring.list().len(), 1);
    assert_eq!(keyring.list()[0].id.name(), b"k");
}

#[test]
#[ignore = "makes the file anew; it is meant to stay as it is"]
fn make_the_vector() {
    let (place, stand) = (common::Place::new(), Stand::start(Does::Good));
    let (folder, path) = (&AUTHORITY.folder, place.keyring_file());
    let config = try_config(folder, &path, &[stand.port()], "kek-1", json!({})).unwrap();
    let keyring = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    std::fs::write(vector(), place.read()).unwrap();
}

#[test]
fn random_bytes_are_those_of_the_server() {
    let soon = || Deadline::after(Duration::from_secs(4));
    let pool = SecretPool::new();
    let kek = at(&Stand::start(Does::Good), json!({}));
    assert!(kek.has_generator());
    let bytes = kek.random(&pool, 1024, soon()).unwrap();
    assert_eq!((bytes.len(), &bytes[..3]), (1024, &[1, 2, 3][..]));
    let refusing = at(
        &Stand::start(Does::Refuse(0x05, "no such operation")),
        json!({}),
    );
    let e = refusing.random(&pool, 32, soon()).err().unwrap();
    assert_eq!(e.kind(), Kind::Config, "{e}");
    assert!(e.to_string().contains("RNG Retrieve"), "{e}");
}

#[test]
fn an_answer_that_never_comes_is_waited_for_no_longer_than_is_said() {
    let stand = Stand::start(Does::Good);
    let kek = at(&stand, json!({}));
    let stanza = wrap(&kek).unwrap();
    unwrap(&kek, &stanza).unwrap();
    let length = stand.length();
    let pause = Duration::from_millis(40);
    let hangs = [0, 1, 7, 8, 9, 20, length - 1]
        .map(|n| (format!("hangs after {n} bytes"), Does::HangAfter(n)));
    let others = [
        ("no TLS comes".to_string(), Does::NoTls),
        ("drips byte by byte".to_string(), Does::Drip(pause)),
    ];
    std::thread::scope(|scope| {
        for (what, does) in hangs.into_iter().chain(others) {
            let stanza = &stanza;
            scope.spawn(move || {
                let stand = Stand::start(does.clone());
                let begin = Instant::now();
                let e = unwrap(&at(&stand, json!({})), stanza).unwrap_err();
                let took = begin.elapsed();
                fault_rows::told("kmip", &what, &e, took);
                assert_eq!(e.kind(), Kind::Unreachable, "{does:?}: {e}");
                assert!(took < 4 * SECOND, "{does:?}: {took:?}");
            });
        }
    });
}

#[test]
fn an_answer_that_ends_early_is_none_at_each_byte() {
    let stand = Stand::start(Does::Good);
    let kek = at(&stand, json!({}));
    let stanza = wrap(&kek).unwrap();
    assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()));
    let whole = stand.length();
    for cut in (0..16).chain((16..whole).step_by(11)) {
        stand.now(Does::CloseAfter(cut));
        let begin = Instant::now();
        let e = unwrap(&kek, &stanza).unwrap_err();
        if cut == 27 {
            fault_rows::told("kmip", "the connection ends early", &e, begin.elapsed());
        }
        is(&e, Kind::Unreachable, "ended before the answer was whole");
    }
    stand.now(Does::CloseAfter(1 << 20));
    assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()));
}

#[test]
fn what_is_no_answer_is_told_at_once() {
    let stand = Stand::start(Does::Good);
    let kek = at(&stand, json!({}));
    let stanza = wrap(&kek).unwrap();
    let head = |length: u32| {
        let mut bytes = vec![0x42, 0x00, 0x7B, 1];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes
    };
    let with = |length: u32, rest: &[u8]| Does::Say([&head(length), rest].concat());
    for (what, does, kind, words) in [
        (
            "HTTP inside of TLS",
            Does::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            Kind::Config,
            "another protocol",
        ),
        (
            "claims 1 GiB",
            with(1 << 30, &[]),
            Kind::Config,
            "longer than 65536 bytes",
        ),
        (
            "claims 4 GiB less 8 bytes",
            with(u32::MAX - 7, &[]),
            Kind::Config,
            "longer than 65536",
        ),
        (
            "a length that is none",
            with(u32::MAX, &[]),
            Kind::Config,
            "another protocol",
        ),
        (
            "claims 64 KiB",
            with(65_536, &[]),
            Kind::Config,
            "longer than 65536 bytes",
        ),
        (
            "eight bytes of 0xFF",
            with(8, &[0xFF; 8]),
            Kind::Config,
            "is no message of KMIP",
        ),
        (
            "an empty message",
            with(0, &[]),
            Kind::Config,
            "another number of items",
        ),
        (
            "a message that ends in the middle of an item",
            with(16, &[head(16), vec![0; 8]].concat()),
            Kind::Config,
            "ends in the middle",
        ),
        (
            "answers for another key",
            Does::OtherKey,
            Kind::Config,
            "the name of another key",
        ),
        (
            "a data key of 16 bytes",
            Does::ShortKey,
            Kind::Config,
            "16 bytes instead of 32",
        ),
        (
            "HTTP instead of TLS",
            Does::Plain(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Kind::Config,
            "TLS",
        ),
        (
            "refuses: Permission Denied",
            Does::Refuse(0x0C, "No\u{1b}[1m\nway"),
            Kind::Denied,
            "Permission Denied: No [1m way",
        ),
        (
            "its own trouble: Internal Server Error",
            Does::Refuse(0x2A, ""),
            Kind::Unreachable,
            "Internal Server",
        ),
        (
            "refuses: General Failure",
            Does::Refuse(0x100, "Oh"),
            Kind::Tampered,
            "General Failure",
        ),
        (
            "refuses: Unsupported Protocol Version",
            Does::Refuse(0x3F, ""),
            Kind::Config,
            "Protocol Version",
        ),
    ] {
        stand.now(does.clone());
        let begin = Instant::now();
        let e = unwrap(&kek, &stanza).unwrap_err();
        fault_rows::told("kmip", what, &e, begin.elapsed());
        is(&e, kind, words);
        assert!(!e.to_string().contains(char::is_control), "{e}");
        assert!(begin.elapsed() < SECOND, "{does:?}: {:?}", begin.elapsed());
    }
}

#[test]
fn certificates_decide_before_anything_is_sent() {
    let other = Authority::new("another");
    // Whose name is ours, but who is not.
    let false_one = Authority::new("ours");
    let good = AUTHORITY.tls("localhost", false, false);
    let stanza = wrap(&at(&Stand::start(Does::Good), json!({}))).unwrap();
    let file = |name: &str| AUTHORITY.folder.join(name);
    for (what, tls, more, kind, words) in [
        (
            "a server of another authority",
            other.tls("localhost", false, false),
            json!({}),
            Kind::Config,
            "The server's certificate is not accepted",
        ),
        (
            "a server's certificate that has expired",
            AUTHORITY.tls("localhost", true, false),
            json!({}),
            Kind::Config,
            "expired",
        ),
        (
            "a server of another name",
            AUTHORITY.tls("kmip.example.org", false, false),
            json!({}),
            Kind::Config,
            "not valid for name",
        ),
        (
            "a client that the server does not know, TLS 1.3",
            other_clients(&other, false),
            json!({"ca_file": other.folder.join("ca.pem")}),
            Kind::Denied,
            "client_certificate",
        ),
        (
            "a client that the server does not know, TLS 1.2",
            other_clients(&other, true),
            json!({"ca_file": other.folder.join("ca.pem")}),
            Kind::Denied,
            "client_certificate",
        ),
        (
            "a client of a false authority",
            other_clients(&false_one, false),
            json!({"ca_file": false_one.folder.join("ca.pem")}),
            Kind::Denied,
            "client_certificate",
        ),
        (
            "a client's certificate that has expired",
            good.clone(),
            json!({"client_certificate": file("expired.pem"), "client_key_file": file("expired.key")}),
            Kind::Denied,
            "client_certificate",
        ),
        (
            "a key that does not belong to the certificate",
            good.clone(),
            json!({"client_key_file": file("expired.key")}),
            Kind::Config,
            "does not belong to the certificate",
        ),
        (
            "a certificate that is not there",
            good,
            json!({"client_certificate": file("none.pem")}),
            Kind::NotFound,
            "none.pem",
        ),
    ] {
        let stand = Stand::start_with(tls, Does::Good);
        let begin = Instant::now();
        let e = unwrap(&at(&stand, more), &stanza).unwrap_err();
        fault_rows::told("kmip", what, &e, begin.elapsed());
        is(&e, kind, words);
        assert!(stand.seen().is_empty(), "{what}: a request was sent");
    }
    // A name of its own for the certificate.
    let stand = Stand::start_with(AUTHORITY.tls("kmip.example.org", false, true), Does::Good);
    let kek = at(&stand, json!({"server_name": "kmip.example.org"}));
    assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()));
}

/// A server whose authority does not know our client.
fn other_clients(other: &Authority, only_1_2: bool) -> std::sync::Arc<rustls::ServerConfig> {
    other.tls("localhost", false, only_1_2)
}

#[test]
fn a_server_that_is_away_does_not_take_the_time_of_the_next() {
    let good = Stand::start(Does::Good);
    let stanza = wrap(&at(&good, json!({}))).unwrap();
    let (hanging, late) = (Stand::start(Does::NoTls), Stand::start(Does::HangAfter(0)));
    let drips = Stand::start(Does::Drip(Duration::from_millis(40)));
    let wrong = Stand::start_with(AUTHORITY.tls("kmip.example.org", false, false), Does::Good);
    for (what, ports, words) in [
        ("refused", vec![nobody()], "Connection refused"),
        (
            "hanging",
            vec![hanging.port()],
            "no connection to localhost",
        ),
        ("late", vec![late.port()], "did not answer within 2.0 s"),
        ("dripping", vec![drips.port()], "did not answer within"),
        ("another certificate", vec![wrong.port()], "not valid for"),
        (
            "all of them",
            vec![nobody(), hanging.port(), late.port(), wrong.port()],
            "passed over",
        ),
    ] {
        let all = [&ports[..], &[good.port()]].concat();
        let kek = once(&config(&AUTHORITY.folder, &all, "k", json!({})));
        let begin = Instant::now();
        assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()), "{what}");
        let (took, warnings) = (begin.elapsed(), kek.take_warnings());
        let of_first = warnings.first().map_or("", String::as_str);
        let fault = format!("several addresses: {what}, then good");
        fault_rows::row("kmip", &fault, "opened", took, of_first);
        let allowed = u32::try_from(ports.len()).unwrap() * 2 * SECOND + SECOND / 2;
        assert!(took < allowed, "{what}: {took:?}");
        assert_eq!(warnings.len(), ports.len());
        assert!(
            warnings[0].contains(words) || what == "all of them",
            "{warnings:?}"
        );
        // By itself it keeps nothing open, and is told with the rest.
        let kek = once(&config(&AUTHORITY.folder, &ports, "k", json!({})));
        let begin = Instant::now();
        let e = unwrap(&kek, &stanza).unwrap_err();
        let fault = format!("several addresses: {what}");
        fault_rows::told("kmip", &fault, &e, begin.elapsed());
        let kind = match what {
            "another certificate" => Kind::Config,
            _ => Kind::Unreachable,
        };
        assert_eq!(e.kind(), kind, "{e}");
        for port in &ports {
            assert!(e.to_string().contains(&format!("localhost:{port}")), "{e}");
        }
    }
    // Less time than the first one would take: each has its share.
    let all = [late.port(), hanging.port(), good.port()];
    let more = json!({"attempt_timeout": 30, "connect_timeout": 30});
    let kek = once(&config(&AUTHORITY.folder, &all, "k", more));
    let mut budget = Budget::new(within(3));
    let opened = kek.unwrap(&SecretPool::new(), &FILE, &stanza, &mut budget);
    assert!(matches!(opened, Ok(Unwrapped::Opened(_))));
    // Who refuses is not asked again at the next.
    let refusing = Stand::start(Does::Refuse(0x0C, "no"));
    good.seen();
    let all = [refusing.port(), good.port()];
    let kek = once(&config(&AUTHORITY.folder, &all, "k", json!({})));
    is(&unwrap(&kek, &stanza).unwrap_err(), Kind::Denied, "no");
    assert!(good.seen().is_empty());
    // Who is in trouble by its own word has refused nothing.
    let sick = Stand::start(Does::Refuse(0x2A, "the disk is full"));
    let with = |next: u16| {
        let all = [sick.port(), next];
        once(&config(&AUTHORITY.folder, &all, "k", json!({})))
    };
    let kek = with(good.port());
    assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()));
    let warnings = kek.take_warnings();
    assert!(warnings[0].contains("the disk is full"), "{warnings:?}");
    let e = unwrap(&with(nobody()), &stanza).unwrap_err();
    is(&e, Kind::Unreachable, "the disk is full");
}

#[test]
fn with_the_adapter_what_may_pass_is_tried_again_and_what_was_refused_is_not() {
    let stand = Stand::start(Does::HangAfter(3));
    let kek = config(&AUTHORITY.folder, &[stand.port()], "k", json!({})).keks[0].kek();
    let begin = Instant::now();
    let e = kek.probe(&SecretPool::new(), within(4)).unwrap_err();
    assert!(begin.elapsed() < 5 * SECOND);
    is(&e, Kind::Unreachable, "attempts in 4 s");
    assert!(stand.seen().len() > 1);
    stand.now(Does::Refuse(0x0C, "no"));
    let begin = Instant::now();
    let e = kek.probe(&SecretPool::new(), within(4)).unwrap_err();
    assert!(begin.elapsed() < SECOND);
    is(&e, Kind::Denied, "no");
    assert_eq!(stand.seen().len(), 1);
    stand.now(Does::Good);
    kek.probe(&SecretPool::new(), within(4)).unwrap();
    assert_eq!(stand.seen().len(), 2, "Encrypt and Decrypt");
    assert!(kek.contact().unwrap().last_success.is_some());
    // One question for each opening.
    let stanza = wrap(&*kek).unwrap();
    stand.seen();
    unwrap(&*kek, &stanza).unwrap();
    assert_eq!(stand.seen().len(), 1);
}

/// One request for each start, whatever the number of keys; none for a key that is made, fetched or removed.
#[test]
fn a_start_asks_once() {
    let (place, stand) = (common::Place::new(), Stand::start(Does::Good));
    let (folder, path) = (&AUTHORITY.folder, place.keyring_file());
    let config = try_config(folder, &path, &[stand.port()], "k", json!({})).unwrap();
    let open = || Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    let keyring = open();
    // A keyring that is not there yet is only asked for.
    stand.seen();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    assert_eq!(stand.seen().len(), 2, "made: Encrypt, and Decrypt as proof");
    for i in 0..500 {
        let name = format!("k{i}");
        keyring
            .by(&Caller::Unknown)
            .generate(name.as_bytes(), b"", b"AES", 32)
            .unwrap();
        keyring.fetch(name.as_bytes(), b"").unwrap().unwrap();
    }
    keyring.by(&Caller::Unknown).remove(b"k", b"").unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert_eq!(stand.seen().len(), 0, "500 keys");
    drop(keyring);
    let keyring = open();
    assert_eq!(keyring.list().len(), 500);
    assert_eq!(stand.seen().len(), 1, "a start with 500 keys");
    keyring.fetch(b"k7", b"").unwrap().unwrap();
    assert_eq!(stand.seen().len(), 0);
}

#[test]
fn with_cbc_nothing_tells_a_wrong_padding_from_a_wrong_key() {
    let stand = Stand::start(Does::Good);
    let kek = at(&stand, json!({"mode": "cbc"}));
    let stanza = wrap(&kek).unwrap();
    assert_eq!(unwrap(&kek, &stanza).unwrap(), Some(DEK.to_vec()));
    let said = |does: Does, change: fn(&mut Stanza)| {
        stand.now(does);
        let mut bad = stanza.clone();
        change(&mut bad);
        let e = unwrap(&kek, &bad).unwrap_err();
        assert_eq!(e.kind(), Kind::Tampered, "{e}");
        e.to_string()
    };
    let wrong_key = said(Does::Good, |s| s.blob[80] ^= 1);
    for (does, change) in [
        (
            Does::Refuse(0x100, "bad padding"),
            (|_| {}) as fn(&mut Stanza),
        ),
        (Does::Refuse(0x0A, ""), |_| {}),
        (Does::ShortKey, |_| {}),
        (Does::Good, |s| s.blob[0] ^= 1),
        (Does::Good, |s| s.blob.truncate(100)),
    ] {
        assert_eq!(said(does, change), wrong_key);
    }
}

#[test]
fn neither_the_data_key_nor_the_private_key_is_shown() {
    let stand = Stand::start(Does::ShortKey);
    let more = json!({"client_key_file": AUTHORITY.folder.join("ca.pem")});
    let e = wrap(&at(&stand, more)).unwrap_err().to_string();
    let pem = std::fs::read_to_string(AUTHORITY.folder.join("ca.pem")).unwrap();
    assert!(pem.lines().all(|line| !e.contains(line)), "{e}");
    let config = config(&AUTHORITY.folder, &[1], "k", json!({}));
    assert!(!format!("{:?}", config.keks[0]).contains("PRIVATE"));
}

// ---- somebody else's client ------------------------------------------------------------------

/// OpenBao's own `kmip` seal, a client that we have not written, wraps its key by a server and unseals itself with it after a
/// restart: by PyKMIP, and by our stand, which so answers as a KMIP server does.
#[test]
fn openbao_seals_itself_by_our_stand_as_by_the_real_server() {
    let Some(real) = &*REAL else { return };
    seals_itself(&real.folder, real.port, &real.key());
    let stand = Stand::start(Does::Good);
    seals_itself(&AUTHORITY.folder, stand.port(), "k");
    // Which versions, what the key is; then encryption, and decryption after the restart.
    let asked = stand.seen();
    let operation = |request: &Vec<u8>| {
        let message = read(request).unwrap();
        let item = message.find(tag::BATCH_ITEM).unwrap();
        item.find(tag::OPERATION).unwrap().enumeration().unwrap()
    };
    let asked: Vec<u32> = asked.iter().map(operation).collect();
    for wanted in [0x1E, 0x0B, 0x1F, 0x20] {
        assert!(asked.contains(&wanted), "{wanted:#x} of {asked:x?}");
    }
}

fn seals_itself(folder: &Path, port: u16, key: &str) {
    let file = |name: &str| folder.join(name).display().to_string();
    let seal = format!(
        r#"storage "raft" {{ path = "FOLDER" node_id = "one" performance_multiplier = 1 }}
        seal "kmip" {{
          kms_key_id = "{key}"
          endpoint = "localhost:{port}"
          server_name = "localhost"
          ca_cert = "{}"
          client_cert = "{}"
          client_key = "{}"
        }}"#,
        file("ca.pem"),
        file("one.pem"),
        file("one.key"),
    );
    let Some(mut bao) = Bao::begin(&seal) else {
        return;
    };
    let asked = json!({"recovery_shares": 1, "recovery_threshold": 1});
    let made = bao.ask("sys/init", "", &asked);
    assert_eq!(made.0, 200, "{}", made.1);
    bao.wait_unsealed();
    bao.kill();
    bao.run_again();
    bao.wait_unsealed();
}
