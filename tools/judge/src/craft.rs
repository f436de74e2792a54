//! Makes keyring files that ask for more than they may.
//!
//! Owns the places of Argon2id's parameters in a file, told from `docs/reference/format.md` and not from the library. A crafted file's
//! checksums are right: only the MAC, which nobody without the passphrase can make, is not.

use crate::Result;

/// What the file's stanza asks for.
pub struct Asked {
    /// Memory, in KiB.
    pub kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// How often the stanza stands there; 0 for once, as it is.
    pub stanzas: u16,
}

const MECHANISM: &[u8] = b"argon2id+aes-256-gcm";
const PROVIDER: &[u8] = b"passphrase";

fn find(bytes: &[u8], what: &[u8]) -> Result<usize> {
    let at = bytes.windows(what.len()).position(|w| w == what);
    at.ok_or_else(|| {
        format!(
            "there is no '{}' in the file.",
            String::from_utf8_lossy(what)
        )
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Result<usize> {
    let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    let value = four
        .map(u32::from_le_bytes)
        .ok_or("the file is too short.")?;
    usize::try_from(value).map_err(|e| e.to_string())
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) -> Result<()> {
    let place = bytes.get_mut(at..at + what.len());
    place.ok_or("the file is too short.")?.copy_from_slice(what);
    Ok(())
}

/// CRC-32 as zlib has it, a bit at a time.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ 0xEDB8_8320,
            _ => crc >> 1,
        })
    })
}

/// The file with other parameters.
///
/// # Errors
/// It is no keyring under a passphrase.
pub fn craft(file: &[u8], asked: &Asked) -> Result<Vec<u8>> {
    let length = u32_at(file, 12)?;
    let end = length.checked_sub(4).filter(|end| *end <= file.len());
    // Without its checksum.
    let mut header = file[..end.ok_or("the header's length is none.")?].to_vec();
    // Before the provider's name: length (4), group, index, threshold, length of the name (2).
    let stanza = find(&header, PROVIDER)?
        .checked_sub(2 + 3 + 4)
        .ok_or("the stanza begins before the file.")?;
    let size = 4 + u32_at(&header, stanza)?;
    // Behind the mechanism's name: an empty key reference, the length of the parameters.
    let parameters = find(&header, MECHANISM)? + MECHANISM.len() + 2 + 2;
    let wanted = [asked.kib, asked.passes, asked.lanes].map(u32::to_le_bytes);
    put(&mut header, parameters, &wanted.concat())?;
    if asked.stanzas > 0 {
        let one = header.get(stanza..stanza + size);
        let all = one
            .ok_or("the stanza ends behind the file.")?
            .repeat(asked.stanzas.into());
        header.splice(stanza..stanza + size, all);
        put(&mut header, stanza - 2, &asked.stanzas.to_le_bytes())?;
    }
    let whole = u32::try_from(header.len() + 4).map_err(|e| e.to_string())?;
    put(&mut header, 12, &whole.to_le_bytes())?;
    let prologue = crc(&header[..16]);
    put(&mut header, 16, &prologue.to_le_bytes())?;
    let checksum = crc(&header);
    header.extend(checksum.to_le_bytes());
    header.extend_from_slice(&file[length.min(file.len())..]);
    Ok(header)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vector() -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/");
        std::fs::read(format!("{folder}good-passphrase.ward")).unwrap()
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn what_the_file_asks_for_already_changes_nothing() {
        let file = vector();
        let at = find(&file, MECHANISM).unwrap() + MECHANISM.len() + 4;
        let of =
            |n: usize| u32::from_le_bytes(file[at + n * 4..at + n * 4 + 4].try_into().unwrap());
        let asked = Asked {
            kib: of(0),
            passes: of(1),
            lanes: of(2),
            stanzas: 1,
        };
        assert_eq!(craft(&file, &asked).unwrap(), file);
    }

    #[test]
    fn each_parameter_and_sixteen_stanzas_stand_there() {
        let asked = Asked {
            kib: u32::MAX,
            passes: 17,
            lanes: 9,
            stanzas: 16,
        };
        let file = vector();
        let made = craft(&file, &asked).unwrap();
        let parameters = [&[0xFF; 4][..], &[17, 0, 0, 0], &[9, 0, 0, 0]].concat();
        let found = made.windows(12).filter(|w| *w == parameters).count();
        assert_eq!(found, 16);
        let length = u32_at(&made, 12).unwrap();
        assert_eq!(made.len() - length, file.len() - u32_at(&file, 12).unwrap());
        assert_eq!(u32_at(&made, 16).unwrap() as u32, crc(&made[..16]));
        assert_eq!(
            u32_at(&made, length - 4).unwrap() as u32,
            crc(&made[..length - 4])
        );
        assert!(craft(b"not a keyring", &asked).is_err());
        assert!(craft(&file[..60], &asked).is_err());
    }
}
