//! How a keyring file is opened, and whose it may be.
//!
//! Owns the rules about owner, mode and writability (design section 8, "Secret files"). It must never open a file
//! for a server that others could have written, and never follow a link.

use crate::error::{Error, Kind, Result};
use crate::os::denied;
use crate::os::file::{self, Access};
use crate::store::Mode;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const OP: &str = "open the keyring file";

/// An open keyring file.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) meta: Metadata,
    /// Why it is open for reading only although it was to be written.
    pub(crate) not_writable: Option<String>,
    /// A sentence for the log.
    pub(crate) warning: Option<String>,
}

/// Opens a keyring file. A writer gets a file that the account may only read, too, with the reason.
///
/// # Errors
/// NotFound, Permission (whose it is), Io.
pub(super) fn open(path: &Path, mode: Mode) -> Result<Opened> {
    open_as(path, mode, &Account::current())
}

/// What is worth a warning about a keyring file that opens: full sentences.
#[derive(Debug, Default)]
pub struct Opinion {
    /// It can't be written.
    pub unwritable: Option<String>,
    /// A group has rights to it, which a platform may mean so (Kubernetes' fsGroup).
    pub group_rights: Option<String>,
}

/// What a server would say that opens the file to write it (or to read it only). Nothing is written. This process must have the server's account.
///
/// # Errors
/// As for a server.
pub fn opinion(path: &Path, read_only: bool) -> Result<Opinion> {
    let mode = match read_only {
        true => Mode::ReadOnly,
        false => Mode::ReadWrite,
    };
    let opened = open(path, mode)?;
    let unwritable = opened
        .not_writable
        .map(|why| format!("keys are served, but none can be made or removed: {why}"));
    Ok(Opinion {
        unwritable,
        group_rights: opened.warning,
    })
}

fn open_as(path: &Path, mode: Mode, account: &Account) -> Result<Opened> {
    let shown = format!("'{}'", path.display());
    let fail = |e| {
        denied::folder_or(OP, path, e, |e| {
            Error::io(OP, shown.clone(), e).hint(format!(
                "It must be a regular file that the account of mysqld owns, mode 0600: chown {} {shown} && chmod 600 \
                 {shown}. On a read-only file system set read_only.",
                match account.uid {
                    0 => "mysql:".to_string(),
                    uid => uid.to_string(),
                }
            ))
        })
    };
    let plain = |file, meta, not_writable| {
        let warning = match mode {
            Mode::Snapshot => None,
            _ => check(&shown, &meta, account)?,
        };
        Ok(Opened {
            file,
            meta,
            not_writable,
            warning,
        })
    };
    if !matches!(mode, Mode::ReadWrite | Mode::DryRun) {
        let (file, meta) = file::open(path, Access::Read).map_err(fail)?;
        return plain(file, meta, None);
    }
    match file::open(path, Access::ReadWrite) {
        // Root can write anything: the mode tells what is meant.
        Ok((_, meta)) if meta.mode() & 0o200 == 0 => {
            let (file, meta) = file::open(path, Access::Read).map_err(fail)?;
            let why = format!("{shown} has mode {:04o}", meta.mode() & 0o7777);
            plain(file, meta, Some(why))
        }
        Ok((file, meta)) => plain(file, meta, None),
        Err(e)
            if e.kind() == io::ErrorKind::PermissionDenied
                || e.kind() == io::ErrorKind::ReadOnlyFilesystem =>
        {
            let Ok((file, meta)) = file::open(path, Access::Read) else {
                return Err(fail(e));
            };
            let why = format!(
                "{shown} (mode {:04o}, user {}) can't be written by this server's account ({e})",
                meta.mode() & 0o7777,
                meta.uid()
            );
            plain(file, meta, Some(why))
        }
        Err(e) => Err(fail(e)),
    }
}

/// Who this process is, for files.
struct Account {
    uid: u32,
    groups: Vec<u32>,
}

impl Account {
    /// The one with whose rights this thread opens files.
    fn current() -> Account {
        Account {
            uid: crate::os::identity::effective_uid(),
            groups: crate::os::identity::groups(),
        }
    }
}

/// Whose a keyring file may be: the account's with mode 0600, or with rights for one of its groups and a warning;
/// or root's, which it can then only read.
fn check(shown: &str, meta: &Metadata, account: &Account) -> Result<Option<String>> {
    judge(shown, meta.uid(), meta.gid(), meta.mode() & 0o7777, account)
}

fn judge(shown: &str, uid: u32, gid: u32, mode: u32, account: &Account) -> Result<Option<String>> {
    let refuse = |why: String, hint: String| Err(Error::new(Kind::Permission, OP, why).hint(hint));
    // A process that is root for good may use anybody's.
    if uid != account.uid && uid != 0 && account.uid != 0 {
        return refuse(
            format!(
                "{shown} belongs to user {uid}, this server runs as user {}",
                account.uid
            ),
            format!(
                "If it is this server's keyring, run: chown {} {shown}",
                account.uid
            ),
        );
    }
    if mode & 0o007 != 0 {
        return refuse(
            format!("{shown} has mode {mode:04o}: every account of this machine has rights to it"),
            format!("Run: chmod 600 {shown}"),
        );
    }
    if mode & 0o070 == 0 {
        return Ok(None);
    }
    if !account.groups.contains(&gid) && account.uid != 0 {
        return refuse(
            format!(
                "{shown} has mode {mode:04o}: group {gid}, which is none of this server's, has rights to it"
            ),
            format!("Run: chmod 600 {shown}"),
        );
    }
    Ok(Some(format!(
        "{shown} has mode {mode:04o}: everybody in group {gid} has rights to it. Unless your platform sets it so \
         (fsGroup), run chmod 600 {shown}."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_keyring_file_may_be() {
        let account = Account {
            uid: 999,
            groups: vec![999, 2000],
        };
        let table: [(u32, u32, u32, std::result::Result<bool, &str>); 14] = [
            (999, 999, 0o600, Ok(false)),
            (999, 999, 0o400, Ok(false)),
            (999, 5, 0o600, Ok(false)),
            (999, 999, 0o660, Ok(true)),
            (999, 2000, 0o640, Ok(true)),
            (999, 5, 0o640, Err("group 5")),
            (999, 0, 0o660, Err("group 0")),
            (999, 999, 0o604, Err("every account")),
            (999, 999, 0o602, Err("every account")),
            (999, 999, 0o666, Err("every account")),
            (0, 0, 0o600, Ok(false)),
            (0, 999, 0o640, Ok(true)),
            (0, 0, 0o644, Err("every account")),
            (1000, 999, 0o660, Err("belongs to user 1000")),
        ];
        for (uid, gid, mode, expected) in table {
            let got = judge("'f'", uid, gid, mode, &account);
            match (got, expected) {
                (Ok(warning), Ok(warned)) => assert_eq!(warning.is_some(), warned, "{mode:o}"),
                (Err(e), Err(part)) => {
                    assert_eq!(e.kind(), Kind::Permission);
                    assert!(e.to_string().contains(part), "{e}");
                }
                (got, _) => panic!("{uid} {gid} {mode:o}: {got:?}"),
            }
        }
        let root = Account {
            uid: 0,
            groups: vec![0],
        };
        assert!(judge("'f'", 999, 999, 0o600, &root).is_ok());
        assert!(judge("'f'", 999, 999, 0o666, &root).is_err());
    }
}
