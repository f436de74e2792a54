//! The bytes that a data key for one to eight recipients has in a stanza.
//!
//! Owns the layout (docs/reference/format.md, stanza of `age`) and its bounds. It must never guess: what is not exactly of
//! this layout is refused.

use super::seal::KeyType;
use crate::kek::data_key::MAX_CIPHERTEXT;

/// The layout's version.
pub const VERSION: u8 = 1;
/// Most recipients of one KEK: as many of the longest (RSA with 4,096 bits) fit into a stanza.
pub const MAX_RECIPIENTS: usize = 8;
/// Length of a public key's hash in bytes.
pub const ID: usize = 32;
/// Version and count.
const HEAD: usize = 2;
/// Type, hash, length.
const ENTRY: usize = 1 + ID + 2;
/// The longest there is.
const MAX: usize = HEAD + MAX_RECIPIENTS * (ENTRY + 512);
const _: () = assert!(MAX <= MAX_CIPHERTEXT);

/// The data key for one recipient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wrapped<'a> {
    /// The type of its key.
    pub of: KeyType,
    /// SHA-256 of its public key, as `Recipient` has it.
    pub id: [u8; ID],
    /// The data key, sealed.
    pub sealed: &'a [u8],
}

/// Why bytes are refused.
#[derive(Debug, PartialEq)]
pub enum Unread {
    /// They have another version.
    Version(u8),
    /// They are not of this layout.
    Broken,
}

/// The bytes of a data key for several recipients.
pub fn write<'a>(each: impl ExactSizeIterator<Item = Wrapped<'a>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX);
    // At most eight, and 512 bytes each.
    out.extend_from_slice(&[VERSION, each.len() as u8]);
    for one in each {
        out.push(number(one.of));
        out.extend_from_slice(&one.id);
        out.extend_from_slice(&(one.sealed.len() as u16).to_be_bytes());
        out.extend_from_slice(one.sealed);
    }
    out
}

/// Reads what [`write()`] wrote.
///
/// # Errors
/// Another version; another number of recipients than 1 to 8; an unknown type of key; a length that its type does not have;
/// bytes that are missing, or that follow.
pub fn read(bytes: &[u8]) -> Result<Vec<Wrapped<'_>>, Unread> {
    let (&[version, count], rest) = bytes.split_first_chunk().ok_or(Unread::Broken)?;
    if version != VERSION {
        return Err(Unread::Version(version));
    }
    entries(count, rest).ok_or(Unread::Broken)
}

fn entries(count: u8, mut rest: &[u8]) -> Option<Vec<Wrapped<'_>>> {
    if !(1..=MAX_RECIPIENTS).contains(&usize::from(count)) {
        return None;
    }
    let mut each = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (&[of], behind) = rest.split_first_chunk()?;
        let (&id, behind) = behind.split_first_chunk()?;
        let (&length, behind) = behind.split_first_chunk()?;
        let (sealed, behind) = behind.split_at_checked(u16::from_be_bytes(length).into())?;
        let of = of_number(of).filter(|of| of.sealed().contains(&sealed.len()))?;
        each.push(Wrapped { of, id, sealed });
        rest = behind;
    }
    rest.is_empty().then_some(each)
}

fn number(of: KeyType) -> u8 {
    match of {
        KeyType::X25519 => 1,
        KeyType::SshEd25519 => 2,
        KeyType::SshRsa => 3,
    }
}

fn of_number(number: u8) -> Option<KeyType> {
    match number {
        1 => Some(KeyType::X25519),
        2 => Some(KeyType::SshEd25519),
        3 => Some(KeyType::SshRsa),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(of: KeyType, sealed: &[u8]) -> Wrapped<'_> {
        Wrapped {
            of,
            id: [3; ID],
            sealed,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let each = [
            one(KeyType::X25519, &[1; 80]),
            one(KeyType::SshEd25519, &[2; 80]),
            one(KeyType::SshRsa, &[3; 256]),
            one(KeyType::SshRsa, &[4; 512]),
        ];
        let bytes = write(each.into_iter());
        assert_eq!(bytes[..3], [VERSION, 4, 1]);
        assert_eq!(bytes[35..37], [0, 80]);
        assert_eq!(read(&bytes), Ok(each.to_vec()));
        let longest = write([each[3]; MAX_RECIPIENTS].into_iter());
        assert_eq!(longest.len(), MAX);
        assert_eq!(read(&longest).unwrap().len(), MAX_RECIPIENTS);
    }

    #[test]
    fn everything_else_is_refused() {
        let good = write(
            [
                one(KeyType::SshRsa, &[3; 300]),
                one(KeyType::X25519, &[1; 80]),
            ]
            .into_iter(),
        );
        for n in 0..good.len() {
            assert_eq!(read(&good[..n]), Err(Unread::Broken), "cut at {n}");
        }
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(read(&with(0, 2)), Err(Unread::Version(2)));
        let many = write([one(KeyType::X25519, &[1; 80]); MAX_RECIPIENTS + 1].into_iter());
        for (why, bytes) in [
            ("it goes on", [&good[..], &[0]].concat()),
            ("no recipient", [VERSION, 0].to_vec()),
            ("too many recipients", many),
            ("fewer are claimed", with(1, 1)),
            ("more are claimed", with(1, 3)),
            ("no type", with(2, 0)),
            ("an unknown type", with(2, 4)),
            ("a length of another type", with(2, 1)),
            ("a longer one than there is", with(35, 0xFF)),
            (
                "RSA below 2,048 bits",
                write([one(KeyType::SshRsa, &[3; 255])].into_iter()),
            ),
            (
                "RSA above 4,096 bits",
                write([one(KeyType::SshRsa, &[3; 513])].into_iter()),
            ),
            (
                "X25519 of 79 bytes",
                write([one(KeyType::X25519, &[3; 79])].into_iter()),
            ),
        ] {
            assert_eq!(read(&bytes), Err(Unread::Broken), "{why}");
        }
    }
}
