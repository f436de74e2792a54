//! Many keys at once, plain or logical, for the benches.

use keyring_ward::caller::Caller;
use keyring_ward::key::extensions::{Extensions, VERSION};
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::{Logical, VersionOf};
use keyring_ward::key::record::KeyRecord;
use keyring_ward::keyring::Keyring;

/// `n` keys; with a description each, the first versions of as many logical keys.
pub fn fill(keyring: &Keyring, n: usize, logical: bool) {
    let records = (0..n).map(|i| {
        let name = format!("key-{i:08}");
        let key = match logical {
            true => format!("{name}@1"),
            false => name,
        };
        // An account has its bounds.
        let owner = format!("u{}@h", i % 2);
        let id = KeyId::new(key.as_bytes(), owner.as_bytes()).unwrap();
        let material = keyring.pool().random(32).unwrap();
        let record = KeyRecord::new(id, b"AES", material, 1_800_000_000, 1).unwrap();
        if !logical {
            return record;
        }
        let mut described = Logical {
            id: (i as u128).to_le_bytes(),
            serial: 1,
            follow: true,
            adopted: false,
            rotate_every: Some(90),
            expires: None,
            held: None,
            environment: "prod".into(),
            description: String::new(),
            highest: 0,
            versions: Vec::new(),
        };
        let number = described.add_version(1).unwrap();
        described.switch_to(number, 1).unwrap();
        let version = VersionOf {
            number,
            logical: described,
        };
        record.with_extensions(Extensions::new([(VERSION, version.to_bytes())]).unwrap())
    });
    let records = records.collect();
    keyring.by(&Caller::Unknown).restore_all(records).unwrap();
}
