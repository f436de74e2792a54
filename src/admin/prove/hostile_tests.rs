//! What could make a proof say too much or too little.

use super::tests::{all, files, key, names, proof};
use super::*;
use crate::scan::fixture::{self, FLAGS, MASTER, OTHER, UUID, name};
use std::fs;

/// The redo log of [`files`], replaced.
fn with_redo(dir: &Path, file: &[u8]) {
    files(dir);
    fs::write(dir.join("#innodb_redo/#ib_redo4"), file).unwrap();
}

#[test]
fn a_torn_header_names_no_key() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let mut torn = fixture::tablespace(FLAGS, 3, &MASTER);
    torn[10_390 + 6] ^= 0x50;
    fs::write(dir.path().join("t.ibd"), &torn).unwrap();
    let proof = proof(dir.path(), &all(&MASTER), false);
    assert_eq!(names(&proof, State::Missing), Vec::<&str>::new());
    assert_eq!(proof.outcome(), Outcome::Unreadable);
}

/// A rotation writes a record for every tablespace: the next one's come after thousands.
#[test]
fn a_record_behind_thousands_of_others_counts() {
    let dir = tempfile::tempdir().unwrap();
    let mut infos: Vec<_> = (0..2_000u32)
        .map(|i| {
            let mut file_key = [1; 64];
            file_key[..4].copy_from_slice(&i.to_be_bytes());
            fixture::info_of(file_key, 3, &MASTER)
        })
        .collect();
    infos.push(fixture::info(4, &MASTER));
    with_redo(dir.path(), &fixture::redo_with_records(&infos));
    let mut keys = all(&MASTER);
    assert_eq!(
        names(&proof(dir.path(), &keys, false), State::Missing),
        [name(4)]
    );
    keys.push(key(&name(4), &MASTER));
    assert_eq!(proof(dir.path(), &keys, false).outcome(), Outcome::Opens);
}

#[test]
fn each_backup_below_a_folder_has_its_own_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (monday, tuesday) = (dir.path().join("monday"), dir.path().join("tuesday"));
    let mut redo = fixture::redo_with_record(4, &MASTER);
    with_redo(&monday, &redo);
    fixture::set_checkpoint(&mut redo, 512 * 500_000);
    with_redo(&tuesday, &redo);
    let proof = proof(dir.path(), &all(&MASTER), false);
    assert_eq!(names(&proof, State::Missing), [name(4)]);
    assert_eq!(
        proof.needed[&name(4)].files.shown(),
        "./monday/#innodb_redo/#ib_redo4"
    );
}

#[test]
fn a_record_that_goes_on_in_the_next_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fixture::redo_with_record(4, &MASTER);
    let (first, rest) = whole.split_at(2_048 + 2 * 512);
    with_redo(dir.path(), first);
    let mut second = [&whole[..2_048], rest].concat();
    fixture::set_start(&mut second, 512 * 1_002, 6);
    // The order of the folder is any.
    for name in ["#ib_redo3", "#ib_redo5"] {
        fs::write(dir.path().join("#innodb_redo").join(name), &second).unwrap();
        assert_eq!(
            names(&proof(dir.path(), &all(&MASTER), false), State::Missing),
            [fixture::name(4)]
        );
        fs::remove_file(dir.path().join("#innodb_redo").join(name)).unwrap();
    }
    // Without what is between it is none.
    fixture::set_start(&mut second, 512 * 1_003, 6);
    fs::write(dir.path().join("#innodb_redo/#ib_redo5"), &second).unwrap();
    assert_eq!(
        proof(dir.path(), &all(&MASTER), false).outcome(),
        Outcome::Opens
    );
}

#[test]
fn encrypted_blocks_without_a_key_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut redo = fixture::redo(3, &MASTER);
    redo[1_072..1_072 + 111].fill(0);
    with_redo(dir.path(), &redo);
    let proof = proof(dir.path(), &all(&MASTER), false);
    assert_eq!(proof.outcome(), Outcome::Unreadable);
    assert_eq!(
        proof.unreadable.why["./#innodb_redo/#ib_redo4"].0,
        "damaged"
    );
}

/// `innodb_data_file_path=ibdata1:12M;ibdata2:12M`: the second one begins with zeroes.
#[test]
fn the_system_tablespace_may_have_several_files() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    fs::write(dir.path().join("ibdata2"), [0; 65_536]).unwrap();
    let proof = proof(dir.path(), &all(&MASTER), false);
    assert_eq!(proof.outcome(), Outcome::Opens, "{:?}", proof.unreadable);
}

#[test]
fn where_nothing_is_nothing_is_proven() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("backup.tar"), b"x").unwrap();
    let proof_of = proof(dir.path(), &all(&MASTER), false);
    assert_eq!(proof_of.outcome(), Outcome::Unreadable);
    let (word, why) = proof_of.unreadable.why.values().next().unwrap();
    assert_eq!((*word, &**why), ("empty", "no file of MySQL's is in it"));
    for packed in [
        "undo_001.zst",
        "ibdata1.lz4",
        "mysql.ibd.qp",
        "all.xbstream",
        "t.ibd.zst.xbcrypt",
        "undo_001.delta",
    ] {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path());
        fs::write(dir.path().join(packed), b"x").unwrap();
        let proof = proof(dir.path(), &all(&MASTER), false);
        assert_eq!(proof.unreadable.why[&format!("./{packed}")].0, "packed");
    }
}

/// CLONE INSTANCE leaves them for the next start, which puts them in place.
#[test]
fn a_clone_that_waits_for_the_next_start_is_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    for (file, bytes) in [
        (
            "shop/orders.ibd.#clone",
            fixture::tablespace(FLAGS, 9, &MASTER),
        ),
        ("undo_001.#clone", fixture::tablespace(FLAGS, 9, &MASTER)),
        ("#innodb_redo/.#clone#ib_redo0", fixture::redo(9, &MASTER)),
    ] {
        files(dir.path());
        fs::write(dir.path().join(file), bytes).unwrap();
        let proof = proof(dir.path(), &all(&MASTER), false);
        assert_eq!(names(&proof, State::Missing), [name(9)], "{file}");
        fs::remove_file(dir.path().join(file)).unwrap();
    }
}

/// A key that somebody stored under a number which InnoDB can't have is not the newest.
#[test]
fn only_numbers_that_innodb_counts_to_are_numbers() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let mut keys = all(&MASTER);
    for number in ["4", "4294967296", "99999999999999999999", "007", "+9", ""] {
        keys.push(key(&format!("INNODBKey-{UUID}-{number}"), &OTHER));
    }
    let unused = proof(dir.path(), &keys, false).unused;
    let unused: Vec<_> = unused.iter().map(|key| (&*key.name, key.newest)).collect();
    assert_eq!(unused, [(&*name(4), true)]);
}

#[test]
fn persisted_variables_of_another_form_are_damaged_not_wrong() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    let good = String::from_utf8(fixture::persisted(&MASTER)).unwrap();
    for member in [
        "file_key",
        "file_key_iv",
        "mysql_sensitive_variables_iv",
        "mysql_sensitive_variables_blob",
    ] {
        let bad = good.replacen(
            &format!("\"{member}\":\""),
            &format!("\"{member}\":\"00"),
            1,
        );
        assert_ne!(bad, good);
        fs::write(dir.path().join("mysqld-auto.cnf"), bad).unwrap();
        let proof = proof(dir.path(), &all(&MASTER), false);
        assert_eq!(
            proof.unreadable.why["./mysqld-auto.cnf"].0, "damaged",
            "{member}"
        );
        assert_eq!(proof.outcome(), Outcome::Unreadable);
    }
}

#[test]
fn more_keys_than_a_server_has_are_told_and_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let infos: Vec<_> = (10..1_200).map(|n| fixture::info(n, &MASTER)).collect();
    with_redo(dir.path(), &fixture::redo_with_records(&infos));
    let proof = proof(dir.path(), &all(&MASTER), false);
    assert!(proof.needed.len() <= 1_004, "{}", proof.needed.len());
    let (word, why) = &proof.unreadable.why["./#innodb_redo/#ib_redo4"];
    assert_eq!(
        (*word, &**why),
        ("unknown", "more keys are named than a server has")
    );
}

/// Logs and redo files have no checksum over what names the key: a rotation may be in the middle of it.
#[test]
fn a_header_that_a_rotation_writes_is_not_under_a_wrong_key() {
    for (file, at, good) in [
        ("binlog.000001", 80, fixture::log(1, &MASTER)),
        ("#ib_redo4", 1_072 + 60, fixture::redo(3, &MASTER)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        let mut torn = good.clone();
        torn[at] ^= 1;
        fs::write(&path, &torn).unwrap();
        let keys = all(&MASTER);
        let torn_for_good = proof(dir.path(), &keys, false);
        assert_eq!(torn_for_good.outcome(), Outcome::Wrong, "{file}");
        // Written to the end when its key is looked up.
        let look_up = |wanted: &[u8]| {
            fs::write(&path, &good).unwrap();
            let found = keys.iter().find(|(name, _)| name.as_bytes() == wanted);
            Ok(found.map(|(_, key)| key.clone()))
        };
        let keys = Some(Keys {
            look_up: &look_up,
            names: Vec::new(),
        });
        let folders = [dir.path().to_path_buf()];
        let question = Question {
            folders: &folders,
            keys,
            pages: false,
            until: None,
            progress: &|_| {},
        };
        assert_eq!(
            prove(&question).unwrap().outcome(),
            Outcome::Opens,
            "{file}"
        );
    }
}
