//! `doctor`: will a server start with this keyring? Every step that the server will take, as far as it can be
//! taken without it, with the remedy for what is wrong.
//!
//! Owns the order of the checks, one of which is one file. It must never change anything: it works beside a running
//! server, as root and as the account of mysqld. A verdict is the server's opinion: a failure is said only where the
//! keyring would be disabled, not used, or the server not start; `mysql-test/harness/doctor-tests.sh` compares.

mod account;
mod archives;
mod before;
mod configuration;
mod disk;
mod file;
mod files;
mod folder;
mod keks;
mod library;
mod lock;
mod mandatory;
mod manifest;
mod marker;
mod memory;
mod opens;
mod options;
mod policy;
mod provider;
mod rights;

pub use library::try_library;

use crate::config::Config;
use crate::config::locate::{Found, Serves};
use crate::error::{Error, Result};
use crate::keyring::Keyring;
use std::path::{Path, PathBuf};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server starts and uses the keyring, but look at it.
    Warning,
    /// The server's keyring will be disabled or another one, or the server will not start.
    Failure,
}

impl Verdict {
    /// The word for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failure => "failure",
        }
    }
}

/// One step.
#[derive(Debug)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty where nothing is to be done.
    pub remedy: String,
}

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// What the search for a configuration gave.
    pub config: &'a Result<Config>,
    /// The server, where one is named; else only the keyring is looked at.
    pub server: Option<&'a Found>,
    /// The server's data directory.
    pub data_dir: Option<&'a Path>,
    /// Root has become the account, with the groups that this machine knows of.
    pub groups_unknown: bool,
}

/// What the checks share.
struct Look<'a> {
    setup: Setup<'a>,
    findings: Vec<Finding>,
}

impl Look<'_> {
    fn say(&mut self, what: &'static str, verdict: Verdict, detail: String, remedy: String) {
        self.findings.push(Finding {
            what,
            verdict,
            detail,
            remedy,
        });
    }

    fn ok(&mut self, what: &'static str, detail: impl Into<String>) {
        self.say(what, Verdict::Ok, detail.into(), String::new());
    }

    fn warn(&mut self, what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.say(what, Verdict::Warning, detail.into(), remedy.into());
    }

    fn fail(&mut self, what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.say(what, Verdict::Failure, detail.into(), remedy.into());
    }

    fn error(&mut self, what: &'static str, error: &Error) {
        let number = format!("KW-{:04}: ", error.kind().number());
        let advice = error.advice().unwrap_or_default();
        self.fail(what, number + error.message().trim_end_matches('.'), advice);
    }

    fn plugin_dir(&self) -> Option<PathBuf> {
        self.setup.server?.plugin_dir.clone()
    }
}

/// Takes every step.
pub fn doctor(setup: Setup<'_>) -> Vec<Finding> {
    let mut look = Look {
        setup,
        findings: Vec::new(),
    };
    account::check(&mut look);
    match setup.server {
        Some(server) => {
            options::check(&mut look, server);
            manifest::check(&mut look, server);
            library::check(&mut look, server);
        }
        None => look.warn(
            "server",
            "none is named, so that it was not looked at whether one loads this keyring",
            "Name it instead of --config or --path: --defaults-file, --plugin-dir, --datadir.",
        ),
    }
    options::data_directory(&mut look);
    if let Some(config) = configuration::check(&mut look) {
        rights::check(&mut look, config);
        provider::check(&mut look, config);
        if folder::check(&mut look, config) {
            file::check(&mut look, config);
            let keyring = opens::check(&mut look, config);
            keks::check(&mut look, config);
            before::check(&mut look, config);
            let keys = keyring.as_ref().map_or(0, Keyring::len);
            if let Some(keyring) = keyring {
                archives::check(&mut look, &keyring);
                files::check(&mut look, config, keyring);
            }
            lock::check(&mut look, config);
            disk::check(&mut look, config);
            memory::check(&mut look, keys);
        }
        policy::check(&mut look, config);
        mandatory::check(&mut look, config);
    }
    clock(&mut look);
    look.findings
}

/// What brings a mended keyring into a server that runs already.
pub fn how_to_reload(findings_of: Setup<'_>) -> &'static str {
    match findings_of.server.map(|s| &s.serves) {
        Some(Serves::Plugin) => {
            "A running server takes it by SELECT keyring_ward_reload() or a restart."
        }
        Some(Serves::Component) => {
            "A running server takes it by ALTER INSTANCE RELOAD KEYRING or a restart."
        }
        _ => "Then restart the server.",
    }
}

fn clock(look: &mut Look<'_>) {
    /// 2026-01-01
    const EARLIEST: i64 = 1_767_225_600;
    let now = crate::os::unix_seconds();
    match now < EARLIEST {
        true => look.warn(
            "clock",
            format!("it is {} here", crate::text::utc(now)),
            "Set the clock.",
        ),
        false => look.ok("clock", crate::text::utc(now)),
    }
}

/// The worst verdict of all.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings
        .iter()
        .map(|f| f.verdict)
        .max()
        .unwrap_or(Verdict::Ok)
}
