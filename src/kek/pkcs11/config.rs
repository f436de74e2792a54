//! The options of the backend `pkcs11`: which module, which token, which key, and how.

use super::options::{NAME, OPTIONS};
use super::survey;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::adapter::Adapter;
use crate::kek::make::exists_already;
use crate::kek::randomness::{Random, Source};
use crate::kek::settings::{Driver, KekConfig, Settings};
use crate::kek::{Kek, pkcs11};
use crate::options::{Section, parse_bool};
use crate::os::file;
use crate::os::undo::Undo;
use crate::secret_source::SecretRef;
use crate::text::{from_hex, shorten};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "an HSM",
    options: OPTIONS,
    instead: &[&["pkcs11_token_label", "pkcs11_token_serial", "pkcs11_slot"]],
    read: |section| Ok(vec![KekConfig::new(Pkcs11Config::read(section)?)]),
    page: "guide/pkcs11.md",
    example: "--module /usr/lib/softhsm/libsofthsm2.so --token-label ward --key-label kek --pin-file /var/lib/mysql-keyring/pin --generate",
};

/// Longest label that is accepted, in bytes. PKCS#11 gives a token's label 32.
const MAX_LABEL: usize = 255;
/// Longest CKA_ID that is accepted, in bytes.
const MAX_ID: usize = 64;

/// A KEK on a PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Config {
    /// The module, absolute.
    pub module: PathBuf,
    /// What C_Initialize gets as its reserved argument (NSS).
    pub module_args: Option<String>,
    /// Which token.
    pub token: TokenChoice,
    /// Which key on it.
    pub key: KeyChoice,
    /// Where the user PIN comes from.
    pub pin: SecretRef,
    /// The wrap mechanism; `None`: the strongest that token and key allow.
    pub mechanism: Option<Mechanism>,
    /// Where new DEKs and keys come from, as this section says.
    pub random: Random,
    /// Where the sealed records live.
    pub storage: Storage,
    /// Where a refused PIN is remembered.
    pub refused_pin: PathBuf,
}

/// Where sealed records live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In the keyring file; the token holds the KEK.
    File,
    /// On the token, each key an object of its own.
    Token {
        /// Key material is kept in memory; else each fetch asks the token.
        cache: bool,
    },
}

/// How the token is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenChoice {
    /// By its label.
    Label(String),
    /// By its serial number.
    Serial(String),
    /// By the slot's number, which may change from start to start.
    Slot(u64),
}

impl fmt::Display for TokenChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenChoice::Label(label) => write!(f, "token '{}'", shorten(label)),
            TokenChoice::Serial(serial) => write!(f, "token with serial '{}'", shorten(serial)),
            TokenChoice::Slot(slot) => write!(f, "token in slot {slot}"),
        }
    }
}

/// How the key is found: by label, by CKA_ID, or by both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChoice {
    /// CKA_LABEL
    pub label: Option<String>,
    /// CKA_ID
    pub id: Option<Vec<u8>>,
}

impl fmt::Display for KeyChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.label, &self.id) {
            (Some(label), None) => write!(f, "key '{}'", shorten(label)),
            (None, Some(id)) => write!(f, "key with id {}", crate::text::hex(id)),
            (Some(label), Some(id)) => {
                write!(
                    f,
                    "key '{}' with id {}",
                    shorten(label),
                    crate::text::hex(id)
                )
            }
            (None, None) => write!(f, "no key"),
        }
    }
}

/// How a token wraps the DEK, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// CKM_AES_GCM with the stanza as associated data (PKCS#11 3.1, section 6.13.3).
    AesGcm,
    /// CKM_AES_KEY_WRAP_PAD (RFC 5649) around a key of its own, which seals the DEK.
    AesKeyWrapPad,
    /// CKM_AES_KEY_WRAP (RFC 3394), the same.
    AesKeyWrap,
    /// CKM_AES_CBC without padding, then CKM_SHA256_HMAC under a second key.
    AesCbcHmac,
    /// CKM_RSA_PKCS_OAEP with SHA-256 around a key of its own, as for key wrap. Whoever has the public key can
    /// wrap, so it is never chosen by itself, and a keyring under it opens only with a pinned fingerprint.
    RsaOaep,
}

impl Mechanism {
    /// Strongest first; the last one only where it is named.
    pub const ALL: [Mechanism; 5] = [
        Mechanism::AesGcm,
        Mechanism::AesKeyWrapPad,
        Mechanism::AesKeyWrap,
        Mechanism::AesCbcHmac,
        Mechanism::RsaOaep,
    ];

    /// The name in configurations and stanzas.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::AesGcm => "aes-gcm",
            Mechanism::AesKeyWrapPad => "aes-kwp",
            Mechanism::AesKeyWrap => "aes-kw",
            Mechanism::AesCbcHmac => "aes-cbc+hmac-sha256",
            Mechanism::RsaOaep => "rsa-oaep-sha256",
        }
    }

    /// The mechanism of this name.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|m| m.name() == name)
    }
}

impl Pkcs11Config {
    /// The token holds the keys themselves: it, and whether they are kept in memory too.
    pub fn token_storage(&self) -> Option<(&Pkcs11Config, bool)> {
        match self.storage {
            Storage::Token { cache } => Some((self, cache)),
            Storage::File => None,
        }
    }

    fn read(section: &Section<'_>) -> Result<Pkcs11Config> {
        let module = module(section)?;
        let token = token(section)?;
        let key = key(section)?;
        let Some(pin) = section.secret("pin_file")? else {
            return Err(section.mistake(
                "no PIN file is named",
                "Set pin_file in \"pkcs11\" to a file that holds the user PIN, or to credential:NAME.",
            ));
        };
        let sources = [("token", Source::Kek), ("system", Source::System)];
        let source = section.choice("random", &sources, "Use token or system.")?;
        let storage = storage(section)?;
        let random = Random {
            source: source.unwrap_or(Source::Kek),
            // A write to the token is a call of it anyway.
            keys: source != Some(Source::System) && matches!(storage, Storage::Token { .. }),
            by_default: source.is_none(),
        };
        Ok(Pkcs11Config {
            mechanism: mechanism(section)?,
            storage,
            module,
            module_args: section.text("module_args", too_long)?,
            token,
            key,
            pin,
            random,
            refused_pin: file::beside(section.path(), ".refused-pin"),
        })
    }
}

fn too_long(text: &str) -> Option<(String, &'static str)> {
    let length = text.len();
    (length > MAX_LABEL).then(|| {
        let fault = format!("has {length} bytes, the limit is {MAX_LABEL}");
        (fault, "Choose a shorter one.")
    })
}

fn module(section: &Section<'_>) -> Result<PathBuf> {
    match section.given("module") {
        Some(text) if text.starts_with('/') && text.len() <= 4096 => Ok(PathBuf::from(text)),
        Some(text) => Err(section.mistake(
            format!("the module '{}' is not an absolute path", shorten(text)),
            "Give the path from the root on, as your HSM's vendor documents it.",
        )),
        None => Err(section.mistake(
            "the pkcs11 backend has no module",
            format!("{} to the library of your HSM.", section.to_set("module")),
        )),
    }
}

fn token(section: &Section<'_>) -> Result<TokenChoice> {
    let slot = match section.given("slot") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            section.mistake(
                format!("'{}' is not a slot number", shorten(text)),
                "Use the number that keyring-ward hsm list shows.",
            )
        })?),
    };
    let label = section.text("token_label", too_long)?;
    let serial = section.text("token_serial", too_long)?;
    match (label, serial, slot) {
        (Some(label), None, None) => Ok(TokenChoice::Label(label)),
        (None, Some(serial), None) => Ok(TokenChoice::Serial(serial)),
        (None, None, Some(slot)) => Ok(TokenChoice::Slot(slot)),
        (None, None, None) => Err(section.mistake(
            "no token is named",
            "Set token_label or token_serial in \"pkcs11\". keyring-ward hsm list shows both.",
        )),
        _ => Err(section.mistake(
            "more than one of token_label, token_serial and slot is given",
            "Keep one of them.",
        )),
    }
}

fn key(section: &Section<'_>) -> Result<KeyChoice> {
    let id = match section.given("key_id") {
        None => None,
        Some(text) => Some(from_hex(text, MAX_ID).ok_or_else(|| {
            section.mistake(
                format!("'{}' is not a key id", shorten(text)),
                "Use hexadecimal digits, two for each byte of CKA_ID.",
            )
        })?),
    };
    let label = section.text("key_label", too_long)?;
    if label.is_none() && id.is_none() {
        return Err(section.mistake("no key is named", "Set key_label or key_id in \"pkcs11\"."));
    }
    Ok(KeyChoice { label, id })
}

fn mechanism(section: &Section<'_>) -> Result<Option<Mechanism>> {
    let Some(text) = section.given("mechanism") else {
        return Ok(None);
    };
    Mechanism::from_name(text).map(Some).ok_or_else(|| {
        let names: Vec<_> = Mechanism::ALL.iter().map(|m| m.name()).collect();
        section.mistake(
            format!("'{}' is not a mechanism", shorten(text)),
            format!("Use one of {}, or leave it out.", names.join(", ")),
        )
    })
}

fn storage(section: &Section<'_>) -> Result<Storage> {
    let cache = match section.given("cache") {
        None => true,
        Some(text) => parse_bool(text).ok_or_else(|| {
            section.mistake(
                format!("'{}' is not a value for cache", shorten(text)),
                "Use true or false.",
            )
        })?,
    };
    let places = [("file", Storage::File), ("token", Storage::Token { cache })];
    let storage = section.choice("storage", &places, "Use file or token.")?;
    match storage.unwrap_or(Storage::File) {
        Storage::File if !cache => Err(section.mistake(
            "cache is false, but the keys are in the keyring file",
            "Only keys on the token (storage: token) can do without memory.",
        )),
        storage => Ok(storage),
    }
}

impl Settings for Pkcs11Config {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn random(&self) -> Option<Random> {
        Some(self.random)
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(pkcs11::Pkcs11Kek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        vec![&self.pin]
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.module.clone()]
    }

    fn needs_fingerprint(&self) -> bool {
        self.mechanism == Some(Mechanism::RsaOaep)
    }

    fn check_makeable(&self) -> Result<()> {
        // Only the token knows.
        Ok(())
    }

    fn make(&self, patience: Duration, undo: &mut Undo) -> Result<String> {
        let Some(made) = survey::make_key(self, Deadline::after(patience))? else {
            return Err(exists_already(format!("the key {} on the token", self.key)));
        };
        let (config, key) = (self.clone(), made.line);
        undo.other(move || {
            let _ = survey::remove_key(&config, &made.id, Deadline::after(patience));
        });
        Ok(format!(
            "Made the key {key} on the token. It can't leave the HSM: without the token, or a backup of it by the vendor's \
             means, the keyring can't be opened."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(changes: &[(&str, &str)]) -> Result<Pkcs11Config> {
        let base = [
            ("backend", "pkcs11"),
            ("path", "/k/f"),
            ("pkcs11_module", "/lib/m.so"),
            ("pkcs11_token_label", "t"),
            ("pkcs11_key_label", "k"),
            ("pkcs11_pin_file", "/k/pin"),
        ];
        let values = base.iter().chain(changes);
        let keks = crate::kek::drivers::read_of_tests(&DRIVER, values)?;
        Ok(keks[0].settings_of::<Pkcs11Config>().unwrap().clone())
    }

    #[test]
    fn complete() {
        let config = finish(&[("pkcs11_mechanism", "aes-kwp"), ("pkcs11_key_id", "0aFF")]).unwrap();
        assert_eq!(config.token, TokenChoice::Label("t".into()));
        assert_eq!(config.key.id, Some(vec![10, 255]));
        assert_eq!(config.mechanism, Some(Mechanism::AesKeyWrapPad));
        assert_eq!(config.refused_pin, PathBuf::from("/k/f.refused-pin"));
        assert_eq!(config.random.source, Source::Kek);
        let by_slot = finish(&[("pkcs11_token_label", ""), ("pkcs11_slot", "3")]).unwrap();
        assert_eq!(by_slot.token, TokenChoice::Slot(3));
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let long = "x".repeat(256);
        for (name, value, sentence) in [
            ("pkcs11_module", "", "no module"),
            ("pkcs11_module", "m.so", "not an absolute path"),
            ("pkcs11_token_label", "", "no token is named"),
            ("pkcs11_token_serial", "1", "more than one of"),
            ("pkcs11_slot", "one", "not a slot number"),
            ("pkcs11_token_label", &long, "the limit is 255"),
            ("pkcs11_key_label", "", "no key is named"),
            ("pkcs11_key_id", "abc", "not a key id"),
            ("pkcs11_pin_file", "", "no PIN file"),
            ("pkcs11_pin_file", "pin", "neither an absolute path"),
            ("pkcs11_mechanism", "des", "not a mechanism"),
            ("pkcs11_random", "dice", "not a value for random"),
            ("pkcs11_storage", "cloud", "not a value for storage"),
            ("pkcs11_cache", "maybe", "not a value for cache"),
            ("pkcs11_cache", "off", "Only keys on the token"),
        ] {
            let message = finish(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
        }
    }
}
