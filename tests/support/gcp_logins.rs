//! Logging in to Google as a machine's service account, and by a service account's key: how many requests it costs, and each
//! way to be wrong. Part of tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::google::ACCOUNT_FILE;
use super::gcp_federation::external;
use super::{Place, TOKEN, call, not_opened, opens, refused, unwrap, wrap, write_secret};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use data_encoding::BASE64;
use keyring_ward::error::Kind;
use serde_json::{Value, json};

#[test]
fn the_machines_service_account_logs_in_with_two_requests() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(place.fake.take_calls(), [TOKEN, &call("encrypt")]);
    opens(&*kek, &stanza);
    assert_eq!(place.fake.take_calls(), [TOKEN, &call("decrypt")]);
    place.fake.set("account", "none");
    not_opened(
        "metadata: no service account",
        &*kek,
        &stanza,
        Kind::Denied,
        "This machine has no service account",
    );
    place.fake.set("account", "");
    place.fake.set("flavor", "none");
    not_opened(
        "metadata: without its header",
        &*kek,
        &stanza,
        Kind::Config,
        "no Metadata-Flavor: Google",
    );
    place.fake.set("flavor", "");
    place.fake.set(
        "scopes",
        "https://www.googleapis.com/auth/devstorage.read_only",
    );
    not_opened(
        "metadata: the machine's scopes are too few",
        &*kek,
        &stanza,
        Kind::Denied,
        "--scopes cloud-platform",
    );
    place
        .fake
        .set("scopes", "https://www.googleapis.com/auth/cloudkms");
    opens(&*kek, &stanza);
    place.fake.set("scopes", "");
    place.fake.set("token_seconds", "0");
    let said = not_opened(
        "metadata: the token has expired when it is used",
        &*kek,
        &stanza,
        Kind::Denied,
        "ACCESS_TOKEN_EXPIRED",
    );
    assert!(!said.contains("ya29"), "{said}");
    place.fake.set("token_seconds", "");
    opens(&*kek, &stanza);
}

/// The service account's file with another key in it.
fn with_key(pair: &KeyPair) -> String {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64.encode(der.as_ref())
    );
    let mut file: Value = serde_json::from_str(ACCOUNT_FILE).unwrap();
    file["private_key"] = pem.into();
    file.to_string()
}

#[test]
fn a_service_accounts_key_logs_in_by_itself() {
    let place = Place::new();
    let file = place.secret("account.json", ACCOUNT_FILE);
    let changes =
        json!({"auth": "service_account", "metadata_url": null, "credentials_file": file});
    let kek = place.kek(changes);
    let stanza = wrap(&*kek).unwrap();
    assert_eq!(place.fake.take_calls(), [call("encrypt")]);
    opens(&*kek, &stanza);
    assert_eq!(place.fake.take_calls(), [call("decrypt")]);
    // Clocks that differ: Google takes what is not of the future, and not over.
    for (clock, words) in [
        ("600", ""),
        ("-200", ""),
        ("-600", "600 s"),
        ("4000", "-4000 s"),
    ] {
        place.fake.set("clock", clock);
        match words {
            "" => opens(&*kek, &stanza),
            words => {
                let what = format!("service_account: Google's clock is {clock} s ahead");
                let said = not_opened(&what, &*kek, &stanza, Kind::Denied, words);
                assert!(said.contains("clock of this machine differs"), "{said}");
            }
        }
    }
    place.fake.set("clock", "");
    let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
    for (what, text, kind, words) in [
        (
            "a key that Google does not know",
            with_key(&other),
            Kind::Denied,
            "service-accounts keys list",
        ),
        (
            "another account",
            ACCOUNT_FILE.replace("keyring@", "other@"),
            Kind::Denied,
            "does not accept the token",
        ),
        (
            "another key's id",
            ACCOUNT_FILE.replace("0123456789abcdef", "ffffffffffffffff"),
            Kind::Denied,
            "does not accept the token",
        ),
        ("no JSON", "HIDDEN".into(), Kind::Config, "is no JSON"),
        (
            "an external account",
            external(&place, false, json!({})).to_string(),
            Kind::Config,
            "Set auth to federation",
        ),
    ] {
        write_secret(&file, &text);
        let said = refused(&format!("service_account: {what}"), &*kek, kind, words);
        assert!(
            !said.contains("PRIVATE") && !said.contains("HIDDEN") && !said.contains("eyJ"),
            "{said}"
        );
    }
    write_secret(&file, ACCOUNT_FILE);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    refused(
        "others may read the service account's key",
        &*kek,
        Kind::Permission,
        "chmod 600",
    );
    std::fs::remove_file(&file).unwrap();
    refused(
        "the service account's key is not there",
        &*kek,
        Kind::NotFound,
        "account.json",
    );
    assert!(unwrap(&*kek, &stanza).is_err());
}
