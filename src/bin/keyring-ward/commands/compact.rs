//! `keyring-ward compact`

use super::print;
use crate::options::Keyring;
use keyring_ward::admin::edit::compact;
use keyring_ward::error::Result;

pub fn run(keyring: &Keyring) -> Result<()> {
    let config = keyring.config()?;
    let (before, after) = compact(&config)?;
    print(&format!(
        "'{}' has {after} bytes now instead of {before}.",
        config.path.display()
    ));
    Ok(())
}
