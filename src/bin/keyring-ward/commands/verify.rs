//! `keyring-ward verify`

use super::{print, print_json};
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;

pub fn run(keyring: &Keyring, json: bool) -> Result<()> {
    let config = keyring.config()?;
    let report = inspect(&config)?;
    if json {
        print_json(&serde_json::json!({
            "file": config.path.display().to_string(), "authentic": true,
            "keys": report.keys.len(), "warnings": report.warnings,
        }));
        return Ok(());
    }
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
