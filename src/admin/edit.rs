//! `remove`, `reown` and `compact`: single changes to a keyring that no server holds.
//!
//! Each change is durable by itself, as a server's is. They must never lose a key: `reown` stores the key under its
//! new owner before the old one goes. Nor may it touch the server's own keys without a word for it.

use super::inspect::meaning;
use super::{Target, open_alone, open_dry};
use crate::envelope::equal;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::{ACTOR, Extensions, INDEX, VERSION};
use crate::key::id::{KeyId, printable};
use crate::key::info::KeyInfo;
use crate::key::logical::VersionOf;
use crate::key::record::KeyRecord;
use crate::keyring::{By, Keyring};
use crate::os::signals;
use std::sync::Arc;

const REOWN: &str = "give the keys to another account";

/// Removes one key. `server_key`: it may be one of the server's own.
///
/// # Errors
/// NotFound: there is no such key. InvalidInput: it is the server's own. KeyState: it is a logical key, or a version. All errors of opening and writing a keyring.
pub fn remove<'a>(
    target: impl Into<Target<'a>>,
    name: &[u8],
    owner: &[u8],
    server_key: bool,
) -> Result<Removed> {
    let keyring = open_alone(&target.into())?;
    remove_from(&keyring.by(), name, owner, server_key)
}

/// What became of a key that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// It is kept as a retired key: which removal of it this was, and for how many days.
    pub kept: Option<(u32, u16)>,
}

fn remove_from(keyring: &By<'_>, name: &[u8], owner: &[u8], server_key: bool) -> Result<Removed> {
    check_removable(keyring, name, owner, server_key)?;
    let id = KeyId::new(name, owner)?;
    let last = || {
        let all = keyring.retired().into_iter();
        all.filter(|r| r.info.id == id)
            .map(|r| r.removal.number)
            .max()
    };
    let before = last();
    keyring.remove(name, owner)?;
    let kept = last().filter(|number| Some(*number) != before);
    Ok(Removed {
        kept: kept.map(|number| (number, keyring.config().limits.retain_removed)),
    })
}

/// What [`remove`] would do.
///
/// # Errors
/// As [`remove`].
pub fn could_remove<'a>(
    target: impl Into<Target<'a>>,
    name: &[u8],
    owner: &[u8],
    server_key: bool,
) -> Result<Removed> {
    remove_from(&open_dry(&target.into())?.by(), name, owner, server_key)
}

fn check_removable(keyring: &Keyring, name: &[u8], owner: &[u8], server_key: bool) -> Result<()> {
    const OP: &str = "remove the key";
    let shown = printable(name, owner);
    if keyring.logical_key(&KeyId::new(name, owner)?).is_ok() {
        // The keyring says what is to be done instead.
        return Ok(());
    }
    let owners = keyring.owners_of(name).there;
    if !owners.contains(owner) {
        let hint = match owners.first() {
            Some(other) if other.is_empty() => {
                "A key of that name is the server's own: leave --owner out, and read what --server-key says.".into()
            }
            Some(other) => format!(
                "A key of that name belongs to '{0}': add --owner '{0}'.",
                crate::text::name(other)
            ),
            None => "keyring-ward list shows the keys and their owners.".into(),
        };
        return Err(Error::new(Kind::NotFound, OP, format!("{shown} does not exist")).hint(hint));
    }
    if owner.is_empty() && !server_key {
        let meaning = match meaning(name, owner) {
            what if what.is_empty() => String::new(),
            what => format!(" ({what})"),
        };
        return Err(Error::new(
            Kind::InvalidInput,
            OP,
            format!("{shown} is one of the server's own keys{meaning}"),
        )
        .hint("What InnoDB or the binary log encrypted with it is lost with it, and the server may not start any more. If that is meant, add --server-key."));
    }
    Ok(())
}

/// What `reown` did, or would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reowned {
    /// The keys, for people.
    pub keys: Vec<String>,
}

/// How [`reown`] moves keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moving {
    /// One of the two accounts may be empty: keys become or cease to be the server's own.
    pub server_key: bool,
    /// Nothing is written.
    pub dry_run: bool,
}

/// Gives all keys of `from` to `to` (accounts, `user@host`): RENAME USER leaves a user's keys behind, because a key's
/// owner is the account's name. A key keeps its type, the time at which it was made and all else that is known of it.
/// An interrupted run is finished by the next one.
///
/// # Errors
/// InvalidInput: not two accounts. AlreadyExists: `to` has another key of the same name; nothing was changed.
/// NotFound: `from` has no key.
pub fn reown<'a>(
    target: impl Into<Target<'a>>,
    from: &[u8],
    to: &[u8],
    how: Moving,
) -> Result<Reowned> {
    check_accounts(from, to, how.server_key)?;
    let target = target.into();
    let keyring = match how.dry_run {
        true => open_dry(&target)?,
        false => open_alone(&target)?,
    };
    let moving = moving(&keyring, from)?;
    if moving.is_empty() {
        return Err(Error::new(
            Kind::NotFound,
            REOWN,
            format!("'{}' owns no key that could move", crate::text::name(from)),
        )
        .hint("keyring-ward list shows the owners, written as user@host."));
    }
    let mut missing = Vec::new();
    for key in &moving {
        let new = KeyId::new(key.id.name(), to)?;
        match keyring.read_key(new.name(), to)? {
            None => {
                let nothing =
                    |e: Error| e.hint("Nothing was changed. Remove one of the two first.");
                keyring
                    .check_free(&new, key.version_bytes())
                    .map_err(nothing)?;
                missing.push(true);
            }
            Some(there)
                if equal(there.material(), key.material())
                    && there.key_type.eq_ignore_ascii_case(&key.key_type)
                    && knows_as_much(&there, key) =>
            {
                missing.push(false);
            }
            Some(_) => {
                return Err(Error::new(
                    Kind::AlreadyExists,
                    REOWN,
                    format!("{new} exists, and is another key"),
                )
                .hint("Nothing was changed. Remove one of the two first."));
            }
        }
    }
    let new = moving.iter().zip(&missing).filter(|(_, missing)| **missing);
    keyring.check_owner_room(to, new.map(|(key, _)| &***key))?;
    let mut done = Reowned::default();
    for (key, missing) in moving.iter().zip(missing) {
        let name = key.id.name();
        if !how.dry_run {
            signals::check(REOWN)
                .and_then(|()| move_key(&keyring.by(), key, to, missing))
                .map_err(|e| match done.keys.len() {
                    0 => e,
                    n => {
                        let advice = e.advice().unwrap_or_default().to_string();
                        e.hint(format!(
                            "{n} keys were moved. The same command moves the others. {advice}"
                        ))
                    }
                })?;
        }
        done.keys.push(printable(name, to));
    }
    Ok(done)
}

/// The keys of an account, as they are written under another one. A move may be broken off behind each of them: so every version
/// brings the newest description of its logical key along, and the one that has it goes last.
fn moving(keyring: &Keyring, from: &[u8]) -> Result<Vec<Arc<KeyRecord>>> {
    let mut moving = Vec::new();
    for key in keyring.list_with_material()? {
        if key.id.owner() == from {
            let complete = keyring.complete(key.clone())?;
            let last = version(&key).map(|v| v.logical) == version(&complete).map(|v| v.logical);
            moving.push((last, complete));
        }
    }
    moving.sort_by(|(a, one), (b, other)| (a, &one.id).cmp(&(b, &other.id)));
    Ok(moving.into_iter().map(|(_, key)| key).collect())
}

fn version(key: &KeyInfo) -> Option<VersionOf> {
    VersionOf::from_bytes(key.version_bytes()?).ok()
}

/// Moves one key to another account, whose room was looked at before.
fn move_key(keyring: &By<'_>, key: &KeyRecord, to: &[u8], missing: bool) -> Result<()> {
    let new = KeyId::new(key.id.name(), to)?;
    match missing {
        true => keyring.restore_moved(key.renamed(new, keyring.pool())?)?,
        // An interrupted run has moved the key, and perhaps not its attributes.
        false => finish_attributes(keyring, key, &new)?,
    }
    keyring.remove_moved(&key.id)
}

/// Nothing that is known of `old` is lost when `there` takes its place: an interrupted run has moved the key, and perhaps not
/// its attributes.
fn knows_as_much(there: &KeyInfo, old: &KeyInfo) -> bool {
    // Who wrote a record is none of what is known of the key.
    let plain = |list: &Extensions| list.without(&[VERSION, INDEX, ACTOR]);
    let (ours, theirs) = (plain(there.attributes()), plain(old.attributes()));
    let newer = match (version(there), version(old)) {
        (None, None) => true,
        (None, _) | (_, None) => false,
        (Some(there), Some(old)) => {
            (there.logical.id, there.number) == (old.logical.id, old.number)
                && there.logical.serial >= old.logical.serial
        }
    };
    newer
        && plain(there.extensions()) == plain(old.extensions())
        && (ours.is_empty() || ours == theirs)
}

/// Gives the key `new`, which is there, the attributes of the one that it takes the place of, unless it has some.
fn finish_attributes(keyring: &By<'_>, old: &KeyInfo, new: &KeyId) -> Result<()> {
    let Some(there) = keyring.read_key(new.name(), new.owner())? else {
        return Ok(());
    };
    // A change to its logical key may have come in between.
    let kept = [VERSION, INDEX];
    let kept = kept.map(|tag| Some((tag, there.attributes().get(tag)?.to_vec())));
    match there
        .attributes()
        .without(&[VERSION, INDEX, ACTOR])
        .is_empty()
    {
        true => {
            let list = old.attributes().without(&[VERSION, INDEX]);
            let list = list.with_all(kept.into_iter().flatten().collect())?;
            keyring.set_moved_attributes(new, list)
        }
        false => Ok(()),
    }
}

/// An empty account is the server itself, whose keys are found by their empty owner only.
fn check_accounts(from: &[u8], to: &[u8], server_key: bool) -> Result<()> {
    let bad = |why: &str| Error::new(Kind::InvalidInput, REOWN, why);
    match (from, to) {
        (b"", b"") => Err(bad("neither account is named")),
        (b"", _) if !server_key => Err(bad("--from is empty, which is the server itself").hint(
            "Its keys are those of InnoDB and the binary log: under an account's name they are not found any more, encrypted tables and logs can't be read, and the server may not start. Name the account, user@host. If the server's keys are meant, add --server-key.",
        )),
        (_, b"") if !server_key => Err(bad("--to is empty, which is the server itself").hint(
            "No account could use the keys any more, and one that has the name of a key of InnoDB or the binary log would be taken for it. Name the account, user@host. If the server is meant, add --server-key.",
        )),
        (_, to) if !to.is_empty() && !to.contains(&b'@') => Err(bad(&format!(
            "--to '{}' is not an account",
            crate::text::name(to)
        ))
        .hint("Write user@host, e.g. app@localhost or app@%: CURRENT_USER() shows it.")),
        (from, to) if from == to => Err(bad("the two accounts are the same")),
        _ => Ok(()),
    }
}

/// Opens the keyring as a change would, and changes nothing; gives the number of keys.
///
/// # Errors
/// Locked: a server holds it. All errors of opening a keyring.
pub fn could_change<'a>(target: impl Into<Target<'a>>) -> Result<usize> {
    Ok(open_dry(&target.into())?.len())
}

/// Writes the file anew without dead records; gives the bytes before and after.
///
/// # Errors
/// NotFound: there is none. All errors of opening and writing a keyring.
pub fn compact<'a>(target: impl Into<Target<'a>>) -> Result<(u64, u64)> {
    let target = target.into();
    let keyring = open_alone(&target)?;
    let before = keyring.status().store;
    if !before.exists {
        let why = format!("'{}' does not exist", target.config.path.display());
        return Err(Error::new(Kind::NotFound, "compact the keyring", why)
            .hint("Correct the path. keyring-ward init makes a keyring."));
    }
    keyring.by().compact()?;
    Ok((before.bytes, keyring.status().store.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{config, noted, open};
    use crate::caller::Caller;
    use crate::config::Config;
    use crate::secret::SecretPool;

    /// Moves the keys of a@b to `to`, whose name has "longer" in it.
    fn all_or_none_moves(config: &Config, to: &[u8]) {
        let done = reown(config, b"a@b", to, Moving::default()).map(drop);
        let keys: Vec<String> = open(config)
            .list()
            .iter()
            .map(|k| k.id.to_string())
            .collect();
        let moved = keys.iter().filter(|k| k.contains("longer")).count();
        assert!(moved == 0 || done.is_ok(), "half-way: {keys:?}");
    }

    #[test]
    fn reown_does_not_stop_half_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "k.ward");
        let keyring = open(&config);
        for name in [b"k1", b"k2"] {
            keyring
                .by(&Caller::Unknown)
                .generate(name, b"a@b", b"AES", 939 - 1)
                .unwrap();
        }
        drop(keyring);
        config.limits.per_owner = 2100;
        all_or_none_moves(&config, b"longer@b");
    }

    #[test]
    fn reown_does_not_stop_half_way_with_attributes() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "k.ward");
        let keyring = open(&config);
        for name in [b"k1", b"k2", b"k3"] {
            keyring
                .by(&Caller::Unknown)
                .generate(name, b"a@b", b"AES", 32)
                .unwrap();
            keyring
                .by(&Caller::Unknown)
                .set_attributes(name, b"a@b", noted())
                .unwrap();
        }
        let size: u64 = keyring
            .list()
            .iter()
            .map(|k| crate::format::record::key_length(k))
            .sum();
        drop(keyring);
        let to = b"account@a.longer.host.example.org";
        config.limits.per_owner = size + 3 * 30 + 10;
        all_or_none_moves(&config, to);
    }

    #[test]
    fn reown_loses_nothing_that_is_known_of_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), "k.ward");
        let keyring = open(&config);
        let said = |tag: u8| Extensions::new([(tag, b"x".to_vec())]).unwrap();
        let material = SecretPool::new().copy(&[3; 32]).unwrap();
        let id = KeyId::new(b"k", b"a@b").unwrap();
        let record = crate::key::record::KeyRecord::new(id, b"AES", material, 5, 1).unwrap();
        keyring
            .by(&Caller::Unknown)
            .restore(record.with_extensions(said(9)).with_attributes(said(7)))
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .store_key(b"k", b"c@d", b"AES", &[3; 32])
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .set_attributes(b"k", b"c@d", said(8))
            .unwrap();
        drop(keyring);
        let done = reown(&config, b"a@b", b"c@d", Moving::default());
        let keyring = open(&config);
        let key = keyring.fetch(b"k", b"c@d").unwrap().unwrap();
        assert!(
            done.is_err() || key.attributes().get(7).is_some() && key.extensions().get(9).is_some()
        );
    }
}
