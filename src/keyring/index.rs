//! The logical keys among the keys: which versions belong together, and what a name answers.
//!
//! Owns the rule that of several descriptions the one with the highest serial counts. It must never answer with a version that
//! its state keeps back, and never say that such a version is absent.

use crate::error::{Error, Kind, Result};
use crate::key::id::{KeyId, KeyIdBuf};
use crate::key::logical::{self, Head, ID, Logical, State, VersionOf};
use crate::key::record::KnownKey;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// The versions of one logical key.
pub(super) struct Family {
    /// The logical key's id.
    pub(super) id: [u8; ID],
    /// The serial of the newest description.
    serial: u32,
    /// When it is over, for a temporary key, as the newest description says: a start asks for it.
    expires: Option<i64>,
    /// The newest description as it was written: a start parses none.
    written: Box<[u8]>,
    /// The same, from when it is asked for first.
    parsed: OnceLock<Logical>,
    /// The keys that are there, by the number of their version.
    pub(super) keys: BTreeMap<u32, KnownKey>,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Index {
    /// By the name and owner of the logical key.
    families: HashMap<KeyId, Family>,
}

const FETCH: &str = "fetch the key";

impl Index {
    /// There is no logical key.
    pub(super) fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// A logical key by its name and owner.
    pub(super) fn get(&self, id: &KeyId) -> Option<&Family> {
        self.families.get(id)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&KeyId, &Family)> {
        self.families.iter()
    }

    /// The logical key that a key is a version of, if it is one.
    pub(super) fn family_of(&self, key: &KnownKey) -> Option<(&KeyId, &Family, u32)> {
        let Head {
            id,
            number,
            adopted,
            ..
        } = VersionOf::head(key.version_bytes()?)?;
        let (logical, family) = if adopted && number == 1 {
            self.families.get_key_value(&key.id)?
        } else {
            let (name, n) = logical::split(key.id.name())?;
            let base = KeyIdBuf::new(name, key.id.owner()).ok()?;
            let found = self.families.get_key_value(base.as_bytes())?;
            (n == number).then_some(found)?
        };
        (family.id == id).then_some((logical, family, number))
    }

    /// Takes in what a key says of a logical key. A plain key says nothing.
    pub(super) fn note(&mut self, key: &KnownKey) {
        let Some(bytes) = key.version_bytes() else {
            return;
        };
        let Some(head) = VersionOf::head(bytes) else {
            return;
        };
        // A key under a name that is not its version's is a plain one.
        let Some(id) = name_of(key, &head) else {
            return;
        };
        let family = self.families.entry(id).or_insert_with(|| Family {
            id: head.id,
            serial: head.serial,
            expires: head.expires,
            written: bytes.into(),
            parsed: OnceLock::new(),
            keys: BTreeMap::new(),
        });
        if family.id != head.id {
            return;
        }
        family.keys.insert(head.number, key.clone());
        if head.serial > family.serial {
            family.serial = head.serial;
            family.expires = head.expires;
            family.written = bytes.into();
            family.parsed = OnceLock::new();
        }
    }

    /// A description with the next serial may be on the medium, and must not count beside what is written next.
    pub(super) fn use_up_a_serial(&mut self, id: &KeyId) {
        if let Some(family) = self.families.get_mut(id) {
            family.serial = family.serial.saturating_add(1);
            family.parsed = OnceLock::new();
        }
    }

    /// A key goes.
    pub(super) fn forget(&mut self, key: &KnownKey) {
        let Some(head) = key.version_bytes().and_then(VersionOf::head) else {
            return;
        };
        let Some(id) = name_of(key, &head) else {
            return;
        };
        if let Some(family) = self.families.get_mut(&id)
            && family.id == head.id
        {
            family.keys.remove(&head.number);
            if family.keys.is_empty() {
                self.families.remove(&id);
            }
        }
    }

    /// What the bare name of a logical key answers; `None`: there is no such name.
    pub(super) fn follow(&self, id: &[u8]) -> Option<Result<KnownKey>> {
        let family = self.families.get(id)?;
        if !family.logical().follow {
            return None;
        }
        let current = family.logical().current().map(|v| v.number);
        match current.and_then(|n| Some((n, family.keys.get(&n)?))) {
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
        let Some((_, family, number)) = self.family_of(key) else {
            // Alone under a name that is not its own: what it says of itself holds.
            return match version_of(key) {
                Some(own) => own.logical.may_serve(own.number),
                None => Ok(true),
            };
        };
        family.logical().may_serve(number)
    }

    /// What a key is to say of its logical key when it is written elsewhere: the newest that is known. `None`: it is a plain key.
    pub(super) fn newest(&self, key: &KnownKey) -> Option<VersionOf> {
        let own = version_of(key)?;
        let newest = self.family_of(key).map(|(_, family, _)| family.logical());
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
    /// The newest description.
    pub(super) fn logical(&self) -> &Logical {
        self.parsed.get_or_init(|| {
            // It was checked when the key was read; one that names no version serves none.
            let parsed = VersionOf::from_bytes(&self.written);
            let logical = parsed.map_or_else(|_| Logical::unknown(self.id), |v| v.logical);
            Logical {
                serial: self.serial,
                ..logical
            }
        })
    }

    /// A temporary key whose time is over, and that is not held.
    pub(super) fn is_to_end(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now) && self.logical().held.is_none()
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

fn name_of(key: &KnownKey, head: &Head) -> Option<KeyId> {
    if head.adopted && head.number == 1 {
        return Some(key.id.clone());
    }
    let (name, number) = logical::split(key.id.name())?;
    (number == head.number).then(|| KeyId::new(name, key.id.owner()).ok())?
}

/// The logical key that the name of a version would belong to.
pub(super) fn base(id: &KeyId) -> Option<KeyId> {
    let (name, _) = logical::split(id.name())?;
    KeyId::new(name, id.owner()).ok()
}
