//! The JSON reader: `component_keyring_ward.cnf`.

use super::keks::{MAX_KEKS, RawKek};
use super::options::unknown;
use super::{Layer, OP, OPTIONS, ValueKind, find_option};
use crate::error::{Error, Kind, Result};
use crate::kek::drivers::provider_of_name;
use crate::text::shorten;
use serde_json::Value;

/// Largest configuration file in bytes.
pub const MAX_CONFIG: u64 = 65_536;

/// What one JSON file says.
#[derive(Debug)]
pub struct Document {
    /// The options in it.
    pub layer: Layer,
    /// `"read_local_config": true` stands in it.
    pub read_local_config: bool,
}

/// Reads one JSON text. `origin` names it in messages.
///
/// # Errors
/// Config: not JSON, not an object, an unknown name, a value of the wrong type.
pub fn parse(text: &[u8], origin: &str) -> Result<Document> {
    let bad = |why: String| Error::new(Kind::Config, OP, format!("{why} (in {origin})"));
    let value = crate::json::parse(text).map_err(|e| {
        bad(format!("it is not valid JSON: {e}")).hint(
            "Correct it, then reload the keyring (docs/reference/tool.md) or restart the server.",
        )
    })?;
    let Value::Object(members) = value else {
        return Err(
            bad("it is not a JSON object".into()).hint("Start the file with { and end it with }.")
        );
    };
    let mut document = Document {
        layer: Layer::from_origin(origin),
        read_local_config: false,
    };
    for (name, value) in &members {
        if name == "keks" && value.is_array() {
            document.layer.set_keks(read_keks(value, origin)?);
        } else if name == "read_local_config" {
            document.read_local_config = value
                .as_bool()
                .ok_or_else(|| bad("read_local_config is neither true nor false".into()))?;
        } else if let Value::Object(inner) = value
            && OPTIONS.iter().any(|o| o.json.0 == Some(name))
        {
            for (member, value) in inner {
                read_member(&mut document.layer, (Some(name), member), value, origin)?;
            }
        } else {
            read_member(&mut document.layer, (None, name), value, origin)?;
        }
    }
    Ok(document)
}

/// The list of KEKs.
fn read_keks(value: &Value, origin: &str) -> Result<Vec<RawKek>> {
    let bad = |why: String, hint: &str| {
        Err(Error::new(Kind::Config, OP, format!("{why} (in {origin})")).hint(hint))
    };
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=MAX_KEKS).contains(&items.len()) {
        let why = format!(
            "{} KEKs are configured, 1 to {MAX_KEKS} may be",
            items.len()
        );
        return bad(why, "Correct the list keks.");
    }
    let mut keks = Vec::new();
    for item in items {
        let Some(Value::String(name)) = item.get("name") else {
            let hint =
                "Each is an object: {\"name\": …, \"provider\": …, and the provider's options}.";
            return bad("a KEK of keks has no name".into(), hint);
        };
        let mut kek = RawKek {
            name: name.clone(),
            values: Vec::new(),
            origin: origin.into(),
        };
        let members = item.as_object().into_iter().flatten();
        for (member, value) in members.filter(|(member, _)| *member != "name") {
            let Some(text) = text_of(&kek_member_kind(member, item), value) else {
                let why = format!(
                    "the value of '{}', of the KEK '{}', has a wrong type",
                    shorten(member),
                    shorten(name)
                );
                return bad(
                    why,
                    "Write texts in quotes, numbers, true and false without.",
                );
            };
            kek.set(member, text);
        }
        keks.push(kek);
    }
    Ok(keks)
}

/// What a member of a KEK takes. One that is not known is a text: its name is what is wrong with it.
fn kek_member_kind(member: &str, kek: &Value) -> ValueKind {
    let provider = kek.get("provider").and_then(Value::as_str);
    let options = provider
        .and_then(provider_of_name)
        .map_or(&[][..], |d| d.options);
    let option = options.iter().find(|option| option.json.1 == member);
    option.map_or(ValueKind::Text, |option| option.kind)
}

/// A value as text; `None`: it is of another type.
fn text_of(kind: &ValueKind, value: &Value) -> Option<String> {
    match (kind, value) {
        (ValueKind::Text | ValueKind::List, Value::String(text)) => Some(text.clone()),
        (ValueKind::List, Value::Array(items)) => list(items),
        (ValueKind::Bool, Value::Bool(flag)) => Some(flag.to_string()),
        (ValueKind::Number, Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// Several values: a list of strings, or one string in which commas separate them.
fn list(items: &[Value]) -> Option<String> {
    let texts = items.iter().map(|item| {
        let text = item.as_str().map(str::trim);
        text.filter(|t| !t.is_empty() && !t.contains(','))
    });
    Some(texts.collect::<Option<Vec<_>>>()?.join(","))
}

fn read_member(
    layer: &mut Layer,
    at: (Option<&str>, &str),
    value: &Value,
    origin: &str,
) -> Result<()> {
    let Some(index) = find_option(|o| o.json == at) else {
        let known = OPTIONS
            .iter()
            .filter(|o| o.json.0 == at.0)
            .map(|o| o.json.1);
        let e = unknown(at.1, origin, known);
        // An option of a section that stands outside of it.
        return Err(
            match find_option(|o| at.0.is_none() && o.json.0.is_some() && o.json.1 == at.1) {
                Some(i) => e.hint(format!(
                    "Put it into \"{}\".",
                    OPTIONS[i].json.0.unwrap_or_default()
                )),
                None => e,
            },
        );
    };
    let text = match (OPTIONS[index].kind, value) {
        (kind, value) if text_of(&kind, value).is_some() => {
            text_of(&kind, value).unwrap_or_default()
        }
        (ValueKind::List, Value::Array(_)) => {
            let why = format!(
                "'{}' is not a list of strings without commas (in {origin})",
                at.1
            );
            return Err(Error::new(Kind::Config, OP, why));
        }
        (kind, _) => {
            let wanted = match kind {
                ValueKind::Text | ValueKind::List => "a string in quotes",
                ValueKind::Bool => "true or false",
                ValueKind::Number => "a number",
            };
            return Err(Error::new(
                Kind::Config,
                OP,
                format!("the value of '{}' is not {wanted} (in {origin})", at.1),
            ));
        }
    };
    layer.set(index, text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_form() {
        let d = parse(
            br#"{ "backend": "file", "path": "/k/f", "read_only": true, "file": { "key_file": "credential:kek" } }"#,
            "f",
        )
        .unwrap();
        assert!(!d.read_local_config);
        let config = d.layer.finish().unwrap();
        assert!(config.read_only);
        assert_eq!(
            config.keks,
            crate::kek::file::LocalConfig::KeyFile(crate::secret_source::SecretRef::Credential(
                "kek".into()
            ))
            .into()
        );
    }

    #[test]
    fn lists() {
        let read = |list: &str| {
            let text = format!(
                r#"{{ "backend": "file", "path": "/k/f", "file": {{ "key_file": "/x" }}, "fingerprint": {list} }}"#
            );
            parse(text.as_bytes(), "f")
                .and_then(|d| d.layer.finish())
                .map(|c| c.fingerprint)
        };
        let (a, b) = ("00".repeat(16), "ab".repeat(16));
        for two in [format!(r#"["{a}", "{b}"]"#), format!(r#""{a}, {b}""#)] {
            assert_eq!(read(&two).unwrap(), [[0; 16], [0xab; 16]]);
        }
        assert_eq!(read(&format!(r#"["{a}"]"#)).unwrap(), [[0; 16]]);
        for none in ["[]", r#""""#] {
            assert!(read(none).unwrap().is_empty());
        }
        for bad in [
            r#"[1]"#.into(),
            format!(r#"["{a},{b}"]"#),
            r#"[""]"#.into(),
            format!(r#"[["{a}"]]"#),
        ] {
            assert!(
                read(&bad)
                    .unwrap_err()
                    .to_string()
                    .contains("not a list of strings"),
                "{bad}"
            );
        }
        let many = vec![format!(r#""{a}""#); 17].join(",");
        assert!(
            read(&format!("[{many}]"))
                .unwrap_err()
                .to_string()
                .contains("at most 16")
        );
    }

    #[test]
    fn mistakes() {
        for (text, sentence) in [
            ("", "not valid JSON"),
            ("{", "not valid JSON"),
            ("[]", "not a JSON object"),
            (r#"{"pth":"/x"}"#, "Did you mean 'path'?"),
            (r#"{"file":{"keyfile":"/x"}}"#, "Did you mean 'key_file'?"),
            (r#"{"file":"/x"}"#, "'file' is not an option"),
            (r#"{"key_file":"/x"}"#, "Put it into \"file\"."),
            (r#"{"pin_file":"/x"}"#, "Put it into \"pkcs11\"."),
            (r#"{"path":1}"#, "not a string"),
            (r#"{"path":{}}"#, "not a string"),
            (r#"{"read_only":"yes"}"#, "not true or false"),
            (r#"{"timeout":"5"}"#, "not a number"),
            (r#"{"pkcs11":{"pin":"1234"}}"#, "'pin' is not an option"),
            (r#"{"path":"/x","path":"/y"}"#, "\"path\" stands twice"),
            (
                r#"{"file":{"key_file":"/x","key_file":"/x"}}"#,
                "\"key_file\" stands twice",
            ),
            (
                r#"{"read_local_config":true,"read_local_config":false}"#,
                "stands twice",
            ),
            (r#"{"read_local_config":1}"#, "neither true nor false"),
        ] {
            let message = parse(text.as_bytes(), "f").unwrap_err().to_string();
            assert!(message.contains(sentence), "{text}: {message}");
        }
        let deep = "[".repeat(60_000);
        assert!(parse(deep.as_bytes(), "f").is_err());
    }
}
