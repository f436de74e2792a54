//! The client for one operation: credentials, and where KMS is.
//!
//! It must never keep credentials beyond the operation.

use super::errors::{Question, Step, code, from_sdk, pending_deletion};
use super::source::Sources;
use crate::config::AwsKmsConfig;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::net::Https;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::types::KeyState;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A client for one operation.
pub(super) struct Session {
    pub(super) kms: aws_sdk_kms::Client,
}

impl Session {
    /// Finds credentials and makes the client. No call to KMS yet. `end` is that of the attempt; `step` is told who
    /// is asked.
    pub(super) async fn begin(
        config: &AwsKmsConfig,
        end: Deadline,
        step: &Step,
    ) -> Result<Session> {
        let https = Https::new(config.ca_file.as_deref(), config.proxy.as_deref())?;
        let sources = Sources::new(config, &https, end, step);
        let region = sources.region().await?;
        let credentials = sources.credentials(&region).await?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(config.connect_timeout)
            .build();
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
        step.set(&format!("AWS KMS ({})", config.place()));
        Ok(Session {
            kms: aws_sdk_kms::Client::from_conf(kms.build()),
        })
    }

    /// The error for a failed call. For a key in a state that refuses KMS is asked whether it is to be deleted.
    pub(super) async fn explain<E>(
        &self,
        asked: &Question<'_>,
        error: SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let state = error.meta().code().map(code) == Some("KMSInvalidStateException");
        let error = from_sdk(asked, error);
        if !state {
            return error;
        }
        // It may not be allowed; then KMS's own sentence has to do.
        let described = self.kms.describe_key().key_id(asked.key).send().await.ok();
        let key = described.as_ref().and_then(|d| d.key_metadata());
        match key.filter(|k| k.key_state() == Some(&KeyState::PendingDeletion)) {
            Some(key) => pending_deletion(asked, key.deletion_date().copied()),
            None => error,
        }
    }
}
