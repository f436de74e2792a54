//! Opening a keyring for one operation of the tool: alone, to change it, or to say what a change would meet.
//!
//! Owns what differs from a server: `read_only` is the server's; what nothing tells of an incomplete end is asked, not
//! decided. It must never pass over a marker that it is told of, and never write for a dry run.

use super::{Environment, How, Keyring, budget};
use crate::config::Config;
use crate::error::Result;
use crate::secret::SecretPool;
use crate::store::file::ByTool;
use crate::store::{Mode, Pretending};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How the tool opens a keyring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tool<'a> {
    /// The data directory of the server whose keyring it is: its marker counts as it does for that server, and hears of
    /// what is written.
    pub data_dir: Option<&'a Path>,
    /// An incomplete record at the end may be cut off although no marker tells whether it was acknowledged.
    pub cut_torn_end: bool,
    /// Nothing is written: changes are made in memory alone.
    pub dry_run: bool,
}

impl Keyring {
    /// Opens the keyring as [`Keyring::open`] does for a server that writes, but for the tool.
    ///
    /// # Errors
    /// As [`Keyring::open`]. Tampered: the end is incomplete, and nothing tells whether it was acknowledged.
    pub fn open_by_tool(config: &Config, tool: &Tool<'_>, pool: &SecretPool) -> Result<Keyring> {
        let environment = Environment {
            data_dir: tool.data_dir.map(Path::to_path_buf),
            look_only: false,
            starting: false,
            making: false,
            snapshot_if_locked: false,
            audit: None,
        };
        let how = How {
            mode: match tool.dry_run {
                true => Mode::DryRun,
                false => Mode::ReadWrite,
            },
            predecessor: None,
            by_tool: Some(ByTool {
                cut_torn_end: tool.cut_torn_end,
            }),
        };
        let deadline = budget(config, &environment);
        let mut keyring = Keyring::open_in(how, config, &environment, pool, deadline)?;
        if tool.dry_run {
            let store = keyring.store.into_inner();
            let store = Box::new(Pretending(store.unwrap_or_else(PoisonError::into_inner)));
            keyring.store = Mutex::new(store);
        }
        Ok(keyring)
    }
}
