//! What each version of MySQL offers to a keyring: services slot by slot, and its rules for plugins.
//!
//! The one place for such facts; each row names its source. They are read from headers that nobody may copy here
//! (GPL): names and order only. It must never hold a row that was guessed without saying so, and the library must
//! never use a service that has no row for every version.

// The host and the test each need a part of it.
#![allow(dead_code)]

/// A version as the fake host plays it.
pub struct Version {
    pub name: &'static str,
    /// `MYSQL_VERSION_ID`; the interface version of a DAEMON plugin is this, shifted by 8.
    pub id: u32,
    /// It is a server, with all that a server has; else a program with a registry and nothing in it.
    pub server: bool,
}

const fn server(name: &'static str, id: u32) -> Version {
    Version {
        name,
        id,
        server: true,
    }
}

/// The rows of a service stand in this order.
pub static VERSIONS: [Version; 5] = [
    server("8.0.34", 80_034),
    server("8.0.44", 80_044),
    server("8.4.6", 80_406),
    server("9.7.4", 90_704),
    Version {
        name: "registry only",
        id: 90_704,
        server: false,
    },
];
pub const V8_0_44: usize = 1;
pub const V8_4_6: usize = 2;
pub const V9_7_4: usize = 3;

/// How the library gets a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The loader puts it where `requires` of the component says.
    Required,
    /// From the registry, at run time.
    Registry,
    /// The same, by the companion component alone.
    Companion,
    /// The library gives it to the companion component: no server has it.
    Own,
    /// A pointer that the library exports and the server overwrites when it loads a plugin.
    Exported,
    /// The library gives it to the server.
    Provided,
    /// Never: the row is here because the versions differ in it.
    Never,
}

/// What one version has of a service.
pub struct Row {
    /// The slots in their order; `None` where the service is not there.
    pub slots: Option<&'static [&'static str]>,
    /// Where that was read or measured.
    pub source: &'static str,
}

/// A service and its rows, in the order of [`VERSIONS`].
pub struct Service {
    pub name: &'static str,
    /// Its table in `src/mysql/abi.rs`; empty for [`Way::Never`].
    pub table: &'static str,
    pub way: Way,
    /// The header that was read.
    pub header: &'static str,
    /// The slots that the library calls. The host has functions for these, and for no others.
    pub uses: &'static [&'static str],
    /// What the library, or its companion, does in a program that has no such service; `None`: it can't do without.
    pub without: Option<&'static str>,
    pub rows: [Row; 5],
}

const AS_8_0_44: &str = "inferred: the same series as 8.0.44";
const READ_8_0: &str = "read in the tree of 8.0.44 (alibaba/AliSQL)";
const BETWEEN: &str = "inferred: equal in 8.0.44 and 9.7.2, and no header of 8.4 was at hand";
const READ_8_4: &str = "read in the tree of 8.4.6 (eatonphil/villagesql-server)";
const RUN_9_7: &str = "read in the tree of 9.7.2, and used on a running 9.7.4";
const READ_9_7: &str = "read in the tree of 9.7.2";
const LEAST: &str =
    "the host's choice: as little as the migration tools of 8.0 have, read in 8.0.44";

const fn row(slots: &'static [&'static str], source: &'static str) -> Row {
    Row {
        slots: Some(slots),
        source,
    }
}

const fn absent(source: &'static str) -> Row {
    Row {
        slots: None,
        source,
    }
}

/// The same slots in all servers; in a program that has only a registry nothing, or the same too.
const fn equal(slots: &'static [&'static str], everywhere: bool) -> [Row; 5] {
    [
        row(slots, AS_8_0_44),
        row(slots, READ_8_0),
        row(slots, BETWEEN),
        row(slots, RUN_9_7),
        match everywhere {
            true => row(slots, LEAST),
            false => absent(LEAST),
        },
    ]
}

const fn provided(
    name: &'static str,
    table: &'static str,
    header: &'static str,
    slots: &'static [&'static str],
) -> Service {
    Service {
        name,
        table,
        way: Way::Provided,
        header,
        uses: &[],
        without: None,
        rows: equal(slots, true),
    }
}

const fn acquired(
    name: &'static str,
    table: &'static str,
    header: &'static str,
    without: &'static str,
    slots: &'static [&'static str],
    uses: &'static [&'static str],
) -> Service {
    Service {
        name,
        table,
        way: Way::Registry,
        header,
        uses,
        without: Some(without),
        rows: equal(slots, false),
    }
}

const fn companions(
    name: &'static str,
    table: &'static str,
    header: &'static str,
    without: &'static str,
    slots: &'static [&'static str],
    uses: &'static [&'static str],
) -> Service {
    Service {
        way: Way::Companion,
        ..acquired(name, table, header, without, slots, uses)
    }
}

const NO_PRIVILEGES: &str = "the SQL functions refuse everybody";
const EMIT: &[&str] = &["emit"];

const PFS: &str = "include/mysql/components/services/pfs_plugin_table_service.h";
const NO_ROWS: &str = "reading a table fails";

/// All services of which the library knows, and those that it must keep away from.
pub static SERVICES: [Service; 33] = [
    Service {
        name: "registry",
        table: "kw_registry",
        way: Way::Required,
        header: "include/mysql/components/services/registry.h",
        uses: &["acquire", "release"],
        without: None,
        rows: equal(&["acquire", "acquire_related", "release"], true),
    },
    Service {
        name: "mysql_simple_error_log",
        table: "kw_simple_error_log",
        way: Way::Registry,
        header: "include/mysql/components/services/mysql_simple_error_log.h",
        uses: EMIT,
        without: Some("messages go to standard error"),
        rows: [
            absent("not certain so early in 8.0 (the header is of 2023), so the host has none"),
            row(EMIT, READ_8_0),
            row(EMIT, BETWEEN),
            row(EMIT, RUN_9_7),
            absent(LEAST),
        ],
    },
    acquired(
        "status_variable_registration",
        "kw_status_variables",
        "include/mysql/components/services/component_status_var_service.h",
        "SHOW STATUS has no Keyring_ward_* variables",
        &["register_variable", "unregister_variable"],
        &["register_variable", "unregister_variable"],
    ),
    acquired(
        "mysql_current_thread_reader",
        "kw_thread_reader",
        "include/mysql/components/services/mysql_current_thread_reader.h",
        NO_PRIVILEGES,
        &["get"],
        &["get"],
    ),
    acquired(
        "mysql_thd_security_context",
        "kw_thread_security",
        "include/mysql/components/services/security_context.h",
        NO_PRIVILEGES,
        &["get", "set"],
        &["get"],
    ),
    acquired(
        "mysql_security_context_options",
        "kw_security_options",
        "include/mysql/components/services/security_context.h",
        "a function that is given no owner refuses instead of taking the caller's account",
        &["get", "set"],
        &["get"],
    ),
    acquired(
        "component_sys_variable_register",
        "kw_system_variables",
        "include/mysql/components/services/component_sys_var_service.h",
        "nothing is said of binlog_format and block_encryption_mode",
        &["register_variable", "get_variable"],
        &["get_variable"],
    ),
    acquired(
        "global_grants_check",
        "kw_global_grants",
        "include/mysql/components/services/dynamic_privilege.h",
        NO_PRIVILEGES,
        &["has_global_grant"],
        &["has_global_grant"],
    ),
    acquired(
        "mysql_udf_metadata",
        "kw_udf_metadata",
        "include/mysql/components/services/udf_metadata.h",
        "clients take the answers of the SQL functions for bytes",
        &["argument_get", "result_get", "argument_set", "result_set"],
        &["argument_set", "result_set"],
    ),
    Service {
        name: "mysql_system_variable_reader",
        table: "kw_variable_reader",
        way: Way::Registry,
        header: "include/mysql/components/services/mysql_system_variable.h",
        uses: &["get"],
        without: Some(
            "the global binlog_format counts for all sessions, and a replication applier is known by its account alone",
        ),
        rows: [
            absent(AS_8_0_44),
            absent(READ_8_0),
            absent("inferred: new in 9.0.0, as others tell who use it"),
            row(&["get"], RUN_9_7),
            absent(LEAST),
        ],
    },
    acquired(
        "mysql_runtime_error",
        "kw_runtime_error",
        "include/mysql/components/services/mysql_runtime_error_service.h",
        "the functions that use keys of an account refuse to begin",
        EMIT,
        EMIT,
    ),
    acquired(
        "pfs_resource_group_v3",
        "kw_resource_group",
        "include/mysql/components/services/pfs_resource_group_service.h",
        "a replication applier is known by its account alone, and of nobody it is known who has logged in: a change's record says so, and with a policy no account gets a key",
        &[
            "set_thread_resource_group",
            "set_thread_resource_group_by_id",
            "get_thread_system_attrs",
            "get_thread_system_attrs_by_id",
        ],
        &["get_thread_system_attrs"],
    ),
    Service {
        name: "mysql_malloc_service",
        table: "kw_malloc_service",
        way: Way::Exported,
        header: "include/mysql/service_mysql_alloc.h",
        uses: &["malloc"],
        without: None,
        rows: equal(
            &[
                "malloc", "realloc", "claim", "free", "memdup", "strdup", "strndup",
            ],
            true,
        ),
    },
    Service {
        name: "plugin_registry_service",
        table: "kw_registry_service",
        way: Way::Exported,
        header: "include/mysql/service_plugin_registry.h",
        uses: &["acquire", "release"],
        without: None,
        rows: equal(&["acquire", "release"], true),
    },
    provided(
        "keyring_reader_with_status",
        "kw_reader",
        "include/mysql/components/services/keyring_reader_with_status.h",
        &["init", "deinit", "fetch_length", "fetch"],
    ),
    provided(
        "keyring_writer",
        "kw_writer",
        "include/mysql/components/services/keyring_writer.h",
        &["store", "remove"],
    ),
    provided(
        "keyring_generator",
        "kw_generator",
        "include/mysql/components/services/keyring_generator.h",
        &["generate"],
    ),
    provided(
        "keyring_keys_metadata_iterator",
        "kw_keys_iterator",
        "include/mysql/components/services/keyring_keys_metadata_iterator.h",
        &["init", "deinit", "is_valid", "next", "get_length", "get"],
    ),
    provided(
        "keyring_component_status",
        "kw_component_status",
        "include/mysql/components/services/keyring_metadata_query.h",
        &["is_initialized"],
    ),
    provided(
        "keyring_component_metadata_query",
        "kw_metadata_query",
        "include/mysql/components/services/keyring_metadata_query.h",
        &["init", "deinit", "is_valid", "next", "get_length", "get"],
    ),
    provided(
        "keyring_load",
        "kw_load",
        "include/mysql/components/services/keyring_load.h",
        &["load"],
    ),
    provided(
        "keyring_aes",
        "kw_aes",
        "include/mysql/components/services/keyring_aes.h",
        &["get_size", "encrypt", "decrypt"],
    ),
    companions(
        "udf_registration",
        "kw_udf_registration",
        "include/mysql/components/services/udf_registration.h",
        "INSTALL COMPONENT of the companion fails with a sentence",
        &["udf_register", "udf_unregister"],
        &["udf_register", "udf_unregister"],
    ),
    companions(
        "dynamic_privilege_register",
        "kw_privileges",
        "include/mysql/components/services/dynamic_privilege.h",
        "GRANT refuses the companion's privileges",
        &["register_privilege", "unregister_privilege"],
        &["register_privilege", "unregister_privilege"],
    ),
    companions(
        "pfs_plugin_table_v1",
        "kw_pfs_tables",
        PFS,
        "there are no tables",
        &["add_tables", "delete_tables", "get_parts_found"],
        &["add_tables", "delete_tables"],
    ),
    companions(
        "pfs_plugin_column_string_v2",
        "kw_pfs_string",
        PFS,
        NO_ROWS,
        &[
            "set_char_utf8mb4",
            "get_char_utf8mb4",
            "read_key_string",
            "match_key_string",
            "get_varchar_utf8mb4",
            "set_varchar_utf8mb4",
            "set_varchar_utf8mb4_len",
        ],
        &["set_varchar_utf8mb4_len"],
    ),
    companions(
        "pfs_plugin_column_bigint_v1",
        "kw_pfs_bigint",
        PFS,
        NO_ROWS,
        &[
            "set",
            "set_unsigned",
            "get",
            "get_unsigned",
            "read_key",
            "read_key_unsigned",
            "match_key",
            "match_key_unsigned",
        ],
        &["set"],
    ),
    companions(
        "pfs_plugin_column_datetime_v1",
        "kw_pfs_datetime",
        PFS,
        NO_ROWS,
        &["set", "get"],
        &["set"],
    ),
    Service {
        // Registered by the companion; a server without it never calls.
        rows: [
            absent(AS_8_0_44),
            absent("read in the tree of 8.0.44 (alibaba/AliSQL): there is no such header"),
            row(
                &["notify"],
                "inferred: as 9.7, which has it since 8.3 by its documentation",
            ),
            row(&["notify"], RUN_9_7),
            absent(LEAST),
        ],
        ..provided(
            "event_tracking_query",
            "kw_event_tracking_query",
            "include/mysql/components/services/event_tracking_query_service.h",
            &["notify"],
        )
    },
    Service {
        // As the one before. Where nobody calls it, there are no session keys.
        rows: [
            absent(AS_8_0_44),
            absent("as event_tracking_query"),
            row(&["notify"], "inferred: as event_tracking_query"),
            row(&["notify"], RUN_9_7),
            absent(LEAST),
        ],
        ..provided(
            "event_tracking_command",
            "kw_event_tracking_command",
            "include/mysql/components/services/event_tracking_command_service.h",
            &["notify"],
        )
    },
    Service {
        rows: [
            absent(AS_8_0_44),
            absent("as event_tracking_query"),
            row(&["notify"], "inferred: as event_tracking_query"),
            row(&["notify"], RUN_9_7),
            absent(LEAST),
        ],
        ..provided(
            "event_tracking_connection",
            "kw_event_tracking_connection",
            "include/mysql/components/services/event_tracking_connection_service.h",
            &["notify"],
        )
    },
    Service {
        way: Way::Own,
        rows: equal(
            &[
                "objects",
                "rows_open",
                "rows_value",
                "rows_close",
                "row_count",
                "instance_altered",
                "connections_watched",
                "connection_over",
            ],
            true,
        ),
        ..provided(
            "keyring_ward_control",
            "kw_control",
            "our own: include/keyring_ward_abi.h",
            &[],
        )
    },
    Service {
        name: "log_builtins",
        table: "",
        way: Way::Never,
        header: "include/mysql/components/services/log_builtins.h",
        uses: &[],
        without: None,
        rows: [
            row(&LOG_BUILTINS_8, AS_8_0_44),
            row(&LOG_BUILTINS_8, READ_8_0),
            row(&LOG_BUILTINS_8, READ_8_4),
            // The slots behind `message` were not compared.
            row(&LOG_BUILTINS_9, READ_9_7),
            absent(LEAST),
        ],
    },
];

const LOG_BUILTINS_8: [&str; 38] = [
    "wellknown_by_type",
    "wellknown_by_name",
    "wellknown_get_type",
    "wellknown_get_name",
    "item_inconsistent",
    "item_generic_type",
    "item_string_class",
    "item_numeric_class",
    "item_set_int",
    "item_set_float",
    "item_set_lexstring",
    "item_set_cstring",
    "item_set_with_key",
    "item_set",
    "line_item_set_with_key",
    "line_item_set",
    "line_init",
    "line_exit",
    "line_item_count",
    "line_item_types_seen",
    "line_get_output_buffer",
    "line_item_iter_acquire",
    "line_item_iter_release",
    "line_item_iter_first",
    "line_item_iter_next",
    "line_item_iter_current",
    "line_submit",
    "message",
    "sanitize",
    "errmsg_by_errcode",
    "errcode_by_errsymbol",
    "label_from_prio",
    "parse_iso8601_timestamp",
    "open_errstream",
    "write_errstream",
    "dedicated_errstream",
    "close_errstream",
    "reopen_errstream",
];
/// The place of the slot that 9.7 has and 8.0 and 8.4 have not: all that come behind it stand one place further.
const LINE_SET_FLAG: usize = 12;
const LOG_BUILTINS_9: [&str; 39] = {
    let mut slots = ["line_set_flag"; 39];
    let mut i = 0;
    while i < 38 {
        slots[if i < LINE_SET_FLAG { i } else { i + 1 }] = LOG_BUILTINS_8[i];
        i += 1;
    }
    slots
};

/// The rules by which a server loads a plugin. The same in all versions (8.0.44 and 9.7.2 read; of 8.4.6 the plugin's
/// descriptor).
pub mod plugin {
    /// The lowest version of the plugin interface that is taken; the same major number (the high byte) or a lower one.
    pub const LOWEST_INTERFACE: i32 = 0x0100;
    /// The server's own.
    pub const INTERFACE: i32 = 0x010B;
    pub const KEYRING: i32 = 10;
    pub const DAEMON: i32 = 3;
    /// The version of the keyring plugin's interface.
    pub const KEYRING_INTERFACE: i32 = 0x0101;
    /// The version of both services that a plugin exports a pointer for.
    pub const SERVICE: usize = 0x0100;
    /// `early-plugin-load` wants it of each plugin of a library.
    pub const ALLOW_EARLY: u64 = 4;
    /// The kinds of variables, in the lowest bits of their flags.
    pub const VAR_KINDS: i32 = 0xF;
    pub const VAR_BOOL: i32 = 1;
    pub const VAR_STR: i32 = 5;
    /// All other bits that 8.0.44 knows: from "unsigned" to "sensitive".
    pub const VAR_FLAGS: i32 = 0xF_FF80;
    /// The server's buffers for a key's name and its owner, with NUL.
    pub const NAME_BUFFER: usize = 1025;
}

/// The number under which a free text goes to the error log.
pub const FREE_TEXT: i32 = 11_071;
/// Status variables: a pointer to 64 bits, a text, a function that tells one, and the global scope.
pub const STATUS_LONGLONG: i32 = 4;
pub const STATUS_CHAR: i32 = 5;
pub const STATUS_FUNC: i32 = 8;
/// Bytes of the place for such a text (in 8.0.44 and 9.7.2).
pub const STATUS_ROOM: usize = 1024;
pub const STATUS_GLOBAL: i32 = 1;
/// The number of an error of a function, with its name and a text.
pub const UDF_ERROR: i32 = 3200;
/// What an SQL function of text is told in `decimals`.
pub const DECIMALS_OF_TEXT: u32 = 31;

/// The service of this name, and its place.
pub fn service(name: &str) -> Option<(usize, &'static Service)> {
    SERVICES.iter().enumerate().find(|(_, s)| s.name == name)
}
