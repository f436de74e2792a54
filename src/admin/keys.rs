//! The life of keys: what tool and SQL functions do to logical and retired keys, and how those are told.
//!
//! Owns one word for each change ([`Order`]), so that the tool and SQL can't differ, and the JSON of a key. It must never show
//! material.

use super::inspect::meaning;
use super::naming::namesake;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::PAIR;
use crate::key::extensions::{ACTOR, MAX_RANDOM, RANDOM};
use crate::key::id::KeyId;
use crate::key::logical::{DAY, Logical, State};
use crate::key::record::KeyRecord;
use crate::key_pair::{Algorithm, KeyPair};
use crate::keyring::adopting::Adopting;
use crate::keyring::holding;
use crate::keyring::logical::{LogicalInfo, Wanted};
use crate::keyring::{By, Keyring, RetiredKey};
use crate::policy::operation::Operation;
use crate::text::utc;
use serde_json::{Value, json};

/// A change to one logical or retired key.
#[derive(Clone, Debug)]
pub enum Order {
    /// A new logical key with version 1.
    Create {
        /// The type of its keys: AES, RSA, DSA or SECRET.
        key_type: String,
        /// Bytes of each version's material.
        length: usize,
        /// What it is to be.
        wanted: Wanted,
    },
    /// A plain key becomes version 1 of a logical key, or several become its versions.
    Adopt(Adopting),
    /// A new version, current at once or pending.
    Rotate {
        /// It waits for [`Order::Activate`].
        pending: bool,
    },
    /// The blind index gets a new secret.
    RotateIndex,
    /// A pending version becomes the current one.
    Activate(u32),
    /// A pending version that nothing is sealed with is taken away.
    Drop(u32),
    /// What is not `None` is changed.
    Set(Settings),
    /// A destruction is planned: of a version or of all.
    Plan {
        /// Which version; `None`: all.
        version: Option<u32>,
        /// Days from now, at least 1.
        days: u16,
    },
    /// What is planned and due is done: of a version or of all.
    DestroyDue(Option<u32>),
    /// What is planned is planned no more.
    Cancel(Option<u32>),
    /// Somebody else may have a version.
    Compromise(u32),
    /// Nothing of it is destroyed for this reason; `None`: that ends.
    Hold {
        /// Why.
        reason: Option<String>,
        /// Of a removed key that is kept: which of its removals. `None`: the logical key of that name, and where there is none
        /// the key that was removed last.
        removal: Option<u32>,
    },
    /// A removed key comes back; `None`: as it was removed last.
    Restore(Option<u32>),
}

impl Order {
    /// It is about a key that was removed.
    pub fn is_of_a_removed_key(&self) -> bool {
        let held = matches!(
            self,
            Order::Hold {
                removal: Some(_),
                ..
            }
        );
        held || matches!(self, Order::Restore(_))
    }

    /// What it does, in the words of a policy.
    pub fn operation(&self) -> Operation {
        match self {
            Order::Create { .. } => Operation::Generate,
            Order::Rotate { .. } | Order::RotateIndex | Order::Activate(_) => Operation::Rotate,
            Order::Drop(_) | Order::Plan { .. } | Order::DestroyDue(_) => Operation::Remove,
            Order::Adopt(_)
            | Order::Set(_)
            | Order::Cancel(_)
            | Order::Compromise(_)
            | Order::Hold { .. }
            | Order::Restore(_) => Operation::Admin,
        }
    }

    /// What its key is to be for from then on; `None`: what it was.
    pub fn new_environment(&self) -> Option<&str> {
        match self {
            Order::Create { wanted, .. } => Some(&wanted.environment),
            Order::Set(settings) => settings.environment.as_deref(),
            Order::Adopt(how) => Some(&how.wanted.environment),
            _ => None,
        }
    }
}

/// Settings of a logical key, each of which may be left as it is.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether the bare name answers.
    pub follow: Option<bool>,
    /// Days between rotations; 0: no plan.
    pub rotate_every: Option<u16>,
    /// What it is for.
    pub environment: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// For a temporary key: the second at which it is over.
    pub expires: Option<i64>,
}

impl Settings {
    fn apply(&self, logical: &mut Logical) -> Result<()> {
        if let Some(follow) = self.follow {
            if follow && logical.adopted {
                return Err(refuse(
                    "it was a plain key, whose bare name goes on answering its own material",
                ));
            }
            logical.follow = follow;
        }
        if let Some(expires) = self.expires {
            if logical.expires.is_none() {
                return Err(refuse(
                    "it is no temporary key: only a key that was created as one dies by time",
                ));
            }
            logical.expires = Some(expires);
        }
        if let Some(days) = self.rotate_every {
            logical.rotate_every = (days > 0).then_some(days);
        }
        if let Some(environment) = &self.environment {
            logical.environment.clone_from(environment);
        }
        if let Some(description) = &self.description {
            logical.description.clone_from(description);
        }
        Ok(())
    }
}

fn refuse(why: &str) -> Error {
    Error::new(Kind::InvalidInput, "change the logical key", why).hint("Nothing was changed.")
}

/// Carries an order out. Gives what became of it: `version` or `versions`, where that is not the order's own. Temporary keys
/// whose time is over end with it.
///
/// # Errors
/// Those of the keyring's operation of that name.
pub fn carry_out(keyring: &By<'_>, id: &KeyId, order: &Order) -> Result<Value> {
    let done = carry_out_alone(keyring, id, order).map_err(|e| namesake(e, keyring, id))?;
    // Afterwards: the order may have given it more time. Who brings one back gives it time next.
    if !matches!(order, Order::Restore(_)) {
        keyring.end_temporary_keys();
    }
    Ok(done)
}

/// A new logical key is an account's: nobody else would ever ask for it. The server writes accounts as user@host.
fn check_account(owner: &[u8]) -> Result<()> {
    let host = owner.iter().rposition(|b| *b == b'@');
    let quoted = |b: &u8| matches!(b, b'\'' | b'`' | b'"');
    if owner.is_empty() || (host.is_some() && !owner.iter().any(quoted)) {
        return Ok(());
    }
    let why = format!(
        "'{}' is no account as the server writes it",
        crate::text::name(owner)
    );
    Err(Error::new(Kind::InvalidInput, "make the logical key", why).hint(
        "Nothing was changed. Name it as user@host without quotes, as CURRENT_USER() shows it: app@%, root@localhost.",
    ))
}

fn carry_out_alone(keyring: &By<'_>, id: &KeyId, order: &Order) -> Result<Value> {
    if id.owner() == super::transport::OWNER {
        let why = format!("{id} is the keyring's own");
        return Err(
            Error::new(Kind::InvalidInput, "change the logical key", why).hint(
                "Nothing was changed. Transport keys are looked after by keyring-ward transport and keyring_ward_transport_…().",
            ),
        );
    }
    let change = |f: &dyn Fn(&mut Logical, i64) -> Result<()>| keyring.change_logical(id, f);
    match order {
        Order::Create {
            key_type,
            length,
            wanted,
        } => {
            check_account(id.owner())?;
            keyring.create_logical(id, key_type.as_bytes(), *length, wanted)?;
            return Ok(json!({ "version": 1 }));
        }
        Order::Rotate { pending } => {
            let version = keyring.rotate(id, !pending)?;
            return Ok(json!({ "version": version, "pending": pending }));
        }
        Order::DestroyDue(version) => {
            let versions = keyring.destroy_due(id, *version)?;
            return Ok(json!({ "versions": versions }));
        }
        Order::RotateIndex => keyring.rotate_index(id)?,
        Order::Adopt(how) => {
            let versions = keyring.adopt(id, how)?;
            return Ok(json!({ "versions": versions }));
        }
        Order::Activate(version) => keyring.activate(id, *version)?,
        Order::Drop(version) => keyring.drop_pending(id, *version)?,
        Order::Set(settings) => change(&|logical, _| settings.apply(logical))?,
        Order::Plan { version, days } => {
            change(&|logical, now| logical.schedule(*version, *days, now))?;
            let due = crate::os::unix_seconds() + i64::from(*days) * DAY;
            return Ok(json!({ "due": utc(due) }));
        }
        Order::Cancel(version) => change(&|logical, _| logical.cancel(*version))?,
        Order::Compromise(version) => change(&|logical, now| logical.compromise(*version, now))?,
        Order::Hold { reason, removal } => return hold(keyring, id, reason.as_deref(), *removal),
        Order::Restore(number) => keyring.restore_retired(id, *number)?,
    }
    Ok(json!({}))
}

/// Holds a logical key, or a removed key that is kept.
fn hold(keyring: &By<'_>, id: &KeyId, reason: Option<&str>, removal: Option<u32>) -> Result<Value> {
    if removal.is_none() {
        let held = keyring.change_logical(id, |logical, _| logical.hold(reason));
        match held {
            Err(e) if e.kind() == Kind::NotFound && keyring.has_retired(id) => {}
            held => return held.map(|()| json!({ "removal": null })),
        }
    }
    let removal = keyring.hold_retired(id, removal, reason)?;
    Ok(json!({ "removal": removal }))
}

/// A logical key as JSON: every value that is known of it, times in UTC (RFC 3339).
pub fn told(key: &LogicalInfo, now: i64) -> Value {
    let logical = &key.logical;
    let made = |number| {
        key.made
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, at)| *at)
    };
    let versions: Vec<Value> = (logical.versions.iter())
        .map(|v| {
            let made = made(v.number);
            json!({
                "version": v.number, "state": v.state.name(), "since": utc(v.since),
                "key": key_name(key, v.number), "created": made.map(utc),
                "age_days": made.map(|at| age(at, now)),
                "destroy_at": v.destroy_at.map(utc),
                "destroy_due": v.destroy_at.is_some_and(|at| at <= now),
            })
        })
        .collect();
    let due = logical.rotation_at().map(utc);
    json!({
        "name": crate::text::name(key.id.name()), "owner": crate::text::name(key.id.owner()),
        "id": crate::text::hex(&logical.id), "type": key.key_type, "bytes": key.length, "pair": key.pair,
        "follow": logical.follow, "adopted": logical.adopted,
        "current": logical.current().map(|v| v.number),
        "rotate_every": logical.rotate_every, "rotation_at": due, "rotation_due": logical.rotation_due(now),
        "expires": logical.expires.map(utc), "held": logical.held,
        "environment": logical.environment, "description": logical.description, "versions": versions,
    })
}

/// Days since `at`, which may be any number: files say it.
fn age(at: i64, now: i64) -> i64 {
    now.saturating_sub(at).max(0) / DAY
}

fn key_name(key: &LogicalInfo, number: u32) -> String {
    let name = key.logical.key_name(key.id.name(), number);
    crate::text::name(&name)
}

/// A retired key that a keyring has, as JSON. `kept_until`: from when on `reseal --purge-retired` ends it, if it is not held;
/// `all` does so before.
pub fn told_kept(keyring: &Keyring, key: &RetiredKey) -> Value {
    let kept_for = i64::from(keyring.keeps_removed_for()) * DAY;
    let mut told = told_retired(key);
    told["kept_until"] = utc(key.removal.removed_at.saturating_add(kept_for)).into();
    told["held"] = keyring.is_held(&key.info).into();
    told["hold"] = holding::reason(&key.info).into();
    told
}

/// A retired key as JSON.
pub fn told_retired(key: &RetiredKey) -> Value {
    let id = &key.info.id;
    json!({
        "name": crate::text::name(id.name()), "owner": crate::text::name(id.owner()),
        "removal": key.removal.number, "removed_at": utc(key.removal.removed_at),
        "type": key.info.key_type.to_string(), "bytes": key.info.length(), "created": utc(key.info.created_at),
        "meaning": meaning(id.name(), id.owner()),
    })
}

/// What is to be said of one key, logical, a version or plain: bits, age, state, and what is weak about it.
///
/// # Errors
/// NotFound: there is no such key. Those of reading it.
pub fn check(keyring: &Keyring, id: &KeyId, now: i64) -> Result<Value> {
    let logical = keyring.logical_key(id).ok();
    let current = |key: &LogicalInfo| {
        let newest = key.made.last().map(|(n, _)| *n);
        let number = key.logical.current().map(|v| v.number).or(newest)?;
        KeyId::new(&key.logical.key_name(key.id.name(), number), key.id.owner()).ok()
    };
    let own = keyring.read_key(id.name(), id.owner())?;
    let record = match (own, logical.as_ref().and_then(current)) {
        (Some(own), _) => Some(own),
        (None, Some(id)) => keyring.read_key(id.name(), id.owner())?,
        (None, None) => None,
    };
    let record = record.ok_or_else(|| {
        let why = format!("{id} does not exist");
        Error::new(Kind::NotFound, "check the key", why)
            .hint("keyring-ward list shows the keys and their owners.")
    })?;
    let state = logical.as_ref().and_then(|key| {
        let number = key
            .made
            .iter()
            .map(|(n, _)| *n)
            .find(|n| key.logical.key_name(key.id.name(), *n) == record.id.name())?;
        key.logical.version(number).map(|v| v.state)
    });
    let tag = record.said(PAIR).and_then(|tag| tag.first());
    let pair = tag.map(|tag| KeyPair::read(*tag, record.material())?.algorithm());
    let pair = pair.transpose()?;
    let mut warnings = match pair {
        Some(_) => Vec::new(),
        None => weaknesses(&record.key_type, record.material()),
    };
    if state == Some(State::Compromised) {
        warnings.push("It is compromised: it is served to nobody.".into());
    }
    if logical
        .as_ref()
        .is_some_and(|key| key.logical.has_expired(now))
    {
        warnings
            .push("It is a temporary key, and its time is over: it is served to nobody.".into());
    }
    Ok(json!({
        "key": crate::text::name(record.id.name()), "owner": crate::text::name(record.id.owner()),
        "type": record.key_type.to_string(), "bits": pair.map_or(record.length() * 8, Algorithm::bits),
        "pair": pair.map(Algorithm::name),
        "created": utc(record.created_at), "age_days": age(record.created_at, now), "randomness": randomness(&record),
        "changed_by": actor(&record),
        "state": state.map(State::name), "warnings": warnings,
        "logical": logical.map(|key| told(&key, now)),
    }))
}

/// Who changed what is known of a key last, or made it; `None`: nobody knows.
fn actor(record: &KeyRecord) -> Option<&str> {
    std::str::from_utf8(record.said(ACTOR)?).ok()
}

/// Whose random bytes a key is of; `None`: the system's alone, or whoever stored it knows.
fn randomness(record: &KeyRecord) -> Option<String> {
    let source = record.extensions().get(RANDOM)?;
    let source = source.get(..MAX_RANDOM.min(source.len()))?;
    Some(format!("{} and system", crate::text::name(source)))
}

/// What is weak about material, without a word of what it is.
fn weaknesses(key_type: &str, material: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let symmetric = key_type.eq_ignore_ascii_case("AES");
    if symmetric && material.len() < 16 {
        found.push(format!(
            "{} bits are too few: take 128 or more, better 256.",
            material.len() * 8
        ));
    }
    let text = |test: fn(&u8) -> bool| material.len() >= 8 && material.iter().all(test);
    if text(u8::is_ascii_hexdigit) {
        found.push(format!(
            "It looks like hexadecimal text: then it has {} bits, not {}. Store the bytes themselves: UNHEX() in SQL.",
            material.len() * 4,
            material.len() * 8
        ));
    } else if symmetric && text(|b| b.is_ascii_graphic() || *b == b' ') {
        found.push("It looks like text, which has far fewer bits than bytes: let the keyring generate keys.".into());
    }
    if material.len() >= 2 && material.iter().all(|b| *b == material[0]) {
        found.push("All of its bytes are the same.".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;

    /// Of each key it is known whose random bytes it is of, after a rotation of the file and of the key too.
    #[test]
    fn a_key_says_whose_random_bytes_it_is_of() {
        use super::super::fixture::{config, open};
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "k.ward");
        config.keks.random.keys = true;
        config.keks.random.source = crate::kek::randomness::Source::Hardware;
        let key = |name: &str| KeyId::new(name.as_bytes(), b"a@b").unwrap();
        {
            let keyring = open(&config);
            // For two keys; the third one is the system's alone.
            keyring.put_random(keyring.pool().random(64).unwrap());
            keyring
                .by(&Caller::Unknown)
                .generate(b"plain", b"a@b", b"AES", 32)
                .unwrap();
            let wanted = Wanted::default();
            keyring
                .by(&Caller::Unknown)
                .create_logical(&key("ssn"), b"AES", 32, &wanted)
                .unwrap();
            keyring
                .by(&Caller::Unknown)
                .rotate(&key("ssn"), true)
                .unwrap();
            keyring
                .by(&Caller::Unknown)
                .store_key(b"own", b"a@b", b"AES", &[7; 32])
                .unwrap();
            keyring.by(&Caller::Unknown).compact().unwrap();
        }
        let keyring = open(&config);
        let said = |name| check(&keyring, &key(name), 0).unwrap()["randomness"].clone();
        assert_eq!(said("plain"), "hardware and system");
        assert_eq!(said("ssn@1"), "hardware and system");
        assert_eq!((said("ssn@2"), said("own")), (Value::Null, Value::Null));
    }

    #[test]
    fn what_is_weak_is_told_and_nothing_of_it() {
        let said = |key_type, material: &[u8]| weaknesses(key_type, material).join(" ");
        assert_eq!(
            said("AES", &(0..32).map(|b| b * 7).collect::<Vec<u8>>()),
            ""
        );
        assert!(said("AES", b"0123456789abcdef0123456789ABCDEF").contains("128 bits, not 256"));
        assert!(said("AES", b"correct horse battery staple....").contains("like text"));
        assert!(said("AES", &[1, 2, 3]).contains("24 bits are too few"));
        assert!(said("SECRET", &[0; 32]).contains("bytes are the same"));
        assert_eq!(said("SECRET", b"correct horse battery staple"), "");
        assert!(!said("AES", b"0123456789abcdef").contains("0123"));
    }
}
