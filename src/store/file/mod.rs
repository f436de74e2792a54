//! The file store: one encrypted, append-only journal.
//!
//! Owns the keyring file, its lock and its marker. It must never replace a file that it could not open, never report a change
//! as durable before fdatasync succeeded, and never go on writing after a sync has failed. `open` opens it, `format` has the
//! bytes, `scan` reads, `ahead` lets two threads do that, `write` writes, `ours` asks before that whether the file is still ours, `mend` cuts a torn end off,
//! `marker` remembers what was acknowledged.

pub mod access;
mod ahead;
mod durable;
mod leftover;
mod mend;
mod open;
mod ours;
mod owing;
mod room;
pub mod scan;
mod stanzas;
pub mod torn;
pub mod waypoint;
pub mod window;
mod write;

pub use open::{OpenOptions, Sink};
pub use owing::of_operation;

use super::{
    Basis, Died, Handover, Journal as Rewritten, Live, MarkerSays, Mode, OnDemand, Rewrapped,
    Store, StoreInfo,
};
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, FileKeys, MAC, fingerprint};
use crate::error::{Error, Kind, Result};
use crate::format::header::Header;
use crate::format::lineage::{Ancestor, short};
use crate::format::record::{Operation, key_length};
use crate::kek::{Keks, Used};
use crate::key::record::Change;
use crate::os::file::{self, Access};
use crate::secret::{SecretBytes, SecretPool};
use crate::store::lock::{Hold, Lock};
use crate::store::marker::{Keeper, Slot, Survives};
use durable::Stamp;
use owing::Owing;
use scan::End;
use std::fs::{File, Metadata};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use torn::Bound;
use waypoint::Waypoint;

const OP: &str = "open the keyring file";
/// How a server that holds one keyring goes on with another one.
const BEGIN_ANEW: &str = "Nothing was changed, keys are served from memory. Put the server's own file back; or remove what is \
    in its place and RELOAD with the path that it had: the keyring is then written anew from memory. If another keyring is \
    meant, restart the server with it.";

/// How the tool opens a keyring for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByTool {
    /// An incomplete record at the end is cut off even where no marker tells whether it was acknowledged.
    pub cut_torn_end: bool,
}

/// What an open file store hands over beside its lock.
#[derive(Clone)]
pub(super) struct Held {
    hold: Option<Arc<Hold>>,
    last: Option<Remembered>,
    /// The operator removed the marker: another keyring may begin.
    given_up: bool,
}

/// What a store remembers of its file.
#[derive(Clone, Copy)]
struct Remembered {
    file_id: [u8; FILE_ID],
    at: Waypoint,
    /// Every byte of it was on the disk while it was this: this process has synced it.
    synced: Option<Stamp>,
    /// A sync of this inode has failed, so nobody knows what of it is on the disk.
    failed: Option<(u64, u64)>,
}

impl Held {
    /// What memory holds and must not be lost: everything, unless the operator said so.
    fn held(&self) -> Option<&Remembered> {
        self.last.as_ref().filter(|_| !self.given_up)
    }

    /// Another keyring takes the place of the one in memory only where that is meant. Where there is a marker it has
    /// said so already; this is for data directories in which none could be made.
    fn check_file(&self, file_id: &[u8; FILE_ID], place: &str) -> Result<()> {
        if self.held().is_none_or(|held| held.file_id == *file_id) {
            return Ok(());
        }
        let why = format!("{place} is not the keyring that this server's memory holds");
        Err(Error::new(Kind::Tampered, OP, why).hint(BEGIN_ANEW))
    }
}

/// The file, once it exists.
struct Journal {
    file: File,
    inode: (u64, u64),
    /// What it was when this process had synced it last.
    synced: Option<Stamp>,
    header: Header,
    mac: [u8; MAC],
    dek: SecretBytes,
    keys: FileKeys,
    end: End,
}

impl Journal {
    /// Its last record.
    fn waypoint(&self) -> Waypoint {
        Waypoint {
            generation: self.header.generation,
            sequence: self.end.sequence,
            chain: self.end.chain,
            header: short(&self.mac),
        }
    }

    /// This generation, to those that come after it.
    fn ancestor(&self) -> Ancestor {
        Ancestor {
            header: short(&self.mac),
            sequence: self.end.sequence,
            chain: short(&self.end.chain),
        }
    }
}

/// Why writes are refused.
enum Refusing {
    /// A sync failed: only a complete rewrite ends it.
    Unsynced(String),
    /// A failed write left bytes that never saw a sync and could not be cut off yet (an exhausted
    /// quota can refuse even that): the next write tries the cut again.
    Uncut(String),
    /// Torn bytes could not be saved: only opening anew ends it.
    TornNotSaved(String),
    /// The file's rights say that nobody writes to it: only opening anew ends it.
    NotWritable(String),
    /// A reload has put another store in this one's place.
    Retired,
}

/// See the module's documentation.
pub struct FileStore {
    path: PathBuf,
    folder: PathBuf,
    mode: Mode,
    by_tool: Option<ByTool>,
    data_dir: Option<PathBuf>,
    keeper: Option<Keeper>,
    /// What a look found out about the marker.
    marker_says: MarkerSays,
    keks: Arc<Keks>,
    /// The KEKs that opened it.
    used: Vec<Used>,
    pool: SecretPool,
    limits: Limits,
    /// When the last rewrite ended, well or not, and how long it took.
    last_rewrite: Option<(Instant, Duration)>,
    lock: Option<Arc<Lock>>,
    held: Option<Arc<Hold>>,
    journal: Option<Journal>,
    refusing: Option<Refusing>,
    /// The length of the last frame that was to be appended: a write that failed has left no more.
    tried: u64,
    live_bytes: u64,
    dead_bytes: u64,
    /// No rewrite is tried before the dead bytes reach this.
    rewrite_from: u64,
    /// How long a KEK may take when the file is made or rekeyed.
    kek_patience: Duration,
    /// What it owes to the audit log.
    owing: Owing,
    /// The DEK that a rekey will take, made before so that its fingerprint can be configured first.
    warnings: Vec<String>,
}

impl FileStore {
    /// Tells the marker that everything up to the journal's end is on the disk.
    fn mark(&mut self, survives: Survives) {
        if let (Some(keeper), Some(journal)) = (&mut self.keeper, &self.journal) {
            let slot = Slot::now(journal.header.file_id, journal.waypoint());
            self.warnings.extend(keeper.mark(&slot, survives));
        }
    }

    fn collect_kek_warnings(&mut self) {
        self.warnings.extend(self.keks.take_warnings());
    }

    fn temporary(&self) -> PathBuf {
        file::beside(&self.path, ".new")
    }
}

impl FileStore {
    fn held_in_memory(&self) -> Held {
        let journal = self.journal.as_ref();
        Held {
            hold: self.held.clone(),
            last: journal.map(|j| Remembered {
                file_id: j.header.file_id,
                at: j.waypoint(),
                synced: j
                    .synced
                    .filter(|_| self.mode == Mode::ReadWrite && self.refusing.is_none()),
                failed: match &self.refusing {
                    Some(Refusing::Unsynced(_)) => Some(j.inode),
                    _ => None,
                },
            }),
            given_up: self.keeper.as_ref().is_some_and(Keeper::was_removed),
        }
    }
}

fn not_a_change_of_a_journal() -> Error {
    let why = "a key was to be replaced, where a journal takes attributes";
    Error::new(Kind::Internal, write::WRITE, why).hint("Please report this.")
}

impl Store for FileStore {
    fn append(&mut self, change: &Change<'_>) -> Result<()> {
        let died = match change {
            Change::Put(_) => 0,
            Change::Remove(key, _) => key_length(key) as Died,
            Change::Replace(..) => return Err(not_a_change_of_a_journal()),
        };
        self.append_change(&change.into(), died)
    }

    fn check_writable(&self) -> Result<()> {
        self.check_writes()
    }

    fn begin(&mut self) -> Result<()> {
        if self.journal.is_some() {
            return Err(crate::store::already_there());
        }
        self.rewrite_all(&Live::default())
    }

    fn basis(&self) -> Result<Option<Basis>> {
        self.journal.as_ref().map(|j| self.basis_of(j)).transpose()
    }

    fn journal(&mut self) -> Option<&mut dyn Rewritten> {
        Some(self)
    }

    fn on_demand(&self) -> Option<&dyn OnDemand> {
        None
    }

    fn warn(&mut self, sentence: String) {
        self.warnings.push(sentence);
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn handover(&self) -> Handover {
        Handover {
            lock: self.lock.clone(),
            file: Some(self.held_in_memory()),
        }
    }

    fn is_retired(&self) -> bool {
        matches!(self.refusing, Some(Refusing::Retired))
    }

    fn retire(&mut self) {
        self.refusing = Some(Refusing::Retired);
    }

    fn generation(&self) -> u64 {
        self.journal.as_ref().map_or(1, |j| j.header.generation)
    }

    fn info(&self) -> StoreInfo {
        let mut info = StoreInfo {
            opened_by: self.keks.describe(&self.used),
            contact: self.keks.contact(&self.used),
            threshold: self.keks.threshold(),
            listed: self.keks.is_listed(),
            holders: self.holders(),
            keks: self.keks.info(self.stanzas()),
            marker_failures: self.keeper.as_ref().map_or(0, Keeper::failures),
            marker: self.marker_says.clone(),
            refusing: self.refusing.as_ref().map(|r| match r {
                Refusing::Unsynced(why)
                | Refusing::Uncut(why)
                | Refusing::TornNotSaved(why)
                | Refusing::NotWritable(why) => why.clone(),
                Refusing::Retired => "a reload has replaced this keyring".into(),
            }),
            ..StoreInfo::default()
        };
        if let Some(j) = &self.journal {
            info.exists = true;
            info.file_id = Some(j.header.file_id);
            info.fingerprint = fingerprint(&j.dek).ok();
            info.generation = j.header.generation;
            info.sequence = j.end.sequence;
            info.bytes = j.end.offset;
            info.live_bytes = self.live_bytes;
            info.dead_bytes = self.dead_bytes;
            // The writer has cut them off, or refuses writes and says why.
            info.torn = match self.mode {
                Mode::ReadWrite => 0,
                Mode::ReadOnly | Mode::Snapshot | Mode::DryRun => j.end.torn,
            };
            let stanza = self.used.first().map_or(0, |used| used.stanza);
            if let Some(stanza) = j.header.stanzas.get(stanza) {
                info.mechanism.clone_from(&stanza.mechanism);
                info.key_ref.clone_from(&stanza.key_ref);
            }
        }
        info
    }
}

impl Rewritten for FileStore {
    fn append_any(&mut self, change: &Operation<'_>, died: Died) -> Result<()> {
        self.append_change(change, died)
    }

    fn rewrite(&mut self, live: &Live<'_>) -> Result<()> {
        self.rewrite_all(live)
    }

    fn basis_to_write(&mut self) -> Result<Basis> {
        self.next_generation()?;
        self.basis()?.ok_or_else(|| self.not_there())
    }

    fn put_under(&mut self, live: &Live<'_>, keks: Keks, rewrapped: Rewrapped) -> Result<()> {
        self.put_all_under(live, keks, rewrapped)
    }

    fn wants_rewrite(&self) -> bool {
        self.wants()
    }

    fn is_crowded(&self, change: &Operation<'_>) -> bool {
        self.is_crowded_for(change)
    }

    fn opened_by_an_old_kek(&self) -> bool {
        self.old_key_in_use().is_some() && self.mode == Mode::ReadWrite
    }

    fn adopt(&mut self, live: &Live<'_>, deadline: Deadline) -> Result<()> {
        self.adopt_first_key(live, deadline)
    }

    fn needs_rescue(&self) -> bool {
        let lost = || {
            // A marker that was removed, too, says that another keyring shall begin; one that could never be made or is
            // not to be seen says nothing, and memory is what there is.
            self.is_missing() && !self.keeper.as_ref().is_some_and(Keeper::was_removed)
        };
        matches!(
            self.refusing,
            Some(Refusing::Unsynced(_) | Refusing::Uncut(_))
        ) || (self.journal.is_some() && self.mode == Mode::ReadWrite && lost())
    }
}
