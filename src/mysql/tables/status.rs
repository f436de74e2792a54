//! `keyring_ward_status`: what the keyring tells of itself, name by name.
//!
//! Owns its columns. Its rows are there while the keyring is disabled, too: that is when they are needed. It must never tell more
//! than `keyring_ward_status()` does.

use super::{Cell, Column, Kind, Made, Rows, always, column};
use crate::error::Result;
use crate::mysql::state::LIFECYCLE;
use crate::status::Status;
use crate::status::fields::View;

pub(super) static COLUMNS: [Column; 2] = [
    always("NAME", Kind::Name(320)),
    column("VALUE", Kind::Text(1024)),
];

pub(super) fn open() -> Result<Box<dyn Rows>> {
    let status = Status::of_lifecycle(&LIFECYCLE).rows(View::Sql, "");
    let row = |(name, value): (std::borrow::Cow<'static, str>, String)| {
        vec![Cell::text(name), Cell::text(value)]
    };
    let mut rows: Vec<_> = status.into_iter().map(row).collect();
    let rotation = Cell::of(LIFECYCLE.host.last_rotation(), Cell::Text);
    rows.push(vec![Cell::text("Last_master_key_rotation"), rotation]);
    Ok(Box::new(Made(rows)))
}
