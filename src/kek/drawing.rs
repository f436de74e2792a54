//! Drawing random bytes of the configured source.
//!
//! Owns which KEK is asked for them. It must never be called where the server waits for a write.

use super::keks::Keks;
use super::member::Use;
use super::randomness::{Random, Source};
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::os::hardware_random;
use crate::secret::{SecretBytes, SecretPool};

const OP: &str = "get random bytes of a KEK";

impl Keks {
    /// The same KEKs with this choice.
    pub fn with_random(self, random: Random) -> Keks {
        Keks { random, ..self }
    }

    /// `length` bytes of the configured source; `None`: there is none beside the system.
    ///
    /// # Errors
    /// The source gives none.
    pub fn draw(
        &self,
        pool: &SecretPool,
        length: usize,
        deadline: Deadline,
    ) -> Result<Option<SecretBytes>> {
        let drawn = match self.random.source {
            Source::System => return Ok(None),
            Source::Hardware => hardware_random::bytes(pool, length),
            Source::Kek => self.draw_of_kek(pool, length, deadline),
        };
        match drawn {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == Kind::Config && self.random.by_default => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Of the first KEK that gives any.
    fn draw_of_kek(
        &self,
        pool: &SecretPool,
        length: usize,
        deadline: Deadline,
    ) -> Result<SecretBytes> {
        let tried = (self.members.iter()).filter(|m| m.naming.usage == Use::Start);
        let keys: Vec<_> = tried.filter_map(|m| m.keys.first()).collect();
        let with_generator = keys.iter().filter(|key| key.has_generator());
        let mut failure = None;
        for key in with_generator {
            let end = match keys.len() {
                1 => deadline,
                _ => deadline.third(),
            };
            match key.random(pool, length, end) {
                // A generator of zeroes is broken.
                Ok(bytes) if bytes.len() == length && bytes.iter().any(|b| *b != 0) => {
                    return Ok(bytes);
                }
                Ok(_) => {
                    let why = format!("the {} gave no random bytes", key.describe());
                    failure = Some(Error::new(Kind::Internal, OP, why));
                }
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        Err(failure.unwrap_or_else(no_generator))
    }
}

/// None of the KEKs that a server tries has a generator.
fn no_generator() -> Error {
    let why = "no KEK has a random generator";
    Error::new(Kind::Config, OP, why).hint(
        "Set random to system or hardware, or name a KEK that has one (docs/guide/randomness.md).",
    )
}
