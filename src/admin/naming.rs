//! Which key is meant: by its name and its owner, or by its name alone where only one owner has it.
//!
//! Owns the rule that a name of several owners' keys is never guessed, and the hints that name owners.

use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::keyring::Keyring;
use std::collections::BTreeSet;

/// A key as somebody names it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its name.
    pub name: Vec<u8>,
    /// Its owner, empty for the server's own keys; `None`: whoever has a key of that name.
    pub owner: Option<Vec<u8>>,
}

impl Named {
    /// Which key it is. Those that are there go before removed ones; `removed`: the other way round.
    ///
    /// # Errors
    /// InvalidInput: several owners have keys of that name, or a new key is to be made without an owner. NotFound: nobody has.
    pub fn find(&self, keyring: &Keyring, op: &'static str, removed: bool) -> Result<KeyId> {
        if let Some(owner) = &self.owner {
            return KeyId::new(&self.name, owner);
        }
        let all = keyring.owners_of(&self.name);
        let (first, second) = match removed {
            true => (all.retired, all.there),
            false => (all.there, all.retired),
        };
        let owners = if first.is_empty() { second } else { first };
        let name = crate::text::name(&self.name);
        let mut each = owners.iter();
        match (each.next(), each.next()) {
            (Some(owner), None) => KeyId::new(&self.name, owner),
            (None, _) => {
                let why = format!("there is no key '{name}'");
                Err(Error::new(Kind::NotFound, op, why)
                    .hint("Nothing was changed. keyring-ward list and key list show the keys and their owners, key list --retired those that were removed and are kept."))
            }
            _ => {
                let why = format!(
                    "keys of several owners are called '{name}': {}",
                    shown(&owners)
                );
                Err(Error::new(Kind::InvalidInput, op, why).hint(
                    "Nothing was changed. Name the owner: --owner, '' for the server itself.",
                ))
            }
        }
    }
}

/// Owners for people.
fn shown(owners: &BTreeSet<Vec<u8>>) -> String {
    let each = owners.iter().map(|owner| match &owner[..] {
        [] => "the server itself".to_string(),
        owner => format!("'{}'", crate::text::name(owner)),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Where keys of that name have other owners, the error says so.
pub fn namesake(error: Error, keyring: &Keyring, id: &KeyId) -> Error {
    if error.kind() != Kind::NotFound {
        return error;
    }
    let owners = keyring.owners_of(id.name());
    let others: BTreeSet<_> = owners.there.into_iter().chain(owners.retired).collect();
    match others.contains(id.owner()) || others.is_empty() {
        true => error,
        false => error.hint(format!(
            "Nothing was changed. Keys of that name belong to {}: name the owner.",
            shown(&others)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{config, open};
    use super::*;
    use crate::caller::Caller;
    use crate::keyring::logical::Wanted;

    #[test]
    fn an_owner_is_taken_only_where_nobody_else_has_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = open(&config(dir.path(), "k.ward"));
        let id = |name: &str, owner: &str| KeyId::new(name.as_bytes(), owner.as_bytes()).unwrap();
        let find = |name: &str, removed| {
            let named = Named {
                name: name.into(),
                owner: None,
            };
            named.find(&keyring, "test", removed)
        };
        keyring
            .by(&Caller::Unknown)
            .generate(b"one", b"a@b", b"AES", 16)
            .unwrap();
        for owner in ["", "a@b"] {
            keyring
                .by(&Caller::Unknown)
                .generate(b"two", owner.as_bytes(), b"AES", 16)
                .unwrap();
        }
        let ssn = id("ssn", "app@%");
        keyring
            .by(&Caller::Unknown)
            .create_logical(&ssn, b"AES", 32, &Wanted::default())
            .unwrap();
        assert_eq!(find("one", false).unwrap(), id("one", "a@b"));
        assert_eq!(find("ssn", false).unwrap(), ssn);
        assert_eq!(find("ssn@1", false).unwrap(), id("ssn@1", "app@%"));
        assert_eq!(find("none", false).unwrap_err().kind(), Kind::NotFound);
        let e = find("two", false).unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput);
        assert!(e.to_string().contains("the server itself, 'a@b'"), "{e}");
        // An owner that is named is taken, the server itself too.
        let named = Named {
            name: b"two".to_vec(),
            owner: Some(Vec::new()),
        };
        assert_eq!(named.find(&keyring, "test", false).unwrap(), id("two", ""));
        // Removed ones count by themselves.
        let log = "MySQLReplicationKey_01234567-89ab-cdef-0123-456789abcdef_1";
        keyring
            .by(&Caller::Unknown)
            .generate(log.as_bytes(), b"", b"AES", 16)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .remove(log.as_bytes(), b"")
            .unwrap();
        assert_eq!(find(log, false).unwrap(), id(log, ""));
        keyring
            .by(&Caller::Unknown)
            .generate(log.as_bytes(), b"a@b", b"AES", 16)
            .unwrap();
        assert_eq!(find(log, false).unwrap(), id(log, "a@b"));
        assert_eq!(find(log, true).unwrap(), id(log, ""));
        // Who names another owner learns of it.
        let e = keyring.logical_key(&id("ssn", "")).unwrap_err();
        let e = namesake(e, &keyring, &id("ssn", "")).to_string();
        assert!(e.contains("belong to 'app@%'"), "{e}");
    }
}
