//! Sealed values: the bytes that SQL functions make of a plaintext, for the columns of tables.
//!
//! Owns their layout and its limits (`docs/reference/sealed-values.md`). It must never know where a key comes from, and never
//! let a value that breaks a rule be taken for one that another key opens.

use crate::envelope::{COMMITMENT, Parts, TAG, VALUE_NONCE, VALUE_RANDOM, ValueKeys};
use crate::error::{Error, Kind, Result};
use zeroize::Zeroize;

/// The first byte of each value: it begins no text in UTF-8, so that no text is taken for a value.
pub const MAGIC: u8 = 0xC1;
/// The layout that this program writes and knows.
pub const LAYOUT: u8 = 1;
/// What stands before the ciphertext: magic, layout, version, nonce.
const HEAD: usize = START + VALUE_NONCE;
/// Magic, layout and version: the associated data.
const START: usize = 2 + 4;
/// How much longer a value is than its plaintext, in bytes.
pub const OVERHEAD: usize = HEAD + COMMITMENT + TAG;
/// Longest plaintext in bytes: 16 MiB.
pub const MAX_PLAINTEXT: usize = 16 << 20;
/// Longest value in bytes.
pub const MAX_SEALED: usize = MAX_PLAINTEXT + OVERHEAD;
/// Longest context in bytes.
pub const MAX_CONTEXT: usize = 4096;

const SEAL: &str = "seal the value";
const OPEN: &str = "open the sealed value";

/// A value whose layout was read.
pub struct Sealed<'a> {
    /// The version of the logical key that it was sealed with.
    pub version: u32,
    parts: Parts,
    /// Magic, layout and version.
    head: &'a [u8],
    /// Of the commitment and the plaintext.
    ciphertext: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads the layout of a value; nothing of it is authentic before it is opened.
    ///
    /// # Errors
    /// InvalidInput: it is no sealed value, or cut. UnsupportedVersion: a newer program made it.
    pub fn parse(value: &'a [u8]) -> Result<Sealed<'a>> {
        match value {
            [MAGIC, LAYOUT, ..] => {}
            [MAGIC, layout, ..] => {
                let why = format!("it has layout {layout}, and this version knows {LAYOUT}");
                return Err(Error::new(Kind::UnsupportedVersion, OPEN, why).hint(
                    "A newer Keyring Ward made it: install that here, or the value is damaged.",
                ));
            }
            _ => return Err(no_value("it does not begin as one")),
        }
        let too_short = || {
            no_value(format!(
                "it has {} bytes, and the shortest has {OVERHEAD}: it was cut",
                value.len()
            ))
        };
        if value.len() > MAX_SEALED {
            return Err(no_value(format!(
                "it has {} bytes, and the longest has {MAX_SEALED}",
                value.len()
            )));
        }
        let (head, _) = value.split_at_checked(START).ok_or_else(too_short)?;
        let (_, rest) = value.split_at(2);
        let (version, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or_else(too_short)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(too_short)?;
        if ciphertext.len() < COMMITMENT {
            return Err(too_short());
        }
        let version = u32::from_le_bytes(*version);
        if version == 0 {
            return Err(no_value("it names version 0, which no key has"));
        }
        Ok(Sealed {
            version,
            parts: Parts {
                nonce: *nonce,
                tag: *tag,
            },
            head,
            ciphertext,
        })
    }

    /// Opens it into `out`, in place of what is there. After an error `out` is empty.
    ///
    /// # Errors
    /// Tampered: the keys are another version's or another key's, the context is another one, or the value was changed.
    pub fn open(&self, keys: &mut ValueKeys, context: &[u8], out: &mut Vec<u8>) -> Result<()> {
        check_context(OPEN, context)?;
        out.clear();
        out.extend_from_slice(self.ciphertext);
        if keys.open(&self.parts, context, self.head, out)? {
            let length = out.len() - COMMITMENT;
            out.copy_within(COMMITMENT.., 0);
            out[length..].zeroize();
            out.truncate(length);
            return Ok(());
        }
        out.as_mut_slice().zeroize();
        out.clear();
        let why = format!(
            "the value, which names version {}, was sealed with another key or another context, or under another id of this key, or it was changed",
            self.version
        );
        Err(Error::new(Kind::Tampered, OPEN, why)
            .hint(
                "Compare key and context with those that sealed it; both are part of the seal. A key that came here by a clear-text file or by \
                 mysql_migrate_keyring has lost its id unless it was adopted with it: keyring-ward key adopt --id (docs/reference/sealed-values.md).",
            )
            .refused())
    }
}

/// Seals `plaintext` with a version's keys into `out`, in place of what is there.
///
/// # Errors
/// InvalidInput: plaintext or context are too long.
pub fn seal(
    keys: &mut ValueKeys,
    version: u32,
    random: &[u8; VALUE_RANDOM],
    context: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<()> {
    check_context(SEAL, context)?;
    if plaintext.len() > MAX_PLAINTEXT {
        let why = format!(
            "it has {} bytes, and the most are {MAX_PLAINTEXT}",
            plaintext.len()
        );
        return Err(Error::new(Kind::InvalidInput, SEAL, why));
    }
    out.clear();
    out.extend_from_slice(&[MAGIC, LAYOUT]);
    out.extend_from_slice(&version.to_le_bytes());
    out.resize(HEAD + COMMITMENT, 0);
    out.extend_from_slice(plaintext);
    let (head, text) = out.split_at_mut(HEAD);
    let parts = keys.seal(random, context, &head[..START], text)?;
    head[START..].copy_from_slice(&parts.nonce);
    out.extend_from_slice(&parts.tag);
    Ok(())
}

fn no_value(why: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, OPEN, format!("it is no sealed value: {}", why.into())).hint(
        "Sealed values are bytes: keep them in VARBINARY or BLOB columns that are long enough, never in CHAR or TEXT.",
    )
}

fn check_context(op: &'static str, context: &[u8]) -> Result<()> {
    if context.len() <= MAX_CONTEXT {
        return Ok(());
    }
    let why = format!(
        "the context has {} bytes, and the most are {MAX_CONTEXT}",
        context.len()
    );
    Err(Error::new(Kind::InvalidInput, op, why))
}

#[cfg(test)]
mod tests;
