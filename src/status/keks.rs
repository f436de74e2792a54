//! What the status tells of each KEK of a list.
//!
//! Owns the names of its rows and members: a row is `KEK.<name>.<Field>`, the member of JSON is in `keks`. The only KEK of
//! the short form has the rows of the whole status, and its place in `keks`. It must never hold a secret.

use super::Status;
use crate::kek::member::{Answer, KekInfo};
use crate::store::{KekHealth, StoreInfo};
use serde_json::{Map, Value, json};

/// One thing that is told of a KEK.
pub struct KekField {
    /// The end of the row's name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    value: fn(&KekInfo) -> Value,
}

impl KekField {
    /// The value, for programs; null: there is none.
    pub fn value(&self, kek: &KekInfo) -> Value {
        (self.value)(kek)
    }
}

const fn field(name: &'static str, help: &'static str, value: fn(&KekInfo) -> Value) -> KekField {
    KekField { name, help, value }
}

/// All that is told of a KEK.
#[rustfmt::skip]
pub const KEK_FIELDS: [KekField; 13] = [
    field("Name", "its name", |k| k.naming.name.as_str().into()),
    field("Provider", "its provider", |k| k.naming.provider.into()),
    field("Region", "where it is", |k| k.naming.region.as_deref().into()),
    field("Group", "its group: KEKs of one group hold the same share", |k| k.naming.group.as_deref().into()),
    field("Use", "`start`, or `recovery`: a server never tries it", |k| k.naming.usage.name().into()),
    field("Wrapped", "it has a stanza in the keyring; null: one that names no KEK may be its", |k| k.wrapped.into()),
    field("Share", "which share it holds, as `1 of 3, 2 are needed`; none: it has the whole DEK",
        |k| k.share.map(|(number, shares, needed)| format!("{number} of {shares}, {needed} are needed")).into()),
    field("Mechanism", "how it wraps", |k| text(&k.mechanism)),
    field("Reference", "which key of the HSM or KMS it was when the DEK was wrapped", |k| text(&k.key_ref)),
    field("Result", "what it answered last: `opened`, `not asked` (it was not needed), or the kind of the error", |k| k.answer.name().into()),
    field("Error", "the error", |k| match &k.answer {
        Answer::Failed { message, .. } => message.as_str().into(),
        Answer::NotAsked | Answer::Opened => Value::Null,
    }),
    field("Milliseconds", "how long that took", |k| k.latency.map(|l| l.as_millis() as u64).into()),
    field("At", "when that was", |k| k.at.map(crate::text::utc).into()),
];

fn text(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text => text.into(),
    }
}

/// The KEKs by themselves, for programs.
pub(super) fn json(store: Option<&StoreInfo>) -> Value {
    let Some(store) = store else {
        return Value::Null;
    };
    json!(store.keks.iter().map(of_kek).collect::<Vec<_>>())
}

/// All that is told of one KEK, for programs.
pub fn of_kek(kek: &KekInfo) -> Value {
    let members = KEK_FIELDS.iter();
    let members = members.map(|f| (f.name.to_ascii_lowercase(), (f.value)(kek)));
    members.collect::<Map<_, _>>().into()
}

/// Rows for each KEK of a list: names and values.
pub(super) fn rows(store: Option<&StoreInfo>) -> Vec<(String, Value)> {
    let listed = store.filter(|store| store.listed);
    let keks = listed.map_or(&[][..], |store| &store.keks);
    let fields = KEK_FIELDS.iter().skip(1);
    let of = |kek: &KekInfo| -> Vec<(String, Value)> {
        let row = |f: &KekField| {
            let name = format!("KEK.{}.{}", kek.naming.name, f.name);
            (name, (f.value)(kek))
        };
        fields.clone().map(row).collect()
    };
    keks.iter().flat_map(of).collect()
}

impl Status {
    /// How the KEKs are; `None`: there is no keyring.
    pub(super) fn kek_health(&self) -> Option<KekHealth> {
        self.store().map(StoreInfo::kek_health)
    }
}

/// The table of docs/reference/status.md.
pub fn table() -> String {
    let mut out = "| row | member of `keks` in JSON | what |\n|---|---|---|\n".to_string();
    for f in &KEK_FIELDS {
        let row = match f.name {
            "Name" => String::new(),
            name => format!("`KEK.<name>.{name}`"),
        };
        out += &format!(
            "| {row} | `{}` | {} |\n",
            f.name.to_ascii_lowercase(),
            f.help
        );
    }
    out
}
