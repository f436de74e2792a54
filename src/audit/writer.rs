//! The writer of the log: what one thread does, turn by turn.
//!
//! Owns the order: what is told goes to the disk, then it is forgotten. It opens what is there, finds out what of the journal's changes it
//! lacks, and says what can't be known any more. It must never write over a line, and never forget a change that is not on the disk.

use super::chain::{Chain, Signer, Tail};
use super::entry::{Entry, now};
use super::event::Event;
use super::feed::Feed;
use super::file::{LogFile, files};
use super::note::Synced;
use super::outbox::{Opened, Outbox};
use super::settings::Settings;
use super::summary::Summary;
use super::syslog::Sender;
use super::verify::{Report, Verifier};
use crate::error::{Error, Result};
use crate::text::hex;
use std::io::BufReader;
use std::path::Path;

/// Entries that are told in one turn.
const TURN: usize = 20_000;
/// Microseconds between two checkpoints at the most, where something was told.
const MINUTE: i64 = 60_000_000;

/// See the module's documentation.
pub struct Writer {
    settings: Settings,
    chain: Chain,
    file: LogFile,
    /// Lines that are not on the disk yet.
    lines: String,
    /// What to ask the outbox with.
    serial: u64,
    /// When the last checkpoint was.
    checkpoint: i64,
    summary: Summary,
    syslog: Sender,
}

/// What was there when the log was opened.
struct Found {
    report: Report,
    /// What is wrong with it.
    flaw: Option<String>,
    /// The line that the keyring knows of is in it, or it knows of none.
    is_whole: bool,
}

/// Reads a file of the log that is there.
fn look(reader: &mut BufReader<std::fs::File>, signer: &Signer, known: Synced) -> Result<Found> {
    let mut verifier = Verifier::new(vec![signer.public()], Some(known));
    let read = verifier.read(reader, true, &mut |_, _| {});
    let read = read.map_err(|e| Error::io("read the audit log", "its lines", e))?;
    let (report, is_there) = verifier.finish();
    // An earlier file has it.
    let is_whole = is_there || report.first.0 > known.line && report.lines > 0;
    Ok(Found {
        flaw: read
            .err()
            .map(|flaw| format!("row {}: {}", flaw.row, flaw.why)),
        report,
        is_whole,
    })
}

/// The newest file that was set aside, where a crash has left no other one.
fn newest_aside(path: &Path) -> Option<BufReader<std::fs::File>> {
    let all = files(path).ok()?;
    let newest = all.iter().rev().find(|file| *file != path)?;
    let (file, _) = crate::os::file::open(newest, crate::os::file::Access::Read).ok()?;
    Some(BufReader::new(file))
}

impl Writer {
    /// Opens the log and goes on with it. `opened`: what the journal says.
    ///
    /// # Errors
    /// The file can't be opened, read or written.
    pub fn open(
        settings: &Settings,
        signer: Signer,
        outbox: &Outbox,
        opened: &Opened,
    ) -> Result<Writer> {
        let file = LogFile::open(settings)?;
        let read = |e| Error::io("read the audit log", "its lines", e);
        let found = match file.length() {
            0 => newest_aside(&settings.file)
                .map(|mut reader| look(&mut reader, &signer, opened.known))
                .transpose()?,
            _ => Some(look(
                &mut file.reader().map_err(read)?,
                &signer,
                opened.known,
            )?),
        };
        let mut writer = Writer {
            settings: settings.clone(),
            chain: Chain::new(signer, Tail::default(), opened.file_id),
            file,
            lines: String::new(),
            serial: 0,
            checkpoint: now(),
            summary: Summary::default(),
            syslog: Sender::new(settings.syslog),
        };
        match found {
            Some(found) => writer.go_on(found, outbox, opened)?,
            None => {
                writer.begin("a new log");
                if opened.known.line > 0 {
                    writer.restart(&lacks(opened.known));
                }
            }
        }
        writer.tell(
            &Entry::new(Event::Started).saying(concat!("Keyring Ward ", env!("CARGO_PKG_VERSION"))),
        );
        // What is said of the time before is signed at once.
        writer.checkpoint()?;
        writer.flush(outbox)?;
        writer.file.sync_folder()?;
        Ok(writer)
    }

    /// Goes on behind what is there, if that is ours.
    fn go_on(&mut self, found: Found, outbox: &Outbox, opened: &Opened) -> Result<()> {
        let Found {
            report,
            flaw,
            is_whole,
        } = found;
        let is_of_another = report.lines > 0
            && (report.keyring != hex(&opened.file_id)
                || report.signer != self.chain.signer().public().id());
        let bad = match (&flaw, is_of_another) {
            (Some(flaw), _) => Some(format!("the log that was there is damaged ({flaw})")),
            (None, true) => Some("the log that was there is another keyring's".into()),
            (None, false) => None,
        };
        if let Some(why) = bad {
            if self.file.length() > 0 {
                self.file.set_aside(&self.settings, now())?;
            }
            self.begin("a new chain");
            self.restart(&why);
            return Ok(());
        }
        if report.lines == 0 {
            // Not one whole line: a crash right at the beginning.
            self.file.cut(report.torn)?;
            self.begin("a new log");
            return Ok(());
        }
        let file_is_empty = self.file.length() == 0;
        if !file_is_empty {
            self.file.cut(report.torn)?;
        }
        let tail = report.tail;
        self.chain.go_on(tail, report.unsigned);
        if file_is_empty {
            self.begin("the file before was full");
        }
        if !is_whole {
            self.restart(&lacks(opened.known));
        }
        // Before anything is taken for told.
        self.file.sync()?;
        self.catch_up(tail, outbox, opened);
        if !report.is_closed {
            self.tell(&Entry::new(Event::Gap).saying(&gap(&report)));
        }
        Ok(())
    }

    /// What the log tells of the journal's changes is not owed any more.
    fn catch_up(&mut self, tail: Tail, outbox: &Outbox, opened: &Opened) {
        let Some(logged) = tail.change else { return };
        if logged.sequence > opened.end {
            self.restart("the keyring is older than the log: it ends with an earlier change than the log tells of");
        } else if !outbox.forget(logged) {
            self.restart("the keyring is another branch than the log tells of: the same change is another one there");
        }
    }

    fn begin(&mut self, why: &str) {
        self.chain.begin(why, &mut self.lines);
    }

    /// Says that the chain does not go on as it should.
    fn restart(&mut self, why: &str) {
        self.chain.set_change(None);
        self.tell(&Entry::new(Event::Restarted).saying(why));
    }

    fn tell(&mut self, entry: &Entry) {
        self.chain.tell(entry, &mut self.lines);
    }

    /// Tells something, and keeps it for who looks from SQL.
    fn show(&mut self, entry: &Entry, feed: &Feed) {
        self.tell(entry);
        feed.recent.keep(self.chain.tail().line, entry);
    }

    /// The keyring that it tells of.
    pub fn keyring(&self) -> [u8; 16] {
        self.chain.keyring()
    }

    /// Where it stands.
    pub fn tail(&self) -> Tail {
        self.chain.tail()
    }

    /// Takes what came up, and brings it to the disk. `last`: nothing comes after it.
    ///
    /// # Errors
    /// The file can't be written; what could not be is tried again.
    pub fn turn(&mut self, feed: &Feed, last: bool) -> Result<()> {
        if self.lines.is_empty() {
            if !self.file.is_in_place() {
                self.find_place()?;
            }
            self.collect(feed, last)?;
        }
        self.flush(&feed.outbox)?;
        if self.file.length() >= self.settings.rotate_size && !last {
            self.rotate(&feed.outbox)?;
        }
        Ok(())
    }

    fn collect(&mut self, feed: &Feed, last: bool) -> Result<()> {
        let (changes, serial) = feed.outbox.behind(self.serial, TURN);
        for change in &changes {
            self.show(change, feed);
        }
        self.serial = serial;
        for _ in 0..TURN {
            let Some(entry) = feed.ring.pop() else { break };
            if let Some(entry) = self.summary.take(entry) {
                self.show(&entry, feed);
            }
        }
        for entry in self.summary.due(feed, last) {
            self.show(&entry, feed);
        }
        let lost = feed.outbox.take_lost();
        if lost > 0 {
            let entry = Entry::new(Event::Gap)
                .saying("changes found no room while the log could not be written");
            self.tell(&Entry {
                count: lost,
                ..entry
            });
        }
        let dropped = feed.take_dropped();
        if dropped > 0 {
            self.tell(&Entry {
                count: dropped,
                ..Entry::new(Event::Dropped)
            });
        }
        if last {
            self.tell(&Entry::new(Event::Stopped));
        }
        let is_late = now().saturating_sub(self.checkpoint).unsigned_abs() >= MINUTE as u64;
        if last || self.chain.is_due() || (is_late && !self.chain.is_signed()) {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<()> {
        self.checkpoint = now();
        self.chain.checkpoint(&mut self.lines)
    }

    /// Brings what is told to the disk, and lets go of the changes in it.
    fn flush(&mut self, outbox: &Outbox) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.file.append(&self.lines)?;
        self.syslog.send(&self.lines);
        self.lines.clear();
        let tail = self.chain.tail();
        outbox.is_synced(
            self.serial,
            Synced {
                line: tail.line,
                hash: tail.hash,
                change: tail.change.map_or((0, 0), |c| c.place()),
            },
        );
        Ok(())
    }

    /// The file was removed or renamed: another one begins, and its first line says so.
    fn find_place(&mut self) -> Result<()> {
        let file = LogFile::open(&self.settings)?;
        if file.length() > 0 {
            let why = format!(
                "'{}' was replaced by another file",
                self.settings.file.display()
            );
            return Err(Error::new(crate::error::Kind::Tampered, "write the audit log", why)
                .hint("Move it away: the log goes on by itself, in a file of its own. Keep the one that was there before."));
        }
        self.file = file;
        self.file.sync_folder()?;
        self.begin("the file before was removed or renamed");
        self.checkpoint()
    }

    fn rotate(&mut self, outbox: &Outbox) -> Result<()> {
        self.tell(&Entry::new(Event::Rotated));
        self.checkpoint()?;
        self.flush(outbox)?;
        self.file.set_aside(&self.settings, now())?;
        self.begin("the file before was full");
        self.flush(outbox)?;
        self.file.prune(&self.settings)
    }

    /// Ends the log in an orderly way.
    ///
    /// # Errors
    /// As [`Writer::turn`].
    pub fn close(mut self, feed: &Feed) -> Result<()> {
        self.turn(feed, false)?;
        self.turn(feed, true)
    }
}

fn lacks(known: Synced) -> String {
    format!(
        "the keyring knows of line {} with the hash {}, which the log lacks",
        known.line,
        hex(&known.hash)
    )
}

fn gap(report: &Report) -> String {
    let torn = match report.torn {
        0 => String::new(),
        bytes => format!(", and {bytes} bytes of a torn line were cut off"),
    };
    format!(
        "the log was not closed: after {} reads and refusals may be missing{torn}; changes are told from the keyring",
        report.last_time
    )
}
