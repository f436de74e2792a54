//! All files of a folder, each with what it needs.
//!
//! Owns which file is looked at as what (by its name; logs by their first bytes), and the bounds: no link is followed, no
//! special file opened, and files that a server was just writing are read again a few times before anything is said of them.

use super::need::{Kind, Seen, Unread};
use super::source::Source;
use super::{log, persisted, redo, tablespace};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::os::beneath::Folder;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OP: &str = "look at MySQL's files";
/// A server's file lies at most two folders deep.
const DEPTH: usize = 8;
/// As many files are read again, at most.
const MOST_AGAIN: usize = 10_000;
/// How often, and how long after each other: a server's write takes less.
const ROUNDS: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// One file.
pub struct Looked<'a> {
    /// Below the folder.
    pub path: &'a Path,
    /// What it is.
    pub kind: Kind,
    /// What it needs, or why that can't be told.
    pub seen: std::result::Result<Seen, Unread>,
    /// The file, unless it could not be opened.
    pub file: Option<&'a File>,
}

/// How much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Files of MySQL's.
    pub files: u64,
    /// All files and folders.
    pub entries: u64,
    /// The time was over before the end.
    pub cut_short: bool,
}

/// Looks at every file below `dir`, and tells each that is MySQL's and of a kind that can need a key; links and what can't
/// be looked at as well. The order is that of the folder.
///
/// # Errors
/// The folder can't be read; what `each` says.
pub fn scan(
    dir: &Path,
    until: Option<Deadline>,
    each: &mut dyn FnMut(Looked<'_>) -> Result<()>,
) -> Result<Walked> {
    let folder = Folder::open(dir).map_err(|e| Error::io(OP, format!("'{}'", dir.display()), e))?;
    let mut walk = Walk {
        dir,
        folder,
        until,
        each,
        again: Vec::new(),
        walked: Walked::default(),
    };
    let entries =
        std::fs::read_dir(dir).map_err(|e| Error::io(OP, format!("'{}'", dir.display()), e))?;
    walk.below(Path::new(""), entries, DEPTH)?;
    walk.once_more()?;
    Ok(walk.walked)
}

struct Walk<'a> {
    dir: &'a Path,
    folder: Folder,
    until: Option<Deadline>,
    each: &'a mut dyn FnMut(Looked<'_>) -> Result<()>,
    again: Vec<(PathBuf, Named)>,
    walked: Walked,
}

impl Walk<'_> {
    fn out_of_time(&mut self) -> bool {
        self.walked.cut_short |= self.until.is_some_and(|until| until.passed());
        self.walked.cut_short
    }

    /// Names only come from the paths; every file is opened below the folder that was opened first.
    fn below(&mut self, inside: &Path, entries: std::fs::ReadDir, depth: usize) -> Result<()> {
        for entry in entries {
            if self.out_of_time() {
                break;
            }
            let Ok(entry) = entry else {
                continue;
            };
            self.walked.entries += 1;
            let (name, path) = (entry.file_name(), inside.join(entry.file_name()));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder_at(&name, &path, depth)?,
                Ok(kind) if kind.is_file() => self.file_at(path, named(&name))?,
                Ok(kind) if kind.is_symlink() => {
                    self.tell(&path, Kind::Tablespace, Err(Unread::Link), None)?
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn folder_at(&mut self, name: &OsStr, path: &Path, depth: usize) -> Result<()> {
        // Of the sessions that were: made anew at each start.
        if name == "#innodb_temp" {
            return Ok(());
        }
        if depth == 0 {
            return self.tell(path, Kind::Tablespace, Err(Unread::Deep), None);
        }
        match std::fs::read_dir(self.dir.join(path)) {
            Ok(entries) => self.below(path, entries, depth - 1),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => self.tell(path, Kind::Tablespace, Err(e.into()), None),
        }
    }

    fn file_at(&mut self, path: PathBuf, as_what: Named) -> Result<()> {
        let Named::As(kind) = as_what else {
            return match as_what {
                Named::Packed(how) => {
                    self.tell(&path, Kind::Tablespace, Err(Unread::Packed(how)), None)
                }
                _ => Ok(()),
            };
        };
        let file = match self.folder.file(&path) {
            Ok((file, _)) => file,
            // Dropped or purged meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return self.tell(&path, kind, Err(e.into()), None),
        };
        let seen = look(kind, &file);
        let may_change = match &seen {
            Ok(Seen::Needs(need)) => !need.sound,
            Ok(_) => false,
            Err(unread) => unread.may_change(),
        };
        if may_change && self.again.len() < MOST_AGAIN {
            self.again.push((path, as_what));
            return Ok(());
        }
        // Any file is looked at as a log, by its first bytes.
        if kind == Kind::Log && matches!(seen, Ok(Seen::Plain)) && !is_log(&file) {
            return Ok(());
        }
        self.tell(&path, kind, seen, Some(&file))
    }

    /// Those that did not fit together when they were read first.
    fn once_more(&mut self) -> Result<()> {
        for round in 1..=ROUNDS {
            let again = std::mem::take(&mut self.again);
            if again.is_empty() || self.out_of_time() {
                // What is left is told as it is.
                return again
                    .into_iter()
                    .try_for_each(|(path, named)| self.for_the_last_time(path, named));
            }
            std::thread::sleep(PAUSE);
            for (path, named) in again {
                match round {
                    ROUNDS => self.for_the_last_time(path, named)?,
                    _ => self.file_at(path, named)?,
                }
            }
        }
        Ok(())
    }

    fn for_the_last_time(&mut self, path: PathBuf, named: Named) -> Result<()> {
        let Named::As(kind) = named else {
            return Ok(());
        };
        match self.folder.file(&path) {
            Ok((file, _)) => self.tell(&path, kind, look(kind, &file), Some(&file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => self.tell(&path, kind, Err(e.into()), None),
        }
    }

    fn tell(
        &mut self,
        path: &Path,
        kind: Kind,
        seen: std::result::Result<Seen, Unread>,
        file: Option<&File>,
    ) -> Result<()> {
        self.walked.files += 1;
        (self.each)(Looked {
            path,
            kind,
            seen,
            file,
        })
    }
}

fn look(kind: Kind, file: &File) -> std::result::Result<Seen, Unread> {
    match kind {
        Kind::Tablespace => tablespace::look(file),
        Kind::Redo => redo::look(file),
        Kind::Log => log::look(file),
        Kind::Persisted => persisted::look(file),
    }
}

/// A log that is not encrypted.
fn is_log(file: &File) -> bool {
    let mut first = [0; 4];
    file.read_at(0, &mut first).is_ok_and(|n| n == 4) && first == log::CLEAR
}

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    As(Kind),
    /// Needs no key, or is made anew at each start.
    Nothing,
    /// A part of a backup that is no data directory yet.
    Packed(&'static str),
}

fn named(name: &OsStr) -> Named {
    let name = &*name.to_string_lossy();
    let digits_behind = |prefix: &str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
    if digits_behind("#ib_redo") || digits_behind("ib_logfile") || name == "xtrabackup_logfile" {
        return Named::As(Kind::Redo);
    }
    if ends(&[".ibd", ".ibu"]) || digits_behind("undo_") || digits_behind("ibdata") {
        return Named::As(Kind::Tablespace);
    }
    if name == persisted::FILE {
        return Named::As(Kind::Persisted);
    }
    if name.starts_with("#ib_redo") || ends(&[".ibt", ".dblwr"]) || digits_behind("ibtmp") {
        return Named::Nothing;
    }
    if ends(&[
        ".ibd.zst", ".ibd.lz4", ".ibd.qp", ".ibd.gz", ".ibu.zst", ".ibu.lz4",
    ]) {
        return Named::Packed(
            "it is compressed: unpack the backup first (xtrabackup --decompress)",
        );
    }
    if ends(&[".xbcrypt"]) {
        return Named::Packed(
            "it is encrypted by the backup: open it first (xtrabackup --decrypt)",
        );
    }
    if ends(&[".ibd.delta", ".ibu.delta"]) {
        return Named::Packed(
            "it is a part of an incremental backup: prepare it first (xtrabackup --prepare)",
        );
    }
    Named::As(Kind::Log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_files_are() {
        for (name, is) in [
            ("t.ibd", Named::As(Kind::Tablespace)),
            ("t#p#p0.ibd", Named::As(Kind::Tablespace)),
            ("undo_001", Named::As(Kind::Tablespace)),
            ("undo_1_trunc.log", Named::As(Kind::Log)),
            ("ibdata1", Named::As(Kind::Tablespace)),
            ("#ib_redo12", Named::As(Kind::Redo)),
            ("#ib_redo12_tmp", Named::Nothing),
            ("#ib_16384_0.dblwr", Named::Nothing),
            ("binlog.000001", Named::As(Kind::Log)),
            ("binlog.index", Named::As(Kind::Log)),
            ("mysqld-auto.cnf", Named::As(Kind::Persisted)),
        ] {
            assert_eq!(named(OsStr::new(name)), is, "{name}");
        }
        assert!(matches!(named(OsStr::new("t.ibd.zst")), Named::Packed(_)));
    }
}
