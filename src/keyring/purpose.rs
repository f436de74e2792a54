//! What keys are for: the environment that a logical key has.
//!
//! It must never copy it: a policy asks for it where a key is fetched.

use super::*;

impl Keyring {
    /// Gives `test` the environment of a logical key, by its name or by that of one of its versions, and gives its answer. A plain key, one
    /// that is not there and one without environment have an empty one.
    pub fn with_environment(&self, id: &[u8], owner: &[u8], test: &dyn Fn(&str) -> bool) -> bool {
        let Ok(id) = KeyId::new(id, owner) else {
            return test("");
        };
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let family = map.index.get(&id).or_else(|| {
            let key = map.get(id.as_bytes())?;
            map.index.family_of(&key).map(|(family, _)| family)
        });
        test(family.map_or("", |f| &f.logical().environment))
    }
}
