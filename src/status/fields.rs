//! The status by names: rows and JSON.
//!
//! Owns the one table of names. A row is called by its name, the member of a JSON object by the same in lower case; docs/reference/status.md
//! lists them, and a test compares. A name that is public must never get another meaning.

use super::{Status, keks};
use crate::kek::Contact;
use crate::kek::randomness::Random;
use crate::lifecycle::counters::Times;
use crate::lifecycle::last_error::{self, LastError};
use crate::text::hex;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// Who looks at the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// `performance_schema.keyring_component_status`
    Rows,
    /// `keyring_ward_status()`
    Sql,
    /// `keyring-ward status`
    Tool,
}

/// One thing that the status tells.
pub struct Field {
    /// The row's name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Who sees it.
    pub seen_by: &'static [View],
    /// The value for programs; null: there is none.
    json: fn(&Status) -> Value,
    /// The value in a row, where that is not the same; `None`: there is none.
    row: Option<fn(&Status) -> Option<String>>,
}

impl Field {
    /// The member's name in JSON.
    pub fn member(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}

const ROWS: &[View] = &[View::Rows];
const SERVER: &[View] = &[View::Rows, View::Sql];
const SQL: &[View] = &[View::Sql];
const LOOKS: &[View] = &[View::Sql, View::Tool];
const TOOL: &[View] = &[View::Tool];
const ALL: &[View] = &[View::Rows, View::Sql, View::Tool];

const fn field(
    name: &'static str,
    seen_by: &'static [View],
    help: &'static str,
    json: fn(&Status) -> Value,
) -> Field {
    Field {
        name,
        help,
        seen_by,
        json,
        row: None,
    }
}

const fn with_row(
    name: &'static str,
    seen_by: &'static [View],
    help: &'static str,
    json: fn(&Status) -> Value,
    row: fn(&Status) -> Option<String>,
) -> Field {
    Field {
        row: Some(row),
        ..field(name, seen_by, help, json)
    }
}

/// All that is told, in the order of the rows.
#[rustfmt::skip]
pub const FIELDS: [Field; 51] = [
    field("Component_name", ROWS, "the component's name", |_| crate::COMPONENT.into()),
    field("Author", ROWS, "the author", |_| "Keyring Ward".into()),
    field("License", ROWS, "the licence", |_| "Apache-2.0 OR MIT".into()),
    field("Implementation_name", ROWS, "the component's name", |_| crate::COMPONENT.into()),
    field("Version", SERVER, "the library's version", |_| crate::VERSION.into()),
    field("Component_status", SERVER, "`Active` while there is a keyring, else `Disabled`", |s| {
        if s.open.is_some() { "Active".into() } else { "Disabled".into() }
    }),
    field("Backend", ALL, "the configured backend", |s| s.configured.as_ref().map(|c| c.backend).into()),
    field("Data_file", ALL, "the keyring file", |s| s.configured.as_ref().map(|c| c.path.display().to_string()).into()),
    field("Read_only", SERVER, "nothing can be written", |s| s.is_read_only().into()),
    field("Mode", SQL, "how it is opened: `ReadWrite`, `ReadOnly`, or `Snapshot` beside a server that holds it",
        |s| s.open.as_ref().map(|o| o.mode.name()).into()),
    field("File_id", LOOKS, "which file it is", |s| s.store().and_then(|i| i.file_id).map(|id| hex(&id)).into()),
    field("Generation", ALL, "how often the file was written anew; none before the first key", |s| s.created().map(|i| i.generation).into()),
    field("Last_record", LOOKS, "the number of the last record", |s| s.store().map(|i| i.sequence).into()),
    field("Bytes", LOOKS, "the file's size", |s| s.store().map(|i| i.bytes).into()),
    field("Live_bytes", SQL, "of these, bytes of records that count", |s| s.store().map(|i| i.live_bytes).into()),
    field("Dead_bytes", SQL, "of these, bytes of what was removed, which the next compaction drops", |s| s.store().map(|i| i.dead_bytes).into()),
    field("Torn_bytes", TOOL, "bytes of an incomplete record at the end", |s| s.store().map(|i| i.torn).into()),
    field("Keys", ALL, "how many keys there are", |s| s.open.as_ref().map(|o| o.keys).into()),
    field("Logical_keys", ALL, "how many [logical keys](../guide/key-lifecycle.md) there are", |s| s.counts().map(|c| c.logical).into()),
    field("Retired_keys", ALL, "how many removed keys are kept, because files may still need them", |s| s.counts().map(|c| c.retired).into()),
    field("Rotations_due", ALL, "logical keys that are to be rotated now: `keyring-ward key list --due` names them", |s| s.counts().map(|c| c.rotations_due).into()),
    field("Rotation_due_in_days", ALL, "in how many days the next of them is due; less than 0: it is overdue; none: no rotation is planned",
        |s| s.counts().and_then(|c| c.rotation_due_in_days).into()),
    field("Destructions_due", ALL, "logical keys of which something may be destroyed now, as it was planned; nothing does that by itself", |s| s.counts().map(|c| c.destructions_due).into()),
    field("Opened_by", ALL, "the KEK that opened it, or would make it", |s| s.store().map(|i| i.opened_by.as_str()).into()),
    field("KEK_mechanism", ALL, "how that KEK wraps the DEK", |s| s.created().map(|i| i.mechanism.as_str()).into()),
    field("KEK_reference", LOOKS, "which key of the HSM or KMS it was; empty for secrets on this machine",
        |s| s.store().map(|i| i.key_ref.as_str()).into()),
    with_row("KEK_last_contact", SERVER, "the last contact to a KEK that is not on this machine: in JSON `calls`, `errors`, `last_success`, `last_error`",
        |s| s.store().and_then(|i| i.contact.as_ref()).map(contact).into(),
        |s| s.store().and_then(|i| i.contact.as_ref()).map(contact_row)),
    with_row("KEKs", LOOKS, "every KEK by itself: below", |s| keks::json(s.store()), |_| None),
    field("KEKs_configured", LOOKS, "how many KEKs a server tries", |s| s.kek_health().map(|h| h.configured).into()),
    field("KEKs_answered", LOOKS, "how many of them opened the keyring or their stanza when they were asked last", |s| s.kek_health().map(|h| h.answered).into()),
    field("Threshold", LOOKS, "how many KEKs are needed", |s| s.store().map(|i| i.threshold).into()),
    with_row("Degraded", LOOKS, "the keyring serves, and not all of its KEKs do: which. In the rows too, where there are several KEKs", |s| degraded(s).into(), degraded),
    field("Lease_state", SERVER, "the [lease](../guide/lease.md): `off`, `valid`, `not started` (nobody has asked the KEKs yet), `away` (too few say anything), `refused`, or `revoked`: the keyring was taken away",
        |s| s.lease.map(|(state, _)| state.name()).into()),
    field("Lease_until", SERVER, "when that changes, if the KEKs say nothing else", |s| s.lease.and_then(|(_, until)| until).map(crate::text::utc).into()),
    field("Audit_state", SERVER, "the [audit log](../guide/audit.md): `off`, `writing`, `waiting` (nobody has called yet, or there is no keyring file yet), or `failing`: it can't be written",
        |s| s.audit.as_ref().map(|a| a.state.name()).into()),
    field("Audit_line", SERVER, "the number of its last line on the disk", |s| s.audit.as_ref().filter(|a| a.line > 0).map(|a| a.line).into()),
    field("Audit_synced_at", SQL, "when that was", |s| s.audit.as_ref().and_then(|a| a.synced_at).map(crate::text::utc).into()),
    field("Audit_waiting", SQL, "changes that are not in it yet", |s| s.audit.as_ref().map(|a| a.owed).into()),
    field("Audit_dropped", SERVER, "reads and events that found no room since it was begun", |s| s.audit.as_ref().map(|a| a.dropped).into()),
    field("Audit_error", SERVER, "why it can't be written", |s| s.audit.as_ref().and_then(|a| a.why.clone()).into()),
    field("Random", LOOKS, "whose random bytes are mixed with the system's ([randomness](../guide/randomness.md)): `system` (nobody's), `kek` or `hardware`; with `for keys` not only into new DEKs",
        |s| s.open.as_ref().map(|o| random(o.random.random)).into()),
    field("Random_reserve", SQL, "bytes of that source that wait for keys to be generated", |s| s.open.as_ref().map(|o| o.random.reserve).into()),
    field("Random_missed", SQL, "keys that were generated with the system's bytes alone, because the reserve had too few; since the keyring was opened", |s| s.open.as_ref().map(|o| o.random.missed).into()),
    field("Fingerprint", LOOKS, "the DEK's fingerprint", |s| s.store().and_then(|i| i.fingerprint).map(|f| hex(&f)).into()),
    field("Marker_failures", SQL, "how often the marker could not be written", |s| s.store().map(|i| i.marker_failures).into()),
    field("Writes_refused", SQL, "why writes are refused", |s| s.store().and_then(|i| i.refusing.as_deref()).into()),
    field("Fetches", SQL, "fetches of keys", |s| s.served.map(|n| n.fetches).into()),
    field("Writes", SQL, "generates, stores and removes: `calls`, of these `failed`, `microseconds` of all, `longest`", |s| s.served.map(|n| times(n.writes)).into()),
    field("Loads", SQL, "loads and reloads, likewise", |s| s.served.map(|n| times(n.loads)).into()),
    field("Errors", SQL, "errors that an operator should know of", |s| s.served.map(|n| n.errors).into()),
    with_row("Last_error", SERVER, "what went wrong last: in JSON `number`, `kind`, `message`, `hint`, `time`, and in `also` what else is wrong. The row also tells that writes are refused",
        |s| last_error(&s.last_errors),
        |s| s.refusing().or_else(|| last_error::text(&s.last_errors))),
];

fn degraded(status: &Status) -> Option<String> {
    status.kek_health()?.degraded
}

fn random(of: Random) -> String {
    match of.keys {
        true => format!("{} for keys", of.source.name()),
        false => of.source.name().into(),
    }
}

fn contact(of: &Contact) -> Value {
    json!({
        "calls": of.calls, "errors": of.errors, "last_success": of.last_success.map(crate::text::utc),
        "last_error": of.last_error,
    })
}

fn contact_row(of: &Contact) -> String {
    let when = of.last_success.map_or("never".to_string(), |at| {
        format!("{} s ago", (crate::os::unix_seconds() - at).max(0))
    });
    format!("{when}, {} calls, {} failed", of.calls, of.errors)
}

/// The most important one, and the text of others.
fn last_error(all: &[LastError]) -> Value {
    let Some((first, others)) = all.split_first() else {
        return Value::Null;
    };
    let mut json = first.to_json();
    json["also"] = last_error::text(others).into();
    json
}

fn times(of: Times) -> Value {
    json!({
        "calls": of.calls, "failed": of.failed, "microseconds": of.total, "longest": of.longest,
    })
}

/// A value for people; `None`: there is none.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(true) => Some("Yes".into()),
        Value::Bool(false) => Some("No".into()),
        other => Some(other.to_string()),
    }
}

impl Status {
    /// Names and values for people, in the order of [`FIELDS`], and what is told of each KEK of a list; `none` stands where
    /// there is no value.
    pub fn rows(&self, view: View, none: &str) -> Vec<(Cow<'static, str>, String)> {
        let several = self.store().is_some_and(|store| store.listed);
        let in_rows = |f: &Field| several && f.name == "Degraded" && view == View::Rows;
        let seen = FIELDS
            .iter()
            .filter(|f| f.seen_by.contains(&view) || in_rows(f));
        let seen = seen.filter(|f| f.name != "KEKs");
        let value = |f: &Field| match f.row {
            Some(row) => row(self),
            None => shown(&(f.json)(self)),
        };
        let own = seen.map(|f| (f.name.into(), value(f)));
        let of_keks = keks::rows(self.store()).into_iter();
        let of_keks = of_keks.map(|(name, value)| (name.into(), shown(&value)));
        own.chain(of_keks)
            .map(|(name, value): (Cow<'static, str>, _)| {
                (name, value.unwrap_or_else(|| none.into()))
            })
            .collect()
    }

    /// The same for programs: numbers are numbers, and what there is no value of is null.
    pub fn json(&self, view: View) -> Map<String, Value> {
        let seen = FIELDS.iter().filter(|f| f.seen_by.contains(&view));
        let mut members: Map<_, _> = seen.map(|f| (f.member(), (f.json)(self))).collect();
        if view == View::Tool {
            members.insert("warnings".into(), self.warnings.clone().into());
        }
        members
    }
}

/// The table of docs/reference/status.md.
pub fn table() -> String {
    let mut out = "| row | member in JSON | where | what |\n|---|---|---|---|\n".to_string();
    for f in &FIELDS {
        let mut places = f.seen_by.iter().map(|view| match view {
            View::Rows => "rows",
            View::Sql => "SQL",
            View::Tool => "tool",
        });
        let places = places.by_ref().collect::<Vec<_>>().join(", ");
        out += &format!(
            "| `{}` | `{}` | {places} | {} |\n",
            f.name,
            f.member(),
            f.help
        );
    }
    out
}
