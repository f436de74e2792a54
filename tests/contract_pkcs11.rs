//! The backend `pkcs11` over a real module, SoftHSM2, and over the same module behind a shim that counts
//! its calls and injects the faults that no token gives on demand.

#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stdout)]

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use keyring_ward::config::{Config, KekConfig, SecretRef, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::pkcs11::survey::{self, Outcome};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use keyring_ward::sys::Identity;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// SoftHSM2 with a store of its own. PKCS#11 state is the process's, so tests take turns.
struct Hsm {
    dir: PathBuf,
    module: PathBuf,
}

static HSM: LazyLock<Option<Mutex<Hsm>>> = LazyLock::new(|| Hsm::new().map(Mutex::new));

/// `None` only where SoftHSM2 is not installed and this is not CI.
fn hsm() -> Option<MutexGuard<'static, Hsm>> {
    let hsm = HSM.as_ref()?;
    let hsm = hsm.lock().unwrap_or_else(PoisonError::into_inner);
    hsm.control("");
    let _ = std::fs::remove_file(hsm.dir.join("log"));
    Some(hsm)
}

impl Hsm {
    fn new() -> Option<Hsm> {
        let known = [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
        ];
        let Some(module) = known.iter().find(|p| Path::new(p).exists()) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "SoftHSM2 is required in CI: apt-get install softhsm2"
            );
            println!("SKIPPED: no SoftHSM2 here (apt-get install softhsm2)");
            return None;
        };
        let dir =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hsm-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("tokens")).unwrap();
        let conf = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            dir.join("tokens").display()
        );
        std::fs::write(dir.join("conf"), conf).unwrap();
        // SAFETY: the other tests of this program wait for this initialisation, and none sets variables.
        unsafe {
            std::env::set_var("SOFTHSM2_CONF", dir.join("conf"));
            std::env::set_var("P11_SHIM_MODULE", module);
            std::env::set_var("P11_SHIM_LOG", dir.join("log"));
            std::env::set_var("P11_SHIM_CONTROL", dir.join("control"));
        }
        let hsm = Hsm {
            dir,
            module: module.into(),
        };
        hsm.init_token("ward");
        hsm.write_secret("pin", b"1234\n");
        hsm.write_secret("kek", &[7; 32]);
        Some(hsm)
    }

    fn init_token(&self, label: &str) {
        let made = std::process::Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                label,
                "--so-pin",
                "12345678",
                "--pin",
                "1234",
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    fn write_secret(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// The shim, built by cargo as an example.
    fn shim(&self) -> PathBuf {
        Path::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .parent()
            .unwrap()
            .join("examples/libp11_shim.so")
    }

    fn control(&self, text: &str) {
        std::fs::write(self.dir.join("control"), text).unwrap();
    }

    /// The calls since the last look.
    fn calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let _ = std::fs::remove_file(self.dir.join("log"));
        log.lines().map(String::from).collect()
    }

    /// A configuration: the usual members, with `changes` laid over those of "pkcs11".
    fn config_with(&self, module: &Path, path: &Path, changes: &[(&str, &str)]) -> Config {
        let mut pkcs11 = serde_json::json!({
            "module": module, "token_label": "ward", "key_label": "kek", "pin_file": self.dir.join("pin"),
        });
        for (name, value) in changes {
            pkcs11[*name] = (*value).into();
        }
        let text = serde_json::json!({
            "backend": "pkcs11", "path": path, "timeout": 2, "start_timeout": 2, "pkcs11": pkcs11,
        });
        json::parse(text.to_string().as_bytes(), "test")
            .unwrap()
            .layer
            .finish()
            .unwrap()
    }

    fn config(&self, path: &Path, changes: &[(&str, &str)]) -> Config {
        self.config_with(&self.module, path, changes)
    }

    /// The same through the shim.
    fn shimmed(&self, path: &Path) -> Config {
        self.config_with(&self.shim(), path, &[])
    }

    /// A session of the test's own, to make odd objects.
    fn with_session(&self, label: &str, f: impl FnOnce(&Session)) {
        let module = Pkcs11::new(&self.module).unwrap();
        module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .unwrap();
        let slots = module.get_slots_with_initialized_token().unwrap();
        let slot = slots
            .into_iter()
            .find(|s| module.get_token_info(*s).unwrap().label() == label)
            .unwrap();
        let session = module.open_rw_session(slot).unwrap();
        session
            .login(UserType::User, Some(&AuthPin::from("1234")))
            .unwrap();
        f(&session);
        drop(session);
        module.finalize().unwrap();
    }

    fn make_kek(&self, config: &Config) {
        survey::make_key(pkcs11(config), soon()).unwrap();
    }
}

fn pkcs11(config: &Config) -> &keyring_ward::config::Pkcs11Config {
    match &config.keks[0] {
        KekConfig::Pkcs11(c) => c,
        other => panic!("{other:?}"),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

fn open(config: &Config) -> Result<Keyring> {
    let environment = Environment {
        data_dir: None,
        identity: Identity::own(),
        look_only: false,
        starting: false,
        snapshot_if_locked: false,
    };
    Keyring::open(config, &environment, &SecretPool::new())
}

fn refused(config: &Config) -> Error {
    open(config).map(drop).expect_err("it opened")
}

/// A folder for a keyring, and the path of the file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyring.ward");
    (dir, path)
}

fn aes_key(label: &str, more: &[Attribute]) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::ValueLen(32.into()),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    template.extend_from_slice(more);
    template
}

#[test]
fn the_contract_over_every_mechanism() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let steps = survey::test(pkcs11(&hsm.config(&path, &[])), soon()).unwrap();
    for step in &steps {
        assert!(matches!(step.outcome, Outcome::Passed), "{step:?}");
    }
    assert_eq!(steps.len(), 1 + 4 * 13);
    let left = survey::keys(pkcs11(&hsm.config(&path, &[])), soon()).unwrap();
    assert!(!left.iter().any(|k| k.contains("kw-test")), "{left:?}");
}

#[test]
fn one_unwrap_for_each_opening_and_no_call_for_keys() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let config = hsm.shimmed(&path);
    hsm.make_kek(&config);
    let keyring = open(&config).unwrap();
    keyring.generate(b"first", b"", b"AES", 32).unwrap();
    drop(keyring);
    hsm.calls();

    let keyring = open(&config).unwrap();
    let calls = hsm.calls();
    let count = |name: &str| calls.iter().filter(|c| *c == name).count();
    // The length is asked for first, so one decryption is two calls.
    assert_eq!(
        (count("C_DecryptInit"), count("C_Decrypt")),
        (1, 2),
        "{calls:?}"
    );
    assert_eq!((count("C_Login"), count("C_Logout")), (1, 1), "{calls:?}");
    assert_eq!((count("C_OpenSession"), count("C_CloseSession")), (1, 1));
    assert_eq!((count("C_Initialize"), count("C_Finalize")), (1, 1));
    assert_eq!(calls.last().map(String::as_str), Some("C_Finalize"));
    for i in 0..100 {
        keyring
            .generate(format!("k{i}").as_bytes(), b"u@h", b"AES", 32)
            .unwrap();
        assert!(keyring.fetch(b"first", b"").unwrap().is_some());
    }
    assert_eq!(hsm.calls(), Vec::<String>::new(), "generate and fetch");
    let contact = keyring.status().store.contact.unwrap();
    assert_eq!((contact.calls, contact.errors), (1, 0));
}

#[test]
fn rekey_to_the_token_and_back() {
    let Some(hsm) = hsm() else { return };
    let (dir, path) = place();
    let on_token = hsm.config(&path, &[]);
    hsm.make_kek(&on_token);
    let mut local = on_token.clone();
    local.keks = vec![KekConfig::KeyFile(SecretRef::File(hsm.dir.join("kek")))];
    let keyring = open(&local).unwrap();
    keyring.generate(b"k", b"", b"AES", 32).unwrap();
    let material = |keyring: &Keyring| keyring.fetch(b"k", b"").unwrap().unwrap().material.to_vec();
    let before = material(&keyring);
    keyring.rekey(&on_token.keks, false).unwrap();
    assert_eq!(keyring.status().store.mechanism, "aes-gcm");
    drop(keyring);
    assert_eq!(refused(&local).kind(), Kind::WrongKek);
    let keyring = open(&on_token).unwrap();
    assert_eq!(material(&keyring), before);
    for mechanism in ["aes-kwp", "aes-kw", "aes-cbc+hmac-sha256"] {
        // Each mechanism has a key of its own: ours have only the usages that they need.
        let changes = [("mechanism", mechanism), ("key_label", mechanism)];
        let config = hsm.config(&path, &changes);
        hsm.make_kek(&config);
        keyring.rekey(&config.keks, false).unwrap();
        assert_eq!(keyring.status().store.mechanism, mechanism);
    }
    // A pinned mechanism is not silently another one.
    drop(keyring);
    let last = [("key_label", "aes-cbc+hmac-sha256")];
    let keyring = open(&hsm.config(&path, &last)).unwrap();
    assert_eq!(material(&keyring), before);
    drop(keyring);
    let e = refused(&hsm.config(&path, &[last[0], ("mechanism", "aes-gcm")]));
    assert_eq!(e.kind(), Kind::WrongKek);
    assert!(
        e.to_string().contains("the configuration pins 'aes-gcm'"),
        "{e}"
    );
    let keyring = open(&hsm.config(&path, &last)).unwrap();
    keyring.rekey(&local.keks, false).unwrap();
    drop(keyring);
    assert_eq!(material(&open(&local).unwrap()), before);
    drop(dir);
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let mut config = hsm.shimmed(&path);
    hsm.make_kek(&config);
    open(&config)
        .unwrap()
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    hsm.write_secret("wrong-pin", b"9999");
    let KekConfig::Pkcs11(c) = &mut config.keks[0] else {
        unreachable!()
    };
    c.pin = SecretRef::File(hsm.dir.join("wrong-pin"));
    hsm.calls();
    let logins = || hsm.calls().iter().filter(|c| *c == "C_Login").count();
    let e = refused(&config);
    assert_eq!(e.kind(), Kind::Denied);
    for part in [
        "CKR_PIN_INCORRECT",
        "tries left than usual",
        "not tried again",
    ] {
        assert!(e.to_string().contains(part), "{part}: {e}");
    }
    assert_eq!(logins(), 1);
    for _ in 0..5 {
        let e = refused(&config);
        assert_eq!(e.kind(), Kind::Denied);
        assert!(
            e.to_string().contains("was refused by this token before"),
            "{e}"
        );
    }
    assert_eq!(logins(), 0, "a loop of restarts costs nothing");
    // The PIN file changes: it is tried, it is right, and what was refused is forgotten.
    hsm.write_secret("wrong-pin", b"1234\r\n");
    open(&config).unwrap();
    assert!(!pkcs11(&config).refused_pin.exists());
    // Refusals that the token gives, and PINs that are not worth a try.
    for (code, name) in [
        ("a4", "CKR_PIN_LOCKED"),
        ("a3", "CKR_PIN_EXPIRED"),
        ("a1", "CKR_PIN_INVALID"),
    ] {
        hsm.control(&format!("Login {code}"));
        let e = refused(&config);
        assert_eq!(e.kind(), Kind::Denied, "{e}");
        assert!(e.to_string().contains(name), "{e}");
        hsm.control("");
        let _ = std::fs::remove_file(&pkcs11(&config).refused_pin);
    }
    hsm.calls();
    for (pin, kind) in [
        (&b""[..], Kind::InvalidInput),
        (b"\n", Kind::InvalidInput),
        (b"12", Kind::InvalidInput),
    ] {
        hsm.write_secret("wrong-pin", pin);
        assert_eq!(refused(&config).kind(), kind, "{pin:?}");
    }
    std::fs::remove_file(hsm.dir.join("wrong-pin")).unwrap();
    assert_eq!(refused(&config).kind(), Kind::NotFound);
    assert_eq!(logins(), 0);
}

const CODES: [(&str, &str); 7] = [
    ("30", "CKR_DEVICE_ERROR"),
    ("5", "CKR_GENERAL_ERROR"),
    ("2", "CKR_HOST_MEMORY"),
    ("b3", "CKR_SESSION_HANDLE_INVALID"),
    ("101", "CKR_USER_NOT_LOGGED_IN"),
    ("32", "CKR_DEVICE_REMOVED"),
    ("6", "CKR_FUNCTION_FAILED"),
];

/// Each call of an opening fails once with each code: the next attempt succeeds, nothing is lost. The same
/// fails for good: an error of the right kind that names function and code, never "wrong key".
#[test]
fn every_call_fails_once_and_for_good() {
    let Some(hsm) = hsm() else { return };
    for label in ["kek", "kek-wrap"] {
        let (_dir, path) = place();
        let mechanism = if label == "kek" { "aes-gcm" } else { "aes-kwp" };
        let config = hsm.config_with(
            &hsm.shim(),
            &path,
            &[("key_label", label), ("mechanism", mechanism)],
        );
        hsm.make_kek(&config);
        open(&config)
            .unwrap()
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        hsm.calls();
        open(&config).unwrap();
        let calls = hsm.calls();
        assert!(calls.len() > 15, "{calls:?}");
        let bytes = std::fs::read(&path).unwrap();
        for n in 1..=calls.len() {
            for (code, name) in CODES {
                hsm.control(&format!("* {code} {n}"));
                let keyring = open(&config).unwrap_or_else(|e| {
                    panic!("{mechanism}: call {n} ({}) {name}: {e}", calls[n - 1])
                });
                assert!(keyring.fetch(b"k", b"").unwrap().is_some());
            }
        }
        let mut impatient = config.clone();
        impatient.patience.call = Duration::from_millis(150);
        let mut names = calls.clone();
        names.sort();
        names.dedup();
        for call in &names {
            for (code, name) in CODES {
                hsm.control(&format!("{call} {code}"));
                match open(&impatient) {
                    // What only ends a session may fail: the next operation begins anew.
                    Ok(_) => assert!(
                        [
                            "C_Logout",
                            "C_CloseSession",
                            "C_Finalize",
                            "C_FindObjectsFinal",
                            "C_DestroyObject"
                        ]
                        .contains(&call.as_str()),
                        "{call} {name} went unnoticed"
                    ),
                    Err(e) => {
                        assert_eq!(e.kind(), Kind::Unreachable, "{call} {name}: {e}");
                        // An end of a search that fails shows in the next call.
                        let told = e.to_string().contains(name) || call == "C_FindObjectsFinal";
                        assert!(told, "{call} {name}: {e}");
                    }
                }
            }
        }
        hsm.control("");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was changed");
        hsm.calls();
        open(&config).unwrap();
        let calls = hsm.calls();
        let ended = |name: &str| calls.iter().any(|c| c == name);
        assert!(
            ended("C_Logout") && ended("C_Finalize"),
            "all is ended again: {calls:?}"
        );
    }
}

#[test]
fn a_hanging_module_is_given_up_and_comes_back() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let mut config = hsm.shimmed(&path);
    hsm.make_kek(&config);
    let keyring = open(&config).unwrap();
    keyring.generate(b"k", b"", b"AES", 32).unwrap();
    config.patience.call = Duration::from_millis(500);
    hsm.control("DecryptInit hang 3");
    let begin = Instant::now();
    let environment = Environment {
        data_dir: None,
        identity: Identity::own(),
        look_only: false,
        starting: false,
        snapshot_if_locked: false,
    };
    let e = keyring.reload(&config, &environment).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Timeout, "{e}");
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(
        keyring.fetch(b"k", b"").unwrap().is_some(),
        "the old keyring serves"
    );
    keyring.generate(b"k2", b"", b"AES", 32).unwrap();
    hsm.control("");
    let e = keyring.reload(&config, &environment).map(drop).unwrap_err();
    assert!(
        e.to_string()
            .contains("has not come back from an earlier call"),
        "{e}"
    );
    config.patience.call = Duration::from_secs(20);
    let keyring = keyring.reload(&config, &environment).unwrap();
    assert_eq!(keyring.list().len(), 2);
}

#[test]
fn what_is_wrong_with_tokens_and_keys() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let says = |config: &Config, kind: Kind, text: &str| {
        let e = refused(config);
        assert_eq!(e.kind(), kind, "{e}");
        assert!(e.to_string().contains(text), "{text}: {e}");
    };
    hsm.make_kek(&hsm.config(&path, &[]));
    says(
        &hsm.config(&path, &[("token_label", "absent")]),
        Kind::NotFound,
        "there are: 'ward' with serial",
    );
    says(
        &hsm.config(&path, &[("key_label", "absent")]),
        Kind::NotFound,
        "there is no AES key 'absent'",
    );
    hsm.init_token("twin");
    hsm.init_token("twin");
    says(
        &hsm.config(&path, &[("token_label", "twin")]),
        Kind::Config,
        "more than one token 'twin'",
    );
    hsm.init_token("odd");
    let odd = |label: &str| {
        let mut config = hsm.config(&path, &[("token_label", "odd"), ("key_label", label)]);
        config.path = path.clone();
        config
    };
    let usage = [
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
    ];
    hsm.with_session("odd", |session| {
        let make = |template: &[Attribute]| {
            session
                .generate_key(&Mechanism::AesKeyGen, template)
                .unwrap();
        };
        make(&aes_key("two", &usage));
        make(&aes_key("two", &usage));
        make(&aes_key(
            "useless",
            &[
                Attribute::Encrypt(false),
                Attribute::Decrypt(false),
                Attribute::Wrap(false),
                Attribute::Unwrap(false),
            ],
        ));
        let mut open_key = usage.to_vec();
        open_key.extend([Attribute::Extractable(true), Attribute::Sensitive(false)]);
        make(&aes_key("loose", &open_key));
    });
    says(&odd("two"), Kind::Config, "there are 2 AES keys");
    says(
        &odd("useless"),
        Kind::Config,
        "the key's usage does not permit it",
    );
    let keyring = open(&odd("loose")).unwrap();
    let warnings = keyring.take_warnings().join("\n");
    assert!(warnings.contains("is extractable"), "{warnings}");
    assert!(warnings.contains("is not sensitive"), "{warnings}");
    keyring.generate(b"k", b"", b"AES", 32).unwrap();
    drop(keyring);
    // The right label, but another key.
    hsm.with_session("odd", |session| {
        let found = session
            .find_objects(&[Attribute::Label(b"loose".to_vec())])
            .unwrap();
        session.destroy_object(found[0]).unwrap();
        let template = aes_key("loose", &usage);
        session
            .generate_key(&Mechanism::AesKeyGen, &template)
            .unwrap();
    });
    says(
        &odd("loose"),
        Kind::WrongKek,
        "is not the one that wrapped its DEK",
    );
    // By id, and by slot with a warning.
    let by_slot = survey::look(&hsm.module, None, soon()).unwrap();
    let slot = by_slot.slots.iter().find(|s| s.label == "ward").unwrap();
    let mut config = hsm.config(&path.with_extension("slot"), &[]);
    let KekConfig::Pkcs11(c) = &mut config.keks[0] else {
        unreachable!()
    };
    c.token = keyring_ward::config::TokenChoice::Slot(slot.slot);
    let keyring = open(&config).unwrap();
    assert!(
        keyring
            .take_warnings()
            .join("")
            .contains("slot numbers can change")
    );
}
