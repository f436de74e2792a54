//! What a KMIP server may answer: any bytes, and messages whose head is right.
//!
//! Oracle: no panic, no more items than the bound; what is read is written again as the same items; a data key is 32 bytes
//! of the answer; what is read of a stanza is what was in it.
#![no_main]

use keyring_ward::kek::kmip::message::{Asking, Mode, Sealed, Version};
use keyring_ward::kek::kmip::ttlv::{HEAD, Item, MAX_ITEMS, Type, Writer, length_behind, read};
use libfuzzer_sys::fuzz_target;

fn copy(w: &mut Writer, item: &Item<'_>) -> usize {
    if item.kind != Type::Structure {
        w.item(item.tag, item.kind, item.value());
        return 1;
    }
    let mut count = 1;
    w.structure(item.tag, |w| count += item.items().map(|item| copy(w, &item)).sum::<usize>());
    count
}

fn same(a: &Item<'_>, b: &Item<'_>) -> bool {
    let head = (a.tag, a.kind) == (b.tag, b.kind);
    head && match a.kind {
        Type::Structure => a.items().count() == b.items().count() && a.items().zip(b.items()).all(|(a, b)| same(&a, &b)),
        _ => a.value() == b.value(),
    }
}

fn ask(answer: &[u8]) {
    for (mode, version) in [(Mode::Gcm, Version(1, 4)), (Mode::Cbc, Version(1, 2))] {
        let asking = Asking { version, key: "k", mode, additional: b"a" };
        if let Ok(sealed) = asking.encrypted(answer, &vec![1; mode.iv()]) {
            assert_eq!(Sealed::from_bytes(&sealed.to_bytes(), mode), Some(sealed));
        }
        if let Ok(key) = asking.decrypted(answer) {
            assert_eq!(key.len(), 32);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if kind & 1 == 1 && bytes.len() >= HEAD {
        // The head that this many bytes have.
        bytes.truncate(bytes.len() / 8 * 8);
        let length = (bytes.len() - HEAD) as u32;
        bytes[..4].copy_from_slice(&[0x42, 0, 0x7B, 1]);
        bytes[4..HEAD].copy_from_slice(&length.to_be_bytes());
        assert_eq!(length_behind(&bytes, 0x42_007B), Some(length as usize));
    }
    if let Ok(item) = read(&bytes) {
        let mut w = Writer::new();
        assert!(copy(&mut w, &item) <= MAX_ITEMS);
        let again = w.finish();
        assert!(same(&item, &read(&again).unwrap()));
    }
    ask(&bytes);
    for mode in [Mode::Gcm, Mode::Cbc] {
        if let Some(sealed) = Sealed::from_bytes(&bytes, mode) {
            assert_eq!(sealed.to_bytes(), bytes);
        }
    }
});
