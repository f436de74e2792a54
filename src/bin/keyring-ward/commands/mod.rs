//! One command, one file.

pub mod compact;
pub mod completions;
pub mod doctor;
pub mod export;
pub mod hsm;
pub mod import;
pub mod init;
pub mod list;
pub mod rekey;
pub mod remove;
pub mod reown;
pub mod reset_marker;
pub mod status;
pub mod verify;

use keyring_ward::admin::init::Made;

/// Prints a line to standard output; a closed pipe is not an error worth a panic.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints JSON for programs.
pub fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}"));
}

/// Prints names and values in two columns.
pub fn print_rows(rows: &[(&str, String)]) {
    for (name, value) in rows {
        print(&format!("{name:<12} {value}"));
    }
}

/// Says what was made for a KEK, and what it is worth.
pub fn print_made(made: &Made) {
    match made {
        Made::Secret(path) => print(&format!(
            "Made the secret '{}'. Keep a copy of it apart from the database's backups: without \
             it the keyring can't be opened.",
            path.display()
        )),
        Made::Key(key) => print(&format!(
            "Made the key {key} on the token. It can't leave the HSM: without the token, or a backup of it by \
             the vendor's means, the keyring can't be opened."
        )),
    }
}
