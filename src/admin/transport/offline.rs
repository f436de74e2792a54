//! One order about transport keys, for a keyring that no server holds.
//!
//! Owns which orders open it to write. A dry run makes the change in memory; what it would print of a secret that is not kept is
//! left out.

use super::{Order, carry_out};
use crate::admin::{Target, open_alone, open_dry, open_to_look, prove};
use crate::error::{Error, Kind, Result};
use crate::secret::SecretPool;
use crate::transport::ServerId;
use serde_json::Value;

/// What a dry run of something new must not show: it belongs to a secret that is forgotten at once.
const NOT_KEPT: [&str; 4] = ["public", "fingerprint", "messages", "receipt"];

/// Carries an order out, as [`carry_out`]. `server`: its uuid; `None`: what auto.cnf in the data directory says.
///
/// # Errors
/// As [`carry_out`]. NotFound: there is no keyring. All errors of opening and writing a keyring.
pub fn run<'a>(
    target: impl Into<Target<'a>>,
    server: Option<ServerId>,
    order: &Order,
    dry_run: bool,
) -> Result<Value> {
    let target = target.into();
    let keyring = match (order.writes(), dry_run) {
        (false, _) => open_to_look(&target, &SecretPool::new())?,
        (true, true) => open_dry(&target)?,
        (true, false) => open_alone(&target)?,
    };
    if !keyring.status().store.exists {
        let why = format!("'{}' does not exist", target.config.path.display());
        return Err(Error::new(Kind::NotFound, "use the keyring", why)
            .hint("Correct the path. keyring-ward init makes a keyring."));
    }
    let found = || {
        let uuid = prove::server_uuid(target.data_dir?)?;
        ServerId::parse(&uuid).ok()
    };
    let server = server.or_else(found).unwrap_or_default();
    let mut done = carry_out(&keyring.by(), server, order)?;
    if order.writes() && dry_run {
        done["dry_run"] = true.into();
        if let Value::Object(members) = &mut done {
            members.retain(|name, _| !NOT_KEPT.contains(&&**name));
        }
    }
    Ok(done)
}
