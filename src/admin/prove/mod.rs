//! `prove`: which keys MySQL's files need, and whether a keyring has them and they are the ones.
//!
//! Owns the judgement; what a file needs is the scan's. It must never write, lock or change anything, works beside a running
//! server, and never says of a key that it is missing or wrong because something could not be read.

mod answer;
#[cfg(test)]
mod hostile_tests;
mod pages;
mod redo_log;
#[cfg(test)]
mod tests;

pub(super) use answer::family;
pub use answer::{Files, Needed, Outcome, Pages, Parts, Proof, State, Unreadable, Unused};

use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::key::record::KeyRecord;
use crate::keyring::Keyring;
use crate::scan::log;
use crate::scan::need::{Fit, Kind, Need, Seen, Unread};
use crate::scan::walk::{self, Looked};
use crate::secret::SecretPool;
use redo_log::Logs;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Gives the key of a name that has no owner; `None`: there is none.
pub type LookUp<'a> = &'a dyn Fn(&[u8]) -> Result<Option<Arc<KeyRecord>>>;

/// The keys that the files are held against.
pub struct Keys<'a> {
    /// Finds one.
    pub look_up: LookUp<'a>,
    /// The names of all that have no owner.
    pub names: Vec<Vec<u8>>,
}

/// What is asked.
pub struct Question<'a> {
    /// Data directories, backups, and folders beside them (logs, undo).
    pub folders: &'a [PathBuf],
    /// `None`: only the names are wanted.
    pub keys: Option<Keys<'a>>,
    /// Open and check every encrypted page as well.
    pub pages: bool,
    /// When to stop, whatever is left.
    pub until: Option<Deadline>,
    /// Hears how many files were looked at.
    pub progress: &'a dyn Fn(u64),
}

/// Holds the files of some folders against a keyring that is opened for a look.
///
/// # Errors
/// All errors of opening a keyring; a folder can't be read.
pub fn prove_by(
    config: &Config,
    folders: &[PathBuf],
    pages: bool,
    warn: &dyn Fn(String),
    progress: &dyn Fn(u64),
) -> Result<Proof> {
    let (report, keyring) = super::inspect::opened(config)?;
    report.status.warnings.into_iter().for_each(warn);
    prove_beside(config, keyring, folders, pages, None, progress)
}

/// The same with a keyring that was opened just before. Where a key is missing the keyring is opened again: a server that
/// runs makes keys, and its files name them at once.
///
/// # Errors
/// As [`prove_by`].
pub(super) fn prove_beside(
    config: &Config,
    mut keyring: Keyring,
    folders: &[PathBuf],
    pages: bool,
    until: Option<Deadline>,
    progress: &dyn Fn(u64),
) -> Result<Proof> {
    /// Nobody rotates keys more often than that while a proof runs.
    const LOOKS: usize = 3;
    let mut proof = prove_with(&keyring, folders, pages, until, progress)?;
    for _ in 1..LOOKS {
        let missing: Vec<&String> = proof
            .in_state(State::Missing)
            .map(|(name, _)| name)
            .collect();
        if missing.is_empty() {
            break;
        }
        keyring = super::inspect::opened(config)?.1;
        let is_new = |name: &&String| {
            keyring
                .fetch(name.as_bytes(), b"")
                .is_ok_and(|key| key.is_some())
        };
        if !missing.iter().any(is_new) {
            break;
        }
        proof = prove_with(&keyring, folders, pages, until, progress)?;
    }
    Ok(proof)
}

/// The same with a keyring that is open.
///
/// # Errors
/// A folder can't be read; a key can't be fetched.
pub fn prove_with(
    keyring: &Keyring,
    folders: &[PathBuf],
    pages: bool,
    until: Option<Deadline>,
    progress: &dyn Fn(u64),
) -> Result<Proof> {
    let names = keyring.list();
    let names = names.iter().filter(|key| key.id.owner().is_empty());
    let keys = Keys {
        look_up: &|name| keyring.fetch(name, b""),
        names: names.map(|key| key.id.name().to_vec()).collect(),
    };
    let mut proof = prove(&Question {
        folders,
        keys: Some(keys),
        pages,
        until,
        progress,
    })?;
    for key in keyring.retired() {
        let name = String::from_utf8_lossy(key.info.id.name());
        if let Some(needed) = proof.needed.get_mut(&*name) {
            needed.retired = needed.state() == State::Missing && key.info.id.owner().is_empty();
        }
    }
    Ok(proof)
}

/// As many keys are named, at most: a server has one for each rotation.
const MOST_KEYS: usize = 10_000;
const TOO_MANY: Unread = Unread::Unknown("more keys are named than a server has");

/// Looks at all files.
///
/// # Errors
/// A folder can't be read; a key can't be fetched.
pub fn prove(question: &Question<'_>) -> Result<Proof> {
    let mut judge = Judge {
        question,
        pool: SecretPool::new(),
        found: HashMap::new(),
        proof: Proof::default(),
        looked: 0,
        prefix: String::from("."),
    };
    for folder in question.folders {
        if question.folders.len() > 1 {
            judge.prefix = folder.display().to_string();
        }
        judge.folder(folder)?;
    }
    judge.finish()
}

struct Judge<'a> {
    question: &'a Question<'a>,
    pool: SecretPool,
    /// What the keyring has said of a name.
    found: HashMap<String, Option<Arc<KeyRecord>>>,
    proof: Proof,
    looked: u64,
    prefix: String,
}

impl Judge<'_> {
    fn folder(&mut self, folder: &Path) -> Result<()> {
        let own_uuid = server_uuid(folder);
        let (mut uuids, mut redo) = (BTreeSet::new(), Logs::default());
        let walked = walk::scan(folder, self.question.until, &mut |looked| {
            if looked.kind == Kind::Redo && !redo.add(&looked) {
                let shown = self.shown(&looked);
                self.unreadable(&shown, &Unread::Unknown("there are too many redo files"));
            }
            self.proof.parts.dictionaries += u64::from(looked.path.ends_with("mysql.ibd"));
            self.proof.parts.undo += u64::from(looked.path.ends_with("undo_001"));
            self.file(&looked, &mut uuids)
        })?;
        self.proof.parts.redo_logs += redo.own();
        self.records(folder, &redo)?;
        if walked.files == 0 && !walked.cut_short {
            self.unreadable(&folder.display().to_string(), &Unread::Empty);
        }
        self.proof.files += walked.files;
        self.proof.cut_short |= walked.cut_short;
        // A server opens a log of another one by its key alone.
        for uuid in uuids
            .into_iter()
            .filter(|uuid| own_uuid.as_ref().is_none_or(|own| own == uuid))
        {
            self.number_of(&uuid)?;
        }
        Ok(())
    }

    /// Which key of the logs is current stands in the keyring, too: without that the server can't go on.
    fn number_of(&mut self, uuid: &str) -> Result<()> {
        let name = format!("{}{uuid}", log::NAMES);
        let is_there = self.look_up(&name)?.is_some();
        let needed = self.proof.needed.entry(name).or_default();
        needed.is_there = self.question.keys.as_ref().map(|_| is_there);
        needed.names_a_number = true;
        Ok(())
    }

    fn file(&mut self, looked: &Looked<'_>, uuids: &mut BTreeSet<String>) -> Result<()> {
        let shown = self.shown(looked);
        match &looked.seen {
            Ok(Seen::Plain) => self.proof.plain += 1,
            Ok(Seen::New) => self.proof.new.add(&shown),
            Ok(Seen::BuiltIn(info)) => {
                match info.is_bare() {
                    true => self.proof.bare.add(&shown),
                    false => self.proof.built_in.add(&shown),
                }
                match info.open_built_in(&self.pool)? {
                    None => self.proof.unreadable.add(
                        &shown,
                        "damaged",
                        "it names the key that is built into InnoDB, which does not open it",
                    ),
                    Some(key) if self.question.pages => self.pages(looked, &shown, &key),
                    Some(_) => {}
                }
            }
            Ok(Seen::Needs(need)) => {
                self.proof.encrypted += 1;
                self.need(looked, &shown, need)?;
                let is_told = self.proof.needed.contains_key(&need.name);
                if let Some((uuid, _)) = log::uuid_and_number(&need.name).filter(|_| is_told) {
                    uuids.insert(uuid.to_string());
                }
            }
            Err(unread) => self.unreadable(&shown, unread),
        }
        self.looked += 1;
        (self.question.progress)(self.looked);
        Ok(())
    }

    /// The key of a name, and what it does to what is sealed.
    fn try_on(&mut self, need: &Need) -> Result<(Option<Arc<KeyRecord>>, Option<Fit>)> {
        let key = self.look_up(&need.name)?;
        let fit = match &key {
            Some(key) => Some(need.sealed.fit(key.material(), &self.pool)?),
            None => None,
        };
        Ok((key, fit))
    }

    fn need(&mut self, looked: &Looked<'_>, shown: &str, first: &Need) -> Result<()> {
        let (mut key, mut fit) = self.try_on(first)?;
        // Not every header has a checksum: it may have been read while a rotation wrote it.
        let again = (fit != Some(Fit::Opens)).then(|| looked.again()).flatten();
        let need = again.as_ref().unwrap_or(first);
        if again.is_some() {
            (key, fit) = self.try_on(need)?;
        }
        let asked = self.question.keys.is_some();
        // What names the key was not read whole, so that it may be any name.
        if fit != Some(Fit::Opens) && !need.sound {
            let why = "the checksum of its first page is wrong";
            self.unreadable(shown, &Unread::Damaged(why));
            return Ok(());
        }
        let Some(needed) = self.needed(shown, &need.name) else {
            return Ok(());
        };
        needed.files.add(shown);
        *needed.kinds.entry(looked.kind).or_default() += 1;
        needed.is_there = asked.then_some(key.is_some());
        match fit {
            Some(Fit::Wrong) => needed.wrong.add(shown),
            Some(Fit::Unproven) => needed.unproven += 1,
            Some(Fit::Opens) | None => {}
        }
        if let (Some(key), Some(Fit::Opens), true) = (key, fit, self.question.pages)
            && let Some(info) = pages::info(looked)
            && let Some(key) = info.open(key.material(), &self.pool)?
        {
            self.pages(looked, shown, &key);
        }
        Ok(())
    }

    fn look_up(&mut self, name: &str) -> Result<Option<Arc<KeyRecord>>> {
        let Some(keys) = &self.question.keys else {
            return Ok(None);
        };
        if let Some(known) = self.found.get(name) {
            return Ok(known.clone());
        }
        let key = (keys.look_up)(name.as_bytes())?;
        if self.found.len() < MOST_KEYS {
            self.found.insert(name.to_string(), key.clone());
        }
        Ok(key)
    }

    /// What is known of a key; `None`: too many are named, which is told.
    fn needed(&mut self, shown: &str, name: &str) -> Option<&mut Needed> {
        let is_full = self.proof.needed.len() >= MOST_KEYS;
        if is_full && !self.proof.needed.contains_key(name) {
            self.unreadable(shown, &TOO_MANY);
            return None;
        }
        Some(self.proof.needed.entry(name.to_string()).or_default())
    }

    fn shown(&self, looked: &Looked<'_>) -> String {
        format!("{}/{}", self.prefix, looked.path.to_string_lossy())
    }

    fn unreadable(&mut self, shown: &str, unread: &Unread) {
        self.proof
            .unreadable
            .add(shown, unread.word(), &unread.to_string());
    }

    fn pages(&mut self, looked: &Looked<'_>, shown: &str, key: &crate::scan::info::FileKey) {
        let until = self.question.until;
        let mut go_on = |_| until.is_none_or(|until| !until.passed());
        match pages::count(looked, key, &mut go_on) {
            Ok(Some(counted)) => self.proof.pages.add(shown, &counted),
            Ok(None) => {}
            Err(unread) => self.unreadable(shown, &unread),
        }
    }

    fn finish(mut self) -> Result<Proof> {
        if self.proof.parts.redo_logs == 0 {
            let new = std::mem::take(&mut self.proof.new);
            let why = "it was just made when it was copied: what names its key is in the redo log, which is not here";
            self.proof.unreadable.files.count += new.count.saturating_sub(new.first.len() as u64);
            new.first
                .iter()
                .for_each(|file| self.proof.unreadable.add(file, "new", why));
        }
        if let Some(keys) = &self.question.keys {
            self.proof.asked = true;
            self.proof.unused = answer::unused(&keys.names, &self.proof.needed);
            answer::mark_rotated(&keys.names, &mut self.proof.needed);
        }
        Ok(self.proof)
    }
}

/// The uuid of the server whose data directory this is; backups may have none.
pub(super) fn server_uuid(folder: &Path) -> Option<String> {
    let folder = crate::os::beneath::Folder::open(folder).ok()?;
    let (file, _) = folder.file(Path::new("auto.cnf")).ok()?;
    let mut text = String::new();
    file.take(4_096).read_to_string(&mut text).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("server-uuid"))?;
    Some(line.trim_start().strip_prefix('=')?.trim().to_string())
}
