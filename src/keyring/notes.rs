//! Attributes of keys, and documents: what a keyring keeps beside material.
//!
//! Owns the order "durable first, then published" for them. It must never drop what it does not know: whoever changes
//! attributes begins with those that there are.

use super::changes::{asked_by, not_found};
use super::map::{document_length, with_attributes};
use super::{By, Keyring};
use crate::error::{Error, Kind, Result};
use crate::format::record::{Operation, attributes_length};
use crate::key::document::Document;
use crate::key::extensions::{Extensions, INDEX, VERSION};
use crate::key::id::KeyId;
use crate::store::{Died, Store};
use std::sync::{Arc, PoisonError};

impl By<'_> {
    /// Gives a key all its attributes anew; a list that says nothing removes them. They go with the key. What the caller
    /// does not know of the present ones ([`crate::key::info::KeyInfo::attributes`]) belongs into the new list as well; which version of a
    /// logical key it is, and the secret of its blind index, stay as they are.
    ///
    /// # Errors
    /// NotFound: there is no such key. InvalidInput: the keys are on a token, or the account has its fill. ReadOnly, Io.
    pub fn set_attributes(&self, name: &[u8], owner: &[u8], attributes: Extensions) -> Result<()> {
        let id = KeyId::new(name, owner)?;
        let mut store = self.writer()?;
        let mut attributes = attributes;
        if let Some(key) = self.look_up(name, owner) {
            // Only a change to the logical key itself changes that.
            for tag in [VERSION, INDEX] {
                let said = key.attributes().get(tag).map(<[u8]>::to_vec);
                attributes = attributes.with(tag, said)?;
            }
            attributes = self.signed(&attributes);
            let adds = Operation::Attributes(&id, &attributes);
            let more = adds.frame_length().saturating_sub(attributes_length(&key));
            if adds.is_kept() && more > 0 {
                self.sizes().check(&self.config.limits, owner, more)?;
            }
        }
        self.set_attributes_in(&mut **store, &id, attributes)
    }

    /// The same for a key that takes the place of another one, which goes next: see [`By::restore_moved`]. A keyring
    /// that is full is no obstacle.
    ///
    /// # Errors
    /// As [`By::set_attributes`].
    pub fn set_moved_attributes(&self, id: &KeyId, attributes: Extensions) -> Result<()> {
        let mut store = self.writer()?;
        self.set_attributes_in(&mut **store, id, attributes)
    }

    /// The same while the store is held, after the caller has seen to the limits.
    pub(super) fn set_attributes_in(
        &self,
        store: &mut dyn Store,
        id: &KeyId,
        attributes: Extensions,
    ) -> Result<()> {
        let Some(key) = self.look_up(id.name(), id.owner()) else {
            return Err(asked_by(id, not_found("change the attributes", id)));
        };
        if attributes.says_nothing() && key.attributes().is_empty() {
            return Ok(());
        }
        let replaces = attributes_length(&key);
        let attributes = match attributes.says_nothing() {
            false => self.signed(&attributes),
            true => self.signed_within(&attributes, replaces, |list| {
                Operation::Attributes(id, list).frame_length()
            }),
        };
        let operation = Operation::attributes(&key, &attributes);
        let new = with_attributes(&key, attributes.clone(), &self.pool)?;
        self.append_note(store, &operation, replaces as Died)?;
        let mut sizes = self.sizes();
        sizes.sub(id.owner(), replaces);
        sizes.add(id.owner(), attributes_length(&new));
        drop(sizes);
        self.publish(|map| drop(map.replace(new)));
        self.tidy(store);
        Ok(())
    }

    /// Keeps a document of Keyring Ward's own under a name; an empty one removes the one that has it.
    ///
    /// # Errors
    /// InvalidInput: name or content are outside the limits, or the keys are on a token. ReadOnly, Io.
    pub fn put_document(&self, name: &str, content: &[u8]) -> Result<()> {
        let content = self.pool.copy(content)?;
        let list = self.signed(&Extensions::default());
        let mut new = Document::new(name.as_bytes(), content, list)?;
        let mut store = self.writer()?;
        let old = self.document(name);
        if new.is_removal() && old.is_none() {
            return Ok(());
        }
        let replaces = old.map_or(0, |old| document_length(&old));
        if new.is_removal() && Operation::Document(&new).frame_length() > replaces {
            // Room is kept for a removal that is no longer than what it removes.
            new = Document::new(name.as_bytes(), self.pool.zeroed(0)?, Extensions::default())?;
        }
        let adds = document_length(&new);
        if adds > replaces {
            let limits = &self.config.limits;
            self.sizes().check(limits, b"", adds - replaces)?;
        }
        self.append_note(&mut **store, &Operation::Document(&new), replaces as Died)?;
        let mut sizes = self.sizes();
        sizes.sub(b"", replaces);
        sizes.add(b"", adds);
        drop(sizes);
        self.publish(|map| map.keep(new));
        self.tidy(&mut **store);
        Ok(())
    }
}

impl Keyring {
    /// A document by its name; `None`: there is none.
    pub fn document(&self, name: &str) -> Option<Arc<Document>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.document(name)
    }
}

impl By<'_> {
    pub(super) fn append_note(
        &self,
        store: &mut dyn Store,
        operation: &Operation<'_>,
        died: Died,
    ) -> Result<()> {
        self.make_room(store, operation);
        match store.journal() {
            Some(journal) => journal.append_any(operation, died),
            None => Err(only_in_a_file()),
        }
    }
}

/// The error about attributes and documents of a keyring that has no place for them.
pub fn only_in_a_file() -> Error {
    let why = "the keys are objects on the token, which has no place for attributes and documents";
    Error::new(
        Kind::InvalidInput,
        "note something of a key or a document",
        why,
    )
    .hint("Nothing was changed. A keyring file has: see docs/guide/pkcs11.md for moving the keys.")
}
