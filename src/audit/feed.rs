//! What calls of the server tell the log through.
//!
//! Owns which of it is told by itself, and which is counted. Nothing here waits, locks or does input and output; a text is made of a caller only where
//! an entry is put into the ring.

use super::entry::{Borrowed, Entry, now};
use super::event::{Event, Outcome};
use super::outbox::Outbox;
use super::ring::Ring;
use super::seen::{Counted, Seen, Ticket};
use super::settings::Reads;
use crate::text;
use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Refusals to one caller that are told one by one, in a minute.
pub const MOST_DENIALS: u32 = 100;
/// Callers and keys that are counted by themselves in a minute; the others are told one by one.
const COUNTED: usize = 8 << 10;
/// Places of the ring: what a thread that drains it every tenth of a second has time for.
const PLACES: usize = 8 << 10;
/// The same where each read is told.
const PLACES_FOR_ALL: usize = 64 << 10;
/// Lines that are kept for who looks from SQL.
const RECENT: usize = 1_000;

/// The last lines, for who looks from SQL.
#[derive(Default)]
pub struct Recent(Mutex<VecDeque<(u64, Entry)>>);

impl Recent {
    /// Keeps one.
    pub fn keep(&self, line: u64, entry: &Entry) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= RECENT {
            kept.pop_front();
        }
        kept.push_back((line, entry.clone()));
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<(u64, Entry)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }
}

/// See the module's documentation.
pub struct Feed {
    /// Which reads are told.
    pub told: Reads,
    /// Entries on their way.
    pub ring: Ring,
    /// Counts of reads.
    pub reads: Seen,
    /// Counts of refusals.
    pub denials: Seen,
    /// Changes.
    pub outbox: Arc<Outbox>,
    /// The last lines.
    pub recent: Recent,
    dropped: AtomicU64,
    all_dropped: AtomicU64,
}

/// What was read, used or refused.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// What.
    pub event: Event,
    /// What came of it.
    pub outcome: Outcome,
    /// The key's name.
    pub name: &'a [u8],
    /// The key's owner.
    pub owner: &'a [u8],
    /// Why.
    pub detail: &'a str,
}

impl Feed {
    /// One for a log that tells of these reads.
    pub fn new(told: Reads, outbox: Arc<Outbox>) -> Feed {
        Feed {
            ring: Ring::new(match told {
                Reads::All => PLACES_FOR_ALL,
                Reads::None | Reads::Summary => PLACES,
            }),
            told,
            reads: Seen::new(COUNTED),
            denials: Seen::new(COUNTED),
            outbox,
            recent: Recent::default(),
            dropped: AtomicU64::new(0),
            all_dropped: AtomicU64::new(0),
        }
    }

    /// Tells something by itself.
    pub fn tell(&self, entry: &Entry) {
        self.ring.push(&entry.into());
    }

    fn put(&self, what: &Use<'_>, actor: impl FnOnce() -> String, count: u64) -> bool {
        let actor = actor();
        // The text of an error, which may name what came from outside.
        let detail = text::clean(what.detail);
        self.ring.push(&Borrowed {
            at: now(),
            count,
            event: what.event,
            outcome: what.outcome,
            actor: &actor,
            name: what.name,
            owner: what.owner,
            detail: &detail,
        })
    }

    fn put_first(
        &self,
        table: &Seen,
        ticket: Ticket,
        what: &Use<'_>,
        actor: impl FnOnce() -> String,
    ) {
        if !self.put(what, actor, ticket.to_count()) {
            // That one was counted as dropped; those that came meanwhile go with it.
            let others = table.give_up(ticket).saturating_sub(1);
            self.dropped.fetch_add(others.into(), Ordering::Relaxed);
        }
    }

    /// Tells of a read, as it is configured. `who`: what tells callers apart. `actor`: their text.
    #[inline]
    pub fn used(&self, who: impl Hash, what: &Use<'_>, actor: impl FnOnce() -> String) {
        match self.told {
            Reads::None => {}
            Reads::All => drop(self.put(what, actor, 1)),
            Reads::Summary => {
                let kind = (what.event.number(), what.outcome.number());
                match self.reads.count((who, kind, what.name, what.owner)) {
                    Counted::Again(_) => {}
                    Counted::First(ticket) => self.put_first(&self.reads, ticket, what, actor),
                    Counted::NoRoom => drop(self.put(what, actor, 1)),
                }
            }
        }
    }

    /// Tells of a refusal; beyond a number to one caller they are counted.
    pub fn denied(&self, who: impl Hash, what: &Use<'_>, actor: impl FnOnce() -> String) {
        let what = &Use {
            event: Event::Denied,
            outcome: Outcome::Denied,
            ..*what
        };
        match self.denials.count(who) {
            Counted::Again(n) if n > MOST_DENIALS => {}
            Counted::First(ticket) => self.put_first(&self.denials, ticket, what, actor),
            Counted::Again(_) | Counted::NoRoom => drop(self.put(what, actor, 1)),
        }
    }

    /// How many found no room since this was asked last.
    pub fn take_dropped(&self) -> u64 {
        let dropped = self.ring.take_dropped() + self.dropped.swap(0, Ordering::Relaxed);
        self.all_dropped.fetch_add(dropped, Ordering::Relaxed);
        dropped
    }

    /// How many found no room, as far as the log has been told.
    pub fn dropped(&self) -> u64 {
        self.all_dropped.load(Ordering::Relaxed)
    }
}
