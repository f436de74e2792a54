//! The access policy, where one is configured. A bad one disables no keyring: accounts get no keys then.

use super::Look;
use crate::config::Config;
use crate::policy::source::{self, Loaded};

const WHAT: &str = "policy";

pub(super) fn check(look: &mut Look<'_>, config: &Config) {
    let Some(file) = &config.policy_file else {
        return;
    };
    let shown = file.display();
    match source::load(file) {
        Ok(Loaded { policy, warnings }) if warnings.is_empty() => {
            let rules = policy.rules().len();
            look.ok(WHAT, format!("'{shown}' is in order: {rules} rules"));
        }
        Ok(Loaded { warnings, .. }) => {
            let said: Vec<&str> = warnings.iter().map(|w| w.trim_end_matches('.')).collect();
            look.warn(
                WHAT,
                said.join(". "),
                "keyring-ward policy check says the same.",
            );
        }
        Err(e) => {
            let why = format!(
                "it is not in order, and a start serves the server's own keys only: {}",
                e.message().trim_end_matches('.')
            );
            look.warn(WHAT, why, e.advice().unwrap_or_default());
        }
    }
}
