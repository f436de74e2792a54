//! The fake itself: what it accepts, and that it refuses what Alibaba Cloud refuses. Part of tests/contract_alibaba_kms.rs.

#![allow(clippy::unwrap_used)]

use super::Place;
use super::clouds::alibaba::identities::{claims, oidc_token};
use super::clouds::alibaba::signed::{authorization, sha256};
use super::clouds::alibaba::{
    ACCESS_KEY_ID, ACCESS_KEY_SECRET, KEY, OTHER_KEY, PROVIDER_ARN, ROLE, ROLE_ARN, RSA_KEY,
};
use keyring_ward::deadline::Deadline;
use keyring_ward::net::{Client, Method, Request};
use serde_json::{Value, json};
use std::time::Duration;

const CONTEXT: &str = r#"{"product":"keyring-ward","file-id":"05"}"#;

/// What is changed, the change, and what becomes of the request.
type Row<'a> = (&'a str, &'a dyn Fn(&mut Draft), &'a str);

/// A request to KMS that can be changed before and after it is signed.
#[derive(Clone)]
struct Draft {
    headers: Vec<(&'static str, String)>,
    query: Vec<(String, String)>,
    body: String,
    id: String,
    secret: String,
}

fn of_pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

fn form(pairs: &[(&str, &str)]) -> String {
    let encoded = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(n, v)| format!("{n}={}", encoded(v)))
        .collect();
    pairs.join("&")
}

impl Draft {
    fn new(action: &str, parameters: &[(&str, &str)]) -> Draft {
        let mut nonce = [0; 16];
        keyring_ward::secret::fill_random(&mut nonce).unwrap();
        Draft {
            headers: vec![
                ("x-acs-action", action.into()),
                ("x-acs-version", "2016-01-20".into()),
                ("x-acs-date", at(0)),
                (
                    "x-acs-signature-nonce",
                    data_encoding::HEXLOWER.encode(&nonce),
                ),
                ("content-type", "application/x-www-form-urlencoded".into()),
                ("accept", "application/json".into()),
            ],
            query: Vec::new(),
            body: form(parameters),
            id: ACCESS_KEY_ID.into(),
            secret: ACCESS_KEY_SECRET.into(),
        }
    }

    fn data_key(key: &str) -> Draft {
        let parameters = [
            ("KeyId", key),
            ("KeySpec", "AES_256"),
            ("EncryptionContext", CONTEXT),
        ];
        Draft::new("GenerateDataKey", &parameters)
    }

    fn decrypt(blob: &str, context: &str) -> Draft {
        Draft::new(
            "Decrypt",
            &[("CiphertextBlob", blob), ("EncryptionContext", context)],
        )
    }

    /// Sets a header, or takes it away.
    fn set(&mut self, name: &'static str, value: Option<&str>) {
        self.headers.retain(|(n, _)| *n != name);
        self.headers
            .extend(value.map(|value| (name, value.to_string())));
    }

    fn sign(mut self, place: &Place) -> Draft {
        if !self
            .headers
            .iter()
            .any(|(name, _)| *name == "x-acs-content-sha256")
        {
            self.set("x-acs-content-sha256", Some(&sha256(self.body.as_bytes())));
        }
        let mut signed = vec![("host".to_string(), place.fake.address.to_string())];
        let of = self.headers.iter().filter(|(name, _)| *name != "accept");
        signed.extend(of.map(|(name, value)| (name.to_string(), value.clone())));
        let value = authorization("POST", &self.query, &signed, (&self.id, &self.secret));
        self.set("authorization", Some(&value));
        self
    }

    /// Its answer.
    fn send(&self, place: &Place) -> (u16, String) {
        let query: Vec<(&str, &str)> = self.query.iter().map(|(n, v)| (&**n, &**v)).collect();
        let url = format!("{}/?{}", place.fake.url(), form(&query));
        let mut request = Request::new(Method::Post, url).body(self.body.as_bytes());
        for (name, value) in &self.headers {
            request = request.header(name, value.as_str());
        }
        answer(&request)
    }

    /// What it gives, or the code of the refusal.
    fn outcome(&self, place: &Place) -> String {
        let (status, body) = self.send(place);
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        match status {
            200 if value.is_object() => "OK".into(),
            200 => "not JSON".into(),
            _ => format!("{status} {}", value["Code"].as_str().unwrap_or("")),
        }
    }
}

/// What the fake's Decrypt gives for these parameters.
pub fn decrypt(place: &Place, parameters: &[(String, String)]) -> Value {
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(n, v)| (&**n, &**v)).collect();
    let (_, body) = Draft::new("Decrypt", &parameters).sign(place).send(place);
    serde_json::from_str(&body).unwrap()
}

fn answer(request: &Request) -> (u16, String) {
    let client = Client::link_local(Duration::from_secs(5));
    let answer = client
        .send(request, Deadline::after(Duration::from_secs(10)))
        .unwrap();
    (
        answer.status(),
        String::from_utf8(answer.body().to_vec()).unwrap(),
    )
}

/// The time in so many seconds.
fn at(seconds: i64) -> String {
    keyring_ward::text::utc(keyring_ward::os::unix_seconds() + seconds)
}

#[test]
fn a_request_counts_as_it_was_signed() {
    let place = Place::new();
    let of = |before: &dyn Fn(&mut Draft), after: &dyn Fn(&mut Draft)| {
        let mut draft = Draft::data_key(KEY);
        before(&mut draft);
        let mut draft = draft.sign(&place);
        after(&mut draft);
        draft.outcome(&place)
    };
    let nothing = |_: &mut Draft| ();
    assert_eq!(of(&nothing, &nothing), "OK");
    let mismatch = "400 SignatureDoesNotMatch";
    let incomplete = "400 IncompleteSignature";
    // After it was signed.
    let after: [Row; 12] = [
        ("the body", &|d| d.body += "&x=1", mismatch),
        (
            "the body and its hash",
            &|d| {
                d.body += "&x=1";
                let hash = sha256(d.body.as_bytes());
                d.set("x-acs-content-sha256", Some(&hash));
            },
            mismatch,
        ),
        (
            "the query",
            &|d| d.query = of_pairs(&[("KeyId", OTHER_KEY)]),
            mismatch,
        ),
        (
            "the action",
            &|d| d.set("x-acs-action", Some("Decrypt")),
            mismatch,
        ),
        ("the time", &|d| d.set("x-acs-date", Some(&at(7))), mismatch),
        (
            "the nonce",
            &|d| d.set("x-acs-signature-nonce", Some("1")),
            mismatch,
        ),
        (
            "what kind of body it is",
            &|d| d.set("content-type", Some("text/plain")),
            mismatch,
        ),
        (
            "a header that is not signed",
            &|d| d.set("x-acs-extra", Some("1")),
            incomplete,
        ),
        (
            "no nonce",
            &|d| d.set("x-acs-signature-nonce", None),
            incomplete,
        ),
        (
            "no signature",
            &|d| d.set("authorization", None),
            incomplete,
        ),
        (
            "another algorithm",
            &|d| {
                d.set(
                    "authorization",
                    Some("ACS3-HMAC-SM3 Credential=a,SignedHeaders=host,Signature=b"),
                )
            },
            incomplete,
        ),
        (
            "what it answers with",
            &|d| d.set("accept", None),
            "not JSON",
        ),
    ];
    for (what, change, code) in after {
        assert_eq!(of(&nothing, change), code, "{what}");
    }
    // Signed as it is.
    let before: [Row; 12] = [
        (
            "the hash of another body",
            &|d| d.set("x-acs-content-sha256", Some(&sha256(b""))),
            mismatch,
        ),
        ("another secret", &|d| d.secret = "x".into(), mismatch),
        (
            "another access key",
            &|d| d.id = "LTAI5tx".into(),
            "404 InvalidAccessKeyId.NotFound",
        ),
        (
            "16 minutes ago",
            &|d| d.set("x-acs-date", Some(&at(-960))),
            "400 InvalidTimeStamp.Expired",
        ),
        (
            "in 16 minutes",
            &|d| d.set("x-acs-date", Some(&at(960))),
            "400 InvalidTimeStamp.Expired",
        ),
        (
            "14 minutes ago",
            &|d| d.set("x-acs-date", Some(&at(-840))),
            "OK",
        ),
        (
            "in 14 minutes",
            &|d| d.set("x-acs-date", Some(&at(840))),
            "OK",
        ),
        (
            "no time",
            &|d| d.set("x-acs-date", Some("now")),
            "400 InvalidTimeStamp.Format",
        ),
        (
            "another version",
            &|d| d.set("x-acs-version", Some("2014-05-26")),
            "400 InvalidVersion",
        ),
        (
            "another action",
            &|d| d.set("x-acs-action", Some("Destroy")),
            "404 InvalidAction.NotFound",
        ),
        (
            "parameters in the query",
            &|d| {
                d.body.clear();
                d.query = of_pairs(&[("KeyId", KEY), ("EncryptionContext", CONTEXT)]);
            },
            "OK",
        ),
        (
            "a body that is no form",
            &|d| d.set("content-type", Some("application/json")),
            "400 MissingParameter",
        ),
    ];
    for (what, change, code) in before {
        assert_eq!(of(change, &nothing), code, "{what}");
    }
    let sent = Draft::data_key(KEY).sign(&place);
    assert_eq!(sent.outcome(&place), "OK");
    assert_eq!(sent.outcome(&place), "400 SignatureNonceUsed");
}

#[test]
fn a_data_key_opens_under_its_key_and_context_alone() {
    let place = Place::new();
    let ask = |draft: Draft| {
        let (status, body) = draft.sign(&place).send(&place);
        let value: Value = serde_json::from_str(&body).unwrap();
        (status, value)
    };
    let (_, made) = ask(Draft::data_key(KEY));
    assert_eq!(made["KeyId"], KEY);
    let blob = made["CiphertextBlob"].as_str().unwrap();
    let (status, opened) = ask(Draft::decrypt(blob, CONTEXT));
    assert_eq!((status, &opened["Plaintext"]), (200, &made["Plaintext"]));
    assert_eq!(opened["KeyVersionId"], made["KeyVersionId"]);
    // The order of the pairs does not matter.
    let turned = r#"{ "file-id": "05", "product": "keyring-ward" }"#;
    assert_eq!(ask(Draft::decrypt(blob, turned)).0, 200);
    let mut bytes = data_encoding::BASE64.decode(blob.as_bytes()).unwrap();
    bytes[60] ^= 1;
    let altered = data_encoding::BASE64.encode(&bytes);
    for (blob, context) in [
        (blob, ""),
        (blob, r#"{"product":"keyring-ward"}"#),
        (blob, r#"{"product":"keyring-ward","file-id":"06"}"#),
        (blob, r#"{"product":"keyring-ward","file-id":"05","x":"y"}"#),
        (blob, r#"{"product":"keyring-ward","file-id":5}"#),
        (&altered, CONTEXT),
        (&blob[..40], CONTEXT),
        ("!", CONTEXT),
    ] {
        let (status, refused) = ask(Draft::decrypt(blob, context));
        assert_eq!(
            (status, &refused["Code"]),
            (400, &json!("InvalidParameter")),
            "{context}"
        );
    }
    // Nothing says which key shall decrypt: the answer tells which did.
    let (_, other) = ask(Draft::data_key(OTHER_KEY));
    let (_, opened) = ask(Draft::decrypt(
        other["CiphertextBlob"].as_str().unwrap(),
        CONTEXT,
    ));
    assert_eq!(opened["KeyId"], OTHER_KEY);
    // A version that is not there yet, and one of before.
    place.fake.set("version", "2");
    let (_, newer) = ask(Draft::data_key(KEY));
    assert_ne!(newer["KeyVersionId"], made["KeyVersionId"]);
    assert_eq!(ask(Draft::decrypt(blob, CONTEXT)).0, 200);
    for (key, status, code) in [
        (RSA_KEY, 400, "UnsupportedOperation"),
        ("key-x", 404, "Forbidden.KeyNotFound"),
        ("alias/x", 404, "Forbidden.AliasNotFound"),
        ("", 400, "MissingParameter"),
    ] {
        let (got, refused) = ask(Draft::data_key(key));
        assert_eq!((got, &refused["Code"]), (status, &json!(code)), "{key}");
    }
    for state in [
        "Disabled",
        "PendingDeletion",
        "PendingImport",
        "Unavailable",
    ] {
        place.fake.set("state", state);
        for draft in [Draft::data_key(KEY), Draft::decrypt(blob, CONTEXT)] {
            let (status, refused) = ask(draft);
            let code = format!("Rejected.{state}");
            assert_eq!((status, &refused["Code"]), (409, &json!(code)));
        }
    }
}

/// A GET or PUT to the metadata service: status and body.
fn metadata(
    place: &Place,
    method: Method,
    path: &str,
    header: (&'static str, &str),
) -> (u16, String) {
    let url = format!("{}/latest/{path}", place.fake.url());
    answer(&Request::new(method, url).header(header.0, header.1))
}

const TTL: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aliyun-ecs-metadata-token";
const ROLES: &str = "meta-data/ram/security-credentials/";

#[test]
fn the_metadata_service_wants_its_token() {
    let place = Place::new();
    let put = |header| metadata(&place, Method::Put, "api/token", header);
    for (header, status) in [
        ((TTL, "0"), 400),
        ((TTL, "21601"), 400),
        (("x-other", "60"), 400),
        ((TTL, "60"), 200),
    ] {
        assert_eq!(put(header).0, status, "{header:?}");
    }
    let (_, token) = put((TTL, "60"));
    let get = |path: &str, header| metadata(&place, Method::Get, path, header);
    let role = format!("{ROLES}{ROLE}");
    for path in [ROLES, &role] {
        assert_eq!(get(path, ("x-other", &token)).0, 403);
        assert_eq!(get(path, (TOKEN, "another")).0, 403);
        assert_eq!(get(path, (TOKEN, &token)).0, 200);
    }
    assert_eq!(get(&format!("{ROLES}another"), (TOKEN, &token)).0, 404);
    assert_eq!(get("meta-data/region-id", (TOKEN, &token)).0, 404);
    place.fake.set("clock", "61");
    assert_eq!(get(ROLES, (TOKEN, &token)).0, 403);
}

/// Temporary credentials of the metadata service.
fn credentials(place: &Place) -> Value {
    let (_, token) = metadata(place, Method::Put, "api/token", (TTL, "60"));
    let role = format!("{ROLES}{ROLE}");
    let (_, body) = metadata(place, Method::Get, &role, (TOKEN, &token));
    serde_json::from_str(&body).unwrap()
}

#[test]
fn temporary_credentials_need_their_token_and_end() {
    let place = Place::new();
    let (one, two) = (credentials(&place), credentials(&place));
    let outcome = |of: &Value, token: Option<&str>| {
        let mut draft = Draft::data_key(KEY);
        draft.id = of["AccessKeyId"].as_str().unwrap().into();
        draft.secret = of["AccessKeySecret"].as_str().unwrap().into();
        draft.set("x-acs-security-token", token);
        draft.sign(&place).outcome(&place)
    };
    let token = |of: &Value| of["SecurityToken"].as_str().unwrap().to_string();
    assert_eq!(outcome(&one, Some(&token(&one))), "OK");
    assert_eq!(outcome(&one, None), "400 MissingSecurityToken");
    let mixed = "400 InvalidSecurityToken.MismatchWithAccessKey";
    assert_eq!(outcome(&one, Some(&token(&two))), mixed);
    assert_eq!(
        outcome(&one, Some("x")),
        "400 InvalidSecurityToken.Malformed"
    );
    place.fake.set("life", "0");
    let dead = credentials(&place);
    assert_eq!(
        outcome(&dead, Some(&token(&dead))),
        "400 InvalidSecurityToken.Expired"
    );
}

#[test]
fn a_role_is_assumed_with_the_right_token_alone() {
    let place = Place::new();
    let now = keyring_ward::os::unix_seconds();
    let good = oidc_token(&claims(now + 60));
    let expired = oidc_token(&claims(now - 1));
    let mut other = claims(now + 60);
    other["aud"] = json!(["vault"]);
    let audience = oidc_token(&other);
    let mut none = claims(now + 60);
    none["sub"] = json!("system:serviceaccount:x:y");
    let subject = oidc_token(&none);
    let signature = format!("{}AAAA", &good[..good.len() - 4]);
    let (time, past) = (at(0), at(-1000));
    for (name, value, code) in [
        ("", "", "200 "),
        ("Action", "AssumeRole", "404 InvalidAction.NotFound"),
        ("Version", "2016-01-20", "404 InvalidAction.NotFound"),
        ("Timestamp", &past, "400 InvalidTimeStamp.Expired"),
        (
            "DurationSeconds",
            "60",
            "400 InvalidParameter.DurationSeconds",
        ),
        (
            "RoleSessionName",
            "",
            "400 InvalidParameter.RoleSessionName",
        ),
        ("RoleArn", "acs:ram::1:role/x", "404 EntityNotExist.Role"),
        (
            "OIDCProviderArn",
            "acs:ram::1:oidc-provider/x",
            "401 AuthenticationFail.NoPermission",
        ),
        ("OIDCToken", "x", "401 AuthenticationFail.OIDCToken.Invalid"),
        (
            "OIDCToken",
            "a.b.c",
            "401 AuthenticationFail.OIDCToken.Invalid",
        ),
        (
            "OIDCToken",
            &signature,
            "401 AuthenticationFail.OIDCToken.InvalidSignature",
        ),
        (
            "OIDCToken",
            &expired,
            "401 AuthenticationFail.OIDCToken.Expired",
        ),
        (
            "OIDCToken",
            &audience,
            "401 AuthenticationFail.OIDCToken.AudienceNotMatch",
        ),
        ("OIDCToken", &subject, "401 AuthenticationFail.NoPermission"),
    ] {
        let mut parameters = vec![
            ("Action", "AssumeRoleWithOIDC"),
            ("Version", "2015-04-01"),
            ("Format", "JSON"),
            ("Timestamp", &time),
            ("DurationSeconds", "900"),
            ("RoleSessionName", "test"),
            ("RoleArn", ROLE_ARN),
            ("OIDCProviderArn", PROVIDER_ARN),
            ("OIDCToken", &good),
        ];
        for parameter in &mut parameters {
            if parameter.0 == name {
                parameter.1 = value;
            }
        }
        let request = Request::new(Method::Post, format!("{}/", place.fake.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(&parameters));
        let (status, body) = answer(&request);
        let body: Value = serde_json::from_str(&body).unwrap();
        let got = format!("{status} {}", body["Code"].as_str().unwrap_or(""));
        assert_eq!(got, code, "{name}={value}");
    }
}
