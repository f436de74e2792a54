//! What the tests share: keyrings in temporary folders. Not a test by itself.
#![allow(dead_code, clippy::unwrap_used)]

pub mod faults;
pub mod services;

use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, Limits, Patience};
use keyring_ward::error::Result;
use keyring_ward::format::header::parse_header;
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use keyring_ward::store::marker::{self, Slot};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tests of one program that change what is the process's take turns: a limit on the size of files, and programs that
/// are started, for a child has the open lock of another test's keyring until it becomes the tool, and a lock lives as
/// long as its last descriptor. Nothing to wait for where each test is a process (nextest).
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that a test leaves something out, and why; in CI (`CI` is set) that is a failure.
pub fn left_out(why: &str) {
    assert!(
        std::env::var_os("CI").is_none(),
        "must not be left out in CI: {why}"
    );
    eprintln!("SKIPPED: {why}");
}

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

    /// The same with a keyring that has no key.
    pub fn with_keyring() -> Place {
        let place = Place::new();
        let keyring = place.open().unwrap();
        keyring.by(&Caller::Unknown).create_empty().unwrap();
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
            path: self.keyring_file(),
            read_only: false,
            fingerprint: Vec::new(),
            keks: LocalConfig::KeyFile(SecretRef::File(self.key_file())).into(),
            patience: Patience::default(),
            limits: Limits::default(),
            lease: None,
            policy_file: None,
            audit: None,
            origin: "test".into(),
        }
    }

    /// Its files belong to root, so this process is root.
    pub fn is_roots(&self) -> bool {
        let folder = self.dir.path().metadata().unwrap();
        std::os::unix::fs::MetadataExt::uid(&folder) == 0
    }

    /// As a server has it: with a data directory for the marker.
    pub fn server(&self) -> Environment {
        Environment {
            data_dir: Some(self.data_dir()),
            look_only: false,
            starting: false,
            making: false,
            snapshot_if_locked: false,
            audit: None,
        }
    }

    pub fn open(&self) -> Result<Keyring> {
        Keyring::open(&self.config(), &self.server(), &SecretPool::new())
    }

    /// A look at the file as it is, beside whoever has it open.
    pub fn look(&self) -> Result<Keyring> {
        let environment = Environment {
            look_only: true,
            data_dir: None,
            ..self.server()
        };
        Keyring::open(&self.config(), &environment, &SecretPool::new())
    }

    /// What lives and what is dead is all of the file, and a rewrite makes of it what lives, to the byte.
    pub fn check_bytes(&self, keyring: &Keyring) {
        let header = || parse_header(&self.read()).unwrap().length as u64;
        let info = keyring.status().store;
        if info.exists {
            assert_eq!(info.live_bytes + info.dead_bytes, info.bytes - header());
            keyring.by(&Caller::Unknown).compact().unwrap();
            let after = keyring.status().store;
            assert_eq!((after.live_bytes, after.dead_bytes), (info.live_bytes, 0));
            assert_eq!(after.bytes - header(), info.live_bytes);
        }
    }

    pub fn read(&self) -> Vec<u8> {
        std::fs::read(self.keyring_file()).unwrap()
    }

    pub fn write(&self, bytes: &[u8]) {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(self.keyring_file()).unwrap();
        file.write_all(bytes).unwrap();
    }

    pub fn marker_file(&self) -> PathBuf {
        self.data_dir().join("keyring_ward.marker")
    }

    /// What the marker says last.
    pub fn marked(&self) -> Option<Slot> {
        marker::read(&self.data_dir())
            .unwrap()
            .and_then(|m| m.newest().copied())
    }

    /// Puts a marker in place that another start of the machine left.
    pub fn write_marker_of_an_earlier_boot(&self, slot: &Slot) {
        let mut slot = *slot;
        slot.boot = [7; 16];
        let mut bytes = vec![0; marker::SLOT_DISTANCE as usize];
        bytes[..marker::SLOT].copy_from_slice(&slot.bytes());
        bytes.extend_from_slice(&slot.bytes());
        std::fs::write(self.marker_file(), bytes).unwrap();
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
