//! The keyring file and its lock file: there, regular, and the account can write them (tried, without writing).

use super::Look;
use crate::config::Config;
use crate::store::file::lock::Lock;
use crate::store::file::marker;
use crate::sys::{self, Access};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

const WHAT: &str = "keyring file";

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let Ok(_guard) = look.identity.enter() else {
        return;
    };
    if !config.read_only {
        lock_file(look, config);
    }
    let shown = format!("'{}'", config.path.display());
    if config
        .path
        .symlink_metadata()
        .is_err_and(|e| e.kind() == ErrorKind::NotFound)
    {
        return missing(look, config, &shown);
    }
    let access = match config.read_only {
        true => Access::Read,
        false => Access::ReadWrite,
    };
    match sys::open(&config.path, access) {
        Err(e) => look.fail(
            WHAT,
            format!("{shown}: {e}"),
            format!("It must be a regular file with one name that mysqld's account owns, mode 0600. Restore it, or run: chown --reference=DATADIR {shown} && chmod 600 {shown}"),
        ),
        Ok((_, meta)) if meta.mode() & 0o077 != 0 => look.warn(
            WHAT,
            format!("others can get at {shown} (mode {:04o}); it is encrypted", meta.mode() & 0o7777),
            format!("Run: chmod 600 {shown}"),
        ),
        Ok((_, meta)) => look.ok(WHAT, format!("{shown}, {} bytes", meta.len())),
    }
}

fn missing(look: &mut Look<'_>, config: &Config, shown: &str) {
    let marked = look.setup.data_dir.filter(|d| marker::path_in(d).exists());
    match (marked, config.read_only) {
        (Some(dir), _) => look.fail(
            WHAT,
            format!("{shown} does not exist, but the data directory had a keyring"),
            marker::reset_hint(dir),
        ),
        (None, true) => look.fail(
            WHAT,
            format!("{shown} does not exist, and read_only forbids making it"),
            "Correct path, or run keyring-ward init.",
        ),
        (None, false) => look.warn(
            WHAT,
            format!("{shown} does not exist: the first key makes it"),
            "Or make it now: keyring-ward init.",
        ),
    }
}

fn lock_file(look: &mut Look<'_>, config: &Config) {
    let path = Lock::path_for(&config.path);
    match sys::open(&path, Access::ReadWrite) {
        Err(e) if e.kind() != ErrorKind::NotFound => look.fail(
            WHAT,
            format!("its lock file '{}': {e}", path.display()),
            format!(
                "It must be a regular file of mysqld's account. While no server runs: rm '{}'",
                path.display()
            ),
        ),
        _ => {}
    }
}
