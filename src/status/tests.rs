//! The status by all its names, of keyrings that were made up.

use super::fields::{FIELDS, View};
use super::metrics::{METRICS, Type, render};
use super::*;
use crate::kek::Contact;
use crate::kek::randomness::{Random, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

fn configured() -> Configured {
    Configured {
        backend: "aws_kms",
        path: "/keys/a \"b\"\\c\nd.ward".into(),
        read_only: false,
    }
}

/// A keyring that serves, and of which everything is known.
fn serving() -> Status {
    let times = Times {
        calls: 5,
        failed: 1,
        total: 2_000_017,
        longest: 1_500_000,
    };
    Status {
        configured: Some(configured()),
        open: Some(keyring::Status {
            mode: Mode::ReadWrite,
            random: keyring::RandomInfo {
                random: Random {
                    source: Source::Kek,
                    keys: true,
                    by_default: false,
                },
                reserve: 992,
                missed: 8,
            },
            keys: 7,
            counts: KeyCounts {
                logical: 2,
                retired: 3,
                rotation_due_in_days: Some(-1),
                rotations_due: 1,
                destructions_due: 0,
            },
            store: StoreInfo {
                exists: true,
                file_id: Some([0x11; 16]),
                fingerprint: Some([0x22; 16]),
                generation: 3,
                sequence: 41,
                bytes: 4096,
                live_bytes: 3000,
                dead_bytes: 90,
                opened_by: "AWS KMS key 'k'".into(),
                mechanism: "aws-kms".into(),
                key_ref: "arn:k".into(),
                contact: Some(Contact {
                    calls: 9,
                    errors: 2,
                    last_success: Some(1_700_000_000),
                    last_error: Some("KW-0012 Unreachable: gone.".into()),
                }),
                marker_failures: 4,
                ..StoreInfo::default()
            },
        }),
        served: Some(Served {
            fetches: 100,
            writes: times,
            loads: times,
            errors: 6,
            denials: 8,
        }),
        lease: Some((State::NotStarted, Some(1_700_000_100))),
        audit: Some(logging::Info {
            state: logging::State::Failing,
            why: Some("The disk.".into()),
            line: 7,
            synced_at: Some(1_700_000_000),
            dropped: 3,
            owed: 2,
        }),
        last_errors: vec![LastError::now(&Error::new(Kind::Io, "write", "the disk"))],
        warnings: vec!["A warning.".into()],
    }
}

/// The same as the tool sees it.
fn looked_at() -> Status {
    Status {
        served: None,
        lease: None,
        audit: None,
        last_errors: Vec::new(),
        ..serving()
    }
}

/// What the text exposition format allows, for one sample a line: name, labels and value.
fn parse(text: &str) -> BTreeMap<String, String> {
    let name_ends = |text: &str| {
        text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(text.len())
    };
    let is_name = |name: &str| {
        !name.is_empty() && name_ends(name) == name.len() && !name.as_bytes()[0].is_ascii_digit()
    };
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    let (mut typed, mut helped) = (BTreeMap::new(), BTreeSet::new());
    let mut samples = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !words.contains('\\'), "{line}");
            assert!(helped.insert(name.to_string()), "helped twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert!(helped.contains(name), "{line}");
            let before = typed.insert(name.to_string(), kind.to_string());
            assert_eq!(before, None, "typed twice: {line}");
            current = name.into();
        } else {
            let end = name_ends(line);
            let (name, rest) = line.split_at(end);
            assert_eq!(name, current, "a sample away from its TYPE: {line}");
            let value = match rest.strip_prefix('{') {
                None => rest,
                Some(mut labels) => loop {
                    let end = name_ends(labels);
                    assert!(is_name(&labels[..end]), "{line}");
                    labels = labels[end..].strip_prefix("=\"").unwrap();
                    let mut characters = labels.char_indices();
                    let close = loop {
                        match characters.next().unwrap() {
                            (_, '\\') => {
                                let (_, escaped) = characters.next().unwrap();
                                assert!("\\\"n".contains(escaped), "{line}");
                            }
                            (at, '"') => break at,
                            _ => {}
                        }
                    };
                    labels = &labels[close + 1..];
                    match labels.strip_prefix(',') {
                        Some(more) => labels = more,
                        None => break labels.strip_prefix('}').unwrap(),
                    }
                },
            };
            let value = value.strip_prefix(' ').unwrap();
            value.parse::<f64>().unwrap();
            let series = line[..line.len() - value.len() - 1].to_string();
            let twice = samples.insert(series, value.to_string());
            assert_eq!(twice, None, "{line}");
        }
    }
    assert_eq!(typed.len(), helped.len());
    samples
}

#[test]
fn the_metrics_keep_the_rules_of_the_format() {
    let disabled = Status::of_failure(&Error::new(Kind::WrongKek, "open", "no KEK fits"));
    for status in [serving(), looked_at(), disabled, Status::default()] {
        parse(&render(&status));
    }
    let mut names = BTreeSet::new();
    for metric in &METRICS {
        let name = metric.name;
        assert!(names.insert(name), "{name}");
        assert!(name.starts_with("keyring_ward_"), "{name}");
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Type::Counter,
            "{name}"
        );
        assert!(!name.contains("_us") && !name.contains("micro"), "{name}");
        assert!(metric.help.ends_with('.'), "{name}");
    }
}

#[test]
fn the_metrics_tell_what_the_status_knows() {
    let samples = parse(&render(&serving()));
    let of = |name: &str| samples[&format!("keyring_ward_{name}")].as_str();
    assert_eq!((of("up"), of("keys"), of("generation")), ("1", "7", "3"));
    assert_eq!((of("logical_keys"), of("retired_keys")), ("2", "3"));
    assert_eq!((of("rotations_due"), of("destructions_due")), ("1", "0"));
    assert_eq!(of("last_error_number"), "11");
    assert_eq!(of("file_bytes"), "4096");
    assert_eq!(
        (of("write_seconds_total"), of("write_longest_seconds")),
        ("2.000017", "1.500000")
    );
    assert_eq!(of("kek_last_success_timestamp_seconds"), "1700000000");
    let info = samples.keys().find(|s| s.contains("_info{")).unwrap();
    assert!(
        info.contains(r#"data_file="/keys/a \"b\"\\c\nd.ward""#),
        "{info}"
    );
    // What counts from the process's start means nothing for a look.
    let looked = parse(&render(&looked_at()));
    assert!(looked.keys().all(|name| !name.ends_with("_total")));
    assert_eq!(looked["keyring_ward_warnings"], "1");
    assert_eq!(looked["keyring_ward_last_error_number"], "0");
}

#[test]
fn a_keyring_that_does_not_open_is_down_with_its_error() {
    let samples = parse(&render(&Status::of_failure(&Error::new(
        Kind::WrongKek,
        "open",
        "no KEK fits",
    ))));
    assert_eq!(samples["keyring_ward_up"], "0");
    assert_eq!(samples["keyring_ward_last_error_number"], "8");
    let known: Vec<_> = samples.keys().map(String::as_str).collect();
    assert_eq!(
        known,
        [
            "keyring_ward_last_error_number",
            "keyring_ward_last_error_timestamp_seconds",
            "keyring_ward_status_timestamp_seconds",
            "keyring_ward_up"
        ],
        "what is not known has no sample"
    );
}

#[test]
fn one_thing_has_one_name_everywhere() {
    let status = serving();
    let mut names = BTreeSet::new();
    assert!(FIELDS.iter().all(|f| names.insert(f.member())));
    for view in [View::Sql, View::Tool] {
        let json = status.json(view);
        for (name, _) in status.rows(view, "None") {
            assert!(json.contains_key(&name.to_ascii_lowercase()), "{name}");
        }
    }
    let rows = status.rows(View::Rows, "None");
    let expected = [
        ("Component_name", "component_keyring_ward"),
        ("Author", "Keyring Ward"),
        ("License", "Apache-2.0 OR MIT"),
        ("Implementation_name", "component_keyring_ward"),
        ("Version", crate::VERSION),
        ("Component_status", "Active"),
        ("Backend", "aws_kms"),
        ("Data_file", "/keys/a \"b\"\\c\nd.ward"),
        ("Read_only", "No"),
        ("Generation", "3"),
        ("Keys", "7"),
        ("Logical_keys", "2"),
        ("Retired_keys", "3"),
        ("Rotations_due", "1"),
        ("Rotation_due_in_days", "-1"),
        ("Destructions_due", "0"),
        ("Opened_by", "AWS KMS key 'k'"),
        ("KEK_mechanism", "aws-kms"),
        ("KEK_last_contact", ""),
        ("Lease_state", "not started"),
        ("Lease_until", "2023-11-14T22:15:00Z"),
        ("Audit_state", "failing"),
        ("Audit_line", "7"),
        ("Audit_dropped", "3"),
        ("Audit_error", "The disk."),
        ("Last_error", "KW-0011 Io: Could not write: the disk."),
    ];
    assert_eq!(rows.len(), expected.len());
    for ((name, value), (row, shown)) in rows.iter().zip(expected) {
        assert_eq!(name, row);
        match row {
            "KEK_last_contact" => assert!(value.ends_with(" s ago, 9 calls, 2 failed"), "{value}"),
            _ => assert_eq!(value, shown),
        }
    }
}

#[test]
fn a_disabled_keyring_tells_what_was_configured_and_why() {
    let mut status = Status {
        configured: Some(configured()),
        open: None,
        ..serving()
    };
    let rows = |status: &Status| -> BTreeMap<String, String> {
        let rows = status.rows(View::Rows, "None").into_iter();
        rows.map(|(name, value)| (name.into(), value)).collect()
    };
    let disabled = rows(&status);
    assert_eq!(disabled["Component_status"], "Disabled");
    for name in ["Generation", "Keys", "Opened_by", "KEK_mechanism"] {
        assert_eq!(disabled[name], "None", "{name}");
    }
    assert_eq!(
        (disabled["Backend"].as_str(), disabled["Read_only"].as_str()),
        ("aws_kms", "No")
    );
    assert!(disabled["Last_error"].starts_with("KW-0011 "));
    let json = status.json(View::Sql);
    assert_eq!((&json["keys"], &json["errors"]), (&().into(), &6.into()));
    assert_eq!(json["last_error"]["kind"], "Io");
    assert!(json["last_error"]["also"].is_null());
    // A second thing that is wrong is told as well.
    let second = LastError::now(&Error::new(Kind::Config, "read", "a name"));
    status.last_errors.push(second);
    let json = status.json(View::Sql);
    let also = json["last_error"]["also"].as_str().unwrap();
    assert_eq!(also, "KW-0005 Config: Could not read: a name.");
    assert!(rows(&status)["Last_error"].ends_with(also));
    status.configured = None;
    assert_eq!(rows(&status)["Read_only"], "None");
}

#[test]
fn refused_writes_are_told_by_the_row_of_the_last_error() {
    let mut status = serving();
    if let Some(open) = &mut status.open {
        open.store.refusing = Some("the disk is full".into());
        open.store.exists = false;
    }
    let rows: BTreeMap<_, _> = status.rows(View::Rows, "None").into_iter().collect();
    assert_eq!(
        rows["Last_error"],
        "KW-0004 ReadOnly: Writes are refused: the disk is full."
    );
    assert_eq!(rows["Generation"], "None", "it is not created yet");
    let json = status.json(View::Sql);
    assert_eq!(json["writes_refused"], "the disk is full");
    assert_eq!(json["last_error"]["number"], 11);
}

#[test]
fn the_page_lists_all_names() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/status.md");
    let mut text = std::fs::read_to_string(&page).unwrap();
    for (which, table) in [
        ("fields", fields::table()),
        ("keks", keks::table()),
        ("metrics", metrics::table()),
    ] {
        let begin = format!("<!-- {which}: from the code -->\n");
        let (before, inside) = text.split_once(&begin).unwrap();
        let (inside, after) = inside.split_once("<!-- end -->").unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            text = format!("{before}{begin}{table}<!-- end -->{after}");
            std::fs::write(&page, &text).unwrap();
            continue;
        }
        assert_eq!(
            inside.trim(),
            table.trim(),
            "docs/reference/status.md, {which}: UPDATE_DOCS=1 cargo test --lib the_page_lists_all_names"
        );
    }
}
