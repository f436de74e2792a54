//! The options of the backend `pkcs11`: which module, which token, which key, and how.

use super::{Layer, OP, SecretRef, shorten};
use crate::error::{Error, Kind, Result};
use crate::os::file;
use std::fmt;
use std::path::{Path, PathBuf};

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
    /// A new DEK mixes the token's random bytes with the system's.
    pub token_random: bool,
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
    /// Reads the options of the backend. `path` is the keyring file's.
    pub(super) fn read(layer: &Layer, path: &Path, origin: &str) -> Result<Pkcs11Config> {
        let bad = |why: String, hint: &str| {
            Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint)
        };
        let bounded = |name: &str| match layer.given(name) {
            Some(text) if text.len() > MAX_LABEL => Err(bad(
                format!("{name} has {} bytes, the limit is {MAX_LABEL}", text.len()),
                "Choose a shorter one.",
            )),
            text => Ok(text.map(String::from)),
        };
        let module = match layer.given("pkcs11_module") {
            Some(text) if text.starts_with('/') && text.len() <= 4096 => PathBuf::from(text),
            Some(text) => {
                return Err(bad(
                    format!("the module '{}' is not an absolute path", shorten(text)),
                    "Give the path from the root on, as your HSM's vendor documents it.",
                ));
            }
            None => {
                return Err(bad(
                    "the pkcs11 backend has no module".into(),
                    "Set module in \"pkcs11\" (my.cnf: pkcs11_module) to the library of your HSM.",
                ));
            }
        };
        let slot = match layer.given("pkcs11_slot") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                bad(
                    format!("'{}' is not a slot number", shorten(text)),
                    "Use the number that keyring-ward hsm list shows.",
                )
            })?),
        };
        let label = bounded("pkcs11_token_label")?;
        let serial = bounded("pkcs11_token_serial")?;
        let token = match (label, serial, slot) {
            (Some(label), None, None) => TokenChoice::Label(label),
            (None, Some(serial), None) => TokenChoice::Serial(serial),
            (None, None, Some(slot)) => TokenChoice::Slot(slot),
            (None, None, None) => {
                return Err(bad(
                    "no token is named".into(),
                    "Set token_label or token_serial in \"pkcs11\". keyring-ward hsm list shows both.",
                ));
            }
            _ => {
                return Err(bad(
                    "more than one of token_label, token_serial and slot is given".into(),
                    "Keep one of them.",
                ));
            }
        };
        let id = match layer.given("pkcs11_key_id") {
            None => None,
            Some(text) => Some(super::from_hex(text, MAX_ID).ok_or_else(|| {
                bad(
                    format!("'{}' is not a key id", shorten(text)),
                    "Use hexadecimal digits, two for each byte of CKA_ID.",
                )
            })?),
        };
        let key = KeyChoice {
            label: bounded("pkcs11_key_label")?,
            id,
        };
        if key == KeyChoice::default() {
            return Err(bad(
                "no key is named".into(),
                "Set key_label or key_id in \"pkcs11\".",
            ));
        }
        let pin = match layer.given("pkcs11_pin_file") {
            Some(text) => SecretRef::parse(text, origin)?,
            None => {
                return Err(bad(
                    "no PIN file is named".into(),
                    "Set pin_file in \"pkcs11\" to a file that holds the user PIN, or to credential:NAME.",
                ));
            }
        };
        let mechanism = match layer.given("pkcs11_mechanism") {
            None => None,
            Some(text) => Some(Mechanism::from_name(text).ok_or_else(|| {
                let names: Vec<_> = Mechanism::ALL.iter().map(|m| m.name()).collect();
                bad(
                    format!("'{}' is not a mechanism", shorten(text)),
                    &format!("Use one of {}, or leave it out.", names.join(", ")),
                )
            })?),
        };
        let token_random = match layer.given("pkcs11_random") {
            None | Some("token") => true,
            Some("system") => false,
            Some(text) => {
                return Err(bad(
                    format!("'{}' is not a value for random", shorten(text)),
                    "Use token or system.",
                ));
            }
        };
        let cache = match layer.given("pkcs11_cache") {
            None => true,
            Some(text) => super::parse_bool(text).ok_or_else(|| {
                bad(
                    format!("'{}' is not a value for cache", shorten(text)),
                    "Use true or false.",
                )
            })?,
        };
        let storage = match (layer.given("pkcs11_storage"), cache) {
            (None | Some("file"), true) => Storage::File,
            (None | Some("file"), false) => {
                return Err(bad(
                    "cache is false, but the keys are in the keyring file".into(),
                    "Only keys on the token (storage: token) can do without memory.",
                ));
            }
            (Some("token"), cache) => Storage::Token { cache },
            (Some(text), _) => {
                return Err(bad(
                    format!("'{}' is not a value for storage", shorten(text)),
                    "Use file or token.",
                ));
            }
        };
        Ok(Pkcs11Config {
            storage,
            module,
            module_args: bounded("pkcs11_module_args")?,
            token,
            key,
            pin,
            mechanism,
            token_random,
            refused_pin: file::beside(path, ".refused-pin"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::KekConfig;
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
        let layer = Layer::of("test", base.iter().chain(changes));
        match layer.finish()?.keks.remove(0) {
            KekConfig::Pkcs11(config) => Ok(*config),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn complete() {
        let config = finish(&[("pkcs11_mechanism", "aes-kwp"), ("pkcs11_key_id", "0aFF")]).unwrap();
        assert_eq!(config.token, TokenChoice::Label("t".into()));
        assert_eq!(config.key.id, Some(vec![10, 255]));
        assert_eq!(config.mechanism, Some(Mechanism::AesKeyWrapPad));
        assert_eq!(config.refused_pin, PathBuf::from("/k/f.refused-pin"));
        assert!(config.token_random);
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
            ("file_key_file", "/x", "an option of the backend file"),
        ] {
            let message = finish(&[(name, value)]).unwrap_err().to_string();
            assert!(message.contains(sentence), "{name}={value}: {message}");
        }
    }
}
