//! Versions of logical keys that come from another keyring.
//!
//! Owns what a keyring believes of them: it gains a version, or makes one current that is newer than its current one. It must
//! never lose a version or change its material, bring back one that was destroyed here, or make an older one current, whatever
//! it is given and however often.

use super::index::Family;
use super::*;
use crate::envelope::equal;
use crate::key::extensions::{INDEX, VERSION};
use crate::key::logical::{ID, Logical, State, VersionOf, check_name};
use crate::keyring::logical::LogicalInfo;

const OP: &str = "take the version in";

/// A version as another keyring has it.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The logical key's name and owner.
    pub id: &'a KeyId,
    /// Which version of which logical key, and what the other keyring knows of it.
    pub version: &'a VersionOf,
    /// What else restricts the use of the key, as its record says.
    pub restrictions: &'a Extensions,
    /// The type of the key.
    pub key_type: &'a str,
    /// When it was made: seconds since 1970, UTC.
    pub created_at: i64,
    /// The secret.
    pub material: &'a [u8],
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its state here, now.
    pub state: State,
    /// It was not here before.
    pub is_new: bool,
    /// It has become current.
    pub switched: bool,
}

impl Given<'_> {
    fn state(&self) -> State {
        let version = self.version.logical.version(self.version.number);
        version.map_or(State::Destroyed, |v| v.state)
    }

    /// The logical key as it begins here: what is known of it there, with this version alone. Numbers that were given there are
    /// not given again.
    fn begun(&self, now: i64) -> Result<Logical> {
        let theirs = &self.version.logical;
        let mut logical = Logical {
            serial: 1,
            versions: Vec::new(),
            ..theirs.clone()
        };
        logical.take_over(self.version.number, self.state(), now)?;
        Ok(logical)
    }
}

impl By<'_> {
    /// Takes a version in; the same again changes nothing. Gives its state here.
    ///
    /// # Errors
    /// AlreadyExists: something else has its name, or its logical key has another one here. KeyState: it was destroyed here.
    /// InvalidInput: it is none that is there. As [`By::store_key`].
    pub fn take_version(&self, given: &Given<'_>) -> Result<Taken> {
        check_name(given.id.name(), given.id.owner())?;
        let mut store = self.writer()?;
        self.check_one_name(given)?;
        let now = crate::os::unix_seconds();
        let number = given.version.number;
        let known = self.with_family(given.id, |family| {
            let key = family.keys.get(number).cloned();
            (family.logical().id, family.logical().clone(), key)
        });
        let Ok((id, mut logical, key)) = known else {
            return self.begin_in(&mut **store, given, now);
        };
        if id != given.version.logical.id || logical.adopted != given.version.logical.adopted {
            return Err(taken(given.id, "is another logical key here"));
        }
        if let Some(key) = key {
            return self.follow_in(&mut **store, given, &logical, &key);
        }
        logical.highest = logical.highest.max(given.version.logical.highest);
        let told = |e: Error| e.context(format!("the key {}", given.id));
        logical
            .take_over(number, given.state(), now)
            .map_err(told)?;
        logical.count_change().map_err(told)?;
        self.put_taken(&mut **store, given, logical)
    }

    /// One logical key has one name.
    fn check_one_name(&self, given: &Given<'_>) -> Result<()> {
        match self.with_family_of_id(&given.version.logical.id, Family::name) {
            Some(other) if other != *given.id => {
                let why = format!("{} is called {other} here", given.id);
                Err(Error::new(Kind::AlreadyExists, OP, why).hint(
                    "Nothing was changed. Give it the same owner on both sides: keyring-ward reown.",
                ))
            }
            _ => Ok(()),
        }
    }

    /// A logical key of which nothing is here yet.
    fn begin_in(&self, store: &mut dyn Store, given: &Given<'_>, now: i64) -> Result<Taken> {
        let logical = given.begun(now)?;
        let key = logical.key_name(given.id.name(), given.version.number);
        if key != given.id.name() {
            if self.look_up(given.id.name(), given.id.owner()).is_some() {
                return Err(taken(given.id, "is a plain key here"));
            }
            let key = KeyId::new(&key, given.id.owner())?;
            if self.look_up(key.name(), key.owner()).is_none() {
                self.check_no_versions(given.id)?;
            }
        }
        self.put_taken(store, given, logical)
    }

    /// The version is here. It can only become current.
    fn follow_in(
        &self,
        store: &mut dyn Store,
        given: &Given<'_>,
        logical: &Logical,
        key: &KnownKey,
    ) -> Result<Taken> {
        let number = given.version.number;
        let waits = logical
            .version(number)
            .is_some_and(|v| v.state == State::Pending);
        self.check_same(store, given, key).map_err(|e| match waits {
            true => e.hint(
                "Nothing was changed. The one here is pending, and was never current: if nothing is sealed with it, keyring_ward_key_drop() or \
                 keyring-ward key drop takes it away, CALL keyring_ward.drop_pending() after a look at the columns; then accept this one.",
            ),
            false => e,
        })?;
        let Some(version) = logical.version(number) else {
            let why = format!("version {number} of {} was broken off here", given.id);
            return Err(Error::new(Kind::KeyState, OP, why).hint("Nothing was changed."));
        };
        let newer = logical.current().is_none_or(|v| v.number < number);
        let waits = version.state == State::Pending && version.destroy_at.is_none();
        let switched = given.state() == State::Active && waits && newer;
        if switched {
            // It may have been given another secret since it came.
            let index = given.restrictions.get(INDEX);
            if let Some(index) = index.filter(|index| key.said(INDEX) != Some(index)) {
                self.note_in(store, given.id, key, vec![(INDEX, index.to_vec())])?;
            }
            self.change_logical_in(store, given.id, &[], |logical, now| {
                logical.switch_to(number, now)
            })?;
        }
        let state = self.with_family(given.id, |family| {
            family.logical().version(number).map(|v| v.state)
        })?;
        match state {
            Some(State::Destroyed) | None => {
                let why = format!("version {number} of {} was destroyed here", given.id);
                Err(Error::new(Kind::KeyState, OP, why).hint("Nothing was changed."))
            }
            Some(state) => Ok(Taken {
                state,
                is_new: false,
                switched,
            }),
        }
    }

    /// Writes the version with the description that is to hold from now on: its key, or what a plain key with the same material
    /// is from now on.
    fn put_taken(
        &self,
        store: &mut dyn Store,
        given: &Given<'_>,
        logical: Logical,
    ) -> Result<Taken> {
        logical.check()?;
        let number = given.version.number;
        let state = logical.version(number).map_or(State::Pending, |v| v.state);
        let key = KeyId::new(&logical.key_name(given.id.name(), number), given.id.owner())?;
        let version = VersionOf { number, logical };
        match self.look_up(key.name(), key.owner()) {
            Some(plain) if plain.version_bytes().is_some() => {
                return Err(taken(&key, "is a version of another logical key here"));
            }
            Some(plain) => {
                self.check_same(store, given, &plain)?;
                let mut said = vec![(VERSION, version.to_bytes())];
                for (tag, bytes) in given.restrictions.iter() {
                    match tag {
                        INDEX => said.push((tag, bytes.to_vec())),
                        _ if plain.said(tag) == Some(bytes) => {}
                        _ => return Err(taken(&key, "is a key of another use here")),
                    }
                }
                self.check_describing(&plain, said.clone())?;
                self.note_in(store, given.id, &plain, said)?;
            }
            None => {
                let material = self.pool.copy(given.material)?;
                let key_type = given.key_type.as_bytes();
                let generation = store.generation();
                let record = KeyRecord::new(key, key_type, material, given.created_at, generation)?;
                let list = given.restrictions.with(VERSION, Some(version.to_bytes()))?;
                self.put_described(store, given.id, record.with_extensions(list))?;
            }
        }
        Ok(Taken {
            state,
            is_new: true,
            switched: state == State::Active,
        })
    }

    /// A key that is here has the material and the type of the one that is given.
    fn check_same(&self, store: &mut dyn Store, given: &Given<'_>, key: &KnownKey) -> Result<()> {
        let record = self.whole_in(store, key.clone())?;
        let same_type = record.key_type.eq_ignore_ascii_case(given.key_type);
        match same_type && equal(record.material(), given.material) {
            true => Ok(()),
            false => Err(taken(&key.id, "is another key here, with other material")),
        }
    }
}

impl Keyring {
    /// A logical key by its own id.
    pub fn logical_by_id(&self, id: &[u8; ID]) -> Option<LogicalInfo> {
        self.with_family_of_id(id, Family::info)
    }

    /// Something of the logical key that has this id.
    pub(super) fn with_family_of_id<T>(
        &self,
        id: &[u8; ID],
        f: impl FnOnce(&Family) -> T,
    ) -> Option<T> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = map.index.iter();
        all.find(|family| family.id() == Some(*id)).map(f)
    }
}

fn taken(id: &KeyId, what: &str) -> Error {
    Error::new(Kind::AlreadyExists, OP, format!("{id} {what}")).hint(
        "Nothing was changed. Find out which of the two is wanted: keyring-ward key show tells each one's id; remove or destroy the other.",
    )
}
