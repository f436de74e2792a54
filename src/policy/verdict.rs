//! What a policy answers.
//!
//! Owns the words of a refusal.

use super::request::Request;
use super::rule::Rule;
use crate::error::{Error, Kind};
use crate::key::id::printable;

/// Why a request is denied.
#[derive(Clone, Copy, Debug)]
pub enum Why<'p> {
    /// A rule denies it.
    Rule(&'p Rule),
    /// No rule allows it.
    Default,
    /// The server does not tell who calls.
    Unknown,
    /// A replication applier calls, and no rule allows one.
    Applier,
}

/// What a policy says.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'p> {
    /// It is allowed: by a rule, or because it is without a policy.
    Allowed(Option<&'p Rule>),
    /// It is denied.
    Denied(Why<'p>),
}

impl<'p> Verdict<'p> {
    /// It is allowed.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Verdict::Allowed(_))
    }

    /// The rule that said so; `None`: the default.
    pub fn rule(&self) -> Option<&'p Rule> {
        match self {
            Verdict::Allowed(rule) => *rule,
            Verdict::Denied(Why::Rule(rule)) => Some(rule),
            Verdict::Denied(_) => None,
        }
    }
}

/// The error of a request that is denied.
#[cold]
pub fn denied(request: &Request<'_>, why: Why<'_>) -> Error {
    let what = match request.key {
        Some((owner, name)) => format!(
            "{} the key {}",
            request.operation.verb(),
            printable(name, owner)
        ),
        None => format!("{} the keyring", request.operation.verb()),
    };
    let account = request.session.account.map(crate::text::name);
    let who = account.map_or_else(|| "who calls".into(), |name| format!("'{name}'"));
    let (because, hint) = match why {
        Why::Rule(rule) => (
            format!(
                "the rule '{}' of the policy says so",
                crate::text::shorten(&rule.name)
            ),
            "keyring-ward policy explain says what the rule is about.",
        ),
        Why::Default => (
            "no rule of the policy allows it".into(),
            "The policy is the administrator's of this machine: keyring-ward policy explain.",
        ),
        Why::Unknown => (
            "the server does not tell who it is, and there is a policy".into(),
            "A policy needs performance_schema = ON, by which the server tells who has logged in.",
        ),
        Why::Applier => (
            "it is a replication applier, and no rule of the policy allows @applier".into(),
            "On a replica rows bring what the source has computed: keep binlog_format = ROW there.",
        ),
    };
    let why = format!("{who} may not {what}: {because}");
    Error::new(Kind::Denied, "use the keyring", why)
        .hint(hint)
        .refused()
}
