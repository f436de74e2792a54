//! A keyring under Google Cloud KMS as data: tests/vectors/gcp_kms/good.ward, and `answer`, what decrypt gave for it. From
//! the first release on they are never made anew. Part of tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::google::KEY;
use super::{ENVIRONMENT, Place};
use keyring_ward::caller::Caller;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/gcp_kms")
}

fn opens(place: &Place) {
    let keyring =
        Keyring::open(&place.config(&json!({})), &ENVIRONMENT, &SecretPool::new()).unwrap();
    let key = keyring.fetch(b"k", b"o").unwrap().unwrap();
    assert_eq!(key.material(), b"material of the vector");
}

#[test]
fn a_keyring_of_the_first_version_opens() {
    let place = Place::new();
    let file = std::fs::read(folder().join("good.ward")).unwrap();
    place.secret("keyring", "");
    std::fs::write(place.path("keyring"), &file).unwrap();
    // By what was answered then, whatever the fake would say now.
    let answer = std::fs::read_to_string(folder().join("answer")).unwrap();
    place.fake.set("fault_on", ":decrypt");
    place
        .fake
        .set("fault", &format!("answer 200 {}", answer.trim()));
    opens(&place);
    // What is asked is what docs/reference/format.md says; the fake decrypts it with nothing else.
    place.fake.set("fault", "");
    opens(&place);
    let asked = place.last();
    assert_eq!(asked.path, format!("/v1/{KEY}:decrypt"));
    let decoded = |name: &str| {
        let asked: Value = asked.json();
        data_encoding::BASE64
            .decode(asked[name].as_str().unwrap().as_bytes())
            .unwrap()
    };
    let ciphertext = decoded("ciphertext");
    assert!(file.windows(ciphertext.len()).any(|w| w == ciphertext));
    assert!(file.windows(KEY.len()).any(|w| w == KEY.as_bytes()));
    let bound = String::from_utf8(decoded("additionalAuthenticatedData")).unwrap();
    let file_id = bound.strip_prefix("product=keyring-ward,file-id=").unwrap();
    let file_id = data_encoding::HEXLOWER.decode(file_id.as_bytes()).unwrap();
    assert!(file[..64].windows(16).any(|w| w == file_id));
}

#[test]
#[ignore = "the vector was made once"]
fn make_vector() {
    let place = Place::new();
    let config = place.config(&json!({}));
    let keyring = Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    place.seen.lock().unwrap().clear();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"k", b"o", b"SECRET", b"material of the vector")
        .unwrap();
    let seen = place.seen.lock().unwrap();
    let encrypt = seen
        .iter()
        .find(|request| request.path.ends_with(":encrypt"));
    let asked = encrypt.unwrap().json();
    let answer =
        json!({"plaintext": asked["plaintext"], "plaintextCrc32c": asked["plaintextCrc32c"]});
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::copy(place.path("keyring"), folder().join("good.ward")).unwrap();
    std::fs::write(folder().join("answer"), format!("{answer}\n")).unwrap();
}
