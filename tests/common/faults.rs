//! Faults that the kernel itself makes: failing system calls and a limit on the size of files.
#![allow(unsafe_code)]

/// From now on `call` fails with `code` in this thread.
fn make_fail(call: libc::c_long, code: i32) {
    let errno = libc::SECCOMP_RET_ERRNO | code.unsigned_abs();
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        // Load the system call's number; if it is the one, the error, else allow.
        op(0x20, 0, 0, 0),
        op(0x15, 0, 1, call as u32),
        op(0x06, 0, 0, errno),
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

/// Runs `f` on a thread in which `call` fails with EIO.
pub fn while_failing<T: Send>(call: libc::c_long, f: impl FnOnce() -> T + Send) -> T {
    while_failing_with(libc::EIO, call, f)
}

/// Runs `f` on a thread in which `call` fails with `code`.
pub fn while_failing_with<T: Send>(
    code: i32,
    call: libc::c_long,
    f: impl FnOnce() -> T + Send,
) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            make_fail(call, code);
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
