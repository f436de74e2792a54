//! The bytes of a keyring: header, stanzas, frames and records, as `docs/reference/format.md` specifies them.
//!
//! Owns every limit of the format, once. It must never read a clock, a file or a key.

pub mod layout;
pub mod lineage;
pub mod stanza;
