//! The configuration: one typed model, three readers.
//!
//! Owns the list of options ([`OPTIONS`]) that JSON, option files and plugin variables are read
//! with, the layering, and the checks. It must never hold a secret: secrets are referenced.

pub mod discover;
pub mod json;
pub mod option_file;

use crate::envelope::FINGERPRINT;
use crate::error::{Error, Kind, Result};
use std::fmt;
use std::path::PathBuf;

const OP: &str = "read the configuration";

/// Where keys live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An encrypted file; the KEK is a passphrase or a key file.
    File,
}

impl Backend {
    /// The name in configurations and status rows.
    pub fn name(self) -> &'static str {
        match self {
            Backend::File => "file",
        }
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// A file with an absolute path.
    File(PathBuf),
    /// A systemd credential: the file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl SecretRef {
    /// Reads an absolute path or `credential:NAME`. `origin` names where it stands, for messages.
    ///
    /// # Errors
    /// Config: it is neither.
    pub fn parse(text: &str, origin: &str) -> Result<SecretRef> {
        match text.strip_prefix("credential:") {
            Some(name) => Ok(SecretRef::Credential(name.into())),
            None if text.starts_with('/') => Ok(SecretRef::File(text.into())),
            None => Err(Error::new(
                Kind::Config,
                OP,
                format!(
                    "'{}' is neither an absolute path nor credential:NAME (in {origin})",
                    shorten(text)
                ),
            )
            .hint("Give the path from the root on.")),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::File(path) => write!(f, "'{}'", path.display()),
            SecretRef::Credential(name) => write!(f, "credential '{name}'"),
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
}

/// A complete, checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where keys live.
    pub backend: Backend,
    /// The keyring file, absolute.
    pub path: PathBuf,
    /// No write is accepted and nothing on disk is touched.
    pub read_only: bool,
    /// The DEK that the file must have, if pinned.
    pub fingerprint: Option<[u8; FINGERPRINT]>,
    /// The KEKs; one entry for now.
    pub keks: Vec<KekConfig>,
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
pub const OPTIONS: [OptionSpec; 6] = [
    OptionSpec {
        name: "backend",
        json: (None, "backend"),
        kind: ValueKind::Text,
        help: "Where keys live: file",
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
        help: "The DEK that the file must have, as keyring-ward status shows it",
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
];

/// The values that one or more readers found; later layers replace earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    values: [Option<String>; OPTIONS.len()],
    origins: Vec<String>,
}

impl Layer {
    /// An empty layer that knows where it comes from.
    pub fn from_origin(origin: impl Into<String>) -> Layer {
        Layer {
            values: Default::default(),
            origins: vec![origin.into()],
        }
    }

    /// Sets an option of [`OPTIONS`] by its index.
    pub fn set(&mut self, option: usize, value: impl Into<String>) {
        self.values[option] = Some(value.into());
    }

    /// No option is set.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// Lays `over` on top.
    pub fn overlay(&mut self, over: Layer) {
        for (mine, theirs) in self.values.iter_mut().zip(over.values) {
            if theirs.is_some() {
                *mine = theirs;
            }
        }
        self.origins.extend(over.origins);
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
            Some("file") => Backend::File,
            Some(other) => {
                return Err(bad(
                    format!("'{}' is not a backend", shorten(other)),
                    "This version has one backend: file.",
                ));
            }
            None => return Err(bad("no backend is named".into(), "Set backend to file.")),
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
        let fingerprint = match self.get("fingerprint") {
            None | Some("") => None,
            Some(text) => Some(parse_fingerprint(text).ok_or_else(|| {
                bad(
                    format!("'{}' is not a fingerprint", shorten(text)),
                    "Use the 32 hexadecimal digits that keyring-ward status shows.",
                )
            })?),
        };
        let secret = |text: &str| SecretRef::parse(text, &origin);
        let given = |name| self.get(name).filter(|v| !v.is_empty());
        let kek = match (given("file_passphrase_file"), given("file_key_file")) {
            (Some(text), None) => KekConfig::Passphrase(secret(text)?),
            (None, Some(text)) => KekConfig::KeyFile(secret(text)?),
            (Some(_), Some(_)) => {
                return Err(bad(
                    "both a passphrase file and a key file are named".into(),
                    "Keep the one that the keyring was made with.",
                ));
            }
            (None, None) => {
                return Err(bad(
                    "the file backend has no KEK".into(),
                    "Set passphrase_file or key_file in \"file\" (my.cnf: file_passphrase_file or \
                     file_key_file).",
                ));
            }
        };
        Ok(Config {
            backend,
            path,
            read_only,
            fingerprint,
            keks: vec![kek],
            origin,
        })
    }
}

/// The index of an option by a test on its specification.
pub fn find_option(test: impl Fn(&OptionSpec) -> bool) -> Option<usize> {
    OPTIONS.iter().position(test)
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

fn parse_fingerprint(text: &str) -> Option<[u8; FINGERPRINT]> {
    if text.len() != 2 * FINGERPRINT || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; FINGERPRINT];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(out)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Values in messages: control characters escaped, at most 100 characters.
fn shorten(text: &str) -> String {
    text.chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect()
}

/// The error for an unknown name, with the nearest known one as a suggestion.
fn unknown<'a>(name: &str, origin: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let near = known
        .map(|k| (edit_distance(&name.to_ascii_lowercase(), k), k))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    let hint = match near {
        Some((_, k)) => format!("Did you mean '{k}'?"),
        None => "docs/configuration.md lists the names.".into(),
    };
    Error::new(
        Kind::Config,
        OP,
        format!("'{}' is not an option (in {origin})", shorten(name)),
    )
    .hint(hint)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(values: &[(&str, &str)]) -> Layer {
        let mut layer = Layer::from_origin("test");
        for (name, value) in values {
            layer.set(find_option(|o| o.name == *name).unwrap(), *value);
        }
        layer
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
            ("fingerprint", "xyz", "not a fingerprint"),
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
    fn the_upper_layer_wins() {
        let mut l = layer(&GOOD);
        l.overlay(layer(&[("path", "/other"), ("read_only", "ON")]));
        let config = l.finish().unwrap();
        assert_eq!(config.path, PathBuf::from("/other"));
        assert!(config.read_only);
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
