//! Whether a server runs on a data directory.
//!
//! InnoDB locks its files while it runs (fcntl). It must never be asked inside a server: closing such a file gives the
//! process's own locks on it back.

use crate::os::file;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// The dictionary: every data directory that was initialised has it.
const DICTIONARY: &str = "mysql.ibd";

/// The data directory was initialised.
pub fn is_initialised(data_dir: &Path) -> bool {
    data_dir.join(DICTIONARY).exists()
}

/// The process that runs on this data directory; 0 where it is in a container of its own. `None`: no server does.
///
/// # Errors
/// The dictionary can't be opened, so nobody knows.
pub fn server_of(data_dir: &Path) -> io::Result<Option<u32>> {
    // The account may have put anything there.
    locker(&file::open(&data_dir.join(DICTIONARY), file::Access::Read)?.0)
}

/// The groups of a process that runs as the user `uid`: those of its account, and what an orchestrator has added.
pub fn groups_of(process: u32, uid: u32) -> Option<Vec<u32>> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let parsed = line.split_whitespace().map(str::parse);
        parsed.collect::<Result<Vec<u32>, _>>().ok()
    };
    let is_its = numbers("Uid:")?.iter().all(|id| *id == uid);
    numbers("Groups:").filter(|_| is_its)
}

fn locker(file: &File) -> io::Result<Option<u32>> {
    // SAFETY: all-zero bytes are a valid flock, which is a struct of integers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: F_GETLK reads and writes the one struct, and takes no lock.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((lock.l_type != libc::F_UNLCK as libc::c_short).then(|| lock.l_pid.try_into().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_those_of_the_process() {
        let (me, uid) = (std::process::id(), crate::os::identity::effective_uid());
        let mut groups = groups_of(me, uid).unwrap();
        groups.sort_unstable();
        let mut all = crate::os::identity::groups();
        all.sort_unstable();
        all.dedup();
        assert!(groups.iter().all(|g| all.contains(g)), "{groups:?} {all:?}");
        assert_eq!(groups_of(me, uid + 1), None);
    }

    #[test]
    fn nobody_runs_on_a_folder_of_files() {
        let dir = tempfile::tempdir().unwrap();
        assert!(server_of(dir.path()).is_err() && !is_initialised(dir.path()));
        std::fs::write(dir.path().join(DICTIONARY), "x").unwrap();
        assert!(is_initialised(dir.path()));
        assert_eq!(server_of(dir.path()).unwrap(), None);
    }
}
