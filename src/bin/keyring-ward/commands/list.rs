//! `keyring-ward list`

use super::{print, print_json};
use crate::options::Keyring;
use keyring_ward::admin::inspect::list;
use keyring_ward::error::Result;
use serde_json::json;

pub fn run(keyring: &Keyring, json: bool) -> Result<()> {
    let (report, keys) = list(&keyring.config()?)?;
    if json {
        let keys: Vec<_> = keys
            .iter()
            .map(|k| {
                json!({
                    "name": k.name, "owner": k.owner, "type": k.key_type, "bytes": k.length,
                    "created": k.created, "meaning": k.meaning,
                })
            })
            .collect();
        print_json(&json!({ "keys": keys, "warnings": report.status.warnings }));
        return Ok(());
    }
    print("NAME\tOWNER\tTYPE\tBYTES\tCREATED\tMEANING");
    for key in &keys {
        print(&format!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            key.name, key.owner, key.key_type, key.length, key.created, key.meaning
        ));
    }
    report
        .status
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    Ok(())
}
