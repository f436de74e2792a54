//! The keys of one logical key.
//!
//! Owns their order. It must never be empty, and needs no memory of its own for one key: most logical keys have no second one.

use crate::key::record::KnownKey;
use std::collections::BTreeMap;

/// Keys by the number of their version.
#[derive(Clone)]
pub(super) struct Versions {
    /// The one with the highest number.
    newest: (u32, KnownKey),
    older: BTreeMap<u32, KnownKey>,
}

impl Versions {
    /// One key.
    pub(super) fn new(number: u32, key: KnownKey) -> Versions {
        Versions {
            newest: (number, key),
            older: BTreeMap::new(),
        }
    }

    /// The key with the highest number.
    pub(super) fn newest(&self) -> &KnownKey {
        &self.newest.1
    }

    /// The key with a number.
    pub(super) fn get(&self, number: u32) -> Option<&KnownKey> {
        match number == self.newest.0 {
            true => Some(&self.newest.1),
            false => self.older.get(&number),
        }
    }

    /// All of them, the lowest number first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &KnownKey)> + Clone {
        let older = self.older.iter().map(|(number, key)| (*number, key));
        older.chain(std::iter::once((self.newest.0, &self.newest.1)))
    }

    /// Adds a key, or puts it in the place of the one with its number.
    pub(super) fn insert(&mut self, number: u32, key: KnownKey) {
        if number < self.newest.0 {
            self.older.insert(number, key);
            return;
        }
        let (was, old) = std::mem::replace(&mut self.newest, (number, key));
        if was < number {
            self.older.insert(was, old);
        }
    }

    /// Takes a key out; `false`: it is the only one, and stays.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        if number != self.newest.0 {
            self.older.remove(&number);
            return true;
        }
        match self.older.pop_last() {
            Some(next) => {
                self.newest = next;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::id::KeyId;
    use crate::key::record::KeyRecord;
    use crate::secret::SecretPool;
    use std::sync::Arc;

    #[test]
    fn in_whatever_order_they_come_and_go() {
        let key = |length: usize| {
            let id = KeyId::new(b"k", b"u@h").unwrap();
            let material = SecretPool::new().zeroed(length).unwrap();
            KnownKey::Whole(Arc::new(
                KeyRecord::new(id, b"AES", material, 0, 1).unwrap(),
            ))
        };
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let mut keys = Versions::new(order[0], key(9));
            order.iter().for_each(|n| keys.insert(*n, key(*n as usize)));
            let listed: Vec<_> = keys.iter().map(|(n, key)| (n, key.length())).collect();
            assert_eq!(listed, [(1, 1), (2, 2), (3, 3)], "the last one counts");
            assert_eq!(keys.newest().length(), 3);
            assert_eq!(keys.get(2).map(|key| key.length()), Some(2));
            assert!(keys.get(4).is_none() && keys.remove(4));
            assert!(keys.remove(3) && keys.get(3).is_none());
            assert_eq!(keys.newest().length(), 2);
            assert!(keys.remove(1) && !keys.remove(2));
            assert_eq!(keys.iter().count(), 1, "the only one stays");
        }
    }
}
