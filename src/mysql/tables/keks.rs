//! `keyring_ward_keks`: the KEKs, each by itself.
//!
//! Owns its columns, which are the fields that the status has of a KEK. It must never ask a KEK for a mere row.

use super::{Cell, Column, Kind, Made, Rows, always, column};
use crate::error::Result;
use crate::kek::member::KekInfo;
use crate::mysql::state::LIFECYCLE;
use crate::status::keks::KEK_FIELDS;
use serde_json::Value;

pub(super) static COLUMNS: [Column; 13] = [
    always("NAME", Kind::Name(255)),
    always("PROVIDER", Kind::Text(64)),
    column("REGION", Kind::Text(255)),
    column("GROUP", Kind::Name(255)),
    always("USE", Kind::Text(16)),
    column("WRAPPED", Kind::Text(3)),
    column("SHARE", Kind::Text(64)),
    column("MECHANISM", Kind::Text(255)),
    column("REFERENCE", Kind::Name(1024)),
    always("RESULT", Kind::Text(64)),
    column("ERROR", Kind::Text(1024)),
    column("MILLISECONDS", Kind::Number),
    column("AT", Kind::Time),
];

pub(super) fn open() -> Result<Box<dyn Rows>> {
    let Ok(keyring) = LIFECYCLE.keyring() else {
        return Ok(Box::new(Made(Vec::new())));
    };
    let keks = keyring.status().store.keks;
    Ok(Box::new(Made(keks.iter().map(row).collect())))
}

fn row(kek: &KekInfo) -> Vec<Cell> {
    let cell = |value: Value| match value {
        Value::String(text) => Cell::Text(text),
        Value::Number(number) => Cell::of(number.as_i64(), Cell::Number),
        Value::Bool(true) => Cell::text("YES"),
        Value::Bool(false) => Cell::text("NO"),
        _ => Cell::Null,
    };
    let fields = KEK_FIELDS.iter();
    fields
        .map(|field| match field.name {
            "At" => Cell::of(kek.at, Cell::time),
            _ => cell(field.value(kek)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_the_fields() {
        let columns = COLUMNS.iter().map(|column| column.name.to_string());
        let fields = KEK_FIELDS.iter().map(|f| f.name.to_ascii_uppercase());
        assert!(columns.eq(fields));
    }
}
