//! What the rest asks of the settings of a KEK in Cloud KMS.
//!
//! Owns the commands of gcloud that make a key and let somebody use it. They must never grant more than the KEK needs.

use super::GcpKmsKek;
use super::config::{DRIVER, GcpKmsConfig, Login};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::settings::{Driver, Settings};
use crate::kek::{Kek, make};
use crate::secret_source::SecretRef;
use std::path::PathBuf;

impl Settings for GcpKmsConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(GcpKmsKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        match &self.login {
            Login::ServiceAccount(key) => vec![key],
            Login::Metadata(_) | Login::Federation(_) => Vec::new(),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let of_login = match &self.login {
            Login::Federation(file) => Some(file),
            Login::Metadata(_) | Login::ServiceAccount(_) => None,
        };
        let files = self.ca_file.iter().chain(of_login);
        files.map(PathBuf::from).collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let why = "a key in Google Cloud KMS can't be made by this tool";
        let (ring, location) = (self.key.ring(), self.key.location());
        let at = format!("--location {location} --project {}", self.key.project());
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(format!(
            "Make it there, as who may do that: gcloud kms keyrings create {ring} {at}; gcloud kms keys create {} --keyring {ring} {at} --purpose encryption. Then leave --generate out.",
            self.key.id()
        )))
    }

    fn rights(&self) -> Option<String> {
        /// Whom the login makes us.
        const MEMBER: &str = "serviceAccount:NAME@PROJECT.iam.gserviceaccount.com";
        let project = self.key.project();
        Some(format!(
            "gcloud kms keys add-iam-policy-binding {} --member {MEMBER} --role roles/cloudkms.cryptoKeyEncrypterDecrypter\n\
             # Only with random=kek, a role of your own:\n\
             gcloud iam roles create keyringWardRandom --project {project} --permissions cloudkms.locations.generateRandomBytes\n\
             gcloud projects add-iam-policy-binding {project} --member {MEMBER} --role projects/{project}/roles/keyringWardRandom\n",
            self.key
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_key_is_granted_unless_random_bytes_are_wanted() {
        let config = GcpKmsConfig::of_tests();
        let rights = config.rights().unwrap();
        let (least, more) = rights.split_once("# Only with random=kek").unwrap();
        assert_eq!(
            least,
            "gcloud kms keys add-iam-policy-binding projects/p/locations/europe-west3/keyRings/mysql/cryptoKeys/keyring --member serviceAccount:NAME@PROJECT.iam.gserviceaccount.com --role roles/cloudkms.cryptoKeyEncrypterDecrypter\n"
        );
        assert_eq!(more.matches("cloudkms.").count(), 1, "{more}");
        assert!(more.contains("cloudkms.locations.generateRandomBytes"));
        let e = config.check_makeable().unwrap_err().to_string();
        assert!(
            e.contains("gcloud kms keys create keyring --keyring mysql --location europe-west3 --project p --purpose encryption"),
            "{e}"
        );
    }
}
