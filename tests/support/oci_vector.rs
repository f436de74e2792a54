//! A keyring under OCI Vault as data: tests/vectors/oci_vault/good.ward, and `answer`, what decrypt gave for it. From the
//! first release on they are never made anew. Part of tests/contract_oci_vault.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::oci::KEY;
use super::kms_proxy::Proxy;
use super::{ENVIRONMENT, Place};
use keyring_ward::caller::Caller;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/oci_vault")
}

/// No fake is needed: a proxy before nothing answers what OCI did.
#[test]
fn a_keyring_of_the_first_version_opens() {
    let place = Place::new();
    let file = std::fs::read(folder().join("good.ward")).unwrap();
    let path = place.path("keyring");
    std::fs::write(&path, &file).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let proxy = Proxy::start(super::ports::closed());
    let answer = std::fs::read_to_string(folder().join("answer")).unwrap();
    proxy.set_fault(&format!("answer 200 {}", answer.trim()));
    let changes = json!({"crypto_endpoint": proxy.url()});
    let config = place.try_config(&changes).unwrap();
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    let key = keyring.fetch(b"k", b"o").unwrap().unwrap();
    assert_eq!(key.material(), b"material of the vector");
    // What was asked is what docs/reference/format.md says.
    let asked: Value = serde_json::from_slice(&proxy.take_requests()[0].body).unwrap();
    assert_eq!(asked["keyId"], KEY);
    let ciphertext = asked["ciphertext"].as_str().unwrap();
    let ciphertext = data_encoding::BASE64.decode(ciphertext.as_bytes()).unwrap();
    let stands = |bytes: &[u8]| file.windows(bytes.len()).any(|w| w == bytes);
    assert!(stands(&ciphertext) && stands(KEY.as_bytes()));
    let bound = &asked["associatedData"];
    assert_eq!(bound.as_object().unwrap().len(), 2);
    assert_eq!(bound["product"], "keyring-ward");
    let file_id = bound["file-id"].as_str().unwrap();
    let file_id = data_encoding::HEXLOWER.decode(file_id.as_bytes()).unwrap();
    assert!(file[..64].windows(16).any(|w| w == file_id));
}

#[test]
#[ignore = "the vector was made once"]
fn make_vector() {
    let place = Place::new();
    let proxy = Proxy::start(place.fake.address);
    let changes = json!({"crypto_endpoint": proxy.url()});
    let config = place.try_config(&changes).unwrap();
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"k", b"o", b"SECRET", b"material of the vector")
        .unwrap();
    // What was unwrapped as proof is what was wrapped: a fake with the same key gives it again.
    let requests = proxy.take_requests();
    let asked = requests.last().unwrap();
    let answer = super::oci_fake::again(&place, &asked.body);
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::copy(place.path("keyring"), folder().join("good.ward")).unwrap();
    std::fs::write(folder().join("answer"), format!("{answer}\n")).unwrap();
}
