//! What is there of a log when it is opened again, and what of it can be believed.
//!
//! Owns how far a log is vouched for: by its last signature, or by the line that the keyring knows. It must never take a change for told
//! because of a line that nobody vouches for: whoever can write the file could keep it out of the log for good.

use super::chain::{Signer, Tail};
use super::file::{LogFile, files};
use super::line::{self, Read};
use super::note::Synced;
use super::outbox::{Opened, Outbox, Told};
use super::position::Position;
use super::verify::{Report, Verifier};
use crate::error::{Error, Result};
use crate::text::hex;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// What was there when the log was opened.
pub(super) struct Found {
    pub(super) report: Report,
    /// What is wrong with it.
    pub(super) flaw: Option<String>,
    /// The line that the keyring knows of is in it, or it knows of none.
    pub(super) is_whole: bool,
    /// The last change in the lines that are vouched for.
    vouched: Option<Position>,
    /// The changes behind them.
    behind: Vec<Told>,
}

/// Reads files of the log, one behind the other.
fn look(files: &mut [BufReader<File>], signer: &Signer, known: Synced) -> Result<Found> {
    let mut verifier = Verifier::new(vec![signer.public()], Some(known));
    let (mut flaw, last) = (None, files.len().saturating_sub(1));
    let (mut vouched, mut behind) = (None, Vec::<Told>::new());
    let mut each = |line: &Read, text: &str| {
        behind.extend(Told::of_line(line));
        let is_signed = line.event == super::event::Event::Checkpoint;
        if is_signed || line.number == known.line && line::hash(text) == known.hash {
            vouched = behind.last().map(|told| told.change).or(vouched);
            behind.clear();
        }
    };
    for (n, file) in files.iter_mut().enumerate() {
        let read = verifier.read(file, n == last, &mut each);
        let read = read.map_err(|e| Error::io("read the audit log", "its lines", e))?;
        if let Err(found) = read {
            flaw = Some(format!("row {}: {}", found.row, found.why));
            break;
        }
    }
    let (report, is_there) = verifier.finish();
    Ok(Found {
        flaw,
        // An earlier file has it. Where nothing is signed that is there, anybody may have written it.
        is_whole: is_there || report.first.0 > known.line && report.checkpoints > 0,
        vouched: vouched.or_else(|| report.first_change.filter(|_| report.checkpoints > 0)),
        behind,
        report,
    })
}

/// Reads what is there: the file that is written, and where that says nothing of the line that the keyring knows of, before it the one
/// that was set aside last. `None`: nothing is there.
///
/// # Errors
/// Io.
pub(super) fn look_at(
    file: &LogFile,
    path: &Path,
    signer: &Signer,
    known: Synced,
) -> Result<Option<Found>> {
    let own = || {
        file.reader()
            .map_err(|e| Error::io("read the audit log", "its lines", e))
    };
    if file.length() == 0 {
        return newest_aside(path)
            .map(|before| look(&mut [before], signer, known))
            .transpose();
    }
    let found = look(&mut [own()?], signer, known)?;
    let report = &found.report;
    let is_enough =
        found.flaw.is_some() || report.lines == 0 || report.first.0 <= known.line.max(1);
    let Some(before) = newest_aside(path).filter(|_| !is_enough) else {
        return Ok(Some(found));
    };
    let both = look(&mut [before, own()?], signer, known)?;
    // What was set aside because somebody had cut it does not reach to where this one begins, which is signed.
    let is_enough = both.flaw.is_some() && found.is_whole;
    Ok(Some(if is_enough { found } else { both }))
}

/// The file that was set aside last.
fn newest_aside(path: &Path) -> Option<BufReader<File>> {
    let all = files(path).ok()?;
    let newest = all.iter().rev().find(|file| *file != path)?;
    let (file, _) = crate::os::file::open(newest, crate::os::file::Access::Read).ok()?;
    Some(BufReader::new(file))
}

impl Found {
    /// Whose log it is; `false`: another keyring's, or of another key.
    pub(super) fn is_of(&self, keyring: &[u8; 16], signer: &Signer) -> bool {
        let report = &self.report;
        report.lines == 0 || report.keyring == hex(keyring) && report.signer == signer.public().id()
    }

    /// Where the chain stands.
    pub(super) fn tail(&self) -> Tail {
        self.report.tail
    }

    /// What the log tells of the journal's changes is not owed any more. Gives why it does not fit.
    pub(super) fn catch_up(&self, outbox: &Outbox, opened: &Opened) -> Option<&'static str> {
        let logged = self.tail().change?;
        if logged.sequence > opened.end {
            return Some(
                "the keyring is older than the log: it ends with an earlier change than the log tells of",
            );
        }
        if !self.vouched.is_none_or(|vouched| outbox.forget(vouched)) {
            return Some(
                "the keyring is another branch than the log tells of: the same change is another one there",
            );
        }
        let is_true = self.behind.iter().all(|told| outbox.forget_told(told));
        // A first line that nobody signed may say too much, too.
        (!is_true || outbox.owes(logged)).then_some("lines that nobody signed tell of changes otherwise than the keyring does: what is owed is told anew")
    }
}

/// What the keyring knows of and the log has not.
pub(super) fn lacks(known: Synced) -> String {
    format!(
        "the keyring knows of line {} with the hash {}, which the log lacks",
        known.line,
        hex(&known.hash)
    )
}

/// What is said of a log that was not closed.
pub(super) fn gap(report: &Report) -> String {
    let torn = match report.torn {
        0 => String::new(),
        bytes => format!(", and {bytes} bytes of a torn line were cut off"),
    };
    let unsigned = match report.unsigned {
        0 => String::new(),
        lines => format!(", {lines} lines before were not signed"),
    };
    format!(
        "the log was not closed: after {} reads and refusals may be missing{unsigned}{torn}; changes are told from the keyring",
        report.last_time
    )
}
