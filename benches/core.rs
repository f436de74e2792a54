//! The core without a server: `cargo bench`. Ratios against the stock component are scripts/bench.sh's.
//!
//! `floor` is the disk's share of `generate`: the same append and fdatasync with nothing around them.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/support/many_keys/keys.rs"]
mod many_keys;

use common::Place;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use keyring_ward::caller::Caller;
use keyring_ward::envelope::{FileKeys, Position};
use keyring_ward::secret::SecretPool;
use std::hint::black_box;
use std::io::Write;

fn fill(place: &Place, keys: usize) -> keyring_ward::keyring::Keyring {
    let keyring = place.open().unwrap();
    for i in 0..keys {
        let name = format!("key{i}");
        keyring
            .by(&Caller::Unknown)
            .generate(name.as_bytes(), b"u@h", b"AES", 32)
            .unwrap();
    }
    keyring
}

/// A policy of 100 rules that is asked about a fetch which none of them is about: most are about other owners or accounts.
fn policy(c: &mut Criterion) {
    use keyring_ward::caller::{Address, Login, Session};
    use keyring_ward::policy::operation::Operation;
    use keyring_ward::policy::request::NO_ENVIRONMENT;
    use keyring_ward::policy::{Policy, of_service};
    let rule = |i: usize| match i {
        0..60 => format!(r#""effect": "allow", "keys": [{{ "owner": "u{i}@%", "name": "k*" }}]"#),
        60..80 => format!(
            r#""effect": "deny", "accounts": ["v{i}@localhost"], "networks": ["10.{i}.0.0/16"]"#
        ),
        _ => format!(
            r#""effect": "deny", "keys": [{{ "name": "secret-{i}-*" }}], "logins": ["*@10.*"]"#
        ),
    };
    let rules: Vec<String> = (0..100)
        .map(|i| {
            format!(
                r#"{{ "name": "r{i}", "operations": ["fetch"], {} }}"#,
                rule(i)
            )
        })
        .collect();
    let text = format!(
        r#"{{ "version": 1, "default": "owner", "rules": [{}] }}"#,
        rules.join(",")
    );
    let policy = Policy::parse(text.as_bytes(), "bench").unwrap();
    let session = Session {
        login: Some(Login {
            user: b"app",
            host: b"localhost",
        }),
        account: Some(b"app@localhost"),
        address: Address::Socket,
        connection: Some(7),
        of_server: Some(false),
    };
    c.bench_function("a policy of 100 rules about a fetch", |b| {
        b.iter(|| {
            let key = black_box((&b"app@localhost"[..], &b"hot"[..]));
            let request = of_service(Operation::Fetch, key, &session, NO_ENVIRONMENT);
            assert!(policy.decide(&request).is_allowed());
        });
    });
}

fn memory(c: &mut Criterion) {
    let place = Place::new();
    let keyring = fill(&place, 2000);
    c.bench_function("fetch of 2,000 keys", |b| {
        b.iter(|| {
            keyring
                .fetch(black_box(b"key1234"), black_box(b"u@h"))
                .unwrap()
        });
    });
    c.bench_function("fetch of an absent key", |b| {
        b.iter(|| {
            keyring
                .fetch(black_box(b"absent"), black_box(b"u@h"))
                .unwrap()
        });
    });
    drop(keyring);
    c.bench_function("open 2,000 keys with a key file", |b| {
        b.iter(|| place.open().unwrap());
    });
    let pool = SecretPool::new();
    let keys = FileKeys::derive(&pool, &[7; 32], &[8; 32]).unwrap();
    let at = Position {
        file_id: [1; 16],
        generation: 2,
        sequence: 3,
        previous: [4; 32],
    };
    c.bench_function("seal a record of 80 bytes", |b| {
        b.iter_batched(
            || [9u8; 80],
            |mut text| keys.cipher().seal(&at, &mut text).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

/// Logical keys against plain ones: a start, and a fetch by the name of a key, of a version, and by one that follows.
fn logical(c: &mut Criterion) {
    const N: usize = 100_000;
    let mut group = c.benchmark_group("of 100,000 keys");
    group.sample_size(20);
    for logical in [false, true] {
        let what = if logical { "logical" } else { "plain" };
        let place = Place::new();
        let keyring = place.open().unwrap();
        many_keys::fill(&keyring, N, logical);
        drop(keyring);
        group.bench_function(format!("start, {what}"), |b| {
            // What a server does not do at its start is not counted: to close a keyring.
            b.iter_batched(|| (), |()| place.open().unwrap(), BatchSize::PerIteration);
        });
        let keyring = place.open().unwrap();
        let names: &[&str] = match logical {
            true => &["key-00012345", "key-00012345@1"],
            false => &["key-00012345"],
        };
        for name in names {
            group.bench_function(format!("fetch {name}, {what}"), |b| {
                b.iter(|| {
                    keyring
                        .fetch(black_box(name.as_bytes()), black_box(b"u1@h"))
                        .unwrap()
                        .unwrap()
                });
            });
        }
    }
    group.finish();
}

fn disk(c: &mut Criterion) {
    let place = Place::new();
    let keyring = fill(&place, 1000);
    let mut n = 0u64;
    c.bench_function("generate and remove", |b| {
        b.iter(|| {
            n += 1;
            let name = format!("g{n}");
            keyring
                .by(&Caller::Unknown)
                .generate(name.as_bytes(), b"", b"AES", 32)
                .unwrap();
            keyring
                .by(&Caller::Unknown)
                .remove(name.as_bytes(), b"")
                .unwrap();
        });
    });
    let mut file = std::fs::File::create(place.dir.path().join("floor")).unwrap();
    c.bench_function("floor: two appends, two fdatasyncs", |b| {
        b.iter(|| {
            for _ in 0..2 {
                file.write_all(&[7; 130]).unwrap();
                file.sync_data().unwrap();
            }
        });
    });
}

criterion_group!(core, policy, memory, logical, disk);
criterion_main!(core);
