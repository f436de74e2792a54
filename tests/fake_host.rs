//! MySQL 8.0 and 8.4, which can't be had here: what is known of each version, asserted against `src/mysql/abi.rs`, and
//! the library loaded by a host that offers each version's services and not one slot more.
//!
//! Owns the comparison and the table of what was called. The host (tests/support/host/) is a process of its own, so that
//! a fault in it is a sentence here. It must never be taken for a run on such a server: it proves the layout and the use
//! of the interface.
//!
//! `KW_LIBRARY` names another library than the one that was built with this test, e.g. the release library.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "support/host/layouts.rs"]
mod layouts;
#[path = "support/host/versions.rs"]
mod versions;

use common::Place;
use keyring_ward::mysql::abi;
use keyring_ward_boundary::registry;
use layouts::LAYOUTS;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use versions::{SERVICES, Service, V8_0_44, V8_4_6, V9_7_4, VERSIONS, Way};

/// The exit code of a host in which something touched what it must not.
const FAULT: i32 = 70;
/// The last one: as a component, with the companion beside it.
const ROLES: [&str; 4] = ["component", "plugin", "both", "companion"];

/// A structure as `abi.rs` has it: size, members and offsets in the order of declaration.
struct Actual {
    size: usize,
    members: Vec<(&'static str, usize)>,
}

/// The structures by name. A member that is added to one of them and not named here does not compile.
macro_rules! structures {
    ($($table:ident { $($member:ident),* $(,)? })*) => {{
        $({
            #[allow(dead_code)]
            fn all_members(it: abi::$table) {
                let abi::$table { $($member: _),* } = it;
            }
        })*
        BTreeMap::from([$((stringify!($table), Actual {
            size: size_of::<abi::$table>(),
            members: vec![$((stringify!($member), std::mem::offset_of!(abi::$table, $member))),*],
        })),*])
    }};
}

fn structures() -> BTreeMap<&'static str, Actual> {
    structures! {
        kw_registry { acquire, acquire_related, release }
        kw_simple_error_log { emit }
        kw_status_variables { register_variable, unregister_variable }
        kw_thread_reader { get }
        kw_thread_security { get, set }
        kw_lex_string { text, length }
        kw_security_options { get, set }
        kw_system_variables { register_variable, get_variable }
        kw_global_grants { has_global_grant }
        kw_variable_reader { get }
        kw_runtime_error { emit }
        kw_thread_attributes {
            id, connection, os_thread, user_data, user, user_length, host, host_length, group, group_length, address,
            address_length, system_thread,
        }
        kw_resource_group {
            set_thread_resource_group, set_thread_resource_group_by_id, get_thread_system_attrs,
        }
        kw_udf_metadata { argument_get, result_get, argument_set, result_set }
        kw_udf_registration { udf_register, udf_unregister }
        kw_privileges { register_privilege, unregister_privilege }
        kw_pfs_tables { add_tables, delete_tables }
        kw_pfs_share { rnd_next, rnd_init, rnd_pos, index_init, index_read, index_next, read_column_value, reset_position, write_column_value, write_row_values, update_column_value, update_row_values, delete_row_values, open_table, close_table, name, name_length, definition, ref_length, access, delete_all_rows, get_row_count }
        kw_pfs_string { set_char_utf8mb4, get_char_utf8mb4, read_key_string, match_key_string, get_varchar_utf8mb4, set_varchar_utf8mb4, set_varchar_utf8mb4_len }
        kw_pfs_number { value, is_null }
        kw_pfs_bigint { set }
        kw_pfs_datetime { set }
        kw_query_event { subclass, status, connection, sql_command, query, query_length, query_charset }
        kw_event_tracking_query { notify }
        kw_command_event { subclass, status, connection, command, command_length }
        kw_event_tracking_command { notify }
        kw_connection_event { subclass, status, connection }
        kw_event_tracking_connection { notify }
        kw_control { objects, rows_open, rows_value, rows_close, row_count, instance_altered, connections_watched, connection_over }
        kw_sql_objects { version, functions, function_count, tables, table_count, privileges, privilege_count }
        kw_sql_function { name, returns, function, init, deinit }
        kw_sql_table { name, columns }
        kw_value { kind, is_null, text, length, number }
        kw_malloc_service { malloc, realloc, claim, free }
        kw_registry_service { acquire, release }
        kw_reader { init, deinit, fetch_length, fetch }
        kw_writer { store, remove }
        kw_generator { generate }
        kw_keys_iterator { init, deinit, is_valid, next, get_length, get }
        kw_component_status { is_initialized }
        kw_metadata_query { init, deinit, is_valid, next, get_length, get }
        kw_load { load }
        kw_aes { get_size, encrypt, decrypt }
        kw_component { name, provides, requires_, metadata, init, deinit }
        kw_component_provides { name, implementation }
        kw_component_requires { name, placeholder }
        kw_component_metadata { key, value }
        kw_plugin { type_, info, name, author, descr, license, init, check_uninstall, deinit, version, status_vars, system_vars, reserved, flags }
        kw_plugin_keyring { interface_version, store, fetch, remove, generate, iterator_init, iterator_deinit, iterator_get_key }
        kw_show_var { name, value, type_, scope }
        kw_sysvar_head { flags, name, comment, check, update }
        kw_sysvar_str { head, value, def }
        kw_sysvar_bool { head, value, def }
        kw_udf_init { maybe_null, decimals, max_length, ptr, const_item, extension }
        kw_udf_args { arg_count, arg_type, args, lengths, maybe_null, attributes, attribute_lengths, extension }
    }
}

/// Names of the structures that `abi.rs` declares.
fn declared() -> BTreeSet<String> {
    let text = include_str!("../boundary/src/abi.rs");
    let names = text.lines().filter_map(|line| {
        let name = line.strip_prefix("pub struct ")?;
        Some(name.trim_end_matches([' ', '{']).to_string())
    });
    names.filter(|name| name != "kw_opaque").collect()
}

#[test]
fn each_structure_of_abi_rs_is_that_of_each_version() {
    let mut actual = structures();
    let named: BTreeSet<String> = actual.keys().map(ToString::to_string).collect();
    assert_eq!(
        declared(),
        named,
        "structures of abi.rs, and those with facts"
    );
    for layout in &LAYOUTS {
        let found = actual.remove(layout.table).expect(layout.table);
        assert_eq!(found.members, layout.members, "{}", layout.table);
        assert_eq!(found.size, layout.size, "{}", layout.table);
        assert!(!layout.source.is_empty(), "{}", layout.table);
    }
    for service in SERVICES.iter().filter(|s| s.way != Way::Never) {
        let found = actual.remove(service.table).expect(service.table);
        assert_eq!(found.size, found.members.len() * 8, "{}", service.table);
        for (version, row) in VERSIONS.iter().zip(&service.rows) {
            let Some(slots) = row.slots else { continue };
            let slots: Vec<_> = slots.iter().enumerate().map(|(i, s)| (*s, i * 8)).collect();
            // The server may have more behind what we declare.
            let same = slots.get(..found.members.len()) == Some(&found.members[..]);
            assert!(
                same,
                "{} in {}: {slots:?}, and abi.rs has {:?}",
                service.name, version.name, found.members
            );
        }
    }
    let left: Vec<_> = actual.keys().collect();
    assert!(left.is_empty(), "structures without facts: {left:?}");
}

#[test]
fn each_service_that_the_library_acquires_has_its_rows() {
    for (name, size) in registry::USED {
        let name = name.to_str().unwrap().split('.').next().unwrap();
        let (_, service) = versions::service(name)
            .unwrap_or_else(|| panic!("{name} has no rows in tests/support/host/versions.rs"));
        assert!(is_acquired(service), "{name}");
        let used = !service.uses.is_empty() || service.way == Way::Own;
        assert!(used, "which slots of {name} are used?");
        assert_eq!(structures()[service.table].size, *size, "{name}");
    }
    for service in &SERVICES {
        let used = registry::USED
            .iter()
            .any(|(name, _)| name.to_str().unwrap().split('.').next() == Some(service.name));
        assert_eq!(used, is_acquired(service), "{}", service.name);
        for (version, row) in VERSIONS.iter().zip(&service.rows) {
            assert!(
                !row.source.is_empty() && !service.header.is_empty(),
                "{} in {} has no source",
                service.name,
                version.name
            );
            let optional = service.without.is_some()
                || service.way == Way::Never
                || service.name.starts_with("event_tracking_");
            assert!(
                row.slots.is_some() || optional,
                "{} lacks {}, and nothing says what happens without it",
                version.name,
                service.name
            );
            let has = |slot: &&'static str| row.slots.is_none_or(|slots| slots.contains(slot));
            assert!(service.uses.iter().all(has), "{}", service.name);
        }
    }
}

/// One of our libraries asks the registry for it.
fn is_acquired(service: &Service) -> bool {
    matches!(service.way, Way::Registry | Way::Companion | Way::Own)
}

/// The library: the one that was built with this test, or `KW_LIBRARY`.
fn library() -> PathBuf {
    let built =
        Path::new(env!("CARGO_BIN_EXE_keyring-ward")).with_file_name("deps/libkeyring_ward.so");
    let library = std::env::var_os("KW_LIBRARY").map_or(built, PathBuf::from);
    assert!(
        library.is_file(),
        "there is no library {}: run cargo build (for the release library cargo build --release, and KW_LIBRARY=target/release/libkeyring_ward.so)",
        library.display()
    );
    std::path::absolute(library).unwrap()
}

/// A host in a folder of its own.
struct Host {
    place: Place,
    order: Value,
}

impl Host {
    fn new(version: usize, role: &str) -> Host {
        let place = Place::new();
        let plugins = place.dir.path().join("plugin");
        std::fs::create_dir(&plugins).unwrap();
        let (path, key) = (place.keyring_file(), place.key_file());
        let config = json!({ "backend": "file", "path": path, "file": { "key_file": key } });
        std::fs::write(
            plugins.join("component_keyring_ward.cnf"),
            config.to_string(),
        )
        .unwrap();
        let order = json!({
            "version": VERSIONS[version].name,
            "role": role,
            "library": library(),
            "companion": library().with_file_name("libkeyring_ward_sql.so"),
            "plugin_dir": plugins,
            "data_dir": place.data_dir(),
            "variables": { "backend": "file", "path": path, "file_key_file": key },
        });
        Host { place, order }
    }

    fn with(mut self, what: &str, value: &str) -> Host {
        self.order[what] = value.into();
        self
    }

    fn run(&self) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_keyring-ward"))
            .with_file_name("examples/mysqld_fake_host");
        assert!(
            program.is_file(),
            "there is no {}: run cargo build --example mysqld_fake_host",
            program.display()
        );
        let mut command = Command::new(program);
        command.env_clear().env("KW_HOST", self.order.to_string());
        command.current_dir("/").arg("--no-defaults");
        command.arg(format!("--datadir={}", self.place.data_dir().display()));
        // mysqld refuses to run as root unless it is told to.
        if self.place.is_roots() {
            command.arg("--user=root");
        }
        command.output().unwrap()
    }

    /// What the host reports; a failure is told with all that it said.
    fn succeed(&self) -> (Value, String) {
        let output = self.run();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{}, {}: {}\n{said}",
            self.order["version"],
            self.order["role"],
            output.status
        );
        (serde_json::from_slice(&output.stdout).unwrap(), said)
    }

    /// What a host says that has to fail with this code.
    fn fail(&self, code: i32) -> String {
        let output = self.run();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{}: {said}", self.order);
        said
    }
}

/// The way in which a service comes to the library in a role; `None`: it is not used there.
fn is_used(service: &Service, role: &str) -> bool {
    match service.way {
        Way::Required | Way::Registry => true,
        Way::Exported => !["component", "companion"].contains(&role),
        Way::Companion => role == "companion",
        Way::Provided | Way::Own | Way::Never => false,
    }
}

/// What was called of a service, from the host's report.
fn called(report: &Value, service: &Service) -> (BTreeMap<String, u64>, u64, u64) {
    let rows = report["services"].as_array().unwrap();
    let Some(row) = rows.iter().find(|r| r["service"] == service.name) else {
        return Default::default();
    };
    let number = |name: &str| row[name].as_u64().unwrap();
    let slots = row["called"].as_array().unwrap().iter();
    let slots = slots.map(|c| (c[0].as_str().unwrap().to_string(), c[1].as_u64().unwrap()));
    (slots.collect(), number("acquired"), number("released"))
}

#[test]
fn the_library_works_in_each_version_and_each_role() {
    println!("library: {}", library().file_name().unwrap().display());
    println!("| version | role | service | slots called | acquired / released |");
    println!("|---|---|---|---|---|");
    for (place, version) in VERSIONS.iter().enumerate() {
        for role in ROLES {
            // A program that is no server installs nothing.
            if role == "companion" && !version.server {
                continue;
            }
            let (report, said) = Host::new(place, role).succeed();
            for service in SERVICES.iter().filter(|s| is_used(s, role)) {
                let (slots, acquired, released) = called(&report, service);
                let names = slots.iter().map(|(slot, n)| format!("{slot} {n}"));
                let names = match service.rows[place].slots {
                    Some(_) => names.collect::<Vec<_>>().join(", "),
                    None => format!("not there: {}", service.without.unwrap()),
                };
                println!(
                    "| {} | {role} | {} | {names} | {acquired} / {released} |",
                    version.name, service.name
                );
                // What is never used proves nothing of its row.
                let expected: BTreeSet<_> = match (service.rows[place].slots, service.way) {
                    (None, _) => BTreeSet::new(),
                    // Where nothing else is there, nothing is released.
                    (_, Way::Required) if !version.server => ["acquire".to_string()].into(),
                    _ => service.uses.iter().map(ToString::to_string).collect(),
                };
                assert!(
                    slots.keys().cloned().collect::<BTreeSet<_>>() == expected,
                    "{}, {role}: {} is said to be used by {expected:?}, and {slots:?} were called",
                    version.name,
                    service.name
                );
            }
            let (_, log) = versions::service("mysql_simple_error_log").unwrap();
            let logged = log.rows[place].slots.is_some();
            assert_eq!(report["lines"].as_u64().unwrap() > 0, logged, "the log");
            assert_eq!(said.contains("[keyring_ward] "), !logged, "{said}");
        }
    }
}

/// The first version to try a service with: the oldest that was read, or the newest.
fn has(service: &Service) -> usize {
    match service.rows[V8_0_44].slots {
        Some(_) => V8_0_44,
        None => V9_7_4,
    }
}

#[test]
fn the_library_does_without_each_service_that_may_be_absent() {
    let optional = SERVICES
        .iter()
        .filter(|s| is_acquired(s) && s.without.is_some());
    for service in optional {
        for role in ROLES.into_iter().filter(|role| is_used(service, role)) {
            Host::new(has(service), role)
                .with("without", service.name)
                .succeed();
        }
    }
}

#[test]
fn a_slot_that_a_version_lacks_is_a_fault() {
    // The deliberate use of what only 9.7 has.
    for role in ROLES {
        for version in [V8_0_44, V8_4_6] {
            let said = Host::new(version, role).with("misuse", "slot").fail(FAULT);
            let expected = format!(
                "FAULT: {}, {role}: slot 38 (reopen_errstream) of log_builtins was used, and the table has 38 slots",
                VERSIONS[version].name
            );
            assert!(said.contains(&expected), "{said}");
            println!("red, as it must be: {expected}");
        }
        let has_it = Host::new(V9_7_4, role).with("misuse", "slot");
        has_it.succeed();
    }
}

#[test]
fn a_slot_that_the_library_uses_behind_the_end_of_a_table_is_a_fault() {
    // The library itself, with each table in turn one slot too short for it.
    for service in SERVICES.iter().filter(|s| !s.uses.is_empty()) {
        let role = match service.way {
            Way::Exported => "plugin",
            Way::Companion => "companion",
            _ => "component",
        };
        let version = has(service);
        let said = Host::new(version, role)
            .with("cut", service.name)
            .fail(FAULT);
        let slots = service.rows[version].slots.unwrap();
        let last = slots
            .iter()
            .rposition(|s| service.uses.contains(s))
            .unwrap();
        let expected = format!(
            "FAULT: {}, {role}: slot {last} ({}) of {} was used, and the table has {last} slots",
            VERSIONS[version].name, slots[last], service.name
        );
        assert!(said.contains(&expected), "{expected}\n{said}");
        println!("red, as it must be: {expected}");
    }
}

#[test]
fn a_service_that_is_kept_or_used_too_long_is_noticed() {
    let said = Host::new(V8_0_44, "plugin").with("misuse", "kept").fail(1);
    assert!(
        said.contains("PROBLEM: 8.0.44, plugin: status_variable_registration was acquired 3 times and released 2 times"),
        "{said}"
    );
    let said = Host::new(V8_0_44, "plugin")
        .with("misuse", "released")
        .fail(FAULT);
    assert!(
        said.contains("slot 0 (register_variable) of status_variable_registration was used, and the service is not acquired"),
        "{said}"
    );
}
