//! A write that fails half-way, by the system's own limit on file sizes: the record is not there,
//! its bytes are cut off again, and the keyring works on when there is room.
//!
//! A file of its own: the limit is the process's.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::limit_file_size;
use common::{Place, content};
use keyring_ward::error::Kind;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tests take turns: the limit is for all of them.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_write_without_room_leaves_nothing_behind() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring.generate(b"first", b"", b"AES", 32).unwrap();
    let before = place.read();
    let keys = content(&keyring);
    // Room for no byte, for a part of the record, for all but its last byte.
    for room in [0, 1, 31, 32, 50, 100] {
        limit_file_size(before.len() as u64 + room);
        let failed = keyring.generate(b"second", b"", b"AES", 32);
        limit_file_size(libc::RLIM_INFINITY);
        assert_eq!(
            failed.unwrap_err().kind(),
            Kind::Io,
            "room for {room} bytes"
        );
        assert_eq!(place.read(), before, "room for {room} bytes: cut off again");
        assert_eq!(content(&keyring), keys, "nothing was published");
    }
    keyring.generate(b"second", b"", b"AES", 32).unwrap();
    // A rewrite without room changes nothing either.
    limit_file_size(100);
    let failed = keyring.compact();
    limit_file_size(libc::RLIM_INFINITY);
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert!(!place.dir.path().join("keyring.ward.new").exists());
    keyring.generate(b"third", b"", b"AES", 32).unwrap();
    drop(keyring);
    assert_eq!(place.open().unwrap().list().len(), 3);
}

/// An import of any number of keys is all of them or none, wherever the disk is full.
#[test]
fn many_keys_are_stored_at_once_or_not_at_all() {
    use keyring_ward::key::id::KeyId;
    use keyring_ward::key::record::KeyRecord;
    let _turn = turn();
    for n in [2u8, 3, 10, 15, 16, 40] {
        let place = Place::new();
        let keyring = place.open().unwrap();
        keyring.generate(b"first", b"", b"AES", 32).unwrap();
        let (before, keys) = (place.read(), content(&keyring));
        let records = || {
            let one = |i: u8| {
                let id = KeyId::new(&[b'i', b'a' + i], b"u@h").unwrap();
                let material = keyring.pool().copy(&[i; 32]).unwrap();
                KeyRecord::new(id, b"AES", material, 1, 1).unwrap()
            };
            (0..n).map(one).collect::<Vec<_>>()
        };
        // Nothing fits, a part of a record, one record, half of all.
        for room in [0, 50, 150, u64::from(n) * 60] {
            limit_file_size(before.len() as u64 + room);
            let stored = keyring.restore_all(records());
            limit_file_size(libc::RLIM_INFINITY);
            let e = stored.unwrap_err();
            assert_eq!(content(&keyring), keys, "{n} keys, {room} bytes: {e}");
            assert_eq!(place.read(), before, "{n} keys, {room} bytes");
        }
        keyring.restore_all(records()).unwrap();
        drop(keyring);
        assert_eq!(place.open().unwrap().len(), 1 + usize::from(n));
    }
}
