//! Credentials: an access key id, its secret, and a session token.
//!
//! It must never show the secret or the token.

use std::fmt;
use zeroize::Zeroizing;

/// Credentials for one operation. They are wiped when they are dropped.
pub(super) struct Credentials {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl Credentials {
    pub(super) fn new(id: &str, secret: &str, token: Option<&str>) -> Credentials {
        Credentials {
            id: id.into(),
            secret: Zeroizing::new(secret.into()),
            token: token.map(|t| Zeroizing::new(t.into())),
        }
    }

    pub(super) fn access_key_id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret_access_key(&self) -> &str {
        &self.secret
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.token.as_ref().map(|t| t.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
