//! `keyring-ward init`

use super::print;
use crate::options::Keyring;
use keyring_ward::admin::init::init;
use keyring_ward::config::{Config, KekConfig, SecretRef};
use keyring_ward::error::{Error, Kind, Result};

/// The keyring to make.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// Make the secret file, too, if it does not exist: 32 random bytes
    #[arg(long)]
    generate: bool,
    /// The account that runs mysqld, e.g. mysql; owns what is made (default: the owner of the
    /// keyring's folder)
    #[arg(long, value_name = "ACCOUNT")]
    user: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let config = args.keyring.config()?;
    let owner = args.user.as_deref().map(look_up).transpose()?;
    let outcome = init(&config, owner, args.generate)?;
    if let Some(folder) = outcome.made_folder {
        print(&format!("Made the folder '{}'.", folder.display()));
    }
    if let Some(secret) = outcome.made_secret {
        print(&format!(
            "Made the secret '{}'. Keep a copy of it apart from the database's backups: without \
             it the keyring can't be opened.",
            secret.display()
        ));
    }
    print(&format!("Made the keyring '{}'.", config.path.display()));
    print(&format!(
        "The DEK's fingerprint is {}.\n",
        outcome.fingerprint
    ));
    print_configuration(&config);
    Ok(())
}

fn print_configuration(config: &Config) {
    let (name, source) = match &config.keks[0] {
        KekConfig::Passphrase(source) => ("passphrase_file", source),
        KekConfig::KeyFile(source) => ("key_file", source),
    };
    let source = match source {
        SecretRef::File(path) => path.display().to_string(),
        SecretRef::Credential(name) => format!("credential:{name}"),
    };
    let path = config.path.display();
    print("Component: component_keyring_ward.cnf in the plugin directory");
    print(&format!(
        "  {{ \"backend\": \"file\", \"path\": \"{path}\", \"file\": {{ \"{name}\": \"{source}\" }} }}"
    ));
    print("or in my.cnf");
    print(&format!(
        "  [keyring_ward]\n  backend=file\n  path={path}\n  file_{name}={source}"
    ));
    print("Plugin: in my.cnf");
    print(&format!(
        "  [mysqld]\n  early-plugin-load=keyring_ward.so\n  loose_keyring_ward_backend=file\n  \
         loose_keyring_ward_path={path}\n  loose_keyring_ward_file_{name}={source}"
    ));
}

/// User and group id of an account, from /etc/passwd.
fn look_up(account: &str) -> Result<(u32, u32)> {
    let fail = |why: String| Error::new(Kind::InvalidInput, "find the account", why);
    let text = std::fs::read_to_string("/etc/passwd").map_err(|e| fail(e.to_string()))?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            (name == account).then_some((uid, gid))
        })
        .ok_or_else(|| fail(format!("'{account}' is not in /etc/passwd")))
}
