//! The contract of several KEKs for one keyring: who opens it, who does not, and what is said of each.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, write_secret};
use keyring_ward::config::discover::CommandLine;
use keyring_ward::config::{Config, json};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::format::stanza::{Holder, Part, Share, Stanza};
use keyring_ward::kek::member::{Answer, Member, Naming, Use};
use keyring_ward::kek::{Budget, Kek, Keks, Unwrapped};
use keyring_ward::keyring::Keyring;
use keyring_ward::secret::{SecretBytes, SecretPool};
use serde_json::{Value, json};
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
        keyring.generate(b"k", b"", b"AES", 32).unwrap();
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
            keyring.generate(b"x", b"", b"AES", 16).unwrap();
            keyring.remove(b"x", b"").unwrap();
            keyring.compact().unwrap();
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
    let stanzas = keks
        .wrap(&pool, &FILE, &dek, Duration::from_secs(5))
        .unwrap();
    (dek, stanzas)
}

fn open(keks: &Keks, stanzas: &[Stanza], total: Duration) -> Result<keyring_ward::kek::Opened> {
    keks.open(&SecretPool::new(), &FILE, stanzas, Deadline::after(total))
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
        keks.wrap(&pool, &FILE, &dek, Duration::from_secs(5))
            .unwrap()
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
    let refused = |stanzas: &[Stanza], threshold: u8, words: &str, asked: bool| {
        let all = fakes(&well, threshold);
        let e = open(&all.keks, stanzas, second).map(drop).unwrap_err();
        let said = e.to_string();
        assert!(said.contains(words), "{words} in {said}");
        assert_eq!(all.calls().iter().any(|c| *c > 0), asked, "{said}");
        e.kind()
    };
    let (_, one) = wrapped(&["a", "b", "c"], 2);
    let (_, other) = wrapped(&["a", "b", "c"], 2);
    // Shares of two splits.
    let mixed = [one[0].clone(), other[1].clone(), one[2].clone()];
    let kind = refused(&mixed, 2, "shares of two splits", false);
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
        refused(&forged, 2, "1 of the 2 shares", true),
        Kind::WrongKek
    );
    // Too few shares.
    assert_eq!(
        refused(&one[..1], 2, "1 of the 2 shares", true),
        Kind::WrongKek
    );
    // The same share twice is one.
    let twice = [one[0].clone(), one[0].clone()];
    assert_eq!(
        refused(&twice, 2, "1 of the 2 shares", true),
        Kind::WrongKek
    );
    // A lower threshold than is configured, all over or for one KEK.
    let (_, whole) = wrapped(&["a", "b", "c"], 1);
    assert_eq!(
        refused(&whole, 2, "claim that 1 is enough", false),
        Kind::Tampered
    );
    assert_eq!(
        refused(&one, 3, "claim that 2 is enough", false),
        Kind::Tampered
    );
    let smuggled = [one[0].clone(), whole[1].clone(), one[2].clone()];
    let words = "1 is enough by the KEK 'b'";
    assert_eq!(refused(&smuggled, 2, words, false), Kind::Tampered);
    // Under a name that nobody has, it is nobody's: no KEK of a server takes the whole DEK.
    let mut nameless = whole[1].clone();
    nameless.holder = None;
    let beside = [one[0].clone(), nameless];
    assert_eq!(
        refused(&beside, 2, "1 of the 2 shares", true),
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
    let e = keks.open(&pool, &[8; 16], &whole, Deadline::after(second));
    assert_eq!(e.map(drop).unwrap_err().kind(), Kind::WrongKek);
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
            .wrap(&pool, &FILE, &dek, Duration::from_secs(1))
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
        let e = config(&bad).unwrap_err();
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
