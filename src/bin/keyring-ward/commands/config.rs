//! `keyring-ward config translate`
//!
//! Owns what is printed of a translation. It writes no configuration: the operator does.

use super::{print, print_answer};
use crate::examples;
use keyring_ward::admin::translate::{Translated, translate};
use keyring_ward::error::Result;
use serde_json::json;
use std::path::PathBuf;

/// What is done with configurations.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Print the options of another keyring (keyring_file, keyring_encrypted_file, keyring_oci, keyring_aws) as ours.
    #[command(after_help = examples::TRANSLATE)]
    Translate(Translate),
}

/// `keyring-ward config translate`
#[derive(clap::Args)]
pub struct Translate {
    /// The option file of the server
    #[arg(value_name = "FILE", default_value = "/etc/mysql/my.cnf")]
    file: PathBuf,
}

pub fn run(command: &Command, json: bool) -> Result<()> {
    let Command::Translate(args) = command;
    let all = translate(&args.file)?;
    if json {
        let all: Vec<_> = all.iter().map(of_one).collect();
        print_answer(json!({ "translated": all }));
        return Ok(());
    }
    for (i, one) in all.iter().enumerate() {
        if i > 0 {
            print("");
        }
        show(one);
    }
    Ok(())
}

fn of_one(one: &Translated) -> serde_json::Value {
    let left_out = one.left_out.iter();
    let left_out = left_out
        .map(|(option, place, why)| json!({ "option": option, "place": place, "why": why }));
    json!({
        "from": one.from, "configuration": one.written.json(), "my_cnf": one.written.lines(""),
        "left_out": left_out.collect::<Vec<_>>(), "steps": one.steps,
    })
}

fn show(one: &Translated) {
    print(&format!("# {} becomes, as a group of my.cnf:", one.from));
    print("[keyring_ward]");
    one.written.lines("").iter().for_each(|line| print(line));
    print("# or as the component's JSON file:");
    print(&format!("# {}", one.written.json_line()));
    for (option, place, why) in &one.left_out {
        print(&format!("# {option} ({place}) has no counterpart. {why}"));
    }
    for (i, step) in one.steps.iter().enumerate() {
        print(&format!("# {}. {step}", i + 1));
    }
}
