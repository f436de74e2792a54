//! The tags of extensions that are assigned, and what may be wrong with a list of them.
//!
//! Owns the numbers. None may ever get another meaning: files are full of them.

/// Who asked for the change: UTF-8, 1 to [`MAX_ACTOR`] bytes.
pub const ACTOR: u8 = 1;
/// Longest [`ACTOR`] in bytes.
pub const MAX_ACTOR: usize = 255;
/// Whose random bytes were mixed with the system's when the material was made: the configuration's word for the source, in
/// lower-case ASCII, 1 to [`MAX_RANDOM`] bytes. Without it: the system's alone, or whoever stored the key knows.
pub const RANDOM: u8 = 2;
/// Longest [`RANDOM`] in bytes that is shown.
pub const MAX_RANDOM: usize = 16;
/// The change is owed to the audit log: when it was made, and how far the log was then (docs/reference/audit-log.md). It belongs to the
/// record alone, not to what the record is about: nobody keeps it in memory.
pub const OWED: u8 = 3;
/// Length of [`OWED`] in bytes.
pub const OWED_LENGTH: usize = 60;
/// From this tag on, whoever does not know a tag must not use the key.
pub const FIRST_RESTRICTING: u8 = 128;
/// The key is a version of a logical key: [`super::logical::VersionOf`]. As an attribute it takes the place of the one in the
/// key's record.
pub const VERSION: u8 = 128;
/// The record removes a key that is kept as a retired one: [`super::retired::Retired`].
pub const RETAINED: u8 = 129;
/// The record holds a retired key: [`super::retired::Retired`].
pub const RETIRED: u8 = 130;
/// The record ends a retired key: [`super::retired::Retired`].
pub const PURGED: u8 = 131;
/// The secret of the logical key's blind index, sealed for the version whose key has this: [`INDEX_LENGTH`] bytes.
pub const INDEX: u8 = 132;
/// Length of an [`INDEX`] in bytes: 32, and what sealing adds.
pub const INDEX_LENGTH: usize = 32 + 78;
/// The key is the private half of a key pair, as PKCS #8: one byte, [`PAIR_RSA`] or [`PAIR_ED25519`].
pub const PAIR: u8 = 133;
/// A [`PAIR`] for RSA.
pub const PAIR_RSA: u8 = 1;
/// A [`PAIR`] for Ed25519.
pub const PAIR_ED25519: u8 = 2;

/// A retired key is held for this reason, and does not end as long as that stands: one line of UTF-8, 1 to 255 bytes. In the
/// record that holds the key, or in one of attributes that says with [`RETIRED`] which removal it is about.
pub const HOLD: u8 = 134;

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It breaks the rules: too long, not in order, a tag twice, or bytes that the tag does not allow.
    Rules(&'static str),
    /// A tag that restricts the use of the key, and that this program does not know.
    Newer(u8),
}
