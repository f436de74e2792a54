//! TLS by rustls: whom a client trusts, and as whom it shows itself.
//!
//! Owns the reading of `ca_file` and of client certificates. It must never trust less than a whole chain and the
//! host's name, and never go on without a client certificate that is configured.

use crate::error::{Error, Kind, Result};
use crate::os::file;
use crate::os::trusted::{self, Rule};
use crate::secret::SecretPool;
use crate::secret_source::{self, SecretRef};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};

const OP: &str = "read the certificates";

/// Largest file of certificates in bytes.
const MAX_CERTIFICATES: u64 = 4 << 20;

/// A client certificate: files in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate, and those between it and its authority.
    pub chain: &'a Path,
    /// The private key, which is a secret.
    pub key: &'a SecretRef,
}

/// What a client does for TLS. The system's certificates are read when they are first needed, for as long as it lives.
pub(super) struct Tls {
    /// The authorities that are named; `None`: the system's.
    named: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Arc<dyn ResolvesClientCert>>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(ca_file: Option<&Path>, identity: Option<Identity<'_>>) -> Result<Tls> {
        Ok(Tls {
            named: ca_file.map(authorities).transpose()?,
            identity: identity.map(|i| certified(&i)).transpose()?,
            config: OnceLock::new(),
        })
    }

    /// rustls's configuration.
    pub(super) fn config(&self) -> std::result::Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(config) = self.config.get() {
            return Ok(config.clone());
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots());
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => config.with_client_cert_resolver(identity.clone()),
        };
        Ok(self.config.get_or_init(|| Arc::new(config)).clone())
    }

    /// Who is trusted: those that are named and nobody else, or else the system's.
    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        // Files of the system that can't be read or hold something else are passed by, as everywhere; who is not
        // trusted then is refused.
        roots.add_parsable_certificates(match &self.named {
            Some(named) => named.clone(),
            None => rustls_native_certs::load_native_certs().certs,
        });
        roots
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of a file in PEM; none of them is looked at.
fn certificates(mut file: File, path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>> {
    let pem = file::read_bounded(&mut file, MAX_CERTIFICATES).map_err(|e| io(path, option, e))?;
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|e| unusable(path, option, format!("it is not PEM: {e}")))?;
    if found.is_empty() {
        return Err(unusable(path, option, "no certificate is in it".into()));
    }
    Ok(found)
}

fn io(path: &Path, option: &str, e: std::io::Error) -> Error {
    Error::io(OP, format!("'{}'", path.display()), e).hint(format!(
        "{option} must be a file in PEM that the account of mysqld can read."
    ))
}

fn unusable(path: &Path, option: &str, why: String) -> Error {
    let context = format!("'{}': {why}", path.display());
    Error::new(Kind::Config, OP, context).hint(format!(
        "{option} must hold certificates in PEM (-----BEGIN CERTIFICATE-----)."
    ))
}

/// Authorities, of which each can be used.
fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    const OPTION: &str = "ca_file";
    // Whoever can exchange it decides to whom secrets are sent.
    let file = trusted::open(path, Rule::Settings, OP)?.file;
    let found = certificates(file, path, OPTION)?;
    let mut roots = RootCertStore::empty();
    for (i, certificate) in found.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|e| {
            unusable(
                path,
                OPTION,
                format!("certificate {} is unusable: {e}", i + 1),
            )
        })?;
    }
    Ok(found)
}

/// A client certificate with the key that belongs to it.
fn certified(identity: &Identity<'_>) -> Result<Arc<dyn ResolvesClientCert>> {
    const OP: &str = "read the key of the client certificate";
    const CHAIN: &str = "client_certificate";
    let (file, _) =
        file::open_following(identity.chain).map_err(|e| io(identity.chain, CHAIN, e))?;
    let chain = certificates(file, identity.chain, CHAIN)?;
    let secret = secret_source::read(&SecretPool::new(), OP, identity.key)?;
    let bad = |why: String| {
        Error::new(Kind::Config, OP, format!("{} {why}", identity.key))
            .hint("It must be the private key, in PEM and without a passphrase, of the first certificate in the chain. It is not shown.")
    };
    // The library's own text could quote what it read.
    let key = PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|_| bad("is not a private key in PEM".into()))?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => bad(format!(
            "does not belong to the certificate in '{}'",
            identity.chain.display()
        )),
        _ => bad("is not a key that TLS can use".into()),
    })?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_checked_before_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let message = |text: &str| {
            std::fs::write(&path, text).unwrap();
            authorities(&path).unwrap_err().to_string()
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
        assert_eq!(authorities(&path).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn a_named_authority_is_the_only_one_and_nobody_else_may_write_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let key = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
        std::fs::write(&path, key.cert.pem()).unwrap();
        assert_eq!(Tls::new(Some(&path), None).unwrap().roots().len(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(authorities(&path).unwrap_err().kind(), Kind::Permission);
    }
}
