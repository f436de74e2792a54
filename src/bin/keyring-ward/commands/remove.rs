//! `keyring-ward remove`

use super::{Aim, TornEnd, print, print_answer, print_would};
use crate::options::Keyring;
use keyring_ward::admin::edit::{could_remove, remove};
use keyring_ward::error::Result;
use keyring_ward::key::id::printable;
use keyring_ward::os::signals;

/// Removes one key for ever. What it encrypted can't be read any more.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The key's name, as list shows it
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Its owner, user@host; empty for the server's own keys
    #[arg(long, value_name = "USER@HOST", default_value = "")]
    owner: String,
    /// Yes: a key of the server itself
    #[arg(long)]
    server_key: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    end: TornEnd,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let (name, owner) = (args.name.as_bytes(), args.owner.as_bytes());
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    if args.dry_run {
        could_remove(aim.target(), name, owner, args.server_key)?;
        print_would(json, &format!("remove {}", printable(name, owner)));
        return Ok(());
    }
    signals::hold_back();
    remove(aim.target(), name, owner, args.server_key)?;
    if json {
        print_answer(serde_json::json!({ "removed": printable(name, owner) }));
        return Ok(());
    }
    print(&format!(
        "Removed {}. Its sealed bytes go with keyring-ward reseal.",
        printable(name, owner)
    ));
    Ok(())
}
