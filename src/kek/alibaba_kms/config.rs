//! The settings of the provider `alibaba_kms`: which key, where KMS is, and as whom to ask.
//!
//! Owns what fits together in its section. It must never accept plain http to another machine (KMS answers with data
//! keys), and never hold a secret: files with secrets are named.

use super::ecs;
use super::key::KeyName;
use super::names::Text;
use super::options::{NAME, OPTIONS};
use super::sts::Oidc;
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
    under: "Alibaba Cloud KMS",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/alibaba-kms.md",
    example: "--option alibaba_kms_key_id=alias/mysql --option alibaba_kms_region=cn-hangzhou --user mysql",
};

/// A KEK in Alibaba Cloud KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlibabaKmsConfig {
    /// The key.
    pub(super) key: KeyName,
    /// The region, where one is known.
    pub(super) region: Option<String>,
    /// The URL of KMS, without a path.
    pub(super) endpoint: String,
    /// As whom to ask.
    pub(super) auth: Auth,
    /// Certificates in PEM of those who are trusted, in place of the system's.
    pub(super) ca_file: Option<String>,
    /// The HTTP proxy, `http://HOST:PORT`; `None`: as HTTPS_PROXY and NO_PROXY say.
    pub(super) proxy: Option<String>,
    /// How long a connection may take.
    pub(super) connect_timeout: Duration,
    /// How long one attempt may take, credentials and all.
    pub(super) attempt_timeout: Duration,
}

/// How credentials are come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// The RAM role of the instance.
    EcsRamRole {
        /// Its name; `None`: the metadata service is asked.
        role: Option<String>,
        /// The metadata service.
        metadata: Metadata,
    },
    /// A RAM role for a token.
    Oidc(Oidc),
    /// An access key.
    AccessKey(SecretRef),
}

/// Whose access key it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    EcsRamRole,
    Oidc,
    AccessKey,
}

const WORDS: [(&str, Way); 3] = [
    ("ecs_ram_role", Way::EcsRamRole),
    ("oidc", Way::Oidc),
    ("access_key", Way::AccessKey),
];

/// Which way each member is for.
const MEMBERS: [(&str, &[Way]); 7] = [
    ("role_name", &[Way::EcsRamRole]),
    ("metadata_url", &[Way::EcsRamRole]),
    ("role_arn", &[Way::Oidc]),
    ("oidc_provider_arn", &[Way::Oidc]),
    ("oidc_token_file", &[Way::Oidc]),
    ("sts_endpoint", &[Way::Oidc]),
    ("credentials_file", &[Way::AccessKey]),
];

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let key = key(section)?;
    let region = region(section, &key)?;
    let (endpoint, proxy) = (
        endpoint(section, "endpoint", "kms", region.as_deref())?,
        web::proxy(section)?,
    );
    web::check_way(section, Some(&endpoint), proxy.as_deref())?;
    let auth = auth(section, region.as_deref())?;
    if let Auth::Oidc(oidc) = &auth {
        web::check_way(section, Some(&oidc.endpoint), proxy.as_deref())?;
    }
    let config = AlibabaKmsConfig {
        key,
        region,
        endpoint,
        auth,
        ca_file: web::absolute_path(section, "ca_file")?,
        proxy,
        connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
        attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
    };
    Ok(vec![KekConfig::new(config)])
}

fn key(section: &Section<'_>) -> Result<KeyName> {
    let fault = |text: &str| {
        let fault = "is not the name of a key in Alibaba Cloud KMS".to_string();
        let hint = "Use its id (key-…, or a UUID), its ARN (acs:kms:REGION:ACCOUNT:key/ID), or alias/NAME, as aliyun kms ListKeys and ListAliases show them.";
        KeyName::parse(text).is_none().then_some((fault, hint))
    };
    let text = section.text("key_id", fault)?;
    text.as_deref().and_then(KeyName::parse).ok_or_else(|| {
        section.mistake(
            "the alibaba_kms backend has no key",
            format!("{} to a symmetric key.", section.to_set("key_id")),
        )
    })
}

/// A text that is checked before it gets anywhere.
fn named(section: &Section<'_>, member: &str, kind: Text) -> Result<Option<String>> {
    section.text(member, |text| Some((kind.fault(text)?, "Correct it.")))
}

fn region(section: &Section<'_>, key: &KeyName) -> Result<Option<String>> {
    let of_key = key.region();
    match (named(section, "region", Text::Region)?, of_key) {
        (Some(region), Some(of_key)) if region != of_key => Err(section.mistake(
            format!("the key is in {of_key}, but region is {region}"),
            "Leave region out, or name a key of that region.",
        )),
        (Some(region), _) => Ok(Some(region)),
        (None, of_key) => Ok(of_key.map(String::from)),
    }
}

/// The URL in `member`, else the public one of `service` in the region.
fn endpoint(
    section: &Section<'_>,
    member: &str,
    service: &str,
    region: Option<&str>,
) -> Result<String> {
    match (web::address(section, member)?, region) {
        (Some(url), _) => Ok(url.trim_end_matches('/').into()),
        (None, Some(region)) => Ok(format!("https://{service}.{region}.aliyuncs.com")),
        (None, None) => Err(section.mistake(
            format!("the alibaba_kms backend has neither region nor {member}"),
            format!(
                "{} to the region of the key, as cn-hangzhou.",
                section.to_set("region")
            ),
        )),
    }
}

fn auth(section: &Section<'_>, region: Option<&str>) -> Result<Auth> {
    let chosen = Chosen::read(section, &WORDS, &MEMBERS)?;
    Ok(match chosen.way {
        Way::EcsRamRole => Auth::EcsRamRole {
            role: named(section, "role_name", Text::RoleName)?,
            metadata: Metadata::read(section, "metadata_url", ecs::ADDRESS)?,
        },
        Way::Oidc => Auth::Oidc(Oidc {
            role_arn: named(section, "role_arn", Text::RoleArn)?,
            provider_arn: named(section, "oidc_provider_arn", Text::ProviderArn)?,
            token_file: web::absolute_path(section, "oidc_token_file")?,
            endpoint: endpoint(section, "sts_endpoint", "sts", region)?,
        }),
        Way::AccessKey => Auth::AccessKey(chosen.secret("credentials_file")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::drivers::read_of_tests;
    use crate::kek::settings::Settings;
    use std::path::PathBuf;

    const ID: &str = "key-hzz630494463ejqjx0001";
    const ARN: &str = "acs:kms:cn-hangzhou:113511544585:key/key-hzz630494463ejqjx0001";

    fn finish(changes: &[(&str, &str)]) -> Result<AlibabaKmsConfig> {
        let base = [
            ("alibaba_kms_key_id", ID),
            ("alibaba_kms_region", "cn-hangzhou"),
        ];
        let keks = read_of_tests(&DRIVER, base.iter().chain(changes))?;
        assert_eq!(keks.len(), 1);
        let config = keks[0].settings_of::<AlibabaKmsConfig>();
        Ok(config.unwrap().clone())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = finish(&[]).unwrap();
        assert_eq!(config.endpoint, "https://kms.cn-hangzhou.aliyuncs.com");
        let Auth::EcsRamRole { role, metadata } = &config.auth else {
            panic!("another auth");
        };
        assert_eq!((role, metadata.base()), (&None, "http://100.100.100.200"));
        let times = (config.connect_timeout, config.attempt_timeout);
        assert_eq!(times, (Duration::from_secs(3), Duration::from_secs(5)));
        assert!(config.secrets().is_empty() && config.files().is_empty());
        // The ARN names the region.
        let config = finish(&[("alibaba_kms_key_id", ARN), ("alibaba_kms_region", "")]).unwrap();
        assert_eq!(config.region.as_deref(), Some("cn-hangzhou"));
        assert_eq!(config.key.id(), Some(ID));
    }

    #[test]
    fn complete() {
        let config = finish(&[
            ("alibaba_kms_region", ""),
            (
                "alibaba_kms_endpoint",
                "https://kst-hzz1.cryptoservice.kms.aliyuncs.com/",
            ),
            ("alibaba_kms_auth", "access_key"),
            ("alibaba_kms_credentials_file", "credential:ali"),
            ("alibaba_kms_ca_file", "/ca.pem"),
            ("alibaba_kms_proxy", "http://proxy:3128"),
        ])
        .unwrap();
        assert_eq!(
            config.endpoint,
            "https://kst-hzz1.cryptoservice.kms.aliyuncs.com"
        );
        assert_eq!(config.secrets(), [&SecretRef::Credential("ali".into())]);
        assert_eq!(config.files(), [PathBuf::from("/ca.pem")]);
        let config = finish(&[
            ("alibaba_kms_auth", "oidc"),
            ("alibaba_kms_role_arn", "acs:ram::113511544585:role/keyring"),
            (
                "alibaba_kms_oidc_provider_arn",
                "acs:ram::113511544585:oidc-provider/ack-rrsa-c1",
            ),
            ("alibaba_kms_oidc_token_file", "/t"),
        ])
        .unwrap();
        let Auth::Oidc(oidc) = &config.auth else {
            panic!("another auth");
        };
        assert_eq!(oidc.endpoint, "https://sts.cn-hangzhou.aliyuncs.com");
        assert_eq!(config.files(), [PathBuf::from("/t")]);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let oidc = ("alibaba_kms_auth", "oidc");
        for (changes, sentence) in [
            (&[("alibaba_kms_key_id", "")][..], "has no key"),
            (
                &[("alibaba_kms_key_id", "mysql")],
                "alibaba_kms_key_id is not the name of a key",
            ),
            (&[("alibaba_kms_region", "")], "neither region nor endpoint"),
            (
                &[
                    ("alibaba_kms_region", ""),
                    ("alibaba_kms_endpoint", "https://h"),
                    oidc,
                ],
                "neither region nor sts_endpoint",
            ),
            (
                &[("alibaba_kms_region", "Hangzhou")],
                "alibaba_kms_region is not a name like cn-hangzhou",
            ),
            (
                &[("alibaba_kms_region", "x.evil.org")],
                "alibaba_kms_region has a character",
            ),
            (
                &[
                    ("alibaba_kms_key_id", ARN),
                    ("alibaba_kms_region", "cn-beijing"),
                ],
                "the key is in cn-hangzhou, but region is cn-beijing",
            ),
            (
                &[("alibaba_kms_endpoint", "http://kms.example.org")],
                "clear text",
            ),
            (
                &[("alibaba_kms_endpoint", "https://h/path")],
                "not a value for",
            ),
            (
                &[oidc, ("alibaba_kms_sts_endpoint", "http://sts.example.org")],
                "clear text",
            ),
            (
                &[("alibaba_kms_auth", "password")],
                "'password' is not a value for auth",
            ),
            (
                &[("alibaba_kms_auth", "access_key")],
                "auth access_key needs credentials_file",
            ),
            (
                &[
                    ("alibaba_kms_auth", "access_key"),
                    ("alibaba_kms_credentials_file", "LTAI5tHIDDEN"),
                ],
                "neither an absolute path",
            ),
            (
                &[("alibaba_kms_credentials_file", "/c")],
                "credentials_file is given, but auth is ecs_ram_role",
            ),
            (
                &[oidc, ("alibaba_kms_role_name", "r")],
                "role_name is given, but auth is oidc",
            ),
            (
                &[oidc, ("alibaba_kms_metadata_url", "http://127.0.0.1")],
                "metadata_url is given, but auth is oidc",
            ),
            (
                &[("alibaba_kms_role_arn", "acs:ram::1:role/x")],
                "role_arn is given, but auth is ecs_ram_role",
            ),
            (
                &[("alibaba_kms_sts_endpoint", "https://h")],
                "sts_endpoint is given, but auth is ecs_ram_role",
            ),
            (
                &[("alibaba_kms_role_name", "../x")],
                "alibaba_kms_role_name has a character",
            ),
            (
                &[oidc, ("alibaba_kms_role_arn", "keyring")],
                "alibaba_kms_role_arn is not an ARN",
            ),
            (
                &[oidc, ("alibaba_kms_oidc_provider_arn", "acs:ram::1:role/x")],
                "alibaba_kms_oidc_provider_arn is not an ARN",
            ),
            (
                &[oidc, ("alibaba_kms_oidc_token_file", "token")],
                "not an absolute path",
            ),
            (
                &[("alibaba_kms_metadata_url", "http://10.0.0.1")],
                "link-local",
            ),
            (&[("alibaba_kms_ca_file", "ca.pem")], "not an absolute path"),
            (
                &[("alibaba_kms_proxy", "http://user:secret@proxy")],
                "not a proxy",
            ),
            (
                &[
                    ("alibaba_kms_endpoint", "http://127.0.0.1:8080"),
                    ("alibaba_kms_proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
            (
                &[
                    oidc,
                    ("alibaba_kms_sts_endpoint", "http://127.0.0.1:8080"),
                    ("alibaba_kms_proxy", "http://proxy:3128"),
                ],
                "the proxy is another machine",
            ),
            (&[("alibaba_kms_connect_timeout", "0")], "not a value for"),
            (&[("alibaba_kms_attempt_timeout", "x")], "not a value for"),
        ] {
            let message = finish(changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{changes:?}: {message}");
            assert!(
                !message.contains("secret@") && !message.contains("HIDDEN"),
                "{message}"
            );
        }
    }
}
