//! `status`, `list` and `verify`: a look at a keyring file without a lock, beside a running server.

use crate::config::{Config, hex};
use crate::error::Result;
use crate::keyring::{Environment, Keyring};
use crate::secret::SecretPool;
use crate::sys::Identity;

/// One key, without its material.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyLine {
    /// The name, with odd bytes escaped.
    pub name: String,
    /// The owner; empty for the server's own keys.
    pub owner: String,
    /// The type.
    pub key_type: String,
    /// Length of the material in bytes.
    pub length: usize,
    /// Seconds since 1970.
    pub created_at: i64,
}

/// A keyring file as it is now.
#[derive(Debug)]
pub struct Report {
    /// Names and values for people.
    pub rows: Vec<(&'static str, String)>,
    /// The keys, sorted by name and owner.
    pub keys: Vec<KeyLine>,
    /// What is worth a warning, e.g. an incomplete last record.
    pub warnings: Vec<String>,
}

/// Reads and authenticates the whole file. This is what `verify` means.
///
/// # Errors
/// All errors of opening a keyring.
pub fn inspect(config: &Config) -> Result<Report> {
    let identity = config
        .path
        .parent()
        .map_or_else(Identity::own, Identity::owner_of);
    let environment = Environment {
        data_dir: None,
        identity,
        look_only: true,
        starting: false,
        making: false,
        snapshot_if_locked: false,
    };
    let keyring = Keyring::open(config, &environment, &SecretPool::new())?;
    let status = keyring.status();
    let info = status.store;
    let rows = vec![
        ("Backend", config.backend.name().to_string()),
        ("Data_file", config.path.display().to_string()),
        (
            "File_id",
            info.file_id.map(|id| hex(&id)).unwrap_or_default(),
        ),
        ("Generation", info.generation.to_string()),
        ("Last_record", info.sequence.to_string()),
        ("Bytes", info.bytes.to_string()),
        ("Keys", status.keys.to_string()),
        ("Opened_by", info.opened_by),
        ("Mechanism", info.mechanism),
        ("KEK_reference", info.key_ref),
        (
            "Fingerprint",
            info.fingerprint.map(|f| hex(&f)).unwrap_or_default(),
        ),
    ];
    let mut keys: Vec<KeyLine> = keyring
        .list()
        .iter()
        .map(|key| KeyLine {
            name: key.id.name().escape_ascii().to_string(),
            owner: key.id.owner().escape_ascii().to_string(),
            key_type: key.key_type.to_string(),
            length: key.material.len(),
            created_at: key.created_at,
        })
        .collect();
    keys.sort();
    Ok(Report {
        rows,
        keys,
        warnings: keyring.take_warnings(),
    })
}
