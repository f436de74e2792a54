//! Commands that can't hurt: what they refuse, that a failure or a signal leaves nothing behind, and what programs read.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, content, turn, write_secret};
use keyring_ward::caller::Caller;
use keyring_ward::key::id::KeyId;
use keyring_ward::key::record::KeyRecord;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const INNODB: &[u8] = b"INNODBKey-01234567-89ab-cdef-0123-456789abcdef-3";

fn filled() -> Place {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(INNODB, b"", b"AES", 32)
        .unwrap();
    // Older than this test.
    let record = |name: &[u8], owner: &[u8], at| {
        let id = KeyId::new(name, owner).unwrap();
        let material = keyring.pool().copy(b"some text").unwrap();
        KeyRecord::new(id, b"SECRET", material, at, 1).unwrap()
    };
    keyring
        .by(&Caller::Unknown)
        .restore(record(b"a", b"ann@localhost", 1_000_000_000))
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .restore(record(b"b", b"bob@%", 1_100_000_000))
        .unwrap();
    place
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

/// The tool with a place's keyring.
fn arguments(place: &Place, command: &str, more: &[&str]) -> Vec<String> {
    let (path, kek) = (text(&place.keyring_file()), text(&place.key_file()));
    let mut all = vec![
        command.into(),
        "--path".into(),
        path,
        "--key-file".into(),
        kek,
    ];
    all.extend(more.iter().map(|m| (*m).to_string()));
    all
}

const TOOL: &str = env!("CARGO_BIN_EXE_keyring-ward");

fn tool(arguments: &[String]) -> (i32, String, String) {
    told(&Command::new(TOOL).args(arguments).output().unwrap())
}

fn told(out: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        out.status.code().unwrap_or(-1),
        text(&out.stdout),
        text(&out.stderr),
    )
}

fn run(place: &Place, command: &str, more: &[&str]) -> (i32, String, String) {
    tool(&arguments(place, command, more))
}

/// The tool where no file may grow beyond `bytes`: every write fails half-way, as on a full disk.
fn without_room(bytes: u64, arguments: &[String]) -> (i32, String, String) {
    let limit = format!("--fsize={bytes}");
    let script = "trap '' XFSZ; exec prlimit \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh", &limit, TOOL])
        .args(arguments);
    told(&command.output().unwrap())
}

/// The tool with a Ctrl-C that comes as soon as it holds signals back: it waits for it from its first moment on.
fn interrupted(arguments: &[String]) -> Output {
    let script = "kill -INT $$; exec \"$@\"";
    let mut command = Command::new("env");
    command
        .args(["--default-signal=INT", "--block-signal=INT"])
        .args(["sh", "-c", script, "sh", TOOL])
        .args(arguments);
    command.output().unwrap()
}

fn error(err: &str) -> Value {
    let all: Value = serde_json::from_str(err).unwrap_or_else(|e| panic!("{e}: {err}"));
    all["error"].clone()
}

#[test]
fn the_servers_own_keys_keep_their_owner() {
    let _turn = turn();
    let place = filled();
    let before = place.read();
    for (from, to, words) in [
        ("", "app@localhost", "--from is empty"),
        ("bob@%", "", "--to is empty"),
        ("", "", "neither account"),
        ("bob@%", "bob", "is not an account"),
        ("bob@%", "bob@%", "the same"),
    ] {
        for dry_run in [&["--dry-run"][..], &[]] {
            let more = [&["--from", from, "--to", to][..], dry_run].concat();
            let (code, _, err) = run(&place, "reown", &more);
            assert_eq!(code, 13, "{from} {to}: {err}");
            assert!(err.contains(words), "{err}");
        }
    }
    let (_, _, err) = run(&place, "reown", &["--from", "", "--to", "app@localhost"]);
    assert!(
        err.contains("InnoDB and the binary log") && err.contains("may not start"),
        "{err}"
    );
    assert_eq!(place.read(), before, "nothing was written");
    // Who says that he means it gets it: what such a command did before can be put right.
    let there = ["--from", "", "--to", "app@localhost", "--server-key"];
    assert_eq!(run(&place, "reown", &there).0, 0);
    let (code, _, err) = run(
        &place,
        "reown",
        &["--from", "app@localhost", "--to", "", "--server-key"],
    );
    assert_eq!(code, 0, "{err}");
    assert!(place.open().unwrap().fetch(INNODB, b"").unwrap().is_some());
}

#[test]
fn a_key_that_moves_keeps_its_age() {
    let _turn = turn();
    let place = filled();
    assert_eq!(
        run(
            &place,
            "reown",
            &["--from", "ann@localhost", "--to", "anna@%"]
        )
        .0,
        0
    );
    let age = |place: &Place, name: &[u8], owner: &[u8]| {
        let key = place.open().unwrap().fetch(name, owner).unwrap().unwrap();
        (key.created_at, key.generation, key.key_type.to_string())
    };
    assert_eq!(
        age(&place, b"a", b"anna@%"),
        (1_000_000_000, 1, "SECRET".into())
    );
    let (_, list, _) = run(&place, "list", &["--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let key = list["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|k| k["name"] == "a")
        .unwrap();
    assert_eq!(key["created"], "2001-09-09T01:46:40Z");
    assert_eq!(key["bytes"], 9);
    // The same into another keyring of ours.
    let other = Place::new();
    write_secret(&other.key_file(), &[7; 32]);
    let config = place.dir.path().join("c.json");
    let json = format!(
        r#"{{"backend":"file","path":"{}","file":{{"key_file":"{}"}}}}"#,
        text(&place.keyring_file()),
        text(&place.key_file())
    );
    std::fs::write(&config, json).unwrap();
    let (code, _, err) = run(&other, "import", &["--from-config", &text(&config)]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(
        age(&other, b"b", b"bob@%"),
        (1_100_000_000, 1, "SECRET".into())
    );
}

#[test]
fn a_new_kek_is_a_new_one() {
    let _turn = turn();
    let place = filled();
    let dir = place.dir.path().to_path_buf();
    let at = |name: &str| dir.join(name);
    let before = place.read();
    write_secret(&at("other"), &[9; 32]);
    write_secret(&at("copy"), &[0x42; 32]);
    assert_eq!(
        std::fs::read(place.key_file()).unwrap(),
        [0x42; 32],
        "the test's own"
    );
    // --generate takes nothing that is there, whatever it holds.
    for option in ["--new-key-file", "--new-passphrase-file"] {
        for dry_run in [&["--dry-run"][..], &[]] {
            let other = text(&at("other"));
            let more = [&[option, &other, "--generate"][..], dry_run].concat();
            let (code, _, err) = run(&place, "rekey", &more);
            assert_eq!(code, 12, "{err}");
            assert!(err.contains("never takes one that is there"), "{err}");
        }
    }
    // The same secret is no new KEK: by its own name, as a copy, as the other kind of secret.
    for (option, file) in [
        ("--new-key-file", place.key_file()),
        ("--new-key-file", at("copy")),
        ("--new-passphrase-file", at("copy")),
    ] {
        for dry_run in [&["--dry-run"][..], &[]] {
            let file = text(&file);
            let more = [&[option, &file][..], dry_run].concat();
            let (code, _, err) = run(&place, "rekey", &more);
            assert_eq!(code, 13, "{option} {file}: {err}");
        }
    }
    assert_eq!(std::fs::read(at("other")).unwrap(), [9; 32]);
    assert_eq!(place.read(), before, "nothing was written");
    // init takes nothing either.
    let path = text(&dir.join("new.ward"));
    let new = [
        "init",
        "--path",
        &path,
        "--key-file",
        &text(&at("other")),
        "--generate",
    ];
    let (code, _, err) = tool(&new.map(String::from));
    assert_eq!(code, 12, "{err}");
    assert!(!Path::new(&path).exists());
    // Without --generate an existing one is a new KEK, and a new DEK alone is a reseal.
    assert_eq!(run(&place, "reseal", &[]).0, 0);
    let (code, _, err) = run(&place, "rekey", &["--new-key-file", &text(&at("other"))]);
    assert_eq!(code, 0, "{err}");
}

/// Every command that writes, with what it needs beside a keyring's options. `new` names a key file, `source` another
/// keyring's configuration.
fn writing<'a>(new: &'a str, source: &'a str) -> [(&'static str, Vec<&'a str>); 6] {
    [
        ("compact", vec![]),
        ("reseal", vec![]),
        ("rekey", vec!["--new-key-file", new]),
        ("remove", vec!["--name", "a", "--owner", "ann@localhost"]),
        ("reown", vec!["--from", "bob@%", "--to", "bobby@%"]),
        ("import", vec!["--from-config", source]),
    ]
}

/// Files of a place, a digest of their content, and when they were written.
fn state(place: &Place) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let all = below(place.dir.path()).into_iter().map(|path| {
        let written = path.metadata().unwrap().modified().unwrap();
        let mut digest = DefaultHasher::new();
        std::fs::read(&path).ok().hash(&mut digest);
        (path, digest.finish(), written)
    });
    all.collect()
}

/// The same without the lock's file, which names its last holder.
fn state_but_for_the_lock(place: &Place) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut all = state(place);
    all.retain(|file| !text(&file.0).ends_with(".lock"));
    all
}

/// With an incomplete record that the marker does not know: a server would cut it off.
fn torn() -> Place {
    let place = filled();
    let (three, marker) = (place.read(), std::fs::read(place.marker_file()).unwrap());
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"torn", b"", b"AES", 32)
        .unwrap();
    let four = place.read();
    place.write(&four[..(three.len() + four.len()) / 2]);
    std::fs::write(place.marker_file(), &marker).unwrap();
    place
}

/// A second keyring to import from, and its configuration; and a key file.
fn beside() -> (Place, String, String) {
    let other = Place::new();
    let keyring = other.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"x", b"u@h", b"AES", &[9; 16])
        .unwrap();
    drop(keyring);
    let config = other.dir.path().join("c.json");
    let json = format!(
        r#"{{"backend":"file","path":"{}","file":{{"key_file":"{}"}}}}"#,
        text(&other.keyring_file()),
        text(&other.key_file())
    );
    std::fs::write(&config, json).unwrap();
    let new = other.dir.path().join("new");
    write_secret(&new, &[8; 32]);
    (other, text(&config), text(&new))
}

/// What a tool meets: a record that was acknowledged and is incomplete, an older copy, another keyring. Neither a change nor
/// a dry run of one touches it where the data directory is named, and the sentence is the server's.
#[test]
fn the_marker_counts_for_every_command_that_writes() {
    let _turn = turn();
    let (_other, source, new) = beside();
    type Spoil = fn(&Place, &[u8]);
    let cases: [(&str, Spoil, &str); 4] = [
        (
            "a record that was acknowledged",
            |p, whole| p.write(&whole[..whole.len() - 20]),
            "no crash has left it so",
        ),
        (
            "an older copy",
            |p, whole| {
                let last = whole.windows(4).rposition(|w| w == b"KWF\x01").unwrap();
                p.write(&whole[..last]);
            },
            "is an older copy",
        ),
        (
            "another keyring",
            |p, _| p.write(&filled().read()),
            "not the keyring that belongs to this data directory",
        ),
        (
            "no keyring",
            |p, _| std::fs::remove_file(p.keyring_file()).unwrap(),
            "this server had a keyring",
        ),
    ];
    for (what, spoil, says) in cases {
        let place = filled();
        spoil(&place, &place.read());
        // An interrupted rescue may have left the whole keyring beside it.
        write_secret(&place.dir.path().join("keyring.ward.new"), b"all keys");
        let (before, all) = (state_but_for_the_lock(&place), state(&place));
        let dir = text(&place.data_dir());
        for (command, more) in writing(&new, &source) {
            for dry_run in [&["--dry-run"][..], &[]] {
                // A dry run of an import into nothing has nothing to open.
                if what == "no keyring" && command == "import" && !dry_run.is_empty() {
                    continue;
                }
                let more = [&["--datadir", &dir][..], &more[..], dry_run].concat();
                let (code, out, err) = run(&place, command, &more);
                assert!(code == 19 || code == 11, "{what}, {command}: {out}{err}");
                assert!(err.contains(says), "{what}, {command}: {err}");
                let after = state_but_for_the_lock(&place);
                assert_eq!(after, before, "{what}, {command} {dry_run:?}");
                if command == "compact" && !dry_run.is_empty() {
                    assert_eq!(state(&place), all, "{what}: not even the lock");
                }
            }
        }
    }
}

/// A dry run writes nothing: not the lock, not the marker, no left-over is swept, no torn end is cut, no KEK adopted.
#[test]
fn a_dry_run_writes_nothing_at_all() {
    let _turn = turn();
    let (_other, source, new) = beside();
    for named in [false, true] {
        let place = torn();
        write_secret(&place.dir.path().join("keyring.ward.new"), b"left over");
        // As after a change of the configuration: the file is under the second KEK.
        let first = text(&place.dir.path().join("first"));
        write_secret(Path::new(&first), &[0x67; 32]);
        std::fs::remove_file(place.dir.path().join("keyring.ward.lock")).unwrap();
        let before = state(&place);
        let dir = text(&place.data_dir());
        for (command, more) in writing(&new, &source) {
            let mut more = [&more[..], &["--dry-run"]].concat();
            match named {
                true => more.extend(["--datadir", &dir]),
                false => more.push("--cut-torn-end"),
            }
            let (code, out, err) = run(&place, command, &more);
            assert_eq!(code, 0, "{command}: {out}{err}");
            assert!(err.contains("an incomplete record; they are left"), "{err}");
            let (_, out, err) = run(&place, command, &[&more[..], &["--json"]].concat());
            let answer: Value = serde_json::from_str(&out).unwrap();
            let warnings = answer["warnings"].as_array().unwrap();
            assert!(warnings[0].as_str().unwrap().contains("incomplete record"));
            assert_eq!((err.as_str(), warnings.len()), ("", 1), "{command}");
            assert_eq!(state(&place), before, "{command}");
        }
        // While a server holds it, nothing is said of it.
        std::fs::remove_file(place.dir.path().join("keyring.ward.new")).unwrap();
        let server = place.open().unwrap();
        for (command, more) in writing(&new, &source) {
            let more = [&more[..], &["--dry-run"]].concat();
            assert_eq!(run(&place, command, &more).0, 17, "{command}");
        }
        drop(server);
    }
}

/// Where no marker tells whether an incomplete record was acknowledged, a command asks instead of cutting it off; where
/// one does, it does as a server would, says so, and marks what it wrote.
#[test]
fn an_incomplete_end_is_cut_off_only_where_it_is_known_or_said() {
    let _turn = turn();
    let (_other, source, new) = beside();
    let number = writing(&new, &source).len();
    for at in 0..number {
        let place = torn();
        let before = state_but_for_the_lock(&place);
        let (command, more) = writing(&new, &source).into_iter().nth(at).unwrap();
        for dry_run in [&["--dry-run"][..], &[]] {
            let more = [&more[..], dry_run].concat();
            let (code, _, err) = run(&place, command, &more);
            assert_eq!(code, 19, "{command}: {err}");
            for part in [
                "behind record 3",
                "--datadir",
                "--cut-torn-end",
                "Nothing was changed",
            ] {
                assert!(err.contains(part), "{command}, {part}: {err}");
            }
            let (_, _, err) = run(&place, command, &[&more[..], &["--json"]].concat());
            assert_eq!(error(&err)["kind"], "Tampered");
            assert_eq!(state_but_for_the_lock(&place), before, "{command}");
        }
        let dir = text(&place.data_dir());
        // The marker tells, or the operator.
        for (place, word) in [
            (place, &["--datadir", &dir][..]),
            (torn(), &["--cut-torn-end"]),
        ] {
            let (code, out, err) = run(&place, command, &[&more[..], word, &["--json"]].concat());
            assert_eq!(code, 0, "{command}: {err}");
            let answer: Value = serde_json::from_str(&out).unwrap();
            let warning = answer["warnings"][0].as_str().unwrap();
            assert!(
                warning.contains("cut off") && warning.contains(".torn-1-3"),
                "{warning}"
            );
            assert!(place.dir.path().join("keyring.ward.torn-1-3").exists());
            let known = word[0] == "--datadir";
            assert_eq!(warning.contains("never acknowledged"), known, "{warning}");
            let mut keks = place.config();
            if command == "rekey" {
                keks.keks = keyring_ward::kek::file::LocalConfig::KeyFile(
                    keyring_ward::secret_source::SecretRef::File(new.clone().into()),
                )
                .into();
            }
            // What was written is marked where the marker was named, so that an older copy is known at once.
            let look = keyring_ward::admin::marker::opinion(&keks, &place.data_dir()).unwrap();
            let sequence = match look {
                keyring_ward::store::MarkerSays::Fits(sequence) => sequence,
                other => panic!("{command}: {other:?}"),
            };
            assert_eq!(sequence > 3, known, "{command}: {sequence}");
        }
    }
}

/// A marker belongs to the server that its data directory is of. The tool makes none, and writes into none of a server
/// whose keyring it is not.
#[test]
fn the_tool_makes_no_marker() {
    let _turn = turn();
    let place = filled();
    std::fs::remove_file(place.marker_file()).unwrap();
    let dir = text(&place.data_dir());
    // Nor a keyring where a path is wrong.
    let none = Place::new();
    for more in [&["--dry-run"][..], &[]] {
        let (code, _, err) = run(&none, "compact", more);
        assert_eq!(code, 11, "{err}");
        assert!(!none.keyring_file().exists());
    }
    let (code, _, err) = run(&place, "compact", &["--datadir", &dir]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(below(&place.data_dir()), Vec::<PathBuf>::new());
    // Found by its configuration: that server's keyring, but another one is named directly.
    let group = place.dir.path().join("my.cnf");
    let lines = format!(
        "[mysqld]\ndatadir={dir}\n[keyring_ward]\nbackend=file\npath={}\nfile_key_file={}\n",
        text(&place.keyring_file()),
        text(&place.key_file())
    );
    std::fs::write(&group, lines).unwrap();
    drop(place.open().unwrap());
    let marked = place.marked();
    let server = ["--defaults-file", &text(&group)].map(String::from);
    let direct = filled();
    let all = [arguments(&direct, "compact", &[]), server.to_vec()].concat();
    let (code, _, err) = tool(&all);
    assert_eq!(code, 0, "{err}");
    assert_eq!(place.marked(), marked, "not its business");
    // That server's own: by its configuration, and by its own path.
    for direct in [
        vec!["compact".to_string()],
        arguments(&place, "compact", &[]),
    ] {
        let (code, _, err) = tool(&[direct, server.to_vec()].concat());
        assert_eq!(code, 0, "{err}");
        assert_eq!(place.marked().unwrap().at.generation, {
            let look = keyring_ward::admin::inspect::inspect(&place.config()).unwrap();
            look.status.open.unwrap().store.generation
        });
    }
}

/// Everything below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(below(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

#[test]
fn a_full_disk_leaves_nothing_and_a_retry_works() {
    let _turn = turn();
    // No byte fits, a part of the secret, the secret but not the file.
    for room in [0, 20, 70, 200] {
        let dir = tempfile::tempdir().unwrap();
        let (path, secret) = (dir.path().join("a/b/k.ward"), dir.path().join("a/b/secret"));
        let (path, secret) = (text(&path), text(&secret));
        let init = [
            "init",
            "--path",
            &path,
            "--passphrase-file",
            &secret,
            "--generate",
        ];
        let init = init.map(String::from);
        let (code, _, err) = without_room(room, &init);
        assert_eq!(code, 21, "{room}: {err}");
        assert_eq!(below(dir.path()), Vec::<PathBuf>::new(), "{room}");
        let (code, _, err) = tool(&init);
        assert_eq!(code, 0, "{room}: {err}");
    }
    for room in [0, 20, 40, 300] {
        let place = filled();
        let (before, files) = (place.read(), below(place.dir.path()));
        let new = text(&place.dir.path().join("new-kek"));
        let rekey = arguments(&place, "rekey", &["--new-key-file", &new, "--generate"]);
        let (code, _, err) = without_room(room, &rekey);
        assert_eq!(code, 21, "{room}: {err}");
        assert_eq!(
            (place.read(), below(place.dir.path())),
            (before, files),
            "{room}"
        );
        let (code, _, err) = tool(&rekey);
        assert_eq!(code, 0, "{room}: {err}");
    }
    let place = filled();
    let json = place.dir.path().join("out.json");
    let export = arguments(&place, "export", &["--plaintext", "--to", &text(&json)]);
    assert_eq!(without_room(100, &export).0, 21);
    assert!(!json.exists(), "no half of the keys in clear text");
    assert_eq!(tool(&export).0, 0);
    let other = Place::new();
    let import = arguments(&other, "import", &["--from", &text(&json)]);
    for room in [100, 350, 450] {
        assert_eq!(without_room(room, &import).0, 21, "{room}");
        assert!(!other.keyring_file().exists(), "{room}");
    }
    assert_eq!(tool(&import).0, 0);
    assert_eq!(
        content(&other.open().unwrap()),
        content(&place.open().unwrap())
    );
}

#[test]
fn a_signal_leaves_nothing_and_a_retry_works() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (path, secret) = (dir.path().join("a/b/k.ward"), dir.path().join("a/b/secret"));
    let (path, secret) = (text(&path), text(&secret));
    let init = [
        "init",
        "--path",
        &path,
        "--passphrase-file",
        &secret,
        "--generate",
    ];
    let init = init.map(String::from);
    let out = interrupted(&init);
    assert_eq!(out.status.signal(), Some(2), "{out:?}");
    assert!(told(&out).2.contains("interrupted by a signal"), "{out:?}");
    assert_eq!(below(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(tool(&init).0, 0);

    let place = filled();
    let json = text(&place.dir.path().join("out.json"));
    let new = text(&place.dir.path().join("new-kek"));
    let (before, files) = (place.read(), below(place.dir.path()));
    for (command, more) in [
        ("rekey", &["--new-key-file", &new, "--generate"][..]),
        ("reseal", &[]),
        ("export", &["--plaintext", "--to", &json]),
        ("reown", &["--from", "bob@%", "--to", "bob@localhost"]),
    ] {
        let all = arguments(&place, command, more);
        let out = interrupted(&all);
        assert_eq!(out.status.signal(), Some(2), "{command}: {out:?}");
        let now = (place.read(), below(place.dir.path()));
        assert_eq!(now, (before.clone(), files.clone()), "{command}");
    }
    for (command, more) in [
        ("export", &["--plaintext", "--to", &json][..]),
        ("reown", &["--from", "bob@%", "--to", "bob@localhost"]),
        ("reseal", &[]),
        ("rekey", &["--new-key-file", &new, "--generate"]),
    ] {
        let (code, _, err) = run(&place, command, more);
        assert_eq!(code, 0, "{command}: {err}");
    }
    let other = Place::new();
    let import = arguments(&other, "import", &["--from", &json]);
    assert_eq!(interrupted(&import).status.signal(), Some(2));
    assert!(!other.keyring_file().exists());
    assert_eq!(tool(&import).0, 0);
}

/// Ctrl-C at random moments: the file is under one of the two KEKs, and no secret lies there that it is not under.
#[test]
fn a_rekey_is_whole_or_undone_whenever_the_signal_comes() {
    let _turn = turn();
    let place = filled();
    let mut now = place.key_file();
    let (mut whole, mut undone) = (0, 0);
    for i in 0..60u64 {
        let new = place.dir.path().join(format!("kek-{i}"));
        let path = text(&place.keyring_file());
        // What runs the tests may ignore the signal (nohup, a job in the background).
        let mut child = Command::new("env")
            .args(["--default-signal=INT", TOOL])
            .args(["rekey", "--path", &path, "--key-file", &text(&now)])
            .args(["--new-key-file", &text(&new), "--generate"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // A moment of its own for each run, not a wait for anything.
        std::thread::sleep(std::time::Duration::from_micros(i * i * 20));
        let pid = child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).output().unwrap();
        let _ = child.wait().unwrap();
        let opens = |kek: &Path| {
            let verify = ["verify", "--path", &path, "--key-file", &text(kek)];
            tool(&verify.map(String::from)).0 == 0
        };
        if new.exists() {
            assert!(opens(&new), "{i}: a secret without a keyring");
            now = new;
            whole += 1;
        } else {
            assert!(opens(&now), "{i}: a keyring without its secret");
            undone += 1;
        }
    }
    assert!(whole > 0 && undone > 0, "{whole} whole, {undone} undone");
}

#[test]
fn sentences_name_the_cause_and_a_remedy_that_helps() {
    let _turn = turn();
    let place = filled();
    for more in [
        &["--name", "nosuch"][..],
        &["--name", "nosuch", "--dry-run"],
    ] {
        let (code, _, err) = run(&place, "remove", more);
        assert_eq!(code, 11, "{err}");
        assert!(err.contains("'nosuch' does not exist"), "{err}");
    }
    let (code, _, err) = run(&place, "remove", &["--name", "b"]);
    assert_eq!(code, 11, "{err}");
    assert!(
        err.contains("belongs to 'bob@%': add --owner 'bob@%'"),
        "{err}"
    );
    let innodb = String::from_utf8(INNODB.to_vec()).unwrap();
    let (code, _, err) = run(&place, "remove", &["--name", &innodb]);
    assert_eq!(code, 13, "{err}");
    assert!(
        err.contains("InnoDB master key 3") && err.contains("--server-key"),
        "{err}"
    );

    let kek = text(&place.key_file());
    for command in ["status", "list", "verify", "reseal", "compact"] {
        let (code, _, err) =
            tool(&[command, "--path", "/no/such/folder/k", "--key-file", &kek].map(String::from));
        assert_eq!(code, 11, "{command}: {err}");
        assert!(
            err.contains("the folder '/no/such/folder' of the keyring file"),
            "{command}: {err}"
        );
        assert!(!err.contains("data directory"), "{command}: {err}");
    }
    place.write(br#"{"version":"1.0","elements":[]}"#);
    for command in ["status", "reseal"] {
        let (code, _, err) = run(&place, command, &[]);
        assert_eq!(code, 15, "{err}");
        assert!(
            err.contains("component_keyring_file") && err.contains("import --from"),
            "{err}"
        );
        assert!(!err.contains("Restore"), "{err}");
    }
    place.write(b"something else, long enough for a header");
    let (code, _, err) = run(&place, "verify", &[]);
    assert_eq!(code, 19);
    assert!(
        !err.contains("keyring-ward verify"),
        "advises itself: {err}"
    );
}

#[test]
fn a_users_key_has_no_meaning_of_the_servers() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(INNODB, b"", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(INNODB, b"root@%", b"AES", 32)
        .unwrap();
    drop(keyring);
    let (_, list, _) = run(&place, "list", &["--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let keys = list["keys"].as_array().unwrap();
    for key in keys {
        let server = key["owner"] == "";
        assert_eq!(key["meaning"] != "", server, "{key}");
    }
}

#[test]
fn an_end_that_is_cut_off_is_told() {
    let _turn = turn();
    let place = filled();
    let whole = place.read();
    let (code, out, _) = run(&place, "verify", &["--json"]);
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &out["complete"], &out["torn_bytes"]),
        (0, &true.into(), &0.into())
    );
    place.write(&whole[..whole.len() - 5]);
    let (code, out, err) = run(&place, "verify", &["--json"]);
    assert_eq!(code, 3, "{err}");
    assert_eq!(err, "");
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&out["authentic"], &out["complete"]),
        (&true.into(), &false.into())
    );
    assert!(out["torn_bytes"].as_u64().unwrap() > 0, "{out}");
    assert_eq!(out["keys"], 2);
    let (code, out, _) = run(&place, "verify", &[]);
    assert_eq!(code, 3);
    assert!(
        out.contains("a copy that was cut off") && !out.contains("from the first byte"),
        "{out}"
    );
}

#[test]
fn every_error_is_json_where_that_is_asked_for() {
    let _turn = turn();
    let place = filled();
    let missing = ["--config", "/no/such/config", "--json"];
    for (command, more) in [
        (&["init"][..], &[][..]),
        (&["status"], &[]),
        (&["list"], &[]),
        (&["verify"], &[]),
        (&["rekey"], &["--new-key-file", "/x"]),
        (&["reseal"], &[]),
        (&["import"], &["--from", "/x"]),
        (&["export"], &["--plaintext", "--to", "/x"]),
        (&["remove"], &["--name", "x"]),
        (&["reown"], &["--from", "a@b", "--to", "b@c"]),
        (&["compact"], &[]),
        (&["kek", "list"], &[]),
        (&["kek", "test"], &[]),
        (&["kek", "add"], &["b"]),
        (&["kek", "remove"], &["b"]),
        (&["kek", "sync"], &[]),
        (&["kek", "drill"], &["b"]),
        (&["hsm", "keys"], &[]),
        (&["hsm", "test"], &[]),
    ] {
        let all = [command, &missing, more].concat();
        let all: Vec<String> = all.into_iter().map(String::from).collect();
        let (code, out, err) = tool(&all);
        assert_eq!((code, out.as_str()), (11, ""), "{command:?}: {err}");
        let error = error(&err);
        assert_eq!(
            (&error["number"], &error["kind"]),
            (&1.into(), &"NotFound".into())
        );
        assert!(
            error["message"].as_str().unwrap().starts_with("Could not "),
            "{error}"
        );
        assert!(
            error["hint"].is_null() || error["hint"].is_string(),
            "{error}"
        );
    }
    for wrong in [
        &["rekey", "--json"][..],
        &["frobnicate", "--json"],
        &["--json", "list", "--no-such"],
    ] {
        let wrong: Vec<String> = wrong.iter().map(|w| (*w).to_string()).collect();
        let (code, out, err) = tool(&wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        let error = error(&err);
        assert_eq!(
            (&error["number"], &error["kind"]),
            (&3.into(), &"InvalidInput".into())
        );
        assert!(error["message"].as_str().unwrap().len() > 30, "{error}");
    }
    let (code, out, err) = run(&place, "status", &["--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let status: Value = serde_json::from_str(&out).unwrap();
    for number in ["generation", "last_record", "bytes", "torn_bytes", "keys"] {
        assert!(status[number].is_u64(), "{number}: {status}");
    }
}

#[test]
fn man_pages_have_examples() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = tool(&["man".to_string(), text(dir.path())]);
    assert_eq!(code, 0, "{err}");
    let pages = below(dir.path());
    assert!(pages.len() > 17, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let (_, examples) = text.split_once(".SH EXAMPLES\n.nf\n").unwrap();
        assert!(examples.contains("keyring\\-ward "), "{page:?}: {examples}");
        assert!(!text.contains(".SH EXTRA"), "{page:?}");
    }
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn every_script_has_a_help_that_is_no_code() {
    let _turn = turn();
    let mut seen = 0;
    let folder = Path::new(ROOT).join("scripts");
    for script in below(&folder) {
        // What lies in a folder below is sourced by one of them.
        let is_script = script.parent() == Some(&folder);
        if !is_script || script.extension().is_none_or(|e| e != "sh") {
            continue;
        }
        for option in ["--help", "-h"] {
            let out = Command::new("bash")
                .arg(&script)
                .arg(option)
                .output()
                .unwrap();
            let (code, out, err) = told(&out);
            assert_eq!((code, err.as_str()), (0, ""), "{script:?}");
            assert!(out.lines().count() > 1, "{script:?}: {out}");
            for code in ["$(", "set -", "while [", "case ", "#!"] {
                assert!(!out.contains(code), "{script:?}: {out}");
            }
        }
        seen += 1;
    }
    assert!(seen > 7);
    // What a script does not understand is told its help, on standard error.
    for script in [
        "bench",
        "demo",
        "fuzz",
        "image",
        "install",
        "real-cloud",
        "safety",
        "test",
        "torture",
    ] {
        let script = format!("{ROOT}/scripts/{script}.sh");
        let out = Command::new("bash")
            .args([&script, "--no-such"])
            .output()
            .unwrap();
        let (code, out, err) = told(&out);
        assert_eq!((code, out.as_str()), (2, ""), "{script}: {err}");
        assert!(
            err.contains("scripts/") && !err.contains("$("),
            "{script}: {err}"
        );
    }
}

/// What was built is installed where there is no cargo, and taken away again.
#[test]
fn what_is_built_is_installed_without_cargo() {
    let _turn = turn();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&dir.path().join(name));
    let made = format!(
        "mkdir -p '{0}' && cp -r scripts share contrib '{1}' && printf '#!/bin/sh\\nexec \"{TOOL}\" \"$@\"\\n' > '{0}/keyring-ward' && \
         chmod 755 '{0}/keyring-ward' && echo library > '{0}/libkeyring_ward.so' && echo library > '{0}/libkeyring_ward_sql.so'",
        at("repo/target/release"),
        at("repo"),
    );
    let out = Command::new("sh")
        .args(["-c", &made])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    let install = |more: &[&str]| {
        let script = at("repo/scripts/install.sh");
        let mut command = Command::new("bash");
        command
            .args([&script, "--root", &at("root"), "--plugin-dir", "/p"])
            .args(more);
        told(
            &command
                .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
                .output()
                .unwrap(),
        )
    };
    let (code, out, err) = install(&[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(!out.contains("cargo build"), "{out}");
    for name in [
        "root/p/component_keyring_ward.so",
        "root/p/component_keyring_ward_sql.so",
        "root/usr/local/bin/keyring-ward",
    ] {
        assert!(Path::new(&at(name)).exists(), "{name}");
    }
    assert!(Path::new(&at("root/usr/local/share/man/man1/keyring-ward-rekey.1")).exists());
    let (code, out, err) = install(&["--remove"]);
    assert_eq!(code, 0, "{out}{err}");
    for name in ["component_keyring_ward.so", "component_keyring_ward_sql.so"] {
        assert!(!Path::new(&at(&format!("root/p/{name}"))).exists());
    }
}
