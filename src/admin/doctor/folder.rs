//! The keyring's folder: there, and the account can make files in it (tried, without making one).

use super::Look;
use crate::config::Config;
use crate::os::file;
use crate::store::lock::Lock;
use crate::store::marker;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const WHAT: &str = "folder";

/// What to do where the keyring's volume is not there: the folder is what it will be mounted over, and belongs to whoever
/// made it. `None`: the keyring is there, or there never was one.
fn not_mounted(look: &Look<'_>, config: &Config) -> Option<String> {
    let dir = look.setup.data_dir.filter(|d| marker::is_there(d))?;
    let gone = config
        .path
        .symlink_metadata()
        .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    (gone && config.token_storage().is_none()).then(|| {
        format!(
            "The keyring is not in it, but the data directory had one. {}",
            marker::reset_hint(dir)
        )
    })
}

/// A closed folder may be what a volume will be mounted over.
fn or_mount(look: &Look<'_>, remedy: String) -> String {
    let marked = look.setup.data_dir.filter(|d| marker::is_there(d));
    match marked {
        Some(_) => format!(
            "If a volume belongs there, mount it. If not: {}",
            remedy.trim_start_matches("Run: ")
        ),
        None => remedy,
    }
}

fn shown(folder: &Path) -> String {
    format!("'{}'", folder.display())
}

/// What the folder is; `None`: nothing that can be looked into, which is told.
fn there(look: &mut Look<'_>, config: &Config, folder: &Path) -> Option<Metadata> {
    let shown = shown(folder);
    let (detail, remedy) = match folder.metadata() {
        Ok(meta) if meta.is_dir() => return Some(meta),
        Ok(_) => (format!("{shown} is not a folder"), "Correct path.".into()),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            let (detail, remedy) = super::rights::blocked(look, &config.path)
                .unwrap_or((format!("{shown}: {e}"), "Let mysqld's account pass.".into()));
            (detail, or_mount(look, remedy))
        }
        Err(e) => (
            format!("{shown}: {e}"),
            format!(
                "Mount the volume that holds it, correct path, or make it: install -d -o mysql -g mysql -m 0750 {shown}"
            ),
        ),
    };
    look.fail(WHAT, detail, remedy);
    None
}

/// Whether the account can make files in it; `own` is the remedy.
fn files_in_it(look: &mut Look<'_>, config: &Config, folder: &Path, meta: &Metadata, own: String) {
    let shown = shown(folder);
    let data_dir = look.setup.data_dir.and_then(|d| d.metadata().ok());
    let owner = data_dir.map(|m| m.uid());
    let tried = match config.read_only {
        true => Ok(()),
        false => file::could_create_in(folder),
    };
    match tried {
        Err(e) if e.kind() == std::io::ErrorKind::ReadOnlyFilesystem => look.fail(
            WHAT,
            format!("{shown} is on a file system that is mounted read-only"),
            "Mount it for writing, or set read_only.",
        ),
        Err(e) => {
            let detail = format!(
                "mysqld's account can't make files in {shown} (user {}, mode {:04o}): {e}",
                meta.uid(),
                meta.mode() & 0o7777
            );
            // With both files there a server starts and appends; only a rewrite needs the folder.
            let there = config.token_storage().is_some() || config.path.exists();
            match there && Lock::path_for(&config.path).exists() {
                true => look.warn(
                    WHAT,
                    format!("{detail}. It can't be compacted or rekeyed"),
                    own,
                ),
                false => look.fail(WHAT, detail, own),
            }
        }
        Ok(()) if owner.is_some_and(|owner| owner != meta.uid()) => look.warn(
            WHAT,
            format!(
                "{shown} belongs to user {}, the data directory to user {}",
                meta.uid(),
                owner.unwrap_or_default()
            ),
            own,
        ),
        Ok(()) => look.ok(
            WHAT,
            format!(
                "{shown}, mode {:04o}, user {}",
                meta.mode() & 0o7777,
                meta.uid()
            ),
        ),
    }
}

/// Gives whether it is worth looking into it.
pub(super) fn check(look: &mut Look<'_>, config: &Config) -> bool {
    let Some(folder) = config.path.parent() else {
        look.fail(WHAT, "the keyring has no folder", "Correct path.");
        return false;
    };
    let Some(meta) = there(look, config, folder) else {
        return false;
    };
    let own = match not_mounted(look, config) {
        Some(remedy) => remedy,
        None => format!("Run: {}", super::rights::give(look, folder)),
    };
    let is = format!(
        "{} (user {}, mode {:04o})",
        shown(folder),
        meta.uid(),
        meta.mode() & 0o7777
    );
    // It is passed on the way to the file, and opened to bring the file's name to the disk.
    if let Err(e) = folder.join(".").metadata().and_then(|_| File::open(folder)) {
        let own = or_mount(look, own);
        look.fail(WHAT, format!("mysqld's account can't pass {is}: {e}"), own);
        return false;
    }
    files_in_it(look, config, folder, &meta, own);
    let shown = shown(folder);
    if meta.mode() & 0o002 != 0 {
        look.warn(
            WHAT,
            format!("everybody can put files into {shown}"),
            format!("Run: chmod o-w {shown}"),
        );
    } else if meta.mode() & 0o020 != 0 {
        look.warn(
            WHAT,
            format!("the group can put files into {shown}"),
            format!(
                "Run: chmod g-w {shown}. Not where your platform sets it so (Kubernetes' fsGroup)."
            ),
        );
    }
    if look.setup.data_dir.is_some_and(|d| folder.starts_with(d)) {
        look.warn(
            WHAT,
            format!(
                "{shown} is inside the data directory: a copy of the data has the keyring with it"
            ),
            "Use a folder outside.",
        );
    }
    true
}
