//! A disk that fails or is full, as the kernel itself has it: by a seccomp filter on one thread, and by the limit on the
//! size of files, which is the process's; so every test here takes its turn.
//!
//! A write without room is not there, its bytes are cut off again, at once or later, and the keyring works on when there
//! is room. After a failed fdatasync (design rule 11) nothing is published, writes are refused, reads are served, and
//! only a complete rewrite ends it. It must hold no test that leaves the limit set or a call failing.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::{limit_file_size, while_failing, while_failing_with};
use common::{Place, content, turn};
use keyring_ward::caller::Caller;
use keyring_ward::config::Config;
use keyring_ward::error::Kind;
use keyring_ward::key::id::KeyId;
use keyring_ward::key::record::KeyRecord;
use keyring_ward::keyring::Keyring;
use keyring_ward::store::lock::Lock;
use std::path::PathBuf;

// ---- no room ---------------------------------------------------------------------------------------

#[test]
fn a_write_without_room_leaves_nothing_behind() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"first", b"", b"AES", 32)
        .unwrap();
    let before = place.read();
    let keys = content(&keyring);
    // Room for no byte, for a part of the record, for all but its last byte.
    for room in [0, 1, 31, 32, 50, 100] {
        limit_file_size(before.len() as u64 + room);
        let failed = keyring
            .by(&Caller::Unknown)
            .generate(b"second", b"", b"AES", 32);
        limit_file_size(libc::RLIM_INFINITY);
        assert_eq!(
            failed.unwrap_err().kind(),
            Kind::Io,
            "room for {room} bytes"
        );
        assert_eq!(place.read(), before, "room for {room} bytes: cut off again");
        assert_eq!(content(&keyring), keys, "nothing was published");
    }
    keyring
        .by(&Caller::Unknown)
        .generate(b"second", b"", b"AES", 32)
        .unwrap();
    // A rewrite without room changes nothing either.
    limit_file_size(100);
    let failed = keyring.by(&Caller::Unknown).compact();
    limit_file_size(libc::RLIM_INFINITY);
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert!(!place.dir.path().join("keyring.ward.new").exists());
    keyring
        .by(&Caller::Unknown)
        .generate(b"third", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    assert_eq!(place.open().unwrap().list().len(), 3);
}

/// An import of any number of keys is all of them or none, wherever the disk is full.
#[test]
fn many_keys_are_stored_at_once_or_not_at_all() {
    let _turn = turn();
    for n in [2u8, 3, 10, 15, 16, 40] {
        let place = Place::new();
        let keyring = place.open().unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"first", b"", b"AES", 32)
            .unwrap();
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
            let stored = keyring.by(&Caller::Unknown).restore_all(records());
            limit_file_size(libc::RLIM_INFINITY);
            let e = stored.unwrap_err();
            assert_eq!(content(&keyring), keys, "{n} keys, {room} bytes: {e}");
            assert_eq!(place.read(), before, "{n} keys, {room} bytes");
        }
        keyring.by(&Caller::Unknown).restore_all(records()).unwrap();
        drop(keyring);
        assert_eq!(place.open().unwrap().len(), 1 + usize::from(n));
    }
}

/// An exhausted quota can refuse the cut as well (seen on btrfs): nothing was synced, so the next
/// write that can cut is enough.
#[test]
fn a_failed_write_that_cannot_be_cut_off_is_cut_off_later() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"first", b"", b"AES", 32)
        .unwrap();
    let whole = place.read();
    let e = while_failing(libc::SYS_ftruncate, || {
        limit_file_size(whole.len() as u64 + 40);
        let failed = keyring
            .by(&Caller::Unknown)
            .generate(b"lost", b"", b"AES", 32);
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
        keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 32)
    });
    let e = refused.unwrap_err();
    assert_eq!(e.kind(), Kind::ReadOnly);
    assert!(e.to_string().contains("tries again"), "{e}");
    assert!(keyring.status().store.refusing.is_some());
    // Killed now, the half record is a torn one: nothing that was acknowledged is lost.
    keyring
        .by(&Caller::Unknown)
        .generate(b"second", b"", b"AES", 32)
        .unwrap();
    assert!(keyring.status().store.refusing.is_none());
    let keys = content(&keyring);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(content(&keyring), keys);
    assert_eq!(keyring.list().len(), 2);
    assert!(keyring.take_warnings().is_empty(), "nothing torn");
}

// ---- a sync that fails -----------------------------------------------------------------------------

fn with_a_key() -> (Place, Keyring) {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"first", b"", b"AES", 32)
        .unwrap();
    (place, keyring)
}

fn lock_file(place: &Place) -> PathBuf {
    Lock::path_for(&place.keyring_file())
}

/// A record that another writer has put behind this keyring's end.
fn another_record(place: &Place) -> Vec<u8> {
    let elsewhere = Place::new();
    std::fs::copy(place.key_file(), elsewhere.key_file()).unwrap();
    elsewhere.write(&place.read());
    let other = elsewhere.open().unwrap();
    other
        .by(&Caller::Unknown)
        .generate(b"theirs", b"", b"AES", 32)
        .unwrap();
    elsewhere.read()[place.read().len()..].to_vec()
}

#[test]
fn a_failed_fdatasync_refuses_writes_until_a_rewrite() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"first", b"", b"AES", 32)
        .unwrap();
    let keys = content(&keyring);
    let failed = while_failing(libc::SYS_fdatasync, || {
        keyring
            .by(&Caller::Unknown)
            .generate(b"lost", b"", b"AES", 32)
    });
    let e = failed.unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.to_string().contains("fdatasync"), "{e}");
    // The disk may be well again: the outcome is unknown all the same.
    for refused in [
        keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 32),
        keyring.by(&Caller::Unknown).remove(b"first", b""),
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
    new.by(&Caller::Unknown)
        .generate(b"lost", b"", b"AES", 32)
        .unwrap();
    drop((keyring, new));
    assert_eq!(place.open().unwrap().list().len(), 2);
}

#[test]
fn a_failed_fsync_while_creating_or_compacting_publishes_nothing() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    let failed = while_failing(libc::SYS_fsync, || {
        keyring.by(&Caller::Unknown).generate(b"k", b"", b"AES", 32)
    });
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert!(!place.keyring_file().exists() && keyring.list().is_empty());
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let before = place.read();
    let failed = while_failing(libc::SYS_fsync, || keyring.by(&Caller::Unknown).compact());
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert_eq!(place.read(), before, "the old file stays in force");
    keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"", b"AES", 32)
        .unwrap();
}

#[test]
fn what_a_killed_server_left_is_synced_before_it_is_served() {
    let _turn = turn();
    let place = Place::new();
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let e = while_failing(libc::SYS_fdatasync, || place.open().map(drop)).unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.to_string().contains("to the disk"), "{e}");
    place.open().unwrap();
}

/// What has failed is not made good by a reader: it can't write the keyring anew, and a later sync that succeeds
/// says nothing of what an earlier one has lost.
#[test]
fn a_reload_as_a_reader_serves_nothing_that_is_not_on_the_disk() {
    let _turn = turn();
    let (place, keyring) = with_a_key();
    let server = place.server();
    let read_only = Config {
        read_only: true,
        ..place.config()
    };
    let (e, reloaded) = while_failing(libc::SYS_fdatasync, || {
        let e = keyring
            .by(&Caller::Unknown)
            .generate(b"failed", b"", b"AES", 32)
            .unwrap_err();
        (e, keyring.reload(&read_only, &server).map(drop))
    });
    assert_eq!(e.kind(), Kind::Io);
    for refused in [reloaded, keyring.reload(&read_only, &server).map(drop)] {
        let e = refused.unwrap_err();
        assert_eq!(e.kind(), Kind::Io, "{e}");
        assert!(e.to_string().contains("to the disk"), "{e}");
    }
    assert_eq!(keyring.list().len(), 1);
    // As a writer first, as it says.
    let writer = keyring.reload(&place.config(), &server).unwrap();
    let reader = writer.reload(&read_only, &server).unwrap();
    assert_eq!(reader.list().len(), 1);
    drop((keyring, writer, reader));
    // A reader that starts beside a disk that fails serves nothing either; one of a file system that can't sync does.
    let open = || {
        Keyring::open(
            &read_only,
            &server,
            &keyring_ward::secret::SecretPool::new(),
        )
    };
    for call in [libc::SYS_fdatasync, libc::SYS_fsync] {
        let e = while_failing(call, || open().map(drop)).unwrap_err();
        assert_eq!(e.kind(), Kind::Io, "{e}");
        for code in [libc::EROFS, libc::EINVAL] {
            let keyring = while_failing_with(code, call, open).unwrap();
            assert_eq!(keyring.list().len(), 1);
            let e = while_failing_with(code, call, || place.open().map(drop)).unwrap_err();
            assert!(e.to_string().contains("to the disk"), "{e}");
        }
    }
}

/// The same bytes, written over the file by somebody else: they are not on the disk because ours were.
#[test]
fn bytes_that_somebody_else_wrote_are_synced_before_they_are_served() {
    let _turn = turn();
    let (place, keyring) = with_a_key();
    let (config, server) = (place.config(), place.server());
    let reload =
        |keyring: &Keyring| while_failing(libc::SYS_fdatasync, || keyring.reload(&config, &server));
    let keyring = reload(&keyring).unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
    let keyring = reload(&keyring).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"second", b"", b"AES", 32)
        .unwrap();
    let keyring = reload(&keyring).unwrap();
    // The kernel's clock for files ticks every few milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(20));
    place.write(&place.read());
    let e = reload(&keyring).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert_eq!(keyring.reload(&config, &server).unwrap().list().len(), 2);
}

/// A failed write that could not be cut off is cut off by who has the lock, from the file that is ours, and nothing
/// else is.
#[test]
fn what_is_cut_off_later_is_what_the_failed_write_left() {
    let _turn = turn();
    let (place, keyring) = with_a_key();
    let theirs = another_record(&place);
    let whole = place.read();
    let e = while_failing(libc::SYS_pwrite64, || {
        while_failing(libc::SYS_ftruncate, || {
            keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 32)
        })
    });
    assert_eq!(e.unwrap_err().kind(), Kind::Io);
    let refused = |what: &str| {
        let there = place.read();
        let e = keyring
            .by(&Caller::Unknown)
            .generate(b"y", b"", b"AES", 32)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::ReadOnly);
        assert!(e.to_string().contains(what), "{e}");
        assert_eq!(place.read(), there, "nothing was cut");
    };
    // Another writer has taken the keyring over and written to it.
    std::fs::remove_file(lock_file(&place)).unwrap();
    let lock = Lock::acquire(&place.keyring_file()).unwrap();
    place.write(&[&whole[..], &theirs].concat());
    refused("the lock file");
    let e = keyring.reload(&place.config(), &place.server()).map(drop);
    assert_eq!(e.unwrap_err().kind(), Kind::Locked);
    assert_eq!(place.read(), [&whole[..], &theirs].concat());
    // It is ours again, and what lies there is longer than a record, shorter than ours, or not ours.
    drop(lock);
    let keyring = &keyring;
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    for (there, what) in [
        ([&whole[..], &[0; 20_000]].concat(), "somebody else wrote"),
        (whole[..whole.len() - 1].to_vec(), "somebody else wrote"),
        (other, "was replaced under the running server"),
    ] {
        place.write(&there);
        refused(what);
        let e = keyring.reload(&place.config(), &place.server()).map(drop);
        assert!(e.unwrap_err().to_string().contains(what));
        assert_eq!(place.read(), there);
    }
    // What it left itself goes.
    place.write(&[&whole[..], &theirs[..40]].concat());
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(content(&new), content(keyring));
}

/// After a failed sync the keyring is written anew by who has the lock, and not over another one's file.
#[test]
fn a_rescue_needs_the_lock_and_its_own_file() {
    let _turn = turn();
    let (place, keyring) = with_a_key();
    let whole = place.read();
    let theirs = [&whole[..], &another_record(&place)].concat();
    while_failing(libc::SYS_fdatasync, || {
        keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 32)
    })
    .unwrap_err();
    let reload = || keyring.reload(&place.config(), &place.server());
    let other = with_a_key().0.read();
    assert_eq!(other.len(), whole.len());
    for there in [true, false] {
        std::fs::remove_file(lock_file(&place)).unwrap();
        let lock = Lock::acquire(&place.keyring_file()).unwrap();
        place.write(&theirs);
        if !there {
            std::fs::remove_file(place.keyring_file()).unwrap();
        }
        for refused in [reload().map(drop), keyring.by(&Caller::Unknown).compact()] {
            assert_eq!(refused.unwrap_err().kind(), Kind::Locked);
        }
        assert_eq!(place.keyring_file().exists(), there);
        drop(lock);
        if there {
            assert_eq!(place.read(), theirs);
            // Nobody has the lock now; but another keyring's file, as long as ours, was written over it.
            place.write(&other);
            let e = reload().map(drop).unwrap_err();
            assert!(e.to_string().contains("was replaced under the"), "{e}");
            assert_eq!(place.read(), other);
        }
    }
    // Nobody has the lock and nothing is in its place: the keys that memory alone has are saved.
    std::fs::remove_file(lock_file(&place)).unwrap();
    let new = reload().unwrap();
    assert_eq!(content(&new), content(&keyring));
    drop((keyring, new));
    assert_eq!(place.open().unwrap().list().len(), 1);
}

// ---- logical keys ----------------------------------------------------------------------------------

mod logical {
    use super::*;
    use keyring_ward::error::Result;
    use keyring_ward::key::logical::{DAY, State};
    use keyring_ward::keyring::logical::Wanted;

    const INNODB: &[u8] = b"INNODBKey-01234567-89ab-cdef-0123-456789abcdef-1";

    fn a(name: &str) -> KeyId {
        KeyId::new(name.as_bytes(), b"u@h").unwrap()
    }

    /// Three versions, of which the first is due; one that was destroyed before; a key of the server.
    fn begun() -> (Place, Keyring) {
        let place = Place::new();
        let keyring = place.open().unwrap();
        let wanted = Wanted {
            follow: true,
            ..Wanted::default()
        };
        keyring
            .by(&Caller::Unknown)
            .create_logical(&a("a"), b"AES", 32, &wanted)
            .unwrap();
        for _ in 0..2 {
            keyring.by(&Caller::Unknown).rotate(&a("a"), true).unwrap();
        }
        for (version, done) in [(1, true), (2, false)] {
            let plan = |number| {
                keyring
                    .by(&Caller::Unknown)
                    .change_logical(&a("a"), |l, now| l.schedule(Some(number), 1, now - 2 * DAY))
            };
            plan(version).unwrap();
            if done {
                keyring
                    .by(&Caller::Unknown)
                    .destroy_due(&a("a"), Some(version))
                    .unwrap();
            }
        }
        keyring
            .by(&Caller::Unknown)
            .generate(INNODB, b"", b"AES", 32)
            .unwrap();
        (place, keyring)
    }

    type Change = (&'static str, fn(&Keyring) -> Result<()>);
    const CHANGES: [Change; 4] = [
        ("rotate", |k| {
            k.by(&Caller::Unknown).rotate(&a("a"), true).map(drop)
        }),
        ("destroy", |k| {
            k.by(&Caller::Unknown)
                .destroy_due(&a("a"), Some(2))
                .map(drop)
        }),
        ("restore", |k| {
            k.by(&Caller::Unknown).restore_retired(&a("a@1"), None)
        }),
        ("retire", |k| k.by(&Caller::Unknown).remove(INNODB, b"")),
    ];

    /// All that matters: what the name answers, the states, which keys are there and which are kept.
    fn shape(keyring: &Keyring) -> impl PartialEq + std::fmt::Debug + use<> {
        let name = keyring.fetch(b"a", b"u@h").unwrap();
        let name = name.map(|key| key.material().to_vec());
        let logical = keyring.logical_key(&a("a")).unwrap().logical;
        let states: Vec<(u32, State)> =
            (logical.versions.iter().map(|v| (v.number, v.state))).collect();
        let kept: Vec<_> = (keyring.retired().iter())
            .map(|r| (r.info.id.clone(), r.removal.number))
            .collect();
        (name, states, content(keyring), kept)
    }

    /// No material that was there is gone, whatever became of the change.
    fn nothing_is_lost(keyring: &Keyring, before: &[Vec<u8>], what: &str) {
        let there = materials(keyring);
        for material in before {
            assert!(there.contains(material), "{what} lost a version");
        }
    }

    fn materials(keyring: &Keyring) -> Vec<Vec<u8>> {
        let kept = keyring.retired();
        let kept = kept.iter().map(|r| {
            let key = keyring.retired_key(&r.info.id, r.removal.number).unwrap();
            key.material().to_vec()
        });
        content(keyring)
            .into_iter()
            .map(|(_, _, m)| m)
            .chain(kept)
            .collect()
    }

    #[test]
    fn a_disk_that_is_full_in_between_loses_no_version() {
        let _turn = turn();
        for (what, change) in CHANGES {
            let (place, keyring) = begun();
            let start = place.read().len() as u64;
            change(&keyring).unwrap();
            let whole = place.read().len() as u64 - start;
            drop((keyring, place));
            for room in (0..whole).step_by(61) {
                let (place, keyring) = begun();
                let old = materials(&keyring);
                limit_file_size(place.read().len() as u64 + room);
                let failed = change(&keyring);
                limit_file_size(libc::RLIM_INFINITY);
                assert_eq!(failed.unwrap_err().kind(), Kind::Io, "{what}, {room}");
                nothing_is_lost(&keyring, &old, what);
                assert_eq!(shape(&place.look().unwrap()), shape(&keyring), "{what}");
                change(&keyring).unwrap_or_else(|e| panic!("{what} again behind {room}: {e}"));
                nothing_is_lost(&keyring, &old, what);
                assert_eq!(shape(&place.look().unwrap()), shape(&keyring), "{what}");
                place.check_bytes(&keyring);
            }
        }
    }

    #[test]
    fn a_sync_that_fails_loses_no_version() {
        let _turn = turn();
        for (what, change) in CHANGES {
            let (place, keyring) = begun();
            let (old, before) = (materials(&keyring), shape(&keyring));
            let failed = while_failing(libc::SYS_fdatasync, || change(&keyring));
            assert_eq!(failed.unwrap_err().kind(), Kind::Io, "{what}");
            assert_eq!(shape(&keyring), before, "{what}: nothing was published");
            let refused = change(&keyring).unwrap_err();
            assert_eq!(refused.kind(), Kind::ReadOnly, "{what}: {refused}");
            let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
            assert_eq!(shape(&keyring), before, "{what}: memory was written anew");
            change(&keyring).unwrap();
            nothing_is_lost(&keyring, &old, what);
            assert_eq!(shape(&place.look().unwrap()), shape(&keyring), "{what}");
        }
    }

    /// Who may not write changes nothing, and an older copy is refused.
    #[test]
    fn read_only_and_older_copies() {
        let _turn = turn();
        let (place, keyring) = begun();
        let before = place.read();
        let mut config = place.config();
        config.read_only = true;
        let looked = place.look().unwrap();
        for (what, change) in CHANGES {
            let e = change(&looked).unwrap_err();
            assert_eq!(e.kind(), Kind::ReadOnly, "{what}");
        }
        let reading = keyring.reload(&config, &place.server()).unwrap();
        drop(keyring);
        for (what, change) in CHANGES {
            let e = change(&reading).unwrap_err();
            assert_eq!(e.kind(), Kind::ReadOnly, "{what}");
        }
        assert_eq!(place.read(), before);
        let keyring = reading.reload(&place.config(), &place.server()).unwrap();
        for (what, change) in CHANGES {
            let older = place.read();
            change(&keyring).unwrap();
            let newer = place.read();
            place.write(&older);
            let e = keyring.reload(&place.config(), &place.server()).map(drop);
            assert_eq!(e.unwrap_err().kind(), Kind::Tampered, "{what}");
            place.write(&newer);
        }
        keyring.reload(&place.config(), &place.server()).unwrap();
    }
}
