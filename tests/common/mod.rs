//! What the tests share: keyrings in temporary folders. Not a test by itself.
#![allow(dead_code, clippy::unwrap_used)]

pub mod faults;

use keyring_ward::config::{Backend, Config, KekConfig, Limits, Patience, SecretRef};
use keyring_ward::error::Result;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use keyring_ward::sys::Identity;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder with a key file, a place for a keyring file and a data directory.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let place = Place {
            dir: tempfile::tempdir().unwrap(),
        };
        write_secret(&place.key_file(), &[0x42; 32]);
        std::fs::create_dir(place.data_dir()).unwrap();
        place
    }

    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("kek")
    }

    pub fn keyring_file(&self) -> PathBuf {
        self.dir.path().join("keyring.ward")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn config(&self) -> Config {
        Config {
            backend: Backend::File,
            path: self.keyring_file(),
            read_only: false,
            fingerprint: None,
            keks: vec![KekConfig::KeyFile(SecretRef::File(self.key_file()))],
            patience: Patience::default(),
            limits: Limits::default(),
            origin: "test".into(),
        }
    }

    /// As a server has it: with a data directory for the marker.
    pub fn server(&self) -> Environment {
        Environment {
            data_dir: Some(self.data_dir()),
            identity: Identity::own(),
            look_only: false,
            starting: false,
            making: false,
            snapshot_if_locked: false,
        }
    }

    pub fn open(&self) -> Result<Keyring> {
        Keyring::open(&self.config(), &self.server(), &SecretPool::new())
    }

    pub fn read(&self) -> Vec<u8> {
        std::fs::read(self.keyring_file()).unwrap()
    }

    pub fn write(&self, bytes: &[u8]) {
        std::fs::write(self.keyring_file(), bytes).unwrap();
    }
}

pub fn write_secret(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// Names, owners and material, sorted.
pub fn content(keyring: &Keyring) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> = keyring
        .list()
        .iter()
        .map(|k| {
            (
                k.id.name().to_vec(),
                k.id.owner().to_vec(),
                k.material().unwrap().to_vec(),
            )
        })
        .collect();
    all.sort();
    all
}
