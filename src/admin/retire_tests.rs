use super::super::fixture::{config, open};
use super::*;
use crate::caller::Caller;
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
            .by(&Caller::Unknown)
            .store_key(name(number).as_bytes(), b"", b"AES", material)
            .unwrap();
    }
    keyring
        .by(&Caller::Unknown)
        .generate(b"app", b"a@b", b"AES", 32)
        .unwrap();
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
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&retired[0].info.id, None)
        .unwrap();
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

/// A ticket carries a look to the keyring that serves.
#[test]
fn a_look_beside_a_server_is_done_by_its_ticket() {
    let dir = tempfile::tempdir().unwrap();
    let (config, folders) = data_dir(dir.path());
    let target = Target::from(&config);
    let look = || look_and_wait(&target, &folders, Duration::ZERO).unwrap();
    let (found, ticket) = look();
    let ticket = ticket.unwrap();
    assert_eq!(found.keys, [name(1)]);
    let now = crate::os::unix_seconds();
    let keyring = open(&config);
    let refused = |ticket: &str, now, words: &str| {
        let e = retire_ticket::redeem(&keyring.by(&Caller::Unknown), ticket, now).unwrap_err();
        assert!(e.to_string().contains(words), "{e}");
        assert_eq!(keyring.retired().len(), 0);
    };
    for none in ["", ":", "x:y", &ticket[..ticket.len() - 2], &name(1)] {
        refused(none, now, "no answer of keyring-ward key retire");
    }
    refused(&ticket.replace(":1:", ":2:"), now, "was changed");
    refused(
        &ticket,
        now + retire_ticket::LIFE + 60,
        "counts for 15 minutes",
    );
    refused(&ticket, now - 60, "counts for 15 minutes");
    // The server goes on meanwhile.
    keyring
        .by(&Caller::Unknown)
        .store_key(name(5).as_bytes(), b"", b"AES", &OTHER)
        .unwrap();
    refused(&ticket, now, "rotated after the look");
    keyring
        .by(&Caller::Unknown)
        .remove(name(5).as_bytes(), b"")
        .unwrap();
    let retired = keyring.retired();
    assert_eq!(retired.len(), 1);
    let gone = retire_ticket::redeem(&keyring.by(&Caller::Unknown), &ticket, now).unwrap();
    assert_eq!((gone, keyring.retired().len()), (vec![name(1)], 2));
    let again = retire_ticket::redeem(&keyring.by(&Caller::Unknown), &ticket, now).unwrap();
    assert!(again.is_empty());
    let one = crate::key::id::KeyId::new(name(1).as_bytes(), b"").unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&one, None)
        .unwrap();
    drop(keyring);
    // Another keyring with keys of these names.
    let twin = super::super::fixture::config(dir.path(), "twin.ward");
    for number in 1..=4 {
        open(&twin)
            .by(&Caller::Unknown)
            .store_key(name(number).as_bytes(), b"", b"AES", &MASTER)
            .unwrap();
    }
    let e = retire_ticket::redeem(&open(&twin).by(&Caller::Unknown), &ticket, now).unwrap_err();
    assert!(e.to_string().contains("of another keyring"), "{e}");
    // Where no file names a key, nobody knows which one InnoDB has in its hands.
    for file in ["mysql.ibd", "t.ibd"] {
        fs::write(
            folders[0].join(file),
            tablespace(FLAGS & !(1 << 13), 0, &MASTER),
        )
        .unwrap();
    }
    assert_eq!(look().0.keys, [name(1)], "the redo log names 2");
    fs::write(folders[0].join("#innodb_redo/#ib_redo4"), redo(0, &MASTER)).unwrap();
    assert!(look_and_wait(&target, &folders, Duration::ZERO).is_err() || look().1.is_none());
}

#[test]
fn keys_of_another_server_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (config, folders) = data_dir(dir.path());
    let other = |number| name(number).replace(UUID, "11111111-9d5c-11f0-9a3c-0242ac110002");
    for number in 1..=3 {
        let keyring = open(&config);
        keyring
            .by(&Caller::Unknown)
            .store_key(other(number).as_bytes(), b"", b"AES", &OTHER)
            .unwrap();
    }
    let done = retire(&config, &folders, false).unwrap();
    assert_eq!(done.keys, [name(1)]);
    assert_eq!(done.of_others, [other(1), other(2), other(3)]);
    assert_eq!(open(&config).len(), 7);
}
