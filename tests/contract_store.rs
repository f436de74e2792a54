//! The contract of a store behind the keyring, over every store: durability, order of errors,
//! recovery. Files are damaged here by hand; `vectors.rs` has the damage as data files.

#![allow(unsafe_code, clippy::unwrap_used)]

mod common;

use common::{Place, content};
use keyring_ward::caller::Caller;
use keyring_ward::error::Kind;
use keyring_ward::key::extensions::{ACTOR, Extensions};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use keyring_ward::store::Mode;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn with_keys(n: usize) -> Place {
    let place = Place::new();
    let keyring = place.open().unwrap();
    for i in 0..n {
        keyring
            .by(&Caller::Unknown)
            .generate(format!("key{i}").as_bytes(), b"u@h", b"AES", 32)
            .unwrap();
    }
    place
}

/// Mounts a file over another one; gives the place in the form that its unmounting wants. `None`: that is not allowed here,
/// and it was said. By system calls: a program that is started would hold the locks of the other tests for a moment.
fn bind_mount(from: &Path, to: &Path) -> Option<CString> {
    let path = |p: &Path| CString::new(p.to_str().unwrap()).unwrap();
    let (from, to) = (path(from), path(to));
    // SAFETY: NUL-terminated strings that live through the call.
    let mounted = unsafe {
        libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        )
    };
    if mounted != 0 {
        common::left_out("this container may not mount");
        return None;
    }
    Some(to)
}

#[test]
fn nothing_is_created_before_the_first_write() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    assert!(!place.keyring_file().exists());
    assert!(keyring.fetch(b"k", b"").unwrap().is_none());
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .remove(b"k", b"")
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    assert!(!place.keyring_file().exists());
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    assert!(place.keyring_file().exists());
}

#[test]
fn keys_survive_reopening_with_all_their_parts() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"a", b"", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"a", b"u@h", b"secret", b"material")
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(&[0xFF; 255], &[0xFE; 255], b"RSA", &[1; 16_384])
        .unwrap();
    let longest = "🔑".repeat(255);
    keyring
        .by(&Caller::Unknown)
        .generate(longest.as_bytes(), longest.as_bytes(), b"AES", 16_384)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .remove(longest.as_bytes(), longest.as_bytes())
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(longest.as_bytes(), longest.as_bytes(), b"AES", 16)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"gone", b"", b"DSA", 1)
        .unwrap();
    keyring.by(&Caller::Unknown).remove(b"gone", b"").unwrap();
    let before = content(&keyring);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(content(&keyring), before);
    assert_eq!(keyring.list().len(), 4);
    let key = keyring.fetch(b"a", b"u@h").unwrap().unwrap();
    assert_eq!(
        (&*key.key_type, key.material()),
        ("secret", &b"material"[..])
    );
    assert!(keyring.fetch(b"gone", b"").unwrap().is_none());
}

#[test]
fn limits_and_existing_keys() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let material = keyring
        .fetch(b"k", b"")
        .unwrap()
        .unwrap()
        .material()
        .to_vec();
    let kind = |r: keyring_ward::error::Result<()>| r.unwrap_err().kind();
    assert_eq!(
        kind(keyring.by(&Caller::Unknown).generate(b"k", b"", b"AES", 32)),
        Kind::AlreadyExists
    );
    assert_eq!(
        kind(
            keyring
                .by(&Caller::Unknown)
                .store_key(b"k", b"", b"AES", b"x")
        ),
        Kind::AlreadyExists
    );
    assert_eq!(
        kind(keyring.by(&Caller::Unknown).generate(b"", b"", b"AES", 32)),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(
            keyring
                .by(&Caller::Unknown)
                .generate(&[b'x'; 256], b"", b"AES", 32)
        ),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(
            keyring
                .by(&Caller::Unknown)
                .generate(b"x", &[b'x'; 256], b"AES", 32)
        ),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 0)),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(
            keyring
                .by(&Caller::Unknown)
                .generate(b"x", b"", b"AES", 16_385)
        ),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(
            keyring
                .by(&Caller::Unknown)
                .store_key(b"x", b"", b"AES", &[0; 16_385])
        ),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(keyring.by(&Caller::Unknown).generate(b"x", b"", b"", 32)),
        Kind::InvalidInput
    );
    assert_eq!(
        kind(
            keyring
                .by(&Caller::Unknown)
                .generate(b"x", b"", b"AES-256", 32)
        ),
        Kind::InvalidInput
    );
    assert!(
        keyring.fetch(&[b'x'; 256], b"").unwrap().is_none(),
        "can't have been stored"
    );
    assert_eq!(
        keyring.fetch(b"k", b"").unwrap().unwrap().material()[..],
        material[..]
    );
    assert_eq!(keyring.list().len(), 1);
    // An empty key is kept, as the stock keyring keeps it.
    keyring
        .by(&Caller::Unknown)
        .store_key(b"empty", b"", b"SECRET", b"")
        .unwrap();
    drop(keyring);
    let keyring = place.open().unwrap();
    assert!(
        keyring
            .fetch(b"empty", b"")
            .unwrap()
            .unwrap()
            .material()
            .is_empty()
    );
    keyring.by(&Caller::Unknown).remove(b"empty", b"").unwrap();
}

#[test]
fn a_write_costs_the_same_whatever_the_number_of_keys() {
    let place = with_keys(1);
    let keyring = place.open().unwrap();
    let grows = |name: &[u8]| {
        let before = place.read().len();
        keyring
            .by(&Caller::Unknown)
            .generate(name, b"u@h", b"AES", 32)
            .unwrap();
        place.read().len() - before
    };
    let first = grows(b"one0");
    for i in 0..500 {
        keyring
            .by(&Caller::Unknown)
            .generate(format!("filler{i}").as_bytes(), b"", b"AES", 32)
            .unwrap();
    }
    assert_eq!(grows(b"one1"), first);
}

#[test]
fn one_writer_and_a_snapshot_beside_it() {
    let place = with_keys(2);
    let keyring = place.open().unwrap();
    assert_eq!(place.open().map(drop).unwrap_err().kind(), Kind::Locked);
    let mut look = place.server();
    look.snapshot_if_locked = true;
    let snapshot = Keyring::open(&place.config(), &look, &SecretPool::new()).unwrap();
    assert_eq!(snapshot.status().mode, Mode::Snapshot);
    assert_eq!(content(&snapshot), content(&keyring));
    assert_eq!(
        snapshot
            .by(&Caller::Unknown)
            .generate(b"x", b"", b"AES", 32)
            .unwrap_err()
            .kind(),
        Kind::ReadOnly
    );
    drop(keyring);
    place.open().unwrap();
}

#[test]
fn read_only_serves_and_touches_nothing() {
    let place = with_keys(2);
    std::fs::remove_file(place.keyring_file().with_extension("ward.lock")).unwrap();
    let files = || {
        let mut all: Vec<_> = std::fs::read_dir(place.dir.path())
            .unwrap()
            .chain(std::fs::read_dir(place.data_dir()).unwrap())
            .map(|e| e.unwrap())
            .map(|e| (e.path(), e.metadata().unwrap().modified().unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = files();
    let mut config = place.config();
    config.read_only = true;
    let keyring = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    assert_eq!(keyring.list().len(), 2);
    for result in [
        keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 1),
        keyring.by(&Caller::Unknown).remove(b"key0", b"u@h"),
    ] {
        assert_eq!(result.unwrap_err().kind(), Kind::ReadOnly);
    }
    assert_eq!(files(), before);
    std::fs::remove_file(place.keyring_file()).unwrap();
    let e = Keyring::open(&config, &place.server(), &SecretPool::new())
        .map(drop)
        .unwrap_err();
    assert_eq!(
        e.kind(),
        Kind::NotFound,
        "a missing file is not an empty keyring"
    );
}

#[test]
fn every_cut_is_a_valid_older_file_torn_or_tampered_and_the_marker_knows() {
    let place = with_keys(3);
    let whole = place.read();
    let full = content(&place.open().unwrap());
    // Where records end: sizes at which the file is valid.
    let mut ends = Vec::new();
    for len in 0..=whole.len() {
        place.write(&whole[..len]);
        // Without a data directory no marker can notice.
        let mut tool = place.server();
        tool.data_dir = None;
        tool.look_only = true;
        match Keyring::open(&place.config(), &tool, &SecretPool::new()) {
            Ok(keyring) => {
                let keys = content(&keyring);
                assert!(keys.iter().all(|k| full.contains(k)), "cut at {len}");
                if keyring.take_warnings().is_empty() {
                    ends.push((len, keys.len()));
                }
            }
            Err(e) => assert_eq!(e.kind(), Kind::Tampered, "cut at {len}: {e}"),
        }
    }
    // The file was put in place with its first record: without that it is no keyring.
    assert_eq!(ends.iter().map(|e| e.1).collect::<Vec<_>>(), [1, 2, 3]);
    for (len, _) in &ends[..2] {
        place.write(&whole[..*len]);
        let e = place.open().map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Tampered);
        assert!(e.to_string().contains("older copy"), "{e}");
        assert_eq!(place.read(), whole[..*len], "nothing was changed");
    }
    place.write(&whole);
    assert_eq!(content(&place.open().unwrap()), full);
}

#[test]
fn a_torn_end_is_saved_cut_and_written_over() {
    let place = with_keys(2);
    let two = place.read();
    let acknowledged = place.marked().unwrap();
    let of_two = std::fs::read(place.marker_file()).unwrap();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"third", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    let three = place.read();
    let aside = |n: &str| place.dir.path().join(format!("keyring.ward.torn-1-2{n}"));
    for (n, len) in (two.len() + 1..three.len()).enumerate() {
        let today = n % 2 == 0;
        if today {
            std::fs::write(place.marker_file(), &of_two).unwrap();
        } else {
            place.write_marker_of_an_earlier_boot(&acknowledged);
        }
        place.write(&three[..len]);
        let keyring = place.open().unwrap();
        assert_eq!(keyring.list().len(), 2, "cut at {len}");
        assert_eq!(place.read(), two);
        let warnings = keyring.take_warnings().join("\n");
        assert!(warnings.contains("saved as"), "{warnings}");
        // Only a marker of this boot knows that nobody was told of it.
        assert_eq!(warnings.contains("never acknowledged"), today, "{warnings}");
        assert_eq!(
            warnings.contains("restore the newest"),
            !today,
            "{warnings}"
        );
        // A later tear does not overwrite an earlier one.
        let saved = if n == 0 { aside("") } else { aside(".2") };
        assert_eq!(std::fs::read(&saved).unwrap(), three[two.len()..len]);
        assert_eq!(
            std::fs::read(aside("")).unwrap(),
            three[two.len()..two.len() + 1]
        );
        let _ = std::fs::remove_file(aside(".2"));
        keyring
            .by(&Caller::Unknown)
            .generate(b"another", b"", b"AES", 32)
            .unwrap();
        drop(keyring);
        assert_eq!(place.open().unwrap().list().len(), 3);
    }
}

/// Whatever the marker knows as acknowledged is not torn, however it looks.
#[test]
fn nothing_that_was_acknowledged_is_cut() {
    let place = with_keys(3);
    let whole = place.read();
    let last = whole.windows(4).rposition(|w| w == b"KWF\x01").unwrap();
    for old_boot in [false, true] {
        for len in last + 1..whole.len() {
            if old_boot {
                place.write_marker_of_an_earlier_boot(&place.marked().unwrap());
            }
            place.write(&whole[..len]);
            let e = place.open().map(drop).unwrap_err();
            assert_eq!(e.kind(), Kind::Tampered);
            assert!(e.to_string().contains("no crash has left it so"), "{e}");
            assert_eq!(place.read(), whole[..len], "nothing was changed");
        }
    }
}

#[test]
fn torn_bytes_that_cannot_be_saved_refuse_writes_but_not_reads() {
    let place = with_keys(2);
    let whole = place.read();
    place.write(&whole[..whole.len() - 1]);
    std::fs::remove_file(place.marker_file()).unwrap();
    // No name is left for them.
    let name = |n: u32| match n {
        1 => "keyring.ward.torn-1-1".to_string(),
        n => format!("keyring.ward.torn-1-1.{n}"),
    };
    (1..=99).for_each(|n| std::fs::create_dir(place.dir.path().join(name(n))).unwrap());
    let keyring = place.open().unwrap();
    assert_eq!(keyring.list().len(), 1);
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .generate(b"x", b"", b"AES", 1)
            .unwrap_err()
            .kind(),
        Kind::ReadOnly
    );
    assert_eq!(place.read().len(), whole.len() - 1, "nothing was cut");
    std::fs::remove_dir(place.dir.path().join(name(40))).unwrap();
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"x", b"", b"AES", 1)
        .unwrap();
    assert!(place.dir.path().join(name(40)).is_file());
}

/// What is wrong with a file is over when the file is lost: memory alone has the keys then, and may save them.
#[test]
fn a_lost_file_that_was_not_written_to_is_written_anew() {
    use std::os::unix::fs::PermissionsExt;
    let torn = || {
        let place = with_keys(3);
        let whole = place.read();
        place.write(&whole[..whole.len() - 1]);
        std::fs::remove_file(place.marker_file()).unwrap();
        let name = |n: u32| match n {
            1 => "keyring.ward.torn-1-2".to_string(),
            n => format!("keyring.ward.torn-1-2.{n}"),
        };
        (1..=99).for_each(|n| std::fs::create_dir(place.dir.path().join(name(n))).unwrap());
        place
    };
    let not_writable = || {
        let place = with_keys(2);
        let mode = PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(place.keyring_file(), mode).unwrap();
        place
    };
    for (place, how) in [
        (torn(), "reload"),
        (torn(), "compact"),
        (not_writable(), "reload"),
    ] {
        let mut keyring = place.open().unwrap();
        let keys = content(&keyring);
        assert_eq!(keys.len(), 2);
        for refused in [
            keyring.by(&Caller::Unknown).compact(),
            keyring.by(&Caller::Unknown).remove(b"key0", b"u@h"),
        ] {
            assert_eq!(refused.unwrap_err().kind(), Kind::ReadOnly);
        }
        std::fs::remove_file(place.keyring_file()).unwrap();
        match how {
            "reload" => keyring = keyring.reload(&place.config(), &place.server()).unwrap(),
            _ => keyring.by(&Caller::Unknown).compact().unwrap(),
        }
        assert_eq!(content(&keyring), keys);
        assert!(keyring.status().store.refusing.is_none());
        keyring
            .by(&Caller::Unknown)
            .generate(b"x", b"", b"AES", 1)
            .unwrap();
        drop(keyring);
        assert_eq!(place.open().unwrap().list().len(), 3, "{how}");
    }
}

#[test]
fn every_flipped_bit_is_noticed_and_nothing_is_changed() {
    let place = with_keys(2);
    let good = place.read();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        place.write(&bad);
        match place.open() {
            Err(e) => assert_eq!(e.kind(), Kind::Tampered, "bit {bit}: {e}"),
            Ok(_) => panic!("bit {bit} (byte {}) went unnoticed", bit / 8),
        }
        assert_eq!(place.read(), bad, "bit {bit}: the file was changed");
    }
    place.write(&good);
    assert_eq!(place.open().unwrap().list().len(), 2);
}

#[test]
fn unwritten_sectors_of_the_last_record_are_torn_of_others_tampered() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let store = |name: &[u8]| {
        let material = [0x11; 4000];
        keyring
            .by(&Caller::Unknown)
            .store_key(name, b"", b"SECRET", &material)
            .unwrap();
    };
    store(b"a");
    let first = place.marked().unwrap();
    store(b"b");
    let second = place.marked().unwrap();
    drop(keyring);
    let good = place.read();
    let record = good.windows(4).rposition(|w| w == b"KWF\x01").unwrap();
    for sector in 1..good.len() / 512 {
        let mut torn = good.clone();
        torn[sector * 512..(sector + 1) * 512].fill(0);
        // Only the part of the last record that this sector holds was not written.
        let boundary = sector * 512 <= record && record < (sector + 1) * 512;
        if boundary {
            torn[sector * 512..record].copy_from_slice(&good[sector * 512..record]);
        }
        // Before the power cut the marker had not been written since the first record.
        place.write_marker_of_an_earlier_boot(&first);
        place.write(&torn);
        let opened = place.open();
        if (sector + 1) * 512 > record {
            assert_eq!(opened.unwrap().list().len(), 1, "sector {sector}");
        } else {
            let e = opened.map(drop).unwrap_err();
            assert_eq!(e.kind(), Kind::Tampered, "sector {sector}");
            assert_eq!(place.read(), torn);
        }
        // It knows the second one: nothing is cut, power cut or not.
        place.write_marker_of_an_earlier_boot(&second);
        place.write(&torn);
        let e = place.open().map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Tampered, "sector {sector}");
        assert_eq!(place.read(), torn);
    }
    // Nothing of the last record was written, only the file system knew its length. More than a block of zeroes
    // could be several records; one small record could not.
    let mut zero = good.clone();
    zero[record..].fill(0);
    place.write_marker_of_an_earlier_boot(&first);
    place.write(&zero);
    assert_eq!(place.open().map(drop).unwrap_err().kind(), Kind::Tampered);
    place.write(&zero[..record + 145]);
    assert_eq!(place.open().unwrap().list().len(), 1);
    for swallowed in [2, 3, 16, 28] {
        place.write_marker_of_an_earlier_boot(&first);
        place.write(&zero[..record + swallowed * 145]);
        let e = place.open().map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Tampered, "{swallowed} records");
    }
}

#[test]
fn the_marker_notices_a_missing_and_a_foreign_file() {
    let place = with_keys(1);
    let own = place.read();
    std::fs::remove_file(place.keyring_file()).unwrap();
    let e = place.open().map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    assert!(e.to_string().contains("reset-marker --datadir"), "{e}");
    let other = with_keys(1);
    place.write(&other.read());
    let e = place.open().map(drop).unwrap_err();
    assert!(
        e.to_string().contains("not the keyring that belongs"),
        "{e}"
    );
    place.write(&own);
    place.open().unwrap();
    std::fs::remove_file(place.keyring_file()).unwrap();
    keyring_ward::admin::marker::reset(&place.data_dir()).unwrap();
    assert!(place.open().unwrap().list().is_empty());
}

#[test]
fn compaction_drops_the_dead_and_keeps_the_living() {
    let place = with_keys(3);
    let keyring = place.open().unwrap();
    let before = content(&keyring);
    for i in 0..40 {
        keyring
            .by(&Caller::Unknown)
            .store_key(format!("t{i}").as_bytes(), b"", b"SECRET", &[7; 16_000])
            .unwrap();
    }
    let inode =
        |p: &Place| std::os::unix::fs::MetadataExt::ino(&p.keyring_file().metadata().unwrap());
    let first = inode(&place);
    for round in 0..2 {
        for i in 0..40 {
            keyring
                .by(&Caller::Unknown)
                .remove(format!("t{i}").as_bytes(), b"")
                .unwrap();
            if round == 0 {
                keyring
                    .by(&Caller::Unknown)
                    .store_key(format!("t{i}").as_bytes(), b"", b"SECRET", &[8; 16_000])
                    .unwrap();
            }
        }
    }
    assert_ne!(inode(&place), first, "a rewrite took place");
    assert!(keyring.status().store.generation > 1);
    assert!(place.read().len() < 1_200_000);
    assert_eq!(content(&keyring), before);
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert!(place.read().len() < 2000);
    keyring
        .by(&Caller::Unknown)
        .generate(b"after", b"", b"AES", 32)
        .unwrap();
    let now = content(&keyring);
    drop(keyring);
    assert_eq!(content(&place.open().unwrap()), now);
    assert!(!place.dir.path().join("keyring.ward.new").exists());
}

#[test]
fn a_stale_temporary_is_swept() {
    let place = with_keys(1);
    let stale = place.dir.path().join("keyring.ward.new");
    std::fs::write(&stale, b"half a rewrite").unwrap();
    place.open().unwrap();
    assert!(!stale.exists());
}

/// Beside a keyring that does not open the left-over may be the last whole copy: it stays, whoever opens it for whatever.
#[test]
fn nothing_is_swept_before_the_keyring_was_found_good() {
    let rescue = |place: &Place| place.dir.path().join("keyring.ward.new");
    type Damage = fn(&Place, &[u8]);
    let damages: [(&str, Damage); 6] = [
        ("cut", |p, whole| p.write(&whole[..whole.len() - 200])),
        ("changed", |p, whole| {
            let mut bad = whole.to_vec();
            bad[whole.len() / 2] ^= 1;
            p.write(&bad);
        }),
        ("empty", |p, _| p.write(b"")),
        ("older", |p, whole| p.write(&whole[..whole.len() - 129])),
        ("another's", |p, _| p.write(&with_keys(1).read())),
        ("under another KEK", |p, _| {
            common::write_secret(&p.key_file(), &[1; 32]);
        }),
    ];
    for (what, damage) in damages {
        let place = with_keys(5);
        let whole = place.read();
        let kek = std::fs::read(place.key_file()).unwrap();
        common::write_secret(&rescue(&place), &whole);
        damage(&place, &whole);
        let e = place.open().map(drop).unwrap_err();
        let there = std::fs::read(rescue(&place)).unwrap_or_default();
        assert_eq!(there, whole, "{what}: {e}");
        std::fs::rename(rescue(&place), place.keyring_file()).unwrap();
        common::write_secret(&place.key_file(), &kek);
        assert_eq!(place.open().unwrap().len(), 5, "{what}: nothing is lost");
    }
}

/// What can't be swept is named, and is not taken for a file in the keyring's own place.
#[test]
fn a_folder_in_the_way_of_a_rewrite() {
    let place = with_keys(1);
    let keyring = place.open().unwrap();
    let way = place.dir.path().join("keyring.ward.new");
    std::fs::create_dir(&way).unwrap();
    let e = keyring.by(&Caller::Unknown).compact().unwrap_err();
    assert_eq!(e.kind(), Kind::Io);
    assert!(e.to_string().contains("Move it away."), "{e}");
    assert!(!e.to_string().contains("RELOAD"), "{e}");
    assert!(way.is_dir(), "it was not touched");
    keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"", b"AES", 32)
        .unwrap();
    std::fs::remove_dir(&way).unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
}

/// Behind the rename nothing may fail but the folder's sync: a folder that can't be opened (its mode, no descriptor
/// left) is found before it.
#[test]
fn a_folder_that_can_not_be_opened_refuses_a_rewrite_and_no_write() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let place = with_keys(2);
    let keyring = place.open().unwrap();
    let root = keyring_ward::os::identity::effective_uid() == 0;
    if root {
        for entry in std::fs::read_dir(place.dir.path()).unwrap() {
            chown(entry.unwrap().path(), Some(12345), None).unwrap();
        }
        chown(place.dir.path(), Some(12345), None).unwrap();
    }
    let before = place.read();
    let mode = |mode| {
        let mode = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.dir.path(), mode).unwrap();
    };
    mode(0o300);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if root {
                // SAFETY: it changes whose rights this thread has to files, and nothing else.
                unsafe { libc::syscall(libc::SYS_setfsuid, 12345) };
            }
            let e = keyring.by(&Caller::Unknown).compact().unwrap_err();
            assert_eq!(e.kind(), Kind::Permission, "{e}");
            assert!(e.to_string().contains("Nothing was changed."), "{e}");
            assert_eq!(keyring.status().store.refusing, None);
            assert_eq!(place.read(), before);
            keyring
                .by(&Caller::Unknown)
                .generate(b"later", b"u@h", b"AES", 32)
                .unwrap();
        });
        thread.join().unwrap();
    });
    mode(0o700);
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert_eq!(keyring.list().len(), 3);
}

#[test]
fn an_interrupted_rescue_is_no_stale_temporary() {
    let place = with_keys(2);
    let (lost, rescue) = (
        place.keyring_file(),
        place.dir.path().join("keyring.ward.new"),
    );
    // The file was lost, a rewrite from memory was complete, and the crash came before the rename.
    std::fs::rename(&lost, &rescue).unwrap();
    let e = place.open().map(drop).unwrap_err();
    assert!(e.to_string().contains("may be the whole keyring"), "{e}");
    assert!(rescue.exists(), "the only copy of the keys is not swept");
    // Even where the operator begins anew, it is kept.
    let whole = std::fs::read(&rescue).unwrap();
    keyring_ward::admin::marker::reset(&place.data_dir()).unwrap();
    let anew = place.open().unwrap();
    anew.by(&Caller::Unknown)
        .generate(b"x", b"", b"AES", 32)
        .unwrap();
    drop(anew);
    let kept = std::fs::read_dir(place.dir.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().contains(".new.left-"))
        .unwrap();
    assert_eq!(std::fs::read(&kept).unwrap(), whole);
    keyring_ward::admin::marker::reset(&place.data_dir()).unwrap();
    std::fs::rename(&kept, &lost).unwrap();
    assert_eq!(place.open().unwrap().list().len(), 2);
}

#[test]
fn a_file_replaced_removed_or_written_under_a_running_server() {
    let place = with_keys(2);
    let older = place.read();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"new", b"", b"AES", 32)
        .unwrap();
    let mine = place.read();
    let refused = |what: &str| {
        let e = keyring
            .by(&Caller::Unknown)
            .generate(b"x", b"", b"AES", 32)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::ReadOnly, "{what}");
        assert!(e.to_string().contains(what), "{what}: {e}");
        assert_eq!(keyring.list().len(), 3, "reads go on");
        assert!(
            keyring.fetch(b"x", b"").unwrap().is_none(),
            "and nothing was published"
        );
    };
    // Restored from an older copy, as cp and mv do it: another inode.
    let aside = place.dir.path().join("aside");
    std::fs::rename(place.keyring_file(), &aside).unwrap();
    refused("is gone under the running server");
    place.write(&older);
    refused("was replaced under the running server");
    let e = keyring
        .reload(&place.config(), &place.server())
        .map(drop)
        .unwrap_err();
    assert!(e.to_string().contains("older copy"), "{e}");
    // The right file back: writes work again, without a reload.
    std::fs::rename(&aside, place.keyring_file()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"y", b"", b"AES", 32)
        .unwrap();
    // Somebody appends.
    let file = std::fs::File::options()
        .write(true)
        .open(place.keyring_file())
        .unwrap();
    let len = place.read().len() as u64;
    file.write_all_at(b"junk", len).unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"z", b"", b"AES", 32)
        .unwrap_err();
    assert!(e.to_string().contains("somebody else"), "{e}");
    file.set_len(len).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"z", b"", b"AES", 32)
        .unwrap();
    // The lock file removed.
    std::fs::remove_file(place.dir.path().join("keyring.ward.lock")).unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"w", b"", b"AES", 32)
        .unwrap_err();
    assert!(e.to_string().contains("lock file"), "{e}");
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"w", b"", b"AES", 32)
        .unwrap();
    assert!(place.read().len() > mine.len());
}

/// `cp` keeps the inode, and as records are padded, another file of the same length is nothing rare: the last bytes
/// tell that it is not ours.
#[test]
fn another_file_of_the_same_length_is_not_written_to() {
    let refused = |keyring: &Keyring, place: &Place, foreign: &[u8]| {
        let keys = content(keyring);
        for result in [
            keyring
                .by(&Caller::Unknown)
                .generate(b"refused", b"u@h", b"AES", 32),
            keyring.by(&Caller::Unknown).remove(b"key0", b"u@h"),
            keyring.by(&Caller::Unknown).compact(),
            keyring
                .by(&Caller::Unknown)
                .rekey(&place.config().keks, false),
        ] {
            let e = result.unwrap_err();
            assert_eq!(e.kind(), Kind::ReadOnly);
            assert!(e.to_string().contains("was replaced under the"), "{e}");
        }
        assert_eq!(place.read(), foreign, "nothing was written");
        assert_eq!(content(keyring), keys);
    };
    // Two servers from copies of one keyring, a key more in each, and one's file written over the other's.
    let (ours, theirs) = (with_keys(3), Place::new());
    std::fs::copy(ours.key_file(), theirs.key_file()).unwrap();
    theirs.write(&ours.read());
    let (a, b) = (ours.open().unwrap(), theirs.open().unwrap());
    a.by(&Caller::Unknown)
        .generate(b"key3", b"u@h", b"AES", 32)
        .unwrap();
    b.by(&Caller::Unknown)
        .generate(b"key3", b"u@h", b"AES", 32)
        .unwrap();
    let (own, foreign) = (ours.read(), theirs.read());
    assert_eq!(own.len(), foreign.len());
    ours.write(&foreign);
    refused(&a, &ours, &foreign);
    // Our own bytes are back: no reload is needed.
    ours.write(&own);
    a.by(&Caller::Unknown)
        .generate(b"later", b"u@h", b"AES", 32)
        .unwrap();
    // Lost: what is in its place goes, and memory writes it anew.
    b.by(&Caller::Unknown)
        .generate(b"later", b"u@h", b"AES", 32)
        .unwrap();
    let foreign = theirs.read();
    ours.write(&foreign);
    refused(&a, &ours, &foreign);
    std::fs::remove_file(ours.keyring_file()).unwrap();
    let keys = content(&a);
    let new = a.reload(&ours.config(), &ours.server()).unwrap();
    drop((a, new));
    assert_eq!(content(&ours.open().unwrap()), keys);

    // The copy of before a reseal, and of a keyring without a record the copy of before a rewrite.
    for keys in [3, 0] {
        let place = with_keys(keys);
        let keyring = place.open().unwrap();
        if keys == 0 {
            keyring.by(&Caller::Unknown).create_empty().unwrap();
        }
        // From here on a header has no more lineage than before.
        for _ in 0..64 {
            keyring
                .by(&Caller::Unknown)
                .rekey(&place.config().keks, false)
                .unwrap();
        }
        let before = place.read();
        keyring
            .by(&Caller::Unknown)
            .rekey(&place.config().keks, false)
            .unwrap();
        let after = place.read();
        assert_eq!(before.len(), after.len());
        place.write(&before);
        let refuses = |r: keyring_ward::error::Result<()>| r.unwrap_err().to_string();
        let e = refuses(
            keyring
                .by(&Caller::Unknown)
                .generate(b"later", b"u@h", b"AES", 32),
        );
        assert!(e.contains("was replaced under the"), "{e}");
        assert_eq!(place.read(), before);
        // Our own header and mark in another place are not ours either.
        let mut shifted = after.clone();
        shifted.rotate_left(1);
        place.write(&shifted);
        let e = refuses(keyring.by(&Caller::Unknown).compact());
        assert!(e.contains("was replaced under the"), "{e}");
        place.write(&after);
        keyring
            .by(&Caller::Unknown)
            .generate(b"later", b"u@h", b"AES", 32)
            .unwrap();
        drop(keyring);
        assert_eq!(place.open().unwrap().list().len(), keys + 1);
    }
}

/// The lock belongs to a path, the file may have several: one that is mounted by itself into two folders, or whose lock
/// file was removed.
#[test]
fn a_file_has_one_writer_whatever_its_path() {
    let place = with_keys(2);
    let lock = place.dir.path().join("keyring.ward.lock");
    let keyring = place.open().unwrap();
    let locked = |what: &str| {
        let e = place.open().map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Locked, "{what}: {e}");
        assert!(e.to_string().contains("itself is held by"), "{what}: {e}");
        // Readers need no lock.
        let mut look = place.server();
        look.look_only = true;
        Keyring::open(&place.config(), &look, &SecretPool::new()).unwrap();
    };
    std::fs::remove_file(&lock).unwrap();
    locked("as it was opened");
    // It goes to the store that a reload makes, and to the file that a rewrite makes.
    std::fs::remove_file(&lock).unwrap();
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    drop(keyring);
    std::fs::remove_file(&lock).unwrap();
    locked("after a reload");
    std::fs::remove_file(&lock).unwrap();
    let new = new.reload(&place.config(), &place.server()).unwrap();
    new.by(&Caller::Unknown).compact().unwrap();
    std::fs::remove_file(&lock).unwrap();
    locked("after a rewrite");
    drop(new);
    place.open().unwrap();
    // The first write makes the file.
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    std::fs::remove_file(place.dir.path().join("keyring.ward.lock")).unwrap();
    assert_eq!(place.open().map(drop).unwrap_err().kind(), Kind::Locked);
}

#[test]
fn one_file_in_two_folders_as_root() {
    if keyring_ward::os::identity::effective_uid() != 0 {
        common::left_out("only root can mount");
        return;
    }
    let (place, other) = (with_keys(2), Place::new());
    std::fs::copy(place.key_file(), other.key_file()).unwrap();
    common::write_secret(&other.keyring_file(), b"");
    let Some(to) = bind_mount(&place.keyring_file(), &other.keyring_file()) else {
        return;
    };
    let first = place.open().unwrap();
    let second = other.open().map(drop);
    let held = keyring_ward::store::lock::Lock::is_held(&other.keyring_file());
    drop(first);
    let after = other.open().map(|keyring| keyring.list().len());
    // SAFETY: as above.
    assert_eq!(unsafe { libc::umount2(to.as_ptr(), libc::MNT_DETACH) }, 0);
    let e = second.unwrap_err();
    assert_eq!(e.kind(), Kind::Locked);
    let me = format!("process {}", std::process::id());
    assert!(e.to_string().contains(&me), "{e}");
    assert_eq!(held.unwrap(), Some(me));
    assert_eq!(after.unwrap(), 2);
}

#[test]
fn a_lost_file_is_written_anew_from_memory_by_reload() {
    let place = with_keys(3);
    let keyring = place.open().unwrap();
    let before = content(&keyring);
    std::fs::remove_file(place.keyring_file()).unwrap();
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    drop(keyring);
    let keyring = new;
    assert_eq!(content(&keyring), before);
    keyring
        .by(&Caller::Unknown)
        .generate(b"after", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    assert_eq!(place.open().unwrap().list().len(), 4);
}

#[test]
fn a_lost_file_without_its_marker_is_another_keyrings_beginning() {
    let place = with_keys(3);
    let keyring = place.open().unwrap();
    std::fs::remove_file(place.keyring_file()).unwrap();
    let e = keyring_ward::admin::marker::reset(&place.data_dir()).unwrap_err();
    assert_eq!(e.kind(), Kind::Locked, "a server keeps it");
    std::fs::remove_file(place.marker_file()).unwrap();
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    assert!(new.list().is_empty());
    assert!(!place.keyring_file().exists());
}

/// Only a marker that was there and is gone says that another keyring shall begin. One that could never be made says
/// nothing: what is in memory is not given up for a file that was lost or exchanged, or for a wrong path.
#[test]
fn what_is_in_memory_is_not_given_up_because_there_never_was_a_marker() {
    let without_marker = || {
        let place = Place::new();
        // Something that does not go is in the way.
        std::fs::create_dir_all(place.data_dir().join("keyring_ward.marker.tmp/x")).unwrap();
        let keyring = place.open().unwrap();
        for name in [b"a", b"b", b"c"] {
            keyring
                .by(&Caller::Unknown)
                .generate(name, b"u@h", b"AES", 32)
                .unwrap();
        }
        assert_eq!(keyring.take_warnings().len(), 1, "it is said");
        assert!(place.marked().is_none());
        (place, keyring)
    };
    let (place, keyring) = without_marker();
    std::fs::remove_file(place.keyring_file()).unwrap();
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(content(&new), content(&keyring), "lost: written anew");
    assert!(place.keyring_file().exists());

    let (place, keyring) = without_marker();
    let other = with_keys(2);
    std::fs::copy(place.key_file(), other.key_file()).unwrap();
    place.write(&other.read());
    let mut elsewhere = place.config();
    elsewhere.path = place.dir.path().join("typo.ward");
    for (what, config, says) in [
        (
            "exchanged",
            place.config(),
            "is not the keyring that this server's memory holds",
        ),
        (
            "a wrong path",
            elsewhere,
            "does not exist, but this server's memory holds",
        ),
    ] {
        let e = keyring.reload(&config, &place.server()).map(drop);
        let e = e.unwrap_err().to_string();
        assert!(
            e.contains(says) && e.contains("restart the server"),
            "{what}: {e}"
        );
        assert_eq!(keyring.len(), 3);
    }
    std::fs::remove_file(place.keyring_file()).unwrap();
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(content(&new), content(&keyring), "what the sentence tells");
    // A data directory that is not to be seen is not one without a marker.
    let place = with_keys(3);
    let keyring = place.open().unwrap();
    std::fs::rename(place.data_dir(), place.dir.path().join("away")).unwrap();
    std::fs::remove_file(place.keyring_file()).unwrap();
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(
        content(&new),
        content(&keyring),
        "the data directory is away"
    );
}

#[test]
fn a_failed_reload_keeps_the_keyring_that_works() {
    let place = with_keys(2);
    let keyring = place.open().unwrap();
    let key = std::fs::read(place.key_file()).unwrap();
    common::write_secret(&place.key_file(), &[0; 32]);
    let e = keyring
        .reload(&place.config(), &place.server())
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::WrongKek);
    keyring
        .by(&Caller::Unknown)
        .generate(b"still", b"", b"AES", 32)
        .unwrap();
    common::write_secret(&place.key_file(), &key);
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"late", b"", b"AES", 32)
        .unwrap_err();
    assert_eq!(
        e.kind(),
        Kind::ReadOnly,
        "the replaced keyring writes no more"
    );
    drop(keyring);
    assert_eq!(new.list().len(), 3);
    new.by(&Caller::Unknown)
        .generate(b"again", b"", b"AES", 32)
        .unwrap();
    assert_eq!(
        place.open().map(drop).unwrap_err().kind(),
        Kind::Locked,
        "the lock was handed over"
    );
}

#[test]
fn a_pinned_fingerprint_admits_one_dek() {
    let place = with_keys(1);
    let fingerprint = place.open().unwrap().status().store.fingerprint;
    let mut config = place.config();
    config.fingerprint = fingerprint.into_iter().collect();
    Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    config.fingerprint = vec![[0; 16]];
    let e = Keyring::open(&config, &place.server(), &SecretPool::new())
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::WrongKek);
}

#[test]
fn bad_places() {
    let place = Place::new();
    let mut config = place.config();
    config.path = place.dir.path().join("missing/keyring.ward");
    let open = |config: &_| Keyring::open(config, &place.server(), &SecretPool::new()).map(drop);
    let e = open(&config).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    assert!(e.to_string().contains("Create the folder"), "{e}");
    config.path = place.data_dir();
    let e = open(&config).unwrap_err();
    assert!(e.to_string().contains("folder"), "{e}");
    let link = place.dir.path().join("link");
    std::os::unix::fs::symlink(place.key_file(), &link).unwrap();
    config.path = link;
    let e = open(&config).unwrap_err();
    assert!(e.to_string().contains("symbolic link"), "{e}");
}

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Op {
        Generate(u8, u16),
        Store(u8, Vec<u8>),
        Remove(u8),
        Reopen,
        Reload,
        Compact,
        /// Cut the file within the last record, as a crash before the acknowledgement would.
        Tear,
        /// All attributes of a key: a tag and so many bytes; 0: none.
        Attributes(u8, u8, u16),
        /// A document of so many bytes; 0: it goes.
        Document(u8, u16),
        /// A new DEK, or the same.
        Rekey(bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u8..12, 1u16..300).prop_map(|(k, l)| Op::Generate(k, l)),
            4 => (0u8..12, prop::collection::vec(any::<u8>(), 1..200)).prop_map(|(k, m)| Op::Store(k, m)),
            4 => (0u8..12).prop_map(Op::Remove),
            1 => Just(Op::Reopen),
            1 => Just(Op::Reload),
            1 => Just(Op::Compact),
            1 => Just(Op::Tear),
            // The first three tags have a form of their own.
            4 => (0u8..12, 4u8..128, prop_oneof![Just(0), 1u16..3000]).prop_map(|(k, t, l)| Op::Attributes(k, t, l)),
            3 => (0u8..4, prop_oneof![Just(0), any::<u16>()]).prop_map(|(d, l)| Op::Document(d, l)),
            1 => any::<bool>().prop_map(Op::Rekey),
        ]
    }

    fn noted(tag: u8, length: u16) -> Extensions {
        let entry = (length > 0).then(|| (tag, vec![tag; length.into()]));
        Extensions::new(entry).unwrap()
    }

    /// Attributes and documents, as the keyring has them.
    type Notes = (BTreeMap<Vec<u8>, Extensions>, BTreeMap<u8, Vec<u8>>);

    fn notes(keyring: &Keyring) -> Notes {
        let keys = keyring
            .list()
            .into_iter()
            .filter(|k| !k.attributes().is_empty());
        let documents = (0..4).filter_map(|d| {
            let document = keyring.document(&format!("document-{d}"))?;
            Some((d, document.content().to_vec()))
        });
        let attributes = keys.map(|k| (k.id.name().to_vec(), k.attributes().clone()));
        (attributes.collect(), documents.collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_keyring_is_a_map(ops in prop::collection::vec(op(), 1..60)) {
            let place = Place::new();
            let mut keyring = place.open().unwrap();
            let mut map: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
            let mut beside = Notes::default();
            for op in ops {
                match op {
                    Op::Generate(k, length) => {
                        let done = keyring.by(&Caller::Unknown).generate(&[k + 1], b"o", b"AES", length.into());
                        prop_assert_eq!(done.is_ok(), !map.contains_key(&vec![k + 1]));
                        if done.is_ok() {
                            let key = keyring.fetch(&[k + 1], b"o").unwrap().unwrap();
                            prop_assert_eq!(key.length(), usize::from(length));
                            map.insert(vec![k + 1], key.material().to_vec());
                        }
                    }
                    Op::Store(k, material) => {
                        let done = keyring.by(&Caller::Unknown).store_key(&[k + 1], b"o", b"SECRET", &material);
                        prop_assert_eq!(done.is_ok(), !map.contains_key(&vec![k + 1]));
                        map.entry(vec![k + 1]).or_insert(material);
                    }
                    Op::Remove(k) => {
                        let done = keyring.by(&Caller::Unknown).remove(&[k + 1], b"o");
                        prop_assert_eq!(done.is_ok(), map.remove(&vec![k + 1]).is_some());
                        beside.0.remove(&vec![k + 1]);
                    }
                    Op::Attributes(k, tag, length) => {
                        let list = noted(tag, length);
                        let done = keyring.by(&Caller::Unknown).set_attributes(&[k + 1], b"o", list.clone());
                        prop_assert_eq!(done.is_ok(), map.contains_key(&vec![k + 1]));
                        match (done, length) {
                            (Err(_), _) => {}
                            (Ok(()), 0) => drop(beside.0.remove(&vec![k + 1])),
                            (Ok(()), _) => drop(beside.0.insert(vec![k + 1], list)),
                        }
                    }
                    Op::Document(d, length) => {
                        let content = vec![d; length.into()];
                        keyring.by(&Caller::Unknown).put_document(&format!("document-{d}"), &content).unwrap();
                        match length {
                            0 => drop(beside.1.remove(&d)),
                            _ => drop(beside.1.insert(d, content)),
                        }
                    }
                    Op::Rekey(keep_dek) => {
                        if keyring.status().store.exists {
                            keyring.by(&Caller::Unknown).rekey(&place.config().keks, keep_dek).unwrap();
                        }
                    }
                    Op::Reopen => {
                        drop(keyring);
                        keyring = place.open().unwrap();
                    }
                    Op::Reload => keyring = keyring.reload(&place.config(), &place.server()).unwrap(),
                    Op::Compact => {
                        if keyring.status().store.exists {
                            keyring.by(&Caller::Unknown).compact().unwrap();
                        }
                    }
                    Op::Tear => {
                        if !keyring.status().store.exists {
                            continue;
                        }
                        let acknowledged = place.read();
                        let marked = std::fs::read(place.marker_file()).unwrap();
                        let twin = keyring.by(&Caller::Unknown).generate(b"unacknowledged", b"", b"AES", 40);
                        prop_assert!(twin.is_ok());
                        let whole = place.read();
                        drop(keyring);
                        place.write(&whole[..(acknowledged.len() + whole.len()) / 2]);
                        std::fs::write(place.marker_file(), marked).unwrap();
                        keyring = place.open().unwrap();
                    }
                }
                prop_assert_eq!(&notes(&keyring), &beside);
                let now: BTreeMap<_, _> = content(&keyring).into_iter().map(|(n, _, m)| (n, m)).collect();
                prop_assert_eq!(&now, &map);
            }
            place.check_bytes(&keyring);
            prop_assert_eq!(&notes(&keyring), &beside);
            drop(keyring);
            let keyring = place.open().unwrap();
            place.check_bytes(&keyring);
            prop_assert_eq!(&notes(&keyring), &beside);
        }
    }
}

fn noted(tag: u8, bytes: &[u8]) -> Extensions {
    Extensions::new([(tag, bytes.to_vec())]).unwrap()
}

/// Attributes belong to a key and go with it; who only says who asked removes them.
#[test]
fn attributes_come_and_go_with_their_key() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k", b"u@h", noted(5, b"x"))
        .unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    assert!(!place.keyring_file().exists(), "nothing was written");
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"u@h", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"", b"AES", 32)
        .unwrap();
    let of = |keyring: &Keyring, name: &[u8], owner: &[u8]| {
        let key = keyring.fetch(name, owner).unwrap();
        key.map(|key| (key.attributes().clone(), key.material().to_vec()))
    };
    let (_, secret) = of(&keyring, b"k", b"u@h").unwrap();
    // Nothing is written where there is nothing to remove.
    let before = place.read();
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k", b"u@h", Extensions::default())
        .unwrap();
    assert_eq!(place.read(), before);
    for list in [noted(5, b"x"), noted(6, &[1; 16_381])] {
        keyring
            .by(&Caller::Unknown)
            .set_attributes(b"k", b"u@h", list.clone())
            .unwrap();
        assert_eq!(of(&keyring, b"k", b"u@h"), Some((list, secret.clone())));
    }
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"l", b"", noted(5, b"x"))
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"l", b"", noted(ACTOR, &[b'a'; 255]))
        .unwrap();
    assert!(of(&keyring, b"l", b"").unwrap().0.is_empty());
    // What a RELOAD reads is what was written; what was removed does not come back with a new key of that name.
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(
        of(&new, b"k", b"u@h"),
        Some((noted(6, &[1; 16_381]), secret))
    );
    assert!(of(&new, b"l", b"").unwrap().0.is_empty());
    new.by(&Caller::Unknown).remove(b"k", b"u@h").unwrap();
    new.by(&Caller::Unknown)
        .generate(b"k", b"u@h", b"AES", 32)
        .unwrap();
    assert!(of(&new, b"k", b"u@h").unwrap().0.is_empty());
    drop((keyring, new));
    assert!(
        of(&place.open().unwrap(), b"k", b"u@h")
            .unwrap()
            .0
            .is_empty()
    );
}

/// A document may be the first thing that a keyring holds, and is replaced as a whole.
#[test]
fn documents_of_our_own() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .put_document("audit", b"")
        .unwrap();
    assert!(!place.keyring_file().exists(), "there was none to remove");
    let read = |keyring: &Keyring, name| keyring.document(name).map(|d| d.content().to_vec());
    keyring
        .by(&Caller::Unknown)
        .put_document("audit", &[1; 65_536])
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .put_document("audit", b"2")
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .put_document("escrow", b"3")
        .unwrap();
    for (name, content) in [("", &b"x"[..]), ("a b", b"x"), ("audit", &[0; 65_537])] {
        let e = keyring
            .by(&Caller::Unknown)
            .put_document(name, content)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput, "{name}");
    }
    assert!(keyring.is_empty(), "documents are no keys");
    let new = keyring.reload(&place.config(), &place.server()).unwrap();
    new.by(&Caller::Unknown).compact().unwrap();
    new.by(&Caller::Unknown)
        .put_document("escrow", b"")
        .unwrap();
    drop((keyring, new));
    let keyring = place.open().unwrap();
    assert_eq!(read(&keyring, "audit"), Some(b"2".to_vec()));
    assert_eq!(read(&keyring, "escrow"), None);
}

/// Reown and an import bring along what is known of a key; a new owner that has the key already gets what it lacks.
#[test]
fn attributes_move_with_a_key() {
    use keyring_ward::admin::edit::{Moving, reown};
    use keyring_ward::admin::import::{Source, import};
    let place = Place::new();
    let keyring = place.open().unwrap();
    for name in [b"k", b"l"] {
        keyring
            .by(&Caller::Unknown)
            .generate(name, b"u@h", b"AES", 32)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .set_attributes(name, b"u@h", noted(7, name))
            .unwrap();
    }
    // As an interrupted run leaves it: the key is there, its attributes are not.
    let key = keyring.fetch(b"l", b"u@h").unwrap().unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"l", b"v@h", b"AES", key.material())
        .unwrap();
    drop((key, keyring));
    // A keyring that is full is no obstacle.
    let mut full = place.config();
    full.limits.total = 1;
    reown(&full, b"u@h", b"v@h", Moving::default()).unwrap();
    let check = |place: &Place| {
        let keyring = place.open().unwrap();
        assert_eq!(keyring.len(), 2);
        for name in [b"k", b"l"] {
            let key = keyring.fetch(name, b"v@h").unwrap().unwrap();
            assert_eq!(key.attributes(), &noted(7, name));
        }
    };
    check(&place);
    let other = Place::new();
    import(
        &other.config(),
        &Source::Ward(&place.config()),
        false,
        &mut |_, _| {},
    )
    .unwrap();
    check(&other);
}

/// Attributes count as their key does, documents as the server's own; what goes makes room, and going always fits.
#[test]
fn attributes_and_documents_are_bounded() {
    let place = Place::new();
    let mut config = place.config();
    config.limits.per_owner = 2000;
    config.limits.total = 20_000;
    config.limits.reserve = 10_000;
    let keyring = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"u@h", b"AES", 32)
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k", b"u@h", noted(5, &[0; 2000]))
        .unwrap_err();
    assert!(e.to_string().contains("max_owner_size"), "{e}");
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k", b"u@h", noted(5, &[0; 1300]))
        .unwrap();
    // The same again takes the place of the first.
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k", b"u@h", noted(6, &[0; 1300]))
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"u@h", b"AES", 400)
        .unwrap_err();
    assert!(e.to_string().contains("max_owner_size"), "{e}");
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k", b"u@h", Extensions::default())
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"u@h", b"AES", 400)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .put_document("a", &[0; 25_000])
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .put_document("b", &[0; 10_000])
        .unwrap_err();
    assert_eq!(e.kind(), Kind::ReadOnly);
    assert!(
        e.to_string().contains("full for the server's own keys"),
        "{e}"
    );
    keyring.by(&Caller::Unknown).put_document("a", b"").unwrap();
    keyring
        .by(&Caller::Unknown)
        .put_document("b", &[0; 10_000])
        .unwrap();
    drop(keyring);
    // What was counted is counted again after a start.
    let keyring = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    assert!(
        keyring
            .by(&Caller::Unknown)
            .put_document("a", &[0; 25_000])
            .is_err()
    );
    keyring.by(&Caller::Unknown).put_document("b", b"").unwrap();
    keyring
        .by(&Caller::Unknown)
        .put_document("a", &[0; 25_000])
        .unwrap();
    keyring.by(&Caller::Unknown).remove(b"k", b"u@h").unwrap();
}

/// A rewrite under another KEK: the same keys, the old KEK opens it no more, and the DEK is another
/// one unless it was to be kept.
#[test]
fn rekey_keeps_the_keys_and_changes_kek_and_dek() {
    use keyring_ward::kek::file::LocalConfig;
    use keyring_ward::secret_source::SecretRef;
    for keep_dek in [false, true] {
        let place = Place::new();
        let keyring = place.open().unwrap();
        let new_file = place.dir.path().join("new-kek");
        let new_kek = keyring_ward::config::KekList::from(LocalConfig::KeyFile(SecretRef::File(
            new_file.clone(),
        )));
        // Without a file there is nothing to rekey; without the new secret nothing changes.
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .rekey(&new_kek, keep_dek)
                .unwrap_err()
                .kind(),
            Kind::NotFound
        );
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"l", b"u@h", b"AES", 16)
            .unwrap();
        keyring.by(&Caller::Unknown).remove(b"l", b"u@h").unwrap();
        let before = place.read();
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .rekey(&new_kek, keep_dek)
                .unwrap_err()
                .kind(),
            Kind::NotFound
        );
        assert_eq!(place.read(), before);
        common::write_secret(&new_file, &[0x43; 40]);
        let (keys, old) = (content(&keyring), keyring.status().store);
        keyring
            .by(&Caller::Unknown)
            .rekey(&new_kek, keep_dek)
            .unwrap();
        let now = keyring.status().store;
        assert_eq!(
            (now.generation, now.file_id),
            (old.generation + 1, old.file_id)
        );
        assert_eq!(now.fingerprint == old.fingerprint, keep_dek);
        assert!(now.opened_by.contains("new-kek"), "{}", now.opened_by);
        // It goes on under the new KEK, rewrites included.
        keyring
            .by(&Caller::Unknown)
            .generate(b"m", b"", b"AES", 32)
            .unwrap();
        keyring.by(&Caller::Unknown).compact().unwrap();
        keyring.by(&Caller::Unknown).remove(b"m", b"").unwrap();
        assert_eq!(content(&keyring), keys);
        drop(keyring);
        assert_eq!(place.open().map(drop).unwrap_err().kind(), Kind::WrongKek);
        let mut config = place.config();
        config.keks = new_kek.clone();
        let keyring = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
        assert_eq!(content(&keyring), keys);
    }
}

/// What is dead is counted over a reopening as well, or the file would grow for ever.
#[test]
fn dead_records_are_counted_over_a_reopening() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let name = |i: usize| format!("k{i}").into_bytes();
    for i in 0..100 {
        let material = [i as u8; 16_384];
        keyring
            .by(&Caller::Unknown)
            .store_key(&name(i), b"", b"SECRET", &material)
            .unwrap();
    }
    (0..49).for_each(|i| keyring.by(&Caller::Unknown).remove(&name(i), b"").unwrap());
    assert_eq!(
        keyring.status().store.generation,
        1,
        "not enough is dead yet"
    );
    drop(keyring);
    let keyring = place.open().unwrap();
    // Behind 62 removals a MiB is dead, and more than is alive.
    (49..61).for_each(|i| keyring.by(&Caller::Unknown).remove(&name(i), b"").unwrap());
    assert_eq!(keyring.status().store.generation, 1);
    (61..65).for_each(|i| keyring.by(&Caller::Unknown).remove(&name(i), b"").unwrap());
    assert_eq!(keyring.status().store.generation, 2, "compacted");
    assert!(place.read().len() < 39 * 17_000);
    assert_eq!(keyring.list().len(), 35);
    // More than a MiB is dead, but more is alive: a rewrite does not pay.
    for i in 100..300 {
        let material = [i as u8; 16_384];
        keyring
            .by(&Caller::Unknown)
            .store_key(&name(i), b"", b"SECRET", &material)
            .unwrap();
    }
    (100..170).for_each(|i| keyring.by(&Caller::Unknown).remove(&name(i), b"").unwrap());
    drop(keyring);
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .remove(&name(170), b"")
        .unwrap();
    assert_eq!(keyring.status().store.generation, 2);
}

/// What is counted while writing is what is counted while reading, whatever was written.
#[test]
fn live_and_dead_bytes_are_the_same_after_a_reopening() {
    let place = Place::new();
    let counted = |keyring: &Keyring| {
        let s = keyring.status().store;
        (s.live_bytes, s.dead_bytes)
    };
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"a", b"", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"long-name", b"user@host", b"SECRET", 1000)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"c", b"u@h", b"RSA", 77)
        .unwrap();
    let (one, none) = counted(&keyring);
    assert!(one > 1100 && none == 0);
    keyring
        .by(&Caller::Unknown)
        .remove(b"long-name", b"user@host")
        .unwrap();
    keyring.by(&Caller::Unknown).remove(b"c", b"u@h").unwrap();
    let before = counted(&keyring);
    assert!(before.0 < one && before.1 > 1077);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(counted(&keyring), before);
    // Live, dead and the header are the whole file; the header then names one generation more.
    let header = place.read().len() as u64 - before.0 - before.1;
    let sequence = keyring.status().store.sequence;
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert_eq!(counted(&keyring), (before.0, 0));
    assert_eq!(place.read().len() as u64, header + 40 + before.0);
    // One number beyond the last is left out: a record whose sync failed may have carried it.
    assert_eq!(keyring.status().store.sequence, sequence + 1 + 1);
    // A key remembers the generation that it was made in.
    keyring
        .by(&Caller::Unknown)
        .generate(b"d", b"", b"AES", 32)
        .unwrap();
    let made = |name: &[u8]| keyring.fetch(name, b"").unwrap().unwrap().generation;
    assert_eq!((made(b"a"), made(b"d")), (1, 2));
    let now = counted(&keyring);
    drop(keyring);
    assert_eq!(counted(&place.open().unwrap()), now);
}

/// A RELOAD takes a file for this keyring's own only if it holds the last record that is in memory, or was
/// rewritten behind it.
#[test]
fn a_reload_knows_its_own_file_from_its_relatives() {
    /// Opens a copy of a keyring elsewhere, changes it, and gives the bytes.
    fn changed(place: &Place, f: impl FnOnce(&Keyring)) -> Vec<u8> {
        let other = Place::new();
        std::fs::copy(place.key_file(), other.key_file()).unwrap();
        other.write(&place.read());
        let keyring = other.open().unwrap();
        f(&keyring);
        drop(keyring);
        other.read()
    }
    let reload =
        |keyring: &Keyring, place: &Place| keyring.reload(&place.config(), &place.server());
    let place = with_keys(3);
    let keyring = place.open().unwrap();
    let forked = changed(&place, |k| {
        k.by(&Caller::Unknown)
            .generate(b"theirs", b"", b"AES", 32)
            .unwrap()
    });
    let compacted_before = changed(&place, |k| k.by(&Caller::Unknown).compact().unwrap());
    keyring
        .by(&Caller::Unknown)
        .generate(b"ours", b"", b"AES", 32)
        .unwrap();
    let own = place.read();
    let compacted_behind = changed(&place, |k| k.by(&Caller::Unknown).compact().unwrap());
    // As long and as new by its numbers, but with another last record.
    for (stranger, what) in [
        (&forked, "another branch"),
        (&compacted_before, "an older copy"),
    ] {
        place.write(stranger);
        let e = reload(&keyring, &place).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Tampered);
        let said = e.to_string();
        assert!(
            said.contains(what) && said.contains("Don't stop the server"),
            "{e}"
        );
        assert!(
            !said.contains("reset-marker"),
            "it would give the keys in memory up: {e}"
        );
    }
    place.write(&compacted_behind);
    let keyring = reload(&keyring, &place).unwrap();
    assert_eq!(
        (keyring.list().len(), keyring.status().store.generation),
        (4, 2)
    );
    // Two rewrites of the same file are two files.
    place.write(&own);
    let rewritten = changed(&place, |k| k.by(&Caller::Unknown).compact().unwrap());
    assert_ne!(rewritten, compacted_behind);
    place.write(&rewritten);
    let e = reload(&keyring, &place).map(drop).unwrap_err();
    assert!(e.to_string().contains("another branch"), "{e}");
}

#[test]
fn a_file_that_appears_before_the_first_write_is_not_touched() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    place.write(b"somebody else's");
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap_err();
    assert!(
        e.to_string()
            .contains("A file appeared in its place. It was not touched."),
        "{e}"
    );
    assert_eq!(place.read(), b"somebody else's");
    assert!(keyring.list().is_empty());
}

/// A rewrite keeps the owner, and a single file that is mounted by itself can't be rewritten: both need root.
#[test]
fn rewrites_as_root() {
    use std::os::unix::fs::MetadataExt;
    if keyring_ward::os::identity::effective_uid() != 0 {
        common::left_out("only root can change owners and mount");
        return;
    }
    let place = with_keys(2);
    std::os::unix::fs::chown(place.keyring_file(), Some(12345), Some(54321)).unwrap();
    let keyring = place.open().unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
    let meta = place.keyring_file().metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid()), (12345, 54321));
    drop(keyring);

    let Some(file) = bind_mount(&place.keyring_file(), &place.keyring_file()) else {
        return;
    };
    let keyring = place.open().unwrap();
    let refused = keyring
        .by(&Caller::Unknown)
        .compact()
        .unwrap_err()
        .to_string();
    // A rewrite that pays by itself is tried once, said in a warning, and the write itself is done.
    for i in 0..80 {
        let name = format!("t{i}").into_bytes();
        keyring
            .by(&Caller::Unknown)
            .store_key(&name, b"", b"SECRET", &[7; 16_384])
            .unwrap();
        keyring.by(&Caller::Unknown).remove(&name, b"").unwrap();
    }
    let warnings = keyring.take_warnings().join("\n");
    drop(keyring);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::umount(file.as_ptr()) }, 0);
    assert!(
        refused.contains("Mount the folder that holds it instead"),
        "{refused}"
    );
    assert!(warnings.contains("could not be compacted"), "{warnings}");
    assert_eq!(place.open().unwrap().list().len(), 2);
}

/// Nothing has authenticated a header whose DEK no KEK opens: its texts may not write lines into the log.
#[test]
fn texts_of_a_header_that_nobody_wrote_are_harmless() {
    use keyring_ward::format::stanza::Stanza;
    use keyring_ward::format::{
        features::Features,
        header::{Header, finish_header},
        lineage::Lineage,
    };
    let place = Place::new();
    let stanza = |provider: &str| Stanza {
        provider: provider.into(),
        mechanism: "m\n\u{1b}[2J".into(),
        key_ref: "r\n\u{1b}[2J".into(),
        holder: None,
        params: Vec::new(),
        commitment: [0; 32],
        blob: vec![0; 60],
    };
    let header = Header {
        features: Features::default(),
        file_id: [1; 16],
        generation: 1,
        base_sequence: 0,
        lineage: Lineage::default(),
        whole_to: 0,
        salt: [2; 32],
        written_at: 0,
        stanzas: vec![stanza("x\n2026 [Note] all is well\u{1b}[2J"), stanza("y")],
    };
    let bytes = finish_header(header.authenticated_bytes().unwrap(), &[3; 32]);
    common::write_secret(&place.keyring_file(), &bytes);
    let e = place.open().map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::WrongKek);
    let text = e.to_string();
    assert!(text.contains("'x 2026 [Note] all is well [2J', 'y'"), "{e}");
    assert!(!text.contains(char::is_control), "{e:?}");
}

/// An error that is found in the file names the file; a look does not ask for the marker.
#[test]
fn errors_name_the_file_and_a_look_ignores_the_marker() {
    let place = Place::new();
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    // A damaged marker is told, and healed.
    std::fs::write(place.marker_file(), b"damaged").unwrap();
    let keyring = place.open().unwrap();
    let warnings = keyring.take_warnings().join(" ");
    assert!(
        warnings.contains("keyring_ward.marker' is damaged"),
        "{warnings}"
    );
    assert_eq!(place.marked().unwrap().at.sequence, 1);
    drop(keyring);
    // One that can't be read is an error, for a look as well as for a server that asks for it.
    std::fs::remove_file(place.marker_file()).unwrap();
    std::fs::create_dir(place.marker_file()).unwrap();
    assert_eq!(place.open().map(drop).unwrap_err().kind(), Kind::Io);
    let mut look = place.server();
    look.look_only = true;
    look.data_dir = None;
    let keyring = Keyring::open(&place.config(), &look, &SecretPool::new()).unwrap();
    assert_eq!(keyring.list().len(), 1);
    std::fs::remove_dir(place.marker_file()).unwrap();
    common::write_secret(&place.key_file(), &[0x99; 32]);
    let e = place.open().map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::WrongKek);
    let file = place.keyring_file().display().to_string();
    assert!(e.to_string().contains(&file), "{e}");
}
