//! The user PIN, and the memory of a PIN that was refused.
//!
//! Tokens lock after a few wrong PINs, and a server that is restarted in a loop, or reloaded, would use
//! them up. So a refused PIN is remembered beside the keyring, as a salted Argon2id hash together with the
//! token's serial number, and is not tried again until the PIN file holds another one. It must never
//! write the PIN itself, and never keep a server from trying a PIN that was not refused.

use super::Pkcs11Config;
use crate::envelope::equal;
use crate::error::{Error, Kind, Result};
use crate::os::file::{self, Access};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use crate::secret_source;
use crate::text::hex;
use argon2::{Algorithm, Argon2, Params, Version};
use std::path::Path;

const OP: &str = "read the PIN";
/// Longest PIN in bytes. PKCS#11 sets no limit; tokens take up to 255.
const MAX_PIN: usize = 1024;
const SALT: usize = 16;
const HASH: usize = 32;
const LABEL: &str = "keyring-ward-refused-pin-1";
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

/// Refuses a PIN that this token refused before.
///
/// # Errors
/// Denied, with what to do.
pub(super) fn check(config: &Pkcs11Config, serial: &str, pin: &[u8]) -> Result<()> {
    let path = &config.refused_pin;
    let Some((salt, hash)) = load(path) else {
        return Ok(());
    };
    if !equal(&hash_of(&salt, serial, pin)?, &hash) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Denied,
        "log in to the token",
        format!(
            "the PIN in {} was refused by this token before, and is not tried again: tokens lock after a \
             few wrong PINs",
            config.pin
        ),
    )
    .hint(format!(
        "Put the right PIN into the file. If it is right by now (the token's PIN was changed), remove '{}'.",
        path.display()
    )))
}

/// Remembers a refused PIN. Gives a sentence where that fails.
pub(super) fn remember(config: &Pkcs11Config, serial: &str, pin: &[u8]) -> Option<String> {
    let mut salt = [0; SALT];
    let written = fill_random(&mut salt)
        .and_then(|()| hash_of(&salt, serial, pin))
        .and_then(|hash| {
            let text = format!("{LABEL} {} {}\n", hex(&salt), hex(&hash));
            file::replace_file(&config.refused_pin, text.as_bytes()).map_err(|e| {
                Error::io(
                    "remember the refused PIN",
                    format!("'{}'", config.refused_pin.display()),
                    e,
                )
            })
        });
    written.err().map(|e| {
        format!("{e} Don't start or reload again with the same PIN: each attempt may count.")
    })
}

/// A PIN was accepted: what was refused before is of no interest any more.
pub(super) fn forget(config: &Pkcs11Config) {
    if config.refused_pin.exists() {
        let _ = std::fs::remove_file(&config.refused_pin);
    }
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

/// Salt and hash; `None`: nothing is remembered, or it can't be read (then the PIN is tried).
fn load(path: &Path) -> Option<([u8; SALT], [u8; HASH])> {
    let (mut file, _) = file::open(path, Access::Read).ok()?;
    let text = String::from_utf8(file::read_bounded(&mut file, 256).ok()?).ok()?;
    let mut words = text.split_ascii_whitespace();
    if words.next()? != LABEL {
        return None;
    }
    let salt = crate::text::from_hex(words.next()?, SALT)?;
    let hash = crate::text::from_hex(words.next()?, HASH)?;
    Some((salt.try_into().ok()?, hash.try_into().ok()?))
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
        forget(&config);
        check(&config, "s1", b"1111").unwrap();
        // What can't be read keeps nobody from logging in.
        for junk in [&b""[..], b"keyring-ward-refused-pin-1 zz zz", &[b'x'; 999]] {
            std::fs::write(&config.refused_pin, junk).unwrap();
            check(&config, "s1", b"1111").unwrap();
        }
    }
}
