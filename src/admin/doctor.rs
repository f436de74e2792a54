//! `doctor`: will a server start with this keyring? Every step that the server will take, as far as it can be
//! taken without it, with the remedy for what is wrong.
//!
//! It must never change anything: it works beside a running server, as root and as the account of mysqld.

use super::inspect::inspect;
use crate::config::{Config, KekConfig, SecretRef, hex};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::kek;
use crate::secret::SecretPool;
use crate::store::file::lock::Lock;
use crate::store::file::marker;
use crate::sys::{self, Identity};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server starts, but look at it.
    Warning,
    /// The server's keyring will be Disabled.
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
    /// What was seen, and what to do about it.
    pub detail: String,
}

/// What surrounds the keyring, as far as the caller knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The server's plugin directory.
    pub plugin_dir: Option<&'a Path>,
    /// The server's data directory.
    pub data_dir: Option<&'a Path>,
}

/// Names that MySQL loads us by.
const LIBRARIES: [&str; 2] = ["component_keyring_ward.so", "keyring_ward.so"];
/// What Oracle's AppArmor profile allows for keyrings.
const APPARMOR_ALLOWS: &str = "/var/lib/mysql-keyring/";

/// Takes every step. `config` is what the search for a configuration gave.
pub fn doctor(config: &Result<Config>, around: Surroundings<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut say = |what, verdict, detail: String| {
        findings.push(Finding {
            what,
            verdict,
            detail,
        });
    };
    if let Some(dir) = around.plugin_dir {
        let (verdict, detail) = library(dir);
        say("library", verdict, detail);
    }
    let config = match config {
        Ok(config) => config,
        Err(e) => {
            say("configuration", Verdict::Failure, e.to_string());
            return findings;
        }
    };
    say(
        "configuration",
        Verdict::Ok,
        format!(
            "backend {}, from {}{}",
            config.backend.name(),
            config.origin,
            if config.read_only { ", read-only" } else { "" }
        ),
    );
    let identity = match around.data_dir.or(config.path.parent()) {
        Some(folder) => Identity::owner_of(folder),
        None => Identity::own(),
    };
    let (verdict, detail) = folder(config, around.data_dir);
    say("folder", verdict, detail);
    if verdict == Verdict::Failure && config.path.parent().is_none_or(|f| !f.is_dir()) {
        return findings;
    }
    let entered = match identity.enter() {
        Ok(guard) => guard,
        Err(e) => {
            say("account", Verdict::Failure, e.to_string());
            return findings;
        }
    };
    let uid = sys::effective_uid();
    match uid {
        0 => say(
            "account",
            Verdict::Warning,
            "files are looked at as root, who may read everything: run it as the account of mysqld, or give --datadir".into(),
        ),
        uid => say("account", Verdict::Ok, format!("files are looked at as user {uid}")),
    }
    let exists = config.path.symlink_metadata().is_ok();
    let (verdict, detail) = file(config, around.data_dir, exists);
    say("keyring file", verdict, detail);
    let mut keys = 0;
    if exists {
        match inspect(config) {
            Ok(report) => {
                keys = report.keys;
                let row = |name: &str| {
                    let found = report.rows.iter().find(|r| r.0 == name);
                    found.map(|r| r.1.clone()).unwrap_or_default()
                };
                say(
                    "opens",
                    if report.warnings.is_empty() {
                        Verdict::Ok
                    } else {
                        Verdict::Warning
                    },
                    [
                        vec![format!("{keys} keys, by {}", row("Opened_by"))],
                        report.warnings.clone(),
                    ]
                    .concat()
                    .join(" "),
                );
                if let Some(dir) = around.data_dir {
                    let (verdict, detail) = fits(dir, &row("File_id"), &row("Last_record"));
                    say("marker", verdict, detail);
                }
            }
            Err(e) => say("opens", Verdict::Failure, e.to_string()),
        }
    } else if let Some(kek) = config.keks.first() {
        let kek = kek::from_config(kek);
        match kek.probe(&SecretPool::new(), Deadline::after(config.patience.call)) {
            Ok(()) => say("KEK", Verdict::Ok, format!("{} answers", kek.describe())),
            Err(e) => say("KEK", Verdict::Failure, e.to_string()),
        }
    }
    let (verdict, detail) = lock(config);
    say("lock", verdict, detail);
    let (verdict, detail) = disk(config);
    say("disk", verdict, detail);
    let (verdict, detail) = memory(keys);
    say("locked memory", verdict, detail);
    drop(entered);
    let (verdict, detail) = mandatory_access(config);
    say("AppArmor, SELinux", verdict, detail);
    let (verdict, detail) = clock();
    say("clock", verdict, detail);
    findings
}

fn library(dir: &Path) -> (Verdict, String) {
    let present = LIBRARIES.map(|name| dir.join(name));
    let Some((path, meta)) = present
        .iter()
        .find_map(|path| Some((path, path.metadata().ok()?)))
    else {
        return (
            Verdict::Failure,
            format!(
                "'{}' has none of {}: install it with scripts/install.sh",
                dir.display(),
                LIBRARIES.join(", ")
            ),
        );
    };
    if meta.mode() & 0o022 != 0 {
        return (
            Verdict::Failure,
            format!(
                "'{0}' can be changed by others (mode {1:04o}): run chmod 755 '{0}'",
                path.display(),
                meta.mode() & 0o7777
            ),
        );
    }
    (Verdict::Ok, format!("'{}'", path.display()))
}

fn folder(config: &Config, data_dir: Option<&Path>) -> (Verdict, String) {
    let Some(folder) = config.path.parent() else {
        return (Verdict::Failure, "the keyring has no folder".into());
    };
    let shown = folder.display();
    let meta = match folder.metadata() {
        Ok(meta) if meta.is_dir() => meta,
        Ok(_) => {
            return (
                Verdict::Failure,
                format!("'{shown}' is not a folder: correct path"),
            );
        }
        Err(e) => {
            return (
                Verdict::Failure,
                format!("'{shown}': {e}. Make it: install -d -o mysql -g mysql -m 0750 '{shown}'"),
            );
        }
    };
    if meta.mode() & 0o002 != 0 {
        return (
            Verdict::Failure,
            format!("everybody can put files into '{shown}': run chmod o-w '{shown}'"),
        );
    }
    if let Some(owner) = data_dir.and_then(|d| d.metadata().ok()).map(|m| m.uid())
        && owner != meta.uid()
    {
        return (
            Verdict::Failure,
            format!(
                "'{shown}' belongs to user {}, the data directory to user {owner}: run chown --reference='{}' '{shown}'",
                meta.uid(),
                data_dir.unwrap_or(folder).display()
            ),
        );
    }
    if data_dir.is_some_and(|d| folder.starts_with(d)) {
        return (
            Verdict::Warning,
            format!(
                "'{shown}' is inside the data directory: a copy of the data has the keyring with it. Use a folder outside"
            ),
        );
    }
    if meta.mode() & 0o020 != 0 {
        return (
            Verdict::Warning,
            format!("the group can put files into '{shown}': run chmod g-w '{shown}'"),
        );
    }
    (
        Verdict::Ok,
        format!(
            "'{shown}', mode {:04o}, user {}",
            meta.mode() & 0o7777,
            meta.uid()
        ),
    )
}

fn file(config: &Config, data_dir: Option<&Path>, exists: bool) -> (Verdict, String) {
    let shown = config.path.display();
    if !exists {
        let marked = data_dir.filter(|d| marker::path_in(d).exists());
        return match (marked, config.read_only) {
            (Some(dir), _) => (
                Verdict::Failure,
                format!(
                    "'{shown}' does not exist, but the data directory had a keyring. {}",
                    marker::reset_hint(dir)
                ),
            ),
            (None, true) => (
                Verdict::Failure,
                format!("'{shown}' does not exist, and read_only forbids making it"),
            ),
            (None, false) => (
                Verdict::Warning,
                format!(
                    "'{shown}' does not exist: the first key makes it. Or make it now: keyring-ward init"
                ),
            ),
        };
    }
    match sys::open(&config.path, sys::Access::Read) {
        Err(e) => (
            Verdict::Failure,
            format!("'{shown}': {e}. The account of mysqld must own it, mode 0600"),
        ),
        Ok((_, meta)) if meta.mode() & 0o077 != 0 => (
            Verdict::Warning,
            format!(
                "others can read '{shown}' (mode {:04o}): it is encrypted, but run chmod 600 '{shown}'",
                meta.mode() & 0o7777
            ),
        ),
        Ok((_, meta)) => (Verdict::Ok, format!("'{shown}', {} bytes", meta.len())),
    }
}

/// The marker belongs to this file and is not beyond it.
fn fits(data_dir: &Path, file_id: &str, last: &str) -> (Verdict, String) {
    match marker::read(data_dir) {
        Err(e) => (Verdict::Failure, e.to_string()),
        Ok(None) => (
            Verdict::Ok,
            "none yet: the server makes it at its first start".into(),
        ),
        Ok(Some(m)) if hex(&m.file_id) != file_id => (
            Verdict::Failure,
            format!(
                "the data directory belongs to another keyring. {}",
                marker::reset_hint(data_dir)
            ),
        ),
        Ok(Some(m)) if last.parse().is_ok_and(|last: u64| last < m.sequence) => (
            Verdict::Failure,
            format!(
                "the keyring file is an older copy: it ends with record {last}, the server had record {}. {}",
                m.sequence,
                marker::reset_hint(data_dir)
            ),
        ),
        Ok(Some(m)) => (Verdict::Ok, format!("fits, record {} or later", m.sequence)),
    }
}

/// Whether somebody holds the keyring, without taking it.
fn lock(config: &Config) -> (Verdict, String) {
    match Lock::is_held(&config.path) {
        Ok(None) => (
            Verdict::Ok,
            "held by nobody that this process can see".into(),
        ),
        Ok(Some(who)) => (
            Verdict::Warning,
            format!(
                "held by {who}: another server can't start with this keyring. Fine if that is your running server"
            ),
        ),
        Err(e) => (Verdict::Failure, e.to_string()),
    }
}

fn disk(config: &Config) -> (Verdict, String) {
    let folder = config.path.parent().unwrap_or(Path::new("/"));
    let size = config.path.metadata().map_or(0, |m| m.len());
    // A rewrite needs the whole file again.
    let wanted = size * 2 + (1 << 20);
    match sys::free_bytes(folder) {
        Ok(free) if free < wanted => (
            Verdict::Failure,
            format!(
                "{free} bytes are free for '{}', {wanted} are wanted: make room",
                folder.display()
            ),
        ),
        Ok(free) => (Verdict::Ok, format!("{} MiB free", free >> 20)),
        Err(e) => (Verdict::Warning, format!("'{}': {e}", folder.display())),
    }
}

fn memory(keys: usize) -> (Verdict, String) {
    // A key of 32 bytes takes a slot of 64; plus some pages.
    let wanted = keys as u64 * 64 + 65_536;
    match sys::locked_memory_limit() {
        None => (Verdict::Ok, "unlimited for this process".into()),
        Some(limit) if limit < wanted => (
            Verdict::Warning,
            format!(
                "this process may lock {limit} bytes, {wanted} are wanted: keys may be swapped. In the unit: LimitMEMLOCK=infinity"
            ),
        ),
        Some(limit) => (
            Verdict::Ok,
            format!("{limit} bytes for this process (a unit's is LimitMEMLOCK)"),
        ),
    }
}

/// Every file that the server has to reach besides the keyring.
fn needed_files(config: &Config) -> Vec<PathBuf> {
    let mut files = vec![config.path.clone()];
    let mut secret = |source: &SecretRef| {
        if let SecretRef::File(path) = source {
            files.push(path.clone());
        }
    };
    for kek in &config.keks {
        match kek {
            KekConfig::Passphrase(source) | KekConfig::KeyFile(source) => secret(source),
            KekConfig::Pkcs11(pkcs11) => {
                secret(&pkcs11.pin);
                secret(&SecretRef::File(pkcs11.module.clone()));
            }
            KekConfig::AwsKms(kms) => {
                kms.credentials_file.iter().for_each(&mut secret);
                let ca = kms.ca_file.clone().map(|f| SecretRef::File(f.into()));
                ca.iter().for_each(&mut secret);
            }
        }
    }
    files
}

fn mandatory_access(config: &Config) -> (Verdict, String) {
    let profiles = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    let confined = profiles
        .unwrap_or_default()
        .lines()
        .any(|l| l.contains("mysqld") && l.contains("(enforce)"));
    let enforcing =
        std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|t| t.trim() == "1");
    let outside: Vec<String> = needed_files(config)
        .iter()
        .filter(|f| !f.starts_with(APPARMOR_ALLOWS))
        .map(|f| format!("'{}'", f.display()))
        .collect();
    match (confined, enforcing, outside.is_empty()) {
        (true, _, false) => (
            Verdict::Warning,
            format!(
                "AppArmor confines mysqld, and its profile may not allow {}: see contrib/apparmor",
                outside.join(", ")
            ),
        ),
        (_, true, _) => (
            Verdict::Warning,
            "SELinux is enforcing: files need the type mysqld_db_t, see contrib/selinux".into(),
        ),
        (true, _, true) => (
            Verdict::Ok,
            format!("AppArmor confines mysqld; everything lies below {APPARMOR_ALLOWS}"),
        ),
        _ => (
            Verdict::Ok,
            "neither confines mysqld, as far as this process sees".into(),
        ),
    }
}

fn clock() -> (Verdict, String) {
    /// 2026-01-01
    const EARLIEST: i64 = 1_767_225_600;
    let now = sys::unix_seconds();
    match now < EARLIEST {
        true => (
            Verdict::Warning,
            format!("it is {} here: set the clock", sys::utc(now)),
        ),
        false => (Verdict::Ok, sys::utc(now)),
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
