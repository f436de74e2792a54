//! Nothing of an answer makes a panic, shows what was sent, or is taken for more than it is.

use super::*;
use crate::kek::gcp_kms::trial::Given;
use crate::kek::gcp_kms::{GcpKmsConfig, GcpKmsKek};
use proptest::prelude::*;
use serde_json::json;
use std::sync::LazyLock;

const SENT: &str = "SENT-SECRET-0123456789";
const STEPS: [Step; 6] = [
    Step::Metadata,
    Step::Exchange,
    Step::Impersonate,
    Step::Encrypt,
    Step::Decrypt,
    Step::Random,
];

static KEK: LazyLock<GcpKmsKek> = LazyLock::new(|| GcpKmsKek::new(GcpKmsConfig::of_tests()));
static POOL: LazyLock<SecretPool> = LazyLock::new(SecretPool::new);

fn receive(step: Step, status: u16, body: &[u8]) -> Result<Given> {
    let flavor = ("metadata-flavor".to_string(), "Google".to_string());
    let answer = Answer::new(status, vec![flavor], Zeroizing::new(body.to_vec()));
    KEK.receive(&POOL, step, &answer, &[SENT])
}

fn is_harmless(status: u16, body: &[u8]) {
    for step in STEPS {
        match receive(step, status, body) {
            Ok(given) => {
                assert_eq!(status, 200);
                match given {
                    Given::Token(token) => assert!(is_token(&token)),
                    Given::Ciphertext(c) => assert!((1..=MAX_CIPHERTEXT).contains(&c.len())),
                    Given::Secret(secret) => assert!([8, KEY].contains(&secret.len())),
                }
            }
            Err(e) => {
                let said = e.to_string();
                assert!(said.len() < 2500, "{said}");
                // The question for a token has none in it.
                assert!(step == Step::Metadata || !said.contains(SENT), "{said}");
                assert!(!said.contains(char::is_control), "{said:?}");
                assert_ne!(e.kind(), Kind::Internal);
            }
        }
    }
}

/// JSON of the members that are looked for, with values of any shape.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("INVALID_ARGUMENT".to_string()),
        Just("Decryption failed".to_string()),
        Just("x is not enabled, current state is: DISABLED.".to_string()),
        Just(SENT.to_string()),
        Just(BASE64.encode(&[7; 32])),
        Just(crc32c(&[7; 32]).to_string()),
        "\\PC{0,20}",
        ".{0,20}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop::sample::select(vec![
            "error",
            "error_description",
            "code",
            "status",
            "message",
            "details",
            "reason",
            "violations",
            "type",
            "access_token",
            "accessToken",
            "name",
            "ciphertext",
            "ciphertextCrc32c",
            "verifiedPlaintextCrc32c",
            "verifiedAdditionalAuthenticatedDataCrc32c",
            "plaintext",
            "plaintextCrc32c",
            "data",
            "dataCrc32c",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(n, v)| (n.to_string(), v));
                Value::Object(members.collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_harmless(status in 100u16..600, body in prop::collection::vec(any::<u8>(), 0..200)) {
        is_harmless(status, &body);
    }

    #[test]
    fn any_json_is_harmless(status in prop::sample::select(vec![200u16, 204, 302, 400, 401, 403, 404, 429, 500, 503]), value in any_json()) {
        is_harmless(status, value.to_string().as_bytes());
        let said = json!({"error": {"message": "a\nb SENT-SECRET-0123456789", "status": value}});
        is_harmless(status, said.to_string().as_bytes());
    }
}

/// A good answer of `encrypt`, with changes; null takes a member out.
fn encrypted(changes: Value) -> Result<Given> {
    let ciphertext = [1, 2, 3];
    let mut answer = json!({
        "name": format!("{}/cryptoKeyVersions/1", GcpKmsConfig::of_tests().key),
        "ciphertext": BASE64.encode(&ciphertext), "ciphertextCrc32c": crc32c(&ciphertext).to_string(),
        "verifiedPlaintextCrc32c": true, "verifiedAdditionalAuthenticatedDataCrc32c": true, "protectionLevel": "SOFTWARE",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(answer.as_object_mut().unwrap().remove(name)),
            false => answer[name] = value.clone(),
        }
    }
    receive(Step::Encrypt, 200, answer.to_string().as_bytes())
}

#[test]
fn what_was_changed_on_the_way_is_asked_for_again() {
    assert!(matches!(encrypted(json!({})), Ok(Given::Ciphertext(c)) if c == [1, 2, 3]));
    for (changes, kind, words) in [
        (
            json!({"verifiedPlaintextCrc32c": null}),
            Kind::Unreachable,
            "checksums",
        ),
        (
            json!({"verifiedPlaintextCrc32c": "true"}),
            Kind::Unreachable,
            "checksums",
        ),
        (
            json!({"verifiedAdditionalAuthenticatedDataCrc32c": false}),
            Kind::Unreachable,
            "checksums",
        ),
        (
            json!({"ciphertextCrc32c": null}),
            Kind::Unreachable,
            "its checksum",
        ),
        (
            json!({"ciphertextCrc32c": "-1"}),
            Kind::Unreachable,
            "its checksum",
        ),
        (
            json!({"ciphertext": "AQIE"}),
            Kind::Unreachable,
            "its checksum",
        ),
        (
            json!({"ciphertext": null}),
            Kind::Config,
            "impossible length",
        ),
        (json!({"ciphertext": ""}), Kind::Config, "impossible length"),
        (
            json!({"ciphertext": "A!"}),
            Kind::Config,
            "impossible length",
        ),
        (
            json!({"ciphertext": BASE64.encode(&[0; MAX_CIPHERTEXT + 1])}),
            Kind::Config,
            "impossible length",
        ),
        (json!({"name": null}), Kind::Config, "another key"),
        (
            json!({"name": "projects/p/locations/europe-west3/keyRings/mysql/cryptoKeys/other/cryptoKeyVersions/1"}),
            Kind::Config,
            "another key",
        ),
    ] {
        let e = encrypted(changes.clone()).err().unwrap();
        assert_eq!(e.kind(), kind, "{changes}: {e}");
        assert!(e.to_string().contains(words), "{changes}: {e}");
    }
}

#[test]
fn only_bytes_of_the_right_number_and_checksum_are_secrets() {
    let of = |step, names: (&str, &str), bytes: &[u8], crc: u32| {
        let answer = json!({names.0: BASE64.encode(bytes), names.1: crc.to_string()});
        receive(step, 200, answer.to_string().as_bytes())
    };
    let key = ("plaintext", "plaintextCrc32c");
    let random = ("data", "dataCrc32c");
    for (step, names, length, words) in [
        (Step::Decrypt, key, KEY, "data key of 32 bytes"),
        (Step::Random, random, 8, "another number"),
    ] {
        let bytes = vec![7; length];
        let good = of(step, names, &bytes, crc32c(&bytes)).unwrap();
        assert!(matches!(good, Given::Secret(secret) if *secret == *bytes));
        let e = of(step, names, &bytes, crc32c(&bytes) ^ 1).err().unwrap();
        assert_eq!(e.kind(), Kind::Unreachable, "{e}");
        for other in [0, 1, 16, 33, 1024] {
            let bytes = vec![7; other];
            let e = of(step, names, &bytes, crc32c(&bytes)).err().unwrap();
            assert_eq!(e.kind(), Kind::Config, "{e}");
            assert!(e.to_string().contains(words), "{e}");
        }
    }
}

/// The library's checksum is the one that Cloud KMS means.
#[test]
fn the_vectors_of_rfc_3720_and_the_usual_one() {
    let ascending: Vec<u8> = (0..32).collect();
    let descending: Vec<u8> = (0..32).rev().collect();
    for (bytes, crc) in [
        (&b""[..], 0),
        (b"123456789", 0xe306_9283),
        (&[0; 32], 0x8a91_36aa),
        (&[0xff; 32], 0x62a8_ab43),
        (&ascending, 0x46dd_794e),
        (&descending, 0x113f_db5c),
    ] {
        assert_eq!(crc32c(bytes), crc, "{bytes:?}");
    }
}
