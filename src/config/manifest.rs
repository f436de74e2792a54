//! The server's manifest (`mysqld.my`), read as the server reads it: which components it loads at start.
//!
//! Owns nothing of ours: it must never write one. What the server makes of each form was measured on 9.7.4: the
//! local manifest counts only where the global one says `read_local_manifest`, and then instead of it; a file that is
//! empty or can't be opened is none; anything else that is not as expected ends the start.

use crate::os::file;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Largest manifest that is looked at, in bytes.
const MAX_MANIFEST: u64 = 65_536;

/// What the server takes from its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manifest {
    /// Where the server's executable is, is not known.
    NotFound,
    /// No component is loaded, and why.
    Nothing(String),
    /// These components are loaded, in this order.
    Components {
        /// The manifest that counts.
        path: PathBuf,
        /// Their names, without `file://`.
        names: Vec<String>,
    },
    /// The server does not start.
    Broken {
        /// The manifest that is at fault.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The manifest's name beside a server's executable.
pub fn path_beside(mysqld: &Path) -> PathBuf {
    file::beside(mysqld, ".my")
}

/// Reads the manifest that counts for this executable and this data directory.
pub fn read(mysqld: Option<&Path>, data_dir: Option<&Path>) -> Manifest {
    let Some(mysqld) = mysqld else {
        return Manifest::NotFound;
    };
    let global = path_beside(mysqld);
    let (local, found) = read_one(&global, true);
    if !local {
        return found;
    }
    // The server looks for the name of its own manifest there.
    match data_dir.zip(global.file_name()) {
        Some((dir, name)) => match read_one(&dir.join(name), false).1 {
            Manifest::Nothing(why) => Manifest::Nothing(format!(
                "'{}' says read_local_manifest, and {why}",
                global.display()
            )),
            found => found,
        },
        None => Manifest::Nothing(format!(
            "'{}' says read_local_manifest, and no data directory is known",
            global.display()
        )),
    }
}

/// Whether the local one counts instead (which only the global one can say), and what this one says.
fn read_one(path: &Path, global: bool) -> (bool, Manifest) {
    let shown = path.display();
    let broken = |why: String| {
        let path = path.to_path_buf();
        (false, Manifest::Broken { path, why })
    };
    let nothing = |why: String| (false, Manifest::Nothing(why));
    let text = match file::open_following(path) {
        Ok((mut file, _)) => match file::read_bounded(&mut file, MAX_MANIFEST) {
            Ok(text) => text,
            Err(e) => return broken(e.to_string()),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return nothing(format!("'{shown}' does not exist"));
        }
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            return nothing(format!(
                "'{shown}' can't be read, which the server takes for none: {e}"
            ));
        }
        Err(e) => return broken(e.to_string()),
    };
    if text.is_empty() {
        return nothing(format!("'{shown}' is empty"));
    }
    let value: Value = match serde_json::from_slice(&text) {
        Ok(value) => value,
        Err(e) => return broken(format!("it is not valid JSON: {e}")),
    };
    let Value::Object(members) = value else {
        return broken("it is not a JSON object".into());
    };
    match members.get("read_local_manifest") {
        Some(Value::Bool(true)) if global => return (true, Manifest::NotFound),
        None | Some(Value::Bool(_)) => {}
        Some(_) => return broken("read_local_manifest is neither true nor false".into()),
    }
    match members.get("components") {
        Some(Value::String(list)) => match names(list) {
            Ok(names) if names.is_empty() => nothing(format!("'{shown}' names no component")),
            Ok(names) => {
                let path = path.to_path_buf();
                (false, Manifest::Components { path, names })
            }
            Err(why) => broken(why),
        },
        Some(_) => broken("components is not a text".into()),
        None => broken("it has no member components".into()),
    }
}

/// The names in a list of URNs that are separated by commas, without a blank anywhere.
fn names(list: &str) -> Result<Vec<String>, String> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    list.split(',')
        .map(|urn| match urn.strip_prefix("file://") {
            Some(name) if !name.is_empty() && !name.contains(['/', ' ', '\t']) => Ok(name.into()),
            _ => Err(format!("'{}' is not file://NAME", urn.escape_debug())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each form as a server of 9.7.4 took it.
    #[test]
    fn as_the_server_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mysqld = dir.path().join("mysqld");
        let said = |global: &str, local: Option<&str>| {
            std::fs::write(path_beside(&mysqld), global).unwrap();
            let _ = std::fs::remove_file(data.join("mysqld.my"));
            if let Some(text) = local {
                std::fs::write(data.join("mysqld.my"), text).unwrap();
            }
            match read(Some(&mysqld), Some(&data)) {
                Manifest::Components { names, .. } => names.join(","),
                Manifest::Nothing(_) => "nothing".into(),
                Manifest::Broken { .. } => "broken".into(),
                Manifest::NotFound => "?".into(),
            }
        };
        let one = r#"{"components": "file://a"}"#;
        for (global, local, expected) in [
            (one, None, "a"),
            (
                r#"{"read_local_manifest": false, "components": "file://a", "x": 1}"#,
                None,
                "a",
            ),
            (r#"{"components": "file://a,file://b"}"#, None, "a,b"),
            (
                r#"{"read_local_manifest": true, "components": "file://b"}"#,
                None,
                "nothing",
            ),
            (r#"{"read_local_manifest": true}"#, Some(one), "a"),
            (
                r#"{"read_local_manifest": true}"#,
                Some(r#"{"read_local_manifest": true, "components": "file://a"}"#),
                "a",
            ),
            (
                r#"{"read_local_manifest": true}"#,
                Some(r#"{"components": 1}"#),
                "broken",
            ),
            (r#"{"components": ""}"#, None, "nothing"),
            ("", None, "nothing"),
            ("{}", None, "broken"),
            (r#"{"Components": "file://a"}"#, None, "broken"),
            (r#"{"components": "file://a"} x"#, None, "broken"),
            (r#"{"components": "a"}"#, None, "broken"),
            (r#"{"components": " file://a"}"#, None, "broken"),
            (r#"{"components": "file://a , file://b"}"#, None, "broken"),
            (r#"{"components": ["file://a"]}"#, None, "broken"),
            (r#"["file://a"]"#, None, "broken"),
            (
                r#"{"components": "file://a", "read_local_manifest": "no"}"#,
                None,
                "broken",
            ),
        ] {
            assert_eq!(said(global, local), expected, "{global} {local:?}");
        }
        assert_eq!(read(None, None), Manifest::NotFound);
        std::fs::remove_file(path_beside(&mysqld)).unwrap();
        assert!(matches!(
            read(Some(&mysqld), None),
            Manifest::Nothing(why) if why.contains("does not exist")
        ));
        std::fs::create_dir(path_beside(&mysqld)).unwrap();
        assert!(matches!(read(Some(&mysqld), None), Manifest::Broken { .. }));
    }
}
