//! Loading a keyring, loading it anew, and letting it go.
//!
//! Owns the policy: the old keyring stays until the new one is open, only the start may wait long, and what follows from a
//! failure is said in the log. It must never take away a keyring that serves because another one could not be opened.

use super::{Host, Lifecycle, Role, Severity, environment, lock, policing};
use crate::audit::entry::Entry;
use crate::audit::event::{Event, Outcome};
use crate::caller::Caller;
use crate::config::{Config, server};
use crate::error::{Error, Kind, Result};
use crate::keyring::{Keyring, starting};
use crate::os::identity;
use crate::secret::SecretPool;
use crate::store::Mode;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How the configuration is found.
type Finder = Arc<dyn Fn() -> Result<Config> + Send + Sync>;

/// How the last load found what it loaded.
#[derive(Clone)]
pub(super) struct LastLoad {
    role: Role,
    instance_dir: Option<PathBuf>,
    config: Finder,
}

impl<H: Host> Lifecycle<H> {
    /// Opens the keyring, or opens it anew. On failure the keyring that worked stays.
    ///
    /// # Errors
    /// What is wrong with configuration, KEK or file. It has been logged.
    pub fn load(
        &self,
        role: Role,
        instance_dir: Option<&Path>,
        config: impl Fn() -> Result<Config> + Send + Sync + 'static,
    ) -> Result<()> {
        self.load_by(LastLoad {
            role,
            instance_dir: instance_dir.map(Path::to_path_buf),
            config: Arc::new(config),
        })
    }

    /// Does again what the last load did.
    ///
    /// # Errors
    /// As [`Lifecycle::load`]; Config where nothing was loaded yet.
    pub fn load_again(&self) -> Result<()> {
        self.load_by(self.last_load()?)
    }

    /// The configuration as it is found now.
    ///
    /// # Errors
    /// Its own; Config where nothing was loaded yet.
    pub fn configuration(&self) -> Result<Config> {
        (self.last_load()?.config)()
    }

    /// The configuration that was tried last.
    pub fn last_config(&self) -> Option<Config> {
        lock(&self.last_config).clone()
    }

    fn last_load(&self) -> Result<LastLoad> {
        lock(&self.last_load).clone().ok_or_else(|| {
            Error::new(
                Kind::Config,
                "load the keyring",
                "the server has not loaded Keyring Ward as its keyring",
            )
            .hint("Name it in the manifest, or by early-plugin-load (docs/guide/install.md).")
        })
    }

    fn load_by(&self, how: LastLoad) -> Result<()> {
        self.counters.loads.run(|| self.load_once(how))
    }

    fn load_once(&self, how: LastLoad) -> Result<()> {
        let _one_at_a_time = lock(&self.reloading);
        *lock(&self.last_load) = Some(how.clone());
        lock(&self.opened_by).get_or_insert(how.role);
        if self.host.command_line().is_help_run() {
            self.last_errors
                .stay_idle("This run of the server only prints help or validates options.");
            return Ok(());
        }
        let old = self.keyring.load_full();
        match self.open(&how, old.as_deref()) {
            Ok((keyring, policy)) => {
                let refused = self.enforce(policy, old.is_none());
                self.serve(keyring, old.is_none());
                // The keyring serves, and a monitor has to hear of the policy that does not.
                if let Some(error) = refused {
                    self.remember_error(&error);
                }
                Ok(())
            }
            Err(error) => {
                self.tell_failure(&error, old.is_some(), how.role);
                Err(error)
            }
        }
    }

    /// Opens the keyring with the rights that it needs.
    fn open(&self, how: &LastLoad, old: Option<&Keyring>) -> Result<(Keyring, policing::Read)> {
        // Only the start may wait as long as the start budget: later, the whole server waits with us.
        let first = !self.tried.swap(true, Ordering::AcqRel);
        let instance_dir = how.instance_dir.as_deref();
        let open = || {
            let config = (how.config)()?;
            *lock(&self.last_config) = Some(config.clone());
            let mut environment = environment::of(self.host.command_line(), instance_dir, first);
            environment.audit = self.outbox_of_server();
            let opened = match old {
                Some(old) => old.reload(&config, &environment),
                None => starting::open(&config, &environment, &SecretPool::new(), |sentence| {
                    self.host.log(Severity::Warning, sentence);
                }),
            };
            // Whoever opens the keyring by another program has its file and its KEK, and no policy binds him.
            let binds = environment::is_in_server(self.host.command_line());
            let file = config.policy_file.as_deref().filter(|_| binds);
            let opened = opened.inspect(|keyring| {
                keyring.by(&Caller::Server(None)).end_temporary_keys();
                if first {
                    self.warn_of_statements(keyring);
                }
            })?;
            Ok((opened, policing::read(file)))
        };
        self.host.load(instance_dir, &*how.config, || {
            // A panic in it is a failed load like any other: the reason is told, and what follows from it.
            self.caught("open the keyring", open)
        })
    }

    /// What gives keys of accounts away is told as far as the server's options say it; SQL functions ask the server itself.
    fn warn_of_statements(&self, keyring: &Keyring) {
        let command_line = self.host.command_line();
        if environment::is_in_server(command_line)
            && keyring.has_keys_of_accounts()
            && server::logs_statements(command_line)
        {
            self.host.log(Severity::Warning, server::STATEMENTS);
        }
    }

    /// Puts a keyring that was opened into service.
    fn serve(&self, keyring: Keyring, is_first: bool) {
        if identity::is_root() {
            // The account may lock less memory than the process that it lies in.
            keyring.pool().relock();
        }
        self.log_warnings(&keyring);
        self.host.log(Severity::Note, &opened(&keyring));
        // At any verbosity: whoever was told of the incident learns that it is over.
        if is_first && self.last_errors.text().is_some() {
            self.host.log(
                Severity::Warning,
                "The keyring is no longer disabled: it was opened, and serves.",
            );
        }
        self.last_errors.forget();
        let is_asked_for = !keyring.config().keks.random.by_default;
        drop(self.keyring.swap(Some(Arc::new(keyring))));
        self.lease_changed();
        self.audit_changed();
        self.tell_of_load(is_first);
        // A server that makes no key, and was told nothing of randomness, asks no token for any.
        if is_asked_for {
            self.ask_for_random();
        }
        self.count_keys();
    }

    /// Tells the audit log, by whom and how it was opened.
    fn tell_of_load(&self, is_first: bool) {
        let Ok(keyring) = self.keyring() else { return };
        let health = keyring.store_info().kek_health();
        let what = format!(
            "{} by {} of {} KEKs",
            if is_first { "opened" } else { "reloaded" },
            health.answered,
            health.configured
        );
        let entry = Entry::new(Event::Loaded).saying(&what);
        match is_first {
            // No session is there yet.
            true => self.tell_event(&Caller::Server(None), entry),
            false => self.tell_server_event(entry),
        }
    }

    fn tell_failure(&self, error: &Error, serves: bool, role: Role) {
        let entry = Entry::new(Event::Loaded).came_to(Outcome::Failed);
        if serves {
            self.tell_server_event(entry.saying(&error.to_string()));
        }
        self.last_errors.remember_error(error);
        self.host.log(Severity::Error, &error.to_string());
        self.host.log(Severity::Error, consequence(serves, role));
    }

    /// Forgets the keyring if `role` opened it: files are closed, secrets wiped, nothing is written.
    /// (INSTALL and UNINSTALL COMPONENT beside a serving plugin must not take its keys away.)
    pub fn unload(&self, role: Role) {
        let mut opened_by = lock(&self.opened_by);
        if *opened_by != Some(role) {
            return;
        }
        *opened_by = None;
        *lock(&self.last_load) = None;
        self.end_watching();
        self.end_policing();
        self.end_logging();
        drop(self.keyring.swap(None));
        self.lease_changed();
        self.audit_changed();
        self.end_refilling();
        self.count_keys();
        self.last_errors.forget();
    }
}

/// What follows from a load that failed.
fn consequence(serves: bool, role: Role) -> &'static str {
    match (serves, role) {
        (true, _) => "The keyring that was loaded before goes on serving.",
        (false, Role::Component) => {
            "The keyring is disabled: encrypted tables can't be read until the cause is \
             mended and ALTER INSTANCE RELOAD KEYRING (or a restart) succeeds. If the \
             server refuses to start and advises innodb_force_recovery, do NOT use it, it \
             loses data: mend the cause and start again."
        }
        (false, Role::Plugin) => {
            "The keyring is disabled: encrypted tables can't be read until the cause is \
             mended and SELECT keyring_ward_reload() (share/install.sql makes it) or a restart succeeds. If it refuses to start and advises \
             innodb_force_recovery, do NOT use it, it loses data."
        }
    }
}

/// A sentence about a keyring that was opened.
fn opened(keyring: &Keyring) -> String {
    let store = keyring.store_info();
    let mode = match keyring.mode() {
        Mode::ReadWrite => "",
        Mode::ReadOnly => ", read-only",
        Mode::Snapshot | Mode::DryRun => {
            ", as a read-only snapshot beside the server that holds it"
        }
    };
    let what = match store.exists {
        true => format!("{} keys, generation {}", keyring.len(), store.generation),
        false => "not created yet, the first key creates it".to_string(),
    };
    format!(
        "Keyring Ward {} opened '{}' ({what}{mode}) with the {}.",
        crate::VERSION,
        keyring.config().path.display(),
        store.opened_by
    )
}
