//! A list of KEKs on real networks: the first one dead, refused or slow, the second one good. The keyring opens within the
//! first one's share of `start_timeout`, and the second is asked once. The first is OpenBao behind a proxy of ours, or a KMIP
//! server of ours; each row is printed for docs/proof/kek-faults.md.

#![allow(clippy::unwrap_used)]

#[path = "support/bao.rs"]
mod bao;
mod common;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/kmip_stand.rs"]
mod kmip_stand;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/ports.rs"]
mod ports;

use bao::Bao;
use common::{Place, write_secret};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::error::{Kind, Result};
use keyring_ward::kek::member::Answer;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use kmip_stand::{AUTHORITY, Does, Stand};
use kms_proxy::{Proxy, Tls};
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static BAO: LazyLock<Option<Bao>> = LazyLock::new(Bao::start);

const START: Duration = Duration::from_secs(9);
/// What one KEK may take of it in the first round.
const SHARE: Duration = Duration::from_secs(3);
/// What a busy machine may add.
const BUSY: Duration = Duration::from_secs(1);
const DECRYPT: &str = "transit/decrypt/mysql";

/// Three KEKs, each with a server of its own: `bao`, `kmip`, and a key file.
struct Three {
    place: Place,
    proxy: Proxy,
    stand: Stand,
}

impl Three {
    fn new(bao: &Bao) -> Three {
        let three = Three {
            place: Place::new(),
            proxy: Proxy::start(bao.plain),
            stand: Stand::start(Does::Good),
        };
        write_secret(&three.place.dir.path().join("token"), bao.root.as_bytes());
        three
    }

    /// The KEK of this name. Its own time-outs are no help: the list's share has to be.
    fn kek(&self, name: &str) -> Value {
        let folder = &AUTHORITY.folder;
        match name {
            "bao" => {
                json!({ "name": "bao", "provider": "vault", "address": self.proxy.url(), "key": "mysql",
                "token_file": self.place.dir.path().join("token"), "attempt_timeout": 60, "connect_timeout": 60 })
            }
            "kmip" => {
                json!({ "name": "kmip", "provider": "kmip", "addresses": [format!("localhost:{}", self.stand.port())],
                "key_id": "k", "ca_file": folder.join("ca.pem"), "client_certificate": folder.join("one.pem"),
                "client_key_file": folder.join("one.key"), "attempt_timeout": 60, "connect_timeout": 60 })
            }
            _ => {
                json!({ "name": "file", "provider": "key_file", "key_file": self.place.key_file() })
            }
        }
    }

    /// A list of these, with `change` to the first one.
    fn config(&self, names: &[&str], threshold: u8, change: &Value) -> Config {
        let mut keks: Vec<Value> = names.iter().map(|name| self.kek(name)).collect();
        for (name, value) in change.as_object().into_iter().flatten() {
            keks[0][name] = value.clone();
        }
        let text = json!({ "path": self.place.keyring_file(), "keks": keks, "threshold": threshold,
            "start_timeout": START.as_secs(), "timeout": 4 });
        let layer = json::parse(text.to_string().as_bytes(), "f").unwrap().layer;
        layer.finish().unwrap()
    }

    /// Opens as a server does that starts.
    fn start(&self, config: &Config) -> Result<Keyring> {
        let environment = Environment {
            starting: true,
            ..self.place.server()
        };
        Keyring::open(config, &environment, &SecretPool::new())
    }

    /// A keyring with these KEKs, while all is well, and nobody was asked yet.
    fn make(&self, names: &[&str], threshold: u8) {
        let config = self.config(names, threshold, &Value::Null);
        let keyring = self.start(&config).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        drop(keyring);
        self.asked();
    }

    /// How often each of the two servers was asked since the last call of this.
    fn asked(&self) -> [usize; 2] {
        [self.proxy.take_calls().len(), self.stand.seen().len()]
    }
}

/// What is wrong with the first KEK.
#[derive(Clone)]
enum Wrong {
    /// What the proxy before OpenBao does.
    Proxy(&'static str),
    /// What the KMIP server does.
    Stand(Does),
    /// Its configuration has changed so.
    Option(Value),
    /// Another certificate than the one that is trusted.
    Certificate,
}

/// A row: the first KEK's name, what is wrong with it, and how often its server is asked; `None` where it is another one.
type Row = (
    &'static str,
    &'static str,
    Wrong,
    Kind,
    &'static str,
    Option<usize>,
);

fn rows() -> Vec<Row> {
    use Wrong::{Certificate, Option as With, Proxy as P, Stand as S};
    let nowhere = || With(json!({ "address": format!("http://{}", ports::closed()) }));
    let no_kmip =
        || With(json!({ "addresses": [format!("localhost:{}", ports::closed().port())] }));
    let one_gib = S(Does::Say(vec![0x42, 0, 0x7B, 1, 0x40, 0, 0, 0]));
    vec![
        (
            "bao",
            "dead: nothing listens",
            nowhere(),
            Kind::Unreachable,
            "refused",
            None,
        ),
        (
            "bao",
            "dead: sealed",
            P("answer 503 {\"errors\":[\"Vault is sealed\"]}"),
            Kind::Unreachable,
            "sealed",
            Some(1),
        ),
        (
            "bao",
            "dead: resets",
            P("reset"),
            Kind::Unreachable,
            "",
            Some(1),
        ),
        (
            "bao",
            "refused: 403",
            P("answer 403 {\"errors\":[\"permission denied\"]}"),
            Kind::Denied,
            "denied",
            Some(1),
        ),
        (
            "bao",
            "refused: the key is gone",
            P("answer 400 {\"errors\":[\"encryption key not found\"]}"),
            Kind::NotFound,
            "not found",
            Some(1),
        ),
        (
            "bao",
            "slow: never answers",
            P("hang"),
            Kind::Unreachable,
            "did not answer",
            Some(1),
        ),
        (
            "bao",
            "slow: answers after 20 s",
            P("delay 20000"),
            Kind::Unreachable,
            "did not answer",
            Some(1),
        ),
        (
            "bao",
            "claims 1 GiB",
            P("claim 1073741824"),
            Kind::Config,
            "more than 1 MiB",
            Some(1),
        ),
        (
            "bao",
            "answers without end",
            P("endless"),
            Kind::Config,
            "more than 1 MiB",
            Some(1),
        ),
        (
            "bao",
            "redirects",
            P("redirect"),
            Kind::Config,
            "not followed",
            Some(1),
        ),
        (
            "bao",
            "another certificate",
            Certificate,
            Kind::Config,
            "certificate",
            None,
        ),
        (
            "kmip",
            "dead: nothing listens",
            no_kmip(),
            Kind::Unreachable,
            "refused",
            None,
        ),
        (
            "kmip",
            "dead: ends after 3 bytes",
            S(Does::CloseAfter(3)),
            Kind::Unreachable,
            "ended before",
            Some(1),
        ),
        (
            "kmip",
            "dead: Internal Server Error",
            S(Does::Refuse(0x2A, "")),
            Kind::Unreachable,
            "Internal",
            Some(1),
        ),
        (
            "kmip",
            "refused: Permission Denied",
            S(Does::Refuse(0x0C, "no")),
            Kind::Denied,
            "Permission Denied",
            Some(1),
        ),
        (
            "kmip",
            "refused: the key is gone",
            S(Does::Refuse(0x01, "no")),
            Kind::NotFound,
            "Item Not Found",
            Some(1),
        ),
        (
            "kmip",
            "slow: no TLS comes",
            S(Does::NoTls),
            Kind::Unreachable,
            "did not answer",
            Some(0),
        ),
        (
            "kmip",
            "slow: never answers",
            S(Does::HangAfter(0)),
            Kind::Unreachable,
            "did not answer",
            Some(1),
        ),
        (
            "kmip",
            "slow: a byte each 200 ms",
            S(Does::Drip(Duration::from_millis(200))),
            Kind::Unreachable,
            "did not answer",
            Some(1),
        ),
        (
            "kmip",
            "claims 1 GiB",
            one_gib,
            Kind::Config,
            "longer than 65536",
            Some(1),
        ),
        (
            "kmip",
            "another certificate",
            Certificate,
            Kind::Config,
            "certificate",
            None,
        ),
    ]
}

impl Three {
    /// Makes the first KEK wrong; what changes in its configuration.
    fn spoil(&self, bao: &Bao, first: &str, wrong: &Wrong) -> Value {
        match wrong {
            Wrong::Proxy(fault) => self.proxy.set_fault(fault),
            Wrong::Stand(does) => self.stand.now(does.clone()),
            Wrong::Option(change) => return change.clone(),
            Wrong::Certificate if first == "bao" => {
                let proxy = Proxy::start_with(bao.plain, Tls::new().acceptor("localhost", false));
                let address = format!("https://localhost:{}", proxy.address.port());
                return json!({ "address": address, "ca_file": AUTHORITY.folder.join("ca.pem") });
            }
            Wrong::Certificate => {
                let tls = AUTHORITY.tls("kmip.example.org", false, false);
                let port = Stand::start_with(tls, Does::Good).port();
                return json!({ "addresses": [format!("localhost:{port}")] });
            }
        }
        Value::Null
    }
}

/// With each fault of the first KEK, alone and where two of three are needed.
#[test]
fn a_first_kek_in_trouble_costs_its_share_of_a_start() {
    let Some(bao) = &*BAO else { return };
    let one = &|(first, what, wrong, kind, words, asked): &Row, threshold: u8| {
        let names = match *first {
            "bao" => ["bao", "kmip", "file"],
            _ => ["kmip", "bao", "file"],
        };
        let names = &names[..usize::from(threshold) + 1];
        let three = Three::new(bao);
        three.make(names, threshold);
        let config = three.config(names, threshold, &three.spoil(bao, first, wrong));
        let begin = Instant::now();
        let keyring = three.start(&config).unwrap();
        let took = begin.elapsed();
        assert!(keyring.fetch(b"k", b"").unwrap().is_some());
        let status = keyring.status().store;
        assert!(status.kek_health().degraded.is_some(), "{first} {what}");
        let Answer::Failed {
            kind: is, message, ..
        } = &status.keks[0].answer
        else {
            panic!("{first} {what}: {:?}", status.keks[0].answer);
        };
        let fault = format!("{threshold} of {}; first is {first}, {what}", names.len());
        assert_eq!(is, kind, "{fault}: {message}");
        assert!(message.contains(words), "{fault}: {message}");
        assert!(took < SHARE + BUSY, "{fault}: {took:?}");
        assert!(matches!(status.keks[1].answer, Answer::Opened), "{fault}");
        let [of_bao, of_kmip] = three.asked();
        let (of_first, of_second) = match *first {
            "bao" => (of_bao, of_kmip),
            _ => (of_kmip, of_bao),
        };
        assert_eq!(of_second, 1, "{fault}: the second");
        // Only the share of a start: whoever is needed no more is not asked again.
        asked.inspect(|n| assert_eq!(of_first, *n, "{fault}: the first"));
        (
            fault,
            format!("opened; {}", is.name()),
            took,
            message.clone(),
        )
    };
    let rows = rows();
    let both = |threshold| rows.iter().map(move |row| (row, threshold));
    let all: Vec<_> = both(1).chain(both(2)).collect();
    // Most wait for a share of a start. More at once would take it from each other by TLS alone.
    for some in all.chunks(8) {
        let seen: Vec<_> = std::thread::scope(|scope| {
            let seen: Vec<_> = (some.iter().copied())
                .map(|(row, threshold)| scope.spawn(move || one(row, threshold)))
                .collect();
            seen.into_iter().map(|row| row.join().unwrap()).collect()
        });
        for (fault, outcome, took, message) in seen {
            let (_, sentence) = message.split_once(": ").unwrap();
            let sentence = sentence.split(". ").next().unwrap();
            fault_rows::row("keks", &fault, &outcome, took, &format!("{sentence}."));
        }
    }
}

/// Where all are away the start ends with its time, and each is told.
#[test]
fn a_start_without_any_ends_with_its_time() {
    let Some(bao) = &*BAO else { return };
    let one = |what: &str, fault: &str, does: Does| {
        let three = Three::new(bao);
        three.make(&["bao", "kmip"], 1);
        three.proxy.set_fault(fault);
        three.stand.now(does);
        let config = three.config(&["bao", "kmip"], 1, &Value::Null);
        let begin = Instant::now();
        let e = three.start(&config).map(drop).unwrap_err();
        let took = begin.elapsed();
        fault_rows::told("keks", &format!("1 of 2; {what}"), &e, took);
        let said = e.to_string();
        assert!(
            said.contains("bao: KW-") && said.contains("kmip: KW-"),
            "{said}"
        );
        assert!(took < START + BUSY, "{what}: {took:?}");
        (took, e.kind(), three.asked())
    };
    std::thread::scope(|scope| {
        let denied = "answer 403 {\"errors\":[\"permission denied\"]}";
        let hung = scope.spawn(|| one("both never answer", "hang", Does::HangAfter(0)));
        let mixed =
            scope.spawn(|| one("one refuses, one never answers", denied, Does::HangAfter(0)));
        let refused = one("both refuse", denied, Does::Refuse(0x0C, "no"));
        assert_eq!((refused.1, refused.2), (Kind::Denied, [1, 1]));
        assert!(refused.0 < SHARE, "{:?}", refused.0);
        let (took, kind, asked) = hung.join().unwrap();
        assert_eq!(kind, Kind::Unreachable);
        assert!(
            took > START / 2 && asked[0] > 1 && asked[1] > 1,
            "{took:?}, {asked:?}"
        );
        let (_, kind, asked) = mixed.join().unwrap();
        assert!(
            kind == Kind::Unreachable && asked[0] == 1 && asked[1] > 1,
            "{kind:?}, {asked:?}"
        );
    });
}

/// A start asks the KEK that opens, once, whatever the number of keys; nobody is asked for a key.
#[test]
fn one_call_for_each_start_and_none_for_a_key() {
    let Some(bao) = &*BAO else { return };
    for (names, threshold, calls) in [
        (["bao", "kmip", "file"], 1, [1, 0]),
        (["kmip", "bao", "file"], 1, [0, 1]),
        (["bao", "kmip", "file"], 2, [1, 1]),
        (["file", "bao", "kmip"], 1, [0, 0]),
    ] {
        let three = Three::new(bao);
        three.make(&names, threshold);
        let config = three.config(&names, threshold, &Value::Null);
        for keys in [1, 301] {
            let begin = Instant::now();
            let keyring = three.start(&config).unwrap();
            let what = format!(
                "{threshold} of 3; all good, {} first, {keys} keys",
                names[0]
            );
            fault_rows::row("keks", &what, "opened", begin.elapsed(), "");
            assert_eq!(keyring.list().len(), keys);
            assert_eq!(three.asked(), calls, "{what}");
            for i in 0..300 {
                let name = format!("k{i}");
                // The second time they are there.
                let _ = keyring
                    .by(&Caller::Unknown)
                    .generate(name.as_bytes(), b"", b"AES", 32);
                keyring.fetch(name.as_bytes(), b"").unwrap().unwrap();
            }
            keyring.by(&Caller::Unknown).compact().unwrap();
            assert_eq!(three.asked(), [0, 0], "{what}");
        }
    }
    // That is what a call is.
    let three = Three::new(bao);
    three.make(&["bao"], 1);
    three
        .start(&three.config(&["bao"], 1, &Value::Null))
        .unwrap();
    assert_eq!(three.proxy.take_calls(), [DECRYPT]);
}
