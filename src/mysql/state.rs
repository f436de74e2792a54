//! The one static of this crate: what the server's calls share.
//!
//! Owns the current keyring (swapped whole on reload), the reason why there is none, and what was
//! learnt about the process at load time. It must never hold a lock while a disk is waited for,
//! except [`reload`]'s own, which only other reloads wait for.

use super::account::Acting;
use super::counters::COUNTERS;
use super::guard;
use super::log::{self, Log};
use crate::config::Config;
use crate::config::discover::CommandLine;
use crate::deadline::Deadline;
use crate::error::{Error, Kind, Result};
use crate::key::id::list_short_first;
use crate::key::record::KeyRecord;
use crate::keyring::{Environment, Keyring, starting};
use crate::os::{self, identity};
use crate::secret::SecretPool;
use crate::store::Mode;
use arc_swap::{ArcSwapOption, Guard};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Which role the keyring was opened in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Through the manifest and `keyring_load`.
    Component,
    /// As a keyring plugin.
    Plugin,
}

struct State {
    log: Log,
    /// Readers neither lock nor count: each fetch of each connection comes by here.
    keyring: ArcSwapOption<Keyring>,
    /// Which role opened it: only that one closes it.
    opened_by: Mutex<Option<Role>>,
    /// Why there is no keyring, or the last error of a call or reload.
    last_error: Mutex<Option<String>>,
    /// The last panic that was caught: it is told beside whatever else is wrong.
    last_defect: Mutex<Option<String>>,
    /// The last request of an account that was refused. No trouble, and never in the place of one.
    last_refusal: Mutex<Option<String>>,
    /// The configuration that was last tried, for the status rows of a disabled keyring.
    last_config: Mutex<Option<Config>>,
    process: OnceLock<CommandLine>,
    /// Whose rights are used while the process is root.
    acting: Acting,
    forked: AtomicBool,
    reloading: Mutex<()>,
    /// A load was tried before.
    tried: AtomicBool,
    /// How the last load found what it loaded, to do it again.
    last_load: Mutex<Option<LastLoad>>,
}

/// How the configuration is found.
type Finder = Arc<dyn Fn() -> Result<Config> + Send + Sync>;

#[derive(Clone)]
struct LastLoad {
    role: Role,
    instance_dir: Option<PathBuf>,
    config: Finder,
}

static STATE: State = State {
    log: Log::new(),
    keyring: ArcSwapOption::const_empty(),
    opened_by: Mutex::new(None),
    last_error: Mutex::new(None),
    last_defect: Mutex::new(None),
    last_refusal: Mutex::new(None),
    last_config: Mutex::new(None),
    process: OnceLock::new(),
    acting: Acting::new(),
    forked: AtomicBool::new(false),
    reloading: Mutex::new(()),
    tried: AtomicBool::new(false),
    last_load: Mutex::new(None),
};

/// The mutex's content, whatever happened to a thread that held it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log.
pub fn log() -> &'static Log {
    &STATE.log
}

extern "C" fn in_child() {
    // Async-signal-safe: one atomic, nothing that could panic.
    STATE.forked.store(true, Ordering::Release);
}

/// Learns about the process. Called first by whatever role is loaded first; later calls do
/// nothing.
pub fn learn_about_process() {
    STATE.process.get_or_init(|| {
        crate::os::at_fork_in_child(in_child);
        crate::panics::be_silent();
        CommandLine::of_this_process()
    });
}

/// The process's command line.
pub fn command_line() -> &'static CommandLine {
    learn_about_process();
    STATE.process.get_or_init(CommandLine::default)
}

/// After a fork: the child locks its pages again (`mlock` is not inherited).
pub fn after_fork() {
    if STATE.forked.load(Ordering::Acquire)
        && STATE.forked.swap(false, Ordering::AcqRel)
        && let Some(keyring) = current()
    {
        keyring.pool().relock();
    }
}

fn current() -> Option<Arc<Keyring>> {
    STATE.keyring.load_full()
}

/// The keyring as it is now; a reload meanwhile does not take it away.
pub struct Current(Guard<Option<Arc<Keyring>>>);

impl std::ops::Deref for Current {
    type Target = Keyring;

    fn deref(&self) -> &Keyring {
        // `keyring` makes a Current only where there is one.
        self.0.as_ref().expect("there is a keyring")
    }
}

/// The keyring that serves.
///
/// # Errors
/// There is none; the reason is in the error.
pub fn keyring() -> Result<Current> {
    let current = STATE.keyring.load();
    if current.is_some() {
        return Ok(Current(current));
    }
    Err({
        let reason = last_error();
        Error::new(
            Kind::Config,
            "serve the call",
            format!(
                "the keyring is disabled: {}",
                reason
                    .as_deref()
                    .unwrap_or("it was not loaded")
                    .trim_end_matches('.')
            ),
        )
    })
}

/// All keys for the server's list of names, in an order in which none hides another one.
///
/// # Errors
/// As [`keyring`].
pub fn names() -> Result<Vec<Arc<KeyRecord>>> {
    let mut keys = keyring()?.list();
    list_short_first(&mut keys, |key| &key.id);
    Ok(keys)
}

/// The keyring is loaded.
pub fn is_active() -> bool {
    STATE.keyring.load().is_some()
}

/// Keeps an error for the status rows.
pub fn remember_error(error: &Error) {
    COUNTERS.errors.fetch_add(1, Ordering::Relaxed);
    // "The keyring is disabled: <reason>" must not wrap itself again and again.
    if is_active() {
        *lock(&STATE.last_error) = Some(error.to_string());
    }
}

/// Keeps a caught panic for the status rows.
pub fn remember_defect(error: &Error) {
    *lock(&STATE.last_defect) = Some(error.to_string());
}

/// Keeps a request of an account that was refused for the status rows.
pub fn remember_refusal(error: &Error) {
    if is_active() {
        *lock(&STATE.last_refusal) = Some(error.to_string());
    }
}

/// The last error, for the status rows; a caught panic goes before it, and where there is neither, the
/// last request that was refused.
pub fn last_error() -> Option<String> {
    let (error, defect) = (
        lock(&STATE.last_error).clone(),
        lock(&STATE.last_defect).clone(),
    );
    match (defect, error) {
        (Some(defect), Some(error)) if defect != error => Some(format!("{defect} {error}")),
        (Some(text), _) | (None, Some(text)) => Some(text),
        (None, None) => lock(&STATE.last_refusal).clone(),
    }
}

fn forget_errors() {
    *lock(&STATE.last_error) = None;
    *lock(&STATE.last_defect) = None;
    *lock(&STATE.last_refusal) = None;
}

/// The configuration that was tried last.
pub fn last_config() -> Option<Config> {
    lock(&STATE.last_config).clone()
}

/// Forgets the keyring if `role` opened it: files are closed, secrets wiped, nothing is written.
/// (INSTALL and UNINSTALL COMPONENT beside a serving plugin must not take its keys away.)
pub fn unload(role: Role) {
    let mut opened_by = lock(&STATE.opened_by);
    if *opened_by != Some(role) {
        return;
    }
    *opened_by = None;
    *lock(&STATE.last_load) = None;
    drop(STATE.keyring.swap(None));
    show_keys();
    forget_errors();
}

/// Opens the keyring, or opens it anew. On failure the keyring that worked stays.
///
/// # Errors
/// What is wrong with configuration, KEK or file. It has been logged.
pub fn load(
    role: Role,
    instance_dir: Option<&Path>,
    config: impl Fn() -> Result<Config> + Send + Sync + 'static,
) -> Result<()> {
    load_by(LastLoad {
        role,
        instance_dir: instance_dir.map(Path::to_path_buf),
        config: Arc::new(config),
    })
}

/// Does again what the server's last load did.
///
/// # Errors
/// As [`load`]; Config where nothing was loaded yet.
pub fn load_again() -> Result<()> {
    load_by(last_load()?)
}

/// The configuration as it is found now.
///
/// # Errors
/// Its own; Config where nothing was loaded yet.
pub fn configuration() -> Result<Config> {
    (last_load()?.config)()
}

fn last_load() -> Result<LastLoad> {
    lock(&STATE.last_load).clone().ok_or_else(|| {
        Error::new(
            Kind::Config,
            "load the keyring",
            "the server has not loaded Keyring Ward as its keyring",
        )
        .hint("Name it in the manifest, or by early-plugin-load (docs/guide/install.md).")
    })
}

/// Brings the counters to what the keyring is now.
fn show_keys() {
    let keyring = STATE.keyring.load();
    let (active, keys) = keyring.as_ref().map_or((0, 0), |k| (1, k.len() as u64));
    COUNTERS.active.store(active, Ordering::Relaxed);
    COUNTERS.keys.store(keys, Ordering::Relaxed);
}

/// Runs and counts a change to the keyring, and logs what came up.
///
/// # Errors
/// There is no keyring, and those of `f`.
pub fn write(f: impl Fn(&Keyring) -> Result<()> + Send + Sync) -> Result<()> {
    COUNTERS.writes.run(|| {
        change(|keyring| {
            let result = f(keyring);
            COUNTERS.keys.store(keyring.len() as u64, Ordering::Relaxed);
            log_warnings(keyring);
            result
        })
    })
}

/// Runs a change on the keyring that serves. One that a reload has replaced meanwhile refuses it untouched; it is done
/// on the new one then.
///
/// # Errors
/// There is no keyring, and those of `f`.
pub fn change<T: Send>(f: impl Fn(&Keyring) -> Result<T> + Send + Sync) -> Result<T> {
    let deadline = Deadline::after(LONGEST_CHASE);
    loop {
        let keyring = keyring()?;
        let current: &Keyring = &keyring;
        match STATE.acting.go_on(|| f(current)) {
            Err(e) if e.kind() == Kind::ReadOnly && keyring.is_retired() && !deadline.passed() => {
                // The new one is there in a moment.
                if is_current(&keyring) {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            result => return result,
        }
    }
}

/// How long a change runs after keyrings that reloads replace.
const LONGEST_CHASE: Duration = Duration::from_secs(10);

fn is_current(keyring: &Keyring) -> bool {
    let current = STATE.keyring.load();
    current
        .as_ref()
        .is_some_and(|c| std::ptr::eq(&raw const **c, keyring))
}

/// Finds a key: see [`Keyring::fetch`].
///
/// # Errors
/// There is no keyring, and those of fetching.
pub fn fetch(name: &[u8], owner: &[u8]) -> Result<Option<Arc<KeyRecord>>> {
    let keyring = keyring()?;
    let current: &Keyring = &keyring;
    STATE.acting.go_on(|| current.fetch(name, owner))
}

fn load_by(how: LastLoad) -> Result<()> {
    COUNTERS.loads.run(|| load_once(how))
}

fn load_once(how: LastLoad) -> Result<()> {
    let _one_at_a_time = lock(&STATE.reloading);
    *lock(&STATE.last_load) = Some(how.clone());
    let LastLoad {
        role,
        instance_dir,
        config,
    } = how;
    lock(&STATE.opened_by).get_or_insert(role);
    if command_line().is_help_run() {
        *lock(&STATE.last_error) =
            Some("This run of the server only prints help or validates options.".into());
        return Ok(());
    }
    let old = current();
    // Only the start may wait as long as the start budget: later, the whole server waits with us.
    let first = !STATE.tried.swap(true, Ordering::AcqRel);
    let open = || {
        let config = config()?;
        *lock(&STATE.last_config) = Some(config.clone());
        let environment = environment(instance_dir.as_deref(), first);
        match &old {
            Some(old) => old.reload(&config, &environment),
            None => starting::open(&config, &environment, &SecretPool::new(), log::warning),
        }
    };
    let result = STATE.acting.load(instance_dir.as_deref(), &*config, || {
        // A panic in it is a failed load like any other: the reason is told, and what follows from it.
        guard::caught("open the keyring", open)
    });
    match result {
        Ok(keyring) => {
            let keyring = Arc::new(keyring);
            if identity::is_root() {
                // The account may lock less memory than the process that it lies in.
                keyring.pool().relock();
            }
            log_warnings(&keyring);
            log_opened(&keyring);
            // At any verbosity: whoever was told of the incident learns that it is over.
            if old.is_none() && last_error().is_some() {
                log::warning("The keyring is no longer disabled: it was opened, and serves.");
            }
            forget_errors();
            drop(STATE.keyring.swap(Some(keyring)));
            show_keys();
            Ok(())
        }
        Err(error) => {
            *lock(&STATE.last_error) = Some(error.to_string());
            log::error(&error.to_string());
            let consequence = match (&old, role) {
                (Some(_), _) => "The keyring that was loaded before goes on serving.",
                (None, Role::Component) => {
                    "The keyring is disabled: encrypted tables can't be read until the cause is \
                     mended and ALTER INSTANCE RELOAD KEYRING (or a restart) succeeds. If the \
                     server refuses to start and advises innodb_force_recovery, do NOT use it, it \
                     loses data: mend the cause and start again."
                }
                (None, Role::Plugin) => {
                    "The keyring is disabled: encrypted tables can't be read until the cause is \
                     mended and SELECT keyring_ward_reload() (share/install.sql makes it) or a restart succeeds. If it refuses to start and advises \
                     innodb_force_recovery, do NOT use it, it loses data."
                }
            };
            log::error(consequence);
            Err(error)
        }
    }
}

/// This process is a server that will serve, not a migration or backup tool.
pub(super) fn is_in_server() -> bool {
    is_server(os::program().as_deref()) && !command_line().is_migration_run()
}

fn environment(instance_dir: Option<&Path>, starting: bool) -> Environment {
    let in_server = is_in_server();
    let data_dir = instance_dir
        // --initialize wants it empty, or creates it: the first start writes the marker.
        .filter(|dir| in_server && !command_line().is_initialize_run() && !is_empty(dir))
        .map(Path::to_path_buf);
    Environment {
        data_dir,
        look_only: false,
        starting: starting && in_server,
        making: false,
        snapshot_if_locked: !in_server,
    }
}

/// There is no data directory yet in this folder, whatever the command line says: of `-Iumysql` the server leaves no sign.
fn is_empty(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return !dir.is_dir();
    };
    let hidden = |name: &[u8]| name.starts_with(b".") || name == b"lost+found";
    entries
        .flatten()
        .all(|entry| hidden(entry.file_name().as_bytes()))
}

/// Programs that load a keyring and serve nobody: MySQL's migration tool, Percona's and Oracle's backups.
const TOOLS: [&[u8]; 3] = [b"mysql_migrate_keyring", b"xtrabackup", b"mysqlbackup"];

/// The program is a MySQL server, not a migration or backup tool. One that is not known, or runs it (a wrapper, valgrind,
/// the dynamic linker), is taken for a server: it keeps the marker and waits for the lock, which a tool does not need but
/// stands.
fn is_server(exe: Option<&Path>) -> bool {
    exe.and_then(Path::file_name)
        .is_none_or(|name| !TOOLS.iter().any(|tool| name.as_bytes().starts_with(tool)))
}

/// Logs what came up since the last call.
pub fn log_warnings(keyring: &Keyring) {
    for sentence in keyring.take_warnings() {
        log::warning(&sentence);
    }
}

fn log_opened(keyring: &Keyring) {
    let status = keyring.status();
    let mode = match status.mode {
        Mode::ReadWrite => "",
        Mode::ReadOnly => ", read-only",
        Mode::Snapshot | Mode::DryRun => {
            ", as a read-only snapshot beside the server that holds it"
        }
    };
    let what = if status.store.exists {
        format!(
            "{} keys, generation {}",
            status.keys, status.store.generation
        )
    } else {
        "not created yet, the first key creates it".to_string()
    };
    log::note(&format!(
        "Keyring Ward {} opened '{}' ({what}{mode}) with the {}.",
        crate::VERSION,
        keyring.config().path.display(),
        status.store.opened_by
    ));
}

/// The directory argument of a load call as a path.
pub fn directory(bytes: &[u8]) -> Option<PathBuf> {
    (!bytes.is_empty()).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_no_data_directory_yet() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_empty(dir.path()) && is_empty(&dir.path().join("absent")));
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        assert!(is_empty(dir.path()));
        std::fs::write(dir.path().join("ibdata1"), "").unwrap();
        assert!(!is_empty(dir.path()));
    }

    #[test]
    fn servers_and_tools() {
        assert!(is_server(Some(Path::new("/usr/sbin/mysqld"))));
        assert!(is_server(Some(Path::new("/usr/sbin/mysqld-debug"))));
        assert!(!is_server(Some(Path::new(
            "/usr/bin/mysql_migrate_keyring"
        ))));
        assert!(!is_server(Some(Path::new("/usr/bin/xtrabackup"))));
        for wrapper in [
            "ld-linux-x86-64.so.2",
            "memcheck-amd64-linux",
            ".mysqld-wrapped",
        ] {
            assert!(is_server(Some(Path::new(wrapper))), "{wrapper}");
        }
        assert!(is_server(None), "what can't be seen is no tool");
    }
}
