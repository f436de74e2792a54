//! `keyring-ward list`

use super::{print, print_json};
use crate::options::Keyring;
use keyring_ward::admin::inspect::list;
use keyring_ward::admin::key_list::put_counts;
use keyring_ward::error::Result;
use keyring_ward::keyring::KeyCounts;
use serde_json::json;

pub fn run(keyring: &Keyring, json: bool) -> Result<()> {
    let (report, keys) = list(&keyring.config()?)?;
    let counts = report.status.open.as_ref().map(|open| open.counts);
    let counts = counts.unwrap_or_default();
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
        let mut answer = json!({ "keys": keys, "warnings": report.status.warnings });
        put_counts(&mut answer, counts);
        print_json(&answer);
        return Ok(());
    }
    print("NAME\tOWNER\tTYPE\tBYTES\tCREATED\tMEANING");
    for key in &keys {
        print(&format!(
            "{}\t{}\t{}\t{}\t{}\t{}",
            key.name, key.owner, key.key_type, key.length, key.created, key.meaning
        ));
    }
    if counts != KeyCounts::default() {
        print(&format!(
            "\nLogical keys: {}, of these to be rotated now: {}, with something that may be destroyed now: {}. Removed keys that are \
             kept: {}. keyring-ward key list has more of them.",
            counts.logical, counts.rotations_due, counts.destructions_due, counts.retired
        ));
    }
    report
        .status
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    Ok(())
}
