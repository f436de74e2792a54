//! A line of the log: one JSON object (docs/reference/audit-log.md).
//!
//! Owns its members, their order, and its hash. What is signed of a line is its text before the member `signature`. It must never
//! write what a terminal or a log would obey.

use super::entry::Entry;
use super::event::{Event, Outcome};
use super::note::HASH;
use super::position::Position;
use crate::text::{from_hex, hex, name, utc};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The format's number, which the first line of each file has.
pub const FORMAT: u64 = 1;
/// Longest line in bytes that is read.
pub const MAX_LINE: usize = 16 << 10;
/// Largest number of a line: more than a log can have.
const MAX_NUMBER: u64 = 1 << 53;
/// How the member with the signature begins.
const SIGNATURE: &str = ",\"signature\":\"";

/// A member beside an entry's own.
pub type Member = (&'static str, Value);

/// The time of a line: RFC 3339 in UTC, with microseconds.
pub fn time(at: i64) -> String {
    let seconds = utc(at.div_euclid(1_000_000));
    match seconds.strip_suffix('Z') {
        Some(seconds) => format!("{seconds}.{:06}Z", at.rem_euclid(1_000_000)),
        None => String::new(),
    }
}

/// One line without its end, as the chain has it.
pub fn write(number: u64, entry: &Entry, more: &[Member], previous: &[u8; HASH]) -> String {
    let mut line = format!("{{\"line\":{number}");
    let mut member = |name: &str, value: Value| {
        line.push_str(",\"");
        line.push_str(name);
        line.push_str("\":");
        line.push_str(&value.to_string());
    };
    member("time", time(entry.at).into());
    member("event", entry.event.word().into());
    member("result", entry.outcome.word().into());
    if !entry.actor.is_empty() {
        member("actor", entry.actor.as_str().into());
    }
    if !entry.name.is_empty() {
        member("key", name(&entry.name).into());
        member("owner", name(&entry.owner).into());
    }
    if entry.count != 1 {
        member("count", entry.count.into());
    }
    if !entry.detail.is_empty() {
        member("detail", entry.detail.as_str().into());
    }
    if let Some(change) = entry.change {
        member("change", change.text().into());
    }
    if entry.recovered {
        member("recovered", true.into());
    }
    for (name, value) in more {
        member(name, value.clone());
    }
    member("previous", hex(previous).into());
    line.push('}');
    line
}

/// The same line with a signature of what stands before it.
pub fn signed(line: &str, signature: &str) -> String {
    let body = line.strip_suffix('}').unwrap_or(line);
    format!("{body}{SIGNATURE}{signature}\"}}")
}

/// What is signed of a line, and the signature's text; `None`: it has none at its end.
pub fn parts(line: &str) -> Option<(&str, &str)> {
    let body = line.strip_suffix("\"}")?;
    let (body, signature) = body.rsplit_once(SIGNATURE)?;
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    signature
        .bytes()
        .all(is_base64)
        .then_some((body, signature))
}

/// Something in it is nothing that [`write`] writes: control characters, or what turns the direction of writing.
fn is_obeyed(members: &Value) -> bool {
    let is_bad = |text: &str| text.contains(crate::text::obeyed);
    let mut all = members.as_object().into_iter().flatten();
    all.any(|(name, value)| match value {
        Value::String(text) => is_bad(text) || is_bad(name),
        Value::Array(_) | Value::Object(_) => true,
        _ => is_bad(name),
    })
}

/// A line's hash: of all of its text, without the end of the line.
pub fn hash(line: &str) -> [u8; HASH] {
    Sha256::digest(line.as_bytes()).into()
}

/// A line as it was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Its number.
    pub number: u64,
    /// When.
    pub time: String,
    /// What.
    pub event: Event,
    /// What came of it.
    pub outcome: Outcome,
    /// Who; empty: nobody knows.
    pub actor: String,
    /// The key, escaped; empty: it is about none.
    pub key: String,
    /// Its owner, escaped.
    pub owner: String,
    /// How often.
    pub count: u64,
    /// Why.
    pub detail: String,
    /// The place of its record.
    pub change: Option<Position>,
    /// It was made again.
    pub recovered: bool,
    /// The hash of the line before.
    pub previous: [u8; HASH],
    /// All members.
    pub members: Value,
}

impl Read {
    /// Reads a line; the error is what is wrong with it.
    ///
    /// # Errors
    /// A sentence without its end.
    pub fn parse(line: &str) -> Result<Read, &'static str> {
        if line.len() > MAX_LINE {
            return Err("it is longer than a line can be");
        }
        let members = crate::json::parse(line.as_bytes()).map_err(|_| "it is no JSON object")?;
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let number = members.get("line").and_then(Value::as_u64);
        let number = number.filter(|number| *number <= MAX_NUMBER);
        let number = number.ok_or("it has no number")?;
        if is_obeyed(&members) {
            return Err("it holds what a terminal would obey");
        }
        let event = text("event").ok_or("it has no event")?;
        let outcome = text("result").and_then(Outcome::of_word);
        let previous = text("previous").filter(|t| t.len() == 2 * HASH);
        let previous = previous.and_then(|t| from_hex(t, HASH)?.try_into().ok());
        let change = match members.get("change") {
            None => None,
            Some(Value::String(text)) => Some(Position::parse(text).ok_or("its change is none")?),
            Some(_) => return Err("its change is none"),
        };
        let own = |name: &str| text(name).unwrap_or_default().to_string();
        Ok(Read {
            number,
            time: own("time"),
            event: Event::of_word(event).ok_or("its event is not known")?,
            outcome: outcome.ok_or("its result is not known")?,
            actor: own("actor"),
            key: own("key"),
            owner: own("owner"),
            count: members
                .get("count")
                .map_or(Some(1), Value::as_u64)
                .ok_or("its count is none")?,
            detail: own("detail"),
            change,
            recovered: members.get("recovered") == Some(&Value::Bool(true)),
            previous: previous.ok_or("it does not name the hash of the line before")?,
            members,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let entry = Entry {
            at: 1_800_000_000_000_001,
            count: 3,
            change: Some(Position {
                sequence: 7,
                part: 0,
                tag: [1; 8],
            }),
            recovered: true,
            ..Entry::new(Event::KeyAdded)
        };
        let entry = entry
            .by("a\\20b@% as \"c\"@%")
            .of(b"ssn\n", b"o@%")
            .saying("why \"so\"");
        let line = write(9, &entry, &[("format", 1.into())], &[0xab; HASH]);
        assert!(!line.contains('\n'), "{line}");
        assert!(
            line.starts_with(
                "{\"line\":9,\"time\":\"2027-01-15T08:00:00.000001Z\",\"event\":\"key_added\""
            ),
            "{line}"
        );
        let read = Read::parse(&line).unwrap();
        assert_eq!(
            (read.number, read.event, read.count),
            (9, Event::KeyAdded, 3)
        );
        assert_eq!(
            (read.key.as_str(), read.actor.as_str()),
            ("ssn\\n", "a\\20b@% as \"c\"@%")
        );
        assert_eq!((read.change, read.recovered), (entry.change, true));
        assert_eq!(read.previous, [0xab; HASH]);
        let signed = signed(&line, "QUJD+/==");
        assert!(Read::parse(&signed).is_ok());
        assert_eq!(parts(&signed), Some((&line[..line.len() - 1], "QUJD+/==")));
        assert_eq!(parts(&line), None);
        assert_ne!(hash(&line), hash(&signed));
    }

    #[test]
    fn what_is_no_line() {
        let good = write(1, &Entry::new(Event::Gap), &[], &[0; HASH]);
        for (from, to, why) in [
            ("{", "[", "no JSON"),
            ("\"line\":1", "\"line\":-1", "no number"),
            ("\"event\":\"gap\"", "\"event\":\"x\"", "not known"),
            ("\"result\":\"ok\"", "\"result\":\"x\"", "not known"),
            ("00\"}", "0\"}", "hash"),
        ] {
            let said = Read::parse(&good.replacen(from, to, 1)).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
