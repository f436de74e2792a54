//! `keyring-ward transport`: every command as text and as JSON, two keyrings that exchange messages, what is refused; and the
//! vectors of docs/reference/transport.md, which say what old messages must go on meaning.
#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use keyring_ward::envelope::TransportKeys;
use keyring_ward::error::{Kind, Result};
use keyring_ward::secret::SecretPool;
use keyring_ward::transport::{Message, from_text, read};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const SSN: [&str; 4] = ["--name", "ssn", "--owner", "app@%"];

/// A keyring, and the tool for it.
struct Server(Place);

impl Server {
    fn new() -> Server {
        Server(Place::with_keyring())
    }

    /// Runs a command with something on standard input: its code, standard output, standard error.
    fn run_with(&self, words: &[&str], input: &str) -> (i32, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(words)
            .args(["--path", self.0.keyring_file().to_str().unwrap()])
            .args(["--key-file", self.0.key_file().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let out = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = out.status.code().unwrap();
        (code, text(out.stdout), text(out.stderr))
    }

    fn says(&self, words: &[&str]) -> String {
        let (code, out, err) = self.run_with(words, "");
        assert_eq!(code, 0, "{words:?}: {out}{err}");
        out
    }

    fn json(&self, words: &[&str]) -> Value {
        let said = self.says(&[words, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{words:?}: {e}: {said}"))
    }

    /// Refused with this code, this kind, and this in the sentence, as text and as JSON; nothing is written.
    fn refuses(&self, words: &[&str], code: i32, kind: &str, sentence: &str) {
        let before = self.0.read();
        let (got, out, err) = self.run_with(words, "");
        assert_eq!((got, &*out), (code, ""), "{words:?}: {err}");
        assert!(
            err.contains(kind) && err.contains(sentence),
            "{words:?}: {err}"
        );
        let (got, _, err) = self.run_with(&[words, &["--json"]].concat(), "");
        let error: Value = serde_json::from_str(&err).unwrap();
        assert_eq!((got, &error["error"]["kind"]), (code, &kind.into()));
        assert_eq!(self.0.read(), before, "{words:?}");
    }

    /// A dry run writes nothing, and shows nothing of a secret that is not kept.
    fn dry(&self, words: &[&str], secret: &str) {
        let before = self.0.read();
        let done = self.json(&[words, &["--dry-run"]].concat());
        assert_eq!(done["dry_run"], true, "{done}");
        assert!(done[secret].is_null(), "{done}");
        let text = self.says(&[words, &["--dry-run"]].concat());
        assert!(text.starts_with("Nothing was written."), "{text}");
        assert_eq!(self.0.read(), before, "{words:?}");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn two_keyrings_exchange_everything() {
    let (source, replica) = (Server::new(), Server::new());
    let name = ["--name", "replicas"];
    let request = [&["transport", "request"], &name[..]].concat();
    replica.dry(&request, "public");
    let asked = replica.json(&request);
    assert_eq!(
        replica.json(&request)["public"],
        asked["public"],
        "the same"
    );
    let said = replica.says(&request);
    assert!(said.contains(text(&asked["public"])) && said.contains(text(&asked["fingerprint"])));

    let new = [
        &["transport", "new"],
        &name[..],
        &["--public", text(&asked["public"])],
    ]
    .concat();
    source.dry(&new, "messages");
    let handed = source.json(&new);
    assert_eq!(
        handed["messages"][0]["request_fingerprint"],
        asked["fingerprint"]
    );
    let said = source.says(&new);
    assert!(
        said.contains(text(&asked["fingerprint"])) && said.contains(text(&handed["fingerprint"]))
    );
    let twice = [&new[..], &["--public", text(&asked["public"])]].concat();
    assert_eq!(source.json(&twice)["messages"].as_array().unwrap().len(), 2);
    source.refuses(
        &["transport", "new", "--name", "x", "--public", "age1x"],
        13,
        "InvalidInput",
        "no public key",
    );
    source.refuses(
        &["transport", "request", "--name", "a b"],
        13,
        "InvalidInput",
        "no name",
    );

    let message = text(&handed["messages"][0]["message"]);
    let accept = ["transport", "accept", "--message", message];
    replica.refuses(&accept, 13, "InvalidInput", "fingerprint is not given");
    let compared = [
        &accept[..],
        &["--fingerprint", text(&handed["fingerprint"])],
    ]
    .concat();
    replica.dry(&compared, "fingerprint");
    assert!(replica.says(&compared).contains("replicas is here"));
    assert!(replica.says(&compared).contains("It was here before"));
    let listed = replica.json(&["transport", "list"]);
    assert_eq!(
        listed["transports"][0]["fingerprint"],
        handed["fingerprint"]
    );
    assert!(
        replica
            .says(&["transport", "list"])
            .contains(text(&handed["fingerprint"]))
    );

    source.says(&[&["key", "create"], &SSN[..], &["--bytes", "48"]].concat());
    let seal = [
        &["transport", "seal", "--transport", "replicas"],
        &SSN[..],
        &["--version", "1"],
    ]
    .concat();
    let sealed = source.says(&seal);
    assert!(source.json(&seal)["sha256"].as_str().unwrap().len() == 64);
    let take = ["transport", "accept", "--message", "-", "--json"];
    let (code, _, err) = replica.run_with(&take, &sealed);
    assert!(code == 13 && err.contains("uuid"), "{err}");
    let take = [&take[..], &["--server-uuid", UUID]].concat();
    let (code, out, err) = replica.run_with(&take, &sealed);
    assert_eq!(code, 0, "{err}");
    let taken: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&taken["state"], &taken["new"]),
        (&"active".into(), &true.into())
    );
    let shown = |server: &Server| server.json(&[&["key", "show"], &SSN[..]].concat());
    assert_eq!(shown(&source)["id"], shown(&replica)["id"]);
    let (code, _, err) = replica.run_with(&["transport", "accept", "--message", "-"], " \n");
    assert!(
        code == 13 && err.contains("standard input is empty"),
        "{err}"
    );

    let receipt = text(&taken["receipt"]);
    let proved = source.json(&["transport", "confirm", "--receipt", receipt]);
    assert_eq!(
        (&proved["replica"], &proved["version"]),
        (&UUID.into(), &1.into())
    );
    let said = source.says(&["transport", "confirm", "--receipt", receipt]);
    assert!(
        said.contains(UUID) && said.contains("version 1 of ssn"),
        "{said}"
    );
    source.refuses(
        &["transport", "confirm", "--receipt", message],
        13,
        "InvalidInput",
        "no receipt",
    );

    // The keyring's own keys are no logical keys.
    let own = ["--name", "transport/replicas", "--owner", "keyring_ward"];
    source.refuses(
        &[&["key", "adopt"], &own[..]].concat(),
        13,
        "InvalidInput",
        "the keyring's own",
    );

    let remove = [&["transport", "remove"], &name[..]].concat();
    replica.dry(&remove, "-");
    assert!(replica.says(&remove).contains("gone from this keyring"));
    replica.refuses(&remove, 11, "NotFound", "no transport key");
    let (code, _, err) = replica.run_with(&take, &sealed);
    assert!(code == 11 && err.contains("no transport key"), "{err}");
}

// ---- vectors -------------------------------------------------------------------------------------------

/// The transport key of the vectors, and the secret of their request.
fn key() -> Vec<u8> {
    (1..=32).collect()
}
const SECRET: [u8; 32] = [5; 32];

fn opens(text: &str) -> Result<String> {
    let pool = SecretPool::new();
    let keys = TransportKeys::derive(&pool, &key())?;
    let bytes = from_text(text)?;
    Ok(match read(&bytes)? {
        Message::HandOver(message) => {
            assert_eq!(message.open(&pool, &SECRET)?[..], key());
            format!("{} of {}", message.under.name, message.source)
        }
        Message::Parcel(parcel) => {
            let content = parcel.open(&pool, &keys)?;
            let material = keyring_ward::text::hex(&content.material);
            let state = content.state().name();
            format!(
                "{} {} {state} {material}",
                content.id, content.version.number
            )
        }
        Message::Receipt(receipt) => {
            receipt.check(&keys)?;
            let said = &receipt.said;
            format!(
                "{} has {} {}",
                said.replica,
                said.version,
                said.state.name()
            )
        }
    })
}

#[test]
fn every_vector_says_what_it_said() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/transport/EXPECT.txt"
    );
    let all = std::fs::read_to_string(file).unwrap();
    let (mut good, mut bad) = (0, 0);
    for line in all.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, outcome, expected, message] = fields[..] else {
            panic!("{line}")
        };
        match (opens(message), outcome) {
            (Ok(said), "opens") => {
                assert_eq!(said, expected, "{name}");
                good += 1;
            }
            (Err(e), kind) => {
                assert_eq!(e.kind().name(), kind, "{name}: {e}");
                assert!(e.to_string().contains(expected), "{name}: {e}");
                bad += 1;
            }
            (Ok(said), kind) => panic!("{name} opens, and is to be {kind}: {said}"),
        }
    }
    assert!(good >= 4 && bad >= 12, "{good} {bad}");
}

/// Makes the vectors anew: cargo test --test transport make_vectors -- --ignored. Old ones must go on opening, so new ones are
/// added, and none is changed.
#[test]
#[ignore = "writes tests/vectors/transport"]
fn make_vectors() {
    use keyring_ward::key::extensions::Extensions;
    use keyring_ward::key::id::KeyId;
    use keyring_ward::key::logical::{Logical, State, VersionOf};
    use keyring_ward::transport::hand_over::{self, About};
    use keyring_ward::transport::parcel::{self, Content};
    use keyring_ward::transport::receipt::{Receipt, Said};
    use keyring_ward::transport::request::Public;
    use keyring_ward::transport::{ServerId, Under, to_text};
    let pool = SecretPool::new();
    let keys = TransportKeys::derive(&pool, &key()).unwrap();
    let source = ServerId::parse(UUID).unwrap();
    let mut lines =
        vec!["# name\toutcome\twhat it says, or part of the error\tmessage".to_string()];
    let mut add = |name: &str, outcome: &str, text: &str, bytes: &[u8]| {
        lines.push(format!("{name}\t{outcome}\t{text}\t{}", to_text(bytes)));
    };
    let about = About {
        name: "replicas",
        made: 1_800_000_000,
        source,
    };
    let to = Public::of_secret(&SECRET).unwrap();
    let handed = hand_over::write(&pool, &about, &key(), &to).unwrap();
    add(
        "hand-over",
        "opens",
        &format!("replicas of {UUID}"),
        &handed,
    );
    let mut logical = Logical::unknown([7; 16]);
    for state in [State::Deactivated, State::Active, State::Pending] {
        let number = logical.add_version(1_800_000_000).unwrap();
        logical.put_into(number, state, 1_800_000_001).unwrap();
    }
    let content = |number: u32| Content {
        id: KeyId::new(b"ssn", b"app@%").unwrap(),
        version: VersionOf {
            number,
            logical: logical.clone(),
        },
        restrictions: Extensions::default(),
        key_type: "AES".into(),
        created_at: 1_800_000_000,
        material: pool.copy(&[0xab; 32]).unwrap(),
    };
    let write =
        |number| parcel::write(&pool, ("replicas", &keys), source, &content(number)).unwrap();
    for (number, state) in [(1, "deactivated"), (2, "active"), (3, "pending")] {
        let expected = format!("{} {number} {state} {}", content(1).id, "ab".repeat(32));
        add(
            &format!("parcel-{state}"),
            "opens",
            &expected,
            &write(number),
        );
    }
    let said = Said {
        under: Under {
            id: keys.id(),
            name: "replicas",
        },
        replica: source,
        key: [7; 16],
        version: 2,
        state: State::Pending,
        at: 1_800_000_002,
        parcel: [8; 32],
        digest: parcel::digest(&keys, &content(2).version, &[0xab; 32]),
    };
    let receipt = Receipt::sign(&keys, said).write();
    add(
        "receipt",
        "opens",
        &format!("{UUID} has 2 pending"),
        &receipt,
    );
    let good = write(2);
    for (what, bytes) in [
        ("hand-over", &handed),
        ("parcel", &good),
        ("receipt", &receipt),
    ] {
        let flipped = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            bytes
        };
        add(
            &format!("{what}-version-0"),
            "UnsupportedVersion",
            "version 0",
            &flipped(4),
        );
        add(
            &format!("{what}-cut"),
            "InvalidInput",
            "is cut",
            &bytes[..bytes.len() - 1],
        );
        add(
            &format!("{what}-longer"),
            "InvalidInput",
            "is cut",
            &[&bytes[..], &[0]].concat(),
        );
        add(
            &format!("{what}-id-flipped"),
            "Tampered",
            "changed",
            &flipped(6),
        );
        add(
            &format!("{what}-end-flipped"),
            "Tampered",
            "changed",
            &flipped(bytes.len() - 1),
        );
        add(
            &format!("{what}-no-magic"),
            "InvalidInput",
            "no message",
            &flipped(0),
        );
    }
    let other = TransportKeys::derive(&pool, &[9; 32]).unwrap();
    let theirs = parcel::write(&pool, ("replicas", &other), source, &content(2)).unwrap();
    add(
        "parcel-of-another-key",
        "Tampered",
        "another transport key",
        &theirs,
    );
    let mut huge = good;
    huge[31 + 16 + 64..31 + 16 + 68].copy_from_slice(&u32::MAX.to_le_bytes());
    add("parcel-length-4gib", "InvalidInput", "is cut", &huge);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/transport");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(format!("{folder}/EXPECT.txt"), lines.join("\n") + "\n").unwrap();
    assert_eq!(Kind::ALL.len(), 16);
}
