//! The keyring: what everything above calls, and the only place that holds keys in memory.
//!
//! Owns the map of keys and the order "durable first, then published". It must never report a
//! failure as an absent key, never publish a key that is not on disk, and never hold the map's
//! lock while it waits for a disk.

pub mod adopting;
pub mod aes;
mod audit;
mod by;
mod changes;
mod counting;
mod dropping;
pub mod holding;
mod index;
pub mod logical;
mod map;
mod naming;
mod notes;
mod opening;
mod pairs;
mod place;
mod purpose;
mod randomness;
mod retiring;
pub mod sealing;
mod sizes;
pub mod starting;
pub mod taking;
pub mod tool;
mod versions;
mod whole;

pub use by::By;
pub use counting::KeyCounts;
pub use map::RetiredKey;
pub use notes::only_in_a_file;
use opening::budget;
pub use place::lies_in;
pub use randomness::RandomInfo;

use crate::audit::outbox::Outbox;
use crate::config::{Config, KekList, NamedKek, token_storage};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::format::record::{Operation, key_length};
use crate::kek;
use crate::key::extensions::{Extensions, PAIR};
use crate::key::id::{KeyId, KeyIdBuf, check_generated_length, check_length, check_type};
use crate::key::info::KeyInfo;
use crate::key::limits::FINGERPRINT;
use crate::key::record::{Change, KeyRecord, KnownKey};
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::SecretRef;
use crate::store::file::{ByTool, FileStore, OpenOptions};
use crate::store::token::TokenStore;
use crate::store::{Handover, Journal, Live, Mode, Store, StoreInfo, Synced};
use crossbeam_utils::sync::ShardedLock;
use map::Map;
use randomness::Randomness;
use sizes::Sizes;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What surrounds a keyring: given by the role, not by the configuration.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The server's data directory, where the marker lies.
    pub data_dir: Option<PathBuf>,
    /// A look only: no lock is taken and nothing is written (the tool's `status`, `list`, `verify`).
    pub look_only: bool,
    /// The server is starting: a KEK that is not on this machine may take the start budget.
    pub starting: bool,
    /// A keyring is being made: its fingerprint can't be known yet.
    pub making: bool,
    /// If the keyring is locked by somebody else, open a read-only snapshot instead (a migration
    /// tool beside a running server).
    pub snapshot_if_locked: bool,
    /// Where changes wait for the audit log; `None`: what is owed to it waits in the journal alone.
    pub audit: Option<Arc<Outbox>>,
}

/// An open keyring.
pub struct Keyring {
    /// Readers take the shard of their thread: they don't meet on one word of memory.
    map: ShardedLock<Map>,
    store: Mutex<Box<dyn Store>>,
    /// Changed by who holds the store.
    sizes: Mutex<Sizes>,
    /// Held by who changes the KEKs, before the store is: the DEK that the next rekey takes, where one was not admitted.
    changing: Mutex<Option<SecretBytes>>,
    pool: SecretPool,
    randomness: Randomness,
    config: Config,
    mode: Mode,
    /// One more with each change of the map.
    epoch: Arc<AtomicU64>,
}

/// How a keyring is opened.
struct How {
    mode: Mode,
    /// What the keyring that this one replaces hands over.
    predecessor: Option<Handover>,
    by_tool: Option<ByTool>,
}

/// What a keyring tells about itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// The store's part.
    pub store: StoreInfo,
    /// How many keys there are.
    pub keys: usize,
    /// How many of them are what.
    pub counts: KeyCounts,
    /// How it is opened.
    pub mode: Mode,
    /// Where its keys come from.
    pub random: RandomInfo,
}

/// So many descriptions are copied at once, for lists.
pub const PIECE: usize = 256;

impl Keyring {
    fn store(&self) -> MutexGuard<'_, Box<dyn Store>> {
        // For looking and for reloads: what the store tells is right even after a panic.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store for writing. After a panic in a writer the file may hold a change that memory does
    /// not: another one of the same key behind it would make the file unreadable.
    fn writer(&self) -> Result<MutexGuard<'_, Box<dyn Store>>> {
        self.store.lock().map_err(|_| {
            Error::new(
                Kind::ReadOnly,
                "write the keyring file",
                "an earlier write ended unexpectedly, so memory and file may differ",
            )
            .hint("Keys are served from memory. Run ALTER INSTANCE RELOAD KEYRING.")
        })
    }

    /// Finds a key. `Ok(None)`: there is none. No disk, no network, no allocation, unless the keyring is one
    /// that keeps no material in memory.
    ///
    /// # Errors
    /// KeyState: it is a version of a logical key whose state keeps it back. The token that holds the keys can't be reached, or
    /// lacks one that it had.
    pub fn fetch(&self, name: &[u8], owner: &[u8]) -> Result<Option<Arc<KeyRecord>>> {
        let known = self.served(name, owner)?;
        known.map(|key| self.whole(key)).transpose()
    }

    /// The same by the key's own name and whatever its state: for who moves, compares or writes keys, never for who uses one.
    ///
    /// # Errors
    /// The token that holds the keys can't be reached, or lacks one that it had.
    pub fn read_key(&self, name: &[u8], owner: &[u8]) -> Result<Option<Arc<KeyRecord>>> {
        let known = self.look_up(name, owner);
        known.map(|key| self.whole(key)).transpose()
    }

    /// A key with its material, wherever that is.
    fn whole(&self, key: KnownKey) -> Result<Arc<KeyRecord>> {
        let known = match key {
            KnownKey::Whole(record) => return Ok(record),
            KnownKey::Info(info) => info,
        };
        let store = self.store();
        let on_demand = store.on_demand().ok_or_else(nowhere)?;
        match on_demand.fetch(&known.id)? {
            Some(record) => Ok(Arc::new(record)),
            None => Err(Error::new(
                Kind::Tampered,
                "fetch the key",
                format!("{} has vanished from the token", known.id),
            )
            .hint("Somebody removed its object. Restore the token by the vendor's means.")),
        }
    }

    /// The key that a name answers with: a logical name that follows gives its current version.
    ///
    /// # Errors
    /// KeyState: the state of the version keeps it back.
    fn served(&self, name: &[u8], owner: &[u8]) -> Result<Option<KnownKey>> {
        // A name outside the limits can't have been stored.
        let Ok(id) = KeyIdBuf::new(name, owner) else {
            return Ok(None);
        };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let told = |e: Error| e.context(crate::key::id::printable(name, owner));
        let found = match map.get(id.as_bytes()) {
            Some(key) if key.version_bytes().is_none() => Some(key),
            Some(key) => {
                let serves = map.index.may_serve(&key).map_err(told)?;
                serves.then_some(key)
            }
            None => map.index.follow(name, owner).transpose().map_err(told)?,
        };
        match &found {
            Some(key) if key.said(PAIR).is_some() => Err(told(private_half())),
            _ => Ok(found),
        }
    }

    /// The key as memory knows it.
    fn look_up(&self, name: &[u8], owner: &[u8]) -> Option<KnownKey> {
        // A name outside the limits can't have been stored.
        let id = KeyIdBuf::new(name, owner).ok()?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(id.as_bytes())
    }

    /// All keys, in no particular order.
    pub fn list(&self) -> Vec<KnownKey> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.list()
    }

    /// The keys that are served under their own names; and those that are kept back, by their state or as halves of key pairs.
    pub fn list_served(&self) -> (Vec<KnownKey>, Vec<KeyId>) {
        let (mut served, mut kept_back) = (Vec::new(), Vec::new());
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        for key in map.list() {
            match map.index.may_serve(&key) {
                Ok(true) if key.said(PAIR).is_some() => kept_back.push(key.id.clone()),
                Ok(true) => served.push(key),
                // It is destroyed, and only the removal of its record is still to come.
                Ok(false) => {}
                Err(_) => kept_back.push(key.id.clone()),
            }
        }
        (served, kept_back)
    }

    /// Accounts have keys here, which go through SQL.
    pub fn has_keys_of_accounts(&self) -> bool {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.ids().any(|id| !id.owner().is_empty())
    }

    /// All keys with their material, wherever it is kept: those of [`Keyring::list`] have none where the keyring
    /// keeps none in memory.
    ///
    /// # Errors
    /// As [`Keyring::fetch`].
    pub fn list_with_material(&self) -> Result<Vec<Arc<KeyRecord>>> {
        let keys = self.list();
        let all_here = keys.iter().all(|key| key.material().is_some());
        let mut read: HashMap<KeyId, KeyRecord> = HashMap::new();
        if !all_here {
            let store = self.store();
            let all = store.on_demand().ok_or_else(nowhere)?.fetch_all()?;
            read.extend(all.into_iter().map(|record| (record.id.clone(), record)));
        }
        let whole = |key| match key {
            KnownKey::Whole(record) => Ok(record),
            KnownKey::Info(info) => read.remove(&info.id).map(Arc::new).ok_or_else(|| {
                let why = format!("{} was removed meanwhile", info.id);
                Error::new(Kind::Internal, "read all keys", why).hint("Try again.")
            }),
        };
        keys.into_iter().map(whole).collect()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.map
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What its store tells about itself.
    pub fn store_info(&self) -> StoreInfo {
        self.store().info()
    }

    /// How it is opened.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What the keyring tells about itself. Every logical key is looked at.
    pub fn status(&self) -> Status {
        Status {
            store: self.store_info(),
            keys: self.len(),
            counts: self.key_counts(),
            mode: self.mode,
            random: self.random_info(),
        }
    }

    /// Sentences for the log that came up since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        let mut warnings = self.store().take_warnings();
        warnings.extend(self.pool.take_warning());
        warnings
    }

    /// The configuration that it was opened with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The pool that holds its secrets.
    pub fn pool(&self) -> &SecretPool {
        &self.pool
    }
}

/// Who may use a key pair gets signatures, and never its private half.
fn private_half() -> Error {
    let why = "it is the private half of a key pair, which is given to nobody";
    Error::new(Kind::KeyState, "fetch the key", why)
        .hint("keyring_ward_sign() signs with it, keyring_ward_public_key() gives the public half.")
        .refused()
}

/// The material of a key is neither in memory nor in a store that reads single keys.
fn nowhere() -> Error {
    let why = "its material is not in memory, and the store does not read single keys";
    Error::new(Kind::Internal, "read a key", why).hint("Please report this.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;
    use crate::config::{Limits, Patience};
    use crate::kek::file::LocalConfig;
    use std::os::unix::fs::PermissionsExt;

    pub(super) const NOBODY: Caller<'static> = Caller::Unknown;

    /// A keyring with one key in a folder of its own, and how it was opened.
    pub(super) fn opened(dir: &Path) -> (Keyring, Config, Environment) {
        let kek = dir.join("kek");
        std::fs::write(&kek, [9; 32]).unwrap();
        std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
        let config = Config {
            path: dir.join("k.ward"),
            read_only: false,
            fingerprint: Vec::new(),
            keks: LocalConfig::KeyFile(SecretRef::File(kek)).into(),
            patience: Patience::default(),
            limits: Limits::default(),
            lease: None,
            policy_file: None,
            audit: None,
            origin: "test".into(),
        };
        let environment = Environment {
            data_dir: None,
            look_only: false,
            starting: false,
            making: false,
            snapshot_if_locked: false,
            audit: None,
        };
        let keyring = Keyring::open(&config, &environment, &SecretPool::new()).unwrap();
        let by = keyring.by(&Caller::Unknown);
        by.generate(b"a", b"", b"AES", 32).unwrap();
        (keyring, config, environment)
    }

    /// A writer panics after its record is on disk: the file holds a key that memory does not.
    #[test]
    fn after_a_panic_in_a_writer_only_a_reload_allows_writes() {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, config, environment) = opened(dir.path());
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut store = keyring.store();
            let id = KeyId::new(b"b", b"").unwrap();
            let material = keyring.pool.random(16).unwrap();
            let record = KeyRecord::new(id, b"AES", material, 0, 1).unwrap();
            store.append(&Change::Put(&record)).unwrap();
            panic!("before it is published");
        }));
        assert!(caught.is_err());
        // Without this the same key would be in the file twice, and the file unreadable.
        for refused in [
            keyring.by(&NOBODY).generate(b"b", b"", b"AES", 16),
            keyring.by(&NOBODY).remove(b"a", b""),
            keyring.by(&NOBODY).compact(),
        ] {
            assert_eq!(refused.unwrap_err().kind(), Kind::ReadOnly);
        }
        assert!(
            keyring.fetch(b"a", b"").unwrap().is_some(),
            "reads are served"
        );
        let keyring = keyring.reload(&config, &environment).unwrap();
        assert_eq!(keyring.list().len(), 2, "the file tells");
        let keyring = keyring.by(&NOBODY);
        keyring.remove(b"b", b"").unwrap();
        keyring.generate(b"b", b"", b"AES", 16).unwrap();
    }

    #[test]
    fn a_keyring_is_not_begun_over_another() {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, config, environment) = opened(dir.path());
        let said = keyring.store().begin().unwrap_err();
        assert_eq!(said.kind(), Kind::AlreadyExists);
        let keyring = keyring.reload(&config, &environment).unwrap();
        assert_eq!(keyring.list().len(), 1);
    }
}
