//! The one adapter around KEKs that are not on this machine: attempts within one deadline, each in a child where
//! nothing may stay behind (`away`), and what the last contact was.
//!
//! Owns retries and counters, so that no provider has any. It must never repeat what was refused (a
//! permission, a PIN, a wrong key): only what may pass by itself, which providers report as
//! [`Kind::Unreachable`].

use super::{Budget, Contact, Kek, Unwrapped, away};
use crate::deadline::{Backoff, Deadline};
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::os::wire::Wire;
use crate::secret::{SecretBytes, SecretPool};
use std::sync::{Mutex, PoisonError};

/// A remote KEK with retries and counters. One type for all providers: it waits for networks, and no copy of its code for
/// each would be any quicker.
pub struct Adapter {
    kek: Box<dyn Kek>,
    contact: Mutex<Contact>,
    /// What the provider said in a child.
    warnings: Mutex<Vec<String>>,
}

impl Adapter {
    /// Puts the adapter around a provider.
    pub fn new(kek: impl Kek + 'static) -> Adapter {
        Adapter {
            kek: Box::new(kek),
            contact: Mutex::new(Contact::default()),
            warnings: Mutex::default(),
        }
    }

    fn attempt<T: Wire>(
        &self,
        pool: &SecretPool,
        deadline: Deadline,
        once: bool,
        mut f: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let whom = self.kek.describe();
        let mut ask = || {
            let work = || (f(), self.kek.take_warnings());
            let (result, warnings) = away::ask(&whom, deadline, away::MOST, pool, work);
            let mut kept = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            for warning in warnings {
                // An operation may be attempted many times.
                if !kept.contains(&warning) {
                    kept.push(warning);
                }
            }
            result
        };
        if once {
            let result = ask();
            self.note(result.as_ref().err());
            return result;
        }
        attempt(deadline, |e| self.note(e), ask)
    }

    fn note(&self, error: Option<&Error>) {
        let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        contact.note(error);
    }
}

/// Attempts until one succeeds, fails for good, or the deadline leaves no time for another. `note` hears of
/// each.
pub(crate) fn attempt<T>(
    deadline: Deadline,
    mut note: impl FnMut(Option<&Error>),
    mut f: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut backoff = Backoff::new();
    let mut attempts = 0u32;
    let mut before = None;
    loop {
        attempts += 1;
        let result = f();
        note(result.as_ref().err());
        match result {
            // An attempt that the deadline cut short says less than a whole one before it.
            Err(e) if e.kind() == Kind::Timeout && is_cut(deadline) => {
                return Err(match before {
                    Some(told) => give_up(told, attempts, deadline),
                    None => e,
                });
            }
            Err(e) if e.kind() == Kind::Unreachable => {
                let cut = is_cut(deadline);
                if cut || !backoff.pause(&deadline) {
                    let told = before.filter(|_| cut).unwrap_or(e);
                    return Err(give_up(told, attempts, deadline));
                }
                before = Some(e);
            }
            result => return result,
        }
    }
}

/// The deadline has ended the attempt, or was about to: a provider keeps some of its time in reserve (AWS' credential process
/// 0.2 s), and gives up before.
fn is_cut(deadline: Deadline) -> bool {
    const ABOUT_TO: std::time::Duration = std::time::Duration::from_millis(250);
    deadline.remaining() < ABOUT_TO
}

fn give_up(error: Error, attempts: u32, deadline: Deadline) -> Error {
    if attempts == 1 {
        return error;
    }
    error.context(format!(
        "{attempts} attempts in {:.0} s",
        deadline.total().as_secs_f64()
    ))
}

impl Kek for Adapter {
    fn describe(&self) -> String {
        self.kek.describe()
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        self.attempt(pool, deadline, false, || {
            self.kek.wrap(pool, file_id, part, deadline)
        })
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        if !self.kek.is_mine(stanza) {
            return Ok(Unwrapped::NotMine);
        }
        let (deadline, once) = (budget.deadline(), budget.is_for_one_attempt());
        self.attempt(pool, deadline, once, || {
            self.kek.unwrap(pool, file_id, stanza, budget)
        })
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        self.kek.is_mine(stanza)
    }

    fn could_have_made(&self, stanza: &Stanza) -> bool {
        self.kek.could_have_made(stanza)
    }

    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        self.attempt(pool, deadline, false, || self.kek.probe(pool, deadline))
    }

    fn has_generator(&self) -> bool {
        self.kek.has_generator()
    }

    fn random(&self, pool: &SecretPool, length: usize, deadline: Deadline) -> Result<SecretBytes> {
        self.attempt(pool, deadline, false, || {
            self.kek.random(pool, length, deadline)
        })
    }

    fn check_new(&self, pool: &SecretPool) -> Result<()> {
        self.kek.check_new(pool)
    }

    fn opens_here(&self) -> bool {
        self.kek.opens_here()
    }

    fn contact(&self) -> Option<Contact> {
        let contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        Some(contact.clone())
    }

    fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    /// Fails `failures` times with `kind`, then succeeds. For faults that no real KEK gives on demand.
    struct Flaky {
        kind: Kind,
        failures: u32,
        calls: Arc<AtomicU32>,
    }

    impl Kek for Flaky {
        fn describe(&self) -> String {
            "a flaky KEK".into()
        }
        fn wrap(
            &self,
            _: &SecretPool,
            _: &[u8; FILE_ID],
            _: &Part<'_>,
            _: Deadline,
        ) -> Result<Stanza> {
            Err(Error::new(Kind::Internal, "wrap", "not used"))
        }
        fn unwrap(
            &self,
            _: &SecretPool,
            _: &[u8; FILE_ID],
            _: &Stanza,
            _: &mut Budget,
        ) -> Result<Unwrapped> {
            Ok(Unwrapped::NotMine)
        }
        fn is_mine(&self, _: &Stanza) -> bool {
            false
        }
        fn probe(&self, _: &SecretPool, _: Deadline) -> Result<()> {
            if self.calls.fetch_add(1, Ordering::Relaxed) < self.failures {
                return Err(Error::new(self.kind, "reach it", "it is away"));
            }
            Ok(())
        }
    }

    #[test]
    fn an_attempt_that_is_cut_short_does_not_hide_the_reason() {
        for cut_short in [Kind::Unreachable, Kind::Timeout] {
            let deadline = Deadline::after(Duration::from_millis(400));
            let mut attempts = 0;
            let ask = || -> Result<()> {
                attempts += 1;
                if attempts == 1 {
                    return Err(Error::new(Kind::Unreachable, "ask", "the true reason"));
                }
                while !deadline.passed() {
                    std::thread::yield_now();
                }
                Err(Error::new(cut_short, "ask", "out of time"))
            };
            let e = attempt(deadline, |_| (), ask).unwrap_err();
            assert_eq!(e.kind(), Kind::Unreachable);
            assert!(e.to_string().contains("2 attempts"), "{e}");
            assert!(e.to_string().contains("the true reason"), "{e}");
        }
    }

    fn probe(kind: Kind, failures: u32, total: Duration) -> (Result<()>, u32, Contact) {
        let calls = Arc::new(AtomicU32::new(0));
        let adapter = Adapter::new(Flaky {
            kind,
            failures,
            calls: calls.clone(),
        });
        let result = adapter.probe(&SecretPool::new(), Deadline::after(total));
        let calls = calls.load(Ordering::Relaxed);
        (result, calls, adapter.contact().unwrap())
    }

    #[test]
    fn what_may_pass_is_tried_again_within_the_deadline() {
        let (result, calls, contact) = probe(Kind::Unreachable, 2, Duration::from_secs(30));
        assert!(result.is_ok());
        assert_eq!((calls, contact.calls, contact.errors), (3, 3, 2));
        assert!(contact.last_success.is_some());
        let begin = Instant::now();
        let (result, calls, _) = probe(Kind::Unreachable, u32::MAX, Duration::from_millis(400));
        assert!(begin.elapsed() < Duration::from_secs(2));
        let message = result.unwrap_err().to_string();
        assert!(
            calls > 1 && message.contains(&format!("{calls} attempts")),
            "{message}"
        );
    }

    #[test]
    fn what_was_refused_is_tried_once() {
        for kind in [
            Kind::Denied,
            Kind::WrongKek,
            Kind::Timeout,
            Kind::Config,
            Kind::NotFound,
        ] {
            let (result, calls, _) = probe(kind, 5, Duration::from_secs(30));
            assert_eq!((result.unwrap_err().kind(), calls), (kind, 1));
        }
    }
}
