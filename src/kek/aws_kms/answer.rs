//! Credentials as a program or a service on this machine gives them: one JSON object.
//!
//! Owns its reading, and the making of credentials from checked texts. It must never show a value of it.

use super::credentials::Credentials;
use super::names::Text;
use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value};
use std::fmt::Display;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const OP: &str = "use the AWS credentials";

/// How the members are called, and what else is asked of them.
pub(super) struct Names {
    id: &'static str,
    secret: &'static str,
    token: &'static str,
    /// `Version` must be 1.
    versioned: bool,
    /// Credentials that have expired are an error. An instance's are not: its service gives them beyond that time
    /// when it can't get others, and AWS takes them.
    may_expire: bool,
}

impl Names {
    /// A credential process.
    pub(super) const PROCESS: Names = Names {
        id: "AccessKeyId",
        secret: "SecretAccessKey",
        token: "SessionToken",
        versioned: true,
        may_expire: true,
    };
    /// A container's credentials.
    pub(super) const CONTAINER: Names = Names {
        token: "Token",
        versioned: false,
        ..Names::PROCESS
    };
    /// An instance's.
    pub(super) const INSTANCE: Names = Names {
        may_expire: false,
        ..Names::CONTAINER
    };
}

/// Reads credentials. `whose` names where they come from: "the output of …".
pub(super) fn read(bytes: &[u8], names: &Names, whose: &str) -> Result<Credentials> {
    let bad = |why: String| {
        Error::new(Kind::Config, OP, format!("{whose} {why}")).hint(
            "It must be one JSON object with AccessKeyId, SecretAccessKey and what else docs/guide/aws-kms.md names. It is not shown, because secrets are in it.",
        )
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(bad("is empty".into()));
    }
    let value = crate::json::parse(bytes).map_err(|e| match e.is_data() {
        true => bad("has a member twice".into()),
        false => bad(format!(
            "is not JSON (line {}, column {})",
            e.line(),
            e.column()
        )),
    })?;
    let Value::Object(members) = value else {
        return Err(bad("is not a JSON object".into()));
    };
    if names.versioned && members.get("Version").and_then(Value::as_u64) != Some(1) {
        return Err(bad("has no \"Version\": 1".into()));
    }
    let id = text(&members, names.id)
        .and_then(|t| t.ok_or("is missing"))
        .map_err(|why| bad(format!("is unusable: {} {why}", names.id)))?;
    let secret = text(&members, names.secret)
        .and_then(|t| t.ok_or("is missing"))
        .map_err(|why| bad(format!("is unusable: {} {why}", names.secret)))?;
    let token = text(&members, names.token)
        .map_err(|why| bad(format!("is unusable: {} {why}", names.token)))?;
    let expires = text(&members, "Expiration")
        .map_err(|why| bad(format!("is unusable: Expiration {why}")))?;
    if let Some(expires) = expires {
        let at = OffsetDateTime::parse(expires, &Rfc3339).map_err(|_| {
            bad("is unusable: Expiration is not a time like 2026-01-31T12:00:00Z (RFC 3339)".into())
        })?;
        let at = at.unix_timestamp();
        if names.may_expire && at <= crate::os::unix_seconds() {
            return Err(Error::new(
                Kind::Denied,
                OP,
                format!("{whose} has expired, at {}", crate::text::utc(at)),
            )
            .hint(
                "Renew the credentials where they come from, and check the clock of this machine.",
            ));
        }
    }
    let at = |name: &str| format!("{name} in {whose}");
    make(
        (id, &at(names.id)),
        (secret, &at(names.secret)),
        token
            .map(|t| (t, at(names.token)))
            .as_ref()
            .map(|(t, at)| (*t, at as &dyn Display)),
    )
}

/// A member that is a text.
fn text<'a>(
    members: &'a Map<String, Value>,
    name: &str,
) -> std::result::Result<Option<&'a str>, &'static str> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("is not a text"),
    }
}

/// Credentials from texts, each with its place.
pub(super) fn make(
    id: (&str, &dyn Display),
    secret: (&str, &dyn Display),
    token: Option<(&str, &dyn Display)>,
) -> Result<Credentials> {
    Text::AccessKeyId.check(id.0, id.1)?;
    Text::SecretKey.check(secret.0, secret.1)?;
    if let Some((token, place)) = token {
        Text::Token.check(token, place)?;
    }
    Ok(Credentials::new(
        id.0,
        secret.0,
        token.map(|(token, _)| token),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"hidden","SessionToken":"tok","Expiration":"2099-01-01T00:00:00+02:00","AccountId":"1"}"#;

    #[test]
    fn only_what_is_documented_is_accepted() {
        let of = |text: &str| read(text.as_bytes(), &Names::PROCESS, "the output of x");
        let good = of(GOOD).unwrap();
        assert_eq!(
            (good.access_key_id(), good.session_token()),
            ("AKID", Some("tok"))
        );
        for (from, to, kind, words) in [
            (GOOD, "", Kind::Config, "is empty"),
            (GOOD, "[]", Kind::Config, "not a JSON object"),
            ("}", "} x", Kind::Config, "is not JSON"),
            (
                "}",
                ",\"SessionToken\":\"hidden\"}",
                Kind::Config,
                "has a member twice",
            ),
            (
                "\"Version\":1",
                "\"Version\":2",
                Kind::Config,
                "no \"Version\": 1",
            ),
            (
                "\"Version\":1",
                "\"Version\":\"1\"",
                Kind::Config,
                "no \"Version\": 1",
            ),
            ("\"Version\":1,", "", Kind::Config, "no \"Version\": 1"),
            (
                "AccessKeyId",
                "accesskeyid",
                Kind::Config,
                "AccessKeyId is missing",
            ),
            (
                "SecretAccessKey",
                "Secret",
                Kind::Config,
                "SecretAccessKey is missing",
            ),
            ("\"tok\"", "7", Kind::Config, "SessionToken is not a text"),
            (
                "\"tok\"",
                "\"a\\r\"",
                Kind::Config,
                "SessionToken in the output of x has a carriage return",
            ),
            (
                "AKID",
                "A\\u0000",
                Kind::Config,
                "AccessKeyId in the output of x has a control",
            ),
            (
                "2099-01-01T00:00:00+02:00",
                "tomorrow",
                Kind::Config,
                "RFC 3339",
            ),
            (
                "2099",
                "2020",
                Kind::Denied,
                "has expired, at 2019-12-31T22:00:00Z",
            ),
        ] {
            let e = of(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            assert!(
                e.to_string().contains(words) && !e.to_string().contains("hidden"),
                "{e}"
            );
        }
        let instance = r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"B","Token":"C","Expiration":"2020-01-01T00:00:00Z"}"#;
        assert!(read(instance.as_bytes(), &Names::INSTANCE, "x").is_ok());
        assert!(read(instance.as_bytes(), &Names::CONTAINER, "x").is_err());
    }
}
