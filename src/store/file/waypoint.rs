//! Whether a journal holds a record that somebody remembers: the marker, or a server's memory at RELOAD.
//!
//! Owns the difference between "the same file, further on", "an older copy" and "another branch". It must never
//! take a copy that lacks the remembered record for the same file, and touches nothing on disk.

use super::layout::Header;
use super::scan::End;
use crate::envelope::MAC;

/// A record that was seen: "the journal must contain this".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waypoint {
    /// The generation in which it was seen.
    pub generation: u64,
    /// The sequence number.
    pub sequence: u64,
    /// The chain value behind that record.
    pub chain: [u8; MAC],
}

/// What is wrong with a journal that does not hold a waypoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Astray {
    /// It ends, or was rewritten, before that record.
    Older,
    /// It has another record in its place.
    OtherBranch,
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
    pub fn astray(&self, header: &Header, end: &End) -> Option<Astray> {
        let Waypoint {
            generation,
            sequence,
            chain,
        } = self.at;
        let before = &header.before;
        if header.generation < generation {
            return Some(Astray::Older);
        }
        if header.generation == generation {
            return match self.met {
                Some(met) if met == chain => None,
                None if sequence > end.sequence => Some(Astray::Older),
                _ => Some(Astray::OtherBranch),
            };
        }
        // Rewritten since. A rewrite begins at least one number behind the last one.
        let direct = header.generation - generation == 1;
        match before.sequence.cmp(&sequence) {
            std::cmp::Ordering::Greater => None,
            std::cmp::Ordering::Equal if direct && before.chain == chain => None,
            std::cmp::Ordering::Equal if direct => Some(Astray::OtherBranch),
            _ => Some(Astray::Older),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Before;
    use super::*;

    fn end(sequence: u64) -> End {
        End {
            offset: 0,
            sequence,
            chain: [sequence as u8; MAC],
            torn: 0,
        }
    }

    /// A journal of `generation` with the records `base` + 1 to `last`, rewritten behind record `before`.
    fn verdict(
        generation: u64,
        base: u64,
        last: u64,
        before: (u64, u8),
        at: Waypoint,
    ) -> Option<Astray> {
        let header = Header {
            file_id: [1; 16],
            generation,
            base_sequence: base,
            before: Before {
                sequence: before.0,
                chain: [before.1; MAC],
            },
            whole_to: base,
            salt: [0; 32],
            written_at: 0,
            stanzas: Vec::new(),
        };
        let mut watch = Watch::new(at);
        (base..=last).for_each(|n| watch.pass(generation, &end(n)));
        watch.astray(&header, &end(last))
    }

    fn at(generation: u64, sequence: u64, chain: u8) -> Waypoint {
        Waypoint {
            generation,
            sequence,
            chain: [chain; MAC],
        }
    }

    #[test]
    fn what_each_journal_is_to_who_remembers_a_record() {
        use Astray::{Older, OtherBranch};
        let table = [
            // The same generation, records 21 to 25 behind a header at 20.
            (2, (19, 7), at(2, 25, 25), None, "the last record"),
            (2, (19, 7), at(2, 22, 22), None, "an earlier one"),
            (2, (19, 7), at(2, 20, 20), None, "the header alone"),
            (
                2,
                (19, 7),
                at(2, 26, 26),
                Some(Older),
                "one that is not there",
            ),
            (
                2,
                (19, 7),
                at(2, 25, 9),
                Some(OtherBranch),
                "another in its place",
            ),
            (
                2,
                (19, 7),
                at(2, 20, 9),
                Some(OtherBranch),
                "another rewrite",
            ),
            (
                2,
                (19, 7),
                at(2, 3, 3),
                Some(OtherBranch),
                "a number before it",
            ),
            // A generation that is remembered and not there.
            (2, (19, 7), at(3, 30, 30), Some(Older), "rewritten since"),
            (
                2,
                (19, 7),
                at(3, 22, 22),
                Some(Older),
                "whatever the number",
            ),
            // The generation before.
            (
                2,
                (19, 7),
                at(1, 19, 7),
                None,
                "the last before the rewrite",
            ),
            (2, (19, 7), at(1, 12, 12), None, "an older bound"),
            (
                2,
                (19, 7),
                at(1, 19, 8),
                Some(OtherBranch),
                "another last one",
            ),
            (
                2,
                (19, 7),
                at(1, 20, 20),
                Some(Older),
                "rewritten without it",
            ),
            // Two generations before.
            (3, (19, 7), at(1, 12, 12), None, "an older bound"),
            (
                3,
                (19, 7),
                at(1, 19, 7),
                Some(Older),
                "one rewrite lies between",
            ),
            (
                3,
                (19, 7),
                at(1, 20, 7),
                Some(Older),
                "rewritten without it",
            ),
        ];
        for (generation, before, at, expected, what) in table {
            assert_eq!(verdict(generation, 20, 25, before, at), expected, "{what}");
        }
    }
}
