//! Sealed values, blind indexes and key pairs over the life of logical keys, on a keyring file: what opens what, whatever becomes of
//! the keys.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, turn};
use keyring_ward::admin::edit::{self, Moving};
use keyring_ward::admin::export;
use keyring_ward::admin::import::{Source, import};
use keyring_ward::caller::Caller;
use keyring_ward::error::Kind;
use keyring_ward::key::extensions::{Extensions, VERSION};
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::DAY;
use keyring_ward::key_pair::Algorithm;
use keyring_ward::keyring::Keyring;
use keyring_ward::keyring::adopting::Adopting;
use keyring_ward::keyring::logical::Wanted;
use keyring_ward::keyring::sealing::Opens;
use keyring_ward::sealed::{self, Sealed};

const OWNER: &[u8] = b"app@%";

fn id(name: &str) -> KeyId {
    KeyId::new(name.as_bytes(), OWNER).unwrap()
}

fn made(place: &Place, name: &str) -> Keyring {
    let keyring = place.open().unwrap();
    create(&keyring, name);
    keyring
}

fn create(keyring: &Keyring, name: &str) {
    let wanted = Wanted::default();
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id(name), b"AES", 32, &wanted)
        .unwrap();
}

fn seal(keyring: &Keyring, name: &str, text: &[u8]) -> Vec<u8> {
    let mut version = keyring.sealing_keys(&id(name)).unwrap();
    let mut out = Vec::new();
    sealed::seal(
        &mut version.keys,
        version.number,
        &[7; 16],
        b"c",
        text,
        &mut out,
    )
    .unwrap();
    out
}

fn open(keyring: &Keyring, id: &KeyId, value: &[u8], opens: Opens) -> Result<Vec<u8>, Kind> {
    let value = Sealed::parse(value).unwrap();
    let keys = keyring.opening_keys(id, value.version, opens);
    let (mut keys, mut out) = (keys.map_err(|e| e.kind())?.keys, Vec::new());
    value
        .open(&mut keys, b"c", &mut out)
        .map_err(|e| e.kind())?;
    Ok(out)
}

fn opened(keyring: &Keyring, name: &str, value: &[u8]) -> Result<Vec<u8>, Kind> {
    open(keyring, &id(name), value, Opens::Sound)
}

fn index(keyring: &Keyring, id: &KeyId) -> [u8; 32] {
    keyring.index_key(id).unwrap().mac(b"data")
}

/// Destroys a version, as if a plan were due.
fn destroy(keyring: &Keyring, id: &KeyId, number: Option<u32>) {
    let due =
        |l: &mut keyring_ward::key::logical::Logical, now| l.schedule(number, 1, now - 2 * DAY);
    keyring
        .by(&Caller::Unknown)
        .change_logical(id, due)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .destroy_due(id, number)
        .unwrap();
}

#[test]
fn each_state_of_a_version_opens_what_it_should() {
    let place = Place::new();
    let keyring = made(&place, "k");
    let first = seal(&keyring, "k", b"one");
    let epoch = keyring.epoch();
    assert!(keyring.is_at(&epoch));
    assert_eq!(
        keyring
            .by(&Caller::Unknown)
            .rotate(&id("k"), false)
            .unwrap(),
        2
    );
    assert!(
        !keyring.is_at(&epoch),
        "what was derived is looked at again"
    );
    assert_eq!(
        Sealed::parse(&seal(&keyring, "k", b"x")).unwrap().version,
        1
    );
    keyring.by(&Caller::Unknown).activate(&id("k"), 2).unwrap();
    let second = seal(&keyring, "k", b"two");
    assert_eq!(Sealed::parse(&second).unwrap().version, 2);
    assert_eq!(opened(&keyring, "k", &first).unwrap(), b"one");
    assert_eq!(opened(&keyring, "k", &second).unwrap(), b"two");
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("k"), |l, now| l.compromise(1, now))
        .unwrap();
    assert_eq!(opened(&keyring, "k", &first), Err(Kind::KeyState));
    assert_eq!(
        open(&keyring, &id("k"), &first, Opens::Compromised).unwrap(),
        b"one"
    );
    destroy(&keyring, &id("k"), Some(1));
    for opens in [Opens::Sound, Opens::Compromised] {
        assert_eq!(open(&keyring, &id("k"), &first, opens), Err(Kind::KeyState));
    }
    keyring
        .by(&Caller::Unknown)
        .restore_retired(&id("k@1"), None)
        .unwrap();
    assert_eq!(
        open(&keyring, &id("k"), &first, Opens::Compromised).unwrap(),
        b"one"
    );
    // A version that another server has made, and no key at all.
    let mut later = second.clone();
    later[2] = 9;
    assert_eq!(opened(&keyring, "k", &later), Err(Kind::NotFound));
    assert_eq!(opened(&keyring, "none", &second), Err(Kind::NotFound));
    assert_eq!(
        keyring.sealing_keys(&id("none")).err().unwrap().kind(),
        Kind::NotFound
    );
    // Another key of the same version.
    create(&keyring, "other");
    keyring
        .by(&Caller::Unknown)
        .rotate(&id("other"), true)
        .unwrap();
    assert_eq!(opened(&keyring, "other", &second), Err(Kind::Tampered));
    // All of it again after a restart.
    drop(keyring);
    let keyring = place.open().unwrap();
    assert!(!keyring.is_at(&epoch), "another keyring");
    assert_eq!(opened(&keyring, "k", &second).unwrap(), b"two");
}

#[test]
fn held_keys_seal_and_those_whose_time_is_over_do_not() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let now = keyring_ward::os::unix_seconds();
    let wanted = Wanted {
        expires: Some(now + 100),
        ..Wanted::default()
    };
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("t"), b"SECRET", 16, &wanted)
        .unwrap();
    assert_eq!(
        keyring.sealing_keys(&id("t")).unwrap().expires,
        Some(now + 100)
    );
    let value = seal(&keyring, "t", b"x");
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("t"), |l, _| l.hold(Some("case 7")))
        .unwrap();
    assert_eq!(opened(&keyring, "t", &value).unwrap(), b"x");
    let over = |l: &mut keyring_ward::key::logical::Logical, now: i64| {
        l.expires = Some(now - 1);
        Ok(())
    };
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("t"), over)
        .unwrap();
    assert_eq!(opened(&keyring, "t", &value), Err(Kind::KeyState));
    assert_eq!(
        keyring.sealing_keys(&id("t")).err().unwrap().kind(),
        Kind::KeyState
    );
    assert_eq!(
        keyring.index_key(&id("t")).err().unwrap().kind(),
        Kind::KeyState
    );
}

#[test]
fn only_secrets_that_are_long_enough_seal() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let wanted = Wanted::default();
    for (name, key_type, length) in [("r", "RSA", 256), ("d", "DSA", 64), ("s", "AES", 15)] {
        let name = id(name);
        keyring
            .by(&Caller::Unknown)
            .create_logical(&name, key_type.as_bytes(), length, &wanted)
            .unwrap();
        assert_eq!(
            keyring.sealing_keys(&name).err().unwrap().kind(),
            Kind::InvalidInput
        );
        assert_eq!(
            keyring.index_key(&name).err().unwrap().kind(),
            Kind::InvalidInput
        );
        assert_eq!(
            keyring
                .by(&Caller::Unknown)
                .rotate_index(&name)
                .unwrap_err()
                .kind(),
            Kind::InvalidInput
        );
    }
    keyring
        .by(&Caller::Unknown)
        .create_logical(&id("ok"), b"secret", 16, &wanted)
        .unwrap();
    assert!(keyring.sealing_keys(&id("ok")).is_ok());
}

/// The secret of the index outlives each version but the last, moves and copies, and has a rotation of its own.
#[test]
fn a_blind_index_stays_as_long_as_its_key() {
    let _turn = turn();
    let place = Place::new();
    let keyring = made(&place, "k");
    let first = index(&keyring, &id("k"));
    create(&keyring, "other");
    assert_ne!(index(&keyring, &id("other")), first);
    keyring.by(&Caller::Unknown).rotate(&id("k"), true).unwrap();
    keyring
        .by(&Caller::Unknown)
        .rotate(&id("k"), false)
        .unwrap();
    assert_eq!(index(&keyring, &id("k")), first);
    destroy(&keyring, &id("k"), Some(1));
    keyring.by(&Caller::Unknown).activate(&id("k"), 3).unwrap();
    destroy(&keyring, &id("k"), Some(2));
    assert_eq!(index(&keyring, &id("k")), first);
    let value = seal(&keyring, "k", b"text");
    drop(keyring);
    let keyring = place.open().unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
    assert_eq!(index(&keyring, &id("k")), first);
    drop(keyring);
    // To another account, and into another keyring.
    edit::reown(&place.config(), OWNER, b"new@%", Moving::default()).unwrap();
    let moved = KeyId::new(b"k", b"new@%").unwrap();
    let there = Place::new();
    import(
        &there.config(),
        &Source::Ward(&place.config()),
        false,
        &mut |_, _| {},
    )
    .unwrap();
    for keyring in [place.open().unwrap(), there.open().unwrap()] {
        assert_eq!(index(&keyring, &moved), first);
        assert_eq!(
            open(&keyring, &moved, &value, Opens::Sound).unwrap(),
            b"text"
        );
    }
    // A new secret, at once and after everything that kept the old one.
    let keyring = place.open().unwrap();
    keyring.by(&Caller::Unknown).rotate_index(&moved).unwrap();
    let second = index(&keyring, &moved);
    assert_ne!(second, first);
    keyring.by(&Caller::Unknown).rotate(&moved, true).unwrap();
    assert_eq!(index(&keyring, &moved), second);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(index(&keyring, &moved), second);
    assert_eq!(
        open(&keyring, &moved, &value, Opens::Sound).unwrap(),
        b"text"
    );
    destroy(&keyring, &moved, None);
    assert_eq!(
        keyring.index_key(&moved).err().unwrap().kind(),
        Kind::NotFound
    );
}

/// A pending version was made before the index got a new secret, and becomes current afterwards: with the new one.
#[test]
fn a_new_secret_of_the_index_outlives_a_version_that_was_pending() {
    let _turn = turn();
    let place = Place::new();
    let keyring = made(&place, "k");
    let first = index(&keyring, &id("k"));
    keyring
        .by(&Caller::Unknown)
        .rotate(&id("k"), false)
        .unwrap();
    keyring.by(&Caller::Unknown).rotate_index(&id("k")).unwrap();
    let second = index(&keyring, &id("k"));
    assert_ne!(second, first);
    let refused = keyring
        .by(&Caller::Unknown)
        .activate(&id("k"), 1)
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::KeyState);
    keyring.by(&Caller::Unknown).activate(&id("k"), 2).unwrap();
    assert_eq!(index(&keyring, &id("k")), second);
    destroy(&keyring, &id("k"), Some(1));
    drop(keyring);
    assert_eq!(index(&place.open().unwrap(), &id("k")), second);
}

/// Whoever gives a key other attributes says nothing of its index, and takes it away from nobody.
#[test]
fn other_attributes_leave_the_index_alone() {
    let _turn = turn();
    let place = Place::new();
    let keyring = made(&place, "k");
    keyring.by(&Caller::Unknown).rotate_index(&id("k")).unwrap();
    let second = index(&keyring, &id("k"));
    let noted = || Extensions::new([(5, vec![1])]).unwrap();
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"k@1", OWNER, noted())
        .unwrap();
    assert_eq!(index(&keyring, &id("k")), second);
    // Of an adopted key nothing but its attributes has the secret.
    keyring
        .by(&Caller::Unknown)
        .store_key(b"old", OWNER, b"AES", &[5; 32])
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    let first = index(&keyring, &id("old"));
    keyring
        .by(&Caller::Unknown)
        .set_attributes(b"old", OWNER, noted())
        .unwrap();
    assert_eq!(index(&keyring, &id("old")), first);
}

#[test]
fn an_adopted_key_has_a_blind_index_and_so_has_its_copy() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"old", OWNER, b"AES", &[5; 32])
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    let first = index(&keyring, &id("old"));
    let value = seal(&keyring, "old", b"text");
    drop(keyring);
    let there = Place::new();
    let keyring = there.open().unwrap();
    // The plain key is there already.
    keyring
        .by(&Caller::Unknown)
        .store_key(b"old", OWNER, b"AES", &[5; 32])
        .unwrap();
    drop(keyring);
    let bring = || {
        let mut warned = Vec::new();
        let warn = |text| warned.push(text);
        let warn = std::cell::RefCell::new(warn);
        let warn = |text: String| (warn.borrow_mut())(text);
        let config = there.config();
        let mut target = keyring_ward::admin::Target::from(&config);
        target.warn = &warn;
        import(
            target,
            &Source::Ward(&place.config()),
            false,
            &mut |_, _| {},
        )
        .unwrap();
        warned
    };
    assert_eq!(bring(), Vec::<String>::new());
    let keyring = there.open().unwrap();
    assert_eq!(index(&keyring, &id("old")), first);
    assert_eq!(opened(&keyring, "old", &value).unwrap(), b"text");
    keyring
        .by(&Caller::Unknown)
        .rotate(&id("old"), true)
        .unwrap();
    assert_eq!(index(&keyring, &id("old")), first);
    drop(keyring);
    assert_eq!(bring(), Vec::<String>::new(), "the same again");
    let keyring = there.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .rotate_index(&id("old"))
        .unwrap();
    let second = index(&keyring, &id("old"));
    drop(keyring);
    bring();
    assert_eq!(
        index(&there.open().unwrap(), &id("old")),
        second,
        "what is here stays"
    );
}

#[test]
fn a_private_half_is_given_to_nobody() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    let follow = Wanted {
        follow: true,
        ..Wanted::default()
    };
    let refused = keyring
        .by(&Caller::Unknown)
        .create_pair(&id("p"), Algorithm::Ed25519, &follow);
    assert_eq!(refused.unwrap_err().kind(), Kind::InvalidInput);
    keyring
        .by(&Caller::Unknown)
        .create_pair(&id("p"), Algorithm::Ed25519, &Wanted::default())
        .unwrap();
    let again =
        keyring
            .by(&Caller::Unknown)
            .create_pair(&id("p"), Algorithm::Rsa2048, &Wanted::default());
    assert_eq!(again.unwrap_err().kind(), Kind::AlreadyExists);
    for name in ["p@1", "p"] {
        match keyring.fetch(name.as_bytes(), OWNER) {
            Ok(None) => assert_eq!(name, "p"),
            Ok(Some(_)) => panic!("{name} was served"),
            Err(e) => assert!(e.to_string().contains("private half"), "{e}"),
        }
    }
    let set = |l: &mut keyring_ward::key::logical::Logical, _| {
        l.follow = true;
        Ok(())
    };
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("p"), set)
        .unwrap();
    assert!(
        keyring.fetch(b"p", OWNER).is_err(),
        "nor under a name that follows"
    );
    assert_eq!(
        keyring.sealing_keys(&id("p")).err().unwrap().kind(),
        Kind::InvalidInput
    );
    // Rotation makes the next pair of the same kind; old signatures count as long as their version is not compromised.
    let (_, pair) = keyring.pair(&id("p"), None).unwrap();
    let mut signature = Vec::new();
    pair.sign(b"data", &mut signature).unwrap();
    keyring.by(&Caller::Unknown).rotate(&id("p"), true).unwrap();
    let (number, next) = keyring.pair(&id("p"), None).unwrap();
    assert_eq!((number, next.algorithm().unwrap()), (2, Algorithm::Ed25519));
    assert!(!next.verifies(b"data", &signature));
    assert!(
        keyring
            .verify_by_pair(&id("p"), b"data", &signature)
            .unwrap()
    );
    assert!(
        !keyring
            .verify_by_pair(&id("p"), b"datb", &signature)
            .unwrap()
    );
    let (_, first) = keyring.pair(&id("p"), Some(1)).unwrap();
    assert_eq!(first.public_pem().unwrap(), pair.public_pem().unwrap());
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("p"), |l, now| l.compromise(1, now))
        .unwrap();
    assert!(
        !keyring
            .verify_by_pair(&id("p"), b"data", &signature)
            .unwrap()
    );
    assert_eq!(
        keyring.pair(&id("p"), Some(1)).err().unwrap().kind(),
        Kind::KeyState
    );
    create(&keyring, "k");
    assert_eq!(
        keyring.pair(&id("k"), None).err().unwrap().kind(),
        Kind::InvalidInput
    );
    next.sign(b"data", &mut signature).unwrap();
    drop(keyring);
    // Into another keyring it goes sealed; into clear text it does not go.
    let there = Place::new();
    import(
        &there.config(),
        &Source::Ward(&place.config()),
        false,
        &mut |_, _| {},
    )
    .unwrap();
    let copy = there.open().unwrap();
    assert!(copy.verify_by_pair(&id("p"), b"data", &signature).unwrap());
    assert!(copy.fetch(b"p@2", OWNER).is_err());
    drop(copy);
    let json = place.dir.path().join("out.json");
    assert_eq!(export::component_json(&place.config(), &json).unwrap(), 1);
    assert!(!std::fs::read_to_string(json).unwrap().contains("\"p@"));
}

/// A pair signs and does nothing else, and its private half goes nowhere: neither by name nor with a migration.
#[test]
fn a_pair_has_no_blind_index_and_is_handed_over_to_nobody() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    for (name, algorithm) in [("e", Algorithm::Ed25519), ("r", Algorithm::Rsa2048)] {
        let pair = id(name);
        keyring
            .by(&Caller::Unknown)
            .create_pair(&pair, algorithm, &Wanted::default())
            .unwrap();
        let refused = keyring.index_key(&pair).err().unwrap();
        assert_eq!(refused.kind(), Kind::InvalidInput, "{name}");
        let refused = keyring
            .by(&Caller::Unknown)
            .rotate_index(&pair)
            .unwrap_err();
        assert_eq!(refused.kind(), Kind::InvalidInput, "{name}");
        keyring.by(&Caller::Unknown).rotate(&pair, true).unwrap();
        assert!(keyring.index_key(&pair).is_err());
    }
    create(&keyring, "k");
    let (served, kept_back) = keyring.list_served();
    assert_eq!((served.len(), kept_back.len()), (1, 4));
    for key in &served {
        assert!(keyring.fetch(key.id.name(), OWNER).unwrap().is_some());
    }
    // One that is no version of anything, as only a faulty program could write it.
    let pair = keyring.read_key(b"e@1", OWNER).unwrap().unwrap();
    let alone = pair.renamed(id("alone"), keyring.pool()).unwrap();
    let list = pair.extensions().without(&[VERSION]);
    keyring
        .by(&Caller::Unknown)
        .restore(alone.with_extensions(list))
        .unwrap();
    assert_eq!(
        keyring.fetch(b"alone", OWNER).err().unwrap().kind(),
        Kind::KeyState
    );
    assert_eq!(keyring.list_served().0.len(), 1);
}

/// The material of plain keys, as another keyring that knows names and bytes alone would give it back.
fn as_plain_keys(from: &Keyring, to: &Keyring) {
    for key in from.list_with_material().unwrap() {
        let kind = key.key_type.as_bytes();
        (to.by(&Caller::Unknown)
            .store_key(key.id.name(), key.id.owner(), kind, key.material()))
        .unwrap();
    }
}

fn logical_id(keyring: &Keyring, name: &str) -> [u8; 16] {
    keyring.logical_key(&id(name)).unwrap().logical.id
}

#[test]
fn a_clear_text_file_brings_values_and_index_back() {
    let (from, to) = (Place::new(), Place::new());
    let keyring = made(&from, "k");
    let first = seal(&keyring, "k", b"one");
    keyring.by(&Caller::Unknown).rotate(&id("k"), true).unwrap();
    keyring.by(&Caller::Unknown).rotate_index(&id("k")).unwrap();
    keyring.by(&Caller::Unknown).rotate(&id("k"), true).unwrap();
    let third = seal(&keyring, "k", b"three");
    keyring
        .by(&Caller::Unknown)
        .change_logical(&id("k"), |l, now| l.compromise(2, now))
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"old", OWNER, b"AES", &[3; 32])
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .adopt(&id("old"), &Wanted::default())
        .unwrap();
    let of_old = seal(&keyring, "old", b"old");
    let (was, indexed) = (logical_id(&keyring, "k"), index(&keyring, &id("k")));
    drop(keyring);
    let json = from.keyring_file().with_file_name("keys.json");
    export::component_json(&from.config(), &json).unwrap();
    let text = std::fs::read_to_string(&json).unwrap();
    assert!(text.contains(&keyring_ward::text::hex(&was)), "for people");
    import(&to.config(), &Source::File(&json), false, &mut |_, _| {}).unwrap();
    let there = to.open().unwrap();
    assert_eq!(logical_id(&there, "k"), was);
    assert_eq!(opened(&there, "k", &first).unwrap(), b"one");
    assert_eq!(opened(&there, "k", &third).unwrap(), b"three");
    assert_eq!(opened(&there, "old", &of_old).unwrap(), b"old");
    assert_eq!(index(&there, &id("k")), indexed);
    assert!(
        there.fetch(b"k@2", OWNER).is_err(),
        "compromised there, too"
    );
}

#[test]
fn plain_keys_become_one_logical_key_again_with_its_id() {
    for first_is_bare in [false, true] {
        let (from, to) = (Place::new(), Place::new());
        let keyring = from.open().unwrap();
        match first_is_bare {
            false => create(&keyring, "k"),
            true => {
                keyring
                    .by(&Caller::Unknown)
                    .store_key(b"k", OWNER, b"AES", &[3; 32])
                    .unwrap();
                keyring
                    .by(&Caller::Unknown)
                    .adopt(&id("k"), &Wanted::default())
                    .unwrap();
            }
        }
        let first = seal(&keyring, "k", b"one");
        keyring.by(&Caller::Unknown).rotate(&id("k"), true).unwrap();
        let second = seal(&keyring, "k", b"two");
        let indexed = index(&keyring, &id("k"));
        let was = logical_id(&keyring, "k");
        let there = to.open().unwrap();
        as_plain_keys(&keyring, &there);
        create(&there, "other");
        assert_eq!(opened(&there, "k", &second), Err(Kind::NotFound));
        let how = |id, versions| Adopting {
            id,
            versions,
            ..Adopting::default()
        };
        let refused = |key, how: Adopting| {
            there
                .by(&Caller::Unknown)
                .adopt(&id(key), &how)
                .unwrap_err()
        };
        assert!(
            refused("k", how(Some(was), false))
                .advice()
                .unwrap()
                .contains("--versions")
        );
        let others = logical_id(&there, "other");
        let e = refused("k", how(Some(others), true));
        assert_eq!(e.kind(), Kind::AlreadyExists);
        assert!(e.to_string().contains("'other'"), "{e}");
        assert_eq!(refused("none", how(None, true)).kind(), Kind::NotFound);
        let made = there
            .by(&Caller::Unknown)
            .adopt(&id("k"), how(Some(was), true))
            .unwrap();
        assert_eq!(made, [1, 2]);
        drop(there);
        let there = to.open().unwrap();
        assert_eq!(opened(&there, "k", &first).unwrap(), b"one");
        assert_eq!(opened(&there, "k", &second).unwrap(), b"two");
        let sealed = seal(&there, "k", b"x");
        assert_eq!(Sealed::parse(&sealed).unwrap().version, 2);
        let anew = index(&there, &id("k"));
        assert_ne!(
            anew, indexed,
            "the secret of the index is not in a plain key"
        );
        assert_eq!(
            there.by(&Caller::Unknown).rotate(&id("k"), true).unwrap(),
            3
        );
        assert_eq!(index(&there, &id("k")), anew);
        let e = there
            .by(&Caller::Unknown)
            .adopt(&id("k"), how(Some(was), true))
            .unwrap_err();
        assert_eq!(e.kind(), Kind::KeyState, "nothing is left to be adopted");
    }
}

#[test]
fn without_its_id_a_key_opens_nothing_and_the_error_says_why() {
    let (from, to) = (Place::new(), Place::new());
    let keyring = made(&from, "k");
    let value = seal(&keyring, "k", b"one");
    let was = logical_id(&keyring, "k");
    let there = to.open().unwrap();
    as_plain_keys(&keyring, &there);
    let mut how = Adopting {
        versions: true,
        ..Adopting::default()
    };
    there.by(&Caller::Unknown).adopt(&id("k"), &how).unwrap();
    let parsed = Sealed::parse(&value).unwrap();
    let mut keys = there.opening_keys(&id("k"), 1, Opens::Sound).unwrap().keys;
    let e = parsed.open(&mut keys, b"c", &mut Vec::new()).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered);
    assert!(e.advice().unwrap().contains("key adopt --id"), "{e}");
    // The way back: its material under another name, with the id.
    let material = there.fetch(b"k@1", OWNER).unwrap().unwrap();
    (there
        .by(&Caller::Unknown)
        .store_key(b"was@1", OWNER, b"AES", material.material()))
    .unwrap();
    how.id = Some(was);
    there.by(&Caller::Unknown).adopt(&id("was"), &how).unwrap();
    assert_eq!(opened(&there, "was", &value).unwrap(), b"one");
}

#[test]
fn an_adoption_of_versions_that_was_broken_off_is_ended_by_the_same_call() {
    let (from, to) = (Place::new(), Place::new());
    let keyring = made(&from, "k");
    let first = seal(&keyring, "k", b"one");
    keyring.by(&Caller::Unknown).rotate(&id("k"), true).unwrap();
    keyring.by(&Caller::Unknown).rotate(&id("k"), true).unwrap();
    let third = seal(&keyring, "k", b"three");
    let was = logical_id(&keyring, "k");
    let there = to.open().unwrap();
    as_plain_keys(&keyring, &there);
    drop(there);
    let how = Adopting {
        id: Some(was),
        versions: true,
        ..Adopting::default()
    };
    let before = to.read();
    to.open()
        .unwrap()
        .by(&Caller::Unknown)
        .adopt(&id("k"), &how)
        .unwrap();
    let after = to.read();
    assert!(after.starts_with(&before), "records were added");
    // Cut between two records or within one: a start reads what is whole.
    let (mut indexes, mut halves) = (Vec::new(), 0);
    for end in (before.len()..=after.len()).step_by(97) {
        let cut = Place::new();
        cut.write(&after[..end]);
        let there = cut.open().unwrap();
        let half = there.logical_key(&id("k")).map(|key| key.made.len());
        if half.as_ref().is_ok_and(|n| *n == 3) {
            continue;
        }
        if half.is_ok() {
            halves += 1;
            assert_eq!(opened(&there, "k", &third).unwrap(), b"three");
            indexes.push(index(&there, &id("k")));
            let other = Adopting {
                id: Some([1; 16]),
                ..how.clone()
            };
            let e = there
                .by(&Caller::Unknown)
                .adopt(&id("k"), &other)
                .unwrap_err();
            assert_eq!(e.kind(), Kind::KeyState, "another id is another key");
        }
        there.by(&Caller::Unknown).adopt(&id("k"), &how).unwrap();
        assert_eq!(opened(&there, "k", &first).unwrap(), b"one");
        assert_eq!(opened(&there, "k", &third).unwrap(), b"three");
        if half.is_ok() {
            indexes.push(index(&there, &id("k")));
        }
    }
    assert!(halves > 1, "there are states in between");
    assert!(indexes.windows(2).all(|two| two[0] == two[1]));
}

#[test]
fn what_is_no_version_is_not_taken_for_one() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let how = Adopting {
        versions: true,
        ..Adopting::default()
    };
    let store = |name: &[u8], owner: &[u8], kind: &[u8]| {
        keyring
            .by(&Caller::Unknown)
            .store_key(name, owner, kind, &[7; 32])
            .unwrap();
    };
    store(b"k", OWNER, b"AES");
    store(b"k@1", OWNER, b"AES");
    let e = keyring
        .by(&Caller::Unknown)
        .adopt(&id("k"), &how)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists, "{e}");
    store(b"m@1", OWNER, b"AES");
    store(b"m@2", OWNER, b"SECRET");
    let e = keyring
        .by(&Caller::Unknown)
        .adopt(&id("m"), &how)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::InvalidInput, "{e}");
    // Of others, or not as a version is called.
    store(b"n@4", OWNER, b"AES");
    store(b"n@5", b"other@%", b"AES");
    store(b"n@06", OWNER, b"AES");
    store(b"nn@7", OWNER, b"AES");
    assert_eq!(
        keyring.by(&Caller::Unknown).adopt(&id("n"), &how).unwrap(),
        [4]
    );
    let value = seal(&keyring, "n", b"x");
    let mut earlier = value.clone();
    earlier[2] = 3;
    assert_eq!(
        opened(&keyring, "n", &earlier),
        Err(Kind::KeyState),
        "it is gone"
    );
    assert_eq!(opened(&keyring, "n", &value).unwrap(), b"x");
    assert_eq!(
        keyring.by(&Caller::Unknown).rotate(&id("n"), true).unwrap(),
        5
    );
}
