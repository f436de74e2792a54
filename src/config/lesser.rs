//! What a lesser file may say: the data directory's JSON file, and option files that are not root's.
//!
//! The account of mysqld can write them, and SQL can make one (INTO OUTFILE). Owns the one rule of what such a file may
//! add to the administrator's: what that one names stays, and where it names a KEK, the whole KEK is its own. It must
//! never refuse what only adds.

use super::keks::RawKek;
use super::option_file::{self, KekLine, Line};
use super::{Layer, OP, OPTIONS, OptionSpec, ValueKind, find_option};
use crate::error::{Error, Kind, Result};
use crate::options::parse_bool;
use crate::text::shorten;

/// What differs between the instances of one configuration, and decides about no key: a keyring under another path
/// must open with the administrator's KEK, and have the fingerprint that is pinned.
const FREE: [&str; 4] = ["path", "region", "start_timeout", "timeout"];
/// Which KEKs there are and how many of them are needed, beside the sections of backends.
const OF_A_LIST: [&str; 2] = ["keks", "threshold"];

/// Where keys come from. In a provider's section the first one is an older name of the same.
const OF_RANDOM: [&str; 2] = ["random", "random_keys"];

/// What only the administrator may name at all: a policy can also allow what nobody may without one.
const OF_ADMINISTRATOR: &str = "policy_file";

/// What is said of the audit log begins so. Where the administrator's file says any of it, it says all.
const OF_AUDIT: &str = "audit_";

/// The error for what a lesser file may not name.
fn not_here(option: &OptionSpec, local: &str) -> Error {
    let why = format!("{local} names {}", shown(option));
    Error::new(Kind::Config, OP, why).hint(
        "The account of mysqld can write this file, and so can SQL: whoever names the policy there decides who may use whose keys. Name it in \
         a file of root's.",
    )
}

/// The administrator's `named` says by its older name what `lesser` would take back.
fn is_older_name(named: &OptionSpec, lesser: &OptionSpec) -> bool {
    OF_RANDOM.contains(&lesser.name) && matches!(named.json, (Some(_), "random"))
}

/// The option belongs to a backend's section or to a list of KEKs: it says which KEK, where it is, with which credentials,
/// or that others are enough.
fn is_of_a_kek(option: &OptionSpec) -> bool {
    option.json.0.is_some() || OF_A_LIST.contains(&option.name)
}

/// The lesser value takes nothing back.
fn is_harmless(option: &OptionSpec, named: &str, lesser: &str) -> bool {
    let same = match option.kind {
        ValueKind::Bool => parse_bool(named) == parse_bool(lesser),
        ValueKind::Text | ValueKind::List | ValueKind::Number => named == lesser,
    };
    // A lesser file may forbid writes, but not allow them again.
    let forbids = option.name == "read_only" && parse_bool(lesser) == Some(true);
    same || forbids || FREE.contains(&option.name)
}

/// Refuses a local layer that would take back what the global one says, or change the KEK that it names.
///
/// # Errors
/// Config, with both files.
pub(super) fn refuse_weaker(global: &Layer, local: &Layer) -> Result<()> {
    let kek = OPTIONS
        .iter()
        .zip(&global.values)
        .find(|(option, value)| is_of_a_kek(option) && value.is_some());
    let origins = (global.origins.join(", "), local.origins.join(", "));
    let said = |kek: &RawKek| (kek.name.clone(), kek.values.clone());
    let same = || global.keks.iter().map(said).eq(local.keks.iter().map(said));
    if !global.keks.is_empty() && !local.keks.is_empty() && !same() {
        return Err(refused("keks", &origins.0, &origins.1));
    }
    for (i, option) in OPTIONS.iter().enumerate() {
        let Some(lesser) = &local.values[i] else {
            continue;
        };
        match &global.values[i] {
            Some(named) if !is_harmless(option, named, lesser) => {
                return Err(refused(&shown(option), &origins.0, &origins.1));
            }
            None if option.name == OF_ADMINISTRATOR => return Err(not_here(option, &origins.1)),
            None if option.name.starts_with(OF_AUDIT) => {
                let mut named = OPTIONS.iter().zip(&global.values);
                if named.any(|(o, value)| o.name.starts_with(OF_AUDIT) && value.is_some()) {
                    return Err(refused(&shown(option), &origins.0, &origins.1));
                }
            }
            None if OF_RANDOM.contains(&option.name) => {
                let mut named = OPTIONS.iter().zip(&global.values);
                let older = named.find(|(o, value)| is_older_name(o, option) && value.is_some());
                let listed = global.keks.iter().any(|kek| kek.given("random").is_some());
                if older.is_some() || listed {
                    return Err(refused(&shown(option), &origins.0, &origins.1));
                }
            }
            None if is_of_a_kek(option) => {
                if let Some((of_kek, _)) = kek {
                    return Err(adds(option, of_kek, &origins.0, &origins.1));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn shown(option: &OptionSpec) -> String {
    match option.json {
        (Some(group), member) => format!("{member} in \"{group}\""),
        (None, member) => member.to_string(),
    }
}

/// Refuses a line of an option file that is not root's if it takes back what a line of root's says, before it or after
/// it, or changes the KEK that one names.
///
/// # Errors
/// Config, with both places.
pub(super) fn refuse_weaker_line(all: &[Line], line: &Line) -> Result<()> {
    let Some(option) = find_option(|o| o.name == line.name).map(|i| &OPTIONS[i]) else {
        return Ok(());
    };
    if line.from_root {
        return Ok(());
    }
    let lesser = option_file::value(line).unwrap_or_default();
    let mut roots = all.iter().filter(|l| l.from_root);
    if let Some(named) = roots.clone().rev().find(|l| l.name == line.name) {
        let value = option_file::value(named).unwrap_or_default();
        return match is_harmless(option, &value, &lesser) {
            true => Ok(()),
            false => Err(refused(&line.name, &named.origin, &line.origin)),
        };
    }
    let is_of_audit = |name: &str| name.starts_with(OF_AUDIT);
    let of_audit = roots.clone().find(|l| is_of_audit(&l.name));
    if let (Some(named), true) = (of_audit, is_of_audit(&line.name)) {
        return Err(refused(&line.name, &named.origin, &line.origin));
    }
    let of = |l: &Line| find_option(|o| o.name == l.name).map(|i| &OPTIONS[i]);
    let is_older = |l: &&Line| of(l).is_some_and(|o| is_older_name(o, option));
    if option.name == OF_ADMINISTRATOR {
        return Err(not_here(option, &line.origin));
    }
    if let Some(older) = roots.clone().find(is_older) {
        return Err(refused(&line.name, &older.origin, &line.origin));
    }
    let of_kek = |l: &Line| of(l).filter(|o| is_of_a_kek(o));
    match roots.find_map(|l| Some((of_kek(l)?, &l.origin))) {
        Some((kek, origin)) if is_of_a_kek(option) => Err(adds(option, kek, origin, &line.origin)),
        _ => Ok(()),
    }
}

/// The same for a line of a KEK's group: it may add nothing where a file of root's names a KEK, or a part of one.
///
/// # Errors
/// Config, with both places.
pub(super) fn refuse_weaker_kek_line(
    all: &[Line],
    of_keks: &[KekLine],
    line: &KekLine,
) -> Result<()> {
    let KekLine { kek, line } = line;
    if line.from_root {
        return Ok(());
    }
    let value = |l: &Line| l.value.clone().unwrap_or_else(|| "true".into());
    let roots = of_keks.iter().filter(|k| k.line.from_root);
    let mut twins = roots
        .clone()
        .filter(|k| k.kek == *kek && k.line.name == line.name);
    if twins.any(|k| value(&k.line) == value(line)) {
        return Ok(());
    }
    let of_kek = |l: &&Line| {
        let option = find_option(|o| o.name == l.name).map(|i| &OPTIONS[i]);
        l.from_root && option.is_some_and(is_of_a_kek)
    };
    let named = (roots.map(|k| &k.line).next()).or_else(|| all.iter().find(of_kek));
    match named {
        None => Ok(()),
        Some(root) => {
            let name = format!("{} of the KEK '{}'", line.name, shorten(kek));
            let why = format!(
                "{} names {name}, but the KEKs are those that {} names",
                line.origin, root.origin
            );
            Err(Error::new(Kind::Config, OP, why).hint(
                "Where the administrator's file names a part of a KEK, a file that the account of mysqld can write may add \
                 none: it could exchange the KEK. Put all of the KEKs' options into one of the two files.",
            ))
        }
    }
}

/// The error for a part of a KEK that a lesser file adds to the administrator's.
fn adds(option: &OptionSpec, of_kek: &OptionSpec, global: &str, local: &str) -> Error {
    let why = format!(
        "{local} names {}, but the KEK is the one that {global} names ({})",
        shown(option),
        shown(of_kek)
    );
    Error::new(Kind::Config, OP, why).hint(
        "Where the administrator's file names a part of a KEK, a file that the account of mysqld can write may add none: \
         it could exchange the KEK. Put all of the KEK's options into one of the two files.",
    )
}

fn refused(name: &str, global: &str, local: &str) -> Error {
    let why = format!("{local} names {name}, which {global} has named already");
    Error::new(Kind::Config, OP, why).hint(
        "A file that the account of mysqld can write may not take back what the administrator's file says of it. Take it \
         out of the one or of the other.",
    )
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn layer(origin: &str, values: &[(&str, &str)]) -> Layer {
        Layer::of(origin, values)
    }

    #[test]
    fn a_local_file_takes_nothing_back() {
        let free = |name: &str| FREE.contains(&name) || name == "read_only";
        for option in OPTIONS.iter().filter(|o| !free(o.name)) {
            let (name, a, b) = match option.kind {
                ValueKind::Bool => (option.name, "true", "false"),
                _ => (option.name, "a", "b"),
            };
            let global = layer("'/global'", &[(name, a)]);
            for value in [b, ""] {
                let e = refuse_weaker(&global, &layer("'/local'", &[(name, value)])).unwrap_err();
                assert_eq!(e.kind(), Kind::Config);
                let said = e.to_string();
                assert!(
                    said.contains("'/global'") && said.contains("'/local'"),
                    "{said}"
                );
            }
            refuse_weaker(&global, &layer("'/local'", &[(name, a)])).unwrap();
            refuse_weaker(&global, &layer("'/local'", &[("path", "/k")])).unwrap();
            let added = refuse_weaker(&layer("'/global'", &[]), &layer("'/local'", &[(name, b)]));
            assert_eq!(added.is_err(), option.name == OF_ADMINISTRATOR, "{name}");
        }
    }

    #[test]
    fn the_kek_that_the_global_file_names_is_not_added_to() {
        for (name, lesser) in [
            ("aws_kms_key_id", "aws_kms_previous_key_ids"),
            ("aws_kms_key_id", "aws_kms_endpoint_url"),
            ("aws_kms_region", "aws_kms_key_id"),
            ("file_passphrase_file", "file_key_file"),
            ("pkcs11_module", "pkcs11_pin_file"),
            ("file_key_file", "aws_kms_key_id"),
        ] {
            let global = layer("'/global'", &[("backend", "x"), (name, "a")]);
            let e = refuse_weaker(&global, &layer("'/local'", &[(lesser, "b")])).unwrap_err();
            assert!(e.to_string().contains("the KEK is the one"), "{e}");
        }
        // A backend alone is no KEK yet: each instance may have its own.
        let global = layer("'/global'", &[("backend", "file"), ("fingerprint", "00")]);
        refuse_weaker(
            &global,
            &layer("'/local'", &[("file_key_file", "/k"), ("path", "/p")]),
        )
        .unwrap();
        assert!(refuse_weaker(&global, &layer("'/local'", &[("backend", "pkcs11")])).is_err());
    }

    #[test]
    fn an_older_name_of_random_is_not_taken_back_by_the_newer() {
        let line = |name: &str, value: &str, from_root| Line {
            name: name.into(),
            loose: false,
            value: Some(value.into()),
            origin: format!("{value}.cnf:1"),
            from_root,
        };
        for (older, value) in [("pkcs11_random", "token"), ("aws_kms_random", "aws_kms")] {
            let global = layer("'/global'", &[(older, value)]);
            for lesser in [("random", "system"), ("random_keys", "false")] {
                let e = refuse_weaker(&global, &layer("'/local'", &[lesser])).unwrap_err();
                assert!(e.to_string().contains("named already"), "{e}");
                let roots = [line(older, value, true)];
                let lesser = line(lesser.0, lesser.1, false);
                assert!(refuse_weaker_line(&roots, &lesser).is_err());
            }
        }
        let global = layer("'/global'", &[("pkcs11_module", "/m")]);
        refuse_weaker(&global, &layer("'/local'", &[("random", "hardware")])).unwrap();
    }

    #[test]
    fn read_only_can_be_added_but_not_taken_back() {
        let of = |value| layer("f", &[("read_only", value)]);
        assert!(refuse_weaker(&of("true"), &of("OFF")).is_err());
        for (global, local) in [("true", "ON"), ("false", "true"), ("false", "false")] {
            refuse_weaker(&of(global), &of(local)).unwrap();
        }
    }

    #[test]
    fn the_documented_layers_fit() {
        let global = json::parse(
            br#"{ "read_local_config": true, "backend": "file", "file": { "key_file": "/k" }, "fingerprint": "00" }"#,
            "g",
        );
        let local = json::parse(br#"{ "path": "/p", "read_only": true }"#, "l").unwrap();
        refuse_weaker(&global.unwrap().layer, &local.layer).unwrap();
    }

    #[test]
    fn an_option_file_of_the_account_adds_nothing_to_the_keks() {
        let line = |name: &str, value: &str, from_root| Line {
            name: name.into(),
            loose: false,
            value: Some(value.into()),
            origin: format!("{value}.cnf:1"),
            from_root,
        };
        let of = |kek: &str, line: Line| KekLine {
            kek: kek.into(),
            line,
        };
        let mine = of("bao", line("key_file", "/mine", false));
        let refused = |all: &[Line], keks: &[KekLine], line: &KekLine| {
            refuse_weaker_kek_line(all, keks, line).map_err(|e| e.kind()) == Err(Kind::Config)
        };
        // Root names the KEK's group, the list, a threshold, or the only KEK.
        let group = [of("bao", line("provider", "file", true))];
        assert!(refused(&[], &group, &mine));
        for name in ["keks", "threshold", "file_key_file"] {
            assert!(refused(&[line(name, "x", true)], &[], &mine), "{name}");
            let list = line("keks", "bao", false);
            let named = refuse_weaker_line(&[line(name, "x", true)], &list);
            assert!(named.is_err(), "a list beside {name}");
        }
        // The same again, root's own, and what stands alone are nothing.
        let same = of("bao", line("provider", "file", false));
        refuse_weaker_kek_line(&[], &group, &same).unwrap();
        assert!(refused(&[], &group, &of("aws", same.line.clone())));
        let roots = of("aws", line("key_file", "/k", true));
        refuse_weaker_kek_line(&[], &group, &roots).unwrap();
        refuse_weaker_kek_line(&[line("path", "/k", true)], &[], &mine).unwrap();
    }

    #[test]
    fn an_option_file_of_the_account_takes_nothing_back() {
        let line = |name: &str, value: &str, from_root| Line {
            name: name.into(),
            loose: false,
            value: Some(value.into()),
            origin: format!("{value}.cnf:1"),
            from_root,
        };
        let roots = [line("path", "x", true), line("fingerprint", "a", true)];
        let e = refuse_weaker_line(&roots, &line("fingerprint", "b", false)).unwrap_err();
        assert!(e.to_string().contains("a.cnf:1") && e.to_string().contains("b.cnf:1"));
        refuse_weaker_line(&roots, &line("fingerprint", "b", true)).unwrap();
        refuse_weaker_line(&roots, &line("path", "y", false)).unwrap();
        let lesser = [line("fingerprint", "a", false)];
        refuse_weaker_line(&lesser, &line("fingerprint", "b", false)).unwrap();
        // A name without a value is "true": it is not taken back by OFF.
        for alone in [None, Some("ON".to_string())] {
            let read_only = Line {
                value: alone,
                ..line("read_only", "", true)
            };
            let roots = [read_only];
            assert!(refuse_weaker_line(&roots, &line("read_only", "OFF", false)).is_err());
            refuse_weaker_line(&roots, &line("read_only", "1", false)).unwrap();
        }
        let roots = [line("aws_kms_key_id", "k", true)];
        assert!(refuse_weaker_line(&roots, &line("aws_kms_endpoint_url", "u", false)).is_err());
        refuse_weaker_line(&roots, &line("aws_kms_key_id", "k", false)).unwrap();
    }
}
