//! The lifecycle without a server: a host that keeps what it is told.

use super::*;
use crate::caller::Caller;
use crate::config::Layer;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

#[derive(Default)]
pub(super) struct TestHost {
    pub(super) lines: Mutex<Vec<(Severity, String)>>,
    command_line: CommandLine,
    /// How often its rights were taken on.
    acted: AtomicUsize,
    /// A fork is still to come.
    pub(super) is_launcher: AtomicBool,
    /// How often it was told to end.
    pub(super) ended: AtomicUsize,
}

impl Host for TestHost {
    fn log(&self, severity: Severity, text: &str) {
        lock(&self.lines).push((severity, text.into()));
    }

    fn command_line(&self) -> &CommandLine {
        &self.command_line
    }

    fn load<T: Send>(
        &self,
        _: Option<&Path>,
        _: &(dyn Fn() -> Result<Config> + Send + Sync),
        work: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        self.go_on(work)
    }

    fn go_on<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.acted.fetch_add(1, Ordering::Relaxed);
        work()
    }

    fn is_settled(&self) -> bool {
        !self.is_launcher.load(Ordering::Acquire)
    }

    fn shut_down(&self) {
        self.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// A keyring in a folder of its own, and a life for it.
struct Life {
    dir: tempfile::TempDir,
    of: Lifecycle<TestHost>,
}

impl Life {
    fn new() -> Life {
        panics::be_silent();
        let dir = tempfile::tempdir().unwrap();
        let kek = dir.path().join("kek");
        std::fs::write(&kek, [9; 32]).unwrap();
        std::fs::set_permissions(&kek, PermissionsExt::from_mode(0o600)).unwrap();
        Life {
            dir,
            of: Lifecycle::new(TestHost::default()),
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("k.ward")
    }

    fn config(&self) -> impl Fn() -> Result<Config> + Send + Sync + 'static {
        let path = self.file().display().to_string();
        let kek = self.dir.path().join("kek").display().to_string();
        move || {
            let values = [
                ("backend", "file"),
                ("path", &path),
                ("file_key_file", &kek),
            ];
            Layer::of("test", &values).finish()
        }
    }

    fn load(&self) -> Result<()> {
        self.of.load(Role::Component, None, self.config())
    }

    fn fail_to_load(&self) -> Error {
        let nothing = || Err(Error::new(Kind::Config, "read it", "nothing is there"));
        let failed = self.of.load(Role::Component, None, nothing);
        failed.unwrap_err()
    }

    fn generate(&self, name: &str) -> Result<()> {
        self.of.write(&Caller::Unknown, |keyring| {
            keyring.generate(name.as_bytes(), b"", b"AES", 32)
        })
    }

    fn has(&self, name: &str) -> bool {
        self.of.fetch(name.as_bytes(), b"").unwrap().is_some()
    }

    fn told(&self) -> String {
        last_error::text(&self.of.last_errors()).unwrap_or_default()
    }

    fn lines(&self, severity: Severity) -> Vec<String> {
        let lines = std::mem::take(&mut *lock(&self.of.host.lines));
        let of = lines.into_iter().filter(|(s, _)| *s == severity);
        of.map(|(_, line)| line).collect()
    }

    fn counted(&self) -> (u64, u64, u64) {
        let counters = &self.of.counters;
        let [active, keys] = [&counters.active, &counters.keys].map(|c| c.load(Ordering::Relaxed));
        (active, keys, counters.loads.now().failed)
    }
}

#[test]
fn a_first_load_that_fails_leaves_it_disabled_and_the_next_one_mends_it() {
    let life = Life::new();
    let e = life.of.keyring().err().unwrap().to_string();
    assert!(e.contains("disabled: it was not loaded"), "{e}");
    let why = life.fail_to_load().to_string();
    let lines = life.lines(Severity::Error);
    assert_eq!(lines[0], why);
    assert!(
        lines[1].contains("The keyring is disabled") && lines[1].contains("innodb_force_recovery")
    );
    assert_eq!((life.told(), life.counted()), (why, (0, 0, 1)));
    // The reason is in each call's error, and does not wrap itself.
    for _ in 0..2 {
        let e = life.of.fetch(b"k", b"").err().unwrap();
        assert!(e.to_string().contains("nothing is there"), "{e}");
        life.of.remember_error(&e);
    }
    assert_eq!(life.told().matches("disabled").count(), 0);
    life.load().unwrap();
    life.generate("k").unwrap();
    assert!(life.has("k"));
    let warnings = life.lines(Severity::Warning);
    assert!(warnings.iter().any(|w| w.contains("is no longer disabled")));
    assert_eq!((life.told().as_str(), life.counted()), ("", (1, 1, 1)));
}

#[test]
fn a_reload_that_fails_keeps_what_serves() {
    let life = Life::new();
    life.load().unwrap();
    life.generate("k").unwrap();
    life.fail_to_load();
    let lines = life.lines(Severity::Error);
    assert!(lines[1].contains("goes on serving"), "{lines:?}");
    assert!(life.has("k") && life.told().contains("nothing is there"));
    life.generate("l").unwrap();
    assert_eq!(life.counted(), (1, 2, 1));
    life.load().unwrap();
    assert_eq!(life.told(), "");
    // Not the start any more: nobody was told of an incident that is over.
    assert_eq!(life.lines(Severity::Warning), [""; 0]);
}

#[test]
fn a_change_that_meets_a_reload_is_done_on_the_new_keyring() {
    let life = Life::new();
    life.load().unwrap();
    let tries = AtomicUsize::new(0);
    let done = life.of.write(&Caller::Unknown, |keyring| {
        if tries.fetch_add(1, Ordering::Relaxed) == 0 {
            life.of.load_again()?;
        }
        keyring.generate(b"late", b"", b"AES", 32)
    });
    done.unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 2, "the old one refused it");
    assert!(life.has("late"));
    assert_eq!(life.counted(), (1, 1, 0));
    life.load().unwrap();
    assert!(life.has("late"), "it is in the file");
}

#[test]
fn only_the_role_that_opened_it_unloads_it_and_nothing_is_written() {
    let life = Life::new();
    life.load().unwrap();
    life.generate("k").unwrap();
    let before = std::fs::read(life.file()).unwrap();
    life.of.unload(Role::Plugin);
    assert!(life.of.is_active());
    let handle = life.of.fetch(b"k", b"").unwrap().unwrap();
    life.of.unload(Role::Component);
    assert!(!life.of.is_active());
    assert_eq!(handle.material().len(), 32, "a handle stays whole");
    assert_eq!(life.counted(), (0, 0, 0));
    assert_eq!(life.of.load_again().unwrap_err().kind(), Kind::Config);
    assert_eq!(std::fs::read(life.file()).unwrap(), before);
}

#[test]
fn a_panic_while_loading_is_a_load_that_failed() {
    let life = Life::new();
    let defect = || -> Result<Config> { panic!("with a secret") };
    let e = life.of.load(Role::Plugin, None, defect).unwrap_err();
    assert_eq!(e.kind(), Kind::Internal);
    assert_eq!(life.told(), e.to_string(), "told once");
    assert!(!life.told().contains("secret"));
    let lines = life.lines(Severity::Error);
    assert!(lines[1].contains("keyring_ward_reload()"), "{lines:?}");
    life.of.load(Role::Plugin, None, life.config()).unwrap();
    assert_eq!(life.told(), "");
}

#[test]
fn a_run_that_only_prints_help_opens_nothing() {
    let mut life = Life::new();
    life.of.host.command_line.args = vec!["--verbose".into(), "--help".into()];
    life.load().unwrap();
    assert!(!life.of.is_active() && !life.file().exists());
    assert!(life.told().contains("only prints help"));
    assert_eq!(life.of.last_errors()[0].kind, None);
    assert_eq!(life.of.host.acted.load(Ordering::Relaxed), 0);
}

#[test]
fn each_call_takes_on_the_rights_that_it_was_loaded_with() {
    let life = Life::new();
    life.load().unwrap();
    let before = life.of.host.acted.load(Ordering::Relaxed);
    assert!(!life.has("k"));
    life.generate("k").unwrap();
    assert_eq!(life.of.host.acted.load(Ordering::Relaxed), before + 2);
}

#[test]
fn what_was_refused_is_told_only_while_it_serves() {
    let life = Life::new();
    let refused = Error::new(Kind::AlreadyExists, "add the key", "it exists").refused();
    life.of.remember_refusal(&refused);
    assert_eq!(life.told(), "");
    life.load().unwrap();
    life.of.remember_refusal(&refused);
    assert_eq!(life.told(), refused.to_string());
    life.fail_to_load();
    assert!(!life.told().contains("it exists"), "{}", life.told());
}

/// What came up in a change that SQL asked for is in the log, although the keyring that it came up in may go at once.
#[test]
fn every_change_tells_what_came_up() {
    let life = Life::new();
    let of = |names: &'static [&'static str]| {
        let (path, kek) = (life.file(), life.dir.path().join("kek"));
        move || {
            let one =
                |name| serde_json::json!({ "name": name, "provider": "file", "key_file": kek });
            let keks: Vec<_> = names.iter().map(one).collect();
            let text = serde_json::json!({ "path": path, "keks": keks }).to_string();
            let read = crate::config::json::parse(text.as_bytes(), "test")?;
            read.layer.finish()
        }
    };
    let load = |config| life.of.load(Role::Component, None, config);
    load(of(&["a", "paper"])).unwrap();
    life.generate("k").unwrap();
    load(of(&["a"])).unwrap();
    life.lines(Severity::Warning);
    let reseal = |keyring: &By<'_>| {
        keyring
            .by(&Caller::Unknown)
            .rekey(&keyring.config().keks, false)
    };
    life.of.change(&Caller::Unknown, reseal).unwrap();
    let told = life.lines(Severity::Warning).join(" ");
    assert!(told.contains("The KEK 'paper' could open"), "{told}");
}

#[test]
fn a_server_that_may_write_ends_temporary_keys_and_no_other_one_does() {
    use crate::keyring::logical::Wanted;
    let life = Life::new();
    life.load().unwrap();
    let id = |name: &[u8]| crate::key::id::KeyId::new(name, b"a@b").unwrap();
    let make = |name: &[u8], expires| {
        let wanted = Wanted {
            expires,
            ..Wanted::default()
        };
        let made = life.of.change(&Caller::Unknown, |keyring| {
            keyring.create_logical(&id(name), b"AES", 32, &wanted)
        });
        made.unwrap();
    };
    make(b"brief", Some(1));
    make(b"long", Some(i64::MAX));
    make(b"lasting", None);
    life.lines(Severity::Warning);
    let names = || -> Vec<String> {
        let keys = life.of.keyring().unwrap().logical_keys();
        keys.iter().map(|key| key.id.to_string()).collect()
    };
    // One that may not write leaves it, without a word, and serves it to nobody.
    let config = life.config();
    let read_only = move || {
        let mut config = config()?;
        config.read_only = true;
        Ok(config)
    };
    life.of.load(Role::Component, None, read_only).unwrap();
    assert_eq!(names().len(), 3);
    assert_eq!(life.lines(Severity::Warning), [""; 0]);
    let refused = life.of.fetch(b"brief@1", b"a@b").map(drop).unwrap_err();
    assert_eq!(refused.kind(), Kind::KeyState);
    // One that may ends it, and says so once.
    life.load().unwrap();
    assert_eq!(names(), ["'long' of 'a@b'", "'lasting' of 'a@b'"]);
    let said = life.lines(Severity::Warning);
    assert!(
        said.len() == 1 && said[0].contains("'brief' of 'a@b'"),
        "{said:?}"
    );
    life.load().unwrap();
    assert_eq!(life.lines(Severity::Warning), [""; 0]);
}
