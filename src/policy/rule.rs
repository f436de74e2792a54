//! One rule: what it is about, and whether a request is that.
//!
//! Owns the order in which its conditions are looked at: what costs least comes first. It must never allocate.

use super::network::Network;
use super::operation::Operations;
use super::pattern::Pattern;
use super::request::Asking;
use super::window::Window;
use crate::key::logical::split;
use serde_json::Value;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever another one allows.
    Deny,
}

/// Which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Those of the account that asks.
    Own,
    /// Those whose owner and name are like this.
    Like {
        /// The owner.
        owner: Pattern,
        /// The name; of a version its own, `name@2`.
        name: Pattern,
    },
}

/// A rule. An empty list of something means: whatever it is.
#[derive(Debug)]
pub struct Rule {
    /// Its name, which refusals tell.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// The account whose rights count.
    pub(super) accounts: Vec<Pattern>,
    /// Those accounts in a replication applier's thread as well.
    pub(super) appliers: bool,
    /// Who logged in, `user@host`.
    pub(super) logins: Vec<Pattern>,
    /// Privileges, one of which is enough: bits, in the order of the policy's list; 0: whatever the caller has.
    pub(super) privileges: u64,
    /// Keys.
    pub(super) keys: Vec<Keys>,
    /// Operations.
    pub(super) operations: Operations,
    /// What the keys are for.
    pub(super) environments: Vec<Pattern>,
    /// Where the connection comes from.
    pub(super) networks: Vec<Network>,
    /// When; `None`: always.
    pub(super) window: Option<Window>,
    /// As it stands in the file.
    pub source: Value,
}

impl Rule {
    /// The rule is about this request.
    pub(super) fn matches(&self, asking: &Asking<'_>) -> bool {
        self.differs(asking).is_none()
    }

    /// In what the request is none that the rule is about: the member of the rule.
    pub(super) fn differs(&self, asking: &Asking<'_>) -> Option<&'static str> {
        let request = asking.request;
        if !self.operations.has(request.operation) {
            return Some("operations");
        }
        if !self.is_about_key(asking) {
            return Some("keys");
        }
        if !self.is_about_account(asking) {
            return Some("accounts");
        }
        let held = match self.effect {
            Effect::Allow => request.granted.unwrap_or(0),
            Effect::Deny => request.granted.unwrap_or(0) | request.unasked,
        };
        if self.privileges != 0 && held & self.privileges == 0 {
            return Some("privileges");
        }
        if !self.logins.is_empty() && !asking.login(|login| any(&self.logins, login)) {
            return Some("logins");
        }
        let address = request.session.address;
        if !self.networks.is_empty() && !self.networks.iter().any(|n| n.has(address)) {
            return Some("networks");
        }
        if self
            .window
            .as_ref()
            .is_some_and(|window| !window.is_open(asking.now()))
        {
            return Some("time");
        }
        let of_environment = |name: &str| any(&self.environments, name.as_bytes());
        if !self.environments.is_empty() && !(request.environment)(&of_environment) {
            return Some("environments");
        }
        None
    }

    fn is_about_key(&self, asking: &Asking<'_>) -> bool {
        if self.keys.is_empty() {
            return true;
        }
        let Some((owner, name)) = asking.request.key else {
            return false;
        };
        self.keys.iter().any(|keys| match keys {
            Keys::Own => asking.request.session.account == Some(owner),
            Keys::Like {
                owner: of,
                name: called,
            } => of.matches(owner) && (called.matches(name) || self.denies_version(called, name)),
        })
    }

    /// Who denies a logical key denies its versions, by whatever way one asks for them. Who allows it has to name them.
    fn denies_version(&self, called: &Pattern, name: &[u8]) -> bool {
        self.effect == Effect::Deny && split(name).is_some_and(|(base, _)| called.matches(base))
    }

    fn is_about_account(&self, asking: &Asking<'_>) -> bool {
        let request = asking.request;
        let account = request.session.account;
        let is_named = account.is_some_and(|name| any(&self.accounts, name));
        let is_for_all = self.accounts.is_empty() && !self.appliers;
        match (request.applier, self.effect) {
            // An event that names its transactions looks like an applier: the account is what both are bound to.
            (true, Effect::Allow) => self.appliers && is_named,
            (true, Effect::Deny) => is_for_all || is_named || self.appliers,
            (false, _) => is_for_all || is_named,
        }
    }
}

fn any(patterns: &[Pattern], text: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}
