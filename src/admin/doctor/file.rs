//! The keyring file and its lock file: there, regular, and the account can write them (tried, without writing).

use super::Look;
use crate::config::Config;
use crate::os::file::{self, Access};
use crate::store::file::access::{self, Opinion};
use crate::store::lock::Lock;
use crate::store::marker;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;

const WHAT: &str = "keyring file";

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    if !config.read_only {
        lock_file(look, config);
    }
    if config.token_storage().is_some() {
        return;
    }
    let shown = format!("'{}'", config.path.display());
    if config
        .path
        .symlink_metadata()
        .is_err_and(|e| e.kind() == ErrorKind::NotFound)
    {
        return missing(look, config, &shown);
    }
    let own = super::rights::give(look, &config.path);
    match access::opinion(&config.path, config.read_only) {
        Err(e) => {
            let number = format!("KW-{:04}: ", e.kind().number());
            look.fail(
                WHAT,
                number + e.message().trim_end_matches('.'),
                format!("It must be a regular file with one name that mysqld's account owns, mode 0600. Restore it, or run: {own} && chmod 600 {shown}"),
            );
        }
        Ok(Opinion {
            unwritable: None,
            group_rights: None,
        }) => {
            let bytes = config.path.metadata().map_or(0, |m| m.len());
            look.ok(WHAT, format!("{shown}, {bytes} bytes"));
        }
        Ok(Opinion {
            unwritable,
            group_rights,
        }) => {
            let unless = match group_rights {
                Some(_) => ". Not where your platform sets it so (Kubernetes' fsGroup).",
                None => "",
            };
            let sentences: Vec<String> = unwritable.into_iter().chain(group_rights).collect();
            look.warn(
                WHAT,
                sentences.join(" "),
                format!("Run: {own} && chmod 600 {shown}{unless}"),
            );
        }
    }
}

fn missing(look: &mut Look<'_>, config: &Config, shown: &str) {
    let marked = look.setup.data_dir.filter(|d| marker::is_there(d));
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
    match file::open(&path, Access::ReadWrite) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            let owner = match path.symlink_metadata() {
                Ok(meta) => format!(" belongs to user {}", meta.uid()),
                Err(_) => String::new(),
            };
            look.fail(
                WHAT,
                format!("its lock file '{}'{owner}: {e}", path.display()),
                format!(
                    "It must be a regular file of mysqld's account. While no server runs: rm '{}'",
                    path.display()
                ),
            );
        }
        _ => {}
    }
}
