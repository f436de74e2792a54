//! The file of component_keyring_file: JSON with the material in hexadecimal, in clear text. What [`crate::admin::export`] wrote of
//! versions of logical keys is taken in; what others wrote as `extension` is passed over, as MySQL's component does.

use super::{Found, OP};
use crate::admin::export::OURS;
use crate::error::{Error, Kind, Result};
use crate::key::extensions::{Extensions, INDEX, MAX_EXTENSIONS, VERSION};
use crate::secret::SecretPool;
use crate::text::from_hex;
use serde_json::Value;

/// Reads the keys.
///
/// # Errors
/// InvalidInput: not such a file, or a key outside our limits.
pub fn parse(bytes: &[u8], pool: &SecretPool) -> Result<Vec<Found>> {
    let bad = |why: String| {
        Error::new(Kind::InvalidInput, OP, why)
            .hint("Name the file that \"path\" in component_keyring_file.cnf names, whole and from a stopped server.")
    };
    let mut keys = Vec::new();
    let mut failure = None;
    let mut i = 0;
    // One element after the other: as a tree a million of them would take a gigabyte. The reader's errors name line and
    // column, not content.
    let whole = crate::json::parse_items(bytes, "elements", &mut |element| {
        if failure.is_none() {
            match key(i, &element, pool, &bad) {
                Ok(key) => keys.push(key),
                Err(e) => failure = Some(e),
            }
        }
        i += 1;
    })
    .map_err(|e| bad(format!("it is not valid JSON: {e}")))?;
    match whole.get("version").and_then(Value::as_str) {
        Some("1.0") => {}
        Some(other) => {
            return Err(bad(format!(
                "its version is '{}', not 1.0",
                other
                    .chars()
                    .take(20)
                    .flat_map(char::escape_debug)
                    .collect::<String>()
            )));
        }
        None => {
            return Err(bad(
                "it has no version: not a file of component_keyring_file".into(),
            ));
        }
    }
    if !whole.get("elements").is_some_and(Value::is_array) {
        return Err(bad("it has no elements".into()));
    }
    match failure {
        Some(e) => Err(e),
        None => Ok(keys),
    }
}

/// The key in element `i`.
fn key(
    i: usize,
    element: &Value,
    pool: &SecretPool,
    bad: &dyn Fn(String) -> Error,
) -> Result<Found> {
    let text = |name: &str| {
        element
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| bad(format!("element {i} has no {name}")))
    };
    let data = text("data")?.as_bytes();
    let digits = |pair: &[u8]| {
        let digit = |b: u8| char::from(b).to_digit(16);
        Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)
    };
    let mut material = pool.zeroed(data.len() / 2)?;
    let whole = data.len() % 2 == 0;
    for (to, pair) in material.iter_mut().zip(data.chunks_exact(2)) {
        *to = digits(pair)
            .ok_or_else(|| bad(format!("the data of element {i} is not hexadecimal")))?;
    }
    if !whole {
        return Err(bad(format!("the data of element {i} is cut off")));
    }
    let found = Found::new(
        text("data_id")?.as_bytes(),
        text("user")?.as_bytes(),
        text("data_type")?.as_bytes(),
        material,
    )?;
    let extensions = extensions(element).ok_or_else(|| {
        bad(format!(
            "the extension {OURS} of element {i} breaks its rules"
        ))
    })?;
    Ok(Found {
        extensions,
        ..found
    })
}

/// What we have said of the key; `None`: it is not what we would say.
fn extensions(element: &Value) -> Option<Extensions> {
    let all = element.get("extension").and_then(Value::as_array);
    let Some(ours) = all.into_iter().flatten().find_map(|one| one.get(OURS)) else {
        return Some(Extensions::default());
    };
    let bytes = |name| from_hex(ours.get(name)?.as_str()?, MAX_EXTENSIONS);
    let index = match ours.get("index") {
        None | Some(Value::Null) => None,
        Some(_) => Some((INDEX, bytes("index")?)),
    };
    Extensions::new([(VERSION, bytes("version")?)].into_iter().chain(index)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_should_and_names_what_it_can_not() {
        let pool = SecretPool::new();
        let good = br#"{"version":"1.0","elements":[{"user":"u@h","data_id":"k","data_type":"AES","data":"00FFa5","extension":[]}]}"#;
        let keys = parse(good, &pool).unwrap();
        assert_eq!(
            (keys.len(), &keys[0].material[..]),
            (1, &[0, 255, 0xa5][..])
        );
        assert_eq!(
            (keys[0].id.name(), keys[0].id.owner()),
            (&b"k"[..], &b"u@h"[..])
        );
        assert!(
            parse(br#"{"version":"1.0","elements":[]}"#, &pool)
                .unwrap()
                .is_empty()
        );
        for (text, words) in [
            ("{", "not valid JSON"),
            ("{}", "no version"),
            (r#"{"version":"2.0","elements":[]}"#, "version is '2.0'"),
            (r#"{"version":"1.0"}"#, "no elements"),
            (
                r#"{"version":"1.0","elements":[],"elements":[]}"#,
                "\"elements\" stands twice",
            ),
            (
                r#"{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"AES","data":"00","data":"01"}]}"#,
                "\"data\" stands twice",
            ),
            (
                r#"{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"AES"}]}"#,
                "has no data",
            ),
            (
                r#"{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"AES","data":"0"}]}"#,
                "cut off",
            ),
            (
                r#"{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"AES","data":"zz"}]}"#,
                "not hexadecimal",
            ),
            (
                r#"{"version":"1.0","elements":[{"user":"","data_id":"","data_type":"AES","data":"00"}]}"#,
                "the name is empty",
            ),
            (
                r#"{"version":"1.0","elements":[{"user":"","data_id":"k","data_type":"DES","data":"00"}]}"#,
                "not a type of key",
            ),
        ] {
            let error = parse(text.as_bytes(), &pool).err().unwrap();
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn an_extension_is_ours_or_passed_over() {
        let with = |extension: &str| {
            let text = format!(
                r#"{{"version":"1.0","elements":[{{"user":"u@h","data_id":"k@1","data_type":"AES","data":"00","extension":{extension}}}]}}"#
            );
            parse(text.as_bytes(), &SecretPool::new()).map(|keys| keys[0].extensions.clone())
        };
        for others in ["[]", r#"[{"other": 1}, 7, "x"]"#, "{}", "null"] {
            assert!(with(others).unwrap().is_empty(), "{others}");
        }
        for bad in [
            "1",
            "{}",
            r#"{"version": 1}"#,
            r#"{"version": "0102"}"#,
            r#"{"version": "zz"}"#,
            r#"{"index": "00"}"#,
        ] {
            let error = with(&format!(r#"[{{"keyring_ward": {bad}}}]"#)).unwrap_err();
            assert!(error.to_string().contains("breaks its rules"), "{bad}");
            assert_eq!(error.kind(), Kind::InvalidInput);
        }
    }
}
