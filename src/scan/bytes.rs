//! Numbers at places of a byte string; `None` where it ends before.

/// `N` bytes.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Two bytes, the high one first.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Four bytes, the highest first.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// Eight bytes, the highest first.
pub(super) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// CRC-32C of pieces, each for itself, put together as InnoDB does: by exclusive or.
pub(super) fn folded(pieces: &[&[u8]]) -> u32 {
    pieces
        .iter()
        .fold(0, |all, piece| all ^ crc32c::crc32c(piece))
}
