//! A keyring under Vault as data: tests/vectors/vault/good.ward, and `answer`, what Vault's decrypt gave for it. From the
//! first release on they are never made anew. Part of tests/contract_vault.rs.

#![allow(clippy::unwrap_used)]

use super::kms_proxy::Proxy;
use super::{BAO, Place};
use keyring_ward::caller::Caller;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const ENVIRONMENT: Environment = Environment {
    data_dir: None,
    look_only: false,
    starting: true,
    making: false,
    snapshot_if_locked: false,
    audit: None,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/vault")
}

/// No server is needed: a proxy before nothing answers what Vault did.
#[test]
fn a_keyring_of_the_first_version_opens() {
    let place = Place::with_token("t");
    let file = std::fs::read(folder().join("good.ward")).unwrap();
    let path = place.path("keyring");
    std::fs::write(&path, &file).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let proxy = Proxy::start(super::ports::closed());
    let answer = std::fs::read_to_string(folder().join("answer")).unwrap();
    proxy.set_fault(&format!("answer 200 {}", answer.trim()));
    let config = place.try_config(&proxy.url(), &json!({})).unwrap();
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    let key = keyring.fetch(b"k", b"o").unwrap().unwrap();
    assert_eq!(key.material(), b"material of the vector");
    // What was asked is what docs/reference/format.md says.
    let asked: Value = serde_json::from_slice(&proxy.take_requests()[0].body).unwrap();
    let ciphertext = asked["ciphertext"].as_str().unwrap();
    assert!(ciphertext.starts_with("vault:v1:"));
    assert!(
        file.windows(ciphertext.len())
            .any(|w| w == ciphertext.as_bytes())
    );
    let bound = asked["associated_data"].as_str().unwrap();
    let bound = data_encoding::BASE64.decode(bound.as_bytes()).unwrap();
    let bound = String::from_utf8(bound).unwrap();
    let file_id = bound.strip_prefix("product=keyring-ward,file-id=").unwrap();
    let file_id = data_encoding::HEXLOWER.decode(file_id.as_bytes()).unwrap();
    assert!(file[..64].windows(16).any(|w| w == file_id));
}

#[test]
#[ignore = "the vector was made once"]
fn make_vector() {
    let bao = BAO.as_ref().unwrap();
    let place = Place::with_token(&bao.root);
    let proxy = Proxy::start(bao.plain);
    let config = place.try_config(&proxy.url(), &json!({})).unwrap();
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    proxy.take_requests();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"k", b"o", b"SECRET", b"material of the vector")
        .unwrap();
    let asked: Value = serde_json::from_slice(&proxy.take_requests()[0].body).unwrap();
    let answer = json!({"data": {"plaintext": asked["plaintext"]}});
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::copy(place.path("keyring"), folder().join("good.ward")).unwrap();
    std::fs::write(folder().join("answer"), format!("{answer}\n")).unwrap();
}
