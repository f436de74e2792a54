//! `keyring-ward compact`

use super::{Change, print, print_json, print_would};
use keyring_ward::admin::edit::{compact, could_change};
use keyring_ward::error::Result;
use keyring_ward::os::signals;

pub fn run(args: &Change, json: bool) -> Result<()> {
    let config = args.keyring.config()?;
    let shown = config.path.display();
    if args.dry_run {
        could_change(&config)?;
        print_would(json, &format!("write '{shown}' anew"));
        return Ok(());
    }
    signals::hold_back();
    let (before, after) = compact(&config)?;
    match json {
        true => print_json(&serde_json::json!({ "bytes": after, "before": before })),
        false => print(&format!(
            "'{shown}' has {after} bytes now instead of {before}."
        )),
    }
    Ok(())
}
