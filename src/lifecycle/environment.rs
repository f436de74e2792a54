//! What surrounds a keyring in a server, a migration tool or a backup tool.
//!
//! Owns how these are told apart, by the program's name and its command line. It must never take a server for a tool:
//! a tool keeps no marker.

use crate::config::discover::CommandLine;
use crate::keyring::Environment;
use crate::os;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// This process is a server that will serve, not a migration or backup tool.
pub fn is_in_server(command_line: &CommandLine) -> bool {
    is_server(os::program().as_deref()) && !command_line.is_migration_run()
}

/// The surroundings of a keyring in this process. `starting`: nothing was loaded before.
pub(super) fn of(
    command_line: &CommandLine,
    instance_dir: Option<&Path>,
    starting: bool,
) -> Environment {
    let in_server = is_in_server(command_line);
    let data_dir = instance_dir
        // --initialize wants it empty, or creates it: the first start writes the marker.
        .filter(|dir| in_server && !command_line.is_initialize_run() && !is_empty(dir))
        .map(Path::to_path_buf);
    Environment {
        data_dir,
        look_only: false,
        starting: starting && in_server,
        making: false,
        snapshot_if_locked: !in_server,
        audit: None,
    }
}

/// What lies in each data directory and nowhere else. Where it does, not every reload reads the list of all that is there:
/// that took a third of its time.
const DICTIONARY: &str = "mysql.ibd";

/// There is no data directory yet in this folder, whatever the command line says: of `-Iumysql` the server leaves no sign.
fn is_empty(dir: &Path) -> bool {
    if dir.join(DICTIONARY).symlink_metadata().is_ok() {
        return false;
    }
    let Ok(entries) = std::fs::read_dir(dir) else {
        return !dir.is_dir();
    };
    let hidden = |name: &[u8]| name.starts_with(b".") || name == b"lost+found";
    entries
        .flatten()
        .all(|entry| hidden(entry.file_name().as_bytes()))
}

/// Programs that load a keyring and serve nobody: MySQL's migration tool, Percona's and Oracle's backups.
const TOOLS: [&[u8]; 3] = [b"mysql_migrate_keyring", b"xtrabackup", b"mysqlbackup"];

/// The program is a MySQL server, not a migration or backup tool. One that is not known, or runs it (a wrapper, valgrind,
/// the dynamic linker), is taken for a server: it keeps the marker and waits for the lock, which a tool does not need but
/// stands.
fn is_server(exe: Option<&Path>) -> bool {
    exe.and_then(Path::file_name)
        .is_none_or(|name| !TOOLS.iter().any(|tool| name.as_bytes().starts_with(tool)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_no_data_directory_yet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_empty(dir.path()) && is_empty(&dir.path().join("absent")));
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert!(is_empty(dir.path()));
        for name in ["ibdata1", DICTIONARY] {
            std::fs::write(dir.path().join(name), "").unwrap();
            assert!(!is_empty(dir.path()), "{name}");
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        assert!(is_empty(dir.path()));
    }

    #[test]
    fn servers_and_tools() {
        assert!(is_server(Some(Path::new("/usr/sbin/mysqld"))));
        assert!(is_server(Some(Path::new("/usr/sbin/mysqld-debug"))));
        assert!(!is_server(Some(Path::new(
            "/usr/bin/mysql_migrate_keyring"
        ))));
        assert!(!is_server(Some(Path::new("/usr/bin/xtrabackup"))));
        for wrapper in [
            "ld-linux-x86-64.so.2",
            "memcheck-amd64-linux",
            ".mysqld-wrapped",
        ] {
            assert!(is_server(Some(Path::new(wrapper))), "{wrapper}");
        }
        assert!(is_server(None), "what can't be seen is no tool");
    }
}
