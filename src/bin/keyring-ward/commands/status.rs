//! `keyring-ward status`

use super::{print_json, print_rows};
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;

pub fn run(keyring: &Keyring, json: bool) -> Result<()> {
    let report = inspect(&keyring.config()?)?;
    if json {
        let mut rows = report.values;
        rows.insert("Warnings".into(), report.warnings.into());
        print_json(&rows.into());
        return Ok(());
    }
    print_rows(&report.rows);
    report
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    Ok(())
}
