//! The configuration: one typed model, three readers.
//!
//! Owns the list of options ([`OPTIONS`]) that JSON, option files and plugin variables are read
//! with, the layering, and the checks. It must never hold a secret: secrets are referenced.

pub mod arguments;
mod aws_kms;
pub mod aws_names;
pub mod discover;
pub mod json;
mod layers;
pub mod locate;
pub mod manifest;
pub mod option_file;
mod pkcs11;
pub mod server;
pub mod written;

pub use aws_kms::{AwsKmsConfig, KmsKey};
pub use pkcs11::{KeyChoice, Mechanism, Pkcs11Config, Storage, TokenChoice};

use crate::error::{Error, Kind, Result};
use crate::key::limits::FINGERPRINT;
use crate::secret_source::{Held, SecretRef};
use crate::text::{from_hex, nearest, shorten};
use std::path::PathBuf;
use std::time::Duration;

const OP: &str = "read the configuration";
/// More than one is needed only while a DEK is changed.
const MAX_FINGERPRINTS: usize = 16;

/// Where keys live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An encrypted file; the KEK is a passphrase or a key file.
    File,
    /// An encrypted file; the KEK is a key on a PKCS#11 token.
    Pkcs11,
    /// An encrypted file; the KEK is a key in AWS KMS.
    AwsKms,
}

impl Backend {
    /// All backends.
    pub const ALL: [Backend; 3] = [Backend::File, Backend::Pkcs11, Backend::AwsKms];

    /// The name in configurations and status rows.
    pub fn name(self) -> &'static str {
        match self {
            Backend::File => "file",
            Backend::Pkcs11 => "pkcs11",
            Backend::AwsKms => "aws_kms",
        }
    }
}

/// One configured KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KekConfig {
    /// `file.passphrase_file`
    Passphrase(SecretRef),
    /// `file.key_file`
    KeyFile(SecretRef),
    /// `pkcs11`
    Pkcs11(Box<Pkcs11Config>),
    /// `aws_kms`
    AwsKms(Box<AwsKmsConfig>),
}

impl Config {
    /// A KEK with which anybody could have wrapped a DEK, so that only a pinned fingerprint says which is ours.
    pub fn needs_fingerprint(&self) -> bool {
        self.keks.iter().any(|kek| match kek {
            KekConfig::Pkcs11(pkcs11) => pkcs11.mechanism == Some(Mechanism::RsaOaep),
            _ => false,
        })
    }

    /// The token that holds the keys themselves, if one does, and whether they are kept in memory too.
    pub fn token_storage(&self) -> Option<(&Pkcs11Config, bool)> {
        self.keks.first().and_then(KekConfig::token_storage)
    }
}

impl Config {
    /// Every secret that opening the keyring reads on this machine.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let of = |kek| match kek {
            &KekConfig::Passphrase(ref source) | &KekConfig::KeyFile(ref source) => Some(source),
            KekConfig::Pkcs11(pkcs11) => Some(&pkcs11.pin),
            KekConfig::AwsKms(kms) => kms.credentials_file.as_ref(),
        };
        self.keks.iter().filter_map(of).collect()
    }
}

impl KekConfig {
    /// See [`Config::token_storage`].
    pub fn token_storage(&self) -> Option<(&Pkcs11Config, bool)> {
        match self {
            KekConfig::Pkcs11(pkcs11) => match pkcs11.storage {
                Storage::Token { cache } => Some((pkcs11, cache)),
                Storage::File => None,
            },
            _ => None,
        }
    }

    /// The backend that this KEK belongs to.
    pub fn backend(&self) -> Backend {
        match self {
            KekConfig::Passphrase(_) | KekConfig::KeyFile(_) => Backend::File,
            KekConfig::Pkcs11(_) => Backend::Pkcs11,
            KekConfig::AwsKms(_) => Backend::AwsKms,
        }
    }
}

/// How long a KEK that is not on this machine may keep a call waiting, attempts and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// `start_timeout`: while the server starts.
    pub start: Duration,
    /// `timeout`: at any other time. Readers of the server wait as long during a RELOAD.
    pub call: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            start: Duration::from_secs(60),
            call: Duration::from_secs(10),
        }
    }
}

/// How much a keyring takes, in bytes of records. What is there already stays, whatever the limits have become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `max_size`: all keys together, before a key that has an owner is refused.
    pub total: u64,
    /// `max_owner_size`: the keys of one account.
    pub per_owner: u64,
    /// What the server's own keys may take beyond `total`.
    pub reserve: u64,
    /// The longest file that a server reads, removed keys and all; writing stays below it. No option.
    pub file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            total: 256 << 20,
            per_owner: 16 << 20,
            reserve: 16 << 20,
            file: 4 << 30,
        }
    }
}

/// Largest `max_size`. Keys, their removals and the reserves fit a file several times.
const MAX_TOTAL: u64 = 1 << 30;
/// Smallest `max_owner_size`: a few of the longest keys.
const MIN_TOTAL: u64 = 64 << 10;

/// A complete, checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where keys live.
    pub backend: Backend,
    /// The keyring file, absolute.
    pub path: PathBuf,
    /// No write is accepted and nothing on disk is touched.
    pub read_only: bool,
    /// The DEK that the file must have: one of these, where any is pinned.
    pub fingerprint: Vec<[u8; FINGERPRINT]>,
    /// The KEKs: the first one wraps, any of them opens.
    pub keks: Vec<KekConfig>,
    /// How long KEKs may take.
    pub patience: Patience,
    /// How much it takes.
    pub limits: Limits,
    /// Where this configuration was found, for messages.
    pub origin: String,
}

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Text.
    Text,
    /// True or false.
    Bool,
    /// A whole number.
    Number,
}

/// One option: its flat name (my.cnf group; plugin variables put `keyring_ward_` before it), its
/// place in JSON, and what it is for.
#[derive(Debug)]
pub struct OptionSpec {
    /// The flat name.
    pub name: &'static str,
    /// The place in JSON: an object's name and a member, or the member alone.
    pub json: (Option<&'static str>, &'static str),
    /// What it takes.
    pub kind: ValueKind,
    /// One line for people.
    pub help: &'static str,
}

/// Every option of this version, once.
pub const OPTIONS: [OptionSpec; 39] = [
    OptionSpec {
        name: "backend",
        json: (None, "backend"),
        kind: ValueKind::Text,
        help: "Where keys live: file, pkcs11 or aws_kms",
    },
    OptionSpec {
        name: "path",
        json: (None, "path"),
        kind: ValueKind::Text,
        help: "The keyring file, an absolute path",
    },
    OptionSpec {
        name: "read_only",
        json: (None, "read_only"),
        kind: ValueKind::Bool,
        help: "Accept no writes",
    },
    OptionSpec {
        name: "fingerprint",
        json: (None, "fingerprint"),
        kind: ValueKind::Text,
        help: "The DEK that the file must have, as keyring-ward status shows it; several, separated by commas",
    },
    OptionSpec {
        name: "file_passphrase_file",
        json: (Some("file"), "passphrase_file"),
        kind: ValueKind::Text,
        help: "The file that holds the passphrase, or credential:NAME",
    },
    OptionSpec {
        name: "file_key_file",
        json: (Some("file"), "key_file"),
        kind: ValueKind::Text,
        help: "The file of at least 32 random bytes, or credential:NAME",
    },
    OptionSpec {
        name: "start_timeout",
        json: (None, "start_timeout"),
        kind: ValueKind::Number,
        help: "Seconds that a KEK may take while the server starts",
    },
    OptionSpec {
        name: "timeout",
        json: (None, "timeout"),
        kind: ValueKind::Number,
        help: "Seconds that a KEK may take at any other time",
    },
    OptionSpec {
        name: "max_size",
        json: (None, "max_size"),
        kind: ValueKind::Number,
        help: "Bytes that all keys together may take before keys of accounts are refused",
    },
    OptionSpec {
        name: "max_owner_size",
        json: (None, "max_owner_size"),
        kind: ValueKind::Number,
        help: "Bytes that the keys of one account may take",
    },
    OptionSpec {
        name: "pkcs11_module",
        json: (Some("pkcs11"), "module"),
        kind: ValueKind::Text,
        help: "The PKCS#11 module, an absolute path",
    },
    OptionSpec {
        name: "pkcs11_module_args",
        json: (Some("pkcs11"), "module_args"),
        kind: ValueKind::Text,
        help: "What C_Initialize gets, for modules that need it (NSS)",
    },
    OptionSpec {
        name: "pkcs11_token_label",
        json: (Some("pkcs11"), "token_label"),
        kind: ValueKind::Text,
        help: "The token's label",
    },
    OptionSpec {
        name: "pkcs11_token_serial",
        json: (Some("pkcs11"), "token_serial"),
        kind: ValueKind::Text,
        help: "The token's serial number, instead of its label",
    },
    OptionSpec {
        name: "pkcs11_slot",
        json: (Some("pkcs11"), "slot"),
        kind: ValueKind::Number,
        help: "The slot's number, instead of label and serial; may change",
    },
    OptionSpec {
        name: "pkcs11_key_label",
        json: (Some("pkcs11"), "key_label"),
        kind: ValueKind::Text,
        help: "The label of the KEK on the token",
    },
    OptionSpec {
        name: "pkcs11_key_id",
        json: (Some("pkcs11"), "key_id"),
        kind: ValueKind::Text,
        help: "The CKA_ID of the KEK on the token, hexadecimal",
    },
    OptionSpec {
        name: "pkcs11_pin_file",
        json: (Some("pkcs11"), "pin_file"),
        kind: ValueKind::Text,
        help: "The file that holds the user PIN, or credential:NAME",
    },
    OptionSpec {
        name: "pkcs11_mechanism",
        json: (Some("pkcs11"), "mechanism"),
        kind: ValueKind::Text,
        help: "How the DEK is wrapped, instead of the best that the token has",
    },
    OptionSpec {
        name: "pkcs11_random",
        json: (Some("pkcs11"), "random"),
        kind: ValueKind::Text,
        help: "Where a new DEK comes from: token (and system) or system",
    },
    OptionSpec {
        name: "pkcs11_storage",
        json: (Some("pkcs11"), "storage"),
        kind: ValueKind::Text,
        help: "Where sealed keys live: file (beside the KEK on the token) or token",
    },
    OptionSpec {
        name: "pkcs11_cache",
        json: (Some("pkcs11"), "cache"),
        kind: ValueKind::Bool,
        help: "With storage token: keep keys in memory too (true), or ask the token each time",
    },
    OptionSpec {
        name: "aws_kms_key_id",
        json: (Some("aws_kms"), "key_id"),
        kind: ValueKind::Text,
        help: "The KMS key: id, ARN, alias/NAME or alias ARN",
    },
    OptionSpec {
        name: "aws_kms_previous_key_ids",
        json: (Some("aws_kms"), "previous_key_ids"),
        kind: ValueKind::Text,
        help: "Keys that may open the keyring as well, separated by commas",
    },
    OptionSpec {
        name: "aws_kms_region",
        json: (Some("aws_kms"), "region"),
        kind: ValueKind::Text,
        help: "The key's region, where its ARN does not tell",
    },
    OptionSpec {
        name: "aws_kms_endpoint_url",
        json: (Some("aws_kms"), "endpoint_url"),
        kind: ValueKind::Text,
        help: "KMS's endpoint, e.g. of a VPC, instead of the region's public one",
    },
    OptionSpec {
        name: "aws_kms_sts_endpoint_url",
        json: (Some("aws_kms"), "sts_endpoint_url"),
        kind: ValueKind::Text,
        help: "The endpoint of STS, for role_arn",
    },
    OptionSpec {
        name: "aws_kms_profile",
        json: (Some("aws_kms"), "profile"),
        kind: ValueKind::Text,
        help: "The profile in AWS's shared files",
    },
    OptionSpec {
        name: "aws_kms_credentials_file",
        json: (Some("aws_kms"), "credentials_file"),
        kind: ValueKind::Text,
        help: "AWS's shared credentials file, or credential:NAME, instead of the environment's",
    },
    OptionSpec {
        name: "aws_kms_role_arn",
        json: (Some("aws_kms"), "role_arn"),
        kind: ValueKind::Text,
        help: "The role to assume",
    },
    OptionSpec {
        name: "aws_kms_external_id",
        json: (Some("aws_kms"), "external_id"),
        kind: ValueKind::Text,
        help: "The external id that the role asks for",
    },
    OptionSpec {
        name: "aws_kms_use_fips",
        json: (Some("aws_kms"), "use_fips"),
        kind: ValueKind::Bool,
        help: "Use FIPS endpoints",
    },
    OptionSpec {
        name: "aws_kms_use_dualstack",
        json: (Some("aws_kms"), "use_dualstack"),
        kind: ValueKind::Bool,
        help: "Use endpoints with IPv4 and IPv6",
    },
    OptionSpec {
        name: "aws_kms_proxy",
        json: (Some("aws_kms"), "proxy"),
        kind: ValueKind::Text,
        help: "http://HOST:PORT of a proxy, instead of the environment's",
    },
    OptionSpec {
        name: "aws_kms_ca_file",
        json: (Some("aws_kms"), "ca_file"),
        kind: ValueKind::Text,
        help: "Certificates in PEM that are trusted besides the system's",
    },
    OptionSpec {
        name: "aws_kms_connect_timeout",
        json: (Some("aws_kms"), "connect_timeout"),
        kind: ValueKind::Number,
        help: "Seconds that a connection may take",
    },
    OptionSpec {
        name: "aws_kms_attempt_timeout",
        json: (Some("aws_kms"), "attempt_timeout"),
        kind: ValueKind::Number,
        help: "Seconds that one attempt may take",
    },
    OptionSpec {
        name: "aws_kms_encryption_context",
        json: (Some("aws_kms"), "encryption_context"),
        kind: ValueKind::Text,
        help: "More pairs of the encryption context: NAME=VALUE,NAME=VALUE",
    },
    OptionSpec {
        name: "aws_kms_random",
        json: (Some("aws_kms"), "random"),
        kind: ValueKind::Text,
        help: "Where new keys come from: system, or aws_kms (and system), a call for each key",
    },
];

/// Options of which one is given instead of the others.
const INSTEAD: [&[&str]; 2] = [
    &["file_passphrase_file", "file_key_file"],
    &["pkcs11_token_label", "pkcs11_token_serial", "pkcs11_slot"],
];

/// The values that one or more readers found; later layers replace earlier ones.
#[derive(Clone, Debug)]
pub struct Layer {
    values: [Option<String>; OPTIONS.len()],
    origins: Vec<String>,
    /// A secret that the tool has asked for: the KEK, whatever the values say of one.
    held: Option<KekConfig>,
}

impl Default for Layer {
    fn default() -> Self {
        Layer {
            values: std::array::from_fn(|_| None),
            origins: Vec::new(),
            held: None,
        }
    }
}

impl Layer {
    /// An empty layer that knows where it comes from.
    pub fn from_origin(origin: impl Into<String>) -> Layer {
        Layer {
            origins: vec![origin.into()],
            ..Layer::default()
        }
    }

    /// Sets an option of [`OPTIONS`] by its index.
    pub fn set(&mut self, option: usize, value: impl Into<String>) {
        self.values[option] = Some(value.into());
    }

    /// Takes a passphrase that is known already as the KEK.
    pub fn hold(&mut self, passphrase: Held) {
        self.held = Some(KekConfig::Passphrase(SecretRef::Held(passphrase)));
    }

    /// Takes the bytes of a key file that are known already as the KEK.
    pub fn hold_key_file(&mut self, bytes: Held) {
        self.held = Some(KekConfig::KeyFile(SecretRef::Held(bytes)));
    }

    /// No option is set.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none) && self.held.is_none()
    }

    /// The path of the keyring file, if it is set.
    pub fn path(&self) -> Option<std::path::PathBuf> {
        self.given("path").map(Into::into)
    }

    /// A path for the keyring file is set.
    pub fn has_path(&self) -> bool {
        self.given("path").is_some()
    }

    /// Lays on top what an operator has given directly. A KEK that is named there replaces the whole KEK that is
    /// configured: without this, a key file beside a configured passphrase would be two KEKs.
    pub fn override_with(&mut self, direct: Layer) {
        let set = |layer: &Layer, i: usize| layer.given(OPTIONS[i].name).is_some();
        let group = (0..OPTIONS.len())
            .filter(|i| set(&direct, *i))
            .find_map(|i| OPTIONS[i].json.0)
            .or(direct.held.as_ref().map(|_| Backend::File.name()));
        let backend = direct.given("backend").or(group).map(str::to_string);
        for (value, option) in self.values.iter_mut().zip(&OPTIONS) {
            let OptionSpec { name, json, .. } = option;
            let of_another = json.0.is_some() && backend.is_some() && json.0 != backend.as_deref();
            let instead = direct.held.is_some() && json.0 == Some(Backend::File.name())
                || INSTEAD.iter().any(|names| {
                    names.contains(name) && names.iter().any(|n| direct.given(n).is_some())
                });
            if of_another || instead {
                *value = None;
            }
        }
        self.overlay(direct);
        if let (Some(backend), Some(index)) = (backend, find_option(|o| o.name == "backend")) {
            self.values[index] = Some(backend);
        }
    }

    /// Lays `over` on top.
    pub fn overlay(&mut self, over: Layer) {
        for (mine, theirs) in self.values.iter_mut().zip(over.values) {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        self.origins.extend(over.origins);
        self.held = over.held.or(self.held.take());
    }

    fn get(&self, name: &str) -> Option<&str> {
        let index = OPTIONS.iter().position(|o| o.name == name)?;
        self.values[index].as_deref()
    }

    /// The typed, checked configuration.
    ///
    /// # Errors
    /// Config: something is missing, contradictory or malformed.
    pub fn finish(self) -> Result<Config> {
        let origin = self.origins.join(", ");
        let bad = |why: String, hint: &str| {
            Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint)
        };
        let backend = match self.get("backend") {
            Some(text) => Backend::ALL
                .into_iter()
                .find(|b| b.name() == text)
                .ok_or_else(|| {
                    bad(
                        format!("'{}' is not a backend", shorten(text)),
                        "This version has three backends: file, pkcs11 and aws_kms.",
                    )
                })?,
            None => {
                return Err(bad(
                    "no backend is named".into(),
                    "Set backend to file, pkcs11 or aws_kms.",
                ));
            }
        };
        let path = match self.get("path") {
            None | Some("") => {
                return Err(bad(
                    "no path is given for the keyring file".into(),
                    "Set path to an absolute path outside the data directory.",
                ));
            }
            Some(path) => PathBuf::from(path),
        };
        if !path.is_absolute() || path.file_name().is_none() || path.as_os_str().len() > 4096 {
            return Err(bad(
                format!(
                    "the path '{}' is not an absolute path of a file",
                    shorten(&path.display().to_string())
                ),
                "Give the path from the root on: the server changes its working directory.",
            ));
        }
        let read_only = match self.get("read_only") {
            None => false,
            Some(text) => parse_bool(text).ok_or_else(|| {
                bad(
                    format!("'{}' is not a value for read_only", shorten(text)),
                    "Use true or false.",
                )
            })?,
        };
        let fingerprint = self.pinned()?;
        let patience = Patience {
            start: self.seconds("start_timeout", Patience::default().start, &origin)?,
            call: self.seconds("timeout", Patience::default().call, &origin)?,
        };
        let limits = Limits {
            total: self.size("max_size", Limits::default().total, &origin)?,
            per_owner: self.size("max_owner_size", Limits::default().per_owner, &origin)?,
            ..Limits::default()
        };
        self.only_options_of(backend, &origin)?;
        let keks = match backend {
            Backend::File => vec![self.local_kek(&origin)?],
            Backend::Pkcs11 => {
                let pkcs11 = Pkcs11Config::read(&self, &path, &origin)?;
                vec![KekConfig::Pkcs11(Box::new(pkcs11))]
            }
            Backend::AwsKms => AwsKmsConfig::read(&self, &origin)?
                .into_iter()
                .map(|config| KekConfig::AwsKms(Box::new(config)))
                .collect(),
        };
        Ok(Config {
            backend,
            path,
            read_only,
            fingerprint,
            keks,
            patience,
            limits,
            origin,
        })
    }

    /// The fingerprints that it pins.
    ///
    /// # Errors
    /// Config: one of them is none, or they are too many.
    pub fn pinned(&self) -> Result<Vec<[u8; FINGERPRINT]>> {
        parse_fingerprints(self.get("fingerprint").unwrap_or_default()).map_err(|why| {
            let why = format!("{why} (in {})", self.origins.join(", "));
            Error::new(Kind::Config, OP, why).hint(
                "Use the 32 hexadecimal digits that keyring-ward status shows; several, separated by commas.",
            )
        })
    }

    /// A value that is there and not empty.
    fn given(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    fn seconds(&self, name: &str, default: Duration, origin: &str) -> Result<Duration> {
        const LONGEST: u64 = 3600;
        let Some(text) = self.given(name) else {
            return Ok(default);
        };
        match text.parse() {
            Ok(seconds) if (1..=LONGEST).contains(&seconds) => Ok(Duration::from_secs(seconds)),
            _ => Err(Error::new(
                Kind::Config,
                OP,
                format!(
                    "'{}' is not a value for {name} (in {origin})",
                    shorten(text)
                ),
            )
            .hint(format!("Use a number of seconds from 1 to {LONGEST}."))),
        }
    }

    /// A number of bytes, see [`parse_size`].
    fn size(&self, name: &str, default: u64, origin: &str) -> Result<u64> {
        let Some(text) = self.given(name) else {
            return Ok(default);
        };
        match parse_size(text) {
            Some(bytes) if (MIN_TOTAL..=MAX_TOTAL).contains(&bytes) => Ok(bytes),
            _ => Err(Error::new(
                Kind::Config,
                OP,
                format!(
                    "'{}' is not a value for {name} (in {origin})",
                    shorten(text)
                ),
            )
            .hint(format!(
                "Use a number of bytes from {MIN_TOTAL} to {MAX_TOTAL}; in option files 256M is one, too."
            ))),
        }
    }

    /// An option of another backend than the one that is chosen is a mistake worth a word: whoever wrote
    /// it believes that it counts.
    fn only_options_of(&self, backend: Backend, origin: &str) -> Result<()> {
        for option in &OPTIONS {
            if let (Some(group), Some(_)) = (option.json.0, self.given(option.name))
                && group != backend.name()
            {
                return Err(Error::new(
                    Kind::Config,
                    OP,
                    format!(
                        "{} is an option of the backend {group}, but the backend is {} (in {origin})",
                        option.name,
                        backend.name()
                    ),
                )
                .hint("Remove it, or choose the other backend."));
            }
        }
        Ok(())
    }

    fn local_kek(&self, origin: &str) -> Result<KekConfig> {
        let bad = |why: &str, hint: &str| {
            Err(Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint))
        };
        let secret = |text: &str| SecretRef::parse(text, origin);
        if let Some(held) = &self.held {
            return Ok(held.clone());
        }
        match (
            self.given("file_passphrase_file"),
            self.given("file_key_file"),
        ) {
            (Some(text), None) => Ok(KekConfig::Passphrase(secret(text)?)),
            (None, Some(text)) => Ok(KekConfig::KeyFile(secret(text)?)),
            (Some(_), Some(_)) => bad(
                "both a passphrase file and a key file are named",
                "Keep the one that the keyring was made with.",
            ),
            (None, None) => bad(
                "the file backend has no KEK",
                "Set passphrase_file or key_file in \"file\" (my.cnf: file_passphrase_file or \
                 file_key_file).",
            ),
        }
    }
}

/// The index of an option by a test on its specification.
pub fn find_option(test: impl Fn(&OptionSpec) -> bool) -> Option<usize> {
    OPTIONS.iter().position(test)
}

/// A number of bytes, as the server writes such numbers: with K, M or G behind it.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(1 << shift)
}

/// MySQL's spellings of a boolean.
pub fn parse_bool(text: &str) -> Option<bool> {
    let is = |options: [&str; 3]| options.iter().any(|o| o.eq_ignore_ascii_case(text));
    if is(["1", "on", "true"]) {
        Some(true)
    } else if is(["0", "off", "false"]) {
        Some(false)
    } else {
        None
    }
}

/// None, one or several fingerprints; an error is the beginning of a sentence.
fn parse_fingerprints(text: &str) -> std::result::Result<Vec<[u8; FINGERPRINT]>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    if parts.len() > MAX_FINGERPRINTS {
        return Err(format!(
            "{} fingerprints are pinned, at most {MAX_FINGERPRINTS} may be",
            parts.len()
        ));
    }
    let one = |part: &&str| from_hex(part, FINGERPRINT)?.try_into().ok();
    let each = parts
        .iter()
        .map(|part| one(part).ok_or_else(|| format!("'{}' is not a fingerprint", shorten(part))));
    each.collect()
}

/// The error for an unknown name, with the nearest known one as a suggestion.
fn unknown<'a>(name: &str, origin: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let hint = match nearest(name, known) {
        Some(k) => format!("Did you mean '{k}'?"),
        None => "docs/reference/configuration.md lists the names.".into(),
    };
    Error::new(
        Kind::Config,
        OP,
        format!("'{}' is not an option (in {origin})", shorten(name)),
    )
    .hint(hint)
}

#[cfg(test)]
impl Layer {
    /// These options, by their names, for tests.
    pub(crate) fn of<'a>(
        origin: &str,
        values: impl IntoIterator<Item = &'a (&'a str, &'a str)>,
    ) -> Layer {
        let mut layer = Layer::from_origin(origin);
        for (name, value) in values {
            layer.set(find_option(|o| o.name == *name).unwrap(), *value);
        }
        layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(values: &[(&str, &str)]) -> Layer {
        Layer::of("test", values)
    }

    const GOOD: [(&str, &str); 3] = [
        ("backend", "file"),
        ("path", "/k/f"),
        ("file_passphrase_file", "/p"),
    ];

    #[test]
    fn complete() {
        let config = layer(&GOOD).finish().unwrap();
        assert_eq!(
            config.keks,
            [KekConfig::Passphrase(SecretRef::File("/p".into()))]
        );
        assert!(!config.read_only);
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        for (name, value, sentence) in [
            ("backend", "", "is not a backend"),
            ("backend", "pkcs12", "'pkcs12' is not a backend"),
            ("path", "", "no path"),
            ("path", "k", "not an absolute path"),
            ("path", "/", "not an absolute path"),
            ("read_only", "maybe", "not a value for read_only"),
            ("timeout", "0", "not a value for timeout"),
            ("timeout", "-1", "not a value for timeout"),
            ("start_timeout", "3601", "not a value for start_timeout"),
            ("max_size", "0", "not a value for max_size"),
            ("max_size", "65535", "not a value for max_size"),
            ("max_size", "1025M", "not a value for max_size"),
            (
                "max_size",
                "99999999999999999999G",
                "not a value for max_size",
            ),
            ("max_size", "M", "not a value for max_size"),
            ("max_size", "+1G é", "not a value for max_size"),
            ("max_owner_size", "-1", "not a value for max_owner_size"),
            ("pkcs11_module", "/m", "is an option of the backend pkcs11"),
            ("fingerprint", "xyz", "not a fingerprint"),
            (
                "fingerprint",
                "00112233445566778899aabbccddeeff,",
                "not a fingerprint",
            ),
            (
                "fingerprint",
                "00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff",
                "not a fingerprint",
            ),
            ("file_passphrase_file", "p", "neither an absolute path"),
            ("file_passphrase_file", "", "has no KEK"),
            (
                "file_key_file",
                "/k",
                "both a passphrase file and a key file",
            ),
        ] {
            let mut l = layer(&GOOD);
            l.overlay(layer(&[(name, value)]));
            let message = l.finish().unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
        }
    }

    #[test]
    fn sizes_as_the_server_writes_them() {
        assert_eq!(layer(&GOOD).finish().unwrap().limits, Limits::default());
        for (text, bytes) in [
            ("65536", 65536),
            ("64k", 65536),
            ("3M", 3 << 20),
            ("1G", 1 << 30),
        ] {
            let mut l = layer(&GOOD);
            l.overlay(layer(&[("max_size", text), ("max_owner_size", text)]));
            let limits = l.finish().unwrap().limits;
            assert_eq!((limits.total, limits.per_owner), (bytes, bytes), "{text}");
        }
        let Limits { reserve, file, .. } = Limits::default();
        // After a rewrite the file is header and live keys; the removals of all must fit, and the reserves.
        assert!(2 * (MAX_TOTAL + 2 * reserve) + 2 * reserve + (1 << 17) <= file);
    }

    #[test]
    fn the_upper_layer_wins() {
        let mut l = layer(&GOOD);
        l.overlay(layer(&[("path", "/other"), ("read_only", "ON")]));
        let config = l.finish().unwrap();
        assert_eq!(config.path, PathBuf::from("/other"));
        assert!(config.read_only);
    }

    #[test]
    fn what_is_given_directly_replaces_the_configured_kek() {
        let over = |direct: Layer| {
            let mut l = layer(&GOOD);
            l.set(find_option(|o| o.name == "fingerprint").unwrap(), "");
            l.override_with(direct);
            l.finish()
        };
        let config = over(layer(&[("file_key_file", "/k2"), ("path", "/q")])).unwrap();
        assert_eq!(
            config.keks,
            [KekConfig::KeyFile(SecretRef::File("/k2".into()))]
        );
        assert_eq!(config.path, PathBuf::from("/q"));
        let config = over(layer(&[("path", "/q")])).unwrap();
        assert_eq!(
            config.keks,
            [KekConfig::Passphrase(SecretRef::File("/p".into()))]
        );
        // Another backend: what is configured for the old one is not in its way.
        let config = over(layer(&[
            ("aws_kms_key_id", "alias/a"),
            ("aws_kms_region", "eu-west-1"),
        ]))
        .unwrap();
        assert_eq!(config.backend, Backend::AwsKms);
        let mut held = Layer::from_origin("asked");
        held.hold(Held::new(
            crate::secret::SecretPool::new().copy(b"p").unwrap(),
        ));
        let config = over(held).unwrap();
        assert!(matches!(
            config.keks[..],
            [KekConfig::Passphrase(SecretRef::Held(_))]
        ));
        // Both given directly is a contradiction as it always was.
        let both = layer(&[("file_key_file", "/a"), ("file_passphrase_file", "/b")]);
        assert!(over(both).is_err());
    }

    #[test]
    fn suggestions() {
        let e = unknown("file_pasphrase_file", "x", OPTIONS.iter().map(|o| o.name));
        assert!(
            e.to_string()
                .contains("Did you mean 'file_passphrase_file'?"),
            "{e}"
        );
        let e = unknown("zzzzzzzzzzz", "x", OPTIONS.iter().map(|o| o.name));
        assert!(e.to_string().contains("configuration.md"), "{e}");
    }
}
