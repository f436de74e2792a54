//! Counts of what happens often: reads of a key by one caller, refusals to one caller.
//!
//! Owns a table of fixed places. Who counts takes no lock, waits for nobody and allocates nothing. Each minute the log's thread takes
//! the counts out. It must never count for one what another did: the hash has a key that nobody outside knows.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Places that are looked at for one thing.
const LOOKS: usize = 8;
/// An entry of the ring is the first of its kind: its count has this bit, and the place in the table.
const FIRST: u64 = 1 << 63;

/// A place in the table, as an entry of the ring carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// For an entry's count.
    pub fn to_count(self) -> u64 {
        self.0 | FIRST
    }

    /// Of an entry's count; `None`: it is a count.
    pub fn of_count(count: u64) -> Option<Ticket> {
        (count & FIRST != 0).then_some(Ticket(count & !FIRST))
    }
}

/// What counting gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// The first of its kind since the place was taken: it is to be told, with the ticket.
    First(Ticket),
    /// So many there are now.
    Again(u32),
    /// All places are taken.
    NoRoom,
}

/// See the module's documentation.
pub struct Seen {
    /// In each the hash's upper half, and the count below it; 0: free.
    places: Box<[AtomicU64]>,
    key: RandomState,
}

impl Seen {
    /// A table of at least so many places.
    pub fn new(places: usize) -> Seen {
        let places = places.max(LOOKS).next_power_of_two();
        Seen {
            places: (0..places).map(|_| AtomicU64::new(0)).collect(),
            key: RandomState::new(),
        }
    }

    /// Counts one.
    pub fn count(&self, what: impl Hash) -> Counted {
        let hash = self.key.hash_one(what);
        let print = (hash >> 32) | 1;
        let (from, mask) = (hash as usize, self.places.len() - 1);
        for look in 0..LOOKS {
            let at = from.wrapping_add(look) & mask;
            let place = &self.places[at];
            let mut value = place.load(Ordering::Relaxed);
            while value == 0 || value >> 32 == print {
                // A full count stays where it is.
                let next = match value {
                    0 => (print << 32) | 1,
                    value if value as u32 == u32::MAX => return Counted::Again(u32::MAX),
                    value => value + 1,
                };
                match place.compare_exchange_weak(value, next, Ordering::Relaxed, Ordering::Relaxed)
                {
                    Ok(0) => return Counted::First(Ticket(((at as u64) << 32) | print)),
                    Ok(_) => return Counted::Again(next as u32),
                    Err(now) => value = now,
                }
            }
        }
        Counted::NoRoom
    }

    /// Nobody was told of the first: its place is free again. Gives how many it had.
    pub fn give_up(&self, ticket: Ticket) -> u32 {
        let Some(place) = self.place(ticket) else {
            return 0;
        };
        match place.swap(0, Ordering::Relaxed) {
            value if value >> 32 == ticket.0 & u64::from(u32::MAX) => value as u32,
            _ => 0,
        }
    }

    fn place(&self, ticket: Ticket) -> Option<&AtomicU64> {
        self.places.get((ticket.0 >> 32) as usize)
    }

    /// Takes a count out. A place that had none since the last time becomes free: `None`, and the ticket is worth nothing any more.
    pub fn take(&self, ticket: Ticket) -> Option<u32> {
        let place = self.place(ticket)?;
        let empty = (ticket.0 & u64::from(u32::MAX)) << 32;
        let mut value = place.load(Ordering::Relaxed);
        loop {
            let next = match value {
                value if value == empty => 0,
                value if value >> 32 == empty >> 32 => empty,
                _ => return None,
            };
            match place.compare_exchange_weak(value, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (next != 0).then_some(value as u32),
                Err(now) => value = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let seen = Seen::new(64);
        let Counted::First(ticket) = seen.count("a") else {
            panic!("the first");
        };
        assert_eq!(Ticket::of_count(ticket.to_count()), Some(ticket));
        assert_eq!(Ticket::of_count(7), None);
        assert_eq!(
            (seen.count("a"), seen.count("a")),
            (Counted::Again(2), Counted::Again(3))
        );
        assert_eq!(seen.take(ticket), Some(3));
        assert_eq!(
            seen.count("a"),
            Counted::Again(1),
            "its place stays for another minute"
        );
        assert_eq!((seen.take(ticket), seen.take(ticket)), (Some(1), None));
        assert!(matches!(seen.count("a"), Counted::First(_)));
        assert_eq!(seen.give_up(ticket), 1);
        assert!(matches!(seen.count("a"), Counted::First(_)));
    }

    #[test]
    fn a_full_table_says_so() {
        let seen = Seen::new(16);
        let counted: Vec<_> = (0..1000).map(|n| seen.count(n)).collect();
        let told = counted.iter().filter(|c| matches!(c, Counted::First(_)));
        let none = counted.iter().filter(|c| **c == Counted::NoRoom);
        assert_eq!((told.count(), none.count()), (16, 984));
    }

    /// Whatever is taken out meanwhile: all together it is what was counted.
    #[test]
    fn nothing_is_counted_twice_or_lost_among_threads() {
        let (seen, each) = (Seen::new(64), 50_000_u32);
        let sum = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut tickets = HashMap::new();
                        let mut total = 0;
                        for n in 0..each {
                            match seen.count(n % 5) {
                                Counted::First(ticket) => drop(tickets.insert(ticket, ())),
                                Counted::Again(_) => {}
                                Counted::NoRoom => panic!("five fit"),
                            }
                            if n % 97 == 0 {
                                let taken = tickets.keys().filter_map(|t| seen.take(*t));
                                total += taken.sum::<u32>();
                            }
                        }
                        total
                    })
                })
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum::<u32>()
        });
        let left: u32 = seen
            .places
            .iter()
            .map(|p| p.load(Ordering::Relaxed) as u32)
            .sum();
        assert_eq!(sum + left, 4 * each);
    }
}
