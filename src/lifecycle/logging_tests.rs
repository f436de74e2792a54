//! The thread of the audit log, in a process that is no server.

use super::super::tests::TestHost;
use super::super::{Lifecycle, Role};
use super::*;
use crate::audit::file::files;
use crate::caller::Caller;
use crate::config::{Config, Layer};
use crate::error::Kind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A keyring with a log, and a life for it that no test ends.
struct Logged {
    dir: tempfile::TempDir,
    of: &'static Lifecycle<TestHost>,
}

impl Logged {
    fn new() -> Logged {
        crate::panics::be_silent();
        let dir = tempfile::tempdir().unwrap();
        let kek = dir.path().join("kek");
        std::fs::write(&kek, [9; 32]).unwrap();
        std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
        Logged {
            dir,
            of: Box::leak(Box::new(Lifecycle::new(TestHost::default()))),
        }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("audit.log")
    }

    fn load(&self, required: &'static str) {
        let text = |name: &str| self.dir.path().join(name).display().to_string();
        let (path, kek, log) = (text("k.ward"), text("kek"), text("audit.log"));
        let config = move || -> Result<Config> {
            let values = [
                ("backend", "file"),
                ("path", &*path),
                ("file_key_file", &*kek),
                ("audit_file", &*log),
                ("audit_required", required),
            ];
            Layer::of("test", &values).finish()
        };
        self.of.load(Role::Component, None, config).unwrap();
    }

    /// A call of the server.
    fn generate(&self, name: &str) -> Result<()> {
        self.of.tend();
        self.of.check_audit()?;
        self.of.write(&Caller::Unknown, |keyring| {
            keyring.generate(name.as_bytes(), b"app@%", b"AES", 16)
        })
    }

    /// Waits until it is so; the time is only a bound.
    fn until(&self, what: &str, test: impl Fn(&Info) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !test(&self.of.audit_info()) {
            assert!(Instant::now() < end, "{what}: {:?}", self.of.audit_info());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn text(&self) -> String {
        let all = files(&self.log()).unwrap();
        let read = all.iter().map(|f| std::fs::read_to_string(f).unwrap());
        read.collect()
    }
}

#[test]
fn the_thread_begins_with_a_call_and_ends_with_the_keyring() {
    let logged = Logged::new();
    logged.load("false");
    assert_eq!(logged.of.audit_info().state, State::Waiting);
    assert!(!logged.log().exists(), "a load begins nothing");
    logged.generate("a").unwrap();
    logged.until("written", |info| info.owed == 0 && info.line > 0);
    logged.load("false");
    logged.generate("b").unwrap();
    logged.until("written", |info| {
        info.owed == 0 && info.state == State::Writing
    });
    logged.of.unload(Role::Component);
    let text = logged.text();
    assert_eq!(
        text.matches("\"event\":\"started\"").count(),
        1,
        "a reload goes on: {text}"
    );
    for told in [
        "\"key\":\"a\"",
        "\"key\":\"b\"",
        "\"event\":\"loaded\"",
        "\"event\":\"stopped\"",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(
        text.lines()
            .last()
            .unwrap()
            .contains("\"event\":\"checkpoint\"")
    );
    assert_eq!(logged.of.audit_info().state, State::Off);
}

#[test]
fn a_launcher_begins_no_thread_and_its_child_one_of_its_own() {
    let logged = Logged::new();
    logged.of.host.is_launcher.store(true, Ordering::Release);
    logged.load("false");
    logged.generate("a").unwrap();
    assert!(!logged.of.audit.running.load(Ordering::Acquire));
    logged.of.host.is_launcher.store(false, Ordering::Release);
    // What a fork leaves is told by the handler.
    logged
        .of
        .chores
        .fetch_or(super::super::FORKED, Ordering::AcqRel);
    logged.generate("b").unwrap();
    logged.until("written", |info| info.owed == 0 && info.line > 0);
    logged.of.unload(Role::Component);
    assert!(logged.text().contains("\"key\":\"a\""));
}

#[test]
fn a_log_that_is_required_refuses_while_it_fails_and_goes_on_by_itself() {
    let logged = Logged::new();
    std::fs::create_dir(logged.log()).unwrap();
    logged.load("true");
    logged.generate("a").unwrap();
    logged.until("failing", |info| info.state == State::Failing);
    let refused = logged.generate("b").unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied);
    assert!(
        refused.to_string().contains("audit_required") && refused.to_string().contains("folder"),
        "{refused}"
    );
    // The server's own calls never ask.
    let own = |name: &'static str| {
        logged.of.write(&Caller::Server(None), move |keyring| {
            keyring.generate(name.as_bytes(), b"", b"AES", 16)
        })
    };
    own("INNODBKey-1").unwrap();
    std::fs::remove_dir(logged.log()).unwrap();
    logged.until("written", |info| {
        info.state == State::Writing && info.owed == 0
    });
    logged.generate("c").unwrap();
    logged.of.unload(Role::Component);
    let text = logged.text();
    assert!(
        text.contains("INNODBKey-1")
            && text.contains("\"key\":\"c\"")
            && !text.contains("\"key\":\"b\"")
    );
    let lines = super::super::lock(&logged.of.host.lines);
    let errors = lines
        .iter()
        .filter(|(severity, _)| *severity == Severity::Error);
    assert_eq!(errors.count(), 1, "it is said once: {lines:?}");
}

/// The first key makes the keyring's file, and with it a log can begin: a server that stops before the thread looks again has one all
/// the same.
#[test]
fn what_is_told_right_before_the_end_is_in_the_log() {
    let logged = Logged::new();
    logged.load("false");
    logged.of.tend();
    logged.until("there is no file", |info| info.why.is_some());
    logged.generate("a").unwrap();
    logged.of.unload(Role::Component);
    let text = logged.text();
    assert!(
        text.contains("key_added") && text.contains("\"stopped\""),
        "{text}"
    );
}

/// A server that had no log for all of its life: nothing that was read is known, and the next one says so.
#[test]
fn a_life_without_a_log_is_a_gap() {
    let logged = Logged::new();
    logged.load("false");
    logged.generate("a").unwrap();
    logged.until("it is written", |info| info.state == State::Writing);
    logged.of.unload(Role::Component);
    let held = std::fs::File::open(logged.log()).unwrap();
    held.lock().unwrap();
    logged.load("false");
    logged.of.tend();
    logged.until("it fails", |info| info.state == State::Failing);
    logged.of.unload(Role::Component);
    drop(held);
    assert!(!logged.text().contains("\"gap\""));
    for life in 1..=2 {
        logged.load("false");
        logged.generate(&format!("k{life}")).unwrap();
        logged.until("it is written", |info| info.state == State::Writing);
        logged.of.unload(Role::Component);
        let text = logged.text();
        assert_eq!(text.matches("could not write the log").count(), 1, "{text}");
    }
}
