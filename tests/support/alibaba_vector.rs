//! A keyring under Alibaba Cloud KMS as data: tests/vectors/alibaba_kms/good.ward, and `answer`, what the fake's Decrypt gave for
//! it. From the first release on they are never made anew. Part of tests/contract_alibaba_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::alibaba::{KEY, OTHER_KEY};
use super::clouds::{pairs, value};
use super::kms_proxy::Proxy;
use super::{ENVIRONMENT, Place};
use data_encoding::{BASE64, HEXLOWER};
use keyring_ward::caller::Caller;
use keyring_ward::error::Kind;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/alibaba_kms")
}

/// The parameters of what was asked.
fn asked(proxy: &Proxy) -> Vec<(String, String)> {
    pairs(std::str::from_utf8(&proxy.take_requests()[0].body).unwrap())
}

#[test]
fn a_keyring_of_the_first_version_opens() {
    let place = Place::new();
    let file = std::fs::read(folder().join("good.ward")).unwrap();
    let path = place.path("keyring");
    std::fs::write(&path, &file).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let proxy = Proxy::start(place.fake.address);
    let answer = std::fs::read_to_string(folder().join("answer")).unwrap();
    proxy.set_fault(&format!("answer 200 {}", answer.trim()));
    let config = place.try_config(&json!({"endpoint": proxy.url()})).unwrap();
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    let key = keyring.fetch(b"k", b"o").unwrap().unwrap();
    assert_eq!(key.material(), b"material of the vector");
    // What was asked is what docs/reference/format.md says.
    let asked = asked(&proxy);
    let ciphertext = BASE64
        .decode(value(&asked, "CiphertextBlob").as_bytes())
        .unwrap();
    assert!(file.windows(ciphertext.len()).any(|w| w == ciphertext));
    let context = value(&asked, "EncryptionContext");
    let file_id = context
        .strip_prefix(r#"{"product":"keyring-ward","file-id":""#)
        .and_then(|rest| rest.strip_suffix(r#""}"#));
    let file_id = HEXLOWER.decode(file_id.unwrap().as_bytes()).unwrap();
    // The header has zeroes, too.
    assert_ne!(file_id, [0; 16]);
    assert!(file[..64].windows(16).any(|w| w == file_id));
    drop(keyring);
    let config = place.try_config(&json!({"endpoint": proxy.url(), "key_id": OTHER_KEY}));
    let e = Keyring::open(&config.unwrap(), &ENVIRONMENT, &SecretPool::new());
    assert_eq!(e.err().unwrap().kind(), Kind::WrongKek);
}

#[test]
#[ignore = "the vector was made once"]
fn make_vector() {
    let place = Place::new();
    let proxy = Proxy::start(place.fake.address);
    let config = place.try_config(&json!({"endpoint": proxy.url()})).unwrap();
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"k", b"o", b"SECRET", b"material of the vector")
        .unwrap();
    drop(keyring);
    proxy.take_requests();
    // What opens it, of the fake itself.
    drop(Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap());
    let opened = super::alibaba_honest::decrypt(&place, &asked(&proxy));
    let answer: Value = json!({"KeyId": KEY, "Plaintext": opened["Plaintext"]});
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::copy(place.path("keyring"), folder().join("good.ward")).unwrap();
    std::fs::write(folder().join("answer"), format!("{answer}\n")).unwrap();
}
