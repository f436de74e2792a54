//! The token of one operation, by the way that the configuration names.
//!
//! Owns which way that is. It must never keep a token: it is asked for anew each time.

use super::client::Client;
use super::config::Login;
use super::{federation, metadata, service_account};
use crate::error::Result;
use crate::secret::SecretPool;
use crate::secret_source::Warnings;
use zeroize::Zeroizing;

/// A token for Cloud KMS.
pub(super) fn get(
    client: &Client<'_>,
    pool: &SecretPool,
    warnings: &Warnings,
) -> Result<Zeroizing<String>> {
    match &client.config.login {
        Login::Metadata(service) => metadata::token(service, client.end),
        Login::Federation(file) => federation::token(client, file),
        Login::ServiceAccount(source) => service_account::token(pool, source, warnings),
    }
}
