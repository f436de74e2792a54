//! Google's own Python client against the fake, and what each side wraps for the other. Part of tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::google::ACCOUNT_FILE;
use super::clouds::google::jwt::{account_pair, public_key};
use super::clouds::official;
use super::gcp_federation::{external, subject_token};
use super::{FILE, Place, opens, wrap};
use data_encoding::BASE64;
use keyring_ward::envelope::LOCAL_BLOB;
use serde_json::json;

#[test]
fn googles_own_client_and_ours_are_understood_by_the_same_fake() {
    let place = Place::new();
    let account = place.secret("account.json", ACCOUNT_FILE);
    // A token that our client signed.
    let signed = place
        .kek(json!({"auth": "service_account", "credentials_file": account, "metadata_url": null}));
    wrap(&*signed).unwrap();
    let header = place.last().header("authorization").unwrap().to_string();
    std::fs::write(place.path("token"), header.strip_prefix("Bearer ").unwrap()).unwrap();
    let public = BASE64.encode(&public_key(&account_pair()));
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n");
    std::fs::write(place.path("public.pem"), pem).unwrap();
    // Identities that somebody else vouches for.
    let token = place.secret("subject", &subject_token(&place, json!({})));
    let foreign = place.secret(
        "foreign",
        &subject_token(&place, json!({"aud": "https://example.org"})),
    );
    for (name, impersonated, subject) in [
        ("external.json", false, &token),
        ("impersonated.json", true, &token),
        ("foreign.json", false, &foreign),
    ] {
        let file = external(
            &place,
            impersonated,
            json!({"credential_source": {"file": subject}}),
        );
        std::fs::write(place.path(name), file.to_string()).unwrap();
    }
    let kek = place.kek(json!({}));
    let mut stanza = wrap(&*kek).unwrap();
    let bound = format!(
        "product=keyring-ward,file-id={}",
        data_encoding::HEXLOWER.encode(&FILE)
    );
    std::fs::write(place.path("bound"), bound).unwrap();
    std::fs::write(place.path("ciphertext"), &stanza.blob[LOCAL_BLOB..]).unwrap();
    let address = place.fake.address.to_string();
    let folder = place.folder.path().to_str().unwrap();
    let Some(told) = official::run("google_official.py", &[&address, folder]) else {
        return;
    };
    assert!(
        told.lines().filter(|l| l.starts_with("ok: ")).count() > 30,
        "{told}"
    );
    // The data key, as Google's client wrapped it anew, opens what our data key wrapped.
    let again = std::fs::read(place.path("again")).unwrap();
    assert_ne!(again, stanza.blob[LOCAL_BLOB..]);
    stanza.blob.truncate(LOCAL_BLOB);
    stanza.blob.extend_from_slice(&again);
    opens(&*kek, &stanza);
}
