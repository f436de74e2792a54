//! What a keyring holds in memory: its keys and its documents.
//!
//! Owns the map, with material or without it: only the one with material can be written anew as a whole, and nothing else
//! gives a [`Live`]. It must never hold what was not read from the store or made durable in it.

use super::sizes::Sizes;
use crate::error::{Error, Kind, Result};
use crate::format::record::{Operation, attributes_length, key_length};
use crate::key::document::Document;
use crate::key::extensions::Extensions;
use crate::key::id::KeyId;
use crate::key::info::KeyInfo;
use crate::key::record::{KeyRecord, KnownKey, ReadChange};
use crate::secret::SecretPool;
use crate::store::Live;
use indexmap::IndexSet;
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
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

/// See the module's documentation.
pub(super) struct Map {
    keys: Keys,
    documents: BTreeMap<String, Arc<Document>>,
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
        match &self.keys {
            Keys::Whole(keys) => keys.iter().map(|e| KnownKey::Whole(e.0.clone())).collect(),
            Keys::Infos(keys) => keys.iter().map(|e| KnownKey::Info(e.0.clone())).collect(),
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
                documents: self.documents.values().map(|d| &**d).collect(),
            }),
            Keys::Infos(_) => None,
        }
    }

    /// Adds a key or puts it in the place of the one with its id, which is given.
    pub(super) fn insert(&mut self, record: KeyRecord) -> Option<KnownKey> {
        match &mut self.keys {
            Keys::Whole(keys) => {
                let old = keys.replace(Entry(Arc::new(record)));
                old.map(|e| KnownKey::Whole(e.0))
            }
            Keys::Infos(keys) => {
                let old = keys.replace(Entry(Arc::new(record.into_info())));
                old.map(|e| KnownKey::Info(e.0))
            }
        }
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, id: &[u8]) -> Option<KnownKey> {
        match &mut self.keys {
            Keys::Whole(keys) => keys.swap_take(id).map(|e| KnownKey::Whole(e.0)),
            Keys::Infos(keys) => keys.swap_take(id).map(|e| KnownKey::Info(e.0)),
        }
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
        reserved.map_err(|_| {
            let why = format!("there is no memory for key number {number}");
            Error::new(Kind::Io, READ, why)
                .hint("Give the process more memory. Nothing was changed.")
        })
    }

    /// Applies a change that was read; gives the length of the frames that died by it.
    pub(super) fn apply(
        &mut self,
        sizes: &mut Sizes,
        pool: &SecretPool,
        change: ReadChange,
    ) -> Result<u64> {
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
                Ok(died)
            }
            ReadChange::Attributes(id, attributes) => {
                let Some(key) = self.get(id.as_bytes()) else {
                    return Err(inconsistent(&id, "has attributes but was never stored"));
                };
                let died = attributes_length(&key);
                let new = with_attributes(&key, attributes, pool)?;
                sizes.sub(id.owner(), died);
                sizes.add(id.owner(), attributes_length(&new));
                self.replace(new);
                Ok(died)
            }
            ReadChange::Document(document) => {
                let died = self.document(document.name());
                let died = died.map_or(0, |old| document_length(&old));
                sizes.sub(b"", died);
                sizes.add(b"", document_length(&document));
                self.keep(document);
                Ok(died)
            }
        }
    }

    /// Puts a key in the place of the one with its id.
    pub(super) fn replace(&mut self, key: KnownKey) {
        match (&mut self.keys, key) {
            (Keys::Whole(keys), KnownKey::Whole(record)) => drop(keys.replace(Entry(record))),
            (Keys::Infos(keys), KnownKey::Info(info)) => drop(keys.replace(Entry(info))),
            // Keys come from the map that they go back to.
            (Keys::Whole(_), KnownKey::Info(_)) | (Keys::Infos(_), KnownKey::Whole(_)) => {}
        }
    }
}

const READ: &str = "read the keyring file";

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
