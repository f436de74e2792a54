//! AES with a key of the keyring, for the service `keyring_aes`: the modes of the stock component.
//!
//! The AES key is SHA-256 of the stored bytes, as there, so that data moves between the two.
//! These modes authenticate nothing; they exist for compatibility and are used for nothing else
//! in this crate.

use crate::error::{Error, Kind, Result};
use crate::key::record::KeyRecord;
use crate::secret::{SecretBytes, SecretPool, wipe_stack};
use aes::Aes256;
use aes::cipher::block_padding::{NoPadding, Pkcs7};
use aes::cipher::{
    BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit, StreamCipher,
};
use sha2::{Digest, Sha256};

const BLOCK: usize = 16;
const OP: &str = "use the key for AES";

/// A mode of operation (NIST SP 800-38A), always with 256-bit keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Cipher block chaining.
    Cbc,
    /// Cipher feedback, one bit at a time.
    Cfb1,
    /// Cipher feedback, one byte at a time.
    Cfb8,
    /// Cipher feedback, one block at a time.
    Cfb128,
    /// Output feedback.
    Ofb,
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, OP, why)
}

impl Mode {
    /// A mode by its name and key length in bits.
    ///
    /// # Errors
    /// InvalidInput: unknown.
    pub fn parse(name: &[u8], bits: usize) -> Result<Mode> {
        let mode = match name.to_ascii_lowercase().as_slice() {
            b"cbc" => Mode::Cbc,
            b"cfb1" => Mode::Cfb1,
            b"cfb8" => Mode::Cfb8,
            b"cfb128" => Mode::Cfb128,
            b"ofb" => Mode::Ofb,
            _ => {
                let shown = name[..name.len().min(16)].escape_ascii();
                return Err(invalid(format!("'{shown}' is not a mode"))
                    .hint("The modes are cbc, cfb1, cfb8, cfb128 and ofb."));
            }
        };
        if bits != 256 {
            return Err(invalid(format!("the key length is {bits} bits")).hint("It must be 256."));
        }
        Ok(mode)
    }

    /// The room that a result may need.
    ///
    /// # Errors
    /// InvalidInput: the length is beyond all memory.
    pub fn output_length(self, input: usize, padding: bool) -> Result<usize> {
        if self == Mode::Cbc && padding {
            return (input / BLOCK + 1)
                .checked_mul(BLOCK)
                .ok_or_else(|| invalid("the input is too long"));
        }
        Ok(input)
    }
}

/// Encrypts or decrypts `input` with a key of type AES.
///
/// # Errors
/// InvalidInput: the key is of another type, or lengths or padding do not fit.
pub fn apply(
    pool: &SecretPool,
    key: &KeyRecord,
    mode: Mode,
    iv: &[u8],
    padding: bool,
    input: &[u8],
    encrypt: bool,
) -> Result<SecretBytes> {
    if !key.key_type.eq_ignore_ascii_case("AES") {
        return Err(invalid(format!("it is of type {}, not AES", key.key_type)));
    }
    let mut aes_key = pool.zeroed(32)?;
    let mut digest = Sha256::digest(key.material());
    aes_key.copy_from_slice(&digest);
    zeroize::Zeroize::zeroize(&mut digest[..]);
    let result = transform(pool, &aes_key, mode, iv, padding, input, encrypt);
    wipe_stack();
    result
}

fn transform(
    pool: &SecretPool,
    key: &[u8],
    mode: Mode,
    iv: &[u8],
    padding: bool,
    input: &[u8],
    encrypt: bool,
) -> Result<SecretBytes> {
    let bad_iv = |_| invalid("the initialisation vector has not 16 bytes");
    let mut out = pool.zeroed(mode.output_length(input.len(), padding && encrypt)?)?;
    match (mode, encrypt) {
        (Mode::Cbc, true) => {
            let cipher = cbc::Encryptor::<Aes256>::new_from_slices(key, iv).map_err(bad_iv)?;
            let done = if padding {
                cipher.encrypt_padded_b2b::<Pkcs7>(input, &mut out)
            } else {
                cipher.encrypt_padded_b2b::<NoPadding>(input, &mut out)
            };
            done.map_err(|_| {
                invalid("without padding the input must be whole blocks of 16 bytes")
            })?;
        }
        (Mode::Cbc, false) => {
            let cipher = cbc::Decryptor::<Aes256>::new_from_slices(key, iv).map_err(bad_iv)?;
            let done = if padding {
                cipher.decrypt_padded_b2b::<Pkcs7>(input, &mut out)
            } else {
                cipher.decrypt_padded_b2b::<NoPadding>(input, &mut out)
            };
            let length = done
                .map_err(|_| invalid("the input is not whole blocks, or key or padding are wrong"))?
                .len();
            out.truncate(length);
        }
        (Mode::Cfb128, _) => {
            out.copy_from_slice(input);
            if encrypt {
                cfb_mode::Encryptor::<Aes256>::new_from_slices(key, iv)
                    .map_err(bad_iv)?
                    .encrypt(&mut out);
            } else {
                cfb_mode::Decryptor::<Aes256>::new_from_slices(key, iv)
                    .map_err(bad_iv)?
                    .decrypt(&mut out);
            }
        }
        (Mode::Cfb8, _) => {
            out.copy_from_slice(input);
            if encrypt {
                cfb8::Encryptor::<Aes256>::new_from_slices(key, iv)
                    .map_err(bad_iv)?
                    .encrypt(&mut out);
            } else {
                cfb8::Decryptor::<Aes256>::new_from_slices(key, iv)
                    .map_err(bad_iv)?
                    .decrypt(&mut out);
            }
        }
        (Mode::Ofb, _) => {
            out.copy_from_slice(input);
            ofb::Ofb::<Aes256>::new_from_slices(key, iv)
                .map_err(bad_iv)?
                .apply_keystream(&mut out);
        }
        (Mode::Cfb1, _) => cfb1(key, iv, input, &mut out, encrypt)?,
    }
    Ok(out)
}

/// CFB with one-bit segments (SP 800-38A, section 6.3): no library has it. The block cipher is the
/// library's; this is only the shift register around it.
fn cfb1(key: &[u8], iv: &[u8], input: &[u8], out: &mut [u8], encrypt: bool) -> Result<()> {
    let cipher = Aes256::new_from_slice(key).map_err(|_| invalid("the key has not 32 bytes"))?;
    let iv: [u8; BLOCK] = iv
        .try_into()
        .map_err(|_| invalid("the initialisation vector has not 16 bytes"))?;
    let mut register = u128::from_be_bytes(iv);
    for (from, to) in input.iter().zip(out) {
        *to = 0;
        for bit in (0..8).rev() {
            let mut block = register.to_be_bytes().into();
            cipher.encrypt_block(&mut block);
            let input_bit = from >> bit & 1;
            let output_bit = input_bit ^ (block[0] >> 7);
            *to |= output_bit << bit;
            let feedback = if encrypt { output_bit } else { input_bit };
            register = register << 1 | u128::from(feedback);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, initialisation vector and plaintext of NIST SP 800-38A, appendix F.
    const KEY: [u8; 32] = [
        0x60, 0x3d, 0xeb, 0x10, 0x15, 0xca, 0x71, 0xbe, 0x2b, 0x73, 0xae, 0xf0, 0x85, 0x7d, 0x77,
        0x81, 0x1f, 0x35, 0x2c, 0x07, 0x3b, 0x61, 0x08, 0xd7, 0x2d, 0x98, 0x10, 0xa3, 0x09, 0x14,
        0xdf, 0xf4,
    ];
    const IV: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const TEXT: [u8; 16] = [
        0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17,
        0x2a,
    ];

    #[test]
    fn nist_vectors() {
        let pool = SecretPool::new();
        for (mode, expected) in [
            (
                Mode::Cbc,
                &[0xf5, 0x8c, 0x4c, 0x04, 0xd6, 0xe5, 0xf1, 0xba][..],
            ),
            (Mode::Cfb1, &[0x90, 0x29]),
            (
                Mode::Cfb8,
                &[0xdc, 0x1f, 0x1a, 0x85, 0x20, 0xa6, 0x4d, 0xb5],
            ),
            (
                Mode::Cfb128,
                &[0xdc, 0x7e, 0x84, 0xbf, 0xda, 0x79, 0x16, 0x4b],
            ),
            (Mode::Ofb, &[0xdc, 0x7e, 0x84, 0xbf, 0xda, 0x79, 0x16, 0x4b]),
        ] {
            let out = transform(&pool, &KEY, mode, &IV, false, &TEXT, true).unwrap();
            assert_eq!(&out[..expected.len()], expected, "{mode:?}");
        }
    }

    #[test]
    fn round_trips() {
        let pool = SecretPool::new();
        for mode in [Mode::Cbc, Mode::Cfb1, Mode::Cfb8, Mode::Cfb128, Mode::Ofb] {
            for length in [0, 1, 15, 16, 17, 100] {
                let text = vec![0xA5; length];
                let sealed = transform(&pool, &KEY, mode, &IV, true, &text, true).unwrap();
                assert_eq!(sealed.len(), mode.output_length(length, true).unwrap());
                let back = transform(&pool, &KEY, mode, &IV, true, &sealed, false).unwrap();
                assert_eq!(&back[..], &text[..], "{mode:?} {length}");
            }
        }
        assert!(transform(&pool, &KEY, Mode::Cbc, &IV, false, &[1; 15], true).is_err());
        assert!(transform(&pool, &KEY, Mode::Cbc, &IV, true, &[1; 15], false).is_err());
        assert!(transform(&pool, &KEY, Mode::Ofb, &IV[1..], true, &[1; 15], false).is_err());
        assert!(Mode::parse(b"ecb", 256).is_err() && Mode::parse(b"cbc", 128).is_err());
    }
}
