//! What is asked of a KMIP server, and its answer: Encrypt and Decrypt of one data key, RNG Retrieve, one item a message.
//!
//! Owns the tags and the order of the fields (KMIP 1.4 sections 4.29, 4.30, 4.35 and 6; 2.1 sections 6.1.19, 6.1.16 and 6.1.50). It must
//! never keep an answer, show more of it than the server's own sentence, or decide what an error means.

use super::ttlv::{Fault, Item, Writer, read};
use zeroize::Zeroizing;

/// Tags (KMIP 2.1 section 11.1; those of 1.2 mean the same).
pub mod tag {
    #![allow(missing_docs)]
    pub const BATCH_COUNT: u32 = 0x42_000D;
    pub const BATCH_ITEM: u32 = 0x42_000F;
    pub const BLOCK_CIPHER_MODE: u32 = 0x42_0011;
    pub const CRYPTOGRAPHIC_ALGORITHM: u32 = 0x42_0028;
    pub const CRYPTOGRAPHIC_PARAMETERS: u32 = 0x42_002B;
    pub const IV_COUNTER_NONCE: u32 = 0x42_003D;
    pub const OPERATION: u32 = 0x42_005C;
    pub const PADDING_METHOD: u32 = 0x42_005F;
    pub const PROTOCOL_VERSION: u32 = 0x42_0069;
    pub const PROTOCOL_VERSION_MAJOR: u32 = 0x42_006A;
    pub const PROTOCOL_VERSION_MINOR: u32 = 0x42_006B;
    pub const REQUEST_HEADER: u32 = 0x42_0077;
    pub const REQUEST_MESSAGE: u32 = 0x42_0078;
    pub const REQUEST_PAYLOAD: u32 = 0x42_0079;
    pub const RESPONSE_HEADER: u32 = 0x42_007A;
    pub const RESPONSE_MESSAGE: u32 = 0x42_007B;
    pub const RESPONSE_PAYLOAD: u32 = 0x42_007C;
    pub const RESULT_MESSAGE: u32 = 0x42_007D;
    pub const RESULT_REASON: u32 = 0x42_007E;
    pub const RESULT_STATUS: u32 = 0x42_007F;
    pub const UNIQUE_IDENTIFIER: u32 = 0x42_0094;
    pub const DATA: u32 = 0x42_00C2;
    pub const DATA_LENGTH: u32 = 0x42_00C4;
    pub const TAG_LENGTH: u32 = 0x42_00CE;
    pub const ADDITIONAL_DATA: u32 = 0x42_00FE;
    pub const AUTHENTICATION_TAG: u32 = 0x42_00FF;
}

/// Cryptographic Algorithm, AES.
const AES: u32 = 3;
/// Padding Method, PKCS5.
const PKCS5: u32 = 3;
/// Result Status, Success.
const SUCCESS: u32 = 0;
/// Result Status, Operation Failed.
const FAILED: u32 = 1;

/// Bytes of a GCM tag.
pub const TAG: usize = 16;
/// Bytes of a data key, and of what GCM makes of it.
pub const KEY: usize = 32;
/// Longest IV in bytes: a block.
pub const MAX_IV: usize = 16;

/// The operation (KMIP 2.1 section 11.38).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// Encrypt.
    Encrypt = 0x1F,
    /// Decrypt.
    Decrypt = 0x20,
    /// RNG Retrieve.
    RngRetrieve = 0x25,
}

impl Operation {
    /// Its name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Encrypt => "Encrypt",
            Operation::Decrypt => "Decrypt",
            Operation::RngRetrieve => "RNG Retrieve",
        }
    }
}

/// How the server encrypts: a block cipher mode (KMIP 2.1 section 11.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// CBC with PKCS5 padding. The server authenticates nothing.
    Cbc = 1,
    /// GCM with additional data and a tag of 16 bytes; from KMIP 1.4 on.
    Gcm = 9,
}

impl Mode {
    /// Bytes of the IV that we choose: at random, and never twice for a data key.
    pub fn iv(self) -> usize {
        match self {
            Mode::Cbc => 16,
            Mode::Gcm => 12,
        }
    }

    /// Bytes of an encrypted data key, and of its tag.
    fn lengths(self) -> (usize, usize) {
        match self {
            Mode::Cbc => (KEY + 16, 0),
            Mode::Gcm => (KEY, TAG),
        }
    }
}

/// The version of the protocol in which a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(
    /// The major number.
    pub u8,
    /// The minor number.
    pub u8,
);

/// A data key as the server encrypted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The IV.
    pub iv: Vec<u8>,
    /// The ciphertext.
    pub data: Vec<u8>,
    /// GCM's tag; else nothing.
    pub tag: Vec<u8>,
}

impl Sealed {
    /// As it stands in a stanza: the length of the IV (one byte), IV, ciphertext, tag.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.iv.len() as u8];
        for part in [&self.iv, &self.data, &self.tag] {
            bytes.extend_from_slice(part);
        }
        bytes
    }

    /// Reads it. `None`: no part of it has a length that this mode gives.
    pub fn from_bytes(bytes: &[u8], mode: Mode) -> Option<Sealed> {
        let (iv, rest) = bytes.split_first()?;
        let (iv, rest) = rest.split_at_checked(usize::from(*iv))?;
        let (data, tag) = rest.split_at_checked(mode.lengths().0)?;
        let sealed = Sealed {
            iv: iv.to_vec(),
            data: data.to_vec(),
            tag: tag.to_vec(),
        };
        sealed.fits(mode).then_some(sealed)
    }

    fn fits(&self, mode: Mode) -> bool {
        let (data, tag) = mode.lengths();
        let iv = match mode {
            Mode::Cbc => self.iv.len() == MAX_IV,
            Mode::Gcm => (1..=MAX_IV).contains(&self.iv.len()),
        };
        iv && (self.data.len(), self.tag.len()) == (data, tag)
    }
}

/// What all requests of a KEK have in common.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The version.
    pub version: Version,
    /// The key's unique identifier.
    pub key: &'a str,
    /// The mode.
    pub mode: Mode,
    /// What GCM authenticates besides; not sent with CBC.
    pub additional: &'a [u8],
}

impl Asking<'_> {
    /// The request to encrypt a data key.
    pub fn encrypt(&self, iv: &[u8], data_key: &[u8]) -> Zeroizing<Vec<u8>> {
        self.request(Operation::Encrypt, (iv, data_key, &[]))
    }

    /// The request to decrypt it.
    pub fn decrypt(&self, sealed: &Sealed) -> Zeroizing<Vec<u8>> {
        self.request(Operation::Decrypt, (&sealed.iv, &sealed.data, &sealed.tag))
    }

    /// The request for random bytes.
    pub fn random(&self, length: i32) -> Zeroizing<Vec<u8>> {
        self.message(Operation::RngRetrieve, |w| {
            w.integer(tag::DATA_LENGTH, length);
        })
    }

    /// The fields stand in the order of the specification, which servers insist on.
    fn request(
        &self,
        operation: Operation,
        (iv, data, auth): (&[u8], &[u8], &[u8]),
    ) -> Zeroizing<Vec<u8>> {
        self.message(operation, |w| {
            w.text(tag::UNIQUE_IDENTIFIER, self.key);
            self.parameters(w);
            w.bytes(tag::DATA, data);
            w.bytes(tag::IV_COUNTER_NONCE, iv);
            if self.mode == Mode::Gcm {
                w.bytes(tag::ADDITIONAL_DATA, self.additional);
            }
            if !auth.is_empty() {
                w.bytes(tag::AUTHENTICATION_TAG, auth);
            }
        })
    }

    fn message(
        &self,
        operation: Operation,
        payload: impl FnOnce(&mut Writer),
    ) -> Zeroizing<Vec<u8>> {
        let mut w = Writer::new();
        w.structure(tag::REQUEST_MESSAGE, |w| {
            w.structure(tag::REQUEST_HEADER, |w| {
                w.structure(tag::PROTOCOL_VERSION, |w| {
                    w.integer(tag::PROTOCOL_VERSION_MAJOR, self.version.0.into());
                    w.integer(tag::PROTOCOL_VERSION_MINOR, self.version.1.into());
                });
                w.integer(tag::BATCH_COUNT, 1);
            });
            w.structure(tag::BATCH_ITEM, |w| {
                w.enumeration(tag::OPERATION, operation as u32);
                w.structure(tag::REQUEST_PAYLOAD, payload);
            });
        });
        w.finish()
    }

    fn parameters(&self, w: &mut Writer) {
        w.structure(tag::CRYPTOGRAPHIC_PARAMETERS, |w| {
            w.enumeration(tag::BLOCK_CIPHER_MODE, (self.mode as u8).into());
            if self.mode == Mode::Cbc {
                w.enumeration(tag::PADDING_METHOD, PKCS5);
            }
            w.enumeration(tag::CRYPTOGRAPHIC_ALGORITHM, AES);
            if self.mode == Mode::Gcm {
                w.integer(tag::TAG_LENGTH, TAG as i32);
            }
        });
    }

    /// The encrypted data key of an answer; `iv` is the one that was sent, unless the server chose another.
    ///
    /// # Errors
    /// The server refuses, or the answer is none.
    pub fn encrypted(&self, answer: &[u8], iv: &[u8]) -> Result<Sealed, NoAnswer> {
        let payload = self.payload(answer, Operation::Encrypt)?;
        let bytes = |tag| payload.find(tag).and_then(|item| item.bytes());
        let sealed = Sealed {
            iv: bytes(tag::IV_COUNTER_NONCE).unwrap_or(iv).to_vec(),
            data: bytes(tag::DATA).unwrap_or_default().to_vec(),
            tag: bytes(tag::AUTHENTICATION_TAG).unwrap_or_default().to_vec(),
        };
        if sealed.fits(self.mode) {
            return Ok(sealed);
        }
        Err(NoAnswer::Odd(format!(
            "an IV, a ciphertext and a tag of {}, {} and {} bytes",
            sealed.iv.len(),
            sealed.data.len(),
            sealed.tag.len()
        )))
    }

    /// The data key of an answer; it lies in the answer, which the caller wipes.
    ///
    /// # Errors
    /// As [`Asking::encrypted`].
    pub fn decrypted<'a>(&self, answer: &'a [u8]) -> Result<&'a [u8], NoAnswer> {
        let payload = self.payload(answer, Operation::Decrypt)?;
        match payload.find(tag::DATA).and_then(|item| item.bytes()) {
            Some(key) if key.len() == KEY => Ok(key),
            Some(key) => Err(NoAnswer::Length(key.len())),
            None => Err(NoAnswer::Odd("no data key".into())),
        }
    }

    /// The random bytes of an answer; they lie in the answer, which the caller wipes.
    ///
    /// # Errors
    /// As [`Asking::encrypted`]; a server may give fewer than were asked for, which is no use here.
    pub fn drawn<'a>(&self, answer: &'a [u8], length: usize) -> Result<&'a [u8], NoAnswer> {
        let payload = self.payload(answer, Operation::RngRetrieve)?;
        match payload.find(tag::DATA).and_then(|item| item.bytes()) {
            Some(bytes) if bytes.len() == length => Ok(bytes),
            _ => Err(NoAnswer::Odd("random bytes of another number".into())),
        }
    }

    /// The payload of an answer to this operation about our key.
    fn payload<'a>(&self, answer: &'a [u8], operation: Operation) -> Result<Item<'a>, NoAnswer> {
        let odd = |why: &str| NoAnswer::Odd(why.into());
        let message = read(answer).map_err(NoAnswer::Fault)?;
        if message.tag != tag::RESPONSE_MESSAGE {
            return Err(odd("no response message"));
        }
        let mut items = message.items().filter(|item| item.tag == tag::BATCH_ITEM);
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(odd("another number of items than was asked for"));
        };
        let number = |tag| item.find(tag).and_then(|i: Item<'_>| i.enumeration());
        match number(tag::RESULT_STATUS) {
            Some(SUCCESS) => {}
            Some(FAILED) => {
                let said = item.find(tag::RESULT_MESSAGE).and_then(|i| i.text());
                return Err(NoAnswer::Refused {
                    reason: number(tag::RESULT_REASON),
                    said: said.unwrap_or_default().to_string(),
                });
            }
            Some(status) => {
                let why = format!("result status {status}, which is neither success nor failure");
                return Err(NoAnswer::Odd(why));
            }
            None => return Err(odd("no result status")),
        }
        if number(tag::OPERATION).is_some_and(|o| o != operation as u32) {
            return Err(odd("the result of another operation"));
        }
        let payload = item.find(tag::RESPONSE_PAYLOAD);
        let payload = payload.ok_or_else(|| odd("a success without a payload"))?;
        let named = payload.find(tag::UNIQUE_IDENTIFIER).and_then(|i| i.text());
        if named.is_some_and(|name| name != self.key) {
            return Err(odd("the name of another key"));
        }
        Ok(payload)
    }
}

/// Why there is nothing of what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It is no message.
    Fault(Fault),
    /// It is a message that a server of this protocol can't give: it answered with …
    Odd(String),
    /// A data key of this length.
    Length(usize),
    /// The server refused.
    Refused {
        /// The result reason (KMIP 2.1 section 11.48), where there is one.
        reason: Option<u32>,
        /// The server's own words; nobody has cleaned them.
        said: String,
    },
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
