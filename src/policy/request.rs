//! What is asked of a policy.
//!
//! A request borrows everything; what costs something is looked up only where a rule wants it.

use super::operation::Operation;
use crate::caller::Session;
use smallvec::SmallVec;
use std::cell::OnceCell;

/// Longest login that is put together without an allocation.
const LOGIN: usize = 128;

/// Calls its argument with the environment of the key that is asked for, which is empty where none was given, and gives its answer.
pub type Environment<'a> = &'a dyn Fn(&dyn Fn(&str) -> bool) -> bool;

/// No environment was given.
pub const NO_ENVIRONMENT: Environment<'static> = &|test| test("");

/// What is asked.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// What the call does.
    pub operation: Operation,
    /// Owner and name of the key; `None`: the keyring as a whole.
    pub key: Option<(&'a [u8], &'a [u8])>,
    /// Who calls.
    pub session: &'a Session<'a>,
    /// It is a replication applier, which has every privilege.
    pub applier: bool,
    /// The privileges that the caller has, as bits in the order of the policy's list. `None`: nobody may ask for them here, and rules that
    /// name some count for nothing.
    pub granted: Option<u64>,
    /// Privileges of which nobody could be asked any more: they may be had, which counts for rules that deny.
    pub unasked: u64,
    /// The call is allowed where there is no policy.
    pub today: bool,
    /// When, in seconds since 1970; `None`: now.
    pub now: Option<i64>,
    /// What the key is for.
    pub environment: Environment<'a>,
}

/// A request, and what was looked up for it.
pub(super) struct Asking<'a> {
    pub(super) request: &'a Request<'a>,
    login: OnceCell<SmallVec<[u8; LOGIN]>>,
    now: OnceCell<i64>,
}

impl<'a> Asking<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Asking<'a> {
        Asking {
            request,
            login: OnceCell::new(),
            now: OnceCell::new(),
        }
    }

    /// Whether who logged in is as `test` says; `false` where nobody did.
    pub(super) fn login(&self, test: impl FnOnce(&[u8]) -> bool) -> bool {
        let Some(login) = &self.request.session.login else {
            return false;
        };
        test(self.login.get_or_init(|| {
            let mut text = SmallVec::from_slice(login.user);
            text.push(b'@');
            text.extend_from_slice(login.host);
            text
        }))
    }

    /// The second that counts.
    pub(super) fn now(&self) -> i64 {
        *self
            .now
            .get_or_init(|| self.request.now.unwrap_or_else(crate::os::unix_seconds))
    }
}
