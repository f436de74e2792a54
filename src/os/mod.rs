//! What one process or thread has of its own for the kernel: whose rights it has, its children, its signals; and files
//! that it is asked for with care.
//!
//! Owns acting as another account ([`identity`]) and doing one piece of work in a child (`child`). It must
//! never know of keyrings, and never leave a thread or a child behind.

pub(crate) mod child;
pub mod command;
pub mod denied;
pub mod folders;
pub mod identity;
pub mod library;
pub mod lookup;
pub mod reach;
pub mod running;
pub mod signals;
pub mod trusted;

use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::time::{Duration, Instant};

/// A descriptor of this process as a file of its own, whoever may open what it leads to.
///
/// # Errors
/// There is no such descriptor.
pub fn duplicate(descriptor: u32) -> io::Result<File> {
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: fcntl takes any number; the new descriptor is owned by nobody else.
    unsafe {
        let fd = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(fd))
    }
}

/// No core dump of this process, and nobody may look into its memory but root.
pub fn keep_memory_private() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls change limits of this process only; `none` lives until they return.
    unsafe {
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
    }
}

/// The threads of this process; `None` where /proc is not there.
pub fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task")
        .ok()
        .map(Iterator::count)
}

/// More threads than `before`, even after a moment: one that was joined shows a little longer.
pub fn threads_beyond(before: Option<usize>) -> usize {
    let end = Instant::now() + Duration::from_secs(1);
    loop {
        let (Some(before), Some(now)) = (before, threads()) else {
            return 0;
        };
        if now <= before || Instant::now() >= end {
            return now.saturating_sub(before);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
