//! The backend `azure_key_vault` over a fake of Azure: its contract, its ways to log in, each refusal, and the faults that no
//! server gives. The fake is checked as well: by what it has to refuse, and by Azure's own Python client.

#![allow(clippy::unwrap_used)]

#[path = "support/azure_fake.rs"]
mod azure_fake;
#[path = "support/azure_faults.rs"]
mod azure_faults;
#[path = "support/azure_logins.rs"]
mod azure_logins;
#[path = "support/azure_official.rs"]
mod azure_official;
#[path = "support/azure_refusals.rs"]
mod azure_refusals;
#[path = "support/azure_vector.rs"]
mod azure_vector;
#[path = "support/clouds/mod.rs"]
mod clouds;
#[path = "support/fault_rows.rs"]
mod fault_rows;
#[path = "support/ports.rs"]
mod ports;

use clouds::Fake;
use clouds::azure::Azure;
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
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];
/// Nonce, wrapped part and tag, before the wrapped data key.
const LOCAL: usize = 60;
const WRAP: &str = "POST /keys/mysql/wrapkey 200";
const METADATA: &str = "GET /metadata/identity/oauth2/token 200";

const ENVIRONMENT: Environment = Environment {
    data_dir: None,
    look_only: false,
    starting: true,
    making: false,
    snapshot_if_locked: false,
    audit: None,
};

/// A fake of its own, and a folder.
struct Place {
    fake: Fake,
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            fake: Fake::start(Azure::default()),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A secret file.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The configuration of the key `mysql`, as the machine; with changes, null takes a member out.
    fn options(&self, changes: &Value) -> Value {
        let mut options = json!({
            "vault_url": self.fake.url(), "resource": "https://vault.azure.net", "key": "mysql",
            "metadata_url": self.fake.url(), "attempt_timeout": 30, "connect_timeout": 5,
        });
        for (name, value) in changes.as_object().unwrap() {
            match value.is_null() {
                true => drop(options.as_object_mut().unwrap().remove(name)),
                false => options[name] = value.clone(),
            }
        }
        options
    }

    fn document(&self, changes: &Value) -> Value {
        json!({
            "backend": "azure_key_vault", "path": self.path("keyring"), "timeout": 40, "start_timeout": 40,
            "azure_key_vault": self.options(changes),
        })
    }

    fn config(&self, changes: &Value) -> Config {
        let text = self.document(changes).to_string();
        let read = json::parse(text.as_bytes(), "test").unwrap();
        read.layer.finish().unwrap()
    }

    fn kek(&self, changes: Value) -> Box<dyn Kek> {
        self.config(&changes).keks[0].kek()
    }

    /// The request that unwraps by the version of this stanza.
    fn unwrap_call(&self, stanza: &Stanza, status: u16) -> String {
        let version = data_encoding::HEXLOWER.encode(&stanza.params);
        format!("POST /keys/mysql/{version}/unwrapkey {status}")
    }
}

/// Long enough for what answers, whatever else the machine does: the fake makes a key for a new version.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

/// For what is tried again until the end.
fn in_a_moment() -> Deadline {
    Deadline::after(Duration::from_millis(1500))
}

/// The end for something that is told as `kind`.
fn until(kind: Kind) -> Deadline {
    match kind {
        Kind::Unreachable => in_a_moment(),
        _ => soon(),
    }
}

fn wrap_until(kek: &dyn Kek, end: Deadline) -> Result<Stanza> {
    kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), end)
}

fn wrap(kek: &dyn Kek) -> Result<Stanza> {
    wrap_until(kek, soon())
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
    fault_rows::told("azure_key_vault", what, e, begin.elapsed());
}

fn checked(what: &str, result: Result<()>, begin: Instant, kind: Kind, words: &str) -> Error {
    let e = result.unwrap_err();
    told(what, &e, begin);
    assert_eq!(e.kind(), kind, "{what}: {e}");
    assert!(e.to_string().contains(words), "{what}: {words}: {e}");
    e
}

/// The error of a wrap of `what`: its kind is `kind`, and its sentence has the words.
fn refused(what: &str, kek: &dyn Kek, kind: Kind, words: &str) -> String {
    let begin = Instant::now();
    let result = wrap_until(kek, until(kind)).map(drop);
    checked(what, result, begin, kind, words).to_string()
}

/// The same of an unwrap.
fn not_opened(what: &str, kek: &dyn Kek, stanza: &Stanza, kind: Kind, words: &str) -> Error {
    let begin = Instant::now();
    let result = unwrap_until(kek, &FILE, stanza, until(kind)).map(drop);
    checked(what, result, begin, kind, words)
}

/// Runs the tool with these variables; gives all that it printed.
fn tool(variables: &[(&str, &str)], args: &[&str], ok: bool) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .envs(variables.iter().copied())
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.success(), ok, "{args:?}: {text}");
    text
}

#[test]
fn the_contract_holds() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    kek.probe(&SecretPool::new(), soon()).unwrap();
    place.fake.take_calls();
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(stanza.mechanism, "data-key+aes-256-gcm");
    assert_eq!((stanza.params.len(), stanza.blob.len()), (16, LOCAL + 256));
    let version = data_encoding::HEXLOWER.encode(&stanza.params);
    assert_eq!(
        stanza.key_ref,
        format!("{}/keys/mysql/{version}", place.fake.url())
    );
    // What was wrapped is unwrapped at once, with the same token.
    let back = place.unwrap_call(&stanza, 200);
    assert_eq!(place.fake.take_calls(), [METADATA, WRAP, back.as_str()]);
    opens(&*kek, &stanza);
    assert_eq!(place.fake.take_calls(), [METADATA, back.as_str()]);
    let again = wrap(&*kek).unwrap();
    assert_ne!(
        (&again.blob, again.commitment),
        (&stanza.blob, stanza.commitment)
    );
    let begin = Instant::now();
    let other_file = unwrap_until(&*kek, &[6; 16], &stanza, soon()).map(drop);
    checked(
        "another file's stanza",
        other_file,
        begin,
        Kind::Tampered,
        "the DEK's wrap was changed",
    );
    // Every part of the stanza counts, and a bit of each byte.
    for i in 0..stanza.blob.len() {
        let mut bad = stanza.clone();
        bad.blob[i] ^= 1 << (i % 8);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "byte {i}");
    }
    for i in 0..stanza.params.len() {
        let mut bad = stanza.clone();
        bad.params[i] ^= 1 << (i % 8);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "version {i}");
    }
    let changes: [fn(&mut Stanza); 11] = [
        |s| s.commitment = [1; 32],
        |s| s.blob.truncate(LOCAL),
        |s| s.blob.truncate(40),
        |s| s.blob.clear(),
        |s| s.blob.push(0),
        |s| s.params.clear(),
        |s| s.params.push(0),
        |s| s.mechanism = "rot13".into(),
        |s| {
            s.holder = Some(Holder {
                kek: "another".into(),
                share: None,
            })
        },
        |s| s.key_ref = "mysql".into(),
        |s| s.key_ref = s.key_ref.replace("http://", "https://"),
    ];
    for (i, change) in changes.iter().enumerate() {
        let mut bad = stanza.clone();
        change(&mut bad);
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "change {i}");
    }
}

#[test]
fn what_the_stanza_shows_is_told_without_a_call() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    place.fake.take_calls();
    let other = place.kek(json!({"key": "other"}));
    not_opened(
        "another key's name in the configuration",
        &*other,
        &stanza,
        Kind::WrongKek,
        &format!("the configuration names '{}/keys/other'", place.fake.url()),
    );
    for (what, change) in [
        (
            "parameters that are no version",
            (|s| s.params.push(1)) as fn(&mut Stanza),
        ),
        ("a wrapped data key that is cut", |s| {
            s.blob.truncate(LOCAL + 255)
        }),
    ] {
        let mut bad = stanza.clone();
        change(&mut bad);
        not_opened(what, &*kek, &bad, Kind::Tampered, "Restore the file");
    }
    let mut short = stanza.clone();
    short.blob.truncate(LOCAL + 40);
    not_opened(
        "a data key that the other algorithm wrapped",
        &*kek,
        &short,
        Kind::WrongKek,
        "by A256KW, the configuration says RSA-OAEP-256",
    );
    assert!(place.fake.take_calls().is_empty());
    // Azure's names have no case, and the host may be another one.
    let here = place.fake.url().replace("127.0.0.1", "localhost");
    let other = place.kek(json!({"key": "MySQL", "vault_url": here}));
    opens(&*other, &stanza);
    opens(&*kek, &wrap(&*other).unwrap());
}

#[test]
fn a_managed_hsm_wraps_by_aes_too() {
    let place = Place::new();
    place.fake.set("hsm", "yes");
    let hsm = |changes: Value| {
        let mut all = json!({"resource": "https://managedhsm.azure.net", "key": "aes", "algorithm": "A256KW"});
        all.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        place.kek(all)
    };
    let kek = hsm(json!({}));
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(stanza.blob.len(), LOCAL + 40);
    opens(&*kek, &stanza);
    for i in 0..stanza.blob.len() {
        let mut bad = stanza.clone();
        bad.blob[i] ^= 0x10;
        assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "byte {i}");
    }
    let mut bad = stanza.clone();
    bad.blob[LOCAL] ^= 1;
    not_opened(
        "an altered data key under A256KW",
        &*kek,
        &bad,
        Kind::Tampered,
        "restore the keyring file",
    );
    // RSA in an HSM, and the two kinds taken for one another.
    let rsa = hsm(json!({"key": "big", "algorithm": null}));
    let of_rsa = wrap(&*rsa).unwrap();
    assert_eq!(of_rsa.blob.len(), LOCAL + 512);
    opens(&*rsa, &of_rsa);
    refused(
        "A256KW by an RSA key",
        &*hsm(json!({"key": "mysql"})),
        Kind::Config,
        "not of the kind that algorithm needs",
    );
    refused(
        "RSA-OAEP-256 by an AES key",
        &*hsm(json!({"algorithm": null})),
        Kind::Config,
        "not of the kind that algorithm needs",
    );
    refused(
        "RSA-OAEP-256 by an EC key",
        &*hsm(json!({"key": "curve", "algorithm": null})),
        Kind::Config,
        "not of the kind that algorithm needs",
    );
    // A token for a vault is none for an HSM.
    let resource =
        json!({"key": "mysql", "algorithm": null, "resource": "https://vault.azure.net"});
    refused(
        "a token for another resource",
        &*hsm(resource),
        Kind::Denied,
        "AKV10022",
    );
}

#[test]
fn calls_are_counted_and_the_key_rotates() {
    let place = Place::new();
    let config = place.config(&json!({}));
    let open = || Keyring::open(&config, &ENVIRONMENT, &SecretPool::new());
    let keyring = open().unwrap();
    // A keyring that is not there yet is only asked for.
    place.fake.take_calls();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let calls = place.fake.take_calls();
    // The proof of the first write is a second operation.
    let kinds: Vec<&str> = calls
        .iter()
        .map(|call| call.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "token 200",
            "wrapkey 200",
            "unwrapkey 200",
            "token 200",
            "unwrapkey 200"
        ]
    );
    for i in 0..200 {
        keyring
            .by(&Caller::Unknown)
            .generate(format!("k{i}").as_bytes(), b"", b"AES", 32)
            .unwrap();
        keyring.fetch(b"k", b"").unwrap();
    }
    assert_eq!(place.fake.take_calls(), [""; 0]);
    drop(keyring);
    // Each start asks by the version that wrapped, whatever the current one is.
    let first = calls[2].clone();
    for versions in ["1", "2", "3"] {
        place.fake.set("versions", versions);
        assert_eq!(open().unwrap().list().len(), 201);
        assert_eq!(place.fake.take_calls(), [METADATA, first.as_str()]);
    }
    // The tool wraps with the newest; the old one is then not needed any more.
    let file = place.write("conf", &place.document(&json!({})).to_string());
    tool(&[], &["reseal", "--config", file.to_str().unwrap()], true);
    place.fake.set("state", "disabled=1");
    place.fake.take_calls();
    assert_eq!(open().unwrap().list().len(), 201);
    let calls = place.fake.take_calls();
    assert!(
        calls[1].ends_with("/unwrapkey 200") && calls[1] != first,
        "{calls:?}"
    );
    // A version that the configuration names wraps, and no other; what opens is the file's business.
    let stanza = wrap(&*place.kek(json!({}))).unwrap();
    let named = place.kek(json!({"key_version": data_encoding::HEXLOWER.encode(&stanza.params)}));
    place.fake.set("versions", "4");
    let by_named = wrap(&*named).unwrap();
    assert_eq!(by_named.params, stanza.params);
    let newest = wrap(&*place.kek(json!({}))).unwrap();
    assert_ne!(newest.params, stanza.params);
    opens(&*named, &newest);
}

#[test]
fn init_prints_the_least_rights_and_a_configuration_that_it_reads() {
    let place = Place::new();
    let path = place.path("keyring");
    let url = place.fake.url();
    let options = [
        format!("azure_key_vault_vault_url={url}"),
        "azure_key_vault_resource=https://vault.azure.net".into(),
        "azure_key_vault_key=mysql".into(),
        format!("azure_key_vault_metadata_url={url}"),
    ];
    let mut args = vec![
        "init",
        "--backend",
        "azure_key_vault",
        "--path",
        path.to_str().unwrap(),
    ];
    args.extend(
        options
            .iter()
            .flat_map(|option| ["--option", option.as_str()]),
    );
    let generate = tool(&[], &[&args[..], &["--generate"]].concat(), false);
    assert!(
        generate.contains("az keyvault key create --vault-name NAME --name mysql --kty RSA --size 3072 --ops wrapKey unwrapKey"),
        "{generate}"
    );
    // Who may only wrap is told what is missing, and so is who has a disabled key: nothing is made that could not be opened.
    for (name, value, words) in [
        ("allow", "wrapKey", "ForbiddenByRbac"),
        ("state", "disabled", "--enabled true"),
    ] {
        place.fake.set(name, value);
        let refused = tool(&[], &args, false);
        assert!(refused.contains(words) && !path.exists(), "{refused}");
        assert!(
            refused.contains("Microsoft.KeyVault/vaults/keys/unwrap/action"),
            "{refused}"
        );
        place.fake.set(name, "");
    }
    let printed = tool(&[], &args, true);
    assert!(
        printed.contains("Key Vault Crypto Service Encryption User"),
        "{printed}"
    );
    assert!(
        printed.contains("loose_keyring_ward_azure_key_vault_key=mysql"),
        "{printed}"
    );
    let json = printed
        .lines()
        .find(|line| line.trim_start().starts_with('{'))
        .unwrap();
    let file = place.path("component_keyring_ward.cnf");
    std::fs::write(&file, json).unwrap();
    let status = tool(&[], &["status", "--config", file.to_str().unwrap()], true);
    assert!(status.contains("Azure Key Vault key 'mysql'"), "{status}");
    let doctor = tool(&[], &["doctor", "--config", file.to_str().unwrap()], true);
    assert!(doctor.contains("opens"), "{doctor}");
}
