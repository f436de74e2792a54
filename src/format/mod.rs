//! The bytes of a keyring: header, stanzas, frames and records, as `docs/reference/format.md` specifies them.
//!
//! Owns every limit of the format, once; those of keys and documents are `key`'s. All integers are little-endian. It must
//! never allocate by a length that it has not bounded first, and never read a clock, a file or a key.

pub mod damage;
pub mod features;
pub mod frame;
pub mod header;
pub mod limits;
pub mod lineage;
pub(crate) mod reader;
pub mod record;
pub mod stanza;
