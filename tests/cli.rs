//! The command-line tool as people use it: what it prints, its exit codes, and that no secret is
//! ever printed.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, turn};
use keyring_ward::caller::Caller;
use std::process::{Command, Output};

fn tool(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn init_status_list_verify() {
    let _turn = turn();
    let place = Place::new();
    let path = place.dir.path().join("new-folder/keyring.ward");
    let secret = place.dir.path().join("passphrase");
    let (path_arg, secret_arg) = (path.to_str().unwrap(), secret.to_str().unwrap());
    let named = ["--path", path_arg, "--passphrase-file", secret_arg];

    // Without --generate nothing is made up.
    let out = tool(&[&["init"], &named[..]].concat());
    assert_eq!(out.status.code(), Some(11), "{}", text(&out.stderr));
    let out = tool(&[&["init", "--generate"], &named[..]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    for part in [
        "[keyring_ward]",
        "\"backend\": \"file\"",
        "early-plugin-load",
        path_arg,
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let passphrase = std::fs::read_to_string(&secret).unwrap();
    assert_eq!(passphrase.trim().len(), 64);
    assert!(
        !printed.contains(passphrase.trim()),
        "the passphrase is not printed"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&secret.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // An existing keyring is never touched.
    let before = std::fs::read(&path).unwrap();
    let out = tool(&[&["init", "--generate"], &named[..]].concat());
    assert_eq!(out.status.code(), Some(12), "{}", text(&out.stderr));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    // The configuration that init prints is one that the tool reads.
    let json = printed
        .lines()
        .find(|l| l.trim_start().starts_with('{'))
        .unwrap();
    let config = place.dir.path().join("config");
    std::fs::write(&config, json).unwrap();
    let out = tool(&["status", "--config", config.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("Fingerprint"));
    let group = place.dir.path().join("my.cnf");
    let from = printed.find("[keyring_ward]").unwrap();
    let to = printed.find("Plugin:").unwrap();
    std::fs::write(&group, &printed[from..to]).unwrap();
    let out = tool(&["verify", "--defaults-file", group.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("0 keys"));
}

#[test]
fn metrics_tell_of_a_keyring_that_opens_and_of_one_that_does_not() {
    let _turn = turn();
    let place = Place::with_keyring();
    let other = place.dir.path().join("other");
    std::fs::copy(place.key_file(), &other).unwrap();
    std::fs::write(&other, [0x77; 32]).unwrap();
    let path = place.keyring_file();
    let status = |kek: &std::path::Path, more: &[&str]| {
        let named = [
            "status",
            "--path",
            path.to_str().unwrap(),
            "--key-file",
            kek.to_str().unwrap(),
        ];
        let out = tool(&[&named[..], more].concat());
        (
            out.status.code().unwrap(),
            text(&out.stdout),
            text(&out.stderr),
        )
    };
    let (code, out, err) = status(&place.key_file(), &["--prometheus"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let has = |out: &str, line: &str| out.lines().any(|l| l == line);
    assert!(has(&out, "# TYPE keyring_ward_up gauge"), "{out}");
    for line in [
        "keyring_ward_up 1",
        "keyring_ward_keys 0",
        "keyring_ward_generation 1",
        "keyring_ward_last_error_number 0",
    ] {
        assert!(has(&out, line), "{line}: {out}");
    }
    assert!(out.contains("keyring_ward_info{version="), "{out}");
    let (code, out, err) = status(&other, &["--prometheus"]);
    assert_eq!(code, 18, "as without it: {err}");
    assert!(err.starts_with("KW-0008 WrongKek"), "{err}");
    assert!(has(&out, "keyring_ward_up 0"), "{out}");
    assert!(has(&out, "keyring_ward_last_error_number 8"), "{out}");
    assert!(!out.contains("keyring_ward_keys"), "{out}");
    // One of the two: JSON is one document.
    let (code, out, _) = status(&place.key_file(), &["--prometheus", "--json"]);
    assert_eq!((code, out.as_str()), (2, ""));
}

#[test]
fn keys_are_listed_without_their_material() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"name\twith tab", b"u@h", b"SECRET", b"the-material")
        .unwrap();
    let (path, kek) = (place.keyring_file(), place.key_file());
    let named = [
        "--path",
        path.to_str().unwrap(),
        "--key-file",
        kek.to_str().unwrap(),
    ];
    // The keyring is open, as by a running server.
    for command in ["list", "status", "verify"] {
        let out = tool(&[&[command], &named[..]].concat());
        assert_eq!(
            out.status.code(),
            Some(0),
            "{command}: {}",
            text(&out.stderr)
        );
        let printed = text(&out.stdout) + &text(&out.stderr);
        assert!(!printed.contains("the-material"), "{printed}");
        if command == "list" {
            assert!(
                printed.contains("name\\twith tab\tu@h\tSECRET\t12\t"),
                "{printed}"
            );
        }
    }
}

#[test]
fn exit_codes_say_what_is_wrong() {
    let _turn = turn();
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"l", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    let (path, kek) = (place.keyring_file(), place.key_file());
    let named = [
        "--path",
        path.to_str().unwrap(),
        "--key-file",
        kek.to_str().unwrap(),
    ];
    let code = |command: &str| tool(&[&[command], &named[..]].concat()).status.code();
    assert_eq!(code("verify"), Some(0));
    common::write_secret(&kek, &[1; 32]);
    assert_eq!(code("verify"), Some(18), "WrongKek");
    common::write_secret(&kek, &[1; 31]);
    assert_eq!(code("verify"), Some(13), "InvalidInput");
    common::write_secret(&kek, &[0x42; 32]);
    let good = place.read();
    place.write(&good[..good.len() - 3]);
    let out = tool(&[&["verify"], &named[..]].concat());
    assert_eq!(out.status.code(), Some(3), "an end that is cut off");
    assert!(
        text(&out.stderr).contains("incomplete record"),
        "torn is a warning"
    );
    place.write(b"something else, long enough");
    assert_eq!(code("verify"), Some(19), "Tampered");
    assert_eq!(
        tool(&["verify", "--path", "relative"]).status.code(),
        Some(15),
        "Config"
    );
    assert_eq!(tool(&["frobnicate"]).status.code(), Some(2), "usage");
    let dir = place.data_dir();
    assert!(dir.join("keyring_ward.marker").exists());
    let reset = || tool(&["reset-marker", "--json", "--datadir", dir.to_str().unwrap()]);
    let (first, second) = (reset(), reset());
    assert_eq!(
        (first.status.code(), second.status.code()),
        (Some(0), Some(11))
    );
    let answer: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    let removed = answer["removed"].as_str().unwrap();
    assert!(removed.ends_with("keyring_ward.marker"), "{answer}");
}

/// Root has nobody's rights to take on there, and goes no further as root.
#[test]
fn a_marker_of_a_folder_that_is_not_there() {
    let _turn = turn();
    let place = Place::new();
    let none = place.dir.path().join("none");
    let out = tool(&["reset-marker", "--datadir", none.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(11), "{}", text(&out.stderr));
    if keyring_ward::os::identity::is_root() {
        assert!(text(&out.stderr).contains("Name the data directory"));
    }
}

#[test]
fn man_pages_replace_a_link_and_do_not_follow_it() {
    let _turn = turn();
    let place = Place::new();
    let (victim, folder) = (place.dir.path().join("victim"), place.data_dir());
    std::fs::write(&victim, "kept").unwrap();
    let page = folder.join("keyring-ward.1");
    std::os::unix::fs::symlink(&victim, &page).unwrap();
    let out = tool(&["man", folder.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
    assert!(page.symlink_metadata().unwrap().is_file());
    let left = std::fs::read_dir(&folder).unwrap().flatten();
    assert!(
        left.map(|e| e.file_name())
            .all(|n| !n.as_encoded_bytes().starts_with(b"."))
    );
}

#[test]
fn rekey_changes_the_kek_and_refuses_beside_a_server() {
    let _turn = turn();
    let place = Place::new();
    let server = place.open().unwrap();
    server
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let (path, old, new) = (
        place.keyring_file(),
        place.key_file(),
        place.dir.path().join("new"),
    );
    let arg = |p: &std::path::Path| p.to_str().unwrap().to_string();
    let (path, old, new) = (arg(&path), arg(&old), arg(&new));
    let rekey = [
        "rekey",
        "--path",
        &path,
        "--key-file",
        &old,
        "--new-passphrase-file",
        &new,
    ];
    let out = tool(&[&rekey[..], &["--generate"]].concat());
    assert_eq!(
        out.status.code(),
        Some(17),
        "a server holds it: {}",
        text(&out.stderr)
    );
    assert!(!std::path::Path::new(&new).exists(), "nothing was made");
    drop(server);
    let out = tool(&rekey);
    assert_eq!(
        out.status.code(),
        Some(11),
        "no such secret: {}",
        text(&out.stderr)
    );
    let out = tool(&[&rekey[..], &["--generate"]].concat());
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let printed = text(&out.stdout);
    for part in [
        "a new DEK: 1 keys",
        "ROTATE INNODB MASTER KEY",
        "Keep the old KEK",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let verify = |option: &str, file: &str| tool(&["verify", "--path", &path, option, file]);
    assert_eq!(verify("--passphrase-file", &new).status.code(), Some(0));
    assert_eq!(
        verify("--key-file", &old).status.code(),
        Some(18),
        "the old KEK opens it no more"
    );
    let secret = std::fs::read_to_string(&new).unwrap();
    assert!(!printed.contains(secret.trim()));
    // Neither option, or both, is a wrong usage.
    let out = tool(&["rekey", "--path", &path, "--passphrase-file", &new]);
    assert_eq!(out.status.code(), Some(2));
}

/// Every command that names a keyring, with the three ways of naming a configuration: what is given directly wins, and
/// the configured keyring is not touched.
#[test]
fn what_is_given_directly_wins_in_every_command() {
    let _turn = turn();
    let arg = |p: std::path::PathBuf| p.to_str().unwrap().to_string();
    let filled = |kek: u8| {
        let place = Place::new();
        common::write_secret(&place.key_file(), &[kek; 32]);
        let keyring = place.open().unwrap();
        keyring
            .by(&Caller::Unknown)
            .store_key(b"x", b"u@h", b"AES", &[kek; 16])
            .unwrap();
        drop(keyring);
        place
    };
    let configured = filled(1);
    let (path, kek) = (arg(configured.keyring_file()), arg(configured.key_file()));
    let write = |name: &str, text: String| {
        let file = configured.dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::os::unix::fs::PermissionsExt::set_mode(
            &mut file.metadata().unwrap().permissions(),
            0o644,
        );
        arg(file)
    };
    let json =
        format!(r#"{{"backend":"file","path":"{path}","file":{{"passphrase_file":"{kek}"}}}}"#);
    write("component_keyring_ward.cnf", json.clone());
    let group = format!("backend=file\npath={path}\nfile_passphrase_file={kek}\n");
    let ways = [
        ["--config".to_string(), write("c.cnf", json)],
        [
            "--defaults-file".into(),
            write("g.cnf", format!("[keyring_ward]\n{group}")),
        ],
        [
            "--defaults-file".into(),
            write(
                "v.cnf",
                format!(
                    "[mysqld]\nearly-plugin-load=keyring_ward.so\n{}",
                    group
                        .replace("backend", "loose_keyring_ward_backend")
                        .replace("path=", "loose_keyring_ward_path=")
                        .replace("file_passphrase", "loose_keyring_ward_file_passphrase")
                ),
            ),
        ],
        [
            "--plugin-dir".into(),
            arg(configured.dir.path().to_path_buf()),
        ],
    ];
    let library = std::path::Path::new(env!("CARGO_BIN_EXE_keyring-ward"))
        .with_file_name("deps/libkeyring_ward.so");
    let name = configured.dir.path().join("component_keyring_ward.so");
    std::os::unix::fs::symlink(library, name).unwrap();
    let before = configured.read();
    for way in ways {
        for command in [
            "status", "list", "verify", "doctor", "export", "import", "reseal", "compact", "rekey",
            "remove", "reown", "init",
        ] {
            let direct = filled(2);
            let other = filled(3);
            let to = arg(direct.dir.path().join("to"));
            let new = arg(other.key_file());
            if command == "init" {
                std::fs::remove_file(direct.keyring_file()).unwrap();
            }
            let was = std::fs::read(direct.keyring_file()).ok();
            let from = write(
                "from.cnf",
                format!(
                    r#"{{"backend":"file","path":"{}","file":{{"key_file":"{new}"}}}}"#,
                    arg(other.keyring_file())
                ),
            );
            let more: &[&str] = match command {
                "export" => &["--to", &to, "--plaintext"],
                "import" => {
                    let keyring = other.open().unwrap();
                    keyring.by(&Caller::Unknown).remove(b"x", b"u@h").unwrap();
                    keyring
                        .by(&Caller::Unknown)
                        .store_key(b"y", b"u@h", b"AES", &[9; 16])
                        .unwrap();
                    &["--from-config", &from]
                }
                "rekey" => &["--new-key-file", &new],
                "remove" => &["--name", "x", "--owner", "u@h"],
                "reown" => &["--from", "u@h", "--to", "v@h"],
                _ => &[],
            };
            let (path, kek) = (arg(direct.keyring_file()), arg(direct.key_file()));
            let named = [
                command,
                &way[0],
                &way[1],
                "--path",
                &path,
                "--key-file",
                &kek,
            ];
            let out = tool(&[&named, more].concat());
            let said = text(&out.stdout) + &text(&out.stderr);
            assert_eq!(out.status.code(), Some(0), "{command} {}: {said}", way[0]);
            assert_eq!(
                configured.read(),
                before,
                "{command} {}: the configured one",
                way[0]
            );
            match command {
                "status" | "verify" | "doctor" => {
                    assert!(said.contains(&path), "{command}: {said}")
                }
                "list" => assert!(said.contains("\t16\t"), "{said}"),
                "export" => assert!(
                    std::fs::read_to_string(&to)
                        .unwrap()
                        .contains(&"02".repeat(16))
                ),
                _ => assert_ne!(
                    std::fs::read(direct.keyring_file()).ok(),
                    was,
                    "{command} {}",
                    way[0]
                ),
            }
        }
    }
}
