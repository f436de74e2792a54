//! What a process has only one of: loaded modules, the one call that is in one, and refused PINs that no file remembers.
//!
//! PKCS#11 state (C_Initialize, logins) belongs to the whole process, so this is process state, too: the
//! one static beside `src/mysql/` (docs/adr/0005). A module's call can't be interrupted, so each operation
//! runs in a thread of its own that is waited for until the deadline. The thread is gone when the
//! operation returns in time, so nothing lives when `load()` returns; one that hangs is left alone,
//! and until it returns its module is not entered again. It must never join a hanging thread.

use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::identity;
use cryptoki::context::Pkcs11;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

struct Process {
    modules: Vec<Loaded>,
    /// The operation that is in a module now, or never came back.
    inside: Option<Inside>,
    /// What could not be written into these files (`pin`).
    refused_pins: Vec<(PathBuf, String)>,
}

/// A module in this process. It stays loaded: many modules don't survive being unloaded (docs/adr/0005).
struct Loaded {
    path: PathBuf,
    context: Pkcs11,
    /// We left it initialised, because C_Finalize failed or must not be called.
    unfinished: bool,
}

struct Inside {
    module: PathBuf,
    /// The process that it belongs to: after a fork its thread does not exist any more.
    pid: u32,
    over: Arc<AtomicBool>,
}

static PROCESS: Mutex<Process> = Mutex::new(Process {
    modules: Vec::new(),
    inside: None,
    refused_pins: Vec::new(),
});

fn process() -> MutexGuard<'static, Process> {
    // A panic can't leave it half-changed: every change is one assignment or push.
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The module, loaded once in this process.
pub(super) fn module(path: &Path, load: impl FnOnce() -> Result<Pkcs11>) -> Result<Pkcs11> {
    let loaded = |p: &Process| {
        let module = p.modules.iter().find(|m| m.path == path);
        module.map(|m| m.context.clone())
    };
    if let Some(module) = loaded(&process()) {
        return Ok(module);
    }
    let context = load()?;
    process().modules.push(Loaded {
        path: path.to_path_buf(),
        context: context.clone(),
        unfinished: false,
    });
    Ok(context)
}

/// Notes whether we leave a module initialised; gives what was noted before.
pub(super) fn note_unfinished(path: &Path, unfinished: bool) -> bool {
    let mut process = process();
    let module = process.modules.iter_mut().find(|m| m.path == path);
    module.is_some_and(|m| std::mem::replace(&mut m.unfinished, unfinished))
}

/// What should stand in the file of refused PINs, and could not be written.
pub(super) fn refused_pins(path: &Path) -> Option<String> {
    let process = process();
    let mut all = process.refused_pins.iter();
    all.find(|(p, _)| p == path).map(|(_, text)| text.clone())
}

/// Notes it; `None`: it was written.
pub(super) fn note_refused_pins(path: &Path, text: Option<String>) {
    let mut process = process();
    process.refused_pins.retain(|(p, _)| p != path);
    let text = text.filter(|text| !text.is_empty());
    let own = text.map(|text| (path.to_path_buf(), text));
    process.refused_pins.extend(own);
}

/// Runs one operation with `module` in a thread of its own, until `deadline` at the longest.
///
/// # Errors
/// Timeout: the module did not come back, now or in an earlier operation. What `f` returns.
pub(super) fn bounded<T: Send + 'static>(
    op: &'static str,
    module: &Path,
    deadline: Deadline,
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    if deadline.passed() {
        return Err(Error::new(
            Kind::Timeout,
            op,
            format!(
                "the {:.0} s for the HSM were over before it could be asked",
                deadline.total().as_secs_f64()
            ),
        )
        .hint("Try again, or raise start_timeout or timeout."));
    }
    refuse_a_thread(op)?;
    let over = enter(op, module, deadline)?;
    let over_too = over.clone();
    let (send, receive) = mpsc::sync_channel(1);
    let work = move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        over_too.store(true, Ordering::Release);
        // Nobody waits any more where the deadline has passed: the result is dropped, and wiped.
        let _ = send.send(result);
    };
    let thread = std::thread::Builder::new()
        .name("kw-pkcs11".into())
        .spawn(work)
        .map_err(|e| {
            over.store(true, Ordering::Release);
            Error::io(op, "no thread could be started", e)
        })?;
    let Ok(result) = receive.recv_timeout(deadline.remaining()) else {
        return Err(hangs(
            op,
            module,
            format!(
                "did not come back within {:.0} s",
                deadline.total().as_secs_f64()
            ),
        ));
    };
    // It has nothing left to do but to end.
    let _ = thread.join();
    result.unwrap_or_else(|_| {
        Err(Error::new(
            Kind::Internal,
            op,
            "a call to the module ended unexpectedly",
        ))
    })
}

/// While the process is root a thread would outlive the account's, if the module hangs: see `kek::away`.
fn refuse_a_thread(op: &'static str) -> Result<()> {
    if !identity::acting() {
        return Ok(());
    }
    let why = "the module was about to be called in mysqld itself while it is root";
    Err(Error::new(Kind::Internal, op, why))
}

/// Waits for its turn and takes it.
fn enter(op: &'static str, module: &Path, deadline: Deadline) -> Result<Arc<AtomicBool>> {
    loop {
        {
            let mut process = process();
            let busy = process
                .inside
                .as_ref()
                .filter(|i| !i.over.load(Ordering::Acquire));
            match busy {
                None => {
                    let over = Arc::new(AtomicBool::new(false));
                    process.inside = Some(Inside {
                        module: module.to_path_buf(),
                        pid: std::process::id(),
                        over: over.clone(),
                    });
                    return Ok(over);
                }
                Some(inside) if inside.pid != std::process::id() => {
                    return Err(hangs(
                        op,
                        &inside.module,
                        "hung before this process was forked, and can't be used in it".into(),
                    ));
                }
                Some(inside) if deadline.passed() => {
                    return Err(hangs(
                        op,
                        &inside.module,
                        "has not come back from an earlier call".into(),
                    ));
                }
                Some(_) => {}
            }
        }
        std::thread::sleep(Duration::from_millis(5).min(deadline.remaining()));
    }
}

fn hangs(op: &'static str, module: &Path, how: String) -> Error {
    Error::new(
        Kind::Timeout,
        op,
        format!("the module '{}' {how}", module.display()),
    )
    .hint(
        "Check the HSM, its network and its client software. Where the module never comes back, \
         only a restart of the server frees it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// One test: the state is the process's.
    #[test]
    fn a_call_that_hangs_is_given_up_and_not_entered_again() {
        let module = Path::new("/hangs");
        let soon = || Deadline::after(Duration::from_millis(100));
        let patient = || Deadline::after(Duration::from_secs(30));
        assert_eq!(bounded("x", module, patient(), || Ok(7)).unwrap(), 7);
        let over = Deadline::after(Duration::ZERO);
        let e = bounded("x", module, over, || Ok(7)).unwrap_err();
        assert_eq!(e.kind(), Kind::Timeout);
        let e = bounded("x", module, patient(), || -> Result<()> {
            panic!("inside")
        })
        .unwrap_err();
        assert_eq!(e.kind(), Kind::Internal);

        let (go_on, wait) = mpsc::channel::<()>();
        let begin = Instant::now();
        let e = bounded("x", module, soon(), move || Ok(wait.recv().is_ok())).unwrap_err();
        assert_eq!(e.kind(), Kind::Timeout);
        assert!(e.to_string().contains("did not come back"), "{e}");
        let e = bounded("x", module, soon(), || Ok(())).unwrap_err();
        assert!(e.to_string().contains("from an earlier call"), "{e}");
        assert!(begin.elapsed() < Duration::from_secs(25));
        // It comes back after all: the module can be used again.
        go_on.send(()).unwrap();
        assert_eq!(bounded("x", module, patient(), || Ok(8)).unwrap(), 8);
    }
}
