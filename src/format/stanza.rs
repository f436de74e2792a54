//! A stanza: one part of the DEK under one KEK.
//!
//! Owns its fields, their limits, and what of them a wrap authenticates. It must never hold a part that is not wrapped.

use super::reader::Reader;
use crate::envelope::{FILE_ID, KEY};
use crate::error::{Error, Kind, Result};
use std::ops::Deref;

/// Longest name of a provider in bytes.
pub const MAX_PROVIDER: usize = 32;
/// Longest name of a mechanism in bytes.
pub const MAX_MECHANISM: usize = 64;
/// Longest reference to a key in bytes.
pub const MAX_KEY_REF: usize = 2048;
/// Longest parameters of a mechanism in bytes.
pub const MAX_PARAMS: usize = 1024;
/// Longest wrapped part in bytes.
pub const MAX_BLOB: usize = 8192;
/// Longest name of a KEK in bytes.
pub const MAX_KEK_NAME: usize = 32;
/// Length of a split's id in bytes.
pub const SPLIT_ID: usize = 16;
/// Most shares of a DEK.
pub const MAX_SHARES: u8 = 16;
/// What a holder takes before the mechanism's parameters at most.
const MAX_HOLDER: usize = 1 + MAX_KEK_NAME + SPLIT_ID + 1;

/// A name that a KEK may have: 1 to 32 of a-z, 0-9, - and _.
pub fn is_kek_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=MAX_KEK_NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// A share of a DEK that was split (Shamir over GF(256)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which split: random, one for all shares that belong together.
    pub split: [u8; SPLIT_ID],
    /// How many shares give the DEK: 2 to `shares`.
    pub threshold: u8,
    /// How many there are: up to [`MAX_SHARES`].
    pub shares: u8,
    /// Which of them it is, from 1 on.
    pub number: u8,
}

impl Share {
    fn is_possible(&self) -> bool {
        (2..=MAX_SHARES).contains(&self.threshold)
            && (self.threshold..=MAX_SHARES).contains(&self.shares)
            && (1..=self.shares).contains(&self.number)
    }

    /// Both are of one split.
    pub fn belongs_to(&self, other: &Share) -> bool {
        (self.split, self.threshold, self.shares) == (other.split, other.threshold, other.shares)
    }
}

/// Whose part a stanza wraps, where there are several KEKs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The KEK's name in the configuration, when it wrapped.
    pub kek: String,
    /// The share; `None`: it wraps the whole DEK.
    pub share: Option<Share>,
}

/// What a KEK is to wrap: exactly 32 bytes, the DEK or a share of it.
pub struct Part<'a> {
    bytes: &'a [u8],
    /// Whose part it is; `None`: the only KEK's. It goes into the stanza as it is ([`Stanza::begin`]).
    pub holder: Option<&'a Holder>,
}

impl<'a> Part<'a> {
    /// The whole DEK, for the only KEK.
    pub fn whole(dek: &'a [u8]) -> Part<'a> {
        Part {
            bytes: dek,
            holder: None,
        }
    }

    /// One of several KEKs' part.
    pub fn of(holder: &'a Holder, bytes: &'a [u8]) -> Part<'a> {
        Part {
            bytes,
            holder: Some(holder),
        }
    }
}

impl Deref for Part<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// One part of the DEK, wrapped by one KEK; with one KEK the part is the whole.
/// `docs/reference/format.md` specifies the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// The provider that made it, e.g. `passphrase`.
    pub provider: String,
    /// How it wraps, e.g. `argon2id+aes-256-gcm`.
    pub mechanism: String,
    /// Which key of the provider; empty for local KEKs. For information only.
    pub key_ref: String,
    /// Whose part it is, where there are several KEKs.
    pub holder: Option<Holder>,
    /// The mechanism's public parameters.
    pub params: Vec<u8>,
    /// The commitment to the wrapping key; zeroes where the mechanism has none.
    pub commitment: [u8; KEY],
    /// The wrapped part.
    pub blob: Vec<u8>,
}

impl Stanza {
    /// A stanza for `holder`, with a commitment of zeroes and without a blob: all that a wrap authenticates is there.
    pub fn begin(
        (provider, mechanism): (&str, &str),
        key_ref: String,
        holder: Option<&Holder>,
        params: Vec<u8>,
    ) -> Stanza {
        Stanza {
            provider: provider.into(),
            mechanism: mechanism.into(),
            key_ref,
            holder: holder.cloned(),
            params,
            commitment: [0; KEY],
            blob: Vec::new(),
        }
    }

    /// The share that it wraps.
    pub fn share(&self) -> Option<&Share> {
        self.holder.as_ref()?.share.as_ref()
    }

    /// Group, index and threshold, as they are on disk: whether there is a holder, which share, how many are needed.
    fn numbers(&self) -> [u8; 3] {
        match (&self.holder, self.share()) {
            (None, _) => [0, 0, 1],
            (Some(_), None) => [1, 0, 1],
            (Some(_), Some(share)) => [1, share.number, share.threshold],
        }
    }

    /// The parameters as they are on disk: the holder's before the mechanism's.
    fn all_params(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_HOLDER + self.params.len());
        if let Some(holder) = &self.holder {
            // A name is bounded where it is written, and where it is read.
            out.push(holder.kek.len() as u8);
            out.extend_from_slice(holder.kek.as_bytes());
            if let Some(share) = &holder.share {
                out.extend_from_slice(&share.split);
                out.push(share.shares);
            }
        }
        out.extend_from_slice(&self.params);
        out
    }

    /// What the wrap authenticates: the file and every field but commitment and blob.
    pub fn associated_data(&self, file_id: &[u8; FILE_ID]) -> Vec<u8> {
        let mut data = b"keyring-ward/1 stanza".to_vec();
        data.extend_from_slice(file_id);
        let (numbers, params) = (self.numbers(), self.all_params());
        let fields = [
            self.provider.as_bytes(),
            self.mechanism.as_bytes(),
            self.key_ref.as_bytes(),
            &numbers,
            &params,
        ];
        for field in fields {
            data.extend_from_slice(&(field.len() as u32).to_le_bytes());
            data.extend_from_slice(field);
        }
        data
    }

    fn is_within_limits(&self) -> bool {
        let named = |h: &Holder| is_kek_name(&h.kek) && h.share.is_none_or(|s| s.is_possible());
        self.holder.as_ref().is_none_or(named) && self.params.len() <= MAX_PARAMS
    }

    /// Appends the stanza to `out` as a header has it, behind its length.
    ///
    /// # Errors
    /// A field exceeds its limit.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let too_long = || Error::new(Kind::Internal, "write the header", "a stanza is too long");
        if !self.is_within_limits() {
            return Err(too_long());
        }
        let mut body = self.numbers().to_vec();
        for (field, limit) in [
            (self.provider.as_bytes(), MAX_PROVIDER),
            (self.mechanism.as_bytes(), MAX_MECHANISM),
            (self.key_ref.as_bytes(), MAX_KEY_REF),
            (&self.all_params(), MAX_PARAMS + MAX_HOLDER),
            (&self.commitment, KEY),
            (&self.blob, MAX_BLOB),
        ] {
            if field.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&(field.len() as u16).to_le_bytes());
            body.extend_from_slice(field);
        }
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&body);
        Ok(())
    }

    /// Reads a stanza. `None`: it exceeds the limits.
    pub(super) fn read(r: &mut Reader<'_>) -> Option<Stanza> {
        let length = r.u32()? as usize;
        let mut s = Reader::new(r.take(length)?, 0);
        let numbers = s.array()?;
        let (provider, mechanism) = (s.text16(MAX_PROVIDER)?, s.text16(MAX_MECHANISM)?);
        let key_ref = s.text16(MAX_KEY_REF)?;
        let mut params = Reader::new(s.field16(MAX_PARAMS + MAX_HOLDER)?, 0);
        let holder = read_holder(numbers, &mut params)?;
        let stanza = Stanza {
            provider,
            mechanism,
            key_ref,
            holder,
            params: params.take(params.left())?.to_vec(),
            commitment: s.field16(KEY)?.try_into().ok()?,
            blob: s.field16(MAX_BLOB)?.to_vec(),
        };
        (s.done() && stanza.is_within_limits()).then_some(stanza)
    }
}

/// The holder before the mechanism's parameters. The outer `None`: it is none that is possible.
fn read_holder(
    [group, number, threshold]: [u8; 3],
    params: &mut Reader<'_>,
) -> Option<Option<Holder>> {
    match (group, number, threshold) {
        (0, 0, 1) => return Some(None),
        (1, ..) => {}
        _ => return None,
    }
    let length = usize::from(params.u8()?);
    let kek = String::from_utf8(params.take(length)?.to_vec()).ok()?;
    let share = match (number, threshold) {
        (0, 1) => None,
        _ => Some(Share {
            split: params.array()?,
            threshold,
            shares: params.u8()?,
            number,
        }),
    };
    Some(Some(Holder { kek, share }))
}
