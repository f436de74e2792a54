//! What a lesser file may say: the data directory's JSON file, and option files that are not root's.
//!
//! The account of mysqld can write them, and SQL can make one (INTO OUTFILE). Owns the one list of options that a
//! lesser file can't take back where the administrator's file names them. It must never refuse what only adds.

use super::option_file::Line;
use super::{Layer, OP, OPTIONS, OptionSpec, parse_bool};
use crate::error::{Error, Kind, Result};

/// Options that protect the keyring, or say where secrets and credentials are sent. Names of later versions stand here
/// before they exist: whoever adds one can't forget it.
const GUARDED: [&str; 22] = [
    "audit_file",
    "audit_reads",
    "audit_required",
    "aws_kms_ca_file",
    "aws_kms_encryption_context",
    "aws_kms_endpoint_url",
    "aws_kms_proxy",
    "aws_kms_random",
    "aws_kms_sts_endpoint_url",
    "aws_kms_use_fips",
    "fingerprint",
    "grace",
    "keks",
    "lease",
    "max_owner_size",
    "max_size",
    "on_revocation",
    "pkcs11_mechanism",
    "pkcs11_module",
    "pkcs11_module_args",
    "policy_file",
    "threshold",
];

fn is_guarded(name: &str) -> bool {
    GUARDED.contains(&name) || name.starts_with("audit")
}

/// The lesser value takes nothing back.
fn is_harmless(name: &str, named: &str, lesser: &str) -> bool {
    match name {
        // A lesser file may forbid writes, but not allow them again.
        "read_only" => parse_bool(named) != Some(true) || parse_bool(lesser) != Some(false),
        _ => !is_guarded(name) || named == lesser,
    }
}

/// Refuses a local layer that would take back what the global one says.
///
/// # Errors
/// Config, with both files.
pub(super) fn refuse_weaker(global: &Layer, local: &Layer) -> Result<()> {
    for (i, OptionSpec { name, json, .. }) in OPTIONS.iter().enumerate() {
        if let (Some(named), Some(lesser)) = (&global.values[i], &local.values[i])
            && !is_harmless(name, named, lesser)
        {
            let shown = match json {
                (Some(group), member) => format!("{member} in \"{group}\""),
                (None, member) => (*member).to_string(),
            };
            let origins = (global.origins.join(", "), local.origins.join(", "));
            return Err(refused(&shown, &origins.0, &origins.1));
        }
    }
    Ok(())
}

/// Refuses a line of an option file that is not root's if one of root's files, which were read before, has a word in it.
///
/// # Errors
/// Config, with both places.
pub(super) fn refuse_weaker_line(before: &[Line], line: &Line) -> Result<()> {
    let same = |b: &&Line| b.from_root && b.name == line.name;
    let Some(named) = before.iter().rev().find(same).filter(|_| !line.from_root) else {
        return Ok(());
    };
    let value = |l: &Line| l.value.clone().unwrap_or_default();
    match is_harmless(&line.name, &value(named), &value(line)) {
        true => Ok(()),
        false => Err(refused(&line.name, &named.origin, &line.origin)),
    }
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
    use super::super::{find_option, json};
    use super::*;

    fn layer(origin: &str, values: &[(&str, &str)]) -> Layer {
        let mut layer = Layer::from_origin(origin);
        for (name, value) in values {
            layer.set(find_option(|o| o.name == *name).unwrap(), *value);
        }
        layer
    }

    #[test]
    fn a_local_file_takes_nothing_back() {
        let named: Vec<&str> = OPTIONS
            .iter()
            .map(|o| o.name)
            .filter(|n| is_guarded(n))
            .collect();
        assert!(named.len() >= 9, "{named:?}");
        for name in named {
            let global = layer("'/global'", &[(name, "a")]);
            for value in ["b", ""] {
                let e = refuse_weaker(&global, &layer("'/local'", &[(name, value)])).unwrap_err();
                assert_eq!(e.kind(), Kind::Config);
                let said = e.to_string();
                assert!(
                    said.contains("'/global'") && said.contains("'/local'"),
                    "{said}"
                );
            }
            refuse_weaker(&global, &layer("'/local'", &[(name, "a")])).unwrap();
            refuse_weaker(&global, &layer("'/local'", &[("path", "/k")])).unwrap();
            refuse_weaker(&layer("'/global'", &[]), &layer("'/local'", &[(name, "b")])).unwrap();
        }
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
    fn an_option_file_of_the_account_takes_nothing_back() {
        let line = |name: &str, value: &str, from_root| Line {
            name: name.into(),
            loose: false,
            value: Some(value.into()),
            origin: format!("{value}.cnf:1"),
            from_root,
        };
        let before = [line("path", "x", true), line("fingerprint", "a", true)];
        let e = refuse_weaker_line(&before, &line("fingerprint", "b", false)).unwrap_err();
        assert!(e.to_string().contains("a.cnf:1") && e.to_string().contains("b.cnf:1"));
        refuse_weaker_line(&before, &line("fingerprint", "b", true)).unwrap();
        refuse_weaker_line(&before, &line("path", "y", false)).unwrap();
        refuse_weaker_line(
            &[line("fingerprint", "a", false)],
            &line("fingerprint", "b", false),
        )
        .unwrap();
    }
}
