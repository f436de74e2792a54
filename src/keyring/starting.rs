//! Opening a keyring while the server starts: what stands in the way on this machine may pass by itself.
//!
//! The old server still holds the lock, a volume is not mounted yet, an orchestrator has not put the secret there
//! yet. Owns the waiting, which ends with the start budget. Each round opens from scratch, so that nothing of an earlier
//! one is left; it must never repeat what reached a KEK and was refused.

use super::{Environment, Keyring};
use crate::config::{Config, NamedKek};
use crate::deadline::{Backoff, Deadline};
use crate::error::{Error, Kind, Result};
use crate::os::identity;
use crate::secret::SecretPool;
use crate::secret_source::SecretRef;
use crate::secret_source::credential_path;
use crate::store::marker;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
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
    let mut waited: Option<Error> = None;
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
            return Err(match waited {
                // The budget cut this attempt short; what was waited for is the reason.
                Some(reason) if error.kind() == Kind::Timeout => give_up(reason, config),
                _ => error,
            });
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
        waited = Some(error);
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

/// A folder that the account may not write in, or not enter, without a keyring that the data directory had: what the
/// volume will be mounted over. Else the error as it is.
pub(super) fn or_not_mounted(error: Error, config: &Config, environment: &Environment) -> Error {
    let lone = !config.keks.listed;
    if lone
        && error.kind() == Kind::NotFound
        && absent_secret(config).is_some()
        && config.path.exists()
    {
        return error.hint(if is_login(config) {
            "Restore it, mount its volume, or put a new one of the same identity there: it is no key, but what this machine logs in with. Nothing was changed."
        } else {
            "Restore it from the copy that is kept apart, or mount its volume. A new one can't open this keyring. Nothing was changed."
        });
    }
    let denied = matches!(error.kind(), Kind::Permission | Kind::ReadOnly);
    let marked = environment
        .data_dir
        .as_deref()
        .filter(|dir| marker::is_there(dir));
    let (Some(dir), Some(folder)) = (marked.filter(|_| denied), config.path.parent()) else {
        return error;
    };
    let Some(owner) = folder.metadata().ok().map(|m| m.uid()) else {
        return error;
    };
    if owner == identity::effective_uid() {
        return error;
    }
    let reset = marker::reset_hint(dir);
    let (is, hint) = match config.path.symlink_metadata().map_err(|e| e.kind()) {
        Err(ErrorKind::NotFound) => ("does not exist", reset),
        // Closed by a mistake, or the bare mount point: nobody can tell.
        Err(ErrorKind::PermissionDenied) if owner == 0 => {
            let advice = error.advice().unwrap_or_default();
            let hint = format!("Mount the volume that belongs there. If it is mounted: {advice}");
            ("can't be reached", hint)
        }
        _ => return error,
    };
    let why = format!(
        "'{}' {is}, but the marker '{}' says that this server had a keyring. Its folder belongs to user {owner}: its volume \
         may not be mounted",
        config.path.display(),
        marker::path_in(dir).display(),
    );
    Error::new(Kind::NotFound, "open the keyring file", why).hint(hint)
}

/// The secrets are what a service or token accepts this machine by, and no part of the KEKs themselves.
fn is_login(config: &Config) -> bool {
    let mut keys = config.keks.tried().flat_map(NamedKek::keys);
    keys.all(|key| key.can_refuse())
}

/// A secret that is named, and is not there.
fn absent_secret(config: &Config) -> Option<PathBuf> {
    let mut secrets = config.secrets().into_iter().filter_map(|s| match s {
        SecretRef::File(path) => Some(path.clone()),
        SecretRef::Credential(name) => credential_path(name).ok(),
        SecretRef::Held(_) => None,
    });
    secrets.find(|path| !path.exists())
}

fn missing(config: &Config, environment: &Environment) -> Option<String> {
    let folder = config.path.parent().filter(|folder| !folder.exists());
    if let Some(folder) = folder {
        return Some(format!("the folder '{}'", folder.display()));
    }
    let absent = |path: &PathBuf| !path.exists();
    if let Some(secret) = absent_secret(config) {
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
