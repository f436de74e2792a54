//! The writer of the log: what one thread does, turn by turn.
//!
//! Owns the order: what is told goes to the disk, then it is forgotten. It opens what is there, finds out what of the journal's changes it
//! lacks, and says what can't be known any more. It must never write over a line, and never forget a change that is not on the disk.

use super::chain::{Chain, Signer, Tail};
use super::entry::{Entry, now};
use super::event::Event;
use super::feed::Feed;
use super::file::LogFile;
use super::note::Synced;
use super::outbox::{Opened, Outbox};
use super::resume::{Found, gap, lacks, look_at};
use super::settings::Settings;
use super::summary::Summary;
use super::syslog::Sender;
use crate::error::{Error, Result};

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
        let found = look_at(&file, &settings.file, &signer, opened.known)?;
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
                writer.begin("a new log")?;
                if opened.known.line > 0 {
                    writer.restart(&lacks(opened.known))?;
                }
            }
        }
        writer.tell(
            &Entry::new(Event::Started).saying(concat!("Keyring Ward ", env!("CARGO_PKG_VERSION"))),
        )?;
        // What is said of the time before is signed at once.
        writer.checkpoint()?;
        writer.flush(outbox)?;
        writer.file.sync_folder()?;
        Ok(writer)
    }

    /// Goes on behind what is there, if that is ours.
    fn go_on(&mut self, found: Found, outbox: &Outbox, opened: &Opened) -> Result<()> {
        let is_ours = found.is_of(&opened.file_id, self.chain.signer());
        let report = &found.report;
        let bad = match (&found.flaw, is_ours) {
            (Some(flaw), _) => Some(format!("the log that was there is damaged ({flaw})")),
            (None, false) => Some("the log that was there is another keyring's".into()),
            (None, true) => None,
        };
        if let Some(why) = bad {
            if self.file.length() > 0 {
                self.file.set_aside(&self.settings, now())?;
            }
            self.begin("a new chain")?;
            return self.restart(&why);
        }
        if report.lines == 0 {
            // Not one whole line: a crash right at the beginning.
            self.file.cut(report.torn)?;
            return self.begin("a new log");
        }
        let file_is_empty = self.file.length() == 0;
        if !file_is_empty {
            self.file.cut(report.torn)?;
        }
        self.chain.go_on(report.tail, report.unsigned);
        if file_is_empty {
            self.begin("the file before was full")?;
        }
        if !found.is_whole {
            self.restart(&lacks(opened.known))?;
        }
        // Before anything is taken for told.
        self.file.sync()?;
        if let Some(why) = found.catch_up(outbox, opened) {
            self.restart(why)?;
        }
        match report.is_closed {
            true => Ok(()),
            false => self.tell(&Entry::new(Event::Gap).saying(&gap(report))),
        }
    }

    fn begin(&mut self, why: &str) -> Result<()> {
        self.sign_if_due()?;
        self.chain.begin(why, &mut self.lines);
        Ok(())
    }

    /// Says that the chain does not go on as it should.
    fn restart(&mut self, why: &str) -> Result<()> {
        self.chain.set_change(None);
        self.tell(&Entry::new(Event::Restarted).saying(why))
    }

    fn tell(&mut self, entry: &Entry) -> Result<()> {
        self.sign_if_due()?;
        self.chain.tell(entry, &mut self.lines);
        Ok(())
    }

    /// Before each line: no more of them than that stand without a signature.
    fn sign_if_due(&mut self) -> Result<()> {
        match self.chain.is_due() {
            true => self.checkpoint(),
            false => Ok(()),
        }
    }

    /// Tells something, and keeps it for who looks from SQL.
    fn show(&mut self, entry: &Entry, feed: &Feed) -> Result<()> {
        self.tell(entry)?;
        feed.recent.keep(self.chain.tail().line, entry);
        Ok(())
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
            match self.file.is_in_place() {
                true => self.check_file()?,
                false => self.find_place()?,
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
        let (changes, serial) = feed.outbox.behind(self.keyring(), self.serial, TURN);
        let before = serial.saturating_sub(changes.len() as u64);
        for (change, n) in changes.iter().zip(1..) {
            self.show(change, feed)?;
            self.serial = before + n;
        }
        for _ in 0..TURN {
            let Some(entry) = feed.ring.pop() else { break };
            if let Some(entry) = self.summary.take(entry) {
                self.show(&entry, feed)?;
            }
        }
        for entry in self.summary.due(feed, last) {
            self.show(&entry, feed)?;
        }
        let dropped = feed.take_dropped();
        if dropped > 0 {
            self.tell(&Entry {
                count: dropped,
                ..Entry::new(Event::Dropped)
            })?;
        }
        if last {
            self.tell(&Entry::new(Event::Stopped))?;
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
            self.keyring(),
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
        // First: if the folder can't be synced, the file still begins with its first line.
        self.begin("the file before was removed or renamed")?;
        self.checkpoint()?;
        self.file.sync_folder()
    }

    /// Somebody else wrote to the file or cut it: it stays as he left it, and another one begins.
    fn check_file(&mut self) -> Result<()> {
        let is = self.file.is_as_long()?;
        if is == self.file.length() {
            return Ok(());
        }
        let why = format!(
            "the file before has {is} bytes, and {} were written: it was cut, or somebody else wrote to it",
            self.file.length()
        );
        self.file.set_aside(&self.settings, now())?;
        self.begin("the file before was changed")?;
        self.tell(&Entry::new(Event::Restarted).saying(&why))?;
        self.checkpoint()?;
        self.file.sync_folder()
    }

    fn rotate(&mut self, outbox: &Outbox) -> Result<()> {
        self.tell(&Entry::new(Event::Rotated))?;
        self.checkpoint()?;
        self.flush(outbox)?;
        self.file.set_aside(&self.settings, now())?;
        // Whatever fails from here on: no file goes on without its first line.
        self.begin("the file before was full")?;
        self.file.sync_folder()?;
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
