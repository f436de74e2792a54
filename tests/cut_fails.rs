//! A failed write whose bytes can't be cut off again at once. A file of its own: the limit on the
//! size of files is the process's.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::{limit_file_size, while_failing};
use common::{Place, content};
use keyring_ward::error::Kind;

/// An exhausted quota can refuse the cut as well (seen on btrfs): nothing was synced, so the next
/// write that can cut is enough.
#[test]
fn a_failed_write_that_cannot_be_cut_off_is_cut_off_later() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring.generate(b"first", b"", b"AES", 32).unwrap();
    let whole = place.read();
    let e = while_failing(libc::SYS_ftruncate, || {
        limit_file_size(whole.len() as u64 + 40);
        let failed = keyring.generate(b"lost", b"", b"AES", 32);
        limit_file_size(libc::RLIM_INFINITY);
        failed
    })
    .unwrap_err();
    assert_eq!(e.kind(), Kind::Io, "{e}");
    assert_eq!(
        place.read().len(),
        whole.len() + 40,
        "half of a record is there"
    );
    let refused = while_failing(libc::SYS_ftruncate, || {
        keyring.generate(b"x", b"", b"AES", 32)
    });
    let e = refused.unwrap_err();
    assert_eq!(e.kind(), Kind::ReadOnly);
    assert!(e.to_string().contains("tries again"), "{e}");
    assert!(keyring.status().store.refusing.is_some());
    // Killed now, the half record is a torn one: nothing that was acknowledged is lost.
    keyring.generate(b"second", b"", b"AES", 32).unwrap();
    assert!(keyring.status().store.refusing.is_none());
    let keys = content(&keyring);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(content(&keyring), keys);
    assert_eq!(keyring.list().len(), 2);
    assert!(keyring.take_warnings().is_empty(), "nothing torn");
}
