//! What the rest asks of the settings of a KEK in Alibaba Cloud KMS.
//!
//! Owns nothing: it points to what has the answers.

use super::config::{AlibabaKmsConfig, Auth, DRIVER};
use super::{AlibabaKmsKek, policy};
use crate::error::{Error, Kind, Result};
use crate::kek::adapter::Adapter;
use crate::kek::settings::{Driver, Settings};
use crate::kek::{Kek, make};
use crate::secret_source::SecretRef;
use std::path::PathBuf;

impl Settings for AlibabaKmsConfig {
    fn driver(&self) -> &'static Driver {
        &DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        Box::new(Adapter::new(AlibabaKmsKek::new(self.clone())))
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        match &self.auth {
            Auth::AccessKey(source) => vec![source],
            Auth::EcsRamRole { .. } | Auth::Oidc(_) => Vec::new(),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let token = match &self.auth {
            Auth::Oidc(oidc) => oidc.token_file.as_ref(),
            Auth::EcsRamRole { .. } | Auth::AccessKey(_) => None,
        };
        self.ca_file
            .iter()
            .chain(token)
            .map(PathBuf::from)
            .collect()
    }

    fn check_makeable(&self) -> Result<()> {
        let why = "a key in Alibaba Cloud KMS can't be made by this tool";
        let alias = match self.key.id() {
            None => format!(
                ", then: aliyun kms CreateAlias --AliasName {} --KeyId ITS-ID",
                self.key
            ),
            Some(_) => String::new(),
        };
        Err(Error::new(Kind::InvalidInput, make::OP, why).hint(format!(
            "Make it there, as who may do that: aliyun kms CreateKey --KeySpec Aliyun_AES_256 (for a KMS instance with --DKMSInstanceId){alias}. Then leave --generate out."
        )))
    }

    fn rights(&self) -> Option<String> {
        Some(policy::of(self))
    }
}
