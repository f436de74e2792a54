//! The DEK under other KEKs, or under more: rekey, sync, and what an old key has opened.
//!
//! Owns which stanzas a file has. Until the rename of a rewrite the old file is in force, from then on the new one, so
//! that a crash leaves either. It must never write a stanza that was not proved, and never drop one but in a rekey.

use super::write::WRITE;
use super::*;
use crate::format::header::MAX_STANZAS;
use crate::format::stanza::Stanza;
use crate::store::Rewrapped;

impl FileStore {
    /// The stanzas of the file.
    pub(super) fn stanzas(&self) -> &[Stanza] {
        self.journal.as_ref().map_or(&[], |j| &j.header.stanzas)
    }

    /// The KEKs that the stanzas name.
    pub(super) fn holders(&self) -> Vec<String> {
        let holders = self.stanzas().iter().filter_map(|s| s.holder.as_ref());
        holders.map(|holder| holder.kek.clone()).collect()
    }

    pub(super) fn basis_of(&self, journal: &Journal) -> Result<Basis> {
        Ok(Basis {
            keks: self.keks.clone(),
            pool: self.pool.clone(),
            file_id: journal.header.file_id,
            stanzas: journal.header.stanzas.clone(),
            dek: self.pool.copy(&journal.dek)?,
        })
    }

    pub(super) fn not_there(&self) -> Error {
        let why = format!("'{}' does not exist", self.path.display());
        Error::new(Kind::NotFound, WRITE, why)
    }

    /// Rule 14: the whole file anew under other KEKs, or under more.
    pub(super) fn put_all_under(
        &mut self,
        live: &Live<'_>,
        keks: Keks,
        rewrapped: Rewrapped,
    ) -> Result<()> {
        let Some((mut header, replace)) = self.next_generation()? else {
            return Err(self.not_there());
        };
        rewrapped.check(&header.file_id, &header.stanzas)?;
        let Rewrapped { dek, stanzas, .. } = rewrapped;
        if stanzas.len() > MAX_STANZAS {
            let why = format!("the DEK would be wrapped {} times", stanzas.len());
            return Err(too_many(why));
        }
        header.set_stanzas(stanzas);
        self.write_under(header, dek, live, replace, keks)
    }

    /// Writes the file under the stanzas of `header`, and goes on with `keks`.
    fn write_under(
        &mut self,
        header: Header,
        dek: SecretBytes,
        live: &Live<'_>,
        replace: Option<ours::Since>,
        keks: Keks,
    ) -> Result<()> {
        let stanzas = header.stanzas.clone();
        let result = self.write_whole(header, dek, live, replace);
        // The rename has happened where only the folder's fsync failed: the stanzas say which KEKs.
        let in_force = |j: &super::Journal| j.header.stanzas == stanzas;
        if result.is_ok() || self.journal.as_ref().is_some_and(in_force) {
            self.keks = Arc::new(keks);
            self.used = Vec::new();
            self.collect_kek_warnings();
        }
        result
    }

    /// The KEK that opened the whole DEK by an old key of its own, which the configuration still names.
    pub(super) fn old_key_in_use(&self) -> Option<Used> {
        let stanzas = self.stanzas();
        let whole = |used: &&Used| {
            stanzas
                .get(used.stanza)
                .is_some_and(|s| s.share().is_none())
        };
        let old = self.used.iter().find(|used| used.key > 0);
        old.filter(whole).copied()
    }

    /// Wraps the DEK by the KEK's new key as well, so that the next start does not need the old one. The old stanza stays
    /// until a rekey.
    pub(super) fn adopt_first_key(&mut self, live: &Live<'_>, deadline: Deadline) -> Result<()> {
        let Some(Used { member, .. }) = self.old_key_in_use() else {
            return Ok(());
        };
        let (Some((mut header, replace)), Some(journal)) = (self.next_generation()?, &self.journal)
        else {
            return Ok(());
        };
        let mut stanzas = header.stanzas.clone();
        if stanzas.len() >= MAX_STANZAS {
            return Err(too_many(format!(
                "the DEK is wrapped {} times already",
                stanzas.len()
            )));
        }
        let dek = self.pool.copy(&journal.dek)?;
        let id = &header.file_id;
        stanzas.push(self.keks.wrap_for(member, &self.pool, id, &dek, deadline)?);
        let stanza = stanzas.len() - 1;
        header.set_stanzas(stanzas);
        let result = self.write_whole(header, dek, live, replace);
        if self.stanzas().len() > stanza {
            let key = 0;
            self.used = vec![Used {
                member,
                key,
                stanza,
            }];
        }
        result
    }
}

fn too_many(why: String) -> Error {
    Error::new(Kind::Config, WRITE, why)
        .hint("Run keyring-ward rekey, which leaves the configured KEKs' wraps alone.")
}
