//! Opening a keyring while the server starts: what stands in the way on this machine may pass by itself.
//!
//! The old server still holds the lock, a volume is not mounted yet, an orchestrator has not put the secret there
//! yet. Owns the waiting, which ends with the start budget. Each round opens from scratch, so that nothing of an earlier
//! one is left; it must never repeat what reached a KEK and was refused.

use super::{Environment, Keyring};
use crate::config::Config;
use crate::config::SecretRef;
use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Kind, Result};
use crate::kek::secret_file::credential_path;
use crate::secret::SecretPool;
use crate::store::file::marker;
use std::path::PathBuf;

/// Opens the keyring as [`Keyring::open`] does; where the server is starting, again and again until nothing on this
/// machine stands in the way or the start budget is used up. `say` gets one sentence when the waiting begins, and one
/// when it was worth it.
///
/// # Errors
/// As [`Keyring::open`].
pub fn open(
    config: &Config,
    environment: &Environment,
    pool: &SecretPool,
    mut say: impl FnMut(&str),
) -> Result<Keyring> {
    if !environment.starting {
        return Keyring::open(config, environment, pool);
    }
    let deadline = Deadline::after(config.patience.start);
    let mut backoff = Backoff::up_to_a_second();
    let mut waits_for = None;
    loop {
        let error = match Keyring::open_by(config, environment, pool, deadline) {
            Ok(keyring) => {
                if waits_for.is_some() {
                    say("The keyring waits no more.");
                }
                return Ok(keyring);
            }
            Err(error) => error,
        };
        let Some(obstacle) = obstacle(&error, config, environment) else {
            return Err(error);
        };
        if waits_for.as_ref() != Some(&obstacle) {
            say(&format!(
                "The keyring waits for {obstacle}, for {:.0} s at most (start_timeout).",
                deadline.remaining().as_secs_f64()
            ));
            waits_for = Some(obstacle);
        }
        if !backoff.pause(&deadline) {
            return Err(give_up(error, config));
        }
    }
}

fn give_up(error: Error, config: &Config) -> Error {
    error.context(format_args!(
        "waited {:.0} s (start_timeout)",
        config.patience.start.as_secs_f64()
    ))
}

/// What stands in the way on this machine and may pass; `None`: the error is about something else.
fn obstacle(error: &Error, config: &Config, environment: &Environment) -> Option<String> {
    match error.kind() {
        // Before the lock is held nothing else was touched.
        Kind::Locked => Some(format!(
            "the lock of '{}', which another process holds",
            config.path.display()
        )),
        // A KEK's own "not found" is none of these.
        Kind::NotFound => missing(config, environment),
        _ => None,
    }
}

fn missing(config: &Config, environment: &Environment) -> Option<String> {
    let folder = config.path.parent().filter(|folder| !folder.exists());
    if let Some(folder) = folder {
        return Some(format!("the folder '{}'", folder.display()));
    }
    let absent = |path: &PathBuf| !path.exists();
    let mut secrets = config.secrets().into_iter().filter_map(|s| match s {
        SecretRef::File(path) => Some(path.clone()),
        SecretRef::Credential(name) => credential_path(name).ok(),
        SecretRef::Held(_) => None,
    });
    if let Some(secret) = secrets.find(absent) {
        return Some(format!("the secret '{}'", secret.display()));
    }
    // Without a marker there never was a keyring, and the first key makes it.
    let marked = environment
        .data_dir
        .as_deref()
        .is_some_and(marker::is_there);
    ((marked || config.read_only) && config.token_storage().is_none() && absent(&config.path))
        .then(|| format!("the keyring file '{}'", config.path.display()))
}
