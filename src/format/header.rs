//! The header of a keyring: parsing and writing side by side.
//!
//! Owns its layout and limits. What is parsed here is not authentic yet: it must never decide more than which keys are
//! tried on it.

use super::damage::{damaged, newer};
use super::features::{Features, KNOWN_REQUIRED, SEVERAL_KEKS};
use super::lineage::{ANCESTOR, Ancestor, Lineage, MOST};
use super::reader::Reader;
use super::stanza::Stanza;
use crate::envelope::{FILE_ID, MAC, SALT};
use crate::error::{Error, Kind, Result};

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
/// The two feature words.
const FEATURES: usize = 8 + 8;
/// Feature words, file id, generation, base sequence, whole to, salt, creation time, numbers of earlier generations and
/// of stanzas.
const FIXED: usize = FEATURES + FILE_ID + 8 + 8 + 8 + SALT + 8 + 2 + 2;
/// Checksum of the whole header.
const CRC: usize = 4;
/// Most bytes of all stanzas together. The lineage grows with each rewrite: what was written once has room for all of it.
const MAX_STANZA_BYTES: usize = MAX_HEADER - PROLOGUE - FIXED - MOST * ANCESTOR - MAC - CRC;

/// The open part of a keyring's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which features of the format the file has.
    pub features: Features,
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
    /// The header of a new keyring, whose DEK `stanzas` hold. The salt is still to be filled, for each writing anew.
    pub fn first(file_id: [u8; FILE_ID], stanzas: Vec<Stanza>) -> Header {
        let mut header = Header {
            features: Features::default(),
            file_id,
            generation: 1,
            base_sequence: 0,
            lineage: Lineage::default(),
            whole_to: 0,
            salt: [0; SALT],
            written_at: 0,
            stanzas: Vec::new(),
        };
        header.set_stanzas(stanzas);
        header
    }

    /// Puts these stanzas in the place of all, and the feature that follows from them.
    pub fn set_stanzas(&mut self, stanzas: Vec<Stanza>) {
        self.stanzas = stanzas;
        self.features.required &= !SEVERAL_KEKS;
        if self.names_holders() {
            self.features.required |= SEVERAL_KEKS;
        }
    }

    /// A stanza says whose part it wraps.
    fn names_holders(&self) -> bool {
        self.stanzas.iter().any(|stanza| stanza.holder.is_some())
    }

    /// The feature word says of the stanzas what they are.
    fn says_what_it_has(&self) -> bool {
        self.names_holders() == (self.features.required & SEVERAL_KEKS != 0)
    }

    /// The bytes before the MAC.
    ///
    /// # Errors
    /// A stanza exceeds the format's limits.
    pub fn authenticated_bytes(&self) -> Result<Vec<u8>> {
        let mut stanzas = Vec::new();
        for stanza in &self.stanzas {
            stanza.write(&mut stanzas)?;
        }
        if !self.says_what_it_has() {
            let why = "its features say something else than its stanzas";
            return Err(Error::new(Kind::Internal, "write the header", why));
        }
        let lineage = self.lineage.all();
        let length = PROLOGUE + FIXED + lineage.len() * ANCESTOR + stanzas.len() + MAC + CRC;
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
        out.extend_from_slice(&self.features.required.to_le_bytes());
        out.extend_from_slice(&self.features.compatible.to_le_bytes());
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

/// Parses the header at the start of a file's bytes.
///
/// # Errors
/// Tampered: not a keyring file, or damaged. UnsupportedVersion: written by a newer version, or with features that this one
/// does not know. Config: a file of the stock keyrings.
pub fn parse_header(file: &[u8]) -> Result<ParsedHeader> {
    let length = parse_prologue(file)?;
    let Some(bytes) = file.get(..length) else {
        return Err(damaged(
            file.len() as u64,
            "the file ends within its header",
        ));
    };
    let (covered, crc) = bytes.split_at(length - CRC);
    if crc != crc32fast::hash(covered).to_le_bytes() {
        return Err(damaged(PROLOGUE as u64, "the header is damaged (checksum)"));
    }
    let (authenticated, mac) = covered.split_at(length - CRC - MAC);
    check_features(authenticated)?;
    let header = parse_fields(authenticated)
        .ok_or_else(|| damaged(PROLOGUE as u64, "the header's fields exceed their limits"))?;
    let mut parsed = ParsedHeader {
        header,
        length,
        mac: [0; MAC],
    };
    parsed.mac.copy_from_slice(mac);
    Ok(parsed)
}

/// The length that a header claims, after what is the same in every version is checked.
fn parse_prologue(file: &[u8]) -> Result<usize> {
    if let Some(whose) = stock_keyring(file) {
        return Err(Error::new(
            Kind::Config,
            "read the keyring file",
            format!("this is a file of {whose}, not one of Keyring Ward"),
        )
        .hint("Set path to a new file, and bring the keys of this one over: keyring-ward import --from THIS_FILE (docs/guide/coming-from.md). Nothing was changed."));
    }
    if file.is_empty() {
        return Err(damaged(0, "the file is empty, so it is not a keyring"));
    }
    let Some(prologue) = file.get(..PROLOGUE) else {
        return Err(damaged(0, "the file is too short to be a keyring"));
    };
    if prologue[..8] != MAGIC {
        return Err(damaged(
            0,
            "this is not a file of Keyring Ward (the first bytes are different)",
        ));
    }
    let mut r = Reader::new(prologue, 8);
    let (Some(version), Some(length), Some(crc)) = (r.u32(), r.u32(), r.u32()) else {
        return Err(damaged(8, "the header is incomplete"));
    };
    if crc != crc32fast::hash(&prologue[..16]) {
        return Err(damaged(8, "the start of the header is damaged (checksum)"));
    }
    if version != VERSION {
        return Err(newer(format!(
            "its format is version {version}, this program knows version {VERSION}"
        )));
    }
    let length = length as usize;
    if !(PROLOGUE + FIXED + MAC + CRC..=MAX_HEADER).contains(&length) {
        return Err(damaged(12, format!("the header claims {length} bytes")));
    }
    Ok(length)
}

/// Refuses a header that requires what this program does not know: everything behind the feature words may mean
/// something else then, so they are looked at before anything else.
///
/// Nothing has authenticated them yet. A forged bit makes the file not open, as any other changed byte of the header does,
/// only with another error; it opens nothing, and nothing is done about the file because of it. And a bit that was
/// taken away is noticed, like one that was added, because the MAC covers both words.
fn check_features(authenticated: &[u8]) -> Result<()> {
    let mut r = Reader::new(authenticated, PROLOGUE);
    let (Some(required), Some(compatible)) = (r.u64(), r.u64()) else {
        return Err(damaged(PROLOGUE as u64, "the header is incomplete"));
    };
    let features = Features {
        required,
        compatible,
    };
    match features.unknown() {
        0 => Ok(()),
        unknown => Err(newer(format!(
            "its header requires features of the format that this program does not know ({unknown:#x}); version \
             {VERSION} of the format with the features {KNOWN_REQUIRED:#x} is what it knows"
        ))),
    }
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
    let mut r = Reader::new(authenticated, PROLOGUE);
    let mut header = Header {
        features: Features {
            required: r.u64()?,
            compatible: r.u64()?,
        },
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
        header.stanzas.push(Stanza::read(&mut r)?);
    }
    (r.done() && header.says_what_it_has()).then_some(header)
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

#[cfg(test)]
#[path = "header_tests.rs"]
mod tests;
