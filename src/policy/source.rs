//! The file of a policy: whose it may be, and how it is read.
//!
//! Owns that what was looked at is what is read: one descriptor, once. It must never read a file that others than root and the account of
//! mysqld can write.

use super::Policy;
use crate::error::{Error, Result};
use crate::os::file::read_bounded;
use crate::os::identity;
use crate::os::trusted::{self, Rule, Trusted};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const OP: &str = "read the policy";
/// Longest file in bytes.
pub const MAX_FILE: u64 = 8 << 20;

/// A policy, and full sentences about its file and what it says.
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// What could be better.
    pub warnings: Vec<String>,
}

/// Reads the policy in a file.
///
/// # Errors
/// Config: what is wrong with it. Permission: somebody else could have written it. NotFound, InvalidInput, Io: what is wrong with the file.
pub fn load(path: &Path) -> Result<Loaded> {
    let Trusted {
        mut file,
        meta,
        mut warnings,
        real,
    } = trusted::open(path, Rule::Settings, OP)?;
    let shown = format!("'{}'", path.display());
    let bytes = read_bounded(&mut file, MAX_FILE).map_err(|e| Error::io(OP, shown.clone(), e))?;
    let policy = Policy::parse(&bytes, &shown)?;
    let (uid, gid) = identity::ids();
    let by_group = meta.mode() & 0o020 != 0 && meta.gid() != 0;
    if meta.uid() != 0 || by_group {
        let whose = match (meta.uid(), by_group) {
            (0, _) => format!("the group {}", meta.gid()),
            (owner, _) => format!("the user {owner}"),
        };
        let is_account = meta.uid() == uid || meta.gid() == gid && by_group;
        let who = if is_account && uid != 0 {
            "the account of mysqld, and with it whoever writes files by SQL,"
        } else {
            "that account"
        };
        warnings.push(format!(
            "The policy {shown} can be written by {whose}: {who} can change what it says. It binds less than it seems; give it to root \
             (chown root:root, chmod 644)."
        ));
    }
    for (folder, owner) in folder_of_another(path)
        .into_iter()
        .chain(folder_of_another(&real))
    {
        let warning = format!(
            "The policy {shown} lies below '{}', which belongs to the user {owner}: that account can put another file in its place. It binds less \
             than it seems; keep it in a folder of root's, like /etc/mysql.",
            folder.display()
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings.extend(policy.remarks().iter().cloned());
    Ok(Loaded { policy, warnings })
}

/// The folder on the way whose owner, who is not root, can exchange what is below; the first one decides.
fn folder_of_another(path: &Path) -> Option<(std::path::PathBuf, u32)> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    let owned = above.into_iter().map(|folder| (folder, folder.metadata()));
    let mut others =
        owned.filter_map(|(folder, meta)| Some((folder.to_path_buf(), meta.ok()?.uid())));
    others.find(|(_, owner)| *owner != 0)
}
