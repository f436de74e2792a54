//! Where new DEKs and keys come from beside the operating system: a KEK's generator, or this machine's hardware.
//!
//! Owns the choice, and the mixing. The system's bytes must never be left out: who knows one of the two knows nothing then.

/// Whose bytes are mixed with the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Nobody's.
    #[default]
    System,
    /// Those of a KEK with a generator, the first one that gives any.
    Kek,
    /// Those of the processor (RDSEED) or of the kernel's device (/dev/hwrng).
    Hardware,
}

impl Source {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Source::System => "system",
            Source::Kek => "kek",
            Source::Hardware => "hardware",
        }
    }
}

/// What is configured of randomness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Random {
    /// Whose bytes.
    pub source: Source,
    /// They go into every generated key as well, and not only into new DEKs.
    pub keys: bool,
    /// Nobody has asked for it: where the KEK has no generator, the system's bytes do.
    pub by_default: bool,
}

/// Mixes `other` into `bytes`: the result is as good as the better of the two. What is missing of `other` changes nothing.
pub fn mix(bytes: &mut [u8], other: &[u8]) {
    bytes.iter_mut().zip(other).for_each(|(a, b)| *a ^= b);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_takes_nothing_away() {
        let mut bytes = [1, 2, 3, 4];
        mix(&mut bytes, &[0xff, 0, 1]);
        assert_eq!(bytes, [0xfe, 2, 2, 4]);
    }
}
