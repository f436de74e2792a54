//! What the KEKs of a keyring say when they are asked whether they would still open it, and whether enough of them would.
//!
//! Owns the difference between a KEK whose use is refused and one that can't be asked. It must never take an outage, a
//! login that has expired or a clock that is off for a refusal.

use super::keks::Keks;
use super::member::{Answer, Member, Use};
use crate::error::{Error, Kind};
use std::collections::BTreeSet;

/// What one KEK said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It opened.
    Opened,
    /// Its use was refused, or it is another key by now.
    Refused,
    /// Anything else: it is away, the login failed, the clock is off. It says nothing about the key.
    Nothing,
}

impl Said {
    /// What an answer says. A key that does not fit any more is one that was made anew under its name.
    pub fn of(answer: &Answer) -> Said {
        match answer {
            Answer::Opened => Said::Opened,
            Answer::Failed {
                withdrawn: true, ..
            }
            | Answer::Failed {
                kind: Kind::WrongKek,
                ..
            } => Said::Refused,
            Answer::Failed { .. } | Answer::NotAsked => Said::Nothing,
        }
    }
}

/// A KEK that a server tries, and what it said.
#[derive(Clone, Debug)]
pub struct Voice {
    /// Its name.
    pub name: String,
    /// What it said.
    pub said: Said,
    /// Why it did not open; empty where it did.
    pub why: String,
    share: Option<u8>,
}

/// What all KEKs said that a server tries.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Each of them; none: they could not be asked.
    pub voices: Vec<Voice>,
    threshold: u8,
    /// Why they could not be asked.
    unasked: Option<String>,
}

impl Answers {
    /// Nobody could be asked, for a reason of this machine.
    pub fn of_nobody(why: &Error) -> Answers {
        Answers {
            voices: Vec::new(),
            threshold: 1,
            unasked: Some(why.to_string()),
        }
    }

    /// Answers of KEKs that each have the whole DEK (`threshold` 1) or a share of their own.
    #[cfg(test)]
    pub(crate) fn of_tests(threshold: u8, said: &[Said]) -> Answers {
        let voice = |(i, said): (usize, &Said)| Voice {
            name: format!("k{i}"),
            said: *said,
            why: String::new(),
            share: (threshold > 1).then_some(i as u8 + 1),
        };
        Answers {
            voices: said.iter().enumerate().map(voice).collect(),
            threshold,
            unasked: None,
        }
    }

    /// The KEKs for which `counts` is true could open the keyring together. KEKs of one group count once.
    pub fn suffice(&self, counts: impl Fn(&Voice) -> bool) -> bool {
        let counting = self.voices.iter().filter(|v| counts(v));
        match self.threshold {
            0 | 1 => counting.count() > 0,
            needed => {
                let shares: BTreeSet<_> = counting.filter_map(|v| v.share).collect();
                shares.len() >= usize::from(needed)
            }
        }
    }

    /// Why those that refused did, in one line.
    pub fn refusals(&self) -> String {
        self.reasons(|v| v.said == Said::Refused)
    }

    /// Why those that did not open did not.
    pub fn troubles(&self) -> String {
        self.reasons(|v| v.said != Said::Opened)
    }

    fn reasons(&self, of: impl Fn(&Voice) -> bool) -> String {
        let said = self.voices.iter().filter(|v| of(v));
        let said = said.map(|v| format!("the KEK '{}': {}", v.name, v.why));
        let said = said.chain(self.unasked.clone());
        said.collect::<Vec<_>>().join(" ")
    }
}

impl Keks {
    /// How many a server tries.
    pub fn count_tried(&self) -> usize {
        self.tried().count()
    }

    fn tried(&self) -> impl Iterator<Item = &Member> {
        let tried = |m: &&Member| m.naming.usage == Use::Start;
        self.members.iter().filter(tried)
    }

    /// What each answered when it was asked last.
    pub fn answers(&self) -> Answers {
        let voice = |m: &Member| {
            let answer = m.answer();
            Voice {
                name: m.naming.name.clone(),
                said: Said::of(&answer),
                why: match answer {
                    Answer::Failed { message, .. } => message,
                    Answer::Opened | Answer::NotAsked => String::new(),
                },
                share: m.number,
            }
        };
        Answers {
            voices: self.tried().map(voice).collect(),
            threshold: self.threshold,
            unasked: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refused_key_is_a_refusal() {
        let failed = |kind, withdrawn| Answer::Failed {
            kind,
            message: String::new(),
            withdrawn,
        };
        for (answer, said) in [
            (Answer::Opened, Said::Opened),
            (Answer::NotAsked, Said::Nothing),
            (failed(Kind::Denied, true), Said::Refused),
            (failed(Kind::NotFound, true), Said::Refused),
            (failed(Kind::WrongKek, false), Said::Refused),
            (failed(Kind::Denied, false), Said::Nothing),
            (failed(Kind::NotFound, false), Said::Nothing),
            (failed(Kind::Unreachable, false), Said::Nothing),
            (failed(Kind::Timeout, false), Said::Nothing),
            (failed(Kind::Config, false), Said::Nothing),
        ] {
            assert_eq!(Said::of(&answer), said, "{answer:?}");
        }
    }

    #[test]
    fn kek_of_one_group_count_once() {
        use Said::{Nothing, Opened, Refused};
        let opened = |v: &Voice| v.said == Opened;
        assert!(Answers::of_tests(1, &[Refused, Opened]).suffice(opened));
        assert!(!Answers::of_tests(1, &[Refused, Nothing]).suffice(opened));
        let mut answers = Answers::of_tests(2, &[Opened, Opened, Nothing]);
        assert!(answers.suffice(opened));
        answers.voices[1].share = answers.voices[0].share;
        assert!(!answers.suffice(opened));
    }
}
