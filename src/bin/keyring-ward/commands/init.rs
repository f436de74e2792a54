//! `keyring-ward init`

use super::{print, print_configuration, print_json, print_would};
use crate::options::Keyring;
use keyring_ward::admin::init::{init, would_init};
use keyring_ward::admin::keks::Use;
use keyring_ward::config::Config;
use keyring_ward::error::Result;
use keyring_ward::os::folders::{self, Made};
use keyring_ward::os::identity::{self, Account};
use keyring_ward::os::signals;
use std::path::Path;

/// The keyring to make.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// Make the KEK, too: a secret file of 32 random bytes, or a key on the token; it must not exist yet
    #[arg(long)]
    generate: bool,
    /// Check what can be checked, and make nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    if !args.dry_run {
        signals::hold_back();
    }
    let made = take_on_account(args)?;
    let config = args.keyring.config()?;
    let mut written = args.keyring.written()?;
    let keyring = match config.token_storage() {
        None => format!("the keyring '{}'", config.path.display()),
        Some((pkcs11, _)) => format!("the keyring on the {}", pkcs11.token),
    };
    if !json {
        // Before anything is asked there: who is refused for want of them sees them.
        print_rights(&config);
    }
    if args.dry_run {
        would_init(&config, args.generate)?;
        print_would(json, &format!("make {keyring}"));
        return Ok(());
    }
    let mut outcome = init(&config, args.generate, made.is_some())?;
    outcome.made_folder = made.map(Made::keep).or(outcome.made_folder);
    if identity::is_root() {
        eprintln!(
            "warning: what was made belongs to root. If mysqld runs as another account, it can't use it: give --user, e.g. --user mysql."
        );
    }
    // What was pinned before is another keyring's.
    if config.needs_fingerprint() || written.has("fingerprint") {
        written.set("fingerprint", outcome.fingerprint.as_str());
    }
    for sentence in &outcome.warnings {
        eprintln!("warning: {sentence}");
    }
    if json {
        print_json(&serde_json::json!({
            "path": config.path.display().to_string(), "fingerprint": outcome.fingerprint, "warnings": outcome.warnings,
            "configuration": written.json(), "rights": rights(&config),
        }));
        return Ok(());
    }
    if let Some(folder) = outcome.made_folder {
        print(&format!("Made the folder '{}'.", folder.display()));
    }
    if let Some(made) = &outcome.made {
        print(made);
    }
    print(&format!("Made {keyring}."));
    if config.token_storage().is_some() {
        let path = config.path.display();
        print(&format!(
            "The keys are on the token: '{path}' is no file, it names the lock '{path}.lock'."
        ));
    }
    print(&format!(
        "The DEK's fingerprint is {}.\n",
        outcome.fingerprint
    ));
    print_configuration(&written);
    propose_recovery(&config);
    Ok(())
}

/// What the KEKs' services must allow; nothing for KEKs of this machine.
fn rights(config: &Config) -> Vec<String> {
    config.keks.iter().filter_map(|kek| kek.rights()).collect()
}

fn print_rights(config: &Config) {
    for rights in rights(config) {
        print("The KEK's service must allow this, and nothing more:");
        let lines: Vec<String> = rights.lines().map(|line| format!("  {line}")).collect();
        print(&format!("{}\n", lines.join("\n")));
    }
}

/// One more KEK costs nothing while all is well.
fn propose_recovery(config: &Config) {
    let has_one = config
        .keks
        .iter()
        .any(|kek| kek.naming.usage == Use::Recovery);
    if has_one || config.token_storage().is_some() {
        return;
    }
    print(
        "\nThere is no KEK for recovery: who loses what opens this keyring loses every key in it, and with them the encrypted tables. Make a key on \
         another machine (age-keygen), write its public half into keks with \"use\": \"recovery\", and run keyring-ward kek sync: \
         docs/guide/recovery.md. Its secret half is never on this server.",
    );
}

/// Gives root's rights up. Before that, as the only thing that root does: the keyring's folder, where root's own word
/// names it and it is missing below folders that are root's alone.
fn take_on_account(args: &Args) -> Result<Option<Made>> {
    let Some(account) = args.keyring.account(false)? else {
        return Ok(None);
    };
    // Root makes its own as every account does.
    let made = match args.dry_run || account.is_root() {
        true => None,
        false => match args.keyring.place_by_roots_word(&account) {
            Some(place) => make_missing_above(&place, &account)?,
            None => None,
        },
    };
    identity::become_for_good(&account)?;
    Ok(made)
}

fn make_missing_above(place: &Path, account: &Account) -> Result<Option<Made>> {
    match place.parent() {
        Some(folder) => folders::make_missing(folder, account),
        None => Ok(None),
    }
}
