//! All SQL functions, by name, and who may call each.
//!
//! Owns that list: what is not in it does not compile. The companion component registers what stands here; share/install.sql has the same
//! for a plugin, and a test compares.

use super::access::Access;
use super::{
    Described, Guarded, audit, keks, keyring, keys, pairs, policy, session, transport, values,
};
use crate::mysql::abi;

/// The list of all functions: where each is, and who may call it.
macro_rules! functions {
    ($($room:ident::$function:ident: $access:ident),* $(,)?) => {
        $(impl Guarded for $room::$function { const ACCESS: Access = Access::$access; })*
        /// All SQL functions.
        pub(in crate::mysql) static FUNCTIONS: Functions =
            Functions(&[$(<$room::$function as Described>::ROW),*]);
        #[cfg(test)]
        const LIST: &[(&str, Access)] = &[$((stringify!($function), Access::$access)),*];
    };
}

functions! {
    keyring::keyring_ward_status: Read,
    keyring::keyring_ward_verify: Read,
    keyring::keyring_ward_reload: Administer,
    keyring::keyring_ward_reseal: Administer,
    keyring::keyring_ward_rekey: Administer,
    policy::keyring_ward_policy: Read,
    audit::keyring_ward_audit_public_key: Read,
    keks::keyring_ward_keks: Read,
    keks::keyring_ward_kek_add: Administer,
    keks::keyring_ward_kek_remove: Administer,
    keks::keyring_ward_kek_sync: Administer,
    keys::keyring_ward_keys: Read,
    keys::keyring_ward_retired_keys: Read,
    keys::keyring_ward_key_check: Read,
    keys::keyring_ward_key_create: Administer,
    keys::keyring_ward_key_adopt: Administer,
    keys::keyring_ward_key_rotate: Operate,
    keys::keyring_ward_key_rotate_index: Administer,
    keys::keyring_ward_key_activate: Operate,
    keys::keyring_ward_key_drop: Administer,
    keys::keyring_ward_key_set: Administer,
    keys::keyring_ward_key_destroy: Operate,
    keys::keyring_ward_key_destroy_due: Administer,
    keys::keyring_ward_key_cancel: Operate,
    keys::keyring_ward_key_restore: Administer,
    keys::keyring_ward_key_compromise: Administer,
    keys::keyring_ward_key_hold: Administer,
    keys::keyring_ward_key_release: Administer,
    keys::keyring_ward_key_retire: Administer,
    transport::keyring_ward_transport_request: Administer,
    transport::keyring_ward_transport_new: Administer,
    transport::keyring_ward_transport_accept: Operate,
    transport::keyring_ward_transport_seal: Operate,
    transport::keyring_ward_transport_confirm: Operate,
    transport::keyring_ward_transport_list: Read,
    transport::keyring_ward_transport_remove: Administer,
    values::keyring_ward_encrypt: Everybody,
    values::keyring_ward_decrypt: Everybody,
    values::keyring_ward_reencrypt: Everybody,
    values::keyring_ward_hmac: Everybody,
    values::keyring_ward_key_fetch: Everybody,
    values::keyring_ward_sealed_version: Everybody,
    session::keyring_ward_session_key_create: Everybody,
    session::keyring_ward_session_key_destroy: Everybody,
    pairs::keyring_ward_keypair_generate: Use,
    pairs::keyring_ward_public_key: Everybody,
    pairs::keyring_ward_sign: Everybody,
    pairs::keyring_ward_signature_verify: Everybody,
}

/// The list of all functions.
pub(in crate::mysql) struct Functions(pub(in crate::mysql) &'static [abi::kw_sql_function]);
// SAFETY: the rows hold pointers to names and functions, and are never written.
unsafe impl Sync for Functions {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::ffi::CStr;

    /// Names and types of results.
    fn registered() -> BTreeSet<(String, u32)> {
        let rows = FUNCTIONS.0.iter();
        rows.map(|row| {
            assert!(row.function.is_some() && row.init.is_some() && row.deinit.is_some());
            // SAFETY: a constant with its NUL.
            let name = unsafe { CStr::from_ptr(row.name) };
            (name.to_str().unwrap().into(), row.returns.unsigned_abs())
        })
        .collect()
    }

    #[test]
    fn the_scripts_have_the_same_functions() {
        let install = include_str!("../../../share/install.sql").lines();
        let created = install.filter_map(|line| {
            let line = line.strip_prefix("CREATE FUNCTION IF NOT EXISTS ")?;
            let words: Vec<_> = line.split(' ').collect();
            let returns = match words[2] {
                "STRING" => abi::KW_SQL_TEXT,
                "INTEGER" => abi::KW_SQL_INTEGER,
                other => panic!("{other}"),
            };
            Some((words[0].to_string(), returns))
        });
        assert_eq!(registered(), created.collect());
        let uninstall = include_str!("../../../share/uninstall.sql").lines();
        let dropped = uninstall.filter_map(|line| line.strip_prefix("DROP FUNCTION IF EXISTS "));
        let dropped: BTreeSet<_> = dropped
            .map(|name| name.trim_end_matches(';').into())
            .collect();
        let names: BTreeSet<String> = registered().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, dropped);
    }

    #[test]
    fn the_page_tells_who_may_call_each() {
        let page = include_str!("../../../docs/reference/sql.md").lines();
        let rows = page.filter(|line| line.starts_with("| `keyring_ward_"));
        let told: BTreeSet<_> = rows.map(ToString::to_string).collect();
        let rows = LIST.iter().map(|(name, access)| {
            let who = match access {
                Access::Administer => "administrators",
                Access::Operate => "operators",
                Access::Read => "auditors",
                Access::Use => "users of keys, for their own",
                Access::Everybody => "everybody, for its own keys",
            };
            format!("| `{name}` | {who} |")
        });
        assert_eq!(told, rows.collect());
    }

    #[test]
    fn a_library_exports_what_create_function_looks_for() {
        let exported: BTreeSet<_> = include_str!("../../../tests/exports.txt").lines().collect();
        let is_one =
            |name: &&&str| name.starts_with("keyring_ward_") && !name.ends_with("_version");
        for (name, _) in registered() {
            for end in ["", "_init", "_deinit"] {
                assert!(exported.contains(&*format!("{name}{end}")), "{name}{end}");
            }
        }
        let functions = exported.iter().filter(is_one).count();
        let versions = registered()
            .iter()
            .filter(|(n, _)| n.ends_with("_version"))
            .count();
        assert_eq!(functions, 3 * registered().len() - versions);
    }
}
