//! Oracle's own client against the fake, and what each of the two clients wraps opened by the other one. Part of
//! tests/contract_oci_vault.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::official;
use super::{FILE, Place, opens, wrap};
use data_encoding::HEXLOWER;
use keyring_ward::format::stanza::Stanza;

#[test]
fn oracles_client_and_ours_open_what_the_other_one_wrapped() {
    let place = Place::new();
    let kek = place.as_user();
    let stanza = wrap(&*kek).unwrap();
    let parts = [
        &FILE[..],
        &stanza.associated_data(&FILE),
        &stanza.commitment,
        &stanza.blob,
    ];
    let shown: Vec<String> = parts.iter().map(|part| HEXLOWER.encode(part)).collect();
    let (address, file) = (place.fake.address.to_string(), place.path("key.pem"));
    let arguments = [&address, file.to_str().unwrap(), &shown.join(":")];
    let Some(printed) = official::run("oci_official.py", &arguments) else {
        return;
    };
    for line in [
        "a user: generate_data_encryption_key, decrypt: the same key",
        "an instance: federation, generate_data_encryption_key, decrypt: the same key",
        "clock 600: 401 NotAuthenticated",
        "what our client wrapped: opened",
    ] {
        assert!(printed.contains(line), "{line}");
    }
    let made = printed.lines().find_map(|l| l.strip_prefix("stanza: "));
    let (commitment, blob) = made.unwrap().split_once(':').unwrap();
    let bytes = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let theirs = Stanza {
        commitment: bytes(commitment).try_into().unwrap(),
        blob: bytes(blob),
        ..stanza
    };
    opens(&*kek, &theirs);
}
