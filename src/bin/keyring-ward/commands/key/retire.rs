//! `keyring-ward key retire`

use crate::commands::{Aim, Change, print, print_answer};
use keyring_ward::admin::retire::{Retired, look_beside, retire};
use keyring_ward::admin::retire_ticket::LIFE;
use keyring_ward::error::{Error, Kind, Result};
use keyring_ward::os::signals;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Takes InnoDB's old master keys out of use: those that no file names. The highest stays. They are kept as retired keys for
/// retain_removed days. A server that runs does it itself: --beside-server says how.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub change: Change,
    /// Look at the files of a running server, twice with a checkpoint between, and print the statement by which the server
    /// retires what none of them names; nothing is changed here
    #[arg(long, conflicts_with = "dry_run")]
    beside_server: bool,
    /// The server's data directory; then folders with files of it that lie elsewhere (undo, redo, tablespaces), and backups
    /// that are to open
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
}

pub fn run(args: &Args, json: bool) -> Result<()> {
    if args.beside_server {
        return beside(args, json);
    }
    let dry_run = args.change.dry_run;
    let aim = Aim::to_write(&args.change.keyring, &args.change.end)?;
    if !dry_run {
        signals::hold_back();
    }
    let done = retire(aim.target(), &args.folders, dry_run).map_err(stop_it)?;
    if json {
        let mut answer = told(&done);
        answer["dry_run"] = dry_run.into();
        print_answer(answer);
        return Ok(());
    }
    say(&done, dry_run);
    Ok(())
}

fn told(done: &Retired) -> Value {
    let kept = done.kept.iter();
    let kept: Vec<_> = kept
        .map(|(name, files)| json!({ "name": name, "files": files }))
        .collect();
    json!({ "files": done.files, "retired": done.keys, "kept": kept, "of_other_servers": done.of_others })
}

/// What is printed is for the server: its administrator's privilege is what counts there.
fn beside(args: &Args, json: bool) -> Result<()> {
    let aim = Aim::to_look(&args.change.keyring)?;
    let (found, ticket) = look_beside(aim.target(), &args.folders)?;
    let statement = ticket.map(|ticket| format!("SELECT keyring_ward_key_retire('{ticket}');"));
    if json {
        let mut answer = told(&found);
        // Not yet.
        answer["retired"] = json!([]);
        answer["to_retire"] = json!(found.keys);
        answer["statement"] = json!(statement);
        print_answer(answer);
        return Ok(());
    }
    say(&found, true);
    if let Some(statement) = statement {
        print(&format!(
            "In the server, within {} minutes (it needs ENCRYPTION_KEY_ADMIN; share/install.sql):\n{statement}",
            LIFE / 60
        ));
    }
    Ok(())
}

/// Who holds the keyring writes it.
fn stop_it(e: Error) -> Error {
    match e.kind() {
        Kind::Locked => e.hint(
            "Nothing was changed. Beside a running server: keyring-ward key retire --beside-server. Or stop it first.",
        ),
        _ => e,
    }
}

fn say(done: &Retired, dry_run: bool) {
    for (name, files) in &done.kept {
        print(&match files {
            0 => format!(
                "{name} stays: no file names it, and the server goes on from it or may have it in its hands."
            ),
            n => format!("{name} stays: {n} files name it."),
        });
    }
    for name in &done.of_others {
        print(&format!(
            "{name} stays: another server made it, which may have files elsewhere."
        ));
    }
    let verb = if dry_run { "Would retire" } else { "Retired" };
    done.keys
        .iter()
        .for_each(|name| print(&format!("{verb} {name}.")));
    let count = done.keys.len();
    print(&match (count, dry_run) {
        (0, _) => format!(
            "{} files were looked at; there is no key that none of them names.",
            done.files
        ),
        (_, true) => format!("{} files were looked at; nothing was written.", done.files),
        _ => format!(
            "{} files were looked at; {count} keys are retired. Backups from before may still need them: keyring-ward key restore brings one back.",
            done.files
        ),
    });
}
