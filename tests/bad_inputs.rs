//! Every bad input of the file backend, as a row: what the server's opening says of it, what doctor says, and that nothing
//! is lost.
//!
//! Owns the rows. Each is opened as a server does it, from the configuration in its plugin directory on; a few stand in
//! `mysql-test/harness/bad-input.sh` as well, where the server itself is looked at. It must never leave a row out silently:
//! what only root can make is told.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, content, left_out, turn, write_secret};
use keyring_ward::caller::Caller;
use keyring_ward::config::discover::{CommandLine, JSON_NAME, component_config};
use keyring_ward::error::Kind;
use keyring_ward::keyring::Keyring;
use keyring_ward::os::identity;
use keyring_ward::secret::SecretPool;
use keyring_ward::store::lock::Lock;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whom a server that root starts runs as, here.
const ACCOUNT: (u32, u32) = (12_345, 54_321);

/// A server's plugin directory, data directory and keyring with two keys.
struct Server {
    place: Place,
    /// The plugin directory, which the server's account can't exchange.
    plugins: tempfile::TempDir,
    /// What was in it before anything was spoilt.
    keys: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    lock: Option<Lock>,
}

impl Server {
    /// Under a passphrase, or under a key file, which is quicker.
    fn new(passphrase: bool) -> Server {
        let mut server = Server {
            place: Place::new(),
            plugins: tempfile::tempdir().unwrap(),
            keys: Vec::new(),
            lock: None,
        };
        std::fs::set_permissions(server.plugins.path(), PermissionsExt::from_mode(0o755)).unwrap();
        write_secret(&server.passphrase(), b"correct horse battery staple\n");
        for file in [
            server.place.dir.path().to_path_buf(),
            server.place.data_dir(),
            server.place.key_file(),
            server.passphrase(),
        ] {
            server.give(&file, ACCOUNT);
        }
        match passphrase {
            true => server.configure(&["passphrase_file"]),
            false => server.configure(&["key_file"]),
        }
        let keyring = server.open().unwrap();
        for name in [b"k", b"l"] {
            let made = identity::as_owner_of(&server.place.data_dir(), || {
                keyring.by(&Caller::Unknown).generate(name, b"", b"AES", 32)
            });
            made.unwrap();
        }
        server.keys = content(&keyring);
        drop(keyring);
        server
    }

    fn config_file(&self) -> PathBuf {
        self.plugins.path().join(JSON_NAME)
    }

    fn passphrase(&self) -> PathBuf {
        self.place.dir.path().join("passphrase")
    }

    /// Changes the owner where that is possible.
    fn give(&self, file: &Path, (user, group): (u32, u32)) {
        if identity::is_root() {
            chown(file, Some(user), Some(group)).unwrap();
        }
    }

    fn write_config(&self, text: &str) {
        std::fs::write(self.config_file(), text).unwrap();
        std::fs::set_permissions(self.config_file(), PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// A configuration with these secrets, whose files bear the option's name or are the key file.
    fn configure(&self, secrets: &[&str]) {
        let file = |option: &&str| match *option {
            "key_file" => (option.to_string(), self.place.key_file()),
            _ => (option.to_string(), self.passphrase()),
        };
        let secrets: std::collections::BTreeMap<_, _> = secrets.iter().map(file).collect();
        let all = serde_json::json!({
            "backend": "file", "path": self.place.keyring_file(), "read_only": false, "file": secrets,
        });
        self.write_config(&all.to_string());
    }

    /// Replaces words in the configuration.
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config_file()).unwrap();
        assert!(text.contains(from), "{text}");
        self.write_config(&text.replace(from, to));
    }

    fn secret(&self, path: &Path, bytes: &[u8]) {
        let _ = std::fs::remove_file(path);
        write_secret(path, bytes);
        self.give(path, ACCOUNT);
    }

    /// Changes the keyring file's bytes, not the file.
    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.place.read();
        change(&mut bytes);
        self.place.write(&bytes);
    }

    fn vector(&self, name: &str) {
        let of = |name: &str| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/vectors")
                .join(name)
        };
        let bytes = std::fs::read(of(name)).unwrap();
        self.place.write(&bytes);
    }

    /// Opens as a server does: the configuration of its plugin directory, with the rights of the data directory's owner.
    fn open(&self) -> keyring_ward::error::Result<Keyring> {
        let command_line = CommandLine {
            args: vec!["--no-defaults".into()],
            ..CommandLine::default()
        };
        let data = self.place.data_dir();
        identity::as_owner_of(&data, || {
            let config = component_config(self.plugins.path(), Some(&data), &command_line)?;
            Keyring::open(&config, &self.place.server(), &SecretPool::new())
        })
    }

    /// Exit code of `keyring-ward doctor` for this server, and what it printed.
    fn doctor(&self) -> (Option<i32>, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .args(["doctor", "--json", "--config"])
            .arg(self.config_file())
            .arg("--datadir")
            .arg(self.place.data_dir())
            .output()
            .unwrap();
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stdout).replace("\\\"", "\""),
        )
    }

    /// The keyring's files without the lock: name, owner, mode, inode, bytes.
    fn files(&self) -> Vec<(PathBuf, u32, u32, u64, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.place.dir.path()).unwrap() {
            let (path, meta) = {
                let entry = entry.unwrap();
                (entry.path(), entry.metadata().unwrap())
            };
            let name = path.file_name().unwrap().to_str().unwrap();
            if meta.is_file() && name.starts_with("keyring.ward") && !name.ends_with(".lock") {
                let bytes = std::fs::read(&path).unwrap();
                files.push((path, meta.uid(), meta.mode(), meta.ino(), bytes));
            }
        }
        files.sort();
        files
    }
}

/// What breaks a server, and what is then said.
struct Row {
    name: &'static str,
    /// Only root can make it so.
    root: bool,
    /// Under a passphrase.
    passphrase: bool,
    spoil: fn(&mut Server),
    kind: Kind,
    words: &'static str,
    /// Words of doctor's, where they are others.
    doctor: Option<&'static str>,
}

const fn row(name: &'static str, kind: Kind, words: &'static str, spoil: fn(&mut Server)) -> Row {
    Row {
        name,
        root: false,
        passphrase: false,
        spoil,
        kind,
        words,
        doctor: None,
    }
}

impl Row {
    const fn root(self) -> Row {
        Row { root: true, ..self }
    }

    const fn passphrase(self) -> Row {
        Row {
            passphrase: true,
            ..self
        }
    }

    const fn doctor(self, words: &'static str) -> Row {
        Row {
            doctor: Some(words),
            ..self
        }
    }
}

const SECRETS: [Row; 7] = [
    row("wrong passphrase", Kind::WrongKek, "passphrase", |s| {
        s.secret(&s.passphrase(), b"another passphrase\n");
    })
    .passphrase(),
    row(
        "passphrase file missing",
        Kind::NotFound,
        "No such file",
        |s| {
            std::fs::remove_file(s.passphrase()).unwrap();
        },
    )
    .passphrase(),
    row(
        "passphrase file empty",
        Kind::InvalidInput,
        "is empty",
        |s| {
            s.secret(&s.passphrase(), b"");
        },
    )
    .passphrase(),
    row(
        "passphrase file readable by a foreign group",
        Kind::Permission,
        "mode 0640",
        |s| {
            s.give(&s.passphrase(), (ACCOUNT.0, 1));
            std::fs::set_permissions(s.passphrase(), PermissionsExt::from_mode(0o640)).unwrap();
        },
    )
    .root()
    .passphrase(),
    row(
        "passphrase file is a folder",
        Kind::InvalidInput,
        "it is a folder",
        |s| {
            std::fs::remove_file(s.passphrase()).unwrap();
            std::fs::create_dir(s.passphrase()).unwrap();
        },
    )
    .passphrase(),
    row(
        "key file of 31 bytes for a keyring with a passphrase",
        Kind::WrongKek,
        "is wrapped by 'passphrase'",
        |s| {
            s.secret(&s.place.key_file(), &[b'x'; 31]);
            s.configure(&["key_file"]);
        },
    )
    .passphrase(),
    row(
        "key file for a keyring with a passphrase",
        Kind::WrongKek,
        "is wrapped by 'passphrase'",
        |s| s.configure(&["key_file"]),
    )
    .passphrase(),
];

const FILES: [Row; 11] = [
    row(
        "keyring file empty",
        Kind::Tampered,
        "the file is empty",
        |s| {
            s.change(Vec::clear);
        },
    ),
    row(
        "keyring file of another program",
        Kind::Tampered,
        "not a file of Keyring Ward",
        |s| s.change(|b| *b = b"PNG or whatever else is not a keyring".to_vec()),
    ),
    row(
        "keyring file of a newer version",
        Kind::UnsupportedVersion,
        "newer Keyring Ward",
        |s| s.vector("version-newer.ward"),
    ),
    row(
        "truncated within the header",
        Kind::Tampered,
        "the file ends within its header",
        |s| s.change(|b| b.truncate(100)),
    ),
    row(
        "truncated within a record that was acknowledged",
        Kind::Tampered,
        "this record was saved and acknowledged",
        |s| s.change(|b| b.truncate(b.len() - 140)),
    ),
    row(
        "header damaged",
        Kind::Tampered,
        "the header is damaged (checksum)",
        |s| s.change(|b| b[60] ^= 0xFF),
    ),
    row(
        "record damaged",
        Kind::Tampered,
        "the record is not authentic",
        |s| {
            s.change(|b| {
                let at = b.len() - 60;
                b[at] ^= 0xA5;
            });
        },
    ),
    row(
        "record with a length of 4 GiB",
        Kind::Tampered,
        "the start of a record is damaged",
        |s| {
            s.vector("frame-length-4gib.ward");
            let kek = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/kek");
            s.secret(&s.place.key_file(), &std::fs::read(kek).unwrap());
            std::fs::remove_file(s.place.marker_file()).unwrap();
        },
    ),
    row(
        "keyring file missing, marker there",
        Kind::NotFound,
        "says that this server had a keyring",
        |s| std::fs::remove_file(s.place.keyring_file()).unwrap(),
    )
    .doctor("had a keyring"),
    row(
        "keyring file with two links",
        Kind::Io,
        "2 hard links",
        |s| {
            std::fs::hard_link(s.place.keyring_file(), s.place.dir.path().join("second")).unwrap();
        },
    ),
    row(
        "keyring file that belongs to root",
        Kind::Permission,
        "keyring.ward",
        |s| s.give(&s.place.keyring_file(), (0, 0)),
    )
    .root(),
];

const PLACES: [Row; 3] = [
    row(
        "folder missing",
        Kind::NotFound,
        "the folder '/nowhere'",
        |s| {
            s.edit(s.place.dir.path().to_str().unwrap(), "/nowhere");
        },
    )
    .doctor("/nowhere"),
    row(
        "folder that belongs to root",
        Kind::NotFound,
        "its volume may not be mounted",
        |s| {
            let folder = s.place.dir.path().join("of-root");
            std::fs::DirBuilder::new()
                .mode(0o755)
                .create(&folder)
                .unwrap();
            s.edit(
                s.place.keyring_file().to_str().unwrap(),
                folder.join("keyring.ward").to_str().unwrap(),
            );
        },
    )
    .root()
    .doctor("can't make files"),
    row("locked by another process", Kind::Locked, "lock", |s| {
        let held = identity::as_owner_of(&s.place.data_dir(), || {
            Lock::acquire(&s.place.keyring_file())
        });
        s.lock = Some(held.unwrap());
    })
    .doctor("held by"),
];

const CONFIGURATIONS: [Row; 6] = [
    row(
        "configuration that is not JSON",
        Kind::Config,
        "not valid JSON",
        |s| s.write_config("path=/x\n"),
    ),
    row(
        "configuration with an unknown name",
        Kind::Config,
        "Did you mean 'read_only'?",
        |s| s.edit("read_only", "readonly"),
    ),
    row(
        "two KEKs",
        Kind::Config,
        "both a passphrase file and a key file",
        |s| {
            s.configure(&["passphrase_file", "key_file"]);
        },
    ),
    row("no path", Kind::Config, "no path is given", |s| {
        let kek = s.place.key_file();
        let text = serde_json::json!({ "backend": "file", "file": { "key_file": kek } });
        s.write_config(&text.to_string());
    }),
    row(
        "no configuration at all",
        Kind::Config,
        "nothing is configured",
        |s| std::fs::remove_file(s.config_file()).unwrap(),
    )
    .doctor("does not exist"),
    row(
        "configuration writable by everybody",
        Kind::Permission,
        "is world-writable",
        |s| {
            std::fs::set_permissions(s.config_file(), PermissionsExt::from_mode(0o666)).unwrap();
        },
    )
    .doctor("world-writable"),
];

/// What is wrong with a row's answers.
fn check(row: &Row) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut server = Server::new(row.passphrase);
    (row.spoil)(&mut server);
    let before = server.files();
    match server.open() {
        Ok(_) => wrong.push("the server opened it".into()),
        Err(e) if e.kind() != row.kind || !e.to_string().contains(row.words) => {
            wrong.push(format!("the server says: {e}"));
        }
        Err(_) => {}
    }
    let (code, said) = server.doctor();
    let words = row.doctor.unwrap_or(row.words);
    if code != Some(15) || !said.contains(words) {
        wrong.push(format!(
            "doctor ends with {code:?} and without '{words}': {said}"
        ));
    }
    if server.files() != before {
        wrong.push("the keyring's files were changed".into());
    }
    wrong
}

#[test]
fn every_bad_input_is_told_and_nothing_is_lost() {
    let _turn = turn();
    let mut wrong = Vec::new();
    let rows = [&SECRETS[..], &FILES, &PLACES, &CONFIGURATIONS];
    for row in rows.into_iter().flatten() {
        if row.root && !identity::is_root() {
            left_out(&format!("{}: only root can make that", row.name));
            continue;
        }
        wrong.extend(check(row).iter().map(|w| format!("{}: {w}", row.name)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the rows start from is good: it opens, with both keys, and doctor has nothing against it.
#[test]
fn what_the_rows_start_from_is_good() {
    let _turn = turn();
    for passphrase in [true, false] {
        let server = Server::new(passphrase);
        assert_eq!(content(&server.open().unwrap()), server.keys);
        let (code, said) = server.doctor();
        assert_eq!(code, Some(0), "{said}");
    }
}
