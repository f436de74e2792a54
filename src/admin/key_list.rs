//! Every key by what it is for: logical keys, the server's own ones with the number that is current, retired ones.
//!
//! Owns that list for tool and SQL. The server's own order decides which of its keys is current: InnoDB takes the highest
//! number, the binary log the one that a key of its own names. It must never show material.

use super::keys::{told, told_kept};
use super::{Target, archived_logs, open_to_look};
use crate::error::Result;
use crate::key::id::KeyId;
use crate::key::logical::DAY;
use crate::key::of_server::{Kind, Numbered};
use crate::key::record::KnownKey;
use crate::keyring::{KeyCounts, Keyring};
use crate::secret::SecretPool;
use crate::text::utc;
use serde_json::{Value, json};

/// All keys of the keyring of `target`, for a look.
///
/// # Errors
/// All errors of opening a keyring.
pub fn all<'a>(target: impl Into<Target<'a>>) -> Result<Value> {
    let keyring = open_to_look(&target.into(), &SecretPool::new())?;
    list(&keyring, crate::os::unix_seconds())
}

/// Logical keys, the server's own ones, retired ones, and how many are what.
///
/// # Errors
/// A key that says which one is current could not be read.
pub fn list(keyring: &Keyring, now: i64) -> Result<Value> {
    let mut logical = keyring.logical_keys();
    logical.sort_by(|a, b| (a.id.name(), a.id.owner()).cmp(&(b.id.name(), b.id.owner())));
    let logical: Vec<Value> = (logical.iter())
        .map(|key| {
            let mut one = told(key, now);
            one["destruction_due"] = key.logical.has_destruction_due(now).into();
            one
        })
        .collect();
    let of_server: Vec<Value> = (of_server(keyring)?.iter())
        .map(|one| told_of_server(one, now))
        .collect();
    let retired = keyring.retired();
    let retired: Vec<Value> = (retired.iter().map(|key| told_kept(keyring, key))).collect();
    let mut answer = json!({
        "keys": logical, "server_keys": of_server, "retired": retired,
        "retain_removed": keyring.keeps_removed_for(),
    });
    if let Some(kept) = archived_logs::at_stake(keyring) {
        let warning = format!("{}. {}", kept.sentence(), kept.remedy());
        answer["warnings"] = json!([warning]);
    }
    put_counts(&mut answer, keyring.key_counts());
    Ok(answer)
}

/// The numbers under the names that they have in the status.
pub fn put_counts(answer: &mut Value, counts: KeyCounts) {
    for (name, count) in [
        ("logical_keys", counts.logical),
        ("retired_keys", counts.retired),
        ("rotations_due", counts.rotations_due),
        ("destructions_due", counts.destructions_due),
    ] {
        answer[name] = count.into();
    }
}

/// One of the server's numbered keys.
#[derive(Clone)]
pub struct OfServer {
    /// Which it is.
    pub kind: Kind,
    /// The server that it belongs to.
    pub uuid: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// The server uses it for what is new.
    pub current: bool,
    /// Its name and when it was made.
    pub key: KnownKey,
}

fn of_server_one(key: &KnownKey) -> Option<OfServer> {
    let parts = Numbered::of(key.id.name()).filter(|_| key.id.owner().is_empty())?;
    Some(OfServer {
        kind: parts.kind,
        uuid: parts.uuid.to_vec(),
        number: parts.number()?,
        current: false,
        key: key.clone(),
    })
}

/// The server's own numbered keys by kind, server and number, and which are current.
///
/// # Errors
/// A key that says which one is current could not be read.
pub fn of_server(keyring: &Keyring) -> Result<Vec<OfServer>> {
    let own = keyring.keys_of(b"");
    let mut all: Vec<OfServer> = own.iter().filter_map(of_server_one).collect();
    all.sort_by(|a, b| (a.kind, &a.uuid, a.number).cmp(&(b.kind, &b.uuid, b.number)));
    for group in all.chunk_by_mut(|a, b| (a.kind, &a.uuid) == (b.kind, &b.uuid)) {
        let numbers: Vec<u64> = group.iter().map(|key| key.number).collect();
        let current = match group[0].kind {
            Kind::InnoDb => numbers.last().copied(),
            Kind::Log => named_by_item(keyring, &group[0].uuid, &numbers)?,
        };
        for one in group {
            one.current = Some(one.number) == current;
        }
    }
    Ok(all)
}

fn told_of_server(one: &OfServer, now: i64) -> Value {
    let info = &one.key;
    json!({
        "name": crate::text::name(info.id.name()), "kind": word(one.kind),
        "server": crate::text::name(&one.uuid), "number": one.number, "current": one.current,
        "created": utc(info.created_at), "age_days": (now - info.created_at).max(0) / DAY,
    })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::InnoDb => "innodb",
        Kind::Log => "binlog",
    }
}

/// The number that the binary log's own item names, if a key has it.
fn named_by_item(keyring: &Keyring, uuid: &[u8], numbers: &[u64]) -> Result<Option<u64>> {
    let item = [b"MySQLReplicationKey_", uuid].concat();
    let id = KeyId::new(&item, b"")?;
    let Some(item) = keyring.read_key(id.name(), id.owner())? else {
        return Ok(None);
    };
    let number = number_in(item.material());
    Ok(number.filter(|number| numbers.contains(number)))
}

/// The number in an item of the binary log: four bytes, least first, and zeros (seen on 9.7.4).
fn number_in(material: &[u8]) -> Option<u64> {
    let (front, rest) = material.split_at_checked(4)?;
    let number = u32::from_le_bytes(front.try_into().ok()?);
    (rest.iter().all(|b| *b == 0) && number > 0).then_some(number.into())
}
