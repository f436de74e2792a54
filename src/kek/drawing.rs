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
            Err(e) if self.random.by_default && gives_none(&e) => Ok(None),
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

/// It has no generator, or we have no right to it: that is a mistake only where somebody has asked for it.
fn gives_none(e: &Error) -> bool {
    matches!(e.kind(), Kind::Config | Kind::Denied)
}

/// None of the KEKs that a server tries has a generator.
fn no_generator() -> Error {
    let why = "no KEK has a random generator";
    Error::new(Kind::Config, OP, why).hint(
        "Set random to system or hardware, or name a KEK that has one (docs/guide/randomness.md).",
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Budget, Kek, Unwrapped};
    use super::*;
    use crate::envelope::FILE_ID;
    use crate::format::stanza::{Part, Stanza};

    /// A KEK whose generator fails so.
    struct Failing(Kind);

    impl Kek for Failing {
        fn describe(&self) -> String {
            "KEK".into()
        }
        fn wrap(
            &self,
            _: &SecretPool,
            _: &[u8; FILE_ID],
            _: &Part<'_>,
            _: Deadline,
        ) -> Result<Stanza> {
            Err(Error::new(Kind::Internal, "wrap", "not used"))
        }
        fn is_mine(&self, _: &Stanza) -> bool {
            false
        }
        fn unwrap(
            &self,
            _: &SecretPool,
            _: &[u8; FILE_ID],
            _: &Stanza,
            _: &mut Budget,
        ) -> Result<Unwrapped> {
            Ok(Unwrapped::NotMine)
        }
        fn probe(&self, _: &SecretPool, _: Deadline) -> Result<()> {
            Ok(())
        }
        fn has_generator(&self) -> bool {
            true
        }
        fn random(&self, _: &SecretPool, _: usize, _: Deadline) -> Result<SecretBytes> {
            Err(Error::new(self.0, OP, "no"))
        }
    }

    #[test]
    fn a_generator_that_nobody_asked_for_may_be_missing_or_forbidden() {
        let pool = SecretPool::new();
        let draw = |kind, by_default| {
            let random = Random {
                source: Source::Kek,
                keys: false,
                by_default,
            };
            let keks = Keks::lone(vec![Box::new(Failing(kind))]).with_random(random);
            let soon = Deadline::after(std::time::Duration::from_secs(5));
            keks.draw(&pool, 32, soon).map(|bytes| bytes.is_some())
        };
        for kind in [Kind::Config, Kind::Denied] {
            assert!(!draw(kind, true).unwrap());
            assert_eq!(draw(kind, false).unwrap_err().kind(), kind);
        }
        assert!(draw(Kind::Unreachable, true).is_err());
    }
}
