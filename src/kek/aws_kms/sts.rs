//! STS: one call that gives the credentials of a role.
//!
//! Owns the client for it. Every option that is about STS reaches every call here. It must never keep what it gets.

use super::answer;
use super::errors::{Question, Step, from_sdk};
use super::token_file;
use crate::config::AwsKmsConfig;
use crate::config::aws_names::Text;
use crate::error::{Error, Kind, Result};
use crate::net::Https;
use aws_credential_types::Credentials;
use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sdk_sts::config::retry::RetryConfig;
use aws_sdk_sts::config::timeout::TimeoutConfig;
use aws_sdk_sts::config::{BehaviorVersion, IdentityCache, Region, StalledStreamProtectionConfig};
use std::fmt::Display;

/// The shortest that STS gives: one call is made with it.
const SECONDS: i32 = 900;
/// A session's name where nothing else is said.
const SESSION: &str = "keyring-ward";

/// A text of the configuration, of a file or of the environment, with its place for messages.
pub(super) struct Told<'a> {
    pub(super) text: &'a str,
    pub(super) place: &'a dyn Display,
}

impl<'a> Told<'a> {
    fn checked(&self, kind: Text) -> Result<&'a str> {
        kind.check(self.text, self.place)?;
        Ok(self.text)
    }
}

/// Who asks STS, and where it is.
pub(super) struct Sts<'a> {
    config: &'a AwsKmsConfig,
    https: &'a Https,
    region: &'a Region,
    step: &'a Step,
    place: String,
}

impl<'a> Sts<'a> {
    /// Finds out where STS is. No call yet.
    pub(super) async fn new(
        config: &'a AwsKmsConfig,
        https: &'a Https,
        region: &'a Region,
        step: &'a Step,
    ) -> Result<Sts<'a>> {
        let place = match &config.sts_endpoint_url {
            Some(url) => url.clone(),
            None => {
                let params = Params::builder()
                    .region(region.as_ref())
                    .use_fips(config.use_fips)
                    .use_dual_stack(config.use_dualstack)
                    .build();
                let none = |e: String| {
                    Error::new(Kind::Config, "find the endpoint of STS", format!("in the region '{region}': {e}")).hint(
                        "Check region, use_fips and use_dualstack (not every region has every endpoint), or set sts_endpoint_url.",
                    )
                };
                let params = params.map_err(|e| none(e.to_string()))?;
                let found = DefaultResolver::new();
                let found = found.resolve_endpoint(&params).await;
                found
                    .map_err(|e| none(super::errors::chain(&*e)))?
                    .url()
                    .to_string()
            }
        };
        Ok(Sts {
            config,
            https,
            region,
            step,
            place,
        })
    }

    fn client(&self, credentials: Option<Credentials>) -> aws_sdk_sts::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.config.connect_timeout)
            .build();
        let mut sts = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(self.region.clone())
            .identity_cache(IdentityCache::no_cache())
            .http_client(self.https.client())
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .use_fips(self.config.use_fips)
            .use_dual_stack(self.config.use_dualstack);
        if let Some(credentials) = credentials {
            sts = sts.credentials_provider(credentials);
        }
        sts.set_endpoint_url(self.config.sts_endpoint_url.clone());
        aws_sdk_sts::Client::from_conf(sts.build())
    }

    fn question<'q>(&self, action: &'static str, role: &'q str) -> Question<'q> {
        self.step.set(&format!("STS ({})", self.place));
        Question {
            op: "get a role's credentials from STS",
            action,
            key: role,
            place: self.place.clone(),
        }
    }

    /// Assumes a role with credentials.
    pub(super) async fn assume(
        &self,
        credentials: Credentials,
        role: Told<'_>,
        external_id: Option<Told<'_>>,
        session: Option<Told<'_>>,
    ) -> Result<Credentials> {
        let arn = role.checked(Text::Role)?;
        let external_id = external_id
            .map(|t| t.checked(Text::ExternalId))
            .transpose()?;
        let session = session.map(|t| t.checked(Text::SessionName)).transpose()?;
        let asked = self.question("sts:AssumeRole", arn);
        let answer = self
            .client(Some(credentials))
            .assume_role()
            .role_arn(arn)
            .set_external_id(external_id.map(String::from))
            .role_session_name(session.unwrap_or(SESSION))
            .duration_seconds(SECONDS)
            .send()
            .await
            .map_err(|e| from_sdk(&asked, e).context(role.place))?;
        self.credentials(&asked, answer.credentials())
    }

    /// Assumes a role with a web identity token.
    pub(super) async fn assume_with_token(
        &self,
        role: Told<'_>,
        token_file: Told<'_>,
        session: Option<Told<'_>>,
    ) -> Result<Credentials> {
        let arn = role.checked(Text::Role)?;
        let session = session.map(|t| t.checked(Text::SessionName)).transpose()?;
        let token = token_file::read(token_file.text, &token_file.place.to_string())?;
        let whose = format!("the token in '{}' ({})", token_file.text, token_file.place);
        Text::WebIdentity.check(&token, &whose)?;
        let asked = self.question("sts:AssumeRoleWithWebIdentity", arn);
        let answer = self
            .client(None)
            .assume_role_with_web_identity()
            .role_arn(arn)
            .role_session_name(session.unwrap_or(SESSION))
            .web_identity_token(&**token)
            .duration_seconds(SECONDS)
            .send()
            .await
            .map_err(|e| from_sdk(&asked, e).context(whose))?;
        self.credentials(&asked, answer.credentials())
    }

    fn credentials(
        &self,
        asked: &Question<'_>,
        found: Option<&aws_sdk_sts::types::Credentials>,
    ) -> Result<Credentials> {
        let c = found.ok_or_else(|| asked.odd_answer("no credentials"))?;
        let place = format!("the answer of STS ({})", self.place);
        answer::make(
            (c.access_key_id(), &place),
            (c.secret_access_key(), &place),
            Some((c.session_token(), &place)),
        )
    }
}
