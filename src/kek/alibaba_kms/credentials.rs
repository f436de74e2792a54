//! Credentials: an access key id, its secret, and a security token.
//!
//! It must never show the secret or the token.

use super::names::Text;
use crate::error::Result;
use std::fmt;
use zeroize::Zeroizing;

/// Credentials for one operation. They are wiped when they are dropped.
pub(super) struct Credentials {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl Credentials {
    /// Checks each text. `whose` names where they come from.
    ///
    /// # Errors
    /// Config: one can't be what it should be; no value is shown.
    pub(super) fn new(
        id: &str,
        secret: &str,
        token: Option<&str>,
        whose: &str,
    ) -> Result<Credentials> {
        Text::AccessKeyId.check(id, format_args!("the access key id of {whose}"))?;
        Text::AccessKeySecret.check(secret, format_args!("the access key secret of {whose}"))?;
        if let Some(token) = token {
            Text::Token.check(token, format_args!("the security token of {whose}"))?;
        }
        Ok(Credentials {
            id: id.into(),
            secret: Zeroizing::new(secret.into()),
            token: token.map(|token| Zeroizing::new(token.into())),
        })
    }

    pub(super) fn access_key_id(&self) -> &str {
        &self.id
    }

    pub(super) fn access_key_secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn security_token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
