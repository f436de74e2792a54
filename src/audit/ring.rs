//! The ring: what reads and events are told through, from any number of threads to one.
//!
//! Owns its fixed places. Who puts something in takes no lock, waits for nobody and allocates nothing: where there is no room it is
//! counted as dropped. One thread takes out. It must never give out half of what was put in.

use super::entry::{Borrowed, Entry, Sink};
use super::seen::Ticket;
use crossbeam_utils::CachePadded;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Words of a place.
const WORDS: usize = 47;
/// Bytes of a place.
const BYTES: usize = WORDS * 8;

/// A place: whose turn it is, and what lies in it. It belongs to one thread alone between two turns, so plain words would do; atomic
/// ones need no `unsafe`.
struct Place {
    turn: AtomicUsize,
    words: [AtomicU64; WORDS],
}

/// See the module's documentation.
pub struct Ring {
    places: Box<[Place]>,
    /// Where the next one is put.
    tail: CachePadded<AtomicUsize>,
    /// Where the next one is taken.
    head: CachePadded<AtomicUsize>,
    dropped: CachePadded<AtomicU64>,
}

/// Bytes on their way into a place.
struct Writer {
    bytes: [u8; BYTES],
    length: usize,
}

impl Sink for Writer {
    fn put(&mut self, bytes: &[u8]) {
        // The entry was made to fit.
        if let Some(room) = self.bytes.get_mut(self.length..self.length + bytes.len()) {
            room.copy_from_slice(bytes);
            self.length += bytes.len();
        }
    }
}

impl Ring {
    /// A ring of at least so many places.
    pub fn new(places: usize) -> Ring {
        let places = places.max(2).next_power_of_two();
        let place = |turn| Place {
            turn: AtomicUsize::new(turn),
            words: [const { AtomicU64::new(0) }; WORDS],
        };
        Ring {
            places: (0..places).map(place).collect(),
            tail: CachePadded::default(),
            head: CachePadded::default(),
            dropped: CachePadded::default(),
        }
    }

    /// Puts something in; `false`: there is no room, and it was counted.
    pub fn push(&self, entry: &Borrowed<'_>) -> bool {
        let Some((place, turn)) = self.claim() else {
            let many = Ticket::of_count(entry.count).map_or(entry.count.max(1), |_| 1);
            self.dropped.fetch_add(many, Ordering::Relaxed);
            return false;
        };
        entry.within(BYTES, |entry| {
            let mut writer = Writer {
                bytes: [0; BYTES],
                length: 0,
            };
            entry.encode(&mut writer);
            let (words, _) = writer.bytes[..writer.length.next_multiple_of(8)].as_chunks::<8>();
            for (word, bytes) in place.words.iter().zip(words) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
        });
        place.turn.store(turn + 1, Ordering::Release);
        true
    }

    fn claim(&self) -> Option<(&Place, usize)> {
        let mut turn = self.tail.load(Ordering::Relaxed);
        loop {
            let place = &self.places[turn & (self.places.len() - 1)];
            let ahead = place.turn.load(Ordering::Acquire).wrapping_sub(turn) as isize;
            if ahead < 0 {
                return None;
            }
            if ahead > 0 {
                turn = self.tail.load(Ordering::Relaxed);
                continue;
            }
            let next = turn.wrapping_add(1);
            match (self.tail).compare_exchange_weak(
                turn,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some((place, turn)),
                Err(now) => turn = now,
            }
        }
    }

    /// Takes the oldest out. For one thread at a time.
    pub fn pop(&self) -> Option<Entry> {
        let turn = self.head.load(Ordering::Relaxed);
        let place = &self.places[turn & (self.places.len() - 1)];
        if place.turn.load(Ordering::Acquire) != turn.wrapping_add(1) {
            return None;
        }
        let mut bytes = [0; BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(&place.words) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        place
            .turn
            .store(turn.wrapping_add(self.places.len()), Ordering::Release);
        self.head.store(turn.wrapping_add(1), Ordering::Relaxed);
        Entry::decode(&mut &bytes[..])
    }

    /// How many found no room since this was asked last.
    pub fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn put(ring: &Ring, name: &str, count: u64) -> bool {
        let mut entry = Entry::new(Event::KeyRead).of(name.as_bytes(), b"o@%");
        entry.count = count;
        ring.push(&(&entry).into())
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_stays_whole() {
        let ring = Ring::new(4);
        for lap in 0..3 {
            for n in 0..4 {
                assert!(put(&ring, &format!("{lap}/{n}"), 1));
            }
            assert!(!put(&ring, "more", 1) && !put(&ring, "and more", 3));
            for n in 0..4 {
                let name = ring.pop().unwrap().name;
                assert_eq!(name, format!("{lap}/{n}").into_bytes());
            }
            assert_eq!((ring.pop(), ring.take_dropped()), (None, 4));
        }
    }

    /// Many threads put in, one takes out: each entry comes whole and once, those of one thread in their order, and what is
    /// missing was counted.
    #[test]
    fn nothing_is_lost_uncounted_among_many_threads() {
        const THREADS: u64 = 8;
        const EACH: u64 = 20_000;
        let ring = Ring::new(256);
        let done = AtomicBool::new(false);
        let mut seen = vec![Vec::new(); THREADS as usize];
        let dropped = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let ring = &ring;
                    scope.spawn(move || {
                        let long = "x".repeat(thread as usize * 37);
                        let sent =
                            (1..=EACH).filter(|n| put(ring, &format!("{thread} {n} {long}"), 1));
                        sent.count() as u64
                    })
                })
                .collect();
            let reader = scope.spawn(|| {
                loop {
                    let last = done.load(Ordering::Acquire);
                    while let Some(entry) = ring.pop() {
                        let name = String::from_utf8(entry.name).unwrap();
                        let words: Vec<&str> = name.split(' ').collect();
                        let thread: usize = words[0].parse().unwrap();
                        // What is longer than a place is cut, with a hash.
                        assert!(words[2].starts_with(&"x".repeat((thread * 37).min(60))));
                        seen[thread].push(words[1].parse::<u64>().unwrap());
                    }
                    if last {
                        return ring.take_dropped();
                    }
                }
            });
            let sent: u64 = writers.into_iter().map(|w| w.join().unwrap()).sum();
            done.store(true, Ordering::Release);
            let dropped = reader.join().unwrap();
            assert_eq!(sent + dropped, THREADS * EACH);
            dropped
        });
        let all: usize = seen.iter().map(Vec::len).sum();
        assert_eq!(all as u64 + dropped, THREADS * EACH);
        assert!(seen.iter().all(|one| one.is_sorted_by(|a, b| a < b)));
    }
}
