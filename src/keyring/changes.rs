//! Changes: keys that come and go.
//!
//! Owns the order "durable first, then published", and that a change fits. It must never publish what is not on disk.

use super::*;
use crate::format::record::put_length;
use crate::key::extensions::{INDEX, VERSION};
use crate::key::logical::VersionOf;
use crate::store::file::of_operation;

impl By<'_> {
    /// Makes a new key of `length` random bytes.
    ///
    /// # Errors
    /// AlreadyExists, InvalidInput, ReadOnly, Io.
    pub fn generate(
        &self,
        name: &[u8],
        owner: &[u8],
        key_type: &[u8],
        length: usize,
    ) -> Result<()> {
        check_generated_length(length)?;
        self.add(name, owner, key_type, |pool| {
            let mut material = pool.random(length)?;
            let said = self.mix_random(&mut material);
            Ok((material, Extensions::new(said)?))
        })
    }

    /// Stores a key that the caller has.
    ///
    /// # Errors
    /// AlreadyExists, InvalidInput, ReadOnly, Io.
    pub fn store_key(
        &self,
        name: &[u8],
        owner: &[u8],
        key_type: &[u8],
        material: &[u8],
    ) -> Result<()> {
        check_length(material.len())?;
        self.add(name, owner, key_type, |pool| {
            Ok((pool.copy(material)?, Extensions::default()))
        })
    }

    pub(super) fn add(
        &self,
        name: &[u8],
        owner: &[u8],
        key_type: &[u8],
        material: impl FnOnce(&SecretPool) -> Result<(SecretBytes, Extensions)>,
    ) -> Result<()> {
        let id = KeyId::new(name, owner)?;
        check_type(key_type).map_err(|e| e.context(format!("for the key {id}")))?;
        let mut store = self.writer()?;
        if let Err(e) = self.check_absent(&id) {
            self.warn_of_numbers_again(&mut **store, &id);
            return Err(e);
        }
        let created_at = crate::os::unix_seconds();
        let (material, said) = material(&self.pool)?;
        let record = KeyRecord::new(id, key_type, material, created_at, store.generation())?;
        self.put(&mut **store, record.with_extensions(said))
    }

    /// Stores a key with all that is known of it: one that comes from another keyring or from another account.
    ///
    /// # Errors
    /// As [`By::store_key`].
    pub fn restore(&self, record: KeyRecord) -> Result<()> {
        let mut store = self.writer()?;
        self.check_free(&record.id, record.version_bytes())?;
        self.put(&mut **store, record)
    }
}

impl Keyring {
    /// Nothing has this name, nor is it kept for a version of a logical key.
    pub(super) fn check_absent(&self, id: &KeyId) -> Result<()> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let exists = |why: String, hint: &str| {
            Err(asked_by(
                id,
                Error::new(Kind::AlreadyExists, "add the key", why).hint(hint),
            ))
        };
        if let Some(key) = map.get(id.as_bytes()) {
            let hint = match key.version_bytes() {
                None => "Remove it first, or choose another name.",
                Some(_) => {
                    "It is a version of a logical key: keyring-ward key rotate makes the next one. Or choose another name."
                }
            };
            return exists(format!("{id} exists already"), hint);
        }
        if map.index.is_empty() {
            return Ok(());
        }
        let logical = |id: &KeyId| map.index.get(id).is_some();
        if logical(id) {
            return exists(
                format!("{id} is a logical key, with versions"),
                "keyring-ward key rotate gives it a new version. Or choose another name.",
            );
        }
        match index::base(id).filter(logical) {
            Some(base) => exists(
                format!("{id} would be a version of the logical key {base}"),
                "keyring-ward key rotate makes its versions. Or choose another name.",
            ),
            None => Ok(()),
        }
    }

    /// The same for a key that comes with all that is known of it: it may be a version of a logical key that is there, or whose
    /// bare name is free.
    ///
    /// # Errors
    /// AlreadyExists: something has its name, or that of its logical key.
    pub fn check_free(&self, id: &KeyId, version: Option<&[u8]>) -> Result<()> {
        if let Some(version) = version
            && let Ok(version) = VersionOf::from_bytes(version)
            && let Some(name) = version.logical.name_of(id, version.number)
        {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            let bare = KeyId::new(name, id.owner())?;
            let family = map.index.get(&bare);
            let same = match family {
                Some(family) => family.id() == Some(version.logical.id),
                None if bare != *id && map.get(bare.as_bytes()).is_some() => {
                    let why = format!(
                        "{bare} exists, and is no version of the logical key that {id} belongs to"
                    );
                    return Err(Error::new(Kind::AlreadyExists, "add the key", why)
                        .hint("Nothing was changed. Remove one of the two first."));
                }
                None => true,
            };
            if same && map.get(id.as_bytes()).is_none() {
                return Ok(());
            }
        }
        self.check_absent(id)
    }

    /// A key as it is to be written elsewhere: its own record says the newest that is known of its logical key, and its attributes
    /// don't; the secret of its blind index likewise. A plain key as it is.
    ///
    /// # Errors
    /// No secret memory.
    pub fn complete(&self, key: Arc<KeyRecord>) -> Result<Arc<KeyRecord>> {
        let newest = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.index.newest(&KnownKey::Whole(key.clone()))
        };
        let Some(newest) = newest else {
            return Ok(key);
        };
        let (list, notes) = (key.extensions(), key.attributes());
        let mut list = list.with(VERSION, Some(newest.to_bytes()))?;
        let mut notes = notes.with(VERSION, None)?;
        if let Some(index) = notes.get(INDEX) {
            list = list.with(INDEX, Some(index.to_vec()))?;
            notes = notes.with(INDEX, None)?;
        }
        let copy = key.renamed(key.id.clone(), &self.pool)?;
        Ok(Arc::new(copy.with_extensions(list).with_attributes(notes)))
    }
}

impl By<'_> {
    /// Stores a key that takes the place of another one, which goes next: reown moves it to another account. A
    /// keyring that is full is no obstacle.
    ///
    /// # Errors
    /// As [`By::store_key`].
    pub fn restore_moved(&self, record: KeyRecord) -> Result<()> {
        let mut store = self.writer()?;
        self.check_free(&record.id, record.version_bytes())?;
        self.sizes()
            .check_owner(&self.config.limits, record.id.owner(), key_length(&record))?;
        self.append(&mut **store, record)
    }

    /// Stores all keys or none, by writing the whole keyring anew; a crash leaves what was or all of it. A token takes
    /// them one by one.
    ///
    /// # Errors
    /// As [`By::store_key`]; nothing was changed, unless the keys are on a token: the hint says how many it has.
    pub fn restore_all(&self, records: Vec<KeyRecord>) -> Result<()> {
        let mut store = self.writer()?;
        let records: Vec<KeyRecord> = (records.into_iter())
            .map(|record| self.signed_record(record))
            .collect();
        let mut after: HashMap<&[u8], u64> = HashMap::new();
        for record in &records {
            self.check_free(&record.id, record.version_bytes())?;
            *after.entry(record.id.owner()).or_default() += key_length(record);
        }
        self.check_room(&after)?;
        // A key and its attributes are two records.
        let noted = records.iter().any(|r| !r.attributes().is_empty());
        match store.journal() {
            None if noted => return Err(notes::only_in_a_file()),
            Some(journal) if records.len() > 1 || noted => {
                let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
                let mut live = map.live().ok_or_else(nowhere)?;
                live.keys.extend(&records);
                let told = records.iter().map(|r| of_operation(&Operation::Put(r)));
                live.told = told.collect();
                journal.rewrite(&live)?;
            }
            _ => return self.append_each(&mut **store, records),
        }
        let mut sizes = self.sizes();
        for record in &records {
            sizes.add(record.id.owner(), key_length(record));
        }
        drop(sizes);
        self.publish(|map| {
            for record in records {
                map.insert(record);
            }
        });
        Ok(())
    }
}

impl Keyring {
    /// Whether new keys fit: so many bytes of each owner.
    ///
    /// # Errors
    /// InvalidInput, ReadOnly: they don't.
    pub(super) fn check_room(&self, new: &HashMap<&[u8], u64>) -> Result<()> {
        let sizes = self.sizes();
        for (owner, bytes) in new {
            sizes.check_owner(&self.config.limits, owner, *bytes)?;
        }
        let all: u64 = new.values().sum();
        let owned = new.keys().find(|owner| !owner.is_empty());
        sizes.check_total(&self.config.limits, owned.is_none(), all)
    }

    /// Whether keys that go from one account to another fit there.
    ///
    /// # Errors
    /// InvalidInput: they don't.
    pub fn check_owner_room<'a>(
        &self,
        owner: &[u8],
        moving: impl Iterator<Item = &'a KeyInfo>,
    ) -> Result<()> {
        let mut bytes = 0;
        for key in moving {
            // Exactly: records are padded, and the owner stands in each record of a key.
            let mut moved = key.clone();
            moved.id = KeyId::new(key.id.name(), owner)?;
            bytes += key_length(&moved);
        }
        self.sizes().check_owner(&self.config.limits, owner, bytes)
    }

    pub(super) fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl By<'_> {
    pub(super) fn put(&self, store: &mut dyn Store, record: KeyRecord) -> Result<()> {
        let record = self.signed_record(record);
        self.sizes()
            .check(&self.config.limits, record.id.owner(), key_length(&record))?;
        self.append_signed(store, record)
    }

    pub(super) fn append_each(&self, store: &mut dyn Store, records: Vec<KeyRecord>) -> Result<()> {
        let all = records.len();
        for (done, record) in records.into_iter().enumerate() {
            self.append(store, record).map_err(|e| match done {
                0 => e,
                _ => {
                    let advice = e.advice().unwrap_or_default().to_string();
                    e.hint(format!(
                        "{done} of {all} keys were stored before that one; the same again stores the others. {advice}"
                    ))
                }
            })?;
        }
        Ok(())
    }

    pub(super) fn append(&self, store: &mut dyn Store, record: KeyRecord) -> Result<()> {
        self.append_signed(store, self.signed_record(record))
    }

    /// Durable first, then published. Attributes are a change of their own behind the key: a crash between the two leaves
    /// the key without them.
    fn append_signed(&self, store: &mut dyn Store, record: KeyRecord) -> Result<()> {
        let (id, attributes) = (record.id.clone(), record.attributes().clone());
        if !attributes.is_empty() && store.journal().is_none() {
            return Err(notes::only_in_a_file());
        }
        let record = record.with_attributes(Extensions::default());
        self.make_room(store, &Operation::Put(&record));
        store.append(&Change::Put(&record))?;
        self.sizes().add(id.owner(), key_length(&record));
        self.publish(|map| {
            map.insert(record);
        });
        self.set_attributes_in(store, &id, attributes).map_err(|e| {
            e.hint(format!(
                "The key {id} itself is stored, without its attributes. Mend the cause, remove the key and store it again, or \
                 repeat the command that moved it."
            ))
        })?;
        self.tidy(store);
        Ok(())
    }

    /// Removes a key: it is never returned again and gone from our memory (handles that the
    /// server still holds apart). Its sealed bytes stay in the file until the next rewrite.
    ///
    /// # Errors
    /// NotFound, ReadOnly, Io.
    pub fn remove(&self, name: &[u8], owner: &[u8]) -> Result<()> {
        let id = KeyId::new(name, owner)?;
        let mut store = self.writer()?;
        let Some(record) = self.look_up(name, owner) else {
            self.check_no_logical(&id)?;
            return Err(asked_by(&id, not_found("remove the key", &id)));
        };
        if self.is_version(&record) {
            return Err(asked_by(&id, is_a_version(&id)));
        }
        if self.retains(&id) {
            return self.retire_in(&mut **store, &record);
        }
        self.remove_in(&mut **store, record)?;
        self.tell_of_a_loss(&mut **store, &id);
        Ok(())
    }

    /// Removes a key that has been stored under another name or owner: see [`By::restore_moved`].
    ///
    /// # Errors
    /// As [`By::remove`].
    pub fn remove_moved(&self, id: &KeyId) -> Result<()> {
        let mut store = self.writer()?;
        let record = self.look_up(id.name(), id.owner());
        let record = record.ok_or_else(|| not_found("remove the key", id))?;
        self.remove_in(&mut **store, record)
    }

    pub(super) fn remove_in(&self, store: &mut dyn Store, record: KnownKey) -> Result<()> {
        let id = record.id.clone();
        let list = self.signed_within(&Extensions::default(), put_length(&record), |list| {
            Operation::Remove(&record.id, list).frame_length()
        });
        let change = Change::Remove(&record, &list);
        self.make_room(store, &Operation::from(&change));
        store.append(&change)?;
        self.sizes().sub(id.owner(), key_length(&record));
        self.publish(|map| {
            map.take(id.as_bytes());
        });
        drop(record);
        self.tidy(store);
        Ok(())
    }
}

impl Keyring {
    /// The key is a version, and not only said to be one under another name.
    pub(super) fn is_version(&self, key: &KnownKey) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        key.version_bytes().is_some() && map.index.family_of(key).is_some()
    }

    fn check_no_logical(&self, id: &KeyId) -> Result<()> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        match map.index.get(id) {
            Some(_) => Err(asked_by(id, is_a_version(id))),
            None => Ok(()),
        }
    }

    /// Rewrites the file when that pays. What was changed before is durable whatever becomes of it.
    pub(super) fn tidy(&self, store: &mut dyn Store) {
        if store.journal().is_some_and(|j| j.wants_rewrite()) {
            self.compact_now(store);
        }
    }

    /// Rewrites the file where a change fits only then.
    pub(super) fn make_room(&self, store: &mut dyn Store, change: &Operation<'_>) {
        if store.journal().is_some_and(|j| j.is_crowded(change)) {
            self.compact_now(store);
        }
    }

    pub(super) fn compact_now(&self, store: &mut dyn Store) {
        let Some(journal) = store.journal() else {
            return;
        };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let Some(live) = map.live() else {
            return;
        };
        if let Err(e) = journal.rewrite(&live) {
            store.warn(format!("The keyring file could not be compacted. {e}"));
        }
    }

    pub(super) fn publish(&self, change: impl FnOnce(&mut Map)) {
        crate::fault::point("publish");
        change(&mut self.map.write().unwrap_or_else(PoisonError::into_inner));
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

/// What has versions goes by a plan only.
fn is_a_version(id: &KeyId) -> Error {
    let why = format!("{id} is a logical key or a version of one");
    Error::new(Kind::KeyState, "remove the key", why)
        .hint("Nothing was changed. keyring-ward key destroy plans its end, which can be cancelled until then.")
}

pub(super) fn not_found(op: &'static str, id: &KeyId) -> Error {
    Error::new(Kind::NotFound, op, format!("{id} does not exist"))
}

/// The server finds out by asking; an account wanted what it asked for.
pub(super) fn asked_by(id: &KeyId, error: Error) -> Error {
    match id.owner() {
        b"" => error.expected(),
        _ => error.refused(),
    }
}
