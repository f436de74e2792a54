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
const DESCRIPTOR: &str = "8.0.44, 8.4.6 and 9.7.2 read, 9.7.4 run";

pub static LAYOUTS: [Layout; 14] = [
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
];
