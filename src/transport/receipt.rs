//! What a keyring answers to a parcel: that it has this version, with this material.
//!
//! Owns the layout. It must never say anything of the material to who lacks the transport key.

use super::{HEAD, Is, ServerId, Under, head};
use crate::envelope::{MAC, TransportKeys, equal};
use crate::error::{Error, Kind, Result};
use crate::format::reader::Reader;
use crate::key::logical::{ID, State};

/// What a receipt says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<'a> {
    /// The transport key that both keyrings have.
    pub under: Under<'a>,
    /// The server whose keyring has the version.
    pub replica: ServerId,
    /// The logical key's id.
    pub key: [u8; ID],
    /// The number of the version.
    pub version: u32,
    /// Its state in that keyring.
    pub state: State,
    /// When it said so: seconds since 1970, UTC.
    pub at: i64,
    /// SHA-256 of the parcel.
    pub parcel: [u8; 32],
    /// A name of the material: [`super::parcel::digest`].
    pub digest: [u8; MAC],
}

/// A receipt; what it says holds once [`Receipt::check`] has passed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt<'a> {
    /// What it says.
    pub said: Said<'a>,
    mac: [u8; MAC],
}

/// The states that a version has which is there, as they are written.
const STATES: [State; 4] = [
    State::Pending,
    State::Active,
    State::Deactivated,
    State::Compromised,
];

impl Said<'_> {
    fn bytes(&self) -> Vec<u8> {
        let state = STATES.iter().position(|s| *s == self.state);
        let mut out = head(Is::Receipt, &self.under);
        out.extend_from_slice(&self.replica.0);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.version.to_le_bytes());
        // A version that is not there has no receipt: this is none that is read.
        out.push(state.map_or(u8::MAX, |n| n as u8));
        out.extend_from_slice(&self.at.to_le_bytes());
        out.extend_from_slice(&self.parcel);
        out.extend_from_slice(&self.digest);
        out
    }
}

impl<'a> Receipt<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Receipt<'a>> {
        let mut reader = Reader::new(bytes, HEAD);
        let said = Said {
            under: Under::read(&mut reader)?,
            replica: ServerId(reader.array()?),
            key: reader.array()?,
            version: reader.u32()?,
            state: *STATES.get(usize::from(reader.u8()?))?,
            at: reader.i64()?,
            parcel: reader.array()?,
            digest: reader.array()?,
        };
        let mac = reader.array()?;
        reader.done().then_some(Receipt { said, mac })
    }

    /// A receipt that says so, under the transport key.
    pub fn sign(keys: &TransportKeys, said: Said<'a>) -> Receipt<'a> {
        let mac = keys.receipt_mac(&said.bytes());
        Receipt { said, mac }
    }

    /// The message.
    pub fn write(&self) -> Vec<u8> {
        [&self.said.bytes()[..], &self.mac].concat()
    }

    /// Who wrote it has the transport key.
    ///
    /// # Errors
    /// Tampered: it was changed, or forged.
    pub fn check(&self, keys: &TransportKeys) -> Result<()> {
        match equal(&keys.receipt_mac(&self.said.bytes()), &self.mac) {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Tampered,
                "take the receipt",
                "it was changed, or nobody with the transport key has written it",
            )
            .hint("Nothing was changed. Let the replica give it again: keyring_ward_transport_accept().")),
        }
    }
}
