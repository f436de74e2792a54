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
use keyring_ward::config::written::Written;

/// Prints a line to standard output; a closed pipe is not an error worth a panic.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what a dry run would have done.
pub fn print_would(json: bool, what: &str) {
    match json {
        true => print_json(&serde_json::json!({ "dry_run": true, "would": what })),
        false => print(&format!("Would {what}; nothing was written.")),
    }
}

/// Options of a command that changes a keyring.
#[derive(clap::Args)]
pub struct Change {
    #[command(flatten)]
    pub keyring: crate::options::Keyring,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A bar for what takes longer than a second, on a terminal only.
pub struct Progress {
    what: &'static str,
    begin: std::time::Instant,
    bar: Option<indicatif::ProgressBar>,
}

impl Progress {
    /// Nothing is shown yet.
    pub fn new(what: &'static str) -> Progress {
        Progress {
            what,
            begin: std::time::Instant::now(),
            bar: None,
        }
    }

    /// So many of so many are done.
    pub fn set(&mut self, done: usize, all: usize) {
        if self.bar.is_none() && self.begin.elapsed().as_secs() >= 1 {
            // Hidden where standard error is no terminal.
            let bar = indicatif::ProgressBar::new(all as u64);
            bar.set_message(self.what);
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
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

/// Prints a configuration in each of the ways in which a server can have it.
pub fn print_configuration(written: &Written) {
    let lines = |prefix| written.lines(prefix).join("\n");
    print("Component: component_keyring_ward.cnf in the plugin directory");
    print(&format!("  {}", written.json_line()));
    print(&format!("or in my.cnf\n  [keyring_ward]\n{}", lines("  ")));
    print(&format!(
        "Plugin: in my.cnf\n  [mysqld]\n  early-plugin-load=keyring_ward.so\n{}",
        lines("  loose_keyring_ward_")
    ));
}
