//! `keyring-ward status`

use super::print_rows;
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;

pub fn run(keyring: &Keyring) -> Result<()> {
    let report = inspect(&keyring.config()?)?;
    print_rows(&report.rows);
    report
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    Ok(())
}
