//! Random bytes that wait for keys to be generated.
//!
//! Owns the reserve: it is filled outside of every write and used up by them, so that none waits for a network. It must
//! never give a byte twice, and never be the only source of a key.

use super::*;
use crate::kek::MOST_RANDOM;
use crate::kek::randomness::{Random, Source, mix};
use crate::key::extensions::RANDOM;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a source that gave nothing is left alone.
const PAUSE: Duration = Duration::from_secs(30);

/// What is told of the randomness of a keyring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RandomInfo {
    /// What is configured.
    pub random: Random,
    /// Bytes that wait for keys.
    pub reserve: usize,
    /// Keys that were generated with the system's bytes alone, although others were wanted.
    pub missed: u64,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Randomness {
    reserve: Mutex<Reserve>,
    missed: AtomicU64,
}

#[derive(Default)]
struct Reserve {
    bytes: Option<SecretBytes>,
    failed: Option<Instant>,
}

impl Randomness {
    fn reserve(&self) -> MutexGuard<'_, Reserve> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mixes bytes of the reserve into those of a new key. Where there are too few, the key is the system's alone, and is
    /// counted; false.
    fn mix(&self, material: &mut [u8]) -> bool {
        let mut reserve = self.reserve();
        let bytes = reserve.bytes.as_mut();
        match bytes.filter(|bytes| bytes.len() >= material.len()) {
            Some(bytes) => {
                let rest = bytes.len() - material.len();
                mix(material, &bytes[rest..]);
                // What was given is wiped.
                bytes.truncate(rest);
                true
            }
            None => {
                self.missed.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn left(&self) -> usize {
        self.reserve().bytes.as_ref().map_or(0, |bytes| bytes.len())
    }
}

impl Keyring {
    /// Mixes what is configured into the system's bytes of a new key. Gives what its record says of that.
    pub(super) fn mix_random(&self, material: &mut [u8]) -> Option<(u8, Vec<u8>)> {
        let random = self.random();
        let is_mixed = random.keys && self.randomness.mix(material);
        is_mixed.then(|| (RANDOM, random.source.name().into()))
    }

    fn random(&self) -> Random {
        self.config.keks.random
    }

    /// The reserve wants to be filled, and a try is due.
    pub fn wants_random(&self) -> bool {
        if !self.random().keys || self.random().source == Source::System {
            return false;
        }
        let reserve = self.randomness.reserve();
        let left = reserve.bytes.as_ref().map_or(0, |bytes| bytes.len());
        left < MOST_RANDOM / 2 && reserve.failed.is_none_or(|at| at.elapsed() >= PAUSE)
    }

    /// Fills the reserve. It may ask a network, so nobody's write may wait for it.
    ///
    /// # Errors
    /// The source gives nothing: keys are the system's alone meanwhile.
    pub fn fill_random(&self) -> Result<()> {
        let keks = self.config.keks.keks(false);
        let deadline = Deadline::after(self.config.patience.call);
        let drawn = keks.draw(&self.pool, MOST_RANDOM, deadline);
        let mut reserve = self.randomness.reserve();
        match drawn {
            Ok(Some(bytes)) => {
                (reserve.bytes, reserve.failed) = (Some(bytes), None);
                Ok(())
            }
            // Nobody has asked for this source, and it has no generator: not each write is to ask it again.
            Ok(None) => {
                reserve.failed = Some(Instant::now());
                Ok(())
            }
            Err(e) => {
                reserve.failed = Some(Instant::now());
                Err(e)
            }
        }
    }

    /// Fills the reserve by hand.
    #[cfg(test)]
    pub(crate) fn put_random(&self, bytes: SecretBytes) {
        self.randomness.reserve().bytes = Some(bytes);
    }

    /// What is told of it.
    pub(super) fn random_info(&self) -> RandomInfo {
        RandomInfo {
            random: self.random(),
            reserve: self.randomness.left(),
            missed: self.randomness.missed.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_is_given_twice_and_what_is_missing_is_counted() {
        let pool = SecretPool::new();
        let randomness = Randomness::default();
        let mut key = [0; 4];
        randomness.mix(&mut key);
        assert_eq!(
            (key, randomness.missed.load(Ordering::Relaxed)),
            ([0; 4], 1)
        );
        let bytes = pool.copy(&[1, 2, 3, 4, 5, 6]).unwrap();
        randomness.reserve().bytes = Some(bytes);
        randomness.mix(&mut key);
        assert_eq!((key, randomness.left()), ([3, 4, 5, 6], 2));
        // Too few are not used in part.
        let mut other = [0; 4];
        randomness.mix(&mut other);
        assert_eq!((other, randomness.left()), ([0; 4], 2));
        assert_eq!(randomness.missed.load(Ordering::Relaxed), 2);
    }
}
