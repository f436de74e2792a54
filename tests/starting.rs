//! A local obstacle at the server's start may pass; and a lesser word in a lesser file.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use common::Place;
use keyring_ward::caller::Caller;
use keyring_ward::config::Config;
use keyring_ward::error::Kind;
use keyring_ward::keyring::{Environment, Keyring, starting};
use keyring_ward::secret::SecretPool;
use keyring_ward::store::lock::Lock;
use std::sync::mpsc;
use std::time::Duration;

/// Opens as a server does that starts; `passes` takes the obstacle away once the keyring says that it waits.
fn start(
    config: &Config,
    environment: &Environment,
    passes: impl FnOnce() + Send,
) -> (keyring_ward::error::Result<Keyring>, Vec<String>) {
    let (tell, told) = mpsc::channel();
    let mut sentences = Vec::new();
    let keyring = std::thread::scope(|scope| {
        scope.spawn(move || {
            if told.recv().is_ok() {
                passes();
            }
        });
        let opened = starting::open(config, environment, &SecretPool::new(), |sentence| {
            sentences.push(sentence.to_string());
            let _ = tell.send(());
        });
        // Where nothing was said nobody waits any more.
        drop(tell);
        opened
    });
    (keyring, sentences)
}

fn with_a_key() -> (Place, Config, Environment) {
    let place = Place::new();
    let mut config = place.config();
    config.patience.start = Duration::from_secs(60);
    let environment = Environment {
        starting: true,
        ..place.server()
    };
    let keyring = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"a", b"", b"AES", 32)
        .unwrap();
    (place, config, environment)
}

#[test]
fn a_lock_that_is_given_back_is_waited_for() {
    let (place, config, environment) = with_a_key();
    let lock = Lock::acquire(&place.keyring_file()).unwrap();
    let (keyring, said) = start(&config, &environment, move || drop(lock));
    assert_eq!(keyring.unwrap().len(), 1);
    assert!(said[0].contains("the lock of"), "{said:?}");
    assert!(said[1].contains("waits no more"), "{said:?}");
}

#[test]
fn a_volume_and_a_secret_that_come_later_are_waited_for() {
    for what in ["keyring.ward", "kek"] {
        let (place, config, environment) = with_a_key();
        let (there, away) = (place.dir.path().join(what), place.dir.path().join("away"));
        std::fs::rename(&there, &away).unwrap();
        let back = || std::fs::rename(&away, &there).unwrap();
        let (keyring, said) = start(&config, &environment, back);
        assert_eq!(keyring.unwrap().len(), 1, "{what}");
        assert!(said[0].contains(what), "{said:?}");
    }
}

#[test]
fn the_waiting_ends_and_only_a_start_waits() {
    let (place, mut config, environment) = with_a_key();
    let _lock = Lock::acquire(&place.keyring_file()).unwrap();
    config.patience.start = Duration::from_millis(300);
    let (keyring, said) = start(&config, &environment, || ());
    let e = keyring.map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Locked);
    assert!(e.to_string().contains("start_timeout"), "{e}");
    assert_eq!(said.len(), 1);
    let (keyring, said) = start(&config, &place.server(), || ());
    assert_eq!(keyring.map(drop).unwrap_err().kind(), Kind::Locked);
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn what_a_kek_refuses_is_not_tried_again() {
    let (place, config, environment) = with_a_key();
    common::write_secret(&place.key_file(), &[7; 32]);
    let (keyring, said) = start(&config, &environment, || ());
    assert_eq!(keyring.map(drop).unwrap_err().kind(), Kind::WrongKek);
    assert!(said.is_empty(), "{said:?}");
}
