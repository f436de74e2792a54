//! Every file that the server has to read: whether the account can come to it, and who stands in the way.

use super::Look;
use crate::config::discover::JSON_NAME;
use crate::config::{Config, KekConfig, SecretRef};
use crate::os::denied;
use std::path::{Path, PathBuf};

const WHAT: &str = "rights";

/// Every file that the configuration names besides the keyring, which has a check of its own.
pub(super) fn needed_files(config: &Config) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut secret = |source: &SecretRef| {
        if let SecretRef::File(path) = source {
            files.push(path.clone());
        }
    };
    for kek in &config.keks {
        match kek {
            KekConfig::Passphrase(source) | KekConfig::KeyFile(source) => secret(source),
            KekConfig::Pkcs11(pkcs11) => {
                secret(&pkcs11.pin);
                secret(&SecretRef::File(pkcs11.module.clone()));
            }
            KekConfig::AwsKms(kms) => {
                kms.credentials_file.iter().for_each(&mut secret);
                let ca = kms.ca_file.clone().map(|f| SecretRef::File(f.into()));
                ca.iter().for_each(&mut secret);
            }
        }
    }
    files
}

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let files = needed_files(config);
    let blocked: Vec<_> = files
        .iter()
        .filter_map(|file| blocked(look, file))
        .collect();
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
    let remedy = match (found.is_folder, secret, look.setup.data_dir) {
        (true, ..) => format!("Run: chmod o+x '{shown}'"),
        (_, true, Some(dir)) => format!("Run: chown --reference='{}' '{shown}'", dir.display()),
        (_, true, None) => format!("Run: chown mysql '{shown}'"),
        (_, false, _) => format!("Run: chmod 644 '{shown}'"),
    };
    Some((found.detail, remedy))
}
