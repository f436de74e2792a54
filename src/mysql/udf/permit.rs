//! What a caller of a SQL function may do, from the function's init to its deinit.
//!
//! Owns who called and which of the policy's privileges he has: both are asked in the init, and hold as long as the statement. The policy
//! itself is asked with each row. It must never ask for privileges under a lock of ours.

use super::caller;
use crate::caller::{Caller, Remembered};
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{gate, identity};
use crate::policy::Policy;
use crate::policy::operation::Operation;
use crate::policy::request::{Environment, Request};
use std::ffi::CString;
use std::sync::Arc;

/// See the module's documentation.
pub(in crate::mysql) struct Permit {
    who: Remembered,
    applier: bool,
    /// The policy that was in force in the init, and the privileges that it names and the caller has.
    granted: Option<(Arc<Policy>, u64)>,
}

impl Permit {
    /// Of the calling thread; `applier`: it is a replication applier.
    pub(in crate::mysql) fn ask(applier: bool) -> Permit {
        let mut who = Remembered::default();
        identity::with_current(|caller| {
            if let Some(session) = caller.session() {
                who = session.into();
            }
        });
        let policy = gate::with_policy(|policy| Ok(policy.clone()))
            .ok()
            .flatten();
        let granted = policy.map(|policy| {
            let bits = match applier {
                // It has every privilege, which says nothing.
                true => 0,
                false => policy
                    .granted(|name| CString::new(name).is_ok_and(|name| caller::has_any(&[&name]))),
            };
            (policy, bits)
        });
        Permit {
            who,
            applier,
            granted,
        }
    }

    /// The account that acts.
    pub(in crate::mysql) fn account(&self) -> Option<&[u8]> {
        self.who.session().account
    }

    /// The privileges of a policy that the caller has, and those that were not asked for, because another policy was in force in the init.
    fn granted_in(&self, policy: &Arc<Policy>) -> (u64, u64) {
        match &self.granted {
            Some((asked, bits)) if Arc::ptr_eq(asked, policy) => (*bits, 0),
            Some((asked, bits)) => {
                let place = |name: &str| asked.privileges().iter().position(|known| known == name);
                let held =
                    policy.granted(|name| place(name).is_some_and(|at| bits & (1 << at) != 0));
                (held, policy.granted(|name| place(name).is_none()))
            }
            None => (0, policy.granted(|_| true)),
        }
    }

    /// Whether the policy allows it; `today`: it is allowed where there is none. `key`: owner and name; `None`: it is about the keyring as a
    /// whole. `environment`: what the key is for; `None`: as the keyring knows it.
    ///
    /// # Errors
    /// Denied, with the rule.
    pub(in crate::mysql) fn check(
        &self,
        operation: Operation,
        key: Option<(&[u8], &[u8])>,
        today: bool,
        environment: Option<Environment<'_>>,
    ) -> Result<()> {
        let checked = match LIFECYCLE.is_policed() {
            false if today => Ok(()),
            _ => self.check_policy(operation, key, today, environment),
        };
        self.tell(operation, key, &checked);
        checked
    }

    /// Tells the audit log of a refusal; not of what a list leaves out.
    fn tell(&self, operation: Operation, key: Option<(&[u8], &[u8])>, checked: &Result<()>) {
        let (owner, name) = key.unwrap_or_default();
        if let (Err(e), true) = (checked, operation != Operation::List) {
            let caller = Caller::Account(self.who.session());
            LIFECYCLE.tell_denial(&caller, name, owner, &e.to_string());
        }
    }

    /// Tells the audit log what came of a fetch or a use that was allowed, and gives it back.
    pub(super) fn told<T>(&self, operation: Operation, id: &KeyId, came: Result<T>) -> Result<T> {
        let caller = Caller::Account(self.who.session());
        gate::told(&caller, operation, (id.name(), id.owner()), came, |_| true)
    }

    /// Tells the audit log that the caller was refused, where that is not for the policy to say.
    pub(super) fn tell_refusal(&self, id: &KeyId, why: &Error) {
        let caller = Caller::Account(self.who.session());
        LIFECYCLE.tell_denial(&caller, id.name(), id.owner(), &why.to_string());
    }

    fn check_policy(
        &self,
        operation: Operation,
        key: Option<(&[u8], &[u8])>,
        today: bool,
        environment: Option<Environment<'_>>,
    ) -> Result<()> {
        let session = self.who.session();
        let (owner, name) = key.unwrap_or_default();
        let known = |test: &dyn Fn(&str) -> bool| gate::environment(name, owner, test);
        let allowed = gate::with_policy(|policy| {
            let (granted, unasked) = self.granted_in(policy);
            let request = Request {
                operation,
                key,
                session: &session,
                applier: self.applier,
                granted: Some(granted),
                unasked,
                today,
                now: None,
                environment: environment.unwrap_or(&known),
            };
            gate::decide(policy, &request)
        })?;
        match allowed {
            Some(()) => Ok(()),
            None if today => Ok(()),
            // A policy was there when another account's key was named, and a RELOAD has ended it since.
            None => Err(gone()),
        }
    }
}

impl Permit {
    /// There is a policy.
    pub(super) fn is_bound(&self) -> bool {
        LIFECYCLE.is_policed()
    }

    /// The caller, who may read lists of keys, may see this one.
    pub(in crate::mysql) fn lists(&self, id: &KeyId) -> bool {
        let key = Some((id.owner(), id.name()));
        self.check(Operation::List, key, true, None).is_ok()
    }
}

/// The error for what only a policy can allow, where there is none.
#[cold]
fn gone() -> Error {
    let why = "only a policy can allow it, and there is none any more";
    Error::new(Kind::Denied, "use the keyring", why)
        .hint("Without a policy each account has its own keys.")
        .refused()
}

/// The policy has a rule that allows replication appliers something.
pub(super) fn allows_appliers() -> bool {
    let allows = gate::with_policy(|policy| Ok(policy.allows_appliers()));
    matches!(allows, Ok(Some(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_privilege_that_was_not_asked_for_counts_against_the_caller() {
        let policy = |name: &str| {
            let rule = format!(
                r#"{{"name": "d", "effect": "deny", "operations": ["use"], "privileges": ["{name}"]}}"#
            );
            let text = format!(r#"{{"version": 1, "default": "owner", "rules": [{rule}]}}"#);
            Arc::new(Policy::parse(text.as_bytes(), "test").unwrap())
        };
        let (one, same, other) = (policy("P"), policy("P"), policy("Q"));
        let of = |granted| Permit {
            who: Remembered::default(),
            applier: false,
            granted,
        };
        for (granted, policy, expected) in [
            (Some((one.clone(), 1)), &one, (1, 0)),
            (Some((one.clone(), 0)), &one, (0, 0)),
            (Some((one.clone(), 1)), &same, (1, 0)),
            (Some((one.clone(), 0)), &same, (0, 0)),
            (Some((one.clone(), 1)), &other, (0, 1)),
            (None, &one, (0, 1)),
        ] {
            assert_eq!(of(granted).granted_in(policy), expected);
        }
    }

    /// A RELOAD may end the policy between the name and the question.
    #[test]
    fn without_a_policy_nobody_has_a_foreign_key() {
        let permit = Permit {
            who: Remembered::default(),
            applier: false,
            granted: None,
        };
        let key = Some((&b"app@%"[..], &b"k"[..]));
        let check = |today| permit.check(Operation::Fetch, key, today, None);
        assert!(check(true).is_ok());
        assert_eq!(check(false).map_err(|e| e.kind()), Err(Kind::Denied));
    }
}
