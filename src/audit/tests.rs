//! The writer, the file and the verifier together: what is told once, what is found, what is made again.

use super::chain::Signer;
use super::entry::Entry;
use super::event::Event;
use super::feed::{Feed, MOST_DENIALS, Use};
use super::file::files;
use super::line::Read;
use super::note::Synced;
use super::outbox::{Opened, Outbox};
use super::position::Position;
use super::settings::{Reads, Settings};
use super::verify::{Flaw, Report, Verifier};
use super::writer::Writer;
use crate::secret::{SecretBytes, SecretPool};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A log in a folder of its own.
pub(super) struct Stand {
    pub(super) dir: tempfile::TempDir,
    key: SecretBytes,
    pub(super) outbox: Arc<Outbox>,
    pub(super) feed: Feed,
    pub(super) settings: Settings,
}

pub(super) const FILE_ID: [u8; 16] = [5; 16];

impl Stand {
    pub(super) fn new() -> Stand {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Arc::new(Outbox::default());
        outbox.opened(opened(0, Synced::default(), Vec::new()));
        Stand {
            settings: Settings::at(dir.path().join("audit.log")),
            key: Signer::generate(&SecretPool::new()).unwrap(),
            feed: Feed::new(Reads::Summary, outbox.clone()),
            outbox,
            dir,
        }
    }

    pub(super) fn signer(&self) -> Signer {
        Signer::read(&self.key).unwrap()
    }

    pub(super) fn open(&self) -> Writer {
        let (opened, _) = self.outbox.journal();
        Writer::open(&self.settings, self.signer(), &self.outbox, &opened).unwrap()
    }

    /// The process dies, and another one opens the journal, which owes `owed` and knows of `known`.
    pub(super) fn die(&mut self, end: u64, known: Synced, owed: Vec<Entry>) {
        self.outbox = Arc::new(Outbox::default());
        self.outbox.opened(opened(end, known, owed));
        self.feed = Feed::new(Reads::Summary, self.outbox.clone());
    }

    pub(super) fn check(&self) -> (Report, Option<Flaw>, Vec<Read>) {
        let (mut lines, mut flaw) = (Vec::new(), None);
        let mut verifier = Verifier::new(vec![self.signer().public()], None);
        let all = files(&self.settings.file).unwrap();
        for (n, file) in all.iter().enumerate() {
            let mut reader = std::io::BufReader::new(std::fs::File::open(file).unwrap());
            let last = n + 1 == all.len();
            let read = verifier.read(&mut reader, last, &mut |line, _| lines.push(line.clone()));
            if let Err(found) = read.unwrap() {
                flaw = Some(found);
                break;
            }
        }
        (verifier.finish().0, flaw, lines)
    }

    pub(super) fn good(&self) -> (Report, Vec<Read>) {
        let (report, flaw, lines) = self.check();
        assert_eq!(flaw, None, "{lines:#?}");
        (report, lines)
    }

    pub(super) fn path(&self) -> &Path {
        &self.settings.file
    }
}

fn opened(end: u64, known: Synced, owed: Vec<Entry>) -> Opened {
    Opened {
        file_id: FILE_ID,
        end,
        known,
        owed,
    }
}

pub(super) fn change(sequence: u64) -> Entry {
    Entry {
        change: Some(Position {
            sequence,
            part: 0,
            tag: [1; 8],
        }),
        ..Entry::new(Event::KeyAdded)
            .by("root@localhost #1")
            .of(format!("k{sequence}").as_bytes(), b"")
    }
}

pub(super) fn recovered(sequence: u64) -> Entry {
    Entry {
        recovered: true,
        ..change(sequence)
    }
}

pub(super) fn changes(lines: &[Read]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|l| l.change.map(|c| c.sequence))
        .collect()
}

pub(super) fn read_of<'a>(name: &'a [u8]) -> Use<'a> {
    Use {
        event: Event::KeyRead,
        outcome: super::event::Outcome::Done,
        name,
        owner: b"app@%",
        detail: "",
    }
}

#[test]
fn what_is_told_is_in_the_log_and_the_log_is_good() {
    let stand = Stand::new();
    let mut writer = stand.open();
    for n in 1..=3 {
        stand.outbox.push(change(n));
    }
    for _ in 0..5 {
        stand.feed.used(1, &read_of(b"a"), || "app".into());
    }
    stand.feed.used(2, &read_of(b"a"), || "other".into());
    for _ in 0..MOST_DENIALS + 7 {
        stand.feed.denied(1, &read_of(b"x"), || "app".into());
    }
    writer.turn(&stand.feed, false).unwrap();
    assert!(stand.outbox.is_empty());
    assert_eq!(stand.outbox.synced().change, (3, 0));
    writer.close(&stand.feed).unwrap();
    let (report, lines) = stand.good();
    assert_eq!(
        (report.changes, report.unsigned, report.is_closed),
        (3, 0, true)
    );
    assert_eq!(changes(&lines), [1, 2, 3]);
    let reads: Vec<_> = (lines.iter().filter(|l| l.event == Event::KeyRead))
        .map(|l| (l.actor.as_str(), l.count))
        .collect();
    assert!(
        reads.contains(&("app", 5)) && reads.contains(&("other", 1)) && reads.len() == 2,
        "{reads:?}"
    );
    let denied: u64 = (lines.iter())
        .filter(|l| matches!(l.event, Event::Denied | Event::DeniedMore))
        .map(|l| l.count)
        .sum();
    assert_eq!(denied, u64::from(MOST_DENIALS) + 7);
    assert!(report.gaps.is_empty() && report.restarts.is_empty());
}

#[test]
fn a_log_that_was_closed_goes_on_without_a_gap() {
    let mut stand = Stand::new();
    stand.open().close(&stand.feed).unwrap();
    let known = stand.outbox.synced();
    stand.die(0, known, Vec::new());
    stand.open().close(&stand.feed).unwrap();
    let (report, lines) = stand.good();
    assert!(report.gaps.is_empty() && report.restarts.is_empty());
    assert_eq!(
        lines.iter().filter(|l| l.event == Event::Started).count(),
        2
    );
}

/// A kill loses what was not written, a power cut what was not synced: at every byte the log may end then. Whatever it ends with,
/// afterwards each change is in it exactly once, and it says that something may be missing.
#[test]
fn after_a_crash_each_change_is_there_once_wherever_the_file_ends() {
    let mut stand = Stand::new();
    let mut writer = stand.open();
    stand.outbox.push(change(1));
    writer.turn(&stand.feed, false).unwrap();
    let synced = stand.outbox.synced();
    let length = std::fs::metadata(stand.path()).unwrap().len();
    for n in 2..=4 {
        stand.outbox.push(change(n));
    }
    writer.turn(&stand.feed, false).unwrap();
    drop(writer);
    let whole = std::fs::read(stand.path()).unwrap();
    let is_end = |end: &usize| whole[end - 1] == b'\n' || whole.get(*end) == Some(&b'\n');
    let ends = (length as usize..=whole.len()).filter(|end| is_end(end) || end % 13 == 0);
    for end in ends {
        std::fs::write(stand.path(), &whole[..end]).unwrap();
        // The journal knows of the line that was synced before its last records.
        stand.die(4, synced, vec![recovered(2), recovered(3), recovered(4)]);
        let mut writer = stand.open();
        stand.outbox.push(change(5));
        writer.turn(&stand.feed, false).unwrap();
        writer.close(&stand.feed).unwrap();
        let (report, lines) = stand.good();
        assert_eq!(changes(&lines), [1, 2, 3, 4, 5], "{end}");
        assert_eq!((report.gaps.len(), report.restarts.len()), (1, 0), "{end}");
        assert!(report.is_closed && stand.outbox.is_empty());
    }
}

#[test]
fn a_log_that_lost_synced_lines_says_so() {
    let mut stand = Stand::new();
    let mut writer = stand.open();
    writer.turn(&stand.feed, false).unwrap();
    let before = std::fs::read(stand.path()).unwrap();
    stand.outbox.push(change(1));
    writer.turn(&stand.feed, false).unwrap();
    let synced = stand.outbox.synced();
    drop(writer);
    std::fs::write(stand.path(), &before).unwrap();
    stand.die(1, synced, vec![recovered(1)]);
    stand.open().close(&stand.feed).unwrap();
    let (report, lines) = stand.good();
    assert_eq!(changes(&lines), [1]);
    assert!(
        report.restarts[0].detail.contains("which the log lacks"),
        "{:?}",
        report.restarts
    );
    // And one that is gone as a whole.
    std::fs::remove_file(stand.path()).unwrap();
    let synced = stand.outbox.synced();
    stand.die(1, synced, Vec::new());
    stand.open().close(&stand.feed).unwrap();
    assert_eq!(stand.good().0.restarts.len(), 1);
}

#[test]
fn another_keyrings_log_and_a_damaged_one_are_set_aside() {
    let mut stand = Stand::new();
    stand.open().close(&stand.feed).unwrap();
    stand.key = Signer::generate(&SecretPool::new()).unwrap();
    stand.die(0, Synced::default(), Vec::new());
    stand.open().close(&stand.feed).unwrap();
    let all = files(stand.path()).unwrap();
    assert_eq!(all.len(), 2);
    let text = std::fs::read_to_string(&all[1]).unwrap();
    assert!(
        text.contains("chain_restarted") && text.starts_with("{\"line\":1,"),
        "{text}"
    );
    // One bit.
    let mut bytes = std::fs::read(&all[1]).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&all[1], bytes).unwrap();
    stand.die(0, Synced::default(), Vec::new());
    stand.open().close(&stand.feed).unwrap();
    assert_eq!(files(stand.path()).unwrap().len(), 3);
    assert!(
        std::fs::read_to_string(stand.path())
            .unwrap()
            .contains("damaged")
    );
}

#[test]
fn an_older_keyring_and_another_branch_are_seen() {
    for (end, tag, why) in [(2, 1, "older than the log"), (3, 9, "another branch")] {
        let mut stand = Stand::new();
        let mut writer = stand.open();
        (1..=3).for_each(|n| stand.outbox.push(change(n)));
        writer.turn(&stand.feed, false).unwrap();
        writer.close(&stand.feed).unwrap();
        let mut owed = recovered(end);
        owed.change.as_mut().unwrap().tag = [tag; 8];
        stand.die(end, Synced::default(), vec![owed]);
        stand.open().close(&stand.feed).unwrap();
        let (report, lines) = stand.good();
        assert!(
            report.restarts[0].detail.contains(why),
            "{:?}",
            report.restarts
        );
        assert_eq!(changes(&lines), [1, 2, 3, end]);
    }
}

#[test]
fn a_full_file_is_set_aside_and_the_chain_goes_on() {
    let mut stand = Stand::new();
    stand.settings.rotate_size = 4096;
    stand.settings.keep = 3;
    let mut writer = stand.open();
    for n in 1..=100 {
        stand.outbox.push(change(n));
        writer.turn(&stand.feed, false).unwrap();
    }
    writer.close(&stand.feed).unwrap();
    let all = files(stand.path()).unwrap();
    assert_eq!(all.len(), 4);
    let (report, lines) = stand.good();
    assert!(report.first.0 > 1 && report.restarts.is_empty() && report.is_closed);
    let told = changes(&lines);
    assert_eq!(told.last(), Some(&100));
    assert!(told.windows(2).all(|w| w[0] + 1 == w[1]));
    // Without one in the middle it is not whole.
    let removed: PathBuf = all[1].clone();
    std::fs::remove_file(removed).unwrap();
    let flaw = stand.check().1.unwrap();
    assert!(flaw.why.contains("is expected"), "{flaw:?}");
    // A crash right after the renaming: the file that was set aside is where it goes on.
    std::fs::remove_file(stand.path()).unwrap();
    let (known, last) = (Synced::default(), *told.last().unwrap());
    stand.die(last, known, vec![recovered(last)]);
    stand.open().close(&stand.feed).unwrap();
}

#[test]
fn a_file_that_is_removed_or_replaced_while_it_is_written() {
    let stand = Stand::new();
    let mut writer = stand.open();
    std::fs::remove_file(stand.path()).unwrap();
    stand.outbox.push(change(1));
    writer.turn(&stand.feed, false).unwrap();
    assert!(stand.outbox.is_empty());
    let (report, lines) = stand.good();
    assert!(report.first.0 > 1 && changes(&lines) == [1]);
    std::fs::rename(stand.path(), stand.dir.path().join("old")).unwrap();
    std::fs::write(stand.path(), "another\n").unwrap();
    stand.outbox.push(change(2));
    let said = writer.turn(&stand.feed, false).unwrap_err().to_string();
    assert!(said.contains("replaced by another file"), "{said}");
    assert_eq!(stand.outbox.len(), 1, "it waits");
    std::fs::remove_file(stand.path()).unwrap();
    writer.turn(&stand.feed, false).unwrap();
    assert_eq!(changes(&stand.good().1), [2]);
}

#[test]
fn a_file_of_somebody_else_is_not_written_to() {
    let stand = Stand::new();
    let writer = stand.open();
    let (opened, _) = stand.outbox.journal();
    let second = Writer::open(&stand.settings, stand.signer(), &stand.outbox, &opened);
    assert!(
        second
            .map(drop)
            .unwrap_err()
            .to_string()
            .contains("another process")
    );
    drop(writer);
    std::fs::remove_file(stand.path()).unwrap();
    std::os::unix::fs::symlink(stand.dir.path().join("x"), stand.path()).unwrap();
    let link = Writer::open(&stand.settings, stand.signer(), &stand.outbox, &opened);
    assert!(
        link.map(drop)
            .unwrap_err()
            .to_string()
            .contains("symbolic link")
    );
    std::fs::remove_file(stand.path()).unwrap();
    std::fs::write(stand.path(), "").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(stand.path(), PermissionsExt::from_mode(0o666)).unwrap();
    drop(stand.open());
    let mode = std::fs::metadata(stand.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}
