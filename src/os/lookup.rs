//! What the system knows of accounts: names, numbers, groups.
//!
//! Where this process is root the system's libraries are asked in a child without root's rights: they may load
//! modules (LDAP, SSSD), start threads and hang. It must never be asked about a key or a path.

use super::child::{self, Question};
use super::identity::{self, Account, MAX_GROUPS};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::wire::{Reader, Wire, Writer};
use crate::secret::SecretPool;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::time::Duration;

const OP: &str = "find the account";
/// How long the system may take to tell of an account.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer: every group that a process can have, and names.
const MOST: usize = 4 * MAX_GROUPS + 64 * 1024;
/// Who has no rights at all.
const NOBODY: u32 = 65_534;

/// Does `work` without root's rights: as `account`, or as nobody; in a child where this process is root.
///
/// # Errors
/// As [`child::ask`].
pub(crate) fn aside<T: Wire>(account: Option<&Account>, work: impl FnOnce() -> T) -> Result<T> {
    if !identity::is_root() {
        return Ok(work());
    }
    let nobody = Account::unnamed(NOBODY, NOBODY);
    let question = Question {
        op: OP,
        whom: "the system's list of accounts",
        deadline: Deadline::after(PATIENCE),
        most: MOST,
        account: Some(account.unwrap_or(&nobody)),
        pool: &SecretPool::new(),
    };
    child::ask(&question, work)
}

/// The account `uid`, with all its groups where the system knows it; else with `gid` alone, and never with root's: a folder's
/// group says nothing of what its owner may do.
pub fn owner(uid: u32, gid: u32) -> Account {
    let unnamed = Account::unnamed(uid, if gid == 0 { NOBODY } else { gid });
    let found = aside(Some(&unnamed), || entry_of_uid(uid).and_then(account_of));
    found.ok().flatten().unwrap_or(unnamed)
}

/// The account of this name; a number means the user of this number.
///
/// # Errors
/// InvalidInput: the system does not know it. Those of asking.
pub fn named(name: &str) -> Result<Account> {
    let ask = || {
        let by_name = CString::new(name).ok().and_then(|n| entry_of_name(&n));
        let entry = by_name.or_else(|| entry_of_uid(name.parse().ok()?));
        entry.and_then(account_of)
    };
    aside(None, ask)?.ok_or_else(|| {
        Error::new(
            Kind::InvalidInput,
            OP,
            format!("the system knows no account '{name}'"),
        )
        .hint("Name the account that runs mysqld, as getent passwd shows it.")
    })
}

/// What of an entry of the list of users counts.
struct Entry {
    name: CString,
    uid: u32,
    gid: u32,
    home: Option<PathBuf>,
}

fn entry_of_name(name: &CStr) -> Option<Entry> {
    // SAFETY: `entry` passes a place for the entry, room for its texts, and a place for the pointer.
    entry(|pwd, room, len, found| unsafe { libc::getpwnam_r(name.as_ptr(), pwd, room, len, found) })
}

fn entry_of_uid(uid: u32) -> Option<Entry> {
    // SAFETY: as above.
    entry(|pwd, room, len, found| unsafe { libc::getpwuid_r(uid, pwd, room, len, found) })
}

fn entry(
    get: impl Fn(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> i32,
) -> Option<Entry> {
    for shift in [12, 16, 20] {
        let mut room: Vec<libc::c_char> = vec![0; 1 << shift];
        // SAFETY: all-zero bytes are a valid passwd, which is integers and pointers.
        let mut pwd: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        let rc = get(&raw mut pwd, room.as_mut_ptr(), room.len(), &raw mut found);
        if rc == libc::ERANGE {
            continue;
        }
        if rc != 0 || found.is_null() {
            return None;
        }
        // SAFETY: the entry was filled, its name is a text in `room`.
        let name = unsafe { CStr::from_ptr(pwd.pw_name) }.to_owned();
        let home = NonNull::new(pwd.pw_dir).map(|dir| {
            // SAFETY: as the name.
            let bytes = unsafe { CStr::from_ptr(dir.as_ptr()) }.to_bytes();
            PathBuf::from(OsStr::from_bytes(bytes))
        });
        return Some(Entry {
            name,
            home: home.filter(|dir| dir.is_absolute()),
            uid: pwd.pw_uid,
            gid: pwd.pw_gid,
        });
    }
    None
}

/// The entry with all its groups, as initgroups() would take them.
fn account_of(entry: Entry) -> Option<Account> {
    let mut groups = vec![0u32; MAX_GROUPS];
    let mut count = MAX_GROUPS as libc::c_int;
    // SAFETY: room for as many groups as `count` says, which tells how many there are.
    let rc = unsafe {
        libc::getgrouplist(
            entry.name.as_ptr(),
            entry.gid,
            groups.as_mut_ptr(),
            &raw mut count,
        )
    };
    if rc < 0 {
        return None;
    }
    groups.truncate(usize::try_from(count).ok()?);
    Some(Account {
        uid: entry.uid,
        gid: entry.gid,
        groups,
        name: Some(entry.name.to_string_lossy().into_owned()),
        home: entry.home,
    })
}

impl Wire for Account {
    fn put(&self, out: &mut Writer) {
        out.u32(self.uid);
        out.u32(self.gid);
        self.groups.put(out);
        self.name.put(out);
        let home = self.home.as_deref().map(|home| home.as_os_str().as_bytes());
        out.bytes(home.unwrap_or_default());
    }

    fn take(from: &mut Reader<'_>) -> Option<Account> {
        Some(Account {
            uid: from.u32()?,
            gid: from.u32()?,
            groups: Wire::take(from)?,
            name: Wire::take(from)?,
            home: Some(from.bytes()?)
                .filter(|home| !home.is_empty())
                .map(|home| PathBuf::from(OsStr::from_bytes(home))),
        })
    }
}
