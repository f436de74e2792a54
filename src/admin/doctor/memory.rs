//! The limit of locked memory: beyond it keys may be swapped.

use super::Look;

const WHAT: &str = "locked memory";

pub(super) fn check(look: &mut Look<'_>, keys: usize) {
    // A key of 32 bytes takes a slot of 64; plus some pages.
    let wanted = keys as u64 * 64 + 65_536;
    match crate::os::locked_memory_limit() {
        None => look.ok(WHAT, "unlimited for this process"),
        Some(limit) if limit < wanted => look.warn(
            WHAT,
            format!(
                "this process may lock {limit} bytes, {wanted} are wanted: keys may be swapped"
            ),
            "In the unit: LimitMEMLOCK=infinity",
        ),
        Some(limit) => look.ok(
            WHAT,
            format!("{limit} bytes for this process (a unit's is LimitMEMLOCK)"),
        ),
    }
}
