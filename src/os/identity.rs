//! Whose rights are used where this process is root.
//!
//! Owns giving root's rights up: in one thread, for the server's start, or in the whole process, for the tool. What
//! has been given up never comes back: there is no guard that ends. It must never go on with
//! rights that were not checked by reading them back.

use super::{MAX_LINKS, lookup, trusted};
use crate::error::{Error, Kind, Result};
use std::cell::Cell;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

const OP: &str = "take on the account's rights";
/// The effective group of this process and its supplementary ones.
pub fn groups() -> Vec<u32> {
    // SAFETY: with no places the call only counts.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups: Vec<libc::gid_t> = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the list has as many places as the call is told.
    let count = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    // SAFETY: getegid has no arguments, no failure and no side effect.
    groups.push(unsafe { libc::getegid() });
    groups
}

/// More groups than this no system gives (NGROUPS_MAX).
pub const MAX_GROUPS: usize = 65_536;

thread_local! {
    static ACTING: Cell<bool> = const { Cell::new(false) };
}

/// Root's rights were given up in this process, or in a thread of it.
static GIVEN_UP: AtomicBool = AtomicBool::new(false);
/// The home of the account that was taken on.
static HOME: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The effective user id of this process.
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid has no arguments, no failure and no side effect.
    unsafe { libc::geteuid() }
}

/// User and group with whose rights the calling thread opens files.
pub fn ids() -> (u32, u32) {
    // SAFETY: neither has arguments, a failure or a side effect.
    (effective_uid(), unsafe { libc::getegid() })
}

/// This process has root's rights.
pub fn is_root() -> bool {
    effective_uid() == 0
}

/// This thread has taken on an account while the process is root: whatever it starts must be gone before it ends.
pub fn acting() -> bool {
    ACTING.get()
}

/// This process was root and has taken on an account, whole or in a thread. What is left in it from root (its environment,
/// its descriptors, its terminal) is not for programs of the account, and code that the account can change does not
/// run in it.
pub fn has_given_up_root() -> bool {
    GIVEN_UP.load(Ordering::Acquire)
}

/// The home of the account that was taken on, where it is known.
pub fn home_taken_on() -> Option<PathBuf> {
    HOME.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// For a child: it is a process of its own, whose threads end with it.
pub(super) fn no_longer_acting() {
    ACTING.set(false);
}

/// An account: what a process of it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// Its home, where the system tells one.
    pub home: Option<PathBuf>,
}

impl Account {
    /// An account that is known by its numbers only.
    pub fn unnamed(uid: u32, gid: u32) -> Account {
        Account {
            uid,
            gid,
            groups: Vec::new(),
            name: None,
            home: None,
        }
    }

    /// It is root.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "'{name}' (user {})", self.uid),
            None => write!(f, "user {}", self.uid),
        }
    }
}

/// The account that decides about a folder: its owner, with its groups, or whoever made a link on the way to it.
///
/// # Errors
/// The folder can't be looked at.
pub fn owner_of(folder: &Path) -> Result<Account> {
    std::fs::metadata(folder)
        .map_err(|e| Error::io("find the owner", format!("'{}'", folder.display()), e))?;
    nearest(folder)
}

fn nearest(folder: &Path) -> Result<Account> {
    let (uid, gid) = decider(folder)?;
    Ok(account(uid, gid))
}

/// The same for the folder that holds `path`, or would: for the nearest one that exists.
///
/// # Errors
/// As [`owner_of`].
pub fn owner_of_nearest(path: &Path) -> Result<Account> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match folder.as_os_str().is_empty() {
        true => nearest(Path::new(".")),
        false => nearest(folder),
    }
}

/// The account that can change a file: the folder's, or where that is root's the file's own.
///
/// # Errors
/// As [`owner_of`].
pub fn owner_of_file(file: &Path) -> Result<Account> {
    let folder = owner_of_nearest(file)?;
    if !folder.is_root() {
        return Ok(folder);
    }
    match std::fs::symlink_metadata(file) {
        Ok(meta) => Ok(account(meta.uid(), meta.gid())),
        Err(_) => Ok(folder),
    }
}

fn account(uid: u32, gid: u32) -> Account {
    match uid {
        0 => Account::unnamed(0, 0),
        _ => lookup::owner(uid, gid),
    }
}

/// Owner and group of the last folder on the way to `folder` that exists. A symbolic link that is not root's ends the way:
/// who made it has chosen what is behind it, and may have chosen somebody else's.
fn decider(folder: &Path) -> Result<(u32, u32)> {
    let fail = |e| Error::io("find the owner", format!("'{}'", folder.display()), e);
    let mut rest = trusted::components(std::path::absolute(folder).map_err(fail)?.as_os_str());
    let mut at = PathBuf::from("/");
    let mut found = at.symlink_metadata().map_err(fail)?;
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let next = match name.to_str() {
            Some("..") => at.parent().unwrap_or(Path::new("/")).to_path_buf(),
            _ => at.join(&name),
        };
        let meta = match next.symlink_metadata() {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => break,
            Err(e) => return Err(fail(e)),
        };
        if meta.is_symlink() {
            if meta.uid() != 0 {
                return Ok((meta.uid(), meta.gid()));
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(fail(std::io::Error::from_raw_os_error(libc::ELOOP)));
            }
            let target = std::fs::read_link(&next).map_err(fail)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(trusted::components(target.as_os_str()));
        } else if meta.is_dir() {
            (at, found) = (next, meta);
        } else {
            break;
        }
    }
    Ok((found.uid(), found.gid()))
}

/// Runs `f` as `account` in a thread that becomes it for good, and waits until that thread is gone. Where this
/// process is not root, or the account is root, `f` is simply called.
///
/// # Errors
/// Permission: the account's rights can't be taken on. What `f` returns.
pub fn run_as<T: Send>(account: &Account, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !is_root() || account.is_root() {
        return f();
    }
    std::thread::scope(|scope| {
        let work = move || {
            become_account(account)?;
            ACTING.set(true);
            f()
        };
        let thread = std::thread::Builder::new()
            .name("kw-account".into())
            .spawn_scoped(scope, work)
            .map_err(|e| Error::io(OP, "no thread could be started", e))?;
        // Joined, not only waited for: no thread may be there when the server changes its user.
        thread.join().unwrap_or_else(|_| {
            Err(Error::new(
                Kind::Internal,
                OP,
                "the work ended unexpectedly",
            ))
        })
    })
}

/// Makes the whole process `account`'s, for good. It must have one thread. Where it is not root nothing happens.
///
/// # Errors
/// Permission: the account's rights can't be taken on. Internal: there is another thread.
pub fn become_for_good(account: &Account) -> Result<()> {
    if !is_root() || account.is_root() {
        return Ok(());
    }
    if super::counted_threads(OP)? > 1 {
        let why = "another thread runs already, which would keep root's rights";
        return Err(Error::new(Kind::Internal, OP, why));
    }
    become_account(account)
}

/// Runs `f` as the owner of `folder`: for files that the owner could exchange while root reads them.
///
/// # Errors
/// As [`run_as`]; the folder can't be looked at.
pub fn as_owner_of<T: Send>(folder: &Path, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !is_root() {
        return f();
    }
    run_as(&owner_of(folder)?, f)
}

/// Gives the calling thread the account's rights and no others, and checks that it has them.
///
/// By raw system calls: the C library's functions would change every thread of the process.
pub(super) fn become_account(account: &Account) -> Result<()> {
    // Until root's rights are gone nobody of the account may look into this process, and from then on the
    // kernel sees to it, unless it is told otherwise (fs.suid_dumpable).
    not_dumpable();
    *HOME.lock().unwrap_or_else(PoisonError::into_inner) = account.home.clone();
    GIVEN_UP.store(true, Ordering::Release);
    let (uid, gid) = (account.uid, account.gid);
    let failed = |what: &str| {
        let why = std::io::Error::last_os_error();
        Error::new(
            Kind::Permission,
            OP,
            format!("{what} of {account} could not be taken on: {why}"),
        )
        .hint(REMEDY)
    };
    // SAFETY: these calls change ids of the calling thread only; the list of groups lives until they return.
    unsafe {
        let groups = &account.groups;
        if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0 {
            return Err(failed("the groups"));
        }
        if libc::syscall(libc::SYS_setresgid, gid, gid, gid) != 0 {
            return Err(failed("the group"));
        }
        if libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0 {
            return Err(failed("the user"));
        }
    }
    not_dumpable();
    drop_capabilities();
    match differs_from(account) {
        None => Ok(()),
        Some(what) => Err(Error::new(
            Kind::Permission,
            OP,
            format!("{what} is not that of {account} after the change"),
        )
        .hint(REMEDY)),
    }
}

const REMEDY: &str =
    "Start mysqld as its own user (User= in the systemd unit, or setpriv), not as root.";

fn not_dumpable() {
    // SAFETY: changes one flag of this process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// What of the calling thread is not the account's.
fn differs_from(account: &Account) -> Option<&'static str> {
    let (mut r, mut e, mut s) = (0u32, 0u32, 0u32);
    // SAFETY: three places for three numbers.
    let rc = unsafe { libc::syscall(libc::SYS_getresuid, &raw mut r, &raw mut e, &raw mut s) };
    if rc != 0 || [r, e, s] != [account.uid; 3] {
        return Some("the user");
    }
    // SAFETY: as above.
    let rc = unsafe { libc::syscall(libc::SYS_getresgid, &raw mut r, &raw mut e, &raw mut s) };
    if rc != 0 || [r, e, s] != [account.gid; 3] {
        return Some("the group");
    }
    let mut groups = vec![0u32; MAX_GROUPS];
    // SAFETY: a place for as many numbers as are named.
    let n = unsafe { libc::syscall(libc::SYS_getgroups, groups.len(), groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(n).unwrap_or(0));
    let sorted = |mut list: Vec<u32>| {
        list.sort_unstable();
        list
    };
    if n < 0 || sorted(groups) != sorted(account.groups.clone()) {
        return Some("the list of groups");
    }
    let capabilities = capabilities();
    (!capabilities.is_some_and(|c| c.iter().all(|set| set.effective == 0 && set.permitted == 0)))
        .then_some("the set of capabilities")
}

/// The kernel's `__user_cap_header_struct`.
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// The kernel's `__user_cap_data_struct`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl CapabilityHeader {
    /// `_LINUX_CAPABILITY_VERSION_3`, of the calling thread.
    const OWN: CapabilityHeader = CapabilityHeader {
        version: 0x2008_0522,
        pid: 0,
    };
}

fn capabilities() -> Option<[Capabilities; 2]> {
    let (mut header, mut sets) = (CapabilityHeader::OWN, [Capabilities::default(); 2]);
    // SAFETY: version 3 reads and writes a header and two sets.
    let rc = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    (rc == 0).then_some(sets)
}

/// Usually the change of the user has taken them; not where the process was told to keep them.
fn drop_capabilities() {
    let (mut header, none) = (CapabilityHeader::OWN, [Capabilities::default(); 2]);
    // SAFETY: version 3 reads a header and two sets. Less is always allowed; what failed shows when it is
    // read back.
    unsafe { libc::syscall(libc::SYS_capset, &raw mut header, none.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> bool {
        if !is_root() {
            println!("not root: there is nothing to give up");
        }
        is_root()
    }

    #[test]
    fn a_thread_becomes_the_account_and_the_process_stays_root() {
        if !root() {
            let account = Account::unnamed(12345, 12345);
            assert!(run_as(&account, || Ok(!acting())).unwrap());
            return;
        }
        let before = super::super::threads();
        let account = Account {
            groups: vec![20001, 20000],
            home: Some("/srv/kw-home".into()),
            ..Account::unnamed(12345, 12346)
        };
        let status = run_as(&account, || {
            assert!(acting() && !is_root() && has_given_up_root());
            assert!(std::fs::File::open("/etc/shadow").is_err());
            Ok(std::fs::read_to_string("/proc/thread-self/status").unwrap())
        })
        .unwrap();
        let line = |name: &str| {
            let line = status.lines().find(|l| l.starts_with(name));
            let words = line.unwrap_or("").split_whitespace().skip(1);
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("Uid:"), "12345 12345 12345 12345");
        assert_eq!(line("Gid:"), "12346 12346 12346 12346");
        assert_eq!(line("Groups:"), "20000 20001");
        for set in ["CapEff:", "CapPrm:", "CapAmb:"] {
            assert_eq!(line(set), "0000000000000000", "{set}");
        }
        assert!(is_root() && !acting());
        assert!(std::fs::File::open("/etc/shadow").is_ok());
        assert!(before.is_none() || super::super::threads_beyond(before) < 3);
    }

    #[test]
    fn what_goes_wrong_in_the_thread_comes_back() {
        let account = Account::unnamed(12345, 12345);
        let e = run_as(&account, || -> Result<()> {
            Err(Error::new(Kind::Locked, "x", "y"))
        });
        assert_eq!(e.unwrap_err().kind(), Kind::Locked);
        if root() {
            let e = run_as(&account, || -> Result<()> { panic!("inside") });
            assert_eq!(e.unwrap_err().kind(), Kind::Internal);
        }
    }

    #[test]
    fn root_as_the_account_changes_nothing() {
        let account = Account::unnamed(0, 0);
        assert!(run_as(&account, || Ok(!acting())).unwrap());
    }

    #[test]
    fn more_groups_than_the_system_takes_are_a_sentence() {
        if !root() {
            return;
        }
        let account = Account {
            groups: vec![1; MAX_GROUPS + 1],
            ..Account::unnamed(12345, 12345)
        };
        let e = run_as(&account, || Ok(())).unwrap_err();
        assert_eq!(e.kind(), Kind::Permission);
        assert!(e.to_string().contains("the groups of user 12345"), "{e}");
        assert!(is_root());
    }

    #[test]
    fn the_owner_of_the_nearest_folder() {
        let dir = tempfile::tempdir().unwrap();
        if root() {
            std::os::unix::fs::chown(dir.path(), Some(12345), Some(12347)).unwrap();
            let account = owner_of_nearest(&dir.path().join("a/b/c")).unwrap();
            assert_eq!(account, Account::unnamed(12345, 12347));
            // Root's group is nobody's by an owner of a folder.
            std::os::unix::fs::chown(dir.path(), Some(12345), Some(0)).unwrap();
            let account = owner_of_nearest(&dir.path().join("a/b/c")).unwrap();
            assert!(
                account.gid != 0 && !account.groups.contains(&0),
                "{account:?}"
            );
        }
    }

    #[test]
    fn who_made_a_link_decides_where_it_leads() {
        if !root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("alice")).unwrap();
        std::os::unix::fs::chown(at("alice"), Some(11111), Some(11111)).unwrap();
        std::fs::write(at("alice/f"), "").unwrap();
        std::os::unix::fs::symlink("alice", at("of-root")).unwrap();
        std::os::unix::fs::symlink(at("alice"), at("of-bob")).unwrap();
        std::os::unix::fs::lchown(at("of-bob"), Some(22222), Some(22222)).unwrap();
        for (path, uid) in [
            ("alice", 11111),
            ("of-root", 11111),
            ("alice/../alice", 11111),
            ("of-root/absent/deep", 11111),
            ("of-bob", 22222),
            ("of-bob/deep", 22222),
            ("absent", 0),
        ] {
            let file = at(path).join("k.ward");
            assert_eq!(owner_of_nearest(&file).unwrap().uid, uid, "{path}");
        }
        assert_eq!(owner_of_file(&at("alice/f")).unwrap().uid, 11111);
        std::fs::write(at("f"), "").unwrap();
        assert_eq!(owner_of_file(&at("f")).unwrap().uid, 0);
        std::os::unix::fs::chown(at("f"), Some(33333), Some(0)).unwrap();
        assert_eq!(owner_of_file(&at("f")).unwrap().uid, 33333);
    }
}
