//! What a real OpenBao refuses, sealed, limited and leaderless ones among them. Part of tests/contract_vault.rs.

#![allow(clippy::unwrap_used)]

use super::bao::{Bao, write_secret};
use super::{
    BAO, DEK, FILE, LEAST, NOTHING, Place, not_opened, opens, plain, refused, soon, unwrap_until,
    wrap,
};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::Kind;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn each_refusal_of_the_server_has_its_kind_and_says_what_to_do() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token(&bao.root);
    let kek = |changes: Value| place.kek(&plain(bao), changes);
    bao.admin("transit/keys/rsa", json!({"type": "rsa-2048"}));
    bao.admin("transit/keys/derived", json!({"derived": true}));
    refused(
        "an RSA key",
        &*kek(json!({"key": "rsa"})),
        Kind::Config,
        "aes256-gcm96",
    );
    refused(
        "a derived key",
        &*kek(json!({"key": "derived"})),
        Kind::Config,
        "derived=true",
    );
    refused(
        "a mount that is not there",
        &*kek(json!({"mount": "nowhere"})),
        Kind::NotFound,
        "no handler for route",
    );
    refused(
        "a namespace that is not there",
        &*kek(json!({"namespace": "nowhere"})),
        Kind::NotFound,
        "namespace not found",
    );
    refused(
        "a mount of another kind",
        &*kek(json!({"mount": "sys"})),
        Kind::NotFound,
        "check mount",
    );

    // A key that is disabled, deleted, and made anew under its name.
    bao.admin("transit/keys/mortal", json!({}));
    let mortal = kek(json!({"key": "mortal"}));
    let stanza = wrap(&*mortal).unwrap();
    let (status, _) = bao_delete(bao, "transit/keys/mortal/soft-delete");
    assert!((200..300).contains(&status), "{status}");
    not_opened(
        "a soft-deleted key",
        &*mortal,
        &stanza,
        Kind::Denied,
        "transit/keys/mortal/soft-delete-restore",
    );
    bao.admin("transit/keys/mortal/soft-delete-restore", json!({}));
    opens(&*mortal, &stanza);
    bao.admin(
        "transit/keys/mortal/config",
        json!({"deletion_allowed": true}),
    );
    bao_delete(bao, "transit/keys/mortal");
    not_opened(
        "a deleted key",
        &*mortal,
        &stanza,
        Kind::NotFound,
        "encryption key not found",
    );
    bao.admin("transit/keys/mortal", json!({}));
    not_opened(
        "a key that was made anew under its name",
        &*mortal,
        &stanza,
        Kind::WrongKek,
        "made anew under its name",
    );
    // A ciphertext of a later version, as after a restore of Vault.
    bao.admin("transit/keys/mortal/rotate", json!({}));
    let later = wrap(&*mortal).unwrap();
    bao_delete_again(bao);
    not_opened(
        "a ciphertext of a later version",
        &*mortal,
        &later,
        Kind::Tampered,
        "older than the key's last rotation",
    );
    let mut short = stanza.clone();
    short.blob.truncate(short.blob.len() - 80);
    not_opened(
        "a ciphertext that is cut",
        &*mortal,
        &short,
        Kind::Tampered,
        "",
    );
}

/// The key of the test is made anew, in its first version.
fn bao_delete_again(bao: &Bao) {
    bao.admin(
        "transit/keys/mortal/config",
        json!({"deletion_allowed": true}),
    );
    bao_delete(bao, "transit/keys/mortal");
    bao.admin("transit/keys/mortal", json!({}));
}

/// A DELETE, which our client has no need for.
fn bao_delete(bao: &Bao, path: &str) -> (u16, String) {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(bao.plain).unwrap();
    write!(
        stream,
        "DELETE /v1/{path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\nConnection: close\r\n\r\n",
        bao.root
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn a_policy_that_is_too_small_and_a_token_that_is_none_are_denied() {
    let Some(bao) = &*BAO else { return };
    let place = Place::with_token("x");
    let kek = place.kek(&plain(bao), json!({}));
    let file = place.path("token");
    for (what, token, opens_it) in [
        ("a token that is none", "HIDDEN".to_string(), false),
        (
            "a policy that allows nothing",
            bao.token(NOTHING, json!({})),
            false,
        ),
        (
            "a token that is used up",
            bao.token(LEAST, json!({"num_uses": 1})),
            true,
        ),
    ] {
        write_secret(&file, &token);
        if opens_it {
            wrap(&*kek).unwrap();
        }
        let said = refused(what, &*kek, Kind::Denied, "permission denied");
        assert!(
            said.contains("transit/encrypt/mysql and transit/decrypt/mysql"),
            "{said}"
        );
        assert!(!said.contains(&token), "{said}");
    }
    // Who may only decrypt opens; who may only update never makes a key.
    write_secret(&file, &bao.root);
    let stanza = wrap(&*kek).unwrap();
    let only_decrypt = LEAST.lines().nth(1).unwrap();
    write_secret(&file, &bao.token(only_decrypt, json!({})));
    opens(&*kek, &stanza);
    refused(
        "the policy has no encrypt",
        &*kek,
        Kind::Denied,
        "permission denied",
    );
    let misspelt = LEAST.replace("mysql", "mysqll");
    write_secret(&file, &bao.token(&misspelt, json!({})));
    refused(
        "a misspelt key, with update only",
        &*place.kek(&plain(bao), json!({"key": "mysqll"})),
        Kind::Denied,
        "permission denied",
    );
    assert_eq!(
        bao.ask("transit/keys/mysqll", &bao.root, &Value::Null).0,
        404
    );
    // What the file may not be.
    for (text, words) in [
        ("", "is empty"),
        ("a\nb\n", "more than one line"),
        ("HIDDEN x", "holds no token"),
    ] {
        write_secret(&file, text);
        let said = refused(
            &format!("the token's file: {words}"),
            &*kek,
            Kind::InvalidInput,
            words,
        );
        assert!(!said.contains("HIDDEN"), "{said}");
    }
    write_secret(&file, &bao.root);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    refused(
        "others may read the token's file",
        &*kek,
        Kind::Permission,
        "chmod 600",
    );
    std::fs::remove_file(&file).unwrap();
    refused(
        "the token's file is not there",
        &*kek,
        Kind::NotFound,
        "token",
    );
}

#[test]
fn a_sealed_vault_and_a_quota_are_waited_for() {
    // A server of its own: others must not find it sealed.
    let _turn = crate::common::turn();
    let Some(bao) = &Bao::start() else { return };
    let place = Place::with_token(&bao.root);
    let kek = place.kek(&plain(bao), json!({}));
    let stanza = wrap(&*kek).unwrap();
    bao.admin(
        "sys/quotas/rate-limit/all",
        json!({"rate": 1, "interval": "600s", "path": "transit/"}),
    );
    let begin = Instant::now();
    while let Ok(opened) = unwrap_until(
        &*kek,
        &FILE,
        &stanza,
        Deadline::after(Duration::from_millis(300)),
    ) {
        assert!(opened.is_some() && begin.elapsed() < Duration::from_secs(20));
    }
    not_opened(
        "a rate quota",
        &*kek,
        &stanza,
        Kind::Unreachable,
        "A quota of Vault",
    );
    let (status, _) = bao_delete(bao, "sys/quotas/rate-limit/all");
    assert_eq!(status, 204);
    opens(&*kek, &stanza);
    bao.seal();
    let begin = Instant::now();
    not_opened(
        "sealed",
        &*kek,
        &stanza,
        Kind::Unreachable,
        "Vault is sealed",
    );
    assert!(begin.elapsed() < Duration::from_secs(8));
    not_opened(
        "sealed, once more",
        &*kek,
        &stanza,
        Kind::Unreachable,
        "operator unseal",
    );
    // It is unsealed while a start waits.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            unwrap_until(
                &*kek,
                &FILE,
                &stanza,
                Deadline::after(Duration::from_secs(30)),
            )
        });
        bao.unseal();
        waiting.join().unwrap()
    });
    assert_eq!(waiting.unwrap(), Some(DEK.to_vec()));
}

/// A raft node's storage.
fn raft(id: &str) -> String {
    format!("storage \"raft\" {{ path = \"FOLDER\" node_id = \"{id}\" }}")
}

#[test]
fn a_standby_answers_and_goes_on_with_what_it_can_without_a_leader() {
    let Some(mut first) = Bao::begin(&raft("a")) else {
        return;
    };
    let made = first
        .ask(
            "sys/init",
            "",
            &json!({"secret_shares": 1, "secret_threshold": 1}),
        )
        .1;
    first.share = made["keys_base64"][0].as_str().unwrap().into();
    first.root = made["root_token"].as_str().unwrap().into();
    first.unseal();
    first.admin("sys/mounts/transit", json!({"type": "transit"}));
    first.admin("transit/keys/mysql", json!({}));
    let mut second = Bao::begin(&raft("b")).unwrap();
    let join = json!({"leader_api_addr": format!("http://{}", first.plain)});
    let (status, answer) = second.ask("sys/storage/raft/join", "", &join);
    assert_eq!(status, 200, "{answer}");
    second.share = first.share.clone();
    second.root = first.root.clone();
    second.unseal_until(429);

    first.admin("sys/auth/approle", json!({"type": "approle"}));
    first.admin("sys/policies/acl/least", json!({"policy": LEAST}));
    first.admin(
        "auth/approle/role/mysql",
        json!({"token_type": "batch", "token_policies": ["least"]}),
    );
    let id = first
        .ask("auth/approle/role/mysql/role-id", &first.root, &Value::Null)
        .1;
    let secret = first.admin("auth/approle/role/mysql/secret-id", json!({}));
    let place = Place::with_token(&first.token(LEAST, json!({"type": "batch"})));
    write_secret(
        &place.path("secret"),
        secret["data"]["secret_id"].as_str().unwrap(),
    );
    let by_token = place.kek(&plain(&second), json!({}));
    let by_role = place.kek(&plain(&second), json!({
        "auth": "approle", "token_file": null, "role_id": id["data"]["role_id"], "secret_id_file": place.path("secret"),
    }));
    // A standby answers from its own storage, which is a moment behind.
    let begin = Instant::now();
    let stanza = loop {
        match wrap(&*by_token) {
            Ok(stanza) => break stanza,
            Err(e) => assert!(begin.elapsed() < Duration::from_secs(20), "{e}"),
        }
    };
    opens(&*by_role, &stanza);
    opens(&*place.kek(&plain(&first), json!({})), &stanza);

    // The leader is gone, and one of two can't elect another. What is read only goes on; a login that has to write waits,
    // whether the standby has noticed (500) or still sends to the old leader (307).
    first.kill();
    opens(&*by_token, &stanza);
    match unwrap_until(&*by_role, &FILE, &stanza, soon()) {
        Ok(opened) => assert_eq!(opened, Some(DEK.to_vec())),
        Err(e) => assert_eq!(e.kind(), Kind::Unreachable, "{e}"),
    }
    // A new secret id is a write.
    let path = "auth/approle/role/mysql/secret-id";
    let (status, _) = second.ask(path, &second.root, &json!({}));
    assert!([307, 500].contains(&status), "{status}");
}
