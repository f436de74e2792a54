//! Versions of logical keys that an import brings, and what is then known of each logical key here.
//!
//! Owns that the newest counts: a description that is older than the one here takes nothing away, and a newer one forgets no
//! version that only this keyring has. It must never make one logical key of two.

use super::Found;
use crate::error::{Kind, Result};
use crate::key::extensions::{ACTOR, Extensions, INDEX, VERSION};
use crate::key::id::KeyId;
use crate::key::logical::{Logical, VersionOf};
use crate::keyring::{By, Keyring};
use std::collections::BTreeMap;

/// One logical key of the source.
struct Coming {
    /// What is to be known of it here.
    logical: Logical,
    /// That is more than what is known here already.
    more: bool,
}

/// The logical keys that come, by name and owner.
pub(super) struct Versions(BTreeMap<KeyId, Coming>);

/// A list without what it says of a version.
pub(super) fn plain(list: &Extensions) -> Extensions {
    list.without(&[VERSION, INDEX, ACTOR])
}

fn version(key: &Found) -> Option<(KeyId, VersionOf)> {
    let version = VersionOf::from_bytes(key.extensions.get(VERSION)?).ok()?;
    let name = version.logical.name_of(&key.id, version.number)?;
    Some((KeyId::new(name, key.id.owner()).ok()?, version))
}

impl Versions {
    /// Looks at what comes and what is here.
    ///
    /// # Errors
    /// AlreadyExists: a new key has a name that is kept for another logical key.
    pub(super) fn plan(
        keyring: Option<&Keyring>,
        keys: &[Found],
        new: &[&Found],
    ) -> Result<Versions> {
        if let Some(keyring) = keyring {
            for key in new {
                let free = keyring.check_free(&key.id, key.extensions.get(VERSION));
                free.map_err(|e| e.hint("Nothing was changed. Both may be needed: never remove one. Import into a keyring of its own."))?;
            }
        }
        let mut coming = BTreeMap::new();
        for (id, version) in keys.iter().filter_map(version) {
            if coming.contains_key(&id) {
                continue;
            }
            let here = keyring.and_then(|k| k.logical_key(&id).ok());
            let here = here.filter(|here| here.id == id).map(|here| here.logical);
            let logical = version.logical;
            let one = match here {
                // Its keys stay what they are here; none of them is new.
                Some(here) if here.id != logical.id => continue,
                Some(here) => match here.merged(&logical)? {
                    Some(logical) => Coming {
                        logical,
                        more: true,
                    },
                    None => Coming {
                        logical: here,
                        more: false,
                    },
                },
                None => Coming {
                    logical,
                    more: false,
                },
            };
            coming.insert(id, one);
        }
        Ok(Versions(coming))
    }

    /// What the record of a new key says beside its fixed fields.
    ///
    /// # Errors
    /// InvalidInput: more than fits into a record.
    pub(super) fn extensions(&self, key: &Found) -> Result<Extensions> {
        let Some((id, own)) = version(key) else {
            return Ok(key.extensions.clone());
        };
        let coming = self.0.get(&id).map(|coming| &coming.logical);
        match coming.filter(|logical| logical.version(own.number).is_some()) {
            Some(logical) => {
                let version = VersionOf {
                    number: own.number,
                    logical: logical.clone(),
                };
                key.extensions.with(VERSION, Some(version.to_bytes()))
            }
            None => Ok(key.extensions.clone()),
        }
    }

    /// Writes what no new key has brought along: what is newer of a logical key, and that a key which was a plain one here is a
    /// version.
    ///
    /// # Errors
    /// ReadOnly, Io.
    pub(super) fn settle(
        &self,
        keyring: &By<'_>,
        keys: &[Found],
        warn: &dyn Fn(String),
    ) -> Result<()> {
        for key in keys {
            let Some((id, own)) = version(key) else {
                continue;
            };
            let here = keyring.logical_key(&id).ok().filter(|here| here.id == id);
            let known = here
                .as_ref()
                .is_some_and(|here| here.logical.id == own.logical.id);
            if known && here.is_some_and(|here| here.made.iter().any(|(n, _)| *n == own.number)) {
                continue;
            }
            let logical = self.0.get(&id).map(|coming| coming.logical.clone());
            let logical = logical.filter(|logical| logical.version(own.number).is_some());
            let version = VersionOf {
                number: own.number,
                logical: logical.unwrap_or(own.logical),
            };
            match keyring.describe_plain(&key.id, &id, &version, key.extensions.get(INDEX)) {
                Ok(()) => {}
                Err(e) if e.kind() == Kind::AlreadyExists => warn(format!(
                    "{} is here already: the import leaves behind that it is a version of a logical key. {e}",
                    key.id
                )),
                Err(e) => return Err(e),
            }
        }
        for (id, coming) in self.0.iter().filter(|(_, coming)| coming.more) {
            let known = keyring.logical_key(id)?.logical;
            if known.serial < coming.logical.serial {
                keyring.change_logical(id, |logical, _| {
                    logical.clone_from(&coming.logical);
                    // The change itself counts one.
                    logical.serial = logical.serial.saturating_sub(1);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}
