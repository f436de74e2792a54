//! `keyring-ward init`

use super::{print, print_json, print_made, print_would};
use crate::options::Keyring;
use keyring_ward::admin::init::{init, would_init};
use keyring_ward::config::{Config, KekConfig, SecretRef, TokenChoice, hex};
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

pub fn run(args: &Args, json: bool) -> Result<()> {
    if !args.dry_run {
        signals::hold_back();
    }
    let made = take_on_account(args)?;
    let config = args.keyring.config()?;
    if args.dry_run {
        would_init(&config, args.generate)?;
        print_would(
            json,
            &format!("make the keyring '{}'", config.path.display()),
        );
        return Ok(());
    }
    let mut outcome = init(&config, args.generate, made.is_some())?;
    outcome.made_folder = made.map(Made::keep).or(outcome.made_folder);
    if identity::is_root() {
        eprintln!(
            "warning: what was made belongs to root. If mysqld runs as another account, it can't use it: give --user, e.g. --user mysql."
        );
    }
    for sentence in &outcome.warnings {
        eprintln!("warning: {sentence}");
    }
    if json {
        let options: serde_json::Map<_, _> = members(&options(&config.keks[0]));
        print_json(&serde_json::json!({
            "path": config.path.display().to_string(), "fingerprint": outcome.fingerprint, "warnings": outcome.warnings,
            "configuration": { "backend": config.backend.name(), "path": config.path.display().to_string(),
                config.backend.name(): options },
        }));
        return Ok(());
    }
    if let Some(folder) = outcome.made_folder {
        print(&format!("Made the folder '{}'.", folder.display()));
    }
    if let Some(made) = &outcome.made {
        print_made(made);
    }
    print(&format!("Made the keyring '{}'.", config.path.display()));
    print(&format!(
        "The DEK's fingerprint is {}.\n",
        outcome.fingerprint
    ));
    print_configuration(&config);
    Ok(())
}

/// Names and values of the options that make this configuration, without `backend` and `path`.
fn options(kek: &KekConfig) -> Vec<(&'static str, String)> {
    let secret = |source: &SecretRef| match source {
        SecretRef::File(path) => path.display().to_string(),
        SecretRef::Credential(name) => format!("credential:{name}"),
        SecretRef::Held(_) => "/where/you/keep/it".into(),
    };
    match kek {
        KekConfig::Passphrase(source) => vec![("passphrase_file", secret(source))],
        KekConfig::KeyFile(source) => vec![("key_file", secret(source))],
        KekConfig::Pkcs11(c) => {
            let mut options = vec![("module", c.module.display().to_string())];
            options.push(match &c.token {
                TokenChoice::Label(label) => ("token_label", label.clone()),
                TokenChoice::Serial(serial) => ("token_serial", serial.clone()),
                TokenChoice::Slot(slot) => ("slot", slot.to_string()),
            });
            options.extend(c.module_args.clone().map(|a| ("module_args", a)));
            options.extend(c.key.label.clone().map(|l| ("key_label", l)));
            options.extend(c.key.id.as_ref().map(|id| ("key_id", hex(id))));
            options.push(("pin_file", secret(&c.pin)));
            options.extend(c.mechanism.map(|m| ("mechanism", m.name().to_string())));
            options
        }
        KekConfig::AwsKms(c) => {
            let texts = [
                ("region", &c.region),
                ("endpoint_url", &c.endpoint_url),
                ("sts_endpoint_url", &c.sts_endpoint_url),
                ("profile", &c.profile),
                ("proxy", &c.proxy),
                ("ca_file", &c.ca_file),
            ];
            let mut options = vec![("key_id", c.key.to_string())];
            options.extend(texts.into_iter().filter_map(|(n, v)| Some((n, v.clone()?))));
            options.extend(
                c.credentials_file
                    .iter()
                    .map(|s| ("credentials_file", secret(s))),
            );
            if let Some((role, external_id)) = &c.role {
                options.push(("role_arn", role.clone()));
                options.extend(external_id.clone().map(|id| ("external_id", id)));
            }
            let flags = [("use_fips", c.use_fips), ("use_dualstack", c.use_dualstack)];
            options.extend(flags.iter().filter(|f| f.1).map(|f| (f.0, "true".into())));
            if !c.context.is_empty() {
                let pairs: Vec<_> = c.context.iter().map(|(n, v)| format!("{n}={v}")).collect();
                options.push(("encryption_context", pairs.join(",")));
            }
            if c.kms_random {
                options.push(("random", "aws_kms".into()));
            }
            options
        }
    }
}

fn print_configuration(config: &Config) {
    let options = options(&config.keks[0]);
    let members = members(&options);
    print_members(config, &options, members);
}

/// The options as members of a JSON object.
fn members(options: &[(&'static str, String)]) -> serde_json::Map<String, serde_json::Value> {
    let mut members = serde_json::Map::new();
    for (name, value) in options {
        let value = match *name {
            "slot" => value
                .parse::<u64>()
                .map_or_else(|_| value.clone().into(), Into::into),
            "use_fips" | "use_dualstack" => true.into(),
            _ => serde_json::Value::from(value.clone()),
        };
        members.insert((*name).to_string(), value);
    }
    members
}

fn print_members(
    config: &Config,
    options: &[(&'static str, String)],
    members: serde_json::Map<String, serde_json::Value>,
) {
    let (path, backend) = (config.path.display(), config.backend.name());
    print("Component: component_keyring_ward.cnf in the plugin directory");
    print(&format!(
        "  {{ \"backend\": \"{backend}\", \"path\": {}, \"{backend}\": {} }}",
        serde_json::Value::from(path.to_string()),
        serde_json::Value::Object(members)
    ));
    let lines = |prefix: &str| {
        let mut text = format!("  {prefix}backend={backend}\n  {prefix}path={path}");
        for (name, value) in options {
            text.push_str(&format!("\n  {prefix}{backend}_{name}={value}"));
        }
        text
    };
    print(&format!("or in my.cnf\n  [keyring_ward]\n{}", lines("")));
    print(&format!(
        "Plugin: in my.cnf\n  [mysqld]\n  early-plugin-load=keyring_ward.so\n{}",
        lines("loose_keyring_ward_")
    ));
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
