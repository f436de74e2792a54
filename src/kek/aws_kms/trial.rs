//! Answers that AWS did not give, for those who try the readers with any bytes.
//!
//! Owns nothing but the way to them. It must never ask anybody, and nothing of an opening may depend on it.

use super::answer::{self, Names};
use super::credentials::Credentials;
use super::{AwsKmsKek, client, metadata, sts, take_key};
use crate::error::Result;
use crate::net::Answer;
use crate::secret::{SecretBytes, SecretPool};

/// Who is asked for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// KMS: a new data key.
    GenerateDataKey,
    /// KMS: a data key.
    Decrypt,
    /// KMS: whether the key is to be deleted.
    DescribeKey,
    /// STS: a role's credentials.
    AssumeRole,
    /// A credential process.
    Process,
    /// A container's service.
    Container,
    /// An instance's service.
    Instance,
}

/// What an answer gives.
pub enum Given {
    /// A new data key, with its copy under the key of KMS and that one's name.
    DataKey(SecretBytes, Vec<u8>, String),
    /// A data key.
    Key(SecretBytes),
    /// An access key id, its secret, and a session token.
    Credentials(String, String, Option<String>),
    /// The key is not to be deleted, or nobody knows.
    Nothing,
}

impl AwsKmsKek {
    /// What this answer gives to the question, as if AWS had given it. `sent`: secrets that the question carried.
    ///
    /// # Errors
    /// As when AWS gives it.
    pub fn receive(
        &self,
        pool: &SecretPool,
        asked: Asked,
        answer: &Answer,
        sent: &[&str],
    ) -> Result<Given> {
        let question = self.question("try an answer", "kms:Decrypt");
        let of_kms = || client::read(&question, answer, sent).map_err(|refused| refused.error);
        match asked {
            Asked::GenerateDataKey => {
                let key = self.take_data_key(&question, pool, &of_kms()?)?;
                Ok(Given::DataKey(key.plaintext, key.ciphertext, key.key_ref))
            }
            Asked::Decrypt => take_key(&question, pool, &of_kms()?).map(Given::Key),
            Asked::DescribeKey => match client::to_be_deleted(&question, &of_kms()?) {
                Some(e) => Err(e),
                None => Ok(Given::Nothing),
            },
            Asked::AssumeRole => sts::read(&question, answer, sent, &"the token").map(texts),
            Asked::Process => answer::read(answer.body(), &Names::PROCESS, "the output").map(texts),
            Asked::Container => metadata::of_container("it", answer, sent).map(texts),
            Asked::Instance => metadata::of_instance("it", answer.body()).map(texts),
        }
    }
}

fn texts(credentials: Credentials) -> Given {
    Given::Credentials(
        credentials.access_key_id().into(),
        credentials.secret_access_key().into(),
        credentials.session_token().map(String::from),
    )
}
