//! Our tables in `performance_schema`: what the server calls for them.
//!
//! Owns the scans: one of a statement, in one thread, with the services that it uses and the rows of the keyring component. Everything that
//! a row says comes from there, and so does whether the caller may see it. It must never give a row where that fails: the statement fails.

use crate::control::{self, text};
use crate::guard::Result;
use crate::{log, registry};
use keyring_ward_boundary::abi;
use keyring_ward_boundary::registry::Service;
use std::cell::Cell;
use std::ffi::{c_int, c_uint, c_ulonglong, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The server's numbers for what a handler answers.
const END_OF_FILE: c_int = 137;
const RECORD_DELETED: c_int = 134;
const GENERIC_ERROR: c_int = 168;
/// What `add_tables` says of a table that is there.
const TABLE_EXISTS: c_int = 1050;

/// As many tables as there are entry points for.
const MOST: usize = 4;
type OpenTable = unsafe extern "C" fn(*mut *mut c_void) -> abi::kw_handle;
type RowCount = unsafe extern "C" fn() -> c_ulonglong;
const ENTRIES: [(OpenTable, RowCount); MOST] = [
    (open_table::<0>, row_count::<0>),
    (open_table::<1>, row_count::<1>),
    (open_table::<2>, row_count::<2>),
    (open_table::<3>, row_count::<3>),
];

/// A table as the server knows it.
struct Added(abi::kw_pfs_share);
// SAFETY: pointers to constants and functions.
unsafe impl Send for Added {}

/// Those that this component has added.
static ADDED: Mutex<Vec<Added>> = Mutex::new(Vec::new());

/// A scan of one table.
struct Scan {
    table: usize,
    control: Option<Service<'static, abi::kw_control>>,
    strings: Option<Service<'static, abi::kw_pfs_string>>,
    numbers: Option<Service<'static, abi::kw_pfs_bigint>>,
    times: Option<Service<'static, abi::kw_pfs_datetime>>,
    /// NULL: there are none, because they could not be had.
    rows: Cell<abi::kw_handle>,
    count: Cell<usize>,
    /// The row that comes next.
    next: Cell<usize>,
    /// The row that it is at. The server copies these bytes to remember it, and writes others to come back to one.
    at: AtomicU64,
}

impl Scan {
    fn new(table: usize) -> Scan {
        let registry = registry::get();
        Scan {
            table,
            control: control::service(),
            strings: registry.and_then(|r| r.service()),
            numbers: registry.and_then(|r| r.service()),
            times: registry.and_then(|r| r.service()),
            rows: Cell::new(null_mut()),
            count: Cell::new(0),
            next: Cell::new(0),
            at: AtomicU64::new(0),
        }
    }

    /// The rows as they are now, in place of those that were read before.
    fn begin(&self) -> Option<()> {
        self.end();
        let open = self.control.as_ref()?.rows_open?;
        let (mut rows, mut count) = (null_mut(), 0);
        // SAFETY: two writable places.
        let rc = unsafe { open(self.table, &raw mut rows, &raw mut count) };
        (rc == 0 && !rows.is_null()).then(|| {
            self.rows.set(rows);
            self.count.set(count);
        })
    }

    fn end(&self) {
        self.next.set(0);
        self.count.set(0);
        let rows = self.rows.replace(null_mut());
        if let Some(close) = self.control.as_ref().and_then(|c| c.rows_close)
            && !rows.is_null()
        {
            // SAFETY: given by the same service, and taken out just now.
            unsafe { close(rows) };
        }
    }

    /// Goes to a row; what the server is told, where there is none `past`. The server passes over a failure of `rnd_init`, and would
    /// take a list that could not be had for an empty one.
    fn go_to(&self, row: usize, past: c_int) -> c_int {
        self.at.store(row as u64, Ordering::Relaxed);
        self.next.set(row.saturating_add(1));
        match row < self.count.get() {
            _ if self.rows.get().is_null() => GENERIC_ERROR,
            true => 0,
            false => past,
        }
    }

    /// Hands a value of the current row to the server.
    fn put(&self, field: abi::kw_handle, column: c_uint) -> Option<()> {
        let get = self.control.as_ref()?.rows_value?;
        let mut value = abi::kw_value {
            kind: 0,
            is_null: true,
            text: null(),
            length: 0,
            number: 0,
        };
        let at = usize::try_from(self.at.load(Ordering::Relaxed)).ok()?;
        let rows = self.rows.get();
        if rows.is_null() || at >= self.count.get() {
            return None;
        }
        // SAFETY: rows of this service that are open, and a writable place.
        if unsafe { get(rows, at, column, &raw mut value) } != 0 {
            return None;
        }
        let length = if value.is_null { 0 } else { value.length };
        // SAFETY: the server's field, of the kind that its column was declared as; text and its length are the keyring library's and live
        // until the next call.
        unsafe {
            match value.kind.unsigned_abs() {
                abi::KW_VALUE_TEXT => {
                    self.strings.as_ref()?.set_varchar_utf8mb4_len?(field, value.text, length);
                }
                abi::KW_VALUE_NUMBER => {
                    let number = abi::kw_pfs_number {
                        value: value.number,
                        is_null: value.is_null,
                    };
                    self.numbers.as_ref()?.set?(field, number);
                }
                abi::KW_VALUE_DATETIME => self.times.as_ref()?.set?(field, value.text, length),
                _ => return None,
            }
        }
        Some(())
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.end();
    }
}

/// The scan behind a handle.
///
/// # Safety
/// The handle is NULL or came from `open_table`, and was not closed. One thread uses it.
unsafe fn scan<'a>(handle: abi::kw_handle) -> Result<&'a Scan> {
    // SAFETY: by the caller's contract.
    unsafe { handle.cast::<Scan>().as_ref() }.ok_or_else(|| "The server passed no table.".into())
}

guarded_fn! {
    fn open_table<const TABLE: usize>(position: *mut *mut c_void) -> abi::kw_handle, failure = null_mut(); {
        let scan: &mut Scan = Box::leak(Box::new(Scan::new(TABLE)));
        let place = scan.at.as_ptr();
        if !position.is_null() {
            // SAFETY: not NULL, so the server's place for the address.
            unsafe { position.write(place.cast()) };
        }
        Ok((&raw mut *scan).cast())
    }
}

guarded_fn! {
    fn close_table(table: abi::kw_handle) -> (), failure = (); {
        if !table.is_null() {
            // SAFETY: from `open_table`, and closed once.
            drop(unsafe { Box::from_raw(table.cast::<Scan>()) });
        }
        Ok(())
    }
}

guarded_fn! {
    fn row_count<const TABLE: usize>() -> c_ulonglong, failure = 0; {
        let control = control::service();
        let count = control.as_ref().and_then(|c| c.row_count);
        // SAFETY: it takes a number.
        Ok(count.map_or(0, |count| unsafe { count(TABLE) }))
    }
}

guarded_fn! {
    /// A statement begins to read: row by row, or rows that it remembers.
    fn rnd_init(table: abi::kw_handle, _scan: bool) -> c_int, failure = GENERIC_ERROR; {
        // SAFETY: the server's handle of ours, in its thread.
        let scan = unsafe { scan(table)? };
        Ok(scan.begin().map_or(GENERIC_ERROR, |()| 0))
    }
}

guarded_fn! {
    fn rnd_next(table: abi::kw_handle) -> c_int, failure = GENERIC_ERROR; {
        // SAFETY: the server's handle of ours, in its thread.
        let scan = unsafe { scan(table)? };
        Ok(scan.go_to(scan.next.get(), END_OF_FILE))
    }
}

guarded_fn! {
    /// The server has put the position of a row back.
    fn rnd_pos(table: abi::kw_handle) -> c_int, failure = GENERIC_ERROR; {
        // SAFETY: the server's handle of ours, in its thread.
        let scan = unsafe { scan(table)? };
        let at = usize::try_from(scan.at.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        Ok(scan.go_to(at, RECORD_DELETED))
    }
}

guarded_fn! {
    fn reset_position(table: abi::kw_handle) -> (), failure = (); {
        // SAFETY: the server's handle of ours, in its thread.
        let scan = unsafe { scan(table)? };
        scan.at.store(0, Ordering::Relaxed);
        scan.next.set(0);
        Ok(())
    }
}

guarded_fn! {
    fn read_column_value(table: abi::kw_handle, field: abi::kw_handle, column: c_uint) -> c_int,
    failure = GENERIC_ERROR; {
        // SAFETY: the server's handle of ours, in its thread.
        let scan = unsafe { scan(table)? };
        Ok(scan.put(field, column).map_or(GENERIC_ERROR, |()| 0))
    }
}

fn share(table: &abi::kw_sql_table, (open, row_count): (OpenTable, RowCount)) -> abi::kw_pfs_share {
    abi::kw_pfs_share {
        rnd_next: Some(rnd_next),
        rnd_init: Some(rnd_init),
        rnd_pos: Some(rnd_pos),
        index_init: null_mut(),
        index_read: null_mut(),
        index_next: null_mut(),
        read_column_value: Some(read_column_value),
        reset_position: Some(reset_position),
        write_column_value: null_mut(),
        write_row_values: null_mut(),
        update_column_value: null_mut(),
        update_row_values: null_mut(),
        delete_row_values: null_mut(),
        open_table: Some(open),
        close_table: Some(close_table),
        name: table.name,
        name_length: text(table.name).len() as c_uint,
        definition: table.columns,
        ref_length: size_of::<u64>() as c_uint,
        access: 0,
        delete_all_rows: null_mut(),
        get_row_count: Some(row_count),
    }
}

/// Adds the tables. One that can't be added is told in the log; the others are there.
pub(crate) fn add(tables: &[abi::kw_sql_table]) {
    let service = registry::get().and_then(|r| r.service::<abi::kw_pfs_tables>());
    let Some(service) = service else {
        return;
    };
    let mut added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    for (table, entries) in tables.iter().zip(ENTRIES) {
        let mut share = Added(share(table, entries));
        match add_one(&service, &mut share.0) {
            0 => added.push(share),
            rc => log::warning(&not_added(&text(table.name), rc)),
        }
    }
}

fn not_added(name: &str, rc: c_int) -> String {
    let why = match rc {
        TABLE_EXISTS => "a statement still uses the one that was there before".into(),
        rc => format!("the server answers {rc}"),
    };
    format!(
        "performance_schema.{name} could not be added: {why}. Everything else is there. UNINSTALL COMPONENT and INSTALL COMPONENT try again."
    )
}

fn add_one(service: &abi::kw_pfs_tables, share: &mut abi::kw_pfs_share) -> c_int {
    let (Some(add), Some(delete)) = (service.add_tables, service.delete_tables) else {
        return 1;
    };
    let mut list = [&raw mut *share];
    // SAFETY: one share, which lives through the call; the server copies it, and its texts are constants of the keyring library.
    unsafe {
        match add(list.as_mut_ptr(), 1) {
            // Left by a component of ours that was not taken away in order.
            TABLE_EXISTS if delete(list.as_mut_ptr(), 1) == 0 => add(list.as_mut_ptr(), 1),
            rc => rc,
        }
    }
}

/// Takes away those that were added. At a shutdown their names stay in the dictionary: the next start finds them there.
pub(crate) fn delete() {
    let service = registry::get().and_then(|r| r.service::<abi::kw_pfs_tables>());
    let mut added = ADDED.lock().unwrap_or_else(PoisonError::into_inner);
    for mut share in added.drain(..) {
        let mut list = [&raw mut share.0];
        if let Some(delete) = service.as_ref().and_then(|s| s.delete_tables) {
            // SAFETY: a share that was added.
            unsafe { delete(list.as_mut_ptr(), 1) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_without_a_server_gives_no_row_and_no_crash() {
        let mut position: *mut c_void = null_mut();
        // SAFETY: a handle from open_table, in one thread, closed once.
        unsafe {
            let table = open_table::<0>(&raw mut position);
            assert!(!table.is_null() && !position.is_null());
            assert_eq!(rnd_init(table, true), GENERIC_ERROR);
            assert_eq!(rnd_next(table), GENERIC_ERROR);
            position.cast::<u64>().write(u64::MAX);
            assert_eq!(rnd_pos(table), GENERIC_ERROR);
            assert_eq!(read_column_value(table, null_mut(), 0), GENERIC_ERROR);
            reset_position(table);
            close_table(table);
            assert_eq!(rnd_next(null_mut()), GENERIC_ERROR);
            assert_eq!(row_count::<0>(), 0);
        }
    }
}
