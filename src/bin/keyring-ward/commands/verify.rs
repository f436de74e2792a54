//! `keyring-ward verify`

use super::print;
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;

pub fn run(keyring: &Keyring) -> Result<()> {
    let config = keyring.config()?;
    let report = inspect(&config)?;
    report
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    print(&format!(
        "'{}' is authentic from the first byte to the last record: {} keys.",
        config.path.display(),
        report.keys.len()
    ));
    Ok(())
}
