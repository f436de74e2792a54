//! Answers that no Vault gave, for those who try the readers with any bytes.
//!
//! Owns nothing but the way to them. It must never ask anybody, and nothing of an opening may depend on it.

use super::client::Fields;
use super::{Step, VaultKek, answer, client};
use crate::error::Result;
use crate::secret::{SecretBytes, SecretPool};
use zeroize::Zeroizing;

/// What an answer gives.
pub enum Given {
    /// A token.
    Token(Zeroizing<String>),
    /// A data key under Vault's key.
    Ciphertext(String),
    /// A data key.
    DataKey(SecretBytes),
    /// It refuses nothing, and nothing was asked for.
    Nothing,
}

/// What of Vault's answer is read.
pub struct Received<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl VaultKek {
    /// What this answer gives to the question `step` with `token` and `fields`, as if Vault had given it.
    ///
    /// # Errors
    /// As when Vault gives it.
    pub fn receive(
        &self,
        pool: &SecretPool,
        step: Step,
        (token, fields): (&str, &Fields<'_>),
        received: &Received<'_>,
    ) -> Result<Given> {
        let asked = self.question("try an answer", step);
        let members = client::read(&asked, token, fields, received.status, received.body)?;
        Ok(match step {
            Step::Login => Given::Token(answer::token(&asked, members)?.text),
            Step::Encrypt => {
                let data = answer::data(&asked, members, fields)?;
                Given::Ciphertext(answer::ciphertext(&asked, &data)?)
            }
            Step::Decrypt => {
                let data = answer::data(&asked, members, fields)?;
                Given::DataKey(answer::data_key(&asked, pool, &data)?)
            }
            Step::Random => {
                let data = answer::data(&asked, members, fields)?;
                Given::DataKey(answer::random(&asked, pool, &data, 32)?)
            }
            Step::Revoke => Given::Nothing,
        })
    }
}
