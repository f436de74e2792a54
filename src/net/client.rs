//! The client: one request to its end, with a runtime of its own that ends with it.
//!
//! Owns the runtime, the deadline and the limits. It must never keep a connection, a thread or a runtime after a
//! call, and never make room for what an answer merely claims.

use super::answer::Answer;
use super::connect::{self, Connection, MAX_HEAD, host_and_port};
use super::error::{Cause, NetError, Step};
use super::find;
use super::proxy::{Proxies, Proxy};
use super::request::Request;
use super::tls::{Identity, Tls};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::os::identity;
use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Headers that every answer keeps.
const KEPT: [&str; 2] = ["retry-after", "date"];
/// How long the end of an operation waits for a name lookup that it no longer needs.
const GRACE: Duration = Duration::from_secs(1);

/// How a client is made. It is not shown: a proxy's password may be in it.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Authorities that are trusted beside the system's: a file in PEM.
    pub ca_file: Option<&'a Path>,
    /// A client certificate.
    pub identity: Option<Identity<'a>>,
    /// The proxy.
    pub proxy: Proxy<'a>,
    /// The longest that a connection may take: name, proxy and TLS included.
    pub connect: Duration,
}

/// Asks services. Cheap to clone; no connection is kept between two requests.
#[derive(Clone)]
pub struct Client {
    tls: Option<Arc<Tls>>,
    proxies: Proxies,
    connect: Duration,
}

impl Client {
    /// A client that trusts the system's certificates and those in `ca_file`. The files are read now.
    ///
    /// # Errors
    /// Config and those of reading a file: a file, a key or a proxy is unusable.
    pub fn new(options: &Options<'_>) -> Result<Client> {
        Ok(Client {
            tls: Some(Arc::new(Tls::new(options.ca_file, options.identity)?)),
            proxies: Proxies::new(options.proxy)?,
            connect: options.connect,
        })
    }

    /// A client for what is beside this machine, such as a metadata service: no proxy, whatever the environment says,
    /// and no TLS. Connecting may take `connect`.
    pub fn link_local(connect: Duration) -> Client {
        Client {
            tls: None,
            proxies: Proxies::NONE,
            connect,
        }
    }

    /// The same without a proxy; connecting may take `connect`.
    pub fn direct(&self, connect: Duration) -> Client {
        Client {
            tls: self.tls.clone(),
            proxies: Proxies::NONE,
            connect,
        }
    }

    /// This client, never through a proxy.
    pub fn without_proxy(&self) -> Client {
        self.direct(self.connect)
    }

    /// Sends a request and reads the whole answer, within `deadline`. Whatever the status, an answer is an answer;
    /// redirects are not followed. It blocks the calling thread.
    ///
    /// The runtime has the calling thread only, and one helper for name lookups (the C library's), which ends with
    /// it. Where the system's resolver hangs, that helper is left to its own timeout (seconds): nobody waits for it,
    /// and it holds nothing.
    ///
    /// # Errors
    /// There is no answer: see [`Cause`].
    pub fn send(
        &self,
        request: &Request,
        deadline: Deadline,
    ) -> std::result::Result<Answer, NetError> {
        let target = target(&request.url).map_err(|why| NetError::new("", Cause::BadUrl(why)))?;
        let fail = |cause| NetError::new(&host_and_port(&target), cause);
        run(deadline, self.exchange(&target, request)).map_err(fail)
    }

    /// What it does for TLS.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_deref()
    }

    /// The longest that a connection may take.
    pub(super) fn connect_limit(&self) -> Duration {
        self.connect
    }

    async fn exchange(
        &self,
        target: &Uri,
        request: &Request,
    ) -> std::result::Result<Answer, Cause> {
        let connecting = connect::connect(target, self.tls.as_deref(), &self.proxies, self.connect);
        let connected = tokio::time::timeout(self.connect, connecting).await;
        let Connection { stream, forward } = connected.unwrap_or(Err(Cause::Timeout {
            step: Step::Connect,
            after: self.connect,
        }))?;
        let message = message(target, request, forward)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // It ends with the runtime.
        tokio::spawn(connection);
        let answer = sender.send_request(message).await.map_err(failed)?;
        let status = answer.status().as_u16();
        let headers = kept(answer.headers(), &request.wanted);
        let body = read(answer.into_body(), request.limit).await?;
        Ok(Answer::new(status, headers, body))
    }
}

/// Does all of an exchange within `deadline`, on a runtime of its own that ends with it.
pub(super) fn run<T>(
    deadline: Deadline,
    whole: impl Future<Output = std::result::Result<T, Cause>>,
) -> std::result::Result<T, Cause> {
    if identity::acting() {
        // A name lookup is a thread, which may hang: see kek::away.
        return Err(Cause::WhileRoot);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_name("kw-lookup")
        .build()
        .map_err(Cause::System)?;
    let left = deadline.remaining();
    let result = runtime.block_on(async { tokio::time::timeout(left, whole).await });
    runtime.shutdown_timeout(GRACE.min(deadline.remaining()));
    result.unwrap_or(Err(Cause::Timeout {
        step: Step::Answer,
        after: deadline.total(),
    }))
}

/// The URL, if it is one that can be asked.
fn target(url: &str) -> std::result::Result<Uri, &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is no URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it begins with neither https:// nor http://");
    }
    let authority = uri.authority().ok_or("it names no host")?;
    if authority.host().is_empty() {
        return Err("it names no host");
    }
    if authority.as_str().contains('@') {
        return Err("a user or a password is in it");
    }
    Ok(uri)
}

/// The request as HTTP/1.1 has it. `forward`: it is a proxy that reads it.
fn message(
    target: &Uri,
    request: &Request,
    forward: Option<Option<HeaderValue>>,
) -> std::result::Result<http::Request<Full<Bytes>>, Cause> {
    let path = target.path_and_query().map_or("/", |p| p.as_str());
    let asked = match &forward {
        Some(_) => target.clone(),
        None => path
            .parse()
            .map_err(|_| Cause::BadUrl("its path is none"))?,
    };
    // Wiped when the library drops it.
    let body = Bytes::from_owner(Zeroizing::new(request.body.to_vec()));
    let mut message = http::Request::new(Full::new(body));
    *message.method_mut() = request.method.as_http();
    *message.uri_mut() = asked;
    let headers = message.headers_mut();
    let authority = target.authority().map_or("", |a| a.as_str());
    let host = HeaderValue::from_str(authority).map_err(|_| Cause::BadHeader("host"))?;
    headers.insert(HOST, host);
    let agent = concat!("keyring-ward/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in &request.headers {
        let mut value = HeaderValue::from_str(value).map_err(|_| Cause::BadHeader(name))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Cause::BadHeader(name))?;
        headers.insert(name, value);
    }
    if let Some(Some(authorization)) = forward {
        headers.insert(http::header::PROXY_AUTHORIZATION, authorization);
    }
    Ok(message)
}

fn kept(headers: &HeaderMap, wanted: &[&'static str]) -> Vec<(String, String)> {
    let names = KEPT.iter().chain(wanted);
    names
        .filter_map(|name| {
            let value = headers.get(*name)?.to_str().ok()?;
            Some((name.to_string(), value.to_string()))
        })
        .collect()
}

/// The whole body, of at most `limit` bytes.
async fn read(mut body: Incoming, limit: usize) -> std::result::Result<Zeroizing<Vec<u8>>, Cause> {
    // What Content-Length says; where it says nothing, zero.
    let claimed = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if claimed > limit {
        return Err(Cause::TooLarge(limit));
    }
    // One allocation where the length is known: growing would leave copies behind until the allocator wipes them.
    let mut whole = Zeroizing::new(Vec::with_capacity(claimed));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(failed)?.into_data() else {
            continue;
        };
        if data.len() > limit - whole.len() {
            return Err(Cause::TooLarge(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// An error of the connection. With TLS 1.3 a server tells on the first read what it thinks of a client's certificate.
fn failed(e: hyper::Error) -> Cause {
    match find::<rustls::Error>(&e) {
        Some(tls) => Cause::Tls(tls.clone()),
        None => Cause::Protocol(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Method;

    #[test]
    fn only_plain_urls_are_asked() {
        for good in [
            "https://kms.example.org",
            "http://127.0.0.1:80/x?y=z",
            "http://[fd00:ec2::254]/latest",
        ] {
            assert!(target(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "x",
            "/x",
            "ftp://host/",
            "https://",
            "https://u:p@host/",
            "https://host/a b",
            "https://host\r\n/",
        ] {
            assert!(target(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_header_that_would_split_is_refused_by_its_name() {
        let request = Request::new(Method::Get, "http://h/").header("x-token", "HIDDEN\r\nx: y");
        let uri = target(&request.url).unwrap();
        let cause = message(&uri, &request, None).err().unwrap();
        assert!(matches!(cause, Cause::BadHeader("x-token")));
        assert!(!format!("{cause} {cause:?}").contains("HIDDEN"));
    }

    #[test]
    fn no_thread_is_left() {
        let client = Client::link_local(Duration::from_secs(5));
        let asked = Request::new(Method::Get, "http://localhost:1/");
        let e = client.send(&asked, Deadline::after(Duration::from_secs(5)));
        assert!(e.is_err());
        let lookups = || {
            std::fs::read_dir("/proc/self/task")
                .unwrap()
                .filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok())
                .filter(|name| name.starts_with("kw-lookup"))
                .count()
        };
        // Other tests of this process may ask at the same time.
        let begin = std::time::Instant::now();
        while lookups() > 0 {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "a thread is left"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
