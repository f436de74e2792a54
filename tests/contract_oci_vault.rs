//! The backend `oci_vault` over a fake of OCI that verifies every signature: its contract, as whom it asks, each refusal,
//! and the faults that no server gives on demand. The fake itself is proved by Oracle's own client, and by requests that
//! OCI refuses.

#![allow(clippy::unwrap_used)]

#[path = "support/bao.rs"]
mod bao;
#[path = "support/clouds/mod.rs"]
mod clouds;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/oci_fake.rs"]
mod oci_fake;
#[path = "support/oci_faults.rs"]
mod oci_faults;
#[path = "support/oci_official.rs"]
mod oci_official;
#[path = "support/oci_refusals.rs"]
mod oci_refusals;
#[path = "support/oci_vector.rs"]
mod oci_vector;
#[path = "support/ports.rs"]
mod ports;

use bao::write_secret;
use clouds::Fake;
use clouds::oci::{FINGERPRINT, KEY, OTHER_KEY, Oci, TENANCY, USER, USER_KEY};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Stanza};
use keyring_ward::kek::{Budget, Kek, Unwrapped};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];
/// What a start asks, as an instance and as a user.
const LOGIN: [&str; 4] = [
    "GET /opc/v2/identity/cert.pem 200",
    "GET /opc/v2/identity/key.pem 200",
    "GET /opc/v2/identity/intermediate.pem 200",
    "POST /v1/x509 200",
];
const GENERATE: &str = "POST /20180608/generateDataEncryptionKey 200";
const DECRYPT: &str = "POST /20180608/decrypt 200";

/// A fake, and a folder with a user's key.
struct Place {
    fake: Fake,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            fake: Fake::start(Oci::default()),
            folder: tempfile::tempdir().unwrap(),
        };
        write_secret(&place.path("key.pem"), USER_KEY);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The members of a user, with changes; null takes a member out.
    fn options(&self, changes: &Value) -> Value {
        let mut options = json!({
            "crypto_endpoint": self.fake.url(), "key_ocid": KEY, "auth": "user_key",
            "tenancy_ocid": TENANCY, "user_ocid": USER, "fingerprint": FINGERPRINT,
            "private_key_file": self.path("key.pem"), "attempt_timeout": 2, "connect_timeout": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(options.as_object_mut().unwrap().remove(name)),
                false => options[name] = value.clone(),
            }
        }
        options
    }

    fn try_config(&self, changes: &Value) -> Result<Config> {
        let text = json!({
            "backend": "oci_vault", "path": self.path("keyring"), "timeout": 4, "start_timeout": 6,
            "oci_vault": self.options(changes),
        });
        json::parse(text.to_string().as_bytes(), "test")?
            .layer
            .finish()
    }

    fn kek(&self, changes: Value) -> Box<dyn Kek> {
        self.try_config(&changes).unwrap().keks[0].kek()
    }

    fn as_user(&self) -> Box<dyn Kek> {
        self.kek(json!({}))
    }

    /// What makes the instance of it. A key of 2,048 bits is made in each attempt, which takes its time on a busy machine.
    fn instance(&self) -> Value {
        json!({
            "auth": "instance_principal", "tenancy_ocid": null, "user_ocid": null, "fingerprint": null,
            "private_key_file": null, "federation_endpoint": self.fake.url(),
            "metadata_url": self.fake.url(), "attempt_timeout": 10,
        })
    }

    fn as_instance(&self) -> Box<dyn Kek> {
        self.kek(self.instance())
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(4))
}

/// What may pass is tried until the end, anything else is told at once: on a busy machine after a while.
fn until_told(kind: Kind) -> Deadline {
    match kind {
        Kind::Unreachable => soon(),
        _ => later(),
    }
}

/// Enough for a login of an instance on a busy machine.
fn later() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn wrap(kek: &dyn Kek) -> Result<Stanza> {
    kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), later())
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
    let opened = unwrap_until(kek, &FILE, stanza, later());
    assert_eq!(opened.unwrap(), Some(DEK.to_vec()));
}

fn told(what: &str, e: &Error, begin: Instant) {
    fault_rows::told("oci_vault", what, e, begin.elapsed());
}

/// The error of a wrap: its kind is `kind`, and its sentence has the words.
fn refused(what: &str, kek: &dyn Kek, kind: Kind, words: &str) -> String {
    let begin = Instant::now();
    let end = until_told(kind);
    let e = kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), end);
    let e = e.map(drop).unwrap_err();
    told(what, &e, begin);
    assert_eq!(e.kind(), kind, "{what}: {e}");
    assert!(e.to_string().contains(words), "{what}: {words}: {e}");
    e.to_string()
}

/// The same of an unwrap.
fn not_opened(what: &str, kek: &dyn Kek, stanza: &Stanza, kind: Kind, words: &str) -> String {
    let begin = Instant::now();
    let e = unwrap_until(kek, &FILE, stanza, until_told(kind));
    let e = e.map(drop).unwrap_err();
    told(what, &e, begin);
    assert_eq!(e.kind(), kind, "{what}: {e}");
    assert!(e.to_string().contains(words), "{what}: {words}: {e}");
    e.to_string()
}

#[test]
fn the_contract_holds_for_a_user_and_for_an_instance() {
    let place = Place::new();
    let (kek, instance) = (place.as_user(), place.as_instance());
    kek.probe(&SecretPool::new(), soon()).unwrap();
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(stanza.key_ref, KEY);
    assert_eq!(stanza.mechanism, "data-key+aes-256-gcm");
    assert_eq!((stanza.params.len(), stanza.blob.len()), (0, 60 + 64));
    opens(&*kek, &stanza);
    opens(&*instance, &stanza);
    opens(&*kek, &wrap(&*instance).unwrap());
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
    // Each bit of the blob counts, and every other part of the stanza.
    for bit in 0..8 * stanza.blob.len() {
        let mut bad = stanza.clone();
        bad.blob[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "bit {bit}");
    }
    let changes: [fn(&mut Stanza); 9] = [
        |s| s.commitment = [1; 32],
        |s| s.blob.truncate(60),
        |s| s.blob.truncate(100),
        |s| s.blob.clear(),
        |s| s.blob.push(0),
        |s| s.params = vec![1],
        |s| s.mechanism = "rot13".into(),
        |s| {
            s.holder = Some(Holder {
                kek: "another".into(),
                share: None,
            })
        },
        |s| s.key_ref = OTHER_KEY.into(),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut bad = stanza.clone();
        change(&mut bad);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "change {i}");
    }
    // What the stanza itself shows costs no request.
    place.fake.take_calls();
    let mut bad = stanza;
    bad.params = vec![1];
    let what = "a stanza with parameters";
    not_opened(what, &*kek, &bad, Kind::Tampered, "never writes");
    assert_eq!(place.fake.take_calls(), [""; 0]);
}

#[test]
fn another_key_is_another_kek_and_only_oci_knows_it() {
    let place = Place::new();
    let (kek, other) = (place.as_user(), place.kek(json!({"key_ocid": OTHER_KEY})));
    let stanza = wrap(&*kek).unwrap();
    let of_other = wrap(&*other).unwrap();
    assert_eq!(of_other.key_ref, OTHER_KEY);
    opens(&*other, &of_other);
    let said = not_opened(
        "another key in the configuration",
        &*other,
        &stanza,
        Kind::WrongKek,
        "the DEK was wrapped by",
    );
    assert!(said.contains(KEY) && said.contains(OTHER_KEY), "{said}");
    // A stanza with the name of the configured key, made under another one.
    let mut forged = of_other;
    forged.key_ref = KEY.into();
    let said = not_opened(
        "a stanza of another key under this key's name",
        &*kek,
        &forged,
        Kind::WrongKek,
        "another key wrapped the DEK",
    );
    assert!(!said.contains("was wrapped by"), "{said}");
    place.fake.set("answers", "other");
    not_opened(
        "an answer that names another key",
        &*kek,
        &stanza,
        Kind::WrongKek,
        "another one than key_ocid names",
    );
    place.fake.set("answers", "old");
    opens(&*kek, &stanza);
    place.fake.set("answers", "unchecked");
    opens(&*kek, &stanza);
    place.fake.set("answers", "changed");
    not_opened(
        "a data key that does not fit its checksum",
        &*kek,
        &stanza,
        Kind::Unreachable,
        "does not fit its checksum",
    );
}

const ENVIRONMENT: Environment = Environment {
    data_dir: None,
    look_only: false,
    starting: true,
    making: false,
    snapshot_if_locked: false,
    audit: None,
};

#[test]
fn requests_are_counted_and_the_key_rotates() {
    let place = Place::new();
    let config = place.try_config(&json!({})).unwrap();
    let open = || Keyring::open(&config, &ENVIRONMENT, &SecretPool::new());
    // A keyring that is not there yet is only asked for.
    let keyring = open().unwrap();
    assert_eq!(place.fake.take_calls(), [GENERATE]);
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    assert_eq!(place.fake.take_calls(), [GENERATE, DECRYPT]);
    for i in 0..200 {
        let name = format!("k{i}");
        keyring
            .by(&Caller::Unknown)
            .generate(name.as_bytes(), b"", b"AES", 32)
            .unwrap();
        keyring.fetch(b"k", b"").unwrap();
    }
    assert_eq!(place.fake.take_calls(), [""; 0]);
    drop(keyring);
    assert_eq!(open().unwrap().list().len(), 201);
    assert_eq!(place.fake.take_calls(), [DECRYPT]);
    // As an instance: five requests, three of them on the link.
    let instance = place.try_config(&place.instance()).unwrap();
    let keyring = Keyring::open(&instance, &ENVIRONMENT, &SecretPool::new()).unwrap();
    assert_eq!(keyring.list().len(), 201);
    drop(keyring);
    assert_eq!(place.fake.take_calls(), [&LOGIN[..], &[DECRYPT]].concat());
    // The old version goes on opening; reseal wraps with the newest.
    place.fake.set("version", "2");
    assert_eq!(open().unwrap().list().len(), 201);
    place.fake.take_calls();
    let file = place.path("conf");
    let text = json!({"backend": "oci_vault", "path": place.path("keyring"), "oci_vault": place.options(&json!({}))});
    std::fs::write(&file, text.to_string()).unwrap();
    tool(&["reseal", "--config", file.to_str().unwrap()], true);
    assert_eq!(place.fake.take_calls(), [DECRYPT, GENERATE, DECRYPT]);
    assert_eq!(open().unwrap().list().len(), 201);
    place.fake.set("version", "1");
    let e = open().err().unwrap();
    assert_eq!(e.kind(), Kind::WrongKek, "the version is gone: {e}");
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
    let place = Place::new();
    let (path, url) = (place.path("keyring"), place.fake.url());
    let options = [
        format!("oci_vault_crypto_endpoint={url}"),
        format!("oci_vault_key_ocid={KEY}"),
        format!("oci_vault_federation_endpoint={url}"),
        format!("oci_vault_metadata_url={url}"),
        "oci_vault_attempt_timeout=10".into(),
    ];
    let mut args = vec!["init", "--backend", "oci_vault", "--path"];
    args.push(path.to_str().unwrap());
    let given = options.iter().flat_map(|option| ["--option", option]);
    args.extend(given);
    let generate = tool(&[&args[..], &["--generate"]].concat(), false);
    assert!(
        generate.contains("oci kms management key create"),
        "{generate}"
    );
    // Who may nothing is told what is missing.
    place.fake.set("policy", "none");
    let refused = tool(&args, false);
    assert!(
        refused.contains("NotAuthorizedOrNotFound") && !path.exists(),
        "{refused}"
    );
    let least = format!(
        "Allow dynamic-group NAME to use keys in compartment NAME where target.key.id = '{KEY}'"
    );
    assert!(refused.contains(&least), "{refused}");
    place.fake.set("policy", "all");
    let printed = tool(&args, true);
    assert!(printed.contains(&least), "{printed}");
    assert!(
        printed.contains(&format!("loose_keyring_ward_oci_vault_key_ocid={KEY}")),
        "{printed}"
    );
    let json = printed.lines().find(|l| l.trim_start().starts_with('{'));
    let file = place.path("component_keyring_ward.cnf");
    std::fs::write(&file, json.unwrap()).unwrap();
    let status = tool(&["status", "--config", file.to_str().unwrap()], true);
    assert!(
        status.contains(&format!("OCI Vault key '{KEY}'")),
        "{status}"
    );
    tool(&["doctor", "--config", file.to_str().unwrap()], true);
}
