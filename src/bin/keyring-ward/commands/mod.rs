//! One command, one file.

pub mod init;
pub mod list;
pub mod rekey;
pub mod reset_marker;
pub mod status;
pub mod verify;

/// Prints a line to standard output; a closed pipe is not an error worth a panic.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints names and values in two columns.
pub fn print_rows(rows: &[(&str, String)]) {
    for (name, value) in rows {
        print(&format!("{name:<12} {value}"));
    }
}
