//! A million keys: what opening, memory, a write and an import cost. Ignored unless asked for; figures worth keeping
//! come from `cargo test --release --test million -- --ignored --nocapture` on a machine that does nothing else.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use common::Place;
use keyring_ward::admin::import::{Source, import};
use keyring_ward::caller::Caller;
use keyring_ward::key::id::KeyId;
use keyring_ward::key::record::KeyRecord;
use keyring_ward::keyring::Keyring;
use std::io::Write;
use std::time::{Duration, Instant};

const KEYS: usize = 1_000_000;

fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(what)).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn timed<T>(what: &str, f: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = f();
    let took = begin.elapsed();
    println!("{what}: {took:?}");
    (result, took)
}

/// The median of `n` generated keys, in microseconds.
fn write_cost(keyring: &Keyring, n: usize) -> f64 {
    let mut took: Vec<f64> = (0..n)
        .map(|i| {
            let name = format!("write-{}-{i}", keyring.len());
            let begin = Instant::now();
            keyring
                .by(&Caller::Unknown)
                .generate(name.as_bytes(), b"", b"AES", 32)
                .unwrap();
            begin.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    took[n / 2]
}

#[test]
#[ignore = "takes a minute; see the head"]
fn a_million_keys() {
    let place = Place::new();
    {
        let keyring = place.open().unwrap();
        println!("a write at 0 keys: {:.0} us", write_cost(&keyring, 101));
        let records: Vec<_> = (0..KEYS)
            .map(|i| {
                let id = KeyId::new(format!("key-{i:08}").as_bytes(), b"").unwrap();
                let material = keyring.pool().random(32).unwrap();
                KeyRecord::new(id, b"AES", material, 1_800_000_000, 1).unwrap()
            })
            .collect();
        timed("store all at once", || {
            keyring.by(&Caller::Unknown).restore_all(records).unwrap()
        });
        println!(
            "a write at 1,000,000 keys: {:.0} us",
            write_cost(&keyring, 101)
        );
        timed("drop", || drop(keyring));
    }
    println!(
        "bytes: {}",
        std::fs::metadata(place.keyring_file()).unwrap().len()
    );
    let (keyring, _) = timed("open", || place.open().unwrap());
    println!("resident: {} MB", memory("VmRSS") >> 20);
    timed("fetch of each", || {
        for i in 0..KEYS {
            let name = format!("key-{i:08}");
            assert!(keyring.fetch(name.as_bytes(), b"").unwrap().is_some());
        }
    });
    timed("reload", || {
        keyring.reload(&place.config(), &place.server()).unwrap()
    });
    timed("drop", || drop(keyring));
    let config = place.config();
    timed("inspect", || {
        keyring_ward::admin::inspect::inspect(&config).unwrap()
    });
}

#[test]
#[ignore = "takes a minute; see the head"]
fn import_a_million_keys() {
    let place = Place::new();
    let source = place.dir.path().join("stock");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&source).unwrap());
    write!(file, "{{\"version\":\"1.0\",\"elements\":[").unwrap();
    for i in 0..KEYS {
        let comma = if i == 0 { "" } else { "," };
        write!(
            file,
            "{comma}{{\"user\":\"\",\"data_id\":\"key-{i:08}\",\"data_type\":\"AES\",\"data\":\"{:064X}\",\"extension\":[]}}",
            i as u128 * 0x9E37_79B9_7F4A_7C15
        )
        .unwrap();
    }
    write!(file, "]}}").unwrap();
    file.into_inner().unwrap();
    let (plan, _) = timed("import", || {
        import(
            &place.config(),
            &Source::File(&source),
            false,
            &mut |_, _| {},
        )
        .unwrap()
    });
    assert_eq!(plan.new.len(), KEYS);
    println!("peak: {} MB", memory("VmHWM") >> 20);
}
