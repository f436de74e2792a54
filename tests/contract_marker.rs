//! The marker and the keyring file against each other: what is noticed after crashes, power cuts, restored copies and
//! copies that two servers wrote to. The table in docs/proof/durability.md is this file in words.
#![allow(clippy::unwrap_used)]

mod common;

use common::faults::while_failing;
use common::{Place, content};
use keyring_ward::admin::marker::opinion;
use keyring_ward::caller::Caller;
use keyring_ward::error::Kind;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use keyring_ward::store::MarkerSays;
use keyring_ward::store::marker::{SLOT, SLOT_DISTANCE};
use std::path::Path;

/// A keyring file and its marker, as a backup of each would hold them.
struct Disks {
    file: Vec<u8>,
    marker: Vec<u8>,
}

impl Disks {
    fn of(place: &Place) -> Disks {
        Disks {
            file: place.read(),
            marker: std::fs::read(place.marker_file()).unwrap(),
        }
    }

    /// Puts both back; `rebooted`: the marker dates from before a power cut.
    fn put(&self, place: &Place, rebooted: bool) {
        place.write(&self.file);
        std::fs::write(place.marker_file(), &self.marker).unwrap();
        if rebooted && let Some(slot) = place.marked() {
            place.write_marker_of_an_earlier_boot(&slot);
        }
    }
}

fn grow(keyring: &Keyring, names: std::ops::Range<u32>) {
    for n in names {
        let name = format!("key{n}");
        keyring
            .by(&Caller::Unknown)
            .generate(name.as_bytes(), b"u@h", b"AES", 32)
            .unwrap();
    }
}

fn with_keys(n: u32) -> Place {
    let place = Place::new();
    grow(&place.open().unwrap(), 0..n);
    place
}

/// What a start, a look and a RELOAD of a server that holds nothing yet say; they must agree.
fn verdict(place: &Place) -> String {
    let looked = opinion(&place.config(), &place.data_dir());
    let before = place.read();
    let started = place.open();
    let said = match &started {
        Ok(keyring) => format!("opens {}", keyring.len()),
        Err(e) => {
            assert_eq!(place.read(), before, "an error changes nothing");
            e.to_string()
        }
    };
    match (&started, looked) {
        (Ok(_), Ok(MarkerSays::Fits(_) | MarkerSays::NoMarker | MarkerSays::Damaged(_))) => {}
        (Err(e), Ok(MarkerSays::Misfit(looked))) => assert_eq!(e.to_string(), looked.to_string()),
        (Err(_), Err(_)) => {}
        (_, looked) => panic!("a start says '{said}', a look {looked:?}"),
    }
    said
}

const OLDER: &str = "is an older copy";
const BRANCH: &str = "is another branch of the same file";
const FOREIGN: &str = "is not the keyring that belongs to this data directory";

#[test]
fn yesterdays_keyring_is_noticed_after_a_stop_and_after_a_kill_whatever_came_between() {
    type Change = fn(&Keyring);
    let changes: [(&str, Change, &str); 5] = [
        ("a key", |k| grow(k, 10..11), OLDER),
        (
            "a removal",
            |k| k.by(&Caller::Unknown).remove(b"key0", b"u@h").unwrap(),
            OLDER,
        ),
        (
            "a compaction",
            |k| k.by(&Caller::Unknown).compact().unwrap(),
            OLDER,
        ),
        (
            "a key and a compaction",
            |k| {
                grow(k, 10..11);
                k.by(&Caller::Unknown).compact().unwrap();
            },
            OLDER,
        ),
        (
            "two compactions and a key",
            |k| {
                k.by(&Caller::Unknown).compact().unwrap();
                k.by(&Caller::Unknown).compact().unwrap();
                grow(k, 10..11);
            },
            OLDER,
        ),
    ];
    for (what, change, expected) in changes {
        let place = with_keys(3);
        let yesterday = place.read();
        let keyring = place.open().unwrap();
        change(&keyring);
        // Nothing is written when a server stops: a kill -9 is the same.
        let today = place.read();
        place.write(&yesterday);
        let e = keyring
            .reload(&place.config(), &place.server())
            .map(drop)
            .unwrap_err();
        assert!(e.to_string().contains(expected), "RELOAD, {what}: {e}");
        drop(keyring);
        for rebooted in [false, true] {
            if rebooted {
                place.write_marker_of_an_earlier_boot(&place.marked().unwrap());
            }
            let said = verdict(&place);
            assert!(said.contains(expected), "{what}: {said}");
        }
        place.write(&today);
        assert!(verdict(&place).starts_with("opens"), "{what}");
    }
}

/// Data directory and keyring on two disks, either of them put back to an earlier state.
#[test]
fn either_disk_rolled_back() {
    let place = with_keys(3);
    let early = Disks::of(&place);
    grow(&place.open().unwrap(), 3..6);
    let late = Disks::of(&place);
    let row = |file: &Disks, marker: &Disks, rebooted: bool| {
        Disks {
            file: file.file.clone(),
            marker: marker.marker.clone(),
        }
        .put(&place, rebooted);
        verdict(&place)
    };
    for rebooted in [false, true] {
        assert_eq!(row(&late, &late, rebooted), "opens 6");
        assert_eq!(
            row(&late, &early, rebooted),
            "opens 6",
            "the marker rolled back"
        );
        assert!(row(&early, &late, rebooted).contains(OLDER), "the keyring");
        assert_eq!(
            row(&early, &early, rebooted),
            "opens 3",
            "both: can't be known"
        );
    }
    // The same over a rewrite.
    late.put(&place, false);
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .remove(b"key0", b"u@h")
        .unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
    drop(keyring);
    let rewritten = Disks::of(&place);
    assert_eq!(row(&rewritten, &late, true), "opens 5");
    assert_eq!(row(&rewritten, &early, true), "opens 5");
    assert!(row(&late, &rewritten, true).contains(OLDER));
    // Another server's keyring, or none.
    place.write(&with_keys(9).read());
    assert!(verdict(&place).contains(FOREIGN));
    std::fs::remove_file(place.keyring_file()).unwrap();
    let e = place.open().map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    assert!(
        e.to_string()
            .contains("says that this server had a keyring"),
        "{e}"
    );
}

/// Rewrites use up numbers, one for each key that they carry. An older copy that was rewritten has numbers beyond those
/// that it lacks, and is an older copy all the same.
#[test]
fn yesterdays_keyring_is_noticed_however_often_it_was_rewritten_since() {
    let place = with_keys(10);
    let yesterday = place.read();
    grow(&place.open().unwrap(), 10..15);
    let (today, marker) = (place.read(), std::fs::read(place.marker_file()).unwrap());
    for rewrites in 0..7 {
        place.write(&yesterday);
        std::fs::write(place.marker_file(), &marker).unwrap();
        for n in 0..rewrites {
            // By the tool, which no one has told of the data directory.
            rewrite(&place, n % 2 == 0);
        }
        let said = verdict(&place);
        assert!(said.contains(OLDER), "{rewrites} rewrites: {said}");
        let sees = match rewrites {
            0 => "ends with record 10 of generation 1",
            _ => "when generation 1 had its records up to 10",
        };
        assert!(said.contains(sees), "{said}");
        // A server that has the keys in memory: the same.
        let rewritten = place.read();
        place.write(&today);
        let server = place.open().unwrap();
        place.write(&rewritten);
        let e = reload(&server, &place).map(drop).unwrap_err();
        assert!(e.to_string().contains(OLDER), "RELOAD, {rewrites}: {e}");
        assert_eq!(server.len(), 15, "memory has them");
    }
    // The newest file may be rewritten, and is the newest still.
    for rewrites in 0..7 {
        place.write(&today);
        std::fs::write(place.marker_file(), &marker).unwrap();
        let server = place.open().unwrap();
        let elsewhere = Place::new();
        std::fs::copy(place.key_file(), elsewhere.key_file()).unwrap();
        elsewhere.write(&today);
        (0..rewrites).for_each(|n| rewrite(&elsewhere, n % 2 == 0));
        place.write(&elsewhere.read());
        assert_eq!(reload(&server, &place).unwrap().len(), 15, "{rewrites}");
        drop(server);
        std::fs::write(place.marker_file(), &marker).unwrap();
        assert_eq!(verdict(&place), "opens 15", "{rewrites} rewrites");
    }
}

fn reload(server: &Keyring, place: &Place) -> keyring_ward::error::Result<Keyring> {
    server.reload(&place.config(), &place.server())
}

/// A rewrite that the tool does: with the same DEK, or with a new one.
fn rewrite(place: &Place, same_dek: bool) {
    let mut tool = place.server();
    tool.data_dir = None;
    let keyring = Keyring::open(&place.config(), &tool, &SecretPool::new()).unwrap();
    match same_dek {
        true => keyring.by(&Caller::Unknown).compact().unwrap(),
        false => keyring
            .by(&Caller::Unknown)
            .rekey(&place.config().keks, false)
            .unwrap(),
    }
}

/// A header names 64 generations. What the marker knows of one before them can't be told, and is not taken for good.
#[test]
fn a_marker_that_is_too_old_to_tell() {
    let place = with_keys(3);
    let marker = std::fs::read(place.marker_file()).unwrap();
    (0..64).for_each(|_| rewrite(&place, true));
    let whole = place.read();
    assert_eq!(verdict(&place), "opens 3");
    place.write(&whole);
    std::fs::write(place.marker_file(), &marker).unwrap();
    rewrite(&place, true);
    let said = verdict(&place);
    for part in [
        "was rewritten 65 times since record 3 of generation 1",
        "nothing tells",
        "reset-marker",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    keyring_ward::admin::marker::reset(&place.data_dir()).unwrap();
    assert_eq!(verdict(&place), "opens 3");
    // A server's own rewrites, and starts in between, keep up with it.
    let mut keyring = place.open().unwrap();
    for n in 0..140 {
        keyring.by(&Caller::Unknown).compact().unwrap();
        if n % 50 == 0 {
            drop(keyring);
            (0..40).for_each(|_| rewrite(&place, true));
            keyring = place.open().unwrap();
        }
    }
    drop(keyring);
    assert_eq!(verdict(&place), "opens 3");
}

/// Random histories of a server; then each earlier state of its file, as it is or rewritten by the tool, is put back.
#[test]
fn every_earlier_file_is_noticed() {
    let mut x = 0x1234_5678_9abc_def1_u64;
    let mut random = |n: u64| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) % n
    };
    let mut tried = 0;
    for round in 0..40 {
        let place = Place::new();
        let mut keyring = place.open().unwrap();
        let (mut files, mut names): (Vec<Vec<u8>>, Vec<String>) = Default::default();
        for i in 0..random(12) + 2 {
            match random(7) {
                0..=3 => {
                    names.push(format!("k{i}"));
                    keyring
                        .by(&Caller::Unknown)
                        .generate(format!("k{i}").as_bytes(), b"o@h", b"AES", 32)
                        .unwrap();
                }
                4 => {
                    if let Some(name) = names.pop() {
                        keyring
                            .by(&Caller::Unknown)
                            .remove(name.as_bytes(), b"o@h")
                            .unwrap();
                    }
                }
                5 => keyring.by(&Caller::Unknown).compact().unwrap(),
                _ => keyring = reload(&keyring, &place).unwrap(),
            }
            if place.keyring_file().exists() && files.last() != Some(&place.read()) {
                files.push(place.read());
            }
        }
        drop(keyring);
        let Some(last) = files.pop() else { continue };
        let marker = std::fs::read(place.marker_file()).unwrap();
        for (i, file) in files.iter().enumerate() {
            place.write(file);
            (0..random(4)).for_each(|n| rewrite(&place, n % 2 == 0));
            std::fs::write(place.marker_file(), &marker).unwrap();
            tried += 1;
            let said = verdict(&place);
            assert!(
                !said.starts_with("opens"),
                "round {round}, state {i}: {said}"
            );
        }
        place.write(&last);
        std::fs::write(place.marker_file(), &marker).unwrap();
        let said = verdict(&place);
        assert_eq!(said, format!("opens {}", names.len()), "round {round}");
    }
    assert!(tried > 100, "{tried}");
}

/// Two servers were started from copies of one keyring, each wrote, and their files are exchanged.
#[test]
fn another_branch_is_noticed_at_start_at_reload_and_by_a_look() {
    let (ours, theirs) = (with_keys(3), Place::new());
    std::fs::copy(ours.key_file(), theirs.key_file()).unwrap();
    theirs.write(&ours.read());
    let (a, b) = (ours.open().unwrap(), theirs.open().unwrap());
    grow(&a, 3..5);
    grow(&b, 3..9);
    let (file_a, file_b) = (ours.read(), theirs.read());
    ours.write(&file_b);
    theirs.write(&file_a);
    let e = a
        .reload(&ours.config(), &ours.server())
        .map(drop)
        .unwrap_err();
    assert!(e.to_string().contains(BRANCH), "{e}");
    // Theirs has fewer records than b remembers, so it could as well be an older copy of b's.
    let e = b
        .reload(&theirs.config(), &theirs.server())
        .map(drop)
        .unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered, "{e}");
    drop((a, b));
    let said = verdict(&ours);
    assert!(
        said.contains(BRANCH) && said.contains("Two servers"),
        "{said}"
    );
    let said = verdict(&theirs);
    assert!(said.contains(OLDER) || said.contains(BRANCH), "{said}");
    // Theirs was compacted behind the same number as ours.
    let theirs = Place::new();
    std::fs::copy(ours.key_file(), theirs.key_file()).unwrap();
    ours.write(&file_a);
    theirs.write(&file_b);
    let short = theirs.open().unwrap();
    short.by(&Caller::Unknown).compact().unwrap();
    drop(short);
    ours.write(&theirs.read());
    // It began behind record 9, ours ended with 5: nothing tells it from a rewrite of ours by the tool. A limit, as long
    // as they part in the generation that the marker knows.
    assert!(verdict(&ours).starts_with("opens"));
    for ours_too in [false, true] {
        let (ours, theirs) = (with_keys(3), Place::new());
        std::fs::copy(ours.key_file(), theirs.key_file()).unwrap();
        theirs.write(&ours.read());
        let a = ours.open().unwrap();
        a.by(&Caller::Unknown).compact().unwrap();
        if ours_too {
            grow(&a, 3..4);
        }
        drop(a);
        let b = theirs.open().unwrap();
        b.by(&Caller::Unknown).compact().unwrap();
        for times in 0..3 {
            grow(&b, 10 + times..11 + times);
            ours.write(&theirs.read());
            let said = verdict(&ours);
            assert!(said.contains(BRANCH), "{times} more rewrites: {said}");
            b.by(&Caller::Unknown).compact().unwrap();
        }
    }
    let theirs = Place::new();
    std::fs::copy(ours.key_file(), theirs.key_file()).unwrap();
    let ours = with_keys(3);
    std::fs::copy(ours.key_file(), theirs.key_file()).unwrap();
    theirs.write(&ours.read());
    grow(&ours.open().unwrap(), 3..4);
    let b = theirs.open().unwrap();
    grow(&b, 3..4);
    b.by(&Caller::Unknown).compact().unwrap();
    drop(b);
    ours.write(&theirs.read());
    let said = verdict(&ours);
    assert!(
        said.contains(BRANCH),
        "rewritten behind the same number: {said}"
    );
}

/// Every state that a crash or a power cut leaves is opened with every acknowledged key.
#[test]
fn no_crash_makes_a_good_keyring_unwelcome() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let mut states: Vec<(Vec<u8>, Option<Vec<u8>>, usize)> = Vec::new();
    let mut markers: Vec<Option<Vec<u8>>> = vec![None];
    let mut note = |keyring: &Keyring| {
        // A power cut leaves any earlier marker on the disk; what a kill leaves is the last one.
        for marker in &markers {
            states.push((place.read(), marker.clone(), keyring.len()));
        }
        markers.push(std::fs::read(place.marker_file()).ok());
        states.push((place.read(), markers.last().unwrap().clone(), keyring.len()));
    };
    grow(&keyring, 0..1);
    note(&keyring);
    grow(&keyring, 1..3);
    note(&keyring);
    keyring.by(&Caller::Unknown).compact().unwrap();
    note(&keyring);
    keyring
        .by(&Caller::Unknown)
        .remove(b"key1", b"u@h")
        .unwrap();
    note(&keyring);
    keyring.by(&Caller::Unknown).compact().unwrap();
    keyring.by(&Caller::Unknown).compact().unwrap();
    note(&keyring);
    let reloaded = keyring.reload(&place.config(), &place.server()).unwrap();
    drop(keyring);
    grow(&reloaded, 5..8);
    note(&reloaded);
    drop(reloaded);
    for (n, (file, marker, keys)) in states.iter().enumerate() {
        // Torn in the writeback: each slot, both.
        for torn in 0..4 {
            place.write(file);
            match marker.clone() {
                None => drop(std::fs::remove_file(place.marker_file())),
                Some(mut bytes) => {
                    for slot in 0..2 {
                        let at = slot * SLOT_DISTANCE as usize;
                        if torn & (1 << slot) != 0 {
                            bytes[at + SLOT / 2..at + SLOT].fill(0);
                        }
                    }
                    std::fs::write(place.marker_file(), bytes).unwrap();
                }
            }
            let keyring = place
                .open()
                .unwrap_or_else(|e| panic!("state {n}, torn {torn}: {e}"));
            assert_eq!(keyring.len(), *keys);
            let warnings = keyring.take_warnings().join(" ");
            let damaged = torn == 3 && marker.is_some();
            assert_eq!(warnings.contains("is damaged"), damaged, "{warnings}");
            drop(keyring);
            // Healed: the marker names the end of the file.
            assert!(place.marked().is_some());
            assert!(place.open().unwrap().take_warnings().is_empty());
        }
    }
}

#[test]
fn a_marker_that_can_not_be_written_fails_no_write_and_heals() {
    let place = with_keys(1);
    let keyring = place.open().unwrap();
    let away = place.dir.path().join("away");
    // The data directory is gone (a full or read-only one is the same to the marker).
    std::fs::rename(place.data_dir(), &away).unwrap();
    grow(&keyring, 1..9);
    let warnings = keyring.take_warnings();
    assert_eq!(warnings.len(), 1, "said once: {warnings:?}");
    assert!(warnings[0].contains("keyring_ward.marker"), "{warnings:?}");
    let failures = keyring.status().store.marker_failures;
    assert!(failures > 0, "and counted");
    std::fs::rename(&away, place.data_dir()).unwrap();
    std::fs::remove_file(place.marker_file()).unwrap();
    grow(&keyring, 9..200);
    assert!(place.marked().is_some(), "healed by the next writes");
    assert_eq!(place.marked().unwrap().at.sequence, 200);
    assert!(keyring.take_warnings().is_empty());
    assert_eq!(keyring.len(), 200);
}

/// It is well again: each record is marked from then on, whatever failed before.
#[test]
fn no_mark_is_left_out_once_the_marker_is_well() {
    let place = with_keys(1);
    let away = place.dir.path().join("away");
    for heals_by in ["itself", "a rewrite", "being made"] {
        let keyring = place.open().unwrap();
        let from = keyring.status().store.sequence as u32;
        std::fs::rename(place.data_dir(), &away).unwrap();
        grow(&keyring, 1000 * from..1000 * from + 300);
        std::fs::rename(&away, place.data_dir()).unwrap();
        match heals_by {
            "a rewrite" => keyring.by(&Caller::Unknown).compact().unwrap(),
            "being made" => {
                std::fs::remove_file(place.marker_file()).unwrap();
                grow(&keyring, 1000 * from + 300..1000 * from + 900);
            }
            _ => {}
        }
        for n in 1000 * from + 900..1000 * from + 905 {
            grow(&keyring, n..n + 1);
            let (last, marked) = (keyring.status().store.sequence, place.marked().unwrap());
            assert_eq!(marked.at.sequence, last, "{heals_by}");
        }
        drop(keyring);
    }
}

/// A copy of the data directory by hard links (cp -al) has the marker in it: it counts, and what has two names is not
/// written to.
#[test]
fn a_marker_with_two_names() {
    let place = with_keys(2);
    let copy = place.dir.path().join("snapshot");
    std::fs::hard_link(place.marker_file(), &copy).unwrap();
    let copied = std::fs::read(&copy).unwrap();
    let yesterday = place.read();
    let keyring = place.open().unwrap();
    grow(&keyring, 2..3);
    assert_eq!(place.marked().unwrap().at.sequence, 3, "it is a new file");
    assert_eq!(
        std::fs::read(&copy).unwrap(),
        copied,
        "the copy is as it was"
    );
    // Made while the server runs.
    let copy = place.dir.path().join("later");
    std::fs::hard_link(place.marker_file(), &copy).unwrap();
    let copied = std::fs::read(&copy).unwrap();
    grow(&keyring, 3..5);
    assert_eq!(std::fs::read(&copy).unwrap(), copied);
    assert_eq!(place.marked().unwrap().at.sequence, 5);
    drop(keyring);
    // It is believed as any other.
    std::fs::hard_link(place.marker_file(), place.dir.path().join("third")).unwrap();
    let today = place.read();
    place.write(&yesterday);
    assert!(verdict(&place).contains(OLDER));
    place.write(&today);
    assert_eq!(verdict(&place), "opens 5");
}

/// A server that only reads keeps the marker as well.
#[test]
fn the_marker_of_a_running_server_is_not_reset_whatever_the_server_may_do() {
    let place = with_keys(2);
    let before = std::fs::read(place.marker_file()).unwrap();
    for read_only in [true, false] {
        let mut config = place.config();
        config.read_only = read_only;
        let server = Keyring::open(&config, &place.server(), &SecretPool::new()).unwrap();
        let server = server.reload(&config, &place.server()).unwrap();
        let e = keyring_ward::admin::marker::reset(&place.data_dir()).unwrap_err();
        assert_eq!(e.kind(), Kind::Locked, "read_only {read_only}");
        drop(server);
        assert_eq!(std::fs::read(place.marker_file()).unwrap(), before);
    }
    keyring_ward::admin::marker::reset(&place.data_dir()).unwrap();
}

/// The marker is removed under a running server: the next write makes it anew, and yesterday's keyring is noticed.
#[test]
fn a_marker_removed_under_a_running_server_heals() {
    let place = with_keys(2);
    let yesterday = place.read();
    let keyring = place.open().unwrap();
    let e = keyring_ward::admin::marker::reset(&place.data_dir()).unwrap_err();
    assert_eq!(e.kind(), Kind::Locked);
    std::fs::remove_file(place.marker_file()).unwrap();
    grow(&keyring, 2..3);
    assert_eq!(place.marked().unwrap().at.sequence, 3);
    drop(keyring);
    place.write(&yesterday);
    assert!(verdict(&place).contains(OLDER));
    // Meant: reset, and it is this server's.
    keyring_ward::admin::marker::reset(&place.data_dir()).unwrap();
    assert_eq!(verdict(&place), "opens 2");
    assert_eq!(place.marked().unwrap().at.sequence, 2);
}

/// RELOAD of the file that this process itself wrote needs no sync, and does not touch the marker.
#[test]
fn a_reload_of_an_unchanged_keyring_syncs_nothing() {
    let place = with_keys(2);
    let keyring = place.open().unwrap();
    grow(&keyring, 2..4);
    let before = std::fs::metadata(place.marker_file())
        .unwrap()
        .modified()
        .unwrap();
    let (config, server) = (place.config(), place.server());
    let mut keyring = keyring;
    for call in [libc::SYS_fdatasync, libc::SYS_fsync, libc::SYS_pwrite64] {
        keyring = while_failing(call, || keyring.reload(&config, &server)).unwrap();
    }
    assert_eq!(
        std::fs::metadata(place.marker_file())
            .unwrap()
            .modified()
            .unwrap(),
        before
    );
    grow(&keyring, 4..5);
    // Read by a reader that could not sync, it is synced by the writer that follows.
    drop(keyring);
    let mut read_only = place.config();
    read_only.read_only = true;
    let keyring = Keyring::open(&read_only, &server, &SecretPool::new()).unwrap();
    let failed = while_failing(libc::SYS_fdatasync, || {
        keyring.reload(&config, &server).map(drop)
    });
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    // And a file that somebody else went on with.
    let keyring = place.open().unwrap();
    let bytes = place.read();
    let elsewhere = Place::new();
    std::fs::copy(place.key_file(), elsewhere.key_file()).unwrap();
    elsewhere.write(&bytes);
    grow(&elsewhere.open().unwrap(), 20..21);
    place.write(&elsewhere.read());
    let failed = while_failing(libc::SYS_fdatasync, || {
        keyring.reload(&config, &server).map(drop)
    });
    assert_eq!(failed.unwrap_err().kind(), Kind::Io);
    assert_eq!(keyring.reload(&config, &server).unwrap().len(), 6);
}

/// A file that nobody may write to is served; writes are refused and say why. Others' rights are an error.
#[test]
fn modes_of_the_keyring_file() {
    use std::os::unix::fs::PermissionsExt;
    let place = with_keys(2);
    let set = |mode| {
        let mode = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(place.keyring_file(), mode).unwrap();
    };
    set(0o400);
    let bytes = place.read();
    let keyring = place.open().unwrap();
    assert_eq!(content(&keyring).len(), 2);
    let warnings = keyring.take_warnings().join(" ");
    assert!(
        warnings.contains("Writes are refused") && warnings.contains("0400"),
        "{warnings}"
    );
    for refused in [
        keyring.by(&Caller::Unknown).generate(b"x", b"", b"AES", 1),
        keyring.by(&Caller::Unknown).remove(b"key0", b"u@h"),
        keyring.by(&Caller::Unknown).compact(),
    ] {
        let e = refused.unwrap_err();
        assert_eq!(e.kind(), Kind::ReadOnly);
        assert!(e.to_string().contains("0400"), "{e}");
    }
    assert!(keyring.status().store.refusing.is_some());
    assert_eq!(place.read(), bytes);
    set(0o600);
    let reloaded = keyring.reload(&place.config(), &place.server()).unwrap();
    grow(&reloaded, 2..3);
    drop((keyring, reloaded));
    for mode in [0o604, 0o602, 0o666, 0o644] {
        set(mode);
        let e = place.open().map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Permission, "{mode:o}");
        assert!(e.to_string().contains("chmod 600"), "{e}");
    }
    set(0o660);
    let warnings = place.open().unwrap().take_warnings().join(" ");
    assert!(warnings.contains("0660"), "{warnings}");
}

/// Zeroed sectors at every place of the last 64 KiB: nothing that the marker knows is ever cut, and with an older
/// marker at most the last record is.
#[test]
fn zeroed_sectors_cut_at_most_the_last_record_and_none_that_the_marker_knows() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let mut slots = Vec::new();
    for n in 0..60u32 {
        let name = format!("key{n}");
        let length = [1, 16, 32, 32, 700, 2500][n as usize % 6];
        let material = vec![0x11; length];
        keyring
            .by(&Caller::Unknown)
            .store_key(name.as_bytes(), b"u@h", b"SECRET", &material)
            .unwrap();
        slots.push(place.marked().unwrap());
    }
    drop(keyring);
    let good = Disks::of(&place);
    let last = slots.last().unwrap().at.sequence;
    let sectors = good.file.len().div_ceil(512);
    let (mut torn, mut refused) = (0, 0);
    for first in sectors.saturating_sub(128)..sectors {
        for run in [1, 2, 8, usize::MAX] {
            let to = first
                .saturating_add(run)
                .saturating_mul(512)
                .min(good.file.len());
            let mut bytes = good.file.clone();
            bytes[first * 512..to].fill(0);
            for slot in [None, Some(&slots[0]), Some(&slots[30]), Some(&slots[58])] {
                place.write(&bytes);
                match slot {
                    None => std::fs::write(place.marker_file(), &good.marker).unwrap(),
                    Some(slot) => place.write_marker_of_an_earlier_boot(slot),
                }
                match place.open() {
                    Ok(keyring) => {
                        assert!(slot.is_some(), "an acknowledged record was cut");
                        let kept = keyring.status().store.sequence;
                        assert!(
                            kept + 1 >= last,
                            "sectors {first}+{run}: {kept} of {last} are left"
                        );
                        torn += 1;
                    }
                    Err(e) => {
                        assert_eq!(e.kind(), Kind::Tampered, "{e}");
                        assert_eq!(place.read(), bytes);
                        refused += 1;
                    }
                }
                remove_torn(place.dir.path());
            }
        }
    }
    assert!(torn > 0 && refused > 0, "{torn} {refused}");
}

fn remove_torn(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(".torn-") {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// What the marker costs: medians of a write with and without it against the same append and fdatasync.
#[test]
#[ignore = "a measurement: cargo test --release --test contract_marker -- --ignored --nocapture"]
fn cost_of_the_marker() {
    use std::io::Write;
    use std::time::Instant;
    let (with, without) = (Place::new(), Place::new());
    let mut environment = without.server();
    environment.data_dir = None;
    let marked = with.open().unwrap();
    let unmarked = Keyring::open(&without.config(), &environment, &SecretPool::new()).unwrap();
    let floor = std::fs::File::create(with.dir.path().join("floor")).unwrap();
    let mut times: [Vec<f64>; 3] = Default::default();
    for n in 0..2000 {
        let name = format!("key{n:08}");
        let mut time = |which: usize, f: &dyn Fn()| {
            let begin = Instant::now();
            f();
            times[which].push(begin.elapsed().as_secs_f64() * 1e6);
        };
        time(0, &|| {
            (&floor).write_all(&[7; 150]).unwrap();
            floor.sync_data().unwrap();
        });
        time(1, &|| {
            marked
                .by(&Caller::Unknown)
                .generate(name.as_bytes(), b"u@h", b"AES", 32)
                .unwrap()
        });
        time(2, &|| {
            unmarked
                .by(&Caller::Unknown)
                .generate(name.as_bytes(), b"u@h", b"AES", 32)
                .unwrap()
        });
    }
    let [floor, marked, unmarked] = times.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!(
        "append + fdatasync {floor:.1} us; generate {marked:.1} us ({:.3}), without a marker {unmarked:.1} us ({:.3})",
        marked / floor,
        unmarked / floor
    );
}
