//! `keyring_ward_control`: what the companion component `component_keyring_ward_sql` takes from this library.
//!
//! Owns the list of what there is to register, and the way to the rows of our tables. It is a service of our own; another library
//! than the companion of the same release must never get anything by it.

use crate::error::{Error, Kind, Result};
use crate::mysql::state::LIFECYCLE;
use crate::mysql::tables::{self, Cell, Rows, TABLES, Table};
use crate::mysql::udf::access;
use crate::mysql::udf::all::FUNCTIONS;
use crate::mysql::{abi, gate, instance, ptr, ptr::Handle};
use std::ffi::{CString, c_char, c_int, c_uint, c_ulong, c_ulonglong};
use std::sync::OnceLock;

/// The service's table.
pub static TABLE: abi::kw_control = abi::kw_control {
    objects: Some(objects),
    rows_open: Some(rows_open),
    rows_value: Some(rows_value),
    rows_close: Some(rows_close),
    row_count: Some(row_count),
    instance_altered: Some(instance_altered),
    connections_watched: Some(connections_watched),
    connection_over: Some(connection_over),
};

/// How the policy's own privileges for groups of keys begin.
const GROUP: &str = "KEYRING_WARD_USE_";
/// The library's version, with a NUL.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
/// Longest statement that is looked at.
const MAX_STATEMENT: usize = 1 << 16;

/// What there is to register, and what its pointers lead to.
struct Objects(abi::kw_sql_objects);
// SAFETY: all of it points to what lives as long as the process and is never written.
unsafe impl Send for Objects {}
// SAFETY: as above.
unsafe impl Sync for Objects {}

fn all() -> &'static abi::kw_sql_objects {
    static ALL: OnceLock<Objects> = OnceLock::new();
    &ALL.get_or_init(|| Objects(made(&[]))).0
}

/// The same with the privileges that the policy in force names for groups of keys. What they lie in is never given back: the companion asks
/// once, when it is installed.
fn all_now() -> &'static abi::kw_sql_objects {
    let named = gate::with_policy(|policy| Ok(policy.privileges().to_vec()));
    let groups: Vec<CString> = (named.ok().flatten().unwrap_or_default().into_iter())
        .filter(|name| name.starts_with(GROUP))
        .filter_map(|name| CString::new(name).ok())
        .collect();
    match groups.is_empty() {
        true => all(),
        false => Box::leak(Box::new(made(Box::leak(groups.into_boxed_slice())))),
    }
}

fn made(groups: &'static [CString]) -> abi::kw_sql_objects {
    let tables: Box<[abi::kw_sql_table]> = (TABLES.iter())
        .map(|table| abi::kw_sql_table {
            name: table.name.as_ptr(),
            columns: table.definition().into_raw(),
        })
        .collect();
    let ours = access::OURS.iter().map(|name| name.as_ptr());
    let privileges: Box<[*const c_char]> = (ours)
        .chain(groups.iter().map(|name| name.as_ptr()))
        .collect();
    let (tables, privileges) = (Box::leak(tables), Box::leak(privileges));
    abi::kw_sql_objects {
        version: VERSION.as_ptr().cast(),
        functions: FUNCTIONS.0.as_ptr(),
        function_count: FUNCTIONS.0.len(),
        tables: tables.as_ptr(),
        table_count: tables.len(),
        privileges: privileges.as_ptr(),
        privilege_count: privileges.len(),
    }
}

guarded_fn! {
    fn objects(
        interface: c_uint,
        out: *mut *const abi::kw_sql_objects,
        version: *mut *const c_char,
    ) -> c_int, failure = 1; {
        // SAFETY: two writable places.
        unsafe {
            ptr::write(version, all().version, "place for the version")?;
            ptr::write(out, std::ptr::null(), "place for the objects")?;
            if interface != abi::KW_CONTROL_INTERFACE {
                // The companion says what to do.
                return Ok(1);
            }
            ptr::write(out, &raw const *all_now(), "place for the objects")?;
        }
        Ok(0)
    }
}

/// The rows that a statement reads, and the one that it is at.
struct Open {
    table: &'static Table,
    rows: Box<dyn Rows>,
    at: Option<usize>,
    cells: Vec<Cell>,
}

impl Handle for Open {}

fn table(index: usize) -> Result<&'static Table> {
    TABLES
        .get(index)
        .ok_or_else(|| Error::new(Kind::Internal, "read a table", "there is no such table"))
}

guarded_fn! {
    fn rows_open(index: usize, out: *mut abi::kw_handle, count: *mut usize) -> c_int, failure = 1; {
        // SAFETY: two writable places.
        unsafe {
            ptr::write(out, std::ptr::null_mut(), "place for the rows")?;
            ptr::write(count, 0, "place for the count")?;
            let table = table(index)?;
            let open = Open { table, rows: (table.open)()?, at: None, cells: Vec::new() };
            ptr::write(count, open.rows.count(), "place for the count")?;
            ptr::write(out, open.into_raw(), "place for the rows")?;
        }
        Ok(0)
    }
}

guarded_fn! {
    fn rows_value(
        rows: abi::kw_handle,
        at: usize,
        column: c_uint,
        out: *mut abi::kw_value,
    ) -> c_int, failure = 1; {
        // SAFETY: a handle of ours, used by one thread at a time, and a writable place.
        unsafe {
            let open = Open::borrow(rows)?;
            if open.at != Some(at) {
                open.cells = open.rows.row(at)?;
                open.at = Some(at);
            }
            let column = column as usize;
            let cell = open.cells.get(column).unwrap_or(&Cell::Null);
            let kind = open.table.columns.get(column).map(|column| column.kind);
            ptr::write(out, value(kind, cell), "place for the value")?;
        }
        Ok(0)
    }
}

fn value(kind: Option<tables::Kind>, cell: &Cell) -> abi::kw_value {
    use tables::Kind::{Name, Number, Text, Time};
    let kind = match kind {
        Some(Text(_) | Name(_)) | None => abi::KW_VALUE_TEXT,
        Some(Number) => abi::KW_VALUE_NUMBER,
        Some(Time) => abi::KW_VALUE_DATETIME,
    };
    let (is_null, text, number) = match cell {
        Cell::Null => (true, "", 0),
        Cell::Text(text) | Cell::Time(text) => (false, &**text, 0),
        Cell::Number(number) => (false, "", *number),
    };
    abi::kw_value {
        kind: kind as c_int,
        is_null,
        text: text.as_ptr().cast(),
        length: text.len() as c_uint,
        number,
    }
}

guarded_fn! {
    fn rows_close(rows: abi::kw_handle) -> (), failure = (); {
        // SAFETY: a handle of ours, given back once.
        unsafe { Open::drop_raw(rows) };
        Ok(())
    }
}

guarded_fn! {
    fn row_count(index: usize) -> c_ulonglong, failure = 0; {
        Ok((table(index)?.roughly)())
    }
}

guarded_fn! {
    fn instance_altered(query: *const c_char, length: usize, status: c_int) -> c_int, failure = 1; {
        // SAFETY: the companion passes on what the server gave it: a text of that length.
        let query = unsafe { ptr::slice(query.cast(), length, MAX_STATEMENT, "the statement")? };
        instance::altered(&String::from_utf8_lossy(query), status);
        Ok(0)
    }
}

guarded_fn! {
    fn connections_watched(watched: bool) -> c_int, failure = 1; {
        LIFECYCLE.host.session_keys.watch(watched);
        Ok(0)
    }
}

guarded_fn! {
    fn connection_over(connection: c_ulong) -> c_int, failure = 1; {
        LIFECYCLE.host.session_keys.over(connection);
        Ok(0)
    }
}
