//! Our tables in `performance_schema`: what stands in them.
//!
//! Owns their list, their columns and the snapshot that a statement reads. The companion component registers them and hands their rows
//! to the server. They must never hold key material, nor a row that the calling account may not see.

mod audit;
mod keks;
mod keys;
mod status;

use super::state::LIFECYCLE;
use crate::error::{self, Error, Result};
use crate::text;
use std::ffi::{CStr, CString};
use std::sync::atomic::Ordering;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word or a sentence, of so many characters at the most.
    Text(u16),
    /// A name: capitals are another one.
    Name(u16),
    /// A whole number.
    Number,
    /// A time.
    Time,
}

/// A column.
pub(super) struct Column {
    name: &'static str,
    pub(super) kind: Kind,
    /// A row may have no value in it.
    nullable: bool,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        nullable: true,
    }
}

const fn always(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        nullable: false,
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// None. (The server takes an empty text for none as well.)
    Null,
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A time in UTC, as the server writes it.
    Time(String),
}

impl Cell {
    fn text(text: impl Into<String>) -> Cell {
        Cell::Text(text.into())
    }

    fn number(number: impl TryInto<i64>) -> Cell {
        number.try_into().map_or(Cell::Null, Cell::Number)
    }

    /// Seconds since 1970; what lies outside of the server's years has no value.
    fn time(at: i64) -> Cell {
        let utc = text::utc(at);
        match (utc.strip_suffix('Z'), utc.len()) {
            (Some(text), 20) => Cell::Time(text.replace('T', " ")),
            _ => Cell::Null,
        }
    }

    fn of<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Cell {
        value.map_or(Cell::Null, cell)
    }
}

/// The rows of a table at one moment.
pub(super) trait Rows: Send {
    /// How many there are.
    fn count(&self) -> usize;

    /// One of them, below [`Rows::count`]: a value for each column.
    ///
    /// # Errors
    /// What it is made of is gone.
    fn row(&self, at: usize) -> Result<Vec<Cell>>;
}

/// Rows that are whole already.
struct Made(Vec<Vec<Cell>>);

impl Rows for Made {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn row(&self, at: usize) -> Result<Vec<Cell>> {
        self.0.get(at).cloned().ok_or_else(gone)
    }
}

fn gone() -> Error {
    Error::new(error::Kind::NotFound, "read a table", "the row is gone").expected()
}

/// A table.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static CStr,
    /// Its columns.
    pub(super) columns: &'static [Column],
    /// Its rows, as the calling account may see them.
    pub(super) open: fn() -> Result<Box<dyn Rows>>,
    /// How many rows it has, roughly.
    pub(super) roughly: fn() -> u64,
}

impl Table {
    /// The columns as CREATE TABLE takes them.
    pub(super) fn definition(&self) -> CString {
        let one = |column: &Column| {
            let kind = match column.kind {
                Kind::Text(most) => format!("VARCHAR({most}) CHARACTER SET utf8mb4"),
                Kind::Name(most) => {
                    format!("VARCHAR({most}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
                }
                Kind::Number => "BIGINT".into(),
                Kind::Time => "DATETIME".into(),
            };
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("`{}` {kind}{null}", column.name)
        };
        let all: Vec<_> = self.columns.iter().map(one).collect();
        // Our own constants hold no NUL.
        CString::new(all.join(", ")).unwrap_or_default()
    }
}

/// All tables.
pub(super) static TABLES: [Table; 4] = [
    Table {
        name: c"keyring_ward_status",
        columns: &status::COLUMNS,
        open: status::open,
        roughly: || 64,
    },
    Table {
        name: c"keyring_ward_keks",
        columns: &keks::COLUMNS,
        open: keks::open,
        roughly: || LIFECYCLE.counters.keks.load(Ordering::Relaxed),
    },
    Table {
        name: c"keyring_ward_keys",
        columns: &keys::COLUMNS,
        open: keys::open,
        roughly: || LIFECYCLE.counters.keys.load(Ordering::Relaxed),
    },
    Table {
        name: c"keyring_ward_audit",
        columns: &audit::COLUMNS,
        open: audit::open,
        roughly: || 1_000,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_server_reads_it() {
        assert_eq!(Cell::time(0), Cell::Time("1970-01-01 00:00:00".into()));
        assert_eq!(
            Cell::time(4_070_908_800),
            Cell::Time("2099-01-01 00:00:00".into())
        );
        assert_eq!(Cell::time(i64::MAX), Cell::Null);
        assert_eq!(Cell::time(i64::MIN), Cell::Null);
    }

    #[test]
    fn each_row_has_a_value_for_each_column() {
        // Without a keyring there is a status, and nothing else.
        for table in &TABLES {
            let name = table.name.to_str().unwrap();
            let columns = table.columns.len();
            assert!(!table.definition().is_empty());
            match (table.open)() {
                Ok(rows) => {
                    for at in 0..rows.count() {
                        assert_eq!(rows.row(at).unwrap().len(), columns, "{name}");
                    }
                    assert!(rows.row(rows.count()).is_err());
                }
                Err(e) => assert!(
                    name.ends_with("_keys") || name.ends_with("_audit"),
                    "{name}: {e}"
                ),
            }
        }
    }
}
