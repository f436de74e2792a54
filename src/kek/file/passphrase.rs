//! The KEK provider `passphrase`: Argon2id (RFC 9106) over a passphrase from a file.
//!
//! Owns the parameters and their bounds. It must never keep the passphrase or what was derived
//! from it beyond one call.

use super::{Budget, Kek, Unwrapped, local};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY, WrapKeys};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::{SecretBytes, SecretPool, fill_random, wipe_stack};
use crate::secret_source::SecretRef;
use crate::secret_source::{self, Warnings};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroize;

/// The provider's name in stanzas.
pub const PROVIDER: &str = "passphrase";
const MECHANISM: &str = "argon2id+aes-256-gcm";
const SALT: usize = 16;
const OP: &str = "read the passphrase";
/// Memory in KiB, passes and lanes of new stanzas: RFC 9106's second recommendation with one lane.
const DEFAULT: (u32, u32, u32) = (64 * 1024, 3, 1);
/// A passphrase of fewer characters is not taken for a new keyring. One that has it already is opened, with a word.
const MIN_NEW: usize = 8;
/// Upper bounds on what a file may ask for: four times the memory of ours. A server under a memory limit has to
/// survive the attempt, because nobody has authenticated the file yet.
const LIMIT: (u32, u32, u32) = (256 * 1024, 16, 8);

/// A passphrase in a file or a systemd credential: one line, whose end is not part of it.
pub struct Passphrase {
    source: SecretRef,
    warnings: Warnings,
}

struct Cost {
    kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT],
}

impl Cost {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + SALT);
        for n in [self.kib, self.passes, self.lanes] {
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        bytes.extend_from_slice(&self.salt);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Cost> {
        let bad = |why: &str| {
            Error::new(
                Kind::Tampered,
                "read the passphrase stanza",
                why.to_string(),
            )
            .hint("This is not a file that Keyring Ward wrote; restore it from a backup.")
        };
        if bytes.len() != 12 + SALT {
            return Err(bad("its parameters have a wrong length"));
        }
        let n = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let (kib, passes, lanes) = (n(0), n(4), n(8));
        if !(1..=LIMIT.1).contains(&passes)
            || !(1..=LIMIT.2).contains(&lanes)
            || !(8 * lanes..=LIMIT.0).contains(&kib)
        {
            return Err(bad("its Argon2id parameters are out of bounds"));
        }
        let mut salt = [0; SALT];
        salt.copy_from_slice(&bytes[12..]);
        Ok(Cost {
            kib,
            passes,
            lanes,
            salt,
        })
    }
}

impl Passphrase {
    /// A passphrase that is read anew each time it is needed.
    pub fn new(source: SecretRef) -> Passphrase {
        Passphrase {
            source,
            warnings: Warnings::default(),
        }
    }

    fn read(&self, pool: &SecretPool) -> Result<SecretBytes> {
        let mut warnings = Vec::new();
        let text = secret_source::line(pool, OP, &self.source, &mut warnings)?;
        if is_short(&text) {
            warnings.push(format!(
                "The passphrase in {} is shorter than {MIN_NEW} characters: whoever has the keyring file can guess it. \
                 Run keyring-ward rekey with a longer one.",
                self.source
            ));
        }
        self.warnings.add(warnings);
        Ok(text)
    }

    fn derive(&self, pool: &SecretPool, cost: &Cost) -> Result<WrapKeys> {
        let internal = |e: argon2::Error| {
            Error::new(
                Kind::Internal,
                "derive the key from the passphrase",
                e.to_string(),
            )
        };
        let passphrase = self.read(pool)?;
        let params =
            Params::new(cost.kib, cost.passes, cost.lanes, Some(2 * KEY)).map_err(internal)?;
        let mut blocks = blocks(params.block_count())?;
        let mut out = pool.zeroed(2 * KEY)?;
        let result = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(&passphrase, &cost.salt, &mut out, &mut blocks);
        blocks.iter_mut().for_each(Zeroize::zeroize);
        wipe_stack();
        result.map_err(internal)?;
        WrapKeys::new(out)
    }
}

/// Memory for Argon2id. It is large, so that there may be none.
fn blocks(count: usize) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|_| {
        Error::new(
            Kind::Io,
            "derive the key from the passphrase",
            format!(
                "there is no memory for Argon2id, which needs {} MiB",
                (count * Block::SIZE) >> 20
            ),
        )
        .hint("Give the process more memory (MemoryMax= in the systemd unit, ulimit -v), or use a key file. Nothing was changed.")
    })?;
    blocks.resize(count, Block::default());
    Ok(blocks)
}

impl Kek for Passphrase {
    fn describe(&self) -> String {
        format!("passphrase from {}", self.source)
    }

    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        _deadline: Deadline,
    ) -> Result<Stanza> {
        let (kib, passes, lanes) = DEFAULT;
        let mut cost = Cost {
            kib,
            passes,
            lanes,
            salt: [0; SALT],
        };
        fill_random(&mut cost.salt)?;
        let keys = self.derive(pool, &cost)?;
        local::wrap(&keys, (PROVIDER, MECHANISM), cost.to_bytes(), file_id, part)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == PROVIDER && stanza.mechanism == MECHANISM
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        if !self.is_mine(stanza) {
            return Ok(Unwrapped::NotMine);
        }
        let cost = Cost::from_bytes(&stanza.params)?;
        budget.spend(cost.kib, cost.passes)?;
        let keys = self.derive(pool, &cost)?;
        local::unwrap(pool, &keys, file_id, stanza)
    }

    fn probe(&self, pool: &SecretPool, _deadline: Deadline) -> Result<()> {
        self.read(pool).map(drop)
    }

    fn check_new(&self, pool: &SecretPool) -> Result<()> {
        if !is_short(&self.read(pool)?) {
            return Ok(());
        }
        let why = format!("{} has fewer than {MIN_NEW} characters", self.source);
        Err(Error::new(Kind::InvalidInput, OP, why).hint(
            "Take a longer one, or let it be made: --generate. Nothing of the keyring was changed.",
        ))
    }

    fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }
}

fn is_short(text: &[u8]) -> bool {
    // In another encoding than UTF-8 a character is counted as a byte.
    let characters = std::str::from_utf8(text).map_or(text.len(), |t| t.chars().count());
    characters < MIN_NEW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_bounded() {
        let cost = |kib, passes, lanes| {
            Cost {
                kib,
                passes,
                lanes,
                salt: [0; SALT],
            }
            .to_bytes()
        };
        assert!(Cost::from_bytes(&cost(65536, 3, 1)).is_ok());
        let bad = [
            (0, 3, 1),
            (7, 3, 1),
            (u32::MAX, 3, 1),
            (65536, 0, 1),
            (65536, 17, 1),
            (256 * 1024 + 1, 1, 1),
            (1024 * 1024, 4, 1),
            (65536, 3, 0),
            (65536, 3, u32::MAX),
        ];
        for (kib, passes, lanes) in bad {
            assert!(
                Cost::from_bytes(&cost(kib, passes, lanes)).is_err(),
                "{kib} {passes} {lanes}"
            );
        }
        assert!(Cost::from_bytes(&cost(256 * 1024, 16, 8)).is_ok());
        assert!(Cost::from_bytes(&[0; 27]).is_err());
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        let e = blocks(usize::MAX / Block::SIZE / 4).map(drop).unwrap_err();
        assert_eq!(e.kind(), Kind::Io);
        assert!(e.to_string().contains("no memory for Argon2id"), "{e}");
        assert_eq!(blocks(8).unwrap().len(), 8);
    }

    #[test]
    fn the_budget_of_all_stanzas_is_capped() {
        let mut budget = Budget::new(Deadline::after(std::time::Duration::from_secs(9)));
        assert!(budget.spend(256 * 1024, 16).is_ok());
        assert!(budget.spend(8, 1).is_err());
    }

    #[test]
    fn a_short_one_is_not_taken_for_a_new_keyring_but_opens_an_old_one() {
        use crate::secret_source::Held;
        let pool = SecretPool::new();
        for (text, short) in [
            ("x", true),
            ("seven77", true),
            ("größe42", true),
            ("eight888", false),
        ] {
            let held = Held::new(pool.copy(text.as_bytes()).unwrap());
            let kek = Passphrase::new(SecretRef::Held(held));
            assert_eq!(kek.check_new(&pool).is_err(), short, "{text}");
            kek.take_warnings();
            kek.read(&pool).unwrap();
            assert_eq!(kek.take_warnings().len(), usize::from(short), "{text}");
        }
    }
}
