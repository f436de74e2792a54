//! HTTPS for KEKs in a cloud: one runtime for one operation, TLS with the system's roots, bounded answers.
//!
//! Owns what every cloud's client needs and none should do for itself. It must never leave a thread
//! behind that anybody would have to join, never follow a redirect, and never read an answer without an end.

use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::sys;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;

/// Largest answer in bytes. KMS's have a few thousand.
pub const MAX_ANSWER: usize = 1 << 20;
/// Largest file of certificates in bytes.
const MAX_CERTIFICATES: u64 = 4 << 20;
/// How long the end of an operation waits for a name lookup that it no longer needs.
const GRACE: Duration = Duration::from_secs(1);

/// Runs `work` to its end, for no longer than `attempt` and what is left of `deadline`.
///
/// The runtime has the calling thread only, and one helper for name lookups (the C library's), which ends with
/// it. Where the system's resolver hangs, that helper is left to its own timeout (seconds): nobody waits
/// for it, and it holds nothing.
///
/// # Errors
/// Those of `work`; Unreachable: it took too long.
pub fn run<T>(
    op: &'static str,
    whom: &str,
    deadline: Deadline,
    attempt: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
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
                "{whom} did not answer within {:.1} s",
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
            None => ProxyConfig::from_env(),
            Some(url) => ProxyConfig::all(url).map_err(|e| {
                Error::new(Kind::Config, OP, format!("the proxy '{url}': {e}"))
                    .hint("Use http://HOST:PORT.")
            })?,
        };
        Ok(Https { tls, proxy })
    }

    /// The client.
    pub fn client(&self) -> SharedHttpClient {
        make(self.tls.clone(), Some(self.proxy.clone()))
    }

    /// The client for what is near this machine: metadata services. No proxy.
    pub fn direct_client(&self) -> SharedHttpClient {
        make(self.tls.clone(), None)
    }
}

fn make(tls: TlsContext, proxy: Option<ProxyConfig>) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        let mut builder: ConnectorBuilder =
            Connector::builder().connector_settings(settings.clone());
        builder.set_sleep_impl(components.sleep_impl());
        builder.set_proxy_config(Some(proxy.clone().unwrap_or_else(ProxyConfig::disabled)));
        let connector = builder
            .tls_provider(Provider::rustls(CryptoMode::AwsLc))
            .tls_context(tls.clone())
            .build();
        SharedHttpConnector::new(Bounded(connector))
    })
}

/// Reads an answer's body to its end before anybody looks at it, within [`MAX_ANSWER`].
#[derive(Debug)]
struct Bounded(Connector);

impl HttpConnector for Bounded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            let whole = Limited::new(body, MAX_ANSWER).collect().await;
            let whole = whole.map_err(|e| match e.downcast::<LengthLimitError>() {
                Ok(_) => ConnectorError::user("the answer is longer than 1 MiB".into()),
                Err(e) => ConnectorError::io(e),
            })?;
            *answer.body_mut() = SdkBody::from(whole.to_bytes());
            Ok(answer)
        })
    }
}

/// Reads a file of certificates and checks that each can be used.
fn certificates(path: &Path) -> Result<Vec<u8>> {
    const OP: &str = "read the certificates";
    let shown = format!("'{}'", path.display());
    let io = |e| {
        Error::io(OP, shown.clone(), e)
            .hint("ca_file must be a file in PEM that the account of mysqld can read.")
    };
    let (mut file, _) = sys::open_following(path).map_err(io)?;
    let pem = sys::read_bounded(&mut file, MAX_CERTIFICATES).map_err(io)?;
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
            "nobody",
            deadline,
            Duration::from_millis(50),
            async { std::future::pending().await },
        );
        assert_eq!(result.unwrap_err().kind(), Kind::Unreachable);
        assert!(begin.elapsed() < Duration::from_secs(30));
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
            "localhost",
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
