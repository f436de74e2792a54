//! The backend `alibaba_kms` over a fake of Alibaba Cloud that verifies what the cloud verifies: the contract of KEKs, its
//! ways to come by credentials, each refusal, and faults. The fake itself is checked: it must refuse what the cloud refuses,
//! and the vendor's official client must get along with it.

#![allow(clippy::unwrap_used)]

#[path = "support/alibaba_faults.rs"]
mod alibaba_faults;
#[path = "support/alibaba_honest.rs"]
mod alibaba_honest;
#[path = "support/alibaba_logins.rs"]
mod alibaba_logins;
#[path = "support/alibaba_official.rs"]
mod alibaba_official;
#[path = "support/alibaba_vector.rs"]
mod alibaba_vector;
#[path = "support/clouds/mod.rs"]
mod clouds;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/ports.rs"]
mod ports;

use clouds::Fake;
use clouds::alibaba::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, ACCOUNT, Alibaba, KEY, OTHER_KEY, REGION, RSA_KEY,
};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Stanza};
use keyring_ward::kek::{Budget, Kek, Unwrapped};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];
/// What is before KMS's ciphertext in a blob.
const LOCAL: usize = 60;
const ENVIRONMENT: Environment = Environment {
    data_dir: None,
    look_only: false,
    starting: true,
    making: false,
    snapshot_if_locked: false,
    audit: None,
};

/// A cloud, and a folder with an access key's file.
struct Place {
    fake: Fake,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            fake: Fake::start(Alibaba::default()),
            folder: tempfile::tempdir().unwrap(),
        };
        place.write_access_key(ACCESS_KEY_ID, ACCESS_KEY_SECRET);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_access_key(&self, id: &str, secret: &str) {
        let text = format!("access_key_id={id}\naccess_key_secret={secret}\n");
        write_secret(&self.path("access-key"), &text);
    }

    /// The configuration of the key [`KEY`] with the access key, with changes; null takes a member out.
    fn try_config(&self, changes: &Value) -> Result<Config> {
        let mut options = json!({
            "key_id": KEY, "region": REGION, "endpoint": self.fake.url(), "auth": "access_key",
            "credentials_file": self.path("access-key"), "attempt_timeout": 2, "connect_timeout": 1,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(options.as_object_mut().unwrap().remove(name)),
                false => options[name] = value.clone(),
            }
        }
        let text = json!({
            "backend": "alibaba_kms", "path": self.path("keyring"), "timeout": 4, "start_timeout": 6, "alibaba_kms": options,
        });
        json::parse(text.to_string().as_bytes(), "test")?
            .layer
            .finish()
    }

    fn kek(&self, changes: Value) -> Box<dyn Kek> {
        self.try_config(&changes).unwrap().keks[0].kek()
    }
}

/// Writes a file that only its owner reads.
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

fn unwrap_for(kek: &dyn Kek, file: &[u8; 16], stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    let mut budget = Budget::new(soon());
    let opened = kek.unwrap(&SecretPool::new(), file, stanza, &mut budget)?;
    Ok(match opened {
        Unwrapped::Opened(part) => Some(part.to_vec()),
        _ => None,
    })
}

fn unwrap(kek: &dyn Kek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    unwrap_for(kek, &FILE, stanza)
}

fn opens(kek: &dyn Kek, stanza: &Stanza) {
    assert_eq!(unwrap(kek, stanza).unwrap(), Some(DEK.to_vec()));
}

/// The error is of this kind, has the words, and shows nothing that is secret; a row of the table of faults.
fn told(what: &str, e: &Error, begin: Instant, kind: Kind, words: &str) {
    fault_rows::told("alibaba_kms", what, e, begin.elapsed());
    assert_eq!(e.kind(), kind, "{what}: {e}");
    let said = e.to_string();
    assert!(said.contains(words), "{what}: {words}: {said}");
    assert!(!said.contains("HIDDEN"), "{what}: {said}");
    assert!(!said.contains("CAIShidden"), "{what}: {said}");
}

/// A wrap of `what` fails so.
fn refused(what: &str, kek: &dyn Kek, kind: Kind, words: &str) {
    let begin = Instant::now();
    let e = wrap(kek).map(drop).unwrap_err();
    told(what, &e, begin, kind, words);
}

/// An unwrap does.
fn not_opened(what: &str, kek: &dyn Kek, stanza: &Stanza, kind: Kind, words: &str) {
    let begin = Instant::now();
    let e = unwrap(kek, stanza).map(drop).unwrap_err();
    told(what, &e, begin, kind, words);
}

#[test]
fn the_contract_holds() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    kek.probe(&SecretPool::new(), soon()).unwrap();
    let stanza = wrap(&*kek).unwrap();
    assert_eq!((&*stanza.provider, &*stanza.key_ref), ("alibaba_kms", KEY));
    assert_eq!(stanza.mechanism, "data-key+aes-256-gcm");
    assert!(stanza.params.is_empty());
    opens(&*kek, &stanza);
    let again = wrap(&*kek).unwrap();
    assert_ne!(
        (&again.blob, again.commitment),
        (&stanza.blob, stanza.commitment)
    );
    let begin = Instant::now();
    let e = unwrap_for(&*kek, &[6; 16], &stanza).unwrap_err();
    let what = "another file's stanza";
    told(what, &e, begin, Kind::Tampered, "is another file's");
    // Every bit of what is wrapped counts.
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
        |s| s.blob.truncate(LOCAL),
        |s| s.blob.truncate(LOCAL + 1),
        |s| s.blob.clear(),
        |s| s.blob.push(0),
        |s| s.params = vec![1],
        |s| s.mechanism = "rot13".into(),
        |s| s.provider = "aws_kms".into(),
        |s| {
            s.holder = Some(Holder {
                kek: "another".into(),
                share: None,
            })
        },
        |s| s.key_ref = OTHER_KEY.into(),
        |s| s.key_ref.clear(),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut bad = stanza.clone();
        change(&mut bad);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "change {i}");
    }
    opens(&*kek, &stanza);
}

#[test]
fn a_key_is_named_in_three_ways_and_only_it_opens() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let arn = format!("acs:kms:{REGION}:{ACCOUNT}:key/{KEY}");
    for name in [arn.as_str(), "alias/mysql"] {
        let named = place.kek(json!({"key_id": name}));
        assert_eq!(wrap(&*named).unwrap().key_ref, KEY, "{name}");
        opens(&*named, &stanza);
    }
    // Another key's name is told without a call.
    place.fake.take_calls();
    let other = place.kek(json!({"key_id": OTHER_KEY}));
    not_opened(
        "another key's id in the configuration",
        &*other,
        &stanza,
        Kind::WrongKek,
        &format!("wrapped by '{KEY}', the configuration names '{OTHER_KEY}'"),
    );
    assert_eq!(place.fake.take_calls(), [""; 0]);
    // KMS is told no key to decrypt with: what another key of the account wrapped is refused here.
    let of_other = wrap(&*other).unwrap();
    let mut spliced = stanza.clone();
    spliced.blob.truncate(LOCAL);
    spliced.blob.extend_from_slice(&of_other.blob[LOCAL..]);
    for kek in [&kek, &place.kek(json!({"key_id": "alias/mysql"}))] {
        not_opened(
            "a data key under another key of the account",
            &**kek,
            &spliced,
            Kind::Tampered,
            &format!("under another key, '{OTHER_KEY}'"),
        );
    }
}

#[test]
fn a_keyring_opens_after_its_alias_was_moved() {
    let place = Place::new();
    let by_alias = place.kek(json!({"key_id": "alias/mysql"}));
    let stanza = wrap(&*by_alias).unwrap();
    place.fake.set("alias", OTHER_KEY);
    // The ciphertext names its key; what is wrapped from now on is under the other one.
    opens(&*by_alias, &stanza);
    let after = wrap(&*by_alias).unwrap();
    assert_eq!((&*stanza.key_ref, &*after.key_ref), (KEY, OTHER_KEY));
    opens(&*by_alias, &after);
    // The hint is about the key that is needed, whatever the alias names.
    place.fake.set("state", "Disabled");
    not_opened(
        "the key that an alias named before is disabled",
        &*by_alias,
        &stanza,
        Kind::Denied,
        &format!("EnableKey --KeyId {KEY}"),
    );
    opens(&*by_alias, &after);
}

#[test]
fn every_refusal_of_kms_is_told() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let enable = format!("EnableKey --KeyId {KEY}");
    let cancel = format!("NOW run aliyun kms CancelKeyDeletion --KeyId {KEY}");
    for (name, value, kind, words) in [
        ("state", "Disabled", Kind::Denied, &*enable),
        ("state", "PendingDeletion", Kind::Denied, &cancel),
        ("state", "PendingImport", Kind::Denied, "ImportKeyMaterial"),
        ("state", "Unavailable", Kind::Denied, "KMS instance"),
        (
            "denied",
            "GenerateDataKey,Decrypt",
            Kind::Denied,
            "RAM policy",
        ),
        (
            "access_key",
            "unknown",
            Kind::Denied,
            "does not know this access key",
        ),
        ("access_key", "inactive", Kind::Denied, "is disabled"),
    ] {
        place.fake.set(name, value);
        place.fake.take_calls();
        not_opened(&format!("{name}={value}"), &*kek, &stanza, kind, words);
        refused(&format!("{name}={value}, wrapping"), &*kek, kind, words);
        assert_eq!(place.fake.take_calls().len(), 2, "it was asked again");
        place.fake.set(name, "");
        opens(&*kek, &stanza);
    }
    place.fake.set("lost_version", "1");
    not_opened(
        "the key's version is lost",
        &*kek,
        &stanza,
        Kind::NotFound,
        "ListKeyVersions",
    );
    place.fake.set("lost_version", "");
    for (key, kind, words) in [
        ("key-hzz000000000000000000", Kind::NotFound, "DescribeKey"),
        ("alias/nobody", Kind::NotFound, "ListAliases"),
        (RSA_KEY, Kind::Config, "must be a symmetric one"),
        (
            "acs:kms:cn-hangzhou:999:key/key-hzz630494463ejqjx0001",
            Kind::NotFound,
            "its ARN",
        ),
    ] {
        let kek = place.kek(json!({"key_id": key}));
        refused(&format!("wrapping by {key}"), &*kek, kind, words);
    }
    place.write_access_key(ACCESS_KEY_ID, "another");
    not_opened(
        "a wrong secret",
        &*kek,
        &stanza,
        Kind::Denied,
        "secret is wrong",
    );
}

#[test]
fn the_clock_may_be_off_as_far_as_the_cloud_allows() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    for allowed in ["600", "-600", "880", "-880"] {
        place.fake.set("clock", allowed);
        opens(&*kek, &stanza);
    }
    // The words end before the last digit: the two clocks are not read in the same second, always.
    for (off, words) in [("1205", "by -120"), ("-1205", "by 120")] {
        place.fake.set("clock", off);
        let what = format!("the cloud's clock is {off} s ahead");
        not_opened(&what, &*kek, &stanza, Kind::Denied, words);
        refused(&what, &*kek, Kind::Denied, "set it (chronyc makestep)");
    }
    // What the clock is no reason for keeps its own hint.
    place.fake.set("clock", "600");
    place.fake.set("state", "PendingDeletion");
    let what = "pending deletion, and the clock is off";
    not_opened(what, &*kek, &stanza, Kind::Denied, "CancelKeyDeletion");
}

#[test]
fn calls_are_counted_and_the_key_rotates() {
    let place = Place::new();
    let config = place.try_config(&json!({})).unwrap();
    let open = || Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    let keyring = open();
    // A keyring that is not there yet is only asked for.
    place.fake.take_calls();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    // A data key, and the proof that it comes back.
    assert_eq!(place.fake.take_calls(), ["POST / 200", "POST / 200"]);
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
    // The old version goes on opening; the tool wraps with the newest.
    place.fake.set("version", "2");
    assert_eq!(open().list().len(), 201);
    assert_eq!(place.fake.take_calls(), ["POST / 200"]);
    let file = place.path("conf");
    let text = json!({
        "backend": "alibaba_kms", "path": place.path("keyring"), "alibaba_kms": {
            "key_id": KEY, "region": REGION, "endpoint": place.fake.url(), "auth": "access_key",
            "credentials_file": place.path("access-key"),
        },
    });
    std::fs::write(&file, text.to_string()).unwrap();
    place.fake.set("lost_version", "1");
    let e = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new());
    assert_eq!(e.err().unwrap().kind(), Kind::NotFound);
    place.fake.set("lost_version", "");
    tool(&["reseal", "--config", file.to_str().unwrap()], true);
    place.fake.set("lost_version", "1");
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
    assert!(!text.contains("HIDDEN"), "{text}");
    text
}

#[test]
fn init_prints_the_least_policy_and_a_configuration_that_it_reads() {
    let place = Place::new();
    let path = place.path("keyring");
    let options = [
        "alibaba_kms_key_id=alias/mysql".to_string(),
        format!("alibaba_kms_region={REGION}"),
        format!("alibaba_kms_endpoint={}", place.fake.url()),
        "alibaba_kms_auth=access_key".into(),
        format!(
            "alibaba_kms_credentials_file={}",
            place.path("access-key").display()
        ),
    ];
    let mut args = vec![
        "init",
        "--backend",
        "alibaba_kms",
        "--path",
        path.to_str().unwrap(),
    ];
    args.extend(
        options
            .iter()
            .flat_map(|option| ["--option", option.as_str()]),
    );
    let generate = tool(&[&args[..], &["--generate"]].concat(), false);
    let make = "aliyun kms CreateKey --KeySpec Aliyun_AES_256";
    assert!(generate.contains(make), "{generate}");
    // Who may nothing is told what is missing.
    place.fake.set("denied", "GenerateDataKey");
    let refused = tool(&args, false);
    assert!(
        refused.contains("Forbidden.NoPermission") && !path.exists(),
        "{refused}"
    );
    place.fake.set("denied", "");
    let printed = tool(&args, true);
    assert!(
        printed.contains("\"kms:GenerateDataKey\", \"kms:Decrypt\""),
        "{printed}"
    );
    assert!(
        printed.contains("loose_keyring_ward_alibaba_kms_key_id=alias/mysql"),
        "{printed}"
    );
    let json = printed.lines().find(|line| line.contains("\"backend\""));
    let file = place.path("component_keyring_ward.cnf");
    std::fs::write(&file, json.unwrap()).unwrap();
    let status = tool(&["status", "--config", file.to_str().unwrap()], true);
    assert!(
        status.contains("Alibaba Cloud KMS key 'alias/mysql'"),
        "{status}"
    );
    let doctor = tool(&["doctor", "--config", file.to_str().unwrap()], true);
    assert!(
        doctor.contains("besides the keyring can be read"),
        "{doctor}"
    );
}
