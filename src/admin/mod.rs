//! Operations of administration, shared by the tool and the SQL functions.
//!
//! One operation per file. They use the keyring's facade and print nothing; they must never show
//! key material.

pub mod archived_logs;
pub mod audit;
pub mod doctor;
pub mod drill;
pub mod edit;
pub mod export;
#[cfg(test)]
mod fixture;
pub mod import;
pub mod init;
pub mod inspect;
pub mod keks;
pub mod key_change;
pub mod key_list;
pub mod keys;
pub mod marker;
pub mod naming;
pub mod pin;
pub mod prove;
pub mod rekey;
pub mod retire;
pub mod retire_ticket;
pub mod rotation;
pub mod translate;
pub mod transport;

use crate::caller::Caller;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::keyring::tool::Tool;
use crate::keyring::{By, Environment, Keyring};
use crate::secret::SecretPool;
use std::ops::Deref;
use std::path::Path;

/// The keyring that an operation is about. A configuration alone is one whose server nobody knows.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// What describes it.
    pub config: &'a Config,
    /// The data directory of its server, whose marker knows it. The marker is written only where there is one.
    pub data_dir: Option<&'a Path>,
    /// An incomplete record at its end may be cut off although no marker tells whether it was acknowledged.
    pub cut_torn_end: bool,
    /// Who asks for it: the changes say so.
    pub caller: Caller<'a>,
    /// Hears what is worth a warning, in full sentences, whether the operation succeeds or not.
    pub warn: &'a dyn Fn(String),
}

impl<'a> From<&'a Config> for Target<'a> {
    fn from(config: &'a Config) -> Target<'a> {
        Target {
            config,
            data_dir: None,
            cut_torn_end: false,
            caller: Caller::Unknown,
            warn: &drop,
        }
    }
}

/// An open keyring whose warnings are told.
struct Opened<'a> {
    keyring: Keyring,
    caller: Caller<'a>,
    warn: &'a dyn Fn(String),
}

impl Deref for Opened<'_> {
    type Target = Keyring;
    fn deref(&self) -> &Keyring {
        &self.keyring
    }
}

impl Opened<'_> {
    /// The keyring in the hands of who asked for the operation.
    fn by(&self) -> By<'_> {
        self.keyring.by(&self.caller)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.keyring.take_warnings().into_iter().for_each(self.warn);
    }
}

/// Opens a keyring for an operation of its own: alone, whatever `read_only` says.
fn open_alone<'a>(target: &Target<'a>) -> Result<Opened<'a>> {
    open_as(target, false)
}

/// Finds what [`open_alone`] and a write would find, and writes nothing.
fn open_dry<'a>(target: &Target<'a>) -> Result<Opened<'a>> {
    let opened = open_as(target, true)?;
    match opened.status().store.refusing {
        None => Ok(opened),
        Some(why) => Err(Error::new(Kind::ReadOnly, "write the keyring file", why)
            .hint("Mend the rights. Nothing was changed.")),
    }
}

fn open_as<'a>(target: &Target<'a>, dry_run: bool) -> Result<Opened<'a>> {
    check_folder(target.config)?;
    let mut config = target.config.clone();
    config.read_only = false;
    let tool = Tool {
        data_dir: target.data_dir,
        cut_torn_end: target.cut_torn_end,
        dry_run,
    };
    Ok(Opened {
        keyring: Keyring::open_by_tool(&config, &tool, &SecretPool::new())?,
        caller: target.caller,
        warn: target.warn,
    })
}

/// Opens a keyring for a look.
fn open_to_look<'a>(target: &Target<'a>, pool: &SecretPool) -> Result<Opened<'a>> {
    check_folder(target.config)?;
    Ok(Opened {
        keyring: Keyring::open(target.config, &environment(true), pool)?,
        caller: target.caller,
        warn: target.warn,
    })
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
        audit: None,
    }
}
