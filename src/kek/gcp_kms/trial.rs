//! Answers that Google did not give, for those who try the readers with any bytes.
//!
//! Owns nothing but the way to them. It must never ask anybody, and nothing of an opening may depend on it.

use super::{GcpKmsKek, LEAST_RANDOM, Step, answer, metadata};
use crate::error::Result;
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};
use zeroize::Zeroizing;

/// What an answer gives.
pub enum Given {
    /// A token.
    Token(Zeroizing<String>),
    /// A data key under the key.
    Ciphertext(Vec<u8>),
    /// A data key, or random bytes.
    Secret(SecretBytes),
}

impl GcpKmsKek {
    /// What this answer gives to the question `step`, as if Google had given it. `sent`: secrets that the question carried.
    ///
    /// # Errors
    /// As when Google gives it.
    pub fn receive(
        &self,
        pool: &SecretPool,
        step: Step,
        answer: &Answer,
        sent: &[&str],
    ) -> Result<Given> {
        if step == Step::Metadata {
            return metadata::read(&metadata::question("here"), answer).map(Given::Token);
        }
        let asked = self.question("try an answer", "a call");
        let members = answer::read(&asked, step, answer, sent)?;
        match step {
            Step::Metadata | Step::Exchange => {
                answer::token(&asked, members, "access_token").map(Given::Token)
            }
            Step::Impersonate => answer::token(&asked, members, "accessToken").map(Given::Token),
            Step::Encrypt => {
                answer::ciphertext(&asked, &self.config.key, &members).map(Given::Ciphertext)
            }
            Step::Decrypt => answer::data_key(&asked, pool, &members).map(Given::Secret),
            Step::Random => answer::random(&asked, pool, &members, LEAST_RANDOM).map(Given::Secret),
        }
    }
}
