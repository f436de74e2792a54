//! The file of the plugin keyring_file of MySQL 5.7 and 8.0, versions 1.0 and 2.0: machine words of the server that
//! wrote it, so any of four layouts, and material that is veiled, not encrypted.

use super::{Found, OP};
use crate::error::{Error, Kind, Result};
use crate::secret::SecretPool;
use sha2::{Digest, Sha256};

/// A file's first bytes; `1.0` or `2.0` follows.
const HEADER: &[u8] = b"Keyring file version:";
const TRAILER: &[u8] = b"EOF";
const DIGEST: usize = 32;
/// The material of a key is XORed with this text, over and over.
const VEIL: &[u8] = b"*305=Ljt0*!@$Hnm(*-9-w;:";

/// The size and order of a machine word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    word: usize,
    little: bool,
}

/// In the order in which they are likely.
const LAYOUTS: [(Layout, &str); 4] = [
    (
        Layout {
            word: 8,
            little: true,
        },
        "64 bits, little endian",
    ),
    (
        Layout {
            word: 4,
            little: true,
        },
        "32 bits, little endian",
    ),
    (
        Layout {
            word: 8,
            little: false,
        },
        "64 bits, big endian",
    ),
    (
        Layout {
            word: 4,
            little: false,
        },
        "32 bits, big endian",
    ),
];

impl Layout {
    fn read(self, bytes: &[u8]) -> Option<usize> {
        let word = bytes.get(..self.word)?;
        let value = word.iter().enumerate().fold(0u64, |value, (i, byte)| {
            let shift = if self.little { i } else { self.word - 1 - i };
            value | u64::from(*byte) << (8 * shift)
        });
        usize::try_from(value).ok()
    }
}

/// One key as it lies in the file.
struct Pod<'a> {
    id: &'a [u8],
    key_type: &'a [u8],
    user: &'a [u8],
    veiled: &'a [u8],
}

/// Reads the keys; says which kind of file it is.
///
/// # Errors
/// InvalidInput: not such a file, or a key outside our limits. Tampered: its lengths or its digest don't fit.
pub fn parse(bytes: &[u8], pool: &SecretPool) -> Result<(String, Vec<Found>)> {
    if bytes.is_empty() {
        return Ok(("keyring_file, empty".into(), Vec::new()));
    }
    let strange = |why: &str| {
        Error::new(Kind::InvalidInput, OP, why)
            .hint("Known are files of component_keyring_file (JSON) and of the plugin keyring_file, versions 1.0 and 2.0; for a keyring of ours give --from-config.")
    };
    let damaged = |why: &str| {
        Error::new(Kind::Tampered, OP, why)
            .hint("Nothing was imported. Take a backup of that file, or the file of a server that is stopped.")
    };
    let rest = bytes
        .strip_prefix(HEADER)
        .ok_or_else(|| strange("its first bytes are not those of a keyring file"))?;
    let (version, rest) = match rest.split_at_checked(3) {
        Some((b"1.0", rest)) => ("1.0", rest),
        Some((b"2.0", rest)) => ("2.0", rest),
        _ => return Err(strange("its version is neither 1.0 nor 2.0")),
    };
    let (rest, digest) = if version == "2.0" {
        let (rest, digest) = rest
            .len()
            .checked_sub(DIGEST)
            .map(|at| rest.split_at(at))
            .ok_or_else(|| damaged("it is cut off"))?;
        (rest, Some(digest))
    } else {
        (rest, None)
    };
    let body = rest
        .strip_suffix(TRAILER)
        .ok_or_else(|| damaged("it does not end with EOF: it is cut off"))?;
    if digest.is_some_and(|d| Sha256::digest(body)[..] != *d) {
        return Err(damaged("its SHA-256 does not fit: it was changed"));
    }
    let (pods, layout) = LAYOUTS
        .iter()
        .find_map(|(layout, name)| Some((pods(body, *layout)?, name)))
        .ok_or_else(|| damaged("its lengths don't add up in any word size and byte order"))?;
    let keys = pods.iter().map(|pod| {
        let mut material = pool.copy(pod.veiled)?;
        for (byte, veil) in material.iter_mut().zip(VEIL.iter().cycle()) {
            *byte ^= veil;
        }
        Found::new(pod.id, pod.user, pod.key_type, material)
    });
    Ok((
        format!("keyring_file {version}, {layout}"),
        keys.collect::<Result<_>>()?,
    ))
}

/// The keys of a body that is in this layout from its first byte to its last.
fn pods(mut body: &[u8], layout: Layout) -> Option<Vec<Pod<'_>>> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let mut words = [0; 5];
        for (i, word) in words.iter_mut().enumerate() {
            *word = layout.read(body.get(i * layout.word..)?)?;
        }
        let [size, lengths @ ..] = words;
        let head = 5 * layout.word;
        let data = lengths
            .iter()
            .try_fold(head, |sum, n| sum.checked_add(*n))?;
        let padded = data.checked_next_multiple_of(layout.word)?;
        // MySQL 5.7 also reads, and converters write, a size without the padding that follows all the same.
        if size != padded && size != data {
            return None;
        }
        let (pod, rest) = body.split_at_checked(padded)?;
        let mut at = head;
        let mut take = |n: usize| {
            let part = &pod[at..at + n];
            at += n;
            part
        };
        let [id, key_type, user, key] = lengths;
        found.push(Pod {
            id: take(id),
            key_type: take(key_type),
            user: take(user),
            veiled: take(key),
        });
        body = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str, &str, &[u8]); 4] = [
        ("INNODBKey-1", "AES", "", &[7; 32]),
        ("k", "SECRET", "root@localhost", b"text of 17 bytes!"),
        ("empty", "RSA", "u@h", b""),
        ("long", "DSA", "u@h", &[9; 2048]),
    ];

    /// A file as a server with this layout would have written it.
    fn file(version: &str, layout: Layout) -> Vec<u8> {
        file_with(version, layout, true)
    }

    /// `padded`: the size of a key counts its padding.
    fn file_with(version: &str, layout: Layout, padded: bool) -> Vec<u8> {
        let mut body = Vec::new();
        for (id, key_type, user, key) in KEYS {
            let lengths = [id.len(), key_type.len(), user.len(), key.len()];
            let data = 5 * layout.word + lengths.iter().sum::<usize>();
            let whole = data.next_multiple_of(layout.word);
            let size = if padded { whole } else { data };
            let end = body.len() + whole;
            for word in [&[size][..], &lengths].concat() {
                let bytes = match (layout.word, layout.little) {
                    (8, true) => (word as u64).to_le_bytes().to_vec(),
                    (8, false) => (word as u64).to_be_bytes().to_vec(),
                    (_, true) => (word as u32).to_le_bytes().to_vec(),
                    (_, false) => (word as u32).to_be_bytes().to_vec(),
                };
                body.extend(bytes);
            }
            body.extend([id.as_bytes(), key_type.as_bytes(), user.as_bytes()].concat());
            body.extend(key.iter().zip(VEIL.iter().cycle()).map(|(k, v)| k ^ v));
            body.resize(end, 0);
        }
        let mut out = [HEADER, version.as_bytes(), &body, TRAILER].concat();
        if version == "2.0" {
            out.extend(&Sha256::digest(&body)[..]);
        }
        out
    }

    #[test]
    fn all_layouts_and_versions() {
        let pool = SecretPool::new();
        let kinds = [("1.0", true), ("1.0", false), ("2.0", true), ("2.0", false)];
        for (version, padded) in kinds {
            for (layout, name) in LAYOUTS {
                let (format, keys) = parse(&file_with(version, layout, padded), &pool).unwrap();
                assert_eq!(format, format!("keyring_file {version}, {name}"));
                assert_eq!(keys.len(), KEYS.len());
                for (key, (id, key_type, user, material)) in keys.iter().zip(KEYS) {
                    assert_eq!(
                        (key.id.name(), key.id.owner()),
                        (id.as_bytes(), user.as_bytes())
                    );
                    assert_eq!((&*key.key_type, &key.material[..]), (key_type, material));
                }
            }
        }
        assert!(parse(b"", &pool).unwrap().1.is_empty());
        let none = [HEADER, b"1.0", TRAILER].concat();
        assert!(parse(&none, &pool).unwrap().1.is_empty());
    }

    #[test]
    fn damage_is_told_and_never_a_missing_key() {
        let pool = SecretPool::new();
        for version in ["1.0", "2.0"] {
            let whole = file(version, LAYOUTS[0].0);
            for cut in 1..whole.len() {
                assert!(
                    parse(&whole[..cut], &pool).is_err(),
                    "{version}, {cut} bytes"
                );
            }
            for bit in 0..whole.len() * 8 {
                let mut bad = whole.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                match parse(&bad, &pool) {
                    Err(_) => {}
                    // 1.0 has no digest: what is inside names and material goes unnoticed.
                    Ok((_, keys)) => assert!(version == "1.0" && keys.len() == KEYS.len()),
                }
            }
        }
        let kind = |bytes: &[u8]| parse(bytes, &pool).err().unwrap().kind();
        assert_eq!(kind(b"PK\x03\x04"), Kind::InvalidInput);
        assert_eq!(kind(b"Keyring file version:3.0EOF"), Kind::InvalidInput);
        assert_eq!(kind(b"Keyring file version:1.0garbageEOF"), Kind::Tampered);
    }
}
