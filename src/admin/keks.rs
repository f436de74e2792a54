//! The KEKs of a keyring: which there are, whether each opens it, and one more or one less.
//!
//! Owns what `kek list`, `test`, `add`, `remove` and `sync` do, by the tool or by a server. The configuration says which
//! KEKs there are: nothing here writes it. It must never take a KEK out without a new DEK, and never write half of a change.

use super::pin::{self, Pin};
use super::rekey::{Outcome, put_under};
use super::{Target, open_alone, open_dry, open_to_look};
use crate::config::{Config, KekList};
use crate::error::{Error, Kind, Result};
use crate::keyring::{By, Keyring};
use crate::os::signals;
use crate::secret::SecretPool;
use crate::text::shorten;
use serde_json::{Value, json};
use std::time::Duration;

pub use crate::kek::completing::{SyncOutcome, Synced};
pub use crate::kek::member::{Answer, KekInfo, Naming, Use};

const ADD: &str = "wrap the DEK for one more KEK";
const REMOVE: &str = "take a KEK out";

/// Every configured KEK, as far as the file and the opening of it tell. Those that were not needed were not asked.
///
/// # Errors
/// All errors of opening a keyring.
pub fn list<'a>(target: impl Into<Target<'a>>) -> Result<Vec<KekInfo>> {
    let keyring = open_to_look(&target.into(), &SecretPool::new())?;
    Ok(keyring.status().store.keks)
}

/// The same after each KEK was asked to open its stanza, each for `timeout` at the longest. Recovery KEKs are asked where
/// the configuration says that a recovery is meant ([`KekList::recovering`]).
///
/// # Errors
/// All errors of opening a keyring.
pub fn test<'a>(target: impl Into<Target<'a>>) -> Result<Vec<KekInfo>> {
    let keyring = open_to_look(&target.into(), &SecretPool::new())?;
    test_serving(&keyring)
}

/// [`test()`] of a keyring that is open.
///
/// # Errors
/// No secret memory.
pub fn test_serving(keyring: &Keyring) -> Result<Vec<KekInfo>> {
    keyring.test_keks()?;
    Ok(keyring.status().store.keks)
}

/// A KEK that opened each time it was asked, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    /// Its name.
    pub name: String,
    /// It is in the keyring's own region, so that it is tried before the others wherever it stands.
    pub near: bool,
    /// The middle of the times that it took.
    pub median: Duration,
}

/// The order in which a server would best try its KEKs: those of its region first, as it does anyway, then the quicker ones.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Every KEK, as it answered last.
    pub keks: Vec<KekInfo>,
    /// Those that opened each time, in that order.
    pub order: Vec<Ranked>,
    /// They stand in that order in the configuration.
    pub is_so: bool,
}

/// Asks each KEK that a server tries `times` times to open its stanza, and ranks them.
///
/// # Errors
/// As [`test()`].
pub fn rank<'a>(target: impl Into<Target<'a>>, times: u32) -> Result<Ranking> {
    let keyring = open_to_look(&target.into(), &SecretPool::new())?;
    let mut rounds = Vec::new();
    for _ in 0..times.max(1) {
        rounds.push(test_serving(&keyring)?);
    }
    let own = keyring.config().keks.region.clone();
    Ok(ranked(rounds, own.as_deref()))
}

fn ranked(mut rounds: Vec<Vec<KekInfo>>, own: Option<&str>) -> Ranking {
    let last = rounds.last().cloned().unwrap_or_default();
    let mut order = Vec::new();
    for (i, kek) in last.iter().enumerate() {
        if kek.naming.usage == Use::Recovery || rounds.iter().any(|r| r[i].answer != Answer::Opened)
        {
            continue;
        }
        let mut took: Vec<Duration> = rounds.iter_mut().filter_map(|r| r[i].latency).collect();
        took.sort_unstable();
        order.push(Ranked {
            name: kek.naming.name.clone(),
            near: own.is_some() && kek.naming.region.as_deref() == own,
            median: took.get(took.len() / 2).copied().unwrap_or_default(),
        });
    }
    let before: Vec<String> = order.iter().map(|kek| kek.name.clone()).collect();
    // What is equally quick stays as it is.
    order.sort_by_key(|kek| (!kek.near, kek.median.as_millis()));
    let is_so = order.iter().map(|kek| &kek.name).eq(&before);
    Ranking {
        keks: last,
        order,
        is_so,
    }
}

/// Whether [`sync`] would have to fail before a KEK is asked; gives the number of keys.
///
/// # Errors
/// As [`add`].
pub fn could_sync<'a>(target: impl Into<Target<'a>>) -> Result<usize> {
    Ok(open_dry(&target.into())?.len())
}

/// The same for [`add`].
///
/// # Errors
/// As [`add`].
pub fn could_add<'a>(target: impl Into<Target<'a>>, name: &str) -> Result<usize> {
    let target = target.into();
    check_named(&target.config.keks, name, ADD)?;
    could_sync(target)
}

/// Wraps the DEK for the KEK `name`, which the configuration names already: for it and for every other that lacks a valid
/// stanza, or nothing is written. A split DEK is split anew, which takes all KEKs. The DEK is the same.
///
/// # Errors
/// NotFound: the configuration names no such KEK. Config: the threshold is another one than the file's. What kept a KEK
/// from wrapping. Locked: a server holds the file. All errors of opening and writing a keyring.
pub fn add<'a>(target: impl Into<Target<'a>>, name: &str) -> Result<Vec<Synced>> {
    let target = target.into();
    check_named(&target.config.keks, name, ADD)?;
    let keyring = open_alone(&target)?;
    signals::check(ADD)?;
    add_serving(&keyring.by(), target.config, name)
}

/// [`add`] to a keyring that serves. `config` is its configuration as it is now. The caller loads the keyring anew.
///
/// # Errors
/// As [`add`]; Config: it is not about this keyring.
pub fn add_serving(keyring: &By<'_>, config: &Config, name: &str) -> Result<Vec<Synced>> {
    let keks = about(keyring, config)?;
    check_named(keks, name, ADD)?;
    let synced = keyring.sync_keks(keks, true)?;
    let mut failed = None;
    let mut done = Vec::new();
    for one in synced {
        match one.outcome {
            SyncOutcome::Failed(e) => failed = failed.or(Some(e)),
            _ => done.push(one),
        }
    }
    match failed {
        Some(e) => Err(e),
        None => Ok(done),
    }
}

/// Wraps the DEK for every configured KEK that has no valid stanza, and gives what became of each: one that is away keeps
/// no other from it. The DEK is the same.
///
/// # Errors
/// Config: the threshold is another one than the file's. All errors of opening and writing a keyring.
pub fn sync<'a>(target: impl Into<Target<'a>>) -> Result<Vec<Synced>> {
    let target = target.into();
    let keyring = open_alone(&target)?;
    signals::check(ADD)?;
    sync_serving(&keyring.by(), target.config)
}

/// [`sync`] of a keyring that serves. `config` is its configuration as it is now. The caller loads the keyring anew.
///
/// # Errors
/// As [`sync`]; Config: it is not about this keyring.
pub fn sync_serving(keyring: &By<'_>, config: &Config) -> Result<Vec<Synced>> {
    keyring.sync_keks(about(keyring, config)?, false)
}

/// Takes the KEK `name` out: the file is written anew under all other configured KEKs, with a new DEK, because who held
/// the KEK and has an old copy could open every later file otherwise. The configuration may name it still, or no more.
///
/// # Errors
/// NotFound: neither the configuration nor the file names it. Config: what is left opens nothing, or a configuration does
/// not admit the new DEK. What kept another KEK from wrapping. All errors of opening and writing a keyring.
pub fn remove<'a>(target: impl Into<Target<'a>>, name: &str, pin: &Pin<'_>) -> Result<Outcome> {
    let target = target.into();
    let keyring = open_alone(&target)?;
    let keks = left(&keyring, &target.config.keks, name)?;
    signals::check(REMOVE)?;
    let done = put_under(&keyring.by(), &keks, false, |new| pin.admit(new))?;
    Ok(done.beside(target.config))
}

/// Whether [`remove`] would have to fail, as far as that shows without writing; gives the number of keys.
///
/// # Errors
/// As [`remove`].
pub fn could_remove<'a>(target: impl Into<Target<'a>>, name: &str) -> Result<usize> {
    let target = target.into();
    let keyring = open_dry(&target)?;
    let keks = left(&keyring, &target.config.keks, name)?;
    super::rekey::probe(target.config, &keks)?;
    Ok(keyring.len())
}

/// [`remove`] from a keyring that serves. `config` is its configuration as it is now. The caller loads the keyring anew.
///
/// # Errors
/// As [`remove`]; Config: it is not about this keyring.
pub fn remove_serving(keyring: &By<'_>, config: &Config, name: &str) -> Result<Outcome> {
    let keks = left(keyring, about(keyring, config)?, name)?;
    put_under(keyring, &keks, false, |new| {
        pin::admit_at_once(&config.fingerprint, new)
    })
}

/// The KEKs of a configuration that is about this keyring.
fn about<'a>(keyring: &Keyring, config: &'a Config) -> Result<&'a KekList> {
    if config.path == keyring.config().path {
        return Ok(&config.keks);
    }
    let why = "the configuration names another path now";
    Err(Error::new(Kind::Config, ADD, why).hint("Load the keyring anew first."))
}

/// The KEKs without the one that goes.
fn left(keyring: &Keyring, keks: &KekList, name: &str) -> Result<KekList> {
    if keks.find(name).is_some() {
        return keks.without(name);
    }
    let holders = keyring.status().store.holders;
    match holders.iter().any(|holder| holder == name) {
        true => Ok(keks.clone()),
        false => Err(unknown(name, REMOVE)),
    }
}

fn check_named(keks: &KekList, name: &str, op: &'static str) -> Result<()> {
    match keks.find(name) {
        Some(_) => Ok(()),
        None => Err(unknown(name, op)),
    }
}

fn unknown(name: &str, op: &'static str) -> Error {
    let why = format!("the configuration names no KEK '{}'", shorten(name));
    Error::new(Kind::NotFound, op, why)
        .hint("Write it into keks first; keyring-ward kek list shows those that are there. Nothing was changed.")
}

/// What became of a KEK, for programs.
pub fn told(one: &Synced) -> Value {
    let error = match &one.outcome {
        SyncOutcome::Failed(e) => e.to_json(),
        _ => Value::Null,
    };
    json!({ "name": one.name, "result": word(&one.outcome), "error": error })
}

/// What became of a KEK, in a word.
pub fn word(outcome: &SyncOutcome) -> &'static str {
    match outcome {
        SyncOutcome::Valid => "valid",
        SyncOutcome::Wrapped => "wrapped",
        SyncOutcome::Untested => "untested",
        SyncOutcome::Failed(_) => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kek(name: &str, region: &str, answer: Answer, milliseconds: u64) -> KekInfo {
        KekInfo {
            naming: Naming {
                name: name.into(),
                region: (!region.is_empty()).then(|| region.into()),
                ..Naming::default()
            },
            answer,
            latency: Some(Duration::from_millis(milliseconds)),
            ..KekInfo::default()
        }
    }

    #[test]
    fn the_region_comes_first_then_the_middle_of_the_times() {
        let failed = Answer::Failed {
            kind: Kind::Unreachable,
            message: String::new(),
            withdrawn: false,
        };
        let round = |far, odd, near, sometimes: &Answer| {
            vec![
                kek("far", "us", Answer::Opened, far),
                kek("odd", "", Answer::Opened, odd),
                kek("near", "eu", Answer::Opened, near),
                kek("sometimes", "eu", sometimes.clone(), 1),
            ]
        };
        let rounds = vec![
            round(90, 300, 50, &Answer::Opened),
            round(80, 5, 60, &failed),
            round(85, 6, 70, &Answer::Opened),
        ];
        let ranking = ranked(rounds.clone(), Some("eu"));
        let order: Vec<_> = ranking
            .order
            .iter()
            .map(|k| (&*k.name, k.median.as_millis()))
            .collect();
        assert_eq!(order, [("near", 60), ("odd", 6), ("far", 85)]);
        assert!(!ranking.is_so && ranking.keks.len() == 4);
        // Without a region of the keyring's own only the times count.
        let ranking = ranked(rounds, None);
        let order: Vec<_> = ranking.order.iter().map(|k| &*k.name).collect();
        assert_eq!(order, ["odd", "near", "far"]);
        let same = vec![vec![
            kek("a", "", Answer::Opened, 7),
            kek("b", "", Answer::Opened, 7),
        ]];
        assert!(ranked(same, None).is_so);
    }
}
