//! The companion component beside the keyring component, loaded and unloaded as a server does it.
//!
//! Owns what a server does with what it registers: rows are read as a statement reads them, statements end. It must never look at
//! the companion's own state.

use crate::component::{self, Component};
use crate::server::{Host, lock};
use crate::slots::Field;
use keyring_ward::mysql::abi;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;

/// The companion, while it is loaded.
struct Companion {
    host: &'static Host,
    component: &'static abi::kw_component,
    required: Vec<*mut c_void>,
}

impl Companion {
    /// INSTALL COMPONENT; `None`: its `init` refused.
    fn install(host: &'static Host, library: &Library) -> Option<Companion> {
        type Entry = unsafe extern "C" fn() -> *const abi::kw_component;
        // SAFETY: the entry symbol has this type, and the library stays loaded.
        let component = unsafe {
            let entry = library
                .get::<Entry>(b"list_components")
                .expect("the entry symbol");
            entry().as_ref().expect("a component")
        };
        component::provides(host, component, c"component_keyring_ward_sql");
        let required = component::require(host, component);
        let companion = Companion {
            host,
            component,
            required,
        };
        // SAFETY: the placeholders are filled.
        match unsafe { component.init.expect("init")() } {
            0 => Some(companion),
            _ => {
                companion.release();
                None
            }
        }
    }

    /// UNINSTALL COMPONENT.
    fn uninstall(self) {
        // SAFETY: `init` succeeded, and this is done once.
        let rc = unsafe { self.component.deinit.expect("deinit")() };
        assert_eq!(rc, 0, "deinit");
        self.release();
    }

    fn release(self) {
        for handle in self.required {
            self.host.release(handle);
        }
    }

    /// A statement ends, as the server tells it.
    fn ends(&self, command: &std::ffi::CStr, query: &str, status: c_int) {
        // SAFETY: the first service that it provides is this one.
        let table = unsafe {
            &*(*self.component.provides)
                .implementation
                .cast::<abi::kw_event_tracking_query>()
        };
        for subclass in [1, 4, 2, 8] {
            let event = abi::kw_query_event {
                subclass,
                status,
                connection: 7,
                sql_command: command.as_ptr(),
                query: query.as_ptr().cast(),
                query_length: query.len(),
                query_charset: c"utf8mb4".as_ptr(),
            };
            // SAFETY: an event that lives through the call.
            let rc = unsafe { table.notify.expect("notify")(&raw const event) };
            assert_eq!(rc, 0, "a statement is never held up");
        }
    }
}

/// The rows of a table, as a statement reads them; `None`: it fails.
fn rows(share: &abi::kw_pfs_share, columns: usize) -> Option<Vec<Vec<Field>>> {
    let mut position: *mut c_void = std::ptr::null_mut();
    let mut rows = Vec::new();
    // SAFETY: the callbacks of a share that was added, in the server's order; position is 8 bytes of the scan's.
    unsafe {
        let table = share.open_table?(&raw mut position);
        assert!(!table.is_null() && !position.is_null());
        let read = |table| {
            let one = |column| {
                let mut field = Field::Unset;
                let place = (&raw mut field).cast();
                (share.read_column_value?(table, place, column as u32) == 0).then_some(field)
            };
            (0..columns).map(one).collect::<Option<Vec<_>>>()
        };
        share.rnd_init?(table, true);
        let mut places = Vec::new();
        let rc = loop {
            match share.rnd_next?(table) {
                0 => rows.push(read(table)),
                rc => break rc,
            }
            places.push(position.cast::<u64>().read());
        };
        assert!([137, 168].contains(&rc), "{rc}");
        // Back to the rows that it remembers, the last one first.
        share.rnd_init?(table, false);
        for (place, row) in places.iter().zip(&rows).rev() {
            position.cast::<u64>().write(*place);
            assert_eq!(share.rnd_pos?(table), 0);
            assert!(read(table).map(|r| r[0].clone()) == row.as_ref().map(|r| r[0].clone()));
        }
        position.cast::<u64>().write(u64::MAX);
        assert_ne!(share.rnd_pos?(table), 0);
        share.close_table?(table);
        if rc == 168 {
            return None;
        }
    }
    rows.into_iter().collect()
}

/// What the tables show, to an account with the privilege and to one without.
fn tables(host: &Host) {
    let tables = lock(&host.registered).tables.clone();
    let has = |service: &str| host.table(service).is_some();
    let can_ask = ["mysql_current_thread_reader", "mysql_thd_security_context"]
        .iter()
        .all(|s| has(s));
    assert_eq!(tables.len(), if has("pfs_plugin_table_v1") { 4 } else { 0 });
    for (name, share) in &tables {
        let definition = crate::slots::text(share.definition).expect("columns");
        let columns = definition.split(", ").count();
        let kinds = [
            ("VARCHAR", "string_v2"),
            ("BIGINT", "bigint_v1"),
            ("DATETIME", "datetime_v1"),
        ];
        let can_read = (kinds.iter().filter(|(kind, _)| definition.contains(kind)))
            .all(|(_, service)| has(&format!("pfs_plugin_column_{service}")));
        for granted in [true, false] {
            host.granted.store(granted, Ordering::SeqCst);
            let rows = rows(share, columns);
            let keys = name == "keyring_ward_keys";
            let audit = name == "keyring_ward_audit";
            let sees_all = granted && can_ask && has("global_grants_check");
            let knows_itself = can_ask && has("mysql_security_context_options");
            let told = format!("{name}, granted {granted}: {rows:?}");
            match &rows {
                // Whose keys could be shown is not known.
                None => {
                    let asks = (keys || audit) && !sees_all;
                    host.check(!can_read || (asks && !knows_itself), &told);
                }
                // No log is configured here.
                Some(rows) if audit => host.check(rows.is_empty(), &told),
                Some(rows) if keys && !sees_all => {
                    let own = rows.iter().all(|r| r[1] == Field::Text("app@%".into()));
                    // Without privileges nobody could make one.
                    let any = !rows.is_empty() || !has("global_grants_check");
                    host.check(own && knows_itself && any, &told);
                }
                Some(rows) => host.check(can_read && !rows.is_empty(), &told),
            }
            let whole = rows.iter().flatten().flatten().all(|f| *f != Field::Unset);
            host.check(whole, &told);
        }
        let count = share.get_row_count.expect("a count");
        // SAFETY: it takes nothing.
        assert!(unsafe { count() } > 0, "{name}");
    }
}

/// What it registers, and that it goes without a trace.
fn exercise(host: &'static Host, companion: &Companion) {
    {
        let registered = lock(&host.registered);
        // One is somebody else's.
        assert!(
            registered.functions.len() > 20,
            "{:?}",
            registered.functions
        );
        let privileges = if host.table("dynamic_privilege_register").is_some() {
            4
        } else {
            0
        };
        assert_eq!(registered.privileges.len(), privileges);
    }
    tables(host);
    companion.ends(
        c"alter_instance",
        "ALTER INSTANCE ROTATE INNODB MASTER KEY",
        0,
    );
    companion.ends(
        c"select",
        "SELECT 'ALTER INSTANCE ROTATE INNODB MASTER KEY'",
        0,
    );
    companion.ends(c"alter_instance", "ALTER INSTANCE RELOAD KEYRING", 0);
    let told = lock(&host.log)
        .iter()
        .filter(|(_, line)| line.contains("rotated InnoDB's master key"))
        .count();
    // In a routine and outside of one.
    let logs = host.table("mysql_simple_error_log").is_some();
    assert_eq!(told % 2, 0);
    assert_eq!(told > 0, logs);
}

/// Before the keyring component, beside it, twice, and after it.
pub fn run(host: &'static Host, library: &Library) {
    // SAFETY: the library's constructors are its own; it stays mapped to the end of the process.
    let own = unsafe { Library::open(Some(&host.order.companion), RTLD_NOW | RTLD_LOCAL) }
        .unwrap_or_else(|e| panic!("{}: {e}", host.order.companion.display()));
    assert!(
        Companion::install(host, &own).is_none(),
        "installed without a keyring"
    );
    let component = Component::begin(host, library);
    component::start(host, &component);
    component::exercise(host, &component);
    crate::sql::run(host, library);
    let registers = host.table("udf_registration").is_some();
    let companion = Companion::install(host, &own);
    assert_eq!(companion.is_some(), registers);
    if let Some(companion) = companion {
        exercise(host, &companion);
        companion.uninstall();
        // At a shutdown the keyring component goes first.
        let companion = Companion::install(host, &own).expect("installed again");
        exercise(host, &companion);
        component.end();
        companion.ends(
            c"alter_instance",
            "ALTER INSTANCE ROTATE INNODB MASTER KEY",
            0,
        );
        companion.uninstall();
    } else {
        component.end();
    }
    own.close().expect("dlclose");
}
