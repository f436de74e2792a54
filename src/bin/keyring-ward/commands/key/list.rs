//! `keyring-ward key list`

use super::look::text;
use crate::commands::{Aim, print, print_answer};
use crate::options::Keyring;
use crate::warnings::warn;
use keyring_ward::admin::key_list;
use keyring_ward::error::Result;
use serde_json::{Value, json};

/// `keyring-ward key list`
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    keyring: Keyring,
    /// The removed keys that are kept, instead
    #[arg(long, conflicts_with = "due")]
    retired: bool,
    /// Only logical keys of which a rotation or a destruction is due
    #[arg(long)]
    due: bool,
}

impl Args {
    /// The keyring that it is about.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    let aim = Aim::to_look(&args.keyring)?;
    let mut all = key_list::all(aim.target())?;
    let warnings = all["warnings"].take();
    let warnings = warnings.as_array().into_iter().flatten();
    warnings.map(text).for_each(warn);
    if args.due {
        let due = |key: &Value| key["rotation_due"] == true || key["destruction_due"] == true;
        if let Some(keys) = all["keys"].as_array_mut() {
            keys.retain(due);
        }
        all["server_keys"] = json!([]);
    }
    if args.retired {
        all["keys"] = json!([]);
        all["server_keys"] = json!([]);
    } else if let Some(all) = all.as_object_mut() {
        all.remove("retired");
    }
    if json {
        print_answer(all);
        return Ok(());
    }
    let each = |member: &str| all[member].as_array().into_iter().flatten();
    if args.retired {
        print("NAME\tOWNER\tREMOVAL\tREMOVED_AT\tKEPT_UNTIL\tHELD\tTYPE\tBYTES\tMEANING");
        each("retired").for_each(|key| {
            print(&row(
                key,
                &[
                    "name",
                    "owner",
                    "removal",
                    "removed_at",
                    "kept_until",
                    "held",
                    "type",
                    "bytes",
                    "meaning",
                ],
            ));
        });
        return Ok(());
    }
    print(
        "NAME\tOWNER\tTYPE\tBYTES\tCURRENT\tSTATE\tVERSIONS\tAGE_DAYS\tROTATION\tDESTRUCTION\tHELD\tENVIRONMENT",
    );
    each("keys").for_each(|key| print(&line(key)));
    if each("server_keys").next().is_some() {
        print("\nSERVER_KEY\tCURRENT\tAGE_DAYS\tCREATED");
        each("server_keys")
            .for_each(|key| print(&row(key, &["name", "current", "age_days", "created"])));
    }
    if all["retired_keys"] != 0 {
        print(&format!(
            "\n{} removed keys are kept: keyring-ward key list --retired.",
            all["retired_keys"]
        ));
    }
    Ok(())
}

fn row(of: &Value, members: &[&str]) -> String {
    let values: Vec<String> = members.iter().map(|member| text(&of[*member])).collect();
    values.join("\t")
}

/// One logical key: what is said of a version is said of the current one, or else of the newest that is not destroyed.
fn line(key: &Value) -> String {
    let versions = key["versions"].as_array().map_or(&[][..], Vec::as_slice);
    let current = versions.iter().find(|v| v["version"] == key["current"]);
    let alive = || versions.iter().filter(|v| v["state"] != "destroyed");
    let newest = alive().next_back().or(versions.last());
    let shown = current.or(newest).unwrap_or(&Value::Null);
    let rotation = match (&key["rotation_at"], key["rotation_due"] == true) {
        (Value::Null, _) => String::new(),
        (at, true) => format!("DUE since {}", text(at)),
        (at, false) => text(at),
    };
    let planned = versions
        .iter()
        .filter_map(|v| v["destroy_at"].as_str())
        .min();
    let destruction = match (planned, key["destruction_due"] == true) {
        (None, _) => String::new(),
        (Some(at), true) => format!("DUE since {at}"),
        (Some(at), false) => at.to_string(),
    };
    format!(
        "{}\t{}\t{}\t{}\t{}\t{rotation}\t{destruction}\t{}\t{}",
        row(key, &["name", "owner", "type", "bytes"]),
        text(&key["current"]),
        text(&shown["state"]),
        alive().count(),
        text(&shown["age_days"]),
        text(&key["held"]),
        text(&key["environment"])
    )
}
