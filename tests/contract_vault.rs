//! The backend `vault` over OpenBao, a real server: its contract, its ways to log in, and each refusal that the server
//! gives on demand. A proxy before it counts calls and injects the faults that no server gives.

#![allow(clippy::unwrap_used)]

#[path = "support/bao.rs"]
mod bao;
mod common;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/token_reviews.rs"]
mod token_reviews;
#[path = "support/vault_faults.rs"]
mod vault_faults;
#[path = "support/vault_logins.rs"]
mod vault_logins;
#[path = "support/vault_refusals.rs"]
mod vault_refusals;
#[path = "support/vault_vector.rs"]
mod vault_vector;

use bao::{Bao, write_secret};
use common::turn;
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Stanza};
use keyring_ward::kek::{Budget, Kek, Unwrapped};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use kms_proxy::Proxy;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];
/// What `init` says that the KEK needs.
const LEAST: &str = r#"path "transit/encrypt/mysql" { capabilities = ["update"] }
path "transit/decrypt/mysql" { capabilities = ["update"] }"#;

/// A policy that allows nothing that is needed.
const NOTHING: &str = r#"path "elsewhere" { capabilities = ["deny"] }"#;

/// One server for all tests that don't change what others rely on: each of them makes keys, mounts and roles of its own.
static BAO: LazyLock<Option<Bao>> = LazyLock::new(Bao::start);

/// A folder with a token's file.
struct Place(tempfile::TempDir);

impl Place {
    fn with_token(token: &str) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        write_secret(&place.path("token"), &format!("{token}\n"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The configuration of the key `mysql`, with changes; null takes a member out.
    fn try_config(&self, url: &str, changes: &Value) -> Result<Config> {
        let mut options = json!({
            "address": url, "key": "mysql", "token_file": self.path("token"),
            "attempt_timeout": 2, "connect_timeout": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(options.as_object_mut().unwrap().remove(name)),
                false => options[name] = value.clone(),
            }
        }
        let text = json!({
            "backend": "vault", "path": self.path("keyring"), "timeout": 4, "start_timeout": 6, "vault": options,
        });
        json::parse(text.to_string().as_bytes(), "test")?
            .layer
            .finish()
    }

    fn kek(&self, url: &str, changes: Value) -> Box<dyn Kek> {
        self.try_config(url, &changes).unwrap().keks[0].kek()
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(4))
}

fn plain(bao: &Bao) -> String {
    format!("http://{}", bao.plain)
}

fn wrap(kek: &dyn Kek) -> Result<Stanza> {
    kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), soon())
}

fn unwrap_until(
    kek: &dyn Kek,
    file: &[u8; 16],
    stanza: &Stanza,
    end: Deadline,
) -> Result<Option<Vec<u8>>> {
    let opened = kek.unwrap(&SecretPool::new(), file, stanza, &mut Budget::new(end))?;
    Ok(match opened {
        Unwrapped::Opened(part) => Some(part.to_vec()),
        _ => None,
    })
}

fn unwrap(kek: &dyn Kek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    unwrap_until(kek, &FILE, stanza, soon())
}

fn opens(kek: &dyn Kek, stanza: &Stanza) {
    assert_eq!(unwrap(kek, stanza).unwrap(), Some(DEK.to_vec()));
}

fn told(what: &str, e: &Error, begin: Instant) {
    fault_rows::told("vault", what, e, begin.elapsed());
}

/// The error of a wrap of `what`: its kind is `kind`, and its sentence has the words.
fn refused(what: &str, kek: &dyn Kek, kind: Kind, words: &str) -> String {
    let begin = Instant::now();
    let e = wrap(kek).map(drop).unwrap_err();
    told(what, &e, begin);
    assert_eq!(e.kind(), kind, "{e}");
    assert!(e.to_string().contains(words), "{words}: {e}");
    e.to_string()
}

/// The same of an unwrap.
fn not_opened(what: &str, kek: &dyn Kek, stanza: &Stanza, kind: Kind, words: &str) {
    let begin = Instant::now();
    let e = unwrap(kek, stanza).map(drop).unwrap_err();
    told(what, &e, begin);
    assert_eq!(e.kind(), kind, "{e}");
    assert!(e.to_string().contains(words), "{words}: {e}");
}

#[test]
fn the_contract_holds_with_the_least_policy() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.token(LEAST, json!({})));
    let kek = place.kek(&bao.url(), json!({"ca_file": bao.ca_file()}));
    kek.probe(&SecretPool::new(), soon()).unwrap();
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(stanza.key_ref, "transit/mysql");
    assert_eq!(stanza.mechanism, "data-key+aes-256-gcm");
    opens(&*kek, &stanza);
    let again = wrap(&*kek).unwrap();
    assert_ne!(
        (&again.blob, again.commitment),
        (&stanza.blob, stanza.commitment)
    );
    let begin = Instant::now();
    let e = unwrap_until(&*kek, &[6; 16], &stanza, soon()).unwrap_err();
    told("another file's stanza", &e, begin);
    assert_eq!(e.kind(), Kind::WrongKek, "another file: {e}");
    assert!(e.to_string().contains("another file's"), "{e}");
    // Every part of the stanza counts, and each bit of some.
    for i in 0..stanza.blob.len() {
        let mut bad = stanza.clone();
        bad.blob[i] ^= 1 << (i % 8);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "byte {i}");
    }
    let changes: [fn(&mut Stanza); 9] = [
        |s| s.commitment = [1; 32],
        |s| s.blob.truncate(60),
        |s| s.blob.clear(),
        |s| s.blob.push(b'\n'),
        |s| s.params = vec![1],
        |s| s.mechanism = "rot13".into(),
        |s| {
            s.holder = Some(Holder {
                kek: "another".into(),
                share: None,
            })
        },
        |s| s.key_ref = "transit/other".into(),
        |s| s.key_ref = "elsewhere/mysql".into(),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut bad = stanza.clone();
        change(&mut bad);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "change {i}");
    }
    // Vault itself takes version 0 for 1.
    let mut bad = stanza.clone();
    let at = bad.blob.windows(7).position(|w| w == b"vault:v").unwrap() + 7;
    bad.blob[at] = b'0';
    not_opened(
        "a ciphertext of version 0",
        &*kek,
        &bad,
        Kind::Tampered,
        "none that Vault gives",
    );
}

#[test]
fn random_bytes_need_a_line_of_the_policy() {
    let Some(bao) = &*BAO else { return };
    let random = "path \"transit/random\" { capabilities = [\"update\"] }";
    let place = Place::with_token(&bao.token(random, json!({})));
    let kek = place.kek(&plain(bao), json!({}));
    let pool = SecretPool::new();
    let (a, b) = (
        kek.random(&pool, 1024, soon()),
        kek.random(&pool, 1024, soon()),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.len() == 1024 && a[..] != b[..]);
    let place = Place::with_token(&bao.token(LEAST, json!({})));
    let e = place.kek(&plain(bao), json!({})).random(&pool, 32, soon());
    let e = e.err().unwrap();
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    assert!(e.to_string().contains("transit/random"), "{e}");
}

#[test]
fn a_data_key_is_bound_to_its_file_at_vault_too() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let stanza = wrap(&*place.kek(&plain(bao), json!({}))).unwrap();
    let at = stanza
        .blob
        .windows(7)
        .position(|w| w == b"vault:v")
        .unwrap();
    let ciphertext = std::str::from_utf8(&stanza.blob[at..]).unwrap();
    let decrypt = |associated: &str| {
        let associated = data_encoding::BASE64.encode(associated.as_bytes());
        let body = json!({"ciphertext": ciphertext, "associated_data": associated});
        bao.ask("transit/decrypt/mysql", &bao.root, &body).0
    };
    // As docs/reference/format.md says.
    let right = format!("product=keyring-ward,file-id={}", "05".repeat(16));
    assert_eq!(decrypt(&right), 200);
    assert_eq!(decrypt("product=keyring-ward"), 400);
    assert_eq!(decrypt(""), 400);
}

#[test]
fn another_mount_namespace_or_key_is_another_kek() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let kek = place.kek(&plain(bao), json!({}));
    let stanza = wrap(&*kek).unwrap();
    // A mount of another name, and one in a namespace.
    bao.admin("sys/mounts/kms/east", json!({"type": "transit"}));
    bao.admin("kms/east/keys/mysql", json!({}));
    bao.admin("sys/namespaces/team1", json!({}));
    bao.admin("team1/sys/mounts/transit", json!({"type": "transit"}));
    bao.admin("team1/transit/keys/mysql", json!({}));
    for (changes, key_ref) in [
        (json!({"mount": "kms/east/"}), "kms/east/mysql"),
        (json!({"namespace": "team1"}), "team1/transit/mysql"),
        (json!({"mount": "team1/transit"}), "team1/transit/mysql"),
    ] {
        let other = place.kek(&plain(bao), changes);
        let of_other = wrap(&*other).unwrap();
        assert_eq!(of_other.key_ref, key_ref);
        opens(&*other, &of_other);
        not_opened(
            &format!("of 'transit/mysql', asked by '{key_ref}'"),
            &*other,
            &stanza,
            Kind::WrongKek,
            "wrapped by 'transit/mysql'",
        );
        not_opened(
            &format!("of '{key_ref}', asked by 'transit/mysql'"),
            &*kek,
            &of_other,
            Kind::WrongKek,
            &format!("wrapped by '{key_ref}'"),
        );
    }
    // The same mount at another place: what it was called then does not matter.
    bao.admin("sys/remount", json!({"from": "kms/east", "to": "kms/west"}));
    let west = place.kek(&plain(bao), json!({"mount": "kms/west"}));
    let begin = Instant::now();
    while wrap(&*west).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is not moved");
    }
    // Another name is told without a call.
    let proxy = Proxy::start(bao.plain);
    let named = place.kek(&proxy.url(), json!({"key": "other"}));
    not_opened(
        "another key's name in the configuration",
        &*named,
        &stanza,
        Kind::WrongKek,
        "the configuration names 'transit/other'",
    );
    assert!(proxy.take_requests().is_empty());
}

#[test]
fn calls_are_counted_and_the_key_rotates() {
    let _turn = turn();
    let Some(bao) = &*BAO else { return };
    bao.admin("transit/keys/rotating", json!({}));
    let place = Place::with_token(&bao.root);
    let proxy = Proxy::start(bao.plain);
    let config = place
        .try_config(&proxy.url(), &json!({"key": "rotating"}))
        .unwrap();
    let environment = Environment {
        data_dir: None,
        look_only: false,
        starting: true,
        making: false,
        snapshot_if_locked: false,
        audit: None,
    };
    let open = || Keyring::open(&config, &environment, &SecretPool::new()).unwrap();
    let (encrypt, decrypt) = ("transit/encrypt/rotating", "transit/decrypt/rotating");
    let keyring = open();
    // A keyring that is not there yet is only asked for.
    proxy.take_calls();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    assert_eq!(proxy.take_calls(), [encrypt, decrypt]);
    for i in 0..200 {
        keyring
            .by(&Caller::Unknown)
            .generate(format!("k{i}").as_bytes(), b"", b"AES", 32)
            .unwrap();
        keyring.fetch(b"k", b"").unwrap();
    }
    assert_eq!(proxy.take_calls(), [""; 0]);
    drop(keyring);
    // The old version goes on opening.
    bao.admin("transit/keys/rotating/rotate", json!({}));
    assert_eq!(open().list().len(), 201);
    assert_eq!(proxy.take_calls(), [decrypt]);
    bao.admin(
        "transit/keys/rotating/config",
        json!({"min_decryption_version": 2}),
    );
    let e = Keyring::open(&config, &environment, &SecretPool::new())
        .err()
        .unwrap();
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    assert!(
        e.to_string()
            .contains("transit/keys/rotating/config min_decryption_version=N"),
        "{e}"
    );
    bao.admin(
        "transit/keys/rotating/config",
        json!({"min_decryption_version": 1}),
    );
    proxy.take_calls();
    // The tool wraps with the newest.
    let file = place.path("conf");
    let text = json!({
        "backend": "vault", "path": place.path("keyring"),
        "vault": {"address": proxy.url(), "key": "rotating", "token_file": place.path("token")},
    });
    std::fs::write(&file, text.to_string()).unwrap();
    tool(&["reseal", "--config", file.to_str().unwrap()], true);
    assert_eq!(proxy.take_calls(), [decrypt, encrypt, decrypt]);
    bao.admin(
        "transit/keys/rotating/config",
        json!({"min_decryption_version": 2}),
    );
    assert_eq!(open().list().len(), 201);
}

/// Runs the tool; gives all that it printed.
fn tool(args: &[&str], ok: bool) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.success(), ok, "{args:?}: {text}");
    text
}

#[test]
fn init_prints_the_least_policy_and_a_configuration_that_it_reads() {
    let _turn = turn();
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.token(LEAST, json!({})));
    let (path, token, ca) = (place.path("keyring"), place.path("token"), bao.ca_file());
    let options = [
        format!("vault_address={}", bao.url()),
        "vault_key=mysql".into(),
        format!("vault_token_file={}", token.display()),
        format!("vault_ca_file={}", ca.display()),
    ];
    let mut args = vec![
        "init",
        "--backend",
        "vault",
        "--path",
        path.to_str().unwrap(),
    ];
    args.extend(
        options
            .iter()
            .flat_map(|option| ["--option", option.as_str()]),
    );
    let generate = tool(&[&args[..], &["--generate"]].concat(), false);
    assert!(
        generate.contains("vault write -f transit/keys/mysql"),
        "{generate}"
    );
    // Who may nothing is told what is missing.
    write_secret(&token, &bao.token(NOTHING, json!({})));
    let refused = tool(&args, false);
    assert!(
        refused.contains("permission denied") && !path.exists(),
        "{refused}"
    );
    assert!(
        refused.contains("path \"transit/encrypt/mysql\""),
        "{refused}"
    );
    write_secret(&token, &bao.token(LEAST, json!({})));
    let printed = tool(&args, true);
    for line in LEAST.lines() {
        assert!(printed.contains(line), "{printed}");
    }
    assert!(
        printed.contains("loose_keyring_ward_vault_key=mysql"),
        "{printed}"
    );
    let json = printed
        .lines()
        .find(|l| l.trim_start().starts_with('{'))
        .unwrap();
    let file = place.path("component_keyring_ward.cnf");
    std::fs::write(&file, json).unwrap();
    let status = tool(&["status", "--config", file.to_str().unwrap()], true);
    assert!(status.contains("Vault key 'transit/mysql'"), "{status}");
    let doctor = tool(&["doctor", "--config", file.to_str().unwrap()], true);
    assert!(
        doctor.contains("2 files besides the keyring can be read"),
        "{doctor}"
    );
}
