//! One operation: credentials, where KMS is, and its calls.
//!
//! Owns KMS's JSON protocol (KMS API Reference): a POST to `/`, the action in X-Amz-Target. It must never keep
//! credentials beyond the operation.

use super::credentials::Credentials;
use super::endpoint::{self, Service};
use super::errors::{Question, from_answer, from_net, pending_deletion};
use super::sign::{Signed, amz_date, authorization};
use super::source::Sources;
use crate::config::AwsKmsConfig;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::net::{Answer, Client, Method, Options, Proxy, Request, split_url};
use serde_json::{Map, Value, json};
use std::path::Path;
use time::OffsetDateTime;

/// How requests of this operation are sent, and when it is over.
pub(super) struct Net {
    pub(super) client: Client,
    /// The end of the attempt.
    pub(super) end: Deadline,
}

impl Net {
    pub(super) fn new(config: &AwsKmsConfig, end: Deadline) -> Result<Net> {
        let client = Client::new(&Options {
            ca_file: config.ca_file.as_deref().map(Path::new),
            identity: None,
            proxy: match &config.proxy {
                Some(url) => Proxy::Url(url),
                None => Proxy::Environment,
            },
            connect: config.connect_timeout,
        })?;
        Ok(Net { client, end })
    }

    /// A POST to `/` of a service. `headers` are signed as well; without credentials nothing is.
    pub(super) fn post(
        &self,
        asked: &Question<'_>,
        (service, region, url): (Service, &str, &str),
        credentials: Option<&Credentials>,
        headers: &[(&'static str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let mut request = Request::new(Method::Post, format!("{url}/"))
            .body(body)
            .want("x-amzn-errortype");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(credentials) = credentials {
            let date = amz_date(OffsetDateTime::now_utc());
            let (_, host) = split_url(url).unwrap_or_default();
            let mut signed = headers.to_vec();
            signed.extend([("host", host), ("x-amz-date", &*date)]);
            if let Some(token) = credentials.session_token() {
                signed.push(("x-amz-security-token", token));
                request = request.header("x-amz-security-token", token);
            }
            let signed = Signed {
                service: service.name(),
                region,
                method: "POST",
                headers: &signed,
                body,
            };
            let value = authorization(&signed, credentials, &date);
            request = request
                .header("authorization", value)
                .header("x-amz-date", date);
        }
        let answer = self.client.send(&request, self.end);
        answer.map_err(|e| from_net(asked, e))
    }
}

/// A client for one operation.
pub(super) struct Session {
    net: Net,
    region: String,
    url: String,
    credentials: Credentials,
}

/// An error of KMS, and what it is called there.
struct Refused {
    code: Option<String>,
    error: Error,
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
        let members = match crate::json::parse(answer.body()) {
            Ok(Value::Object(members)) => Some(members),
            _ => None,
        };
        match members {
            Some(members) if (200..300).contains(&answer.status()) => Ok(members),
            members => {
                let (code, said) = fault(&answer, members.as_ref());
                let error = from_answer(asked, &answer, code.as_deref(), said.as_deref());
                Err(Refused { code, error })
            }
        }
    }

    fn if_to_be_deleted(&self, asked: &Question<'_>) -> Option<Error> {
        let described = self.once(asked, "DescribeKey", &json!({"KeyId": asked.key}));
        let described = described.ok()?;
        let key = described.get("KeyMetadata")?;
        if key.get("KeyState")?.as_str()? != "PendingDeletion" {
            return None;
        }
        // Seconds since 1970, with a fraction.
        let date = key.get("DeletionDate").and_then(Value::as_f64);
        Some(pending_deletion(asked, date.map(|d| d as i64)))
    }
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
