//! Feature words: which features of the format a header says that its file has.
//!
//! Owns the list of bits that are assigned. It must never take a file for readable whose header requires what this
//! program does not know, and never drop a bit that it merely does not know.

/// Required: stanzas say whose part they wrap, because the DEK is under several KEKs.
pub const SEVERAL_KEKS: u64 = 1;
/// The required bits that this program knows.
pub const KNOWN_REQUIRED: u64 = SEVERAL_KEKS;

/// The two feature words of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// A reader that does not know all of these bits must not read the file.
    pub required: u64,
    /// A reader that does not know one of these bits may read and write the file, and keeps the bit.
    pub compatible: u64,
}

impl Features {
    /// The required bits that this program does not know.
    pub fn unknown(self) -> u64 {
        self.required & !KNOWN_REQUIRED
    }
}
