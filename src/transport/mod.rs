//! Messages between keyrings: a transport key that is handed over, a version of a key that travels under it, and the receipt
//! that comes back.
//!
//! Owns their bytes and bounds (docs/reference/transport.md), and their form as text. It must never act on what was not
//! authenticated, never open a message under another key than the one that it names, and knows no keyring.

pub mod hand_over;
pub mod parcel;
pub mod receipt;
pub mod request;

use crate::envelope::TRANSPORT_ID;
use crate::error::{Error, Kind, Result};
use crate::format::reader::Reader;
use crate::text::{clean, hex, shorten};
use data_encoding::BASE64;

/// What each message begins with.
pub const MAGIC: [u8; 4] = *b"KWTR";
/// The version of the layouts that this program writes and knows.
pub const VERSION: u8 = 1;
/// Where the transport key's id stands: behind magic, version and kind.
const HEAD: usize = MAGIC.len() + 2;
/// Longest head in bytes: it ends with the transport key's id, its name behind its length.
const MAX_HEAD: usize = HEAD + TRANSPORT_ID + 1 + MAX_NAME;
/// Longest message in bytes.
pub const MAX_MESSAGE: usize = parcel::MAX;
/// Longest message as text, with the line ends that TO_BASE64() of SQL makes.
pub const MAX_TEXT: usize = 36 << 10;
const _: () = assert!(MAX_MESSAGE.div_ceil(3) * 4 / 76 * 77 + 77 <= MAX_TEXT);
/// Longest name of a transport key in bytes.
pub const MAX_NAME: usize = 64;

/// A message that was read, and is not authenticated yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A transport key for one keyring.
    HandOver(hand_over::HandOver<'a>),
    /// A version of a key.
    Parcel(parcel::Parcel<'a>),
    /// What a keyring answers to a parcel.
    Receipt(receipt::Receipt<'a>),
}

/// The transport key that a message is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Under<'a> {
    /// The name that it gives itself: [`crate::envelope::TransportKeys::id`].
    pub id: [u8; TRANSPORT_ID],
    /// The name that people gave it, under which it is found.
    pub name: &'a str,
}

impl<'a> Under<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Under<'a>> {
        let id = reader.array()?;
        let length = usize::from(reader.u8()?);
        let name = std::str::from_utf8(reader.take(length)?).ok()?;
        check_name(name).ok()?;
        Some(Under { id, name })
    }
}

/// What a message is, as its sixth byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Is {
    HandOver = 1,
    Parcel = 2,
    Receipt = 3,
}

/// Reads a message.
///
/// # Errors
/// InvalidInput: it is none, is cut, or something follows. UnsupportedVersion: a newer version wrote it.
pub fn read(bytes: &[u8]) -> Result<Message<'_>> {
    if bytes.get(..MAGIC.len()) != Some(&MAGIC) || bytes.len() > MAX_MESSAGE {
        return Err(no_message("it is no message of a keyring"));
    }
    let broken = || no_message("it is cut, or was changed");
    let [version, kind] = *bytes[MAGIC.len()..].first_chunk().ok_or_else(broken)?;
    if version != VERSION {
        let why = format!("it has version {version}, which this program does not know");
        return Err(Error::new(Kind::UnsupportedVersion, OP, why).hint(
            "A newer Keyring Ward wrote it. Install that version here first. Nothing was changed.",
        ));
    }
    let read = match kind {
        1 => hand_over::HandOver::read(bytes).map(Message::HandOver),
        2 => parcel::Parcel::read(bytes).map(Message::Parcel),
        3 => receipt::Receipt::read(bytes).map(Message::Receipt),
        _ => None,
    };
    read.ok_or_else(broken)
}

const OP: &str = "read the message";

/// What was given is no whole message.
fn no_message(why: &str) -> Error {
    Error::new(Kind::InvalidInput, OP, why).hint(
        "Nothing was changed. Copy the whole text that keyring_ward_transport_new(), _seal() or _accept() gave.",
    )
}

fn head(is: Is, under: &Under<'_>) -> Vec<u8> {
    // A name that was checked: at most MAX_NAME.
    let length = [under.name.len() as u8];
    let is = [VERSION, is as u8];
    [&MAGIC[..], &is, &under.id, &length, under.name.as_bytes()].concat()
}

/// A message as text.
pub fn to_text(message: &[u8]) -> String {
    BASE64.encode(message)
}

/// The bytes of a message, for [`read`].
///
/// # Errors
/// InvalidInput: it is too long, or no base64.
pub fn from_text(text: &str) -> Result<Vec<u8>> {
    if text.len() > MAX_TEXT {
        return Err(no_message(&format!(
            "it has {} bytes, the limit is {MAX_TEXT}",
            text.len()
        )));
    }
    let mut text = text.to_string();
    text.retain(|c| !c.is_ascii_whitespace());
    let bytes = BASE64.decode(text.as_bytes());
    bytes.map_err(|_| no_message("it is no text in base64"))
}

/// Whether a transport key may have this name.
///
/// # Errors
/// InvalidInput: it is empty, too long, or has other characters.
pub fn check_name(name: &str) -> Result<()> {
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(word) {
        return Ok(());
    }
    let why = format!("'{}' is no name of a transport key", shorten(name));
    Err(
        Error::new(Kind::InvalidInput, "use the transport key", why).hint(format!(
            "Nothing was changed. It has 1 to {MAX_NAME} letters, digits, '-', '_' and '.'."
        )),
    )
}

/// What people compare: 16 bytes in groups of four digits.
pub fn fingerprint(bytes: &[u8; 16]) -> String {
    let groups = bytes.chunks(2).map(hex);
    groups.collect::<Vec<_>>().join("-")
}

/// The bytes of a fingerprint, which people may write without its dashes.
///
/// # Errors
/// InvalidInput: it is none.
pub fn read_fingerprint(text: &str) -> Result<[u8; 16]> {
    let digits: String = text.chars().filter(|c| *c != '-' && *c != ' ').collect();
    let bytes = crate::text::from_hex(&digits, 16);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| {
            let why = format!("'{}' is no fingerprint", shorten(text));
            Error::new(Kind::InvalidInput, "compare the fingerprint", why).hint(
                "Nothing was changed. It has 32 hexadecimal digits, as transport new shows it.",
            )
        })
}

/// The uuid of a server; all zeroes: nobody told it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerId(pub [u8; 16]);

impl ServerId {
    /// Reads `@@server_uuid`.
    ///
    /// # Errors
    /// InvalidInput: it is none.
    pub fn parse(text: &str) -> Result<ServerId> {
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        let digits = text.replace('-', "");
        let bytes = crate::text::from_hex(&digits, 16).filter(|_| parts == [8, 4, 4, 4, 12]);
        let id = bytes.and_then(|bytes| bytes.try_into().ok()).map(ServerId);
        id.filter(|id| *id != ServerId::default()).ok_or_else(|| {
            let why = format!("'{}' is no uuid of a server", clean(&shorten(text)));
            Error::new(Kind::InvalidInput, "name the server", why)
                .hint("Nothing was changed. SELECT @@server_uuid shows it; it stands in auto.cnf in the data directory.")
        })
    }
}

/// As the server writes it; empty: nobody told it.
impl std::fmt::Display for ServerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == ServerId::default() {
            return Ok(());
        }
        let text = hex(&self.0);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| &text[range]);
        f.write_str(&parts.join("-"))
    }
}

#[cfg(test)]
mod tests;
