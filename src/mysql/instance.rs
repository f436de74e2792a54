//! Statements ALTER INSTANCE ROTATE: who rotated which master key.
//!
//! Owns what is told of them. The companion component hears of them; it passes on no other statement. It must never quote one.

use super::state::LIFECYCLE;
use super::{identity, log};
use crate::os::unix_seconds;
use crate::text::utc;

/// The word behind ROTATE for each kind of key, and how it is called.
const KINDS: [(&str, &str); 2] = [
    ("INNODB", "InnoDB's master key"),
    ("BINLOG", "the binary log's master key"),
];

/// A statement ALTER INSTANCE of the calling thread has ended. Other ones than a rotation are none of ours.
pub(super) fn altered(query: &str, status: i32) {
    let Some(key) = rotated(query) else {
        return;
    };
    let who = identity::account().map_or_else(
        || "the server".into(),
        |account| format!("'{}'", account.escape_ascii()),
    );
    if status != 0 {
        log::refusal(&format!(
            "{who} tried to rotate {key}: the server refused it with error {status}."
        ));
        return;
    }
    let sentence = format!("{who} rotated {key} at {}.", utc(unix_seconds()));
    log::event(&sentence);
    LIFECYCLE.host.note_rotation(sentence);
}

/// Which key a statement rotates. Comments may stand between the words, and inside of a routine more may stand around them.
fn rotated(query: &str) -> Option<&'static str> {
    let upper = query.to_ascii_uppercase();
    let behind = &upper[upper.find("ROTATE")?..];
    let words = behind.split(|c: char| !c.is_ascii_alphanumeric());
    let kind = |word| KINDS.iter().find(|(name, _)| *name == word);
    words.filter_map(kind).map(|(_, key)| *key).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_found_in_its_statement() {
        let innodb = Some(KINDS[0].1);
        assert_eq!(rotated("ALTER INSTANCE ROTATE INNODB MASTER KEY"), innodb);
        assert_eq!(
            rotated("/* ü */ alter instance\trotate /*x*/ InnoDB master key;"),
            innodb
        );
        assert_eq!(
            rotated("ALTER INSTANCE ROTATE BINLOG MASTER KEY"),
            Some(KINDS[1].1)
        );
        assert_eq!(rotated("ALTER INSTANCE RELOAD KEYRING"), None);
        assert_eq!(rotated("ALTER INSTANCE DISABLE INNODB REDO_LOG"), None);
        assert_eq!(rotated(""), None);
    }
}
