//! Retired keys: what is removed and kept, for files that may still need it.
//!
//! Owns the removal that keeps, the way back and the end. It must never keep what [`crate::key::retired`] does not name, and
//! never end one by the clock alone.

use super::map::RetiredKey;
use super::*;
use crate::envelope::equal;
use crate::format::record::put_length;
use crate::key::extensions::{HOLD, PURGED, RETAINED, RETIRED};
use crate::key::logical::DAY;
use crate::key::retired::{Retired, files_may_need};
use crate::store::Died;

const OP: &str = "bring the removed key back";

/// How the names of InnoDB's master keys begin.
const INNODB: &[u8] = b"INNODBKey-";

impl Keyring {
    /// A key of this name and owner is kept when it is removed.
    pub(super) fn retains(&self, id: &KeyId) -> bool {
        files_may_need(id) && self.keeps_removed_for() > 0
    }
}

impl By<'_> {
    /// Removes a key from everybody's sight, in one record, and keeps it.
    pub(super) fn retire_in(&self, store: &mut dyn Store, key: &KnownKey) -> Result<()> {
        let id = &key.id;
        let (removal, retired) = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            let removal = Retired {
                number: map.next_removal(id),
                removed_at: crate::os::unix_seconds(),
            };
            (removal, map.as_retired(key, removal, &self.pool)?)
        };
        let list = Extensions::new([(RETAINED, removal.to_bytes())])?;
        let list = self.signed_within(&list, put_length(key), |list| {
            Operation::Remove(id, list).frame_length()
        });
        let operation = Operation::Remove(id, &list);
        let (was, is) = (key_length(key), key_length(&retired));
        self.append_note(store, &operation, was as Died - is as Died)?;
        let mut sizes = self.sizes();
        sizes.sub(id.owner(), was);
        sizes.add(id.owner(), is);
        drop(sizes);
        self.publish(|map| {
            map.take(id.as_bytes());
            map.keep_retired(removal, retired);
        });
        self.tidy(store);
        Ok(())
    }
}

impl Keyring {
    /// The removed keys that are kept, by name and owner.
    pub fn retired(&self) -> Vec<RetiredKey> {
        self.each_retired().collect()
    }

    /// The same one after the other; they are copied in pieces, for writers wait for whoever reads.
    pub fn each_retired(&self) -> impl Iterator<Item = RetiredKey> {
        let mut last = None;
        let pieces = std::iter::from_fn(move || {
            let piece = {
                let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
                map.retired(last.as_ref(), super::PIECE)
            };
            let end = piece.last()?;
            last = Some((end.info.id.clone(), end.removal.number));
            Some(piece)
        });
        pieces.flatten()
    }

    /// How many of them there are.
    pub fn retired_len(&self) -> usize {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.retired_len()
    }

    fn retired_of(&self, id: &KeyId) -> Vec<RetiredKey> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.retired_of(id)
    }

    /// Removed keys of this name and owner are kept.
    pub fn has_retired(&self, id: &KeyId) -> bool {
        !self.retired_of(id).is_empty()
    }

    /// The material of a removed key that is kept; `None`: it is not.
    pub fn retired_key(&self, id: &KeyId, number: u32) -> Option<Arc<KeyRecord>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.retired_key(id, number)
    }
}

impl By<'_> {
    /// Brings a removed key back under its name. `number`: which of its removals; `None`: the last one. One that is held stays a
    /// retired key as well.
    ///
    /// # Errors
    /// NotFound: it is not kept. AlreadyExists: another key has its name meanwhile. As [`By::store_key`].
    pub fn restore_retired(&self, id: &KeyId, number: Option<u32>) -> Result<()> {
        let mut store = self.writer()?;
        let (removal, key) = self.find_retired(OP, id, number)?;
        let mut record = key.renamed(id.clone(), &self.pool)?;
        record = record.with_extensions(key.extensions().without(&[RETIRED, HOLD]));
        // A restore that was broken off has left the key and its retired copy.
        let there = self.look_up(id.name(), id.owner());
        let there = there.as_ref().and_then(KnownKey::material);
        if !there.is_some_and(|there| equal(there, key.material())) {
            self.check_free(id, record.version_bytes())?;
            self.append(&mut **store, record)?;
        }
        self.settle_restored(&mut **store, id)?;
        match holding::reason(&key) {
            // Somebody may remove it again; the hold goes on with what was held.
            Some(_) => Ok(()),
            None => self.purge_in(&mut **store, id, removal),
        }
    }
}

impl Keyring {
    /// What a file would have kept is gone from a token.
    pub(super) fn tell_of_a_loss(&self, store: &mut dyn Store, id: &KeyId) {
        let wanted = files_may_need(id) && self.config.limits.retain_removed > 0;
        if wanted && self.config.token_storage().is_some() {
            store.warn(format!(
                "{id} was removed and went for good: a token has no place for removed keys that are kept. Archived logs and \
                 backups that name it can't be opened any more (docs/guide/pkcs11.md)."
            ));
        }
    }

    /// For how many days at least removed keys are kept here; 0: they are not.
    pub fn keeps_removed_for(&self) -> u16 {
        match self.config.token_storage() {
            Some(_) => 0,
            None => self.config.limits.retain_removed,
        }
    }
}

impl By<'_> {
    /// Keeps a removed key of another keyring, as removed when it was there. `false`: its material is here already.
    ///
    /// # Errors
    /// ReadOnly, Io. InvalidInput: the keys are on a token.
    pub fn keep_removed(&self, key: &KeyRecord) -> Result<bool> {
        let Some(was) = key.extensions().get(RETIRED).and_then(Retired::from_bytes) else {
            return Ok(false);
        };
        let mut store = self.writer()?;
        let known = self.retired_of(&key.id).into_iter();
        let known = known.filter_map(|r| self.retired_key(&key.id, r.removal.number));
        let here = self.read_key(key.id.name(), key.id.owner())?;
        if (known.chain(here)).any(|there| equal(there.material(), key.material())) {
            return Ok(false);
        }
        let removal = Retired {
            number: {
                let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
                map.next_removal(&key.id)
            },
            ..was
        };
        let list = key.extensions().with(RETIRED, Some(removal.to_bytes()))?;
        let kept = key.renamed(key.id.clone(), &self.pool)?;
        let kept = self.signed_record(kept.with_extensions(list));
        self.append_note(&mut **store, &Operation::Put(&kept), 0)?;
        self.sizes().add(key.id.owner(), key_length(&kept));
        self.publish(|map| map.keep_retired(removal, kept));
        self.tidy(&mut **store);
        Ok(true)
    }
}

impl Keyring {
    pub(super) fn find_retired(
        &self,
        op: &'static str,
        id: &KeyId,
        number: Option<u32>,
    ) -> Result<(Retired, Arc<KeyRecord>)> {
        let all = self.retired_of(id);
        let mut own = all.iter();
        let found = match number {
            Some(number) => own.find(|r| r.removal.number == number),
            None => own.next_back(),
        };
        let none = || {
            if self.look_up(id.name(), id.owner()).is_some() {
                let why = format!("{id} is there: it is not removed");
                return Error::new(Kind::NotFound, op, why).hint("Nothing was changed.");
            }
            Error::new(Kind::NotFound, op, format!("no removed {id} is kept")).hint(
                "Only the server's own numbered keys and versions of logical keys are kept when they are removed: \
                 keyring-ward key list --retired shows them.",
            )
        };
        let removal = found.ok_or_else(none)?.removal;
        let key = self.retired_key(id, removal.number).ok_or_else(none)?;
        Ok((removal, key))
    }
}

impl By<'_> {
    /// Ends the retired keys that were removed longer ago than they are kept; `all`: whenever they were removed. What is held
    /// stays. Their bytes leave the file with the next rewrite.
    ///
    /// # Errors
    /// ReadOnly, Io.
    pub fn purge_retired(&self, all: bool) -> Result<Vec<RetiredKey>> {
        let mut store = self.writer()?;
        let now = crate::os::unix_seconds();
        let kept_for = i64::from(self.config.limits.retain_removed) * DAY;
        let mut purged = Vec::new();
        for key in self.retired() {
            let over = key.removal.removed_at.saturating_add(kept_for) <= now;
            if (all || over) && !self.is_held(&key.info) {
                self.purge_in(&mut **store, &key.info.id, key.removal)?;
                purged.push(key);
            }
        }
        Ok(purged)
    }

    fn purge_in(&self, store: &mut dyn Store, id: &KeyId, removal: Retired) -> Result<()> {
        let Some(key) = self.retired_key(id, removal.number) else {
            return Ok(());
        };
        let list = Extensions::new([(PURGED, removal.to_bytes())])?;
        let length = key_length(&key);
        let list = self.signed_within(&list, length, |list| {
            Operation::Remove(id, list).frame_length()
        });
        self.append_note(store, &Operation::Remove(id, &list), length as Died)?;
        self.sizes().sub(id.owner(), length);
        self.publish(|map| drop(map.purge(id, removal.number)));
        self.tidy(store);
        Ok(())
    }
}

impl Keyring {
    /// InnoDB begins to number its keys again after a restart without an encrypted tablespace: it asks for a key that exists,
    /// is refused, and takes the old one without a word.
    pub(super) fn warn_of_numbers_again(&self, store: &mut dyn Store, id: &KeyId) {
        if id.owner().is_empty() && id.name().starts_with(INNODB) && files_may_need(id) {
            store.warn(format!(
                "InnoDB asked for a new master key and gets an old one: {id} exists already. It numbers its keys from 1 again \
                 after a restart without any encrypted tablespace, and takes those that are there. So ALTER INSTANCE ROTATE INNODB \
                 MASTER KEY gives no new key until it is past the highest number. Retire the keys that no file needs: \
                 keyring-ward key retire (docs/guide/key-lifecycle.md)."
            ));
        }
    }
}
