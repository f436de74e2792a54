//! The backend `file`: the KEK is a passphrase or a key file of this machine.
//!
//! Owns its section, and what both have in common. It must never hold the secret that the configuration names.

pub mod key_file;
pub mod passphrase;

use super::make;
use super::settings::{Driver, KekConfig, Settings};
use super::{Budget, Kek, Unwrapped, local};
use crate::error::Result;
use crate::options::{OptionSpec, Section, ValueKind};
use crate::os::undo::Undo;
use crate::secret_source::SecretRef;
use std::time::Duration;

/// The row.
pub const DRIVER: Driver = Driver {
    name: NAME,
    under: "a passphrase, a key file",
    options: &[
        OptionSpec::of(
            NAME,
            "file_passphrase_file",
            ValueKind::Text,
            "The file that holds the passphrase, or credential:NAME",
        )
        .about("the file with the passphrase (one line), or `credential:NAME`"),
        OptionSpec::of(
            NAME,
            "file_key_file",
            ValueKind::Text,
            "The file of at least 32 random bytes, or credential:NAME",
        )
        .about("a file of 32 to 65,536 random bytes, or `credential:NAME`"),
    ],
    instead: &[&["file_passphrase_file", "file_key_file"]],
    read,
    page: "",
    example: "--passphrase-file /var/lib/mysql-keyring/passphrase --generate --user mysql",
};
const NAME: &str = "file";

/// A KEK that is a secret of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalConfig {
    /// `file.passphrase_file`
    Passphrase(SecretRef),
    /// `file.key_file`
    KeyFile(SecretRef),
}

impl From<LocalConfig> for KekConfig {
    fn from(config: LocalConfig) -> KekConfig {
        KekConfig::new(config)
    }
}

fn read(section: &Section<'_>) -> Result<Vec<KekConfig>> {
    if section.given("passphrase_file").is_some() && section.given("key_file").is_some() {
        return Err(section.mistake(
            "both a passphrase file and a key file are named",
            "Keep the one that the keyring was made with.",
        ));
    }
    let kek = if let Some(source) = section.secret("passphrase_file")? {
        LocalConfig::Passphrase(source)
    } else if let Some(source) = section.secret("key_file")? {
        LocalConfig::KeyFile(source)
    } else {
        return Err(section.mistake(
            "the file backend has no KEK",
            format!("{}.", section.to_set("passphrase_file or key_file")),
        ));
    };
    Ok(vec![kek.into()])
}

impl LocalConfig {
    fn source(&self) -> &SecretRef {
        match self {
            LocalConfig::Passphrase(source) | LocalConfig::KeyFile(source) => source,
        }
    }
}

impl Settings for LocalConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        match self {
            LocalConfig::Passphrase(source) => {
                Box::new(passphrase::Passphrase::new(source.clone()))
            }
            LocalConfig::KeyFile(source) => Box::new(key_file::KeyFile::new(source.clone())),
        }
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        vec![self.source()]
    }

    fn own_secret(&self) -> Option<&SecretRef> {
        Some(self.source())
    }

    fn check_makeable(&self) -> Result<()> {
        make::secret_path(self.source()).map(drop)
    }

    fn make(&self, _patience: Duration, undo: &mut Undo) -> Result<String> {
        let as_text = matches!(self, LocalConfig::Passphrase(_));
        make::secret_file(self.source(), as_text, undo)
    }
}
