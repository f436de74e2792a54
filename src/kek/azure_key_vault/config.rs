//! The settings of the provider `azure_key_vault`: which key, where it is, and as whom to ask.
//!
//! Owns what fits together in its section. It must never accept plain http to another machine (keys and tokens cross the
//! network), never send an assertion or a secret to anybody but Microsoft's authorities or this machine, and never hold a
//! secret: files with secrets are named.

use super::names::{self, Resource, VERSION};
use super::options::{NAME, OPTIONS};
use crate::error::Result;
use crate::kek::auth::Chosen;
use crate::kek::cloud::Metadata;
use crate::kek::settings::{Driver, KekConfig};
use crate::kek::web;
use crate::net::host;
use crate::options::Section;
use crate::secret_source::SecretRef;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "Azure Key Vault",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/azure-key-vault.md",
    example: "--option azure_key_vault_vault_url=https://example.vault.azure.net --option azure_key_vault_key=mysql --user mysql",
};

/// Azure's own metadata service.
const METADATA: &str = "http://169.254.169.254";

/// A key in a vault or a Managed HSM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureKeyVaultConfig {
    /// The URL of the vault, without a path.
    pub(super) vault_url: String,
    /// What tokens are asked for.
    pub(super) resource: &'static Resource,
    /// The vault is asked under a name that is not Azure's: its own answers name the key by Azure's.
    pub(super) renamed: bool,
    /// The key's name.
    pub(super) key: String,
    /// The version that wraps; `None`: the current one.
    pub(super) key_version: Option<[u8; VERSION]>,
    /// How it wraps.
    pub(super) algorithm: Algorithm,
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

/// How a key wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA-OAEP with SHA-256 and MGF1 with SHA-256 (RFC 8017).
    RsaOaep256,
    /// AES key wrap with 256 bits (RFC 3394).
    A256Kw,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Algorithm::RsaOaep256 => "RSA-OAEP-256",
            Algorithm::A256Kw => "A256KW",
        }
    }

    /// Whether a data key that it wrapped has this many bytes. The lengths tell the algorithms apart.
    pub(super) fn gives(self, bytes: usize) -> bool {
        match self {
            // Keys of 2,048, 3,072 and 4,096 bits.
            Algorithm::RsaOaep256 => matches!(bytes, 256 | 384 | 512),
            Algorithm::A256Kw => bytes == 40,
        }
    }
}

/// How a token is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// The identity of the machine, by its metadata service.
    Machine {
        client_id: Option<String>,
        metadata: Metadata,
    },
    /// The identity of an app of App Service or Container Apps, by the service that its environment names.
    AppService { client_id: Option<String> },
    /// A token of another issuer, as Kubernetes gives one to a pod. What is `None` the environment says.
    Workload {
        tenant: Option<String>,
        client_id: Option<String>,
        authority: Option<String>,
        token_file: Option<String>,
    },
    /// An application, by its certificate.
    Certificate {
        application: Application,
        certificate: String,
        key: SecretRef,
    },
    /// An application, by its secret.
    Secret {
        application: Application,
        secret: SecretRef,
    },
}

/// An application in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Application {
    pub(super) authority: String,
    pub(super) tenant: String,
    pub(super) client_id: String,
}

/// Whose token it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Machine,
    AppService,
    Workload,
    Certificate,
    Secret,
}

const WORDS: [(&str, Way); 5] = [
    ("managed_identity", Way::Machine),
    ("app_service", Way::AppService),
    ("workload_identity", Way::Workload),
    ("certificate", Way::Certificate),
    ("secret", Way::Secret),
];

/// Which ways each member is for.
const MEMBERS: [(&str, &[Way]); 7] = [
    ("tenant_id", &[Way::Workload, Way::Certificate, Way::Secret]),
    ("authority", &[Way::Workload, Way::Certificate, Way::Secret]),
    ("federated_token_file", &[Way::Workload]),
    ("certificate_file", &[Way::Certificate]),
    ("private_key_file", &[Way::Certificate]),
    ("client_secret_file", &[Way::Secret]),
    ("metadata_url", &[Way::Machine]),
];

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let auth = Chosen::read(section, &WORDS, &MEMBERS)?;
    let (vault_url, proxy) = (vault_url(section)?, web::proxy(section)?);
    let (resource, renamed) = resource(section, &vault_url)?;
    web::check_way(section, Some(&vault_url), proxy.as_deref())?;
    let authority = authority(section)?;
    web::check_way(section, authority.as_deref(), proxy.as_deref())?;
    let config = AzureKeyVaultConfig {
        vault_url,
        resource,
        renamed,
        key: key(section)?,
        key_version: key_version(section)?,
        algorithm: algorithm(section, resource)?,
        login: login(section, &auth, authority, resource)?,
        ca_file: web::absolute_path(section, "ca_file")?,
        proxy,
        connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
        attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
    };
    Ok(vec![KekConfig::new(config)])
}

fn vault_url(section: &Section<'_>) -> Result<String> {
    let url = web::address(section, "vault_url")?.ok_or_else(|| {
        section.mistake(
            "the azure_key_vault backend has no vault_url",
            format!(
                "{} to https://NAME.vault.azure.net.",
                section.to_set("vault_url")
            ),
        )
    })?;
    Ok(url.trim_end_matches('/').into())
}

/// What tokens are for, and whether the vault has another name here than at Azure. A token is sent to who is asked: it must
/// be for that one only.
fn resource(section: &Section<'_>, vault_url: &str) -> Result<(&'static Resource, bool)> {
    let named = match web::line(section, "resource")? {
        None => None,
        Some(text) => Some(Resource::named(&text).ok_or_else(|| {
            section.no_value(
                "resource",
                &text,
                "Use https://vault.azure.net or https://managedhsm.azure.net, or that of a sovereign cloud.",
            )
        })?),
    };
    let of_host = host(vault_url).and_then(Resource::of_host);
    match (of_host, named) {
        (Some(of_host), Some(named)) if of_host != named => Err(section.mistake(
            format!("the host of vault_url is one of {}, but resource is {}", of_host.url, named.url),
            "Leave resource out: it follows from the host.",
        )),
        (Some(of_host), _) => Ok((of_host, false)),
        (None, Some(named)) => Ok((named, true)),
        (None, None) => Err(section.mistake(
            "the host of vault_url is that of no vault and no Managed HSM",
            format!(
                "Use https://NAME.vault.azure.net or https://NAME.managedhsm.azure.net, or that of a sovereign cloud. For one of another name, as a private endpoint may have: {} to what its tokens are for.",
                section.to_set("resource")
            ),
        )),
    }
}

fn key(section: &Section<'_>) -> Result<String> {
    let fault = |text: &str| {
        (!names::is_key(text)).then(|| {
            (
                "is not the name of a key as Azure has it".into(),
                "Use 1 to 127 letters, digits and '-'. A version goes into key_version.",
            )
        })
    };
    section.text("key", fault)?.ok_or_else(|| {
        section.mistake(
            "the azure_key_vault backend has no key",
            format!("{} to the name of a key.", section.to_set("key")),
        )
    })
}

fn key_version(section: &Section<'_>) -> Result<Option<[u8; VERSION]>> {
    let fault = |text: &str| {
        names::version(text).is_none().then(|| {
            (
                "is not the version of a key as Azure has it".into(),
                "Use the 32 hexadecimal digits at the end of the key's identifier, or leave it out for the current version.",
            )
        })
    };
    let text = section.text("key_version", fault)?;
    Ok(text.and_then(|text| names::version(&text)))
}

fn algorithm(section: &Section<'_>, resource: &Resource) -> Result<Algorithm> {
    let words = [Algorithm::RsaOaep256, Algorithm::A256Kw].map(|a| (a.name(), a));
    let hint = "Use RSA-OAEP-256 or A256KW. Others are too weak, or not for keys.";
    let chosen = section.choice("algorithm", &words, hint)?;
    match chosen.unwrap_or(Algorithm::RsaOaep256) {
        Algorithm::A256Kw if !resource.hsm => Err(section.mistake(
            "algorithm is A256KW, but vault_url is that of a vault: only a Managed HSM has AES keys",
            "Use RSA-OAEP-256 (leave algorithm out), or a key in a Managed HSM.",
        )),
        algorithm => Ok(algorithm),
    }
}

fn authority(section: &Section<'_>) -> Result<Option<String>> {
    let Some(url) = web::address(section, "authority")? else {
        return Ok(None);
    };
    let bare = url.trim_end_matches('/');
    match names::is_authority(bare) {
        true => Ok(Some(bare.into())),
        false => Err(section.no_value(
            "authority",
            &url,
            "Use https://login.microsoftonline.com, .us, https://login.chinacloudapi.cn or https://login.partner.microsoftonline.cn: it gets what proves who we are.",
        )),
    }
}

fn login(
    section: &Section<'_>,
    auth: &Chosen<'_, Way>,
    authority: Option<String>,
    resource: &Resource,
) -> Result<Login> {
    let (tenant, client_id) = (tenant(section)?, client_id(section)?);
    let application = || {
        Ok(Application {
            authority: authority
                .clone()
                .unwrap_or_else(|| resource.authority.into()),
            tenant: auth.needs("tenant_id", tenant.clone())?,
            client_id: auth.needs("client_id", client_id.clone())?,
        })
    };
    Ok(match auth.way {
        Way::Machine => Login::Machine {
            client_id,
            metadata: Metadata::read(section, "metadata_url", METADATA)?,
        },
        Way::AppService => Login::AppService { client_id },
        Way::Workload => Login::Workload {
            tenant,
            client_id,
            authority,
            token_file: web::absolute_path(section, "federated_token_file")?,
        },
        Way::Certificate => Login::Certificate {
            application: application()?,
            certificate: auth.needs(
                "certificate_file",
                web::absolute_path(section, "certificate_file")?,
            )?,
            key: auth.secret("private_key_file")?,
        },
        Way::Secret => Login::Secret {
            application: application()?,
            secret: auth.secret("client_secret_file")?,
        },
    })
}

fn tenant(section: &Section<'_>) -> Result<Option<String>> {
    section.text("tenant_id", |text| {
        (!names::is_tenant(text)).then(|| {
            (
                "is not a tenant as Microsoft Entra ID has it".into(),
                "Use its id (az account show --query tenantId), or one of its domains.",
            )
        })
    })
}

fn client_id(section: &Section<'_>) -> Result<Option<String>> {
    section.text("client_id", |text| {
        (!names::is_guid(text)).then(|| {
            (
                "is not a client id".into(),
                "Use the application (client) id, 32 hexadecimal digits in five groups; not the object id, not the name.",
            )
        })
    })
}

impl AzureKeyVaultConfig {
    /// The account's own name: of the vault or the HSM; `NAME` where the host does not tell.
    pub(super) fn account(&self) -> &str {
        let host = host(&self.vault_url).unwrap_or_default();
        match self.renamed {
            true => "NAME",
            false => host.split('.').next().unwrap_or_default(),
        }
    }

    /// A version of the key as people know it.
    pub(super) fn identifier(&self, version: &[u8; VERSION]) -> String {
        format!(
            "{}/keys/{}/{}",
            self.vault_url,
            self.key,
            crate::text::hex(version)
        )
    }
}

#[cfg(test)]
impl AzureKeyVaultConfig {
    /// The key `mysql` of the vault `kv1`, as the machine.
    pub(super) fn of_tests() -> AzureKeyVaultConfig {
        tests::finish(&[]).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::drivers::read_of_tests;
    use crate::kek::settings::Settings;
    use std::path::PathBuf;

    const GUID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    pub(super) fn finish(changes: &[(&str, &str)]) -> Result<AzureKeyVaultConfig> {
        let base = [
            ("azure_key_vault_vault_url", "https://kv1.vault.azure.net/"),
            ("azure_key_vault_key", "mysql"),
        ];
        let keks = read_of_tests(&DRIVER, base.iter().chain(changes))?;
        assert_eq!(keks.len(), 1);
        Ok(keks[0]
            .settings_of::<AzureKeyVaultConfig>()
            .unwrap()
            .clone())
    }

    /// Changes by the members' names.
    fn with(changes: &[(&str, &str)]) -> Result<AzureKeyVaultConfig> {
        let long: Vec<_> = changes
            .iter()
            .map(|(member, value)| (format!("{NAME}_{member}"), *value))
            .collect();
        let long: Vec<_> = long.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        finish(&long)
    }

    #[test]
    fn complete() {
        let config = finish(&[]).unwrap();
        assert_eq!(config.vault_url, "https://kv1.vault.azure.net");
        assert_eq!(config.resource.url, "https://vault.azure.net");
        assert_eq!((config.account(), config.renamed), ("kv1", false));
        assert_eq!(config.algorithm, Algorithm::RsaOaep256);
        assert!(
            matches!(&config.login, Login::Machine { client_id: None, metadata } if metadata.base() == METADATA)
        );
        let config = with(&[
            ("vault_url", "https://kms.managedhsm.usgovcloudapi.net"),
            ("algorithm", "A256KW"),
            ("key_version", "0123456789ABCDEF0123456789abcdef"),
            ("auth", "certificate"),
            ("tenant_id", "contoso.onmicrosoft.com"),
            ("client_id", GUID),
            ("certificate_file", "/c"),
            ("private_key_file", "credential:k"),
            ("ca_file", "/ca"),
        ])
        .unwrap();
        assert_eq!(config.key_version.unwrap()[..2], [0x01, 0x23]);
        let Login::Certificate { application, .. } = &config.login else {
            panic!("{config:?}");
        };
        assert_eq!(application.authority, "https://login.microsoftonline.us");
        assert_eq!(config.secrets(), [&SecretRef::Credential("k".into())]);
        assert_eq!(config.files(), [PathBuf::from("/ca"), "/c".into()]);
        assert_eq!(
            config.identifier(&config.key_version.unwrap()),
            "https://kms.managedhsm.usgovcloudapi.net/keys/mysql/0123456789abcdef0123456789abcdef"
        );
        let config = with(&[
            ("auth", "workload_identity"),
            ("federated_token_file", "/t"),
        ])
        .unwrap();
        assert_eq!(config.files(), [PathBuf::from("/t")]);
        // A private endpoint under another name, and this machine.
        for url in ["https://kv.internal", "http://127.0.0.1:8080"] {
            let config = with(&[("vault_url", url), ("resource", "https://vault.azure.net/")]);
            assert!(config.unwrap().renamed, "{url}");
        }
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let secret = |changes: &[(&'static str, &'static str)]| {
            let all = [
                ("auth", "secret"),
                ("tenant_id", GUID),
                ("client_id", GUID),
                ("client_secret_file", "/s"),
            ];
            with(&[&all, changes].concat())
        };
        assert!(secret(&[]).is_ok());
        for (changes, sentence) in [
            (&[("vault_url", "")][..], "has no vault_url"),
            (&[("vault_url", "http://kv1.vault.azure.net")], "clear text"),
            (
                &[("vault_url", "https://kv1.vault.azure.net/keys")],
                "not a value for",
            ),
            (&[("vault_url", "kv1")], "not a value for"),
            (&[("vault_url", "https://kv.internal")], "that of no vault"),
            (&[("vault_url", "http://127.0.0.1:1")], "that of no vault"),
            (
                &[("resource", "https://management.azure.com")],
                "not a value for",
            ),
            (
                &[("resource", "https://managedhsm.azure.net")],
                "but resource is https://managedhsm.azure.net",
            ),
            (&[("key", "")], "has no key"),
            (&[("key", "mysql/0123")], "is not the name of a key"),
            (&[("key_version", "1")], "is not the version of a key"),
            (
                &[("key_version", "0123456789abcdef0123456789abcdeg")],
                "is not the version",
            ),
            (
                &[("algorithm", "RSA1_5")],
                "'RSA1_5' is not a value for algorithm",
            ),
            (
                &[("algorithm", "A256KW")],
                "only a Managed HSM has AES keys",
            ),
            (&[("auth", "cli")], "'cli' is not a value for auth"),
            (
                &[("tenant_id", GUID)],
                "tenant_id is given, but auth is managed_identity",
            ),
            (&[("client_id", "mysql")], "client_id is not a client id"),
            (&[("metadata_url", "http://10.0.0.1")], "not a value for"),
            (&[("ca_file", "ca.pem")], "not an absolute path"),
            (&[("proxy", "http://user:secret@proxy")], "not a proxy"),
            (&[("connect_timeout", "0")], "not a value for"),
            (&[("attempt_timeout", "x")], "not a value for"),
            (
                &[
                    ("auth", "app_service"),
                    ("metadata_url", "http://169.254.1.1"),
                ],
                "metadata_url is given",
            ),
            (
                &[("auth", "workload_identity"), ("federated_token_file", "t")],
                "not an absolute path",
            ),
            (
                &[("auth", "certificate")],
                "auth certificate needs tenant_id",
            ),
            (
                &[("auth", "certificate"), ("tenant_id", GUID)],
                "needs client_id",
            ),
            (
                &[
                    ("auth", "certificate"),
                    ("tenant_id", GUID),
                    ("client_id", GUID),
                ],
                "needs certificate_file",
            ),
            (
                &[
                    ("auth", "certificate"),
                    ("tenant_id", GUID),
                    ("client_id", GUID),
                    ("certificate_file", "/c"),
                ],
                "needs private_key_file",
            ),
        ] {
            let message = with(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
            assert!(!message.contains("secret@"), "{message}");
        }
        for (changes, sentence) in [
            (
                &[("client_secret_file", "")][..],
                "auth secret needs client_secret_file",
            ),
            (
                &[("client_secret_file", "HIDDEN")],
                "neither an absolute path",
            ),
            (&[("tenant_id", "a/b")], "tenant_id is not a tenant"),
            (
                &[("authority", "https://login.example.org")],
                "not a value for",
            ),
            (
                &[("authority", "http://login.microsoftonline.com")],
                "clear text",
            ),
            (
                &[("certificate_file", "/c")],
                "certificate_file is given, but auth is secret",
            ),
            (
                &[
                    ("authority", "http://127.0.0.1:1"),
                    ("proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
        ] {
            let message = secret(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
            assert!(!message.contains("HIDDEN"), "{message}");
        }
    }
}
