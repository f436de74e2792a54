//! What a keyring holds in memory: its keys, those that are retired, and its documents.
//!
//! Owns the map, with material or without it: only the one with material can be written anew as a whole, and nothing else
//! gives a [`Live`]. It must never hold what was not read from the store or made durable in it.

use super::holding;
use super::index::Index;
use super::sizes::Sizes;
use crate::error::{Error, Kind, Result};
use crate::format::record::{Operation, attributes_length, key_length};
use crate::key::document::Document;
use crate::key::extensions::{Extensions, RETIRED, VERSION};
use crate::key::id::KeyId;
use crate::key::info::KeyInfo;
use crate::key::record::{KeyRecord, KnownKey, ReadChange};
use crate::key::retired::Retired;
use crate::secret::SecretPool;
use crate::store::{Died, Live};
use indexmap::IndexSet;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

/// A key in the map, found by its composite id.
struct Entry<K>(Arc<K>);

/// What an entry is found by.
trait Identified {
    fn id(&self) -> &[u8];
}
impl Identified for KeyRecord {
    fn id(&self) -> &[u8] {
        self.id.as_bytes()
    }
}
impl Identified for KeyInfo {
    fn id(&self) -> &[u8] {
        self.id.as_bytes()
    }
}

impl<K: Identified> Borrow<[u8]> for Entry<K> {
    fn borrow(&self) -> &[u8] {
        self.0.id()
    }
}
impl<K: Identified> Hash for Entry<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}
impl<K: Identified> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}
impl<K: Identified> Eq for Entry<K> {}

// Each key's hash is kept beside it, so that growing reads no key again, and iteration goes through memory in order.
enum Keys {
    Whole(IndexSet<Entry<KeyRecord>>),
    Infos(IndexSet<Entry<KeyInfo>>),
}

/// A removed key that is kept.
#[derive(Clone)]
pub struct RetiredKey {
    /// Which removal it was.
    pub removal: Retired,
    /// What is known of the key.
    pub info: KeyInfo,
}

impl std::fmt::Debug for RetiredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, removal {}", self.info.id, self.removal.number)
    }
}

/// See the module's documentation.
pub(super) struct Map {
    keys: Keys,
    documents: BTreeMap<String, Arc<Document>>,
    /// By composite id and number of the removal.
    retired: BTreeMap<(KeyId, u32), (Retired, Arc<KeyRecord>)>,
    pub(super) index: Index,
}

impl Map {
    /// An empty map; `cached`: of keys with their material.
    pub(super) fn new(cached: bool) -> Map {
        // It grows with what was authenticated: no size is known before.
        Map {
            keys: match cached {
                true => Keys::Whole(IndexSet::default()),
                false => Keys::Infos(IndexSet::default()),
            },
            documents: BTreeMap::new(),
            retired: BTreeMap::new(),
            index: Index::default(),
        }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        match &self.keys {
            Keys::Whole(keys) => keys.len(),
            Keys::Infos(keys) => keys.len(),
        }
    }

    /// Finds a key by its composite id.
    pub(super) fn get(&self, id: &[u8]) -> Option<KnownKey> {
        match &self.keys {
            Keys::Whole(keys) => keys.get(id).map(|e| KnownKey::Whole(e.0.clone())),
            Keys::Infos(keys) => keys.get(id).map(|e| KnownKey::Info(e.0.clone())),
        }
    }

    /// All keys, in no particular order.
    pub(super) fn list(&self) -> Vec<KnownKey> {
        self.list_if(|_| true)
    }

    /// The keys whose name and owner are as `test` says, in no particular order: every key is looked at, and no other copied.
    pub(super) fn list_if(&self, test: impl Fn(&KeyId) -> bool) -> Vec<KnownKey> {
        match &self.keys {
            Keys::Whole(keys) => {
                let found = keys.iter().filter(|e| test(&e.0.id));
                found.map(|e| KnownKey::Whole(e.0.clone())).collect()
            }
            Keys::Infos(keys) => {
                let found = keys.iter().filter(|e| test(&e.0.id));
                found.map(|e| KnownKey::Info(e.0.clone())).collect()
            }
        }
    }

    /// Names and owners of all keys, in no particular order.
    pub(super) fn ids(&self) -> Box<dyn Iterator<Item = &KeyId> + '_> {
        match &self.keys {
            Keys::Whole(keys) => Box::new(keys.iter().map(|e| &e.0.id)),
            Keys::Infos(keys) => Box::new(keys.iter().map(|e| &e.0.id)),
        }
    }

    /// A document by its name.
    pub(super) fn document(&self, name: &str) -> Option<Arc<Document>> {
        self.documents.get(name).cloned()
    }

    /// Everything, to be written anew; `None`: the material is not here.
    pub(super) fn live(&self) -> Option<Live<'_>> {
        match &self.keys {
            Keys::Whole(keys) => Some(Live {
                keys: keys.iter().map(|e| &*e.0).collect(),
                retired: self.retired.values().map(|(_, key)| &**key).collect(),
                documents: self.documents.values().map(|d| &**d).collect(),
                told: Vec::new(),
            }),
            Keys::Infos(_) => None,
        }
    }

    /// Adds a key or puts it in the place of the one with its id, which is given.
    pub(super) fn insert(&mut self, record: KeyRecord) -> Option<KnownKey> {
        let key = match &self.keys {
            Keys::Whole(_) => KnownKey::Whole(Arc::new(record)),
            Keys::Infos(_) => KnownKey::Info(Arc::new(record.into_info())),
        };
        self.replace(key)
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, id: &[u8]) -> Option<KnownKey> {
        let key = match &mut self.keys {
            Keys::Whole(keys) => keys.swap_take(id).map(|e| KnownKey::Whole(e.0)),
            Keys::Infos(keys) => keys.swap_take(id).map(|e| KnownKey::Info(e.0)),
        };
        if let Some(key) = &key {
            self.index.forget(key);
        }
        key
    }

    /// Some of the retired keys, by name and owner: behind `last`, or from the first on.
    pub(super) fn retired(&self, last: Option<&(KeyId, u32)>, most: usize) -> Vec<RetiredKey> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.retired.range((from, Bound::Unbounded));
        behind.take(most).map(|(_, kept)| told(kept)).collect()
    }

    /// The retired keys of one name and owner, by the number of their removal.
    pub(super) fn retired_of(&self, id: &KeyId) -> Vec<RetiredKey> {
        let all = (id.clone(), 0)..=(id.clone(), u32::MAX);
        self.retired
            .range(all)
            .map(|(_, kept)| told(kept))
            .collect()
    }

    /// Names and owners of the retired keys, in order, one as often as it was removed.
    pub(super) fn retired_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.retired.keys().map(|(id, _)| id)
    }

    /// How many of them there are.
    pub(super) fn retired_len(&self) -> usize {
        self.retired.len()
    }

    /// A retired key.
    pub(super) fn retired_key(&self, id: &KeyId, number: u32) -> Option<Arc<KeyRecord>> {
        let (_, key) = self.retired.get(&(id.clone(), number))?;
        Some(key.clone())
    }

    /// The number of the next removal of a key.
    pub(super) fn next_removal(&self, id: &KeyId) -> u32 {
        let all = (id.clone(), 0)..=(id.clone(), u32::MAX);
        let last = self.retired.range(all).next_back();
        last.map_or(1, |((_, number), _)| number.saturating_add(1))
    }

    /// Keeps a retired key.
    pub(super) fn keep_retired(&mut self, removal: Retired, key: KeyRecord) {
        let id = (key.id.clone(), removal.number);
        self.retired.insert(id, (removal, Arc::new(key)));
    }

    /// Ends a retired key.
    pub(super) fn purge(&mut self, id: &KeyId, number: u32) -> Option<Arc<KeyRecord>> {
        let (_, key) = self.retired.remove(&(id.clone(), number))?;
        Some(key)
    }

    /// Keeps a document in place of the one that has its name; one without content only removes that.
    pub(super) fn keep(&mut self, document: Document) {
        match document.is_removal() {
            true => drop(self.documents.remove(document.name())),
            false => {
                let name = document.name().to_string();
                self.documents.insert(name, Arc::new(document));
            }
        }
    }

    fn reserve_one(&mut self) -> Result<()> {
        let number = self.len() + 1;
        let reserved = match &mut self.keys {
            Keys::Whole(keys) => keys.try_reserve(1),
            Keys::Infos(keys) => keys.try_reserve(1),
        };
        let reserved = reserved.map_err(drop);
        let indexed = self.index.reserve_one().map_err(drop);
        reserved.and(indexed).map_err(|()| {
            let why = format!("there is no memory for key number {number}");
            Error::new(Kind::Io, READ, why)
                .hint("Give the process more memory. Nothing was changed.")
        })
    }

    /// Applies a change that was read; gives what died by it.
    pub(super) fn apply(
        &mut self,
        sizes: &mut Sizes,
        pool: &SecretPool,
        change: ReadChange,
    ) -> Result<Died> {
        match change {
            ReadChange::Put(record) => {
                self.reserve_one()?;
                sizes.add(record.id.owner(), key_length(&record));
                match self.insert(record) {
                    Some(old) => Err(inconsistent(&old.id, "is stored twice")),
                    None => Ok(0),
                }
            }
            ReadChange::Remove(id) => {
                let Some(key) = self.take(id.as_bytes()) else {
                    return Err(inconsistent(&id, "is removed but was never stored"));
                };
                let died = key_length(&key);
                sizes.sub(id.owner(), died);
                Ok(died as Died)
            }
            ReadChange::Retire(id, removal) => {
                let Some(key) = self.get(id.as_bytes()) else {
                    return Err(inconsistent(&id, "is removed but was never stored"));
                };
                let retired = self.as_retired(&key, removal, pool)?;
                drop(self.take(id.as_bytes()));
                let (was, is) = (key_length(&key), key_length(&retired));
                sizes.sub(id.owner(), was);
                sizes.add(id.owner(), is);
                self.keep_retired(removal, retired);
                Ok(was as Died - is as Died)
            }
            ReadChange::Kept(record, removal) => {
                let id = record.id.clone();
                if self.retired_key(&id, removal.number).is_some() {
                    return Err(inconsistent(&id, "is retired twice by one number"));
                }
                sizes.add(id.owner(), key_length(&record));
                self.keep_retired(removal, record);
                Ok(0)
            }
            ReadChange::Purge(id, removal) => {
                let Some(key) = self.purge(&id, removal.number) else {
                    return Err(inconsistent(&id, "is purged but was never retired"));
                };
                let died = key_length(&key);
                sizes.sub(id.owner(), died);
                Ok(died as Died)
            }
            ReadChange::OfRetired(id, removal, said) => {
                let Some(key) = self.retired_key(&id, removal.number) else {
                    return Err(inconsistent(&id, "is held but was never retired"));
                };
                let new = holding::with_said(&key, &said, pool)?;
                let (was, is) = (key_length(&key), key_length(&new));
                sizes.sub(id.owner(), was);
                sizes.add(id.owner(), is);
                self.keep_retired(removal, new);
                Ok(was as Died - is as Died)
            }
            ReadChange::Attributes(id, attributes) => {
                let Some(key) = self.get(id.as_bytes()) else {
                    return Err(inconsistent(&id, "has attributes but was never stored"));
                };
                let died = attributes_length(&key);
                let new = with_attributes(&key, attributes, pool)?;
                sizes.sub(id.owner(), died);
                sizes.add(id.owner(), attributes_length(&new));
                drop(self.replace(new));
                Ok(died as Died)
            }
            ReadChange::Document(document) => {
                let died = self.document(document.name());
                let died = died.map_or(0, |old| document_length(&old));
                sizes.sub(b"", died);
                sizes.add(b"", document_length(&document));
                self.keep(document);
                Ok(died as Died)
            }
        }
    }

    /// A key as it is kept after its removal: what its attributes said, its record says, and of its logical key the newest that
    /// is known, for it may be the only one that comes back. What does not fit into a record is left out.
    ///
    /// # Errors
    /// No secret memory. Internal: the material is not in memory.
    pub(super) fn as_retired(
        &self,
        key: &KnownKey,
        removal: Retired,
        pool: &SecretPool,
    ) -> Result<KeyRecord> {
        let KnownKey::Whole(record) = key else {
            return Err(super::nowhere());
        };
        let version = self.index.newest(key).map(|v| (VERSION, v.to_bytes()));
        let first = version.into_iter().chain([(RETIRED, removal.to_bytes())]);
        let mut list = Extensions::new(first)?;
        let said = record.attributes().iter().chain(record.extensions().iter());
        for (tag, bytes) in said {
            if list.get(tag).is_none()
                && let Ok(longer) = list.with(tag, Some(bytes.to_vec()))
            {
                list = longer;
            }
        }
        let copy = record.renamed(record.id.clone(), pool)?;
        Ok(copy
            .with_attributes(Extensions::default())
            .with_extensions(list))
    }

    /// Puts a key in the place of the one with its id, which is given.
    pub(super) fn replace(&mut self, key: KnownKey) -> Option<KnownKey> {
        self.index.note(&key);
        match (&mut self.keys, key) {
            (Keys::Whole(keys), KnownKey::Whole(record)) => {
                let old = keys.replace(Entry(record));
                old.map(|e| KnownKey::Whole(e.0))
            }
            (Keys::Infos(keys), KnownKey::Info(info)) => {
                let old = keys.replace(Entry(info));
                old.map(|e| KnownKey::Info(e.0))
            }
            // Keys come from the map that they go back to.
            (Keys::Whole(_), KnownKey::Info(_)) | (Keys::Infos(_), KnownKey::Whole(_)) => None,
        }
    }
}

const READ: &str = "read the keyring file";

fn told((removal, key): &(Retired, Arc<KeyRecord>)) -> RetiredKey {
    RetiredKey {
        removal: *removal,
        info: KeyInfo::clone(key),
    }
}

/// What a document counts, in bytes; 0: it only removes one.
pub(super) fn document_length(document: &Document) -> u64 {
    match document.is_removal() {
        true => 0,
        false => Operation::Document(document).frame_length(),
    }
}

/// The same key with other attributes.
///
/// # Errors
/// No secret memory.
pub(super) fn with_attributes(
    key: &KnownKey,
    attributes: Extensions,
    pool: &SecretPool,
) -> Result<KnownKey> {
    Ok(match key {
        KnownKey::Whole(record) => {
            let copy = record.renamed(record.id.clone(), pool)?;
            KnownKey::Whole(Arc::new(copy.with_attributes(attributes)))
        }
        KnownKey::Info(info) => {
            let copy = KeyInfo::clone(info);
            KnownKey::Info(Arc::new(copy.with_attributes(attributes)))
        }
    })
}

fn inconsistent(id: &KeyId, why: &str) -> Error {
    Error::new(Kind::Tampered, READ, format!("{id} {why}"))
        .hint("Nothing was changed. Restore the file from a backup and report this.")
}
