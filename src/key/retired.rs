//! Retired keys: removed, out of everybody's sight, and still sealed in the file, because something may need them yet.
//!
//! Owns which removed keys are kept and the bytes that say so. It must never keep a key of
//! an account that is no version of a logical key: of those it is promised that they are gone.

use super::id::KeyId;
use super::of_server::Numbered;

/// Which removal of a key it was: several keys of one name and owner may have been removed, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Retired {
    /// From 1 on, for each name and owner by itself.
    pub number: u32,
    /// When the key was removed: seconds since 1970, UTC.
    pub removed_at: i64,
}

impl Retired {
    /// As it stands in the extensions RETAINED, RETIRED and PURGED.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = self.number.to_le_bytes().to_vec();
        out.extend_from_slice(&self.removed_at.to_le_bytes());
        out
    }

    /// Reads it; `None`: it breaks the rules.
    pub fn from_bytes(bytes: &[u8]) -> Option<Retired> {
        let (number, removed_at) = bytes.split_at_checked(4)?;
        let number = u32::from_le_bytes(number.try_into().ok()?);
        (number > 0).then_some(Retired {
            number,
            removed_at: i64::from_le_bytes(removed_at.try_into().ok()?),
        })
    }
}

/// Files may name this key of the server after it was removed: InnoDB's master keys and the numbered keys of the binary log,
/// which archived logs and backups are encrypted with. Not the keys that say which one is current.
pub fn files_may_need(id: &KeyId) -> bool {
    id.owner().is_empty() && Numbered::of(id.name()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn what_files_may_need() {
        let kept = |name: &str, owner: &[u8]| {
            files_may_need(&KeyId::new(name.replace('U', UUID).as_bytes(), owner).unwrap())
        };
        assert!(kept("INNODBKey-U-1", b"") && kept("MySQLReplicationKey_U_12", b""));
        for other in [
            "INNODBKey-U-",
            "INNODBKey-U",
            "INNODBKey-1",
            "INNODBKey-U-1x",
            "INNODBKey-U_1",
            "MySQLReplicationKey_U",
            "MySQLReplicationKey_U_old",
            "MySQLReplicationKey_U_last_purged",
            "persisted_variables_key",
        ] {
            assert!(!kept(other, b""), "{other}");
        }
        assert!(!kept("INNODBKey-U-1", b"a@b"), "an account's");
    }

    #[test]
    fn bytes_there_and_back() {
        let retired = Retired {
            number: 3,
            removed_at: -7,
        };
        let bytes = retired.to_bytes();
        assert_eq!(Retired::from_bytes(&bytes), Some(retired));
        for end in 0..bytes.len() {
            assert_eq!(Retired::from_bytes(&bytes[..end]), None);
        }
        assert_eq!(Retired::from_bytes(&[bytes, vec![0]].concat()), None);
        assert_eq!(Retired::from_bytes(&[0; 12]), None);
    }
}
