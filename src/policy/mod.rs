//! The access policy: who may do what with which keys, when and from where.
//!
//! Owns the rules and the order in which they count: what is denied is denied, else what is allowed is allowed, else the default says.
//! It knows nothing of MySQL: who calls and which privileges he has it is told. It must never be asked about a call of the server
//! itself, never allocate or lock on the way of a call, and never take what it can't read for a policy that allows.

mod index;
pub mod network;
pub mod operation;
mod parts;
pub mod pattern;
mod read;
mod remarks;
pub mod request;
pub mod rule;
pub mod source;
pub mod table;
pub mod verdict;
mod window;
mod zone;

use index::Index;
use operation::Operation;
use request::{Asking, Request};
use rule::{Effect, Rule};
use serde_json::{Value, json};
use verdict::{Verdict, Why};

/// Most rules of a policy.
pub const MAX_RULES: usize = 10_000;
/// Most privileges that the rules of a policy name together.
pub const MAX_PRIVILEGES: usize = 64;

/// What holds where no rule is about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// What holds without a policy: each account has its own keys, and functions of administration want their privileges.
    Owner,
    /// Nothing is allowed.
    Deny,
}

impl Default {
    /// The word in the file.
    pub fn name(self) -> &'static str {
        match self {
            Default::Owner => "owner",
            Default::Deny => "deny",
        }
    }
}

/// The rules, ready to be asked.
#[derive(Debug)]
pub struct Policy {
    default: Default,
    rules: Vec<Rule>,
    /// The privileges that rules name.
    privileges: Vec<String>,
    /// All rules; and those that count where nobody may ask for privileges.
    all: Index,
    without_privileges: Index,
    /// Full sentences about what could be better.
    remarks: Vec<String>,
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// Config: what is wrong with it, and where.
    pub fn parse(text: &[u8], origin: &str) -> crate::error::Result<Policy> {
        read::policy(text, origin)
    }

    fn new(
        default: Default,
        rules: Vec<Rule>,
        privileges: Vec<String>,
        remarks: Vec<String>,
    ) -> Policy {
        Policy {
            default,
            all: Index::of(&rules, |_| true),
            without_privileges: Index::of(&rules, |rule| rule.privileges == 0),
            rules,
            privileges,
            remarks,
        }
    }

    /// What it says of a request.
    pub fn decide(&self, request: &Request<'_>) -> Verdict<'_> {
        if !request.session.is_known() {
            return Verdict::Denied(Why::Unknown);
        }
        let index = match request.granted {
            Some(_) => &self.all,
            None => &self.without_privileges,
        };
        let asking = Asking::new(request);
        // Of several the first one in the file is told.
        let (mut denied, mut allowed): (Option<u16>, Option<u16>) = (None, None);
        for number in index.candidates(request) {
            let rule = &self.rules[usize::from(number)];
            let first = match rule.effect {
                Effect::Deny => &mut denied,
                Effect::Allow => &mut allowed,
            };
            if first.is_none_or(|first| number < first) && rule.matches(&asking) {
                *first = Some(number);
            }
        }
        let rule = |number: u16| &self.rules[usize::from(number)];
        match (denied, allowed) {
            (Some(number), _) => Verdict::Denied(Why::Rule(rule(number))),
            (None, Some(number)) => Verdict::Allowed(Some(rule(number))),
            (None, None) if request.applier => Verdict::Denied(Why::Applier),
            (None, None) if self.default == Default::Owner && request.today => {
                Verdict::Allowed(None)
            }
            (None, None) => Verdict::Denied(Why::Default),
        }
    }

    /// What the caller is told of why it is denied. Where nothing would allow it either, no rule about environments is named: that would
    /// tell whether there is such a key, and what it is for.
    #[cold]
    pub fn told<'p>(&'p self, request: &Request<'_>, why: Why<'p>) -> Why<'p> {
        let hides = matches!(why, Why::Rule(rule) if !rule.environments.is_empty());
        let asking = Asking::new(request);
        let mut allowing = self.rules.iter().filter(|r| r.effect == Effect::Allow);
        let is_own = self.default == Default::Owner && request.today && !request.applier;
        if !hides || is_own || allowing.any(|rule| rule.matches(&asking)) {
            return why;
        }
        let mut others = self.rules.iter().filter(|rule| {
            rule.effect == Effect::Deny && rule.environments.is_empty() && rule.matches(&asking)
        });
        match others.next() {
            Some(rule) => Why::Rule(rule),
            None if request.applier => Why::Applier,
            None => Why::Default,
        }
    }

    /// Of each rule in what the request is none that it is about; `None`: it is.
    pub fn compare<'p>(&'p self, request: &Request<'_>) -> Vec<(&'p Rule, Option<&'static str>)> {
        let asking = Asking::new(request);
        let rules = self.rules.iter();
        rules.map(|rule| (rule, rule.differs(&asking))).collect()
    }

    /// What holds where no rule is about a request.
    pub fn default(&self) -> Default {
        self.default
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The privileges that rules name.
    pub fn privileges(&self) -> &[String] {
        &self.privileges
    }

    /// The bits of those privileges that `has` says.
    pub fn granted(&self, mut has: impl FnMut(&str) -> bool) -> u64 {
        let all = self.privileges.iter().enumerate();
        all.filter(|(_, name)| has(name))
            .fold(0, |bits, (at, _)| bits | 1 << at)
    }

    /// A rule allows replication appliers something.
    pub fn allows_appliers(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.appliers && rule.effect == Effect::Allow)
    }

    /// What could be better: full sentences.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// The rules as they are in force, for auditors.
    pub fn to_json(&self) -> Value {
        let rules: Vec<&Value> = self.rules.iter().map(|rule| &rule.source).collect();
        json!({ "default": self.default.name(), "rules": rules })
    }
}

/// A request of a keyring service that the server makes for an account: no privilege may be asked for there.
pub fn of_service<'a>(
    operation: Operation,
    (owner, name): (&'a [u8], &'a [u8]),
    session: &'a crate::caller::Session<'a>,
    environment: request::Environment<'a>,
) -> Request<'a> {
    Request {
        operation,
        key: Some((owner, name)),
        session,
        applier: false,
        granted: None,
        unasked: 0,
        today: session.account == Some(owner),
        now: None,
        environment,
    }
}

#[cfg(test)]
mod tests;
