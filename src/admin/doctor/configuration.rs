//! The configuration of the role that serves.

use super::Look;
use super::rights::{blocked, json_files};
use crate::config::Config;
use crate::config::locate::{Found, Serves};
use crate::config::option_file::GROUP;

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
                    config.backend(),
                    config.origin
                ),
            );
            let void = look.setup.server.filter(|s| s.serves != Serves::Plugin);
            if let Some(origin) = void.and_then(Found::void_group) {
                look.warn(
                    WHAT,
                    format!("the group [{GROUP}] ({origin}) counts for nothing: the JSON file sets options"),
                    "Keep one of the two.",
                );
            }
            Some(config)
        }
        Err(e) => {
            let blocked: Vec<_> = json_files(look)
                .iter()
                .filter_map(|file| blocked(look, file))
                .collect();
            // Where a file can't be read that is the cause, whatever the search says of the rest.
            match blocked.is_empty() {
                true => look.error(WHAT, e),
                false => blocked
                    .into_iter()
                    .for_each(|(detail, remedy)| look.fail(WHAT, detail, remedy)),
            }
            None
        }
    }
}
