//! The byte layout of header, frames and records: parsing and writing side by side.
//!
//! Specified in `docs/reference/format.md`. All integers are little-endian. It must never allocate by a
//! length that it has not bounded first, and never read a clock, a file or a key.

use super::lineage::{ANCESTOR, Ancestor, Lineage, MOST};
use crate::envelope::{FILE_ID, KEY, MAC, NONCE, SALT, TAG};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::Stanza;
use crate::key::id::{KeyId, MAX_MATERIAL, MAX_NAME_BYTES, MAX_TYPE};
use crate::key::record::{Change, KeyRecord, MAX_PLAINTEXT, ReadChange};
use crate::secret::SecretPool;

/// The first eight bytes of every keyring file.
pub const MAGIC: [u8; 8] = *b"\x8aKWARD\r\n";
/// The format version that this code reads and writes.
pub const VERSION: u32 = 1;
/// Magic, version, header length, CRC: the same in every version.
pub const PROLOGUE: usize = 20;
/// Longest header in bytes.
pub const MAX_HEADER: usize = 65_536;
/// Most stanzas of a header.
pub const MAX_STANZAS: usize = 16;
/// File id, generation, base sequence, whole to, salt, creation time, numbers of earlier generations and of stanzas.
const FIXED: usize = FILE_ID + 8 + 8 + 8 + SALT + 8 + 2 + 2;
/// Most bytes of all stanzas together. The lineage grows with each rewrite: what was written once has room for all of it.
const MAX_STANZA_BYTES: usize = MAX_HEADER - PROLOGUE - FIXED - MOST * ANCESTOR - MAC - 4;

/// First bytes of a frame; none is zero.
pub const FRAME_MARK: [u8; 4] = *b"KWF\x01";
/// Last bytes of a frame; none is zero.
pub const END_MARK: [u8; 4] = *b"\xffEND";
/// Mark, body length, sequence, nonce, CRC.
pub const FRAME_HEADER: usize = 4 + 4 + 8 + NONCE + 4;
/// What a frame adds to its ciphertext.
pub const FRAME_OVERHEAD: usize = FRAME_HEADER + TAG + END_MARK.len();
/// Longest frame in bytes.
pub const MAX_FRAME: usize = padded(FRAME_OVERHEAD + MAX_PLAINTEXT);
/// Longest ciphertext in bytes.
pub const MAX_BODY: usize = MAX_FRAME - FRAME_OVERHEAD;
/// Shortest frame in bytes: the removal of a key with a name of one byte.
pub const MIN_FRAME: usize = padded(FRAME_OVERHEAD + 6);
/// The length of every frame is 1 more than a multiple of this: the length of some frames tells
/// how many they are, even when nothing else of them is readable (`torn`).
pub const GRAIN: usize = 16;
/// Frames beyond this are 1 more than a multiple of `COARSE_GRAIN`.
const FINE_UP_TO: usize = 1025;
const COARSE_GRAIN: usize = 512;

/// The length of a frame that needs `length` bytes: the next one that a frame may have.
pub const fn padded(length: usize) -> usize {
    let grain = if length <= FINE_UP_TO {
        GRAIN
    } else {
        COARSE_GRAIN
    };
    (length - 1).next_multiple_of(grain) + 1
}

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// The open part of a keyring file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Random, made with the file, kept for its life.
    pub file_id: [u8; FILE_ID],
    /// Grows by one with each rewrite; 1 in a new file.
    pub generation: u64,
    /// The sequence number before the first record's: sequences go on over rewrites.
    pub base_sequence: u64,
    /// The generations before this one.
    pub lineage: Lineage,
    /// The last record that was written together with this header: up to here nothing is torn.
    pub whole_to: u64,
    /// Fresh for each rewrite.
    pub salt: [u8; SALT],
    /// When this generation was written, in seconds since 1970.
    pub written_at: i64,
    /// The wrapped DEK.
    pub stanzas: Vec<Stanza>,
}

/// A header as it was read, and the bytes that its MAC covers.
#[derive(Debug)]
pub struct ParsedHeader {
    /// The header.
    pub header: Header,
    /// Its length in the file; records start there.
    pub length: usize,
    /// The MAC that stands in it.
    pub mac: [u8; MAC],
}

impl Header {
    /// The bytes before the MAC.
    ///
    /// # Errors
    /// A stanza exceeds the format's limits.
    pub fn authenticated_bytes(&self) -> Result<Vec<u8>> {
        let mut stanzas = Vec::new();
        for s in &self.stanzas {
            let mut body = vec![s.group, s.index, s.threshold];
            for (field, limit) in [
                (s.provider.as_bytes(), 32),
                (s.mechanism.as_bytes(), 64),
                (s.key_ref.as_bytes(), 2048),
                (&s.params, 1024),
                (&s.commitment, KEY),
                (&s.blob, 8192),
            ] {
                if field.len() > limit {
                    return Err(Error::new(
                        Kind::Internal,
                        "write the header",
                        "a stanza is too long",
                    ));
                }
                body.extend_from_slice(&(field.len() as u16).to_le_bytes());
                body.extend_from_slice(field);
            }
            stanzas.extend_from_slice(&(body.len() as u32).to_le_bytes());
            stanzas.extend_from_slice(&body);
        }
        let lineage = self.lineage.all();
        let length = PROLOGUE + FIXED + lineage.len() * ANCESTOR + stanzas.len() + MAC + 4;
        if stanzas.len() > MAX_STANZA_BYTES || !(1..=MAX_STANZAS).contains(&self.stanzas.len()) {
            return Err(Error::new(
                Kind::Internal,
                "write the header",
                "too many or too long stanzas",
            ));
        }
        let mut out = Vec::with_capacity(length);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(length as u32).to_le_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.file_id);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.base_sequence.to_le_bytes());
        out.extend_from_slice(&self.whole_to.to_le_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.written_at.to_le_bytes());
        out.extend_from_slice(&(lineage.len() as u16).to_le_bytes());
        for ancestor in lineage {
            out.extend_from_slice(&ancestor.header);
            out.extend_from_slice(&ancestor.sequence.to_le_bytes());
            out.extend_from_slice(&ancestor.chain);
        }
        out.extend_from_slice(&(self.stanzas.len() as u16).to_le_bytes());
        out.extend_from_slice(&stanzas);
        Ok(out)
    }
}

/// Completes [`Header::authenticated_bytes`] with MAC and checksum.
pub fn finish_header(mut authenticated: Vec<u8>, mac: &[u8; MAC]) -> Vec<u8> {
    authenticated.extend_from_slice(mac);
    let crc = crc32fast::hash(&authenticated);
    authenticated.extend_from_slice(&crc.to_le_bytes());
    authenticated
}

/// How a damaged file is mended.
pub const RESTORE: &str = "Nothing was changed. Restore the file from a backup.";

fn tampered(at: usize, why: impl std::fmt::Display) -> Error {
    let context = format!("at byte {at}: {why}");
    Error::new(Kind::Tampered, "read the keyring file", context).hint(RESTORE)
}

/// An error that says that a file is damaged at byte `at`.
pub fn damaged(at: u64, why: impl std::fmt::Display) -> Error {
    tampered(usize::try_from(at).unwrap_or(usize::MAX), why)
}

/// Reads a bounded sequence of fields.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let part = self.bytes.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(part)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|a| a[0])
    }
    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
    fn field16(&mut self, limit: usize) -> Option<&'a [u8]> {
        let n = usize::from(self.u16()?);
        if n > limit { None } else { self.take(n) }
    }
    fn text16(&mut self, limit: usize) -> Option<String> {
        String::from_utf8(self.field16(limit)?.to_vec()).ok()
    }
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
    fn done(&self) -> bool {
        self.left() == 0
    }
}

/// Parses the header at the start of a file's bytes.
///
/// # Errors
/// Tampered: not a keyring file, or damaged. UnsupportedVersion: written by a newer version.
pub fn parse_header(file: &[u8]) -> Result<ParsedHeader> {
    if let Some(whose) = stock_keyring(file) {
        return Err(Error::new(
            Kind::Config,
            "read the keyring file",
            format!("this is a file of {whose}, not one of Keyring Ward"),
        )
        .hint("Set path to a new file, and bring the keys of this one over: keyring-ward import --from THIS_FILE (docs/guide/coming-from.md). Nothing was changed."));
    }
    if file.is_empty() {
        return Err(tampered(0, "the file is empty, so it is not a keyring"));
    }
    let Some(prologue) = file.get(..PROLOGUE) else {
        return Err(tampered(0, "the file is too short to be a keyring"));
    };
    if prologue[..8] != MAGIC {
        return Err(tampered(
            0,
            "this is not a file of Keyring Ward (the first bytes are different)",
        ));
    }
    let mut r = Reader {
        bytes: prologue,
        at: 8,
    };
    let (Some(version), Some(length), Some(crc)) = (r.u32(), r.u32(), r.u32()) else {
        return Err(tampered(8, "the header is incomplete"));
    };
    if crc != crc32fast::hash(&prologue[..16]) {
        return Err(tampered(8, "the start of the header is damaged (checksum)"));
    }
    if version != VERSION {
        return Err(Error::new(
            Kind::UnsupportedVersion,
            "read the keyring file",
            format!("its format is version {version}, this program knows version {VERSION}"),
        )
        .hint(
            "It was written by a newer Keyring Ward. Install that version; nothing was changed.",
        ));
    }
    let length = length as usize;
    if !(PROLOGUE + FIXED + MAC + 4..=MAX_HEADER).contains(&length) {
        return Err(tampered(12, format!("the header claims {length} bytes")));
    }
    let Some(bytes) = file.get(..length) else {
        return Err(tampered(file.len(), "the file ends within its header"));
    };
    let (covered, crc) = bytes.split_at(length - 4);
    if crc != crc32fast::hash(covered).to_le_bytes() {
        return Err(tampered(PROLOGUE, "the header is damaged (checksum)"));
    }
    let (authenticated, mac) = covered.split_at(length - 4 - MAC);
    let header = parse_fields(authenticated)
        .ok_or_else(|| tampered(PROLOGUE, "the header's fields exceed their limits"))?;
    let mut parsed = ParsedHeader {
        header,
        length,
        mac: [0; MAC],
    };
    parsed.mac.copy_from_slice(mac);
    Ok(parsed)
}

/// Whose file it is, where it is one of the stock keyrings'.
fn stock_keyring(file: &[u8]) -> Option<&'static str> {
    if file.starts_with(b"Keyring file version:") {
        return Some("the plugin keyring_file");
    }
    let start = &file[..file.len().min(256)];
    let has = |name: &[u8]| start.windows(name.len()).any(|part| part == name);
    let json = start.trim_ascii_start().starts_with(b"{");
    (json && (has(b"\"elements\"") || has(b"\"version\""))).then_some("component_keyring_file")
}

fn parse_fields(authenticated: &[u8]) -> Option<Header> {
    let mut r = Reader {
        bytes: authenticated,
        at: PROLOGUE,
    };
    let mut header = Header {
        file_id: r.array()?,
        generation: r.u64()?,
        base_sequence: r.u64()?,
        lineage: Lineage::default(),
        whole_to: r.u64()?,
        salt: r.array()?,
        written_at: r.i64()?,
        stanzas: Vec::new(),
    };
    if header.generation == 0 || header.base_sequence > header.whole_to {
        return None;
    }
    header.lineage = read_lineage(&mut r, header.generation, header.base_sequence)?;
    let count = usize::from(r.u16()?);
    if !(1..=MAX_STANZAS).contains(&count) || r.left() > MAX_STANZA_BYTES {
        return None;
    }
    for _ in 0..count {
        let length = r.u32()? as usize;
        let mut s = Reader {
            bytes: r.take(length)?,
            at: 0,
        };
        let (group, index, threshold) = (s.u8()?, s.u8()?, s.u8()?);
        // Version 1 knows whole DEKs only, no shares.
        if (group, index, threshold) != (0, 0, 1) {
            return None;
        }
        header.stanzas.push(Stanza {
            provider: s.text16(32)?,
            mechanism: s.text16(64)?,
            key_ref: s.text16(2048)?,
            group,
            index,
            threshold,
            params: s.field16(1024)?.to_vec(),
            commitment: s.field16(KEY)?.try_into().ok()?,
            blob: s.field16(8192)?.to_vec(),
        });
        if !s.done() {
            return None;
        }
    }
    r.done().then_some(header)
}

fn read_lineage(r: &mut Reader<'_>, generation: u64, base_sequence: u64) -> Option<Lineage> {
    let count = usize::from(r.u16()?);
    if count > MOST {
        return None;
    }
    let one = |_| {
        Some(Ancestor {
            header: r.array()?,
            sequence: r.u64()?,
            chain: r.array()?,
        })
    };
    let all: Option<Vec<Ancestor>> = (0..count).map(one).collect();
    Lineage::new(all?, generation, base_sequence)
}

/// The checked start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Length of the ciphertext without its tag.
    pub body: usize,
    /// The record's sequence number.
    pub sequence: u64,
    /// Its nonce.
    pub nonce: [u8; NONCE],
}

impl FrameHeader {
    /// The length of the whole frame.
    pub fn frame_length(&self) -> usize {
        FRAME_OVERHEAD + self.body
    }
}

/// Parses a frame's start. `None`: this is not one.
pub fn parse_frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    let bytes = bytes.get(..FRAME_HEADER)?;
    let (covered, crc) = bytes.split_at(FRAME_HEADER - 4);
    if bytes[..4] != FRAME_MARK || crc != crc32fast::hash(covered).to_le_bytes() {
        return None;
    }
    let mut r = Reader {
        bytes: covered,
        at: 4,
    };
    let header = FrameHeader {
        body: r.u32()? as usize,
        sequence: r.u64()?,
        nonce: r.array()?,
    };
    let possible = (1..=MAX_BODY).contains(&header.body)
        && header.frame_length() == padded(header.frame_length());
    possible.then_some(header)
}

/// Appends a frame to `out`.
pub fn write_frame(
    out: &mut Vec<u8>,
    sequence: u64,
    nonce: &[u8; NONCE],
    text: &[u8],
    tag: &[u8; TAG],
) {
    let start = out.len();
    out.extend_from_slice(&FRAME_MARK);
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(nonce);
    let crc = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(text);
    out.extend_from_slice(tag);
    out.extend_from_slice(&END_MARK);
}

/// How long the fields of a change are.
fn content_length(change: &Change<'_>) -> usize {
    match change {
        Change::Put(k) => {
            1 + 8
                + 8
                + 2
                + k.id.name().len()
                + 2
                + k.id.owner().len()
                + 2
                + k.key_type.len()
                + 2
                + k.length()
        }
        Change::Remove(k) => 1 + 2 + k.id.name().len() + 2 + k.id.owner().len(),
    }
}

/// The plaintext length of a change: its fields and the zeroes behind them.
pub fn plaintext_length(change: &Change<'_>) -> usize {
    padded(FRAME_OVERHEAD + content_length(change)) - FRAME_OVERHEAD
}

/// The length of the frame that holds a change.
pub fn frame_length(change: &Change<'_>) -> u64 {
    padded(FRAME_OVERHEAD + content_length(change)) as u64
}

/// The length of the frame that holds the removal of a key.
pub fn removal_length(id: &KeyId) -> u64 {
    let fields = 1 + 2 + id.name().len() + 2 + id.owner().len();
    padded(FRAME_OVERHEAD + fields) as u64
}

/// Writes the plaintext of a change into `out`, which has exactly [`plaintext_length`] bytes, all of them zero.
///
/// # Errors
/// Internal: the key's material is not in memory, so it can't be written.
pub fn write_plaintext(change: &Change<'_>, out: &mut [u8]) -> Result<()> {
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        out[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    let (Change::Put(key) | Change::Remove(key)) = change;
    match change {
        Change::Put(k) => {
            put(&[PUT]);
            put(&k.created_at.to_le_bytes());
            put(&k.generation.to_le_bytes());
        }
        Change::Remove(_) => put(&[REMOVE]),
    }
    let id = &key.id;
    put(&(id.name().len() as u16).to_le_bytes());
    put(id.name());
    put(&(id.owner().len() as u16).to_le_bytes());
    put(id.owner());
    if let Change::Put(k) = change {
        put(&(k.key_type.len() as u16).to_le_bytes());
        put(k.key_type.as_bytes());
        let material = k.material()?;
        put(&(material.len() as u16).to_le_bytes());
        put(material);
    }
    Ok(())
}

/// Reads the plaintext of a change. `None`: it breaks the format's rules.
///
/// # Errors
/// No secret memory.
pub fn read_plaintext(pool: &SecretPool, text: &[u8]) -> Result<Option<ReadChange>> {
    let Some(fields) = read_fields(text) else {
        return Ok(None);
    };
    let Ok(id) = KeyId::new(fields.name, fields.owner) else {
        return Ok(None);
    };
    let Some(put) = fields.put else {
        return Ok(Some(ReadChange::Remove(id)));
    };
    let material = pool.copy(put.material)?;
    let record = KeyRecord::new(id, put.key_type, material, put.created_at, put.generation);
    Ok(record.ok().map(ReadChange::Put))
}

struct Fields<'a> {
    name: &'a [u8],
    owner: &'a [u8],
    put: Option<PutFields<'a>>,
}

struct PutFields<'a> {
    created_at: i64,
    generation: u64,
    key_type: &'a [u8],
    material: &'a [u8],
}

fn read_fields(text: &[u8]) -> Option<Fields<'_>> {
    let mut r = Reader { bytes: text, at: 0 };
    let times = match r.u8()? {
        PUT => Some((r.i64()?, r.u64()?)),
        REMOVE => None,
        _ => return None,
    };
    let (name, owner) = (r.field16(MAX_NAME_BYTES)?, r.field16(MAX_NAME_BYTES)?);
    let put = match times {
        None => None,
        Some((created_at, generation)) => Some(PutFields {
            created_at,
            generation,
            key_type: r.field16(MAX_TYPE)?,
            material: r.field16(MAX_MATERIAL)?,
        }),
    };
    let rest = &text[r.at..];
    let shortest = padded(FRAME_OVERHEAD + r.at) - FRAME_OVERHEAD;
    (text.len() == shortest && rest.iter().all(|b| *b == 0)).then_some(Fields { name, owner, put })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_header() {
        let with = |stanzas: usize, blob: usize| {
            let mut header = header();
            header.stanzas = vec![header.stanzas[0].clone(); stanzas];
            header
                .stanzas
                .iter_mut()
                .for_each(|s| s.blob = vec![5; blob]);
            header.authenticated_bytes()
        };
        assert!(with(1, 60).is_ok() && with(MAX_STANZAS, 60).is_ok());
        assert!(with(0, 60).is_err(), "no stanza");
        assert!(with(MAX_STANZAS + 1, 60).is_err(), "too many");
        assert!(with(7, 8192).is_ok());
        assert!(with(8, 8192).is_err(), "longer than {MAX_HEADER} bytes");
        assert!(with(1, 8193).is_err(), "a blob too long");
        // Whatever is written once has room for the whole lineage that its rewrites get.
        let mut header = header();
        let stanza = header.stanzas[0].clone();
        let mut longest = |blob: usize, generation: u64| {
            header.generation = generation;
            header.base_sequence = 4 * generation + 1;
            header.whole_to = header.base_sequence;
            header.lineage = lineage(generation);
            header.stanzas = vec![stanza.clone(); 8];
            header
                .stanzas
                .iter_mut()
                .for_each(|s| s.blob = vec![5; 7750]);
            header.stanzas[0].blob = vec![5; blob];
            let bytes = header.authenticated_bytes();
            bytes.map(|b| finish_header(b, &[3; 32]))
        };
        let most = (7750..8192)
            .rev()
            .find(|blob| longest(*blob, 1).is_ok())
            .unwrap();
        for generation in [1, 2, 65, 66, 300] {
            let bytes = longest(most, generation).unwrap();
            assert!(
                bytes.len() <= MAX_HEADER && parse_header(&bytes).is_ok(),
                "{generation}"
            );
            assert!(longest(most + 1, generation).is_err());
        }
        // What can't even hold the fixed fields is refused before it is cut into parts.
        for claimed in [0, 4, 35, PROLOGUE + FIXED + MAC + 3, MAX_HEADER + 1] {
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&VERSION.to_le_bytes());
            bytes.extend_from_slice(&(claimed as u32).to_le_bytes());
            let crc = crc32fast::hash(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            bytes.resize(MAX_HEADER + 2, 0);
            let e = parse_header(&bytes).map(drop).unwrap_err();
            assert_eq!(e.kind(), Kind::Tampered);
            assert!(
                e.to_string().contains("the header claims"),
                "{claimed}: {e}"
            );
        }
        let longest = "longest plaintext: 1 + 8 + 8 + 2 + 1020 + 2 + 1020 + 2 + 16 + 2 + 16384";
        assert_eq!(MAX_PLAINTEXT, 18_465, "{longest}");
    }

    /// Of a file of generation `now` whose records begin behind a number from 4 times that on.
    fn lineage(now: u64) -> Lineage {
        let mut lineage = Lineage::default();
        for generation in 1..now {
            lineage.push(Ancestor {
                header: [generation as u8; 16],
                sequence: 4 * generation,
                chain: [6; 16],
            });
        }
        lineage
    }

    fn header() -> Header {
        Header {
            file_id: [1; 16],
            generation: 7,
            base_sequence: 29,
            lineage: lineage(7),
            whole_to: 31,
            salt: [2; 32],
            written_at: -5,
            stanzas: vec![Stanza {
                provider: "passphrase".into(),
                mechanism: "m".into(),
                key_ref: "r".into(),
                group: 0,
                index: 0,
                threshold: 1,
                params: vec![1, 2, 3],
                commitment: [4; 32],
                blob: vec![5; 60],
            }],
        }
    }

    fn bytes() -> Vec<u8> {
        finish_header(header().authenticated_bytes().unwrap(), &[3; 32])
    }

    #[test]
    fn header_round_trip() {
        let parsed = parse_header(&bytes()).unwrap();
        assert_eq!(parsed.header, header());
        assert_eq!((parsed.mac, parsed.length), ([3; 32], bytes().len()));
    }

    #[test]
    fn every_cut_and_every_bit_of_the_header_is_noticed() {
        let good = bytes();
        for len in 0..good.len() {
            assert_eq!(
                parse_header(&good[..len]).unwrap_err().kind(),
                Kind::Tampered,
                "cut at {len}"
            );
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                parse_header(&bad).unwrap_err().kind(),
                Kind::Tampered,
                "bit {bit}"
            );
        }
    }

    #[test]
    fn files_of_the_stock_keyrings_are_to_be_imported_not_restored() {
        for (text, whose) in [
            (
                &br#"{"version":"1.0","elements":[]}"#[..],
                "component_keyring_file",
            ),
            (b" {\n  \"elements\": [", "component_keyring_file"),
            (b"Keyring file version:2.0EOF", "the plugin keyring_file"),
        ] {
            let e = parse_header(text).unwrap_err();
            assert_eq!(e.kind(), Kind::Config);
            let e = e.to_string();
            assert!(e.contains(whose) && e.contains("import --from"), "{e}");
        }
        for other in [&b"{\"path\": \"/x\"} and more bytes"[..], b"[]", b"{"] {
            assert_eq!(parse_header(other).unwrap_err().kind(), Kind::Tampered);
        }
    }

    #[test]
    fn a_newer_version_is_its_own_error() {
        let mut newer = bytes();
        newer[8] = 2;
        let crc = crc32fast::hash(&newer[..16]);
        newer[16..20].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(
            parse_header(&newer).unwrap_err().kind(),
            Kind::UnsupportedVersion
        );
    }

    /// The sum of several frames' lengths is not the length of one.
    #[test]
    fn lengths_of_frames_count_them() {
        assert_eq!((MIN_FRAME, padded(65), padded(66)), (65, 65, 81));
        assert_eq!(
            (padded(1025), padded(1026), MAX_FRAME),
            (1025, 1537, 18_945)
        );
        for n in 1..=MAX_FRAME {
            let p = padded(n);
            assert!(p >= n && p % GRAIN == 1 && padded(p) == p);
        }
        let lengths: Vec<usize> = (MIN_FRAME..1105).filter(|n| padded(*n) == *n).collect();
        for a in &lengths {
            for b in &lengths {
                for c in [0, 65, 81, 97, 145] {
                    let sum = a + b + c;
                    assert!(sum >= (GRAIN + 1) * MIN_FRAME || padded(sum) != sum);
                }
            }
        }
    }

    #[test]
    fn a_stanza_of_a_share_or_numbers_that_contradict_each_other_are_refused() {
        let with = |change: &dyn Fn(&mut Header)| {
            let mut header = header();
            change(&mut header);
            let bytes = finish_header(header.authenticated_bytes().unwrap(), &[3; 32]);
            parse_header(&bytes).map(drop)
        };
        assert!(with(&|_| {}).is_ok());
        let changes: [&dyn Fn(&mut Header); 9] = [
            &|h| h.base_sequence = 24,
            &|h| h.lineage = lineage(6),
            &|h| h.lineage = lineage(8),
            &|h| h.generation = 0,
            &|h| h.stanzas[0].group = 1,
            &|h| h.stanzas[0].index = 1,
            &|h| h.stanzas[0].threshold = 0,
            &|h| h.stanzas[0].threshold = 2,
            &|h| h.whole_to = h.base_sequence - 1,
        ];
        for change in changes {
            assert_eq!(with(change).unwrap_err().kind(), Kind::Tampered);
        }
    }

    #[test]
    fn plaintext_round_trip_and_limits() {
        let pool = SecretPool::new();
        let (name, owner) = ("🔑".repeat(255), [0xFF; 255]);
        let id = KeyId::new(name.as_bytes(), &owner).unwrap();
        let record =
            KeyRecord::new(id.clone(), b"aes", pool.copy(&[7; 16_384]).unwrap(), 42, 3).unwrap();
        let change = Change::Put(&record);
        let mut text = vec![0; plaintext_length(&change)];
        assert!(text.len() <= MAX_BODY);
        write_plaintext(&change, &mut text).unwrap();
        match read_plaintext(&pool, &text).unwrap() {
            Some(ReadChange::Put(back)) => {
                assert_eq!(back.id, id);
                assert_eq!(
                    (&*back.key_type, back.created_at, back.generation),
                    ("aes", 42, 3)
                );
                assert_eq!(back.material().unwrap(), &[7; 16_384]);
            }
            _ => panic!("not a put"),
        }
        for len in 0..text.len() {
            assert!(read_plaintext(&pool, &text[..len]).unwrap().is_none());
        }
        let last = text.len() - 1;
        text[last] = 1;
        assert!(
            read_plaintext(&pool, &text).unwrap().is_none(),
            "zeroes only"
        );
        text[last] = 0;
        text.push(0);
        assert!(read_plaintext(&pool, &text).unwrap().is_none());
    }
}
