//! What KEKs are asked about: a keyring's DEK and stanzas, apart from its store.
//!
//! Owns the part of a change of KEKs that may wait for a network, so that neither readers nor writers wait for it: the store
//! gives a basis, the KEKs wrap, and the store takes what they made if nothing else has changed its stanzas meanwhile. It
//! must never write.

use super::header::new_dek;
use crate::deadline::Deadline;
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::kek::answers::Answers;
use crate::kek::completing::{SyncOutcome, Synced};
use crate::kek::{Budget, Kek, Keks, Unwrapped};
use crate::secret::{SecretBytes, SecretPool};
use std::sync::Arc;
use std::time::Duration;

/// A keyring's DEK and its wraps as they were.
pub struct Basis {
    pub(super) keks: Arc<Keks>,
    pub(super) pool: SecretPool,
    pub(super) file_id: [u8; FILE_ID],
    pub(super) stanzas: Vec<Stanza>,
    pub(super) dek: SecretBytes,
}

/// A DEK and its wraps as they shall be.
pub struct Rewrapped {
    /// The file and the stanzas that it is made from.
    pub(super) file_id: [u8; FILE_ID],
    pub(super) from: Vec<Stanza>,
    pub(super) dek: SecretBytes,
    pub(super) stanzas: Vec<Stanza>,
}

impl Basis {
    /// Asks each KEK for `patience` at the longest to open its stanza; what came of it stands in
    /// [`super::StoreInfo::keks`] then.
    pub fn test(&self, patience: Duration) {
        let until = || Deadline::after(patience);
        self.keks
            .test(&self.pool, &self.file_id, &self.stanzas, &self.dek, &until);
    }

    /// The same for each KEK within `patience` together, and what all of them said.
    pub fn ask(&self, patience: Duration) -> Answers {
        let end = Deadline::after(patience);
        // One that hangs leaves something for the next.
        let until = || match self.keks.count_tried() {
            1 => end,
            _ => end.third(),
        };
        self.keks
            .test(&self.pool, &self.file_id, &self.stanzas, &self.dek, &until);
        self.keks.answers()
    }

    /// Every wrap of the DEK is one that `kek` opens, so that a rekey to it would change nothing.
    ///
    /// # Errors
    /// The KEK can't be read or reached.
    pub fn is_under(&self, kek: &dyn Kek, deadline: Deadline) -> Result<bool> {
        let mut budget = Budget::new(deadline);
        for stanza in &self.stanzas {
            match kek.unwrap(&self.pool, &self.file_id, stanza, &mut budget) {
                Ok(Unwrapped::Opened(_)) => {}
                Ok(Unwrapped::NotMine | Unwrapped::WrongKey) => return Ok(false),
                Err(e) if e.kind() == Kind::WrongKek => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// A new DEK for the next rekey.
    ///
    /// # Errors
    /// Those of the KEK's generator.
    pub fn new_dek(&self, keks: &Keks, deadline: Deadline) -> Result<SecretBytes> {
        new_dek(&self.pool, keks, deadline)
    }

    /// The DEK, or `new` in its place, under all of `keks`.
    ///
    /// # Errors
    /// Those of a KEK that does not wrap.
    pub fn rekey(
        &self,
        keks: &Keks,
        new: Option<&SecretBytes>,
        deadline: Deadline,
    ) -> Result<Rewrapped> {
        let dek = self.pool.copy(new.unwrap_or(&self.dek))?;
        let stanzas = keks.wrap(&self.pool, &self.file_id, &dek, deadline)?;
        Ok(self.rewrapped(dek, stanzas))
    }

    /// Wraps the DEK for every KEK of `keks` that has no valid stanza, and gives what became of each. `strict`: for all, or
    /// nothing is to be written. To ask all of them has the time of one, and so has wrapping.
    ///
    /// # Errors
    /// Config: the DEK is split, and must be split anew, and shares are there for KEKs that are not among `keks`.
    pub fn sync(
        &self,
        keks: &Keks,
        strict: bool,
        patience: Duration,
    ) -> Result<(Option<Rewrapped>, Vec<Synced>)> {
        let (pool, id, old) = (&self.pool, &self.file_id, &self.stanzas);
        let asked = Deadline::after(patience);
        keks.test(pool, id, old, &self.dek, &|| asked.third());
        let wrapped = Deadline::after(patience);
        let (made, synced) = keks.complete(pool, id, old, &self.dek, wrapped)?;
        let failed = |s: &Synced| matches!(s.outcome, SyncOutcome::Failed(_));
        if made == *old || strict && synced.iter().any(failed) {
            return Ok((None, synced));
        }
        Ok((Some(self.rewrapped(pool.copy(&self.dek)?, made)), synced))
    }

    fn rewrapped(&self, dek: SecretBytes, stanzas: Vec<Stanza>) -> Rewrapped {
        Rewrapped {
            file_id: self.file_id,
            from: self.stanzas.clone(),
            dek,
            stanzas,
        }
    }
}

impl Rewrapped {
    /// Checks that the stanzas are still those that it was made from.
    ///
    /// # Errors
    /// Locked: another change was quicker.
    pub(super) fn check(&self, file_id: &[u8; FILE_ID], stanzas: &[Stanza]) -> Result<()> {
        if (file_id, stanzas) == (&self.file_id, &self.from[..]) {
            return Ok(());
        }
        let why = "another change of the KEKs came first";
        Err(Error::new(Kind::Locked, "change the KEKs", why).hint(
            "Nothing was changed. Look what is there now (keyring_ward_status), and try again.",
        ))
    }
}
