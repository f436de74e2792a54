//! The marker in the data directory: "there was a keyring, this one, and this record was acknowledged".
//!
//! A missing keyring file is not an empty keyring when there was one (unmounted volume, wrong path), and an older
//! copy is not the keyring. Two slots lie 4 KiB apart; each names the last acknowledged record of its time. After
//! the sync of each write the older slot is overwritten without a sync of its own: a kill keeps that, a power cut
//! leaves an older bound. It must never name a record that is not on the disk yet, holds no secret, and a marker
//! that can't be written must never fail a write.

use super::file::waypoint::Waypoint;
use crate::envelope::FILE_ID;
use crate::error::{Error, Kind, Result};
use crate::os::file::{self, Access};
use crate::store::Mode;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The marker's name in the data directory.
pub const NAME: &str = "keyring_ward.marker";
/// The distance of the two slots: no sector, page or block holds both.
pub const SLOT_DISTANCE: u64 = 4096;
/// Bytes of a slot.
pub const SLOT: usize = FIELDS + 4;
const MAGIC: [u8; 8] = *b"\x8aKWMARK\x01";
const OP: &str = "read the keyring's marker";
const WRITE: &str = "write the keyring's marker";

/// Which start of the machine; all zeroes: unknown.
pub type BootId = [u8; 16];

/// What a slot says: this record of this keyring was acknowledged in this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Which keyring belongs to this data directory.
    pub file_id: [u8; FILE_ID],
    /// The last acknowledged record.
    pub at: Waypoint,
    /// When that was.
    pub boot: BootId,
}

impl Slot {
    /// A slot of the present boot.
    pub fn now(file_id: [u8; FILE_ID], at: Waypoint) -> Slot {
        Slot {
            file_id,
            at,
            boot: boot_id(),
        }
    }

    /// It was written in the present boot, for sure.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot == boot_id() && self.boot != BootId::default()
    }

    /// The slot's bytes (docs/reference/format.md).
    pub fn bytes(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        let fields: [&[u8]; 7] = [
            &MAGIC,
            &self.file_id,
            &self.at.generation.to_le_bytes(),
            &self.at.sequence.to_le_bytes(),
            &self.at.chain,
            &self.at.header,
            &self.boot,
        ];
        let mut at = 0;
        for field in fields {
            out[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        let crc = crc32fast::hash(&out[..at]);
        out[at..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a slot. `None`: it was never written, or not wholly.
    pub fn parse(bytes: &[u8]) -> Option<Slot> {
        let bytes = bytes.get(..SLOT)?;
        let (covered, crc) = bytes.split_at(FIELDS);
        if bytes[..8] != MAGIC || crc != crc32fast::hash(covered).to_le_bytes() {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Slot {
            file_id: bytes[8..24].try_into().ok()?,
            at: Waypoint {
                generation: number(24)?,
                sequence: number(32)?,
                chain: bytes[40..72].try_into().ok()?,
                header: bytes[72..88].try_into().ok()?,
            },
            boot: bytes[88..104].try_into().ok()?,
        })
    }

    fn age(&self) -> (u64, u64) {
        (self.at.generation, self.at.sequence)
    }
}

/// Bytes of a slot that its checksum covers.
const FIELDS: usize = 104;

/// The present boot, as the kernel names it.
pub fn boot_id() -> BootId {
    static BOOT: OnceLock<BootId> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16)
            .map(u128::to_be_bytes)
            .unwrap_or_default()
    })
}

/// A marker that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker {
    slots: [Option<Slot>; 2],
}

impl Marker {
    fn parse(bytes: &[u8]) -> Marker {
        let slot = |i: usize| Slot::parse(bytes.get(i * SLOT_DISTANCE as usize..)?);
        let slots = [slot(0), slot(1)];
        match slots {
            // Two keyrings can't both belong to a data directory.
            [Some(a), Some(b)] if a.file_id != b.file_id => Marker::default(),
            _ => Marker { slots },
        }
    }

    /// What is known last; `None`: both slots are damaged, so there was a keyring, and no more is known.
    pub fn newest(&self) -> Option<&Slot> {
        self.slots.iter().flatten().max_by_key(|s| s.age())
    }

    /// All slots that are whole.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().flatten()
    }

    /// The index of the slot that is overwritten next.
    fn older(&self) -> usize {
        match self.slots {
            [Some(a), Some(b)] if b.age() < a.age() => 1,
            [Some(_), None] => 1,
            _ => 0,
        }
    }
}

/// The marker's path in a data directory.
pub fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join(NAME)
}

/// What to do about a marker that does not fit.
pub fn reset_hint(data_dir: &Path) -> String {
    format!(
        "Mount the volume or correct the path, or put the newest copy in place. Only if this data directory \
         really starts with another keyring (copied from another server; an older one on purpose: what was made or \
         rotated since is lost), run: keyring-ward reset-marker --datadir '{}'",
        data_dir.display()
    )
}

/// What is said where both slots are damaged.
pub fn damaged_warning(data_dir: &Path) -> String {
    format!(
        "'{}' is damaged, so it is not known whether the keyring file is the newest. It is written anew with the \
         next change of the keyring.",
        path_in(data_dir).display()
    )
}

/// Reads the marker of a data directory; `None` where there is none.
///
/// # Errors
/// It is there and can't be read.
pub fn read(data_dir: &Path) -> Result<Option<Marker>> {
    let path = path_in(data_dir);
    let fail = |e| {
        Error::io(OP, format!("'{}'", path.display()), e).hint(
            "The account that runs mysqld must own it, with mode 0600, and it must be a regular file.",
        )
    };
    // A copy of the data directory by hard links is no reason to stop: nothing is written to what has two names.
    match file::open(&path, Access::ReadLinked) {
        Ok((file, _)) => read_slots(&file).map(Some).map_err(fail),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fail(e)),
    }
}

fn read_slots(file: &File) -> io::Result<Marker> {
    let mut bytes = [0; SLOT_DISTANCE as usize + SLOT];
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(Marker::parse(&bytes[..got]))
}

/// How much a mark must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// A kill: written, not synced. For each write.
    Kill,
    /// A power cut: synced. For openings and rewrites.
    PowerCut,
}

/// The marker of whoever has the keyring open. A shared lock on it tells others so.
pub struct Keeper {
    path: PathBuf,
    open: Option<Open>,
    /// It writes, or only holds the lock.
    writes: bool,
    /// It was opened or made: if it is gone now, somebody removed it.
    known: bool,
    /// How often the marker could not be written.
    failures: u64,
    /// How often in succession it could not be made anew.
    in_vain: u64,
    /// How many marks are left out before that is tried again.
    left_out: u64,
    warned: bool,
}

struct Open {
    file: File,
    inode: (u64, u64),
    marker: Marker,
}

impl Keeper {
    /// The keeper of a data directory's marker. Nothing is opened yet.
    pub fn new(data_dir: &Path) -> Keeper {
        Keeper {
            path: path_in(data_dir),
            open: None,
            writes: true,
            known: false,
            failures: 0,
            in_vain: 0,
            left_out: 0,
            warned: false,
        }
    }

    /// A keeper for whoever opens a keyring in this `mode`. A server that only reads holds the lock and writes nothing; a
    /// `tool` writes to a marker that is `there` and makes none: which keyring begins in a data directory is the
    /// server's to say.
    pub fn of(data_dir: &Path, mode: Mode, tool: bool, there: bool) -> Option<Keeper> {
        let mut keeper = Keeper::new(data_dir);
        match mode {
            Mode::ReadWrite if there || !tool => {}
            Mode::ReadOnly => {
                keeper.writes = false;
                keeper.open = Open::of(&keeper.path, Access::ReadLinked).ok();
                keeper.known = keeper.open.is_some();
            }
            Mode::ReadWrite | Mode::DryRun | Mode::Snapshot => return None,
        }
        Some(keeper)
    }

    /// How often the marker could not be written.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Somebody removed the marker, which was there: another keyring shall begin. One that could never be made, or that
    /// nobody can see now, says nothing.
    pub fn was_removed(&self) -> bool {
        let folder = self.path.parent().is_some_and(Path::is_dir);
        self.known && folder && is_absent(&self.path)
    }

    /// Notes that a record is on the disk. A marker that is gone, damaged or another keyring's is made anew,
    /// durably. What goes wrong is counted; the first time it gives a sentence for the log.
    pub fn mark(&mut self, slot: &Slot, survives: Survives) -> Option<String> {
        if !self.writes {
            return None;
        }
        match self.try_mark(slot, survives) {
            Ok(true) => {
                self.warned = false;
                (self.in_vain, self.left_out) = (0, 0);
                None
            }
            Ok(false) => None,
            Err(e) => {
                self.failures += 1;
                let warn = !std::mem::replace(&mut self.warned, true);
                warn.then(|| {
                    format!(
                        "{} The keyring works on, but a missing keyring file or an older copy of it might not \
                         be noticed at the next start.",
                        Error::io(WRITE, format!("'{}'", self.path.display()), e)
                            .hint("Make room in the data directory and mend its rights.")
                    )
                })
            }
        }
    }

    /// `false`: it was left out.
    fn try_mark(&mut self, slot: &Slot, survives: Survives) -> io::Result<bool> {
        match std::fs::symlink_metadata(&self.path) {
            // Its other name is somebody's copy, which must stay as it is.
            Ok(meta) if meta.nlink() != 1 => self.open = None,
            Ok(meta) => {
                let inode = (meta.dev(), meta.ino());
                if self.open.as_ref().is_none_or(|o| o.inode != inode) {
                    // Another process made it, or nobody has opened it yet.
                    self.open = Open::of(&self.path, Access::ReadWrite).ok();
                    self.known |= self.open.is_some();
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.open = None,
            // Not seen is not gone: what is open is written.
            Err(_) => {}
        }
        let usable = |o: &&mut Open| o.marker.newest().is_some_and(|s| s.file_id == slot.file_id);
        match self.open.as_mut().filter(usable) {
            Some(open) => open.mark(slot, survives).map(|()| true),
            None => self.make_anew(slot, survives),
        }
    }

    /// Costs syncs, which must not slow down every write.
    fn make_anew(&mut self, slot: &Slot, survives: Survives) -> io::Result<bool> {
        if self.left_out > 0 && survives == Survives::Kill {
            self.left_out -= 1;
            return Ok(false);
        }
        let made = make(&self.path, slot).inspect_err(|_| {
            self.in_vain += 1;
            self.left_out = self.in_vain.next_power_of_two().min(1024);
        })?;
        self.open = Some(made);
        self.known = true;
        Ok(true)
    }
}

impl Open {
    fn of(path: &Path, access: Access) -> io::Result<Open> {
        let (file, meta) = file::open(path, access)?;
        // Refused only while somebody resets the marker.
        let _ = file.try_lock_shared();
        Ok(Open {
            marker: read_slots(&file)?,
            inode: (meta.dev(), meta.ino()),
            file,
        })
    }

    fn mark(&mut self, slot: &Slot, survives: Survives) -> io::Result<()> {
        if self.marker.newest() == Some(slot) {
            return Ok(());
        }
        let older = self.marker.older();
        self.file
            .write_all_at(&slot.bytes(), older as u64 * SLOT_DISTANCE)?;
        self.marker.slots[older] = Some(*slot);
        match survives {
            Survives::Kill => Ok(()),
            Survives::PowerCut => self.file.sync_data(),
        }
    }
}

/// There is nothing of that name, for sure.
fn is_absent(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// There is a marker in this data directory, or something that can't be told from one.
pub fn is_there(data_dir: &Path) -> bool {
    !is_absent(&path_in(data_dir))
}

/// Writes a new marker durably.
fn make(path: &Path, slot: &Slot) -> io::Result<Open> {
    let mut bytes = vec![0; SLOT_DISTANCE as usize + SLOT];
    bytes[..SLOT].copy_from_slice(&slot.bytes());
    bytes[SLOT_DISTANCE as usize..].copy_from_slice(&slot.bytes());
    file::replace_file(path, &bytes)?;
    Open::of(path, Access::ReadWrite)
}

/// A marker that was put aside.
#[derive(Debug)]
pub struct Reset {
    /// Where it was.
    pub path: PathBuf,
    /// Where it is now: to be moved back if the reset was a mistake.
    pub kept: PathBuf,
    /// The last record that it knew (generation and number); `None` where it was damaged or could not be read.
    pub knew: Option<(u64, u64)>,
}

/// Puts the marker of a data directory aside, whose server must not run.
///
/// # Errors
/// NotFound: there is none. Locked: a running server keeps it.
pub fn reset(data_dir: &Path) -> Result<Reset> {
    const RESET: &str = "reset the keyring's marker";
    let path = path_in(data_dir);
    let fail = |e: io::Error| {
        let e = Error::io(RESET, format!("'{}'", path.display()), e);
        let hint = match e.kind() {
            Kind::NotFound => "There is nothing to reset.",
            _ => "Run this as root or as the account that runs mysqld.",
        };
        e.hint(hint)
    };
    let (file, _) = file::open(&path, Access::ReadLinked).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let why = format!("'{}' is in use by a running server", path.display());
            return Err(Error::new(Kind::Locked, RESET, why).hint(
                "Its memory may hold keys that no file has. If its keyring was lost or replaced, don't stop it: remove what is \
                 in the keyring's place and run ALTER INSTANCE RELOAD KEYRING, which writes all keys anew. Only if another \
                 keyring is really meant: stop the server, put that one in place, and run this again.",
            ));
        }
        Err(std::fs::TryLockError::Error(e)) => return Err(fail(e)),
    }
    // One that can't be read is put aside all the same.
    let marker = read_slots(&file).ok();
    let newest = marker.as_ref().and_then(Marker::newest);
    let knew = newest.map(|slot| (slot.at.generation, slot.at.sequence));
    let kept = file::beside(&path, ".old");
    std::fs::rename(&path, &kept).map_err(fail)?;
    Ok(Reset { path, kept, knew })
}

#[cfg(test)]
#[path = "marker_tests.rs"]
mod tests;
