//! What stands in a configuration, an identity file and a stanza of the provider age: any bytes.
//!
//! Oracle: no panic; a recipient that is taken has a name and is taken again by its own text; a stanza's bytes that are read
//! are written again as the same ones.
#![no_main]

use keyring_ward::kek::age::identity;
use keyring_ward::kek::age::recipient::Recipient;
use keyring_ward::kek::age::wrapped::{MAX_RECIPIENTS, read, write};
use keyring_ward::secret::SecretPool;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 3 {
        0 => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Ok(recipient) = Recipient::parse(text) {
                assert!(!format!("{recipient:?}").is_empty());
                // Without the comment, and without what stands before it.
                let bare: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
                assert!(Recipient::parse(&bare.join(" ")) == Ok(recipient));
            }
        }
        1 => {
            let _ = identity::parse(&SecretPool::new(), bytes);
        }
        _ => {
            if let Ok(each) = read(bytes) {
                assert!((1..=MAX_RECIPIENTS).contains(&each.len()));
                assert_eq!(write(each.into_iter()), bytes);
            }
        }
    }
});
