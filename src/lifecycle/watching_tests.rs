//! The thread of a lease, with a KEK that refuses, is away or opens as the test says.

use super::super::tests::TestHost;
use super::super::{Lifecycle, Role, lock};
use super::*;
use crate::caller::Caller;
use crate::config::{Config, Limits, Patience};
use crate::deadline::Deadline;
use crate::envelope::FILE_ID;
use crate::error::Result;
use crate::format::stanza::{Part, Stanza};
use crate::kek::file::LocalConfig;
use crate::kek::settings::{Driver, Settings};
use crate::kek::{Budget, Kek, KekConfig, Unwrapped};
use crate::secret::SecretPool;
use crate::secret_source::SecretRef;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;

const OPENS: u8 = 0;
const REFUSES: u8 = 1;
const IS_AWAY: u8 = 2;
const PANICS: u8 = 3;

/// What the KEK does, and how often it was asked to open.
#[derive(Debug, Default)]
struct Switch {
    does: AtomicU8,
    asked: AtomicU64,
}

#[derive(Clone, Debug)]
struct Switched {
    file: PathBuf,
    switch: Arc<Switch>,
}

impl PartialEq for Switched {
    fn eq(&self, other: &Switched) -> bool {
        self.file == other.file
    }
}

impl Settings for Switched {
    fn driver(&self) -> &'static Driver {
        &crate::kek::file::DRIVER
    }

    fn kek(&self) -> Box<dyn Kek> {
        let of = LocalConfig::KeyFile(SecretRef::File(self.file.clone()));
        Box::new(SwitchedKek(KekConfig::from(of).kek(), self.switch.clone()))
    }
}

struct SwitchedKek(Box<dyn Kek>, Arc<Switch>);

impl Kek for SwitchedKek {
    fn describe(&self) -> String {
        "switch".into()
    }
    fn wrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        part: &Part<'_>,
        deadline: Deadline,
    ) -> Result<Stanza> {
        self.0.wrap(pool, file_id, part, deadline)
    }
    fn is_mine(&self, stanza: &Stanza) -> bool {
        self.0.is_mine(stanza)
    }
    fn unwrap(
        &self,
        pool: &SecretPool,
        file_id: &[u8; FILE_ID],
        stanza: &Stanza,
        budget: &mut Budget,
    ) -> Result<Unwrapped> {
        self.1.asked.fetch_add(1, Ordering::AcqRel);
        match self.1.does.load(Ordering::Acquire) {
            REFUSES => Err(Error::new(Kind::Denied, "decrypt", "it is disabled").withdrawn()),
            IS_AWAY => Err(Error::new(Kind::Unreachable, "decrypt", "it is away")),
            PANICS => panic!("on purpose"),
            _ => self.0.unwrap(pool, file_id, stanza, budget),
        }
    }
    fn probe(&self, pool: &SecretPool, deadline: Deadline) -> Result<()> {
        self.0.probe(pool, deadline)
    }
}

/// A keyring with one key under such a KEK, in a lifecycle that lives as long as the tests.
struct Leased {
    of: &'static Lifecycle<TestHost>,
    switch: Arc<Switch>,
    config: Config,
    _dir: tempfile::TempDir,
}

impl Leased {
    fn new(lease: Option<Lease>) -> Leased {
        let leased = Leased::without_keys(lease);
        let made = leased.of.write(&Caller::Unknown, |keyring| {
            keyring.generate(b"k", b"", b"AES", 32)
        });
        made.unwrap();
        leased
    }

    /// There is no keyring yet.
    fn without_keys(lease: Option<Lease>) -> Leased {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kek");
        std::fs::write(&file, [9; 32]).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let switch = Arc::new(Switch::default());
        let config = Config {
            path: dir.path().join("k.ward"),
            read_only: false,
            fingerprint: Vec::new(),
            keks: KekConfig::new(Switched {
                file,
                switch: switch.clone(),
            })
            .into(),
            patience: Patience::default(),
            limits: Limits::default(),
            lease,
            policy_file: None,
            audit: None,
            origin: "test".into(),
        };
        let leased = Leased {
            of: Box::leak(Box::new(Lifecycle::new(TestHost::default()))),
            switch,
            config,
            _dir: dir,
        };
        leased.load().unwrap();
        leased
    }

    fn load(&self) -> Result<()> {
        let config = self.config.clone();
        let found = move || Ok(config.clone());
        self.of.load(Role::Component, None::<&Path>, found)
    }

    fn set(&self, does: u8) {
        self.switch.does.store(does, Ordering::Release);
    }

    fn asked(&self) -> u64 {
        self.switch.asked.load(Ordering::Acquire)
    }

    fn state(&self) -> &'static str {
        self.of.lease().0.name()
    }

    fn wait_for(&self, what: &str, is: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is() {
            assert!(Instant::now() < end, "{what}: {}", self.state());
            std::thread::yield_now();
        }
    }

    fn wait_for_state(&self, name: &str) {
        self.wait_for(name, || self.state() == name);
    }

    fn serves(&self) -> bool {
        self.of.fetch(b"k", b"").is_ok_and(|key| key.is_some())
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        self.of.unload(Role::Component);
    }
}

fn short(grace: Option<Duration>) -> Option<Lease> {
    Some(Lease {
        length: Duration::from_millis(150),
        grace,
        on_revocation: OnRevocation::Disable,
    })
}

#[test]
fn a_refusal_takes_the_keyring_away_and_a_reload_brings_it_back() {
    let life = Leased::new(short(None));
    assert_eq!(life.state(), "not started");
    life.of.tend();
    life.wait_for_state("valid");
    let before = life.asked();
    life.wait_for("checks", || life.asked() > before + 4);
    assert!(life.serves());
    life.set(REFUSES);
    life.wait_for_state("refused");
    assert!(life.serves(), "for a lease");
    life.wait_for_state("revoked");
    assert!(!life.of.is_active());
    let e = life.of.fetch(b"k", b"").err().unwrap().to_string();
    assert!(
        e.contains("lease") && e.contains("it is disabled") && e.contains("RELOAD KEYRING"),
        "{e}"
    );
    // Nobody is asked any more, and a RELOAD against a KEK that still refuses changes nothing.
    assert_eq!(life.load().unwrap_err().kind(), Kind::Denied);
    assert_eq!(life.state(), "revoked");
    life.set(OPENS);
    life.load().unwrap();
    assert!(life.serves());
    life.of.tend();
    life.wait_for_state("valid");
    let lines = lock(&life.of.host.lines);
    let warned = |words: &str| lines.iter().any(|(_, line)| line.contains(words));
    assert!(warned("KEKs of the keyring refuse their use") && warned("is no longer disabled"));
}

#[test]
fn an_outage_takes_nothing_away() {
    let life = Leased::new(short(None));
    life.of.tend();
    life.set(IS_AWAY);
    life.wait_for_state("away");
    let before = life.asked();
    // Three leases.
    life.wait_for("checks", || life.asked() >= before + 9);
    assert!(life.serves() && life.state() == "away");
    life.set(OPENS);
    life.wait_for_state("valid");
}

#[test]
fn an_outage_takes_it_away_after_the_grace_that_is_written_out() {
    let life = Leased::new(short(Some(Duration::from_millis(300))));
    life.of.tend();
    life.set(IS_AWAY);
    life.wait_for_state("revoked");
    assert!(!life.serves());
    assert_eq!(life.of.host.ended.load(Ordering::Acquire), 0);
}

/// A check that fails in this process is heard as nothing, and the status says so.
#[test]
fn a_check_that_fails_is_no_answer() {
    crate::panics::be_silent();
    let life = Leased::new(short(Some(Duration::from_millis(300))));
    life.of.tend();
    life.wait_for_state("valid");
    life.set(PANICS);
    life.wait_for_state("away");
    life.wait_for_state("revoked");
    let e = life.of.fetch(b"k", b"").err().unwrap().to_string();
    assert!(e.contains("a defect in Keyring Ward"), "{e}");
}

/// The grace of a keyring that somebody makes later does not run before it is there.
#[test]
fn a_keyring_that_is_not_there_yet_has_a_lease_that_begins_anew() {
    let grace = Duration::from_millis(300);
    let life = Leased::without_keys(short(Some(grace)));
    life.of.tend();
    life.wait_for_state("valid");
    let until = || life.of.lease().0.until().unwrap();
    let first = until();
    life.wait_for("checks", || until() > first + grace);
    assert_eq!((life.state(), life.asked()), ("valid", 0));
}

#[test]
fn the_server_is_told_to_stop_where_that_is_wanted() {
    let mut lease = short(None);
    lease.as_mut().unwrap().on_revocation = OnRevocation::Shutdown;
    let life = Leased::new(lease);
    life.of.tend();
    life.set(REFUSES);
    life.wait_for_state("revoked");
    life.wait_for("the end", || {
        life.of.host.ended.load(Ordering::Acquire) == 1
    });
}

#[test]
fn no_thread_before_the_process_is_what_it_will_be_and_none_without_a_lease() {
    let life = Leased::new(short(None));
    life.of.host.is_launcher.store(true, Ordering::Release);
    life.of.tend();
    assert!(!life.of.lease.running.load(Ordering::Acquire));
    assert_eq!(life.state(), "not started");
    // The fork comes.
    life.of.host.is_launcher.store(false, Ordering::Release);
    life.of
        .chores
        .fetch_or(super::super::FORKED, Ordering::AcqRel);
    life.of.tend();
    life.wait_for_state("valid");
    life.of.unload(Role::Component);
    assert!(!life.of.lease.running.load(Ordering::Acquire));
    assert_eq!(life.state(), "off");
    let without = Leased::new(None);
    without.of.tend();
    assert_eq!(without.of.chores.load(Ordering::Acquire), 0);
    assert!(!without.of.lease.running.load(Ordering::Acquire));
    assert_eq!(without.state(), "off");
}

#[test]
fn a_reload_begins_the_lease_anew() {
    let life = Leased::new(short(None));
    life.of.tend();
    life.wait_for_state("valid");
    life.set(REFUSES);
    life.wait_for_state("refused");
    life.set(OPENS);
    life.load().unwrap();
    assert!(["valid", "not started"].contains(&life.state()));
    life.wait_for_state("valid");
    assert!(life.serves());
}
