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
    let reset = marker::reset(&args.datadir)?;
    let (path, kept) = (reset.path.display(), reset.kept.display());
    if json {
        print_json(&serde_json::json!({
            "removed": path.to_string(), "kept": kept.to_string(),
            "generation": reset.knew.map(|k| k.0), "record": reset.knew.map(|k| k.1),
        }));
        return Ok(());
    }
    print(&format!(
        "Moved '{path}' to '{kept}'. The next start takes the keyring that it finds as this server's own."
    ));
    if let Some((generation, record)) = reset.knew {
        print(&format!(
            "It knew record {record} of generation {generation}. If the keyring that is there ends before that \
             (keyring-ward status shows its generation and last record), keys that were made or rotated since are lost, and \
             what they encrypt can't be read. Was it a mistake? Before the next start: mv '{kept}' '{path}'"
        ));
    }
    Ok(())
}
