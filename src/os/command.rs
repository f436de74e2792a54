//! Running another program: directly, within a deadline, and with an end to its output.
//!
//! Owns children from their start to their reaping. It must never leave one behind (not a zombie, and none that
//! outlives this process), never hand one a descriptor of ours, and never install a signal handler: mysqld's
//! signals are mysqld's.

use crate::deadline::Deadline;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How much of the standard error is kept.
const KEPT: usize = 4096;
/// How much standard error a program may write before it is ended.
const MAX_ERRORS: usize = 64 * 1024;
/// The pause between two looks at a program.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a killed program may take to be gone: only one that hangs in the kernel takes any time.
const REAPING: Duration = Duration::from_secs(2);
/// The stack of the child until it is another program, in bytes: a few system calls.
const STACK: usize = 64 * 1024;
/// Descriptors that are closed one by one where the system can't close a range.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None`: by the signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// How many bytes of standard output there are.
    pub length: usize,
    /// The beginning of its standard error.
    pub errors: Vec<u8>,
}

/// Why a program gave no answer. It is gone in each case.
#[derive(Debug)]
pub enum Failure {
    /// It can't be run.
    Start(io::Error),
    /// It wrote more than there is place for.
    TooMuch,
    /// It was still running at the deadline.
    Late,
    /// The system refused something while it ran.
    System(io::Error),
}

/// A program with its arguments (the first is its name) and environment (`NAME=VALUE`).
pub struct Program {
    /// The file.
    pub file: CString,
    /// The arguments.
    pub arguments: Vec<CString>,
    /// The environment.
    pub environment: Vec<CString>,
}

/// Runs a program and reads its standard output into `output`, which must have a byte more than is allowed.
///
/// It has the rights of the calling thread, a session of its own (so no controlling terminal: on the one of whoever
/// started this process it could type), an empty standard input and no descriptor of ours, and is killed with its group at the deadline, and by the kernel when the calling thread ends.
///
/// # Errors
/// See [`Failure`].
pub fn run(program: &Program, output: &mut [u8], deadline: Deadline) -> Result<Ended, Failure> {
    reap_left();
    let (out, out_end) = pipe().map_err(Failure::System)?;
    let (err, err_end) = pipe().map_err(Failure::System)?;
    let null = above_standard(File::open("/dev/null").map_err(Failure::System)?.into())
        .map_err(Failure::System)?;
    let mut child = start(program, &null, &out_end, &err_end).map_err(Failure::Start)?;
    drop((out_end, err_end, null));
    let mut streams = Streams {
        out: Some(out.into()),
        err: Some(err.into()),
        output,
        length: 0,
        errors: Vec::new(),
        error_bytes: 0,
    };
    loop {
        if deadline.passed() {
            return Err(Failure::Late);
        }
        streams.wait(PAUSE.min(deadline.remaining()));
        streams.read()?;
        let Some((code, signal)) = child.ended() else {
            continue;
        };
        // What it wrote last; what others hold its pipes is not waited for, and ends with it.
        streams.read()?;
        child.end();
        return Ok(Ended {
            code,
            signal,
            length: streams.length,
            errors: streams.errors,
        });
    }
}

/// A pipe whose ends are nobody's standard descriptors, not inherited and not waited for.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [c_int; 2] = [0; 2];
    // SAFETY: a place for two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both are open and belong to nobody else.
    let (read, write) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: a descriptor of ours; only our end is not waited for.
    if unsafe { libc::fcntl(read.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((read, above_standard(write)?))
}

/// The same open file under a number above 2: where this process has no standard input, 0 is given out.
fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: a descriptor of ours.
    let other = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
    if other < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(other) })
}

/// What a program writes.
struct Streams<'a> {
    out: Option<File>,
    err: Option<File>,
    output: &'a mut [u8],
    length: usize,
    errors: Vec<u8>,
    error_bytes: usize,
}

impl Streams<'_> {
    /// Waits until there is something to read, or for `pause`.
    fn wait(&self, pause: Duration) {
        let fds = [&self.out, &self.err];
        let mut polled: Vec<libc::pollfd> = fds
            .iter()
            .filter_map(|f| f.as_ref())
            .map(|f| libc::pollfd {
                fd: f.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            })
            .collect();
        let ms = pause.as_millis().max(1) as c_int;
        // SAFETY: a list of its length. An interruption only means another look.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, ms) };
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), Failure> {
        while let Some(out) = &mut self.out {
            let place = &mut self.output[self.length..];
            if place.is_empty() {
                return Err(Failure::TooMuch);
            }
            match step(out, place).map_err(Failure::System)? {
                Step::Bytes(n) => self.length += n,
                Step::Later => break,
                Step::End => self.out = None,
            }
        }
        if self.length == self.output.len() {
            return Err(Failure::TooMuch);
        }
        let mut buffer = [0; 4096];
        while let Some(err) = &mut self.err {
            match step(err, &mut buffer).map_err(Failure::System)? {
                Step::Bytes(n) => {
                    let keep = n.min(KEPT - self.errors.len());
                    self.errors.extend_from_slice(&buffer[..keep]);
                    self.error_bytes += n;
                    if self.error_bytes > MAX_ERRORS {
                        return Err(Failure::TooMuch);
                    }
                }
                Step::Later => break,
                Step::End => self.err = None,
            }
        }
        Ok(())
    }
}

enum Step {
    Bytes(usize),
    Later,
    End,
}

fn step(file: &mut File, place: &mut [u8]) -> io::Result<Step> {
    match file.read(place) {
        Ok(0) => Ok(Step::End),
        Ok(n) => Ok(Step::Bytes(n)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Step::Later),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(Step::Bytes(0)),
        Err(e) => Err(e),
    }
}

// ---- the child -------------------------------------------------------------------------------

/// A running child; whatever becomes of it here, it is killed with its group and reaped.
struct Child {
    pid: libc::pid_t,
    over: bool,
}

impl Child {
    /// How it ended, if it has; it stays to be reaped, so that its number is nobody else's.
    fn ended(&mut self) -> Option<(Option<i32>, Option<i32>)> {
        // SAFETY: all-zero bytes are a valid siginfo_t.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: a place for the answer; the child is ours.
        let rc = unsafe { libc::waitid(libc::P_PID, self.pid as libc::id_t, &raw mut info, how) };
        if rc != 0 {
            let error = io::Error::last_os_error();
            // Where SIGCHLD is ignored in this process the kernel reaps: its number is not ours any more.
            self.over = error.raw_os_error() == Some(libc::ECHILD);
            return self.over.then_some((Some(0), None));
        }
        // SAFETY: waitid has filled it; zero: nothing to report.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some((Some(status), None)),
            _ => Some((None, Some(status))),
        }
    }

    /// Kills the group and reaps the child.
    fn end(&mut self) {
        if self.over {
            return;
        }
        self.over = true;
        // SAFETY: not reaped yet, so that the number is the child's and that of the group which it leads.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
        }
        let deadline = Deadline::after(REAPING);
        while !reap(self.pid) {
            if deadline.passed() {
                LEFT.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(self.pid);
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Killed, but not gone: they hang in the kernel. The next program that is run reaps them.
static LEFT: Mutex<Vec<libc::pid_t>> = Mutex::new(Vec::new());

fn reap_left() {
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|pid| !reap(*pid));
}

/// It is gone.
fn reap(pid: libc::pid_t) -> bool {
    // SAFETY: a child of ours; its status is not wanted.
    match unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) } {
        0 => false,
        -1 => io::Error::last_os_error().raw_os_error() != Some(libc::EINTR),
        _ => true,
    }
}

/// What the child needs, and its place to say what failed: until it is another program it shares our memory.
struct Plan {
    file: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
    descriptors: [RawFd; 3],
    parent: libc::pid_t,
    most: c_int,
    error: c_int,
}

/// Starts the program. The child shares our memory until it is the program (as posix_spawn's does): a copy of the
/// page tables of a server with a large buffer pool would stop that server for a while, and would hold its keys.
fn start(program: &Program, null: &OwnedFd, out: &OwnedFd, err: &OwnedFd) -> io::Result<Child> {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        let texts = texts.iter().map(|t| CStr::as_ptr(t));
        texts.chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&program.arguments), pointers(&program.environment));
    // SAFETY: no arguments, no failure.
    let parent = unsafe { libc::getpid() };
    let mut plan = Plan {
        file: program.file.as_ptr(),
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        descriptors: [null.as_raw_fd(), out.as_raw_fd(), err.as_raw_fd()],
        parent,
        most: most_descriptors(),
        error: 0,
    };
    let mut stack = vec![0u128; STACK / 16];
    // SAFETY: all-zero bytes are valid signal sets; the calls fill them. With all signals blocked no handler of
    // mysqld runs in the child, on memory that is still the server's. The child runs on a stack of its own, touches
    // nothing but `plan`, and this thread stands still until it is another program or gone (CLONE_VFORK).
    let (pid, error) = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let top = stack.as_mut_ptr().add(stack.len());
        let how = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let plan_at: *mut Plan = &raw mut plan;
        let pid = libc::clone(become_program, top.cast(), how, plan_at.cast());
        let error = io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        (pid, error)
    };
    if pid < 0 {
        return Err(error);
    }
    let child = Child { pid, over: false };
    // SAFETY: a field of our own; the child may have written it behind the compiler's back.
    match unsafe { std::ptr::read_volatile(&raw const plan.error) } {
        0 => Ok(child),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn most_descriptors() -> c_int {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur.min(MAX_DESCRIPTORS) as c_int
}

/// In the child: system calls only, and nothing that allocates, locks or panics.
extern "C" fn become_program(plan: *mut c_void) -> c_int {
    let plan: *mut Plan = plan.cast();
    // SAFETY: the parent's structure, which lives as long as it stands still, which is until we are gone. What is
    // called here is async-signal-safe; errno is that of the thread that stands still.
    unsafe {
        let fail = || -> ! {
            std::ptr::write_volatile(&raw mut (*plan).error, *libc::__errno_location());
            libc::_exit(127)
        };
        // mysqld ignores some and handles others; a program begins with none of that.
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        for signal in 1..=64 {
            libc::sigaction(signal, &raw const default, std::ptr::null_mut());
        }
        // A session is a group, too, which this process leads.
        if libc::setsid() < 0
            || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) != 0
        {
            fail();
        }
        // The parent may have died before it was asked for.
        if libc::getppid() != (*plan).parent {
            libc::_exit(127);
        }
        // It handles secrets: no core of it.
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        for (number, fd) in (*plan).descriptors.iter().enumerate() {
            if libc::dup2(*fd, number as c_int) < 0 {
                fail();
            }
        }
        if libc::syscall(
            libc::SYS_close_range,
            3 as libc::c_uint,
            libc::c_uint::MAX,
            0 as libc::c_uint,
        ) != 0
        {
            for fd in 3..(*plan).most {
                libc::close(fd);
            }
        }
        let mut open: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut open);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const open, std::ptr::null_mut());
        libc::execve((*plan).file, (*plan).arguments, (*plan).environment);
        fail()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let c = |t: &str| CString::new(t).unwrap();
        Program {
            file: c("/bin/sh"),
            arguments: vec![c("sh"), c("-c"), c(script)],
            environment: vec![c("PATH=/usr/bin:/bin"), c("MARK=one")],
        }
    }

    fn run_for(script: &str, place: usize, time: Duration) -> (Result<Ended, Failure>, String) {
        let mut output = vec![0; place];
        let ended = run(&shell(script), &mut output, Deadline::after(time));
        let length = ended.as_ref().map_or(0, |e| e.length);
        (
            ended,
            String::from_utf8_lossy(&output[..length]).into_owned(),
        )
    }

    const LONG: Duration = Duration::from_secs(60);

    /// Processes whose command line holds `mark`; zombies have none.
    fn alive(mark: &str) -> usize {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter(|p| {
            std::fs::read(p.path().join("cmdline"))
                .is_ok_and(|c| String::from_utf8_lossy(&c).contains(mark))
        })
        .count()
    }

    /// Killed, and gone in a moment.
    fn is_gone(mark: &str) -> bool {
        let end = Deadline::after(LONG);
        while alive(mark) > 0 && !end.passed() {
            std::thread::yield_now();
        }
        alive(mark) == 0
    }

    /// With the terminal of whoever started this process it could type there.
    #[test]
    fn a_program_has_a_session_of_its_own() {
        let script = "read -r pid comm state parent group session terminal rest < /proc/self/stat
            (: < /dev/tty) 2>/dev/null && seen=a
            echo $((pid - group)) $((pid - session)) $terminal ${seen:-no} terminal";
        let (ended, said) = run_for(script, 4096, LONG);
        assert_eq!(ended.unwrap().code, Some(0));
        assert_eq!(said, "0 0 0 no terminal\n");
    }

    /// Children of this process that were not reaped. One test of these runs at a time.
    fn zombies() -> Vec<String> {
        let mut all = String::new();
        for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
            all += &std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        }
        let stat = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let of_ours = all.split_whitespace().filter_map(|pid| stat(pid).ok());
        of_ours
            .filter(|s| s.contains("(sh) Z") || s.contains("(sleep) Z"))
            .collect()
    }

    static ONE: Mutex<()> = Mutex::new(());

    fn alone() -> std::sync::MutexGuard<'static, ()> {
        ONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn its_output_environment_and_end_are_told() {
        let _alone = alone();
        let (ended, text) = run_for("printf $MARK; echo oops >&2; exit 7", 100, LONG);
        let ended = ended.unwrap();
        assert_eq!((ended.code, ended.signal, &*text), (Some(7), None, "one"));
        assert_eq!(ended.errors, b"oops\n");
        let (ended, _) = run_for("kill -9 $$", 100, LONG);
        assert_eq!(ended.unwrap().signal, Some(9));
        // Exactly as much as there is place for is a byte too much.
        assert!(run_for("printf 1234", 5, LONG).0.is_ok());
        assert!(matches!(
            run_for("printf 12345", 5, LONG).0,
            Err(Failure::TooMuch)
        ));
    }

    #[test]
    fn it_has_no_descriptor_of_ours_a_group_of_its_own_and_default_signals() {
        let _alone = alone();
        let held = File::open("/proc/self/maps").unwrap();
        // SAFETY: without this the descriptor would be inherited by any child.
        unsafe { libc::fcntl(held.as_raw_fd(), libc::F_SETFD, 0) };
        let (ended, text) = run_for(
            "ls /proc/$$/fd; awk '{print $5}' /proc/$$/stat; echo $$; cat; grep -E 'Sig(Ign|Blk|Cgt)' /proc/$$/status | grep -v 0000000000000000",
            4000,
            LONG,
        );
        ended.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        // ls's own descriptor 3 is not the shell's; dash keeps none.
        assert_eq!(&lines[..3], ["0", "1", "2"], "{text}");
        assert_eq!(lines[3], lines[4], "the group: {text}");
        // The C library keeps 32 and 33 for itself and lets nobody set them; a parent may have left them ignored.
        let own = |line: &&str| {
            let mask = line.rsplit('\t').next().unwrap_or_default();
            let mask = u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31);
            !line.starts_with("SigCgt") && mask != 0
        };
        assert!(!lines[5..].iter().any(own), "{text}");
    }

    #[test]
    fn it_is_killed_with_its_group_at_the_deadline() {
        let _alone = alone();
        let begin = std::time::Instant::now();
        let script = "sleep 7411 & sleep 7411";
        let (ended, _) = run_for(script, 100, Duration::from_millis(300));
        assert!(matches!(ended, Err(Failure::Late)), "{ended:?}");
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert!(is_gone("7411"));
        assert!(zombies().is_empty());
    }

    #[test]
    fn endless_output_is_cut_and_what_is_left_in_the_background_ends() {
        let _alone = alone();
        for script in ["exec cat /dev/zero", "exec cat /dev/zero >&2"] {
            assert!(
                matches!(run_for(script, 65_537, LONG).0, Err(Failure::TooMuch)),
                "{script}"
            );
        }
        let (ended, text) = run_for("sleep 7412 & printf done", 100, LONG);
        assert_eq!((ended.unwrap().code, &*text), (Some(0), "done"));
        assert!(is_gone("7412"));
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let _alone = alone();
        for (file, code) in [
            ("/nonexistent/program", libc::ENOENT),
            ("/etc/passwd", libc::EACCES),
        ] {
            let mut program = shell("");
            program.file = CString::new(file).unwrap();
            let ended = run(&program, &mut [0; 10], Deadline::after(LONG));
            let Err(Failure::Start(e)) = ended else {
                panic!("{ended:?}")
            };
            assert_eq!(e.raw_os_error(), Some(code));
        }
        assert!(zombies().is_empty());
    }
}
