//! A transport key on its way to one keyring, sealed by HPKE for the public key of its request.
//!
//! Owns the layout. Anybody can seal for a public key: what is opened here is no more than what the fingerprint says that the
//! caller compares.

use super::request::Public;
use super::{HEAD, Is, ServerId, Under, check_name, head};
use crate::envelope::{KEY, TransportKeys, equal};
use crate::error::{Error, Kind, Result};
use crate::format::reader::Reader;
use crate::kek::age::hpke::{self, POINT, TAG};
use crate::secret::{SecretBytes, SecretPool};

const INFO: &[u8] = b"keyring-ward/1 transport hand-over";
/// The ephemeral key, the transport key, the tag.
const SEALED: usize = POINT + KEY + TAG;

/// What is read of a message, before anything of it is opened.
#[derive(Debug, PartialEq, Eq)]
pub struct HandOver<'a> {
    /// The transport key that is in it.
    pub under: Under<'a>,
    /// The server whose keyring made it.
    pub source: ServerId,
    /// For whom it is sealed.
    pub to: Public,
    /// When the transport key was made: seconds since 1970, UTC.
    pub made: i64,
    /// What is bound: everything before the sealed bytes.
    bound: &'a [u8],
    sealed: &'a [u8; SEALED],
}

impl<'a> HandOver<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<HandOver<'a>> {
        let mut reader = Reader::new(bytes, HEAD);
        let under = Under::read(&mut reader)?;
        let source = ServerId(reader.array()?);
        let to = Public::new(reader.array()?)?;
        let made = reader.i64()?;
        let bound = &bytes[..reader.at()];
        let sealed = reader.take(SEALED)?.try_into().ok()?;
        reader.done().then_some(HandOver {
            under,
            source,
            to,
            made,
            bound,
            sealed,
        })
    }

    /// The transport key. `secret`: the one whose public half is [`HandOver::to`].
    ///
    /// # Errors
    /// Tampered: it was changed, or the transport key is not the one that the message names.
    pub fn open(&self, pool: &SecretPool, secret: &[u8]) -> Result<SecretBytes> {
        let opened = hpke::open(pool, INFO, self.bound, self.sealed, secret)?;
        let key = opened.filter(|key| key.len() == KEY);
        let named = |key: &SecretBytes| -> Result<bool> {
            Ok(equal(
                &TransportKeys::derive(pool, key)?.id(),
                &self.under.id,
            ))
        };
        match key {
            Some(key) if named(&key)? => Ok(key),
            _ => Err(Error::new(
                Kind::Tampered,
                "accept the transport key",
                "the message was changed on its way",
            )
            .hint("Nothing was changed. Copy it again from the source; if that does not help, find out who changed it.")),
        }
    }
}

/// What is told of a transport key beside the key itself.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made.
    pub made: i64,
    /// The server whose keyring hands it over.
    pub source: ServerId,
}

/// The message that hands `key` over.
///
/// # Errors
/// InvalidInput: the key has another length, or the name is none. Internal: the public key is refused.
pub fn write(pool: &SecretPool, about: &About<'_>, key: &[u8], to: &Public) -> Result<Vec<u8>> {
    check_name(about.name)?;
    let id = TransportKeys::derive(pool, key)?.id();
    let name = about.name;
    let mut out = head(Is::HandOver, &Under { id, name });
    out.extend_from_slice(&about.source.0);
    out.extend_from_slice(to.bytes());
    out.extend_from_slice(&about.made.to_le_bytes());
    let sealed = hpke::seal(INFO, &out, key, to.bytes()).ok_or_else(|| {
        let why = "the public key of the request is refused";
        Error::new(Kind::Internal, "hand the transport key over", why)
    })?;
    out.extend_from_slice(&sealed);
    Ok(out)
}
