//! The life of logical keys and of retired ones, on a keyring file: what each change leaves, whatever breaks it off, and what a
//! program sees that knows nothing of versions.

#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use keyring_ward::caller::Caller;
use keyring_ward::error::Kind;
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::{DAY, State};
use keyring_ward::keyring::Keyring;
use keyring_ward::keyring::adopting::Adopting;
use keyring_ward::keyring::logical::Wanted;

const OWNER: &[u8] = b"app@%";
const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn id(name: &str) -> KeyId {
    KeyId::new(name.as_bytes(), OWNER).unwrap()
}

fn following() -> Wanted {
    Wanted {
        follow: true,
        rotate_every: Some(90),
        environment: "prod".into(),
        description: "for tests".into(),
        ..Wanted::default()
    }
}

/// What the stock functions see under a name: its material, nothing, or that it is kept back.
fn seen(keyring: &Keyring, name: &str) -> Option<Vec<u8>> {
    keyring
        .fetch(name.as_bytes(), OWNER)
        .unwrap()
        .map(|key| key.material().to_vec())
}

fn states(keyring: &Keyring, name: &str) -> Vec<(u32, State)> {
    let key = keyring.logical_key(&id(name)).unwrap();
    let versions = key.logical.versions.iter();
    versions.map(|v| (v.number, v.state)).collect()
}

/// The names that every list of keys shows.
fn names(keyring: &Keyring) -> Vec<String> {
    let mut names: Vec<_> = (keyring.list().iter())
        .map(|key| String::from_utf8(key.id.name().to_vec()).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn versions_are_keys_and_a_name_follows_only_where_it_was_made_so() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let plain = Wanted::default();
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("ssn"), b"AES", 32, &following())
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("iban"), b"AES", 16, &plain)
        .unwrap();
    let first = seen(&keyring, "ssn").unwrap();
    assert_eq!(seen(&keyring, "ssn@1").as_ref(), Some(&first));
    assert_eq!(first.len(), 32);
    assert_eq!(seen(&keyring, "iban"), None, "it does not follow");
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .rotate(&id("ssn"), true)
            .unwrap(),
        2
    );
    let second = seen(&keyring, "ssn").unwrap();
    assert_ne!(first, second);
    assert_eq!(seen(&keyring, "ssn@1"), Some(first));
    assert_eq!(seen(&keyring, "ssn@2").as_ref(), Some(&second));
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .rotate(&id("ssn"), false)
            .unwrap(),
        3
    );
    assert_eq!(
        seen(&keyring, "ssn").as_ref(),
        Some(&second),
        "3 is pending"
    );
    let e = keyring
        .by(&Caller::Unknown)
        .rotate(&id("ssn"), true)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::KeyState);
    keyring
        .by(&Caller::Unknown)
        .activate(&id("ssn"), 3)
        .unwrap();
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .activate(&id("ssn"), 3)
            .unwrap_err()
            .kind(),
        Kind::KeyState
    );
    assert_eq!(seen(&keyring, "ssn"), seen(&keyring, "ssn@3"));
    let all = [
        (1, State::Deactivated),
        (2, State::Deactivated),
        (3, State::Active),
    ];
    assert_eq!(states(&keyring, "ssn"), all);
    // Lists show versions, never the name that follows.
    assert_eq!(names(&keyring), ["iban@1", "ssn@1", "ssn@2", "ssn@3"]);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(states(&keyring, "ssn"), all);
    keyring.by(&Caller::Unknown).compact().unwrap();
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(states(&keyring, "ssn"), all);
    let key = keyring.logical_key(&id("ssn@2")).unwrap();
    assert_eq!((key.id, key.logical.rotate_every), (id("ssn"), Some(90)));
}

#[test]
fn names_of_logical_keys_and_of_versions_are_taken() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"x@7", OWNER, b"AES", 32)
        .unwrap();
    let wanted = Wanted::default();
    let create = |name: &str| {
        keyring
            .by(&Caller::Unknown)
            .create_logical(&id(name), b"AES", 32, &wanted)
    };
    assert_eq!(create("x").unwrap_err().kind(), Kind::AlreadyExists);
    assert_eq!(create("y@1").unwrap_err().kind(), Kind::InvalidInput);
    create("ssn").unwrap();
    for taken in ["ssn", "ssn@1", "ssn@2", "ssn@999"] {
        let e = keyring
            .by(&Caller::Unknown)
            .generate(taken.as_bytes(), OWNER, b"AES", 32)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::AlreadyExists, "{taken}");
        let e = keyring
            .by(&Caller::Unknown)
            .store_key(taken.as_bytes(), OWNER, b"AES", b"x")
            .unwrap_err();
        assert_eq!(e.kind(), Kind::AlreadyExists, "{taken}");
    }
    for kept in ["ssn", "ssn@1"] {
        let e = keyring
            .by(&Caller::Unknown)
            .remove(kept.as_bytes(), OWNER)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::KeyState, "{kept}: {e}");
    }
    // Other owners and other names are free.
    keyring
        .by(&Caller::Unknown)
        .generate(b"ssn", b"other@%", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"ssn@x", OWNER, b"AES", 32)
        .unwrap();
    assert_eq!(create("ssn").unwrap_err().kind(), Kind::AlreadyExists);
}

#[test]
fn a_plain_key_that_is_adopted_answers_its_own_material() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"old", OWNER, b"AES", b"0123456789abcdef")
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &following())
        .unwrap_err();
    assert_eq!(e.kind(), Kind::InvalidInput, "it must not follow");
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap_err();
    assert_eq!(e.kind(), Kind::KeyState);
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .rotate(&id("old"), true)
            .unwrap(),
        2
    );
    for keyring in [&keyring, &place.look().unwrap()] {
        assert_eq!(
            seen(keyring, "old").as_deref(),
            Some(&b"0123456789abcdef"[..])
        );
        assert_eq!(seen(keyring, "old@2").unwrap().len(), 16);
        assert_eq!(names(keyring), ["old", "old@2"]);
    }
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .remove(b"old", OWNER)
            .unwrap_err()
            .kind(),
        Kind::KeyState
    );
}

#[test]
fn nothing_is_destroyed_before_its_day_or_while_it_is_held_and_it_can_be_brought_back() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let key = id("ssn");
    keyring
        .by(&Caller::Unknown)
        .create_logical(&key, b"AES", 32, &following())
        .unwrap();
    let first = seen(&keyring, "ssn").unwrap();
    keyring.by(&Caller::Unknown).rotate(&key, true).unwrap();
    let plan = |number, days| {
        keyring
            .by(&Caller::Unknown)
            .change_logical(&key, |l, now| l.schedule(number, days, now))
    };
    assert_eq!(
        plan(Some(2), 30).unwrap_err().kind(),
        Kind::KeyState,
        "current"
    );
    assert_eq!(plan(Some(1), 0).unwrap_err().kind(), Kind::InvalidInput);
    assert_eq!(plan(Some(9), 1).unwrap_err().kind(), Kind::NotFound);
    let destroy = |number| keyring.by(&Caller::Unknown).destroy_due(&key, number);
    assert_eq!(
        destroy(Some(1)).unwrap_err().kind(),
        Kind::KeyState,
        "not planned"
    );
    plan(Some(1), 30).unwrap();
    let e = destroy(Some(1)).unwrap_err();
    assert!(e.to_string().contains("is due on 20"), "{e}");
    assert_eq!(
        seen(&keyring, "ssn@1").as_ref(),
        Some(&first),
        "it opens until then"
    );
    keyring
        .by(&Caller::Unknown)
        .change_logical(&key, |l, _| l.cancel(Some(1)))
        .unwrap();
    // As if it had been planned long ago.
    let long_ago = |number| {
        keyring
            .by(&Caller::Unknown)
            .change_logical(&key, |l, now| l.schedule(number, 1, now - 2 * DAY))
    };
    long_ago(Some(1)).unwrap();
    let hold = |held: Option<&str>| {
        keyring.by(&Caller::Unknown).change_logical(&key, |l, _| {
            l.held = held.map(String::from);
            Ok(())
        })
    };
    hold(Some("case 7")).unwrap();
    let e = destroy(Some(1)).unwrap_err();
    assert!(
        e.kind() == Kind::KeyState && e.to_string().contains("case 7"),
        "{e}"
    );
    hold(None).unwrap();
    assert_eq!(destroy(Some(1)).unwrap(), [1]);
    assert_eq!(states(&keyring, "ssn")[0], (1, State::Destroyed));
    assert_eq!(seen(&keyring, "ssn@1"), None);
    assert_eq!(names(&keyring), ["ssn@2"]);
    let e = keyring
        .by(&Caller::Unknown)
        .generate(b"ssn@1", OWNER, b"AES", 32)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists, "its number is used once");
    for rewritten in [false, true] {
        let keyring = place.look().unwrap();
        let retired = keyring.retired();
        assert_eq!(
            (retired.len(), &retired[0].info.id),
            (1, &id("ssn@1")),
            "{rewritten}"
        );
        drop(keyring);
    }
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert!(
        keyring
            .by(&Caller::Unknown)
            .purge_retired(false)
            .unwrap()
            .is_empty(),
        "30 days are not over"
    );
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("ssn@1"), None)
        .unwrap();
    assert_eq!(seen(&keyring, "ssn@1"), Some(first));
    assert_eq!(states(&keyring, "ssn")[0], (1, State::Deactivated));
    assert!(keyring.retired().is_empty());
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .restore_retired(&id("ssn@1"), None)
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
    // All of it: the current one goes with the others or not at all.
    long_ago(None).unwrap();
    assert_eq!(destroy(None).unwrap(), [1, 2]);
    assert_eq!(
        keyring.logical_key(&key).unwrap_err().kind(),
        Kind::NotFound
    );
    assert!(keyring.is_empty());
    assert_eq!(keyring.retired().len(), 2);
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("ssn@2"), None)
        .unwrap();
    assert_eq!(
        states(&keyring, "ssn"),
        [(1, State::Destroyed), (2, State::Active)]
    );
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("ssn@1"), None)
        .unwrap();
    assert_eq!(
        states(&keyring, "ssn"),
        [(1, State::Deactivated), (2, State::Active)]
    );
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(
        states(&keyring, "ssn"),
        [(1, State::Deactivated), (2, State::Active)]
    );
}

#[test]
fn what_is_compromised_is_kept_back_and_never_called_absent() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let key = id("ssn");
    keyring
        .by(&Caller::Unknown)
        .create_logical(&key, b"AES", 32, &following())
        .unwrap();
    let compromise = |n| {
        keyring
            .by(&Caller::Unknown)
            .change_logical(&key, |l, now| l.compromise(n, now))
    };
    assert_eq!(compromise(1).unwrap_err().kind(), Kind::KeyState, "current");
    keyring.by(&Caller::Unknown).rotate(&key, true).unwrap();
    compromise(1).unwrap();
    for keyring in [&keyring, &place.look().unwrap()] {
        let e = keyring.fetch(b"ssn@1", OWNER).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::KeyState);
        assert!(e.to_string().contains("'ssn@1' of 'app@%'"), "{e}");
        assert!(seen(keyring, "ssn").is_some());
        assert!(keyring.read_key(b"ssn@1", OWNER).unwrap().is_some());
    }
}

#[test]
fn only_temporary_keys_die_by_time() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let mut wanted = following();
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("lasting"), b"AES", 32, &wanted)
        .unwrap();
    wanted.expires = Some(1);
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("brief"), b"AES", 32, &wanted)
        .unwrap();
    for name in [&b"brief"[..], b"brief@1"] {
        let e = keyring.fetch(name, OWNER).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::KeyState);
    }
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("lasting"), |l, now| l.schedule(None, 1, now - 9 * DAY))
        .unwrap();
    assert_eq!(
        keyring.by(&Caller::Unknown).destroy_expired().unwrap(),
        [id("brief")]
    );
    assert_eq!(
        names(&keyring),
        ["lasting@1"],
        "due, and nobody has destroyed it"
    );
    assert!(
        keyring
            .by(&Caller::Unknown)
            .destroy_expired()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn keys_of_the_server_are_kept_when_they_are_removed() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let innodb = format!("INNODBKey-{UUID}-1");
    let binlog = format!("MySQLReplicationKey_{UUID}_1");
    let current = format!("MySQLReplicationKey_{UUID}");
    let own = |name: &str| KeyId::new(name.as_bytes(), b"").unwrap();
    let mut materials = Vec::new();
    for _ in 0..2 {
        for name in [&innodb, &binlog, &current] {
            keyring
                .by(&Caller::Unknown)
                .generate(name.as_bytes(), b"", b"AES", 32)
                .unwrap();
        }
        let key = keyring.fetch(innodb.as_bytes(), b"").unwrap().unwrap();
        materials.push(key.material().to_vec());
        drop(key);
        for name in [&innodb, &binlog, &current] {
            keyring
                .by(&Caller::Unknown)
                .remove(name.as_bytes(), b"")
                .unwrap();
            assert!(keyring.fetch(name.as_bytes(), b"").unwrap().is_none());
        }
    }
    let numbers = |keyring: &Keyring| -> Vec<_> {
        (keyring.retired().iter())
            .map(|r| (r.info.id.clone(), r.removal.number))
            .collect()
    };
    let all = [
        (own(&innodb), 1),
        (own(&innodb), 2),
        (own(&binlog), 1),
        (own(&binlog), 2),
    ];
    assert_eq!(numbers(&keyring), all);
    for compact in [false, true] {
        if compact {
            keyring.by(&Caller::Unknown).compact().unwrap();
        }
        assert_eq!(numbers(&place.look().unwrap()), all);
    }
    assert!(keyring.is_empty() && keyring.list().is_empty());
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&own(&innodb), Some(1))
        .unwrap();
    let key = keyring.fetch(innodb.as_bytes(), b"").unwrap().unwrap();
    assert_eq!(key.material(), materials[0]);
    let e = keyring
        .by(&Caller::Unknown)
        .restore_retired(&own(&innodb), Some(2))
        .unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists);
    assert_eq!(numbers(&keyring), all[1..]);
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .purge_retired(true)
            .unwrap()
            .len(),
        3
    );
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    assert!(numbers(&keyring).is_empty());
    // Where nothing is to be kept, nothing is.
    let mut config = place.config();
    config.limits.retain_removed = 0;
    let keyring = keyring.reload(&config, &place.server()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .remove(innodb.as_bytes(), b"")
        .unwrap();
    assert!(keyring.retired().is_empty());
}

/// Lists are taken in pieces: nothing falls between two, and their order is one.
#[test]
fn lists_of_more_than_a_piece_are_whole() {
    use keyring_ward::keyring::PIECE;
    let place = Place::new();
    let keyring = place.open().unwrap();
    let server = |n: usize| format!("INNODBKey-{UUID}-{n}");
    let plain = Wanted::default();
    for n in 0..PIECE + 2 {
        (keyring
            .by(&Caller::Unknown)
            .create_logical(&id(&format!("k{n}")), b"AES", 16, &plain))
        .unwrap();
        (keyring
            .by(&Caller::Unknown)
            .generate(server(n).as_bytes(), b"", b"AES", 32))
        .unwrap();
        keyring
            .by(&Caller::Unknown)
            .remove(server(n).as_bytes(), b"")
            .unwrap();
    }
    // Several removals of one name lie on both sides of a piece's end.
    for _ in 0..PIECE {
        (keyring
            .by(&Caller::Unknown)
            .generate(server(5).as_bytes(), b"", b"AES", 32))
        .unwrap();
        keyring
            .by(&Caller::Unknown)
            .remove(server(5).as_bytes(), b"")
            .unwrap();
    }
    let logical: Vec<KeyId> = keyring.logical_keys().into_iter().map(|k| k.id).collect();
    assert_eq!(logical.len(), PIECE + 2);
    assert!(logical.is_sorted_by(|a, b| a < b));
    let retired: Vec<_> = keyring.each_retired().collect();
    let order = |k: &keyring_ward::keyring::RetiredKey| (k.info.id.clone(), k.removal.number);
    assert_eq!(
        (retired.len(), keyring.retired_len()),
        (2 * PIECE + 2, 2 * PIECE + 2)
    );
    assert!(retired.is_sorted_by(|a, b| order(a) < order(b)));
    let five = KeyId::new(server(5).as_bytes(), b"").unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&five, None)
        .unwrap();
    assert_eq!(keyring.retired_len(), 2 * PIECE + 1);
}

/// What a migration is handed: all that is served, and nothing that its state keeps back.
#[test]
fn a_migration_hears_of_what_is_served() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("ssn"), b"AES", 32, &following())
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .rotate(&id("ssn"), true)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", OWNER, b"AES", 16)
        .unwrap();
    let compromise = |l: &mut keyring_ward::key::logical::Logical, now| l.compromise(1, now);
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("ssn"), compromise)
        .unwrap();
    let (served, kept_back) = keyring.list_served();
    let mut served: Vec<_> = served.iter().map(|k| k.id.name().to_vec()).collect();
    served.sort();
    assert_eq!(served, [&b"k"[..], b"ssn@2"]);
    assert_eq!(kept_back, [id("ssn@1")]);
}

#[test]
fn innodb_is_told_that_its_numbers_begin_again() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let innodb = format!("INNODBKey-{UUID}-1");
    keyring
        .by(&Caller::Unknown)
        .generate(innodb.as_bytes(), b"", b"AES", 32)
        .unwrap();
    keyring.take_warnings();
    let e = keyring
        .by(&Caller::Unknown)
        .generate(innodb.as_bytes(), b"", b"AES", 32)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists);
    let said = keyring.take_warnings().join(" ");
    assert!(
        said.contains("asked for a new master key and gets an old one"),
        "{said}"
    );
}

/// What is left of each change when it is broken off between two of its records: the state before or after it, and the same
/// again brings it to its end. No version is lost on the way.
#[test]
fn a_change_that_is_broken_off_is_brought_to_its_end_by_the_same_again() {
    type Step = (
        &'static str,
        fn(&Keyring) -> keyring_ward::error::Result<()>,
    );
    let steps: [Step; 13] = [
        ("create", |k| {
            k.by(&Caller::Unknown)
                .create_logical(&id("a"), b"AES", 32, &following())
        }),
        ("rotate", |k| {
            k.by(&Caller::Unknown).rotate(&id("a"), true).map(drop)
        }),
        ("rotate, pending", |k| {
            k.by(&Caller::Unknown).rotate(&id("a"), false).map(drop)
        }),
        ("plan 3", |k| {
            k.by(&Caller::Unknown)
                .change_logical(&id("a"), |l, now| l.schedule(Some(3), 1, now - 2 * DAY))
        }),
        ("destroy 3", |k| {
            k.by(&Caller::Unknown)
                .destroy_due(&id("a"), Some(3))
                .map(drop)
        }),
        ("restore 3", |k| {
            k.by(&Caller::Unknown).restore_retired(&id("a@3"), None)
        }),
        ("activate 3", |k| {
            match k.logical_key(&id("a"))?.logical.version(3).map(|v| v.state) {
                Some(State::Active) => Ok(()),
                // It was the newest, and comes back as what it can be.
                _ => k
                    .by(&Caller::Unknown)
                    .change_logical(&id("a"), |l, now| l.switch_to(3, now)),
            }
        }),
        ("hold", |k| {
            k.by(&Caller::Unknown).change_logical(&id("a"), |l, _| {
                l.held = Some("h".into());
                Ok(())
            })
        }),
        ("release", |k| {
            k.by(&Caller::Unknown).change_logical(&id("a"), |l, _| {
                l.held = None;
                Ok(())
            })
        }),
        ("plan all", |k| {
            k.by(&Caller::Unknown)
                .change_logical(&id("a"), |l, now| l.schedule(None, 1, now - 2 * DAY))
        }),
        ("destroy all", |k| match k.logical_key(&id("a")) {
            Ok(_) => k.by(&Caller::Unknown).destroy_due(&id("a"), None).map(drop),
            Err(_) => Ok(()),
        }),
        ("restore 2", |k| match k.fetch(b"a@2", OWNER)? {
            Some(_) if k.retired().len() < 3 => Ok(()),
            _ => k.by(&Caller::Unknown).restore_retired(&id("a@2"), None),
        }),
        ("purge", |k| {
            k.by(&Caller::Unknown).purge_retired(true).map(drop)
        }),
    ];
    let shape = |k: &Keyring| {
        let logical: Vec<_> = (k.logical_keys().iter())
            .map(|key| {
                let versions = key
                    .logical
                    .versions
                    .iter()
                    .map(|v| (v.number, v.state, v.destroy_at.is_some()));
                (key.logical.held.clone(), versions.collect::<Vec<_>>())
            })
            .collect();
        let retired: Vec<_> = k
            .retired()
            .iter()
            .map(|r| (r.info.id.clone(), r.removal.number))
            .collect();
        (names(k), logical, retired)
    };
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring.by(&Caller::Unknown).create_empty().unwrap();
    let mut records = 0;
    for (what, step) in steps {
        let (before, old) = (place.read(), shape(&keyring));
        step(&keyring).unwrap_or_else(|e| panic!("{what}: {e}"));
        let (after, new) = (place.read(), shape(&keyring));
        assert!(after.starts_with(&before) && old != new, "{what}");
        for end in before.len()..after.len() {
            let cut = Place::new();
            cut.write(&after[..end]);
            let looked = cut.look().unwrap();
            if looked.status().store.torn > 0 {
                continue;
            }
            records += 1;
            drop(looked);
            let again = cut.open().unwrap();
            step(&again)
                .unwrap_or_else(|e| panic!("{what}, broken off at {end} of {}: {e}", after.len()));
            assert_eq!(
                shape(&again),
                new,
                "{what}, broken off at {end} of {}",
                after.len()
            );
        }
    }
    assert!(
        records > steps.len(),
        "some changes have several records: {records}"
    );
}

mod any_order {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 2] = ["a", "b"];

    #[derive(Clone, Debug)]
    enum Op {
        Create(usize, bool),
        Store(usize),
        StoreAt(usize, u32),
        Adopt(usize),
        AdoptVersions(usize, u8),
        Rotate(usize, bool),
        Activate(usize, u32),
        Plan(usize, Option<u32>),
        Cancel(usize),
        Compromise(usize, u32),
        Destroy(usize, Option<u32>),
        Restore(usize, u32),
        Purge,
        ServersKey(bool),
        Compact,
        Reload,
    }

    fn op() -> impl Strategy<Value = Op> {
        let (name, number) = (0..NAMES.len(), 1..5u32);
        let some = prop::option::of(number.clone());
        prop_oneof![
            2 => (name.clone(), any::<bool>()).prop_map(|(n, f)| Op::Create(n, f)),
            1 => name.clone().prop_map(Op::Store),
            1 => (name.clone(), number.clone()).prop_map(|(n, v)| Op::StoreAt(n, v)),
            1 => name.clone().prop_map(Op::Adopt),
            2 => (name.clone(), 0..3u8).prop_map(|(n, id)| Op::AdoptVersions(n, id)),
            4 => (name.clone(), any::<bool>()).prop_map(|(n, s)| Op::Rotate(n, s)),
            2 => (name.clone(), number.clone()).prop_map(|(n, v)| Op::Activate(n, v)),
            3 => (name.clone(), some.clone()).prop_map(|(n, v)| Op::Plan(n, v)),
            1 => name.clone().prop_map(Op::Cancel),
            1 => (name.clone(), number.clone()).prop_map(|(n, v)| Op::Compromise(n, v)),
            3 => (name.clone(), some).prop_map(|(n, v)| Op::Destroy(n, v)),
            2 => (name, number).prop_map(|(n, v)| Op::Restore(n, v)),
            1 => Just(Op::Purge),
            2 => any::<bool>().prop_map(Op::ServersKey),
            1 => Just(Op::Compact),
            2 => Just(Op::Reload),
        ]
    }

    /// All that can be told of a keyring: keys with their material, logical keys, retired ones.
    fn all(keyring: &Keyring) -> impl PartialEq + std::fmt::Debug + use<> {
        let mut keys: Vec<_> = (keyring.list_with_material().unwrap().iter())
            .map(|key| (key.id.clone(), key.material().to_vec()))
            .collect();
        keys.sort();
        let logical: Vec<_> = (keyring.logical_keys().into_iter())
            .map(|key| (key.id, key.logical, key.made))
            .collect();
        let retired: Vec<_> = (keyring.retired().iter())
            .map(|key| {
                let whole = keyring
                    .retired_key(&key.info.id, key.removal.number)
                    .unwrap();
                (key.info.id.clone(), key.removal, whole.material().to_vec())
            })
            .collect();
        (keys, logical, retired)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
        /// Whatever was done, in whatever order: what a start reads is what memory held, no material is lost but by a purge,
        /// and bytes are counted exactly.
        #[test]
        fn a_start_reads_what_memory_held(ops in prop::collection::vec(op(), 1..50)) {
            let place = Place::new();
            let mut keyring = place.open().unwrap();
            keyring.by(&Caller::Unknown).create_empty().unwrap();
            let mut made: Vec<Vec<u8>> = Vec::new();
            let mut material = 0u64;
            let innodb = format!("INNODBKey-{UUID}-1");
            for op in ops {
                let mut fresh = || { material += 1; material.to_le_bytes().repeat(4) };
                // What is refused changes nothing, and most of these are refused.
                let before = all(&keyring);
                let done = match op.clone() {
                    Op::Create(n, follow) => keyring.by(&Caller::Unknown).create_logical(&id(NAMES[n]), b"AES", 32, &Wanted { follow, ..Wanted::default() }),
                    Op::Store(n) => keyring.by(&Caller::Unknown).store_key(NAMES[n].as_bytes(), OWNER, b"AES", &fresh()),
                    Op::StoreAt(n, v) => keyring.by(&Caller::Unknown).store_key(format!("{}@{v}", NAMES[n]).as_bytes(), OWNER, b"AES", &fresh()),
                    Op::Adopt(n) => keyring.by(&Caller::Unknown).adopt(&id(NAMES[n]), &Wanted::default()).map(drop),
                    Op::AdoptVersions(n, own) => {
                        let how = Adopting { id: (own > 0).then_some([own; 16]), versions: true, ..Adopting::default() };
                        keyring.by(&Caller::Unknown).adopt(&id(NAMES[n]), &how).map(drop)
                    }
                    Op::Rotate(n, switch) => keyring.by(&Caller::Unknown).rotate(&id(NAMES[n]), switch).map(drop),
                    Op::Activate(n, v) => keyring.by(&Caller::Unknown).activate(&id(NAMES[n]), v),
                    Op::Plan(n, v) => keyring.by(&Caller::Unknown).change_logical(&id(NAMES[n]), |l, now| l.schedule(v, 1, now - 2 * DAY)),
                    Op::Cancel(n) => keyring.by(&Caller::Unknown).change_logical(&id(NAMES[n]), |l, _| l.cancel(None)),
                    Op::Compromise(n, v) => keyring.by(&Caller::Unknown).change_logical(&id(NAMES[n]), |l, now| l.compromise(v, now)),
                    Op::Destroy(n, v) => keyring.by(&Caller::Unknown).destroy_due(&id(NAMES[n]), v).map(drop),
                    Op::Restore(n, v) => keyring.by(&Caller::Unknown).restore_retired(&id(&format!("{}@{v}", NAMES[n])), None),
                    Op::Purge => {
                        keyring.by(&Caller::Unknown).purge_retired(true).unwrap();
                        made.clear();
                        Ok(())
                    }
                    Op::ServersKey(true) => keyring.by(&Caller::Unknown).store_key(innodb.as_bytes(), b"", b"AES", &fresh()),
                    Op::ServersKey(false) => keyring.by(&Caller::Unknown).remove(innodb.as_bytes(), b""),
                    Op::Compact => keyring.by(&Caller::Unknown).compact(),
                    Op::Reload => {
                        keyring = keyring.reload(&place.config(), &place.server()).unwrap();
                        Ok(())
                    }
                };
                if done.is_err() || matches!(op, Op::Compact | Op::Reload) {
                    prop_assert_eq!(&all(&keyring), &before, "{:?}: {:?}", op, done);
                }
                prop_assert_eq!(all(&place.look().unwrap()), all(&keyring), "{:?}", op);
                let retired = keyring.retired();
                let retired = retired.iter().map(|r| keyring.retired_key(&r.info.id, r.removal.number).unwrap());
                let there: Vec<Vec<u8>> = keyring.list_with_material().unwrap().into_iter().chain(retired)
                    .map(|key| key.material().to_vec())
                    .collect();
                for lost in made.iter().filter(|m| !there.contains(m)) {
                    prop_assert!(false, "{:?} lost {:?}", op, lost);
                }
                made.extend(there);
                made.sort();
                made.dedup();
            }
            place.check_bytes(&keyring);
            prop_assert_eq!(all(&place.look().unwrap()), all(&keyring));
        }
    }
}
