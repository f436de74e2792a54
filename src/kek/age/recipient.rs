//! Recipients: the public keys that a data key is wrapped for (those of age, ssh-ed25519, ssh-rsa).
//!
//! Owns which of them are taken, and their names for people. It must never start a program: a recipient of a plugin is
//! refused.

use super::seal::{KeyType, POINT, PublicKey};
use super::ssh::{self, Refused};
use super::wrapped::ID;
use crate::envelope::{FILE_ID, KEY};
use crate::text::shorten;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};
use std::fmt;

/// Longest text of a recipient in bytes; an RSA key of 4,096 bits has about 730, its comment may follow.
const MAX_TEXT: usize = 1024;
/// What age's public keys begin with.
const HRP: &str = "age";
const UNUSABLE: &str = "Whoever made it made it wrong, or on purpose so. Make a new key with age-keygen or ssh-keygen.";

/// A fault, which stands behind "a recipient", and what to do.
pub type Fault = (String, &'static str);

/// A public key.
#[derive(Clone)]
pub struct Recipient {
    /// As its program writes it, without a comment.
    text: String,
    of: KeyType,
    /// SHA-256 of the key's bytes; of SSH, what `ssh-keygen -l` shows.
    id: [u8; ID],
    key: PublicKey,
}

impl Recipient {
    /// Reads `age1…`, or a line of an SSH public key file, whose comment is left out.
    ///
    /// # Errors
    /// It is something else; the sentence stands behind "a recipient".
    pub fn parse(text: &str) -> Result<Recipient, Fault> {
        if text.is_empty() {
            return Err(("is empty".into(), "Leave the comma out."));
        }
        if text.len() > MAX_TEXT {
            let fault = format!("has {} bytes, the limit is {MAX_TEXT}", text.len());
            return Err((fault, "Name the public key itself, not a file of them."));
        }
        let said = shorten(text);
        let capitals = text.to_ascii_uppercase();
        if capitals.contains("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY") {
            return Err((
                "is a secret key, which must stand in no configuration".into(),
                "Name its public key (age-keygen -y shows it), and take the secret key for disclosed.",
            ));
        }
        if let Some(key) = x25519(text) {
            let unusable = format!("'{said}' is a key that nothing can be wrapped for");
            return Recipient::of_x25519(key).ok_or((unusable, UNUSABLE));
        }
        if is_of_a_plugin(text) {
            return Err((
                format!("'{said}' is of a plugin or a kind that is not known here"),
                "Use a key of age-keygen (age1 and 58 characters behind it) or of ssh-keygen: no plugin is ever started.",
            ));
        }
        if capitals.starts_with("AGE1") {
            return Err((
                format!("'{said}' is no public key: a character is wrong or missing"),
                "Copy it again, in small letters.",
            ));
        }
        ssh_line(text)
    }

    /// A key of age. `None`: nothing can be wrapped for it.
    pub(super) fn of_x25519(key: [u8; POINT]) -> Option<Recipient> {
        let text = bech32::encode_lower::<Bech32>(Hrp::parse(HRP).ok()?, &key).ok()?;
        Recipient::tried(text, KeyType::X25519, &key, PublicKey::of_x25519(key)?)
    }

    /// A public key of SSH. `Ok(None)`: nothing can be wrapped for it.
    pub(super) fn of_ssh(bytes: &[u8]) -> Result<Option<Recipient>, Refused> {
        let (name, of, key) = ssh::public(bytes)?;
        let text = format!("{name} {}", BASE64.encode(bytes));
        Ok(Recipient::tried(text, of, bytes, key))
    }

    /// Wraps something for it, so that a key which is no use is told when it is named.
    fn tried(text: String, of: KeyType, bytes: &[u8], key: PublicKey) -> Option<Recipient> {
        key.seal(&[0; FILE_ID], &[0; KEY])?;
        let id = Sha256::digest(bytes).into();
        Some(Recipient { text, of, id, key })
    }

    /// Its name for people: the key itself, or what ssh-keygen -l shows of it.
    pub(super) fn name(&self) -> String {
        match self.text.split_once(' ') {
            None => self.text.clone(),
            Some((kind, _)) => format!("{kind} SHA256:{}", BASE64_NOPAD.encode(&self.id)),
        }
    }

    /// The type of its key.
    pub(super) fn of(&self) -> KeyType {
        self.of
    }

    /// The hash of its key.
    pub(super) fn id(&self) -> [u8; ID] {
        self.id
    }

    /// The key.
    pub(super) fn key(&self) -> &PublicKey {
        &self.key
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

/// The key in `age1…` (bech32 of BIP 173, in its one spelling).
fn x25519(text: &str) -> Option<[u8; POINT]> {
    let parsed = CheckedHrpstring::new::<Bech32>(text).ok()?;
    let mut key = [0; POINT];
    if parsed.byte_iter().len() != POINT {
        return None;
    }
    key.iter_mut()
        .zip(parsed.byte_iter())
        .for_each(|(to, byte)| *to = byte);
    let again = bech32::encode_lower::<Bech32>(Hrp::parse(HRP).ok()?, &key).ok()?;
    (again == text).then_some(key)
}

/// `age1NAME1…` is of a plugin; the data of bech32 has no digit 1, so that a second one ends a name.
fn is_of_a_plugin(text: &str) -> bool {
    let rest = text.strip_prefix("age1");
    rest.is_some_and(|rest| rest.contains('1'))
}

/// The public key in a line as ssh-keygen writes it.
fn ssh_line(line: &str) -> Result<Recipient, Fault> {
    const HINT: &str = "Use a key of age-keygen (age1...), or a public key of ssh-keygen: ssh-ed25519, or ssh-rsa with 2,048 to 4,096 bits.";
    let mut words = line.split_ascii_whitespace();
    let (kind, key) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let said = shorten(line);
    if !line.starts_with("ssh-") && !line.starts_with("ecdsa-") && !line.starts_with("sk-") {
        let fault = format!("'{said}' is neither a public key of age nor one of SSH");
        return Err((fault, HINT));
    }
    let not_whole = || (format!("'{said}' is no whole public key"), HINT);
    let bytes = BASE64.decode(key.as_bytes()).map_err(|_| not_whole())?;
    match Recipient::of_ssh(&bytes) {
        Ok(Some(read))
            if read
                .text
                .split_once(' ')
                .is_some_and(|(name, _)| name == kind) =>
        {
            Ok(read)
        }
        Ok(Some(_)) => Err(not_whole()),
        Ok(None) => {
            let fault = format!("'{said}' is a key that nothing can be wrapped for");
            Err((fault, UNUSABLE))
        }
        Err(Refused::TooLarge) => Err((format!("'{said}' has more than 4,096 bits"), HINT)),
        Err(Refused::TooSmall) => Err((format!("'{said}' has fewer than 2,048 bits"), HINT)),
        Err(Refused::Type(kind)) => {
            let fault = format!(
                "'{said}' is of the kind {}, which is not taken",
                shorten(&kind)
            );
            Err((fault, HINT))
        }
        Err(_) => Err(not_whole()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::text::from_hex;

    /// The public keys of the examples of rage (src/native/x25519.rs, src/ssh/recipient.rs).
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
        let key = Recipient::parse(include_str!("../../../tests/support/age/rsa-2048.pub"));
        assert_eq!(
            key.unwrap().name(),
            "ssh-rsa SHA256:AvQ6tw9yZUgvKD8KnNXGpxqBUouV0XSUtF1JEhSzAr0"
        );
        let key = Recipient::parse(ED25519).unwrap();
        let bare = ED25519.strip_suffix(" alice@rust").unwrap();
        assert_eq!(key, Recipient::parse(bare).unwrap());
    }

    /// A line of SSH with these fields.
    fn line(name: &str, fields: &[&[u8]]) -> String {
        let mut bytes = Vec::new();
        for field in [&[name.as_bytes()], fields].concat() {
            bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        format!("{name} {}", BASE64.encode(&bytes))
    }

    /// A modulus of this many bits, all of which are one.
    fn ones(bits: usize) -> Vec<u8> {
        let mut n = vec![0xFF; bits / 8 + 1];
        n[0] = ((1u16 << (bits % 8)) - 1) as u8;
        n
    }

    #[test]
    fn keys_of_ssh_are_taken_whole_and_within_bounds() {
        const E: &[u8] = &[1, 0, 1];
        let mut even = ones(2048);
        even[256] = 0xFE;
        for (text, sentence) in [
            (line("ssh-rsa", &[E, &ones(2048)]), None),
            (line("ssh-rsa", &[E, &ones(3071)]), None),
            (line("ssh-rsa", &[E, &ones(4096)]), None),
            (
                line("ssh-rsa", &[E, &ones(2047)]),
                Some("fewer than 2,048 bits"),
            ),
            (
                line("ssh-rsa", &[E, &ones(4097)]),
                Some("more than 4,096 bits"),
            ),
            (
                line("ssh-rsa", &[&[], &ones(2048)]),
                Some("no whole public key"),
            ),
            (
                line("ssh-rsa", &[&[0x81], &ones(2048)]),
                Some("no whole public key"),
            ),
            (
                line("ssh-rsa", &[E, &[0; 257]]),
                Some("no whole public key"),
            ),
            (line("ssh-rsa", &[E]), Some("no whole public key")),
            (
                line("ssh-rsa", &[E, &ones(2048), b"x"]),
                Some("no whole public key"),
            ),
            (
                line("ssh-rsa", &[&[1], &ones(2048)]),
                Some("nothing can be wrapped for"),
            ),
            (
                line("ssh-rsa", &[&[2], &ones(2048)]),
                Some("nothing can be wrapped for"),
            ),
            (
                line("ssh-rsa", &[E, &even]),
                Some("nothing can be wrapped for"),
            ),
            (
                line("ssh-ed25519", &[&[3; 31]]),
                Some("no whole public key"),
            ),
            (
                line("ssh-ed25519", &[&[3; 33]]),
                Some("no whole public key"),
            ),
            // No point of the curve, and the neutral one.
            (
                line("ssh-ed25519", &[&[&[2][..], &[0; 31]].concat()]),
                Some("no whole public key"),
            ),
            (
                line("ssh-ed25519", &[&[&[1][..], &[0; 31]].concat()]),
                Some("no whole public key"),
            ),
            (
                line("ssh-dss", &[]),
                Some("of the kind ssh-dss, which is not taken"),
            ),
            (
                ED25519.replace("ssh-ed25519", "ssh-rsa"),
                Some("no whole public key"),
            ),
        ] {
            let read = Recipient::parse(&text).map_err(|(fault, _)| fault);
            match (read, sentence) {
                (Ok(read), None) => assert!(read.name().starts_with("ssh-rsa SHA256:")),
                (Err(fault), Some(sentence)) => assert!(fault.contains(sentence), "{fault}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }

    #[test]
    fn a_key_of_age_has_one_spelling_and_is_of_use() {
        let of =
            |key: &[u8]| bech32::encode_lower::<Bech32>(Hrp::parse(HRP).unwrap(), key).unwrap();
        let other = |hrp: &str| bech32::encode_lower::<Bech32>(Hrp::parse(hrp).unwrap(), &[9; 32]);
        let hex = |text: &str| from_hex(text, 32).unwrap();
        let base = format!("09{}", "00".repeat(31));
        assert!(Recipient::parse(&of(&hex(&base))).is_ok());
        for (key, why) in [
            ("00".repeat(32), "the neutral point"),
            (base.replace("09", "02"), "on the curve's twist"),
            // With the point of order 2 added, u is 1/u.
            (
                format!("12{}47", "c7711c".repeat(10)),
                "not of the base point's group",
            ),
            (format!("f6{}7f", "ff".repeat(30)), "9 as p + 9"),
            (format!("09{}80", "00".repeat(30)), "9 with the highest bit"),
        ] {
            let fault = Recipient::parse(&of(&hex(&key))).unwrap_err().0;
            assert!(
                fault.contains("nothing can be wrapped for"),
                "{why}: {fault}"
            );
        }
        let sum = bech32::encode_lower::<bech32::Bech32m>(Hrp::parse(HRP).unwrap(), &[9; 32]);
        for text in [
            of(&[9; 31]),
            of(&[9; 33]),
            of(&[]),
            of(&hex(&base)).to_uppercase(),
            other("agf").unwrap(),
            sum.unwrap(),
        ] {
            assert!(Recipient::parse(&text).is_err(), "{text}");
        }
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
            (
                "age-secret-key-1gq9778vqxmmjve8sk7j6vt8uj4hdqajuvsfcwcm02d8gewq72pvq2y5j33",
                "is a secret key",
            ),
            (&X25519.to_uppercase(), "a character is wrong or missing"),
            ("ssh-ed25519", "is no whole public key"),
            (&ED25519[..60], "is no whole public key"),
            (
                "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBA==",
                "ecdsa-sha2-nistp256, which is not taken",
            ),
        ] {
            let (fault, hint) = Recipient::parse(text).unwrap_err();
            assert!(fault.contains(sentence), "{text}: {fault}");
            assert!(hint.ends_with('.'), "{hint}");
            assert!(
                !fault.to_uppercase().contains("1GQ9778"),
                "a secret is not repeated"
            );
        }
    }
}
