//! The token store: each key is a sealed object of its own on a PKCS#11 token, nothing is on disk.
//!
//! One object `head` holds what a keyring file's header holds: file id, salt and the DEK, wrapped by the KEK
//! on the same token. Every other object is one record, sealed under keys derived from that DEK; its
//! associated data binds it to its label, so that objects can't be exchanged (docs/reference/format.md). Creating or
//! destroying one object is one call of the token, so nothing is ever half done. It must never take an
//! object that it can't open for an absent key, and never replace an object that it does not know.

use super::basis::Basis;
use super::file::OpenOptions;
use super::file::waypoint::Waypoint;
use super::header::{self, OpenHeader};
use super::lock::Lock;
use super::marker::{self, Keeper, Marker, Slot, Survives};
use super::{Died, Handover, Journal, MarkerSays, Mode, OnDemand, Store, StoreInfo};
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, FileKeys, MAC, NONCE, Position, TAG, fingerprint};
use crate::error::{Error, Kind, Result};
use crate::format::header::{Header, finish_header};
use crate::format::lineage::SHORT;
use crate::format::record::{Operation, put_plaintext_length, read_plaintext};
use crate::format::stanza::Stanza;
use crate::kek::adapter::attempt;
use crate::kek::away;
use crate::kek::pkcs11::Pkcs11Config;
use crate::kek::pkcs11::objects::{Object, Objects};
use crate::kek::{Contact, Keks};
use crate::key::info::KeyInfo;
use crate::key::limits::FINGERPRINT;
use crate::key::record::{Change, KeyRecord, ReadChange};
use crate::os::file;
use crate::os::wire::Wire;
use crate::secret::{SecretBytes, SecretPool, fill_random};
use crate::text::clean;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const OP: &str = "open the keyring on the token";
const WRITE: &str = "write the keyring on the token";
const HEAD: &str = "head";
const MAGIC: [u8; 4] = *b"KWO\x01";
/// Magic, sequence number, nonce, tag: what a record's object has beside its text.
const OVERHEAD: usize = 4 + 8 + NONCE + TAG;

/// An open head.
struct Opened {
    header: Header,
    dek: SecretBytes,
    keys: FileKeys,
}

/// See the module's documentation.
pub struct TokenStore {
    objects: Objects,
    mode: Mode,
    data_dir: Option<PathBuf>,
    keeper: Option<Keeper>,
    marker_says: MarkerSays,
    keks: Arc<Keks>,
    patience: Duration,
    pool: SecretPool,
    lock: Option<Arc<Lock>>,
    opened: Option<Opened>,
    /// The highest sequence number so far; the next record gets the one behind it.
    sequence: u64,
    bytes: u64,
    retired: bool,
    contact: Mutex<Contact>,
    warnings: Vec<String>,
}

impl TokenStore {
    /// Reads every object and gives each key to `sink`. A token without a head is an empty keyring, unless the
    /// marker says otherwise; the first write makes it.
    ///
    /// # Errors
    /// Locked, NotFound (marker without head), WrongKek, Tampered, and the token's own errors.
    pub fn open(
        options: OpenOptions<'_>,
        config: &Pkcs11Config,
        sink: &mut dyn FnMut(ReadChange) -> Result<Died>,
    ) -> Result<TokenStore> {
        let (_, path) = file::resolve(options.path, OP)?;
        let inherited = options.predecessor.as_ref().and_then(Handover::lock);
        let lock = Lock::for_mode(&path, options.mode, inherited)?;
        let mut store = TokenStore {
            objects: Objects::new(config.clone()),
            mode: options.mode,
            keeper: None,
            data_dir: options.data_dir,
            marker_says: MarkerSays::NotAsked,
            keks: Arc::new(options.keks),
            patience: options.kek_patience,
            pool: options.pool,
            lock,
            opened: None,
            sequence: 0,
            bytes: 0,
            retired: false,
            contact: Mutex::default(),
            warnings: Vec::new(),
        };
        let marker = match &store.data_dir {
            Some(dir) => marker::read(dir)?,
            None => None,
        };
        let (tool, there) = (options.by_tool.is_some(), marker.is_some());
        let dir = store.data_dir.as_deref();
        store.keeper = dir.and_then(|dir| Keeper::of(dir, store.mode, tool, there));
        store.read(&options.fingerprint, options.deadline, marker, sink)?;
        store.lock.iter().try_for_each(|lock| lock.check_there())?;
        Ok(store)
    }

    /// Attempts within the deadline, each in a child where nothing may stay behind.
    fn attempt<T: Wire>(&self, deadline: Deadline, mut f: impl FnMut() -> Result<T>) -> Result<T> {
        let whom = format!("the {}", self.objects.place());
        let pool = SecretPool::new();
        let once = || {
            let work = || (f(), Vec::new());
            away::ask(&whom, deadline, away::MOST_OF_A_STORE, &pool, work).0
        };
        let note = |error: Option<&Error>| {
            let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
            contact.note(error);
        };
        attempt(deadline, note, once)
    }

    fn read(
        &mut self,
        pinned: &[[u8; FINGERPRINT]],
        deadline: Deadline,
        marker: Option<Marker>,
        sink: &mut dyn FnMut(ReadChange) -> Result<Died>,
    ) -> Result<()> {
        let all = self.attempt(deadline, || self.objects.read_all(deadline))?;
        let (mut heads, mut records): (Vec<Object>, Vec<Object>) =
            all.into_iter().partition(|o| o.label == HEAD);
        // A head that the token broke off was never acknowledged; the first write makes it anew.
        heads.retain(|o| !o.value.is_empty());
        let head = match &heads[..] {
            [] => return self.missing(records.len(), marker.as_ref(), deadline),
            [head] => head,
            _ => {
                return Err(self.wrong(
                    Kind::Config,
                    "it has more than one head: two servers began a keyring under the same KEK",
                    "Give each server a KEK of its own; remove the head that is not yours with the vendor's tool.",
                ));
            }
        };
        let place = self.objects.place();
        let newest = marker.as_ref().and_then(Marker::newest);
        let opened = header::open(
            &head.value,
            &header::Expected {
                place: &place,
                restore: RESTORE,
                pool: &self.pool,
                keks: &self.keks,
                deadline,
                pinned,
                belongs: self
                    .data_dir
                    .as_deref()
                    .zip(newest.map(|s| &s.file_id))
                    .filter(|_| self.mode != Mode::Snapshot),
            },
        );
        self.collect_kek_warnings();
        let OpenHeader {
            parsed, dek, keys, ..
        } = opened?;
        if parsed.length != head.value.len() {
            return Err(self.wrong(Kind::Tampered, "its head is longer than it says", RESTORE));
        }
        self.bytes = head.value.len() as u64;
        self.opened = Some(Opened {
            header: parsed.header,
            dek,
            keys,
        });
        let mut warnings = Vec::new();
        let mut bytes = 0;
        let mut put = |record, length| {
            bytes += length;
            sink(ReadChange::Put(record)).map(drop)
        };
        self.each(&mut records, &mut put, &mut |s| warnings.push(s))?;
        self.bytes += bytes;
        self.warnings.append(&mut warnings);
        let sequences = records.iter().map(|o| sequence_of(&o.value));
        self.sequence = sequences.max().unwrap_or(0);
        self.look_at_marker(marker.as_ref(), &place);
        self.mark();
        Ok(())
    }

    /// Gives each key in all objects but the head to `sink`, one at a time (an uncached keyring holds no material),
    /// with its object's length in bytes. What does not count is told.
    fn each(
        &self,
        records: &mut [Object],
        sink: &mut dyn FnMut(KeyRecord, u64) -> Result<()>,
        warn: &mut dyn FnMut(String),
    ) -> Result<()> {
        // The newest of several under one label comes last: only that one counts.
        records.sort_by_cached_key(|o| (o.label.clone(), sequence_of(&o.value)));
        for (i, object) in records.iter().enumerate() {
            if object.value.is_empty() {
                warn(format!(
                    "The object '{}' on the {} is empty: a write that the token broke off and that was never \
                     acknowledged. It counts for nothing and is left as it is.",
                    clean(&object.label),
                    self.objects.place()
                ));
                continue;
            }
            let record = self.unseal(object)?;
            let label = &object.label;
            if records.get(i + 1).is_some_and(|next| next.label == *label) {
                warn(format!(
                    "The {} holds several objects '{}' ({}): the newest counts, the others are left as they are.",
                    self.objects.place(),
                    clean(label),
                    record.id
                ));
                continue;
            }
            sink(record, object.value.len() as u64)?;
        }
        Ok(())
    }

    fn missing(
        &mut self,
        records: usize,
        marker: Option<&Marker>,
        deadline: Deadline,
    ) -> Result<()> {
        if records > 0 {
            let why =
                format!("it has {records} keys of a keyring, but not the head that opens them");
            return Err(self.wrong(Kind::Tampered, &why, RESTORE));
        }
        if let (Some(_), Some(dir)) = (marker, &self.data_dir) {
            let hint = marker::reset_hint(dir);
            return Err(self.wrong(
                Kind::NotFound,
                "it holds no keyring, but the marker in the data directory says that this server had one",
                &hint,
            ));
        }
        if self.mode != Mode::ReadWrite {
            return Err(Error::new(Kind::NotFound, OP, self.objects.place())
                .because(NoKeyring)
                .hint("A keyring that is opened read-only must exist."));
        }
        let probed = self.keks.probe(&self.pool, deadline);
        self.collect_kek_warnings();
        probed
    }

    fn wrong(&self, kind: Kind, why: &str, hint: &str) -> Error {
        Error::new(kind, OP, format!("{}: {why}", self.objects.place())).hint(hint)
    }

    fn collect_kek_warnings(&mut self) {
        self.warnings.extend(self.keks.take_warnings());
    }

    /// What the marker says where it is not enforced, and what is to be said of a damaged one.
    fn look_at_marker(&mut self, marker: Option<&Marker>, place: &str) {
        let (Some(dir), Some(opened)) = (&self.data_dir, &self.opened) else {
            return;
        };
        self.marker_says = match marker.map(Marker::newest) {
            None => MarkerSays::NoMarker,
            Some(None) => MarkerSays::Damaged(marker::damaged_warning(dir)),
            Some(Some(slot)) if slot.file_id != opened.header.file_id => {
                MarkerSays::Misfit(Arc::new(header::foreign(place, Some(dir))))
            }
            Some(Some(_)) => MarkerSays::Fits(0),
        };
        if let (MarkerSays::Damaged(sentence), true) =
            (&self.marker_says, self.mode != Mode::Snapshot)
        {
            self.warnings.push(sentence.clone());
        }
    }

    fn mark(&mut self) {
        let (Some(keeper), Some(opened)) = (&mut self.keeper, &self.opened) else {
            return;
        };
        // Objects go one by one, so there is no last record: the marker tells which keyring it is.
        let at = Waypoint {
            generation: opened.header.generation,
            sequence: 0,
            chain: [0; MAC],
            header: [0; SHORT],
        };
        let slot = Slot::now(opened.header.file_id, at);
        self.warnings.extend(keeper.mark(&slot, Survives::PowerCut));
    }

    fn position(opened: &Opened, sequence: u64, label: &str) -> Position {
        Position {
            file_id: opened.header.file_id,
            generation: opened.header.generation,
            sequence,
            previous: Sha256::digest(label.as_bytes()).into(),
        }
    }

    /// The stanzas of the head.
    fn stanzas(&self) -> &[Stanza] {
        self.opened.as_ref().map_or(&[], |o| &o.header.stanzas)
    }

    /// The key in an object.
    fn unseal(&self, object: &Object) -> Result<KeyRecord> {
        let damaged = |why: &str| {
            let why = format!("the object '{}' {why}", clean(&object.label));
            self.wrong(Kind::Tampered, &why, RESTORE)
        };
        let Some(opened) = &self.opened else {
            return Err(damaged("can't be opened without the head"));
        };
        let value = &object.value;
        if value.len() <= OVERHEAD || value[..4] != MAGIC {
            return Err(damaged("is not a key of Keyring Ward"));
        }
        let sequence = sequence_of(value);
        let (mut nonce, mut tag) = ([0; NONCE], [0; TAG]);
        nonce.copy_from_slice(&value[12..12 + NONCE]);
        tag.copy_from_slice(&value[value.len() - TAG..]);
        let mut text = self.pool.copy(&value[12 + NONCE..value.len() - TAG])?;
        let at = Self::position(opened, sequence, &object.label);
        if !opened.keys.cipher().open(&at, &nonce, &tag, &mut text) {
            return Err(damaged("is not authentic: it was changed or exchanged"));
        }
        let change = read_plaintext(&self.pool, &text)
            .map_err(|e| e.context(format!("the object '{}'", clean(&object.label))))?;
        match change {
            Some(ReadChange::Put(record))
                if label_of(opened, record.id.as_bytes()) == object.label =>
            {
                Ok(record)
            }
            _ => Err(damaged("breaks the format's rules")),
        }
    }

    fn seal(&self, opened: &Opened, record: &KeyRecord) -> Result<(String, Vec<u8>)> {
        let label = label_of(opened, record.id.as_bytes());
        let put = Operation::Put(record);
        let mut text = self.pool.zeroed(put.plaintext_length())?;
        put.write(&mut text);
        let sequence = self
            .sequence
            .checked_add(1)
            .ok_or_else(|| Error::new(Kind::Internal, WRITE, "the sequence numbers are used up"))?;
        let at = Self::position(opened, sequence, &label);
        let (nonce, tag) = opened.keys.cipher().seal(&at, &mut text)?;
        let mut value = MAGIC.to_vec();
        value.extend_from_slice(&sequence.to_le_bytes());
        value.extend_from_slice(&nonce);
        value.extend_from_slice(&text);
        value.extend_from_slice(&tag);
        Ok((label, value))
    }

    /// The head of a new keyring.
    fn write_head(&mut self, deadline: Deadline) -> Result<()> {
        let mut file_id = [0; FILE_ID];
        fill_random(&mut file_id)?;
        let dek = header::new_dek(&self.pool, &self.keks, deadline)?;
        let stanzas = self.keks.wrap(&self.pool, &file_id, &dek, deadline)?;
        let mut header = Header::first(file_id, stanzas);
        header.written_at = crate::os::unix_seconds();
        fill_random(&mut header.salt)?;
        let keys = FileKeys::derive(&self.pool, &dek, &header.salt)?;
        let authenticated = header.authenticated_bytes()?;
        let mac = keys.header_mac(&authenticated);
        let bytes = finish_header(authenticated, &mac);
        self.attempt(deadline, || {
            self.objects.create(HEAD, bytes.clone(), deadline)
        })?;
        self.bytes = bytes.len() as u64;
        self.opened = Some(Opened { header, dek, keys });
        self.collect_kek_warnings();
        self.mark();
        Ok(())
    }

    fn change(&mut self, change: &Change<'_>) -> Result<()> {
        self.check_writable()?;
        if let Some(lock) = &self.lock {
            lock.refresh_pid();
        }
        let deadline = Deadline::after(self.patience);
        if self.opened.is_none() {
            self.write_head(deadline)?;
        }
        let Some(opened) = &self.opened else {
            return Err(Error::new(Kind::Internal, WRITE, "it has no head"));
        };
        match change {
            Change::Put(record) => {
                let (label, value) = self.seal(opened, record)?;
                // Whether it succeeds or not: what failed may be there all the same, and no two objects have one number.
                self.sequence += 1;
                self.attempt(deadline, || {
                    self.objects.create(&label, value.clone(), deadline)
                })?;
                self.bytes += value.len() as u64;
            }
            Change::Replace(record, was) => {
                let (label, value) = self.seal(opened, record)?;
                self.sequence += 1;
                self.attempt(deadline, || {
                    (self.objects).replace(&label, value.clone(), sequence_of, deadline)
                })?;
                self.bytes += value.len() as u64;
                self.bytes = self.bytes.saturating_sub(length_of(was));
            }
            Change::Remove(key, _) => {
                let label = label_of(opened, key.id.as_bytes());
                if !self.attempt(deadline, || {
                    self.objects.remove(&label, sequence_of, deadline)
                })? {
                    self.warnings.push(format!(
                        "{} was no longer on the token when it was removed.",
                        key.id
                    ));
                }
                self.bytes = self.bytes.saturating_sub(length_of(key));
            }
        }
        Ok(())
    }
}

/// The token was reached and read, and nothing on it is a keyring: the cause of that NotFound, which a module, a token or a
/// key that is not there has as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeyring;

impl fmt::Display for NoKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it holds no keyring")
    }
}

impl std::error::Error for NoKeyring {}

const RESTORE: &str = "Nothing was changed. Restore the token from a backup by the vendor's means.";

fn sequence_of(value: &[u8]) -> u64 {
    let bytes = value.get(4..12).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u64::from_le_bytes)
}

/// The length of a key's object.
fn length_of(key: &KeyInfo) -> u64 {
    (put_plaintext_length(key) + OVERHEAD) as u64
}

/// The label of a key's object. It depends on the keyring, so that it tells nothing of the name to who can
/// list a token's objects.
fn label_of(opened: &Opened, id: &[u8]) -> String {
    let mac = opened.keys.label_mac(id);
    format!("key {}", crate::text::hex(&mac[..20]))
}

impl OnDemand for TokenStore {
    fn fetch(&self, id: &crate::key::id::KeyId) -> Result<Option<KeyRecord>> {
        let Some(opened) = &self.opened else {
            return Ok(None);
        };
        let label = label_of(opened, id.as_bytes());
        let deadline = Deadline::after(self.patience);
        let mut found = self.attempt(deadline, || self.objects.read(&label, deadline))?;
        found.retain(|o| !o.value.is_empty());
        found.sort_by_key(|o| sequence_of(&o.value));
        found.last().map(|object| self.unseal(object)).transpose()
    }

    fn fetch_all(&self) -> Result<Vec<KeyRecord>> {
        let deadline = Deadline::after(self.patience);
        let mut objects = self.attempt(deadline, || self.objects.read_all(deadline))?;
        objects.retain(|o| o.label != HEAD);
        let mut all = Vec::with_capacity(objects.len());
        let mut put = |record, _| {
            all.push(record);
            Ok(())
        };
        // What does not count was told when the keyring was opened.
        self.each(&mut objects, &mut put, &mut |_| {})?;
        Ok(all)
    }
}

impl Store for TokenStore {
    fn check_writable(&self) -> Result<()> {
        if self.mode != Mode::ReadWrite {
            return Err(Error::new(Kind::ReadOnly, WRITE, "it is opened read-only")
                .hint("Set read_only to false and run ALTER INSTANCE RELOAD KEYRING."));
        }
        if self.retired {
            return Err(
                Error::new(Kind::ReadOnly, WRITE, "it was reloaded meanwhile").hint("Try again."),
            );
        }
        if !self.lock.as_ref().is_some_and(|l| l.still_there()) {
            return Err(Error::new(
                Kind::ReadOnly,
                WRITE,
                "the lock file was removed under the running server",
            )
            .hint("Run ALTER INSTANCE RELOAD KEYRING."));
        }
        Ok(())
    }

    fn append(&mut self, change: &Change<'_>) -> Result<()> {
        self.change(change)
    }

    fn begin(&mut self) -> Result<()> {
        self.check_writable()?;
        if self.opened.is_some() {
            return Err(crate::store::already_there());
        }
        self.write_head(Deadline::after(self.patience))
    }

    fn basis(&self) -> Result<Option<Basis>> {
        let of = |opened: &Opened| {
            Ok(Basis {
                keks: self.keks.clone(),
                pool: self.pool.clone(),
                file_id: opened.header.file_id,
                stanzas: opened.header.stanzas.clone(),
                dek: self.pool.copy(&opened.dek)?,
            })
        };
        self.opened.as_ref().map(of).transpose()
    }

    // Nothing is dead on a token: a removed key is gone. And its objects are keys: none is for attributes or documents.
    fn journal(&mut self) -> Option<&mut dyn Journal> {
        None
    }

    fn on_demand(&self) -> Option<&dyn OnDemand> {
        Some(self)
    }

    fn handover(&self) -> Handover {
        Handover {
            lock: self.lock.clone(),
            file: None,
        }
    }

    fn is_retired(&self) -> bool {
        self.retired
    }

    fn retire(&mut self) {
        self.retired = true;
    }

    fn generation(&self) -> u64 {
        1
    }

    fn info(&self) -> StoreInfo {
        let contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
        let mut info = StoreInfo {
            opened_by: self.keks.describe(&[]),
            threshold: 1,
            keks: self.keks.info(self.stanzas()),
            contact: Some(contact.clone()),
            marker: self.marker_says.clone(),
            marker_failures: self.keeper.as_ref().map_or(0, Keeper::failures),
            ..StoreInfo::default()
        };
        if let Some(opened) = &self.opened {
            info.exists = true;
            info.file_id = Some(opened.header.file_id);
            info.fingerprint = fingerprint(&opened.dek).ok();
            info.generation = opened.header.generation;
            info.sequence = self.sequence;
            info.bytes = self.bytes;
            info.live_bytes = self.bytes;
            if let Some(stanza) = opened.header.stanzas.first() {
                info.mechanism.clone_from(&stanza.mechanism);
                info.key_ref.clone_from(&stanza.key_ref);
            }
        }
        info
    }

    fn warn(&mut self, sentence: String) {
        self.warnings.push(sentence);
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}
