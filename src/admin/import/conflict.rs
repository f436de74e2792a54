//! The sentence about keys that are here already with other material.
//!
//! It must never advise to remove a key that something may be under.

use super::OP;
use crate::error::{Error, Kind};
use crate::key::id::KeyId;
use std::path::Path;

/// `conflicts` of `all` keys are in the keyring `path` already with other material.
pub(super) fn error(conflicts: &[&KeyId], all: usize, path: &Path) -> Error {
    const SHOWN: usize = 10;
    let shown: Vec<String> = conflicts
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    let more = if conflicts.len() > SHOWN { ", …" } else { "" };
    let why = format!(
        "{} of {all} keys are here already with other material: {}{more}",
        conflicts.len(),
        shown.join(", ")
    );
    let hint = match conflicts.iter().any(|id| id.owner().is_empty()) {
        true => of_the_server(path),
        false => "Nothing was changed. Both may be needed: never remove one. Import into a keyring of its own.".into(),
    };
    Error::new(Kind::AlreadyExists, OP, why).hint(hint)
}

/// The server has made keys of its own before it was given those of the source.
fn of_the_server(path: &Path) -> String {
    format!(
        "Nothing was changed. Both are needed: tables are under each. Never remove one. The server was started with this \
         keyring before it had the keys of the source. Start it with this keyring again. For every table that was made \
         since then, run: ALTER TABLE … ENCRYPTION='N'. Stop it, and move '{}' away, but keep it. Then run keyring-ward \
         init, this import again, and keyring-ward reset-marker, and start the server (docs/guide/coming-from.md).",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_remove_a_key() {
        let server = KeyId::new(b"INNODBKey-u-1", b"").unwrap();
        let user = KeyId::new(b"INNODBKey-u-1", b"u@h").unwrap();
        let of = |ids: &[&KeyId]| error(ids, 20, Path::new("/k")).to_string();
        for said in [of(&[&server]), of(&[&user, &server])] {
            assert!(said.contains("Never remove one"), "{said}");
            assert!(
                said.contains("reset-marker") && said.contains("'/k'"),
                "{said}"
            );
        }
        let said = of(&[&user; 11]);
        assert!(
            said.contains("11 of 20") && said.contains("never remove one") && said.contains('…'),
            "{said}"
        );
        assert!(!said.contains("reset-marker"), "{said}");
    }
}
