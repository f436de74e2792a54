//! Logical keys: made, rotated, destroyed.
//!
//! Owns the order of the records of each change: whatever a crash leaves is the state before or the one after it. It must never
//! remove a version's material before it is durable that the version is destroyed.

use super::changes::not_found;
use super::index::{Family, version_of};
use super::*;
use crate::key::extensions::{INDEX, PAIR, VERSION};
use crate::key::info::KeyType;
use crate::key::logical::{ID, Logical, MAX_NUMBER, State, VersionOf, check_name, split};
use crate::secret::fill_random;

pub(super) const CREATE: &str = "make the logical key";
const CHANGE: &str = "change the logical key";

/// What a new logical key is to be.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Its bare name answers with the current version's material.
    pub follow: bool,
    /// Days after which it is due for a rotation.
    pub rotate_every: Option<u16>,
    /// When it is over, for a temporary key: seconds since 1970.
    pub expires: Option<i64>,
    /// What it is for.
    pub environment: String,
    /// For people.
    pub description: String,
}

/// The key of a new version.
pub(super) struct New {
    pub(super) key_type: KeyType,
    pub(super) material: SecretBytes,
    /// What its extension says, if it is half of a key pair.
    pub(super) pair: Option<u8>,
    /// What its extension says of whose random bytes it is of, if not of the system's alone.
    pub(super) random: Option<(u8, Vec<u8>)>,
}

/// A logical key, for lists.
#[derive(Clone, Debug)]
pub struct LogicalInfo {
    /// Its name and owner.
    pub id: KeyId,
    /// What is known of it.
    pub logical: Logical,
    /// The type of its keys, as it was given.
    pub key_type: String,
    /// Bytes of material of its newest version.
    pub length: usize,
    /// Its keys are private halves of key pairs.
    pub pair: bool,
    /// The versions whose keys are there, with the second at which each was made.
    pub made: Vec<(u32, i64)>,
}

impl Wanted {
    pub(super) fn logical(&self) -> Result<Logical> {
        let mut id = [0; ID];
        fill_random(&mut id)?;
        let logical = Logical {
            id,
            serial: 1,
            follow: self.follow,
            adopted: false,
            rotate_every: self.rotate_every,
            expires: self.expires,
            held: None,
            environment: self.environment.clone(),
            description: self.description.clone(),
            highest: 0,
            versions: Vec::new(),
        };
        logical.check()?;
        Ok(logical)
    }
}

impl By<'_> {
    /// Makes a logical key with version 1, which is current, of `length` random bytes.
    ///
    /// # Errors
    /// AlreadyExists: the name, or one that ends in @ and a number, is taken. As [`By::generate`].
    pub fn create_logical(
        &self,
        id: &KeyId,
        key_type: &[u8],
        length: usize,
        wanted: &Wanted,
    ) -> Result<()> {
        check_generated_length(length)?;
        check_type(key_type)?;
        self.create_of(id, wanted, || self.random_version(key_type, length))
    }

    /// The same of whatever `new` makes.
    pub(super) fn create_of(
        &self,
        id: &KeyId,
        wanted: &Wanted,
        new: impl FnOnce() -> Result<New>,
    ) -> Result<()> {
        check_name(id.name(), id.owner())?;
        let mut logical = wanted.logical()?;
        let now = crate::os::unix_seconds();
        let first = logical.add_version(now)?;
        logical.switch_to(first, now)?;
        let mut store = self.writer()?;
        self.check_absent(id).map_err(|e| match self.is_plain(id) {
            true => e.hint("Nothing was changed. keyring-ward key adopt makes it the first version of a logical key. Or choose another name."),
            false => e,
        })?;
        self.check_no_versions(id)?;
        self.put_version(&mut **store, id, logical, first, new()?)
    }

    fn random_version(&self, key_type: &[u8], length: usize) -> Result<New> {
        let mut material = self.pool.random(length)?;
        let random = self.mix_random(&mut material);
        Ok(New {
            key_type: KeyType::new(key_type)?,
            material,
            pair: None,
            random,
        })
    }

    /// Makes a plain key a version of the logical key `id`, as another keyring knows it to be; `index`: with this secret of a blind
    /// index, sealed for it.
    ///
    /// # Errors
    /// NotFound: there is no such key. AlreadyExists: it is a version of another one, or something else has that name. ReadOnly, Io.
    pub fn describe_plain(
        &self,
        key: &KeyId,
        id: &KeyId,
        version: &VersionOf,
        index: Option<&[u8]>,
    ) -> Result<()> {
        let mut store = self.writer()?;
        let known = self.look_up(key.name(), key.owner());
        let known = known.ok_or_else(|| not_found(CHANGE, key))?;
        let taken = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            match map.index.get(id) {
                Some(family) => family.id() != Some(version.logical.id),
                None => key != id && map.get(id.as_bytes()).is_some(),
            }
        };
        if taken || known.version_bytes().is_some() {
            let why = format!("{id} is something else here");
            return Err(Error::new(Kind::AlreadyExists, CREATE, why));
        }
        let mut said = vec![(VERSION, version.to_bytes())];
        said.extend(index.map(|index| (INDEX, index.to_vec())));
        self.check_describing(&known, said.clone())?;
        self.note_in(&mut **store, id, &known, said)
    }

    /// Whether what is new about a key fits. What is changed of it later fits always: who is full must be able to hold, to
    /// cancel and to destroy.
    pub(super) fn check_describing(&self, key: &KnownKey, said: Vec<(u8, Vec<u8>)>) -> Result<()> {
        let more = adds(key, said)?;
        (self.sizes()).check(&self.config.limits, key.id.owner(), more)
    }

    /// Gives a logical key a new version, in one record. `switch`: it is current from then on; else it is pending.
    ///
    /// # Errors
    /// NotFound: there is no such logical key. KeyState: a version is pending already. As [`By::generate`].
    pub fn rotate(&self, id: &KeyId, switch: bool) -> Result<u32> {
        let pair = self.next_pair(id)?;
        let mut store = self.writer()?;
        let (mut logical, newest) = self.with_family(id, |family| {
            (family.logical().clone(), family.keys.newest().clone())
        })?;
        let now = crate::os::unix_seconds();
        logical
            .check_rotatable(now)
            .map_err(|e| e.context(format!("the key {id}")))?;
        self.pass_taken(id, &mut logical)?;
        let number = logical.add_version(now)?;
        if switch {
            logical.switch_to(number, now)?;
        }
        logical.count_change()?;
        let new = match (pair, newest.said(PAIR).is_some()) {
            (Some(pair), true) => pair,
            (None, false) => self.random_version(newest.key_type.as_bytes(), newest.length())?,
            _ => {
                let why = format!("{id} became another key meanwhile");
                return Err(Error::new(Kind::KeyState, CHANGE, why).hint("Nothing was changed."));
            }
        };
        self.put_version(&mut **store, id, logical, number, new)?;
        Ok(number)
    }

    /// Passes over the numbers whose names other keys have: they were stored while no logical key of that name was there, or a
    /// token has them of a rotation that it could not confirm.
    fn pass_taken(&self, id: &KeyId, logical: &mut Logical) -> Result<()> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        while logical.highest < MAX_NUMBER {
            let next = KeyId::new(
                &logical.key_name(id.name(), logical.highest + 1),
                id.owner(),
            )?;
            if map.get(next.as_bytes()).is_none() {
                break;
            }
            logical.highest += 1;
        }
        Ok(())
    }

    /// Makes a pending version the current one.
    ///
    /// # Errors
    /// NotFound: there is no such key or version. KeyState: the version is not pending. ReadOnly, Io.
    pub fn activate(&self, id: &KeyId, number: u32) -> Result<()> {
        let switch = |logical: &mut Logical, now| {
            let state = logical.version_mut(number)?.state;
            if state != State::Pending {
                let why = format!("version {number} is {}, not pending", state.name());
                return Err(Error::new(Kind::KeyState, CHANGE, why).hint(
                    "Nothing was changed. A version that was current once does not become so again: rotate the key instead.",
                ));
            }
            logical.check_time(now)?;
            if logical.version_mut(number)?.destroy_at.is_some() {
                let why = format!("the destruction of version {number} is planned");
                return Err(Error::new(Kind::KeyState, CHANGE, why)
                    .hint("Nothing was changed. keyring-ward key cancel ends the plan."));
            }
            logical.switch_to(number, now)
        };
        let mut store = self.writer()?;
        let mut tried = self.with_family(id, |family| family.logical().clone())?;
        let allowed = switch(&mut tried, crate::os::unix_seconds());
        allowed.map_err(|e| e.context(format!("the key {id}")))?;
        self.carry_index(&mut **store, id, number)?;
        self.change_logical_in(&mut **store, id, &[], switch)
    }

    /// Changes what is known of a logical key, in one record. `change` gets the description and the time.
    ///
    /// # Errors
    /// NotFound: there is no such logical key. Those of `change`; ReadOnly, Io.
    pub fn change_logical(
        &self,
        id: &KeyId,
        change: impl FnOnce(&mut Logical, i64) -> Result<()>,
    ) -> Result<()> {
        let mut store = self.writer()?;
        self.change_logical_in(&mut **store, id, &[], change)
    }

    /// `going`: versions whose keys go next. The description is written with the newest key that stays.
    pub(super) fn change_logical_in(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        going: &[u32],
        change: impl FnOnce(&mut Logical, i64) -> Result<()>,
    ) -> Result<()> {
        let (mut logical, keys) =
            self.with_family(id, |family| (family.logical().clone(), family.keys.clone()))?;
        let told = |e: Error| e.context(format!("the key {id}"));
        change(&mut logical, crate::os::unix_seconds()).map_err(told)?;
        logical.check().map_err(told)?;
        logical.count_change().map_err(told)?;
        // Only a key that the description names can carry it.
        let keys = keys.iter().rev();
        let named = || keys.clone().filter(|(n, _)| logical.version(*n).is_some());
        let staying = named().find(|(n, _)| !going.contains(n));
        let holder = staying.or(named().next()).or(keys.clone().next());
        let (number, holder) = holder.ok_or_else(|| not_found(CHANGE, id))?;
        self.describe_in(store, id, holder, &VersionOf { number, logical })
    }

    /// Destroys the versions whose planned destruction is due, of all or of the one that is named. Each is durable as
    /// destroyed before its material goes, which is kept as a retired key. Gives their numbers.
    ///
    /// # Errors
    /// KeyState: nothing is due, or the key is held. NotFound: there is no such key or version. ReadOnly, Io.
    pub fn destroy_due(&self, id: &KeyId, number: Option<u32>) -> Result<Vec<u32>> {
        let now = crate::os::unix_seconds();
        let mut store = self.writer()?;
        // What a crash has left: destroyed, and its key still there.
        let left = self.with_family(id, |family| family.left_over())?;
        let due = match self.with_family(id, |family| family.logical().due(number, now))? {
            Err(_) if !left.is_empty() => Vec::new(),
            due => due.map_err(|e| e.context(format!("the key {id}")))?,
        };
        self.destroy_in(&mut **store, id, &due)?;
        Ok(left.into_iter().chain(due).collect())
    }

    fn destroy_in(&self, store: &mut dyn Store, id: &KeyId, numbers: &[u32]) -> Result<()> {
        let mut going = self.with_family(id, |family| family.left_over())?;
        going.extend_from_slice(numbers);
        self.change_logical_in(store, id, &going, |logical, now| {
            let mut numbers = numbers.iter();
            numbers.try_for_each(|n| logical.put_into(*n, State::Destroyed, now))
        })?;
        self.let_go(store, id)
    }

    /// The keys of versions that the description gives up go, and are kept as retired ones.
    pub(super) fn let_go(&self, store: &mut dyn Store, id: &KeyId) -> Result<()> {
        // Where all go, the newest one goes last: it has the description.
        let gone = self.with_family(id, |family| {
            let left = family.left_over();
            left.iter()
                .filter_map(|n| family.keys.get(*n).cloned())
                .collect::<Vec<_>>()
        })?;
        if !gone.is_empty() && store.journal().is_none() {
            store.warn(format!(
                "{} of {id} went for good: a token has no place for removed keys that are kept.",
                counted(gone.len(), "version")
            ));
        }
        for key in gone {
            match self.keeps_removed_for() > 0 {
                true => self.retire_in(store, &key)?,
                false => self.remove_in(store, key)?,
            }
        }
        Ok(())
    }

    /// Destroys temporary keys whose time is over, if any: they alone die by time. Gives their names.
    ///
    /// # Errors
    /// ReadOnly, Io.
    pub fn destroy_expired(&self) -> Result<Vec<KeyId>> {
        let now = crate::os::unix_seconds();
        let expired: Vec<KeyId> = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.index.to_end(now).map(Family::name).collect()
        };
        if expired.is_empty() {
            return Ok(expired);
        }
        let mut store = self.writer()?;
        for id in &expired {
            let numbers = self.with_family(id, |family| {
                let alive = family.logical().versions.iter();
                alive
                    .filter(|v| v.state != State::Destroyed)
                    .map(|v| v.number)
                    .collect::<Vec<_>>()
            })?;
            self.destroy_in(&mut **store, id, &numbers)?;
        }
        Ok(expired)
    }
}

impl Keyring {
    /// All logical keys, by name and owner. Copying their descriptions takes its time, and writers wait for whoever reads: so
    /// they are taken in pieces.
    pub fn logical_keys(&self) -> Vec<LogicalInfo> {
        let ids = self.logical_ids();
        let pieces = ids.chunks(super::PIECE);
        pieces.flat_map(|ids| self.logical_infos(ids)).collect()
    }

    /// The names and owners of all logical keys, in order.
    pub fn logical_ids(&self) -> Vec<KeyId> {
        let mut all: Vec<KeyId> = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            map.index.iter().map(Family::name).collect()
        };
        all.sort_unstable();
        all
    }

    /// What is known of these logical keys, as far as they are still there.
    pub fn logical_infos(&self, ids: &[KeyId]) -> Vec<LogicalInfo> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let known = |id: &KeyId| map.index.get(id).map(Family::info);
        ids.iter().filter_map(known).collect()
    }

    /// One logical key by its name and owner, or by those of one of its versions.
    ///
    /// # Errors
    /// NotFound: there is none.
    pub fn logical_key(&self, id: &KeyId) -> Result<LogicalInfo> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = map.index.get(id) {
            return Ok(family.info());
        }
        let key = map.get(id.as_bytes());
        match key.as_ref().and_then(|key| map.index.family_of(key)) {
            Some((family, _)) => Ok(family.info()),
            None => Err(not_logical(id)),
        }
    }

    /// Of which logical key a key is a version, which one, and what is known of that logical key; `None`: it is a plain key.
    pub fn version_of(&self, key: &KnownKey) -> Option<(KeyId, u32, Logical)> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let (family, number) = map.index.family_of(key)?;
        Some((family.name(), number, family.logical().clone()))
    }

    pub(super) fn with_family<T>(&self, id: &KeyId, f: impl FnOnce(&Family) -> T) -> Result<T> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.index.get(id).map(f).ok_or_else(|| not_logical(id))
    }

    /// There is a key of this name that has no versions.
    fn is_plain(&self, id: &KeyId) -> bool {
        let key = self.look_up(id.name(), id.owner());
        key.is_some_and(|key| key.version_bytes().is_none())
    }

    /// No key has a name that a version could have: whoever made it would find it among the versions.
    pub(super) fn check_no_versions(&self, id: &KeyId) -> Result<()> {
        let taken = |other: &KeyId| {
            other.owner() == id.owner()
                && split(other.name()).is_some_and(|(base, _)| base == id.name())
        };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let Some(taken) = map.ids().find(|id| taken(id)) else {
            return Ok(());
        };
        let why = format!("{taken} exists already, and is how a version of {id} would be called");
        Err(Error::new(Kind::AlreadyExists, CREATE, why)
            .hint("Nothing was changed. Are they its versions, which came here by a clear-text file or by mysql_migrate_keyring? Then \
                   keyring-ward key adopt --versions makes them one logical key again: see docs/reference/sealed-values.md. Else choose another name."))
    }
}

impl By<'_> {
    fn put_version(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        logical: Logical,
        number: u32,
        new: New,
    ) -> Result<()> {
        let key = KeyId::new(&logical.key_name(id.name(), number), id.owner())?;
        if self.look_up(key.name(), key.owner()).is_some() {
            let why = format!("{key} exists already");
            return Err(Error::new(Kind::AlreadyExists, CREATE, why).hint("Nothing was changed."));
        }
        let New {
            key_type,
            material,
            pair,
            random,
        } = new;
        let secret = (key_type.as_bytes(), &material[..]);
        let index = match pair {
            Some(_) => None,
            None => self.index_for(store, id, &logical, number, secret)?,
        };
        let version = VersionOf { number, logical };
        let said = [(VERSION, version.to_bytes())].into_iter();
        let said = said.chain(index.map(|index| (INDEX, index))).chain(random);
        let list = Extensions::new(said.chain(pair.map(|pair| (PAIR, vec![pair]))))?;
        let now = crate::os::unix_seconds();
        let generation = store.generation();
        let record = KeyRecord::new(key, key_type.as_bytes(), material, now, generation)?;
        self.put_described(store, id, record.with_extensions(list))
    }

    /// Writes a version's key, whose record describes it.
    pub(super) fn put_described(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        record: KeyRecord,
    ) -> Result<()> {
        let made = self.put(store, record);
        self.if_unsure(store, id, made)
    }

    /// A token that failed may have done it all the same. So that nothing of this counts beside what is changed next, its
    /// serial is not used again.
    fn if_unsure(&self, store: &mut dyn Store, id: &KeyId, done: Result<()>) -> Result<()> {
        if done.is_err() && store.journal().is_none() {
            self.publish(|map| map.index.use_up_a_serial(id));
        }
        done
    }

    /// Writes a description with the key that carries it.
    pub(super) fn describe_in(
        &self,
        store: &mut dyn Store,
        logical: &KeyId,
        key: &KnownKey,
        version: &VersionOf,
    ) -> Result<()> {
        self.note_in(store, logical, key, vec![(VERSION, version.to_bytes())])
    }

    /// Writes what tags say of a version with its key, in one record.
    pub(super) fn note_in(
        &self,
        store: &mut dyn Store,
        logical: &KeyId,
        key: &KnownKey,
        said: Vec<(u8, Vec<u8>)>,
    ) -> Result<()> {
        if store.journal().is_some() {
            let list = key.attributes().with_all(said)?;
            return self.set_attributes_in(store, &key.id, list);
        }
        let list = self.signed(&key.extensions().with_all(said)?);
        let record = match key {
            KnownKey::Whole(record) => record.renamed(record.id.clone(), &self.pool)?,
            KnownKey::Info(info) => {
                let read = store.on_demand().ok_or_else(nowhere)?.fetch(&info.id)?;
                read.ok_or_else(|| not_found(CHANGE, &info.id))?
            }
        };
        let record = record.with_extensions(list);
        let written = store.append(&Change::Replace(&record, key));
        self.if_unsure(store, logical, written)?;
        let mut sizes = self.sizes();
        sizes.sub(key.id.owner(), key_length(key));
        sizes.add(key.id.owner(), key_length(&record));
        drop(sizes);
        self.publish(|map| drop(map.insert(record)));
        Ok(())
    }

    /// Tells the logical key that a version of it is back.
    pub(super) fn settle_restored(&self, store: &mut dyn Store, id: &KeyId) -> Result<()> {
        let Some(key) = self.look_up(id.name(), id.owner()) else {
            return Ok(());
        };
        let found = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            let found = map.index.family_of(&key);
            found.map(|(family, number)| (family.name(), number, family.logical().clone()))
        };
        let Some((logical, number, known)) = found else {
            return Ok(());
        };
        if known
            .version(number)
            .is_some_and(|v| v.state != State::Destroyed)
        {
            return Ok(());
        }
        let own = version_of(&key).and_then(|own| own.logical.version(number).copied());
        self.change_logical_in(store, &logical, &[], |logical, now| {
            logical.bring_back(number, own.as_ref(), now)
        })
    }
}

impl Keyring {
    /// A retired key is held itself, or the logical key that it was a version of is.
    pub fn is_held(&self, key: &KeyInfo) -> bool {
        if holding::reason(key).is_some() {
            return true;
        }
        let key = KnownKey::Info(Arc::new(key.clone()));
        let own = version_of(&key).is_some_and(|v| v.logical.held.is_some());
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        match map.index.family_of(&key) {
            Some((family, _)) => family.logical().held.is_some(),
            None => own,
        }
    }
}

impl Family {
    pub(super) fn info(&self) -> LogicalInfo {
        let newest = self.keys.newest();
        LogicalInfo {
            id: self.name(),
            logical: self.logical().clone(),
            key_type: newest.key_type.to_string(),
            length: newest.length(),
            pair: newest.said(PAIR).is_some(),
            made: (self.keys.iter())
                .map(|(n, key)| (n, key.created_at))
                .collect(),
        }
    }

    /// The destroyed versions whose keys are there.
    fn left_over(&self) -> Vec<u32> {
        let destroyed = |n: &u32| match self.logical().version(*n) {
            Some(version) => version.state == State::Destroyed,
            // Destroyed and forgotten; a higher number is one that nobody was told of.
            None => *n <= self.logical().highest,
        };
        self.keys.iter().map(|(n, _)| n).filter(destroyed).collect()
    }
}

/// How many bytes a key gets by what is new about it.
pub(super) fn adds(key: &KnownKey, said: Vec<(u8, Vec<u8>)>) -> Result<u64> {
    let list = key.attributes().with_all(said)?;
    let adds = Operation::Attributes(&key.id, &list).frame_length();
    Ok(adds.saturating_sub(crate::format::record::attributes_length(key)))
}

fn counted(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn not_logical(id: &KeyId) -> Error {
    Error::new(Kind::NotFound, CHANGE, format!("{id} is no logical key"))
        .hint("keyring-ward key list shows the logical keys; key adopt makes one of a plain key.")
}
