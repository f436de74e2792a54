//! The fake refuses what Google refuses: what is sent here must not be accepted. Part of tests/contract_gcp_kms.rs.

#![allow(clippy::unwrap_used)]

use super::Place;
use super::clouds::google::jwt::{account_pair, sign};
use super::clouds::google::{ACCOUNT, AUDIENCE, KEY, OTHER};
use data_encoding::BASE64;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

/// The status and the body of an answer.
fn ask(
    place: &Place,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(place.fake.address).unwrap();
    let headers: String = headers
        .iter()
        .map(|(n, v)| format!("{n}: {v}\r\n"))
        .collect();
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_string())
}

const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

fn token(place: &Place) -> String {
    let (status, body) = ask(place, "GET", METADATA, &[("Metadata-Flavor", "Google")], "");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["access_token"].as_str().unwrap().into()
}

/// A call of Cloud KMS: the status of google.rpc, and the message.
fn kms(place: &Place, bearer: &str, named: &str, body: &Value) -> (u16, String, Value) {
    let authorization = format!("Bearer {bearer}");
    let mut headers = vec![("Content-Type", "application/json")];
    if !bearer.is_empty() {
        headers.push(("Authorization", &authorization));
    }
    let (status, body) = ask(
        place,
        "POST",
        &format!("/v1/{named}"),
        &headers,
        &body.to_string(),
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    let text = body["error"]["status"]
        .as_str()
        .unwrap_or_default()
        .to_string();
    (status, text, body)
}

#[test]
fn the_fake_refuses_what_google_refuses() {
    let place = Place::new();
    // The metadata server: without its header, by a proxy, another account.
    assert_eq!(ask(&place, "GET", METADATA, &[], "").0, 403);
    assert_eq!(
        ask(
            &place,
            "GET",
            METADATA,
            &[("Metadata-Flavor", "Amazon")],
            ""
        )
        .0,
        403
    );
    assert_eq!(
        ask(
            &place,
            "GET",
            METADATA,
            &[
                ("Metadata-Flavor", "Google"),
                ("X-Forwarded-For", "192.0.2.1")
            ],
            ""
        )
        .0,
        403
    );
    assert_eq!(
        ask(
            &place,
            "GET",
            &METADATA.replace("default", "other"),
            &[("Metadata-Flavor", "Google")],
            ""
        )
        .0,
        404
    );

    let bearer = token(&place);
    let encrypt = format!("{KEY}:encrypt");
    let aad = BASE64.encode(b"bound");
    let body = json!({"plaintext": BASE64.encode(b"x"), "additionalAuthenticatedData": aad});
    let (status, _, made) = kms(&place, &bearer, &encrypt, &body);
    assert_eq!(status, 200);
    // Without checksums nothing is verified, and says so by leaving it out.
    assert!(made.get("verifiedPlaintextCrc32c").is_none());
    let ciphertext = made["ciphertext"].as_str().unwrap().to_string();
    // Tokens: none, another, one that has expired.
    for bad in ["", "ya29.c.other", "a.b.c"] {
        assert_eq!(kms(&place, bad, &encrypt, &body).0, 401, "{bad}");
    }
    place.fake.set("clock", "4000");
    let (status, _, answer) = kms(&place, &bearer, &encrypt, &body);
    assert!(
        status == 401 && answer.to_string().contains("ACCESS_TOKEN_EXPIRED"),
        "{answer}"
    );
    place.fake.set("clock", "");

    // What is decrypted: another AAD, another key, changed bytes, a wrong checksum, unknown members, no JSON.
    let good = json!({"ciphertext": ciphertext, "additionalAuthenticatedData": aad});
    let decrypt = format!("{KEY}:decrypt");
    assert_eq!(kms(&place, &bearer, &decrypt, &good).0, 200);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let mut changed = BASE64.decode(ciphertext.as_bytes()).unwrap();
    *changed.last_mut().unwrap() ^= 1;
    for (named, body, words) in [
        (
            &decrypt,
            with(
                "additionalAuthenticatedData",
                json!(BASE64.encode(b"other")),
            ),
            "Decryption failed",
        ),
        (
            &decrypt,
            with("additionalAuthenticatedData", json!("")),
            "Decryption failed",
        ),
        (
            &format!("{OTHER}:decrypt"),
            good.clone(),
            "Decryption failed",
        ),
        (
            &decrypt,
            with("ciphertext", json!(BASE64.encode(&changed))),
            "Decryption failed",
        ),
        (
            &decrypt,
            with("ciphertext", json!("AAAA")),
            "Decryption failed",
        ),
        (&decrypt, with("ciphertext", json!("!")), "Base64"),
        (
            &decrypt,
            with("ciphertextCrc32c", json!("1")),
            "The checksum in field ciphertext_crc32c",
        ),
        (
            &decrypt,
            with("ciphertextCrc32c", json!(1)),
            "The checksum in field ciphertext_crc32c",
        ),
        (
            &decrypt,
            with("additionalAuthenticatedDataCrc32c", json!("1")),
            "additional_authenticated_data_crc32c",
        ),
        (&decrypt, with("cipher", json!("x")), "Unknown name"),
        (&decrypt, json!([]), "Invalid JSON"),
        (&encrypt, json!({"plaintext": ""}), "must not be empty"),
        (
            &encrypt,
            json!({"plaintext": BASE64.encode(&vec![0; 65_537])}),
            "too large",
        ),
    ] {
        let (status, code, answer) = kms(&place, &bearer, named, &body);
        assert_eq!(
            (status, code.as_str()),
            (400, "INVALID_ARGUMENT"),
            "{words}: {answer}"
        );
        assert!(answer.to_string().contains(words), "{words}: {answer}");
    }
    // Random bytes: bounds, protection level, location.
    let place_of = "projects/test-only/locations/europe-west3";
    for (named, body) in [
        (
            place_of.to_string(),
            json!({"lengthBytes": 7, "protectionLevel": "HSM"}),
        ),
        (
            place_of.to_string(),
            json!({"lengthBytes": 1025, "protectionLevel": "HSM"}),
        ),
        (
            place_of.to_string(),
            json!({"lengthBytes": 32, "protectionLevel": "SOFTWARE"}),
        ),
        (
            place_of.replace("europe-west3", "global"),
            json!({"lengthBytes": 32, "protectionLevel": "HSM"}),
        ),
    ] {
        assert_eq!(
            kms(
                &place,
                &bearer,
                &format!("{named}:generateRandomBytes"),
                &body
            )
            .0,
            400,
            "{named} {body}"
        );
    }
    assert_eq!(
        kms(&place, &bearer, &format!("{KEY}:asymmetricSign"), &body).0,
        404
    );
}

#[test]
fn the_fake_refuses_tokens_that_are_signed_wrongly() {
    let place = Place::new();
    let pair = account_pair();
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    let header =
        json!({"alg": "RS256", "typ": "JWT", "kid": "0123456789abcdef0123456789abcdef01234567"});
    let scope = "https://www.googleapis.com/auth/cloudkms";
    let claims =
        json!({"iss": ACCOUNT, "sub": ACCOUNT, "scope": scope, "iat": now, "exp": now + 3600});
    let status = |header: &Value, claims: &Value| {
        let body = json!({"plaintext": BASE64.encode(b"x")});
        kms(
            &place,
            &sign(&pair, header, claims),
            &format!("{KEY}:encrypt"),
            &body,
        )
        .0
    };
    assert_eq!(status(&header, &claims), 200);
    let with = |of: &Value, name: &str, value: Value| {
        let mut changed = of.clone();
        changed[name] = value;
        changed
    };
    for (header, claims, expected) in [
        (with(&header, "alg", json!("HS256")), claims.clone(), 401),
        (with(&header, "kid", json!("other")), claims.clone(), 401),
        (header.clone(), with(&claims, "iss", json!("other@x")), 401),
        (
            header.clone(),
            with(&claims, "sub", json!("person@example.org")),
            401,
        ),
        (header.clone(), with(&claims, "exp", json!(now - 1)), 401),
        (header.clone(), with(&claims, "exp", json!(now + 3700)), 401),
        (header.clone(), with(&claims, "iat", json!(now + 600)), 401),
        // A scope and an audience exclude each other.
        (
            header.clone(),
            with(&claims, "aud", json!("https://cloudkms.googleapis.com/")),
            401,
        ),
        (
            header.clone(),
            with(
                &claims,
                "scope",
                json!("https://www.googleapis.com/auth/pubsub"),
            ),
            403,
        ),
    ] {
        assert_eq!(status(&header, &claims), expected, "{header} {claims}");
    }
    // The signature itself, and what it signs.
    let token = sign(&pair, &header, &claims);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = sign(&pair, &header, &with(&claims, "iat", json!(now - 1)));
    let other = other.rsplit_once('.').unwrap().0;
    for bad in [
        format!("{signed}."),
        format!("{signed}.{}AA", &signature[2..]),
        format!("{other}.{signature}"),
        signed.to_string(),
    ] {
        let body = json!({"plaintext": BASE64.encode(b"x")});
        assert_eq!(
            kms(&place, &bad, &format!("{KEY}:encrypt"), &body).0,
            401,
            "{bad}"
        );
    }
}

#[test]
fn the_fake_refuses_exchanges_that_are_none() {
    let place = Place::new();
    let subject = super::gcp_federation::subject_token(&place, json!({}));
    let good = [
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("audience", AUDIENCE),
        ("scope", "https://www.googleapis.com/auth/cloud-platform"),
        (
            "requested_token_type",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", &subject),
    ];
    let exchange = |form: &[(&str, &str)]| {
        let pairs: Vec<String> = form.iter().map(|(n, v)| format!("{n}={v}")).collect();
        ask(
            &place,
            "POST",
            "/v1/token",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            &pairs.join("&"),
        )
    };
    let (status, answer) = exchange(&good);
    assert_eq!(status, 200, "{answer}");
    for (name, value, error) in [
        ("grant_type", "client_credentials", "unsupported_grant_type"),
        (
            "audience",
            "//iam.googleapis.com/projects/1/x",
            "invalid_target",
        ),
        ("scope", "", "invalid_scope"),
        ("requested_token_type", "x", "invalid_request"),
        ("subject_token_type", "x", "invalid_request"),
        ("subject_token", "x", "invalid_grant"),
    ] {
        let form = good.map(|(n, v)| if n == name { (n, value) } else { (n, v) });
        let (status, answer) = exchange(&form);
        assert!(status == 400 && answer.contains(error), "{name}: {answer}");
    }
    // A federated token is a service account's only by IAM, and only with a scope for that.
    let answer: Value = serde_json::from_str(&exchange(&good).1).unwrap();
    let federated = answer["access_token"].as_str().unwrap();
    let account = format!("projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
    let body = json!({"scope": ["https://www.googleapis.com/auth/cloudkms"], "lifetime": "600s"});
    assert_eq!(kms(&place, federated, &account, &body).0, 200);
    assert_eq!(kms(&place, "", &account, &body).0, 401);
    assert_eq!(
        kms(&place, &token(&place), &account, &body).0,
        403,
        "it is the account itself"
    );
    let long = json!({"scope": ["x"], "lifetime": "7200s"});
    assert_eq!(kms(&place, federated, &account, &long).0, 400);
    let narrow = good.map(|(n, v)| {
        if n == "scope" {
            (n, "https://www.googleapis.com/auth/cloudkms")
        } else {
            (n, v)
        }
    });
    let answer: Value = serde_json::from_str(&exchange(&narrow).1).unwrap();
    assert_eq!(
        kms(
            &place,
            answer["access_token"].as_str().unwrap(),
            &account,
            &body
        )
        .0,
        403
    );
}
