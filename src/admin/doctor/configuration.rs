//! The configuration of the role that serves.

use super::Look;
use crate::config::Config;

const WHAT: &str = "configuration";

/// Gives the configuration, if there is one.
pub(super) fn check<'a>(look: &mut Look<'a>) -> Option<&'a Config> {
    match look.setup.config {
        Ok(config) => {
            let read_only = if config.read_only { ", read-only" } else { "" };
            look.ok(
                WHAT,
                format!(
                    "backend {}, from {}{read_only}",
                    config.backend.name(),
                    config.origin
                ),
            );
            Some(config)
        }
        Err(e) => {
            look.error(WHAT, e);
            None
        }
    }
}
