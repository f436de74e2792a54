//! What was written opens again: bounds on writing lie below those on reading, in all, for each account, and for
//! the file with its removed keys. A removal and the server's own keys always fit.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, content};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, Limits};
use keyring_ward::error::{Kind, Result};
use keyring_ward::format::frame::{FRAME_OVERHEAD, padded};
use keyring_ward::key::id::KeyId;
use keyring_ward::key::record::KeyRecord;
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::SecretPool;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn open(place: &Place, limits: Limits) -> Result<Keyring> {
    let config = Config {
        limits,
        ..place.config()
    };
    Keyring::open(&config, &place.server(), &SecretPool::new())
}

/// S2: one account stores until the file is longer than what reading takes. It is refused at its bound; others go on.
#[test]
fn one_account_fills_its_share_and_no_more() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    let mut stored = 0u32;
    let refused = loop {
        let name = format!("k{stored:05}");
        match keyring.by(&Caller::Unknown).store_key(
            name.as_bytes(),
            b"mallory@%",
            b"SECRET",
            &[7; 16_384],
        ) {
            Ok(()) => stored += 1,
            Err(e) => break e,
        }
        assert!(stored < 1100, "16 MiB hold less than 1024 of these");
    };
    assert_eq!(refused.kind(), Kind::InvalidInput);
    let text = refused.to_string();
    for part in [
        "'mallory@%'",
        "max_owner_size",
        "16777216",
        "RELOAD KEYRING",
    ] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(stored > 900);
    // A small key no more than a large one, once the share is used up; others and the server go on.
    keyring
        .by(&Caller::Unknown)
        .store_key(b"k", b"alice@%", b"SECRET", &[1; 16_384])
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"INNODBKey-1", b"", b"AES", 32)
        .unwrap();
    // What was removed makes room again.
    keyring
        .by(&Caller::Unknown)
        .remove(b"k00000", b"mallory@%")
        .unwrap();
    keyring
        .by(&Caller::Unknown)
        .store_key(b"again", b"mallory@%", b"SECRET", &[7; 16_384])
        .unwrap();
    let before = content(&keyring);
    drop(keyring);
    assert_eq!(content(&place.open().unwrap()), before);
}

#[test]
fn a_lowered_bound_stops_neither_start_nor_server_nor_removals() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    for i in 0..20u8 {
        keyring
            .by(&Caller::Unknown)
            .store_key(&[b'k', b'a' + i], b"u@h", b"AES", &[i; 10_000])
            .unwrap();
    }
    drop(keyring);
    let lowered = Limits {
        total: 64 << 10,
        per_owner: 64 << 10,
        ..Limits::default()
    };
    let keyring = open(&place, lowered).unwrap();
    assert_eq!(keyring.len(), 20);
    let account = keyring
        .by(&Caller::Unknown)
        .generate(b"new", b"u@h", b"AES", 32)
        .unwrap_err();
    assert!(account.to_string().contains("max_owner_size"), "{account}");
    let other = keyring
        .by(&Caller::Unknown)
        .generate(b"new", b"v@h", b"AES", 32)
        .unwrap_err();
    assert_eq!(other.kind(), Kind::ReadOnly);
    assert!(other.to_string().contains("max_size"), "{other}");
    keyring
        .by(&Caller::Unknown)
        .generate(b"INNODBKey-2", b"", b"AES", 32)
        .unwrap();
    for i in 0..18u8 {
        keyring
            .by(&Caller::Unknown)
            .remove(&[b'k', b'a' + i], b"u@h")
            .unwrap();
    }
    keyring
        .by(&Caller::Unknown)
        .generate(b"new", b"u@h", b"AES", 32)
        .unwrap();
    assert_eq!(
        open(&place, lowered).map(|k| k.len()).unwrap_err().kind(),
        Kind::Locked
    );
    drop(keyring);
    assert_eq!(open(&place, lowered).unwrap().len(), 4);
}

/// A file that is longer than a server reads is refused by the server before it is read, and read by the tool.
#[test]
fn a_file_that_is_too_long_is_for_the_tool() {
    let place = Place::new();
    let keyring = place.open().unwrap();
    keyring
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    drop(keyring);
    let length = place.read().len() as u64;
    let limits = |file| Limits {
        file,
        ..Limits::default()
    };
    let e = open(&place, limits(length - 1)).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered);
    assert!(e.to_string().contains("a server reads at most"), "{e}");
    assert_eq!(open(&place, limits(length)).unwrap().len(), 1);
    let config = Config {
        limits: limits(length - 1),
        ..place.config()
    };
    assert_eq!(
        keyring_ward::admin::inspect::inspect(&config).unwrap().keys,
        1
    );
}

/// Sparse or not, what follows a valid header in a huge file is not read whole, and is Tampered.
#[test]
fn a_gibibyte_of_zeroes_is_damage_and_costs_nothing() {
    let place = Place::new();
    place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(place.keyring_file())
        .unwrap();
    file.set_len(1 << 30).unwrap();
    let before = peak();
    let e = place.open().map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered, "{e}");
    assert!(peak() - before < 64 << 20, "{} bytes more", peak() - before);
    // No header at all: the first bytes decide.
    std::fs::write(place.keyring_file(), b"").unwrap();
    file.set_len(1 << 40)
        .unwrap_or_else(|_| file.set_len(1 << 33).unwrap());
    assert_eq!(place.open().map(drop).unwrap_err().kind(), Kind::Tampered);
}

/// The most memory that this process had so far, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// A rewrite fails as long as a folder has the temporary file's name.
fn obstruct(place: &Place, on: bool) {
    let temporary = place.keyring_file().with_extension("ward.new");
    match on {
        true => std::fs::create_dir(temporary).unwrap_or(()),
        false => std::fs::remove_dir(temporary).unwrap_or(()),
    }
}

#[derive(Clone, Debug)]
enum Op {
    Store {
        key: u8,
        owner: u8,
        length: u16,
    },
    Remove {
        key: u8,
        owner: u8,
    },
    Many {
        from: u8,
        n: u8,
        owner: u8,
        length: u16,
    },
    Obstruct(bool),
    Reopen,
    Limit {
        total: u64,
        per_owner: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let length = prop_oneof![0..64u16, 0..3000u16];
    prop_oneof![
        8 => (0..40u8, 0..4u8, length.clone()).prop_map(|(key, owner, length)| Op::Store { key, owner, length }),
        5 => (0..40u8, 0..4u8).prop_map(|(key, owner)| Op::Remove { key, owner }),
        1 => (40..80u8, 1..30u8, 0..4u8, length).prop_map(|(from, n, owner, length)| Op::Many { from, n, owner, length }),
        1 => any::<bool>().prop_map(Op::Obstruct),
        1 => Just(Op::Reopen),
        1 => (1000..20_000u64, 500..20_000u64).prop_map(|(total, per_owner)| Op::Limit { total, per_owner }),
    ]
}

/// Accounts; the first one is the server itself.
const OWNERS: [&[u8]; 4] = [b"", b"a@h", b"b@h", b"c@h"];

type Model = BTreeMap<(u8, u8), u16>;

fn bytes_of(model: &Model, whose: impl Fn(u8) -> bool) -> u64 {
    let of = model.iter().filter(|((owner, _), _)| whose(*owner));
    of.map(|((owner, _), length)| cost(*owner, *length)).sum()
}

/// What a key counts: its record in the file, with a name of one byte and the type AES.
fn cost(owner: u8, length: u16) -> u64 {
    let fields = 1 + 8 + 8 + 2 + 1 + 2 + OWNERS[usize::from(owner)].len() + 2 + 3 + 2 + 2;
    padded(FRAME_OVERHEAD + fields + usize::from(length)) as u64
}

/// What the limits say of so many bytes more of an owner.
fn allowed(model: &Model, limits: &Limits, owner: u8, bytes: u64) -> bool {
    let all = bytes_of(model, |_| true) + bytes;
    match owner {
        0 => {
            all <= limits.total + limits.reserve
                || bytes_of(model, |o| o == 0) + bytes <= limits.reserve
        }
        _ => all <= limits.total && bytes_of(model, |o| o == owner) + bytes <= limits.per_owner,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_acknowledged_opens_again(
        total in 1000..20_000u64,
        per_owner in 500..20_000u64,
        reserve in 0..3_000u64,
        tight in any::<bool>(),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let place = Place::new();
        // As in a real set-up: everything that may be live fits twice, and the reserves. Not tight: with room to spare.
        let most = 20_000 + 2 * 3_000;
        let file = 2 * most + 2 * reserve + 4000 + if tight { 0 } else { 100_000 };
        let mut limits = Limits { total, per_owner, reserve, file, retain_removed: 30 };
        let mut keyring = open(&place, limits).unwrap();
        let mut model = Model::new();
        let (mut obstructed, mut ever) = (false, false);
        for op in ops {
            match op {
                Op::Store { key, owner, length } => {
                    let there = model.contains_key(&(owner, key));
                    let fits = allowed(&model, &limits, owner, cost(owner, length));
                    match keyring.by(&Caller::Unknown).store_key(&[key + 1], OWNERS[usize::from(owner)], b"AES", &vec![key; length.into()]) {
                        Ok(()) => {
                            prop_assert!(!there && fits);
                            model.insert((owner, key), length);
                        }
                        Err(e) if e.kind() == Kind::AlreadyExists => prop_assert!(there),
                        Err(e) => prop_assert!(!fits || (ever && e.to_string().contains("compacted")), "{e}"),
                    }
                }
                Op::Remove { key, owner } => {
                    let there = model.remove(&(owner, key)).is_some();
                    match keyring.by(&Caller::Unknown).remove(&[key + 1], OWNERS[usize::from(owner)]) {
                        Ok(()) => prop_assert!(there),
                        Err(e) => prop_assert!(!there && e.kind() == Kind::NotFound, "a removal always fits: {e}"),
                    }
                }
                Op::Many { from, n, owner, length } => {
                    let keys: Vec<u8> = (from..from + n).filter(|k| !model.contains_key(&(owner, *k))).collect();
                    let fits = allowed(&model, &limits, owner, cost(owner, length) * keys.len() as u64);
                    let before = keyring.len();
                    match keyring.by(&Caller::Unknown).restore_all(keys.iter().map(|k| record(&keyring, *k, owner, length)).collect()) {
                        Ok(()) => {
                            prop_assert!(fits || keys.is_empty());
                            model.extend(keys.iter().map(|k| ((owner, *k), length)));
                        }
                        Err(e) => {
                            prop_assert!(!fits || ever, "{e}");
                            // Few keys go one by one: as many as fitted are there.
                            let stored = keyring.len() - before;
                            model.extend(keys[..stored].iter().map(|k| ((owner, *k), length)));
                        }
                    }
                }
                Op::Obstruct(on) => {
                    obstruct(&place, on);
                    (obstructed, ever) = (on, ever || on);
                }
                Op::Reopen => {
                    drop(keyring);
                    keyring = open(&place, limits).unwrap();
                }
                Op::Limit { total, per_owner } => {
                    limits = Limits { total, per_owner, ..limits };
                    drop(keyring);
                    keyring = open(&place, limits).unwrap();
                }
            }
            let length = std::fs::metadata(place.keyring_file()).map_or(0, |m| m.len());
            prop_assert!(length <= limits.file, "{length} > {}", limits.file);
        }
        let before = content(&keyring);
        prop_assert_eq!(before.len(), model.len());
        drop(keyring);
        let keyring = open(&place, limits).unwrap();
        prop_assert_eq!(content(&keyring), before);
        if obstructed {
            obstruct(&place, false);
        }
        // A rewrite that succeeds ends every refusal for want of room.
        keyring.by(&Caller::Unknown).compact().unwrap();
        let one = cost(1, 10);
        if allowed(&model, &limits, 1, one) {
            keyring.by(&Caller::Unknown).store_key(&[200], OWNERS[1], b"AES", &[1; 10]).unwrap();
            keyring.by(&Caller::Unknown).remove(&[200], OWNERS[1]).unwrap();
        }
        for (owner, key) in model.into_keys() {
            keyring.by(&Caller::Unknown).remove(&[key + 1], OWNERS[usize::from(owner)]).unwrap();
        }
        prop_assert!(keyring.is_empty());
    }
}

fn record(keyring: &Keyring, key: u8, owner: u8, length: u16) -> KeyRecord {
    let id = KeyId::new(&[key + 1], OWNERS[usize::from(owner)]).unwrap();
    let material = keyring.pool().copy(&vec![key; length.into()]).unwrap();
    KeyRecord::new(id, b"AES", material, 1, 1).unwrap()
}
