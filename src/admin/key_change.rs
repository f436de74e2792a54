//! One change to a logical or retired key of a keyring that no server holds.
//!
//! Owns what is answered. A dry run makes the change in memory, and so says what it would come to; it must never write.

use super::keys::{Order, carry_out, told};
use super::naming::{Named, namesake};
use super::{Target, open_alone, open_dry};
use crate::error::{Error, Kind, Result};
use crate::key::id::KeyId;
use serde_json::{Value, json};

const OP: &str = "change the logical key";

/// What was done, and to which key.
pub struct Done {
    /// The key, with its owner.
    pub id: KeyId,
    /// All of it as JSON.
    pub answer: Value,
}

/// Carries `order` out, or says what would become of it. Gives what [`carry_out`] gives, and the key as it is afterwards in
/// `logical`; null: it is no logical key, or none any more.
///
/// # Errors
/// As [`carry_out`]. NotFound: there is no keyring. All errors of opening and writing a keyring.
pub fn change<'a>(
    target: impl Into<Target<'a>>,
    named: &Named,
    order: &Order,
    dry_run: bool,
) -> Result<Done> {
    let target = target.into();
    let keyring = match dry_run {
        true => open_dry(&target)?,
        false => open_alone(&target)?,
    };
    if !keyring.status().store.exists {
        let why = format!("'{}' does not exist", target.config.path.display());
        return Err(Error::new(Kind::NotFound, OP, why)
            .hint("Correct the path. keyring-ward init makes a keyring."));
    }
    let id = &match order {
        // There is none yet.
        Order::Create { .. } => {
            KeyId::new(&named.name, named.owner.as_deref().unwrap_or_default())?
        }
        _ => named.find(&keyring, OP, order.is_of_a_removed_key())?,
    };
    let mut done = carry_out(&keyring.by(), id, order)?;
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
    Ok(Done {
        id: id.clone(),
        answer: done,
    })
}

/// [`super::keys::check`] of a keyring that is opened for a look.
///
/// # Errors
/// As [`super::keys::check`]. All errors of opening a keyring.
pub fn check<'a>(target: impl Into<Target<'a>>, named: &Named) -> Result<Value> {
    let keyring = super::open_to_look(&target.into(), &crate::secret::SecretPool::new())?;
    let id = &named.find(&keyring, "check the key", false)?;
    super::keys::check(&keyring, id, crate::os::unix_seconds())
        .map_err(|e| namesake(e, &keyring, id))
}

/// A logical key with all of its versions.
///
/// # Errors
/// NotFound: there is none. All errors of opening a keyring.
pub fn show<'a>(target: impl Into<Target<'a>>, named: &Named) -> Result<Value> {
    let keyring = super::open_to_look(&target.into(), &crate::secret::SecretPool::new())?;
    let id = &named.find(&keyring, "show the key", false)?;
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
