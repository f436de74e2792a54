//! One piece of work in a child of this process, which is gone when the answer is there or the time is over.
//!
//! For what can hang or leave threads behind: name lookups, PKCS#11 modules, the network. Owns the fork and what
//! the child may keep; the answer comes through a pipe. It must never wait beyond its limit, never leave the
//! child or what it started behind, and never touch how the process treats signals of its children.

use super::identity::{self, Account};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::wire::{Reader, Wire, Writer};
use crate::secret::{SecretBytes, SecretPool};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// How much longer than its deadline a child gets to say by itself that it was too slow.
const GRACE: Duration = Duration::from_millis(1500);
/// How long the end of a killed child is waited for: one that hangs in the kernel is left to init.
const REAPING: Duration = Duration::from_secs(2);
/// Descriptors that are closed one by one where the kernel can't close a range.
const MOST_DESCRIPTORS: u64 = 65_536;
/// How a child ends that could not take on its account, whose work panicked, and that could not leave its session.
const NOT_THE_ACCOUNT: i32 = 61;
const PANICKED: i32 = 62;
const NOT_APART: i32 = 63;

/// What a child is asked, for messages and limits.
pub struct Question<'a> {
    /// Completes "Could not …".
    pub op: &'static str,
    /// Who is asked.
    pub whom: &'a str,
    /// Until when.
    pub deadline: Deadline,
    /// The longest answer in bytes.
    pub most: usize,
    /// Whose rights the child takes on first; `None`: it has those of its parent.
    pub account: Option<&'a Account>,
    /// Where the answer is kept: it may be secret.
    pub pool: &'a SecretPool,
}

/// Does `work` in a child and gives what it returned.
///
/// # Errors
/// Timeout: it did not come back and was killed. Io: no child could be made, or it crashed. Permission: it could
/// not take on the account.
pub fn ask<T: Wire>(question: &Question<'_>, work: impl FnOnce() -> T) -> Result<T> {
    let answer = run(question, || {
        let mut writer = Writer::new();
        work().put(&mut writer);
        writer.into_bytes()
    })?;
    let mut reader = Reader::new(&answer, question.pool);
    T::take(&mut reader)
        .filter(|_| reader.is_at_end())
        .ok_or_else(|| {
            let why = format!("the answer about {} is not whole", question.whom);
            Error::new(Kind::Internal, question.op, why)
        })
}

fn run(question: &Question<'_>, work: impl FnOnce() -> Vec<u8>) -> Result<SecretBytes> {
    let (op, whom) = (question.op, question.whom);
    let failed = |e| Error::io(op, format!("no process could be started to ask {whom}"), e);
    let (mut reader, writer) = pipe().map_err(failed)?;
    let parent = std::process::id();
    // SAFETY: the child does its work and ends by _exit, so nothing of the parent's is dropped or flushed twice. The
    // other threads of this process only wait for this one, so they hold no lock that the work could need.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        in_child(question, parent, writer, work);
    }
    if pid < 0 {
        return Err(failed(io::Error::last_os_error()));
    }
    let mut child = Child { pid, status: None };
    drop(writer);
    let until = Instant::now() + question.deadline.remaining() + GRACE;
    let answer = read_answer(&mut reader, until, question);
    child.end();
    match answer {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(child.broke_off(op, whom)),
        Err(e) => Err(e),
    }
}

/// The child's whole life.
fn in_child(
    question: &Question<'_>,
    parent: u32,
    mut pipe: File,
    work: impl FnOnce() -> Vec<u8>,
) -> ! {
    // SAFETY: calls that change this process only.
    unsafe {
        // A session, and so a group, of its own: on the terminal of whoever started the parent it could type otherwise.
        if libc::setsid() < 0 {
            libc::_exit(NOT_APART);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        // It may have ended before that was set.
        if libc::getppid().unsigned_abs() != parent {
            libc::_exit(0);
        }
    }
    super::keep_memory_private();
    close_files_but(pipe.as_raw_fd());
    if let Some(account) = question.account
        && identity::become_account(account).is_err()
    {
        // SAFETY: ends this process.
        unsafe { libc::_exit(NOT_THE_ACCOUNT) };
    }
    leave_terminals();
    // A change of the user has taken it away.
    // SAFETY: as above.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    identity::no_longer_acting();
    // Locks of memory are not inherited.
    question.pool.relock();
    let status = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(answer) => {
            let _ = pipe
                .write_all(&(answer.len() as u64).to_le_bytes())
                .and_then(|()| pipe.write_all(&answer));
            0
        }
        Err(_) => PANICKED,
    };
    // SAFETY: ends this process without running what the parent has registered for its own end.
    unsafe { libc::_exit(status) }
}

/// What of its standard descriptors is a terminal leads nowhere now: whoever has one can read what is typed there.
/// Standard input has nothing to say in any case.
fn leave_terminals() {
    // SAFETY: changes descriptors of this process only; the new one is owned by nobody else.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        for fd in 0..3 {
            if fd == 0 || libc::isatty(fd) == 1 {
                match null {
                    // Where it is not there, closed is better than a terminal.
                    ..0 => libc::close(fd),
                    _ if null == fd => fd,
                    _ => libc::dup2(null, fd),
                };
            }
        }
        if null > 2 {
            libc::close(null);
        }
    }
}

/// A file of the parent's must not stay locked or open because its child lives a little longer, and nobody's file that
/// root opened is for the account. Pipes and the like stay: libraries of this process remember the numbers of theirs
/// (libunwind, under mysqld's tcmalloc, has a pipe to try addresses with), and when such a number no longer works they
/// close it, whoever's file has it by then.
fn close_files_but(keep: RawFd) {
    for fd in open_descriptors() {
        let mut stat = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: a place for the answer, which is looked at where there is one. The owners of what is closed are in the
        // parent; this process never uses or drops them.
        unsafe {
            if fd == keep || libc::fstat(fd, stat.as_mut_ptr()) != 0 {
                continue;
            }
            let kind = stat.assume_init().st_mode & libc::S_IFMT;
            let files = [libc::S_IFREG, libc::S_IFDIR, libc::S_IFSOCK, libc::S_IFBLK];
            if files.contains(&kind) || libc::isatty(fd) == 1 {
                libc::close(fd);
            }
        }
    }
}

/// All beyond the standard ones.
fn open_descriptors() -> Vec<RawFd> {
    if let Ok(listed) = std::fs::read_dir("/proc/self/fd") {
        let numbers = listed.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        return numbers.filter(|fd| *fd > 2).collect();
    }
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a place for the answer.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (3..limit.rlim_cur.min(MOST_DESCRIPTORS) as RawFd).collect()
}

/// A pipe: the end to read, and the end to write, which is none of the standard descriptors.
pub(super) fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: a place for two descriptors, which nobody else owns.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        let (reader, writer) = (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]));
        // Where a standard descriptor is closed, an end may have taken its number: the child keeps those.
        match ends[1] {
            0..3 => Ok((reader, duplicate(&writer)?)),
            _ => Ok((reader, writer)),
        }
    }
}

fn duplicate(file: &File) -> io::Result<File> {
    super::duplicate(file.as_raw_fd().unsigned_abs())
}

/// The answer: its length in eight bytes, then itself. `None`: the child ended without one.
fn read_answer(
    pipe: &mut File,
    until: Instant,
    question: &Question<'_>,
) -> Result<Option<SecretBytes>> {
    let mut length = [0; 8];
    if !fill(pipe, &mut length, until, question)? {
        return Ok(None);
    }
    let length = u64::from_le_bytes(length);
    if length > question.most as u64 {
        return Err(Error::new(
            Kind::Internal,
            question.op,
            format!(
                "{} answered {length} bytes, at most {} are expected",
                question.whom, question.most
            ),
        ));
    }
    let mut answer = question.pool.zeroed(length as usize)?;
    Ok(fill(pipe, &mut answer, until, question)?.then_some(answer))
}

/// Reads exactly as many bytes as there is room for; `false`: the end came before.
fn fill(pipe: &mut File, room: &mut [u8], until: Instant, question: &Question<'_>) -> Result<bool> {
    let mut filled = 0;
    while filled < room.len() {
        if !readable(pipe, until) {
            return Err(Error::new(
                Kind::Timeout,
                question.op,
                format!(
                    "{} did not come back within {:.0} s and was given up",
                    question.whom,
                    question.deadline.total().as_secs_f64()
                ),
            )
            .hint("Check what it waits for (network, name server, HSM), or raise start_timeout."));
        }
        match pipe.read(&mut room[filled..]) {
            Ok(0) => return Ok(false),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(question.op, "an answer could not be read", e)),
        }
    }
    Ok(true)
}

/// There is something to read, or the end. `false`: the time is over.
fn readable(pipe: &File, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let mut poll = libc::pollfd {
            fd: pipe.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let wait = i32::try_from(left.as_millis())
            .unwrap_or(i32::MAX)
            .saturating_add(1);
        // SAFETY: one entry, which lives until the call returns.
        if unsafe { libc::poll(&raw mut poll, 1, wait) } > 0 {
            return true;
        }
    }
}

struct Child {
    pid: libc::pid_t,
    status: Option<i32>,
}

impl Child {
    /// Kills what is left of it and of what it started, and fetches how it ended.
    fn end(&mut self) {
        // Its group before itself: as long as it was not waited for, nobody else gets the number.
        // SAFETY: signals to our own child and its group.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
        }
        let end = Instant::now() + REAPING;
        loop {
            let mut status = 0;
            // SAFETY: our own child, and a place for its status.
            match unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } {
                0 if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
                0 => return,
                pid if pid == self.pid => {
                    self.status = Some(status);
                    return;
                }
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // Somebody told the system that nobody wants to know how children end.
                _ => return,
            }
        }
    }

    /// Why it ended without an answer.
    fn broke_off(&self, op: &'static str, whom: &str) -> Error {
        let status = self.status.unwrap_or(0);
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == NOT_THE_ACCOUNT {
            let why = format!("{whom} can't be asked with the rights of its account");
            return Error::new(Kind::Permission, op, why);
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == PANICKED {
            let why = format!("asking {whom} ended unexpectedly");
            return Error::new(Kind::Internal, op, why);
        }
        let how = match libc::WIFSIGNALED(status) {
            true => format!("was ended by signal {}", libc::WTERMSIG(status)),
            false => format!("ended with code {}", libc::WEXITSTATUS(status)),
        };
        Error::new(
            Kind::Io,
            op,
            format!("the process that asked {whom} {how} before it had an answer"),
        )
        .hint("Look into the system's log for a crash or a lack of memory.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question<'a>(
        pool: &'a SecretPool,
        time: Duration,
        account: Option<&'a Account>,
    ) -> Question<'a> {
        Question {
            op: "ask",
            whom: "the test",
            deadline: Deadline::after(time),
            most: 4096,
            account,
            pool,
        }
    }

    const PATIENT: Duration = Duration::from_secs(60);

    #[test]
    fn an_answer_comes_from_another_process() {
        let pool = SecretPool::new();
        let (pid, text) = ask(&question(&pool, PATIENT, None), || {
            (std::process::id(), "é".to_string())
        })
        .unwrap();
        assert_ne!(pid, std::process::id());
        assert_eq!(text, "é");
    }

    #[test]
    fn it_has_a_session_of_its_own_and_nothing_to_read() {
        let pool = SecretPool::new();
        let seen = ask(&question(&pool, PATIENT, None), || {
            // SAFETY: without arguments, and of this process.
            let own = unsafe { libc::getsid(0) == libc::getpid() };
            let terminal = File::open("/dev/tty").is_ok();
            let input = std::fs::read_link("/proc/self/fd/0").unwrap();
            (own, vec![terminal.to_string(), input.display().to_string()])
        })
        .unwrap();
        assert_eq!(seen, (true, vec!["false".into(), "/dev/null".into()]));
    }

    #[test]
    fn it_takes_on_the_account_and_keeps_no_descriptor() {
        if !identity::is_root() {
            println!("not root: a child has the rights of its parent");
            return;
        }
        let pool = SecretPool::new();
        let open = File::open("/etc/shadow").unwrap();
        let number = open.as_raw_fd().unsigned_abs();
        let account = Account {
            groups: vec![20000],
            ..Account::unnamed(12345, 12346)
        };
        let seen = ask(&question(&pool, PATIENT, Some(&account)), || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let kept = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
            let open = crate::os::duplicate(number).is_ok();
            (status, vec![format!("{kept}"), format!("{open}")])
        })
        .unwrap();
        assert!(
            seen.0.contains("Uid:\t12345\t12345\t12345\t12345"),
            "{}",
            seen.0
        );
        assert!(seen.0.contains("Groups:\t20000"), "{}", seen.0);
        assert!(seen.0.contains("CapEff:\t0000000000000000"), "{}", seen.0);
        assert_eq!(seen.1[1], "false", "the parent's descriptor is closed");
    }

    /// What libunwind does in mysqld: it looks whether its pipe works, and if not, closes both numbers and makes another.
    #[test]
    fn a_library_finds_its_pipe_as_it_was() {
        let (reader, writer) = pipe().unwrap();
        let numbers = [reader.as_raw_fd(), writer.as_raw_fd()].map(i32::unsigned_abs);
        let works = ask(&question(&SecretPool::new(), PATIENT, None), || {
            numbers.iter().all(|n| crate::os::duplicate(*n).is_ok())
        });
        assert!(works.unwrap());
    }

    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let pool = SecretPool::new();
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let begin = Instant::now();
        let e = ask::<()>(&question(&pool, Duration::from_millis(300), None), || {
            let sleeper = std::process::Command::new("sleep").arg("600").spawn();
            let sleeper = sleeper.map_or(0, |c| c.id());
            std::fs::write(&pids, format!("{} {sleeper}", std::process::id())).unwrap();
            loop {
                std::thread::park();
            }
        })
        .unwrap_err();
        assert_eq!(e.kind(), Kind::Timeout);
        assert!(begin.elapsed() < Duration::from_secs(30));
        let pids = std::fs::read_to_string(&pids).unwrap();
        for pid in pids.split_whitespace() {
            assert_ne!(pid, "0", "the grandchild was started");
            // Gone, or dead and not yet fetched by whoever inherited it.
            let alive = || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                !stat.is_empty() && !stat.contains(") Z ")
            };
            let end = Instant::now() + Duration::from_secs(10);
            while alive() && Instant::now() < end {
                std::thread::yield_now();
            }
            assert!(!alive(), "{pid} is gone");
        }
    }

    #[test]
    fn a_long_answer_a_crash_and_a_panic_are_errors() {
        let pool = SecretPool::new();
        let e = ask(&question(&pool, PATIENT, None), || "x".repeat(5000)).unwrap_err();
        assert!(e.to_string().contains("at most 4096"), "{e}");
        let e = ask(&question(&pool, PATIENT, None), || {
            // SAFETY: ends this child by a signal, which is what is tried.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        })
        .unwrap_err();
        assert_eq!(e.kind(), Kind::Io);
        let e = ask(&question(&pool, PATIENT, None), || -> () {
            panic!("inside")
        })
        .unwrap_err();
        assert_eq!(e.kind(), Kind::Internal);
        // What is on the pipe without end is not read without end.
        let (mut reader, mut writer) = pipe().unwrap();
        writer.write_all(&u64::MAX.to_le_bytes()).unwrap();
        let until = Instant::now() + PATIENT;
        let e = read_answer(&mut reader, until, &question(&pool, PATIENT, None));
        assert_eq!(e.map(drop).unwrap_err().kind(), Kind::Internal);
    }

    #[test]
    fn it_leaves_threads_of_its_own_behind_with_itself() {
        let pool = SecretPool::new();
        let answer = ask(&question(&pool, PATIENT, None), || {
            let thread = std::thread::Builder::new().spawn(|| {
                loop {
                    std::thread::park();
                }
            });
            thread.is_ok()
        });
        assert!(answer.unwrap());
    }
}
