//! What opens the way to a file for mysqld's account, and for nobody else.
//!
//! It must never advise to let everybody into a folder, and never to change a home or a folder of the system's.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Folders that many programs share.
const SHARED: [&str; 22] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/tmp",
];
/// All below them is of somebody else.
const OTHERS: [&str; 6] = ["/root", "/home", "/usr", "/boot", "/proc", "/sys"];

/// What to do about a folder that mysqld's account can't pass on its way to `file`. `like` has the account's group.
pub fn remedy(folder: &Path, file: &Path, like: Option<&Path>) -> String {
    let shared = SHARED.iter().any(|f| folder == Path::new(f));
    let others = OTHERS.iter().any(|f| folder.starts_with(f));
    // Root's, and no other group depends on it.
    let is_free = folder
        .metadata()
        .is_ok_and(|meta| (meta.uid(), meta.gid()) == (0, 0));
    if shared || others || !is_free {
        return format!(
            "Put '{}' where mysqld's account can reach it, for example into /etc/mysql-keyring (0750 root:mysql), and name it \
             there.",
            file.display()
        );
    }
    let shown = folder.display();
    match like {
        Some(like) => format!(
            "Run: chgrp --reference='{}' '{shown}' && chmod g+x '{shown}'",
            like.display()
        ),
        None => format!("Run: chgrp mysql '{shown}' && chmod g+x '{shown}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_and_shared_folders_stay_closed() {
        for folder in [
            "/root",
            "/root/keys",
            "/home/bob",
            "/var/lib",
            "/",
            "/usr/local",
            "/absent",
        ] {
            let said = remedy(Path::new(folder), Path::new("/x/kek"), None);
            assert!(said.starts_with("Put '/x/kek' where"), "{folder}: {said}");
        }
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let said = remedy(dir.path(), Path::new("/x/kek"), Some(Path::new("/data")));
        let roots = crate::os::identity::is_root();
        assert_eq!(said.contains("chgrp --reference='/data'"), roots, "{said}");
        assert!(!said.contains("o+x"));
    }
}
