//! Identities: the secret keys that open what recipients are for, read from a file when they are needed.
//!
//! Owns what such a file may hold. It must never keep a key beyond the call, never repeat a line of the file, and never
//! start a plugin or ask for a passphrase.

use super::recipient::Recipient;
use super::seal::{self, KeyType, POINT, SecretKey};
use super::ssh::{self, Refused};
use crate::error::{Error, Kind, Result};
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use crate::secret_source::{self, SecretRef};
use bech32::Bech32;
use bech32::primitives::decode::CheckedHrpstring;

const OP: &str = "read the age identity";
/// Most secret keys of one file: each costs two operations on a curve.
const MAX_IDENTITIES: usize = 64;
/// What age's secret keys begin with.
const HRP: &str = "AGE-SECRET-KEY-1";

/// A secret key, and the public key that belongs to it.
pub struct Identity {
    pub(super) key: SecretKey,
    pub(super) recipient: Recipient,
}

/// Why a file gives no secret key.
pub enum Refusal {
    /// What stands behind the file's name, and what to do.
    Fault(String, &'static str),
    /// It could not be looked at.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Refusal {
        Refusal::Failed(e)
    }
}

fn fault(fault: impl Into<String>, hint: &'static str) -> Refusal {
    Refusal::Fault(fault.into(), hint)
}

const WROTE: &str = "Name the file that age-keygen or ssh-keygen wrote.";

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
    parse(pool, &bytes).map_err(|refusal| match refusal {
        Refusal::Failed(e) => e,
        Refusal::Fault(fault, hint) => {
            Error::new(Kind::InvalidInput, OP, format!("{source} {fault}"))
                .hint(format!("{hint} Nothing was changed."))
        }
    })
}

/// The secret keys in the bytes of such a file.
///
/// # Errors
/// It holds something else, or what it holds is encrypted itself.
pub fn parse(pool: &SecretPool, bytes: &[u8]) -> std::result::Result<Vec<Identity>, Refusal> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(fault("is not text", WROTE));
    };
    // Editors of Windows put a byte order mark before it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.starts_with("age-encryption.org/") || text.contains("BEGIN AGE ENCRYPTED FILE") {
        return Err(fault(
            "is encrypted itself",
            "Decrypt it first, into memory: age -d FILE > /dev/shm/identity.",
        ));
    }
    if text.starts_with("PuTTY-User-Key-File-") {
        return Err(fault(
            "is in PuTTY's format",
            "Make a copy in OpenSSH's format, in memory: puttygen FILE -O private-openssh-new -o /dev/shm/identity.",
        ));
    }
    if text.contains("PRIVATE KEY-----") {
        return Ok(vec![of_ssh(pool, text)?]);
    }
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.push(native(pool, line, number + 1)?);
        if found.len() > MAX_IDENTITIES {
            return Err(fault(
                format!("has more than {MAX_IDENTITIES} secret keys"),
                "Name a file with the one that is needed.",
            ));
        }
    }
    match found.is_empty() {
        true => Err(fault("holds no secret key", WROTE)),
        false => Ok(found),
    }
}

/// A line of age-keygen's file.
fn native(pool: &SecretPool, line: &str, number: usize) -> std::result::Result<Identity, Refusal> {
    if line.starts_with("AGE-PLUGIN-") {
        return Err(fault(
            format!("has an identity of a plugin in line {number}"),
            "No plugin is ever started here. Use a key of age-keygen or of ssh-keygen.",
        ));
    }
    let scalar = scalar(pool, line)?.ok_or_else(|| {
        fault(
            format!("has something else than a secret key of age in line {number}"),
            "A line of age-keygen begins with AGE-SECRET-KEY-1. Name the file of the secret key, not that of the public one.",
        )
    })?;
    let recipient = seal::x25519_public(&scalar).and_then(Recipient::of_x25519);
    wipe_stack();
    Ok(Identity {
        recipient: recipient.ok_or_else(|| {
            fault(
                format!("has a secret key that is no use in line {number}"),
                "Use a key of age-keygen.",
            )
        })?,
        key: SecretKey::Curve(KeyType::X25519, scalar),
    })
}

/// The scalar in `AGE-SECRET-KEY-1…` (bech32 of BIP 173, in its one spelling). `None`: it is something else.
fn scalar(pool: &SecretPool, line: &str) -> Result<Option<SecretBytes>> {
    let read = CheckedHrpstring::new::<Bech32>(line).ok();
    let read = read.filter(|read| line.starts_with(HRP) && read.byte_iter().len() == POINT);
    let Some(read) = read else {
        return Ok(None);
    };
    let mut scalar = pool.zeroed(POINT)?;
    scalar
        .iter_mut()
        .zip(read.byte_iter())
        .for_each(|(to, byte)| *to = byte);
    // 52 characters of five bits: the last four bits are none of the key's.
    let last = read.fe32_iter::<std::iter::Empty<u8>>().last();
    wipe_stack();
    Ok(last.filter(|last| last.to_u8() & 0xF == 0).map(|_| scalar))
}

/// A private key of SSH.
fn of_ssh(pool: &SecretPool, text: &str) -> std::result::Result<Identity, Refusal> {
    const HINT: &str =
        "Use a private key of ssh-keygen: ssh-ed25519, or ssh-rsa with 2,048 to 4,096 bits.";
    let refused = |why| match why {
        Refused::Encrypted => fault(
            "is encrypted by a passphrase",
            "Make a copy in memory (/dev/shm) without one: ssh-keygen -p -N '' -f COPY.",
        ),
        Refused::NotWhole => fault("holds no whole private key of SSH", HINT),
        // No name: nothing of the file is repeated.
        Refused::Type(_) => fault("holds a private key of a type that is not taken", HINT),
        Refused::TooSmall => fault("holds a private key with fewer than 2,048 bits", HINT),
        Refused::TooLarge => fault("holds a private key with more than 4,096 bits", HINT),
        Refused::Failed(e) => e.into(),
    };
    let private = ssh::private(pool, text).map_err(refused)?;
    let recipient = Recipient::of_ssh(&private.public).map_err(refused)?;
    Ok(Identity {
        key: private.key,
        recipient: recipient.ok_or_else(|| refused(Refused::NotWhole))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::age::recipient::tests::X25519;
    use data_encoding::BASE64;

    /// The secret key of [`X25519`].
    const SECRET: &str =
        "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    fn parse(bytes: &[u8]) -> std::result::Result<Vec<Identity>, (String, &'static str)> {
        super::parse(&SecretPool::new(), bytes).map_err(|refusal| match refusal {
            Refusal::Fault(fault, hint) => (fault, hint),
            Refusal::Failed(e) => panic!("{e}"),
        })
    }

    /// A key whose last character has a bit too many.
    const PADDED: &str =
        "AGE-SECRET-KEY-1PPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPCQFKRK";

    #[test]
    fn a_file_of_age_keygen() {
        let file = format!("# created: 2026-01-01\n# public key: {X25519}\n\n{SECRET}\r\n");
        let found = parse(file.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].recipient.name(), X25519);
        let marked = parse(format!("\u{feff}{file}").as_bytes()).unwrap();
        assert_eq!(marked[0].recipient, found[0].recipient);
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
            (
                "PuTTY-User-Key-File-3: ssh-ed25519\n",
                "is in PuTTY's format",
            ),
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

    const ED25519: &str = include_str!("../../../tests/support/age/ed25519");
    const RSA: &str = include_str!("../../../tests/support/age/rsa-4096");

    #[test]
    fn other_files_of_ssh_keygen_have_their_sentence() {
        for (text, sentence) in [
            (
                include_str!("../../../tests/support/age/ed25519-encrypted"),
                "is encrypted by a passphrase",
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "is encrypted by a passphrase",
            ),
            (
                include_str!("../../../tests/support/age/ecdsa"),
                "of a type that is not taken",
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
                "of a type that is not taken",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "no whole private key",
            ),
            (
                &ED25519.replace("END OPENSSH", "END"),
                "no whole private key",
            ),
            (&ED25519.replacen("AAAA", "AA!A", 1), "no whole private key"),
        ] {
            let (fault, _) = parse(text.as_bytes()).err().unwrap();
            assert!(fault.contains(sentence), "{sentence}: {fault}");
        }
    }

    /// Whatever byte of a private key is another: it is refused, or it is the same key (of which the comment, the check
    /// numbers that nobody needs and what OpenSSH ignores may differ).
    #[test]
    fn a_private_key_whose_parts_do_not_belong_together_is_refused() {
        for (text, step, least) in [(ED25519, 1, 190), (RSA, 97, 15)] {
            let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
            let good = BASE64.decode(body.as_bytes()).unwrap();
            let file = |bytes: &[u8]| {
                let body = BASE64.encode(bytes);
                format!(
                    "-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"
                )
            };
            let recipient = parse(file(&good).as_bytes()).unwrap().remove(0).recipient;
            let mut refused = 0;
            for i in (0..good.len()).step_by(step) {
                let mut changed = good.clone();
                changed[i] ^= 1;
                match parse(file(&changed).as_bytes()) {
                    Ok(read) => assert_eq!(read[0].recipient, recipient, "{i}"),
                    Err(_) => refused += 1,
                }
                assert!(parse(file(&good[..i]).as_bytes()).is_err(), "cut at {i}");
            }
            assert!(refused >= least, "{refused}");
            assert!(parse(file(&[&good[..], &[8]].concat()).as_bytes()).is_err());
        }
    }

    #[test]
    fn a_secret_key_of_age_has_one_spelling() {
        let upper = |key: &[u8]| {
            let hrp = bech32::Hrp::parse("age-secret-key-").unwrap();
            bech32::encode_upper::<Bech32>(hrp, key).unwrap()
        };
        assert!(parse(upper(&[9; 32]).as_bytes()).is_ok());
        for bad in [
            upper(&[9; 31]),
            upper(&[9; 33]),
            upper(&[9; 32]).to_lowercase(),
            SECRET.replace("5J33", "5J34"),
            PADDED.into(),
        ] {
            let (fault, _) = parse(bad.as_bytes()).err().unwrap();
            assert!(
                fault.contains("something else than a secret key"),
                "{fault}"
            );
        }
    }
}
