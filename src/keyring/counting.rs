//! How many keys there are of each kind, and temporary keys whose time is over.
//!
//! Owns what a server does by itself to keys: it destroys those that were created to be temporary, and says so. It must never
//! destroy any other, nor anything of a keyring that was opened for a look.

use super::*;

/// How many keys are what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Logical keys.
    pub logical: usize,
    /// Removed keys that are kept.
    pub retired: usize,
    /// Logical keys whose rotation is due.
    pub rotations_due: usize,
    /// In how many days the next rotation of a logical key is due; less than 0: it is overdue; `None`: none is planned.
    pub rotation_due_in_days: Option<i64>,
    /// Logical keys of which something may be destroyed, because its planned destruction is due.
    pub destructions_due: usize,
}

impl Keyring {
    /// How many keys are what, now.
    pub fn key_counts(&self) -> KeyCounts {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts = KeyCounts {
            retired: map.retired_len(),
            ..KeyCounts::default()
        };
        if map.index.is_empty() {
            return counts;
        }
        let now = crate::os::unix_seconds();
        for family in map.index.iter() {
            let logical = family.logical();
            counts.logical += 1;
            counts.rotations_due += usize::from(logical.rotation_due(now));
            counts.destructions_due += usize::from(logical.has_destruction_due(now));
            let next = counts.rotation_due_in_days.into_iter();
            counts.rotation_due_in_days = next.chain(logical.due_in_days(now)).min();
        }
        counts
    }
}

impl By<'_> {
    /// Destroys temporary keys whose time is over, where this keyring is the one that writes, and keeps a sentence about it for
    /// the log. What could not be destroyed is served to nobody all the same.
    pub fn end_temporary_keys(&self) {
        if self.mode != Mode::ReadWrite {
            return;
        }
        let sentence = match self.destroy_expired() {
            Ok(ended) if ended.is_empty() => return,
            Ok(ended) => {
                let names: Vec<String> = ended.iter().map(KeyId::to_string).collect();
                format!(
                    "Temporary keys whose time was over were destroyed: {}.{}",
                    names.join(", "),
                    self.kept_for()
                )
            }
            Err(e) => format!(
                "Temporary keys whose time is over are not served, and could not be destroyed. {e}"
            ),
        };
        self.store().warn(sentence);
    }
}

impl Keyring {
    /// How long what was destroyed can be brought back, as a sentence; nothing where it can't.
    fn kept_for(&self) -> String {
        match self.keeps_removed_for() {
            0 => String::new(),
            days => format!(
                " They are kept as retired keys for {days} days: keyring-ward key list --retired."
            ),
        }
    }
}
