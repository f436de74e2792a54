//! As whom doctor looks: the account that mysqld will be, or the verdicts are not the server's.

use super::Look;
use crate::sys;

pub(super) fn check(look: &mut Look<'_>) {
    match look.identity.ids() {
        Some((0, _)) => as_root(look),
        Some((uid, _)) => look.ok(
            "account",
            format!("files are looked at as user {uid}, who owns the data directory or the keyring's folder"),
        ),
        None if sys::effective_uid() == 0 => as_root(look),
        None => look.ok(
            "account",
            format!("files are looked at as user {}, as this process is", sys::effective_uid()),
        ),
    }
}

fn as_root(look: &mut Look<'_>) {
    look.warn(
        "account",
        "files are looked at as root, who may read everything",
        "Run it as the account of mysqld, or name a data directory of that account by --datadir.",
    );
}
