//! `keyring-ward audit`: reading and checking the audit log.
//!
//! Owns which of the log's commands there are. None of them changes a log.

mod exposed;
mod show;
mod verify;

use super::{print, print_answer};
use crate::examples;
use crate::options::Keyring;
use clap::Subcommand;
use keyring_ward::admin::audit;
use keyring_ward::error::{Error, Kind, Result};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// What is done with the log.
#[derive(Subcommand)]
pub enum Command {
    /// Check a log, without any secret: lines, chain, signatures.
    #[command(after_help = examples::AUDIT_VERIFY)]
    Verify(verify::Args),
    /// Show lines: those of an account, of a key, of a time.
    #[command(after_help = examples::AUDIT_SHOW)]
    Show(show::Args),
    /// Show the lines that come, as they come.
    #[command(after_help = examples::AUDIT_FOLLOW)]
    Follow(show::Args),
    /// Write lines as a table for other programs (CSV).
    #[command(after_help = examples::AUDIT_EXPORT)]
    Export(show::Args),
    /// List what an account has read: somebody leaves, and these keys are to be rotated.
    #[command(after_help = examples::AUDIT_EXPOSED)]
    Exposed(exposed::Args),
    /// Print the public key that a keyring's log is checked with.
    #[command(after_help = examples::AUDIT_PUBLIC_KEY)]
    PublicKey(Keyring),
}

impl Command {
    /// The keyring that it is about.
    pub fn keyring(&self) -> Option<&Keyring> {
        match self {
            Command::PublicKey(keyring) => Some(keyring),
            Command::Verify(args) => args.keyring(),
            Command::Show(_) | Command::Follow(_) | Command::Export(_) | Command::Exposed(_) => {
                None
            }
        }
    }
}

pub fn run(command: &Command, json: bool) -> Result<ExitCode> {
    match command {
        Command::Verify(args) => return verify::run(args, json),
        Command::Show(args) => show::show(args, json),
        Command::Follow(args) => show::follow(args),
        Command::Export(args) => show::export(args),
        Command::Exposed(args) => exposed::run(args, json),
        Command::PublicKey(keyring) => public_key(keyring, json),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn public_key(keyring: &Keyring, json: bool) -> Result<()> {
    let known = audit::known(&keyring.config()?)?;
    match json {
        true => print_answer(json!({ "public_key": known.pem, "signer": known.key.id() })),
        false => print(known.pem.trim_end()),
    }
    Ok(())
}

/// A time as it stands in lines.
fn time(text: Option<&String>) -> Result<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    let at = keyring_ward::text::moment(text, keyring_ward::os::unix_seconds());
    // A span counts back from now.
    let now = keyring_ward::os::unix_seconds();
    let span = text.ends_with(['m', 'h', 'd', 'w']);
    let at = at.map(|at| if span { now - (at - now) } else { at });
    match at {
        Some(at) => Ok(Some(keyring_ward::audit::line::time(at * 1_000_000))),
        None => {
            let why = format!("'{}' is no time", keyring_ward::text::shorten(text));
            Err(Error::new(Kind::InvalidInput, "read the audit log", why)
                .hint("Write 2027-01-31, 2027-01-31T12:00:00Z, or a span until now: 90m, 12h, 30d, 2w."))
        }
    }
}

/// The log's files, the oldest first.
fn found(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    audit::found(named)
}
