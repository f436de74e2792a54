//! An application's certificate, and the assertion that is signed with its key (a JSON Web Token, RFC 7523).
//!
//! Owns the reading of both files. It must never sign with a key that is not the certificate's, and never show the key.

use super::config::Application;
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::{RsaKey, jwt};
use crate::os::file;
use crate::os::trusted::{self, Rule};
use crate::secret::{SecretPool, fill_random};
use crate::secret_source::{self, SecretRef, Warnings};
use crate::text::hex;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;
use serde_json::json;
use std::path::Path;
use zeroize::Zeroizing;

const OP: &str = "log in to Azure";
/// Largest file with a certificate in bytes.
const MAX_CERTIFICATE: u64 = 1 << 20;
/// How long an assertion may be used, in seconds.
const LIFE: i64 = 600;

/// Says to `url`, the URL that gives tokens, that it is the application who asks.
pub(super) fn assertion(
    application: &Application,
    url: &str,
    (certificate, key): (&str, &SecretRef),
    pool: &SecretPool,
    warnings: &Warnings,
) -> Result<Zeroizing<String>> {
    let mut told = Vec::new();
    let pem = secret_source::read_warned(pool, OP, key, &mut told)?;
    warnings.add(told);
    let key = RsaKey::from_pem(&pem, OP, &format!("private_key_file: {key}"))?;
    let der = read(certificate)?;
    check_pair(certificate, &der, &key)?;
    sign(application, url, &der, &key, crate::os::unix_seconds())
}

/// The first certificate of the file.
fn read(path: &str) -> Result<CertificateDer<'static>> {
    let mut found = trusted::open(Path::new(path), Rule::Settings, OP)?;
    let pem = file::read_bounded(&mut found.file, MAX_CERTIFICATE)
        .map_err(|e| Error::io(OP, format!("certificate_file '{path}'"), e))?;
    CertificateDer::from_pem_slice(&pem).map_err(|_| {
        unusable(path, "holds no certificate in PEM")
            .hint("It must begin with -----BEGIN CERTIFICATE-----.")
    })
}

fn unusable(path: &str, why: &str) -> Error {
    Error::new(Kind::Config, OP, format!("certificate_file '{path}' {why}"))
}

/// Entra would say no more than that the signature is wrong.
fn check_pair(path: &str, der: &CertificateDer<'_>, key: &RsaKey) -> Result<()> {
    let certificate = ParsedCertificate::try_from(der)
        .map_err(|_| unusable(path, "holds a certificate that can't be read"))?;
    match *certificate.subject_public_key_info() == *key.public_key()? {
        true => Ok(()),
        false => Err(unusable(path, "is not the certificate of the key in private_key_file")
            .hint("Name the two that were made together; the application's certificate must come first. Nothing was sent.")),
    }
}

fn sign(
    application: &Application,
    url: &str,
    der: &CertificateDer<'_>,
    key: &RsaKey,
    now: i64,
) -> Result<Zeroizing<String>> {
    let thumbprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, der);
    let mut id = [0; 16];
    fill_random(&mut id)?;
    let header = json!({"x5t": BASE64URL_NOPAD.encode(thumbprint.as_ref())});
    let claims = json!({
        "aud": url, "iss": application.client_id, "sub": application.client_id, "jti": hex(&id),
        "iat": now, "nbf": now, "exp": now + LIFE,
    });
    jwt(key, &header, &claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::os::unix::fs::PermissionsExt;

    struct Files(tempfile::TempDir);

    impl Files {
        fn write(&self, name: &str, text: &str) -> String {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path.to_str().unwrap().into()
        }
    }

    fn application() -> Application {
        Application {
            authority: "https://login.microsoftonline.com".into(),
            tenant: "t".into(),
            client_id: "c".into(),
        }
    }

    /// A certificate and its key, RSA.
    fn pair() -> (String, String) {
        use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn asserted(certificate: &str, key: &str) -> std::result::Result<String, String> {
        let (pool, warnings) = (SecretPool::new(), Warnings::default());
        let key = SecretRef::File(key.into());
        let text = assertion(
            &application(),
            "https://u/token",
            (certificate, &key),
            &pool,
            &warnings,
        );
        text.map(|text| text.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn an_assertion_names_the_certificate_and_lives_ten_minutes() {
        let files = Files(tempfile::tempdir().unwrap());
        let (certificate, key) = pair();
        let (c, k) = (files.write("c", &certificate), files.write("k", &key));
        let text = asserted(&c, &k).unwrap();
        let part = |i: usize| -> Value {
            let part = text.split('.').nth(i).unwrap();
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
        };
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let thumbprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, &der);
        assert_eq!(part(0)["alg"], "RS256");
        assert_eq!(part(0)["x5t"], BASE64URL_NOPAD.encode(thumbprint.as_ref()));
        let claims = part(1);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("c"), &json!("c")));
        assert_eq!(claims["aud"], "https://u/token");
        assert_eq!(
            claims["exp"].as_i64(),
            claims["nbf"].as_i64().map(|t| t + 600)
        );
        let again = asserted(&c, &k).unwrap();
        assert_ne!(again, text, "the id is another one each time");
    }

    #[test]
    fn what_does_not_belong_together_signs_nothing() {
        let files = Files(tempfile::tempdir().unwrap());
        let ((certificate, key), (_, other)) = (pair(), pair());
        let (c, k) = (files.write("c", &certificate), files.write("k", &key));
        let (other, not) = (files.write("other", &other), files.write("not", "HIDDEN"));
        for (certificate, key, words) in [
            (&c, &other, "is not the certificate of the key"),
            (&not, &k, "holds no certificate in PEM"),
            (&c, &not, "holds no RSA key"),
            (&c, &c, "holds no RSA key"),
        ] {
            let e = asserted(certificate, key).unwrap_err();
            assert!(e.contains(words) && !e.contains("HIDDEN"), "{e}");
        }
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let e = asserted(&files.write("odd", odd), &k).unwrap_err();
        assert!(e.contains("can't be read"), "{e}");
        let open = files.write("open", &certificate);
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
        let e = asserted(&open, &k).unwrap_err();
        assert!(e.contains("everybody can write it"), "{e}");
    }
}
