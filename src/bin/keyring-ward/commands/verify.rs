//! `keyring-ward verify`

use super::{print, print_json};
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;
use std::process::ExitCode;

/// What is there is authentic, but the end is cut off.
const CUT_OFF: u8 = 3;

pub fn run(keyring: &Keyring, json: bool) -> Result<ExitCode> {
    let config = keyring.config()?;
    let report = inspect(&config)?;
    let code = match report.torn {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(CUT_OFF),
    };
    let (file, keys) = (config.path.display(), report.keys);
    if json {
        print_json(&serde_json::json!({
            "file": file.to_string(), "authentic": true, "complete": report.torn == 0,
            "torn_bytes": report.torn, "keys": keys, "warnings": report.status.warnings,
        }));
        return Ok(code);
    }
    report
        .status
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    print(&match report.torn {
        0 => format!("'{file}' is authentic from the first byte to the last record: {keys} keys."),
        torn => format!(
            "'{file}' is authentic up to the last whole record: {keys} keys. {torn} bytes of another one follow: a copy that was cut off, or a write that was interrupted. If it is a copy, make it again."
        ),
    });
    Ok(code)
}
