//! The readers of other keyrings' files: component_keyring_file's JSON, the plugin keyring_file's words.
//!
//! Oracle: no panic; what was accepted is within our limits; what was refused has a kind of its own and a bounded
//! message.
#![no_main]

use keyring_ward::admin::import::{parse_component_json, parse_plugin_file};
use keyring_ward::error::Kind;
use keyring_ward::secret::SecretPool;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

fuzz_target!(|input: &[u8]| {
    let Some((kind, text)) = input.split_first() else { return };
    let pool = SecretPool::new();
    let result = match kind % 4 {
        0 => parse_component_json(text, &pool),
        1 => parse_plugin_file(text, &pool).map(|(_, keys)| keys),
        // A body with the right frame around it, so that the reader gets to it.
        2 => parse_plugin_file(&[b"Keyring file version:1.0", text, b"EOF"].concat(), &pool).map(|(_, keys)| keys),
        _ => {
            let digest = Sha256::digest(text);
            let whole = [b"Keyring file version:2.0", text, b"EOF", &digest[..]].concat();
            parse_plugin_file(&whole, &pool).map(|(_, keys)| keys)
        }
    };
    match result {
        Ok(keys) => {
            for key in keys {
                assert!(!key.id.name().is_empty() && key.material.len() <= 16_384);
            }
        }
        Err(e) => {
            assert!(matches!(e.kind(), Kind::InvalidInput | Kind::Tampered), "{e}");
            assert!(e.to_string().len() < 20_000, "a bounded message");
        }
    }
});
