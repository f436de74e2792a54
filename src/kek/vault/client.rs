//! One operation: a token, a call with it, and the end of a token that was made for it.
//!
//! Owns Vault's HTTP API as far as it is needed: a POST of texts, and JSON back. It must never keep a token beyond the
//! operation, never leave one behind in Vault that it could revoke, and never revoke one that is the operator's.

use super::answer::{self, Token};
use super::config::{Login, VaultConfig};
use super::errors::{Question, Step, from_net};
use super::names::is_token;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::token_file;
use crate::kek::web::{self, Web};
use crate::net::{Identity, Method, Request};
use crate::secret::{SecretBytes, SecretPool};
use crate::secret_source::{self, SecretRef, Warnings};
use serde_json::{Map, Value};
use std::time::Duration;
use zeroize::Zeroizing;

const OP: &str = "log in to Vault";
/// What a call leaves of the time for the revocation of its token, at most; and a quarter of it.
const FOR_THE_END: Duration = Duration::from_secs(1);

/// Fields of a request that are secrets.
const SECRETS: [&str; 3] = ["plaintext", "secret_id", "jwt"];

/// Texts of a request, by their names.
pub type Fields<'a> = [(&'a str, &'a str)];

/// A client with a token.
pub(super) struct Session<'a> {
    config: &'a VaultConfig,
    web: Web,
    end: Deadline,
    token: Token,
}

impl<'a> Session<'a> {
    /// Logs in; with a token's file nothing is asked yet. `end` is that of the attempt.
    pub(super) fn begin(
        config: &'a VaultConfig,
        pool: &SecretPool,
        warnings: &Warnings,
        end: Deadline,
    ) -> Result<Session<'a>> {
        let identity = config.identity.as_ref();
        let identity = identity.map(|(chain, key)| Identity { chain, key });
        let (ca_file, proxy) = (config.ca_file.as_deref(), config.proxy.as_deref());
        let mut session = Session {
            config,
            web: Web::new(ca_file, identity, proxy, config.connect_timeout)?,
            end,
            token: Token {
                text: Zeroizing::default(),
                kept: false,
                lease: 0,
            },
        };
        session.token = session.log_in(pool, warnings)?;
        Ok(session)
    }

    fn log_in(&self, pool: &SecretPool, warnings: &Warnings) -> Result<Token> {
        match &self.config.login {
            Login::Token(source) => {
                let token = secret_text(pool, source, warnings)?;
                Ok(Token {
                    text: Zeroizing::new(as_text(&token).into()),
                    kept: false,
                    lease: 0,
                })
            }
            Login::AppRole { role_id, secret_id } => {
                let secret_id = secret_text(pool, secret_id, warnings)?;
                self.ask_for_token(&[("role_id", role_id), ("secret_id", as_text(&secret_id))])
            }
            Login::Jwt { role, file } => {
                let jwt = token_file::read(file, "jwt_file of \"vault\"")?;
                if !is_token(jwt.as_bytes()) {
                    return Err(no_token(&format!("'{file}'")));
                }
                let role = role.iter().map(|role| ("role", role.as_str()));
                let fields: Vec<_> = role.chain([("jwt", jwt.as_str())]).collect();
                self.ask_for_token(&fields)
            }
            Login::Cert { role } => {
                let role = role.iter().map(|role| ("name", role.as_str()));
                self.ask_for_token(&role.collect::<Vec<_>>())
            }
        }
    }

    fn ask_for_token(&self, fields: &Fields<'_>) -> Result<Token> {
        let asked = Question {
            op: OP,
            step: Step::Login,
            config: self.config,
        };
        let answer = self.post(&asked, "", fields, self.end)?;
        answer::token(&asked, answer)
    }

    /// A call with the token; gives what is in `data`.
    pub(super) fn call(
        &self,
        asked: &Question<'_>,
        fields: &Fields<'_>,
    ) -> Result<Map<String, Value>> {
        let left = self.end.remaining();
        let end = match self.token.kept {
            true => Deadline::after(left.saturating_sub(FOR_THE_END.min(left / 4))),
            false => self.end,
        };
        let answer = self.post(asked, &self.token.text, fields, end)?;
        answer::data(asked, answer, fields)
    }

    /// The end: a token that was made for this and is kept in Vault is revoked. Gives a sentence where that fails: the
    /// operation is done all the same.
    pub(super) fn finish(self) -> Option<String> {
        if !self.token.kept {
            return None;
        }
        let asked = Question {
            op: "revoke the token",
            step: Step::Revoke,
            config: self.config,
        };
        let e = self.post(&asked, &self.token.text, &[], self.end).err()?;
        Some(format!(
            "The token that Vault gave for this operation is left behind; it ends by itself after {} s. {e} Better: let the role give \
             batch tokens, which Vault does not keep (token_type=batch, docs/guide/vault.md).",
            self.token.lease
        ))
    }

    fn post(
        &self,
        asked: &Question<'_>,
        token: &str,
        fields: &Fields<'_>,
        end: Deadline,
    ) -> Result<Map<String, Value>> {
        let url = format!("{}/v1/{}", self.config.address, asked.path());
        let mut request = Request::new(Method::Post, url)
            .header("content-type", "application/json")
            // Agents can demand it: no form of a browser sends it.
            .header("x-vault-request", "true")
            .body(web::object(fields));
        if let Some(namespace) = &self.config.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if !token.is_empty() {
            request = request.header("x-vault-token", token);
        }
        let answer = self
            .web
            .send(&request, end)
            .map_err(|e| from_net(asked, e))?;
        read(asked, token, fields, answer.status(), answer.body())
    }
}

/// Reads the answer to what was sent.
pub(super) fn read(
    asked: &Question<'_>,
    token: &str,
    fields: &Fields<'_>,
    status: u16,
    body: &[u8],
) -> Result<Map<String, Value>> {
    let secrets = fields.iter().filter(|(name, _)| SECRETS.contains(name));
    let secrets: Vec<&str> = secrets.map(|(_, value)| *value).chain([token]).collect();
    answer::read(asked, status, body, &secrets)
}

/// A secret of one line that is a token's text.
fn secret_text(pool: &SecretPool, source: &SecretRef, warnings: &Warnings) -> Result<SecretBytes> {
    let mut told = Vec::new();
    let secret = secret_source::line(pool, OP, source, &mut told)?;
    warnings.add(told);
    match is_token(&secret) {
        true => Ok(secret),
        false => Err(no_token(&source.to_string())),
    }
}

/// [`is_token`] has seen that it is ASCII.
fn as_text(secret: &SecretBytes) -> &str {
    std::str::from_utf8(secret).unwrap_or_default()
}

fn no_token(whose: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        OP,
        format!("{whose} holds no token: it has blanks, other characters than ASCII, or too many"),
    )
    .hint("Put the token alone into it. It is not shown, and nothing was sent.")
}
