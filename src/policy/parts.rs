//! The parts that a policy is read from: objects, lists, texts and words, each with its place.
//!
//! Owns the sentences about what is none of them.

use crate::error::{Error, Kind, Result};
use crate::text::{nearest, shorten};
use serde_json::{Map, Value};

const OP: &str = "read the policy";
/// Most items of one list.
const MAX_ITEMS: usize = 100;

/// Where in a file something stands, for messages.
pub(super) struct At<'a> {
    pub(super) origin: &'a str,
    pub(super) place: String,
}

impl At<'_> {
    pub(super) fn wrong(&self, why: impl std::fmt::Display, hint: &str) -> Error {
        let place = match self.place.is_empty() {
            true => String::new(),
            false => format!("{}: ", self.place),
        };
        Error::new(
            Kind::Config,
            OP,
            format!("{place}{why} (in {})", self.origin),
        )
        .hint(hint)
    }

    pub(super) fn member(&self, name: &str) -> At<'_> {
        At {
            origin: self.origin,
            place: match self.place.is_empty() {
                true => name.into(),
                false => format!("{}, {name}", self.place),
            },
        }
    }
}

pub(super) const PAGE: &str = "docs/reference/policy.md has all members.";

/// An object with no other members than these.
pub(super) fn object<'v>(
    value: &'v Value,
    known: &[&str],
    at: &At<'_>,
) -> Result<&'v Map<String, Value>> {
    let Value::Object(members) = value else {
        return Err(at.wrong("it is no object", PAGE));
    };
    match members.keys().find(|name| !known.contains(&&***name)) {
        None => Ok(members),
        Some(unknown) => {
            let hint = nearest(unknown, known.iter().copied());
            let hint = hint.map_or_else(|| PAGE.into(), |name| format!("Did you mean '{name}'?"));
            Err(at.wrong(format!("there is no member '{}'", shorten(unknown)), &hint))
        }
    }
}

pub(super) fn text<'v>(value: &'v Value, at: &At<'_>) -> Result<&'v str> {
    value
        .as_str()
        .ok_or_else(|| at.wrong("it is no text", PAGE))
}

/// One of several words.
pub(super) fn word<T: Copy>(value: &Value, words: &[(&str, T)], at: &At<'_>) -> Result<T> {
    let given = text(value, at)?;
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == given) {
        return Ok(*found);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let hint = match nearest(given, known.iter().copied()) {
        Some(word) => format!("Did you mean '{word}'?"),
        None => format!("Write one of {}.", known.join(", ")),
    };
    Err(at.wrong(format!("'{}' is not known", shorten(given)), &hint))
}

/// The items of a list that is not empty. A list of nothing would match nothing: whoever means everything leaves it out.
pub(super) fn items<'v>(
    members: &'v Map<String, Value>,
    name: &str,
    at: &At<'_>,
) -> Result<&'v [Value]> {
    let Some(value) = members.get(name) else {
        return Ok(&[]);
    };
    let at = at.member(name);
    let Value::Array(list) = value else {
        return Err(at.wrong("it is no list", "Write it in brackets: [\"…\"]."));
    };
    match list.len() {
        0 => Err(at.wrong(
            "the list is empty",
            "Leave it out where it does not matter.",
        )),
        1..=MAX_ITEMS => Ok(list),
        more => Err(at.wrong(
            format!("the list has {more} items, more than {MAX_ITEMS}"),
            "Make several rules, or use patterns.",
        )),
    }
}

/// What each item of a list is.
pub(super) fn each<T>(
    members: &Map<String, Value>,
    name: &str,
    at: &At<'_>,
    read: impl Fn(&str) -> std::result::Result<T, String>,
) -> Result<Vec<T>> {
    let list = items(members, name, at)?;
    let place = at.member(name);
    let one = |item: &Value| {
        let given = text(item, &place)?;
        read(given).map_err(|why| place.wrong(format!("'{}': {why}", shorten(given)), PAGE))
    };
    list.iter().map(one).collect()
}
