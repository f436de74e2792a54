//! Whose rights the keyring's work has while mysqld (or a migration tool) is root.
//!
//! mysqld loads its keyring before it changes its user. Owns the choice of the account and the promise
//! that all work is done in a thread that has become it, which is gone, with all that it started, before the server
//! goes on: a thread that were left would end the server in initgroups(). It must never do any of it as
//! root where there is another account.

use super::log;
use crate::config::discover::CommandLine;
use crate::config::{Config, server};
use crate::error::{Error, Kind, Result};
use crate::lifecycle::environment::is_in_server;
use crate::os::identity::{self, Account};
use crate::os::{self, lookup};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

const OP: &str = "find the account that the keyring belongs to";

/// The account that was taken on, as long as the process is root; lives in the one static.
pub(super) struct Acting {
    /// There may be an account to take on: looked at on every call, so it must cost nothing.
    needed: AtomicBool,
    account: Mutex<Option<Account>>,
}

impl Acting {
    pub(super) const fn new() -> Acting {
        Acting {
            needed: AtomicBool::new(false),
            account: Mutex::new(None),
        }
    }

    /// Loads a keyring: finds out whose rights that needs, and does `work` with them.
    ///
    /// # Errors
    /// Config, Permission: there is no such account, or its rights can't be taken on. Those of `work`.
    pub(super) fn load<T: Send>(
        &self,
        command_line: &CommandLine,
        instance_dir: Option<&Path>,
        config: &(dyn Fn() -> Result<Config> + Send + Sync),
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        if !identity::is_root() {
            return work();
        }
        // Before anything of the account's is looked at.
        os::counted_threads(OP)?;
        let found = find(command_line, instance_dir, config)?;
        if let Some(warning) = found.warning {
            log::warning(&warning);
        }
        *self.account() = Some(found.account);
        self.needed.store(true, Ordering::Release);
        self.go_on(work)
    }

    /// Does `work` with the rights that the keyring was loaded with.
    ///
    /// # Errors
    /// Permission: they can't be taken on. Those of `work`.
    #[inline]
    pub(super) fn go_on<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        match self.needed.load(Ordering::Acquire) {
            false => work(),
            true => self.act(work),
        }
    }

    /// The process stays the account that it is: it is not root any more, or nobody else.
    pub(super) fn is_settled(&self) -> bool {
        !identity::is_root() || self.account().as_ref().is_some_and(Account::is_root)
    }

    #[cold]
    fn act<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if !identity::is_root() {
            // It is the account itself by now, and never becomes root again.
            self.needed.store(false, Ordering::Release);
            return work();
        }
        let account = self.account().clone();
        let Some(account) = account.filter(|a| !a.is_root()) else {
            return work();
        };
        let before = Some(os::counted_threads(OP)?);
        let result = identity::run_as(&account, work);
        match os::threads_beyond(before) {
            0 => {}
            n => log::error(&format!(
                "KW-0015 Internal: {n} threads that loading the keyring started are still there. mysqld may abort when \
                 it changes its user (initgroups). Start it as its own user (User= in the systemd unit), and \
                 report this."
            )),
        }
        result
    }

    fn account(&self) -> std::sync::MutexGuard<'_, Option<Account>> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Found {
    account: Account,
    warning: Option<String>,
}

/// A sentence about an account of which only its numbers are known.
fn unknown(account: &Account) -> Option<String> {
    if account.name.is_some() || account.is_root() {
        return None;
    }
    Some(format!(
        "The system does not know {account}, or did not tell of it in time: the keyring is read with the rights of this user \
         and the group {} alone.",
        account.gid
    ))
}

/// The owner of the data directory; where there is none yet, or it is root's, the account that the server was told
/// to become, in a tool the owner of the keyring's folder.
fn find(
    command_line: &CommandLine,
    instance_dir: Option<&Path>,
    config: &(dyn Fn() -> Result<Config> + Send + Sync),
) -> Result<Found> {
    let found = |account: Account| Found {
        warning: unknown(&account),
        account,
    };
    let owner = match instance_dir.filter(|dir| dir.is_dir()) {
        Some(dir) => Some(identity::owner_of(dir)?).filter(|owner| !owner.is_root()),
        None => None,
    };
    if !is_in_server(command_line) {
        // No folder of an account's is known: root reads only what nobody else can have written.
        return match owner {
            Some(owner) => Ok(found(owner)),
            None => identity::owner_of_nearest(&config()?.path).map(found),
        };
    }
    let told = lookup::aside(owner.as_ref(), || server::user(command_line));
    let Some(owner) = owner else {
        let Some(name) = told? else {
            return Err(Error::new(
                Kind::Config,
                OP,
                "mysqld is root, its data directory is not there yet or belongs to root, and no user is named",
            )
            .hint("Start mysqld as its own user (User= in the systemd unit), or name it: --user=mysql."));
        };
        let account = lookup::named(&name)?;
        let warning = account.is_root().then(|| {
            "mysqld runs as root, so the keyring is read and written as root. Give the data directory and the \
             keyring's folder to an account of its own, and start mysqld as that account."
                .to_string()
        });
        return Ok(Found { account, warning });
    };
    // The server itself complains of a name that nobody has.
    match told.ok().flatten().and_then(|name| lookup::named(&name).ok()) {
        Some(told) if told.is_root() => Err(Error::new(
            Kind::Config,
            OP,
            format!(
                "mysqld stays root (--user=root), but its data directory belongs to {owner}: the keyring's files would become root's"
            ),
        )
        .hint("Start mysqld as the owner of its data directory.")),
        Some(told) if told.uid != owner.uid => {
            let warning = format!(
                "The data directory belongs to {owner}, mysqld becomes {told}: the keyring is read as {owner}. Later \
                 writes are {told}'s. Give the data directory and the keyring's folder to {told}."
            );
            Ok(Found {
                account: owner,
                warning: Some(warning),
            })
        }
        _ => Ok(found(owner)),
    }
}
