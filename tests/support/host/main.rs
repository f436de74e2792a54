//! A fake host of the library: a program that loads it as a given version of MySQL would, in a given role.
//!
//! It offers the services of that version and nothing else, each table ending at an inaccessible page, so that use of a
//! slot that the version lacks is a fault with a sentence. The order comes as JSON in `KW_HOST` (see tests/fake_host.rs), and
//! what was called goes to standard output as JSON. It proves layout and use of the interface, never the behaviour of a server. It must never be
//! part of what is installed.
// exit is fine outside mysqld.
#![allow(
    unsafe_code,
    missing_docs,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod companion;
mod component;
mod memory;
mod plugin;
mod server;
#[path = "../../common/services.rs"]
mod services;
mod slots;
mod sql;
mod versions;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use serde_json::{Value, json};
use server::{Host, Order, lock};
use std::sync::atomic::Ordering;
use versions::Way;

fn main() {
    let order =
        std::env::var("KW_HOST").expect("KW_HOST: this program is run by tests/fake_host.rs");
    let order: Value = serde_json::from_str(&order).expect("KW_HOST holds JSON");
    let host = Host::begin(Order::from_json(&order));
    // SAFETY: the library's constructors are its own; it stays mapped to the end of the process.
    let library = unsafe { Library::open(Some(&host.order.library), RTLD_NOW | RTLD_LOCAL) }
        .unwrap_or_else(|e| panic!("{}: {e}", host.order.library.display()));
    match host.order.role.as_str() {
        "component" => component::run(host, &library),
        "companion" => companion::run(host, &library),
        "plugin" => plugin::run(host, &library),
        "both" => plugin::run_beside_component(host, &library),
        other => panic!("no such role: {other}"),
    }
    match host.order.misuse.as_deref() {
        Some("slot") => misuse_slot(host),
        Some("kept") => drop(host.acquire("status_variable_registration")),
        Some("released") => misuse_released(host),
        Some(other) => panic!("no such misuse: {other}"),
        None => {}
    }
    library.close().expect("dlclose");
    judge(host);
    println!("{}", report(host));
    let problems = host.problems();
    for problem in &problems {
        eprintln!(
            "PROBLEM: {}, {}: {problem}",
            host.version().name,
            host.order.role
        );
    }
    std::process::exit(i32::from(!problems.is_empty()));
}

/// What must hold when the library is gone.
fn judge(host: &Host) {
    for table in host.tables() {
        let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::SeqCst);
        let (acquired, released) = (count(&table.acquired), count(&table.released));
        host.check(
            acquired == released,
            &format!(
                "{} was acquired {acquired} times and released {released} times",
                table.service.name
            ),
        );
    }
    let left = lock(&host.registered);
    let left = (&left.functions, &left.privileges, left.tables.len());
    host.check(
        left == (&vec![], &vec![], 0),
        &format!("functions, privileges and tables that are left: {left:?}"),
    );
    let left = lock(&host.status).clone();
    host.check(
        left.is_empty(),
        &format!("status variables that are left: {left:?}"),
    );
    let (allocated, freed) = (
        host.allocated.load(Ordering::SeqCst),
        host.freed.load(Ordering::SeqCst),
    );
    host.check(
        allocated == freed,
        &format!("{allocated} pieces of the server's memory were taken, {freed} given back"),
    );
}

/// What was called, for the test's table.
fn report(host: &Host) -> Value {
    let services = host.tables().iter().filter(|t| t.service.way != Way::Never);
    let services: Vec<Value> = services
        .map(|t| {
            let called = t.slots.iter().zip(&t.called);
            let called = called.map(|(slot, n)| (*slot, n.load(Ordering::SeqCst)));
            json!({
                "service": t.service.name,
                "called": called.filter(|(_, n)| *n > 0).collect::<Vec<_>>(),
                "acquired": t.acquired.load(Ordering::SeqCst),
                "released": t.released.load(Ordering::SeqCst),
            })
        })
        .collect();
    json!({ "services": services, "lines": lock(&host.log).len() })
}

/// On purpose: the last slot that 9.7 has of `log_builtins`, in whatever version is played.
fn misuse_slot(host: &Host) {
    let handle = host.acquire("log_builtins").cast::<usize>();
    assert!(!handle.is_null(), "the version has no log_builtins");
    let slots = versions::SERVICES
        .iter()
        .find(|s| s.name == "log_builtins")
        .and_then(|s| s.rows[versions::V9_7_4].slots)
        .expect("a row");
    // SAFETY: it is not, in 8.0 and 8.4: that is the point.
    unsafe { handle.add(slots.len() - 1).read_volatile() };
    host.release(handle.cast());
}

/// On purpose: a service after its release.
fn misuse_released(host: &Host) {
    let handle = host.acquire("status_variable_registration").cast::<usize>();
    host.release(handle.cast());
    // SAFETY: it is not: that is the point.
    unsafe { handle.read_volatile() };
}
