//! `keyring-ward list`

use super::print;
use crate::options::Keyring;
use keyring_ward::admin::inspect::inspect;
use keyring_ward::error::Result;

pub fn run(keyring: &Keyring) -> Result<()> {
    let report = inspect(&keyring.config()?)?;
    print("NAME\tOWNER\tTYPE\tBYTES\tCREATED");
    for key in &report.keys {
        print(&format!(
            "{}\t{}\t{}\t{}\t{}",
            key.name, key.owner, key.key_type, key.length, key.created_at
        ));
    }
    report
        .warnings
        .iter()
        .for_each(|w| eprintln!("warning: {w}"));
    Ok(())
}
