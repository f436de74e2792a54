//! The contract of several KEKs for one keyring: who opens it, who does not, and what is said of each.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "support/fault_rows.rs"]
mod fault_rows;

use common::{Place, write_secret};
use keyring_ward::admin::init::init;
use keyring_ward::admin::keks::{self, SyncOutcome};
use keyring_ward::admin::pin::Pin;
use keyring_ward::admin::rekey::{could_rekey, rekey};
use keyring_ward::caller::Caller;
use keyring_ward::config::discover::{CommandLine, component_config, plugin_layer};
use keyring_ward::config::{Config, Layer, find_option, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::header::parse_header;
use keyring_ward::format::stanza::{Holder, Part, Share, Stanza};
use keyring_ward::kek::member::{Answer, Member, Naming, Use};
use keyring_ward::kek::{Budget, Kek, Keks, Unwrapped};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::{SecretBytes, SecretPool};
use keyring_ward::status::Status;
use keyring_ward::status::fields::View;
use keyring_ward::status::metrics::render;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Three KEKs of key files in one place.
struct Three {
    place: Place,
}

const NAMES: [&str; 3] = ["bao", "aws", "paper"];

impl Three {
    fn new() -> Three {
        let place = Place::new();
        let three = Three { place };
        for (i, name) in NAMES.iter().enumerate() {
            write_secret(&three.secret(name), &[i as u8 + 1; 32]);
        }
        three
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.place.dir.path().join(format!("{name}.key"))
    }

    fn kek(&self, name: &str) -> Value {
        json!({ "name": name, "provider": "file", "key_file": self.secret(name) })
    }

    /// All three, with `threshold`.
    fn json(&self, threshold: u8) -> Value {
        let keks: Vec<Value> = NAMES.iter().map(|name| self.kek(name)).collect();
        json!({ "path": self.place.keyring_file(), "keks": keks, "threshold": threshold, "timeout": 2, "start_timeout": 3 })
    }

    fn config(&self, threshold: u8) -> Config {
        config(&self.json(threshold)).unwrap()
    }

    fn open(&self, config: &Config) -> Result<Keyring> {
        Keyring::open(config, &self.place.server(), &SecretPool::new())
    }

    /// A keyring with a key, made while all are there.
    fn make(&self, threshold: u8) {
        let keyring = self.open(&self.config(threshold)).unwrap();
        keyring
            .by(&Caller::Unknown)
            .generate(b"k", b"", b"AES", 32)
            .unwrap();
    }

    /// Only these are there.
    fn leave(&self, subset: u8) {
        for (i, name) in NAMES.iter().enumerate() {
            let (file, away) = (self.secret(name), self.secret(name).with_extension("away"));
            match (subset >> i & 1 == 1, file.exists()) {
                (true, false) => std::fs::rename(away, file).unwrap(),
                (false, true) => std::fs::rename(file, away).unwrap(),
                _ => {}
            }
        }
    }
}

fn config(json: &Value) -> Result<Config> {
    json::parse(json.to_string().as_bytes(), "f")?
        .layer
        .finish()
}

/// Each subset of three KEKs, any of them and two of three: what opens, and what is said of each KEK.
#[test]
fn each_subset_of_three_keks() {
    for threshold in [1, 2] {
        let three = Three::new();
        three.make(threshold);
        for subset in 0..8u8 {
            three.leave(subset);
            let there = subset.count_ones() as u8;
            let opened = three.open(&three.config(threshold));
            println!(
                "threshold {threshold}, present {subset:03b}: {:?}",
                opened.as_ref().map(drop).map_err(|e| e.kind())
            );
            if there < threshold {
                let e = opened.map(drop).unwrap_err();
                let said = e.to_string();
                assert_eq!(e.kind(), Kind::NotFound, "{said}");
                for (i, name) in NAMES.iter().enumerate() {
                    let told = said.contains(&format!("{name}: KW-0001 NotFound"));
                    assert_eq!(told, subset >> i & 1 == 0, "{name} in {said}");
                }
                continue;
            }
            let keyring = opened.unwrap();
            assert!(keyring.fetch(b"k", b"").unwrap().is_some());
            let status = keyring.status().store;
            let opened = |a: &Answer| *a == Answer::Opened;
            let used = status.keks.iter().filter(|k| opened(&k.answer)).count();
            assert_eq!(used, usize::from(threshold));
            for (i, kek) in status.keks.iter().enumerate() {
                assert_eq!(kek.naming.name, NAMES[i]);
                assert_eq!(kek.wrapped, Some(true));
                let is_there = subset >> i & 1 == 1;
                assert!(is_there || !opened(&kek.answer));
            }
            // Writing needs no KEK.
            keyring
                .by(&Caller::Unknown)
                .generate(b"x", b"", b"AES", 16)
                .unwrap();
            keyring.by(&Caller::Unknown).remove(b"x", b"").unwrap();
            keyring.by(&Caller::Unknown).compact().unwrap();
        }
    }
}

/// What a KEK that was made up does when it is asked to open.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Good,
    /// Nobody answers, at once.
    Dead,
    /// Nobody answers, as long as somebody waits.
    Hung,
    /// It answers, and refuses.
    Refused,
    /// It is dead for so many calls, and good then.
    DeadFor(u32),
    /// It gives something else, and says nothing.
    Lies,
    /// It is good, and takes so many milliseconds.
    Takes(u64),
}

/// A KEK on no machine: it wraps in clear, and only what it is asked counts.
struct Fake {
    provider: &'static str,
    mood: Mood,
    calls: Arc<AtomicU32>,
}

impl Kek for Fake {
    fn describe(&self) -> String {
        format!("fake {}", self.provider)
    }

    fn wrap(&self, _: &SecretPool, id: &[u8; 16], part: &Part<'_>, _: Deadline) -> Result<Stanza> {
        let mut stanza = Stanza::begin(
            (self.provider, "fake"),
            String::new(),
            part.holder,
            Vec::new(),
        );
        // Authentic as a fake can be: what was bound stands beside it.
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
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        if !self.is_mine(stanza) {
            return Ok(Unwrapped::NotMine);
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let fail =
            |kind, why: &str| Err(Error::new(kind, "ask the fake", why).hint("Mend the fake."));
        match self.mood {
            Mood::Refused => return fail(Kind::Denied, "it refuses"),
            Mood::Dead => return fail(Kind::Unreachable, "nobody is there"),
            Mood::DeadFor(calls) if call < calls => {
                return fail(Kind::Unreachable, "nobody is there yet");
            }
            Mood::Hung => {
                std::thread::sleep(budget.deadline().remaining());
                return fail(Kind::Timeout, "it did not answer in time");
            }
            Mood::Lies => return Ok(Unwrapped::Opened(pool.copy(&[0xEE; 32])?)),
            Mood::Takes(time) => std::thread::sleep(Duration::from_millis(time)),
            Mood::Good | Mood::DeadFor(_) => {}
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

const FILE: [u8; 16] = [7; 16];

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

/// KEKs of these moods; how often each was asked.
struct Fakes {
    keks: Keks,
    calls: Vec<Arc<AtomicU32>>,
}

fn fakes(moods: &[(&'static str, Mood)], threshold: u8) -> Fakes {
    fakes_of(moods, threshold, |naming| naming)
}

fn fakes_of(
    moods: &[(&'static str, Mood)],
    threshold: u8,
    change: impl Fn(Naming) -> Naming,
) -> Fakes {
    let calls: Vec<Arc<AtomicU32>> = moods.iter().map(|_| Arc::default()).collect();
    let member = |((name, mood), calls): (&(&'static str, Mood), &Arc<AtomicU32>)| {
        let naming = Naming {
            name: (*name).into(),
            provider: name,
            ..Naming::default()
        };
        let fake = Fake {
            provider: name,
            mood: *mood,
            calls: calls.clone(),
        };
        Member::new(change(naming), vec![Box::new(fake)], Vec::new())
    };
    let members = moods.iter().zip(&calls).map(member).collect();
    let keks = Keks::several(members, threshold, Some("here".into()));
    Fakes { keks, calls }
}

impl Fakes {
    fn calls(&self) -> Vec<u32> {
        self.calls
            .iter()
            .map(|c| c.load(Ordering::Relaxed))
            .collect()
    }
}

/// Stanzas that these KEKs made when they were all well.
fn wrapped(names: &[&'static str], threshold: u8) -> (SecretBytes, Vec<Stanza>) {
    let pool = SecretPool::new();
    let dek = pool.random(32).unwrap();
    let well: Vec<_> = names.iter().map(|name| (*name, Mood::Good)).collect();
    let keks = fakes(&well, threshold).keks;
    let stanzas = keks.wrap(&pool, &FILE, &dek, soon()).unwrap();
    (dek, stanzas)
}

fn open(keks: &Keks, stanzas: &[Stanza], total: Duration) -> Result<keyring_ward::kek::Opened> {
    keks.open(
        &SecretPool::new(),
        &FILE,
        stanzas,
        &|_| true,
        Deadline::after(total),
    )
}

/// The first KEK in each mood, the second well: it opens, and the first one's trouble is a warning.
#[test]
fn a_bad_first_kek_does_not_starve_the_second() {
    let total = Duration::from_secs(3);
    let (dek, stanzas) = wrapped(&["a", "b"], 1);
    for mood in [Mood::Dead, Mood::Hung, Mood::Refused] {
        let all = fakes(&[("a", mood), ("b", Mood::Good)], 1);
        let begin = Instant::now();
        let opened = open(&all.keks, &stanzas, total).unwrap();
        let took = begin.elapsed();
        assert!(took < total / 2, "{mood:?}: {took:?}");
        assert_eq!(opened.dek[..], dek[..]);
        assert_eq!(all.calls(), [1, 1], "{mood:?}");
        let warnings = opened.warnings.join(" ");
        assert!(
            warnings.contains("'a' did not open") && warnings.contains("Mend the fake."),
            "{warnings}"
        );
        assert!(all.keks.info(&stanzas)[0].answer.has_failed());
    }
}

/// What may pass is tried again in rounds, what was refused is not; a lone hung one has its time limited each round.
#[test]
fn rounds_ask_again_only_what_may_pass() {
    let (dek, stanzas) = wrapped(&["a", "b", "c"], 2);
    let all = fakes(
        &[
            ("a", Mood::DeadFor(2)),
            ("b", Mood::Refused),
            ("c", Mood::Good),
        ],
        2,
    );
    let opened = open(&all.keks, &stanzas, Duration::from_secs(30)).unwrap();
    assert_eq!(opened.dek[..], dek[..]);
    assert_eq!(
        all.calls(),
        [3, 1, 1],
        "the refused one and the one that gave its share were asked once"
    );
    // Nobody opens: each is told, with its hint, and the time is kept.
    let all = fakes(
        &[("a", Mood::Dead), ("b", Mood::Refused), ("c", Mood::Hung)],
        2,
    );
    let begin = Instant::now();
    let e = open(&all.keks, &stanzas, Duration::from_secs(1))
        .map(drop)
        .unwrap_err();
    assert!(
        begin.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(e.kind(), Kind::Unreachable);
    let said = e.to_string();
    for part in [
        "0 of the 2 shares",
        "a: KW-0012 Unreachable: Could not ask the fake: nobody is there. Mend the fake.",
        "b: KW-0013 Denied: Could not ask the fake: it refuses. Mend the fake.",
        "c: KW-0014 Timeout",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let calls = all.calls();
    assert!(calls[0] > 1 && calls[1] == 1 && calls[2] > 1, "{calls:?}");
}

#[test]
fn the_own_region_is_first_and_recovery_is_for_the_tool() {
    let (dek, stanzas) = wrapped(&["a", "b", "c"], 1);
    let well = [("a", Mood::Good), ("b", Mood::Good), ("c", Mood::Good)];
    let in_b = |naming: Naming| Naming {
        region: Some(if naming.name == "b" { "here" } else { "there" }.into()),
        ..naming
    };
    let all = fakes_of(&well, 1, in_b);
    open(&all.keks, &stanzas, Duration::from_secs(5)).unwrap();
    assert_eq!(
        all.calls(),
        [0, 1, 0],
        "one call, to the one of this region"
    );
    let paper = |naming: Naming| Naming {
        usage: if naming.name == "c" {
            Use::Recovery
        } else {
            Use::Start
        },
        ..naming
    };
    let dead = [
        ("a", Mood::Refused),
        ("b", Mood::Refused),
        ("c", Mood::Good),
    ];
    let all = fakes_of(&dead, 1, paper);
    let e = open(&all.keks, &stanzas, Duration::from_secs(5))
        .map(drop)
        .unwrap_err();
    assert_eq!((e.kind(), all.calls()), (Kind::Denied, vec![1, 1, 0]));
    let mut all = fakes_of(&dead, 1, paper);
    all.keks = all.keks.recovering(true);
    let opened = open(&all.keks, &stanzas, Duration::from_secs(5)).unwrap();
    assert_eq!(opened.dek[..], dek[..]);
    assert_eq!(all.calls(), [0, 0, 1]);
}

/// A recovery KEK has the whole DEK unless it names a group, also where there is a threshold: a server never takes it.
#[test]
fn a_recovery_kek_beside_a_threshold() {
    let pool = SecretPool::new();
    let dek = pool.random(32).unwrap();
    let naming = |group: Option<&'static str>| {
        move |naming: Naming| match naming.name.as_str() {
            "c" => Naming {
                usage: Use::Recovery,
                group: group.map(String::from),
                ..naming
            },
            "b" => Naming {
                group: Some("g".into()),
                ..naming
            },
            _ => naming,
        }
    };
    let well = [("a", Mood::Good), ("b", Mood::Good), ("c", Mood::Good)];
    let made = |group| {
        let keks = fakes_of(&well, 2, naming(group)).keks;
        keks.wrap(&pool, &FILE, &dek, soon()).unwrap()
    };
    let whole = made(None);
    assert!(whole[2].share().is_none() && whole[0].share().unwrap().shares == 2);
    let shared = made(Some("g"));
    assert_eq!(
        shared[2].share().unwrap().number,
        shared[1].share().unwrap().number
    );
    let second = Duration::from_secs(1);
    for (stanzas, group) in [(&whole, None), (&shared, Some("g"))] {
        let half = [("a", Mood::Good), ("b", Mood::Refused), ("c", Mood::Good)];
        let server = fakes_of(&half, 2, naming(group));
        assert!(open(&server.keks, stanzas, second).is_err(), "{group:?}");
        assert_eq!(server.calls()[2], 0);
        let tool = fakes_of(&half, 2, naming(group)).keks.recovering(true);
        assert_eq!(open(&tool, stanzas, second).unwrap().dek[..], dek[..]);
    }
    // The whole DEK for a KEK that a server tries is not taken where a threshold is configured.
    let all = fakes(&well, 2).keks;
    let e = open(&all, &whole, second).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered);
}

/// Files that nobody wrote so: what is refused, and before anybody is asked.
#[test]
fn stanzas_that_do_not_belong_together_are_refused_by_name() {
    let second = Duration::from_secs(1);
    let well = [("a", Mood::Good), ("b", Mood::Good), ("c", Mood::Good)];
    let refused = |what: &str, stanzas: &[Stanza], threshold: u8, words: &str, asked: bool| {
        let all = fakes(&well, threshold);
        let begin = Instant::now();
        let e = open(&all.keks, stanzas, second).map(drop).unwrap_err();
        fault_rows::told("keks", what, &e, begin.elapsed());
        let said = e.to_string();
        assert!(said.contains(words), "{words} in {said}");
        assert_eq!(all.calls().iter().any(|c| *c > 0), asked, "{said}");
        e.kind()
    };
    let (_, one) = wrapped(&["a", "b", "c"], 2);
    let (_, other) = wrapped(&["a", "b", "c"], 2);
    // Shares of two splits.
    let mixed = [one[0].clone(), other[1].clone(), one[2].clone()];
    let kind = refused(
        "shares of two splits",
        &mixed,
        2,
        "shares of two splits",
        false,
    );
    assert_eq!(kind, Kind::Tampered);
    // One whose split id is made to fit is not authentic.
    let mut forged = mixed.to_vec();
    forged[1].holder = Some(Holder {
        kek: "b".into(),
        share: Some(Share {
            number: 2,
            ..*one[0].share().unwrap()
        }),
    });
    forged.truncate(2);
    assert_eq!(
        refused(
            "a share of another split under this one's id",
            &forged,
            2,
            "1 of the 2 shares",
            true
        ),
        Kind::WrongKek
    );
    // Too few shares.
    assert_eq!(
        refused("too few shares", &one[..1], 2, "1 of the 2 shares", true),
        Kind::WrongKek
    );
    // The same share twice is one.
    let twice = [one[0].clone(), one[0].clone()];
    assert_eq!(
        refused("the same share twice", &twice, 2, "1 of the 2 shares", true),
        Kind::WrongKek
    );
    // A lower threshold than is configured, all over or for one KEK.
    let (_, whole) = wrapped(&["a", "b", "c"], 1);
    assert_eq!(
        refused(
            "a file that claims threshold 1, 2 is configured",
            &whole,
            2,
            "claim that 1 is enough",
            false
        ),
        Kind::Tampered
    );
    assert_eq!(
        refused(
            "a file that claims threshold 2, 3 is configured",
            &one,
            3,
            "claim that 2 is enough",
            false
        ),
        Kind::Tampered
    );
    let smuggled = [one[0].clone(), whole[1].clone(), one[2].clone()];
    let words = "1 is enough by the KEK 'b'";
    assert_eq!(
        refused(
            "a share and a stanza with the whole DEK, 2 is configured",
            &smuggled,
            2,
            words,
            false
        ),
        Kind::Tampered
    );
    // Under a name that nobody has, it is nobody's: no KEK of a server takes the whole DEK.
    let mut nameless = whole[1].clone();
    nameless.holder = None;
    let beside = [one[0].clone(), nameless];
    assert_eq!(
        refused(
            "the whole DEK for nobody's name, 2 is configured",
            &beside,
            2,
            "1 of the 2 shares",
            true
        ),
        Kind::WrongKek
    );
    // More is needed than is configured: it opens, with a word.
    let all = fakes(&well, 1);
    let opened = open(&all.keks, &one, second).unwrap();
    assert!(
        opened.warnings.join(" ").contains("needs 2 KEKs"),
        "{:?}",
        opened.warnings
    );
    assert_eq!(opened.used.len(), 2);
    // Another file's stanza.
    let pool = SecretPool::new();
    let keks = fakes(&well, 1).keks;
    let begin = Instant::now();
    let e = keks.open(&pool, &[8; 16], &whole, &|_| true, Deadline::after(second));
    let e = e.map(drop).unwrap_err();
    fault_rows::told("keks", "another file's stanzas", &e, begin.elapsed());
    assert_eq!(e.kind(), Kind::WrongKek);
}

/// While a KEK of a change lets one wait, keys are made as ever.
#[test]
fn writers_wait_for_no_kek() {
    let three = Three::new();
    three.make(1);
    let keyring = three.open(&three.config(1)).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let token = three.place.dir.path().join("token");
    write_secret(&token, b"hvs.a");
    let mut json = three.json(1);
    json["timeout"] = json!(6);
    json["keks"].as_array_mut().unwrap().push(json!({
        "name": "late", "provider": "vault", "address": format!("http://{}", silent.local_addr().unwrap()),
        "key": "mysql", "auth": "token", "token_file": token,
    }));
    let config = config(&json).unwrap();
    let add = || keks::add_serving(&keyring.by(&Caller::Unknown), &config, "late").map(drop);
    let rekey = || keyring.by(&Caller::Unknown).rekey(&config.keks, false);
    let changes: [&(dyn Fn() -> Result<()> + Sync); 2] = [&add, &rekey];
    std::thread::scope(|scope| {
        for (i, change) in changes.into_iter().enumerate() {
            let changing = scope.spawn(change);
            let asked = loop {
                match silent.accept() {
                    Ok((asked, _)) => break asked,
                    Err(_) => assert!(!changing.is_finished(), "the KEK is not asked"),
                }
                std::thread::yield_now();
            };
            keyring
                .by(&Caller::Unknown)
                .generate(&[b'w', i as u8], b"", b"AES", 16)
                .unwrap();
            assert!(!changing.is_finished(), "the change is over");
            drop(asked);
            assert!(changing.join().unwrap().is_err());
        }
    });
    // Nothing was changed, and what was made meanwhile is there.
    drop(keyring);
    let keyring = three.open(&three.config(1)).unwrap();
    assert_eq!(keyring.len(), 3);
}

/// A KEK that gives something wrong, or a share that is, ends nothing where others give what is right.
#[test]
fn a_kek_that_lies_does_not_end_an_opening() {
    use Mood::{Good, Lies};
    const ABC: [&str; 3] = ["a", "b", "c"];
    for (moods, threshold, opens) in [
        ([Lies, Good, Good], 1, true),
        ([Lies, Lies, Lies], 1, false),
        ([Lies, Good, Good], 2, true),
        ([Good, Lies, Good], 2, true),
        ([Good, Lies, Lies], 2, false),
        ([Good, Lies, Good], 3, false),
    ] {
        let (dek, stanzas) = wrapped(&ABC, threshold);
        let moods: Vec<_> = ABC.into_iter().zip(moods).collect();
        let keks = fakes(&moods, threshold).keks;
        let proof = |found: &SecretBytes| found[..] == dek[..];
        let opened = keks.open(&SecretPool::new(), &FILE, &stanzas, &proof, soon());
        match (opened, opens) {
            (Ok(opened), true) => {
                assert_eq!(opened.dek[..], dek[..]);
                let used = opened.used.iter();
                assert!({ used }.all(|u| moods[u.member].1 == Good), "{moods:?}");
                let liar = moods.iter().find(|(_, mood)| *mood == Lies).unwrap().0;
                let said = opened.warnings.join(" ");
                assert!(said.contains(&format!("The KEK '{liar}'")), "{said}");
            }
            (Err(e), false) => assert_eq!(e.kind(), Kind::Tampered, "{moods:?}: {e}"),
            (opened, _) => panic!("{moods:?}, {threshold}: {:?}", opened.map(drop)),
        }
    }
}

/// Shares that come at the last moment are combined; and where one is wrong, who is away is told too.
#[test]
fn the_end_of_the_time_makes_no_share_wrong() {
    use Mood::{Dead, Good, Lies, Takes};
    let (dek, stanzas) = wrapped(&["a", "b", "c"], 2);
    let pool = SecretPool::new();
    let open = |moods: [Mood; 3]| {
        let moods: Vec<_> = ["a", "b", "c"].into_iter().zip(moods).collect();
        let proof = |found: &SecretBytes| found[..] == dek[..];
        let deadline = Deadline::after(Duration::from_millis(300));
        fakes(&moods, 2)
            .keks
            .open(&pool, &FILE, &stanzas, &proof, deadline)
    };
    assert!(open([Good, Takes(400), Dead]).is_ok());
    let e = open([Lies, Good, Dead]).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered);
    assert!(e.to_string().contains("c: Unreachable"), "{e}");
}

/// What a KEK makes is opened before it counts: one that would give something else wraps nothing.
#[test]
fn a_kek_that_lies_wraps_nothing() {
    let pool = SecretPool::new();
    let dek = pool.random(32).unwrap();
    for threshold in [1, 2] {
        let keks = fakes(&[("a", Mood::Good), ("b", Mood::Lies)], threshold).keks;
        let e = keks.wrap(&pool, &FILE, &dek, soon()).unwrap_err();
        assert_eq!(e.kind(), Kind::Internal);
        assert!(e.to_string().contains("unwraps to another one"), "{e}");
    }
}

/// Nor within a group, whose second KEK holds the same share; but two of one group never count as two.
#[test]
fn a_kek_that_lies_does_not_shut_out_its_group() {
    use Mood::{Dead, Good, Lies};
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let grouped = |moods: [Mood; 3]| {
        let moods: Vec<_> = NAMES.into_iter().zip(moods).collect();
        fakes_of(&moods, 2, |naming| Naming {
            group: (naming.name != "c").then(|| "g".into()),
            ..naming
        })
    };
    let pool = SecretPool::new();
    let dek = pool.random(32).unwrap();
    let stanzas = (grouped([Good; 3]).keks).wrap(&pool, &FILE, &dek, soon());
    let stanzas = stanzas.unwrap();
    let proof = |found: &SecretBytes| found[..] == dek[..];
    for (moods, kind) in [
        ([Good, Good, Good], None),
        ([Lies, Good, Good], None),
        ([Good, Lies, Good], None),
        ([Lies, Lies, Good], Some(Kind::Tampered)),
        ([Good, Good, Lies], Some(Kind::Tampered)),
        ([Good, Good, Dead], Some(Kind::Unreachable)),
    ] {
        let keks = grouped(moods).keks;
        let second = Deadline::after(Duration::from_secs(1));
        let opened = keks.open(&pool, &FILE, &stanzas, &proof, second);
        assert_eq!(opened.map(drop).err().map(|e| e.kind()), kind, "{moods:?}");
    }
}

/// Wrapping is all or nothing: one KEK that can't, and no stanza is given.
#[test]
fn wrapping_takes_all_keks() {
    let pool = SecretPool::new();
    let dek = pool.random(32).unwrap();
    for threshold in [1, 2] {
        // It wraps, and does not open what it wrapped.
        let all = fakes(
            &[("a", Mood::Good), ("b", Mood::Refused), ("c", Mood::Good)],
            threshold,
        );
        let e = all
            .keks
            .wrap(&pool, &FILE, &dek, soon())
            .map(drop)
            .unwrap_err();
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.to_string().contains("the KEK 'b'"), "{e}");
    }
}

/// Lists that can't be, each with its sentence.
#[test]
fn lists_that_are_none() {
    let three = Three::new();
    let good = three.json(2);
    config(&good).unwrap();
    let named = |name: &str| {
        let mut kek = three.kek("bao");
        kek["name"] = name.into();
        kek
    };
    let many: Vec<Value> = (0..17).map(|i| named(&format!("k{i}"))).collect();
    let with = |member: &str, value: Value| {
        let mut kek = three.kek("bao");
        kek[member] = value;
        json!([kek, three.kek("aws")])
    };
    for (keks, threshold, words) in [
        (
            json!([named("a"), named("a")]),
            1,
            "two KEKs have the name 'a'",
        ),
        (json!(many), 1, "17 KEKs are configured"),
        (json!([]), 1, "0 KEKs are configured"),
        (json!("bao,aws"), 1, "nothing says what they are"),
        (
            with("provider", "cloud9".into()),
            1,
            "'cloud9', the provider of the KEK 'bao', is not known",
        ),
        (with("provider", Value::Null), 1, "'provider'"),
        (
            with("name", "Bao".into()),
            1,
            "'Bao' is not a name for a KEK",
        ),
        (
            with("name", "b".repeat(33).into()),
            1,
            "is not a name for a KEK",
        ),
        (with("name", 7.into()), 1, "has no name"),
        (
            with("use", "sometimes".into()),
            1,
            "'sometimes' is not a value for use",
        ),
        (with("keyfile", "/x".into()), 1, "Did you mean 'key_file'?"),
        (
            with("pin_file", "/x".into()),
            1,
            "'pin_file' is not an option of the KEK 'bao'",
        ),
        (
            with("passphrase_file", "/x".into()),
            1,
            "the KEK 'bao' in f",
        ),
        (
            json!([{ "name": "a", "provider": "age" }]),
            1,
            "Set recipients of this KEK to the public key",
        ),
        (
            with("group", "g".into()),
            1,
            "a KEK has a group, but threshold is 1",
        ),
        (
            with("use", "recovery".into()),
            2,
            "threshold is 2, but there are 1 shares",
        ),
        (
            json!([named("a")]),
            2,
            "threshold is 2, but there are 1 shares",
        ),
        (
            json!([named("a"), named("b")]),
            3,
            "threshold is 3, but there are 2 shares",
        ),
        (json!([named("a")]), 0, "'0' is not a value for threshold"),
        (json!([named("a")]), 17, "'17' is not a value for threshold"),
    ] {
        let mut bad = good.clone();
        bad["keks"] = keks;
        bad["threshold"] = threshold.into();
        let begin = Instant::now();
        let e = config(&bad).unwrap_err();
        fault_rows::told("keks", "a list that is none", &e, begin.elapsed());
        assert_eq!(e.kind(), Kind::Config, "{e}");
        assert!(e.to_string().contains(words), "{words} in {e}");
    }
    let group = json!({ "path": "/k", "threshold": 2, "keks": [
        { "name": "a", "provider": "key_file", "key_file": "/a", "group": "g" },
        { "name": "b", "provider": "key_file", "key_file": "/b", "group": "g" } ] });
    let e = config(&group).unwrap_err().to_string();
    assert!(e.contains("threshold is 2, but there are 1 shares"), "{e}");
    let all_recovery = json!({ "path": "/k", "keks": [
        { "name": "a", "provider": "key_file", "key_file": "/a", "use": "recovery" } ] });
    let e = config(&all_recovery).unwrap_err().to_string();
    assert!(
        e.contains("no KEK opens the keyring when the server starts"),
        "{e}"
    );
    for (more, words) in [
        (
            json!({ "backend": "file" }),
            "both keks and backend name KEKs",
        ),
        (
            json!({ "file": { "key_file": "/x" } }),
            "both keks and file_key_file name KEKs",
        ),
        (
            json!({ "config_file": "/x" }),
            "config_file is a variable of the plugin only",
        ),
    ] {
        let mut bad = good.clone();
        let all = more.as_object().unwrap().clone();
        bad.as_object_mut().unwrap().extend(all);
        let e = config(&bad).unwrap_err().to_string();
        assert!(e.contains(words), "{words} in {e}");
    }
    let alone =
        json!({ "backend": "file", "path": "/k", "file": { "key_file": "/x" }, "threshold": 2 });
    let e = config(&alone).unwrap_err().to_string();
    assert!(e.contains("threshold is for several KEKs"), "{e}");
}

/// The blocks of the page are configurations, both of the same KEKs.
#[test]
fn the_page_shows_configurations() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/several-keks.md");
    let text = std::fs::read_to_string(page).unwrap();
    let block = |language: &str| {
        let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_string()
    };
    let by_json = json::parse(block("json").as_bytes(), "f")
        .unwrap()
        .layer
        .finish()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("my.cnf");
    std::fs::write(&file, block("ini")).unwrap();
    let mut argument = std::ffi::OsString::from("--defaults-file=");
    argument.push(&file);
    let command_line = CommandLine {
        args: vec![argument],
        ..CommandLine::default()
    };
    let group = command_line
        .option_files(&["keyring_ward"])
        .layer()
        .unwrap();
    let by_group = group.finish().unwrap();
    assert_eq!(by_json.keks, by_group.keks);
    assert_eq!(by_json.keks.len(), 3);
    assert_eq!(by_json.keks[2].naming.usage, Use::Recovery);
}

impl Three {
    /// A configuration with these members of the three KEKs changed.
    fn with(&self, threshold: u8, change: impl Fn(&mut Vec<Value>)) -> Config {
        let mut json = self.json(threshold);
        change(json["keks"].as_array_mut().unwrap());
        config(&json).unwrap()
    }

    /// Names of the KEKs that have a stanza.
    fn holders(&self) -> Vec<String> {
        let header = parse_header(&self.place.read()).unwrap().header;
        let holders = header.stanzas.into_iter();
        holders
            .map(|s| s.holder.map_or_else(|| "-".into(), |h| h.kek))
            .collect()
    }

    /// The keyring opens with these KEKs alone, as the short form or as a list.
    fn opens(&self, threshold: u8, names: &[&str]) -> bool {
        let only = |keks: &mut Vec<Value>| keks.retain(|k| names.iter().any(|n| k["name"] == *n));
        let config = self.with(threshold, only);
        self.open(&config)
            .is_ok_and(|k| k.fetch(b"k", b"").unwrap().is_some())
    }
}

fn pin<'a>() -> Pin<'a> {
    Pin {
        pinned: &|| Ok(Vec::new()),
        wait: Duration::ZERO,
        tell: &|_| (),
    }
}

/// From one KEK to a list and back: what is added, what is taken out, and what an old file still opens with.
#[test]
fn one_kek_more_and_one_less() {
    let three = Three::new();
    let bao = |keks: &mut Vec<Value>| keks.truncate(1);
    let first = three.with(1, bao);
    three
        .open(&first)
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let before = three.place.read();
    // The second is away: nothing is written. Then it is there.
    let two = three.with(1, |keks| keks.truncate(2));
    three.leave(0b001);
    let e = keks::add(&two, "aws").map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
    assert_eq!(three.place.read(), before, "nothing was written");
    three.leave(0b111);
    let e = keks::add(&two, "azure").map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    keks::add(&two, "aws").unwrap();
    assert_eq!(three.holders(), ["bao", "aws"]);
    assert!(three.opens(1, &["aws"]) && three.opens(1, &["bao"]));
    // A sync does what it can, and tells of each.
    let all = three.config(1);
    three.leave(0b101);
    let done = keks::sync(&all).unwrap();
    let outcome = |name: &str| &done.iter().find(|s| s.name == name).unwrap().outcome;
    assert!(matches!(outcome("bao"), SyncOutcome::Valid));
    assert!(matches!(outcome("aws"), SyncOutcome::Failed(e) if e.kind() == Kind::NotFound));
    assert!(matches!(outcome("paper"), SyncOutcome::Wrapped));
    assert_eq!(
        three.holders(),
        ["bao", "aws", "paper"],
        "no stanza is dropped"
    );
    three.leave(0b111);
    let generation = |c: &Config| three.open(c).unwrap().status().store.generation;
    let now = generation(&all);
    let done = keks::sync(&all).unwrap();
    assert!(done.iter().all(|s| matches!(s.outcome, SyncOutcome::Valid)));
    assert_eq!(generation(&all), now, "there was nothing to write");
    // One goes: a new DEK, and the old file still opens with what it opened with.
    let old = three.place.read();
    let e = keks::remove(&all, "azure", &pin()).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    let fingerprint = |c: &Config| three.open(c).unwrap().status().store.fingerprint;
    let was = fingerprint(&all);
    keks::remove(&all, "aws", &pin()).unwrap();
    assert_eq!(three.holders(), ["bao", "paper"]);
    assert_ne!(fingerprint(&all), was);
    assert!(!three.opens(1, &["aws"]));
    // The configuration may name it no more.
    let aws_is_gone = three.with(1, |keks| drop(keks.remove(1)));
    keks::add(&all, "aws").unwrap();
    let opened = three.open(&aws_is_gone).unwrap();
    let warned = opened.take_warnings().join(" ");
    assert!(
        warned.contains("also be opened by the KEK 'aws'"),
        "{warned}"
    );
    drop(opened);
    keks::remove(&aws_is_gone, "aws", &pin()).unwrap();
    assert_eq!(three.holders(), ["bao", "paper"]);
    assert!(parse_header(&old).unwrap().header.stanzas.len() == 3);
}

/// A split keyring: adding splits it anew, and what was a share of before gives nothing with what is one now.
#[test]
fn a_split_keyring_is_split_anew() {
    let three = Three::new();
    let two = three.with(2, |keks| keks.truncate(2));
    three
        .open(&two)
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let split = || {
        let header = parse_header(&three.place.read()).unwrap().header;
        *header.stanzas[0].share().unwrap()
    };
    let before = split();
    keks::add(&three.config(2), "paper").unwrap();
    let after = split();
    assert_eq!((before.shares, after.shares), (2, 3));
    assert_ne!(before.split, after.split);
    for pair in [["bao", "aws"], ["bao", "paper"], ["aws", "paper"]] {
        assert!(three.opens(2, &pair), "{pair:?}");
    }
    // One is away: no new split.
    three.leave(0b011);
    let e = keks::sync(&three.config(2)).unwrap();
    assert!(
        e.iter()
            .any(|s| matches!(s.outcome, SyncOutcome::Failed(_)))
    );
    assert_eq!(split(), after);
    three.leave(0b111);
    // A sync changes no threshold, and splits nothing while somebody else has a share.
    let e = keks::sync(&three.config(1)).map(drop).unwrap_err();
    assert!(
        e.to_string()
            .contains("needs 2 KEKs, the configuration says 1"),
        "{e}"
    );
    let e = keks::sync(&two).map(drop).unwrap_err();
    assert!(
        e.to_string()
            .contains("'paper', which the configuration does not name"),
        "{e}"
    );
    keks::remove(&two, "paper", &pin()).unwrap();
    assert_eq!(three.holders(), ["bao", "aws"]);
    assert!(three.opens(2, &["bao", "aws"]));
}

/// A rekey changes the threshold, and goes back to one KEK, whose file is written as it always was.
#[test]
fn a_rekey_changes_everything() {
    let three = Three::new();
    let one = three.place.config();
    three
        .place
        .open()
        .unwrap()
        .by(&Caller::Unknown)
        .generate(b"k", b"", b"AES", 32)
        .unwrap();
    let (any, two) = (three.config(1), three.config(2));
    let rekey = |from: &Config, to: &Config| rekey(from, &to.keks, false, false, &pin());
    rekey(&one, &any).unwrap();
    assert!(
        three.place.open().is_err(),
        "a new DEK, without the old KEK"
    );
    let e = rekey(&any, &any).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::InvalidInput);
    // The configuration before the rekey: what is demanded is not there.
    let e = three.open(&two).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::Tampered);
    assert!(e.to_string().contains("keyring-ward rekey"), "{e}");
    rekey(&any, &two).unwrap();
    let opened = three.open(&any).unwrap();
    assert!(opened.take_warnings().join(" ").contains("needs 2 KEKs"));
    drop(opened);
    // All or nothing.
    let before = three.place.read();
    three.leave(0b011);
    let e = could_rekey(&two, &any.keks, false).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    let e = rekey(&two, &any).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound);
    assert_eq!(three.place.read(), before);
    three.leave(0b111);
    rekey(&two, &one).unwrap();
    let header = parse_header(&three.place.read()).unwrap().header;
    assert_eq!((header.features.required, header.stanzas.len()), (0, 1));
    assert!(header.stanzas[0].holder.is_none());
    assert!(
        three
            .place
            .open()
            .unwrap()
            .fetch(b"k", b"")
            .unwrap()
            .is_some()
    );
}

/// Making a keyring takes all of them, writes nothing where one is away, and warns of a KEK that outweighs the others.
#[test]
fn init_takes_all_keks() {
    let three = Three::new();
    three.leave(0b011);
    let e = init(&three.config(1), false, false).map(drop).unwrap_err();
    assert_eq!(e.kind(), Kind::NotFound, "{e}");
    assert!(e.to_string().contains("the KEK 'paper'"), "{e}");
    assert!(!three.place.keyring_file().exists());
    let mut outcome = init(&three.config(1), true, false).unwrap();
    assert!(
        outcome.made.take().unwrap().contains("paper.key"),
        "made what was not there"
    );
    assert_eq!(three.holders(), NAMES);
    std::fs::remove_file(three.place.keyring_file()).unwrap();
    let recovery = |group: Option<&str>| {
        three.with(2, |keks| {
            keks[2]["use"] = "recovery".into();
            if let Some(group) = group {
                keks[1]["group"] = group.into();
                keks[2]["group"] = group.into();
            }
        })
    };
    let outcome = init(&recovery(None), false, false).unwrap();
    assert!(
        outcome
            .warnings
            .join(" ")
            .contains("'paper' holds the whole DEK"),
        "{:?}",
        outcome.warnings
    );
    // A server opens it without the recovery KEK's secret, and the tool with it alone.
    three.leave(0b011);
    three.open(&recovery(None)).map(drop).unwrap();
    three.leave(0b100);
    three.open(&recovery(None)).map(drop).unwrap_err();
    let mut with_recovery = recovery(None);
    with_recovery.keks.recovering = true;
    assert!(keks::list(&with_recovery).unwrap()[2].wrapped.unwrap());
    three.leave(0b111);
    std::fs::remove_file(three.place.keyring_file()).unwrap();
    let outcome = init(&recovery(Some("g")), false, false).unwrap();
    assert_eq!(outcome.warnings, Vec::<String>::new());
}

/// What the status tells: each KEK by itself, and that the keyring is degraded.
#[test]
fn the_status_tells_of_each_kek() {
    let three = Three::new();
    three.make(1);
    three.leave(0b110);
    let keyring = three.open(&three.config(1)).unwrap();
    let warnings = keyring.take_warnings().join(" ");
    assert!(
        warnings.contains("The KEK 'bao' did not open the keyring"),
        "{warnings}"
    );
    let status = Status::of_keyring(&keyring);
    let json = status.json(View::Tool);
    assert_eq!(
        (&json["keks_configured"], &json["keks_answered"]),
        (&3.into(), &1.into())
    );
    let degraded = json["degraded"].as_str().unwrap();
    assert!(
        degraded.contains("'bao' (NotFound)") && !degraded.contains("aws"),
        "{degraded}"
    );
    let results: Vec<_> = json["keks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| k["result"].clone())
        .collect();
    assert_eq!(results, ["NotFound", "opened", "not asked"]);
    let rows = status.rows(View::Rows, "None");
    let row = |name: &str| rows.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!(row("KEK.aws.Result"), "opened");
    assert_eq!(row("KEK.bao.Provider"), "file");
    assert!(row("KEK.bao.Error").starts_with("KW-0001 NotFound"));
    assert_eq!(row("Degraded"), degraded);
    let metrics = render(&status);
    for line in [
        "keyring_ward_degraded 1",
        "keyring_ward_keks_answered 1",
        r#"keyring_ward_kek_failed{kek="bao",provider="file"} 1"#,
        r#"keyring_ward_kek_failed{kek="aws",provider="file"} 0"#,
        r#"keyring_ward_kek_wrapped{kek="paper",provider="file"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    // All are asked on demand; and what is well is not degraded.
    keyring.test_keks().unwrap();
    let answered = keyring.status().store.kek_health();
    assert_eq!((answered.configured, answered.answered), (3, 2));
    three.leave(0b111);
    keyring.test_keks().unwrap();
    assert_eq!(keyring.status().store.kek_health().degraded, None);
}

/// While a server starts a secret that is not there yet may come, whichever KEK's it is.
#[test]
fn a_start_waits_for_the_secret_of_any_kek() {
    let three = Three::new();
    three.make(1);
    three.leave(0);
    let mut environment = three.place.server();
    environment.starting = true;
    let config = three.config(1);
    let opened = std::thread::scope(|scope| {
        let start = scope.spawn(|| Keyring::open(&config, &environment, &SecretPool::new()));
        three.leave(0b010);
        start.join().unwrap()
    });
    assert!(opened.unwrap().fetch(b"k", b"").unwrap().is_some());
    // Nobody comes: the start ends with its time.
    three.leave(0);
    let begin = Instant::now();
    let e = Keyring::open(&config, &environment, &SecretPool::new());
    assert_eq!(e.map(drop).unwrap_err().kind(), Kind::NotFound);
    let took = begin.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(5)).contains(&took),
        "{took:?}"
    );
}

/// The data directory's file may not take KEKs away, nor lower what is needed, nor add a KEK.
#[test]
fn a_local_file_changes_no_list() {
    let three = Three::new();
    let (global, local) = (
        three.place.dir.path().join("plugins"),
        three.place.data_dir(),
    );
    std::fs::create_dir(&global).unwrap();
    let name = "component_keyring_ward.cnf";
    let mut json = three.json(2);
    json["read_local_config"] = true.into();
    std::fs::write(global.join(name), json.to_string()).unwrap();
    let none = CommandLine {
        args: vec!["--no-defaults".into()],
        ..CommandLine::default()
    };
    let read = |json: Value| {
        std::fs::write(local.join(name), json.to_string()).unwrap();
        component_config(&global, Some(&local), &none)
    };
    let same = read(json!({ "path": "/other", "region": "here" })).unwrap();
    assert_eq!((same.keks.len(), same.keks.threshold), (3, 2));
    let two = json!([three.kek("bao"), three.kek("aws")]);
    let mut exchanged = three.json(2)["keks"].clone();
    exchanged[0]["key_file"] = "/tmp/mine".into();
    for bad in [
        json!({ "keks": two }),
        json!({ "keks": exchanged }),
        json!({ "threshold": 1 }),
        json!({ "backend": "file" }),
        json!({ "file": { "key_file": "/tmp/mine" } }),
        json!({ "keks": "bao" }),
    ] {
        let begin = Instant::now();
        let e = read(bad.clone()).map(drop).unwrap_err();
        fault_rows::told("keks", "the data directory's own file", &e, begin.elapsed());
        assert_eq!(e.kind(), Kind::Config, "{bad}: {e}");
    }
    // And where the administrator's file names the only KEK, no list comes beside it.
    let short =
        json!({ "read_local_config": true, "backend": "file", "file": { "key_file": "/k" } });
    std::fs::write(global.join(name), short.to_string()).unwrap();
    let e = read(json!({ "path": "/k", "keks": [three.kek("bao")] }))
        .map(drop)
        .unwrap_err();
    assert!(e.to_string().contains("may add none"), "{e}");
}

/// The plugin's variables name a file, and may lie over it; the list itself is no variable's.
#[test]
fn the_plugin_has_a_file() {
    let three = Three::new();
    let file = three.place.dir.path().join("ward.json");
    std::fs::write(&file, three.json(2).to_string()).unwrap();
    let path = file.display().to_string();
    let read = |values: &[(&str, &str)]| {
        let mut layer = Layer::from_origin("variables");
        for (name, value) in values {
            layer.set(find_option(|o| o.name == *name).unwrap(), *value);
        }
        plugin_layer(layer).and_then(Layer::finish)
    };
    let config = read(&[
        ("config_file", &path),
        ("timeout", "7"),
        ("read_only", "false"),
    ])
    .unwrap();
    assert_eq!((config.keks.len(), config.keks.threshold), (3, 2));
    assert_eq!(config.patience.call, Duration::from_secs(7));
    for (values, words) in [
        (vec![("config_file", "/absent.json")], "does not exist"),
        (
            vec![("config_file", "relative.json")],
            "not an absolute path",
        ),
        (
            vec![("config_file", &*path), ("backend", "file")],
            "both keks and backend",
        ),
        (
            vec![("keks", "bao"), ("path", "/k")],
            "nothing says what they are",
        ),
    ] {
        let e = read(&values).unwrap_err();
        assert_eq!(e.kind(), Kind::Config);
        assert!(e.to_string().contains(words), "{words} in {e}");
    }
}

/// What `init` prints is the configuration again: JSON in one line, and groups of my.cnf.
#[test]
fn a_list_is_written_as_it_was_given() {
    let three = Three::new();
    let mut json = three.json(2);
    json["region"] = "here".into();
    json["keks"][1]["region"] = "here".into();
    json["keks"][2] = json!({ "name": "hsm", "provider": "pkcs11", "module": "/m.so", "slot": 7,
        "token_label": "t", "key_label": "k # \"odd\"", "pin_file": "credential:pin", "group": "g" });
    let layer = || json::parse(json.to_string().as_bytes(), "f").unwrap().layer;
    let given = layer().finish();
    // A slot beside a label is a mistake of the provider's own, with the KEK's name.
    let e = given.unwrap_err();
    assert!(e.to_string().contains("the KEK 'hsm'"), "{e}");
    json["keks"][2].as_object_mut().unwrap().remove("slot");
    let layer = || json::parse(json.to_string().as_bytes(), "f").unwrap().layer;
    let given = layer().finish().unwrap();
    let written = layer().written().unwrap();
    let again = json::parse(written.json_line().as_bytes(), "f").unwrap();
    assert_eq!(again.layer.finish().unwrap().keks, given.keks);
    let mut text = format!("[keyring_ward]\n{}\n", written.lines("").join("\n"));
    for (head, lines) in written.kek_groups() {
        text += &format!("{head}\n{}\n", lines.join("\n"));
    }
    let file = three.place.dir.path().join("my.cnf");
    std::fs::write(&file, &text).unwrap();
    let mut argument = std::ffi::OsString::from("--defaults-file=");
    argument.push(&file);
    let command_line = CommandLine {
        args: vec![argument],
        ..CommandLine::default()
    };
    let group = command_line.option_files(&["keyring_ward"]).layer();
    assert_eq!(group.unwrap().finish().unwrap().keks, given.keks, "{text}");
}
