//! Stores: where sealed records live.
//!
//! Owns the trait [`Store`] and what a store tells about itself. Policy (who may write, what is in
//! memory) is the facade's, in `keyring`.

mod basis;
pub mod file;
mod header;
pub mod lock;
pub mod marker;
mod pretending;
pub mod token;

use crate::audit::entry::Entry;
use crate::deadline::Deadline;
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::format::record::Operation;
pub use crate::kek::completing::{SyncOutcome, Synced};
use crate::kek::member::{Answer, KekInfo, Use};
use crate::kek::{Contact, Keks};
use crate::key::document::Document;
use crate::key::id::KeyId;
use crate::key::limits::FINGERPRINT;
use crate::key::record::{Change, KeyRecord};
pub use basis::{Basis, Rewrapped};
use lock::Lock;
pub use pretending::Pretending;
use std::sync::Arc;

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

impl Mode {
    /// The stable name, as it stands in the status.
    pub fn name(self) -> &'static str {
        match self {
            Mode::ReadWrite => "ReadWrite",
            Mode::DryRun => "DryRun",
            Mode::ReadOnly => "ReadOnly",
            Mode::Snapshot => "Snapshot",
        }
    }
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
    Misfit(Arc<crate::error::Error>),
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
    /// The KEKs that the stanzas name as their holders, configured or not.
    pub holders: Vec<String>,
    /// Every configured KEK by itself.
    pub keks: Vec<KekInfo>,
    /// How many of them open it, as the configuration says.
    pub threshold: u8,
    /// They stand in a list; else there is one.
    pub listed: bool,
    /// Bytes of an incomplete record at the end that were left as they are.
    pub torn: u64,
    /// Why writes are refused, if they are.
    pub refusing: Option<String>,
    /// What the marker says, if it was asked.
    pub marker: MarkerSays,
    /// How often the marker could not be written since the keyring was opened.
    pub marker_failures: u64,
}

/// How the KEKs of a keyring are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KekHealth {
    /// How many a server tries at its start.
    pub configured: usize,
    /// How many of them opened their stanza when they were asked last.
    pub answered: usize,
    /// What is missing of them while the keyring serves: a sentence.
    pub degraded: Option<String>,
}

impl StoreInfo {
    /// How the KEKs are.
    pub fn kek_health(&self) -> KekHealth {
        let started = || self.keks.iter().filter(|k| k.naming.usage == Use::Start);
        let answered = started().filter(|k| k.answer == Answer::Opened);
        KekHealth {
            configured: started().count(),
            answered: answered.count(),
            degraded: self.degraded(&started().collect::<Vec<_>>()),
        }
    }

    fn degraded(&self, started: &[&KekInfo]) -> Option<String> {
        let named = |test: &dyn Fn(&KekInfo) -> bool| {
            let names: Vec<String> = (started.iter().filter(|k| test(k)))
                .map(|kek| format!("'{}' ({})", kek.naming.name, kek.answer.name()))
                .collect();
            (self.listed && !names.is_empty()).then(|| names.join(", "))
        };
        if let Some(failed) = named(&|kek| kek.answer.has_failed()) {
            return Some(format!("KEKs that did not open the keyring: {failed}."));
        }
        let lacking = named(&|kek| self.exists && kek.wrapped == Some(false));
        lacking.map(|names| format!("KEKs without a stanza: {names}. Run keyring-ward kek sync."))
    }
}

/// Sealed records on some medium: what every store does. A store holds no keys in memory. What only some can do is a part
/// of its own: [`Store::journal`], [`Store::on_demand`].
pub trait Store: Send {
    /// Makes one change durable. When it returns `Ok` the change survives a power cut; when it
    /// returns an error the change is not to be published.
    ///
    /// # Errors
    /// ReadOnly where writes are refused; Io and others with the reason.
    fn append(&mut self, change: &Change<'_>) -> Result<()>;

    /// Whether a change would be refused whatever it is.
    ///
    /// # Errors
    /// ReadOnly, with the reason.
    fn check_writable(&self) -> Result<()>;

    /// Makes an empty keyring durable where there is none.
    ///
    /// # Errors
    /// As [`Store::append`]; AlreadyExists: there is one.
    fn begin(&mut self) -> Result<()>;

    /// What it takes to ask KEKs about it, apart from the store; `None`: there is no keyring yet.
    ///
    /// # Errors
    /// No secret memory.
    fn basis(&self) -> Result<Option<Basis>>;

    /// What can be written anew as a whole; `None`: each record stands for itself.
    fn journal(&mut self) -> Option<&mut dyn Journal>;

    /// What reads single keys; `None`: all of them were read when it was opened, and live in memory.
    fn on_demand(&self) -> Option<&dyn OnDemand>;

    /// What the store that takes this one's place needs to know.
    fn handover(&self) -> Handover;

    /// Another store has taken this one's place: no write is accepted any more.
    fn retire(&mut self);

    /// It was retired: what it refuses, its successor takes.
    fn is_retired(&self) -> bool;

    /// The generation that new records are written in.
    fn generation(&self) -> u64;

    /// What the store tells about itself.
    fn info(&self) -> StoreInfo;

    /// Keeps a sentence for the log.
    fn warn(&mut self, sentence: String);

    /// Sentences for the log that came up while opening and writing.
    fn take_warnings(&mut self) -> Vec<String>;
}

/// Everything that a keyring holds, with all material: what a rewrite writes.
#[derive(Default)]
pub struct Live<'a> {
    /// The keys, each with its attributes.
    pub keys: Vec<&'a KeyRecord>,
    /// Removed keys that are kept.
    pub retired: Vec<&'a KeyRecord>,
    /// The documents.
    pub documents: Vec<&'a Document>,
    /// What a rewrite tells the audit log of itself; nothing: that it was made.
    pub told: Vec<Entry>,
}

impl<'a> Live<'a> {
    /// The same with documents that the journal itself writes.
    fn with_carried<'b>(&self, carried: &'b [Document]) -> Live<'b>
    where
        'a: 'b,
    {
        Live {
            keys: self.keys.clone(),
            retired: self.retired.clone(),
            documents: self.documents.iter().copied().chain(carried).collect(),
            told: Vec::new(),
        }
    }

    /// The records that it takes, in the order in which they are written.
    pub fn operations(&self) -> impl Iterator<Item = Operation<'a>> {
        let keys = self.keys.iter().flat_map(|key| {
            let attributes = Operation::Attributes(&key.id, key.attributes());
            [Operation::Put(key), attributes]
        });
        let retired = self.retired.iter().map(|key| Operation::Put(key));
        let documents = self.documents.iter().map(|d| Operation::Document(d));
        keys.chain(retired)
            .chain(documents)
            .filter(Operation::is_kept)
    }
}

/// A keyring is never begun over another one.
fn already_there() -> Error {
    Error::new(
        Kind::AlreadyExists,
        "create the keyring",
        "it exists already",
    )
}

/// Bytes of records that die by a change: the next rewrite drops them. Below zero: what lives takes so many more when it is
/// written anew than it does now.
pub type Died = i64;

/// Records in one piece that is written anew as a whole: any number of keys becomes durable at once, all or none. Only
/// here is room for what is no key: attributes and documents.
pub trait Journal {
    /// Makes any change durable, as [`Store::append`] does for keys. `died`: what dies by it.
    ///
    /// # Errors
    /// As [`Store::append`].
    fn append_any(&mut self, change: &Operation<'_>, died: Died) -> Result<()>;

    /// Writes everything anew from `live` and drops what is dead. Ends a state in which writes
    /// are refused because of a failed sync.
    ///
    /// # Errors
    /// As [`Store::append`]; the old content stays in force.
    fn rewrite(&mut self, live: &Live<'_>) -> Result<()>;

    /// As [`Store::basis`] for a change, once it is sure that one can be written.
    ///
    /// # Errors
    /// NotFound: there is no file yet. As [`Journal::rewrite`].
    fn basis_to_write(&mut self) -> Result<Basis>;

    /// Writes everything anew under `keks`, which wrapped the DEK as it is here. A crash leaves either the old file or the
    /// new one.
    ///
    /// # Errors
    /// Locked: the stanzas are not those any more that it was made from. Config: too many. As [`Journal::rewrite`].
    fn put_under(&mut self, live: &Live<'_>, keks: Keks, rewrapped: Rewrapped) -> Result<()>;

    /// It was opened by an old key of a KEK, and may be written.
    fn opened_by_an_old_kek(&self) -> bool;

    /// Wraps the DEK by that KEK's new key as well.
    ///
    /// # Errors
    /// As [`Journal::rewrite`], and the KEK's own; the store stays open under the old one.
    fn adopt(&mut self, live: &Live<'_>, deadline: Deadline) -> Result<()>;

    /// The dead records are worth a rewrite.
    fn wants_rewrite(&self) -> bool;

    /// The change does not fit as things are, but a rewrite would make room for it.
    fn is_crowded(&self, change: &Operation<'_>) -> bool;

    /// Only a complete rewrite from memory makes this store whole again: a sync has failed, or the
    /// file is gone.
    fn needs_rescue(&self) -> bool;
}

/// Records that are read one by one from where they are, for keyrings that keep no material in memory.
pub trait OnDemand {
    /// Reads one key.
    ///
    /// # Errors
    /// The store can't be reached or is damaged; a failure is never an absent key.
    fn fetch(&self, id: &KeyId) -> Result<Option<KeyRecord>>;

    /// Reads all keys at once.
    ///
    /// # Errors
    /// As [`OnDemand::fetch`].
    fn fetch_all(&self) -> Result<Vec<KeyRecord>>;
}

/// What an open store hands to the one that takes its place (RELOAD).
#[derive(Clone)]
pub struct Handover {
    /// The lock on the path.
    lock: Option<Arc<Lock>>,
    /// What memory holds of a file.
    file: Option<file::Held>,
}

impl Handover {
    /// The lock that is handed over.
    fn lock(&self) -> Option<Arc<Lock>> {
        self.lock.clone()
    }
}
