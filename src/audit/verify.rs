//! Checking a log: everything that can be known of it without a secret.
//!
//! Owns what is wrong with a log, and what is only to be said of it. It must never call a log complete that has a gap, and never
//! accept more than one torn line, at the very end.

use super::chain::{LINES, PublicKey, Tail};
use super::event::Event;
use super::line::{self, MAX_LINE, Read};
use super::note::{HASH, Synced};
use super::position::Position;
use crate::text::shorten;
use data_encoding::BASE64;
use serde_json::Value;
use std::io::{self, BufRead};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which file, by the order in which they were given.
    pub file: usize,
    /// Which line of that file, from 1 on.
    pub row: u64,
    /// A sentence without its end.
    pub why: String,
}

/// A line that is not wrong, and should be known of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line's number.
    pub line: u64,
    /// When.
    pub time: String,
    /// What it says.
    pub detail: String,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many lines there are.
    pub lines: u64,
    /// The first line's number, and when.
    pub first: (u64, String),
    /// When the last line was.
    pub last_time: String,
    /// The last change before the first line, as that says.
    pub first_change: Option<Position>,
    /// Where the chain stands.
    pub tail: Tail,
    /// How many checkpoints, all of them good.
    pub checkpoints: u64,
    /// The last of them: its line and when.
    pub last_checkpoint: (u64, String),
    /// How many changes.
    pub changes: u64,
    /// How many of them were made again after a crash.
    pub recovered: u64,
    /// Times of which only changes are known.
    pub gaps: Vec<Remark>,
    /// How many changes found no room, and are missing for good.
    pub lost: u64,
    /// Events that found no room.
    pub dropped: Vec<Remark>,
    /// Where a chain does not go on as it should.
    pub restarts: Vec<Remark>,
    /// Bytes of a torn last line.
    pub torn: u64,
    /// Which keyring it tells of, as the last file says.
    pub keyring: String,
    /// Whose key signs, as the last file says.
    pub signer: String,
    /// It ends with a line that says so, and a checkpoint right behind it: without that anybody may have written the line.
    pub is_closed: bool,
    /// Lines behind the last checkpoint.
    pub unsigned: u64,
}

/// Checks files one behind the other.
pub struct Verifier {
    keys: Vec<PublicKey>,
    /// What the keyring knows to be in it.
    expected: Option<Synced>,
    found: bool,
    report: Report,
    file: usize,
    row: u64,
    /// The last change of this chain.
    change: Option<Position>,
    /// The line before says that the log ends.
    stopped: bool,
}

/// How long a torn end is that begins so: the beginning of one line, or zeroes that a power cut left. `None`: it is something else.
fn torn(begin: &[u8], rest: &mut dyn BufRead) -> io::Result<Option<u64>> {
    if begin.len() <= MAX_LINE {
        return Ok(Some(begin.len() as u64));
    }
    let mut length = begin.len() as u64;
    let mut all_zero = begin.iter().all(|b| *b == 0);
    while all_zero {
        let more = rest.fill_buf()?;
        if more.is_empty() {
            return Ok(Some(length));
        }
        all_zero = more.iter().all(|b| *b == 0);
        let taken = more.len();
        length += taken as u64;
        rest.consume(taken);
    }
    Ok(None)
}

impl Verifier {
    /// `keys`: whose signatures count; none: no signature is looked at. `expected`: a line that must be there.
    pub fn new(keys: Vec<PublicKey>, expected: Option<Synced>) -> Verifier {
        Verifier {
            keys,
            expected: expected.filter(|e| e.line > 0),
            found: false,
            report: Report::default(),
            file: 0,
            row: 0,
            change: None,
            stopped: false,
        }
    }

    fn flaw(&self, why: impl Into<String>) -> Flaw {
        Flaw {
            file: self.file,
            row: self.row,
            why: why.into(),
        }
    }

    /// Reads one more file. `last`: a torn line may end it. `each` gets every good line.
    ///
    /// # Errors
    /// The system's; else what is wrong.
    pub fn read(
        &mut self,
        reader: &mut dyn BufRead,
        last: bool,
        each: &mut dyn FnMut(&Read, &str),
    ) -> io::Result<Result<(), Flaw>> {
        self.row = 0;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let mut bounded = io::Read::take(&mut *reader, MAX_LINE as u64 + 1);
            if bounded.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            self.row += 1;
            let Some(text) = bytes.strip_suffix(b"\n") else {
                if last && let Some(torn) = torn(&bytes, reader)? {
                    self.report.torn = torn;
                    break;
                }
                return Ok(Err(self.flaw("the line has no end")));
            };
            let Ok(text) = std::str::from_utf8(text) else {
                return Ok(Err(self.flaw("the line is no text")));
            };
            match self.line(text) {
                Ok(read) => each(&read, text),
                Err(flaw) => return Ok(Err(flaw)),
            }
        }
        self.file += 1;
        Ok(Ok(()))
    }

    fn line(&mut self, text: &str) -> Result<Read, Flaw> {
        let read = Read::parse(text).map_err(|why| self.flaw(why))?;
        self.check_place(&read)?;
        let hash = line::hash(text);
        self.check_expected(&read, &hash)?;
        self.check_signature(&read, text)?;
        self.check_change(&read)?;
        if self.report.unsigned >= LINES && read.event != Event::Checkpoint {
            // Nobody who can't sign adds more than that.
            return Err(self.flaw(format!("more than {LINES} lines without a checkpoint")));
        }
        let report = &mut self.report;
        report.lines += 1;
        report.unsigned += 1;
        (report.tail.line, report.tail.hash) = (read.number, hash);
        report.last_time.clone_from(&read.time);
        report.is_closed = read.event == Event::Checkpoint && self.stopped;
        self.stopped = read.event == Event::Stopped;
        let remark = || Remark {
            line: read.number,
            time: read.time.clone(),
            detail: read.detail.clone(),
        };
        match read.event {
            Event::Checkpoint => {
                report.checkpoints += 1;
                report.unsigned = 0;
                report.last_checkpoint = (read.number, read.time.clone());
            }
            Event::Gap => {
                let mut remark = remark();
                if read.change.is_some() {
                    report.lost = report.lost.saturating_add(read.count);
                    remark.detail = format!("{}: {} changes are missing", read.detail, read.count);
                }
                report.gaps.push(remark);
            }
            Event::Dropped => report.dropped.push(Remark {
                detail: format!("{} events", read.count),
                ..remark()
            }),
            Event::Restarted => report.restarts.push(remark()),
            _ => {}
        }
        report.changes += u64::from(read.event.is_change());
        report.recovered += u64::from(read.recovered);
        Ok(read)
    }

    fn check_place(&mut self, read: &Read) -> Result<(), Flaw> {
        let tail = self.report.tail;
        let begins = read.event == Event::Begin;
        if self.row == 1 && !begins {
            return Err(self.flaw("the file does not begin with its first line"));
        }
        if begins {
            self.check_begin(read)?;
        }
        if self.report.lines == 0 {
            self.report.first = (read.number, read.time.clone());
            if (read.number == 1) != (read.previous == [0; HASH]) {
                return Err(self.flaw("the first line of a log follows none"));
            }
            return Ok(());
        }
        // A new chain, in a file of its own.
        if begins && self.row == 1 && read.number == 1 && read.previous == [0; HASH] {
            self.change = None;
            self.report.unsigned = 0;
            self.report.restarts.push(Remark {
                line: 1,
                time: read.time.clone(),
                detail: format!("a new chain begins: {}", read.detail),
            });
            return Ok(());
        }
        let next = tail.line.saturating_add(1);
        if read.number != next || tail.line == next {
            let why = format!("line {next} is expected, line {} is there", read.number);
            return Err(self.flaw(why));
        }
        match read.previous == tail.hash {
            true => Ok(()),
            false => Err(self.flaw(format!("the line before line {} was changed", read.number))),
        }
    }

    fn check_begin(&mut self, read: &Read) -> Result<(), Flaw> {
        let text = |name: &str| read.members.get(name).and_then(Value::as_str);
        if read.members.get("format").and_then(Value::as_u64) != Some(line::FORMAT) {
            return Err(self.flaw("the file has a format that this program does not know"));
        }
        self.report.keyring = text("keyring").unwrap_or_default().into();
        self.report.signer = text("signer").unwrap_or_default().into();
        let last = text("last_change").and_then(Position::parse);
        if self.report.lines == 0 {
            self.change = last;
            self.report.tail.change = last;
            self.report.first_change = last;
        }
        Ok(())
    }

    fn check_expected(&mut self, read: &Read, hash: &[u8; HASH]) -> Result<(), Flaw> {
        let Some(expected) = self.expected else {
            return Ok(());
        };
        if read.number != expected.line {
            return Ok(());
        }
        self.found |= *hash == expected.hash;
        Ok(())
    }

    fn check_signature(&self, read: &Read, text: &str) -> Result<(), Flaw> {
        if read.event != Event::Checkpoint {
            return Ok(());
        }
        let Some((body, signature)) = line::parts(text) else {
            return Err(self.flaw("the checkpoint has no signature"));
        };
        if self.keys.is_empty() {
            return Ok(());
        }
        let named = read.members.get("signer").and_then(Value::as_str);
        let Some(key) = self.keys.iter().find(|key| named == Some(&*key.id())) else {
            let named = shorten(named.unwrap_or_default());
            let ids: Vec<String> = self.keys.iter().map(PublicKey::id).collect();
            let why = format!(
                "the checkpoint is signed by the key {named}, and not by {}",
                ids.join(" or ")
            );
            return Err(self.flaw(why));
        };
        let signature = BASE64.decode(signature.as_bytes()).unwrap_or_default();
        match key.verifies(body, &signature) {
            true => Ok(()),
            false => Err(self.flaw("the checkpoint's signature is wrong")),
        }
    }

    /// Each change once, and in order.
    fn check_change(&mut self, read: &Read) -> Result<(), Flaw> {
        if read.event == Event::Restarted {
            // Another branch counts again.
            self.change = None;
        }
        let Some(change) = read.change else {
            return Ok(());
        };
        if self
            .change
            .is_some_and(|last| last.place() >= change.place())
        {
            return Err(self.flaw(format!(
                "the change {} is told twice, or too late",
                change.text()
            )));
        }
        self.change = Some(change);
        self.report.tail.change = Some(change);
        Ok(())
    }

    /// What was found; `false`: the line that the keyring knows of is not there.
    pub fn finish(self) -> (Report, bool) {
        let is_there = self.expected.is_none() || self.found;
        (self.report, is_there)
    }
}
