//! The logical keys among the keys: which versions belong together, and what a name answers.
//!
//! Owns the rule that of several descriptions the one with the highest serial counts. It must never answer with a version that
//! its state keeps back, and never say that such a version is absent.

use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::key::logical::{self, Logical, State, VersionOf};
use crate::key::record::KnownKey;
use std::collections::{BTreeMap, HashMap};

/// The versions of one logical key.
pub(super) struct Family {
    /// The newest description.
    pub(super) logical: Logical,
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
        let version = version_of(key)?;
        let (id, family) = self.families.get_key_value(&name_of(key, &version)?)?;
        (family.logical.id == version.logical.id).then_some((id, family, version.number))
    }

    /// Takes in what a key says of a logical key. A plain key says nothing.
    pub(super) fn note(&mut self, key: &KnownKey) {
        let Some(version) = version_of(key) else {
            return;
        };
        // A key under a name that is not its version's is a plain one.
        let Some(id) = name_of(key, &version) else {
            return;
        };
        let number = version.number;
        let family = self.families.entry(id).or_insert_with(|| Family {
            logical: version.logical.clone(),
            keys: BTreeMap::new(),
        });
        if family.logical.id != version.logical.id {
            return;
        }
        family.keys.insert(number, key.clone());
        if version.logical.serial > family.logical.serial {
            family.logical = version.logical;
        }
    }

    /// A key goes.
    pub(super) fn forget(&mut self, key: &KnownKey) {
        let Some(version) = version_of(key) else {
            return;
        };
        let Some(id) = name_of(key, &version) else {
            return;
        };
        if let Some(family) = self.families.get_mut(&id)
            && family.logical.id == version.logical.id
        {
            family.keys.remove(&version.number);
            if family.keys.is_empty() {
                self.families.remove(&id);
            }
        }
    }

    /// What the bare name of a logical key answers; `None`: there is no such name.
    pub(super) fn follow(&self, id: &[u8]) -> Option<Result<KnownKey>> {
        let family = self.families.get(id)?;
        if !family.logical.follow {
            return None;
        }
        let current = family.logical.current()?.number;
        let key = family.keys.get(&current)?;
        Some(family.served(current).map(|()| key.clone()))
    }

    /// Whether a version's key is served; `false`: it is destroyed, and only the removal of its record is still to come.
    ///
    /// # Errors
    /// KeyState: its state keeps it back.
    pub(super) fn may_serve(&self, key: &KnownKey) -> Result<bool> {
        let Some((_, family, number)) = self.family_of(key) else {
            return Ok(true);
        };
        let state = family.logical.version(number).map(|v| v.state);
        if state == Some(State::Destroyed) {
            return Ok(false);
        }
        family.served(number).map(|()| true)
    }
}

impl Family {
    fn served(&self, number: u32) -> Result<()> {
        let refuse = |why: String, hint: &str| {
            Err(Error::new(Kind::KeyState, FETCH, why).hint(hint).refused())
        };
        if self.logical.has_expired(crate::os::unix_seconds()) {
            return refuse(
                "it is a temporary key, and its time is over".into(),
                "keyring-ward key set --expires gives it more time, as long as nobody has destroyed it.",
            );
        }
        match self.logical.version(number).map(|v| v.state) {
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

fn name_of(key: &KnownKey, version: &VersionOf) -> Option<KeyId> {
    let name = version.logical.name_of(&key.id, version.number)?;
    KeyId::new(name, key.id.owner()).ok()
}

/// The logical key that the name of a version would belong to.
pub(super) fn base(id: &KeyId) -> Option<KeyId> {
    let (name, _) = logical::split(id.name())?;
    KeyId::new(name, id.owner()).ok()
}
