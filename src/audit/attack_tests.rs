//! Whoever can write the log's folder, and can't open the keyring, at work while no server runs, and beside one.

use super::chain::LINES;
use super::entry::Entry;
use super::event::Event;
use super::file::files;
use super::line::{self, Read};
use super::note::Synced;
use super::outbox::{Opened, Outbox};
use super::tests::{FILE_ID, Stand, change, changes, recovered};
use crate::text::hex;

/// The last line's number and hash.
fn end(stand: &Stand) -> (u64, [u8; 32]) {
    let text = std::fs::read_to_string(stand.path()).unwrap();
    let last = text.lines().last().unwrap();
    (Read::parse(last).unwrap().number, line::hash(last))
}

/// Adds lines as anybody can: numbers and hashes are right.
fn forge(stand: &Stand, lines: impl IntoIterator<Item = Entry>) {
    let (mut number, mut hash) = end(stand);
    let mut text = std::fs::read_to_string(stand.path()).unwrap();
    for entry in lines {
        number += 1;
        let line = line::write(number, &entry, &[], &hash);
        hash = line::hash(&line);
        text.push_str(&line);
        text.push('\n');
    }
    std::fs::write(stand.path(), text).unwrap();
}

/// After a kill the end is not signed. One that is cut, and a line that says "stopped" in its place, must not pass for an orderly end:
/// the next server would sign it.
#[test]
fn a_forged_stop_hides_no_gap() {
    let mut stand = Stand::new();
    let mut writer = stand.open();
    writer.turn(&stand.feed, false).unwrap();
    drop(writer);
    forge(&stand, [Entry::new(Event::Stopped)]);
    stand.die(0, Synced::default(), Vec::new());
    stand.open().close(&stand.feed).unwrap();
    let (report, _) = stand.good();
    assert_eq!(report.gaps.len(), 1);
    // What nobody had signed is signed from now on: that it was not is said.
    let said = &report.gaps[0].detail;
    assert!(said.contains("1 lines before were not signed"), "{said}");
}

/// "The first line may have any number" must not let a log of one's own begin behind what the keyring knows of.
#[test]
fn a_forged_file_does_not_begin_behind_what_the_keyring_knows() {
    let mut stand = Stand::new();
    let mut writer = stand.open();
    stand.outbox.push(change(1));
    writer.turn(&stand.feed, false).unwrap();
    let known = stand.outbox.synced();
    drop(writer);
    let begin = line::write(
        known.line + 1,
        &Entry::new(Event::Begin).saying("the file before was full"),
        &[
            ("format", line::FORMAT.into()),
            ("signer", stand.signer().public().id().into()),
            ("keyring", hex(&FILE_ID).into()),
        ],
        &known.hash,
    );
    std::fs::write(stand.path(), begin + "\n").unwrap();
    forge(&stand, [Entry::new(Event::KeyRead).by("eve@%")]);
    stand.die(1, known, vec![recovered(1)]);
    stand.open().close(&stand.feed).unwrap();
    let report = stand.good().0;
    assert_eq!(report.restarts.len(), 1, "{report:?}");
}

/// The same behind a file that was set aside: a kill right after a rotation is none, a file that does not go on there is one.
#[test]
fn a_file_goes_on_where_the_one_that_was_set_aside_ends() {
    for tampered in [false, true] {
        let mut stand = Stand::new();
        stand.settings.rotate_size = 2048;
        let mut writer = stand.open();
        let mut known = Synced::default();
        for n in 1.. {
            stand.outbox.push(change(n));
            known = stand.outbox.synced();
            writer.turn(&stand.feed, false).unwrap();
            if files(stand.path()).unwrap().len() == 2 {
                break;
            }
        }
        drop(writer);
        if tampered {
            let text = std::fs::read_to_string(stand.path()).unwrap();
            std::fs::write(
                stand.path(),
                text.replace("\"result\":\"ok\"", "\"result\":\"failed\"")
                    .replace("\"previous\":\"", "\"previous\":\"00")
                    .replacen("00\"}", "\"}", 1),
            )
            .unwrap();
            let text = std::fs::read_to_string(stand.path()).unwrap();
            let at = text.rfind("\"previous\":\"").unwrap() + 12;
            std::fs::write(
                stand.path(),
                format!("{}{}\"}}\n", &text[..at], "ab".repeat(32)),
            )
            .unwrap();
        }
        stand.die(100, known, Vec::new());
        stand.open().close(&stand.feed).unwrap();
        let (report, flaw, _) = stand.check();
        match tampered {
            false => assert!(
                flaw.is_none() && report.restarts.is_empty(),
                "{flaw:?} {report:?}"
            ),
            true => assert!(flaw.is_some() || !report.restarts.is_empty(), "{report:?}"),
        }
    }
}

/// logrotate's copytruncate, and whoever cuts a file that is being written: no holes, and it is said.
#[test]
fn a_file_that_is_cut_while_it_is_written_is_set_aside() {
    for left in [0, 300] {
        let stand = Stand::new();
        let mut writer = stand.open();
        stand.outbox.push(change(1));
        writer.turn(&stand.feed, false).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(stand.path());
        file.unwrap().set_len(left).unwrap();
        stand.outbox.push(change(2));
        writer.turn(&stand.feed, false).unwrap();
        writer.close(&stand.feed).unwrap();
        let text = std::fs::read_to_string(stand.path()).unwrap();
        assert!(
            text.starts_with("{\"line\":") && text.contains("chain_restarted"),
            "{text}"
        );
        let all = files(stand.path()).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(std::fs::metadata(&all[0]).unwrap().len(), left);
        // The new file by itself is good, but for what it says.
        std::fs::remove_file(&all[0]).unwrap();
        let (report, lines) = stand.good();
        assert_eq!((changes(&lines), report.restarts.len()), (vec![2], 1));
    }
}

/// Between two checkpoints are at most a thousand lines, so that no more can be added behind the last one.
#[test]
fn a_long_end_without_a_signature_is_a_flaw() {
    let stand = Stand::new();
    let mut writer = stand.open();
    (1..=5 * LINES).for_each(|n| stand.outbox.push(change(n)));
    writer.turn(&stand.feed, false).unwrap();
    writer.close(&stand.feed).unwrap();
    stand.good();
    forge(&stand, (0..LINES).map(|_| Entry::new(Event::KeyRead)));
    stand.good();
    forge(&stand, [Entry::new(Event::KeyRead)]);
    let flaw = stand.check().1.unwrap();
    assert!(flaw.why.contains("without a checkpoint"), "{flaw:?}");
}

#[test]
fn numbers_do_not_overflow() {
    let stand = Stand::new();
    stand.open().close(&stand.feed).unwrap();
    let text = std::fs::read_to_string(stand.path()).unwrap();
    let begin = text.lines().next().unwrap();
    let huge = begin.replacen("\"line\":1,", &format!("\"line\":{},", u64::MAX), 1);
    let huge = huge.replace(&"0".repeat(64), &"1".repeat(64));
    std::fs::write(stand.path(), huge + "\n").unwrap();
    forge_at(&stand, 0);
    assert!(stand.check().1.is_some());
    // A server does not go on with it either.
    let writer = stand.open();
    assert!(writer.tail().line < 10);
}

/// Adds one line with this number.
fn forge_at(stand: &Stand, number: u64) {
    let mut text = std::fs::read_to_string(stand.path()).unwrap();
    let hash = line::hash(text.lines().last().unwrap());
    text.push_str(&line::write(
        number,
        &Entry::new(Event::KeyRead),
        &[],
        &hash,
    ));
    text.push('\n');
    std::fs::write(stand.path(), text).unwrap();
}

/// `audit show` prints what is in a line: nothing of it may be obeyed by a terminal, whoever wrote the line.
#[test]
fn a_line_that_a_terminal_would_obey_is_none() {
    for evil in [
        "\\u001b[2J",
        "\u{9b}2J",
        "\u{202e}",
        "\u{2028}",
        "\\n",
        "\u{7f}",
    ] {
        let entry = Entry::new(Event::KeyRead).by("mallory");
        let line = line::write(1, &entry, &[], &[0; 32]).replace("mallory", evil);
        assert!(Read::parse(&line).is_err(), "{line}");
    }
}

/// What found no room is told even if the process dies: a rewrite carries how many they were.
#[test]
fn what_found_no_room_is_counted_in_what_is_carried() {
    let outbox = Outbox::default();
    let long = |n| Entry {
        detail: "x".repeat(255),
        ..change(n)
    };
    (1..=100_000).for_each(|n| outbox.push(long(n)));
    let carried = outbox.to_carry().1;
    let told: u64 = carried.iter().map(|e| e.count).sum();
    assert_eq!(told, 100_000);
    assert!((30_000..100_000).contains(&carried.len()), "it is bounded");
    let gap = carried.last().unwrap();
    assert_eq!(
        (gap.event, gap.change),
        (Event::Gap, change(100_000).change)
    );
    // Once there is room it goes on.
    let (some, serial) = outbox.behind(FILE_ID, 0, 10);
    assert_eq!(some.len(), 0, "of another keyring");
    let (some, serial) = outbox.behind([0; 16], serial, 10);
    outbox.is_synced([0; 16], serial, Synced::default());
    outbox.push(change(100_001));
    let carried = outbox.to_carry().1;
    assert_eq!(some.len(), 10);
    assert_eq!(carried.last().unwrap().change, change(100_001).change);
}

/// What waits of one keyring never gets into the log of another.
#[test]
fn two_keyrings_one_after_the_other_have_two_logs() {
    let outbox = Outbox::default();
    outbox.opened(Opened {
        file_id: FILE_ID,
        end: 5,
        owed: vec![recovered(5)],
        ..Opened::default()
    });
    let (_, serial) = outbox.behind(FILE_ID, 0, 10);
    outbox.opened(Opened {
        file_id: [9; 16],
        end: 2,
        owed: vec![recovered(2)],
        ..Opened::default()
    });
    assert!(outbox.behind(FILE_ID, serial, 10).0.is_empty());
    let known = Synced {
        line: 7,
        ..Synced::default()
    };
    outbox.is_synced(FILE_ID, serial + 5, known);
    assert_eq!(outbox.synced().line, 0);
    let (its, _) = outbox.behind([9; 16], 0, 10);
    assert_eq!(
        its.iter()
            .map(|e| e.change.unwrap().sequence)
            .collect::<Vec<_>>(),
        [2]
    );
}

/// A reload that changes how the log is written, beside changes: what the old writer told last is behind what the reload has read.
#[test]
fn a_reload_beside_changes_restarts_no_chain() {
    let stand = Stand::new();
    let mut writer = stand.open();
    stand.outbox.push(change(1));
    writer.turn(&stand.feed, false).unwrap();
    stand.outbox.push(change(2));
    writer.close(&stand.feed).unwrap();
    stand.open().close(&stand.feed).unwrap();
    let (report, lines) = stand.good();
    assert!(report.restarts.is_empty(), "{:?}", report.restarts);
    assert_eq!(changes(&lines), [1, 2]);
}

/// A change that is owed to the log must not be kept out of it by a line that somebody adds after a kill.
#[test]
fn no_unsigned_line_makes_a_change_forgotten() {
    type Forged = fn() -> Entry;
    let kinds: [(&str, Forged); 4] = [
        // Behind all that is owed, at a place that no record has.
        ("another part", || {
            let mut entry = change(4);
            entry.change.as_mut().unwrap().part = 1;
            entry
        }),
        ("the last one's place", || change(4)),
        ("another actor", || change(2).by("nobody@localhost #9")),
        ("another key", || change(2).of(b"other", b"")),
    ];
    for (name, forged) in kinds {
        let mut stand = Stand::new();
        let mut writer = stand.open();
        stand.outbox.push(change(1));
        writer.turn(&stand.feed, false).unwrap();
        let synced = stand.outbox.synced();
        drop(writer);
        forge(&stand, [forged()]);
        stand.die(4, synced, vec![recovered(2), recovered(3), recovered(4)]);
        stand.open().turn(&stand.feed, false).unwrap();
        let (report, lines) = stand.good();
        let told = changes(&lines);
        assert!(told.ends_with(&[2, 3, 4]), "{name}: {told:?}");
        assert_eq!(report.restarts.len(), 1, "{name}");
        let by_root = |l: &&Read| l.recovered && l.actor == "root@localhost #1";
        assert_eq!(lines.iter().filter(by_root).count(), 3, "{name}");
    }
}

/// Nor by the first line of a file that nobody signed.
#[test]
fn no_unsigned_file_makes_a_change_forgotten() {
    let mut stand = Stand::new();
    drop(stand.open());
    let text = std::fs::read_to_string(stand.path()).unwrap();
    let begin = text.lines().next().unwrap();
    let forged = change(2).change.unwrap().text();
    let begin = begin.replace(
        ",\"previous\"",
        &format!(",\"last_change\":\"{forged}\",\"previous\""),
    );
    std::fs::write(stand.path(), begin + "\n").unwrap();
    stand.die(2, Synced::default(), vec![recovered(1), recovered(2)]);
    stand.open().close(&stand.feed).unwrap();
    assert_eq!(changes(&stand.good().1), [1, 2]);
}
