//! Archived binary logs: `ROTATE BINLOG MASTER KEY` removes the key that they were written under, which is kept for a time only.
//!
//! Owns what is said of that. It must never say that nothing is at stake because nobody knows of an archive: only an administrator
//! does.

use crate::key::logical::DAY;
use crate::key::of_server::{Kind, Numbered};
use crate::keyring::Keyring;
use crate::text::{name, utc};

/// Removed keys of the binary log that are kept, and not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How many there are.
    pub keys: usize,
    /// The name of the one that was removed first, and which of its removals it was.
    pub first: (String, u32),
    /// From when on `reseal --purge-retired` ends that, in seconds since 1970.
    pub until: i64,
}

/// What of them is at stake; `None`: nothing is kept, or all of it is held.
pub fn at_stake(keyring: &Keyring) -> Option<Kept> {
    let kept_for = i64::from(keyring.keeps_removed_for()) * DAY;
    let of_log = |name: &[u8]| Numbered::of(name).is_some_and(|key| key.kind == Kind::Log);
    let all: Vec<_> = (keyring.each_retired())
        .filter(|key| key.info.id.owner().is_empty() && of_log(key.info.id.name()))
        .filter(|key| !keyring.is_held(&key.info))
        .collect();
    let first = all.iter().min_by_key(|key| key.removal.removed_at)?;
    Some(Kept {
        keys: all.len(),
        first: (name(first.info.id.name()), first.removal.number),
        until: first.removal.removed_at.saturating_add(kept_for),
    })
}

impl Kept {
    /// From then on the next `reseal --purge-retired` ends it: that is over, or less than a week off.
    pub fn is_soon(&self, now: i64) -> bool {
        self.until.saturating_sub(now) < 7 * DAY
    }

    /// A sentence about it.
    pub fn sentence(&self) -> String {
        let keys = match self.keys {
            1 => "1 removed key of the binary log is kept".to_string(),
            n => format!("{n} removed keys of the binary log are kept, the first one"),
        };
        format!(
            "{keys} until {}: reseal --purge-retired ends it from then on, and binary logs that were archived under it can't be \
             opened any more",
            utc(self.until)
        )
    }

    /// What keeps the first one longer.
    pub fn remedy(&self) -> String {
        let (name, removal) = &self.first;
        format!(
            "If archived logs are to open later: keyring-ward key hold --name '{name}' --owner '' --removal {removal} --reason WHY. In \
             SQL: keyring_ward_key_hold('{name}', '', 'WHY', {removal})."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{config, open};
    use super::*;
    use crate::caller::Caller;
    use crate::key::id::KeyId;

    #[test]
    fn only_removed_keys_of_the_log_that_nobody_holds() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = open(&config(dir.path(), "k.ward"));
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        let (log, innodb) = (
            format!("MySQLReplicationKey_{uuid}_1"),
            format!("INNODBKey-{uuid}-1"),
        );
        for name in [&innodb, &log, &log] {
            keyring
                .by(&Caller::Unknown)
                .generate(name.as_bytes(), b"", b"AES", 16)
                .unwrap();
            assert_eq!(at_stake(&keyring).is_some(), keyring.retired_len() > 1);
            keyring
                .by(&Caller::Unknown)
                .remove(name.as_bytes(), b"")
                .unwrap();
        }
        let kept = at_stake(&keyring).unwrap();
        assert_eq!((kept.keys, &kept.first), (2, &(log.clone(), 1)));
        let days = i64::from(keyring.keeps_removed_for());
        let removed = kept.until - days * DAY;
        assert!(!kept.is_soon(removed) && kept.is_soon(kept.until - 6 * DAY));
        assert!(kept.sentence().contains(&utc(kept.until)));
        let id = KeyId::new(log.as_bytes(), b"").unwrap();
        keyring
            .by(&Caller::Unknown)
            .hold_retired(&id, Some(1), Some("archive"))
            .unwrap();
        assert_eq!(at_stake(&keyring).unwrap().first.1, 2);
        keyring
            .by(&Caller::Unknown)
            .hold_retired(&id, Some(2), Some("archive"))
            .unwrap();
        assert_eq!(at_stake(&keyring), None);
    }
}
