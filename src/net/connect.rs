//! Connections: names, TCP, the proxy, TLS.
//!
//! Owns the way from a host's name to bytes that only it can read. It must never take another way than the one that
//! the configuration says: where a proxy or TLS fails, there is no connection.

use super::error::{Cause, ProxyFault};
use super::find;
use super::proxy::Proxies;
use super::tls::Tls;
use http::Uri;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// Most bytes of an answer's status and headers.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// What is read and written on a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
pub(super) type Boxed = Box<dyn Stream>;

/// A connection, and how to speak on it.
pub(super) struct Connection {
    pub(super) stream: Boxed,
    /// A proxy reads the request: it gets the whole URL, and this header.
    pub(super) forward: Option<Option<HeaderValue>>,
}

/// Connects to `target`, whose scheme is http or https. TCP gets at most `limit`, all addresses of the name together.
pub(super) async fn connect(
    target: &Uri,
    tls: Option<&Tls>,
    proxies: &Proxies,
    limit: Duration,
) -> Result<Connection, Cause> {
    let secure = target.scheme_str() == Some("https");
    if secure && tls.is_none() {
        return Err(NO_TLS);
    }
    let Some(proxy) = proxies.before(target) else {
        let stream = tcp(target, limit).await?;
        let stream = if secure {
            wrap(stream, bare_host(target), tls).await?
        } else {
            stream
        };
        return Ok(Connection {
            stream,
            forward: None,
        });
    };
    let shown = host_and_port(proxy.uri());
    let fail = |fault| Cause::Proxy {
        proxy: shown.clone(),
        fault,
    };
    let stream = to_proxy(&proxy, tls, limit)
        .await
        .map_err(|cause| fail(ProxyFault::Away(Box::new(cause))))?;
    if !secure {
        return Ok(Connection {
            stream,
            forward: Some(proxy.basic_auth().cloned()),
        });
    }
    let through = tunnel(stream, target, proxy.basic_auth())
        .await
        .map_err(fail)?;
    Ok(Connection {
        stream: wrap(through, bare_host(target), tls).await?,
        forward: None,
    })
}

async fn to_proxy(proxy: &Intercept, tls: Option<&Tls>, limit: Duration) -> Result<Boxed, Cause> {
    let stream = tcp(proxy.uri(), limit).await?;
    match proxy.uri().scheme_str() {
        Some("https") => wrap(stream, bare_host(proxy.uri()), tls).await,
        _ => Ok(stream),
    }
}

/// TCP to the host of `to`. IPv6 and IPv4 are tried side by side, as the HTTP library does (RFC 8305).
async fn tcp(to: &Uri, limit: Duration) -> Result<Boxed, Cause> {
    let mut connector = HttpConnector::new_with_resolver(Lookup);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(limit));
    match connector.call(to.clone()).await {
        Ok(stream) => Ok(Box::new(stream.into_inner())),
        Err(e) => Err(match find::<LookupFailed>(&e) {
            Some(lookup) => Cause::Dns {
                name: lookup.name.clone(),
                source: copied(&lookup.source),
            },
            None => Cause::Connect(match find::<io::Error>(&e) {
                Some(io) => copied(io),
                None => io::Error::other(e),
            }),
        }),
    }
}

/// An error of the system that stands in another one.
fn copied(e: &io::Error) -> io::Error {
    match e.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(e.kind(), e.to_string()),
    }
}

/// Asks the proxy for a way to the host (CONNECT, RFC 9110 9.3.6).
async fn tunnel(
    stream: Boxed,
    target: &Uri,
    authorization: Option<&HeaderValue>,
) -> Result<Boxed, ProxyFault> {
    let away = |e| ProxyFault::Away(Box::new(Cause::Protocol(e)));
    let to = host_and_port(target);
    let bad = |_| ProxyFault::Away(Box::new(Cause::BadUrl("its host is no host")));
    let mut request = http::Request::connect(&to)
        .header(HOST, &to)
        .body(Empty::<Bytes>::new())
        .map_err(bad)?;
    if let Some(value) = authorization {
        request
            .headers_mut()
            .insert(PROXY_AUTHORIZATION, value.clone());
    }
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(away)?;
    tokio::spawn(connection.with_upgrades());
    let answer = sender.send_request(request).await.map_err(away)?;
    if !answer.status().is_success() {
        return Err(ProxyFault::Refused(answer.status().as_u16()));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(away)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

const NO_TLS: Cause = Cause::BadUrl("only http is spoken with this service");

/// Connects to `target` by TLS, never through a proxy. `name` is what the server's certificate must have.
pub(super) async fn connect_tls(
    target: &Uri,
    name: &str,
    tls: Option<&Tls>,
    limit: Duration,
) -> Result<Boxed, Cause> {
    if tls.is_none() {
        return Err(NO_TLS);
    }
    wrap(tcp(target, limit).await?, name, tls).await
}

/// The host of a URL, an IPv6 address without its brackets.
fn bare_host(of: &Uri) -> &str {
    let host = of.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// TLS with the host of this name.
async fn wrap(stream: Boxed, name: &str, tls: Option<&Tls>) -> Result<Boxed, Cause> {
    let tls = tls.ok_or(NO_TLS)?;
    let config = tls.config().map_err(Cause::Tls)?;
    let name = ServerName::try_from(name.to_string())
        .map_err(|_| Cause::BadUrl("its host is no name that a certificate can have"))?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(e) => Err(match find::<rustls::Error>(&e) {
            Some(tls) => Cause::Tls(tls.clone()),
            None => Cause::Connect(e),
        }),
    }
}

/// Host and port of a URL, for messages and for proxies.
pub(super) fn host_and_port(uri: &Uri) -> String {
    let standard = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let port = uri.port_u16().unwrap_or(standard);
    format!("{}:{port}", uri.host().unwrap_or_default())
}

/// Name lookups of the C library; their failure keeps its type and the name.
#[derive(Clone, Debug)]
struct Lookup;

/// A name could not be resolved.
#[derive(Debug)]
struct LookupFailed {
    name: String,
    source: io::Error,
}

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name '{}' could not be resolved", self.name)
    }
}

impl std::error::Error for LookupFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Service<Name> for Lookup {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = LookupFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, LookupFailed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LookupFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(all) => Ok(all.collect::<Vec<_>>().into_iter()),
                Err(source) => Err(LookupFailed {
                    name: name.as_str().into(),
                    source,
                }),
            }
        })
    }
}
