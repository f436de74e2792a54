//! Attacks on the list of KEKs, and mistakes with it: what a file must not be able to claim, and what must not be lost.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, write_secret};
use keyring_ward::admin::Target;
use keyring_ward::admin::keks::{self, SyncOutcome};
use keyring_ward::admin::pin::Pin;
use keyring_ward::admin::rekey::{Purge, reseal};
use keyring_ward::caller::Caller;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::header::parse_header;
use keyring_ward::format::stanza::{Part, Stanza};
use keyring_ward::kek::member::{Answer, Member, Naming, Use};
use keyring_ward::kek::{Budget, Kek, Keks, Opened, Unwrapped};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::{SecretBytes, SecretPool};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const FILE: [u8; 16] = [7; 16];

/// A KEK whose encrypt anybody may call: it wraps in clear, and binds what every provider binds.
struct Open {
    provider: &'static str,
    is_there: bool,
}

impl Kek for Open {
    fn describe(&self) -> String {
        self.provider.into()
    }

    fn wrap(&self, _: &SecretPool, id: &[u8; 16], part: &Part<'_>, _: Deadline) -> Result<Stanza> {
        let names = (self.provider, "clear");
        let mut stanza = Stanza::begin(names, String::new(), part.holder, Vec::new());
        stanza.blob = [&part[..], &stanza.associated_data(id)].concat();
        Ok(stanza)
    }

    fn is_mine(&self, stanza: &Stanza) -> bool {
        stanza.provider == self.provider
    }

    fn unwrap(
        &self,
        pool: &SecretPool,
        id: &[u8; 16],
        stanza: &Stanza,
        _: &mut Budget,
    ) -> Result<Unwrapped> {
        if !self.is_mine(stanza) {
            return Ok(Unwrapped::NotMine);
        }
        if !self.is_there {
            return Err(Error::new(Kind::Unreachable, "ask", "nobody is there"));
        }
        let (part, bound) = stanza.blob.split_at(32);
        match bound == stanza.associated_data(id) {
            true => Ok(Unwrapped::Opened(pool.copy(part)?)),
            false => Ok(Unwrapped::WrongKey),
        }
    }

    fn probe(&self, _: &SecretPool, _: Deadline) -> Result<()> {
        Ok(())
    }
}

/// Name, group, use and whether it is there.
type Of = (&'static str, Option<&'static str>, Use, bool);

const START: Use = Use::Start;

fn key(provider: &'static str, is_there: bool) -> Box<dyn Kek> {
    Box::new(Open { provider, is_there })
}

fn keks(all: &[Of], threshold: u8) -> Keks {
    let member = |&(name, group, usage, is_there): &Of| {
        let naming = Naming {
            name: name.into(),
            provider: name,
            group: group.map(String::from),
            usage,
            ..Naming::default()
        };
        Member::new(naming, vec![key(name, is_there)], Vec::new())
    };
    Keks::several(all.iter().map(member).collect(), threshold, None)
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(1))
}

fn wrap(keks: &Keks) -> (SecretBytes, Vec<Stanza>) {
    let pool = SecretPool::new();
    let dek = pool.random(32).unwrap();
    let stanzas = keks.wrap(&pool, &FILE, &dek, soon()).unwrap();
    (dek, stanzas)
}

fn open(keks: &Keks, stanzas: &[Stanza]) -> Result<Opened> {
    keks.open(&SecretPool::new(), &FILE, stanzas, &|_| true, soon())
}

/// KEKs of one group count once: who may call the encrypt of all of them has one share, whatever the file says.
#[test]
fn a_group_gives_one_share_whatever_the_file_claims() {
    let theirs = keks(&[("a", None, START, true), ("b", None, START, true)], 2);
    let (_, forged) = wrap(&theirs);
    let ours = [
        ("a", Some("g"), START, true),
        ("b", Some("g"), START, true),
        ("c", None, START, true),
    ];
    let opened = open(&keks(&ours, 2), &forged).map(drop);
    let e = opened.expect_err("two KEKs of one group are one of the two that are needed");
    assert!(e.to_string().contains("1 of the 2 shares"), "{e}");
}

/// The second KEK of a group is not needed, and nothing is wrong with it.
#[test]
fn a_group_whose_share_is_there_is_not_asked_again() {
    let of = [
        ("a", Some("g"), START, true),
        ("b", Some("g"), START, true),
        ("c", None, START, true),
    ];
    let all = keks(&of, 2);
    let (dek, stanzas) = wrap(&all);
    let all = keks(&of, 2);
    let opened = open(&all, &stanzas).unwrap();
    assert_eq!(opened.dek[..], dek[..]);
    assert_eq!(opened.warnings, Vec::<String>::new());
    let answers = all.info(&stanzas).into_iter().map(|k| k.answer);
    let wanted = [Answer::Opened, Answer::NotAsked, Answer::Opened];
    assert_eq!(answers.collect::<Vec<_>>(), wanted);
    // Where the first one is away the second one gives the share.
    let mut of = of;
    of[0].3 = false;
    assert_eq!(open(&keks(&of, 2), &stanzas).unwrap().dek[..], dek[..]);
    // A configuration with a lower threshold knows no groups; the file does.
    let all = keks(&of.map(|(name, _, usage, _)| (name, None, usage, true)), 1);
    let warnings = open(&all, &stanzas).unwrap().warnings.join(" ");
    assert!(!warnings.contains("did not open"), "{warnings}");
}

/// A recovery KEK that names a group has a share: the whole DEK under its public key is somebody else's.
#[test]
fn a_recovery_kek_of_a_group_takes_no_whole_dek() {
    let paper = ("paper", Some("g"), Use::Recovery, true);
    let of = |a| [("a", Some("g"), START, a), ("b", None, START, true), paper];
    let (_, stanzas) = wrap(&keks(&of(true), 2));
    let (_, theirs) = wrap(&keks(&[("paper", None, START, true)], 1));
    let forged = [stanzas[0].clone(), stanzas[1].clone(), theirs[0].clone()];
    let e = open(&keks(&of(false), 2).recovering(true), &forged).map(drop);
    let e = e.expect_err("one KEK alone must not be enough");
    assert_eq!(e.kind(), Kind::Tampered);
    // A server's start does not depend on it.
    open(&keks(&of(true), 2), &forged).unwrap();
}

/// What was opened by an old key has no stanza of the new one: a sync makes it, before the old key goes.
#[test]
fn a_sync_wraps_for_the_new_key_of_a_kek() {
    for threshold in [1, 2] {
        let pool = SecretPool::new();
        let of = |name: &str, keys: Vec<Box<dyn Kek>>| {
            let naming = Naming {
                name: name.into(),
                ..Naming::default()
            };
            Member::new(naming, keys, Vec::new())
        };
        let old = vec![
            of("a", vec![key("a", true)]),
            of("b", vec![key("old", true)]),
        ];
        let (dek, stanzas) = wrap(&Keks::several(old, threshold, None));
        let rotated = vec![key("new", true), key("old", true)];
        let all = vec![of("a", vec![key("a", true)]), of("b", rotated)];
        let all = Keks::several(all, threshold, None);
        all.test(&pool, &FILE, &stanzas, &dek, &soon);
        let (made, synced) = all.complete(&pool, &FILE, &stanzas, &dek, soon()).unwrap();
        let b = &synced.iter().find(|s| s.name == "b").unwrap().outcome;
        assert!(matches!(b, SyncOutcome::Wrapped), "{b:?}");
        // The old key is gone.
        let now = vec![
            of("a", vec![key("a", threshold > 1)]),
            of("b", vec![key("new", true)]),
        ];
        let now = Keks::several(now, threshold, None);
        assert_eq!(open(&now, &made).unwrap().dek[..], dek[..]);
    }
}

/// Files in one place.
struct Keys {
    place: Place,
}

impl Keys {
    fn new() -> Keys {
        Keys {
            place: Place::new(),
        }
    }

    fn secret(&self, name: &str) -> PathBuf {
        let path = self.place.dir.path().join(format!("{name}.key"));
        if !path.exists() {
            let byte = name.bytes().fold(1u8, |sum, b| sum.wrapping_mul(31) ^ b);
            write_secret(&path, &[byte; 32]);
        }
        path
    }

    fn kek(&self, name: &str) -> Value {
        json!({ "name": name, "provider": "file", "key_file": self.secret(name) })
    }

    fn config(&self, keks: &[Value], threshold: u8) -> Config {
        let all = json!({ "path": self.place.keyring_file(), "keks": keks, "threshold": threshold, "timeout": 2, "start_timeout": 2 });
        let layer = json::parse(all.to_string().as_bytes(), "f").unwrap().layer;
        layer.finish().unwrap()
    }

    fn open(&self, config: &Config) -> Result<Keyring> {
        Keyring::open(config, &self.place.server(), &SecretPool::new())
    }

    fn make(&self, config: &Config) {
        let keyring = self.open(config).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
    }

    fn holders(&self) -> Vec<String> {
        let header = parse_header(&self.place.read()).unwrap().header;
        let holders = header.stanzas.into_iter().filter_map(|s| s.holder);
        holders.map(|holder| holder.kek).collect()
    }
}

fn recovery(mut kek: Value) -> Value {
    kek["use"] = "recovery".into();
    kek
}

/// Taking a KEK out of the configuration takes nothing out of the file, also where a split DEK is split anew.
#[test]
fn a_new_split_drops_no_recovery_kek() {
    let keys = Keys::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| keys.kek(name));
    let paper = recovery(keys.kek("paper"));
    keys.make(&keys.config(&[a.clone(), b.clone(), paper.clone()], 2));
    assert_eq!(keys.holders(), ["a", "b", "paper"]);
    // Somebody has taken it out of the configuration, and a third KEK comes.
    keks::add(&keys.config(&[a, b, c], 2), "c").unwrap();
    let holders = keys.holders();
    assert!(holders.contains(&"paper".into()), "{holders:?}");
    let mut config = keys.config(&[keys.kek("x"), paper], 1);
    config.keks.recovering = true;
    keys.open(&config).unwrap();
}

/// A new DEK can't be wrapped for a KEK that the configuration has lost. That is told, with its name.
#[test]
fn a_reseal_tells_whom_it_has_shut_out() {
    let keys = Keys::new();
    let [a, b] = ["a", "b"].map(|name| keys.kek(name));
    keys.make(&keys.config(&[a.clone(), b.clone(), recovery(keys.kek("paper"))], 1));
    let pin = Pin {
        pinned: &|| Ok(Vec::new()),
        wait: Duration::ZERO,
        tell: &|_| (),
    };
    let told = std::cell::RefCell::new(Vec::new());
    let config = keys.config(&[a, b], 1);
    let target = Target {
        warn: &|sentence| told.borrow_mut().push(sentence),
        ..Target::from(&config)
    };
    reseal(target, &pin, Purge::Nothing).unwrap();
    assert_eq!(keys.holders(), ["a", "b"]);
    let told = told.into_inner().join(" ");
    let wanted = "The KEK 'paper' could open the keyring before, and can't any more";
    assert!(
        told.contains(wanted) && !told.contains("'a' could"),
        "{told}"
    );
}

/// A recovery KEK that is another kind of KEK now has no stanza, and a sync does not say that it has.
#[test]
fn a_sync_sees_that_a_recovery_kek_is_another_one() {
    let keys = Keys::new();
    let a = keys.kek("a");
    keys.make(&keys.config(&[a.clone(), recovery(keys.kek("paper"))], 1));
    let phrase = keys.place.dir.path().join("phrase");
    write_secret(&phrase, b"0123456789abcdef0123456789abcdef0123456789abcdef");
    let other = json!({ "name": "paper", "provider": "file", "passphrase_file": phrase, "use": "recovery" });
    let config = keys.config(&[a, other.clone()], 1);
    let told = keys.open(&config).unwrap().status().store.keks;
    assert_eq!(told[1].wrapped, Some(false));
    let done = keks::sync(&config).unwrap();
    let outcome = &done[1].outcome;
    assert!(matches!(outcome, SyncOutcome::Wrapped), "{outcome:?}");
    let mut config = keys.config(&[keys.kek("x"), other], 1);
    config.keks.recovering = true;
    keys.open(&config).unwrap();
}

/// A recovery KEK with another recipient has no stanza for it, and only who looks at the recipients can tell.
#[test]
fn a_sync_wraps_for_another_recipient_of_age() {
    const FIRST: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    const SECOND: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
    let keys = Keys::new();
    let a = keys.kek("a");
    let paper = |recipients: String| {
        let kek = json!({ "name": "paper", "provider": "age", "recipients": recipients });
        keys.config(&[a.clone(), recovery(kek)], 1)
    };
    let outcome = |config: &Config| keks::sync(config).unwrap().remove(1).outcome;
    keys.make(&paper(FIRST.into()));
    let done = outcome(&paper(FIRST.into()));
    assert!(matches!(done, SyncOutcome::Untested), "{done:?}");
    for recipients in [SECOND.into(), format!("{FIRST},{SECOND}")] {
        let done = outcome(&paper(recipients));
        assert!(matches!(done, SyncOutcome::Wrapped), "{done:?}");
    }
    let done = outcome(&paper(format!("{SECOND},{FIRST}")));
    assert!(matches!(done, SyncOutcome::Untested), "{done:?}");
}

/// After a change of a name a sync wraps for the new one, so that another KEK may have the old one.
#[test]
fn a_sync_wraps_under_the_new_name_of_a_kek() {
    for threshold in [1, 2] {
        let keys = Keys::new();
        let [a, b] = ["a", "b"].map(|name| keys.kek(name));
        keys.make(&keys.config(&[a.clone(), b.clone()], threshold));
        let mut renamed = b;
        renamed["name"] = "z".into();
        let config = keys.config(&[a, renamed.clone()], threshold);
        keys.open(&config).unwrap();
        let done = keks::sync(&config).unwrap();
        assert!(matches!(done[1].outcome, SyncOutcome::Wrapped), "{done:?}");
        assert!(keys.holders().contains(&"z".into()));
        let again = keks::sync(&config).unwrap();
        assert!(matches!(again[1].outcome, SyncOutcome::Valid), "{again:?}");
        let mut another = keys.kek("another");
        another["name"] = "b".into();
        let mut list = vec![another, renamed];
        if threshold > 1 {
            list.push(keys.kek("a"));
        }
        keys.open(&keys.config(&list, threshold)).unwrap();
    }
}

/// The order of the list is of no account to what is in the file.
#[test]
fn another_order_of_the_list_changes_nothing() {
    let keys = Keys::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| keys.kek(name));
    keys.make(&keys.config(&[a.clone(), b.clone(), c.clone()], 2));
    let before = keys.place.read();
    let turned = keys.config(&[c, a, b], 2);
    keys.open(&turned).unwrap();
    let done = keks::sync(&turned).unwrap();
    assert!(
        done.iter().all(|s| matches!(s.outcome, SyncOutcome::Valid)),
        "{done:?}"
    );
    assert_eq!(keys.place.read(), before, "there is nothing to write");
}

/// Headers in which something is changed, whatever it is: no panic, and no other stanza that passes for what it was.
#[test]
fn changed_stanzas_never_panic() {
    let keys = Keys::new();
    let list = ["a", "b", "c"].map(|name| keys.kek(name));
    let config = keys.config(&list, 2);
    keys.make(&config);
    let good = keys.place.read();
    let header = parse_header(&good).unwrap();
    let (length, stanzas) = (header.length, header.header.stanzas);
    let open_one = config.keks.keks(false);
    let pool = SecretPool::new();
    let mut parsed = 0u32;
    for at in 20..length - 36 {
        for change in [1u8, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= change;
            let crc = crc32fast::hash(&bad[..length - 4]);
            bad[length - 4..length].copy_from_slice(&crc.to_le_bytes());
            let Ok(header) = parse_header(&bad) else {
                continue;
            };
            parsed += 1;
            if header.header.stanzas == stanzas {
                continue;
            }
            let id = header.header.file_id;
            let opened = open_one.open(&pool, &id, &header.header.stanzas, &|_| true, soon());
            if let Ok(opened) = opened {
                // One of three was changed, and two are enough: it is not that one.
                for used in opened.used {
                    assert_eq!(header.header.stanzas[used.stanza], stanzas[used.stanza]);
                }
            }
        }
    }
    assert!(parsed > 300, "{parsed}");
}
