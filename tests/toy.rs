//! A provider that is nothing but its folder (tests/support/toy) and its row is found wherever a provider has to be.
//! `cargo test --features toy-provider --test toy`
#![allow(clippy::unwrap_used)]

mod common;
#[path = "support/option_table.rs"]
mod option_table;

use common::{Place, turn, write_secret};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, Layer, OPTIONS, ValueKind, find_option, json};
use keyring_ward::kek::drivers::{NAMES, UNDER};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use std::process::{Command, Output};

fn tool(args: &[&str]) -> Output {
    let _turn = turn();
    Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .args(args)
        .output()
        .unwrap()
}

/// What it printed; it must have ended with `code`.
fn said(args: &[&str], code: i32) -> String {
    let out = tool(args);
    let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(code), "{args:?}: {text}");
    text
}

fn of_json(place: &Place, section: &str) -> keyring_ward::error::Result<Config> {
    let path = place.keyring_file();
    let text = format!(
        r#"{{ "backend": "toy", "path": "{}", "toy": {section} }}"#,
        path.display()
    );
    json::parse(text.as_bytes(), "f").and_then(|document| document.layer.finish())
}

fn section(place: &Place) -> String {
    let token = place.dir.path().join("token");
    format!(r#"{{ "key": "k", "token_file": "{}" }}"#, token.display())
}

#[test]
fn json_describes_it_and_its_keyring_opens_again() {
    let _turn = turn();
    let place = Place::new();
    write_secret(&place.dir.path().join("token"), b"let me in\n");
    let config = of_json(&place, &section(&place)).unwrap();
    assert_eq!(config.backend(), "toy");
    let open = || Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
    open()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    assert!(open().fetch(b"k", b"").unwrap().is_some());
    let e = of_json(&place, r#"{ "token": "x" }"#).unwrap_err();
    assert!(e.to_string().contains("'token' is not an option"), "{e}");
    let e = of_json(&place, r#"{ "insecure": "no" }"#).unwrap_err();
    assert!(e.to_string().contains("is not true or false"), "{e}");
    let e = of_json(&place, "{}").unwrap_err();
    assert!(
        e.to_string().contains("my.cnf: toy_key and toy_token_file"),
        "{e}"
    );
}

/// A list of KEKs takes it with nothing done for that, shares and all.
#[test]
fn it_is_one_of_several() {
    let _turn = turn();
    let place = Place::new();
    write_secret(&place.dir.path().join("token"), b"let me in\n");
    let (token, key) = (place.dir.path().join("token"), place.key_file());
    let text = serde_json::json!({ "path": place.keyring_file(), "threshold": 2, "keks": [
        { "name": "toy", "provider": "toy", "key": "k", "token_file": token, "insecure": false },
        { "name": "file", "provider": "key_file", "key_file": key },
    ] });
    let document = json::parse(text.to_string().as_bytes(), "f").unwrap();
    let config = document.layer.finish().unwrap();
    let open = || Keyring::open(&config, &place.server(), &SecretPool::new());
    open()
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let opened = open().unwrap();
    let kek = &opened.status().store.keks[0];
    assert_eq!((kek.naming.provider, kek.share), ("toy", Some((1, 2, 2))));
    assert!(kek.contact.is_some(), "it is not on this machine");
    drop(opened);
    std::fs::remove_file(token).unwrap();
    assert!(open().is_err());
}

#[test]
fn the_general_sentences_name_it() {
    assert!(NAMES.starts_with("file, pkcs11, aws_kms, ") && NAMES.ends_with(" or toy"));
    assert!(UNDER.ends_with(" or a toy"), "{UNDER}");
    let mut layer = Layer::from_origin("f");
    layer.set(find_option(|o| o.name == "backend").unwrap(), "tow");
    let e = layer.finish().unwrap_err().to_string();
    assert!(
        e.contains(" backends: file, pkcs11, aws_kms, ") && e.ends_with(" and toy."),
        "{e}"
    );
}

#[test]
fn the_plugin_has_its_variables() {
    let variables = keyring_ward::mysql::plugin::variables();
    assert_eq!(variables.len(), OPTIONS.len());
    for (name, comment) in [
        ("backend", &*format!("Where keys live: {NAMES}")),
        ("toy_key", "The name of the key in the toy service"),
        ("toy_insecure", "Do without what makes it secure"),
    ] {
        let wanted = (name.to_string(), comment.to_string(), ValueKind::Text);
        assert!(variables.contains(&wanted), "{name}: {variables:?}");
    }
}

#[test]
fn init_makes_it_and_prints_what_a_server_reads() {
    let place = Place::new();
    let (path, token) = (place.keyring_file(), place.dir.path().join("token"));
    let option = format!("toy_token_file={}", token.display());
    let named = [
        "--path",
        path.to_str().unwrap(),
        "--option",
        "toy_key=k",
        "--option",
        &option,
    ];
    let missing = said(&[&["init"], &named[..]].concat(), 11);
    assert!(missing.contains("read the token"), "{missing}");
    let printed = said(&[&["init", "--generate"], &named[..]].concat(), 0);
    assert!(
        printed.contains("Made the secret") && token.exists(),
        "{printed}"
    );
    assert!(
        printed.contains("loose_keyring_ward_toy_key=k"),
        "{printed}"
    );

    let json = place.dir.path().join("component_keyring_ward.cnf");
    let line = printed.lines().find(|l| l.trim_start().starts_with('{'));
    std::fs::write(&json, line.unwrap()).unwrap();
    let status = said(&["status", "--config", json.to_str().unwrap()], 0);
    assert!(status.contains("toy"), "{status}");

    let group = place.dir.path().join("my.cnf");
    let (from, to) = (
        printed.find("[keyring_ward]").unwrap(),
        printed.find("Plugin:").unwrap(),
    );
    std::fs::write(&group, &printed[from..to]).unwrap();
    said(&["verify", "--defaults-file", group.to_str().unwrap()], 0);

    // It was made, and is not taken for a new one.
    std::fs::remove_file(&path).unwrap();
    let again = said(&[&["init", "--generate"], &named[..]].concat(), 12);
    assert!(again.contains("exists already"), "{again}");
}

#[test]
fn doctor_looks_at_its_files_and_takes_its_own_step() {
    let place = Place::new();
    let (path, token) = (place.keyring_file(), place.dir.path().join("token"));
    let option = format!("toy_token_file={}", token.display());
    let named = [
        "--path",
        path.to_str().unwrap(),
        "--option",
        "toy_key=k",
        "--option",
        &option,
    ];
    said(&[&["init", "--generate"], &named[..]].concat(), 0);
    let all = [&["doctor"], &named[..], &["--option", "toy_insecure=on"]].concat();
    let found = said(&all, 0);
    for part in [
        "backend toy",
        "the key 'k' is used in an insecure way",
        "Take insecure out of \"toy\".",
        "1 files besides the keyring can be read",
        "toy key 'k'",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    assert!(!said(&[&["doctor"], &named[..]].concat(), 0).contains("insecure"));
}

#[test]
fn help_man_pages_and_the_reference_name_it() {
    let help = said(&["init", "--help"], 0);
    assert!(help.contains(" or toy (default"), "{help}");
    assert!(help.contains("--option toy_key=mysql"), "{help}");
    let place = Place::new();
    said(&["man", place.data_dir().to_str().unwrap()], 0);
    let page = |name: &str| std::fs::read_to_string(place.data_dir().join(name)).unwrap();
    let (init, own) = (page("keyring-ward-init.1"), page("keyring-ward.1"));
    assert!(init.contains("toy_key=mysql"), "{init}");
    assert!(own.contains("\\fBtoy_token_file\\fR"), "{own}");
    let row = "| `\"toy\": { \"key\" }` | `toy_key` | `keyring_ward_toy_key` | The name of the key in the toy service |";
    assert!(option_table::table().lines().any(|line| line == row));
}
