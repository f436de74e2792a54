//! `keyring-ward export`

use super::{Aim, print, print_answer, print_would};
use crate::options::Keyring;
use crate::warnings::warn;
use keyring_ward::admin::export::component_json;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;
use keyring_ward::os::{identity, signals};
use std::path::PathBuf;

/// Writes a file that component_keyring_file reads. It holds every key in clear text.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The new file; made with mode 0600
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Yes, in clear text
    #[arg(long, required = true)]
    plaintext: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let aim = Aim::to_look(&args.keyring)?;
    if args.dry_run {
        let report = inspect(&aim.config)?;
        let keys = report.keys;
        report.status.warnings.into_iter().for_each(warn);
        print_would(
            json,
            &format!("write {keys} keys in clear text to '{}'", args.to.display()),
        );
        return Ok(());
    }
    signals::hold_back();
    let keys = component_json(aim.target(), &args.to)?;
    // It belongs to who has made it.
    let owner = args.keyring.owner(false).map(|owner| owner.uid);
    let give = match owner == Some(identity::effective_uid()) {
        true => "Destroy it",
        false => "Give it to the account of mysqld, and destroy it",
    };
    warn(format!(
        "whoever reads '{}' has every key. {give} when it has done its work.",
        args.to.display()
    ));
    if json {
        let file = args.to.display().to_string();
        print_answer(serde_json::json!({ "keys": keys, "file": file }));
        return Ok(());
    }
    print(&format!("Wrote {keys} keys to '{}'.", args.to.display()));
    Ok(())
}
