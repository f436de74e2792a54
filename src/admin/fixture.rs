//! What the unit tests of several operations begin with.

use crate::config::{Config, Layer};
use crate::key::extensions::Extensions;
use crate::keyring::Keyring;
use crate::secret::SecretPool;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A keyring in `dir`, under a key file that is made where it is missing.
pub(super) fn config(dir: &Path, name: &str) -> Config {
    let kek = dir.join("kek");
    if !kek.exists() {
        std::fs::write(&kek, [9; 32]).unwrap();
        std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let (path, kek) = (
        dir.join(name).display().to_string(),
        kek.display().to_string(),
    );
    let values = [
        ("backend", "file"),
        ("path", &*path),
        ("file_key_file", &*kek),
    ];
    Layer::of("test", &values).finish().unwrap()
}

/// Opens it to write.
pub(super) fn open(config: &Config) -> Keyring {
    Keyring::open(
        config,
        &crate::admin::environment(false),
        &SecretPool::new(),
    )
    .unwrap()
}

/// Something that a newer version may note of a key.
pub(super) fn noted() -> Extensions {
    Extensions::new([(7, b"x".to_vec())]).unwrap()
}
