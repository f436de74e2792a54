//! What stands in the slots of the host's tables that the library uses.
//!
//! Each function counts its call and looks at what it is given as a server would rely on it. It must never unwind: what is
//! wrong goes into the host's list of problems, and a pointer that is none is a fault with a sentence.

use crate::memory::Fence;
use crate::server::{host, lock};
use crate::versions;
use keyring_ward::mysql::abi;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::sync::atomic::Ordering::SeqCst;

/// The text at `p`; the library is not believed that there is one.
pub fn text(p: *const c_char) -> Option<String> {
    if p.is_null() {
        return None;
    }
    // SAFETY: not NULL, so it has to be a string with a NUL; if it is not, that is a fault with a sentence.
    let bytes = unsafe { CStr::from_ptr(p) }.to_bytes().to_vec();
    String::from_utf8(bytes).ok()
}

/// The function of a slot.
pub fn function(service: &str, slot: &str) -> usize {
    let function = match (service, slot) {
        ("registry", "acquire") => acquire as *const (),
        ("registry", "release") => release as *const (),
        ("mysql_simple_error_log", "emit") => emit as *const (),
        ("status_variable_registration", "register_variable") => register_variable as *const (),
        ("status_variable_registration", "unregister_variable") => unregister_variable as *const (),
        ("mysql_current_thread_reader", "get") => thread_get as *const (),
        ("mysql_thd_security_context", "get") => context_get as *const (),
        ("global_grants_check", "has_global_grant") => has_global_grant as *const (),
        ("mysql_security_context_options", "get") => option_get as *const (),
        ("component_sys_variable_register", "get_variable") => get_variable as *const (),
        ("mysql_system_variable_reader", "get") => session_variable as *const (),
        ("mysql_runtime_error", "emit") => runtime_error as *const (),
        ("pfs_resource_group_v3", "get_thread_system_attrs") => thread_attributes as *const (),
        ("mysql_udf_metadata", "argument_set") => argument_set as *const (),
        ("mysql_udf_metadata", "result_set") => result_set as *const (),
        ("mysql_malloc_service", "malloc") => malloc as *const (),
        ("plugin_registry_service", "acquire") => registry_acquire as *const (),
        ("plugin_registry_service", "release") => registry_release as *const (),
        ("udf_registration", "udf_register") => udf_register as *const (),
        ("udf_registration", "udf_unregister") => udf_unregister as *const (),
        ("dynamic_privilege_register", "register_privilege") => register_privilege as *const (),
        ("dynamic_privilege_register", "unregister_privilege") => unregister_privilege as *const (),
        ("pfs_plugin_table_v1", "add_tables") => add_tables as *const (),
        ("pfs_plugin_table_v1", "delete_tables") => delete_tables as *const (),
        ("pfs_plugin_column_string_v2", "set_varchar_utf8mb4_len") => set_varchar as *const (),
        ("pfs_plugin_column_bigint_v1", "set") => set_bigint as *const (),
        ("pfs_plugin_column_datetime_v1", "set") => set_datetime as *const (),
        _ => panic!("write a function for {slot} of {service} in tests/support/host/server.rs"),
    };
    function as usize
}

extern "C" fn acquire(name: *const c_char, out: *mut abi::kw_handle) -> c_int {
    host().count("registry", "acquire");
    let (Some(name), false) = (text(name), out.is_null()) else {
        host().problem("acquire without a name or a place".into());
        return 1;
    };
    let handle = host().acquire(&name);
    // SAFETY: not NULL, so it has to be a place; if it is none, that is a fault with a sentence.
    unsafe { out.write(handle.cast()) };
    c_int::from(handle.is_null())
}

extern "C" fn release(service: abi::kw_handle) -> c_int {
    host().count("registry", "release");
    c_int::from(!host().release(service.cast()))
}

/// On x86-64 the one argument of the "..." comes where a sixth argument does.
extern "C" fn emit(
    component: *const c_char,
    file: *const c_char,
    _line: c_ulong,
    severity: c_int,
    error_id: c_int,
    argument: *const c_char,
) -> c_int {
    let host = host();
    host.count("mysql_simple_error_log", "emit");
    let who = text(component);
    host.check(
        who.as_deref() == Some("keyring_ward") && text(file).is_some(),
        "a line of the log without component or file",
    );
    host.check(
        error_id == versions::FREE_TEXT && (0..=3).contains(&severity),
        &format!("a line of the log with number {error_id} and severity {severity}"),
    );
    match text(argument) {
        Some(line) => lock(&host.log).push((severity, line)),
        None => host.problem("a line of the log that is no text".into()),
    }
    0
}

/// A status variable that is a function: it has a place of 1,024 bytes, and tells a text of a row's copy.
fn shows(name: &str, mut row: abi::kw_show_var) {
    type Show = unsafe extern "C" fn(*mut c_void, *mut abi::kw_show_var, *mut c_char) -> c_int;
    let room = Fence::new(versions::STATUS_ROOM);
    // SAFETY: a function of this type, by the variable's; the places live through the call.
    let rc = unsafe {
        let show = std::mem::transmute::<*mut c_void, Show>(row.value);
        show(std::ptr::null_mut(), &raw mut row, room.start().cast())
    };
    let told = row.type_ == versions::STATUS_CHAR && row.value == room.start().cast();
    let is_text = CStr::from_bytes_until_nul(room.bytes()).is_ok();
    host().check(
        rc == 0 && told && is_text,
        &format!("the function of the status variable {name}"),
    );
}

/// The names in a table of status variables.
fn status_names(table: *mut abi::kw_show_var) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = table;
    loop {
        // SAFETY: the table ends with a row without a name; if it does not, that is a fault with a sentence.
        let row = unsafe { at.read() };
        let Some(name) = text(row.name) else {
            return names;
        };
        match row.type_ {
            versions::STATUS_LONGLONG => {
                let fits = row.value.align_offset(8) == 0;
                host().check(fits, &format!("the status variable {name}"));
                // SAFETY: 64 bits, by its type.
                unsafe { row.value.cast::<u64>().read_volatile() };
            }
            versions::STATUS_FUNC => shows(&name, row),
            other => host().problem(format!("the status variable {name} of type {other}")),
        }
        let global = row.scope == versions::STATUS_GLOBAL;
        host().check(global, &format!("the scope of the status variable {name}"));
        names.push(name);
        // SAFETY: this was not the last row.
        at = unsafe { at.add(1) };
    }
}

extern "C" fn register_variable(table: *mut abi::kw_show_var) -> c_int {
    let host = host();
    host.count("status_variable_registration", "register_variable");
    let mut status = lock(&host.status);
    for name in status_names(table) {
        host.check(
            !status.contains(&name),
            &format!("{name} is registered twice"),
        );
        status.push(name);
    }
    0
}

extern "C" fn unregister_variable(table: *mut abi::kw_show_var) -> c_int {
    let host = host();
    host.count("status_variable_registration", "unregister_variable");
    let mut status = lock(&host.status);
    for name in status_names(table) {
        let place = status.iter().position(|n| *n == name);
        host.check(place.is_some(), &format!("{name} was not registered"));
        place.map(|p| status.remove(p));
    }
    0
}

/// What the host hands out for a connection and for its security context; nobody looks behind them.
const THREAD: usize = 0x1001;
const CONTEXT: usize = 0x2002;

extern "C" fn thread_get(out: *mut abi::kw_handle) -> c_int {
    host().count("mysql_current_thread_reader", "get");
    // SAFETY: a place of the library; if it is none, that is a fault with a sentence.
    unsafe { out.write(THREAD as abi::kw_handle) };
    0
}

extern "C" fn context_get(thread: abi::kw_handle, out: *mut abi::kw_handle) -> c_int {
    host().count("mysql_thd_security_context", "get");
    host().check(thread as usize == THREAD, "the context of no connection");
    // SAFETY: as in `thread_get`.
    unsafe { out.write(CONTEXT as abi::kw_handle) };
    0
}

extern "C" fn has_global_grant(
    context: abi::kw_handle,
    name: *const c_char,
    length: usize,
) -> c_int {
    let host = host();
    host.count("global_grants_check", "has_global_grant");
    host.check(context as usize == CONTEXT, "the grants of no context");
    host.check(
        text(name).is_some_and(|n| n.len() == length && is_privilege(&n)),
        "another privilege",
    );
    let operates =
        host.operates.load(SeqCst) && text(name).as_deref() == Some("KEYRING_WARD_OPERATE");
    c_int::from(host.granted.load(SeqCst) || operates)
}

fn is_privilege(name: &str) -> bool {
    name == "ENCRYPTION_KEY_ADMIN" || name.starts_with("KEYRING_WARD_")
}

extern "C" fn option_get(context: abi::kw_handle, name: *const c_char, out: *mut c_void) -> c_int {
    let host = host();
    host.count("mysql_security_context_options", "get");
    host.check(context as usize == CONTEXT, "an option of no context");
    let value = match text(name).as_deref() {
        Some("priv_user") => "app",
        Some("priv_host") => "%",
        _ => return 1,
    };
    let value = abi::kw_lex_string {
        text: value.as_ptr().cast(),
        length: value.len(),
    };
    // SAFETY: as in `thread_get`.
    unsafe { out.cast::<abi::kw_lex_string>().write(value) };
    0
}

extern "C" fn get_variable(
    component: *const c_char,
    name: *const c_char,
    value: *mut *mut c_void,
    length: *mut usize,
) -> c_int {
    let host = host();
    host.count("component_sys_variable_register", "get_variable");
    host.check(
        text(component).as_deref() == Some("mysql_server") && text(name).is_some(),
        "a variable of no server",
    );
    if text(name).as_deref() == Some("gtid_next") {
        // It has no global value.
        return 1;
    }
    let told = match text(name).as_deref() {
        Some("binlog_rows_query_log_events") => "OFF",
        _ => "ON",
    };
    // SAFETY: as in `thread_get`; the place has as many bytes as the library says.
    unsafe {
        let room = std::slice::from_raw_parts_mut((*value).cast::<u8>(), *length);
        room.fill(0);
        room[..told.len()].copy_from_slice(told.as_bytes());
        *length = told.len();
    }
    0
}

extern "C" fn session_variable(
    thread: abi::kw_handle,
    kind: *const c_char,
    component: *const c_char,
    name: *const c_char,
    value: *mut *mut c_void,
    length: *mut usize,
) -> c_int {
    let host = host();
    host.count("mysql_system_variable_reader", "get");
    host.check(
        thread as usize == THREAD
            && text(kind).as_deref() == Some("SESSION")
            && text(component).as_deref() == Some("mysql_server")
            && matches!(
                text(name).as_deref(),
                Some("binlog_format" | "binlog_rows_query_log_events" | "gtid_next")
            ),
        "a variable of no session",
    );
    let format = match (text(name).as_deref(), host.statements.load(SeqCst)) {
        (Some("gtid_next"), _) => "ANONYMOUS",
        (Some("binlog_rows_query_log_events"), _) => "OFF",
        (_, true) => "STATEMENT",
        (_, false) => "ROW",
    };
    // SAFETY: as in `thread_get`; the place has as many bytes as the library says.
    unsafe {
        let room = std::slice::from_raw_parts_mut((*value).cast::<u8>(), *length);
        room.fill(0);
        room[..format.len()].copy_from_slice(format.as_bytes());
        *length = format.len();
    }
    0
}

/// On x86-64 a `va_list` whose registers are used up is read from its third member.
extern "C" fn runtime_error(error_id: c_int, flags: c_int, arguments: *mut c_void) {
    let host = host();
    host.count("mysql_runtime_error", "emit");
    host.check(
        error_id == versions::UDF_ERROR && flags == 0 && !arguments.is_null(),
        "an error of a statement without number or arguments",
    );
    // SAFETY: a list of the library's; if it is none, that is a fault with a sentence.
    unsafe {
        let offsets = arguments.cast::<u32>().read_unaligned();
        let floating = arguments.cast::<u32>().add(1).read_unaligned();
        host.check(
            offsets == 48 && floating >= 176,
            "a list with registers left",
        );
        let stack = arguments.cast::<*const *const c_char>().add(1).read();
        let (function, said) = (text(stack.read()), text(stack.add(1).read()));
        host.check(
            function.is_some_and(|f| f.starts_with("keyring_ward_")),
            "an error of no function",
        );
        *lock(&host.last_error) = said;
    }
}

extern "C" fn thread_attributes(out: *mut abi::kw_thread_attributes) -> c_int {
    let host = host();
    host.count("pfs_resource_group_v3", "get_thread_system_attrs");
    // SAFETY: as in `thread_get`.
    unsafe { (*out).system_thread = host.system_thread.load(SeqCst) };
    0
}

extern "C" fn argument_set(
    args: *mut abi::kw_udf_args,
    what: *const c_char,
    index: c_uint,
    value: *mut c_void,
) -> c_int {
    let host = host();
    host.count("mysql_udf_metadata", "argument_set");
    // SAFETY: the structure of the call; if it is none, that is a fault with a sentence.
    let there = unsafe { args.as_ref() }.is_some_and(|a| index < a.arg_count);
    host.check(
        there
            && text(what).as_deref() == Some("charset")
            && text(value.cast()).as_deref() == Some("utf8mb4"),
        "an attribute of an argument that no server knows",
    );
    0
}

extern "C" fn result_set(
    init: *mut abi::kw_udf_init,
    what: *const c_char,
    value: *mut c_void,
) -> c_int {
    let host = host();
    host.count("mysql_udf_metadata", "result_set");
    let value = text(value.cast());
    host.check(
        !init.is_null()
            && text(what).as_deref() == Some("charset")
            && matches!(value.as_deref(), Some("utf8mb4" | "binary")),
        "an attribute of a result that no server knows",
    );
    0
}

extern "C" fn malloc(_key: c_uint, size: usize, _flags: c_int) -> *mut c_void {
    host().count("mysql_malloc_service", "malloc");
    host().allocate(size)
}

extern "C" fn registry_acquire() -> *mut c_void {
    host().count("plugin_registry_service", "acquire");
    host().acquire("registry")
}

extern "C" fn registry_release(registry: *mut c_void) -> c_int {
    host().count("plugin_registry_service", "release");
    c_int::from(!host().release(registry))
}

extern "C" fn udf_register(
    name: *const c_char,
    returns: c_int,
    function: *const c_void,
    init: *const c_void,
    deinit: *const c_void,
) -> c_int {
    let host = host();
    host.count("udf_registration", "udf_register");
    let whole = !function.is_null() && !init.is_null() && !deinit.is_null();
    host.check(whole && [0, 2].contains(&returns), "a function of no type");
    let Some(name) = text(name) else {
        host.problem("a function without a name".into());
        return 1;
    };
    let functions = &mut lock(&host.registered).functions;
    // Somebody else has made this one.
    if functions.contains(&name) || name == "keyring_ward_verify" {
        return 1;
    }
    functions.push(name);
    0
}

extern "C" fn udf_unregister(name: *const c_char, was_present: *mut c_int) -> c_int {
    let host = host();
    host.count("udf_registration", "udf_unregister");
    let name = text(name);
    let functions = &mut lock(&host.registered).functions;
    let place = functions.iter().position(|f| Some(f) == name.as_ref());
    host.check(place.is_some(), &format!("{name:?} was not registered"));
    // SAFETY: as in `thread_get`.
    unsafe { was_present.write(place.is_some().into()) };
    place.map(|p| functions.remove(p));
    0
}

extern "C" fn register_privilege(name: *const c_char, length: usize) -> c_int {
    let host = host();
    host.count("dynamic_privilege_register", "register_privilege");
    let name = text(name).unwrap_or_default();
    let fits = name.len() == length && length <= 32 && is_privilege(&name);
    host.check(fits, &format!("the privilege {name:?}"));
    lock(&host.registered).privileges.push(name);
    0
}

extern "C" fn unregister_privilege(name: *const c_char, length: usize) -> c_int {
    let host = host();
    host.count("dynamic_privilege_register", "unregister_privilege");
    let name = text(name).unwrap_or_default();
    let privileges = &mut lock(&host.registered).privileges;
    let place = privileges
        .iter()
        .position(|p| *p == name && p.len() == length);
    host.check(place.is_some(), &format!("{name} was not registered"));
    place.map(|p| privileges.remove(p));
    0
}

/// What `add_tables` says of a table that is there.
const TABLE_EXISTS: c_int = 1050;

extern "C" fn add_tables(shares: *mut *mut abi::kw_pfs_share, count: c_uint) -> c_int {
    let host = host();
    host.count("pfs_plugin_table_v1", "add_tables");
    host.check(count == 1, "more than one table at once");
    // SAFETY: a list of one share; if it is none, that is a fault with a sentence.
    let share = unsafe { **shares };
    let name = text(share.name).unwrap_or_default();
    let whole = share.name_length as usize == name.len()
        && text(share.definition).is_some_and(|d| d.contains("VARCHAR("))
        && share.ref_length == 8
        && share.access == 0
        && share.open_table.is_some()
        && share.get_row_count.is_some();
    host.check(whole, &format!("the table {name:?}"));
    let tables = &mut lock(&host.registered).tables;
    if tables.iter().any(|(n, _)| *n == name) {
        return TABLE_EXISTS;
    }
    tables.push((name, share));
    0
}

extern "C" fn delete_tables(shares: *mut *mut abi::kw_pfs_share, count: c_uint) -> c_int {
    let host = host();
    host.count("pfs_plugin_table_v1", "delete_tables");
    host.check(count == 1, "more than one table at once");
    // SAFETY: as in `add_tables`.
    let name = text(unsafe { (**shares).name }).unwrap_or_default();
    let tables = &mut lock(&host.registered).tables;
    let place = tables.iter().position(|(n, _)| *n == name);
    place.map(|p| tables.remove(p));
    c_int::from(place.is_none())
}

/// A field of a row, which the host gives out as a handle.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Unset,
    Null,
    Text(String),
    Number(i64),
    Time(String),
}

fn put(field: abi::kw_handle, value: Field) {
    // SAFETY: what the host gave out; if it is not, that is a fault with a sentence.
    unsafe { field.cast::<Field>().write(value) };
}

fn bytes(value: *const c_char, length: c_uint) -> Option<String> {
    // SAFETY: a text of that length; if it is none, that is a fault with a sentence.
    let bytes = unsafe { std::slice::from_raw_parts(value.cast::<u8>(), length as usize) };
    String::from_utf8(bytes.to_vec()).ok()
}

extern "C" fn set_varchar(field: abi::kw_handle, value: *const c_char, length: c_uint) {
    host().count("pfs_plugin_column_string_v2", "set_varchar_utf8mb4_len");
    let text = bytes(value, length).unwrap_or_else(|| {
        host().problem("a text that is not UTF-8".into());
        String::new()
    });
    put(
        field,
        if text.is_empty() {
            Field::Null
        } else {
            Field::Text(text)
        },
    );
}

extern "C" fn set_bigint(field: abi::kw_handle, value: abi::kw_pfs_number) {
    host().count("pfs_plugin_column_bigint_v1", "set");
    put(
        field,
        if value.is_null {
            Field::Null
        } else {
            Field::Number(value.value)
        },
    );
}

extern "C" fn set_datetime(field: abi::kw_handle, value: *const c_char, length: c_uint) {
    host().count("pfs_plugin_column_datetime_v1", "set");
    let text = bytes(value, length).unwrap_or_default();
    let fits = text.is_empty() || (text.len() == 19 && text.as_bytes()[10] == b' ');
    host().check(fits, &format!("the time {text:?}"));
    put(
        field,
        if text.is_empty() {
            Field::Null
        } else {
            Field::Time(text)
        },
    );
}
