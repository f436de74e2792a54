//! Whether the policy lets a call through that the server makes for an account.
//!
//! Owns what a keyring service asks the policy. Calls without owner, the server's own, are never asked about. It must never ask for grants:
//! the server holds its keyring lock, and GRANT may wait for that.

use super::identity;
use super::state::LIFECYCLE;
use crate::audit::event::{Event, Outcome};
use crate::audit::feed::Use;
use crate::caller::{Caller, Session};
use crate::error::{Kind, Result};
use crate::key::record::{KeyRecord, KnownKey};
use crate::lifecycle::policing::unreadable;
use crate::policy::operation::Operation;
use crate::policy::request::Request;
use crate::policy::verdict::{self, Verdict};
use crate::policy::{Policy, of_service};
use std::sync::Arc;

/// Fetches a key for a service call: asks the policy, and tells the log. It costs two looks at atomics where there is neither.
///
/// # Errors
/// Denied, with the rule. Those of fetching.
#[inline]
pub(super) fn fetch(
    operation: Operation,
    name: &[u8],
    owner: &[u8],
) -> Result<Option<Arc<KeyRecord>>> {
    let is_bound = LIFECYCLE.is_policed() && !owner.is_empty();
    match is_bound || LIFECYCLE.tells_reads() {
        false => LIFECYCLE.fetch(name, owner),
        true => identity::with_owner(owner, |caller| fetch_by(operation, name, owner, caller)),
    }
}

fn fetch_by(
    operation: Operation,
    name: &[u8],
    owner: &[u8],
    caller: &Caller<'_>,
) -> Result<Option<Arc<KeyRecord>>> {
    check_policy(operation, name, owner, caller)?;
    let found = LIFECYCLE.fetch(name, owner);
    told(caller, operation, (name, owner), found, Option::is_some)
}

/// Tells the audit log what came of a fetch or a use that was allowed, and gives it back. `is_there`: what came is a key.
pub(super) fn told<T>(
    caller: &Caller<'_>,
    operation: Operation,
    (name, owner): (&[u8], &[u8]),
    came: Result<T>,
    is_there: impl FnOnce(&T) -> bool,
) -> Result<T> {
    if LIFECYCLE.tells_reads() {
        let (outcome, detail) = match &came {
            Ok(found) if is_there(found) => (Outcome::Done, String::new()),
            Ok(_) => (Outcome::Absent, String::new()),
            Err(e) if e.kind() == Kind::NotFound => (Outcome::Absent, String::new()),
            Err(e) => (Outcome::Failed, e.to_string()),
        };
        let event = match operation {
            Operation::Fetch => Event::KeyRead,
            _ => Event::KeyUsed,
        };
        let what = Use {
            event,
            outcome,
            name,
            owner,
            detail: &detail,
        };
        LIFECYCLE.tell_use(caller, &what);
    }
    came
}

/// Before an account changes something: the log that is required is well, and the policy allows it.
///
/// # Errors
/// Denied, with the rule.
pub(super) fn check_by(
    operation: Operation,
    name: &[u8],
    owner: &[u8],
    caller: &Caller<'_>,
) -> Result<()> {
    if !owner.is_empty() {
        LIFECYCLE.check_audit()?;
    }
    check_policy(operation, name, owner, caller)
}

fn check_policy(
    operation: Operation,
    name: &[u8],
    owner: &[u8],
    caller: &Caller<'_>,
) -> Result<()> {
    match owner.is_empty() || !LIFECYCLE.is_policed() {
        true => Ok(()),
        false => ask(operation, name, owner, caller),
    }
}

/// Runs `f` with the policy; `None`: there is none.
///
/// # Errors
/// Denied: it could not be read. Those of `f`.
pub(super) fn with_policy<T>(f: impl FnOnce(&Arc<Policy>) -> Result<T>) -> Result<Option<T>> {
    let in_force = LIFECYCLE.in_force();
    let Some(in_force) = in_force.as_ref().and_then(|guard| guard.as_ref()) else {
        return Ok(None);
    };
    match &in_force.policy {
        Ok(policy) => f(policy).map(Some),
        Err(why) => Err(unreadable(why)),
    }
}

/// What a key is for, as the keyring knows it.
pub(super) fn environment(name: &[u8], owner: &[u8], test: &dyn Fn(&str) -> bool) -> bool {
    match LIFECYCLE.keyring() {
        Ok(keyring) => keyring.with_environment(name, owner, test),
        Err(_) => test(""),
    }
}

/// Asks the policy.
///
/// # Errors
/// Denied, with the rule.
pub(super) fn decide(policy: &Policy, request: &Request<'_>) -> Result<()> {
    match policy.decide(request) {
        Verdict::Allowed(_) => Ok(()),
        Verdict::Denied(why) => Err(verdict::denied(request, policy.told(request, why))),
    }
}

fn ask(operation: Operation, name: &[u8], owner: &[u8], caller: &Caller<'_>) -> Result<()> {
    let nobody = Session::default();
    let session = caller.session().unwrap_or(&nobody);
    let environment = |test: &dyn Fn(&str) -> bool| environment(name, owner, test);
    let request = of_service(operation, (owner, name), session, &environment);
    let decided = with_policy(|policy| decide(policy, &request)).map(drop);
    decided.inspect_err(|e| LIFECYCLE.tell_denial(caller, name, owner, &e.to_string()))
}

/// Leaves out of a list what the policy does not let the caller see; the server itself sees all.
pub(super) fn keep_listed(keys: &mut Vec<KnownKey>) {
    if !LIFECYCLE.is_policed() {
        return;
    }
    identity::with_current(|caller| {
        let nobody = Session::default();
        let session = caller.session().unwrap_or(&nobody);
        if session.account.is_none() && session.of_server != Some(false) {
            return;
        }
        keys.retain(|key| key.id.owner().is_empty() || may_list(key, session));
    });
}

/// Without a policy the server shows all keys to whoever may read its table.
fn may_list(key: &KnownKey, session: &Session<'_>) -> bool {
    let (name, owner) = (key.id.name(), key.id.owner());
    let environment = |test: &dyn Fn(&str) -> bool| environment(name, owner, test);
    let request = Request {
        today: true,
        ..of_service(Operation::List, (owner, name), session, &environment)
    };
    with_policy(|policy| decide(policy, &request)).is_ok()
}
