//! What the table of counts becomes: a line a minute for each thing that was counted.
//!
//! Owns who stands behind a ticket. It must never lose a count of somebody whose first entry came through the ring.

use super::entry::{Entry, now};
use super::event::Event;
use super::feed::{Feed, MOST_DENIALS};
use super::seen::Ticket;
use std::collections::HashMap;

/// Microseconds after which counts are told.
const MINUTE: i64 = 60_000_000;

/// Who stands behind the tickets.
pub(super) struct Summary {
    reads: HashMap<Ticket, Entry>,
    denials: HashMap<Ticket, Entry>,
    told: i64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary {
            reads: HashMap::new(),
            denials: HashMap::new(),
            told: now(),
        }
    }
}

impl Summary {
    /// Takes an entry of the ring; what is told at once is given back.
    pub(super) fn take(&mut self, mut entry: Entry) -> Option<Entry> {
        let Some(ticket) = Ticket::of_count(entry.count) else {
            return Some(entry);
        };
        entry.count = 1;
        if entry.event == Event::Denied {
            self.denials.insert(ticket, entry.clone());
            return Some(entry);
        }
        self.reads.insert(ticket, entry);
        None
    }

    /// The lines that are due. `now`: all that there are, because nothing comes after them.
    pub(super) fn due(&mut self, feed: &Feed, at_once: bool) -> Vec<Entry> {
        let at = now();
        if !at_once && at.saturating_sub(self.told).unsigned_abs() < MINUTE as u64 {
            return Vec::new();
        }
        self.told = at;
        let mut lines = Vec::new();
        self.reads.retain(|ticket, entry| {
            let count = feed.reads.take(*ticket);
            if let Some(count) = count.filter(|count| *count > 0) {
                lines.push(Entry {
                    at,
                    count: count.into(),
                    ..entry.clone()
                });
            }
            count.is_some()
        });
        self.denials.retain(|ticket, entry| {
            let count = feed.denials.take(*ticket);
            let more = count.unwrap_or(0).saturating_sub(MOST_DENIALS);
            if more > 0 {
                let more = Entry {
                    at,
                    event: Event::DeniedMore,
                    count: more.into(),
                    ..entry.clone()
                };
                lines.push(
                    more.of(b"", b"")
                        .saying("beyond those that are told one by one"),
                );
            }
            count.is_some()
        });
        lines
    }
}
