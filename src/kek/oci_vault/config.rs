//! The settings of the provider `oci_vault`: which key, where its vault is, and as whom to ask.
//!
//! Owns what fits together in its section. It must never accept plain http to another machine (tokens and data keys cross
//! the network), and never hold a secret: the file with a key is named.

use super::names::{federation_endpoint, is_fingerprint, is_ocid, key_fault};
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
    under: "OCI Vault",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/oci-vault.md",
    example: "--option oci_vault_crypto_endpoint=https://bbpexample-crypto.kms.eu-frankfurt-1.oraclecloud.com --option oci_vault_key_ocid=ocid1.key.oc1.eu-frankfurt-1.bbpexample.abtheljexample --user mysql",
};

/// OCI's metadata service.
const METADATA: &str = "http://169.254.169.254";

/// A key in a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OciVaultConfig {
    /// The URL of the vault's cryptographic endpoint, without a path.
    pub crypto_endpoint: String,
    /// The key's OCID.
    pub key_ocid: String,
    /// As whom to ask.
    pub auth: Auth,
    /// Certificates in PEM of those who are trusted, in place of the system's.
    pub ca_file: Option<String>,
    /// The HTTP proxy, `http://HOST:PORT`; `None`: as HTTPS_PROXY and NO_PROXY say.
    pub proxy: Option<String>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one attempt may take, login and all.
    pub attempt_timeout: Duration,
}

/// As whom OCI is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// As the instance itself.
    InstancePrincipal(InstancePrincipal),
    /// As a user.
    UserKey {
        /// The OCID of the tenancy.
        tenancy: String,
        /// The OCID of the user.
        user: String,
        /// The fingerprint of the key.
        fingerprint: String,
        /// Where the key is.
        private_key: SecretRef,
    },
}

/// Where an instance gets its certificate and its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePrincipal {
    pub(super) federation_endpoint: String,
    pub(super) metadata: Metadata,
}

/// As whom we ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    InstancePrincipal,
    UserKey,
}

const WORDS: [(&str, Way); 2] = [
    ("instance_principal", Way::InstancePrincipal),
    ("user_key", Way::UserKey),
];

/// Which way each member is for.
const MEMBERS: [(&str, &[Way]); 6] = [
    ("federation_endpoint", &[Way::InstancePrincipal]),
    ("metadata_url", &[Way::InstancePrincipal]),
    ("tenancy_ocid", &[Way::UserKey]),
    ("user_ocid", &[Way::UserKey]),
    ("fingerprint", &[Way::UserKey]),
    ("private_key_file", &[Way::UserKey]),
];

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let chosen = Chosen::read(section, &WORDS, &MEMBERS)?;
    let (crypto_endpoint, proxy) = (crypto_endpoint(section)?, web::proxy(section)?);
    web::check_way(section, Some(&crypto_endpoint), proxy.as_deref())?;
    let key_ocid = section.text("key_ocid", key_fault)?.ok_or_else(|| {
        section.mistake(
            "the oci_vault backend has no key",
            format!("{} to the OCID of a key.", section.to_set("key_ocid")),
        )
    })?;
    let auth = match chosen.way {
        Way::InstancePrincipal => {
            let federation_endpoint = login_endpoint(section, &crypto_endpoint)?;
            web::check_way(section, Some(&federation_endpoint), proxy.as_deref())?;
            Auth::InstancePrincipal(InstancePrincipal {
                federation_endpoint,
                metadata: Metadata::read(section, "metadata_url", METADATA)?,
            })
        }
        Way::UserKey => user_key(section, &chosen)?,
    };
    let config = OciVaultConfig {
        crypto_endpoint,
        key_ocid,
        auth,
        ca_file: web::absolute_path(section, "ca_file")?,
        proxy,
        connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
        attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
    };
    Ok(vec![KekConfig::new(config)])
}

/// An address without the slash that may stand at its end.
fn address(section: &Section<'_>, member: &str) -> Result<Option<String>> {
    let url = web::address(section, member)?;
    Ok(url.map(|url| url.trim_end_matches('/').into()))
}

fn crypto_endpoint(section: &Section<'_>) -> Result<String> {
    let endpoint = address(section, "crypto_endpoint")?.ok_or_else(|| {
        section.mistake(
            "the oci_vault backend has no crypto_endpoint",
            format!(
                "{} to https://PREFIX-crypto.kms.REGION.oraclecloud.com, as oci kms management vault get shows it.",
                section.to_set("crypto_endpoint")
            ),
        )
    })?;
    match endpoint.contains("-management.kms.") {
        false => Ok(endpoint),
        true => Err(section.no_value(
            "crypto_endpoint",
            &endpoint,
            "That is the vault's management endpoint. Use the cryptographic one: its name has -crypto in it.",
        )),
    }
}

fn login_endpoint(section: &Section<'_>, crypto_endpoint: &str) -> Result<String> {
    let given = address(section, "federation_endpoint")?;
    given
        .or_else(|| federation_endpoint(crypto_endpoint))
        .ok_or_else(|| {
            section.mistake(
                "crypto_endpoint does not say in which region an instance gets its token",
                format!(
                    "{} to https://auth.REGION.oraclecloud.com.",
                    section.to_set("federation_endpoint")
                ),
            )
        })
}

fn user_key(section: &Section<'_>, chosen: &Chosen<'_, Way>) -> Result<Auth> {
    let ocid = |member: &'static str, of_type: &'static str| {
        let fault = |text: &str| {
            (!is_ocid(text, of_type)).then(|| {
                let fault = format!("is not the OCID of a {of_type}");
                (fault, "Use it as ~/.oci/config or the console has it.")
            })
        };
        chosen.needs(member, section.text(member, fault)?)
    };
    let fingerprint = |text: &str| {
        (!is_fingerprint(text)).then(|| {
            let fault = "is not the fingerprint of a key".to_string();
            (
                fault,
                "Use it as ~/.oci/config or the console has it: 16 bytes, aa:bb:….",
            )
        })
    };
    Ok(Auth::UserKey {
        tenancy: ocid("tenancy_ocid", "tenancy")?,
        user: ocid("user_ocid", "user")?,
        fingerprint: chosen.needs("fingerprint", section.text("fingerprint", fingerprint)?)?,
        private_key: chosen.secret("private_key_file")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::drivers::read_of_tests;
    use crate::kek::settings::Settings;

    const ENDPOINT: &str = "https://cnqrnkn6aagiu-crypto.kms.ap-seoul-1.oraclecloud.com";
    const KEY: &str = "ocid1.key.oc1.ap-seoul-1.cnqrnkn6aagiu.abuwgljrwmtn";
    const USER: [(&str, &str); 5] = [
        ("oci_vault_auth", "user_key"),
        ("oci_vault_tenancy_ocid", "ocid1.tenancy.oc1..aaaa"),
        ("oci_vault_user_ocid", "ocid1.user.oc1..bbbb"),
        (
            "oci_vault_fingerprint",
            "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34",
        ),
        ("oci_vault_private_key_file", "/k.pem"),
    ];

    fn finish(changes: &[(&str, &str)]) -> Result<OciVaultConfig> {
        let base = [
            ("oci_vault_crypto_endpoint", ENDPOINT),
            ("oci_vault_key_ocid", KEY),
        ];
        let keks = read_of_tests(&DRIVER, base.iter().chain(changes))?;
        assert_eq!(keks.len(), 1);
        Ok(keks[0].settings_of::<OciVaultConfig>().unwrap().clone())
    }

    fn of_user(changes: &[(&str, &str)]) -> Result<OciVaultConfig> {
        finish(&[&USER[..], changes].concat())
    }

    #[test]
    fn complete() {
        let config = finish(&[]).unwrap();
        assert_eq!(config.crypto_endpoint, ENDPOINT);
        assert_eq!(config.key_ocid, KEY);
        let Auth::InstancePrincipal(at) = &config.auth else {
            panic!("{config:?}");
        };
        assert_eq!(
            (at.federation_endpoint.as_str(), at.metadata.base()),
            ("https://auth.ap-seoul-1.oraclecloud.com", METADATA)
        );
        assert!(config.secrets().is_empty() && config.files().is_empty());
        let here = [
            ("oci_vault_crypto_endpoint", "http://127.0.0.1:1/"),
            (
                "oci_vault_federation_endpoint",
                "https://login.example.org/",
            ),
            ("oci_vault_metadata_url", "http://127.0.0.1:2"),
            ("oci_vault_ca_file", "/ca"),
        ];
        let config = finish(&here).unwrap();
        let Auth::InstancePrincipal(at) = &config.auth else {
            panic!("{config:?}");
        };
        assert_eq!(at.federation_endpoint, "https://login.example.org");
        assert_eq!(at.metadata.base(), "http://127.0.0.1:2");
        assert_eq!(config.crypto_endpoint, "http://127.0.0.1:1");
        assert_eq!(config.files(), [std::path::PathBuf::from("/ca")]);
        let config = of_user(&[("oci_vault_private_key_file", "credential:k")]).unwrap();
        assert_eq!(config.secrets(), [&SecretRef::Credential("k".into())]);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        for (changes, sentence) in [
            (
                &[("oci_vault_crypto_endpoint", "")][..],
                "has no crypto_endpoint",
            ),
            (
                &[("oci_vault_crypto_endpoint", "http://h.oraclecloud.com")],
                "clear text",
            ),
            (
                &[("oci_vault_crypto_endpoint", "https://h/20180608")],
                "Use https://HOST",
            ),
            (
                &[(
                    "oci_vault_crypto_endpoint",
                    "https://x-management.kms.ap-seoul-1.oraclecloud.com",
                )],
                "management endpoint",
            ),
            (
                &[("oci_vault_crypto_endpoint", "https://kms.example.org")],
                "in which region",
            ),
            (&[("oci_vault_key_ocid", "")], "has no key"),
            (&[("oci_vault_key_ocid", "mysql")], "not the OCID of a key"),
            (
                &[("oci_vault_key_ocid", "ocid1.vault.oc1.x.y.z")],
                "the OCID of a vault",
            ),
            (&[("oci_vault_auth", "api_key")], "not a value for auth"),
            (
                &[("oci_vault_user_ocid", "ocid1.user.oc1..x")],
                "user_ocid is given, but auth is instance_principal",
            ),
            (
                &[("oci_vault_federation_endpoint", "http://login.example.org")],
                "clear text",
            ),
            (
                &[("oci_vault_metadata_url", "http://10.0.0.1")],
                "link-local",
            ),
            (
                &[
                    ("oci_vault_federation_endpoint", "http://127.0.0.1:1"),
                    ("oci_vault_proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
            (
                &[
                    ("oci_vault_crypto_endpoint", "http://127.0.0.1:1"),
                    ("oci_vault_proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
            (
                &[("oci_vault_proxy", "http://user:secret@proxy")],
                "not a proxy",
            ),
            (&[("oci_vault_ca_file", "ca.pem")], "not an absolute path"),
            (&[("oci_vault_connect_timeout", "0")], "not a value for"),
            (&[("oci_vault_attempt_timeout", "x")], "not a value for"),
        ] {
            let message = finish(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
            assert!(!message.contains("secret@"), "{message}");
        }
        for (changes, sentence) in [
            (
                &[("oci_vault_tenancy_ocid", "")][..],
                "user_key needs tenancy_ocid",
            ),
            (&[("oci_vault_user_ocid", "")], "user_key needs user_ocid"),
            (
                &[("oci_vault_fingerprint", "")],
                "user_key needs fingerprint",
            ),
            (
                &[("oci_vault_private_key_file", "")],
                "user_key needs private_key_file",
            ),
            (
                &[("oci_vault_tenancy_ocid", "ocid1.user.oc1..x")],
                "not the OCID of a tenancy",
            ),
            (&[("oci_vault_user_ocid", "me")], "not the OCID of a user"),
            (&[("oci_vault_fingerprint", "20:3b")], "not the fingerprint"),
            (
                &[("oci_vault_private_key_file", "k.pem")],
                "neither an absolute path",
            ),
            (
                &[("oci_vault_metadata_url", "http://127.0.0.1")],
                "metadata_url is given, but auth is user_key",
            ),
        ] {
            let message = of_user(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
        }
    }
}
