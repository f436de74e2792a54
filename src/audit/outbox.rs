//! Changes that are durable in the keyring, and not yet in the log on the disk.
//!
//! Owns their queue. Who makes a change puts it in, which takes a lock that nobody holds while he waits for anything; the log's thread
//! takes copies, and what it has synced goes. What is here when the process dies is made again from the journal. It must never let go of a change
//! that the log has not, as long as there is room, and must count what it had no room for.

use super::entry::Entry;
use super::event::Event;
use super::line::Read;
use super::note::Synced;
use super::position::Position;
use crate::text::name;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that may wait for a log that can't be written. The journal has them all the same until it is written anew.
const MOST: usize = 16 << 20;
/// What stands in the place of changes that found no room.
const LOST: &str = "changes found no room while the log could not be written";
/// Bytes of an entry beside its texts, roughly.
const BESIDE: usize = 200;

/// What an opened journal says of the log.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// Which keyring file it is.
    pub file_id: [u8; 16],
    /// The number of its last record.
    pub end: u64,
    /// How far the log was, as the journal knows.
    pub known: Synced,
    /// What is owed to the log as far as the journal can tell, by its order: some of it may be in it.
    pub owed: Vec<Entry>,
}

/// A change as a line of the log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which one.
    pub change: Position,
    event: Event,
    actor: String,
    key: String,
    owner: String,
}

impl Told {
    /// Of a line; `None`: it tells of none.
    pub fn of_line(line: &Read) -> Option<Told> {
        Some(Told {
            change: line.change?,
            event: line.event,
            actor: line.actor.clone(),
            key: line.key.clone(),
            owner: line.owner.clone(),
        })
    }

    fn is(&self, entry: &Entry) -> bool {
        let (key, owner) = (name(&entry.name), name(&entry.owner));
        entry.change == Some(self.change)
            && (entry.event, &*entry.actor) == (self.event, &*self.actor)
            && (key.is_empty() && self.key.is_empty()
                || (key, owner) == (self.key.clone(), self.owner.clone()))
    }
}

#[derive(Default)]
struct Inner {
    opened: Opened,
    queue: VecDeque<Entry>,
    /// The serial number of the queue's first.
    first: u64,
    bytes: usize,
    /// What was given out up to here may be in the log already.
    given: u64,
    last: (u64, u32),
    synced: Synced,
    /// Counts the journals that were opened.
    journals: u64,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Outbox(Mutex<Inner>);

fn weight(entry: &Entry) -> usize {
    BESIDE + entry.actor.len() + entry.name.len() + entry.owner.len() + entry.detail.len()
}

impl Inner {
    fn push(&mut self, entry: Entry) {
        if let Some(place) = entry.change {
            if place.place() <= self.last {
                return;
            }
            self.last = place.place();
        }
        let weight = weight(&entry);
        if self.bytes + weight > MOST {
            return self.lose(&entry);
        }
        self.bytes += weight;
        self.queue.push_back(entry);
    }

    /// Counts it in a line that stands in its place, so that it is carried and told like a change.
    fn lose(&mut self, entry: &Entry) {
        let is_out = self.first + self.queue.len() as u64 <= self.given;
        match self.queue.back_mut() {
            Some(gap) if gap.event == Event::Gap && !is_out => {
                gap.count = gap.count.saturating_add(1);
                (gap.at, gap.change) = (entry.at, entry.change);
            }
            _ => {
                let gap = Entry {
                    at: entry.at,
                    change: entry.change,
                    ..Entry::new(Event::Gap).saying(LOST)
                };
                self.bytes += weight(&gap);
                self.queue.push_back(gap);
            }
        }
    }

    fn pop(&mut self) {
        if let Some(entry) = self.queue.pop_front() {
            self.bytes = self.bytes.saturating_sub(weight(&entry));
            self.first += 1;
        }
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} changes", self.len())
    }
}

impl Outbox {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A journal was opened. Where it is the one that was open already, what it owes is here.
    pub fn opened(&self, mut opened: Opened) {
        let mut inner = self.inner();
        let owed = std::mem::take(&mut opened.owed);
        if inner.opened.file_id != opened.file_id {
            // What waits of another one is in that one's journal, and is told in its log when it is opened again.
            while !inner.queue.is_empty() {
                inner.pop();
            }
        }
        // An older copy of the same file begins anew, too.
        if inner.opened.file_id != opened.file_id || inner.last.0 > opened.end {
            (inner.last, inner.synced) = ((0, 0), opened.known);
        }
        inner.opened = opened;
        inner.journals += 1;
        owed.into_iter().for_each(|entry| inner.push(entry));
    }

    /// A change is durable.
    pub fn push(&self, entry: Entry) {
        self.inner().push(entry);
    }

    /// How far the log is on the disk, as the next record says it.
    pub fn synced(&self) -> Synced {
        self.inner().synced
    }

    /// How far it is, and all that it lacks, for a rewrite.
    pub fn to_carry(&self) -> (Synced, Vec<Entry>) {
        let inner = self.inner();
        (inner.synced, inner.queue.iter().cloned().collect())
    }

    /// What was opened last, as it is now, and how many journals were before it. What it owes has gone into the queue.
    pub fn journal(&self) -> (Opened, u64) {
        let inner = self.inner();
        let mut opened = inner.opened.clone();
        opened.end = opened.end.max(inner.last.0);
        (opened, inner.journals)
    }

    /// How many changes wait.
    pub fn len(&self) -> usize {
        self.inner().queue.len()
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies of those behind the first `serial`, at most `most`, and what to ask with next; none where another keyring's journal was
    /// opened meanwhile.
    pub fn behind(&self, keyring: [u8; 16], serial: u64, most: usize) -> (Vec<Entry>, u64) {
        let mut inner = self.inner();
        if inner.opened.file_id != keyring {
            return (Vec::new(), serial);
        }
        let skip = serial.saturating_sub(inner.first);
        let entries = inner.queue.iter().skip(skip as usize).take(most);
        let entries: Vec<Entry> = entries.cloned().collect();
        let next = serial.max(inner.first) + entries.len() as u64;
        inner.given = inner.given.max(next);
        (entries, next)
    }

    /// The log of this keyring is on the disk so far, with all changes before `serial`.
    pub fn is_synced(&self, keyring: [u8; 16], serial: u64, synced: Synced) {
        let mut inner = self.inner();
        if inner.opened.file_id != keyring {
            return;
        }
        inner.synced = synced;
        while inner.first < serial && !inner.queue.is_empty() {
            inner.pop();
        }
    }

    /// What the log of this keyring tells up to `logged` is no longer owed. `false`: something at that very place is another change, so
    /// that the log belongs to another branch, and nothing was taken away.
    pub fn forget(&self, logged: Position) -> bool {
        let mut inner = self.inner();
        let same = |entry: &Entry| {
            let place = entry.change.filter(|p| p.place() == logged.place());
            place.is_none_or(|place| place.tag == logged.tag)
        };
        if !inner.queue.iter().all(same) {
            return false;
        }
        let is_told = |entry: &Entry| entry.change.is_some_and(|p| p.place() <= logged.place());
        while inner.queue.front().is_some_and(is_told) {
            inner.pop();
        }
        true
    }

    /// Something at or before this place is owed.
    pub fn owes(&self, logged: Position) -> bool {
        let inner = self.inner();
        let next = inner.queue.front().and_then(|entry| entry.change);
        next.is_some_and(|next| next.place() <= logged.place())
    }

    /// The same for the next one, of which a line tells that nobody vouches for. `false`: another one is owed next, or none, and nothing was
    /// taken away.
    pub fn forget_told(&self, told: &Told) -> bool {
        let mut inner = self.inner();
        let is_next = inner.queue.front().is_some_and(|entry| told.is(entry));
        if is_next {
            inner.pop();
        }
        is_next
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;

    fn entry(sequence: u64, tag: u8) -> Entry {
        Entry {
            change: Some(Position {
                sequence,
                part: 0,
                tag: [tag; 8],
            }),
            ..Entry::new(Event::KeyAdded)
        }
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|e| e.change.unwrap().sequence).collect()
    }

    fn synced(line: u64) -> Synced {
        Synced {
            line,
            ..Synced::default()
        }
    }

    #[test]
    fn each_change_is_taken_once_and_stays_until_it_is_synced() {
        let outbox = Outbox::default();
        let owed = vec![entry(3, 1), entry(4, 1)];
        outbox.opened(Opened {
            end: 4,
            owed: owed.clone(),
            ..Opened::default()
        });
        let (first, serial) = outbox.behind([0; 16], 0, 100);
        assert_eq!((numbers(&first), serial), (vec![3, 4], 2));
        outbox.push(entry(5, 1));
        assert_eq!(
            numbers(&outbox.to_carry().1),
            [3, 4, 5],
            "nothing is synced yet"
        );
        outbox.is_synced([0; 16], serial, synced(7));
        assert_eq!(
            (outbox.synced().line, numbers(&outbox.to_carry().1)),
            (7, vec![5])
        );
        // A reload reads the same journal: what it owes was here already.
        let owed = vec![entry(3, 1), entry(4, 1), entry(5, 1)];
        outbox.opened(Opened {
            end: 5,
            owed,
            ..Opened::default()
        });
        let (next, serial) = outbox.behind([0; 16], serial, 100);
        assert_eq!((numbers(&next), serial), (vec![5], 3));
        outbox.is_synced([0; 16], serial, synced(8));
        assert!(outbox.is_empty() && outbox.behind([0; 16], serial, 100).0.is_empty());
    }

    #[test]
    fn what_the_log_tells_is_not_owed_and_another_branch_is_seen() {
        let outbox = Outbox::default();
        let owed = vec![entry(3, 1), entry(4, 1), entry(5, 1)];
        outbox.opened(Opened {
            end: 5,
            owed,
            ..Opened::default()
        });
        assert!(!outbox.forget(entry(4, 2).change.unwrap()));
        assert_eq!(outbox.len(), 3);
        assert!(outbox.forget(entry(4, 1).change.unwrap()));
        assert_eq!(numbers(&outbox.behind([0; 16], 0, 9).0), [5]);
        assert!(
            outbox.forget(entry(2, 9).change.unwrap()),
            "the journal has it no more"
        );
    }

    #[test]
    fn another_keyring_and_an_older_one_begin_anew() {
        let outbox = Outbox::default();
        outbox.opened(Opened {
            end: 5,
            owed: vec![entry(5, 1)],
            ..Opened::default()
        });
        let owed = vec![entry(2, 1)];
        outbox.opened(Opened {
            end: 2,
            owed: owed.clone(),
            ..Opened::default()
        });
        outbox.opened(Opened {
            file_id: [1; 16],
            end: 2,
            owed,
            ..Opened::default()
        });
        assert_eq!(numbers(&outbox.behind([1; 16], 0, 9).0), [2]);
        assert_eq!(outbox.journal().1, 3);
    }

    #[test]
    fn a_log_that_is_away_for_ever_costs_bounded_memory() {
        let outbox = Outbox::default();
        let long = |n| Entry {
            detail: "x".repeat(255),
            ..entry(n, 1)
        };
        for n in 1..=100_000 {
            outbox.push(long(n));
        }
        let kept = outbox.len() as u64;
        assert!(kept > 30_000 && kept < 100_000, "{kept}");
        let gap = outbox.inner().queue.back().cloned().unwrap();
        assert_eq!((gap.event, gap.count), (Event::Gap, 100_001 - kept));
    }
}
