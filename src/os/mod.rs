//! What one process or thread has of its own for the kernel: whose rights it has, its children, its signals; and files
//! that it is asked for with care.
//!
//! Owns acting as another account ([`identity`]) and doing one piece of work in a child (`child`). It must
//! never know of keyrings, and leave no thread or child behind but what a server asks for ([`thread`]).

pub mod beneath;
pub(crate) mod child;
pub mod command;
pub mod denied;
pub mod file;
pub mod folders;
pub mod hardware_random;
pub mod identity;
pub mod library;
pub mod lookup;
pub mod pkcs11;
pub mod reach;
pub mod running;
pub mod signals;
pub mod thread;
pub mod trusted;
pub mod undo;
pub(crate) mod wire;

use crate::error::{Error, Kind, Result};
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As many symbolic links on one way as the kernel follows.
const MAX_LINKS: usize = 40;

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

/// The threads of this process, for root before it gives its rights up.
///
/// # Errors
/// Config: they can't be counted, so that it can't be seen whether one keeps root's rights or is left behind.
pub fn counted_threads(op: &'static str) -> Result<usize> {
    threads().ok_or_else(|| {
        let why = "/proc is not mounted, so that root can't see which threads this process has";
        Error::new(Kind::Config, op, why).hint(
            "Mount it (mount -t proc proc /proc), or start mysqld as its own user, not as root.",
        )
    })
}

/// The program's file, also where /proc is not mounted: the kernel tells each process as what it was started.
pub fn program() -> Option<PathBuf> {
    if let Ok(file) = std::env::current_exe() {
        return Some(file);
    }
    // SAFETY: the kernel's own table of this process; the text lies on its first stack and stays there.
    unsafe {
        let text = libc::getauxval(libc::AT_EXECFN) as *const libc::c_char;
        (!text.is_null()).then(|| OsStr::from_bytes(CStr::from_ptr(text).to_bytes()).into())
    }
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

/// Tells this process to end as an administrator would: SIGTERM, which a server takes for a shutdown.
pub fn ask_to_end() {
    // SAFETY: a signal to this very process; its handling is its own.
    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
}

/// Now, in seconds since 1970.
pub fn unix_seconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs() as i64)
}

/// Runs `f` in the child of every later `fork()`. `f` must be async-signal-safe: it may set
/// atomics and nothing else.
pub fn at_fork_in_child(f: extern "C" fn()) {
    // SAFETY: `f` is a plain function of a library that is never unmapped (`-z nodelete`).
    unsafe {
        libc::pthread_atfork(
            None,
            None,
            Some(std::mem::transmute::<extern "C" fn(), unsafe extern "C" fn()>(f)),
        );
    }
}

/// How many bytes this process may lock in memory; `None`: as many as it likes.
pub fn locked_memory_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: limit is a place for the answer.
    let rc = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (rc == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}
