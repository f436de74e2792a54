//! `key retire`: takes the server's old master keys out of use, once no file names them.
//!
//! Owns what "no file names it" takes: a data directory that is one, every file of it readable, looked at twice, and nobody
//! writing meanwhile. It must never retire the highest key of a server, and never one of which a file could not be read.

use super::prove::{Proof, State, family, prove_with, server_uuid};
use super::{Opened, Target, open_alone, open_dry, open_to_look, retire_ticket};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::key::of_server::INNODB;
use crate::keyring::Keyring;
use crate::secret::SecretPool;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OP: &str = "retire the server's keys";
/// Beside a running server: for how long a checkpoint between the two looks is waited for. One that has nothing to write makes
/// none.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// How often a look is tried beside a server that rotates its keys meanwhile.
const LOOKS: usize = 4;

/// What was retired, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// The names of the keys.
    pub keys: Vec<String>,
    /// InnoDB's keys that stay: how many files name each; the highest of a server stays whatever names it.
    pub kept: Vec<(String, u64)>,
    /// Those that another server made: it may have files elsewhere, so they stay.
    pub of_others: Vec<String>,
    /// How many files were looked at.
    pub files: u64,
}

/// Retires InnoDB's master keys that no file in `folders` names: the data directory first, then whatever of it lies elsewhere
/// and the backups that are to open. They stay in the keyring as retired keys for `retain_removed` days.
///
/// # Errors
/// KeyState: something can't be read, or the files change. InvalidInput: the first folder is no data directory; nothing would
/// be kept. All errors of opening and writing a keyring: a server that holds it is in the way on purpose.
pub fn retire<'a>(
    target: impl Into<Target<'a>>,
    folders: &[PathBuf],
    dry_run: bool,
) -> Result<Retired> {
    let target = target.into();
    let uuid = check(&target, folders)?;
    let keyring = match dry_run {
        true => open_dry(&target)?,
        false => open_alone(&target)?,
    };
    let first = proved(&keyring, folders)?;
    let second = proved(&keyring, folders)?;
    if named(&first) != named(&second) {
        return Err(Error::new(
            Kind::KeyState,
            OP,
            "the files name other keys than a moment before",
        )
        .hint("Nothing was changed. Is a server running on them? Stop it, then try again."));
    }
    let retired = judged(&second, &uuid);
    if !dry_run {
        for name in &retired.keys {
            keyring.by().remove(name.as_bytes(), b"")?;
        }
    }
    Ok(retired)
}

/// What no file names of a server's keys, and what stays.
fn judged(proof: &Proof, uuid: &str) -> Retired {
    let unused = proof
        .unused
        .iter()
        .filter(|key| key.name.starts_with(INNODB));
    let own = format!("{INNODB}{uuid}");
    let (unused, others): (Vec<_>, Vec<_>) =
        unused.partition(|key| family(&key.name).is_some_and(|(head, _)| head == own));
    let (kept, old): (Vec<_>, Vec<_>) = unused.into_iter().partition(|key| key.newest);
    let mut retired = Retired {
        keys: old.iter().map(|key| key.name.clone()).collect(),
        kept: kept.iter().map(|key| (key.name.clone(), 0)).collect(),
        of_others: others.iter().map(|key| key.name.clone()).collect(),
        files: proof.files,
    };
    let named = proof
        .needed
        .iter()
        .filter(|(name, _)| name.starts_with(INNODB));
    retired
        .kept
        .extend(named.map(|(name, needed)| (name.clone(), needed.files.count)));
    retired
}

/// The same beside a running server, which does it by the ticket ([`super::retire_ticket`]): nothing is changed here. `None`:
/// there is no key to retire.
///
/// Only what is below every number that a file names: the key that InnoDB wraps with is never below them all, whichever it is,
/// and may stand in no file for a moment.
///
/// # Errors
/// As [`retire`]; all errors of opening a keyring for a look.
pub fn look_beside<'a>(
    target: impl Into<Target<'a>>,
    folders: &[PathBuf],
) -> Result<(Retired, Option<String>)> {
    look_and_wait(&target.into(), folders, CHECKPOINT)
}

fn look_and_wait(
    target: &Target<'_>,
    folders: &[PathBuf],
    wait: Duration,
) -> Result<(Retired, Option<String>)> {
    const PAUSE: Duration = Duration::from_millis(500);
    let uuid = check(target, folders)?;
    let (_, first) = proved_beside(target, folders)?;
    let until = Deadline::after(wait);
    let (keyring, second) = loop {
        std::thread::sleep(PAUSE.min(wait));
        let (keyring, second) = proved_beside(target, folders)?;
        if second.parts.checkpoint > first.parts.checkpoint || until.passed() {
            break (keyring, second);
        }
    };
    let before = judged(&first, &uuid);
    let mut found = judged(&second, &uuid);
    let own = format!("{INNODB}{uuid}");
    let number = |name: &String| family(name).filter(|(head, _)| *head == own).map(|f| f.1);
    let named = first.needed.keys().chain(second.needed.keys());
    let lowest = named.filter_map(number).min().unwrap_or(0);
    let (keys, kept): (Vec<_>, Vec<_>) = found.keys.into_iter().partition(|name| {
        before.keys.contains(name) && number(name).is_some_and(|number| number < lowest)
    });
    found.kept.extend(kept.into_iter().map(|name| (name, 0)));
    found.keys = keys;
    found.keys.sort_by_key(number);
    found.keys.truncate(retire_ticket::MOST);
    let all = keyring.list();
    let names = all.iter().filter(|key| key.id.owner().is_empty());
    let names = names.filter_map(|key| String::from_utf8(key.id.name().to_vec()).ok());
    let highest = names
        .filter(|name| number(name).is_some())
        .max_by_key(number);
    let numbers: Vec<u64> = found.keys.iter().filter_map(number).collect();
    let (false, Some(highest)) = (numbers.is_empty(), highest) else {
        return Ok((found, None));
    };
    let Some(key) = keyring.fetch(highest.as_bytes(), b"")? else {
        return Ok((found, None));
    };
    let now = crate::os::unix_seconds();
    let ticket = retire_ticket::make(&key, &highest, &numbers, now)?;
    Ok((found, Some(ticket)))
}

/// What the files of a running server need. They may name a key that was made after the keyring was opened.
fn proved_beside<'a>(target: &Target<'a>, folders: &[PathBuf]) -> Result<(Opened<'a>, Proof)> {
    let mut tried = 1;
    loop {
        let keyring = open_to_look(target, &SecretPool::new())?;
        match proved(&keyring, folders) {
            Err(e) if e.kind() == Kind::KeyState && tried < LOOKS => tried += 1,
            result => return result.map(|proof| (keyring, proof)),
        }
    }
}

/// The uuid of the server.
fn check(target: &Target<'_>, folders: &[PathBuf]) -> Result<String> {
    let bad = |why: String, hint: &str| Err(Error::new(Kind::InvalidInput, OP, why).hint(hint));
    let config = target.config;
    if config.token_storage().is_some() {
        return bad(
            "the keys are objects on the token, which keeps no removed key".into(),
            "Nothing was changed. Keep the old keys, or move the keyring into a file first.",
        );
    }
    if config.limits.retain_removed == 0 {
        return bad(
            "retain_removed is 0: the keys would be gone at once".into(),
            "Nothing was changed. Set retain_removed to the days for which a backup may still need them.",
        );
    }
    let of_keyring = target.data_dir;
    match folders.first() {
        Some(folder) if of_keyring.is_some_and(|known| !is_same(known, folder)) => bad(
            format!(
                "'{}' is another data directory than that of this keyring's server",
                folder.display()
            ),
            "Nothing was changed. Name the server's data directory first, then backups that are to open.",
        ),
        Some(data_dir) if data_dir.join("mysql.ibd").is_file() => match server_uuid(data_dir) {
            Some(uuid) => Ok(uuid),
            None => bad(
                format!(
                    "'{}' has no auto.cnf that says whose it is",
                    data_dir.display()
                ),
                "Nothing was changed. Name the server's data directory first: auto.cnf with server-uuid is in it.",
            ),
        },
        Some(folder) => bad(
            format!(
                "'{}' is no data directory: it has no mysql.ibd",
                folder.display()
            ),
            "Nothing was changed. Name the server's data directory first, then other folders with files of it.",
        ),
        None => bad(
            "no data directory is named".into(),
            "Name the server's data directory.",
        ),
    }
}

/// Whether two paths lead to the same folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// What the files need. Of each it must be known.
fn proved(keyring: &Keyring, folders: &[PathBuf]) -> Result<Proof> {
    let proof = prove_with(keyring, folders, false, None, &|_| {})?;
    let (unknown, parts) = (&proof.unreadable.files, &proof.parts);
    let why = if unknown.count > 0 {
        format!(
            "{} files can't be read, which may name any key: {}",
            unknown.count,
            unknown.shown()
        )
    } else if parts.redo_logs < parts.dictionaries {
        "a redo log is not in these folders: name the folder that has it (innodb_log_group_home_dir) as well".into()
    } else if parts.undo < parts.dictionaries {
        "an undo tablespace is not in these folders: name the folder that has it (innodb_undo_directory) as well".into()
    } else if parts.old_redo_files > 0 {
        "the redo log is of MySQL before 8.0.30, of which it is not known which keys its records name".into()
    } else if let Some((name, needed)) = proof
        .in_state(State::Missing)
        .find(|(_, n)| !n.only_by_logs())
    {
        format!(
            "the keyring lacks {name}, which {} files need: it is not the keyring of this server",
            needed.files.count
        )
    } else if let Some((name, needed)) = proof.in_state(State::Wrong).next() {
        format!(
            "the keyring's {name} does not open {}: it is not the keyring of this server",
            needed.wrong.shown()
        )
    } else {
        return Ok(proof);
    };
    Err(Error::new(Kind::KeyState, OP, why)
        .hint("Nothing was changed. keyring-ward prove says more."))
}

fn named(proof: &Proof) -> Vec<(&String, u64)> {
    let all = proof.needed.iter();
    all.map(|(name, needed)| (name, needed.files.count))
        .collect()
}

#[cfg(test)]
#[path = "retire_tests.rs"]
mod tests;
