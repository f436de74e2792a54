//! The KEK provider `gcp_kms` over a fake of Google Cloud KMS, which verifies what Google verifies and is itself proved by
//! Google's own client: the contract, each way to log in, each refusal, and the faults that no service gives on demand.

#![allow(clippy::unwrap_used)]

#[path = "support/clouds/mod.rs"]
mod clouds;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/gcp_fake.rs"]
mod gcp_fake;
#[path = "support/gcp_faults.rs"]
mod gcp_faults;
#[path = "support/gcp_federation.rs"]
mod gcp_federation;
#[path = "support/gcp_logins.rs"]
mod gcp_logins;
#[path = "support/gcp_official.rs"]
mod gcp_official;
#[path = "support/gcp_refusals.rs"]
mod gcp_refusals;
#[path = "support/gcp_vector.rs"]
mod gcp_vector;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/ports.rs"]
mod ports;

use clouds::google::{Google, KEY, NUMBER, OTHER};
use clouds::{Fake, Request};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::envelope::LOCAL_BLOB;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Stanza};
use keyring_ward::kek::{Budget, Kek, Unwrapped};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];
const ENVIRONMENT: Environment = Environment {
    data_dir: None,
    look_only: false,
    starting: true,
    making: false,
    snapshot_if_locked: false,
    audit: None,
};
/// The calls, as the fake counts them.
const TOKEN: &str = "GET /computeMetadata/v1/instance/service-accounts/default/token 200";
const EXCHANGE: &str = "POST /v1/token 200";
const IMPERSONATE: &str = "POST /v1/projects/-/serviceAccounts/keyring@test-only.iam.gserviceaccount.com:generateAccessToken 200";

/// What the fake counts for a call of the key.
fn call(action: &str) -> String {
    format!("POST /v1/{KEY}:{action} 200")
}

/// A fake of its own, and a folder.
struct Place {
    fake: Fake,
    seen: Arc<Mutex<Vec<Request>>>,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let google = Google::default();
        let seen = google.seen.clone();
        Place {
            fake: Fake::start(google),
            seen,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file for the account alone.
    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write_secret(&path, text);
        path
    }

    /// The options of the key, with changes; null takes a member out.
    fn options(&self, changes: &Value) -> Value {
        let mut options = json!({
            "key": KEY, "endpoint": self.fake.url(), "metadata_url": self.fake.url(), "attempt_timeout": 2, "connect_timeout": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(options.as_object_mut().unwrap().remove(name)),
                false => options[name] = value.clone(),
            }
        }
        options
    }

    fn config(&self, changes: &Value) -> Config {
        let text = json!({
            "backend": "gcp_kms", "path": self.path("keyring"), "timeout": 4, "start_timeout": 6, "gcp_kms": self.options(changes),
        });
        let layer = json::parse(text.to_string().as_bytes(), "test")
            .unwrap()
            .layer;
        layer.finish().unwrap()
    }

    fn kek(&self, changes: Value) -> Box<dyn Kek> {
        self.config(&changes).keks[0].kek()
    }

    /// The request that the fake saw last.
    fn last(&self) -> Request {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

fn write_secret(path: &Path, text: &str) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(4))
}

fn wrap(kek: &dyn Kek) -> Result<Stanza> {
    kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), soon())
}

fn unwrap_of(kek: &dyn Kek, file: &[u8; 16], stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    let budget = &mut Budget::new(soon());
    Ok(
        match kek.unwrap(&SecretPool::new(), file, stanza, budget)? {
            Unwrapped::Opened(part) => Some(part.to_vec()),
            _ => None,
        },
    )
}

fn unwrap(kek: &dyn Kek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    unwrap_of(kek, &FILE, stanza)
}

fn opens(kek: &dyn Kek, stanza: &Stanza) {
    assert_eq!(unwrap(kek, stanza).unwrap(), Some(DEK.to_vec()));
}

/// The error of `failed`: its kind is `kind`, and its sentence has the words.
fn told<T>(what: &str, failed: impl FnOnce() -> Result<T>, kind: Kind, words: &str) -> String {
    let begin = Instant::now();
    let e: Error = failed().map(drop).unwrap_err();
    fault_rows::told("gcp_kms", what, &e, begin.elapsed());
    assert_eq!(e.kind(), kind, "{what}: {e}");
    assert!(e.to_string().contains(words), "{what}: {words}: {e}");
    e.to_string()
}

/// That of a wrap.
fn refused(what: &str, kek: &dyn Kek, kind: Kind, words: &str) -> String {
    told(what, || wrap(kek), kind, words)
}

/// That of an unwrap.
fn not_opened(what: &str, kek: &dyn Kek, stanza: &Stanza, kind: Kind, words: &str) -> String {
    told(what, || unwrap(kek, stanza), kind, words)
}

#[test]
fn the_contract_holds() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    kek.probe(&SecretPool::new(), soon()).unwrap();
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(
        (
            stanza.provider.as_str(),
            stanza.mechanism.as_str(),
            stanza.key_ref.as_str()
        ),
        ("gcp_kms", "data-key+aes-256-gcm", KEY)
    );
    opens(&*kek, &stanza);
    let again = wrap(&*kek).unwrap();
    assert_ne!(
        (&again.blob, again.commitment),
        (&stanza.blob, stanza.commitment)
    );
    told(
        "another file's stanza",
        || unwrap_of(&*kek, &[6; 16], &stanza),
        Kind::WrongKek,
        "another file's",
    );
    // Every bit of the blob counts, and every other part of the stanza.
    for bit in 0..8 * stanza.blob.len() {
        let mut bad = stanza.clone();
        bad.blob[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "bit {bit}");
    }
    for bit in 0..8 * stanza.commitment.len() {
        let mut bad = stanza.clone();
        bad.commitment[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "bit {bit}");
    }
    let changes: [fn(&mut Stanza); 10] = [
        |s| s.blob.truncate(LOCAL_BLOB),
        |s| s.blob.truncate(LOCAL_BLOB + 10),
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
        |s| s.key_ref = OTHER.into(),
        |s| s.key_ref = String::new(),
        // The same key by another name is another text, which is authenticated.
        |s| s.key_ref = KEY.replace("test-only", NUMBER),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut bad = stanza.clone();
        change(&mut bad);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "change {i}");
    }
    let mut foreign = stanza.clone();
    foreign.provider = "vault".into();
    place.fake.take_calls();
    assert!(unwrap(&*kek, &foreign).unwrap().is_none());
    assert!(place.fake.take_calls().is_empty(), "it was asked for");
}

#[test]
fn google_gets_what_the_format_says_and_nothing_of_the_dek() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let bound = format!("product=keyring-ward,file-id={}", "05".repeat(16));
    let decoded = |value: &Value| {
        data_encoding::BASE64
            .decode(value.as_str().unwrap().as_bytes())
            .unwrap()
    };
    let body = place.last().json();
    assert_eq!(
        decoded(&body["additionalAuthenticatedData"]),
        bound.as_bytes()
    );
    let data_key = decoded(&body["plaintext"]);
    assert!(data_key.len() == 32 && data_key != DEK);
    opens(&*kek, &stanza);
    let body = place.last().json();
    assert_eq!(
        decoded(&body["additionalAuthenticatedData"]),
        bound.as_bytes()
    );
    assert_eq!(decoded(&body["ciphertext"]), stanza.blob[LOCAL_BLOB..]);
    for name in ["ciphertextCrc32c", "additionalAuthenticatedDataCrc32c"] {
        assert!(body[name].is_string(), "{name}");
    }
    for request in &*place.seen.lock().unwrap() {
        assert!(!request.body.windows(32).any(|w| w == DEK));
        // A token is in a header only, and the narrowest scope is asked for.
        assert!(!request.path.contains("ya29") && !request.query.contains("ya29"));
        if request.method == "GET" {
            assert_eq!(
                request.query,
                "scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloudkms"
            );
        }
    }
}

#[test]
fn another_key_is_told_without_a_call_and_a_project_has_two_names() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    place.fake.take_calls();
    for key in [
        OTHER.to_string(),
        KEY.replace("europe-west3", "global"),
        KEY.replace("/mysql/", "/other/"),
    ] {
        let other = place.kek(json!({"key": key}));
        let what = format!("of '{KEY}', asked by '{key}'");
        not_opened(
            &what,
            &*other,
            &stanza,
            Kind::WrongKek,
            "the configuration names",
        );
    }
    assert!(place.fake.take_calls().is_empty(), "it was asked for");
    let by_number = place.kek(json!({"key": KEY.replace("test-only", NUMBER)}));
    opens(&*by_number, &stanza);
    let of_number = wrap(&*by_number).unwrap();
    assert_eq!(of_number.key_ref, KEY.replace("test-only", NUMBER));
    opens(&*kek, &of_number);
    // Another project is another key; only Google can tell.
    let elsewhere = place.kek(json!({"key": KEY.replace("test-only", "elsewhere")}));
    not_opened(
        "another project",
        &*elsewhere,
        &stanza,
        Kind::Denied,
        "or it may not exist",
    );
    // Made anew under its name.
    let mut other = stanza.clone();
    other.key_ref = KEY.replace("test-only", NUMBER);
    other.blob = wrap(&*place.kek(json!({"key": OTHER}))).unwrap().blob;
    not_opened(
        "a key that was made anew under its name",
        &*kek,
        &other,
        Kind::WrongKek,
        "the DEK was wrapped by",
    );
}

#[test]
fn calls_are_counted_and_the_key_rotates() {
    let place = Place::new();
    let config = place.config(&json!({}));
    let open = || Keyring::open(&config, &ENVIRONMENT, &SecretPool::new());
    let (encrypt, decrypt) = (call("encrypt"), call("decrypt"));
    let keyring = open().unwrap();
    // A keyring that is not there yet is only asked for.
    place.fake.take_calls();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    assert_eq!(place.fake.take_calls(), [TOKEN, &encrypt, TOKEN, &decrypt]);
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
    // The old version goes on opening.
    place.fake.set("primary", "2");
    assert_eq!(open().unwrap().list().len(), 201);
    assert_eq!(place.fake.take_calls(), [TOKEN, &decrypt]);
    place.fake.set("state_1", "DISABLED");
    told(
        "a version that is disabled",
        open,
        Kind::Denied,
        "versions enable",
    );
    place.fake.set("state_1", "");
    place.fake.take_calls();
    // The tool wraps with the newest.
    let file = place.path("conf");
    let text = json!({"backend": "gcp_kms", "path": place.path("keyring"), "gcp_kms": place.options(&json!({}))});
    std::fs::write(&file, text.to_string()).unwrap();
    tool(&["reseal", "--config", file.to_str().unwrap()], true);
    assert_eq!(
        place.fake.take_calls(),
        [TOKEN, &decrypt, TOKEN, &encrypt, TOKEN, &decrypt]
    );
    place.fake.set("state_1", "DESTROYED");
    assert_eq!(open().unwrap().list().len(), 201);
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
fn init_prints_the_least_rights_and_a_configuration_that_it_reads() {
    let place = Place::new();
    let path = place.path("keyring");
    let options = [
        format!("gcp_kms_key={KEY}"),
        format!("gcp_kms_endpoint={}", place.fake.url()),
        format!("gcp_kms_metadata_url={}", place.fake.url()),
    ];
    let mut args = vec![
        "init",
        "--backend",
        "gcp_kms",
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
        generate.contains("gcloud kms keys create keyring --keyring mysql"),
        "{generate}"
    );
    let grant = format!("gcloud kms keys add-iam-policy-binding {KEY}");
    place.fake.set("deny", "encrypt");
    let refused = tool(&args, false);
    assert!(
        refused.contains("useToEncrypt") && !path.exists(),
        "{refused}"
    );
    assert!(refused.contains(&grant), "{refused}");
    place.fake.set("deny", "");
    let printed = tool(&args, true);
    assert!(printed.contains(&grant), "{printed}");
    let line = format!("loose_keyring_ward_gcp_kms_key={KEY}");
    assert!(printed.contains(&line), "{printed}");
    let mut lines = printed.lines();
    let json = lines.find(|l| l.trim_start().starts_with('{')).unwrap();
    let file = place.path("component_keyring_ward.cnf");
    std::fs::write(&file, json).unwrap();
    let status = tool(&["status", "--config", file.to_str().unwrap()], true);
    assert!(
        status.contains(&format!("Google Cloud KMS key '{KEY}'")),
        "{status}"
    );
    tool(&["doctor", "--config", file.to_str().unwrap()], true);
}
