//! A keyring under Azure as data: tests/vectors/azure_key_vault/good.ward, and `answer`, what a vault's unwrapkey gave for it.
//! From the first release on they are never made anew. Part of tests/contract_azure_key_vault.rs.

#![allow(clippy::unwrap_used)]

use super::azure_logins::get;
use super::{ENVIRONMENT, Place};
use keyring_ward::caller::Caller;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use serde_json::json;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/azure_key_vault")
}

/// No key is needed: the fake answers what it did then.
#[test]
fn a_keyring_of_the_first_version_opens() {
    let place = Place::new();
    let file = std::fs::read(folder().join("good.ward")).unwrap();
    std::fs::write(place.write("keyring", ""), &file).unwrap();
    let answer = std::fs::read_to_string(folder().join("answer")).unwrap();
    place.fake.set("fault_on", "/unwrapkey");
    place
        .fake
        .set("fault", &format!("answer 200 {}", answer.trim()));
    let config = place.config(&json!({}));
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    let key = keyring.fetch(b"k", b"o").unwrap().unwrap();
    assert_eq!(key.material(), b"material of the vector");
    // What was asked is what docs/reference/format.md says: the version is the stanza's parameters.
    let calls = place.fake.take_calls();
    let version = calls[1].split('/').nth(3).unwrap();
    let bytes = data_encoding::HEXLOWER.decode(version.as_bytes()).unwrap();
    let has = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    assert!(has(&[&[16, 0], &bytes[..]].concat()), "{calls:?}");
    assert!(
        has(format!("/keys/mysql/{version}").as_bytes()),
        "{calls:?}"
    );
}

#[test]
#[ignore = "the vector was made once"]
fn make_vector() {
    let place = Place::new();
    let config = place.config(&json!({}));
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"k", b"o", b"SECRET", b"material of the vector")
        .unwrap();
    let answer = get(&place, "/last/unwrapped");
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::copy(place.path("keyring"), folder().join("good.ward")).unwrap();
    std::fs::write(folder().join("answer"), format!("{answer}\n")).unwrap();
}
