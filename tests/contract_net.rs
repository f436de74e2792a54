//! The network's contract, over real servers in this process: TLS by rustls with certificates made here, a proxy, a
//! server of a metadata service, and one that lies.
//!
//! What a server saw is asserted as well as what the caller got: "refused" means that nothing was sent.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/ports.rs"]
mod ports;

use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use keyring_ward::net::{
    Answer, Cause, Client, Identity, Method, NetError, Options, Proxy, ProxyFault, Request, Step,
};
use keyring_ward::secret_source::SecretRef;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

// ---- servers ---------------------------------------------------------------------------------

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}
type Talk = dyn Fn(&str, &mut dyn Stream) -> io::Result<()> + Send + Sync;

/// A server that notes each request's head and lets `talk` answer it.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(tls: Option<Arc<rustls::ServerConfig>>, talk: Arc<Talk>) -> Server {
        Server::with(move |stream, seen| match &tls {
            None => serve(stream, seen, &*talk),
            Some(tls) => {
                let session = rustls::ServerConnection::new(tls.clone()).unwrap();
                serve(rustls::StreamOwned::new(session, stream), seen, &*talk)
            }
        })
    }

    /// Serves each connection by itself.
    fn with(
        serve: impl Fn(TcpStream, &Mutex<Vec<String>>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
        };
        let (seen, serve) = (server.seen.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, serve) = (seen.clone(), serve.clone());
                std::thread::spawn(move || serve(stream, &seen));
            }
        });
        server
    }

    /// Answers with this text.
    fn saying(tls: Option<Arc<rustls::ServerConfig>>, text: &'static str) -> Server {
        Server::start(
            tls,
            Arc::new(|_, stream| {
                stream.write_all(text.as_bytes())?;
                stream.flush()
            }),
        )
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}/x?y=z", self.address.port())
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn serve(mut stream: impl Stream, seen: &Mutex<Vec<String>>, talk: &Talk) -> io::Result<()> {
    let head = note(&mut stream, seen)?;
    talk(&head, &mut stream)
}

/// Notes a request.
fn note(stream: &mut dyn Read, seen: &Mutex<Vec<String>>) -> io::Result<String> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut head)? > 2 {}
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |l| l.parse().unwrap())];
    reader.read_exact(&mut body)?;
    head.push_str(&String::from_utf8_lossy(&body));
    seen.lock().unwrap().push(head.clone());
    Ok(head)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-kept: a\r\nx-other: b\r\n\r\nhi";

/// An HTTP proxy: CONNECT to wherever it is asked for, on this machine. What comes from either side goes to the other one,
/// whenever it comes.
fn proxy() -> Server {
    Server::with(|mut client, seen| {
        let head = note(&mut client, seen)?;
        let to = head.split(' ').nth(1).unwrap();
        let port = to.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            to.shutdown(Shutdown::Write)
        });
        io::copy(&mut server, &mut client)?;
        client.shutdown(Shutdown::Both)
    })
}

// ---- certificates ----------------------------------------------------------------------------

/// An authority and the files of it.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority {
            folder,
            issuer: Issuer::new(params, key),
            certificate: certificate.der().clone(),
        }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn certify(&self, name: &str, expired: bool) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// `clients`: whoever signs the certificates that clients must show.
    fn server(
        &self,
        name: &str,
        expired: bool,
        clients: Option<&Authority>,
    ) -> Option<Arc<rustls::ServerConfig>> {
        let (certificate, key) = self.certify(name, expired);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.certificate.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                config.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![certificate.der().clone()];
        Some(Arc::new(config.with_single_cert(chain, key).unwrap()))
    }

    /// A client's certificate and its key, as files.
    fn client_files(&self) -> (PathBuf, SecretRef) {
        let (certificate, key) = self.certify("client", false);
        let chain = self.folder.path().join("client.pem");
        std::fs::write(&chain, certificate.pem()).unwrap();
        let path = self.folder.path().join("client.key");
        std::fs::write(&path, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        (chain, SecretRef::File(path))
    }
}

// ---- clients ---------------------------------------------------------------------------------

const SECOND: Duration = Duration::from_secs(1);

fn options(ca_file: Option<&Path>) -> Options<'_> {
    Options {
        ca_file,
        identity: None,
        proxy: Proxy::None,
        connect: 5 * SECOND,
    }
}

fn get(client: &Client, url: &str) -> Result<Answer, NetError> {
    let request = Request::new(Method::Get, url).want("x-kept");
    client.send(&request, Deadline::after(10 * SECOND))
}

/// What happens to a plain request.
fn plain(text: &'static str) -> Result<Answer, NetError> {
    let server = Server::saying(None, text);
    get(&Client::link_local(SECOND), &server.url("http"))
}

fn certificate_error(e: &NetError) -> &rustls::CertificateError {
    match e.cause() {
        Cause::Tls(rustls::Error::InvalidCertificate(why)) => why,
        _ => panic!("{e}"),
    }
}

// ---- the contract ----------------------------------------------------------------------------

#[test]
fn a_request_arrives_as_it_was_made_and_only_wanted_headers_come_back() {
    let server = Server::saying(None, OK);
    let request = Request::new(Method::Post, server.url("http"))
        .header("x-token", "secret")
        .body("ping")
        .want("x-kept");
    let client = Client::link_local(SECOND);
    let answer = client.send(&request, Deadline::after(10 * SECOND)).unwrap();
    assert_eq!((answer.status(), answer.body()), (200, &b"hi"[..]));
    assert_eq!(answer.header("x-kept"), Some("a"));
    assert_eq!(answer.header("x-other"), None);
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("POST /x?y=z HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("x-token: secret\r\n"), "{seen}");
    let host = format!("host: localhost:{}\r\n", server.address.port());
    assert!(
        seen.contains(&host) && seen.ends_with("\r\n\r\nping"),
        "{seen}"
    );
    // A redirect is an answer, and nobody goes there.
    let other = Server::saying(None, OK);
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        other.url("http")
    );
    let answer = plain(moved.leak()).unwrap();
    assert_eq!((answer.status(), other.seen().len()), (302, 0));
}

#[test]
fn certificates_decide_before_anything_is_sent() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let trusting = Client::new(&options(Some(&ca))).unwrap();
    let good = Server::saying(authority.server("localhost", false, None), OK);
    assert_eq!(get(&trusting, &good.url("https")).unwrap().body(), b"hi");
    assert_eq!(good.seen().len(), 1);
    let strange = Client::new(&options(None)).unwrap();
    let old = Server::saying(authority.server("localhost", true, None), OK);
    let wrong = Server::saying(authority.server("kms.example.org", false, None), OK);
    for (what, client, server) in [
        ("unknown authority", &strange, &good),
        ("expired", &trusting, &old),
        ("another name", &trusting, &wrong),
    ] {
        let e = get(client, &server.url("https")).unwrap_err();
        use rustls::CertificateError as Why;
        assert!(
            match certificate_error(&e) {
                Why::UnknownIssuer => what == "unknown authority",
                Why::Expired | Why::ExpiredContext { .. } => what == "expired",
                Why::NotValidForName | Why::NotValidForNameContext { .. } => what == "another name",
                _ => false,
            },
            "{what}: {e}"
        );
        assert_eq!(e.kind(), Kind::Config, "{what}");
        assert!(server.seen().is_empty(), "{what}: a request was sent");
    }
    // TLS where none is spoken.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = plain.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 No\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let e = get(&trusting, &url).unwrap_err();
    assert!(matches!(e.cause(), Cause::Tls(_)), "{e}");
}

#[test]
fn a_client_certificate_is_shown_where_it_is_demanded() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let ca = authority.ca_file();
    let server = Server::saying(authority.server("localhost", false, Some(&clients)), OK);
    let (chain, key) = clients.client_files();
    let with = |chain: &Path, key: &SecretRef| {
        Client::new(&Options {
            identity: Some(Identity { chain, key }),
            ..options(Some(&ca))
        })
    };
    let client = with(&chain, &key).unwrap();
    assert_eq!(get(&client, &server.url("https")).unwrap().status(), 200);
    assert_eq!(server.seen().len(), 1);
    // None is shown, or another authority's: with TLS 1.3 the server tells after the handshake.
    let none = Client::new(&options(Some(&ca))).unwrap();
    let (other_chain, other_key) = authority.client_files();
    let other = with(&other_chain, &other_key).unwrap();
    for client in [none, other] {
        let e = get(&client, &server.url("https")).unwrap_err();
        assert!(
            matches!(e.cause(), Cause::Tls(rustls::Error::AlertReceived(_))),
            "{e}"
        );
        assert_eq!((e.kind(), server.seen().len()), (Kind::Config, 0));
    }
    // Files that don't belong together, or are none, are told by their path and never shown.
    let e = with(&chain, &other_key).err().unwrap();
    assert_eq!(e.kind(), Kind::Config);
    assert!(e.to_string().contains("does not belong"), "{e}");
    let SecretRef::File(path) = &key else {
        panic!()
    };
    std::fs::write(path, "HIDDEN").unwrap();
    let e = with(&chain, &key).err().unwrap().to_string();
    assert!(e.contains("client.key") && !e.contains("HIDDEN"), "{e}");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(with(&chain, &key).err().unwrap().kind(), Kind::Permission);
}

#[test]
fn a_proxy_connects_and_sees_no_secret() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let server = Server::saying(authority.server("localhost", false, None), OK);
    let way = proxy();
    let url = format!("http://u:p@127.0.0.1:{}", way.address.port());
    let through = |url: &str| {
        Client::new(&Options {
            proxy: Proxy::Url(url),
            ..options(Some(&ca))
        })
        .unwrap()
    };
    let client = through(&url);
    let request = Request::new(Method::Get, server.url("https")).header("x-token", "secret");
    let answer = client.send(&request, Deadline::after(10 * SECOND)).unwrap();
    assert_eq!((answer.body(), server.seen().len()), (&b"hi"[..], 1));
    let seen = way.seen().remove(0);
    let port = server.address.port();
    assert!(
        seen.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")),
        "{seen}"
    );
    assert!(
        seen.contains("proxy-authorization: Basic dTpw\r\n"),
        "{seen}"
    );
    assert!(!seen.contains("secret"), "{seen}");
    // The same without it.
    get(&client.direct(SECOND), &server.url("https")).unwrap();
    assert_eq!((way.seen().len(), server.seen().len()), (0, 1));
    // Plain requests go through it whole.
    let forwarding = Server::saying(None, OK);
    let client = through(&format!("http://{}", forwarding.address));
    get(&client, "http://kms.invalid/x").unwrap();
    let seen = forwarding.seen().remove(0);
    assert!(
        seen.starts_with("GET http://kms.invalid/x HTTP/1.1\r\n"),
        "{seen}"
    );
    // It refuses, or is away: the host is never asked without it.
    let refusing = Server::saying(None, "HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n");
    let client = through(&format!("http://{}", refusing.address));
    let e = get(&client, &server.url("https")).unwrap_err();
    let refused = |c: &Cause| {
        matches!(
            c,
            Cause::Proxy {
                fault: ProxyFault::Refused(407),
                ..
            }
        )
    };
    assert!(refused(e.cause()), "{e}");
    let closed = ports::closed();
    let e = get(
        &through(&format!("http://u:hidden@{closed}")),
        &server.url("https"),
    );
    let e = e.unwrap_err();
    assert!(
        e.to_string().contains(&format!("the proxy {closed}")),
        "{e}"
    );
    assert!(
        !e.to_string().contains("hidden") && e.kind() == Kind::Unreachable,
        "{e}"
    );
    assert!(server.seen().is_empty());
}

/// What the tests of servers build on: nobody is given a kept port, and a server can listen there.
#[test]
fn a_kept_port_is_nobody_elses() {
    let kept = ports::Kept::new();
    let closed = |address| TcpStream::connect(address).unwrap_err().kind();
    assert_eq!(closed(kept.address), io::ErrorKind::ConnectionRefused);
    assert_eq!(closed(ports::closed()), io::ErrorKind::ConnectionRefused);
    let given: Vec<_> = (0..500)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let is_kept = |other: &TcpListener| other.local_addr().unwrap() == kept.address;
    assert!(!given.iter().any(is_kept));
    let server = TcpListener::bind(kept.address).unwrap();
    TcpStream::connect(kept.address).unwrap();
    drop(server);
    TcpListener::bind(kept.address).unwrap();
}

#[test]
fn answers_are_bounded_and_lies_about_their_length_do_no_harm() {
    let e = plain("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\nx").unwrap_err();
    assert!(matches!(e.cause(), Cause::TooLarge(1_048_576)), "{e}");
    assert_eq!(e.kind(), Kind::Config);
    // No length at all: it ends at the limit.
    let endless = Server::start(
        None,
        Arc::new(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                stream.write_all(&[b'A'; 65536])?;
            }
        }),
    );
    let client = Client::link_local(SECOND);
    let e = get(&client, &endless.url("http")).unwrap_err();
    assert!(matches!(e.cause(), Cause::TooLarge(_)), "{e}");
    let small = Request::new(Method::Get, endless.url("http")).at_most(10);
    let e = client
        .send(&small, Deadline::after(10 * SECOND))
        .unwrap_err();
    assert!(matches!(e.cause(), Cause::TooLarge(10)), "{e}");
    // The limit itself is allowed, one byte more is not, although nothing announced it.
    let ten = Server::saying(None, "HTTP/1.1 200 OK\r\n\r\n0123456789");
    let of = |limit| {
        let request = Request::new(Method::Get, ten.url("http")).at_most(limit);
        client.send(&request, Deadline::after(10 * SECOND))
    };
    assert_eq!(of(10).unwrap().body(), b"0123456789");
    assert!(matches!(of(9).unwrap_err().cause(), Cause::TooLarge(9)));
    // Less than was promised, and more.
    let e = plain("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi").unwrap_err();
    assert!(matches!(e.cause(), Cause::Protocol(_)), "{e}");
    assert_eq!(e.kind(), Kind::Unreachable);
    assert!(e.to_string().contains("error reading a body"), "{e}");
    let more = plain("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhidden").unwrap();
    assert_eq!(more.body(), b"hi");
    // No HTTP, an endless head, nothing.
    for text in ["hello\r\n\r\n", ""] {
        let e = plain(text).unwrap_err();
        assert!(matches!(e.cause(), Cause::Protocol(_)), "{text}: {e}");
    }
    let heads = Server::start(
        None,
        Arc::new(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            for i in 0.. {
                stream.write_all(format!("x-{i}: {}\r\n", "y".repeat(1000)).as_bytes())?;
            }
            Ok(())
        }),
    );
    let e = get(&client, &heads.url("http")).unwrap_err();
    assert!(matches!(e.cause(), Cause::Protocol(_)), "{e}");
}

#[test]
fn a_slow_drip_ends_with_the_deadline() {
    let drip = Server::start(
        None,
        Arc::new(|_, stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")?;
            loop {
                stream.write_all(b"x")?;
                stream.flush()?;
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
    );
    let request = Request::new(Method::Get, drip.url("http"));
    let begin = Instant::now();
    let e = Client::link_local(SECOND)
        .send(&request, Deadline::after(SECOND))
        .unwrap_err();
    let took = begin.elapsed();
    assert!(
        matches!(
            e.cause(),
            Cause::Timeout {
                step: Step::Answer,
                ..
            }
        ),
        "{e}"
    );
    assert!(e.to_string().contains("did not answer within 1.0 s"), "{e}");
    assert!((SECOND..8 * SECOND).contains(&took), "{took:?}");
    // A handshake that hangs counts as connecting.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let quick = Options {
        connect: SECOND / 2,
        ..options(None)
    };
    let e = get(&Client::new(&quick).unwrap(), &url).unwrap_err();
    assert!(
        matches!(
            e.cause(),
            Cause::Timeout {
                step: Step::Connect,
                ..
            }
        ),
        "{e}"
    );
    assert_eq!(e.kind(), Kind::Unreachable);
}

#[test]
fn a_service_says_when_to_come_back() {
    for (text, seconds) in [
        (
            "HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            7,
        ),
        (
            "HTTP/1.1 503 Away\r\ndate: Wed, 21 Oct 2015 07:28:00 GMT\r\nretry-after: Wed, 21 Oct 2015 07:28:30 GMT\r\ncontent-length: 0\r\n\r\n",
            30,
        ),
    ] {
        let answer = plain(text).unwrap();
        assert_eq!(
            answer.retry_after(),
            Some(Duration::from_secs(seconds)),
            "{text}"
        );
    }
    assert_eq!(plain(OK).unwrap().retry_after(), None);
}

#[test]
fn names_and_addresses_that_nobody_has_keep_their_cause() {
    let client = Client::new(&options(None)).unwrap();
    let e = get(&client, "https://kms.invalid/").unwrap_err();
    // Where the resolver itself is away, it takes the time that it gets.
    match e.cause() {
        Cause::Dns { name, .. } => assert_eq!(name, "kms.invalid"),
        Cause::Timeout {
            step: Step::Connect,
            ..
        } => {}
        _ => panic!("{e}"),
    }
    assert_eq!((e.kind(), e.host()), (Kind::Unreachable, "kms.invalid:443"));
    let closed = ports::closed();
    let e = get(&client, &format!("http://{closed}/")).unwrap_err();
    let Cause::Connect(io) = e.cause() else {
        panic!("{e}")
    };
    assert_eq!(io.kind(), io::ErrorKind::ConnectionRefused);
    assert!(e.to_string().contains(&closed.to_string()), "{e}");
    for url in ["", "ftp://host/", "https://u:hidden@host/", "https:///x"] {
        let e = get(&client, url).unwrap_err();
        assert!(matches!(e.cause(), Cause::BadUrl(_)), "{url}: {e}");
        assert!(!e.to_string().contains("hidden"), "{e}");
    }
    // The client for metadata speaks no TLS.
    let e = get(&Client::link_local(SECOND), "https://127.0.0.1:1/").unwrap_err();
    assert!(matches!(e.cause(), Cause::BadUrl(_)), "{e}");
}

// ---- the environment -------------------------------------------------------------------------

/// A process of its own, whose environment is the test's to choose: this test again, with `KW_NET_*` set.
fn elsewhere(role: &str, url: &str, ca: &Path, environment: &[(&str, &str)]) -> String {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "in_another_environment", "--nocapture"])
        .env_clear()
        .envs([("KW_NET_ROLE", role), ("KW_NET_URL", url)])
        .env("KW_NET_CA", ca)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The other process's part; nothing where it is not one.
#[test]
#[allow(clippy::print_stdout)]
fn in_another_environment() {
    let (Ok(role), Ok(url)) = (std::env::var("KW_NET_ROLE"), std::env::var("KW_NET_URL")) else {
        return;
    };
    let ca = PathBuf::from(std::env::var_os("KW_NET_CA").unwrap());
    let client = match role.as_str() {
        "metadata" => Ok(Client::link_local(SECOND)),
        _ => Client::new(&Options {
            proxy: Proxy::Environment,
            ..options(Some(&ca))
        }),
    };
    match client {
        Err(e) => println!("RESULT {e}"),
        Ok(client) => match get(&client, &url) {
            Ok(answer) => println!("RESULT status {}", answer.status()),
            Err(e) => println!("RESULT {e}"),
        },
    }
}

#[test]
fn the_environments_proxies_are_used_by_passed_or_ignored() {
    let authority = Authority::new();
    let ca = authority.ca_file();
    let server = Server::saying(authority.server("localhost", false, None), OK);
    let url = server.url("https");
    let way = proxy();
    let by = format!("http://{}", way.address);
    let ok = |said: String| assert!(said.contains("RESULT status 200"), "{said}");
    ok(elsewhere("client", &url, &ca, &[("HTTPS_PROXY", &by)]));
    assert_eq!(way.seen().len(), 1, "used");
    ok(elsewhere(
        "client",
        &url,
        &ca,
        &[("HTTPS_PROXY", &by), ("NO_PROXY", "localhost")],
    ));
    assert_eq!(way.seen().len(), 0, "by-passed");
    let said = elsewhere(
        "client",
        &url,
        &ca,
        &[("https_proxy", "socks5://u:hidden@h")],
    );
    assert!(
        said.contains("https_proxy") || said.contains("HTTPS_PROXY"),
        "{said}"
    );
    assert!(
        said.contains("RESULT KW-0005") && !said.contains("hidden"),
        "{said}"
    );
    // The metadata client ignores all of them, even broken ones.
    let metadata = Server::saying(None, OK);
    let all = [
        ("HTTP_PROXY", &*by),
        ("http_proxy", &*by),
        ("ALL_PROXY", "socks5://h"),
    ];
    ok(elsewhere("metadata", &metadata.url("http"), &ca, &all));
    assert_eq!((way.seen().len(), metadata.seen().len()), (0, 1));
}
