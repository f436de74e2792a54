//! The reader of MySQL's option files (my.cnf): the lines of some groups, among them our own `[keyring_ward]`.
//!
//! Follows the rules of the MySQL manual, "Using Option Files": comments, quotes, escapes,
//! `!include`, `!includedir`; world-writable files are ignored, as the server ignores them. It
//! must never fail on a file or group that is not ours: what the server would refuse is noted for doctor.

use super::keks::{MAX_KEKS, RawKek};
use super::options::unknown;
use super::{Layer, OPTIONS, ValueKind, find_option, lesser};
use crate::error::{Error, Kind, Result};
use crate::os::{identity, trusted};
use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The group that is ours.
pub const GROUP: &str = "keyring_ward";
/// What the group of one KEK of a list begins with; its name follows.
pub const KEK_GROUP: &str = "keyring_ward_kek_";
const MAX_FILE: u64 = 1 << 20;
const MAX_DEPTH: usize = 10;
const MAX_FILES: usize = 256;
/// More lines than this in the groups that are asked for are no configuration.
const MAX_LINES: usize = 10_000;

/// One option as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The name: `_` for `-`, without `loose_`.
    pub name: String,
    /// It was written with `loose_`: whoever does not know the name passes over it.
    pub loose: bool,
    /// The value; `None` where there is no `=`.
    pub value: Option<String>,
    /// File and line, for messages.
    pub origin: String,
    /// The file belongs to root: what it says of guarded options a file of somebody else can't take back.
    pub from_root: bool,
}

/// A line of a KEK's own group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekLine {
    /// The KEK's name.
    pub kek: String,
    /// The line.
    pub line: Line,
}

/// Reads option files one after the other and keeps the lines of its groups in their order.
pub struct Reader {
    groups: Vec<String>,
    suffix: String,
    /// The KEK whose group is read now.
    kek: Option<String>,
    cwd: PathBuf,
    files: usize,
    /// The file that is read now is root's.
    from_root: bool,
    /// What was found; of two lines with one name the later counts.
    pub lines: Vec<Line>,
    /// The same of the groups of KEKs, if our own group is asked for.
    pub kek_lines: Vec<KekLine>,
    /// Files that were ignored, and why.
    pub ignored: Vec<String>,
    /// What a server refuses to start with, and where it stands.
    pub refused: Vec<String>,
    /// Files that are there and that this account may not read; they are among the ignored ones, too.
    pub denied: Vec<PathBuf>,
    /// Files that root did not read because somebody else could have written them; they are among the ignored ones, too.
    pub strangers: Vec<PathBuf>,
    /// Groups that differ from ours by a hyphen or a letter's case only, and where they stand.
    pub near_groups: Vec<String>,
}

impl Reader {
    /// A reader for these groups, and with a suffix for those with the suffix at their end, too. `cwd` resolves
    /// relative paths.
    pub fn new(groups: &[&str], suffix: Option<&str>, cwd: &Path) -> Reader {
        let suffix = suffix.filter(|s| !s.is_empty());
        let plain = groups.iter().map(|g| (*g).to_string());
        let suffixed = suffix
            .into_iter()
            .flat_map(|s| groups.iter().map(move |g| format!("{g}{s}")));
        Reader {
            groups: plain.chain(suffixed).collect(),
            suffix: suffix.unwrap_or_default().into(),
            kek: None,
            kek_lines: Vec::new(),
            cwd: cwd.to_path_buf(),
            files: 0,
            from_root: false,
            lines: Vec::new(),
            ignored: Vec::new(),
            refused: Vec::new(),
            denied: Vec::new(),
            strangers: Vec::new(),
            near_groups: Vec::new(),
        }
    }

    /// The lines as options of ours.
    ///
    /// # Errors
    /// Config: a mistake in one of them.
    pub fn layer(&self) -> Result<Layer> {
        let groups = self.groups.join("] and [");
        let mut layer = Layer::from_origin(format!("the group [{groups}] of my.cnf"));
        for line in &self.lines {
            lesser::refuse_weaker_line(&self.lines, line)?;
            option(&mut layer, line)?;
        }
        for line in &self.kek_lines {
            lesser::refuse_weaker_kek_line(&self.lines, &self.kek_lines, line)?;
        }
        if let Some(names) = layer.given("keks").map(str::to_string) {
            layer.set_keks(self.keks(&names)?);
        }
        Ok(layer)
    }

    /// The KEKs of these names, as their groups say.
    fn keks(&self, names: &str) -> Result<Vec<RawKek>> {
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        if names.len() > MAX_KEKS {
            let why = format!("keks names {} KEKs, at most {MAX_KEKS} may be", names.len());
            return Err(Error::new(Kind::Config, super::OP, why).hint("Take some out of keks."));
        }
        let one = |name: &&str| {
            let group = format!("[{KEK_GROUP}{name}]");
            let mut kek = RawKek {
                name: (*name).into(),
                values: Vec::new(),
                origin: format!("the group {group} of my.cnf"),
            };
            for KekLine { line, .. } in self.kek_lines.iter().filter(|l| l.kek == *name) {
                kek.set(
                    &line.name,
                    line.value.clone().unwrap_or_else(|| "true".into()),
                );
            }
            kek
        };
        Ok(names.iter().map(one).collect())
    }

    /// The KEK that a group is about, where our own group is asked for.
    fn kek_of(&self, group: &str) -> Option<String> {
        let ours = self.groups.iter().any(|g| g == GROUP);
        let name = group.strip_prefix(KEK_GROUP).filter(|_| ours)?;
        let name = match self.suffix.is_empty() {
            true => name,
            false => name.strip_suffix(&self.suffix).unwrap_or(name),
        };
        Some(name.into())
    }

    /// Reads one file. A file that does not exist says nothing.
    pub fn read(&mut self, path: &Path) {
        drop(self.read_at_depth(path, 0));
    }

    /// Reads the file that `--defaults-file` names: a server refuses to start without it.
    pub fn read_required(&mut self, path: &Path) {
        let path = self.cwd.join(path);
        let why = match self.read_at_depth(&path, 0) {
            Outcome::Read | Outcome::Noted => return,
            Outcome::Unreadable(why) => why,
        };
        self.refused
            .push(format!("the option file '{}': {why}", path.display()));
    }

    fn read_at_depth(&mut self, path: &Path, depth: usize) -> Outcome {
        let path = self.cwd.join(path);
        self.files += 1;
        if depth > MAX_DEPTH || self.files > MAX_FILES {
            self.ignored.push(format!(
                "'{}': too many files include each other",
                path.display()
            ));
            return Outcome::Noted;
        }
        let read = match identity::is_root() {
            true => self.roots_text(&path),
            false => read_text(&path),
        };
        match read {
            Ok(Some((text, from_root))) => {
                let includer = std::mem::replace(&mut self.from_root, from_root);
                self.parse(&text, &path, depth);
                self.from_root = includer;
                Outcome::Read
            }
            Ok(None) => Outcome::Unreadable("it does not exist".into()),
            Err(Unread::Endless(what)) => {
                if self.refused.len() < MAX_FILES {
                    self.refused.push(format!(
                        "'{}', or rather hangs there: it is {what}",
                        path.display()
                    ));
                }
                Outcome::Noted
            }
            Err(Unread::Noted) => Outcome::Noted,
            Err(Unread::Ignored(why)) => {
                self.ignored.push(format!("'{}': {why}", path.display()));
                Outcome::Noted
            }
            Err(Unread::Io(e)) => {
                self.ignored.push(format!("'{}': {e}", path.display()));
                let denied = e.kind() == ErrorKind::PermissionDenied;
                self.denied.extend(denied.then_some(path));
                Outcome::Unreadable(e.to_string())
            }
        }
    }

    /// [`read_text`] for root, who reads only what nobody else can have written. What else is there is noted.
    fn roots_text(&mut self, path: &Path) -> std::result::Result<Option<Text>, Unread> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        match trusted::open(&absolute, trusted::Rule::Settings, super::OP) {
            // What was looked at is what is read: the path is not gone once more.
            Ok(found) => text_of(found.file, &found.meta).map(Some),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => {
                if e.kind() == Kind::Permission {
                    self.strangers.push(absolute);
                } else {
                    // It is not opened to see that it is no file.
                    is_text(&std::fs::metadata(path)?)?;
                }
                self.ignored.push(e.message());
                Err(Unread::Noted)
            }
        }
    }

    fn parse(&mut self, text: &str, path: &Path, depth: usize) {
        let (mut ours, mut any) = (false, false);
        self.kek = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let origin = || format!("{}:{}", path.display(), number + 1);
            if let Some(directive) = line.strip_prefix('!') {
                self.directive(directive, depth, &origin());
            } else if let Some(group) = line.strip_prefix('[') {
                if !group.contains(']') {
                    self.refuse("a group without ]", &origin());
                }
                let name = group.split(']').next().unwrap_or("").trim();
                self.kek = self.kek_of(name);
                ours = self.kek.is_some() || self.groups.iter().any(|g| g == name);
                let is_near = !ours && name.replace('-', "_").eq_ignore_ascii_case(GROUP);
                if is_near && self.near_groups.len() < MAX_FILES {
                    self.near_groups.push(format!("[{name}] in {}", origin()));
                }
                any = true;
            } else if ours {
                self.line(line, origin());
            } else if !any {
                self.refuse("an option before any group", &origin());
            }
        }
    }

    fn refuse(&mut self, why: &str, origin: &str) {
        if self.refused.len() < MAX_FILES {
            self.refused.push(format!("{why} in {origin}"));
        }
    }

    fn directive(&mut self, directive: &str, depth: usize, origin: &str) {
        let (word, argument) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let argument = Path::new(argument.trim());
        match word {
            "include" => drop(self.read_at_depth(argument, depth + 1)),
            "includedir" => {
                let folder = self.cwd.join(argument);
                let Ok(entries) = std::fs::read_dir(&folder) else {
                    let why = format!("!includedir '{}', which can't be read,", folder.display());
                    self.refuse(&why, origin);
                    return;
                };
                let mut files: Vec<PathBuf> = entries
                    .filter_map(|e| e.ok().map(|e| e.path()))
                    .filter(|p| p.extension().is_some_and(|x| x == "cnf"))
                    .take(MAX_FILES)
                    .collect();
                files.sort();
                for file in files {
                    drop(self.read_at_depth(&file, depth + 1));
                }
            }
            _ => self.refuse("an unknown !directive", origin),
        }
    }

    fn line(&mut self, line: &str, origin: String) {
        if self.lines.len() + self.kek_lines.len() >= MAX_LINES {
            return;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value))),
            None => (line.split('#').next().unwrap_or("").trim(), None),
        };
        let name = name.replace('-', "_");
        let (loose, name) = match name.strip_prefix("loose_") {
            Some(rest) => (true, rest.to_string()),
            None => (false, name),
        };
        let line = Line {
            name,
            loose,
            value,
            origin,
            from_root: self.from_root,
        };
        match self.kek.clone() {
            Some(kek) => self.kek_lines.push(KekLine { kek, line }),
            None => self.lines.push(line),
        }
    }
}

/// Sets the option of ours that a line names.
fn option(layer: &mut Layer, line: &Line) -> Result<()> {
    let Some(index) = find_option(|o| o.name == line.name) else {
        if line.loose {
            return Ok(());
        }
        let known = OPTIONS.iter().map(|o| o.name);
        return Err(unknown(&line.name, &line.origin, known));
    };
    let value = value(line).ok_or_else(|| {
        let why = format!("'{}' has no value (in {})", line.name, line.origin);
        Error::new(Kind::Config, super::OP, why)
    })?;
    layer.set(index, value);
    Ok(())
}

/// What a line sets its option to: the name of a yes-or-no option alone means yes. `None`: it sets it to nothing.
pub(super) fn value(line: &Line) -> Option<String> {
    let kind = find_option(|o| o.name == line.name).map(|i| OPTIONS[i].kind);
    line.value
        .clone()
        .or_else(|| (kind == Some(ValueKind::Bool)).then(|| "true".into()))
}

/// What became of a file.
enum Outcome {
    Read,
    /// It is passed over, and what is to be said of it is said.
    Noted,
    /// It is not there or can't be read, and this is the reason.
    Unreadable(String),
}

/// The text of a file, and whether the file is root's.
type Text = (String, bool);

/// Why a file is passed over.
enum Unread {
    /// A server that reads it waits for somebody at its other end, or never comes to its end.
    Endless(&'static str),
    /// A server passes over it.
    Ignored(String),
    /// Root does not read it, and what is to be said of it is said.
    Noted,
    /// The system's.
    Io(std::io::Error),
}

impl From<std::io::Error> for Unread {
    fn from(e: std::io::Error) -> Unread {
        Unread::Io(e)
    }
}

/// The text of a file, and whether the file is root's; `None` where it does not exist. Nothing is waited for, and what
/// was looked at is what is read.
fn read_text(path: &Path) -> std::result::Result<Option<Text>, Unread> {
    match std::fs::metadata(path) {
        // Opening a device can do something already.
        Ok(meta) => is_text(&meta)?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
        .open(path)?;
    let meta = file.metadata()?;
    text_of(file, &meta).map(Some)
}

/// The text of an open file.
fn text_of(file: File, meta: &Metadata) -> std::result::Result<Text, Unread> {
    is_text(meta)?;
    if meta.is_file() && meta.mode() & 0o002 != 0 {
        return Err(Unread::Ignored(
            "it is world-writable and therefore ignored, as the server ignores it".into(),
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        let why = format!("it is larger than {MAX_FILE} bytes");
        return Err(Unread::Ignored(why));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok((text, meta.uid() == 0))
}

/// It has an end, and nobody has to write it first.
fn is_text(meta: &Metadata) -> std::result::Result<(), Unread> {
    let kind = meta.file_type();
    let is_null = kind.is_char_device() && meta.rdev() == libc::makedev(1, 3);
    if kind.is_file() || is_null {
        Ok(())
    } else if kind.is_fifo() {
        Err(Unread::Endless("a FIFO"))
    } else if kind.is_char_device() {
        Err(Unread::Endless("a device"))
    } else {
        Err(Unread::Ignored("it is not a regular file".into()))
    }
}

/// A value without its end-of-line comment, its quotes and its escapes.
fn unquote(raw: &str) -> String {
    let raw = raw.trim();
    let quote = raw.chars().next().filter(|c| *c == '"' || *c == '\'');
    let mut inside = raw;
    if let Some(q) = quote {
        let rest = &raw[1..];
        let mut escaped = false;
        let end = rest.char_indices().find(|(_, c)| {
            let is_end = *c == q && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        inside = end.map_or(rest, |(i, _)| &rest[..i]);
    } else if let Some(i) = raw.find('#') {
        inside = raw[..i].trim_end();
    }
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        let special = (c == '\\').then(|| chars.peek().copied()).flatten();
        let plain = match special {
            Some('b') => '\u{8}',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('s') => ' ',
            Some(q @ ('\\' | '"' | '\'')) => q,
            _ => {
                out.push(c);
                continue;
            }
        };
        chars.next();
        out.push(plain);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn write(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    }

    const GOOD: &str = "
        [mysqld]\nunknown-to-us=1\n; comment\n# comment\n
        [keyring_ward]
        backend = file   # where keys live
        path=\"/k/with space#.ward\"
        file-passphrase-file = '/p'
        loose_nonsense = 1
        [client]\npath=/wrong\n";

    #[test]
    fn reads_our_group_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        write(&file, GOOD);
        let mut reader = Reader::new(&[GROUP], None, dir.path());
        reader.read(Path::new("my.cnf"));
        let config = reader.layer().unwrap().finish().unwrap();
        assert_eq!(config.path, Path::new("/k/with space#.ward"));
    }

    #[test]
    fn suffix_include_and_includedir() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("conf.d");
        std::fs::create_dir(&sub).unwrap();
        write(&dir.path().join("base.cnf"), GOOD);
        write(
            &sub.join("1.cnf"),
            "[keyring_ward@replica1]\npath=/replica\n",
        );
        write(&sub.join("2.txt"), "[keyring_ward]\npath=/not-read\n");
        write(
            &dir.path().join("my.cnf"),
            &format!(
                "!include base.cnf\n!includedir {}\n!include my.cnf\n",
                sub.display()
            ),
        );
        let mut reader = Reader::new(&[GROUP], Some("@replica1"), dir.path());
        reader.read(Path::new("my.cnf"));
        assert!(!reader.ignored.is_empty(), "the circle ends");
        assert!(reader.refused.is_empty(), "{:?}", reader.refused);
        let config = reader.layer().unwrap().finish().unwrap();
        assert_eq!(config.path, Path::new("/replica"));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let said = |name: &str, text: &str| {
            write(&dir.path().join(name), text);
            let mut reader = Reader::new(&[GROUP], None, dir.path());
            reader.read(Path::new(name));
            reader.layer().unwrap_err().to_string()
        };
        let e = said("a.cnf", "[keyring_ward]\npth=/x\n");
        assert!(
            e.contains("a.cnf:2") && e.contains("Did you mean 'path'?"),
            "{e}"
        );
        let e = said("b.cnf", "[keyring_ward]\npath\n");
        assert!(e.contains("has no value"), "{e}");
    }

    #[test]
    fn what_a_server_refuses_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |text: &str| {
            write(&dir.path().join("c.cnf"), text);
            let mut reader = Reader::new(&["mysqld"], None, dir.path());
            reader.read_required(Path::new("c.cnf"));
            reader.refused
        };
        assert_eq!(refused("[client]\nx\n[mysqld]\ny=1\n"), [""; 0]);
        for (text, word) in [
            ("user=mysql\n[mysqld]\n", "before any group"),
            ("[mysqld\nuser=mysql\n", "without ]"),
            ("!inclde x\n", "unknown !directive"),
            ("!includedir /nonexistent\n", "can't be read"),
        ] {
            let said = refused(text);
            assert!(
                said.len() == 1 && said[0].contains(word) && said[0].contains("c.cnf:1"),
                "{text}: {said:?}"
            );
        }
        let mut reader = Reader::new(&["mysqld"], None, dir.path());
        reader.read_required(Path::new("absent.cnf"));
        assert_eq!(reader.refused.len(), 1);
    }

    /// Reading it would wait until somebody writes into it.
    #[test]
    fn a_fifo_and_a_device_are_told_and_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("a.cnf");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let main = dir.path().join("main");
        write(
            &main,
            &format!("!includedir {}\n{GOOD}", dir.path().display()),
        );
        let read = |path: PathBuf, required: bool| {
            let (send, done) = std::sync::mpsc::channel();
            let work = move || {
                let mut reader = Reader::new(&[GROUP], None, Path::new("/"));
                match required {
                    true => reader.read_required(&path),
                    false => reader.read(&path),
                }
                let _ = send.send((reader.refused, reader.ignored, reader.lines.len()));
            };
            std::thread::Builder::new().spawn(work).unwrap();
            done.recv_timeout(std::time::Duration::from_secs(30))
                .expect("it hangs")
        };
        let (refused, ignored, lines) = read(main, true);
        assert!(lines > 0 && refused.len() == 1, "{refused:?} {ignored:?}");
        assert!(refused[0].contains("a.cnf', or rather hangs there: it is a FIFO"));
        for (path, required, said) in [
            (fifo.clone(), true, 1),
            (fifo, false, 1),
            ("/dev/zero".into(), true, 1),
            ("/dev/null".into(), true, 0),
            (dir.path().to_path_buf(), true, 0),
        ] {
            assert_eq!(read(path.clone(), required).0.len(), said, "{path:?}");
        }
    }

    #[test]
    fn world_writable_files_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        write(&file, GOOD);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        let mut reader = Reader::new(&[GROUP], None, dir.path());
        reader.read(&file);
        assert!(reader.layer().unwrap().is_empty());
        let why = ["world-writable", "everybody can write it"];
        assert!(why.iter().any(|why| reader.ignored[0].contains(why)));
        assert_eq!(reader.strangers.is_empty(), !identity::is_root());
    }

    #[test]
    fn escapes() {
        assert_eq!(unquote(r" a\sb\\c\x # d"), r"a b\c\x");
        assert_eq!(unquote(r#""a\"b" junk"#), "a\"b");
        assert_eq!(unquote("''"), "");
        assert_eq!(unquote("\\"), "\\");
    }
}
