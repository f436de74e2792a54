//! The logical keys among the keys: which versions belong together, and what a name answers.
//!
//! Owns the rule that of several descriptions the one with the highest serial counts. It must never answer with a version that
//! its state keeps back, and never say that such a version is absent.

use super::versions::Versions;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::{Extensions, VERSION};
use crate::key::id::KeyId;
use crate::key::logical::{self, Head, ID, Logical, State, VersionOf};
use crate::key::record::KnownKey;
use indexmap::set::MutableValues;
use indexmap::{Equivalent, IndexSet};
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

/// The versions of one logical key.
pub(super) struct Family {
    /// The name of each of its keys begins with its own, which has so many bytes.
    name_length: u16,
    /// The serial of the newest description.
    serial: u32,
    /// The list in which the newest description stands: a start parses none.
    written: Extensions,
    /// The same, from when it is asked for first.
    parsed: OnceLock<Box<Logical>>,
    /// The keys that are there, by the number of their version.
    pub(super) keys: Versions,
}

/// Name and owner of a logical key, by which it is found. They stand in the names of its keys: a million logical keys need
/// no copies of them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Base<'a> {
    name: &'a [u8],
    owner: &'a [u8],
}

impl<'a> From<&'a KeyId> for Base<'a> {
    fn from(id: &'a KeyId) -> Self {
        Base {
            name: id.name(),
            owner: id.owner(),
        }
    }
}

impl Hash for Base<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_usize(self.name.len());
        state.write(self.name);
        state.write(self.owner);
    }
}
impl Equivalent<Family> for Base<'_> {
    fn equivalent(&self, family: &Family) -> bool {
        *self == family.base()
    }
}
impl Hash for Family {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.base().hash(state);
    }
}
impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.base() == other.base()
    }
}
impl Eq for Family {}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Index {
    /// By the name and owner of the logical key.
    families: IndexSet<Family>,
    /// No temporary key ends before. Those that are gone count as well.
    first_end: Option<i64>,
}

const FETCH: &str = "fetch the key";

impl Index {
    /// There is no logical key.
    pub(super) fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// Room for one more.
    pub(super) fn reserve_one(&mut self) -> std::result::Result<(), indexmap::TryReserveError> {
        self.families.try_reserve(1)
    }

    /// A logical key by its name and owner.
    pub(super) fn get(&self, id: &KeyId) -> Option<&Family> {
        self.families.get(&Base::from(id))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Family> {
        self.families.iter()
    }

    /// The temporary keys whose time is over, and that are not held. Most often none is looked at.
    pub(super) fn to_end(&self, now: i64) -> impl Iterator<Item = &Family> {
        let any = self.first_end.is_some_and(|at| at <= now);
        let families = any.then(|| self.families.iter()).into_iter().flatten();
        families.filter(move |family| family.is_to_end(now))
    }

    /// The logical key that a key is a version of, if it is one, and which version.
    pub(super) fn family_of(&self, key: &KnownKey) -> Option<(&Family, u32)> {
        let head = VersionOf::head(key.version_bytes()?)?;
        let family = self.families.get(&base_of(key, &head)?)?;
        (family.id() == Some(head.id)).then_some((family, head.number))
    }

    /// Takes in what a key says of a logical key. A plain key says nothing.
    pub(super) fn note(&mut self, key: &KnownKey) {
        let Some((list, head)) = said_by(key) else {
            return;
        };
        // A key under a name that is not its version's is a plain one.
        let Some(base) = base_of(key, &head) else {
            return;
        };
        self.first_end = self.first_end.into_iter().chain(head.expires).min();
        let (at, is_new) = self.families.insert_full(Family {
            // Of a KeyId: at most 1,020 bytes.
            name_length: base.name.len() as u16,
            serial: head.serial,
            written: list.clone(),
            parsed: OnceLock::new(),
            keys: Versions::new(head.number, key.clone()),
        });
        let known = self.families.get_index_mut2(at).filter(|_| !is_new);
        let Some(family) = known.filter(|family| family.id() == Some(head.id)) else {
            return;
        };
        family.keys.insert(head.number, key.clone());
        if head.serial > family.serial {
            family.serial = head.serial;
            family.written = list.clone();
            family.parsed = OnceLock::new();
        }
    }

    /// A description with the next serial may be on the medium, and must not count beside what is written next.
    pub(super) fn use_up_a_serial(&mut self, id: &KeyId) {
        if let Some((_, family)) = self.families.get_full_mut2(&Base::from(id)) {
            family.serial = family.serial.saturating_add(1);
            family.parsed = OnceLock::new();
        }
    }

    /// A key goes.
    pub(super) fn forget(&mut self, key: &KnownKey) {
        let Some((_, head)) = said_by(key) else {
            return;
        };
        let Some(base) = base_of(key, &head) else {
            return;
        };
        if let Some((_, family)) = self.families.get_full_mut2(&base)
            && family.id() == Some(head.id)
            && !family.keys.remove(head.number)
        {
            self.families.swap_remove(&base);
        }
    }

    /// What the bare name of a logical key answers; `None`: there is no such name.
    pub(super) fn follow(&self, name: &[u8], owner: &[u8]) -> Option<Result<KnownKey>> {
        let family = self.families.get(&Base { name, owner })?;
        if !family.logical().follow {
            return None;
        }
        let current = family.logical().current().map(|v| v.number);
        match current.and_then(|n| Some((n, family.keys.get(n)?))) {
            Some((number, key)) => Some(family.logical().served(number).map(|()| key.clone())),
            None if family.is_over() => None,
            None => Some(Err(kept_back(
                "none of its versions is current".into(),
                "keyring-ward key rotate gives it one; key restore brings back one that was destroyed.",
            ))),
        }
    }

    /// Whether a version's key is served; `false`: it is destroyed, and only the removal of its record is still to come.
    ///
    /// # Errors
    /// KeyState: its state keeps it back.
    pub(super) fn may_serve(&self, key: &KnownKey) -> Result<bool> {
        let Some((family, number)) = self.family_of(key) else {
            // Alone under a name that is not its own: what it says of itself holds.
            return match (version_of(key), key.version_bytes()) {
                (Some(own), _) => own.logical.may_serve(own.number),
                (None, None) => Ok(true),
                (None, Some(_)) => Err(kept_back(
                    "what is known of its version can't be read".into(),
                    "Please report this.",
                )),
            };
        };
        family.logical().may_serve(number)
    }

    /// What a key is to say of its logical key when it is written elsewhere: the newest that is known. `None`: it is a plain key.
    pub(super) fn newest(&self, key: &KnownKey) -> Option<VersionOf> {
        let own = version_of(key)?;
        let newest = self.family_of(key).map(|(family, _)| family.logical());
        match newest.filter(|logical| logical.version(own.number).is_some()) {
            Some(logical) => Some(VersionOf {
                logical: logical.clone(),
                ..own
            }),
            None => Some(own),
        }
    }
}

impl Family {
    fn base(&self) -> Base<'_> {
        let id = &self.keys.newest().id;
        Base {
            name: &id.name()[..usize::from(self.name_length)],
            owner: id.owner(),
        }
    }

    /// The owner of the logical key, if this is its name.
    pub(super) fn owner_if_called(&self, name: &[u8]) -> Option<&[u8]> {
        let base = self.base();
        (base.name == name).then_some(base.owner)
    }

    /// Name and owner of the logical key.
    pub(super) fn name(&self) -> KeyId {
        let Base { name, owner } = self.base();
        // What stands before the '@' of a name is one.
        KeyId::new(name, owner).unwrap_or_else(|_| self.keys.newest().id.clone())
    }

    fn head(&self) -> Option<Head> {
        VersionOf::head(self.written.get(VERSION)?)
    }

    /// The logical key's id.
    pub(super) fn id(&self) -> Option<[u8; ID]> {
        self.head().map(|head| head.id)
    }

    /// The newest description.
    pub(super) fn logical(&self) -> &Logical {
        self.parsed.get_or_init(|| {
            // It was checked when the key was read; one that names no version serves none.
            let parsed = (self.written.get(VERSION)).and_then(|v| VersionOf::from_bytes(v).ok());
            let unknown = || Logical::unknown(self.id().unwrap_or_default());
            let logical = parsed.map_or_else(unknown, |v| v.logical);
            Box::new(Logical {
                serial: self.serial,
                ..logical
            })
        })
    }

    fn is_to_end(&self, now: i64) -> bool {
        let expires = self.head().and_then(|head| head.expires);
        expires.is_some_and(|at| at <= now) && self.logical().held.is_none()
    }

    /// All of it is destroyed, and the removal of a record still to come.
    fn is_over(&self) -> bool {
        let mut versions = self.logical().versions.iter();
        versions.all(|v| v.state == State::Destroyed)
    }
}

fn kept_back(why: String, hint: &str) -> Error {
    Error::new(Kind::KeyState, FETCH, why).hint(hint).refused()
}

impl Logical {
    /// See [`Index::may_serve`].
    fn may_serve(&self, number: u32) -> Result<bool> {
        match self.version(number).map(|v| v.state) {
            Some(State::Destroyed) => Ok(false),
            // Destroyed, and so long ago that it is forgotten.
            None if number <= self.highest => Ok(false),
            None => Err(kept_back(
                format!("nothing is known of version {number}: its rotation was broken off"),
                "keyring-ward key rotate makes another one.",
            )),
            Some(_) => self.served(number).map(|()| true),
        }
    }

    fn served(&self, number: u32) -> Result<()> {
        let refuse = |why: String, hint: &str| Err(kept_back(why, hint));
        if self.expires.is_some() && self.has_expired(crate::os::unix_seconds()) {
            return refuse(
                "it is a temporary key, and its time is over".into(),
                "keyring-ward key set --expires gives it more time, as long as nobody has destroyed it.",
            );
        }
        match self.version(number).map(|v| v.state) {
            Some(State::Compromised) => refuse(
                format!("version {number} is compromised"),
                "Seal its data anew under the current version. What opens it nevertheless is keyring-ward export.",
            ),
            _ => Ok(()),
        }
    }
}

/// What a key says of its version; `None`: it is a plain key. The bytes were checked when the key was read.
pub(super) fn version_of(key: &KnownKey) -> Option<VersionOf> {
    VersionOf::from_bytes(key.version_bytes()?).ok()
}

/// The list in which a key says what it is a version of, and the beginning of that.
fn said_by(key: &KnownKey) -> Option<(&Extensions, Head)> {
    let list = key.version_list()?;
    Some((list, VersionOf::head(list.get(VERSION)?)?))
}

/// The logical key that a key belongs to by its name; `None`: that is not the name of its version.
fn base_of<'a>(key: &'a KnownKey, head: &Head) -> Option<Base<'a>> {
    if head.adopted && head.number == 1 {
        return Some(Base::from(&key.id));
    }
    let (name, number) = logical::split(key.id.name())?;
    let owner = key.id.owner();
    (number == head.number).then_some(Base { name, owner })
}

/// The logical key that the name of a version would belong to.
pub(super) fn base(id: &KeyId) -> Option<KeyId> {
    let (name, _) = logical::split(id.name())?;
    KeyId::new(name, id.owner()).ok()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
