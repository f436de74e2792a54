//! Headers: whether a keyring is the one that is expected, the keys that it gives, and the DEK of a new one.
//!
//! Owns the checks that every store makes in the same order. It must never give keys of a header that is not authentic, whose DEK is not the pinned one, or that belongs
//! to another data directory.

use super::marker;
use crate::deadline::Deadline;
use crate::envelope::{FILE_ID, FileKeys, KEY, MAC, equal, fingerprint};
use crate::error::{Error, Kind, Result};
use crate::format::damage::damaged;
use crate::format::header::{self, ParsedHeader};
use crate::kek::randomness::mix;
use crate::kek::{Keks, Used};
use crate::key::limits::FINGERPRINT;
use crate::secret::{SecretBytes, SecretPool};
use std::path::Path;

const OP: &str = "open the keyring";

/// What is expected of a header, and what opens it.
pub(super) struct Expected<'a> {
    /// What holds the header, for people.
    pub(super) place: &'a str,
    /// How a damaged one is mended: full sentences.
    pub(super) restore: &'a str,
    pub(super) pool: &'a SecretPool,
    /// The KEKs that may open it.
    pub(super) keks: &'a Keks,
    /// How long all of them together may take.
    pub(super) deadline: Deadline,
    /// The DEK's fingerprint is one of these, where the configuration pins any.
    pub(super) pinned: &'a [[u8; FINGERPRINT]],
    /// The data directory and the keyring that belongs to it by its marker, where there are both.
    pub(super) belongs: Option<(&'a Path, &'a [u8; FILE_ID])>,
}

/// An authentic header.
pub(super) struct OpenHeader {
    pub(super) parsed: ParsedHeader,
    pub(super) dek: SecretBytes,
    pub(super) keys: FileKeys,
    /// The KEKs that opened it.
    pub(super) used: Vec<Used>,
    /// What was wrong with other KEKs: full sentences.
    pub(super) warnings: Vec<String>,
}

/// Opens the header at the start of `bytes`.
///
/// # Errors
/// Tampered: damaged, changed or another data directory's. UnsupportedVersion. WrongKek: no KEK fits, or another
/// DEK is pinned. The KEKs' own errors.
pub(super) fn open(bytes: &[u8], expected: &Expected<'_>) -> Result<OpenHeader> {
    let Expected { place, pool, .. } = *expected;
    let of_place = |e: Error| match e.kind() {
        Kind::Tampered => e.context(place).hint(expected.restore),
        _ => e.context(place),
    };
    let parsed = header::parse_header(bytes).map_err(of_place)?;
    let header = &parsed.header;
    let authenticated = &bytes[..parsed.length - MAC - 4];
    let proves = |keys: &FileKeys| equal(&keys.header_mac(authenticated), &parsed.mac);
    let proof = |dek: &SecretBytes| {
        FileKeys::derive(pool, dek, &header.salt).is_ok_and(|keys| proves(&keys))
    };
    let opened = (expected.keks)
        .open(
            pool,
            &header.file_id,
            &header.stanzas,
            &proof,
            expected.deadline,
        )
        .map_err(|e| match e.kind() {
            Kind::WrongKek | Kind::Tampered => e.at(place),
            // About the KEK, not about this keyring.
            _ => e,
        })?;
    let keys = FileKeys::derive(pool, &opened.dek, &header.salt)?;
    if !proves(&keys) {
        let why = "the header is not authentic: it was changed";
        return Err(of_place(damaged(0, why)));
    }
    let is = fingerprint(&opened.dek)?;
    if !expected.pinned.is_empty() && !expected.pinned.iter().any(|pinned| equal(&is, pinned)) {
        return Err(Error::new(
            Kind::WrongKek,
            OP,
            format!("the DEK of {place} is not the one that the configuration pins"),
        )
        .hint(
            "Somebody may have put another keyring in place. Restore yours, or correct fingerprint. Nothing was changed.",
        ));
    }
    if let Some((dir, file_id)) = expected.belongs
        && *file_id != header.file_id
    {
        return Err(foreign(place, Some(dir)));
    }
    Ok(OpenHeader {
        parsed,
        dek: opened.dek,
        keys,
        used: opened.used,
        warnings: opened.warnings,
    })
}

/// The error about a keyring that is another one than the marker names.
pub(super) fn foreign(place: &str, data_dir: Option<&Path>) -> Error {
    let why = format!("{place} is not the keyring that belongs to this data directory");
    let e = Error::new(Kind::Tampered, OP, why);
    match data_dir {
        Some(dir) => e.hint(marker::reset_hint(dir)),
        None => e,
    }
}

/// A new DEK: the operating system's randomness, mixed with that of the KEK where it has a generator.
pub(super) fn new_dek(pool: &SecretPool, keks: &Keks, deadline: Deadline) -> Result<SecretBytes> {
    let mut dek = pool.random(KEY)?;
    if let Some(other) = keks.draw(pool, KEY, deadline)? {
        mix(&mut dek, &other);
    }
    Ok(dek)
}

impl Error {
    /// Names the place in an error that does not name it yet.
    pub(super) fn at(self, place: &str) -> Error {
        if self.to_string().contains(place) {
            return self;
        }
        self.context(place)
    }
}
