//! What OCI refuses, sent to the fake: it must refuse it as well, or it proves nothing. Part of
//! tests/contract_oci_vault.rs.

#![allow(clippy::unwrap_used)]

use super::Place;
use super::clouds::oci::{FINGERPRINT, KEY, OTHER_KEY, TENANCY, USER, USER_KEY};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use data_encoding::BASE64;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;

const LINES: &str = "date (request-target) host content-length content-type x-content-sha256";
const DECRYPT: &str = "/20180608/decrypt";
const GENERATE: &str = "/20180608/generateDataEncryptionKey";

/// A change of a request, and what it is.
type Change = (&'static str, fn(&mut Sent));

/// A request, and what is signed of it.
struct Sent {
    path: String,
    lines: String,
    key_id: String,
    /// Seconds by which the date is ahead.
    ahead: i64,
    body: String,
    /// Changes what was signed.
    after: fn(&mut String),
}

impl Sent {
    fn new(path: &str, body: &Value) -> Sent {
        Sent {
            path: path.into(),
            lines: LINES.into(),
            key_id: format!("{TENANCY}/{USER}/{FINGERPRINT}"),
            ahead: 0,
            body: body.to_string(),
            after: |_| {},
        }
    }

    /// The status and the answer.
    fn send(&self, place: &Place, key: &KeyPair) -> (u16, Value) {
        use time::{OffsetDateTime, format_description::well_known::Rfc2822};
        let at = OffsetDateTime::now_utc() + time::Duration::seconds(self.ahead);
        let date = at.format(&Rfc2822).unwrap().replace("+0000", "GMT");
        let host = place.fake.address.to_string();
        let target = format!("post {}", self.path);
        let hash = BASE64.encode(digest(&SHA256, self.body.as_bytes()).as_ref());
        let length = self.body.len().to_string();
        let value = |name: &str| match name {
            "date" => date.clone(),
            "(request-target)" => target.clone(),
            "host" => host.clone(),
            "content-length" => length.clone(),
            "content-type" => "application/json".into(),
            _ => hash.clone(),
        };
        let signed = self.lines.split(' ');
        let signed = signed.map(|name| format!("{name}: {}", value(name)));
        let signed = signed.collect::<Vec<_>>().join("\n");
        let mut signature = vec![0; key.public_modulus_len()];
        let random = SystemRandom::new();
        key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .unwrap();
        let mut text = format!(
            "POST {} HTTP/1.1\r\nhost: {host}\r\ndate: {date}\r\ncontent-type: application/json\r\nx-content-sha256: {hash}\r\ncontent-length: {length}\r\nauthorization: Signature version=\"1\",keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{}\",signature=\"{}\"\r\n\r\n{}",
            self.path,
            self.key_id,
            self.lines,
            BASE64.encode(&signature),
            self.body
        );
        (self.after)(&mut text);
        raw(place, &text)
    }
}

fn raw(place: &Place, text: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(place.fake.address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let value = serde_json::from_str(body).unwrap_or(Value::String(body.into()));
    (status, value)
}

fn key_of(pem: &str) -> KeyPair {
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap() {
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()).unwrap(),
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap(),
        _ => panic!("no RSA key"),
    }
}

/// The instance's file of this name.
fn identity(place: &Place, file: &str) -> String {
    let text = format!(
        "GET /opc/v2/identity/{file} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer Oracle\r\n\r\n"
    );
    raw(place, &text).1.as_str().unwrap().into()
}

fn generate() -> Value {
    json!({
        "keyId": KEY, "includePlaintextKey": true, "keyShape": {"algorithm": "AES", "length": 32},
        "associatedData": {"a": "b"},
    })
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or("-"))
}

#[test]
fn a_signature_that_oci_refuses_is_refused() {
    const REFUSED: (u16, &str) = (401, "NotAuthenticated");
    let (place, key) = (Place::new(), key_of(USER_KEY));
    let sent = || Sent::new(GENERATE, &generate());
    assert_eq!(sent().send(&place, &key).0, 200);
    let stranger = KeyPair::generate(KeySize::Rsa2048).unwrap();
    assert_eq!(
        code(&sent().send(&place, &stranger)),
        REFUSED,
        "another key"
    );
    let changes: [Change; 18] = [
        ("ten minutes ahead", |s| s.ahead = 600),
        ("ten minutes behind", |s| s.ahead = -600),
        ("another body", |s| {
            s.after = |text| *text = text.replace("\"a\":\"b\"", "\"a\":\"c\"");
        }),
        ("another host", |s| {
            s.after = |text| *text = text.replacen("host: 127", "host: 128", 1);
        }),
        ("another path", |s| {
            s.after = |text| *text = text.replacen(GENERATE, DECRYPT, 1);
        }),
        ("another hash", |s| {
            s.after = |text| *text = text.replacen("sha256: ", "sha256: x", 1);
        }),
        ("another type", |s| {
            s.after = |text| *text = text.replacen("application/json", "text/json", 1);
        }),
        ("another date", |s| {
            s.after = |text| *text = text.replacen(" GMT", " +0001", 1);
        }),
        ("a changed signature", |s| {
            s.after = |text| *text = text.replacen("signature=\"", "signature=\"AAAA", 1);
        }),
        ("no signature", |s| {
            s.after = |text| *text = text.replacen("authorization", "x-authorization", 1);
        }),
        ("another algorithm", |s| {
            s.after = |text| *text = text.replacen("rsa-sha256", "rsa-sha1", 1);
        }),
        ("another version", |s| {
            s.after = |text| *text = text.replacen("version=\"1\"", "version=\"2\"", 1);
        }),
        ("the host is not signed", |s| {
            s.lines = LINES.replace("host ", "")
        }),
        ("the body is not signed", |s| {
            s.lines = "date (request-target) host".into();
        }),
        ("other lines are named than are signed", |s| {
            s.after = |text| *text = text.replacen("headers=\"date ", "headers=\"", 1);
        }),
        ("an unknown fingerprint", |s| {
            s.key_id = s.key_id.replace(&FINGERPRINT[..5], "00:00");
        }),
        ("an unknown user", |s| {
            s.key_id = s.key_id.replace(USER, "x")
        }),
        ("an unknown token", |s| s.key_id = "ST$e30.e30.e30".into()),
    ];
    for (what, change) in changes {
        let mut sent = sent();
        change(&mut sent);
        assert_eq!(code(&sent.send(&place, &key)), REFUSED, "{what}");
    }
}

#[test]
fn a_request_that_oci_refuses_is_refused() {
    let (place, key) = (Place::new(), key_of(USER_KEY));
    let ask = |path: &str, body: &Value| Sent::new(path, body).send(&place, &key);
    let changed = |change: fn(&mut Value)| {
        let mut body = generate();
        change(&mut body);
        ask(GENERATE, &body)
    };
    let made = ask(GENERATE, &generate()).1;
    let opened = |change: fn(&mut Value)| {
        let mut body =
            json!({"keyId": KEY, "ciphertext": made["ciphertext"], "associatedData": {"a": "b"}});
        change(&mut body);
        ask(DECRYPT, &body)
    };
    assert_eq!(opened(|_| {}).1["plaintext"], made["plaintext"]);
    let invalid = (400, "InvalidParameter");
    let absent = (404, "NotAuthorizedOrNotFound");
    for (what, answer, expected) in [
        (
            "other associated data",
            opened(|b| b["associatedData"]["a"] = "c".into()),
            invalid,
        ),
        (
            "more associated data",
            opened(|b| b["associatedData"]["c"] = "d".into()),
            invalid,
        ),
        (
            "no associated data",
            opened(|b| b["associatedData"] = Value::Null),
            invalid,
        ),
        (
            "a number as associated data",
            opened(|b| b["associatedData"]["a"] = 1.into()),
            invalid,
        ),
        (
            "another key of the vault",
            opened(|b| b["keyId"] = OTHER_KEY.into()),
            invalid,
        ),
        (
            "a key that is not there",
            opened(|b| b["keyId"] = "ocid1.key.oc1.x".into()),
            absent,
        ),
        (
            "no ciphertext",
            opened(|b| b["ciphertext"] = "".into()),
            invalid,
        ),
        (
            "no base64",
            opened(|b| b["ciphertext"] = "!".into()),
            invalid,
        ),
        (
            "no key",
            changed(|b| b["keyId"] = Value::Null),
            (400, "MissingParameter"),
        ),
        (
            "a foreign key",
            changed(|b| b["keyId"] = "ocid1.key.oc1.x".into()),
            absent,
        ),
        (
            "a length in bits",
            changed(|b| b["keyShape"]["length"] = 256.into()),
            invalid,
        ),
        (
            "a shape for RSA",
            changed(|b| b["keyShape"]["algorithm"] = "RSA".into()),
            invalid,
        ),
        (
            "5,000 characters of associated data",
            changed(|b| b["associatedData"]["a"] = "x".repeat(5000).into()),
            invalid,
        ),
        (
            "a call that is none",
            ask("/20180608/x", &json!({})),
            (404, "NotFound"),
        ),
        (
            "no JSON",
            ask(DECRYPT, &Value::Null),
            (400, "MissingParameter"),
        ),
    ] {
        assert_eq!(code(&answer), expected, "{what}: {answer:?}");
    }
    for (name, value, expected) in [
        ("state", "DISABLED", (409, "IncorrectState")),
        ("state", "PENDING_DELETION", (409, "IncorrectState")),
        ("state", "DELETED", absent),
        ("policy", "none", absent),
        ("policy", "encrypt", absent),
    ] {
        place.fake.set(name, value);
        assert_eq!(code(&opened(|_| {})), expected, "{name} {value}");
        place.fake.set(name, "");
    }
    // A later version of the key opens what an earlier one made, and not the other way round.
    place.fake.set("version", "2");
    assert_eq!(opened(|_| {}).0, 200);
    let later = ask(GENERATE, &generate()).1;
    place.fake.set("version", "1");
    let body =
        json!({"keyId": KEY, "ciphertext": later["ciphertext"], "associatedData": {"a": "b"}});
    assert_eq!(code(&ask(DECRYPT, &body)), invalid);
}

#[test]
fn a_login_that_oci_refuses_is_refused() {
    const REFUSED: (u16, &str) = (401, "NotAuthenticated");
    let place = Place::new();
    for header in ["", "authorization: Bearer Me\r\n"] {
        let text = format!("GET /opc/v2/identity/key.pem HTTP/1.1\r\nhost: x\r\n{header}\r\n");
        let (status, body) = raw(&place, &text);
        assert_eq!(status, 403);
        assert!(!body.to_string().contains("PRIVATE"), "{body}");
    }
    let der = |file: &str| {
        let pem = identity(&place, file);
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        lines.collect::<String>()
    };
    let (leaf, key) = (der("cert.pem"), key_of(&identity(&place, "key.pem")));
    let session = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        let der: PublicKeyX509Der<'_> = session.public_key().as_der().unwrap();
        BASE64.encode(der.as_ref())
    };
    let hash = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        &BASE64.decode(leaf.as_bytes()).unwrap(),
    );
    let hash: Vec<String> = hash.as_ref().iter().map(|b| format!("{b:02X}")).collect();
    let sent = |change: fn(&mut Value)| {
        let mut body = json!({
            "certificate": leaf, "publicKey": public, "intermediateCertificates": [der("intermediate.pem")],
        });
        change(&mut body);
        let mut sent = Sent::new("/v1/x509", &body);
        sent.lines = LINES.replace("host ", "");
        sent.key_id = format!("{TENANCY}/fed-x509/{}", hash.join(":"));
        sent
    };
    let (status, given) = sent(|_| {}).send(&place, &key);
    assert_eq!(status, 200, "{given}");
    let token = given["token"].as_str().unwrap();
    assert_eq!(code(&sent(|_| {}).send(&place, &session)), REFUSED);
    let mut late = sent(|_| {});
    late.ahead = -600;
    assert_eq!(code(&late.send(&place, &key)), REFUSED);
    let mut other = sent(|_| {});
    other.key_id = other.key_id.replace(TENANCY, "ocid1.tenancy.oc1..other");
    assert_eq!(code(&other.send(&place, &key)), REFUSED);
    let changes: [fn(&mut Value); 3] = [
        |b| b["certificate"] = b["intermediateCertificates"][0].clone(),
        |b| b["intermediateCertificates"] = json!([]),
        |b| b["intermediateCertificates"][0] = b["certificate"].clone(),
    ];
    for change in changes {
        assert_eq!(code(&sent(change).send(&place, &key)), REFUSED);
    }
    // The token is for the session's key, and runs out.
    let mut call = Sent::new(GENERATE, &generate());
    call.key_id = format!("ST${token}");
    assert_eq!(call.send(&place, &session).0, 200);
    assert_eq!(code(&call.send(&place, &key)), REFUSED);
    place.fake.set("dynamic_group", "no");
    let absent = (404, "NotAuthorizedOrNotFound");
    assert_eq!(code(&call.send(&place, &session)), absent);
    place.fake.set("token_seconds", "0");
    let given = sent(|_| {}).send(&place, &key).1;
    call.key_id = format!("ST${}", given["token"].as_str().unwrap());
    assert_eq!(code(&call.send(&place, &session)), REFUSED);
}

/// What decrypt answers to a body that was sent before.
pub fn again(place: &Place, body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let (status, answer) = Sent::new(DECRYPT, &body).send(place, &key_of(USER_KEY));
    assert_eq!(status, 200, "{answer}");
    answer
}
