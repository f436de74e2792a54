//! `keyring_ward_keys`: the keys, each by itself, as far as the calling account may see them.
//!
//! Owns its columns. A snapshot holds a reference to each key; a row is made when it is read. It must never look at material.

use super::{Cell, Column, Kind, Rows, always, column, gone};
use crate::error::Result;
use crate::key::logical::DAY;
use crate::key::record::KnownKey;
use crate::mysql::state::LIFECYCLE;
use crate::mysql::udf::access::{Sight, sight};
use crate::mysql::udf::permit::Permit;
use crate::os::unix_seconds;

pub(super) static COLUMNS: [Column; 15] = [
    always("KEY_ID", Kind::Name(1020)),
    always("KEY_OWNER", Kind::Name(1020)),
    always("KEY_TYPE", Kind::Text(16)),
    always("BITS", Kind::Number),
    column("CREATED", Kind::Time),
    column("AGE_DAYS", Kind::Number),
    column("LOGICAL_KEY", Kind::Name(1020)),
    column("VERSION", Kind::Number),
    column("STATE", Kind::Text(16)),
    column("ROTATE_EVERY_DAYS", Kind::Number),
    column("DUE_IN_DAYS", Kind::Number),
    column("EXPIRES", Kind::Time),
    column("DESTROY_AT", Kind::Time),
    column("HELD", Kind::Text(1020)),
    column("BACKEND", Kind::Text(64)),
];

/// The keys as they were when the statement began to read.
struct Keys {
    keys: Vec<KnownKey>,
    backend: &'static str,
    now: i64,
}

pub(super) fn open() -> Result<Box<dyn Rows>> {
    let sight = sight()?;
    let keyring = LIFECYCLE.keyring()?;
    let mut keys = keyring.list();
    if let Sight::Own(owner) = &sight {
        keys.retain(|key| key.id.owner() == owner);
        keys.shrink_to_fit();
    }
    if LIFECYCLE.is_policed() {
        let permit = Permit::ask(false);
        keys.retain(|key| permit.lists(&key.id));
    }
    // The place of a row is the same when a statement looks a second time, unless keys came or went.
    keys.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(Box::new(Keys {
        keys,
        backend: keyring.config().backend(),
        now: unix_seconds(),
    }))
}

/// A name or an owner, which may be any bytes.
fn shown(bytes: &[u8]) -> Cell {
    Cell::Text(match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.into(),
        _ => bytes.escape_ascii().to_string(),
    })
}

impl Rows for Keys {
    fn count(&self) -> usize {
        self.keys.len()
    }

    fn row(&self, at: usize) -> Result<Vec<Cell>> {
        let key = self.keys.get(at).ok_or_else(gone)?;
        let mut row = vec![
            shown(key.id.name()),
            shown(key.id.owner()),
            Cell::text(&*key.key_type),
            Cell::number(key.length() * 8),
            Cell::time(key.created_at),
            Cell::Number(self.now.saturating_sub(key.created_at).max(0) / DAY),
        ];
        let version = LIFECYCLE.keyring()?.version_of(key);
        match version {
            Some((id, number, logical)) => {
                let version = logical.version(number);
                let is_current = logical.current().is_some_and(|c| c.number == number);
                let due = logical.due_in_days(self.now).filter(|_| is_current);
                row.extend([
                    shown(id.name()),
                    Cell::Number(number.into()),
                    Cell::of(version, |v| Cell::text(v.state.name())),
                    Cell::of(logical.rotate_every, |days| Cell::Number(days.into())),
                    Cell::of(due, Cell::Number),
                    Cell::of(logical.expires, Cell::time),
                    Cell::of(version.and_then(|v| v.destroy_at), Cell::time),
                    Cell::of(logical.held, Cell::Text),
                ]);
            }
            None => row.extend(std::iter::repeat_n(Cell::Null, 8)),
        }
        row.push(Cell::text(self.backend));
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_bytes_is_a_text() {
        assert_eq!(shown("clé".as_bytes()), Cell::text("clé"));
        assert_eq!(shown(b"a\xFF"), Cell::text("a\\xff"));
        assert_eq!(shown(b"a\nb"), Cell::text("a\\nb"));
    }
}
