//! A keyring in somebody's hands: only so can it be changed.
//!
//! Owns that every change has a caller, and that the change's record says who it was. Whoever has a [`Keyring`] alone can read. It
//! must never let the name of a caller keep a change from being written.

use super::Keyring;
use crate::caller::Caller;
use crate::caller::actor::cut;
use crate::key::extensions::{ACTOR, Extensions};
use crate::key::record::KeyRecord;
use std::ops::Deref;

/// Bytes that are left out of an actor at once, where it does not fit.
const LESS: usize = 16;

/// A keyring, and who changes it.
#[derive(Clone, Copy)]
pub struct By<'a> {
    keyring: &'a Keyring,
    caller: &'a Caller<'a>,
}

impl Deref for By<'_> {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        self.keyring
    }
}

impl Keyring {
    /// The keyring in the hands of `caller`, who may change it.
    pub fn by<'a>(&'a self, caller: &'a Caller<'a>) -> By<'a> {
        By {
            keyring: self,
            caller,
        }
    }
}

impl<'a> By<'a> {
    /// Who changes it.
    pub fn caller(&self) -> &'a Caller<'a> {
        self.caller
    }

    /// A list with the caller in the place of whoever was there before, as much of it as `fits`; without, where nothing of it does or
    /// nobody knows who it is.
    fn signed_if(&self, list: &Extensions, fits: impl Fn(&Extensions) -> bool) -> Extensions {
        let mut actor = self.caller.actor();
        while let Some(text) = actor {
            let most = text.len().saturating_sub(LESS);
            match list.with(ACTOR, Some(text.clone().into_bytes())) {
                Ok(signed) if fits(&signed) => return signed,
                _ => actor = (most >= LESS).then(|| cut(text, most)),
            }
        }
        list.without(&[ACTOR])
    }

    /// A list with the caller in it.
    pub(super) fn signed(&self, list: &Extensions) -> Extensions {
        self.signed_if(list, |_| true)
    }

    /// A record with the caller in it.
    pub(super) fn signed_record(&self, record: KeyRecord) -> KeyRecord {
        let (list, notes) = (
            self.signed(record.extensions()),
            record.attributes().clone(),
        );
        let record = record.with_extensions(list);
        match notes.is_empty() {
            true => record,
            false => record.with_attributes(self.signed(&notes)),
        }
    }

    /// The list of an operation that takes something away, with as much of the caller as leaves the record no longer than what it
    /// removes: room is kept for no more. `length`: how long the record is with a list.
    pub(super) fn signed_within(
        &self,
        list: &Extensions,
        longest: u64,
        length: impl Fn(&Extensions) -> u64,
    ) -> Extensions {
        self.signed_if(list, |list| length(list) <= longest)
    }
}
