//! The configuration's readers: JSON, and the group `[keyring_ward]` of option files.
//!
//! Oracle: no panic; an error names its origin and has a hint or a sentence; what was accepted has an
//! absolute path and a KEK.
#![no_main]

use keyring_ward::config::{Config, json, option_file};
use keyring_ward::error::{Kind, Result};
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A folder in memory for the option file, so that `!include` of it works.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let folder = PathBuf::from(format!("{base}/kw-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
});

fn check(result: Result<Config>) {
    match result {
        Ok(config) => {
            assert!(config.path.is_absolute());
            // One, and with aws_kms up to eight previous ones.
            assert!((1..=16).contains(&config.keks.len()));
        }
        Err(e) => {
            assert_eq!(e.kind(), Kind::Config, "{e}");
            assert!(e.to_string().len() < 20_000, "a bounded message");
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, text)) = input.split_first() else { return };
    if kind % 2 == 0 {
        check(json::parse(text, "fuzz.cnf").and_then(|d| d.layer.finish()));
        return;
    }
    let file = FOLDER.join("a.cnf");
    std::fs::write(&file, text).expect("the file is written");
    let mut reader = option_file::Reader::new(&[option_file::GROUP], Some("@replica1"), &FOLDER);
    reader.read(&file);
    check(reader.layer().and_then(|layer| layer.finish()));
});
