//! The reader of MySQL's option files (my.cnf), for the group `[keyring_ward]`.
//!
//! Follows the rules of the MySQL manual, "Using Option Files": comments, quotes, escapes,
//! `!include`, `!includedir`; world-writable files are ignored, as the server ignores them. It
//! must never fail on a file or group that is not ours: what is wrong there is the server's to say.

use super::{Layer, OPTIONS, ValueKind, find_option, unknown};
use crate::error::{Error, Kind, Result};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The group that is read.
pub const GROUP: &str = "keyring_ward";
const MAX_FILE: u64 = 1 << 20;
const MAX_DEPTH: usize = 10;
const MAX_FILES: usize = 256;

/// Reads option files one after the other; later values replace earlier ones.
pub struct Reader {
    groups: Vec<String>,
    cwd: PathBuf,
    files: usize,
    /// What was found.
    pub layer: Layer,
    /// Files that were ignored, and why.
    pub ignored: Vec<String>,
}

impl Reader {
    /// A reader for [`GROUP`], and with a suffix for `keyring_ward<suffix>` too. `cwd` resolves
    /// relative paths.
    pub fn new(suffix: Option<&str>, cwd: &Path) -> Reader {
        let mut groups = vec![GROUP.to_string()];
        groups.extend(
            suffix
                .filter(|s| !s.is_empty())
                .map(|s| format!("{GROUP}{s}")),
        );
        Reader {
            layer: Layer::from_origin(format!("the group [{}] of my.cnf", groups.join("] and ["))),
            groups,
            cwd: cwd.to_path_buf(),
            files: 0,
            ignored: Vec::new(),
        }
    }

    /// Reads one file. A file that does not exist says nothing.
    ///
    /// # Errors
    /// Config: a mistake in our group.
    pub fn read(&mut self, path: &Path) -> Result<()> {
        self.read_at_depth(path, 0)
    }

    fn read_at_depth(&mut self, path: &Path, depth: usize) -> Result<()> {
        let path = self.cwd.join(path);
        self.files += 1;
        if depth > MAX_DEPTH || self.files > MAX_FILES {
            self.ignored.push(format!(
                "'{}': too many files include each other",
                path.display()
            ));
            return Ok(());
        }
        match read_text(&path) {
            Ok(Some(text)) => self.parse(&text, &path, depth),
            Ok(None) => Ok(()),
            Err(why) => {
                self.ignored.push(format!("'{}': {why}", path.display()));
                Ok(())
            }
        }
    }

    fn parse(&mut self, text: &str, path: &Path, depth: usize) -> Result<()> {
        let mut ours = false;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(directive) = line.strip_prefix('!') {
                self.directive(directive, depth)?;
            } else if let Some(group) = line.strip_prefix('[') {
                let name = group.split(']').next().unwrap_or("").trim();
                ours = self.groups.iter().any(|g| g == name);
            } else if ours {
                let origin = format!("{}:{}", path.display(), number + 1);
                self.option(line, &origin)?;
            }
        }
        Ok(())
    }

    fn directive(&mut self, directive: &str, depth: usize) -> Result<()> {
        let (word, argument) = directive
            .split_once(char::is_whitespace)
            .unwrap_or((directive, ""));
        let argument = Path::new(argument.trim());
        match word {
            "include" => self.read_at_depth(argument, depth + 1),
            "includedir" => {
                let folder = self.cwd.join(argument);
                let Ok(entries) = std::fs::read_dir(&folder) else {
                    return Ok(());
                };
                let mut files: Vec<PathBuf> = entries
                    .filter_map(|e| e.ok().map(|e| e.path()))
                    .filter(|p| p.extension().is_some_and(|x| x == "cnf"))
                    .take(MAX_FILES)
                    .collect();
                files.sort();
                files
                    .iter()
                    .try_for_each(|f| self.read_at_depth(f, depth + 1))
            }
            _ => Ok(()),
        }
    }

    fn option(&mut self, line: &str, origin: &str) -> Result<()> {
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value))),
            None => (line.split('#').next().unwrap_or("").trim(), None),
        };
        let name = name.replace('-', "_");
        let (loose, name) = match name.strip_prefix("loose_") {
            Some(rest) => (true, rest.to_string()),
            None => (false, name),
        };
        let Some(index) = find_option(|o| o.name == name) else {
            if loose {
                return Ok(());
            }
            return Err(unknown(&name, origin, OPTIONS.iter().map(|o| o.name)));
        };
        let value = match (value, OPTIONS[index].kind) {
            (Some(value), _) => value,
            (None, ValueKind::Bool) => "true".into(),
            (None, ValueKind::Text | ValueKind::Number) => {
                return Err(Error::new(
                    Kind::Config,
                    super::OP,
                    format!("'{name}' has no value (in {origin})"),
                ));
            }
        };
        self.layer.set(index, value);
        Ok(())
    }
}

/// The text of a file; `None` where it does not exist; a sentence where it is ignored.
fn read_text(path: &Path) -> std::result::Result<Option<String>, String> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    if !meta.is_file() {
        return Err("it is not a regular file".into());
    }
    if meta.mode() & 0o002 != 0 {
        return Err("it is world-writable and therefore ignored, as the server ignores it".into());
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {MAX_FILE} bytes"));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
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
        let mut reader = Reader::new(None, dir.path());
        reader.read(Path::new("my.cnf")).unwrap();
        let config = reader.layer.finish().unwrap();
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
        let mut reader = Reader::new(Some("@replica1"), dir.path());
        reader.read(Path::new("my.cnf")).unwrap();
        assert!(!reader.ignored.is_empty(), "the circle ends");
        assert_eq!(reader.layer.finish().unwrap().path, Path::new("/replica"));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a.cnf"), "[keyring_ward]\npth=/x\n");
        let e = Reader::new(None, dir.path())
            .read(Path::new("a.cnf"))
            .unwrap_err()
            .to_string();
        assert!(
            e.contains("a.cnf:2") && e.contains("Did you mean 'path'?"),
            "{e}"
        );
        write(&dir.path().join("b.cnf"), "[keyring_ward]\npath\n");
        let e = Reader::new(None, dir.path())
            .read(Path::new("b.cnf"))
            .unwrap_err()
            .to_string();
        assert!(e.contains("has no value"), "{e}");
    }

    #[test]
    fn world_writable_files_are_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        write(&file, GOOD);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        let mut reader = Reader::new(None, dir.path());
        reader.read(&file).unwrap();
        assert!(reader.layer.is_empty());
        assert!(reader.ignored[0].contains("world-writable"));
    }

    #[test]
    fn escapes() {
        assert_eq!(unquote(r" a\sb\\c\x # d"), r"a b\c\x");
        assert_eq!(unquote(r#""a\"b" junk"#), "a\"b");
        assert_eq!(unquote("''"), "");
        assert_eq!(unquote("\\"), "\\");
    }
}
