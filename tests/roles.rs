//! The role matrix: every SQL function and every procedure for people has its rows, docs/reference/roles.md shows them as they are
//! tested with a real server (mysql-test/harness/role-matrix.sh), and the example policy keeps what it promises.
//! `UPDATE_DOCS=1 cargo test --test roles` writes the page's table.
#![allow(clippy::unwrap_used)]

use keyring_ward::policy::{Policy, table};
use std::collections::BTreeSet;
use std::fmt::Write;

const CALLS: &str = include_str!("../mysql-test/harness/role-matrix-calls.tsv");
const MATRIX: &str = include_str!("../mysql-test/harness/role-matrix.tsv");
const SCHEMA: &str = include_str!("../share/keyring_ward.sql");
const EXAMPLE: &str = include_str!("../share/policy-example.json");
const BEGIN: &str = "<!-- matrix: made by UPDATE_DOCS=1 cargo test --test roles; don't edit -->\n";
const END: &str = "<!-- matrix: end -->\n";

/// The lines of a table: the first one names the columns.
fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').collect())
}

/// What is called, without "with EXECUTE" and the like.
fn called(table: &'static str) -> BTreeSet<String> {
    let calls = lines(table).skip(1).map(|line| line[0]);
    calls
        .map(|call| match call.strip_prefix("CALL keyring_ward.") {
            Some(procedure) => format!("CALL {procedure}"),
            None => call.split(' ').next().unwrap().to_string(),
        })
        .collect()
}

#[test]
fn every_function_and_procedure_has_its_rows() {
    let functions = include_str!("../src/mysql/udf/all.rs").lines();
    let functions = functions.filter_map(|line| {
        let (_, named) = line.trim().split_once("::keyring_ward_")?;
        let (name, _) = named.split_once(": ")?;
        Some(format!("keyring_ward_{name}"))
    });
    let functions: BTreeSet<String> = functions.collect();
    assert!(functions.len() > 40, "{functions:?}");
    let procedures = SCHEMA.lines().filter_map(|line| {
        let (_, named) = line.split_once(" PROCEDURE ")?;
        let (name, _) = named.split_once('(')?;
        let ours = line.starts_with("CREATE") && !name.starts_with("own_");
        ours.then(|| format!("CALL {}", name.trim_matches('`')))
    });
    let all: BTreeSet<String> = functions.into_iter().chain(procedures).collect();
    for table in [CALLS, MATRIX] {
        let told = called(table).into_iter();
        let told = told.filter(|c| c.starts_with("CALL ") || c.starts_with("keyring_ward_"));
        let told: BTreeSet<String> = told.collect();
        let (missing, gone): (Vec<_>, Vec<_>) = (
            all.difference(&told).collect(),
            told.difference(&all).collect(),
        );
        assert!(
            missing.is_empty() && gone.is_empty(),
            "mysql-test/harness/role-matrix*.tsv lack {missing:?}, and have {gone:?}, which there are not"
        );
    }
}

#[test]
fn the_page_shows_the_matrix() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/roles.md");
    let mut table = String::new();
    for (i, line) in lines(MATRIX).enumerate() {
        let cells = line.iter().enumerate().map(|(at, cell)| match (i, at) {
            (0, 0..3) => (*cell).to_string(),
            (0, _) | (_, 0) => format!("`{cell}`"),
            (_, 1) if *cell == "-" => String::new(),
            (_, 1 | 2) if *cell == "any" => String::new(),
            (_, 3..) if *cell == "no" => "–".into(),
            (_, 3..) if *cell == "yes" => "**yes**".into(),
            _ => (*cell).to_string(),
        });
        writeln!(table, "| {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
        if i == 0 {
            writeln!(table, "|{}", "---|".repeat(line.len())).unwrap();
        }
    }
    let text = std::fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{table}{END}{after}");
        return std::fs::write(page, text).unwrap();
    }
    assert!(
        there == table,
        "the page is not today's: UPDATE_DOCS=1 cargo test --test roles"
    );
}

#[test]
fn the_example_keeps_what_it_promises() {
    let policy = Policy::parse(EXAMPLE.as_bytes(), "policy-example.json").unwrap();
    let rows = table::parse(include_bytes!("../share/policy-example.expected.json"), 0).unwrap();
    assert!(rows.len() > 30);
    assert_eq!(table::compare(&policy, &rows), []);
    // Every rule is tried with what it is for.
    let named: BTreeSet<&str> = rows.iter().filter_map(|row| row.rule.as_deref()).collect();
    let rules: BTreeSet<&str> = policy.rules().iter().map(|rule| &*rule.name).collect();
    assert_eq!(named, rules);
    // What the roles get is what the rules name.
    for line in SCHEMA.lines() {
        let granted = line.strip_prefix("CALL own_grant('KEYRING_WARD_USE");
        let Some(name) = granted.and_then(|rest| rest.split(' ').next()) else {
            continue;
        };
        let name = format!("KEYRING_WARD_USE{name}");
        assert!(policy.privileges().contains(&name), "{name}");
    }
}
