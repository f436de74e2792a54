//! Each refusal of a vault, as the fake gives it: its kind, its words, and what becomes of the key. Part of
//! tests/contract_azure_key_vault.rs.

#![allow(clippy::unwrap_used)]

use super::{Place, not_opened, opens, refused, unwrap, wrap};
use keyring_ward::error::Kind;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_disabled_key_wraps_and_is_found_out() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    place.fake.set("state", "disabled");
    place.fake.take_calls();
    refused(
        "a disabled key at a wrap",
        &*kek,
        Kind::Denied,
        "--enabled true --name mysql",
    );
    let calls = place.fake.take_calls();
    assert!(
        calls[1].ends_with("/wrapkey 200") && calls[2].ends_with("/unwrapkey 403"),
        "{calls:?}"
    );
    let e = not_opened(
        "a disabled key",
        &*kek,
        &stanza,
        Kind::Denied,
        "KeyDisabled: Operation unwrapKey is not allowed",
    );
    assert!(e.is_withdrawn(), "{e}");
    // It is tried once: what was refused is not tried again.
    assert_eq!(place.fake.take_calls().len(), 2);
    // The version that wrapped is disabled, and another one is the current one.
    place.fake.set("versions", "2");
    place.fake.set("state", "disabled=1");
    let e = not_opened(
        "a disabled version",
        &*kek,
        &stanza,
        Kind::Denied,
        "KeyDisabled",
    );
    let version = data_encoding::HEXLOWER.encode(&stanza.params);
    assert!(e.to_string().contains(&version), "{e}");
    opens(&*kek, &wrap(&*kek).unwrap());
    place.fake.set("state", "");
    opens(&*kek, &stanza);
}

#[test]
fn a_key_outside_of_its_times_opens_and_does_not_wrap() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    for (state, what) in [
        ("expired", "a key that has expired"),
        ("not_yet_valid", "a key that is not yet valid"),
    ] {
        place.fake.set("state", state);
        opens(&*kek, &stanza);
        refused(what, &*kek, Kind::Denied, "goes on unwrapping");
    }
}

#[test]
fn a_key_that_is_gone_is_told_with_the_way_back() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    place.fake.set("state", "deleted");
    let e = not_opened(
        "a deleted key",
        &*kek,
        &stanza,
        Kind::NotFound,
        "az keyvault key recover --name mysql",
    );
    assert!(e.is_withdrawn(), "{e}");
    refused(
        "a deleted key at a wrap",
        &*kek,
        Kind::NotFound,
        "KeyNotFound",
    );
    place.fake.set("state", "recovering");
    let begin = Instant::now();
    not_opened(
        "a key that is being recovered",
        &*kek,
        &stanza,
        Kind::Unreachable,
        "being recovered",
    );
    assert!(begin.elapsed() < Duration::from_secs(8));
    place.fake.set("state", "");
    opens(&*kek, &stanza);
    refused(
        "a key that is not there",
        &*place.kek(json!({"key": "nowhere"})),
        Kind::NotFound,
        "Check vault_url, key",
    );
    // Another vault has no such version, and the message says where it was wrapped.
    let other = Place::new();
    let e = not_opened(
        "another vault's key of this name",
        &*other.kek(json!({})),
        &stanza,
        Kind::NotFound,
        "KeyNotFound",
    );
    assert!(
        e.to_string()
            .contains(&format!("wrapped by '{}", stanza.key_ref)),
        "{e}"
    );
    let mut bad = stanza.clone();
    bad.params = vec![7; 16];
    not_opened(
        "a version that is not there",
        &*kek,
        &bad,
        Kind::NotFound,
        "07070707",
    );
    let version = json!({"key_version": "07".repeat(16)});
    refused(
        "a configured version that is not there",
        &*place.kek(version),
        Kind::NotFound,
        "KeyNotFound",
    );
}

#[test]
fn a_right_that_is_missing_is_told_by_its_reason() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    for (refusal, words, withdrawn) in [
        (
            "rbac",
            "ForbiddenByRbac: Caller is not authorized to perform action on resource. If role",
            true,
        ),
        ("policy", "does not have keys unwrapKey permission", true),
        ("firewall", "az keyvault network-rule add", false),
        ("connection", "private endpoint", false),
    ] {
        place.fake.set("refusal", refusal);
        place.fake.set("allow", "nothing");
        let e = not_opened(
            &format!("no right: {refusal}"),
            &*kek,
            &stanza,
            Kind::Denied,
            words,
        );
        assert_eq!(e.is_withdrawn(), withdrawn, "{e}");
        refused(
            &format!("no right to wrap: {refusal}"),
            &*kek,
            Kind::Denied,
            "docs/guide/azure-key-vault.md"
                .split_at(if withdrawn { 29 } else { 0 })
                .0,
        );
        // Who may only unwrap opens, who may only wrap makes nothing.
        place.fake.set("allow", "unwrapKey");
        opens(&*kek, &stanza);
        place.fake.set("allow", "wrapKey");
        refused(
            &format!("only wrapping is allowed: {refusal}"),
            &*kek,
            Kind::Denied,
            "keys/unwrapKey for 'mysql'",
        );
    }
    place.fake.set("allow", "");
    for operations in ["wrapKey", "unwrapKey", "sign"] {
        place.fake.set("operations", operations);
        refused(
            &format!("a key for {operations} only"),
            &*kek,
            Kind::Denied,
            "--ops wrapKey unwrapKey",
        );
    }
}

#[test]
fn an_altered_data_key_and_another_keys_are_not_opened() {
    let place = Place::new();
    let kek = place.kek(json!({}));
    let stanza = wrap(&*kek).unwrap();
    let mut bad = stanza.clone();
    *bad.blob.last_mut().unwrap() ^= 1;
    let e = not_opened(
        "an altered data key",
        &*kek,
        &bad,
        Kind::Tampered,
        "decoding OAEP padding",
    );
    assert!(!e.is_withdrawn(), "{e}");
    // A stanza of another key, whose reference was changed to this one's.
    let of_other = wrap(&*place.kek(json!({"key": "other"}))).unwrap();
    let mut bad = of_other.clone();
    (bad.key_ref, bad.params) = (stanza.key_ref.clone(), stanza.params.clone());
    not_opened(
        "another key's stanza under this one's name",
        &*kek,
        &bad,
        Kind::Tampered,
        "decoding OAEP padding",
    );
    // The other way round: this key's data key, in a stanza that was changed.
    let mut bad = stanza.clone();
    bad.blob[0] ^= 1;
    not_opened(
        "a stanza whose wrap was changed",
        &*kek,
        &bad,
        Kind::Tampered,
        "the DEK's wrap was changed",
    );
    assert!(unwrap(&*kek, &stanza).unwrap().is_some());
}
