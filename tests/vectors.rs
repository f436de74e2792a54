//! Format vectors: files as data, named after what is wrong with them, and what each must give.
//!
//! `tests/vectors/EXPECT.txt` has a line per file: name, secret, outcome (`keys N`, `torn N` or an
//! error's kind) and a part of the message. The files were made once, by
//! `cargo test --test vectors -- --ignored make_vectors`, and from the first release on are never made anew: that old files
//! stay readable is what they are for.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, write_secret};
use keyring_ward::config::{Config, KekConfig};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn config(place: &Place, secret: &str) -> Config {
    let path = place.dir.path().join("secret");
    write_secret(&path, &std::fs::read(folder().join(secret)).unwrap());
    let mut config = place.config();
    config.keks = vec![match secret {
        "passphrase" => KekConfig::Passphrase(SecretRef::File(path)),
        _ => KekConfig::KeyFile(SecretRef::File(path)),
    }];
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

mod make {
    use super::*;
    use keyring_ward::deadline::Deadline;
    use keyring_ward::envelope::{FileKeys, Position};
    use keyring_ward::format::layout;
    use keyring_ward::kek;
    use std::time::Duration;

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
        let length = layout::parse_header(good).unwrap().length;
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
            k.generate(b"a", b"", b"AES", 32).unwrap();
            (0..70).for_each(|_| k.compact().unwrap());
        });
        m.add("good-rewritten-often", &often, "kek", "keys 1", "");
        let forged = |good: &[u8], at: usize, bytes: &[u8]| {
            forge_header(good, |h| h[at..at + bytes.len()].copy_from_slice(bytes))
        };
        for (name, bytes, text) in [
            (
                "lineage-forged",
                forged(once, 102, &[0; 4]),
                "header is not authentic",
            ),
            (
                "generation-forged",
                forged(&often, 36, &[70]),
                "header is not authentic",
            ),
            ("lineage-of-a-new-file", forged(never, 100, &[1, 0]), bounds),
            ("lineage-missing", forged(once, 100, &[0, 0]), bounds),
            ("lineage-of-65", forged(&often, 100, &[65, 0]), bounds),
            ("lineage-of-65535", forged(&often, 100, &[255; 2]), bounds),
            (
                "lineage-beyond-the-file",
                forged(once, 118, &[255; 8]),
                bounds,
            ),
            (
                "lineage-that-descends",
                forged(&often, 118, &[255; 8]),
                bounds,
            ),
        ] {
            m.add(name, &bytes, "kek", t, text);
        }
    }

    /// Names of 255 characters, and of 256: authentic records that break the format's rules.
    fn names(m: &mut Maker) {
        let long = make("kek", |k| {
            for character in ["n", "é", "钥", "🔑"] {
                let name = character.repeat(255);
                k.generate(name.as_bytes(), name.as_bytes(), b"AES", 32)
                    .unwrap();
            }
            k.generate(&[0xff; 255], &[0xfe; 255], b"AES", 32).unwrap();
        });
        m.add("good-names-of-255-characters", &long, "kek", "keys 5", "");
        let empty = make("kek", |k| k.create_empty().unwrap());
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
        let removal = [2, 1, 0, b'k', 0, 0];
        let (mut long, mut other) = (removal.to_vec(), removal.to_vec());
        pad(&mut long);
        long.extend_from_slice(&[0; layout::GRAIN]);
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
        let frame = layout::padded(layout::FRAME_OVERHEAD + text.len());
        text.resize(frame - layout::FRAME_OVERHEAD, 0);
    }

    /// A file without records, and one authentic record behind it.
    fn with_record(empty: &[u8], mut text: Vec<u8>) -> Vec<u8> {
        let pool = SecretPool::new();
        let place = Place::new();
        let keks: Vec<_> = config(&place, "kek")
            .keks
            .iter()
            .map(kek::from_config)
            .collect();
        let parsed = layout::parse_header(empty).unwrap();
        let header = &parsed.header;
        let deadline = Deadline::after(Duration::from_secs(60));
        let opened =
            kek::open_dek(&pool, &keks, &header.file_id, &header.stanzas, deadline).unwrap();
        let keys = FileKeys::derive(&pool, &opened.dek, &header.salt).unwrap();
        let at = Position {
            file_id: header.file_id,
            generation: header.generation,
            sequence: header.base_sequence + 1,
            previous: parsed.mac,
        };
        let (nonce, tag) = keys.cipher().seal(&at, &mut text).unwrap();
        let mut file = empty.to_vec();
        layout::write_frame(&mut file, at.sequence, &nonce, &text, &tag);
        file
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
            &make("kek", |k| k.create_empty().unwrap()),
            "kek",
            "keys 0",
            "",
        );
        let three = make("kek", |k| {
            for name in ["first", "second", "third"] {
                k.generate(name.as_bytes(), b"user@host", b"AES", 32)
                    .unwrap();
            }
        });
        m.add("good-three-keys", &three, "kek", "keys 3", "");
        let removed = make("kek", |k| {
            k.generate(b"stays", b"", b"AES", 32).unwrap();
            k.generate(b"goes", b"", b"SECRET", 32).unwrap();
            k.remove(b"goes", b"").unwrap();
        });
        m.add("good-removed", &removed, "kek", "keys 1", "");
        let rewritten = make("kek", |k| {
            k.generate(b"a", b"", b"AES", 32).unwrap();
            k.generate(b"b", b"", b"AES", 32).unwrap();
            k.remove(b"a", b"").unwrap();
            k.compact().unwrap();
            k.generate(b"c", b"", b"RSA", 32).unwrap();
        });
        m.add("good-rewritten", &rewritten, "kek", "keys 2", "");
        let argon = make("passphrase", |k| k.generate(b"k", b"", b"AES", 32).unwrap());
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

        let length = layout::parse_header(&three).unwrap().length;
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
            &flip(&three, 40),
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
            &forge_header(&three, |h| h[36] ^= 2),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "generation-zero",
            &forge_header(&three, |h| h[36..44].fill(0)),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "file-id-forged",
            &forge_header(&three, |h| h[20] ^= 1),
            "kek",
            "WrongKek",
            "is not the one",
        );
        m.add(
            "stanzas-seventeen",
            &forge_header(&three, |h| h[102] = 17),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "stanzas-none",
            &forge_header(&three, |h| h[102] = 0),
            "kek",
            t,
            "exceed their limits",
        );
        m.add(
            "stanza-length-huge",
            &forge_header(&three, |h| h[107] = 0xff),
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
            104 + 4 + 3 + 2 + "passphrase".len() + 2 + "argon2id+aes-256-gcm".len() + 2 + 2;
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
        let start = layout::parse_header(&rewritten).unwrap().length;
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
            &forge_header(&three, |h| h[110] = 2),
            "kek",
            t,
            "exceed their limits",
        );
        lineages(&mut m, &three, &rewritten);
        // A record of the generation before, put behind the header of the one after.
        let place = Place::new();
        let keyring =
            Keyring::open(&config(&place, "kek"), &place.server(), &SecretPool::new()).unwrap();
        keyring.generate(b"old", b"", b"AES", 32).unwrap();
        let old = place.read();
        keyring.remove(b"old", b"").unwrap();
        keyring.compact().unwrap();
        let new = place.read();
        let old_frame = &old[layout::parse_header(&old).unwrap().length..];
        let base = layout::parse_header(&new).unwrap().header.base_sequence;
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

        m.lines.push(String::new());
        std::fs::write(folder().join("EXPECT.txt"), m.lines.join("\n")).unwrap();
    }
}
