//! Sizes that more than one room has to know.

/// Length of a DEK's fingerprint in bytes.
pub const FINGERPRINT: usize = 16;
