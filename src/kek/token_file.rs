//! Files with a token that somebody else renews: a web identity's, a pod's.
//!
//! Owns their reading. Such files belong to root and lie behind links (Kubernetes' projected volumes), often readable
//! for all: who may read them is the cluster's decision. It must never take more than one line, or one member of JSON.

use crate::error::{Error, Kind, Result};
use crate::os::file;
use crate::os::trusted::{self, Rule};
use crate::text::clean;
use serde_json::Value;
use std::path::Path;
use zeroize::Zeroizing;

const OP: &str = "read the token file";
/// Largest file in bytes.
const MAX_TOKEN: u64 = 65_536;

/// The token in `path`, which `named` (a variable, a file and line) names. One line end after it is dropped.
pub(super) fn read(path: &str, named: &str) -> Result<Zeroizing<String>> {
    let bytes = content(path, named)?;
    let bad = |why| unfit(path, named, why);
    let text = std::str::from_utf8(&bytes).map_err(|_| bad("is not text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    match text {
        "" => Err(bad("is empty")),
        text if text.contains(['\n', '\r']) => {
            Err(bad("has more than one line, or Windows line ends"))
        }
        text => Ok(Zeroizing::new(text.to_string())),
    }
}

/// The token that is the member `member` of the JSON object in `path`.
pub(super) fn read_member(path: &str, named: &str, member: &str) -> Result<Zeroizing<String>> {
    let bytes = content(path, named)?;
    let token = match crate::json::parse(&bytes) {
        Ok(Value::Object(mut members)) => members.remove(member),
        _ => return Err(unfit(path, named, "holds no JSON object")),
    };
    match token {
        Some(Value::String(token)) if !token.is_empty() => Ok(Zeroizing::new(token)),
        _ => {
            let why = format!("has no text as member '{}'", clean(member));
            Err(unfit(path, named, &why))
        }
    }
}

/// What is in the file.
fn content(path: &str, named: &str) -> Result<Zeroizing<Vec<u8>>> {
    if !path.starts_with('/') || path.len() > 4096 || path.chars().any(char::is_control) {
        let why = "is not an absolute path, or has a control character in it";
        return Err(unfit(path, named, why));
    }
    let mut found =
        trusted::open(Path::new(path), Rule::Settings, OP).map_err(|e| e.context(named))?;
    let bytes = file::read_bounded(&mut found.file, MAX_TOKEN)
        .map_err(|e| Error::io(OP, format!("'{path}' ({named})"), e))?;
    Ok(Zeroizing::new(bytes))
}

fn unfit(path: &str, named: &str, why: &str) -> Error {
    let shown = clean(path);
    Error::new(Kind::Config, OP, format!("'{shown}' ({named}) {why}"))
        .hint("It must be an absolute path of a file with the token, alone in one line or as the member of JSON that is named.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_line_in_a_file_that_only_its_owner_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let shown = path.to_str().unwrap();
        let with = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(shown, "AWS_X in the environment")
                .map(|t| t.to_string())
                .map_err(|e| e.to_string())
        };
        assert_eq!(with("tok", 0o644).unwrap(), "tok");
        assert_eq!(with("tok\n", 0o600).unwrap(), "tok");
        for (text, mode, words) in [
            ("", 0o600, "is empty"),
            ("hidden\nb\n", 0o600, "more than one line"),
            ("hidden\r\n", 0o600, "Windows"),
            ("hidden", 0o666, "everybody can write it"),
        ] {
            let e = with(text, mode).unwrap_err();
            assert!(
                e.contains(words) && e.contains(shown) && !e.contains("hidden"),
                "{e}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        let e = read(shown, "AWS_X in the environment")
            .unwrap_err()
            .to_string();
        assert!(
            e.contains(shown) && e.contains("AWS_X in the environment"),
            "{e}"
        );
        assert!(read("token", "x").is_err());
    }

    #[test]
    fn one_member_of_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let shown = path.to_str().unwrap();
        for (text, words) in [
            ("{\n \"a\": 1,\n \"token\": \"tok\"\n}\n", ""),
            ("HIDDEN", "no JSON object"),
            ("[\"HIDDEN\"]", "no JSON object"),
            (
                "{\"token\":\"HIDDEN\",\"token\":\"HIDDEN\"}",
                "no JSON object",
            ),
            ("{\"other\":\"HIDDEN\"}", "no text as member 'token'"),
            ("{\"token\":\"\"}", "no text as member 'token'"),
            ("{\"token\":[\"HIDDEN\"]}", "no text as member 'token'"),
        ] {
            std::fs::write(&path, text).unwrap();
            match read_member(shown, "/f", "token") {
                Ok(token) => assert_eq!((&**token, words), ("tok", "")),
                Err(e) => {
                    let said = e.to_string();
                    assert!(!words.is_empty() && said.contains(words), "{said}");
                    assert!(said.contains(shown) && !said.contains("HIDDEN"), "{said}");
                }
            }
        }
    }
}
