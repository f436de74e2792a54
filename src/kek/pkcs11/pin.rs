//! The user PIN, and the memory of a PIN that was refused.
//!
//! Tokens lock after a few wrong PINs, and a server that is restarted in a loop, or reloaded, would use
//! them up; a lease, which asks again and again, sooner still. So a refused PIN is remembered beside the keyring, one
//! of each token, as a salted Argon2id hash with the token's serial number, and is not tried again until the PIN file
//! holds another one. Where it can't be written there, this process remembers it. It must never write the PIN itself,
//! and never keep a server from trying a PIN that was not refused.

use super::Pkcs11Config;
use super::process;
use crate::envelope::equal;
use crate::error::{Error, Kind, Result};
use crate::os::file::{self, Access};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use crate::secret_source;
use crate::text::{from_hex, hex};
use argon2::{Algorithm, Argon2, Params, Version};
use std::path::Path;

const OP: &str = "read the PIN";
/// Longest PIN in bytes. PKCS#11 sets no limit; tokens take up to 255.
const MAX_PIN: usize = 1024;
const SALT: usize = 16;
const HASH: usize = 32;
const LABEL: &str = "keyring-ward-refused-pin-2";
/// Most tokens of which a PIN is remembered: a keyring has no more KEKs.
const MOST_TOKENS: usize = 16;
/// Longest file in bytes.
const MAX_FILE: u64 = 8192;
/// Memory in KiB and passes for the hash of a refused PIN (OWASP's recommendation). A refused PIN may be near
/// to the right one.
const COST: (u32, u32) = (19 * 1024, 2);

/// Reads the PIN: one line, whose end is not part of it. What is refused here costs no try.
pub(super) fn read(
    pool: &SecretPool,
    config: &Pkcs11Config,
    warnings: &mut Vec<String>,
) -> Result<SecretBytes> {
    let pin = secret_source::line(pool, OP, &config.pin, warnings)?;
    if pin.len() > MAX_PIN {
        return Err(Error::new(
            Kind::InvalidInput,
            OP,
            format!(
                "{} has {} bytes, a PIN has 1 to {MAX_PIN}",
                config.pin,
                pin.len()
            ),
        )
        .hint("Put the token's user PIN into the file, in one line."));
    }
    Ok(pin)
}

/// A PIN that a token refused.
struct Refused {
    serial: Vec<u8>,
    salt: [u8; SALT],
    hash: [u8; HASH],
}

impl Refused {
    fn new(serial: &str, pin: &[u8]) -> Result<Refused> {
        let mut salt = [0; SALT];
        fill_random(&mut salt)?;
        let hash = hash_of(&salt, serial, pin)?;
        let serial = serial.as_bytes().to_vec();
        Ok(Refused { serial, salt, hash })
    }

    /// A line of the file; `None`: it is none.
    fn read(line: &str) -> Option<Refused> {
        let mut words = line.split_ascii_whitespace();
        let label = words.next()?;
        let (serial, salt, hash) = (words.next()?, words.next()?, words.next()?);
        (label == LABEL).then_some(())?;
        Some(Refused {
            serial: match serial.strip_prefix('s')? {
                "" => Vec::new(),
                serial => from_hex(serial, serial.len() / 2)?,
            },
            salt: from_hex(salt, SALT)?.try_into().ok()?,
            hash: from_hex(hash, HASH)?.try_into().ok()?,
        })
    }

    fn line(&self) -> String {
        let [serial, salt, hash] = [&self.serial[..], &self.salt, &self.hash].map(hex);
        // Some tokens have an empty serial number.
        format!("{LABEL} s{serial} {salt} {hash}\n")
    }

    fn is_of(&self, serial: &str) -> bool {
        self.serial == serial.as_bytes()
    }
}

/// Refuses a PIN that this token refused before.
///
/// # Errors
/// Denied, with what to do.
pub(super) fn check(config: &Pkcs11Config, serial: &str, pin: &[u8]) -> Result<()> {
    let path = &config.refused_pin;
    for refused in remembered(path).iter().filter(|r| r.is_of(serial)) {
        if equal(&hash_of(&refused.salt, serial, pin)?, &refused.hash) {
            return Err(Error::new(
                Kind::Denied,
                "log in to the token",
                format!(
                    "the PIN in {} was refused by this token before, and is not tried again: tokens lock after a \
                     few wrong PINs",
                    config.pin
                ),
            )
            .hint(match process::refused_pins(path) {
                None => format!(
                    "Put the right PIN into the file. If it is right by now (the token's PIN was changed), remove '{}'.",
                    path.display()
                ),
                // No file could be written, and none is there to be removed.
                Some(_) => "Put the right PIN into the file. If it is right by now (the token's PIN was changed), restart the server."
                    .to_string(),
            }));
        }
    }
    Ok(())
}

/// Remembers a refused PIN. Gives a sentence where that fails.
pub(super) fn remember(config: &Pkcs11Config, serial: &str, pin: &[u8]) -> Option<String> {
    let path = &config.refused_pin;
    let refused = match Refused::new(serial, pin) {
        Ok(refused) => refused,
        Err(e) => return Some(not_remembered(&e)),
    };
    let mut all = vec![refused];
    all.extend(remembered(path).into_iter().filter(|r| !r.is_of(serial)));
    all.truncate(MOST_TOKENS);
    keep(path, &all).err().map(|e| {
        let e = Error::io(
            "remember the refused PIN",
            format!("'{}'", path.display()),
            e,
        );
        not_remembered(&e)
    })
}

fn not_remembered(e: &Error) -> String {
    format!("{e} Don't start or reload again with the same PIN: each attempt may count.")
}

/// A token accepted a PIN: what it refused before is of no interest any more. What others refused is.
pub(super) fn forget(config: &Pkcs11Config, serial: &str) {
    let path = &config.refused_pin;
    let mut all = remembered(path);
    let before = all.len();
    all.retain(|r| !r.is_of(serial));
    if all.len() < before {
        let _ = keep(path, &all);
    }
}

/// What is remembered beside the keyring, and by this process where that could not be written.
fn remembered(path: &Path) -> Vec<Refused> {
    let own = process::refused_pins(path);
    let text = own.or_else(|| read_file(path)).unwrap_or_default();
    let lines = text.lines().filter_map(Refused::read);
    lines.take(MOST_TOKENS).collect()
}

/// The file's text; `None`: there is none, or it can't be read (then the PIN is tried).
fn read_file(path: &Path) -> Option<String> {
    let (mut file, _) = file::open(path, Access::Read).ok()?;
    String::from_utf8(file::read_bounded(&mut file, MAX_FILE).ok()?).ok()
}

/// Remembers these and no others. What can't be written this process remembers, as long as it lives.
fn keep(path: &Path, all: &[Refused]) -> std::io::Result<()> {
    let text: String = all.iter().map(Refused::line).collect();
    let written = match all.is_empty() {
        true if !path.exists() => Ok(()),
        true => std::fs::remove_file(path),
        false => file::replace_file(path, text.as_bytes()),
    };
    process::note_refused_pins(path, written.is_err().then_some(text));
    written
}

fn hash_of(salt: &[u8; SALT], serial: &str, pin: &[u8]) -> Result<[u8; HASH]> {
    let internal =
        |e: argon2::Error| Error::new(Kind::Internal, "hash the refused PIN", e.to_string());
    let pool = SecretPool::new();
    let mut input = pool.zeroed(serial.len() + 1 + pin.len())?;
    input[..serial.len()].copy_from_slice(serial.as_bytes());
    input[serial.len() + 1..].copy_from_slice(pin);
    let params = Params::new(COST.0, COST.1, 1, Some(HASH)).map_err(internal)?;
    let mut hash = [0; HASH];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&input, salt, &mut hash)
        .map_err(internal)?;
    wipe_stack();
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kek::pkcs11::{KeyChoice, Storage, TokenChoice};
    use crate::secret_source::SecretRef;
    use std::os::unix::fs::PermissionsExt;

    fn config(dir: &Path) -> Pkcs11Config {
        Pkcs11Config {
            module: "/m".into(),
            module_args: None,
            token: TokenChoice::Slot(1),
            key: KeyChoice::default(),
            pin: SecretRef::File(dir.join("pin")),
            mechanism: None,
            random: crate::kek::randomness::Random::default(),
            storage: Storage::File,
            refused_pin: dir.join("refused"),
        }
    }

    fn write_pin(dir: &Path, pin: &[u8]) {
        std::fs::write(dir.join("pin"), pin).unwrap();
        std::fs::set_permissions(dir.join("pin"), PermissionsExt::from_mode(0o600)).unwrap();
    }

    #[test]
    fn one_line_of_any_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (config, pool) = (config(dir.path()), SecretPool::new());
        for (text, pin) in [
            (&b"1234\n"[..], &b"1234"[..]),
            (b"1234\r\n", b"1234"),
            (b"\xe9\xfe 12", b"\xe9\xfe 12"),
        ] {
            write_pin(dir.path(), text);
            assert_eq!(&read(&pool, &config, &mut Vec::new()).unwrap()[..], pin);
        }
        for text in [&b""[..], b"\n", b"1234\n\n", b"1234 \n", &[b'1'; 1025]] {
            write_pin(dir.path(), text);
            assert_eq!(
                read(&pool, &config, &mut Vec::new()).err().unwrap().kind(),
                Kind::InvalidInput
            );
        }
    }

    #[test]
    fn a_refused_pin_is_not_tried_again_on_the_same_token() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        check(&config, "s1", b"1111").unwrap();
        assert_eq!(remember(&config, "s1", b"1111"), None);
        let e = check(&config, "s1", b"1111").unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.to_string().contains("not tried again"), "{e}");
        check(&config, "s1", b"2222").unwrap();
        check(&config, "s2", b"1111").unwrap();
        let kept = std::fs::read_to_string(&config.refused_pin).unwrap();
        assert!(!kept.contains("1111"));
        forget(&config, "s1");
        check(&config, "s1", b"1111").unwrap();
        assert!(!config.refused_pin.exists());
        // What can't be read keeps nobody from logging in.
        for junk in [
            &b""[..],
            b"keyring-ward-refused-pin-2 zz zz zz",
            &[b'x'; 9999],
        ] {
            std::fs::write(&config.refused_pin, junk).unwrap();
            check(&config, "s1", b"1111").unwrap();
        }
    }

    /// The tokens of a list have one file, and a login to one of them must not bring back the tries of the other.
    #[test]
    fn each_token_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        for serial in ["s1", "s2", ""] {
            assert_eq!(remember(&config, serial, b"1111"), None);
        }
        let is_refused = |serial| check(&config, serial, b"1111").is_err();
        assert!(is_refused("s1") && is_refused("s2") && is_refused(""));
        forget(&config, "s3");
        forget(&config, "s1");
        assert!(!is_refused("s1") && is_refused("s2"));
        assert_eq!(remember(&config, "s2", b"2222"), None);
        assert!(!is_refused("s2") && check(&config, "s2", b"2222").is_err());
        for n in 0..2 * MOST_TOKENS {
            assert_eq!(remember(&config, &format!("slot {n}"), b"1111"), None);
        }
        assert_eq!(remembered(&config.refused_pin).len(), MOST_TOKENS);
    }

    #[test]
    fn what_can_not_be_written_is_not_tried_again_by_this_process() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir.path().join("absent"));
        let told = remember(&config, "s1", b"1111").unwrap();
        assert!(told.contains("each attempt may count"), "{told}");
        let e = check(&config, "s1", b"1111").unwrap_err().to_string();
        assert!(e.contains("restart the server"), "{e}");
        check(&config, "s1", b"2222").unwrap();
        forget(&config, "s1");
        check(&config, "s1", b"1111").unwrap();
    }
}
