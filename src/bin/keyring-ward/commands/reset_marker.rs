//! `keyring-ward reset-marker`

use super::{print, print_json};
use keyring_ward::admin::marker;
use keyring_ward::error::Result;
use keyring_ward::os::identity;
use std::path::PathBuf;

/// The server's data directory, whose marker is removed.
#[derive(clap::Args)]
pub struct Args {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    datadir: PathBuf,
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    if identity::is_root() && args.datadir.is_dir() {
        identity::become_for_good(&identity::owner_of(&args.datadir)?)?;
    }
    let path = marker::reset(&args.datadir)?;
    if json {
        print_json(&serde_json::json!({ "removed": path.display().to_string() }));
        return Ok(());
    }
    print(&format!(
        "Removed '{}'. The next start takes the keyring that it finds as this server's own.",
        path.display()
    ));
    Ok(())
}
