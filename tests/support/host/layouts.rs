//! Where the members of the structures stand that a server and a plugin or component share, as facts.
//!
//! For structures that are no plain row of functions (those are in `versions.rs`). Offsets are of x86-64 Linux. It must
//! never be filled from `src/mysql/abi.rs`: it is there to be compared with it.

/// A structure: its name in `abi.rs`, its size, its members by name and offset.
pub struct Layout {
    pub table: &'static str,
    pub size: usize,
    pub members: &'static [(&'static str, usize)],
    /// In which versions that was found.
    pub source: &'static str,
}

const BOTH: &str = "8.0.44 and 9.7.2 read, 9.7.4 run; 8.4 inferred, for both are equal";
const OWN: &str = "between our own two libraries, of one release";
const DESCRIPTOR: &str = "8.0.44, 8.4.6 and 9.7.2 read, 9.7.4 run";

pub static LAYOUTS: [Layout; 23] = [
    Layout {
        table: "kw_component",
        size: 48,
        members: &[
            ("name", 0),
            ("provides", 8),
            ("requires_", 16),
            ("metadata", 24),
            ("init", 32),
            ("deinit", 40),
        ],
        source: BOTH,
    },
    Layout {
        table: "kw_component_provides",
        size: 16,
        members: &[("name", 0), ("implementation", 8)],
        source: BOTH,
    },
    Layout {
        table: "kw_component_requires",
        size: 16,
        members: &[("name", 0), ("placeholder", 8)],
        source: BOTH,
    },
    Layout {
        table: "kw_component_metadata",
        size: 16,
        members: &[("key", 0), ("value", 8)],
        source: BOTH,
    },
    Layout {
        table: "kw_plugin",
        size: 112,
        members: &[
            ("type_", 0),
            ("info", 8),
            ("name", 16),
            ("author", 24),
            ("descr", 32),
            ("license", 40),
            ("init", 48),
            ("check_uninstall", 56),
            ("deinit", 64),
            ("version", 72),
            ("status_vars", 80),
            ("system_vars", 88),
            ("reserved", 96),
            ("flags", 104),
        ],
        source: DESCRIPTOR,
    },
    Layout {
        table: "kw_plugin_keyring",
        size: 64,
        members: &[
            ("interface_version", 0),
            ("store", 8),
            ("fetch", 16),
            ("remove", 24),
            ("generate", 32),
            ("iterator_init", 40),
            ("iterator_deinit", 48),
            ("iterator_get_key", 56),
        ],
        source: BOTH,
    },
    Layout {
        table: "kw_show_var",
        size: 24,
        members: &[("name", 0), ("value", 8), ("type_", 16), ("scope", 20)],
        source: BOTH,
    },
    Layout {
        table: "kw_sysvar_head",
        size: 40,
        members: &[
            ("flags", 0),
            ("name", 8),
            ("comment", 16),
            ("check", 24),
            ("update", 32),
        ],
        source: BOTH,
    },
    Layout {
        table: "kw_sysvar_str",
        size: 56,
        members: &[("head", 0), ("value", 40), ("def", 48)],
        source: BOTH,
    },
    Layout {
        table: "kw_sysvar_bool",
        size: 56,
        members: &[("head", 0), ("value", 40), ("def", 48)],
        source: BOTH,
    },
    // LEX_CSTRING: what a security context's option is written into.
    Layout {
        table: "kw_lex_string",
        size: 16,
        members: &[("text", 0), ("length", 8)],
        source: BOTH,
    },
    // What performance_schema writes of a thread, the third version of it. Servers whose user names are longer write more, and
    // other places: the library gives room for that, and takes a byte there that is not 1 for no system thread.
    Layout {
        table: "kw_thread_attributes",
        size: 736,
        members: &[
            ("id", 0),
            ("connection", 8),
            ("os_thread", 16),
            ("user_data", 24),
            ("user", 32),
            ("user_length", 128),
            ("host", 136),
            ("host_length", 392),
            ("group", 400),
            ("group_length", 592),
            ("address", 600),
            ("address_length", 728),
            ("system_thread", 732),
        ],
        source: BOTH,
    },
    // UDF_INIT and UDF_ARGS: the server allocates them, so their sizes are its own.
    Layout {
        table: "kw_udf_init",
        size: 40,
        members: &[
            ("maybe_null", 0),
            ("decimals", 4),
            ("max_length", 8),
            ("ptr", 16),
            ("const_item", 24),
            ("extension", 32),
        ],
        source: BOTH,
    },
    Layout {
        table: "kw_udf_args",
        size: 64,
        members: &[
            ("arg_count", 0),
            ("arg_type", 8),
            ("args", 16),
            ("lengths", 24),
            ("maybe_null", 32),
            ("attributes", 40),
            ("attribute_lengths", 48),
            ("extension", 56),
        ],
        source: BOTH,
    },
    // PFS_engine_table_proxy and PFS_engine_table_share_proxy, one behind the other.
    Layout {
        table: "kw_pfs_share",
        size: 168,
        members: &[
            ("rnd_next", 0),
            ("rnd_init", 8),
            ("rnd_pos", 16),
            ("index_init", 24),
            ("index_read", 32),
            ("index_next", 40),
            ("read_column_value", 48),
            ("reset_position", 56),
            ("write_column_value", 64),
            ("write_row_values", 72),
            ("update_column_value", 80),
            ("update_row_values", 88),
            ("delete_row_values", 96),
            ("open_table", 104),
            ("close_table", 112),
            ("name", 120),
            ("name_length", 128),
            ("definition", 136),
            ("ref_length", 144),
            ("access", 148),
            ("delete_all_rows", 152),
            ("get_row_count", 160),
        ],
        source: BOTH,
    },
    // PSI_longlong: handed over by value, in two registers.
    Layout {
        table: "kw_pfs_number",
        size: 16,
        members: &[("value", 0), ("is_null", 8)],
        source: BOTH,
    },
    Layout {
        table: "kw_query_event",
        size: 56,
        members: &[
            ("subclass", 0),
            ("status", 8),
            ("connection", 16),
            ("sql_command", 24),
            ("query", 32),
            ("query_length", 40),
            ("query_charset", 48),
        ],
        source: "a header of 9.x read (mysql/mysql-server), 9.7.4 run; not in 8.0.44",
    },
    Layout {
        table: "kw_command_event",
        size: 40,
        members: &[
            ("subclass", 0),
            ("status", 8),
            ("connection", 16),
            ("command", 24),
            ("command_length", 32),
        ],
        source: "a header of 9.x read (mysql/mysql-server), 9.7.4 run; not in 8.0.44",
    },
    Layout {
        // Its beginning: what stands behind is not looked at.
        table: "kw_connection_event",
        size: 24,
        members: &[("subclass", 0), ("status", 8), ("connection", 16)],
        source: "a header of 9.x read (mysql/mysql-server), 9.7.4 run; not in 8.0.44",
    },
    Layout {
        table: "kw_sql_function",
        size: 40,
        members: &[
            ("name", 0),
            ("returns", 8),
            ("function", 16),
            ("init", 24),
            ("deinit", 32),
        ],
        source: OWN,
    },
    Layout {
        table: "kw_sql_table",
        size: 16,
        members: &[("name", 0), ("columns", 8)],
        source: OWN,
    },
    Layout {
        table: "kw_sql_objects",
        size: 56,
        members: &[
            ("version", 0),
            ("functions", 8),
            ("function_count", 16),
            ("tables", 24),
            ("table_count", 32),
            ("privileges", 40),
            ("privilege_count", 48),
        ],
        source: OWN,
    },
    Layout {
        table: "kw_value",
        size: 32,
        members: &[
            ("kind", 0),
            ("is_null", 4),
            ("text", 8),
            ("length", 16),
            ("number", 24),
        ],
        source: OWN,
    },
];
