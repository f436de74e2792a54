//! A write that fails half-way, by the system's own limit on file sizes: the record is not there,
//! its bytes are cut off again, and the keyring works on when there is room.
//!
//! A file of its own: the limit is the process's.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::limit_file_size;
use common::{Place, content};
use keyring_ward::error::Kind;

#[test]
fn a_write_without_room_leaves_nothing_behind() {
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
