//! What a caller of a SQL function may do, from the function's init to its deinit.
//!
//! Owns who called and which of the policy's privileges he has: both are asked in the init, and hold as long as the statement. The policy
//! itself is asked with each row. It must never ask for privileges under a lock of ours.

use super::caller;
use crate::audit::event::Outcome;
use crate::audit::feed::Use;
use crate::caller::{Caller, Remembered};
use crate::error::Result;
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

    fn granted_in(&self, policy: &Arc<Policy>) -> u64 {
        match &self.granted {
            Some((asked, bits)) if Arc::ptr_eq(asked, policy) => *bits,
            // Another one came since then.
            Some((asked, bits)) => policy.granted(|name| {
                let place = asked.privileges().iter().position(|known| known == name);
                place.is_some_and(|place| bits & (1 << place) != 0)
            }),
            None => 0,
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
            false => Ok(()),
            true => self.check_policy(operation, key, today, environment),
        };
        self.tell(operation, key, &checked);
        checked
    }

    /// Tells the audit log of a use and of a refusal; not of what a list leaves out.
    fn tell(&self, operation: Operation, key: Option<(&[u8], &[u8])>, checked: &Result<()>) {
        let caller = || Caller::Account(self.who.session());
        let (owner, name) = key.unwrap_or_default();
        match (checked, operation) {
            (_, Operation::List) => {}
            (Err(e), _) => LIFECYCLE.tell_denial(&caller(), name, owner, &e.to_string()),
            (Ok(()), Operation::Fetch | Operation::Use) if LIFECYCLE.tells_reads() => {
                let what = Use {
                    event: gate::used(operation),
                    outcome: Outcome::Done,
                    name,
                    owner,
                    detail: "",
                };
                LIFECYCLE.tell_use(&caller(), &what);
            }
            (Ok(()), _) => {}
        }
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
        gate::with_policy(|policy| {
            let request = Request {
                operation,
                key,
                session: &session,
                applier: self.applier,
                granted: Some(self.granted_in(policy)),
                today,
                now: None,
                environment: environment.unwrap_or(&known),
            };
            gate::decide(policy, &request)
        })
        .map(drop)
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

/// The policy has a rule that allows replication appliers something.
pub(super) fn allows_appliers() -> bool {
    let allows = gate::with_policy(|policy| Ok(policy.allows_appliers()));
    matches!(allows, Ok(Some(true)))
}
