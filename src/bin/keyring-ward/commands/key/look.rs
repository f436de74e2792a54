//! `keyring-ward key show` and `key check`: one key, for a look.

use super::Named;
use crate::commands::{Aim, print, print_answer};
use crate::options::Keyring;
use keyring_ward::admin::key_change;
use keyring_ward::error::Result;
use serde_json::Value;

/// Which key.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    #[command(flatten)]
    named: Named,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

/// A value for people; nothing where there is none.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        other => other.to_string(),
    }
}

fn print_each(of: &Value, rows: &[(&str, &str)]) {
    for (name, member) in rows {
        let value = text(&of[*member]);
        if !value.is_empty() {
            print(&format!("{name:<13} {value}"));
        }
    }
}

/// `keyring-ward key show`
pub fn show(args: &Args, json: bool) -> Result<()> {
    let aim = Aim::to_look(&args.keyring)?;
    let key = key_change::show(aim.target(), &args.named.named())?;
    if json {
        print_answer(key);
        return Ok(());
    }
    print_each(
        &key,
        &[
            ("Name", "name"),
            ("Owner", "owner"),
            ("Id", "id"),
            ("Type", "type"),
            ("Bytes", "bytes"),
            ("Current", "current"),
            ("Follow", "follow"),
            ("Adopted", "adopted"),
            ("Rotate_every", "rotate_every"),
            ("Rotation_at", "rotation_at"),
            ("Rotation_due", "rotation_due"),
            ("Expires", "expires"),
            ("Held", "held"),
            ("Environment", "environment"),
            ("Description", "description"),
        ],
    );
    print("\nVERSION\tSTATE\tSINCE\tKEY\tCREATED\tAGE_DAYS\tDESTROY_AT\tDUE");
    for version in key["versions"].as_array().into_iter().flatten() {
        let of = |member: &str| text(&version[member]);
        print(&format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
            of("version"),
            of("state"),
            of("since"),
            of("key"),
            of("created"),
            of("age_days"),
            of("destroy_at"),
            of("destroy_due")
        ));
    }
    for key in key["retired"].as_array().into_iter().flatten() {
        print(&format!(
            "Kept since it was removed on {}: {}, removal {}.",
            text(&key["removed_at"]),
            text(&key["name"]),
            text(&key["removal"])
        ));
    }
    Ok(())
}

/// `keyring-ward key check`
pub fn check(args: &Args, json: bool) -> Result<()> {
    let aim = Aim::to_look(&args.keyring)?;
    let found = key_change::check(aim.target(), &args.named.named())?;
    if json {
        print_answer(found);
        return Ok(());
    }
    print_each(
        &found,
        &[
            ("Key", "key"),
            ("Owner", "owner"),
            ("Type", "type"),
            ("Bits", "bits"),
            ("Randomness", "randomness"),
            ("State", "state"),
            ("Created", "created"),
            ("Age_days", "age_days"),
        ],
    );
    let weak = found["warnings"].as_array();
    match weak.filter(|weak| !weak.is_empty()) {
        None => print("Nothing is weak about it, as far as that shows."),
        Some(weak) => weak.iter().for_each(|one| print(&text(one))),
    }
    Ok(())
}
