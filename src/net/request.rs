//! A request: method, URL, headers, body.
//!
//! Owns what is sent, in memory that is wiped when it is dropped, because tokens and keys are in it. It must never
//! show a header's value or the body.

use std::fmt;
use zeroize::Zeroizing;

/// Largest answer in bytes where a request says nothing else. Those of key services have a few thousand.
pub const MAX_ANSWER: usize = 1 << 20;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read something.
    Get,
    /// Do something, or make something.
    Post,
    /// Put something in its place; the token of AWS's metadata service.
    Put,
}

impl Method {
    pub(super) fn as_http(self) -> http::Method {
        match self {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
        }
    }
}

/// A request. Nothing of it is checked before it is sent.
pub struct Request {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, Zeroizing<String>)>,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) wanted: Vec<&'static str>,
    pub(super) limit: usize,
}

impl Request {
    /// A request without headers and body. The URL holds no secret: errors show its host.
    pub fn new(method: Method, url: impl Into<String>) -> Request {
        Request {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: Zeroizing::default(),
            wanted: Vec::new(),
            limit: MAX_ANSWER,
        }
    }

    /// It is asked over TLS.
    pub fn is_https(&self) -> bool {
        super::split_url(&self.url).is_some_and(|(scheme, _)| scheme == "https")
    }

    /// Adds a header; its name is in lower case. Host and Content-Length are added by themselves.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, Zeroizing::new(value.into())));
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Zeroizing::new(body.into());
        self
    }

    /// Keeps this header of the answer; its name is in lower case. Retry-After and Date are kept always.
    pub fn want(mut self, name: &'static str) -> Request {
        self.wanted.push(name);
        self
    }

    /// Another limit for the answer's body, in bytes.
    pub fn at_most(mut self, limit: usize) -> Request {
        self.limit = limit;
        self
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &names)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let request = Request::new(Method::Post, "https://kms.example.org/")
            .header("authorization", "Bearer HIDDEN")
            .body("HIDDEN");
        let shown = format!("{request:?}");
        assert!(
            shown.contains("authorization") && !shown.contains("HIDDEN"),
            "{shown}"
        );
    }
}
