//! `key retire`: takes the server's old master keys out of use, once no file names them.
//!
//! Owns what "no file names it" takes: a data directory that is one, every file of it readable, looked at twice, and nobody
//! writing meanwhile. It must never retire the highest key of a server, and never one of which a file could not be read.

use super::prove::{Proof, State, family, prove_with, server_uuid};
use super::{Target, open_alone, open_dry};
use crate::error::{Error, Kind, Result};
use crate::keyring::Keyring;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const OP: &str = "retire the server's keys";
const INNODB: &str = "INNODBKey-";

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
    let unused = second
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
        files: second.files,
    };
    let named = second
        .needed
        .iter()
        .filter(|(name, _)| name.starts_with(INNODB));
    retired
        .kept
        .extend(named.map(|(name, needed)| (name.clone(), needed.files.count)));
    if !dry_run {
        for name in &retired.keys {
            keyring.remove(name.as_bytes(), b"")?;
        }
    }
    Ok(retired)
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
mod tests {
    use super::super::fixture::{config, open};
    use super::*;
    use crate::scan::fixture::{FLAGS, MASTER, OTHER, UUID, name, redo, tablespace};
    use std::fs;

    /// A data directory whose files name key 3, and one of whose redo files names key 2, and its keyring with keys 1 to 4.
    fn data_dir(dir: &Path) -> (crate::config::Config, Vec<PathBuf>) {
        let data = dir.join("data");
        fs::create_dir_all(data.join("#innodb_redo")).unwrap();
        fs::write(data.join("mysql.ibd"), tablespace(FLAGS, 3, &MASTER)).unwrap();
        fs::write(data.join("t.ibd"), tablespace(FLAGS, 3, &MASTER)).unwrap();
        fs::write(data.join("#innodb_redo/#ib_redo4"), redo(2, &MASTER)).unwrap();
        fs::write(
            data.join("undo_001"),
            tablespace(FLAGS & !(1 << 13), 0, &MASTER),
        )
        .unwrap();
        fs::write(
            data.join("auto.cnf"),
            format!("[auto]\nserver-uuid={UUID}\n"),
        )
        .unwrap();
        let config = config(dir, "k.ward");
        let keyring = open(&config);
        for number in 1..=4 {
            let material: &[u8] = if matches!(number, 2 | 3) {
                &MASTER
            } else {
                &OTHER
            };
            keyring
                .store_key(name(number).as_bytes(), b"", b"AES", material)
                .unwrap();
        }
        keyring.generate(b"app", b"a@b", b"AES", 32).unwrap();
        (config, vec![data])
    }

    #[test]
    fn what_no_file_names_goes_and_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (config, folders) = data_dir(dir.path());
        let dry = retire(&config, &folders, true).unwrap();
        assert_eq!(open(&config).len(), 5, "nothing was written");
        let done = retire(&config, &folders, false).unwrap();
        assert_eq!(done, dry);
        assert_eq!(done.keys, [name(1)]);
        let kept = [(name(4), 0), (name(2), 1), (name(3), 2)];
        assert_eq!(
            done.kept, kept,
            "the highest stays although nothing names it"
        );
        // What is retired and needed after all is told as that.
        fs::write(folders[0].join("old.ibd"), tablespace(FLAGS, 1, &OTHER)).unwrap();
        let keyring = open(&config);
        let proof = prove_with(&keyring, &folders, false, None, &|_| {}).unwrap();
        let needed = &proof.needed[&name(1)];
        assert!(needed.state() == State::Missing && needed.retired);
        let retired = keyring.retired();
        assert_eq!((keyring.len(), retired.len()), (4, 1));
        keyring.restore_retired(&retired[0].info.id, None).unwrap();
        assert!(keyring.fetch(name(1).as_bytes(), b"").unwrap().is_some());
    }

    #[test]
    fn nothing_is_retired_where_something_is_not_known() {
        let dir = tempfile::tempdir().unwrap();
        let (config, folders) = data_dir(dir.path());
        let data = &folders[0];
        let refused = |folders: &[PathBuf], words: &str| {
            let e = retire(&config, folders, false).unwrap_err();
            assert!(e.to_string().contains(words), "{e}");
            assert_eq!(open(&config).len(), 5);
        };
        refused(&[], "no data directory is named");
        refused(&[data.join("#innodb_redo")], "is no data directory");
        let whole = fs::read(data.join("t.ibd")).unwrap();
        fs::write(data.join("t.ibd"), &whole[..5_000]).unwrap();
        refused(&folders, "can't be read");
        fs::write(data.join("t.ibd"), tablespace(FLAGS, 9, &MASTER)).unwrap();
        refused(&folders, "lacks INNODBKey");
        fs::write(data.join("t.ibd"), tablespace(FLAGS, 1, &MASTER)).unwrap();
        refused(&folders, "does not open");
        fs::write(data.join("t.ibd"), &whole).unwrap();
        let mut final_ones = config.clone();
        final_ones.limits.retain_removed = 0;
        let e = retire(&final_ones, &folders, false).unwrap_err();
        assert!(e.to_string().contains("retain_removed is 0"), "{e}");
        assert_eq!(retire(&config, &folders, false).unwrap().keys, [name(1)]);
    }

    /// Another server's data directory, or a part of one, names nothing that is here.
    #[test]
    fn what_a_folder_can_not_know_is_not_retired() {
        let dir = tempfile::tempdir().unwrap();
        let (config, folders) = data_dir(dir.path());
        // A backup beside it does not stand in.
        let (backup, both) = (
            dir.path().join("backup"),
            [folders[0].clone(), dir.path().join("backup")],
        );
        fs::create_dir_all(backup.join("#innodb_redo")).unwrap();
        for file in ["mysql.ibd", "undo_001", "#innodb_redo/#ib_redo4"] {
            fs::copy(folders[0].join(file), backup.join(file)).unwrap();
        }
        let refused = |words: &str| {
            for folders in [&folders[..], &both] {
                let e = retire(&config, folders, false).unwrap_err();
                assert!(e.to_string().contains(words), "{e}");
            }
            assert_eq!(open(&config).len(), 5);
        };
        for (file, words) in [
            ("#innodb_redo/#ib_redo4", "redo log"),
            ("undo_001", "undo tablespace"),
        ] {
            let bytes = fs::read(folders[0].join(file)).unwrap();
            fs::remove_file(folders[0].join(file)).unwrap();
            refused(words);
            fs::write(folders[0].join(file), bytes).unwrap();
        }
        let auto = fs::read(folders[0].join("auto.cnf")).unwrap();
        fs::remove_file(folders[0].join("auto.cnf")).unwrap();
        refused("no auto.cnf");
        fs::write(folders[0].join("auto.cnf"), auto).unwrap();
        let mut old = redo(2, &MASTER);
        crate::scan::fixture::set_start(&mut old, 0, 5);
        fs::write(folders[0].join("#innodb_redo/#ib_redo4"), old).unwrap();
        refused("before 8.0.30");
        fs::write(folders[0].join("#innodb_redo/#ib_redo4"), redo(2, &MASTER)).unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let target = |data_dir| Target {
            data_dir: Some(data_dir),
            ..Target::from(&config)
        };
        let e = retire(target(&elsewhere), &folders, true).unwrap_err();
        assert!(e.to_string().contains("another data directory"), "{e}");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folders[0], &link).unwrap();
        assert_eq!(
            retire(target(&link), &folders, true).unwrap().keys,
            [name(1)]
        );
    }

    #[test]
    fn keys_of_another_server_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (config, folders) = data_dir(dir.path());
        let other = |number| name(number).replace(UUID, "11111111-9d5c-11f0-9a3c-0242ac110002");
        for number in 1..=3 {
            let keyring = open(&config);
            keyring
                .store_key(other(number).as_bytes(), b"", b"AES", &OTHER)
                .unwrap();
        }
        let done = retire(&config, &folders, false).unwrap();
        assert_eq!(done.keys, [name(1)]);
        assert_eq!(done.of_others, [other(1), other(2), other(3)]);
        assert_eq!(open(&config).len(), 7);
    }
}
