//! What is done to a keyring as a whole: made, compacted, brought under another KEK.
//!
//! It must never bring a keyring under a DEK that the configuration does not admit, nor move keys onto a token or off it.

use super::*;
use crate::audit::entry::Entry;
use crate::audit::event::Event;
use crate::envelope::fingerprint;
use crate::kek::Keks;
use crate::kek::answers::Answers;
use crate::store::{Basis, Rewrapped};

impl By<'_> {
    /// What the audit log tells of a rewrite that the caller wants.
    fn rewrites(&self, what: &str) -> Vec<Entry> {
        let actor = self.caller().actor().unwrap_or_default();
        vec![Entry::new(Event::KeyringRewritten).by(actor).saying(what)]
    }

    /// Makes the file of a keyring that has none yet.
    ///
    /// # Errors
    /// AlreadyExists, and all errors of a first write.
    pub fn create_empty(&self) -> Result<()> {
        self.writer()?.begin()
    }
}

impl Keyring {
    /// Whether the KEK's secret is good enough for a keyring that somebody makes on purpose.
    ///
    /// # Errors
    /// InvalidInput, with what to take instead.
    pub fn check_new_secret(&self) -> Result<()> {
        let mut keks = self.config.keks.iter();
        keks.try_for_each(|kek| check_new(kek, &self.pool))
    }
}

impl By<'_> {
    /// Writes the whole file anew and drops dead records.
    ///
    /// # Errors
    /// ReadOnly, Io.
    pub fn compact(&self) -> Result<()> {
        // Nothing is dead where there is no journal.
        let told = self.rewrites("compacted");
        self.with_live(told, |journal, live| journal.rewrite(live))
            .unwrap_or_else(|| self.writer()?.check_writable())
    }

    /// Writes the whole file anew under other KEKs, with a new DEK unless `keep_dek`: whoever held
    /// the old KEK and an old copy could open every later file otherwise.
    ///
    /// All of them wrap, or nothing is written.
    ///
    /// # Errors
    /// NotFound: there is no file yet. ReadOnly, Io, and the KEKs' own errors.
    pub fn rekey(&self, keks: &KekList, keep_dek: bool) -> Result<()> {
        self.rekey_if(keks, keep_dek, |_| Ok(()))
    }

    /// The same, if `allowed` says so of the new DEK's fingerprint: where the configuration pins fingerprints, a file
    /// under one that it does not name would not open again. A DEK that was not allowed is kept for the next call.
    ///
    /// # Errors
    /// As [`By::rekey`]; those of `allowed`, and nothing was changed then.
    pub fn rekey_if(
        &self,
        keks: &KekList,
        keep_dek: bool,
        allowed: impl FnOnce(&[u8; FINGERPRINT]) -> Result<()>,
    ) -> Result<()> {
        self.check_storage(keks)?;
        let list = keks;
        let keks = list.keks(false);
        let mut prepared = self.changing();
        let basis = self.basis_to_write()?;
        let holders = self.store().info().holders;
        let deadline = Deadline::after(self.config.patience.call);
        let mut new = None;
        if !keep_dek {
            let dek = match prepared.take() {
                Some(dek) => dek,
                None => basis.new_dek(&keks, deadline)?,
            };
            if let Err(e) = allowed(&fingerprint(&dek)?) {
                *prepared = Some(dek);
                return Err(e);
            }
            new = Some(dek);
        }
        let rewrapped = basis.rekey(&keks, new.as_ref(), deadline)?;
        self.put_under(
            keks,
            rewrapped,
            self.rewrites("brought under a new DEK, or other KEKs"),
        )?;
        self.tell_who_went(holders, list);
        Ok(())
    }
}

impl Keyring {
    /// One change of the KEKs at a time. Writers wait for none of them, until the file is written.
    fn changing(&self) -> MutexGuard<'_, Option<SecretBytes>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn basis_to_write(&self) -> Result<Basis> {
        match self.writer()?.journal() {
            Some(journal) => journal.basis_to_write(),
            None => Err(on_the_token()),
        }
    }

    fn put_under(&self, keks: Keks, rewrapped: Rewrapped, told: Vec<Entry>) -> Result<()> {
        self.with_live(told, |journal, live| {
            journal.put_under(live, keks, rewrapped)
        })
        .unwrap_or_else(|| Err(on_the_token()))
    }

    /// A rekey can't wrap for a KEK that no configuration names. Who did not know of it must hear of it: it may have been
    /// the last way in.
    fn tell_who_went(&self, mut holders: Vec<String>, keks: &KekList) {
        holders.retain(|h| self.config.keks.find(h).is_none() && keks.find(h).is_none());
        holders.sort_unstable();
        holders.dedup();
        let mut store = self.store();
        for holder in holders {
            store.warn(format!(
                "The KEK '{holder}' could open the keyring before, and can't any more: the configuration does not name it, so \
                 nothing was wrapped for it. If it is wanted, name it in keks and run keyring-ward kek sync."
            ));
        }
    }

    /// A reload has put another keyring in this one's place: what it refuses, that one takes.
    pub fn is_retired(&self) -> bool {
        self.store().is_retired()
    }

    /// Checks that the keys stay where they are under `keks`: a rekey writes them nowhere else.
    ///
    /// # Errors
    /// Config: they would belong onto a token, or off it.
    pub fn check_storage(&self, keks: &KekList) -> Result<()> {
        let to_token = keks.first().is_some_and(|kek| token_storage(kek).is_some());
        let why = match (self.config.token_storage().is_some(), to_token) {
            (false, true) => {
                "the keys are in a file, and the new configuration keeps them on the token (storage)"
            }
            (true, false) => {
                "the keys are on the token, and the new configuration keeps them in a file (storage)"
            }
            _ => return Ok(()),
        };
        Err(Error::new(Kind::Config, "change the KEK", why).hint(
            "Nothing was changed. rekey moves no key onto a token or off it. Make the new keyring: keyring-ward init --config \
             NEW.cnf, for a token with \"storage\": \"token\" in \"pkcs11\". Then bring the keys: keyring-ward import --config NEW.cnf \
             --from-config OLD.cnf, and then keyring-ward reset-marker (docs/guide/pkcs11.md).",
        ))
    }

    /// Checks that `keks` are others than those which the file is under. After a leak "under the new KEK" must be
    /// true, so what counts is whether it opens the file, not what it is called. Of a list one has to be another, or the
    /// threshold.
    ///
    /// # Errors
    /// InvalidInput: they are the same. The KEKs' own errors.
    pub fn check_new_keks(&self, keks: &KekList) -> Result<()> {
        self.check_storage(keks)?;
        let old = &self.config.keks;
        if keks.listed || old.listed {
            let is_old = |kek: &&NamedKek| old.contains(kek);
            let new: Vec<&NamedKek> = keks.iter().filter(|kek| !is_old(kek)).collect();
            let same = new.is_empty() && keks.len() == old.len();
            if same && (keks.threshold, keks.listed) == (old.threshold, old.listed) {
                let why = "the keyring is under these KEKs already";
                return Err(Error::new(Kind::InvalidInput, "change the KEK", why)
                    .hint("Nothing was changed. For a new DEK under the same KEKs use reseal."));
            }
            return new.iter().try_for_each(|kek| check_new(kek, &self.pool));
        }
        keks.iter().try_for_each(|kek| self.check_new_kek(kek))
    }

    fn check_new_kek(&self, kek: &NamedKek) -> Result<()> {
        let new = kek.kek();
        new.check_new(&self.pool)?;
        let same = |why: String| {
            Err(Error::new(Kind::InvalidInput, "change the KEK", why).hint(
                "Nothing was changed. Name another secret or key (--generate makes one). For a new DEK under the same KEK use reseal.",
            ))
        };
        let deadline = Deadline::after(self.config.patience.call);
        let basis = self.basis()?;
        if basis.map_or(Ok(false), |basis| basis.is_under(&*new, deadline))? {
            return same(format!(
                "the keyring is under the {} already",
                new.describe()
            ));
        }
        // As passphrase and as key file the same secret makes two KEKs, and a leak opens both.
        for old in self.config.keks.all_keys() {
            if kek::same_secret(&self.pool, old, kek)? {
                return same(format!(
                    "the {} holds the secret that the keyring is under",
                    new.describe()
                ));
            }
        }
        Ok(())
    }
}

impl By<'_> {
    /// Wraps the DEK for every one of `keks` that has no valid stanza, and gives what became of each. `strict`: where one
    /// fails nothing is written. Nothing else changes: the DEK is the same.
    ///
    /// # Errors
    /// NotFound: there is no file yet. Config: the threshold is another one than the file's. ReadOnly, Io.
    pub fn sync_keks(&self, keks: &KekList, strict: bool) -> Result<Vec<Synced>> {
        self.check_storage(keks)?;
        let keks = keks.keks(false);
        let _one = self.changing();
        let basis = self.basis_to_write()?;
        let (rewrapped, synced) = basis.sync(&keks, strict, self.config.patience.call)?;
        if let Some(rewrapped) = rewrapped {
            self.put_under(
                keks,
                rewrapped,
                self.rewrites("its DEK wrapped for more KEKs"),
            )?;
        }
        Ok(synced)
    }
}

impl Keyring {
    /// Asks every KEK to open its stanza, each for `timeout` at the longest; what came of it stands in the status.
    /// Neither readers nor writers wait for it.
    ///
    /// # Errors
    /// No secret memory.
    pub fn test_keks(&self) -> Result<()> {
        if let Some(basis) = self.basis()? {
            basis.test(self.config.patience.call);
        }
        Ok(())
    }

    /// The same within `timeout` together, and what they said; `None`: there is no keyring yet that one could open.
    ///
    /// # Errors
    /// As [`Keyring::test_keks`].
    pub fn ask_keks(&self) -> Result<Option<Answers>> {
        let basis = self.basis()?;
        Ok(basis.map(|basis| basis.ask(self.config.patience.call)))
    }

    fn basis(&self) -> Result<Option<Basis>> {
        self.store().basis()
    }

    /// Writers wait until `f` is done, readers don't. `told`: what the audit log tells of it. `None`: the store has no journal, or memory not all that belongs into
    /// one.
    pub(super) fn with_live(
        &self,
        told: Vec<Entry>,
        f: impl FnOnce(&mut dyn Journal, &Live<'_>) -> Result<()>,
    ) -> Option<Result<()>> {
        let mut store = match self.writer() {
            Ok(store) => store,
            Err(e) => return Some(Err(e)),
        };
        let journal = store.journal()?;
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        let live = Live {
            told,
            ..map.live()?
        };
        Some(f(journal, &live))
    }
}

/// Whether the secret of a KEK is good enough for a keyring that comes under it now.
fn check_new(kek: &NamedKek, pool: &SecretPool) -> Result<()> {
    kek.kek().check_new(pool)
}

fn on_the_token() -> Error {
    let why = "the keys are objects on the token";
    Error::new(Kind::InvalidInput, "change the KEK", why).hint(
        "They are moved instead: keyring-ward init makes a keyring under the new KEK, import --from-config brings the keys (docs/guide/pkcs11.md).",
    )
}
