//! Rows of docs/proof/kek-faults.md: what a test of a provider saw of a fault, with kind, seconds and sentence. A module of
//! tests. It decides nothing: the tests do.

#![allow(dead_code, missing_docs, clippy::print_stdout)]

use keyring_ward::error::Error;
use std::time::Duration;

/// A fault that was told as `e`.
pub fn told(provider: &str, fault: &str, e: &Error, took: Duration) {
    row(provider, fault, e.kind().name(), took, &e.message());
}

/// A row of the table of `table`.
pub fn row(table: &str, fault: &str, outcome: &str, took: Duration, sentence: &str) {
    let text = |text: &str| stable(text).replace('|', "/");
    println!(
        "| {table} | {} | {outcome} | {:.1} | {} |",
        text(fault),
        took.as_secs_f64(),
        text(sentence)
    );
}

/// Without what is another one in each run, or a place of one machine: ports, folders of tests, times.
fn stable(text: &str) -> String {
    let mut stable = String::new();
    for word in text.split_inclusive(' ') {
        let word = match word.find('/') {
            Some(at) if word[at..].contains("/tmp/") => {
                let file = word.rsplit('/').next().unwrap_or_default();
                format!("{}…/{file}", &word[..at])
            }
            _ => word.to_string(),
        };
        stable += &without_port(&word);
    }
    match stable.split_once(": verification time") {
        Some((before, _)) => format!("{before}."),
        None => stable,
    }
}

/// `localhost:40123` → `localhost:PORT`.
fn without_port(word: &str) -> String {
    for host in ["localhost:", "127.0.0.1:"] {
        if let Some((before, after)) = word.split_once(host) {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            return format!("{before}{host}PORT{rest}");
        }
    }
    word.to_string()
}
