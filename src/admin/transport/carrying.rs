//! Versions under way: sealed at the source, accepted by a replica, confirmed at the source.
//!
//! It must never send what is no version of an account's key, nor confirm what the replica's material does not prove.

use super::places::{keys_by_name, keys_of, no_key};
use crate::envelope::equal;
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::key::logical::VersionOf;
use crate::key::record::KeyRecord;
use crate::keyring::logical::LogicalInfo;
use crate::keyring::taking::Given;
use crate::keyring::{By, Keyring};
use crate::os::unix_seconds;
use crate::text::{hex, utc};
use crate::transport::parcel::{self, Content, Parcel};
use crate::transport::receipt::{Receipt, Said};
use crate::transport::{self, Message, ServerId, fingerprint, from_text, to_text};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn accept_parcel(
    keyring: &By<'_>,
    server: ServerId,
    parcel: &Parcel<'_>,
) -> Result<Value> {
    const OP: &str = "accept the version";
    if server == ServerId::default() {
        let why = "the receipt must name this server, and its uuid is not known";
        return Err(Error::new(Kind::InvalidInput, OP, why)
            .hint("Nothing was changed. Start the server once, or name --server-uuid."));
    }
    let keys = keys_of(keyring, OP, parcel.under)?;
    let content = parcel.open(keyring.pool(), &keys)?;
    let (id, version) = (&content.id, &content.version);
    let taken = keyring.take_version(&Given {
        id,
        version,
        restrictions: &content.restrictions,
        key_type: &content.key_type,
        created_at: content.created_at,
        material: &content.material,
    })?;
    let receipt = Receipt::sign(
        &keys,
        Said {
            under: parcel.under,
            replica: server,
            key: version.logical.id,
            version: version.number,
            state: taken.state,
            at: unix_seconds(),
            parcel: parcel.hash,
            digest: content.digest(&keys),
        },
    );
    Ok(json!({
        "kind": "version", "transport": parcel.under.name, "source": parcel.source.to_string(),
        "name": id.name().escape_ascii().to_string(), "owner": id.owner().escape_ascii().to_string(),
        "id": hex(&version.logical.id), "version": version.number, "state": taken.state.name(),
        "new": taken.is_new, "switched": taken.switched, "receipt": to_text(&receipt.write()),
    }))
}

/// Whose key a message brings a version of, and what its source says that the key is for; `None`: it brings none.
///
/// # Errors
/// As accepting it.
pub fn brought(keyring: &Keyring, text: &str) -> Result<Option<(KeyId, String)>> {
    let bytes = from_text(text)?;
    let Message::Parcel(parcel) = transport::read(&bytes)? else {
        return Ok(None);
    };
    let keys = keys_of(keyring, "accept the version", parcel.under)?;
    let content = parcel.open(keyring.pool(), &keys)?;
    Ok(Some((content.id, content.version.logical.environment)))
}

/// A version that is there, and its key.
fn version_of(
    keyring: &Keyring,
    op: &'static str,
    key: &LogicalInfo,
    number: u32,
) -> Result<Arc<KeyRecord>> {
    let name = key.logical.key_name(key.id.name(), number);
    let listed = key.logical.version(number).is_some();
    let found = match listed {
        true => keyring.read_key(&name, key.id.owner())?,
        false => None,
    };
    found.ok_or_else(|| {
        let why = format!("{} has no version {number} that is there", key.id);
        no_key(op, why, "keyring-ward key show lists its versions.")
    })
}

pub(super) fn seal(
    keyring: &Keyring,
    source: ServerId,
    name: &str,
    key: &KeyId,
    number: u32,
) -> Result<Value> {
    const OP: &str = "seal the version";
    let keys = keys_by_name(keyring, OP, name)?;
    let info = keyring.logical_key(key)?;
    let record = version_of(keyring, OP, &info, number)?;
    let logical = info.logical;
    let content = Content {
        id: info.id,
        version: VersionOf { number, logical },
        restrictions: parcel::restrictions(&record)?,
        key_type: record.key_type.to_string(),
        created_at: record.created_at,
        material: keyring.pool().copy(record.material())?,
    };
    let message = parcel::write(keyring.pool(), (name, &keys), source, &content)?;
    let state = content.state();
    Ok(json!({
        "transport": name, "fingerprint": fingerprint(&keys.id()),
        "name": content.id.name().escape_ascii().to_string(), "owner": content.id.owner().escape_ascii().to_string(),
        "id": hex(&content.version.logical.id), "version": number, "state": state.name(),
        "sha256": sha256(&message), "message": to_text(&message),
    }))
}

/// As SHA2(FROM_BASE64(message), 256) gives it.
fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}

pub(super) fn confirm(keyring: &Keyring, text: &str) -> Result<Value> {
    const OP: &str = "take the receipt";
    let bytes = from_text(text)?;
    let Message::Receipt(receipt) = transport::read(&bytes)? else {
        let why = "it is no receipt";
        return Err(Error::new(Kind::InvalidInput, OP, why).hint(
            "Nothing was changed. A receipt is what keyring_ward_transport_accept() gives on a replica.",
        ));
    };
    let keys = keys_of(keyring, OP, receipt.said.under)?;
    receipt.check(&keys)?;
    let said = receipt.said;
    let info = keyring.logical_by_id(&said.key).ok_or_else(|| {
        let why = format!("no logical key here has the id {}", hex(&said.key));
        no_key(
            OP,
            why,
            "Take it to the server whose keyring sealed the version.",
        )
    })?;
    let record = version_of(keyring, OP, &info, said.version)?;
    let (id, number) = (info.id, said.version);
    let logical = info.logical;
    let version = VersionOf { number, logical };
    if !equal(
        &parcel::digest(&keys, &version, record.material()),
        &said.digest,
    ) {
        let why =
            format!("the replica's version {number} of {id} has other material than the one here");
        return Err(Error::new(Kind::KeyState, OP, why).hint(
            "Nothing was changed. Do not switch to it: find out which of the two has sealed data.",
        ));
    }
    Ok(json!({
        "transport": said.under.name, "replica": said.replica.to_string(),
        "name": id.name().escape_ascii().to_string(), "owner": id.owner().escape_ascii().to_string(),
        "id": hex(&said.key), "version": number, "state": said.state.name(), "at": utc(said.at),
        "sha256": hex(&said.parcel),
    }))
}
