//! Ctrl-C and its kin while a command changes something.
//!
//! Held back, SIGINT, SIGTERM and SIGHUP stay pending until what was begun is whole or undone. No handler runs, so
//! nothing has to be async-signal-safe. It must never be used in mysqld, whose signals are its own.

use crate::error::{Error, Kind, Result};
use std::mem::MaybeUninit;

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The signals that would end this process. What the caller ignores (nohup, a job in the background) stays ignored: held
/// back it would count as an interruption.
fn ending() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set. sigaction without a new action only reports; all-zero bytes are a valid
    // place for its answer, and ENDING holds valid signal numbers.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in ENDING {
            let mut now: libc::sigaction = std::mem::zeroed();
            let known = libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0;
            if known && now.sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
        }
        set.assume_init()
    }
}

/// Holds them back for this thread and the threads that it starts from now on.
pub fn hold_back() {
    let set = ending();
    // SAFETY: changes this thread's mask only; the set is whole, the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
}

/// Lets them through again. One that came meanwhile ends the process here, unless it is handled.
pub fn let_through() {
    let set = ending();
    // SAFETY: as in `hold_back`.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) };
}

/// A moment at which a command can still be given up without a trace.
///
/// # Errors
/// Io: a signal is held back that shall end the process.
pub fn check(op: &'static str) -> Result<()> {
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigpending fills the set where it answers 0; only then it is looked at.
    let came = unsafe {
        if libc::sigpending(pending.as_mut_ptr()) != 0 {
            return Ok(());
        }
        let pending = pending.assume_init();
        ENDING
            .iter()
            .any(|signal| libc::sigismember(&raw const pending, *signal) == 1)
    };
    if !came {
        return Ok(());
    }
    Err(
        Error::new(Kind::Io, op, "the command was interrupted by a signal")
            .hint("Nothing was changed, and what it had made is gone. Run it again."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_held_back_is_seen() {
        hold_back();
        check("test").unwrap();
        // SAFETY: to this thread only, where it is blocked.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGTERM) };
        assert_eq!(check("test").unwrap_err().kind(), Kind::Io);
        // SAFETY: takes the signal that is pending for this thread, so that it ends nobody.
        unsafe {
            let (set, mut signal) = (ending(), 0);
            libc::sigwait(&raw const set, &raw mut signal);
            assert_eq!(signal, libc::SIGTERM);
        }
        check("test").unwrap();
        let_through();
    }
}
