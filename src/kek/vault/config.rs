//! The settings of the provider `vault`: which key, where Vault is, and as whom to ask.
//!
//! Owns what fits together in its section. It must never accept plain http to another machine (keys and tokens cross
//! the network), and never hold a secret: files with secrets are named.

use super::names::{name_fault, path_fault};
use super::options::{NAME, OPTIONS};
use crate::error::Result;
use crate::kek::auth::Chosen;
use crate::kek::settings::{Driver, KekConfig};
use crate::kek::web;
use crate::options::Section;
use crate::secret_source::SecretRef;
use std::path::PathBuf;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "Vault",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/vault.md",
    example: "--option vault_address=https://vault.example.org:8200 --option vault_key=mysql --option vault_token_file=/var/lib/mysql-keyring/vault-token --user mysql",
};

/// Where Kubernetes puts a pod's token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// A key of a transit engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultConfig {
    /// The URL of Vault, without a path.
    pub address: String,
    /// The namespace of mounts and login.
    pub namespace: Option<String>,
    /// The path of the transit engine.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// As whom to ask.
    pub login: Login,
    /// The path of the auth method; nothing for a token.
    pub auth_mount: String,
    /// Certificate and key that are shown to the listener.
    pub identity: Option<(PathBuf, SecretRef)>,
    /// Certificates in PEM of those who are trusted, in place of the system's.
    pub ca_file: Option<String>,
    /// The HTTP proxy, `http://HOST:PORT`; `None`: as HTTPS_PROXY and NO_PROXY say.
    pub proxy: Option<String>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one attempt may take, login and all.
    pub attempt_timeout: Duration,
}

/// How a token is come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// It is in a file. It is the operator's: it is never revoked here.
    Token(SecretRef),
    /// With a role's id and its secret.
    AppRole {
        /// The id.
        role_id: String,
        /// Where its secret is.
        secret_id: SecretRef,
    },
    /// With a JWT, `kubernetes` or `jwt`: both ask the same.
    Jwt {
        /// The role; `None`: the auth method's default.
        role: Option<String>,
        /// The file of the JWT.
        file: String,
    },
    /// With the client certificate.
    Cert {
        /// The role; `None`: any that fits.
        role: Option<String>,
    },
}

/// How we log in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Token,
    AppRole,
    Jwt,
    Kubernetes,
    Cert,
}

const WORDS: [(&str, Method); 5] = [
    ("token", Method::Token),
    ("approle", Method::AppRole),
    ("jwt", Method::Jwt),
    ("kubernetes", Method::Kubernetes),
    ("cert", Method::Cert),
];

/// Which methods each member is for.
const MEMBERS: [(&str, &[Method]); 6] = [
    ("token_file", &[Method::Token]),
    ("role_id", &[Method::AppRole]),
    ("secret_id_file", &[Method::AppRole]),
    ("role", &[Method::Jwt, Method::Kubernetes, Method::Cert]),
    ("jwt_file", &[Method::Jwt, Method::Kubernetes]),
    (
        "auth_mount",
        &[
            Method::AppRole,
            Method::Jwt,
            Method::Kubernetes,
            Method::Cert,
        ],
    ),
];

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let auth = Chosen::read(section, &WORDS, &MEMBERS)?;
    let identity = identity(section)?;
    if auth.way == Method::Cert {
        auth.needs("client_certificate", identity.as_ref())?;
    }
    let (address, proxy) = (address(section)?, web::proxy(section)?);
    web::check_way(section, Some(&address), proxy.as_deref())?;
    let config = VaultConfig {
        address,
        namespace: path(section, "namespace")?,
        mount: path(section, "mount")?.unwrap_or_else(|| "transit".into()),
        key: key(section)?,
        login: login(section, &auth)?,
        auth_mount: path(section, "auth_mount")?.unwrap_or_else(|| auth.word.into()),
        identity,
        ca_file: web::absolute_path(section, "ca_file")?,
        proxy,
        connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
        attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
    };
    Ok(vec![KekConfig::new(config)])
}

fn address(section: &Section<'_>) -> Result<String> {
    let address = web::address(section, "address")?.ok_or_else(|| {
        section.mistake(
            "the vault backend has no address",
            format!("{} to https://HOST:8200.", section.to_set("address")),
        )
    })?;
    Ok(address.trim_end_matches('/').into())
}

fn key(section: &Section<'_>) -> Result<String> {
    section.text("key", name_fault)?.ok_or_else(|| {
        section.mistake(
            "the vault backend has no key",
            format!("{} to the name of a transit key.", section.to_set("key")),
        )
    })
}

/// A path, which may end with the slash that Vault shows.
fn path(section: &Section<'_>, member: &str) -> Result<Option<String>> {
    fn bare(text: &str) -> &str {
        text.strip_suffix('/').unwrap_or(text)
    }
    let path = section.text(member, |text| path_fault(bare(text)))?;
    Ok(path.map(|path| bare(&path).into()))
}

fn login(section: &Section<'_>, auth: &Chosen<'_, Method>) -> Result<Login> {
    let role = web::line(section, "role")?;
    Ok(match auth.way {
        Method::Token => Login::Token(auth.secret("token_file")?),
        Method::AppRole => Login::AppRole {
            role_id: auth.needs("role_id", web::line(section, "role_id")?)?,
            secret_id: auth.secret("secret_id_file")?,
        },
        Method::Jwt => Login::Jwt {
            role,
            file: auth.needs("jwt_file", web::absolute_path(section, "jwt_file")?)?,
        },
        Method::Kubernetes => Login::Jwt {
            role: Some(auth.needs("role", role)?),
            file: web::absolute_path(section, "jwt_file")?.unwrap_or_else(|| POD_TOKEN.into()),
        },
        Method::Cert => Login::Cert { role },
    })
}

fn identity(section: &Section<'_>) -> Result<Option<(PathBuf, SecretRef)>> {
    let chain = web::absolute_path(section, "client_certificate")?;
    web::line(section, "client_key_file")?;
    match (chain, section.secret("client_key_file")?) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => Ok(Some((chain.into(), key))),
        _ => Err(section.mistake(
            "of client_certificate and client_key_file one is given without the other",
            "Set both, or leave both out.",
        )),
    }
}

impl VaultConfig {
    /// The key as people and policies name it: namespace, mount, name.
    pub(super) fn key_path(&self) -> String {
        let namespace = self.namespace.iter().map(String::as_str);
        let parts: Vec<&str> = namespace.chain([&*self.mount, &*self.key]).collect();
        parts.join("/")
    }
}

#[cfg(test)]
impl VaultConfig {
    /// The key `team1/transit/mysql`, with a JWT.
    pub(super) fn of_tests() -> VaultConfig {
        VaultConfig {
            address: "https://h:8200".into(),
            namespace: Some("team1".into()),
            mount: "transit".into(),
            key: "mysql".into(),
            login: Login::Jwt {
                role: None,
                file: "/jwt".into(),
            },
            auth_mount: "jwt".into(),
            identity: None,
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

    fn finish(changes: &[(&str, &str)]) -> Result<VaultConfig> {
        let base = [
            ("vault_address", "https://bao.internal:8200/"),
            ("vault_key", "mysql"),
            ("vault_token_file", "/t"),
        ];
        let keks = read_of_tests(&DRIVER, base.iter().chain(changes))?;
        assert_eq!(keks.len(), 1);
        Ok(keks[0].settings_of::<VaultConfig>().unwrap().clone())
    }

    #[test]
    fn complete() {
        let config = finish(&[]).unwrap();
        assert_eq!(config.address, "https://bao.internal:8200");
        assert_eq!(
            (config.mount.as_str(), config.key_path().as_str()),
            ("transit", "transit/mysql")
        );
        assert_eq!(config.login, Login::Token(SecretRef::File("/t".into())));
        let config = finish(&[
            ("vault_token_file", ""),
            ("vault_auth", "kubernetes"),
            ("vault_role", "mysql"),
            ("vault_namespace", "team1/db/"),
            ("vault_mount", "kms/transit"),
            ("vault_auth_mount", "k8s-east"),
            ("vault_ca_file", "/ca"),
        ])
        .unwrap();
        assert_eq!(config.key_path(), "team1/db/kms/transit/mysql");
        assert_eq!(config.auth_mount, "k8s-east");
        let jwt = Login::Jwt {
            role: Some("mysql".into()),
            file: POD_TOKEN.into(),
        };
        assert_eq!(config.login, jwt);
        assert_eq!(config.files(), [PathBuf::from("/ca"), POD_TOKEN.into()]);
        let config = finish(&[
            ("vault_token_file", ""),
            ("vault_auth", "cert"),
            ("vault_client_certificate", "/c"),
            ("vault_client_key_file", "credential:k"),
        ])
        .unwrap();
        assert_eq!(config.login, Login::Cert { role: None });
        assert_eq!(config.auth_mount, "cert");
        assert_eq!(config.secrets(), [&SecretRef::Credential("k".into())]);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        for (changes, sentence) in [
            (&[("vault_address", "")][..], "has no address"),
            (
                &[("vault_address", "http://bao.internal:8200")],
                "clear text",
            ),
            (&[("vault_address", "https://bao/v1")], "not a value for"),
            (&[("vault_address", "bao:8200")], "not a value for"),
            (&[("vault_key", "")], "has no key"),
            (&[("vault_key", "transit/mysql")], "vault_key is not a name"),
            (&[("vault_key", "..")], "vault_key is not a name"),
            (&[("vault_mount", "a//b")], "vault_mount is not a path"),
            (&[("vault_mount", "../sys")], "vault_mount is not a path"),
            (
                &[("vault_namespace", "a b")],
                "vault_namespace is not a path",
            ),
            (&[("vault_auth", "ldap")], "'ldap' is not a value for auth"),
            (&[("vault_token_file", "")], "auth token needs token_file"),
            (&[("vault_token_file", "t")], "neither an absolute path"),
            (&[("vault_role", "x")], "role is given, but auth is token"),
            (
                &[("vault_auth_mount", "x")],
                "auth_mount is given, but auth is token",
            ),
            (
                &[("vault_auth", "jwt")],
                "token_file is given, but auth is jwt",
            ),
            (
                &[("vault_auth", "approle"), ("vault_token_file", "")],
                "auth approle needs role_id",
            ),
            (
                &[
                    ("vault_auth", "approle"),
                    ("vault_token_file", ""),
                    ("vault_role_id", "r"),
                ],
                "auth approle needs secret_id_file",
            ),
            (
                &[("vault_auth", "jwt"), ("vault_token_file", "")],
                "auth jwt needs jwt_file",
            ),
            (
                &[
                    ("vault_auth", "jwt"),
                    ("vault_token_file", ""),
                    ("vault_jwt_file", "x"),
                ],
                "not an absolute path",
            ),
            (
                &[("vault_auth", "kubernetes"), ("vault_token_file", "")],
                "auth kubernetes needs role",
            ),
            (
                &[("vault_auth", "cert"), ("vault_token_file", "")],
                "auth cert needs client_certificate",
            ),
            (
                &[("vault_client_certificate", "/c")],
                "one is given without the other",
            ),
            (
                &[("vault_client_key_file", "/k")],
                "one is given without the other",
            ),
            (&[("vault_ca_file", "ca.pem")], "not an absolute path"),
            (
                &[("vault_proxy", "http://user:secret@proxy")],
                "not a proxy",
            ),
            (
                &[
                    ("vault_address", "http://127.0.0.1:8200"),
                    ("vault_proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
            (&[("vault_connect_timeout", "0")], "not a value for"),
            (&[("vault_attempt_timeout", "x")], "not a value for"),
            (&[("vault_role", "a\nb")], "role is given"),
        ] {
            let message = finish(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
            assert!(!message.contains("secret@"), "{message}");
        }
    }
}
