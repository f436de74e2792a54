//! `keyring-ward completions` and the man pages, both made from the command line's own description.

use clap::CommandFactory;
use keyring_ward::error::{Error, Result};
use std::path::PathBuf;

/// Prints the completion script.
#[derive(clap::Args)]
pub struct Args {
    /// bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
}

pub fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut crate::Cli::command(),
        "keyring-ward",
        &mut script,
    );
    super::print(String::from_utf8_lossy(&script).trim_end());
    Ok(())
}

/// Writes keyring-ward.1 and a page for each command.
#[derive(clap::Args)]
pub struct ManArgs {
    /// The folder
    folder: PathBuf,
}

pub fn man(args: &ManArgs) -> Result<()> {
    clap_mangen::generate_to(crate::Cli::command(), &args.folder)
        .map_err(|e| Error::io("write the man pages", args.folder.display().to_string(), e))
}
