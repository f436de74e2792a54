//! Variables of mysqld's environment, as ACK's RRSA sets them for a pod.
//!
//! Owns their reading. Only auth oidc looks at them, and only for what the configuration leaves out. It must never take
//! a text that was not checked.

use super::names::Text;
use crate::error::{Error, Kind, Result};

const OP: &str = "use the Alibaba Cloud credentials";

/// Where a text comes from, for messages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) place: String,
}

/// The value of the option `member`, else that of the variable.
///
/// # Errors
/// Config: neither is set; it is not text, or not what it should be.
pub(super) fn option_or_variable(
    option: Option<&String>,
    member: &str,
    variable: &str,
) -> Result<Told> {
    if let Some(text) = option {
        return Ok(Told {
            text: text.clone(),
            place: format!("{member} of \"alibaba_kms\""),
        });
    }
    let place = format!("{variable} in the environment");
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(value) => match value.into_string() {
            Ok(text) => Ok(Told { text, place }),
            Err(_) => Err(Error::new(Kind::Config, OP, format!("{place} is not text"))
                .hint("Correct it where mysqld is started, or take it out.")),
        },
        None => Err(Error::new(
            Kind::Config,
            OP,
            format!("auth oidc has no {member}, and {variable} is not in the environment"),
        )
        .hint(format!("Set {member}, or let RRSA's webhook set the variables of the pod that mysqld runs in (docs/guide/alibaba-kms.md)."))),
    }
}

impl Told {
    /// The text, if it is of this kind.
    pub(super) fn checked(&self, kind: Text) -> Result<&str> {
        kind.check(&self.text, &self.place)?;
        Ok(&self.text)
    }
}
