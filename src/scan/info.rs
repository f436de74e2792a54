//! The encryption information of InnoDB: in the first page of a tablespace, and in the header of a redo file.
//!
//! Owns its layout (docs of MySQL do not have it; measured on 9.7, `mysql-test/harness/prove-tests.sh` holds it to that):
//! three bytes of magic, the master key's number, the uuid of the server that made it, key and iv of the file under the
//! master key, and their checksum in the clear, which is the proof.

use super::bytes::{array, be32};
use super::crypt;
use crate::error::Result;
use crate::secret::{SecretBytes, SecretPool};

/// As many bytes are read of it, at most: an old one may have four more than the others.
pub const LENGTH: usize = 115;
/// Key and iv of a file.
const WRAPPED: usize = 64;
const UUID: usize = 36;
/// The key that InnoDB takes while a data directory is initialised, when no keyring has one.
const BUILT_IN: &[u8; 32] = b"DefaultMasterKey\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The encryption information of one file.
#[derive(Clone, PartialEq, Eq)]
pub struct Info {
    number: u32,
    uuid: [u8; UUID],
    wrapped: [u8; WRAPPED],
    crc: u32,
}

/// What lies where the information may be.
pub enum Found {
    /// Something else, or nothing.
    Nothing,
    /// It.
    Info(Info),
    /// It begins so, and goes on as it can't.
    Damaged,
    /// Of MySQL 5.7.11, whose keys have names that are not in it.
    TooOld,
}

/// Looks at the first [`LENGTH`] bytes or less.
pub fn read(bytes: &[u8]) -> Found {
    match bytes.get(..3) {
        Some(b"lCC" | b"lCB") => {}
        Some(b"lCA") => return Found::TooOld,
        _ => return Found::Nothing,
    }
    parse(bytes).map_or(Found::Damaged, Found::Info)
}

fn parse(bytes: &[u8]) -> Option<Info> {
    let number = be32(bytes, 3)?;
    // Old servers wrote eight bytes for the number.
    let uuid_at = match be32(bytes, 7)? {
        0 => 11,
        _ => 7,
    };
    let uuid: [u8; UUID] = array(bytes, uuid_at)?;
    if !is_uuid(&uuid) {
        return None;
    }
    Some(Info {
        number,
        uuid,
        wrapped: array(bytes, uuid_at + UUID)?,
        crc: be32(bytes, uuid_at + UUID + WRAPPED)?,
    })
}

/// A uuid as MySQL writes one.
pub(super) fn is_uuid(text: &[u8]) -> bool {
    text.len() == UUID
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl Info {
    /// The key's name; `None`: the one that is built into InnoDB.
    pub fn name(&self) -> Option<String> {
        // Checked to be digits and hyphens.
        let uuid = String::from_utf8_lossy(&self.uuid);
        (self.number != 0).then(|| format!("INNODBKey-{uuid}-{}", self.number))
    }

    /// Key and iv of the file; `None`: this master key is not the one.
    ///
    /// # Errors
    /// No secret memory.
    pub fn open(&self, master: &[u8], pool: &SecretPool) -> Result<Option<FileKey>> {
        let mut both = pool.copy(&self.wrapped)?;
        let opened = crypt::open_ecb(master, &mut both);
        let fits = opened.is_some() && crc32c::crc32c(&both) == self.crc;
        Ok(fits.then_some(FileKey(both)))
    }

    /// Key and iv of a file that names no key: under the one that is built into InnoDB, or as they are.
    ///
    /// # Errors
    /// No secret memory.
    pub fn open_built_in(&self, pool: &SecretPool) -> Result<Option<FileKey>> {
        match self.is_bare() {
            true => Ok(Some(FileKey(pool.copy(&self.wrapped)?))),
            false => self.open(BUILT_IN, pool),
        }
    }

    /// Key and iv of the file stand in it in clear text. CLONE of 9.7 writes all files of the redo log but the first so.
    pub fn is_bare(&self) -> bool {
        self.number == 0 && crc32c::crc32c(&self.wrapped) == self.crc
    }
}

/// Key and iv of one file.
pub struct FileKey(SecretBytes);

impl FileKey {
    /// Opens what InnoDB has encrypted with it.
    pub(super) fn open(&self, data: &mut [u8]) -> Option<()> {
        let (key, iv) = self.0.split_at_checked(crypt::KEY)?;
        crypt::open_with_tail(key, iv.get(..crypt::BLOCK)?, data)
    }
}
