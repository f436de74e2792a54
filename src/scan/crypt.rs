//! AES as MySQL uses it in its files.
//!
//! Nothing here authenticates: whether a key is the one, checksums inside tell. Decrypted in place; where that is key
//! material the caller has it in secret memory.

use crate::secret::wipe_stack;
use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit, StreamCipher};

pub(super) const BLOCK: usize = 16;
/// Every key has as many bytes.
pub(super) const KEY: usize = 32;

/// Whole blocks, each by itself; `None`: the key has another length.
pub(super) fn open_ecb(key: &[u8], data: &mut [u8]) -> Option<()> {
    let cipher = Aes256::new_from_slice(key).ok()?;
    for block in data.chunks_exact_mut(BLOCK) {
        cipher.decrypt_block(block.try_into().ok()?);
    }
    drop(cipher);
    wipe_stack();
    Some(())
}

/// Whole blocks, chained, without padding.
pub(super) fn open_cbc(key: &[u8], iv: &[u8], data: &mut [u8]) -> Option<()> {
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded::<NoPadding>(data).ok()?;
    Some(())
}

/// What InnoDB does with a length that is not whole blocks: the whole blocks, then the last two blocks once more.
pub(super) fn open_with_tail(key: &[u8], iv: &[u8], data: &mut [u8]) -> Option<()> {
    let whole = data.len() / BLOCK * BLOCK;
    if whole != data.len() {
        let tail = data.len().checked_sub(2 * BLOCK)?;
        open_cbc(key, iv, data.get_mut(tail..)?)?;
    }
    open_cbc(key, iv, data.get_mut(..whole)?)
}

/// The beginning of a stream in counter mode: 48 bytes of key and start value, whose last half counts from 0.
pub(super) fn open_ctr(key_and_iv: &[u8; 48], data: &mut [u8]) -> Option<()> {
    let (key, start) = key_and_iv.split_at(KEY);
    let mut start: [u8; BLOCK] = start.try_into().ok()?;
    start[8..].fill(0);
    let mut cipher = ctr::Ctr64BE::<Aes256>::new_from_slices(key, &start).ok()?;
    cipher.apply_keystream(data);
    Some(())
}
