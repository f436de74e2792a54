//! `keyring-ward hsm`: what a PKCS#11 module, its tokens and keys are good for.

use super::{print, print_json};
use crate::examples;
use crate::options::Keyring;
use keyring_ward::config::Config;
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::pkcs11::Pkcs11Config;
use keyring_ward::kek::pkcs11::survey::{self, Outcome};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Look at an HSM before trusting it with a keyring.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Show a module's tokens and which of our mechanisms they have; no login
    #[command(after_help = examples::HSM_LIST)]
    List(List),
    /// Show the AES keys on the configured token and their usage
    #[command(after_help = examples::HSM_KEYS)]
    Keys(Keyring),
    /// Run the whole contract of a KEK on the configured token, with throw-away keys
    #[command(after_help = examples::HSM_TEST)]
    Test(Keyring),
}

/// The module to look at.
#[derive(clap::Args)]
pub struct List {
    /// The PKCS#11 module
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// What C_Initialize gets, for modules that need it (NSS)
    #[arg(long, value_name = "TEXT")]
    module_args: Option<String>,
    /// Seconds that the module may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
}

impl Command {
    /// The keyring that it is about, if that is said.
    pub fn keyring(&self) -> Option<&Keyring> {
        match self {
            Command::List(_) => None,
            Command::Keys(keyring) | Command::Test(keyring) => Some(keyring),
        }
    }
}

pub fn run(command: &Command, json: bool) -> Result<()> {
    match command {
        Command::List(args) => list(args, json),
        Command::Keys(keyring) => {
            let config = keyring.hsm_config()?;
            let keys = survey::keys(pkcs11(&config)?, Deadline::after(config.patience.call))?;
            match json {
                true => print_json(&json!({ "keys": keys })),
                false => keys.iter().for_each(|line| print(line)),
            }
            Ok(())
        }
        Command::Test(keyring) => test(&keyring.hsm_config()?, json),
    }
}

fn list(args: &List, json: bool) -> Result<()> {
    let deadline = Deadline::after(Duration::from_secs(args.timeout.into()));
    let report = survey::look(&args.module, args.module_args.clone(), deadline)?;
    if json {
        let tokens = report.slots.iter().map(|slot| {
            json!({
                "label": slot.label, "serial": slot.serial, "slot": slot.slot, "made_by": slot.made_by,
                "mechanisms": slot.mechanisms, "state": slot.state,
            })
        });
        let tokens: Vec<Value> = tokens.collect();
        print_json(&json!({ "module": report.library, "tokens": tokens, "warnings": report.odd }));
        return Ok(());
    }
    print(&format!("Module: {}", report.library));
    for slot in &report.slots {
        print(&format!(
            "\nToken '{}'\n  serial      {}\n  slot        {}\n  made by     {}\n  mechanisms  {}",
            slot.label,
            slot.serial,
            slot.slot,
            slot.made_by,
            match slot.mechanisms.is_empty() {
                true => "none that can wrap a DEK".to_string(),
                false => slot.mechanisms.join(", "),
            }
        ));
        if !slot.state.is_empty() {
            print(&format!("  state       {}", slot.state.join(", ")));
        }
    }
    for odd in &report.odd {
        print(&format!("\n{odd}"));
    }
    Ok(())
}

fn pkcs11(config: &Config) -> Result<&Pkcs11Config> {
    match config.keks.all_keys().find_map(|key| key.settings_of()) {
        Some(pkcs11) => Ok(pkcs11),
        None => Err(Error::new(
            Kind::Config,
            "use the token",
            format!("the backend is {}", config.backend()),
        )
        .hint("Name a module: --module and the token's options, or a configuration with the backend pkcs11.")),
    }
}

fn test(config: &Config, json: bool) -> Result<()> {
    // Hardware is slow, and this is many calls.
    let deadline = Deadline::after(config.patience.start.max(Duration::from_secs(300)));
    let steps = survey::test(pkcs11(config)?, deadline)?;
    let (mut passed, mut failed) = (0, 0);
    let mut rows = Vec::new();
    for step in &steps {
        let (outcome, why) = match &step.outcome {
            Outcome::Passed => ("ok", None),
            Outcome::Lacking(why) => ("lacking", Some(why)),
            Outcome::Failed(why) => ("FAILED", Some(why)),
        };
        passed += usize::from(outcome == "ok");
        failed += usize::from(outcome == "FAILED");
        if json {
            rows.push(json!({ "step": step.what, "outcome": outcome.to_lowercase(), "why": why }));
        } else {
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            print(&format!("{outcome:<8} {}{why}", step.what));
        }
    }
    match json {
        true => print_json(&json!({ "steps": rows, "passed": passed, "failed": failed })),
        false => print(&format!("{passed} passed, {failed} failed")),
    }
    if failed == 0 && passed > 1 {
        return Ok(());
    }
    Err(Error::new(
        Kind::Config,
        "trust this token with a keyring",
        match failed {
            0 => "it has no mechanism that wraps a DEK".to_string(),
            n => format!("{n} steps of the contract failed"),
        },
    )
    .hint("Report the output to the HSM's vendor and to Keyring Ward."))
}
