//! `keyring_ward_audit`: the last lines of the audit log, for who may read what the keyring tells of itself.
//!
//! Owns its columns. They come from memory, as they went into the file; it must never read the file, and shows nothing to others.

use super::{Cell, Column, Kind, Made, Rows, always, column};
use crate::audit::entry::Entry;
use crate::error::Result;
use crate::mysql::state::LIFECYCLE;
use crate::mysql::udf::access::{Sight, sight};
use crate::text;

pub(super) static COLUMNS: [Column; 10] = [
    always("LINE", Kind::Number),
    always("TIME", Kind::Time),
    always("EVENT", Kind::Text(32)),
    always("RESULT", Kind::Text(16)),
    column("ACTOR", Kind::Name(255)),
    column("KEY_ID", Kind::Name(1020)),
    column("KEY_OWNER", Kind::Name(1020)),
    always("COUNT", Kind::Number),
    column("DETAIL", Kind::Text(255)),
    always("RECOVERED", Kind::Text(3)),
];

pub(super) fn open() -> Result<Box<dyn Rows>> {
    let feed = LIFECYCLE.feed();
    let rows = match (sight()?, feed.as_ref()) {
        (Sight::All, Some(feed)) => feed.recent.all().iter().map(row).collect(),
        _ => Vec::new(),
    };
    Ok(Box::new(Made(rows)))
}

fn row((line, entry): &(u64, Entry)) -> Vec<Cell> {
    let some = |text: String| match text.is_empty() {
        true => Cell::Null,
        false => Cell::Text(text),
    };
    vec![
        Cell::number(*line),
        Cell::time(entry.at.div_euclid(1_000_000)),
        Cell::text(entry.event.word()),
        Cell::text(entry.outcome.word()),
        some(entry.actor.clone()),
        some(text::name(&entry.name)),
        some(text::name(&entry.owner)),
        Cell::number(entry.count),
        some(entry.detail.clone()),
        Cell::text(if entry.recovered { "YES" } else { "NO" }),
    ]
}
