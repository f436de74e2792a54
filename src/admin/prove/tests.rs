//! Whole folders, with the right keyring, another one, and what does not belong into a data directory.

use super::*;
use crate::key::id::KeyId;
use crate::scan::fixture::{self, FLAGS, MASTER, OTHER, UUID, name};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;

pub(super) fn key(name: &str, material: &[u8]) -> (String, Arc<KeyRecord>) {
    let material = SecretPool::new().copy(material).unwrap();
    let id = KeyId::new(name.as_bytes(), b"").unwrap();
    (
        name.into(),
        Arc::new(KeyRecord::new(id, b"AES", material, 0, 1).unwrap()),
    )
}

pub(super) fn log_key(number: &str) -> String {
    format!("MySQLReplicationKey_{UUID}{number}")
}

/// All keys that [`files`] need.
pub(super) fn all(master: &[u8]) -> Vec<(String, Arc<KeyRecord>)> {
    vec![
        key(&name(3), master),
        key("persisted_variables_key", master),
        key(&log_key(""), b"1"),
        key(&log_key("_1"), master),
    ]
}

/// One file of each kind, and some that need nothing.
pub(super) fn files(dir: &Path) {
    fs::create_dir_all(dir.join("shop")).unwrap();
    fs::create_dir_all(dir.join("#innodb_redo")).unwrap();
    let plain = fixture::tablespace(FLAGS & !(1 << 13), 0, &MASTER);
    for (file, bytes) in [
        ("shop/orders.ibd", fixture::tablespace(FLAGS, 3, &MASTER)),
        ("shop/plain.ibd", plain),
        ("undo_001", fixture::tablespace(FLAGS, 3, &MASTER)),
        ("#innodb_redo/#ib_redo4", fixture::redo(3, &MASTER)),
        ("#innodb_redo/#ib_redo5_tmp", fixture::redo(2, &MASTER)),
        ("binlog.000001", fixture::log(1, &MASTER)),
        ("mysqld-auto.cnf", fixture::persisted(&MASTER)),
        (
            "auto.cnf",
            format!("[auto]\nserver-uuid={UUID}\n").into_bytes(),
        ),
        ("ib_buffer_pool", b"1,2".to_vec()),
    ] {
        fs::write(dir.join(file), bytes).unwrap();
    }
}

pub(super) fn proof(dir: &Path, keys: &[(String, Arc<KeyRecord>)], pages: bool) -> Proof {
    let look_up = |wanted: &[u8]| {
        let found = keys.iter().find(|(name, _)| name.as_bytes() == wanted);
        Ok(found.map(|(_, key)| key.clone()))
    };
    let names = keys
        .iter()
        .map(|(name, _)| name.clone().into_bytes())
        .collect();
    let folders = [dir.to_path_buf()];
    prove(&Question {
        folders: &folders,
        keys: Some(Keys {
            look_up: &look_up,
            names,
        }),
        pages,
        until: None,
        progress: &|_| {},
    })
    .unwrap()
}

pub(super) fn names(proof: &Proof, state: State) -> Vec<&str> {
    proof
        .in_state(state)
        .map(|(name, _)| name.as_str())
        .collect()
}

#[test]
fn the_right_keyring_opens_everything() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let proof = proof(dir.path(), &all(&MASTER), true);
    assert_eq!(proof.outcome(), Outcome::Opens, "{proof:?}");
    assert_eq!((proof.files, proof.plain, proof.needed.len()), (6, 1, 4));
    assert_eq!((proof.pages.good, proof.pages.bad), (5, 0));
    assert_eq!(names(&proof, State::Opens).len(), 4);
    assert_eq!(proof.unused, []);
}

#[test]
fn what_is_missing_is_named_with_its_files() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let mut keys = all(&MASTER);
    keys[0] = key(&name(4), &MASTER);
    keys.push(key(&name(1), &MASTER));
    keys.push(key("application", &MASTER));
    let proof = proof(dir.path(), &keys, false);
    assert_eq!(proof.outcome(), Outcome::Missing);
    assert_eq!(names(&proof, State::Missing), [name(3)]);
    let shown = proof.needed[&name(3)].files.shown();
    assert_eq!(
        shown,
        "./#innodb_redo/#ib_redo4, ./shop/orders.ibd and ./undo_001"
    );
    let unused: Vec<_> = proof
        .unused
        .iter()
        .map(|key| (key.name.as_str(), key.newest))
        .collect();
    assert_eq!(unused, [(&*name(1), false), (&*name(4), true)]);
}

#[test]
fn another_servers_keys_of_the_same_names_are_wrong() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let proof = proof(dir.path(), &all(&OTHER), true);
    assert_eq!(proof.outcome(), Outcome::Wrong);
    assert_eq!(names(&proof, State::Wrong).len(), 3, "{proof:?}");
    assert_eq!(proof.needed[&name(3)].wrong.count, 3);
}

#[test]
fn a_log_whose_key_the_server_removed_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let mut keys = all(&MASTER);
    keys[3] = key(&log_key("_2"), &OTHER);
    let proof_of = proof(dir.path(), &keys, false);
    assert_eq!(names(&proof_of, State::Missing), [log_key("_1")]);
    assert!(proof_of.needed[&log_key("_1")].rotated_away);
    // Which one is current is needed, too, but only by the server whose logs these are.
    keys[3] = key(&log_key("_1"), &MASTER);
    keys.remove(2);
    assert_eq!(
        names(&proof(dir.path(), &keys, false), State::Missing),
        [log_key("")]
    );
    fs::write(dir.path().join("auto.cnf"), "[auto]\nserver-uuid=another\n").unwrap();
    assert_eq!(proof(dir.path(), &keys, false).outcome(), Outcome::Opens);
}

#[test]
fn names_alone_need_no_keyring() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let folders = [dir.path().to_path_buf(), dir.path().join("shop")];
    let question = Question {
        folders: &folders,
        keys: None,
        pages: false,
        until: None,
        progress: &|_| {},
    };
    let proof = prove(&question).unwrap();
    assert_eq!(names(&proof, State::NotAsked).len(), 4);
    assert_eq!(proof.needed[&name(3)].files.count, 4);
    assert!(!proof.asked && proof.unused.is_empty());
}

#[test]
fn a_failed_look_up_is_no_missing_key() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let fails = |_: &[u8]| {
        Err(crate::error::Error::new(
            crate::error::Kind::Unreachable,
            "fetch the key",
            "away",
        ))
    };
    let keys = Some(Keys {
        look_up: &fails,
        names: Vec::new(),
    });
    let folders = [dir.path().to_path_buf()];
    let said = prove(&Question {
        folders: &folders,
        keys,
        pages: false,
        until: None,
        progress: &|_| {},
    });
    assert_eq!(said.unwrap_err().kind(), crate::error::Kind::Unreachable);
}

#[test]
fn what_has_no_place_there_is_not_opened_and_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("data"), dir.path().join("outside"));
    fs::create_dir_all(&outside).unwrap();
    files(&inside);
    fs::write(
        outside.join("t.ibd"),
        fixture::tablespace(FLAGS, 9, &MASTER),
    )
    .unwrap();
    symlink(&outside, inside.join("linked")).unwrap();
    symlink(outside.join("t.ibd"), inside.join("linked.ibd")).unwrap();
    symlink("..", inside.join("shop/around")).unwrap();
    let status = std::process::Command::new("mkfifo")
        .arg(inside.join("fifo.ibd"))
        .status()
        .unwrap();
    assert!(status.success());
    fs::create_dir_all(inside.join("1/2/3/4/5/6/7/8/9/10")).unwrap();
    fs::write(
        inside.join("cut.ibd"),
        &fixture::tablespace(FLAGS, 3, &MASTER)[..9_000],
    )
    .unwrap();
    fs::write(inside.join("empty.ibd"), b"").unwrap();
    fs::write(inside.join("a.ibd.zst"), b"x").unwrap();
    let proof = proof(&inside, &all(&MASTER), true);
    assert_eq!(proof.outcome(), Outcome::Unreadable);
    let words: Vec<_> = proof
        .unreadable
        .why
        .values()
        .map(|(word, _)| *word)
        .collect();
    assert_eq!(
        words,
        [
            "deep", "packed", "short", "short", "io", "link", "link", "link"
        ],
        "{:?}",
        proof.unreadable
    );
    assert_eq!(
        names(&proof, State::Missing),
        Vec::<&str>::new(),
        "nothing was followed"
    );
}

#[test]
fn a_header_that_is_being_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (good, half) = (
        fixture::tablespace(FLAGS, 3, &MASTER),
        dir.path().join("half.ibd"),
    );
    let mut torn = good.clone();
    torn[10_390..10_400].fill(0);
    fs::write(&half, &torn).unwrap();
    let again = |mended: bool| {
        let seen = Cell::new(0);
        let told = |_| {
            // The other file was told of: the one in question was read by then, and is not done.
            seen.set(seen.get() + 1);
            if mended && seen.get() == 1 {
                fs::write(&half, &good).unwrap();
            }
        };
        let look_up = |_: &[u8]| Ok(Some(key(&name(3), &MASTER).1));
        let folders = [dir.path().to_path_buf()];
        let keys = Some(Keys {
            look_up: &look_up,
            names: Vec::new(),
        });
        prove(&Question {
            folders: &folders,
            keys,
            pages: false,
            until: None,
            progress: &told,
        })
        .unwrap()
    };
    fs::write(dir.path().join("other.ibd"), &good).unwrap();
    let proof = again(false);
    assert_eq!(
        (proof.outcome(), proof.unreadable.why["./half.ibd"].0),
        (Outcome::Unreadable, "damaged")
    );
    assert_eq!(again(true).outcome(), Outcome::Opens);
}

/// A header whose checksum is wrong is never said to be under a wrong key.
#[test]
fn a_torn_header_is_unreadable_not_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let mut torn = fixture::tablespace(FLAGS, 3, &MASTER);
    torn[10_390 + 50] ^= 1;
    fs::write(dir.path().join("t.ibd"), &torn).unwrap();
    let proof = proof(dir.path(), &all(&MASTER), false);
    assert_eq!(proof.outcome(), Outcome::Unreadable);
    assert_eq!(names(&proof, State::Wrong), Vec::<&str>::new());
}

#[test]
fn the_answer_is_bounded() {
    let mut files = Files::default();
    for i in (0..1_000).rev() {
        files.add(&format!("./t{i:03}\n"));
    }
    assert_eq!((files.count, files.first.len()), (1_000, 10));
    assert_eq!(files.shown(), "./t000 , ./t001 , ./t002  and 997 more");
}

#[test]
fn time_that_is_over_is_told() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let folders = [dir.path().to_path_buf()];
    let until = Some(Deadline::after(std::time::Duration::ZERO));
    let proof = prove(&Question {
        folders: &folders,
        keys: None,
        pages: false,
        until,
        progress: &|_| {},
    })
    .unwrap();
    assert_eq!(
        (proof.cut_short, proof.outcome(), proof.files),
        (true, Outcome::Unreadable, 0)
    );
}

/// Right after ROTATE the headers name the old key, and recovery needs the new one.
#[test]
fn what_only_records_of_the_redo_log_name_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    fs::write(
        dir.path().join("#innodb_redo/#ib_redo4"),
        fixture::redo_with_record(4, &MASTER),
    )
    .unwrap();
    let mut keys = all(&MASTER);
    let yesterday = proof(dir.path(), &keys, false);
    assert_eq!(names(&yesterday, State::Missing), [name(4)]);
    assert_eq!(
        yesterday.needed[&name(4)].files.shown(),
        "./#innodb_redo/#ib_redo4"
    );
    keys.push(key(&name(4), &OTHER));
    assert_eq!(
        names(&proof(dir.path(), &keys, false), State::Wrong),
        [name(4)]
    );
    keys.pop();
    keys.push(key(&name(4), &MASTER));
    assert_eq!(proof(dir.path(), &keys, false).outcome(), Outcome::Opens);
}

#[test]
fn a_table_that_was_just_made_is_judged_by_the_redo_log() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let mut new = fixture::tablespace(FLAGS, 2, &MASTER);
    new[24..26].fill(0);
    new[10_390..10_390 + 111].fill(0);
    fixture::set_checksum(&mut new[..16_384], false);
    fs::write(dir.path().join("shop/new.ibd"), new).unwrap();
    let with = proof(dir.path(), &all(&MASTER), true);
    assert_eq!((with.outcome(), with.new.count), (Outcome::Opens, 1));
    fs::remove_file(dir.path().join("#innodb_redo/#ib_redo4")).unwrap();
    let without = proof(dir.path(), &all(&MASTER), true);
    assert_eq!(without.outcome(), Outcome::Unreadable);
    assert_eq!(without.unreadable.why["./shop/new.ibd"].0, "new");
}
