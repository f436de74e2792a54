//! `keyring-ward`: everything that is done without a server, or before one starts.
//!
//! Owns the command line and what is printed. Exit codes: 0 done, 2 wrong usage, 10 + the error's
//! number otherwise (docs/errors.md). It must never print key material or take a secret as an
//! argument.

mod commands;
mod options;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Sets up and inspects keyrings of Keyring Ward.
#[derive(Parser)]
#[command(name = "keyring-ward", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the folder, the secret file (with --generate) and an empty keyring file.
    Init(commands::init::Args),
    /// Show what a keyring file is and how it opens.
    Status(options::Keyring),
    /// List the keys: names, owners, types and lengths, never their material.
    List(options::Keyring),
    /// Read and authenticate every record.
    Verify(options::Keyring),
    /// Put a keyring file under another KEK, with a new DEK; no server may hold it.
    Rekey(commands::rekey::Args),
    /// Look at an HSM: its tokens, keys, and whether it keeps the contract.
    #[command(subcommand)]
    Hsm(commands::hsm::Command),
    /// Tell a data directory that it starts with another keyring.
    ResetMarker(commands::reset_marker::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Init(args) => commands::init::run(&args),
        Command::Status(keyring) => commands::status::run(&keyring),
        Command::List(keyring) => commands::list::run(&keyring),
        Command::Verify(keyring) => commands::verify::run(&keyring),
        Command::Rekey(args) => commands::rekey::run(&args),
        Command::Hsm(command) => commands::hsm::run(&command),
        Command::ResetMarker(args) => commands::reset_marker::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(10 + error.kind().number() as u8)
        }
    }
}
