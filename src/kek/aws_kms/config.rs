//! The options of the backend `aws_kms`: which key, where KMS is, and as whom to ask.
//!
//! Credentials have no place here: they come from the environment that AWS's SDKs share. It must never
//! accept a plain http endpoint that is not on this machine: KMS answers with data keys.

use super::context;
use super::key::KmsKey;
use super::names::{Text, is_region};
use super::options::{NAME, OPTIONS};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::randomness::{Random, Source};
use crate::kek::settings::{Driver, KekConfig, Settings};
use crate::kek::{Kek, aws_kms, make, web};
use crate::options::Section;
use crate::secret_source::SecretRef;
use crate::text::shorten;
use std::path::PathBuf;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "AWS KMS",
    options: OPTIONS,
    instead: &[],
    read,
    page: "guide/aws-kms.md",
    example: "--option aws_kms_key_id=alias/mysql --option aws_kms_region=eu-central-1 --user mysql",
};

/// Most keys that `previous_key_ids` names.
const MAX_PREVIOUS: usize = 8;

/// A KEK in AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKmsConfig {
    /// The key.
    pub key: KmsKey,
    /// It is one of `previous_key_ids`: it opens, but never wraps.
    pub previous: bool,
    /// The region; `None`: the key's, where its ARN tells, else as the SDKs find it.
    pub region: Option<String>,
    /// KMS's endpoint, instead of the region's public one.
    pub endpoint_url: Option<String>,
    /// The endpoint of STS, for every call to it: `role_arn`, a profile's roles, web identity.
    pub sts_endpoint_url: Option<String>,
    /// The profile in the shared configuration and credentials files.
    pub profile: Option<String>,
    /// The shared credentials file, instead of the one that the environment names.
    pub credentials_file: Option<SecretRef>,
    /// The role to assume with these credentials, and its external id.
    pub role: Option<(String, Option<String>)>,
    /// FIPS endpoints.
    pub use_fips: bool,
    /// Endpoints with IPv4 and IPv6.
    pub use_dualstack: bool,
    /// The HTTP proxy, `http://HOST:PORT`; `None`: as HTTPS_PROXY and NO_PROXY say.
    pub proxy: Option<String>,
    /// Certificates in PEM of those who are trusted, in place of the system's.
    pub ca_file: Option<String>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one attempt may take, credentials and all.
    pub attempt_timeout: Duration,
    /// Pairs that the encryption context has besides `product` and `file-id`, sorted.
    pub context: Vec<(String, String)>,
    /// A new DEK and generated keys mix KMS's random bytes with the system's: the older name of `random` and `random_keys`.
    pub kms_random: bool,
}

/// Reads the section: the key first, then the previous ones.
fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    let first = AwsKmsConfig::read(section)?;
    let others: Vec<KekConfig> = previous_keys(section)?
        .into_iter()
        .map(|key| {
            KekConfig::new(AwsKmsConfig {
                region: key
                    .region()
                    .map(String::from)
                    .or_else(|| first.region.clone())
                    .or_else(|| first.key.region().map(String::from)),
                key,
                previous: true,
                kms_random: false,
                ..first.clone()
            })
        })
        .collect();
    let mut all = vec![KekConfig::new(first)];
    all.extend(others);
    Ok(all)
}

fn key(section: &Section<'_>, text: &str) -> Result<KmsKey> {
    KmsKey::parse(text).ok_or_else(|| {
        section.mistake(
            format!("'{}' is not the name of a KMS key", shorten(text)),
            "Use a key id, a key ARN, alias/NAME or an alias ARN, as aws kms list-keys and list-aliases show them.",
        )
    })
}

fn primary_key(section: &Section<'_>) -> Result<KmsKey> {
    match section.given("key_id") {
        Some(text) => key(section, text),
        None => Err(section.mistake(
            "the aws_kms backend has no key",
            format!("{} to a symmetric KMS key.", section.to_set("key_id")),
        )),
    }
}

fn previous_keys(section: &Section<'_>) -> Result<Vec<KmsKey>> {
    let list = web::line(section, "previous_key_ids")?;
    let names = list.iter().flat_map(|list| list.split(','));
    let keys: Vec<KmsKey> = names
        .map(|name| key(section, name.trim()))
        .collect::<Result<_>>()?;
    if keys.len() > MAX_PREVIOUS {
        return Err(section.mistake(
            format!("previous_key_ids names {} keys", keys.len()),
            "Name no more than eight; run keyring-ward rekey to do without the old ones.",
        ));
    }
    Ok(keys)
}

fn region(section: &Section<'_>, key: &KmsKey) -> Result<Option<String>> {
    let Some(region) = web::line(section, "region")? else {
        return Ok(None);
    };
    if !is_region(&region) {
        return Err(section.mistake(
            format!("'{}' is not a region", shorten(&region)),
            "Use a name like eu-central-1.",
        ));
    }
    if let Some(of_key) = key.region().filter(|r| *r != region) {
        return Err(section.mistake(
            format!("the key is in {of_key}, but region is {region}"),
            "Leave region out, or name the key's replica there, if it is a multi-Region key.",
        ));
    }
    Ok(Some(region))
}

/// A name that goes into a request.
fn named(section: &Section<'_>, member: &str, kind: Text) -> Result<Option<String>> {
    let text = web::line(section, member)?;
    match text.as_deref().and_then(|text| kind.fault(text)) {
        Some(fault) => Err(section.mistake(format!("{member} {fault}"), "Correct it.")),
        None => Ok(text),
    }
}

fn role(section: &Section<'_>) -> Result<Option<(String, Option<String>)>> {
    let external_id = named(section, "external_id", Text::ExternalId)?;
    match (web::line(section, "role_arn")?, external_id) {
        (Some(role), _) if Text::Role.fault(&role).is_some() => Err(section.mistake(
            format!("'{}' is not the ARN of a role", shorten(&role)),
            "Use arn:aws:iam::ACCOUNT:role/NAME.",
        )),
        (Some(role), id) => Ok(Some((role, id))),
        (None, Some(_)) => Err(section.mistake(
            "external_id is given without role_arn",
            "Set role_arn to the role that asks for it, or leave external_id out.",
        )),
        (None, None) => Ok(None),
    }
}

fn added_context(section: &Section<'_>) -> Result<Vec<(String, String)>> {
    let Some(text) = web::line(section, "encryption_context")? else {
        return Ok(Vec::new());
    };
    context::parse(&text).map_err(|why| {
        section.mistake(
            format!("encryption_context {why}"),
            "Use NAME=VALUE,NAME=VALUE. The pairs product and file-id are always there.",
        )
    })
}

impl AwsKmsConfig {
    /// Reads the options of the key that wraps.
    fn read(section: &Section<'_>) -> Result<AwsKmsConfig> {
        let key = primary_key(section)?;
        let sources = [("system", false), ("aws_kms", true)];
        let random = "Use system, or aws_kms.";
        web::line(section, "credentials_file")?;
        let config = AwsKmsConfig {
            previous: false,
            region: region(section, &key)?,
            key,
            proxy: web::proxy(section)?,
            ca_file: web::absolute_path(section, "ca_file")?,
            profile: named(section, "profile", Text::Profile)?,
            role: role(section)?,
            kms_random: section.choice("random", &sources, random)?.unwrap_or(false),
            credentials_file: section.secret("credentials_file")?,
            context: added_context(section)?,
            endpoint_url: web::address(section, "endpoint_url")?,
            sts_endpoint_url: web::address(section, "sts_endpoint_url")?,
            use_fips: section.flag("use_fips")?,
            use_dualstack: section.flag("use_dualstack")?,
            connect_timeout: section.seconds("connect_timeout", Duration::from_secs(3))?,
            attempt_timeout: section.seconds("attempt_timeout", Duration::from_secs(5))?,
        };
        if config.endpoint_url.is_some() && (config.use_fips || config.use_dualstack) {
            return Err(section.mistake(
                "use_fips or use_dualstack is given with endpoint_url",
                "An endpoint of your own is what it is: leave them out, or leave endpoint_url out.",
            ));
        }
        for address in [&config.endpoint_url, &config.sts_endpoint_url] {
            web::check_way(section, address.as_deref(), config.proxy.as_deref())?;
        }
        Ok(config)
    }

    /// For messages: where this key is asked for.
    pub fn place(&self) -> String {
        match (&self.endpoint_url, self.known_region()) {
            (Some(url), _) => url.clone(),
            (None, Some(region)) => region.to_string(),
            (None, None) => "the region of the environment".into(),
        }
    }

    /// The region, as far as the configuration tells.
    pub fn known_region(&self) -> Option<&str> {
        self.region.as_deref().or_else(|| self.key.region())
    }
}

impl Settings for AwsKmsConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn random(&self) -> Option<Random> {
        self.kms_random.then_some(Random {
            source: Source::Kek,
            keys: true,
            by_default: false,
        })
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(aws_kms::AwsKmsKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.credentials_file.iter().collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.ca_file.iter().map(PathBuf::from).collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let why = "a key in AWS KMS can't be made by this tool";
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(
            "Make it where its policy is kept: aws kms create-key. Then leave --generate out.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn finish(changes: &[(&str, &str)]) -> Result<Vec<AwsKmsConfig>> {
        let base = [
            ("backend", "aws_kms"),
            ("path", "/k/f"),
            ("aws_kms_key_id", ARN),
        ];
        let values = base.iter().chain(changes);
        let keks = crate::kek::drivers::read_of_tests(&DRIVER, values)?;
        let config = |kek: &KekConfig| kek.settings_of::<AwsKmsConfig>().unwrap().clone();
        Ok(keks.iter().map(config).collect())
    }

    #[test]
    fn complete() {
        let all = finish(&[
            (
                "aws_kms_previous_key_ids",
                "alias/old, arn:aws:kms:us-east-1:111122223333:alias/older",
            ),
            ("aws_kms_endpoint_url", "http://127.0.0.1:4566"),
            ("aws_kms_encryption_context", "env=prod, a=b"),
            ("aws_kms_role_arn", "arn:aws:iam::111122223333:role/keyring"),
            ("aws_kms_external_id", "xy"),
        ])
        .unwrap();
        let regions: Vec<_> = all.iter().map(AwsKmsConfig::known_region).collect();
        assert_eq!(
            regions,
            [
                Some("eu-central-1"),
                Some("eu-central-1"),
                Some("us-east-1")
            ]
        );
        let previous: Vec<_> = all.iter().map(|c| c.previous).collect();
        assert_eq!(previous, [false, true, true]);
        let pairs = [
            ("a".to_string(), "b".to_string()),
            ("env".into(), "prod".into()),
        ];
        assert_eq!(all[0].context, pairs);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let long: Vec<String> = (0..5).map(|i| format!("{i}={}", "x".repeat(250))).collect();
        for (name, value, sentence) in [
            (
                "aws_kms_encryption_context",
                &*long.join(","),
                "longer than",
            ),
            ("aws_kms_key_id", "", "has no key"),
            ("aws_kms_key_id", "my key", "not the name of a KMS key"),
            (
                "aws_kms_previous_key_ids",
                "alias/a,,alias/b",
                "not the name of a KMS key",
            ),
            ("aws_kms_region", "Frankfurt", "not a region"),
            ("aws_kms_region", "us-east-1", "the key is in eu-central-1"),
            (
                "aws_kms_endpoint_url",
                "http://kms.example.org",
                "clear text",
            ),
            ("aws_kms_endpoint_url", "kms.example.org", "not a value for"),
            ("aws_kms_endpoint_url", "https://a@b", "not a value for"),
            ("aws_kms_sts_endpoint_url", "ftp://x", "not a value for"),
            ("aws_kms_proxy", "http://user:secret@proxy", "not a proxy"),
            ("aws_kms_ca_file", "ca.pem", "not an absolute path"),
            ("aws_kms_role_arn", "admin", "not the ARN of a role"),
            ("aws_kms_external_id", "xy", "without role_arn"),
            ("aws_kms_external_id", "a b", "external_id has a blank"),
            ("aws_kms_profile", "a\"b", "profile has a character"),
            ("aws_kms_endpoint_url", "https://a\"b", "not a value for"),
            ("aws_kms_endpoint_url", "https://a:99999", "not a value for"),
            ("aws_kms_proxy", "http://a:b", "not a proxy"),
            ("aws_kms_use_fips", "perhaps", "not a value for"),
            ("aws_kms_use_fips+endpoint", "on", "leave them out"),
            ("aws_kms_connect_timeout", "0", "not a value for"),
            ("aws_kms_attempt_timeout", "x", "not a value for"),
            ("aws_kms_encryption_context", "env", "no NAME=VALUE"),
            ("aws_kms_encryption_context", "file-id=1", "reserved"),
            ("aws_kms_encryption_context", "a=1,a=2", "twice"),
            ("aws_kms_random", "dice", "not a value for random"),
            (
                "aws_kms_credentials_file",
                "aws",
                "neither an absolute path",
            ),
            ("aws_kms_profile", "a\nb", "control characters"),
        ] {
            let mut changes = vec![(name, value)];
            if let Some(name) = name.strip_suffix("+endpoint") {
                changes = vec![(name, value), ("aws_kms_endpoint_url", "https://localhost")];
            }
            let message = finish(&changes).unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
