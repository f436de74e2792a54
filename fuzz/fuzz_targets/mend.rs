//! Puts a header's lengths and checksums right, so that a target reaches what is behind them.

use keyring_ward::format::header::{MAGIC, PROLOGUE, VERSION};

/// Magic, version, length and both checksums of a header that is all of `bytes`.
pub fn mend_header(bytes: &mut [u8]) {
    if bytes.len() < PROLOGUE {
        return;
    }
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let length = bytes.len() as u32;
    bytes[12..16].copy_from_slice(&length.to_le_bytes());
    let start = crc(&bytes[..16]);
    bytes[16..20].copy_from_slice(&start);
    let end = bytes.len() - 4;
    if end >= PROLOGUE {
        let whole = crc(&bytes[..end]);
        bytes[end..].copy_from_slice(&whole);
    }
}

/// CRC-32 (IEEE), bit by bit: independent of the crate under test.
pub fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1));
        }
    }
    (!crc).to_le_bytes()
}
