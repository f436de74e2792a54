//! A store for dry runs: it takes every change and writes none, so that whoever makes changes finds out in memory what would
//! become of them.
//!
//! Owns nothing but that. All else is the store's behind it, which was opened so that it refuses to write.

use super::{Basis, Died, Handover, Journal, Live, OnDemand, Rewrapped, Store, StoreInfo};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::format::record::Operation;
use crate::kek::Keks;
use crate::key::record::Change;

/// See the module's documentation.
pub struct Pretending(pub Box<dyn Store>);

impl Store for Pretending {
    fn append(&mut self, _: &Change<'_>) -> Result<()> {
        Ok(())
    }

    fn check_writable(&self) -> Result<()> {
        self.0.check_writable()
    }

    fn begin(&mut self) -> Result<()> {
        self.0.begin()
    }

    fn basis(&self) -> Result<Option<Basis>> {
        self.0.basis()
    }

    fn journal(&mut self) -> Option<&mut dyn Journal> {
        match self.0.journal().is_some() {
            true => Some(self),
            false => None,
        }
    }

    fn on_demand(&self) -> Option<&dyn OnDemand> {
        self.0.on_demand()
    }

    fn handover(&self) -> Handover {
        self.0.handover()
    }

    fn retire(&mut self) {
        self.0.retire();
    }

    fn is_retired(&self) -> bool {
        self.0.is_retired()
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn info(&self) -> StoreInfo {
        self.0.info()
    }

    fn warn(&mut self, sentence: String) {
        self.0.warn(sentence);
    }

    fn take_warnings(&mut self) -> Vec<String> {
        self.0.take_warnings()
    }
}

/// The journal behind it; there is one where [`Pretending::journal`] gave this.
fn behind(store: &mut Pretending) -> Result<&mut dyn Journal> {
    store.0.journal().ok_or_else(|| {
        let why = "its store is no journal";
        crate::error::Error::new(crate::error::Kind::Internal, "make a dry run", why)
    })
}

impl Journal for Pretending {
    fn append_any(&mut self, _: &Operation<'_>, _: Died) -> Result<()> {
        Ok(())
    }

    fn rewrite(&mut self, _: &Live<'_>) -> Result<()> {
        Ok(())
    }

    fn basis_to_write(&mut self) -> Result<Basis> {
        behind(self)?.basis_to_write()
    }

    fn put_under(&mut self, live: &Live<'_>, keks: Keks, rewrapped: Rewrapped) -> Result<()> {
        behind(self)?.put_under(live, keks, rewrapped)
    }

    fn opened_by_an_old_kek(&self) -> bool {
        false
    }

    fn adopt(&mut self, live: &Live<'_>, deadline: Deadline) -> Result<()> {
        behind(self)?.adopt(live, deadline)
    }

    fn wants_rewrite(&self) -> bool {
        false
    }

    fn is_crowded(&self, _: &Operation<'_>) -> bool {
        false
    }

    fn needs_rescue(&self) -> bool {
        false
    }
}
