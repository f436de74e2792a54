//! How the server calls its numbered keys: InnoDB's master keys and those of its logs.
//!
//! Owns the form of these names. It must never know what a key is for beyond that.

/// Which of the server's keys it is. Lists have them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `MySQLReplicationKey_UUID_NUMBER`
    Log,
    /// `INNODBKey-UUID-NUMBER`
    InnoDb,
}

/// What the names of InnoDB's master keys begin with.
pub const INNODB: &str = "INNODBKey-";
/// Characters of a server's UUID.
const UUID: usize = 36;

/// The name of a numbered key, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// Which it is.
    pub kind: Kind,
    /// The name without the number and the sign before it.
    pub head: &'a [u8],
    /// The server's UUID, or whatever stands in its place.
    pub uuid: &'a [u8],
    /// The number's digits, one at least.
    pub digits: &'a [u8],
}

impl<'a> Numbered<'a> {
    /// Takes a name apart; `None`: it is no such name.
    pub fn of(name: &'a [u8]) -> Option<Numbered<'a>> {
        let (kind, prefix, between) = match name.starts_with(INNODB.as_bytes()) {
            true => (Kind::InnoDb, INNODB.as_bytes(), b'-'),
            false => (Kind::Log, &b"MySQLReplicationKey_"[..], b'_'),
        };
        let (uuid, rest) = name.strip_prefix(prefix)?.split_at_checked(UUID)?;
        let digits = rest.strip_prefix(&[between])?;
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        is_number.then_some(Numbered {
            kind,
            head: &name[..prefix.len() + UUID],
            uuid,
            digits,
        })
    }

    /// Its number.
    pub fn number(&self) -> Option<u64> {
        std::str::from_utf8(self.digits).ok()?.parse().ok()
    }

    /// The same, if a server would write it so: without a leading zero, in 32 bits.
    pub fn servers_number(&self) -> Option<u32> {
        let number = self.number().filter(|_| self.digits[0] != b'0');
        u32::try_from(number?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        for (prefix, between, kind) in [
            ("INNODBKey-", '-', Kind::InnoDb),
            ("MySQLReplicationKey_", '_', Kind::Log),
        ] {
            let head = format!("{prefix}{uuid}");
            let seen = |digits: &str| {
                let name = format!("{head}{between}{digits}");
                Numbered::of(name.as_bytes()).map(|n| {
                    assert_eq!(
                        (n.kind, n.head, n.uuid),
                        (kind, head.as_bytes(), uuid.as_bytes())
                    );
                    (n.number(), n.servers_number())
                })
            };
            assert_eq!(seen("12"), Some((Some(12), Some(12))));
            assert_eq!(seen("007"), Some((Some(7), None)));
            assert_eq!(seen("4294967296"), Some((Some(4_294_967_296), None)));
            assert_eq!(seen("99999999999999999999"), Some((None, None)));
            for other in ["", "1x", "-1"] {
                assert_eq!(seen(other), None, "{other}");
            }
            assert_eq!(Numbered::of(head.as_bytes()), None);
        }
        assert_eq!(Numbered::of(b"INNODBKey-1"), None);
    }
}
