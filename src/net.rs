//! HTTPS for KEKs in a cloud: one runtime for one operation, TLS with the system's roots, bounded answers.
//!
//! Owns what every cloud's client needs and none should do for itself. It must never leave a thread
//! behind that anybody would have to join, never follow a redirect, and never read an answer without an end.

use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::file;
use crate::os::identity;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Largest answer in bytes. KMS's have a few thousand.
pub const MAX_ANSWER: usize = 1 << 20;
/// Largest file of certificates in bytes.
const MAX_CERTIFICATES: u64 = 4 << 20;
/// How long the end of an operation waits for a name lookup that it no longer needs.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `work` to its end, for no longer than `attempt` and what is left of `deadline`. `whom` names who was asked
/// last, for the message when it takes too long.
///
/// The runtime has the calling thread only, and one helper for name lookups (the C library's), which ends with
/// it. Where the system's resolver hangs, that helper is left to its own timeout (seconds): nobody waits
/// for it, and it holds nothing.
///
/// # Errors
/// Those of `work`; Unreachable: it took too long.
pub fn run<T>(
    op: &'static str,
    whom: impl Fn() -> String,
    deadline: Deadline,
    attempt: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    if identity::acting() {
        // A name lookup is a thread, which may hang: see kek::away.
        let why = "the network was about to be asked in mysqld itself while it is root";
        return Err(Error::new(Kind::Internal, op, why));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_name("kw-lookup")
        .build()
        .map_err(|e| Error::io(op, "a runtime for network calls", e))?;
    let limit = attempt.min(deadline.remaining());
    let result = runtime.block_on(async { tokio::time::timeout(limit, work).await });
    runtime.shutdown_timeout(GRACE.min(deadline.remaining()));
    result.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Unreachable,
            op,
            format!(
                "{} did not answer within {:.1} s",
                whom(),
                limit.as_secs_f64()
            ),
        )
        .hint("Check network, firewall, name resolution and proxy; it is tried again while there is time."))
    })
}

/// What an HTTP client is made of.
#[derive(Clone, Debug)]
pub struct Https {
    tls: TlsContext,
    proxy: ProxyConfig,
}

impl Https {
    /// A client that trusts the system's certificates and those in `ca_file`, and goes through `proxy`
    /// (`None`: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say).
    ///
    /// # Errors
    /// Config and those of reading a file: `ca_file` or `proxy` are unusable.
    pub fn new(ca_file: Option<&str>, proxy: Option<&str>) -> Result<Https> {
        const OP: &str = "set up HTTPS";
        let mut trusted = TrustStore::default();
        if let Some(path) = ca_file {
            trusted.add_pem_certificate(certificates(Path::new(path))?);
        }
        let tls = TlsContext::builder()
            .with_trust_store(trusted)
            .build()
            .map_err(|e| Error::new(Kind::Config, OP, e.to_string()))?;
        let proxy = match proxy {
            None => {
                check_environment()?;
                ProxyConfig::from_env()
            }
            Some(url) => ProxyConfig::all(url).map_err(|e| {
                Error::new(Kind::Config, OP, format!("the proxy '{url}': {e}"))
                    .hint("Use http://HOST:PORT.")
            })?,
        };
        Ok(Https { tls, proxy })
    }

    /// The client.
    pub fn client(&self) -> SharedHttpClient {
        make(self.tls.clone(), self.proxy.clone())
    }

    /// One request to what is near this machine, a metadata service, without a proxy: status and body of the answer.
    /// Connecting and answering may take `limit` each. The texts must have been checked: see
    /// [`crate::config::aws_names`].
    ///
    /// # Errors
    /// That of the connection.
    pub async fn ask_near(
        &self,
        method: &'static str,
        url: &str,
        headers: &[(&'static str, String)],
        limit: Duration,
    ) -> std::result::Result<(u16, Vec<u8>), BoxError> {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(limit)
            .read_timeout(limit)
            .build();
        let sleep = Some(SharedAsyncSleep::new(TokioSleep::new()));
        let connector = connector(&settings, sleep, &self.tls, None);
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_method(method)?;
        request.set_uri(url)?;
        for (name, value) in headers {
            request.headers_mut().try_insert(*name, value.clone())?;
        }
        let answer = connector.call(request).await?;
        let body = answer.body().bytes().unwrap_or_default().to_vec();
        Ok((answer.status().as_u16(), body))
    }
}

fn make(tls: TlsContext, proxy: ProxyConfig) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        let bounded = connector(settings, components.sleep_impl(), &tls, Some(proxy.clone()));
        SharedHttpConnector::new(bounded)
    })
}

fn connector(
    settings: &HttpConnectorSettings,
    sleep: Option<SharedAsyncSleep>,
    tls: &TlsContext,
    proxy: Option<ProxyConfig>,
) -> Bounded {
    let mut builder: ConnectorBuilder = Connector::builder().connector_settings(settings.clone());
    builder.set_sleep_impl(sleep);
    builder.set_proxy_config(Some(proxy.unwrap_or_else(ProxyConfig::disabled)));
    let connector = builder
        .tls_provider(Provider::rustls(CryptoMode::AwsLc))
        .tls_context(tls.clone())
        .build_with_resolver(Lookup);
    Bounded(connector)
}

/// Name lookups of the C library, as the connector's own; their failure keeps its type and the name.
#[derive(Clone, Debug)]
struct Lookup;

/// A name could not be resolved.
#[derive(Debug)]
pub struct LookupFailed {
    name: String,
    source: std::io::Error,
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

impl ResolveDns for Lookup {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            let addresses = found.map(|all| all.map(|a| a.ip()).collect());
            addresses.map_err(|source| {
                ResolveDnsError::new(LookupFailed {
                    name: name.into(),
                    source,
                })
            })
        })
    }
}

/// A request that was made and got no answer: its host, and the cause as source.
#[derive(Debug)]
pub struct NoAnswer {
    host: String,
    source: BoxError,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer of {}", self.host)
    }
}

impl std::error::Error for NoAnswer {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// An answer longer than [`MAX_ANSWER`].
#[derive(Debug)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is longer than 1 MiB")
    }
}

impl std::error::Error for TooLong {}

/// Reads an answer's body to its end before anybody looks at it, within [`MAX_ANSWER`]; an error names the host.
#[derive(Debug)]
struct Bounded(Connector);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (_, authority) = split_url(request.uri()).unwrap_or_default();
        let host = authority.to_string();
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let located = |source| Box::new(NoAnswer { host, source });
            let mut answer = match answer.await {
                Ok(answer) => answer,
                // The kind is what retries of the SDK go by; they are off.
                Err(e) if e.is_timeout() => {
                    return Err(ConnectorError::timeout(located(e.into_source())));
                }
                Err(e) => return Err(ConnectorError::io(located(e.into_source()))),
            };
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            let whole = Limited::new(body, MAX_ANSWER).collect().await;
            let whole = whole.map_err(|e| match e.downcast::<LengthLimitError>() {
                Ok(_) => ConnectorError::user(located(TooLong.into())),
                Err(e) => ConnectorError::io(located(e)),
            })?;
            *answer.body_mut() = SdkBody::from(whole.to_bytes());
            Ok(answer)
        })
    }
}

/// Scheme and authority of a URL.
pub fn split_url(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    (!authority.is_empty() && !url.contains(char::is_whitespace)).then_some((scheme, authority))
}

/// The proxies of the environment: what the HTTP library does not understand it would pass by without a word.
fn check_environment() -> Result<()> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
    for name in names.into_iter().flat_map(|n| [n.into(), n.to_lowercase()]) {
        let Some(value) = std::env::var_os(&name).filter(|v| !v.is_empty()) else {
            continue;
        };
        let fits = value.to_str().is_some_and(is_proxy);
        if !fits {
            // Not shown: it may hold a password.
            return Err(Error::new(
                Kind::Config,
                "set up HTTPS",
                format!("{name} in the environment is not the URL of a proxy"),
            )
            .hint("Use http://HOST:PORT or http://USER:PASSWORD@HOST:PORT with nothing around it (a carriage return at its end comes from a file with Windows line ends), or take it out."));
        }
    }
    Ok(())
}

/// `http://` or `https://` and a host, with a port, user and password as one likes.
fn is_proxy(url: &str) -> bool {
    let scheme_first = split_url(url).is_some_and(|(s, _)| ["http", "https"].contains(&s));
    let bare = !url.contains("://") && !url.starts_with('/');
    (scheme_first || bare) && url.len() <= 2048 && url.bytes().all(|b| b.is_ascii_graphic())
}

/// Reads a file of certificates and checks that each can be used.
fn certificates(path: &Path) -> Result<Vec<u8>> {
    const OP: &str = "read the certificates";
    let shown = format!("'{}'", path.display());
    let io = |e| {
        Error::io(OP, shown.clone(), e)
            .hint("ca_file must be a file in PEM that the account of mysqld can read.")
    };
    let (mut file, _) = file::open_following(path).map_err(io)?;
    let pem = file::read_bounded(&mut file, MAX_CERTIFICATES).map_err(io)?;
    let bad = |why: String| {
        Error::new(Kind::Config, OP, format!("{shown}: {why}"))
            .hint("ca_file must hold certificates in PEM (-----BEGIN CERTIFICATE-----).")
    };
    let mut roots = RootCertStore::empty();
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| bad(format!("it is not PEM: {e}")))?;
        roots
            .add(certificate)
            .map_err(|e| bad(format!("certificate {} is unusable: {e}", count + 1)))?;
        count += 1;
    }
    if count == 0 {
        return Err(bad("no certificate is in it".into()));
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn an_operation_ends_in_time_and_is_unreachable() {
        let begin = Instant::now();
        let deadline = Deadline::after(Duration::from_secs(60));
        let result = run::<()>(
            "ask",
            || "nobody".into(),
            deadline,
            Duration::from_millis(50),
            async { std::future::pending().await },
        );
        assert_eq!(result.unwrap_err().kind(), Kind::Unreachable);
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn proxies_of_the_environment_are_urls() {
        for good in [
            "http://proxy:3128",
            "https://u:p%40@proxy",
            "proxy.example.org:80",
        ] {
            assert!(is_proxy(good), "{good}");
        }
        for bad in [
            "http://proxy:3128\r",
            "http://",
            "socks5://proxy",
            "http://a b",
            "/proxy",
        ] {
            assert!(!is_proxy(bad), "{bad:?}");
        }
    }

    #[test]
    fn certificates_are_checked_before_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let message = |text: &str| {
            std::fs::write(&path, text).unwrap();
            certificates(&path).unwrap_err().to_string()
        };
        assert!(message("").contains("no certificate"));
        assert!(
            message("-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")
                .contains("not PEM")
        );
        assert!(
            message("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
                .contains("unusable")
        );
        std::fs::remove_file(&path).unwrap();
        assert_eq!(certificates(&path).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn no_thread_is_left() {
        // Other tests of this process come and go: what counts are threads of ours by their name.
        let lookups = || {
            std::fs::read_dir("/proc/self/task")
                .unwrap()
                .filter_map(|t| std::fs::read_to_string(t.unwrap().path().join("comm")).ok())
                .filter(|name| name.starts_with("kw-lookup"))
                .count()
        };
        let deadline = Deadline::after(Duration::from_secs(60));
        let found = run(
            "look up",
            || "localhost".into(),
            deadline,
            Duration::from_secs(20),
            async {
                // Found or not: not every machine knows the name.
                let _ = tokio::net::lookup_host("localhost:1").await;
                Ok(lookups())
            },
        );
        assert_eq!(found.unwrap(), 1);
        assert_eq!(lookups(), 0);
    }
}
