//! The table of options in docs/reference/configuration.md is the one that is made from the product's list.
//! `UPDATE_DOCS=1 cargo test --test option_table` writes it.
#![cfg(not(feature = "toy-provider"))]
#![allow(clippy::unwrap_used)]

#[path = "support/option_table.rs"]
mod option_table;

use option_table::table;

const BEGIN: &str =
    "<!-- options: made by UPDATE_DOCS=1 cargo test --test option_table; don't edit -->\n";
const END: &str = "<!-- options: end -->\n";

#[test]
fn the_reference_names_every_option() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/reference/configuration.md"
    );
    let text = std::fs::read_to_string(page).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}{BEGIN}{}{END}{after}", table());
        return std::fs::write(page, text).unwrap();
    }
    assert!(
        there == table(),
        "the table of options is not today's: UPDATE_DOCS=1 cargo test --test option_table"
    );
    // A line that is no row would cut the table in two.
    assert!(
        there
            .lines()
            .all(|line| line.starts_with('|') && line.ends_with('|'))
    );
}
