//! Messages between keyrings, and what is in a parcel of somebody who has the transport key: any bytes.
//!
//! Oracle: no panic; what is read is as long as its bounds say; nothing opens that was not sealed; a body that opens is a version
//! of an account's key, and is written again as one that opens to the same.
#![no_main]

use keyring_ward::envelope::TransportKeys;
use keyring_ward::secret::SecretPool;
use keyring_ward::transport::{self, MAGIC, MAX_MESSAGE, Message, ServerId, from_text, parcel, read, request::Public};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static POOL: LazyLock<SecretPool> = LazyLock::new(SecretPool::new);
static KEYS: LazyLock<TransportKeys> = LazyLock::new(|| TransportKeys::derive(&POOL, &[1; 32]).expect("32 bytes"));

/// Nobody can have sealed it.
fn forged(bytes: &[u8]) {
    match read(bytes) {
        Ok(Message::HandOver(message)) => assert!(message.open(&POOL, &[5; 32]).is_err()),
        Ok(Message::Parcel(parcel)) => assert!(parcel.open(&POOL, &KEYS).is_err()),
        Ok(Message::Receipt(receipt)) => {
            assert_eq!(receipt.write(), bytes);
            assert!(receipt.check(&KEYS).is_err());
        }
        Err(_) => {}
    }
}

/// Sealed by somebody who has the transport key.
fn sealed(body: &[u8]) {
    let mut out = [&MAGIC[..], &[1, 2], &KEYS.id(), &[1, b'r'], &[0; 16]].concat();
    let mut text = body.to_vec();
    let envelope = KEYS.seal(&POOL, &out, &mut text).expect("random bytes");
    out.extend_from_slice(&envelope.salt);
    out.extend_from_slice(&envelope.commitment);
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(&text);
    out.extend_from_slice(&envelope.tag);
    let Ok(Message::Parcel(parcel)) = read(&out) else {
        assert!(out.len() > MAX_MESSAGE - 63);
        return;
    };
    let Ok(content) = parcel.open(&POOL, &KEYS) else { return };
    assert!(content.id.owner().contains(&b'@'));
    let again = parcel::write(&POOL, ("r", &KEYS), ServerId::default(), &content).expect("what was read can be written");
    let Ok(Message::Parcel(again)) = read(&again) else { panic!("it is a parcel") };
    let again = again.open(&POOL, &KEYS).expect("it opens");
    assert!(again.id == content.id && again.version == content.version && again.restrictions == content.restrictions);
    assert!(again.material[..] == content.material[..]);
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    match kind % 4 {
        0 => forged(&[&MAGIC[..], bytes].concat()),
        1 => sealed(bytes),
        _ => {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            if let Ok(public) = Public::parse(text) {
                assert_eq!(public.to_string(), text);
            }
            let _ = transport::read_fingerprint(text);
            if let Ok(bytes) = from_text(text) {
                forged(&bytes);
            }
        }
    }
});
