//! Real OpenBao servers for tests: one with TLS, or two with raft; and their administrator.
//!
//! Owns where the program is and how a server is begun, unsealed and ended. A server ends with the process that began it.

#![allow(dead_code, missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use super::ports::Kept;
use keyring_ward::deadline::Deadline;
use keyring_ward::net::{Client, Method, Options, Proxy, Request};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The version that scripts/lib.sh installs.
const VERSION: &str = "2.7.2";

/// The program: `KW_BAO`, else what `scripts/test.sh unit` has installed. `None` only where it is not there and this is
/// not CI.
pub fn program() -> Option<PathBuf> {
    let named = std::env::var_os("KW_BAO").map(PathBuf::from);
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("mysql-test/.work/bao/bao-{VERSION}"));
    let program = named.unwrap_or(installed);
    if program.exists() {
        return Some(program);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "OpenBao is required in CI: scripts/test.sh unit installs it"
    );
    println!("SKIPPED: no OpenBao here (scripts/test.sh unit installs it)");
    None
}

/// An authority that signs servers and clients.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    #[allow(clippy::new_without_default)] // each is another one
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a name and its key, as PEM.
    pub fn certify(&self, name: &str) -> (String, String) {
        let mut params =
            CertificateParams::new(vec![name.to_string(), "127.0.0.1".into()]).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A running server.
pub struct Bao {
    pub folder: tempfile::TempDir,
    /// With TLS, by the certificate of an authority in `ca_file`.
    pub address: SocketAddr,
    /// The same server without TLS, for a proxy of ours before it.
    pub plain: SocketAddr,
    pub authority: Authority,
    /// The share that unseals it.
    pub share: String,
    pub root: String,
    guard: Option<Child>,
    _ports: [Kept; 3],
}

impl Bao {
    /// A server that is initialised, unsealed, and has a transit engine with the key `mysql`.
    pub fn start() -> Option<Bao> {
        let mut bao = Bao::begin("storage \"inmem\" {}")?;
        let made = bao.ask(
            "sys/init",
            "",
            &json!({"secret_shares": 1, "secret_threshold": 1}),
        );
        bao.share = made.1["keys_base64"][0].as_str().unwrap().into();
        bao.root = made.1["root_token"].as_str().unwrap().into();
        bao.unseal();
        bao.admin("sys/mounts/transit", json!({"type": "transit"}));
        bao.admin("transit/keys/mysql", json!({}));
        Some(bao)
    }

    /// A server as it is before anything is done with it.
    pub fn begin(storage: &str) -> Option<Bao> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.certify("localhost");
        let path = |name: &str| folder.path().join(name);
        for (name, text) in [
            ("ca.pem", &authority.pem),
            ("server.pem", &certificate),
            ("server.key", &key),
        ] {
            std::fs::write(path(name), text).unwrap();
        }
        let ports = [Kept::new(), Kept::new(), Kept::new()];
        let [address, plain, cluster] = [0, 1, 2].map(|n: usize| ports[n].address);
        let (certificate, key) = (path("server.pem"), path("server.key"));
        let storage = storage.replace("FOLDER", folder.path().to_str().unwrap());
        let config = format!(
            r#"{storage}
            listener "tcp" {{
              address = "{address}"
              cluster_address = "{cluster}"
              tls_cert_file = "{}"
              tls_key_file = "{}"
            }}
            listener "tcp" {{ address = "{plain}" tls_disable = true }}
            disable_mlock = true
            api_addr = "http://{plain}"
            cluster_addr = "https://{cluster}""#,
            certificate.display(),
            key.display(),
        );
        std::fs::write(path("config.hcl"), config).unwrap();
        let mut bao = Bao {
            folder,
            address,
            plain,
            authority,
            share: String::new(),
            root: String::new(),
            guard: None,
            _ports: ports,
        };
        bao.run(&program);
        Some(bao)
    }

    /// Begins the program; its standard input is open as long as this process lives, and so is the server.
    fn run(&mut self, program: &Path) {
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#""$@" </dev/null & cat >/dev/null; kill -9 $!"#,
            "sh",
        ]);
        command.arg(program).arg("server");
        command.arg(format!(
            "-config={}",
            self.folder.path().join("config.hcl").display()
        ));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.guard = Some(command.stdin(Stdio::piped()).spawn().unwrap());
        let begin = Instant::now();
        while std::net::TcpStream::connect(self.plain).is_err() {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "OpenBao does not start: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Begins it anew after [`Bao::kill`].
    pub fn run_again(&mut self) {
        self.run(&program().unwrap());
    }

    /// Waits until it is unsealed and active, by itself.
    pub fn wait_unsealed(&self) {
        let begin = Instant::now();
        while self.ask("sys/health", "", &Value::Null).0 != 200 {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "OpenBao does not unseal itself: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as by kill -9, and waits for that.
    pub fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            guard.wait().unwrap();
            // The shell has sent the signal; the server's port is free when it is gone.
            while std::net::TcpStream::connect(self.plain).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Unseals it, and waits until it is active.
    pub fn unseal(&self) {
        self.unseal_until(200);
    }

    /// The same until `sys/health` answers with this status: 429 is a standby.
    pub fn unseal_until(&self, wanted: u16) {
        let begin = Instant::now();
        loop {
            self.ask("sys/unseal", "", &json!({"key": self.share}));
            if self.ask("sys/health", "", &Value::Null).0 == wanted {
                return;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "OpenBao is not unsealed"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn seal(&self) {
        self.admin("sys/seal", json!({}));
    }

    /// A request with a token; status and answer. Without a body it is a GET.
    pub fn ask(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        ask(self.plain, path, token, body)
    }

    /// A request as the administrator, which must succeed.
    pub fn admin(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(path, &self.root, &body);
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// A token with a policy; `more` goes into its making.
    pub fn token(&self, policy: &str, more: Value) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Tests share a server.
        let name = format!("ward-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.admin(
            &format!("sys/policies/acl/{name}"),
            json!({"policy": policy}),
        );
        let mut asked = json!({"policies": [name], "no_default_policy": true});
        for (name, value) in more.as_object().unwrap() {
            asked[name] = value.clone();
        }
        let made = self.admin("auth/token/create", asked);
        made["auth"]["client_token"].as_str().unwrap().into()
    }

    /// How many tokens Vault keeps.
    pub fn kept_tokens(&self) -> usize {
        let listed = self.admin("auth/token/accessors?list=true", Value::Null);
        listed["data"]["keys"].as_array().unwrap().len()
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.kill();
    }
}

/// See [`Bao::ask`].
pub fn ask(at: SocketAddr, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let client = Client::new(&Options {
        ca_file: None,
        identity: None,
        proxy: Proxy::None,
        connect: Duration::from_secs(20),
    });
    let method = if body.is_null() {
        Method::Get
    } else {
        Method::Post
    };
    let mut request = Request::new(method, format!("http://{at}/v1/{path}"));
    if !token.is_empty() {
        request = request.header("x-vault-token", token);
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let deadline = Deadline::after(Duration::from_secs(40));
    match client.unwrap().send(&request, deadline) {
        Ok(answer) => (
            answer.status(),
            serde_json::from_slice(answer.body()).unwrap_or(Value::Null),
        ),
        Err(e) => panic!("{path}: {e}"),
    }
}

/// Writes a file that only its owner reads.
pub fn write_secret(path: &Path, text: &str) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
