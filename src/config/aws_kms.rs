//! The options of the backend `aws_kms`: which key, where KMS is, and as whom to ask.
//!
//! Credentials have no place here: they come from the environment that AWS's SDKs share. It must never
//! accept a plain http endpoint that is not on this machine: KMS answers with data keys.

use super::aws_names::{Text, check_endpoint, host, is_region};
use super::{Layer, OP, SecretRef, parse_bool, shorten};
use crate::error::{Error, Kind, Result};
use crate::net::split_url;
use std::fmt;
use std::time::Duration;

/// Longest text of an option, in bytes. KMS takes key ids of up to 2,048 characters.
const MAX_TEXT: usize = 2048;
/// Most pairs that an operator can add to the encryption context.
const MAX_PAIRS: usize = 8;
/// Longest these pairs may be in a stanza, with two bytes of length for each text (docs/reference/format.md).
const MAX_PARAMS: usize = 1024;
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
    /// Certificates in PEM that are trusted besides the system's.
    pub ca_file: Option<String>,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one attempt may take, credentials and all.
    pub attempt_timeout: Duration,
    /// Pairs that the encryption context has besides `product` and `file-id`, sorted.
    pub context: Vec<(String, String)>,
    /// A new DEK and generated keys mix KMS's random bytes with the system's.
    pub kms_random: bool,
}

/// How a key is named: id, ARN, alias or alias ARN (KMS Developer Guide, "Key identifiers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey(String);

impl KmsKey {
    /// Reads one of the four forms.
    pub fn parse(text: &str) -> Option<KmsKey> {
        let resource = match text.strip_prefix("arn:") {
            None => text,
            Some(rest) => {
                let mut parts = rest.splitn(5, ':');
                let (partition, service) = (parts.next()?, parts.next()?);
                let (region, account) = (parts.next()?, parts.next()?);
                let resource = parts.next()?;
                let ours = partition.starts_with("aws")
                    && service == "kms"
                    && is_region(region)
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && (resource.starts_with("alias/") || resource.starts_with("key/"));
                ours.then_some(resource.strip_prefix("key/").unwrap_or(resource))?
            }
        };
        let fits = match resource.strip_prefix("alias/") {
            Some(name) => {
                (1..=250).contains(&name.len())
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
            }
            None => {
                let digits = resource.strip_prefix("mrk-").unwrap_or(resource);
                (32..=36).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            }
        };
        fits.then(|| KmsKey(text.into()))
    }

    /// As it is configured.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region in the ARN.
    pub fn region(&self) -> Option<&str> {
        self.0.strip_prefix("arn:")?.split(':').nth(2)
    }

    /// The id without ARN; `None` for an alias, which may point to any key.
    pub fn id(&self) -> Option<&str> {
        let resource = self.0.rsplit(':').next()?;
        (!resource.starts_with("alias/")).then(|| resource.strip_prefix("key/").unwrap_or(resource))
    }

    /// `arn` may be this key. A multi-Region key has the same id in each of its regions.
    pub fn may_be(&self, arn: &str) -> bool {
        let other = arn.rsplit('/').next().unwrap_or(arn);
        self.id().is_none_or(|id| id == other)
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AwsKmsConfig {
    /// Reads the options of the backend: the key first, then the previous ones.
    pub(super) fn read(layer: &Layer, origin: &str) -> Result<Vec<AwsKmsConfig>> {
        let bad = |why: String, hint: &str| {
            Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint)
        };
        let bounded = |name: &str| match layer.given(name) {
            Some(text) if text.len() > MAX_TEXT || text.chars().any(char::is_control) => Err(bad(
                format!("{name} has more than {MAX_TEXT} bytes or control characters"),
                "Correct it.",
            )),
            text => Ok(text.map(String::from)),
        };
        let flag = |name: &str| match layer.given(name) {
            None => Ok(false),
            Some(text) => parse_bool(text).ok_or_else(|| {
                bad(
                    format!("'{}' is not a value for {name}", shorten(text)),
                    "Use true or false.",
                )
            }),
        };
        let key = |text: &str| {
            KmsKey::parse(text).ok_or_else(|| {
                bad(
                    format!("'{}' is not the name of a KMS key", shorten(text)),
                    "Use a key id, a key ARN, alias/NAME or an alias ARN, as aws kms list-keys and list-aliases show them.",
                )
            })
        };
        let Some(text) = layer.given("aws_kms_key_id") else {
            return Err(bad(
                "the aws_kms backend has no key".into(),
                "Set key_id in \"aws_kms\" (my.cnf: aws_kms_key_id) to a symmetric KMS key.",
            ));
        };
        let primary = key(text)?;
        let previous: Vec<KmsKey> = match bounded("aws_kms_previous_key_ids")? {
            None => Vec::new(),
            Some(list) => list
                .split(',')
                .map(|one| key(one.trim()))
                .collect::<Result<_>>()?,
        };
        if previous.len() > MAX_PREVIOUS {
            return Err(bad(
                format!("previous_key_ids names {} keys", previous.len()),
                "Name no more than eight; run keyring-ward rekey to do without the old ones.",
            ));
        }
        let region = bounded("aws_kms_region")?;
        if let Some(region) = &region {
            if !is_region(region) {
                return Err(bad(
                    format!("'{}' is not a region", shorten(region)),
                    "Use a name like eu-central-1.",
                ));
            }
            if let Some(of_key) = primary.region().filter(|r| r != region) {
                return Err(bad(
                    format!("the key is in {of_key}, but region is {region}"),
                    "Leave region out, or name the key's replica there, if it is a multi-Region key.",
                ));
            }
        }
        let endpoint = |name: &str| match bounded(name)? {
            None => Ok(None),
            Some(url) => match check_endpoint(&url) {
                Ok(()) => Ok(Some(url)),
                Err(hint) => Err(bad(
                    format!("'{}' is not a value for {name}", shorten(&url)),
                    hint,
                )),
            },
        };
        let proxy = bounded("aws_kms_proxy")?;
        if let Some(url) = &proxy
            && (host(url).is_none() || !matches!(split_url(url), Some(("http", _))))
        {
            // Not shown: it may hold a password.
            return Err(bad(
                "the value of proxy is not a proxy".into(),
                "Use http://HOST:PORT. A proxy that wants a password is given by HTTPS_PROXY in the environment of mysqld.",
            ));
        }
        let ca_file = bounded("aws_kms_ca_file")?;
        if let Some(path) = ca_file.as_deref().filter(|p| !p.starts_with('/')) {
            return Err(bad(
                format!("'{}' is not an absolute path", shorten(path)),
                "Give the path of ca_file from the root on.",
            ));
        }
        let role_arn = bounded("aws_kms_role_arn")?;
        let external_id = bounded("aws_kms_external_id")?;
        let profile = bounded("aws_kms_profile")?;
        for (name, kind, text) in [
            ("external_id", Text::ExternalId, &external_id),
            ("profile", Text::Profile, &profile),
        ] {
            if let Some(fault) = text.as_deref().and_then(|t| kind.fault(t)) {
                return Err(bad(format!("{name} {fault}"), "Correct it."));
            }
        }
        let role = match (role_arn, external_id) {
            (Some(role), _) if Text::Role.fault(&role).is_some() => {
                return Err(bad(
                    format!("'{}' is not the ARN of a role", shorten(&role)),
                    "Use arn:aws:iam::ACCOUNT:role/NAME.",
                ));
            }
            (Some(role), id) => Some((role, id)),
            (None, Some(_)) => {
                return Err(bad(
                    "external_id is given without role_arn".into(),
                    "Set role_arn to the role that asks for it, or leave external_id out.",
                ));
            }
            (None, None) => None,
        };
        let random = match layer.given("aws_kms_random") {
            None | Some("system") => false,
            Some("aws_kms") => true,
            Some(text) => {
                return Err(bad(
                    format!("'{}' is not a value for random", shorten(text)),
                    "Use system, or aws_kms: a call for each generated key.",
                ));
            }
        };
        let credentials_file = match bounded("aws_kms_credentials_file")? {
            None => None,
            Some(text) => Some(SecretRef::parse(&text, origin)?),
        };
        let context = match bounded("aws_kms_encryption_context")? {
            None => Vec::new(),
            Some(text) => parse_context(&text).map_err(|why| {
                bad(
                    format!("encryption_context {why}"),
                    "Use NAME=VALUE,NAME=VALUE. The pairs product and file-id are always there.",
                )
            })?,
        };
        let first = AwsKmsConfig {
            key: primary,
            previous: false,
            region,
            endpoint_url: endpoint("aws_kms_endpoint_url")?,
            sts_endpoint_url: endpoint("aws_kms_sts_endpoint_url")?,
            profile,
            credentials_file,
            role,
            use_fips: flag("aws_kms_use_fips")?,
            use_dualstack: flag("aws_kms_use_dualstack")?,
            proxy,
            ca_file,
            connect_timeout: layer.seconds(
                "aws_kms_connect_timeout",
                Duration::from_secs(3),
                origin,
            )?,
            attempt_timeout: layer.seconds(
                "aws_kms_attempt_timeout",
                Duration::from_secs(5),
                origin,
            )?,
            context,
            kms_random: random,
        };
        if first.endpoint_url.is_some() && (first.use_fips || first.use_dualstack) {
            return Err(bad(
                "use_fips or use_dualstack is given with endpoint_url".into(),
                "An endpoint of your own is what it is: leave them out, or leave endpoint_url out.",
            ));
        }
        let others = previous.into_iter().map(|key| AwsKmsConfig {
            region: key
                .region()
                .map(String::from)
                .or_else(|| first.region.clone())
                .or_else(|| first.key.region().map(String::from)),
            key,
            previous: true,
            kms_random: false,
            ..first.clone()
        });
        let mut all: Vec<AwsKmsConfig> = others.collect();
        all.insert(0, first);
        Ok(all)
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

fn parse_context(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    for pair in text.split(',') {
        let (name, value) = pair
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
            .filter(|(name, value)| {
                (1..=128).contains(&name.len()) && (1..=256).contains(&value.len())
            })
            .ok_or_else(|| format!("has no NAME=VALUE in '{}'", shorten(pair)))?;
        if ["product", "file-id"].contains(&name) || name.starts_with("aws:") {
            return Err(format!("names '{}', which is reserved", shorten(name)));
        }
        pairs.push((name.to_string(), value.to_string()));
    }
    pairs.sort();
    if pairs.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err("names a pair twice".into());
    }
    if pairs.len() > MAX_PAIRS {
        return Err(format!("has more than {MAX_PAIRS} pairs"));
    }
    let bytes = |(name, value): &(String, String)| 4 + name.len() + value.len();
    if pairs.iter().map(bytes).sum::<usize>() > MAX_PARAMS {
        return Err("is longer than 1,000 bytes".into());
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::KekConfig;
    use super::*;

    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn finish(changes: &[(&str, &str)]) -> Result<Vec<AwsKmsConfig>> {
        let base = [
            ("backend", "aws_kms"),
            ("path", "/k/f"),
            ("aws_kms_key_id", ARN),
        ];
        let layer = Layer::of("test", base.iter().chain(changes));
        let keks = layer.finish()?.keks;
        Ok(keks
            .into_iter()
            .map(|kek| match kek {
                KekConfig::AwsKms(config) => *config,
                other => panic!("{other:?}"),
            })
            .collect())
    }

    #[test]
    fn the_four_forms_of_a_key() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let key = KmsKey::parse(ARN).unwrap();
        assert_eq!((key.region(), key.id()), (Some("eu-central-1"), Some(id)));
        assert!(key.may_be(ARN) && KmsKey::parse(id).unwrap().may_be(ARN));
        let mrk = KmsKey::parse("mrk-1234abcd12ab34cd56ef1234567890ab").unwrap();
        assert!(!mrk.may_be(ARN));
        assert!(
            mrk.may_be(
                "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
            )
        );
        let alias = KmsKey::parse("arn:aws-cn:kms:cn-north-1:111122223333:alias/db/prod").unwrap();
        assert_eq!((alias.region(), alias.id()), (Some("cn-north-1"), None));
        assert!(alias.may_be(ARN) && KmsKey::parse("alias/x").unwrap().may_be(ARN));
        for bad in [
            "",
            "x",
            "alias/",
            "alias/a b",
            "arn:aws:kms::1:key/x",
            "arn:aws:s3:::bucket",
        ] {
            assert_eq!(KmsKey::parse(bad), None, "{bad}");
        }
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
            ("pkcs11_module", "/m", "an option of the backend pkcs11"),
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
