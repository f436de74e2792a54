//! Where a secret comes from ([`SecretRef`]), and reading it from a file or a systemd credential, straight into secret memory.
//!
//! Owns what such a file may be: who owns it and who may read it ([`trusted`] looks), how long it is, and for
//! secrets that people write (passphrases, PINs) that it is one line. It must never copy the secret into ordinary
//! memory.

use crate::error::{Error, Kind, Result};
use crate::os::trusted::{self, Rule, Trusted};
use crate::secret::{SecretBytes, SecretPool};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const OP: &str = "read the configuration";

/// Longest secret file in bytes.
pub const MAX_SECRET: u64 = 65_536;

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// A file with an absolute path.
    File(PathBuf),
    /// A systemd credential: the file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// Already read, from a descriptor or a prompt of the tool.
    Held(Held),
}

/// A secret that the tool has asked for. Neither printed nor compared by content.
#[derive(Clone)]
pub struct Held(Arc<SecretBytes>);

impl Held {
    /// Holds a secret.
    pub fn new(secret: SecretBytes) -> Held {
        Held(Arc::new(secret))
    }

    /// The secret.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held")
    }
}
impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl Eq for Held {}

impl SecretRef {
    /// Reads an absolute path or `credential:NAME`. `option` and `origin` name what it is the value of and where it
    /// stands, for messages. The text is not shown: who takes the option for the secret itself has written that.
    ///
    /// # Errors
    /// Config: it is neither.
    pub fn parse(text: &str, option: &str, origin: &str) -> Result<SecretRef> {
        match text.strip_prefix("credential:") {
            Some(name) => Ok(SecretRef::Credential(name.into())),
            None if text.starts_with('/') => Ok(SecretRef::File(text.into())),
            None => Err(Error::new(
                Kind::Config,
                OP,
                format!(
                    "the value of {option} is neither an absolute path nor credential:NAME (in {origin})"
                ),
            )
            .hint("Give the path of a file from the root on. The value is not shown: it may be what belongs into that file.")),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::File(path) => write!(f, "'{}'", path.display()),
            SecretRef::Credential(name) => write!(f, "credential '{name}'"),
            SecretRef::Held(_) => write!(f, "what was given"),
        }
    }
}

/// Full sentences about a secret, kept until the log asks for them; each once.
#[derive(Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Keeps sentences.
    pub fn add(&self, sentences: impl IntoIterator<Item = String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sentence in sentences {
            if !kept.contains(&sentence) {
                kept.push(sentence);
            }
        }
    }

    /// Gives and forgets them.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads the secret, for callers that have no log.
///
/// # Errors
/// As [`read_warned`].
pub fn read(pool: &SecretPool, what: &'static str, source: &SecretRef) -> Result<SecretBytes> {
    read_warned(pool, what, source, &mut Vec::new())
}

/// Reads the secret. `warnings` gets full sentences about what passes although it could be better.
///
/// # Errors
/// Config: no such credential. NotFound, Permission, InvalidInput, Io: what is wrong with the file.
pub fn read_warned(
    pool: &SecretPool,
    what: &'static str,
    source: &SecretRef,
    warnings: &mut Vec<String>,
) -> Result<SecretBytes> {
    let (path, rule) = match source {
        SecretRef::File(path) => (path.clone(), Rule::Secret),
        SecretRef::Credential(name) => (credential_path(name)?, Rule::Credential),
        SecretRef::Held(held) => return pool.copy(held.bytes()),
    };
    let Trusted {
        mut file,
        meta,
        warnings: found,
        ..
    } = trusted::open(&path, rule, what)?;
    warnings.extend(found);
    let bad = |why: String| {
        let why = format!("'{}' {why}", path.display());
        Error::new(Kind::InvalidInput, what, why).hint("Is this the right file?")
    };
    if meta.len() > MAX_SECRET {
        return Err(bad(format!(
            "has {} bytes, the limit is {MAX_SECRET}",
            meta.len()
        )));
    }
    // One byte more than its size, to see the end; a file in /proc reports size 0.
    let mut secret = pool.zeroed((meta.len() as usize).max(4096) + 1)?;
    let mut filled = 0;
    loop {
        match file.read(&mut secret[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(what, format!("'{}'", path.display()), e)),
        }
        if filled == secret.len() {
            return Err(bad("grew while it was read".into()));
        }
    }
    let mut exact = pool.zeroed(filled)?;
    exact.copy_from_slice(&secret[..filled]);
    Ok(exact)
}

/// Reads a secret that people write: one line of text. One line end is not part of it.
///
/// # Errors
/// As [`read_warned`]; InvalidInput: it is empty, has a second line, a byte order mark, a control character, or a blank at
/// an end. It has not been tried then.
pub fn line(
    pool: &SecretPool,
    what: &'static str,
    source: &SecretRef,
    warnings: &mut Vec<String>,
) -> Result<SecretBytes> {
    let mut text = read_warned(pool, what, source, warnings)?;
    let end = text.strip_suffix(b"\n").map_or(text.len(), |t| {
        t.strip_suffix(b"\r").map_or(t.len(), <[u8]>::len)
    });
    text.truncate(end);
    match why_not_a_line(&text) {
        None => Ok(text),
        Some(why) => Err(
            Error::new(Kind::InvalidInput, what, format!("{source} {why}")).hint(
                "Put the secret alone into it, in one line, with nothing before or behind it. It was not tried, and \
                 nothing of the keyring was changed.",
            ),
        ),
    }
}

/// Why a text, without its line end, is not one line as people mean it.
fn why_not_a_line(text: &[u8]) -> Option<&'static str> {
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"];
    if text.is_empty() {
        return Some("is empty");
    }
    if marks.iter().any(|mark| text.starts_with(mark)) {
        return Some("begins with a byte order mark, which some editors write");
    }
    if text.contains(&0) {
        return Some("has a NUL byte: is it text in UTF-16, or a key file?");
    }
    if text.contains(&b'\n') {
        return Some("has more than one line");
    }
    if text.contains(&b'\r') {
        return Some("has a carriage return inside");
    }
    // Other encodings than UTF-8 are taken byte by byte.
    let parsed = std::str::from_utf8(text).ok();
    let control = |b: &u8| *b < b' ' && *b != b'\t' || *b == 0x7f;
    if text.iter().any(control) || parsed.is_some_and(|t| t.contains(is_odd)) {
        return Some("has a control character");
    }
    let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    let at_ends = parsed.is_some_and(|t| t.trim().len() != t.len());
    if blank(text.first()) || blank(text.last()) || at_ends {
        return Some("has a blank or a tab at its beginning or end");
    }
    None
}

/// A character that no keyboard gives and no editor shows.
fn is_odd(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{200b}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// The file of a systemd credential.
///
/// # Errors
/// Config: the name is none, or systemd gave this process no credentials.
pub fn credential_path(name: &str) -> Result<PathBuf> {
    const OP: &str = "read the systemd credential";
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(Error::new(
            Kind::Config,
            OP,
            format!("'{name}' is not a name of a credential"),
        )
        .hint("Write credential:NAME, as in LoadCredentialEncrypted=NAME:…"));
    }
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Error::new(
            Kind::Config,
            OP,
            format!("'{name}': systemd gave this process no credentials"),
        )
        .hint("Add LoadCredential= or LoadCredentialEncrypted= to the unit that starts mysqld.")
    })?;
    Ok(Path::new(&folder).join(name))
}

#[cfg(test)]
mod tests {
    use super::Held;
    use super::*;

    fn of(text: &[u8]) -> Result<Vec<u8>> {
        let pool = SecretPool::new();
        let held = SecretRef::Held(Held::new(pool.copy(text).unwrap()));
        line(&pool, "read the secret", &held, &mut Vec::new()).map(|secret| secret.to_vec())
    }

    #[test]
    fn one_line_and_nothing_else() {
        for (text, secret) in [
            (&b"open sesame"[..], &b"open sesame"[..]),
            (b"open sesame\n", b"open sesame"),
            (b"open sesame\r\n", b"open sesame"),
            (b"open\tsesame", b"open\tsesame"),
            ("Grüße, 世界".as_bytes(), "Grüße, 世界".as_bytes()),
            (b"caf\xe9", b"caf\xe9"),
        ] {
            assert_eq!(of(text).unwrap(), secret, "{text:?}");
        }
        for (text, sentence) in [
            (&b""[..], "is empty"),
            (b"\n", "is empty"),
            (b"\r\n", "is empty"),
            (b"\xef\xbb\xbfopen", "byte order mark"),
            (b"\xff\xfeo\0p\0", "byte order mark"),
            (b"\xfe\xff\0o\0p", "byte order mark"),
            (b"o\0p", "NUL"),
            (b"open\n\n", "more than one line"),
            (b"open\nsesame\n", "more than one line"),
            (b"\nopen", "more than one line"),
            (b"open\r", "carriage return"),
            (b"open\r\r\n", "carriage return"),
            (b"op\x07en", "control character"),
            (b"op\x7fen", "control character"),
            ("op\u{85}en".as_bytes(), "control character"),
            ("op\u{200b}en".as_bytes(), "control character"),
            (b" open", "blank or a tab"),
            (b"open \n", "blank or a tab"),
            (b"open\t", "blank or a tab"),
            ("open\u{a0}".as_bytes(), "blank or a tab"),
        ] {
            let e = of(text).unwrap_err();
            assert_eq!(e.kind(), Kind::InvalidInput);
            assert!(e.to_string().contains(sentence), "{text:?}: {e}");
        }
    }

    #[test]
    fn a_secret_in_the_place_of_its_file_is_not_shown() {
        let e = SecretRef::parse("hvs.HIDDEN", "vault_token_file", "my.cnf:3").unwrap_err();
        let said = e.to_string();
        assert!(
            said.contains("vault_token_file") && said.contains("my.cnf:3"),
            "{said}"
        );
        assert!(!said.contains("HIDDEN"), "{said}");
    }

    #[test]
    fn warnings_are_told_once() {
        let warnings = Warnings::default();
        warnings.add(["a".into(), "b".into(), "a".into()]);
        assert_eq!(warnings.take(), ["a", "b"]);
        assert!(warnings.take().is_empty());
    }
}
