//! Operations of administration, shared by the tool and the SQL functions.
//!
//! One operation per file. They use the keyring's facade and print nothing; they must never show
//! key material.

pub mod doctor;
pub mod edit;
pub mod export;
pub mod import;
pub mod init;
pub mod inspect;
pub mod marker;
pub mod pin;
pub mod rekey;
pub mod undo;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::keyring::{Environment, Keyring};
use crate::secret::SecretPool;

/// Opens a keyring for an operation of its own: alone, whatever `read_only` says.
/// The marker is the server's: it only ever grows, so a keyring that has more records than it knows is fine.
fn open_alone(config: &Config) -> Result<Keyring> {
    check_folder(config)?;
    let mut config = config.clone();
    config.read_only = false;
    Keyring::open(&config, &environment(false), &SecretPool::new())
}

/// The keyring's folder is there: nothing else can be said of a keyring whose folder is not.
///
/// # Errors
/// NotFound, and what the system says of the folder.
fn check_folder(config: &Config) -> Result<()> {
    const OP: &str = "open the keyring";
    let Some(folder) = config.path.parent() else {
        return Ok(());
    };
    let what = || format!("the folder '{}' of the keyring file", folder.display());
    match std::fs::metadata(folder) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(
            Kind::Config,
            OP,
            format!("{} is not a folder", what()),
        )
        .hint("Correct the path.")),
        Err(e) => Err(Error::io(OP, what(), e).hint(
            "Correct the path, or mount the volume that holds it. keyring-ward init makes the folder and a new keyring.",
        )),
    }
}

/// The surroundings of the tool: no data directory, no server that waits.
fn environment(look_only: bool) -> Environment {
    Environment {
        data_dir: None,
        look_only,
        starting: false,
        making: false,
        snapshot_if_locked: false,
    }
}
