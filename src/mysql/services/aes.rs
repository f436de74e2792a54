//! `keyring_aes`: encrypt and decrypt with a key of the keyring, in the modes of the stock
//! component. Of the server's programs only `mysql_keyring_encryption_test` uses it.

use crate::error::{Error, Kind, Result};
use crate::keyring::aes::{self, Mode};
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, gate, ptr};
use crate::policy::operation::Operation;
use std::ffi::{c_char, c_int, c_uchar};

/// The service's table.
pub static TABLE: abi::kw_aes = abi::kw_aes {
    get_size: Some(get_size),
    encrypt: Some(encrypt),
    decrypt: Some(decrypt),
};

/// Longest input: what MySQL can put into one packet.
const MAX_INPUT: usize = 1 << 30;
const BLOCK: usize = 16;

guarded_fn! {
    /// How much room the result of an encryption needs.
    fn get_size(input_length: usize, mode: *const c_char, block_bits: usize, out: *mut usize) -> c_int,
    failure = 1; {
        // SAFETY: the server passes a NUL-terminated string and a writable size.
        unsafe {
            let mode = Mode::parse(ptr::bytes(mode), block_bits)?;
            ptr::write(out, mode.output_length(input_length, true)?, "place for the size")?;
        }
        Ok(0)
    }
}

/// The arguments that encrypt and decrypt share, in the order of the interface.
struct Call {
    data_id: *const c_char,
    auth_id: *const c_char,
    mode: *const c_char,
    block_bits: usize,
    iv: *const c_uchar,
    padding: bool,
    input: *const c_uchar,
    input_length: usize,
    output: *mut c_uchar,
    capacity: usize,
    output_length: *mut usize,
}

/// # Safety
/// The server's contract: NULL or NUL-terminated strings, an initialisation vector of 16 bytes,
/// input and output of the stated sizes, which may overlap only as a whole.
unsafe fn serve(call: &Call, encrypt: bool) -> Result<c_int> {
    let keyring = LIFECYCLE.keyring()?;
    // SAFETY: by the caller's contract.
    unsafe {
        let mode = Mode::parse(ptr::bytes(call.mode), call.block_bits)?;
        let iv = ptr::slice(call.iv, BLOCK, BLOCK, "initialisation vector")?;
        let input = ptr::slice(call.input, call.input_length, MAX_INPUT, "input")?;
        let (name, owner) = (ptr::bytes(call.data_id), ptr::bytes(call.auth_id));
        let Some(key) = gate::fetch(Operation::Use, name, owner)? else {
            return Err(
                Error::new(Kind::NotFound, "use the key", "there is no such key").expected(),
            );
        };
        let output = aes::apply(keyring.pool(), &key, mode, iv, call.padding, input, encrypt)?;
        ptr::fill(call.output, call.capacity, &output, false, "the result")?;
        ptr::write(call.output_length, output.len(), "place for the length")?;
    }
    Ok(0)
}

macro_rules! aes_call {
    ($name:ident, $encrypt:expr) => {
        guarded_fn! {
            fn $name(
                data_id: *const c_char,
                auth_id: *const c_char,
                mode: *const c_char,
                block_bits: usize,
                iv: *const c_uchar,
                padding: c_int,
                input: *const c_uchar,
                input_length: usize,
                output: *mut c_uchar,
                capacity: usize,
                output_length: *mut usize,
            ) -> c_int, failure = 1; {
                let padding = padding != 0;
                let call = Call {
                    data_id, auth_id, mode, block_bits, iv, padding, input, input_length, output,
                    capacity, output_length,
                };
                // SAFETY: the arguments are the server's, under the contract of `serve`.
                unsafe { serve(&call, $encrypt) }
            }
        }
    };
}

aes_call!(encrypt, true);
aes_call!(decrypt, false);
