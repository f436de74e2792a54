//! One change to a logical or retired key of a keyring that no server holds.
//!
//! Owns what is answered. A dry run makes the change in memory, and so says what it would come to; it must never write.

use super::keys::{Order, carry_out, told};
use super::{Target, open_alone, open_dry};
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use crate::keyring::Keyring;
use serde_json::{Value, json};

/// Carries `order` out, or says what would become of it. Gives what [`carry_out`] gives, and the key as it is afterwards in
/// `logical`; null: it is no logical key, or none any more.
///
/// # Errors
/// As [`carry_out`]. NotFound: there is no keyring. All errors of opening and writing a keyring.
pub fn change<'a>(
    target: impl Into<Target<'a>>,
    id: &KeyId,
    order: &Order,
    dry_run: bool,
) -> Result<Value> {
    let target = target.into();
    let keyring = match dry_run {
        true => open_dry(&target)?,
        false => open_alone(&target)?,
    };
    if !keyring.status().store.exists {
        let why = format!("'{}' does not exist", target.config.path.display());
        return Err(Error::new(Kind::NotFound, "change the logical key", why)
            .hint("Correct the path. keyring-ward init makes a keyring."));
    }
    let mut done = carry_out(&keyring, id, order).map_err(|e| namesake(e, &keyring, id))?;
    let now = crate::os::unix_seconds();
    done["name"] = crate::text::name(id.name()).into();
    done["owner"] = crate::text::name(id.owner()).into();
    done["logical"] = keyring
        .logical_key(id)
        .map_or(Value::Null, |key| told(&key, now));
    done["retain_removed"] = keyring.keeps_removed_for().into();
    if dry_run {
        done["dry_run"] = true.into();
    }
    Ok(done)
}

/// [`super::keys::check`] of a keyring that is opened for a look.
///
/// # Errors
/// As [`super::keys::check`]. All errors of opening a keyring.
pub fn check<'a>(target: impl Into<Target<'a>>, id: &KeyId) -> Result<Value> {
    let keyring = super::open_to_look(&target.into(), &crate::secret::SecretPool::new())?;
    super::keys::check(&keyring, id, crate::os::unix_seconds())
        .map_err(|e| namesake(e, &keyring, id))
}

/// A logical key with all of its versions.
///
/// # Errors
/// NotFound: there is none. All errors of opening a keyring.
pub fn show<'a>(target: impl Into<Target<'a>>, id: &KeyId) -> Result<Value> {
    let keyring = super::open_to_look(&target.into(), &crate::secret::SecretPool::new())?;
    let key = keyring.logical_key(id);
    let key = key.map_err(|e| namesake(e, &keyring, id))?;
    let retired: Vec<Value> = (keyring.retired().iter())
        .filter(|removed| {
            let versions = key.logical.versions.iter();
            removed.info.id.owner() == key.id.owner()
                && versions
                    .map(|v| key.logical.key_name(key.id.name(), v.number))
                    .any(|name| name == removed.info.id.name())
        })
        .map(|removed| super::keys::told_kept(&keyring, removed))
        .collect();
    let mut answer = told(&key, crate::os::unix_seconds());
    answer["retired"] = json!(retired);
    Ok(answer)
}

/// Where a key of that name has another owner, the error says so.
fn namesake(error: Error, keyring: &Keyring, id: &KeyId) -> Error {
    if error.kind() != Kind::NotFound {
        return error;
    }
    let logical = keyring.logical_keys().into_iter().map(|key| key.id);
    let plain = keyring.list().into_iter().map(|key| key.id.clone());
    let mut all = logical.chain(plain);
    match all.find(|other| other.name() == id.name() && other.owner() != id.owner()) {
        Some(other) if other.owner().is_empty() => {
            error.hint("A key of that name is the server's own: leave --owner out.")
        }
        Some(other) => error.hint(format!(
            "A key of that name belongs to '{0}': add --owner '{0}'.",
            crate::text::name(other.owner())
        )),
        None => error,
    }
}
