//! Credentials and region from services beside this machine: a container's and an instance's.
//!
//! Owns the requests to them (version 2 of the instance's, with its token). It must never use a proxy for them, never
//! wait for one longer than the stated seconds, and never put an unchecked text into a URL or a header.

use super::answer::{self, Names};
use super::credentials::Credentials;
use super::errors::clean;
use super::http::Net;
use super::names::{Text, is_region};
use super::source::variable;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::kek::token_file;
use crate::kek::web::{NOT_SHOWN, repeats};
use crate::net::{Answer, Cause, Client, Method, NetError, Request, host, split_url};
use serde_json::Value;
use std::net::IpAddr;
use std::time::Duration;
use zeroize::Zeroizing;

const OP: &str = "find AWS credentials";
/// How long an instance's service may take for connecting and for answering: it is a hop away, or not there.
const INSTANCE: Duration = Duration::from_secs(1);
/// The same for a container's.
const CONTAINER: Duration = Duration::from_secs(2);
/// What a container's service may be called by plain http: ECS, EKS Pod Identity.
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// A text of the instance's service, or the HTTP status (0: no answer) and why there is none.
type Given = std::result::Result<Zeroizing<Vec<u8>>, (u16, String)>;

/// What a source gave: credentials, or why it has none.
pub(super) enum Found {
    Credentials(Credentials),
    /// For the message when no source has any.
    None(String),
}

/// A container's credentials: ECS and EKS Pod Identity.
pub(super) fn container(net: &Net) -> Result<Found> {
    const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let (name, url) = match (variable(RELATIVE)?, variable(FULL)?) {
        (Some(path), _) => {
            Text::Path.check(&path, format!("{RELATIVE} in the environment"))?;
            (RELATIVE, format!("http://169.254.170.2{path}"))
        }
        (None, Some(url)) => {
            may_be_asked(&url).map_err(|why| {
                Error::new(Kind::Config, OP, format!("{FULL} in the environment {why}"))
                    .hint("It must be https://HOST/PATH, or http:// to this machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]: the answer is a secret.")
            })?;
            (FULL, url)
        }
        (None, None) => {
            return Ok(Found::None(
                "container: no AWS_CONTAINER_CREDENTIALS_…_URI in the environment".into(),
            ));
        }
    };
    let shown = format!("the container's credential service {url} ({name})");
    let mut request = Request::new(Method::Get, url.as_str()).header("accept", "application/json");
    let token = container_token()?;
    if let Some(token) = &token {
        request = request.header("authorization", token.as_str());
    }
    let answer = match ask(net, &request, CONTAINER, &shown)? {
        Ok(answer) => answer,
        Err(e) => return Err(away(&shown, e)),
    };
    let sent = token.as_ref().map(|token| token.as_str());
    of_container(&shown, &answer, sent.as_slice()).map(Found::Credentials)
}

/// What a container's service answered. `sent`: secrets that the question carried.
pub(super) fn of_container(shown: &str, answer: &Answer, sent: &[&str]) -> Result<Credentials> {
    if answer.status() != 200 {
        return Err(refused(shown, answer.status(), answer.body(), sent));
    }
    answer::read(
        answer.body(),
        &Names::CONTAINER,
        &format!("the answer of {shown}"),
    )
}

/// What an instance's service answered about its role.
pub(super) fn of_instance(shown: &str, body: &[u8]) -> Result<Credentials> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let code = value
        .as_ref()
        .and_then(|v| v.get("Code"))
        .and_then(Value::as_str);
    if code.is_some_and(|code| code != "Success") {
        return Err(refused(shown, 200, body, &[]));
    }
    answer::read(body, &Names::INSTANCE, &format!("the answer of {shown}"))
}

/// Asks what is near this machine: no proxy. Connecting and answering may take `limit` each; that there is no answer
/// is an error of its own only where the operation's time is over.
fn ask(
    net: &Net,
    request: &Request,
    limit: Duration,
    shown: &str,
) -> Result<std::result::Result<Answer, NetError>> {
    let client = match request.is_https() {
        true => net.web.client.direct(limit),
        false => Client::link_local(limit),
    };
    let end = Deadline::after((2 * limit).min(net.end.remaining()));
    match client.send(request, end) {
        Err(e) if matches!(e.cause(), Cause::Timeout { .. }) && net.end.passed() => {
            Err(away(shown, e))
        }
        result => Ok(result),
    }
}

fn away(shown: &str, why: impl Into<crate::error::Cause>) -> Error {
    Error::new(Kind::Unreachable, OP, shown)
        .because(why)
        .hint("It is tried again while there is time. No proxy is used for it.")
}

/// An answer that is no success, with the service's own sentence.
fn refused(shown: &str, status: u16, body: &[u8], sent: &[&str]) -> Error {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let said = |name: &str| {
        let member = value.as_ref().and_then(|v| v.get(name));
        member
            .and_then(Value::as_str)
            .map(|text| format!(" {}", clean(text)))
    };
    let told = [
        said("code").or(said("Code")),
        said("message").or(said("Message")),
    ];
    let told: String = told.into_iter().flatten().collect();
    let told = match repeats(&told, sent) {
        true => format!(", {NOT_SHOWN}"),
        false => told,
    };
    let kind = match status {
        408 | 429 | 500.. => Kind::Unreachable,
        _ => Kind::Denied,
    };
    Error::new(
        kind,
        OP,
        format!("{shown} answered with HTTP status {status}{told}"),
    )
    .hint("Check the role of the task or pod, and the token.")
}

/// What is wrong with the URL of a container's service.
fn may_be_asked(url: &str) -> std::result::Result<(), String> {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let path_at = url[begin..].find('/').map_or(url.len(), |at| begin + at);
    let (base, path) = url.split_at(path_at);
    let whole = host(base).ok_or("is not a URL")?;
    if !path.is_empty()
        && let Some(fault) = Text::Path.fault(path)
    {
        return Err(format!("has a path that {fault}"));
    }
    let scheme = split_url(base).map(|(scheme, _)| scheme);
    let near = whole == "localhost"
        || CONTAINER_HOSTS.contains(&whole)
        || whole.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match scheme {
        Some("https") => Ok(()),
        Some("http") if near => Ok(()),
        _ => Err("names another host by plain http".into()),
    }
}

/// The text of the header Authorization.
fn container_token() -> Result<Option<Zeroizing<String>>> {
    const FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    const VALUE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
    // "Bearer x" is a token too: one blank between two words.
    let check = |token: &str, place: &str| {
        let words: Vec<&str> = token.splitn(2, ' ').collect();
        words
            .iter()
            .try_for_each(|word| Text::Token.check(word, place))
    };
    if let Some(path) = variable(FILE)? {
        let token = token_file::read(&path, &format!("{FILE} in the environment"))?;
        check(&token, &format!("the token in '{path}' ({FILE})"))?;
        return Ok(Some(token));
    }
    let Some(token) = variable(VALUE)? else {
        return Ok(None);
    };
    check(&token, &format!("{VALUE} in the environment"))?;
    Ok(Some(token.into()))
}

/// The instance's metadata service; `Err`: why it is not asked.
pub(super) struct Instance {
    base: String,
}

impl Instance {
    /// As the environment says, else `endpoint` and `mode` of the profile.
    pub(super) fn new(
        endpoint: Option<String>,
        mode: Option<String>,
    ) -> Result<std::result::Result<Instance, String>> {
        if variable("AWS_EC2_METADATA_DISABLED")?.is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            return Ok(Err("instance: AWS_EC2_METADATA_DISABLED is true".into()));
        }
        let named = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT")?.or(endpoint);
        let mode = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")?.or(mode);
        let v6 = mode.is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let base = match named {
            Some(url)
                if host(&url).is_none()
                    || !matches!(split_url(&url), Some(("http" | "https", _))) =>
            {
                return Err(Error::new(
                    Kind::Config,
                    OP,
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT (or ec2_metadata_service_endpoint of the profile) is not a URL",
                )
                .hint("Use http://ADDRESS, or take it out."));
            }
            Some(url) => url.trim_end_matches('/').to_string(),
            None if v6 => "http://[fd00:ec2::254]".into(),
            None => "http://169.254.169.254".into(),
        };
        Ok(Ok(Instance { base }))
    }

    /// A text of the service.
    fn get(&self, net: &Net, path: &str) -> Result<Given> {
        let none =
            |status: u16, why: String| Ok(Err((status, format!("instance: {} {why}", self.base))));
        let url = format!("{}/latest/api/token", self.base);
        let request =
            Request::new(Method::Put, url).header("x-aws-ec2-metadata-token-ttl-seconds", "60");
        let answer = match ask(net, &request, INSTANCE, &self.shown())? {
            Ok(answer) => answer,
            Err(e) => return none(0, format!("did not answer ({e})")),
        };
        if answer.status() != 200 {
            let status = answer.status();
            return none(status, format!("gave no token: HTTP status {status}"));
        }
        let token = String::from_utf8_lossy(answer.body()).trim().to_string();
        Text::Token.check(
            &token,
            format!("the token of the instance's metadata service {}", self.base),
        )?;
        let request = Request::new(Method::Get, format!("{}{path}", self.base))
            .header("x-aws-ec2-metadata-token", token);
        match ask(net, &request, INSTANCE, &self.shown())? {
            Ok(answer) if answer.status() == 200 => Ok(Ok(answer.into_body())),
            Ok(answer) => {
                let status = answer.status();
                none(status, format!("answered with HTTP status {status}"))
            }
            Err(e) => none(0, format!("did not answer ({e})")),
        }
    }

    fn shown(&self) -> String {
        format!("the instance's metadata service {}", self.base)
    }

    /// The instance's region.
    pub(super) fn region(&self, net: &Net) -> Result<std::result::Result<String, String>> {
        Ok(match self.get(net, "/latest/meta-data/placement/region")? {
            Ok(body) => match std::str::from_utf8(&body).map(|text| text.trim().to_string()) {
                Ok(text) if is_region(&text) => Ok(text),
                _ => Err(format!(
                    "{} answered with something else than a region",
                    self.shown()
                )),
            },
            Err((_, why)) => Err(why),
        })
    }

    /// The credentials of the instance's role.
    pub(super) fn credentials(&self, net: &Net) -> Result<Found> {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        let role = match self.get(net, ROLES)? {
            Ok(body) => body,
            Err((404, _)) => {
                return Ok(Found::None(format!(
                    "instance: {} knows no role of it",
                    self.base
                )));
            }
            Err((_, why)) => return Ok(Found::None(why)),
        };
        let role = String::from_utf8_lossy(&role).trim().to_string();
        Text::RoleName.check(&role, format!("the role's name that {} gave", self.shown()))?;
        let shown = format!("{} for the role '{role}'", self.shown());
        let body = match self.get(net, &format!("{ROLES}{role}"))? {
            Ok(body) => body,
            Err((_, why)) => return Err(away(&shown, why)),
        };
        of_instance(&shown, &body).map(Found::Credentials)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_service_is_near_or_https() {
        for good in [
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:8080",
            "http://localhost/x?y=z",
            "https://creds.example.org/a",
        ] {
            assert_eq!(may_be_asked(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "x",
            "http://169.254.170.24/",
            "http://localhost.evil/",
            "https://a/b\r",
            "https://a@b/",
            "ftp://localhost/",
        ] {
            assert!(may_be_asked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_tells_the_services_sentence() {
        let of = |status, body: &[u8]| refused("x", status, body, &["Bearer HIDDEN"]);
        let e = of(400, br#"{"code":"AccessDenied","message":"no\u0007"}"#);
        assert_eq!(e.kind(), Kind::Denied);
        assert!(e.to_string().contains("status 400 AccessDenied no "), "{e}");
        assert_eq!(of(503, b"<html>").kind(), Kind::Unreachable);
        let e = of(401, br#"{"message":"what is Bearer HIDDEN?"}"#).to_string();
        assert!(e.contains(NOT_SHOWN) && !e.contains("HIDDEN"), "{e}");
    }
}
