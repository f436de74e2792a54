//! Identities: the secret keys that open what recipients are for, read from a file when they are needed.
//!
//! Owns what such a file may hold. It must never keep a key beyond the call, never repeat a line of the file, and never
//! start a plugin or ask for a passphrase.

use super::recipient::Recipient;
use crate::error::{Error, Kind, Result};
use crate::secret::SecretPool;
use crate::secret_source::{self, SecretRef};

const OP: &str = "read the age identity";
/// Most secret keys of one file: each costs two operations on a curve.
const MAX_IDENTITIES: usize = 64;

/// A secret key, and the public key that belongs to it.
pub(super) struct Identity {
    pub(super) key: Box<dyn age::Identity>,
    pub(super) recipient: Recipient,
}

/// Reads a file of age-keygen, with a secret key in each line, or a private key of ssh-keygen.
///
/// # Errors
/// As [`secret_source::read_warned`]; InvalidInput: it holds something else, or what it holds is encrypted itself.
pub(super) fn read(
    pool: &SecretPool,
    source: &SecretRef,
    warnings: &mut Vec<String>,
) -> Result<Vec<Identity>> {
    let bytes = secret_source::read_warned(pool, OP, source, warnings)?;
    let bad = |(fault, hint): (String, &str)| {
        Error::new(Kind::InvalidInput, OP, format!("{source} {fault}"))
            .hint(format!("{hint} Nothing was changed."))
    };
    parse(&bytes).map_err(bad)
}

type Fault = (String, &'static str);

fn parse(bytes: &[u8]) -> std::result::Result<Vec<Identity>, Fault> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err((
            "is not text".into(),
            "Name the file that age-keygen or ssh-keygen wrote.",
        ));
    };
    if text.starts_with("age-encryption.org/") || text.contains("BEGIN AGE ENCRYPTED FILE") {
        return Err((
            "is encrypted itself".into(),
            "Decrypt it first, into memory: age -d FILE > /dev/shm/identity.",
        ));
    }
    if text.contains("PRIVATE KEY-----") {
        return Ok(vec![ssh(text)?]);
    }
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.push(
            native(line)
                .map_err(|(what, hint)| (format!("has {what} in line {}", number + 1), hint))?,
        );
        if found.len() > MAX_IDENTITIES {
            return Err((
                format!("has more than {MAX_IDENTITIES} secret keys"),
                "Name a file with the one that is needed.",
            ));
        }
    }
    match found.is_empty() {
        true => Err((
            "holds no secret key".into(),
            "Name the file that age-keygen or ssh-keygen wrote.",
        )),
        false => Ok(found),
    }
}

/// A line of age-keygen's file.
fn native(line: &str) -> std::result::Result<Identity, (&'static str, &'static str)> {
    if line.starts_with("AGE-PLUGIN-") {
        return Err((
            "an identity of a plugin",
            "No plugin is ever started here. Use a key of age-keygen or of ssh-keygen.",
        ));
    }
    let key: age::x25519::Identity = line.parse().map_err(|_| {
        (
            "something else than a secret key of age",
            "It begins with AGE-SECRET-KEY-1; age-keygen writes such files.",
        )
    })?;
    Ok(Identity {
        recipient: key.to_public().into(),
        key: Box::new(key),
    })
}

/// A private key of SSH.
fn ssh(text: &str) -> std::result::Result<Identity, Fault> {
    use age::ssh::{Identity as Ssh, Recipient as SshRecipient, UnsupportedKey};
    const HINT: &str =
        "Use a private key of ssh-keygen: ssh-ed25519, or ssh-rsa with 2,048 to 4,096 bits.";
    let not_one = |_| ("holds no whole private key of SSH".to_string(), HINT);
    let key = Ssh::from_buffer(text.as_bytes(), None).map_err(not_one)?;
    match key {
        Ssh::Unencrypted(_) => {}
        Ssh::Encrypted(_) | Ssh::Unsupported(UnsupportedKey::EncryptedPem) => {
            return Err((
                "is encrypted by a passphrase".into(),
                "Make a copy in memory (/dev/shm) without one: ssh-keygen -p -N '' -f COPY.",
            ));
        }
        Ssh::Unsupported(_) => {
            return Err(("holds a private key that age does not take".into(), HINT));
        }
    }
    let recipient = SshRecipient::try_from(key.clone()).map_err(|_| {
        (
            "holds a private key that age does not take".to_string(),
            HINT,
        )
    })?;
    Ok(Identity {
        key: Box::new(key),
        recipient: recipient.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::age::recipient::tests::X25519;

    /// The secret key of [`X25519`].
    const SECRET: &str =
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    #[test]
    fn a_file_of_age_keygen() {
        let file = format!("# created: 2026-01-01\n# public key: {X25519}\n\n{SECRET}\r\n");
        let found = parse(file.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].recipient.name(), X25519);
        let many = format!("{SECRET}\n").repeat(MAX_IDENTITIES);
        assert_eq!(parse(many.as_bytes()).unwrap().len(), MAX_IDENTITIES);
    }

    #[test]
    fn everything_else_has_its_sentence_and_no_line_is_repeated() {
        let many = format!("{SECRET}\n").repeat(MAX_IDENTITIES + 1);
        let cut = &SECRET[..SECRET.len() - 1];
        for (text, sentence) in [
            ("", "holds no secret key"),
            ("# nothing\n", "holds no secret key"),
            (
                "hunter2\n",
                "something else than a secret key of age in line 1",
            ),
            (&format!("{SECRET}\n{cut}"), "in line 2"),
            (X25519, "something else than a secret key"),
            (&many, "more than 64 secret keys"),
            ("AGE-PLUGIN-YUBIKEY-1Q2W", "an identity of a plugin"),
            ("age-encryption.org/v1\n-> scrypt", "is encrypted itself"),
            (
                "-----BEGIN AGE ENCRYPTED FILE-----\n",
                "is encrypted itself",
            ),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
                "no whole private key",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
                "is encrypted by a passphrase",
            ),
        ] {
            let (fault, hint) = parse(text.as_bytes()).err().unwrap();
            assert!(fault.contains(sentence), "{sentence}: {fault}");
            assert!(hint.ends_with('.'), "{hint}");
            assert!(
                !fault.contains("hunter2") && !fault.contains("SECRET-KEY-1G"),
                "{fault}"
            );
        }
        assert!(parse(b"\xff\xfe").err().unwrap().0.contains("not text"));
    }
}
