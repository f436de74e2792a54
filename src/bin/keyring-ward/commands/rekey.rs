//! `keyring-ward rekey`

use super::{print, print_made};
use crate::options::{Keyring, file_config};
use keyring_ward::admin::rekey::{self, rekey};
use keyring_ward::config::{Config, KekConfig, SecretRef};
use keyring_ward::error::{Error, Kind, Result};
use std::path::{Path, PathBuf};

/// The keyring's options name it as it is now; the --new- options name the KEK that it gets.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("new").required(true))]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The file that holds the new passphrase, or credential:NAME
    #[arg(long, value_name = "FILE", group = "new")]
    new_passphrase_file: Option<String>,
    /// The new key file, or credential:NAME
    #[arg(long, value_name = "FILE", group = "new")]
    new_key_file: Option<String>,
    /// A JSON configuration whose KEK is the new one, of any backend; its path must be the same
    #[arg(long, value_name = "FILE", group = "new")]
    new_config: Option<PathBuf>,
    /// Make the new KEK where it is missing
    #[arg(long)]
    generate: bool,
    /// Keep the DEK: whoever has the old KEK and an old copy can then open the new file as well
    #[arg(long)]
    keep_dek: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let config = args.keyring.config()?;
    let kek = match (
        &args.new_passphrase_file,
        &args.new_key_file,
        &args.new_config,
    ) {
        (Some(file), _, _) => {
            KekConfig::Passphrase(SecretRef::parse(file, "--new-passphrase-file")?)
        }
        (_, Some(file), _) => KekConfig::KeyFile(SecretRef::parse(file, "--new-key-file")?),
        (_, _, file) => {
            let mut new = file_config(file.as_deref().unwrap_or(Path::new("")))?;
            if new.path != config.path {
                return Err(Error::new(
                    Kind::Config,
                    "read the new configuration",
                    format!(
                        "it names the keyring '{}' instead of '{}'",
                        new.path.display(),
                        config.path.display()
                    ),
                )
                .hint("Give both configurations the same path."));
            }
            new.keks.remove(0)
        }
    };
    let done = rekey(&config, &kek, args.keep_dek, args.generate)?;
    if let Some(made) = &done.made {
        print_made(made);
    }
    let dek = if args.keep_dek {
        "the same DEK"
    } else {
        "a new DEK"
    };
    print_done(&config, &format!("the new KEK with {dek}"), &done);
    print("Name the new KEK in the server's configuration before it is started.");
    print("Keep the old KEK as long as backups of the old file are kept.");
    print(
        "If the old KEK was disclosed, rotate MySQL's own keys next: ALTER INSTANCE ROTATE INNODB MASTER KEY, ALTER INSTANCE ROTATE BINLOG MASTER KEY.",
    );
    Ok(())
}

fn print_done(config: &Config, under: &str, done: &rekey::Outcome) {
    print(&format!(
        "'{}' is now under {under}: {} keys, generation {}, fingerprint {}.",
        config.path.display(),
        done.keys,
        done.generation,
        done.fingerprint
    ));
    if done.pin_is_stale {
        print("The configuration pins a fingerprint: put the new one in its place.");
    }
}

/// `keyring-ward reseal`
pub fn reseal(keyring: &Keyring) -> Result<()> {
    let config = keyring.config()?;
    let done = rekey(&config, &config.keks[0], false, false)?;
    print_done(&config, "the same KEK with a new DEK", &done);
    print("Removed keys are gone from the file. Older copies of it still open with the same KEK.");
    Ok(())
}
