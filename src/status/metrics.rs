//! The status as metrics, in Prometheus' text exposition format.
//!
//! Owns the metrics' names, types and units, which alert rules name: docs/reference/status.md lists them, and a test compares. It must
//! never give two samples of one series, and never a metric whose value is not known.

use super::{Served, Status};
use crate::error::Kind;
use crate::kek::Contact;
use crate::kek::member::{Answer, KekInfo};
use crate::keyring;
use crate::store::{Mode, StoreInfo};
use crate::text::hex;
use std::fmt::Write;

/// What a number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// It goes up and down.
    Gauge,
    /// It only grows, until the process ends.
    Counter,
}

impl Type {
    /// As it stands behind `# TYPE`.
    pub fn name(self) -> &'static str {
        match self {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
        }
    }
}

/// A number that the status has.
pub struct Metric {
    /// Its name; the end is its unit.
    pub name: &'static str,
    /// What it does.
    pub kind: Type,
    /// What it is.
    pub help: &'static str,
    /// Where it is found; `None`: it is not known now.
    value: fn(&Status) -> Option<String>,
    /// The labels' names and values.
    labels: fn(&Status) -> Labels,
    /// The values for each KEK; `None`: it has none of its own.
    of_kek: Option<fn(&KekInfo) -> Option<String>>,
}

/// Names and values.
type Labels = Vec<(&'static str, String)>;

const fn metric(
    name: &'static str,
    kind: Type,
    help: &'static str,
    value: fn(&Status) -> Option<String>,
) -> Metric {
    Metric {
        name,
        kind,
        help,
        value,
        labels: |_| Vec::new(),
        of_kek: None,
    }
}

/// A number of each KEK, with the label `kek`.
const fn of_kek(
    name: &'static str,
    help: &'static str,
    value: fn(&KekInfo) -> Option<String>,
) -> Metric {
    Metric {
        of_kek: Some(value),
        ..metric(name, Type::Gauge, help, |_| None)
    }
}

/// All metrics.
#[rustfmt::skip]
pub const METRICS: [Metric; 49] = [
    metric("keyring_ward_up", Type::Gauge, "1: the keyring is open. Alert on 0.", |s| flag(s.open.is_some())),
    metric("keyring_ward_last_error_number", Type::Gauge, "Number of the last error (docs/reference/errors.md), 0 where nothing is wrong.",
        |s| whole(s.last_errors.first().and_then(|e| e.kind).map_or(0, Kind::number))),
    metric("keyring_ward_last_error_timestamp_seconds", Type::Gauge, "When the last error came up, in seconds since 1970.",
        |s| s.last_errors.first().and_then(|e| whole(e.at))),
    Metric {
        labels: about,
        ..metric("keyring_ward_info", Type::Gauge, "Always 1: the labels say which keyring it is and what opened it.", |s| s.open.as_ref().and(whole(1)))
    },
    metric("keyring_ward_keys", Type::Gauge, "Keys in the keyring.", |s| open(s, |o| o.keys)),
    metric("keyring_ward_logical_keys", Type::Gauge, "Logical keys.", |s| open(s, |o| o.counts.logical)),
    metric("keyring_ward_retired_keys", Type::Gauge, "Removed keys that are kept.", |s| open(s, |o| o.counts.retired)),
    metric("keyring_ward_rotations_due", Type::Gauge, "Logical keys that are to be rotated now. Alert above 0, where a policy wants rotations.", |s| open(s, |o| o.counts.rotations_due)),
    metric("keyring_ward_rotation_due_in_days", Type::Gauge, "In how many days the next of them is due; less than 0: it is overdue. Only where a rotation is planned.",
        |s| s.open.as_ref().and_then(|o| whole(o.counts.rotation_due_in_days?))),
    metric("keyring_ward_destructions_due", Type::Gauge, "Logical keys of which something may be destroyed now, as it was planned.", |s| open(s, |o| o.counts.destructions_due)),
    metric("keyring_ward_read_only", Type::Gauge, "1: nothing can be written here. The tool's own look at a keyring does not count.",
        |s| s.open.as_ref().filter(|_| s.served.is_some()).and_then(|o| flag(o.mode != Mode::ReadWrite))),
    metric("keyring_ward_writes_refused", Type::Gauge, "1: writes are refused until an operator acts.", |s| s.store().and_then(|i| flag(i.refusing.is_some()))),
    metric("keyring_ward_generation", Type::Gauge, "How often the file was written anew.", |s| s.created().and_then(|i| whole(i.generation))),
    metric("keyring_ward_last_record", Type::Gauge, "Number of the last record. It never goes back.", |s| store(s, |i| i.sequence)),
    metric("keyring_ward_file_bytes", Type::Gauge, "Size of the keyring.", |s| store(s, |i| i.bytes)),
    metric("keyring_ward_live_bytes", Type::Gauge, "Bytes of records that count.", |s| store(s, |i| i.live_bytes)),
    metric("keyring_ward_dead_bytes", Type::Gauge, "Bytes of what was removed, which the next compaction drops.", |s| store(s, |i| i.dead_bytes)),
    metric("keyring_ward_torn_bytes", Type::Gauge, "Bytes of an incomplete record at the end.", |s| store(s, |i| i.torn)),
    metric("keyring_ward_warnings", Type::Gauge, "Warnings that opening the keyring for this look gave.",
        |s| s.open.as_ref().filter(|_| s.served.is_none()).and_then(|_| whole(s.warnings.len()))),
    metric("keyring_ward_marker_failures_total", Type::Counter, "How often the marker could not be written.", |s| served_store(s, |i| i.marker_failures)),
    metric("keyring_ward_kek_calls_total", Type::Counter, "Calls of a KEK that is not on this machine.", |s| contact(s, |c| c.calls)),
    metric("keyring_ward_kek_errors_total", Type::Counter, "Of these, failed.", |s| contact(s, |c| c.errors)),
    metric("keyring_ward_kek_last_success_timestamp_seconds", Type::Gauge, "When that KEK answered last, in seconds since 1970.",
        |s| s.store()?.contact.as_ref()?.last_success.and_then(whole)),
    metric("keyring_ward_keks", Type::Gauge, "KEKs that a server tries at its start.", |s| s.kek_health().and_then(|h| whole(h.configured))),
    metric("keyring_ward_keks_answered", Type::Gauge, "Of these, opened the keyring or their stanza when they were asked last. At a start no more are asked than are needed.", |s| s.kek_health().and_then(|h| whole(h.answered))),
    metric("keyring_ward_keks_needed", Type::Gauge, "KEKs that are needed to open the keyring.", |s| s.store().and_then(|i| whole(i.threshold))),
    metric("keyring_ward_degraded", Type::Gauge, "1: the keyring serves, and a KEK failed when it was asked last, or has no stanza. Alert on 1.",
        |s| s.kek_health().and_then(|h| flag(h.degraded.is_some()))),
    metric("keyring_ward_lease_state", Type::Gauge, "How the lease is: 0 there is none, 1 valid, 2 not started, 3 the KEKs are away, 4 they refuse, 5 the keyring is revoked. Alert above 1.",
        |s| s.lease.and_then(|(state, _)| whole(state.number()))),
    metric("keyring_ward_audit_state", Type::Gauge, "How the audit log is: 0 there is none, 1 it is written, 2 it was not begun yet, 3 it can't be written. Alert at 3; 2 for long only where keys are used.",
        |s| s.audit.as_ref().and_then(|a| whole(a.state as u8))),
    metric("keyring_ward_audit_lines", Type::Gauge, "Number of the audit log's last line on the disk.", |s| s.audit.as_ref().and_then(|a| whole(a.line))),
    metric("keyring_ward_audit_waiting", Type::Gauge, "Changes that are not in the audit log yet.", |s| s.audit.as_ref().and_then(|a| whole(a.owed))),
    metric("keyring_ward_audit_dropped_total", Type::Counter, "Reads and events that found no room in the audit log. Alert where it grows.", |s| s.audit.as_ref().and_then(|a| whole(a.dropped))),
    metric("keyring_ward_denials_total", Type::Counter, "Calls that were refused to accounts. Alert where it grows fast.", |s| served(s, |n| n.denials)),
    metric("keyring_ward_random_reserve_bytes", Type::Gauge, "Random bytes of the configured source that wait for keys. Only where they go into keys.",
        |s| s.open.as_ref().filter(|o| s.served.is_some() && o.random.random.keys).and_then(|o| whole(o.random.reserve))),
    metric("keyring_ward_random_missed_total", Type::Counter, "Keys that were generated with the system's random bytes alone, although others were wanted.",
        |s| s.open.as_ref().filter(|o| s.served.is_some() && o.random.random.keys).and_then(|o| whole(o.random.missed))),
    of_kek("keyring_ward_kek_wrapped", "1: the KEK has a stanza in the keyring.", |k| k.wrapped.and_then(flag)),
    of_kek("keyring_ward_kek_failed", "1: the KEK failed when it was asked last; 0: it opened.", |k| match k.answer {
        Answer::NotAsked => None,
        Answer::Opened => flag(false),
        Answer::Failed { .. } => flag(true),
    }),
    of_kek("keyring_ward_kek_latency_seconds", "How long the KEK took when it was asked last.", |k| seconds(k.latency?.as_micros() as u64)),
    metric("keyring_ward_fetches_total", Type::Counter, "Fetches of keys.", |s| served(s, |n| n.fetches)),
    metric("keyring_ward_writes_total", Type::Counter, "Generates, stores and removes.", |s| served(s, |n| n.writes.calls)),
    metric("keyring_ward_write_failures_total", Type::Counter, "Of these, failed.", |s| served(s, |n| n.writes.failed)),
    metric("keyring_ward_write_seconds_total", Type::Counter, "How long they took, the disk's sync included.", |s| s.served.and_then(|n| seconds(n.writes.total))),
    metric("keyring_ward_write_longest_seconds", Type::Gauge, "How long the longest took.", |s| s.served.and_then(|n| seconds(n.writes.longest))),
    metric("keyring_ward_loads_total", Type::Counter, "Loads and reloads.", |s| served(s, |n| n.loads.calls)),
    metric("keyring_ward_load_failures_total", Type::Counter, "Of these, failed.", |s| served(s, |n| n.loads.failed)),
    metric("keyring_ward_load_seconds_total", Type::Counter, "How long they took.", |s| s.served.and_then(|n| seconds(n.loads.total))),
    metric("keyring_ward_load_longest_seconds", Type::Gauge, "How long the longest took.", |s| s.served.and_then(|n| seconds(n.loads.longest))),
    metric("keyring_ward_errors_total", Type::Counter, "Errors that an operator should know of.", |s| served(s, |n| n.errors)),
    metric("keyring_ward_status_timestamp_seconds", Type::Gauge, "When these metrics were made, in seconds since 1970. Alert where they grow old.",
        |_| whole(crate::os::unix_seconds())),
];

fn whole(number: impl std::fmt::Display) -> Option<String> {
    Some(number.to_string())
}

fn flag(on: bool) -> Option<String> {
    whole(u8::from(on))
}

fn seconds(microseconds: u64) -> Option<String> {
    let (whole, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
    Some(format!("{whole}.{rest:06}"))
}

fn open(status: &Status, of: fn(&keyring::Status) -> usize) -> Option<String> {
    status.open.as_ref().and_then(|open| whole(of(open)))
}

fn store(status: &Status, of: fn(&StoreInfo) -> u64) -> Option<String> {
    status.store().and_then(|info| whole(of(info)))
}

/// Of a store that is open all the time: what a look counts begins at 0 each time.
fn served_store(status: &Status, of: fn(&StoreInfo) -> u64) -> Option<String> {
    status.served.and_then(|_| store(status, of))
}

fn served(status: &Status, of: fn(Served) -> u64) -> Option<String> {
    status.served.and_then(|numbers| whole(of(numbers)))
}

/// As [`served_store`], of the contact to the KEK.
fn contact(status: &Status, of: fn(&Contact) -> u64) -> Option<String> {
    status.served?;
    status.store()?.contact.as_ref().and_then(|c| whole(of(c)))
}

fn about(status: &Status) -> Vec<(&'static str, String)> {
    let (Some(configured), Some(open)) = (&status.configured, &status.open) else {
        return Vec::new();
    };
    let store = &open.store;
    vec![
        ("version", crate::VERSION.into()),
        ("backend", configured.backend.into()),
        ("data_file", configured.path.display().to_string()),
        (
            "file_id",
            store.file_id.map(|id| hex(&id)).unwrap_or_default(),
        ),
        (
            "fingerprint",
            store.fingerprint.map(|f| hex(&f)).unwrap_or_default(),
        ),
        ("opened_by", store.opened_by.clone()),
        ("kek_mechanism", store.mechanism.clone()),
        ("kek_reference", store.key_ref.clone()),
    ]
}

/// A label's value between its quotes.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

/// The metrics in the text exposition format, version 0.0.4. It ends with a line end.
pub fn render(status: &Status) -> String {
    let mut out = String::new();
    for metric in &METRICS {
        let samples = samples(metric, status);
        if samples.is_empty() {
            continue;
        }
        let (name, help, kind) = (metric.name, metric.help, metric.kind.name());
        // Writing into a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{} {value}", between_braces(&labels));
        }
    }
    out
}

/// The samples of a metric: labels and value.
fn samples(metric: &Metric, status: &Status) -> Vec<(Labels, String)> {
    let Some(of_kek) = metric.of_kek else {
        let value = (metric.value)(status);
        return value
            .map(|v| ((metric.labels)(status), v))
            .into_iter()
            .collect();
    };
    let keks = status.store().map_or(&[][..], |store| &store.keks);
    let sample = |kek: &KekInfo| {
        let labels = vec![
            ("kek", kek.naming.name.clone()),
            ("provider", kek.naming.provider.to_string()),
        ];
        Some((labels, of_kek(kek)?))
    };
    keks.iter().filter_map(sample).collect()
}

fn between_braces(labels: &Labels) -> String {
    let labels: Vec<String> = (labels.iter())
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    match labels.is_empty() {
        true => String::new(),
        false => format!("{{{}}}", labels.join(",")),
    }
}

/// The table of docs/reference/status.md.
pub fn table() -> String {
    let mut out = "| metric | type | what |\n|---|---|---|\n".to_string();
    for metric in &METRICS {
        let (name, kind, help) = (metric.name, metric.kind.name(), metric.help);
        out += &format!("| `{name}` | {kind} | {help} |\n");
    }
    out
}
