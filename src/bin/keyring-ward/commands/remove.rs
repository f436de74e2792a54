//! `keyring-ward remove`

use super::{Aim, TornEnd, print, print_answer, print_would};
use crate::options::Keyring;
use keyring_ward::admin::edit::{could_remove, remove};
use keyring_ward::error::Result;
use keyring_ward::key::id::printable;
use keyring_ward::os::signals;

/// Removes one key. What it encrypted can't be read any more. InnoDB's and the binary log's numbered keys are kept as retired keys
/// for retain_removed days: key restore brings them back.
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
        let would = could_remove(aim.target(), name, owner, args.server_key)?;
        let kept = would.kept.map_or(String::new(), |(_, days)| {
            format!(", and keep it as a retired key for {days} days")
        });
        print_would(json, &format!("remove {}{kept}", printable(name, owner)));
        return Ok(());
    }
    signals::hold_back();
    let done = remove(aim.target(), name, owner, args.server_key)?;
    let (shown, kept) = (printable(name, owner), done.kept);
    if json {
        print_answer(serde_json::json!({
            "removed": shown, "removal": kept.map(|(number, _)| number), "kept_days": kept.map(|(_, days)| days),
        }));
        return Ok(());
    }
    print(&match kept {
        None => format!("Removed {shown}. Its sealed bytes go with keyring-ward reseal."),
        Some((number, days)) => format!(
            "Removed {shown}. Files may still need it, so it is kept as a retired key for {days} days: keyring-ward key restore --name \
             '{}' --removal {number} brings it back, keyring-ward reseal --purge-retired ends it.",
            args.name
        ),
    });
    Ok(())
}
