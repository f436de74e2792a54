//! A proxy before a KMS server or Vault that counts calls and injects faults which no server gives on demand.
//! A module of tests, and a program for the server tests:
//!
//!   kms_proxy LISTEN UPSTREAM FOLDER
//!   kms_proxy tls LISTEN UPSTREAM FOLDER NAME
//!   kms_proxy call SERVER ACTION JSON
//!   kms_proxy memory PID FOLDER PRESENT
//!
//! With `tls` it speaks TLS as NAME, by a certificate of the authority FOLDER/ca.pem. `call` is a call as an
//! administrator (in the region $KMS_REGION, default us-east-1), `memory` looks for the data keys that passed (FOLDER/secrets)
//! and for the test's secret access key in a process's memory, and for the text PRESENT, which must be there. The
//! program takes the fault from the file FOLDER/fault before each request and writes each request's action to
//! FOLDER/calls. For tests only: it trusts everybody.

// Each user needs a part of it; threads and exit are fine outside mysqld.
#![allow(
    dead_code,
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// `TrentService.Decrypt` → `Decrypt`; Vault's `/v1/transit/decrypt/k` → `transit/decrypt/k`; for other protocols the
    /// request line.
    pub fn action(&self) -> String {
        if let Some(target) = self.header("x-amz-target") {
            return target.rsplit('.').next().unwrap_or(target).to_string();
        }
        if let Some(rest) = self.line.strip_prefix("POST /v1/") {
            return rest.split(' ').next().unwrap_or(rest).to_string();
        }
        let body = String::from_utf8_lossy(&self.body).into_owned();
        let action = body.split('&').find_map(|p| p.strip_prefix("Action="));
        action.map_or_else(|| self.line.clone(), String::from)
    }
}

#[derive(Default)]
struct State {
    fault: String,
    requests: Vec<Request>,
}

/// A running proxy. It ends with the process.
#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// Something that turns an accepted connection into a stream: TLS in tests.
pub type Accept = Arc<dyn Fn(TcpStream) -> io::Result<Box<dyn Stream>> + Send + Sync>;

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Proxy {
    pub fn start(upstream: SocketAddr) -> Proxy {
        Proxy::listen("127.0.0.1:0", upstream, None, Arc::new(|s| Ok(Box::new(s))))
    }

    pub fn start_with(upstream: SocketAddr, accept: Accept) -> Proxy {
        Proxy::listen("127.0.0.1:0", upstream, None, accept)
    }

    fn listen(at: &str, upstream: SocketAddr, folder: Option<String>, accept: Accept) -> Proxy {
        let listener = TcpListener::bind(at).unwrap();
        let proxy = Proxy {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let (of_thread, folder) = (proxy.clone(), folder.map(Arc::new));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (proxy, accept, folder) = (of_thread.clone(), accept.clone(), folder.clone());
                std::thread::spawn(move || {
                    let _ = proxy.serve(connection, upstream, &accept, folder.as_deref());
                });
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// See [`Proxy::answer`] for the words. Empty: none.
    pub fn set_fault(&self, fault: &str) {
        self.state.lock().unwrap().fault = fault.into();
    }

    /// Requests since the last call of this.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Their actions.
    pub fn take_calls(&self) -> Vec<String> {
        self.take_requests().iter().map(Request::action).collect()
    }

    fn serve(
        &self,
        connection: TcpStream,
        upstream: SocketAddr,
        accept: &Accept,
        folder: Option<&String>,
    ) -> io::Result<()> {
        let raw = connection.try_clone()?;
        let mut client = accept(connection)?;
        let Some(request) = read_request(&mut client)? else {
            return Ok(());
        };
        let fault = match folder {
            None => {
                let mut state = self.state.lock().unwrap();
                state.requests.push(request.clone());
                let (now, next) = split_times(&state.fault, &request.action());
                state.fault = next;
                now
            }
            Some(folder) => {
                let calls = format!("{folder}/calls");
                let mut calls = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(calls)?;
                writeln!(calls, "{}", request.action())?;
                let path = format!("{folder}/fault");
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let (now, next) = split_times(text.trim(), &request.action());
                if next != text.trim() {
                    std::fs::write(&path, next)?;
                }
                now
            }
        };
        self.answer(&fault, &request, &mut client, &raw, upstream, folder)
    }

    /// Faults: `delay MS`, `hang`, `reset`, `truncate BYTES`, `stop BYTES`, `drip MS`, `status CODE [AWSCODE MESSAGE]`, `html`, `endless`,
    /// `redirect`, `short-key`, `garbage`, `answer CODE BODY`, `claim BYTES` (and send nothing of them). Before them:
    /// `times N` (then none), `on ACTION` (others pass).
    fn answer(
        &self,
        fault: &str,
        request: &Request,
        client: &mut Box<dyn Stream>,
        raw: &TcpStream,
        upstream: SocketAddr,
        folder: Option<&String>,
    ) -> io::Result<()> {
        let mut words = fault.splitn(2, ' ');
        let (what, rest) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let number = || {
            rest.split(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let mut plain = |status: &str, kind: &str, body: &str| {
            let date = "Date: Wed, 25 Nov 2026 00:00:00 GMT\r\n";
            let date = if rest.contains("Signature expired") {
                date
            } else {
                ""
            };
            client.write_all(
                format!("HTTP/1.1 {status}\r\n{date}Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).as_bytes(),
            )?;
            client.flush()
        };
        match what {
            "hang" => {
                // Until the client gives up.
                let _ = client.read(&mut [0; 1]);
                return Ok(());
            }
            "reset" => return reset_when_closed(raw),
            "status" => {
                let mut parts = rest.splitn(3, ' ');
                let status = parts.next().unwrap_or("500");
                let body = match (parts.next(), parts.next()) {
                    (Some(code), message) => format!(
                        "{{\"__type\":\"{code}\",\"message\":\"{}\"}}",
                        message.unwrap_or("injected")
                    ),
                    _ => String::new(),
                };
                return plain(&format!("{status} X"), "application/x-amz-json-1.1", &body);
            }
            "answer" => {
                let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
                return plain(&format!("{status} X"), "application/json", body);
            }
            "claim" => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", number());
                client.write_all(head.as_bytes())?;
                client.flush()?;
                let _ = client.read(&mut [0; 1]);
                return Ok(());
            }
            "html" => return plain("200 OK", "text/html", "<html><body>Welcome</body></html>"),
            "garbage" => return plain("200 OK", "application/x-amz-json-1.1", "{\"Plaintext\": 7"),
            "redirect" => {
                client.write_all(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
                return client.flush();
            }
            "endless" => {
                client.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\r\n{\"Plaintext\":\"")?;
                loop {
                    client.write_all(&[b'A'; 65536])?;
                }
            }
            "delay" => std::thread::sleep(Duration::from_millis(number())),
            _ => {}
        }
        let mut answer = forward(request, upstream)?;
        match what {
            "truncate" => {
                let head = answer
                    .windows(4)
                    .position(|w| w == b"\r\n\r\n")
                    .unwrap_or(0)
                    + 4;
                answer.truncate(head + number() as usize);
                client.write_all(&answer)?;
                client.flush()?;
                return raw.shutdown(Shutdown::Both);
            }
            "stop" => {
                answer.truncate(number() as usize);
                client.write_all(&answer)?;
                client.flush()?;
                // Until the client gives up.
                return client.read(&mut [0; 1]).map(drop);
            }
            "drip" => {
                let pause = Duration::from_millis(number());
                return answer.iter().try_for_each(|byte| {
                    client.write_all(&[*byte])?;
                    client.flush()?;
                    std::thread::sleep(pause);
                    Ok(())
                });
            }
            "short-key" => {
                let text = String::from_utf8_lossy(&answer).into_owned();
                let body = text.split("\r\n\r\n").nth(1).unwrap_or("");
                let mut value: serde_json::Value = serde_json::from_str(body).unwrap();
                value["Plaintext"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
                return plain("200 OK", "application/x-amz-json-1.1", &value.to_string());
            }
            _ => client.write_all(&answer)?,
        }
        if let Some(folder) = folder {
            let text = String::from_utf8_lossy(&answer);
            if let Some(rest) = text.split("\"Plaintext\":").nth(1) {
                let key = rest
                    .trim_start()
                    .trim_start_matches('"')
                    .split('"')
                    .next()
                    .unwrap_or("");
                let path = format!("{folder}/secrets");
                let mut secrets = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(path)?;
                writeln!(secrets, "{key}")?;
            }
        }
        client.flush()
    }
}

/// An authority, and a TLS acceptor with a certificate of it.
pub struct Tls {
    pub ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Tls {
    #[allow(clippy::new_without_default)] // each is another certificate
    pub fn new() -> Tls {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca_pem = params.self_signed(&key).unwrap().pem();
        Tls {
            ca_pem,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn acceptor(&self, name: &str, expired: bool) -> Accept {
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        if expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let config = Arc::new(config);
        Arc::new(move |stream| {
            let session =
                rustls::ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            Ok(Box::new(rustls::StreamOwned::new(session, stream)))
        })
    }
}

/// The fault for this request, and the one that is left.
fn split_times(fault: &str, action: &str) -> (String, String) {
    let mut rest = fault;
    if let Some(after) = rest.strip_prefix("on ") {
        let (only, what) = after.split_once(' ').unwrap_or((after, ""));
        if only != action {
            return (String::new(), fault.into());
        }
        rest = what;
    }
    let Some(after) = rest.strip_prefix("times ") else {
        return (rest.into(), fault.into());
    };
    let (n, what) = after.split_once(' ').unwrap_or((after, ""));
    match n.parse::<u32>().unwrap_or(0) {
        0 | 1 => (what.into(), String::new()),
        n => (what.into(), format!("times {} {what}", n - 1)),
    }
}

/// Closing the connection then sends a reset instead of an end.
#[allow(unsafe_code)]
fn reset_when_closed(raw: &TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is open, and the option's value outlives the call.
    let rc = unsafe {
        libc::setsockopt(
            raw.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    match rc {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn read_request(stream: &mut Box<dyn Stream>) -> io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut request = Request::default();
    if reader.read_line(&mut request.line)? == 0 {
        return Ok(None);
    }
    request.line = request.line.trim_end().to_string();
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => request
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_string())),
            None => break,
        }
    }
    let length = request
        .header("content-length")
        .and_then(|l| l.parse().ok());
    request.body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn forward(request: &Request, upstream: SocketAddr) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    let mut text = format!("{}\r\n", request.line);
    for (name, value) in &request.headers {
        if name != "connection" {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("connection: close\r\n\r\n");
    server.write_all(text.as_bytes())?;
    server.write_all(&request.body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A call of KMS as an administrator: no signature, which neither server checks.
pub fn call(at: SocketAddr, action: &str, arguments: &serde_json::Value) -> serde_json::Value {
    let region = std::env::var("KMS_REGION").unwrap_or_else(|_| "us-east-1".into());
    let request = Request {
        line: "POST / HTTP/1.1".into(),
        headers: vec![
            ("host".into(), at.to_string()),
            ("content-type".into(), "application/x-amz-json-1.1".into()),
            ("x-amz-target".into(), format!("TrentService.{action}")),
            (
                "authorization".into(),
                format!(
                    "AWS4-HMAC-SHA256 Credential=test/20261125/{region}/kms/aws4_request, SignedHeaders=host, Signature=0"
                ),
            ),
            (
                "content-length".into(),
                arguments.to_string().len().to_string(),
            ),
        ],
        body: arguments.to_string().into_bytes(),
    };
    let answer = forward(&request, at).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{action}: {answer}");
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        body.lines().nth(1).unwrap_or("")
    } else {
        body
    };
    serde_json::from_str(if body.is_empty() { "null" } else { body }).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for value in text
        .bytes()
        .filter_map(|c| DIGITS.iter().position(|d| *d == c))
    {
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// Looks through a process's memory; says what was found where.
fn memory(pid: &str, folder: &str, present: &str) -> bool {
    use std::io::{Seek, SeekFrom};
    let mut wanted: Vec<(String, Vec<u8>, usize)> = Vec::new();
    let secrets = std::fs::read_to_string(format!("{folder}/secrets")).unwrap();
    for (i, key) in secrets.lines().enumerate() {
        wanted.push((format!("data key {i}"), base64(key), 0));
        wanted.push((format!("data key {i} in base64"), key.into(), 0));
    }
    wanted.push((
        "secret access key".into(),
        b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec(),
        0,
    ));
    wanted.push((present.into(), present.into(), 0));
    let mut mem = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut searched = 0;
    for line in std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .unwrap()
        .lines()
    {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let at = |text| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; (at(to) - at(from)) as usize];
        mem.seek(SeekFrom::Start(at(from))).unwrap();
        if mem.read_exact(&mut bytes).is_err() {
            continue;
        }
        searched += bytes.len();
        for (what, pattern, hits) in &mut wanted {
            let first = pattern[0];
            let mut rest = &bytes[..];
            while let Some(i) = rest.iter().position(|b| *b == first) {
                rest = &rest[i..];
                if rest.starts_with(pattern) {
                    *hits += 1;
                    println!("found {what} in {line}");
                }
                rest = &rest[1..];
            }
        }
    }
    let present = wanted.pop().unwrap().2;
    let found: usize = wanted.iter().map(|w| w.2).sum();
    println!(
        "{} data keys and the secret access key: {found} hits in {} MiB of memory",
        secrets.lines().count(),
        searched >> 20
    );
    present > 0 && found == 0 && !secrets.is_empty()
}

#[allow(unused)]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, call_, server, action, json] = &arguments[..]
        && call_ == "call"
    {
        let answer = call(
            server.parse().unwrap(),
            action,
            &serde_json::from_str(json).unwrap(),
        );
        println!("{answer}");
        return;
    }
    if let [_, memory_, pid, folder, present] = &arguments[..]
        && memory_ == "memory"
    {
        std::process::exit(i32::from(!memory(pid, folder, present)));
    }
    let (accept, rest): (Accept, _) = match &arguments[..] {
        [_, tls_, rest @ .., name] if tls_ == "tls" && rest.len() == 3 => {
            let tls = Tls::new();
            std::fs::write(format!("{}/ca.pem", rest[2]), &tls.ca_pem).unwrap();
            (tls.acceptor(name, false), rest)
        }
        arguments => (Arc::new(|s| Ok(Box::new(s))), &arguments[1..]),
    };
    let [listen, upstream, folder] = rest else {
        eprintln!(
            "kms_proxy [tls] LISTEN UPSTREAM FOLDER [NAME], or kms_proxy call SERVER ACTION JSON"
        );
        std::process::exit(2);
    };
    let upstream = upstream.parse().expect("HOST:PORT with an address");
    Proxy::listen(listen, upstream, Some(folder.clone()), accept);
    loop {
        std::thread::park();
    }
}
