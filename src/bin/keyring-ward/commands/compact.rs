//! `keyring-ward compact`

use super::{Aim, Change, print, print_answer, print_would};
use keyring_ward::admin::edit::{compact, could_change};
use keyring_ward::error::Result;
use keyring_ward::os::signals;

pub fn run(args: &Change, json: bool) -> Result<()> {
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    let shown = aim.config.path.display();
    if args.dry_run {
        could_change(aim.target())?;
        print_would(json, &format!("write '{shown}' anew"));
        return Ok(());
    }
    signals::hold_back();
    let (before, after) = compact(aim.target())?;
    match json {
        true => print_answer(serde_json::json!({ "bytes": after, "before": before })),
        false => print(&format!(
            "'{shown}' has {after} bytes now instead of {before}."
        )),
    }
    Ok(())
}
