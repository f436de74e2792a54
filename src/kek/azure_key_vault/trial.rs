//! Answers that Azure did not give, for those who try the readers with any bytes.
//!
//! Owns nothing but the way to them. It must never ask anybody, and nothing of an opening may depend on it.

use super::errors::{about_the_key, for_a_token};
use super::{AzureKeyVaultKek, Step, answer};
use crate::error::Result;
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};
use zeroize::Zeroizing;

/// What an answer gives.
pub enum Given {
    /// A token.
    Token(Zeroizing<String>),
    /// A data key under a version of the vault's key.
    Wrapped([u8; 16], Vec<u8>),
    /// A data key.
    DataKey(SecretBytes),
}

impl AzureKeyVaultKek {
    /// What this answer gives to the question `step`, as if Azure had given it. `sent`: secrets that the question carried.
    ///
    /// # Errors
    /// As when Azure gives it.
    pub fn receive(
        &self,
        pool: &SecretPool,
        step: Step,
        answer: &Answer,
        sent: &[&str],
    ) -> Result<Given> {
        let asked = match step {
            Step::Wrap | Step::Unwrap => about_the_key(&self.config, step),
            Step::Identity | Step::Login => for_a_token(step, "nobody", "nowhere"),
        };
        let members = answer::read(&asked, step, answer, sent)?;
        Ok(match step {
            Step::Identity | Step::Login => Given::Token(answer::token(&asked, members)?),
            Step::Wrap => {
                let wrapped = answer::wrapped(&asked, &self.config, &members)?;
                Given::Wrapped(wrapped.version, wrapped.value)
            }
            Step::Unwrap => Given::DataKey(answer::data_key(&asked, pool, &members)?),
        })
    }
}
