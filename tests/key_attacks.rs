//! Logical and retired keys against who wants to lose a version, get what is kept back, or make a keyring that opens no more:
//! names that stand in the way, removed keys that come back in any order, full accounts, hostile numbers, moves and imports.

#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use keyring_ward::admin::edit::{Moving, reown};
use keyring_ward::admin::import::{Plan, Source, import};
use keyring_ward::admin::keys::{told, told_retired};
use keyring_ward::admin::{Target, export};
use keyring_ward::caller::Caller;
use keyring_ward::error::{Kind, Result};
use keyring_ward::key::extensions::{Extensions, VERSION};
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::{DAY, Logical, State, Version, VersionOf};
use keyring_ward::key::record::KeyRecord;
use keyring_ward::keyring::Keyring;
use keyring_ward::keyring::logical::Wanted;
use std::cell::RefCell;

const OWNER: &[u8] = b"app@%";
const OTHER: &[u8] = b"other@%";

fn id(name: &str) -> KeyId {
    KeyId::new(name.as_bytes(), OWNER).unwrap()
}

fn following() -> Wanted {
    Wanted {
        follow: true,
        ..Wanted::default()
    }
}

fn create(keyring: &Keyring, name: &str) {
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id(name), b"AES", 32, &following())
        .unwrap();
}

fn seen_of(keyring: &Keyring, name: &str, owner: &[u8]) -> Option<Vec<u8>> {
    let key = keyring.fetch(name.as_bytes(), owner).unwrap();
    key.map(|key| key.material().to_vec())
}

fn seen(keyring: &Keyring, name: &str) -> Option<Vec<u8>> {
    seen_of(keyring, name, OWNER)
}

fn refused(keyring: &Keyring, name: &str) {
    let e = keyring.fetch(name.as_bytes(), OWNER).map(|k| k.is_some());
    let e = e.expect_err("it must be kept back, and not be called absent");
    assert_eq!(e.kind(), Kind::KeyState, "{e}");
}

fn states(keyring: &Keyring, name: &str) -> Vec<(u32, State)> {
    let key = keyring.logical_key(&id(name)).unwrap();
    let versions = key.logical.versions.iter();
    versions.map(|v| (v.number, v.state)).collect()
}

fn change(keyring: &Keyring, name: &str, f: impl FnOnce(&mut Logical, i64) -> Result<()>) {
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id(name), f)
        .unwrap();
}

fn compromise(keyring: &Keyring, name: &str, number: u32) {
    change(keyring, name, |l, now| l.compromise(number, now));
}

/// Plans the end of a version, or of all, as if long ago, and makes it.
fn destroy(keyring: &Keyring, name: &str, number: Option<u32>) -> Vec<u32> {
    change(keyring, name, |l, now| l.schedule(number, 1, now - 2 * DAY));
    keyring
        .by(&Caller::Unknown)
        .destroy_due(&id(name), number)
        .unwrap()
}

/// What a start reads is what memory held.
fn again(place: &Place, keyring: Keyring) -> Keyring {
    let shape = |k: &Keyring| {
        let logical: Vec<_> = (k.logical_keys().into_iter())
            .map(|key| (key.id, key.logical, key.made))
            .collect();
        let retired = k
            .retired()
            .into_iter()
            .map(|r| (r.info.id.clone(), r.removal));
        (logical, retired.collect::<Vec<_>>())
    };
    let before = shape(&keyring);
    assert_eq!(shape(&place.look().unwrap()), before);
    place.check_bytes(&keyring);
    let keyring = keyring.reload(&place.config(), &place.server()).unwrap();
    assert_eq!(shape(&keyring), before);
    keyring
}

#[test]
fn a_plain_key_with_a_versions_name_makes_no_unreadable_keyring() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    create(&keyring, "a");
    destroy(&keyring, "a", None);
    // No logical key of that name is there: the names are free.
    keyring
        .by(&Caller::Unknown)
        .store_key(b"a@2", OWNER, b"AES", b"0123456789abcdef")
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"a@4", OWNER, b"AES", b"fedcba9876543210")
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@1"), None)
        .unwrap();
    let numbers = [(); 3].map(|()| keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap());
    assert_eq!(numbers, [3, 5, 6], "a name that is taken is no version's");
    let keyring = again(&place, keyring);
    assert_eq!(seen(&keyring, "a@2").unwrap(), b"0123456789abcdef");
    assert_eq!(seen(&keyring, "a@4").unwrap(), b"fedcba9876543210");
    assert_eq!(seen(&keyring, "a"), seen(&keyring, "a@6"));
}

#[test]
fn a_version_does_not_come_back_beside_a_plain_key_that_has_its_bare_name() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    create(&keyring, "a");
    destroy(&keyring, "a", None);
    keyring
        .by(&Caller::Unknown)
        .store_key(b"a", OWNER, b"AES", b"0123456789abcdef")
        .unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@1"), None)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists, "{e}");
    keyring.by(&Caller::Unknown).remove(b"a", OWNER).unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@1"), None)
        .unwrap();
    assert_eq!(seen(&keyring, "a"), seen(&keyring, "a@1"));
    again(&place, keyring);
}

#[test]
fn what_comes_back_alone_knows_what_was_known_of_the_whole() {
    let place = Place::new();
    let mut keyring = place.open().unwrap();
    create(&keyring, "a");
    for _ in 0..2 {
        keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    }
    compromise(&keyring, "a", 1);
    let second = seen(&keyring, "a@2").unwrap();
    destroy(&keyring, "a", None);
    keyring = again(&place, keyring);
    // The oldest first: its own record dates from when it was the only version.
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@1"), None)
        .unwrap();
    refused(&keyring, "a@1");
    let all = [
        (1, State::Compromised),
        (2, State::Destroyed),
        (3, State::Destroyed),
    ];
    assert_eq!(states(&keyring, "a"), all);
    // The name is there, and no version of it is current: that is not "absent".
    refused(&keyring, "a");
    assert_eq!(
        keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap(),
        4,
        "no number is used twice"
    );
    keyring = again(&place, keyring);
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@2"), None)
        .unwrap();
    assert_eq!(seen(&keyring, "a@2"), Some(second));
    refused(&keyring, "a@1");
    again(&place, keyring);
}

#[test]
fn who_was_compromised_stays_so_through_destruction_and_return() {
    let place = Place::new();
    let mut keyring = place.open().unwrap();
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    compromise(&keyring, "a", 1);
    destroy(&keyring, "a", Some(1));
    keyring = again(&place, keyring);
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@1"), None)
        .unwrap();
    refused(&keyring, "a@1");
    assert_eq!(states(&keyring, "a")[0], (1, State::Compromised));
    again(&place, keyring);
}

#[test]
fn a_version_that_was_forgotten_comes_back() {
    let place = Place::new();
    let mut keyring = place.open().unwrap();
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    let first = seen(&keyring, "a@1").unwrap();
    compromise(&keyring, "a", 1);
    destroy(&keyring, "a", Some(1));
    for _ in 0..70 {
        let number = keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
        destroy(&keyring, "a", Some(number - 1));
    }
    assert!(states(&keyring, "a").iter().all(|(n, _)| *n > 1));
    keyring = again(&place, keyring);
    let newest = seen(&keyring, "a").unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@1"), None)
        .unwrap();
    refused(&keyring, "a@1");
    let read = keyring.read_key(b"a@1", OWNER).unwrap().unwrap();
    assert_eq!(read.material(), first);
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@2"), None)
        .unwrap();
    assert!(seen(&keyring, "a@2").is_some());
    assert_eq!(seen(&keyring, "a"), Some(newest));
    keyring = again(&place, keyring);
    refused(&keyring, "a@1");
    assert!(keyring.retired().iter().all(|r| r.info.id != id("a@1")));
}

#[test]
fn a_full_account_can_be_held_cancelled_compromised_and_destroyed() {
    let place = Place::new();
    let mut keyring = place.open().unwrap();
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    let (mut account, mut all) = (place.config(), place.config());
    (account.limits.per_owner, all.limits.total) = (1, 1);
    for config in [account, all] {
        keyring = keyring.reload(&config, &place.server()).unwrap();
        let e = keyring
            .by(&Caller::Unknown)
            .rotate(&id("a"), true)
            .unwrap_err();
        assert!(e.to_string().contains("max_"), "{e}");
        for held in [Some("h".repeat(255)), None] {
            change(&keyring, "a", |l, _| {
                l.held = held;
                Ok(())
            });
        }
        change(&keyring, "a", |l, now| l.schedule(Some(1), 1, now));
        change(&keyring, "a", |l, _| l.cancel(Some(1)));
        compromise(&keyring, "a", 1);
        destroy(&keyring, "a", Some(1));
        keyring
            .by(&Caller::Unknown)
            .restore_retired(&id("a@1"), None)
            .unwrap();
    }
    destroy(&keyring, "a", None);
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .purge_retired(true)
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn who_sets_attributes_does_not_take_a_key_out_of_its_logical_key() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"old", OWNER, b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    let said = Extensions::new([(7, vec![1])]).unwrap();
    for list in [said.clone(), Extensions::default()] {
        keyring
            .by(&Caller::Unknown)
            .set_attributes(b"old", OWNER, list)
            .unwrap();
        assert_eq!(states(&keyring, "old"), [(1, State::Active)]);
    }
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"old", OWNER, said.clone())
        .unwrap();
    // Nor does anybody make one of a plain key that way.
    let forged = {
        let key = keyring.read_key(b"old", OWNER).unwrap().unwrap();
        key.attributes().clone()
    };
    keyring
        .by(&Caller::Unknown)
        .generate(b"plain", OWNER, b"AES", 32)
        .unwrap();
    let _ = keyring
        .by(&Caller::Unknown)
        .set_attributes(b"plain", OWNER, forged);
    assert!(keyring.logical_key(&id("plain")).is_err());
    let keyring = again(&place, keyring);
    let key = keyring.read_key(b"old", OWNER).unwrap().unwrap();
    assert_eq!(key.attributes().get(7), Some(&[1][..]));
    assert_eq!(states(&keyring, "old"), [(1, State::Active)]);
}

#[test]
fn a_key_that_the_server_needs_is_no_logical_key() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let name = b"INNODBKey-01234567-89ab-cdef-0123-456789abcdef-1";
    keyring
        .by(&Caller::Unknown)
        .generate(name, b"", b"AES", 32)
        .unwrap();
    let own = KeyId::new(name, b"").unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .adopt(&own, &Wanted::default())
        .unwrap_err();
    assert_eq!(e.kind(), Kind::InvalidInput, "{e}");
    keyring.by(&Caller::Unknown).remove(name, b"").unwrap();
}

/// A version whose description somebody wrote by hand.
fn crafted(keyring: &Keyring, name: &str, number: u32, logical: Logical) -> KeyRecord {
    let list = Extensions::new([(VERSION, VersionOf { number, logical }.to_bytes())]).unwrap();
    let material = keyring.pool().copy(&[number as u8; 32]).unwrap();
    let record = KeyRecord::new(id(name), b"AES", material, i64::MIN, 1).unwrap();
    record.with_extensions(list)
}

fn described(versions: &[(u32, State)]) -> Logical {
    Logical {
        id: [9; 16],
        serial: 1,
        follow: true,
        adopted: false,
        rotate_every: Some(u16::MAX),
        expires: None,
        held: None,
        environment: String::new(),
        description: String::new(),
        highest: versions.last().map_or(0, |(n, _)| *n),
        versions: (versions.iter())
            .map(|(number, state)| Version {
                number: *number,
                state: *state,
                since: i64::MAX,
                destroy_at: Some(i64::MIN),
                was_compromised: false,
            })
            .collect(),
    }
}

#[test]
fn times_and_numbers_at_their_ends_do_no_harm() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    for (i, since) in [i64::MIN, -1, i64::MAX].into_iter().enumerate() {
        let name = format!("k{i}");
        let mut logical = described(&[(1, State::Deactivated), (2, State::Active)]);
        logical.id = [i as u8; 16];
        logical.serial = u32::MAX;
        logical.versions[1].since = since;
        for number in [1, 2] {
            let name = format!("{name}@{number}");
            let record = crafted(&keyring, &name, number, logical.clone());
            keyring.by(&Caller::Unknown).restore(record).unwrap();
        }
        for now in [i64::MIN, 0, i64::MAX] {
            told(&keyring.logical_key(&id(&name)).unwrap(), now);
        }
        // The serial is at its end: what is changed now must not lose to what was.
        let said = keyring
            .by(&Caller::Unknown)
            .change_logical(&id(&name), |l, _| {
                l.description = "new".into();
                Ok(())
            });
        if said.is_ok() {
            let there = place.look().unwrap().logical_key(&id(&name)).unwrap();
            assert_eq!(there.logical.description, "new");
        }
    }
    let keyring = again(&place, keyring);
    // 0 stands for "none" on disk.
    let mut wanted = following();
    wanted.expires = Some(0);
    let made = keyring
        .by(&Caller::Unknown)
        .create_logical(&id("brief"), b"AES", 32, &wanted);
    assert!(made.is_err() || place.look().unwrap().fetch(b"brief", OWNER).is_err());
    create(&keyring, "a");
    change(&keyring, "a", |l, _| l.schedule(None, 1, -DAY));
    change(&keyring, "a", |l, _| l.schedule(None, u16::MAX, i64::MAX));
    change(&keyring, "a", |l, _| l.schedule(None, 1, i64::MIN));
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .destroy_due(&id("a"), None)
            .unwrap(),
        [1]
    );
    keyring.retired().iter().for_each(|r| drop(told_retired(r)));
    again(&place, keyring);
}

#[test]
fn a_highest_number_is_not_passed() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let mut logical = described(&[(999_999_999, State::Active)]);
    (logical.versions.iter_mut()).for_each(|version| version.destroy_at = None);
    let record = crafted(&keyring, "a@999999999", 999_999_999, logical);
    keyring.by(&Caller::Unknown).restore(record).unwrap();
    let e = keyring
        .by(&Caller::Unknown)
        .rotate(&id("a"), true)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::InvalidInput, "{e}");
    again(&place, keyring);
}

// ---- moves -----------------------------------------------------------------------------------------

/// Wherever a move is broken off, no name answers with an older version than before, what is compromised is kept back, and the
/// same again ends it.
#[test]
fn a_move_that_is_broken_off_answers_nothing_older() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    create(&keyring, "a");
    // Eleven: by name, a@10 and a@11 come before a@2.
    for _ in 0..10 {
        keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    }
    compromise(&keyring, "a", 2);
    keyring
        .by(&Caller::Unknown)
        .generate(b"old", OWNER, b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .rotate(&id("old"), true)
        .unwrap();
    let newest = seen(&keyring, "a").unwrap();
    let logical = keyring.logical_key(&id("a")).unwrap().logical;
    drop(keyring);
    let before = place.read();
    reown(&place.config(), OWNER, OTHER, Moving::default()).unwrap();
    let after = place.read();
    assert!(after.starts_with(&before), "nothing was written anew");
    let mut stops = 0;
    let mut last = before.len();
    for end in before.len()..=after.len() {
        // A record's length is 1 more than a multiple of 16.
        if end != last && (end - last) % 16 != 1 {
            continue;
        }
        let cut = Place::new();
        cut.write(&after[..end]);
        let keyring = cut.look().unwrap();
        if keyring.status().store.torn > 0 {
            continue;
        }
        stops += 1;
        last = end;
        for owner in [OWNER, OTHER] {
            if let Ok(Some(key)) = keyring.fetch(b"a", owner) {
                assert_eq!(key.material(), newest, "at {end}");
            }
            if let Ok(key) = keyring.fetch(b"a@2", owner) {
                assert!(key.is_none(), "it is compromised, at {end}");
            }
        }
        drop(keyring);
        let done = reown(&cut.config(), OWNER, OTHER, Moving::default()).map(drop);
        assert!(
            done.is_ok() || end == after.len(),
            "at {end}: {:?}",
            done.map_err(|e| e.to_string())
        );
        let keyring = cut.open().unwrap();
        assert_eq!(
            seen_of(&keyring, "a", OTHER).as_ref(),
            Some(&newest),
            "{end}"
        );
        let moved = KeyId::new(b"a", OTHER).unwrap();
        let there = keyring.logical_key(&moved).unwrap().logical;
        assert_eq!((there.id, &there.versions), (logical.id, &logical.versions));
        assert!(keyring.list().iter().all(|k| k.id.owner() == OTHER));
    }
    assert!(stops > 26, "{stops}");
}

#[test]
fn a_move_to_who_has_that_name_changes_nothing() {
    type Theirs = fn(&Keyring);
    let theirs: [Theirs; 2] = [
        |k| {
            k.by(&Caller::Unknown)
                .store_key(b"m", OTHER, b"AES", b"0123456789abcdef")
                .unwrap()
        },
        |k| {
            let own = KeyId::new(b"m", OTHER).unwrap();
            k.by(&Caller::Unknown)
                .create_logical(&own, b"AES", 32, &following())
                .unwrap();
            for _ in 0..3 {
                k.by(&Caller::Unknown).rotate(&own, true).unwrap();
            }
            for n in 1..=2 {
                k.by(&Caller::Unknown)
                    .change_logical(&own, |l, now| l.schedule(Some(n), 1, now - 2 * DAY))
                    .unwrap();
                k.by(&Caller::Unknown).destroy_due(&own, Some(n)).unwrap();
            }
        },
    ];
    for (i, theirs) in theirs.into_iter().enumerate() {
        let place = Place::new();
        let keyring = place.open().unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"a", OWNER, b"AES", 32)
            .unwrap();
        create(&keyring, "m");
        theirs(&keyring);
        drop(keyring);
        let before = place.read();
        let e = reown(&place.config(), OWNER, OTHER, Moving::default()).unwrap_err();
        assert_eq!(e.kind(), Kind::AlreadyExists, "{i}: {e}");
        assert_eq!(place.read(), before, "{i}: nothing was changed");
    }
}

// ---- imports ---------------------------------------------------------------------------------------

/// Brings what `from` has into `to`; the plan and what was said.
fn bring(from: &Place, to: &Place) -> (Result<Plan>, String) {
    let said = RefCell::new(Vec::new());
    let warn = |sentence: String| said.borrow_mut().push(sentence);
    let (source, config) = (from.config(), to.config());
    let target = Target {
        warn: &warn,
        ..Target::from(&config)
    };
    let plan = import(target, &Source::Ward(&source), false, &mut |_, _| {});
    (plan, said.into_inner().join("\n"))
}

fn copy_of(place: &Place) -> Place {
    let copy = Place::new();
    copy.write(&place.read());
    copy
}

#[test]
fn an_import_brings_versions_whole_and_the_same_again_changes_nothing() {
    let (from, to) = (Place::new(), Place::new());
    let keyring = from.open().unwrap();
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    compromise(&keyring, "a", 1);
    destroy(&keyring, "a", Some(2));
    keyring
        .by(&Caller::Unknown)
        .generate(b"old", OWNER, b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    let whole = |k: &Keyring| {
        let all = k.logical_keys().into_iter();
        all.map(|l| (l.id, l.logical, l.made)).collect::<Vec<_>>()
    };
    let expected = whole(&keyring);
    drop(keyring);
    let (plan, _) = bring(&from, &to);
    assert_eq!(plan.unwrap().new.len(), 3);
    let keyring = to.open().unwrap();
    assert_eq!(whole(&keyring), expected);
    refused(&keyring, "a@1");
    let retired = keyring.retired();
    assert_eq!(retired.len(), 1, "removed keys come as well");
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("a@2"), None)
        .unwrap();
    destroy(&keyring, "a", Some(2));
    drop(keyring);
    let before = to.read();
    let (plan, _) = bring(&from, &to);
    assert_eq!(plan.unwrap().new.len(), 0);
    assert_eq!(to.read(), before);
}

#[test]
fn an_import_of_an_older_copy_loses_nothing() {
    let to = Place::new();
    let keyring = to.open().unwrap();
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    let from = copy_of(&to);
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    compromise(&keyring, "a", 1);
    destroy(&keyring, "a", Some(2));
    let (newest, shape) = (seen(&keyring, "a"), states(&keyring, "a"));
    drop(keyring);
    // The copy has gone on in its own way, and knows of less with a higher serial.
    let copy = from.open().unwrap();
    for text in ["x"; 12] {
        change(&copy, "a", |l, _| {
            l.description = text.into();
            Ok(())
        });
    }
    drop(copy);
    for _ in 0..2 {
        bring(&from, &to).0.unwrap();
        let keyring = to.open().unwrap();
        assert_eq!(seen(&keyring, "a"), newest);
        refused(&keyring, "a@1");
        let now = states(&keyring, "a");
        assert_eq!((now[0], now[2]), (shape[0], shape[2]));
        let e = keyring
            .by(&Caller::Unknown)
            .destroy_due(&id("a"), None)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::KeyState, "nothing is left to destroy: {e}");
        drop(again(&to, keyring));
    }
}

#[test]
fn an_import_of_a_newer_copy_brings_what_is_new() {
    let to = Place::new();
    let keyring = to.open().unwrap();
    create(&keyring, "a");
    let from = copy_of(&to);
    // Here it has changed often since, and knows of no second version.
    for text in ["x"; 12] {
        change(&keyring, "a", |l, _| {
            l.description = text.into();
            Ok(())
        });
    }
    drop(keyring);
    let copy = from.open().unwrap();
    copy.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    compromise(&copy, "a", 1);
    let second = seen(&copy, "a@2");
    drop(copy);
    let (plan, _) = bring(&from, &to);
    assert_eq!(plan.unwrap().new.len(), 1);
    let keyring = to.open().unwrap();
    assert_eq!(
        states(&keyring, "a"),
        [(1, State::Compromised), (2, State::Active)]
    );
    assert_eq!(seen(&keyring, "a"), second);
    refused(&keyring, "a@1");
    let keyring = again(&to, keyring);
    assert_eq!(
        keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap(),
        3
    );
}

#[test]
fn an_import_does_not_mix_two_logical_keys_of_one_name() {
    type Theirs = fn(&Keyring);
    let theirs: [Theirs; 3] = [
        |k| {
            create(k, "a");
            k.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
            destroy(k, "a", Some(1));
        },
        |k| {
            k.by(&Caller::Unknown)
                .store_key(b"a@9", OWNER, b"AES", b"0123456789abcdef")
                .unwrap()
        },
        |k| {
            k.by(&Caller::Unknown)
                .store_key(b"a", OWNER, b"AES", b"0123456789abcdef")
                .unwrap()
        },
    ];
    for (i, theirs) in theirs.into_iter().enumerate() {
        for swapped in [false, true] {
            let (from, to) = (Place::new(), Place::new());
            let keyring = from.open().unwrap();
            create(&keyring, "a");
            drop(keyring);
            let keyring = to.open().unwrap();
            theirs(&keyring);
            drop(keyring);
            let (from, to) = if swapped { (to, from) } else { (from, to) };
            let before = to.read();
            let done = bring(&from, &to).0;
            if i == 1 && !swapped {
                // Beside a plain key whose number no version has a logical key can be: its number is passed over.
                done.unwrap();
                let keyring = to.open().unwrap();
                assert_eq!(
                    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap(),
                    2
                );
                change(&keyring, "a", |l, _| {
                    l.highest = 8;
                    Ok(())
                });
                assert_eq!(
                    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap(),
                    10
                );
                drop(again(&to, keyring));
                continue;
            }
            let e = done.unwrap_err();
            assert_eq!(e.kind(), Kind::AlreadyExists, "{i} {swapped}: {e}");
            assert_eq!(to.read(), before, "{i} {swapped}");
        }
    }
}

#[test]
fn stock_files_carry_versions_as_keys() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    drop(keyring);
    let json = place.dir.path().join("stock.json");
    assert_eq!(export::component_json(&place.config(), &json).unwrap(), 2);
    let text = std::fs::read_to_string(&json).unwrap();
    assert!(text.contains("\"a@2\"") && !text.contains("\"a\""));
    let to = Place::new();
    let bring = || import(&to.config(), &Source::File(&json), false, &mut |_, _| {});
    assert_eq!(bring().unwrap().new.len(), 2);
    let keyring = to.open().unwrap();
    // What is known of them comes with them, in the format's own place for such things.
    assert!(seen(&keyring, "a@1").is_some() && seen(&keyring, "a@2").is_some());
    let known: Vec<_> = (keyring.logical_keys().iter())
        .map(|key| (key.id.clone(), key.logical.versions.len()))
        .collect();
    assert_eq!(known, [(id("a"), 2)]);
    assert_eq!(
        seen(&keyring, "a"),
        seen(&keyring, "a@2"),
        "it follows, as it did"
    );
    drop(keyring);
    // Into the keyring that they come from they are the same.
    let back = import(&place.config(), &Source::File(&json), false, &mut |_, _| {});
    assert_eq!(
        (back.as_ref().unwrap().same, back.unwrap().new.len()),
        (2, 0)
    );
}

#[test]
fn odd_names_stay_plain() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let long = vec![b'n'; 255];
    let names: [&[u8]; 9] = [
        b"root@localhost",
        b"a@01",
        b"a@0",
        b"@1",
        b"x@1",
        b"x@2",
        &long,
        b"\xff\xfe",
        b"\xff@1",
    ];
    for name in names {
        keyring
            .by(&Caller::Unknown)
            .generate(name, OWNER, b"AES", 16)
            .unwrap();
    }
    create(&keyring, "a");
    keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
    let strange = KeyId::new(b"\xfe\xff@%", OWNER).unwrap();
    keyring
        .by(&Caller::Unknown)
        .create_logical(&strange, b"AES", 16, &following())
        .unwrap();
    keyring.by(&Caller::Unknown).rotate(&strange, true).unwrap();
    for name in [b"x".as_slice(), b"\xff"] {
        let taken = KeyId::new(name, OWNER).unwrap();
        let e = keyring
            .by(&Caller::Unknown)
            .create_logical(&taken, b"AES", 16, &following());
        assert_eq!(e.unwrap_err().kind(), Kind::AlreadyExists);
    }
    for name in [&long[..], b"x@1"] {
        let own = KeyId::new(name, OWNER).unwrap();
        let e = keyring
            .by(&Caller::Unknown)
            .adopt(&own, &Wanted::default())
            .unwrap_err();
        assert_eq!(e.kind(), Kind::InvalidInput, "{e}");
    }
    let keyring = again(&place, keyring);
    for name in names {
        keyring.by(&Caller::Unknown).remove(name, OWNER).unwrap();
    }
    assert!(keyring.fetch(b"\xfe\xff@%", OWNER).unwrap().is_some());
}

/// Whoever rotates while others fetch: a name that follows answers a material that was current, and never nothing.
#[test]
fn a_name_that_follows_is_never_absent_while_it_is_rotated() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    create(&keyring, "a");
    let done = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut materials = vec![seen(&keyring, "a").unwrap()];
            while !done.load(ordering) {
                let now = seen(&keyring, "a").expect("never absent");
                if materials.last() != Some(&now) {
                    assert!(!materials.contains(&now), "an old one came back");
                    materials.push(now);
                }
            }
            materials.len()
        });
        let rotating = || {
            for _ in 0..40 {
                keyring.by(&Caller::Unknown).rotate(&id("a"), true).unwrap();
                let all = states(&keyring, "a");
                let oldest = all.iter().find(|(_, s)| *s == State::Deactivated);
                // Another thread may have been quicker.
                let Some((n, _)) = oldest else { continue };
                let plan = |l: &mut Logical, now| l.schedule(Some(*n), 1, now - 2 * DAY);
                if keyring
                    .by(&Caller::Unknown)
                    .change_logical(&id("a"), plan)
                    .is_ok()
                {
                    let _ = keyring.by(&Caller::Unknown).destroy_due(&id("a"), Some(*n));
                }
            }
        };
        let writers = [scope.spawn(rotating), scope.spawn(rotating)];
        let ended = writers.map(|w| w.join());
        done.store(true, ordering);
        assert!(reader.join().unwrap() > 1);
        ended.into_iter().for_each(|e| e.unwrap());
    });
    again(&place, keyring);
}
