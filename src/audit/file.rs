//! The log's file: opened, appended to, synced, and set aside when it is full.
//!
//! Owns the names of the files and who may write and read them. It must never follow a symbolic link, never write into what belongs to
//! somebody else, and never take bytes away but those of a torn end.

use super::settings::Settings;
use crate::error::{Error, Kind, Result};
use crate::os::file::{self, Access};
use crate::os::identity::effective_uid;
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const OP: &str = "write the audit log";

/// The log's file, which this process alone writes.
pub struct LogFile {
    path: PathBuf,
    file: File,
    inode: (u64, u64),
    /// Bytes that are in it.
    length: u64,
}

fn failed(path: &Path, e: io::Error) -> Error {
    Error::io(OP, format!("'{}'", path.display()), e)
}

/// The name of a file that is set aside at this time (microseconds since 1970).
fn aside(path: &Path, at: i64) -> PathBuf {
    let time = super::line::time(at);
    let digits: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    file::beside(path, &format!(".{digits}"))
}

/// What [`aside`] puts behind a name.
fn is_aside(suffix: &str) -> bool {
    let shape = "00000000T000000.000000Z";
    suffix.len() == shape.len()
        && suffix.chars().zip(shape.chars()).all(|(c, s)| match s {
            '0' => c.is_ascii_digit(),
            s => c == s,
        })
}

/// When the file was set aside that has the newest name, in microseconds since 1970.
fn newest_aside(path: &Path) -> io::Result<Option<i64>> {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let when = |file: &PathBuf| {
        let name = file.file_name()?.to_str()?;
        let (rest, micros) = name.rsplit_once('.')?;
        let (_, own) = rest.rsplit_once('.')?;
        let part = |range: std::ops::Range<usize>| own.get(range);
        let text = format!(
            "{}-{}-{}T{}:{}:{}.{micros}",
            part(0..4)?,
            part(4..6)?,
            part(6..8)?,
            part(9..11)?,
            part(11..13)?,
            part(13..15)?
        );
        let at = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
        i64::try_from(at.unix_timestamp_nanos() / 1_000).ok()
    };
    let all = files(path)?;
    Ok(all
        .iter()
        .filter(|file| *file != path)
        .filter_map(when)
        .next_back())
}

/// All files of a log, the oldest first; the one that is written is the last, where it is there.
///
/// # Errors
/// The folder can't be read.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let own = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let suffix = name
            .to_str()
            .and_then(|n| n.strip_prefix(own)?.strip_prefix('.'));
        if suffix.is_some_and(is_aside) {
            found.push(folder.join(&name));
        }
    }
    found.sort();
    if path.symlink_metadata().is_ok() {
        found.push(path.to_path_buf());
    }
    Ok(found)
}

impl LogFile {
    /// Opens the file for writing, or makes it.
    ///
    /// # Errors
    /// Io; Permission: it is no file of this account's alone; Locked: another process writes it.
    pub fn open(settings: &Settings) -> Result<LogFile> {
        let path = settings.file.clone();
        let (file, meta) = file::open(&path, Access::Create).map_err(|e| {
            failed(&path, e).hint("The folder must exist and be writable for mysqld's account. Then wait, or run ALTER INSTANCE RELOAD KEYRING.")
        })?;
        let log = LogFile {
            inode: (meta.dev(), meta.ino()),
            length: meta.len(),
            path,
            file,
        };
        log.check_owner(&meta, settings)?;
        match log.file.try_lock() {
            Ok(()) => Ok(log),
            Err(TryLockError::WouldBlock) => {
                let why = format!("another process writes '{}'", log.path.display());
                Err(Error::new(Kind::Locked, OP, why)
                    .hint("Each server needs an audit_file of its own."))
            }
            Err(TryLockError::Error(e)) => Err(failed(&log.path, e)),
        }
    }

    fn check_owner(&self, meta: &std::fs::Metadata, settings: &Settings) -> Result<()> {
        if meta.uid() != effective_uid() {
            let why = format!(
                "'{}' belongs to user {}, who could change it",
                self.path.display(),
                meta.uid()
            );
            return Err(Error::new(Kind::Permission, OP, why)
                .hint("Move it away, or give it to mysqld's account."));
        }
        let mode = if settings.group_readable {
            0o640
        } else {
            0o600
        };
        if meta.mode() & 0o777 != mode {
            let set = self.file.set_permissions(Permissions::from_mode(mode));
            set.map_err(|e| failed(&self.path, e))?;
        }
        Ok(())
    }

    /// Bytes that are in it.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes are in it by the system: as many as were written, if nobody else writes or cuts it.
    ///
    /// # Errors
    /// Io.
    pub fn is_as_long(&self) -> Result<u64> {
        let meta = self.file.metadata().map_err(|e| failed(&self.path, e))?;
        Ok(meta.len())
    }

    /// Reads it from its beginning.
    ///
    /// # Errors
    /// The system's.
    pub fn reader(&self) -> io::Result<io::BufReader<File>> {
        let (file, _) = file::open(&self.path, Access::Read)?;
        Ok(io::BufReader::with_capacity(64 << 10, file))
    }

    /// Takes a torn end away.
    ///
    /// # Errors
    /// Io.
    pub fn cut(&mut self, bytes: u64) -> Result<()> {
        self.length = self.length.saturating_sub(bytes);
        self.file
            .set_len(self.length)
            .map_err(|e| failed(&self.path, e))
    }

    /// Writes lines behind what was there and brings them to the disk. Where it fails, the same lines are to be written again: then the
    /// file is as if it had not.
    ///
    /// # Errors
    /// Io.
    pub fn append(&mut self, lines: &str) -> Result<()> {
        let io = |e| {
            failed(&self.path, e)
                .hint("Make room on the disk or mend it: the log goes on by itself.")
        };
        self.file
            .write_all_at(lines.as_bytes(), self.length)
            .map_err(io)?;
        crate::fault::point("audit");
        self.file.sync_data().map_err(io)?;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Brings what is in it to the disk: what a killed process has left may be in memory only.
    ///
    /// # Errors
    /// Io.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| failed(&self.path, e))
    }

    /// The path still leads to this file.
    pub fn is_in_place(&self) -> bool {
        let meta = std::fs::symlink_metadata(&self.path);
        meta.is_ok_and(|m| (m.dev(), m.ino()) == self.inode && m.nlink() == 1)
    }

    /// Sets the file aside, under a name that tells when, and begins another one. Afterwards the folder is to be synced.
    ///
    /// # Errors
    /// Io; this file stays in use then.
    pub fn set_aside(&mut self, settings: &Settings, at: i64) -> Result<()> {
        // The clock may have been set back: the order of names is that of the files all the same.
        let newest = newest_aside(&self.path).map_err(|e| failed(&self.path, e))?;
        let next = newest.map(|newest| newest.saturating_add(1));
        // A year that no name can hold is nobody's but a forger's.
        let next = next.filter(|next| !super::line::time(*next).is_empty());
        let mut at = next.map_or(at, |next| at.max(next));
        loop {
            match file::rename_noreplace(&self.path, &aside(&self.path, at)) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => at += 1,
                Err(e) => return Err(failed(&self.path, e)),
            }
        }
        let new = LogFile::open(settings)?;
        if new.length > 0 {
            let why = format!("'{}' came into being meanwhile", self.path.display());
            return Err(Error::new(Kind::Tampered, OP, why)
                .hint("Move it away: the log goes on by itself. Who else writes in its folder?"));
        }
        *self = new;
        Ok(())
    }

    /// Brings the folder to the disk, where names have changed.
    ///
    /// # Errors
    /// Io.
    pub fn sync_folder(&self) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| failed(folder, e))
    }

    /// Removes the oldest of those that were set aside, until `settings.keep` are left.
    ///
    /// # Errors
    /// Io.
    pub fn prune(&self, settings: &Settings) -> Result<()> {
        if settings.keep == 0 {
            return Ok(());
        }
        let mut all = files(&self.path).map_err(|e| failed(&self.path, e))?;
        all.pop();
        let surplus = all.len().saturating_sub(settings.keep as usize);
        for old in &all[..surplus] {
            std::fs::remove_file(old).map_err(|e| failed(old, e))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is set back mixes nothing up, and not the newest is thrown away.
    #[test]
    fn files_keep_their_order_whatever_the_clock_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::at(dir.path().join("audit.log"));
        let mut log = LogFile::open(&settings).unwrap();
        for (n, at) in [2_000_000_000_000_000, 1_000_000_000_000_000, 5]
            .iter()
            .enumerate()
        {
            log.append(&format!("{n}\n")).unwrap();
            log.set_aside(&settings, *at).unwrap();
        }
        log.append("3\n").unwrap();
        let all = || -> String {
            let all = files(&settings.file).unwrap();
            all.iter()
                .map(|f| std::fs::read_to_string(f).unwrap())
                .collect()
        };
        assert_eq!(all(), "0\n1\n2\n3\n");
        settings.keep = 1;
        log.prune(&settings).unwrap();
        assert_eq!(files(&settings.file).unwrap().len(), 2);
        let left = std::fs::read_to_string(&files(&settings.file).unwrap()[0]).unwrap();
        assert_eq!(left, "2\n");
    }

    #[test]
    fn names_tell_when_and_sort_so() {
        let name = aside(Path::new("/l/audit.log"), 1_800_000_000_000_001);
        assert_eq!(name, Path::new("/l/audit.log.20270115T080000.000001Z"));
        assert!(
            is_aside("20270115T080000.000001Z")
                && !is_aside("20270115T080000.000001")
                && !is_aside("1")
        );
    }
}
