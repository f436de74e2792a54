//! `keyring-ward`: everything that is done without a server, or before one starts.
//!
//! Owns the command line and what is printed. Exit codes: 0 done, 2 wrong usage, 3 a file whose end is cut off
//! (`verify`), 1 to 3 as Nagios' plugins have it (`check`), 4 a KEK that did not do its part (`kek test`, `kek sync`),
//! 5 a key that is missing, 6 a wrong one, 7 a file that could not be read (`prove`), 8 an expectation that is not met (`policy test`) or a log with
//! gaps, 9 one that was tampered with (`audit verify`), 10 + the error's number otherwise (docs/reference/errors.md). It must never print key material or take a secret as an
//! argument.

mod as_whom;
mod commands;
mod examples;
mod operator;
mod options;
mod warnings;

use as_whom::AsWhom;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::panics::caught;
use std::process::ExitCode;

/// Sets up and inspects keyrings of Keyring Ward.
#[derive(Parser)]
#[command(name = "keyring-ward", version, about, after_help = examples::ALL)]
struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the folder, the secret file (with --generate) and an empty keyring file.
    #[command(after_help = examples::init())]
    Init(commands::init::Args),
    /// Show what a keyring file is and how it opens.
    #[command(after_help = examples::STATUS)]
    Status(commands::status::Args),
    /// List the keys: names, owners, types and lengths, never their material.
    #[command(after_help = examples::LIST)]
    List(options::Keyring),
    /// Read and authenticate every record.
    #[command(after_help = examples::VERIFY)]
    Verify(options::Keyring),
    /// Say which keys MySQL's files need, and whether the keyring opens them: a data directory, a backup, a snapshot.
    #[command(after_help = examples::PROVE)]
    Prove(commands::prove::Args),
    /// Put a keyring file under another KEK, with a new DEK; no server may hold it.
    #[command(after_help = examples::REKEY)]
    Rekey(commands::rekey::Args),
    /// Put a keyring file under a new DEK and the same KEK; what was removed is gone from it then.
    #[command(after_help = examples::RESEAL)]
    Reseal(commands::rekey::Reseal),
    /// One line and an exit code for a monitor: which rotations are due.
    #[command(after_help = examples::CHECK)]
    Check(commands::check::Args),
    /// Say whether a server will start with this keyring, step by step, with the remedy for what is wrong.
    #[command(after_help = examples::DOCTOR)]
    Doctor(commands::doctor::Args),
    /// Load the library, for doctor.
    #[command(hide = true)]
    TryLibrary(commands::doctor::TryArgs),
    /// Bring the keys of another keyring into this one; the other one is never altered.
    #[command(after_help = examples::IMPORT)]
    Import(commands::import::Args),
    /// Write all keys in clear text, as component_keyring_file keeps them.
    #[command(after_help = examples::EXPORT)]
    Export(commands::export::Args),
    /// Remove one key.
    #[command(after_help = examples::REMOVE)]
    Remove(commands::remove::Args),
    /// Give a user's keys to another one, after RENAME USER.
    #[command(after_help = examples::REOWN)]
    Reown(commands::reown::Args),
    /// Write the file anew without the bytes of removed keys.
    #[command(after_help = examples::COMPACT)]
    Compact(commands::Change),
    /// Print the completion script of a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(commands::completions::Args),
    /// Write the man pages into a folder.
    #[command(hide = true)]
    Man(commands::completions::ManArgs),
    /// The KEKs of a keyring: show and test them, one more or one less, a drill for the day when one is lost.
    #[command(subcommand, after_help = examples::KEK)]
    Kek(commands::kek::Command),
    /// The life of keys: logical keys with versions, planned destruction, removed keys that are kept.
    #[command(subcommand, after_help = examples::KEY)]
    Key(commands::key::Command),
    /// Keys that travel between keyrings: transport keys, sealed versions for replicas, receipts.
    #[command(subcommand, after_help = examples::TRANSPORT)]
    Transport(commands::transport::Command),
    /// Policies, before a server reads them: who may do what with which keys.
    #[command(subcommand, after_help = examples::POLICY_CHECK)]
    Policy(commands::policy::Command),
    /// The audit log: check it without a secret, show it, list what an account has read.
    #[command(subcommand, after_help = examples::AUDIT)]
    Audit(commands::audit::Command),
    /// Look at configurations: other keyrings' options as ours.
    #[command(subcommand, after_help = examples::TRANSLATE)]
    Config(commands::config::Command),
    /// Look at an HSM: its tokens, keys, and whether it keeps the contract.
    #[command(subcommand, after_help = examples::HSM)]
    Hsm(commands::hsm::Command),
    /// Tell a data directory that it starts with another keyring.
    #[command(after_help = examples::RESET_MARKER)]
    ResetMarker(commands::reset_marker::Args),
}

impl Command {
    /// The keyring that it is about, and whether that is an HSM.
    fn keyring(&self) -> Option<(&options::Keyring, bool)> {
        let keyring = match self {
            Command::Status(args) => &args.keyring,
            Command::Check(args) => &args.keyring,
            Command::List(keyring) | Command::Verify(keyring) => keyring,
            Command::Prove(args) => return args.keyring().map(|keyring| (keyring, false)),
            Command::Rekey(args) => args.keyring(),
            Command::Reseal(args) => &args.change.keyring,
            Command::Compact(args) => &args.keyring,
            Command::Doctor(args) => args.keyring(),
            Command::Export(args) => args.keyring(),
            Command::Remove(args) => args.keyring(),
            Command::Reown(args) => args.keyring(),
            Command::Audit(command) => command.keyring()?,
            Command::Kek(command) => command.keyring(),
            Command::Key(command) => command.keyring(),
            Command::Transport(command) => command.keyring(),
            Command::Hsm(command) => return command.keyring().map(|keyring| (keyring, true)),
            Command::Init(args) => args.keyring(),
            Command::Import(args) => args.keyring(),
            Command::ResetMarker(_)
            | Command::TryLibrary(_)
            | Command::Policy(_)
            | Command::Config(_)
            | Command::Completions(_)
            | Command::Man(_) => return None,
        };
        Some((keyring, false))
    }

    /// Gives root's rights up for good, where it is known whose keyring the command is about, before any file of that
    /// account is opened.
    fn take_on_account(&self, whom: &AsWhom) -> Result<()> {
        match (self, self.keyring()) {
            (Command::Prove(args), None) => args.take_on_owner(),
            // These do it by themselves, or open no file of an account.
            (Command::Init(_) | Command::Import(_), _) | (_, None) => Ok(()),
            // It does so by itself, too, once it is known that its answer would be the server's.
            (Command::Doctor(_), _) => whom.must_be_the_account(),
            (_, Some((keyring, hsm))) => keyring.take_on_account(hsm),
        }
    }
}

fn main() -> ExitCode {
    keyring_ward::os::keep_memory_private();
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|given| Ok((named(&given), Cli::from_arg_matches(&given)?)));
    let (name, cli) = match parsed {
        Ok(parsed) => parsed,
        Err(wrong) => return wrong_usage(&wrong.format(&mut Cli::command())),
    };
    operator::remember(name);
    keyring_ward::panics::be_silent();
    let (command, json) = (cli.command, cli.json);
    if json {
        warnings::keep();
    }
    let monitor = matches!(&command, Command::Check(_));
    let metrics = matches!(&command, Command::Status(args) if args.prometheus);
    let whom = AsWhom::now(command.keyring());
    let work = || {
        command.take_on_account(&whom)?;
        run(command, json)
    };
    let code = match caught("run the command", work) {
        Ok(code) => code,
        Err(error) => {
            let error = whom.explain(error);
            if metrics {
                commands::status::print_failure(&error);
            }
            match cli.json {
                true => print_error(&error.to_json()),
                false => eprintln!("{error}"),
            }
            if monitor {
                return commands::check::unknown(&error);
            }
            ExitCode::from(10 + error.kind().number() as u8)
        }
    };
    // One that came while something was being changed ends the program now.
    keyring_ward::os::signals::let_through();
    code
}

/// The command's name, with that of the one below it: `key-rotate`.
fn named(given: &ArgMatches) -> String {
    let (mut names, mut at) = (Vec::new(), given);
    while let Some((name, below)) = at.subcommand() {
        names.push(name);
        at = below;
    }
    names.join("-")
}

fn run(command: Command, json: bool) -> Result<ExitCode> {
    match command {
        Command::Verify(keyring) => return commands::verify::run(&keyring, json),
        Command::Audit(command) => return commands::audit::run(&command, json),
        Command::Kek(command) => return commands::kek::run(&command, json),
        Command::Prove(args) => return commands::prove::run(&args, json),
        Command::Check(args) => return commands::check::run(&args, json),
        Command::Policy(command) => return commands::policy::run(&command, json),
        Command::Key(command) => commands::key::run(&command, json),
        Command::Transport(command) => commands::transport::run(&command, json),
        Command::Init(args) => commands::init::run(&args, json),
        Command::Status(args) => commands::status::run(&args, json),
        Command::List(keyring) => commands::list::run(&keyring, json),
        Command::Reseal(args) => commands::rekey::reseal(&args, json),
        Command::Doctor(args) => commands::doctor::run(&args, json),
        Command::TryLibrary(args) => return Ok(commands::doctor::try_it(&args)),
        Command::Import(args) => commands::import::run(&args, json),
        Command::Export(args) => commands::export::run(&args, json),
        Command::Remove(args) => commands::remove::run(&args, json),
        Command::Reown(args) => commands::reown::run(&args, json),
        Command::Compact(args) => commands::compact::run(&args, json),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::completions::man(&args),
        Command::Rekey(args) => commands::rekey::run(&args, json),
        Command::Config(command) => commands::config::run(&command, json),
        Command::Hsm(command) => commands::hsm::run(&command, json),
        Command::ResetMarker(args) => commands::reset_marker::run(&args, json),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// The error of a command that was asked for JSON: one line on standard error, so that standard output holds answers only.
fn print_error(error: &serde_json::Value) {
    let mut line = serde_json::json!({ "error": error });
    if warnings::any() {
        warnings::put_into(&mut line);
    }
    eprintln!("{line}");
}

/// Help and version too come by this way. What is wrong with a command line is told as JSON where that is asked for.
fn wrong_usage(wrong: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if !json || !wrong.use_stderr() {
        let _ = wrong.print();
        return ExitCode::from(wrong.exit_code() as u8);
    }
    let text = wrong.render().to_string();
    let why = text.split("\n\nUsage:").next().unwrap_or_default();
    let why = why.trim().trim_start_matches("error: ").replace("\n", " ");
    let error = Error::new(Kind::InvalidInput, "understand the command line", why)
        .hint("keyring-ward help COMMAND shows the options.");
    print_error(&error.to_json());
    ExitCode::from(2)
}
