//! A failed fdatasync (design rule 11): nothing is published, writes are refused, reads are served,
//! and only a complete rewrite ends it. The kernel itself makes the call fail: a seccomp filter on
//! one thread.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::while_failing;
use common::{Place, content};
use keyring_ward::error::Kind;

#[test]
fn a_failed_fdatasync_refuses_writes_until_a_rewrite() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring.generate(b"first", b"", b"AES", 32).unwrap();
    let keys = content(&keyring);
    let failed = while_failing(libc::SYS_fdatasync, || {
        keyring.generate(b"lost", b"", b"AES", 32)
    });
    let e = failed.unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.to_string().contains("fdatasync"), "{e}");
    // The disk may be well again: the outcome is unknown all the same.
    for refused in [
        keyring.generate(b"x", b"", b"AES", 32),
        keyring.remove(b"first", b""),
    ] {
        let e = refused.unwrap_err();
        assert_eq!(e.kind(), Kind::ReadOnly);
        assert!(e.to_string().contains("RELOAD KEYRING"), "{e}");
    }
    assert_eq!(
        content(&keyring),
        keys,
        "reads are served, nothing was published"
    );
    assert!(keyring.status().store.refusing.is_some());
    // A reload while the disk still fails keeps everything as it is.
    let (config, server) = (place.config(), place.server());
    let failed = while_failing(libc::SYS_fsync, || {
        keyring.reload(&config, &server).map(drop)
    });
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert_eq!(content(&keyring), keys);
    // And with a disk that works it writes everything anew.
    let inode =
        |p: &Place| std::os::unix::fs::MetadataExt::ino(&p.keyring_file().metadata().unwrap());
    let before = inode(&place);
    let new = keyring.reload(&config, &server).unwrap();
    assert_ne!(inode(&place), before, "a new inode");
    assert_eq!(content(&new), keys);
    new.generate(b"lost", b"", b"AES", 32).unwrap();
    drop((keyring, new));
    assert_eq!(place.open().unwrap().list().len(), 2);
}

#[test]
fn a_failed_fsync_while_creating_or_compacting_publishes_nothing() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let failed = while_failing(libc::SYS_fsync, || keyring.generate(b"k", b"", b"AES", 32));
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert!(!place.keyring_file().exists() && keyring.list().is_empty());
    keyring.generate(b"k", b"", b"AES", 32).unwrap();
    let before = place.read();
    let failed = while_failing(libc::SYS_fsync, || keyring.compact());
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert_eq!(place.read(), before, "the old file stays in force");
    keyring.generate(b"l", b"", b"AES", 32).unwrap();
}

#[test]
fn what_a_killed_server_left_is_synced_before_it_is_served() {
    let place = Place::new();
    place
        .open()
        .unwrap()
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let e = while_failing(libc::SYS_fdatasync, || place.open().map(drop)).unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.to_string().contains("to the disk"), "{e}");
    place.open().unwrap();
}
