//! The backend `pkcs11` over a real module, SoftHSM2, and over the same module behind a shim that counts
//! its calls and injects the faults that no token gives on demand.

#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stdout)]

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use keyring_ward::admin::{edit, export, import, inspect};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::kek::pkcs11::survey::{self, Outcome};
use keyring_ward::kek::pkcs11::{Pkcs11Config, Storage, TokenChoice};
use keyring_ward::key::extensions::Extensions;
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::{DAY, Logical, State};
use keyring_ward::keyring::logical::Wanted;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
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

    /// The shim, built by cargo as an example. The checkout may lie below a folder that everybody can write, from
    /// which no module is loaded: then a copy of it is used.
    fn shim(&self) -> PathBuf {
        let beside =
            Path::new(env!("CARGO_BIN_EXE_keyring-ward")).with_file_name("examples/libp11_shim.so");
        // scripts/safety.sh brings one without AddressSanitizer: a module of others has none either.
        let built = std::env::var_os("KW_P11_SHIM").map_or(beside, PathBuf::from);
        let own = keyring_ward::os::identity::effective_uid();
        let trusted = |dir: &Path| {
            dir.ancestors().all(|place| {
                place.metadata().is_ok_and(|m| {
                    m.mode() & 0o022 == 0 && (m.uid() == 0 || (own != 0 && m.uid() == own))
                })
            })
        };
        if trusted(built.parent().unwrap()) {
            return built;
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let folder = [Some(PathBuf::from("/var/lib")), home]
            .into_iter()
            .flatten()
            .find(|dir| trusted(dir) && std::fs::create_dir_all(dir.join("kw-p11-shim")).is_ok())
            .expect("a folder that nobody else can write")
            .join("kw-p11-shim");
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let copy = folder.join("libp11_shim.so");
        let library = std::fs::read(&built).expect("cargo build --example p11_shim comes first");
        if std::fs::read(&copy).ok() != Some(library) {
            // Never over a library that is loaded already: a new file takes the name.
            let new = folder.join(format!("new-{}", std::process::id()));
            std::fs::copy(&built, &new).unwrap();
            std::fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).unwrap();
            std::fs::rename(&new, &copy).unwrap();
        }
        copy
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
        json::parse(self.json(module, path, changes).as_bytes(), "test")
            .unwrap()
            .layer
            .finish()
            .unwrap()
    }

    /// The same, as it stands in a file.
    fn json(&self, module: &Path, path: &Path, changes: &[(&str, &str)]) -> String {
        let mut pkcs11 = serde_json::json!({
            "module": module, "token_label": "ward", "key_label": "kek", "pin_file": self.dir.join("pin"),
        });
        for (name, value) in changes {
            pkcs11[*name] = (*value).into();
        }
        let text = serde_json::json!({
            "backend": "pkcs11", "path": path, "timeout": 2, "start_timeout": 2, "pkcs11": pkcs11,
        });
        text.to_string()
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

fn pkcs11(config: &Config) -> &Pkcs11Config {
    config.keks[0].settings_of().unwrap()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Without a data directory, so without a marker.
fn plain() -> Environment {
    Environment {
        data_dir: None,
        look_only: false,
        starting: false,
        making: false,
        snapshot_if_locked: false,
        audit: None,
    }
}

fn open(config: &Config) -> Result<Keyring> {
    Keyring::open(config, &plain(), &SecretPool::new())
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
    // RSA keys are made in it, beside whatever else the machine does.
    let patient = Deadline::after(Duration::from_secs(120));
    let steps = survey::test(pkcs11(&hsm.config(&path, &[])), patient).unwrap();
    for step in &steps {
        match &step.outcome {
            Outcome::Passed => {}
            // SoftHSM2 2.6 has OAEP with SHA-1 only.
            Outcome::Lacking(why) => assert!(why.contains("OAEP with SHA-256"), "{step:?}"),
            Outcome::Failed(_) => panic!("{step:?}"),
        }
    }
    assert_eq!(steps.len(), 1 + 4 * 13 + 2);
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
    keyring
        .by(&Caller::Unknown)
        .generate(b"first", b"", b"AES", 32)
        .unwrap();
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
            .by(&Caller::Unknown)
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
    local.keks = LocalConfig::KeyFile(SecretRef::File(hsm.dir.join("kek"))).into();
    let keyring = open(&local).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let material = |keyring: &Keyring| {
        keyring
            .fetch(b"k", b"")
            .unwrap()
            .unwrap()
            .material()
            .to_vec()
    };
    let before = material(&keyring);
    keyring
        .by(&Caller::Unknown)
        .rekey(&on_token.keks, false)
        .unwrap();
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
        keyring
            .by(&Caller::Unknown)
            .rekey(&config.keks, false)
            .unwrap();
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
    keyring
        .by(&Caller::Unknown)
        .rekey(&local.keks, false)
        .unwrap();
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
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    hsm.write_secret("wrong-pin", b"9999");
    let c: &mut Pkcs11Config = config.keks[0].settings_of_mut().unwrap();
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
            .by(&Caller::Unknown)
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
        impatient.patience.call = Duration::from_millis(400);
        let mut names = calls.clone();
        names.sort();
        names.dedup();
        for call in &names {
            for (code, name) in CODES {
                hsm.control(&format!("{call} {code}"));
                let mut result = open(&impatient);
                // A busy machine may not get even through one attempt.
                if result.as_ref().is_err_and(|e| e.kind() == Kind::Timeout) {
                    result = open(&config);
                }
                match result {
                    // What only ends a session may fail, the next operation begins anew; and C_GetInfo is asked
                    // for one library's name only.
                    Ok(_) => assert!(
                        [
                            "C_GetInfo",
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
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    config.patience.call = Duration::from_millis(500);
    hsm.control("DecryptInit hang 3");
    let begin = Instant::now();
    let environment = plain();
    let e = keyring.reload(&config, &environment).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Timeout, "{e}");
    assert!(
        begin.elapsed() < Duration::from_millis(2900),
        "not the module's 3 s"
    );
    assert!(
        keyring.fetch(b"k", b"").unwrap().is_some(),
        "the old keyring serves"
    );
    keyring
        .by(&Caller::Unknown)
        .generate(b"k2", b"", b"AES", 32)
        .unwrap();
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
    // Anybody can wrap for a public key.
    says(
        &hsm.config(&path, &[("mechanism", "rsa-oaep-sha256")]),
        Kind::Config,
        "no fingerprint is pinned",
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
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
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
    let c: &mut Pkcs11Config = config.keks[0].settings_of_mut().unwrap();
    c.token = TokenChoice::Slot(slot.slot);
    let keyring = open(&config).unwrap();
    assert!(
        keyring
            .take_warnings()
            .join("")
            .contains("slot numbers can change")
    );
}

/// What is spoilt, and what is said of it.
struct BadInput<'a> {
    name: &'a str,
    module: &'a Path,
    /// Members of "pkcs11" that are others.
    changes: &'a [(&'a str, &'a str)],
    /// What the PIN file has instead, and its mode.
    pin: Option<(&'a [u8], u32)>,
    /// What the shim does.
    fault: &'a str,
    kind: Kind,
    words: &'a str,
}

impl Hsm {
    /// What is wrong with a bad input's answers: the opening's and doctor's.
    fn judge(&self, input: &BadInput<'_>, path: &Path) -> Vec<String> {
        let mut wrong = Vec::new();
        let pin = self.dir.join("bad-pin");
        let _ = std::fs::remove_file(&pin);
        let mut changes = input.changes.to_vec();
        if let Some((bytes, mode)) = input.pin {
            std::fs::write(&pin, bytes).unwrap();
            std::fs::set_permissions(&pin, PermissionsExt::from_mode(mode)).unwrap();
        }
        let pin = pin.to_str().unwrap();
        if input.pin.is_some() || input.name.starts_with("PIN file missing") {
            changes.push(("pin_file", pin));
        }
        let text = self.json(input.module, path, &changes);
        let file = self.dir.join("bad.cnf");
        std::fs::write(&file, &text).unwrap();
        let config = self.config_with(input.module, path, &changes);
        let before = std::fs::read(path).unwrap();
        self.control(input.fault);
        match open(&config) {
            Ok(_) => wrong.push("it opened".into()),
            Err(e) if e.kind() != input.kind || !e.to_string().contains(input.words) => {
                wrong.push(format!("opening says: {e}"));
            }
            Err(_) => {}
        }
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(["doctor", "--json", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        // A PIN that was refused is not tried again.
        let told = said.contains(input.words) || said.contains("refused by this token before");
        if out.status.code() != Some(15) || !told {
            wrong.push(format!("doctor ends with {:?}: {said}", out.status.code()));
        }
        self.control("");
        let _ = std::fs::remove_file(&pkcs11(&config).refused_pin);
        if std::fs::read(path).unwrap() != before {
            wrong.push("the keyring file was changed".into());
        }
        let name = |w| format!("{}: {w}", input.name);
        wrong.into_iter().map(name).collect()
    }
}

/// What is wrong with the module, the token, the key or the PIN: each says so, in the opening and in doctor, and the
/// keyring is as it was. A few stand in hsm-tests.sh as well, under a server.
#[test]
fn every_bad_input_is_told_and_nothing_is_lost() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let shim = hsm.shim();
    hsm.make_kek(&hsm.shimmed(&path));
    let keyring = open(&hsm.shimmed(&path)).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    let beside = |what: &str| shim.with_file_name(format!("bad-{what}-{}.so", std::process::id()));
    let (arm, loose) = (beside("arm"), beside("loose"));
    let mut other = std::fs::read(&shim).unwrap();
    std::fs::write(&loose, &other).unwrap();
    std::fs::set_permissions(&loose, PermissionsExt::from_mode(0o777)).unwrap();
    other[18..20].copy_from_slice(&183u16.to_le_bytes()); // e_machine: AArch64
    std::fs::write(&arm, &other).unwrap();
    std::fs::set_permissions(&arm, PermissionsExt::from_mode(0o755)).unwrap();
    let row = |name, kind, words| BadInput {
        name,
        module: &shim,
        changes: &[],
        pin: None,
        fault: "",
        kind,
        words,
    };
    let module = |name, module, kind, words| BadInput {
        module: Path::new(module),
        ..row(name, kind, words)
    };
    let pin = |name, bytes, mode, kind, words| BadInput {
        pin: Some((bytes, mode)),
        ..row(name, kind, words)
    };
    let fault = |name, fault, kind, words| BadInput {
        fault,
        ..row(name, kind, words)
    };
    let change = |name, changes, kind, words| BadInput {
        changes,
        ..row(name, kind, words)
    };
    let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
    let (arm_path, loose_path) = (arm.to_str().unwrap(), loose.to_str().unwrap());
    let (absent_token, absent_key) = ([("token_label", "absent")], [("key_label", "absent")]);
    let kwp = [("mechanism", "aes-kwp")];
    let rows = [
        module(
            "module missing",
            "/nowhere/module.so",
            Kind::NotFound,
            "No such file",
        ),
        module(
            "not a PKCS#11 module",
            libc,
            Kind::Config,
            "has no C_GetFunctionList",
        ),
        module(
            "not a library",
            "/etc/passwd",
            Kind::Config,
            "is not a shared library",
        ),
        module(
            "another architecture",
            arm_path,
            Kind::Config,
            "for another architecture",
        ),
        module(
            "module writable by all",
            loose_path,
            Kind::Permission,
            "others than its owner can change it",
        ),
        change(
            "token missing",
            &absent_token,
            Kind::NotFound,
            "no token 'absent'",
        ),
        change(
            "key missing",
            &absent_key,
            Kind::NotFound,
            "there is no AES key 'absent'",
        ),
        row("PIN file missing", Kind::NotFound, "No such file"),
        pin("PIN empty", b"", 0o600, Kind::InvalidInput, "is empty"),
        pin(
            "PIN wrong",
            b"99999999",
            0o600,
            Kind::Denied,
            "CKR_PIN_INCORRECT",
        ),
        pin(
            "PIN readable by all",
            b"1234",
            0o644,
            Kind::Permission,
            "mode 0644",
        ),
        fault("PIN locked", "Login a4", Kind::Denied, "CKR_PIN_LOCKED"),
        fault("PIN expired", "Login a3", Kind::Denied, "CKR_PIN_EXPIRED"),
        fault(
            "token removed",
            "GetTokenInfo e0",
            Kind::Unreachable,
            "CKR_TOKEN_NOT_PRESENT",
        ),
        fault(
            "device error",
            "DecryptInit 30",
            Kind::Unreachable,
            "CKR_DEVICE_ERROR",
        ),
        fault(
            "no session left",
            "OpenSession b1",
            Kind::Unreachable,
            "CKR_SESSION_COUNT",
        ),
        change(
            "another mechanism pinned",
            &kwp,
            Kind::WrongKek,
            "the configuration pins 'aes-kwp'",
        ),
    ];
    let wrong: Vec<_> = rows.iter().flat_map(|row| hsm.judge(row, &path)).collect();
    for file in [arm, loose] {
        std::fs::remove_file(file).unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(open(&hsm.shimmed(&path)).unwrap().list().len(), 1);
}

/// The configuration for keys on the token, with a KEK of its own.
fn on_token(hsm: &Hsm, module: &Path, path: &Path, kek: &str, cache: bool) -> Config {
    let mut config = hsm.config_with(module, path, &[("key_label", kek), ("storage", "token")]);
    let c: &mut Pkcs11Config = config.keks[0].settings_of_mut().unwrap();
    c.storage = Storage::Token { cache };
    hsm.make_kek(&config);
    config
}

fn server(data: &Path) -> Environment {
    Environment {
        data_dir: Some(data.to_path_buf()),
        ..plain()
    }
}

/// What every store promises, over the token: with material in memory and without.
#[test]
fn keys_on_the_token() {
    let Some(hsm) = hsm() else { return };
    for cache in [true, false] {
        let (dir, path) = place();
        let config = on_token(
            &hsm,
            &hsm.shim(),
            &path,
            &format!("kek-cache-{cache}"),
            cache,
        );
        let environment = server(dir.path());
        let open = || Keyring::open(&config, &environment, &SecretPool::new());
        let keyring = open().unwrap();
        assert!(!keyring.status().store.exists);
        assert!(keyring.fetch(b"k", b"").unwrap().is_none());
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"u@h", b"aes", 16_384)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .store_key(b"s", b"u@h", b"SECRET", b"text")
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .store_key(b"empty", b"", b"SECRET", b"")
            .unwrap();
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .generate(b"k", b"", b"AES", 32)
                .unwrap_err()
                .kind(),
            Kind::AlreadyExists
        );
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .remove(b"absent", b"")
                .unwrap_err()
                .kind(),
            Kind::NotFound
        );
        let all = |keyring: &Keyring| {
            [
                (&b"k"[..], &b""[..]),
                (b"k", b"u@h"),
                (b"s", b"u@h"),
                (b"empty", b""),
            ]
            .map(|(n, o)| {
                keyring
                    .fetch(n, o)
                    .unwrap()
                    .map(|r| (r.material().to_vec(), r.key_type.to_string()))
            })
        };
        let before = all(&keyring);
        assert_eq!(before[1].as_ref().unwrap().0.len(), 16_384);
        assert_eq!(before[1].as_ref().unwrap().1, "aes");
        assert_eq!(before[2].as_ref().unwrap().0, b"text");
        assert_eq!(open().map(drop).unwrap_err().kind(), Kind::Locked);
        drop(keyring);
        assert!(!path.exists(), "nothing is on disk");

        hsm.calls();
        let keyring = open().unwrap();
        let calls = hsm.calls();
        assert_eq!(calls.iter().filter(|c| *c == "C_DecryptInit").count(), 1);
        assert_eq!(all(&keyring), before);
        let logins = hsm.calls().iter().filter(|c| *c == "C_Login").count();
        assert_eq!(logins, if cache { 0 } else { 4 }, "cache {cache}");
        // Material that stays on the token is not an empty key: its length is known all the same.
        let mut lengths: Vec<_> = keyring.list().iter().map(|k| k.length()).collect();
        lengths.sort();
        assert_eq!(lengths, [0, 4, 32, 16_384], "cache {cache}");
        for key in keyring.list().iter().filter(|k| k.length() > 0) {
            assert_eq!(
                key.material().is_some(),
                cache,
                "no material is no empty material"
            );
        }
        let listed = inspect::list(&config).unwrap().1;
        let mut lengths: Vec<_> = listed.iter().map(|k| k.length).collect();
        lengths.sort();
        assert_eq!(lengths, [0, 4, 32, 16_384], "cache {cache}");
        // RELOAD, removal, and the same again.
        let old = keyring;
        let keyring = old.reload(&config, &environment).unwrap();
        drop(old);
        // A token has places for keys, and for nothing else.
        let list = Extensions::new([(7, vec![1])]).unwrap();
        let noted = keyring
            .by(&Caller::Unknown)
            .set_attributes(b"s", b"u@h", list);
        for refused in [
            noted,
            keyring.by(&Caller::Unknown).put_document("audit", b"x"),
        ] {
            let e = refused.unwrap_err();
            assert_eq!(e.kind(), Kind::InvalidInput);
            assert!(e.to_string().contains("no place for attributes"), "{e}");
        }
        keyring.by(&Caller::Unknown).remove(b"s", b"u@h").unwrap();
        assert!(keyring.fetch(b"s", b"u@h").unwrap().is_none());
        keyring
            .by(&Caller::Unknown)
            .store_key(b"s", b"u@h", b"SECRET", b"again")
            .unwrap();
        drop(keyring);
        let keyring = open().unwrap();
        assert_eq!(
            keyring.fetch(b"s", b"u@h").unwrap().unwrap().material(),
            b"again"
        );
        assert!(keyring.take_warnings().is_empty());
        drop(keyring);
        // What moves keys moves their material, wherever it is kept.
        for (from, to) in [(&b"u@h"[..], &b"v@h"[..]), (b"v@h", b"u@h")] {
            assert_eq!(
                edit::reown(&config, from, to, edit::Moving::default())
                    .unwrap()
                    .keys
                    .len(),
                2
            );
            let keyring = open().unwrap();
            let moved = keyring.fetch(b"s", to).unwrap().unwrap();
            assert_eq!(moved.material(), b"again", "cache {cache}");
        }
        let json = dir.path().join(format!("export-{cache}.json"));
        assert_eq!(export::component_json(&config, &json).unwrap(), 4);
        let text = std::fs::read_to_string(&json).unwrap();
        assert!(text.contains("616761696E"), "cache {cache}");
        hsm.calls();
        let source = import::Source::Ward(&config);
        let (_, found) = import::read(&source, &SecretPool::new()).unwrap();
        let logins = hsm.calls().iter().filter(|c| *c == "C_Login").count();
        assert!(logins <= 3, "{logins}: one for all keys, not one for each");
        let mut lengths: Vec<_> = found.iter().map(|f| f.material.len()).collect();
        lengths.sort_unstable();
        assert_eq!(lengths, [0, 5, 32, 16_384], "cache {cache}");
        // Read-only serves and writes nothing.
        let mut read_only = config.clone();
        read_only.read_only = true;
        let keyring = Keyring::open(&read_only, &environment, &SecretPool::new()).unwrap();
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .remove(b"k", b"")
                .unwrap_err()
                .kind(),
            Kind::ReadOnly
        );
        drop(keyring);
        // Another KEK, another keyring; another data directory's marker.
        let other = on_token(
            &hsm,
            &hsm.module,
            &path,
            &format!("kek-other-{cache}"),
            cache,
        );
        let e = Keyring::open(&other, &environment, &SecretPool::new())
            .map(drop)
            .unwrap_err();
        assert_eq!(
            e.kind(),
            Kind::NotFound,
            "the marker says that there was one: {e}"
        );
        let e = open()
            .unwrap()
            .by(&Caller::Unknown)
            .rekey(&other.keks, false)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput);
    }
}

/// Objects that are missing, damaged, exchanged, doubled or not ours.
#[test]
fn odd_objects_on_the_token() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let config = on_token(&hsm, &hsm.module, &path, "kek-odd", true);
    let keyring = open(&config).unwrap();
    for name in [&b"a"[..], b"b", b"c"] {
        keyring
            .by(&Caller::Unknown)
            .generate(name, b"", b"AES", 32)
            .unwrap();
    }
    drop(keyring);
    let application = Attribute::Application(b"keyring-ward/1 key 'kek-odd'".to_vec());
    let ours = [Attribute::Class(ObjectClass::DATA), application.clone()];
    let value = |session: &Session, object| match &session
        .get_attributes(object, &[AttributeType::Value])
        .unwrap()[..]
    {
        [Attribute::Value(value)] => value.clone(),
        other => panic!("{other:?}"),
    };
    let label = |session: &Session, object| match &session
        .get_attributes(object, &[AttributeType::Label])
        .unwrap()[..]
    {
        [Attribute::Label(label)] => String::from_utf8(label.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    let object = |label: &str, value: &[u8]| {
        vec![
            Attribute::Class(ObjectClass::DATA),
            Attribute::Token(true),
            Attribute::Private(true),
            application.clone(),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Value(value.to_vec()),
        ]
    };
    let mut records = Vec::new();
    let mut head = Vec::new();
    hsm.with_session("ward", |session| {
        for handle in session.find_objects(&ours).unwrap() {
            match label(session, handle).as_str() {
                "head" => head = value(session, handle),
                name => records.push((name.to_string(), value(session, handle))),
            }
        }
        // Not ours, in the same token: never touched.
        let mut foreign = object("key of another application", b"x");
        foreign[3] = Attribute::Application(b"another application".to_vec());
        session.create_object(&foreign).unwrap();
    });
    assert_eq!(records.len(), 3);
    // Puts one object in the place of another state, and sees what opening says.
    let with = |label: &str, bytes: Option<&[u8]>, check: &dyn Fn(Result<Keyring>)| {
        let mut saved = Vec::new();
        let named = [
            ours[0].clone(),
            ours[1].clone(),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        hsm.with_session("ward", |session| {
            for handle in session.find_objects(&named).unwrap() {
                saved = value(session, handle);
                session.destroy_object(handle).unwrap();
            }
            if let Some(bytes) = bytes {
                session.create_object(&object(label, bytes)).unwrap();
            }
        });
        check(open(&config));
        hsm.with_session("ward", |session| {
            for handle in session.find_objects(&named).unwrap() {
                session.destroy_object(handle).unwrap();
            }
            if !saved.is_empty() {
                session.create_object(&object(label, &saved)).unwrap();
            }
        });
        assert_eq!(open(&config).unwrap().list().len(), 3, "all is back");
    };
    let refused = |kind: Kind, text: &'static str| {
        move |result: Result<Keyring>| {
            let e = result.map(drop).unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            assert!(e.to_string().contains(text), "{e}");
        }
    };
    let (name, bytes) = &records[0];
    for i in [0, 4, 12, 30, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[i] ^= 1;
        with(
            name,
            Some(&changed),
            &refused(Kind::Tampered, "the object 'key "),
        );
    }
    with(
        name,
        Some(&bytes[..20]),
        &refused(Kind::Tampered, "is not a key of Keyring Ward"),
    );
    with(
        name,
        Some(&records[1].1),
        &refused(Kind::Tampered, "changed or exchanged"),
    );
    with("head", None, &refused(Kind::Tampered, "but not the head"));
    let mut changed = head.clone();
    changed[40] ^= 1;
    with(
        "head",
        Some(&changed),
        &refused(Kind::Tampered, "the header is damaged"),
    );
    // Broken off by the token, never acknowledged.
    with("key half-written", Some(b""), &|result| {
        let keyring = result.unwrap();
        assert!(keyring.take_warnings().join("").contains("is empty"));
        assert_eq!(keyring.list().len(), 3);
    });
    // It does not stand in the way of the same key.
    with(name, Some(b""), &|result| {
        let keyring = result.unwrap();
        let absent = [&b"a"[..], b"b", b"c"];
        let absent = absent
            .into_iter()
            .find(|n| keyring.fetch(n, b"").unwrap().is_none());
        keyring
            .by(&Caller::Unknown)
            .generate(absent.unwrap(), b"", b"AES", 32)
            .unwrap();
        drop(keyring);
        let keyring = open(&config).unwrap();
        assert_eq!(keyring.list().len(), 3);
        let warnings = keyring.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("is empty"),
            "it is still there: nothing was destroyed"
        );
    });
    with(
        "head",
        Some(b""),
        &refused(Kind::Tampered, "but not the head"),
    );
    // A key that goes while a keyring without a cache is open: all keys are no longer to be had, not one fewer.
    let uncached = on_token(&hsm, &hsm.module, &path, "kek-odd", false);
    let keyring = open(&uncached).unwrap();
    assert_eq!(keyring.list_with_material().unwrap().len(), 3);
    hsm.with_session("ward", |session| {
        let named = Attribute::Label(name.as_bytes().to_vec());
        let named = [ours[0].clone(), ours[1].clone(), named];
        for handle in session.find_objects(&named).unwrap() {
            session.destroy_object(handle).unwrap();
        }
    });
    let e = keyring.list_with_material().map(drop).unwrap_err();
    assert!(e.to_string().contains("was removed meanwhile"), "{e}");
    hsm.with_session("ward", |session| {
        session.create_object(&object(name, bytes)).unwrap();
    });
    drop(keyring);
    // The same label twice, as a copy restored beside the original: the newest counts, nothing is removed.
    let keyring = open(&config).unwrap();
    keyring.by(&Caller::Unknown).remove(b"a", b"").unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"a", b"", b"AES", 32)
        .unwrap();
    let newest = keyring
        .fetch(b"a", b"")
        .unwrap()
        .unwrap()
        .material()
        .to_vec();
    drop(keyring);
    hsm.with_session("ward", |session| {
        for (name, bytes) in &records {
            let named = Attribute::Label(name.as_bytes().to_vec());
            let there = session
                .find_objects(&[ours[0].clone(), ours[1].clone(), named])
                .unwrap();
            if value(session, there[0]) != *bytes {
                session.create_object(&object(name, bytes)).unwrap();
            }
        }
    });
    let keyring = open(&config).unwrap();
    assert!(keyring.take_warnings().join("").contains("several objects"));
    assert_eq!(
        keyring.fetch(b"a", b"").unwrap().unwrap().material()[..],
        newest[..]
    );
    // A key that this server does not know of is not replaced.
    hsm.with_session("ward", |session| {
        assert_eq!(
            session.find_objects(&ours).unwrap().len(),
            5,
            "head, three keys, one of them twice"
        );
        let foreign = [Attribute::Application(b"another application".to_vec())];
        assert_eq!(session.find_objects(&foreign).unwrap().len(), 1);
    });
}

/// Writes to the token that fail, hang, or succeed without being able to say so.
#[test]
fn writes_to_a_token_in_trouble() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let mut config = on_token(&hsm, &hsm.shim(), &path, "kek-trouble", true);
    let keyring = open(&config).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"first", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    config.patience.call = Duration::from_millis(1500);
    let keyring = open(&config).unwrap();
    hsm.control("CreateObject 30");
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    assert!(keyring.fetch(b"k", b"").unwrap().is_none(), "not published");
    hsm.control("DestroyObject 30");
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .remove(b"first", b"")
            .unwrap_err()
            .kind(),
        Kind::Unreachable
    );
    assert!(keyring.fetch(b"first", b"").unwrap().is_some());
    hsm.control("");
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    // It hangs behind the creation: reported as failed, and found to have happened by the next opening.
    hsm.control("CreateObject hang 4");
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"late", b"", b"AES", 32)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Timeout, "{e}");
    assert!(
        keyring.fetch(b"k", b"").unwrap().is_some(),
        "readers don't wait"
    );
    hsm.control("");
    // Until the module has come back.
    let e = loop {
        match keyring
            .by(&Caller::Unknown)
            .generate(b"late", b"", b"AES", 32)
            .unwrap_err()
        {
            e if e.kind() == Kind::Timeout => {}
            e => break e,
        }
    };
    assert_eq!(e.kind(), Kind::AlreadyExists, "{e}");
    assert!(e.to_string().contains("does not know"), "{e}");
    let keyring = keyring
        .reload(&config, &server(path.parent().unwrap()))
        .unwrap();
    assert_eq!(keyring.list().len(), 3);
    keyring.by(&Caller::Unknown).remove(b"late", b"").unwrap();
    // Every call of a write fails once: the next attempt does it, and only once.
    hsm.calls();
    keyring
        .by(&Caller::Unknown)
        .generate(b"probe", b"", b"AES", 32)
        .unwrap();
    let calls = hsm.calls();
    config.patience.call = Duration::from_secs(10);
    let keyring = keyring
        .reload(&config, &server(path.parent().unwrap()))
        .unwrap();
    for n in 1..=calls.len() {
        let name = format!("n{n}").into_bytes();
        hsm.control(&format!("* 30 {n}"));
        keyring
            .by(&Caller::Unknown)
            .generate(&name, b"", b"AES", 32)
            .unwrap_or_else(|e| panic!("call {n} ({}): {e}", calls[n - 1]));
    }
    hsm.control("");
    let keyring = keyring
        .reload(&config, &server(path.parent().unwrap()))
        .unwrap();
    assert_eq!(keyring.list().len(), 3 + calls.len());
    assert!(keyring.take_warnings().is_empty(), "no key is there twice");
}

// ---- logical keys ----------------------------------------------------------------------------------

const APP: &[u8] = b"app@%";

fn logical(name: &str) -> KeyId {
    KeyId::new(name.as_bytes(), APP).unwrap()
}

fn create(keyring: &Keyring, name: &str) {
    let wanted = Wanted {
        follow: true,
        ..Wanted::default()
    };
    keyring
        .by(&Caller::Unknown)
        .create_logical(&logical(name), b"AES", 32, &wanted)
        .unwrap();
}

fn states(keyring: &Keyring, name: &str) -> Vec<(u32, State)> {
    let key = keyring.logical_key(&logical(name)).unwrap();
    let versions = key.logical.versions.iter();
    versions.map(|v| (v.number, v.state)).collect()
}

fn told(keyring: &Keyring, name: &str) -> String {
    keyring
        .logical_key(&logical(name))
        .unwrap()
        .logical
        .description
}

fn describe(keyring: &Keyring, name: &str, text: &str) -> Result<()> {
    keyring
        .by(&Caller::Unknown)
        .change_logical(&logical(name), |l, _| {
            l.description = text.into();
            Ok(())
        })
}

fn seen(keyring: &Keyring, name: &str) -> Option<Vec<u8>> {
    let key = keyring.fetch(name.as_bytes(), APP).unwrap();
    key.map(|key| key.material().to_vec())
}

fn long_ago(number: Option<u32>) -> impl Fn(&mut Logical, i64) -> Result<()> {
    move |l, now| l.schedule(number, 1, now - 2 * DAY)
}

/// The life of logical keys whose records are objects, with material in memory and without.
#[test]
fn logical_keys_on_the_token() {
    let Some(hsm) = hsm() else { return };
    for cache in [true, false] {
        let (dir, path) = place();
        let kek = format!("kek-logical-{cache}");
        let config = on_token(&hsm, &hsm.module, &path, &kek, cache);
        let environment = server(dir.path());
        let open = || Keyring::open(&config, &environment, &SecretPool::new()).unwrap();
        let again = |keyring: Keyring| {
            let shape = |k: &Keyring| {
                let all = k.logical_keys().into_iter();
                let all: Vec<_> = all.map(|l| (l.id, l.logical, l.made)).collect();
                (all, k.status().store.bytes)
            };
            let before = shape(&keyring);
            let keyring = keyring.reload(&config, &environment).unwrap();
            assert_eq!(shape(&keyring), before, "cache {cache}");
            assert!(keyring.take_warnings().is_empty(), "cache {cache}");
            keyring
        };
        let mut keyring = open();
        create(&keyring, "ssn");
        let first = seen(&keyring, "ssn").unwrap();
        keyring
            .by(&Caller::Unknown)
            .rotate(&logical("ssn"), true)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .rotate(&logical("ssn"), false)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .activate(&logical("ssn"), 3)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .store_key(b"old", APP, b"AES", &[5; 32])
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .adopt(&logical("old"), &Wanted::default())
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .rotate(&logical("old"), true)
            .unwrap();
        describe(&keyring, "ssn", "for tests").unwrap();
        keyring
            .by(&Caller::Unknown)
            .change_logical(&logical("ssn"), |l, now| l.compromise(1, now))
            .unwrap();
        keyring = again(keyring);
        assert_eq!(told(&keyring, "ssn"), "for tests");
        assert_eq!(seen(&keyring, "ssn"), seen(&keyring, "ssn@3"));
        assert_eq!(seen(&keyring, "old"), Some(vec![5; 32]));
        let e = keyring.fetch(b"ssn@1", APP).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::KeyState);
        let read = keyring.read_key(b"ssn@1", APP).unwrap().unwrap();
        assert_eq!(read.material(), first);
        // Into a file and back, with all that is known of them.
        let there = tempfile::tempdir().unwrap();
        let mut local = config.clone();
        local.path = there.path().join("k.ward");
        local.keks = LocalConfig::KeyFile(SecretRef::File(hsm.dir.join("kek"))).into();
        let whole = |k: &Keyring| {
            let all = k.logical_keys().into_iter();
            all.map(|l| (l.id, l.logical)).collect::<Vec<_>>()
        };
        let known = whole(&keyring);
        drop(keyring);
        let bring = |to: &Config, from: &Config| {
            import::import(to, &import::Source::Ward(from), false, &mut |_, _| {}).unwrap()
        };
        assert_eq!(bring(&local, &config).new.len(), 5);
        let file = super_open(&local);
        assert_eq!(whole(&file), known);
        // There the description is an attribute, here it is in a record.
        describe(&file, "ssn", "newer").unwrap();
        drop(file);
        assert_eq!(bring(&config, &local).new.len(), 0);
        let other = on_token(&hsm, &hsm.module, &path, &format!("{kek}-2"), cache);
        assert_eq!(bring(&other, &local).new.len(), 5);
        for config in [&config, &other] {
            let keyring = super_open(config);
            assert_eq!(told(&keyring, "ssn"), "newer");
            assert_eq!(states(&keyring, "ssn")[0], (1, State::Compromised));
        }
        // Their owner gets another name.
        for (from, to) in [(APP, &b"x@%"[..]), (b"x@%", APP)] {
            edit::reown(&config, from, to, edit::Moving::default()).unwrap();
        }
        keyring = open();
        assert_eq!(told(&keyring, "ssn"), "newer");
        // What is destroyed or removed is gone for good, and that is said.
        keyring.take_warnings();
        keyring
            .by(&Caller::Unknown)
            .change_logical(&logical("ssn"), long_ago(Some(1)))
            .unwrap();
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .destroy_due(&logical("ssn"), Some(1))
                .unwrap(),
            [1]
        );
        let said = keyring.take_warnings().join(" ");
        assert!(said.contains("went for good"), "{said}");
        let innodb = b"INNODBKey-01234567-89ab-cdef-0123-456789abcdef-1";
        keyring
            .by(&Caller::Unknown)
            .generate(innodb, b"", b"AES", 32)
            .unwrap();
        keyring.by(&Caller::Unknown).remove(innodb, b"").unwrap();
        let said = keyring.take_warnings().join(" ");
        assert!(
            said.contains("went for good") && said.contains("INNODBKey"),
            "{said}"
        );
        assert!(keyring.retired().is_empty());
        keyring = again(keyring);
        assert_eq!(seen(&keyring, "ssn@1"), None);
        keyring
            .by(&Caller::Unknown)
            .change_logical(&logical("ssn"), long_ago(None))
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .destroy_due(&logical("ssn"), None)
            .unwrap();
        keyring.take_warnings();
        keyring = again(keyring);
        assert!(keyring.logical_key(&logical("ssn")).is_err());
        assert_eq!(keyring.list().len(), 2);
    }
}

fn super_open(config: &Config) -> Keyring {
    open(config).unwrap()
}

/// How many objects belong to a KEK's keyring.
fn objects(hsm: &Hsm, kek: &str) -> usize {
    let mut found = 0;
    hsm.with_session("ward", |session| {
        let template = [
            Attribute::Class(ObjectClass::DATA),
            Attribute::Token(true),
        ];
        for object in session.find_objects(&template).unwrap() {
            let of = session
                .get_attributes(object, &[AttributeType::Application])
                .unwrap();
            let is = |a: &Attribute| matches!(a, Attribute::Application(a) if String::from_utf8_lossy(a).contains(kek));
            found += usize::from(of.iter().any(is));
        }
    });
    found
}

/// A description is written anew behind or before each fault: what counts afterwards is what was acknowledged last, and nothing
/// is left over for good.
#[test]
fn a_description_that_is_broken_off_on_the_token() {
    let Some(hsm) = hsm() else { return };
    let (_dir, path) = place();
    let kek = "kek-broken";
    let mut config = on_token(&hsm, &hsm.shim(), &path, kek, true);
    config.patience.call = Duration::from_millis(1500);
    let environment = server(path.parent().unwrap());
    let reload = |k: Keyring| k.reload(&config, &environment).unwrap();
    let mut keyring = super_open(&config);
    create(&keyring, "a");
    keyring
        .by(&Caller::Unknown)
        .rotate(&logical("a"), true)
        .unwrap();
    let newest = seen(&keyring, "a");
    // The old object can't be destroyed: the new one counts.
    hsm.control("DestroyObject 30");
    describe(&keyring, "a", "one").unwrap();
    hsm.control("");
    keyring = reload(keyring);
    assert_eq!(told(&keyring, "a"), "one");
    assert!(!keyring.take_warnings().is_empty(), "there are two of them");
    describe(&keyring, "a", "two").unwrap();
    keyring = reload(keyring);
    assert!(keyring.take_warnings().is_empty(), "both old ones went");
    assert_eq!(objects(&hsm, kek), 3);
    // It can't say that it made the new one, and the next attempt can: the old one goes all the same.
    hsm.control("CreateObject after");
    describe(&keyring, "a", "three").unwrap();
    hsm.control("");
    keyring = reload(keyring);
    assert_eq!(told(&keyring, "a"), "three");
    assert!(keyring.take_warnings().is_empty(), "no key is there twice");
    // It was made, and nobody could say so: what is acknowledged behind it counts, whatever is left.
    for (i, text) in ["five", "six", "seven", "eight"].into_iter().enumerate() {
        hsm.control("CreateObject after\nOpenSession 30 2 on");
        let e = describe(&keyring, "a", "lost").unwrap_err();
        assert_eq!(e.kind(), Kind::Unreachable, "{e}");
        hsm.control("DestroyObject 30");
        describe(&keyring, "a", text).unwrap();
        hsm.control("");
        keyring = reload(keyring);
        assert_eq!(told(&keyring, "a"), text, "{i}");
    }
    // A rotation of which nobody was told, and a change behind it.
    hsm.control("CreateObject after\nOpenSession 30 2 on");
    let e = keyring
        .by(&Caller::Unknown)
        .rotate(&logical("a"), true)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    hsm.control("");
    describe(&keyring, "a", "behind").unwrap();
    keyring = reload(keyring);
    assert_eq!(told(&keyring, "a"), "behind");
    assert_eq!(seen(&keyring, "a"), newest, "no rotation was acknowledged");
    keyring
        .by(&Caller::Unknown)
        .change_logical(&logical("a"), long_ago(Some(1)))
        .unwrap();
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .destroy_due(&logical("a"), None)
            .unwrap(),
        [1]
    );
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .rotate(&logical("a"), true)
            .unwrap(),
        4
    );
    keyring = reload(keyring);
    assert_eq!(seen(&keyring, "a"), seen(&keyring, "a@4"));
    // Of two objects of one key the older one goes first: else what is destroyed would be back as it was.
    create(&keyring, "b");
    hsm.control("DestroyObject 30");
    keyring
        .by(&Caller::Unknown)
        .change_logical(&logical("b"), |l, now| l.schedule(None, 1, now - 2 * DAY))
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .destroy_due(&logical("b"), None)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    hsm.control("DestroyObject 30 1\nDestroyObject 30 3 on");
    keyring
        .by(&Caller::Unknown)
        .destroy_due(&logical("b"), None)
        .unwrap_err();
    hsm.control("");
    keyring = reload(keyring);
    assert_eq!(seen(&keyring, "b@1"), None, "it is destroyed");
    assert_eq!(seen(&keyring, "b"), None);
    keyring
        .by(&Caller::Unknown)
        .destroy_due(&logical("b"), None)
        .unwrap();
    assert!(reload(keyring).logical_key(&logical("b")).is_err());
}
