//! Stores: where sealed records live.
//!
//! Owns the trait [`Store`] and what a store tells about itself. Policy (who may write, what is in
//! memory) is the facade's, in `keyring`.

pub mod file;
mod header;
pub mod token;

use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, FINGERPRINT};
use crate::error::Result;
use crate::kek::{Contact, Kek};
use crate::keyring::id::KeyId;
use crate::keyring::record::{Change, KeyRecord};

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The one writer: takes the lock, mends a torn end.
    ReadWrite,
    /// What the one writer would find: takes the lock where its file is there, and touches nothing on disk.
    DryRun,
    /// A server that was told to write nothing: no lock, nothing on disk is touched.
    ReadOnly,
    /// A look at a keyring that somebody else may be writing (migration tool, `status`, `list`,
    /// `verify`): no lock, nothing on disk is touched.
    Snapshot,
}

/// What the marker in the data directory says about the keyring, for who only looks (doctor): a server refuses
/// what does not fit.
#[derive(Clone, Debug, Default)]
pub enum MarkerSays {
    /// No data directory was given.
    #[default]
    NotAsked,
    /// There is none yet: the first write or start makes it.
    NoMarker,
    /// It is damaged: a full sentence.
    Damaged(String),
    /// The keyring holds its record, which has this number, or later ones.
    Fits(u64),
    /// An older copy, another branch, or another keyring: what a server says and refuses.
    Misfit(std::sync::Arc<crate::error::Error>),
}

/// What a store tells about itself.
#[derive(Clone, Debug, Default)]
pub struct StoreInfo {
    /// The keyring exists on disk.
    pub exists: bool,
    /// Which file it is.
    pub file_id: Option<[u8; FILE_ID]>,
    /// The DEK's fingerprint.
    pub fingerprint: Option<[u8; FINGERPRINT]>,
    /// How often the file was rewritten.
    pub generation: u64,
    /// The last record's sequence number.
    pub sequence: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Of these, bytes of records that count.
    pub live_bytes: u64,
    /// Of these, bytes of removed keys and of their removals, which the next rewrite drops.
    pub dead_bytes: u64,
    /// The KEK that opened it, or would make it, for people.
    pub opened_by: String,
    /// How that KEK wraps the DEK.
    pub mechanism: String,
    /// Which key of the provider it was when the DEK was wrapped; empty for local KEKs.
    pub key_ref: String,
    /// The last contact to it, where it is not on this machine.
    pub contact: Option<Contact>,
    /// Bytes of an incomplete record at the end that were left as they are.
    pub torn: u64,
    /// Why writes are refused, if they are.
    pub refusing: Option<String>,
    /// What the marker says, if it was asked.
    pub marker: MarkerSays,
    /// How often the marker could not be written since the keyring was opened.
    pub marker_failures: u64,
}

/// Sealed records on some medium. A store holds no keys in memory.
pub trait Store: Send {
    /// Makes one change durable. When it returns `Ok` the change survives a power cut; when it
    /// returns an error the change is not to be published.
    ///
    /// # Errors
    /// ReadOnly where writes are refused; Io and others with the reason.
    fn append(&mut self, change: &Change<'_>) -> Result<()>;

    /// Mixes random bytes of where the keys live into `bytes`, which hold the operating system's.
    ///
    /// # Errors
    /// There is a generator, but it can't be reached.
    fn mix_random(&self, _bytes: &mut [u8]) -> Result<()> {
        Ok(())
    }

    /// Reads one key from where the store keeps it, for keyrings that don't keep material in memory.
    ///
    /// # Errors
    /// The store can't be reached or is damaged; a failure is never an absent key.
    fn fetch(&self, id: &KeyId) -> Result<Option<KeyRecord>>;

    /// Reads all keys from there at once.
    ///
    /// # Errors
    /// As [`Store::fetch`].
    fn fetch_all(&self) -> Result<Vec<KeyRecord>>;

    /// Writes everything anew from `live` and drops what is dead. Ends a state in which writes
    /// are refused because of a failed sync.
    ///
    /// # Errors
    /// As [`Store::append`]; the old content stays in force.
    fn rewrite(&mut self, live: &[&KeyRecord]) -> Result<()>;

    /// Writes everything anew under `keks` (the first one wraps), with a new DEK unless `keep_dek`.
    /// A crash leaves either the old file or the new one.
    ///
    /// # Errors
    /// As [`Store::rewrite`], and the KEK's own.
    fn rekey(&mut self, live: &[&KeyRecord], keks: Vec<Box<dyn Kek>>, keep_dek: bool)
    -> Result<()>;

    /// Every wrap of the DEK is one that `kek` opens, so that a rekey to it would change nothing.
    ///
    /// # Errors
    /// The KEK can't be read or reached.
    fn is_under(&self, _kek: &dyn Kek, _deadline: Deadline) -> Result<bool> {
        Ok(false)
    }

    /// Makes the DEK that the next [`Store::rekey`] without `keep_dek` takes, and gives its fingerprint; the same one
    /// until then.
    ///
    /// # Errors
    /// There is no file, or its DEK can't be changed; those of the KEK's generator.
    fn prepare_dek(&mut self, keks: &[Box<dyn Kek>]) -> Result<[u8; FINGERPRINT]>;

    /// It was opened by a KEK that is not the first one, and may be written.
    fn opened_by_an_old_kek(&self) -> bool {
        false
    }

    /// Wraps the DEK by the first KEK as well.
    ///
    /// # Errors
    /// As [`Store::rewrite`], and the KEK's own; the store stays open under the old one.
    fn adopt(&mut self, _live: &[&KeyRecord], _deadline: Deadline) -> Result<()> {
        Ok(())
    }

    /// The dead records are worth a rewrite.
    fn wants_rewrite(&self) -> bool;

    /// The change does not fit as things are, but a rewrite would make room for it.
    fn is_crowded(&self, _change: &Change<'_>) -> bool {
        false
    }

    /// A rewrite makes any number of keys durable at once, all or none.
    fn rewrites_at_once(&self) -> bool {
        false
    }

    /// What the store that takes this one's place needs to know.
    fn handover(&self) -> file::Handover;

    /// Only a complete rewrite from memory makes this store whole again: a sync has failed, or the
    /// file is gone.
    fn needs_rescue(&self) -> bool;

    /// Another store has taken this one's place: no write is accepted any more.
    fn retire(&mut self);

    /// It was retired: what it refuses, its successor takes.
    fn is_retired(&self) -> bool;

    /// Where the records are.
    fn path(&self) -> &std::path::Path;

    /// The generation that new records are written in.
    fn generation(&self) -> u64;

    /// What the store tells about itself.
    fn info(&self) -> StoreInfo;

    /// Keeps a sentence for the log.
    fn warn(&mut self, sentence: String);

    /// Sentences for the log that came up while opening and writing.
    fn take_warnings(&mut self) -> Vec<String>;
}
