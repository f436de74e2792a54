//! The lease: when a keyring is taken away from a server because its KEKs refuse, and when it is not.
//!
//! Owns the rule ([`Watch`]), which knows neither clocks nor KEKs: it is told what was said and when. An outage ends nothing
//! before `grace`, and where that is not configured, never: a firewall rule could otherwise end a healthy server. It must
//! never count what is not a refusal as one, and never revoke what would open.

use crate::config::Lease;
use crate::kek::answers::{Answers, Said};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How a lease is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// None is configured, or there is no keyring that could be taken away.
    #[default]
    Off,
    /// Nobody has asked the KEKs yet: the thread begins with the first call of the server.
    NotStarted,
    /// Enough KEKs opened when they were asked last; `until`: so long, if nothing else is heard of them.
    Valid {
        /// When what they said is a lease old.
        until: Instant,
    },
    /// Too few of them said anything. The keyring serves; `until`: so long, where a `grace` is configured.
    Away {
        /// When the grace ends.
        until: Option<Instant>,
    },
    /// So many refuse that the others could not open the keyring; it is revoked at `until` if it stays so.
    Refused {
        /// When the lease ends.
        until: Instant,
    },
    /// The keyring was taken away. A RELOAD that opens it ends that.
    Revoked,
}

impl State {
    /// One or two words for the status.
    pub fn name(self) -> &'static str {
        match self {
            State::Off => "off",
            State::NotStarted => "not started",
            State::Valid { .. } => "valid",
            State::Away { .. } => "away",
            State::Refused { .. } => "refused",
            State::Revoked => "revoked",
        }
    }

    /// A number for alerts, the worse the higher.
    pub fn number(self) -> u8 {
        match self {
            State::Off => 0,
            State::Valid { .. } => 1,
            State::NotStarted => 2,
            State::Away { .. } => 3,
            State::Refused { .. } => 4,
            State::Revoked => 5,
        }
    }

    /// When it changes by itself.
    pub fn until(self) -> Option<Instant> {
        match self {
            State::Valid { until } | State::Refused { until } => Some(until),
            State::Away { until } => until,
            State::Off | State::NotStarted | State::Revoked => None,
        }
    }
}

/// Why a keyring is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its KEKs refuse for a whole lease.
    Refusal,
    /// They say nothing for the whole grace.
    Grace,
}

/// What follows from a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The keyring serves on.
    Serves(State),
    /// It is to be taken away.
    Revoke(Cause),
}

/// One lease as it runs.
pub struct Watch {
    lease: Lease,
    /// The last check in which enough opened.
    good: Instant,
    /// Since when those that don't refuse are too few.
    short: Option<Instant>,
    /// Who refused, and has not opened since: an outage is no answer, it takes nothing back.
    refusing: BTreeSet<String>,
}

impl Watch {
    /// A lease that begins: the keyring was opened at `now`.
    pub fn new(lease: Lease, now: Instant) -> Watch {
        Watch {
            lease,
            good: now,
            short: None,
            refusing: BTreeSet::new(),
        }
    }

    /// How often the KEKs are asked.
    pub fn pause(&self) -> Duration {
        self.lease.length / 3
    }

    /// How it stands where nothing was asked since.
    pub fn begun(&self) -> State {
        State::Valid {
            until: self.good + self.lease.length,
        }
    }

    /// There is nothing yet that the KEKs could be asked about: the lease begins anew.
    pub fn has_nothing(&mut self, at: Instant) -> State {
        *self = Watch::new(self.lease, at);
        self.begun()
    }

    /// Takes what was said in the check that was due `at`.
    pub fn take(&mut self, at: Instant, answers: &Answers) -> Outcome {
        let opened = answers.suffice(|v| v.said == Said::Opened);
        if opened {
            self.good = at;
        }
        // Where nobody could be asked, all stays as it was.
        if !answers.voices.is_empty() && self.is_refused(at, answers) {
            return Outcome::Revoke(Cause::Refusal);
        }
        let grace = self.lease.grace.map(|grace| self.good + grace);
        if grace.is_some_and(|end| at >= end) {
            return Outcome::Revoke(Cause::Grace);
        }
        Outcome::Serves(match self.short {
            Some(since) => State::Refused {
                until: since + self.lease.length,
            },
            None if opened => self.begun(),
            None => State::Away { until: grace },
        })
    }

    /// Takes who refuses, and who does so no more; true: it has been so for a whole lease, and is said again now.
    fn is_refused(&mut self, at: Instant, answers: &Answers) -> bool {
        for voice in &answers.voices {
            match voice.said {
                Said::Opened => drop(self.refusing.remove(&voice.name)),
                Said::Refused => drop(self.refusing.insert(voice.name.clone())),
                Said::Nothing => {}
            }
        }
        self.short = match answers.suffice(|v| !self.refusing.contains(&v.name)) {
            true => None,
            false => self.short.or(Some(at)),
        };
        // What was refused long ago is not enough.
        let is_said_now = !answers.suffice(|v| v.said != Said::Refused);
        let is_over = |since| at >= since + self.lease.length;
        is_said_now && self.short.is_some_and(is_over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OnRevocation;
    use Said::{Nothing as N, Opened as O, Refused as R};

    fn lease(grace: Option<u64>) -> Lease {
        Lease {
            length: Duration::from_secs(30),
            grace: grace.map(Duration::from_secs),
            on_revocation: OnRevocation::Disable,
        }
    }

    /// In which check a keyring is revoked, and why; checks come each third of the lease, the first after the first third.
    fn revoked(grace: Option<u64>, threshold: u8, checks: &[&[Said]]) -> Option<(usize, Cause)> {
        let begin = Instant::now();
        let mut watch = Watch::new(lease(grace), begin);
        for (i, said) in checks.iter().enumerate() {
            let at = begin + (i as u32 + 1) * watch.pause();
            if let Outcome::Revoke(cause) = watch.take(at, &Answers::of_tests(threshold, said)) {
                return Some((i + 1, cause));
            }
        }
        None
    }

    #[test]
    fn a_refusal_revokes_after_one_lease_and_never_before() {
        let thrice: [&[Said]; 3] = [&[R]; 3];
        assert_eq!(revoked(None, 1, &thrice), None);
        // Refused right after a check: 4/3 of a lease later at the latest.
        let refused: [&[Said]; 5] = [&[O], &[R], &[R], &[R], &[R]];
        assert_eq!(revoked(None, 1, &refused), Some((5, Cause::Refusal)));
    }

    #[test]
    fn an_outage_revokes_only_where_a_grace_is_written_out() {
        let away: [&[Said]; 12] = [&[N]; 12];
        assert_eq!(revoked(None, 1, &away), None);
        assert_eq!(revoked(Some(60), 1, &away), Some((6, Cause::Grace)));
        let back: [&[Said]; 8] = [&[N], &[N], &[N], &[N], &[N], &[O], &[N], &[N]];
        assert_eq!(revoked(Some(60), 1, &back), None);
    }

    #[test]
    fn one_of_two_that_refuses_ends_nothing() {
        let one: [&[Said]; 9] = [&[R, O]; 9];
        assert_eq!(revoked(None, 1, &one), None);
        // The other one is away: it might open.
        let away: [&[Said]; 9] = [&[R, N]; 9];
        assert_eq!(revoked(None, 1, &away), None);
        let both: [&[Said]; 4] = [&[R, R]; 4];
        assert_eq!(revoked(None, 1, &both), Some((4, Cause::Refusal)));
    }

    #[test]
    fn two_of_three_shares_that_refuse_are_enough() {
        let one: [&[Said]; 9] = [&[R, O, N]; 9];
        assert_eq!(revoked(None, 2, &one), None);
        let two: [&[Said]; 4] = [&[R, R, O]; 4];
        assert_eq!(revoked(None, 2, &two), Some((4, Cause::Refusal)));
    }

    #[test]
    fn flapping_ends_nothing_but_an_outage_takes_no_refusal_back() {
        let flaps: [&[Said]; 9] = [&[R], &[R], &[R], &[O], &[R], &[R], &[R], &[O], &[R]];
        assert_eq!(revoked(None, 1, &flaps), None);
        // Refused, then cut off, then refused: the lease ran all the time. While it is cut off nothing happens.
        let hidden: [&[Said]; 6] = [&[R], &[N], &[N], &[N], &[N], &[R]];
        assert_eq!(revoked(None, 1, &hidden), Some((6, Cause::Refusal)));
        let (first, second): (&[Said], &[Said]) = (&[R, N], &[N, R]);
        let turns = [first, second, first, second, first, second];
        assert_eq!(revoked(None, 1, &turns), None, "never both at once");
    }

    #[test]
    fn who_could_not_be_asked_has_said_nothing() {
        use crate::error::{Error, Kind};
        let nobody = Answers::of_nobody(&Error::new(Kind::Internal, "ask", "a defect"));
        let begin = Instant::now();
        let at = |i: u32| begin + i * Duration::from_secs(10);
        let mut watch = Watch::new(lease(Some(60)), begin);
        for i in 1..6 {
            let away = State::Away { until: Some(at(6)) };
            assert_eq!(watch.take(at(i), &nobody), Outcome::Serves(away));
        }
        assert_eq!(watch.take(at(6), &nobody), Outcome::Revoke(Cause::Grace));
        // A refusal stays one meanwhile, and is not confirmed.
        let mut watch = Watch::new(lease(None), begin);
        let refused = Outcome::Serves(State::Refused { until: at(4) });
        assert_eq!(watch.take(at(1), &Answers::of_tests(1, &[R])), refused);
        for i in 2..9 {
            assert_eq!(watch.take(at(i), &nobody), refused);
        }
        assert_eq!(
            watch.take(at(9), &Answers::of_tests(1, &[R])),
            Outcome::Revoke(Cause::Refusal)
        );
    }

    #[test]
    fn the_grace_of_a_keyring_begins_with_it() {
        let begin = Instant::now();
        let at = |i: u32| begin + i * Duration::from_secs(10);
        let mut watch = Watch::new(lease(Some(60)), begin);
        let valid = State::Valid { until: at(103) };
        assert_eq!(watch.has_nothing(at(100)), valid);
        // It was made meanwhile, and the first time that its KEK is asked it is away.
        let away = State::Away {
            until: Some(at(106)),
        };
        let answers = Answers::of_tests(1, &[N]);
        assert_eq!(watch.take(at(101), &answers), Outcome::Serves(away));
    }

    #[test]
    fn the_state_says_what_comes_next() {
        let begin = Instant::now();
        let mut watch = Watch::new(lease(Some(60)), begin);
        let mut at = |i: u32, said: &[Said]| {
            watch.take(
                begin + i * Duration::from_secs(10),
                &Answers::of_tests(1, said),
            )
        };
        let after = |seconds| begin + Duration::from_secs(seconds);
        let valid = State::Valid { until: after(40) };
        assert_eq!(at(1, &[O]), Outcome::Serves(valid));
        let away = State::Away {
            until: Some(after(70)),
        };
        assert_eq!(at(2, &[N]), Outcome::Serves(away));
        let refused = State::Refused { until: after(60) };
        assert_eq!(at(3, &[R]), Outcome::Serves(refused));
        let valid = State::Valid { until: after(70) };
        assert_eq!(at(4, &[O]), Outcome::Serves(valid));
    }
}
