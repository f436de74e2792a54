//! The options of a logical key, as a SQL function takes them: JSON.
//!
//! Owns their names, which are those of the answers. It must never pass over a name that it does not know.

use crate::admin::keys::Settings;
use crate::error::{Error, Kind, Result};
use crate::keyring::adopting::{Adopting, id_of_text};
use crate::keyring::logical::Wanted;
use serde_json::{Map, Value};

const OP: &str = "read the options of the key";
/// What there is; the last two for a key that is adopted.
const NAMES: [&str; 7] = [
    "follow",
    "rotate_every",
    "environment",
    "description",
    "expires",
    "id",
    "versions",
];

fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, OP, why.into()).hint(
        "Nothing was changed. Options are a JSON object, e.g. '{\"follow\": true, \"rotate_every\": 90, \"environment\": \"test\", \
         \"description\": \"text\", \"expires\": \"2030-01-31\"}'.",
    )
}

/// Reads the options; `now` as seconds since 1970: a key's time is not over before it begins.
///
/// # Errors
/// InvalidInput: it is no JSON object, or has a member that is unknown or of another type.
pub(super) fn settings(text: &str, now: i64) -> Result<Settings> {
    read(&members(text)?, now)
}

/// Reads the options of a key that is adopted: beside the settings its `id` and whether `versions` are, too.
///
/// # Errors
/// As [`settings`].
pub(super) fn adopting(text: &str, now: i64) -> Result<Adopting> {
    let mut members = members(text)?;
    let id = members.remove("id");
    let id = id.map(|id| id_of_text(id.as_str().unwrap_or_default()));
    let versions = members.remove("versions").unwrap_or(Value::Bool(false));
    Ok(Adopting {
        id: id.transpose()?,
        versions: (versions.as_bool()).ok_or_else(|| bad("versions is true or false"))?,
        wanted: wanted(read(&members, now)?),
    })
}

fn members(text: &str) -> Result<Map<String, Value>> {
    let parsed = crate::json::parse(text.as_bytes());
    match parsed.map_err(|e| bad(format!("they are no JSON: {e}")))? {
        Value::Object(members) => Ok(members),
        _ => Err(bad("they are no JSON object")),
    }
}

fn read(members: &Map<String, Value>, now: i64) -> Result<Settings> {
    let mut settings = Settings::default();
    for (name, value) in members {
        match &**name {
            "follow" => {
                let follow = value.as_bool();
                settings.follow = Some(follow.ok_or_else(|| bad("follow is true or false"))?);
            }
            "rotate_every" => {
                let days = value.as_u64().and_then(|days| u16::try_from(days).ok());
                let days = days
                    .ok_or_else(|| bad("rotate_every is a number of days, 1 to 65535; 0: never"))?;
                settings.rotate_every = Some(days);
            }
            "environment" => settings.environment = Some(string(name, value)?),
            "description" => settings.description = Some(string(name, value)?),
            "expires" => settings.expires = Some(time(value, now)?),
            "id" | "versions" => {
                return Err(bad(format!(
                    "{name} is an option of keyring_ward_key_adopt() alone: a key keeps its id, and a new one's material opens no \
                     value that was sealed before"
                )));
            }
            unknown => {
                let why = format!("there is no option {unknown:?}");
                return Err(match crate::text::nearest(unknown, NAMES.into_iter()) {
                    Some(meant) => bad(format!("{why}: do you mean {meant:?}?")),
                    None => bad(why),
                });
            }
        }
    }
    Ok(settings)
}

fn string(name: &str, value: &Value) -> Result<String> {
    let text = value.as_str();
    text.map(String::from)
        .ok_or_else(|| bad(format!("{name} is text")))
}

/// A time as the tool takes it (`30d`, `2030-01-31`, RFC 3339), or as seconds since 1970.
fn time(value: &Value, now: i64) -> Result<i64> {
    let at = match value {
        Value::String(text) => crate::text::moment(text, now),
        other => other.as_i64(),
    };
    match at {
        Some(at) if at > now => Ok(at),
        Some(_) => Err(bad("expires lies in the past")),
        None => Err(bad(
            "expires is a time: \"30d\", \"2030-01-31\", \"2030-01-31T12:00:00Z\", or seconds since 1970",
        )),
    }
}

/// What a new logical key is to be.
pub(super) fn wanted(settings: Settings) -> Wanted {
    Wanted {
        follow: settings.follow.unwrap_or(false),
        rotate_every: settings.rotate_every.filter(|days| *days > 0),
        expires: settings.expires,
        environment: settings.environment.unwrap_or_default(),
        description: settings.description.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adopted_key_has_an_id_and_versions() {
        let id = "00112233445566778899aAbBcCdDeEfF";
        let how = adopting(
            &format!(r#"{{"id": "{id}", "versions": true, "environment": "test"}}"#),
            0,
        );
        let how = how.unwrap();
        assert_eq!(crate::text::hex(&how.id.unwrap()), id.to_lowercase());
        assert!(how.versions && how.wanted.environment == "test");
        let how = adopting("{}", 0).unwrap();
        assert!(how.id.is_none() && !how.versions);
        for (text, why) in [
            (r#"{"id": "00112233"}"#, "32 hexadecimal digits"),
            (r#"{"id": "00112233445566778899aabbccddeeff00"}"#, "32 hex"),
            (r#"{"id": "00112233445566778899aabbccddeefg"}"#, "32 hex"),
            (r#"{"id": 7}"#, "32 hexadecimal digits"),
            (r#"{"id": null}"#, "32 hexadecimal digits"),
            (r#"{"versions": 1}"#, "true or false"),
            (r#"{"version": true}"#, r#"do you mean "versions"?"#),
        ] {
            let said = adopting(text, 5).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
        for text in [r#"{"id": "0"}"#, r#"{"versions": true}"#] {
            let said = settings(text, 5).unwrap_err().to_string();
            assert!(said.contains("key_adopt() alone"), "{text}: {said}");
        }
    }

    #[test]
    fn options_are_read_strictly() {
        let all = r#"{"follow": true, "rotate_every": 90, "environment": "test", "description": "d", "expires": "1970-01-01T00:01:40Z"}"#;
        let read = wanted(settings(all, 99).unwrap());
        assert!(read.follow && read.rotate_every == Some(90) && read.expires == Some(100));
        assert_eq!((&*read.environment, &*read.description), ("test", "d"));
        let none = settings("{}", 0).unwrap();
        assert!(none.follow.is_none() && none.expires.is_none());
        assert_eq!(
            wanted(settings(r#"{"rotate_every": 0}"#, 0).unwrap()).rotate_every,
            None
        );
        assert_eq!(settings(r#"{"expires": 7}"#, 6).unwrap().expires, Some(7));
        let day = settings(r#"{"expires": "1d"}"#, 6).unwrap();
        assert_eq!(day.expires, Some(86_406));
        for (text, why) in [
            ("", "no JSON"),
            ("[]", "no JSON object"),
            (r#"{"folow": true}"#, r#"do you mean "follow"?"#),
            (r#"{"follow": 1}"#, "true or false"),
            (r#"{"follow": true, "follow": false}"#, "follow"),
            (r#"{"rotate_every": 65536}"#, "number of days"),
            (r#"{"rotate_every": "90"}"#, "number of days"),
            (r#"{"environment": 1}"#, "environment is text"),
            (r#"{"expires": "tomorrow"}"#, "is a time"),
            (r#"{"expires": 5}"#, "in the past"),
        ] {
            let said = settings(text, 5).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
