//! `keyring-ward hsm`: what a PKCS#11 module, its tokens and keys are good for.

use super::print;
use crate::options::Keyring;
use keyring_ward::config::{Config, KekConfig, Pkcs11Config};
use keyring_ward::deadline::Deadline;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::kek::pkcs11::survey::{self, Outcome};
use std::path::PathBuf;
use std::time::Duration;

/// Look at an HSM before trusting it with a keyring.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Show a module's tokens and which of our mechanisms they have; no login
    List(List),
    /// Show the AES keys on the configured token and their usage
    Keys(Keyring),
    /// Run the whole contract of a KEK on the configured token, with throw-away keys
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

pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::List(args) => list(args),
        Command::Keys(keyring) => {
            let config = keyring.hsm_config()?;
            for line in survey::keys(pkcs11(&config)?, Deadline::after(config.patience.call))? {
                print(&line);
            }
            Ok(())
        }
        Command::Test(keyring) => test(&keyring.hsm_config()?),
    }
}

fn list(args: &List) -> Result<()> {
    let deadline = Deadline::after(Duration::from_secs(args.timeout.into()));
    let report = survey::look(&args.module, args.module_args.clone(), deadline)?;
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
    match &config.keks[0] {
        KekConfig::Pkcs11(pkcs11) => Ok(pkcs11),
        _ => Err(Error::new(
            Kind::Config,
            "use the token",
            format!("the backend is {}", config.backend.name()),
        )
        .hint("Name a module: --module and the token's options, or a configuration with the backend pkcs11.")),
    }
}

fn test(config: &Config) -> Result<()> {
    // Hardware is slow, and this is many calls.
    let deadline = Deadline::after(config.patience.start.max(Duration::from_secs(300)));
    let steps = survey::test(pkcs11(config)?, deadline)?;
    let (mut passed, mut failed) = (0, 0);
    for step in &steps {
        match &step.outcome {
            Outcome::Passed => {
                passed += 1;
                print(&format!("ok       {}", step.what));
            }
            Outcome::Lacking(why) => print(&format!("lacking  {}: {why}", step.what)),
            Outcome::Failed(why) => {
                failed += 1;
                print(&format!("FAILED   {}: {why}", step.what));
            }
        }
    }
    print(&format!("{passed} passed, {failed} failed"));
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
