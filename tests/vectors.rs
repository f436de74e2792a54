//! Format vectors: files as data, named after what is wrong with them, and what each must give.
//!
//! `tests/vectors/EXPECT.txt` has a line per file: name, secret, outcome (`keys N`, `torn N` or an
//! error's kind) and a part of the message. The files were made once, by
//! `cargo test --test vectors -- --ignored make_vectors`, and from the first release on are never made anew: that old files
//! stay readable is what they are for.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, write_secret};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, KekConfig, KekList, json};
use keyring_ward::format::header::parse_header;
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// The secret that is an identity of age.
const AGE: &str = "age-identity";
/// Its recipient.
const RECIPIENT: &str = "age1wty87pwk89vqtx772rw7zpwmpwkgqk4c0stz0s2e8qt95rdgvq0s0gfsha";

fn pin(hex: &str) -> [u8; 16] {
    let bytes = keyring_ward::text::from_hex(hex, 16).unwrap();
    bytes.try_into().unwrap()
}

/// Three KEKs a, b and c, of the secrets `kek`, `other-kek` and `passphrase`, and how many of them are needed.
const LISTS: [(&str, u8); 2] = [("any-of-three", 1), ("two-of-three", 2)];

fn list(place: &Place, threshold: u8) -> KekList {
    let secrets = [
        ("a", "kek", "key_file"),
        ("b", "other-kek", "key_file"),
        ("c", "passphrase", "passphrase"),
    ];
    let keks = secrets.map(|(name, secret, what)| {
        let path = place.dir.path().join(secret);
        write_secret(&path, &std::fs::read(folder().join(secret)).unwrap());
        let option = format!("{what}_file").replace("key_file_file", "key_file");
        serde_json::json!({ "name": name, "provider": what, option: path })
    });
    let json = serde_json::json!({ "path": "/k", "keks": keks, "threshold": threshold });
    let document = keyring_ward::config::json::parse(json.to_string().as_bytes(), "f").unwrap();
    document.layer.finish().unwrap().keks
}

fn config(place: &Place, secret: &str) -> Config {
    let path = place.dir.path().join("secret");
    let mut config = place.config();
    if let Some((_, threshold)) = LISTS.iter().find(|(name, _)| *name == secret) {
        config.keks = list(place, *threshold);
        return config;
    }
    write_secret(&path, &std::fs::read(folder().join(secret)).unwrap());
    if secret == AGE {
        let text = format!(
            r#"{{ "backend": "age", "path": "/k", "age": {{ "recipients": "{RECIPIENT}", "identity_file": "{}" }} }}"#,
            path.display()
        );
        let layer = json::parse(text.as_bytes(), "f").unwrap().layer;
        config.keks = layer.finish().unwrap().keks;
        // Anybody could have made such a file: nothing else says that it is ours.
        let pinned = std::fs::read_to_string(folder().join("age.fingerprint"));
        config.fingerprint = pinned.iter().map(|hex| pin(hex.trim())).collect();
        return config;
    }
    config.keks = match secret {
        "passphrase" => LocalConfig::Passphrase(SecretRef::File(path)).into(),
        _ => LocalConfig::KeyFile(SecretRef::File(path)).into(),
    };
    config
}

#[test]
fn every_vector_gives_what_is_written_beside_it() {
    let expect = std::fs::read_to_string(folder().join("EXPECT.txt")).unwrap();
    let mut listed = Vec::new();
    for line in expect.lines().filter(|l| !l.starts_with('#')) {
        let mut parts = line.split('\t');
        let mut next = || parts.next().unwrap_or_else(|| panic!("short line: {line}"));
        let (name, secret, outcome, text) = (next(), next(), next(), next());
        listed.push(format!("{name}.ward"));
        let place = Place::new();
        let bytes = std::fs::read(folder().join(format!("{name}.ward"))).unwrap();
        place.write(&bytes);
        let mut environment = place.server();
        environment.look_only = true;
        let got = match Keyring::open(&config(&place, secret), &environment, &SecretPool::new()) {
            Ok(keyring) => {
                let warnings = keyring.take_warnings();
                for key in keyring.list() {
                    assert_eq!(key.length(), 32, "{name}");
                }
                let what = if warnings.is_empty() { "keys" } else { "torn" };
                (
                    format!("{what} {}", keyring.list().len()),
                    warnings.join(" "),
                )
            }
            Err(e) => (format!("{:?}", e.kind()), e.to_string()),
        };
        assert_eq!(got.0, outcome, "{name}: {}", got.1);
        assert!(got.1.contains(text), "{name}: {}", got.1);
        assert_eq!(place.read(), bytes, "{name}: the file was changed");
    }
    let mut present: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".ward"))
        .collect();
    present.sort();
    listed.sort();
    assert_eq!(
        present, listed,
        "every file is listed, every listed one is there"
    );
}

/// What a newer version has written and this one does not know is there after every kind of rewrite.
#[test]
fn what_is_kept_is_there_after_every_rewrite() {
    let open = |place: &Place| {
        let config = config(place, "kek");
        Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap()
    };
    let look = |place: &Place, keyring: &Keyring| {
        let features = parse_header(&place.read()).unwrap().header.features;
        let key = keyring.fetch(b"k", b"").unwrap().unwrap();
        let document = keyring.document("kept");
        let document = document.map(|d| (d.content().to_vec(), d.extensions().clone()));
        (
            features,
            key.extensions().clone(),
            key.attributes().clone(),
            document,
        )
    };
    let (mut bits, mut tags) = (0, 0);
    for name in ["unknown-compatible-bit-kept", "unknown-tag-127-kept"] {
        let place = Place::new();
        place.write(&std::fs::read(folder().join(format!("{name}.ward"))).unwrap());
        let keyring = open(&place);
        let before = look(&place, &keyring);
        bits |= before.0.compatible;
        tags += before.1.get(127).map_or(0, <[u8]>::len) + before.2.get(127).map_or(0, <[u8]>::len);
        tags += before
            .3
            .iter()
            .filter_map(|(_, list)| list.get(127))
            .count();
        keyring.by(&Caller::Unknown).compact().unwrap();
        assert_eq!(look(&place, &keyring), before, "{name}: compact");
        let keks = config(&place, "kek").keks;
        keyring.by(&Caller::Unknown).rekey(&keks, true).unwrap();
        assert_eq!(look(&place, &keyring), before, "{name}: rekey");
        keyring.by(&Caller::Unknown).rekey(&keks, false).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"other", b"", b"AES", 32)
            .unwrap();
        keyring.by(&Caller::Unknown).remove(b"other", b"").unwrap();
        let old = keyring;
        let keyring = old.reload(&config(&place, "kek"), &place.server()).unwrap();
        assert_eq!(look(&place, &keyring), before, "{name}: reseal and RELOAD");
        drop((old, keyring));
        // A KEK of old: its wrap stays, and one by the new KEK comes to it.
        let mut both = config(&place, "kek");
        let new = place.dir.path().join("new-secret");
        write_secret(&new, &[0x4d; 32]);
        let new = KekConfig::from(LocalConfig::KeyFile(SecretRef::File(new)));
        let old = both.keks.all_keys().cloned();
        both.keks = std::iter::once(new).chain(old).collect::<Vec<_>>().into();
        let keyring = Keyring::open(&both, &place.server(), &SecretPool::new()).unwrap();
        let header = parse_header(&place.read()).unwrap().header;
        assert_eq!(header.stanzas.len(), 2, "{name}: adopted");
        assert_eq!(look(&place, &keyring), before, "{name}: adopt");
    }
    assert_eq!(
        (bits, tags),
        (1 << 63 | 6, 4 + 4 + 1),
        "there was something to keep"
    );
}

mod make {
    use super::*;
    use keyring_ward::deadline::Deadline;
    use keyring_ward::envelope::{FileKeys, Position};
    use keyring_ward::format::frame::{self, FRAME_OVERHEAD, GRAIN, padded};
    use keyring_ward::format::header::{Header, finish_header, parse_header};
    use keyring_ward::kek;
    use keyring_ward::key::extensions::Extensions;
    use keyring_ward::key::id::KeyId;
    use keyring_ward::keyring::logical::Wanted;
    use std::time::Duration;

    /// Where fields of a header stand: the required features, the file id, the generation, the number of earlier
    /// generations, and, in a file that has none, the number of stanzas.
    const FEATURES: usize = 20;
    const FILE_ID: usize = 36;
    const GENERATION: usize = 52;
    const LINEAGE: usize = 116;
    const STANZAS: usize = 118;

    struct Maker {
        lines: Vec<String>,
    }

    impl Maker {
        fn add(&mut self, name: &str, bytes: &[u8], secret: &str, outcome: &str, text: &str) {
            std::fs::write(folder().join(format!("{name}.ward")), bytes).unwrap();
            self.lines
                .push(format!("{name}\t{secret}\t{outcome}\t{text}"));
        }
    }

    fn make(secret: &str, f: impl Fn(&Keyring)) -> Vec<u8> {
        let place = Place::new();
        let keyring =
            Keyring::open(&config(&place, secret), &place.server(), &SecretPool::new()).unwrap();
        f(&keyring);
        place.read()
    }

    /// Replaces header bytes and mends the header's checksums, as an attacker can.
    fn forge_header(good: &[u8], change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let length = parse_header(good).unwrap().length;
        let mut header = good[..length].to_vec();
        change(&mut header);
        let crc = crc32fast::hash(&header[..16]);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        let end = header.len() - 4;
        let crc = crc32fast::hash(&header[..end]);
        header[end..].copy_from_slice(&crc.to_le_bytes());
        [&header, &good[length..]].concat()
    }

    /// Replaces frame header bytes at `at` and mends the frame's checksum.
    fn forge_frame(good: &[u8], at: usize, change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut bytes = good.to_vec();
        change(&mut bytes[at..]);
        let crc = crc32fast::hash(&bytes[at..at + 28]);
        bytes[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn flip(good: &[u8], at: usize) -> Vec<u8> {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x04;
        bytes
    }

    /// Generations before the present one: of a file that was never rewritten, once, and more often than a header names.
    fn lineages(m: &mut Maker, never: &[u8], once: &[u8]) {
        let (t, bounds) = ("Tampered", "exceed their limits");
        let often = make("kek", |k| {
            k.by(&Caller::Unknown)
                .generate(b"a", b"", b"AES", 32)
                .unwrap();
            (0..70).for_each(|_| k.by(&Caller::Unknown).compact().unwrap());
        });
        m.add("good-rewritten-often", &often, "kek", "keys 1", "");
        let forged = |good: &[u8], at: usize, bytes: &[u8]| {
            forge_header(good, |h| h[at..at + bytes.len()].copy_from_slice(bytes))
        };
        for (name, bytes, text) in [
            (
                "lineage-forged",
                forged(once, LINEAGE + 2, &[0; 4]),
                "header is not authentic",
            ),
            (
                "generation-forged",
                forged(&often, GENERATION, &[70]),
                "header is not authentic",
            ),
            (
                "lineage-of-a-new-file",
                forged(never, LINEAGE, &[1, 0]),
                bounds,
            ),
            ("lineage-missing", forged(once, LINEAGE, &[0, 0]), bounds),
            ("lineage-of-65", forged(&often, LINEAGE, &[65, 0]), bounds),
            (
                "lineage-of-65535",
                forged(&often, LINEAGE, &[255; 2]),
                bounds,
            ),
            (
                "lineage-beyond-the-file",
                forged(once, LINEAGE + 18, &[255; 8]),
                bounds,
            ),
            (
                "lineage-that-descends",
                forged(&often, LINEAGE + 18, &[255; 8]),
                bounds,
            ),
        ] {
            m.add(name, &bytes, "kek", t, text);
        }
    }

    /// Several KEKs: a holder in each stanza's parameters, and shares.
    fn several(m: &mut Maker) {
        const ONE_KEY: fn(&Keyring) = |k| {
            k.by(&Caller::Unknown)
                .generate(b"a", b"", b"AES", 32)
                .unwrap()
        };
        let (t, w, bounds) = ("Tampered", "WrongKek", "exceed their limits");
        let (any, two) = (make("any-of-three", ONE_KEY), make("two-of-three", ONE_KEY));
        let single = make("kek", ONE_KEY);
        // Group, index, threshold of the first stanza; its parameters: the name's length, the name, the split id, how many.
        let numbers = STANZAS + 2 + 4;
        let name = numbers + 3 + 2 + "key_file".len() + 2 + "hkdf-sha256+aes-256-gcm".len() + 2 + 2;
        let (split, shares) = (name + 2, name + 2 + 16);
        let forged = |good: &[u8], at: usize, bytes: &[u8]| {
            forge_header(good, |h| h[at..at + bytes.len()].copy_from_slice(bytes))
        };
        let every_split = forge_header(&two, |h| {
            let id = h[split..split + 16].to_vec();
            let places: Vec<usize> = (0..h.len() - 16)
                .filter(|at| h[*at..at + 16] == id)
                .collect();
            assert_eq!(places.len(), 3);
            places.iter().for_each(|at| h[*at] ^= 1);
        });
        for (file, bytes, secret, outcome, text) in [
            ("good-any", any.clone(), "any-of-three", "keys 1", ""),
            ("good-any-with-one", any.clone(), "kek", "keys 1", ""),
            (
                "good-any-with-the-last",
                any.clone(),
                "passphrase",
                "keys 1",
                "",
            ),
            ("good-two", two.clone(), "two-of-three", "keys 1", ""),
            ("of-one-kek", single.clone(), "any-of-three", "keys 1", ""),
            ("two-with-one", two.clone(), "kek", w, "1 of the 2 shares"),
            (
                "any-where-two-are-demanded",
                any.clone(),
                "two-of-three",
                t,
                "claim that 1 is enough",
            ),
            (
                "of-one-kek-where-two-are-demanded",
                single.clone(),
                "two-of-three",
                t,
                "claim that 1 is enough",
            ),
            (
                "split-id-forged",
                forged(&two, split, &[two[split] ^ 1]),
                "two-of-three",
                t,
                "shares of two splits",
            ),
            (
                "every-split-id-forged",
                every_split,
                "two-of-three",
                w,
                "0 of the 2 shares",
            ),
            (
                "shares-forged",
                forged(&two, shares, &[4]),
                "two-of-three",
                t,
                "shares of two splits",
            ),
            (
                "threshold-forged",
                forged(&two, numbers + 2, &[3]),
                "two-of-three",
                t,
                "shares of two splits",
            ),
            (
                "number-forged",
                forged(&two, numbers + 1, &[2]),
                "kek",
                w,
                "0 of the 2 shares",
            ),
            (
                "number-beyond",
                forged(&two, numbers + 1, &[4]),
                "two-of-three",
                t,
                bounds,
            ),
            (
                "number-zero",
                forged(&two, numbers + 1, &[0]),
                "two-of-three",
                t,
                bounds,
            ),
            (
                "threshold-zero",
                forged(&two, numbers + 2, &[0]),
                "two-of-three",
                t,
                bounds,
            ),
            (
                "group-unknown",
                forged(&two, numbers, &[2]),
                "two-of-three",
                t,
                bounds,
            ),
            (
                "name-forged",
                forged(&any, name + 1, b"z"),
                "kek",
                w,
                "is not the one that wrapped",
            ),
            (
                "name-of-no-length",
                forged(&any, name, &[0]),
                "kek",
                t,
                bounds,
            ),
            ("name-too-long", forged(&any, name, &[33]), "kek", t, bounds),
            (
                "name-with-a-capital",
                forged(&any, name + 1, b"Z"),
                "kek",
                t,
                bounds,
            ),
            (
                "without-the-feature",
                forged(&any, FEATURES, &[0]),
                "kek",
                t,
                bounds,
            ),
            (
                "the-feature-alone",
                forged(&single, FEATURES, &[1]),
                "kek",
                t,
                bounds,
            ),
        ] {
            m.add(&format!("several-{file}"), &bytes, secret, outcome, text);
        }
    }

    /// Names of 255 characters, and of 256: authentic records that break the format's rules.
    fn names(m: &mut Maker) {
        let long = make("kek", |k| {
            for character in ["n", "é", "钥", "🔑"] {
                let name = character.repeat(255);
                k.by(&Caller::Unknown)
                    .generate(name.as_bytes(), name.as_bytes(), b"AES", 32)
                    .unwrap();
            }
            k.by(&Caller::Unknown)
                .generate(&[0xff; 255], &[0xfe; 255], b"AES", 32)
                .unwrap();
        });
        m.add("good-names-of-255-characters", &long, "kek", "keys 5", "");
        let empty = make("kek", |k| k.by(&Caller::Unknown).create_empty().unwrap());
        for (what, name, owner) in [
            ("name-of-256-characters", "钥".repeat(256), String::new()),
            ("owner-of-256-characters", "k".into(), "钥".repeat(256)),
            ("name-of-256-letters", "n".repeat(256), String::new()),
            ("name-of-1021-bytes", "n".repeat(1021), String::new()),
        ] {
            let mut text = vec![1];
            text.extend_from_slice(&[0; 16]);
            for field in [name.as_bytes(), owner.as_bytes(), b"AES", &[7; 32]] {
                text.extend_from_slice(&(field.len() as u16).to_le_bytes());
                text.extend_from_slice(field);
            }
            text.extend_from_slice(&[0, 0]);
            pad(&mut text);
            m.add(
                what,
                &with_record(&empty, text),
                "kek",
                "Tampered",
                "breaks the format's rules",
            );
        }
        // A removal of "k", with more zeroes than its frame needs, with something else behind it, and in a frame of a
        // length that no frame has.
        let removal = [2, 1, 0, b'k', 0, 0, 0, 0];
        let (mut long, mut other) = (removal.to_vec(), removal.to_vec());
        pad(&mut long);
        long.extend_from_slice(&[0; GRAIN]);
        pad(&mut other);
        *other.last_mut().unwrap() = 1;
        for (what, text, why) in [
            ("padding-too-long", long, "breaks the format's rules"),
            ("padding-not-zero", other, "breaks the format's rules"),
            (
                "frame-of-no-length",
                removal.to_vec(),
                "start of a record is damaged",
            ),
        ] {
            m.add(what, &with_record(&empty, text), "kek", "Tampered", why);
        }
    }

    /// Zeroes up to the next length that a frame may have.
    fn pad(text: &mut Vec<u8>) {
        let frame = padded(FRAME_OVERHEAD + text.len());
        text.resize(frame - FRAME_OVERHEAD, 0);
    }

    /// A file without records, and one authentic record behind it.
    fn with_record(empty: &[u8], text: Vec<u8>) -> Vec<u8> {
        with_records(empty, vec![text])
    }

    /// A file without records, and authentic records behind it.
    fn with_records(empty: &[u8], texts: Vec<Vec<u8>>) -> Vec<u8> {
        let parsed = parse_header(empty).unwrap();
        let header = &parsed.header;
        let keys = keys_of(empty);
        let (mut file, mut previous) = (empty.to_vec(), parsed.mac);
        for (sequence, mut text) in (header.base_sequence + 1..).zip(texts) {
            let at = Position {
                file_id: header.file_id,
                generation: header.generation,
                sequence,
                previous,
            };
            let (nonce, tag) = keys.cipher().seal(&at, &mut text).unwrap();
            frame::write_frame(&mut file, sequence, &nonce, &text, &tag);
            previous = [0; 32];
            previous[..16].copy_from_slice(&tag);
        }
        file
    }

    /// The keys of a file under `kek`.
    fn keys_of(file: &[u8]) -> FileKeys {
        let pool = SecretPool::new();
        let place = Place::new();
        let keks: Vec<_> = config(&place, "kek")
            .keks
            .all_keys()
            .map(|kek| kek.kek())
            .collect();
        let header = parse_header(file).unwrap().header;
        let deadline = Deadline::after(Duration::from_secs(60));
        let opened =
            kek::open_dek(&pool, &keks, &header.file_id, &header.stanzas, deadline).unwrap();
        FileKeys::derive(&pool, &opened.dek, &header.salt).unwrap()
    }

    /// A file without records whose header says something else, and is authentic.
    fn with_header(empty: &[u8], change: impl Fn(&mut Header)) -> Vec<u8> {
        let mut header = parse_header(empty).unwrap().header;
        change(&mut header);
        let authenticated = header.authenticated_bytes().unwrap();
        let mac = keys_of(empty).header_mac(&authenticated);
        finish_header(authenticated, &mac)
    }

    /// A field behind its 16-bit length.
    fn field(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u16).to_le_bytes(), bytes].concat()
    }

    /// A list of extensions: tags and bytes behind the length of all.
    fn list(entries: &[(u8, &[u8])]) -> Vec<u8> {
        let entry = |(tag, bytes): &(u8, &[u8])| [vec![*tag], field(bytes)].concat();
        field(&entries.iter().map(entry).collect::<Vec<_>>().concat())
    }

    /// A record of these parts and the zeroes that it needs.
    fn record(parts: &[&[u8]]) -> Vec<u8> {
        let mut text = parts.concat();
        pad(&mut text);
        text
    }

    /// A new key "k" with these extensions.
    fn put(extensions: &[u8]) -> Vec<u8> {
        let fields = [&b"k"[..], b"", b"AES", &[7; 32]].map(field).concat();
        record(&[&[1], &[0; 16], &fields, extensions])
    }

    /// All attributes of the key "k".
    fn attributes(list: &[u8]) -> Vec<u8> {
        record(&[&[3], &field(b"k"), &field(b""), list])
    }

    /// A document.
    fn document(name: &[u8], length: usize, extensions: &[u8]) -> Vec<u8> {
        let content = vec![b'c'; length];
        let length = (length as u32).to_le_bytes();
        record(&[&[4], &field(name), &length, &content, extensions])
    }

    /// What a newer version may write: kept where it is harmless to, else told by an error of its own.
    fn room_to_grow(m: &mut Maker) {
        let (newer, t) = ("UnsupportedVersion", "Tampered");
        let empty = make("kek", |k| k.by(&Caller::Unknown).create_empty().unwrap());
        let none = list(&[]);
        m.add(
            "unknown-required-bit",
            &forge_header(&empty, |h| h[FEATURES + 7] = 0x80),
            "kek",
            newer,
            "does not know (0x8000000000000000)",
        );
        m.add(
            "compatible-bit-forged",
            &forge_header(&empty, |h| h[FEATURES + 8] = 1),
            "kek",
            t,
            "header is not authentic",
        );
        let compatible = with_header(&empty, |h| h.features.compatible = 1 << 63 | 6);
        m.add(
            "unknown-compatible-bit-kept",
            &with_record(&compatible, put(&none)),
            "kek",
            "keys 1",
            "",
        );
        let kept = list(&[(1, b"root@localhost"), (127, b"kept")]);
        let all = vec![put(&kept), attributes(&kept), document(b"kept", 3, &kept)];
        let file = with_records(&empty, all);
        m.add("unknown-tag-127-kept", &file, "kek", "keys 1", "");
        let restricts = list(&[(1, b"root@localhost"), (135, b"")]);
        for (name, texts, text) in [
            (
                "unknown-operation",
                vec![vec![5; 13]],
                "operation that this program does not know (5;",
            ),
            (
                "unknown-operation-0",
                vec![vec![0; 13]],
                "operation that this program does not know (0;",
            ),
            ("unknown-tag-135", vec![put(&restricts)], "(tag 135;"),
            (
                "unknown-tag-255",
                vec![put(&list(&[(255, b"")]))],
                "(tag 255;",
            ),
            (
                "unknown-tag-135-of-attributes",
                vec![put(&none), attributes(&restricts)],
                "(tag 135;",
            ),
            (
                "unknown-tag-135-of-a-document",
                vec![document(b"d", 1, &restricts)],
                "(tag 135;",
            ),
            (
                "unknown-tag-135-of-a-removal",
                vec![
                    put(&none),
                    record(&[&[2], &field(b"k"), &field(b""), &restricts]),
                ],
                "(tag 135;",
            ),
        ] {
            m.add(name, &with_records(&empty, texts), "kek", newer, text);
        }
    }

    /// Extensions, attributes and documents that break the rules.
    fn extensions(m: &mut Maker) {
        let (t, rules) = ("Tampered", "breaks the format's rules");
        let empty = make("kek", |k| k.by(&Caller::Unknown).create_empty().unwrap());
        let none = list(&[]);
        let good = make("kek", |k| {
            k.by(&Caller::Unknown)
                .generate(b"k", b"", b"AES", 32)
                .unwrap();
            let noted = |text: &[u8]| Extensions::new([(9, text.to_vec())]).unwrap();
            k.by(&Caller::Unknown)
                .set_attributes(b"k", b"", noted(b"one"))
                .unwrap();
            k.by(&Caller::Unknown)
                .put_document("one", &[1; 65_536])
                .unwrap();
            k.by(&Caller::Unknown).put_document("two", b"2").unwrap();
            k.by(&Caller::Unknown).compact().unwrap();
            k.by(&Caller::Unknown)
                .set_attributes(b"k", b"", noted(b"two"))
                .unwrap();
            k.by(&Caller::Unknown).put_document("two", b"").unwrap();
        });
        m.add("good-attributes-and-documents", &good, "kek", "keys 1", "");
        let long = [3; 16_382];
        let cut = [&[4, 0, 9, 2, 0][..], b"x"].concat();
        for (name, text) in [
            ("extension-cut", put(&cut)),
            ("extension-without-length", put(&field(&[9]))),
            ("extensions-beyond-the-record", put(&[255, 63, 9, 0, 0])),
            (
                "extensions-not-in-order",
                put(&list(&[(9, b"a"), (8, b"b")])),
            ),
            ("extension-twice", put(&list(&[(9, b"a"), (9, b"a")]))),
            ("extensions-too-long", put(&list(&[(9, &long)]))),
            ("extensions-missing", put(&[])),
            ("actor-empty", put(&list(&[(1, b"")]))),
            ("actor-of-256-bytes", put(&list(&[(1, &[b'a'; 256])]))),
            ("actor-not-utf-8", put(&list(&[(1, b"\xff")]))),
            ("document-too-long", document(b"d", 65_537, &none)),
            ("document-name-of-65-bytes", document(&[b'd'; 65], 1, &none)),
            ("document-name-empty", document(b"", 1, &none)),
            ("document-name-not-visible", document(b"a b", 1, &none)),
        ] {
            m.add(name, &with_record(&empty, text), "kek", t, rules);
        }
        let removal = record(&[&[2], &field(b"k"), &field(b""), &none]);
        for (name, texts) in [
            ("attributes-of-a-missing-key", vec![attributes(&none)]),
            (
                "attributes-of-a-removed-key",
                vec![put(&none), removal, attributes(&none)],
            ),
        ] {
            let file = with_records(&empty, texts);
            m.add(name, &file, "kek", t, "has attributes but was never stored");
        }
    }

    /// Versions of logical keys, and retired keys.
    fn lifecycle(m: &mut Maker) {
        let (t, rules) = ("Tampered", "breaks the format's rules");
        let none = list(&[]);
        let empty = make("kek", |k| k.by(&Caller::Unknown).create_empty().unwrap());
        let innodb = b"INNODBKey-01234567-89ab-cdef-0123-456789abcdef-1";
        let good = make("kek", |k| {
            let id = KeyId::new(b"ssn", b"app@%").unwrap();
            let wanted = Wanted {
                follow: true,
                ..Wanted::default()
            };
            k.by(&Caller::Unknown)
                .create_logical(&id, b"AES", 32, &wanted)
                .unwrap();
            k.by(&Caller::Unknown).rotate(&id, true).unwrap();
            k.by(&Caller::Unknown)
                .generate(innodb, b"", b"AES", 32)
                .unwrap();
            k.by(&Caller::Unknown).remove(innodb, b"").unwrap();
            k.by(&Caller::Unknown).compact().unwrap();
            k.by(&Caller::Unknown).rotate(&id, false).unwrap();
            k.by(&Caller::Unknown).activate(&id, 3).unwrap();
            k.by(&Caller::Unknown)
                .generate(innodb, b"", b"AES", 32)
                .unwrap();
            k.by(&Caller::Unknown).remove(innodb, b"").unwrap();
        });
        m.add("good-versions-and-retired-keys", &good, "kek", "keys 3", "");
        let removal = |tag| {
            let list = list(&[(tag, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..])]);
            record(&[&[2], &field(b"k"), &field(b""), &list])
        };
        let (retained, purged) = (129, 131);
        let kept = put(&list(&[(130, &[1; 12])]));
        let held = |n: u8| attributes(&list(&[(130, &[n; 12]), (134, b"case 7")]));
        let file = with_records(&empty, vec![kept.clone(), held(1)]);
        m.add("good-held-retired-key", &file, "kek", "keys 0", "");
        for (name, texts, text) in [
            (
                "version-without-content",
                vec![put(&list(&[(128, &[1])]))],
                rules,
            ),
            ("version-empty", vec![put(&list(&[(128, &[])]))], rules),
            (
                "retired-without-number",
                vec![put(&list(&[(130, &[0; 12])]))],
                rules,
            ),
            (
                "retired-of-11-bytes",
                vec![put(&list(&[(130, &[1; 11])]))],
                rules,
            ),
            (
                "retained-by-a-put",
                vec![put(&list(&[(129, &[1; 12])]))],
                rules,
            ),
            (
                "purged-by-attributes",
                vec![put(&none), attributes(&list(&[(131, &[1; 12])]))],
                rules,
            ),
            (
                "retired-document",
                vec![document(b"d", 1, &list(&[(130, &[1; 12])]))],
                rules,
            ),
            (
                "retired-twice",
                vec![kept.clone(), kept.clone()],
                "is retired twice by one number",
            ),
            (
                "retained-but-never-stored",
                vec![removal(retained)],
                "is removed but was never stored",
            ),
            (
                "purged-but-never-retired",
                vec![put(&none), removal(purged)],
                "is purged but was never retired",
            ),
            (
                "held-but-never-retired",
                vec![put(&none), held(1)],
                "is held but was never retired",
            ),
            (
                "held-by-another-number",
                vec![kept.clone(), held(2)],
                "is held but was never retired",
            ),
            (
                "hold-of-a-key-that-is-there",
                vec![put(&none), attributes(&list(&[(134, b"case 7")]))],
                rules,
            ),
            (
                "hold-by-a-put",
                vec![put(&list(&[(134, b"case 7")]))],
                rules,
            ),
            (
                "hold-without-a-reason",
                vec![put(&list(&[(130, &[1; 12]), (134, b"")]))],
                rules,
            ),
            (
                "purged-twice",
                vec![
                    put(&none),
                    removal(retained),
                    removal(purged),
                    removal(purged),
                ],
                "is purged but was never retired",
            ),
        ] {
            m.add(name, &with_records(&empty, texts), "kek", t, text);
        }
        let newer = with_record(&empty, put(&list(&[(128, &[2, 7, 7])])));
        m.add(
            "version-of-a-newer-layout",
            &newer,
            "kek",
            "UnsupportedVersion",
            "(tag 128;",
        );
    }

    /// A keyring under a recipient of age; its fingerprint is written beside it.
    fn under_age() -> Vec<u8> {
        let place = Place::new();
        let mut environment = place.server();
        environment.making = true;
        let keyring =
            Keyring::open(&config(&place, AGE), &environment, &SecretPool::new()).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
        let fingerprint = keyring.status().store.fingerprint.unwrap();
        let text = keyring_ward::text::hex(&fingerprint) + "\n";
        std::fs::write(folder().join("age.fingerprint"), text).unwrap();
        place.read()
    }

    #[test]
    #[ignore = "makes this one file anew"]
    fn make_age_vector() {
        std::fs::write(folder().join("good-age.ward"), under_age()).unwrap();
    }

    #[test]
    #[ignore = "adds what is about the life of keys and room to grow, and leaves all others as they are"]
    fn make_vectors_of_key_lifecycle() {
        let mut m = Maker { lines: Vec::new() };
        room_to_grow(&mut m);
        lifecycle(&mut m);
        let expect = std::fs::read_to_string(folder().join("EXPECT.txt")).unwrap();
        let name = |line: &str| line.split('\t').next().unwrap_or_default().to_string();
        let new: Vec<String> = m.lines.iter().map(|line| name(line)).collect();
        let gone = "unknown-tag-134";
        let kept = expect
            .lines()
            .filter(|line| !new.contains(&name(line)) && !line.starts_with(gone));
        let mut lines: Vec<String> = kept.map(String::from).collect();
        lines.append(&mut m.lines);
        lines.push(String::new());
        std::fs::write(folder().join("EXPECT.txt"), lines.join("\n")).unwrap();
    }

    #[test]
    #[ignore = "adds what is named several-, and leaves all others as they are"]
    fn make_vectors_of_several_keks() {
        let expect = std::fs::read_to_string(folder().join("EXPECT.txt")).unwrap();
        let kept = expect.lines().filter(|line| !line.starts_with("several-"));
        let mut m = Maker {
            lines: kept.map(String::from).collect(),
        };
        several(&mut m);
        m.lines.push(String::new());
        std::fs::write(folder().join("EXPECT.txt"), m.lines.join("\n")).unwrap();
    }

    #[test]
    #[ignore = "makes the files anew; they are meant to stay as they are"]
    fn make_vectors() {
        let _ = std::fs::create_dir(folder());
        std::fs::write(folder().join("kek"), [0x4b; 32]).unwrap();
        std::fs::write(folder().join("other-kek"), [0x4c; 32]).unwrap();
        std::fs::write(
            folder().join("passphrase"),
            "a passphrase for test vectors\n",
        )
        .unwrap();
        let mut m = Maker {
            lines: vec!["# name\tsecret\toutcome\tpart of the message".into()],
        };

        m.add(
            "good-empty",
            &make("kek", |k| k.by(&Caller::Unknown).create_empty().unwrap()),
            "kek",
            "keys 0",
            "",
        );
        let three = make("kek", |k| {
            for name in ["first", "second", "third"] {
                k.by(&Caller::Unknown)
                    .generate(name.as_bytes(), b"user@host", b"AES", 32)
                    .unwrap();
            }
        });
        m.add("good-three-keys", &three, "kek", "keys 3", "");
        let removed = make("kek", |k| {
            k.by(&Caller::Unknown)
                .generate(b"stays", b"", b"AES", 32)
                .unwrap();
            k.by(&Caller::Unknown)
                .generate(b"goes", b"", b"SECRET", 32)
                .unwrap();
            k.by(&Caller::Unknown).remove(b"goes", b"").unwrap();
        });
        m.add("good-removed", &removed, "kek", "keys 1", "");
        let rewritten = make("kek", |k| {
            k.by(&Caller::Unknown)
                .generate(b"a", b"", b"AES", 32)
                .unwrap();
            k.by(&Caller::Unknown)
                .generate(b"b", b"", b"AES", 32)
                .unwrap();
            k.by(&Caller::Unknown).remove(b"a", b"").unwrap();
            k.by(&Caller::Unknown).compact().unwrap();
            k.by(&Caller::Unknown)
                .generate(b"c", b"", b"RSA", 32)
                .unwrap();
        });
        m.add("good-rewritten", &rewritten, "kek", "keys 2", "");
        let argon = make("passphrase", |k| {
            k.by(&Caller::Unknown)
                .generate(b"k", b"", b"AES", 32)
                .unwrap()
        });
        m.add("good-age", &under_age(), AGE, "keys 1", "");
        m.add("good-passphrase", &argon, "passphrase", "keys 1", "");
        m.add(
            "wrong-kek",
            &three,
            "other-kek",
            "WrongKek",
            "is not the one that wrapped",
        );
        m.add(
            "other-provider",
            &argon,
            "kek",
            "WrongKek",
            "is wrapped by 'passphrase'",
        );

        let length = parse_header(&three).unwrap().length;
        let frame = (three.len() - length) / 3;
        // The second name is one byte longer than the others.
        let (first, second, third) = (length, length + frame, three.len() - frame);
        let cut = |n| three[..n].to_vec();
        m.add(
            "torn-one-byte-missing",
            &cut(three.len() - 1),
            "kek",
            "torn 2",
            "incomplete",
        );
        m.add(
            "torn-in-frame-header",
            &cut(third + 5),
            "kek",
            "torn 2",
            "incomplete",
        );
        m.add(
            "torn-in-ciphertext",
            &cut(third + 60),
            "kek",
            "torn 2",
            "incomplete",
        );
        m.add("cut-between-records", &cut(third), "kek", "keys 2", "");
        let mut zero = three.clone();
        zero[third..].fill(0);
        m.add(
            "torn-sector-of-zeroes",
            &zero,
            "kek",
            "torn 2",
            "incomplete",
        );

        let t = "Tampered";
        m.add("empty", b"", "kek", t, "the file is empty");
        m.add(
            "other-program",
            b"\x89PNG\r\n\x1a\n and so on and on",
            "kek",
            t,
            "not a file of Keyring Ward",
        );
        m.add("prologue-cut", &cut(19), "kek", t, "too short");
        m.add(
            "header-cut",
            &cut(length - 1),
            "kek",
            t,
            "ends within its header",
        );
        m.add(
            "magic-flipped",
            &flip(&three, 3),
            "kek",
            t,
            "first bytes are different",
        );
        m.add(
            "version-flipped",
            &flip(&three, 8),
            "kek",
            t,
            "start of the header is damaged",
        );
        m.add(
            "version-newer",
            &forge_header(&three, |h| h[8] = 2),
            "kek",
            "UnsupportedVersion",
            "newer Keyring Ward",
        );
        let huge =
            |n: u32| forge_header(&three, move |h| h[12..16].copy_from_slice(&n.to_le_bytes()));
        m.add(
            "header-length-4gib",
            &huge(u32::MAX),
            "kek",
            t,
            "the header claims 4294967295 bytes",
        );
        m.add(
            "header-length-short",
            &huge(60),
            "kek",
            t,
            "the header claims 60 bytes",
        );
        m.add(
            "header-flipped",
            &flip(&three, FILE_ID + 20),
            "kek",
            t,
            "the header is damaged (checksum)",
        );
        m.add(
            "header-mac-forged",
            &forge_header(&three, |h| {
                let n = h.len() - 10;
                h[n] ^= 1;
            }),
            "kek",
            t,
            "header is not authentic",
        );
        m.add(
            "generation-without-lineage",
            &forge_header(&three, |h| h[GENERATION] ^= 2),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "generation-zero",
            &forge_header(&three, |h| h[GENERATION..GENERATION + 8].fill(0)),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "file-id-forged",
            &forge_header(&three, |h| h[FILE_ID] ^= 1),
            "kek",
            "WrongKek",
            "is not the one",
        );
        m.add(
            "stanzas-seventeen",
            &forge_header(&three, |h| h[STANZAS] = 17),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "stanzas-none",
            &forge_header(&three, |h| h[STANZAS] = 0),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "stanza-length-huge",
            &forge_header(&three, |h| h[STANZAS + 5] = 0xff),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "stanza-blob-forged",
            &forge_header(&three, |h| {
                let n = h.len() - 45;
                h[n] ^= 1;
            }),
            "kek",
            "WrongKek",
            "is not the one",
        );
        // The parameters stand behind group, index, threshold, provider, mechanism, reference.
        let params =
            STANZAS + 2 + 4 + 3 + 2 + "passphrase".len() + 2 + "argon2id+aes-256-gcm".len() + 2 + 2;
        m.add(
            "argon2-memory-4tib",
            &forge_header(&argon, |h| h[params..params + 4].fill(0xff)),
            "passphrase",
            t,
            "out of bounds",
        );
        m.add(
            "argon2-passes-huge",
            &forge_header(&argon, |h| h[params + 6] = 1),
            "passphrase",
            t,
            "out of bounds",
        );
        m.add(
            "argon2-lanes-zero",
            &forge_header(&argon, |h| h[params + 8] = 0),
            "passphrase",
            t,
            "out of bounds",
        );

        m.add(
            "frame-mark-flipped",
            &flip(&three, second),
            "kek",
            t,
            "start of a record is damaged",
        );
        m.add(
            "frame-length-4gib",
            &forge_frame(&three, second, |f| f[4..8].fill(0xff)),
            "kek",
            t,
            "start of a record is damaged",
        );
        m.add(
            "frame-length-zero",
            &forge_frame(&three, second, |f| f[4..8].fill(0)),
            "kek",
            t,
            "start of a record is damaged",
        );
        m.add(
            "frame-crc-flipped",
            &flip(&three, second + 30),
            "kek",
            t,
            "start of a record is damaged",
        );
        m.add(
            "frame-sequence-forged",
            &forge_frame(&three, second, |f| f[8] = 9),
            "kek",
            t,
            "record 2 is expected, record 9",
        );
        m.add(
            "frame-nonce-forged",
            &forge_frame(&three, second, |f| f[20] ^= 1),
            "kek",
            t,
            "not authentic",
        );
        m.add(
            "frame-ciphertext-flipped",
            &flip(&three, second + 40),
            "kek",
            t,
            "not authentic",
        );
        m.add(
            "frame-tag-flipped",
            &flip(&three, third - 10),
            "kek",
            t,
            "not authentic",
        );
        m.add(
            "frame-end-mark-flipped",
            &flip(&three, third - 2),
            "kek",
            t,
            "end of a record is damaged",
        );
        m.add(
            "last-frame-flipped",
            &flip(&three, third + 40),
            "kek",
            t,
            "not authentic",
        );
        let parts = |order: &[std::ops::Range<usize>]| {
            let mut bytes = three[..first].to_vec();
            order
                .iter()
                .for_each(|r| bytes.extend_from_slice(&three[r.clone()]));
            bytes
        };
        let (f1, f2, f3) = (first..second, second..third, third..three.len());
        m.add(
            "frames-swapped",
            &parts(&[f2.clone(), f1.clone(), f3.clone()]),
            "kek",
            t,
            "record 1 is expected",
        );
        m.add(
            "frame-dropped",
            &parts(&[f1.clone(), f3.clone()]),
            "kek",
            t,
            "record 2 is expected",
        );
        m.add(
            "frame-replayed",
            &parts(&[f1.clone(), f1.clone(), f3.clone()]),
            "kek",
            t,
            "record 2 is expected",
        );
        let renumbered = {
            let bytes = parts(&[f1.clone(), f1.clone()]);
            forge_frame(&bytes, second, |f| f[8] = 2)
        };
        m.add(
            "frame-replayed-renumbered",
            &renumbered,
            "kek",
            t,
            "not authentic",
        );
        m.add(
            "garbage-at-the-end",
            &[&three[..], &[0x5a; 100]].concat(),
            "kek",
            t,
            "start of a record is damaged",
        );
        let mut middle = three.clone();
        middle[first..second].fill(0);
        m.add(
            "sector-of-zeroes-in-the-middle",
            &middle,
            "kek",
            t,
            "start of a record is damaged",
        );
        // Two records that were never written, or only their lengths are left: more than a crash leaves.
        let mut two = three.clone();
        two[second..].fill(0);
        m.add(
            "two-records-of-zeroes",
            &two,
            "kek",
            t,
            "start of a record is damaged",
        );
        // What a file is put in place with is synced before: none of it can be torn or missing.
        let start = parse_header(&rewritten).unwrap().length;
        let written = start + (rewritten.len() - start) / 2;
        for (name, cut, text) in [
            (
                "cut-below-what-was-put-in-place",
                start,
                "put in place with",
            ),
            (
                "torn-in-what-was-put-in-place",
                written - 1,
                "no crash has left it so",
            ),
        ] {
            m.add(name, &rewritten[..cut], "kek", t, text);
        }
        m.add(
            "stanza-of-a-share",
            &forge_header(&three, |h| h[STANZAS + 8] = 2),
            "kek",
            t,
            "exceed their limits",
        );
        several(&mut m);
        lineages(&mut m, &three, &rewritten);
        // A record of the generation before, put behind the header of the one after.
        let place = Place::new();
        let keyring =
            Keyring::open(&config(&place, "kek"), &place.server(), &SecretPool::new()).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"old", b"", b"AES", 32)
            .unwrap();
        let old = place.read();
        keyring.by(&Caller::Unknown).remove(b"old", b"").unwrap();
        keyring.by(&Caller::Unknown).compact().unwrap();
        let new = place.read();
        let old_frame = &old[parse_header(&old).unwrap().length..];
        let base = parse_header(&new).unwrap().header.base_sequence;
        let spliced = [&new[..], old_frame].concat();
        let spliced = forge_frame(&spliced, new.len(), |f| {
            f[8..16].copy_from_slice(&(base + 1).to_le_bytes())
        });
        m.add(
            "frame-of-an-older-generation",
            &spliced,
            "kek",
            t,
            "not authentic",
        );

        names(&mut m);
        room_to_grow(&mut m);
        extensions(&mut m);
        lifecycle(&mut m);

        // Made and opened by tests/contract_kmip.rs, where its KEK is.
        m.lines
            .push("good-kmip\tkek\tWrongKek\tis wrapped by 'kmip'".into());
        m.lines.push(String::new());
        std::fs::write(folder().join("EXPECT.txt"), m.lines.join("\n")).unwrap();
    }
}
