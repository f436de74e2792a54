//! A table of expectations: what a policy must say of given requests.
//!
//! Owns the form of the table, JSON, and the comparison. The same request is what `policy explain` asks.

use super::Policy;
use super::operation::{OPERATIONS, Operation};
use super::request::Request;
use super::verdict::{Verdict, Why};
use crate::caller::{Address, Login, Session};
use crate::error::{Error, Kind, Result};
use serde_json::Value;

const OP: &str = "read the table of expectations";
/// Most rows.
const MAX_ROWS: usize = 10_000;
const MEMBERS: [&str; 9] = [
    "account",
    "login",
    "from",
    "key",
    "operation",
    "at",
    "privileges",
    "environment",
    "expect",
];

/// A request in words, as an administrator writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The account whose rights count.
    pub account: String,
    /// Who logged in; `None`: the same.
    pub login: Option<String>,
    /// Where from.
    pub address: Address,
    /// Owner and name; `None`: the keyring as a whole.
    pub key: Option<(String, String)>,
    /// What is done.
    pub operation: Operation,
    /// When, in seconds since 1970.
    pub at: i64,
    /// The privileges that the caller has. `None`: the call comes by one of the server's own functions.
    pub privileges: Option<Vec<String>>,
    /// What the key is for.
    pub environment: String,
}

impl Question {
    /// Asks a policy.
    pub fn ask<T>(&self, policy: &Policy, f: impl FnOnce(&Request<'_>, Verdict<'_>) -> T) -> T {
        let login = self.login.as_ref().unwrap_or(&self.account);
        let (user, host) = login.rsplit_once('@').unwrap_or((login, ""));
        let session = Session {
            login: Some(Login {
                user: user.as_bytes(),
                host: host.as_bytes(),
            }),
            account: Some(self.account.as_bytes()),
            address: self.address,
            connection: None,
            of_server: Some(false),
        };
        let key = self.key.as_ref();
        let request = Request {
            operation: self.operation,
            key: key.map(|(owner, name)| (owner.as_bytes(), name.as_bytes())),
            session: &session,
            applier: false,
            granted: self
                .privileges
                .as_ref()
                .map(|held| policy.granted(|name| held.iter().any(|h| h == name))),
            unasked: 0,
            today: key.is_some_and(|(owner, _)| *owner == self.account),
            now: Some(self.at),
            environment: &|test| test(&self.environment),
        };
        f(&request, policy.decide(&request))
    }
}

/// Reads where a connection comes from.
///
/// # Errors
/// InvalidInput: it is neither an address nor `socket`.
pub fn address(text: &str) -> Result<Address> {
    match text {
        "socket" => Ok(Address::Socket),
        text => text
            .parse::<std::net::IpAddr>()
            .map(|ip| Address::Ip(ip.to_canonical()))
            .map_err(|_| {
                wrong(format!("'{}' is no address", crate::text::shorten(text)))
                    .hint("Write an address like 10.0.0.7, or socket.")
            }),
    }
}

/// Reads a key as `owner/name`: the owner ends at the first / behind its first @; what belongs to it has a backslash before.
///
/// # Errors
/// InvalidInput: it is none.
pub fn key(text: &str) -> Result<(String, String)> {
    let split = crate::key::id::split_owner(text.as_bytes());
    let owned = split.and_then(|(owner, name)| {
        Some((
            String::from_utf8(owner).ok()?,
            String::from_utf8(name.to_vec()).ok()?,
        ))
    });
    owned.ok_or_else(|| {
        wrong(format!("'{}' is no key", crate::text::shorten(text)))
            .hint("Write owner/name, like app@localhost/ssn.")
    })
}

fn wrong(why: String) -> Error {
    Error::new(Kind::InvalidInput, OP, why)
}

/// Reads a table in a file.
///
/// # Errors
/// As [`parse`]; what is wrong with the file.
pub fn load(path: &std::path::Path, now: i64) -> Result<Vec<Row>> {
    let shown = || format!("'{}'", path.display());
    let (mut file, _) =
        crate::os::file::open_following(path).map_err(|e| Error::io(OP, shown(), e))?;
    let bytes = crate::os::file::read_bounded(&mut file, super::source::MAX_FILE);
    parse(&bytes.map_err(|e| Error::io(OP, shown(), e))?, now)
}

/// Reads a time; `now` is when it is asked.
///
/// # Errors
/// InvalidInput: it is none.
pub fn moment(text: &str, now: i64) -> Result<i64> {
    crate::text::moment(text, now).ok_or_else(|| {
        wrong(format!("'{}' is no time", crate::text::shorten(text)))
            .hint("Write it like 2026-11-30T22:00:00+01:00.")
    })
}

/// Reads the operation of a word.
///
/// # Errors
/// InvalidInput: it is none.
pub fn operation(text: &str) -> Result<Operation> {
    Operation::of_name(text).ok_or_else(|| {
        let all: Vec<_> = OPERATIONS.iter().map(|o| o.name()).collect();
        wrong(format!("'{}' is no operation", crate::text::shorten(text)))
            .hint(format!("Write one of {}.", all.join(", ")))
    })
}

/// A row: what is asked, and what is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What is asked.
    pub question: Question,
    /// It is expected to be allowed.
    pub allowed: bool,
    /// By this rule, where one is named.
    pub rule: Option<String>,
}

/// What came of a row that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which row, the first is 1.
    pub row: usize,
    /// What was expected and what the policy says: a sentence.
    pub text: String,
}

/// Reads a table: a list of objects. `now`: when, where a row does not say.
///
/// # Errors
/// InvalidInput: what is wrong with it, and in which row.
pub fn parse(bytes: &[u8], now: i64) -> Result<Vec<Row>> {
    let value = crate::json::parse(bytes).map_err(|e| wrong(format!("it is not JSON: {e}")))?;
    let Value::Array(rows) = value else {
        return Err(wrong("it is no list".into())
            .hint("Write a list of objects: docs/reference/policy.md."));
    };
    if rows.is_empty() || rows.len() > MAX_ROWS {
        return Err(wrong(format!(
            "it has {} rows, not 1 to {MAX_ROWS}",
            rows.len()
        )));
    }
    let rows = rows.iter().enumerate();
    rows.map(|(i, value)| row(value, now).map_err(|e| e.context(format!("row {}", i + 1))))
        .collect()
}

fn row(value: &Value, now: i64) -> Result<Row> {
    let Value::Object(members) = value else {
        return Err(wrong("it is no object".into()));
    };
    if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&&***name)) {
        let error = wrong(format!(
            "there is no member '{}'",
            crate::text::shorten(unknown)
        ));
        let near = crate::text::nearest(unknown, MEMBERS.into_iter());
        return Err(error.hint(near.map_or_else(
            || "docs/reference/policy.md has all.".into(),
            |n| format!("Did you mean '{n}'?"),
        )));
    }
    let text = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(&**text)),
        Some(_) => Err(wrong(format!("{name} is no text"))),
    };
    let needed = |name: &str| text(name)?.ok_or_else(|| wrong(format!("{name} is missing")));
    let at = match text("at")? {
        None => now,
        Some(at) => moment(at, now)?,
    };
    let privileges = match members.get("privileges") {
        None => None,
        Some(Value::Array(list)) => {
            let names = list.iter().map(|name| name.as_str().map(str::to_string));
            Some(
                names
                    .collect::<Option<_>>()
                    .ok_or_else(|| wrong("a privilege is no text".into()))?,
            )
        }
        Some(_) => return Err(wrong("privileges is no list".into())),
    };
    let question = Question {
        account: needed("account")?.into(),
        login: text("login")?.map(str::to_string),
        address: address(text("from")?.unwrap_or("socket"))?,
        key: text("key")?.map(key).transpose()?,
        operation: operation(needed("operation")?)?,
        at,
        privileges,
        environment: text("environment")?.unwrap_or_default().into(),
    };
    let expected = needed("expect")?;
    let (effect, rule) = match expected.split_once(' ') {
        Some((effect, rule)) => (effect, Some(rule.to_string())),
        None => (expected, None),
    };
    let allowed = match effect {
        "allow" => true,
        "deny" => false,
        _ => {
            return Err(
                wrong(format!("expect is '{}'", crate::text::shorten(expected)))
                    .hint("Write allow or deny, and behind it the rule's name where that matters."),
            );
        }
    };
    Ok(Row {
        question,
        allowed,
        rule,
    })
}

/// What a policy says of the rows, where that is not what is expected.
pub fn compare(policy: &Policy, rows: &[Row]) -> Vec<Failure> {
    let failed = rows.iter().enumerate().filter_map(|(i, row)| {
        let text = row.question.ask(policy, |_, verdict| {
            let by = verdict.rule().map(|rule| rule.name.clone());
            let as_expected = verdict.is_allowed() == row.allowed
                && row
                    .rule
                    .as_ref()
                    .is_none_or(|rule| by.as_ref() == Some(rule));
            let told = |allowed, rule: Option<&str>| {
                format!(
                    "{}{}",
                    if allowed { "allow" } else { "deny" },
                    rule.map(|r| format!(" ({r})")).unwrap_or_default()
                )
            };
            (!as_expected).then(|| {
                format!(
                    "expected {}, the policy says {}",
                    told(row.allowed, row.rule.as_deref()),
                    told(verdict.is_allowed(), Some(because(&verdict)))
                )
            })
        })?;
        Some(Failure { row: i + 1, text })
    });
    failed.collect()
}

/// What gave the answer, in words.
pub fn because<'p>(verdict: &Verdict<'p>) -> &'p str {
    match verdict {
        Verdict::Allowed(Some(rule)) | Verdict::Denied(Why::Rule(rule)) => &rule.name,
        Verdict::Allowed(None) | Verdict::Denied(Why::Default) => "the default",
        Verdict::Denied(Why::Unknown) => "it is not known who calls",
        Verdict::Denied(Why::Applier) => "appliers need a rule",
    }
}
