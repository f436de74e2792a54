//! `keyring-ward completions` and the man pages, both made from the command line's own description.

use clap::CommandFactory;
use keyring_ward::config::{OPTIONS, OptionSpec};
use keyring_ward::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

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
    let mut command = crate::Cli::command().disable_help_subcommand(true);
    command.build();
    pages(&command, &args.folder)
        .map_err(|e| Error::io("write the man pages", args.folder.display().to_string(), e))
}

/// The page of a command and of each one below it.
fn pages(command: &clap::Command, folder: &Path) -> std::io::Result<()> {
    for below in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        pages(below, folder)?;
    }
    let examples = command.get_after_help().map(ToString::to_string);
    // Its own section instead of one that is called EXTRA, and in lines as they are.
    let page = clap_mangen::Man::new(command.clone().after_help(None::<&str>));
    let mut text = Vec::new();
    page.render(&mut text)?;
    if let Some(examples) = examples {
        text.extend_from_slice(b".SH EXAMPLES\n.nf\n");
        for line in examples.lines().filter(|line| *line != "Examples:") {
            let line = line.trim_start().replace('\\', "\\e").replace('-', "\\-");
            text.extend_from_slice(format!("\\&{line}\n").as_bytes());
        }
        text.extend_from_slice(b".fi\n");
    }
    if command.get_name() == "keyring-ward" {
        text.extend_from_slice(configuration().as_bytes());
    }
    put(folder, &page.get_filename(), &text)
}

/// Every option of the configuration, for the page of the tool itself.
fn configuration() -> String {
    let escaped = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    let of = |option: &OptionSpec| {
        let (name, help) = (escaped(option.name), escaped(option.help));
        format!(".TP\n\\fB{name}\\fR\n\\&{help}.\n")
    };
    let options: String = OPTIONS.iter().map(of).collect();
    let ways = escaped(
        "By these names in the group [keyring_ward] of an option file and by --option; with keyring_ward_ before them they are \
         the plugin's variables.",
    );
    format!(".SH CONFIGURATION\n{ways}\n{options}")
}

/// Puts a file of that name into the folder, in the place of one that is there. What is written to is always new: a link
/// that somebody else has made there leads to nothing.
fn put(folder: &Path, name: &str, text: &[u8]) -> std::io::Result<()> {
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = File::create_new(&beside)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| std::fs::rename(&beside, folder.join(name)));
    written.inspect_err(|e| {
        if e.kind() != std::io::ErrorKind::AlreadyExists {
            let _ = std::fs::remove_file(&beside);
        }
    })
}
