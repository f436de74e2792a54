//! What calls of the server do for the audit log: they leave what is to be told, and ask whether the log is well.
//!
//! Owns the text of a caller in lines, and what tells callers apart in counts. Nothing here waits for the log's thread or takes a lock that
//! it holds while it works.

use super::logging::{Info, LONGEST_SILENCE, State};
use super::{Host, Lifecycle};
use crate::audit::entry::{Entry, now};
use crate::audit::event::{Event, Outcome};
use crate::audit::feed::{Feed, Use};
use crate::audit::settings::Reads;
use crate::caller::{Address, Caller};
use crate::error::{Error, Kind, Result};
use arc_swap::Guard;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What tells callers apart in counts: everything but the connection's number.
fn identity<'a>(caller: &Caller<'a>) -> impl std::hash::Hash + use<'a> {
    let session = caller.session();
    let login = session.and_then(|s| s.login.map(|l| (l.user, l.host)));
    let account = session.and_then(|s| s.account);
    let kind = match caller {
        Caller::Server(_) => 0_u8,
        Caller::Account(_) => 1,
        Caller::Tool(_) => 2,
        Caller::Unknown => 3,
    };
    let address = session.map(|s| match s.address {
        Address::Unknown => (0_u8, None),
        Address::Socket => (1, None),
        Address::Ip(address) => (2, Some(address)),
    });
    (kind, login, account, address)
}

/// The caller's text; for counts without the connection's number, which is only one of them.
fn text(caller: &Caller<'_>, counted: bool) -> String {
    let without = match *caller {
        Caller::Server(Some(mut session)) if counted => {
            session.connection = None;
            Caller::Server(Some(session))
        }
        Caller::Account(mut session) if counted => {
            session.connection = None;
            Caller::Account(session)
        }
        other => other,
    };
    without.actor().unwrap_or_default()
}

impl<H: Host> Lifecycle<H> {
    /// Calls are to be told to the log. It costs one look at an atomic.
    #[inline]
    pub fn is_audited(&self) -> bool {
        self.audit.wanted.load(Ordering::Relaxed)
    }

    /// What calls tell the log through; `None`: there is none.
    #[inline]
    pub fn feed(&self) -> Guard<Option<Arc<Feed>>> {
        self.audit.feed.load()
    }

    /// Reads of keys are to be told. It costs one look at an atomic.
    #[inline]
    pub fn tells_reads(&self) -> bool {
        self.audit.tells_reads.load(Ordering::Relaxed)
    }

    /// Tells of a read or a use of a key.
    pub fn tell_use(&self, caller: &Caller<'_>, what: &Use<'_>) {
        if let Some(feed) = &*self.feed() {
            let counted = feed.told == Reads::Summary;
            feed.used(identity(caller), what, || text(caller, counted));
        }
    }

    /// Tells of a refusal.
    pub fn tell_denial(&self, caller: &Caller<'_>, name: &[u8], owner: &[u8], why: &str) {
        self.counters.denials.fetch_add(1, Ordering::Relaxed);
        if let Some(feed) = &*self.feed() {
            let what = Use {
                event: Event::Denied,
                outcome: Outcome::Denied,
                name,
                owner,
                detail: why,
            };
            feed.denied(identity(caller), &what, || text(caller, false));
        }
    }

    /// Tells of something by itself.
    pub fn tell_event(&self, caller: &Caller<'_>, entry: Entry) {
        if let Some(feed) = &*self.feed() {
            feed.tell(&entry.by(text(caller, false)));
        }
    }

    /// Tells of something that a statement made the server do, or that it did by itself.
    pub fn tell_server_event(&self, entry: Entry) {
        if self.is_audited() {
            let mut entry = Some(entry);
            self.host.with_caller(&mut |caller| {
                if let Some(entry) = entry.take() {
                    self.tell_event(caller, entry);
                }
            });
        }
    }

    /// Whether an account's call may go on, by what is known of the log. The server's own calls never ask.
    ///
    /// # Errors
    /// Denied: the log is required, and can't be written.
    #[inline]
    pub fn check_audit(&self) -> Result<()> {
        match self.audit.required.load(Ordering::Relaxed) {
            false => Ok(()),
            true => self.check_required(),
        }
    }

    #[cold]
    fn check_required(&self) -> Result<()> {
        let control = &self.audit;
        let beat = control.beat.load(Ordering::Acquire);
        let hangs = beat != 0 && now().saturating_sub(beat) > LONGEST_SILENCE;
        let why = match control.state() {
            State::Failing => control.why.load().as_deref().cloned().unwrap_or_default(),
            State::Off | State::Writing | State::Waiting if hangs => {
                "its thread waits for the disk".into()
            }
            State::Off | State::Writing | State::Waiting => return Ok(()),
        };
        let why =
            format!("the audit log can't be written, and is required (audit_required): {why}");
        Err(Error::new(Kind::Denied, "serve the call", why.trim_end_matches('.'))
            .hint("Mend the log's disk or folder: the log goes on by itself, and the calls with it.")
            .refused())
    }

    /// How the log is.
    pub fn audit_info(&self) -> Info {
        let control = &self.audit;
        let at = control.synced_at.load(Ordering::Relaxed);
        let beat = control.beat.load(Ordering::Acquire);
        let hangs =
            control.state() == State::Writing && now().saturating_sub(beat) > LONGEST_SILENCE;
        Info {
            state: if hangs {
                State::Failing
            } else {
                control.state()
            },
            why: match hangs {
                true => Some("the log's thread waits for the disk".into()),
                false => control.why.load().as_deref().cloned(),
            },
            line: control.line.load(Ordering::Relaxed),
            synced_at: (at != 0).then(|| at.div_euclid(1_000_000)),
            dropped: self.feed().as_ref().map_or(0, |feed| feed.dropped()),
            owed: control.outbox.get().map_or(0, |outbox| outbox.len() as u64),
        }
    }
}
