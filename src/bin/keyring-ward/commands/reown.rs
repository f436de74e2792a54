//! `keyring-ward reown`

use super::{Aim, TornEnd, print, print_answer};
use crate::options::Keyring;
use keyring_ward::admin::edit::{Moving, reown};
use keyring_ward::error::Result;
use keyring_ward::os::signals;

/// Gives all keys of one account to another one. A key's owner is the account's name, which RENAME USER changes.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The account that has the keys, user@host
    #[arg(long, value_name = "USER@HOST")]
    from: String,
    /// The account that gets them
    #[arg(long, value_name = "USER@HOST")]
    to: String,
    /// Yes: an empty account, which is the server itself. Its keys are InnoDB's and the binary log's
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
    let aim = Aim::to_write(&args.keyring, &args.end)?;
    let how = Moving {
        server_key: args.server_key,
        dry_run: args.dry_run,
    };
    if !args.dry_run {
        signals::hold_back();
    }
    let done = reown(aim.target(), args.from.as_bytes(), args.to.as_bytes(), how)?;
    if json {
        print_answer(serde_json::json!({ "keys": done.keys, "dry_run": args.dry_run }));
        return Ok(());
    }
    done.keys.iter().for_each(|key| print(&format!("  {key}")));
    print(&format!(
        "{} keys {}.",
        done.keys.len(),
        match args.dry_run {
            true => "would move; nothing was written",
            false => "moved",
        }
    ));
    Ok(())
}
