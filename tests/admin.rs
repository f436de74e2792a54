//! The operations of administration, through the tool where it has something to say of its own: import, export,
//! remove, reown, reseal, compact, doctor.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::{Place, content, turn, write_secret};
use keyring_ward::admin::edit::{self, Moving};
use keyring_ward::admin::import::{Source, import};
use keyring_ward::admin::{export, inspect};
use keyring_ward::caller::Caller;
use keyring_ward::error::Kind;
use keyring_ward::store::lock::Lock;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

const DRY: Moving = Moving {
    server_key: false,
    dry_run: true,
};

fn tool(arguments: &[&str]) -> (i32, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        out.status.code().unwrap(),
        text(out.stdout),
        text(out.stderr),
    )
}

/// The options that name a place's keyring.
fn named(place: &Place) -> [String; 4] {
    let file = |path: std::path::PathBuf| path.display().to_string();
    [
        "--path".into(),
        file(place.keyring_file()),
        "--key-file".into(),
        file(place.key_file()),
    ]
}

fn run(place: &Place, command: &str, more: &[&str]) -> (i32, String, String) {
    let named = named(place);
    let mut arguments = vec![command];
    arguments.extend(named.iter().map(String::as_str));
    arguments.extend(more);
    tool(&arguments)
}

fn filled() -> Place {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(
            b"INNODBKey-01234567-89ab-cdef-0123-456789abcdef-3",
            b"",
            b"AES",
            32,
        )
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"a", b"ann@localhost", b"SECRET", b"some text of ann's")
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key("schlüssel".as_bytes(), b"ann@localhost", b"RSA", &[1; 300])
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"b", b"bob@%", b"AES", &[2; 16])
        .unwrap();
    place
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let _turn = turn();
    let place = filled();
    let json = place.dir.path().join("out.json");
    assert_eq!(export::component_json(&place.config(), &json).unwrap(), 4);
    assert_eq!(json.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let e = export::component_json(&place.config(), &json).unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists);
    let other = Place::new();
    let dry = import(&other.config(), &Source::File(&json), true, &mut |_, _| {}).unwrap();
    assert_eq!((dry.new.len(), dry.same), (4, 0));
    assert!(!other.keyring_file().exists(), "a dry run writes nothing");
    assert_eq!(
        import(&other.config(), &Source::File(&json), false, &mut |_, _| {}).unwrap(),
        dry
    );
    assert_eq!(
        content(&other.open().unwrap()),
        content(&place.open().unwrap())
    );
    // Again: all of it is there.
    let again = import(&other.config(), &Source::File(&json), false, &mut |_, _| {}).unwrap();
    assert_eq!((again.new.len(), again.same), (0, 4));
    // From a keyring of ours, under another KEK.
    let third = Place::new();
    write_secret(&third.key_file(), &[0x77; 40]);
    let plan = import(
        &third.config(),
        &Source::Ward(&place.config()),
        false,
        &mut |_, _| {},
    )
    .unwrap();
    assert_eq!(plan.new.len(), 4);
    assert_eq!(
        content(&third.open().unwrap()),
        content(&place.open().unwrap())
    );
}

#[test]
fn an_import_never_replaces_a_key() {
    let _turn = turn();
    let place = filled();
    let json = place.dir.path().join("other.json");
    let text = r#"{"version":"1.0","elements":[
        {"user":"","data_id":"new","data_type":"AES","data":"00","extension":[]},
        {"user":"bob@%","data_id":"b","data_type":"AES","data":"00","extension":[]}]}"#;
    std::fs::write(&json, text).unwrap();
    let before = place.read();
    let e = import(&place.config(), &Source::File(&json), false, &mut |_, _| {}).unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists, "{e}");
    assert!(
        e.to_string().contains("1 of 2 keys") && e.to_string().contains("'b' of 'bob@%'"),
        "{e}"
    );
    assert_eq!(place.read(), before, "nothing was changed");
    // The same key twice in the source with other material is a conflict as well.
    let bob = r#""user":"bob@%","data_id":"b","data_type":"AES","data":"00""#;
    let again = r#""user":"","data_id":"new","data_type":"AES","data":"01""#;
    let twice = text.replace(bob, again);
    std::fs::write(&json, &twice).unwrap();
    let e = import(&place.config(), &Source::File(&json), false, &mut |_, _| {}).unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists, "{e}");
    assert_eq!(
        std::fs::read_to_string(&json).unwrap(),
        twice,
        "the source is as it was"
    );
    assert_eq!(place.read(), before, "nothing was changed");
}

#[test]
fn ten_thousand_keys_of_the_stock_component() {
    let _turn = turn();
    let place = Place::new();
    let json = place.dir.path().join("stock.json");
    let elements: Vec<String> = (0..10_000)
        .map(|i| format!(r#"{{"user":"u@h","data_id":"key{i}","data_type":"AES","data":"{i:064X}","extension":[]}}"#))
        .collect();
    std::fs::write(
        &json,
        format!(r#"{{"version":"1.0","elements":[{}]}}"#, elements.join(",")),
    )
    .unwrap();
    let (code, out, err) = run(&place, "import", &["--from", json.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("10000 keys were imported and read back; 0 are here already"),
        "{out}"
    );
    let keyring = place.open().unwrap();
    let key = keyring.fetch(b"key9999", b"u@h").unwrap().unwrap();
    assert_eq!(key.material()[30..], [0x27, 0x0F]);
}

#[test]
fn a_user_is_renamed() {
    let _turn = turn();
    let place = filled();
    let dry = edit::reown(&place.config(), b"ann@localhost", b"anna@%", DRY).unwrap();
    assert_eq!(dry.keys.len(), 2);
    assert!(
        place
            .open()
            .unwrap()
            .fetch(b"a", b"anna@%")
            .unwrap()
            .is_none()
    );
    // An interrupted run left one key with both.
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .store_key(b"a", b"anna@%", b"SECRET", b"some text of ann's")
        .unwrap();
    assert_eq!(
        edit::reown(
            &place.config(),
            b"ann@localhost",
            b"anna@%",
            Moving::default()
        )
        .unwrap(),
        dry
    );
    let keyring = place.open().unwrap();
    assert_eq!(
        keyring.fetch(b"a", b"anna@%").unwrap().unwrap().material(),
        b"some text of ann's"
    );
    assert!(
        keyring
            .list()
            .iter()
            .all(|k| k.id.owner() != b"ann@localhost")
    );
    keyring
        .by(&Caller::Unknown)
        .store_key(b"b", b"anna@%", b"AES", &[3; 16])
        .unwrap();
    drop(keyring);
    let before = place.read();
    let e = edit::reown(&place.config(), b"bob@%", b"anna@%", Moving::default()).unwrap_err();
    assert_eq!(e.kind(), Kind::AlreadyExists, "{e}");
    let e = edit::reown(&place.config(), b"nobody@%", b"anna@%", Moving::default()).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
    assert_eq!(place.read(), before);
    let (code, out, _) = run(
        &place,
        "reown",
        &["--from", "bob@%", "--to", "bob@localhost", "--json"],
    );
    assert_eq!(code, 0);
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["keys"][0], "'b' of 'bob@localhost'");
}

#[test]
fn remove_wants_a_word_for_the_servers_own_keys() {
    let _turn = turn();
    let place = filled();
    let innodb = "INNODBKey-01234567-89ab-cdef-0123-456789abcdef-3";
    let (code, _, err) = run(&place, "remove", &["--name", innodb]);
    assert_eq!(code, 13, "{err}");
    assert!(err.contains("--server-key"), "{err}");
    let (code, _, err) = run(&place, "remove", &["--name", "a", "--owner", "bob@%"]);
    assert_eq!(code, 11, "{err}");
    let (code, _, err) = run(
        &place,
        "remove",
        &["--name", "a", "--owner", "ann@localhost"],
    );
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = run(&place, "remove", &["--name", innodb, "--server-key"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(place.open().unwrap().list().len(), 2);
}

#[test]
fn reseal_and_compact() {
    let _turn = turn();
    let place = filled();
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .remove(b"a", b"ann@localhost")
        .unwrap();
    let (before, keys) = (place.read(), content(&place.open().unwrap()));
    let (code, out, err) = run(&place, "reseal", &[]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("same KEK with a new DEK") && out.contains("3 keys"),
        "{out}"
    );
    assert_eq!(content(&place.open().unwrap()), keys);
    assert!(
        place.read().len() < before.len(),
        "what was removed is gone"
    );
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .remove(b"b", b"bob@%")
        .unwrap();
    let (code, out, err) = run(&place, "compact", &[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("bytes now instead of"), "{out}");
    // Not while somebody holds it.
    let held = place.open().unwrap();
    for command in ["reseal", "compact"] {
        assert_eq!(run(&place, command, &[]).0, 17);
    }
    drop(held);
}

#[test]
fn names_of_mysqls_own_keys_are_explained() {
    let meaning = |name: &str| inspect::meaning(name.as_bytes(), b"");
    let _turn = turn();
    let uuid = "01234567-89ab-cdef-0123-456789abcdef";
    assert_eq!(
        meaning(&format!("INNODBKey-{uuid}-3")),
        format!("InnoDB master key 3 of server {uuid}")
    );
    assert_eq!(
        meaning(&format!("MySQLReplicationKey_{uuid}_7")),
        format!("binary log key 7 of server {uuid}")
    );
    assert!(meaning(&format!("MySQLReplicationKey_{uuid}")).contains("which key is current"));
    assert_eq!(meaning("INNODBKey-short"), "");
    assert_eq!(meaning("my key"), "");
    let place = filled();
    let (_, out, _) = run(&place, "list", &["--json"]);
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    let keys = out["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 4);
    assert!(
        keys[0]["meaning"]
            .as_str()
            .unwrap()
            .contains("master key 3")
    );
    for command in ["status", "verify"] {
        let (code, out, _) = run(&place, command, &["--json"]);
        assert_eq!(code, 0);
        assert!(
            serde_json::from_str::<serde_json::Value>(&out)
                .unwrap()
                .is_object()
        );
    }
}

#[test]
fn doctor_on_broken_setups() {
    let _turn = turn();
    let said = |place: &Place, more: &[&str]| {
        let data = place.data_dir().display().to_string();
        let (code, out, err) = run(
            place,
            "doctor",
            &[&["--datadir", &data, "--json"], more].concat(),
        );
        let json: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {err}"));
        (code, json)
    };
    let of = |json: &serde_json::Value, step: &str| {
        let steps = json["steps"].as_array().unwrap();
        let worst = |s: &&serde_json::Value| s["verdict"] == "failure" || s["verdict"] == "warning";
        let of_step: Vec<_> = steps.iter().filter(|s| s["step"] == step).collect();
        let found = of_step
            .iter()
            .copied()
            .find(worst)
            .or(of_step.first().copied())
            .unwrap_or_else(|| panic!("no {step} in {json}"));
        (
            found["verdict"].as_str().unwrap().to_string(),
            format!(
                "{} {}",
                found["detail"].as_str().unwrap(),
                found["remedy"].as_str().unwrap()
            ),
        )
    };
    let place = filled();
    let (code, json) = said(&place, &[]);
    assert_eq!(code, 0, "{json}");
    assert_ne!(json["verdict"], "failure", "{json}");
    println!("| set-up | step | verdict | what it says |\n|---|---|---|---|");
    type Break = fn(&Place);
    let broken: [(&str, Break, &str, &str, &str); 14] = [
        (
            "no secret file",
            |p| std::fs::remove_file(p.key_file()).unwrap(),
            "opens",
            "failure",
            "KW-0001",
        ),
        (
            "secret readable by others",
            |p| set_mode(&p.key_file(), 0o644),
            "opens",
            "failure",
            "chmod 600",
        ),
        (
            "another secret",
            |p| write_secret(&p.key_file(), &[9; 32]),
            "opens",
            "failure",
            "KW-0008",
        ),
        (
            "a short secret",
            |p| write_secret(&p.key_file(), &[9; 31]),
            "opens",
            "failure",
            "31 bytes",
        ),
        (
            "damaged in the middle",
            |p| {
                let mut b = p.read();
                let i = b.len() / 2;
                b[i] ^= 1;
                p.write(&b)
            },
            "opens",
            "failure",
            "KW-0009",
        ),
        (
            "an older copy",
            |p| {
                let old = p.read();
                let keyring = p.open().unwrap();
                keyring
                    .by(&Caller::Unknown)
                    .generate(b"n", b"", b"AES", 32)
                    .unwrap();
                drop(keyring);
                drop(p.open().unwrap());
                p.write(&old);
            },
            "marker",
            "failure",
            "an older copy",
        ),
        (
            "another server's keyring",
            |p| {
                let other = filled();
                std::fs::copy(other.keyring_file(), p.keyring_file()).unwrap();
            },
            "marker",
            "failure",
            "another keyring",
        ),
        (
            "the file is gone",
            |p| std::fs::remove_file(p.keyring_file()).unwrap(),
            "keyring file",
            "failure",
            "had a keyring",
        ),
        (
            "a folder in its place",
            |p| {
                std::fs::remove_file(p.keyring_file()).unwrap();
                std::fs::create_dir(p.keyring_file()).unwrap();
            },
            "keyring file",
            "failure",
            "must be a regular file",
        ),
        (
            "a folder for everybody",
            |p| set_mode(p.dir.path(), 0o777),
            "folder",
            "warning",
            "chmod o-w",
        ),
        (
            "the file readable by others",
            |p| set_mode(&p.keyring_file(), 0o644),
            "keyring file",
            "failure",
            "chmod 600",
        ),
        (
            "the file readable by its group",
            |p| set_mode(&p.keyring_file(), 0o640),
            "keyring file",
            "warning",
            "0640",
        ),
        (
            "a file that nobody may write",
            |p| set_mode(&p.keyring_file(), 0o400),
            "keyring file",
            "warning",
            "none can be made or removed",
        ),
        (
            "held by another process",
            |_| (),
            "lock",
            "failure",
            "held by process",
        ),
    ];
    for (setup, breaks, step, verdict, words) in broken {
        let place = filled();
        drop(place.open().unwrap());
        breaks(&place);
        let held = (step == "lock").then(|| Lock::acquire(&place.keyring_file()).unwrap());
        let (code, json) = said(&place, &[]);
        drop(held);
        let (is, detail) = of(&json, step);
        println!("| {setup} | {step} | {is} | {detail} |");
        assert_eq!(is, verdict, "{setup}: {detail}");
        assert!(detail.contains(words), "{setup}: {detail}");
        assert_eq!(
            code,
            if verdict == "failure" { 15 } else { 0 },
            "{setup}: {json}"
        );
    }
    // Without a configuration at all.
    let (code, out, _) = tool(&["doctor", "--config", "/nonexistent.cnf", "--json"]);
    assert_eq!(code, 15);
    assert!(out.contains("\"failure\""), "{out}");
}

/// A server's files in a place's folder: manifest, plugin directory with the library, an option file.
struct ServerFiles {
    place: Place,
}

impl ServerFiles {
    fn new() -> ServerFiles {
        let files = ServerFiles { place: filled() };
        std::fs::create_dir(files.path("plugin")).unwrap();
        let library =
            Path::new(env!("CARGO_BIN_EXE_keyring-ward")).with_file_name("deps/libkeyring_ward.so");
        // A link: the library with its debugging information is large.
        std::os::unix::fs::symlink(&library, files.library()).unwrap();
        files.write("mysqld", "");
        files.write("my.cnf", "");
        set_mode(&files.path("my.cnf"), 0o644);
        files.write(
            "mysqld.my",
            r#"{ "components": "file://component_keyring_ward" }"#,
        );
        set_mode(&files.path("mysqld.my"), 0o644);
        files.write("plugin/component_keyring_ward.cnf", &files.json());
        files
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn library(&self) -> std::path::PathBuf {
        self.path("plugin/component_keyring_ward.so")
    }

    /// Another file in the library's place, never through the link.
    fn replace_library(&self, bytes: &[u8]) {
        std::fs::remove_file(self.library()).unwrap();
        std::fs::write(self.library(), bytes).unwrap();
    }

    fn json(&self) -> String {
        let [_, path, _, kek] = named(&self.place);
        format!(r#"{{"backend":"file","path":"{path}","file":{{"key_file":"{kek}"}}}}"#)
    }

    fn variables(&self, prefix: &str) -> String {
        let [_, path, _, kek] = named(&self.place);
        format!("{prefix}backend=file\n{prefix}path={path}\n{prefix}file_key_file={kek}\n")
    }

    /// The options that name this server.
    fn named(&self) -> Vec<String> {
        let of =
            |option: &str, file: &str| [option.to_string(), self.path(file).display().to_string()];
        [
            of("--mysqld", "mysqld"),
            of("--plugin-dir", "plugin"),
            of("--datadir", "data"),
            of("--defaults-file", "my.cnf"),
        ]
        .concat()
    }

    fn run(&self, command: &str, more: &[&str]) -> (i32, String, String) {
        let named = self.named();
        let mut arguments = vec![command];
        arguments.extend(named.iter().map(String::as_str));
        arguments.extend(more);
        tool(&arguments)
    }

    /// Exit code, and the verdicts of a step.
    fn doctor(&self, step: &str) -> (i32, Vec<(String, String)>) {
        let (code, out, err) = self.run("doctor", &["--json"]);
        let json: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out} {err}"));
        let text = |v: &serde_json::Value| v.as_str().unwrap().to_string();
        let steps = json["steps"].as_array().unwrap().iter();
        let found = steps.filter(|s| s["step"] == step).map(|s| {
            (
                text(&s["verdict"]),
                format!("{} {}", text(&s["detail"]), text(&s["remedy"])),
            )
        });
        (code, found.collect())
    }
}

/// A library whose constructor tells what it got, and leaves a child that holds its output.
const RUDE: &str = r#"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void rude(void) {
    int third = dup(3) >= 0;
    FILE *out = fopen(SEEN, "w");
    fprintf(out, "session %d\n", getsid(0) == getpid());
    fprintf(out, "fd3 %d\n", third);
    fprintf(out, "token %d\n", getenv("VAULT_TOKEN") != NULL);
    pid_t child = fork();
    if (child == 0) { sleep(300); _exit(0); }
    fprintf(out, "child %d\n", (int)child);
    fclose(out);
}
"#;

#[test]
fn doctors_trial_of_a_library_has_an_end_and_nothing_of_ours() {
    let _turn = turn();
    let server = ServerFiles::new();
    let seen = server.path("seen");
    server.write("rude.c", RUDE);
    server.replace_library(b"");
    let made = Command::new("cc")
        .arg("-shared")
        .arg("-fPIC")
        .arg(format!("-DSEEN=\"{}\"", seen.display()))
        .arg("-o")
        .args([server.library(), server.path("rude.c")])
        .status();
    assert!(made.unwrap().success());
    set_mode(&server.library(), 0o755);
    let begin = std::time::Instant::now();
    // As doctor --passphrase-fd 3 3<file.
    let kek = server.place.key_file();
    let script = format!("exec 3< '{}'; exec \"$@\"", kek.display());
    let out = Command::new("sh")
        .args([
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_keyring-ward"),
            "doctor",
        ])
        .args(server.named())
        .env("VAULT_TOKEN", "root's")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("is another library"), "{said}");
    assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
    let seen = std::fs::read_to_string(&seen).unwrap();
    for line in ["session 1", "fd3 0", "token 0"] {
        assert!(seen.contains(line), "{line}: {seen}");
    }
    let child = seen.lines().find_map(|l| l.strip_prefix("child "));
    let stat = format!("/proc/{}/stat", child.unwrap());
    while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z ")) {
        assert!(
            begin.elapsed().as_secs() < 120,
            "the library's child is left"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn doctor_looks_at_the_server() {
    let _turn = turn();
    let server = ServerFiles::new();
    let (code, out, err) = server.run("doctor", &[]);
    assert_eq!(code, 0, "{out} {err}");
    assert!(out.contains("can be loaded"), "{out}");
    type Break = fn(&ServerFiles);
    let broken: [(&str, Break, &str, &str, &str); 19] = [
        (
            "no manifest",
            |s| std::fs::remove_file(s.path("mysqld.my")).unwrap(),
            "manifest",
            "failure",
            "nothing loads",
        ),
        (
            "another component",
            |s| {
                s.write(
                    "mysqld.my",
                    r#"{"components":"file://component_keyring_file"}"#,
                )
            },
            "manifest",
            "failure",
            "component_keyring_file",
        ),
        (
            "a typo in the manifest",
            |s| {
                s.write(
                    "mysqld.my",
                    r#"{"componets":"file://component_keyring_ward"}"#,
                )
            },
            "manifest",
            "failure",
            "no member components",
        ),
        (
            "the manifest is not JSON",
            |s| s.write("mysqld.my", "file://component_keyring_ward"),
            "manifest",
            "failure",
            "not valid JSON",
        ),
        (
            "only local",
            |s| s.write("data/mysqld.my", "{}"),
            "manifest",
            "ok",
            "loads",
        ),
        (
            "local without a file",
            |s| s.write("mysqld.my", r#"{"read_local_manifest":true}"#),
            "manifest",
            "failure",
            "read_local_manifest",
        ),
        (
            "a manifest that everybody can write",
            |s| set_mode(&s.path("mysqld.my"), 0o666),
            "manifest",
            "warning",
            "chmod 644",
        ),
        (
            "another component is missing",
            |s| {
                s.write(
                    "mysqld.my",
                    r#"{"components":"file://component_keyring_ward,file://component_x"}"#,
                )
            },
            "library",
            "failure",
            "component_x",
        ),
        (
            "no library",
            |s| std::fs::remove_file(s.library()).unwrap(),
            "library",
            "failure",
            "install.sh",
        ),
        (
            "junk instead of the library",
            |s| s.replace_library(b"junk"),
            "library",
            "failure",
            "can't be loaded",
        ),
        (
            "an empty library",
            |s| s.replace_library(b""),
            "library",
            "failure",
            "can't be loaded",
        ),
        (
            "half a library",
            |s| {
                let whole = std::fs::read(s.library()).unwrap();
                s.replace_library(&whole[..1 << 20]);
            },
            "library",
            "failure",
            "can't be loaded",
        ),
        (
            "the plugin's name is a copy",
            |s| {
                std::fs::copy(s.library(), s.path("plugin/keyring_ward.so")).unwrap();
            },
            "library",
            "warning",
            "ln -sfn",
        ),
        (
            "an unknown variable",
            |s| s.write("my.cnf", "[mysqld]\nkeyring_ward_path=/x\n"),
            "option files",
            "failure",
            "loose_",
        ),
        (
            "an option before any group",
            |s| s.write("my.cnf", "x=1\n"),
            "option files",
            "failure",
            "before any group",
        ),
        (
            "no option file",
            |s| std::fs::remove_file(s.path("my.cnf")).unwrap(),
            "option files",
            "failure",
            "my.cnf",
        ),
        (
            "both roles",
            |s| s.write("my.cnf", "[mysqld]\nearly-plugin-load=keyring_ward.so\n"),
            "manifest",
            "warning",
            "passive",
        ),
        (
            "no data directory",
            |s| std::fs::remove_dir_all(s.path("data")).unwrap(),
            "data directory",
            "failure",
            "--initialize",
        ),
        (
            "broken configuration",
            |s| s.write("plugin/component_keyring_ward.cnf", "{"),
            "configuration",
            "failure",
            "not valid JSON",
        ),
    ];
    for (setup, breaks, step, verdict, words) in broken {
        let server = ServerFiles::new();
        breaks(&server);
        let (code, found) = server.doctor(step);
        assert!(
            found
                .iter()
                .any(|(v, detail)| v == verdict && detail.contains(words)),
            "{setup}: {found:?}"
        );
        assert_eq!(
            code,
            if verdict == "failure" { 15 } else { 0 },
            "{setup}: {found:?}"
        );
    }
}

#[test]
fn every_command_finds_the_three_ways_of_configuring() {
    let _turn = turn();
    type Write = fn(&ServerFiles);
    let ways: [(&str, Write, &str); 5] = [
        ("JSON in the plugin directory", |_| (), "ALTER INSTANCE"),
        (
            "JSON in the data directory",
            |s| {
                s.write(
                    "plugin/component_keyring_ward.cnf",
                    r#"{"read_local_config": true}"#,
                );
                s.write("data/component_keyring_ward.cnf", &s.json());
            },
            "ALTER INSTANCE",
        ),
        (
            "the group [keyring_ward]",
            |s| {
                std::fs::remove_file(s.path("plugin/component_keyring_ward.cnf")).unwrap();
                s.write("my.cnf", &format!("[keyring_ward]\n{}", s.variables("")));
            },
            "ALTER INSTANCE",
        ),
        (
            "the plugin's variables",
            |s| {
                std::fs::remove_file(s.path("plugin/component_keyring_ward.cnf")).unwrap();
                std::fs::remove_file(s.path("mysqld.my")).unwrap();
                std::os::unix::fs::symlink(
                    "component_keyring_ward.so",
                    s.path("plugin/keyring_ward.so"),
                )
                .unwrap();
                s.write(
                    "my.cnf",
                    &format!(
                        "[mysqld]\nearly-plugin-load=keyring_ward.so\n{}",
                        s.variables("loose_keyring_ward_")
                    ),
                );
            },
            "keyring_ward_reload()",
        ),
        (
            "the plugin's variables, beside a component's configuration that nothing loads",
            |s| {
                s.write(
                    "plugin/component_keyring_ward.cnf",
                    r#"{"backend":"file","path":"/wrong","file":{"key_file":"/wrong"}}"#,
                );
                std::fs::remove_file(s.path("mysqld.my")).unwrap();
                s.write(
                    "my.cnf",
                    &format!(
                        "[server]\nplugin-load-add=keyring_ward=component_keyring_ward.so\n{}",
                        s.variables("keyring_ward_")
                    ),
                );
            },
            "keyring_ward_reload()",
        ),
    ];
    for (way, write, reload) in ways {
        let server = ServerFiles::new();
        write(&server);
        let (code, out, err) = server.run("doctor", &[]);
        assert_eq!(code, 0, "{way}: {out} {err}");
        let json = server.path("x.json").display().to_string();
        let new = server.path("new").display().to_string();
        write_secret(&server.path("new"), &[7; 32]);
        for (command, more) in [
            ("status", &[][..]),
            ("list", &[]),
            ("verify", &[]),
            ("reseal", &["--dry-run"]),
            ("compact", &["--dry-run"]),
            ("rekey", &["--dry-run", "--new-key-file", &new]),
            ("remove", &["--dry-run", "--name", "b", "--owner", "bob@%"]),
            ("reown", &["--dry-run", "--from", "bob@%", "--to", "rob@%"]),
            ("export", &["--dry-run", "--to", &json, "--plaintext"]),
        ] {
            let (code, out, err) = server.run(command, more);
            assert_eq!(code, 0, "{way}, {command}: {out} {err}");
        }
        let (code, _, err) = server.run("init", &["--dry-run"]);
        assert_eq!(code, 12, "{way}, init: {err}");
        // The advice is one that the role can follow.
        write_secret(&server.place.key_file(), &[9; 32]);
        let (code, _, err) = server.run("doctor", &[]);
        assert_eq!(code, 15, "{way}");
        assert!(err.contains(reload), "{way}: {err}");
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn completions_and_man_pages_come_from_the_command_line_itself() {
    let _turn = turn();
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, err) = tool(&["completions", shell]);
        assert_eq!(code, 0, "{err}");
        assert!(
            out.contains("keyring-ward") && out.contains("doctor"),
            "{shell}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = tool(&["man", dir.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    let page = std::fs::read_to_string(dir.path().join("keyring-ward-import.1")).unwrap();
    assert!(page.contains("dry\\-run"), "{page}");
}

#[test]
fn dry_runs_check_and_write_nothing() {
    let _turn = turn();
    let place = filled();
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(place.dir.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.is_file())
            .map(|p| (p.clone(), std::fs::read(&p).unwrap()))
            .filter(|(p, _)| !p.ends_with("keyring.ward.lock"))
            .collect();
        names.sort();
        names
    };
    let json = place.dir.path().join("x.json").display().to_string();
    let other = place.dir.path().join("kek2");
    write_secret(&other, &[0x13; 32]);
    let other = other.display().to_string();
    let before = files();
    for (command, more) in [
        ("reseal", &[][..]),
        ("compact", &[]),
        ("rekey", &["--new-key-file", &other]),
        ("remove", &["--name", "b", "--owner", "bob@%"]),
        ("reown", &["--from", "bob@%", "--to", "rob@%"]),
        ("export", &["--to", &json, "--plaintext"]),
    ] {
        let (code, out, err) = run(&place, command, &[more, &["--dry-run", "--json"]].concat());
        assert_eq!(code, 0, "{command}: {err}");
        let out: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["dry_run"], true, "{command}");
        assert_eq!(files(), before, "{command}");
    }
    // What would fail fails.
    let gone = place.dir.path().join("gone").display().to_string();
    for (command, more, code) in [
        ("rekey", &["--new-key-file", &gone][..], 11),
        ("remove", &["--name", "c", "--owner", "bob@%"], 11),
        ("init", &[], 12),
    ] {
        let (is, _, err) = run(&place, command, &[more, &["--dry-run"]].concat());
        assert_eq!(is, code, "{command}: {err}");
    }
    let held = place.open().unwrap();
    assert_eq!(run(&place, "reseal", &["--dry-run"]).0, 17);
    drop(held);
    // And then it is done, said in JSON.
    for (command, more) in [
        ("rekey", &["--new-key-file", &other][..]),
        ("export", &["--to", &json, "--plaintext"]),
    ] {
        let named = named(&place);
        let now = if command == "export" {
            &other
        } else {
            &named[3]
        };
        let arguments = [
            &[command, "--path", &named[1], "--key-file", now],
            more,
            &["--json"],
        ]
        .concat();
        let (code, out, err) = tool(&arguments);
        assert_eq!(code, 0, "{command}: {err}");
        let out: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(out["keys"], 4, "{command}");
    }
}

#[test]
fn a_passphrase_comes_by_a_descriptor() {
    let _turn = turn();
    use std::process::Stdio;
    let place = Place::new();
    let (path, secret) = (place.keyring_file(), place.dir.path().join("p"));
    write_secret(&secret, b"correct horse battery staple\n");
    let run = |arguments: &[&str], fd: &str| {
        let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(arguments)
            .args(["--path", path.to_str().unwrap(), fd, "0"])
            .stdin(Stdio::from(std::fs::File::open(&secret).unwrap()))
            .output()
            .unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        assert!(!text.contains("horse"), "{text}");
        (out.status.code().unwrap(), text)
    };
    let (code, text) = run(&["init"], "--passphrase-fd");
    assert_eq!(code, 0, "{text}");
    let (code, text) = run(&["verify"], "--passphrase-fd");
    assert_eq!(code, 0, "{text}");
    // The same passphrase in a file opens it.
    let file = secret.to_str().unwrap();
    let (code, _, err) = tool(&[
        "verify",
        "--path",
        path.to_str().unwrap(),
        "--passphrase-file",
        file,
    ]);
    assert_eq!(code, 0, "{err}");
    let rekey = ["rekey", "--passphrase-file", file, "--dry-run"];
    let (code, text) = run(&rekey, "--new-passphrase-fd");
    assert_eq!(code, 13, "it is the same passphrase: {text}");
    // No terminal in a session of its own.
    let out = Command::new("setsid")
        .args([
            "--wait",
            env!("CARGO_BIN_EXE_keyring-ward"),
            "verify",
            "--passphrase-prompt",
        ])
        .args(["--path", path.to_str().unwrap()])
        .output()
        .unwrap();
    let err = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && err.contains("terminal"), "{err}");
}
