//! Who calls a SQL function: whether it may, and a change in its name.
//!
//! Owns the question for privileges, which the server answers under a lock of its own. It must never be asked under a lock of ours.

use crate::error::Result;
use crate::keyring::By;
use crate::mysql::registry::{self, Registry};
use crate::mysql::state::LIFECYCLE;
use crate::mysql::{abi, identity};
use std::ffi::CStr;

/// Runs a change in the caller's name: see [`crate::lifecycle::Lifecycle::change`].
pub(super) fn change<T: Send>(f: impl Fn(&By<'_>) -> Result<T> + Send + Sync) -> Result<T> {
    identity::with_current(|caller| LIFECYCLE.change(caller, f))
}

/// The caller has one of these privileges, itself or by an active role. Nobody has where the server does not tell.
pub(super) fn has_any(privileges: &[&CStr]) -> bool {
    registry::with(|registry| asked(registry, privileges)).flatten() == Some(true)
}

/// `None` where the server does not tell.
fn asked(registry: Registry<'_>, privileges: &[&CStr]) -> Option<bool> {
    let grants = registry.service::<abi::kw_global_grants>()?;
    let has = grants.has_global_grant?;
    let context = identity::context(registry)?;
    // SAFETY: the thread's own context, which lives through the call; the name has its length beside it.
    let one = |name: &&CStr| unsafe { has(context, name.as_ptr(), name.count_bytes()) } == 1;
    Some(privileges.iter().any(one))
}
