//! How long the plaintext of a record may be.
//!
//! Owns the sums of the fields' limits, from which the limits of a frame follow. It must never be asked about a record that
//! is there: `record` reckons its length.

use crate::key::document::{MAX_DOCUMENT, MAX_DOCUMENT_NAME};
use crate::key::extensions::MAX_EXTENSIONS;
use crate::key::id::{MAX_MATERIAL, MAX_NAME_BYTES, MAX_TYPE};

/// The length of a field behind its 16-bit length.
pub(super) const fn field(length: usize) -> usize {
    2 + length
}

/// Name and owner.
const MAX_ID: usize = 2 * field(MAX_NAME_BYTES);
/// Largest put: creation time, generation, identity, type, material, extensions.
const MAX_PUT: usize =
    1 + 8 + 8 + MAX_ID + field(MAX_TYPE) + field(MAX_MATERIAL) + field(MAX_EXTENSIONS);
/// Largest removal, and largest list of attributes.
const MAX_OF_KEY: usize = 1 + MAX_ID + field(MAX_EXTENSIONS);
/// Largest document: name, content behind its 32-bit length, extensions.
const MAX_OF_DOCUMENT: usize =
    1 + field(MAX_DOCUMENT_NAME) + 4 + MAX_DOCUMENT + field(MAX_EXTENSIONS);
/// Largest plaintext of one record without the zeroes behind it, in bytes.
pub const MAX_PLAINTEXT: usize = MAX_OF_DOCUMENT;
const _: () = assert!(MAX_PUT <= MAX_PLAINTEXT && MAX_OF_KEY <= MAX_PLAINTEXT);
/// Shortest plaintext of one record: the removal of a key with a name of one byte.
pub const SHORTEST: usize = 1 + field(1) + field(0) + field(0);
