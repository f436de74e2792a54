//! One command, one file.

pub mod audit;
pub mod check;
pub mod compact;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod export;
pub mod hsm;
pub mod import;
pub mod init;
pub mod kek;
pub mod key;
pub mod list;
pub mod policy;
pub mod prove;
pub mod rekey;
pub mod remove;
pub mod reown;
pub mod reset_marker;
pub mod status;
pub mod transport;
pub mod verify;

use crate::options::{self, Keyring};
use crate::warnings;
use keyring_ward::admin::Target;
use keyring_ward::config::Config;
use keyring_ward::config::written::Written;
use keyring_ward::error::Result;
use std::path::PathBuf;

/// Prints a line to standard output; a closed pipe is not an error worth a panic.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what a dry run would have done.
pub fn print_would(json: bool, what: &str) {
    match json {
        true => print_answer(serde_json::json!({ "dry_run": true, "would": what })),
        false => print(&format!("Would {what}; nothing was written.")),
    }
}

/// Options of a command that changes a keyring.
#[derive(clap::Args)]
pub struct Change {
    #[command(flatten)]
    pub keyring: Keyring,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub end: TornEnd,
}

/// For a keyring file whose end is incomplete.
#[derive(clap::Args)]
pub struct TornEnd {
    /// Go on without an incomplete last record although no marker tells whether it was acknowledged: its bytes are saved
    /// beside the file and cut off
    #[arg(long)]
    cut_torn_end: bool,
}

/// The keyring that a command is about, as the operations want it.
pub struct Aim {
    pub config: Config,
    marker_dir: Option<PathBuf>,
    cut_torn_end: bool,
}

impl Aim {
    /// For a command that reads only.
    pub fn to_look(keyring: &Keyring) -> Result<Aim> {
        let options::Subject { config, .. } = keyring.subject()?;
        Ok(Aim {
            config: config?,
            marker_dir: None,
            cut_torn_end: false,
        })
    }

    /// For a command that writes.
    pub fn to_write(keyring: &Keyring, end: &TornEnd) -> Result<Aim> {
        let subject = keyring.subject()?;
        Ok(Aim {
            config: subject.config?,
            marker_dir: subject.marker_dir,
            cut_torn_end: end.cut_torn_end,
        })
    }

    pub fn target(&self) -> Target<'_> {
        Target {
            config: &self.config,
            data_dir: self.marker_dir.as_deref(),
            cut_torn_end: self.cut_torn_end,
            caller: crate::operator::caller(),
            warn: &warnings::warn,
        }
    }
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

/// The same with the warnings that came up, for commands that open a keyring for more than a look.
pub fn print_answer(mut answer: serde_json::Value) {
    warnings::put_into(&mut answer);
    print_json(&answer);
}

/// Prints names and values in two columns.
pub fn print_rows(rows: &[(std::borrow::Cow<'_, str>, String)]) {
    for (name, value) in rows {
        print(&format!("{name:<13} {value}"));
    }
}

/// Prints a configuration in each of the ways in which a server can have it.
pub fn print_configuration(written: &Written) {
    let lines = |prefix| written.lines(prefix).join("\n");
    print("Component: component_keyring_ward.cnf in the plugin directory");
    print(&format!("  {}", written.json_line()));
    print(&format!("or in my.cnf\n  [keyring_ward]\n{}", lines("  ")));
    let groups = written.kek_groups();
    for (head, lines) in &groups {
        print(&format!("  {head}\n  {}", lines.join("\n  ")));
    }
    if !groups.is_empty() {
        print(
            "Plugin: in my.cnf, with the first of the two in a file of that name\n  [mysqld]\n  early-plugin-load=keyring_ward.so\n  \
             loose_keyring_ward_config_file=/etc/mysql/keyring_ward.json",
        );
        return;
    }
    print(&format!(
        "Plugin: in my.cnf\n  [mysqld]\n  early-plugin-load=keyring_ward.so\n{}",
        lines("  loose_keyring_ward_")
    ));
}
