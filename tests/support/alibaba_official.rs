//! The vendor's official Python clients against the fake, and against us: what we wrapped they open, and the other way
//! round, by docs/reference/format.md alone. Part of tests/contract_alibaba_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::alibaba::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, ACCOUNT, KEY, OTHER_KEY, PROVIDER_ARN, REGION, ROLE,
    ROLE_ARN, RSA_KEY,
};
use super::clouds::official;
use super::{DEK, FILE, LOCAL, Place, opens, wrap};
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use data_encoding::{BASE64, HEXLOWER};
use hkdf::Hkdf;
use keyring_ward::format::stanza::Stanza;
use serde_json::json;
use sha2::Sha256;

const SCRIPT: &str = "alibaba_official.py";

/// The local key and the commitment that a data key gives.
fn derived(data_key: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut bytes = [0; 64];
    let hkdf = Hkdf::<Sha256>::new(None, data_key);
    hkdf.expand(b"keyring-ward/1 alibaba_kms", &mut bytes)
        .unwrap();
    let (key, commitment) = bytes.split_at(32);
    (key.try_into().unwrap(), commitment.try_into().unwrap())
}

/// The values of the lines `NAME: VALUE`.
fn printed<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn the_official_clients_get_along_with_the_fake_and_with_us() {
    let place = Place::new();
    place.pod();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let context = format!(
        r#"{{"product":"keyring-ward","file-id":"{}"}}"#,
        HEXLOWER.encode(&FILE)
    );
    let arguments = json!({
        "address": place.fake.address.to_string(), "region": REGION, "access_key_id": ACCESS_KEY_ID,
        "access_key_secret": ACCESS_KEY_SECRET, "key": KEY, "other_key": OTHER_KEY, "rsa_key": RSA_KEY,
        "arn": format!("acs:kms:{REGION}:{ACCOUNT}:key/{KEY}"), "alias": "alias/mysql", "role": ROLE, "role_arn": ROLE_ARN,
        "provider_arn": PROVIDER_ARN, "token_file": place.path("token"), "context": context,
        "ours": BASE64.encode(&stanza.blob[LOCAL..]),
    });
    let Some(text) = official::run(SCRIPT, &[&arguments.to_string()]) else {
        return;
    };
    // What we wrapped, they gave back: the DEK is in the stanza under it.
    let data_key = BASE64
        .decode(printed(&text, "opened ours").as_bytes())
        .unwrap();
    let (key, commitment) = derived(&data_key);
    assert_eq!(commitment, stanza.commitment);
    let aad = stanza.associated_data(&FILE);
    let sealed = Payload {
        msg: &stanza.blob[12..LOCAL],
        aad: &aad,
    };
    let nonce = stanza.blob[..12].try_into().unwrap();
    let opened = Aes256Gcm::new(&key.into()).decrypt(&nonce, sealed).unwrap();
    assert_eq!(opened, DEK);
    // What they made, we open.
    let blob = BASE64
        .decode(printed(&text, "made for us").as_bytes())
        .unwrap();
    let data_key = BASE64
        .decode(printed(&text, "its data key").as_bytes())
        .unwrap();
    let (key, commitment) = derived(&data_key);
    let names = ("alibaba_kms", "data-key+aes-256-gcm");
    let mut theirs = Stanza::begin(names, KEY.into(), None, Vec::new());
    theirs.commitment = commitment;
    let aad = theirs.associated_data(&FILE);
    let nonce = [3; 12];
    let sealed = Payload {
        msg: &DEK,
        aad: &aad,
    };
    let sealed = Aes256Gcm::new(&key.into())
        .encrypt(&nonce.into(), sealed)
        .unwrap();
    theirs.blob = [&nonce[..], &sealed, &blob].concat();
    opens(&*kek, &theirs);
}
