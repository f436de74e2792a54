//! The one static of this crate: what the server's calls share.
//!
//! Owns the keyring's life in mysqld and what is mysqld's about it: the command line, the account while the process is
//! root, and what a fork takes away.

use super::account::Acting;
use super::session_keys::SessionKeys;
use super::{identity, log};
use crate::caller::Caller;
use crate::config::discover::CommandLine;
use crate::config::{Config, server};
use crate::error::Result;
use crate::lifecycle::{FORKED, Host, Lifecycle, Severity, lock};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

/// The process that loaded this library: mysqld, or a tool that takes its place.
pub struct Server {
    process: OnceLock<CommandLine>,
    /// Whose rights are used while the process is root.
    acting: Acting,
    /// It was forked since it learned about itself: it is a daemon, and not its launcher.
    forked: AtomicBool,
    /// The last ALTER INSTANCE ROTATE that succeeded, as a sentence; known where the companion component is there.
    last_rotation: Mutex<Option<String>>,
    /// Keys that end with their connection: no reload and no keyring touches them.
    pub(super) session_keys: SessionKeys,
}

/// What the server's calls share.
pub static LIFECYCLE: Lifecycle<Server> = Lifecycle::new(Server {
    process: OnceLock::new(),
    acting: Acting::new(),
    forked: AtomicBool::new(false),
    last_rotation: Mutex::new(None),
    session_keys: SessionKeys::new(),
});

impl Server {
    /// Notes that a master key was rotated: which, by whom and when, as a sentence.
    pub(super) fn note_rotation(&self, sentence: String) {
        *lock(&self.last_rotation) = Some(sentence);
    }

    /// What was noted last.
    pub(super) fn last_rotation(&self) -> Option<String> {
        lock(&self.last_rotation).clone()
    }
}

impl Host for Server {
    fn with_caller(&self, f: &mut dyn FnMut(&Caller<'_>)) {
        identity::with_owner(b"", f);
    }

    fn log(&self, severity: Severity, text: &str) {
        match severity {
            Severity::Error => log::error(text),
            Severity::Warning => log::warning(text),
            Severity::Note => log::note(text),
        }
    }

    fn command_line(&self) -> &CommandLine {
        learn_about_process();
        self.process.get_or_init(CommandLine::default)
    }

    fn load<T: Send>(
        &self,
        instance_dir: Option<&Path>,
        config: &(dyn Fn() -> Result<Config> + Send + Sync),
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        self.acting
            .load(self.command_line(), instance_dir, config, work)
    }

    #[inline]
    fn go_on<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.acting.go_on(work)
    }

    fn is_settled(&self) -> bool {
        let is_launcher =
            server::is_daemon(self.command_line()) && !self.forked.load(Ordering::Acquire);
        !is_launcher && self.acting.is_settled()
    }

    fn shut_down(&self) {
        crate::os::ask_to_end();
    }
}

extern "C" fn in_child() {
    // Async-signal-safe: atomics, nothing that could panic.
    LIFECYCLE.host.forked.store(true, Ordering::Release);
    LIFECYCLE.chores.fetch_or(FORKED, Ordering::AcqRel);
}

/// Learns about the process. Called first by whatever role is loaded first; later calls do
/// nothing.
pub fn learn_about_process() {
    LIFECYCLE.host.process.get_or_init(|| {
        crate::os::at_fork_in_child(in_child);
        crate::panics::be_silent();
        CommandLine::of_this_process()
    });
}
