//! A thread that lives on in a server.
//!
//! Owns how one is begun: it takes none of the process's signals, which the server's own thread waits for. It must never
//! be begun before the process has become what it will be: a fork takes it away, and a change of the user ends the server
//! (ADR 10).

use std::io;
use std::mem::MaybeUninit;
use std::thread::JoinHandle;

/// Begins a thread of this name, with every signal blocked.
///
/// # Errors
/// The system has none to give.
pub fn begin(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: sigfillset makes the set whole, pthread_sigmask the old one where it answers 0; both change this thread only.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        if libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    // SAFETY: `before` was filled above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    thread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_no_signal_and_its_maker_keeps_its_own() {
        fn blocked() -> bool {
            let mut set = MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: without a new set the call fills the old one only.
            unsafe {
                libc::pthread_sigmask(0, std::ptr::null(), set.as_mut_ptr());
                libc::sigismember(set.as_ptr(), libc::SIGTERM) == 1
            }
        }
        let before = blocked();
        let (send, receive) = std::sync::mpsc::channel();
        let thread = begin("kw-test", move || send.send(blocked()).unwrap()).unwrap();
        assert!(receive.recv().unwrap());
        thread.join().unwrap();
        assert_eq!(blocked(), before);
    }
}
