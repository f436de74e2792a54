//! Archived binary logs whose keys the server has removed.

use super::Look;
use crate::admin::archived_logs::at_stake;
use crate::keyring::Keyring;

const WHAT: &str = "archived logs";

pub(super) fn check(look: &mut Look<'_>, keyring: &Keyring) {
    let Some(kept) = at_stake(keyring) else {
        return;
    };
    match kept.is_soon(crate::os::unix_seconds()) {
        true => look.warn(WHAT, kept.sentence(), kept.remedy()),
        false => look.ok(WHAT, kept.sentence()),
    }
}
