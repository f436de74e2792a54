//! What the rest asks of the settings of a KEK in OCI Vault.
//!
//! Owns the least that OCI must allow, as text. It must never ask for more than the use of this one key.

use super::OciVaultKek;
use super::config::{Auth, DRIVER, OciVaultConfig};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::settings::{Driver, Settings};
use crate::kek::{Kek, make};
use crate::secret_source::SecretRef;
use std::path::PathBuf;

impl Settings for OciVaultConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(OciVaultKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        match &self.auth {
            Auth::InstancePrincipal(_) => Vec::new(),
            Auth::UserKey { private_key, .. } => vec![private_key],
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.ca_file.iter().map(PathBuf::from).collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let why = "a key in OCI Vault can't be made by this tool";
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(
            "Make it there, as who may do that: oci kms management key create --compartment-id COMPARTMENT --display-name mysql --key-shape '{\"algorithm\":\"AES\",\"length\":32}' --protection-mode HSM --endpoint (the vault's management endpoint). Then leave --generate out.",
        ))
    }

    fn rights(&self) -> Option<String> {
        let whom = match &self.auth {
            Auth::InstancePrincipal(_) => "dynamic-group",
            Auth::UserKey { .. } => "group",
        };
        Some(format!(
            "Allow {whom} NAME to use keys in compartment NAME where target.key.id = '{}'\n",
            self.key_ocid
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::kek::drivers::read_of_tests;

    #[test]
    fn nothing_but_the_use_of_the_key_is_granted() {
        let values = [
            (
                "oci_vault_crypto_endpoint",
                "https://x-crypto.kms.ap-seoul-1.oraclecloud.com",
            ),
            ("oci_vault_key_ocid", "ocid1.key.oc1.a.b.c"),
        ];
        let keks = read_of_tests(&super::DRIVER, &values).unwrap();
        assert_eq!(
            keks[0].rights().unwrap(),
            "Allow dynamic-group NAME to use keys in compartment NAME where target.key.id = 'ocid1.key.oc1.a.b.c'\n"
        );
        let e = keks[0].check_makeable().unwrap_err().to_string();
        assert!(e.contains("oci kms management key create"), "{e}");
    }
}
