//! The client of one operation: each request once, its answer read or refused.
//!
//! Owns the way to Cloud KMS and to Google's services of tokens. It must never keep a token, and never ask where an answer
//! points.

use super::answer::{self, Members};
use super::config::GcpKmsConfig;
use super::errors::Step;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek::cloud::Question;
use crate::kek::web::Web;
use crate::net::{Method, Request};

/// A client, until the end of an attempt.
pub(super) struct Client<'a> {
    pub(super) config: &'a GcpKmsConfig,
    pub(super) end: Deadline,
    web: Web,
}

impl<'a> Client<'a> {
    /// One that has asked nobody yet.
    pub(super) fn new(config: &'a GcpKmsConfig, end: Deadline) -> Result<Client<'a>> {
        let (ca_file, proxy) = (config.ca_file.as_deref(), config.proxy.as_deref());
        Ok(Client {
            config,
            end,
            web: Web::new(ca_file, None, proxy, config.connect_timeout)?,
        })
    }

    /// Sends JSON to `url` with a token; gives the members of the answer. `sent`: what of the body must not be shown.
    pub(super) fn post_json(
        &self,
        asked: &Question<'_>,
        step: Step,
        url: &str,
        token: &str,
        (body, sent): (Vec<u8>, &[&str]),
    ) -> Result<Members> {
        let request = Request::new(Method::Post, url)
            .header("content-type", "application/json")
            .header("authorization", ["Bearer ", token].concat())
            .body(body);
        let sent: Vec<&str> = sent.iter().copied().chain([token]).collect();
        self.send(asked, step, &request, &sent)
    }

    /// Sends a request; gives the members of the answer. `sent`: what of it must not be shown.
    pub(super) fn send(
        &self,
        asked: &Question<'_>,
        step: Step,
        request: &Request,
        sent: &[&str],
    ) -> Result<Members> {
        let answer = self.web.send(request, self.end);
        let answer = answer.map_err(|e| asked.no_answer(e))?;
        answer::read(asked, step, &answer, sent)
    }
}
