//! Keys that travel between keyrings: what tool and SQL functions do with transport keys, parcels and receipts.
//!
//! Owns where a keyring keeps transport keys and the secrets of requests: under an owner that is no account, so that no SQL
//! function of the server reaches them. It must never show material, install a transport key that nobody compared, or send what
//! is no version of an account's key.

mod carrying;
mod handing;
pub mod offline;
mod places;

pub use carrying::brought;
pub use handing::MAX_PUBLICS;
pub use places::OWNER;

use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::keyring::By;
use crate::transport::{self, Message, ServerId, from_text};
use serde_json::Value;

/// What is done with transport keys.
#[derive(Clone, Debug)]
pub enum Order {
    /// Asks for a transport key: makes the secret that opens it, once, and shows its public half.
    Request {
        /// The transport key's name.
        name: String,
    },
    /// Hands a transport key over, which is made where there is none of that name.
    New {
        /// Its name.
        name: String,
        /// The public halves of requests.
        publics: Vec<String>,
    },
    /// Takes a message in: a transport key, or a version of a key.
    Accept {
        /// The message as text.
        message: String,
        /// Of a transport key: its fingerprint, which the caller has compared.
        fingerprint: Option<String>,
    },
    /// Seals a version for all who have the transport key.
    Seal {
        /// The transport key's name.
        name: String,
        /// The logical key.
        key: KeyId,
        /// Which version.
        version: u32,
    },
    /// Says what a receipt proves.
    Confirm {
        /// The receipt as text.
        receipt: String,
    },
    /// Takes a transport key and its request away for good.
    Remove {
        /// Its name.
        name: String,
    },
    /// Lists transport keys and requests.
    List,
}

impl Order {
    /// It changes the keyring.
    pub fn writes(&self) -> bool {
        !matches!(
            self,
            Order::Seal { .. } | Order::Confirm { .. } | Order::List
        )
    }
}

/// Carries an order out. `server`: the one whose keyring it is; a receipt needs it.
///
/// # Errors
/// NotFound: there is no such key, transport key or request. InvalidInput: what was given is none of what is expected, or of
/// another transport key. Tampered: a message was changed or forged. AlreadyExists, KeyState: as
/// [`By::take_version`]. ReadOnly, Io.
pub fn carry_out(keyring: &By<'_>, server: ServerId, order: &Order) -> Result<Value> {
    match order {
        Order::Request { name } => handing::request(keyring, name),
        Order::New { name, publics } => handing::hand_out(keyring, server, name, publics),
        Order::Accept {
            message,
            fingerprint,
        } => accept(keyring, server, message, fingerprint.as_deref()),
        Order::Seal { name, key, version } => carrying::seal(keyring, server, name, key, *version),
        Order::Confirm { receipt } => carrying::confirm(keyring, receipt),
        Order::Remove { name } => handing::remove(keyring, name),
        Order::List => Ok(handing::list(keyring)),
    }
}

fn accept(keyring: &By<'_>, server: ServerId, text: &str, compared: Option<&str>) -> Result<Value> {
    let bytes = from_text(text)?;
    match transport::read(&bytes)? {
        Message::HandOver(message) => handing::accept_key(keyring, &message, compared),
        Message::Parcel(parcel) => carrying::accept_parcel(keyring, server, &parcel),
        Message::Receipt(_) => Err(Error::new(
            Kind::InvalidInput,
            "accept the message",
            "it is a receipt",
        )
        .hint("Nothing was changed. It belongs to the source: keyring_ward_transport_confirm().")),
    }
}

#[cfg(test)]
mod tests;
