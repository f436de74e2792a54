//! The credentials of an ECS instance's RAM role, from the instance metadata service in its hardened mode (with a token).
//!
//! Owns the requests to it. It must never ask in the normal mode, which any program that forwards requests can be talked
//! into, and never put an unchecked text into a URL or a header.

use super::answer::{self, text};
use super::credentials::Credentials;
use super::names::Text;
use crate::deadline::Deadline;
use crate::error::{Kind, Result};
use crate::kek::cloud::{Metadata, Question, Refusal};
use crate::net::{Answer, Method, Request};
use zeroize::Zeroizing;

/// Where the service is.
pub(super) const ADDRESS: &str = "http://100.100.100.200";
const SERVICE: &str = "the instance metadata service";
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";
/// How long its token shall live, in seconds: it is used at once.
const TOKEN_LIFE: &str = "60";

const NO_ROLE: &str = "Attach a RAM role to this instance: aliyun ecs AttachInstanceRamRole (docs/guide/alibaba-kms.md). With role_name, it must be that one's name.";
const NO_ACCESS: &str = "Metadata access of this instance is turned off or restricted: aliyun ecs ModifyInstanceMetadataOptions --HttpEndpoint enabled; or something on this machine stands before it.";
const NO_TRUST: &str = "Check that the RAM role's trust policy lets ecs.aliyuncs.com assume it: aliyun ram GetRole --RoleName KEY.";

/// The credentials of `role`; of the one that the service names where it is not given, which is one more request.
pub(super) fn credentials(
    metadata: &Metadata,
    role: Option<&str>,
    end: Deadline,
) -> Result<Credentials> {
    let asked = |call, role| question(metadata.base(), call, role);
    let token = {
        let asked = asked("a token", role);
        let url = format!("{}/latest/api/token", metadata.base());
        let request = Request::new(Method::Put, url)
            .header("x-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_LIFE);
        let answer = metadata.send(&asked, request, end)?;
        token(&asked, &answer)?
    };
    let get = |asked: &Question<'_>, role: &str| {
        let url = format!("{}{ROLES}{role}", metadata.base());
        let request = Request::new(Method::Get, url).header("x-aliyun-ecs-metadata-token", &*token);
        metadata.send(asked, request, end)
    };
    let role = match role {
        Some(role) => role.to_string(),
        None => {
            let asked = asked("the name of the RAM role", None);
            role_name(&asked, &get(&asked, "")?)?
        }
    };
    let asked = asked("the credentials of the RAM role", Some(&role));
    of_role(&asked, &get(&asked, &role)?, &token)
}

/// A question to the service at `place`.
pub(super) fn question<'a>(
    place: &'a str,
    call: &'static str,
    role: Option<&'a str>,
) -> Question<'a> {
    Question {
        op: "get credentials for Alibaba Cloud",
        call,
        key: role.unwrap_or("this instance"),
        place,
        service: SERVICE,
        options: "auth and metadata_url",
    }
}

/// The body of an answer with status 200.
fn body<'a>(asked: &Question<'_>, answer: &'a Answer) -> Result<&'a [u8]> {
    let refused = |hint| {
        let status = answer.status();
        let e = asked.error(Kind::Denied, format!("HTTP status {status}"));
        Err(e.hint(hint))
    };
    match answer.status() {
        200 => Ok(answer.body()),
        401 | 403 => refused(NO_ACCESS),
        404 => refused(NO_ROLE),
        _ => Err(asked.refused(answer, None, None, |_| None, &[])),
    }
}

/// The token that the other questions carry.
fn token(asked: &Question<'_>, answer: &Answer) -> Result<Zeroizing<String>> {
    let body = match answer.status() {
        // A role is no matter here: this is another service.
        404 => return Err(asked.odd_answer("HTTP status 404")),
        _ => body(asked, answer)?,
    };
    let token = one_line(asked, body)?;
    Text::Token.check(token, format_args!("the token of {SERVICE}"))?;
    Ok(Zeroizing::new(token.into()))
}

/// The name of the role that is attached.
pub(super) fn role_name(asked: &Question<'_>, answer: &Answer) -> Result<String> {
    let name = one_line(asked, body(asked, answer)?)?;
    match Text::RoleName.fault(name) {
        None => Ok(name.into()),
        Some(fault) => Err(asked.odd_answer(&format!("a role's name that {fault}"))),
    }
}

fn one_line<'a>(asked: &Question<'_>, body: &'a [u8]) -> Result<&'a str> {
    let text = std::str::from_utf8(body).map(|text| text.trim_end_matches('\n'));
    text.map_err(|_| asked.odd_answer("something that is not text"))
}

/// The credentials of an answer. `token` is what the question carried.
pub(super) fn of_role(asked: &Question<'_>, answer: &Answer, token: &str) -> Result<Credentials> {
    body(asked, answer)?;
    let members = answer::members(asked, answer, |_| None, |_| false, &[token])?;
    match text(&members, "Code") {
        Some("Success") => answer::credentials(asked, &members),
        Some(code) => {
            let row = |_: &Refusal<'_>| Some((Kind::Denied, NO_TRUST));
            Err(asked.refused(answer, Some(code), None, row, &[token]))
        }
        None => Err(asked.odd_answer("no credentials")),
    }
}
