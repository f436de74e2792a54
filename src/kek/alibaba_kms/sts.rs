//! STS: one call that gives the credentials of a RAM role for the token of an OIDC identity provider (ACK's RRSA).
//!
//! Owns AssumeRoleWithOIDC, which nobody signs. It must never put the token into the URL, and never keep what it gets.

use super::answer::{self, Members};
use super::credentials::Credentials;
use super::environment::{Told, option_or_variable};
use super::errors::of_sts;
use super::names::Text;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::cloud::{Question, encoded, form};
use crate::kek::token_file;
use crate::kek::web::Web;
use crate::net::{Answer, Method, Request};
use crate::os::unix_seconds;
use crate::text::utc;
use serde_json::Value;

/// The name of the session, which ActionTrail shows.
const SESSION: &str = "keyring-ward";
/// The shortest that STS gives, in seconds: one call is made with it.
const SECONDS: &str = "900";

/// Whom to be; what is not here is in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Oidc {
    /// The ARN of the role.
    pub(super) role_arn: Option<String>,
    /// The ARN of the identity provider.
    pub(super) provider_arn: Option<String>,
    /// The file of the token.
    pub(super) token_file: Option<String>,
    /// The URL of STS.
    pub(super) endpoint: String,
}

/// The role's credentials.
pub(super) fn credentials(oidc: &Oidc, web: &Web, end: Deadline) -> Result<Credentials> {
    let of = |option: &Option<String>, member: &str, variable: &str| -> Result<Told> {
        option_or_variable(option.as_ref(), member, variable)
    };
    let role = of(&oidc.role_arn, "role_arn", "ALIBABA_CLOUD_ROLE_ARN")?;
    let provider = of(
        &oidc.provider_arn,
        "oidc_provider_arn",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    )?;
    let file = of(
        &oidc.token_file,
        "oidc_token_file",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    )?;
    let (role, provider) = (
        role.checked(Text::RoleArn)?,
        provider.checked(Text::ProviderArn)?,
    );
    let token = token_file::read(&file.text, &file.place)?;
    Text::OidcToken.check(
        &token,
        format_args!("the token in the file that {} names", file.place),
    )?;
    let now = utc(unix_seconds());
    let url = format!(
        "{}/?Action=AssumeRoleWithOIDC&Format=JSON&Timestamp={}&Version=2015-04-01",
        oidc.endpoint,
        &*encoded(&now)
    );
    let body = form(&[
        ("DurationSeconds", SECONDS),
        ("OIDCProviderArn", provider),
        ("OIDCToken", &token),
        ("RoleArn", role),
        ("RoleSessionName", SESSION),
    ]);
    let request = Request::new(Method::Post, url)
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.as_bytes());
    let asked = question(&oidc.endpoint, role);
    let answer = web.send(&request, end).map_err(|e| asked.no_answer(e))?;
    read(&asked, &answer, &token)
}

pub(super) fn question<'a>(endpoint: &'a str, role: &'a str) -> Question<'a> {
    Question {
        op: "get credentials for Alibaba Cloud",
        call: "sts:AssumeRoleWithOIDC",
        key: role,
        place: endpoint,
        service: "Alibaba Cloud STS",
        options: "region, sts_endpoint and proxy",
    }
}

/// Reads an answer. `token` is what the question carried.
pub(super) fn read(asked: &Question<'_>, answer: &Answer, token: &str) -> Result<Credentials> {
    let members: Members = answer::members(asked, answer, of_sts, |_| false, &[token])?;
    match members.get("Credentials") {
        Some(Value::Object(members)) => answer::credentials(asked, members),
        _ => Err(asked.odd_answer("no credentials")),
    }
}
