//! `keyring-ward rekey`

use super::print;
use crate::options::Keyring;
use keyring_ward::admin::rekey::rekey;
use keyring_ward::config::{KekConfig, SecretRef};
use keyring_ward::error::Result;

/// The keyring's options name it as it is now; the --new- options name the KEK that it gets.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The file that holds the new passphrase, or credential:NAME
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "new_key_file",
        conflicts_with = "new_key_file"
    )]
    new_passphrase_file: Option<String>,
    /// The new key file, or credential:NAME
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<String>,
    /// Make the new secret file where it is missing
    #[arg(long)]
    generate: bool,
    /// Keep the DEK: whoever has the old KEK and an old copy can then open the new file as well
    #[arg(long)]
    keep_dek: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let config = args.keyring.config()?;
    let kek = match (&args.new_passphrase_file, &args.new_key_file) {
        (Some(file), _) => KekConfig::Passphrase(SecretRef::parse(file, "--new-passphrase-file")?),
        (None, file) => KekConfig::KeyFile(SecretRef::parse(
            file.as_deref().unwrap_or_default(),
            "--new-key-file",
        )?),
    };
    let done = rekey(&config, &kek, args.keep_dek, args.generate)?;
    if let Some(path) = &done.made_secret {
        print(&format!(
            "Made the secret file '{}'. Back it up apart from the keyring.",
            path.display()
        ));
    }
    let dek = if args.keep_dek {
        "the same DEK"
    } else {
        "a new DEK"
    };
    print(&format!(
        "'{}' is now under the new KEK with {dek}: {} keys, generation {}, fingerprint {}.",
        config.path.display(),
        done.keys,
        done.generation,
        done.fingerprint
    ));
    print("Name the new KEK in the server's configuration before it is started.");
    if done.pin_is_stale {
        print("The configuration pins a fingerprint: put the new one in its place.");
    }
    print("Keep the old KEK as long as backups of the old file are kept.");
    print(
        "If the old KEK was disclosed, rotate MySQL's own keys next: ALTER INSTANCE ROTATE INNODB MASTER KEY, ALTER INSTANCE ROTATE BINLOG MASTER KEY.",
    );
    Ok(())
}
