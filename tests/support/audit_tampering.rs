//! Thirty and more ways to tamper with a log, and what a check without secrets says of each.
//!
//! Owns the table that docs/reference/audit-log.md shows. What can't be seen says why.

use data_encoding::BASE64;
use keyring_ward::audit::chain::{CONTEXT, PublicKey, Signer};
use keyring_ward::audit::entry::Entry;
use keyring_ward::audit::event::Event;
use keyring_ward::audit::feed::Feed;
use keyring_ward::audit::file::files;
use keyring_ward::audit::line;
use keyring_ward::audit::note::Synced;
use keyring_ward::audit::outbox::{Opened, Outbox};
use keyring_ward::audit::position::Position;
use keyring_ward::audit::settings::{Reads, Settings};
use keyring_ward::audit::verify::{Report, Verifier};
use keyring_ward::audit::writer::Writer;
use keyring_ward::secret::SecretPool;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

type Files = Vec<Vec<u8>>;

/// A log of three files that was closed, its key, and the last line that its keyring knows of.
fn log(dir: &Path) -> (Files, Signer, Synced) {
    let pool = SecretPool::new();
    let key = Signer::generate(&pool).unwrap();
    let mut settings = Settings::at(dir.join("audit.log"));
    settings.rotate_size = 4_000;
    let outbox = Arc::new(Outbox::default());
    outbox.opened(Opened {
        file_id: [5; 16],
        ..Opened::default()
    });
    let feed = Feed::new(Reads::All, outbox.clone());
    let (opened, _) = outbox.journal();
    let mut writer =
        Writer::open(&settings, Signer::read(&key).unwrap(), &outbox, &opened).unwrap();
    for sequence in 1..=32 {
        outbox.push(Entry {
            change: Some(Position {
                sequence,
                part: 0,
                tag: [1; 8],
            }),
            ..Entry::new(Event::KeyAdded)
                .by("root@localhost from socket #7")
                .of(b"ssn", b"app@%")
        });
        writer.turn(&feed, false).unwrap();
    }
    writer.close(&feed).unwrap();
    let read = files(&settings.file)
        .unwrap()
        .iter()
        .map(|f| std::fs::read(f).unwrap())
        .collect();
    (read, Signer::read(&key).unwrap(), outbox.synced())
}

fn check(files: &[Vec<u8>], key: PublicKey, expected: Option<Synced>) -> Result<Report, String> {
    let mut verifier = Verifier::new(vec![key], expected);
    for (n, file) in files.iter().enumerate() {
        let read = verifier.read(&mut &file[..], n + 1 == files.len(), &mut |_, _| {});
        read.unwrap().map_err(|flaw| flaw.why)?;
    }
    match verifier.finish() {
        (report, true) => Ok(report),
        (_, false) => Err("the keyring knows of a line that is not there".into()),
    }
}

fn rows(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8(file.to_vec()).unwrap();
    text.lines().map(ToString::to_string).collect()
}

fn whole(rows: &[String]) -> Vec<u8> {
    rows.iter()
        .flat_map(|r| format!("{r}\n").into_bytes())
        .collect()
}

/// Makes the hashes right again from a row on, as anybody can.
fn rechain(rows: &mut [String], from: usize) {
    for at in from.max(1)..rows.len() {
        let hash = keyring_ward::text::hex(&line::hash(&rows[at - 1]));
        let place = rows[at].find("\"previous\":\"").unwrap() + 12;
        rows[at].replace_range(place..place + 64, &hash);
    }
}

/// What the check says.
enum Says {
    /// It finds it.
    Finds(&'static str),
    /// Only with what the keyring knows.
    WithKeyring,
    /// It can't be seen in the file; the report says this much.
    Report(fn(&Report) -> bool),
}
use Says::{Finds, Report as Tells, WithKeyring};

type Kind = (&'static str, fn(&mut Files), Says);

fn edit(files: &mut Files, file: usize, change: impl FnOnce(&mut Vec<String>)) {
    let mut all = rows(&files[file]);
    change(&mut all);
    files[file] = whole(&all);
}

fn replace(files: &mut Files, from: &str, to: &str) {
    edit(files, 1, |rows| {
        let row = rows.iter_mut().find(|r| r.contains(from)).unwrap();
        *row = row.replacen(from, to, 1);
    });
}

fn last(files: &mut Files) -> &mut Vec<u8> {
    files.last_mut().unwrap()
}

/// The row of the last checkpoint of a file.
fn checkpoint(rows: &[String]) -> usize {
    rows.iter()
        .rposition(|r| r.contains("\"checkpoint\""))
        .unwrap()
}

const KINDS: &[Kind] = &[
    (
        "a line in the middle removed",
        |f| edit(f, 1, |r| drop(r.remove(3))),
        Finds("is expected"),
    ),
    (
        "the same, and the hashes made right",
        |f| {
            edit(f, 1, |r| {
                r.remove(3);
                rechain(r, 3)
            })
        },
        Finds("is expected"),
    ),
    (
        "the first line of a file removed",
        |f| edit(f, 1, |r| drop(r.remove(0))),
        Finds("first line"),
    ),
    (
        "two lines swapped",
        |f| edit(f, 1, |r| r.swap(3, 4)),
        Finds("is expected"),
    ),
    (
        "a line written twice",
        |f| edit(f, 1, |r| r.insert(4, r[3].clone())),
        Finds("is expected"),
    ),
    (
        "a line of one's own inserted",
        |f| {
            edit(f, 1, |r| {
                let own = r[3].replace("ssn", "own");
                r.insert(3, own);
                rechain(r, 3);
            })
        },
        Finds("is expected"),
    ),
    (
        "a name changed",
        |f| replace(f, "\"ssn\"", "\"xxx\""),
        Finds("was changed"),
    ),
    (
        "the actor changed",
        |f| replace(f, "root@localhost", "eve@localhost"),
        Finds("was changed"),
    ),
    (
        "the time changed",
        |f| replace(f, "\"time\":\"2", "\"time\":\"1"),
        Finds("was changed"),
    ),
    (
        "the result changed",
        |f| replace(f, "\"result\":\"ok\"", "\"result\":\"denied\""),
        Finds("was changed"),
    ),
    (
        "a member added",
        |f| replace(f, "\"result\"", "\"note\":1,\"result\""),
        Finds("was changed"),
    ),
    (
        "a member twice",
        |f| replace(f, "\"result\"", "\"result\":\"ok\",\"result\""),
        Finds("no JSON"),
    ),
    (
        "a name changed and the hashes made right",
        |f| {
            edit(f, 1, |r| {
                r[3] = r[3].replace("ssn", "xxx");
                rechain(r, 4);
            })
        },
        Finds("signature is wrong"),
    ),
    (
        "a checkpoint removed and the hashes made right",
        |f| {
            edit(f, 2, |r| {
                let at = checkpoint(r);
                r.remove(at);
            })
        },
        WithKeyring,
    ),
    (
        "a signature taken off",
        |f| {
            edit(f, 1, |r| {
                let at = checkpoint(r);
                let body = line::parts(&r[at]).unwrap().0.to_string();
                r[at] = format!("{body}}}");
            })
        },
        Finds("no signature"),
    ),
    (
        "a signature of another checkpoint",
        |f| {
            let other = rows(&f[0]);
            let other = line::parts(&other[checkpoint(&other)])
                .unwrap()
                .1
                .to_string();
            edit(f, 1, |r| {
                let at = checkpoint(r);
                let (body, _) = line::parts(&r[at]).unwrap();
                r[at] = line::signed(&format!("{body}}}"), &other);
            });
        },
        Finds("signature is wrong"),
    ),
    (
        "a checkpoint of another key",
        |f| {
            edit(f, 1, |r| {
                let at = checkpoint(r);
                let own = Signer::read(&Signer::generate(&SecretPool::new()).unwrap()).unwrap();
                let id = r[at].find("\"signer\":\"").unwrap() + 10;
                r[at].replace_range(id..id + 16, &own.public().id());
            })
        },
        Finds("signed by the key"),
    ),
    (
        "a file in the middle removed",
        |f| drop(f.remove(1)),
        Finds("is expected"),
    ),
    ("two files swapped", |f| f.swap(0, 1), Finds("is expected")),
    (
        "the oldest file removed: as audit_keep does",
        |f| drop(f.remove(0)),
        Tells(|r| r.first.0 > 1),
    ),
    ("the newest file removed", |f| drop(f.pop()), WithKeyring),
    (
        "the end cut behind a line",
        |f| edit(f, 2, |r| r.truncate(3)),
        WithKeyring,
    ),
    (
        "the end cut within a line",
        |f| {
            let n = last(f).len();
            last(f).truncate(n - 9)
        },
        WithKeyring,
    ),
    (
        "the end cut, and the keyring restored with it",
        |f| edit(f, 2, |r| r.truncate(3)),
        Tells(|r| !r.is_closed && r.unsigned > 0),
    ),
    (
        "the end cut right behind a checkpoint, and the keyring restored",
        |f| f.truncate(2),
        Tells(|r| !r.is_closed),
    ),
    (
        "a line added at the end, with its hash",
        |f| {
            edit(f, 2, |r| {
                let own = rows(&whole(r));
                let tail = own.last().unwrap();
                let number: u64 = tail[8..].split(',').next().unwrap().parse().unwrap();
                r.push(line::write(
                    number + 1,
                    &Entry::new(Event::KeyRead).by("eve@%"),
                    &[],
                    &line::hash(tail),
                ));
            })
        },
        Tells(|r| r.unsigned == 1),
    ),
    (
        "an empty line",
        |f| edit(f, 1, |r| r.insert(3, String::new())),
        Finds("no JSON"),
    ),
    (
        "ends of lines as Windows writes them",
        |f| edit(f, 1, |r| r.iter_mut().for_each(|r| r.push('\r'))),
        Finds("was changed"),
    ),
    (
        "a mark at the beginning",
        |f| drop(f[0].splice(0..0, *b"\xef\xbb\xbf")),
        Finds("no JSON"),
    ),
    (
        "bytes that are no text",
        |f| f[1][40] = 0xff,
        Finds("no text"),
    ),
    (
        "a torn line in the middle",
        |f| edit(f, 1, |r| r[3].truncate(30)),
        Finds("no JSON"),
    ),
    (
        "a torn line at the end of another file than the last",
        |f| {
            f[1].pop();
        },
        Finds("no end"),
    ),
    (
        "two torn lines",
        |f| last(f).extend_from_slice(b"{\"line\":\n{\"li"),
        Finds("no JSON"),
    ),
    (
        "a torn line added",
        |f| last(f).extend_from_slice(b"{\"line\":9"),
        Tells(|r| r.torn == 9),
    ),
    (
        "a line that is too long",
        |f| last(f).extend_from_slice(&[b'x'; 20_000]),
        Finds("no end"),
    ),
    (
        "the log begun again from line 1",
        |f| {
            let own = rows(&f[0]);
            f.push(whole(&own[..3]));
        },
        Tells(|r| r.restarts.len() == 1),
    ),
    (
        "an older log of the same keyring",
        |f| f.truncate(1),
        WithKeyring,
    ),
];

#[test]
fn which_tampering_shows() {
    let dir = tempfile::tempdir().unwrap();
    let (good, signer, known) = log(dir.path());
    assert_eq!(good.len(), 3);
    let key = signer.public();
    let report = check(&good, key, Some(known)).unwrap();
    assert!(report.is_closed && report.unsigned == 0 && report.changes == 32);
    assert!(KINDS.len() >= 30);
    for (name, tamper, says) in KINDS {
        let mut files = good.clone();
        tamper(&mut files);
        assert_ne!(files, good, "{name}");
        let (alone, with) = (check(&files, key, None), check(&files, key, Some(known)));
        match says {
            Finds(why) => {
                let said = alone.expect_err(name);
                assert!(said.contains(why), "{name}: {said}");
            }
            WithKeyring => {
                assert!(alone.is_ok(), "{name}: {alone:?}");
                assert!(with.is_err(), "{name}");
            }
            Tells(test) => {
                let report = alone.unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(test(&report), "{name}: {report:?}");
            }
        }
    }
}

/// One bit anywhere, and an end anywhere.
#[test]
fn no_bit_changes_unseen_and_every_cut_is_missed_by_the_keyring() {
    let dir = tempfile::tempdir().unwrap();
    let (good, signer, known) = log(dir.path());
    let key = signer.public();
    for at in 0..good[1].len() {
        let mut files = good.clone();
        files[1][at] ^= 1 << (at % 8);
        assert!(check(&files, key, None).is_err(), "byte {at}");
    }
    let end = good[2].len();
    for at in 0..end {
        let mut files = good.clone();
        files[2].truncate(at);
        assert!(check(&files, key, Some(known)).is_err(), "cut at {at}");
        let report = check(&files, key, None).unwrap();
        assert!(!report.is_closed || report.unsigned > 0, "cut at {at}");
    }
}

/// The page's words are enough to check a log: a program that was written by them alone agrees.
#[test]
fn another_program_agrees() {
    let knows = Command::new("python3")
        .args(["-c", "import cryptography"])
        .status();
    if !knows.is_ok_and(|status| status.success()) {
        super::common::left_out(
            "python3 has no package cryptography: apt-get install python3-cryptography",
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (good, signer, _) = log(dir.path());
    let pem = dir.path().join("key.pem");
    std::fs::write(&pem, signer.public_pem().unwrap()).unwrap();
    let run = |files: &Files| {
        let paths: Vec<_> = (0..files.len())
            .map(|n| dir.path().join(format!("{n}.jsonl")))
            .collect();
        for (path, file) in paths.iter().zip(files) {
            std::fs::write(path, file).unwrap();
        }
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/audit_verify.py");
        let out = Command::new("python3")
            .arg(program)
            .arg(&pem)
            .args(&paths)
            .output()
            .unwrap();
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned()
                + &String::from_utf8_lossy(&out.stderr),
        )
    };
    let (ok, said) = run(&good);
    assert!(ok && said.contains("32 changes"), "{said}");
    for (name, tamper, says) in KINDS {
        let mut files = good.clone();
        tamper(&mut files);
        let (ok, said) = run(&files);
        assert_eq!(ok, !matches!(says, Finds(_)), "{name}: {said}");
    }
    // The vectors, which older versions have written.
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/audit");
    let key =
        PublicKey::from_pem(&std::fs::read_to_string(vectors.join("public.pem")).unwrap()).unwrap();
    let vector = vec![std::fs::read(vectors.join("audit.log")).unwrap()];
    let report = check(&vector, key, None).unwrap();
    assert!(report.is_closed && report.changes == 3 && report.gaps.len() == 1);
    std::fs::copy(vectors.join("public.pem"), &pem).unwrap();
    assert!(run(&vector).0);
    assert!(!BASE64.encode(CONTEXT).is_empty());
}

/// Makes the vectors anew: cargo test --test audit make_vectors -- --ignored
#[test]
#[ignore = "writes tests/vectors/audit"]
fn make_vectors() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/audit");
    std::fs::create_dir_all(&dir).unwrap();
    let settings = Settings::at(dir.join("audit.log"));
    let _ = std::fs::remove_file(&settings.file);
    let key = Signer::generate(&SecretPool::new()).unwrap();
    std::fs::write(
        dir.join("public.pem"),
        Signer::read(&key).unwrap().public_pem().unwrap(),
    )
    .unwrap();
    for life in 0..2 {
        let outbox = Arc::new(Outbox::default());
        let change = |sequence| Entry {
            change: Some(Position {
                sequence,
                part: 0,
                tag: [sequence as u8; 8],
            }),
            recovered: life == 1 && sequence == 2,
            ..Entry::new(Event::KeyAdded)
                .by("root@localhost from socket #7")
                .of("schlüssel\n".as_bytes(), b"app@%")
        };
        let owed = if life == 0 {
            Vec::new()
        } else {
            vec![change(1), change(2)]
        };
        outbox.opened(Opened {
            file_id: [5; 16],
            end: 2 * life,
            owed,
            ..Opened::default()
        });
        let feed = Feed::new(Reads::All, outbox.clone());
        let (opened, _) = outbox.journal();
        let mut writer =
            Writer::open(&settings, Signer::read(&key).unwrap(), &outbox, &opened).unwrap();
        outbox.push(change(1 + 2 * life));
        feed.tell(
            &Entry::new(Event::KeyRead)
                .by("app@localhost as app@% from 10.0.0.7 #42")
                .of(b"ssn", b"app@%"),
        );
        writer.turn(&feed, false).unwrap();
        if life == 1 {
            writer.close(&feed).unwrap();
        }
    }
}
