//! One total time budget, handed down through a call, and the pauses between two attempts in it.
//!
//! Whoever waits for something that is not on this machine asks [`Deadline::remaining`] first. It must
//! never be extended on the way down.

use crate::secret::fill_random;
use std::time::{Duration, Instant};

/// The moment at which a call has to be over.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    total: Duration,
}

impl Deadline {
    /// `total` from now on.
    pub fn after(total: Duration) -> Deadline {
        Deadline {
            at: Instant::now() + total,
            total,
        }
    }

    /// What is left; zero where it has passed.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// It has passed.
    pub fn passed(&self) -> bool {
        self.remaining().is_zero()
    }

    /// A part of it: a third of what is left. So whoever comes next has two thirds.
    pub fn third(&self) -> Deadline {
        let third = Deadline::after(self.remaining() / 3);
        Deadline {
            at: third.at.min(self.at),
            ..third
        }
    }

    /// The whole budget, for messages.
    pub fn total(&self) -> Duration {
        self.total
    }
}

/// Pauses that double from 0.1 s up to 5 s, each shortened by a random part of up to a half, so that many
/// servers that lost the same service do not come back to it in step.
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Before the first pause.
    pub fn new() -> Backoff {
        Backoff {
            next: Self::FIRST,
            longest: Self::LONGEST,
        }
    }

    /// The same with pauses of at most a second: for what is on this machine and costs nobody anything.
    pub fn up_to_a_second() -> Backoff {
        Backoff {
            longest: Duration::from_secs(1),
            ..Backoff::new()
        }
    }

    /// Sleeps, but not beyond `deadline`. `false`: the deadline leaves no time for another attempt.
    pub fn pause(&mut self, deadline: &Deadline) -> bool {
        let mut random = [0; 1];
        // Without randomness the pause is the whole one; nothing depends on it.
        let _ = fill_random(&mut random);
        let pause = self.next.mul_f64(1.0 - f64::from(random[0]) / 255.0 / 2.0);
        self.next = (self.next * 2).min(self.longest);
        if pause >= deadline.remaining() {
            return false;
        }
        std::thread::sleep(pause);
        true
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end_with_the_deadline() {
        let mut backoff = Backoff::new();
        assert!(backoff.pause(&Deadline::after(Duration::from_secs(60))));
        assert_eq!(backoff.next, Backoff::FIRST * 2);
        assert!(!backoff.pause(&Deadline::after(Duration::from_millis(50))));
        for _ in 0..10 {
            backoff.pause(&Deadline::after(Duration::ZERO));
        }
        assert_eq!(backoff.next, Backoff::LONGEST);
        let over = Deadline::after(Duration::ZERO);
        assert!(over.passed() && over.remaining().is_zero());
    }
}
