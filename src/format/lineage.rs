//! The generations that a keyring file had before its present one, as far back as its header names them.
//!
//! Owns the bound on how many are named. It must never say that a file comes from a generation that it does not name.

use crate::envelope::{MAC, TAG};

/// How many generations a header names: the last ones.
pub const MOST: usize = 64;
/// Bytes that are kept of a header's MAC and of a chain value.
pub const SHORT: usize = TAG;
/// Bytes of one generation in a header.
pub const ANCESTOR: usize = SHORT + 8 + SHORT;

/// A generation that was rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// The beginning of its header's MAC: which of all files that could have had this number.
    pub header: [u8; SHORT],
    /// The number of its last record.
    pub sequence: u64,
    /// The beginning of the chain value behind that record.
    pub chain: [u8; SHORT],
}

/// The generations before the present one, the oldest first, without a gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage(Vec<Ancestor>);

impl Lineage {
    /// The lineage that a file of generation `now` names, whose records begin behind `base_sequence`. `None`: no file has
    /// such a one.
    pub fn new(all: Vec<Ancestor>, now: u64, base_sequence: u64) -> Option<Lineage> {
        let whole = all.len() as u64 == now.checked_sub(1)?.min(MOST as u64);
        // A rewrite begins at least one number behind the last record.
        let numbers = all.iter().map(|a| a.sequence).chain([base_sequence]);
        let ascending = all.is_empty() || numbers.is_sorted_by(|a, b| a < b);
        (whole && ascending).then_some(Lineage(all))
    }

    /// The present generation was rewritten, too.
    pub fn push(&mut self, last: Ancestor) {
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(last);
    }

    /// All of them.
    pub fn all(&self) -> &[Ancestor] {
        &self.0
    }

    /// What is named of a generation, in a file of the later generation `now`. `None`: it is too long ago.
    pub fn find(&self, generation: u64, now: u64) -> Option<&Ancestor> {
        let back = usize::try_from(now.checked_sub(generation)?).ok()?;
        self.0.get(self.0.len().checked_sub(back)?)
    }
}

/// The beginning of a header's MAC or of a chain value.
pub fn short(bytes: &[u8; MAC]) -> [u8; SHORT] {
    let mut out = [0; SHORT];
    out.copy_from_slice(&bytes[..SHORT]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ancestor(generation: u64) -> Ancestor {
        Ancestor {
            header: [generation as u8; SHORT],
            sequence: 10 * generation,
            chain: [0; SHORT],
        }
    }

    #[test]
    fn the_last_generations_are_named() {
        let mut lineage = Lineage::default();
        for now in 2..200 {
            lineage.push(ancestor(now - 1));
            let named = lineage.all().len() as u64;
            assert_eq!(named, (now - 1).min(MOST as u64));
            for generation in 1..now {
                let expected = (now - generation <= named).then(|| ancestor(generation));
                assert_eq!(lineage.find(generation, now), expected.as_ref());
            }
            assert_eq!(
                (lineage.find(now, now), lineage.find(now + 1, now)),
                (None, None)
            );
        }
    }

    #[test]
    fn a_lineage_is_whole_and_its_numbers_ascend() {
        let of = |generations: std::ops::Range<u64>, now, base| {
            Lineage::new(generations.map(ancestor).collect(), now, base).is_some()
        };
        assert!(of(0..0, 1, 0) && of(1..2, 2, 11) && of(1..7, 7, 61));
        assert!(of(37..101, 101, 1001), "64 of 100");
        assert!(!of(0..0, 0, 0), "there is no generation 0");
        assert!(!of(0..0, 2, 11) && !of(1..2, 1, 11), "too few, too many");
        assert!(!of(36..101, 101, 1001) && !of(38..101, 101, 1001));
        assert!(!of(1..2, 2, 10), "it begins behind its last record");
        let twice = vec![ancestor(1), ancestor(1)];
        assert_eq!(Lineage::new(twice, 3, 30), None);
    }
}
