//! What the providers share: a stanza around keys that were derived here, and the error for a mechanism of tomorrow.
//!
//! Owns the fields of such a stanza. It must never take a stanza's word for what only the configuration may say.

use super::Unwrapped;
use crate::envelope::{FILE_ID, WrapKeys, unwrap_local, wrap_local};
use crate::error::{Error, Kind, Result};
use crate::format::stanza::{Part, Stanza};
use crate::secret::SecretPool;
use crate::text::clean;

/// Wraps a part under derived keys.
pub(super) fn wrap(
    keys: &WrapKeys,
    names: (&str, &str),
    params: Vec<u8>,
    file_id: &[u8; FILE_ID],
    part: &Part<'_>,
) -> Result<Stanza> {
    let mut stanza = Stanza::begin(names, String::new(), part.holder, params);
    stanza.commitment = keys.commitment();
    stanza.blob = wrap_local(keys, &stanza.associated_data(file_id), part)?;
    Ok(stanza)
}

/// Unwraps what [`wrap`] wrapped.
pub(super) fn unwrap(
    pool: &SecretPool,
    keys: &WrapKeys,
    file_id: &[u8; FILE_ID],
    stanza: &Stanza,
) -> Result<Unwrapped> {
    let aad = stanza.associated_data(file_id);
    let part = unwrap_local(pool, keys, &aad, &stanza.commitment, &stanza.blob)?;
    Ok(part.map_or(Unwrapped::WrongKey, Unwrapped::Opened))
}

/// The stanza is one of our provider's, but how it wraps is not known here.
pub(super) fn unknown_mechanism(stanza: &Stanza) -> Error {
    Error::new(
        Kind::UnsupportedVersion,
        "open the keyring file",
        format!(
            "its stanza of the provider {} names the mechanism '{}', which this program does not know",
            clean(&stanza.provider),
            clean(&stanza.mechanism)
        ),
    )
    .hint("It was written by a newer Keyring Ward. Install that version; nothing was changed.")
}
