//! A short thread that fetches random bytes for keys that are to be generated.
//!
//! Owns when one is begun: at a call after which the keyring's reserve is half empty, and never while it loads. It must
//! never be waited for but by an unload, for a moment.

use super::{Host, Lifecycle, Severity};
use crate::error::Error;
use crate::os;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an unload waits for it.
const LONGEST_END: Duration = Duration::from_secs(2);

impl<H: Host> Lifecycle<H> {
    /// Fetches them at the next call, if they are wanted.
    pub(super) fn ask_for_random(&self) {
        let wanted = self.keyring().is_ok_and(|keyring| keyring.wants_random());
        if wanted && super::environment::is_in_server(self.host.command_line()) {
            self.chores.fetch_or(super::RANDOM, Ordering::AcqRel);
        }
    }

    /// Begins the thread, if none is at it; false: it is too early, ask again.
    pub(super) fn begin_refilling(&'static self) -> bool {
        if !self.host.is_settled() {
            return false;
        }
        if self.refilling.swap(true, Ordering::AcqRel) {
            return true;
        }
        let begun = os::thread::begin("kw-random", || {
            let filled = self.caught("fetch random bytes", || {
                let keyring = self.keyring()?;
                let current: &crate::keyring::Keyring = &keyring;
                self.host.go_on(|| current.fill_random())
            });
            if let Err(e) = filled {
                self.tell_no_random(&e);
            }
            self.refilling.store(false, Ordering::Release);
        });
        if let Err(e) = begun {
            self.refilling.store(false, Ordering::Release);
            self.tell_no_random(&Error::io(
                "fetch random bytes",
                "no thread could be started",
                e,
            ));
        }
        true
    }

    fn tell_no_random(&self, e: &Error) {
        let sentence = format!(
            "No random bytes of the configured source came (random). Keys are made of the system's alone meanwhile. {e}"
        );
        self.host.log(Severity::Warning, &sentence);
    }

    /// Waits for it a moment.
    pub(super) fn end_refilling(&self) {
        self.chores.fetch_and(!super::RANDOM, Ordering::AcqRel);
        let end = Instant::now() + LONGEST_END;
        while self.refilling.load(Ordering::Acquire) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
