//! The settings of the provider `gcp_kms`: which key, where Cloud KMS is, and as whom to ask.
//!
//! Owns what fits together in its section. It must never accept plain http to another machine (keys and tokens cross
//! the network), and never hold a secret: files with secrets are named. Nothing of Google's environment variables is read.

use super::key::{self, KeyName};
use super::options::{NAME, OPTIONS};
use crate::error::Result;
use crate::kek::auth::Chosen;
use crate::kek::cloud::Metadata;
use crate::kek::settings::{Driver, KekConfig};
use crate::kek::web;
use crate::options::Section;
use crate::secret_source::SecretRef;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "Google Cloud KMS",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/gcp-kms.md",
    example: "--option gcp_kms_key=projects/PROJECT/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring --user mysql",
};

/// Cloud KMS for everybody.
const ENDPOINT: &str = "https://cloudkms.googleapis.com";
/// The metadata server of Compute Engine, GKE, Cloud Run.
const METADATA: &str = "http://169.254.169.254";

/// A key in Cloud KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpKmsConfig {
    /// The key.
    pub(super) key: KeyName,
    /// The URL of Cloud KMS, without a path.
    pub(super) endpoint: String,
    /// As whom to ask.
    pub(super) login: Login,
    /// Certificates in PEM of those who are trusted, in place of the system's.
    pub(super) ca_file: Option<String>,
    /// The HTTP proxy, `http://HOST:PORT`; `None`: as HTTPS_PROXY and NO_PROXY say.
    pub(super) proxy: Option<String>,
    /// How long a connection may take.
    pub(super) connect_timeout: Duration,
    /// How long one attempt may take, login and all.
    pub(super) attempt_timeout: Duration,
}

/// How a token is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Of the service account that the machine, pod or container has, from its metadata server.
    Metadata(Metadata),
    /// Of an identity that somebody else vouches for: the file says how (an `external_account`). It is no secret.
    Federation(String),
    /// Of a service account, by its key.
    ServiceAccount(SecretRef),
}

/// Whose token it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Metadata,
    Federation,
    ServiceAccount,
}

const WORDS: [(&str, Way); 3] = [
    ("metadata", Way::Metadata),
    ("federation", Way::Federation),
    ("service_account", Way::ServiceAccount),
];

/// Which ways each member is for.
const MEMBERS: [(&str, &[Way]); 2] = [
    ("credentials_file", &[Way::Federation, Way::ServiceAccount]),
    ("metadata_url", &[Way::Metadata]),
];

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let endpoint = web::address(section, "endpoint")?.unwrap_or_else(|| ENDPOINT.into());
    let proxy = web::proxy(section)?;
    web::check_way(section, Some(&endpoint), proxy.as_deref())?;
    let config = GcpKmsConfig {
        key: key(section)?,
        endpoint: endpoint.trim_end_matches('/').into(),
        login: login(section)?,
        ca_file: web::absolute_path(section, "ca_file")?,
        proxy,
        connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
        attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
    };
    Ok(vec![KekConfig::new(config)])
}

fn key(section: &Section<'_>) -> Result<KeyName> {
    let name = section.text("key", key::fault)?;
    name.as_deref().and_then(KeyName::parse).ok_or_else(|| {
        section.mistake(
            "the gcp_kms backend has no key",
            format!(
                "{} to projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY.",
                section.to_set("key")
            ),
        )
    })
}

fn login(section: &Section<'_>) -> Result<Login> {
    let auth = Chosen::read(section, &WORDS, &MEMBERS)?;
    Ok(match auth.way {
        Way::Metadata => Login::Metadata(Metadata::read(section, "metadata_url", METADATA)?),
        Way::Federation => Login::Federation(auth.needs(
            "credentials_file",
            web::absolute_path(section, "credentials_file")?,
        )?),
        Way::ServiceAccount => Login::ServiceAccount(auth.secret("credentials_file")?),
    })
}

#[cfg(test)]
impl GcpKmsConfig {
    /// The key `keyring` of the ring `mysql`, by federation.
    pub(super) fn of_tests() -> GcpKmsConfig {
        let key = "projects/p/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring";
        GcpKmsConfig {
            key: KeyName::parse(key).unwrap(),
            endpoint: ENDPOINT.into(),
            login: Login::Federation("/google.json".into()),
            ca_file: None,
            proxy: None,
            connect_timeout: Duration::from_secs(1),
            attempt_timeout: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::drivers::read_of_tests;
    use crate::kek::settings::Settings;
    use std::path::PathBuf;

    const KEY: &str = "projects/p/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring";

    fn finish(changes: &[(&str, &str)]) -> Result<GcpKmsConfig> {
        let base = [("gcp_kms_key", KEY)];
        let keks = read_of_tests(&DRIVER, base.iter().chain(changes))?;
        assert_eq!(keks.len(), 1);
        Ok(keks[0].settings_of::<GcpKmsConfig>().unwrap().clone())
    }

    #[test]
    fn complete() {
        let config = finish(&[]).unwrap();
        assert_eq!(config.key.as_str(), KEY);
        assert_eq!(config.endpoint, ENDPOINT);
        assert!(matches!(&config.login, Login::Metadata(m) if m.base() == METADATA));
        assert!(config.secrets().is_empty());
        let config = finish(&[
            ("gcp_kms_endpoint", "https://cloudkms-db.p.googleapis.com/"),
            ("gcp_kms_auth", "federation"),
            ("gcp_kms_credentials_file", "/etc/mysql/google.json"),
            ("gcp_kms_ca_file", "/ca"),
        ])
        .unwrap();
        assert_eq!(config.endpoint, "https://cloudkms-db.p.googleapis.com");
        assert_eq!(
            config.login,
            Login::Federation("/etc/mysql/google.json".into())
        );
        assert_eq!(
            config.files(),
            ["/ca", "/etc/mysql/google.json"].map(PathBuf::from)
        );
        assert!(config.secrets().is_empty());
        let config = finish(&[
            ("gcp_kms_auth", "service_account"),
            ("gcp_kms_credentials_file", "credential:google"),
        ])
        .unwrap();
        assert_eq!(config.secrets(), [&SecretRef::Credential("google".into())]);
        let config = finish(&[("gcp_kms_metadata_url", "http://127.0.0.1:8080/")]).unwrap();
        assert!(matches!(&config.login, Login::Metadata(m) if m.base() == "http://127.0.0.1:8080"));
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let version = format!("{KEY}/cryptoKeyVersions/1");
        for (changes, sentence) in [
            (&[("gcp_kms_key", "")][..], "has no key"),
            (
                &[("gcp_kms_key", "mysql")],
                "gcp_kms_key is not the name of a key",
            ),
            (
                &[("gcp_kms_key", &version)],
                "gcp_kms_key names a version of a key",
            ),
            (
                &[("gcp_kms_endpoint", "http://cloudkms.googleapis.com")],
                "clear text",
            ),
            (
                &[("gcp_kms_endpoint", "https://h/v1")],
                "not a value for gcp_kms_endpoint",
            ),
            (
                &[("gcp_kms_auth", "gcloud")],
                "'gcloud' is not a value for auth",
            ),
            (
                &[("gcp_kms_credentials_file", "/k")],
                "credentials_file is given, but auth is metadata",
            ),
            (
                &[
                    ("gcp_kms_auth", "federation"),
                    ("gcp_kms_metadata_url", "http://127.0.0.1"),
                ],
                "metadata_url is given, but auth is federation",
            ),
            (
                &[("gcp_kms_auth", "federation")],
                "auth federation needs credentials_file",
            ),
            (
                &[
                    ("gcp_kms_auth", "federation"),
                    ("gcp_kms_credentials_file", "credential:x"),
                ],
                "not an absolute path",
            ),
            (
                &[("gcp_kms_auth", "service_account")],
                "auth service_account needs credentials_file",
            ),
            (
                &[
                    ("gcp_kms_auth", "service_account"),
                    ("gcp_kms_credentials_file", "{\"private_key\":\"HIDDEN\"}"),
                ],
                "neither an absolute path",
            ),
            (
                &[("gcp_kms_metadata_url", "http://metadata.google.internal")],
                "not a value for gcp_kms_metadata_url",
            ),
            (&[("gcp_kms_ca_file", "ca.pem")], "not an absolute path"),
            (
                &[("gcp_kms_proxy", "http://user:HIDDEN@proxy")],
                "not a proxy",
            ),
            (
                &[
                    ("gcp_kms_endpoint", "http://127.0.0.1:8080"),
                    ("gcp_kms_proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
            (&[("gcp_kms_connect_timeout", "0")], "not a value for"),
            (&[("gcp_kms_attempt_timeout", "x")], "not a value for"),
        ] {
            let message = finish(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
            assert!(!message.contains("HIDDEN"), "{message}");
        }
    }
}
