//! Sealed values in files: what each opens to, or what a reader has to say, for this program and for the independent one in Python.
//!
//! `cargo test --test sealed_vectors -- --ignored make` wrote them; from the first release on they are never made anew.
#![allow(clippy::unwrap_used)]

mod common;

use data_encoding::HEXLOWER;
use keyring_ward::envelope::{Purpose, ValueKeys};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::sealed::{self, Sealed};
use keyring_ward::secret::SecretPool;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

const ID: [u8; 16] = *b"0123456789abcdef";

fn folder() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sealed")
}

fn vectors() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder())
        .unwrap()
        .map(|f| f.unwrap().path());
    let one = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        (
            name,
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap(),
        )
    };
    files.map(one).collect()
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    HEXLOWER
        .decode(vector[name].as_str().unwrap().as_bytes())
        .unwrap()
}

fn keys(version: u32, material: &[u8]) -> ValueKeys {
    ValueKeys::derive(&SecretPool::new(), Purpose::Value, &ID, version, material).unwrap()
}

fn open(vector: &Value) -> Result<Vec<u8>> {
    let (value, context) = (bytes(vector, "value"), bytes(vector, "context"));
    let value = Sealed::parse(&value)?;
    let material = &vector["materials"][value.version.to_string()];
    let Some(material) = material.as_str() else {
        return Err(Error::new(Kind::NotFound, "open", "no such version"));
    };
    let material = HEXLOWER.decode(material.as_bytes()).unwrap();
    let (pool, id) = (SecretPool::new(), bytes(vector, "id").try_into().unwrap());
    let mut keys = ValueKeys::derive(&pool, Purpose::Value, &id, value.version, &material)?;
    let mut out = Vec::new();
    value.open(&mut keys, &context, &mut out).map(|()| out)
}

#[test]
fn each_vector_opens_to_what_it_says() {
    let all = vectors();
    assert!(all.len() >= 30, "{}", all.len());
    for (name, vector) in &all {
        let found = match open(vector) {
            Ok(text) => HEXLOWER.encode(&text),
            Err(e) => e.kind().name().to_string(),
        };
        assert_eq!(vector["expect"], found, "{name}");
    }
    let good = all.values().filter(|v| {
        v["expect"]
            .as_str()
            .unwrap()
            .bytes()
            .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    });
    assert!(good.count() >= 6);
}

/// The one in Python, which shares nothing with this program, finds the same in each.
#[test]
fn an_independent_implementation_agrees() {
    let script = folder().join("../../support/sealed_values.py");
    let knows = Command::new("python3")
        .args(["-c", "import cryptography"])
        .output();
    if !knows.is_ok_and(|out| out.status.success()) {
        return common::left_out(
            "python3 has no package cryptography: pip install cryptography, or apt-get install python3-cryptography",
        );
    }
    let files = vectors().into_keys().map(|name| folder().join(name));
    let out = Command::new("python3")
        .arg(script)
        .args(files)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let found: BTreeMap<_, _> = said
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    for (name, vector) in &vectors() {
        assert_eq!(found[&**name], vector["expect"], "{name}");
    }
}

/// A value, what it is sealed with, and what is to be said of it.
struct Maker {
    value: Vec<u8>,
    context: &'static [u8],
    materials: BTreeMap<u32, Vec<u8>>,
    id: [u8; 16],
}

fn maker(text: &[u8], context: &'static [u8]) -> Maker {
    let materials = BTreeMap::from([
        (1, vec![1; 16]),
        (2, (0..32).collect()),
        (70_000, vec![7; 100]),
    ]);
    let mut value = Vec::new();
    sealed::seal(
        &mut keys(2, &materials[&2]),
        2,
        &[5; 16],
        context,
        text,
        &mut value,
    )
    .unwrap();
    Maker {
        value,
        context,
        materials,
        id: ID,
    }
}

fn of_version(version: u32) -> Maker {
    let mut made = maker(b"text", b"");
    let material = made.materials[&version].clone();
    sealed::seal(
        &mut keys(version, &material),
        version,
        &[6; 16],
        b"",
        b"text",
        &mut made.value,
    )
    .unwrap();
    made
}

fn changed(change: impl FnOnce(&mut Maker)) -> Maker {
    let mut made = maker(b"a value of a table", b"customer.ssn");
    change(&mut made);
    made
}

fn flipped(at: usize) -> Maker {
    changed(|m| m.value[at] ^= 1)
}

#[test]
#[ignore = "makes the files anew"]
fn make() {
    std::fs::create_dir_all(folder()).unwrap();
    let with_context = |context| changed(|m| m.context = context);
    let cut = |n| changed(|m| m.value.truncate(n));
    for (name, made) in [
        ("good-text", maker(b"123-45-6789", b"")),
        ("good-empty", maker(b"", b"")),
        ("good-context", changed(|_| ())),
        (
            "good-context-not-ascii",
            maker(b"x", "kunde.größe".as_bytes()),
        ),
        ("good-bytes", maker(&(0..=255).collect::<Vec<u8>>(), b"")),
        ("good-version-1-with-16-bytes", of_version(1)),
        ("good-version-70000-with-100-bytes", of_version(70_000)),
        (
            "good-itself-a-value",
            maker(&maker(b"inner", b"").value, b""),
        ),
        ("magic-flipped", flipped(0)),
        ("layout-2", changed(|m| m.value[1] = 2)),
        ("layout-0", changed(|m| m.value[1] = 0)),
        ("version-0", changed(|m| m.value[2] = 0)),
        ("version-of-another-key", changed(|m| m.value[2] = 1)),
        ("version-unknown", changed(|m| m.value[2] = 3)),
        ("nonce-first-flipped", flipped(6)),
        ("nonce-last-flipped", flipped(29)),
        ("commitment-flipped", flipped(30)),
        ("ciphertext-flipped", flipped(62)),
        (
            "tag-flipped",
            changed(|m| *m.value.last_mut().unwrap() ^= 0x80),
        ),
        ("context-left-out", with_context(b"")),
        ("context-longer", with_context(b"customer.ssn2")),
        ("context-shorter", with_context(b"customer.ss")),
        ("context-with-a-zero", with_context(b"customer.ssn\0")),
        (
            "material-of-another-key",
            changed(|m| m.materials.get_mut(&2).unwrap()[31] ^= 1),
        ),
        (
            "material-longer-by-a-zero",
            changed(|m| m.materials.get_mut(&2).unwrap().push(0)),
        ),
        ("id-of-another-key", changed(|m| m.id[0] ^= 1)),
        (
            "cut-in-the-tag",
            changed(|m| m.value.truncate(m.value.len() - 1)),
        ),
        ("cut-to-77", cut(77)),
        ("cut-to-the-head", cut(6)),
        ("cut-to-2", cut(2)),
        ("cut-to-1", cut(1)),
        ("empty", cut(0)),
        ("longer-by-a-zero", changed(|m| m.value.push(0))),
        ("text", changed(|m| m.value = "Straße".into())),
        (
            "index-secret-as-value",
            changed(|m| {
                let mut keys = ValueKeys::derive(
                    &SecretPool::new(),
                    Purpose::IndexSecret,
                    &ID,
                    2,
                    &m.materials[&2],
                )
                .unwrap();
                sealed::seal(&mut keys, 2, &[5; 16], m.context, b"text", &mut m.value).unwrap();
            }),
        ),
    ] {
        let materials = made
            .materials
            .iter()
            .map(|(n, m)| (n.to_string(), HEXLOWER.encode(m)));
        let mut vector = json!({
            "id": HEXLOWER.encode(&made.id), "materials": materials.collect::<BTreeMap<_, _>>(),
            "context": HEXLOWER.encode(made.context), "value": HEXLOWER.encode(&made.value),
        });
        vector["expect"] = match open(&vector) {
            Ok(text) => HEXLOWER.encode(&text).into(),
            Err(e) => e.kind().name().into(),
        };
        assert_eq!(name.starts_with("good-"), open(&vector).is_ok(), "{name}");
        let text = serde_json::to_string_pretty(&vector).unwrap() + "\n";
        std::fs::write(folder().join(format!("{name}.json")), text).unwrap();
    }
}
