//! Workload identity federation: a token that somebody else vouches for is exchanged for one of Google.
//!
//! Owns the two questions for it. It must never ask anybody else than the credentials file (`external`) was allowed to name, and
//! never show a token.

use super::answer;
use super::client::Client;
use super::errors::Step;
use super::external::{External, OP, TYPE, account};
use super::names::{SCOPE, SCOPE_OF_IAM, is_word};
use crate::error::{Error, Kind, Result};
use crate::kek::cloud::{Question, form};
use crate::kek::token_file;
use crate::net::{Method, Request};
use crate::text::clean;
use serde_json::json;
use zeroize::Zeroizing;

/// How long the service account's token lives: this operation is over sooner.
const LIFETIME: &str = "600s";

/// A token for Cloud KMS by the credentials file `path`.
pub(super) fn token(client: &Client<'_>, path: &str) -> Result<Zeroizing<String>> {
    // Where Cloud KMS is this machine itself, for tests, tokens may be so as well.
    let here = client.config.endpoint.starts_with("http:");
    let external = External::read(path, here)?;
    let named = format!("credential_source in '{}'", clean(path));
    let subject = match &external.member {
        None => token_file::read(&external.file, &named),
        Some(member) => token_file::read_member(&external.file, &named, member),
    }?;
    if !is_word(&subject) {
        let why = "holds no token: it has blanks or other characters than ASCII";
        let why = format!("'{}' {why}", clean(&external.file));
        return Err(Error::new(Kind::Config, OP, why)
            .hint("Let the token alone be in it. It is not shown, and nothing was sent."));
    }
    let federated = exchange(client, &external, &subject)?;
    match &external.impersonation_url {
        None => Ok(federated),
        Some(url) => impersonate(client, url, &federated),
    }
}

/// Exchanges the subject token (RFC 8693).
fn exchange(client: &Client<'_>, external: &External, subject: &str) -> Result<Zeroizing<String>> {
    let asked = Question {
        op: OP,
        call: "sts.token",
        key: &external.audience,
        place: &external.token_url,
        service: "Google's security token service",
        options: "credentials_file and proxy",
    };
    let scope = match external.impersonation_url {
        None => SCOPE,
        Some(_) => SCOPE_OF_IAM,
    };
    let body = form(&[
        (
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        ("audience", &external.audience),
        ("scope", scope),
        ("requested_token_type", &format!("{TYPE}access_token")),
        ("subject_token_type", &external.subject_token_type),
        ("subject_token", subject),
    ]);
    let request = Request::new(Method::Post, &external.token_url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.as_bytes());
    let answer = client.send(&asked, Step::Exchange, &request, &[subject])?;
    answer::token(&asked, answer, "access_token")
}

/// Gets the service account's token for that of the federated identity.
fn impersonate(client: &Client<'_>, url: &str, federated: &str) -> Result<Zeroizing<String>> {
    let asked = Question {
        op: OP,
        call: "serviceAccounts.generateAccessToken",
        key: account(url),
        place: url.split("/v1/").next().unwrap_or_default(),
        service: "Google IAM",
        options: "credentials_file and proxy",
    };
    let body = json!({"scope": [SCOPE], "lifetime": LIFETIME}).to_string();
    let answer = client.post_json(
        &asked,
        Step::Impersonate,
        url,
        federated,
        (body.into(), &[]),
    )?;
    answer::token(&asked, answer, "accessToken")
}
