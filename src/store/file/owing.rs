//! What the journal owes to the audit log: each change says so in its record, and a rewrite carries what the log lacks.
//!
//! Owns the promise that every acknowledged change gets into the log, whatever happens to the process meanwhile. It must never keep a
//! change from being made, nor wait for the log.

use super::scan::{End, Scanned};
use super::*;
use crate::audit::entry::{Entry, now};
use crate::audit::event::Event;
use crate::audit::note::{self, CARRIED, Owed, Synced};
use crate::audit::outbox::{Opened, Outbox};
use crate::audit::position::Position;
use crate::envelope::{SALT, TAG};
use crate::key::document::Document;
use crate::key::extensions::{ACTOR, Extensions, OWED, PURGED, RETAINED};
use crate::key::info::KeyInfo;
use crate::key::record::ReadChange;

/// Bytes that it makes a record longer, at the most.
pub(super) const LONGER: u64 = 128;

/// What a journal owes, and whether what is written to it does.
pub(super) struct Owing {
    outbox: Arc<Outbox>,
    /// A log is configured, or the journal owed something once: who switches the log off, or changes the keyring with a configuration
    /// that names none, is told of when there is one again.
    adds: bool,
    /// The journal owed something once, so that a rewrite must say how far the log was.
    began: bool,
}

/// What was read of a journal.
#[derive(Default)]
pub(super) struct Collected {
    known: Synced,
    owed: Vec<Entry>,
    began: bool,
}

impl Collected {
    /// Looks at a record; `true`: it is the log's alone.
    pub(super) fn take(&mut self, read: &Scanned) -> bool {
        if let ReadChange::Document(document) = &read.change
            && document.name().starts_with(CARRIED)
        {
            // One that breaks the rules is authentic all the same; what a later version carries is not ours to judge.
            if let Some((known, entries)) = note::carried(document.content()) {
                self.known = known;
                self.owed.extend(entries);
                self.began = true;
            }
            return true;
        }
        let Some(owed) = &read.owed else { return false };
        let Some(said) = Owed::from_bytes(&owed.said) else {
            return false;
        };
        self.began = true;
        self.known = said.synced;
        let told = |entry: &Entry| {
            entry
                .change
                .is_some_and(|p| p.place() <= said.synced.change)
        };
        let first = self.owed.iter().position(|entry| !told(entry));
        self.owed.drain(..first.unwrap_or(self.owed.len()));
        self.owed.push(Entry {
            at: said.at,
            actor: owed.actor.clone(),
            change: Some(position(read.sequence, &read.tag)),
            ..of_change(&read.change)
        });
        false
    }
}

fn position(sequence: u64, tag: &[u8; TAG]) -> Position {
    let mut position = Position {
        sequence,
        ..Position::default()
    };
    position.tag.copy_from_slice(&tag[..8]);
    position
}

fn of_key(event: Event, id: &crate::key::id::KeyId) -> Entry {
    Entry::new(event).of(id.name(), id.owner())
}

fn added(key: &KeyInfo) -> Entry {
    let what = format!("{}, {} bytes", &*key.key_type, key.length());
    of_key(Event::KeyAdded, &key.id).saying(&what)
}

fn noted(document: &Document) -> Entry {
    let event = match document.is_removal() {
        true => Event::DocumentRemoved,
        false => Event::DocumentWritten,
    };
    Entry::new(event).of(document.name().as_bytes(), b"")
}

/// What the log tells of a change that was read.
fn of_change(change: &ReadChange) -> Entry {
    match change {
        ReadChange::Put(record) | ReadChange::Kept(record, _) => added(record),
        ReadChange::Remove(id) => of_key(Event::KeyRemoved, id),
        ReadChange::Retire(id, _) => of_key(Event::KeyRetired, id),
        ReadChange::Purge(id, _) => of_key(Event::KeyPurged, id),
        ReadChange::Attributes(id, _) | ReadChange::OfRetired(id, ..) => {
            of_key(Event::KeyChanged, id)
        }
        ReadChange::Document(document) => noted(document),
    }
}

/// The same of one that is written.
pub fn of_operation(change: &Operation<'_>) -> Entry {
    let entry = match change {
        Operation::Put(record) => added(record),
        Operation::Remove(id, list) if list.get(RETAINED).is_some() => {
            of_key(Event::KeyRetired, id)
        }
        Operation::Remove(id, list) if list.get(PURGED).is_some() => of_key(Event::KeyPurged, id),
        Operation::Remove(id, _) => of_key(Event::KeyRemoved, id),
        Operation::Attributes(id, _) => of_key(Event::KeyChanged, id),
        Operation::Document(document) => noted(document),
    };
    entry.by(actor(change.list()))
}

/// Who made a change.
fn actor(list: &Extensions) -> String {
    String::from_utf8_lossy(list.get(ACTOR).unwrap_or_default()).into()
}

impl Owing {
    /// `outbox`: where changes go that are told; `None`: no log is configured.
    pub(super) fn new(outbox: Option<Arc<Outbox>>) -> Owing {
        Owing {
            adds: outbox.is_some(),
            outbox: outbox.unwrap_or_default(),
            began: false,
        }
    }

    /// A journal was opened.
    pub(super) fn opened(&mut self, file_id: [u8; FILE_ID], end: &End, read: Collected) {
        self.began = read.began;
        self.adds |= read.began;
        let recovered = |entry| Entry {
            recovered: true,
            ..entry
        };
        self.outbox.opened(Opened {
            file_id,
            end: end.sequence,
            known: read.known,
            owed: read.owed.into_iter().map(recovered).collect(),
        });
    }

    /// How much longer a record may become.
    pub(super) fn longer(&self) -> u64 {
        if self.adds { LONGER } else { 0 }
    }

    /// What a record says beside its change: `fits` tells whether it may be so long.
    pub(super) fn list(
        &self,
        change: &Operation<'_>,
        at: i64,
        fits: impl Fn(&Extensions) -> bool,
    ) -> Extensions {
        let own = change.list().clone();
        if !self.adds {
            return own;
        }
        let synced = self.outbox.synced();
        let with = own.with(OWED, Some(Owed { at, synced }.to_bytes()));
        with.ok().filter(fits).unwrap_or(own)
    }

    /// A change is durable.
    pub(super) fn tell(&mut self, change: &Operation<'_>, at: i64, end: &End) {
        if self.adds {
            self.began = true;
            let mut tag = [0; TAG];
            tag.copy_from_slice(&end.chain[..TAG]);
            self.outbox.push(Entry {
                at,
                change: Some(position(end.sequence, &tag)),
                ..of_operation(change)
            });
        }
    }

    /// What a rewrite itself is to the log: what the caller says, or that it was made.
    pub(super) fn rewritten(&self, header: &Header, live: &Live<'_>) -> Vec<Entry> {
        if !self.adds {
            return Vec::new();
        }
        let mut told = live.told.clone();
        if told.is_empty() {
            let what = format!("generation {}", header.generation);
            told.push(
                Entry::new(Event::KeyringRewritten)
                    .by("server")
                    .saying(&what),
            );
        }
        // A record has part 0; the first file of all begins with 0.
        let mut place = Position {
            sequence: header.base_sequence,
            part: 1,
            ..Position::default()
        };
        const { assert!(SALT >= 8) };
        place.tag.copy_from_slice(&header.salt[..8]);
        for entry in &mut told {
            entry.change = Some(place);
            place.part += 1;
        }
        told
    }

    /// What it carries, as documents; `told`: what is told of it itself.
    ///
    /// # Errors
    /// No secret memory.
    pub(super) fn carried(&self, told: &[Entry], pool: &SecretPool) -> Result<Vec<Document>> {
        if !self.began && told.is_empty() {
            return Ok(Vec::new());
        }
        let (synced, mut owed) = self.outbox.to_carry();
        owed.extend_from_slice(told);
        let pieces = note::carry(synced, &owed);
        let document = |(n, content): (usize, Vec<u8>)| {
            let name = format!("{CARRIED}{n}");
            Document::new(name.as_bytes(), pool.copy(&content)?, Extensions::default())
        };
        pieces.into_iter().enumerate().map(document).collect()
    }

    /// A rewrite is durable.
    pub(super) fn put_in_place(
        &mut self,
        is_new: Option<[u8; FILE_ID]>,
        end: &End,
        told: Vec<Entry>,
    ) {
        if let Some(file_id) = is_new {
            self.outbox.opened(Opened {
                file_id,
                end: end.sequence,
                ..Opened::default()
            });
        }
        self.began |= !told.is_empty();
        told.into_iter().for_each(|entry| self.outbox.push(entry));
    }

    /// When a change is made.
    pub(super) fn now() -> i64 {
        now()
    }
}
