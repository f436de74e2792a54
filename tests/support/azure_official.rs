//! Azure's own Python client against the fake, and beside our client. Part of tests/contract_azure_key_vault.rs.

#![allow(clippy::unwrap_used)]

use super::azure_logins::{by_certificate, certificate, get};
use super::clouds::azure::{CLIENT_ID, CLIENT_SECRET, IDENTITY_HEADER};
use super::clouds::official::run;
use super::{DEK, FILE, LOCAL, Place, opens, wrap};
use data_encoding::HEXLOWER;
use keyring_ward::format::stanza::Stanza;
use serde_json::json;

const SCRIPT: &str = "azure_official.py";

#[test]
fn azures_own_client_takes_the_fake_for_azure() {
    let place = Place::new();
    let (pem, key) = certificate();
    place.fake.set("certificate", &pem);
    let both = place.write("both.pem", &format!("{key}{pem}"));
    let token = place.write("token", &get(&place, "/cluster/token"));
    let address = place.fake.address.to_string();
    let arguments = [
        address.as_str(),
        both.to_str().unwrap(),
        token.to_str().unwrap(),
        CLIENT_ID,
        CLIENT_SECRET,
        IDENTITY_HEADER,
    ];
    let Some(text) = run(SCRIPT, &[&["all"], &arguments[..]].concat()) else {
        return;
    };
    assert!(
        text.contains("azure-keyvault-keys 4.11.3, azure-identity 1.27.0"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("all as expected"), "{text}");
}

#[test]
fn what_one_client_wrapped_the_other_one_unwraps() {
    let place = Place::new();
    place.fake.set("hsm", "");
    for (hsm, key, algorithm) in [
        ("", "mysql", "RSA-OAEP-256"),
        ("", "big", "RSA-OAEP-256"),
        ("yes", "aes", "A256KW"),
    ] {
        place.fake.set("hsm", hsm);
        let resource = if hsm.is_empty() {
            "https://vault.azure.net"
        } else {
            "https://managedhsm.azure.net"
        };
        let kek = place.kek(json!({"key": key, "algorithm": algorithm, "resource": resource}));
        let stanza = wrap(&*kek).unwrap();
        let address = place.fake.address.to_string();
        let version = HEXLOWER.encode(&stanza.params);
        let ours = [
            address.as_str(),
            key,
            &version,
            algorithm,
            &HEXLOWER.encode(&stanza.blob[LOCAL..]),
            &HEXLOWER.encode(&stanza.commitment),
            &HEXLOWER.encode(&stanza.blob[..LOCAL]),
            &HEXLOWER.encode(&stanza.associated_data(&FILE)),
            &HEXLOWER.encode(&DEK),
        ];
        let Some(text) = run(SCRIPT, &[&["unwrap"], &ours[..]].concat()) else {
            return;
        };
        assert!(text.contains("the DEK is that of the stanza"), "{text}");
        // The other way round: it wraps, and makes the stanza by docs/reference/format.md.
        let theirs = [
            address.as_str(),
            key,
            &version,
            algorithm,
            &HEXLOWER.encode(&stanza.associated_data(&FILE)),
            &HEXLOWER.encode(&DEK),
        ];
        let text = run(SCRIPT, &[&["wrap"], &theirs[..]].concat()).unwrap();
        let field = |name: &str| -> Vec<u8> {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            HEXLOWER.decode(line.trim().as_bytes()).unwrap()
        };
        let made = Stanza {
            commitment: field("commitment ").try_into().unwrap(),
            blob: field("blob "),
            ..stanza
        };
        opens(&*kek, &made);
    }
}

#[test]
fn an_assertion_of_ours_is_verified_by_pyjwt() {
    let place = Place::new();
    let options = by_certificate(&place);
    wrap(&*place.kek(options)).unwrap();
    let assertion = get(&place, "/last/assertion");
    let audience = format!(
        "{}/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token",
        place.fake.url()
    );
    let file = place.path("certificate");
    let arguments = [
        "assertion",
        assertion.as_str(),
        file.to_str().unwrap(),
        &audience,
        CLIENT_ID,
    ];
    let Some(text) = run(SCRIPT, &arguments) else {
        return;
    };
    assert!(text.contains("the assertion is good"), "{text}");
}
