//! Each way to log in to Azure: what it sends, how often, and what is refused. Part of tests/contract_azure_key_vault.rs.

#![allow(clippy::unwrap_used)]

use super::clouds::azure::{CLIENT_ID, CLIENT_SECRET, IDENTITY_HEADER, TENANT};
use super::{ENVIRONMENT, METADATA, Place, not_opened, opens, refused, tool, wrap};
use keyring_ward::caller::Caller;
use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use keyring_ward::keyring::Keyring;
use keyring_ward::net::{Client, Method, Request};
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::time::Duration;

const LOGIN: &str = "POST /11111111-2222-3333-4444-555555555555/oauth2/v2.0/token 200";

/// What the fake answers at this path, 200 only.
pub fn get(place: &Place, path: &str) -> String {
    let request = Request::new(Method::Get, format!("{}{path}", place.fake.url()));
    let client = Client::link_local(Duration::from_secs(5));
    let answer = client
        .send(&request, Deadline::after(Duration::from_secs(5)))
        .unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// A certificate and its RSA key, in PEM.
pub fn certificate() -> (String, String) {
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// The options of a way with an application, with changes.
pub fn application(place: &Place, auth: &str, changes: Value) -> Value {
    let mut options = json!({
        "auth": auth, "tenant_id": TENANT, "client_id": CLIENT_ID, "authority": place.fake.url(), "metadata_url": null,
    });
    let changes = changes.as_object().unwrap().clone();
    options.as_object_mut().unwrap().extend(changes);
    options
}

/// The options of the way `certificate`, whose certificate the fake knows.
pub fn by_certificate(place: &Place) -> Value {
    let (certificate, key) = certificate();
    place.fake.set("certificate", &certificate);
    let files = json!({
        "certificate_file": place.write("certificate", &certificate), "private_key_file": place.write("key", &key),
    });
    application(place, "certificate", files)
}

/// A keyring is made and opened; gives what a start asks.
fn opening(place: &Place, options: &Value) -> Vec<String> {
    let config = place.config(options);
    let open = || Keyring::open(&config, &ENVIRONMENT, &SecretPool::new()).unwrap();
    open()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    place.fake.take_calls();
    assert_eq!(open().list().len(), 1);
    place.fake.take_calls()
}

fn is_token_and_unwrap(calls: &[String], token: &str) {
    assert_eq!((calls.len(), calls[0].as_str()), (2, token), "{calls:?}");
    assert!(calls[1].ends_with("/unwrapkey 200"), "{calls:?}");
}

#[test]
fn a_machines_identity_opens_with_two_requests() {
    let place = Place::new();
    is_token_and_unwrap(&opening(&place, &json!({})), METADATA);
    let other = "00000000-1111-2222-3333-444444444444";
    let kek = |changes: Value| place.kek(changes);
    let stanza = wrap(&*kek(json!({}))).unwrap();
    // One of several that users gave it, and none.
    place
        .fake
        .set("identities", &format!("{CLIENT_ID},{other}"));
    opens(&*kek(json!({"client_id": CLIENT_ID})), &stanza);
    not_opened(
        "a machine with several identities, none of which is named",
        &*kek(json!({})),
        &stanza,
        Kind::Denied,
        "Multiple user assigned identities exist",
    );
    place.fake.set("identities", CLIENT_ID);
    opens(&*kek(json!({})), &stanza);
    let said = refused(
        "an identity that the machine does not have",
        &*kek(json!({"client_id": other})),
        Kind::Denied,
        "Identity not found",
    );
    assert!(said.contains(other), "{said}");
    place.fake.set("identities", "none");
    refused(
        "a machine without an identity",
        &*kek(json!({})),
        Kind::Denied,
        "az vm identity assign",
    );
}

#[test]
fn a_secret_opens_with_two_requests_and_is_not_shown() {
    let place = Place::new();
    let file = place.write("secret", &format!("{CLIENT_SECRET}\n"));
    let options = application(&place, "secret", json!({"client_secret_file": file}));
    is_token_and_unwrap(&opening(&place, &options), LOGIN);
    let kek = place.kek(options.clone());
    let hidden = |said: &str| assert!(!said.contains("HIDDEN"), "{said}");
    for (what, name, value, kind, words) in [
        (
            "an expired client secret",
            "secret_expired",
            "yes",
            Kind::Denied,
            "AADSTS7000222",
        ),
        (
            "another client secret",
            "client_secret",
            "x",
            Kind::Denied,
            "AADSTS7000215",
        ),
        (
            "an application of another tenant",
            "client_id",
            "x",
            Kind::Denied,
            "AADSTS700016",
        ),
        (
            "a tenant that is not there",
            "tenant",
            "x",
            Kind::NotFound,
            "AADSTS90002",
        ),
        (
            "a vault of another tenant",
            "vault_tenant",
            "other",
            Kind::Denied,
            "AKV10032",
        ),
        (
            "a token that expires at once",
            "token_life",
            "-1",
            Kind::Denied,
            "expired",
        ),
    ] {
        place.fake.set(name, value);
        hidden(&refused(what, &*kek, kind, words));
        place.fake.set(name, "");
    }
    let managed = json!({"resource": "https://managedhsm.azure.net"});
    let mut options = options;
    options
        .as_object_mut()
        .unwrap()
        .extend(managed.as_object().unwrap().clone());
    hidden(&refused(
        "a token for another resource, of Entra",
        &*place.kek(options),
        Kind::Denied,
        "AKV10022",
    ));
    // What the file may not be.
    for (text, words) in [
        ("", "is empty"),
        ("HIDDEN\nb\n", "more than one line"),
        ("HIDDEN x", "holds no token"),
    ] {
        place.write("secret", text);
        place.fake.take_calls();
        hidden(&refused(
            &format!("the secret's file: {words}"),
            &*kek,
            Kind::InvalidInput,
            words,
        ));
        assert!(place.fake.take_calls().is_empty());
    }
    place.write("secret", CLIENT_SECRET);
    wrap(&*kek).unwrap();
}

#[test]
fn a_certificate_signs_for_two_requests() {
    let place = Place::new();
    let options = by_certificate(&place);
    is_token_and_unwrap(&opening(&place, &options), LOGIN);
    let kek = place.kek(options);
    let (other, other_key) = certificate();
    place.fake.set("certificate", &other);
    refused(
        "a certificate that is not the application's",
        &*kek,
        Kind::Denied,
        "AADSTS700027",
    );
    // The pair is looked at before anything is sent.
    place.fake.take_calls();
    place.write("key", &other_key);
    refused(
        "a key of another certificate",
        &*kek,
        Kind::Config,
        "is not the certificate of the key",
    );
    place.write("key", "HIDDEN");
    let said = refused(
        "a file that is no key",
        &*kek,
        Kind::Config,
        "holds no RSA key",
    );
    assert!(!said.contains("HIDDEN"), "{said}");
    std::fs::remove_file(place.path("certificate")).unwrap();
    refused(
        "a certificate that is not there",
        &*kek,
        Kind::Config,
        "holds no RSA key",
    );
    place.write("key", &other_key);
    refused(
        "a certificate that is not there",
        &*kek,
        Kind::NotFound,
        "certificate",
    );
    assert!(place.fake.take_calls().is_empty());
    place.write("certificate", &other);
    wrap(&*kek).unwrap();
}

#[test]
fn a_clock_that_is_off_is_told_as_the_clocks() {
    let place = Place::new();
    let kek = place.kek(by_certificate(&place));
    for (clock, seconds) in [("-600", 600), ("1000", -1000)] {
        place.fake.set("clock", clock);
        let what = format!("a clock that differs by {seconds} s");
        let said = refused(&what, &*kek, Kind::Denied, "AADSTS700024");
        assert!(
            said.contains("The clock of this machine differs from that of Microsoft Entra ID"),
            "{said}"
        );
        // The two clocks are not read in the same second, always.
        let told = |off: i32| said.contains(&format!("by {} s", seconds + off));
        assert!((-1..=1).any(told), "{said}");
    }
    // Ten minutes slow, with five minutes of leeway there: the assertion lives as long.
    place.fake.set("clock", "600");
    wrap(&*kek).unwrap();
    // Who sends no assertion of his own does not care.
    place.fake.set("clock", "100000");
    wrap(&*place.kek(json!({}))).unwrap();
}

/// The options of a pod as flat ones.
fn flat(place: &Place, options: &Value) -> Vec<String> {
    let all = place.options(options);
    let all = all.as_object().unwrap().iter();
    all.map(|(name, value)| {
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), String::from);
        format!("azure_key_vault_{name}={text}")
    })
    .collect()
}

/// Makes a keyring by the tool, which has these variables; gives what the tool asks to look at it afterwards.
fn tool_opens(place: &Place, variables: &[(&str, &str)], options: &Value) -> Vec<String> {
    let path = place.path("keyring");
    let flat = flat(place, options);
    let mut args = vec![
        "init",
        "--backend",
        "azure_key_vault",
        "--path",
        path.to_str().unwrap(),
    ];
    args.extend(flat.iter().flat_map(|option| ["--option", option.as_str()]));
    tool(variables, &args, true);
    let file = place.write("conf", &place.document(options).to_string());
    place.fake.take_calls();
    tool(
        variables,
        &["list", "--config", file.to_str().unwrap()],
        true,
    );
    place.fake.take_calls()
}

#[test]
fn an_app_opens_with_two_requests_by_its_environment() {
    let place = Place::new();
    let options = json!({"auth": "app_service", "metadata_url": null});
    let endpoint = format!("{}/msi/token", place.fake.url());
    let variables = [
        ("IDENTITY_ENDPOINT", endpoint.as_str()),
        ("IDENTITY_HEADER", IDENTITY_HEADER),
    ];
    is_token_and_unwrap(
        &tool_opens(&place, &variables, &options),
        "GET /msi/token 200",
    );
    let file = place.path("conf");
    let list = ["list", "--config", file.to_str().unwrap()];
    for (variables, words) in [
        (vec![], "IDENTITY_ENDPOINT is not set"),
        (vec![variables[0]], "IDENTITY_HEADER is not set"),
        (
            vec![
                ("IDENTITY_ENDPOINT", "http://example.org/msi"),
                variables[1],
            ],
            "not http://ADDRESS:PORT/PATH",
        ),
        (
            vec![variables[0], ("IDENTITY_HEADER", "HIDDEN x")],
            "it has blanks",
        ),
        (
            vec![variables[0], ("IDENTITY_HEADER", "HIDDEN")],
            "check IDENTITY_HEADER",
        ),
    ] {
        let said = tool(&variables, &list, false);
        assert!(
            said.contains(words) && !said.contains("HIDDEN"),
            "{words}: {said}"
        );
    }
}

#[test]
fn a_pod_opens_with_two_requests_by_its_token() {
    let place = Place::new();
    let token = place.write("token", &get(&place, "/cluster/token"));
    let options = json!({"auth": "workload_identity", "metadata_url": null});
    let url = place.fake.url();
    let host = format!("{url}/");
    let variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT_ID),
        ("AZURE_FEDERATED_TOKEN_FILE", token.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", host.as_str()),
    ];
    is_token_and_unwrap(&tool_opens(&place, &variables, &options), LOGIN);
    let file = place.path("conf");
    let list = ["list", "--config", file.to_str().unwrap()];
    for at in 0..3 {
        let mut fewer = variables.to_vec();
        let (name, _) = fewer.remove(at);
        let said = tool(&fewer, &list, false);
        assert!(said.contains(&format!("{name} is not set")), "{said}");
    }
    let foreign = ("AZURE_AUTHORITY_HOST", "https://login.example.org/");
    let said = tool(&[&variables[..3], &[foreign]].concat(), &list, false);
    assert!(said.contains("is not one of Microsoft's"), "{said}");
    // The same by options, without an environment.
    let file = json!({"federated_token_file": token});
    let kek = place.kek(application(&place, "workload_identity", file));
    for (query, kind, words) in [
        (
            "sub=system:serviceaccount:db:other",
            Kind::Denied,
            "AADSTS700213",
        ),
        ("aud=sts.amazonaws.com", Kind::Denied, "AADSTS700212"),
        ("foreign=1", Kind::Denied, "AADSTS700211"),
        ("life=-400", Kind::Denied, "AADSTS700024"),
    ] {
        let text = get(&place, &format!("/cluster/token?{query}"));
        place.write("token", &text);
        let said = refused(
            &format!("a federated token with {query}"),
            &*kek,
            kind,
            words,
        );
        assert!(!said.contains(&text), "{said}");
    }
    for (text, words) in [("", "is empty"), ("HID DEN", "holds no token")] {
        place.write("token", text);
        let begin = std::time::Instant::now();
        let e = wrap(&*kek).map(drop).unwrap_err();
        super::told(&format!("a federated token's file: {words}"), &e, begin);
        assert!(
            e.to_string().contains(words) && !e.to_string().contains("HID"),
            "{e}"
        );
    }
    place.write("token", &get(&place, "/cluster/token"));
    wrap(&*kek).unwrap();
}
