//! Who asks KMS: region, credentials, role, and the client for one operation.
//!
//! Owns the chain of credential sources: the one of AWS's SDKs, with bounds of our own. It must never keep
//! credentials, and never read a credentials file that others can read.

use super::errors::{Question, credentials_error, from_sdk, pending_deletion};
use crate::config::{AwsKmsConfig, SecretRef};
use crate::error::{Error, Kind, Result};
use crate::kek::secret_file;
use crate::net::Https;
use crate::secret::SecretPool;
use aws_config::BehaviorVersion;
use aws_config::Region;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::imds;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_kms::config::IdentityCache;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use std::path::PathBuf;
use std::time::Duration;

/// How long the instance's metadata service may take for one step: it is a hop away, or it is not there.
const METADATA: Duration = Duration::from_secs(1);

/// A client for one operation.
pub(super) struct Session {
    pub(super) kms: aws_sdk_kms::Client,
}

impl Session {
    /// Finds credentials and makes the client. No call to KMS yet.
    pub(super) async fn begin(op: &'static str, config: &AwsKmsConfig) -> Result<Session> {
        let https = Https::new(config.ca_file.as_deref(), config.proxy.as_deref())?;
        let profiles = profile_files(config)?;
        let found = Found::new(config, &https, profiles);
        let region = found.region(config).await?;
        let mut credentials = found.credentials(op, config, &region).await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            .build();
        if let Some((role, external_id)) = &config.role {
            let mut sts = aws_sdk_sts::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region.clone())
                .credentials_provider(credentials)
                .identity_cache(aws_sdk_sts::config::IdentityCache::no_cache())
                .http_client(https.client())
                .retry_config(RetryConfig::disabled())
                .timeout_config(timeouts.clone())
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
                .use_fips(config.use_fips)
                .use_dual_stack(config.use_dualstack);
            sts.set_endpoint_url(config.sts_endpoint_url.clone());
            let sts = aws_sdk_sts::Client::from_conf(sts.build());
            credentials = assume(op, &sts, role, external_id.clone()).await?;
        }
        let mut kms = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region)
            .credentials_provider(credentials)
            .identity_cache(IdentityCache::no_cache())
            .http_client(https.client())
            // The adapter around all remote KEKs does that.
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .use_fips(config.use_fips)
            .use_dual_stack(config.use_dualstack);
        kms.set_endpoint_url(config.endpoint_url.clone());
        Ok(Session {
            kms: aws_sdk_kms::Client::from_conf(kms.build()),
        })
    }

    /// The error for a failed call. For a key that is to be deleted KMS is asked when.
    pub(super) async fn explain<E>(
        &self,
        asked: &Question<'_>,
        error: SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let error = from_sdk(asked, error);
        if error.kind() != Kind::Denied || !error.to_string().contains("pending deletion") {
            return error;
        }
        // It may not be allowed; then there is no date.
        let described = self.kms.describe_key().key_id(asked.key).send().await;
        let date = described
            .ok()
            .and_then(|d| d.key_metadata()?.deletion_date().copied());
        pending_deletion(asked, date)
    }
}

async fn assume(
    op: &'static str,
    sts: &aws_sdk_sts::Client,
    role: &str,
    external_id: Option<String>,
) -> Result<Credentials> {
    let asked = Question {
        op,
        action: "sts:AssumeRole",
        key: role,
        place: "STS".into(),
    };
    let answer = sts
        .assume_role()
        .role_arn(role)
        .set_external_id(external_id)
        .role_session_name("keyring-ward")
        // The shortest that STS gives: one call is made with it.
        .duration_seconds(900)
        .send()
        .await
        .map_err(|e| from_sdk(&asked, e))?;
    let c = answer
        .credentials()
        .ok_or_else(|| asked.odd_answer("no credentials"))?;
    Ok(Credentials::new(
        c.access_key_id(),
        c.secret_access_key(),
        Some(c.session_token().to_string()),
        None,
        "keyring-ward",
    ))
}

/// The sources of region and credentials.
struct Found {
    profiles: EnvConfigFiles,
    profile: Option<String>,
    provider: ProviderConfig,
    near: ProviderConfig,
}

impl Found {
    fn new(config: &AwsKmsConfig, https: &Https, profiles: EnvConfigFiles) -> Found {
        let provider = ProviderConfig::without_region()
            .with_retry_config(RetryConfig::disabled())
            .with_use_fips(Some(config.use_fips))
            .with_use_dual_stack(Some(config.use_dualstack));
        Found {
            profiles,
            profile: config.profile.clone(),
            near: provider.clone().with_http_client(https.direct_client()),
            provider: provider.with_http_client(https.client()),
        }
    }

    fn metadata(&self) -> imds::Client {
        imds::Client::builder()
            .configure(&self.near)
            .max_attempts(2)
            .connect_timeout(METADATA)
            .read_timeout(METADATA)
            .build()
    }

    async fn region(&self, config: &AwsKmsConfig) -> Result<Region> {
        if let Some(region) = config.known_region() {
            return Ok(Region::new(region.to_string()));
        }
        if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
            return Ok(region);
        }
        let mut profile = ProfileFileRegionProvider::builder()
            .configure(&self.provider)
            .profile_files(self.profiles.clone());
        if let Some(name) = &self.profile {
            profile = profile.profile_name(name);
        }
        if let Some(region) = profile.build().region().await {
            return Ok(region);
        }
        let instance = imds::region::ImdsRegionProvider::builder()
            .configure(&self.near)
            .imds_client(self.metadata())
            .build();
        instance.region().await.ok_or_else(|| {
            Error::new(
                Kind::Config,
                "find the region of the KMS key",
                format!(
                    "'{}' does not tell, and neither does the environment",
                    config.key
                ),
            )
            .hint("Set region in \"aws_kms\" (my.cnf: aws_kms_region), or name the key by its ARN.")
        })
    }

    /// The chain of AWS's SDKs. A profile or a credentials file that our configuration names is the only source.
    async fn credentials(
        &self,
        op: &'static str,
        config: &AwsKmsConfig,
        region: &Region,
    ) -> Result<Credentials> {
        let provider = self.provider.clone().with_region(Some(region.clone()));
        let near = self.near.clone().with_region(Some(region.clone()));
        let mut profile = ProfileFileCredentialsProvider::builder()
            .configure(&provider)
            .profile_files(self.profiles.clone());
        if let Some(name) = &self.profile {
            profile = profile.profile_name(name);
        }
        let profile = profile.build();
        let result = if config.profile.is_some() || config.credentials_file.is_some() {
            profile.provide_credentials().await
        } else {
            let instance = imds::credentials::ImdsCredentialsProvider::builder()
                .configure(&near)
                .imds_client(self.metadata())
                .build();
            CredentialsProviderChain::first_try(
                "Environment",
                EnvironmentVariableCredentialsProvider::new(),
            )
            .or_else("Profile", profile)
            .or_else(
                "WebIdentityToken",
                WebIdentityTokenCredentialsProvider::builder()
                    .configure(&provider)
                    .build(),
            )
            .or_else(
                "EcsContainer",
                EcsCredentialsProvider::builder().configure(&near).build(),
            )
            .or_else("Ec2InstanceMetadata", instance)
            .provide_credentials()
            .await
        };
        result.map_err(|e| credentials_error(op, config, &e))
    }
}

/// The shared files. The credentials file is read by us, as any file with a secret.
fn profile_files(config: &AwsKmsConfig) -> Result<EnvConfigFiles> {
    const OP: &str = "read AWS's credentials file";
    let mut files = EnvConfigFiles::builder().include_default_config_file(true);
    let source = match &config.credentials_file {
        Some(source) => Some(source.clone()),
        // The environment comes first, unless a profile is named.
        None if config.profile.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_some() => None,
        // What can't even be seen (the home of root, when mysqld asks as mysql) is not meant for us.
        None => default_credentials_file()
            .filter(|path| path.metadata().is_ok())
            .map(SecretRef::File),
    };
    if let Some(source) = source {
        let pool = SecretPool::new();
        let bytes = secret_file::read(&pool, OP, &source)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Error::new(
                Kind::InvalidInput,
                OP,
                format!("{source} is not text in UTF-8"),
            )
        })?;
        files = files.with_contents(EnvConfigFileKind::Credentials, text);
    }
    Ok(files.build())
}

fn default_credentials_file() -> Option<PathBuf> {
    let named = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws/credentials")))
}
