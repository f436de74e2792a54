//! Opening a keyring, and opening it anew under a running server.
//!
//! Owns the order: configuration, store, old KEK adopted. It must never put aside what memory holds before what takes its
//! place is open.

use super::*;

impl Keyring {
    /// Opens the keyring that `config` describes. Creates nothing.
    ///
    /// # Errors
    /// What is wrong with configuration, KEK or file, each with its kind.
    pub fn open(config: &Config, environment: &Environment, pool: &SecretPool) -> Result<Keyring> {
        Keyring::open_by(config, environment, pool, budget(config, environment))
    }

    pub(super) fn open_by(
        config: &Config,
        environment: &Environment,
        pool: &SecretPool,
        deadline: Deadline,
    ) -> Result<Keyring> {
        Keyring::open_after(config, environment, pool, deadline, None)
    }

    pub(super) fn open_after(
        config: &Config,
        environment: &Environment,
        pool: &SecretPool,
        deadline: Deadline,
        predecessor: Option<Handover>,
    ) -> Result<Keyring> {
        let mode = match (environment.look_only, config.read_only) {
            (true, _) => Mode::Snapshot,
            (false, true) => Mode::ReadOnly,
            (false, false) => Mode::ReadWrite,
        };
        let open = |mode| {
            let how = How {
                mode,
                predecessor: predecessor.clone(),
                by_tool: None,
            };
            Keyring::open_in(how, config, environment, pool, deadline)
        };
        match open(mode) {
            Err(e) if e.kind() == Kind::Locked && environment.snapshot_if_locked => {
                open(Mode::Snapshot)
            }
            result => result,
        }
    }

    pub(super) fn open_in(
        how: How,
        config: &Config,
        environment: &Environment,
        pool: &SecretPool,
        deadline: Deadline,
    ) -> Result<Keyring> {
        let (mode, by_tool) = (how.mode, how.by_tool);
        if config.needs_fingerprint() && config.fingerprint.is_empty() && !environment.making {
            return Err(Error::new(
                Kind::Config,
                "open the keyring",
                "its DEK is wrapped for a public key, which anybody can do, and no fingerprint is pinned",
            )
            .hint("Set fingerprint to what keyring-ward init printed. keyring-ward kek drill shows that of a list's file."));
        }
        let token = config.token_storage();
        let mut map = Map::new(token.is_none_or(|(_, cache)| cache));
        let mut sizes = Sizes::default();
        let options = OpenOptions {
            path: &config.path,
            mode,
            data_dir: environment.data_dir.clone(),
            keks: config.keks.keks(environment.starting),
            deadline,
            kek_patience: config.patience.call,
            fingerprint: config.fingerprint.clone(),
            // The tool, which may have no data directory, reads what it is given, to mend it.
            any_length: environment.data_dir.is_none() || by_tool.is_some(),
            limits: config.limits,
            pool: pool.clone(),
            predecessor: how.predecessor,
            by_tool,
            audit: (config.audit.as_ref()).map(|_| environment.audit.clone().unwrap_or_default()),
        };
        let mut sink = |change| map.apply(&mut sizes, pool, change);
        let mut store: Box<dyn Store> = match token {
            None => {
                let opened = FileStore::open(options, &mut sink);
                Box::new(opened.map_err(|e| starting::or_not_mounted(e, config, environment))?)
            }
            Some((pkcs11, _)) => Box::new(TokenStore::open(options, pkcs11, &mut sink)?),
        };
        let is_server = !environment.look_only && by_tool.is_none();
        if let (Some(dir), true) = (&environment.data_dir, is_server) {
            lies_in(dir, config)
                .into_iter()
                .for_each(|sentence| store.warn(sentence));
        }
        adopt_old(&mut *store, &map, deadline);
        Ok(Keyring {
            map: ShardedLock::new(map),
            store: Mutex::new(store),
            sizes: Mutex::new(sizes),
            changing: Mutex::default(),
            randomness: Randomness::default(),
            epoch: Arc::default(),
            pool: pool.clone(),
            config: config.clone(),
            mode,
        })
    }

    /// Opens the keyring anew, as the configuration is now. This keyring stays whole whatever
    /// happens; the caller swaps on success.
    ///
    /// If a sync has failed or the file is gone, it is first written anew from memory.
    ///
    /// # Errors
    /// As [`Keyring::open`]; Tampered where the file does not hold what this keyring holds.
    pub fn reload(&self, config: &Config, environment: &Environment) -> Result<Keyring> {
        let mut store = self.store();
        if let Some(journal) = store.journal().filter(|j| j.needs_rescue())
            && config.path == self.config.path
            && !config.read_only
        {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(live) = map.live() {
                journal.rewrite(&live)?;
            }
        }
        let predecessor = store.handover();
        let deadline = budget(config, environment);
        let new =
            Keyring::open_after(config, environment, &self.pool, deadline, Some(predecessor))?;
        // A late writer of this keyring must not write behind the new one's back.
        store.retire();
        Ok(new)
    }
}

/// Brings what an old KEK has opened under the first one as well.
fn adopt_old(store: &mut dyn Store, map: &Map, deadline: Deadline) {
    if !store.journal().is_some_and(|j| j.opened_by_an_old_kek()) {
        return;
    }
    let old = store.info().opened_by;
    let (Some(journal), Some(live)) = (store.journal(), map.live()) else {
        return;
    };
    let adopted = journal.adopt(&live, deadline);
    store.warn(match adopted {
        Ok(()) => format!(
            "The keyring was opened by {old}. Its DEK is now wrapped by {} as well; keyring-ward rekey drops the old wrap.",
            store.info().opened_by
        ),
        Err(e) => format!(
            "The keyring was opened by {old}, and could not be brought under the configured KEK: {e} It goes on as it is."
        ),
    });
}

/// How long all KEKs together may take now.
pub(super) fn budget(config: &Config, environment: &Environment) -> Deadline {
    Deadline::after(match environment.starting {
        true => config.patience.start,
        false => config.patience.call,
    })
}
