//! The keyring: what everything above calls, and the only place that holds keys in memory.
//!
//! Owns the map of keys and the order "durable first, then published". It must never report a
//! failure as an absent key, never publish a key that is not on disk, and never hold the map's
//! lock while it waits for a disk.

pub mod aes;

mod map;
mod notes;
mod sizes;
pub mod starting;
pub mod tool;

use crate::config::{Config, KekConfig, token_storage};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::format::record::{Operation, key_length};
use crate::kek;
use crate::key::extensions::Extensions;
use crate::key::id::{KeyId, KeyIdBuf, check_generated_length, check_length, check_type};
use crate::key::info::KeyInfo;
use crate::key::limits::FINGERPRINT;
use crate::key::record::{Change, KeyRecord, KnownKey};
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::SecretRef;
use crate::store::file::{ByTool, FileStore, OpenOptions};
use crate::store::token::TokenStore;
use crate::store::{Handover, Journal, Live, Mode, Store, StoreInfo};
use crossbeam_utils::sync::ShardedLock;
use map::Map;
use sizes::Sizes;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
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
}

/// An open keyring.
pub struct Keyring {
    /// Readers take the shard of their thread: they don't meet on one word of memory.
    map: ShardedLock<Map>,
    store: Mutex<Box<dyn Store>>,
    /// Changed by who holds the store.
    sizes: Mutex<Sizes>,
    pool: SecretPool,
    config: Config,
    mode: Mode,
}

/// How a keyring is opened.
struct How {
    mode: Mode,
    /// What the keyring that this one replaces hands over.
    predecessor: Option<Handover>,
    by_tool: Option<ByTool>,
}

/// What a keyring tells about itself.
#[derive(Debug)]
pub struct Status {
    /// The store's part.
    pub store: StoreInfo,
    /// How many keys there are.
    pub keys: usize,
    /// How it is opened.
    pub mode: Mode,
}

impl Keyring {
    /// Opens the keyring that `config` describes. Creates nothing.
    ///
    /// # Errors
    /// What is wrong with configuration, KEK or file, each with its kind.
    pub fn open(config: &Config, environment: &Environment, pool: &SecretPool) -> Result<Keyring> {
        Keyring::open_by(config, environment, pool, budget(config, environment))
    }

    fn open_by(
        config: &Config,
        environment: &Environment,
        pool: &SecretPool,
        deadline: Deadline,
    ) -> Result<Keyring> {
        Keyring::open_after(config, environment, pool, deadline, None)
    }

    fn open_after(
        config: &Config,
        environment: &Environment,
        pool: &SecretPool,
        deadline: Deadline,
        predecessor: Option<Handover>,
    ) -> Result<Keyring> {
        let mode = match (environment.look_only, config.read_only) {
            (true, _) => Mode::Snapshot,
            (false, true) => Mode::ReadOnly,
            (false, false) => Mode::ReadWrite,
        };
        let open = |mode| {
            let how = How {
                mode,
                predecessor: predecessor.clone(),
                by_tool: None,
            };
            Keyring::open_in(how, config, environment, pool, deadline)
        };
        match open(mode) {
            Err(e) if e.kind() == Kind::Locked && environment.snapshot_if_locked => {
                open(Mode::Snapshot)
            }
            result => result,
        }
    }

    fn open_in(
        how: How,
        config: &Config,
        environment: &Environment,
        pool: &SecretPool,
        deadline: Deadline,
    ) -> Result<Keyring> {
        let (mode, by_tool) = (how.mode, how.by_tool);
        if config.needs_fingerprint() && config.fingerprint.is_empty() && !environment.making {
            return Err(Error::new(
                Kind::Config,
                "open the keyring",
                "its DEK is wrapped for a public RSA key, which anybody can do, and no fingerprint is pinned",
            )
            .hint("Set fingerprint to what keyring-ward init printed."));
        }
        let token = config.token_storage();
        let mut map = Map::new(token.is_none_or(|(_, cache)| cache));
        let mut sizes = Sizes::default();
        let options = OpenOptions {
            path: &config.path,
            mode,
            data_dir: environment.data_dir.clone(),
            keks: config.keks.iter().map(|kek| kek.kek()).collect(),
            deadline,
            kek_patience: config.patience.call,
            fingerprint: config.fingerprint.clone(),
            // The tool, which may have no data directory, reads what it is given, to mend it.
            any_length: environment.data_dir.is_none() || by_tool.is_some(),
            limits: config.limits,
            pool: pool.clone(),
            predecessor: how.predecessor,
            by_tool,
        };
        let mut sink = |change| map.apply(&mut sizes, pool, change);
        let mut store: Box<dyn Store> = match token {
            None => {
                let opened = FileStore::open(options, &mut sink);
                Box::new(opened.map_err(|e| starting::or_not_mounted(e, config, environment))?)
            }
            Some((pkcs11, _)) => Box::new(TokenStore::open(options, pkcs11, &mut sink)?),
        };
        let is_server = !environment.look_only && by_tool.is_none();
        if let (Some(dir), true) = (&environment.data_dir, is_server) {
            lies_in(dir, config)
                .into_iter()
                .for_each(|sentence| store.warn(sentence));
        }
        let old = store.info().opened_by;
        if let Some(journal) = store.journal().filter(|j| j.opened_by_an_old_kek())
            && let Some(live) = map.live()
        {
            let adopted = journal.adopt(&live, deadline);
            store.warn(match adopted {
                Ok(()) => format!(
                    "The keyring was opened by {old}. Its DEK is now wrapped by {} as well; keyring-ward rekey drops the old wrap.",
                    store.info().opened_by
                ),
                Err(e) => format!(
                    "The keyring was opened by {old}, and could not be brought under the configured KEK: {e} It goes on as it is."
                ),
            });
        }
        Ok(Keyring {
            map: ShardedLock::new(map),
            store: Mutex::new(store),
            sizes: Mutex::new(sizes),
            pool: pool.clone(),
            config: config.clone(),
            mode,
        })
    }

    /// Opens the keyring anew, as the configuration is now. This keyring stays whole whatever
    /// happens; the caller swaps on success.
    ///
    /// If a sync has failed or the file is gone, it is first written anew from memory.
    ///
    /// # Errors
    /// As [`Keyring::open`]; Tampered where the file does not hold what this keyring holds.
    pub fn reload(&self, config: &Config, environment: &Environment) -> Result<Keyring> {
        let mut store = self.store();
        if let Some(journal) = store.journal().filter(|j| j.needs_rescue())
            && config.path == self.config.path
            && !config.read_only
        {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(live) = map.live() {
                journal.rewrite(&live)?;
            }
        }
        let predecessor = store.handover();
        let deadline = budget(config, environment);
        let new =
            Keyring::open_after(config, environment, &self.pool, deadline, Some(predecessor))?;
        // A late writer of this keyring must not write behind the new one's back.
        store.retire();
        Ok(new)
    }

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
    /// The token that holds the keys can't be reached, or lacks one that it had.
    pub fn fetch(&self, name: &[u8], owner: &[u8]) -> Result<Option<Arc<KeyRecord>>> {
        let known = match self.look_up(name, owner) {
            None => return Ok(None),
            Some(KnownKey::Whole(record)) => return Ok(Some(record)),
            Some(KnownKey::Info(info)) => info,
        };
        let store = self.store();
        let on_demand = store.on_demand().ok_or_else(nowhere)?;
        match on_demand.fetch(&known.id)? {
            Some(record) => Ok(Some(Arc::new(record))),
            None => Err(Error::new(
                Kind::Tampered,
                "fetch the key",
                format!("{} has vanished from the token", known.id),
            )
            .hint("Somebody removed its object. Restore the token by the vendor's means.")),
        }
    }

    /// The key as memory knows it.
    fn look_up(&self, name: &[u8], owner: &[u8]) -> Option<KnownKey> {
        // A name outside the limits can't have been stored.
        let id = KeyIdBuf::new(name, owner).ok()?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(id.as_bytes())
    }

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
        self.add(name, owner, key_type, |pool, store| {
            let mut material = pool.random(length)?;
            store.mix_random(&mut material)?;
            Ok(material)
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
        self.add(name, owner, key_type, |pool, _| pool.copy(material))
    }

    fn add(
        &self,
        name: &[u8],
        owner: &[u8],
        key_type: &[u8],
        material: impl FnOnce(&SecretPool, &dyn Store) -> Result<SecretBytes>,
    ) -> Result<()> {
        let id = KeyId::new(name, owner)?;
        check_type(key_type).map_err(|e| e.context(format!("for the key {id}")))?;
        let mut store = self.writer()?;
        self.check_absent(&id)?;
        let created_at = crate::os::unix_seconds();
        let record = KeyRecord::new(
            id,
            key_type,
            material(&self.pool, &**store)?,
            created_at,
            store.generation(),
        )?;
        self.put(&mut **store, record)
    }

    /// Stores a key with all that is known of it: one that comes from another keyring or from another account.
    ///
    /// # Errors
    /// As [`Keyring::store_key`].
    pub fn restore(&self, record: KeyRecord) -> Result<()> {
        let mut store = self.writer()?;
        self.check_absent(&record.id)?;
        self.put(&mut **store, record)
    }

    fn check_absent(&self, id: &KeyId) -> Result<()> {
        if self.look_up(id.name(), id.owner()).is_none() {
            return Ok(());
        }
        let e = Error::new(
            Kind::AlreadyExists,
            "add the key",
            format!("{id} exists already"),
        );
        Err(asked_by(
            id,
            e.hint("Remove it first, or choose another name."),
        ))
    }

    /// Stores a key that takes the place of another one, which goes next: reown moves it to another account. A
    /// keyring that is full is no obstacle.
    ///
    /// # Errors
    /// As [`Keyring::store_key`].
    pub fn restore_moved(&self, record: KeyRecord) -> Result<()> {
        let mut store = self.writer()?;
        self.check_absent(&record.id)?;
        self.sizes()
            .check_owner(&self.config.limits, record.id.owner(), key_length(&record))?;
        self.append(&mut **store, record)
    }

    /// Stores all keys or none, by writing the whole keyring anew; a crash leaves what was or all of it. A token takes
    /// them one by one.
    ///
    /// # Errors
    /// As [`Keyring::store_key`]; nothing was changed, unless the keys are on a token: the hint says how many it has.
    pub fn restore_all(&self, records: Vec<KeyRecord>) -> Result<()> {
        let mut store = self.writer()?;
        let mut after: HashMap<&[u8], u64> = HashMap::new();
        for record in &records {
            self.check_absent(&record.id)?;
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

    /// Whether new keys fit: so many bytes of each owner.
    ///
    /// # Errors
    /// InvalidInput, ReadOnly: they don't.
    fn check_room(&self, new: &HashMap<&[u8], u64>) -> Result<()> {
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
        let bytes = moving
            .map(|key| key_length(key) - key.id.owner().len() as u64 + owner.len() as u64)
            .sum();
        self.sizes().check_owner(&self.config.limits, owner, bytes)
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, store: &mut dyn Store, record: KeyRecord) -> Result<()> {
        self.sizes()
            .check(&self.config.limits, record.id.owner(), key_length(&record))?;
        self.append(store, record)
    }

    fn append_each(&self, store: &mut dyn Store, records: Vec<KeyRecord>) -> Result<()> {
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

    /// Durable first, then published. Attributes are a change of their own behind the key: a crash between the two leaves
    /// the key without them.
    fn append(&self, store: &mut dyn Store, record: KeyRecord) -> Result<()> {
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
        self.set_attributes_in(store, &id, attributes)?;
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
            return Err(asked_by(&id, not_found("remove the key", &id)));
        };
        let change = Change::Remove(&record);
        self.make_room(&mut **store, &Operation::from(&change));
        store.append(&change)?;
        self.sizes().sub(id.owner(), key_length(&record));
        self.publish(|map| {
            map.take(id.as_bytes());
        });
        drop(record);
        self.tidy(&mut **store);
        Ok(())
    }

    /// Rewrites the file when that pays. What was changed before is durable whatever becomes of it.
    fn tidy(&self, store: &mut dyn Store) {
        if store.journal().is_some_and(|j| j.wants_rewrite()) {
            self.compact_now(store);
        }
    }

    /// Rewrites the file where a change fits only then.
    fn make_room(&self, store: &mut dyn Store, change: &Operation<'_>) {
        if store.journal().is_some_and(|j| j.is_crowded(change)) {
            self.compact_now(store);
        }
    }

    fn compact_now(&self, store: &mut dyn Store) {
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

    fn publish(&self, change: impl FnOnce(&mut Map)) {
        crate::fault::point("publish");
        change(&mut self.map.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// All keys, in no particular order.
    pub fn list(&self) -> Vec<KnownKey> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.list()
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

    /// What the keyring tells about itself.
    pub fn status(&self) -> Status {
        let store = self.store().info();
        Status {
            store,
            keys: self.len(),
            mode: self.mode,
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

    /// Makes the file of a keyring that has none yet.
    ///
    /// # Errors
    /// AlreadyExists, and all errors of a first write.
    pub fn create_empty(&self) -> Result<()> {
        let mut store = self.writer()?;
        if store.info().exists {
            return Err(Error::new(
                Kind::AlreadyExists,
                "create the keyring",
                "it exists already",
            ));
        }
        store.begin()
    }

    /// Whether the KEK's secret is good enough for a keyring that somebody makes on purpose.
    ///
    /// # Errors
    /// InvalidInput, with what to take instead.
    pub fn check_new_secret(&self) -> Result<()> {
        match self.config.keks.first() {
            Some(kek) => kek.kek().check_new(&self.pool),
            None => Ok(()),
        }
    }

    /// Writes the whole file anew and drops dead records.
    ///
    /// # Errors
    /// ReadOnly, Io.
    pub fn compact(&self) -> Result<()> {
        // Nothing is dead where there is no journal.
        self.with_live(|journal, live| journal.rewrite(live))
            .unwrap_or_else(|| self.writer().map(drop))
    }

    /// Writes the whole file anew under other KEKs, with a new DEK unless `keep_dek`: whoever held
    /// the old KEK and an old copy could open every later file otherwise.
    ///
    /// # Errors
    /// NotFound: there is no file yet. ReadOnly, Io, and the KEK's own errors.
    pub fn rekey(&self, keks: &[KekConfig], keep_dek: bool) -> Result<()> {
        self.rekey_if(keks, keep_dek, |_| Ok(()))
    }

    /// The same, if `allowed` says so of the new DEK's fingerprint: where the configuration pins fingerprints, a file
    /// under one that it does not name would not open again. A DEK that was not allowed is kept for the next call.
    ///
    /// # Errors
    /// As [`Keyring::rekey`]; those of `allowed`, and nothing was changed then.
    pub fn rekey_if(
        &self,
        keks: &[KekConfig],
        keep_dek: bool,
        allowed: impl FnOnce(&[u8; FINGERPRINT]) -> Result<()>,
    ) -> Result<()> {
        self.check_storage(keks)?;
        let keks: Vec<_> = keks.iter().map(|kek| kek.kek()).collect();
        self.with_live(|journal, live| {
            if !keep_dek {
                allowed(&journal.prepare_dek(&keks)?)?;
            }
            journal.rekey(live, keks, keep_dek)
        })
        .unwrap_or_else(|| Err(on_the_token()))
    }

    /// A reload has put another keyring in this one's place: what it refuses, that one takes.
    pub fn is_retired(&self) -> bool {
        self.store().is_retired()
    }

    /// Checks that the keys stay where they are under `keks`: a rekey writes them nowhere else.
    ///
    /// # Errors
    /// Config: they would belong onto a token, or off it.
    pub fn check_storage(&self, keks: &[KekConfig]) -> Result<()> {
        let to_token = keks.first().is_some_and(|kek| token_storage(kek).is_some());
        let why = match (self.config.token_storage().is_some(), to_token) {
            (false, true) => {
                "the keys are in a file, and the new configuration keeps them on the token (storage)"
            }
            (true, false) => {
                "the keys are on the token, and the new configuration keeps them in a file (storage)"
            }
            _ => return Ok(()),
        };
        Err(Error::new(Kind::Config, "change the KEK", why).hint(
            "Nothing was changed. rekey moves no key onto a token or off it. Make the new keyring: keyring-ward init --config \
             NEW.cnf, for a token with \"storage\": \"token\" in \"pkcs11\". Then bring the keys: keyring-ward import --config NEW.cnf \
             --from-config OLD.cnf, and then keyring-ward reset-marker (docs/guide/pkcs11.md).",
        ))
    }

    /// Checks that `kek` is another one than that which the file is under. After a leak "under the new KEK" must be
    /// true, so what counts is whether it opens the file, not what it is called.
    ///
    /// # Errors
    /// InvalidInput: it is the same. The KEK's own errors.
    pub fn check_new_kek(&self, kek: &KekConfig) -> Result<()> {
        self.check_storage(std::slice::from_ref(kek))?;
        let new = kek.kek();
        new.check_new(&self.pool)?;
        let same = |why: String| {
            Err(Error::new(Kind::InvalidInput, "change the KEK", why).hint(
                "Nothing was changed. Name another secret or key (--generate makes one). For a new DEK under the same KEK use reseal.",
            ))
        };
        let deadline = Deadline::after(self.config.patience.call);
        let under = match self.store().journal() {
            Some(journal) => journal.is_under(&*new, deadline)?,
            None => false,
        };
        if under {
            return same(format!(
                "the keyring is under the {} already",
                new.describe()
            ));
        }
        // As passphrase and as key file the same secret makes two KEKs, and a leak opens both.
        for old in &self.config.keks {
            if kek::same_secret(&self.pool, old, kek)? {
                return same(format!(
                    "the {} holds the secret that the keyring is under",
                    new.describe()
                ));
            }
        }
        Ok(())
    }

    /// Writers wait until `f` is done, readers don't. `None`: the store has no journal, or memory not all that belongs into
    /// one.
    fn with_live(
        &self,
        f: impl FnOnce(&mut dyn Journal, &Live<'_>) -> Result<()>,
    ) -> Option<Result<()>> {
        let mut store = match self.writer() {
            Ok(store) => store,
            Err(e) => return Some(Err(e)),
        };
        let journal = store.journal()?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        Some(f(journal, &map.live()?))
    }
}

fn not_found(op: &'static str, id: &KeyId) -> Error {
    Error::new(Kind::NotFound, op, format!("{id} does not exist"))
}

/// The material of a key is neither in memory nor in a store that reads single keys.
fn nowhere() -> Error {
    let why = "its material is not in memory, and the store does not read single keys";
    Error::new(Kind::Internal, "read a key", why).hint("Please report this.")
}

fn on_the_token() -> Error {
    let why = "the keys are objects on the token";
    Error::new(Kind::InvalidInput, "change the KEK", why).hint(
        "They are moved instead: keyring-ward init makes a keyring under the new KEK, import --from-config brings the keys (docs/guide/pkcs11.md).",
    )
}

/// The server finds out by asking; an account wanted what it asked for.
fn asked_by(id: &KeyId, error: Error) -> Error {
    match id.owner() {
        b"" => error.expected(),
        _ => error.refused(),
    }
}

/// What of a keyring lies in a data directory: full sentences. A copy of the data should not have the keyring, or what
/// opens it, with it.
pub fn lies_in(data_dir: &Path, config: &Config) -> Vec<String> {
    let Ok(data_dir) = data_dir.canonicalize() else {
        return Vec::new();
    };
    // A file that is not there yet lies where its folder does.
    let inside = |path: &Path| {
        let real = path.canonicalize().ok();
        let real = real.or_else(|| path.parent()?.canonicalize().ok());
        real.is_some_and(|real| real.starts_with(&data_dir))
    };
    let mut sentences = Vec::new();
    if config.token_storage().is_none() && inside(&config.path) {
        sentences.push(format!(
            "The keyring '{}' lies in the data directory: every copy of the data has it with it. Move it to a folder of its \
             own.",
            config.path.display()
        ));
    }
    for secret in config.secrets() {
        if let SecretRef::File(path) = secret
            && inside(path)
        {
            sentences.push(format!(
                "The secret '{}' lies in the data directory: every copy of the data has it with it, and SQL may be able to \
                 read it. Move it to a folder of its own.",
                path.display()
            ));
        }
    }
    sentences
}

/// How long all KEKs together may take now.
fn budget(config: &Config, environment: &Environment) -> Deadline {
    Deadline::after(match environment.starting {
        true => config.patience.start,
        false => config.patience.call,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Patience};
    use crate::kek::file::LocalConfig;
    use std::os::unix::fs::PermissionsExt;

    /// A writer panics after its record is on disk: the file holds a key that memory does not.
    #[test]
    fn after_a_panic_in_a_writer_only_a_reload_allows_writes() {
        let dir = tempfile::tempdir().unwrap();
        let kek = dir.path().join("kek");
        std::fs::write(&kek, [9; 32]).unwrap();
        std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
        let config = Config {
            path: dir.path().join("k.ward"),
            read_only: false,
            fingerprint: Vec::new(),
            keks: vec![LocalConfig::KeyFile(SecretRef::File(kek)).into()],
            patience: Patience::default(),
            limits: Limits::default(),
            origin: "test".into(),
        };
        let environment = Environment {
            data_dir: None,
            look_only: false,
            starting: false,
            making: false,
            snapshot_if_locked: false,
        };
        let keyring = Keyring::open(&config, &environment, &SecretPool::new()).unwrap();
        keyring.generate(b"a", b"", b"AES", 32).unwrap();
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
            keyring.generate(b"b", b"", b"AES", 16),
            keyring.remove(b"a", b""),
            keyring.compact(),
        ] {
            assert_eq!(refused.unwrap_err().kind(), Kind::ReadOnly);
        }
        assert!(
            keyring.fetch(b"a", b"").unwrap().is_some(),
            "reads are served"
        );
        let keyring = keyring.reload(&config, &environment).unwrap();
        assert_eq!(keyring.list().len(), 2, "the file tells");
        keyring.remove(b"b", b"").unwrap();
        keyring.generate(b"b", b"", b"AES", 16).unwrap();
    }
}
