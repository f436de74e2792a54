//! All files of a folder, each with what it needs.
//!
//! Owns which file is looked at as what (by its name; logs by their first bytes), and the bounds: no link is followed, no
//! special file opened, and files that a server was just writing are read again a few times before anything is said of them.

use super::need::{Kind, Need, Seen, Unread};
use super::source::Source;
use super::{log, persisted, redo, tablespace};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::os::beneath::Folder;
use std::ffi::OsStr;
use std::fs::{DirEntry, File};
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

impl Looked<'_> {
    /// What it needs now.
    pub fn again(&self) -> Option<Need> {
        match look(self.kind, self.file?) {
            Ok(Seen::Needs(need)) => Some(need),
            _ => None,
        }
    }
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
    fn below(
        &mut self,
        inside: &Path,
        entries: impl Iterator<Item = io::Result<DirEntry>>,
        depth: usize,
    ) -> Result<()> {
        for entry in entries {
            if self.out_of_time() {
                break;
            }
            let entry = match entry {
                Ok(entry) => entry,
                // What else is in it may be anything.
                Err(e) => {
                    self.tell(inside, Kind::Tablespace, Err(e.into()), None)?;
                    continue;
                }
            };
            self.walked.entries += 1;
            let (name, path) = (entry.file_name(), inside.join(entry.file_name()));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder_at(&name, &path, depth)?,
                Ok(kind) if kind.is_file() => self.file_at(path, named(&name))?,
                Ok(kind) if kind.is_symlink() => {
                    self.tell(&path, Kind::Tablespace, Err(Unread::Link), None)?
                }
                Ok(_) => self.special_at(&path, named(&name))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => self.tell(&path, Kind::Tablespace, Err(e.into()), None)?,
            }
        }
        Ok(())
    }

    /// A FIFO, a socket, a device: nothing of MySQL's, unless its name says so.
    fn special_at(&mut self, path: &Path, named: Named) -> Result<()> {
        match named {
            Named::As(kind) if kind != Kind::Log => {
                let e = io::Error::other("it is not a regular file");
                self.tell(path, kind, Err(e.into()), None)
            }
            _ => Ok(()),
        }
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
            Err(e) if is_of_the_file_system(path, &e) => Ok(()),
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

/// Where a volume is a data directory; MySQL can't read it either.
fn is_of_the_file_system(path: &Path, e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::PermissionDenied && path == Path::new("lost+found")
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
    /// What a clone has brought or put aside: the next start puts one of them in place.
    const CLONED: &str = ".#clone";
    const OF_CLONE: [&str; 3] = [CLONED, ".#clone_save", ".#clone_ddl"];
    let name = &*name.to_string_lossy();
    let bare = OF_CLONE.iter().find_map(|end| name.strip_suffix(end));
    let bare = bare.or_else(|| name.strip_prefix(CLONED));
    packed(name).map_or_else(|| of_server(bare.unwrap_or(name)), Named::Packed)
}

fn of_server(name: &str) -> Named {
    let digits_behind = |prefix: &str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let ends = |all: &[&str]| all.iter().any(|end| name.ends_with(end));
    if digits_behind("#ib_redo") || digits_behind("ib_logfile") || name == "xtrabackup_logfile" {
        return Named::As(Kind::Redo);
    }
    if ends(&[".ibd", ".ibu"]) || digits_behind("undo_") || name == "ibdata1" {
        return Named::As(Kind::Tablespace);
    }
    if name == persisted::FILE {
        return Named::As(Kind::Persisted);
    }
    // The other files of the system tablespace, which is never encrypted, have no header.
    if name.starts_with("#ib_redo")
        || ends(&[".ibt", ".dblwr"])
        || digits_behind("ibtmp")
        || digits_behind("ibdata")
    {
        return Named::Nothing;
    }
    Named::As(Kind::Log)
}

/// How a part of a backup is made a file of the server.
fn packed(name: &str) -> Option<&'static str> {
    const COMPRESSED: &str = "it is compressed: unpack the backup first (xtrabackup --decompress)";
    const PART: &str =
        "it is a part of an incremental backup: prepare it first (xtrabackup --prepare)";
    let (inner, end) = name.rsplit_once('.')?;
    let needs_a_key = || !matches!(of_server(inner), Named::As(Kind::Log));
    match end {
        "xbcrypt" => Some("it is encrypted by the backup: open it first (xtrabackup --decrypt)"),
        "xbstream" | "mbi" => Some("it is a whole backup in one file: extract it first"),
        "zst" | "lz4" | "qp" | "gz" => needs_a_key().then_some(COMPRESSED),
        "delta" => needs_a_key().then_some(PART),
        _ => None,
    }
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
            ("ibdata2", Named::Nothing),
            ("t.ibd.#clone", Named::As(Kind::Tablespace)),
            ("undo_001.#clone_save", Named::As(Kind::Tablespace)),
            (".#clone#ib_redo0", Named::As(Kind::Redo)),
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

    /// What a folder does not give away may be anything.
    #[test]
    fn a_folder_that_ends_with_an_error_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut told = Vec::new();
        let mut each = |looked: Looked<'_>| {
            told.push((looked.path.to_path_buf(), looked.seen.is_err()));
            Ok(())
        };
        let mut walk = Walk {
            dir: dir.path(),
            folder: Folder::open(dir.path()).unwrap(),
            until: None,
            each: &mut each,
            again: Vec::new(),
            walked: Walked::default(),
        };
        let entries = std::iter::once(Err(io::Error::other("the disk")));
        walk.below(Path::new("shop"), entries, DEPTH).unwrap();
        assert_eq!(told, [(PathBuf::from("shop"), true)]);
    }

    #[test]
    fn only_what_a_file_system_keeps_for_itself_may_be_closed() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let broken = io::Error::other("the disk");
        for (path, error, of_file_system) in [
            ("lost+found", &denied, true),
            ("lost+found", &broken, false),
            ("shop/lost+found", &denied, false),
            ("shop", &denied, false),
        ] {
            assert_eq!(
                is_of_the_file_system(Path::new(path), error),
                of_file_system
            );
        }
    }
}
