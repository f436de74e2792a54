//! One operation: a token, and one call or two with it.
//!
//! Owns Key Vault's HTTP API as far as it is needed: two POSTs. It must never keep a token beyond the operation, and never
//! take the place of a question from an answer.

use super::answer::{self, MOST, Members};
use super::config::AzureKeyVaultConfig;
use super::errors::Step;
use super::login::Asking;
use super::names::VERSION;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::cloud::Question;
use crate::kek::web::Web;
use crate::net::{Method, Request};
use crate::secret::SecretPool;
use crate::secret_source::Warnings;
use crate::text::hex;
use zeroize::Zeroizing;

/// The oldest version that all clouds have, and that has all that is needed.
const API: &str = "7.4";

/// A client with a token.
pub(super) struct Session<'a> {
    config: &'a AzureKeyVaultConfig,
    web: Web,
    end: Deadline,
    token: Zeroizing<String>,
}

impl<'a> Session<'a> {
    /// Logs in. `end` is that of the attempt.
    pub(super) fn begin(
        config: &'a AzureKeyVaultConfig,
        pool: &SecretPool,
        warnings: &Warnings,
        end: Deadline,
    ) -> Result<Session<'a>> {
        let (ca_file, proxy) = (config.ca_file.as_deref(), config.proxy.as_deref());
        let web = Web::new(ca_file, None, proxy, config.connect_timeout)?;
        let asking = Asking {
            config,
            web: &web,
            pool,
            warnings,
            end,
        };
        let token = asking.token()?;
        Ok(Session {
            config,
            web,
            end,
            token,
        })
    }

    /// Has `value`, in base64 for URLs, wrapped or unwrapped by a version of the key; `None`: the current one.
    pub(super) fn call(
        &self,
        asked: &Question<'_>,
        step: Step,
        version: Option<&[u8; VERSION]>,
        value: &str,
    ) -> Result<Members> {
        let version = version.map(|version| format!("/{}", hex(version)));
        let action = match step {
            Step::Wrap => "wrapkey",
            _ => "unwrapkey",
        };
        let url = format!(
            "{}/keys/{}{}/{action}?api-version={API}",
            self.config.vault_url,
            self.config.key,
            version.unwrap_or_default()
        );
        let request = Request::new(Method::Post, url)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("authorization", self.bearer())
            .body(self.body(value))
            .at_most(MOST);
        let answer = self
            .web
            .send(&request, self.end)
            .map_err(|e| asked.no_answer(e))?;
        answer::read(asked, step, &answer, &[&self.token, value])
    }

    fn bearer(&self) -> String {
        let mut bearer = String::with_capacity("Bearer ".len() + self.token.len());
        bearer.push_str("Bearer ");
        bearer.push_str(&self.token);
        bearer
    }

    /// JSON in one allocation, which is wiped with the request. Neither text has anything that JSON escapes.
    fn body(&self, value: &str) -> Vec<u8> {
        let parts = [
            "{\"alg\":\"",
            self.config.algorithm.name(),
            "\",\"value\":\"",
            value,
            "\"}",
        ];
        let mut body = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts
            .iter()
            .for_each(|part| body.extend_from_slice(part.as_bytes()));
        body
    }
}
