//! A sealed value: any bytes, and bytes that are one but for a change.
//!
//! Oracle: no panic; what opens is what was sealed, and only with its own context; what is sealed opens; a change of one byte never does.
#![no_main]

use keyring_ward::envelope::{Purpose, VALUE_RANDOM, ValueKeys};
use keyring_ward::sealed::{Sealed, seal};
use keyring_ward::secret::SecretPool;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let pool = SecretPool::new();
    let derived = ValueKeys::derive(&pool, Purpose::Value, &[1; 16], 7, &[2; 32]);
    let Ok(mut keys) = derived else { return };
    let mut out = Vec::new();
    // Nobody makes a value that opens without the key.
    if let Ok(value) = Sealed::parse(input) {
        assert!(value.open(&mut keys, b"", &mut out).is_err() && out.is_empty());
    }
    let [at, flip, rest @ ..] = input else { return };
    let (context, text) = rest.split_at(rest.len().min(8));
    let mut value = Vec::new();
    let random = [*at; VALUE_RANDOM];
    assert!(seal(&mut keys, 7, &random, context, text, &mut value).is_ok());
    let opened = |value: &[u8], keys: &mut ValueKeys, context: &[u8]| {
        let mut out = Vec::new();
        let value = Sealed::parse(value).ok()?;
        value.open(keys, context, &mut out).ok().map(|()| out)
    };
    assert_eq!(opened(&value, &mut keys, context).as_deref(), Some(text));
    let other = [context, &[*flip]].concat();
    assert!(opened(&value, &mut keys, &other).is_none());
    let place = usize::from(*at) % value.len();
    value[place] ^= flip | 1;
    assert!(opened(&value, &mut keys, context).is_none());
    value[place] ^= flip | 1;
    value.truncate(place);
    assert!(opened(&value, &mut keys, context).is_none());
});
