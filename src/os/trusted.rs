//! Opening a file that only root and this process's account decide about, whatever links lead to it.
//!
//! Owns the walk along a path: each folder and each symbolic link is opened by the descriptor of the folder before it
//! and looked at by its own, so that what was checked is what is used. Orchestrators hand secrets over through links
//! (`..data`), in folders that everybody may write but that are sticky. It must never open a file that it has
//! not looked at, never wait for a FIFO, and never follow a link that somebody else could have made.

use super::MAX_LINKS;
use super::denied::Blocked;
use crate::error::{Error, Kind, Result};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More components than this no honest path has.
const MAX_STEPS: usize = 1024;
const LOOK: i32 = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;

/// A file that passed.
pub struct Trusted {
    /// Open for reading; a program only for looking.
    pub file: File,
    /// What it is.
    pub meta: Metadata,
    /// Where it lies, without a link.
    pub real: PathBuf,
    /// Full sentences about what passed although it could be better.
    pub warnings: Vec<String>,
}

/// Whose the file may be, and who may get at it besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Root's or the account's; its group only if that is root's or the account's own.
    Secret,
    /// The same, but the group's bits may be the mask of an access list, as systemd makes it for a credential.
    Credential,
    /// It decides what is run, or who is asked; anybody may read it. Nobody but root and the account may be able to
    /// write or to exchange it.
    Settings,
    /// It is run. As [`Rule::Settings`], but nobody has to be able to read it, other groups of the account may not write
    /// it, and it may have several links: a distribution that keeps its files by content has them.
    Program,
}

/// Who the calling thread is where files are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Who {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Who {
    fn am_i() -> Who {
        let (uid, gid) = super::identity::ids();
        let groups = crate::os::identity::groups();
        Who { uid, gid, groups }
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == self.uid
    }

    fn of_group(&self, gid: u32) -> Group {
        if gid == 0 || gid == self.gid {
            Group::Own
        } else if self.groups.contains(&gid) {
            Group::Supplementary
        } else {
            Group::Foreign
        }
    }
}

/// What a group is to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// Root's, or the account's own.
    Own,
    /// One of its other groups (Kubernetes' fsGroup).
    Supplementary,
    Foreign,
}

/// Opens the file at `path` for reading. `op` completes "Could not …".
///
/// # Errors
/// Permission: somebody else could have put it there, or may read it. NotFound, Io: the system's. InvalidInput: it is
/// not a regular file.
pub fn open(path: &Path, rule: Rule, op: &'static str) -> Result<Trusted> {
    Walk {
        op,
        path,
        who: Who::am_i(),
        rule,
        at: PathBuf::from("/"),
        arrived: false,
        links: 0,
        unsafe_folder: None,
        warnings: Vec::new(),
    }
    .go()
}

struct Walk<'a> {
    op: &'static str,
    path: &'a Path,
    who: Who,
    rule: Rule,
    /// Where the walk is, for messages.
    at: PathBuf,
    /// That is the file itself.
    arrived: bool,
    links: usize,
    /// The first folder in which somebody else could exchange what lies there, and why.
    unsafe_folder: Option<String>,
    warnings: Vec<String>,
}

impl Walk<'_> {
    fn go(mut self) -> Result<Trusted> {
        if !self.path.is_absolute() {
            let why = format!("the path '{}' is not absolute", self.path.display());
            return Err(Error::new(Kind::Config, self.op, why).hint(
                "Give the path from the root on: the server changes its working directory.",
            ));
        }
        let mut rest = components(self.path.as_os_str());
        let mut folder = self.look(None, OsStr::new("/"), true)?;
        self.folder(&folder)?;
        let mut steps = 0;
        while let Some(name) = rest.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(self.untrusted("its path has too many components".into()));
            }
            let entry = self.look(Some(&folder), &name, !rest.is_empty())?;
            let meta = entry.metadata().map_err(|e| self.io(e))?;
            if meta.is_symlink() {
                let target = self.link(&entry, &meta, &name)?;
                if target.as_bytes().first() == Some(&b'/') {
                    folder = self.look(None, OsStr::new("/"), true)?;
                    self.at = PathBuf::from("/");
                }
                rest.extend(components(&target));
                continue;
            }
            self.step(&name);
            if meta.is_dir() && !rest.is_empty() {
                self.folder(&entry)?;
                folder = entry;
            } else if rest.is_empty() {
                self.arrived = true;
                return self.end(&folder, &name, &meta);
            } else {
                return Err(self.io(io::Error::from_raw_os_error(libc::ENOTDIR)));
            }
        }
        Err(self.odd("it is a folder, not a file"))
    }

    /// A descriptor that only looks. `inside`: the walk goes on behind it, so that a folder that is mounted when it is
    /// needed (automount) has to be mounted now.
    fn look(&self, folder: Option<&File>, name: &OsStr, inside: bool) -> Result<File> {
        let dir = folder.map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd);
        if inside {
            match open_at(dir, name, LOOK | libc::O_DIRECTORY) {
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP)) => {}
                found => return found.map_err(|e| self.io_at(folder, name, e)),
            }
        }
        open_at(dir, name, LOOK).map_err(|e| self.io_at(folder, name, e))
    }

    /// Checks a folder on the way. One that somebody else could change matters where links are followed; else it is
    /// said.
    fn folder(&mut self, folder: &File) -> Result<()> {
        let meta = folder.metadata().map_err(|e| self.io(e))?;
        let shown = self.at.display();
        let mode = meta.mode();
        let why = if !self.who.trusts(meta.uid()) {
            Some(format!(
                "the folder '{shown}' belongs to user {}",
                meta.uid()
            ))
        } else if mode & 0o1000 != 0 {
            None
        } else if mode & 0o002 != 0 {
            Some(format!(
                "everybody can write in the folder '{shown}', which is not sticky"
            ))
        } else if mode & 0o020 != 0 && self.is_foreign(meta.gid()) {
            Some(format!(
                "the group {} can write in the folder '{shown}', which is not sticky",
                meta.gid()
            ))
        } else {
            None
        };
        if self.unsafe_folder.is_none() {
            self.unsafe_folder = why;
        }
        Ok(())
    }

    /// A group that may not write.
    fn is_foreign(&self, gid: u32) -> bool {
        match self.who.of_group(gid) {
            Group::Own => false,
            Group::Supplementary => self.rule == Rule::Program,
            Group::Foreign => true,
        }
    }

    fn link(&mut self, link: &File, meta: &Metadata, name: &OsStr) -> Result<OsString> {
        let shown = self.at.join(name);
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(self.untrusted("too many symbolic links lead to it".into()));
        }
        if !self.who.trusts(meta.uid()) {
            return Err(self.untrusted(format!(
                "the symbolic link '{}' on the way belongs to user {}",
                shown.display(),
                meta.uid()
            )));
        }
        let mut target = vec![0u8; libc::PATH_MAX as usize];
        // SAFETY: an empty name means the link that is open itself; the place has the stated size.
        let n = unsafe {
            libc::readlinkat(
                link.as_raw_fd(),
                c"".as_ptr(),
                target.as_mut_ptr().cast(),
                target.len(),
            )
        };
        match usize::try_from(n) {
            Ok(n) if n < target.len() => {
                target.truncate(n);
                Ok(OsString::from_vec(target))
            }
            Ok(_) => Err(self.io(io::Error::from_raw_os_error(libc::ENAMETOOLONG))),
            Err(_) => Err(self.io(io::Error::last_os_error())),
        }
    }

    fn step(&mut self, name: &OsStr) {
        match name == ".." {
            true => drop(self.at.pop()),
            false => self.at.push(name),
        }
    }

    /// The file itself. It was looked at, so that no device is opened; what counts is what is open then.
    fn end(mut self, folder: &File, name: &OsStr, seen: &Metadata) -> Result<Trusted> {
        self.regular(seen)?;
        let flags = match self.rule {
            Rule::Program => LOOK,
            _ => {
                libc::O_RDONLY
                    | libc::O_NOFOLLOW
                    | libc::O_NONBLOCK
                    | libc::O_NOCTTY
                    | libc::O_CLOEXEC
            }
        };
        let file = open_at(folder.as_raw_fd(), name, flags).map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => self.unreadable(seen),
            _ => self.io(e),
        })?;
        let meta = file.metadata().map_err(|e| self.io(e))?;
        self.regular(&meta)?;
        if meta.nlink() != 1 && self.rule != Rule::Program {
            let why = format!("it has {} hard links instead of one", meta.nlink());
            return Err(self.untrusted(why));
        }
        if !self.who.trusts(meta.uid()) {
            let why = format!("it belongs to user {}", meta.uid());
            return Err(self.untrusted(why));
        }
        let at = self.at.clone();
        self.readers(&file, &meta).map_err(|e| match self.rule {
            Rule::Secret | Rule::Credential => e,
            Rule::Settings => e.hint(format!(
                "Who can write it decides as whom a service is asked, and which program is run. Look at what is in it, then \
                 run: chmod go-w '{}'.",
                at.display()
            )),
            Rule::Program => e.hint(format!(
                "It would run with the rights of mysqld. Look at what is in it, then run: chown root:root '{0}' && chmod \
                 755 '{0}'.",
                at.display()
            )),
        })?;
        if let Some(why) = self.unsafe_folder.take() {
            if self.links > 0 {
                return Err(self.untrusted(format!(
                    "symbolic links lead to it, and {why}: they could be exchanged"
                )));
            }
            if matches!(self.rule, Rule::Settings | Rule::Program) {
                return Err(self.untrusted(format!("{why}: it could be exchanged")));
            }
            self.warnings.push(format!(
                "'{}' could be exchanged by others: {why}. It should belong to root or to the account of mysqld and be \
                 writable by nobody else.",
                self.path.display()
            ));
        }
        Ok(Trusted {
            file,
            meta,
            real: self.at,
            warnings: self.warnings,
        })
    }

    fn regular(&self, meta: &Metadata) -> Result<()> {
        match (meta.is_file(), meta.is_dir()) {
            (true, _) => Ok(()),
            (_, true) => Err(self.odd("it is a folder, not a file")),
            _ => Err(self.odd("it is not a regular file")),
        }
    }

    /// Nobody but root, the account and their groups may read or write it.
    fn readers(&mut self, file: &File, meta: &Metadata) -> Result<()> {
        let mode = meta.mode();
        if matches!(self.rule, Rule::Settings | Rule::Program) {
            if mode & 0o002 != 0 {
                return Err(self.too_open(mode, "everybody can write it".into()));
            }
            // With an access list these bits are its mask: without them nobody in it can write.
            if mode & 0o020 == 0 {
                return Ok(());
            }
        } else if mode & 0o007 != 0 {
            return Err(self.too_open(mode, "everybody can get at it".into()));
        }
        let mut groups: Vec<u32> = (mode & 0o070 != 0)
            .then_some(meta.gid())
            .into_iter()
            .collect();
        if let Some(list) = access_list(file) {
            groups.clear();
            for entry in list {
                match entry {
                    Listed::User(uid) if !self.who.trusts(uid) => {
                        let why = format!("an access list lets user {uid} get at it");
                        return Err(self.too_open(mode, why));
                    }
                    Listed::User(_) => {}
                    Listed::Group(gid) => groups.push(gid),
                    Listed::OwningGroup => groups.push(meta.gid()),
                }
            }
        } else if self.rule == Rule::Credential && mode & 0o030 == 0 {
            return Ok(());
        }
        for gid in groups {
            match self.who.of_group(gid) {
                Group::Own => {}
                Group::Supplementary if self.rule != Rule::Program => self.warnings.push(format!(
                    "'{}' can be read by group {gid}, one of the other groups of mysqld's account (in Kubernetes the \
                     fsGroup). Let nobody else be in it.",
                    self.path.display()
                )),
                Group::Supplementary | Group::Foreign => {
                    let why = format!("group {gid} can get at it, which is not root's and not mysqld's");
                    return Err(self.too_open(mode, why));
                }
            }
        }
        Ok(())
    }

    fn shown(&self) -> String {
        let path = self.path.display();
        match self.links > 0 && self.arrived {
            false => format!("'{path}'"),
            true => format!("'{path}' (which is '{}')", self.at.display()),
        }
    }

    fn untrusted(&self, why: String) -> Error {
        let why = format!("{}: {why}", self.shown());
        Error::new(Kind::Permission, self.op, why).hint(format!(
            "It, and every link and folder on the way, must belong to root or to the account of mysqld (user {}), and \
             nobody else may be able to exchange them.{} Nothing of the keyring was changed.",
            self.who.uid,
            match self.who.uid {
                0 => " Root runs this, and no keyring of mysqld's account tells which that is: name it (--user mysql).",
                _ => "",
            }
        ))
    }

    fn too_open(&self, mode: u32, why: String) -> Error {
        let why = format!("{} has mode {:04o}: {why}", self.shown(), mode & 0o7777);
        Error::new(Kind::Permission, self.op, why).hint(format!(
            "Run: chmod 600 '{}'. A secret of Docker gets uid, gid and mode 0400 where it is named, one of Kubernetes \
             defaultMode 0440 and an fsGroup (docs/guide/containers.md). Consider the secret as known and change it.",
            self.at.display()
        ))
    }

    fn unreadable(&self, meta: &Metadata) -> Error {
        let why = format!(
            "{} belongs to user {}, group {}, and has mode {:04o}: user {}, as whom it is read, may not read it",
            self.shown(),
            meta.uid(),
            meta.gid(),
            meta.mode() & 0o7777,
            self.who.uid
        );
        Error::new(Kind::Permission, self.op, why).hint(
            "Give it to the account of mysqld (chown), or its group (chgrp, mode 0440). What only root may read comes \
             through systemd: LoadCredential= in the unit and credential:NAME in the configuration.",
        )
    }

    fn odd(&self, why: &str) -> Error {
        let why = format!("{}: {why}", self.shown());
        Error::new(Kind::InvalidInput, self.op, why).hint(
            "Name a regular file that root or the account of mysqld owns. Nothing of the keyring was changed.",
        )
    }

    fn io(&self, e: io::Error) -> Error {
        Error::io(self.op, self.shown(), e).hint(
            "Name a regular file that root or the account of mysqld owns, with mode 0400 or 0440. Nothing of the \
             keyring was changed.",
        )
    }

    /// The file, link or folder `name` in `folder` could not be looked at.
    fn io_at(&self, folder: Option<&File>, name: &OsStr, e: io::Error) -> Error {
        // Looking needs no right but that to pass the folder.
        if e.kind() == io::ErrorKind::PermissionDenied
            && let Some(Ok(meta)) = folder.map(File::metadata)
        {
            let blocked = Blocked::folder(&self.at, &meta);
            let why = format!("{}: {}", self.shown(), blocked.detail);
            return Error::new(Kind::Permission, self.op, why).hint(blocked.remedy(self.path));
        }
        let place = self.at.join(name);
        match place == self.path {
            true => self.io(e),
            false => self.io(e).context(format_args!("at '{}'", place.display())),
        }
    }
}

/// The components of a path, the last one first.
pub(super) fn components(path: &OsStr) -> Vec<OsString> {
    path.as_bytes()
        .rsplit(|b| *b == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(|name| OsStr::from_bytes(name).to_os_string())
        .collect()
}

fn open_at(folder: i32, name: &OsStr, flags: i32) -> io::Result<File> {
    let name = CString::new(name.as_bytes()).map_err(io::Error::other)?;
    // SAFETY: a NUL-terminated name that lives until the call returns; the new descriptor is owned by nobody else.
    unsafe {
        let fd = libc::openat(folder, name.as_ptr(), flags);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(fd))
    }
}

/// Whom an access list lets in.
#[derive(Debug, PartialEq, Eq)]
enum Listed {
    User(u32),
    Group(u32),
    OwningGroup,
}

/// Whom the file's POSIX access list lets in besides its owner; `None`: it has none.
fn access_list(file: &File) -> Option<Vec<Listed>> {
    const NAME: &std::ffi::CStr = c"system.posix_acl_access";
    let fd = file.as_raw_fd();
    // A descriptor that only looks (a program's) is asked by its name.
    let by_name = CString::new(format!("/proc/self/fd/{fd}")).ok()?;
    let ask = |place: *mut libc::c_void, length: usize| {
        // SAFETY: NUL-terminated names, and a place of the stated size; without one the call only tells the size.
        unsafe {
            match libc::fgetxattr(fd, NAME.as_ptr(), place, length) {
                -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EBADF) => {
                    libc::getxattr(by_name.as_ptr(), NAME.as_ptr(), place, length)
                }
                n => n,
            }
        }
    };
    loop {
        let size = usize::try_from(ask(std::ptr::null_mut(), 0)).ok()?;
        let mut list = vec![0u8; size];
        match usize::try_from(ask(list.as_mut_ptr().cast(), size)) {
            Ok(n) => {
                list.truncate(n);
                return parse_access_list(&list);
            }
            // It has grown in between: without it the bits of the mode would count, which are only its mask.
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE) => {}
            Err(_) => return None,
        }
    }
}

/// Version 2: tag, rights, id, little-endian (acl(5), linux/posix_acl_xattr.h).
fn parse_access_list(list: &[u8]) -> Option<Vec<Listed>> {
    const USER: u16 = 0x02;
    const OWNING_GROUP: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    let entries = list.strip_prefix(&2u32.to_le_bytes())?;
    let entries = entries.chunks_exact(8).map(|e| {
        let half = |at: usize| u16::from_le_bytes([e[at], e[at + 1]]);
        (
            half(0),
            half(2),
            u32::from_le_bytes([e[4], e[5], e[6], e[7]]),
        )
    });
    let mask = entries.clone().find(|e| e.0 == MASK).map_or(7, |e| e.1);
    let let_in = entries.filter(|(_, rights, _)| rights & mask != 0);
    Some(
        let_in
            .filter_map(|(tag, _, id)| match tag {
                USER => Some(Listed::User(id)),
                GROUP => Some(Listed::Group(id)),
                OWNING_GROUP => Some(Listed::OwningGroup),
                _ => None,
            })
            .collect(),
    )
}

#[cfg(test)]
#[path = "trusted_tests.rs"]
mod tests;
