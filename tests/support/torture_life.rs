//! The life of keys for `torture`: every change to a logical or a retired key, acknowledged, and the judge of what is there
//! after a kill or a power cut.
//!
//! Owns the file `life`: before a change a line `begin` with what is seen and what is to come of it, after it `ok` with what is
//! seen then. It must never write `ok` before the keyring said so.
//!
//! ```text
//! begin NAME BEFORE AFTER
//! ok NAME SEEN
//! ```
//! What is seen of a name, e.g. `2=active.-.1f..|1=destroyed.-.77..`: a version's state, whether its end is planned, and the
//! hash of its material, wherever that is kept.

use super::{Place, hash, shutdown};
use keyring_ward::caller::Caller;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::key::id::KeyId;
use keyring_ward::key::logical::{State, VersionOf, split};
use keyring_ward::keyring::Keyring;
use keyring_ward::keyring::logical::Wanted;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

const OWNER: &[u8] = b"o";
const SERVERS: &str = "INNODBKey-01234567-89ab-cdef-0123-456789abcdef-";
/// A version is made, and nobody knows what it will be.
const ANY: &str = "*";
/// Changes that one name goes through before the next name's turn.
const TURN: usize = 30;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    state: String,
    planned: bool,
    hash: String,
}

/// By number of the version; the server's own keys have one, 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Whole {
    held: bool,
    versions: BTreeMap<u32, Seen>,
}

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.held { "held" } else { "free" })?;
        for (number, seen) in &self.versions {
            let planned = if seen.planned { "planned" } else { "-" };
            write!(f, "|{number}={}.{planned}.{}", seen.state, seen.hash)?;
        }
        Ok(())
    }
}

impl Whole {
    fn parse(text: &str) -> Whole {
        let mut parts = text.split('|');
        let held = parts.next() == Some("held");
        let versions = parts.map(|part| {
            let (number, rest) = part.split_once('=').unwrap();
            let fields: Vec<&str> = rest.split('.').collect();
            let seen = Seen {
                state: fields[0].into(),
                planned: fields[1] == "planned",
                hash: fields[2].into(),
            };
            (number.parse().unwrap(), seen)
        });
        Whole {
            held,
            versions: versions.collect(),
        }
    }

    /// This is what was expected, whose new versions have any material.
    fn is(&self, expected: &Whole) -> bool {
        self.held == expected.held
            && self.versions.keys().eq(expected.versions.keys())
            && (self.versions.values().zip(expected.versions.values())).all(|(seen, wanted)| {
                (&seen.state, seen.planned) == (&wanted.state, wanted.planned)
                    && (wanted.hash == ANY || wanted.hash == seen.hash)
            })
    }

    fn number_in(&self, state: &str) -> Option<u32> {
        let found = self.versions.iter().find(|(_, seen)| seen.state == state);
        found.map(|(number, _)| *number)
    }

    fn put(&mut self, number: u32, state: &str) {
        let seen = self.versions.entry(number).or_insert(Seen {
            state: String::new(),
            planned: false,
            hash: ANY.into(),
        });
        seen.state = state.into();
        if state == "active" || state.starts_with("destroyed") {
            seen.planned = false;
        }
    }

    fn switch_to(&mut self, number: u32) {
        if let Some(old) = self.number_in("active") {
            self.put(old, "deactivated");
        }
        self.put(number, "active");
    }

    fn destroy(&mut self, number: u32) {
        let state = match &*self.versions[&number].state {
            "compromised" | "destroyed-compromised" => "destroyed-compromised",
            _ => "destroyed",
        };
        self.put(number, state);
    }

    fn bring_back(&mut self, number: u32) {
        let highest = self.versions.keys().next_back() == Some(&number);
        match &*self.versions[&number].state {
            "destroyed-compromised" => self.put(number, "compromised"),
            _ if highest && self.number_in("active").is_none() => self.switch_to(number),
            _ => self.put(number, "deactivated"),
        }
    }
}

/// What is to be done to a name next, and what comes of it; `None`: it does not fit what is there.
type Step = (&'static str, Option<u32>, Whole);

fn step(turn: usize, is: &Whole) -> Option<Step> {
    let mut after = is.clone();
    let highest = is.versions.keys().next_back().copied().unwrap_or(0);
    let gone = |number: &u32| is.versions[number].state.starts_with("destroyed");
    let destroyed = || is.versions.keys().copied().filter(gone);
    // Where all of it is gone there is no logical key any more.
    let any = is.versions.keys().any(|number| !gone(number));
    Some(match turn {
        0 if is.versions.is_empty() => {
            after.put(1, "active");
            ("create", None, after)
        }
        1 | 4 | 14 | 22 if any => {
            after.switch_to(highest + 1);
            ("rotate", None, after)
        }
        2 | 12 if any => {
            after.put(highest + 1, "pending");
            ("pend", None, after)
        }
        3 | 13 => {
            let number = is.number_in("pending")?;
            after.switch_to(number);
            ("activate", Some(number), after)
        }
        5 | 7 | 17 => {
            let number = is.number_in("deactivated")?;
            after.versions.get_mut(&number)?.planned = true;
            ("plan", Some(number), after)
        }
        6 => {
            let planned = is.versions.iter().find(|(_, seen)| seen.planned);
            let number = *planned?.0;
            after.versions.get_mut(&number)?.planned = false;
            ("cancel", Some(number), after)
        }
        8 | 18 => {
            let planned = is.versions.iter().find(|(_, seen)| seen.planned);
            let number = *planned?.0;
            after.destroy(number);
            ("destroy", Some(number), after)
        }
        9 | 19 | 26 | 27 if destroyed().next().is_some() => {
            // The newest first: an older one has a name that is taken otherwise.
            let number = destroyed().next_back()?;
            after.bring_back(number);
            ("restore", Some(number), after)
        }
        10 if any && !is.held => {
            after.held = true;
            ("hold", None, after)
        }
        11 if is.held => {
            after.held = false;
            ("release", None, after)
        }
        15 => {
            let number = is.number_in("deactivated")?;
            after.put(number, "compromised");
            ("compromise", Some(number), after)
        }
        16 | 23 => ("compact", None, after),
        20 | 24 if any => {
            let alive: Vec<u32> = is.versions.keys().copied().filter(|n| !gone(n)).collect();
            for number in alive {
                after.versions.get_mut(&number)?.planned = true;
            }
            ("plan-all", None, after)
        }
        25 if any && is.versions.iter().all(|(n, seen)| gone(n) || seen.planned) => {
            let all: Vec<u32> = is.versions.keys().copied().filter(|n| !gone(n)).collect();
            all.into_iter().for_each(|number| after.destroy(number));
            ("destroy-all", None, after)
        }
        21 => {
            is.versions.values().find(|seen| seen.planned)?;
            after.versions.values_mut().for_each(|v| v.planned = false);
            ("cancel-all", None, after)
        }
        _ => return None,
    })
}

fn id(name: &str, number: Option<u32>) -> KeyId {
    let name = match number {
        Some(number) => format!("{name}@{number}"),
        None => name.to_string(),
    };
    let owner = if name.starts_with(SERVERS) {
        b""
    } else {
        OWNER
    };
    KeyId::new(name.as_bytes(), owner).unwrap()
}

fn carry_out(keyring: &Keyring, name: &str, what: &str, number: Option<u32>) -> Result<()> {
    let key = id(name, None);
    let change = |f: &dyn Fn(&mut keyring_ward::key::logical::Logical, i64) -> Result<()>| {
        keyring.by(&Caller::Unknown).change_logical(&key, f)
    };
    match (what, number) {
        ("create", _) => {
            let wanted = Wanted {
                follow: true,
                ..Wanted::default()
            };
            keyring
                .by(&Caller::Unknown)
                .create_logical(&key, b"AES", 32, &wanted)
        }
        ("rotate", _) => keyring.by(&Caller::Unknown).rotate(&key, true).map(drop),
        ("pend", _) => keyring.by(&Caller::Unknown).rotate(&key, false).map(drop),
        ("activate", Some(number)) => keyring.by(&Caller::Unknown).activate(&key, number),
        // Planned as due already: a day has to pass otherwise.
        ("plan", Some(number)) => change(&|logical, now| {
            logical.version_mut(number)?.destroy_at = Some(now - 1);
            Ok(())
        }),
        ("plan-all", _) => change(&|logical, now| {
            let alive = logical.versions.iter_mut();
            let alive = alive.filter(|v| v.state != State::Destroyed);
            alive.for_each(|v| v.destroy_at = Some(now - 1));
            Ok(())
        }),
        ("cancel", number) => change(&|logical, _| logical.cancel(number)),
        ("cancel-all", _) => change(&|logical, _| logical.cancel(None)),
        ("destroy", number) => keyring
            .by(&Caller::Unknown)
            .destroy_due(&key, number)
            .map(drop),
        ("destroy-all", _) => keyring
            .by(&Caller::Unknown)
            .destroy_due(&key, None)
            .map(drop),
        ("restore", number) => keyring
            .by(&Caller::Unknown)
            .restore_retired(&id(name, number), None),
        ("hold", _) => change(&|logical, _| logical.hold(Some("torture"))),
        ("release", _) => change(&|logical, _| logical.hold(None)),
        ("compromise", Some(number)) => change(&|logical, now| logical.compromise(number, now)),
        ("compact", _) => keyring.by(&Caller::Unknown).compact(),
        // The server's own.
        ("make", _) => keyring
            .by(&Caller::Unknown)
            .generate(name.as_bytes(), b"", b"AES", 32),
        ("retire", _) => keyring.by(&Caller::Unknown).remove(name.as_bytes(), b""),
        ("unretire", _) => keyring.by(&Caller::Unknown).restore_retired(&key, None),
        other => panic!("no change {other:?}"),
    }
}

/// One of the server's keys: made, retired, brought back, retired.
fn servers_step(turn: usize, is: &Whole) -> Option<Step> {
    let mut after = is.clone();
    let state = is.versions.get(&0).map(|seen| &*seen.state);
    let (what, next) = match (turn, state) {
        (0, None) => ("make", "key"),
        (1 | 3, Some("key")) => ("retire", "retired"),
        (2, Some("retired")) => ("unretire", "key"),
        _ => return None,
    };
    after.put(0, next);
    Some((what, None, after))
}

/// What is there of a name. What is served must fit it.
fn seen(keyring: &Keyring, name: &str) -> std::result::Result<Whole, String> {
    let mut whole = Whole::default();
    let base = |id: &KeyId| match split(id.name()) {
        Some((base, number)) if base == name.as_bytes() => Some(number),
        None if id.name() == name.as_bytes() => Some(0),
        _ => None,
    };
    for removed in keyring.retired() {
        let Some(number) = base(&removed.info.id) else {
            continue;
        };
        let key = keyring.retired_key(&removed.info.id, removed.removal.number);
        let own = removed.info.version_bytes().map(VersionOf::from_bytes);
        let compromised = own.is_some_and(|own| {
            let own = own.unwrap();
            own.logical.version(own.number).unwrap().is_compromised()
        });
        let state = match (number, compromised) {
            (0, _) => "retired",
            (_, true) => "destroyed-compromised",
            (_, false) => "destroyed",
        };
        let seen = Seen {
            state: state.into(),
            planned: false,
            hash: hash(key.unwrap().material()),
        };
        whole.versions.insert(number, seen);
    }
    let logical = keyring.logical_key(&id(name, None)).ok();
    for key in keyring.list() {
        let Some(number) = base(&key.id) else {
            continue;
        };
        let known = logical.as_ref().and_then(|l| l.logical.version(number));
        let state = match (number, known) {
            (0, _) => "key".into(),
            (_, Some(v)) if v.state == State::Destroyed && v.is_compromised() => {
                "destroyed-compromised".into()
            }
            (_, Some(v)) => v.state.name().to_string(),
            (_, None) => return Err(format!("UNKNOWN {name}@{number}")),
        };
        let planned = known.is_some_and(|v| v.destroy_at.is_some());
        let hash = hash(key.material().unwrap());
        whole.versions.insert(
            number,
            Seen {
                state,
                planned,
                hash,
            },
        );
    }
    let Some(logical) = logical else {
        return Ok(whole);
    };
    whole.held = logical.logical.held.is_some();
    for version in &logical.logical.versions {
        let fetched = keyring.fetch(id(name, Some(version.number)).name(), OWNER);
        let known = whole.versions.get(&version.number);
        let fits = match (version.state, &fetched) {
            (State::Compromised, Err(e)) => e.kind() == Kind::KeyState,
            (State::Destroyed, Ok(None)) => true,
            (State::Compromised | State::Destroyed, _) => false,
            (_, Ok(Some(key))) => known.is_some_and(|seen| seen.hash == hash(key.material())),
            _ => false,
        };
        if !fits || known.is_none() {
            let of = version.number;
            return Err(format!("LOST {name}@{of}, which is {:?}", version.state));
        }
    }
    let followed = keyring.fetch(name.as_bytes(), OWNER);
    let current = whole
        .number_in("active")
        .map(|n| whole.versions[&n].hash.clone());
    match (current, followed) {
        (Some(current), Ok(Some(key))) if hash(key.material()) == current => Ok(whole),
        (None, Ok(None) | Err(_)) => Ok(whole),
        (current, _) => Err(format!("{name} does not follow {current:?}")),
    }
}

/// What the file `life` promises: what may be there of each name, the oldest first.
fn promises(place: &Place) -> BTreeMap<String, Vec<Whole>> {
    let text = std::fs::read_to_string(place.stable.join("life")).unwrap_or_default();
    let mut all: BTreeMap<String, Vec<Whole>> = BTreeMap::new();
    // What was acknowledged after a power cut had begun promises nothing; it may be there.
    let mut cut = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["cut"] => cut = true,
            ["begin", name, before, after] => {
                let may = all.entry(name.into()).or_default();
                if !cut || may.is_empty() {
                    *may = vec![Whole::parse(before)];
                }
                may.push(Whole::parse(after));
            }
            ["ok", name, is] => {
                let may = all.entry(name.into()).or_default();
                if !cut {
                    may.clear();
                }
                may.push(Whole::parse(is));
            }
            _ => panic!("a line that is none: {line}"),
        }
    }
    all
}

/// Goes through `count` turns, or until so many changes were acknowledged, and cuts the file system then.
pub fn live(place: &Place, count: usize, cut: Option<(u64, u32)>) -> Result<ExitCode> {
    let mut keyring = place.open(1)?;
    let mut acks = File::options()
        .append(true)
        .create(true)
        .open(place.stable.join("life"))
        .unwrap();
    let mut line = |line: String| acks.write_all(format!("{line}\n").as_bytes()).unwrap();
    let first = promises(place).len();
    let mut done = 0;
    for turn in 0..count {
        let (name, step): (_, fn(usize, &Whole) -> Option<Step>) = match (first + turn / TURN) % 4 {
            1 => (format!("{SERVERS}{}", first + turn / TURN), servers_step),
            _ => (format!("life{}", first + turn / TURN), step),
        };
        let before = seen(&keyring, &name).map_err(lost)?;
        let Some((what, number, after)) = step(turn % TURN, &before) else {
            continue;
        };
        line(format!("begin {name} {before} {after}"));
        if let Err(e) = carry_out(&keyring, &name, what, number) {
            // One injected fault: one of the two states, here and in what a RELOAD reads.
            println!("{what} {name}: {e}");
            let now = seen(&keyring, &name).map_err(lost)?;
            if now != before && !now.is(&after) {
                return Err(lost(format!("{what}: {before} is {now}")));
            }
            keyring = keyring.reload(&place.config(1), &place.environment())?;
            let now = seen(&keyring, &name).map_err(lost)?;
            if now != before && !now.is(&after) {
                return Err(lost(format!("{what}, reloaded: {before} is {now}")));
            }
            line(format!("ok {name} {now}"));
            continue;
        }
        let now = seen(&keyring, &name).map_err(lost)?;
        if !now.is(&after) {
            return Err(lost(format!("{what}: {after} was wanted, {now} is there")));
        }
        line(format!("ok {name} {now}"));
        done += 1;
        if let Some((after, mode)) = cut
            && done >= after
        {
            shutdown(&place.dir, mode);
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lost(why: String) -> Error {
    Error::new(Kind::Internal, "torture", why)
}

/// Opens the keyring; what was acknowledged must be there, and what was begun in one of its two states.
pub fn check(place: &Place) -> ExitCode {
    let all = promises(place);
    let keyring = match place.open(1) {
        Ok(keyring) => keyring,
        Err(e) => {
            println!("DESTROYED {e}");
            return ExitCode::from(2);
        }
    };
    let (mut bad, mut text, mut versions) = (0, String::new(), 0);
    for (name, may) in &all {
        match seen(&keyring, name) {
            Ok(now) if may.iter().any(|state| now.is(state)) => {
                versions += now.versions.len();
                text.push_str(&format!("ok {name} {now}\n"));
            }
            Ok(now) => {
                bad += 1;
                let may: Vec<String> = may.iter().map(Whole::to_string).collect();
                println!("NEITHER {name}: {now} is none of {}", may.join(", "));
            }
            Err(why) => {
                bad += 1;
                println!("{why}");
            }
        }
    }
    std::fs::write(place.stable.join("life"), text).unwrap();
    println!("names={} versions={versions} bad={bad}", all.len());
    ExitCode::from(u8::from(bad > 0))
}
