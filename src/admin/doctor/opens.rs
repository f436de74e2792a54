//! The KEK opens the keyring, and it is the one that the data directory knows.

use super::{Look, Verdict};
use crate::admin::inspect::opened;
use crate::config::Config;
use crate::deadline::Deadline;
use crate::error::{Error, Kind};
use crate::keyring::Keyring;
use crate::secret::SecretPool;
use crate::secret_source::SecretRef;
use crate::store::marker;
use crate::store::token::NoKeyring;

const WHAT: &str = "opens";

/// Gives the keyring, opened for a look.
pub(super) fn check(look: &mut Look<'_>, config: &Config) -> Option<Keyring> {
    if let Some(name) = unknown_credential(config) {
        look.warn(
            WHAT,
            format!("not tried: only systemd's unit of mysqld has the credential '{name}'"),
            format!("Try it in one: systemd-run --pipe --wait -p LoadCredential={name}:FILE keyring-ward doctor …"),
        );
        return None;
    }
    if config.token_storage().is_none() && config.path.symlink_metadata().is_err() {
        for kek in config.keks.iter() {
            let kek = kek.kek();
            match kek.probe(&SecretPool::new(), Deadline::after(config.patience.call)) {
                Ok(()) if kek.opens_here() => look.ok("KEK", format!("{} answers", kek.describe())),
                Ok(()) => look.ok(
                    "KEK",
                    format!(
                        "{} wraps only: no secret of it is named here",
                        kek.describe()
                    ),
                ),
                Err(e) => look.error("KEK", &e),
            }
        }
        return None;
    }
    let (report, keyring) = match opened(config) {
        Ok(opened) => opened,
        Err(e) if is_new_on_token(look, config, &e) => {
            look.warn(
                WHAT,
                format!(
                    "{}: the first key makes it",
                    e.message().trim_end_matches('.')
                ),
                "Or make it now: keyring-ward init.",
            );
            return None;
        }
        Err(e) => {
            look.error(WHAT, &e);
            return None;
        }
    };
    let mut detail = format!("{} keys, by {}", report.keys, report.opened_by);
    let warnings = &report.status.warnings;
    let verdict = match warnings.is_empty() {
        true => Verdict::Ok,
        false => Verdict::Warning,
    };
    for warning in warnings {
        detail.push_str(". ");
        detail.push_str(warning);
    }
    look.say(WHAT, verdict, detail, String::new());
    super::marker::check(look, config);
    Some(keyring)
}

/// The token holds no keyring yet, and the data directory never had one.
fn is_new_on_token(look: &Look<'_>, config: &Config, e: &Error) -> bool {
    let marked = look.setup.data_dir.is_some_and(marker::is_there);
    let new = e.kind() == Kind::NotFound && !marked && !config.read_only;
    new && std::error::Error::source(e).is_some_and(|cause| cause.is::<NoKeyring>())
}

/// A systemd credential that this process was not given.
fn unknown_credential(config: &Config) -> Option<&str> {
    if std::env::var_os("CREDENTIALS_DIRECTORY").is_some() {
        return None;
    }
    config
        .secrets()
        .into_iter()
        .find_map(|source| match source {
            SecretRef::Credential(name) => Some(name.as_str()),
            SecretRef::File(_) | SecretRef::Held(_) => None,
        })
}
