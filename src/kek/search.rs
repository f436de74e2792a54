//! One KEK and the stanzas of a file: which one it opens.
//!
//! Owns the search of one KEK, which may be several keys of one provider, and what is said where the only KEK opens
//! nothing. It must never take a share for a DEK.

use super::{Budget, Kek, Unwrapped};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::secret::{SecretBytes, SecretPool};
use crate::text::clean;

/// What the searches are for.
pub(super) const OP: &str = "open the keyring file";

/// A part of a DEK, and what gave it.
pub struct Found {
    /// The part: the DEK, or a share of it.
    pub dek: SecretBytes,
    /// The index of the key among the KEK's.
    pub kek: usize,
    /// The index of the stanza.
    pub stanza: usize,
}

/// What became of a search.
pub(super) enum Tried {
    /// One was opened.
    Found(Found),
    /// Stanzas of the provider are there, and none is this KEK's.
    Refused,
    /// No stanza is of the provider.
    NotMine,
}

/// Tries `keys` on `stanzas`, which come with their indices. The first key is tried on all stanzas before the next one,
/// so that one call is enough where it fits.
///
/// # Errors
/// One that could not be tried, where none was opened. Most is said by one that leaves it open whether the key would have
/// fitted: while that one can't be asked, the KEK as a whole has refused nothing (a lease counts on it).
pub(super) fn search(
    pool: &SecretPool,
    keys: &[Box<dyn Kek>],
    file_id: &[u8; FILE_ID],
    stanzas: &[(usize, &Stanza)],
    budget: &mut Budget,
) -> Result<Tried> {
    let mut refused = false;
    let mut failure = None;
    for (kek, key) in keys.iter().enumerate() {
        for (stanza, wrapped) in stanzas {
            match key.unwrap(pool, file_id, wrapped, budget) {
                Ok(Unwrapped::Opened(dek)) if dek.len() == KEY => {
                    let stanza = *stanza;
                    return Ok(Tried::Found(Found { dek, kek, stanza }));
                }
                Ok(Unwrapped::Opened(_) | Unwrapped::WrongKey) => refused = true,
                Ok(Unwrapped::NotMine) => {}
                // What could not be tried says more than what did not fit.
                Err(e) => {
                    let better = |old: &Error| weight(&e) > weight(old);
                    if failure.as_ref().is_none_or(better) {
                        failure = Some(e);
                    }
                }
            }
        }
    }
    match failure {
        Some(e) => Err(e),
        None if refused => Ok(Tried::Refused),
        None => Ok(Tried::NotMine),
    }
}

/// How much is still open where a key gave this error: nothing where it does not fit, little where its use is refused.
fn weight(e: &Error) -> u8 {
    match e.kind() {
        Kind::WrongKek => 0,
        _ if e.is_withdrawn() => 1,
        _ => 2,
    }
}

/// Finds the stanza that one of `keks`, the keys of the only KEK, opens.
///
/// # Errors
/// WrongKek where none fits; the KEKs' own errors where none could be tried.
pub fn open_dek(
    pool: &SecretPool,
    keks: &[Box<dyn Kek>],
    file_id: &[u8; FILE_ID],
    stanzas: &[Stanza],
    deadline: Deadline,
) -> Result<Found> {
    let mut budget = Budget::new(deadline);
    let whole: Vec<_> = (stanzas.iter().enumerate())
        .filter(|(_, stanza)| stanza.share().is_none())
        .collect();
    match search(pool, keks, file_id, &whole, &mut budget)? {
        Tried::Found(found) => Ok(found),
        Tried::Refused => Err(refused(keks)),
        Tried::NotMine => Err(nobodys(pool, keks, stanzas, deadline)),
    }
}

fn all_of(keks: &[Box<dyn Kek>]) -> String {
    let configured: Vec<String> = keks.iter().map(|k| k.describe()).collect();
    configured.join(", ")
}

/// The stanzas of the KEK's provider are not the KEK's.
pub(super) fn refused(keks: &[Box<dyn Kek>]) -> Error {
    let configured = all_of(keks);
    Error::new(
        Kind::WrongKek,
        OP,
        format!("the configured KEK ({configured}) is not the one that wrapped its DEK"),
    )
    .hint(
        "Put back the passphrase, key file or token that this keyring is under now (a rekey may have changed it: name the new \
         one in the configuration), or the keyring file that belongs to it. Nothing was changed.",
    )
}

/// No stanza is of the KEK's provider.
fn nobodys(
    pool: &SecretPool,
    keks: &[Box<dyn Kek>],
    stanzas: &[Stanza],
    deadline: Deadline,
) -> Error {
    // A KEK that is broken itself is the better news, if it is not taken for something else than it is (a key file for a
    // passphrase).
    if let Some(Err(e)) = keks.first().map(|kek| kek.probe(pool, deadline))
        && e.kind() != Kind::InvalidInput
    {
        return e;
    }
    // Nothing has authenticated them.
    let mut present: Vec<String> = stanzas.iter().map(|s| clean(&s.provider)).collect();
    present.dedup();
    let configured = all_of(keks);
    Error::new(
        Kind::WrongKek,
        OP,
        format!(
            "its DEK is wrapped by '{}', the configuration names {configured}",
            present.join("', '")
        ),
    )
    .hint(
        "Name the KEK that it is under: key_file (--key-file, --key-file-fd) for a key file, passphrase_file (--passphrase-file, \
         --passphrase-fd) for a passphrase, else the token or KMS key. Nothing was changed.",
    )
}

/// The file has nothing that this KEK could open.
pub(super) fn no_stanza(kek: &str) -> Error {
    let why = format!("the keyring has no stanza for the {kek}");
    Error::new(Kind::WrongKek, OP, why)
        .hint("keyring-ward kek sync wraps the DEK for it, where others open the keyring.")
}

/// A stanza of a KEK holds another DEK than the file's.
pub(super) fn another_dek(kek: &str) -> Error {
    let why = format!("the stanza for the {kek} holds another DEK than this keyring's");
    Error::new(Kind::Tampered, OP, why).hint("Restore the file from a backup.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::stanza::Part;
    use std::time::Duration;

    /// A key that gives this error for each stanza.
    struct Failing(Error);

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
            true
        }
        fn unwrap(
            &self,
            _: &SecretPool,
            _: &[u8; FILE_ID],
            _: &Stanza,
            _: &mut Budget,
        ) -> Result<Unwrapped> {
            let e = Error::new(self.0.kind(), OP, "no");
            Err(match self.0.is_withdrawn() {
                true => e.withdrawn(),
                false => e,
            })
        }
        fn probe(&self, _: &SecretPool, _: Deadline) -> Result<()> {
            Ok(())
        }
    }

    /// The new key is disabled, the old one, which wrapped the DEK, can't be asked: nobody has refused.
    #[test]
    fn a_key_that_can_not_be_asked_says_more_than_one_that_refuses() {
        let pool = SecretPool::new();
        let stanza = Stanza::begin(("p", "m"), "k".into(), None, Vec::new());
        let of = |kind| Error::new(kind, OP, "no");
        let refuses = || of(Kind::Denied).withdrawn();
        let away = || of(Kind::Unreachable);
        let other = || of(Kind::WrongKek);
        for (a, b, kind, withdrawn) in [
            (refuses(), away(), Kind::Unreachable, false),
            (away(), refuses(), Kind::Unreachable, false),
            (other(), refuses(), Kind::Denied, true),
            (refuses(), other(), Kind::Denied, true),
            (other(), away(), Kind::Unreachable, false),
            (away(), of(Kind::Denied), Kind::Unreachable, false),
        ] {
            let keys: [Box<dyn Kek>; 2] = [Box::new(Failing(a)), Box::new(Failing(b))];
            let mut budget = Budget::new(Deadline::after(Duration::from_secs(5)));
            let tried = search(&pool, &keys, &[0; FILE_ID], &[(0, &stanza)], &mut budget);
            let e = tried.err().unwrap();
            assert_eq!((e.kind(), e.is_withdrawn()), (kind, withdrawn));
        }
    }
}
