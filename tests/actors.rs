//! Every change says who made it: in each kind of record, through reopening and rewrites, and however little room there is.
#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use keyring_ward::admin::Target;
use keyring_ward::admin::edit::{self, Moving};
use keyring_ward::caller::{Address, Caller, Login, Operator, Session};
use keyring_ward::key::extensions::{ACTOR, Extensions, MAX_ACTOR};
use keyring_ward::key::id::KeyId;
use keyring_ward::keyring::Keyring;
use keyring_ward::keyring::logical::Wanted;

const APP: Caller<'static> = Caller::Account(Session {
    login: Some(Login {
        user: b"app",
        host: b"localhost",
    }),
    account: Some(b"app@%"),
    address: Address::Socket,
    connection: Some(7),
    of_server: Some(false),
});
const APP_TEXT: &str = "app@localhost as app@% from socket #7";
const TOOL: Caller<'static> = Caller::Tool(Operator {
    user: 0,
    login: Some(1000),
    command: "reown",
});

fn actor(keyring: &Keyring, name: &[u8], owner: &[u8]) -> Option<String> {
    let key = keyring.read_key(name, owner).unwrap().unwrap();
    let said = key.said(ACTOR)?;
    Some(String::from_utf8(said.to_vec()).unwrap())
}

fn noted(text: &[u8]) -> Extensions {
    Extensions::new([(7, text.to_vec())]).unwrap()
}

#[test]
fn each_change_has_its_actor_through_reopening_and_rewrites() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let id = KeyId::new(b"l", b"app@%").unwrap();
    let by = keyring.by(&APP);
    by.generate(b"g", b"app@%", b"AES", 16).unwrap();
    by.store_key(b"s", b"app@%", b"AES", b"0123456789abcdef")
        .unwrap();
    by.create_logical(&id, b"AES", 32, &Wanted::default())
        .unwrap();
    keyring
        .by(&Caller::Server(None))
        .generate(b"i", b"", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"u", b"x@y", b"AES", 32)
        .unwrap();
    by.put_document("a-document", b"content").unwrap();
    let check = |keyring: &Keyring, of_s: &str| {
        for name in [&b"g"[..], b"l@1"] {
            assert_eq!(actor(keyring, name, b"app@%").as_deref(), Some(APP_TEXT));
        }
        assert_eq!(actor(keyring, b"s", b"app@%").as_deref(), Some(of_s));
        assert_eq!(actor(keyring, b"i", b"").as_deref(), Some("server"));
        assert_eq!(actor(keyring, b"u", b"x@y"), None);
        let document = keyring.document("a-document").unwrap();
        assert_eq!(document.extensions().get(ACTOR), Some(APP_TEXT.as_bytes()));
        place.check_bytes(keyring);
    };
    check(&keyring, APP_TEXT);
    // Attributes have an actor of their own, which counts from then on.
    keyring
        .by(&TOOL)
        .set_attributes(b"s", b"app@%", noted(b"x"))
        .unwrap();
    let changed = "tool as uid:0 for uid:1000 via reown";
    check(&keyring, changed);
    drop(keyring);
    let keyring = place.open().unwrap();
    check(&keyring, changed);
    keyring.by(&Caller::Server(None)).compact().unwrap();
    check(&keyring, changed);
    drop(keyring);
    let keyring = place.open().unwrap();
    check(&keyring, changed);
    // They go again, and so does a document.
    keyring
        .by(&APP)
        .set_attributes(b"s", b"app@%", Extensions::default())
        .unwrap();
    keyring.by(&APP).put_document("a-document", b"").unwrap();
    assert_eq!(actor(&keyring, b"s", b"app@%").as_deref(), Some(APP_TEXT));
    place.check_bytes(&keyring);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert!(keyring.document("a-document").is_none());
    place.check_bytes(&keyring);
}

/// The longest caller, and the shortest keys: what removes is never longer than what it removes, and bytes are counted right.
#[test]
fn a_removal_says_as_much_as_there_is_room_for() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let user = [b'u'; 230];
    let long = Caller::Account(Session {
        login: Some(Login {
            user: &user,
            host: b"a-host-with-a-long-name.example.org",
        }),
        account: Some(b"someone@%"),
        ..Session::default()
    });
    assert_eq!(long.actor().unwrap().len(), MAX_ACTOR);
    for (name, length) in [(&b"a"[..], 0), (b"b", 1), (b"c", 16), (b"longer-name", 300)] {
        keyring
            .by(&Caller::Unknown)
            .store_key(name, b"", b"AES", &vec![1; length])
            .unwrap();
        let before = place.read().len();
        let file = keyring.status().store;
        keyring.by(&long).remove(name, b"").unwrap();
        let grown = place.read().len() - before;
        assert!(
            grown as u64 <= file.live_bytes - keyring.status().store.live_bytes,
            "{name:?}"
        );
        place.check_bytes(&keyring);
    }
    // A short one has all of it, the key having said as much.
    keyring
        .by(&long)
        .store_key(b"d", b"", b"AES", b"x")
        .unwrap();
    keyring.by(&long).remove(b"d", b"").unwrap();
    let counted = |keyring: &Keyring| {
        let store = keyring.status().store;
        (store.live_bytes, store.dead_bytes)
    };
    let before = counted(&keyring);
    drop(keyring);
    let keyring = place.open().unwrap();
    assert_eq!(counted(&keyring), before);
}

/// Who moves a key is the actor of what is written then; and a move that was broken off goes on, whoever made the key.
#[test]
fn a_move_is_the_movers_and_goes_on() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    for name in [&b"one"[..], b"two"] {
        keyring
            .by(&APP)
            .generate(name, b"app@%", b"AES", 16)
            .unwrap();
        keyring
            .by(&APP)
            .set_attributes(name, b"app@%", noted(b"n"))
            .unwrap();
    }
    // As a crash leaves it: the key is there twice.
    let key = keyring.read_key(b"one", b"app@%").unwrap().unwrap();
    let new = KeyId::new(b"one", b"new@%").unwrap();
    let moved = key.renamed(new, keyring.pool()).unwrap();
    keyring
        .by(&TOOL)
        .restore_moved(moved.with_attributes(Extensions::default()))
        .unwrap();
    drop(keyring);
    let config = place.config();
    let target = Target {
        caller: TOOL,
        ..Target::from(&config)
    };
    let done = edit::reown(target, b"app@%", b"new@%", Moving::default()).unwrap();
    assert_eq!(done.keys.len(), 2);
    let keyring = place.open().unwrap();
    for name in [&b"one"[..], b"two"] {
        let said = actor(&keyring, name, b"new@%");
        assert_eq!(
            said.as_deref(),
            Some("tool as uid:0 for uid:1000 via reown")
        );
        let key = keyring.read_key(name, b"new@%").unwrap().unwrap();
        assert_eq!(key.attributes().get(7), Some(&b"n"[..]));
        assert!(keyring.read_key(name, b"app@%").unwrap().is_none());
    }
    place.check_bytes(&keyring);
}
