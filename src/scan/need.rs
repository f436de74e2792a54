//! What a file needs, or why that can't be told.

use super::info::Info;
use crate::error::Result;
use crate::secret::SecretPool;
use std::fmt;
use std::io;

/// A kind of MySQL's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A tablespace: of a table, a partition, the dictionary, several tables, undo.
    Tablespace,
    /// A file of the redo log.
    Redo,
    /// A binary log or a relay log.
    Log,
    /// The persisted variables.
    Persisted,
}

impl Kind {
    /// For people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Tablespace => "tablespace",
            Kind::Redo => "redo log",
            Kind::Log => "binary or relay log",
            Kind::Persisted => "persisted variables",
        }
    }
}

/// What a key does to what is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It opens it: a checksum inside says so.
    Opens,
    /// It does not.
    Wrong,
    /// There is nothing in the file yet that could tell.
    Unproven,
}

/// What is under a key, with something inside that tells whether a key is the one.
pub trait Sealed {
    /// Tries a key.
    ///
    /// # Errors
    /// No secret memory.
    fn fit(&self, key: &[u8], pool: &SecretPool) -> Result<Fit>;
}

impl Fit {
    /// From the answer of a checksum.
    pub(super) fn of(opens: bool) -> Fit {
        match opens {
            true => Fit::Opens,
            false => Fit::Wrong,
        }
    }
}

impl Sealed for Info {
    fn fit(&self, key: &[u8], pool: &SecretPool) -> Result<Fit> {
        Ok(Fit::of(self.open(key, pool)?.is_some()))
    }
}

/// A file that needs a key of a keyring.
pub struct Need {
    /// The key's name; its owner is empty.
    pub name: String,
    /// What proves a key.
    pub sealed: Box<dyn Sealed>,
    /// What names the key has the right checksum: it was not read while it was written.
    pub sound: bool,
}

/// A file that was read.
pub enum Seen {
    /// It needs no key of a keyring.
    Plain,
    /// A tablespace that was made a moment before: it will be encrypted, and what names its key is in the redo log so far.
    New,
    /// It is under the key that is built into InnoDB.
    BuiltIn(Info),
    /// It needs one.
    Needs(Need),
}

/// Why it can't be told what a file needs.
#[derive(Debug)]
pub enum Unread {
    /// The system's error.
    Io(io::Error),
    /// It ends before what must be in it.
    Short,
    /// What is in it does not fit together, or has a wrong checksum. What.
    Damaged(&'static str),
    /// It is of a kind that this version does not know. Which.
    Unknown(&'static str),
    /// A backup that has to be made a data directory first. How.
    Packed(&'static str),
    /// A symbolic link: not followed.
    Link,
    /// A folder too deep inside the others.
    Deep,
    /// A folder that was named, and has nothing to look at.
    Empty,
}

impl Unread {
    /// It may be otherwise in a moment: a server is writing it.
    pub fn may_change(&self) -> bool {
        matches!(self, Unread::Short | Unread::Damaged(_))
    }

    /// One word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Unread::Io(_) => "io",
            Unread::Short => "short",
            Unread::Damaged(_) => "damaged",
            Unread::Unknown(_) => "unknown",
            Unread::Packed(_) => "packed",
            Unread::Link => "link",
            Unread::Deep => "deep",
            Unread::Empty => "empty",
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Io(e) => write!(f, "{e}"),
            Unread::Short => f.write_str("it ends within its header"),
            Unread::Damaged(what) | Unread::Unknown(what) => f.write_str(what),
            Unread::Packed(how) => f.write_str(how),
            Unread::Link => {
                f.write_str("it is a symbolic link, which is not followed: name what it leads to as a folder of its own")
            }
            Unread::Deep => f.write_str("it lies in more folders than a data directory has"),
            Unread::Empty => f.write_str("no file of MySQL's is in it"),
        }
    }
}

impl From<io::Error> for Unread {
    fn from(e: io::Error) -> Unread {
        Unread::Io(e)
    }
}
