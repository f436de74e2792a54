//! Holds on single removed keys that are kept: a legal case, an archive that still needs one.
//!
//! Owns what a hold is written as, and that it is durable before it counts. It must never end a key.

use super::*;
use crate::key::extensions::{ACTOR, HOLD, RETIRED};
use crate::key::logical::check_hold;
use crate::key::retired::Retired;
use crate::store::Died;

const OP: &str = "hold the removed key";

/// Why a retired key is held; `None`: it is not, by itself.
pub fn reason(key: &KeyInfo) -> Option<&str> {
    // Checked when it was read.
    std::str::from_utf8(key.extensions().get(HOLD)?).ok()
}

/// A retired key with what a record says of it.
///
/// # Errors
/// No secret memory. InvalidInput: all that is said of it is too long.
pub(super) fn with_said(
    key: &KeyRecord,
    said: &Extensions,
    pool: &SecretPool,
) -> Result<KeyRecord> {
    let about_it = said
        .iter()
        .filter(|(tag, _)| !matches!(*tag, RETIRED | ACTOR));
    let about_it = about_it.map(|(tag, bytes)| (tag, bytes.to_vec())).collect();
    let list = key.extensions().without(&[HOLD]).with_all(about_it)?;
    let copy = key.renamed(key.id.clone(), pool)?;
    Ok(copy.with_extensions(list))
}

impl By<'_> {
    /// Holds a removed key that is kept, for a reason: nothing ends it as long as that stands. `None`: ends the hold. `number`:
    /// which of its removals; `None`: the last one. Gives that number.
    ///
    /// # Errors
    /// NotFound: it is not kept. KeyState: it is held for another reason, or not at all. InvalidInput: the reason is no line of
    /// text. ReadOnly, Io.
    pub fn hold_retired(
        &self,
        id: &KeyId,
        number: Option<u32>,
        reason: Option<&str>,
    ) -> Result<u32> {
        let mut store = self.writer()?;
        let (removal, key) = self.find_retired(OP, id, number)?;
        let told = |e: Error| e.context(format!("removal {} of {id}", removal.number));
        check_hold(self::reason(&key), reason).map_err(told)?;
        let hold = reason.map(|reason| (HOLD, reason.as_bytes().to_vec()));
        let said = [(RETIRED, removal.to_bytes())].into_iter().chain(hold);
        let said = self.signed(&Extensions::new(said).map_err(told)?);
        let held = with_said(&key, &said, &self.pool).map_err(told)?;
        self.say_of_retired(&mut **store, id, removal, (&said, &key, held))?;
        Ok(removal.number)
    }

    fn say_of_retired(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        removal: Retired,
        (said, old, new): (&Extensions, &KeyRecord, KeyRecord),
    ) -> Result<()> {
        let (was, is) = (key_length(old), key_length(&new));
        let operation = Operation::Attributes(id, said);
        self.append_note(store, &operation, was as Died - is as Died)?;
        let mut sizes = self.sizes();
        sizes.sub(id.owner(), was);
        sizes.add(id.owner(), is);
        drop(sizes);
        self.publish(|map| map.keep_retired(removal, new));
        self.tidy(store);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOBODY, opened};
    use super::*;

    /// A hold is durable, survives rewrites, blocks every end of the key, and outlives that it is brought back.
    #[test]
    fn what_is_held_does_not_end() {
        let dir = tempfile::tempdir().unwrap();
        let (keyring, config, environment) = opened(dir.path());
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        let id = KeyId::new(format!("MySQLReplicationKey_{uuid}_1").as_bytes(), b"").unwrap();
        for _ in 0..2 {
            keyring
                .by(&NOBODY)
                .generate(id.name(), b"", b"AES", 16)
                .unwrap();
            keyring.by(&NOBODY).remove(id.name(), b"").unwrap();
        }
        let kind = |done: Result<u32>| done.unwrap_err().kind();
        assert_eq!(
            kind(
                keyring
                    .by(&NOBODY)
                    .hold_retired(&id, Some(9), Some("case 7"))
            ),
            Kind::NotFound
        );
        assert_eq!(
            kind(keyring.by(&NOBODY).hold_retired(&id, None, None)),
            Kind::KeyState
        );
        for bad in ["", "two\nlines", &"x".repeat(256)] {
            assert_eq!(
                kind(keyring.by(&NOBODY).hold_retired(&id, None, Some(bad))),
                Kind::InvalidInput
            );
        }
        assert_eq!(
            keyring
                .by(&NOBODY)
                .hold_retired(&id, Some(1), Some("case 7"))
                .unwrap(),
            1
        );
        assert_eq!(
            kind(
                keyring
                    .by(&NOBODY)
                    .hold_retired(&id, Some(1), Some("other"))
            ),
            Kind::KeyState
        );
        let numbers = |keyring: &Keyring| -> Vec<(u32, Option<String>)> {
            let all = keyring.retired().into_iter();
            all.map(|r| (r.removal.number, reason(&r.info).map(String::from)))
                .collect()
        };
        let both = [(1, Some("case 7".to_string())), (2, None)];
        assert_eq!(numbers(&keyring), both);
        let keyring = keyring.reload(&config, &environment).unwrap();
        assert_eq!(numbers(&keyring), both, "by its record");
        let before = keyring.status().store;
        keyring.by(&NOBODY).compact().unwrap();
        let after = keyring.status().store;
        assert_eq!(
            after.live_bytes, before.live_bytes,
            "counted as it is written"
        );
        let keyring = keyring.reload(&config, &environment).unwrap();
        assert_eq!(numbers(&keyring), both, "by the key's own record");
        keyring.by(&NOBODY).restore_retired(&id, Some(1)).unwrap();
        assert_eq!(numbers(&keyring), both, "it is back, and held as well");
        let back = keyring.read_key(id.name(), b"").unwrap().unwrap();
        assert!(back.extensions().is_empty());
        assert_eq!(keyring.by(&NOBODY).purge_retired(true).unwrap().len(), 1);
        assert_eq!(numbers(&keyring), both[..1]);
        keyring.by(&NOBODY).hold_retired(&id, None, None).unwrap();
        assert_eq!(keyring.by(&NOBODY).purge_retired(true).unwrap().len(), 1);
        assert_eq!(keyring.retired_len(), 0);
        assert_eq!(
            keyring.reload(&config, &environment).unwrap().retired_len(),
            0
        );
    }
}
