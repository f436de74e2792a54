//! The SQL function of the audit log: the key that it is checked with.
//!
//! Owns what it answers. It must never give the private half.

use crate::error::{Error, Kind, Result};
use crate::mysql::state::LIFECYCLE;
use serde_json::{Value, json};

sql_function! {
    /// The public half of the key that the audit log is signed with.
    keyring_ward_audit_public_key_init, keyring_ward_audit_public_key, keyring_ward_audit_public_key_deinit, (), |_| public_key()
}

fn public_key() -> Result<Value> {
    let signer = LIFECYCLE.keyring()?.known_audit_signer()?;
    let signer = signer.ok_or_else(|| {
        let why = "the keyring has no key for an audit log";
        Error::new(Kind::NotFound, "show the public key", why)
            .hint("The server makes it when it begins the log: set audit_file, and let it make a key.")
            .refused()
    })?;
    Ok(json!({ "public_key": signer.public_pem()?, "signer": signer.public().id() }))
}
