//! A configuration as an administrator writes it down: JSON, a group of my.cnf, variables of the plugin.
//!
//! Follows the list of options, so that none of them can be forgotten. It must never leave out an option that makes a
//! difference, and never hold a secret.

use super::keks::RawKek;
use super::option_file::KEK_GROUP;
use super::{Config, Layer, OPTIONS, ValueKind, find_option};
use crate::error::Result;
use crate::kek::drivers::provider_of_name;
use crate::options::{parse_bool, parse_size};
use serde_json::{Map, Value};

/// Options with their values, in the order of the list of options; and the KEKs, where they stand in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written(Vec<(usize, String)>, Vec<RawKek>);

impl Layer {
    /// The options that make this configuration: all that are set, without those that say what holds anyway.
    ///
    /// # Errors
    /// As [`Layer::finish`].
    pub fn written(mut self) -> Result<Written> {
        let whole: Config = self.clone().finish()?;
        for (i, option) in OPTIONS.iter().enumerate() {
            if matches!(option.name, "backend" | "path" | "keks") || self.values[i].is_none() {
                continue;
            }
            let mut without = self.clone();
            without.values[i] = None;
            if without.clone().finish().is_ok_and(|c| c == whole) {
                self = without;
            }
        }
        Ok(self.unchecked())
    }

    /// All options that are set, whether they make a configuration or not.
    pub fn unchecked(self) -> Written {
        let set = self.values.into_iter().enumerate();
        let set = set.filter_map(|(i, value)| Some((i, value?)));
        Written(set.collect(), self.keks)
    }
}

impl Written {
    /// Each option's place in JSON, and its value.
    fn members(&self) -> impl Iterator<Item = (Option<&'static str>, &'static str, Value)> {
        self.0.iter().map(|(i, text)| {
            let option = &OPTIONS[*i];
            let (group, member) = option.json;
            let value = match option.name {
                "keks" if !self.1.is_empty() => self.1.iter().map(json_of_kek).collect(),
                _ => typed(option.kind, text),
            };
            (group, member, value)
        })
    }

    /// The group of each KEK of a list: its head, and its lines.
    pub fn kek_groups(&self) -> Vec<(String, Vec<String>)> {
        let line = |(name, value): &(String, String)| format!("{name}={}", quoted(value));
        let group = |kek: &RawKek| {
            let lines = kek.values.iter().map(line).collect();
            (format!("[{KEK_GROUP}{}]", kek.name), lines)
        };
        self.1.iter().map(group).collect()
    }

    /// The JSON file, for programs.
    pub fn json(&self) -> Value {
        let mut top = Map::new();
        for (group, member, value) in self.members() {
            let Some(group) = group else {
                top.insert(member.into(), value);
                continue;
            };
            let inner = top.entry(group).or_insert_with(|| Map::new().into());
            if let Value::Object(inner) = inner {
                inner.insert(member.into(), value);
            }
        }
        top.into()
    }

    /// The JSON file in one line, as the documents write it.
    pub fn json_line(&self) -> String {
        let (mut top, mut inner, mut name) = (Vec::new(), Vec::new(), "");
        for (group, member, value) in self.members() {
            let pair = format!("\"{member}\": {value}");
            match group {
                None => top.push(pair),
                Some(group) => {
                    name = group;
                    inner.push(pair);
                }
            }
        }
        // All options that belong to a backend belong to one.
        if !inner.is_empty() {
            top.push(format!("\"{name}\": {{ {} }}", inner.join(", ")));
        }
        format!("{{ {} }}", top.join(", "))
    }

    /// Lines of an option file, each with `prefix` before the name.
    pub fn lines(&self, prefix: &str) -> Vec<String> {
        let of =
            |(i, text): &(usize, String)| format!("{prefix}{}={}", OPTIONS[*i].name, quoted(text));
        self.0.iter().map(of).collect()
    }

    /// Puts a value in the place of what is set, or beside it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        if let Some(index) = find_option(|o| o.name == name) {
            self.0.retain(|(i, _)| *i != index);
            self.0.push((index, value.into()));
            self.0.sort_by_key(|(i, _)| *i);
        }
    }

    /// The value of an option is written.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(i, _)| OPTIONS[*i].name == name)
    }
}

/// A value for programs.
fn typed(kind: ValueKind, text: &str) -> Value {
    let value = match kind {
        ValueKind::Bool => parse_bool(text).map(Value::from),
        ValueKind::Number => parse_size(text).map(Value::from),
        ValueKind::Text | ValueKind::List => None,
    };
    value.unwrap_or_else(|| text.into())
}

/// A KEK of a list.
fn json_of_kek(kek: &RawKek) -> Value {
    let provider = kek.given("provider").and_then(provider_of_name);
    let options = provider.map_or(&[][..], |driver| driver.options);
    let mut members = Map::new();
    members.insert("name".into(), kek.name.clone().into());
    for (member, text) in &kek.values {
        let option = options.iter().find(|option| option.json.1 == member);
        let kind = option.map_or(ValueKind::Text, |option| option.kind);
        members.insert(member.clone(), typed(kind, text));
    }
    members.into()
}

/// A value as an option file takes it: in quotes where it would be read as something else.
fn quoted(text: &str) -> String {
    let odd = text.contains(['#', '"', '\'', '\\']) || text.trim() != text;
    match odd {
        true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        false => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{discover, json};
    use super::*;
    use std::ffi::OsString;

    fn layer(values: &[(&str, &str)]) -> Layer {
        Layer::of("test", values)
    }

    /// What is written, read again.
    fn read_again(written: &Written) -> [Config; 2] {
        let text = written.json_line();
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            written.json()
        );
        let json = json::parse(text.as_bytes(), "f").unwrap().layer;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("my.cnf");
        let lines = written.lines("").join("\n");
        std::fs::write(&file, format!("[keyring_ward]\n{lines}\n")).unwrap();
        let mut argument = OsString::from("--defaults-file=");
        argument.push(&file);
        let command_line = discover::CommandLine {
            args: vec![argument],
            ..discover::CommandLine::default()
        };
        let group = command_line.option_files(&["keyring_ward"]).layer();
        [json, group.unwrap()].map(|layer| Config {
            origin: String::new(),
            ..layer.finish().unwrap()
        })
    }

    const FILE: [(&str, &str); 8] = [
        ("backend", "file"),
        ("path", "/k/# odd 'name'"),
        ("file_passphrase_file", "/k/pass \"phrase\""),
        ("read_only", "ON"),
        ("fingerprint", "00112233445566778899aabbccddeeff"),
        ("start_timeout", "120"),
        ("max_size", "300M"),
        ("max_owner_size", "131072"),
    ];
    const TOKEN: [(&str, &str); 12] = [
        ("backend", "pkcs11"),
        ("path", "/k/f"),
        ("timeout", "5"),
        ("pkcs11_module", "/m.so"),
        ("pkcs11_module_args", "configdir='sql:/d' flags="),
        ("pkcs11_slot", "7"),
        ("pkcs11_key_label", "kek"),
        ("pkcs11_pin_file", "credential:pin"),
        ("pkcs11_mechanism", "aes-kwp"),
        ("pkcs11_random", "system"),
        ("pkcs11_storage", "token"),
        ("pkcs11_cache", "false"),
    ];
    const KMS: [(&str, &str); 10] = [
        ("backend", "aws_kms"),
        ("path", "/k/f"),
        ("aws_kms_key_id", "alias/new"),
        ("aws_kms_previous_key_ids", "alias/old,alias/older"),
        ("aws_kms_region", "eu-west-1"),
        ("aws_kms_use_fips", "true"),
        ("aws_kms_connect_timeout", "2"),
        ("aws_kms_attempt_timeout", "3"),
        ("aws_kms_encryption_context", "a=b"),
        ("aws_kms_random", "aws_kms"),
    ];

    #[test]
    fn what_is_written_is_what_was_given() {
        for values in [&FILE[..], &TOKEN, &KMS] {
            let layer = layer(values);
            let written = layer.clone().written().unwrap();
            assert_eq!(written.0.len(), values.len(), "{written:?}");
            let given = Config {
                origin: String::new(),
                ..layer.finish().unwrap()
            };
            for again in read_again(&written) {
                assert_eq!(again, given);
            }
        }
    }

    #[test]
    fn what_holds_anyway_is_left_out() {
        let mut given = layer(&FILE[..3]);
        given.overlay(layer(&[
            ("read_only", "0"),
            ("timeout", "10"),
            ("max_size", "256M"),
            ("fingerprint", ""),
        ]));
        assert_eq!(
            given.written().unwrap(),
            layer(&FILE[..3]).written().unwrap()
        );
    }
}
