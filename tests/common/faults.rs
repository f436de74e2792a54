//! Faults that the kernel itself makes: failing system calls and a limit on the size of files.
#![allow(unsafe_code)]

/// From now on `call` fails with EIO in this thread.
fn make_fail(call: libc::c_long) {
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        // Load the system call's number; if it is the one, EIO, else allow.
        op(0x20, 0, 0, 0),
        op(0x15, 0, 1, call as u32),
        op(0x06, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EIO as u32),
        op(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: a valid program that lives through the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter),
            0
        );
    }
}

/// Runs `f` on a thread in which `call` fails.
pub fn while_failing<T: Send>(call: libc::c_long, f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            make_fail(call);
            f()
        });
        thread.join().unwrap()
    })
}

/// The largest file that this process may write, from now on.
pub fn limit_file_size(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: a valid structure; SIGXFSZ is ignored so that the write fails instead.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}
