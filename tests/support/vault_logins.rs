//! Logging in to a real OpenBao: every method, and that no token is left behind. Part of tests/contract_vault.rs.

#![allow(clippy::unwrap_used)]

use super::bao::{Authority, Bao, write_secret};
use super::kms_proxy::Proxy;
use super::token_reviews::token_reviews;
use super::{BAO, LEAST, Place, opens, plain, refused, wrap};
use data_encoding::BASE64URL_NOPAD;
use keyring_ward::error::Kind;
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The policy of roles whose tokens do not have `default`.
const WITH_REVOKE: &str = r#"path "transit/encrypt/mysql" { capabilities = ["update"] }
path "transit/decrypt/mysql" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }"#;

/// Mounts an auth method under a path of its own.
fn mount(bao: &Bao, kind: &str, path: &str) {
    bao.admin(&format!("sys/auth/{path}"), json!({"type": kind}));
    bao.admin("sys/policies/acl/vault-least", json!({"policy": LEAST}));
    bao.admin(
        "sys/policies/acl/vault-revoke",
        json!({"policy": WITH_REVOKE}),
    );
}

/// A role's members for one kind of token.
fn role(token_type: &str, policy: &str, more: Value) -> Value {
    let mut role = json!({
        "token_type": token_type, "token_policies": [policy], "token_no_default_policy": true, "token_ttl": "60s", "token_num_uses": 0,
    });
    for (name, value) in more.as_object().unwrap() {
        role[name] = value.clone();
    }
    role
}

fn app_role(bao: &Bao, path: &str, name: &str, members: Value) -> (String, String) {
    let role = format!("auth/{path}/role/{name}");
    bao.admin(&role, members);
    let (_, id) = bao.ask(&format!("{role}/role-id"), &bao.root, &Value::Null);
    let secret = bao.admin(&format!("{role}/secret-id"), json!({}));
    let text = |value: &Value| value.as_str().unwrap().to_string();
    (
        text(&id["data"]["role_id"]),
        text(&secret["data"]["secret_id"]),
    )
}

#[test]
fn approle_with_batch_tokens_leaves_nothing_and_with_service_tokens_revokes_them() {
    // A server of its own: its tokens are counted.
    let _turn = crate::common::turn();
    let Some(bao) = &Bao::start() else { return };
    mount(bao, "approle", "approle");
    let place = Place::with_token("unused");
    let proxy = Proxy::start(bao.plain);
    let (encrypt, decrypt) = ("transit/encrypt/mysql", "transit/decrypt/mysql");
    let (login, revoke) = ("auth/approle/login", "auth/token/revoke-self");
    let kek = |members: Value| {
        let (id, secret) = app_role(bao, "approle", "mysql", members);
        write_secret(&place.path("secret-id"), &secret);
        place.kek(&proxy.url(), json!({
            "auth": "approle", "token_file": null, "role_id": id, "secret_id_file": place.path("secret-id"),
        }))
    };
    let before = bao.kept_tokens();
    let batch = kek(role("batch", "vault-least", json!({})));
    opens(&*batch, &wrap(&*batch).unwrap());
    assert_eq!(proxy.take_calls(), [login, encrypt, login, decrypt]);
    assert_eq!(bao.kept_tokens(), before);
    let service = kek(role("service", "vault-revoke", json!({})));
    let stanza = wrap(&*service).unwrap();
    opens(&*service, &stanza);
    assert_eq!(
        proxy.take_calls(),
        [login, encrypt, revoke, login, decrypt, revoke]
    );
    assert_eq!(bao.kept_tokens(), before);
    assert_eq!(service.take_warnings(), [""; 0]);
    // What is refused or hangs is revoked as well.
    for (fault, kind) in [
        (
            "on transit/encrypt/mysql answer 403 {\"errors\":[\"permission denied\"]}",
            Kind::Denied,
        ),
        ("on transit/encrypt/mysql html", Kind::Config),
        ("on transit/encrypt/mysql hang", Kind::Unreachable),
    ] {
        proxy.set_fault(fault);
        refused(&format!("approle, {fault}"), &*service, kind, "");
        // The last attempt may have had no time for it: then it says so.
        let told = service.take_warnings().len();
        // Where its answer came too late, the token is gone nevertheless.
        let kept = bao.kept_tokens();
        assert!((before..=before + told).contains(&kept), "{fault}: {kept}");
        assert!(told == 0 || fault.ends_with("hang"), "{fault}");
    }
    proxy.set_fault("");
    let before = bao.kept_tokens();
    // A token with one use is gone by itself.
    proxy.take_calls();
    let once = kek(role("service", "vault-least", json!({"token_num_uses": 1})));
    opens(&*once, &stanza);
    assert_eq!(proxy.take_calls(), [login, decrypt]);
    assert_eq!(once.take_warnings(), [""; 0]);
    let begin = Instant::now();
    while bao.kept_tokens() > before {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is not gone");
    }
    // One that may not be revoked is told of, and the keyring opens all the same.
    let bound = kek(role("service", "vault-least", json!({})));
    opens(&*bound, &stanza);
    let warnings = bound.take_warnings().join(" ");
    assert!(
        warnings.contains("left behind")
            && warnings.contains("60 s")
            && warnings.contains("token_type=batch"),
        "{warnings}"
    );
    assert_eq!(bao.kept_tokens(), before + 1);
}

#[test]
fn a_wrong_secret_id_is_refused_and_never_shown() {
    let Some(bao) = &*BAO else { return };
    mount(bao, "approle", "approle-wrong");
    let (id, secret) = app_role(
        bao,
        "approle-wrong",
        "mysql",
        role("batch", "vault-least", json!({})),
    );
    let place = Place::with_token("unused");
    let file = place.path("secret-id");
    let changes = json!({
        "auth": "approle", "auth_mount": "approle-wrong", "token_file": null, "role_id": id, "secret_id_file": file,
    });
    let kek = place.kek(&plain(bao), changes.clone());
    write_secret(&file, &secret);
    wrap(&*kek).unwrap();
    write_secret(&file, "HIDDEN-0000");
    let said = refused(
        "approle: a wrong secret id",
        &*kek,
        Kind::Denied,
        "invalid role or secret ID",
    );
    assert!(!said.contains("HIDDEN"), "{said}");
    write_secret(&file, "HIDDEN 0000");
    let said = refused(
        "approle: a secret id that is none",
        &*kek,
        Kind::InvalidInput,
        "holds no token",
    );
    assert!(!said.contains("HIDDEN"), "{said}");
    std::fs::remove_file(&file).unwrap();
    refused(
        "approle: no file of the secret id",
        &*kek,
        Kind::NotFound,
        "secret-id",
    );
    let mut absent = changes;
    absent["auth_mount"] = "nowhere".into();
    write_secret(&file, &secret);
    refused(
        "approle: a mount that is not there",
        &*place.kek(&plain(bao), absent),
        Kind::Denied,
        "auth/nowhere/login",
    );
}

/// A signed JWT (RFC 7519, EdDSA).
fn jwt(key: &KeyPair, claims: &Value) -> String {
    jwt_of("EdDSA", key, claims)
}

fn jwt_of(algorithm: &str, key: &KeyPair, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let header = json!({"alg": algorithm, "typ": "JWT"});
    let text = format!("{}.{}", part(&header), part(claims));
    let signature = key.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn unix_now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[test]
fn a_jwt_logs_in_and_each_way_to_be_wrong_is_told() {
    let Some(bao) = &*BAO else { return };
    mount(bao, "jwt", "jwt");
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let config =
        json!({"jwt_validation_pubkeys": [key.public_key_pem()], "jwt_supported_algs": ["EdDSA"]});
    bao.admin("auth/jwt/config", config);
    let bound = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "bound_subject": "db1",
    });
    bao.admin("auth/jwt/role/mysql", role("batch", "vault-least", bound));
    let place = Place::with_token("unused");
    let file = place.path("jwt");
    let with = |role: &str| {
        place.kek(
            &plain(bao),
            json!({"auth": "jwt", "token_file": null, "role": role, "jwt_file": file}),
        )
    };
    let kek = with("mysql");
    let claims = |changes: Value| {
        let mut claims =
            json!({"sub": "db1", "aud": "vault", "iat": unix_now(), "exp": unix_now() + 600});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    // Readable for all, as orchestrators mount it, and renewed between two logins.
    std::fs::write(&file, jwt(&key, &claims(json!({})))).unwrap();
    let stanza = wrap(&*kek).unwrap();
    std::fs::write(
        &file,
        format!("{}\n", jwt(&key, &claims(json!({"iat": unix_now() - 9})))),
    )
    .unwrap();
    opens(&*kek, &stanza);
    refused(
        "jwt: an unknown role",
        &*with("nobody"),
        Kind::Denied,
        "role \"nobody\" could not be found",
    );
    for (what, changes) in [
        ("jwt: another subject", json!({"sub": "db2"})),
        ("jwt: another audience", json!({"aud": "other"})),
        (
            "jwt: expired",
            json!({"exp": unix_now() - 3600, "iat": unix_now() - 7200}),
        ),
    ] {
        let text = jwt(&key, &claims(changes));
        std::fs::write(&file, &text).unwrap();
        let said = refused(what, &*kek, Kind::Denied, "error validating token");
        assert!(!said.contains(&text), "{said}");
    }
    let stranger = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    std::fs::write(&file, jwt(&stranger, &claims(json!({})))).unwrap();
    refused(
        "jwt: of another key",
        &*kek,
        Kind::Denied,
        "error validating token",
    );
    std::fs::write(&file, "a b").unwrap();
    refused(
        "jwt: a file that holds none",
        &*kek,
        Kind::InvalidInput,
        "holds no token",
    );
    std::fs::remove_file(&file).unwrap();
    refused(
        "jwt: no file",
        &*kek,
        Kind::NotFound,
        "jwt_file of \"vault\"",
    );
}

#[test]
fn a_client_certificate_logs_in() {
    let Some(bao) = &*BAO else { return };
    mount(bao, "cert", "cert");
    let clients = Authority::new();
    let (chain, key) = clients.certify("db1");
    let members = role(
        "batch",
        "vault-least",
        json!({"certificate": clients.pem, "allowed_common_names": ["db1"]}),
    );
    bao.admin("auth/cert/certs/mysql", members);
    let place = Place::with_token("unused");
    let (chain_file, key_file) = (place.path("client.pem"), place.path("client.key"));
    std::fs::write(&chain_file, &chain).unwrap();
    write_secret(&key_file, &key);
    let with = |url: &str, more: Value| {
        let mut changes = json!({
            "auth": "cert", "token_file": null, "ca_file": bao.ca_file(),
            "client_certificate": chain_file, "client_key_file": key_file,
        });
        for (name, value) in more.as_object().unwrap() {
            changes[name] = value.clone();
        }
        place.kek(url, changes)
    };
    let kek = with(&bao.url(), json!({"role": "mysql"}));
    let stanza = wrap(&*kek).unwrap();
    opens(&*kek, &stanza);
    opens(&*with(&bao.url(), json!({})), &stanza);
    refused(
        "cert: an unknown role",
        &*with(&bao.url(), json!({"role": "other"})),
        Kind::Denied,
        "auth/cert/login",
    );
    // Without TLS no certificate is shown.
    refused(
        "cert: without TLS",
        &*with(&plain(bao), json!({})),
        Kind::Denied,
        "auth/cert/login",
    );
    // The key of another certificate, one that others can read, and somebody else's certificate.
    let (other_chain, other_key) = Authority::new().certify("db1");
    write_secret(&key_file, &other_key);
    refused(
        "cert: the key of another certificate",
        &*kek,
        Kind::Config,
        "does not belong to the certificate",
    );
    std::fs::write(&chain_file, other_chain).unwrap();
    refused(
        "cert: somebody else's certificate",
        &*kek,
        Kind::Denied,
        "auth/cert/login",
    );
    std::os::unix::fs::chown(&key_file, None, None).unwrap();
    std::fs::set_permissions(
        &key_file,
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    refused(
        "cert: others may read the key",
        &*kek,
        Kind::Permission,
        "client.key",
    );
}

#[test]
fn a_pod_logs_in_with_its_service_account() {
    let Some(bao) = &*BAO else { return };
    mount(bao, "kubernetes", "kubernetes");
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    // Vault reads who a pod says that it is, and leaves the signature to the reviewer.
    let pod = |name: &str| {
        let account = format!("system:serviceaccount:db:{name}");
        let claims = json!({
            "iss": "https://kubernetes.default.svc", "sub": account, "aud": ["vault"],
            "exp": unix_now() + 600, "iat": unix_now(),
            "kubernetes.io": {"namespace": "db", "serviceaccount": {"name": name, "uid": "u-1"}},
        });
        jwt_of("RS256", &key, &claims)
    };
    let (mysql, other, revoked) = (pod("mysql"), pod("other"), pod("gone"));
    let cluster = Authority::new();
    let reviewer = token_reviews(
        &cluster,
        vec![
            (mysql.clone(), "db:mysql".into()),
            (other.clone(), "db:other".into()),
        ],
    );
    bao.admin("auth/kubernetes/config", json!({
        "kubernetes_host": reviewer, "kubernetes_ca_cert": cluster.pem, "disable_local_ca_jwt": true,
    }));
    let bound = json!({"bound_service_account_names": ["mysql", "gone"], "bound_service_account_namespaces": ["db"]});
    bao.admin(
        "auth/kubernetes/role/mysql",
        role("batch", "vault-least", bound),
    );
    let place = Place::with_token("unused");
    let file = place.path("token");
    let with = |role: &str| {
        place.kek(
            &plain(bao),
            json!({"auth": "kubernetes", "token_file": null, "role": role, "jwt_file": file}),
        )
    };
    let kek = with("mysql");
    std::fs::write(&file, &mysql).unwrap();
    opens(&*kek, &wrap(&*kek).unwrap());
    refused(
        "kubernetes: an unknown role",
        &*with("nobody"),
        Kind::Denied,
        "invalid role name",
    );
    std::fs::write(&file, &other).unwrap();
    refused(
        "kubernetes: another account",
        &*kek,
        Kind::Denied,
        "auth/kubernetes/login",
    );
    std::fs::write(&file, &revoked).unwrap();
    let said = refused(
        "kubernetes: an account that is gone",
        &*kek,
        Kind::Denied,
        "auth/kubernetes/login",
    );
    assert!(
        said.contains("TokenReviews") && !said.contains(&revoked),
        "{said}"
    );
}
