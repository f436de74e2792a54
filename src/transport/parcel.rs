//! One version of a logical key on its way, sealed under a transport key.
//!
//! Owns the layout, and the bounds of everything in it, which are those of a keyring's own records. It must never give a
//! version that its own description does not name.

use super::{HEAD, Is, MAX_HEAD, ServerId, Under, head};
use crate::envelope::{Envelope, KEY, MAC, MESSAGE_SALT, TAG, TransportKeys};
use crate::error::{Error, Kind, Result};
use crate::format::reader::Reader;
use crate::key::extensions::{
    Extensions, FIRST_RESTRICTING, Flaw, HOLD, PURGED, RETAINED, RETIRED, VERSION,
};
use crate::key::id::{KeyId, MAX_MATERIAL, MAX_NAME_BYTES, MAX_TYPE, check_length, check_type};
use crate::key::info::KeyInfo;
use crate::key::logical::{self, State, VersionOf, check_name};
use crate::secret::{SecretBytes, SecretPool};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Longest description of a logical key, in bytes: more than any has.
const MAX_DESCRIPTION: usize = 6 << 10;
// What is written is read.
const _: () = assert!(logical::MAX_BYTES <= MAX_DESCRIPTION);
/// Longest list of what else restricts the use of the key, in bytes.
const MAX_RESTRICTIONS: usize = 1 << 10;
/// Longest body in bytes.
pub const MAX_BODY: usize = 26 << 10;
const _: () = assert!(
    8 + 6 * 2 + MAX_TYPE + 2 * MAX_NAME_BYTES + MAX_DESCRIPTION + MAX_RESTRICTIONS + MAX_MATERIAL
        <= MAX_BODY
);
/// Longest parcel in bytes: head, source, salt, commitment, length, body, tag.
pub const MAX: usize = MAX_HEAD + 16 + MESSAGE_SALT + KEY + 4 + MAX_BODY + TAG;

/// What is read of a message, before anything of it is opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Parcel<'a> {
    /// The transport key that it is sealed under.
    pub under: Under<'a>,
    /// The server whose keyring sealed it.
    pub source: ServerId,
    envelope: Envelope,
    bound: &'a [u8],
    body: &'a [u8],
    /// SHA-256 of the whole message, which a receipt names.
    pub hash: [u8; 32],
}

/// A version of a logical key, with its material.
pub struct Content {
    /// The logical key's name and owner.
    pub id: KeyId,
    /// Which version of which logical key, and what its source knows of it.
    pub version: VersionOf,
    /// The type of the key as it was given.
    pub key_type: String,
    /// What else restricts the use of the key, as its record says: tags from [`FIRST_RESTRICTING`] on, but for that of
    /// `version`. What people noted of it stays where it is.
    pub restrictions: Extensions,
    /// Seconds since 1970, UTC.
    pub created_at: i64,
    /// The secret.
    pub material: SecretBytes,
}

/// What of a key's extensions and attributes travels with it; an attribute takes the place of an extension.
///
/// # Errors
/// As [`Extensions::new`].
pub fn restrictions(key: &KeyInfo) -> Result<Extensions> {
    let all = key.extensions().iter().chain(key.attributes().iter());
    let travels = |tag| tag >= FIRST_RESTRICTING && tag != VERSION;
    let all: BTreeMap<u8, Vec<u8>> = all
        .filter(|(tag, _)| travels(*tag))
        .map(|(tag, bytes)| (tag, bytes.to_vec()))
        .collect();
    Extensions::new(all)
}

impl Content {
    /// The state of the version at its source.
    pub fn state(&self) -> State {
        let version = self.version.logical.version(self.version.number);
        version.map_or(State::Destroyed, |v| v.state)
    }

    /// A name of the material in this place, under a transport key.
    pub fn digest(&self, keys: &TransportKeys) -> [u8; MAC] {
        digest(keys, &self.version, &self.material)
    }

    /// What may travel: a version that is there, of an account.
    fn check(&self) -> Result<()> {
        check_name(self.id.name(), self.id.owner())?;
        check_type(self.key_type.as_bytes())?;
        check_length(self.material.len())?;
        let mut tags = self.restrictions.iter().map(|(tag, _)| tag);
        let is_of_a_removal = |tag| matches!(tag, RETAINED | RETIRED | PURGED | HOLD | VERSION);
        let long = self.restrictions.length() > MAX_RESTRICTIONS;
        if long || tags.any(|tag| tag < FIRST_RESTRICTING || is_of_a_removal(tag)) {
            let why = "what restricts its use is not of a key that is there";
            return Err(Error::new(Kind::InvalidInput, "send the version", why)
                .hint("Nothing was changed."));
        }
        let why = match self.state() {
            State::Destroyed => "the version is destroyed",
            // What belongs to no account is the server's own, or the keyring's.
            _ if !self.id.owner().contains(&b'@') => "the key belongs to no account",
            _ => return Ok(()),
        };
        Err(Error::new(Kind::InvalidInput, "send the version", why).hint("Nothing was changed."))
    }
}

/// A name of a version's material under a transport key.
pub fn digest(keys: &TransportKeys, version: &VersionOf, material: &[u8]) -> [u8; MAC] {
    let place = [&version.logical.id[..], &version.number.to_le_bytes()].concat();
    keys.digest(&place, material)
}

impl<'a> Parcel<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Parcel<'a>> {
        let mut reader = Reader::new(bytes, HEAD);
        let under = Under::read(&mut reader)?;
        let source = ServerId(reader.array()?);
        let bound = &bytes[..reader.at()];
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let body = reader.field32(MAX_BODY)?;
        let tag = reader.array()?;
        reader.done().then_some(Parcel {
            under,
            source,
            envelope: Envelope {
                salt,
                commitment,
                tag,
            },
            bound,
            body,
            hash: Sha256::digest(bytes).into(),
        })
    }

    /// The version in it.
    ///
    /// # Errors
    /// Tampered: it was changed, or is of another transport key. UnsupportedVersion: its description is of a newer program.
    /// InvalidInput: who has the transport key sealed something else in it.
    pub fn open(&self, pool: &SecretPool, keys: &TransportKeys) -> Result<Content> {
        const OPEN: &str = "open the sealed version";
        let mut body = pool.copy(self.body)?;
        if !keys.open(pool, self.bound, &self.envelope, &mut body)? {
            let why = "it was changed on its way, or is of another transport key of that name";
            return Err(Error::new(Kind::Tampered, OPEN, why)
                .hint("Nothing was changed. Seal it again at the source; if that does not help, find out who changed it."));
        }
        let content = content(pool, &body)?.ok_or_else(|| {
            let why = "who sealed it wrote something that is no version of a key";
            Error::new(Kind::InvalidInput, OPEN, why)
                .hint("Nothing was changed. A newer Keyring Ward may have done so: install the same version here.")
        })?;
        content.check()?;
        Ok(content)
    }
}

fn newer() -> Error {
    let why = "the key has something that restricts its use, and that this program does not know";
    Error::new(Kind::UnsupportedVersion, "open the sealed version", why)
        .hint("A newer Keyring Ward made it. Install that version here first. Nothing was changed.")
}

/// `Ok(None)`: it breaks a rule.
fn content(pool: &SecretPool, body: &[u8]) -> Result<Option<Content>> {
    let read = || {
        let mut reader = Reader::new(body, 0);
        let created_at = reader.i64()?;
        let key_type = reader.text16(MAX_TYPE)?;
        let name = reader.field16(MAX_NAME_BYTES)?;
        let owner = reader.field16(MAX_NAME_BYTES)?;
        let id = KeyId::new(name, owner).ok()?;
        let version = VersionOf::from_bytes(reader.field16(MAX_DESCRIPTION)?);
        let restrictions = Extensions::read(reader.field16(MAX_RESTRICTIONS)?);
        let material = reader.field16(MAX_MATERIAL)?;
        let content = (id, version, restrictions, key_type, created_at, material);
        reader.done().then_some(content)
    };
    let Some((id, version, restrictions, key_type, created_at, material)) = read() else {
        return Ok(None);
    };
    let (version, restrictions) = match (version, restrictions) {
        (Ok(version), Ok(restrictions)) => (version, restrictions),
        (Err(Flaw::Newer(_)), _) | (_, Err(Flaw::Newer(_))) => return Err(newer()),
        _ => return Ok(None),
    };
    Ok(Some(Content {
        id,
        version,
        restrictions,
        key_type,
        created_at,
        material: pool.copy(material)?,
    }))
}

/// The message that carries `content` under the transport key of this name.
///
/// # Errors
/// InvalidInput: it is nothing that may travel. The system's generator fails.
pub fn write(
    pool: &SecretPool,
    (name, keys): (&str, &TransportKeys),
    source: ServerId,
    content: &Content,
) -> Result<Vec<u8>> {
    super::check_name(name)?;
    content.check()?;
    let description = content.version.to_bytes();
    let restrictions = content.restrictions.as_bytes();
    let fields = [
        content.key_type.as_bytes(),
        content.id.name(),
        content.id.owner(),
        &description,
        restrictions,
        &content.material,
    ];
    let length = 8 + fields.iter().map(|field| 2 + field.len()).sum::<usize>();
    let mut body = pool.zeroed(length)?;
    body[..8].copy_from_slice(&content.created_at.to_le_bytes());
    let mut at = 8;
    for field in fields {
        // Each is bounded by 16,384.
        body[at..at + 2].copy_from_slice(&(field.len() as u16).to_le_bytes());
        body[at + 2..at + 2 + field.len()].copy_from_slice(field);
        at += 2 + field.len();
    }
    let id = keys.id();
    let mut out = head(Is::Parcel, &Under { id, name });
    out.extend_from_slice(&source.0);
    let envelope = keys.seal(pool, &out, &mut body)?;
    out.extend_from_slice(&envelope.salt);
    out.extend_from_slice(&envelope.commitment);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&body);
    out.extend_from_slice(&envelope.tag);
    Ok(out)
}
