//! One operation: who signs, and one call with that signature.
//!
//! Owns the cryptographic API of a vault as far as it is needed. It must never keep a key or a token beyond the operation.

use super::answer::{self, Members};
use super::config::{Auth, OciVaultConfig};
use super::errors::{By, Step};
use super::principal;
use super::sign::Signer;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::cloud::{Question, RsaKey};
use crate::kek::web::Web;
use crate::secret::SecretPool;
use crate::secret_source::{self, Warnings};
use serde_json::Value;

/// A client with a signer.
pub(super) struct Session<'a> {
    config: &'a OciVaultConfig,
    web: Web,
    end: Deadline,
    signer: Signer,
}

impl<'a> Session<'a> {
    /// Logs in; with a user's key nothing is asked yet. `end` is that of the attempt.
    pub(super) fn begin(
        config: &'a OciVaultConfig,
        pool: &SecretPool,
        warnings: &Warnings,
        end: Deadline,
    ) -> Result<Session<'a>> {
        let (ca_file, proxy) = (config.ca_file.as_deref(), config.proxy.as_deref());
        let web = Web::new(ca_file, None, proxy, config.connect_timeout)?;
        let signer = match &config.auth {
            Auth::InstancePrincipal(at) => principal::log_in(&web, at, end)?,
            Auth::UserKey {
                tenancy,
                user,
                fingerprint,
                private_key,
            } => {
                const OP: &str = "read the user's API signing key";
                let mut told = Vec::new();
                let pem = secret_source::read_warned(pool, OP, private_key, &mut told)?;
                warnings.add(told);
                let key = RsaKey::from_pem(&pem, OP, &private_key.to_string())?;
                Signer::of_key(format!("{tenancy}/{user}/{fingerprint}"), key)
            }
        };
        Ok(Session {
            config,
            web,
            end,
            signer,
        })
    }

    /// A call; gives the members of its answer.
    pub(super) fn call(
        &self,
        asked: &Question<'_>,
        step: Step,
        path: &str,
        arguments: &Value,
    ) -> Result<Members> {
        let body = arguments.to_string().into_bytes();
        let endpoint = &self.config.crypto_endpoint;
        let request = self.signer.post(endpoint, path, body, true)?;
        let answer = self
            .web
            .send(&request, self.end)
            .map_err(|e| asked.no_answer(e))?;
        let by = by(&self.config.auth);
        answer::read(asked, (step, by), &answer, self.signer.secret())
    }
}

/// How requests are signed.
pub(super) fn by(auth: &Auth) -> By {
    match auth {
        Auth::InstancePrincipal(_) => By::Instance,
        Auth::UserKey { .. } => By::User,
    }
}
