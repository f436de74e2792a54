//! Reading a policy: JSON with a fixed set of members, all of them checked.
//!
//! Owns the names of the members and the bounds of their values. What is not understood is an error with its place: a rule that is passed
//! over would be one that somebody relies on.

use super::network::Network;
use super::operation::{OPERATIONS, Operation, Operations};
use super::parts::{At, PAGE, each, items, object, text, word};
use super::pattern::Pattern;
use super::remarks::remarks;
use super::rule::{Effect, Keys, Rule};
use super::window::{DAYS, EVERY_DAY, Hours, Window};
use super::zone::Zone;
use super::{Default, MAX_PRIVILEGES, MAX_RULES, Policy};
use crate::error::Result;
use crate::text::shorten;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest name of a rule in bytes.
const MAX_NAME: usize = 64;
/// Longest note in bytes.
const MAX_NOTE: usize = 1_024;
/// Longest name of a privilege: the server keeps no more.
const MAX_PRIVILEGE: usize = 32;
/// What stands for replication appliers among accounts.
pub(super) const APPLIER: &str = "@applier";

const MEMBERS: [&str; 4] = ["version", "default", "rules", "note"];
const OF_A_RULE: [&str; 15] = [
    "name",
    "note",
    "effect",
    "accounts",
    "logins",
    "privileges",
    "keys",
    "operations",
    "environments",
    "networks",
    "days",
    "hours",
    "time_zone",
    "from",
    "until",
];
const OF_KEYS: [&str; 3] = ["own", "owner", "name"];

fn pattern(text: &str) -> std::result::Result<Pattern, String> {
    Pattern::parse(text).map_err(str::to_string)
}

/// An account or a login: without an @ it would match none.
fn account(text: &str) -> std::result::Result<Pattern, String> {
    let pattern = Pattern::parse_account(text)?;
    if text.contains('\'') && text.starts_with('\'') {
        return Err("quotes are no part of an account's name: write it as CURRENT_USER() shows it, app@localhost".into());
    }
    match pattern.literal().is_some_and(|name| !name.contains(&b'@')) {
        true => Err("an account is written user@host, and this one has no @".into()),
        false => Ok(pattern),
    }
}

fn note(members: &Map<String, Value>, at: &At<'_>) -> Result<()> {
    match members.get("note") {
        Some(note) if text(note, at)?.len() > MAX_NOTE => Err(at
            .member("note")
            .wrong("it is longer than 1,024 bytes", "Shorten it.")),
        _ => Ok(()),
    }
}

/// Reads a policy.
///
/// # Errors
/// Config: what is wrong with it, and where.
pub(super) fn policy(bytes: &[u8], origin: &str) -> Result<Policy> {
    let at = At {
        origin,
        place: String::new(),
    };
    let empty = bytes.iter().all(u8::is_ascii_whitespace);
    if empty {
        return Err(at.wrong(
            "the file is empty",
            "To have no policy, take policy_file out of the configuration.",
        ));
    }
    let value =
        crate::json::parse(bytes).map_err(|e| at.wrong(format!("it is not JSON: {e}"), PAGE))?;
    let members = object(&value, &MEMBERS, &at)?;
    note(members, &at)?;
    match members.get("version") {
        Some(version) if version.as_u64() == Some(1) => {}
        Some(Value::Number(version)) => {
            return Err(at.wrong(
                format!("it has version {version}, and this program knows version 1"),
                "Install a newer Keyring Ward.",
            ));
        }
        _ => return Err(at.wrong("it does not say its version", "Write \"version\": 1.")),
    }
    let words = [("owner", Default::Owner), ("deny", Default::Deny)];
    let default = match members.get("default") {
        Some(default) => word(default, &words, &at.member("default"))?,
        None => {
            return Err(at.wrong(
                "it does not say what holds where no rule does",
                "Write \"default\": \"owner\" (as without a policy) or \"deny\".",
            ));
        }
    };
    let none = Vec::new();
    let list = match members.get("rules") {
        None => &none,
        Some(Value::Array(list)) if list.len() <= MAX_RULES => list,
        Some(Value::Array(list)) => {
            return Err(at.wrong(
                format!("it has {} rules, more than {MAX_RULES}", list.len()),
                "Use patterns.",
            ));
        }
        Some(_) => {
            return Err(at
                .member("rules")
                .wrong("it is no list", "Write it in brackets: [{…}]."));
        }
    };
    let mut reader = Reader::default();
    let rules = list.iter().enumerate();
    let rules: Vec<Rule> = rules
        .map(|(i, rule)| reader.rule(i, rule, &at))
        .collect::<Result<_>>()?;
    let remarks = remarks(&rules);
    Ok(Policy::new(default, rules, reader.privileges, remarks))
}

/// What rules share.
#[derive(Default)]
struct Reader {
    names: BTreeSet<String>,
    privileges: Vec<String>,
    zones: BTreeMap<String, Arc<Zone>>,
}

impl Reader {
    fn rule(&mut self, place: usize, value: &Value, file: &At<'_>) -> Result<Rule> {
        let mut at = file.member(&format!("rule {}", place + 1));
        let members = object(value, &OF_A_RULE, &at)?;
        let name = self.name(members, &at)?;
        at.place = format!("rule '{}'", shorten(&name));
        note(members, &at)?;
        let effects = [("allow", Effect::Allow), ("deny", Effect::Deny)];
        let effect = match members.get("effect") {
            Some(effect) => word(effect, &effects, &at.member("effect"))?,
            None => {
                return Err(at.wrong(
                    "it has no effect",
                    "Write \"effect\": \"allow\" or \"deny\".",
                ));
            }
        };
        let mut accounts = each(members, "accounts", &at, |text| match text {
            APPLIER => Ok(None),
            text => account(text).map(Some),
        })?;
        let appliers = accounts.iter().any(Option::is_none);
        accounts.retain(Option::is_some);
        if appliers && accounts.is_empty() && effect == Effect::Allow {
            return Err(at.member("accounts").wrong(
                "\"@applier\" stands alone",
                "Name beside it the account that appliers have (PRIVILEGE_CHECKS_USER): alone it would allow whoever looks like one.",
            ));
        }
        let rule = Rule {
            effect,
            accounts: accounts.into_iter().flatten().collect(),
            appliers,
            logins: each(members, "logins", &at, account)?,
            privileges: self.privileges(members, &at)?,
            keys: keys(members, &at)?,
            operations: operations(members, &at)?,
            environments: each(members, "environments", &at, |text| match text {
                // Keys that have none.
                "" => Ok(Pattern::Literal(Box::default())),
                text => pattern(text),
            })?,
            networks: each(members, "networks", &at, |text| {
                Network::parse(text).map_err(str::to_string)
            })?,
            window: self.window(members, &at)?,
            source: value.clone(),
            name,
        };
        Ok(rule)
    }

    fn name(&mut self, members: &Map<String, Value>, at: &At<'_>) -> Result<String> {
        let Some(name) = members.get("name") else {
            return Err(at.wrong(
                "it has no name",
                "Each rule has one, by which a refusal tells it.",
            ));
        };
        let name = text(name, &at.member("name"))?;
        let plain = name.chars().all(|c| !crate::text::is_unseen(c));
        if name.trim() != name || !plain || !(1..=MAX_NAME).contains(&name.len()) {
            return Err(at.member("name").wrong(
                "it is not 1 to 64 bytes of visible characters",
                "Choose another name.",
            ));
        }
        match self.names.insert(name.into()) {
            true => Ok(name.into()),
            false => Err(at.wrong(
                format!("another rule is called '{}', too", shorten(name)),
                "Give each rule a name of its own.",
            )),
        }
    }

    fn privileges(&mut self, members: &Map<String, Value>, at: &At<'_>) -> Result<u64> {
        let named = each(members, "privileges", at, |text| {
            let plain = text
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            match plain && (1..=MAX_PRIVILEGE).contains(&text.len()) {
                true => Ok(text.to_string()),
                false => Err(
                    "it is no dynamic privilege: up to 32 capital letters, digits and underscores"
                        .into(),
                ),
            }
        })?;
        let mut bits = 0;
        for name in named {
            let place = self.privileges.iter().position(|known| *known == name);
            let place = place.unwrap_or(self.privileges.len());
            if place == self.privileges.len() {
                if place == MAX_PRIVILEGES {
                    return Err(at.member("privileges").wrong(
                        format!("the rules name more than {MAX_PRIVILEGES} privileges together"),
                        "Give groups of keys a privilege, not each key.",
                    ));
                }
                self.privileges.push(name);
            }
            bits |= 1 << place;
        }
        Ok(bits)
    }

    fn window(&mut self, members: &Map<String, Value>, at: &At<'_>) -> Result<Option<Window>> {
        let words: Vec<(&str, u8)> = DAYS
            .iter()
            .zip(0..)
            .map(|(day, bit)| (*day, 1 << bit))
            .collect();
        let place = at.member("days");
        let days = items(members, "days", at)?
            .iter()
            .map(|day| word(day, &words, &place));
        let days = days
            .collect::<Result<Vec<u8>>>()?
            .into_iter()
            .fold(0, |all, day| all | day);
        let hours = each(members, "hours", at, |text| {
            Hours::parse(text).map_err(str::to_string)
        })?;
        let (from, until) = (moment(members, "from", at)?, moment(members, "until", at)?);
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            return Err(at.wrong(
                "it ends before it begins: until is not later than from",
                "Correct one of the two.",
            ));
        }
        let by_clock = days != 0 || !hours.is_empty();
        let zone = match members.get("time_zone") {
            None => Arc::new(Zone::utc()),
            Some(_) if !by_clock => {
                return Err(at.wrong(
                    "it has a time_zone, but neither days nor hours",
                    "Take time_zone out: from and until have their own.",
                ));
            }
            Some(name) => self.zone(text(name, &at.member("time_zone"))?, at)?,
        };
        let window = Window {
            days: if days == 0 { EVERY_DAY } else { days },
            hours: hours.into(),
            zone,
            from,
            until,
        };
        Ok((by_clock || from.is_some() || until.is_some()).then_some(window))
    }

    fn zone(&mut self, name: &str, at: &At<'_>) -> Result<Arc<Zone>> {
        if let Some(zone) = self.zones.get(name) {
            return Ok(zone.clone());
        }
        let read = Zone::read(name).map_err(|why| {
            at.member("time_zone").wrong(
                format!("'{}': {why}", shorten(name)),
                "Names are those of the IANA database: Europe/Berlin, America/New_York, UTC.",
            )
        });
        let zone = Arc::new(read?);
        self.zones.insert(name.into(), zone.clone());
        Ok(zone)
    }
}

/// A second, since 1970.
fn moment(members: &Map<String, Value>, name: &str, at: &At<'_>) -> Result<Option<i64>> {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    let at = at.member(name);
    let given = text(value, &at)?;
    match OffsetDateTime::parse(given, &Rfc3339) {
        Ok(moment) => Ok(Some(moment.unix_timestamp())),
        Err(_) => Err(at.wrong(
            format!("'{}' is no time with its zone", shorten(given)),
            "Write it like 2026-11-30T22:00:00+01:00, or with Z for UTC.",
        )),
    }
}

fn operations(members: &Map<String, Value>, at: &At<'_>) -> Result<Operations> {
    let mut words: Vec<(&str, Option<Operation>)> =
        OPERATIONS.iter().map(|o| (o.name(), Some(*o))).collect();
    words.push(("*", None));
    let place = at.member("operations");
    let list = items(members, "operations", at)?;
    if list.is_empty() {
        return Err(at.wrong(
            "it has no operations",
            "Name them, or write \"operations\": [\"*\"] for all.",
        ));
    }
    let read: Vec<Option<Operation>> = list
        .iter()
        .map(|item| word(item, &words, &place))
        .collect::<Result<_>>()?;
    match read.iter().any(Option::is_none) {
        true if read.len() == 1 => Ok(Operations::ALL),
        true => Err(place.wrong(
            "\"*\" stands beside other operations",
            "\"*\" is all of them.",
        )),
        false => Ok(Operations::of(read.into_iter().flatten())),
    }
}

fn keys(members: &Map<String, Value>, at: &At<'_>) -> Result<Vec<Keys>> {
    let place = at.member("keys");
    let one = |item: &Value| {
        let members = object(item, &OF_KEYS, &place)?;
        let part = |name: &str| match members.get(name) {
            None => Ok(Pattern::Any),
            Some(value) => {
                let given = text(value, &place.member(name))?;
                pattern(given).map_err(|why| {
                    place
                        .member(name)
                        .wrong(format!("'{}': {why}", shorten(given)), PAGE)
                })
            }
        };
        match members.get("own") {
            None if members.is_empty() => Err(place.wrong(
                "an item says nothing",
                "Leave keys out where it does not matter which.",
            )),
            None => Ok(Keys::Like {
                owner: part("owner")?,
                name: part("name")?,
            }),
            Some(Value::Bool(true)) if members.len() == 1 => Ok(Keys::Own),
            Some(_) => Err(place.wrong(
                "own is true, and stands by itself",
                "Write { \"own\": true }, or owner and name.",
            )),
        }
    };
    items(members, "keys", at)?.iter().map(one).collect()
}
