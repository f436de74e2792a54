//! `remove`, `reown` and `compact`: single changes to a keyring that no server holds.
//!
//! Each change is durable by itself, as a server's is. They must never lose a key: `reown` stores the key under its
//! new owner before the old one goes.

use super::open_alone;
use crate::config::Config;
use crate::envelope::equal;
use crate::error::{Error, Kind, Result};
use crate::keyring::id::printable;

/// Removes one key.
///
/// # Errors
/// NotFound: there is no such key. All errors of opening and writing a keyring.
pub fn remove(config: &Config, name: &[u8], owner: &[u8]) -> Result<()> {
    open_alone(config)?.remove(name, owner)
}

/// Whether [`remove`] would find the key.
///
/// # Errors
/// As [`remove`].
pub fn has(config: &Config, name: &[u8], owner: &[u8]) -> Result<()> {
    match open_alone(config)?.fetch(name, owner)? {
        Some(_) => Ok(()),
        None => Err(Error::new(
            Kind::NotFound,
            "remove the key",
            format!("{} does not exist", printable(name, owner)),
        )),
    }
}

/// What `reown` did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reowned {
    /// The keys, for people.
    pub keys: Vec<String>,
}

/// Gives all keys of `from` to `to` (accounts, `user@host`): RENAME USER leaves a user's keys behind, because a key's
/// owner is the account's name. An interrupted run is finished by the next one.
///
/// # Errors
/// AlreadyExists: `to` has another key of the same name; nothing was changed. NotFound: `from` has no key.
pub fn reown(config: &Config, from: &[u8], to: &[u8], dry_run: bool) -> Result<Reowned> {
    const OP: &str = "give the keys to another account";
    let keyring = open_alone(config)?;
    let all = keyring.list_with_material()?;
    let mut moving: Vec<_> = all.iter().filter(|k| k.id.owner() == from).collect();
    moving.sort_by(|a, b| a.id.cmp(&b.id));
    if moving.is_empty() || from == to {
        return Err(Error::new(
            Kind::NotFound,
            OP,
            format!("'{}' owns no key that could move", from.escape_ascii()),
        )
        .hint("keyring-ward list shows the owners, written as user@host."));
    }
    for key in &moving {
        let there = keyring.fetch(key.id.name(), to)?;
        if there.is_some_and(|t| !equal(&t.material, &key.material) || t.key_type != key.key_type) {
            return Err(Error::new(
                Kind::AlreadyExists,
                OP,
                format!(
                    "{} exists, and is another key",
                    printable(key.id.name(), to)
                ),
            )
            .hint("Nothing was changed. Remove one of the two first."));
        }
    }
    let mut done = Reowned::default();
    for key in moving {
        let name = key.id.name();
        if !dry_run {
            if keyring.fetch(name, to)?.is_none() {
                keyring.store_key(name, to, key.key_type.as_bytes(), &key.material)?;
            }
            keyring.remove(name, from)?;
        }
        done.keys.push(printable(name, to));
    }
    Ok(done)
}

/// Opens the keyring as a change would, and changes nothing; gives the number of keys.
///
/// # Errors
/// Locked: a server holds it. All errors of opening a keyring.
pub fn could_change(config: &Config) -> Result<usize> {
    Ok(open_alone(config)?.len())
}

/// Writes the file anew without dead records; gives the bytes before and after.
///
/// # Errors
/// All errors of opening and writing a keyring.
pub fn compact(config: &Config) -> Result<(u64, u64)> {
    let keyring = open_alone(config)?;
    let before = keyring.status().store.bytes;
    keyring.compact()?;
    Ok((before, keyring.status().store.bytes))
}
