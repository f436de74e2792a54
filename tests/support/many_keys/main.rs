//! Makes a keyring file with many keys, for scripts/bench.sh: `many_keys PATH KEY_FILE KEYS plain|logical`.
#![allow(clippy::unwrap_used)]

mod keys;

use keyring_ward::config::{Config, Limits, Patience};
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, key_file, n, kind] = &args[..] else {
        panic!("many_keys PATH KEY_FILE KEYS plain|logical");
    };
    let config = Config {
        path: path.into(),
        read_only: false,
        fingerprint: Vec::new(),
        keks: LocalConfig::KeyFile(SecretRef::File(key_file.into())).into(),
        patience: Patience::default(),
        limits: Limits::default(),
        lease: None,
        policy_file: None,
        audit: None,
        origin: "many_keys".into(),
    };
    let environment = Environment {
        data_dir: None,
        look_only: false,
        starting: false,
        making: true,
        snapshot_if_locked: false,
        audit: None,
    };
    let keyring = Keyring::open(&config, &environment, &SecretPool::new()).unwrap();
    keys::fill(&keyring, n.parse().unwrap(), kind == "logical");
}
