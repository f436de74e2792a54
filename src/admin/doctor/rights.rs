//! Every file that the server has to read: whether the account can come to it, and who stands in the way.

use super::Look;
use crate::config::discover::JSON_NAME;
use crate::config::{Config, KekConfig, NamedKek};
use crate::os::{denied, identity, reach};
use crate::secret_source::SecretRef;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const WHAT: &str = "rights";

/// Every file that the configuration names besides the keyring, which has a check of its own.
pub(super) fn needed_files(config: &Config) -> Vec<PathBuf> {
    let of = |kek: &KekConfig| {
        let secrets = kek.secrets().into_iter().filter_map(|source| match source {
            SecretRef::File(path) => Some(path.clone()),
            SecretRef::Credential(_) | SecretRef::Held(_) => None,
        });
        secrets.chain(kek.files()).collect::<Vec<_>>()
    };
    let keys = config.keks.tried().flat_map(NamedKek::keys);
    keys.flat_map(of).collect()
}

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let files = needed_files(config);
    let mut blocked: Vec<_> = files
        .iter()
        .filter_map(|file| blocked(look, file))
        .collect();
    // Several files may lie in one folder.
    blocked.dedup();
    match blocked.is_empty() {
        true => look.ok(
            WHAT,
            format!("{} files besides the keyring can be read", files.len()),
        ),
        false => blocked
            .into_iter()
            .for_each(|(detail, remedy)| look.fail(WHAT, detail, remedy)),
    }
}

/// The command that gives a file or folder to mysqld's account. Where the keyring's folder is somebody else's, so is all
/// that lies in it (a copy that root has made): one command for all of it.
pub(super) fn give(look: &Look<'_>, path: &Path) -> String {
    let config = look.setup.config.as_ref().ok();
    let folder = config.and_then(|c| c.path.parent()).filter(|folder| {
        (*folder == path || path.parent() == Some(*folder)) && !is_the_accounts(look, folder)
    });
    let (all, path) = match folder {
        Some(folder) => ("-R ", folder),
        None => ("", path),
    };
    match look.setup.data_dir {
        Some(dir) => format!(
            "chown {all}--reference='{}' '{}'",
            dir.display(),
            path.display()
        ),
        None => format!("chown {all}mysql: '{}'", path.display()),
    }
}

fn is_the_accounts(look: &Look<'_>, folder: &Path) -> bool {
    let owner = |dir: &Path| dir.metadata().ok().map(|m| m.uid());
    let account = look.setup.data_dir.and_then(owner);
    owner(folder) == account.or(Some(identity::effective_uid()))
}

/// The JSON files of the component.
pub(super) fn json_files(look: &Look<'_>) -> Vec<PathBuf> {
    let data_dir = look.setup.data_dir.map(Path::to_path_buf);
    [look.plugin_dir(), data_dir]
        .into_iter()
        .flatten()
        .map(|dir| dir.join(JSON_NAME))
        .collect()
}

/// What keeps the account from reading a file that is there, and how that is mended.
pub(super) fn blocked(look: &Look<'_>, file: &Path) -> Option<(String, String)> {
    let found = denied::blocked(file)?;
    let shown = found.place.display();
    let secret = look
        .setup
        .config
        .as_ref()
        .is_ok_and(|c| needed_files(c).iter().any(|f| f == file));
    let config = look.setup.config.as_ref().ok();
    let is_keyrings = config.is_some_and(|c| c.path.parent() == Some(&*found.place));
    let remedy = match (found.is_folder, secret) {
        (true, _) if !is_keyrings => reach::remedy(&found.place, file, look.setup.data_dir),
        (true, _) | (_, true) => format!("Run: {}", give(look, &found.place)),
        (_, false) => format!("Run: chmod 644 '{shown}'"),
    };
    Some((found.detail, remedy))
}
