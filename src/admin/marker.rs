//! The marker of a data directory, for administration: what it says, and `reset-marker`.

use super::environment;
use crate::config::Config;
use crate::error::Result;
use crate::keyring::Keyring;
use crate::secret::SecretPool;
use crate::store::MarkerSays;
use crate::store::marker;
use std::path::Path;

/// Puts the marker of a data directory aside, whose server must not run.
///
/// # Errors
/// NotFound: there is none. Locked: a running server keeps it.
pub fn reset(data_dir: &Path) -> Result<marker::Reset> {
    marker::reset(data_dir)
}

/// What the marker of a data directory says about the keyring that `config` describes, as a server would find at
/// its start. The keyring is opened for a look; nothing is written.
///
/// # Errors
/// The keyring or the marker can't be read.
pub fn opinion(config: &Config, data_dir: &Path) -> Result<MarkerSays> {
    let mut environment = environment(true);
    environment.data_dir = Some(data_dir.to_path_buf());
    let keyring = Keyring::open(config, &environment, &SecretPool::new())?;
    Ok(keyring.status().store.marker)
}
