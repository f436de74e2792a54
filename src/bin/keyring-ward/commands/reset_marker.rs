//! `keyring-ward reset-marker`

use super::{print, print_json};
use keyring_ward::admin::marker;
use keyring_ward::error::{Error, Kind, Result};
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
    // Where there is no such folder nobody is known whose rights root could take on: that is the error.
    if identity::is_root() {
        if !args.datadir.is_dir() {
            let why = format!("there is no folder '{}'", args.datadir.display());
            return Err(Error::new(Kind::NotFound, "reset the marker", why)
                .hint("Name the data directory of the server: --datadir."));
        }
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
