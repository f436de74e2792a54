//! What the fake of Azure refuses, as Azure does: a fake that accepts such a request would prove nothing. Part of
//! tests/contract_azure_key_vault.rs.

#![allow(clippy::unwrap_used)]

use super::Place;
use super::azure_logins::{certificate, get};
use super::clouds::azure::{CLIENT_ID, CLIENT_SECRET, IDENTITY_HEADER, TENANT};
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use keyring_ward::deadline::Deadline;
use keyring_ward::net::{Client, Method, Request};
use serde_json::{Value, json};
use std::time::Duration;

/// Status and body of an answer.
fn ask(request: Request) -> (u16, Value) {
    let client = Client::link_local(Duration::from_secs(5));
    let answer = client
        .send(&request, Deadline::after(Duration::from_secs(5)))
        .unwrap();
    let body = serde_json::from_slice(answer.body()).unwrap_or_default();
    (answer.status(), body)
}

/// It is refused with this status, and the body has the words.
fn refuses(what: &str, request: Request, status: u16, words: &str) {
    let (got, body) = ask(request);
    assert_eq!(got, status, "{what}: {body}");
    assert!(body.to_string().contains(words), "{what}: {body}");
}

/// A token of the machine for a resource.
fn token(place: &Place, resource: &str) -> String {
    let query = format!("api-version=2018-02-01&resource={resource}");
    let url = format!(
        "{}/metadata/identity/oauth2/token?{query}",
        place.fake.url()
    );
    let (status, body) = ask(Request::new(Method::Get, url).header("metadata", "true"));
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().into()
}

#[test]
fn identities_are_given_to_who_asks_as_documented() {
    let place = Place::new();
    let url = |rest: &str| format!("{}{rest}", place.fake.url());
    let machine = |query: &str| {
        let path = format!("/metadata/identity/oauth2/token?{query}");
        Request::new(Method::Get, url(&path))
    };
    let good = "api-version=2018-02-01&resource=https://vault.azure.net";
    assert_eq!(ask(machine(good).header("metadata", "true")).0, 200);
    refuses(
        "no Metadata header",
        machine(good),
        400,
        "Required metadata header",
    );
    refuses(
        "another Metadata header",
        machine(good).header("metadata", "false"),
        400,
        "metadata header",
    );
    refuses(
        "through a proxy",
        machine(good)
            .header("metadata", "true")
            .header("x-forwarded-for", "10.0.0.1"),
        400,
        "metadata header",
    );
    refuses(
        "no api-version",
        machine("resource=x").header("metadata", "true"),
        400,
        "api-version",
    );
    refuses(
        "no resource",
        machine("api-version=2018-02-01").header("metadata", "true"),
        400,
        "'resource' is missing",
    );
    let other = format!("{good}&client_id={CLIENT_ID}");
    refuses(
        "another identity",
        machine(&other).header("metadata", "true"),
        400,
        "Identity not found",
    );
    let app = |query: &str| Request::new(Method::Get, url(&format!("/msi/token?{query}")));
    let good = "api-version=2019-08-01&resource=https://vault.azure.net";
    assert_eq!(
        ask(app(good).header("x-identity-header", IDENTITY_HEADER)).0,
        200
    );
    refuses("no X-IDENTITY-HEADER", app(good), 401, "identity header");
    refuses(
        "another X-IDENTITY-HEADER",
        app(good).header("x-identity-header", "x"),
        401,
        "identity header",
    );
    refuses(
        "another api-version",
        app("resource=x").header("x-identity-header", IDENTITY_HEADER),
        400,
        "api-version",
    );
}

#[test]
fn a_vault_takes_only_a_token_that_is_for_it() {
    let place = Place::new();
    let url = format!("{}/keys/mysql/wrapkey?api-version=7.4", place.fake.url());
    let body =
        json!({"alg": "RSA-OAEP-256", "value": BASE64URL_NOPAD.encode(&[1; 32])}).to_string();
    let with = |authorization: &str| {
        let request = Request::new(Method::Post, url.clone()).body(body.clone());
        match authorization {
            "" => request,
            authorization => request.header("authorization", authorization),
        }
    };
    let good = token(&place, "https://vault.azure.net");
    assert_eq!(ask(with(&format!("Bearer {good}"))).0, 200);
    refuses("no token", with(""), 401, "AKV10000");
    refuses(
        "another scheme",
        with(&format!("Basic {good}")),
        401,
        "AKV10000",
    );
    // A signature of which one character is another.
    let at = good.rfind('.').unwrap() + 20;
    let other = if good.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    let altered = format!("Bearer {}{other}{}", &good[..at], &good[at + 1..]);
    refuses("an altered signature", with(&altered), 401, "AKV10046");
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let mut changed: Value =
        serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
    changed["exp"] = json!(9_999_999_999_u64);
    let claims = BASE64URL_NOPAD.encode(changed.to_string().as_bytes());
    refuses(
        "altered claims",
        with(&format!("Bearer {head}.{claims}.{signature}")),
        401,
        "AKV10046",
    );
    let audience = token(&place, "https://management.azure.com");
    refuses(
        "another audience",
        with(&format!("Bearer {audience}")),
        401,
        "AKV10022",
    );
    place.fake.set("token_life", "-1");
    let expired = token(&place, "https://vault.azure.net");
    refuses(
        "an expired token",
        with(&format!("Bearer {expired}")),
        401,
        "TokenExpired",
    );
    // Time passes at the vault.
    place.fake.set("clock", "90000");
    refuses(
        "a token of yesterday",
        with(&format!("Bearer {good}")),
        401,
        "TokenExpired",
    );
    place.fake.set("clock", "");
    place.fake.set("vault_tenant", "other");
    refuses(
        "another tenant",
        with(&format!("Bearer {good}")),
        401,
        "AKV10032",
    );
}

#[test]
fn a_vault_refuses_what_it_can_not_wrap() {
    let place = Place::new();
    let bearer = format!("Bearer {}", token(&place, "https://vault.azure.net"));
    let post = |path: &str, body: &Value| {
        let url = format!("{}/keys/{path}", place.fake.url());
        let request = Request::new(Method::Post, url).body(body.to_string());
        request.header("authorization", bearer.clone())
    };
    let value = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let good = json!({"alg": "RSA-OAEP-256", "value": value(&[1; 32])});
    let (status, wrapped) = ask(post("mysql/wrapkey?api-version=7.4", &good));
    assert_eq!(status, 200, "{wrapped}");
    // The version may be left out with its slash as well; names have no case.
    assert_eq!(
        ask(post("MySQL//wrapkey?api-version=2025-07-01", &good)).0,
        200
    );
    let version = wrapped["kid"].as_str().unwrap().rsplit('/').next().unwrap();
    let back = json!({"alg": "RSA-OAEP-256", "value": wrapped["value"]});
    let by = |name: &str, version: &str| format!("{name}/{version}/unwrapkey?api-version=7.4");
    let (status, opened) = ask(post(&by("mysql", version), &back));
    assert_eq!((status, &opened["value"]), (200, &json!(value(&[1; 32]))));
    refuses(
        "no api-version",
        post("mysql/wrapkey", &good),
        400,
        "api-version",
    );
    refuses(
        "a foreign key",
        post(&by("other", version), &back),
        404,
        "KeyNotFound",
    );
    let (_, of_other) = ask(post("other/wrapkey?api-version=7.4", &good));
    let of_other = json!({"alg": "RSA-OAEP-256", "value": of_other["value"]});
    refuses(
        "another key's data key",
        post(&by("mysql", version), &of_other),
        400,
        "decoding OAEP padding",
    );
    for (what, body, words) in [
        (
            "no value",
            json!({"alg": "RSA-OAEP-256"}),
            "is not base64url",
        ),
        (
            "padding",
            json!({"alg": "RSA-OAEP-256", "value": "AAAA="}),
            "is not base64url",
        ),
        (
            "the other alphabet",
            json!({"alg": "RSA-OAEP-256", "value": "++++"}),
            "is not base64url",
        ),
        (
            "no algorithm",
            json!({"value": "AAAA"}),
            "'alg' is required",
        ),
        (
            "A256KW by RSA",
            json!({"alg": "A256KW", "value": value(&[1; 32])}),
            "algorithm",
        ),
        (
            "too much",
            json!({"alg": "RSA-OAEP-256", "value": value(&[1; 300])}),
            "OAEP",
        ),
    ] {
        refuses(
            what,
            post("mysql/wrapkey?api-version=7.4", &body),
            400,
            words,
        );
    }
    refuses(
        "AES in a vault",
        post("aes/wrapkey?api-version=7.4", &good),
        404,
        "KeyNotFound",
    );
    let url = format!("{}/keys/mysql/?api-version=7.4", place.fake.url());
    let request = Request::new(Method::Get, url).header("authorization", bearer.clone());
    refuses("reading the key", request, 403, "ForbiddenByRbac");
}

#[test]
fn entra_takes_only_what_proves_the_application() {
    let place = Place::new();
    let path = format!("{TENANT}/oauth2/v2.0/token");
    let post = |tenant_path: &str, pairs: &[(&str, &str)]| {
        let body: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        Request::new(Method::Post, format!("{}/{tenant_path}", place.fake.url()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"))
    };
    let base = [
        ("client_id", CLIENT_ID),
        ("grant_type", "client_credentials"),
        ("scope", "https://vault.azure.net/.default"),
        ("client_secret", CLIENT_SECRET),
    ];
    let changed =
        |name: &str, value: &'static str| base.map(|(n, v)| (n, if n == name { value } else { v }));
    assert_eq!(ask(post(&path, &base)).0, 200);
    for (what, request, status, words) in [
        (
            "another secret",
            post(&path, &changed("client_secret", "x")),
            401,
            "AADSTS7000215",
        ),
        ("no secret", post(&path, &base[..3]), 401, "AADSTS7000218"),
        (
            "another application",
            post(&path, &changed("client_id", "x")),
            400,
            "AADSTS700016",
        ),
        (
            "another grant",
            post(&path, &changed("grant_type", "password")),
            400,
            "AADSTS70003",
        ),
        (
            "another scope",
            post(&path, &changed("scope", "https://vault.azure.net")),
            400,
            "AADSTS1002012",
        ),
        (
            "another resource",
            post(&path, &changed("scope", "https://example.org/.default")),
            400,
            "AADSTS500011",
        ),
        (
            "another tenant",
            post("x/oauth2/v2.0/token", &base),
            400,
            "AADSTS90002",
        ),
    ] {
        refuses(what, request, status, words);
    }
    // Assertions by a certificate: signed, and made out, as they have to be.
    let (pem, key) = certificate();
    place.fake.set("certificate", &pem);
    let asserted = |header: &Value, changes: &Value, key: &str| {
        let mut claims = json!({
            "aud": format!("{}/{path}", place.fake.url()), "iss": CLIENT_ID, "sub": CLIENT_ID, "jti": "1",
            "nbf": now(), "exp": now() + 600,
        });
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        let assertion = signed(header, &claims, key);
        let pairs = [
            base[0],
            base[1],
            base[2],
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion.as_str()),
        ];
        post(&path, &pairs)
    };
    let header = json!({"alg": "RS256", "x5t": thumbprint(&pem)});
    let none = json!({});
    let (status, body) = ask(asserted(&header, &none, &key));
    assert_eq!(status, 200, "{body}");
    let (_, other_key) = certificate();
    let padded = json!({"alg": "RS256", "x5t": format!("{}=", thumbprint(&pem))});
    assert_eq!(
        ask(asserted(&padded, &none, &key)).0,
        200,
        "as Microsoft's own client writes it"
    );
    for (what, header, changes, key, words) in [
        (
            "another key",
            &header,
            none.clone(),
            &other_key,
            "AADSTS700027",
        ),
        (
            "another certificate",
            &json!({"alg": "RS256", "x5t": "AAAA"}),
            none.clone(),
            &key,
            "AADSTS700027",
        ),
        (
            "another algorithm",
            &json!({"alg": "none", "x5t": thumbprint(&pem)}),
            none.clone(),
            &key,
            "AADSTS700027",
        ),
        (
            "another audience",
            &header,
            json!({"aud": "https://login.example.org"}),
            &key,
            "AADSTS50027",
        ),
        (
            "another issuer",
            &header,
            json!({"iss": "x"}),
            &key,
            "AADSTS700021",
        ),
        (
            "another subject",
            &header,
            json!({"sub": "x"}),
            &key,
            "AADSTS700021",
        ),
        ("no id", &header, json!({"jti": ""}), &key, "AADSTS50027"),
        (
            "ten minutes late",
            &header,
            json!({"exp": now() - 600}),
            &key,
            "AADSTS700024",
        ),
        (
            "ten minutes early",
            &header,
            json!({"nbf": now() + 600}),
            &key,
            "AADSTS700024",
        ),
        (
            "no certificate's name",
            &json!({"alg": "RS256"}),
            none.clone(),
            &key,
            "AADSTS700211",
        ),
    ] {
        refuses(what, asserted(header, &changes, key), 401, words);
    }
    // A federated token, which `GET /cluster/token` gives.
    let federated = |query: &str| {
        let token = get(&place, &format!("/cluster/token{query}"));
        let kind = (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        );
        post(
            &path,
            &[
                base[0],
                base[1],
                base[2],
                kind,
                ("client_assertion", token.as_str()),
            ],
        )
    };
    assert_eq!(ask(federated("")).0, 200);
    refuses(
        "a foreign issuer",
        federated("?foreign=1"),
        401,
        "AADSTS700211",
    );
    refuses("another account", federated("?sub=x"), 401, "AADSTS700213");
    refuses("another audience", federated("?aud=x"), 401, "AADSTS700212");
    refuses(
        "an expired one",
        federated("?life=-301"),
        401,
        "AADSTS700024",
    );
    let token = get(&place, "/cluster/token");
    let wrong = [
        base[0],
        base[1],
        base[2],
        ("client_assertion_type", "jwt"),
        ("client_assertion", token.as_str()),
    ];
    refuses("another kind", post(&path, &wrong), 401, "AADSTS50027");
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

fn thumbprint(pem: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    BASE64URL_NOPAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der).as_ref())
}

/// A token with RS256, whatever its header says.
fn signed(header: &Value, claims: &Value, key: &str) -> String {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeyPair;
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::pki_types::pem::PemObject;
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// RFC 3394, section 4.6: the wrap that the fake's HSM does is that of the standard.
#[test]
fn a_wrap_by_aes_is_that_of_the_standard() {
    let bytes = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let kek = bytes("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    let data = bytes("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
    let mut wrapped = [0; 40];
    AesKek::new(&AES_256, &kek)
        .unwrap()
        .wrap(&data, &mut wrapped)
        .unwrap();
    assert_eq!(
        HEXLOWER.encode(&wrapped),
        "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    );
}
