//! The writer and the judge of `scripts/torture.sh`: a keyring without a server around it, so that
//! every system call and every moment of a power cut can be chosen.
//!
//! Owns the acknowledgement file: before a change a line `begin`, after it `ok` or `err`, one
//! write(2) each, on a disk that is not cut. It must never write `ok` before the keyring said so.
//!
//! ```text
//! torture prepare  DIR STABLE N          a keyring with N keys in DIR, KEKs and acknowledgements in STABLE
//! torture stream   DIR STABLE COUNT      generates, stores and removes
//! torture cut      DIR STABLE N MODE     the same; cuts DIR's file system right after the Nth "ok"
//! torture compact  DIR STABLE COUNT      rewrites, a change between two
//! torture rekey    DIR STABLE COUNT      changes of the KEK, a change between two
//! torture scenario DIR STABLE NAME       every kind of write once, going on after a failure
//! torture publish  DIR STABLE            opens and acknowledges what it serves
//! torture check    DIR STABLE            opens; what was acknowledged must be there
//! torture tears    DIR STABLE STEP       zeroed sectors at every STEPth place of the last 64 KiB, under several markers
//! torture live     DIR STABLE COUNT      versions, holds, plans, destructions, retired keys: every change of the life of keys
//! torture livecut  DIR STABLE N MODE     the same; cuts DIR's file system right after the Nth
//! torture livecheck DIR STABLE           opens; every version must be there, in one of two states
//! torture view     FILE STABLE           opens a copy; prints names and hashes of its keys
//! torture secrets  FILE PASSPHRASE NAME… the secrets of a keyring under a passphrase: "label hex" lines
//! torture opened   CONFIG NAME…       the DEK of a keyring that its configuration opens, what is derived from it, and keys: the same lines
//! torture hunt     PID SECRETS           where a process has them: "label guarded elsewhere" lines
//! torture append   FILE STABLE N         appends 150 bytes, fdatasyncs, acknowledges, N times
//! torture floor    FILE N                appends 150 bytes and fdatasyncs N times; microseconds of each
//! torture shutdown DIR MODE              ends DIR's file system: 1 with, 2 without its log flushed
//! ```
#![allow(unsafe_code, clippy::unwrap_used, clippy::print_stdout)]

use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, KekConfig, Limits, Patience};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::file::LocalConfig;
use keyring_ward::kek::settings::Settings;
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use keyring_ward::secret_source::SecretRef;
use keyring_ward::store::marker::{self, Slot};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, UNIX_EPOCH};

#[path = "torture_life.rs"]
mod life;

/// `_IOR('X', 125, __u32)`: EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN and others are one number.
const SHUTDOWN: libc::Ioctl = 0x8004_587D_u32 as libc::Ioctl;

struct Place {
    dir: PathBuf,
    stable: PathBuf,
}

impl Place {
    fn kek(&self, number: u8) -> KekConfig {
        let file = self.stable.join(format!("kek{number}"));
        LocalConfig::KeyFile(SecretRef::File(file)).into()
    }

    fn config(&self, kek: u8) -> Config {
        Config {
            path: self.dir.join("keys/keyring.ward"),
            read_only: false,
            fingerprint: Vec::new(),
            keks: self.kek(kek).into(),
            patience: Patience::default(),
            limits: Limits::default(),
            lease: None,
            policy_file: None,
            audit: None,
            origin: "torture".into(),
        }
    }

    fn environment(&self) -> Environment {
        Environment {
            data_dir: Some(self.dir.join("data")),
            look_only: false,
            starting: false,
            making: false,
            snapshot_if_locked: false,
            audit: None,
        }
    }

    fn open(&self, kek: u8) -> Result<Keyring> {
        Keyring::open(&self.config(kek), &self.environment(), &SecretPool::new())
    }

    fn acknowledgements(&self) -> Acks {
        let path = self.stable.join("acks");
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        Acks { file, ok: 0 }
    }
}

struct Acks {
    file: File,
    ok: u64,
}

impl Acks {
    fn line(&mut self, line: &str) {
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// Ends the file system of a folder as a power cut does: nothing reaches the disk any more.
fn shutdown(dir: &Path, mode: u32) {
    let folder = File::open(dir).unwrap();
    // SAFETY: the request takes a pointer to a u32.
    let rc = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const mode) };
    assert_eq!(rc, 0, "shutdown: {}", std::io::Error::last_os_error());
}

/// Applies one change and writes down what became of it.
struct Writer<'a> {
    place: &'a Place,
    acks: Acks,
    keyring: Keyring,
    kek: u8,
    next: u64,
    /// Makes names unlike those of earlier runs: nanoseconds since 1970.
    start: u128,
}

impl Writer<'_> {
    fn done(&mut self, what: &str, name: &str, result: Result<()>) -> Result<()> {
        match &result {
            Ok(()) => {
                let key = self.keyring.fetch(name.as_bytes(), b"o").unwrap();
                let hash = key.map(|k| hash(k.material())).unwrap_or_default();
                self.acks.line(&format!("ok {what} {name} {hash}"));
                self.acks.ok += 1;
            }
            Err(e) => self
                .acks
                .line(&format!("err {what} {name} {}", e.kind().number())),
        }
        result
    }

    fn name(&mut self) -> String {
        self.next += 1;
        format!("{:x}-{}", self.start, self.next)
    }

    fn generate(&mut self) -> Result<()> {
        let name = self.name();
        self.acks.line(&format!("begin put {name}"));
        let result = self
            .keyring
            .by(&Caller::Unknown)
            .generate(name.as_bytes(), b"o", b"AES", 32);
        self.done("put", &name, result)
    }

    fn store(&mut self) -> Result<()> {
        let name = self.name();
        let length = [1, 16, 700, 5000][self.next as usize % 4];
        let material = vec![self.next as u8; length];
        self.acks.line(&format!("begin put {name}"));
        let result = self.keyring.by(&Caller::Unknown).store_key(
            name.as_bytes(),
            b"o",
            b"SECRET",
            &material,
        );
        self.done("put", &name, result)
    }

    fn remove(&mut self) -> Result<()> {
        let mut names: Vec<_> = self
            .keyring
            .list()
            .iter()
            .map(|k| k.id.name().to_vec())
            .collect();
        names.sort();
        let Some(name) = names.get(self.next as usize % names.len().max(1)) else {
            return Ok(());
        };
        let name = String::from_utf8(name.clone()).unwrap();
        self.acks.line(&format!("begin remove {name}"));
        let result = self
            .keyring
            .by(&Caller::Unknown)
            .remove(name.as_bytes(), b"o");
        self.done("remove", &name, result)
    }

    fn compact(&mut self) -> Result<()> {
        self.keyring.by(&Caller::Unknown).compact()
    }

    fn rekey(&mut self) -> Result<()> {
        let kek = 3 - self.kek;
        self.acks.line(&format!("begin kek {kek}"));
        let result = self
            .keyring
            .by(&Caller::Unknown)
            .rekey(&self.place.kek(kek).into(), false);
        if result.is_ok() {
            self.kek = kek;
        }
        self.done("kek", &kek.to_string(), result)
    }

    fn change(&mut self, number: u64) -> Result<()> {
        match number % 5 {
            0 | 2 => self.generate(),
            1 => self.store(),
            3 => self.remove(),
            _ => self.generate(),
        }
    }

    fn reload(&mut self) -> Result<()> {
        // After a change of the KEK whose end is unknown, the configuration may name either.
        let (config, environment) = (self.place.config(self.kek), self.place.environment());
        self.keyring = self.keyring.reload(&config, &environment)?;
        Ok(())
    }

    /// One step of a scenario. A single fault may fail it; then everything acknowledged is still
    /// served, a store that refuses writes refuses them, and RELOAD makes all well.
    fn step(&mut self, what: &str, f: fn(&mut Self) -> Result<()>) {
        let before = served(&self.keyring);
        let Err(e) = f(self) else { return };
        println!("{what}: {e}");
        let after = served(&self.keyring);
        assert_eq!(before, after, "a failed {what} changed what is served");
        let refusing = self.keyring.status().store.refusing;
        let begun = self.keyring.status().store.exists;
        let expected = refusing.is_none() && (self.keyring.config().path.exists() || !begun);
        let again = self.generate();
        assert_eq!(
            again.is_ok(),
            expected,
            "{what}: refusing {refusing:?}, but {again:?}"
        );
        if what == "rekey" {
            // Which KEK the file is under is known only to the file.
            self.kek = 3 - self.kek;
            if self.reload().is_ok() {
                return self.generate().expect("a write after the reload");
            }
            self.kek = 3 - self.kek;
        }
        self.reload().expect("a reload after one fault");
        self.generate().expect("a write after the reload");
    }
}

fn served(keyring: &Keyring) -> BTreeMap<String, String> {
    let name = |k: &[u8]| String::from_utf8_lossy(k).into_owned();
    keyring
        .list()
        .iter()
        .map(|k| (name(k.id.name()), hash(k.material().unwrap())))
        .collect()
}

/// What the acknowledgement file promises.
#[derive(Default)]
struct Promise {
    /// Acknowledged: name and hash.
    keys: BTreeMap<String, String>,
    /// Begun and not acknowledged: may be there or not; a removal keeps the hash that it had.
    open: BTreeMap<String, Option<String>>,
    /// The KEK in force, and another one that may be.
    kek: u8,
    other_kek: bool,
}

fn promise(place: &Place) -> Promise {
    let mut p = Promise {
        kek: 1,
        ..Promise::default()
    };
    // What was acknowledged after a power cut had begun promises nothing: docs/proof/durability.md.
    let mut cut = false;
    for line in std::fs::read_to_string(place.stable.join("acks"))
        .unwrap()
        .lines()
    {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["cut"] => cut = true,
            ["ok", ..] if cut => {}
            ["begin", "kek", _] => p.other_kek = true,
            ["ok", "kek", n, ..] => (p.kek, p.other_kek) = (n.parse().unwrap(), false),
            ["err", "kek", ..] => {}
            ["begin", _, name] => {
                let had = p.keys.remove(name);
                p.open.insert(name.into(), had);
            }
            ["ok", "put", name, hash] => {
                p.open.remove(name);
                p.keys.insert(name.into(), hash.into());
            }
            ["ok", "remove", name, ..] => {
                p.open.remove(name);
            }
            ["err", ..] => {}
            _ => panic!("a line that is none: {line}"),
        }
    }
    p
}

/// Compares what a keyring serves with what was promised.
fn judge(p: &Promise, served: &BTreeMap<String, String>) -> Vec<String> {
    let mut bad = Vec::new();
    for (name, hash) in &p.keys {
        match served.get(name) {
            None => bad.push(format!("LOST {name}")),
            Some(h) if h != hash => bad.push(format!("WRONG {name}")),
            Some(_) => {}
        }
    }
    for (name, hash) in served {
        match (p.keys.get(name), p.open.get(name)) {
            (Some(_), _) | (None, Some(None)) => {}
            (None, Some(Some(had))) if had == hash => {}
            (None, Some(Some(_))) => bad.push(format!("WRONG {name}")),
            (None, None) => bad.push(format!("BACK {name}: removed or never begun")),
        }
    }
    bad
}

fn open_promised(place: &Place, p: &Promise) -> Result<(Keyring, u8)> {
    match place.open(p.kek) {
        Err(e) if p.other_kek && e.kind() == Kind::WrongKek => {
            place.open(3 - p.kek).map(|k| (k, 3 - p.kek))
        }
        result => result.map(|k| (k, p.kek)),
    }
}

/// Writes the acknowledgement file anew from what is served.
fn settle(place: &Place, served: &BTreeMap<String, String>, kek: u8) {
    let mut text = format!("ok kek {kek}\n");
    for (name, hash) in served {
        text.push_str(&format!("ok put {name} {hash}\n"));
    }
    std::fs::write(place.stable.join("acks"), text).unwrap();
}

fn check(place: &Place) -> ExitCode {
    let p = promise(place);
    let (keyring, kek) = match open_promised(place, &p) {
        Ok(opened) => opened,
        Err(e) => {
            println!("DESTROYED {e}");
            return ExitCode::from(2);
        }
    };
    let served = served(&keyring);
    let bad = judge(&p, &served);
    bad.iter().take(5).for_each(|line| println!("{line}"));
    for warning in keyring.take_warnings() {
        println!("warning: {warning}");
    }
    settle(place, &served, kek);
    if bad.is_empty()
        && keyring
            .by(&Caller::Unknown)
            .generate(b"after-the-check", b"o", b"AES", 16)
            .is_ok()
    {
        keyring
            .by(&Caller::Unknown)
            .remove(b"after-the-check", b"o")
            .unwrap();
        println!("ok keys={} open={}", served.len(), p.open.len());
        return ExitCode::SUCCESS;
    }
    println!("BAD {} of {}", bad.len(), p.keys.len());
    ExitCode::from(1)
}

/// Puts a marker in place: of this boot (`exact`), or of one before a power cut.
fn put_marker(place: &Place, slot: &Slot, exact: bool) {
    let mut slot = *slot;
    if !exact {
        slot.boot = [7; 16];
    }
    let mut bytes = vec![0; marker::SLOT_DISTANCE as usize];
    bytes[..marker::SLOT].copy_from_slice(&slot.bytes());
    bytes.extend_from_slice(&slot.bytes());
    std::fs::write(place.dir.join("data").join(marker::NAME), bytes).unwrap();
}

/// Zeroes runs of sectors near the file's end. With a current marker nothing may be cut, whatever its boot; with an
/// older one at most the last record; what is not cut is refused, and nothing is changed then.
fn tears(place: &Place, step: usize) -> ExitCode {
    let mut w = writer(place).unwrap();
    let mut slots = Vec::new();
    for n in 0..400 {
        w.change(n).unwrap();
        let known = marker::read(&place.dir.join("data")).unwrap().unwrap();
        slots.push(*known.newest().unwrap());
    }
    // The last record covers several sectors.
    w.keyring
        .by(&Caller::Unknown)
        .store_key(b"last", b"o", b"SECRET", &[0x11; 3000])
        .unwrap();
    let known = marker::read(&place.dir.join("data")).unwrap().unwrap();
    slots.push(*known.newest().unwrap());
    drop(w);
    let path = place.config(1).path;
    let good = std::fs::read(&path).unwrap();
    let last = slots[slots.len() - 1].at.sequence;
    let sectors = good.len().div_ceil(512);
    let (mut cases, mut torn, mut bad) = (0, 0, 0);
    let near_the_end = |first: usize| first + 12 > sectors;
    for first in sectors.saturating_sub(128)..sectors {
        if first % step != 0 && !near_the_end(first) {
            continue;
        }
        for run in [1, 2, 3, 8, 32, usize::MAX] {
            let to = first
                .saturating_add(run)
                .saturating_mul(512)
                .min(good.len());
            let mut bytes = good.clone();
            bytes[first * 512..to].fill(0);
            for (back, exact) in [
                (0, true),
                (0, false),
                (1, false),
                (2, false),
                (60, false),
                (399, false),
            ] {
                std::fs::write(&path, &bytes).unwrap();
                put_marker(place, &slots[slots.len() - 1 - back], exact);
                cases += 1;
                let what = format!("sector {first}+{run}, marker {back} records back");
                match place.open(1) {
                    Ok(keyring) => {
                        let kept = keyring.status().store.sequence;
                        torn += 1;
                        if back == 0 || kept + 1 < last {
                            bad += 1;
                            println!("CUT {what}: record {kept} of {last} is the last");
                        }
                    }
                    Err(e)
                        if e.kind() == Kind::Tampered && std::fs::read(&path).unwrap() == bytes => {
                    }
                    Err(e) => {
                        bad += 1;
                        println!("WRONG {what}: {e}");
                    }
                }
                for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
                    let aside = entry.unwrap().path();
                    if aside.to_string_lossy().contains(".torn-") {
                        std::fs::remove_file(aside).unwrap();
                    }
                }
            }
        }
    }
    println!(
        "cases={cases} torn={torn} refused={} bad={bad}",
        cases - torn
    );
    ExitCode::from(u8::from(bad > 0 || torn == 0))
}

fn writer(place: &Place) -> Result<Writer<'_>> {
    let p = if place.stable.join("acks").exists() {
        promise(place)
    } else {
        Promise {
            kek: 1,
            ..Promise::default()
        }
    };
    let opened = open_promised(place, &p);
    let (keyring, kek) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            println!("open: {e}");
            // A scenario's single fault is over now.
            open_promised(place, &p)?
        }
    };
    Ok(Writer {
        place,
        acks: place.acknowledgements(),
        keyring,
        kek,
        next: 0,
        start: UNIX_EPOCH.elapsed().unwrap().as_nanos(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Everything that must not leak: computed here anew from file and passphrase, as docs/reference/format.md says.
fn secrets(file: &str, passphrase: &str, names: &[&str]) -> Result<()> {
    use keyring_ward::kek;
    let pool = SecretPool::new();
    let bytes = std::fs::read(file).unwrap();
    let parsed = keyring_ward::format::header::parse_header(&bytes)?;
    let config = LocalConfig::Passphrase(SecretRef::File(passphrase.into()));
    let keks = [config.kek()];
    let header = &parsed.header;
    let opened = kek::open_dek(
        &pool,
        &keks,
        &header.file_id,
        &header.stanzas,
        Deadline::after(Patience::default().call),
    )?;
    tell_derived(&opened.dek, &header.salt);
    let text = std::fs::read_to_string(passphrase).unwrap();
    let text = text.trim_end();
    println!("passphrase {}", hex(text.as_bytes()));
    let stanza = &header.stanzas[0];
    let n = |i: usize| u32::from_le_bytes(stanza.params[i..i + 4].try_into().unwrap());
    let params = argon2::Params::new(n(0), n(4), n(8), Some(64)).unwrap();
    let mut wrap = [0; 64];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(text.as_bytes(), &stanza.params[12..], &mut wrap)
        .unwrap();
    assert_eq!(wrap[32..], stanza.commitment, "this is the wrapping key");
    println!("wrapping_key {}", hex(&wrap[..32]));
    let config = Config {
        path: file.into(),
        read_only: false,
        fingerprint: Vec::new(),
        keks: config.into(),
        patience: Patience::default(),
        limits: Limits::default(),
        lease: None,
        policy_file: None,
        audit: None,
        origin: "torture".into(),
    };
    tell_keys(&config, names)
}

/// A DEK, and what is derived from it.
fn tell_derived(dek: &[u8], salt: &[u8]) {
    println!("DEK {}", hex(dek));
    for label in ["record", "nonce", "header"] {
        let mut key = [0; 32];
        let info = format!("keyring-ward/1 {label}");
        hkdf::Hkdf::<Sha256>::new(Some(salt), dek)
            .expand(info.as_bytes(), &mut key)
            .unwrap();
        println!("{label}_key {}", hex(&key));
    }
}

/// The same of a keyring that its JSON configuration opens.
fn opened(file: &str, names: &[&str]) -> Result<()> {
    let pool = SecretPool::new();
    let text = std::fs::read(file).unwrap();
    let config = keyring_ward::config::json::parse(&text, file)?;
    let config = config.layer.finish()?;
    let bytes = std::fs::read(&config.path).unwrap();
    let header = keyring_ward::format::header::parse_header(&bytes)?.header;
    let end = Deadline::after(Patience::default().call);
    let (id, stanzas) = (&header.file_id, &header.stanzas);
    let opened = config
        .keks
        .keks(false)
        .open(&pool, id, stanzas, &|_| true, end)?;
    tell_derived(&opened.dek, &header.salt);
    tell_keys(&config, names)
}

fn tell_keys(config: &Config, names: &[&str]) -> Result<()> {
    let environment = Environment {
        data_dir: None,
        look_only: true,
        starting: false,
        making: false,
        snapshot_if_locked: false,
        audit: None,
    };
    for key in Keyring::open(config, &environment, &SecretPool::new())?.list() {
        let name = String::from_utf8_lossy(key.id.name()).into_owned();
        if names.contains(&name.as_str()) {
            println!("{name} {}", hex(key.material().unwrap()));
        }
    }
    Ok(())
}

/// Looks through a process's memory for secrets, raw and as hexadecimal text. "guarded": in mappings
/// that no core dump holds.
fn hunt(pid: &str, secrets: &str) {
    use std::os::unix::fs::FileExt;
    let unhex = |h: &str| -> Vec<u8> {
        (0..h.len() / 2)
            .map(|i| u8::from_str_radix(&h[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    };
    let wanted: Vec<(String, [Vec<u8>; 3])> = std::fs::read_to_string(secrets)
        .unwrap()
        .lines()
        .filter_map(|l| l.split_once(' '))
        .map(|(label, h)| (label.into(), [unhex(h), h.into(), h.to_uppercase().into()]))
        .collect();
    let mut found = vec![[0u32; 2]; wanted.len()];
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut range, mut bytes_read) = (None, 0u64);
    for line in smaps.lines() {
        let first = line.split(' ').next().unwrap();
        if let Some((from, to)) = first.split_once('-')
            && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
        {
            range = Some((
                from,
                to,
                line.split(' ').nth(1).unwrap().starts_with('r'),
                line.to_string(),
            ));
        }
        let (Some(flags), Some((from, to, true, what))) = (line.strip_prefix("VmFlags:"), &range)
        else {
            continue;
        };
        let guarded = flags.split(' ').any(|f| f == "dd");
        let mut chunk = vec![0; (to - from) as usize];
        let Ok(n) = memory.read_at(&mut chunk, *from) else {
            continue;
        };
        bytes_read += n as u64;
        for ((label, forms), found) in wanted.iter().zip(&mut found) {
            for form in forms {
                for at in memchr::memmem::find_iter(&chunk[..n], form) {
                    found[usize::from(!guarded)] += 1;
                    if !guarded {
                        println!("# {label} at {:x} in {what}", from + at as u64);
                    }
                }
            }
        }
    }
    println!("# {bytes_read} bytes looked through");
    for ((label, _), [guarded, elsewhere]) in wanted.iter().zip(found) {
        println!("{label} {guarded} {elsewhere}");
    }
}

fn run(args: &[&str]) -> Result<ExitCode> {
    let place = |dir: &str, stable: &str| Place {
        dir: dir.into(),
        stable: stable.into(),
    };
    match *args {
        ["prepare", dir, stable, n] => {
            let place = place(dir, stable);
            for sub in ["keys", "data"] {
                std::fs::create_dir_all(place.dir.join(sub)).unwrap();
            }
            std::fs::create_dir_all(&place.stable).unwrap();
            for number in [1u8, 2] {
                let path = place.stable.join(format!("kek{number}"));
                let mut file = File::options()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(path)
                    .unwrap();
                file.write_all(&[number; 32]).unwrap();
            }
            let _ = std::fs::remove_file(place.stable.join("acks"));
            let mut w = writer(&place)?;
            for _ in 0..n.parse::<u64>().unwrap() {
                w.generate()?;
            }
        }
        ["stream", dir, stable, count] => {
            let place = place(dir, stable);
            let mut w = writer(&place)?;
            (0..count.parse().unwrap()).try_for_each(|i| w.change(i))?;
        }
        ["cut", dir, stable, after, mode] => {
            let place = place(dir, stable);
            let mut w = writer(&place)?;
            let after: u64 = after.parse().unwrap();
            for i in 0.. {
                w.change(i)?;
                if w.acks.ok >= after {
                    shutdown(&place.dir, mode.parse().unwrap());
                    break;
                }
            }
        }
        ["compact", dir, stable, count] => {
            let place = place(dir, stable);
            let mut w = writer(&place)?;
            for i in 0..count.parse().unwrap() {
                w.compact()?;
                w.change(i)?;
            }
        }
        ["rekey", dir, stable, count] => {
            let place = place(dir, stable);
            let mut w = writer(&place)?;
            for i in 0..count.parse().unwrap() {
                w.rekey()?;
                w.change(i)?;
            }
        }
        ["scenario", dir, stable, name] => {
            let place = place(dir, stable);
            let mut w = writer(&place)?;
            match name {
                "write" => {
                    w.step("generate", Writer::generate);
                    w.step("store", Writer::store);
                    w.step("remove", Writer::remove);
                    w.step("generate", Writer::generate);
                }
                "compact" => w.step("compact", Writer::compact),
                "rekey" => w.step("rekey", Writer::rekey),
                "reload" => w.step("reload", Writer::reload),
                "rescue" => {
                    // Twice, since the fault may be meant for this call.
                    let path = w.keyring.config().path.clone();
                    let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_file(&path));
                    w.step("reload", Writer::reload);
                }
                _ => panic!("no scenario {name}"),
            }
            w.step("generate", Writer::generate);
        }
        ["publish", dir, stable] => {
            let place = place(dir, stable);
            let p = promise(&place);
            let (keyring, kek) = open_promised(&place, &p)?;
            settle(&place, &served(&keyring), kek);
        }
        ["tears", dir, stable, step] => {
            return Ok(tears(&place(dir, stable), step.parse().unwrap()));
        }
        ["check", dir, stable] => return Ok(check(&place(dir, stable))),
        ["live", dir, stable, count] => {
            return life::live(&place(dir, stable), count.parse().unwrap(), None);
        }
        ["livecut", dir, stable, after, mode] => {
            let cut = (after.parse().unwrap(), mode.parse().unwrap());
            return life::live(&place(dir, stable), usize::MAX, Some(cut));
        }
        ["livecheck", dir, stable] => return Ok(life::check(&place(dir, stable))),
        ["view", file, stable] => {
            let place = place(".", stable);
            let mut config = place.config(1);
            config.path = file.into();
            let environment = Environment {
                data_dir: None,
                look_only: true,
                ..place.environment()
            };
            let keyring = Keyring::open(&config, &environment, &SecretPool::new())?;
            for (name, hash) in served(&keyring) {
                println!("{name} {hash}");
            }
        }
        ["secrets", file, passphrase, ref names @ ..] => secrets(file, passphrase, names)?,
        ["opened", config, ref names @ ..] => opened(config, names)?,
        ["hunt", pid, secrets] => hunt(pid, secrets),
        ["append", file, stable, n] => {
            let mut acks = place(".", stable).acknowledgements();
            let file = File::options()
                .append(true)
                .create(true)
                .open(file)
                .unwrap();
            file.sync_all().unwrap();
            for i in 0..n.parse::<u32>().unwrap() {
                (&file).write_all(&[7; 150]).unwrap();
                file.sync_data().unwrap();
                acks.line(&format!("ok put {i}"));
            }
        }
        ["floor", file, n] => {
            let file = File::options()
                .append(true)
                .create(true)
                .open(file)
                .unwrap();
            for _ in 0..n.parse::<u32>().unwrap() {
                let begin = Instant::now();
                (&file).write_all(&[7; 150]).unwrap();
                file.sync_data().unwrap();
                println!("{:.2}", begin.elapsed().as_secs_f64() * 1e6);
            }
        }
        ["shutdown", dir, mode] => shutdown(Path::new(dir), mode.parse().unwrap()),
        _ => {
            println!("unknown arguments: {args:?}");
            return Ok(ExitCode::from(64));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&args).unwrap_or_else(|e: Error| {
        println!("{e}");
        ExitCode::from(10)
    })
}
