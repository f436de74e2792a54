//! One operation: credentials, where KMS is, and its calls.
//!
//! Owns KMS's JSON protocol (KMS API Reference): a POST to `/`, the action in X-Amz-Target. It must never keep
//! credentials beyond the operation.

use super::AwsKmsConfig;
use super::credentials::Credentials;
use super::endpoint::{self, Service};
use super::errors::{Question, from_answer, pending_deletion};
use super::http::Net;
use super::source::Sources;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::net::Answer;
use serde_json::{Map, Value, json};

/// A client for one operation.
pub(super) struct Session {
    net: Net,
    region: String,
    url: String,
    credentials: Credentials,
}

/// An error of KMS, and what it is called there.
pub(super) struct Refused {
    pub(super) code: Option<String>,
    pub(super) error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused { code: None, error }
    }
}

impl Session {
    /// Finds credentials and KMS. No call to KMS yet. `end` is that of the attempt.
    pub(super) fn begin(config: &AwsKmsConfig, end: Deadline) -> Result<Session> {
        let net = Net::new(config, end)?;
        let sources = Sources::new(config, &net);
        let region = sources.region()?;
        let credentials = sources.credentials(&region)?;
        Ok(Session {
            url: endpoint::url(Service::Kms, config, &region)?,
            net,
            region,
            credentials,
        })
    }

    /// A call of KMS. For a key in a state that refuses, KMS is asked whether it is to be deleted.
    pub(super) fn call(
        &self,
        asked: &Question<'_>,
        action: &str,
        arguments: &Value,
    ) -> Result<Map<String, Value>> {
        self.once(asked, action, arguments)
            .map_err(|refused| match refused.code.as_deref() {
                // It may not be allowed; then KMS's own sentence has to do.
                Some("KMSInvalidStateException") => {
                    self.if_to_be_deleted(asked).unwrap_or(refused.error)
                }
                _ => refused.error,
            })
    }

    fn once(
        &self,
        asked: &Question<'_>,
        action: &str,
        arguments: &Value,
    ) -> std::result::Result<Map<String, Value>, Refused> {
        let target = format!("TrentService.{action}");
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", &*target),
        ];
        let place = (Service::Kms, &*self.region, &*self.url);
        let body = arguments.to_string();
        let credentials = Some(&self.credentials);
        let answer = self
            .net
            .post(asked, place, credentials, &headers, body.as_bytes())?;
        let sent = self.credentials.session_token();
        read(asked, &answer, sent.as_slice())
    }

    fn if_to_be_deleted(&self, asked: &Question<'_>) -> Option<Error> {
        let described = self.once(asked, "DescribeKey", &json!({"KeyId": asked.key}));
        to_be_deleted(asked, &described.ok()?)
    }
}

/// Reads an answer. `sent`: secrets that the question carried.
pub(super) fn read(
    asked: &Question<'_>,
    answer: &Answer,
    sent: &[&str],
) -> std::result::Result<Map<String, Value>, Refused> {
    let members = match crate::json::parse(answer.body()) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    };
    match members {
        Some(members) if (200..300).contains(&answer.status()) => Ok(members),
        members => {
            let (code, said) = fault(answer, members.as_ref());
            let error = from_answer(asked, answer, code.as_deref(), said.as_deref(), sent);
            Err(Refused { code, error })
        }
    }
}

/// The error of a key that DescribeKey says is to be deleted.
pub(super) fn to_be_deleted(asked: &Question<'_>, described: &Map<String, Value>) -> Option<Error> {
    let key = described.get("KeyMetadata")?;
    if key.get("KeyState")?.as_str()? != "PendingDeletion" {
        return None;
    }
    // Seconds since 1970, with a fraction.
    let date = key.get("DeletionDate").and_then(Value::as_f64);
    Some(pending_deletion(asked, date.map(|d| d as i64)))
}

/// The code and the message of an error (AWS JSON 1.1 protocol, "Operation error serialization"): the code stands in
/// a header or in the body, "com.amazonaws.kms#NotFoundException" and "NotFoundException:http://…" are both in use.
fn fault(
    answer: &Answer,
    members: Option<&Map<String, Value>>,
) -> (Option<String>, Option<String>) {
    let text = |name: &str| members?.get(name)?.as_str();
    let code = answer
        .header("x-amzn-errortype")
        .or_else(|| text("__type"))
        .or_else(|| text("code"));
    let code = code.map(|code| {
        let code = code.rsplit('#').next().unwrap_or(code);
        code.split(':').next().unwrap_or(code).to_string()
    });
    let said = text("message").or_else(|| text("Message"));
    (code, said.map(String::from))
}
