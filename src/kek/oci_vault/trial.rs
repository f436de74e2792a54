//! Answers that OCI never gave, for those who try the readers with any bytes.
//!
//! Owns nothing but the way to them. It must never ask anybody, and nothing of an opening may depend on it.

use super::errors::about_the_key;
use super::{OciVaultKek, Step, answer, client, principal};
use crate::error::Result;
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};
use zeroize::Zeroizing;

/// What an answer gives.
pub enum Given {
    /// A token.
    Token(Zeroizing<String>),
    /// A data key, and its copy.
    Both(SecretBytes, Vec<u8>),
    /// A data key.
    DataKey(SecretBytes),
}

impl OciVaultKek {
    /// What this answer gives to the question `step`, as if OCI had given it to a request with `secret`.
    ///
    /// # Errors
    /// As when OCI gives it.
    pub fn receive(
        &self,
        pool: &SecretPool,
        step: Step,
        secret: &str,
        received: &Answer,
    ) -> Result<Given> {
        let asked = about_the_key(&self.config, step);
        let by = client::by(&self.config.auth);
        let members = answer::read(&asked, (step, by), received, secret)?;
        Ok(match step {
            Step::Login => Given::Token(answer::token(&asked, members)?),
            Step::Generate => Given::Both(
                answer::data_key(&asked, pool, &members)?,
                answer::ciphertext(&asked, &members)?,
            ),
            Step::Decrypt => {
                answer::check_key(&asked, &members)?;
                Given::DataKey(answer::data_key(&asked, pool, &members)?)
            }
        })
    }

    /// The tenancy of the certificate that the metadata service gave.
    ///
    /// # Errors
    /// As when the metadata service gives it.
    pub fn tenancy(&self, pem: &[u8]) -> Result<String> {
        let asked = about_the_key(&self.config, Step::Login);
        Ok(principal::leaf(&asked, pem)?.tenancy)
    }
}
