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
pub mod rekey;
pub mod undo;

use crate::config::Config;
use crate::error::Result;
use crate::keyring::{Environment, Keyring};
use crate::secret::SecretPool;
use crate::sys::Identity;

/// Opens a keyring for an operation of its own: alone, as the owner of its folder, whatever `read_only` says.
/// The marker is the server's: it only ever grows, so a keyring that has more records than it knows is fine.
fn open_alone(config: &Config) -> Result<Keyring> {
    let mut config = config.clone();
    config.read_only = false;
    Keyring::open(&config, &environment(&config, false), &SecretPool::new())
}

/// The surroundings of the tool: no data directory, no server that waits.
fn environment(config: &Config, look_only: bool) -> Environment {
    Environment {
        data_dir: None,
        identity: config
            .path
            .parent()
            .map_or_else(Identity::own, Identity::owner_of),
        look_only,
        starting: false,
        making: false,
        snapshot_if_locked: false,
    }
}
