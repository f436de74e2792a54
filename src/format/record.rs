//! The plaintext of a record: an operation, its fixed fields, its extensions, and zeroes up to the next length.
//!
//! Owns the list of operations and the lengths of their records, from which everybody reckons how many bytes are live and
//! dead. What a newer version has written must never be taken for damage, nor be skipped.

use super::damage::newer;
use super::frame::{FRAME_OVERHEAD, padded};
use super::limits::field;
use super::reader::Reader;
use crate::error::Result;
use crate::key::document::{Document, MAX_DOCUMENT, MAX_DOCUMENT_NAME};
use crate::key::extensions::{
    self, ACTOR, Extensions, FIRST_RESTRICTING, Flaw, HOLD, INDEX, MAX_EXTENSIONS, OWED, PAIR,
    PURGED, RETAINED, RETIRED, VERSION,
};
use crate::key::id::{KeyId, MAX_MATERIAL, MAX_NAME_BYTES, MAX_TYPE};
use crate::key::info::KeyInfo;
use crate::key::record::{Change, KeyRecord, ReadChange};
use crate::key::retired::Retired;
use crate::secret::SecretPool;

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const ATTRIBUTES: u8 = 3;
const DOCUMENT: u8 = 4;

/// What a record does.
#[derive(Clone, Copy)]
pub enum Operation<'a> {
    /// A new key, with its extensions; its attributes are a record of their own.
    Put(&'a KeyRecord),
    /// A key goes, with its attributes.
    Remove(&'a KeyId, &'a Extensions),
    /// All attributes of a key; a list that says nothing removes them. With [`RETIRED`]: what is said of that retired key.
    Attributes(&'a KeyId, &'a Extensions),
    /// A document in place of the one that has its name; one without content removes that.
    Document(&'a Document),
}

impl<'a> From<&Change<'a>> for Operation<'a> {
    fn from(change: &Change<'a>) -> Self {
        match *change {
            Change::Put(record) | Change::Replace(record, _) => Operation::Put(record),
            Change::Remove(key, list) => Operation::remove(key, list),
        }
    }
}

impl<'a> Operation<'a> {
    /// The removal of a key. Extensions that would make it longer than the key's own record are left out: room is kept for
    /// as many bytes as the keys have, so that every key can be removed.
    pub fn remove(key: &'a KeyInfo, extensions: &'a Extensions) -> Operation<'a> {
        let with = Operation::Remove(&key.id, extensions);
        match with.frame_length() <= put_length(key) {
            true => with,
            false => Operation::Remove(&key.id, &extensions::NONE),
        }
    }

    /// All attributes of a key. A list that removes those that there are is not longer than they are, for the same reason.
    pub fn attributes(key: &'a KeyInfo, attributes: &'a Extensions) -> Operation<'a> {
        let with = Operation::Attributes(&key.id, attributes);
        match with.is_kept() || with.frame_length() <= attributes_length(key) {
            true => with,
            false => Operation::Attributes(&key.id, &extensions::NONE),
        }
    }

    /// A rewrite keeps the record, unless a later one takes its place.
    pub fn is_kept(&self) -> bool {
        match self {
            Operation::Put(_) => true,
            Operation::Remove(..) => false,
            Operation::Attributes(_, list) => !list.says_nothing() && list.get(RETIRED).is_none(),
            Operation::Document(document) => !document.is_removal(),
        }
    }

    /// It changes what is known of a logical key, and adds no key.
    pub fn describes_a_version(&self) -> bool {
        matches!(self, Operation::Attributes(_, list) if list.get(VERSION).is_some())
    }

    /// The owner whose bytes it adds to; documents are the server's own.
    pub fn owner(&self) -> &'a [u8] {
        match self {
            Operation::Put(record) => record.id.owner(),
            Operation::Remove(id, _) | Operation::Attributes(id, _) => id.owner(),
            Operation::Document(_) => b"",
        }
    }

    /// How long its fields are.
    fn content_length(&self) -> usize {
        match self {
            Operation::Put(record) => put_content(record),
            Operation::Remove(id, list) | Operation::Attributes(id, list) => of_key(id, list),
            Operation::Document(document) => {
                let content = 4 + document.content().len();
                1 + field(document.name().len()) + content + field(document.extensions().length())
            }
        }
    }

    /// What it says beside its fields.
    pub fn list(&self) -> &'a Extensions {
        match *self {
            Operation::Put(record) => record.extensions(),
            Operation::Remove(_, list) | Operation::Attributes(_, list) => list,
            Operation::Document(document) => document.extensions(),
        }
    }

    /// The length of its plaintext: its fields and the zeroes behind them.
    pub fn plaintext_length(&self) -> usize {
        self.plaintext_length_with(self.list())
    }

    /// The same with another list in the place of its own.
    pub fn plaintext_length_with(&self, list: &Extensions) -> usize {
        let content = self.content_length() - self.list().length() + list.length();
        padded(FRAME_OVERHEAD + content) - FRAME_OVERHEAD
    }

    /// The length of the frame that holds it.
    pub fn frame_length(&self) -> u64 {
        padded(FRAME_OVERHEAD + self.content_length()) as u64
    }

    /// Writes its plaintext into `out`, which has exactly [`Operation::plaintext_length`] bytes, all of them zero.
    pub fn write(&self, out: &mut [u8]) {
        self.write_with(self.list(), out);
    }

    /// The same with another list in the place of its own; `out` is as long as [`Operation::plaintext_length_with`] says.
    pub fn write_with(&self, list: &Extensions, out: &mut [u8]) {
        let mut w = Writer { out, at: 0 };
        match self {
            Operation::Put(record) => {
                w.put(&[PUT]);
                w.put(&record.created_at.to_le_bytes());
                w.put(&record.generation.to_le_bytes());
                w.id(&record.id);
                w.field16(record.key_type.as_bytes());
                w.field16(record.material());
                w.list(list);
            }
            Operation::Remove(id, _) => {
                w.put(&[REMOVE]);
                w.id(id);
                w.list(list);
            }
            Operation::Attributes(id, _) => {
                w.put(&[ATTRIBUTES]);
                w.id(id);
                w.list(list);
            }
            Operation::Document(document) => {
                w.put(&[DOCUMENT]);
                w.field16(document.name().as_bytes());
                w.put(&(document.content().len() as u32).to_le_bytes());
                w.put(document.content());
                w.list(list);
            }
        }
    }
}

/// Writes fields one behind the other. Their lengths are bounded by their types.
struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn field16(&mut self, bytes: &[u8]) {
        self.put(&(bytes.len() as u16).to_le_bytes());
        self.put(bytes);
    }

    fn id(&mut self, id: &KeyId) {
        self.field16(id.name());
        self.field16(id.owner());
    }

    fn list(&mut self, list: &Extensions) {
        self.field16(list.as_bytes());
    }
}

fn put_content(key: &KeyInfo) -> usize {
    let identity = field(key.id.name().len()) + field(key.id.owner().len());
    let secret = field(key.key_type.len()) + field(key.length());
    1 + 8 + 8 + identity + secret + field(key.extensions().length())
}

fn of_key(id: &KeyId, list: &Extensions) -> usize {
    1 + field(id.name().len()) + field(id.owner().len()) + field(list.length())
}

/// The length of the plaintext that stores a key.
pub fn put_plaintext_length(key: &KeyInfo) -> usize {
    padded(FRAME_OVERHEAD + put_content(key)) - FRAME_OVERHEAD
}

/// The length of the frame that stores a key, without its attributes.
pub fn put_length(key: &KeyInfo) -> u64 {
    padded(FRAME_OVERHEAD + put_content(key)) as u64
}

/// The length of the frame that holds a key's attributes; 0: it has none.
pub fn attributes_length(key: &KeyInfo) -> u64 {
    match Operation::Attributes(&key.id, key.attributes()) {
        kept if kept.is_kept() => kept.frame_length(),
        _ => 0,
    }
}

/// The length of all frames that a rewrite makes of a key.
pub fn key_length(key: &KeyInfo) -> u64 {
    put_length(key) + attributes_length(key)
}

/// Why a plaintext gives no change.
enum No {
    /// It breaks the format's rules.
    Rules,
    /// Only a newer version understands it.
    Newer(String),
}

impl From<Flaw> for No {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Rules(_) => No::Rules,
            Flaw::Newer(tag) => No::Newer(format!(
                "a record has an extension that restricts what may be done with it, and that this program does not know \
                 (tag {tag}; of the tags from {FIRST_RESTRICTING} on it knows those up to {HOLD}, in their first layout)"
            )),
        }
    }
}

/// What a record says beside its change: it is owed to the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedRecord {
    /// The bytes of [`OWED`].
    pub said: Vec<u8>,
    /// Who made the change; empty: nobody knows.
    pub actor: String,
}

/// Reads the plaintext of a change, and what it owes to the audit log. `None`: it breaks the format's rules.
///
/// # Errors
/// UnsupportedVersion: an operation, or an extension that restricts, which this program does not know. No secret memory.
pub fn read_record(
    pool: &SecretPool,
    text: &[u8],
) -> Result<Option<(ReadChange, Option<OwedRecord>)>> {
    let mut fields = match read_fields(text) {
        Ok(fields) => fields,
        Err(No::Rules) => return Ok(None),
        Err(No::Newer(why)) => return Err(newer(why)),
    };
    if !fields.what.admits(&fields.extensions) {
        return Ok(None);
    }
    let owed = fields.extensions.get(OWED).map(|said| OwedRecord {
        said: said.to_vec(),
        // The list was checked: it is text.
        actor: String::from_utf8_lossy(fields.extensions.get(ACTOR).unwrap_or_default()).into(),
    });
    if owed.is_some() {
        fields.extensions = fields.extensions.without(&[OWED]);
    }
    Ok(change(pool, fields)?.map(|change| (change, owed)))
}

/// The same without what it owes.
///
/// # Errors
/// As [`read_record`].
pub fn read_plaintext(pool: &SecretPool, text: &[u8]) -> Result<Option<ReadChange>> {
    Ok(read_record(pool, text)?.map(|(change, _)| change))
}

/// The change that fields are.
fn change(pool: &SecretPool, fields: Fields<'_>) -> Result<Option<ReadChange>> {
    let extensions = fields.extensions;
    let removal = |tag| extensions.get(tag).and_then(Retired::from_bytes);
    let (retired, retained, purged) = (removal(RETIRED), removal(RETAINED), removal(PURGED));
    Ok(match fields.what {
        What::Put(put) => {
            let Ok(id) = KeyId::new(put.name, put.owner) else {
                return Ok(None);
            };
            let material = pool.copy(put.material)?;
            let record = KeyRecord::new(id, put.key_type, material, put.created_at, put.generation);
            let record = record.ok().map(|r| r.with_extensions(extensions));
            record.map(|record| match retired {
                Some(removal) => ReadChange::Kept(record, removal),
                None => ReadChange::Put(record),
            })
        }
        What::Remove(name, owner) => {
            let id = KeyId::new(name, owner).ok();
            id.map(|id| match (retained, purged) {
                (Some(removal), _) => ReadChange::Retire(id, removal),
                (None, Some(removal)) => ReadChange::Purge(id, removal),
                (None, None) => ReadChange::Remove(id),
            })
        }
        What::Attributes(name, owner) => {
            let id = KeyId::new(name, owner).ok();
            id.map(|id| match retired {
                Some(removal) => ReadChange::OfRetired(id, removal, extensions),
                None => ReadChange::Attributes(id, extensions),
            })
        }
        What::Document(name, content) => {
            let document = Document::new(name, pool.copy(content)?, extensions);
            document.ok().map(ReadChange::Document)
        }
    })
}

struct Fields<'a> {
    what: What<'a>,
    extensions: Extensions,
}

enum What<'a> {
    Put(PutFields<'a>),
    Remove(&'a [u8], &'a [u8]),
    Attributes(&'a [u8], &'a [u8]),
    Document(&'a [u8], &'a [u8]),
}

impl What<'_> {
    /// The tags that restrict have their operation.
    fn admits(&self, list: &Extensions) -> bool {
        let has = |tag| list.get(tag).is_some();
        let of_removals = has(RETAINED) || has(PURGED);
        let of_keys = has(INDEX) || has(PAIR);
        match self {
            What::Put(_) => !of_removals && (has(RETIRED) || !has(HOLD)),
            What::Remove(..) => {
                let of_kept = has(RETIRED) || has(HOLD);
                !of_keys && !has(VERSION) && !of_kept && (!has(RETAINED) || !has(PURGED))
            }
            What::Attributes(..) if has(RETIRED) => !of_removals && !of_keys && !has(VERSION),
            What::Attributes(..) => !of_removals && !has(HOLD) && !has(PAIR),
            What::Document(..) => {
                !of_removals && !has(RETIRED) && !has(HOLD) && !has(VERSION) && !of_keys
            }
        }
    }
}

struct PutFields<'a> {
    created_at: i64,
    generation: u64,
    name: &'a [u8],
    owner: &'a [u8],
    key_type: &'a [u8],
    material: &'a [u8],
}

fn read_fields(text: &[u8]) -> std::result::Result<Fields<'_>, No> {
    let mut r = Reader::new(text, 0);
    let operation = r.u8().ok_or(No::Rules)?;
    let what = match operation {
        PUT => read_put(&mut r).map(What::Put),
        REMOVE => read_id(&mut r).map(|(name, owner)| What::Remove(name, owner)),
        ATTRIBUTES => read_id(&mut r).map(|(name, owner)| What::Attributes(name, owner)),
        DOCUMENT => read_document(&mut r).map(|(name, content)| What::Document(name, content)),
        // What such a record looks like behind its first byte is not known, so nothing else of it is judged.
        other => {
            return Err(No::Newer(format!(
                "a record has an operation that this program does not know ({other}; it knows 1 to {DOCUMENT})"
            )));
        }
    };
    let what = what.ok_or(No::Rules)?;
    let list = r.field16(MAX_EXTENSIONS).ok_or(No::Rules)?;
    let rest = &text[r.at()..];
    let shortest = padded(FRAME_OVERHEAD + r.at()) - FRAME_OVERHEAD;
    if text.len() != shortest || rest.iter().any(|b| *b != 0) {
        return Err(No::Rules);
    }
    let extensions = Extensions::read(list)?;
    Ok(Fields { what, extensions })
}

fn read_id<'a>(r: &mut Reader<'a>) -> Option<(&'a [u8], &'a [u8])> {
    Some((r.field16(MAX_NAME_BYTES)?, r.field16(MAX_NAME_BYTES)?))
}

fn read_put<'a>(r: &mut Reader<'a>) -> Option<PutFields<'a>> {
    let (created_at, generation) = (r.i64()?, r.u64()?);
    let (name, owner) = read_id(r)?;
    Some(PutFields {
        created_at,
        generation,
        name,
        owner,
        key_type: r.field16(MAX_TYPE)?,
        material: r.field16(MAX_MATERIAL)?,
    })
}

fn read_document<'a>(r: &mut Reader<'a>) -> Option<(&'a [u8], &'a [u8])> {
    Some((r.field16(MAX_DOCUMENT_NAME)?, r.field32(MAX_DOCUMENT)?))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
