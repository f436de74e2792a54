//! The audit log, for who reads and checks it: without a server, and for the most part without any secret.
//!
//! Owns what is asked of its files. It must never change one, and never call a log good that was not checked to its end.

use super::environment;
use crate::audit::chain::PublicKey;
use crate::audit::file::files;
use crate::audit::line::{MAX_LINE, Read};
use crate::audit::note::Synced;
use crate::audit::outbox::Outbox;
use crate::audit::verify::{Flaw, Report, Verifier};
use crate::caller::actor::Actor;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::keyring::Keyring;
use crate::os::file::open_following;
use crate::secret::SecretPool;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const OP: &str = "read the audit log";

/// What a keyring knows of its log.
pub struct Known {
    /// Whose signatures the log has.
    pub key: PublicKey,
    /// The same in PEM.
    pub pem: String,
    /// The last line that the journal knows of.
    pub synced: Synced,
    /// Where the log is, by the configuration.
    pub file: Option<PathBuf>,
}

/// Opens a keyring to ask it.
///
/// # Errors
/// NotFound: it has no key for a log. Those of opening it.
pub fn known(config: &Config) -> Result<Known> {
    let outbox = Arc::new(Outbox::default());
    let mut asked = config.clone();
    // The journal tells, whether a log is configured here or not.
    let file = asked.audit.as_ref().map(|s| s.file.clone());
    asked
        .audit
        .get_or_insert_with(|| crate::audit::Settings::at(PathBuf::from("/")));
    let environment = crate::keyring::Environment {
        audit: Some(outbox.clone()),
        ..environment(true)
    };
    let keyring = Keyring::open(&asked, &environment, &SecretPool::new())?;
    let signer = keyring.known_audit_signer()?.ok_or_else(|| {
        Error::new(Kind::NotFound, OP, "the keyring has no key for an audit log").hint(
            "A server makes it when it begins the log: set audit_file, and let it make a key or read one.",
        )
    })?;
    Ok(Known {
        key: signer.public(),
        pem: signer.public_pem()?,
        synced: outbox.journal().0.known,
        file,
    })
}

fn failed(path: &Path, e: io::Error) -> Error {
    Error::io(OP, format!("'{}'", path.display()), e)
}

fn reader(path: &Path) -> Result<BufReader<std::fs::File>> {
    let (file, _) = open_following(path).map_err(|e| failed(path, e))?;
    Ok(BufReader::with_capacity(256 << 10, file))
}

/// The files of a log, the oldest first: those beside one that is named alone, or those that are named.
///
/// # Errors
/// NotFound, Io.
pub fn found(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let [path] = named else {
        return Ok(named.to_vec());
    };
    let all = files(path).map_err(|e| failed(path, e))?;
    match all.is_empty() {
        false => Ok(all),
        true => Err(Error::new(
            Kind::NotFound,
            OP,
            format!("'{}' does not exist", path.display()),
        )
        .hint("Name the file that audit_file names; those that are full lie beside it.")),
    }
}

/// What came of checking a log.
pub struct Checked {
    /// What was found, up to the flaw.
    pub report: Report,
    /// What is wrong, and in which file.
    pub flaw: Option<(PathBuf, Flaw)>,
    /// The line that the keyring knows of, where one was asked and is not there.
    pub lacks: Option<Synced>,
}

/// Checks files one behind the other, to the first flaw.
///
/// # Errors
/// One can't be read.
pub fn check(files: &[PathBuf], keys: Vec<PublicKey>, expected: Option<Synced>) -> Result<Checked> {
    let mut verifier = Verifier::new(keys, expected);
    let mut flaw = None;
    for (n, path) in files.iter().enumerate() {
        let last = n + 1 == files.len();
        let read = verifier.read(&mut reader(path)?, last, &mut |_, _| {});
        if let Err(found) = read.map_err(|e| failed(path, e))? {
            flaw = Some((path.clone(), found));
            break;
        }
    }
    let (report, is_there) = verifier.finish();
    // An earlier file that was removed by audit_keep had it.
    let before = |e: &Synced| e.line < report.first.0;
    let lacks = expected.filter(|e| flaw.is_none() && !is_there && !before(e));
    Ok(Checked {
        report,
        flaw,
        lacks,
    })
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this account: as who logged in, or as whose rights counted.
    pub account: Option<String>,
    /// About this key.
    pub key: Option<String>,
    /// About keys of this owner.
    pub owner: Option<String>,
    /// These events.
    pub events: Vec<String>,
    /// From then on, RFC 3339 in UTC.
    pub since: Option<String>,
    /// Before then.
    pub until: Option<String>,
}

impl Filter {
    /// The line is wanted.
    pub fn takes(&self, line: &Read) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w == is);
        let account = |wanted: &String| {
            let actor = Actor::read(&line.actor);
            let names = [Some(actor.who), actor.account, actor.on_behalf];
            names.contains(&Some(&**wanted))
        };
        self.account.as_ref().is_none_or(account)
            && same(&self.key, &line.key)
            && same(&self.owner, &line.owner)
            && (self.events.is_empty() || self.events.iter().any(|e| e == line.event.word()))
            && self.since.as_ref().is_none_or(|since| line.time >= *since)
            && self.until.as_ref().is_none_or(|until| line.time < *until)
    }
}

/// Gives each wanted line to `each`, without checking the chain. Gives how many lines could not be read.
///
/// # Errors
/// A file can't be read.
pub fn lines(files: &[PathBuf], filter: &Filter, each: &mut dyn FnMut(&Read, &str)) -> Result<u64> {
    let mut unread = 0;
    for path in files {
        unread += lines_of(path, &mut reader(path)?, filter, each)?;
    }
    Ok(unread)
}

fn lines_of(
    path: &Path,
    reader: &mut dyn BufRead,
    filter: &Filter,
    each: &mut dyn FnMut(&Read, &str),
) -> Result<u64> {
    let (mut bytes, mut unread) = (Vec::new(), 0);
    loop {
        bytes.clear();
        let mut bounded = io::Read::take(&mut *reader, MAX_LINE as u64);
        if bounded
            .read_until(b'\n', &mut bytes)
            .map_err(|e| failed(path, e))?
            == 0
        {
            return Ok(unread);
        }
        let text = bytes
            .strip_suffix(b"\n")
            .and_then(|t| std::str::from_utf8(t).ok());
        match text.map(|text| (text, Read::parse(text))) {
            Some((text, Ok(line))) if filter.takes(&line) => each(&line, text),
            Some((_, Ok(_))) => {}
            _ => unread += 1,
        }
    }
}

/// Gives each wanted line that is there, and then those that come, until `each` says that it is enough.
///
/// # Errors
/// A file can't be read.
pub fn follow(path: &Path, filter: &Filter, each: &mut dyn FnMut(&str) -> bool) -> Result<()> {
    let mut input = reader(path)?;
    let mut bytes = Vec::new();
    loop {
        // A line that never ends fills no memory: its pieces are no lines.
        let read = io::Read::take(&mut input, MAX_LINE as u64)
            .read_until(b'\n', &mut bytes)
            .map_err(|e| failed(path, e))?;
        if bytes.len() > MAX_LINE {
            bytes.clear();
        }
        if bytes.last() == Some(&b'\n') {
            let text = std::str::from_utf8(&bytes[..bytes.len() - 1]).unwrap_or_default();
            let wanted = Read::parse(text).is_ok_and(|line| filter.takes(&line));
            if wanted && !each(text) {
                return Ok(());
            }
            bytes.clear();
        } else if read == 0 {
            std::thread::sleep(Duration::from_millis(200));
            go_on_in_next(path, &mut input, &mut bytes)?;
        }
    }
}

/// Where the file was set aside, the one that is there now is read from its beginning.
fn go_on_in_next(
    path: &Path,
    input: &mut BufReader<std::fs::File>,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Ok(now) = std::fs::metadata(path) else {
        return Ok(());
    };
    let own = input.get_ref().metadata().map_err(|e| failed(path, e))?;
    let at = input.stream_position().map_err(|e| failed(path, e))?;
    if own.ino() == now.ino() || at < own.len() {
        return Ok(());
    }
    *input = reader(path)?;
    input
        .seek(SeekFrom::Start(0))
        .map_err(|e| failed(path, e))?;
    bytes.clear();
    Ok(())
}

/// What an account has read of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exposed {
    /// How often it was read.
    pub reads: u64,
    /// When first.
    pub first: String,
    /// When last.
    pub last: String,
}

/// What was exposed, by name and owner of the key.
type ByKey = BTreeMap<(String, String), Exposed>;

/// What may be missing in an answer that a log gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blind {
    /// Lines that could not be read.
    pub unread: u64,
    /// Lines that say that something is missing: gaps, dropped events, chains that began anew.
    pub missing: u64,
}

/// What an account has read, by key and owner: it has seen the material. And what of that the log can't say.
///
/// # Errors
/// A file can't be read.
pub fn exposed(files: &[PathBuf], account: &str, since: Option<String>) -> Result<(ByKey, Blind)> {
    let blind = Filter {
        events: ["gap", "dropped", "chain_restarted"].map(Into::into).into(),
        since: since.clone(),
        ..Filter::default()
    };
    let mut missing = 0;
    lines(files, &blind, &mut |_, _| missing += 1)?;
    let filter = Filter {
        account: Some(account.into()),
        events: vec!["key_read".into()],
        since,
        ..Filter::default()
    };
    let mut all: BTreeMap<_, Exposed> = BTreeMap::new();
    let unread = lines(files, &filter, &mut |line, _| {
        if line.outcome != crate::audit::event::Outcome::Done {
            return;
        }
        let one = all
            .entry((line.key.clone(), line.owner.clone()))
            .or_default();
        one.reads += line.count;
        if one.first.is_empty() {
            one.first.clone_from(&line.time);
        }
        one.last.clone_from(&line.time);
    })?;
    Ok((all, Blind { unread, missing }))
}
