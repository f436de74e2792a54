//! The file store: one encrypted, append-only journal.
//!
//! Owns the keyring file, its lock and its marker. It must never replace a file that it could not
//! open, never report a change as durable before fdatasync succeeded, and never go on writing
//! after a sync has failed. `format` has the bytes, `scan` reads, `write` writes, `ours` asks before that whether the
//! file is still ours, `mend` cuts a torn end off, `marker` remembers what was acknowledged.

pub mod access;
mod durable;
mod leftover;
mod mend;
mod ours;
mod room;
pub mod scan;
mod stanzas;
pub mod torn;
pub mod waypoint;
pub mod window;
mod write;

use super::header::{self, OpenHeader};
use super::{
    Handover, Journal as Rewritten, KekTest, Live, MarkerSays, Mode, OnDemand, Store, StoreInfo,
    Synced,
};
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, FileKeys, MAC, fingerprint};
use crate::error::{Error, Kind, Result};
use crate::format::damage;
use crate::format::header::{Header, MAX_HEADER, ParsedHeader};
use crate::format::lineage::{Ancestor, short};
use crate::format::record::{Operation, key_length};
use crate::kek::{Kek, Keks, Used};
use crate::key::limits::FINGERPRINT;
use crate::key::record::{Change, ReadChange};
use crate::os::file::{self, Access};
use crate::secret::{SecretBytes, SecretPool};
use crate::store::lock::{Hold, Lock};
use crate::store::marker::{self, Keeper, Marker, Slot, Survives};
use durable::Stamp;
use scan::End;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use torn::Bound;
use waypoint::{Watch, Waypoint};
use window::Window;

const OP: &str = "open the keyring file";
/// How a server that holds one keyring goes on with another one.
const BEGIN_ANEW: &str = "Nothing was changed, keys are served from memory. Put the server's own file back; or remove what is \
    in its place and RELOAD with the path that it had: the keyring is then written anew from memory. If another keyring is \
    meant, restart the server with it.";

/// What a server does whose memory holds more than the file that it is to take: nothing else may have those keys.
const DO_NOT_STOP: &str = "Don't stop the server: its memory holds keys that this file lacks, and no other file may have them. Nothing \
    was changed. Put the newest file back and reload; if it is lost, remove the one that is there and reload: all keys \
    are then written anew from memory.";

/// Everything that opening a file store needs.
pub struct OpenOptions<'a> {
    /// The keyring file, absolute.
    pub path: &'a Path,
    /// Writer, read-only server or onlooker.
    pub mode: Mode,
    /// Where the marker lies; `None`: there is none.
    pub data_dir: Option<PathBuf>,
    /// The configured KEKs.
    pub keks: Keks,
    /// How long all KEKs together may take now.
    pub deadline: Deadline,
    /// How long a KEK may take later, when the file is made or rekeyed.
    pub kek_patience: Duration,
    /// The DEK that the file must have: one of these, where any is pinned.
    pub fingerprint: Vec<[u8; FINGERPRINT]>,
    /// How much may be written, and how long a file a server reads.
    pub limits: Limits,
    /// A file of any length is read: nobody's start depends on it.
    pub any_length: bool,
    /// The pool for secrets.
    pub pool: SecretPool,
    /// What the store that this one replaces hands over.
    pub predecessor: Option<Handover>,
    /// The tool opens it, not a server.
    pub by_tool: Option<ByTool>,
}

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

/// What is known to have been acknowledged of a journal.
fn bound(header: &Header, marker: Option<&Slot>, memory: Option<&Remembered>) -> Bound {
    let of_this_file = marker.filter(|slot| slot.file_id == header.file_id);
    let known = of_this_file.map_or(0, |slot| slot.at.sequence);
    Bound {
        sequence: known.max(memory.map_or(0, |m| m.at.sequence)),
        exact: memory.is_some() || of_this_file.is_some_and(Slot::is_of_this_boot),
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
    /// The DEK that a rekey will take, made before so that its fingerprint can be configured first.
    prepared: Option<SecretBytes>,
    warnings: Vec<String>,
}

/// What `sink` tells about a change: the length of the frame that it made dead.
pub type Sink<'a> = dyn FnMut(ReadChange) -> Result<u64> + 'a;

impl FileStore {
    /// Opens the keyring file and gives every change in it to `sink`. A file that does not exist
    /// (and never did, by the marker) is an empty keyring; the first write creates it.
    ///
    /// # Errors
    /// Locked, NotFound (marker without file), WrongKek, Tampered, UnsupportedVersion,
    /// Permission, Io, and the KEK's own errors.
    pub fn open(options: OpenOptions<'_>, sink: &mut Sink<'_>) -> Result<FileStore> {
        let (folder, path) = file::resolve(options.path, OP)?;
        let mut store = FileStore {
            lock: None,
            held: None,
            path,
            folder,
            mode: options.mode,
            by_tool: options.by_tool,
            keeper: None,
            data_dir: options.data_dir,
            marker_says: MarkerSays::NotAsked,
            keks: Arc::new(options.keks),
            used: Vec::new(),
            pool: options.pool,
            limits: options.limits,
            last_rewrite: None,
            journal: None,
            refusing: None,
            tried: 0,
            live_bytes: 0,
            dead_bytes: 0,
            rewrite_from: write::MIN_DEAD,
            kek_patience: options.kek_patience,
            prepared: None,
            warnings: Vec::new(),
        };
        let predecessor = options.predecessor.as_ref();
        let inherited = predecessor.and_then(Handover::lock);
        let predecessor = predecessor.and_then(|p| p.file.as_ref());
        store.lock = Lock::for_mode(&store.path, store.mode, inherited)?;
        let marker = match &store.data_dir {
            Some(dir) => marker::read(dir)?,
            None => None,
        };
        let (tool, there) = (store.by_tool.is_some(), marker.is_some());
        let dir = store.data_dir.as_deref();
        store.keeper = dir.and_then(|dir| Keeper::of(dir, store.mode, tool, there));
        match access::open(&store.path, store.mode) {
            Ok(access::Opened {
                file,
                meta,
                not_writable,
                warning,
            }) => {
                store.lock.iter().try_for_each(|lock| lock.check_there())?;
                store.warnings.extend(warning);
                store.warnings.extend(not_writable.iter().map(|why| {
                    format!("Writes are refused: {why}. Set read_only to true if that is meant.")
                }));
                store.refusing = not_writable.map(Refusing::NotWritable);
                let meta = store.hold(&file, meta, predecessor)?;
                let pin = &options.fingerprint;
                if meta.len() > store.limits.file && !options.any_length {
                    return Err(store.too_long(meta.len()));
                }
                store.read(
                    file,
                    &meta,
                    pin,
                    options.deadline,
                    marker,
                    predecessor,
                    sink,
                )?;
                if store.mode == Mode::ReadWrite && store.refusing.is_none() {
                    store.sweep();
                }
            }
            Err(e) if e.kind() == Kind::NotFound => {
                store.missing(marker.as_ref(), predecessor, options.deadline)?;
                store.collect_kek_warnings();
            }
            Err(e) => return Err(e),
        }
        Ok(store)
    }

    fn missing(
        &self,
        marker: Option<&Marker>,
        predecessor: Option<&Held>,
        deadline: Deadline,
    ) -> Result<()> {
        let path = self.path.display();
        if let (Some(_), Some(dir)) = (marker, &self.data_dir) {
            return Err(Error::new(
                Kind::NotFound,
                OP,
                format!(
                    "'{path}' does not exist, but the marker '{}' says that this server had a keyring",
                    marker::path_in(dir).display()
                ),
            )
            .hint(self.missing_hint(dir)));
        }
        if predecessor.and_then(Held::held).is_some() {
            let why = format!("'{path}' does not exist, but this server's memory holds a keyring");
            return Err(Error::new(Kind::NotFound, OP, why).hint(BEGIN_ANEW));
        }
        if self.mode != Mode::ReadWrite {
            let hint = match self.mode {
                Mode::DryRun => "Correct the path. keyring-ward init makes a keyring.",
                _ => "A keyring that is opened read-only must exist. Correct the path.",
            };
            return Err(
                Error::new(Kind::NotFound, OP, format!("'{path}' does not exist")).hint(hint),
            );
        }
        // The first write will need the KEK: say now what is wrong with it.
        self.keks.probe(&self.pool, deadline)
    }

    /// What to do about a missing file. An interrupted rescue may have left all keys beside it.
    fn missing_hint(&self, data_dir: &Path) -> String {
        let temporary = self.temporary();
        let reset = marker::reset_hint(data_dir);
        if std::fs::symlink_metadata(&temporary).is_err() {
            return reset;
        }
        format!(
            "'{0}' is what an interrupted rewrite left, and may be the whole keyring: if \
             keyring-ward verify --path '{0}' says so, rename it. Otherwise: {reset}",
            temporary.display()
        )
    }

    #[allow(clippy::too_many_arguments)] // the parts of one OpenOptions
    fn read(
        &mut self,
        mut file: File,
        meta: &Metadata,
        pinned: &[[u8; FINGERPRINT]],
        deadline: Deadline,
        marker: Option<Marker>,
        predecessor: Option<&Held>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let place = format!("'{}'", self.path.display());
        let newest = marker.as_ref().and_then(Marker::newest);
        let enforced = self.mode != Mode::Snapshot;
        let io = |e| Error::io("read the keyring file", place.clone(), e);
        // The header first: nothing that it does not authenticate decides what is read and allocated.
        let mut bytes = Vec::new();
        (&mut file)
            .take(MAX_HEADER as u64)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let opened = header::open(
            &bytes,
            &header::Expected {
                place: &place,
                restore: damage::RESTORE,
                pool: &self.pool,
                keks: &self.keks,
                deadline,
                pinned,
                belongs: self
                    .data_dir
                    .as_deref()
                    .zip(newest.map(|s| &s.file_id))
                    .filter(|_| enforced),
            },
        );
        self.collect_kek_warnings();
        let OpenHeader {
            parsed,
            dek,
            keys,
            used,
            warnings,
        } = opened?;
        self.warnings.extend(warnings);
        let header = &parsed.header;
        predecessor.map_or(Ok(()), |p| p.check_file(&header.file_id, &place))?;
        let memory = predecessor
            .and_then(|p| p.last)
            .filter(|last| last.file_id == header.file_id);
        let marker_slots: Vec<&Slot> = marker.iter().flat_map(Marker::slots).collect();
        let mut watches: Vec<Watch> = (memory.iter().map(|m| m.at))
            .chain(marker_slots.iter().map(|slot| slot.at))
            .map(Watch::new)
            .collect();
        let bound = bound(header, newest, memory.as_ref());
        let (mut live, mut dead) = (0, 0);
        let start = parsed.length as u64;
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut reader = &file;
        let mut journal = Window::new(&mut reader, start, meta.len().saturating_sub(start))?;
        let end = scan::scan(
            &self.pool,
            &mut journal,
            &parsed,
            &keys,
            &mut watches,
            &bound,
            &mut |change, length| {
                let is_kept = change.is_kept();
                let died = sink(change)?;
                live = live + if is_kept { length } else { 0 } - died;
                dead += died + if is_kept { 0 } else { length };
                Ok(())
            },
        )
        .map_err(|e| e.at(&place))?;
        let (of_memory, of_marker) = watches.split_at(usize::from(memory.is_some()));
        if let Some(e) = self.astray(of_memory, &parsed, &end, "the server's memory holds") {
            return Err(e.hint(DO_NOT_STOP));
        }
        let misfit = match newest {
            Some(slot) if slot.file_id != header.file_id => {
                Some(header::foreign(&place, self.data_dir.as_deref()))
            }
            _ => self.astray(of_marker, &parsed, &end, "the marker knows of"),
        };
        let known = newest.is_some_and(|slot| slot.file_id == header.file_id);
        self.judge_marker(marker.as_ref(), misfit)?;
        self.check_torn_end(&end, known)?;
        let inode = (meta.dev(), meta.ino());
        let stamp = Stamp::of(meta);
        let unchanged = memory.is_some_and(|m| {
            let at = Waypoint {
                generation: header.generation,
                sequence: end.sequence,
                chain: end.chain,
                header: short(&parsed.mac),
            };
            (m.synced, m.at) == (Some(stamp), at)
        });
        if !unchanged {
            let failed = memory.is_some_and(|m| m.failed == Some(inode));
            self.make_durable(&file, failed)?;
        }
        self.live_bytes = live;
        self.dead_bytes = dead;
        self.used = used;
        self.journal = Some(Journal {
            inode,
            synced: Some(stamp),
            header: parsed.header,
            mac: parsed.mac,
            file,
            dek,
            keys,
            end,
        });
        if end.torn > 0 {
            let torn = self.torn_bytes(&end).map_err(io)?;
            self.mend(&torn, &bound);
        }
        self.mark(Survives::PowerCut);
        Ok(())
    }

    /// What lies behind the last whole record: less than a frame.
    fn torn_bytes(&self, end: &End) -> io::Result<Vec<u8>> {
        let mut torn = vec![0; end.torn.min(window::LOOK as u64) as usize];
        if let Some(journal) = &self.journal {
            journal.file.read_exact_at(&mut torn, end.offset)?;
        }
        Ok(torn)
    }

    fn too_long(&self, bytes: u64) -> Error {
        Error::new(
            Kind::Tampered,
            OP,
            format!(
                "'{}' has {bytes} bytes, a server reads at most {}",
                self.path.display(),
                self.limits.file
            ),
        )
        .hint(
            "Keyring Ward never writes such a file. Restore it from a backup; `keyring-ward verify` \
             reads files of any size, `keyring-ward compact` shortens one with many removed keys.",
        )
    }

    /// The error where the journal does not hold what somebody remembers.
    fn astray(
        &self,
        watches: &[Watch],
        journal: &ParsedHeader,
        end: &End,
        who_knows: &str,
    ) -> Option<Error> {
        let place = format!("'{}'", self.path.display());
        let why = waypoint::misfit(&place, watches, journal, end, who_knows)?;
        let e = Error::new(Kind::Tampered, OP, why);
        Some(match &self.data_dir {
            Some(dir) => e.hint(marker::reset_hint(dir)),
            None => e.hint("Put the newest copy in place."),
        })
    }

    /// A server does not open what the marker contradicts; a look only notes it.
    fn judge_marker(&mut self, marker: Option<&Marker>, misfit: Option<Error>) -> Result<()> {
        let (Some(dir), enforced) = (&self.data_dir, self.mode != Mode::Snapshot) else {
            return Ok(());
        };
        self.marker_says = match (marker, misfit) {
            (_, Some(e)) if enforced => return Err(e),
            (_, Some(e)) => MarkerSays::Misfit(Arc::new(e)),
            (None, None) => MarkerSays::NoMarker,
            (Some(m), None) => match m.newest() {
                Some(slot) => MarkerSays::Fits(slot.at.sequence),
                None => MarkerSays::Damaged(marker::damaged_warning(dir)),
            },
        };
        if let (MarkerSays::Damaged(sentence), true) = (&self.marker_says, enforced) {
            self.warnings.push(sentence.clone());
        }
        Ok(())
    }

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

impl Store for FileStore {
    fn append(&mut self, change: &Change<'_>) -> Result<()> {
        let replaces = match change {
            Change::Put(_) => 0,
            Change::Remove(key) => key_length(key),
        };
        self.append_change(&change.into(), replaces)
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

    fn mix_random(&self, bytes: &mut [u8]) -> Result<()> {
        match self.keks.first().filter(|kek| kek.supplies_material()) {
            Some(kek) => kek.mix_random(bytes, Deadline::after(self.kek_patience)),
            None => Ok(()),
        }
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
    fn append_any(&mut self, change: &Operation<'_>, replaces: u64) -> Result<()> {
        self.append_change(change, replaces)
    }

    fn rewrite(&mut self, live: &Live<'_>) -> Result<()> {
        self.rewrite_all(live)
    }

    fn rekey(&mut self, live: &Live<'_>, keks: Keks, keep_dek: bool) -> Result<()> {
        self.rekey_all(live, keks, keep_dek)
    }

    fn sync(&mut self, live: &Live<'_>, keks: Keks, strict: bool) -> Result<Vec<Synced>> {
        self.sync_all(live, keks, strict)
    }

    fn kek_test(&self) -> Result<Option<KekTest>> {
        let Some(Journal { header, dek, .. }) = &self.journal else {
            return Ok(None);
        };
        Ok(Some(KekTest {
            keks: self.keks.clone(),
            pool: self.pool.clone(),
            file_id: header.file_id,
            stanzas: header.stanzas.clone(),
            dek: self.pool.copy(dek)?,
        }))
    }

    fn is_under(&self, kek: &dyn Kek, deadline: Deadline) -> Result<bool> {
        self.is_all_under(kek, deadline)
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

    fn prepare_dek(&mut self, keks: &Keks) -> Result<[u8; FINGERPRINT]> {
        self.next_dek(keks)
    }
}
