//! Fakes of clouds' key services, for tests: what no machine without an account can ask. A module of tests, and a program
//! (`cloud_fake.rs`).
//!
//! A fake verifies what the cloud verifies (signatures and tokens, hashes of bodies, the clock, the key's state and
//! version, what is bound to a ciphertext) and answers with the cloud's own bodies. It is itself checked: the vendor's
//! official client is run against it, and tests send it what the vendor refuses. One that accepts that is a defect.
//!
//! Owns the HTTP server, its settings and its faults; each cloud has a file of its own. For tests only: who reaches it may
//! set everything.

// Each user needs a part of it; threads are fine outside mysqld.
#![allow(
    dead_code,
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod alibaba;
pub mod azure;
pub mod google;
pub mod oci;
pub mod official;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Largest request in bytes.
const MOST: usize = 1 << 20;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// The path without the query, as it came (`%XX` and all).
    pub path: String,
    /// The query as it came, without the question mark.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The pairs of the query, decoded.
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        pairs(&self.query)
    }

    /// The pairs of a body that is a form, decoded.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The value of a pair; empty: there is none.
pub fn value<'a>(pairs: &'a [(String, String)], name: &str) -> &'a str {
    let found = pairs.iter().find(|(n, _)| n == name);
    found.map_or("", |(_, value)| value)
}

pub fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// A text of a URL or form without `%XX` and `+`.
pub fn decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = String::from_utf8(digits).unwrap_or_default();
                out.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, value: &serde_json::Value) -> Answer {
        Answer {
            status,
            headers: vec![("Content-Type", "application/json".into())],
            body: value.to_string().into_bytes(),
        }
    }

    pub fn text(status: u16, text: &str) -> Answer {
        Answer {
            status,
            headers: vec![("Content-Type", "text/plain".into())],
            body: text.as_bytes().to_vec(),
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

/// What is set from outside, by names that the cloud's file explains.
#[derive(Default)]
pub struct World {
    settings: BTreeMap<String, String>,
}

impl World {
    /// A setting; empty: it was never made.
    pub fn get(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.into(), value.into());
    }

    /// The fake's clock, in seconds since 1970: this machine's and the setting `clock` seconds.
    pub fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_secs()).unwrap() + self.get("clock").parse::<i64>().unwrap_or(0)
    }
}

/// A cloud: metadata service, tokens and keys on one port, told apart by their paths.
pub trait Cloud: Send + 'static {
    fn answer(&mut self, world: &mut World, request: &Request) -> Answer;
}

struct State {
    cloud: Box<dyn Cloud>,
    world: World,
    calls: Vec<String>,
}

/// A running fake. It ends with the process.
///
/// Settings of every cloud: `clock` (seconds by which its clock is ahead), `fault` (what happens to the requests whose
/// method and path contain `fault_on`, all where that is empty): `hang`, `reset`, `empty` (the connection ends),
/// `garbage` (no HTTP), `html` (a page with status 200), `huge` (1 GiB is announced, and sent as long as somebody reads),
/// `redirect`, `slow` (two seconds), or `answer STATUS BODY`.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    /// Begins one on a port of its own.
    pub fn start(cloud: impl Cloud) -> Fake {
        Fake::listen(cloud, "127.0.0.1:0").unwrap()
    }

    pub fn listen(cloud: impl Cloud, address: &str) -> io::Result<Fake> {
        let listener = TcpListener::bind(address)?;
        let state = State {
            cloud: Box::new(cloud),
            world: World::default(),
            calls: Vec::new(),
        };
        let fake = Fake {
            address: listener.local_addr()?,
            state: Arc::new(Mutex::new(state)),
        };
        let of_thread = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let fake = of_thread.clone();
                std::thread::spawn(move || fake.serve(stream));
            }
        });
        Ok(fake)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, name: &str, value: &str) {
        self.state.lock().unwrap().world.set(name, value);
    }

    /// What was asked since the last call, each `METHOD path STATUS`; 0: it got no answer.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    fn serve(&self, stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        let mut reader = BufReader::new(stream);
        while let Ok(Some(request)) = read(&mut reader) {
            let is_last = request.header("connection") == Some("close");
            if self.one(request, reader.get_mut()).is_err() || is_last {
                return;
            }
        }
    }

    /// One request; an error ends the connection.
    fn one(&self, request: Request, stream: &mut TcpStream) -> io::Result<()> {
        if let Some(name) = request.path.strip_prefix("/_fake/") {
            let answer = self.administer(name, &request);
            return write(stream, &answer);
        }
        let what = format!("{} {}", request.method, request.path);
        let fault = {
            let state = self.state.lock().unwrap();
            let hit = what.contains(state.world.get("fault_on"));
            let fault = state.world.get("fault");
            if hit {
                fault.to_string()
            } else {
                String::new()
            }
        };
        let note = |status: u16| {
            let mut state = self.state.lock().unwrap();
            state.calls.push(format!("{what} {status}"));
        };
        let ended = || Err(io::Error::from(io::ErrorKind::ConnectionReset));
        let answer = match fault.split_once(' ').unwrap_or((&fault, "")) {
            ("hang", _) => {
                note(0);
                let _ = stream.read(&mut [0]);
                return ended();
            }
            ("reset", _) => {
                note(0);
                reset(stream);
                return ended();
            }
            ("empty", _) => {
                note(0);
                return ended();
            }
            ("garbage", _) => {
                note(0);
                stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")?;
                return ended();
            }
            ("huge", _) => {
                note(0);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let chunk = [b' '; 65_536];
                loop {
                    stream.write_all(b"10000\r\n")?;
                    stream.write_all(&chunk)?;
                    stream.write_all(b"\r\n")?;
                }
            }
            ("html", _) => Answer::text(200, "<html><body>Please log in.</body></html>"),
            ("redirect", _) => {
                Answer::text(302, "").header("Location", format!("http://{}/stolen", self.address))
            }
            ("answer", rest) => {
                let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
                Answer::text(status.parse().unwrap(), body)
                    .header("Content-Type", "application/json")
            }
            (slow, _) => {
                if slow == "slow" {
                    std::thread::sleep(Duration::from_secs(2));
                }
                let state = &mut *self.state.lock().unwrap();
                state.cloud.answer(&mut state.world, &request)
            }
        };
        note(answer.status);
        write(stream, &answer)
    }

    /// `PUT /_fake/NAME` sets, `GET /_fake/calls` takes what was asked.
    fn administer(&self, name: &str, request: &Request) -> Answer {
        match (request.method.as_str(), name) {
            ("PUT", name) => {
                self.set(name, &String::from_utf8_lossy(&request.body));
                Answer::text(200, "")
            }
            ("GET", "calls") => Answer::text(200, &self.take_calls().join("\n")),
            _ => Answer::text(404, ""),
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    // A proxy gets the whole URL.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = Request {
        method: method.into(),
        path: path.into(),
        query: query.into(),
        ..Request::default()
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            let pair = (name.to_ascii_lowercase(), value.trim().to_string());
            request.headers.push(pair);
        }
    }
    if request.header("expect").is_some() {
        reader
            .get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length = request.header("content-length").unwrap_or("0");
    let length: usize = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    if length > MOST || request.header("transfer-encoding").is_some() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    request.body = vec![0; length];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn write(stream: &mut TcpStream, answer: &Answer) -> io::Result<()> {
    let mut out = format!(
        "HTTP/1.1 {} x\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        out += &format!("{name}: {value}\r\n");
    }
    out += "\r\n";
    stream.write_all(out.as_bytes())?;
    stream.write_all(&answer.body)
}

/// The connection ends with RST.
fn reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option's value is a linger of its size, and the descriptor is open.
    #[allow(unsafe_code)]
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
}
