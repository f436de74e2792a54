//! `keyring-ward export`

use super::print;
use crate::options::Keyring;
use keyring_ward::admin::export::component_json;
use keyring_ward::error::Result;
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
}

pub fn run(args: &Args) -> Result<()> {
    let keys = component_json(&args.keyring.config()?, &args.to)?;
    print(&format!("Wrote {keys} keys to '{}'.", args.to.display()));
    eprintln!(
        "warning: whoever reads '{}' has every key. Give it to the account of mysqld, and destroy it when it has done its work.",
        args.to.display()
    );
    Ok(())
}
