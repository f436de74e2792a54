//! The audit log: what the journal owes to it whatever happens, and which tampering shows.
//!
//! Owns the promise of docs/reference/audit-log.md for keyrings as a server has them, the table of tampering, and the vectors, which an
//! independent program (tests/support/audit_verify.py) reads as well.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

#[path = "support/audit_tampering.rs"]
mod tampering;

use common::Place;
use keyring_ward::audit::entry::Entry;
use keyring_ward::audit::event::Event;
use keyring_ward::audit::feed::Feed;
use keyring_ward::audit::outbox::Outbox;
use keyring_ward::audit::settings::{Reads, Settings};
use keyring_ward::audit::writer::Writer;
use keyring_ward::caller::{Caller, Operator};
use keyring_ward::keyring::{Environment, Keyring};
use keyring_ward::secret::SecretPool;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who changes something.
const ROOT: Caller<'static> = Caller::Tool(Operator {
    user: 0,
    login: Some(1000),
    command: "test",
});

/// A keyring as a server with a log has it.
struct Server {
    keyring: Keyring,
    outbox: Arc<Outbox>,
    settings: Settings,
}

fn open(place: &Place) -> Server {
    let outbox = Arc::new(Outbox::default());
    let settings = Settings::at(place.dir.path().join("audit.log"));
    let mut config = place.config();
    config.audit = Some(settings.clone());
    let environment = Environment {
        audit: Some(outbox.clone()),
        ..place.server()
    };
    let keyring = Keyring::open(&config, &environment, &SecretPool::new()).unwrap();
    Server {
        keyring,
        outbox,
        settings,
    }
}

impl Server {
    fn generate(&self, name: &str) {
        self.keyring
            .by(&ROOT)
            .generate(name.as_bytes(), b"app@%", b"AES", 32)
            .unwrap();
    }

    fn remove(&self, name: &str) {
        self.keyring
            .by(&ROOT)
            .remove(name.as_bytes(), b"app@%")
            .unwrap();
    }

    /// Brings everything into the log.
    fn log(&self) {
        let feed = Feed::new(Reads::None, self.outbox.clone());
        let signer = self.keyring.audit_signer().unwrap();
        let (opened, _) = self.outbox.journal();
        let writer = Writer::open(&self.settings, signer, &self.outbox, &opened).unwrap();
        writer.close(&feed).unwrap();
        assert!(self.outbox.is_empty());
    }

    /// How often the log tells of each change of keys, and that it is good.
    fn told(&self) -> BTreeMap<String, u32> {
        let key = self.keyring.audit_signer().unwrap().public();
        let files =
            keyring_ward::admin::audit::found(std::slice::from_ref(&self.settings.file)).unwrap();
        let checked =
            keyring_ward::admin::audit::check(&files, vec![key], Some(self.outbox.synced()))
                .unwrap();
        assert!(checked.flaw.is_none() && checked.lacks.is_none());
        assert!(
            checked.report.restarts.is_empty(),
            "{:?}",
            checked.report.restarts
        );
        let mut told = BTreeMap::new();
        let filter = keyring_ward::admin::audit::Filter::default();
        keyring_ward::admin::audit::lines(&files, &filter, &mut |line, _| {
            if line.change.is_some() {
                *told
                    .entry(format!("{} {}", line.event.word(), line.key))
                    .or_default() += 1;
            }
        })
        .unwrap();
        told
    }
}

fn waiting(outbox: &Outbox) -> Vec<String> {
    let (_, entries) = outbox.to_carry();
    let one = |e: &Entry| format!("{} {}", e.event.word(), String::from_utf8_lossy(&e.name));
    entries.iter().map(one).collect()
}

fn once(told: &BTreeMap<String, u32>, what: &[&str]) {
    for one in what {
        assert_eq!(told.get(*one), Some(&1), "{one}: {told:#?}");
    }
    let keys = told.iter().filter(|(what, _)| what.starts_with("key_"));
    assert!(keys.into_iter().all(|(_, n)| *n == 1), "{told:#?}");
}

/// Killed between any two steps, with the log written or not: what was acknowledged is told once.
#[test]
fn each_change_is_told_once_whenever_the_server_dies() {
    let place = Place::new();
    // The very first change makes the file, and the log never began.
    let server = open(&place);
    server.generate("a");
    server.generate("b");
    drop(server);
    let server = open(&place);
    assert_eq!(waiting(&server.outbox), ["key_added a", "key_added b"]);
    server.log();
    server.generate("c");
    server.remove("a");
    drop(server);
    // Not logged, and the file is written anew before it is.
    let server = open(&place);
    server.keyring.by(&ROOT).compact().unwrap();
    server.generate("d");
    drop(server);
    let server = open(&place);
    server.keyring.by(&ROOT).compact().unwrap();
    drop(server);
    let server = open(&place);
    server.log();
    server.log();
    let told = server.told();
    once(
        &told,
        &[
            "key_added a",
            "key_added b",
            "key_added c",
            "key_removed a",
            "key_added d",
        ],
    );
    drop(server);
    let server = open(&place);
    server.log();
    assert_eq!(server.told(), told);
}

/// The tool knows nothing of the log's file, and its changes are told by the server that comes next.
#[test]
fn what_the_tool_changes_is_told_by_the_next_server() {
    let place = Place::new();
    let server = open(&place);
    server.generate("a");
    server.log();
    server.generate("b");
    drop(server);
    // With the same configuration: what it does is owed too.
    let mut config = place.config();
    config.audit = Some(Settings::at(place.dir.path().join("audit.log")));
    let tool = keyring_ward::keyring::tool::Tool::default();
    let keyring = Keyring::open_by_tool(&config, &tool, &SecretPool::new()).unwrap();
    keyring
        .by(&ROOT)
        .generate(b"c", b"app@%", b"AES", 32)
        .unwrap();
    keyring.by(&ROOT).compact().unwrap();
    drop(keyring);
    // Without it: the journal has a log, whatever this configuration says. Else a copy of it without the line would change keys unseen.
    let keyring = Keyring::open_by_tool(&place.config(), &tool, &SecretPool::new()).unwrap();
    keyring
        .by(&ROOT)
        .generate(b"d", b"app@%", b"AES", 32)
        .unwrap();
    keyring.by(&ROOT).compact().unwrap();
    drop(keyring);
    let server = open(&place);
    server.log();
    once(
        &server.told(),
        &["key_added a", "key_added b", "key_added c", "key_added d"],
    );
}

/// A log that is switched off and on again: what was changed meanwhile is told, also where the file was written anew.
#[test]
fn what_is_changed_while_the_log_is_switched_off_is_told_when_it_is_on_again() {
    let place = Place::new();
    let server = open(&place);
    server.generate("a");
    server.log();
    drop(server);
    let plain = place.open().unwrap();
    let generate = |name: &[u8]| plain.by(&ROOT).generate(name, b"app@%", b"AES", 32);
    generate(b"b").unwrap();
    plain.by(&ROOT).compact().unwrap();
    generate(b"c").unwrap();
    plain.by(&ROOT).remove(b"a", b"app@%").unwrap();
    drop(plain);
    let server = open(&place);
    server.log();
    let all = ["key_added a", "key_added b", "key_added c", "key_removed a"];
    once(&server.told(), &all);
}

#[test]
fn many_keys_at_once_are_many_lines() {
    let (place, other) = (Place::new(), Place::new());
    let from = other.open().unwrap();
    for n in 0..300 {
        from.by(&ROOT)
            .generate(format!("m{n}").as_bytes(), b"app@%", b"AES", 32)
            .unwrap();
    }
    let server = open(&place);
    server.generate("a");
    let pool = SecretPool::new();
    let records = from.list_with_material().unwrap();
    let records = records
        .iter()
        .map(|r| r.renamed(r.id.clone(), &pool).unwrap());
    server
        .keyring
        .by(&ROOT)
        .restore_all(records.collect())
        .unwrap();
    drop(server);
    let server = open(&place);
    server.log();
    let told = server.told();
    assert_eq!(
        told.keys().filter(|k| k.starts_with("key_added m")).count(),
        300
    );
    once(&told, &["key_added a"]);
}

/// A log that is away for long costs no rewrite after each change.
#[test]
fn what_waits_is_carried_and_does_not_make_the_file_grow_by_itself() {
    let place = Place::new();
    let server = open(&place);
    for n in 0..2_000 {
        server.generate(&format!("k{n}"));
        if n % 2 == 0 {
            server.remove(&format!("k{n}"));
        }
    }
    let before = server.keyring.status().store.generation;
    server.keyring.by(&ROOT).compact().unwrap();
    server.generate("x");
    server.generate("y");
    assert_eq!(server.keyring.status().store.generation, before + 1);
    drop(server);
    let server = open(&place);
    assert_eq!(waiting(&server.outbox).len(), 3_000 + 1 + 2);
    server.log();
    server.keyring.by(&ROOT).compact().unwrap();
    drop(server);
    let server = open(&place);
    // Nothing is owed but that it was written anew.
    assert_eq!(waiting(&server.outbox), ["keyring_rewritten "]);
}

#[test]
fn a_keyring_without_a_log_says_nothing_of_one() {
    let (place, plain) = (Place::new(), Place::new());
    let server = open(&place);
    server.generate("a");
    let keyring = plain.open().unwrap();
    keyring
        .by(&ROOT)
        .generate(b"a", b"app@%", b"AES", 32)
        .unwrap();
    keyring
        .by(&ROOT)
        .generate(b"b", b"app@%", b"AES", 32)
        .unwrap();
    keyring.by(&ROOT).compact().unwrap();
    plain.check_bytes(&keyring);
    // The key is the same in memory: what is owed is the record's alone.
    let said = |keyring: &Keyring| keyring.list()[0].extensions().length();
    assert_eq!(said(&server.keyring), said(&keyring));
    drop(server);
    let server = open(&place);
    assert_eq!(said(&server.keyring), said(&keyring));
    assert_eq!(server.keyring.document("audit.owed.0").map(drop), None);
}

/// What the journal knows shows that the log's end was cut.
#[test]
fn the_journal_knows_how_far_the_log_was() {
    let place = Place::new();
    let server = open(&place);
    server.generate("a");
    server.log();
    let line = server.outbox.synced();
    server.generate("b");
    drop(server);
    let server = open(&place);
    assert_eq!(server.outbox.journal().0.known, line);
    let mut config = place.config();
    config.audit = None;
    drop(server);
    let known = keyring_ward::admin::audit::known(&config).unwrap();
    assert_eq!(known.synced, line);
    assert!(known.pem.starts_with("-----BEGIN PUBLIC KEY"));
    let text = std::fs::read_to_string(place.dir.path().join("audit.log")).unwrap();
    let cut: String = text.lines().take(2).map(|l| format!("{l}\n")).collect();
    std::fs::write(place.dir.path().join("audit.log"), cut).unwrap();
    let files = keyring_ward::admin::audit::found(&[place.dir.path().join("audit.log")]).unwrap();
    let check =
        |expected| keyring_ward::admin::audit::check(&files, vec![known.key], expected).unwrap();
    assert!(check(None).lacks.is_none() && check(None).flaw.is_none());
    assert_eq!(check(Some(known.synced)).lacks, Some(known.synced));
    assert_ne!(Event::ALL.len(), 0);
}
