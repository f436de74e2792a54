//! Where a keyring keeps transport keys, and the secrets of requests.
//!
//! Owns their names and their owner, which is no account: no SQL function of the server reaches them. It must never take one
//! transport key for another of the same name.

use crate::envelope::{TransportKeys, equal};
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::key::record::KeyRecord;
use crate::keyring::Keyring;
use crate::transport::{Under, check_name, fingerprint};
use std::sync::Arc;

/// The owner of what is kept here: no account, since every account has an @.
pub const OWNER: &[u8] = b"keyring_ward";
/// What the name of a transport key begins with in the keyring.
pub const TRANSPORT: &str = "transport/";
/// What the name of a request's secret begins with.
pub const REQUEST: &str = "transport-request/";

pub(super) fn id(kind: &str, name: &str) -> Result<KeyId> {
    check_name(name)?;
    KeyId::new(format!("{kind}{name}").as_bytes(), OWNER)
}

pub(super) fn find(keyring: &Keyring, id: &KeyId) -> Result<Option<Arc<KeyRecord>>> {
    keyring.read_key(id.name(), id.owner())
}

pub(super) fn no_key(op: &'static str, why: String, hint: &str) -> Error {
    Error::new(Kind::NotFound, op, why)
        .hint(format!("Nothing was changed. {hint}"))
        .refused()
}

/// The keys of the transport key that a message names.
pub(super) fn keys_of(
    keyring: &Keyring,
    op: &'static str,
    named: Under<'_>,
) -> Result<TransportKeys> {
    let keys = keys_by_name(keyring, op, named.name)?;
    match equal(&keys.id(), &named.id) {
        true => Ok(keys),
        false => Err(other_key(op, &keys, named)),
    }
}

pub(super) fn keys_by_name(
    keyring: &Keyring,
    op: &'static str,
    name: &str,
) -> Result<TransportKeys> {
    let found = find(keyring, &id(TRANSPORT, name)?)?;
    let key = found.ok_or_else(|| {
        let why = format!("there is no transport key '{name}' here");
        no_key(op, why, "keyring_ward_transport_request() asks for it; keyring_ward_transport_list() shows which are here.")
    })?;
    TransportKeys::derive(keyring.pool(), key.material())
}

pub(super) fn other_key(op: &'static str, ours: &TransportKeys, named: Under<'_>) -> Error {
    let why = format!(
        "'{}' is another transport key here, {}: the message is of {}",
        named.name,
        fingerprint(&ours.id()),
        fingerprint(&named.id)
    );
    Error::new(Kind::InvalidInput, op, why).hint(
        "Nothing was changed. Give the new one another name, or remove the old one here first: keyring_ward_transport_remove().",
    )
}
