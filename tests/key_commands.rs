//! `keyring-ward key`: every command as text and as JSON, that a dry run writes nothing, and what is refused.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, turn};
use keyring_ward::caller::Caller;
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::DAY;
use serde_json::Value;
use std::process::Command;

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const SSN: [&str; 4] = ["--name", "ssn", "--owner", "app@%"];

/// A keyring, and the tool for it.
struct Keys(Place);

impl Keys {
    fn new() -> Keys {
        Keys(Place::with_keyring())
    }

    /// Runs a command: its code, standard output, standard error.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(words)
            .args(["--path", self.0.keyring_file().to_str().unwrap()])
            .args(["--key-file", self.0.key_file().to_str().unwrap()])
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            out.status.code().unwrap(),
            text(out.stdout),
            text(out.stderr),
        )
    }

    /// `keyring-ward key COMMAND` of ssn, which succeeds: what it says.
    fn ssn(&self, command: &str, options: &[&str]) -> String {
        self.says(&[&["key", command], &SSN[..], options].concat())
    }

    fn says(&self, words: &[&str]) -> String {
        let (code, out, err) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {out}{err}");
        out
    }

    fn json(&self, words: &[&str]) -> Value {
        let said = self.says(&[words, &["--json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{words:?}: {e}: {said}"))
    }

    fn shown(&self) -> Value {
        self.json(&[&["key", "show"], &SSN[..]].concat())
    }

    /// The states of the versions of ssn, and whether a destruction is planned.
    fn states(&self) -> Vec<(u64, String, bool)> {
        let of = |v: &Value| {
            let state = v["state"].as_str().unwrap().to_string();
            (
                v["version"].as_u64().unwrap(),
                state,
                v["destroy_at"].is_string(),
            )
        };
        self.shown()["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(of)
            .collect()
    }

    /// As text and as JSON: refused with this code and this kind, with this in the sentence, and nothing is written.
    fn refused(&self, words: &[&str], code: i32, kind: &str, sentence: &str) {
        let before = self.0.read();
        for dry in [&[][..], &["--dry-run"]] {
            let words = [words, dry].concat();
            let (got, out, err) = self.run(&words);
            if dry.is_empty() || got != 2 {
                assert_eq!(got, code, "{words:?}: {out}{err}");
                assert!(
                    out.is_empty() && err.contains(sentence),
                    "{words:?}: {out}{err}"
                );
                assert!(err.contains(kind), "{words:?}: {err}");
            }
        }
        let (got, out, err) = self.run(&[words, &["--json"]].concat());
        assert_eq!((got, &*out), (code, ""), "{words:?}: {err}");
        let error: Value = serde_json::from_str(&err).unwrap();
        assert_eq!(error["error"]["kind"], kind, "{words:?}: {err}");
        assert_eq!(self.0.read(), before, "{words:?}");
    }

    /// A dry run says what is then said of the change itself, and writes nothing.
    fn as_the_dry_run_said(&self, words: &[&str]) -> Value {
        let before = self.0.read();
        let dry = self.json(&[words, &["--dry-run"]].concat());
        let text = self.says(&[words, &["--dry-run"]].concat());
        assert!(text.starts_with("Nothing was written."), "{text}");
        assert_eq!(self.0.read(), before, "{words:?}");
        assert_eq!(dry["dry_run"], true);
        let wet = self.json(words);
        assert_ne!(self.0.read(), before, "{words:?}");
        let bones = |of: &Value| {
            let versions = of["logical"]["versions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let states: Vec<_> = (versions.iter())
                .map(|v| {
                    (
                        v["version"].clone(),
                        v["state"].clone(),
                        v["destroy_at"].is_null(),
                    )
                })
                .collect();
            (
                states,
                of["version"].clone(),
                of["versions"].clone(),
                of["logical"]["held"].clone(),
            )
        };
        assert_eq!(bones(&dry), bones(&wet), "{words:?}");
        assert!(wet["dry_run"].is_null());
        wet
    }

    /// Plans a destruction so that it is due now.
    fn plan_for_yesterday(&self, number: Option<u32>) {
        let keyring = self.0.open().unwrap();
        let id = KeyId::new(b"ssn", b"app@%").unwrap();
        keyring
            .by(&Caller::Unknown)
            .change_logical(&id, |l, now| l.schedule(number, 1, now - 2 * DAY))
            .unwrap();
    }
}

fn version(number: u64, state: &str, planned: bool) -> (u64, String, bool) {
    (number, state.into(), planned)
}

#[test]
fn a_key_from_its_first_version_to_its_end() {
    let _turn = turn();
    let keys = Keys::new();
    let ssn = |command: &'static str, options: &[&'static str]| -> Vec<&'static str> {
        [&["key", command], &SSN[..], options].concat()
    };
    let wanted = [
        "--rotate-every",
        "90",
        "--environment",
        "test",
        "--description",
        "a line",
    ];
    let made = keys.as_the_dry_run_said(&ssn("create", &wanted));
    assert_eq!(
        (&made["version"], &made["logical"]["follow"]),
        (&1.into(), &false.into())
    );
    assert_eq!(made["logical"]["environment"], "test");
    assert_eq!(
        keys.as_the_dry_run_said(&ssn("rotate", &["--pending"]))["version"],
        2
    );
    keys.refused(&ssn("rotate", &[]), 26, "KeyState", "key activate");
    keys.as_the_dry_run_said(&ssn("activate", &["--version", "2"]));
    keys.refused(
        &ssn("activate", &["--version", "2"]),
        26,
        "KeyState",
        "not pending",
    );
    assert_eq!(keys.as_the_dry_run_said(&ssn("rotate", &[]))["version"], 3);
    let all = ["deactivated", "deactivated", "active"];
    let states = |planned: u64| -> Vec<_> {
        (1..)
            .zip(all)
            .map(|(n, state)| version(n, state, n == planned))
            .collect()
    };
    assert_eq!(keys.states(), states(0));
    let changed =
        keys.as_the_dry_run_said(&ssn("set", &["--follow", "yes", "--rotate-every", "0"]));
    assert_eq!(changed["logical"]["follow"], true);
    assert!(changed["logical"]["rotate_every"].is_null());

    // Planned, shown, cancelled, planned again, and not done before its time.
    let plan = keys.as_the_dry_run_said(&ssn("destroy", &["--version", "1"]));
    assert!(plan["due"].as_str().unwrap().ends_with('Z'), "{plan}");
    assert_eq!(keys.states(), states(1));
    keys.refused(&ssn("destroy", &["--now"]), 26, "KeyState", "not before");
    keys.as_the_dry_run_said(&ssn("cancel", &["--version", "1"]));
    assert_eq!(keys.states(), states(0));
    keys.refused(
        &ssn("cancel", &[]),
        26,
        "KeyState",
        "no destruction is planned",
    );
    keys.refused(
        &ssn("destroy", &["--version", "3"]),
        26,
        "KeyState",
        "is current",
    );
    keys.refused(
        &ssn("destroy", &["--version", "9"]),
        11,
        "NotFound",
        "no version 9",
    );
    let said = keys.ssn("destroy", &["--version", "1", "--days", "1"]);
    for part in [
        "may be destroyed from",
        "key cancel --version 1",
        "Backups",
        "destroy --now --version 1",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    // Held: nothing goes, though it is due.
    keys.plan_for_yesterday(Some(1));
    let held = keys.as_the_dry_run_said(&ssn("hold", &["--reason", "case 7"]));
    assert_eq!(held["logical"]["held"], "case 7");
    keys.refused(&ssn("destroy", &["--now"]), 26, "KeyState", "case 7");
    keys.as_the_dry_run_said(&ssn("hold", &["--release"]));
    let gone = keys.as_the_dry_run_said(&ssn("destroy", &["--now", "--version", "1"]));
    assert_eq!(gone["versions"], serde_json::json!([1]));
    assert_eq!(keys.states()[0], version(1, "destroyed", false));
    assert_eq!(keys.shown()["retired"][0]["name"], "ssn@1");

    // It comes back, as one that opens only.
    let back = ["key", "restore", "--name", "ssn@1", "--owner", "app@%"];
    keys.as_the_dry_run_said(&back);
    assert_eq!(keys.states()[0], version(1, "deactivated", false));
    keys.refused(&back, 11, "NotFound", "is there: it is not removed");
    keys.as_the_dry_run_said(&ssn("compromise", &["--version", "1"]));
    assert_eq!(keys.states()[0], version(1, "compromised", false));
    keys.refused(
        &ssn("compromise", &["--version", "3"]),
        26,
        "KeyState",
        "Rotate the key first",
    );

    // All of it.
    keys.plan_for_yesterday(None);
    let listed = keys.json(&["key", "list", "--due"]);
    assert_eq!(
        (&listed["keys"][0]["name"], &listed["destructions_due"]),
        (&"ssn".into(), &1.into())
    );
    let said = keys.ssn("destroy", &["--now"]);
    for part in [
        "version 1, 2, 3",
        "30 days",
        "reseal --purge-retired all",
        "Backups",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    keys.refused(&ssn("rotate", &[]), 11, "NotFound", "no logical key");
}

#[test]
fn sentences_name_the_next_step() {
    let _turn = turn();
    let keys = Keys::new();
    let told = |said: String, parts: &[&str]| {
        parts
            .iter()
            .for_each(|part| assert!(said.contains(part), "{part}: {said}"));
    };
    told(
        keys.ssn("create", &["--follow"]),
        &["'ssn@1' of 'app@%'", "bare name answers with"],
    );
    told(
        keys.ssn("rotate", &["--pending"]),
        &["pending", "key activate --version 2"],
    );
    told(
        keys.ssn("activate", &["--version", "2"]),
        &["version 2", "is current"],
    );
    told(keys.ssn("set", &["--description", "x"]), &["key show"]);
    told(keys.ssn("destroy", &["--version", "1"]), &["key cancel"]);
    told(
        keys.ssn("cancel", &["--version", "1"]),
        &["No destruction is planned"],
    );
    told(
        keys.ssn("compromise", &["--version", "1"]),
        &["served to nobody", "export"],
    );
    told(
        keys.ssn("hold", &["--reason", "case 7"]),
        &["case 7", "--release"],
    );
    told(keys.ssn("hold", &["--release"]), &["held no more"]);
    let shown = keys.ssn("show", &[]);
    told(
        shown,
        &[
            "Current       2",
            "1\tcompromised\t",
            "2\tactive\t",
            "ssn@2",
        ],
    );
    let listed = keys.says(&["key", "list"]);
    told(listed, &["ssn\tapp@%\tAES\t32\t2\tactive\t2\t0"]);
    told(
        keys.ssn("check", &[]),
        &[
            "Bits          256",
            "State         active",
            "Nothing is weak",
        ],
    );
    told(keys.says(&["list"]), &["Logical keys: 1"]);
    let listed = keys.json(&["list"]);
    assert_eq!(
        (&listed["logical_keys"], &listed["retired_keys"]),
        (&1.into(), &0.into())
    );
    let status = keys.json(&["status"]);
    assert_eq!(
        (&status["logical_keys"], &status["rotations_due"]),
        (&1.into(), &0.into())
    );
    told(
        keys.says(&["status", "--prometheus"]),
        &[
            "\nkeyring_ward_logical_keys 1\n",
            "\nkeyring_ward_destructions_due 0\n",
        ],
    );
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_written() {
    let _turn = turn();
    let keys = Keys::new();
    keys.ssn("create", &[]);
    {
        let keyring = keys.0.open().unwrap();
        keyring
            .by(&Caller::Unknown)
            .store_key(b"plain", b"app@%", b"AES", b"0123456789abcdef")
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"a@1", b"app@%", b"AES", 32)
            .unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(format!("INNODBKey-{UUID}-1").as_bytes(), b"", b"AES", 32)
            .unwrap();
    }
    let of =
        |command: &'static str, name: &'static str, owner: &'static str, more: &[&'static str]| {
            [&["key", command, "--name", name, "--owner", owner], more].concat()
        };
    let app = "app@%";
    for (words, code, kind, sentence) in [
        (
            of("create", "ssn", app, &[]),
            12,
            "AlreadyExists",
            "logical key",
        ),
        (
            of("create", "plain", app, &[]),
            12,
            "AlreadyExists",
            "exists already",
        ),
        (of("create", "a", app, &[]), 12, "AlreadyExists", "'a@1'"),
        (
            of("create", "a@1", app, &[]),
            13,
            "InvalidInput",
            "Choose a name",
        ),
        (of("create", "new", "", &[]), 13, "InvalidInput", "--owner"),
        (
            of("create", "new", app, &["--bytes", "99999"]),
            13,
            "InvalidInput",
            "99999",
        ),
        (
            of("create", "new", app, &["--temporary", "soon"]),
            13,
            "InvalidInput",
            "'soon' is no time",
        ),
        (
            of("create", "new", app, &["--temporary", "2001-01-01"]),
            13,
            "InvalidInput",
            "over already",
        ),
        (
            of("create", "new", app, &["--environment", "a b"]),
            13,
            "InvalidInput",
            "environment",
        ),
        (
            of("adopt", "none", app, &[]),
            11,
            "NotFound",
            "does not exist",
        ),
        (
            of("adopt", "ssn@1", app, &[]),
            13,
            "InvalidInput",
            "version",
        ),
        (of("rotate", "plain", app, &[]), 11, "NotFound", "key adopt"),
        (
            of("rotate", "ssn", "", &[]),
            11,
            "NotFound",
            "belong to 'app@%': name the owner",
        ),
        (
            of("set", "ssn", app, &["--expires", "3d"]),
            13,
            "InvalidInput",
            "no temporary key",
        ),
        (
            of("hold", "ssn", app, &["--reason", ""]),
            13,
            "InvalidInput",
            "reason",
        ),
        (
            of("restore", "ssn@1", app, &["--removal", "3"]),
            11,
            "NotFound",
            "it is not removed",
        ),
        (
            of("show", "plain", app, &[]),
            11,
            "NotFound",
            "no logical key",
        ),
        (
            of("check", "none", app, &[]),
            11,
            "NotFound",
            "keyring-ward list",
        ),
        (
            vec!["remove", "--name", "ssn", "--owner", app],
            26,
            "KeyState",
            "key destroy",
        ),
        (
            vec!["remove", "--name", "ssn@1", "--owner", app],
            26,
            "KeyState",
            "key destroy",
        ),
    ] {
        keys.refused(&words, code, kind, sentence);
    }
    let innodb = format!("INNODBKey-{UUID}-1");
    keys.refused(
        &["key", "adopt", "--name", &innodb],
        13,
        "InvalidInput",
        "server's own",
    );
    for (words, sentence) in [
        (of("set", "ssn", app, &[]), "--follow"),
        (of("hold", "ssn", app, &[]), "--reason"),
        (
            of("hold", "ssn", app, &["--reason", "x", "--release"]),
            "--release",
        ),
        (
            of("destroy", "ssn", app, &["--now", "--days", "3"]),
            "--days",
        ),
        (of("destroy", "ssn", app, &["--days", "0"]), "0"),
        (of("create", "new", app, &["--type", "DES"]), "SECRET"),
        (vec!["key", "list", "--due", "--retired"], "--retired"),
    ] {
        let (code, _, err) = keys.run(&words);
        assert!(code == 2 && err.contains(sentence), "{words:?}: {err}");
    }
    // A plain key keeps its own material under its bare name.
    let made = keys.as_the_dry_run_said(&of("adopt", "plain", app, &["--rotate-every", "30"]));
    assert_eq!(made["logical"]["versions"][0]["key"], "plain");
    keys.refused(
        &of("set", "plain", app, &["--follow", "yes"]),
        13,
        "InvalidInput",
        "its own material",
    );
    let checked = keys.json(&of("check", "plain", app, &[]));
    assert_eq!(
        (&checked["bits"], &checked["state"]),
        (&128.into(), &"active".into())
    );
    let weak = checked["warnings"][0].as_str().unwrap();
    assert!(
        weak.contains("hexadecimal") && !weak.contains("0123"),
        "{weak}"
    );
    // Nothing is begun where no keyring is.
    let none = Keys(Place::new());
    let create = [&["key", "create"], &SSN[..]].concat();
    for dry in [&[][..], &["--dry-run"]] {
        let (code, _, err) = none.run(&[&create, dry].concat());
        assert!(code == 11 && err.contains("keyring-ward init"), "{err}");
    }
    assert!(!none.0.keyring_file().exists());
}

#[test]
fn a_pending_version_goes_and_is_kept() {
    let _turn = turn();
    let keys = Keys::new();
    let ssn =
        |command: &'static str, more: &[&'static str]| [&["key", command], &SSN[..], more].concat();
    keys.ssn("create", &[]);
    keys.ssn("rotate", &["--pending"]);
    keys.refused(&ssn("rotate", &[]), 26, "KeyState", "key drop");
    keys.refused(
        &ssn("drop", &["--version", "1"]),
        26,
        "KeyState",
        "not pending",
    );
    keys.as_the_dry_run_said(&ssn("drop", &["--version", "2"]));
    keys.refused(
        &ssn("drop", &["--version", "2"]),
        11,
        "NotFound",
        "no version 2",
    );
    let kept = keys.says(&["key", "list", "--retired"]);
    assert!(kept.contains("ssn@2"), "{kept}");
    // Its number is not given again.
    let next = keys.as_the_dry_run_said(&ssn("rotate", &[]));
    assert_eq!(next["version"], 3);
}

#[test]
fn beside_a_server_the_sql_function_is_named() {
    let _turn = turn();
    let keys = Keys::new();
    keys.ssn("create", &[]);
    let server = keys.0.open().unwrap();
    for (command, more) in [
        ("create", &[][..]),
        ("adopt", &[]),
        ("rotate", &[]),
        ("activate", &["--version", "1"]),
        ("drop", &["--version", "1"]),
        ("set", &["--follow", "no"]),
        ("destroy", &[]),
        ("cancel", &[]),
        ("restore", &[]),
        ("compromise", &["--version", "1"]),
        ("hold", &["--reason", "x"]),
        ("release", &["--release"]),
    ] {
        let word = match command {
            "release" => "hold",
            command => command,
        };
        let words = [&["key", word], &SSN[..], more].concat();
        keys.refused(
            &words,
            17,
            "Locked",
            &format!("keyring_ward_key_{command}('ssn', 'app@%'"),
        );
    }
    // A look needs no lock.
    keys.shown();
    keys.says(&["key", "list"]);
    keys.ssn("check", &[]);
    drop(server);
}

/// What is listed of a key without a current version is its newest one that opens something, and until when removed ones are kept.
#[test]
fn lists_say_what_still_opens_and_what_is_kept() {
    let _turn = turn();
    let keys = Keys::new();
    keys.ssn("create", &[]);
    keys.ssn("rotate", &[]);
    keys.plan_for_yesterday(None);
    keys.ssn("destroy", &["--now"]);
    keys.says(&["key", "restore", "--name", "ssn@1", "--owner", "app@%"]);
    let said = keys.says(&["key", "list"]);
    assert!(said.contains("\t\tdeactivated\t1\t"), "{said}");
    let kept = |name: &str| {
        let all = keys.json(&["key", "list", "--retired"]);
        let all = all["retired"].as_array().unwrap().clone();
        all.into_iter().find(|key| key["name"] == name).unwrap()
    };
    let two = kept("ssn@2");
    assert!(
        two["kept_until"].as_str() > two["removed_at"].as_str(),
        "{two}"
    );
    assert_eq!(two["held"], false);
    keys.ssn("hold", &["--reason", "case 7"]);
    assert_eq!(kept("ssn@2")["held"], true);
    // A name in any alphabet can be pasted back.
    let other = ["--name", "clé 鍵", "--owner", "app@%"];
    keys.says(&[&["key", "create"], &other[..]].concat());
    assert!(keys.says(&["key", "list"]).contains("\nclé 鍵\tapp@%\t"));
    keys.says(&[&["key", "rotate"], &other[..]].concat());
}

#[test]
fn a_removed_key_of_the_server_comes_back() {
    let _turn = turn();
    let keys = Keys::new();
    let name = |n: u32| format!("INNODBKey-{UUID}-{n}");
    let material = {
        let keyring = keys.0.open().unwrap();
        for n in [1, 2, 10] {
            keyring
                .by(&Caller::Unknown)
                .generate(name(n).as_bytes(), b"", b"AES", 32)
                .unwrap();
        }
        let binlog = format!("MySQLReplicationKey_{UUID}");
        for n in [2, 3] {
            keyring
                .by(&Caller::Unknown)
                .generate(format!("{binlog}_{n}").as_bytes(), b"", b"AES", 32)
                .unwrap();
        }
        let mut item = [0; 16];
        item[0] = 2;
        keyring
            .by(&Caller::Unknown)
            .store_key(binlog.as_bytes(), b"", b"AES", &item)
            .unwrap();
        keyring
            .read_key(name(1).as_bytes(), b"")
            .unwrap()
            .unwrap()
            .material()
            .to_vec()
    };
    // Which is current: the highest, as a number; the one that is named.
    let listed = keys.json(&["key", "list"]);
    let current: Vec<_> = (listed["server_keys"].as_array().unwrap().iter())
        .map(|key| {
            (
                key["kind"].as_str().unwrap(),
                key["number"].as_u64().unwrap(),
                key["current"] == true,
            )
        })
        .collect();
    let expected = [
        ("binlog", 2, true),
        ("binlog", 3, false),
        ("innodb", 1, false),
        ("innodb", 2, false),
        ("innodb", 10, true),
    ];
    assert_eq!(current, expected);

    let first = name(1);
    let remove = ["remove", "--name", &*first];
    keys.refused(&remove, 13, "InvalidInput", "--server-key");
    let remove = [&remove[..], &["--server-key"]].concat();
    let before = keys.0.read();
    let would = keys.json(&[&remove[..], &["--dry-run"]].concat());
    assert!(
        would["would"]
            .as_str()
            .unwrap()
            .contains("retired key for 30 days"),
        "{would}"
    );
    assert_eq!(keys.0.read(), before);
    let said = keys.says(&remove);
    let (advice, _) = said.split_once(" brings it back").unwrap();
    let (_, advice) = advice.rsplit_once("keyring-ward ").unwrap();
    assert!(
        said.contains("30 days") && said.contains("--purge-retired"),
        "{said}"
    );
    let retired = keys.json(&["key", "list", "--retired"]);
    assert_eq!(
        (&retired["retired"][0]["name"], &retired["retired_keys"]),
        (&first.as_str().into(), &1.into())
    );
    assert!(keys.says(&["key", "list", "--retired"]).contains(&first));
    assert!(
        keys.says(&["key", "list"])
            .contains("1 removed keys are kept")
    );

    // What it says is what brings it back.
    let advice = advice.replace('\'', "");
    let words: Vec<&str> = advice.split(' ').collect();
    assert_eq!(words[..2], ["key", "restore"]);
    assert!(keys.says(&words).contains("is back under its name"));
    let back = keys
        .0
        .open()
        .unwrap()
        .read_key(first.as_bytes(), b"")
        .unwrap()
        .unwrap();
    assert_eq!(back.material(), material);
    drop(back);

    // Removed twice: each removal by its number; held for nothing, ended by a reseal.
    keys.says(&remove);
    let removed = keys.json(&["remove", "--name", &name(2), "--server-key"]);
    assert_eq!(
        (&removed["removal"], &removed["kept_days"]),
        (&1.into(), &30.into())
    );
    let before = keys.0.read();
    let over = keys.json(&["reseal", "--purge-retired", "--dry-run"]);
    assert!(
        !over["would"].as_str().unwrap().contains("retired"),
        "their time is not over: {over}"
    );
    let all = keys.json(&["reseal", "--purge-retired", "all", "--dry-run"]);
    assert!(all["would"].as_str().unwrap().contains(&first), "{all}");
    assert_eq!(keys.0.read(), before);
    assert!(
        keys.says(&["reseal", "--purge-retired"])
            .contains("No retired key was to be ended")
    );
    let ended = keys.json(&["reseal", "--purge-retired", "all"]);
    assert_eq!(ended["purged"].as_array().unwrap().len(), 2);
    assert_eq!(keys.json(&["key", "list", "--retired"])["retired_keys"], 0);
    keys.refused(&words, 11, "NotFound", "--retired");
    assert_eq!(
        keys.json(&["reseal"])["purged"].as_array().unwrap().len(),
        0
    );
}

/// A hold on one removed key: purge and time leave it, as long as it stands.
#[test]
fn a_single_removed_key_is_held() {
    let _turn = turn();
    let keys = Keys::new();
    let log = format!("MySQLReplicationKey_{UUID}_1");
    {
        let keyring = keys.0.open().unwrap();
        for _ in 0..2 {
            keyring
                .by(&Caller::Unknown)
                .generate(log.as_bytes(), b"", b"AES", 32)
                .unwrap();
            keyring
                .by(&Caller::Unknown)
                .remove(log.as_bytes(), b"")
                .unwrap();
        }
    }
    // Until when is said by every list, and how it is kept longer; that is a command.
    let listed = keys.json(&["key", "list"]);
    let warning = listed["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("2 removed keys of the binary log"),
        "{warning}"
    );
    let (_, command) = warning.split_once("keyring-ward ").unwrap();
    let (command, _) = command.split_once(" --reason WHY").unwrap();
    let command = command.replace('\'', "");
    let command: Vec<&str> = command.split(' ').collect();
    let hold = [&command[..], &["--reason", "archive of 2026"]].concat();
    let (_, _, warned) = keys.run(&["key", "list", "--retired"]);
    assert!(warned.contains("until "), "{warned}");

    let held = keys.as_the_dry_run_said(&hold);
    assert_eq!((&held["removal"], &held["owner"]), (&1.into(), &"".into()));
    let last = ["key", "hold", "--name", &*log];
    let said = keys.says(&[&last[..], &["--reason", "case 8"]].concat());
    assert!(said.contains("removal 2 of"), "{said}");
    keys.refused(
        &[&last[..], &["--reason", "x"]].concat(),
        26,
        "KeyState",
        "case 8",
    );
    let release = |n| [&last[..], &["--release", "--removal", n]].concat();
    keys.refused(&release("9"), 11, "NotFound", "--retired");
    assert_eq!(
        keys.json(&["key", "list"])["warnings"],
        serde_json::json!([])
    );
    let shown = keys.json(&["key", "list", "--retired"]);
    assert_eq!(
        (&shown["retired"][0]["hold"], &shown["retired"][1]["hold"]),
        (&"archive of 2026".into(), &"case 8".into())
    );
    let purge = ["reseal", "--purge-retired", "all"];
    assert_eq!(keys.json(&purge)["purged"].as_array().unwrap().len(), 0);
    keys.says(&release("2"));
    assert_eq!(keys.json(&purge)["purged"][0]["removal"], 2);
    // Brought back it stays held as well: somebody may remove it again.
    keys.says(&["key", "restore", "--name", &log]);
    keys.says(&["remove", "--name", &log, "--server-key"]);
    assert_eq!(keys.json(&purge)["purged"].as_array().unwrap().len(), 1);
    keys.says(&release("1"));
    assert_eq!(keys.json(&purge)["purged"][0]["removal"], 1);
}

/// Without an owner a key is taken where nobody else has one of that name, and the answer says whose it is.
#[test]
fn an_owner_that_is_left_out_is_looked_up() {
    let _turn = turn();
    let keys = Keys::new();
    keys.ssn("create", &[]);
    {
        let keyring = keys.0.open().unwrap();
        for owner in [&b""[..], b"app@%"] {
            keyring
                .by(&Caller::Unknown)
                .generate(b"both", owner, b"AES", 32)
                .unwrap();
        }
    }
    for (command, more) in [
        ("rotate", &["--pending"][..]),
        ("activate", &["--version", "2"]),
        ("set", &["--rotate-every", "90"]),
        ("hold", &["--reason", "case 7"]),
        ("hold", &["--release"]),
        ("compromise", &["--version", "1"]),
        ("destroy", &["--version", "1"]),
        ("cancel", &["--version", "1"]),
        ("show", &[]),
    ] {
        let words = [&["key", command, "--name", "ssn"], more].concat();
        assert_eq!(keys.json(&words)["owner"], "app@%", "{command}");
    }
    let said = keys.says(&["key", "check", "--name", "ssn"]);
    assert!(said.contains("app@%"), "{said}");
    assert!(
        keys.says(&["key", "rotate", "--name", "ssn"])
            .contains("'app@%'")
    );
    for command in ["adopt", "check"] {
        let words = ["key", command, "--name", "both"];
        let (code, _, err) = keys.run(&words);
        assert_eq!(code, 13, "{command}: {err}");
        assert!(
            err.contains("the server itself, 'app@%'"),
            "{command}: {err}"
        );
    }
    assert_eq!(
        keys.json(&["key", "check", "--name", "both", "--owner", ""])["owner"],
        ""
    );
    keys.refused(
        &["key", "create", "--name", "new"],
        13,
        "InvalidInput",
        "--owner",
    );
    keys.refused(
        &["key", "rotate", "--name", "none"],
        11,
        "NotFound",
        "key list",
    );
}

#[test]
fn temporary_keys_end_with_the_next_change_and_no_other_key_does() {
    let _turn = turn();
    let keys = Keys::new();
    let brief = ["--name", "brief", "--owner", "app@%"];
    keys.ssn("create", &[]);
    keys.says(&[&["key", "create", "--temporary", "1h"], &brief[..]].concat());
    keys.plan_for_yesterday(None);
    let expire = || {
        let keyring = keys.0.open().unwrap();
        let id = KeyId::new(b"brief", b"app@%").unwrap();
        let past = |l: &mut keyring_ward::key::logical::Logical, now: i64| {
            l.expires = Some(now - 1);
            Ok(())
        };
        keyring
            .by(&Caller::Unknown)
            .change_logical(&id, past)
            .unwrap();
    };
    let is_there = || {
        let listed = keys.json(&["key", "list"]);
        let names = listed["keys"].as_array().unwrap().clone();
        (
            names.iter().any(|key| key["name"] == "ssn"),
            names.iter().any(|key| key["name"] == "brief"),
        )
    };
    expire();
    // A look ends nothing, nor does a dry run.
    keys.says(&[&["key", "show"], &brief[..]].concat());
    keys.ssn("set", &["--description", "x", "--dry-run"]);
    assert_eq!(is_there(), (true, true));
    // The order itself may give it more time.
    keys.says(&[&["key", "set", "--expires", "1h"], &brief[..]].concat());
    assert_eq!(is_there(), (true, true));
    expire();
    // A new version would outlive the plan for the whole key.
    let rotate = [&["key", "rotate"], &SSN[..]].concat();
    keys.refused(
        &rotate,
        26,
        "KeyState",
        "the destruction of all of it is planned",
    );
    let done = keys.json(&[&["key", "set", "--description", "x"], &SSN[..]].concat());
    let said = done["warnings"][0].as_str().unwrap();
    assert!(
        said.contains("'brief' of 'app@%'") && said.contains("30 days"),
        "{said}"
    );
    assert_eq!(
        is_there(),
        (true, false),
        "what is due goes by an order only"
    );

    // Brought back, it stays for long enough to be given more time.
    let said = keys.says(&["key", "restore", "--name", "brief@1", "--owner", "app@%"]);
    assert!(said.contains("key set --expires"), "{said}");
    keys.says(&[&["key", "set", "--expires", "2w"], &brief[..]].concat());
    assert_eq!(is_there(), (true, true));
    // Held: it is served to nobody, and not destroyed.
    keys.says(&[&["key", "hold", "--reason", "case 7"], &brief[..]].concat());
    expire();
    keys.ssn("set", &["--description", "y"]);
    assert_eq!(is_there(), (true, true));
}

/// A key that left by a clear-text file is whole when it comes back; one that lost what the file says of it becomes one logical
/// key again, by its id.
#[test]
fn a_key_comes_back_from_a_clear_text_file() {
    let _turn = turn();
    let keys = Keys::new();
    keys.ssn("create", &["--description", "d"]);
    keys.ssn("rotate", &[]);
    // The file does not say when a version was made: that is when it came back.
    let told = |keys: &Keys| {
        let mut all = keys.shown();
        for version in all["versions"].as_array_mut().unwrap() {
            version["created"].take();
        }
        all
    };
    let was = told(&keys);
    let id = was["id"].as_str().unwrap().to_string();
    let file = keys.0.keyring_file().with_file_name("keys.json");
    let json = file.to_str().unwrap();
    keys.says(&["export", "--plaintext", "--to", json]);
    let back = Keys::new();
    back.says(&["import", "--from", json]);
    assert_eq!(told(&back), was);

    // As a program writes it that knows names and bytes alone.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut plain: Value = serde_json::from_str(&text).unwrap();
    for element in plain["elements"].as_array_mut().unwrap() {
        element["extension"] = Value::Array(Vec::new());
    }
    std::fs::write(&file, plain.to_string()).unwrap();
    let back = Keys::new();
    back.says(&["import", "--from", json]);
    let adopt = [&["key", "adopt"], &SSN[..]].concat();
    back.refused(&adopt, 11, "NotFound", "--versions");
    let create = [&["key", "create"], &SSN[..]].concat();
    back.refused(&create, 12, "AlreadyExists", "--versions");
    let with = |options: &[&'static str]| [&adopt[..], options].concat();
    for bad in ["7", "00112233445566778899aabbccddeefg"] {
        back.refused(
            &with(&["--versions", "--id", bad]),
            13,
            "InvalidInput",
            "32 hexadecimal digits",
        );
    }
    let before = back.0.read();
    let said = back.ssn("adopt", &["--versions", "--dry-run"]);
    assert!(said.contains("do not open (--id)"), "{said}");
    assert_eq!(back.0.read(), before);
    let said = back.ssn("adopt", &["--versions", "--id", &id.to_uppercase()]);
    assert!(
        said.contains("with version 1, 2;") && said.contains("has its id again"),
        "{said}"
    );
    let shown = back.shown();
    assert_eq!(
        (&shown["id"], &shown["current"]),
        (&was["id"], &was["current"])
    );
    let states: Vec<_> = back.states().into_iter().map(|(n, s, _)| (n, s)).collect();
    let state = |n, s: &str| (n, s.to_string());
    assert_eq!(states, [state(1, "deactivated"), state(2, "active")]);
    back.refused(&with(&["--versions"]), 26, "KeyState", "already");
}
