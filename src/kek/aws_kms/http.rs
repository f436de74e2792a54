//! Requests to AWS's services: a POST to `/`, signed or not.
//!
//! Owns the client of one operation and its end. It must never send a request to another host than the one it is signed
//! for.

use super::AwsKmsConfig;
use super::credentials::Credentials;
use super::endpoint::Service;
use super::errors::{Question, from_net};
use super::sign::{Signed, amz_date, authorization};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::web::Web;
use crate::net::{Answer, Method, Request, split_url};
use time::OffsetDateTime;

/// How requests of this operation are sent, and when it is over.
pub(super) struct Net {
    pub(super) web: Web,
    /// The end of the attempt.
    pub(super) end: Deadline,
}

impl Net {
    pub(super) fn new(config: &AwsKmsConfig, end: Deadline) -> Result<Net> {
        let (ca_file, proxy) = (config.ca_file.as_deref(), config.proxy.as_deref());
        Ok(Net {
            web: Web::new(ca_file, None, proxy, config.connect_timeout)?,
            end,
        })
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
        let mut request = Request::new(Method::Post, format!("{}/", url.trim_end_matches('/')))
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
        let answer = self.web.send(&request, self.end);
        answer.map_err(|e| from_net(asked, e))
    }
}
