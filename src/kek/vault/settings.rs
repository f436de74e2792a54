//! What the rest asks of the settings of a KEK in Vault.
//!
//! Owns nothing: it points to what has the answers.

use super::config::{DRIVER, Login, VaultConfig};
use super::{VaultKek, policy};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::settings::{Driver, Settings};
use crate::kek::{Kek, make};
use crate::secret_source::SecretRef;
use std::path::PathBuf;

impl Settings for VaultConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(VaultKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        let of_login = match &self.login {
            Login::Token(secret) => Some(secret),
            Login::AppRole { secret_id, .. } => Some(secret_id),
            Login::Jwt { .. } | Login::Cert { .. } => None,
        };
        let key = self.identity.as_ref().map(|(_, key)| key);
        of_login.into_iter().chain(key).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let chain = self.identity.iter().map(|(chain, _)| chain.clone());
        let jwt = match &self.login {
            Login::Jwt { file, .. } => Some(file),
            _ => None,
        };
        let others = self.ca_file.iter().chain(jwt).map(PathBuf::from);
        chain.chain(others).collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let why = "a key in Vault can't be made by this tool";
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(format!(
            "Make it there, as who may do that: vault write -f {}/keys/{} (bao for OpenBao). Then leave --generate out.",
            self.mount, self.key
        )))
    }

    fn rights(&self) -> Option<String> {
        Some(policy::of(self))
    }
}
