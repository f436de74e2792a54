//! Opening the keyring file: what must be there, and be what the marker and the server's memory know.
//!
//! Owns the order of an opening: lock, marker, file, header, journal, judgement, sync, cut. It must never publish what it has
//! not proved, and never write before that.

use super::access;
use super::ahead::{self, Keep};
use super::durable::Stamp;
use super::owing::{Collected, Owing};
use super::scan::{self, End, Scanned};
use super::torn::Bound;
use super::waypoint::{self, Watch};
use super::window::{self, Window};
use super::write;
use super::{BEGIN_ANEW, ByTool, FileStore, Held, Journal, OP, Refusing, Remembered};
use crate::audit::outbox::Outbox;
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::format::damage;
use crate::format::header::{Header, MAX_HEADER, ParsedHeader};
use crate::kek::Keks;
use crate::key::limits::FINGERPRINT;
use crate::key::record::ReadChange;
use crate::os::file;
use crate::secret::SecretPool;
use crate::store::header::{self, OpenHeader};
use crate::store::lock::Lock;
use crate::store::marker::{self, Keeper, Marker, Slot, Survives};
use crate::store::{Died, Handover, MarkerSays, Mode};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
    /// Where changes go that the audit log is to tell; `None`: there is no log.
    pub audit: Option<Arc<Outbox>>,
}

/// What an opening is held against.
struct Asked<'a> {
    pinned: &'a [[u8; FINGERPRINT]],
    deadline: Deadline,
    marker: Option<&'a Marker>,
    predecessor: Option<&'a Held>,
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

/// Keeps a change that was read, and tells what died by it.
pub type Sink<'a> = dyn FnMut(ReadChange) -> Result<Died> + 'a;

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
            owing: Owing::new(options.audit),
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
                if meta.len() > store.limits.file && !options.any_length {
                    return Err(store.too_long(meta.len()));
                }
                let asked = Asked {
                    pinned: &options.fingerprint,
                    deadline: options.deadline,
                    marker: marker.as_ref(),
                    predecessor,
                };
                store.read(file, &meta, asked, sink)?;
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

    /// Reads a file that is there, proves that it is the one that memory and marker know, and makes it durable.
    fn read(
        &mut self,
        mut file: File,
        meta: &Metadata,
        asked: Asked<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let place = self.place();
        let newest = asked.marker.and_then(Marker::newest);
        let opened = self.open_header(&mut file, &asked)?;
        let header = &opened.parsed.header;
        let known_file = newest.is_some_and(|slot| slot.file_id == header.file_id);
        asked
            .predecessor
            .map_or(Ok(()), |p| p.check_file(&header.file_id, &place))?;
        let memory =
            (asked.predecessor.and_then(|p| p.last)).filter(|last| last.file_id == header.file_id);
        let bound = bound(header, newest, memory.as_ref());

        let slots = asked
            .marker
            .into_iter()
            .flat_map(Marker::slots)
            .map(|slot| slot.at);
        let mut watches: Vec<Watch> = (memory.iter().map(|m| m.at))
            .chain(slots)
            .map(Watch::new)
            .collect();
        let (end, owed) = self.walk(&mut file, meta, &opened, &mut watches, &bound, sink)?;
        let (of_memory, of_marker) = watches.split_at(usize::from(memory.is_some()));
        if let Some(e) = self.astray(of_memory, &opened.parsed, &end, "the server's memory holds") {
            return Err(e.hint(DO_NOT_STOP));
        }
        let misfit = match newest {
            Some(_) if !known_file => Some(header::foreign(&place, self.data_dir.as_deref())),
            _ => self.astray(of_marker, &opened.parsed, &end, "the marker knows of"),
        };
        self.judge_marker(asked.marker, misfit)?;
        self.check_torn_end(&end, known_file)?;
        let file_id = header.file_id;
        self.keep(file, meta, opened, end, memory)?;
        match self.mode {
            Mode::ReadWrite => self.owing.opened(file_id, &end, owed),
            // What another server owes is told in its own log.
            Mode::ReadOnly => self.owing.opened(file_id, &end, Collected::default()),
            // For who asks what the journal knows.
            Mode::Snapshot | Mode::DryRun => self.owing.opened(file_id, &end, owed),
        }
        if end.torn > 0 {
            let torn = self.torn_bytes(&end).map_err(|e| self.unreadable(e))?;
            self.mend(&torn, &bound);
        }
        self.mark(Survives::PowerCut);
        Ok(())
    }

    /// The header first: nothing that it does not authenticate decides what is read and allocated.
    fn open_header(&mut self, file: &mut File, asked: &Asked<'_>) -> Result<OpenHeader> {
        let mut bytes = Vec::new();
        file.take(MAX_HEADER as u64)
            .read_to_end(&mut bytes)
            .map_err(|e| self.unreadable(e))?;
        let newest = asked
            .marker
            .and_then(Marker::newest)
            .map(|slot| &slot.file_id);
        let belongs = self.data_dir.as_deref().zip(newest);
        let opened = header::open(
            &bytes,
            &header::Expected {
                place: &self.place(),
                restore: damage::RESTORE,
                pool: &self.pool,
                keks: &self.keks,
                deadline: asked.deadline,
                pinned: asked.pinned,
                belongs: belongs.filter(|_| self.mode != Mode::Snapshot),
            },
        );
        self.collect_kek_warnings();
        let mut opened = opened?;
        self.warnings.append(&mut opened.warnings);
        Ok(opened)
    }

    /// Reads the journal behind the header, and counts what of it is alive.
    fn walk(
        &mut self,
        file: &mut File,
        meta: &Metadata,
        opened: &OpenHeader,
        watches: &mut [Watch],
        bound: &Bound,
        sink: &mut Sink<'_>,
    ) -> Result<(End, Collected)> {
        let start = opened.parsed.length as u64;
        file.seek(SeekFrom::Start(start))
            .map_err(|e| self.unreadable(e))?;
        let mut reader = &*file;
        let length = meta.len().saturating_sub(start);
        let mut journal = Window::new(&mut reader, start, length)?;
        let (mut live, mut dead): (Died, Died) = (0, 0);
        let mut owed = Collected::default();
        let mut count = |read: Scanned| {
            let length = read.length as Died;
            if owed.take(&read) {
                // To drop it alone no rewrite is worth it.
                live += length;
                return Ok(());
            }
            let is_kept = read.change.is_kept();
            let died = sink(read.change)?;
            live = live + if is_kept { length } else { 0 } - died;
            dead += died + if is_kept { 0 } else { length };
            Ok(())
        };
        let OpenHeader { parsed, keys, .. } = opened;
        let pool = &self.pool;
        let mut read = |keep: &mut Keep<'_>| {
            scan::scan(pool, &mut journal, parsed, keys, watches, bound, keep)
        };
        let end = match length > ahead::LONG {
            true => ahead::both(read, &mut count),
            false => read(&mut count),
        };
        let end = end.map_err(|e| e.at(&self.place()))?;
        (self.live_bytes, self.dead_bytes) = (live.max(0) as u64, dead.max(0) as u64);
        Ok((end, owed))
    }

    /// Takes a journal that has passed, once it is on the disk.
    fn keep(
        &mut self,
        file: File,
        meta: &Metadata,
        opened: OpenHeader,
        end: End,
        memory: Option<Remembered>,
    ) -> Result<()> {
        let OpenHeader {
            parsed,
            dek,
            keys,
            used,
            ..
        } = opened;
        let (inode, stamp) = ((meta.dev(), meta.ino()), Stamp::of(meta));
        let journal = Journal {
            inode,
            synced: Some(stamp),
            header: parsed.header,
            mac: parsed.mac,
            file,
            dek,
            keys,
            end,
        };
        let unchanged =
            memory.is_some_and(|m| (m.synced, m.at) == (Some(stamp), journal.waypoint()));
        if !unchanged {
            let failed = memory.is_some_and(|m| m.failed == Some(inode));
            self.make_durable(&journal.file, failed)?;
        }
        self.used = used;
        self.journal = Some(journal);
        Ok(())
    }

    fn place(&self) -> String {
        format!("'{}'", self.path.display())
    }

    fn unreadable(&self, e: io::Error) -> Error {
        Error::io("read the keyring file", self.place(), e)
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
        let why = waypoint::misfit(&self.place(), watches, journal, end, who_knows)?;
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
}
