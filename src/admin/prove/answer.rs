//! What a proof says, bounded whatever the files say.

use crate::key::of_server::Numbered;
use crate::scan::need::Kind;
use crate::scan::page::Counted;
use crate::text::clean;
use std::collections::{BTreeMap, BTreeSet};

/// As many files are named, at most: the first ones in the order of their names.
const NAMED: usize = 10;

/// Files: how many, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// How many.
    pub count: u64,
    /// The first ones in the order of their names, fit to be shown.
    pub first: BTreeSet<String>,
}

impl Files {
    /// One more.
    pub(super) fn add(&mut self, path: &str) {
        self.count += 1;
        if self.first.len() < NAMED || self.first.last().is_some_and(|last| path < last.as_str()) {
            self.first.insert(clean(path));
        }
        if self.first.len() > NAMED {
            self.first.pop_last();
        }
    }

    /// "a, b, c and 9 more", for people.
    pub fn shown(&self) -> String {
        const SHOWN: usize = 3;
        let mut shown: Vec<_> = self.first.iter().take(SHOWN).map(String::as_str).collect();
        let more = self.count - shown.len() as u64;
        let and_more = format!("{more} more");
        if more > 0 {
            shown.push(&and_more);
        }
        match shown.split_last() {
            Some((last, [])) => (*last).to_string(),
            Some((last, before)) => format!("{} and {last}", before.join(", ")),
            None => String::new(),
        }
    }
}

/// How a key that is needed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// No keyring was asked.
    NotAsked,
    /// It opens every file that names it.
    Opens,
    /// It is there, and no file that names it holds anything yet that could prove it.
    Unproven,
    /// It is there, and does not open a file that names it.
    Wrong,
    /// The keyring lacks it.
    Missing,
}

impl State {
    /// For programs.
    pub fn word(self) -> &'static str {
        match self {
            State::NotAsked => "not asked",
            State::Opens => "opens",
            State::Unproven => "unproven",
            State::Wrong => "wrong",
            State::Missing => "missing",
        }
    }
}

/// A key that files need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// The files that name it.
    pub files: Files,
    /// How many of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Those of them that it does not open.
    pub wrong: Files,
    /// Those that have nothing yet that could tell.
    pub unproven: u64,
    /// It is no key: it says which key of the logs is current, and no file names it.
    pub names_a_number: bool,
    /// A log's key for which the keyring has a later one: ROTATE BINLOG MASTER KEY has removed it.
    pub rotated_away: bool,
    /// It is missing, and the keyring keeps it as a retired key.
    pub retired: bool,
    /// The keyring has it; `None`: none was asked.
    pub(super) is_there: Option<bool>,
}

impl Needed {
    /// How it is.
    pub fn state(&self) -> State {
        match self.is_there {
            None => State::NotAsked,
            Some(false) => State::Missing,
            Some(true) if self.wrong.count > 0 => State::Wrong,
            Some(true) if self.files.count > 0 && self.unproven == self.files.count => {
                State::Unproven
            }
            Some(true) => State::Opens,
        }
    }

    /// Only logs need it: a server starts without it.
    pub fn only_by_logs(&self) -> bool {
        self.kinds.keys().all(|kind| *kind == Kind::Log)
    }
}

/// A key of the server's that no file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its name.
    pub name: String,
    /// No key of its kind and server has a higher number: the server's next one goes on from it.
    pub newest: bool,
}

/// Files that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub files: Files,
    /// Of the first ones why, as a word and a sentence.
    pub why: BTreeMap<String, (&'static str, String)>,
}

impl Unreadable {
    pub(super) fn add(&mut self, path: &str, word: &'static str, sentence: &str) {
        self.files.add(path);
        self.why.insert(clean(path), (word, clean(sentence)));
        self.why.retain(|path, _| self.files.first.contains(path));
    }
}

/// What became of the encrypted pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Opened and right.
    pub good: u64,
    /// Not encrypted.
    pub plain: u64,
    /// Not to be opened, or wrong.
    pub bad: u64,
    /// The files of these.
    pub files: Files,
    /// Of the first ones how many and the number of the first.
    pub first_bad: BTreeMap<String, (u64, u64)>,
}

impl Pages {
    pub(super) fn add(&mut self, path: &str, counted: &Counted) {
        self.good += counted.good;
        self.plain += counted.plain;
        self.bad += counted.bad;
        if let Some(first) = counted.first_bad {
            self.files.add(path);
            self.first_bad.insert(clean(path), (counted.bad, first));
            self.first_bad
                .retain(|path, _| self.files.first.contains(path));
        }
    }
}

/// How all of it is; a later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Each file that was found opens, or its key's name is told.
    Opens,
    /// Something could not be read, or not to the end.
    Unreadable,
    /// A key is there under its name, but is another one.
    Wrong,
    /// A key is not there.
    Missing,
}

impl Outcome {
    /// For programs.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Opens => "opens",
            Outcome::Unreadable => "unreadable",
            Outcome::Wrong => "wrong",
            Outcome::Missing => "missing",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// A keyring was asked.
    pub asked: bool,
    /// Files of MySQL's that were looked at.
    pub files: u64,
    /// Those that need a key of a keyring.
    pub encrypted: u64,
    /// Those that need no key; records in a redo file may name one nevertheless.
    pub plain: u64,
    /// Those that were made a moment before they were read: records of the redo log name their keys.
    pub new: Files,
    /// Those under the key that is built into InnoDB.
    pub built_in: Files,
    /// Those whose own key stands in them in clear text.
    pub bare: Files,
    /// The keys that files need, by name.
    pub needed: BTreeMap<String, Needed>,
    /// Keys of the server's that no file names.
    pub unused: Vec<Unused>,
    /// What could not be read.
    pub unreadable: Unreadable,
    /// Pages, where these were asked for.
    pub pages: Pages,
    /// The time was over before the end.
    pub cut_short: bool,
    /// What every data directory has.
    pub parts: Parts,
}

/// How often there is what every data directory has once; parts of it may lie elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The dictionary.
    pub dictionaries: u64,
    /// The redo log: its files of one folder.
    pub redo_logs: u64,
    /// Those of a format whose records are not read: files.
    pub old_redo_files: u64,
    /// The first undo tablespace.
    pub undo: u64,
    /// The place of the redo logs' last checkpoint, the highest of all.
    pub checkpoint: u64,
}

impl Proof {
    /// The keys that are so.
    pub fn in_state(&self, state: State) -> impl Iterator<Item = (&String, &Needed)> {
        self.needed
            .iter()
            .filter(move |(_, needed)| needed.state() == state)
    }

    /// How all of it is.
    pub fn outcome(&self) -> Outcome {
        let keys = self.needed.values().map(|needed| match needed.state() {
            State::Missing => Outcome::Missing,
            State::Wrong => Outcome::Wrong,
            State::NotAsked | State::Opens | State::Unproven => Outcome::Opens,
        });
        let files = match self.unreadable.files.count + self.pages.bad {
            0 if !self.cut_short => Outcome::Opens,
            _ => Outcome::Unreadable,
        };
        keys.fold(files, Outcome::max)
    }
}

/// Marks keys that are gone because the server itself removed them: it keeps one key for its logs.
pub(super) fn mark_rotated(names: &[Vec<u8>], needed: &mut BTreeMap<String, Needed>) {
    let newest = newest(names);
    for (name, needed) in needed {
        let later = family(name).and_then(|(head, number)| Some(*newest.get(head)? > number));
        needed.rotated_away = needed.only_by_logs() && later == Some(true);
    }
}

/// The keys of servers that no file names; what says which key of the logs is current is none.
pub(super) fn unused(names: &[Vec<u8>], needed: &BTreeMap<String, Needed>) -> Vec<Unused> {
    let newest = newest(names);
    let texts = names
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok());
    let numbered: Vec<_> = texts
        .filter_map(|name| Some((name, family(name)?)))
        .collect();
    let unused = numbered
        .iter()
        .filter(|(name, _)| !needed.contains_key(*name));
    let mut unused: Vec<_> = unused
        .map(|(name, (head, number))| Unused {
            name: (*name).to_string(),
            newest: newest.get(head) == Some(number),
        })
        .collect();
    unused.sort_by(|a, b| a.name.cmp(&b.name));
    unused
}

/// The highest number of each kind of key and server.
fn newest(names: &[Vec<u8>]) -> BTreeMap<&str, u64> {
    let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
    let texts = names
        .iter()
        .filter_map(|name| std::str::from_utf8(name).ok());
    for (head, number) in texts.filter_map(family) {
        let most = newest.entry(head).or_default();
        *most = (*most).max(number);
    }
    newest
}

/// The name of a server's key without its number, and that, as a server writes it.
pub(in crate::admin) fn family(name: &str) -> Option<(&str, u64)> {
    let parts = Numbered::of(name.as_bytes())?;
    let head = name.get(..parts.head.len())?;
    Some((head, parts.servers_number()?.into()))
}
