//! Keys by a part of what they are called: those of an owner, and the owners of a name.
//!
//! It must never copy more than was asked for: a list of all keys is long.

use super::*;
use std::collections::BTreeSet;

/// The owners of keys that have one name, in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Of logical keys and keys that are there.
    pub there: BTreeSet<Vec<u8>>,
    /// Of removed keys that are kept.
    pub retired: BTreeSet<Vec<u8>>,
}

impl Keyring {
    /// The keys of an owner, in no particular order.
    pub fn keys_of(&self, owner: &[u8]) -> Vec<KnownKey> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.list_if(|id| id.owner() == owner)
    }

    /// The owners of keys of this name.
    pub fn owners_of(&self, name: &[u8]) -> Owners {
        let called = |id: &&KeyId| id.name() == name;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let logical = map.index.iter().filter_map(|f| f.owner_if_called(name));
        let keys = map.ids().filter(called).map(KeyId::owner);
        let retired = map.retired_ids().filter(called).map(KeyId::owner);
        Owners {
            there: logical.chain(keys).map(<[u8]>::to_vec).collect(),
            retired: retired.map(<[u8]>::to_vec).collect(),
        }
    }
}
