//! What the rest asks of the settings of a KEK in Azure.
//!
//! Owns nothing: it points to what has the answers.

use super::config::{Algorithm, AzureKeyVaultConfig, DRIVER, Login};
use super::{AzureKeyVaultKek, rights};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::settings::{Driver, Settings};
use crate::kek::{Kek, make};
use crate::secret_source::SecretRef;
use std::path::PathBuf;

impl Settings for AzureKeyVaultConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(AzureKeyVaultKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        match &self.login {
            Login::Certificate { key, .. } => vec![key],
            Login::Secret { secret, .. } => vec![secret],
            Login::Machine { .. } | Login::AppService { .. } | Login::Workload { .. } => Vec::new(),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let of_login = match &self.login {
            Login::Certificate { certificate, .. } => Some(certificate),
            Login::Workload { token_file, .. } => token_file.as_ref(),
            _ => None,
        };
        let files = self.ca_file.iter().chain(of_login);
        files.map(PathBuf::from).collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let (account, key) = (self.account(), &self.key);
        let command = match (self.resource.hsm, self.algorithm) {
            (false, _) => format!("--vault-name {account} --name {key} --kty RSA --size 3072"),
            (true, Algorithm::RsaOaep256) => {
                format!("--hsm-name {account} --name {key} --kty RSA-HSM --size 3072")
            }
            (true, Algorithm::A256Kw) => {
                format!("--hsm-name {account} --name {key} --kty oct-HSM --size 256")
            }
        };
        let why = "a key in Azure can't be made by this tool";
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(format!(
            "Make it there, as who may do that: az keyvault key create {command} --ops wrapKey unwrapKey. Then leave --generate out."
        )))
    }

    fn rights(&self) -> Option<String> {
        Some(rights::of(self))
    }
}
