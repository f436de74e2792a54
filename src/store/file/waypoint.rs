//! Whether a journal holds a record that somebody remembers: the marker, or a server's memory at RELOAD.
//!
//! Owns the difference between "the same file, further on", "an older copy" and "another branch". It must never
//! take a copy that lacks the remembered record for the same file, and touches nothing on disk.

use super::scan::End;
use crate::envelope::MAC;
use crate::format::header::ParsedHeader;
use crate::format::lineage::{self, SHORT, short};
use std::cmp::Ordering;

/// A record that was seen: "the journal must contain this".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waypoint {
    /// The generation in which it was seen.
    pub generation: u64,
    /// The sequence number.
    pub sequence: u64,
    /// The chain value behind that record.
    pub chain: [u8; MAC],
    /// The beginning of the MAC of that generation's header.
    pub header: [u8; SHORT],
}

/// What is wrong with a journal that does not hold a waypoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Astray {
    /// It has another record in its place, or another generation of that number.
    OtherBranch,
    /// It ends before that record.
    Older,
    /// It was rewritten, when the record with this number was the last one of the remembered generation.
    RewrittenBehind(u64),
    /// It was rewritten so often since that its header does not name that generation any more.
    Untold,
}

/// Looks for a waypoint while a journal is read.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// What is looked for.
    pub at: Waypoint,
    /// The chain value that the journal has at that number.
    met: Option<[u8; MAC]>,
}

impl Watch {
    /// Looks for `at`.
    pub fn new(at: Waypoint) -> Watch {
        Watch { at, met: None }
    }

    /// The journal of `generation` has come as far as `end`; called for the header and for each record.
    pub fn pass(&mut self, generation: u64, end: &End) {
        if (generation, end.sequence) == (self.at.generation, self.at.sequence) {
            self.met = Some(end.chain);
        }
    }

    /// `None`: the journal, which was read to its `end`, holds the waypoint or was rewritten behind it.
    pub fn astray(&self, journal: &ParsedHeader, end: &End) -> Option<Astray> {
        let at = &self.at;
        let header = &journal.header;
        match header.generation.cmp(&at.generation) {
            Ordering::Less => Some(Astray::Older),
            Ordering::Equal if short(&journal.mac) != at.header => Some(Astray::OtherBranch),
            Ordering::Equal => match self.met {
                Some(met) if met == at.chain => None,
                None if at.sequence > end.sequence => Some(Astray::Older),
                _ => Some(Astray::OtherBranch),
            },
            Ordering::Greater => {
                let Some(then) = header.lineage.find(at.generation, header.generation) else {
                    return Some(Astray::Untold);
                };
                if then.header != at.header {
                    return Some(Astray::OtherBranch);
                }
                match then.sequence.cmp(&at.sequence) {
                    Ordering::Less => Some(Astray::RewrittenBehind(then.sequence)),
                    Ordering::Equal if then.chain != short(&at.chain) => Some(Astray::OtherBranch),
                    // Beyond that one it is known by its generation only.
                    Ordering::Equal | Ordering::Greater => None,
                }
            }
        }
    }
}

/// What is wrong with a journal of which `who_knows` ("the marker knows of") some records; `None`: nothing.
pub fn misfit(
    place: &str,
    watches: &[Watch],
    journal: &ParsedHeader,
    end: &End,
    who_knows: &str,
) -> Option<String> {
    let generation = journal.header.generation;
    let newest = watches
        .iter()
        .map(|w| (w.at.generation, w.at.sequence))
        .max();
    let worst = watches
        .iter()
        .filter_map(|w| Some((w.astray(journal, end)?, w.at)))
        // Where the newest one is there, one of long ago need not be told.
        .filter(|(why, at)| *why != Astray::Untold || newest == Some((at.generation, at.sequence)))
        .min_by_key(|(why, at)| (*why != Astray::OtherBranch, u64::MAX - at.sequence));
    let (why, at) = worst?;
    let remembered = format!("record {} of generation {}", at.sequence, at.generation);
    Some(match why {
        Astray::OtherBranch => format!(
            "{place} is another branch of the same file: {who_knows} another record {}. Two servers have written to \
             copies of one keyring",
            at.sequence
        ),
        Astray::Older => format!(
            "{place} is an older copy: it ends with record {} of generation {generation}, {who_knows} {remembered}",
            end.sequence
        ),
        Astray::RewrittenBehind(last) => format!(
            "{place} is an older copy: it was rewritten when generation {} had its records up to {last}, {who_knows} \
             {remembered}",
            at.generation
        ),
        Astray::Untold => format!(
            "{place} was rewritten {} times since {remembered}, which {who_knows}. It names its last {} generations, so \
             nothing tells whether it is an older copy",
            generation - at.generation,
            lineage::MOST
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::header::Header;
    use crate::format::lineage::{Ancestor, Lineage};

    fn end(sequence: u64) -> End {
        End {
            offset: 0,
            sequence,
            chain: [sequence as u8; MAC],
            torn: 0,
        }
    }

    /// A journal of `generation`: each generation before it ended with the record `10 * generation`, its own records are
    /// `10 * (generation - 1) + 2` up to `last`.
    fn journal(generation: u64) -> (ParsedHeader, u64) {
        let mut lineage = Lineage::default();
        for before in 1..generation {
            lineage.push(Ancestor {
                header: [before as u8; SHORT],
                sequence: 10 * before,
                chain: [(10 * before) as u8; SHORT],
            });
        }
        let base = 10 * (generation - 1) + 1;
        let header = Header {
            features: Default::default(),
            file_id: [1; 16],
            generation,
            base_sequence: base,
            lineage,
            whole_to: base,
            salt: [0; 32],
            written_at: 0,
            stanzas: Vec::new(),
        };
        let parsed = ParsedHeader {
            header,
            length: 0,
            mac: [generation as u8; MAC],
        };
        (parsed, base)
    }

    fn verdict(generation: u64, last: u64, at: Waypoint) -> Option<Astray> {
        let (journal, base) = journal(generation);
        let mut watch = Watch::new(at);
        (base..=last).for_each(|n| watch.pass(generation, &end(n)));
        watch.astray(&journal, &end(last))
    }

    fn at(generation: u64, sequence: u64, chain: u8) -> Waypoint {
        Waypoint {
            generation,
            sequence,
            chain: [chain; MAC],
            header: [generation as u8; SHORT],
        }
    }

    #[test]
    fn what_each_journal_is_to_who_remembers_a_record() {
        use Astray::{Older, OtherBranch, RewrittenBehind, Untold};
        // Generation 3 has records 22 to 25 behind a header at 21; the ones before ended with 10 and 20.
        let table = [
            (at(3, 25, 25), None, "the last record"),
            (at(3, 22, 22), None, "an earlier one"),
            (at(3, 21, 21), None, "the header alone"),
            (at(3, 26, 26), Some(Older), "one that is not there"),
            (at(3, 25, 9), Some(OtherBranch), "another in its place"),
            (at(3, 21, 9), Some(OtherBranch), "another rewrite"),
            (at(3, 3, 3), Some(OtherBranch), "a number before it"),
            // A generation that is remembered and not there.
            (at(4, 40, 40), Some(Older), "rewritten since"),
            (at(4, 22, 22), Some(Older), "whatever the number"),
            // The generation before.
            (at(2, 20, 20), None, "the last before the rewrite"),
            (at(2, 12, 12), None, "an older bound"),
            (at(2, 20, 8), Some(OtherBranch), "another last one"),
            (at(2, 21, 21), Some(RewrittenBehind(20)), "without it"),
            // Two generations before: numbers that rewrites have used up since prove nothing.
            (at(1, 5, 5), None, "an older bound"),
            (at(1, 10, 10), None, "the last of it"),
            (at(1, 10, 8), Some(OtherBranch), "another last one"),
            (at(1, 11, 11), Some(RewrittenBehind(10)), "without it"),
            (at(1, 19, 19), Some(RewrittenBehind(10)), "without it"),
        ];
        for (at, expected, what) in table {
            assert_eq!(verdict(3, 25, at), expected, "{what}");
            // The same number, but another file that had it.
            if at.generation <= 3 {
                let header = [99; SHORT];
                let other = verdict(3, 25, Waypoint { header, ..at });
                assert_eq!(other, Some(OtherBranch), "{what}");
            }
        }
        for (now, expected) in [(65, None), (66, Some(Untold))] {
            assert_eq!(verdict(now, 10 * now, at(1, 10, 10)), expected);
        }
    }

    #[test]
    fn one_of_long_ago_need_not_be_told_where_the_newest_is_there() {
        let (journal, _) = journal(90);
        let said = |remembered: &[Waypoint]| {
            let watches: Vec<_> = remembered.iter().copied().map(Watch::new).collect();
            misfit("'f'", &watches, &journal, &end(900), "the marker knows of")
        };
        assert_eq!(said(&[at(40, 400, 144), at(2, 20, 20)]), None);
        let why = said(&[at(2, 20, 20), at(1, 10, 10)]).unwrap();
        assert!(
            why.contains("was rewritten 88 times since record 20"),
            "{why}"
        );
        let why = said(&[at(40, 400, 9), at(90, 999, 0)]).unwrap();
        assert!(why.contains("another branch"), "the worst is told: {why}");
    }
}
