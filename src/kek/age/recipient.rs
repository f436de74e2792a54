//! Recipients: the public keys that a data key is wrapped for (age-encryption.org/v1: X25519, ssh-ed25519, ssh-rsa).
//!
//! Owns which of them are taken, and their names for people. It must never start a program: a recipient of a plugin is
//! refused.

use crate::text::shorten;
use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};
use std::fmt;

/// Most recipients of one KEK: as many of the longest (RSA with 4,096 bits) fit into a stanza.
pub(super) const MAX_RECIPIENTS: usize = 8;
/// Longest text of a recipient in bytes; an RSA key of 4,096 bits has about 730, its comment may follow.
const MAX_TEXT: usize = 1024;

/// A fault, which stands behind "a recipient", and what to do.
pub(super) type Fault = (String, &'static str);

/// A public key.
#[derive(Clone)]
pub(super) struct Recipient {
    /// As age writes it, without a comment.
    text: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// Reads `age1…`, or a line of an SSH public key file, whose comment is left out.
    pub(super) fn parse(text: &str) -> Result<Recipient, Fault> {
        if text.is_empty() {
            return Err(("is empty".into(), "Leave the comma out."));
        }
        if text.len() > MAX_TEXT {
            let fault = format!("has {} bytes, the limit is {MAX_TEXT}", text.len());
            return Err((fault, "Name the public key itself, not a file of them."));
        }
        let said = shorten(text);
        if text.starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY") {
            return Err((
                "is a secret key, which must stand in no configuration".into(),
                "Name its public key (age-keygen -y shows it), and take the secret key for disclosed.",
            ));
        }
        if let Ok(key) = text.parse::<age::x25519::Recipient>() {
            return Ok(Recipient {
                text: key.to_string(),
                key: Key::X25519(key),
            });
        }
        if is_of_a_plugin(text) {
            return Err((
                format!("'{said}' is of a plugin or a kind that is not known here"),
                "Use a key of age-keygen (age1 and 58 characters behind it) or of ssh-keygen: no plugin is ever started.",
            ));
        }
        if text.starts_with("age1") {
            return Err((
                format!("'{said}' is no public key: a character is wrong or missing"),
                "Copy it again.",
            ));
        }
        ssh(text).map(|key| Recipient {
            text: key.to_string(),
            key: Key::Ssh(key),
        })
    }

    /// Its name for people: the key itself, or what ssh-keygen -l shows of it.
    pub(super) fn name(&self) -> String {
        let Key::Ssh(_) = &self.key else {
            return self.text.clone();
        };
        let (kind, key) = self.text.split_once(' ').unwrap_or_default();
        let key = BASE64.decode(key.as_bytes()).unwrap_or_default();
        let print = BASE64_NOPAD.encode(&Sha256::digest(&key));
        format!("{kind} SHA256:{print}")
    }

    /// As age takes it.
    pub(super) fn as_age(&self) -> &dyn age::Recipient {
        match &self.key {
            Key::X25519(key) => key,
            Key::Ssh(key) => key,
        }
    }
}

impl From<age::x25519::Recipient> for Recipient {
    fn from(key: age::x25519::Recipient) -> Recipient {
        Recipient {
            text: key.to_string(),
            key: Key::X25519(key),
        }
    }
}

impl From<age::ssh::Recipient> for Recipient {
    fn from(key: age::ssh::Recipient) -> Recipient {
        Recipient {
            text: key.to_string(),
            key: Key::Ssh(key),
        }
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Recipient) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// `age1NAME1…` is of a plugin; the data of bech32 has no digit 1, so that a second one ends a name.
fn is_of_a_plugin(text: &str) -> bool {
    let rest = text.strip_prefix("age1");
    rest.is_some_and(|rest| rest.contains('1'))
}

/// The public key in a line as ssh-keygen writes it.
fn ssh(line: &str) -> Result<age::ssh::Recipient, Fault> {
    use age::ssh::ParseRecipientKeyError as E;
    const HINT: &str = "Use a key of age-keygen (age1...), or a public key of ssh-keygen: ssh-ed25519, or ssh-rsa with 2,048 to 4,096 bits.";
    let mut words = line.split_ascii_whitespace();
    let (kind, key) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let said = shorten(line);
    if !line.starts_with("ssh-") && !line.starts_with("ecdsa-") && !line.starts_with("sk-") {
        let fault = format!("'{said}' is neither a public key of age nor one of SSH");
        return Err((fault, HINT));
    }
    // A parser of streams: it wants to see the end of the key.
    let parsed: Result<age::ssh::Recipient, E> = format!("{kind} {key} \n").parse();
    match parsed {
        Ok(parsed) if parsed.to_string() == format!("{kind} {key}") => Ok(parsed),
        Err(E::RsaModulusTooLarge) => Err((format!("'{said}' has more than 4,096 bits"), HINT)),
        Err(E::RsaModulusTooSmall) => Err((format!("'{said}' has fewer than 2,048 bits"), HINT)),
        Err(E::Unsupported(kind)) => {
            let fault = format!(
                "'{said}' is of the kind {}, which age does not take",
                shorten(&kind)
            );
            Err((fault, HINT))
        }
        Ok(_) | Err(_) => Err((format!("'{said}' is no whole public key"), HINT)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The public keys of age's own examples (age 0.12, src/native/x25519.rs, src/ssh/recipient.rs).
    pub(in super::super) const X25519: &str =
        "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    pub(in super::super) const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@rust";

    #[test]
    fn public_keys_of_age_and_of_ssh() {
        let key = Recipient::parse(X25519).unwrap();
        assert_eq!(
            (key.name().as_str(), format!("{key:?}").as_str()),
            (X25519, X25519)
        );
        let key = Recipient::parse(ED25519).unwrap();
        // ssh-keygen -l -f
        assert_eq!(
            key.name(),
            "ssh-ed25519 SHA256:PYX4o9UfGwCwG76hFcLAEkmMS0PtIBtV9MNmVgW16Oc"
        );
        let bare = ED25519.strip_suffix(" alice@rust").unwrap();
        assert_eq!(key, Recipient::parse(bare).unwrap());
    }

    #[test]
    fn everything_else_has_its_sentence() {
        let long = "x".repeat(MAX_TEXT + 1);
        for (text, sentence) in [
            ("", "is empty"),
            (&long[..], "the limit is 1024"),
            ("bob", "neither a public key of age nor one of SSH"),
            (
                &X25519[..X25519.len() - 1],
                "a character is wrong or missing",
            ),
            (&X25519.replace('7', "8"), "a character is wrong or missing"),
            (
                "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt",
                "is of a plugin",
            ),
            (
                "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33",
                "is a secret key",
            ),
            ("ssh-ed25519", "is no whole public key"),
            (&ED25519[..60], "is no whole public key"),
            (
                "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA==",
                "which age does not take",
            ),
        ] {
            let (fault, hint) = Recipient::parse(text).unwrap_err();
            assert!(fault.contains(sentence), "{text}: {fault}");
            assert!(hint.ends_with('.'), "{hint}");
            assert!(!fault.contains("1GQ9778"), "a secret is not repeated");
        }
    }
}
