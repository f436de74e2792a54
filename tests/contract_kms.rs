//! The backend `aws_kms` over two real KMS servers, moto and LocalStack, and over a proxy before them that counts
//! calls and injects the faults that no server gives on demand.
//!
//! Neither server checks signatures, so one request is checked here, by a verifier that is itself checked against
//! AWS's published test vectors.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/aws_credentials.rs"]
mod aws_credentials;
#[path = "support/kms_proxy.rs"]
mod kms_proxy;
#[path = "support/ports.rs"]
mod ports;

use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Stanza};
use keyring_ward::kek::{Budget, Kek, Unwrapped};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use kms_proxy::{Proxy, Request, Tls, call};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const FILE: [u8; 16] = [5; 16];
const DEK: [u8; 32] = [9; 32];

// ---- the servers -----------------------------------------------------------------------------

struct Server {
    address: SocketAddr,
    /// Its standard input is open as long as this process lives, and so is the server. None where somebody else started it.
    _guard: Option<Child>,
    _port: Option<ports::Kept>,
}

static MOTO: LazyLock<Option<Server>> = LazyLock::new(|| Server::start("moto"));
static LOCALSTACK: LazyLock<Option<Server>> = LazyLock::new(|| Server::start("localstack"));

impl Server {
    /// The one that `KW_MOTO` or `KW_LOCALSTACK` names (HOST:PORT), else one of this program's own. `None` only where the
    /// servers are not installed and this is not CI.
    fn start(name: &str) -> Option<Server> {
        if let Ok(named) = std::env::var(format!("KW_{}", name.to_uppercase())) {
            return Some(Server {
                address: named.parse().unwrap(),
                _guard: None,
                _port: None,
            });
        }
        let home = std::env::var_os("KW_KMS").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("mysql-test/.work/kms"),
            PathBuf::from,
        );
        let bin = home.join(name).join("bin");
        if !bin.exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "{name} is required in CI: scripts/test.sh unit installs it"
            );
            println!("SKIPPED: no {name} here (scripts/test.sh unit installs it)");
            return None;
        }
        let port = ports::Kept::new();
        let address = port.address;
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#""$@" >/dev/null 2>&1 & cat >/dev/null; kill -9 $!"#,
            "sh",
        ]);
        if name == "moto" {
            command.arg(bin.join("moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        } else {
            let data =
                Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kms-{}", address.port()));
            std::fs::create_dir_all(data.join("fs")).unwrap();
            command
                .arg(bin.join("python"))
                .args(["-m", "localstack.runtime.main"])
                .env("LOCALSTACK_VOLUME_DIR", &data)
                .env("FILESYSTEM_ROOT", data.join("fs"))
                .env("SERVICES", "kms")
                .env("DISABLE_EVENTS", "1")
                .env("SKIP_SSL_CERT_DOWNLOAD", "1")
                .env("GATEWAY_LISTEN", address.to_string());
        }
        let guard = command.stdin(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "{name} does not start"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Server {
            address,
            _guard: Some(guard),
            _port: Some(port),
        })
    }

    fn call(&self, action: &str, arguments: Value) -> Value {
        call(self.address, action, &arguments)
    }

    fn make_key(&self) -> String {
        let made = self.call("CreateKey", json!({}));
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_string()
    }
}

fn is_root() -> bool {
    keyring_ward::os::identity::effective_uid() == 0
}

// ---- configurations --------------------------------------------------------------------------

/// A folder with a credentials file.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        place.write_credentials("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n", 0o600);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write_credentials(&self, text: &str, mode: u32) {
        let path = self.path("credentials");
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn try_config(&self, url: &str, key: &str, more: Value) -> Result<Config> {
        let mut options = json!({
            "key_id": key, "endpoint_url": url, "region": "us-east-1",
            "credentials_file": self.path("credentials"),
            "attempt_timeout": 2, "connect_timeout": 1,
        });
        for (name, value) in more.as_object().unwrap() {
            if value.is_null() {
                options.as_object_mut().unwrap().remove(name);
            } else {
                options[name] = value.clone();
            }
        }
        let text = json!({
            "backend": "aws_kms", "path": self.path("keyring"), "timeout": 4, "start_timeout": 6,
            "aws_kms": options,
        });
        json::parse(text.to_string().as_bytes(), "test")?
            .layer
            .finish()
    }

    fn config(&self, url: &str, key: &str, more: Value) -> Config {
        self.try_config(url, key, more).unwrap()
    }

    fn kek(&self, url: &str, key: &str, more: Value) -> Box<dyn Kek> {
        self.config(url, key, more).keks[0].kek()
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(4))
}

fn wrap(kek: &dyn Kek) -> Result<Stanza> {
    kek.wrap(&SecretPool::new(), &FILE, &Part::whole(&DEK), soon())
}

fn unwrap_for(kek: &dyn Kek, file: &[u8; 16], stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    let opened = kek.unwrap(&SecretPool::new(), file, stanza, &mut Budget::new(soon()))?;
    Ok(match opened {
        Unwrapped::Opened(part) => Some(part.to_vec()),
        _ => None,
    })
}

fn unwrap(kek: &dyn Kek, stanza: &Stanza) -> Result<Option<Vec<u8>>> {
    unwrap_for(kek, &FILE, stanza)
}

fn environment() -> Environment {
    Environment {
        data_dir: None,
        look_only: false,
        starting: true,
        making: false,
        snapshot_if_locked: false,
        audit: None,
    }
}

/// Opens a keyring. Another test that starts a process holds our last lock for the moment before that process is the
/// tool: a lock lives as long as its last descriptor.
fn open(config: &Config) -> Result<Keyring> {
    let begin = Instant::now();
    loop {
        match Keyring::open(config, &environment(), &SecretPool::new()) {
            Err(e) if e.kind() == Kind::Locked && begin.elapsed() < Duration::from_secs(10) => {
                std::thread::yield_now();
            }
            result => return result,
        }
    }
}

// ---- the contract ----------------------------------------------------------------------------

#[test]
fn the_contract_holds_for_every_form_of_a_key_on_both_servers() {
    for (name, server) in [("moto", &*MOTO), ("localstack", &*LOCALSTACK)] {
        let Some(server) = server else { continue };
        let place = Place::new();
        let url = format!("http://{}", server.address);
        let arn = server.make_key();
        let id = arn.rsplit('/').next().unwrap();
        let alias = format!("alias/kw-{id}");
        server.call(
            "CreateAlias",
            json!({"AliasName": alias, "TargetKeyId": id}),
        );
        let alias_arn = arn.replace(&format!("key/{id}"), &alias);
        let other = server.make_key();
        for key in [id, &arn, &alias, &alias_arn] {
            let kek = place.kek(&url, key, json!({}));
            kek.probe(&SecretPool::new(), soon()).unwrap();
            let stanza = wrap(&*kek).unwrap();
            assert_eq!(stanza.key_ref, arn);
            assert_eq!(unwrap(&*kek, &stanza).unwrap(), Some(DEK.to_vec()));
            let again = wrap(&*kek).unwrap();
            assert_ne!(
                (&again.blob, again.commitment),
                (&stanza.blob, stanza.commitment)
            );
            let e = unwrap_for(&*kek, &[6; 16], &stanza).unwrap_err();
            assert_eq!(e.kind(), Kind::Tampered, "another file: {e}");
            // Every part of the stanza counts.
            for i in (0..stanza.blob.len()).step_by(7) {
                let mut bad = stanza.clone();
                bad.blob[i] ^= 1;
                assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "byte {i}");
            }
            for bad in [
                Stanza {
                    commitment: [1; 32],
                    ..stanza.clone()
                },
                Stanza {
                    blob: stanza.blob[..60].to_vec(),
                    ..stanza.clone()
                },
                Stanza {
                    blob: Vec::new(),
                    ..stanza.clone()
                },
                Stanza {
                    params: vec![1],
                    ..stanza.clone()
                },
                Stanza {
                    mechanism: "rot13".into(),
                    ..stanza.clone()
                },
                Stanza {
                    holder: Some(Holder {
                        kek: "a".into(),
                        share: None,
                    }),
                    ..stanza.clone()
                },
                Stanza {
                    key_ref: other.clone(),
                    ..stanza.clone()
                },
            ] {
                assert!(!matches!(unwrap(&*kek, &bad), Ok(Some(_))), "{bad:?}");
            }
        }
        // Another key: told without a call where the configuration names it by its id.
        let kek = place.kek(&url, &arn, json!({}));
        let stanza = wrap(&*kek).unwrap();
        let e = unwrap(&*place.kek(&url, &other, json!({})), &stanza).unwrap_err();
        assert_eq!(e.kind(), Kind::WrongKek);
        assert!(
            e.to_string().contains(&arn) && e.to_string().contains("previous_key_ids"),
            "{e}"
        );
        assert_eq!(kek.contact().unwrap().errors, 0);
        // An alias that was pointed to another key.
        let by_alias = place.kek(&url, &alias, json!({}));
        let other_id = other.rsplit('/').next().unwrap();
        server.call(
            "UpdateAlias",
            json!({"AliasName": alias, "TargetKeyId": other_id}),
        );
        let moved = unwrap(&*by_alias, &stanza);
        // moto decrypts with any key, whatever KeyId says.
        if name == "localstack" {
            let e = moved.unwrap_err();
            assert_eq!(e.kind(), Kind::WrongKek, "{e}");
            assert!(e.to_string().contains("points to another key now"), "{e}");
        }
    }
}

#[test]
fn added_pairs_are_part_of_the_context() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    let with = |pairs: &str| place.kek(&proxy.url(), &key, json!({"encryption_context": pairs}));
    let stanza = wrap(&*with("env=prod,team=dba")).unwrap();
    let sent: Value = serde_json::from_slice(&proxy.take_requests()[0].body).unwrap();
    assert_eq!(
        sent["EncryptionContext"],
        json!({"product": "keyring-ward", "file-id": "05".repeat(16), "env": "prod", "team": "dba"})
    );
    assert!(
        unwrap(&*with("team=dba,env=prod"), &stanza)
            .unwrap()
            .is_some()
    );
    proxy.take_requests();
    let e = unwrap(&*with("env=test"), &stanza).unwrap_err();
    assert_eq!((e.kind(), proxy.take_calls().len()), (Kind::WrongKek, 0));
    assert!(
        e.to_string().contains("'env=prod,team=dba'") && e.to_string().contains("'env=test'"),
        "{e}"
    );
    // Put into the stanza by somebody, the pairs still don't fit what KMS wrapped.
    let mut bad = stanza.clone();
    bad.params.clear();
    let e = unwrap(&*place.kek(&proxy.url(), &key, json!({})), &bad).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered, "{e}");
}

#[test]
fn states_of_a_key_say_what_to_do() {
    let Some(server) = &*LOCALSTACK else { return };
    let place = Place::new();
    let url = format!("http://{}", server.address);
    let key = server.make_key();
    let kek = place.kek(&url, &key, json!({}));
    let stanza = wrap(&*kek).unwrap();
    let both = || {
        [
            wrap(&*kek).map(drop).unwrap_err(),
            unwrap(&*kek, &stanza).unwrap_err(),
        ]
    };
    server.call("DisableKey", json!({"KeyId": key}));
    for e in both() {
        assert_eq!(e.kind(), Kind::Denied, "{e}");
        assert!(e.to_string().contains("enable-key"), "{e}");
    }
    server.call(
        "ScheduleKeyDeletion",
        json!({"KeyId": key, "PendingWindowInDays": 7}),
    );
    for e in both() {
        assert_eq!(e.kind(), Kind::Denied, "{e}");
        let text = e.to_string();
        assert!(
            text.contains("destroyed on 20") && text.contains("cancel-key-deletion --key-id"),
            "{e}"
        );
    }
    server.call("CancelKeyDeletion", json!({"KeyId": key}));
    server.call("EnableKey", json!({"KeyId": key}));
    assert!(unwrap(&*kek, &stanza).unwrap().is_some());
    let absent = "00000000-0000-0000-0000-000000000000";
    let e = wrap(&*place.kek(&url, absent, json!({})))
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
}

#[test]
fn a_replica_of_a_multi_region_key_opens() {
    let Some(server) = &*LOCALSTACK else { return };
    let place = Place::new();
    let url = format!("http://{}", server.address);
    let made = server.call("CreateKey", json!({"MultiRegion": true}));
    let arn = made["KeyMetadata"]["Arn"].as_str().unwrap().to_string();
    server.call(
        "ReplicateKey",
        json!({"KeyId": arn, "ReplicaRegion": "eu-central-1"}),
    );
    let stanza = wrap(&*place.kek(&url, &arn, json!({}))).unwrap();
    let replica = arn.replace("us-east-1", "eu-central-1");
    let kek = place.kek(&url, &replica, json!({"region": "eu-central-1"}));
    assert_eq!(unwrap(&*kek, &stanza).unwrap(), Some(DEK.to_vec()));
}

// ---- faults ----------------------------------------------------------------------------------

#[test]
fn each_fault_has_its_kind_within_the_deadline() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    let kek = place.kek(&proxy.url(), &key, json!({}));
    let stanza = wrap(&*kek).unwrap();
    let denied = "status 400 AccessDeniedException User: arn:aws:sts::111122223333:assumed-role/db/i-1 is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:111122223333:key/k because no resource-based policy allows it";
    let expired = "status 400 InvalidSignatureException Signature expired: 20261124T000000Z is now earlier than 20261125T000000Z";
    // Fault, kind, tried again, words in the message.
    let faults: [(&str, Kind, bool, &str); 27] = [
        ("hang", Kind::Unreachable, true, "did not answer within"),
        (
            "delay 2500",
            Kind::Unreachable,
            true,
            "did not answer within",
        ),
        ("reset", Kind::Unreachable, true, "attempts"),
        ("truncate 20", Kind::Unreachable, true, "attempts"),
        ("status 500", Kind::Unreachable, true, "HTTP status 500"),
        ("status 502", Kind::Unreachable, true, "HTTP status 502"),
        (
            "status 500 KMSInternalException",
            Kind::Unreachable,
            true,
            "KMSInternalException",
        ),
        (
            "status 400 ThrottlingException Rate exceeded",
            Kind::Unreachable,
            true,
            "Rate exceeded",
        ),
        (
            "status 500 DependencyTimeoutException",
            Kind::Unreachable,
            true,
            "Dependency",
        ),
        (
            "status 500 KeyUnavailableException",
            Kind::Unreachable,
            true,
            "KeyUnavailable",
        ),
        (
            denied,
            Kind::Denied,
            false,
            "assumed-role/db/i-1 is not authorized to perform: kms:Decrypt",
        ),
        ("status 403", Kind::Denied, false, "VPC endpoint"),
        (
            "status 400 NotFoundException",
            Kind::NotFound,
            false,
            "key_id, region and account",
        ),
        (
            "status 400 DisabledException",
            Kind::Denied,
            false,
            "enable-key",
        ),
        (
            "status 400 KMSInvalidStateException key is pending import",
            Kind::Denied,
            false,
            "describe-key",
        ),
        (
            "status 400 IncorrectKeyException",
            Kind::WrongKek,
            false,
            "previous_key_ids",
        ),
        (
            "status 400 InvalidCiphertextException",
            Kind::Tampered,
            false,
            "was changed",
        ),
        (
            "status 400 ExpiredTokenException",
            Kind::Denied,
            false,
            "have expired",
        ),
        (
            "status 400 UnrecognizedClientException",
            Kind::Denied,
            false,
            "does not know these credentials",
        ),
        (
            expired,
            Kind::Denied,
            false,
            "clock of this machine differs from AWS's by",
        ),
        (
            "status 400 InvalidKeyUsageException",
            Kind::Config,
            false,
            "symmetric key",
        ),
        ("status 404", Kind::Config, false, "not AWS KMS"),
        ("html", Kind::Config, false, "not AWS KMS"),
        ("garbage", Kind::Config, false, "not AWS KMS"),
        (
            "redirect",
            Kind::Config,
            false,
            "Redirects are not followed",
        ),
        ("endless", Kind::Config, false, "more than 1 MiB"),
        ("short-key", Kind::Config, false, "16 bytes instead of 32"),
    ];
    println!("| fault | what the user sees | attempts | seconds of 4 |\n|---|---|---|---|");
    for (fault, kind, again, words) in faults {
        proxy.set_fault(fault);
        proxy.take_requests();
        let begin = Instant::now();
        let e = unwrap(&*kek, &stanza).unwrap_err();
        let took = begin.elapsed();
        // For a state of the key KMS is asked once which it is.
        let calls = proxy.take_calls();
        let calls = calls.iter().filter(|c| *c != "DescribeKey").count();
        println!(
            "| {} | {e} | {calls} | {:.1} |",
            &fault[..fault.len().min(48)],
            took.as_secs_f64()
        );
        assert_eq!(e.kind(), kind, "{fault}: {e}");
        assert!(e.to_string().contains(words), "{fault}: {e}");
        // On a busy machine one attempt may take all of the time.
        let out_of_time = took >= Duration::from_secs(4);
        assert!(
            again == (calls > 1) || (again && out_of_time),
            "{fault}: {calls} calls"
        );
        // The deadline is 4 s; the rest is what a busy machine may add.
        assert!(took < Duration::from_secs(20), "{fault}: {took:?}");
        // Nothing was lost: without the fault it opens.
        proxy.set_fault("");
        assert_eq!(
            unwrap(&*kek, &stanza).unwrap(),
            Some(DEK.to_vec()),
            "{fault}"
        );
    }
    // What passes is not even noticed.
    for fault in [
        "times 2 status 500",
        "times 1 reset",
        "times 2 status 400 ThrottlingException",
        "delay 300",
    ] {
        proxy.set_fault(fault);
        assert!(unwrap(&*kek, &stanza).unwrap().is_some(), "{fault}");
    }
    // The same for the call that makes a data key.
    for (fault, kind) in [
        ("status 400 AccessDeniedException", Kind::Denied),
        ("short-key", Kind::Config),
    ] {
        proxy.set_fault(fault);
        assert_eq!(wrap(&*kek).map(drop).unwrap_err().kind(), kind);
    }
    let contact = kek.contact().unwrap();
    assert!(contact.calls > contact.errors && contact.errors > 20 && contact.last_error.is_some());
}

#[test]
fn the_network_has_its_errors() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let key = moto.make_key();
    let closed = ports::closed();
    let e = wrap(&*place.kek(&format!("http://{closed}"), &key, json!({})))
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    assert!(
        e.to_string().contains("refused") && e.to_string().contains("attempts"),
        "{e}"
    );
    let e = wrap(&*place.kek("https://kms.invalid", &key, json!({})))
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    assert!(
        e.to_string().contains("resolve") || e.to_string().contains("did not answer"),
        "{e}"
    );
    // A proxy that is away.
    let through = json!({"proxy": format!("http://{closed}")});
    let e = wrap(&*place.kek("https://kms.us-east-1.amazonaws.com", &key, through))
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    // An HTTP proxy that works: plain requests go through it whole.
    let proxy = Proxy::start(moto.address);
    let through = json!({"proxy": proxy.url()});
    wrap(&*place.kek(&format!("http://{}", moto.address), &key, through)).unwrap();
    assert_eq!(proxy.take_calls(), ["GenerateDataKey"]);
}

#[test]
fn certificates_are_checked() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let key = moto.make_key();
    let tls = Tls::new();
    let good = Proxy::start_with(moto.address, tls.acceptor("localhost", false));
    let old = Proxy::start_with(moto.address, tls.acceptor("localhost", true));
    let wrong = Proxy::start_with(moto.address, tls.acceptor("kms.example.org", false));
    let ca = place.path("ca.pem");
    std::fs::write(&ca, &tls.ca_pem).unwrap();
    let url = |proxy: &Proxy| format!("https://localhost:{}", proxy.address.port());
    let trusting = || json!({"ca_file": ca});
    let stanza = wrap(&*place.kek(&url(&good), &key, trusting())).unwrap();
    assert!(
        unwrap(&*place.kek(&url(&good), &key, trusting()), &stanza)
            .unwrap()
            .is_some()
    );
    for (what, proxy, more, words) in [
        ("unknown authority", &good, json!({}), "ca_file"),
        ("expired", &old, trusting(), "xpired"),
        ("another name", &wrong, trusting(), "kms.example.org"),
    ] {
        proxy.take_requests();
        let e = wrap(&*place.kek(&url(proxy), &key, more))
            .map(drop)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::Config, "{what}: {e}");
        assert!(e.to_string().contains(words), "{what}: {e}");
        assert!(
            proxy.take_requests().is_empty(),
            "{what}: a request was sent"
        );
    }
    std::fs::write(&ca, "nothing").unwrap();
    let e = wrap(&*place.kek(&url(&good), &key, trusting()))
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Config, "{e}");
    std::fs::remove_file(&ca).unwrap();
    let e = wrap(&*place.kek(&url(&good), &key, trusting()))
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
}

// ---- credentials -----------------------------------------------------------------------------

#[test]
fn credentials_files_are_treated_as_secrets() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let url = format!("http://{}", moto.address);
    let key = moto.make_key();
    let fails = |more: Value| wrap(&*place.kek(&url, &key, more)).map(drop).unwrap_err();
    place.write_credentials(
        "[default]\naws_access_key_id = A\naws_secret_access_key = B\n",
        0o644,
    );
    let e = fails(json!({}));
    assert_eq!(e.kind(), Kind::Permission, "{e}");
    assert!(e.to_string().contains("chmod 600"), "{e}");
    place.write_credentials("[default]\naws_access_key_id = A\n", 0o600);
    let e = fails(json!({}));
    assert!(matches!(e.kind(), Kind::Config | Kind::Denied), "{e}");
    place.write_credentials("[default\nthis is not a profile", 0o600);
    let e = fails(json!({}));
    assert!(matches!(e.kind(), Kind::Config | Kind::Denied), "{e}");
    std::fs::remove_file(place.path("credentials")).unwrap();
    assert_eq!(fails(json!({})).kind(), Kind::NotFound);
    place.write_credentials(
        "[ward]\naws_access_key_id = A\naws_secret_access_key = B\n",
        0o600,
    );
    wrap(&*place.kek(&url, &key, json!({"profile": "ward"}))).unwrap();
    let e = fails(json!({"profile": "other"}));
    assert!(matches!(e.kind(), Kind::Config | Kind::Denied), "{e}");
}

#[test]
fn a_role_is_assumed_with_its_external_id() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let (kms, sts) = (Proxy::start(moto.address), Proxy::start(moto.address));
    let key = moto.make_key();
    let kek = place.kek(
        &kms.url(),
        &key,
        json!({
            "role_arn": "arn:aws:iam::123456789012:role/keyring", "external_id": "ward-1",
            "sts_endpoint_url": sts.url(),
        }),
    );
    wrap(&*kek).unwrap();
    let asked = sts.take_requests();
    let body = String::from_utf8_lossy(&asked[0].body).into_owned();
    assert!(
        body.contains("Action=AssumeRole") && body.contains("ExternalId=ward-1"),
        "{body}"
    );
    let request = &kms.take_requests()[0];
    let authorization = request.header("authorization").unwrap();
    assert!(
        !authorization.contains("AKIDEXAMPLE"),
        "the role's credentials sign"
    );
    assert!(request.header("x-amz-security-token").is_some());
    sts.set_fault("status 403 AccessDenied not authorized to perform sts:AssumeRole");
    let e = wrap(&*kek).map(drop).unwrap_err();
    assert_eq!(
        (e.kind(), sts.take_calls().len(), kms.take_calls().len()),
        (Kind::Denied, 1, 0)
    );
    assert!(e.to_string().contains("role/keyring"), "{e}");
    sts.set_fault("times 2 status 500");
    wrap(&*kek).unwrap();
}

/// Runs the tool, whose environment is the test's to choose.
fn init(
    place: &Place,
    url: &str,
    key: &str,
    environment: &[(&str, &str)],
) -> (bool, String, Duration) {
    let config = place.path("conf");
    let text = json!({
        "backend": "aws_kms", "path": place.path("keyring"), "timeout": 8,
        "aws_kms": {"key_id": key, "endpoint_url": url, "region": "us-east-1"},
    });
    std::fs::write(&config, text.to_string()).unwrap();
    let begin = Instant::now();
    let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .args(["init", "--config"])
        .arg(&config)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.success(), text, begin.elapsed())
}

#[test]
fn the_environments_credentials_are_found_or_missed_quickly() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    let (ok, text, _) = init(
        &place,
        &proxy.url(),
        &key,
        &[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "B")],
    );
    assert!(ok, "{text}");
    std::fs::remove_file(place.path("keyring")).unwrap();
    let home = place.path("home");
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    std::fs::rename(place.path("credentials"), home.join(".aws/credentials")).unwrap();
    let (ok, text, _) = init(
        &place,
        &proxy.url(),
        &key,
        &[("HOME", home.to_str().unwrap())],
    );
    assert!(ok, "{text}");
    std::fs::remove_file(place.path("keyring")).unwrap();
    proxy.take_requests();
    // A profile that the configuration names goes before the environment.
    let ward = "[ward]\naws_access_key_id = WARDSKEY\naws_secret_access_key = B\n";
    std::fs::write(home.join(".aws/credentials"), ward).unwrap();
    proxy.take_requests();
    let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .args(["init", "--option", "aws_kms_profile=ward", "--config"])
        .arg(place.path("conf"))
        .env_clear()
        .env("HOME", &home)
        .env("AWS_ACCESS_KEY_ID", "A")
        .env("AWS_SECRET_ACCESS_KEY", "B")
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let asked = proxy.take_requests();
    assert!(
        asked[0]
            .header("authorization")
            .unwrap()
            .contains("Credential=WARDSKEY/")
    );
    std::fs::remove_file(place.path("keyring")).unwrap();
    proxy.take_requests();
    // Nobody has any: neither files, nor a metadata service that hangs.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let metadata = format!("http://{}", silent.local_addr().unwrap());
    let (ok, text, took) = init(
        &place,
        &proxy.url(),
        &key,
        &[
            ("HOME", "/nonexistent"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata),
        ],
    );
    assert!(
        !ok && text.contains("Denied") && text.contains("none were found"),
        "{text}"
    );
    assert!(
        took < Duration::from_secs(7),
        "the metadata service cost {took:?}"
    );
    let (ok, text, _) = init(
        &place,
        &proxy.url(),
        &key,
        &[("AWS_EC2_METADATA_DISABLED", "true")],
    );
    assert!(!ok && text.contains("none were found"), "{text}");
    assert!(proxy.take_calls().is_empty());
    // A web identity whose token is not there, and a container's service that is away.
    let (ok, text, _) = init(
        &place,
        &proxy.url(),
        &key,
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/keyring"),
            ("AWS_REGION", "us-east-1"),
        ],
    );
    assert!(!ok && text.contains("'/nonexistent/token'"), "{text}");
}

#[test]
fn the_tool_takes_any_option_and_prints_a_configuration_that_it_reads() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let key = moto.make_key();
    let tool = |arguments: &[String]| {
        let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        (out.status.success(), text)
    };
    let mut arguments: Vec<String> = vec!["init".into(), "--backend".into(), "aws_kms".into()];
    arguments.extend(["--path".into(), place.path("keyring").display().to_string()]);
    for option in [
        format!("aws_kms_key_id={key}"),
        format!("aws_kms_endpoint_url=http://{}", moto.address),
        format!(
            "aws_kms_credentials_file={}",
            place.path("credentials").display()
        ),
        "aws_kms_encryption_context=env=prod".to_string(),
        "aws_kms_region=us-east-1".to_string(),
    ] {
        arguments.extend(["--option".into(), option]);
    }
    let (ok, printed) = tool(&arguments);
    assert!(ok && !printed.contains("wJalr"), "{printed}");
    let json = printed
        .lines()
        .find(|l| l.trim_start().starts_with('{'))
        .unwrap();
    let config = place.path("printed.cnf");
    std::fs::write(&config, json).unwrap();
    let (ok, text) = tool(&[
        "verify".into(),
        "--config".into(),
        config.display().to_string(),
    ]);
    assert!(ok, "{text}");
    let (ok, text) = tool(&["status".into(), "--option".into(), "aws_kms_key=x".into()]);
    assert!(
        !ok && text.contains("there is no option 'aws_kms_key'"),
        "{text}"
    );
}

// ---- keyrings --------------------------------------------------------------------------------

#[test]
fn calls_are_counted() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    let config = place.config(&proxy.url(), &key, json!({}));
    let keyring = open(&config).unwrap();
    assert_eq!(
        proxy.take_calls(),
        ["GenerateDataKey"],
        "a start without a keyring file: the KEK is tried"
    );
    keyring.by(&Caller::Unknown).create_empty().unwrap();
    assert_eq!(
        proxy.take_calls(),
        ["GenerateDataKey", "Decrypt"],
        "a new keyring, and the proof"
    );
    drop(keyring);
    let mut made = 0;
    for keys in [0, 1000, 10_000] {
        let keyring = open(&config).unwrap();
        while made < keys {
            keyring
                .by(&Caller::Unknown)
                .generate(format!("k{made}").as_bytes(), b"", b"AES", 32)
                .unwrap();
            made += 1;
        }
        for i in 0..keys.min(1000) {
            assert!(
                keyring
                    .fetch(format!("k{i}").as_bytes(), b"")
                    .unwrap()
                    .is_some()
            );
        }
        assert_eq!(
            proxy.take_calls(),
            ["Decrypt"],
            "opened, {keys} keys, generated and fetched"
        );
        drop(keyring);
        let keyring = open(&config).unwrap();
        assert_eq!(keyring.status().keys, keys);
        assert_eq!(proxy.take_calls(), ["Decrypt"], "a start with {keys} keys");
        println!("start with {keys} keys: 1 call");
    }
    let keyring = open(&config).unwrap();
    proxy.take_calls();
    keyring
        .by(&Caller::Unknown)
        .rekey(&config.keks, false)
        .unwrap();
    assert_eq!(proxy.take_calls(), ["GenerateDataKey", "Decrypt"], "rekey");
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert!(proxy.take_calls().is_empty(), "compaction");
}

#[test]
fn another_key_takes_over_and_the_old_one_stays_until_a_rekey() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let (old, new) = (moto.make_key(), moto.make_key());
    let config = |key: &str, more: Value| place.config(&proxy.url(), key, more);
    let keyring = open(&config(&old, json!({}))).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    let e = open(&config(&new, json!({}))).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::WrongKek, "{e}");
    let both = config(&new, json!({"previous_key_ids": old}));
    // Read-only, it opens and stays as it is.
    let mut reading = both.clone();
    reading.read_only = true;
    let before = std::fs::read(place.path("keyring")).unwrap();
    drop(open(&reading).unwrap());
    assert_eq!(std::fs::read(place.path("keyring")).unwrap(), before);
    // Refused by the new key, it goes on under the old one.
    proxy.set_fault("on GenerateDataKey status 400 AccessDeniedException");
    let keyring = open(&both).unwrap();
    let said = keyring.take_warnings().join("\n");
    assert!(
        said.contains("could not be brought under") && said.contains("AccessDenied"),
        "{said}"
    );
    assert!(keyring.fetch(b"k", b"").unwrap().is_some());
    drop(keyring);
    proxy.set_fault("");
    proxy.take_calls();
    let keyring = open(&both).unwrap();
    assert_eq!(
        proxy.take_calls(),
        ["Decrypt", "GenerateDataKey", "Decrypt"],
        "opened, wrapped anew, proved"
    );
    let said = keyring.take_warnings().join("\n");
    assert!(
        said.contains(&old) && said.contains(&new) && said.contains("as well"),
        "{said}"
    );
    assert_eq!(keyring.status().store.key_ref, new);
    assert!(keyring.fetch(b"k", b"").unwrap().is_some());
    drop(keyring);
    // From now on one call, with the new key; each of the two opens alone.
    proxy.take_calls();
    drop(open(&both).unwrap());
    assert_eq!(proxy.take_calls(), ["Decrypt"]);
    drop(open(&config(&new, json!({}))).unwrap());
    drop(open(&config(&old, json!({}))).unwrap());
    // A rekey leaves the configured one.
    let keyring = open(&both).unwrap();
    keyring
        .by(&Caller::Unknown)
        .rekey(&both.keks, false)
        .unwrap();
    drop(keyring);
    assert!(
        open(&config(&new, json!({})))
            .unwrap()
            .fetch(b"k", b"")
            .unwrap()
            .is_some()
    );
    let e = open(&config(&old, json!({}))).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::WrongKek, "{e}");
}

/// The older option means what `random` and `random_keys` say together: a DEK is mixed at once, keys out of a reserve, so that
/// no write waits for KMS.
#[test]
fn random_bytes_of_kms_wait_for_keys_and_no_key_waits_for_them() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    let keyring = open(&place.config(&proxy.url(), &key, json!({"random": "aws_kms"}))).unwrap();
    let told = || {
        let random = keyring.status().random;
        (random.reserve, random.missed)
    };
    proxy.take_calls();
    assert!(keyring.wants_random());
    keyring
        .by(&Caller::Unknown)
        .generate(b"a", b"", b"AES", 32)
        .unwrap();
    assert_eq!(
        proxy.take_calls(),
        ["GenerateRandom", "GenerateDataKey", "Decrypt"],
        "the DEK's"
    );
    assert_eq!(told(), (0, 1), "nobody has filled it yet");
    keyring.fill_random().unwrap();
    assert_eq!(proxy.take_calls(), ["GenerateRandom"]);
    assert!(!keyring.wants_random());
    keyring
        .by(&Caller::Unknown)
        .generate(b"b", b"", b"SECRET", 1000)
        .unwrap();
    assert_eq!((told(), proxy.take_calls().len()), ((24, 1), 0));
    keyring
        .by(&Caller::Unknown)
        .generate(b"c", b"", b"AES", 32)
        .unwrap();
    assert_eq!(told(), (24, 2));
    // KMS refuses: keys are made, and it is not asked again at once.
    proxy.set_fault("status 400 AccessDeniedException");
    assert!(keyring.wants_random());
    let e = keyring.fill_random().unwrap_err();
    assert_eq!(e.kind(), Kind::Denied, "{e}");
    assert!(!keyring.wants_random());
    keyring
        .by(&Caller::Unknown)
        .generate(b"d", b"", b"AES", 32)
        .unwrap();
    assert_eq!(told(), (24, 3));
}

#[test]
fn an_outage_costs_no_more_than_the_configured_time_and_ends_by_itself() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    let config = place.config(&proxy.url(), &key, json!({}));
    let keyring = open(&config).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    // Away while it runs: keys are made and served.
    proxy.set_fault("hang");
    keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"", b"AES", 32)
        .unwrap();
    assert!(keyring.fetch(b"k", b"").unwrap().is_some());
    let e = keyring
        .reload(&config, &environment())
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    assert!(keyring.fetch(b"l", b"").unwrap().is_some());
    drop(keyring);
    let begin = Instant::now();
    let e = open(&config).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Unreachable, "{e}");
    // The start's budget is 6 s.
    assert!(
        (4..20).contains(&begin.elapsed().as_secs()),
        "{:?}",
        begin.elapsed()
    );
    // Back before the budget ends.
    proxy.set_fault("times 2 hang");
    let keyring = open(&config).unwrap();
    assert!(keyring.fetch(b"l", b"").unwrap().is_some());
    let threads: Vec<_> = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with("tokio"))
        .collect();
    assert!(threads.is_empty(), "{threads:?}");
}

#[test]
fn a_region_that_does_not_fit_is_told_before_anything_is_asked() {
    let place = Place::new();
    let arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let e = place
        .try_config("https://localhost", arn, json!({}))
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Config);
    assert!(
        e.to_string()
            .contains("the key is in eu-central-1, but region is us-east-1"),
        "{e}"
    );
}

// ---- the signature ---------------------------------------------------------------------------

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest;
    keyring_ward::text::hex(&sha2::Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    use hmac::{KeyInit, Mac};
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The signature that a request must carry (AWS Signature Version 4), for requests without a query.
fn signature(request: &Request, secret: &str) -> String {
    let authorization = request.header("authorization").unwrap();
    let part = |name: &str| {
        let rest = authorization.split(name).nth(1).unwrap();
        rest.split([',', ' ']).next().unwrap().to_string()
    };
    let scope = part("Credential=");
    let scope: Vec<&str> = scope.split('/').skip(1).collect();
    let signed = part("SignedHeaders=");
    let method = request.line.split(' ').next().unwrap();
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", request.header(name).unwrap()))
        .collect();
    let canonical = format!(
        "{method}\n/\n\n{headers}\n{signed}\n{}",
        sha256_hex(&request.body)
    );
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{}\n{}\n{}",
        request.header("x-amz-date").unwrap(),
        scope.join("/"),
        sha256_hex(canonical.as_bytes())
    );
    let key = scope
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
            hmac(&key, part)
        });
    keyring_ward::text::hex(&hmac(&key, &to_sign))
}

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[test]
fn the_verifier_gives_the_signatures_of_the_published_vectors() {
    // get-vanilla and post-vanilla of AWS's Signature Version 4 test suite.
    for (method, expected) in [
        (
            "GET",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
    ] {
        let request = Request {
            line: format!("{method} / HTTP/1.1"),
            headers: vec![
                ("host".into(), "example.amazonaws.com".into()),
                ("x-amz-date".into(), "20150830T123600Z".into()),
                ("authorization".into(), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=?".into()),
            ],
            body: Vec::new(),
        };
        assert_eq!(signature(&request, SECRET), expected);
    }
}

#[test]
fn our_requests_are_signed_as_aws_wants_it() {
    let Some(moto) = &*MOTO else { return };
    let place = Place::new();
    let proxy = Proxy::start(moto.address);
    let key = moto.make_key();
    wrap(&*place.kek(&proxy.url(), &key, json!({}))).unwrap();
    let request = proxy.take_requests().remove(0);
    let authorization = request.header("authorization").unwrap();
    assert!(
        authorization.contains("Credential=AKIDEXAMPLE/")
            && authorization.contains("/us-east-1/kms/aws4_request")
    );
    let expected = signature(&request, SECRET);
    assert!(
        authorization.ends_with(&format!("Signature={expected}")),
        "{authorization}"
    );
    // The verifier notices a change.
    let mut changed = request.clone();
    changed.body[0] ^= 1;
    assert_ne!(signature(&changed, SECRET), expected);
}
