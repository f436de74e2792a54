//! `keyring-ward kek`: a keyring that comes under one more KEK, loses one, and is opened by its recovery KEK alone.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, write_secret};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// The recipient of the identity in support/age.
const RECIPIENT: &str = "age1wty87pwk89vqtx772rw7zpwmpwkgqk4c0stz0s2e8qt95rdgvq0s0gfsha";
/// An identity of somebody else.
const STRANGER: &[u8] =
    b"AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33\n";

/// A keyring whose KEKs are in a list.
struct Listed(Place);

impl Listed {
    fn new() -> Listed {
        let listed = Listed(Place::new());
        for (i, name) in ["a", "b"].iter().enumerate() {
            write_secret(&listed.at(name), &[i as u8 + 1; 32]);
        }
        write_secret(
            &listed.at("identity"),
            include_bytes!("support/age/identity.txt"),
        );
        write_secret(&listed.at("stranger"), STRANGER);
        listed
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.dir.path().join(name)
    }

    /// A configuration with these KEKs.
    fn config(&self, names: &[&str], fingerprint: &str) -> String {
        let kek = |name: &&str| match *name {
            "paper" => {
                json!({ "name": "paper", "provider": "age", "recipients": RECIPIENT, "use": "recovery" })
            }
            name => json!({ "name": name, "provider": "key_file", "key_file": self.at(name) }),
        };
        let keks: Vec<Value> = names.iter().map(kek).collect();
        let mut config = json!({ "path": self.0.keyring_file(), "keks": keks });
        if !fingerprint.is_empty() {
            config["fingerprint"] = fingerprint.into();
        }
        let file = self.at(&format!("{}{fingerprint}.cnf", names.join("-")));
        std::fs::write(&file, config.to_string()).unwrap();
        file.to_str().unwrap().into()
    }

    /// Runs a command with `config`: its code, and what it printed for programs.
    fn run(&self, words: &[&str], config: &str) -> (i32, Value) {
        let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(words)
            .args(["--config", config, "--json"])
            .output()
            .unwrap();
        let text = match out.stdout.is_empty() {
            true => String::from_utf8(out.stderr).unwrap(),
            false => String::from_utf8(out.stdout).unwrap(),
        };
        let last = text.find('{').map_or("null", |i| &text[i..]);
        let said = serde_json::from_str(last).unwrap_or_else(|e| panic!("{e}: {text}"));
        (out.status.code().unwrap(), said)
    }

    fn done(&self, words: &[&str], config: &str) -> Value {
        let (code, said) = self.run(words, config);
        assert_eq!(code, 0, "{words:?}: {said}");
        said
    }

    fn refused(&self, words: &[&str], config: &str, kind: &str, sentence: &str) {
        let before = self.0.read();
        let (code, said) = self.run(words, config);
        assert!(code >= 10, "{words:?}: {said}");
        assert_eq!(said["error"]["kind"], kind, "{words:?}: {said}");
        let text = said.to_string();
        assert!(text.contains(sentence), "{words:?}: {said}");
        assert_eq!(self.0.read(), before, "{words:?}");
    }

    /// What became of each KEK.
    fn results(said: &Value) -> Vec<(String, String)> {
        let each = said["keks"].as_array().unwrap().iter();
        let of = |kek: &Value| {
            let word = |name: &str| kek[name].as_str().unwrap().to_string();
            (word("name"), word("result"))
        };
        each.map(of).collect()
    }
}

fn pairs<'a>(of: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(a, b)| (a.to_string(), b.to_string()))
        .collect()
}

#[test]
fn one_more_and_one_less_and_none_without_the_others() {
    let listed = Listed::new();
    let (a, ab) = (listed.config(&["a"], ""), listed.config(&["a", "b"], ""));
    listed.done(&["init"], &a);
    // It is in the configuration, and not in the keyring yet.
    let said = listed.done(&["kek", "list"], &ab);
    assert_eq!(said["keks"][0]["wrapped"], true);
    assert_eq!(said["keks"][1]["wrapped"], false);
    assert_eq!(listed.run(&["kek", "test"], &ab).0, 4);
    listed.refused(&["kek", "add", "c"], &ab, "NotFound", "no KEK 'c'");
    listed.refused(
        &["kek", "add", "c", "--dry-run"],
        &ab,
        "NotFound",
        "no KEK 'c'",
    );
    let before = listed.0.read();
    listed.done(&["kek", "add", "b", "--dry-run"], &ab);
    assert_eq!(listed.0.read(), before);
    let said = listed.done(&["kek", "add", "b"], &ab);
    assert_eq!(
        Listed::results(&said),
        pairs(&[("a", "valid"), ("b", "wrapped")])
    );
    assert_eq!(listed.run(&["kek", "test"], &ab).0, 0);
    for name in ["a", "b"] {
        let said = listed.done(&["kek", "drill", name], &ab);
        assert_eq!(said["keks"], json!([name]));
    }
    // Out again: with a new DEK.
    let fingerprint = listed.done(&["status"], &ab)["fingerprint"].clone();
    listed.refused(&["kek", "remove", "c"], &ab, "NotFound", "'c'");
    listed.done(&["kek", "remove", "b", "--dry-run"], &ab);
    let said = listed.done(&["kek", "remove", "b"], &ab);
    assert_ne!(said["fingerprint"], fingerprint);
    listed.refused(&["kek", "drill", "b"], &ab, "WrongKek", "");
    listed.refused(&["kek", "remove", "a"], &a, "Config", "");
    listed.done(&["verify"], &a);
}

#[test]
fn a_sync_tells_what_became_of_each() {
    let listed = Listed::new();
    let a = listed.config(&["a"], "");
    let all = listed.config(&["a", "b", "paper"], "");
    listed.done(&["init"], &a);
    std::fs::rename(listed.at("b"), listed.at("gone")).unwrap();
    let (code, said) = listed.run(&["kek", "sync"], &all);
    assert_eq!(code, 4, "{said}");
    let wanted = [("a", "valid"), ("b", "failed"), ("paper", "wrapped")];
    assert_eq!(Listed::results(&said), pairs(&wanted));
    assert_eq!(said["keks"][1]["error"]["kind"], "NotFound");
    // Adding is strict: what can't wrap keeps the whole from being written.
    listed.refused(&["kek", "add", "b"], &all, "NotFound", "");
    std::fs::rename(listed.at("gone"), listed.at("b")).unwrap();
    let said = listed.done(&["kek", "sync"], &all);
    let wanted = [("a", "valid"), ("b", "wrapped"), ("paper", "untested")];
    assert_eq!(Listed::results(&said), pairs(&wanted));
    let before = listed.0.read();
    let said = listed.done(&["kek", "sync"], &all);
    let wanted = [("a", "valid"), ("b", "valid"), ("paper", "untested")];
    assert_eq!(Listed::results(&said), pairs(&wanted));
    assert_eq!(listed.0.read(), before, "nothing to do, nothing written");
}

#[test]
fn the_recovery_kek_opens_when_all_else_is_lost() {
    let listed = Listed::new();
    let config = listed.config(&["a", "b", "paper"], "");
    let (_, said) = listed.run(&["doctor"], &config);
    let said = said.to_string();
    assert!(said.contains("wraps only"), "nobody asked it: {said}");
    let said = listed.done(&["init"], &config);
    let fingerprint = said["fingerprint"].as_str().unwrap();
    let identity = format!("paper.identity_file={}", listed.at("identity").display());
    let stranger = format!("paper.identity_file={}", listed.at("stranger").display());
    let drill = ["kek", "drill", "paper"];
    listed.refused(&drill, &config, "Config", "is not on this machine");
    let with = |option| [&drill[..], &["--kek-option", option]].concat();
    listed.refused(&with(&stranger), &config, "WrongKek", "");
    listed.refused(
        &with("paper.identity_fil=/x"),
        &config,
        "Config",
        "identity_file",
    );
    listed.refused(
        &with("papre.identity_file=/x"),
        &config,
        "NotFound",
        "no KEK 'papre'",
    );
    let said = listed.done(&with(&identity), &config);
    assert_eq!(
        (&said["fingerprint"], &said["fingerprint_is_pinned"]),
        (&fingerprint.into(), &false.into())
    );

    for name in ["a", "b"] {
        std::fs::remove_file(listed.at(name)).unwrap();
    }
    listed.refused(&["list"], &config, "NotFound", "");
    let recover = ["list", "--recovery", "--kek-option", &identity];
    // Anybody could have made a keyring for the recipient.
    listed.refused(&recover, &config, "Config", "no fingerprint is pinned");
    let pinned = listed.config(&["a", "b", "paper"], fingerprint);
    listed.done(&recover, &pinned);
    let other = listed.config(&["a", "b", "paper"], "00112233445566778899aabbccddeeff");
    listed.refused(&recover, &other, "WrongKek", "pins");
    // A server has the recipient only, and must not start with it.
    let paper = listed.config(&["paper"], "");
    listed.refused(&["list"], &paper, "Config", "when the server starts");
}
