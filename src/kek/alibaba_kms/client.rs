//! One operation: credentials, a call with them, done.
//!
//! Owns KMS's RPC interface as far as it is needed: a signed POST of a form to `/`, and JSON back. Parameters are in the
//! body, never in the URL, which proxies and logs keep. It must never keep credentials beyond the operation.

use super::access_key;
use super::answer::{self, Members};
use super::config::{AlibabaKmsConfig, Auth};
use super::credentials::Credentials;
use super::ecs;
use super::errors::{Action, of_kms, withdraws};
use super::sign::{Signed, authorization, body_hash};
use super::sts;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::cloud::{Question, Refusal, form};
use crate::kek::web::Web;
use crate::net::{Answer, Method, Request, split_url};
use crate::os::unix_seconds;
use crate::secret::{SecretPool, fill_random};
use crate::secret_source::Warnings;
use crate::text::{hex, utc};

/// The version of KMS's interface.
const VERSION: &str = "2016-01-20";
const FORM: &str = "application/x-www-form-urlencoded";

/// A client with credentials.
pub(super) struct Session<'a> {
    config: &'a AlibabaKmsConfig,
    web: Web,
    end: Deadline,
    credentials: Credentials,
}

impl<'a> Session<'a> {
    /// Comes by credentials. No call to KMS yet. `end` is that of the attempt.
    pub(super) fn begin(
        config: &'a AlibabaKmsConfig,
        pool: &SecretPool,
        warnings: &Warnings,
        end: Deadline,
    ) -> Result<Session<'a>> {
        let (ca_file, proxy) = (config.ca_file.as_deref(), config.proxy.as_deref());
        let web = Web::new(ca_file, None, proxy, config.connect_timeout)?;
        let credentials = match &config.auth {
            Auth::EcsRamRole { role, metadata } => {
                ecs::credentials(metadata, role.as_deref(), end)?
            }
            Auth::Oidc(oidc) => sts::credentials(oidc, &web, end)?,
            Auth::AccessKey(source) => access_key::read(pool, source, warnings)?,
        };
        Ok(Session {
            config,
            web,
            end,
            credentials,
        })
    }

    /// A call of KMS.
    pub(super) fn call(
        &self,
        asked: &Question<'_>,
        action: Action,
        parameters: &[(&str, &str)],
    ) -> Result<Members> {
        let body = form(parameters);
        let body_hash = body_hash(body.as_bytes());
        let mut nonce = [0; 16];
        fill_random(&mut nonce)?;
        let (nonce, now) = (hex(&nonce), utc(unix_seconds()));
        let mut headers = vec![
            ("content-type", FORM),
            ("x-acs-action", action.name()),
            ("x-acs-content-sha256", &body_hash),
            ("x-acs-date", &now),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", VERSION),
        ];
        let token = self.credentials.security_token();
        headers.extend(token.map(|token| ("x-acs-security-token", token)));
        let mut request = Request::new(Method::Post, format!("{}/", self.config.endpoint))
            .body(body.as_bytes())
            .header("accept", "application/json");
        for (name, value) in &headers {
            request = request.header(name, *value);
        }
        let (_, host) = split_url(&self.config.endpoint).unwrap_or_default();
        headers.push(("host", host));
        let signed = Signed {
            method: "POST",
            query: "",
            headers: &headers,
            body_hash: &body_hash,
        };
        let request = request.header("authorization", authorization(&signed, &self.credentials));
        let answer = self.web.send(&request, self.end);
        let answer = answer.map_err(|e| asked.no_answer(e))?;
        read(asked, action, &answer, token.as_slice())
    }
}

/// Reads an answer of KMS. `sent`: secrets that the question carried, which it repeats where a signature is wrong.
pub(super) fn read(
    asked: &Question<'_>,
    action: Action,
    answer: &Answer,
    sent: &[&str],
) -> Result<Members> {
    let table = |refusal: &Refusal<'_>| of_kms(action, refusal);
    let withdraws = |refusal: &Refusal<'_>| withdraws(action, refusal);
    answer::members(asked, answer, table, withdraws, sent)
}
